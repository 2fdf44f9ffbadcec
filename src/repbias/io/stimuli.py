"""The file of generated stimuli, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from repbias.base.inputs import Inputs
from repbias.io.files import StoreError
from repbias.io.hdf5 import (
    create,
    dataset_of,
    get,
    get_columns,
    get_json,
    open_checked,
    part_of,
    put,
    put_columns,
    put_json,
    reading,
    stored,
)
from repbias.io.untrusted import refuse_size

#: Inputs of more bytes are not read at once, but where and when they are needed.
STREAMED = 2**28
#: Bytes of inputs that are in memory at a time when they are written or gone through.
BLOCK = 2**24


class StoredInputs:
    """Inputs in a file, of which rows are read when they are asked for.

    Attributes
    ----------
    shape : (stimulus, ...)
    dtype : of the numbers
    """

    def __init__(self, path: Path, name: str | None, rows: np.ndarray, like: h5py.Dataset) -> None:
        self._path, self._name, self._rows = path, name, rows
        self.shape, self.dtype = (len(rows), *like.shape[1:]), like.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all rows."""
        return np.asarray(self[:], dtype)

    def __getitem__(self, index: Any) -> Any:
        """Read rows; those of a boolean mask are read later."""
        if isinstance(index, np.ndarray) and index.dtype == bool:
            some = object.__new__(StoredInputs)
            some._path, some._name, some._rows = self._path, self._name, self._rows[index]
            some.shape, some.dtype = (len(some._rows), *self.shape[1:]), self.dtype
            return some
        wanted, places = np.unique(self._rows[index], return_inverse=True)
        with open_checked(self._path, "stimuli", self._name) as group, reading(group):
            # HDF5 reads rows in increasing order only.
            return part_of(dataset_of(group, "inputs"), wanted)[places.reshape(-1)]


def in_blocks(inputs: Any) -> Iterator[np.ndarray]:
    """Go through inputs, in memory or not, as arrays of some megabytes."""
    each = max(1, int(np.prod(inputs.shape[1:])) * np.dtype(inputs.dtype).itemsize)
    size = max(1, BLOCK // each)
    for start in range(0, inputs.shape[0], size):
        yield np.asarray(inputs[start : start + size])


@dataclass
class Stimuli:
    """Generated stimuli.

    Those of a condition are common to its networks: validation and test stimuli, and training
    stimuli where all networks have the same. A network's own training set is made when it is
    needed, by `training_set` of the family.

    Attributes
    ----------
    inputs : (stimulus, ...) float32; or uint8, images of 0 to 255; or int64, tokens. An array, or
        where it is large something with `shape` and `dtype` that gives rows
    ids : (stimulus,) str
    split : (stimulus,) str, one of "train", "validation", "test"
    features : names of the features, one head each
    labels : (stimulus, feature) uint8, classes from 0
    components : names of the features' sub-components, such as "hard.xor12"
    component_labels : (stimulus, component) uint8, classes from 0
    supervised : (stimulus, feature) bool, whether the training loss includes this label
    classes : number of classes of every feature; two each when left out
    nuisance : what varies beside the features, name to (stimulus,) or (stimulus, regressor)
        numbers; when left out, and inputs are a row of numbers, these are
    vocabulary : number of different tokens, where inputs are tokens
    audit : results of the independence audit, by split
    """

    inputs: Any
    ids: np.ndarray
    split: np.ndarray
    features: list[str]
    labels: np.ndarray
    components: list[str]
    component_labels: np.ndarray
    supervised: np.ndarray
    classes: list[int] = field(default_factory=list)
    nuisance: dict[str, np.ndarray] = field(default_factory=dict)
    vocabulary: int | None = None
    audit: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.classes = self.classes or [2] * len(self.features)

    @property
    def shown(self) -> Inputs:
        """What a network is shown of one stimulus."""
        return Inputs(tuple(self.inputs.shape[1:]), str(self.inputs.dtype), self.vocabulary)

    def part(self, split: str) -> tuple[Any, np.ndarray, np.ndarray]:
        """Return the inputs, labels and ids of one split."""
        rows = self.split == split
        if rows.all():
            return self.inputs, self.labels, self.ids
        return self.inputs[rows], self.labels[rows], self.ids[rows]

    def joined(self, other: Stimuli) -> Stimuli:
        """Return these stimuli and others of the same family, such as a network's training set."""

        def both(name: str) -> np.ndarray:
            return np.concatenate([getattr(self, name), getattr(other, name)])

        return replace(
            self,
            inputs=both("inputs"),
            ids=both("ids"),
            split=both("split"),
            labels=both("labels"),
            component_labels=both("component_labels"),
            supervised=both("supervised"),
            nuisance={k: np.concatenate([v, other.nuisance[k]]) for k, v in self.nuisance.items()},
        )

    def named_labels(self, split: str) -> dict[str, np.ndarray]:
        """Return the labels of every feature and sub-component in one split, by name."""
        rows = self.split == split
        names = [*self.features, *self.components]
        columns = [*self.labels[rows].T, *self.component_labels[rows].T]
        return dict(zip(names, columns, strict=True))

    def regressors(self, split: str) -> np.ndarray:
        """Return what varies beside the features in one split, (stimulus, regressor) float64."""
        rows = self.split == split
        if not self.nuisance and len(self.inputs.shape) == 2 and self.inputs.dtype == np.float32:
            return np.asarray(self.inputs[rows], np.float64)
        columns = [np.zeros((rows.sum(), 0)), *(v[rows] for v in self.nuisance.values())]
        return np.column_stack(columns)

    def put(self, group: h5py.Group) -> None:
        """Write the stimuli into a group of a file."""
        put_columns(group, {"id": self.ids, "split": self.split})
        shape, dtype = self.inputs.shape, self.inputs.dtype
        dataset = group.create_dataset("inputs", shape, dtype, **stored(shape, dtype))
        start = 0
        for block in in_blocks(self.inputs):
            dataset[start : start + len(block)] = block
            start += len(block)
        for name in ("labels", "component_labels", "supervised"):
            put(group, name, getattr(self, name))
        for name in ("features", "components", "classes", "vocabulary", "audit"):
            put_json(group, name, getattr(self, name))
        put_columns(group.create_group("nuisance"), self.nuisance)

    def write(self, path: str | Path) -> None:
        """Write a file of these stimuli alone."""
        with create(path, "stimuli") as file:
            self.put(file)

    @classmethod
    def read(cls, path: str | Path, name: str | None = None) -> Stimuli:
        """Read a file of stimuli; of a file with those of several conditions, the named ones."""
        with open_checked(path, "stimuli", name) as group:
            return cls(
                inputs=_inputs(Path(path), name, group),
                ids=get(group, "id"),
                split=get(group, "split"),
                features=get_json(group, "features"),
                labels=get(group, "labels"),
                components=get_json(group, "components"),
                component_labels=get(group, "component_labels"),
                supervised=get(group, "supervised"),
                classes=get_json(group, "classes"),
                vocabulary=get_json(group, "vocabulary"),
                nuisance=get_columns(group, "nuisance"),
                audit=get_json(group, "audit"),
            )


def _inputs(path: Path, name: str | None, group: h5py.Group) -> Any:
    """Read the inputs, or what gives them where they are large."""
    with reading(group):
        dataset = dataset_of(group, "inputs")
        size = int(np.prod(dataset.shape)) * dataset.dtype.itemsize
        if size > STREAMED:
            refuse_size(path, "a stimulus of 'inputs'", dataset.shape[1:], dataset.dtype.itemsize)
            n_ids = len(dataset_of(group, "id"))
            if len(dataset) != n_ids:
                raise StoreError(f"{path}: {len(dataset)} rows of 'inputs' for {n_ids} stimuli")
            return StoredInputs(path, name, np.arange(len(dataset)), dataset)
    return get(group, "inputs")
