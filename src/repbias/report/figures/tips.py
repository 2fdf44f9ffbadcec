"""What a browser says of a mark of a figure when the pointer is on it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist

from repbias.base.spec import printable
from repbias.report.words import words_of

#: The columns of intervals.
ENDS = ("ci_low", "ci_high")
#: Begins the ids of groups of marks that have words, in a figure as matplotlib writes it.
PREFIX = "said:"
#: A group of marks with its words, up to the next group that has an id.
GROUP = re.compile(
    rf"""<g id=(?P<quote>["']){PREFIX}(?P<words>.*?)(?P=quote)>(?P<marks>.*?)(?=<g id=|\Z)""",
    flags=re.DOTALL,
)
MARK = re.compile("(<use [^>]*)/>")


def say(artist: Artist, words: Iterable[str]) -> None:
    """Have a browser say words of an artist, or of each of its marks if there are several."""
    # As an id, which is all of an artist that matplotlib writes into the file.
    artist.set_gid(PREFIX + "\n".join(" ".join(printable(w).split()) for w in words))


def name_marks(artist: Artist, rows: pd.DataFrame, value: str, *ends: str) -> None:
    """Have a browser say of every mark what it is of, and its value; marks are of rows.

    `ends` are the columns of its interval.
    """
    rows = rows[np.isfinite(rows[value].to_numpy(float))]
    say(artist, [words_of(row, value, *ends) for row in rows.to_dict(orient="records")])


def name_line(artist: Artist, rows: pd.DataFrame, columns: Iterable[str]) -> None:
    """Have a browser say what a line is of: what its rows have in common, by these columns."""
    if len(rows):
        say(artist, [words_of({c: rows[c].iloc[0] for c in columns if c in rows})])


def write_titles(path: str | Path) -> None:
    """Turn the words of a figure's marks into the elements that browsers know."""
    svg = Path(path).read_text(encoding="utf-8")
    Path(path).write_text(GROUP.sub(_titled, svg), encoding="utf-8")


def _titled(group: re.Match[str]) -> str:
    # Words were escaped as an attribute, so they are escaped as text.
    words, marks = group["words"].split("\n"), group["marks"]
    if len(words) == 1:
        return f"<g><title>{words[0]}</title>{marks}"
    if len(MARK.findall(marks)) != len(words):
        return f"<g>{marks}"  # some lie outside of the figure: which is not known
    titles = iter(words)
    return "<g>" + MARK.sub(lambda mark: f"{mark[1]}><title>{next(titles)}</title></use>", marks)
