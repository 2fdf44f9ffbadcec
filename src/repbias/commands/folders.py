"""Describe a folder of files of any origin: what is there by kind, and what each can be."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from repbias.base.spec import RepbiasError
from repbias.commands import formats
from repbias.commands.description import Description, count, some
from repbias.io.arrays import ARRAY_SUFFIXES
from repbias.io.text_tables import SEPARATORS
from repbias.io.unread import INSTEAD
from repbias.stimuli.images import IMAGE_SUFFIXES

#: Files that are looked at.
MAX_FILES = 20_000


@dataclass(frozen=True)
class Kind:
    """A kind of files in a folder.

    Attributes
    ----------
    can_be : what such a file can be
    endings : of the names
    rank : kinds of a higher rank are likelier to be the recording; 0 if they are none
    """

    can_be: str
    endings: tuple[str, ...]
    rank: int


IMAGES = Kind("stimuli", IMAGE_SUFFIXES, 0)
TABLES = Kind(
    "tables of stimuli, trials or events, lists of ids, or recordings", tuple(SEPARATORS), 1
)
ARRAYS = Kind("recordings, RDMs, or stacks of images", (*ARRAY_SUFFIXES, ".json"), 2)
NOT_READ = Kind("not read; 'repbias inspect' says what to save instead", tuple(INSTEAD), 0)


def describe_files(
    path: Path, describe: Callable[[Path], Description], endings: Mapping[str, object]
) -> Description:
    """Describe a folder by its files; the block is for the likeliest recording among them.

    Parameters
    ----------
    path
        The folder.
    describe
        Describes a file.
    endings
        Those of files that it describes.

    Raises
    ------
    RepbiasError
        If no file in it can be read.
    """
    formats_ = [e for e in endings if not any(e in k.endings for k in (TABLES, ARRAYS))]
    archives = tuple(e for e in formats_ if e.startswith((".zip", ".t")))
    recordings = tuple(e for e in formats_ if e not in archives)
    kinds = (
        IMAGES,
        Kind("archives of stimuli", archives, 0),
        Kind("recordings", recordings, 3),
        ARRAYS,
        TABLES,
        NOT_READ,
    )
    files = list(islice(_files(path), MAX_FILES))
    found = {kind: [f for f in files if f.name.lower().endswith(kind.endings)] for kind in kinds}
    readable = {kind: some_ for kind, some_ in found.items() if some_ and kind is not NOT_READ}
    if not readable:
        endings_found = Counter(file.suffix or "none" for file in files)
        listed = some((f"{n} {ending}" for ending, n in endings_found.most_common()), 8)
        raise RepbiasError(
            f"{path}: no images, and no other file that repbias reads; endings of the files: "
            f"{listed or 'there are no files'}"
        )
    ranked = sorted(readable, key=lambda kind: kind.rank)
    if ranked[-1].rank < ARRAYS.rank and IMAGES in readable:
        return _describe_images(path, readable)
    result = _of_likeliest(path, readable[ranked[-1]], describe)
    unknown = len(files) - len({f for some_ in found.values() for f in some_})
    lines = [_line(kind, some_) for kind, some_ in found.items() if some_]
    lines += [f"{count(unknown, 'other file')}, which repbias does not read"] * bool(unknown)
    lines += [f"Only the first {MAX_FILES} files were looked at."] * (len(files) == MAX_FILES)
    result.lines = lines + result.lines
    if IMAGES in readable and result.section == "recordings" and result.stimuli is None:
        folder = os.path.commonpath([file.parent for file in readable[IMAGES]])
        result.stimuli = Description([], {"path": folder}, section="images")
        result.comments["stimuli"] = "a guess: the images in the same folder"
    return result


def _files(path: Path) -> Iterator[Path]:
    """Yield all files, folder by folder; those that begin with a dot are left out."""
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _line(kind: Kind, files: list[Path]) -> str:
    """Say how many files of a kind there are, and how to look at the largest."""
    largest = max(files, key=lambda file: file.stat().st_size)
    endings = Counter(next(e for e in kind.endings if f.name.lower().endswith(e)) for f in files)
    listed = ", ".join(f"{n} {ending}" for ending, n in endings.most_common())
    size = f"{largest.stat().st_size / 1e6:.3g} MB"
    command = f"repbias inspect {shlex.quote(str(largest))}"
    return f"{listed}: {kind.can_be}; the largest ({size}): {command}"


def _describe_images(path: Path, readable: Mapping[Kind, list[Path]]) -> Description:
    """Describe a folder of images, and say what lies beside them."""
    found = formats.describe_images(path, None)
    others = [(kind, files) for kind, files in readable.items() if kind is not IMAGES]
    found.lines += [_line(kind, files) for kind, files in others]
    return found


def _of_likeliest(
    path: Path, files: list[Path], describe: Callable[[Path], Description]
) -> Description:
    """Describe the largest file; if it cannot be read, say why, without a block."""
    largest = max(files, key=lambda file: file.stat().st_size)
    guess = " (a guess: the largest of its kind)" if len(files) > 1 else ""
    name = largest.relative_to(path)
    try:
        found = describe(largest)
    except RepbiasError as error:
        return Description([f"{name} cannot be described: {error}"])
    found.lines = [f"The likeliest recording is {name}{guess}:", *(f"  {x}" for x in found.lines)]
    return found
