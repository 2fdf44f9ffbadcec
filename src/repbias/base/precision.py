"""In which precision functions on arrays compute."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace


def floating(array: Any) -> Any:
    """Return an array of NumPy or PyTorch in float32 or float64, whichever it is, else float64.

    Half precision is of storage: sums of its numbers overflow.
    """
    xp = array_namespace(array)
    known = array.dtype in (xp.float32, xp.float64)
    return array if known else xp.astype(array, xp.float64)
