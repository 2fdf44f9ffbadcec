"""M3: which features the top principal components carry, and which survive on them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.bias.units import unit_r2

if TYPE_CHECKING:
    from repbias.networks.snapshots import Snapshot


def principal_components(activations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the principal axes of activations.

    Parameters
    ----------
    activations
        (stimulus, unit).

    Returns
    -------
    mean : (unit,)
    axes : (unit, component), orthonormal, by decreasing variance; as many as units
    """
    mean = activations.mean(axis=0, dtype=np.float64)
    centred = activations - mean
    _, axes = np.linalg.eigh(centred.T @ centred)
    return mean, axes[:, ::-1]


def numbers_of_components(n_units: int) -> list[int]:
    """Return the numbers of components that are tried: 0 to 10, then in growing steps, then all.

    Examples
    --------
    >>> numbers_of_components(20)
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20]
    """
    tried = [*range(11), 12, 16, 24, 32, 48, 64]
    return sorted({k for k in tried if k < n_units} | {n_units})


def components_needed(n_components: np.ndarray, accuracy: np.ndarray, level: float = 0.9) -> float:
    """Return the smallest number of components from which accuracy stays at a level.

    Parameters
    ----------
    n_components
        Numbers of components that were tried, increasing.
    accuracy
        Accuracy of one feature with so many components, the same shape.
    level
        Accuracy to hold, from there on with every larger number.

    Returns
    -------
    float
        One of `n_components`; NaN if accuracy is below the level even with the most.

    Examples
    --------
    >>> components_needed(np.array([0, 1, 2, 3]), np.array([0.5, 0.95, 0.8, 1.0]))
    3.0
    """
    below = np.flatnonzero(~(np.asarray(accuracy) >= level))
    first = below[-1] + 1 if len(below) else 0
    return float(n_components[first]) if first < len(n_components) else float("nan")


def components_rows(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Reduce the analysed layer to its top components and read the networks' own outputs (M3).

    The components are those of the validation stimuli. The test activations are rebuilt from the
    top k, mean + (phi - mean) V_k V_k', and go through the rest of the network; `accuracy` is
    that of each feature's output. `variance` is the share of test variance in the top k, and `r2`
    the share of component k's own variance that the feature explains (fitted on validation
    stimuli; empty for k = 0 and for components without variance). Lampinen, Chan & Hermann 2024.
    """
    layer, y_fit, y_test = snapshot.analysed, snapshot.fit.labels, snapshot.test.labels
    # Weights that are finite may still give activations that are not.
    fit, test = (
        np.nan_to_num(part.layers[layer], posinf=0) for part in (snapshot.fit, snapshot.test)
    )
    found = [principal_components(phi) for phi in fit]
    mean = np.stack([m for m, _ in found])[:, None]
    axes = np.stack([a for _, a in found])
    scores_fit, scores = (fit - mean) @ axes, (test - mean) @ axes
    numbers = numbers_of_components(axes.shape[1])
    accuracy = {}
    for k in numbers:
        rebuilt = mean + scores[..., :k] @ axes[..., :k].swapaxes(1, 2)
        accuracy[k] = (snapshot.run(layer, rebuilt) == y_test).mean(axis=1)
    rows = []
    for n, about in enumerate(snapshot.networks):
        variance = (scores[n] ** 2).sum(axis=0)
        share = variance / variance.sum() if variance.any() else variance * np.nan
        for i, feature in enumerate(snapshot.features):
            r2 = unit_r2(y_fit[:, i], scores_fit[n], y_test[:, i], scores[n])
            # Of components without variance only rounding errors are left.
            r2 = np.where(share > 1e-12, r2, np.nan)
            rows += [
                {
                    **about,
                    "layer": layer,
                    "n_components": k,
                    "variance": share[:k].sum(),
                    "feature": feature,
                    "r2": r2[k - 1] if k else np.nan,
                    "accuracy": accuracy[k][n, i],
                    "chance": 1 / snapshot.classes[i],
                }
                for k in numbers
            ]
    return rows
