"""What networks are shown: the shape and type of a stimulus."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

#: Bytes of a number.
SIZES = {"float32": 4, "uint8": 1, "int64": 8}


class Inputs(NamedTuple):
    """What a network is shown of one stimulus.

    Attributes
    ----------
    shape : of one stimulus
    dtype : "float32"; "uint8", images of 0 to 255, which networks see as 0 to 1; or "int64", tokens
    vocabulary : number of different tokens, of tokens only
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    vocabulary: int | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes of one stimulus."""
        return prod(self.shape) * SIZES[self.dtype]


class Task(NamedTuple):
    """What stimuli ask of a network: its inputs, and how many logits it gives."""

    inputs: Inputs
    n_outputs: int


def as_seen(inputs: np.ndarray) -> np.ndarray:
    """Return inputs as networks see them: images (uint8) as 0 to 1, tokens as int64."""
    if inputs.dtype == np.uint8:
        return inputs.astype(np.float32) / 255
    return inputs.astype(np.int64 if inputs.dtype.kind in "iu" else np.float32, copy=False)
