"""A snapshot holds what a forward pass of each network gives."""

import numpy as np
import pytest
import torch

from repbias.networks.mlp import MLP
from repbias.networks.snapshots import snapshots
from repbias.networks.spec import Training
from repbias.networks.stacks import forward
from repbias.networks.training import train
from repbias.stimuli.bits import Bits

SPEC = MLP(hidden=[12, 7], analysed_layer="hidden1")


@pytest.fixture(scope="module")
def stimuli():
    features = {"easy": {"function": "bit", "bits": 4}, "hard": {"function": "xor", "bits": 4}}
    return Bits(
        features=features,
        noise_bits=4,
        training_sets="common",
        n_train=128,
        n_validation=48,
        n_test=40,
    ).generate()


@pytest.fixture
def networks(stimuli):
    training = Training(learning_rate=1e-2, batch_size=32, max_steps=200, extra_steps=10)
    return train(stimuli, SPEC, training, [3, 8], "cpu")


def found(networks, stimuli, **options):
    return list(snapshots("tasks", "both", networks, stimuli, SPEC, **options))


def test_there_is_one_for_every_checkpoint_that_a_network_has(networks, stimuli):
    steps = networks.checkpoint_steps
    names = [
        str(n) for n, s in zip(networks.checkpoint_names, steps, strict=True) if (s >= 0).any()
    ]
    assert [s.name for s in found(networks, stimuli)] == names
    main = [s.name for s in found(networks, stimuli, every_checkpoint=False)]
    assert main == [name for name in names if name in ("initial", "mastered", "final")]


def test_rows_say_which_network_they_are_of(networks, stimuli):
    final = found(networks, stimuli)[-1]
    assert len(final.networks) == 2
    assert final.networks[1] == {
        "experiment": "tasks",
        "condition": "both",
        "network": "seed8",
        "seed": 8,
        "snapshot": "final",
        "step": networks.checkpoint_steps[-1, 1],
        "included": networks.included[1],
    }
    assert (final.features, final.targets) == (["easy", "hard"], ["easy", "hard"])
    assert final.components == stimuli.components
    assert final.analysed == "hidden1"


def test_layers_and_outputs_are_those_of_each_network_alone(networks, stimuli):
    final = found(networks, stimuli)[-1]
    for split, part in (("validation", final.fit), ("test", final.test)):
        inputs, labels, _ = stimuli.part(split)
        np.testing.assert_array_equal(part.regressors, inputs)
        np.testing.assert_array_equal(part.labels, labels)
        assert list(part.known) == [*stimuli.features, *stimuli.components]
        assert list(part.layers) == ["hidden1", "hidden2"]
        for n in range(2):
            alone = {name: torch.from_numpy(w[-1, [n]]) for name, w in networks.weights.items()}
            hidden, logits = forward(alone, torch.from_numpy(inputs)[None], SPEC)
            for layer, values in zip(part.layers, hidden, strict=True):
                ours = part.layers[layer][n]
                np.testing.assert_allclose(ours, values[0].numpy(), rtol=1e-5, atol=1e-6)
                if split == "test":
                    again = final.run(layer, part.layers[layer])[n]
                    np.testing.assert_array_equal(again, logits[0].numpy() > 0)


def test_the_final_variance_is_about_the_mean_of_what_is_fitted(networks, stimuli):
    *_, before, final = found(networks, stimuli)
    for layer, variance in final.final_variance.items():
        for n in range(2):
            mean = final.fit.layers[layer][n].astype(float).mean(axis=0)
            squares = (final.test.layers[layer][n].astype(float) - mean) ** 2
            assert variance[n] == pytest.approx(squares.sum(axis=1).mean(), rel=1e-12)
        np.testing.assert_array_equal(
            before.final_variance[layer], variance[-len(before.networks) :]
        )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_that_diverged_is_left_out_where_it_did(networks, stimuli, value):
    networks.weights["w1"][-1, 0, 0, 0] = value
    initial, *_, final = found(networks, stimuli)
    assert [row["seed"] for row in initial.networks] == [3, 8]
    assert [row["seed"] for row in final.networks] == [8]
    assert final.test.layers["hidden2"].shape == (1, 40, 7)
    for variance in initial.final_variance.values():
        np.testing.assert_array_equal(np.isnan(variance), [True, False])
