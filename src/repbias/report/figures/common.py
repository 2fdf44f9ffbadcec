"""What the drawings share: style, colours, panels, legends, and means with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from numpy.typing import ArrayLike

from repbias.base.statistics import mean_interval

#: Okabe & Ito's colours, which colour-blind readers can tell apart.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
#: Those that thin lines and small dots can have: yellow is too pale.
VIVID = COLOURS[:-1]
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
#: The width of the report's page, in inches: wider figures would be shrunk.
PAGE = 11.0
SNAPSHOTS = ["initial", "mastered", "final"]
SNAPSHOT_NAMES = {"initial": "untrained", "mastered": "first mastery", "final": "end of training"}
#: What tells the rows of figures about recordings apart: a layer of a condition at a time.
MODEL = ["experiment", "condition", "layer", "snapshot"]
#: The colour of untrained networks.
UNTRAINED = "0.55"

Tables = dict[str, pd.DataFrame]
#: "experiment/condition" to its analysed layer.
Layers = dict[str, str]
Group = tuple[str, str]
Drawing = Callable[[Tables, Layers], tuple[Figure, pd.DataFrame]]


def analysed(table: pd.DataFrame, layers: Layers) -> pd.DataFrame:
    """Return the rows of every condition's analysed layer."""
    names = table["experiment"] + "/" + table["condition"]
    return table[table["layer"] == names.map(layers)]


def included(table: pd.DataFrame, *snapshots: str) -> pd.DataFrame:
    """Return the rows of networks that met the inclusion criterion, at some snapshots."""
    return table[table["included"].astype(bool) & table["snapshot"].isin(snapshots)]


def groups_of(table: pd.DataFrame) -> list[Group]:
    """Return (experiment, condition) in their order."""
    return list(table.groupby(["experiment", "condition"], sort=False).groups)


def of_group(table: pd.DataFrame, group: Group) -> pd.DataFrame:
    """Return the rows of one condition."""
    return table[(table["experiment"] == group[0]) & (table["condition"] == group[1])]


def targets_of(tables: Tables) -> dict[Group, list[str]]:
    """Return the features that training rewards, for every condition."""
    rows = tables["learning"][tables["learning"]["target"].astype(bool)]
    return {group: list(of_group(rows, group)["feature"].unique()) for group in groups_of(rows)}


def outputs_of(tables: Tables) -> list[str]:
    """Return the features that have an output: all but sub-components."""
    return list(tables["learning"]["feature"].unique())


def of_outputs(table: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """Return the rows of features that have an output."""
    return table[table["feature"].isin(outputs_of(tables))]


def output_colours(tables: Tables) -> dict[str, object]:
    """Return the colours of features that have an output."""
    colours = feature_colours(tables)
    return {feature: colours[feature] for feature in outputs_of(tables)}


def summarise(table: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """Return the mean of a column over networks, with its 95 % interval, for every group."""
    rows = []
    finite = table[np.isfinite(table[value].astype(float))]
    for key, part in finite.groupby(keys, sort=False):
        mean, low, high = mean_interval(part[value].to_numpy(float))
        rows.append(
            dict(zip(keys, key, strict=True))
            | {value: mean, "ci_low": low, "ci_high": high, "n": len(part)}
        )
    return pd.DataFrame(rows, columns=[*keys, value, "ci_low", "ci_high", "n"])


def over_networks(table: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """Return the mean of a column over networks; the interval of a single one is its own."""
    rows = []
    for key, part in table.groupby(keys, sort=False):
        mean, low, high = mean_interval(part[value].to_numpy(float))
        if len(part) == 1:
            low, high = part[["ci_low", "ci_high"]].iloc[0]
        rows.append(
            dict(zip(keys, key, strict=True))
            | {value: mean, "ci_low": low, "ci_high": high, "n": len(part)}
        )
    return pd.DataFrame(rows, columns=[*keys, value, "ci_low", "ci_high", "n"])


def one_layer(models: pd.DataFrame, layers: Layers) -> pd.DataFrame:
    """Return every model's rows of its analysed layer, or of its last one where none is known.

    Parameters
    ----------
    models
        Columns :data:`MODEL`, layers in order from input to output; with a column "model" every
        kind of model keeps a layer.
    layers
        The analysed layers.
    """
    kinds = [c for c in ("experiment", "condition", "model") if c in models]
    last = models.groupby(kinds)["layer"].transform("last")
    names = models["experiment"] + "/" + models["condition"]
    return models[models["layer"] == names.map(layers).astype(object).fillna(last)]


def fewer_models(models: pd.DataFrame, layers: Layers, most: int) -> tuple[pd.DataFrame, str]:
    """Choose the models that fit into a figure, without looking at their scores.

    Parameters
    ----------
    models
        Columns :data:`MODEL` (and "model").
    layers
        The analysed layers.
    most
        Number of different :data:`MODEL` that fit.

    Returns
    -------
    DataFrame, str
        The distinct models that are shown, and what they are where others are not.
    """
    all_models = models[MODEL].drop_duplicates()
    if len(all_models) <= most:
        return all_models, ""
    chosen = one_layer(models, layers)[MODEL].drop_duplicates()
    if len(chosen) <= most:
        return chosen, "one layer of every model, the analysed or last one"
    trained = chosen[chosen["snapshot"] != "initial"]
    if len(trained) <= most:
        return trained, "one layer of every trained model, the analysed or last one"
    return trained.head(most), f"the first {most} of {len(trained)} models, one layer of each"


def model_labels(models: pd.DataFrame, width: int = 36) -> list[str]:
    """Name models; with their experiment where there are several. Long names lose their middle."""
    several = models["experiment"].nunique() > 1
    labels = []
    for row in models.itertuples():
        parts = dict.fromkeys([row.experiment] * several + [row.condition, row.layer])
        name = shortened(", ".join(filter(None, parts)), width)
        labels.append(f"{name} (untrained)" if row.snapshot == "initial" else name)
    return labels


def shortened(text: str, width: int) -> str:
    """Take out the middle of a text that is too long."""
    half = (width - 1) // 2
    return text if len(text) <= width else f"{text[:half]}…{text[-half:]}"


def model_colours(models: pd.DataFrame) -> list[object]:
    """Give every condition a colour, and a condition's earlier layers lighter shades of it."""
    groups = groups_of(models)
    colours: list[object] = []
    for row in models.itertuples():
        group = (row.experiment, row.condition)
        if row.snapshot == "initial":
            colours.append(UNTRAINED)
            continue
        family = list(of_group(models, group)["layer"].unique())
        white = 0.65 * (1 - (family.index(row.layer) + 1) / len(family))
        base = np.array(mpl.colors.to_rgb(VIVID[groups.index(group) % len(VIVID)]))
        colours.append(tuple(map(float, base + (1 - base) * white)))
    return colours


def striped_rows(axis: Axes, labels: list[str]) -> None:
    """Prepare an axis with a labelled row for every label, from top to bottom."""
    for y in range(1, len(labels), 2):
        axis.axhspan(y - 0.5, y + 0.5, color="0.96", lw=0, zorder=0)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.set_yticks(range(len(labels)), labels, fontsize=7)
    axis.tick_params(axis="y", length=0)


def feature_colours(tables: Tables) -> dict[str, Any]:
    """Give every feature of the study a colour, the same in all figures.

    A sub-component ("hard.xor12") gets a lighter shade of its feature's colour.
    """
    names = dict.fromkeys(outputs_of(tables))
    for table in ("variance_explained", "units", "probes"):
        names |= dict.fromkeys(sorted(set(tables[table]["feature"]) - names.keys()))
    colours: dict[str, Any] = {}
    families: dict[str, list[str]] = {}
    for name in names:
        family = name.rpartition(".")[0]
        if family in colours:
            families.setdefault(family, []).append(name)
        else:
            colours[name] = COLOURS[len(colours) % len(COLOURS)]
    for family, members in families.items():
        base = np.array(mpl.colors.to_rgb(colours[family]))
        for member, white in zip(members, np.linspace(0.35, 0.65, len(members)), strict=True):
            colours[member] = tuple(map(float, base + (1 - base) * white))
    return colours


def wrapped(condition: str, width: int = 40) -> str:
    """Break the name of a condition into lines, after commas."""
    lines = [""]
    for setting in condition.split(","):
        longer = f"{lines[-1]},{setting}" if lines[-1] else setting
        if lines[-1] and len(longer) > width:
            lines[-1] += ","
            lines.append(setting)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def title_of(group: Group, groups: list[Group], width: int = 30) -> str:
    """Name a condition; with its experiment where there are several."""
    several = len({experiment for experiment, _ in groups}) > 1
    return wrapped(f"{group[0]}: {group[1]}" if several else group[1], width)


def panels(
    n: int, width: float = 3.6, height: float = 3.2, columns: int = 3, sharey: bool = True
) -> tuple[Figure, list[Axes]]:
    """Return a figure with n panels."""
    n_columns = min(columns, max(1, n))
    n_rows = max(1, math.ceil(n / n_columns))
    figure = Figure(figsize=(max(width * n_columns, 5.5), height * n_rows + 0.6))
    return figure, grid(figure, n, n_columns, sharey)


def grid(figure: FigureBase, n: int, columns: int, sharey: bool = True) -> list[Axes]:
    """Return n panels of a figure, row by row; what is left of the last row stays empty."""
    n_rows = max(1, math.ceil(n / columns))
    axes = list(figure.subplots(n_rows, columns, sharey=sharey, squeeze=False).ravel())
    for axis in axes[n:]:
        axis.set_axis_off()
    return axes[:n]


def nothing_kept(axis: Axes) -> None:
    """Say in a panel why there is nothing in it."""
    axis.text(
        *(0.5, 0.5, "no network met the\ninclusion criterion"),
        transform=axis.transAxes, ha="center", va="center", color="0.4", fontsize=8,
    )  # fmt: skip


def empty_figure() -> Figure:
    """Return a figure that says why there is nothing in it."""
    figure, (axis,) = panels(1, height=1.4)
    axis.set_axis_off()
    nothing_kept(axis)
    return figure


def curve(
    axis: Axes, x: ArrayLike, summary: pd.DataFrame, value: str, colour: object, **style: Any
) -> None:
    """Draw means as a line, and their intervals as a band."""
    axis.plot(x, summary[value], color=colour, **{"lw": 1.4} | style)
    axis.fill_between(x, summary["ci_low"], summary["ci_high"], color=colour, alpha=0.15, lw=0)


def error_bars(axis: Axes, summary: pd.DataFrame, value: str, y: ArrayLike, **style: Any) -> None:
    """Draw means as markers, with horizontal intervals."""
    bars = [summary[value] - summary["ci_low"], summary["ci_high"] - summary[value]]
    defaults: dict[str, Any] = {"fmt": "o", "ms": 4, "lw": 1, "capsize": 0}
    axis.errorbar(summary[value], y, xerr=bars, **defaults | style)


def show_means(axis: Axes, which: str, summary: pd.DataFrame, value: str) -> None:
    """Choose an axis' limits so that all means are seen; bars of few networks may be cut off."""
    if summary.empty:
        return
    low = max(summary["ci_low"].min(), summary[value].min() - 0.2)
    high = min(summary["ci_high"].max(), summary[value].max() + 0.2)
    axis.set(**{f"{which}lim": (low - 0.04, high + 0.04)})


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
        Where.
    summary
        From :func:`summarise`, with columns feature, snapshot and `keys`.
    value
        The column of means.
    rows
        Values of `keys`, from top to bottom.
    keys
        Columns that make up a row.
    colours
        Feature to its colour; every feature has a line of its own within a row.
    """
    shown = [feature for feature in colours if feature in set(summary["feature"])]
    step = 0.8 / max(1, len(shown))
    for y in range(1, len(rows), 2):
        axis.axhspan(y - 0.5, y + 0.5, color="0.96", lw=0, zorder=0)
    places = pd.Series(
        [rows.index(key) for key in summary[keys].itertuples(index=False, name=None)]
    )
    for (feature, snapshot), indices in summary.groupby(["feature", "snapshot"]).indices.items():
        final = snapshot == "final"
        line = shown.index(feature) - (len(shown) - 1) / 2 + (0.15 if final else -0.15)
        error_bars(
            *(axis, summary.iloc[indices], value, places.iloc[indices] + step * line),
            color=colours[feature], mfc=colours[feature] if final else "white",
            lw=1.2 if final else 0.7,
        )  # fmt: skip
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    if summary.empty:
        nothing_kept(axis)


def row_height(labels: Iterable[str], n_lines: int) -> float:
    """Return the inches that a row needs for its label and for so many lines of dots."""
    lines_of_text = max((label.count("\n") + 1 for label in labels), default=1)
    return max(0.25, 0.17 * n_lines, 0.13 * lines_of_text + 0.06)


def legend_label(name: str) -> str:
    """Return a name as a legend shows it: names that begin with an underscore are left out."""
    return f" {name}" if name.startswith("_") else name


def feature_legend(
    figure: FigureBase, colours: dict[str, object], extra: Iterable[object] = ()
) -> None:
    """Explain the features' colours, and whatever else is given, below a figure."""
    handles = [line(color=colour, label=f"feature '{name}'") for name, colour in colours.items()]
    legend_below(figure, [*handles, *extra])


def in_first_column(axis: Axes) -> bool:
    """Whether a panel is the first one of its row."""
    place = axis.get_subplotspec()
    return place is not None and place.is_first_col()


def legend_below(figure: FigureBase, handles: list[Any]) -> None:
    """Put a legend below a figure, in as many columns as fit (about 14 characters an inch)."""
    longest = max((len(handle.get_label()) for handle in handles), default=1) + 9
    width = figure.get_figure(root=True).get_figwidth()
    columns = max(1, min(len(handles), int(width * 14 / longest)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


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
