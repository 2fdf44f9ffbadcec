"""Stacked perceptrons against torch.nn."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from repbias.networks.mlp import ACTIVATIONS, forward, hidden_activations, initial_weights
from repbias.networks.spec import MLP
from repbias.store import Networks

MODULES = {"leaky_relu": nn.LeakyReLU, "relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}
HIDDEN = [7, 5, 6]


def sequential(weights: dict[str, torch.Tensor], activation: str) -> nn.Sequential:
    """Build the network of one member of a stack out of PyTorch's own layers."""
    layers = []
    for i in range(1, len(weights) // 2 + 1):
        w, b = weights[f"w{i}"], weights[f"b{i}"]
        linear = nn.Linear(*w.shape)
        linear.weight.data, linear.bias.data = w.T.clone(), b[0].clone()
        layers += [linear, MODULES[activation]()]
    return nn.Sequential(*layers[:-1])


def member(seed: int, **settings) -> dict[str, torch.Tensor]:
    return initial_weights(MLP(hidden=HIDDEN, init="torch", **settings), 9, 2, seed)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_forward_equals_separate_torch_networks(activation):
    members = [member(seed) for seed in (3, 0, 8)]
    stacked = {name: torch.stack([m[name] for m in members]) for name in members[0]}
    inputs = torch.randn(3, 20, 9, generator=torch.Generator().manual_seed(1))
    hidden, logits = forward(stacked, inputs, activation)
    assert [tuple(h.shape) for h in hidden] == [(3, 20, n) for n in HIDDEN]
    for n, weights in enumerate(members):
        model = sequential(weights, activation)
        torch.testing.assert_close(logits[n], model(inputs[n]), rtol=1e-5, atol=1e-6)
        for i, layer in enumerate(hidden):
            expected = model[: 2 * i + 2](inputs[n])
            torch.testing.assert_close(layer[n], expected, rtol=1e-5, atol=1e-6)


def test_hidden_activations_are_those_of_the_checkpoint():
    # Checkpoint c of network n holds the initial weights of seed 10 c + n.
    cells = [[member(10 * c + n) for n in range(2)] for c in range(3)]
    weights = {
        name: np.stack([np.stack([m[name].numpy() for m in row]) for row in cells])
        for name in cells[0][0]
    }
    networks = Networks(
        seeds=np.arange(2),
        features=["a", "b"],
        targets=["a"],
        kept=np.ones(2, bool),
        test_accuracy=np.ones((2, 2)),
        acquired=np.zeros((2, 2), int),
        curves={},
        checkpoint_names=np.array(["initial", "acquired", "final"]),
        checkpoint_steps=np.zeros((3, 2), int),
        weights=weights,
    )
    inputs = np.random.default_rng(0).normal(size=(15, 9)).astype(np.float32)
    for c in range(3):
        layers = hidden_activations(networks, c, inputs, "tanh")
        assert len(layers) == len(HIDDEN)
        for n in range(2):
            model = sequential(cells[c][n], "tanh")
            for i, layer in enumerate(layers):
                with torch.no_grad():
                    expected = model[: 2 * i + 2](torch.from_numpy(inputs)).numpy()
                np.testing.assert_allclose(layer[n], expected, rtol=1e-5, atol=1e-6)


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
