"""The units of recordings: how reliable they are, and how well models predict them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from repbias.report.figures.drawing import (
    PAGE,
    bar_lengths,
    empty_figure,
    error_bars,
    grid,
    legend_below,
    line,
    make_room_for_bars,
    note_below,
    panels,
    space_bars,
    stack,
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
from repbias.report.figures.tips import ENDS, name_marks
from repbias.report.selection import (
    MODEL,
    OVER_NETWORKS,
    Group,
    Layers,
    Tables,
    groups_of,
    included,
    of_group,
    one_layer,
    over_networks,
)

#: Panels of a recording; with more regions than this some are left out.
MOST_REGIONS = 6
#: Distributions in one panel.
MOST_DISTRIBUTIONS = 6
#: More layers than this are placed by their relative depth.
MOST_LAYERS = 12
#: Rows of a panel of parts of the variance.
MOST_PARTS = 60
#: Colours of the parts, by the first word of their name.
PARTS = dict(zip(("all", "alone", "together", "unique", "shared", "split"), VIVID, strict=False))
#: The ends of the histograms of r / ceiling, which has no bounds.
NORMALISED = (-0.5, 1.5)


def encoding_regions(
    tables: Tables, layers: Layers, spaces: Collection[str] = ()
) -> tuple[Figure, pd.DataFrame]:
    """Draw every region's layer profiles, and how the units' scores are distributed."""
    table = included(tables["encoding_regions"], "initial", "final")
    recordings = list(table.groupby("recording", sort=False))
    if not recordings:
        return empty_figure(), table
    heights = [2.5 * -(-(n + 2) // _columns(n)) + 0.3 for n in map(_n_shown, recordings)]
    figure = Figure(figsize=(PAGE, sum(heights) + 0.6))
    # As many conditions are drawn as there are colours.
    colours = dict(zip(groups_of(table), VIVID, strict=False))
    units = included(tables["encoding"], "final")
    for subfigure, (recording, part) in zip(stack(figure, heights), recordings, strict=True):
        of_recording = units[units["recording"] == recording]
        _draw_regions(subfigure, recording, part, of_recording, colours, layers, spaces)
    legend_below(figure, _models_in_legend(table, colours))
    return figure, table


def _n_shown(recording: tuple[Any, pd.DataFrame]) -> int:
    """Return how many regions of a recording, given by its name and its rows, are shown."""
    return min(recording[1]["region"].nunique(), MOST_REGIONS)


def _columns(n_regions: int) -> int:
    return 2 if n_regions == 2 else 3


def _draw_regions(
    figure: FigureBase,
    recording: str,
    part: pd.DataFrame,
    units: pd.DataFrame,
    colours: dict[Group, str],
    layers: Layers,
    spaces: Collection[str],
) -> None:
    """Draw one recording: layer profiles by region, then the distributions over all units."""
    names = list(part["region"].unique())
    n = min(len(names), MOST_REGIONS)
    axes = grid(figure, n + 2, _columns(n), sharey=False)
    for axis, region in zip(axes[:n], names, strict=False):
        _profiles(axis, part[part["region"] == region], colours, spaces)
        axis.set_title(": ".join(filter(None, (recording, region))))
        axis.set_ylabel("held-out r, mean over units")
    bottom = min(axis.get_ylim()[0] for axis in axes[:n])
    top = max(axis.get_ylim()[1] for axis in axes[:n])
    for axis in axes[:n]:
        axis.set_ylim(bottom, top)
    for axis, value in zip(axes[n:], ("r", "r_normalised"), strict=True):
        _distribution(axis, units, value, colours, layers)
    few = "" if len(colours) <= MOST_DISTRIBUTIONS else f", {MOST_DISTRIBUTIONS} models"
    axes[n].set_title(f"{recording}: all units{few}")
    if len(names) > n:
        note_below(figure, f"shown: the first {n} of {len(names)} regions; all are in the data")


def _models_in_legend(table: pd.DataFrame, colours: dict[Group, str]) -> list[Any]:
    several = len({experiment for experiment, _ in colours}) > 1
    handles = [
        line(color=colour, marker="o", ms=4, label=shortened(f"{e}: {c}" if several else c, 36))
        for (e, c), colour in colours.items()
    ]
    if "initial" in set(table["snapshot"]):
        handles.append(line(color=UNTRAINED, marker="o", ms=4, mfc="white", label="untrained"))
    handles.append(line(color="0.5", ls=":", label="ceiling (mean over units)"))
    n_models = len(groups_of(table))
    if n_models > len(colours):
        handles.append(line(ls="", label=f"(shown: the first {len(colours)} of {n_models} models)"))
    return handles


def _profiles(
    axis: Axes, part: pd.DataFrame, colours: dict[Any, Any], spaces: Collection[str]
) -> None:
    """Draw scores against layers: by name if these are few, else by relative depth."""
    order = list(part["layer"].unique())
    named = len(order) <= MOST_LAYERS
    for i, (group, colour) in enumerate(colours.items()):
        rows = of_group(part, group)
        depth = list(rows["layer"].unique())
        for snapshot, networks in rows.groupby("snapshot", sort=False):
            means = over_networks(networks, ["region", *MODEL], "r")
            x = np.array([(order if named else depth).index(layer) for layer in means["layer"]])
            if named:
                x = x + 0.05 * (i - (len(colours) - 1) / 2)  # bars must not hide each other
            else:
                x = x / (len(depth) - 1) if len(depth) > 1 else x + 0.5
            shade = UNTRAINED if snapshot == "initial" else colour
            is_space = "/".join(group) in spaces
            if is_space:
                space_bars(axis, x, means, "r", shade, "_")
            drawn = axis.errorbar(
                x,
                means["r"],
                bar_lengths(means, "r"),
                ls="none" if is_space else "-",
                marker="o",
                ms=3,
                lw=1.2,
                elinewidth=0.8,
                color=shade,
                mfc="white" if snapshot == "initial" else shade,
            )
            name_marks(drawn.lines[0], means, "r", *ENDS)
    ceiling = part["ceiling"].mean()
    if np.isfinite(ceiling):
        axis.axhline(ceiling, color="0.5", ls=":")
    axis.axhline(0, color="0.7", lw=0.6, zorder=0)
    if named:
        _name_layers(axis, order)
        if set(part["experiment"] + "/" + part["condition"]) & set(spaces):
            make_room_for_bars(axis, len(order))
    else:
        axis.set_xticks([0, 1], ["first layer", "last layer"], fontsize=7)


def _name_layers(axis: Axes, layers: list[str]) -> None:
    """Label every layer, at an angle where names are long."""
    labels = [shortened(layer, 16) for layer in layers]
    style: dict[str, Any] = {}
    if len("  ".join(labels)) > 55:
        style = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axis.set_xticks(range(len(layers)), labels, fontsize=7, **style)
    axis.set_xlim(-0.4, len(layers) - 0.6)


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
        label = _distribution_label(rows, with_significance=value == "r")
        counts, *_ = axis.hist(
            means, bins=30, range=range_, histtype="step", color=colours[group], label=label
        )
        top = max(top, np.max(counts))
    axis.axvline(0, color="0.7", lw=0.6, zorder=0)
    # Leave room for the legend above the highest bar.
    axis.set_ylim(0, top * (1.08 + 0.11 * len(groups)))
    if value == "r":
        axis.legend(loc="upper left", fontsize=6.5, handlelength=1.2, labelspacing=0.25)


def _distribution_label(rows: pd.DataFrame, with_significance: bool) -> str:
    """Name a model and, on request, the share of its units that it predicts significantly."""
    label = legend_label(model_labels(rows[MODEL].drop_duplicates(), 30)[0])
    if with_significance and rows["p_fdr"].notna().any():
        label = f"{label}: {(rows['p_fdr'] < LEVEL).mean():.0%} significant"
    return label


def variance_partition(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw a row per model and part of its explained variance, a column per region."""
    table = tables["variance_partition_regions"]
    keys = ["recording", "region", "experiment", "model", "part"]
    data = over_networks(table, [*keys, "n_subjects", "n_units", "interval"], "r2")
    data = data.rename(columns={"n": "n_networks"})
    several = data["n_networks"] > 1
    data["interval"] = data["interval"].mask(several, OVER_NETWORKS)
    recordings = list(data.groupby("recording", sort=False))
    if not recordings:
        return empty_figure(), data
    row_keys = ["experiment", "model", "part"]
    rows = [part[row_keys].drop_duplicates() for _, part in recordings]
    heights = [
        (0.16 * min(len(each), MOST_PARTS) + 0.8) * -(-_n_shown(recording) // 3)
        for each, recording in zip(rows, recordings, strict=True)
    ]
    figure = Figure(figsize=(PAGE, sum(heights) + 0.4))
    for subfigure, (recording, part), each in zip(
        stack(figure, heights), recordings, rows, strict=True
    ):
        _draw_parts(subfigure, recording, part, each)
    kinds = {part.split()[0] for part in data["part"]}
    colours = {kind: colour for kind, colour in PARTS.items() if kind in kinds}
    legend_below(
        figure, [line(color=c, marker="o", ls="", label=name) for name, c in colours.items()]
    )
    return figure, data


def _draw_parts(figure: FigureBase, recording: str, part: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Draw one recording's regions, with the first :data:`MOST_PARTS` of the rows."""
    regions = list(part["region"].unique())
    n_regions = min(len(regions), MOST_REGIONS)
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
        f"the first {n} of {total} {what}"
        for n, total, what in (
            (len(shown), len(rows), "rows"),
            (n_regions, len(regions), "regions"),
        )
        if n < total
    ]
    if left_out:
        note_below(figure, f"shown: {', '.join(left_out)}; all are in the data")


def quality(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw how reliable the units of every recording are, and how often stimuli were shown."""
    data = tables["reliability"]
    recordings = list(data.groupby("recording", sort=False))
    values = {
        "reliability": "reliability of the mean over repeats",
        "ceiling": "ceiling on r",
        "repeats": "mean number of repeats per stimulus",
    }
    figure, axes = panels(3 * max(1, len(recordings)), PAGE / 3, 2.1, sharey=False)
    for i, (recording, part) in enumerate(recordings):
        row = axes[3 * i : 3 * i + 3]
        for axis, (value, words) in zip(row, values.items(), strict=True):
            _histogram(axis, part, value)
            axis.set(xlabel=words, ylabel="units")
        row[0].set_title(recording)
        without = int(part["ceiling"].isna().sum())
        row[1].set_title(f"{without} of {len(part)} units have no ceiling")
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
    # Matplotlib leaves labels with a leading underscore out of the legend.
    labels = list(map(legend_label, names)) if len(names) > 1 else ["_"]
    axis.hist(
        finite, bins=25, range=range_, stacked=True, color=COLOURS[: len(finite)], label=labels
    )
