"""M5: move a representation along a feature's mean difference and read the network's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.spec import RepbiasError

if TYPE_CHECKING:
    from repbias.networks.snapshots import Snapshot


def class_means(activations: np.ndarray, labels: np.ndarray, n_classes: int = 2) -> np.ndarray:
    """Return the mean over the stimuli of every class of a feature.

    Parameters
    ----------
    activations
        (..., stimulus, unit).
    labels
        (stimulus,) classes from 0.
    n_classes
        Number of classes.

    Returns
    -------
    numpy.ndarray
        (class, ..., unit) float64. Steering from class a to class b goes along the difference of
        their means.

    Raises
    ------
    RepbiasError
        If a class has no stimuli.
    """
    found = np.unique(labels)
    if len(found) < n_classes:
        raise RepbiasError(
            f"a mean difference needs stimuli of all {n_classes} classes; all {len(labels)} are of "
            f"{len(found)}"
        )
    return np.stack(
        [activations[..., labels == c, :].mean(axis=-2, dtype=np.float64) for c in range(n_classes)]
    )


def steer(
    activations: np.ndarray,
    means: np.ndarray,
    strength: float,
    reported: np.ndarray,
    goal: np.ndarray,
) -> np.ndarray:
    """Move every stimulus from the class that the network reports towards another one.

    Parameters
    ----------
    activations
        (..., stimulus, unit).
    means
        (class, ..., unit), of :func:`class_means`.
    strength
        How far, as a multiple of the difference between the means of the two classes.
    reported, goal
        (..., stimulus), the class that the network reports, and the one to move to.

    Returns
    -------
    numpy.ndarray
        activations + strength * (mean of the goal - mean of the class that is reported).
    """
    by_class = np.moveaxis(means, 0, -2)
    start, end = (
        np.take_along_axis(by_class, np.asarray(classes, int)[..., None], axis=-2)
        for classes in (reported, goal)
    )
    return np.asarray(activations + strength * (end - start))


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

    Class means come from the validation stimuli. Every test stimulus is moved by strength times
    the difference of means from the class that the network itself reports to another one, to each
    in turn where there are several, and goes through the rest of the network. `flips` is the share
    of stimuli on which what the network's output reports changes, and `reached` the share on which
    the steered feature's output reports the class that was steered to. `norm` is the step's
    length, `norm_sd` the same in units of the layer's activity, the root of its total variance
    over test stimuli; both are means over stimuli. Lampinen, Chan & Hermann 2024.
    """
    layer, classes = snapshot.analysed, snapshot.classes
    fit, test = snapshot.fit.layers[layer], snapshot.test.layers[layer]
    reported = snapshot.run(layer, test)
    activity = np.sqrt(test.var(axis=1, dtype=np.float64).sum(axis=1))
    rows = []
    for i, feature in enumerate(snapshot.features):
        means = class_means(fit, snapshot.fit.labels[:, i], classes[i])
        own = reported[..., i]
        goals = [(own + shift) % classes[i] for shift in range(1, classes[i])]
        length = _mean_length(means, own, goals)
        for strength in steering_strengths:
            flips, reached = [], []
            for goal in goals:
                now = snapshot.run(layer, steer(test, means, strength, own, goal))
                flips.append((now != reported).mean(axis=1))
                reached.append((now[..., i] == goal).mean(axis=1))
            flipped, arrived = np.mean(flips, axis=0), np.mean(reached, axis=0)
            rows += [
                {
                    **about,
                    "layer": layer,
                    "feature": feature,
                    "strength": strength,
                    "norm": strength * length[n],
                    "norm_sd": strength * length[n] / activity[n] if activity[n] else np.nan,
                    "output": output,
                    "flips": flipped[n, o],
                    "reached": arrived[n] if output == feature else np.nan,
                }
                for n, about in enumerate(snapshot.networks)
                for o, output in enumerate(snapshot.features)
            ]
    return rows


def _mean_length(means: np.ndarray, own: np.ndarray, goals: list[np.ndarray]) -> np.ndarray:
    """Return the mean distance between the two means of every move, (network,).

    Parameters
    ----------
    means
        (class, network, unit).
    own, goals
        (network, stimulus), the class that is left, and those that are gone to.
    """
    distances = np.linalg.norm(means[:, None] - means[None], axis=-1)  # (class, class, network)
    if len(goals) == 1:
        return distances[1, 0]
    networks = np.arange(means.shape[1])[:, None]
    return np.mean([distances[own, goal, networks].mean(axis=1) for goal in goals], axis=0)
