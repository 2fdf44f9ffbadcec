"""Learning, and what the variance of a layer is attributed to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from repbias.report.figures.drawing import (
    PAGE,
    bar_lengths,
    empty_figure,
    feature_legend,
    forest,
    in_first_column,
    legend_below,
    panels,
    row_height,
    say_why_empty,
    show_means,
    snapshot_markers,
)
from repbias.report.figures.names import (
    feature_colours,
    output_colours,
    title_of,
    wrapped,
)
from repbias.report.figures.tips import ENDS, name_line, name_marks
from repbias.report.selection import (
    MANY_CONDITIONS,
    SNAPSHOTS,
    Layers,
    Tables,
    analysed,
    included,
    of_group,
    of_outputs,
    shown_groups,
    summarise,
    targets_of,
)
from repbias.report.words import SNAPSHOT_NAMES

#: With more rows, what is drawn per network is rasterised, panel by panel, which is slow, and of
#: fewer rows makes files larger.
MANY = 100_000
#: Parts of the variance decomposition that are not features.
PART_COLOURS = {
    "interaction": "#9467a0",
    "components": "#c9b037",
    "input": "0.62",
    "residual": "0.88",
}


def learning(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw accuracy, and variance explained as a share of the final variance, over training."""
    accuracy = tables["learning"].rename(columns={"accuracy": "value"})
    accuracy = accuracy[accuracy["value"].notna()]  # of networks that are trained
    variance = analysed(tables["variance_explained"], layers)
    variance = variance.rename(columns={"r2_of_final": "value"})
    groups = shown_groups(accuracy)
    colours = feature_colours(tables)
    n_columns = min(4 if len(groups) > 6 else 3, max(1, len(groups)))
    n_blocks = max(1, math.ceil(len(groups) / n_columns))
    figure = Figure(figsize=(max(PAGE / 4 * n_columns, 4), 3.6 * n_blocks + 0.6))
    axes = figure.subplots(2 * n_blocks, n_columns, sharey="row", squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for i, group in enumerate(groups):
        block, column = divmod(i, n_columns)
        top, bottom = axes[2 * block : 2 * block + 2, column]
        for axis, table in ((top, accuracy), (bottom, variance)):
            _learning_curves(axis, of_group(table, group), colours, len(accuracy) > MANY)
        top.set(title=title_of(group, groups), ylim=(0, 1.03))
        bottom.set_xlabel("training step")
        if column == 0:
            top.set_ylabel("validation accuracy")
            bottom.set_ylabel("variance explained\n(of final variance)")
    feature_legend(figure, colours)
    data = pd.concat(
        [accuracy.assign(quantity="accuracy"), variance.assign(quantity="variance_explained")]
    )
    columns = ["experiment", "condition", "network", "step", "feature", "quantity", "value"]
    return figure, data[columns]


def _learning_curves(
    axis: Axes, table: pd.DataFrame, colours: dict[str, Any], rasterised: bool
) -> None:
    """Draw a line per network and feature."""
    axis.set_axis_on()
    for (feature, _), curve in table.groupby(["feature", "network"], sort=False):
        (drawn,) = axis.plot(
            curve["step"],
            curve["value"],
            color=colours[feature],
            lw=0.8,
            alpha=0.6,
            rasterized=rasterised,
        )
        name_line(drawn, curve, ("experiment", "condition", "layer", "seed", "feature"))


def variance(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw R² of every feature in the analysed layer: untrained, at first mastery, at the end."""
    table = included(analysed(tables["variance_explained"], layers), *SNAPSHOTS)
    groups = shown_groups(tables["variance_explained"])
    all_colours = feature_colours(tables)
    colours = {f: c for f, c in all_colours.items() if f in set(table["feature"])}
    summary = summarise(table, ["experiment", "condition", "layer", "feature", "snapshot"], "r2")
    figure, axes = panels(len(groups), 2.7, 2.8, columns=4 if len(groups) > 6 else 3)
    for axis, group in zip(axes, groups, strict=True):
        parts = of_group(table, group), of_group(summary, group)
        _three_times(axis, *parts, colours, len(table) > MANY)
        axis.set_title(title_of(group, groups))
        show_means(axis, "y", summary, "r2")
        if in_first_column(axis):
            axis.set_ylabel("variance explained (R²)")
    feature_legend(figure, colours or all_colours)
    return figure, summary


def _three_times(
    axis: Axes,
    table: pd.DataFrame,
    summary: pd.DataFrame,
    colours: dict[str, object],
    rasterised: bool,
) -> None:
    """Draw networks as dots, with means and intervals beside them, at the three snapshots."""
    colours = {f: c for f, c in colours.items() if f in set(table["feature"])}
    space = min(0.18, 0.8 / max(1, len(colours)))
    for i, (feature, colour) in enumerate(colours.items()):
        shift = space * (i - (len(colours) - 1) / 2)
        dots = table[table["feature"] == feature]
        means = summary[summary["feature"] == feature]
        x, x_mean = (t["snapshot"].map(SNAPSHOTS.index) + shift for t in (dots, means))
        (drawn,) = axis.plot(
            x, dots["r2"], ".", ms=3, color=colour, alpha=0.4, rasterized=rasterised
        )
        name_marks(drawn, dots, "r2")
        bars = bar_lengths(means, "r2")
        x_mean = x_mean + space / 3
        circles = axis.errorbar(x_mean, means["r2"], bars, fmt="o", ms=4, color=colour, capsize=2)
        name_marks(circles.lines[0], means, "r2", *ENDS)
    names = ["untrained", "first\nmastery", "end"]
    if set(table["snapshot"]) == {"final"}:
        names = ["", "", "not trained\nhere"]
    axis.set_xticks(range(3), names)
    axis.set_xlim(-0.5, 2.5)
    axis.axhline(0, color="0.7", lw=0.6, zorder=0)
    if table.empty:
        say_why_empty(axis)


def sweeps(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw R² of every feature in every condition of the experiments that vary something."""
    conditions = {
        experiment: list(dict.fromkeys(part["condition"]))
        for experiment, part in tables["variance_explained"].groupby("experiment", sort=False)
    }
    swept = {e: names for e, names in conditions.items() if 1 < len(names) <= MANY_CONDITIONS}
    counts = _counts(tables["learning"])
    summary = _mean_r2(tables, layers, list(swept)).merge(
        counts, how="left", on=["experiment", "condition"]
    )
    targets = targets_of(tables)
    summary["target"] = [
        row.feature in targets.get((row.experiment, row.condition), [])
        for row in summary.itertuples()
    ]
    if not swept:
        return _one_condition_each(), summary
    colours = output_colours(tables)
    labels = {e: [wrapped(c) for c in names] for e, names in swept.items()}
    shown = summary.groupby("experiment")["feature"].nunique().to_dict()
    heights = [len(names) * row_height(labels[e], shown.get(e, 1)) for e, names in swept.items()]
    figure = Figure(figsize=(9.5, sum(heights) + 0.75 * len(heights) + 0.6))
    axes = figure.subplots(len(swept), 1, height_ratios=heights, sharex=True, squeeze=False)
    for axis, (experiment, names) in zip(axes.ravel(), swept.items(), strict=True):
        part = summary[summary["experiment"] == experiment].reset_index(drop=True)
        forest(axis, part, "r2", [(name,) for name in names], ["condition"], colours)
        axis.set_yticks(range(len(names)), labels[experiment], fontsize=7.5)
        axis.set_title(experiment, loc="left", fontweight="bold")
        axis.axvline(0, color="0.7", lw=0.6, zorder=0)
        axis.tick_params(axis="x", labelbottom=True)
        axis.set_xlim(-0.05, 1.05)
        _write_counts(axis, names, counts[counts["experiment"] == experiment])
    axis.set_xlabel("variance explained (R²)")
    drawn = set(summary["feature"])
    features = {feature: colour for feature, colour in colours.items() if feature in drawn}
    feature_legend(figure, features, snapshot_markers())
    return figure, summary


def _mean_r2(tables: Tables, layers: Layers, experiments: list[str]) -> pd.DataFrame:
    """Return mean R² of the features with an output, at first mastery and at the end."""
    table = included(analysed(tables["variance_explained"], layers), "mastered", "final")
    table = of_outputs(table, tables)
    keys = ["experiment", "condition", "layer", "feature", "snapshot"]
    return summarise(table[table["experiment"].isin(experiments)], keys, "r2")


def _counts(learning: pd.DataFrame) -> pd.DataFrame:
    """Count the included and all networks of every condition."""
    rows = [
        {
            "experiment": experiment,
            "condition": condition,
            "n_included": part.loc[part["included"].astype(bool), "network"].nunique(),
            "n_networks": part["network"].nunique(),
        }
        for (experiment, condition), part in learning.groupby(
            ["experiment", "condition"], sort=False
        )
    ]
    return pd.DataFrame(rows, columns=["experiment", "condition", "n_included", "n_networks"])


def _write_counts(axis: Axes, names: list[str], counts: pd.DataFrame) -> None:
    """Write beside every row how many networks were included, of how many."""
    style: dict[str, Any] = {"fontsize": 7.5, "color": "0.3"}
    for row in counts[counts["condition"].isin(names)].itertuples():
        words, y = f"{row.n_included}/{row.n_networks}", names.index(row.condition)
        axis.text(1.01, y, words, transform=axis.get_yaxis_transform(), va="center", **style)
    axis.text(1.01, 1, "included", transform=axis.transAxes, va="bottom", **style)


def _one_condition_each() -> Figure:
    figure, (axis,) = panels(1, height=1.4)
    axis.set_axis_off()
    axis.text(0.5, 0.5, "no experiment varies anything", ha="center", va="center", color="0.4")
    return figure


def variance_decomposition(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw the shares of the variance: a stacked bar per condition and snapshot."""
    table = analysed(tables["variance_decomposition"], layers)
    keys = ["experiment", "condition", "layer", "snapshot", "part"]
    summary = summarise(included(table, *SNAPSHOTS), keys, "share")
    if summary.empty:
        return empty_figure(), summary
    features = feature_colours(tables)
    parts = list(dict.fromkeys(summary["part"]))
    # The residual comes last, also where conditions have different features.
    parts = [p for p in parts if p not in PART_COLOURS] + [p for p in PART_COLOURS if p in parts]
    colours = {p: PART_COLOURS.get(p) or features.get(p, "0.3") for p in parts}
    by_experiment = table.groupby("experiment", sort=False)["condition"].unique()
    heights = [0.5 * len(names) for names in by_experiment]
    figure = Figure(figsize=(9.5, sum(heights) + 0.5 * len(heights) + 0.9))
    axes = figure.subplots(len(heights), 1, height_ratios=heights, sharex=True, squeeze=False)
    for axis, (experiment, names) in zip(axes.ravel(), by_experiment.items(), strict=True):
        _stacked_bars(axis, summary[summary["experiment"] == experiment], list(names), colours)
        axis.set_title(experiment, loc="left", fontweight="bold")
    axis.set_xlabel("share of the variance")
    legend_below(figure, [Patch(color=colour, label=part) for part, colour in colours.items()])
    return figure, summary


def _stacked_bars(
    axis: Axes, summary: pd.DataFrame, names: list[str], colours: dict[str, object]
) -> None:
    """Draw three bars per condition; shares that were estimated below 0 are drawn as 0."""
    name_style: dict[str, Any] = {"va": "center", "fontsize": 6.5, "color": "0.35"}
    name_style["transform"] = axis.get_yaxis_transform()
    for row, condition in enumerate(names):
        part = summary[summary["condition"] == condition]
        for i, snapshot in enumerate(SNAPSHOTS):
            found = part[part["snapshot"] == snapshot].set_index("part", drop=False)
            if found.empty:
                continue
            widths = found["share"].reindex(list(colours)).fillna(0).clip(lower=0)
            y = row + 0.29 * (i - 1)
            rows = np.full(len(widths), y)
            starts = widths.cumsum() - widths
            bars = axis.barh(rows, widths, 0.26, left=starts, color=list(colours.values()))
            for bar, name in zip(bars, colours, strict=True):
                if name in found.index:
                    name_marks(bar, found.loc[[name]], "share", *ENDS)
            axis.text(1.01, y, SNAPSHOT_NAMES[snapshot], **name_style)
        if part.empty:
            axis.text(0.01, row, "no network met the inclusion criterion", va="center", fontsize=7)
    axis.set_yticks(range(len(names)), [wrapped(name) for name in names], fontsize=7.5)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(0, None)
