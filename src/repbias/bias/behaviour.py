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
        (..., stimulus, output), 0 or 1.
    labels
        (stimulus, feature), 0 or 1.

    Returns
    -------
    numpy.ndarray
        (..., output, feature).
    """
    return (reported[..., :, None] == labels[:, None, :]).mean(axis=-3)


def behaviour_rows(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Compare every output with every feature, on test stimuli.

    An output reports 1 where its logit is above 0. Its agreement with its own feature is its
    accuracy.
    """
    layer, last = list(snapshot.test.layers.items())[-1]
    agrees = agreement(snapshot.run(layer, last) > 0, snapshot.test.labels)
    return [
        {**about, "output": output, "feature": feature, "agreement": agrees[n, o, f]}
        for n, about in enumerate(snapshot.networks)
        for o, output in enumerate(snapshot.features)
        for f, feature in enumerate(snapshot.features)
    ]
