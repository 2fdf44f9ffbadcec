"""A file's content in words, and the entry of the configuration that reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from repbias.base.spec import printable

#: Marks what only the user knows.
FILL_IN = "FILL_IN"
#: The comment behind the key `stimuli`.
STIMULI = "what was shown: the name of an entry of images:"


@dataclass
class Description:
    """What is in a file, and how to read it.

    Attributes
    ----------
    lines : what to tell the user
    entry : keys of the entry that reads the file; empty if nothing does
    comments : comments that follow the keys
    section : the section of the configuration that the entry belongs to
    stimuli : the stimuli that are in the same file or folder, for the section `images`
    """

    lines: list[str]
    entry: dict[str, Any] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    section: Literal["recordings", "images", "networks"] = "recordings"
    stimuli: Description | None = None

    def put(self, key: str, value: Any, comment: str = "") -> None:
        """Add a key to the entry."""
        self.entry[key] = value
        if comment:
            # Data may hold line breaks; other white space belongs to ids.
            self.comments[key] = printable(" ".join(comment.splitlines()))

    def entries(self, name: str) -> Iterator[tuple[str, str, dict[str, Any], dict[str, str]]]:
        """Yield section, name, entry and comments of what reads the file; stimuli come first."""
        entry = self.entry
        if self.stimuli is not None:
            yield from self.stimuli.entries(f"{name}_images")
            entry = {**entry, "stimuli": f"{name}_images"}
        yield self.section, name, entry, self.comments

    def block(self, name: str) -> str:
        """Return the entries as YAML, under a name in their sections."""
        lines = []
        for section, of_entry, entry, comments in self.entries(name):
            lines += [f"{section}:", f"  {flow(of_entry)}:"]
            for key, value in entry.items():
                comment = f"  # {comments[key]}" if key in comments else ""
                lines.append(f"    {key}: {flow(value)}{comment}")
        return "\n".join(lines) + "\n"


def name_of(path: Path) -> str:
    """Return a name for an entry, made from a file name.

    Examples
    --------
    >>> name_of(Path("data/sub 01 (V4).nii.gz"))
    'sub_01_V4'
    """
    stem = path.name.split(".")[0] or path.name
    return re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_")[:80] or "data"


def some(values: Iterable[Any], n: int = 4) -> str:
    """List the first n values.

    Examples
    --------
    >>> some(["a", "b", "c"], 2)
    'a, b, ...'
    """
    values = list(values)
    return ", ".join(map(str, values[:n])) + (", ..." if len(values) > n else "")


def count(n: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> count(1, "unit"), count(2, "unit")
    ('1 unit', '2 units')
    """
    return f"{n} {noun}" + ("" if n == 1 else "s")


class _Dumper(yaml.SafeDumper):
    """Quotes text such as 1e5, too, which YAML 1.2 reads as a number."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), [*"-+0123456789"]
)


def flow(value: Any) -> str:
    """Return a value or a key as YAML on one line; text is quoted where it would be a number.

    Examples
    --------
    >>> flow("2024_03_02"), flow("1e5"), flow("V4")
    ("'2024_03_02'", "'1e5'", 'V4')
    """
    layout: dict[str, Any] = {"default_flow_style": True, "sort_keys": False, "width": float("inf")}
    text = yaml.dump(value, Dumper=_Dumper, allow_unicode=True, **layout)
    if printable(text) != text:
        text = yaml.dump(value, Dumper=_Dumper, **layout)
    return text.removesuffix("...\n").strip()


def unfilled(content: Any, path: str = "") -> Iterator[str]:
    """Yield the paths whose value is still FILL_IN."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from unfilled(value, f"{path}.{key}".lstrip("."))
    elif isinstance(content, list):
        if any(item == FILL_IN for item in content):
            yield path
    elif content == FILL_IN:
        yield path
