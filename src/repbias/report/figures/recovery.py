"""Which model brains are named at the noise of a recording."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repbias.report.figures.drawing import empty_figure, note_below
from repbias.report.figures.names import shortened
from repbias.report.selection import Layers, Tables

#: Recordings; further ones are left out.
MOST_RECORDINGS = 6
#: Numbers are written into matrices of no more rows than this.
_MOST_WRITTEN = 6
#: Why nothing is shown.
NOT_SIMULATED = "no brains could be simulated;\ntables/recovery.csv says why"
#: What the rows of the recording itself are called.
ITSELF = "the recording"
_HOW = {"argmax": "highest score", "matched": "matched profile"}


def recovery(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw how often brains of every model are named what."""
    return _matrices(tables["recovery"], "model")


def recovery_layers(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw how often brains of every layer are named what, within every model."""
    return _matrices(tables["recovery"], "layer")


def _matrices(table: pd.DataFrame, level: str) -> tuple[Figure, pd.DataFrame]:
    """Draw a matrix for every recording and way of naming (rows) and measure (columns)."""
    rows = table[table["level"] == level]
    if rows.empty:
        return empty_figure(NOT_SIMULATED), rows
    rows = rows.assign(
        true_name=_names(rows, "true", level), named_name=_names(rows, "named", level)
    )
    measures = list(dict.fromkeys(rows["measure"]))
    lines = list(rows.groupby(["recording", "how"], sort=False))
    shown = lines[: MOST_RECORDINGS * len(_HOW)]
    most = max(part.loc[part["simulated"], "true_name"].nunique() for _, part in shown)
    side = min(max(1.5, 0.19 * most), 4.2)
    figure = Figure(figsize=(len(measures) * side + 2.2, len(shown) * (side + 0.7) + 0.9))
    axes = figure.subplots(len(shown), len(measures), squeeze=False)
    for line, ((recording, how), part) in zip(axes, shown, strict=True):
        for i, (axis, measure) in enumerate(zip(line, measures, strict=True)):
            of_measure = part[part["measure"] == measure]
            if of_measure.empty:
                axis.set_axis_off()
                continue
            _matrix(axis, of_measure, with_rows=i == 0)
            axis.set_title(measure if i else f"{recording}, {_HOW[how]}\n{measure}", fontsize=7)
    if len(lines) > len(shown):
        note_below(figure, f"shown: the first {MOST_RECORDINGS} recordings; all are in the data")
    return figure, rows


def _names(rows: pd.DataFrame, end: str, level: str) -> pd.Series:
    """Return what a condition, or a layer, is called in a matrix."""
    condition = rows[f"{end}_condition"]
    return condition if level == "model" else condition + ", " + rows[f"{end}_layer"]


def _matrix(axis: Axes, part: pd.DataFrame, with_rows: bool) -> None:
    """Draw probabilities of names, true models below each other, the recording itself last."""
    simulated = part[part["simulated"]]
    order = list(dict.fromkeys(simulated["true_name"]))
    matrix = simulated.pivot(index="true_name", columns="named_name", values="probability")
    matrix = matrix.reindex(index=order, columns=order)
    real = part[~part["simulated"]].set_index("named_name")["probability"].reindex(order)
    values = np.vstack([matrix.to_numpy(float), np.full(len(order), np.nan), real.to_numpy(float)])
    axis.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for i in range(len(order)):
        axis.plot(
            np.array([-0.5, 0.5, 0.5, -0.5, -0.5]) + i,
            np.array([-0.5, -0.5, 0.5, 0.5, -0.5]) + i,
            color="0.3",
            lw=0.6,
        )
    if len(order) <= _MOST_WRITTEN:
        for (y, x), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = "white" if value > 0.6 else "0.2"
                axis.text(
                    x, y, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=6
                )
    size = 6 if len(order) <= 10 else 4.5
    labels = [shortened(name, 26) for name in order]
    axis.set_xticks(range(len(order)), labels, rotation=60, ha="right", fontsize=size)
    ticks = [*range(len(order)), len(order) + 1]
    axis.set_yticks(ticks, [*labels, ITSELF] if with_rows else [""] * len(ticks), fontsize=size)
    axis.tick_params(length=0)
    axis.set_xlim(-0.6, len(order) - 0.4)
    for spine in axis.spines.values():
        spine.set_visible(False)
