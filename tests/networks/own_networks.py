"""Architectures of a user's, good and bad, that tests name as factories."""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from repbias.networks.mlp import MLP
from repbias.networks.stacks import initial_weights


def mlp(input_shape, n_outputs, hidden=(13, 5)):
    """The perceptron of the package as a module, with the same initial weights."""
    weights = initial_weights(
        MLP(hidden=list(hidden)), input_shape[0], n_outputs, torch.initial_seed()
    )
    layers, widths = [], [input_shape[0], *hidden, n_outputs]
    for i in range(1, len(widths)):
        linear = nn.Linear(widths[i - 1], widths[i])
        with torch.no_grad():
            linear.weight.copy_(weights[f"w{i}"].T)
            linear.bias.copy_(weights[f"b{i}"][0])
        layers += [linear, nn.LeakyReLU()]
    return nn.Sequential(*layers[:-1])


class Maps(nn.Module):
    """Feature maps, changed in place by the activation, and a normalisation."""

    def __init__(self, channels, n_outputs, dropout=0.0):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(dropout)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.readout = nn.Linear(24, n_outputs)

    def forward(self, x):
        return self.readout(self.drop(self.pool(self.relu(self.norm(self.conv(x))))).flatten(1))


def maps(input_shape, n_outputs, dropout=0.0):
    """For inputs (channel, height, width), or a row of 16 numbers."""
    if len(input_shape) == 1:
        return nn.Sequential(nn.Unflatten(1, (1, 4, -1)), Maps(1, n_outputs, dropout))
    return Maps(input_shape[0], n_outputs, dropout)


class Sequence(nn.Module):
    def __init__(self, vocabulary, n_outputs, batch_first=True):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, 8)
        self.gru = nn.GRU(8, 8, batch_first=batch_first)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.readout = nn.Linear(8, n_outputs)

    def forward(self, x):
        x, _ = self.gru(self.embed(x))
        return self.readout(self.block(x).mean(1))


def sequence(input_shape, n_outputs, vocabulary, batch_first=True):
    return Sequence(vocabulary, n_outputs, batch_first)


# What is refused.


def no_module(input_shape, n_outputs):
    return "a module"


def fails(input_shape, n_outputs):
    raise OSError("no such file: weights.pt")


def wrong_width(input_shape, n_outputs):
    return nn.Sequential(nn.Linear(input_shape[0], n_outputs + 1))


def wrong_input(input_shape, n_outputs):
    return nn.Sequential(nn.Linear(input_shape[0] + 3, n_outputs))


class Twice(nn.Module):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.first, self.relu, self.unused = nn.Linear(n_inputs, 4), nn.ReLU(), nn.ReLU()
        self.second = nn.Linear(4, n_outputs)

    def forward(self, x):
        return self.second(self.relu(self.relu(self.first(x))))


def twice(input_shape, n_outputs):
    return Twice(input_shape[0], n_outputs)


class Mixing(nn.Module):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.first = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        return self.first(x - x.mean(0))


def mixing(input_shape, n_outputs):
    return Mixing(input_shape[0], n_outputs)


class Frozen(nn.Module):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.first = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        return self.first(x).detach()


def frozen(input_shape, n_outputs):
    return Frozen(input_shape[0], n_outputs)


# What a review found.


class Plain(nn.Module):
    """A hidden layer; others change something of it."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.first, self.second = nn.Linear(n_inputs, 16), nn.Linear(16, n_outputs)

    def forward(self, x):
        return self.second(self.first(x).relu())


class HiddenState(Plain):
    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.mask = (torch.rand(n_inputs) > 0.5).float()

    def forward(self, x):
        return super().forward(x * self.mask)


def hidden_state(input_shape, n_outputs):
    return HiddenState(input_shape[0], n_outputs)


def drawn_elsewhere(input_shape, n_outputs):
    module = Plain(input_shape[0], n_outputs)
    weight = np.random.default_rng().normal(size=(16, input_shape[0]))
    module.first.weight.data = torch.from_numpy(weight.astype(np.float32))
    return module


class Unread(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.lstm, self.second = nn.LSTM(1, 8, batch_first=True), nn.Linear(8, n_outputs)

    def forward(self, x):
        _, (h, _) = self.lstm(x[..., None])
        return self.second(h[-1])


def unread(input_shape, n_outputs):
    return Unread(n_outputs)


class ZerosBehindMixing(Plain):
    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x):
        return super().forward(x - x.mean(0))


def zeros_behind_mixing(input_shape, n_outputs):
    return ZerosBehindMixing(input_shape[0], n_outputs)


class NotFinite(Plain):
    def forward(self, x):
        return super().forward(x).log()


def not_finite(input_shape, n_outputs):
    return NotFinite(input_shape[0], n_outputs)


def half(input_shape, n_outputs):
    return Plain(input_shape[0], n_outputs).bfloat16()


class Counting(Plain):
    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.steps = 0

    def forward(self, x):
        self.steps += self.training
        return super().forward(x) + self.steps


def counting(input_shape, n_outputs):
    return Counting(input_shape[0], n_outputs)


class Tied(Plain):
    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.second(self.b(self.a(self.first(x)).relu()))


def tied(input_shape, n_outputs):
    return Tied(input_shape[0], n_outputs)


class Masked(Plain):
    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf] * 8))

    def forward(self, x):
        return self.second((self.first(x) + self.mask).softmax(-1) * 16)


def masked(input_shape, n_outputs):
    return Masked(input_shape[0], n_outputs)


class Scalar(Plain):
    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.scale, self.shift = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return super().forward(x) * torch.stack([self.scale, self.shift])


def scalar(input_shape, n_outputs):
    return Scalar(input_shape[0], n_outputs)


def lazy(input_shape, n_outputs):
    module = Plain(input_shape[0], n_outputs)
    module.first = nn.LazyLinear(16)
    return module


class Pair(NamedTuple):
    units: torch.Tensor
    sums: torch.Tensor


class GivesPair(nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        return Pair(y, y.sum(-1))


class Named(Plain):
    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.first = GivesPair(n_inputs, 16)

    def forward(self, x):
        return self.second(self.first(x).units.relu())


def named(input_shape, n_outputs):
    return Named(input_shape[0], n_outputs)


def strided(input_shape, n_outputs):
    module = Plain(input_shape[0], n_outputs)
    module.second.weight = nn.Parameter((torch.randn(n_outputs, 32) / 4)[:, ::2])
    return module


@cache
def cached(input_shape, n_outputs):
    return Plain(input_shape[0], n_outputs)


class Noisy(Plain):
    def __init__(self, n_inputs, n_outputs):
        start = torch.randn(16)  # the first numbers that are drawn
        super().__init__(n_inputs, n_outputs)
        self.register_buffer("start", start)
        self.register_buffer("drawn", torch.zeros(16))

    def forward(self, x):
        if self.training and not self.drawn.any():
            self.drawn += torch.randn(16)
        return super().forward(x)


def noisy(input_shape, n_outputs):
    return Noisy(input_shape[0], n_outputs)
