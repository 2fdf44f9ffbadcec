"""Shares of scores that variance predicts, and those that were measured."""

from __future__ import annotations

import pandas as pd

from repbias.auditing.shares import REST
from repbias.report.selection import included


def of_recordings(table: pd.DataFrame, *snapshots: str) -> pd.DataFrame:
    """Return rows of included networks with recordings, in their window."""
    rows = table[table["time_s"].isna() & (table["recording_b"] == "")]
    return included(rows, *snapshots)


def predicted_shares(audit: pd.DataFrame) -> pd.DataFrame:
    """Return shares of trained networks' scores, predicted and measured, means over networks."""
    rows = of_recordings(audit[audit["subject"] == ""], "final")
    rows = rows[rows["share"].notna() & rows["predicted"].notna() & rows["gate"].astype(bool)]
    rows = rows[rows["feature"] != REST]
    keys = ["recording", "experiment", "condition", "layer", "feature"]
    return rows.groupby(keys, sort=False)[["predicted", "share"]].mean().reset_index()


def predicted_between_networks(table: pd.DataFrame) -> pd.DataFrame:
    """Return shares of similarities between trained networks, predicted and measured."""
    rows = table[(table["snapshot"] == "final") & table["gate"].astype(bool)]
    rows = rows[rows["share"].notna() & rows["predicted"].notna() & (rows["feature"] != REST)]
    keys = ["experiment", "condition_a", "layer_a", "condition_b", "layer_b", "feature"]
    return rows[[*keys, "predicted", "share"]].reset_index(drop=True)


def explained_by_law(rows: pd.DataFrame) -> float:
    """Return the share of the variance of shares that the law explains, which has no parameters."""
    error = ((rows["share"] - rows["predicted"]) ** 2).sum()
    total = ((rows["share"] - rows["share"].mean()) ** 2).sum()
    return float(1 - error / total) if total else float("nan")
