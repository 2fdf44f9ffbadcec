"""Which features a network's outputs follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from repbias.networks.snapshots import Snapshot


def agreement(reported: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the share of stimuli on which each output equals each feature's label.

    Parameters
    ----------
    reported
        (..., stimulus, output), the class that each output reports.
    labels
        (stimulus, feature) classes.

    Returns
    -------
    numpy.ndarray
        (..., output, feature).
    """
    return (reported[..., :, None] == labels[:, None, :]).mean(axis=-3)


def behaviour_rows(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Compare every output with every feature, on test stimuli.

    An output's agreement with its own feature is its accuracy. With a feature of another number of
    classes it has none, and there is no row.
    """
    layer, last = list(snapshot.test.layers.items())[-1]
    agrees = agreement(snapshot.run(layer, last), snapshot.test.labels)
    classes = snapshot.classes
    return [
        {**about, "output": output, "feature": feature, "agreement": agrees[n, o, f]}
        | {"chance": 1 / classes[f]}
        for n, about in enumerate(snapshot.networks)
        for o, output in enumerate(snapshot.features)
        for f, feature in enumerate(snapshot.features)
        if classes[o] == classes[f]
    ]
