"""Safe reading of untrusted files, damaged or malicious (docs/hostile-input.md).

All readers of such files use these functions. Nothing is unpickled or executed; files cannot make
us read other files; the sizes that they declare must fit into memory; any exception of a library
becomes a :class:`RepbiasError` that names the file; and libraries that may crash are first tried in
another process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from math import prod
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from repbias.base.spec import RepbiasError
from repbias.io import probe
from repbias.io.unread import refuse_unread

if TYPE_CHECKING:
    import h5py


@contextmanager
def readable(path: Path | str, what: str) -> Iterator[None]:
    """Turn any exception in the block into an error that names the file.

    Parameters
    ----------
    path
        The file that the block reads.
    what
        The expected kind of file, for the message.

    Raises
    ------
    RepbiasError
        If the path is neither a file nor a folder, or a pickle, or the block raises an exception.
    """
    refuse_unread(path)
    if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
        raise RepbiasError(f"{path}: neither a file nor a folder, but a device or pipe")
    try:
        yield
    except (RepbiasError, NameError):  # no file causes the latter, but a mistake in the code
        raise
    except MemoryError as error:
        raise RepbiasError(f"{path}: does not fit into memory") from error
    except Exception as error:  # with damaged files, libraries raise many types of errors
        said = _words(Path(path), error)
        raise RepbiasError(f"{path}: cannot be read as {what} ({said}){_remedy(error)}") from error


def _words(path: Path, error: Exception) -> str:
    """Return what a library says of a file, in a line."""
    if path.is_file() and path.stat().st_size == 0:
        return "it is empty"
    # Errors of hdmf begin with an object, whose description fills pages, and end in words.
    about_object = len(error.args) == 2 and isinstance(error.args[0], dict)
    text = str(error.args[1] if about_object else error).strip()
    return (text or type(error).__name__).splitlines()[0]


def _remedy(error: Exception) -> str:
    """Return what to do about a file that a library cannot read."""
    if isinstance(error, FileNotFoundError | PermissionError | ImportError):
        return ""
    if isinstance(error, UnicodeDecodeError):
        return "; if it is text, save it as UTF-8"
    return (
        "; it may be truncated or damaged: copy it again, or write it again with the program that "
        "made it"
    )


def available_memory() -> int:
    """Return the bytes of free memory, or of all memory where the system does not report it."""
    try:
        with Path("/proc/meminfo").open() as file:
            found = dict(line.split(":") for line in file)
        return int(found["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def refuse_size(path: Path | str, name: str, shape: Sequence[int], itemsize: int = 1) -> None:
    """Refuse to read an array whose declared size does not fit into memory.

    A file of a few bytes can declare petabytes of zeros, compressed or not stored at all.

    Parameters
    ----------
    path, name
        The file, and the array or other part of it, for the message.
    shape
        Number of elements along each axis.
    itemsize
        Bytes per element.

    Raises
    ------
    RepbiasError
        If it is larger than the free memory.
    """
    size, free = prod(map(int, shape)) * int(itemsize), available_memory()
    if size > free:
        raise RepbiasError(
            f"{path}: {name} would take {size / 1e9:.4g} GB (shape "
            f"{' x '.join(map(str, shape)) or 1}), but {free / 1e9:.3g} GB of memory are free"
        )


def read_metadata(path: Path) -> dict[str, Any]:
    """Return metadata in JSON; values may be of any type.

    Raises
    ------
    RepbiasError
        If the file is no mapping in JSON, or does not fit into memory.
    """
    with readable(path, "metadata in JSON"):
        refuse_size(path, "the file", (path.stat().st_size,))
        found = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(found, dict):
            raise RepbiasError(f"{path}: expected a mapping in JSON, found {type(found).__name__}")
    return found


def refuse_crash(path: Path | str, what: str, names: tuple[str, ...] = ()) -> None:
    """Refuse a file that crashes its library or makes it read for ever.

    Damaged HDF5 and MATLAB files can do either to the whole process. So another process
    (:mod:`repbias.io.probe`) reads the file first: of HDF5 everything but the plain data, of MATLAB
    files up to v7 the variables that will be read.

    Parameters
    ----------
    path
        The file.
    what
        "hdf5" or "matlab".
    names
        The variables of a MATLAB file that will be read; all if none are named.

    Raises
    ------
    RepbiasError
        If the other process crashed, or exceeded its memory or time.
    """
    status = Path(path).stat()
    problem = _probe(str(path), what, names, (status.st_size, status.st_mtime_ns, status.st_ino))
    if problem:
        raise RepbiasError(f"{path}: {problem}")


@lru_cache(maxsize=64)
def _probe(path: str, what: str, names: tuple[str, ...], state: tuple[int, ...]) -> str:
    # The other process may have been started in another folder.
    whole = str(Path(path).absolute())
    returncode = _ask(what, whole, names, available_memory(), state[0])
    if returncode == probe.TOO_LARGE:
        return "does not fit into memory"
    if returncode == -signal.SIGXCPU:
        return "damaged, or very large: its library took too long to read it"
    if returncode:
        return f"damaged: its library crashes or does not terminate (exit {returncode})"
    return ""


def _ask(*question: object) -> int:
    """Return the exit code of the process that reads a file, or of the one that starts it."""
    for _ in range(2):  # that one may have been killed since it answered last
        server, asking = _server(os.getpid(), probe.__file__)
        answer = ""
        try:
            with asking, suppress(BrokenPipeError):
                assert server.stdin and server.stdout
                print(json.dumps(question), file=server.stdin, flush=True)
                answer = server.stdout.readline()
        finally:
            if not answer:  # it ended, or we were interrupted, and its answer is still to come
                _server.cache_clear()
                server.kill()
        if answer:
            return int(answer)
    return server.wait() or 1  # that it ended well is no answer


@lru_cache(maxsize=1)
def _server(process: int, script: str) -> tuple[subprocess.Popen[str], Lock]:
    """Start the process that reads files before this one; it ends with the last that could ask."""
    server = subprocess.Popen(
        # -P: modules beside the script must not shadow those of the standard library.
        [sys.executable, "-P", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return server, Lock()


@contextmanager
def open_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """Open an untrusted HDF5 file for reading.

    Raises
    ------
    RepbiasError
        If it crashes the HDF5 library, or parts of it are in other files.
    """
    import h5py

    refuse_crash(path, "hdf5")
    with h5py.File(path, "r") as file:
        refuse_external_parts(path, file)
        yield file


def refuse_external_parts(path: Path | str, file: h5py.File) -> None:
    """Refuse an HDF5 file of which parts are in other files: they could be any of the user's.

    Soft links, which NWB uses, stay within the file.

    Raises
    ------
    RepbiasError
        If it has external links, or data that are stored in other files.
    """
    import h5py

    internal = (h5py.HardLink, h5py.SoftLink)
    # A visit ends with the first value that is returned; exceptions would get lost in HDF5.
    link = file.visititems_links(lambda name, x: None if isinstance(x, internal) else name)
    if link is not None:
        raise RepbiasError(f"{path}: {_text(link)!r} is a link to another file")
    dataset = file.visititems(
        lambda _, x: x if isinstance(x, h5py.Dataset) and _is_external(x) else None
    )
    if dataset is not None:
        refuse_external_data(path, dataset)


def refuse_external_data(path: Path | str, dataset: h5py.Dataset) -> None:
    """Refuse a dataset whose data are stored in other files (external or virtual)."""
    if _is_external(dataset):
        name = _text(dataset.name or "a dataset").strip("/")
        raise RepbiasError(f"{path}: {name!r} keeps its data in other files")


def _is_external(dataset: h5py.Dataset) -> bool:
    return bool(dataset.external) or dataset.is_virtual


def refuse_links(path: Path | str, file: h5py.File) -> None:
    """Refuse an HDF5 file that a library will read as a whole if it has links or is too large.

    Raises
    ------
    RepbiasError
        If it has soft links, or the data that it declares do not fit into memory.
    """
    import h5py

    link = file.visititems_links(lambda name, x: None if isinstance(x, h5py.HardLink) else name)
    if link is not None:
        raise RepbiasError(f"{path}: {_text(link)!r} is a link; links are not followed")
    sizes = [0]
    file.visititems(lambda _, x: sizes.append(x.nbytes) if isinstance(x, h5py.Dataset) else None)
    refuse_size(path, "the file", (sum(sizes),))


def member(path: Path | str, group: h5py.Group, name: str) -> h5py.Dataset | h5py.Group:
    """Return a member of an HDF5 group, by a path with slashes, without following links.

    Raises
    ------
    RepbiasError
        If it does not exist, or it or a group on the path is a link.
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
