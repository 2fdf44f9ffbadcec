"""Which rows of the tables a figure shows, and their means with intervals.

Kept apart from the drawing, as the report's page needs no matplotlib.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from repbias.base.statistics import mean_interval

#: The snapshots of a network, in their order.
SNAPSHOTS = ["initial", "mastered", "final"]
#: The columns that identify a row of figures about recordings: one layer of one condition.
MODEL = ["experiment", "condition", "layer", "snapshot"]

#: Between what a mean can lie, by its column, so that intervals of few networks end there.
BOUNDS = {
    "accuracy": (0, 1),
    "agreement": (0, 1),
    "flips": (0, 1),
    "follows_a": (0, 1),
    "r2": (-np.inf, 1),
    "r": (-1, 1),
    "similarity": (-1, 1),
}

#: Tables of recordings that figures show region by region.
OF_REGIONS = (
    "rsa_recordings",
    "rsa_fitted",
    "rsa_tests",
    "rsa_times",
    "audit",
    "audit_remaining",
    "audit_range",
    "recovery",
)

#: What an interval of several networks is about.
OVER_NETWORKS = "95 %, bootstrap of networks (these subjects and stimuli only)"

#: An experiment of more conditions has panels of the first ones only: so many.
MANY_CONDITIONS, MOST_SHOWN = 24, 4

#: A study's tables by name.
Tables = dict[str, pd.DataFrame]
#: "experiment/condition" to its analysed layer.
Layers = dict[str, str]
#: Simulated recording to what generated it: "source" ("experiment/condition"), "layer" and
#: "seed_of_network".
Generators = Mapping[str, Mapping[str, Any]]
#: (experiment, condition).
Group = tuple[str, str]


def of_regions(tables: Tables) -> Tables:
    """Return the tables of RSA with every region of a recording as a recording: "brain, V4"."""
    named = dict(tables)
    for name in OF_REGIONS:
        if name in tables:
            table = tables[name]
            apart = table["recording"] + ", " + table["region"]
            named[name] = table.assign(
                recording=apart.where(table["region"] != "", table["recording"])
            )
    return named


def analysed(table: pd.DataFrame, layers: Layers) -> pd.DataFrame:
    """Return the rows of every condition's analysed layer."""
    names = table["experiment"] + "/" + table["condition"]
    return table[table["layer"] == names.map(layers)]


def included(table: pd.DataFrame, *snapshots: str) -> pd.DataFrame:
    """Return the rows of networks that met the inclusion criterion, at the given snapshots."""
    return table[table["included"].astype(bool) & table["snapshot"].isin(snapshots)]


def groups_of(table: pd.DataFrame) -> list[Group]:
    """Return every (experiment, condition), in order of appearance."""
    return [group for group, _ in table.groupby(["experiment", "condition"], sort=False)]


def shown_groups(table: pd.DataFrame) -> list[Group]:
    """Return the conditions that have a panel: of experiments with very many, the first ones."""
    by_experiment: dict[str, list[Group]] = {}
    for group in groups_of(table):
        by_experiment.setdefault(group[0], []).append(group)
    return [
        group
        for groups in by_experiment.values()
        for group in groups[: MOST_SHOWN if len(groups) > MANY_CONDITIONS else None]
    ]


def of_group(table: pd.DataFrame, group: Group) -> pd.DataFrame:
    """Return the rows of one condition."""
    return table[(table["experiment"] == group[0]) & (table["condition"] == group[1])]


def targets_of(tables: Tables) -> dict[Group, list[str]]:
    """Return the features that training rewards, for every condition."""
    rows = tables["learning"][tables["learning"]["target"].astype(bool)]
    return {group: list(of_group(rows, group)["feature"].unique()) for group in groups_of(rows)}


def outputs_of(tables: Tables) -> list[str]:
    """Return the features that have an output: all but sub-components."""
    return list(tables["learning"]["feature"].unique())


def of_outputs(table: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """Return the rows of features that have an output."""
    return table[table["feature"].isin(outputs_of(tables))]


def summarise(table: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """Return the mean of a column and its 95 % interval for every group; NaN is left out.

    Parameters
    ----------
    table
        One row per network (or other independent unit) and group.
    keys
        Columns that define the groups.
    value
        The column that is averaged.

    Returns
    -------
    pandas.DataFrame
        Columns `keys`, `value`, ci_low, ci_high and n, the number of values.
    """
    finite = table[np.isfinite(table[value].astype(float))]
    rows = [_mean_of(part, keys, key, value) for key, part in finite.groupby(keys, sort=False)]
    return pd.DataFrame(rows, columns=[*keys, value, "ci_low", "ci_high", "n"])


def over_networks(table: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """Return the mean of a column over networks, with its 95 % interval.

    As :func:`summarise`, but a group with a single network keeps that network's own interval,
    in columns ci_low and ci_high of `table`.
    """
    rows = []
    for key, part in table.groupby(keys, sort=False):
        row = _mean_of(part, keys, key, value)
        if len(part) == 1:
            row["ci_low"], row["ci_high"] = part[["ci_low", "ci_high"]].iloc[0]
        rows.append(row)
    return pd.DataFrame(rows, columns=[*keys, value, "ci_low", "ci_high", "n"])


def _mean_of(part: pd.DataFrame, keys: list[str], key: Any, value: str) -> dict[str, Any]:
    mean, low, high = mean_interval(part[value].to_numpy(float))
    low, high = np.clip([low, high], *BOUNDS.get(value, (-np.inf, np.inf)))
    row = dict(zip(keys, key, strict=True))
    return row | {value: mean, "ci_low": low, "ci_high": high, "n": len(part)}


def one_layer(models: pd.DataFrame, layers: Layers, spaces: Collection[str] = ()) -> pd.DataFrame:
    """Return the rows of one layer of every model: its analysed layer, or else its last one.

    Parameters
    ----------
    models
        Columns :data:`MODEL`, layers in order from input to output; with a column "model" every
        kind of model keeps a layer.
    layers
        The analysed layers.
    spaces
        "experiment/condition" of models that keep all layers, as these follow from no order:
        feature spaces and RDMs.
    """
    kinds = [c for c in ("experiment", "condition", "model") if c in models]
    last = models.groupby(kinds)["layer"].transform("last")
    names = models["experiment"] + "/" + models["condition"]
    chosen = models["layer"] == names.map(layers).astype(object).fillna(last)
    return models[chosen | names.isin(list(spaces))]


def fewer_models(models: pd.DataFrame, layers: Layers, most: int) -> tuple[pd.DataFrame, str]:
    """Choose the models that fit into a figure, without looking at their scores.

    Parameters
    ----------
    models
        Columns :data:`MODEL` (and "model").
    layers
        The analysed layers.
    most
        Number of distinct :data:`MODEL` that fit.

    Returns
    -------
    shown : pandas.DataFrame
        The distinct models that are shown.
    note : str
        Which ones these are, where some are left out; else empty.
    """
    all_models = models[MODEL].drop_duplicates()
    if len(all_models) <= most:
        return all_models, ""
    chosen = one_layer(models, layers)[MODEL].drop_duplicates()
    if len(chosen) <= most:
        return chosen, "one layer of every model, the analysed or last one"
    trained = chosen[chosen["snapshot"] != "initial"]
    if len(trained) <= most:
        return trained, "one layer of every trained model, the analysed or last one"
    return trained.head(most), f"the first {most} of {len(trained)} models, one layer of each"
