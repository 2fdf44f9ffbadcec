"""The units of recordings: how reliable they are, and how well models predict them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from repbias.report.figures.drawing import (
    PAGE,
    empty_figure,
    error_bars,
    grid,
    legend_below,
    line,
    panels,
    striped_rows,
)
from repbias.report.figures.model_tests import LEVEL
from repbias.report.figures.names import (
    COLOURS,
    UNTRAINED,
    VIVID,
    legend_label,
    model_labels,
    shortened,
)
from repbias.report.figures.selection import (
    MODEL,
    Layers,
    Tables,
    groups_of,
    included,
    of_group,
    one_layer,
    over_networks,
    summarise,
)

#: Panels of a recording; with more regions than this some are left out.
MOST_REGIONS = 6
#: Conditions that have a colour of their own.
MOST_CONDITIONS = len(VIVID)
#: Distributions in one panel.
MOST_DISTRIBUTIONS = 6
#: More layers than this stand at their relative depth.
MOST_LAYERS = 12
#: Rows of a panel of parts of the variance.
MOST_PARTS = 60
#: Colours of the parts, by the first word of their name.
PARTS = dict(zip(("all", "alone", "together", "unique", "shared", "split"), VIVID, strict=False))
#: The ends of the histograms of r / ceiling, which has no bounds.
NORMALISED = (-0.5, 1.5)


def encoding_regions(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw every region's layer profiles, and how the units' scores are distributed."""
    table = included(tables["encoding_regions"], "initial", "final")
    recordings = list(table.groupby("recording", sort=False))
    if not recordings:
        return empty_figure(), table
    n_regions = [min(part["region"].nunique(), MOST_REGIONS) for _, part in recordings]
    columns = [2 if n == 2 else 3 for n in n_regions]
    heights = [2.5 * -(-(n + 2) // k) + 0.3 for n, k in zip(n_regions, columns, strict=True)]
    figure = Figure(figsize=(PAGE, sum(heights) + 0.6))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).ravel()
    groups = groups_of(table)[:MOST_CONDITIONS]
    colours = dict(zip(groups, VIVID, strict=False))
    units = included(tables["encoding"], "final")
    for subfigure, (recording, part), n, k in zip(
        parts, recordings, n_regions, columns, strict=True
    ):
        axes = grid(subfigure, n + 2, k, sharey=False)
        names = list(part["region"].unique())
        for axis, region in zip(axes[:n], names, strict=False):
            _profiles(axis, part[part["region"] == region], colours)
            axis.set_title(": ".join(filter(None, (recording, region))))
            axis.set_ylabel("r, mean over units")
        bottom = min(axis.get_ylim()[0] for axis in axes[:n])
        top = max(axis.get_ylim()[1] for axis in axes[:n])
        for axis in axes[:n]:
            axis.set_ylim(bottom, top)
        for axis, value in zip(axes[n:], ("r", "r_normalised"), strict=True):
            _distribution(axis, units[units["recording"] == recording], value, colours, layers)
        few = "" if len(groups) <= MOST_DISTRIBUTIONS else f", {MOST_DISTRIBUTIONS} models"
        axes[n].set_title(f"{recording}: all units{few}")
        if len(names) > n:
            words = f"shown: the first {n} of {len(names)} regions; all are in the data"
            subfigure.supxlabel(words, fontsize=7, color="0.35")
    handles = [
        line(color=colour, marker="o", ms=4, label=title)
        for title, colour in zip(_titles(groups), colours.values(), strict=True)
    ]
    if "initial" in set(table["snapshot"]):
        handles.append(line(color=UNTRAINED, marker="o", ms=4, mfc="white", label="untrained"))
    handles.append(line(color="0.5", ls=":", label="ceiling (mean over units)"))
    if len(groups_of(table)) > len(groups):
        words = f"(shown: the first {len(groups)} of {len(groups_of(table))} models)"
        handles.append(line(ls="", label=words))
    legend_below(figure, handles)
    return figure, table


def _titles(groups: list[tuple[str, str]]) -> list[str]:
    several = len({experiment for experiment, _ in groups}) > 1
    return [shortened(f"{e}: {c}" if several else c, 36) for e, c in groups]


def _profiles(axis: Axes, part: pd.DataFrame, colours: dict[Any, Any]) -> None:
    """Draw scores against layers, by name if they are few, else by relative depth."""
    order = list(part["layer"].unique())
    named = len(order) <= MOST_LAYERS
    for i, (group, colour) in enumerate(colours.items()):
        rows = of_group(part, group)
        depth = list(rows["layer"].unique())
        for snapshot, of in rows.groupby("snapshot", sort=False):
            means = over_networks(of, ["layer"], "r")
            x = np.array([(order if named else depth).index(layer) for layer in means["layer"]])
            if named:
                x = x + 0.05 * (i - (len(colours) - 1) / 2)  # bars stand beside each other
            else:
                x = x / (len(depth) - 1) if len(depth) > 1 else x + 0.5
            shade = UNTRAINED if snapshot == "initial" else colour
            bars = [means["r"] - means["ci_low"], means["ci_high"] - means["r"]]
            axis.errorbar(
                *(x, means["r"], bars), marker="o", ms=3, lw=1.2, elinewidth=0.8, color=shade,
                mfc="white" if snapshot == "initial" else shade,
            )  # fmt: skip
    ceiling = part["ceiling"].mean()
    if np.isfinite(ceiling):
        axis.axhline(ceiling, color="0.5", ls=":")
    axis.axhline(0, color="0.7", lw=0.6, zorder=0)
    if named:
        turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        labels = [shortened(layer, 16) for layer in order]
        long = len("  ".join(labels)) > 55
        axis.set_xticks(range(len(order)), labels, fontsize=7, **turned if long else {})
        axis.set_xlim(-0.4, len(order) - 0.6)
    else:
        axis.set_xticks([0, 1], ["first layer", "last layer"], fontsize=7)


def _distribution(
    axis: Axes, units: pd.DataFrame, value: str, colours: dict[Any, Any], layers: Layers
) -> None:
    """Draw how units' scores are distributed, for one layer of every condition."""
    axis.set_xlabel({"r": "r", "r_normalised": "r / ceiling"}[value])
    axis.set_ylabel("units")
    chosen = one_layer(units, layers)
    chosen = chosen[np.isfinite(chosen[value].astype(float))]
    groups = [group for group in groups_of(chosen) if group in colours][:MOST_DISTRIBUTIONS]
    if not groups:
        axis.text(0.5, 0.5, "no units", ha="center", transform=axis.transAxes, color="0.4")
        return
    range_ = NORMALISED
    if value == "r":
        range_ = (min(0, chosen["r"].min()), max(0, chosen["r"].max()))
    top = 0
    for group in groups:
        rows = of_group(chosen, group)
        means = rows.groupby(["subject", "unit"], sort=False)[value].mean().clip(*range_)
        label = legend_label(model_labels(rows[MODEL].drop_duplicates(), 30)[0])
        if value == "r" and rows["p_fdr"].notna().any():
            share = (rows["p_fdr"] < LEVEL).mean()
            label = f"{label}: {share:.0%} significant"
        counts, *_ = axis.hist(
            means, bins=30, range=range_, histtype="step", color=colours[group], label=label
        )
        top = max(top, np.max(counts))
    axis.axvline(0, color="0.7", lw=0.6, zorder=0)
    # Room for the names above the highest bar.
    axis.set_ylim(0, top * (1.08 + 0.11 * len(groups)))
    if value == "r":
        axis.legend(loc="upper left", fontsize=6.5, handlelength=1.2, labelspacing=0.25)


def variance_partition(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw a row per model and part of the variance that it explains, a column per region."""
    table = tables["variance_partition"]
    keys = ["recording", "region", "experiment", "model", "part"]
    # The units are the sample: a model's networks are averaged within each first.
    units = table.groupby([*keys, "subject", "unit"], sort=False)["r2"].mean().reset_index()
    data = summarise(units, keys, "r2").rename(columns={"n": "n_units"})
    recordings = list(data.groupby("recording", sort=False))
    if not recordings:
        return empty_figure(), data
    row_keys = ["experiment", "model", "part"]
    rows = [part[row_keys].drop_duplicates() for _, part in recordings]
    n_regions = [min(part["region"].nunique(), MOST_REGIONS) for _, part in recordings]
    heights = [
        (0.16 * min(len(each), MOST_PARTS) + 0.8) * -(-n // 3)
        for each, n in zip(rows, n_regions, strict=True)
    ]
    figure = Figure(figsize=(PAGE, sum(heights) + 0.4))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).ravel()
    for subfigure, (recording, part), each, n in zip(
        parts, recordings, rows, n_regions, strict=True
    ):
        _draw_parts(subfigure, recording, part, each, n)
    kinds = {part.split()[0] for part in data["part"]}
    colours = {kind: colour for kind, colour in PARTS.items() if kind in kinds}
    legend_below(
        figure, [line(color=c, marker="o", ls="", label=name) for name, c in colours.items()]
    )
    return figure, data


def _draw_parts(
    figure: FigureBase, recording: str, part: pd.DataFrame, rows: pd.DataFrame, n_regions: int
) -> None:
    """Draw one recording's regions; rows are those of :data:`MOST_PARTS` that come first."""
    regions = list(part["region"].unique())
    shown = rows.head(MOST_PARTS).assign(y=range(min(len(rows), MOST_PARTS)))
    several = rows["model"].nunique() > 1
    labels = [f"{row.model}: {row.part}" if several else row.part for row in shown.itertuples()]
    starts = shown.loc[~shown.duplicated(["experiment", "model"]), "y"].iloc[1:]
    axes = grid(figure, n_regions, min(3, n_regions))
    for axis, region in zip(axes, regions, strict=False):
        of_region = part[part["region"] == region].merge(shown)
        for name, dots in of_region.groupby(of_region["part"].str.split().str[0], sort=False):
            error_bars(axis, dots, "r2", dots["y"], color=PARTS.get(name, "0.3"))
        for y in starts:
            axis.axhline(y - 0.5, color="0.6", lw=0.6)
        axis.axvline(0, color="0.6", lw=0.7, zorder=0.6)
        axis.set_title(": ".join(filter(None, (recording, region))))
        axis.set_xlabel("held-out R², mean over units", fontsize=8)
        striped_rows(axis, [shortened(label, 44) for label in labels])
    left_out = [
        f"the first {n} of {of} {what}"
        for n, of, what in ((len(shown), len(rows), "rows"), (n_regions, len(regions), "regions"))
        if n < of
    ]
    if left_out:
        words = f"shown: {', '.join(left_out)}; all are in the data"
        figure.supxlabel(words, fontsize=7, color="0.35")


def quality(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw how reliable the units of every recording are, and how often stimuli were repeated."""
    data = tables["reliability"]
    recordings = list(data.groupby("recording", sort=False))
    values = {
        "reliability": "reliability of the mean over repeats",
        "ceiling": "ceiling of r",
        "repeats": "repeats per stimulus, mean",
    }
    figure, axes = panels(3 * max(1, len(recordings)), PAGE / 3, 2.1, sharey=False)
    for i, (recording, part) in enumerate(recordings):
        row = axes[3 * i : 3 * i + 3]
        for axis, (value, words) in zip(row, values.items(), strict=True):
            _histogram(axis, part, value)
            axis.set(xlabel=words, ylabel="units")
        row[0].set_title(recording)
        without = int(part["ceiling"].isna().sum())
        row[1].set_title(f"{without} of {len(part)} units have none")
        if row[0].get_legend_handles_labels()[1]:
            row[0].legend(fontsize=6.5, loc="upper left")
    if not recordings:
        for axis in axes:
            axis.set_axis_off()
        axes[0].text(0.5, 0.5, "no recording has units", ha="center")
    return figure, data


def _histogram(axis: Axes, units: pd.DataFrame, value: str) -> None:
    """Draw how a value is distributed over units, stacked by region, or by subject."""
    column = "region" if units["region"].nunique() > 1 else "subject"
    names = list(units[column].unique())
    if len(names) > MOST_REGIONS:
        parts, names = [units], [""]
    else:
        parts = [units[units[column] == name] for name in names]
    finite = [part[value].dropna().to_numpy(float) for part in parts]
    if not sum(map(len, finite)):
        axis.text(0.5, 0.5, "not available", ha="center", transform=axis.transAxes, color="0.4")
        return
    range_ = (0, 1) if value != "repeats" else (0, 1.05 * max(map(max, filter(len, finite))))
    labels = list(map(legend_label, names)) if len(names) > 1 else ["_"]  # kept out of the legend
    axis.hist(
        finite, bins=25, range=range_, stacked=True, color=COLOURS[: len(finite)], label=labels
    )
