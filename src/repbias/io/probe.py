"""Read everything in a file that a C library might crash on, in a process that may crash.

This runs as a script and imports nothing else of the package, so that it starts fast. It imports
libraries once, and then starts a process for each file. Exceptions of libraries do not matter here:
the reader will meet them again, and report them.
"""

import contextlib
import importlib
import json
import os
import signal
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


def read(what: str, path: str, names: list[str], memory: int, size: int) -> int:
    """Read a file within limits; return the exit code of the process that has done so."""
    limit(memory, size)
    try:
        {"hdf5": touch_hdf5, "matlab": touch_matlab}[what](path, names)
    except MemoryError:
        return TOO_LARGE
    except Exception:
        return 0
    return 0


def serve() -> None:
    """Read each file that a line of the standard input names in a process of its own.

    The answer to a line is the exit code of that process, negative for a signal.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides whether to go on
    answers = os.dup(sys.stdout.fileno())
    with Path(os.devnull).open("w") as null:  # for what libraries print
        os.dup2(null.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        what, *question = json.loads(line)
        attempt(importlib.import_module, {"hdf5": "h5py", "matlab": "scipy.io"}[what])
        child = os.fork()
        if not child:
            code = 1
            try:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                code = read(what, *question)
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    serve()
