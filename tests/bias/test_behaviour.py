"""Agreement of outputs with features, counted by hand, and all analyses on trained networks."""

from __future__ import annotations

import numpy as np
import pytest
from analysed import analysed

from repbias.bias.behaviour import agreement
from repbias.bias.spec import Bias
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.mlp import MLP
from repbias.networks.spec import Training
from repbias.networks.training import train
from repbias.stimuli.bits import Bits
from repbias.tables import TABLES


def test_agreement_counts_equal_reports():
    rng = np.random.default_rng(0)
    reported, labels = rng.integers(0, 2, size=(3, 50, 2)), rng.integers(0, 2, size=(50, 4))
    found = agreement(reported, labels)
    assert found.shape == (3, 2, 4)
    for n, o, f in np.ndindex(found.shape):
        equal = [a == b for a, b in zip(reported[n, :, o], labels[:, f], strict=True)]
        assert found[n, o, f] == np.mean(equal)


def test_an_output_that_follows_another_feature():
    """The network reports the first bit at both outputs; untrained, it always reports 0."""
    codes = np.arange(8) % 4
    labels = np.stack([codes & 1, codes >> 1], axis=1).astype(np.uint8)
    stimuli = Stimuli(
        inputs=labels.astype(np.float32),
        ids=np.arange(8).astype(str),
        split=np.repeat(["validation", "test"], 4),
        features=["easy", "hard"],
        labels=labels,
        components=[],
        component_labels=np.zeros((8, 0), np.uint8),
        supervised=np.ones((8, 2), bool),
    )
    readout = np.zeros((3, 2, 2, 2), np.float32)
    readout[-1] = [[1, 1], [0, 0]]
    networks = Networks(
        seeds=np.array([4, 5]),
        features=["easy", "hard"],
        targets=["easy", "hard"],
        included=np.array([True, False]),
        test_accuracy=np.ones((2, 2)),
        mastery_step=np.zeros((2, 2), int),
        curves={},
        checkpoint_names=np.array(["initial", "grid", "final"]),
        checkpoint_steps=np.array([[0, 0], [10, 10], [50, -1]]),
        weights={
            "w1": np.tile(np.eye(2, dtype=np.float32), (3, 2, 1, 1)),
            "b1": np.zeros((3, 2, 1, 2), np.float32),
            "w2": np.tile(np.eye(2, dtype=np.float32), (3, 2, 1, 1)),
            "b2": np.zeros((3, 2, 1, 2), np.float32),
            "w3": readout,
            "b3": np.full((3, 2, 1, 2), -0.5, np.float32),
        },
    )
    spec = MLP(hidden=[2, 2], activation="relu", analysed_layer="hidden1")
    table = analysed("behaviour", networks, stimuli, spec, Bias())
    assert tuple(table.columns) == TABLES["behaviour"].columns
    keys = ["seed", "snapshot", "output", "feature"]
    found = table.set_index(keys)["agreement"].to_dict()
    pairs = [(o, f) for o in ("easy", "hard") for f in ("easy", "hard")]
    assert found == {
        **{(seed, "initial", o, f): 0.5 for seed in (4, 5) for o, f in pairs},
        **{(4, "final", o, f): 1 if f == "easy" else 0.5 for o, f in pairs},
    }


@pytest.fixture(scope="module")
def trained():
    """Two small networks that learned a bit and an XOR of two others."""
    features = {"easy": {"function": "bit", "bits": 5}, "hard": {"function": "xor", "bits": 5}}
    sizes = {"n_train": 512, "n_validation": 128, "n_test": 128, "training_sets": "common"}
    stimuli = Bits(features=features, noise_bits=5, **sizes).generate()
    spec = MLP(hidden=[32, 16])
    training = Training(learning_rate=1e-2, batch_size=64, max_steps=400, extra_steps=50)
    networks = train(stimuli, spec, training, [0, 1], "cpu")
    assert networks.included.all()
    return networks, stimuli, spec, Bias(probe_steps=50)


def test_an_output_agrees_with_its_own_feature_as_often_as_training_says(trained):
    networks = trained[0]
    table = analysed("behaviour", *trained)
    final = table[(table["snapshot"] == "final") & (table["output"] == table["feature"])]
    accuracy = final.set_index(["seed", "feature"])["agreement"].unstack()
    np.testing.assert_allclose(accuracy[networks.features], networks.test_accuracy)
    # All components together are the network itself.
    table = analysed("components", *trained)
    whole = table[(table["snapshot"] == "final") & (table["n_components"] == 16)]
    accuracy = whole.set_index(["seed", "feature"])["accuracy"].unstack()
    np.testing.assert_allclose(accuracy[networks.features], networks.test_accuracy)


def test_what_trained_networks_report_can_be_read_and_steered(trained):
    table = analysed("probes", *trained)
    final = table[(table["snapshot"] == "final") & (table["layer"] == "hidden2")]
    probes = final[final["feature"].isin(["easy", "hard"])]
    assert (probes["accuracy"] > 0.9).all()
    table = analysed("steering", *trained)
    far = table[(table["snapshot"] == "final") & (table["strength"] == 2)]
    own = far["feature"] == far["output"]
    assert (far.loc[own, "flips"] > 0.9).all()
    for name in ("units", "sparsity", "conflict"):
        assert set(analysed(name, *trained)["snapshot"]) == {"initial", "mastered", "final"}
