"""Touch all of a file that a C library reads, in a process of its own that may crash.

Run as a script, so that it starts fast: it imports nothing else of the package. What libraries
raise is no matter here; the reader meets it again, and says it in words.
"""

import contextlib
import sys
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

#: Exit code for a file that needs more memory than it may have.
TOO_LARGE = 3
#: Seconds of computing before a file counts as one that never ends, and bytes a second beyond.
SECONDS, BYTES_PER_SECOND = 30, 1_000_000


def touch_hdf5(path: str) -> None:
    """Read all attributes and indices, and data of variable length; follow references, no links."""
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


def touch_matlab(path: str) -> None:
    """Read a MATLAB file up to v7."""
    import scipy.io

    # An element takes a byte at least, compressed a thousandth; SciPy makes room before it looks.
    most = 1032 * Path(path).stat().st_size
    for _, shape, kind in scipy.io.whosmat(path):
        if kind != "sparse" and prod(map(int, shape)) > most:
            raise MemoryError
    scipy.io.loadmat(path)


def attempt(call: Callable[..., Any], *arguments: object) -> Any:
    """Call and return; None where the call fails for another reason than memory."""
    try:
        return call(*arguments)
    except MemoryError:
        raise
    except Exception:
        return None


def limit(memory: int, size: int) -> None:
    """Limit what this process may take, where the system can."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        seconds = SECONDS + size // BYTES_PER_SECOND
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # SIGXCPU, then SIGKILL
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Libraries reserve some that they never use.
        bytes_ = memory + 2**32
        resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_))


if __name__ == "__main__":
    what, path, memory, size = sys.argv[1:]
    limit(int(memory), int(size))
    try:
        {"hdf5": touch_hdf5, "matlab": touch_matlab}[what](path)
    except MemoryError:
        sys.exit(TOO_LARGE)
    except Exception:
        sys.exit(0)
