"""Architectures of the user's against the stacked perceptron and hand-written PyTorch."""

import numpy as np
import pytest
import torch
from torch import nn

from repbias.base.inputs import Inputs, Task
from repbias.base.spec import RepbiasError
from repbias.bias.spec import Bias
from repbias.config.analyses import OF_NETWORKS
from repbias.io import stimuli as io_stimuli
from repbias.io.stimuli import Stimuli
from repbias.networks.ensembles import Ensemble
from repbias.networks.forward import built
from repbias.networks.loops import Loop
from repbias.networks.mlp import MLP
from repbias.networks.own import OwnArchitecture
from repbias.networks.spec import Training
from repbias.networks.training import train, train_ensembles
from repbias.pipeline.network_analyses import analyse_networks
from repbias.stimuli.bits import Bits

ROW = Task(Inputs((16,)), 2)
IMAGES = Task(Inputs((3, 8, 8), "uint8"), 3)
TOKENS = Task(Inputs((5,), "int64", 7), 2)


def own(factory: str, layers: list[str], **more) -> OwnArchitecture:
    return OwnArchitecture(factory=f"own_networks:{factory}", layers=layers, **more)


@pytest.fixture(scope="module")
def bits() -> Stimuli:
    features = {"easy": {"function": "bit", "bits": 4}, "hard": {"function": "xor", "bits": 4}}
    features["hard"]["supervised"] = 0.8
    sizes = {"n_train": 256, "n_validation": 64, "n_test": 64, "training_sets": "common"}
    return Bits(features=features, noise_bits=8, **sizes).generate()


def shown(task: Task, n: int, seed: int = 0) -> np.ndarray:
    rng, shape = np.random.default_rng(seed), (n, *task.inputs.shape)
    if task.inputs.dtype == "float32":
        return rng.normal(size=shape).astype(np.float32)
    return rng.integers(task.inputs.vocabulary or 256, size=shape).astype(task.inputs.dtype)


def made(task: Task, classes: list[int], n: int = 160) -> Stimuli:
    """Stimuli of any kind, whose features are functions of their first numbers."""
    inputs = shown(task, n)
    flat = inputs.reshape(n, -1).astype(int)
    labels = np.stack([flat[:, i] % k for i, k in enumerate(classes)], axis=1)
    return Stimuli(
        inputs=inputs,
        ids=np.arange(n).astype(str),
        split=np.repeat(["train", "validation", "test"], [n - 96, 48, 48]),
        features=[f"f{i}" for i in range(len(classes))],
        labels=labels.astype(np.uint8),
        components=[],
        component_labels=np.zeros((n, 0), np.uint8),
        supervised=np.ones(labels.shape, bool),
        classes=classes,
        vocabulary=task.inputs.vocabulary,
    )


# The perceptron, by both ways.

PERCEPTRON = own("mlp", ["1", "3"])
STACKED = MLP(hidden=[13, 5])


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"dropout": 0.2},
        {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.05},
        {"curriculum": ["hard"], "batch_size": "full"},
        {"targets": ["hard"], "weight_decay": 0.01, "optimizer": "adamw"},
        {"two_classes": "softmax"},
    ],
)
def test_a_module_is_trained_as_the_stacked_perceptron_is(bits, more):
    settings = {"learning_rate": 5e-3, "batch_size": 32, "max_steps": 120, "extra_steps": 20}
    training = Training(**settings | more)
    ours = train(bits, PERCEPTRON, training, [0, 3], "cpu")
    theirs = train(bits, STACKED, training, [0, 3], "cpu")
    assert ours.heads == theirs.heads
    np.testing.assert_array_equal(ours.checkpoint_steps, theirs.checkpoint_steps)
    np.testing.assert_array_equal(ours.mastery_step, theirs.mastery_step)
    np.testing.assert_array_equal(ours.included, theirs.included)
    np.testing.assert_allclose(ours.test_accuracy, theirs.test_accuracy)
    for name, curve in theirs.curves.items():
        np.testing.assert_allclose(ours.curves[name], curve, rtol=1e-4, atol=1e-5)
    for i in (1, 2, 3):
        w, b = ours.weights[f"{2 * i - 2}.weight"], ours.weights[f"{2 * i - 2}.bias"]
        close = {"rtol": 1e-3, "atol": 1e-4}
        np.testing.assert_allclose(w.swapaxes(-1, -2), theirs.weights[f"w{i}"], **close)
        np.testing.assert_allclose(b[..., None, :], theirs.weights[f"b{i}"], **close)


def test_every_analysis_of_a_module_is_that_of_the_stacked_perceptron(bits):
    training = Training(learning_rate=5e-3, batch_size=32, max_steps=300, extra_steps=20)
    stacked = train(bits, STACKED, training, [0, 1], "cpu")
    module = train(bits, PERCEPTRON, training, [0, 1], "cpu")
    # The same numbers, so that no stimulus at a boundary falls on the other side.
    for i in (1, 2, 3):
        w, b = stacked.weights[f"w{i}"], stacked.weights[f"b{i}"][..., 0, :]
        module.weights[f"{2 * i - 2}.weight"] = np.ascontiguousarray(w.swapaxes(-1, -2))
        module.weights[f"{2 * i - 2}.bias"] = b
    bias = Bias(probe_steps=20)
    analyses = {
        name: entry._asdict() | {"settings": {s: getattr(bias, s) for s in entry.settings}}
        for name, entry in OF_NETWORKS.items()
    }
    ours = analyse_networks("e", "c", module, bits, PERCEPTRON, analyses)
    theirs = analyse_networks("e", "c", stacked, bits, STACKED, analyses)
    for name, table in theirs.items():
        found = ours[name]
        if "layer" in table:
            found["layer"] = found["layer"].map({"1": "hidden1", "3": "hidden2"})
        assert len(table), name
        assert list(found.columns) == list(table.columns)
        for column in table:
            if table[column].dtype.kind == "f":
                np.testing.assert_allclose(
                    found[column], table[column], rtol=1e-3, atol=0.02, err_msg=f"{name} {column}"
                )
            else:
                assert (found[column] == table[column]).all(), (name, column)


# What is refused before training.


@pytest.mark.parametrize(
    ("factory", "layers", "message"),
    [
        ("missing", ["0"], r"own_networks:missing: cannot be imported: .*no attribute"),
        ("no_module", ["0"], r"own_networks:no_module: expected a torch.nn.Module, got str"),
        ("fails", ["0"], r"cannot make the model: OSError: no such file: weights.pt"),
        ("wrong_width", ["0"], r"gives \(stimulus, 3\); expected one row of 2 logits"),
        ("wrong_input", ["0"], r"does not run on stimuli of shape \(2, 16\) \(float32\): Runtime"),
        ("mlp", ["1", "4", "7"], r"no layer '7'; .*allowed: 0, 1, 2, 3, 4"),
        ("twice", ["relu"], r"'relu' runs more than once"),
        ("twice", ["unused"], r"'unused' took no part"),
        ("mixing", ["first"], r"depends on the stimuli beside it, or is random"),
        ("frozen", ["first"], r"the outputs of the model depend on no parameter"),
        ("sequence", ["block"], r"cannot make the model: TypeError: .*vocabulary"),
    ],
)
def test_what_is_refused(factory, layers, message):
    with pytest.raises(RepbiasError, match=message):
        own(factory, layers).sizes(ROW)


def test_an_argument_that_follows_from_the_stimuli():
    with pytest.raises(RepbiasError, match="n_outputs is no argument to give"):
        own("mlp", ["1"], arguments={"n_outputs": 3}).sizes(ROW)


def test_a_recurrent_layer_whose_first_axis_is_no_stimulus():
    spec = own("sequence", ["gru"], readout="flatten", arguments={"batch_first": False})
    with pytest.raises(RepbiasError, match="batch_first=True"):
        spec.sizes(TOKENS)


@pytest.mark.parametrize("readout", ["token_mean", "token0", "spatial_mean"])
def test_a_readout_without_its_axes(readout):
    with pytest.raises(RepbiasError, match=rf"'1' has an output .*\(stimulus, 13\).*'{readout}'"):
        own("mlp", ["1"], readout=readout).sizes(ROW)


def test_a_token_that_is_not_there():
    with pytest.raises(RepbiasError, match="cannot be read by 'token5'"):
        own("sequence", ["block"], readout="token5").sizes(TOKENS)


def test_a_readout_of_no_layer():
    with pytest.raises(ValueError, match=r"readout: no layer 'x'; .*allowed: 1, 3"):
        own("mlp", ["1", "3"], readout={"x": "flatten"})


def test_a_perceptron_is_shown_no_tokens():
    with pytest.raises(RepbiasError, match="an mlp is not shown tokens"):
        MLP().sizes(TOKENS)


# Layers: read and replaced.


def states(spec: OwnArchitecture, task: Task, n: int = 2) -> dict[str, np.ndarray]:
    each = [built(spec, task, seed).state_dict() for seed in range(n)]
    return {name: np.stack([s[name].numpy() for s in each]) for name in each[0]}


@pytest.mark.parametrize("readout", ["auto", "flatten", "spatial_mean"])
def test_feature_maps_are_read_and_replaced(readout):
    spec = own("maps", ["norm", "pool"], readout=readout)
    weights, x = states(spec, IMAGES), shown(IMAGES, 20)
    found = spec.represent(weights, x, IMAGES)
    for n in range(2):
        module = built(spec, IMAGES, n).eval()
        with torch.no_grad():
            maps = module.norm(module.conv(torch.from_numpy(x).float() / 255))
            pooled = module.pool(maps.relu())
            logits = module.readout(pooled.flatten(1)).numpy()
            expected = {"norm": maps, "pool": pooled}
            read = (lambda m: m.flatten(1)) if readout == "flatten" else (lambda m: m.mean((2, 3)))
            for layer, output in expected.items():
                np.testing.assert_allclose(found[layer][n], read(output).numpy(), atol=1e-5)
            unchanged = spec.rest(weights, x, "pool", IMAGES)(found["pool"])
            np.testing.assert_allclose(unchanged[n], logits, atol=1e-5)
            step = np.random.default_rng(1).normal(size=found["pool"].shape[-1])
            moved = spec.rest(weights, x, "pool", IMAGES)(found["pool"] + step)
            by_hand = torch.from_numpy(step).float()
            by_hand = by_hand.reshape(6, 2, 2) if readout == "flatten" else by_hand[:, None, None]
            shifted = module.readout((pooled + by_hand).flatten(1)).numpy()
            np.testing.assert_allclose(moved[n], shifted, atol=1e-4)


@pytest.mark.parametrize("readout", ["flatten", "token_mean", "token1", "token-1"])
@pytest.mark.parametrize("layer", ["gru", "block"])
def test_sequences_are_read_and_replaced(readout, layer):
    spec = own("sequence", ["gru", "block"], readout=readout)
    weights, x = states(spec, TOKENS), shown(TOKENS, 20)
    found = spec.represent(weights, x, TOKENS)[layer]
    module = built(spec, TOKENS, 1).eval()
    rng = np.random.default_rng(1)
    with torch.no_grad():
        hidden = module.gru(module.embed(torch.from_numpy(x)))[0]
        output = hidden if layer == "gru" else module.block(hidden)
        units = {
            "flatten": output.flatten(1),
            "token1": output[:, 1],
            "token-1": output[:, -1],
        }.get(readout, output.mean(1))
        np.testing.assert_allclose(found[1], units.numpy(), atol=1e-5)
        step = rng.normal(size=found.shape[-1])
        moved = spec.rest(weights, x, layer, TOKENS)(found + step)[1]
        by_hand, change = output.clone(), torch.from_numpy(step).float()
        if readout.startswith("token") and readout != "token_mean":
            by_hand[:, int(readout[5:])] += change
        else:
            by_hand += change.reshape(5, 8) if readout == "flatten" else change
        rest = module.block(by_hand) if layer == "gru" else by_hand
        expected = module.readout(rest.mean(1)).numpy()
    np.testing.assert_allclose(moved, expected, atol=1e-4)


def test_sizes_are_those_of_the_module():
    spec = own("maps", ["conv", "pool"], readout={"conv": "flatten"})
    sizes = spec.sizes(IMAGES)
    assert sizes.units == {"conv": 6 * 8 * 8, "pool": 6}
    state = built(spec, IMAGES, 0).state_dict()
    assert sizes.parameters == sum(v.numel() for v in state.values())
    larger = own("maps", ["conv"]).sizes(Task(Inputs((3, 32, 32), "uint8"), 3))
    assert 10 < larger.stimulus_seconds / sizes.stimulus_seconds < 16.1, "16 times the positions"
    assert larger.stimulus_bytes > 10 * sizes.stimulus_bytes


# Training.

SHORT = {"batch_size": 16, "max_steps": 30, "evaluate_every": 10, "checkpoints": 3}


@pytest.mark.parametrize(
    ("task", "factory", "layers"),
    [(IMAGES, "maps", ["pool"]), (TOKENS, "sequence", ["block"]), (ROW, "maps", ["1.pool"])],
)
def test_inputs_of_any_kind_and_features_of_many_classes(task, factory, layers):
    more = {"readout": "token_mean"} if task is TOKENS else {}
    spec, training = own(factory, layers, **more), Training(**SHORT)
    stimuli = made(task, [4, 2])
    together = train(stimuli, spec, training, [0, 1], "cpu")
    assert together.heads == [4, 1]
    assert together.curves["accuracy"].shape[1:] == (2, 2)
    (readout,) = [name for name in together.weights if name.endswith("readout.weight")]
    assert (together.weights[readout][-1] != together.weights[readout][0]).any()
    # A network is the same in any company.
    others = Ensemble(stimuli, spec, Training(**SHORT, dropout=0.1), [0])
    _, again = train_ensembles([others, Ensemble(stimuli, spec, training, [1])], "cpu")
    for name, w in again.weights.items():
        np.testing.assert_array_equal(w[:, 0], together.weights[name][:, 1], err_msg=name)


def test_dropout_of_the_modules_own_follows_the_seed():
    spec, stimuli = own("maps", ["pool"], arguments={"dropout": 0.5}), made(IMAGES, [2, 3])
    found = [train(stimuli, spec, Training(**SHORT), [4], "cpu") for _ in range(2)]
    torch.manual_seed(123)
    found.append(train(stimuli, spec, Training(**SHORT), [4], "cpu"))
    plain = train(stimuli, own("maps", ["pool"]), Training(**SHORT), [4], "cpu")
    for name, w in found[0].weights.items():
        for other in found[1:]:
            np.testing.assert_array_equal(w, other.weights[name])
    assert not np.array_equal(found[0].weights["readout.weight"], plain.weights["readout.weight"])


def test_statistics_of_an_untrained_normalisation_are_those_of_training_stimuli(monkeypatch):
    spec, stimuli, training = own("maps", ["norm"]), made(IMAGES, [2, 3]), Training(**SHORT)
    networks = train(stimuli, spec, training, [0], "cpu")
    inputs = torch.from_numpy(stimuli.part("train")[0]).float() / 255
    with torch.no_grad():
        maps = built(spec, IMAGES, 0).conv(inputs)
    mean, variance = (networks.weights[f"norm.running_{n}"][0, 0] for n in ("mean", "var"))
    np.testing.assert_allclose(mean, maps.mean((0, 2, 3)).numpy(), atol=1e-5)
    within = torch.stack([m.var((0, 2, 3)) for m in maps.split(16)]).mean(0)
    np.testing.assert_allclose(variance, within.numpy(), rtol=1e-4)
    # What is learned does not depend on them.
    monkeypatch.setattr(Loop, "_calibrate", lambda self: None)
    plain = train(stimuli, spec, training, [0], "cpu")
    for name, w in plain.weights.items():
        if "running" not in name:
            np.testing.assert_array_equal(networks.weights[name][-1], w[-1], err_msg=name)


def test_parameter_noise_is_drawn_for_every_parameter():
    spec, stimuli = own("maps", ["pool"]), made(IMAGES, [2, 3])
    noisy = train(stimuli, spec, Training(**SHORT, parameter_noise=0.1), [0], "cpu")
    plain = train(stimuli, spec, Training(**SHORT), [0], "cpu")
    for name in ("conv.weight", "norm.bias", "readout.weight"):
        assert not np.array_equal(noisy.weights[name][-1], plain.weights[name][-1])
    assert np.isfinite(noisy.curves["loss"]).all()


def test_inputs_that_are_read_when_they_are_needed(tmp_path, monkeypatch):
    stimuli = made(IMAGES, [2, 3])
    stimuli.write(tmp_path / "stimuli.h5")
    monkeypatch.setattr(io_stimuli, "STREAMED", 0)
    streamed = Stimuli.read(tmp_path / "stimuli.h5")
    assert not isinstance(streamed.inputs, np.ndarray)
    assert streamed.shown == stimuli.shown == IMAGES.inputs
    rows = np.array([7, 2, 2, 9])
    for split in ("train", "test"):
        ours, theirs = streamed.part(split)[0], stimuli.part(split)[0]
        np.testing.assert_array_equal(ours[rows], theirs[rows])
        np.testing.assert_array_equal(ours[3:8], theirs[3:8])
        np.testing.assert_array_equal(np.asarray(ours), theirs)
    for spec in (own("maps", ["pool"]), MLP(hidden=[7])):
        a, b = (train(s, spec, Training(**SHORT), [0], "cpu") for s in (streamed, stimuli))
        for name, w in a.weights.items():
            np.testing.assert_array_equal(w, b.weights[name])
    streamed.write(tmp_path / "again.h5")
    again = Stimuli.read(tmp_path / "again.h5")
    np.testing.assert_array_equal(np.asarray(again.inputs), stimuli.inputs)


def test_a_network_that_diverges_is_not_included(bits):
    training = Training(optimizer="sgd", learning_rate=1e30, **SHORT)
    networks = train(bits, PERCEPTRON, training, [0], "cpu")
    assert not networks.included.any()
    assert networks.present(len(networks.checkpoint_names) - 1) == []


def test_a_module_without_parameters_is_refused():
    class Nothing(nn.Module):
        def forward(self, x):
            return x[:, :2]

    class Spec(OwnArchitecture):
        def build(self, inputs, n_outputs):
            return nn.Sequential(Nothing())

    with pytest.raises(RepbiasError, match="depend on no parameter"):
        Spec(factory="own_networks:mlp", layers=["0"]).sizes(ROW)


# What a review found.


@pytest.mark.parametrize(
    ("factory", "layers", "message"),
    [
        ("hidden_state", ["first"], r"computes something else when it is made again"),
        ("drawn_elsewhere", ["first"], r"'first.weight' is not the same .*same seed"),
        ("unread", ["lstm"], r"'lstm' \(token-1\) has no influence on the outputs"),
        ("zeros_behind_mixing", ["first"], r"depends on the stimuli beside it"),
        ("not_finite", ["first"], r"outputs of the model are not finite"),
        ("twice", ["relu", "first"], r"'relu' runs more than once"),
        ("mlp", ["3", "1"], r"in the order in which they run, 1, 3"),
        ("half", ["first"], r"'first.weight' is of type torch.bfloat16; expected float32"),
    ],
)
def test_what_would_mislead_is_refused(factory, layers, message):
    readout = "token-1" if factory == "unread" else "auto"
    with pytest.raises(RepbiasError, match=message):
        own(factory, layers, readout=readout).sizes(ROW)


def test_what_counts_beside_its_buffers_is_refused_after_training(bits):
    with pytest.raises(RepbiasError, match="after training, the model computes something else"):
        train(bits, own("counting", ["first"]), Training(**SHORT), [0], "cpu")


@pytest.mark.parametrize("factory", ["tied", "masked", "scalar", "lazy", "named", "strided"])
def test_what_is_unusual_is_trained_and_analysed(bits, factory):
    training = Training(**SHORT, parameter_noise=0.01)
    networks = train(bits, own(factory, ["first"]), training, [0, 1], "cpu")
    assert networks.present(0) == [0, 1]
    spec, task = own(factory, ["first"]), Ensemble(bits, own(factory, ["first"]), training, []).task
    weights = {name: w[-1] for name, w in networks.weights.items()}
    inputs, labels, _ = bits.part("test")
    phi = spec.represent(weights, inputs, task)["first"]
    again = spec.rest(weights, inputs, "first", task)(phi)
    np.testing.assert_allclose(again, spec.outputs(weights, inputs, task), rtol=1e-4, atol=1e-5)
    accuracy = ((again > 0) == labels).mean(axis=1)
    np.testing.assert_allclose(accuracy, networks.test_accuracy)
    for name, w in networks.weights.items():
        if name.endswith("weight"):
            few = 0.4 if factory == "masked" else 0.9  # what is masked is not
            assert (w[-1, 0] != w[0, 0]).mean() > few, "all of it is trained"


def test_a_module_that_is_returned_again_is_trained_from_its_start(bits):
    spec = own("cached", ["first"])
    networks = train(bits, spec, Training(**SHORT), [0, 1], "cpu")
    for w in networks.weights.values():
        np.testing.assert_array_equal(w[0, 0], w[0, 1])


def test_random_numbers_of_layers_are_not_those_of_the_weights(bits):
    networks = train(bits, own("noisy", ["first"]), Training(**SHORT), [0, 1], "cpu")
    first, second = networks.weights["drawn"][-1]
    assert not np.array_equal(first, networks.weights["start"][0, 0])
    assert not np.array_equal(first, second), "each network has its own"


@pytest.mark.parametrize("arguments", [{"a": {1: 2}}, {"a": [{2: 3}]}])
def test_arguments_that_json_would_change(arguments):
    with pytest.raises(ValueError, match="keys must be text, found"):
        own("mlp", ["1"], arguments=arguments)


def test_errors_of_the_users_code_name_the_line(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "stops_early.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "wrong_syntax.py").write_text("def build(\n")
    for module, message in [
        ("stops_early", r"cannot be imported: SystemExit: 3 \(stops_early.py, line 2\)"),
        ("wrong_syntax", r"cannot be imported: SyntaxError: .*wrong_syntax.py, line 1"),
    ]:
        with pytest.raises(RepbiasError, match=message):
            OwnArchitecture(factory=f"{module}:build", layers=["a"]).sizes(ROW)
    with pytest.raises(RepbiasError, match=r"OSError: .* \(own_networks.py, line \d+\)"):
        own("fails", ["0"]).sizes(ROW)
