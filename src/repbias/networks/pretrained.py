"""The user's own model as it is, shown generated images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from repbias.base.inputs import Inputs, Task
from repbias.base.spec import RepbiasError
from repbias.networks.architecture import Architecture, Sizes
from repbias.networks.spec import UserModel

if TYPE_CHECKING:
    from torch import nn


class Pretrained(UserModel, Architecture):
    """A model of yours with its own weights, shown generated images as it would be photographs."""

    kind: Literal["pretrained"] = "pretrained"
    """A module of yours, which is not trained here."""

    trained: ClassVar[bool] = False

    def sizes(self, task: Task) -> Sizes:
        """Make the model, show it two images, and measure it."""
        shape, dtype, _ = task.inputs
        if len(shape) != 3 or shape[0] != 3 or dtype != "uint8":
            raise RepbiasError(
                "network.kind: a pretrained network is shown images (3, height, width) of type "
                f"uint8, found stimuli of shape {shape} of type {dtype}; use another kind"
            )
        return _measured(self.model_dump_json(exclude={"analysed_layer"}), task.inputs)

    def represent(
        self,
        weights: Mapping[str, np.ndarray],
        inputs: np.ndarray,
        task: Task,
        device: str = "cpu",
    ) -> dict[str, np.ndarray]:
        """Return what images evoke; the weights are the model's own."""
        from repbias.networks.user_models import load_model

        model, batch = load_model(self), self.sizes(task).batch
        batches = list(_batches(model, self, inputs, batch, device))
        return {layer: np.concatenate([b[layer] for b in batches])[None] for layer in self.layers}

    def outputs(
        self, weights: Mapping[str, np.ndarray], inputs: np.ndarray, task: Task
    ) -> np.ndarray:
        """Refuse: there are no outputs for the features."""
        raise RepbiasError("network.kind: a pretrained network has no outputs for the features")

    def rest(
        self,
        weights: Mapping[str, np.ndarray],
        inputs: np.ndarray,
        layer: str,
        task: Task,
        device: str = "cpu",
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Refuse: there are no outputs for the features."""
        raise RepbiasError("network.kind: a pretrained network has no outputs for the features")


def _batches(
    model: nn.Module, spec: Pretrained, inputs: Any, batch: int, device: str
) -> Iterator[dict[str, np.ndarray]]:
    """Show inputs (image, channel, height, width) to a model; give layer to (image, unit)."""
    from PIL import Image

    from repbias.networks.device import pick_device
    from repbias.networks.user_models import model_batches

    def load(i: int) -> Image.Image:
        # Where inputs are large, they are in a file.
        return Image.fromarray(np.asarray(inputs[i : i + 1])[0].transpose(1, 2, 0))

    for _, layers in model_batches(model, spec, len(inputs), load, batch, pick_device(device)):
        yield layers


@lru_cache(maxsize=64)
def _measured(settings: str, inputs: Inputs) -> Sizes:
    """Show a model two images, and count."""
    from torch.utils.flop_counter import FlopCounterMode

    from repbias.networks.forward import (
        SECONDS_PER_NUMBER,
        SECONDS_PER_OPERATION,
        NumberCounter,
    )
    from repbias.networks.user_models import load_model

    spec = Pretrained.model_validate_json(settings)
    model = load_model(spec)
    n, rng = 2, np.random.default_rng(0)
    images = rng.integers(256, size=(n, *inputs.shape), dtype=np.uint8)
    operations, numbers = FlopCounterMode(display=False), NumberCounter()
    with operations, numbers:
        (layers,) = _batches(model, spec, images, n, "cpu")
    seconds = SECONDS_PER_OPERATION * operations.get_total_flops()
    seconds += SECONDS_PER_NUMBER * numbers.total
    return Sizes(
        units={layer: layers[layer].shape[1] for layer in spec.layers},
        parameters=sum(w.numel() for w in model.state_dict().values()),
        step_seconds=0,
        stimulus_seconds=seconds / n,
        # What an operation gives, what it is given, and what it needs in between.
        stimulus_bytes=3 * 4 * numbers.largest // n + inputs.n_bytes,
    )
