"""Files that others made: damaged, or made to do harm (docs/hostile-input.md).

What every reader of such files goes through. Nothing of them is unpickled or run; they cannot make
us read other files; what they declare must fit into memory; whatever a library raises becomes a
:class:`RepbiasError` that names the file; and a library that crashes does so in another process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from repbias.base.spec import RepbiasError
from repbias.io import probe

if TYPE_CHECKING:
    import h5py


@contextmanager
def readable(path: Path | str, what: str) -> Iterator[None]:
    """Name the file if the block fails.

    Parameters
    ----------
    path
        The file that the block reads.
    what
        What the file should be, for the message.

    Raises
    ------
    RepbiasError
        If it is no regular file, or the block raises anything else.
    """
    if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
        raise RepbiasError(f"{path}: neither a file nor a folder, but a device or pipe")
    try:
        yield
    except RepbiasError:
        raise
    except MemoryError as error:
        raise RepbiasError(f"{path}: does not fit into memory") from error
    except Exception as error:  # damaged files make these libraries raise errors of many kinds
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RepbiasError(f"{path}: cannot be read as {what} ({first})") from error


def available_memory() -> int:
    """Return the bytes of memory that are free; where the system does not tell, that it has."""
    try:
        with Path("/proc/meminfo").open() as file:
            found = dict(line.split(":") for line in file)
        return int(found["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def refuse_size(path: Path | str, name: str, shape: Sequence[int], itemsize: int = 1) -> None:
    """Refuse to read what does not fit into memory, by the size that the file declares.

    A file of a few bytes can declare petabytes: of zeros that are compressed, or not there at all.

    Parameters
    ----------
    path, name
        The file, and what of it has this size.
    shape
        Number of elements along each axis.
    itemsize
        Bytes of an element.

    Raises
    ------
    RepbiasError
        If it is larger than the memory that is free.
    """
    size, free = prod(map(int, shape)) * int(itemsize), available_memory()
    if size > free:
        raise RepbiasError(
            f"{path}: {name} would take {size / 1e9:.4g} GB (shape "
            f"{' x '.join(map(str, shape)) or 1}), but {free / 1e9:.3g} GB of memory are free"
        )


def refuse_crash(path: Path | str, what: str) -> None:
    """Refuse a file that crashes its library or keeps it reading for ever.

    A damaged HDF5 or MATLAB file can do that, and take the whole process with it. So another
    process reads it first: all but the plain data of HDF5, and all of MATLAB's up to v7.

    Parameters
    ----------
    path
        The file.
    what
        "hdf5" or "matlab".
    """
    status = Path(path).stat()
    problem = _probe(str(path), what, (status.st_size, status.st_mtime_ns, status.st_ino))
    if problem:
        raise RepbiasError(f"{path}: {problem}")


@lru_cache(maxsize=64)
def _probe(path: str, what: str, state: tuple[int, ...]) -> str:
    done = subprocess.run(
        # -P: a module of ours must not stand in for one of Python's of the same name.
        [sys.executable, "-P", probe.__file__, what, path, str(available_memory()), str(state[0])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if done.returncode == probe.TOO_LARGE:
        return "does not fit into memory"
    if done.returncode == -signal.SIGXCPU:
        return "damaged, or very large: its library took too long to read it"
    if done.returncode:
        return f"damaged: its library crashes or does not end (exit {done.returncode})"
    return ""


@contextmanager
def open_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """Open an HDF5 file that someone else made, for reading.

    Raises
    ------
    RepbiasError
        If it crashes the HDF5 library, or a part of it is in other files.
    """
    import h5py

    refuse_crash(path, "hdf5")
    with h5py.File(path, "r") as file:
        refuse_other_files(path, file)
        yield file


def refuse_other_files(path: Path | str, file: h5py.File) -> None:
    """Refuse an HDF5 file that reaches out of itself: it could read any file of the user.

    Soft links stay within the file; NWB uses them.

    Raises
    ------
    RepbiasError
        If it holds external links, or data that are kept in another file.
    """
    import h5py

    inside = (h5py.HardLink, h5py.SoftLink)
    # Visits stop at what is returned; an exception would get lost within HDF5.
    link = file.visititems_links(lambda name, x: None if isinstance(x, inside) else name)
    if link is not None:
        raise RepbiasError(f"{path}: {_text(link)!r} is a link to another file")
    dataset = file.visititems(
        lambda _, x: x if isinstance(x, h5py.Dataset) and _elsewhere(x) else None
    )
    if dataset is not None:
        refuse_data_elsewhere(path, dataset)


def _elsewhere(dataset: h5py.Dataset) -> bool:
    return bool(dataset.external) or dataset.is_virtual


def refuse_data_elsewhere(path: Path | str, dataset: h5py.Dataset) -> None:
    """Refuse a dataset that keeps its data in another file, or is made of others'."""
    if _elsewhere(dataset):
        name = _text(dataset.name or "a dataset").strip("/")
        raise RepbiasError(f"{path}: {name!r} keeps its data in other files")


def member(path: Path | str, group: h5py.Group, name: str) -> h5py.Dataset | h5py.Group:
    """Return a member of an HDF5 group; step into groups at slashes, but follow no link.

    Raises
    ------
    RepbiasError
        If there is none, or it, or a group on the way, is a link.
    """
    import h5py

    found: h5py.HLObject = group
    for part in name.strip("/").split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if link is None:
            raise RepbiasError(f"{path}: incomplete or damaged: there is no {name!r}")
        if not isinstance(link, h5py.HardLink):
            raise RepbiasError(f"{path}: {name!r} is a link; links are not followed")
        found = found[part]
    return found


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
