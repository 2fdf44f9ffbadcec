"""Networks compared with recordings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repbias.report.figures.drawing import (
    CHARACTERS_PER_INCH,
    empty_figure,
    make_room_for_bars,
    panels,
    space_bars,
)
from repbias.report.figures.names import COLOURS, legend_label
from repbias.report.figures.tips import name_marks
from repbias.report.selection import MODEL, Generators, Layers, Tables, of_group


def rsa_recordings(
    tables: Tables,
    layers: Layers,
    generators: Generators | None = None,
    spaces: Collection[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draw the RDM similarity of every layer with every recording, and noise ceilings."""
    table = tables["rsa_recordings"]
    table = table[(table["snapshot"] != "mastered") & table["included"].astype(bool)]
    parts = list(table.groupby(["recording", "rdm_similarity"], sort=False))
    figure, axes = panels(len(parts))
    for axis, ((recording, rdm_similarity), part) in zip(axes, parts, strict=True):
        _layer_profile(axis, part, "similarity", spaces)
        _mark_generator(axis, part, "similarity", (generators or {}).get(recording))
        low, high = part[["ceiling_low", "ceiling_high"]].iloc[0]
        if np.isfinite(low):
            axis.axhspan(low, high, color="0.85", zorder=0, label="noise ceiling")
        axis.set_title(f"{recording} ({rdm_similarity})")
        axis.set_ylabel("RDM similarity")
    _within_reach(axes)
    if not parts:
        figure = empty_figure()
    _shared_legend(figure, axes)
    return figure, table


def encoding(
    tables: Tables,
    layers: Layers,
    generators: Generators | None = None,
    spaces: Collection[str] = (),
) -> tuple[Figure, pd.DataFrame]:
    """Draw how well every layer predicts responses to held-out stimuli, and ceilings."""
    table = tables["encoding_regions"]
    table = table[table["included"].astype(bool)]
    parts = list(table.groupby(["recording", "region"], sort=False))
    figure, axes = panels(len(parts))
    for axis, ((recording, region), part) in zip(axes, parts, strict=True):
        _layer_profile(axis, part, "r", spaces)
        _mark_generator(axis, part, "r", (generators or {}).get(recording))
        ceiling = part["ceiling"].iloc[0]
        if np.isfinite(ceiling):
            axis.axhline(ceiling, color="0.5", ls=":", label="ceiling (mean over units)")
        axis.set_title(": ".join(filter(None, (recording, region))))
        axis.set_ylabel("held-out r, mean over units")
    _within_reach(axes)
    if not parts:
        figure = empty_figure()
    _shared_legend(figure, axes)
    return figure, table


#: Ways in which a layer and a region predict each other: column of encoding_regions to its label.
WAYS = {
    "r2": "layer to region",
    "reverse_r2": "region to layer",
    "smaller_r2": "the smaller of the two",
}


def both_ways(
    tables: Tables, layers: Layers, spaces: Collection[str] = ()
) -> tuple[Figure, pd.DataFrame]:
    """Draw how well layers predict regions, regions layers, and the smaller of the two."""
    table = tables["encoding_regions"]
    table = table[table["included"].astype(bool)]
    parts = list(table.groupby(["recording", "region"], sort=False))
    if not parts:
        return empty_figure(), table
    figure, axes = panels(len(WAYS) * len(parts), columns=len(WAYS), sharey=False)
    for i, ((recording, region), part) in enumerate(parts):
        low, high = part[list(WAYS)].min(axis=None), part[list(WAYS)].max(axis=None)
        row = axes[len(WAYS) * i : len(WAYS) * (i + 1)]
        for axis, (value, label) in zip(row, WAYS.items(), strict=True):
            _layer_profile(axis, part, value, spaces, intervals=False)
            axis.set_title(f"{': '.join(filter(None, (recording, region)))}\n{label}")
            axis.set_ylim(min(0, low) - 0.02, high + 0.02)
        row[0].set_ylabel("held-out R²")
    _shared_legend(figure, axes)
    return figure, table


def _within_reach(axes: list[Axes]) -> None:
    """Cut axes where correlations end: intervals of two subjects can go further.

    Panels share their axis, so all of them must have been drawn.
    """
    for axis in axes:
        low, high = axis.get_ylim()
        axis.set_ylim(max(low, -1.05), min(high, 1.05))


def _layer_profile(
    axis: Axes,
    part: pd.DataFrame,
    value: str,
    spaces: Collection[str],
    intervals: bool = True,
) -> None:
    """Draw scores against layers: a line per condition, the mean over its included networks.

    Feature spaces and RDMs (`spaces`) have bars, as none follows from another.
    """
    order = list(dict.fromkeys(part["layer"]))
    conditions = list(dict.fromkeys(part["condition"]))
    for (condition, snapshot), line in part.groupby(["condition", "snapshot"], sort=False):
        untrained = snapshot == "initial"
        colour = "0.55" if untrained else COLOURS[conditions.index(condition) % len(COLOURS)]
        keys = ["recording", "region", *MODEL]
        means = line.groupby(keys, sort=False)[value].mean().reset_index()
        x = [order.index(layer) for layer in means["layer"]]
        if f"{line['experiment'].iloc[0]}/{condition}" in spaces:
            space_bars(axis, x, means, value, colour, legend_label(condition))
            colour = "0.2"
        else:
            (drawn,) = axis.plot(
                x,
                means[value],
                marker="o",
                ms=4,
                color=colour,
                ls="--" if untrained else "-",
                mfc="white" if untrained else colour,
                label="untrained" if untrained else legend_label(condition),
            )
            name_marks(drawn, means, value)
        if line["network"].nunique() == 1 and not intervals:
            continue
        if line["network"].nunique() == 1:
            axis.vlines(x, line["ci_low"], line["ci_high"], color=colour, lw=1)
        else:
            x = [order.index(layer) for layer in line["layer"]]
            (dots,) = axis.plot(x, line[value], ".", ms=2, color=colour, alpha=0.4)
            name_marks(dots, line, value)
    axis.axhline(0, color="0.7", lw=0.6, zorder=0)
    if set(part["experiment"] + "/" + part["condition"]) & set(spaces):
        make_room_for_bars(axis, len(order))
    long = sum(map(len, order)) > 40
    rotation, side = (60, "right") if long else (0, "center")
    axis.set_xticks(range(len(order)), order, rotation=rotation, ha=side)


def _mark_generator(
    axis: Axes, part: pd.DataFrame, value: str, generator: Mapping[str, Any] | None
) -> None:
    """Mark what generated a simulated recording: its network by stars, its layer by a line."""
    if generator is None:
        return
    order = list(dict.fromkeys(part["layer"]))
    experiment, condition = generator["source"].split("/", 1)
    line = of_group(part, (experiment, condition))
    line = line[(line["seed"] == generator["seed_of_network"]) & (line["snapshot"] == "final")]
    if len(line):
        x = [order.index(layer) for layer in line["layer"]]
        axis.plot(x, line[value], "*", ms=7, color="black", ls="", label="generating network")
    if generator["layer"] in order:
        x = order.index(generator["layer"])
        axis.axvline(x, color="0.6", lw=1, zorder=0.5, label="generating layer")


def _shared_legend(figure: Figure, axes: list[Axes]) -> None:
    """Put every label of the panels once into a legend below the figure."""
    entries: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    longest = max(map(len, entries), default=1) + 6
    n_columns = max(1, min(3, int(figure.get_figwidth() * CHARACTERS_PER_INCH / longest)))
    handles, labels = list(entries.values()), list(entries)
    figure.legend(handles, labels, loc="outside lower center", ncols=n_columns)
