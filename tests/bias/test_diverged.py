"""A network that diverged is in no table, and changes nothing of the others'."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from analysed import analysed

from repbias.bias.spec import Bias
from repbias.config.analyses import OF_NETWORKS
from repbias.networks.mlp import MLP
from repbias.networks.spec import Training
from repbias.networks.training import train
from repbias.stimuli.bits import Bits
from repbias.tables import TABLES

SPEC = MLP(hidden=[12, 8])
SEEDS = [4, 5, 6]
#: The network that diverges.
BAD = 1
analyses = pytest.mark.parametrize("analysis", sorted(OF_NETWORKS))


@pytest.fixture(scope="module")
def stimuli():
    features = {"easy": {"function": "bit", "bits": 4}, "hard": {"function": "xor", "bits": 4}}
    sizes = {"n_train": 128, "n_validation": 96, "n_test": 96, "training_sets": "common"}
    return Bits(features=features, noise_bits=4, **sizes).generate()


@pytest.fixture(scope="module")
def networks(stimuli):
    training = Training(learning_rate=1e-2, batch_size=32, max_steps=400, extra_steps=20)
    networks = train(stimuli, SPEC, training, SEEDS, "cpu")
    assert (networks.checkpoint_steps[networks.snapshots()] >= 0).all()
    return networks


def table_of(analysis, networks, stimuli):
    settings = Bias(probe_steps=20, steering_strengths=[0.5, 1.5])
    return analysed(analysis, networks, stimuli, SPEC, settings).reset_index(drop=True)


def diverged(networks, value, checkpoints=slice(None), names=None, seeds=BAD):
    weights = {name: w.copy() for name, w in networks.weights.items()}
    for name in names or weights:
        weights[name][checkpoints, seeds] = value
    return dataclasses.replace(networks, weights=weights)


def without(networks, n):
    """Return the other networks, as if this one had never been trained."""
    others = [i for i in range(len(networks.seeds)) if i != n]
    per_network = ("seeds", "included", "test_accuracy", "mastery_step")
    return dataclasses.replace(
        networks,
        **{name: getattr(networks, name)[others] for name in per_network},
        checkpoint_steps=networks.checkpoint_steps[:, others],
        weights={name: w[:, others] for name, w in networks.weights.items()},
    )


def assert_same(found, expected):
    # Sums of stacks of another size may be rounded differently.
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True), expected.reset_index(drop=True), rtol=1e-6, atol=1e-6
    )


@pytest.mark.slow
@analyses
def test_the_others_are_measured_as_without_it(analysis, networks, stimuli):
    """Whether all weights are gone or a single one."""
    expected = table_of(analysis, without(networks, BAD), stimuli)
    for value in (np.nan, np.inf, -np.inf):
        found = table_of(analysis, diverged(networks, value), stimuli)
        assert tuple(found.columns) == TABLES[analysis].columns
        assert set(found["seed"]) == {4, 6}
        assert_same(found, expected)
        bad = {name: w.copy() for name, w in networks.weights.items()}
        bad["w2"][:, BAD, 3, 2] = value
        found = table_of(analysis, dataclasses.replace(networks, weights=bad), stimuli)
        assert_same(found, expected)


@analyses
def test_what_it_was_before_it_diverged_stays(analysis, networks, stimuli):
    """As training leaves it: the untrained network and early checkpoints are finite."""
    last = len(networks.checkpoint_names) - 1
    found = table_of(analysis, diverged(networks, np.nan, last), stimuli)
    expected = table_of(analysis, networks, stimuli)
    gone = (expected["seed"] == SEEDS[BAD]) & (expected["snapshot"] == "final")
    assert gone.any()
    expected = expected[~gone].copy()
    if analysis == "variance_explained":
        # The final variance, the scale of M1b, is unknown.
        expected.loc[expected["seed"] == SEEDS[BAD], "r2_of_final"] = np.nan
    assert_same(found, expected)


@analyses
def test_a_condition_of_which_all_networks_diverged_has_an_empty_table(analysis, networks, stimuli):
    found = table_of(analysis, diverged(networks, np.nan, seeds=slice(None)), stimuli)
    assert found.empty
    assert tuple(found.columns) == TABLES[analysis].columns
