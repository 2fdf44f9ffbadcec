"""The files that a recording consists of."""

from __future__ import annotations

import re
from pathlib import Path

#: Recordings that are folders.
FOLDERS = (".mff", ".ds")
_NAMED = re.compile(r"^\s*(?:DataFile|MarkerFile)\s*[=:]\s*(.+?)\s*$", re.MULTILINE | re.IGNORECASE)


def parts_of(path: Path) -> list[Path]:
    """Return a file and those that belong to it; none for a folder that is no recording.

    A header of BrainVision names files of signals and markers, an EEGLAB file may have its signals
    beside it, and some recordings are folders.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        inside = path.rglob("*") if suffix in FOLDERS else ()
        return sorted(p for p in inside if p.is_file())
    others: list[Path] = []
    if suffix == ".vhdr" and path.is_file():
        header = path.read_bytes().decode("utf-8", "replace")
        others = [path.with_name(Path(name).name) for name in _NAMED.findall(header)]
        others.append(path.with_suffix(".vmrk"))  # MNE's choice where the named file is missing
    elif suffix == ".set":
        others = [path.with_suffix(".fdt")]
    return [path, *dict.fromkeys(p for p in others if p.is_file())]
