"""The floating-point precision that functions on arrays compute in."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace


def floating(array: Any) -> Any:
    """Return a NumPy or PyTorch array unchanged if float32 or float64, otherwise as float64.

    Half precision is for storage only: sums of its numbers overflow.
    """
    xp = array_namespace(array)
    if array.dtype in (xp.float32, xp.float64):
        return array
    return xp.astype(array, xp.float64)
