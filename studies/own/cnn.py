"""A small convolutional network over positions; `factory: cnn:build` in study.yaml."""

import torch
from torch import nn


class ConvolutionalNetwork(nn.Module):
    """Two convolutions with batch normalisation, a hidden layer, and a readout."""

    def __init__(self, channels: int, width: int, n_outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, width, kernel_size=3, padding=1)
        self.norm1 = nn.BatchNorm1d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, padding=1)
        self.norm2 = nn.BatchNorm1d(width)
        self.relu2 = nn.ReLU()
        self.hidden = nn.Linear(width * 8, width)
        self.relu3 = nn.ReLU()
        self.readout = nn.Linear(width, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map stimuli (stimulus, position) or (stimulus, position, channel) to logits."""
        x = x.reshape(*x.shape[:2], -1).swapaxes(1, 2)  # (stimulus, channel, position)
        x = self.relu1(self.norm1(self.conv1(x)))
        x = self.relu2(self.norm2(self.conv2(x)))
        # Eight places along the input, however long it is.
        x = nn.functional.adaptive_avg_pool1d(x, 8)
        return self.readout(self.relu3(self.hidden(x.flatten(1))))


def build(input_shape: tuple[int, ...], n_outputs: int, width: int = 32) -> nn.Module:
    """Return a network for inputs of this shape."""
    channels = input_shape[1] if len(input_shape) > 1 else 1
    return ConvolutionalNetwork(channels, width, n_outputs)


class ImageNetwork(nn.Module):
    """Three blocks of two convolutions with batch normalisation, a mean over space, a readout."""

    def __init__(self, channels: int, width: int, n_outputs: int) -> None:
        super().__init__()
        self.stem = self._convolution(channels, width)
        self.block1 = self._block(width, width)
        self.block2 = self._block(width, 2 * width)
        self.block3 = self._block(2 * width, 4 * width)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.readout = nn.Linear(4 * width, n_outputs)

    @staticmethod
    def _convolution(n_in: int, n_out: int, stride: int = 1) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
        )

    def _block(self, n_in: int, n_out: int) -> nn.Sequential:
        return nn.Sequential(
            self._convolution(n_in, n_out, stride=2), self._convolution(n_out, n_out)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (stimulus, channel, row, column) to logits."""
        x = self.block3(self.block2(self.block1(self.stem(x))))
        return self.readout(self.pool(x).flatten(1))


def images(input_shape: tuple[int, ...], n_outputs: int, width: int = 16) -> nn.Module:
    """Return a network for images of this shape."""
    return ImageNetwork(input_shape[0], width, n_outputs)
