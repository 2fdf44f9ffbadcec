"""Many multi-layer perceptrons as one: parameters stacked along a leading network axis."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from repbias.networks.spec import MLP
from repbias.store import Networks

ACTIVATIONS = {
    "leaky_relu": F.leaky_relu,
    "relu": F.relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
}


def initial_weights(spec: MLP, n_inputs: int, n_outputs: int, seed: int) -> dict[str, Tensor]:
    """Draw one network's initial parameters; they depend on the seed and the shapes only.

    Returns
    -------
    dict
        w1 of shape (input, hidden1), b1 of shape (1, hidden1), ...; the last pair is the readout.
    """
    generator = torch.Generator().manual_seed(seed)
    widths = [n_inputs, *spec.hidden, n_outputs]
    weights = {}
    for i, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
        if spec.init == "torch":
            bound = 1 / math.sqrt(fan_in)
            draw = torch.rand(fan_in + 1, fan_out, generator=generator) * 2 * bound - bound
            weights[f"w{i}"], weights[f"b{i}"] = draw[:-1], draw[-1:]
        else:
            gain = 2 if spec.init == "he" else 1
            w = torch.randn(fan_in, fan_out, generator=generator) * math.sqrt(gain / fan_in)
            weights[f"w{i}"], weights[f"b{i}"] = w, torch.zeros(1, fan_out)
    return weights


def forward(
    weights: dict[str, Tensor], inputs: Tensor, activation: str
) -> tuple[list[Tensor], Tensor]:
    """Run every network of the stack.

    Parameters
    ----------
    weights
        Stacked parameters: w (network, in, out) and b (network, 1, out).
    inputs
        Inputs of shape (network, stimulus, input).
    activation
        A key of :data:`ACTIVATIONS`.

    Returns
    -------
    hidden : list of tensors of shape (network, stimulus, unit)
    logits : tensor of shape (network, stimulus, output)
    """
    n_layers = len(weights) // 2
    x, hidden = inputs, []
    for i in range(1, n_layers):
        x = ACTIVATIONS[activation](torch.baddbmm(weights[f"b{i}"], x, weights[f"w{i}"]))
        hidden.append(x)
    return hidden, torch.baddbmm(weights[f"b{n_layers}"], x, weights[f"w{n_layers}"])


def hidden_activations(
    networks: Networks, checkpoint: int, inputs: np.ndarray, activation: str
) -> list[np.ndarray]:
    """Return every hidden layer of every network at one checkpoint.

    Parameters
    ----------
    networks
        Trained networks.
    checkpoint
        Index of the checkpoint.
    inputs
        (stimulus, input).
    activation
        The networks' nonlinearity.

    Returns
    -------
    list of numpy.ndarray
        One array of shape (network, stimulus, unit) per hidden layer.
    """
    weights = {name: torch.from_numpy(w[checkpoint]) for name, w in networks.weights.items()}
    x = torch.from_numpy(inputs).expand(len(networks.seeds), *inputs.shape)
    with torch.inference_mode():
        hidden, _ = forward(weights, x, activation)
    return [h.numpy() for h in hidden]
