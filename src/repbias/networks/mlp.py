"""Multi-layer perceptrons: settings, sizes, and what stacks of them do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from repbias.base.inputs import Task
from repbias.base.spec import RepbiasError
from repbias.networks.architecture import Architecture, Sizes

if TYPE_CHECKING:
    import numpy as np

#: Seconds of a training step in a stack of ten: of any network, and for each of its weights and
#: stimuli of a batch (benchmarks/scaling.py measures them).
SECONDS_PER_STEP, SECONDS_PER_WEIGHT = 4.5e-4, 1e-10


class MLP(Architecture):
    """A multi-layer perceptron; inputs of any shape are a row of numbers to it."""

    kind: Literal["mlp"] = "mlp"
    """Multi-layer perceptron."""
    hidden: list[Annotated[int, Field(ge=1)]] = Field([256, 128, 64, 64], min_length=1)
    """Units of the hidden layers, which are called hidden1, hidden2, ..."""
    activation: Literal["leaky_relu", "relu", "tanh", "gelu"] = "leaky_relu"
    """Nonlinearity of the hidden layers."""
    init: Literal["lecun", "he", "torch"] = "lecun"
    """Initial weights: normal with variance 1/n or 2/n, or PyTorch's default."""
    init_scale: float = Field(1.0, gt=0)
    """Factor on the initial weights (gain)."""
    normalisation: Literal["none", "layer"] = "none"
    """Layer normalisation (without gain and bias) before the nonlinearity."""

    stacked: ClassVar[bool] = True

    @property
    def layers(self) -> list[str]:
        """Names of the hidden layers."""
        return [f"hidden{i + 1}" for i in range(len(self.hidden))]

    def widths(self, task: Task) -> list[int]:
        """Return the widths of all layers, from inputs to outputs."""
        if task.inputs.vocabulary is not None:
            raise RepbiasError("network.kind: an mlp is not shown tokens; use another kind")
        return [prod(task.inputs.shape), *self.hidden, task.n_outputs]

    def sizes(self, task: Task) -> Sizes:
        """Count weights and units."""
        widths = self.widths(task)
        n_parameters = sum((a + 1) * b for a, b in pairwise(widths))
        return Sizes(
            units=dict(zip(self.layers, self.hidden, strict=True)),
            parameters=n_parameters,
            step_seconds=SECONDS_PER_STEP,
            stimulus_seconds=SECONDS_PER_WEIGHT * n_parameters,
            stimulus_bytes=24 * sum(widths),
        )

    def represent(
        self,
        weights: Mapping[str, np.ndarray],
        inputs: np.ndarray,
        task: Task,
        device: str = "cpu",
    ) -> dict[str, np.ndarray]:
        """Return the hidden layers of all networks at once."""
        from repbias.networks.device import pick_device
        from repbias.networks.stacks import hidden_layers

        layers = hidden_layers(weights, inputs, self, pick_device(device))
        return dict(zip(self.layers, layers, strict=True))

    def outputs(
        self, weights: Mapping[str, np.ndarray], inputs: np.ndarray, task: Task
    ) -> np.ndarray:
        """Run all networks at once."""
        from repbias.networks.stacks import outputs

        return outputs(weights, inputs, self, task.n_outputs)

    def rest(
        self,
        weights: Mapping[str, np.ndarray],
        inputs: np.ndarray,
        layer: str,
        task: Task,
        device: str = "cpu",
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Return what comes after the layer; the inputs do not matter any more."""
        from repbias.networks.stacks import outputs_from

        return lambda activations: outputs_from(weights, layer, activations, self, task.n_outputs)
