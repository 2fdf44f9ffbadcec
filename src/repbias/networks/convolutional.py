"""Convolutional networks of images, plain and with skips: settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from repbias.base.inputs import Inputs
from repbias.networks.modules import Modules, image_shape

if TYPE_CHECKING:
    import torch


class Convolutional(Modules):
    """What plain networks and those with skips have in common: all but the skips.

    A stem, stages of blocks of two 3 × 3 convolutions, the mean over positions, a linear readout.
    """

    widths: list[Annotated[int, Field(ge=1)]] = Field([16, 32, 64], min_length=1)
    """Channels of the stages, which are called stage1, stage2, ...; the stem has as many as the
    first."""
    blocks: int = Field(1, ge=1)
    """Blocks of each stage, of two convolutions each. The last one's output is the stage's; others
    are layers too, such as stage1.block1."""
    stem_kernel: Literal[3, 5, 7] = 3
    """Pixels on a side of the stem's convolution."""
    stem_stride: int = Field(1, ge=1)
    """Step of the stem's convolution."""
    stem_pool: bool = False
    """Whether a maximum over 3 × 3 positions, with a step of 2, ends the stem."""
    first_stride: int = Field(2, ge=1)
    """Step of the first stage's first convolution; that of the other stages is 2."""
    normalisation: Literal["none", "batch", "group"] = "batch"
    """After every convolution: none, batch normalisation, or group normalisation (of 8 groups, or
    as many of 4, 2 and 1 as the width can be divided into)."""

    sequence: ClassVar[bool] = True
    #: Whether a block's input is added to its output.
    skips: ClassVar[bool]

    @property
    def layers(self) -> list[str]:
        """Names of the layers: the stem, blocks and stages, and the mean over positions."""
        names = ["stem"]
        for i in range(1, len(self.widths) + 1):
            names += [f"stage{i}.block{j}" for j in range(1, self.blocks)]
            names.append(f"stage{i}")
        return [*names, "pool"]

    def build(self, inputs: Inputs, n_outputs: int) -> torch.nn.Module:
        """Make the network; the weights of all layers are drawn before those of the readout."""
        from repbias.networks.image_modules import convolutional_network

        channels, *_ = image_shape(inputs)
        return convolutional_network(self, channels, n_outputs)


class CNN(Convolutional):
    """A plain convolutional network of images (channel, height, width)."""

    kind: Literal["cnn"] = "cnn"
    """A convolutional network."""

    skips: ClassVar[bool] = False


class ResNet(Convolutional):
    """A residual network of images (channel, height, width): a `cnn` with skips.

    What a block is given is added to its output before the last nonlinearity; where the shape
    changes, by way of a 1 × 1 convolution.
    """

    kind: Literal["resnet"] = "resnet"
    """A residual network."""

    skips: ClassVar[bool] = True
