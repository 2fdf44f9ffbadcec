"""The user's own architecture, trained here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from repbias.base.imports import imported, told
from repbias.base.inputs import Inputs
from repbias.base.spec import RepbiasError
from repbias.networks.modules import Modules
from repbias.networks.spec import UserModule

if TYPE_CHECKING:
    import torch


class OwnArchitecture(UserModule, Modules):
    """An architecture of yours: a function that returns a PyTorch module, which is trained here."""

    kind: Literal["torch"] = "torch"
    """A module of yours."""
    factory: str
    """`package.module:callable`; called with `input_shape`, `n_outputs`, for tokens `vocabulary`,
    and `arguments`. It returns a torch.nn.Module that maps (stimulus, *input_shape) to logits
    (stimulus, n_outputs)."""
    arguments: dict[str, Any] = {}
    """Further keyword arguments of the factory."""

    def build(self, inputs: Inputs, n_outputs: int) -> torch.nn.Module:
        """Call the factory."""
        import torch

        factory = imported(self.factory)
        given: dict[str, Any] = {"input_shape": inputs.shape, "n_outputs": n_outputs}
        if inputs.vocabulary is not None:
            given["vocabulary"] = inputs.vocabulary
        for name in given.keys() & self.arguments.keys():
            raise RepbiasError(f"{self.factory}: {name} is no argument to give; it follows")
        try:
            module = factory(**given, **self.arguments)
        except Exception as error:
            raise RepbiasError(
                f"{self.factory}: cannot make the model: {told(error)}; it is called with "
                f"{', '.join([*given, *self.arguments])}"
            ) from error
        if not isinstance(module, torch.nn.Module):
            raise RepbiasError(
                f"{self.factory}: expected a torch.nn.Module, got {type(module).__name__}"
            )
        return module

    @field_validator("arguments")
    @classmethod
    def _plain(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        _refuse_other_keys(arguments)
        return arguments


def _refuse_other_keys(value: Any) -> None:
    """Refuse keys that are no text: jobs are given the arguments as JSON."""
    for key, inside in value.items() if isinstance(value, dict) else ():
        if not isinstance(key, str):
            raise ValueError(f"keys must be text, found {key!r}")
        _refuse_other_keys(inside)
    for inside in value if isinstance(value, list) else ():
        _refuse_other_keys(inside)
