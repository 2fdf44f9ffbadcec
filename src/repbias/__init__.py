"""Measure how much of a representational similarity score is feature bias."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("repbias")
except PackageNotFoundError:  # a bare checkout put on the path, as with `snakemake --sdm conda`
    __version__ = "unknown"

__all__ = ["audit", "compare", "load", "rdms", "recording"]

if TYPE_CHECKING:
    from repbias.notebook import audit, compare, load, rdms, recording


def __getattr__(name: str) -> Any:
    """Import what notebooks use when it is used: the numerical libraries take seconds."""
    if name in __all__:
        # By name, so that it does not count as code of every job.
        return getattr(import_module("repbias.notebook"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
