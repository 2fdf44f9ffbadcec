"""Encoding scores of units, and parts of their variance, summarised by region."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from repbias.tables import as_table

_LAYER = [
    "recording",
    "region",
    "experiment",
    "condition",
    "network",
    "seed",
    "snapshot",
    "step",
    "included",
    "layer",
]
_PART = ["recording", "region", "experiment", "model", "network", "snapshot", "part"]
#: Units whose corrected p is below this count as significant.
_LEVEL = 0.05


def region_table(encoding: pd.DataFrame) -> pd.DataFrame:
    """Summarise encoding scores by region, for every layer of every network.

    `r` is the mean over units within each subject, then over subjects. Its 95 % interval is
    Student's t over subjects; with one subject, over stimuli, by the jackknife of
    :func:`repbias.encoding.tables.encode_recording` (over its units it would be too narrow: they
    see the same stimuli), and the column `interval` says so.

    `r2` and `reverse_r2`, from the layer to the region and back, are averaged in the same way;
    `smaller_r2` is the smaller of the two means.

    `ceiling` is averaged in the same way over the units that have one, and so is their r;
    `r_normalised` is the ratio of these two means. A mean of ratios would be dominated by the units
    with the lowest ceilings. `share_significant` (p_fdr < .05; NaN if nothing was tested) and
    `alpha_at_edge` are means over all units.

    Parameters
    ----------
    encoding
        The table of :func:`repbias.encoding.tables.encode_recording`.

    Returns
    -------
    pandas.DataFrame
        The table `encoding_regions`.
    """
    if encoding.empty:
        return as_table("encoding_regions")
    has_ceiling = encoding["ceiling"].notna()
    units = encoding.assign(
        significant=(encoding["p_fdr"] < _LEVEL).astype(float).where(encoding["p_fdr"].notna()),
        r_with_ceiling=encoding["r"].where(has_ceiling),
        has_ceiling=has_ceiling,
    )
    by_region = units.groupby(_LAYER, sort=False, dropna=False)
    table = by_region.agg(
        n_units=("r", "size"),
        n_units_with_ceiling=("has_ceiling", "sum"),
        n_subjects=("subject", "nunique"),
        share_significant=("significant", "mean"),
        alpha_at_edge=("alpha_at_edge", "mean"),
    )
    subjects = units.groupby([*_LAYER, "subject"], sort=False, dropna=False)
    columns = ["r", "r_with_ceiling", "ceiling", "r2", "reverse_r2"]
    over_subjects = subjects[columns].mean().groupby(level=_LAYER, sort=False, dropna=False)
    means = over_subjects.mean()
    table["r"], table["ceiling"] = means["r"], means["ceiling"]
    table["r2"], table["reverse_r2"] = means["r2"], means["reverse_r2"]
    table["smaller_r2"] = means[["r2", "reverse_r2"]].min(axis=1, skipna=False)
    table["r_normalised"] = means["r_with_ceiling"] / means["ceiling"]

    _add_interval(table, "r", over_subjects["r"].std(), by_region, least=-1)
    return as_table("encoding_regions", table.reset_index())


def partition_table(partition: pd.DataFrame) -> pd.DataFrame:
    """Summarise the parts of explained variance by region, for every network of a joint model.

    `r2` is the mean over units within each subject, then over subjects, with the interval of
    :func:`region_table`: over subjects or, of one, over stimuli.

    Parameters
    ----------
    partition
        The table of :func:`repbias.encoding.partition.partition_variance`.

    Returns
    -------
    pandas.DataFrame
        The table `variance_partition_regions`.
    """
    if partition.empty:
        return as_table("variance_partition_regions")
    by_region = partition.groupby(_PART, sort=False, dropna=False)
    table = by_region.agg(n_units=("r2", "size"), n_subjects=("subject", "nunique"))
    subjects = partition.groupby([*_PART, "subject"], sort=False, dropna=False)
    over_subjects = subjects["r2"].mean().groupby(level=_PART, sort=False, dropna=False)
    table["r2"] = over_subjects.mean()
    _add_interval(table, "r2", over_subjects.std(), by_region, least=-np.inf)
    return as_table("variance_partition_regions", table.reset_index())


def _add_interval(
    table: pd.DataFrame, value: str, spread: pd.Series, by_region: Any, least: float
) -> None:
    """Add the 95 % interval of a mean over subjects or, with one, over stimuli.

    Parameters
    ----------
    table
        Columns `value`, the mean, and n_subjects; gets ci_low, ci_high and interval.
    value
        The column that the interval is of.
    spread
        Standard deviation over subjects, by the index of `table`.
    by_region
        The units, grouped by that index, with their column "{value}_error".
    least
        Lower bound of the value, whose upper bound is 1.
    """
    several = table["n_subjects"] > 1
    over_stimuli = by_region[[f"{value}_error", "n_stimuli"]].first()
    n = table["n_subjects"].where(several, over_stimuli["n_stimuli"])
    error = (spread / np.sqrt(n)).where(several, over_stimuli[f"{value}_error"])
    width = stdtrit(n - 1, 0.975) * error
    table["ci_low"] = np.clip(table[value] - width, least, 1)
    table["ci_high"] = np.clip(table[value] + width, least, 1)
    table["interval"] = np.where(
        several,
        "95 %, t over subjects (these stimuli only)",
        "95 %, jackknife of stimuli (this subject only)",
    )
