"""Many multi-layer perceptrons as one: parameters stacked along a leading network axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from repbias.base.inputs import as_seen
from repbias.networks.mlp import MLP

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "leaky_relu": F.leaky_relu,
    "relu": F.relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
}
#: Widths are padded with zeros to multiples of this many floats (two vector registers). So every
#: network is aligned alike and vectorised alike, and comes out the same at any place in any stack.
#: Padded units stay exactly zero: their incoming and outgoing weights get no gradient.
ALIGNMENT = 32


def padded(tensor: Tensor, rows: bool = False) -> Tensor:
    """Pad the last axis, and the one before it if they are rows of a weight matrix."""
    padding = [0, -tensor.shape[-1] % ALIGNMENT]
    if rows:
        padding += [0, -tensor.shape[-2] % ALIGNMENT]
    return F.pad(tensor, padding)


def aligned(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Pad stacked parameters, w and b, where the layers' widths ask for it."""
    return {name: padded(w, rows=name.startswith("w")) for name, w in weights.items()}


def padded_widths(widths: Sequence[int]) -> list[int]:
    """Return the widths of all layers, from inputs to outputs, as they are in memory."""
    return [n + -n % ALIGNMENT for n in widths]


def as_rows(inputs: np.ndarray) -> np.ndarray:
    """Return inputs of any shape as a row of numbers each, (stimulus, input) float32."""
    return as_seen(np.asarray(inputs)).reshape(len(inputs), -1).astype(np.float32, copy=False)


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
            w, b = draw[:-1], draw[-1:]
        else:
            gain = 2 if spec.init == "he" else 1
            w = torch.randn(fan_in, fan_out, generator=generator) * math.sqrt(gain / fan_in)
            b = torch.zeros(1, fan_out)
        weights[f"w{i}"], weights[f"b{i}"] = spec.init_scale * w, b
    return weights


def forward(
    weights: dict[str, Tensor],
    inputs: Tensor,
    spec: MLP,
    hook: Callable[[int, Tensor], Tensor] | None = None,
    first: int = 1,
) -> tuple[list[Tensor], Tensor]:
    """Run every network of the stack.

    Parameters
    ----------
    weights
        Stacked parameters: w (network, in, out) and b (network, 1, out). Widths may be padded
        with zeros beyond the spec's; padded units are zero.
    inputs
        Inputs of shape (network, stimulus, input).
    spec
        The architecture.
    hook
        Called with a hidden layer's number and its activations; returns what goes on.
    first
        The layer that the inputs go into: 1, or that after a hidden layer whose activations
        they are.

    Returns
    -------
    hidden : list of tensors of shape (network, stimulus, unit), before the hook
    logits : tensor of shape (network, stimulus, output)
    """
    n_hidden = len(spec.hidden)
    x, hidden = inputs, []
    for i in range(first, n_hidden + 1):
        x = torch.baddbmm(weights[f"b{i}"], x, weights[f"w{i}"])
        if spec.normalisation == "layer":
            x = _layer_norm(x, spec.hidden[i - 1])
        x = ACTIVATIONS[spec.activation](x)
        hidden.append(x)
        if hook is not None:
            x = hook(i, x)
    return hidden, torch.baddbmm(weights[f"b{n_hidden + 1}"], x, weights[f"w{n_hidden + 1}"])


def _layer_norm(x: Tensor, width: int) -> Tensor:
    """Give every stimulus mean 0 and variance 1 over the units; padded units stay zero."""

    def inside(values: Tensor) -> Tensor:
        return F.pad(values[..., :width], (0, x.shape[-1] - width))

    # Padded units take no part in the mean: they would get a gradient, and come to life.
    centred = inside(x - inside(x).sum(-1, keepdim=True) / width)
    return centred * torch.rsqrt(centred.square().sum(-1, keepdim=True) / width + 1e-5)


def hidden_layers(
    weights: Mapping[str, np.ndarray],
    inputs: np.ndarray,
    spec: MLP,
    device: torch.device | str = "cpu",
) -> list[np.ndarray]:
    """Return every hidden layer of a stack of networks.

    On a CPU, a network's activations are the same bits whatever networks are with it.

    Parameters
    ----------
    weights
        Parameter name to (network, ...).
    inputs
        (stimulus, ...).
    spec
        The networks' architecture.
    device
        Where to compute.

    Returns
    -------
    list of numpy.ndarray
        One array of shape (network, stimulus, unit) per hidden layer.
    """
    hidden, _ = _run(weights, inputs, spec, device)
    return [
        np.ascontiguousarray(h.cpu().numpy()[..., :width])
        for h, width in zip(hidden, spec.hidden, strict=True)
    ]


def outputs(
    weights: Mapping[str, np.ndarray], inputs: np.ndarray, spec: MLP, n_outputs: int
) -> np.ndarray:
    """Return the logits of a stack of networks, (network, stimulus, output); on the CPU."""
    _, logits = _run(weights, inputs, spec, "cpu")
    return np.ascontiguousarray(logits.numpy()[..., :n_outputs])


def _run(
    weights: Mapping[str, np.ndarray], inputs: np.ndarray, spec: MLP, device: torch.device | str
) -> tuple[list[Tensor], Tensor]:
    x = padded(torch.from_numpy(as_rows(inputs))).to(device)
    with torch.inference_mode():
        return forward(_on_device(weights, device), x.expand(len(weights["w1"]), *x.shape), spec)


def outputs_from(
    weights: Mapping[str, np.ndarray],
    layer: str,
    activations: np.ndarray,
    spec: MLP,
    n_outputs: int,
) -> np.ndarray:
    """Run the rest of every network on activations of one of its hidden layers.

    Parameters
    ----------
    weights, spec
        As for :func:`hidden_layers`.
    layer
        Name of the hidden layer.
    activations
        (network, stimulus, unit), as they were or changed.
    n_outputs
        Number of output units.

    Returns
    -------
    numpy.ndarray
        Logits (network, stimulus, output); above 0 the network reports a 1.
    """
    x = padded(torch.from_numpy(np.ascontiguousarray(activations, np.float32)))
    first = spec.layers.index(layer) + 2
    with torch.inference_mode():
        _, logits = forward(_on_device(weights, "cpu"), x, spec, first=first)
    return np.ascontiguousarray(logits.numpy()[..., :n_outputs])


def _on_device(weights: Mapping[str, np.ndarray], device: torch.device | str) -> dict[str, Tensor]:
    tensors = aligned({name: torch.from_numpy(w) for name, w in weights.items()})
    return {name: w.to(device) for name, w in tensors.items()}
