"""The orders in which names may stand: as text, where "im10" comes before "im2", or naturally."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_DIGITS = re.compile("([0-9]+)")
_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?")


def naturally(names: Iterable[str]) -> list[str]:
    """Sort names as people do: numbers in them by value, other characters by code point.

    Names that are all numbers are sorted by value, with their signs and decimals.

    Examples
    --------
    >>> naturally(["im10", "im2", "im1"]), naturally(["10", "-2", "-1", "0.25", "0.5"])
    (['im1', 'im2', 'im10'], ['-2', '-1', '0.25', '0.5', '10'])
    """
    ascending = sorted(names)  # decides between 1 and 01
    if all(map(_NUMBER.fullmatch, ascending)):
        return sorted(ascending, key=float)
    return sorted(ascending, key=natural_key)


def natural_key(name: str) -> list[tuple[int, str]]:
    """Return what to sort names by, so that the numbers in them ascend."""
    parts = _DIGITS.split(name)
    parts[1::2] = (digits.lstrip("0") for digits in parts[1::2])
    return [(len(part) if i % 2 else 0, part) for i, part in enumerate(parts)]


def orders(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names as text, and every other order that people and programs sort them in.

    Examples
    --------
    >>> orders(["b", "a"])
    {'as text': ['a', 'b']}
    >>> list(orders(["im10", "im2"])), list(orders(["a", "B"]))
    (['as text', 'naturally'], ['as text', 'regardless of case'])
    >>> list(orders(["face/1", "face-up/1"]))
    ['as text', 'folder by folder']
    """
    names = list(names)
    ways = {
        "as text": sorted(names),
        "naturally": naturally(names),
        "regardless of case": sorted(names, key=lambda name: (name.casefold(), name)),
        "folder by folder": sorted(names, key=lambda name: name.split("/")),
    }
    return {way: o for way, o in ways.items() if way == "as text" or o != ways["as text"]}


def first_difference(ways: Mapping[str, list[str]]) -> str:
    """Return what tells several orders of the same names apart, in words.

    Examples
    --------
    >>> first_difference(orders(["im1", "im2", "im10"]))
    "as text ... 'im10', 'im2'; naturally ... 'im2', 'im10'"
    """
    rows = zip(*ways.values(), strict=True)
    first = next(i for i, names in enumerate(rows) if len(set(names)) > 1)
    return "; ".join(
        f"{way} ... {', '.join(map(repr, names[first : first + 3]))}" for way, names in ways.items()
    )
