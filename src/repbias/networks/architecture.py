"""What an architecture says of itself, and can do; each is a module of its own.

Settings are read without PyTorch, so what computes imports it where it is used. To add an
architecture, write a class of :class:`repbias.networks.modules.Modules` and enter it in
:mod:`repbias.networks.architectures`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import model_validator

from repbias.base.inputs import Task
from repbias.base.spec import Spec, nearest

if TYPE_CHECKING:
    import numpy as np


#: Bytes that one batch may take in memory when networks are evaluated and analysed, and most
#: stimuli of it.
BATCH_BYTES, BATCH = 2**27, 512


@dataclass(frozen=True)
class Sizes:
    """How large a network is, and what a training step costs.

    Attributes
    ----------
    units : layer to its number of units, as analyses see them
    parameters : numbers that a checkpoint has
    step_seconds : of one core for a training step, however small the batch is
    stimulus_seconds : of one core for each stimulus of a batch, beside that
    stimulus_bytes : what a stimulus of a batch takes in memory
    """

    units: dict[str, int]
    parameters: int
    step_seconds: float
    stimulus_seconds: float
    stimulus_bytes: int

    @property
    def batch(self) -> int:
        """Stimuli of a batch when networks are evaluated and analysed."""
        return max(1, min(BATCH, BATCH_BYTES // self.stimulus_bytes))


class Architecture(Spec, ABC):
    """Networks that are shown generated stimuli; most are trained here.

    An architecture has a field `kind`, its name in the configuration. Weights are a mapping from a
    parameter's name to (network, ...), one entry for each of several networks.
    """

    analysed_layer: str | None = None
    """The layer that claims are about; the last one when left out."""

    #: Whether networks are trained as one, in stacks; others one after the other.
    stacked: ClassVar[bool] = False
    #: Whether what comes after a layer runs alone where the layer is replaced, and not all again.
    sequence: ClassVar[bool] = False
    #: Whether networks are trained here at all; others are one each, without outputs for features.
    trained: ClassVar[bool] = True

    if TYPE_CHECKING:  # fields, or properties, of each architecture
        kind: Any

        @property
        def layers(self) -> list[str]:
            """Names of the layers, from input to output."""

    @property
    def analysed(self) -> str:
        """Name of the analysed layer."""
        return self.analysed_layer or self.layers[-1]

    @abstractmethod
    def sizes(self, task: Task) -> Sizes:
        """Return the sizes of a network that does such a task.

        Raises
        ------
        RepbiasError
            If there can be no such network, with the reason.
        """

    @abstractmethod
    def represent(
        self,
        weights: Mapping[str, np.ndarray],
        inputs: np.ndarray,
        task: Task,
        device: str = "cpu",
    ) -> dict[str, np.ndarray]:
        """Return every layer's representation of inputs, (network, stimulus, unit) float32."""

    @abstractmethod
    def outputs(
        self, weights: Mapping[str, np.ndarray], inputs: np.ndarray, task: Task
    ) -> np.ndarray:
        """Run networks; return logits, (network, stimulus, output)."""

    @abstractmethod
    def rest(
        self,
        weights: Mapping[str, np.ndarray],
        inputs: np.ndarray,
        layer: str,
        task: Task,
        device: str = "cpu",
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Return what comes after a layer, as a function.

        Parameters
        ----------
        weights, inputs
            The networks, and what they are shown.
        layer
            The layer that is replaced.
        task
            Shape of the inputs, and number of logits.
        device
            Where to compute.

        Returns
        -------
        callable
            From what the layer holds instead, (network, stimulus, unit) as :meth:`represent` gives
            it, to logits, (network, stimulus, output).
        """

    def source_files(self) -> list[str]:
        """Return the files of the user's own code that networks depend on."""
        return []

    @model_validator(mode="after")
    def _layer_exists(self) -> Architecture:
        if self.analysed not in self.layers:
            raise ValueError(
                f"analysed_layer: no layer {self.analysed!r}; {nearest(self.analysed, self.layers)}"
            )
        return self
