"""Training of stacked networks against separate PyTorch loops, and what is recorded of it."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from repbias.networks import training as module
from repbias.networks.mlp import initial_weights
from repbias.networks.spec import MLP, Training
from repbias.networks.training import learning_table, train
from repbias.spec import RepbiasError
from repbias.stimuli.bits import generate
from repbias.stimuli.spec import Bits
from repbias.store import Networks, Stimuli
from repbias.tables import TABLES

OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "learning_rate": 0.1},
    "momentum": {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "adam": {"optimizer": "adam", "learning_rate": 0.003},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 0.1},
}
optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stimuli_with(*functions: str, noise_bits: int = 4, **sizes: int) -> Stimuli:
    features = {f"f{i}": {"function": f, "bits": 4} for i, f in enumerate(functions)}
    sizes = {"n_train": 96, "n_validation": 40, "n_test": 40} | sizes
    return generate(Bits(features=features, noise_bits=noise_bits, **sizes))


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


# A network is the same in any company.

#: Sizes that fill a processor's vector registers, and sizes that leave a rest.
SHAPES = {
    "round": {"functions": ["bit", "xor"], "hidden": [32, 16], "batch_size": 32},
    "odd": {"functions": ["bit", "xor", "parity"], "hidden": [13, 5], "batch_size": 7},
    "one feature": {"functions": ["xor"], "hidden": [13, 5], "batch_size": 30},
}


@optimizers
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("chunk", [2, 5])
def test_a_member_of_a_stack_equals_the_same_seed_alone(monkeypatch, optimizer, shape, chunk):
    settings = SHAPES[shape]
    noise_bits = 4 if len(settings["functions"]) > 1 else 8
    stimuli = stimuli_with(*settings["functions"], noise_bits=noise_bits)
    network = MLP(hidden=settings["hidden"])
    training = Training(
        **OPTIMIZERS[optimizer],
        batch_size=settings["batch_size"],
        max_steps=40,
        evaluate_every=10,
        checkpoints=3,
    )
    seeds = [4, 0, 9, 2, 7]
    monkeypatch.setattr(module, "CHUNK", chunk)
    together = train(stimuli, network, training, seeds, "cpu")
    for n, seed in enumerate(seeds):
        alone = train(stimuli, network, training, [seed], "cpu")
        for name, w in alone.weights.items():
            np.testing.assert_array_equal(together.weights[name][:, n], w[:, 0], err_msg=name)
        for curve in ("loss", "accuracy"):
            np.testing.assert_array_equal(together.curves[curve][:, n], alone.curves[curve][:, 0])
        np.testing.assert_array_equal(together.checkpoint_steps[:, n], alone.checkpoint_steps[:, 0])
        np.testing.assert_array_equal(together.test_accuracy[n], alone.test_accuracy[0])


# A network is what PyTorch alone would make of it.


def trained_by_torch(
    stimuli: Stimuli, network: MLP, training: Training, seed: int
) -> tuple[nn.Sequential, dict[int, float]]:
    """Train one network with PyTorch's own layers, loss and optimiser.

    Returns the network and its validation loss at every multiple of `evaluate_every`.
    """
    weights = initial_weights(network, stimuli.inputs.shape[1], len(stimuli.features), seed)
    model = nn.Sequential()
    for i in range(1, len(weights) // 2 + 1):
        linear = nn.Linear(*weights[f"w{i}"].shape)
        linear.weight.data, linear.bias.data = weights[f"w{i}"].T.clone(), weights[f"b{i}"][0]
        model.extend([linear, nn.LeakyReLU()])
    model.pop(-1)
    kwargs = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    if training.optimizer == "sgd":
        kwargs["momentum"] = training.momentum
    maker = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    optimizer = maker[training.optimizer](model.parameters(), foreach=False, **kwargs)
    targets = [stimuli.features.index(f) for f in training.targets or stimuli.features]

    def loss(split: str, rows: np.ndarray | slice) -> torch.Tensor:
        inputs, labels, _ = stimuli.part(split)
        logits = model(torch.from_numpy(inputs[rows]))[:, targets]
        wanted = torch.from_numpy(labels[rows][:, targets]).float()
        return nn.functional.binary_cross_entropy_with_logits(logits, wanted)

    # Every network's stream of batches: epochs of its own seed's permutations, rests dropped.
    stream, n = np.random.default_rng([seed, 1]), (stimuli.split == "train").sum()
    losses, step = {}, 0
    while True:
        order = stream.permutation(n)
        for start in range(0, n - training.batch_size + 1, training.batch_size):
            if step % training.evaluate_every == 0:
                losses[step] = loss("validation", slice(None)).item()
            if step == training.max_steps:
                return model, losses
            optimizer.zero_grad()
            loss("train", order[start : start + training.batch_size]).backward()
            optimizer.step()
            step += 1


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
        max_steps=50,
        evaluate_every=10,
        checkpoints=2,
    )
    networks = train(stimuli, network, training, [5], "cpu")
    model, losses = trained_by_torch(stimuli, network, training, seed=5)
    for i, linear in enumerate(model[::2], start=1):
        ours, bias = networks.weights[f"w{i}"][-1, 0], networks.weights[f"b{i}"][-1, 0, 0]
        np.testing.assert_allclose(ours, linear.weight.detach().numpy().T, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(bias, linear.bias.detach().numpy(), rtol=1e-4, atol=1e-5)
    assert networks.curves["step"].tolist() == list(losses)
    np.testing.assert_allclose(networks.curves["loss"][:, 0], list(losses.values()), rtol=1e-4)
    inputs, labels, _ = stimuli.part("test")
    accuracy = ((model(torch.from_numpy(inputs)) > 0).numpy() == labels).mean(axis=0)
    np.testing.assert_allclose(networks.test_accuracy[0], accuracy)


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
)
RECORDED_MLP = MLP(hidden=[16, 8])


@pytest.fixture(scope="module")
def stimuli() -> Stimuli:
    return stimuli_with("bit", "xor", n_train=512, n_validation=120, n_test=128)


@pytest.fixture(scope="module")
def networks(stimuli) -> Networks:
    """Train networks of every fate, in chunks of different length."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", 2)
        trained = train(stimuli, RECORDED_MLP, RECORDED, [2, 8, 4, 3, 1, 11, 5, 9], "cpu")
    final = trained.checkpoint_steps[-1]
    mastered = (trained.acquired >= 0).all(axis=1)
    assert (final[:2] < 95).all(), "the first chunk is shorter than the others"
    assert final[2] < final[3], "in the second chunk a network stops before its neighbour"
    assert (mastered & (final == 95)).any(), "some network runs into max_steps"
    assert not mastered.all(), "some network does not master its targets"
    return trained


def test_networks_keep_the_order_of_their_seeds(networks, stimuli):
    assert networks.seeds.tolist() == [2, 8, 4, 3, 1, 11, 5, 9]
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
    for n, row in enumerate(networks.acquired):
        for f, acquired in enumerate(row):
            reached = [s for s, a in zip(steps, accuracy[:, n, f], strict=True) if a >= 0.95]
            assert acquired == (reached[0] if reached else -1)


def test_a_network_stops_extra_steps_after_it_mastered_all_targets(networks):
    steps, accuracy = networks.curves["step"], networks.curves["accuracy"]
    for n in range(len(networks.seeds)):
        all_mastered = steps[(accuracy[:, n] >= 0.95).all(axis=1)]
        acquired, final = networks.checkpoint_steps[-2:, n]
        if len(all_mastered):
            assert acquired == all_mastered[0]
            assert final == min(95, 7 * math.ceil((acquired + 20) / 7))
        else:
            assert (acquired, final) == (-1, 95)


def test_checkpoints_are_the_network_at_their_step(networks, stimuli):
    names, steps = networks.checkpoint_names, networks.curves["step"].tolist()
    assert names.tolist() == ["initial", *["grid"] * 6, "acquired", "final"]
    compared = set()
    for (c, n), step in np.ndenumerate(networks.checkpoint_steps):
        if step in steps:
            measured = networks.curves["accuracy"][steps.index(step), n]
            expected = accuracy_of(networks, c, n, stimuli, "validation")
            np.testing.assert_allclose(measured, expected, atol=1e-12)
            compared.add(str(names[c]))
    assert compared == set(names.tolist())


def test_checkpoints_between_are_evenly_spaced_in_log_time(networks):
    expected = np.round(np.geomspace(7, 95, 6))
    for steps in networks.checkpoint_steps.T:
        *_, acquired, final = steps
        for wanted, step in zip(expected, steps[1:-2], strict=True):
            # A checkpoint that has another name already, or lies after the end, is not repeated.
            assert step == (-1 if wanted in (acquired, final) or wanted > final else wanted)


def test_final_checkpoint_reproduces_the_test_accuracy(networks, stimuli):
    for n in range(len(networks.seeds)):
        expected = accuracy_of(networks, -1, n, stimuli, "test")
        np.testing.assert_allclose(networks.test_accuracy[n], expected, atol=1e-12)


def test_kept_are_those_that_meet_the_criterion_on_every_target(networks):
    expected = [all(a >= 0.97 for a in row) for row in networks.test_accuracy]
    assert networks.kept.tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_unrewarded_features_do_not_matter_for_stopping_and_keeping(stimuli):
    training = RECORDED.model_copy(update={"targets": ["f0"]})
    networks = train(stimuli, RECORDED_MLP, training, [4, 3], "cpu")
    assert networks.targets == ["f0"]
    assert networks.kept.all()
    assert (networks.test_accuracy[:, 1] < 0.9).all()
    assert (networks.checkpoint_steps[-2] == networks.acquired[:, 0]).all()
    assert (networks.acquired[:, 0] > 0).all()


def test_no_extra_steps_means_the_acquired_network_is_the_final_one(stimuli):
    training = RECORDED.model_copy(update={"extra_steps": 0})
    networks = train(stimuli, RECORDED_MLP, training, [4], "cpu")
    assert 0 < networks.checkpoint_steps[-2, 0] == networks.checkpoint_steps[-1, 0]
    for w in networks.weights.values():
        np.testing.assert_array_equal(w[-2], w[-1])


def test_networks_that_fail_stay_in_the_table_as_not_kept(stimuli):
    training = RECORDED.model_copy(update={"max_steps": 7})
    networks = train(stimuli, RECORDED_MLP, training, [0, 1, 2], "cpu")
    assert not networks.kept.any()
    assert (networks.acquired[:, 1] == -1).all()
    assert (networks.checkpoint_steps[-2] == -1).all()
    assert (networks.checkpoint_steps[-1] == 7).all()
    table = learning_table("e", "c", networks)
    assert table.groupby("network")["kept"].any().to_dict() == dict.fromkeys(
        ["seed0", "seed1", "seed2"], False
    )


@pytest.mark.filterwarnings("error")
def test_a_network_that_diverges_is_not_kept(stimuli):
    training = Training(
        optimizer="sgd", learning_rate=1e9, batch_size=32, max_steps=20, evaluate_every=10
    )
    networks = train(stimuli, RECORDED_MLP, training, [0], "cpu")
    assert not networks.kept.any()
    assert np.isnan(networks.curves["loss"][-1]).all()
    assert (networks.acquired == -1).all()
    assert len(learning_table("e", "c", networks)) == 2 * 3


def test_learning_table_holds_the_curves(networks):
    table = learning_table("tasks", "targets=both", networks)
    assert tuple(table.columns) == TABLES["learning"]
    accuracy = networks.curves["accuracy"]
    assert len(table) == np.isfinite(accuracy).sum()
    assert set(table["experiment"]) == {"tasks"}
    assert set(table["condition"]) == {"targets=both"}
    assert (table["network"] == "seed" + table["seed"].astype(str)).all()
    assert table["target"].all()
    for n, seed in enumerate(networks.seeds):
        rows = table[table["seed"] == seed]
        assert set(rows["kept"]) == {networks.kept[n]}
        wide = rows.pivot(index="step", columns="feature", values="accuracy")
        expected = pd.DataFrame(accuracy[:, n], networks.curves["step"], networks.features).dropna()
        np.testing.assert_array_equal(wide.to_numpy(), expected.to_numpy())
        np.testing.assert_array_equal(wide.index, expected.index)
        losses = rows.drop_duplicates("step")["loss"]
        np.testing.assert_array_equal(losses, networks.curves["loss"][: len(losses), n])


def test_learning_table_names_the_targets(stimuli):
    training = RECORDED.model_copy(update={"targets": ["f1"], "max_steps": 7})
    table = learning_table("e", "c", train(stimuli, RECORDED_MLP, training, [0], "cpu"))
    assert table.groupby("feature")["target"].unique().map(list).to_dict() == {
        "f0": [False],
        "f1": [True],
    }


# Settings that cannot work.


def test_a_batch_larger_than_the_training_set(stimuli):
    with pytest.raises(RepbiasError, match=r"batch_size is 513, but there are 512"):
        train(stimuli, RECORDED_MLP, Training(batch_size=513), [0], "cpu")


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
    ],
)
def test_settings_that_contradict_each_other(settings, message):
    with pytest.raises(ValueError, match=message):
        Training(**settings)
