"""Identities of stimuli: which ids of two sources name the same stimulus.

Ids join recordings, images, tables and lists; position never does. They are compared as they are.
Only where that leaves some over, differences of form (:data:`FORMS`) are ignored, each only if it
makes no difference between any two ids of either side; what was ignored is said. An id that could
be more than one is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from repbias.base.spec import RepbiasError, composed, nearest, shown

UNICODE, SPACE, ENDING = "Unicode form", "white space", "file ending"
FOLDER, CASE, NUMBER = "folder", "case", "form of number"
#: The differences that may be ignored. File systems, presentation software, spreadsheets and MATLAB
#: make each of them. Case is one: file systems ignore it, and where it means something (letters,
#: phonemes), ids that differ in nothing else keep it from being ignored.
FORMS = (UNICODE, SPACE, ENDING, FOLDER, CASE, NUMBER)
ALL = frozenset(FORMS)
#: The endings of files that stimuli are shown from, or that features of them are saved in. Others
#: are part of a name, such as that of gabor_0.5.
ENDINGS = {
    "png", "jpg", "jpeg", "bmp", "gif", "tif", "tiff", "webp", "ppm", "pgm", "svg", "exr", "hdr",
    "avi", "mp4", "m4v", "mov", "mkv", "webm", "mpg", "mpeg", "wmv", "wav", "mp3", "ogg", "flac",
    "m4a", "aif", "aiff", "txt", "npy", "npz", "mat", "pt",
}  # fmt: skip
#: Only so many of the last folders of a path are compared.
MAX_FOLDERS = 20

#: White space as Python has it, and characters of no width, which copied text may have.
_SPACES = (
    "".join(c for c in map(chr, range(0x3001)) if c.isspace()) + "\u200b\u200c\u200d\u2060\ufeff"
)
_SEPARATOR = re.compile(r"[/\\]")
_NUMBER = re.compile(r"([-+]?)([0-9]+)(?:\.([0-9]*))?")


def as_ids(values: Any) -> np.ndarray:
    """Return ids as text: whole numbers without a decimal point, bytes decoded.

    Examples
    --------
    >>> as_ids([3.0, 12.0]).tolist(), as_ids([b"cat ", "dog"]).tolist()
    (['3', '12'], ['cat', 'dog'])
    """

    def text(value: Any) -> str:
        if isinstance(value, np.generic):  # in an array of objects
            value = value.item()
        if isinstance(value, bytes):
            return value.decode("utf-8")
        # Value by value: a missing id makes floats of integers, but must not change their text.
        return str(int(value) if isinstance(value, float) and value.is_integer() else value)

    return np.array([text(value).strip() for value in np.asarray(values).tolist()], dtype=str)


def refuse_duplicate_ids(ids: np.ndarray, where: str) -> None:
    """Refuse ids of which one occurs twice."""
    unique, counts = np.unique(ids, return_counts=True)
    if counts.max(initial=1) > 1:
        raise RepbiasError(f"{where}: the id {shown(unique[counts.argmax()])} occurs twice")


@dataclass(frozen=True)
class Join:
    """How the ids of a source were joined with those of a set.

    Attributes
    ----------
    ids : the ids of the source, each once, sorted
    known : the ids of the set, sorted
    pairs : ids of the source, and what the set calls them; of those that are in the set
    ignored : in which forms they differ; of those that do
    unclear : ids of the source that could be one or several of the set, and those
    """

    ids: list[str]
    known: list[str]
    pairs: dict[str, str]
    ignored: dict[str, tuple[str, ...]]
    unclear: dict[str, list[str]]

    @property
    def absent(self) -> list[str]:
        """The ids of the source that nothing in the set is like."""
        return [name for name in self.ids if name not in self.pairs and name not in self.unclear]

    def translated(self, ids: Iterable[str]) -> np.ndarray:
        """Return ids as the set has them; those that are not in it as they are."""
        return np.array([self.pairs.get(name, name) for name in map(str, ids)], dtype=str)

    @property
    def said(self) -> str:
        """What was ignored, of how many ids, with an example; empty if ids are equal."""
        counts = Counter(self.ignored.values())
        example = {forms: name for name, forms in reversed(self.ignored.items())}
        return ", ".join(
            f"{n} of {len(self.ids)} ids but for {' and '.join(forms)} "
            f"({shown(example[forms])} is {shown(self.pairs[example[forms]])})"
            for forms, n in counts.most_common()
        )

    def refuse_unclear(self, where: str, of: str) -> None:
        """Refuse ids that could be one or another; `of` names the set."""
        for name, options in self.unclear.items():
            raise RepbiasError(
                f"{where}: {len(self.unclear)} of {len(self.ids)} ids could be those of {of}, but "
                f"it is not clear which: {self._why_unclear(name, options)}; write them as {of} "
                "does"
            )

    def _why_unclear(self, name: str, options: Sequence[str]) -> str:
        rivals = [i for i in self.ids if _same(i, options[0], ALL)]
        if len(options) > 1:
            return f"{shown(name)} could be {' or '.join(map(shown, options[:5]))}"
        if len(rivals) > 1:
            return f"{' and '.join(map(shown, rivals[:5]))} could each be {shown(options[0])}"
        ignored = _differing(name, options[0])
        alike: list[str] = []
        for side in (self.known, self.ids):
            groups: dict[Any, list[str]] = {}
            for other in side:
                groups.setdefault(_parts(other, frozenset(ignored))[0], []).append(other)
            alike = alike or next((g[:2] for g in groups.values() if len(g) > 1), [])
        return (
            f"{shown(name)} could be {shown(options[0])}, but if {' and '.join(ignored)} did not "
            f"count, {' and '.join(map(shown, alike))} would be the same"
        )

    def missing(self, of: str) -> str:
        """Say which ids are not in the set, beside the nearest that are, and how many match."""
        names = listed(self.absent, self.known)
        example = "" if "(nearest" in names else f" (the set has ids like {shown(self.known[0])})"
        match = f"{len(self.pairs)} match" + (f" ({self.said})" if self.said else "")
        return (
            f"{len(self.absent)} of {len(self.ids)} ids are not in {of}: {names}{example}; {match}"
        )


def listed(names: Sequence[str], options: Sequence[str]) -> str:
    """List the first names, each with the option that it is most like."""
    by_last = {_parts(option, ALL)[0][-1]: option for option in reversed(options)}

    def with_nearest(name: str) -> str:
        close = get_close_matches(_parts(name, ALL)[0][-1][:300], by_last, n=1)
        return shown(name) + (f" (nearest: {shown(by_last[close[0]])})" if close else "")

    return ", ".join(map(with_nearest, names[:5])) + (", ..." if len(names) > 5 else "")


def join(ids: Iterable[str], known: Iterable[str]) -> Join:
    """Join ids with those of a set, one to one.

    Parameters
    ----------
    ids
        Ids of a source; may repeat.
    known
        Ids of the set, all different.

    Examples
    --------
    >>> found = join(["faces/01.png", "faces/2.png", "cow"], ["01", "02", "03"])
    >>> found.pairs, found.absent
    ({'faces/01.png': '01', 'faces/2.png': '02'}, ['cow'])
    >>> join(["1"], ["01", "001"]).unclear
    {'1': ['001', '01']}
    """
    ids, known = sorted(set(map(str, ids))), sorted(set(map(str, known)))
    exact = set(known)
    if exact.issuperset(ids):
        return Join(ids, known, {name: name for name in ids}, {}, {})
    alike, back = _alike(ids, known), _alike(known, ids)
    nearest_back = cache(lambda name: _nearest(name, back[name]))
    apart = cache(lambda forms: _apart(ids, forms) and _apart(known, forms))
    pairs, ignored = {}, {}
    for name in ids:
        if name in exact:
            pairs[name] = name
            continue
        found = _nearest(name, alike[name])
        forms = () if found is None else _differing(name, found)
        if found is not None and nearest_back(found) == name and apart(forms):
            pairs[name], ignored[name] = found, forms
    unclear = {name: like for name, like in alike.items() if like and name not in pairs}
    return Join(ids, known, pairs, ignored, unclear)


def _alike(names: Sequence[str], options: Sequence[str]) -> dict[str, list[str]]:
    """Return the options that each name is the same as without any form."""
    ending_with: dict[tuple[str, ...], list[str]] = {}
    whole: dict[tuple[str, ...], list[str]] = {}
    for option in options:
        path = _parts(option, ALL)[0][-MAX_FOLDERS:]
        whole.setdefault(path, []).append(option)
        for depth in range(1, len(path) + 1):
            ending_with.setdefault(path[-depth:], []).append(option)

    def like(name: str) -> list[str]:
        path = _parts(name, ALL)[0][-MAX_FOLDERS:]
        shorter = chain.from_iterable(whole.get(path[-d:], []) for d in range(1, len(path)))
        return [o for o in (*ending_with.get(path, []), *shorter) if _same(name, o, ALL)]

    return {name: like(name) for name in names}


def excluded(names: Sequence[str], ids: Iterable[str], where: str) -> list[str]:
    """Return the ids that a setting `exclude` names; `where` is whose it is, for messages."""
    found = join(names, ids)
    found.refuse_unclear(f"{where}: exclude", "the stimuli")
    for name in found.absent:
        raise RepbiasError(
            f"{where}: exclude: no stimulus {shown(name)}; {nearest(name, found.known)}"
        )
    return [found.pairs[name] for name in names]


def _apart(names: Sequence[str], ignored: Iterable[str]) -> bool:
    """Whether no two names are the same without some forms."""
    return len({_parts(name, frozenset(ignored))[0] for name in names}) == len(names)


def _same(a: str, b: str, ignored: frozenset[str]) -> bool:
    """Whether ids are the same without some forms.

    One may lack a file ending, or folders, of the other, but none may contradict it:
    faces/01 is not houses/01, and cat.png is not cat.wav.
    """
    (parts_a, ending_a), (parts_b, ending_b) = _parts(a, ignored), _parts(b, ignored)
    n = min(len(parts_a), len(parts_b))
    return parts_a[-n:] == parts_b[-n:] and (ending_a == ending_b or not (ending_a and ending_b))


def _nearest(name: str, options: Sequence[str]) -> str | None:
    """Return the option that differs less from a name than each other, and in no form more.

    Of "01" and "a/1", neither is nearest to "1".
    """
    if len(options) < 2:
        return next(iter(options), None)
    nearest, *others = sorted(options, key=lambda option: sum(_differences(name, option)))
    least = _differences(name, nearest)
    more = (_differences(name, other) for other in others)
    clear = all(m != least and all(a <= b for a, b in zip(least, m, strict=True)) for m in more)
    return nearest if clear else None


def _differences(a: str, b: str) -> list[int]:
    """Return the forms in which two ids differ that are the same without any, as 0 or 1 for each.

    Of folders, it is the number that one id has more, plus one.
    """
    needed = ALL
    for form in FORMS:
        if _same(a, b, needed - {form}):
            needed -= {form}
    more = abs(len(_parts(a, ALL)[0]) - len(_parts(b, ALL)[0]))
    return [(1 + more if form == FOLDER else 1) * (form in needed) for form in FORMS]


def _differing(a: str, b: str) -> tuple[str, ...]:
    """Return the forms in which two ids differ that are the same without any."""
    return tuple(form for form, n in zip(FORMS, _differences(a, b), strict=True) if n)


def _parts(name: str, ignored: frozenset[str]) -> tuple[tuple[str, ...], str]:
    """Return an id without some forms: folders and name, and the file ending."""
    if UNICODE in ignored:
        name = composed(name)
    if SPACE in ignored:
        name = name.strip(_SPACES)
    stem, _, ending = name.rpartition(".")
    if ENDING in ignored and stem and ending.lower() in ENDINGS:
        name, ending = stem, ending.lower()
    else:
        ending = ""
    parts = [name]
    if FOLDER in ignored:
        parts = [part for part in _SEPARATOR.split(name) if part not in ("", ".")] or parts
    if SPACE in ignored:
        parts = [part.strip(_SPACES) for part in parts]
    if CASE in ignored:
        parts = [part.casefold() for part in parts]
    if NUMBER in ignored:
        parts = [_as_number(part) for part in parts]
    return tuple(parts), ending


def _as_number(text: str) -> str:
    """Return a number in its shortest form, other text as it is.

    Examples
    --------
    >>> [_as_number(text) for text in ("001", "1.0", "-0.50", "0", "1.5e3", "s01")]
    ['1', '1', '-0.5', '0', '1.5e3', 's01']
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    sign, whole, decimals = match[1], match[2].lstrip("0") or "0", (match[3] or "").rstrip("0")
    number = f"{whole}.{decimals}" if decimals else whole
    return f"-{number}" if sign == "-" and number != "0" else number
