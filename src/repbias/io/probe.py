"""Read everything in a file that a C library might crash on, in a process that may crash.

This runs as a script and imports nothing else of the package, so that it starts fast. Exceptions
of libraries do not matter here: the reader will meet them again, and report them.
"""

import contextlib
import json
import sys
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

#: Exit code if the file needs more memory than is allowed.
TOO_LARGE = 3
#: CPU time in seconds after which reading counts as endless, and bytes that extend it by a second.
SECONDS, BYTES_PER_SECOND = 30, 1_000_000


def touch_hdf5(path: str, names: list[str]) -> None:
    """Read attributes, chunk indices and data of variable length; follow references, not links."""
    import h5py

    def touch(name: str, item: "h5py.HLObject") -> None:
        for key in attempt(lambda: list(item.attrs)) or ():
            attempt(lambda key: item.attrs[key], key)
        if isinstance(item, h5py.Dataset):
            attempt(lambda: data(item))

    def data(item: "h5py.Dataset") -> None:
        if item.shape is None or item.external or item.is_virtual:
            return
        if item.chunks:
            item.id.get_num_chunks()
        if item.dtype.kind == "O":
            values = item[()]
            if h5py.check_ref_dtype(item.dtype):
                for reference in values.ravel() if item.shape else [values]:
                    attempt(lambda r: item.file[r].id, reference)
        elif item.size:
            item[(-1,) * item.ndim]

    with h5py.File(path, "r") as file:
        touch("/", file)
        file.visititems(touch)


def touch_matlab(path: str, names: list[str]) -> None:
    """Read some variables of a MATLAB file up to v7, or all."""
    import scipy.io

    # SciPy allocates declared sizes before reading. An element has at least one byte, which
    # deflate compresses at most 1032-fold.
    max_elements = 1032 * Path(path).stat().st_size
    # SciPy cannot list files that hold objects.
    for _, shape, kind in attempt(scipy.io.whosmat, path) or ():
        if kind != "sparse" and prod(map(int, shape)) > max_elements:
            raise MemoryError
    scipy.io.loadmat(path, variable_names=names or None)


def attempt(call: Callable[..., Any], *arguments: object) -> Any:
    """Return the result of a call; None if it fails for any reason but memory."""
    try:
        return call(*arguments)
    except MemoryError:
        raise
    except Exception:
        return None


def limit(memory: int, size: int) -> None:
    """Limit the CPU time and memory of this process, where the system supports it."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        seconds = SECONDS + size // BYTES_PER_SECOND
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # SIGXCPU, then SIGKILL
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Libraries reserve address space that they never use.
        bytes_ = memory + 2**32
        resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_))


if __name__ == "__main__":
    what, path, memory, size = sys.argv[1:]
    limit(int(memory), int(size))
    try:
        {"hdf5": touch_hdf5, "matlab": touch_matlab}[what](path, json.load(sys.stdin))
    except MemoryError:
        sys.exit(TOO_LARGE)
    except Exception:
        sys.exit(0)
