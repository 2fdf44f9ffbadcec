"""What the kinds of files have in common: units in space, and volumes that give a value to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

#: Bytes that are read at once, of files that can be read in parts.
CHUNK_BYTES = 2**24


@dataclass(frozen=True)
class Volumes:
    """The volumes of one file, which are not read yet.

    Attributes
    ----------
    path : the file
    n : number of volumes
    read_into : writes the values into an array (volume, unit) of float64
    names : what the header calls the volumes; empty if it does not
    tr : seconds between two volumes, if the header has plausible ones
    """

    path: Path
    n: int
    read_into: Callable[[np.ndarray], None]
    names: list[str] = field(default_factory=list)
    tr: float | None = None


class Space(Protocol):
    """The units of a subject (or of a hemisphere), which all of its files share.

    Attributes
    ----------
    units : table with a row for each unit: "unit", "region", and where it is
    """

    units: pd.DataFrame

    def open(self, path: Path) -> Volumes:
        """Open a file, and refuse it if its units are others."""


def parts(n: int, bytes_each: int) -> Iterator[slice]:
    """Yield slices of n rows, of about :data:`CHUNK_BYTES` each."""
    step = max(1, CHUNK_BYTES // max(bytes_each, 1))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
