"""Arrays of numbers or text in npy, npz, HDF5 and MATLAB files (v5 to v7.3).

No pickles are loaded, and no links or references to other files are followed
(:mod:`repbias.io.untrusted`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import numpy as np

from repbias.base.spec import RepbiasError, nearest
from repbias.io.matlab import (
    Content,
    Unread,
    affordable,
    choose,
    find_mat73,
    is_plain,
    list_mat,
    load_mat,
)
from repbias.io.meadows import meadows_arrays
from repbias.io.unread import objects_error
from repbias.io.untrusted import (
    member,
    open_hdf5,
    readable,
    refuse_external_data,
    refuse_size,
)

if TYPE_CHECKING:
    import h5py

#: Suffixes of files that can hold several arrays.
SEVERAL_ARRAYS = (".npz", ".h5", ".hdf5", ".mat")
#: Suffixes of files that :func:`load_array` reads, beside .json of Meadows.
ARRAY_SUFFIXES = (".npy", *SEVERAL_ARRAYS)


def load_array(path: str | Path, variable: str | None = None) -> np.ndarray:
    """Read one array from a file.

    Parameters
    ----------
    path
        A .npy, .npz, .h5, .hdf5 or .mat (v5 to v7.3) file, or a .json file of Meadows.
    variable
        Name of the array. In HDF5, slashes step into groups; in MATLAB files, dots step into
        structures. The elements of structure arrays and cell arrays are stacked along the axes of
        these. May be left out if the file holds a single array.

    Returns
    -------
    numpy.ndarray
        The array with its axes as stored, or for a MATLAB file, as MATLAB shows them. MATLAB's
        logicals become uint8; a row of characters becomes one text, of shape (1,).

    Raises
    ------
    RepbiasError
        If the file cannot be read or does not fit into memory, or the variable is missing, its
        elements have different shapes, or it is an object that only its own program can read.
    """
    path = Path(path)
    with readable(path, path.suffix.lower()[1:]):
        return _loader(path)(path, variable)


def _loader(path: Path) -> Callable[[Path, str | None], np.ndarray]:
    loaders = {
        ".npy": _from_npy,
        ".npz": _from_npz,
        ".mat": load_mat,
        ".json": _from_json,
        ".h5": _from_hdf5,
        ".hdf5": _from_hdf5,
    }
    suffix = path.suffix.lower()
    if suffix not in loaders:
        raise RepbiasError(
            f"{path}: unknown kind of array file {suffix!r}; expected {', '.join(ARRAY_SUFFIXES)}, "
            "or a .json file of Meadows"
        )
    return loaders[suffix]


def list_arrays(path: Path, budget: float) -> dict[str, Content]:
    """Return what a file holds, by name; a bare array has an empty name.

    Parameters
    ----------
    path
        A file that :func:`load_array` reads.
    budget
        Bytes that may be read, in all: the smallest arrays are read, and the others left unread.

    Raises
    ------
    RepbiasError
        If the file cannot be read.
    """
    listers: dict[str, Callable[[Path, float], Iterator[tuple[str, Content]]]] = {
        ".npy": _list_npy,
        ".npz": _list_npz,
        ".mat": list_mat,
        ".json": lambda path, _: iter(meadows_arrays(path).items()),
    }
    suffix = path.suffix.lower()
    with readable(path, suffix[1:]):
        return dict(listers.get(suffix, _list_hdf5)(path, budget))


def matching(path: Path, pattern: str) -> dict[str, str]:
    """Return the arrays of a file that match a pattern, such as ``sub*``, sorted by name.

    Parameters
    ----------
    path
        The file.
    pattern
        A name with one ``*``, which stands for any characters but dots and slashes.

    Returns
    -------
    dict
        The name of an array to the characters that ``*`` stands for.

    Raises
    ------
    RepbiasError
        If the pattern does not have one ``*``, or no array matches it.
    """
    if pattern.count("*") != 1:
        raise RepbiasError(f"{path}: expected a pattern with one *, found {pattern!r}")
    before, after = map(re.escape, pattern.split("*"))
    # Structures have to be read to know their fields.
    names = list_arrays(path, float("inf") if "." in pattern else 0)
    matches = {name: re.fullmatch(f"{before}([^./]*){after}", name) for name in sorted(names)}
    found = {name: match.group(1) for name, match in matches.items() if match}
    if not found:
        raise RepbiasError(f"{path}: no variable matches {pattern!r}; {nearest(pattern, names)}")
    return found


@contextmanager
def open_array(
    path: str | Path, variable: str | None = None
) -> Iterator[tuple[h5py.Dataset | np.ndarray, bool]]:
    """Open an array that may be larger than the memory, to read it in parts.

    Parameters
    ----------
    path, variable
        As for :func:`load_array`. Arrays of numbers in HDF5 (MATLAB v7.3 too) and npy files are not
        read before they are indexed; all others are.

    Yields
    ------
    tuple
        The array, and whether its axes are in reverse order of those of :func:`load_array`.
    """
    import h5py

    path = Path(path)
    suffix = path.suffix.lower()
    with readable(path, suffix[1:]):
        if suffix == ".npy":
            yield _from_npy(path, variable, "r"), False
            return
        if suffix in (".h5", ".hdf5") or (suffix == ".mat" and h5py.is_hdf5(path)):
            with open_hdf5(path) as file:
                find = find_mat73 if suffix == ".mat" else _find_hdf5
                node = find(path, file, variable)
                if isinstance(node, h5py.Dataset) and is_plain(node):
                    refuse_external_data(path, node)
                    yield node, suffix == ".mat"
                    return
        yield load_array(path, variable), False


def _from_npy(
    path: Path, variable: str | None, mmap_mode: Literal["r"] | None = None
) -> np.ndarray:
    if variable is not None:
        raise RepbiasError(f"{path}: an .npy file holds one array; leave 'variable' out")
    if mmap_mode is None:
        refuse_size(path, "the file", (path.stat().st_size,))
    with _no_objects(path):
        array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise RepbiasError(f"{path}: an archive of arrays (npz), not an npy file")
    return array


@contextmanager
def _no_objects(path: Path) -> Iterator[None]:
    """Say what to save instead of objects, which NumPy would unpickle."""
    try:
        yield
    except ValueError as error:
        if "allow_pickle" in str(error) or "Python objects in dtype" in str(error):
            # NumPy takes whatever it does not know for a pickle.
            with path.open("rb") as file:
                if not file.read(6).startswith((b"\x93NUMPY", b"PK", b"\x80")):
                    raise ValueError("it does not begin as a file of NumPy does") from error
            raise objects_error(path) from error
        raise


def _list_npy(path: Path, budget: float) -> Iterator[tuple[str, Content]]:
    if path.stat().st_size <= budget:
        yield "", _from_npy(path, None)
    else:
        with path.open("rb") as file:
            yield "", _header(file)


def _header(file: IO[bytes]) -> Unread:
    """Read what an npy file says of its array before the data."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"version {version} of npy")
    shape, _, dtype = readers[version](file)
    return Unread(shape, dtype)


def _from_npz(path: Path, variable: str | None) -> np.ndarray:
    with _no_objects(path):
        archive = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise RepbiasError(f"{path}: one array (npy), not an npz archive")
    with archive:
        name = choose(path, variable, archive.files)
        # The archive limits a member to this size, whatever the header of its array declares.
        for stored in archive.zip.infolist():
            if stored.filename in (name, f"{name}.npy"):
                refuse_size(path, repr(name), (stored.file_size,))
        with _no_objects(path):
            array = archive[name]
    if not isinstance(array, np.ndarray):
        raise RepbiasError(f"{path}: {name!r} is not an array")
    return array


def _list_npz(path: Path, budget: float) -> Iterator[tuple[str, Content]]:
    with _no_objects(path):
        archive = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise RepbiasError(f"{path}: one array (npy), not an npz archive")
    with archive:
        members = archive.zip.infolist()
        chosen = affordable([stored.file_size for stored in members], budget)
        for stored, affords in zip(members, chosen, strict=True):
            name = stored.filename.removesuffix(".npy")
            try:
                if affords:
                    yield name, load_array(path, name)
                else:
                    with archive.zip.open(stored) as file:
                        yield name, _header(file)
            except (RepbiasError, ValueError) as error:
                yield name, RepbiasError(str(error))


def _from_hdf5(path: Path, variable: str | None) -> np.ndarray:
    with open_hdf5(path) as file:
        return _dataset(path, _find_hdf5(path, file, variable))


def _find_hdf5(path: Path, file: h5py.File, variable: str | None) -> h5py.Dataset:
    return member(path, file, choose(path, variable and variable.strip("/"), list(_datasets(file))))


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}
    # Links are not visited.
    file.visititems(lambda name, x: found.update({name: x}) if hasattr(x, "shape") else None)
    return found


def _list_hdf5(path: Path, budget: float) -> Iterator[tuple[str, Content]]:
    with open_hdf5(path) as file:
        found = _datasets(file)
        sizes = [float(x.nbytes if x.shape is not None else 0) for x in found.values()]
        chosen = affordable(sizes, budget)
        for (name, dataset), affords in zip(found.items(), chosen, strict=True):
            if affords or dataset.shape is None:
                try:
                    yield name, _dataset(path, dataset)
                except RepbiasError as error:
                    yield name, error
            else:
                yield name, Unread(dataset.shape, dataset.dtype)


def _dataset(path: Path, dataset: h5py.Dataset) -> np.ndarray:
    import h5py

    from repbias.io.hdf5 import text_of

    refuse_external_data(path, dataset)
    if dataset.shape is None:
        raise RepbiasError(f"{path}: {dataset.name.strip('/')!r} has no data")
    refuse_size(path, repr(dataset.name), dataset.shape, dataset.dtype.itemsize)
    if h5py.check_string_dtype(dataset.dtype):
        return text_of(dataset)
    return np.asarray(dataset[()])


def _from_json(path: Path, variable: str | None) -> np.ndarray:
    arrays = meadows_arrays(path)
    return arrays[choose(path, variable, list(arrays))]
