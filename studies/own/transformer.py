"""A small transformer over positions; `factory: transformer:build` in study.yaml."""

import torch
from torch import nn


class Transformer(nn.Module):
    """An encoder over positions, a mean over them, and a readout."""

    def __init__(
        self, length: int, channels: int, width: int, depth: int, heads: int, n_outputs: int
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(channels, width)
        self.positions = nn.Parameter(0.3 * torch.randn(length, width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.readout = nn.Linear(width, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map stimuli (stimulus, position) or (stimulus, position, channel) to logits."""
        x = self.embed(x.reshape(*x.shape[:2], -1)) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.readout(self.norm(x).mean(dim=1))


def build(
    input_shape: tuple[int, ...], n_outputs: int, width: int = 32, depth: int = 2, heads: int = 4
) -> nn.Module:
    """Return a network for inputs of this shape."""
    channels = input_shape[1] if len(input_shape) > 1 else 1
    return Transformer(input_shape[0], channels, width, depth, heads, n_outputs)
