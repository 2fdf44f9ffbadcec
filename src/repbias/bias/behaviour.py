"""Which features a network's outputs follow."""

from __future__ import annotations

import numpy as np
import pandas as pd

from repbias.bias.spec import Bias
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.mlp import hidden_activations, outputs_from
from repbias.networks.spec import MLP
from repbias.tables import as_table


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


def behaviour_table(
    experiment: str,
    condition: str,
    networks: Networks,
    stimuli: Stimuli,
    spec: MLP,
    settings: Bias,
) -> pd.DataFrame:
    """Compare every output with every feature, on test stimuli at every named checkpoint.

    An output reports 1 where its logit is above 0. Its agreement with its own feature is its
    accuracy.
    """
    inputs, labels, _ = stimuli.part("test")
    rows = []
    for checkpoint in networks.snapshots():
        last = hidden_activations(networks, checkpoint, inputs, spec)[-1]
        logits = outputs_from(networks, checkpoint, spec.layers[-1], last, spec)
        agrees = agreement(logits > 0, labels)
        rows += [
            {**about, "output": output, "feature": feature, "agreement": agrees[n, o, f]}
            for n, about in networks.described(experiment, condition, checkpoint)
            for o, output in enumerate(networks.features)
            for f, feature in enumerate(stimuli.features)
        ]
    return as_table("behaviour", rows)
