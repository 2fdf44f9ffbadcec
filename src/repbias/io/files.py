"""Files that are whole or not there."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from repbias.base.spec import RepbiasError


class StoreError(RepbiasError):
    """A file of ours that is truncated, of another format or version, or incomplete."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` only if the block succeeds.

    Raises
    ------
    RepbiasError
        If the disk is full, or the user's share of it.
    """
    path = Path(path)
    # The suffix stays last: some writers choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        if is_full(error):
            raise RepbiasError(f"{path}: not written: {error.strerror}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def is_full(error: OSError) -> bool:
    """Say whether an error means that a disk is full, or the user's share of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of `path` from runs that were killed."""
    ours = re.compile(rf"\.{re.escape(path.stem)}\.\d+\.tmp{re.escape(path.suffix)}")
    for leftover in path.parent.iterdir():
        if ours.fullmatch(leftover.name):
            leftover.unlink(missing_ok=True)
