"""How much of every score is which feature, and how far it could have moved."""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from repbias.auditing.shares import REST
from repbias.report.figures.drawing import (
    LINE,
    empty_figure,
    in_first_column,
    legend_below,
    line,
    panels,
    row_height,
    striped_rows,
)
from repbias.report.figures.names import distinct_colours, legend_label, shortened, wrapped
from repbias.report.figures.tips import name_line, name_marks
from repbias.report.law import (
    explained_by_law,
    of_recordings,
    predicted_between_networks,
    predicted_shares,
)
from repbias.report.numbers import decimals
from repbias.report.selection import Layers, Tables, one_layer

#: Panels and rows; further conditions are left out.
MOST_PANELS = 12
MOST_ROWS = 40
#: Shares with intervals in a figure; with many features there are fewer rows.
MOST_LINES = 160
#: The colour of what no feature explains.
OF_REST = "0.75"
#: Bars that a panel has room for at least, so that one bar does not fill it.
FEWEST_BARS = 5
#: Characters of a layer's name below a bar.
LAYER_WIDTH = 22
#: Letters in a line of the reasons why nothing is shown.
REASON_WIDTH = 90
#: Scores and parts of them are drawn up to here; estimates of cosines may exceed 1.
HIGHEST = 1.1
#: Tables by whose order of features these have their colours.
WITH_FEATURES = ("audit", "audit_range", "audit_networks")
#: What identifies a bar.
BAR = ["recording", "experiment", "condition", "snapshot", "layer"]


def colours_of(table: pd.DataFrame, tables: Tables) -> dict[str, Any]:
    """Give every feature of a table a colour, the same in all figures; the rest is grey."""
    of = [tables[name]["feature"] for name in WITH_FEATURES if name in tables]
    names = [name for name in dict.fromkeys(chain(*of)) if name not in (REST, "")]
    shown = set(table["feature"])
    colours = dict(zip(names, distinct_colours(len(names)), strict=True))
    return {name: colour for name, colour in colours.items() if name in shown} | {REST: OF_REST}


def not_audited(table: pd.DataFrame) -> Figure:
    """Return a figure that says why no score was divided, in the words of the table."""
    if "included" in table and table["score"].notna().any() and not table["included"].any():
        return empty_figure()
    reasons = dict.fromkeys(w for w in table["warning"] if w) if "warning" in table else {}
    lines = ["no score was divided"]
    for reason in reasons:
        lines += ["", *textwrap.wrap(reason, REASON_WIDTH)]
    return empty_figure("\n".join(lines))


def _left_out(n: int, most: int) -> str:
    """Say how many of n things are shown."""
    return f"shown: the first {most} of {n}; all are in the data" if n > most else ""


def _handles(colours: dict[str, Any], marker: str = "", suffix: str = "") -> list[Any]:
    """Explain the features' colours in a legend: those of bars, or of markers."""
    names = {legend_label(name) + suffix: colour for name, colour in colours.items()}
    if not marker:
        return [Patch(color=colour, label=name) for name, colour in names.items()]
    return [line(color=c, marker=marker, ls="", label=name) for name, c in names.items()]


def mean_parts(table: pd.DataFrame) -> pd.DataFrame:
    """Average scores and their parts over included networks: one row per bar and feature.

    Returns
    -------
    pandas.DataFrame
        Columns :data:`BAR`, feature, score, part (share x score), share (of the mean score), gate
        (share of networks that pass it) and n.
    """
    rows = of_recordings(table[table["subject"] == ""], "initial", "final")
    rows = rows[rows["share"].notna() & rows["score"].notna()]
    rows = rows.assign(part=rows["share"] * rows["score"])
    means = rows.groupby([*BAR, "feature"], sort=False).agg(
        score=("score", "mean"), part=("part", "mean"), gate=("gate", "mean"), n=("share", "size")
    )
    return means.reset_index().assign(share=lambda t: t["part"] / t["score"])


def audit(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw the score of every layer with every recording, divided among features."""
    table = mean_parts(tables["audit"])
    if table.empty:
        return not_audited(tables["audit"]), table
    colours = colours_of(table, tables)
    trained = table[table["snapshot"] == "final"]
    shown = list(trained.groupby(["recording", "experiment", "condition"], sort=False))
    figure, axes = panels(min(len(shown), MOST_PANELS))
    for axis, ((recording, _, condition), part) in zip(axes, shown, strict=False):
        _bars(axis, part, colours)
        axis.set_title(f"{recording}\n{wrapped(condition, 30)}")
        if in_first_column(axis):
            axis.set_ylabel("score (debiased CKA)")
    hatched = Patch(facecolor="white", edgecolor="0.4", hatch="////", label="no score to divide")
    legend_below(figure, [*_handles(colours), hatched], _left_out(len(shown), MOST_PANELS))
    return figure, table


def _bars(axis: Axes, part: pd.DataFrame, colours: dict[str, Any]) -> None:
    """Draw a stacked bar per layer; parts below zero hang from it."""
    order = list(dict.fromkeys(part["layer"]))
    up, down = np.zeros(len(order)), np.zeros(len(order))
    for feature, colour in colours.items():
        rows = part[part["feature"] == feature].set_index("layer").reindex(order)
        values = rows["part"].fillna(0).to_numpy(float)
        bottom = np.where(values >= 0, up, down)
        bars = axis.bar(range(len(order)), values, bottom=bottom, color=colour, width=0.8)
        for bar, layer in zip(bars, order, strict=True):
            if not np.isnan(rows.at[layer, "part"]):
                name_marks(bar, rows.loc[[layer]].assign(layer=layer), "part")
        up, down = up + np.maximum(values, 0), down + np.minimum(values, 0)
    gate = part.groupby("layer", sort=False)["gate"].first().reindex(order)
    for x in np.flatnonzero(gate.to_numpy(float) < 0.5):
        height = up[x] - down[x]
        axis.bar(x, height, bottom=down[x], color="white", alpha=0.6, width=0.8)
        axis.bar(x, height, 0.8, down[x], color="none", edgecolor="0.4", hatch="////", lw=0.6)
    axis.axhline(0, color="0.4", lw=0.6)
    room = max(0, FEWEST_BARS - len(order)) / 2
    axis.set_xlim(-0.6 - room, len(order) - 0.4 + room)
    names = [shortened(layer, LAYER_WIDTH) for layer in order]
    long = sum(map(len, names)) > 24
    rotation, side = (60, "right") if long else (0, "center")
    style: dict[str, Any] = {"rotation_mode": "anchor", "fontsize": 9 if len(order) <= 12 else 6}
    axis.set_xticks(range(len(order)), names, rotation=rotation, ha=side, **style)


def audit_shares(
    tables: Tables, layers: Layers, spaces: Collection[str] = ()
) -> tuple[Figure, pd.DataFrame]:
    """Draw the shares of every condition's analysed layer, with intervals, over networks.

    Of the models `spaces` ("experiment/condition"), feature spaces or RDMs, every one is drawn.
    """
    table = tables["audit"]
    rows = of_recordings(table[table["subject"] == ""], "final")
    rows = rows[rows["share"].notna()]
    if rows.empty:
        return not_audited(table), rows
    rows = one_layer(rows, layers, spaces)
    colours = colours_of(rows, tables)
    found = rows.groupby(["recording", "experiment", "condition", "layer"], sort=False)
    most = min(MOST_ROWS, max(1, MOST_LINES // len(colours)))
    groups = list(found)[:most]
    labels = [
        f"{r}: {shortened(c, 30)}, {shortened(layer, LAYER_WIDTH)}"
        for (r, _, c, layer), _ in groups
    ]
    height = row_height(labels, len(colours))
    figure = Figure(figsize=(8, height * len(labels) + 1.2))
    axis = figure.subplots()
    striped_rows(axis, labels)
    for y, (_, part) in enumerate(groups):
        for i, (feature, colour) in enumerate(colours.items()):
            of_feature = part[part["feature"] == feature]
            at = y + 0.6 * ((i + 0.5) / len(colours) - 0.5)
            along = np.full(len(of_feature), at)
            (dots,) = axis.plot(of_feature["share"], along, ".", ms=3, color=colour)
            name_marks(dots, of_feature, "share")
            (circle,) = axis.plot(of_feature["share"].mean(), at, "o", ms=5, color=colour)
            name_line(circle, of_feature, LINE)
            low, high = of_feature["ci_low"].mean(), of_feature["ci_high"].mean()
            if np.isfinite(low):
                axis.plot([low, high], [at, at], "-", lw=1, color=colour)
    axis.axvline(0, color="0.6", lw=0.6, zorder=0)
    axis.axvline(1, color="0.6", lw=0.6, zorder=0)
    low, high = rows["share"].min(), rows["share"].max()
    axis.set_xlim(max(-1, min(-0.05, low - 0.1)), min(2, max(1.05, high + 0.1)))
    axis.set_xlabel("share of the score")
    legend_below(figure, _handles(colours, "o"), _left_out(found.ngroups, most))
    return figure, rows


def audit_range(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw between what scores could have moved while everything that can be decoded stays."""
    table = tables["audit_range"]
    rows = of_recordings(table, "initial", "final")
    rows = _of_best_layer(rows)
    rows = rows.assign(alone=rows["alone"].where(rows["usable"].astype(bool)))
    keys = ["recording", "experiment", "condition", "layer", "snapshot"]
    values = ["score", "range_low", "range_high", "alone"]
    means = rows.groupby([*keys, "feature"], sort=False)[values].mean().reset_index()
    if means["range_low"].notna().sum() == 0:
        return not_audited(table), means
    colours = colours_of(means, tables)
    groups = list(means.groupby(keys, sort=False))
    labels = [
        f"{r}: {shortened(c, 30)}{', untrained' if s == 'initial' else ''}, "
        f"{shortened(layer, LAYER_WIDTH)}"
        for (r, _, c, layer, s), _ in groups[:MOST_ROWS]
    ]
    figure = Figure(figsize=(8, row_height(labels, 1) * len(labels) + 1.4))
    axis = figure.subplots()
    striped_rows(axis, labels)
    for y, (_, part) in enumerate(groups[:MOST_ROWS]):
        first = part.iloc[0]
        axis.plot([first["range_low"], first["range_high"]], [y, y], "-", lw=5, color="0.85")
        for row in part.itertuples():
            (tick,) = axis.plot(row.alone, y, "|", ms=8, mew=2, color=colours[row.feature])
            name_marks(tick, part.loc[[row.Index]], "alone")
        (dot,) = axis.plot(first["score"], y, "o", ms=5, color="black")
        name_marks(dot, part.iloc[[0]].drop(columns="feature"), "score")
    axis.axvline(0, color="0.6", lw=0.6, zorder=0)
    axis.set_xlim(right=min(HIGHEST, axis.get_xlim()[1]))
    axis.set_xlabel("score (debiased CKA)")
    handles = [
        line(color="black", marker="o", ls="", label="score"),
        Patch(color="0.85", label="range at the same decodable content"),
        *_handles(colours, "|", " alone"),
    ]
    legend_below(figure, handles, _left_out(len(groups), MOST_ROWS))
    return figure, means


def _of_best_layer(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of every model's layer with the highest mean score."""
    model = ["recording", "experiment", "condition", "snapshot"]
    means = rows.groupby([*model, "layer"], sort=False)["score"].mean().reset_index()
    best = means.sort_values("score", ascending=False, kind="stable").drop_duplicates(model)
    return rows.merge(best[[*model, "layer"]], on=[*model, "layer"])


def energy_law(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw measured shares against those that variance and participation ratios predict."""
    means = predicted_shares(tables["audit"])
    return _against_law(means, "recording", tables, "audit"), means


def energy_law_networks(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw shares of similarities between networks against those that variance predicts."""
    rows = predicted_between_networks(tables["audit_networks"])
    return _against_law(rows, "experiment", tables, "audit_networks"), rows


def _against_law(means: pd.DataFrame, panel: str, tables: Tables, audited: str) -> Figure:
    """Draw shares, measured against predicted, with a panel for every value of a column."""
    if means.empty:
        return not_audited(tables[audited])
    colours = colours_of(means, tables)
    parts = list(means.groupby(panel, sort=False))[:MOST_PANELS]
    figure, axes = panels(len(parts), sharey=False)
    for axis, (name, part) in zip(axes, parts, strict=True):
        for feature, of_feature in part.groupby("feature", sort=False):
            (drawn,) = axis.plot(
                of_feature["predicted"], of_feature["share"], "o", ms=4, color=colours[feature]
            )
            name_marks(drawn, of_feature, "share")
        axis.axline((0, 0), slope=1, color="0.6", lw=0.7, zorder=0)
        explained = explained_by_law(part)
        axis.set_title(f"{name} (R² {decimals(explained, 3)})" if np.isfinite(explained) else name)
        axis.set_xlabel("share predicted by variance")
        axis.set_ylabel("share of the score")
    legend_below(figure, _handles({f: c for f, c in colours.items() if f != REST}, "o"))
    return figure


def audit_networks(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw the similarity of networks of every two conditions, divided among features."""
    table = tables["audit_networks"]
    rows = table[table["snapshot"] == "final"]
    rows = rows[rows["share"].notna() & rows["score"].notna()]
    if rows.empty:
        return not_audited(table), rows
    colours = colours_of(rows, tables)
    rows = rows.assign(part=rows["share"] * rows["score"])
    keys = ["experiment", "condition_a", "layer_a", "condition_b", "layer_b"]
    found = rows.groupby(keys, sort=False)
    note = ""
    if found.ngroups > MOST_ROWS:
        found = rows[_of_one_layer(rows, layers)].groupby(keys, sort=False)
        note = _left_out(found.ngroups, MOST_ROWS)
        note = note or "shown: one layer of every network; all are in the data"
    groups = list(found)[:MOST_ROWS]
    several = rows.groupby(["experiment", "condition_a"])["layer_a"].nunique().max() > 1
    labels = [_label(key, several, rows["experiment"].nunique() > 1) for key, _ in groups]
    figure = Figure(figsize=(8, row_height(labels, 1) * len(labels) + 1.2))
    axis = figure.subplots()
    striped_rows(axis, labels)
    for y, (_, part) in enumerate(groups):
        right, left = 0.0, 0.0
        values = part.set_index("feature")["part"]
        for feature, colour in colours.items():
            value = float(values.get(feature, 0.0))
            (bar,) = axis.barh(y, value, 0.7, right if value >= 0 else left, color=colour)
            name_marks(bar, part[part["feature"] == feature], "part")
            right, left = right + max(value, 0), left + min(value, 0)
    axis.axvline(0, color="0.4", lw=0.6)
    axis.set_xlabel("similarity (debiased CKA)")
    legend_below(figure, _handles(colours), note)
    return figure, rows


def _of_one_layer(rows: pd.DataFrame, layers: Layers) -> pd.Series:
    """Return which rows are of the analysed layer on both sides, or else of the last one."""
    sides = [
        (rows["experiment"] + "/" + rows[f"condition{side}"], rows[f"layer{side}"])
        for side in ("_a", "_b")
    ]
    last = {name: layer for side in sides for name, layer in zip(*side, strict=True)}
    chosen = last | dict(layers)
    (a, layer_a), (b, layer_b) = sides
    both: pd.Series = (layer_a == a.map(chosen)) & (layer_b == b.map(chosen))
    return both


def _label(key: Any, with_layers: bool, with_experiment: bool) -> str:
    experiment, a, layer_a, b, layer_b = key
    sides = [(a, layer_a), (b, layer_b)]
    names = [f"{c} {layer}" if with_layers and c != layer else c for c, layer in sides]
    pair = " with ".join(shortened(name, 32) for name in names)
    return f"{shortened(experiment, 32)}: {pair}" if with_experiment else pair
