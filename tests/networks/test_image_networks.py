"""Networks of images against hand-written PyTorch, closed forms and a published size."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import nn

from repbias.base.inputs import Inputs, Task
from repbias.base.spec import RepbiasError
from repbias.bias.spec import Bias
from repbias.config.analyses import OF_NETWORKS
from repbias.io.stimuli import Stimuli
from repbias.networks.architectures import architecture
from repbias.networks.ensembles import Ensemble
from repbias.networks.forward import built, hooked
from repbias.networks.snapshots import snapshots
from repbias.networks.spec import Training
from repbias.networks.training import train
from repbias.pipeline.network_analyses import analyse_networks

TASK = Task(Inputs((3, 12, 16), "uint8"), 5)
RESNET18 = {"kind": "resnet", "widths": [64, 128, 256, 512], "blocks": 2, "first_stride": 1}
RESNET18 |= {"stem_kernel": 7, "stem_stride": 2, "stem_pool": True}

SMALL = {
    "cnn": {"kind": "cnn", "widths": [8, 16]},
    "resnet": {"kind": "resnet", "widths": [8, 16]},
    "vit": {"kind": "vit", "width": 16, "depth": 2, "attention_heads": 2, "mlp_ratio": 2},
}
SCHEDULE = {"batch_size": 16, "max_steps": 100, "evaluate_every": 20, "extra_steps": 40}
FAST = {"learning_rate": 5e-3, "checkpoints": 3, "checkpoint_accuracies": [0.9]}


def pictures(n: int = 144, size: int = 8) -> Stimuli:
    """Stripes of one of three colours, vertical or not, on a dark or bright ground."""
    rng = np.random.default_rng(0)
    turns = np.arange(3 * n) % 12
    colour, vertical, bright = turns % 3, turns // 3 % 2, turns // 6
    place = np.arange(size) + rng.integers(size, size=(3 * n, 1))
    stripes = np.broadcast_to((place // 2 % 2)[:, None], (3 * n, size, size)).copy()
    stripes[vertical == 0] = stripes[vertical == 0].swapaxes(1, 2)
    images = rng.integers(40, size=(3 * n, 3, size, size)) + 40 * bright[:, None, None, None]
    images[np.arange(3 * n), colour] += 150 * stripes
    return Stimuli(
        inputs=images.astype(np.uint8),
        ids=np.arange(3 * n).astype(str),
        split=np.repeat(["train", "validation", "test"], n),
        features=["colour", "vertical", "bright"],
        labels=np.stack([colour, vertical, bright], axis=1).astype(np.uint8),
        components=[],
        component_labels=np.zeros((3 * n, 0), np.uint8),
        supervised=np.ones((3 * n, 3), bool),
        classes=[3, 2, 2],
    )


@pytest.fixture(scope="module")
def stimuli() -> Stimuli:
    return pictures()


@pytest.fixture(scope="module")
def trained(stimuli):
    """Two trained networks of each kind."""
    torch.set_num_threads(1)
    training = Training(**SCHEDULE, **FAST)
    return {
        kind: train(stimuli, architecture(settings), training, [0, 1], "cpu")
        for kind, settings in SMALL.items()
    }


def drawn(settings: dict, task: Task = TASK, seed: int = 0) -> nn.Module:
    """A network whose parameters and statistics are all random."""
    module = built(architecture(settings), task, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if "running_var" in name:
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        elif value.is_floating_point():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return module


def images(n: int = 7, task: Task = TASK) -> torch.Tensor:
    return torch.rand(n, *task.inputs.shape, generator=torch.Generator().manual_seed(1))


# Forward passes, by hand.


def convolved(state: dict, name: str, x: torch.Tensor, stride: int) -> torch.Tensor:
    weight = state[f"{name}.conv.weight"]
    padding = (weight.shape[-1] - 1) // 2
    x = F.conv2d(x, weight, state.get(f"{name}.conv.bias"), stride, padding)
    if f"{name}.norm.running_mean" in state:
        mean, var = state[f"{name}.norm.running_mean"], state[f"{name}.norm.running_var"]
        x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
    elif f"{name}.norm.weight" in state:
        groups = x.reshape(len(x), math.gcd(8, x.shape[1]), -1)
        var, mean = torch.var_mean(groups, dim=2, keepdim=True, correction=0)
        x = ((groups - mean) / (var + 1e-5).sqrt()).reshape(x.shape)
    else:
        return x
    return (
        x * state[f"{name}.norm.weight"][:, None, None]
        + (state[f"{name}.norm.bias"][:, None, None])
    )


@pytest.mark.parametrize("kind", ["cnn", "resnet"])
@pytest.mark.parametrize("normalisation", ["none", "batch", "group"])
@pytest.mark.parametrize(
    "more", [{}, {"stem_kernel": 5, "stem_stride": 2, "stem_pool": True, "first_stride": 1}]
)
def test_a_convolutional_network_by_hand(kind, normalisation, more):
    settings = {"kind": kind, "widths": [8, 12], "blocks": 2, "normalisation": normalisation}
    module, x = drawn(settings | more), images()
    spec = architecture(settings | more)
    found = {}
    with torch.no_grad(), hooked(module, spec.layers, found.__setitem__):
        logits = module(x)
    state = module.state_dict()
    expected = {"stem": convolved(state, "stem", x, spec.stem_stride).relu()}
    if spec.stem_pool:
        expected["stem"] = F.max_pool2d(expected["stem"], 3, 2, 1)
    y = expected["stem"]
    for i in (1, 2):
        for j in (1, 2):
            name = f"stage{i}.block{j}"
            stride = 1 if j == 2 else spec.first_stride if i == 1 else 2
            inner = convolved(state, f"{name}.conv1", y, stride).relu()
            new = convolved(state, f"{name}.conv2", inner, 1)
            if kind == "resnet":
                projected = f"{name}.skip.conv.weight" in state
                assert projected == (stride != 1 or y.shape[1] != new.shape[1])
                new = new + (convolved(state, f"{name}.skip", y, stride) if projected else y)
            y = expected[name] = new.relu()
        expected[f"stage{i}"] = expected.pop(f"stage{i}.block2")
    expected["pool"] = y.mean((2, 3), keepdim=True)
    assert list(found) == spec.layers == list(expected)
    for name, maps in expected.items():
        torch.testing.assert_close(found[name], maps, rtol=1e-4, atol=1e-4)
    by_hand = expected["pool"].flatten(1) @ state["readout.weight"].T + state["readout.bias"]
    torch.testing.assert_close(logits, by_hand, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "class_token"])
def test_a_vision_transformer_by_hand(pooling):
    settings = SMALL["vit"] | {"pooling": pooling}
    spec, module, x = architecture(settings), drawn(settings), images()
    found = {}
    with torch.no_grad(), hooked(module, spec.layers, found.__setitem__):
        logits = module(x)
    state = module.state_dict()

    def linear(name: str, tokens: torch.Tensor) -> torch.Tensor:
        return tokens @ state[f"{name}weight"].T + state[f"{name}bias"]

    def normed(name: str, tokens: torch.Tensor) -> torch.Tensor:
        var, mean = torch.var_mean(tokens, dim=-1, keepdim=True, correction=0)
        scaled = (tokens - mean) / (var + 1e-5).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    # (stimulus, channel, row, y, column, x) to (stimulus, patch, number)
    patches = x.reshape(7, 3, 3, 4, 4, 4).permute(0, 2, 4, 1, 3, 5).reshape(7, 12, 48)
    kernel = state["embed.patches.weight"].reshape(16, 48)
    y = patches @ kernel.T + state["embed.patches.bias"]
    if pooling == "class_token":
        y = torch.cat([torch.zeros(7, 1, 16), y], dim=1)
    expected = {"embed": y + state["embed.positions"]}
    y = expected["embed"]
    for name in ("block1", "block2"):
        read = normed(f"{name}.norm1", y)
        query, key, value = linear(f"{name}.self_attn.in_proj_", read).chunk(3, dim=-1)
        query, key, value = (t.reshape(7, -1, 2, 8) for t in (query, key, value))
        weights = torch.einsum("nqhd,nkhd->nhqk", query, key).div(8**0.5).softmax(-1)
        attended = torch.einsum("nhqk,nkhd->nqhd", weights, value).flatten(2)
        y = y + linear(f"{name}.self_attn.out_proj.", attended)
        hidden = linear(f"{name}.linear1.", normed(f"{name}.norm2", y))
        hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2  # GELU
        y = expected[name] = y + linear(f"{name}.linear2.", hidden)
    pooled = y[:, 0] if pooling == "class_token" else y.mean(1)
    expected["norm"] = normed("norm", pooled)
    assert list(found) == spec.layers == list(expected)
    for name, tokens in expected.items():
        torch.testing.assert_close(found[name], tokens, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits, linear("readout.", expected["norm"]), rtol=1e-4, atol=1e-4)


def test_skips_carry_what_the_convolutions_do_not():
    plain, residual = (
        drawn({"kind": kind, "widths": [8], "blocks": 2, "normalisation": "none"})
        for kind in ("cnn", "resnet")
    )
    found = {}
    for module in (plain, residual):
        second = module.stage1.block2.conv2.conv
        with torch.no_grad():
            second.weight.zero_()
            second.bias.zero_()
        with torch.no_grad(), hooked(module, ["stage1.block1", "stage1"], found.__setitem__):
            module(images())
        if module is plain:
            assert not found["stage1"].any()
    torch.testing.assert_close(found["stage1"], found["stage1.block1"])


# Sizes.


def test_a_resnet18_has_the_published_number_of_parameters():
    module = architecture(RESNET18).build(Inputs((3, 224, 224), "uint8"), 1000)
    # He et al. (2016) as in torchvision's table of models: 11,689,512 parameters.
    assert sum(p.numel() for p in module.parameters()) == 11_689_512


def test_sizes_of_a_resnet18_are_predicted():
    sizes = architecture(RESNET18).sizes(Task(Inputs((3, 32, 32), "uint8"), 7))
    assert sizes.units == {
        "stem": 64,
        **{"stage1.block1": 64, "stage1": 64, "stage2.block1": 128, "stage2": 128},
        **{"stage3.block1": 256, "stage3": 256, "stage4.block1": 512, "stage4": 512},
        "pool": 512,
    }
    # 20 normalisations: a mean and a variance of every channel, and how many batches there were.
    channels = 64 * 5 + 128 * 5 + 256 * 5 + 512 * 5
    assert sizes.parameters == 11_689_512 - 993 * 513 + 2 * channels + 20
    assert 1 < sizes.batch < 512, "large stimuli are run in small batches"


def test_units_and_parameters_of_small_networks():
    def convolution(n_in: int, n_out: int, kernel: int = 3) -> int:
        return n_in * n_out * kernel**2 + n_out

    body = [(3, 8), (8, 8), (8, 8), (8, 12), (12, 12)]
    n = sum(convolution(*widths) for widths in body) + 13 * 5
    plain = architecture({"kind": "cnn", "widths": [8, 12], "normalisation": "none"})
    assert plain.sizes(TASK).parameters == n
    assert plain.sizes(TASK).units == {"stem": 8, "stage1": 8, "stage2": 12, "pool": 12}
    skips = architecture({"kind": "resnet", "widths": [8, 12], "normalisation": "none"})
    n += convolution(8, 8, 1) + convolution(8, 12, 1)
    assert skips.sizes(TASK).parameters == n
    flat = architecture(SMALL["cnn"] | {"readout": "flatten", "first_stride": 1})
    expected = {"stem": 8 * 12 * 16, "stage1": 8 * 12 * 16, "stage2": 16 * 6 * 8, "pool": 16}
    assert flat.sizes(TASK).units == expected
    vit, d = architecture(SMALL["vit"]), 16
    block = 2 * 2 * d + 3 * d * (d + 1) + d * (d + 1) + 2 * d * (d + 1) + d * (2 * d + 1)
    n = 48 * d + d + 12 * d + 2 * block + 2 * d + 5 * (d + 1)
    assert vit.sizes(TASK).parameters == n
    assert vit.sizes(TASK).units == dict.fromkeys(["embed", "block1", "block2", "norm"], d)
    every = architecture(SMALL["vit"] | {"readout": "flatten"}).sizes(TASK).units
    assert every == {"embed": 12 * d, "block1": 12 * d, "block2": 12 * d, "norm": d}


@pytest.mark.parametrize("kind", list(SMALL))
def test_initial_weights_of_the_body_do_not_depend_on_the_number_of_outputs(kind):
    few, many = (
        built(architecture(SMALL[kind]), Task(TASK.inputs, n), 3).state_dict() for n in (2, 30)
    )
    assert few.keys() == many.keys()
    for name, w in few.items():
        if not name.startswith("readout"):
            assert torch.equal(w, many[name]), name


@pytest.mark.parametrize("normalisation", ["none", "group"])
def test_initial_weights_keep_the_size_of_activations(normalisation):
    settings = {"kind": "cnn", "widths": [64], "blocks": 8, "normalisation": normalisation}
    spec = architecture(settings | {"first_stride": 1})
    module, found = built(spec, TASK, 0), {}
    with torch.no_grad(), hooked(module, spec.layers, found.__setitem__):
        module(images(16))
    size = {name: y.square().mean().item() for name, y in found.items()}
    assert 0.2 < size["stage1"] / size["stage1.block1"] < 5, "16 convolutions later"


# What is refused.


@pytest.mark.parametrize(
    ("kind", "inputs", "message"),
    [
        ("cnn", Inputs((32,)), r"images \(channel, height, width\), found stimuli of shape \(32,"),
        ("resnet", Inputs((8,), "int64", 9), r"\(channel, height, width\), found tokens"),
        ("vit", Inputs((32, 32, 3), "uint8"), r"found \(32, 32, 3\), where channels seem to come"),
        ("vit", Inputs((3, 32, 30), "uint8"), r"network.patch: images of 32 × 30 pixels cannot be"),
    ],
)
def test_stimuli_that_are_no_images(kind, inputs, message):
    with pytest.raises(RepbiasError, match=message):
        architecture({"kind": kind}).sizes(Task(inputs, 3))


def test_settings_that_do_not_fit():
    one_vector = architecture({"kind": "vit", "readout": {"norm": "token0"}})
    with pytest.raises(RepbiasError, match=r"'norm' has an output .* cannot be read by 'token0'"):
        one_vector.sizes(Task(Inputs((3, 8, 8), "uint8"), 2))
    with pytest.raises(ValueError, match="width 30 cannot be divided among 4 attention_heads"):
        architecture({"kind": "vit", "width": 30})
    with pytest.raises(ValueError, match=r"no layer 'stage1.block1'; did you mean 'stage1'"):
        architecture({"kind": "cnn", "analysed_layer": "stage1.block1"})


# Training and analyses.


@pytest.mark.parametrize("kind", list(SMALL))
def test_a_small_task_is_learned_the_same_way_again(kind, trained, stimuli):
    networks = trained[kind]
    loss = networks.curves["loss"]
    last = [curve[np.isfinite(curve)][-1] for curve in loss.T]
    assert (np.array(last) < 0.6 * loss[0]).all()
    # Patches have no places in common, so that 100 steps do not teach a transformer directions.
    learned = [f for f in networks.features if kind != "vit" or f != "vertical"]
    accuracy = networks.test_accuracy[:, np.isin(networks.features, learned)]
    assert (accuracy > 0.9).all()
    training = Training(**SCHEDULE, **FAST)
    again = train(stimuli, architecture(SMALL[kind]), training, [1], "cpu")
    for name, w in again.weights.items():
        np.testing.assert_array_equal(w[:, 0], networks.weights[name][:, 1], err_msg=name)


@pytest.mark.parametrize("kind", list(SMALL))
def test_every_analysis_of_networks(kind, trained, stimuli):
    spec, bias = architecture(SMALL[kind]), Bias(probe_steps=10)
    analyses = {
        name: entry._asdict() | {"settings": {s: getattr(bias, s) for s in entry.settings}}
        for name, entry in OF_NETWORKS.items()
    }
    tables = analyse_networks("e", "c", trained[kind], stimuli, spec, analyses)
    assert tables.keys() == OF_NETWORKS.keys()
    for name, table in tables.items():
        assert len(table), name
        assert set(table["network"]) == {"seed0", "seed1"}, name
    shares = tables["variance_explained"]
    assert set(shares["layer"]) == set(spec.layers)
    assert shares["r2"].between(-0.5, 1).all()
    final = shares[(shares["snapshot"] == "final") & (shares["layer"] == spec.analysed)]
    assert (final.groupby("seed")["r2"].sum() > 0.3).all()


@pytest.mark.parametrize("kind", list(SMALL))
def test_a_layer_that_is_put_back_changes_nothing(kind, trained, stimuli):
    spec = architecture(SMALL[kind])
    *_, final = snapshots("e", "c", trained[kind], stimuli, spec)
    for layer, phi in final.test.layers.items():
        correct = (final.run(layer, phi) == final.test.labels).mean(axis=1)
        np.testing.assert_allclose(correct, trained[kind].test_accuracy, atol=0.005)
    silent = final.run(spec.analysed, np.zeros_like(final.test.layers[spec.analysed]))
    assert (silent.std(axis=1) == 0).all(), "nothing else is read"


@pytest.mark.parametrize("kind", ["cnn", "resnet"])
def test_normalised_activations_of_every_snapshot(kind, trained, stimuli):
    networks, spec = trained[kind], architecture(SMALL[kind])
    task = Ensemble(stimuli, spec, Training(), [0]).task
    x = torch.from_numpy(stimuli.part("train")[0]).float() / 255

    def normalised(checkpoint: int | None) -> dict[str, torch.Tensor]:
        """Channels of every normalisation in evaluation, before gain and bias."""
        module, found = built(spec, task, 0).eval(), {}
        if checkpoint is not None:
            weights = {name: w[checkpoint, 0] for name, w in networks.weights.items()}
            module.load_state_dict({n: torch.from_numpy(np.array(w)) for n, w in weights.items()})
        norms = {n: m for n, m in module.named_modules() if isinstance(m, nn.BatchNorm2d)}

        def keep(name: str, output: torch.Tensor) -> None:
            channels = output.swapaxes(0, 1).flatten(1).T
            found[name] = (channels - norms[name].bias) / norms[name].weight

        with torch.no_grad(), hooked(module, list(norms), keep):
            module(x)
        return found

    # Trained, statistics are those of the last steps' batches.
    for checkpoint, mean, variance in ((0, 0.05, 0.1), (-1, 0.25, 0.4)):
        for name, channels in normalised(checkpoint).items():
            assert channels.mean(0).abs().max() < mean, name
            assert (channels.var(0) - 1).abs().max() < variance, name
    plain = normalised(None)
    assert max(y.mean(0).abs().max() for y in plain.values()) > 0.5, "as they are made"


def test_the_examples_of_the_documentation():
    page = (Path(__file__).parents[2] / "docs/networks.md").read_text(encoding="utf-8")
    first, *_ = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    example = yaml.safe_load(first)
    assert architecture(example["network"]).layers == ["stem", "stage1", "stage2", "stage3", "pool"]
    assert Training(**example["training"]).warmup_steps == 50
    (resnet18,) = re.findall(r"A ResNet-18\*\* is `(\{.*?\})`", page)
    assert architecture(yaml.safe_load(resnet18)) == architecture(RESNET18)


@pytest.mark.parametrize(
    ("kind", "layer"), [("cnn", "pool"), ("cnn", "stage1"), ("resnet", "stage2"), ("vit", "block1")]
)
def test_what_comes_after_a_layer_runs_alone_with_the_same_outputs(kind, layer, monkeypatch):
    """Equal to the bit to running all with the layer replaced; what comes before runs once."""
    spec, task = architecture(SMALL[kind]), Task(Inputs((3, 8, 8), "uint8"), 5)
    states = [built(spec, task, seed).state_dict() for seed in (0, 1)]
    weights = {name: np.stack([s[name].numpy() for s in states]) for name in states[0]}
    images = np.random.default_rng(0).integers(256, size=(20, 3, 8, 8)).astype(np.uint8)
    found = spec.represent(weights, images, task)[layer]
    changed = found + np.random.default_rng(1).normal(size=found.shape).astype(np.float32)
    calls = []
    first = nn.Conv2d.forward
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, x: calls.append(x) or first(self, x))
    run = spec.rest(weights, images, layer, task)
    alone = [run(changed), run(found)]
    n_alone = len(calls)
    run(changed)
    after = len(calls) - n_alone
    monkeypatch.setattr("repbias.networks.forward._after", lambda module, layer: None)
    whole = spec.rest(weights, images, layer, task)
    n = len(calls)
    expected = [whole(changed), whole(found)]
    assert after < (len(calls) - n) / 2
    for a, b in zip(alone, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
