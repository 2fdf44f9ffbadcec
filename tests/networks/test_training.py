"""Training of stacked networks against separate PyTorch loops, and what is recorded of it."""

import dataclasses
import math
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from repbias.base.spec import RepbiasError
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks import device
from repbias.networks import training as module
from repbias.networks.batch import learning_table
from repbias.networks.ensembles import Ensemble
from repbias.networks.mlp import MLP
from repbias.networks.spec import Training
from repbias.networks.stacks import initial_weights
from repbias.networks.training import train, train_ensembles
from repbias.stimuli.bits import Bits
from repbias.tables import TABLES

OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1},
    "momentum": {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "adam": {"optimizer": "adam", "learning_rate": 0.003},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 0.1},
}
optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS)


def stimuli_with(*functions: str, noise_bits: int = 4, **changes: object) -> Stimuli:
    """Stimuli with features f0, f1, ...; changes of a feature go by its name."""
    features = {f"f{i}": {"function": f, "bits": 4} for i, f in enumerate(functions)}
    features = {name: feature | changes.pop(name, {}) for name, feature in features.items()}
    sizes = {"n_train": 96, "n_validation": 40, "n_test": 40, "training_sets": "common"}
    sizes |= changes
    return Bits(features=features, noise_bits=noise_bits, **sizes).generate()


def logits_of(networks: Networks, checkpoint: int, n: int, inputs: np.ndarray) -> np.ndarray:
    """Run one leaky-ReLU network forward, in NumPy and double precision."""
    w = {name: values[checkpoint, n].astype(float) for name, values in networks.weights.items()}
    x = inputs.astype(float)
    for i in range(1, len(w) // 2 + 1):
        x = (x if i == 1 else np.where(x > 0, x, 0.01 * x)) @ w[f"w{i}"] + w[f"b{i}"]
    return x


def accuracy_of(networks: Networks, checkpoint: int, n: int, stimuli: Stimuli, split: str):
    inputs, labels, _ = stimuli.part(split)
    return ((logits_of(networks, checkpoint, n, inputs) > 0) == labels).mean(axis=0)


# A network is what PyTorch alone would make of it.


class Normalise(nn.Module):
    def forward(self, x):
        return nn.functional.layer_norm(x, x.shape[-1:])


class Dropout(nn.Module):
    """Dropout whose masks come from a stream of random numbers that all layers share."""

    def __init__(self, rate: float, stream: np.random.Generator):
        super().__init__()
        self.rate, self.stream = rate, stream

    def forward(self, x):
        if not (self.training and self.rate):
            return x
        draws = self.stream.integers(0, 2**16, size=tuple(x.shape), dtype=np.uint16)
        included = torch.from_numpy(draws >= round(self.rate * 2**16))
        return torch.where(included, x / (1 - self.rate), torch.zeros(()))


def trained_by_torch(
    stimuli: Stimuli, network: MLP, training: Training, seed: int
) -> tuple[nn.Sequential, dict[int, float]]:
    """Train one network with PyTorch's own layers, loss and optimiser.

    Returns the network and its validation loss at every multiple of `evaluate_every`.
    """
    weights = initial_weights(network, stimuli.inputs.shape[1], len(stimuli.features), seed)
    n_layers = len(weights) // 2
    model, dropout = nn.Sequential(), np.random.default_rng([seed, 2])
    linears = []
    for i in range(1, n_layers + 1):
        linear = nn.Linear(*weights[f"w{i}"].shape)
        linear.weight.data, linear.bias.data = weights[f"w{i}"].T.clone(), weights[f"b{i}"][0]
        linears.append(linear)
        model.append(linear)
        if i < n_layers:
            if network.normalisation == "layer":
                model.append(Normalise())
            model.extend([nn.LeakyReLU(), Dropout(training.dropout, dropout)])
    kwargs = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    if training.optimizer == "sgd":
        kwargs["momentum"] = training.momentum
    maker = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    optimizer = maker[training.optimizer](model.parameters(), foreach=False, **kwargs)
    noise = np.random.default_rng([seed, 3])
    targets = training.targets or stimuli.features
    mastered: set[str] = set()
    n = int((stimuli.split == "train").sum())
    batch_size = n if training.batch_size == "full" else training.batch_size

    def losses_of(split: str, rows: np.ndarray | slice) -> dict[str, torch.Tensor]:
        """Return the sum over stimuli for every target, and update what has been mastered."""
        chosen = np.flatnonzero(stimuli.split == split)[rows]
        logits = model(torch.from_numpy(stimuli.inputs[chosen])).float()
        losses = {}
        for target in targets:
            i = stimuli.features.index(target)
            wanted = torch.from_numpy(stimuli.labels[chosen, i]).float()
            each = nn.functional.binary_cross_entropy_with_logits(
                logits[:, i], wanted, reduction="none"
            )
            if split == "train":
                each = each[torch.from_numpy(stimuli.supervised[chosen, i])]
            elif ((logits[:, i] > 0) == (wanted > 0)).float().mean() >= training.mastery:
                mastered.add(target)
            losses[target] = each.sum() / len(chosen)
        return losses

    def rewarded() -> list[str]:
        """Return the targets of this stage of the curriculum."""
        for i, target in enumerate(training.curriculum):
            if target not in mastered:
                return training.curriculum[: i + 1]
        return targets

    def backward(rows: np.ndarray) -> None:
        exact = {p: p.detach().clone() for p in model.parameters()}
        if training.parameter_noise:
            for linear in linears:  # drawn as (input, output), the transpose of PyTorch's
                for p, shape in (
                    (linear.weight, linear.weight.T.shape),
                    (linear.bias, (1, len(linear.bias))),
                ):
                    drawn = noise.standard_normal(tuple(shape), np.float32)
                    values = torch.from_numpy(drawn * np.float32(training.parameter_noise))
                    p.data += values.T if p is linear.weight else values[0]
        optimizer.zero_grad()
        low = training.precision == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            losses = losses_of("train", rows)
            loss = sum(losses[target] for target in rewarded()) / len(targets)
        loss.backward()
        for p, value in exact.items():
            p.data = value

    # Every network's stream of batches: epochs of its own seed's permutations, rests dropped.
    stream = np.random.default_rng([seed, 1])
    curve, step = {}, 0
    while True:
        order = stream.permutation(n)
        for start in range(0, n - batch_size + 1, batch_size):
            if step % training.evaluate_every == 0:
                model.eval()
                with torch.no_grad():
                    losses = losses_of("validation", slice(None))
                curve[step] = sum(loss.item() for loss in losses.values()) / len(targets)
            if step == training.max_steps:
                return model, curve
            model.train()
            backward(order[start : start + batch_size])
            optimizer.step()
            step += 1


def distance(networks: Networks, model: nn.Sequential) -> float:
    """Return the largest difference between final parameters."""
    linears = [layer for layer in model if isinstance(layer, nn.Linear)]
    differences = []
    for i, linear in enumerate(linears, start=1):
        ours, bias = networks.weights[f"w{i}"][-1, 0], networks.weights[f"b{i}"][-1, 0, 0]
        differences += [
            np.abs(ours - linear.weight.detach().numpy().T).max(),
            np.abs(bias - linear.bias.detach().numpy()).max(),
        ]
    return float(max(differences))


@optimizers
@pytest.mark.parametrize("batch_size", [28, 32, 96])
@pytest.mark.parametrize("targets", [None, ["f1"]])
def test_training_equals_a_plain_pytorch_loop(optimizer, batch_size, targets):
    stimuli = stimuli_with("bit", "xor")
    network = MLP(hidden=[12, 7])
    training = Training(
        **OPTIMIZERS[optimizer],
        targets=targets,
        batch_size=batch_size,
        max_steps=24,
        evaluate_every=8,
        checkpoints=2,
    )
    networks = train(stimuli, network, training, [5], "cpu")
    model, losses = trained_by_torch(stimuli, network, training, seed=5)
    for i, linear in enumerate(model[::3], start=1):
        ours, bias = networks.weights[f"w{i}"][-1, 0], networks.weights[f"b{i}"][-1, 0, 0]
        np.testing.assert_allclose(ours, linear.weight.detach().numpy().T, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(bias, linear.bias.detach().numpy(), rtol=1e-4, atol=1e-5)
    assert networks.curves["step"].tolist() == list(losses)
    np.testing.assert_allclose(networks.curves["loss"][:, 0], list(losses.values()), rtol=1e-4)
    inputs, labels, _ = stimuli.part("test")
    accuracy = ((model(torch.from_numpy(inputs)) > 0).numpy() == labels).mean(axis=0)
    np.testing.assert_allclose(networks.test_accuracy[0], accuracy)


#: What differs from the plain case: features, architecture, training.
MANIPULATED = {
    "half of the labels": ({"f0": {"supervised": 0.5}, "f1": {"supervised": 0.8}}, {}, {}),
    "one feature unsupervised": ({"f1": {"supervised": 0.0}}, {}, {}),
    "hard first": ({}, {}, {"curriculum": ["f1"], "mastery": 0.54}),
    "easy first": ({}, {}, {"curriculum": ["f0"], "mastery": 0.9}),
    "hard only": ({}, {}, {"curriculum": ["f1"], "mastery": 1.0}),
    "one after the other": ({}, {}, {"curriculum": ["f2", "f0"], "mastery": 0.63}),
    "curriculum of some targets": (
        {},
        {},
        {"curriculum": ["f1"], "targets": ["f2", "f1"], "mastery": 0.54},
    ),
    "normalisation": ({}, {"normalisation": "layer"}, {}),
    "initial scale": ({}, {"init_scale": 0.5}, {}),
    "torch initialisation": ({}, {"init": "torch"}, {}),
    "dropout": ({}, {}, {"dropout": 0.3}),
    "parameter noise": ({}, {}, {"parameter_noise": 0.1}),
    "full batch": ({}, {}, {"batch_size": "full"}),
    "weight decay": ({}, {}, {"weight_decay": 0.3}),
    "everything": (
        {"f0": {"supervised": 0.5}},
        {"normalisation": "layer", "init_scale": 0.7},
        {
            **{"dropout": 0.2, "parameter_noise": 0.05, "weight_decay": 0.03},
            **{"curriculum": ["f2"], "mastery": 0.6},
        },
    ),
}
#: Fast enough for curricula to come to their last stage.
FAST = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.5},
    "momentum": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "adam": {"optimizer": "adam", "learning_rate": 0.02},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.02, "weight_decay": 0.1},
}


PLAIN = {"batch_size": 32, "max_steps": 36, "evaluate_every": 4, "checkpoints": 2}


def compact_stimuli(**features: dict) -> Stimuli:
    domains = {"f0": {"bits": 2}, "f1": {"bits": 2}, "f2": {"bits": 3, "k": 3}}
    changed = {name: domain | features.get(name, {}) for name, domain in domains.items()}
    return stimuli_with("bit", "xor", "majority", noise_bits=3, **changed)


@cache
def without_change(optimizer: str) -> nn.Sequential:
    training = Training(**PLAIN, **FAST[optimizer])
    return trained_by_torch(compact_stimuli(), MLP(hidden=[24, 12]), training, seed=5)[0]


#: Cases that an optimiser notices by more than the gradients that it is given: those of some
#: weights are 0 for a time, weights are others in the forward pass, or they decay.
OF_OPTIMIZERS = ["one feature unsupervised", "hard first", "hard only", "parameter noise"]
OF_OPTIMIZERS += ["weight decay", "everything"]


@pytest.mark.parametrize(
    ("optimizer", "case"),
    [*product(["adam"], MANIPULATED), *product(["sgd", "momentum", "adamw"], OF_OPTIMIZERS)],
)
def test_manipulated_training_equals_a_plain_pytorch_loop(optimizer, case):
    features, architecture, changes = MANIPULATED[case]
    plain = PLAIN | FAST[optimizer]
    network = MLP(**({"hidden": [24, 12]} | architecture))
    training = Training(**(plain | changes | {"extra_steps": None}))
    stimuli = compact_stimuli(**features)
    networks = train(stimuli, network, training, [5], "cpu")
    model, losses = trained_by_torch(stimuli, network, training, seed=5)
    assert distance(networks, model) < 2e-5
    np.testing.assert_allclose(networks.curves["loss"][:, 0], list(losses.values()), rtol=1e-4)
    # The same loop without the change ends elsewhere: the comparison can tell them apart.
    assert distance(networks, without_change(optimizer)) > 1e-2
    for feature in training.curriculum:
        mastered = networks.mastery_step[0, networks.features.index(feature)]
        if case == "hard only":
            assert mastered in (-1, 36)
            if not training.weight_decay:
                waiting = networks.weights["w3"][:, 0][..., [0, 2]]
                np.testing.assert_array_equal(waiting[-1], waiting[0])
        else:
            assert 0 < mastered < 36, "there is a stage after this one"


def test_a_curriculum_of_what_is_mastered_from_the_start_changes_nothing():
    plain = {"batch_size": 32, "max_steps": 8, "evaluate_every": 4, "extra_steps": None}
    stimuli, network = compact_stimuli(), MLP(hidden=[24, 12])
    joint, staged = (
        train(stimuli, network, Training(**plain, mastery=0.55, curriculum=c), [5], "cpu")
        for c in ([], ["f0"])
    )
    assert staged.mastery_step[0, 0] == 0
    assert (staged.mastery_step[0, 1:] != 0).all()
    for name, w in joint.weights.items():
        np.testing.assert_array_equal(staged.weights[name], w)


def test_evaluation_is_without_noise_and_dropout():
    """The curve at step 0 is that of the plain initial network."""
    stimuli = stimuli_with("bit", "xor")
    network, plain = MLP(hidden=[12, 7]), {"batch_size": 32, "max_steps": 10, "evaluate_every": 5}
    noisy = Training(dropout=0.5, parameter_noise=0.5, **plain)
    one, two = (train(stimuli, network, t, [5], "cpu") for t in (Training(**plain), noisy))
    for name in ("loss", "accuracy"):
        np.testing.assert_array_equal(one.curves[name][0], two.curves[name][0])
        assert (one.curves["loss"][1:] != two.curves["loss"][1:]).all()


@optimizers
def test_bfloat16_is_autocast_and_keeps_weights_in_float32(optimizer):
    stimuli = stimuli_with("bit", "xor")
    network, plain = MLP(hidden=[12, 7]), {"batch_size": 32, "max_steps": 10, "evaluate_every": 5}
    plain |= OPTIMIZERS[optimizer]
    full = train(stimuli, network, Training(**plain), [5], "cpu")
    low = train(stimuli, network, Training(**plain, precision="bfloat16"), [5], "cpu")
    for name, w in low.weights.items():
        assert w.dtype == np.float32
        np.testing.assert_array_equal(w[0], full.weights[name][0])
        assert (w[-1] != full.weights[name][-1]).any()
        # Not rounded to bfloat16, of which the last 16 bits are 0.
        assert (w[-1].view(np.uint32) & 0xFFFF).any()
    # Evaluation is in float32.
    assert low.curves["loss"][0] == full.curves["loss"][0]
    model, _ = trained_by_torch(stimuli, network, Training(**plain, precision="bfloat16"), seed=5)
    # Closer to autocast's network, by far, than the initial one is.
    untrained = {name: np.repeat(w[:1], len(w), axis=0) for name, w in low.weights.items()}
    start = distance(dataclasses.replace(low, weights=untrained), model)
    assert distance(low, model) < 0.1 * start


# Only targets are rewarded.


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_the_readout_of_an_unrewarded_feature_never_changes(optimizer):
    stimuli = stimuli_with("xor", "bit", "bit")
    training = Training(
        **OPTIMIZERS[optimizer], targets=["f2", "f0"], batch_size=32, max_steps=30, checkpoints=2
    )
    networks = train(stimuli, MLP(hidden=[8, 6], init="torch"), training, [0, 1], "cpu")
    for name in ("w3", "b3"):
        first, last = networks.weights[name][0], networks.weights[name][-1]
        np.testing.assert_array_equal(last[..., 1], first[..., 1])
        assert (last[..., [0, 2]] != first[..., [0, 2]]).all()


def test_weight_decay_alone_shrinks_the_readout_of_an_unrewarded_feature():
    training = Training(
        **OPTIMIZERS["adamw"], targets=["f0"], batch_size=32, max_steps=30, checkpoints=2
    )
    networks = train(stimuli_with("bit", "xor"), MLP(hidden=[8]), training, [0], "cpu")
    first, last = networks.weights["w2"][0, 0, :, 1], networks.weights["w2"][-1, 0, :, 1]
    np.testing.assert_allclose(last, first * (1 - 0.003 * 0.1) ** 30, rtol=1e-5)


# What is recorded.

RECORDED = Training(
    learning_rate=0.01,
    batch_size=32,
    max_steps=95,
    mastery=0.95,
    inclusion=0.97,
    extra_steps=20,
    evaluate_every=7,
    checkpoints=6,
    checkpoint_accuracies=[0.8, 0.6, 0.95, 1.0],
)
RECORDED_MLP = MLP(hidden=[16, 8])


@pytest.fixture(scope="module")
def stimuli() -> Stimuli:
    return stimuli_with("bit", "xor", n_train=512, n_validation=120, n_test=128)


@pytest.fixture(scope="module")
def networks(stimuli) -> Networks:
    """Train networks of every fate, in chunks of different length."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "CPU_STACK", 2)
        trained = train(stimuli, RECORDED_MLP, RECORDED, [8, 17, 7, 2, 10, 9, 1, 12], "cpu")
    final = trained.checkpoint_steps[-1]
    mastered = (trained.mastery_step >= 0).all(axis=1)
    assert (final[:2] < 95).all(), "the first chunk is shorter than the others"
    assert final[2] < final[3], "in the second chunk a network stops before its neighbour"
    assert (mastered & (final == 95)).any(), "some network runs into max_steps"
    assert not mastered.all(), "some network does not master its targets"
    return trained


def test_networks_keep_the_order_of_their_seeds(networks, stimuli):
    assert networks.seeds.tolist() == [8, 17, 7, 2, 10, 9, 1, 12]
    for n, seed in enumerate(networks.seeds):
        expected = initial_weights(RECORDED_MLP, stimuli.inputs.shape[1], 2, int(seed))
        for name, w in networks.weights.items():
            np.testing.assert_array_equal(w[0, n], expected[name])


def test_curves_run_until_a_network_stops(networks):
    steps = networks.curves["step"]
    assert steps.tolist() == [*range(0, 95, 7), 95]
    for n, final in enumerate(networks.checkpoint_steps[-1]):
        stopped = steps > final
        assert (np.isnan(networks.curves["loss"][:, n]) == stopped).all()
        assert (np.isnan(networks.curves["accuracy"][:, n]) == stopped[:, None]).all()


def test_a_feature_is_acquired_when_it_first_reaches_mastery(networks):
    steps, accuracy = networks.curves["step"], networks.curves["accuracy"]
    for n, row in enumerate(networks.mastery_step):
        for f, mastered in enumerate(row):
            reached = [s for s, a in zip(steps, accuracy[:, n, f], strict=True) if a >= 0.95]
            assert mastered == (reached[0] if reached else -1)


def test_a_network_stops_extra_steps_after_it_mastered_all_targets(networks):
    steps, accuracy = networks.curves["step"], networks.curves["accuracy"]
    for n in range(len(networks.seeds)):
        all_mastered = steps[(accuracy[:, n] >= 0.95).all(axis=1)]
        mastered, final = networks.checkpoint_steps[-2:, n]
        if len(all_mastered):
            assert mastered == all_mastered[0]
            assert final == min(95, 7 * math.ceil((mastered + 20) / 7))
        else:
            assert (mastered, final) == (-1, 95)


def test_checkpoints_are_the_network_at_their_step(networks, stimuli):
    names, steps = networks.checkpoint_names, networks.curves["step"].tolist()
    assert names.tolist() == [
        *("initial", *["grid"] * 6, *["crossing"] * 8),
        *("mastered", "final"),
    ]
    compared = set()
    for (c, n), step in np.ndenumerate(networks.checkpoint_steps):
        if step in steps:
            measured = networks.curves["accuracy"][steps.index(step), n]
            expected = accuracy_of(networks, c, n, stimuli, "validation")
            np.testing.assert_allclose(measured, expected, atol=1e-12)
            compared.add(str(names[c]))
    assert compared == set(names.tolist())


def first_reached(networks: Networks, n: int, feature: int, level: float) -> int | None:
    reached = networks.curves["accuracy"][:, n, feature] >= level
    return int(networks.curves["step"][reached][0]) if reached.any() else None


def test_checkpoints_where_a_target_first_reaches_an_accuracy(networks):
    """In the order of targets and levels; a step that was kept already is not kept again."""
    compared, skipped = 0, 0
    for n, steps in enumerate(networks.checkpoint_steps.T):
        crossings = steps[7:15]
        kept = {0, steps[-2], steps[-1]}
        for i, found in enumerate(crossings):
            step = first_reached(networks, n, i // 4, RECORDED.checkpoint_accuracies[i % 4])
            if step is None or step in kept:
                assert found == -1
                skipped += step is not None
            else:
                assert found == step
                kept.add(step)
                compared += 1
    assert compared > 30
    assert skipped > 5


def test_no_step_is_kept_twice(networks):
    for steps in networks.checkpoint_steps.T:
        # That a network was mastered at its end is the only thing said twice.
        kept = [s for s in steps[:-1] if s >= 0 and s != steps[-1]]
        assert len(set(kept)) == len(kept)


def test_only_targets_cross():
    training = RECORDED.model_copy(update={"targets": ["f1"], "max_steps": 70})
    stimuli = stimuli_with("bit", "xor", n_train=512, n_validation=120, n_test=128)
    networks = train(stimuli, RECORDED_MLP, training, [7], "cpu")
    assert networks.checkpoint_names.tolist().count("crossing") == 4
    crossings = networks.checkpoint_steps[networks.checkpoint_names == "crossing", 0]
    for level, found in zip(training.checkpoint_accuracies, crossings, strict=True):
        step = first_reached(networks, 0, 1, level)
        assert found in (step, -1)
        assert (found == -1) == (step is None or step in networks.checkpoint_steps[[0, -2, -1], 0])
    assert (crossings > 0).sum() >= 2


def test_without_accuracies_there_are_no_crossings(stimuli):
    training = RECORDED.model_copy(update={"checkpoint_accuracies": [], "max_steps": 21})
    networks = train(stimuli, RECORDED_MLP, training, [7], "cpu")
    assert "crossing" not in networks.checkpoint_names


def test_checkpoints_between_are_evenly_spaced_in_log_time(networks):
    expected = np.round(np.geomspace(7, 95, 6))
    for steps in networks.checkpoint_steps.T:
        grid, others, final = steps[1:7], {*steps[7:]}, steps[-1]
        for wanted, step in zip(expected, grid, strict=True):
            # A checkpoint that has another name already, or lies after the end, is not repeated.
            assert step == (-1 if wanted in others or wanted > final else wanted)


def test_a_step_off_the_evaluation_grid_is_kept_as_it_was(stimuli):
    """Checkpoints fall between evaluations, too: a shorter run ends there."""
    training = RECORDED.model_copy(update={"max_steps": 60, "extra_steps": None})
    networks = train(stimuli, RECORDED_MLP, training, [7], "cpu")
    between = [int(s) for s in networks.checkpoint_steps[1:7, 0] if s % 7 and 0 < s < 60]
    assert between
    for step in between:
        row = networks.checkpoint_steps[:, 0].tolist().index(step)
        shorter = training.model_copy(update={"max_steps": step})
        ended = train(stimuli, RECORDED_MLP, shorter, [7], "cpu")
        for name, w in networks.weights.items():
            np.testing.assert_array_equal(w[row, 0], ended.weights[name][-1, 0])


def test_final_checkpoint_reproduces_the_test_accuracy(networks, stimuli):
    for n in range(len(networks.seeds)):
        expected = accuracy_of(networks, -1, n, stimuli, "test")
        np.testing.assert_allclose(networks.test_accuracy[n], expected, atol=1e-12)


def test_included_are_those_that_meet_the_criterion_on_every_target(networks):
    expected = [all(a >= 0.97 for a in row) for row in networks.test_accuracy]
    assert networks.included.tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_unrewarded_features_do_not_matter_for_stopping_and_keeping(stimuli):
    training = RECORDED.model_copy(update={"targets": ["f0"]})
    networks = train(stimuli, RECORDED_MLP, training, [4, 3], "cpu")
    assert networks.targets == ["f0"]
    assert networks.included.all()
    assert (networks.test_accuracy[:, 1] < 0.9).all()
    assert (networks.checkpoint_steps[-2] == networks.mastery_step[:, 0]).all()
    assert (networks.mastery_step[:, 0] > 0).all()


def test_no_extra_steps_means_the_acquired_network_is_the_final_one(stimuli):
    training = RECORDED.model_copy(update={"extra_steps": 0})
    networks = train(stimuli, RECORDED_MLP, training, [4], "cpu")
    assert 0 < networks.checkpoint_steps[-2, 0] == networks.checkpoint_steps[-1, 0]
    for w in networks.weights.values():
        np.testing.assert_array_equal(w[-2], w[-1])


def test_extra_steps_of_null_train_to_the_end(stimuli):
    training = RECORDED.model_copy(update={"extra_steps": None, "max_steps": 150})
    networks = train(stimuli, RECORDED_MLP, training, [8, 17], "cpu")
    assert (networks.checkpoint_steps[-2] < 100).all()
    assert networks.checkpoint_steps[-1].tolist() == [150, 150]
    assert networks.curves["step"].tolist() == [*range(0, 150, 7), 150]
    assert np.isfinite(networks.curves["loss"]).all()
    shorter = train(
        stimuli, RECORDED_MLP, training.model_copy(update={"extra_steps": 20}), [8, 17], "cpu"
    )
    np.testing.assert_array_equal(shorter.checkpoint_steps[-2], networks.checkpoint_steps[-2])


def test_networks_that_fail_stay_in_the_table_as_not_included(stimuli):
    training = RECORDED.model_copy(update={"max_steps": 7})
    networks = train(stimuli, RECORDED_MLP, training, [0, 1, 2], "cpu")
    assert not networks.included.any()
    assert (networks.mastery_step[:, 1] == -1).all()
    assert (networks.checkpoint_steps[-2] == -1).all()
    assert (networks.checkpoint_steps[-1] == 7).all()
    table = learning_table("e", "c", networks, 0.95)
    assert table.groupby("network")["included"].any().to_dict() == dict.fromkeys(
        ["seed0", "seed1", "seed2"], False
    )


@pytest.mark.filterwarnings("error")
def test_a_network_that_diverges_is_not_included(stimuli):
    training = Training(
        optimizer="sgd", learning_rate=1e9, batch_size=32, max_steps=20, evaluate_every=10
    )
    networks = train(stimuli, RECORDED_MLP, training, [0], "cpu")
    assert not networks.included.any()
    assert np.isnan(networks.curves["loss"][-1]).all()
    assert (networks.mastery_step == -1).all()
    assert len(learning_table("e", "c", networks, 0.95)) == 2 * 3


def test_a_network_that_diverges_is_not_included_even_without_a_criterion(stimuli):
    """It reports 0 everywhere, which is right half of the time."""
    settings = {"optimizer": "sgd", "batch_size": 32, "max_steps": 20, "evaluate_every": 10}
    ensembles = [
        Ensemble(stimuli, RECORDED_MLP, Training(**settings, learning_rate=rate, inclusion=0), [0])
        for rate in (1e9, 1e-3)
    ]
    diverged, fine = train_ensembles(ensembles, "cpu")
    np.testing.assert_allclose(diverged.test_accuracy, 0.5, atol=0.05)
    assert diverged.included.tolist() == [False]
    assert fine.included.tolist() == [True]
    assert set(learning_table("e", "c", diverged, 0.95)["included"]) == {False}


def test_learning_table_holds_the_curves(networks):
    table = learning_table("tasks", "targets=both", networks, 0.95)
    assert tuple(table.columns) == TABLES["learning"].columns
    accuracy = networks.curves["accuracy"]
    assert len(table) == np.isfinite(accuracy).sum()
    assert set(table["experiment"]) == {"tasks"}
    assert set(table["condition"]) == {"targets=both"}
    assert (table["network"] == "seed" + table["seed"].astype(str)).all()
    assert table["target"].all()
    for n, seed in enumerate(networks.seeds):
        rows = table[table["seed"] == seed]
        assert set(rows["included"]) == {networks.included[n]}
        wide = rows.pivot(index="step", columns="feature", values="accuracy")
        expected = pd.DataFrame(accuracy[:, n], networks.curves["step"], networks.features).dropna()
        np.testing.assert_array_equal(wide.to_numpy(), expected.to_numpy())
        np.testing.assert_array_equal(wide.index, expected.index)
        losses = rows.drop_duplicates("step")["loss"]
        np.testing.assert_array_equal(losses, networks.curves["loss"][: len(losses), n])


def test_learning_table_names_the_targets(stimuli):
    training = RECORDED.model_copy(update={"targets": ["f1"], "max_steps": 7})
    networks = train(stimuli, RECORDED_MLP, training, [0], "cpu")
    table = learning_table("e", "c", networks, training.mastery)
    assert table.groupby("feature")["target"].unique().map(list).to_dict() == {
        "f0": [False],
        "f1": [True],
    }


@pytest.mark.parametrize("mastery", [0.6, 0.95, 1.0])
def test_learning_table_says_what_is_mastered(networks, mastery):
    """At every step by itself: what was forgotten again is not mastered."""
    table = learning_table("e", "c", networks, mastery)
    assert table["mastered"].dtype == bool
    np.testing.assert_array_equal(table["mastered"], table["accuracy"] >= mastery)
    assert 0 < table["mastered"].mean() < 1
    if mastery == RECORDED.mastery:
        first = table[table["mastered"]].groupby(["seed", "feature"])["step"].min()
        for n, seed in enumerate(networks.seeds):
            for f, feature in enumerate(networks.features):
                assert first.get((seed, feature), -1) == networks.mastery_step[n, f]


def test_the_extra_target_can_be_rewarded():
    """Networks report it like a feature; it is right as often as its best predictor at least."""
    features = {"easy": {"function": "bit", "bits": 4}, "hard": {"function": "xor", "bits": 4}}
    stimuli = Bits(
        features=features,
        noise_bits=6,
        n_train=512,
        training_sets="common",
        label={"easy": 1.0, "hard": 0.8},
    ).generate()
    training = Training(
        targets=["label"], learning_rate=0.02, batch_size=32, max_steps=80, evaluate_every=20
    )
    networks = train(stimuli, MLP(hidden=[16]), training, [0], "cpu")
    assert networks.features == ["easy", "hard", "label"]
    assert networks.targets == ["label"]
    assert networks.test_accuracy[0, 2] > 0.9
    readout = networks.weights["w2"][:, 0]
    np.testing.assert_array_equal(readout[-1][:, :2], readout[0][:, :2])


# Settings that cannot work.


def test_a_batch_larger_than_the_training_set(stimuli):
    with pytest.raises(RepbiasError, match=r"batch_size is 513, but there are 512"):
        train(stimuli, RECORDED_MLP, Training(batch_size=513), [0], "cpu")


def test_a_full_batch_is_all_training_stimuli(stimuli):
    condition = Ensemble(stimuli, RECORDED_MLP, Training(batch_size="full"), [0])
    assert condition.batch_size == 512
    condition.check()
    Ensemble(stimuli, RECORDED_MLP, Training(batch_size=512), [0]).check()


def test_a_curriculum_of_what_is_no_feature(stimuli):
    """Without targets in the settings, it is known only when the stimuli are."""
    condition = Ensemble(stimuli, RECORDED_MLP, Training(curriculum=["f0", "f9"]), [0])
    with pytest.raises(RepbiasError, match=r"\['f9'\] are no features \(found \['f0', 'f1'\]\)"):
        condition.check()


def test_one_bad_condition_is_refused_before_any_training(stimuli, monkeypatch):
    monkeypatch.setattr(module, "Stack", None)
    good = Ensemble(stimuli, RECORDED_MLP, Training(), [0])
    bad = Ensemble(stimuli, RECORDED_MLP, Training(targets=["f9"]), [0])
    with pytest.raises(RepbiasError, match="f9"):
        train_ensembles([good, bad], "cpu")


def test_a_target_that_is_no_feature(stimuli):
    with pytest.raises(RepbiasError, match="f9"):
        train(stimuli, RECORDED_MLP, Training(targets=["f0", "f9"], max_steps=25), [0], "cpu")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"momentum": 0.9}, "momentum 0.9 goes with optimizer 'sgd', not 'adam'"),
        ({"evaluate_every": 50, "max_steps": 20}, "would never be evaluated"),
        ({"targets": []}, "targets is empty"),
        ({"optimizer": "rmsprop"}, "'sgd', 'adam' or 'adamw'"),
        ({"mastery": 0.5}, "greater than 0.5"),
        (
            {"curriculum": ["eazy"], "targets": ["easy", "hard"]},
            "curriculum: 'eazy' is no target; did you mean 'easy'",
        ),
        ({"curriculum": ["other"], "targets": ["easy", "hard"]}, "'other' is no target; allowed"),
        ({"batch_size": "all"}, "Input should be 'full'"),
        ({"batch_size": 0}, "greater than or equal to 1"),
        ({"extra_steps": -1}, "greater than or equal to 0"),
        ({"checkpoint_accuracies": [0.5]}, "greater than 0.5"),
        ({"checkpoint_accuracies": [1.1]}, "less than or equal to 1"),
        ({"precision": "float16"}, "'float32' or 'bfloat16'"),
        ({"dropout": 1.0}, "less than 1"),
        ({"optimizer": "adamw", "momentum": 0.5}, "not 'adamw'"),
    ],
)
def test_settings_that_contradict_each_other(settings, message):
    with pytest.raises(ValueError, match=message):
        Training(**settings)
