"""What representations are used for: by the network's outputs, and by decoders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from repbias.base.statistics import preference
from repbias.report.figures.drawing import (
    PAGE,
    bar_lengths,
    curve,
    empty_figure,
    error_bars,
    feature_legend,
    grid,
    in_first_column,
    line,
    mark_chance,
    panels,
    say_why_empty,
    snapshot_markers,
    stack,
)
from repbias.report.figures.names import (
    feature_colours,
    output_colours,
    title_of,
    wrapped,
)
from repbias.report.figures.tips import ENDS, name_marks
from repbias.report.selection import (
    Group,
    Layers,
    Tables,
    analysed,
    groups_of,
    included,
    of_group,
    of_outputs,
    summarise,
    targets_of,
)
from repbias.report.words import SNAPSHOT_NAMES

#: The columns that identify a pair of features in conflict.
PAIR = ["experiment", "condition", "feature_a", "feature_b"]


def steering(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw how many outputs flip when the representation is moved along a feature."""
    summary = _mean_flips(included(analysed(tables["steering"], layers), "final"), tables)
    groups = groups_of(tables["steering"])
    if not groups:
        return empty_figure(), summary
    colours = {f: c for f, c in feature_colours(tables).items() if f in set(summary["feature"])}
    figure, axes = panels(2 * len(groups), PAGE / 4, 2.3, columns=4)
    for group, left, right in zip(groups, axes[::2], axes[1::2], strict=True):
        part = of_group(summary, group)
        _flips(left, part, "strength", colours)
        _flips(right, part, "norm_sd", colours)
        left.set(xlabel="steering strength", ylabel="share of outputs flipped")
        right.set_xlabel("step (SD of activity)")
        left.set_title(title_of(group, groups, 45), loc="left")
        if part.empty:
            say_why_empty(left)
    kinds = [
        line(color="0.3", label="output of the steered feature"),
        line(color="0.3", ls="--", label="output of another feature"),
    ]
    feature_legend(figure, colours, kinds)
    return figure, summary


def _mean_flips(table: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """Return the mean flips by steered target, output and strength, with the mean step length."""
    targets = targets_of(tables)
    keys = ["experiment", "condition", "feature", "output", "layer", "strength"]
    rewarded = [
        {feature, output} <= set(targets.get((experiment, condition), ()))
        for experiment, condition, feature, output in table[keys[:4]].itertuples(
            index=False, name=None
        )
    ]
    table = table[np.array(rewarded, bool)]
    summary = summarise(table, keys, "flips")
    lengths = table.groupby(keys)["norm_sd"].mean().to_dict()
    of_rows = summary[keys].itertuples(index=False, name=None)
    summary["norm_sd"] = np.array([lengths[key] for key in of_rows], float)
    return summary


def _flips(axis: Axes, summary: pd.DataFrame, x: str, colours: dict[str, object]) -> None:
    """Draw the flips of a feature's own output as solid lines, those of others dashed."""
    for (feature, output), part in summary.groupby(["feature", "output"], sort=False):
        style: dict[str, Any] = {} if feature == output else {"ls": "--", "lw": 0.9}
        curve(axis, part[x].astype(float), part, "flips", colours[feature], **style)
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlim(left=0)


def probes(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw what decoders find in every layer, and what a classifier follows in a conflict."""
    colours = output_colours(tables)
    table = of_outputs(included(tables["probes"], "initial", "final"), tables)
    keys = ["experiment", "condition", "probe", "snapshot", "feature", "layer", "chance"]
    accuracy = summarise(table, keys, "accuracy")
    conflict = included(analysed(tables["conflict"], layers), "mastered", "final")
    conflicts = summarise(
        conflict.assign(follows_a=preference(conflict["follows_a"], conflict["follows_b"])),
        [*PAIR, "layer", "snapshot"],
        "follows_a",
    )
    data = pd.concat(
        [
            accuracy.rename(columns={"accuracy": "value"}).assign(quantity="accuracy"),
            conflicts.rename(columns={"follows_a": "value"}).assign(quantity="follows_a"),
        ]
    )
    groups = groups_of(tables["probes"])
    if not groups:
        return empty_figure(), data
    pairs = [pair for pair, _ in tables["conflict"].groupby(PAIR, sort=False)]
    n_columns = 4 if len(groups) > 1 else 2
    heights = 2.2 * -(-2 * len(groups) // n_columns), (0.9 + 0.36 * len(pairs)) if pairs else 0.01
    figure = Figure(figsize=(max(PAGE / 4 * n_columns, 6.5), sum(heights) + 0.6))
    top, bottom = stack(figure, heights)
    axes = grid(top, 2 * len(groups), n_columns)
    for group, *pair in zip(groups, axes[::2], axes[1::2], strict=True):
        _decoded(pair, of_group(accuracy, group), colours)
        pair[0].set_title(title_of(group, groups, 45), loc="left")
    if pairs:
        _conflicts(bottom, conflicts, pairs, groups, colours)
    kinds = [
        line(color="0.3", marker="o", ms=4, label=SNAPSHOT_NAMES["final"]),
        line(color="0.3", marker="o", ms=4, ls="--", mfc="white", label="untrained"),
    ]
    drawn = {f: colour for f, colour in colours.items() if f in set(accuracy["feature"])}
    feature_legend(figure, drawn, [*kinds, *(snapshot_markers()[1:] if pairs else [])])
    return figure, data


def _decoded(axes: list[Axes], accuracy: pd.DataFrame, colours: dict[str, object]) -> None:
    """Draw accuracy against layers: linear probes on the left, nonlinear ones on the right."""
    order = list(dict.fromkeys(accuracy["layer"]))
    for axis, probe in zip(axes, ("linear", "nonlinear"), strict=True):
        part = accuracy[accuracy["probe"] == probe]
        for (feature, snapshot), rows in part.groupby(["feature", "snapshot"], sort=False):
            style: dict[str, Any] = {"marker": "o", "ms": 3.5}
            if snapshot == "initial":
                style |= {"ls": "--", "lw": 0.9, "mfc": "white"}
            x = rows["layer"].map(order.index)
            curve(axis, x, rows, "accuracy", colours[feature], **style)
        mark_chance(axis, accuracy)
        rotation = 30 if sum(map(len, order)) > 32 else 0
        axis.set_xticks(range(len(order)), order, fontsize=7.5, rotation=rotation)
        axis.text(0.98, 0.04, probe, transform=axis.transAxes, ha="right", color="0.35")
        if accuracy.empty:
            say_why_empty(axis)
    axes[0].set_ylabel("probe accuracy")


def _conflicts(
    figure: FigureBase,
    summary: pd.DataFrame,
    pairs: list[tuple[str, str, str, str]],
    groups: list[Group],
    colours: dict[str, object],
) -> None:
    """Draw how often the classifier follows the first of two features that disagree."""
    axis = figure.subplots()
    keys = summary[PAIR].itertuples(index=False, name=None)
    rows = pd.Series([pairs.index(key) for key in keys])
    for snapshot, indices in summary.groupby("snapshot").indices.items():
        final = snapshot == "final"
        y = rows.iloc[indices] + (-0.12 if final else 0.12)
        colour = "0.2" if final else "white"
        error_bars(axis, summary.iloc[indices], "follows_a", y, color="0.2", mfc=colour)
    style: dict[str, Any] = {"va": "center", "fontsize": 7.5}
    style["transform"] = axis.get_yaxis_transform()
    for y, (_, _, first, second) in enumerate(pairs):
        axis.text(0.005, y, f"◂ {second}", color=colours.get(second, "0.2"), **style)
        axis.text(0.995, y, f"{first} ▸", color=colours.get(first, "0.2"), ha="right", **style)
    labels = [title_of(pair[:2], groups) for pair in pairs]
    axis.set_yticks(range(len(pairs)), labels, fontsize=7.5)
    axis.axvline(0.5, color="0.6", lw=0.7, ls=":", zorder=0)
    axis.set(xlim=(-0.1, 1.1), ylim=(len(pairs) - 0.5, -0.5))
    axis.set_xlabel("share of conflict stimuli on which the classifier follows the feature")
    if summary.empty:
        say_why_empty(axis)


def behaviour(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw how often every rewarded output equals every feature, condition by condition."""
    table = tables["behaviour"]
    summary = _mean_agreement(table, tables)
    shown = [
        (experiment, output)
        for experiment, part in table.groupby("experiment", sort=False)
        for output in part["output"].unique()
        if any(e == experiment and output in names for (e, _), names in targets_of(tables).items())
    ]
    if not shown:
        return empty_figure(), summary
    conditions = {
        experiment: list(part["condition"].unique())
        for experiment, part in table.groupby("experiment", sort=False)
    }
    colours = {f: c for f, c in feature_colours(tables).items() if f in set(table["feature"])}
    figure, axes = _behaviour_panels(len(shown), list(conditions.values()))
    for axis, (experiment, output) in zip(axes, shown, strict=True):
        wanted = (summary["experiment"] == experiment) & (summary["output"] == output)
        _follows(axis, summary[wanted], conditions[experiment], colours)
        several = len(conditions) > 1
        axis.set_title((f"{experiment}: " if several else "") + f"output '{output}'", loc="left")
        if in_first_column(axis):
            axis.set_ylabel("agreement")
    kinds = [
        line(color="0.3", marker="o", ms=4, label=SNAPSHOT_NAMES["final"]),
        line(color="0.3", marker="o", ms=4, ls=":", mfc="white", label=SNAPSHOT_NAMES["mastered"]),
    ]
    feature_legend(figure, colours, kinds)
    return figure, summary


def _mean_agreement(table: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """Return the mean agreement of the rewarded outputs with every feature."""
    targets = targets_of(tables)
    keys = ["experiment", "condition", "output", "feature", "snapshot", "chance"]
    summary = summarise(included(table, "mastered", "final"), keys, "agreement")
    rewarded = [
        output in targets.get((experiment, condition), ())
        for experiment, condition, output in summary[keys[:3]].itertuples(index=False, name=None)
    ]
    return summary[np.array(rewarded, bool)]


def _behaviour_panels(n: int, conditions: list[list[str]]) -> tuple[Figure, list[Axes]]:
    """Return n panels: as wide as the page, and high enough for names, if conditions are many."""
    if max(map(len, conditions)) <= 6:
        return panels(n, PAGE / 3, 2.6, columns=3)
    longest = max(len(name) for names in conditions for name in names)
    return panels(n, PAGE - 1, 2.3 + min(3.0, 0.075 * longest), columns=1)


def _follows(
    axis: Axes, summary: pd.DataFrame, names: list[str], colours: dict[str, object]
) -> None:
    """Draw one line per feature over the conditions, so that a crossing shows."""
    shown = [feature for feature in colours if feature in set(summary["feature"])]
    for (feature, snapshot), part in summary.groupby(["feature", "snapshot"], sort=False):
        final = snapshot == "final"
        shift = 0.08 * (shown.index(feature) - (len(shown) - 1) / 2)
        drawn = axis.errorbar(
            part["condition"].map(names.index) + shift,
            part["agreement"],
            bar_lengths(part, "agreement"),
            color=colours[feature],
            marker="o",
            ms=3.5,
            lw=1.4 if final else 0.8,
            ls="-" if final else ":",
            mfc=colours[feature] if final else "white",
        )
        name_marks(drawn.lines[0], part, "agreement", *ENDS)
    mark_chance(axis, summary)
    axis.set_ylim(-0.03, 1.05)
    axis.set_xlim(-0.5, len(names) - 0.5)
    rotation = 90 if max(map(len, names)) * len(names) > 40 else 0
    labels = [wrapped(name) for name in names]
    axis.set_xticks(range(len(names)), labels, fontsize=7.5, rotation=rotation)
    if summary.empty:
        say_why_empty(axis)
