"""The PyTorch modules of networks of images."""

from __future__ import annotations

from collections import OrderedDict
from math import gcd
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from repbias.networks.convolutional import Convolutional
    from repbias.networks.vit import VisionTransformer


def convolutional_network(spec: Convolutional, channels: int, n_outputs: int) -> nn.Sequential:
    """Make a convolutional network of images (stimulus, channel, height, width).

    The weights of the readout are drawn last.
    """
    return nn.Sequential(_parts(spec, channels, n_outputs))


class ChannelsLast(nn.Module):
    """Puts channels last in memory: convolutions then take two thirds of the time."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the same images."""
        return x.contiguous(memory_format=torch.channels_last)


def _parts(spec: Convolutional, channels: int, n_outputs: int) -> OrderedDict[str, nn.Module]:
    """Return the parts of a network by name."""
    width = spec.widths[0]
    stem = _convolution(spec, channels, width, spec.stem_kernel, spec.stem_stride)
    stem.add_module("relu", nn.ReLU(inplace=True))
    if spec.stem_pool:
        stem.add_module("pool", nn.MaxPool2d(3, stride=2, padding=1))
    parts: OrderedDict[str, nn.Module] = OrderedDict(images=ChannelsLast(), stem=stem)
    for i, n_out in enumerate(spec.widths, start=1):
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for j in range(1, spec.blocks + 1):
            stride = 1 if j > 1 else spec.first_stride if i == 1 else 2
            blocks[f"block{j}"] = Block(spec, width, n_out, stride)
            width = n_out
        parts[f"stage{i}"] = nn.Sequential(blocks)
    parts["pool"] = nn.AdaptiveAvgPool2d(1)
    parts["flatten"] = nn.Flatten()
    parts["readout"] = nn.Linear(width, n_outputs)
    return parts


class Block(nn.Module):
    """Two 3 × 3 convolutions, and what is added to them where the network has skips."""

    def __init__(self, spec: Convolutional, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(spec, n_in, n_out, 3, stride)
        self.conv2 = _convolution(spec, n_out, n_out, 3, 1)
        self.skip: nn.Module | None = None
        if spec.skips:
            same = stride == 1 and n_in == n_out
            self.skip = nn.Identity() if same else _convolution(spec, n_in, n_out, 1, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return feature maps (stimulus, channel, height, width)."""
        y: Tensor = self.conv2(self.relu(self.conv1(x)))
        if self.skip is not None:
            y = y + self.skip(x)
        activated: Tensor = self.relu(y)
        return activated


def _convolution(
    spec: Convolutional, n_in: int, n_out: int, kernel: int, stride: int
) -> nn.Sequential:
    """Return a convolution with its normalisation, with the initial weights of He et al. (2015)."""
    plain = spec.normalisation == "none"
    conv = nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=plain)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    parts: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
    if spec.normalisation == "batch":
        parts["norm"] = nn.BatchNorm2d(n_out)
    elif spec.normalisation == "group":
        parts["norm"] = nn.GroupNorm(gcd(8, n_out), n_out)
    return nn.Sequential(parts)


def transformer(
    spec: VisionTransformer, channels: int, n_patches: int, n_outputs: int
) -> nn.Sequential:
    """Make a vision transformer (Dosovitskiy et al. 2021) of so many patches."""
    parts: OrderedDict[str, nn.Module] = OrderedDict(embed=_Embedding(spec, channels, n_patches))
    for i in range(spec.depth):
        parts[f"block{i + 1}"] = nn.TransformerEncoderLayer(
            spec.width,
            spec.attention_heads,
            spec.mlp_ratio * spec.width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
    parts["pool"] = _Pool(class_token=spec.pooling == "class_token")
    parts["norm"] = nn.LayerNorm(spec.width)
    parts["readout"] = nn.Linear(spec.width, n_outputs)
    return nn.Sequential(parts)


class _Pool(nn.Module):
    """The first token, or the mean over tokens."""

    def __init__(self, class_token: bool) -> None:
        super().__init__()
        self.class_token = class_token

    def forward(self, x: Tensor) -> Tensor:
        """Return (stimulus, unit)."""
        return x[:, 0] if self.class_token else x.mean(dim=1)


class _Embedding(nn.Module):
    """Patches as tokens: their linear embedding plus that of their position."""

    def __init__(self, spec: VisionTransformer, channels: int, n_patches: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, spec.width, spec.patch, stride=spec.patch)
        first = int(spec.pooling == "class_token")
        self.positions = nn.Parameter(0.02 * torch.randn(first + n_patches, spec.width))
        # The class token has no embedding but that of its position, to which one would be added.
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        """Return (stimulus, token, unit)."""
        tokens = self.patches(x).flatten(2).swapaxes(1, 2)
        return nn.functional.pad(tokens, (0, 0, self.first, 0)) + self.positions
