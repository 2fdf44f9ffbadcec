"""How much of every score is which feature, and how far it could have moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from repbias.audit.shares import REST
from repbias.report.figures.drawing import (
    NONE_INCLUDED,
    empty_figure,
    legend_below,
    line,
    note_below,
    panels,
    row_height,
    striped_rows,
)
from repbias.report.figures.names import VIVID, legend_label, shortened
from repbias.report.figures.selection import Layers, Tables, included, one_layer

#: Panels and rows; further conditions are left out.
MOST_PANELS = 12
MOST_ROWS = 40
#: The colour of what no feature explains.
OF_REST = "0.75"
#: Why nothing is shown.
NOT_AUDITED = "no score could be divided;\nthe warnings say why"
#: What identifies a bar.
BAR = ["recording", "experiment", "condition", "snapshot", "layer"]


def colours_of(table: pd.DataFrame) -> dict[str, Any]:
    """Give every feature a colour; the rest is grey."""
    names = [name for name in dict.fromkeys(table["feature"]) if name not in (REST, "")]
    colours = {name: VIVID[i % len(VIVID)] for i, name in enumerate(names)}
    return colours | {REST: OF_REST}


def _why_empty(table: pd.DataFrame) -> str:
    """Say why no row of an audited table is drawn."""
    divided = table["score"].notna()
    return NONE_INCLUDED if divided.any() and not table["included"].any() else NOT_AUDITED


def mean_parts(table: pd.DataFrame) -> pd.DataFrame:
    """Average scores and their parts over included networks: one row per bar and feature.

    Returns
    -------
    pandas.DataFrame
        Columns :data:`BAR`, feature, score, part (share x score), share (of the mean score), gate
        (share of networks that pass it) and n.
    """
    rows = table[(table["subject"] == "") & table["time_s"].isna() & (table["recording_b"] == "")]
    rows = included(rows, "initial", "final")
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
        return empty_figure(_why_empty(tables["audit"])), table
    colours = colours_of(table)
    trained = table[table["snapshot"] == "final"]
    shown = list(trained.groupby(["recording", "experiment", "condition"], sort=False))
    figure, axes = panels(min(len(shown), MOST_PANELS))
    for axis, ((recording, _, condition), part) in zip(axes, shown, strict=False):
        _bars(axis, part, colours)
        axis.set_title(f"{recording}\n{legend_label(condition)}")
        axis.set_ylabel("score (debiased CKA)")
    handles: list[Any] = [Patch(color=colour, label=name) for name, colour in colours.items()]
    handles.append(
        Patch(facecolor="white", edgecolor="0.4", hatch="////", label="no score to divide")
    )
    legend_below(figure, handles)
    if len(shown) > MOST_PANELS:
        note_below(figure, f"shown: the first {MOST_PANELS} of {len(shown)}; all are in the data")
    return figure, table


def _bars(axis: Axes, part: pd.DataFrame, colours: dict[str, Any]) -> None:
    """Draw a stacked bar per layer; parts below zero hang from it."""
    order = list(dict.fromkeys(part["layer"]))
    up, down = np.zeros(len(order)), np.zeros(len(order))
    for feature, colour in colours.items():
        rows = part[part["feature"] == feature].set_index("layer").reindex(order)
        values = rows["part"].fillna(0).to_numpy(float)
        bottom = np.where(values >= 0, up, down)
        axis.bar(range(len(order)), values, bottom=bottom, color=colour, width=0.8)
        up, down = up + np.maximum(values, 0), down + np.minimum(values, 0)
    gate = part.groupby("layer", sort=False)["gate"].first().reindex(order)
    for x, passed in enumerate(gate):
        if passed < 0.5:
            axis.bar(x, up[x], color="none", edgecolor="0.4", hatch="////", lw=0, width=0.8)
    axis.axhline(0, color="0.4", lw=0.6)
    long = sum(map(len, order)) > 24
    rotation, side = (60, "right") if long else (0, "center")
    axis.set_xticks(range(len(order)), order, rotation=rotation, ha=side)


def audit_shares(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw the shares of every condition's analysed layer, with intervals, over networks."""
    table = tables["audit"]
    rows = table[(table["subject"] == "") & table["time_s"].isna() & (table["recording_b"] == "")]
    rows = included(rows, "final")
    rows = rows[rows["share"].notna()]
    if rows.empty:
        return empty_figure(_why_empty(table)), rows
    rows = one_layer(rows, layers)
    colours = colours_of(rows)
    groups = list(rows.groupby(["recording", "experiment", "condition", "layer"], sort=False))
    labels = [f"{r}: {shortened(c, 30)}, {layer}" for (r, _, c, layer), _ in groups[:MOST_ROWS]]
    height = row_height(labels, len(colours))
    figure = Figure(figsize=(8, height * len(labels) + 1.2))
    axis = figure.subplots()
    striped_rows(axis, labels)
    for y, (_, part) in enumerate(groups[:MOST_ROWS]):
        for i, (feature, colour) in enumerate(colours.items()):
            of_feature = part[part["feature"] == feature]
            at = y + 0.6 * ((i + 0.5) / len(colours) - 0.5)
            axis.plot(of_feature["share"], np.full(len(of_feature), at), ".", ms=3, color=colour)
            axis.plot(of_feature["share"].mean(), at, "o", ms=5, color=colour)
            low, high = of_feature["ci_low"].mean(), of_feature["ci_high"].mean()
            if np.isfinite(low):
                axis.plot([low, high], [at, at], "-", lw=1, color=colour)
    axis.axvline(0, color="0.6", lw=0.6, zorder=0)
    axis.axvline(1, color="0.6", lw=0.6, zorder=0)
    low, high = rows["share"].min(), rows["share"].max()
    axis.set_xlim(max(-1, min(-0.05, low - 0.1)), min(2, max(1.05, high + 0.1)))
    axis.set_xlabel("share of the score")
    legend_below(figure, [line(color=c, marker="o", ls="", label=n) for n, c in colours.items()])
    if len(groups) > MOST_ROWS:
        note_below(figure, f"shown: the first {MOST_ROWS} of {len(groups)}; all are in the data")
    return figure, rows


def audit_range(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw between what scores could have moved while everything that can be decoded stays."""
    table = tables["audit_range"]
    rows = included(table[table["time_s"].isna()], "initial", "final")
    rows = one_layer(rows, layers) if len(rows) else rows
    keys = ["recording", "experiment", "condition", "layer", "snapshot"]
    values = ["score", "range_low", "range_high", "alone", "usable"]
    means = rows.groupby([*keys, "feature"], sort=False)[values].mean().reset_index()
    if means["range_low"].notna().sum() == 0:
        return empty_figure(_why_empty(table)), means
    colours = colours_of(means)
    groups = list(means.groupby(keys, sort=False))
    labels = [
        f"{r}: {shortened(c, 30)}{', untrained' if s == 'initial' else ''}, {layer}"
        for (r, _, c, layer, s), _ in groups[:MOST_ROWS]
    ]
    figure = Figure(figsize=(8, row_height(labels, 1) * len(labels) + 1.4))
    axis = figure.subplots()
    striped_rows(axis, labels)
    for y, (_, part) in enumerate(groups[:MOST_ROWS]):
        first = part.iloc[0]
        axis.plot([first["range_low"], first["range_high"]], [y, y], "-", lw=5, color="0.85")
        for row in part[part["usable"] >= 0.5].itertuples():
            axis.plot(row.alone, y, "|", ms=8, mew=2, color=colours[row.feature])
        axis.plot(first["score"], y, "o", ms=5, color="black")
    axis.axvline(0, color="0.6", lw=0.6, zorder=0)
    axis.set_xlabel("score (debiased CKA)")
    handles = [
        line(color="black", marker="o", ls="", label="score"),
        Patch(color="0.85", label="range at the same decodable content"),
        *(line(color=c, marker="|", ls="", label=f"{n} alone") for n, c in colours.items()),
    ]
    legend_below(figure, handles)
    if len(groups) > MOST_ROWS:
        note_below(figure, f"shown: the first {MOST_ROWS} of {len(groups)}; all are in the data")
    return figure, means


def audit_networks(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw the similarity of networks of every two conditions, divided among features."""
    table = tables["audit_networks"]
    rows = table[table["snapshot"] == "final"]
    rows = rows[rows["share"].notna() & rows["score"].notna()]
    if rows.empty:
        return empty_figure(NOT_AUDITED), rows
    colours = colours_of(rows)
    rows = rows.assign(part=rows["share"] * rows["score"])
    keys = ["experiment", "condition_a", "layer_a", "condition_b", "layer_b"]
    groups = list(rows.groupby(keys, sort=False))[:MOST_ROWS]
    several = rows.groupby(["experiment", "condition_a"])["layer_a"].nunique().max() > 1
    labels = [_label(key, several) for key, _ in groups]
    figure = Figure(figsize=(8, row_height(labels, 1) * len(labels) + 1.2))
    axis = figure.subplots()
    striped_rows(axis, labels)
    for y, (_, part) in enumerate(groups):
        right, left = 0.0, 0.0
        values = part.set_index("feature")["part"]
        for feature, colour in colours.items():
            value = float(values.get(feature, 0.0))
            axis.barh(y, value, left=right if value >= 0 else left, color=colour, height=0.7)
            right, left = right + max(value, 0), left + min(value, 0)
    axis.axvline(0, color="0.4", lw=0.6)
    axis.set_xlabel("similarity (debiased CKA)")
    legend_below(figure, [Patch(color=c, label=n) for n, c in colours.items()])
    n = len(list(rows.groupby(keys)))
    if n > MOST_ROWS:
        note_below(figure, f"shown: the first {MOST_ROWS} of {n}; all are in the data")
    return figure, rows


def _label(key: Any, with_layers: bool) -> str:
    _, a, layer_a, b, layer_b = key
    sides = [(a, layer_a), (b, layer_b)]
    names = [legend_label(c) + (f" {layer}" if with_layers else "") for c, layer in sides]
    return " with ".join(shortened(name, 32) for name in names)
