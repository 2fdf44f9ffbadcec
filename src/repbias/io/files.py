"""Atomic writing: a file exists completely or not at all."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from repbias.base.spec import RepbiasError


class StoreError(RepbiasError):
    """One of our own files that is truncated, incomplete, or of another format or version."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` if the block succeeds.

    Raises
    ------
    RepbiasError
        If the disk or the user's quota is full.
    """
    path = Path(path)
    # The suffix stays at the end, as some writers choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RepbiasError(f"{path}: not written: {error.strerror}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of `path` that killed runs left."""
    temporary = re.compile(rf"\.{re.escape(path.stem)}\.\d+\.tmp{re.escape(path.suffix)}")
    for leftover in path.parent.iterdir():
        if temporary.fullmatch(leftover.name):
            leftover.unlink(missing_ok=True)
