"""Networks compared with recordings."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repbias.base.statistics import mean_interval
from repbias.report.figures.drawing import empty_figure, panels
from repbias.report.figures.names import COLOURS, legend_label
from repbias.report.figures.selection import Layers, Tables

PLANTED_COLUMNS = [
    *("recording", "method", "measure", "layer"),
    *("is_true_layer", "share_of_networks", "n_networks"),
]


def rsa_recordings(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """RSA of every layer with every recording, with noise ceilings."""
    table = tables["rsa_recordings"]
    table = table[(table["snapshot"] != "mastered") & table["included"].astype(bool)]
    parts = list(table.groupby(["recording", "rdm_similarity"], sort=False))
    figure, axes = panels(len(parts))
    for axis, ((recording, rdm_similarity), part) in zip(axes, parts, strict=True):
        _layer_profile(axis, part, "similarity", ("ci_low", "ci_high"))
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
    """Held-out prediction of the recordings' units from every layer, with ceilings."""
    keys = ["recording", "experiment", "condition", "network", "snapshot", "layer"]
    rows = []
    included = tables["encoding"][tables["encoding"]["included"].astype(bool)]
    for key, part in included.groupby(keys, sort=False):
        mean, low, high = mean_interval(part["r"].to_numpy())
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"r": mean, "ci_low": low, "ci_high": high, "ceiling": part["ceiling"].mean()}
            | {"n_units": len(part), "r_normalised": part["r_normalised"].mean()}
        )
    columns = [*keys, "r", "ci_low", "ci_high", "ceiling", "n_units", "r_normalised"]
    table = pd.DataFrame(rows, columns=columns)
    parts = list(table.groupby("recording", sort=False))
    figure, axes = panels(len(parts))
    for axis, (recording, part) in zip(axes, parts, strict=True):
        _layer_profile(axis, part, "r", ("ci_low", "ci_high"))
        _mark_generator(axis, part, "r", recording, tables["model_recovery"])
        ceiling = part["ceiling"].iloc[0]
        if np.isfinite(ceiling):
            axis.axhline(ceiling, color="0.5", ls=":", label="ceiling (mean over units)")
        axis.set_title(recording)
        axis.set_ylabel("held-out r, mean over units")
        _within_reach(axis)
    if not parts:
        figure = empty_figure()
    _shared_legend(figure, axes)
    return figure, table


def model_recovery(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Which layer RSA and encoding name as the generator of a simulated recording."""
    table = tables["model_recovery"]
    rsa = tables["rsa_recordings"]
    order = list(dict.fromkeys(rsa["layer"]))
    layers_seen = {
        *rsa.loc[rsa["recording"].isin(table["recording"]), "layer"],
        *table["named_layer"],
        *table["true_layer"],
    }
    named = [layer for layer in order if layer in layers_seen]
    groups = list(table.groupby(["recording", "method", "measure"], sort=False))
    if not groups:
        return empty_figure(), pd.DataFrame(columns=PLANTED_COLUMNS)
    shares = np.array(
        [[(part["named_layer"] == layer).mean() for layer in named] for _, part in groups]
    ).reshape(len(groups), len(named))
    figure = Figure(figsize=(1.1 * len(named) + 3.2, 0.45 * len(groups) + 1.2))
    axis = figure.subplots()
    image = axis.imshow(shares, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    rows = []
    for y, ((recording, method, measure), part) in enumerate(groups):
        true = named.index(part["true_layer"].iloc[0])
        axis.add_patch(
            mpl.patches.Rectangle((true - 0.5, y - 0.5), 1, 1, fill=False, ec=COLOURS[1], lw=2)
        )
        for x, layer in enumerate(named):
            colour = "white" if shares[y, x] > 0.5 else "black"
            axis.text(x, y, f"{shares[y, x]:.0%}", ha="center", va="center", color=colour)
            rows.append(
                {
                    "recording": recording,
                    "method": method,
                    "measure": measure,
                    "layer": layer,
                    "is_true_layer": x == true,
                    "share_of_networks": shares[y, x],
                    "n_networks": len(part),
                }
            )
    axis.set_xticks(range(len(named)), named)
    labels = [f"{recording}: {method} ({measure})" for (recording, method, measure), _ in groups]
    axis.set_yticks(range(len(groups)), labels)
    axis.set_xlabel("layer that is named (outlined: the generating layer)")
    figure.colorbar(image, ax=axis, label="share of networks")
    return figure, pd.DataFrame(rows, columns=PLANTED_COLUMNS)


def _within_reach(axis: Axes) -> None:
    """Cut off what no correlation reaches, as intervals of two subjects do."""
    low, high = axis.get_ylim()
    axis.set_ylim(max(low, -1.05), min(high, 1.05))


def _layer_profile(axis: Axes, part: pd.DataFrame, value: str, interval: tuple[str, str]) -> None:
    """Scores against layers: one line per condition, the mean over its included networks."""
    order = list(dict.fromkeys(part["layer"]))
    conditions = list(dict.fromkeys(part["condition"]))
    for (condition, snapshot), line in part.groupby(["condition", "snapshot"], sort=False):
        untrained = snapshot == "initial"
        colour = "0.55" if untrained else COLOURS[conditions.index(condition) % len(COLOURS)]
        means = line.groupby("layer", sort=False)[value].mean()
        x = [order.index(layer) for layer in means.index]
        axis.plot(
            *(x, means),
            marker="o", ms=4, color=colour, ls="--" if untrained else "-",
            mfc="white" if untrained else colour,
            label="untrained" if untrained else legend_label(condition),
        )  # fmt: skip
        if line["network"].nunique() == 1:
            bounds = line[list(interval)].to_numpy().T
            axis.vlines(x, *bounds, color=colour, lw=1)
        else:
            axis.plot(
                [order.index(layer) for layer in line["layer"]],
                line[value], ".", ms=2, color=colour, alpha=0.4,
            )  # fmt: skip
    axis.axhline(0, color="0.7", lw=0.6, zorder=0)
    long = sum(map(len, order)) > 40
    rotation, side = (60, "right") if long else (0, "center")
    axis.set_xticks(range(len(order)), order, rotation=rotation, ha=side)


def _mark_generator(
    axis: Axes, part: pd.DataFrame, value: str, recording: str, recovery: pd.DataFrame
) -> None:
    """Mark the network that generated a simulated recording by stars."""
    rows = recovery[(recovery["recording"] == recording) & recovery["is_generator"].astype(bool)]
    for condition, network in rows[["condition", "network"]].drop_duplicates().to_numpy():
        order = list(dict.fromkeys(part["layer"]))
        line = part[
            (part["condition"] == condition)
            & (part["network"] == network)
            & (part["snapshot"] == "final")
        ]
        x = [order.index(layer) for layer in line["layer"]]
        axis.plot(x, line[value], "*", ms=7, color="black", ls="", label="the generating network")


def _shared_legend(figure: Figure, axes: list[Axes]) -> None:
    entries: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    # As many columns as fit: about 14 characters an inch.
    longest = max(map(len, entries), default=1) + 6
    n_columns = max(1, min(3, int(figure.get_figwidth() * 14 / longest)))
    handles, labels = list(entries.values()), list(entries)
    figure.legend(handles, labels, loc="outside lower center", ncols=n_columns)
