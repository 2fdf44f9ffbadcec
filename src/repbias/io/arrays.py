"""Arrays of numbers or text in npy, npz, HDF5 and MATLAB files (v5 to v7.3).

No pickles are loaded, and no links or references to other files are followed
(:mod:`repbias.io.untrusted`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from repbias.base.spec import RepbiasError, nearest
from repbias.io.untrusted import (
    member,
    open_hdf5,
    readable,
    refuse_crash,
    refuse_external_data,
    refuse_size,
)

if TYPE_CHECKING:
    import h5py

#: Suffixes of files that can hold several arrays.
SEVERAL_ARRAYS = (".npz", ".h5", ".hdf5", ".mat")
#: Suffixes of files that :func:`load_array` reads.
ARRAY_SUFFIXES = (".npy", *SEVERAL_ARRAYS)
#: Limit on the references followed within a file, if it is smaller than 8 bytes for each of them.
MAX_REFERENCES = 10**6


def load_array(path: str | Path, variable: str | None = None) -> np.ndarray:
    """Read one array from a file.

    Parameters
    ----------
    path
        A .npy, .npz, .h5, .hdf5 or .mat (v5 to v7.3) file.
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
        If the file cannot be read or does not fit into memory, or the variable is missing or its
        elements have different shapes.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in ARRAY_SUFFIXES:
        raise RepbiasError(
            f"{path}: unknown kind of array file {suffix!r}; expected {', '.join(ARRAY_SUFFIXES)}"
        )
    with readable(path, suffix[1:]):
        if suffix == ".npy":
            return _from_npy(path, variable)
        if suffix == ".npz":
            return _from_npz(path, variable)
        return (_from_mat if suffix == ".mat" else _from_hdf5)(path, variable)


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
                find = _find_mat73 if suffix == ".mat" else _find_hdf5
                node = find(path, file, variable)
                if isinstance(node, h5py.Dataset) and _is_plain(node):
                    refuse_external_data(path, node)
                    yield node, suffix == ".mat"
                    return
        yield load_array(path, variable), False


def _is_plain(dataset: h5py.Dataset) -> bool:
    """Whether a dataset holds numbers as they are, not a part of some value of MATLAB's."""
    kind = bytes(dataset.attrs.get("MATLAB_class", b"double")).decode()
    return (
        dataset.shape is not None
        and dataset.dtype.kind in "fiu"
        and kind in _MATLAB_CLASSES.keys() - {"char", "cell"}
        and "MATLAB_empty" not in dataset.attrs
    )


def _from_npy(
    path: Path, variable: str | None, mmap_mode: Literal["r"] | None = None
) -> np.ndarray:
    if variable is not None:
        raise RepbiasError(f"{path}: an .npy file holds one array; leave 'variable' out")
    if mmap_mode is None:
        refuse_size(path, "the file", (path.stat().st_size,))
    with path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            file.seek(0)
            _refuse_objects(file)
    array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise RepbiasError(f"{path}: an archive of arrays (npz), not an npy file")
    return array


def _refuse_objects(file: BinaryIO) -> None:
    """Refuse an array of Python objects, by its header; loading one runs the code in it."""
    major, _ = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    )
    if read(file)[2].hasobject:
        raise ValueError(
            "holds pickled Python objects, which can run code and are not loaded; save its numbers "
            "instead: if you trust the file and it holds a dictionary, such as GLMsingle's "
            "results, np.save('betas.npy', np.load('x.npy', allow_pickle=True).item()['betasmd'])"
        )


def _from_npz(path: Path, variable: str | None) -> np.ndarray:
    archive = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise RepbiasError(f"{path}: one array (npy), not an npz archive")
    with archive:
        name = _choose(path, variable, archive.files)
        # The archive limits a member to this size, whatever the header of its array declares.
        for stored in archive.zip.infolist():
            if stored.filename in (name, f"{name}.npy"):
                refuse_size(path, repr(name), (stored.file_size,))
        array = archive[name]
    if not isinstance(array, np.ndarray):
        raise RepbiasError(f"{path}: {name!r} is not an array")
    return array


def _choose(path: Path, variable: str | None, available: list[str]) -> str:
    if variable is None and len(available) == 1:
        return available[0]
    if not available:
        raise RepbiasError(f"{path}: holds no array")
    if variable is None:
        raise RepbiasError(
            f"{path}: holds several arrays; name one with 'variable' "
            f"(allowed: {', '.join(sorted(available)) or 'nothing'})"
        )
    if variable not in available:
        raise RepbiasError(f"{path}: no variable {variable!r}; {nearest(variable, available)}")
    return variable


def _from_hdf5(path: Path, variable: str | None) -> np.ndarray:
    with open_hdf5(path) as file:
        return _dataset(path, _find_hdf5(path, file, variable))


def _find_hdf5(path: Path, file: h5py.File, variable: str | None) -> h5py.Dataset:
    names: list[str] = []
    # Links are not visited.
    file.visititems(lambda name, x: names.append(name) if hasattr(x, "shape") else None)
    return member(path, file, _choose(path, variable and variable.strip("/"), names))


def _dataset(path: Path, dataset: h5py.Dataset) -> np.ndarray:
    import h5py

    refuse_external_data(path, dataset)
    if dataset.shape is None:
        raise RepbiasError(f"{path}: {dataset.name.strip('/')!r} has no data")
    refuse_size(path, repr(dataset.name), dataset.shape, dataset.dtype.itemsize)
    if h5py.check_string_dtype(dataset.dtype):
        return np.array(dataset.asstr()[()], dtype=str)
    return np.asarray(dataset[()])


def _from_mat(path: Path, variable: str | None) -> np.ndarray:
    import h5py
    import scipy.io

    if h5py.is_hdf5(path):
        with open_hdf5(path) as file:
            node, first, fields = _variable_mat73(path, file, variable)
            return _mat73(path, file, node, first, fields, count())
    refuse_crash(path, "matlab")
    content = scipy.io.loadmat(path)
    names = [name for name in content if not name.startswith("__")]
    first, *fields = (variable or _choose(path, None, names)).split(".")
    return _mat5(path, content[_choose(path, first, names)], first, fields)


def _variable_mat73(
    path: Path, file: h5py.File, variable: str | None
) -> tuple[h5py.Dataset | h5py.Group, str, list[str]]:
    """Return a variable, its name, and the fields to step into."""
    # MATLAB reserves names with # for objects and the targets of references.
    names = [name for name in file if not name.startswith("#")]
    first, *fields = (variable or _choose(path, None, names)).split(".")
    return member(path, file, _choose(path, first, names)), first, fields


def _find_mat73(
    path: Path, file: h5py.File, variable: str | None
) -> h5py.Dataset | h5py.Group | None:
    """Return a variable, or a field of structures that are not arrays; None if it is neither."""
    import h5py

    node, _, fields = _variable_mat73(path, file, variable)
    for field in fields:
        if not isinstance(node, h5py.Group) or field not in node:
            return None
        node = member(path, node, field)
    return node if "MATLAB_class" in node.attrs else None


def _mat5(path: Path, value: Any, name: str, fields: list[str]) -> np.ndarray:
    """Return a value that SciPy read, after stepping into fields, with elements stacked."""
    import scipy.io
    import scipy.sparse

    if isinstance(value, scipy.io.matlab.MatlabOpaque | scipy.io.matlab.MatlabFunction):
        raise RepbiasError(f"{path}: {name!r} is an object or function of MATLAB; expected numbers")
    if scipy.sparse.issparse(value):
        refuse_size(path, repr(name), value.shape, value.dtype.itemsize)
        value = value.toarray()
        value = value.astype(np.uint8) if value.dtype == bool else value
    if fields or value.dtype.names:
        name = _field(path, name, value.dtype.names or (), fields)
        value = value[name]
    if value.dtype.kind == "O":
        parts = [_mat5(path, part, name, fields[1:]) for part in value.flat]
        return _stack(path, name, value.shape, parts)
    return value


def _mat73(
    path: Path,
    file: h5py.File,
    node: h5py.Dataset | h5py.Group,
    name: str,
    fields: list[str],
    visits: Iterator[int],
) -> np.ndarray:
    """Return a value that MATLAB v7.3 wrote as HDF5, in the form of :func:`_mat5`.

    The axes are reversed. A cell array is a dataset of references to its elements. A structure is a
    group with a member for each field; in a structure array, each member is a dataset of
    references, without a class of its own. References can be circular or multiply exponentially, so
    `visits` counts them.
    """
    import h5py

    if next(visits) > max(MAX_REFERENCES, path.stat().st_size // 8):
        raise RepbiasError(f"{path}: {name!r} refers to the same data over and over")
    kind = bytes(node.attrs.get("MATLAB_class", b"")).decode()
    if fields or kind == "struct":
        is_structure = kind == "struct" and isinstance(node, h5py.Group)
        name = _field(path, name, list(node) if is_structure else (), fields)
        field = member(path, node, name)
        if "MATLAB_class" not in field.attrs:
            return _referenced(path, file, field, name, fields[1:], visits)
        return _stack(path, name, (1, 1), [_mat73(path, file, field, name, fields[1:], visits)])
    if kind not in _MATLAB_CLASSES or "MATLAB_object_decode" in node.attrs:
        raise RepbiasError(
            f"{path}: {name!r} is of MATLAB's class {kind!r}; expected numbers, text, cells or "
            "structures" + ("" if kind else " (if MATLAB did not write the file, call it .h5)")
        )
    if "MATLAB_sparse" in node.attrs:
        return _sparse(path, node)
    if node.attrs.get("MATLAB_empty", 0):  # the dataset holds the shape
        shape = tuple(map(int, _dataset(path, node)))
        if kind == "cell":
            return _stack(path, name, shape, [])
        refuse_size(path, repr(name), shape, 8)
        return np.zeros(shape[:-1] if kind == "char" else shape, _MATLAB_CLASSES[kind])
    if kind == "cell":
        return _referenced(path, file, node, name, [], visits)
    values = _numbers(path, node).T
    return _characters(values) if kind == "char" else values


#: MATLAB classes that can be read, and the dtypes of their empty arrays.
_MATLAB_CLASSES = {
    "double": "double",
    "single": "single",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
    "logical": "uint8",
    "char": "U1",
    "cell": "O",
}


def _characters(codes: np.ndarray) -> np.ndarray:
    """Join UTF-16 codes (..., character) along the last axis to text (...)."""
    rows = codes.reshape(-1, codes.shape[-1]).astype("<u2")
    texts = [row.tobytes().decode("utf-16-le") for row in rows]
    return np.array(texts, dtype=str).reshape(codes.shape[:-1])


def _numbers(path: Path, dataset: h5py.Dataset) -> np.ndarray:
    values = _dataset(path, dataset)
    return values["real"] + 1j * values["imag"] if values.dtype.names else values


def _sparse(path: Path, group: h5py.Group) -> np.ndarray:
    """Return a dense matrix from compressed sparse columns."""
    starts = _dataset(path, member(path, group, "jc")).astype(np.int64)
    shape = (int(group.attrs["MATLAB_sparse"]), len(starts) - 1)
    refuse_size(path, repr(group.name), shape, 8)
    if "data" not in group:
        return np.zeros(shape)
    values = _numbers(path, member(path, group, "data"))
    rows = _dataset(path, member(path, group, "ir"))
    matrix = np.zeros(shape, values.dtype)
    matrix[rows, np.repeat(np.arange(shape[1]), np.diff(starts))] = values
    return matrix


def _referenced(
    path: Path,
    file: h5py.File,
    dataset: h5py.Dataset,
    name: str,
    fields: list[str],
    visits: Iterator[int],
) -> np.ndarray:
    references = _dataset(path, dataset).T
    parts = [_mat73(path, file, file[r], name, fields, visits) for r in references.flat]
    return _stack(path, name, references.shape, parts)


def _field(path: Path, name: str, available: Collection[str], fields: list[str]) -> str:
    if not fields:
        allowed = ", ".join(sorted(available)) or "nothing"
        raise RepbiasError(
            f"{path}: {name!r} is a structure; name a field after a dot (allowed: {allowed})"
        )
    if fields[0] not in available:
        raise RepbiasError(
            f"{path}: {name!r} has no field {fields[0]!r}; {nearest(fields[0], available)}"
        )
    return fields[0]


def _stack(path: Path, name: str, shape: tuple[int, ...], parts: list[np.ndarray]) -> np.ndarray:
    # An empty text counts as text.
    parts = [np.array([""]) if p.dtype.kind == "U" and not p.size else p for p in parts]
    shapes = {part.shape for part in parts}
    if len(shapes) != 1:
        found = f"arrays of different shapes {sorted(shapes)}" if parts else "nothing"
        raise RepbiasError(f"{path}: {name!r} holds {found}")
    return np.stack(parts).reshape(shape + shapes.pop())
