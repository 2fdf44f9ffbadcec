"""What figures are drawn with: style, panels, means with intervals, and legends."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text
from numpy.typing import ArrayLike

from repbias.report.figures.tips import ENDS, name_line, name_marks, write_titles
from repbias.report.words import SNAPSHOT_NAMES

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "repbias",  # the same figure is the same file
    "text.parse_math": False,  # names from files may hold dollar signs
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
#: Why a panel is empty, most of the time.
NONE_INCLUDED = "no network met the\ninclusion criterion"
#: What a line of means is of, by columns; those that its rows do not have are left out.
LINE = ("recording", "experiment", "condition", "layer", "feature", "output", "snapshot")
#: The width of the report's page, in inches: wider figures would be shrunk.
PAGE = 11.0
#: Characters of a legend that fit into an inch.
CHARACTERS_PER_INCH = 14


def save(figure: Figure, path: str | Path, dpi: int = 144) -> None:
    """Write a figure as SVG; `dpi` is of pixels in it, if any."""
    figure.dpi = dpi
    # Text is drawn as shapes, the same everywhere, or where the font lacks a letter, by the viewer.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        lay_out(figure)
        with mpl.rc_context({} if _has_letters(figure) else {"svg.fonttype": "none"}):
            figure.savefig(path, format="svg", metadata={"Date": None}, dpi=dpi)
    write_titles(path)


def lay_out(figure: Figure) -> None:
    """Lay out a figure, once: matplotlib draws it twice, though its layout needs no drawing."""
    FigureCanvasSVG(figure)
    if layout := figure.get_layout_engine():
        layout.execute(figure)
        figure.set_layout_engine("none")


def _has_letters(figure: Figure) -> bool:
    """Return whether the font has all characters of a figure's text."""
    font = get_font(findfont(FontProperties()))
    found = set("".join(text.get_text() for text in figure.findobj(Text)))
    return all(font.get_char_index(ord(c)) for c in found if c.isprintable())


# Panels


def panels(
    n: int, width: float = 3.6, height: float = 3.2, columns: int = 3, sharey: bool = True
) -> tuple[Figure, list[Axes]]:
    """Return a figure with n panels."""
    n_columns = min(columns, max(1, n))
    n_rows = max(1, math.ceil(n / n_columns))
    figure = Figure(figsize=(max(width * n_columns, 5.5), height * n_rows + 0.6))
    return figure, grid(figure, n, n_columns, sharey)


def grid(figure: FigureBase, n: int, columns: int, sharey: bool = True) -> list[Axes]:
    """Return n panels of a figure, row by row; the rest of the last row stays empty."""
    n_rows = max(1, math.ceil(n / columns))
    axes = list(figure.subplots(n_rows, columns, sharey=sharey, squeeze=False).ravel())
    for axis in axes[n:]:
        axis.set_axis_off()
    return axes[:n]


def stack(figure: Figure, heights: Sequence[float]) -> list[SubFigure]:
    """Divide a figure into subfigures one below the other."""
    return list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).ravel())


def in_first_column(axis: Axes) -> bool:
    """Whether a panel is the first one of its row."""
    place = axis.get_subplotspec()
    return place is not None and place.is_first_col()


def empty_figure(why: str = NONE_INCLUDED) -> Figure:
    """Return a figure that says why there is nothing in it."""
    figure, (axis,) = panels(1, height=0.15 * why.count("\n"))
    axis.set_axis_off()
    say_why_empty(axis, why)
    return figure


def say_why_empty(axis: Axes, why: str = NONE_INCLUDED) -> None:
    """Say in an empty panel why there is nothing in it."""
    axis.text(
        0.5,
        0.5,
        why,
        transform=axis.transAxes,
        ha="center",
        va="center",
        color="0.4",
        fontsize=8,
    )


def mark_chance(axis: Axes, rows: pd.DataFrame) -> None:
    """Draw the accuracy of a guess, of every number of classes in column `chance`."""
    levels = sorted(set(rows["chance"])) or [0.5]
    for level in levels:
        axis.axhline(level, color="0.6", lw=0.7, ls=":", zorder=0)
    axis.set_ylim(levels[0] - 0.1, 1.03)


def note_below(figure: FigureBase, words: str) -> None:
    """Write a note in small grey letters below a figure."""
    figure.supxlabel(words, fontsize=7, color="0.35")


# Rows and axes


def striped_rows(axis: Axes, labels: list[str]) -> None:
    """Prepare an axis with a labelled row for every label, from top to bottom."""
    _stripes(axis, len(labels))
    axis.set_yticks(range(len(labels)), labels, fontsize=7)


def _stripes(axis: Axes, n_rows: int) -> None:
    for y in range(1, n_rows, 2):
        axis.axhspan(y - 0.5, y + 0.5, color="0.96", lw=0, zorder=0)
    axis.set_ylim(n_rows - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)


def row_height(labels: Iterable[str], n_lines: int) -> float:
    """Return the inches that a row needs for its label and for so many lines of dots."""
    lines_of_text = max((label.count("\n") + 1 for label in labels), default=1)
    return max(0.25, 0.17 * n_lines, 0.13 * lines_of_text + 0.06)


def show_means(axis: Axes, which: str, summary: pd.DataFrame, value: str) -> None:
    """Choose an axis' limits so that all means are seen; bars of few networks may be cut off."""
    if summary.empty:
        return
    low = max(summary["ci_low"].min(), summary[value].min() - 0.2)
    high = min(summary["ci_high"].max(), summary[value].max() + 0.2)
    axis.set(**{f"{which}lim": (low - 0.04, high + 0.04)})


# Means with intervals


def bar_lengths(summary: pd.DataFrame, value: str) -> np.ndarray:
    """Return how far intervals reach below and above their means, as errorbar takes it."""
    # An array: of a list of columns with one row, matplotlib and pandas 2 warn.
    return np.array([summary[value] - summary["ci_low"], summary["ci_high"] - summary[value]])


def curve(
    axis: Axes, x: ArrayLike, summary: pd.DataFrame, value: str, colour: object, **style: Any
) -> None:
    """Draw means as a line, and their intervals as a band."""
    (drawn,) = axis.plot(x, summary[value], color=colour, **{"lw": 1.4} | style)
    if "marker" in style:
        name_marks(drawn, summary, value, *ENDS)
    else:
        name_line(drawn, summary, LINE)
    axis.fill_between(x, summary["ci_low"], summary["ci_high"], color=colour, alpha=0.15, lw=0)


def error_bars(axis: Axes, summary: pd.DataFrame, value: str, y: ArrayLike, **style: Any) -> None:
    """Draw means as markers, with horizontal intervals."""
    defaults: dict[str, Any] = {"fmt": "o", "ms": 4, "lw": 1, "capsize": 0}
    drawn = axis.errorbar(summary[value], y, xerr=bar_lengths(summary, value), **defaults | style)
    name_marks(drawn.lines[0], summary, value, *ENDS)


def forest(
    axis: Axes,
    summary: pd.DataFrame,
    value: str,
    rows: Sequence[tuple[str, ...]],
    keys: list[str],
    colours: dict[str, object],
) -> None:
    """Draw means as dots, a row per condition: filled at the end, open at first mastery.

    Parameters
    ----------
    axis
        The panel.
    summary
        From :func:`~repbias.report.selection.summarise`, with columns feature, snapshot
        and `keys`.
    value
        The column of means.
    rows
        Values of `keys`, from top to bottom.
    keys
        Columns that identify a row.
    colours
        Feature to its colour; every feature has a line of its own within a row.
    """
    shown = [feature for feature in colours if feature in set(summary["feature"])]
    step = 0.8 / max(1, len(shown))
    places = pd.Series(
        [rows.index(key) for key in summary[keys].itertuples(index=False, name=None)]
    )
    _stripes(axis, len(rows))
    for (feature, snapshot), indices in summary.groupby(["feature", "snapshot"]).indices.items():
        final = snapshot == "final"
        shift = step * (shown.index(feature) - (len(shown) - 1) / 2 + (0.15 if final else -0.15))
        error_bars(
            axis,
            summary.iloc[indices],
            value,
            places.iloc[indices] + shift,
            color=colours[feature],
            mfc=colours[feature] if final else "white",
            lw=1.2 if final else 0.7,
        )
    if summary.empty:
        say_why_empty(axis)


def space_bars(
    axis: Axes, x: ArrayLike, rows: pd.DataFrame, value: str, colour: Any, label: str
) -> None:
    """Draw a bar per row, for spaces of features and RDMs, which have no order."""
    bars = axis.bar(x, rows[value], 0.6, color=colour, alpha=0.6, label=label)
    for i, bar in enumerate(bars):
        name_marks(bar, rows.iloc[[i]], value, *(end for end in ENDS if end in rows))


def make_room_for_bars(axis: Axes, n: int) -> None:
    """Show n places on the horizontal axis, of which some have bars; few do not fill the panel."""
    room = max(0, 3 - n) / 2
    axis.set_xlim(-0.5 - room, n - 0.5 + room)


# Legends


def line(**style: Any) -> mpl.lines.Line2D:
    """Return a line for a legend."""
    return mpl.lines.Line2D([], [], **style)


def snapshot_markers() -> list[Any]:
    """Explain filled and open dots, for a legend."""
    style = {"color": "0.3", "marker": "o", "ls": "", "ms": 4}
    return [
        line(label=SNAPSHOT_NAMES["final"], **style),
        line(label=SNAPSHOT_NAMES["mastered"], mfc="white", **style),
    ]


def legend_below(figure: FigureBase, handles: list[Any], note: str = "") -> None:
    """Put a legend below a figure, in as many columns as fit, under a note in small letters."""
    longest = max((len(handle.get_label()) for handle in handles), default=1) + 9
    width = figure.get_figure(root=True).get_figwidth()
    columns = max(1, min(len(handles), int(width * CHARACTERS_PER_INCH / longest)))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=columns,
        title=note or None,
        title_fontproperties={"size": 7},
    )


def feature_legend(
    figure: FigureBase, colours: dict[str, object], extra: Iterable[object] = ()
) -> None:
    """Explain the features' colours, and anything else that is given, below a figure."""
    handles = [line(color=colour, label=f"feature '{name}'") for name, colour in colours.items()]
    legend_below(figure, [*handles, *extra])
