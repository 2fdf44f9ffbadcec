"""Every figure of the report: a function of the tables that gives the figure and its data.

To add one, write such a function, enter it in :data:`FIGURES`, and name it in
:meth:`repbias.study.Study.figures`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repbias.statistics import mean_interval
from repbias.store import atomic
from repbias.tables import read_table

#: Okabe & Ito's colours, which colour-blind readers can tell apart.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
STYLE = {
    "svg.hashsalt": "repbias",  # the same figure is the same file
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
SNAPSHOTS = ["initial", "acquired", "final"]
SNAPSHOT_NAMES = {"initial": "untrained", "acquired": "first mastery", "final": "end of training"}

Tables = dict[str, pd.DataFrame]
#: "experiment/condition" to its analysed layer.
Layers = dict[str, str]


def draw_figures(svg_paths: Iterable[str], table_paths: Iterable[str], layers: Layers) -> None:
    """Draw the figures that the paths name; each figure's data go beside it as CSV."""
    tables = {Path(p).stem: read_table(p, Path(p).stem) for p in table_paths}
    for path in map(Path, svg_paths):
        with mpl.rc_context(STYLE):
            figure, data = FIGURES[path.stem](tables, layers)
            with atomic(path) as temporary:
                figure.savefig(temporary, metadata={"Date": None})
        with atomic(path.with_suffix(".csv")) as temporary:
            data.to_csv(temporary, index=False, float_format="%.9g")


def learning(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Accuracy, and variance explained on the scale of the final representation, over training."""
    accuracy = tables["learning"].rename(columns={"accuracy": "value"})
    variance = _analysed(tables["variance_explained"], layers)
    variance = variance.rename(columns={"r2_of_final": "value"})
    groups = _groups(accuracy)
    features = list(accuracy["feature"].unique())
    n_columns = min(3, len(groups))
    n_blocks = math.ceil(len(groups) / n_columns)
    figure = Figure(figsize=(max(2.6 * n_columns, 4), 4.2 * n_blocks))
    axes = figure.subplots(2 * n_blocks, n_columns, sharey=True, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for i, (experiment, condition) in enumerate(groups):
        block, column = divmod(i, n_columns)
        for row, table in enumerate((accuracy, variance)):
            axis = axes[2 * block + row, column]
            axis.set_axis_on()
            part = table[(table["experiment"] == experiment) & (table["condition"] == condition)]
            for (feature, _), line in part.groupby(["feature", "network"], sort=False):
                colour = COLOURS[features.index(feature) % len(COLOURS)]
                axis.plot(line["step"], line["value"], color=colour, lw=0.8, alpha=0.6)
        axes[2 * block, column].set_title(_title(experiment, condition, groups))
        axes[2 * block + 1, column].set_xlabel("training step")
        axes[2 * block, 0].set_ylabel("validation accuracy")
        axes[2 * block + 1, 0].set_ylabel("variance explained\n(share of the final)")
    _legend(figure, features)
    data = pd.concat(
        [accuracy.assign(quantity="accuracy"), variance.assign(quantity="variance_explained")]
    )
    columns = ["experiment", "condition", "network", "step", "feature", "quantity", "value"]
    return figure, data[columns]


def variance(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """R² of every feature in the analysed layer: untrained, at first mastery, at the end."""
    table = _analysed(tables["variance_explained"], layers)
    table = table[table["snapshot"].isin(SNAPSHOTS) & table["kept"]]
    groups = _groups(tables["variance_explained"])
    features = list(table["feature"].unique())
    figure, axes = _panels(len(groups), width=2.6, height=2.8)
    summaries = []
    for axis, (experiment, condition) in zip(axes, groups, strict=True):
        part = table[(table["experiment"] == experiment) & (table["condition"] == condition)]
        for i, feature in enumerate(features):
            for x, snapshot in enumerate(SNAPSHOTS):
                rows = (part["feature"] == feature) & (part["snapshot"] == snapshot)
                values = part.loc[rows, "r2"].to_numpy()
                if not len(values):
                    continue
                mean, low, high = mean_interval(values)
                place = x + 0.18 * (i - (len(features) - 1) / 2)
                colour = COLOURS[i % len(COLOURS)]
                axis.plot(np.full(len(values), place), values, ".", ms=3, color=colour, alpha=0.4)
                axis.errorbar(
                    *(place + 0.06, mean, [[mean - low], [high - mean]]),
                    fmt="o", ms=4, color=colour, capsize=2,
                )  # fmt: skip
                summaries.append(
                    {
                        "experiment": experiment,
                        "condition": condition,
                        "feature": feature,
                        "snapshot": snapshot,
                        "r2": mean,
                        "ci_low": low,
                        "ci_high": high,
                        "n": len(values),
                    }
                )
        axis.set_title(_title(experiment, condition, groups))
        axis.set_xticks(range(3), ["untrained", "first\nmastery", "end"])
        axis.axhline(0, color="0.7", lw=0.6, zorder=0)
    for axis in axes:
        if axis.get_subplotspec().is_first_col():
            axis.set_ylabel("variance explained (R²)")
    _legend(figure, features)
    columns = ["experiment", "condition", "feature", "snapshot", "r2", "ci_low", "ci_high", "n"]
    return figure, pd.DataFrame(summaries, columns=columns)


def rsa_models(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Similarity of every network with every other."""
    table = tables["rsa_models"]
    table = table[table["comparator"] == table["comparator"].iloc[0]] if len(table) else table
    for side in "ab":
        analysed = (table["experiment"] + "/" + table[f"condition_{side}"]).map(layers)
        # The user's own models have no analysed layer; all their layers are shown.
        table = table[analysed.isna() | (table[f"layer_{side}"] == analysed)]
    panels = list(table.groupby(["experiment", "snapshot"], sort=False))
    n_columns = min(3, max(1, len(panels)))
    n_rows = max(1, math.ceil(len(panels) / n_columns))
    figure = Figure(figsize=(3.6 * n_columns + 0.6, 3.5 * n_rows))
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    image = None
    for axis, ((experiment, snapshot), part) in zip(axes, panels, strict=False):
        per_layer = experiment not in _experiments(layers)
        image = _similarity_matrix(axis, part, per_layer)
        axis.set_title(experiment if per_layer else f"{experiment}, {SNAPSHOT_NAMES[snapshot]}")
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    if image is not None:
        figure.colorbar(image, ax=list(axes), shrink=0.7, label="similarity of RDMs")
    return figure, table


def _similarity_matrix(axis: Axes, part: pd.DataFrame, per_layer: bool):
    keys = ["condition", "network", "layer"] if per_layer else ["condition", "network"]
    sides = [part[[f"{k}_{s}" for k in keys]].set_axis(keys, axis=1) for s in "ab"]
    items = pd.concat(sides).drop_duplicates()
    # A condition's networks stay together: the last one is only ever on the second side.
    order = list(dict.fromkeys(items["condition"]))
    items = items.sort_values("condition", key=lambda c: c.map(order.index), kind="stable")
    items = items.reset_index(drop=True)
    index = {tuple(row): i for i, row in enumerate(items.itertuples(index=False, name=None))}
    matrix = np.full((len(items), len(items)), np.nan)
    for a, b, value in zip(
        sides[0].itertuples(index=False, name=None),
        sides[1].itertuples(index=False, name=None),
        part["similarity"],
        strict=True,
    ):
        matrix[index[a], index[b]] = matrix[index[b], index[a]] = value
    image = axis.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r")
    blocks = items.groupby("condition", sort=False).indices
    centres = [rows.mean() for rows in blocks.values()]
    names = list(blocks)
    if per_layer:
        layers_of = items[["condition", "layer"]].itertuples(index=False, name=None)
        centres, names = range(len(items)), [" ".join(dict.fromkeys(r)) for r in layers_of]
    rotation = 90 if per_layer or len(names) > 3 else 20
    axis.set_xticks(centres, names, rotation=rotation, ha="center", fontsize=6)
    axis.set_yticks(centres, names, fontsize=6)
    for rows in list(blocks.values())[1:]:
        axis.axhline(rows[0] - 0.5, color="k", lw=0.6)
        axis.axvline(rows[0] - 0.5, color="k", lw=0.6)
    return image


def rsa_recordings(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """RSA of every layer with every recording, with noise ceilings."""
    table = tables["rsa_recordings"]
    table = table[(table["snapshot"] != "acquired") & table["kept"]]
    panels = list(table.groupby(["recording", "comparator"], sort=False))
    figure, axes = _panels(len(panels))
    for axis, ((recording, comparator), part) in zip(axes, panels, strict=True):
        _layer_profile(axis, part, "similarity", ("ci_low", "ci_high"))
        _mark_generator(axis, part, "similarity", recording, tables["planted_truth"])
        low, high = part[["ceiling_low", "ceiling_high"]].iloc[0]
        if np.isfinite(low):
            axis.axhspan(low, high, color="0.85", zorder=0, label="noise ceiling")
        axis.set_title(f"{recording} ({comparator})")
        axis.set_ylabel("RDM similarity")
    _shared_legend(figure, axes)
    return figure, table


def encoding(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Held-out prediction of the recordings' units from every layer, with ceilings."""
    keys = ["recording", "experiment", "condition", "network", "snapshot", "layer"]
    rows = []
    kept = tables["encoding"][tables["encoding"]["kept"].astype(bool)]
    for key, part in kept.groupby(keys, sort=False):
        mean, low, high = mean_interval(part["r"].to_numpy())
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"r": mean, "ci_low": low, "ci_high": high, "ceiling": part["ceiling"].mean()}
            | {"n_units": len(part), "r_normalised": part["r_normalised"].mean()}
        )
    columns = [*keys, "r", "ci_low", "ci_high", "ceiling", "n_units", "r_normalised"]
    table = pd.DataFrame(rows, columns=columns)
    panels = list(table.groupby("recording", sort=False))
    figure, axes = _panels(len(panels))
    for axis, (recording, part) in zip(axes, panels, strict=True):
        _layer_profile(axis, part, "r", ("ci_low", "ci_high"))
        _mark_generator(axis, part, "r", recording, tables["planted_truth"])
        ceiling = part["ceiling"].iloc[0]
        if np.isfinite(ceiling):
            axis.axhline(ceiling, color="0.5", ls=":", label="ceiling (mean over units)")
        axis.set_title(recording)
        axis.set_ylabel("held-out r, mean over units")
    _shared_legend(figure, axes)
    return figure, table


def planted_truth(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Which layer RSA and encoding name as the generator of a simulated recording."""
    table = tables["planted_truth"]
    rsa = tables["rsa_recordings"]
    order = list(dict.fromkeys(rsa["layer"]))
    layers_seen = {
        *rsa.loc[rsa["recording"].isin(table["recording"]), "layer"],
        *table["named_layer"],
        *table["true_layer"],
    }
    named = [layer for layer in order if layer in layers_seen]
    groups = list(table.groupby(["recording", "method", "measure"], sort=False))
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
    return figure, pd.DataFrame(rows)


FIGURES: dict[str, Callable[[Tables, Layers], tuple[Figure, pd.DataFrame]]] = {
    "learning": learning,
    "variance": variance,
    "rsa_models": rsa_models,
    "rsa_recordings": rsa_recordings,
    "encoding": encoding,
    "planted_truth": planted_truth,
}


def _experiments(layers: Layers) -> set[str]:
    return {name.split("/")[0] for name in layers}


def _analysed(table: pd.DataFrame, layers: Layers) -> pd.DataFrame:
    names = table["experiment"] + "/" + table["condition"]
    return table[table["layer"] == names.map(layers)]


def _groups(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(table.groupby(["experiment", "condition"], sort=False).groups)


def _title(experiment: str, condition: str, groups: list[tuple[str, str]]) -> str:
    """One setting a line; the experiment's name where there are several."""
    several = len({e for e, _ in groups}) > 1
    return (f"{experiment}: " if several else "") + condition.replace(",", ",\n")


def _panels(n: int, width: float = 3.6, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    n_columns = min(3, max(1, n))
    n_rows = max(1, math.ceil(n / n_columns))
    figure = Figure(figsize=(max(width * n_columns, 5.5), height * n_rows + 0.6))
    axes = list(figure.subplots(n_rows, n_columns, sharey=True, squeeze=False).ravel())
    for axis in axes[n:]:
        axis.set_axis_off()
    return figure, axes[:n]


def _layer_profile(axis: Axes, part: pd.DataFrame, value: str, interval: tuple[str, str]) -> None:
    """Scores against layers: one line per condition, the mean over its kept networks."""
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
            label="untrained" if untrained else condition,
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
    axis: Axes, part: pd.DataFrame, value: str, recording: str, planted: pd.DataFrame
) -> None:
    """Mark the network that generated a simulated recording by stars."""
    rows = planted[(planted["recording"] == recording) & planted["is_generator"].astype(bool)]
    for condition, network in rows[["condition", "network"]].drop_duplicates().to_numpy():
        order = list(dict.fromkeys(part["layer"]))
        line = part[
            (part["condition"] == condition)
            & (part["network"] == network)
            & (part["snapshot"] == "final")
        ]
        x = [order.index(layer) for layer in line["layer"]]
        axis.plot(x, line[value], "*", ms=7, color="black", ls="", label="the generating network")


def _legend(figure: Figure, features: list[str]) -> None:
    handles = [
        mpl.lines.Line2D([], [], color=COLOURS[i % len(COLOURS)], label=f"feature '{name}'")
        for i, name in enumerate(features)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))


def _shared_legend(figure: Figure, axes: list[Axes]) -> None:
    entries: dict[str, object] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    # As many columns as fit: about 14 characters an inch.
    longest = max(map(len, entries), default=1) + 6
    n_columns = max(1, min(3, int(figure.get_figwidth() * 14 / longest)))
    handles, labels = list(entries.values()), list(entries)
    figure.legend(handles, labels, loc="outside lower center", ncols=n_columns)
