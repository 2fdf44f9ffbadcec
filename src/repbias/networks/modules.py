"""PyTorch modules as an architecture: how a layer becomes units, and what a class must say."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, model_validator

from repbias.base.inputs import Inputs, Task
from repbias.base.spec import RepbiasError, nearest
from repbias.networks.architecture import Architecture, Sizes

if TYPE_CHECKING:
    import numpy as np
    import torch


def _known(readout: str) -> str:
    if not re.fullmatch(r"auto|flatten|spatial_mean|token_mean|token-?\d{1,6}", readout):
        options = ("auto", "flatten", "spatial_mean", "token_mean", "token0", "token-1")
        raise ValueError(nearest(readout, options))
    return readout


#: How the output of a layer becomes one row of units per stimulus.
Readout = Annotated[str, AfterValidator(_known)]


def image_shape(inputs: Inputs) -> tuple[int, int, int]:
    """Return channels, height and width of the images that a network is shown.

    Raises
    ------
    RepbiasError
        If stimuli are not images, or their channels come last.
    """
    wanted = "network.kind: this network is shown images (channel, height, width)"
    if inputs.vocabulary is not None or len(inputs.shape) != 3:
        shown = "tokens" if inputs.vocabulary is not None else f"stimuli of shape {inputs.shape}"
        raise RepbiasError(f"{wanted}, found {shown}; use another kind")
    channels, height, width = inputs.shape
    if width <= 4 < channels:
        raise RepbiasError(f"{wanted}, found {inputs.shape}, where channels seem to come last")
    return channels, height, width


class Modules(Architecture):
    """Networks that are PyTorch modules, trained one after the other.

    Layers are modules within it, and are read, and replaced, by hooks.
    """

    readout: Readout | dict[str, Readout] = "auto"
    """How the output of a layer becomes units, for all layers, or by layer. `flatten`: every number
    is a unit. `spatial_mean`: the mean over all axes but the first two (stimulus, channel).
    `token_mean`: the mean over the second axis (stimulus, token, unit). `token0`, `token1`, ...,
    `token-1`: one token. `auto`: feature maps with two axes or more by `spatial_mean`; of
    outputs with three axes, which may be either, it must be said."""

    @property
    def teacher_forced(self) -> bool:
        """Whether modules are given the labels (stimulus, feature) in training, beside stimuli."""
        return False

    @abstractmethod
    def build(self, inputs: Inputs, n_outputs: int) -> torch.nn.Module:
        """Make a module that maps (stimulus, *shape) to logits (stimulus, output).

        Called with PyTorch's random numbers seeded by the network's seed.
        """

    def readout_of(self, layer: str) -> str:
        """Return how a layer is read."""
        return self.readout.get(layer, "auto") if isinstance(self.readout, dict) else self.readout

    def sizes(self, task: Task) -> Sizes:
        """Build a module, show it two stimuli, and measure it."""
        from repbias.networks.forward import examined

        return examined(self, task)

    def represent(
        self,
        weights: Mapping[str, np.ndarray],
        inputs: np.ndarray,
        task: Task,
        device: str = "cpu",
    ) -> dict[str, np.ndarray]:
        """Run the networks one after the other, and read every layer."""
        from repbias.networks.forward import Forward

        return Forward(self, weights, inputs, task, device).layers()

    def outputs(
        self, weights: Mapping[str, np.ndarray], inputs: np.ndarray, task: Task
    ) -> np.ndarray:
        """Run the networks one after the other."""
        from repbias.networks.forward import Forward

        return Forward(self, weights, inputs, task, "cpu").outputs()

    def rest(
        self,
        weights: Mapping[str, np.ndarray],
        inputs: np.ndarray,
        layer: str,
        task: Task,
        device: str = "cpu",
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Run the networks, and replace the layer's output as it comes.

        A layer that is read by a mean is moved as a whole: every position by the difference between
        the new mean and that of the output. What comes before the layer runs once only where the
        module is a torch.nn.Sequential and the layer one of its parts.
        """
        from repbias.networks.forward import Forward

        return Forward(self, weights, inputs, task, device).rest(layer)

    @model_validator(mode="after")
    def _read_layers_exist(self) -> Modules:
        for layer in self.readout if isinstance(self.readout, dict) else ():
            if layer not in self.layers:
                raise ValueError(f"readout: no layer {layer!r}; {nearest(layer, self.layers)}")
        return self
