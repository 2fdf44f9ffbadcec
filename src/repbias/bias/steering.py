"""M5: move a representation along a feature's mean difference and read the network's outputs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from repbias.base.spec import RepbiasError
from repbias.bias.spec import Bias
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.mlp import hidden_activations, outputs_from
from repbias.networks.spec import MLP
from repbias.tables import as_table


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


def steering_table(
    experiment: str,
    condition: str,
    networks: Networks,
    stimuli: Stimuli,
    spec: MLP,
    settings: Bias,
) -> pd.DataFrame:
    """Steer every feature in the analysed layer and count flips of every output (M5).

    The direction d comes from the validation stimuli. Every test stimulus is moved by strength * d
    away from the class that the network itself reports, and goes through the rest of the network;
    `flips` is the share of stimuli on which the network's output (logit > 0) changes. `norm` is
    strength * ||d||, `norm_sd` the same in units of the layer's activity, the root of its total
    variance over test stimuli. Lampinen, Chan & Hermann 2024.
    """
    x_fit, y_fit, _ = stimuli.part("validation")
    x_test, _, _ = stimuli.part("test")
    layer = spec.layers.index(spec.analysed)
    rows = []
    for checkpoint in networks.snapshots():
        fit = hidden_activations(networks, checkpoint, x_fit, spec)[layer]
        test = hidden_activations(networks, checkpoint, x_test, spec)[layer]
        reported = outputs_from(networks, checkpoint, spec.analysed, test, spec) > 0
        activity = np.sqrt(test.var(axis=1, dtype=np.float64).sum(axis=1))
        present = networks.described(experiment, condition, checkpoint)
        for i, feature in enumerate(networks.features):
            direction = mean_difference(fit, y_fit[:, i])
            length = np.linalg.norm(direction, axis=1)
            for strength in settings.steering_strengths:
                moved = steer(test, direction, strength, reported[..., i])
                logits = outputs_from(networks, checkpoint, spec.analysed, moved, spec)
                flips = ((logits > 0) != reported).mean(axis=1)
                rows += [
                    {
                        **about,
                        "layer": spec.analysed,
                        "feature": feature,
                        "strength": strength,
                        "norm": strength * length[n],
                        "norm_sd": strength * length[n] / activity[n] if activity[n] else np.nan,
                        "output": output,
                        "flips": flips[n, o],
                    }
                    for n, about in present
                    for o, output in enumerate(networks.features)
                ]
    return as_table("steering", rows)
