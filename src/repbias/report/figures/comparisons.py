"""Networks compared with each other, and measures of similarity compared."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.image import AxesImage

from repbias.base.statistics import bootstrap_interval, jackknife_interval
from repbias.geometry.similarity import METRICS
from repbias.report.figures.drawing import (
    PAGE,
    bar_lengths,
    empty_figure,
    error_bars,
    grid,
    legend_below,
    line,
    panels,
    snapshot_markers,
    stack,
)
from repbias.report.figures.names import COLOURS, wrapped
from repbias.report.figures.tips import ENDS, name_marks
from repbias.report.selection import Layers, Tables, analysed, included, outputs_of
from repbias.report.words import SNAPSHOT_NAMES
from repbias.stimuli.manipulations import LABEL

N_BOOTSTRAPS = 1000
#: Two networks make one pair, whose bootstrap has no spread.
MIN_NETWORKS = 3
#: A feature with a smaller R² counts as not represented.
REPRESENTED = 0.05
#: An experiment with more pairs of conditions than this is shown as matrices.
MOST_PAIRS = 15
#: Variants of RSA that are meant to identify computations better.
RSA_VARIANTS = (
    "rsa_reweighted",
    "rsa_whitened",
    "rsa_residualised",
    "cka_equalised",
    "procrustes",
)
NAMES = {name: metric.label for name, metric in METRICS.items()} | {
    "rsa_residualised": "RSA (residualised)",
    "cka_equalised": "CKA (equalised)",
}
#: Grey where there is no similarity: white is a similarity of 0.
MATRIX = mpl.colormaps["RdBu_r"].with_extremes(bad="0.75")


def rsa_models(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw the similarity of every network to every other."""
    table = tables["rsa_models"]
    if len(table):
        table = table[table["rdm_similarity"] == table["rdm_similarity"].iloc[0]]
    for side in "ab":
        analysed_layer = (table["experiment"] + "/" + table[f"condition_{side}"]).map(layers)
        # Models that are shown images have no analysed layer; all their layers are shown.
        table = table[analysed_layer.isna() | (table[f"layer_{side}"] == analysed_layer)]
    parts = list(table.groupby(["experiment", "snapshot"], sort=False))
    n_columns = min(3, max(1, len(parts)))
    n_rows = max(1, math.ceil(len(parts) / n_columns))
    figure = Figure(figsize=(3.6 * n_columns + 0.6, 3.5 * n_rows))
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    image = None
    for axis, ((experiment, snapshot), part) in zip(axes, parts, strict=False):
        per_layer = experiment not in {name.split("/")[0] for name in layers}
        image = _similarity_matrix(axis, part, per_layer)
        several = (table.loc[table["experiment"] == experiment, "snapshot"] != snapshot).any()
        staged = not per_layer or several
        axis.set_title(f"{experiment}, {SNAPSHOT_NAMES[snapshot]}" if staged else experiment)
    for axis in axes[len(parts) :]:
        axis.set_axis_off()
    if image is not None:
        figure.colorbar(image, ax=list(axes), shrink=0.7, label="RDM similarity")
    return figure, table


def _similarity_matrix(axis: Axes, part: pd.DataFrame, per_layer: bool) -> AxesImage:
    """Draw one experiment at one snapshot, networks in blocks by condition.

    With layers, a row is a layer, the mean over included networks if there are several.
    """
    keys = ["condition", "layer"] if per_layer else ["condition", "network"]
    if per_layer:
        part = part[part["included_a"].astype(bool) & part["included_b"].astype(bool)]
        # A pair of layers may stand in either order.
        part = _mean_of_pairs(part, [f"{k}_a" for k in keys], [f"{k}_b" for k in keys])
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
    _name_blocks(axis, items, per_layer)
    return axis.imshow(matrix, vmin=-1, vmax=1, cmap=MATRIX)


def _mean_of_pairs(part: pd.DataFrame, a: list[str], b: list[str]) -> pd.DataFrame:
    """Average the similarity of every two layers, whichever of them comes first, over networks."""
    order = pd.unique(pd.concat([part[a].agg(tuple, axis=1), part[b].agg(tuple, axis=1)]))
    place = {layer: i for i, layer in enumerate(order)}
    first, second = (part[side].agg(tuple, axis=1).map(place) for side in (a, b))
    turned = part.copy()
    turned.loc[first > second, [*a, *b]] = part.loc[first > second, [*b, *a]].to_numpy()
    return turned.groupby([*a, *b], sort=False)["similarity"].mean().reset_index()


def _name_blocks(axis: Axes, items: pd.DataFrame, per_layer: bool) -> None:
    """Label the conditions, or every layer, and draw lines between the conditions' blocks."""
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


def similarity(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw the mean similarity of conditions by every measure, and what features predict."""
    table = _between_included(tables["similarity"], layers)
    summary = pair_means(table).merge(
        predictions(tables, layers), how="left", on=["experiment", "metric", "a", "b"]
    )
    # Predictions are made for the end of training.
    summary["predicted"] = summary["predicted"].where(summary["snapshot"] == "final")
    experiments = list(summary.groupby("experiment", sort=False))
    if not experiments:
        return empty_figure(), summary
    pairs = {experiment: _unordered(part) for experiment, part in experiments}
    metrics = {experiment: list(part["metric"].unique()) for experiment, part in experiments}
    heights = [
        0.4 + _panel_height(pairs[experiment]) * math.ceil(len(metrics[experiment]) / 4)
        for experiment in pairs
    ]
    figure = Figure(figsize=(PAGE, sum(heights) + 0.6))
    for subfigure, (experiment, part) in zip(stack(figure, heights), experiments, strict=True):
        if len(experiments) > 1:
            subfigure.suptitle(experiment, fontweight="bold", fontsize=10)
        _panel_per_metric(subfigure, part, metrics[experiment], pairs[experiment])
    _explain_marks(figure)
    return figure, summary


def _panel_per_metric(
    figure: FigureBase, summary: pd.DataFrame, metrics: list[str], pairs: list[tuple[str, str]]
) -> None:
    """Draw one experiment: rows of dots, or a matrix where there are many pairs of conditions."""
    axes = grid(figure, len(metrics), 4)
    image = None
    for axis, metric in zip(axes, metrics, strict=True):
        rows = summary[summary["metric"] == metric]
        if len(pairs) > MOST_PAIRS:
            image = _mean_matrix(axis, rows[rows["snapshot"] == "final"])
        else:
            _mean_dots(axis, rows, pairs)
        axis.set_title(NAMES.get(metric, metric))
    if image is not None:
        figure.colorbar(image, ax=axes, shrink=0.6, label="mean similarity")


def _between_included(table: pd.DataFrame, layers: Layers) -> pd.DataFrame:
    """Return the pairs of trained, included networks with different seeds."""
    rows = table["included_a"].astype(bool) & table["included_b"].astype(bool)
    rows &= table["snapshot"].isin(["mastered", "final"])
    rows &= table["seed_a"] != table["seed_b"]
    for side in "ab":
        names = table["experiment"] + "/" + table[f"condition_{side}"]
        rows &= table[f"layer_{side}"] == names.map(layers)
    return table[rows]


def pair_means(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean similarities of pairs of conditions, with intervals over seeds."""
    keys = ["experiment", "snapshot", "metric", "condition_a", "condition_b"]
    finite = table[np.isfinite(table["similarity"].astype(float))]
    rows = []
    for key, part in finite.groupby(keys, sort=False):
        low, high = _interval_over_seeds(part, within=key[3] == key[4])
        rows.append(
            dict(zip([*keys[:3], "a", "b"], key, strict=True))
            | {"similarity": part["similarity"].mean(), "ci_low": low, "ci_high": high}
            | {"null_high": part["null_high"].mean(), "n_pairs": len(part)}
        )
    columns = [*keys[:3], "a", "b", "similarity", "ci_low", "ci_high", "null_high", "n_pairs"]
    return pd.DataFrame(rows, columns=columns)


def _interval_over_seeds(part: pd.DataFrame, within: bool) -> tuple[float, float]:
    """Return the interval of a mean similarity, from a bootstrap over seeds.

    Networks are resampled in each of two conditions; within a single condition, both sides of a
    pair are drawn from the same sample.
    """
    sides = [part["seed_a"].to_numpy(), part["seed_b"].to_numpy()]
    seeds = [np.unique(side) for side in sides]
    if within:
        seeds = [np.unique(np.concatenate(sides))] * 2
    n = min(map(len, seeds))
    if n < MIN_NETWORKS:
        return math.nan, math.nan
    rng = np.random.default_rng(0)
    counts = [rng.multinomial(len(s), np.full(len(s), 1 / len(s)), N_BOOTSTRAPS) for s in seeds]
    if within:
        counts[1] = counts[0]
    first, second = (
        count[:, np.searchsorted(of, side)]
        for count, of, side in zip(counts, seeds, sides, strict=True)
    )
    weights = first * second
    values, total = part["similarity"].to_numpy(float), weights.sum(axis=1)
    samples = np.divide(weights @ values, total, out=np.full(N_BOOTSTRAPS, np.nan), where=total > 0)
    return bootstrap_interval(float(values.mean()), samples, n)


def predictions(tables: Tables, layers: Layers) -> pd.DataFrame:
    """Predict linear CKA, and a bound on regression, from the features' shares of variance alone.

    Shares are means over included networks at the end of training; those below 0 count as 0. A
    label that is drawn from the features does not count as a feature.
    """
    table = included(analysed(tables["variance_explained"], layers), "final")
    table = table[table["feature"].isin([f for f in outputs_of(tables) if f != LABEL])]
    rows = []
    for experiment, part in table.groupby("experiment", sort=False):
        shares = part.pivot_table("r2", "condition", "feature", sort=False).clip(lower=0)
        for a, of_a in shares.iterrows():
            for b, of_b in shares.iterrows():
                both = pd.concat([of_a, of_b], axis=1).dropna().to_numpy().T
                values = {"cka": predicted_cka(*both), "ridge": regression_bound(*both)}
                rows += [
                    {"experiment": experiment, "metric": m, "a": a, "b": b, "predicted": value}
                    for m, value in values.items()
                ]
    return pd.DataFrame(rows, columns=["experiment", "metric", "a", "b", "predicted"])


def predicted_cka(a: np.ndarray, b: np.ndarray) -> float:
    """Return linear CKA of two representations whose features have these shares of variance.

    Features are taken to be orthogonal and one-dimensional, so that CKA is the cosine of the
    shares. Variance that no feature explains is taken to be spread over so many dimensions that it
    contributes nothing.

    Examples
    --------
    >>> round(predicted_cka(np.array([0.6, 0.0]), np.array([0.55, 0.05])), 3)
    0.996
    """
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm else math.nan


def regression_bound(a: np.ndarray, b: np.ndarray) -> float:
    """Return the share of b's variance in features that a represents: a can predict that much.

    Examples
    --------
    >>> regression_bound(np.array([0.6, 0.0]), np.array([0.55, 0.05]))
    0.55
    """
    return float(b[a > REPRESENTED].sum())


def _unordered(summary: pd.DataFrame) -> list[tuple[str, str]]:
    """Return pairs of conditions, each in one order only."""
    pairs: list[tuple[str, str]] = []
    for a, b in summary[["a", "b"]].drop_duplicates().itertuples(index=False, name=None):
        if (b, a) not in pairs:
            pairs.append((a, b))
    return pairs


def _panel_height(pairs: list[tuple[str, str]]) -> float:
    return 2.7 if len(pairs) > MOST_PAIRS else 0.75 + 0.27 * len(pairs)


def _mean_dots(axis: Axes, summary: pd.DataFrame, pairs: list[tuple[str, str]]) -> None:
    """Draw a row per pair; where a measure has a direction, triangles point from a to b."""
    unordered = summary.assign(pair=_sorted_pairs(summary))
    directed = unordered.duplicated(["snapshot", "pair"]).any()
    for row in summary.itertuples():
        forward = (row.a, row.b) in pairs
        y = pairs.index((row.a, row.b) if forward else (row.b, row.a))
        final = row.snapshot == "final"
        one_way = directed and row.a != row.b
        y += (0.12 if final else -0.12) + (0.0 if not one_way else -0.06 if forward else 0.06)
        error_bars(
            axis,
            pd.DataFrame([row._asdict()]),
            "similarity",
            [y],
            fmt=(">" if forward else "<") if one_way else "o",
            color=COLOURS[0],
            mfc=COLOURS[0] if final else "white",
            lw=1 if final else 0.7,
        )
        if final:
            axis.plot(row.null_high, y, "|", color="0.55", ms=7, zorder=1)
            axis.plot(row.predicted, y, "x", color=COLOURS[1], ms=6, mew=1.4, zorder=3)
    labels = [f"within {a}" if a == b else f"{a} – {b}" for a, b in pairs]
    axis.set_yticks(range(len(pairs)), map(wrapped, labels), fontsize=7)
    axis.set_ylim(len(pairs) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.axvline(0, color="0.7", lw=0.6, zorder=0)
    low = min(-0.1, summary[["similarity", "ci_low"]].min().min())
    axis.set_xlim(max(-1.05, low), 1.05)


def _sorted_pairs(summary: pd.DataFrame) -> list[tuple[str, ...]]:
    pairs = summary[["a", "b"]].itertuples(index=False, name=None)
    return [tuple(sorted(pair)) for pair in pairs]


def _mean_matrix(axis: Axes, summary: pd.DataFrame) -> AxesImage:
    """Draw the means at the end of training as a matrix, from the row to the column."""
    names = list(dict.fromkeys([*summary["a"], *summary["b"]]))
    wide = summary.pivot(index="a", columns="b", values="similarity")
    matrix = wide.reindex(index=names, columns=names).to_numpy(float)
    if (np.isnan(matrix) & ~np.isnan(matrix.T)).any():
        matrix = np.where(np.isnan(matrix), matrix.T, matrix)
    image = axis.imshow(matrix, vmin=-1, vmax=1, cmap=MATRIX)
    size = 6 if len(names) < 16 else 4.5
    numbered = [f"{name}  {i}" for i, name in enumerate(names, start=1)]
    axis.set_yticks(range(len(names)), numbered, fontsize=size)
    axis.set_xticks(range(len(names)), [str(i + 1) for i in range(len(names))], fontsize=size)
    return image


def _explain_marks(figure: FigureBase) -> None:
    """Explain the marks of mean similarities below the figure."""
    style = {"color": COLOURS[0], "ls": "", "ms": 4}
    legend_below(
        figure,
        [
            *snapshot_markers(),
            line(marker=">", label="first predicts second", **style),
            line(marker="<", label="second predicts first", **style),
            line(color="0.55", marker="|", ls="", ms=7, label="permuted stimuli, 95 %"),
            line(
                color=COLOURS[1],
                marker="x",
                ls="",
                label="predicted from variance shares (ridge: at least)",
            ),
        ],
    )


def identification(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw how often each measure identifies the computation, against reliability."""
    table = tables["identification"]
    keys = ["snapshot", "metric", "reliability_level"]
    summary = pd.DataFrame(
        [
            dict(zip(keys, key, strict=True)) | _top1(part)
            for key, part in table.groupby(keys, sort=True)
        ],
        columns=[*keys, "top1", "ci_low", "ci_high", "n"],
    )
    if summary.empty:
        return empty_figure(), summary
    others = [m for m in dict.fromkeys(table["metric"]) if m not in RSA_VARIANTS and m != "rsa"]
    variants = [m for m in RSA_VARIANTS if m in set(table["metric"])]
    rows = [("RSA and its variants", variants), ("RSA and other measures", others)]
    rows = [(title, metrics) for title, metrics in rows if metrics] or [("RSA", [])]
    figure, axes = panels(2 * len(rows), PAGE / 2, 3.4, columns=2)
    for i, (title, metrics) in enumerate(rows):
        for axis, snapshot in zip(axes[2 * i : 2 * i + 2], ("mastered", "final"), strict=True):
            part = summary[summary["snapshot"] == snapshot]
            _against_reliability(axis, part, metrics)
            axis.axhline(table["chance"].mean(), color="0.4", ls=":", lw=0.9, zorder=0)
            axis.set_title(f"{title}, {SNAPSHOT_NAMES[snapshot]}", loc="left")
            axis.set_xlabel("reliability of the measured units")
        axes[2 * i].set_ylabel("identified (top 1)")
    return figure, summary


def _top1(rows: pd.DataFrame) -> dict[str, float]:
    """Return the mean over targets; its interval comes from leaving each seed out altogether."""
    means = rows.groupby("left_out")["top1"].mean()
    left_out = means.drop(-1).to_numpy()
    low, high = jackknife_interval(means[-1], left_out) if len(left_out) > 1 else (np.nan, np.nan)
    low, high = np.clip([low, high], 0, 1)
    n = rows["seed"].nunique()
    return {"top1": means[-1], "ci_low": low, "ci_high": high, "n": n}


def _against_reliability(axis: Axes, summary: pd.DataFrame, metrics: list[str]) -> None:
    """Draw a line per measure, with its name at the end; plain RSA is black and thick."""
    levels = sorted(summary["reliability_level"].unique())
    ends = {}
    for i, metric in enumerate([*metrics, "rsa"]):
        part = summary[summary["metric"] == metric]
        if part.empty:
            continue
        style = _line_style(metric, i)
        # Shifted a little, so that the bars at one level do not hide each other.
        x = part["reliability_level"] * 1.02 ** (i - len(metrics) / 2)
        bars = bar_lengths(part, "top1")
        drawn = axis.errorbar(x, part["top1"], bars, marker="o", ms=3, elinewidth=0.7, **style)
        name_marks(drawn.lines[0], part, "top1", *ENDS)
        ends[metric] = (part["top1"].iloc[-1], style["color"])
    axis.set_xscale("log")
    axis.set_xticks(levels, [f"{level:g}" for level in levels])
    axis.minorticks_off()
    axis.set_ylim(-0.03, 1.08)
    if summary.empty:
        axis.text(0.5, 0.5, "no candidates at this time", ha="center", transform=axis.transAxes)
        return
    axis.set_xlim(levels[0] / 1.15, levels[-1] * 1.15)
    _name_lines(axis, ends)


def _line_style(metric: str, i: int) -> dict[str, Any]:
    if metric == "rsa":
        return {"color": "black", "lw": 2.2, "ls": "-"}
    colours = [*COLOURS[:6], "0.45", "#7a4fa3"]
    return {"color": colours[i % len(colours)], "lw": 1.2, "ls": "--" if i > 7 else "-"}


def _name_lines(axis: Axes, ends: dict[str, tuple[float, Any]]) -> None:
    """Write every measure's name at the end of its line, given the height and the colour."""
    order = sorted(ends, key=lambda metric: ends[metric][0])
    for metric, y in zip(order, spread([ends[m][0] for m in order], 0.065, 1.03), strict=True):
        axis.annotate(
            NAMES.get(metric, metric),
            (1.01, y),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7.5,
            color=ends[metric][1],
            fontweight="bold" if metric == "rsa" else "normal",
        )


def spread(values: list[float], gap: float, highest: float) -> list[float]:
    """Move increasing values at least a gap apart, by as little as possible.

    Parameters
    ----------
    values
        In increasing order.
    gap
        The least distance between two of them.
    highest
        No value is moved above this.

    Examples
    --------
    >>> spread([0.1, 0.5, 0.5], 0.1, 0.55)
    [0.1, 0.45, 0.55]
    """
    placed: list[float] = []
    for value in values:
        placed.append(max(value, placed[-1] + gap) if placed else value)
    limit = highest
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - gap
    return [round(value, 6) for value in placed]
