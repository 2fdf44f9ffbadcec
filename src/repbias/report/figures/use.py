"""What representations are used for: by the network's outputs, and by decoders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from repbias.report.figures.drawing import (
    PAGE,
    curve,
    empty_figure,
    error_bars,
    feature_legend,
    grid,
    in_first_column,
    line,
    panels,
    say_none_included,
    snapshot_markers,
)
from repbias.report.figures.names import (
    SNAPSHOT_NAMES,
    feature_colours,
    output_colours,
    title_of,
    wrapped,
)
from repbias.report.figures.selection import (
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


def steering(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """How many outputs flip when the representation is moved along a feature."""
    targets = targets_of(tables)
    table = included(analysed(tables["steering"], layers), "final")
    rewarded = [
        {feature, output} <= set(targets.get((experiment, condition), ()))
        for experiment, condition, feature, output in table[
            ["experiment", "condition", "feature", "output"]
        ].itertuples(index=False, name=None)
    ]
    table = table[np.array(rewarded, bool)]
    keys = ["experiment", "condition", "feature", "output", "strength"]
    summary = summarise(table, keys, "flips")
    lengths = table.groupby(keys)["norm_sd"].mean().to_dict()
    of_rows = summary[keys].itertuples(index=False, name=None)
    summary["norm_sd"] = np.array([lengths[key] for key in of_rows], float)
    groups = groups_of(tables["steering"])
    if not groups:
        return empty_figure(), summary
    colours = {f: c for f, c in feature_colours(tables).items() if f in set(summary["feature"])}
    figure, axes = panels(2 * len(groups), PAGE / 4, 2.3, columns=4)
    for i, group in enumerate(groups):
        part = of_group(summary, group)
        pair = axes[2 * i : 2 * i + 2]
        for axis, x, words in zip(
            pair, ("strength", "norm_sd"), ("strength", "step (SD of activity)"), strict=True
        ):
            for (feature, output), one in part.groupby(["feature", "output"], sort=False):
                own = feature == output
                style = {} if own else {"ls": "--", "lw": 0.9}
                curve(axis, one[x].astype(float), one, "flips", colours[feature], **style)
            axis.set(ylim=(-0.03, 1.03), xlabel=words)
            axis.set_xlim(left=0)
        pair[0].set_ylabel("outputs that flip")
        pair[0].set_title(title_of(group, groups, 45), loc="left")
        if part.empty:
            say_none_included(pair[0])
    kinds = [
        line(color="0.3", label="its own output"),
        line(color="0.3", ls="--", label="another output"),
    ]
    feature_legend(figure, colours, kinds)
    return figure, summary


def probes(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw what decoders find in every layer, and what a classifier says in a conflict."""
    colours = output_colours(tables)
    table = of_outputs(included(tables["probes"], "initial", "final"), tables)
    keys = ["experiment", "condition", "probe", "snapshot", "feature", "layer"]
    accuracy = summarise(table, keys, "accuracy")
    conflicts = summarise(
        included(analysed(tables["conflict"], layers), "mastered", "final"),
        ["experiment", "condition", "feature_a", "feature_b", "snapshot"],
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
    pairs = list(
        tables["conflict"].groupby(
            ["experiment", "condition", "feature_a", "feature_b"], sort=False
        ).groups
    )  # fmt: skip
    n_columns = 4 if len(groups) > 1 else 2
    heights = 2.2 * -(-2 * len(groups) // n_columns), (0.9 + 0.36 * len(pairs)) if pairs else 0.01
    figure = Figure(figsize=(max(PAGE / 4 * n_columns, 6.5), sum(heights) + 0.6))
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=heights).ravel()
    axes = grid(top, 2 * len(groups), n_columns)
    for i, group in enumerate(groups):
        _decoded(axes[2 * i : 2 * i + 2], of_group(accuracy, group), colours)
        axes[2 * i].set_title(title_of(group, groups, 45), loc="left")
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
        for (feature, snapshot), one in part.groupby(["feature", "snapshot"], sort=False):
            colour = colours[feature]
            style = {"marker": "o", "ms": 3.5}
            if snapshot == "initial":
                style |= {"ls": "--", "lw": 0.9, "mfc": "white"}
            curve(axis, one["layer"].map(order.index), one, "accuracy", colour, **style)
        axis.axhline(0.5, color="0.6", lw=0.7, ls=":", zorder=0)
        axis.set_xticks(
            *(range(len(order)), order),
            fontsize=7.5,
            rotation=30 if sum(map(len, order)) > 32 else 0,
        )
        axis.set_ylim(0.4, 1.03)
        axis.text(0.98, 0.04, probe, transform=axis.transAxes, ha="right", color="0.35")
        if accuracy.empty:
            say_none_included(axis)
    axes[0].set_ylabel("accuracy of probes")


def _conflicts(
    figure: FigureBase,
    summary: pd.DataFrame,
    pairs: list[tuple[str, str, str, str]],
    groups: list[Group],
    colours: dict[str, object],
) -> None:
    """Draw how often the classifier follows the first of two features that disagree."""
    axis = figure.subplots()
    rows = summary[["experiment", "condition", "feature_a", "feature_b"]]
    rows = pd.Series([pairs.index(key) for key in rows.itertuples(index=False, name=None)])
    for snapshot, indices in summary.groupby("snapshot").indices.items():
        final = snapshot == "final"
        error_bars(
            *(axis, summary.iloc[indices], "follows_a", rows.iloc[indices] + 0.12 * (-1) ** final),
            color="0.2", mfc="0.2" if final else "white",
        )  # fmt: skip
    for y, (_, _, first, second) in enumerate(pairs):
        style: dict[str, Any] = {
            "va": "center",
            "fontsize": 7.5,
            "transform": axis.get_yaxis_transform(),
        }
        axis.text(0.005, y, f"◂ {second}", color=colours.get(second, "0.2"), **style)
        axis.text(0.995, y, f"{first} ▸", color=colours.get(first, "0.2"), ha="right", **style)
    labels = [title_of(pair[:2], groups) for pair in pairs]
    axis.set_yticks(range(len(pairs)), labels, fontsize=7.5)
    axis.axvline(0.5, color="0.6", lw=0.7, ls=":", zorder=0)
    axis.set(xlim=(-0.1, 1.1), ylim=(len(pairs) - 0.5, -0.5))
    axis.set_xlabel("share of conflict stimuli on which a classifier follows the feature")
    if summary.empty:
        say_none_included(axis)


def behaviour(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """How often every rewarded output equals every feature, condition by condition."""
    targets = targets_of(tables)
    keys = ["experiment", "condition", "output", "feature", "snapshot"]
    table = tables["behaviour"]
    shown = [
        (experiment, output)
        for experiment, part in table.groupby("experiment", sort=False)
        for output in part["output"].unique()
        if any(e == experiment and output in names for (e, _), names in targets.items())
    ]
    summary = summarise(included(table, "mastered", "final"), keys, "agreement")
    rewarded = [
        output in targets.get((experiment, condition), ())
        for experiment, condition, output in summary[keys[:3]].itertuples(index=False, name=None)
    ]
    summary = summary[np.array(rewarded, bool)]
    if not shown:
        return empty_figure(), summary
    conditions = {
        experiment: list(part["condition"].unique())
        for experiment, part in table.groupby("experiment", sort=False)
    }
    colours = {f: c for f, c in feature_colours(tables).items() if f in set(table["feature"])}
    many = max(map(len, conditions.values())) > 6
    width, n_columns = (PAGE - 1, 1) if many else (PAGE / 3, 3)
    longest = max(len(name) for names in conditions.values() for name in names)
    height = 2.3 + min(3.0, 0.075 * longest if many else 0.3)
    figure, axes = panels(len(shown), width, height, n_columns)
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


def _follows(
    axis: Axes, summary: pd.DataFrame, names: list[str], colours: dict[str, object]
) -> None:
    """Draw one line per feature over the conditions, so that a crossing is seen."""
    shown = [feature for feature in colours if feature in set(summary["feature"])]
    for (feature, snapshot), part in summary.groupby(["feature", "snapshot"], sort=False):
        final = snapshot == "final"
        shift = 0.08 * (shown.index(feature) - (len(shown) - 1) / 2)
        bars = [part["agreement"] - part["ci_low"], part["ci_high"] - part["agreement"]]
        axis.errorbar(
            *(part["condition"].map(names.index) + shift, part["agreement"], bars),
            color=colours[feature], marker="o", ms=3.5, lw=1.4 if final else 0.8,
            ls="-" if final else ":", mfc=colours[feature] if final else "white",
        )  # fmt: skip
    axis.axhline(0.5, color="0.6", lw=0.7, ls=":", zorder=0)
    axis.set_ylim(-0.03, 1.05)
    axis.set_xlim(-0.5, len(names) - 0.5)
    long = max(map(len, names)) * len(names) > 40
    axis.set_xticks(
        *(range(len(names)), [wrapped(name) for name in names]),
        fontsize=7.5, rotation=90 if long else 0,
    )  # fmt: skip
    if summary.empty:
        say_none_included(axis)
