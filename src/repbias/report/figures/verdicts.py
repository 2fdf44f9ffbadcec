"""All claims in one figure."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from repbias.report.figures.drawing import empty_figure, legend_below
from repbias.report.figures.names import SNAPSHOT_NAMES
from repbias.report.figures.selection import Layers, Tables
from repbias.report.numbers import decimals, interval

#: Pale enough for text to be read on them.
VERDICTS = {"supported": "#8fc6ea", "not supported": "#f2a56f", "inconclusive": "#e7e7e7"}
#: Longer statements of claims are shortened: more does not fit beside the cells.
MOST_CHARACTERS = 88
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
]


def verdicts(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw a row per claim and variant, a column per time, a colour per verdict."""
    claims = tables["claims"][SHOWN]
    if claims.empty:
        return empty_figure(), claims
    rows = list(claims.groupby(["claim", "variant"], sort=False))
    columns = COLUMNS if "matched" in set(claims["snapshot"]) else COLUMNS[:-1]
    n = len(columns)
    figure = Figure(figsize=(9.5, 0.235 * len(rows) + 1.1))
    axis = figure.subplots()
    for y, (_, part) in enumerate(rows):
        for row in part.itertuples():
            _cell(axis, columns.index(row.snapshot), y, row)
    _separate_claims(axis, n, [(claim, part["statement"].iloc[0]) for (claim, _), part in rows])
    axis.set_xlim(-0.5, n + 2.7)
    axis.set_ylim(len(rows) - 0.45, -0.55)
    axis.set_xticks(range(n), [SNAPSHOT_NAMES[snapshot] for snapshot in columns])
    axis.xaxis.tick_top()
    axis.set_yticks(range(len(rows)), [" ".join(key).strip() for key, _ in rows], fontsize=8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    patches = [Patch(color=colour, label=verdict) for verdict, colour in VERDICTS.items()]
    legend_below(figure, patches)
    return figure, claims


def _cell(axis: Axes, x: int, y: int, row: Any) -> None:
    axis.add_patch(Rectangle((x - 0.49, y - 0.46), 0.98, 0.92, color=VERDICTS[row.verdict], lw=0))
    axis.text(x, y, _effect(row), ha="center", va="center", fontsize=7)


def _effect(row: Any) -> str:
    """Write an effect and its interval; an exact effect has none."""
    if np.isnan(row.effect) or np.isnan([row.ci_low, row.ci_high]).all():
        return "too few networks"
    if row.n_included == 0:
        return f"{decimals(row.effect, 3)} (exact)"
    return f"{decimals(row.effect, 3)} {interval(row.ci_low, row.ci_high, 3)}"


def _separate_claims(axis: Axes, n_columns: int, rows: list[tuple[str, str]]) -> None:
    """Draw a thin line above a claim's first variant, and write what is claimed beside it."""
    for y, (claim, statement) in enumerate(rows):
        if y == 0 or claim != rows[y - 1][0]:
            axis.axhline(y - 0.5, color="0.8", lw=0.6, zorder=0)
            words = textwrap.shorten(statement, MOST_CHARACTERS, placeholder=" …")
            axis.text(n_columns - 0.44, y, words, va="center", fontsize=7, color="0.35")
