"""Describe files of arrays: npy, npz, HDF5 and MATLAB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from repbias.base.identities import as_ids
from repbias.base.spec import RepbiasError, nearest
from repbias.commands.description import FILL_IN, STIMULI, Description, some
from repbias.io.arrays import load_array
from repbias.io.untrusted import member, open_hdf5, refuse_crash

#: Larger arrays are described by shape and type only.
MAX_ELEMENTS = 2**26
#: Levels of nested structures that are read; a structure can contain itself.
MAX_DEPTH = 8


@dataclass
class Variable:
    """An array of a file; `values` is None if it is too large to read for a description."""

    shape: tuple[int, ...]
    dtype: np.dtype
    values: np.ndarray | None

    @classmethod
    def of(cls, values: np.ndarray) -> Variable:
        """Return an array as a variable."""
        return cls(values.shape, values.dtype, values if values.size <= MAX_ELEMENTS else None)

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
    def is_images(self) -> bool:
        """Whether it looks like (image, height, width, 3), after axes of length 1."""
        longer = [n for n in self.shape if n > 1]
        return self.dtype == np.uint8 and len(longer) == 4 and self.shape[-1] == 3

    def __str__(self) -> str:
        if self is UNREADABLE:
            return "not an array, or an array of parts that differ in shape"
        shape = " x ".join(map(str, self.shape)) or "a single value"
        if self.texts:
            return f"{shape}, text: {some(self.texts)}"
        if self.values is None or not self.is_number:
            return f"{shape}, {self.dtype}"
        values = np.asarray(self.values)
        finite = values[np.isfinite(values)]
        share = 1 - finite.size / values.size
        kind = "NaN" if np.isnan(values).sum() == values.size - finite.size else "NaN or infinite"
        gaps = f", {share:.2%} {kind}" if share else ""
        extent = f", from {finite.min():.4g} to {finite.max():.4g}" if finite.size else ""
        return f"{shape}, {self.dtype}{extent}{gaps}"


#: Stands for what is not an array.
UNREADABLE = Variable((), np.dtype(object), None)


def describe_arrays(path: Path, variable: str | None) -> Description:
    """Describe a file of arrays, and how to read one of them."""
    bare = path.suffix.lower() == ".npy"
    if bare and variable is not None:
        raise RepbiasError(f"{path}: an .npy file holds one array; leave --variable out")
    variables = _variables(path)
    found = Description([str(v) if bare else f"{name}: {v}" for name, v in variables.items()])
    numbers = {name: v for name, v in variables.items() if v.is_number}
    if variable is not None and variable not in numbers:
        raise RepbiasError(
            f"{path}: no array of numbers {variable!r}; {nearest(variable, numbers)}"
        )
    if not numbers:
        found.lines.append("It contains no array of numbers.")
        return found

    def likely(name: str) -> tuple[bool, bool, int]:
        """Responses have several axes, and more elements than anything else in the file."""
        return not numbers[name].is_images, numbers[name].n_axes > 1, numbers[name].size

    name = variable or max(numbers, key=likely)
    if len(numbers) > 1 and variable is None:
        found.lines.append(f"The block reads {name!r}; --variable chooses another.")
    found.put("path", str(path))
    if not bare:
        found.put("variable", name)
    if numbers[name].is_images:
        found.section = "images"
        found.lines.append(
            f"{name} looks like {next(n for n in numbers[name].shape if n > 1)} images."
        )
        return found
    axes = _axes_of(numbers[name])
    found.lines += axes.lines
    _put_axes(found, axes, {n: v for n, v in variables.items() if n != name and v.ids})
    return found


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
    """

    kind: Literal["array", "rdms"]
    shape: tuple[int, ...]
    names: list[str]
    possible: str
    lengths: list[int]
    lines: list[str]


def _axes_of(variable: Variable) -> Axes:
    """Recognise RDMs, square or as vectors of pairs; other arrays may be responses."""
    shape = variable.shape
    names = ["_" if n == 1 else FILL_IN for n in shape]
    square = _rdm_axes(variable)
    if square:
        names = ["stimulus" if i in square else name for i, name in enumerate(names)]
        line = "It is symmetric and zero on the diagonal: these are RDMs."
        possible = "stimulus (twice), subject, session, _"
        return Axes("rdms", shape, names, possible, [shape[square[0]]], [line])
    if variable.n_axes == 1:
        names = ["pair" if n > 1 else "_" for n in shape]
        stimuli = _stimuli_of(max(shape))
        if stimuli is None:
            names = [FILL_IN if n > 1 else "_" for n in shape]
            line = "It has one axis: responses of one unit?"
            return Axes("array", shape, names, "stimulus, trial, _", list(shape), [line])
        line = f"It has one axis, whose length is the number of pairs of {stimuli} stimuli: an RDM?"
        return Axes("rdms", shape, names, "pair, _", [stimuli], [line])
    lengths = [n if name == FILL_IN else 0 for n, name in zip(shape, names, strict=True)]
    possible = "stimulus, trial, repeat, unit, subject, time, _"
    return Axes("array", shape, names, possible, lengths, list(_hints(variable)))


def _put_axes(found: Description, axes: Axes, ids: dict[str, Variable]) -> None:
    """Write what is known of the axes, and which variables may hold the ids of the stimuli."""
    places = {
        name: [i for i, n in enumerate(axes.lengths) if n == v.size] for name, v in ids.items()
    }
    candidates = [name for name, where in places.items() if where]
    texts = [name for name in candidates if ids[name].texts]
    chosen = texts[0] if len(texts) == 1 else None
    if chosen and axes.kind == "array" and len(places[chosen]) == 1:
        distinct = len(set(ids[chosen].texts)) == ids[chosen].size
        axes.names[places[chosen][0]] = "stimulus" if distinct else "trial"
    found.entry = {"kind": axes.kind, **found.entry}
    sizes = " x ".join(map(str, axes.shape))
    guessed = chosen and axes.kind == "array"
    guess = f" (stimulus or trial: a guess from {chosen})" if guessed else ""
    found.put("axes", axes.names, f"a name for each of {sizes}{guess}; possible: {axes.possible}")
    found.put("stimuli", FILL_IN, STIMULI)
    listed = {name: f"variable:{name} ({some(ids[name].ids, 3)})" for name in candidates}
    if chosen:
        others = "".join(f"; or {text}" for name, text in listed.items() if name != chosen)
        found.put("stimulus_ids", f"variable:{chosen}", some(ids[chosen].ids, 3) + others)
    else:
        sources = [
            "a text file with one id a line",
            "sorted if the axis follows the sorted ids of all stimuli ('sorted as text' where im10 "
            "comes before im2, 'sorted naturally' where it comes after)",
            *listed.values(),
        ]
        found.put("stimulus_ids", FILL_IN, "; or ".join(sources))


def _hints(variable: Variable) -> Iterator[str]:
    """Yield what the lengths of the axes and the places of NaN suggest about responses."""
    shape = variable.shape
    for i, j in combinations(range(len(shape)), 2):
        if shape[i] == shape[j] > 1:
            yield f"Axes {i + 1} and {j + 1} are equally long ({shape[i]}): do not mix them up."
    for i, n in enumerate(shape):
        stimuli = _stimuli_of(n)
        if stimuli is not None and stimuli > 9:
            yield (
                f"The length of axis {i + 1} is the number of pairs of {stimuli} stimuli: for "
                "dissimilarities, write kind: rdms and call this axis pair."
            )
        if variable.values is not None and variable.dtype.kind == "f":
            others = tuple(k for k in range(len(shape)) if k != i)
            missing = np.isnan(variable.values).mean(axis=others)
            if missing[-1] > missing[0] and (np.diff(missing) >= 0).all():
                yield f"More and more is NaN along axis {i + 1}, as where some repeats are missing."


def _stimuli_of(n: int) -> int | None:
    """Return the number of stimuli that have n pairs, if there is one."""
    stimuli = round((1 + np.sqrt(1 + 8 * n)) / 2)
    return stimuli if stimuli > 2 and stimuli * (stimuli - 1) // 2 == n else None


def _rdm_axes(variable: Variable) -> tuple[int, ...]:
    """Return the two axes along which the array is symmetric and zero on the diagonal."""
    if variable.values is None:
        return ()
    values = np.asarray(variable.values, float)
    for i, j in combinations(range(values.ndim), 2):
        if 2 < values.shape[i] == values.shape[j]:
            diagonal = np.abs(np.diagonal(values, axis1=i, axis2=j)).max()
            asymmetry = np.abs(values - values.swapaxes(i, j)).max()
            # The tolerance of the reader; an array of zeros is not an RDM.
            if max(diagonal, asymmetry) <= 1e-4 * np.abs(values).max() > 0:
                return i, j
    return ()


def _variables(path: Path) -> dict[str, Variable]:
    """Return the variables of a file by name; a bare array has an empty name."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return {"": Variable.of(load_array(path))}
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files
    elif suffix == ".mat":
        names = list(_mat_names(path))
    else:
        return dict(datasets(path))
    variables = {}
    for name in names:
        try:
            variables[name] = Variable.of(load_array(path, name))
        except RepbiasError:
            variables[name] = UNREADABLE
    return variables


def datasets(path: Path) -> Iterator[tuple[str, Variable]]:
    """Yield the arrays of an HDF5 file; large ones are not read."""
    import h5py

    arrays: dict[str, h5py.Dataset] = {}
    with open_hdf5(path) as file:
        file.visititems(lambda name, x: arrays.update({name: x}) if hasattr(x, "shape") else None)
        for name, dataset in arrays.items():
            if dataset.shape is None:
                yield name, UNREADABLE
            elif dataset.size > MAX_ELEMENTS:
                yield name, Variable(dataset.shape, dataset.dtype, None)
            else:
                yield name, Variable.of(load_array(path, name))


def _mat_names(path: Path) -> Iterator[str]:
    """Yield the names of arrays in a MATLAB file; dots step into structures."""
    import h5py

    yield from _v73_names(path) if h5py.is_hdf5(path) else _v5_names(path)


def _v73_names(path: Path) -> Iterator[str]:
    """Yield the arrays of a MATLAB file of version 7.3, which is HDF5."""
    import h5py

    def members(name: str, node: h5py.Group | h5py.Dataset, depth: int) -> Iterator[str]:
        if isinstance(node, h5py.Group) and "MATLAB_sparse" not in node.attrs:
            for key in node:
                if depth < MAX_DEPTH:
                    yield from members(f"{name}.{key}", member(path, node, key), depth + 1)
        else:
            yield name

    with open_hdf5(path) as file:
        for name in file:
            if not name.startswith("#"):  # MATLAB's own
                yield from members(name, member(path, file, name), 0)


def _v5_names(path: Path) -> Iterator[str]:
    """Yield the arrays of a MATLAB file of an earlier version."""
    import scipy.io

    def fields(name: str, value: np.ndarray) -> Iterator[str]:
        names = getattr(value, "dtype", np.dtype(float)).names
        if not names or not value.size:
            yield name
            return
        for key in names:  # the first element stands for all
            yield from fields(f"{name}.{key}", value[key].flat[0])

    refuse_crash(path, "matlab")
    for name, value in scipy.io.loadmat(path).items():
        if not name.startswith("__"):
            yield from fields(name, value)
