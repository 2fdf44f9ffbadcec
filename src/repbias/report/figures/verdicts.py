"""All claims in one figure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.textpath import TextPath

from repbias.report.figures.drawing import PAGE, empty_figure, legend_below
from repbias.report.numbers import effect_and_interval
from repbias.report.selection import Layers, Tables
from repbias.report.trends import over_range
from repbias.report.words import SNAPSHOT_NAMES

#: Pale enough for text to be read on them.
VERDICTS = {"supported": "#8fc6ea", "not supported": "#f2a56f", "inconclusive": "#e7e7e7"}
#: Longer statements of claims are shortened, to what fits beside the cells; so many points do.
MOST_CHARACTERS, LEAST_ROOM = 88, 200
#: Sizes of letters: in cells and statements, of rows' names, of times.
SMALL, NAMES, TIMES = 7, 8, 9
#: Points around the text of a cell, and around the whole figure.
PADDING, MARGIN = 10, 24
#: Times in the order of the columns; the last one only where a claim is decided then.
COLUMNS = ("mastered", "final", "matched")
#: Columns of the table that make up the figure's data.
SHOWN = [
    "claim",
    "variant",
    "snapshot",
    "verdict",
    "effect",
    "ci_low",
    "ci_high",
    "n_included",
    "statement",
    "axis",
]


def verdicts(
    tables: Tables,
    layers: Layers,
    questions: Mapping[str, Mapping[str, Any]] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Draw a row per claim and variant, a column per time, a colour per verdict."""
    claims = over_range(tables, questions or {}, settings or {})[SHOWN]
    if claims.empty:
        return empty_figure(), claims
    parts = {" ".join(k).strip(): p for k, p in claims.groupby(["claim", "variant"], sort=False)}
    columns = COLUMNS if "matched" in set(claims["snapshot"]) else COLUMNS[:-1]
    cells = {
        (columns.index(row["snapshot"]), y): (row["verdict"], _in_cell(row))
        for y, part in enumerate(parts.values())
        for row in part.to_dict(orient="records")
    }
    # Units of the axis are points, so that cells are as wide as their text.
    widths = [
        PADDING + max(_width(SNAPSHOT_NAMES[name], TIMES), _widest(cells, x))
        for x, name in enumerate(columns)
    ]
    edges = list(accumulate(widths, initial=0.0))
    names = max(_width(name, NAMES) for name in parts) + MARGIN
    room = max(72 * PAGE - names - edges[-1], LEAST_ROOM)
    statements = dict(_statements(list(parts.values()), room))
    width = edges[-1] + PADDING + max(_width(words, SMALL) for words in statements.values())
    figure = Figure(figsize=((names + width) / 72, 0.235 * len(parts) + 1.1))
    axis = figure.subplots()
    for (x, y), (verdict, words) in cells.items():
        place = (edges[x] + 1, y - 0.46)
        axis.add_patch(Rectangle(place, widths[x] - 2, 0.92, color=VERDICTS[verdict], lw=0))
        axis.text(edges[x] + widths[x] / 2, y, words, ha="center", va="center", fontsize=SMALL)
    for y, words in statements.items():
        axis.axhline(y - 0.5, color="0.8", lw=0.6, zorder=0)
        axis.text(edges[-1] + PADDING, y, words, va="center", fontsize=SMALL, color="0.35")
    axis.set_xlim(0, width)
    axis.set_ylim(len(parts) - 0.45, -0.55)
    centres = [(left + right) / 2 for left, right in pairwise(edges)]
    axis.set_xticks(centres, [SNAPSHOT_NAMES[name] for name in columns], fontsize=TIMES)
    axis.xaxis.tick_top()
    axis.set_yticks(range(len(parts)), list(parts), fontsize=NAMES)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    patches = [Patch(color=colour, label=verdict) for verdict, colour in VERDICTS.items()]
    legend_below(figure, patches)
    return figure, claims


def _width(words: str, size: float) -> float:
    """Return how wide words are drawn, in points."""
    return float(TextPath((0, 0), words, size=size).get_extents().width)


def _widest(cells: Mapping[tuple[int, int], tuple[str, str]], column: int) -> float:
    return max(
        (_width(words, SMALL) for (x, _), (_, words) in cells.items() if x == column), default=0
    )


def _in_cell(row: Mapping[str, Any]) -> str:
    if np.isnan([row["ci_low"], row["ci_high"]]).all():
        return "too few networks"
    return effect_and_interval(row) or "too few networks"


def _statements(parts: list[pd.DataFrame], room: float) -> Iterable[tuple[int, str]]:
    """Return what is claimed, in the row of a claim's first variant, as far as there is room."""
    claimed = ""
    for y, part in enumerate(parts):
        claim, statement, axis = part[["claim", "statement", "axis"]].iloc[0]
        if claim != claimed:
            behind = f" ({axis})" if axis else ""
            for n in range(MOST_CHARACTERS, 20, -4):
                words = textwrap.shorten(statement, n, placeholder=" …") + behind
                if _width(words, SMALL) <= room:
                    break
            yield y, words
        claimed = claim
