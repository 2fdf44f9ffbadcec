"""Folders of many subjects, sessions and runs: the template of their paths, and what fits it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from repbias.base.order import naturally

#: Folders are looked for so many levels below one, and so many entries of folders are looked at.
DEPTH, MOST_ENTRIES = 4, 100_000
#: What the word before a number says that is counted.
WORDS = {
    "subject": ("sub", "subj", "subject", "participant", "s", "p", "vp", "m", "mouse", "monkey"),
    "session": ("ses", "sess", "session", "day", "visit", "date"),
    "run": ("run", "r", "scan", "block"),
}
#: An entity of BIDS, as in `run-1.feat`.
_ENTITY = re.compile(r"(sub|ses|run)-[^.]+")
_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}")


class Template(NamedTuple):
    """What paths have in common.

    Attributes
    ----------
    text : the template; a path without placeholders if there is one path
    fits, others : the paths that it matches, and those that it does not
    values : values of the placeholders, of every path that fits
    guessed : placeholders that names do not tell
    """

    text: str
    fits: list[str]
    others: list[str]
    values: dict[str, list[str]]
    guessed: list[str]


def folders_below(root: Path) -> tuple[list[Path], bool]:
    """Return the folders up to some levels below one, level by level, and whether any is missing.

    Each level is in natural order. Those that begin with a dot, or may not be read, are left out.
    """
    found: list[Path] = []
    level, n = [root], 0
    for _ in range(DEPTH):
        below: list[str] = []
        for folder in level:
            with os.scandir(folder) as entries:
                for entry in entries:
                    n += 1
                    if n > MOST_ENTRIES:
                        return [*found, *map(Path, naturally(below))], True
                    is_read = not entry.name.startswith(".") and entry.is_dir()
                    if is_read and os.access(entry.path, os.R_OK | os.X_OK):
                        below.append(entry.path)
        level = [Path(name) for name in naturally(below)]
        found += level
    return found, False


def template_of(paths: Sequence[str]) -> Template:
    """Return a template of relative paths, with a placeholder where names differ.

    Names are compared in parts, as `/` and `_` separate them; those of most paths count. Parts are
    called by the entities of BIDS and by :data:`WORDS`, and others in the order of subject, session
    and run.

    Examples
    --------
    >>> template_of(["S1/run1.feat", "S1/run2.feat", "S2/run1.feat"]).text
    'S{subject}/run{run}.feat'
    >>> template_of(["sub-01/monday", "sub-02/monday", "sub-02/tuesday"]).text
    'sub-{subject}/{session}'
    """
    split = {path: [part.split("_") for part in path.split("/")] for path in paths}
    shapes = {path: tuple(map(len, parts)) for path, parts in split.items()}
    shape, _ = Counter(shapes.values()).most_common(1)[0]
    rows = {path: [*chain(*split[path])] for path in paths if shapes[path] == shape}
    for i in range(sum(shape)):
        usual = _usual([names[i] for names in rows.values()])
        rows = {path: names for path, names in rows.items() if usual in ("", _form(names[i]))}
    fits = [*rows]
    parts = [_Part.of(values) for values in zip(*rows.values(), strict=True)]
    guessed = _name_parts(parts)
    values = {part.name: part.values for part in parts if part.name}
    texts = iter(part.text for part in parts)
    text = "/".join("_".join(next(texts) for _ in range(n)) for n in shape)
    keys = list(zip(*values.values(), strict=True)) if values else [()] * len(fits)
    if any(part.name is None for part in parts) or len(set(keys)) < len(fits):
        fits, text, values = fits[:1], fits[0], {}  # no template tells them apart
    return Template(text, fits, [path for path in paths if path not in fits], values, guessed)


def _form(name: str) -> str:
    """Return a name with a sign for its number or what an entity of BIDS says."""
    entity = _ENTITY.sub(lambda match: f"{match[1]}-#", name)
    return entity if entity != name else re.sub(r"\d+", "#", name)


def form_of(path: str) -> str:
    """Return a path with a sign for every number, and for what an entity of BIDS says.

    Examples
    --------
    >>> form_of("sub-anna/run02.feat/stats")
    'sub-#/run#.feat/stats'
    """
    return "/".join("_".join(map(_form, part.split("_"))) for part in path.split("/"))


def _usual(names: Sequence[str]) -> str:
    """Return the form that more names have than any other, if it has a number or an entity."""
    (form, n), *others = Counter(map(_form, names)).most_common(2)
    return form if "#" in form and n > max((n for _, n in others), default=0) else ""


class _Part:
    """A part of paths: what it begins and ends with, and the values between.

    Attributes
    ----------
    name : of the placeholder; empty if all values are the same, None if there is no name for it
    """

    def __init__(self, before: str, values: list[str], after: str, name: str | None) -> None:
        self.before, self.values, self.after, self.name = before, values, after, name

    @classmethod
    def of(cls, names: Sequence[str]) -> _Part:
        entities = {match[1] for name in names if (match := _ENTITY.match(name))}
        alike = len(entities) == 1 and all(map(_ENTITY.match, names))
        after = re.sub(r"^[^.]*", "", shared_end(names))
        before = f"{next(iter(entities))}-" if alike else _before(names)
        before = "" if all(map(_DATE.fullmatch, names)) else before
        if not alike and len(set(names)) == 1:
            return cls(names[0], [], "", "")
        values = [name[len(before) : len(name) - len(after)] for name in names]
        return cls(before, values, after, None)

    @property
    def text(self) -> str:
        """The part of the template."""
        return f"{self.before}{{{self.name}}}{self.after}" if self.values else self.before

    def called(self) -> str | None:
        """Return what the word before the values says that they are."""
        word = re.split(r"[^a-z]", self.before.lower().rstrip("-. "))[-1]
        named = (name for name, words in WORDS.items() if word in words)
        dates = all(map(_DATE.fullmatch, self.values))
        return next(named, "session" if dates else None)


def _before(names: Sequence[str]) -> str:
    """Return what all names begin with, up to a number or a separator."""
    start = shared_start(names).rstrip("0123456789")
    if any(name[len(start) : len(start) + 1].isalpha() or name == start for name in names):
        return re.sub(r"[^-. ]*$", "", start)  # anna and anton share letters by chance
    return start


def _name_parts(parts: Sequence[_Part]) -> list[str]:
    """Name the parts that differ; return the names that are guesses."""
    unnamed = [part for part in parts if part.name is None]
    taken: dict[str, list[str]] = {}
    for part in unnamed:
        name = part.called()
        if name is not None and taken.setdefault(name, part.values) == part.values:
            part.name = name
    guessed = []
    for part in unnamed:
        if part.name is None:
            known = (name for name, values in taken.items() if values == part.values)
            free = (name for name in WORDS if name not in taken)
            part.name = next(known, None) or next(free, None)
            if part.name is not None and part.name not in taken:
                taken[part.name] = part.values
                guessed.append(part.name)
    return guessed


def guess_of(template: Template) -> str:
    """Return a comment on the placeholders that names do not tell."""
    others = " or ".join(f"{{{name}}}" for name in WORDS if name not in template.values)
    instead = f", it may be {others}" if others else ""
    return "".join(f"; {{{name}}} is a guess{instead}" for name in template.guessed)


def shared_start(names: Sequence[str]) -> str:
    """Return the characters that all names begin with."""
    alike = [len(set(letters)) == 1 for letters in zip(*names, strict=False)]
    return names[0][: [*alike, False].index(False)]


def shared_end(names: Sequence[str]) -> str:
    """Return the characters that all names end with."""
    return shared_start([name[::-1] for name in names])[::-1]
