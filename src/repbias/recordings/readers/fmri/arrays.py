"""Arrays of volumes: (trial, unit) or (trial, x, y, z), from files other than images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.arrays import load_array, open_array
from repbias.io.text_tables import SEPARATORS, is_missing
from repbias.io.untrusted import refuse_size
from repbias.recordings.readers.common import read_lines
from repbias.recordings.readers.fmri.images import (
    Grid,
    read_volume,
    require_same_grid,
    voxel_table,
)
from repbias.recordings.readers.fmri.regions import chosen, region_labels, region_names
from repbias.recordings.readers.fmri.scans import Scan
from repbias.recordings.readers.fmri.settings import FmriRecording
from repbias.recordings.readers.fmri.space import CHUNK_BYTES, Volumes

if TYPE_CHECKING:
    import h5py
    import pandas as pd


class ArraySpace:
    """The voxels of a subject's arrays that are inside the mask.

    Attributes
    ----------
    axes : the axes in space, ("x", "y", "z") or ("unit",); maps have them in this order
    shape : their lengths
    inside : bool of this shape, which voxels are read
    units : table of these voxels, in the order of their indices
    """

    def __init__(self, spec: FmriRecording, scan: Scan) -> None:
        self.spec = spec
        self.axes = ("x", "y", "z") if "x" in spec.axes else ("unit",)
        _, self.shape = self._sizes(scan.image)
        refuse_size(scan.image, "an index of its voxels", self.shape, 8)
        images = {
            name: read_volume(path)
            for name, path in scan.paths.items()
            if name in ("mask", "regions") and path.suffix.lower() not in SEPARATORS
        }
        if len(images) > 1:
            require_same_grid(images["regions"][0], images["mask"][0])
        voxels = self._voxels(images)
        mask = self._map(scan, "mask", images, voxels)
        labels = self._map(scan, "regions", images, voxels)
        where = scan.paths.get("regions", scan.image)
        if labels is not None and labels.dtype.kind != "U":
            labels = region_labels(where, labels)
        limits = labels if labels is not None and labels.dtype.kind != "U" else None
        self.inside = chosen(self.shape, mask, limits, scan.paths.get("mask", where))
        self.units = self._table(images, voxels)
        self.units["region"] = spec.region
        if limits is not None:
            self.units["region"] = region_names(spec, where, limits[self.inside])
        elif labels is not None:
            named = labels[self.inside]
            self.units["region"] = np.where(is_missing(named), spec.region, named)

    def open(self, path: Path) -> Volumes:
        """Open an array, and refuse it if it has other voxels."""
        n, shape = self._sizes(path)
        if shape != self.shape:
            raise RepbiasError(
                f"{path}: {_times(shape)} voxels, but {_times(self.shape)} in {self.spec.path}"
            )
        return Volumes(path, n, lambda out: self._read(path, out))

    def _sizes(self, path: Path) -> tuple[int, tuple[int, ...]]:
        """Return the number of volumes, and the lengths of the axes in space."""
        names: list[str] = [*self.spec.axes]
        with open_array(path, self.spec.variable) as (data, is_reversed):
            shape = tuple(data.shape[::-1] if is_reversed else data.shape)
            kind = data.dtype.kind
            if kind not in "fiub" or len(shape) != len(names) or not prod(shape):
                raise RepbiasError(
                    f"{path}: expected numbers with the axes {', '.join(names)} (see 'axes'), "
                    f"found {data.dtype} of shape {shape}"
                )
        if kind in "iu" and self.spec.content == "betas" and self.spec.scale is None:
            raise RepbiasError(
                f"{path}: betas as integers; set 'scale' to the number that they were multiplied "
                "by (300 in NSD), or to 1"
            )
        for name, n in zip(names, shape, strict=True):
            if name == "_" and n != 1:
                raise RepbiasError(f"{path}: the axis called _ has length {n} (shape {shape})")
        return shape[names.index("trial")], tuple(shape[names.index(name)] for name in self.axes)

    def _voxels(self, images: dict[str, tuple[Grid, np.ndarray]]) -> np.ndarray | None:
        """Return the index in a flat image of each unit's voxel, if units are voxels of images."""
        if not images or self.axes != ("unit",):
            return None
        grid, values = images.get("mask") or images["regions"]
        if self.spec.voxel_order is None:
            raise RepbiasError(
                f"{grid.path}: set 'voxel_order' to the order in which its voxels became units: "
                "numpy (nilearn, and numpy's mask indexing) or matlab (MATLAB's find)"
            )
        order: Literal["C", "F"] = "C" if self.spec.voxel_order == "numpy" else "F"
        places = np.arange(values.size).reshape(grid.shape).ravel(order)
        inside = places[values.ravel(order) > 0]
        (n,) = self.shape
        if n not in (len(inside), len(places)):
            raise RepbiasError(
                f"{grid.path}: {len(inside)} of its {len(places)} voxels are above 0, but there "
                f"are {n} units in {self.spec.path}; expected one of both numbers"
            )
        return inside if n == len(inside) else places

    def _map(
        self,
        scan: Scan,
        name: Literal["mask", "regions"],
        images: dict[str, tuple[Grid, np.ndarray]],
        voxels: np.ndarray | None,
    ) -> np.ndarray | None:
        """Return a value (numbers or text) for every voxel, in the shape of space."""
        setting = getattr(self.spec, name)
        if setting is None:
            return None
        if name in images:
            grid, values = images[name]
            if voxels is not None:
                return values.ravel()[voxels]
            where = grid.path
        elif name in scan.paths:
            where, values = scan.paths[name], np.array(read_lines(scan.paths[name]))
        else:
            where, variable = scan.image, setting.removeprefix("variable:")
            values = load_array(scan.image, variable)
            in_space: list[str] = [axis for axis in self.spec.axes if axis in self.axes]
            stored = tuple(self.shape[self.axes.index(axis)] for axis in in_space)
            if _longer(values.shape) == _longer(stored):
                places = [in_space.index(axis) for axis in self.axes]
                values = values.reshape(stored).transpose(places)
        if values.shape != self.shape:
            raise RepbiasError(
                f"{where}: {name}: {_times(values.shape)} voxels, but {_times(self.shape)} in "
                f"{scan.image}{_hint(values.shape, self.shape)}"
            )
        return values

    def _table(
        self, images: dict[str, tuple[Grid, np.ndarray]], voxels: np.ndarray | None
    ) -> pd.DataFrame:
        """Return the names of the voxels that are read, and their places if they are known."""
        import pandas as pd

        if len(self.shape) == 3:
            return voxel_table(np.argwhere(self.inside), self.shape)
        if voxels is not None:
            shape = next(iter(images.values()))[0].shape
            return voxel_table(np.stack(np.unravel_index(voxels[self.inside], shape), 1), shape)
        (n,) = self.shape
        names = [f"{i + 1:0{len(str(n))}d}" for i in np.flatnonzero(self.inside)]
        return pd.DataFrame({"unit": names})

    def _read(self, path: Path, out: np.ndarray) -> None:
        """Read the values (volume, voxel) of the voxels inside, in parts of the file."""
        columns = np.zeros(self.shape, np.int64)
        columns[self.inside] = np.arange(out.shape[1])
        with open_array(path, self.spec.variable) as (data, is_reversed):
            names: list[str] = [*self.spec.axes]
            names = names[::-1] if is_reversed else names
            places = [names.index(name) for name in ("trial", *self.axes)]
            others = [i for i, name in enumerate(names) if name == "_"]
            within = [
                _extent(self.inside, self.axes.index(name)) if name in self.axes else (0, n)
                for name, n in zip(names, data.shape, strict=True)
            ]
            for block in _blocks(data, within):
                trials, *space = (block[i] for i in places)
                wanted = self.inside[tuple(space)]
                if wanted.any():
                    values = np.asarray(data[block]).transpose(*places, *others)
                    values = values.reshape(-1, *wanted.shape)
                    out[trials, columns[tuple(space)][wanted]] = values[:, wanted]


def _extent(inside: np.ndarray, axis: int) -> tuple[int, int]:
    """Return the first and the last index + 1 along an axis that has any voxel inside."""
    others = tuple(i for i in range(inside.ndim) if i != axis)
    found = np.flatnonzero(inside.any(axis=others))
    return int(found[0]), int(found[-1]) + 1


def _blocks(
    data: h5py.Dataset | np.ndarray, within: list[tuple[int, int]]
) -> Iterator[tuple[slice, ...]]:
    """Yield the indices of blocks of an array, of whole chunks if it is stored in chunks.

    Parameters
    ----------
    data
        The array.
    within
        First index of each axis, and the one after the last.
    """
    chunks = getattr(data, "chunks", None) or (1,) * data.ndim
    starts = [first - first % chunk for (first, _), chunk in zip(within, chunks, strict=True)]
    sizes = list(chunks)
    for axis in reversed(range(data.ndim)):  # the last is contiguous
        fit = CHUNK_BYTES // (prod(sizes) * data.dtype.itemsize)
        needed = -(-(within[axis][1] - starts[axis]) // sizes[axis])
        sizes[axis] *= max(1, min(fit, needed))
    ranges = [
        range(start, stop, size)
        for start, (_, stop), size in zip(starts, within, sizes, strict=True)
    ]
    for corner in product(*ranges):
        yield tuple(
            slice(i, min(i + size, stop))
            for i, size, (_, stop) in zip(corner, sizes, within, strict=True)
        )


def _longer(shape: tuple[int, ...]) -> list[int]:
    return [n for n in shape if n > 1]


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _hint(found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """Return what to try where the lengths are the same in another order."""
    if len(found) < 2 or sorted(found) != sorted(expected):
        return ""
    return (
        "; 'axes' has another order: HDF5 shows the axes of MATLAB reversed, as [trial, z, y, x], "
        "and Python writes them as [x, y, z, trial]"
    )
