"""Encoding scores of units, summarised by region."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import t as student

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
#: Units whose corrected p is below this count as significant.
_LEVEL = 0.05


def region_table(encoding: pd.DataFrame) -> pd.DataFrame:
    """Summarise encoding scores by region, for every layer of every network.

    `r` is the mean over units within each subject, then over subjects. Its 95 % interval is
    Student's t over subjects; with one subject it is over that subject's units, and the column
    `interval` says so; with one unit there is none.

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
    columns = ["r", "r_with_ceiling", "ceiling"]
    over_subjects = subjects[columns].mean().groupby(level=_LAYER, sort=False, dropna=False)
    means = over_subjects.mean()
    table["r"], table["ceiling"] = means["r"], means["ceiling"]
    table["r_normalised"] = means["r_with_ceiling"] / means["ceiling"]

    several = table["n_subjects"] > 1
    spread = over_subjects["r"].std().where(several, by_region["r"].std())
    n = table["n_subjects"].where(several, table["n_units"])
    # A single value has no spread.
    width = student.ppf(0.975, (n - 1).where(n > 1)) * spread / np.sqrt(n)
    table["ci_low"], table["ci_high"] = table["r"] - width, table["r"] + width
    table["interval"] = np.select(
        [several, n > 1],
        ["95 %, t over subjects", "95 %, t over units of one subject only"],
        "none: one unit",
    )
    return as_table("encoding_regions", table.reset_index())
