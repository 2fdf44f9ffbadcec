"""How our HDF5 files are written and read; one module of this folder has each layout.

Files are written under a temporary name and renamed when complete, so a file that exists under
its own name is whole. Every file names its format and version; readers check both. A bit that
changes later, on a disk or in a copy, is noticed: data and structure carry HDF5's checksums.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import DTypeLike

import repbias
from repbias.base.spec import RepbiasError
from repbias.io.files import StoreError, atomic
from repbias.io.untrusted import member, refuse_external_data, refuse_size

#: Version 3 calls `networks/kept` `included`, and `networks/acquired` `mastery_step`.
FORMAT_VERSION = 4

#: The attribute `encoding` of a dataset of ASCII in which Python's escapes stand for other
#: characters, and so does a doubled backslash for one.
ESCAPES = "unicode_escape"


class _Disk(io.FileIO):
    """What HDF5 writes to; it keeps the first error, and lets HDF5 believe that all went well.

    HDF5 writes much of a file when it is closed, and h5py tells nobody when that fails: the half
    file would pass for a whole one. Later HDF5 crashes the process.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of the data, if it can be."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = self.error or error
        return size


@contextmanager
def create_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Open a new HDF5 file for atomic writing.

    Raises
    ------
    RepbiasError
        If the disk is full.
    OSError
        If the file cannot be written for another reason.
    """
    # This version of HDF5's own format has checksums of names, shapes and attributes.
    version = ("v110", "v110")
    with atomic(path) as temporary, _Disk(temporary, "w+") as disk:
        try:
            with h5py.File(disk, "w", libver=version) as file:
                yield file
        finally:
            if disk.error:  # whatever followed from it
                raise disk.error


@contextmanager
def create(path: str | Path, kind: str) -> Iterator[h5py.File]:
    """Open a new HDF5 file of a kind ("stimuli", "networks", ...) for atomic writing."""
    with create_hdf5(path) as file:
        put_text(file, "repbias_kind", kind)
        file.attrs["repbias_format"] = FORMAT_VERSION
        put_text(file, "repbias_version", repbias.__version__)
        yield file


class Member(Protocol):
    """What is written into a file, or into a group of it."""

    def put(self, group: h5py.Group) -> None:
        """Write it into the group."""


def write_members(path: str | Path, kind: str, members: Iterable[tuple[str, Member]]) -> None:
    """Write a file of a kind with a group for each of several members, such as conditions.

    Parameters
    ----------
    path
        Where to write.
    kind
        "stimuli" or "networks".
    members
        Name and content; one is in memory at a time if this is an iterator.
    """
    with create(path, kind) as file:
        for name, content in members:
            content.put(file.create_group(name))


@contextmanager
def open_checked(path: str | Path, kind: str, name: str | None = None) -> Iterator[h5py.Group]:
    """Open one of our HDF5 files, or one member of it, for reading.

    Parameters
    ----------
    path
        The file.
    kind
        What it must hold.
    name
        The member of a file that has several; None for a file that is of one thing.

    Raises
    ------
    StoreError
        If the file is missing, truncated, or not of this kind and version, or has no such member.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise StoreError(f"{path}: no such file") from error
    except OSError as error:
        raise StoreError(f"{path}: not a complete HDF5 file ({error})") from error
    with file:
        with reading(file):
            found, version = kind_of(file), file.attrs.get("repbias_format")
            writer = get_text(file, "repbias_version")
        if found != kind:
            raise StoreError(f"{path}: expected a file of kind {kind!r}, found {found!r}")
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{path}: format version {version}, written by repbias {writer}; this is repbias "
                f"{repbias.__version__}, which reads version {FORMAT_VERSION}. Delete the file and "
                "run the study again, and it is written anew"
            )
        with reading(file):
            group = file if name is None else member(file.filename, file, name)
        yield group


def kind_of(file: h5py.File) -> str | None:
    """Return which of our kinds a file is; None if it is not ours."""
    return get_text(file, "repbias_kind")


@contextmanager
def reading(item: h5py.HLObject) -> Iterator[None]:
    """Name the file where reading a part of it fails; only around calls of h5py and decoding."""
    try:
        yield
    except RepbiasError as error:  # names the file already
        raise StoreError(str(error)) from error
    except Exception as error:  # of h5py's, there are many kinds
        raise StoreError(f"{item.file.filename}: incomplete or damaged ({error})") from error


def put(group: h5py.Group, name: str, values: Any) -> None:
    """Write an array; text has a fixed length, because HDF5 has no checksum of other text."""
    values = np.asarray(values)
    if values.dtype.kind in "UO":
        text = np.array([value.encode() for value in values.flat], dtype=bytes)
        dtype = h5py.string_dtype("utf-8", max(1, text.dtype.itemsize))
        values = text.reshape(values.shape).astype(dtype)
    group.create_dataset(name, data=values, **stored(values.shape, values.dtype))


def stored(shape: tuple[int, ...], dtype: DTypeLike) -> dict[str, Any]:
    """Return how an array is stored: in blocks of about a megabyte, each with a checksum."""
    if 0 in shape:
        return {}
    chunks = list(shape)
    for axis in range(len(chunks)):  # one row, such as a network, is read at a time
        size = int(np.prod(chunks)) * np.dtype(dtype).itemsize
        chunks[axis] = max(1, min(chunks[axis], chunks[axis] * 2**20 // size))
    # Compressed, text costs no more than its letters.
    text = {"compression": "gzip"} if np.dtype(dtype).kind == "S" else {}
    return {"chunks": tuple(chunks), "fletcher32": True, **text}


def dataset_of(group: h5py.Group, name: str) -> h5py.Dataset:
    """Return a dataset of one of our files.

    Raises
    ------
    StoreError
        If there is none, or it is a link, or its data are in another file.
    """
    with reading(group):
        dataset = member(group.file.filename, group, name)
        refuse_external_data(group.file.filename, dataset)
        return dataset


def part_of(dataset: h5py.Dataset, index: Any) -> np.ndarray:
    """Read a part of a dataset of one of our files.

    Raises
    ------
    StoreError
        If the file is damaged there.
    """
    with reading(dataset):
        return dataset[index]


def get(group: h5py.Group, name: str, index: Any = ()) -> np.ndarray:
    """Read an array, or a part of it."""
    with reading(group):
        dataset = dataset_of(group, name)
        shape = dataset.shape if index == () else dataset.shape[1:]
        refuse_size(group.file.filename, repr(name), shape, dataset.dtype.itemsize)
        if h5py.check_string_dtype(dataset.dtype):
            return text_of(dataset, index)
        return dataset[index]


def text_of(dataset: h5py.Dataset, index: Any = ()) -> np.ndarray:
    """Read text, or a part of it, without the escapes (:data:`ESCAPES`) that its file may need."""
    text = np.array(dataset.asstr()[index], dtype=str)
    if str(get_text(dataset, "encoding")) == ESCAPES:
        text = np.char.decode(text.astype("S"), ESCAPES)
    return text


def put_columns(group: h5py.Group, columns: Mapping[str, Any]) -> None:
    """Write every array of a mapping as a dataset of the group.

    In alphabetical order, in which HDF5 lists them: what is read and written again is the same.
    """
    for name in sorted(columns):
        put(group, name, columns[name])


def get_columns(group: h5py.Group, name: str) -> dict[str, np.ndarray]:
    """Read every dataset of a group within this one, by name."""
    with reading(group):
        names = list(member(group.file.filename, group, name).keys())
    return {column: get(group, f"{name}/{column}") for column in names}


def put_text(group: h5py.Group, name: str, text: str) -> None:
    """Write an attribute of fixed length: of other text HDF5 has no checksum.

    Worse, a wrong bit there can keep HDF5 reading for ever.
    """
    content = text.encode()
    group.attrs.create(name, content, dtype=h5py.string_dtype("utf-8", len(content)))


def get_text(group: h5py.Group, name: str) -> str | None:
    """Read an attribute of text; None where there is none."""
    value = group.attrs.get(name)
    return value.decode() if isinstance(value, bytes) else value


def put_json(group: h5py.Group, name: str, value: Any) -> None:
    """Write a value as JSON in an attribute."""
    put_text(group, name, json.dumps(value))


def get_json(group: h5py.Group, name: str) -> Any:
    """Read an attribute that holds JSON."""
    with reading(group):
        return json.loads(group.attrs[name])
