"""Networks compared with recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from repbias.report.figures.drawing import CHARACTERS_PER_INCH, empty_figure, panels
from repbias.report.figures.names import COLOURS, legend_label
from repbias.report.figures.selection import Layers, Tables

RECOVERY_COLUMNS = [
    "recording",
    "method",
    "measure",
    "layer",
    "is_true_layer",
    "share_of_networks",
    "n_networks",
]


def rsa_recordings(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw the RDM similarity of every layer with every recording, and noise ceilings."""
    table = tables["rsa_recordings"]
    table = table[(table["snapshot"] != "mastered") & table["included"].astype(bool)]
    parts = list(table.groupby(["recording", "rdm_similarity"], sort=False))
    figure, axes = panels(len(parts))
    for axis, ((recording, rdm_similarity), part) in zip(axes, parts, strict=True):
        _layer_profile(axis, part, "similarity")
        _mark_generator(axis, part, "similarity", recording, tables["model_recovery"])
        low, high = part[["ceiling_low", "ceiling_high"]].iloc[0]
        if np.isfinite(low):
            axis.axhspan(low, high, color="0.85", zorder=0, label="noise ceiling")
        axis.set_title(f"{recording} ({rdm_similarity})")
        axis.set_ylabel("RDM similarity")
        _within_reach(axis)
    if not parts:
        figure = empty_figure()
    _shared_legend(figure, axes)
    return figure, table


def encoding(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw how well every layer predicts responses to held-out stimuli, and ceilings."""
    table = tables["encoding_regions"]
    table = table[table["included"].astype(bool)]
    parts = list(table.groupby(["recording", "region"], sort=False))
    figure, axes = panels(len(parts))
    for axis, ((recording, region), part) in zip(axes, parts, strict=True):
        _layer_profile(axis, part, "r")
        _mark_generator(axis, part, "r", recording, tables["model_recovery"])
        ceiling = part["ceiling"].iloc[0]
        if np.isfinite(ceiling):
            axis.axhline(ceiling, color="0.5", ls=":", label="ceiling (mean over units)")
        axis.set_title(": ".join(filter(None, (recording, region))))
        axis.set_ylabel("held-out r, mean over units")
        _within_reach(axis)
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


def both_ways(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
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
            _layer_profile(axis, part, value, intervals=False)
            axis.set_title(f"{': '.join(filter(None, (recording, region)))}\n{label}")
            axis.set_ylim(min(0, low) - 0.02, high + 0.02)
        row[0].set_ylabel("held-out R²")
    _shared_legend(figure, axes)
    return figure, table


def model_recovery(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw which layer RSA and encoding identify as the generator of a simulated recording."""
    shares = _shares_of_layers(tables)
    keys = ["recording", "method", "measure"]
    rows = list(shares.groupby(keys, sort=False))
    if not rows:
        return empty_figure(), shares
    names = list(shares["layer"].unique())
    figure = Figure(figsize=(1.1 * len(names) + 3.2, 0.45 * len(rows) + 1.2))
    axis = figure.subplots()
    values = shares["share_of_networks"].to_numpy(float).reshape(len(rows), len(names))
    image = axis.imshow(values, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for y, (_, row) in enumerate(rows):
        for x, (share, is_true) in enumerate(
            row[["share_of_networks", "is_true_layer"]].itertuples(index=False)
        ):
            if is_true:
                axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec=COLOURS[1], lw=2))
            colour = "white" if share > 0.5 else "black"
            axis.text(x, y, f"{share:.0%}", ha="center", va="center", color=colour)
    axis.set_xticks(range(len(names)), names)
    labels = [f"{recording}: {method} ({measure})" for (recording, method, measure), _ in rows]
    axis.set_yticks(range(len(rows)), labels)
    axis.set_xlabel("layer with the highest score (outlined: the generating layer)")
    figure.colorbar(image, ax=axis, label="share of networks")
    return figure, shares


def _shares_of_layers(tables: Tables) -> pd.DataFrame:
    """Return which share of networks names each layer, for every recording and method."""
    recovery, rsa = tables["model_recovery"], tables["rsa_recordings"]
    candidates = {
        *rsa.loc[rsa["recording"].isin(recovery["recording"]), "layer"],
        *recovery["named_layer"],
        *recovery["true_layer"],
    }
    rows = [
        {
            "recording": recording,
            "method": method,
            "measure": measure,
            "layer": layer,
            "is_true_layer": layer == part["true_layer"].iloc[0],
            "share_of_networks": (part["named_layer"] == layer).mean(),
            "n_networks": len(part),
        }
        for (recording, method, measure), part in recovery.groupby(
            ["recording", "method", "measure"], sort=False
        )
        for layer in dict.fromkeys(rsa["layer"])
        if layer in candidates
    ]
    return pd.DataFrame(rows, columns=RECOVERY_COLUMNS)


def _within_reach(axis: Axes) -> None:
    """Cut the axis where correlations end: intervals of two subjects can go further."""
    low, high = axis.get_ylim()
    axis.set_ylim(max(low, -1.05), min(high, 1.05))


def _layer_profile(axis: Axes, part: pd.DataFrame, value: str, intervals: bool = True) -> None:
    """Draw scores against layers: a line per condition, the mean over its included networks."""
    order = list(dict.fromkeys(part["layer"]))
    conditions = list(dict.fromkeys(part["condition"]))
    for (condition, snapshot), line in part.groupby(["condition", "snapshot"], sort=False):
        untrained = snapshot == "initial"
        colour = "0.55" if untrained else COLOURS[conditions.index(condition) % len(COLOURS)]
        means = line.groupby("layer", sort=False)[value].mean()
        x = [order.index(layer) for layer in means.index]
        axis.plot(
            x,
            means,
            marker="o",
            ms=4,
            color=colour,
            ls="--" if untrained else "-",
            mfc="white" if untrained else colour,
            label="untrained" if untrained else legend_label(condition),
        )
        if line["network"].nunique() == 1 and not intervals:
            continue
        if line["network"].nunique() == 1:
            axis.vlines(x, line["ci_low"], line["ci_high"], color=colour, lw=1)
        else:
            x = [order.index(layer) for layer in line["layer"]]
            axis.plot(x, line[value], ".", ms=2, color=colour, alpha=0.4)
    axis.axhline(0, color="0.7", lw=0.6, zorder=0)
    long = sum(map(len, order)) > 40
    rotation, side = (60, "right") if long else (0, "center")
    axis.set_xticks(range(len(order)), order, rotation=rotation, ha=side)


def _mark_generator(
    axis: Axes, part: pd.DataFrame, value: str, recording: str, recovery: pd.DataFrame
) -> None:
    """Mark the network that generated a simulated recording with stars."""
    rows = recovery[(recovery["recording"] == recording) & recovery["is_generator"].astype(bool)]
    for condition, network in rows[["condition", "network"]].drop_duplicates().to_numpy():
        order = list(dict.fromkeys(part["layer"]))
        line = part[
            (part["condition"] == condition)
            & (part["network"] == network)
            & (part["snapshot"] == "final")
        ]
        x = [order.index(layer) for layer in line["layer"]]
        axis.plot(x, line[value], "*", ms=7, color="black", ls="", label="generating network")


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
