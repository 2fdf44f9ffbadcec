"""M5: move a representation along a feature's mean difference and read the network's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.spec import RepbiasError

if TYPE_CHECKING:
    from repbias.networks.snapshots import Snapshot


def mean_difference(activations: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return d = mean(phi | f = 1) - mean(phi | f = 0).

    Parameters
    ----------
    activations
        (..., stimulus, unit).
    labels
        (stimulus,), 0 or 1.

    Returns
    -------
    numpy.ndarray
        (..., unit) float64.

    Raises
    ------
    RepbiasError
        If all labels are the same.
    """
    if len(np.unique(labels)) != 2:
        raise RepbiasError(
            f"a mean difference needs stimuli of both classes; all {len(labels)} are of one"
        )
    one, zero = (activations[..., labels == v, :].mean(axis=-2, dtype=np.float64) for v in (1, 0))
    return one - zero


def steer(
    activations: np.ndarray, direction: np.ndarray, strength: float, reported: np.ndarray
) -> np.ndarray:
    """Move every stimulus towards the class that the network does not report for it.

    Parameters
    ----------
    activations
        (..., stimulus, unit).
    direction
        (..., unit), from class 0 to class 1.
    strength
        How far, as a multiple of the direction.
    reported
        (..., stimulus) bool, whether the network reports class 1.

    Returns
    -------
    numpy.ndarray
        activations - strength * direction where reported, + strength * direction elsewhere.
    """
    sign = np.where(reported, -1.0, 1.0)
    return activations + strength * sign[..., None] * direction[..., None, :]


def norm_to_flip(norms: np.ndarray, flips: np.ndarray, share: float = 0.9) -> float:
    """Return the norm of the step at which a share of the outputs has flipped.

    Interpolates linearly between the steps that were tried, where the share is first reached;
    a step of norm 0 flips nothing.

    Parameters
    ----------
    norms
        Norms of the steps, increasing, above 0.
    flips
        Share of stimuli whose output flipped, the same shape.
    share
        The share to reach.

    Returns
    -------
    float
        NaN if it is never reached.

    Examples
    --------
    >>> norm_to_flip(np.array([1.0, 2.0]), np.array([0.8, 1.0]))
    1.5
    """
    x, y = np.append(0.0, norms), np.append(0.0, flips)
    reached = np.flatnonzero(y >= share)
    if not len(reached):
        return float("nan")
    i = reached[0]
    return float(x[i - 1] + (x[i] - x[i - 1]) * (share - y[i - 1]) / (y[i] - y[i - 1]))


def steering_rows(snapshot: Snapshot, steering_strengths: list[float]) -> list[dict[str, Any]]:
    """Steer every feature in the analysed layer and count flips of every output (M5).

    The direction d comes from the validation stimuli. Every test stimulus is moved by strength * d
    away from the class that the network itself reports, and goes through the rest of the network;
    `flips` is the share of stimuli on which the network's output (logit > 0) changes. `norm` is
    strength * ||d||, `norm_sd` the same in units of the layer's activity, the root of its total
    variance over test stimuli. Lampinen, Chan & Hermann 2024.
    """
    layer = snapshot.analysed
    fit, test = snapshot.fit.layers[layer], snapshot.test.layers[layer]
    reported = snapshot.run(layer, test) > 0
    activity = np.sqrt(test.var(axis=1, dtype=np.float64).sum(axis=1))
    rows = []
    for i, feature in enumerate(snapshot.features):
        direction = mean_difference(fit, snapshot.fit.labels[:, i])
        length = np.linalg.norm(direction, axis=1)
        for strength in steering_strengths:
            moved = steer(test, direction, strength, reported[..., i])
            flips = ((snapshot.run(layer, moved) > 0) != reported).mean(axis=1)
            rows += [
                {
                    **about,
                    "layer": layer,
                    "feature": feature,
                    "strength": strength,
                    "norm": strength * length[n],
                    "norm_sd": strength * length[n] / activity[n] if activity[n] else np.nan,
                    "output": output,
                    "flips": flips[n, o],
                }
                for n, about in enumerate(snapshot.networks)
                for o, output in enumerate(snapshot.features)
            ]
    return rows
