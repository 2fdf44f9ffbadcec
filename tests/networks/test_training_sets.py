"""Each network is trained on its own training set, alone and in any stack."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from repbias.base.spec import RepbiasError
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.ensembles import Ensemble
from repbias.networks.mlp import MLP
from repbias.networks.own import OwnArchitecture
from repbias.networks.spec import Training
from repbias.networks.stacked_training import Stack
from repbias.networks.training import train, train_ensembles
from repbias.stimuli.bits import Bits

SHORT = {"batch_size": 16, "max_steps": 24, "evaluate_every": 4, "checkpoints": 3}
NETWORKS = {
    "stacked": MLP(hidden=[13, 5]),
    "module": OwnArchitecture(factory="own_networks:mlp", layers=["1", "3"]),
}


def family(seed: int = 0, supervised: float = 1.0, **changes) -> Bits:
    features = {name: {"function": name, "bits": 4} for name in ("bit", "xor")}
    features["xor"]["supervised"] = supervised
    sizes = {"n_train": 96, "n_validation": 40, "n_test": 41}
    return Bits(features=features, noise_bits=8, seed=seed, **(sizes | changes))


def with_training_set(common: Stimuli, training: Stimuli) -> Stimuli:
    """Put a training set beside the stimuli that networks have in common."""
    joined = {}
    for field in fields(Stimuli):
        value = getattr(training, field.name)
        if isinstance(value, np.ndarray):
            joined[field.name] = np.concatenate([value, getattr(common, field.name)])
    return replace(common, **joined)


def assert_same_network(a: Networks, i: int, b: Networks, j: int) -> None:
    for name, w in a.weights.items():
        np.testing.assert_array_equal(w[:, i], b.weights[name][:, j], err_msg=name)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("supervised", [1.0, 0.6])
def test_a_network_is_the_one_that_its_training_set_gives(network, supervised):
    """The reference is given one set of stimuli for all, and no family."""
    spec, training = family(supervised=supervised), Training(**SHORT)
    common = spec.generate()
    networks = train(common, network, training, range(3), "cpu", spec)
    for n in range(3):
        shown = with_training_set(common, spec.training_set(n, common))
        assert_same_network(networks, n, train(shown, network, training, [n], "cpu"), 0)
    first = with_training_set(common, spec.training_set(0, common))
    of_first_set = train(first, network, training, range(3), "cpu")
    name = next(iter(networks.weights))
    for n in (1, 2):
        initial, *_, final = networks.weights[name][:, n]
        np.testing.assert_array_equal(initial, of_first_set.weights[name][0, n])
        assert not np.array_equal(final, of_first_set.weights[name][-1, n])


def test_a_network_with_its_own_training_set_does_not_notice_others():
    """Neighbours have sets of their own, one in common, or other ones, and stop earlier."""
    settings = {"max_steps": 150, "evaluate_every": 5, "batch_size": 16, "learning_rate": 0.01}
    network, slow = MLP(hidden=[13, 5]), Training(extra_steps=5, **settings)
    quick = slow.model_copy(update={"targets": ["bit"]})
    families = [family(), family(supervised=0.6), family(1), family(2, training_sets="common")]
    ensembles = [
        Ensemble(spec.generate(), network, training, range(n), spec)
        for spec, training, n in zip(
            families, [slow, quick, quick, quick], [3, 2, 3, 2], strict=True
        )
    ]
    stacked = train_ensembles(ensembles, "cpu")
    stops = {int(networks.checkpoint_steps[-1, n]) for networks in stacked for n in range(2)}
    assert len(stops) > 2, "the stack has shrunk"
    for ensemble, networks in zip(ensembles, stacked, strict=True):
        for n in ensemble.seeds:
            alone = train_ensembles([replace(ensemble, seeds=[n])], "cpu")[0]
            assert_same_network(networks, n, alone, 0)


def test_conditions_of_equal_stimuli_have_equal_training_sets_which_a_stack_holds_once():
    network, training = MLP(hidden=[13, 5]), Training(**SHORT)
    faster = training.model_copy(update={"learning_rate": 0.01})
    ensembles = [
        Ensemble(family().generate(), network, settings, range(3), family())
        for settings in (training, faster)
    ]
    members = [(ensemble, seed) for ensemble in ensembles for seed in range(3)]
    stack = Stack(members, torch.device("cpu"))
    shown, _, _ = stack._train.at(torch.arange(96).expand(6, 96))
    assert len(stack._train._inputs) == 3
    for (_, seed), inputs in zip(members, shown.numpy(), strict=True):
        expected = family().training_set(seed).inputs
        np.testing.assert_array_equal(inputs[:, : expected.shape[1]], expected)
    for ensemble, networks in zip(ensembles, train_ensembles(ensembles, "cpu"), strict=True):
        alone = train_ensembles([ensemble], "cpu")[0]
        for n in range(3):
            assert_same_network(networks, n, alone, n)


def test_full_batches_and_a_logit_for_each_class():
    spec = family()
    training = Training(**SHORT | {"batch_size": "full"}, two_classes="softmax")
    ensemble = Ensemble(spec.generate(), NETWORKS["stacked"], training, [0, 4], spec)
    assert ensemble.batch_size == 96
    (networks,) = train_ensembles([ensemble], "cpu")
    shown = with_training_set(ensemble.stimuli, spec.training_set(4))
    alone = train(shown, NETWORKS["stacked"], training, [4], "cpu")
    assert_same_network(networks, 1, alone, 0)


def test_stimuli_without_a_training_set_need_their_family():
    with pytest.raises(RepbiasError, match="no training stimuli; give the family"):
        train(family().generate(), MLP(hidden=[5]), Training(**SHORT), [0], "cpu")


def test_a_batch_larger_than_the_training_set():
    spec = family()
    with pytest.raises(RepbiasError, match="batch_size is 97, but there are 96 stimuli"):
        train(spec.generate(), MLP(), Training(batch_size=97), [0], "cpu", spec)
