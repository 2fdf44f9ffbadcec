"""A network is the same in any company: alone, in a stack, and in a stack that shrinks."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks import device
from repbias.networks.ensembles import Ensemble
from repbias.networks.mlp import MLP
from repbias.networks.spec import Training
from repbias.networks.stacked_training import Stack, shape_of
from repbias.networks.training import train, train_ensembles
from repbias.stimuli.bits import Bits

OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1},
    "momentum": {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "adam": {"optimizer": "adam", "learning_rate": 0.01},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
}
NOISE = {"none": {}, "dropout": {"dropout": 0.3}, "parameter noise": {"parameter_noise": 0.05}}
CURRICULA = {"joint": [], "easy first": ["f0"], "hard first": ["f1", "f0"]}


@pytest.fixture
def shrunk(monkeypatch) -> list[tuple[int, int]]:
    """Numbers of networks in a stack before and after it shrank, whenever one did."""
    sizes = []
    shrink = Stack._shrink

    def watched(stack):
        before = len(stack._stacked)
        shrink(stack)
        sizes.append((before, len(stack._stacked)))

    monkeypatch.setattr(Stack, "_shrink", watched)
    return sizes


def stimuli_with(*functions: str, noise_bits: int = 4, seed: int = 0, **feature) -> Stimuli:
    features = {f"f{i}": {"function": f, "bits": 4} | feature for i, f in enumerate(functions)}
    sizes = {"n_train": 96, "n_validation": 40, "n_test": 40, "training_sets": "common"}
    return Bits(features=features, noise_bits=noise_bits, seed=seed, **sizes).generate()


def assert_same_network(together: Networks, n: int, alone: Networks) -> None:
    """Check that network n of some is the only one of the others, to the last bit."""
    assert together.weights.keys() == alone.weights.keys()
    np.testing.assert_array_equal(together.checkpoint_names, alone.checkpoint_names)
    np.testing.assert_array_equal(together.checkpoint_steps[:, n], alone.checkpoint_steps[:, 0])
    for name, w in alone.weights.items():
        assert w.dtype == together.weights[name].dtype == np.float32
        np.testing.assert_array_equal(together.weights[name][:, n], w[:, 0], err_msg=name)
    # With others in the table there may be more steps, at which this one was not evaluated.
    steps = together.curves["step"]
    assert set(alone.curves["step"]) <= set(steps)
    own = np.isin(steps, alone.curves["step"])
    for curve in ("loss", "accuracy"):
        np.testing.assert_array_equal(together.curves[curve][own, n], alone.curves[curve][:, 0])
        assert np.isnan(together.curves[curve][~own, n]).all()
    np.testing.assert_array_equal(together.mastery_step[n], alone.mastery_step[0])
    np.testing.assert_array_equal(together.test_accuracy[n], alone.test_accuracy[0])
    assert together.included[n] == alone.included[0]
    assert together.targets == alone.targets


# One condition.

#: Sizes that fill a processor's vector registers, and sizes that leave a rest.
SHAPES = {
    "round": {"functions": ["bit", "xor"], "hidden": [32, 16], "batch_size": 32},
    "odd": {"functions": ["bit", "xor", "parity"], "hidden": [13, 5], "batch_size": 7},
    "one feature": {"functions": ["xor"], "hidden": [13, 5], "batch_size": 30},
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_member_of_a_stack_equals_the_same_seed_alone(monkeypatch, optimizer, shape):
    settings = SHAPES[shape]
    noise_bits = 4 if len(settings["functions"]) > 1 else 8
    stimuli = stimuli_with(*settings["functions"], noise_bits=noise_bits)
    network = MLP(hidden=settings["hidden"])
    training = Training(
        **OPTIMIZERS[optimizer],
        batch_size=settings["batch_size"],
        max_steps=20,
        evaluate_every=5,
        checkpoints=3,
    )
    seeds = [4, 0, 9, 2, 7]
    singles = [train(stimuli, network, training, [seed], "cpu") for seed in seeds]
    for chunk in (2, 5):
        monkeypatch.setattr(device, "CPU_STACK", chunk)
        together = train(stimuli, network, training, seeds, "cpu")
        assert together.seeds.tolist() == seeds
        for n, single in enumerate(singles):
            assert_same_network(together, n, single)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("noise", NOISE)
def test_those_that_stay_do_not_notice_that_others_leave(monkeypatch, shrunk, optimizer, noise):
    """Networks of one condition stop when they have mastered its targets, each at its time."""
    stimuli = stimuli_with("bit", "xor", noise_bits=6)
    network = MLP(hidden=[24, 9])
    settings = OPTIMIZERS[optimizer] | NOISE[noise] | {"targets": ["f0"], "mastery": 0.9}
    training = Training(
        **settings, batch_size=32, max_steps=60, extra_steps=4, evaluate_every=2, checkpoints=5
    )
    seeds = [4, 0, 9, 2, 7, 1]
    monkeypatch.setattr(device, "CPU_STACK", 6)
    together = train(stimuli, network, training, seeds, "cpu")
    assert len(shrunk) >= 2, "the stack shrinks, and what is left of it shrinks again"
    assert any(after > 1 for _, after in shrunk)
    for n, seed in enumerate(seeds):
        assert_same_network(together, n, train(stimuli, network, training, [seed], "cpu"))


# Many conditions in one stack.


def mixed_conditions(normalisation: str, precision: str = "float32") -> list[Ensemble]:
    """Every optimiser with every kind of noise and curriculum; all else differs at random."""
    rng = np.random.default_rng(0)
    stimuli = [
        stimuli_with("bit", "xor", "and", seed=0),
        stimuli_with("bit", "xor", "and", seed=1, supervised=0.6),
        stimuli_with("bit", "xor", "or", seed=2, gain=2.0),
    ]

    def one_of(*options):
        return options[rng.integers(len(options))]

    conditions = []
    for optimizer, noise, curriculum in product(OPTIMIZERS, NOISE, CURRICULA):
        settings = OPTIMIZERS[optimizer] | NOISE[noise] | {"curriculum": CURRICULA[curriculum]}
        settings["learning_rate"] *= one_of(1, 0.5)
        settings["weight_decay"] = one_of(0, 0.05)
        # 13, 18 and 31 are no multiples of the steps between evaluations.
        settings |= {"max_steps": one_of(13, 18, 31, 32), "extra_steps": one_of(0, 3, None)}
        settings |= {"targets": one_of(None, ["f1", "f0"]), "mastery": one_of(0.51, 0.55, 0.9)}
        training = Training(
            **settings, batch_size=7, evaluate_every=4, checkpoints=6, precision=precision
        )
        network = MLP(
            hidden=[13, 5],
            init=one_of("lecun", "he", "torch"),
            init_scale=one_of(0.5, 1.0, 2.0),
            normalisation=normalisation,
        )
        seeds = [int(seed) for seed in rng.choice(20, size=one_of(1, 2), replace=False)]
        conditions.append(Ensemble(one_of(*stimuli), network, training, seeds))
    return conditions


def alone(conditions: list[Ensemble]) -> Iterator[tuple[int, int, Networks]]:
    for i, c in enumerate(conditions):
        for n, seed in enumerate(c.seeds):
            yield i, n, train(c.stimuli, c.network, c.training, [seed], "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["none", "layer"])
def test_mixed_stacks_of_conditions(monkeypatch, shrunk, normalisation):
    conditions = mixed_conditions(normalisation)
    assert len({shape_of(c) for c in conditions}) == 1, "all fit into one stack"
    different = [
        {getattr(c.training, name) for c in conditions} for name in ("optimizer", "mastery")
    ]
    assert [len(d) for d in different] == [3, 3]
    singles = list(alone(conditions))
    order = np.random.default_rng(1).permutation(len(conditions))
    for chunk, places in ((9, range(len(conditions))), (100, order)):
        shrunk.clear()
        monkeypatch.setattr(device, "CPU_STACK", chunk)
        found = train_ensembles([conditions[i] for i in places], "cpu")
        together = dict(zip(places, found, strict=True))
        for i, n, single in singles:
            assert_same_network(together[i], n, single)
        assert len(shrunk) >= 2
        assert any(after > 2 for _, after in shrunk), "several networks of different optimisers"
    # Networks ended early for either reason, and curricula came to a later stage.
    early, late, staged = 0, 0, 0
    for i, _, single in singles:
        training, final = conditions[i].training, single.checkpoint_steps[-1, 0]
        early += final < training.max_steps
        late += final == training.max_steps
        if training.curriculum:
            first = single.features.index(training.curriculum[0])
            staged += 0 < single.mastery_step[0, first] < final
    assert min(early, late, staged) >= 3


def test_mixed_stacks_in_bfloat16(monkeypatch, shrunk):
    conditions = mixed_conditions("none", "bfloat16")[::3]
    monkeypatch.setattr(device, "CPU_STACK", 8)
    together = train_ensembles(conditions, "cpu")
    assert shrunk
    for i, n, single in alone(conditions):
        assert_same_network(together[i], n, single)


def test_full_batches_in_a_stack(monkeypatch):
    stimuli = [stimuli_with("bit", "xor", seed=seed) for seed in (0, 1)]
    conditions = [
        Ensemble(
            s,
            MLP(hidden=[13, 5]),
            Training(**settings, batch_size="full", max_steps=12, evaluate_every=4),
            [3, 1],
        )
        for s in stimuli
        for settings in OPTIMIZERS.values()
    ]
    together = train_ensembles(conditions, "cpu")
    for i, n, single in alone(conditions):
        assert_same_network(together[i], n, single)


def test_conditions_of_different_shapes_come_back_in_their_order():
    """Widths, batches, features and normalisation cannot be mixed in a stack."""
    plain = {"batch_size": 16, "max_steps": 8, "evaluate_every": 4}
    two, three = stimuli_with("bit", "xor"), stimuli_with("bit", "xor", "and")
    conditions = [
        Ensemble(two, MLP(hidden=[13]), Training(**plain), [0, 1]),
        Ensemble(three, MLP(hidden=[13]), Training(**plain), [0]),
        Ensemble(two, MLP(hidden=[13, 4]), Training(**plain), [0]),
        Ensemble(two, MLP(hidden=[13], activation="tanh"), Training(**plain), [0]),
        Ensemble(two, MLP(hidden=[13], normalisation="layer"), Training(**plain), [0]),
        Ensemble(two, MLP(hidden=[13]), Training(**plain | {"batch_size": 8}), [0]),
        Ensemble(two, MLP(hidden=[13]), Training(**plain | {"evaluate_every": 2}), [0]),
        Ensemble(two, MLP(hidden=[13]), Training(**plain, precision="bfloat16"), [0]),
        Ensemble(two, MLP(hidden=[13], init="he", init_scale=2), Training(**plain), [1, 0]),
    ]
    assert shape_of(conditions[0]) == shape_of(conditions[-1])
    assert len({shape_of(c) for c in conditions}) == len(conditions) - 1
    together = train_ensembles(conditions, "cpu")
    for condition, networks in zip(conditions, together, strict=True):
        assert networks.seeds.tolist() == condition.seeds
        assert networks.features == condition.stimuli.features
    for i, n, single in alone(conditions):
        assert_same_network(together[i], n, single)


# The end of a network need not be a multiple of the steps between evaluations.


@pytest.fixture
def two_ends() -> list[Ensemble]:
    """One network that ends at 14, and one that goes on to 40 and has a checkpoint at 14."""
    stimuli = stimuli_with("bit", "xor")
    plain = {"batch_size": 16, "evaluate_every": 10, "extra_steps": None}
    return [
        Ensemble(stimuli, MLP(hidden=[13]), Training(**plain, max_steps=limit, checkpoints=5), [2])
        for limit in (14, 40)
    ]


def test_a_network_is_evaluated_at_its_own_end_and_others_are_not(two_ends):
    short, long = train_ensembles(two_ends, "cpu")
    assert short.curves["step"].tolist() == [0, 10, 14]
    assert long.curves["step"].tolist() == [0, 10, 20, 30, 40]
    assert short.checkpoint_steps[-1, 0] == 14
    assert long.checkpoint_steps[-1, 0] == 40


def test_a_checkpoint_is_not_lost_where_another_network_ends(two_ends):
    assert np.geomspace(10, 40, 5).round().tolist() == [10, 14, 20, 28, 40]
    short, long = train_ensembles(two_ends, "cpu")
    assert 14 in long.checkpoint_steps[:, 0]
    row = long.checkpoint_steps[:, 0].tolist().index(14)
    for name, w in long.weights.items():
        np.testing.assert_array_equal(w[row, 0], short.weights[name][-1, 0])
    assert_same_network(long, 0, next(single for i, _, single in alone(two_ends) if i == 1))
