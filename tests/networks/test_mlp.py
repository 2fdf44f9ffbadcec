"""Stacked perceptrons against torch.nn."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from repbias.io.networks import Networks
from repbias.networks.mlp import MLP
from repbias.networks.stacks import (
    ACTIVATIONS,
    forward,
    hidden_layers,
    initial_weights,
    outputs_from,
)

MODULES = {"leaky_relu": nn.LeakyReLU, "relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}
HIDDEN = [7, 5, 6]


class LayerNorm(nn.Module):
    def forward(self, x):
        return nn.functional.layer_norm(x, x.shape[-1:])


def sequential(weights: dict[str, torch.Tensor], spec: MLP) -> nn.Sequential:
    """Build the network of one member of a stack out of PyTorch's own layers.

    A hidden layer is one block of them.
    """
    blocks = []
    for i in range(1, len(weights) // 2 + 1):
        w, b = weights[f"w{i}"], weights[f"b{i}"]
        linear = nn.Linear(*w.shape)
        linear.weight.data, linear.bias.data = w.T.clone(), b[0].clone()
        norm = [LayerNorm()] if spec.normalisation == "layer" else []
        blocks.append(nn.Sequential(linear, *norm, MODULES[spec.activation]()))
    return nn.Sequential(*blocks[:-1], blocks[-1][0])


def member(seed: int) -> dict[str, torch.Tensor]:
    return initial_weights(MLP(hidden=HIDDEN, init="torch"), 9, 2, seed)


def stack(members: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([m[name] for m in members]) for name in members[0]}


def random_inputs(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def close(found, expected) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)


activations = pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
normalisations = pytest.mark.parametrize("normalisation", ["none", "layer"])


@activations
@normalisations
def test_forward_equals_separate_torch_networks(activation, normalisation):
    spec = MLP(hidden=HIDDEN, activation=activation, normalisation=normalisation)
    members = [member(seed) for seed in (3, 0, 8)]
    inputs = random_inputs(3, 20, 9)
    hidden, logits = forward(stack(members), inputs, spec)
    assert [tuple(h.shape) for h in hidden] == [(3, 20, n) for n in HIDDEN]
    for n, weights in enumerate(members):
        model = sequential(weights, spec)
        close(logits[n], model(inputs[n]))
        for i, layer in enumerate(hidden):
            close(layer[n], model[: i + 1](inputs[n]))


@activations
@normalisations
def test_padding_is_silent_and_changes_nothing(activation, normalisation):
    """The means and variances of a layer are those of its units without the padding."""
    spec = MLP(hidden=HIDDEN, activation=activation, normalisation=normalisation)
    weights = stack([member(seed) for seed in (3, 0)])
    padded = {
        name: nn.functional.pad(w, (0, 11) if name.startswith("b") else (0, 11, 0, 11))
        for name, w in weights.items()
    }
    inputs = random_inputs(2, 20, 9)
    hidden, logits = forward(weights, inputs, spec)
    wide, wide_logits = forward(padded, nn.functional.pad(inputs, (0, 11)), spec)
    for h, w, n in zip(hidden, wide, HIDDEN, strict=True):
        close(w[..., :n], h)
        assert w.shape[-1] == n + 11
        assert not w[..., n:].any()
    close(wide_logits[..., :2], logits)
    assert not wide_logits[..., 2:].any()


@activations
@normalisations
def test_padding_gets_no_gradient(activation, normalisation):
    """Otherwise training would bring it to life."""
    spec = MLP(hidden=HIDDEN, activation=activation, normalisation=normalisation)
    weights = {name: w.double() for name, w in stack([member(seed) for seed in (3, 0)]).items()}
    padded = {
        name: nn.functional.pad(w, (0, 11) if name.startswith("b") else (0, 11, 0, 11))
        for name, w in weights.items()
    }
    inputs = random_inputs(2, 20, 9).double()
    for parameters, x in ((weights, inputs), (padded, nn.functional.pad(inputs, (0, 11)))):
        for w in parameters.values():
            w.requires_grad_()
        _, logits = forward(parameters, x, spec)
        logits[..., :2].square().sum().backward()
    for name, w in weights.items():
        rows, columns = w.shape[1:]
        gradient = padded[name].grad.clone()
        close(gradient[:, :rows, :columns], w.grad)
        gradient[:, :rows, :columns] = 0
        assert not gradient.any(), name


def test_normalisation_makes_scale_and_shift_of_a_layer_irrelevant():
    spec = MLP(hidden=[50], activation="tanh", normalisation="layer")
    weights = stack([initial_weights(spec, 9, 2, 0)])
    inputs = random_inputs(1, 20, 9)
    hidden, _ = forward(weights, inputs, spec)
    # Before tanh: mean 0 and variance 1 over units, for every stimulus.
    before = torch.atanh(hidden[0].double())
    close(before.mean(-1), torch.zeros(1, 20).double())
    torch.testing.assert_close(
        before.var(-1, correction=0), torch.ones(1, 20).double(), rtol=1e-3, atol=0
    )
    changed = weights | {"w1": 3 * weights["w1"], "b1": weights["b1"] + 5}
    again, _ = forward(changed, inputs, spec)
    torch.testing.assert_close(again[0], hidden[0], rtol=1e-4, atol=1e-4)


def test_normalisation_of_equal_units_is_zero_and_has_a_gradient():
    spec = MLP(hidden=[4], normalisation="layer")
    weights = stack([initial_weights(spec, 3, 1, 0)])
    inputs = torch.zeros(1, 5, 3, requires_grad=True)
    hidden, logits = forward(weights, inputs, spec)
    assert not hidden[0].any()
    logits.sum().backward()
    assert inputs.grad.isfinite().all()


# A hook, and the rest of a forward pass.


@normalisations
def test_a_hook_changes_what_goes_on_but_not_what_is_returned(normalisation):
    spec = MLP(hidden=HIDDEN, normalisation=normalisation)
    weights = member(0)
    inputs = random_inputs(1, 20, 9)
    called = []

    def hook(layer: int, x: torch.Tensor) -> torch.Tensor:
        called.append((layer, tuple(x.shape)))
        return x * layer + 1

    hidden, logits = forward(stack([weights]), inputs, spec, hook)
    assert called == [(i, (1, 20, n)) for i, n in enumerate(HIDDEN, start=1)]
    x = inputs[0]
    *blocks, readout = sequential(weights, spec)
    for i, block in enumerate(blocks, start=1):
        x = block(x)
        close(hidden[i - 1][0], x)
        x = i * x + 1
    close(logits[0], readout(x))


@activations
@normalisations
def test_the_tail_of_a_forward_pass(activation, normalisation):
    spec = MLP(hidden=HIDDEN, activation=activation, normalisation=normalisation)
    weights = stack([member(seed) for seed in (3, 0)])
    hidden, logits = forward(weights, random_inputs(2, 20, 9), spec)
    for i, layer in enumerate(hidden, start=1):
        called = []
        later, found = forward(
            weights, layer, spec, lambda j, x, c=called: c.append(j) or x, first=i + 1
        )
        assert called == list(range(i + 1, len(HIDDEN) + 1)), "layers keep their numbers"
        assert torch.equal(found, logits)
        assert len(later) == len(HIDDEN) - i
        assert all(torch.equal(a, b) for a, b in zip(later, hidden[i:], strict=True))


# Networks that were trained.

#: Checkpoint c of network n holds the initial weights of seed 10 c + n.
CELLS = [[member(10 * c + n) for n in range(2)] for c in range(3)]


@pytest.fixture
def networks() -> Networks:
    weights = {
        name: np.stack([np.stack([m[name].numpy() for m in row]) for row in CELLS])
        for name in CELLS[0][0]
    }
    return Networks(
        seeds=np.arange(2),
        features=["a", "b"],
        targets=["a"],
        included=np.ones(2, bool),
        test_accuracy=np.ones((2, 2)),
        mastery_step=np.zeros((2, 2), int),
        curves={},
        checkpoint_names=np.array(["initial", "mastered", "final"]),
        checkpoint_steps=np.zeros((3, 2), int),
        weights=weights,
    )


def weights_at(networks, checkpoint):
    return {name: w[checkpoint] for name, w in networks.weights.items()}


@normalisations
def test_hidden_layers_are_those_of_each_network(networks, normalisation):
    spec = MLP(hidden=HIDDEN, activation="tanh", normalisation=normalisation)
    inputs = random_inputs(15, 9)
    for c in range(3):
        layers = hidden_layers(weights_at(networks, c), inputs.numpy(), spec)
        assert [layer.shape for layer in layers] == [(2, 15, n) for n in HIDDEN]
        for n in range(2):
            model = sequential(CELLS[c][n], spec)
            for i, layer in enumerate(layers):
                with torch.no_grad():
                    expected = model[: i + 1](inputs).numpy()
                np.testing.assert_allclose(layer[n], expected, rtol=1e-5, atol=2e-6)


@normalisations
@pytest.mark.parametrize("layer", ["hidden1", "hidden2", "hidden3"])
def test_outputs_from_any_layer_are_those_of_the_whole_network(networks, layer, normalisation):
    spec = MLP(hidden=HIDDEN, activation="gelu", normalisation=normalisation)
    inputs = random_inputs(15, 9)
    place = spec.layers.index(layer)
    for c in range(3):
        activations = hidden_layers(weights_at(networks, c), inputs.numpy(), spec)[place]
        found = outputs_from(weights_at(networks, c), layer, activations, spec, 2)
        # In double precision, and in an order that is not the memory's, it is the same.
        changed = np.asfortranarray(-2.0 * activations.astype(np.float64))
        steered = outputs_from(weights_at(networks, c), layer, changed, spec, 2)
        assert found.shape == steered.shape == (2, 15, 2)
        for n in range(2):
            model = sequential(CELLS[c][n], spec)
            with torch.no_grad():
                whole = model(inputs).numpy()
                tail = model[place + 1 :](-2 * torch.from_numpy(activations[n])).numpy()
            np.testing.assert_allclose(found[n], whole, rtol=1e-5, atol=2e-6)
            np.testing.assert_allclose(steered[n], tail, rtol=1e-5, atol=5e-6)


# Initial weights.


@pytest.mark.parametrize("init", ["lecun", "he", "torch"])
@pytest.mark.parametrize("scale", [0.25, 3.0])
def test_init_scale_multiplies_the_initial_weights(init, scale):
    one = initial_weights(MLP(hidden=HIDDEN, init=init), 9, 2, 4)
    scaled = initial_weights(MLP(hidden=HIDDEN, init=init, init_scale=scale), 9, 2, 4)
    assert one.keys() == scaled.keys()
    for name, parameter in one.items():
        factor = scale if name.startswith("w") else 1  # biases are no weights
        assert torch.equal(scaled[name], factor * parameter)
        assert scaled[name].dtype == torch.float32


@pytest.mark.parametrize("scale", [0, -1])
def test_init_scale_is_positive(scale):
    with pytest.raises(ValueError, match="greater than 0"):
        MLP(init_scale=scale)


@pytest.mark.parametrize(("init", "gain"), [("lecun", 1), ("he", 2), ("torch", 1 / 3)])
def test_initial_weights_have_the_stated_variance(init, gain):
    weights = initial_weights(MLP(hidden=[300, 500], init=init), 200, 400, seed=0)
    for name, fan_in in [("w1", 200), ("w2", 300), ("w3", 500)]:
        w = weights[name].double()
        assert w.shape[0] == fan_in
        # Over n draws the variance has a relative standard error of at most sqrt(2 / n).
        five_errors = 5 * math.sqrt(2 / w.numel())
        assert w.var().item() == pytest.approx(gain / fan_in, rel=five_errors)
        assert abs(w.mean().item()) < 5 * math.sqrt(gain / fan_in / w.numel())
        kurtosis = (w**4).mean() / (w**2).mean() ** 2
        assert kurtosis.item() == pytest.approx(1.8 if init == "torch" else 3, rel=0.03)


def test_torch_initialisation_has_the_range_of_nn_linear():
    weights = initial_weights(MLP(hidden=[200], init="torch"), 64, 100, seed=0)
    linear = nn.Linear(64, 200)
    for ours, theirs in [(weights["w1"], linear.weight), (weights["b1"], linear.bias)]:
        bound = 1 / math.sqrt(64)
        assert ours.numel() == theirs.numel()
        for values in (ours, theirs):
            assert 0.95 * bound < values.abs().max().item() <= bound


@pytest.mark.parametrize("init", ["lecun", "he"])
def test_normal_initialisations_have_no_biases(init):
    weights = initial_weights(MLP(hidden=[4, 3], init=init), 5, 2, seed=0)
    assert {name: tuple(w.shape) for name, w in weights.items()} == {
        **{"w1": (5, 4), "b1": (1, 4), "w2": (4, 3), "b2": (1, 3), "w3": (3, 2), "b3": (1, 2)}
    }
    assert not any(weights[name].any() for name in ("b1", "b2", "b3"))


@pytest.mark.parametrize("init", ["lecun", "he", "torch"])
def test_initial_weights_depend_on_the_seed_only(init):
    spec = MLP(hidden=[6, 4], init=init)
    torch.manual_seed(1)
    first = initial_weights(spec, 5, 2, seed=7)
    torch.manual_seed(2)
    again, other = initial_weights(spec, 5, 2, seed=7), initial_weights(spec, 5, 2, seed=8)
    for name, w in first.items():
        torch.testing.assert_close(again[name], w, rtol=0, atol=0)
        if w.any():
            assert not torch.equal(other[name], w)
