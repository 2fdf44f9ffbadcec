"""What a command found, as one JSON document on standard output: ``--json``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from math import isfinite
from pathlib import Path
from typing import Any


@contextmanager
def only_a_document() -> Iterator[None]:
    """Keep standard output free for a document.

    What the block prints for people is dropped; what other processes print goes to standard error.
    """
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def write(content: Mapping[str, Any]) -> None:
    """Print a document; in ASCII, as names from files may hold what a terminal would obey."""
    json.dump(_plain(content), sys.stdout, indent=2, allow_nan=False)
    print()


def _plain(value: Any) -> Any:
    """Return what JSON can say: no number that is not finite, no array, no path."""
    if isinstance(value, Mapping):
        return {str(key): _plain(of_key) for key, of_key in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    return _plain(value.tolist()) if hasattr(value, "tolist") else str(value)
