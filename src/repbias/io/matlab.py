"""MATLAB files: up to v7, which SciPy reads, and v7.3, which is HDF5.

pymatreader reads both, but drops axes of length 1, the shapes of cell and structure arrays and
characters beyond 16 bits, follows links, and takes circular references for endless ones; so v7.3 is
read here, with pymatreader as the reference of the tests. Neither reads tables, string arrays and
other objects of MATLAB: these are refused with the line that saves them as plain arrays.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from repbias.base.spec import RepbiasError, nearest
from repbias.io.untrusted import (
    member,
    open_hdf5,
    refuse_crash,
    refuse_external_data,
    refuse_size,
)

if TYPE_CHECKING:
    import h5py

#: Limit on the references followed within a file, if it is smaller than 8 bytes for each of them.
MAX_REFERENCES = 10**6
#: Levels of nested structures that are listed; a structure can contain itself.
MAX_DEPTH = 8
#: MATLAB's classes in files up to v7, by their number.
_CLASSES = (
    *("unknown", "cell", "struct", "object", "char", "sparse", "double", "single"),
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "function_handle"),
)
_OPAQUE = 17
#: MATLAB classes that can be read, and the dtypes of their empty arrays.
_DTYPES = {
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


@dataclass(frozen=True)
class Unread:
    """An array that was left unread, as it is larger than what may be read."""

    shape: tuple[int, ...]
    dtype: np.dtype


#: What a file holds under a name: an array, one that was left unread, or why there is none.
Content = np.ndarray | Unread | RepbiasError


class _ObjectOfMatlab(Exception):
    """A value of a class that only MATLAB can read."""


def load_mat(path: Path, variable: str | None) -> np.ndarray:
    """Read one array of a MATLAB file (:func:`repbias.io.arrays.load_array`)."""
    import h5py

    v73 = h5py.is_hdf5(path)
    names = _names73(path) if v73 else [header.name for header in _headers(path)]
    first, *fields = (variable or choose(path, None, names)).split(".")
    choose(path, first, names)
    try:
        return _load73(path, first, fields) if v73 else _load5(path, first, fields)
    except _ObjectOfMatlab as error:
        raise _refusal(path, variable or first, str(error)) from None


def list_mat(path: Path, budget: float) -> Iterator[tuple[str, Content]]:
    """Yield what a MATLAB file holds, by name; dots step into structures.

    Parameters
    ----------
    path
        The file.
    budget
        Bytes that may be read, in all; larger arrays are left unread.
    """
    import h5py

    return _list73(path, budget) if h5py.is_hdf5(path) else _list5(path, budget)


def choose(path: Path, variable: str | None, available: list[str]) -> str:
    """Return the name of the array that is meant, which must exist."""
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


def affordable(sizes: Iterable[float], budget: float) -> list[bool]:
    """Return which of some arrays may be read if no more bytes may be read, the smallest first.

    Examples
    --------
    >>> affordable([5, 100, 3], budget=10)
    [True, False, True]
    """
    sizes = np.array(list(sizes), float)
    order = np.argsort(sizes, kind="stable")
    chosen = np.zeros(len(sizes), bool)
    chosen[order] = np.cumsum(sizes[order]) <= budget
    return chosen.tolist()


def _refusal(path: Path, name: str, kind: str) -> RepbiasError:
    """Say how to save an object in MATLAB so that it can be read."""
    root, plain = name.split(".")[0], f"{path.stem}_{name.replace('.', '_')}.mat"
    in_place = f"save('{path.name}', '{root}', '-append')"
    table = f"timetable2table({name})" if kind == "timetable" else name
    as_struct = (
        f"s = table2struct(convertvars({table}, @(x) isstring(x) || iscategorical(x), @cellstr), "
        f"'ToScalar', true); save('{plain}', '-struct', 's')"
    )
    lines = {
        "table": as_struct,
        "timetable": as_struct,
        "string": f"{name} = cellstr(string({name})); {in_place}",
        "categorical": f"{name} = cellstr(string({name})); {in_place}",
        "datetime": f"{name} = posixtime({name}); {in_place}",
        "duration": f"{name} = seconds({name}); {in_place}",
        "containers.Map": f"k = keys({name}); v = values({name}); save('{plain}', 'k', 'v')",
    }
    line = lines.get(kind, f"s = struct({name}); save('{plain}', '-struct', 's')")
    advice = f"; save it as plain arrays, in MATLAB: load('{path.name}'); {line}"
    return RepbiasError(
        f"{path}: {name!r} is an object or function of MATLAB (of class {kind!r}), which only "
        f"MATLAB can read{'' if kind == 'function_handle' else advice}"
    )


# Up to v7


@dataclass(frozen=True)
class _Header:
    """What a file up to v7 says of a variable before its data.

    Attributes
    ----------
    name, shape : as in MATLAB
    kind : MATLAB's class
    size : bytes in memory
    is_opaque : whether it is a table, a string array or another object that SciPy does not read
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    size: int
    is_opaque: bool = False


def _headers(path: Path) -> list[_Header]:
    """List the variables of a file up to v7; SciPy's own list fails if one is an object."""
    import scipy.io

    with path.open("rb") as file:
        if scipy.io.matlab.matfile_version(file)[0] == 0:  # v4
            return [_Header(name, "double", shape, 0) for name, shape, _ in scipy.io.whosmat(path)]
        return [header for header in _read_headers(file) if header.name]


def _read_headers(file: BinaryIO) -> Iterator[_Header]:
    """Yield the header of every variable; the bytes of data are skipped."""
    file.seek(126)
    order = "<" if file.read(2) == b"IM" else ">"
    position = 128
    file.seek(0, 2)
    end = file.tell()
    while position + 8 <= end:
        file.seek(position)
        kind, size = struct.unpack(f"{order}II", file.read(8))
        position += 8 + size
        if position > end:
            raise ValueError("the file is truncated")
        body = file.read(min(size, 4096))
        if kind == 15:  # compressed
            body = zlib.decompressobj().decompress(body, 4096)
            kind, size = struct.unpack(f"{order}II", body[:8])
            body = body[8:]
        if kind != 14:
            raise ValueError(f"an element of type {kind} instead of a matrix")
        yield _header(body, order, size)


def _header(body: bytes, order: str, stored: int) -> _Header:
    """Read the header of a matrix; `stored` is its size in the file, uncompressed."""
    elements = _elements(body, order)
    (flags,) = struct.unpack(f"{order}I", next(elements)[:4])
    kind, is_logical, is_complex = flags & 0xFF, flags >> 9 & 1, flags >> 11 & 1
    if kind == _OPAQUE:
        name, _, what = (next(elements).decode("latin1") for _ in range(3))
        return _Header(name, what, (), stored, is_opaque=True)
    dims = next(elements)
    shape = struct.unpack(f"{order}{len(dims) // 4}i", dims)
    name = next(elements).decode("latin1")
    called = "logical" if is_logical else _CLASSES[kind]
    each = np.dtype(_DTYPES.get(called, "double")).itemsize * (1 + is_complex)
    nested = called in ("cell", "struct", "object", "function_handle")
    return _Header(name, called, shape, stored if nested else prod(shape) * each)


def _elements(body: bytes, order: str) -> Iterator[bytes]:
    """Yield the data of the elements that a matrix begins with."""
    place = 0
    while True:
        kind, size = struct.unpack_from(f"{order}II", body, place)
        if kind >> 16:  # up to four bytes stand in the tag itself
            yield body[place + 4 : place + 4 + (kind >> 16)]
            place += 8
        else:
            yield body[place + 8 : place + 8 + size]
            place += 8 + size + -size % 8


def _load5(path: Path, name: str, fields: list[str]) -> np.ndarray:
    import scipy.io

    (header,) = [h for h in _headers(path) if h.name == name][-1:]
    if header.is_opaque:
        raise _ObjectOfMatlab(header.kind)
    refuse_crash(path, "matlab")  # of all variables at once, as others will follow
    content = scipy.io.loadmat(path, variable_names=[name])
    return _mat5(path, content[name], name, fields)


def _list5(path: Path, budget: float) -> Iterator[tuple[str, Content]]:
    import scipy.io

    headers = _headers(path)
    plain = [header for header in headers if not header.is_opaque]
    affords = affordable([header.size for header in plain], budget)
    names = [header.name for header, chosen in zip(plain, affords, strict=True) if chosen]
    content = {}
    if names:
        refuse_crash(path, "matlab", tuple(names))
        content = scipy.io.loadmat(path, variable_names=names)
    for header in headers:
        if header.is_opaque:
            yield header.name, _refusal(path, header.name, header.kind)
        elif header.name not in content:
            yield header.name, Unread(header.shape, np.dtype(_DTYPES.get(header.kind, "O")))
        else:
            for names in _fields5(content[header.name], [header.name], MAX_DEPTH):
                yield ".".join(names), _or_problem(path, names, _mat5, content[names[0]])


def _fields5(value: Any, names: list[str], depth: int) -> Iterator[list[str]]:
    """Yield the names of the arrays in a value, each as its path through structures."""
    fields = getattr(value, "dtype", np.dtype(float)).names
    if not _readable_class(value) or not fields or not value.size or not depth:
        yield names
        return
    for key in fields:  # the first element stands for all
        yield from _fields5(value[key].flat[0], [*names, key], depth - 1)


def _or_problem(path: Path, names: list[str], read: Any, *start: Any) -> Content:
    try:
        array: np.ndarray = read(path, *start, names[0], names[1:])
        return array
    except RepbiasError as error:
        return error
    except _ObjectOfMatlab as error:
        return _refusal(path, ".".join(names), str(error))


def _readable_class(value: Any) -> bool:
    import scipy.io

    return not isinstance(value, scipy.io.matlab.MatlabOpaque | scipy.io.matlab.MatlabFunction)


def _mat5(path: Path, value: Any, name: str, fields: list[str]) -> np.ndarray:
    """Return a value that SciPy read, after stepping into fields, with elements stacked."""
    import scipy.sparse

    if not _readable_class(value):
        names = value.dtype.names or ()
        found = [value[0][key] for key in ("s2", "_Class") if key in names]
        raise _ObjectOfMatlab(
            (found[0].decode() if isinstance(found[0], bytes) else str(found[0]))
            if found
            else "function_handle"
        )
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
    array: np.ndarray = value
    return array


# v7.3


def _names73(path: Path) -> list[str]:
    with open_hdf5(path) as file:
        # MATLAB reserves names with # for objects and the targets of references.
        return [name for name in file if not name.startswith("#")]


def _load73(path: Path, name: str, fields: list[str]) -> np.ndarray:
    with open_hdf5(path) as file:
        return _mat73(path, file, member(path, file, name), name, fields, count())


def find_mat73(
    path: Path, file: h5py.File, variable: str | None
) -> h5py.Dataset | h5py.Group | None:
    """Return a variable, or a field of structures that are not arrays; None if it is neither."""
    import h5py

    names = [name for name in file if not name.startswith("#")]
    first, *fields = (variable or choose(path, None, names)).split(".")
    node = member(path, file, choose(path, first, names))
    for field in fields:
        if not isinstance(node, h5py.Group) or field not in node:
            return None
        node = member(path, node, field)
    return node if "MATLAB_class" in node.attrs else None


def is_plain(dataset: h5py.Dataset) -> bool:
    """Whether a dataset holds numbers as they are, not a part of some value of MATLAB's."""
    kind = bytes(dataset.attrs.get("MATLAB_class", b"double")).decode()
    return (
        dataset.shape is not None
        and dataset.dtype.kind in "fiu"
        and kind in _DTYPES.keys() - {"char", "cell"}
        and "MATLAB_empty" not in dataset.attrs
    )


def _list73(path: Path, budget: float) -> Iterator[tuple[str, Content]]:
    import h5py

    def members(names: list[str], node: h5py.Group | h5py.Dataset) -> Iterator[list[str]]:
        if isinstance(node, h5py.Group) and "MATLAB_sparse" not in node.attrs:
            for key in node:
                if len(names) <= MAX_DEPTH:
                    yield from members([*names, key], member(path, node, key))
        else:
            yield names

    def read(path: Path, first: str, fields: list[str]) -> np.ndarray:
        return _mat73(path, file, member(path, file, first), first, fields, count())

    with open_hdf5(path) as file:
        found = [
            names
            for name in file
            if not name.startswith("#")
            for names in members([name], member(path, file, name))
        ]
        nodes = [member(path, file, "/".join(names)) for names in found]
        chosen = affordable([_size73(path, file, node) for node in nodes], budget)
        for names, node, affords in zip(found, nodes, chosen, strict=True):
            if affords or not isinstance(node, h5py.Dataset):
                yield ".".join(names), _or_problem(path, names, read)
            else:
                yield ".".join(names), Unread(node.shape[::-1], node.dtype)


def _size73(path: Path, file: h5py.File, node: h5py.Group | h5py.Dataset) -> float:
    """Return the bytes that a value takes in memory, with what it refers to."""
    import h5py

    if not isinstance(node, h5py.Dataset):
        return 0  # a sparse matrix, whose size is checked where it is read
    if node.shape is None or not h5py.check_ref_dtype(node.dtype):
        return float(node.nbytes if node.shape else 0)
    if node.size > MAX_REFERENCES:
        return float("inf")
    parts = (file[r] for r in _dataset(path, node).flat if r)
    return float(sum(part.nbytes for part in parts if isinstance(part, h5py.Dataset)))


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
    if kind and (kind not in _DTYPES or "MATLAB_object_decode" in node.attrs):
        raise _ObjectOfMatlab(kind)
    if not kind:
        raise RepbiasError(
            f"{path}: {name!r} has no class of MATLAB; expected numbers, text, cells or structures "
            "(if MATLAB did not write the file, call it .h5)"
        )
    if "MATLAB_sparse" in node.attrs:
        return _sparse(path, node)
    if node.attrs.get("MATLAB_empty", 0):  # the dataset holds the shape
        shape = tuple(map(int, _dataset(path, node)))
        if kind == "cell":
            return _stack(path, name, shape, [])
        refuse_size(path, repr(name), shape, 8)
        return np.zeros(shape[:-1] if kind == "char" else shape, _DTYPES[kind])
    if kind == "cell":
        return _referenced(path, file, node, name, [], visits)
    values = _numbers(path, node).T
    return _characters(values) if kind == "char" else values


def _dataset(path: Path, dataset: h5py.Dataset) -> np.ndarray:
    refuse_external_data(path, dataset)
    if dataset.shape is None:
        raise RepbiasError(f"{path}: {dataset.name.strip('/')!r} has no data")
    refuse_size(path, repr(dataset.name), dataset.shape, dataset.dtype.itemsize)
    return np.asarray(dataset[()])


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
