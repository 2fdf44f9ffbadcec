"""Architectures of a user's, good and bad, that tests name as factories."""

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
