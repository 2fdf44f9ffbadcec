"""Vision transformers: settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from repbias.base.inputs import Inputs
from repbias.base.spec import RepbiasError
from repbias.networks.modules import Modules, image_shape

if TYPE_CHECKING:
    import torch


class VisionTransformer(Modules):
    """A transformer of the patches of images (channel, height, width).

    Patches are embedded linearly and get a learned position embedding; blocks normalise what they
    read (pre-norm). Layers are read by the mean over tokens if nothing else is said.
    """

    kind: Literal["vit"] = "vit"
    """A vision transformer."""
    patch: int = Field(4, ge=1)
    """Pixels on a side of a patch."""
    width: int = Field(32, ge=1)
    """Units of a token."""
    depth: int = Field(3, ge=1)
    """Blocks, which are called block1, block2, ..."""
    attention_heads: int = Field(4, ge=1)
    """Heads of the attention; they divide the width."""
    mlp_ratio: int = Field(4, ge=1)
    """Hidden units of a block's perceptron for each unit of a token."""
    pooling: Literal["mean", "class_token"] = "mean"
    """What is normalised and read out after the last block: the mean over tokens, or a token of its
    own, which comes first."""

    sequence: ClassVar[bool] = True

    @property
    def layers(self) -> list[str]:
        """Names of the layers: embedded patches, blocks, and what is read out."""
        return ["embed", *(f"block{i + 1}" for i in range(self.depth)), "norm"]

    def readout_of(self, layer: str) -> str:
        """Return how a layer is read; the last one is one vector, whatever is said of all."""
        said = super().readout_of(layer)
        if layer == "norm":
            return said if isinstance(self.readout, dict) else "auto"
        return "token_mean" if said == "auto" else said

    def build(self, inputs: Inputs, n_outputs: int) -> torch.nn.Module:
        """Make the network; the weights of all layers are drawn before those of the readout."""
        from repbias.networks.image_modules import transformer

        channels, height, width = image_shape(inputs)
        if height % self.patch or width % self.patch:
            raise RepbiasError(
                f"network.patch: images of {height} × {width} pixels cannot be divided into "
                f"patches of {self.patch} × {self.patch}"
            )
        return transformer(self, channels, height * width // self.patch**2, n_outputs)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> VisionTransformer:
        if self.width % self.attention_heads:
            raise ValueError(
                f"width {self.width} cannot be divided among {self.attention_heads} attention_heads"
            )
        return self
