"""What the arrays of a file may be: responses, pictures, RDMs, ids."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from repbias.base.identities import as_ids
from repbias.base.spec import RepbiasError
from repbias.commands.description import count, some
from repbias.io.arrays import list_arrays
from repbias.io.matlab import Content, Unread
from repbias.stimuli.images import picture_axes

#: Bytes that are read for a description: those of the file, which may be compressed, within limits.
#: Larger arrays are described by shape and type only.
LEAST_BYTES, MOST_BYTES = 2**26, 2**29
#: Elements that are looked at together, so that no copies of large arrays are made.
BLOCK = 2**18


@dataclass
class Variable:
    """An array of a file.

    Attributes
    ----------
    shape, dtype : of the array
    values : None if it is too large to be read for a description
    problem : why it cannot be read; empty if it can
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    values: np.ndarray | None
    problem: str = ""

    @classmethod
    def of(cls, content: Content) -> Variable:
        """Return what a file holds as a variable."""
        if isinstance(content, RepbiasError):
            return cls((), np.dtype(object), None, str(content))
        return cls(content.shape, content.dtype, None if isinstance(content, Unread) else content)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape))

    @property
    def n_axes(self) -> int:
        """Number of axes longer than 1."""
        return sum(n > 1 for n in self.shape)

    @property
    def is_number(self) -> bool:
        """Whether a reader can take it as responses or dissimilarities."""
        return self.dtype.kind in "fiub" and len(self.shape) > 0 and 0 not in self.shape

    @property
    def texts(self) -> list[str]:
        """Its elements as text; empty if it holds something else."""
        if self.values is None or self.dtype.kind not in "USO" or not self.values.size:
            return []
        values = self.values.ravel().tolist()
        if not all(isinstance(value, str | bytes) for value in values):
            return []
        return [(v.decode("utf-8") if isinstance(v, bytes) else v).strip() for v in values]

    @property
    def ids(self) -> list[str]:
        """Its elements, if they can be ids: text, or whole numbers."""
        if self.values is None or self.n_axes != 1 or self.size < 4:
            return []
        if self.dtype.kind not in "iuf":
            return self.texts
        whole = (self.values == np.round(self.values)).all()
        # Values in a range of 1 are a yes or no rather than ids.
        return as_ids(self.values.ravel()).tolist() if whole and np.ptp(self.values) > 1 else []

    @property
    def n_pictures(self) -> int:
        """Number of pictures in colour, 0 if it does not look like a stack of them."""
        shape = tuple(n for n in self.shape if n > 1)
        axes = picture_axes(shape) if self.dtype == np.uint8 and len(shape) == 4 else None
        return shape[axes[0]] if axes else 0

    def __str__(self) -> str:
        if self.problem:
            return self.problem
        shape = " x ".join(map(str, self.shape)) or "a single value"
        if self.texts:
            return f"{shape}, text: {some(self.texts)}"
        if self.values is None or not self.is_number:
            return f"{shape}, {self.dtype}"
        return f"{shape}, {self.dtype}{_extent(self.values)}"


def _extent(values: np.ndarray) -> str:
    """Say between which values an array of numbers lies, and which share of it is NaN."""
    low, high, n_nan, n_infinite = np.inf, -np.inf, 0, 0
    for block in _blocks(values):
        n_nan += int(np.isnan(block).sum())
        n_infinite += int(np.isinf(block).sum())
        finite = block[np.isfinite(block)]
        if finite.size:
            low, high = min(low, finite.min()), max(high, finite.max())
    share = (n_nan + n_infinite) / values.size
    gaps = f", {share:.2%} {'NaN or infinite' if n_infinite else 'NaN'}" if share else ""
    return (f", from {low:.4g} to {high:.4g}" if low <= high else "") + gaps


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Go through the elements of an array, some at a time, in the order of the memory."""
    flat = values.ravel(order="K")  # a view, except of arrays that are parts of others
    for start in range(0, flat.size, BLOCK):
        yield flat[start : start + BLOCK]


def variables_of(path: Path) -> dict[str, Variable]:
    """Return the arrays of a file by name; a bare array has an empty name.

    The memory that this takes is about the size of the file.
    """
    budget = min(MOST_BYTES, max(LEAST_BYTES, path.stat().st_size))
    return {name: Variable.of(content) for name, content in list_arrays(path, budget).items()}


@dataclass
class Axes:
    """What the axes of an array may be.

    Attributes
    ----------
    kind : the kind of entry that reads the array, "array" or "rdms"
    shape : lengths of the axes
    names : what each axis is, FILL_IN where that is unknown
    possible : names that an axis can have
    lengths : lengths that the ids of the stimuli can have, axis by axis; 0 where they cannot lie
    lines : what to tell the user
    guess : what is guessed of the names, and why; empty if nothing is
    """

    kind: Literal["array", "rdms"]
    shape: tuple[int, ...]
    names: list[str]
    possible: str
    lengths: list[int]
    lines: list[str]
    guess: str = ""


def axes_of(variable: Variable, unknown: str) -> Axes:
    """Recognise RDMs, square or as vectors of pairs; other arrays may be responses.

    Parameters
    ----------
    variable
        The array.
    unknown
        The name of axes that are not recognised.
    """
    shape = variable.shape
    names = ["_" if n == 1 else unknown for n in shape]
    square = _rdm_axes(variable)
    if square:
        names = ["stimulus" if i in square else name for i, name in enumerate(names)]
        line = "It is symmetric and zero on the diagonal: these are RDMs."
        possible = "stimulus (twice), subject, session, _"
        return Axes("rdms", shape, names, possible, [shape[square[0]]], [line])
    if variable.n_axes == 1:
        return _single_axis(shape, unknown)
    lengths = [n if name == unknown else 0 for n, name in zip(shape, names, strict=True)]
    possible = "stimulus, trial, repeat, unit, subject, time, _"
    return Axes("array", shape, names, possible, lengths, list(_hints(variable)))


def _single_axis(shape: tuple[int, ...], unknown: str) -> Axes:
    stimuli = stimuli_of(max(shape))
    if stimuli is None:
        names = [unknown if n > 1 else "_" for n in shape]
        line = "It has one axis: responses of one unit?"
        return Axes("array", shape, names, "stimulus, trial, _", list(shape), [line])
    names = ["pair" if n > 1 else "_" for n in shape]
    line = f"It has one axis, whose length is the number of pairs of {stimuli} stimuli: an RDM?"
    guess = " (pair: a guess from its length)"
    return Axes("rdms", shape, names, "pair, _", [stimuli], [line], guess)


def _hints(variable: Variable) -> Iterator[str]:
    """Yield what the lengths of the axes and the places of NaN suggest about responses."""
    shape = variable.shape
    for i, j in combinations(range(len(shape)), 2):
        if shape[i] == shape[j] > 1:
            yield f"Axes {i + 1} and {j + 1} are equally long ({shape[i]}): do not mix them up."
    for i in range(len(shape)):
        if variable.values is not None and variable.dtype.kind == "f":
            others = tuple(k for k in range(len(shape)) if k != i)
            missing = np.isnan(variable.values).mean(axis=others)
            if missing[-1] > missing[0] and (np.diff(missing) >= 0).all():
                yield f"More and more is NaN along axis {i + 1}, as where some repeats are missing."


def pair_hints(axes: Axes, known: Collection[int]) -> Iterator[str]:
    """Yield which axes of an array may be pairs of stimuli, but for those whose ids are known."""
    for i, n in enumerate(axes.lengths if axes.kind == "array" else ()):
        stimuli = stimuli_of(n)
        if i not in known and stimuli is not None and stimuli > 9:
            yield (
                f"The length of axis {i + 1} is the number of pairs of {stimuli} stimuli: for "
                "dissimilarities, write kind: rdms and call this axis pair."
            )


def stimuli_of(n: int) -> int | None:
    """Return the number of stimuli that have n pairs, if there is one.

    Examples
    --------
    >>> stimuli_of(10), stimuli_of(11)
    (5, None)
    """
    stimuli = round((1 + np.sqrt(1 + 8 * n)) / 2)
    return stimuli if stimuli > 2 and stimuli * (stimuli - 1) // 2 == n else None


def _rdm_axes(variable: Variable) -> tuple[int, ...]:
    """Return the two axes along which the array is symmetric and zero on the diagonal."""
    values = variable.values
    if values is None:
        return ()
    for i, j in combinations(range(values.ndim), 2):
        if 2 < values.shape[i] == values.shape[j] and _is_rdm(values, i, j):
            return i, j
    return ()


def _is_rdm(values: np.ndarray, i: int, j: int) -> bool:
    """Whether an array is symmetric in two axes, and zero where they are equal."""
    # The tolerance of the reader; an array of zeros is not an RDM.
    largest = max((float(np.abs(b.astype(float)).max()) for b in _blocks(values)), default=0.0)
    if not np.isfinite(largest) or largest == 0:
        return False
    if np.abs(np.diagonal(values, axis1=i, axis2=j).astype(float)).max() > 1e-4 * largest:
        return False
    first, second = np.moveaxis(values, i, 0), np.moveaxis(values, j, 0)  # views
    return all(
        np.abs(a.astype(float) - np.moveaxis(b, i, j - 1)).max() <= 1e-4 * largest
        for a, b in zip(first, second, strict=True)
    )


def pictures_line(name: str, variable: Variable) -> str:
    """Say that an array looks like pictures."""
    return f"{name or 'It'} looks like {count(variable.n_pictures, 'picture')}."
