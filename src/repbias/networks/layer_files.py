"""The formats that layers are saved in: names and shapes of arrays, and reading them in parts."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from repbias.base.identities import as_ids
from repbias.base.spec import RepbiasError, nearest
from repbias.io.arrays import ARRAY_SUFFIXES, SEVERAL_ARRAYS, list_arrays, load_array
from repbias.io.text_tables import first_line, is_number, numbers, read_table
from repbias.io.untrusted import (
    member,
    open_hdf5,
    readable,
    refuse_crash,
    refuse_external_data,
    refuse_size,
)
from repbias.networks.features import columns_of
from repbias.recordings.readers.brainscore import open_netcdf
from repbias.recordings.readers.files import import_optional

if TYPE_CHECKING:
    import h5py
    import pandas as pd

#: Suffixes of tables of text.
TABLES = (".csv", ".tsv")
#: Suffixes of files that hold layers.
LAYER_SUFFIXES = (*ARRAY_SUFFIXES, ".nc", *TABLES, ".txt")
#: The coordinate that says which neuroids of a Brain-Score assembly are of which layer.
LAYER = "layer"
#: Columns of a table that are no units, beside the one that holds the ids.
NO_UNITS = ("stimulus_id", "index")
#: What zarr may store numbers by; other codecs can run code.
CODECS = {"blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "shuffle", "delta"}


class Place(NamedTuple):
    """Where a layer stands.

    Attributes
    ----------
    path : the file
    variable : the array in it
    entry : which entry of an axis of layers it is
    columns : its columns, of a table
    level : its value of the coordinate `layer`, of a Brain-Score assembly
    """

    path: Path
    variable: str | None = None
    entry: int | None = None
    columns: tuple[str, ...] = ()
    level: str | None = None


def suffix_of(path: Path) -> str:
    """Return the ending of a file's name, in lower case."""
    return path.suffix.lower()


def is_zarr(path: Path) -> bool:
    """Whether a folder is a store of zarr."""
    return path.is_dir() and any((path / name).is_file() for name in (".zgroup", ".zarray"))


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a file's arrays of numbers, by name; none of them is read."""
    if is_zarr(path):
        return _zarr_shapes(path)
    shapes: dict[str, Callable[[Path], dict[str, tuple[int, ...]]]] = {
        **dict.fromkeys(SEVERAL_ARRAYS, _array_shapes),
        ".nc": _netcdf_shapes,
    }
    if suffix_of(path) not in shapes:
        raise RepbiasError(
            f"{path}: not a file of several arrays; expected {', '.join(shapes)} or zarr"
        )
    return shapes[suffix_of(path)](path)


def _array_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    contents = list_arrays(path, budget=0)
    arrays = {n: x for n, x in contents.items() if not isinstance(x, RepbiasError)}
    return {name: x.shape for name, x in arrays.items() if x.dtype.kind in "fiub"}


def _netcdf_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    with open_netcdf(path) as dataset:
        variables = {str(name): x for name, x in dataset.data_vars.items()}
        return {name: x.shape for name, x in variables.items() if x.dtype.kind in "fiub"}


def levels_in(path: Path) -> list[str]:
    """Return the layers of a Brain-Score assembly, in their order; none of other files."""
    with open_netcdf(path) as dataset:
        if LAYER not in dataset.variables or dataset.variables[LAYER].ndim != 1:
            return []
        return list(dict.fromkeys(as_ids(dataset.variables[LAYER].values).tolist()))


def _zarr_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, item: Any) -> None:
        if hasattr(item, "shape") and item.dtype.kind in "fiub":
            found[name] = item.shape

    node = _open_zarr(path)
    if hasattr(node, "shape"):
        note(path.stem, node)
    else:
        node.visititems(note)
    return found


def _open_zarr(path: Path) -> Any:
    zarr = import_optional("zarr", "zarr arrays", "nwb-zarr")
    return zarr.open(str(path), mode="r")


@contextmanager
def opened(place: Place, ids: str | list[str]) -> Iterator[Any]:
    """Open a layer's array; of npy, HDF5 and zarr, numbers are read when it is indexed.

    Parameters
    ----------
    place
        Where it stands.
    ids
        The setting `stimulus_ids`: a column of ids is no unit of a table.

    Raises
    ------
    RepbiasError
        If it cannot be read, or does not hold numbers.
    """
    path, suffix = place.path, suffix_of(place.path)
    with readable(path, suffix[1:] or "layers"):
        if suffix in (".h5", ".hdf5"):
            with open_hdf5(path) as file:
                yield _numeric(path, _hdf5_dataset(path, file, place.variable))
        elif suffix == ".nc":
            yield _numeric(path, _from_netcdf(place))
        elif is_zarr(path):
            yield _numeric(path, _from_zarr(place))
        elif suffix == ".npy":
            yield _numeric(path, np.load(path, mmap_mode="r", allow_pickle=False))
        elif suffix in TABLES:
            yield _from_table(place, ids)
        elif suffix == ".txt":
            refuse_size(path, "the file", (path.stat().st_size,))
            yield np.loadtxt(path, ndmin=2)
        else:
            yield _numeric(path, load_array(path, place.variable))


def _numeric(path: Path, array: Any) -> Any:
    if array.dtype.kind not in "fiub":
        raise RepbiasError(f"{path}: expected numbers, found an array of {array.dtype}")
    return array


def _hdf5_dataset(path: Path, file: h5py.File, variable: str | None) -> h5py.Dataset:
    if variable is None:
        names = list(_array_shapes(path))
        if len(names) != 1:
            raise RepbiasError(
                f"{path}: holds {len(names)} arrays of numbers; name one with 'variable' "
                f"({nearest('', names)})"
            )
        variable = names[0]
    dataset = member(path, file, variable)
    if not hasattr(dataset, "shape") or dataset.shape is None:
        raise RepbiasError(f"{path}: {variable!r} is not an array")
    refuse_external_data(path, dataset)
    return dataset


def _from_netcdf(place: Place) -> np.ndarray:
    with open_netcdf(place.path) as dataset:
        arrays = [str(name) for name, x in dataset.data_vars.items() if x.ndim > 1]
        name = place.variable or (arrays[0] if len(arrays) == 1 else "")
        if name not in dataset.data_vars:
            raise RepbiasError(f"{place.path}: no variable {name!r}; {nearest(name, arrays)}")
        array = dataset[name]
        if place.level is not None:
            coordinate = dataset.variables[LAYER]
            chosen = np.flatnonzero(as_ids(coordinate.values) == place.level)
            array = array.isel({coordinate.dims[0]: chosen})
        values: np.ndarray = array.values
        return values


def _from_zarr(place: Place) -> Any:
    node = _open_zarr(place.path)
    if hasattr(node, "shape"):
        array = node
    elif place.variable is None or place.variable not in node:
        names = list(_zarr_shapes(place.path))
        found = nearest(place.variable or "", names)
        raise RepbiasError(f"{place.path}: no array {place.variable!r}; {found}")
    else:
        array = node[place.variable]
    codecs = [array.compressor, *(array.filters or ())]
    strange = {codec.codec_id for codec in codecs if codec is not None} - CODECS
    if strange:
        raise RepbiasError(f"{place.path}: stored by {', '.join(strange)}, which is never decoded")
    return array


def read_columns(path: Path) -> pd.DataFrame:
    """Read a table of text; columns are numbered where it has no header.

    A first column without a name, which pandas writes, is called index.
    """
    with readable(path, "a text table"):
        cells = first_line(path)
    if all(map(is_number, cells)):
        return read_table(path, [str(i) for i in range(1, len(cells) + 1)])
    if cells[0]:
        return read_table(path)
    return read_table(path, ["index", *cells[1:]]).iloc[1:]


def _from_table(place: Place, ids: str | list[str]) -> np.ndarray:
    """Return the columns of a table that are a layer, (row, column)."""
    path, table = place.path, read_columns(place.path)
    column = ids.removeprefix("variable:") if isinstance(ids, str) else ""
    units = [str(name) for name in table if name not in (column, *NO_UNITS)]
    names = [
        name for entry in place.columns for name in columns_of(entry, units, f"{path}: no column")
    ]
    values = np.stack([numbers(path, table, name) for name in names], axis=1)
    # A square table with labels on both sides is read by the labels.
    rows = as_ids(table[column].to_numpy()).tolist() if column in table else []
    if rows and names != rows and sorted(names) == sorted(rows):
        values = values[:, [names.index(row) for row in rows]]
    return values


def names_in(path: Path, variable: str) -> np.ndarray:
    """Return an array of ids or names as text: a variable, a coordinate, a column."""
    with readable(path, "names"):
        if suffix_of(path) == ".nc":
            with open_netcdf(path) as dataset:
                if variable not in dataset.variables:
                    found = nearest(variable, map(str, dataset.variables))
                    raise RepbiasError(f"{path}: no variable {variable!r}; {found}")
                return as_ids(dataset.variables[variable].values.ravel())
        if suffix_of(path) in TABLES:
            table = read_columns(path)
            if variable not in table:
                raise RepbiasError(f"{path}: no column {variable!r}; {nearest(variable, table)}")
            return as_ids(table[variable].to_numpy())
        if is_zarr(path):
            return as_ids(np.asarray(_from_zarr(Place(path, variable))[:]).ravel())
        return as_ids(load_array(path, variable).ravel())


def id_arrays(path: Path) -> dict[str, list[str]]:
    """Return the arrays of text in a file, which may be the ids of stimuli, by name."""
    found = {}
    with readable(path, "names"):
        names = [name for name in _all_names(path) if name not in shapes_in(path)]
    for name in names:
        try:
            found[name] = names_in(path, name).tolist()
        except RepbiasError:  # objects, or structures
            continue
    return found


def _all_names(path: Path) -> list[str]:
    """Return the names of all arrays of a file that may hold several."""
    import h5py
    import scipy.io

    suffix = suffix_of(path)
    if suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    if suffix == ".nc":
        with open_netcdf(path) as dataset:
            return [str(n) for n, x in dataset.variables.items() if x.ndim == 1]
    if is_zarr(path):
        found: list[str] = []
        node = _open_zarr(path)
        if not hasattr(node, "shape"):
            node.visititems(lambda name, x: found.append(name) if hasattr(x, "shape") else None)
        return found
    if suffix == ".mat" and not h5py.is_hdf5(path):
        refuse_crash(path, "matlab")
        return [name for name, *_ in scipy.io.whosmat(path)]
    datasets: list[str] = []
    with open_hdf5(path) as file:
        file.visititems(lambda name, x: datasets.append(name) if hasattr(x, "shape") else None)
    return [name for name in datasets if not name.startswith("#")]


@contextmanager
def members(path: Path) -> Iterator[tuple[list[str], Callable[[str], np.ndarray]]]:
    """Open a file in which every array is of a stimulus: their names, and what reads one."""
    import h5py
    import scipy.io

    with readable(path, suffix_of(path)[1:]):
        names = list(shapes_in(path))
        if suffix_of(path) == ".mat" and not h5py.is_hdf5(path):
            content = scipy.io.loadmat(path, variable_names=names)  # after it was tried
            yield names, content.__getitem__
        elif suffix_of(path) == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                yield names, archive.__getitem__
        else:
            yield names, partial(load_array, path)
