"""How features are coded: over units, over principal components, or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from repbias.report.figures.drawing import (
    LINE,
    PAGE,
    curve,
    empty_figure,
    error_bars,
    feature_legend,
    forest,
    grid,
    in_first_column,
    line,
    mark_chance,
    panels,
    row_height,
    say_why_empty,
    stack,
)
from repbias.report.figures.names import feature_colours, output_colours, title_of
from repbias.report.figures.tips import name_line, name_marks
from repbias.report.selection import (
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

#: What is measured of an encrypted system, in words.
MEASURES = {
    "task_accuracy": "task accuracy\n(decrypted)",
    "linear_probe": "linear probe",
    "nonlinear_probe": "nonlinear probe",
    "r2": "variance explained (R²)",
    "rsa_with_plaintext": "RDM correlation\nwith the plaintext",
    "rsa_between_keys": "RDM correlation\nunder another key",
}


def units(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw how many units carry a feature, and how evenly, at the end of training."""
    colours = output_colours(tables)
    groups = groups_of(tables["units"])
    by_unit, sparsity = (
        of_outputs(included(analysed(tables[name], layers), "final"), tables)
        for name in ("units", "sparsity")
    )
    shares = _shares_of_units(by_unit)
    mean_shares = summarise(shares, ["experiment", "condition", "layer", "feature", "r2"], "value")
    evenness = _mean_evenness(sparsity)
    data = pd.concat([mean_shares.assign(quantity="share_of_units"), evenness], ignore_index=True)
    if not groups:
        return empty_figure(), data
    n_columns = min(4, len(groups))
    labels = [title_of(group, groups) for group in groups]
    heights = 2.2 * -(-len(groups) // n_columns), 0.9 + len(groups) * row_height(labels, 2)
    figure = Figure(figsize=(max(PAGE / 4 * n_columns, 6.5), sum(heights) + 0.4))
    top, bottom = stack(figure, heights)
    for axis, group in zip(grid(top, len(groups), n_columns), groups, strict=True):
        _survival(axis, of_group(shares, group), of_group(mean_shares, group), colours)
        axis.set_title(title_of(group, groups))
        axis.set_xlabel("R²")
        if in_first_column(axis):
            axis.set_ylabel("share of units above R²")
    _evenness(bottom, evenness, groups, labels, colours)
    measured = set(shares["feature"])
    feature_legend(figure, {f: colour for f, colour in colours.items() if f in measured})
    return figure, data


def _mean_evenness(sparsity: pd.DataFrame) -> pd.DataFrame:
    """Return the mean Gini coefficients and participation ratios, one below the other."""
    keys = ["experiment", "condition", "layer", "feature", "snapshot"]
    return pd.concat(
        summarise(sparsity, keys, measure)
        .rename(columns={measure: "value"})
        .assign(quantity=measure)
        for measure in ("gini", "participation_ratio")
    )


def _shares_of_units(table: pd.DataFrame) -> pd.DataFrame:
    """Return, for every network, the share of units whose R² exceeds each of 51 thresholds."""
    levels = np.linspace(0, 1, 51)
    keys = ["experiment", "condition", "layer", "feature", "network", "seed"]
    parts = [
        pd.DataFrame(
            {
                **dict(zip(keys, key, strict=True)),
                "r2": levels,
                "value": (part["r2"].to_numpy(float)[:, None] > levels).mean(axis=0),
            }
        )
        for key, part in table.groupby(keys, sort=False)
    ]
    return pd.concat(parts) if parts else pd.DataFrame(columns=[*keys, "r2", "value"])


def _survival(
    axis: Axes, shares: pd.DataFrame, means: pd.DataFrame, colours: dict[str, object]
) -> None:
    """Draw the share of units above every threshold: networks thin, their means thick."""
    for (feature, _), share in shares.groupby(["feature", "network"], sort=False):
        (drawn,) = axis.plot(share["r2"], share["value"], color=colours[feature], lw=0.5, alpha=0.4)
        name_line(drawn, share, (*LINE, "seed"))
    for feature, mean in means.groupby("feature", sort=False):
        (drawn,) = axis.plot(mean["r2"], mean["value"], color=colours[feature], lw=1.8)
        name_line(drawn, mean, LINE)
    axis.set_xlim(0, 1)
    axis.set_ylim(-0.03, 1.03)
    if shares.empty:
        say_why_empty(axis)


def _evenness(
    figure: FigureBase,
    summary: pd.DataFrame,
    groups: list[Group],
    labels: list[str],
    colours: dict[str, object],
) -> None:
    """Draw the two measures of evenness side by side, a row per condition."""
    words = {
        "gini": "Gini coefficient (1: one unit carries all)",
        "participation_ratio": "participation ratio (1: all units equal)",
    }
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (quantity, title) in zip(axes, words.items(), strict=True):
        part = summary[summary["quantity"] == quantity].reset_index(drop=True)
        forest(axis, part, "value", groups, ["experiment", "condition"], colours)
        axis.set_xlim(0, 1)
        axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
        axis.set_xlabel(title)
    axes[0].set_yticks(range(len(groups)), labels, fontsize=7.5)


def components(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw the accuracy that the top components alone support, and what each one carries."""
    table = included(analysed(tables["components"], layers), "final")
    keys = ["experiment", "condition", "layer", "feature", "n_components", "chance"]
    accuracy, r2 = (
        summarise(table, keys, quantity).rename(columns={quantity: "value"})
        for quantity in ("accuracy", "r2")
    )
    data = pd.concat([accuracy.assign(quantity="accuracy"), r2.assign(quantity="r2")])
    groups = groups_of(tables["components"])
    if not groups:
        return empty_figure(), data
    targets = targets_of(tables)
    colours = {f: c for f, c in feature_colours(tables).items() if f in set(table["feature"])}
    figure, axes = panels(2 * len(groups), PAGE / 4, 2.3, columns=4, sharey=False)
    for group, left, right in zip(groups, axes[::2], axes[1::2], strict=True):
        # Outputs that training did not reward are left out: they mean nothing.
        rewarded = of_group(accuracy, group)
        rewarded = rewarded[rewarded["feature"].isin(targets.get(group, []))]
        _by_component(left, rewarded, colours)
        _by_component(right, of_group(r2, group), colours, marker=".", ms=4, lw=1)
        mark_chance(left, rewarded)
        left.set(xlabel="components retained", ylabel="accuracy")
        right.set(ylim=(-0.05, 1.03), xlabel="component", ylabel="R²")
        for axis, first in ((left, 0), (right, 1)):
            _count_axis(axis, first, table["n_components"].max())
        left.set_title(title_of(group, groups, 45), loc="left")
        if of_group(accuracy, group).empty:
            say_why_empty(left)
    feature_legend(figure, colours)
    return figure, data


def _by_component(axis: Axes, means: pd.DataFrame, colours: dict[str, Any], **style: Any) -> None:
    """Draw a curve per feature against the number of the component, or of components."""
    for feature, part in means.groupby("feature", sort=False):
        curve(axis, part["n_components"], part, "value", colours[feature], **style)


def _count_axis(axis: Axes, first: int, last: float) -> None:
    """Show small counts evenly and large ones on a logarithmic scale."""
    ticks = [t for t in (first, 2, 5, 10, 20, 50, 100, 200, 500) if not t > last]
    axis.set_xscale("symlog", linthresh=10, linscale=1.3)
    axis.set_xticks(ticks, map(str, ticks))
    axis.minorticks_off()


def encryption(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw what analyses see of systems that compute under encryption."""
    table = tables["encryption"]
    summary = summarise(table, ["system", "measure", "feature"], "value")
    systems = list(table["system"].unique())
    features = [feature for feature in table["feature"].unique() if feature]
    known = feature_colours(tables)
    colours = {feature: known.get(feature, "0.3") for feature in features} | {"": "0.3"}
    figure, axes = panels(len(systems), PAGE / 3, 3.0, columns=3)
    for axis, system in zip(axes, systems, strict=True):
        keys, means = (part[part["system"] == system] for part in (table, summary))
        _measured(axis, keys, means, colours)
        axis.set_title(system.replace("_", " "))
        if in_first_column(axis):
            axis.set_yticks(range(len(MEASURES)), list(MEASURES.values()), fontsize=7.5)
    if not systems:
        return empty_figure(), summary
    feature_legend(
        figure,
        {feature: colours[feature] for feature in features},
        [line(color="0.6", ls=":", label="chance (accuracy .5, otherwise 0)")],
    )
    return figure, summary


def _measured(
    axis: Axes, keys: pd.DataFrame, means: pd.DataFrame, colours: dict[str, object]
) -> None:
    """Draw one system: a row per measure, a small dot per encryption key, and the means."""
    order = list(MEASURES)
    features = [feature for feature in colours if feature]
    space = 0.7 / max(1, len(features))
    for measure in order:
        row = order.index(measure)
        chance = 0.5 if "accuracy" in measure or "probe" in measure else 0
        axis.plot([chance] * 2, [row - 0.45, row + 0.45], ls=":", color="0.6", lw=1)
    for feature, part in means.groupby("feature", sort=False):
        shift = space * (features.index(feature) - (len(features) - 1) / 2) if feature else 0
        dots = keys[keys["feature"] == feature]
        y, y_mean = (t["measure"].map(order.index) + shift for t in (dots, part))
        (drawn,) = axis.plot(dots["value"], y, ".", ms=3, color=colours[feature], alpha=0.5)
        name_marks(drawn, dots, "value")
        error_bars(axis, part, "value", y_mean, color=colours[feature])
    axis.set_ylim(len(order) - 0.5, -0.5)
    axis.set_xlim(-0.3, 1.05)
    axis.tick_params(axis="y", length=0)
