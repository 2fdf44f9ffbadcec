"""What the rows of tables are of, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from repbias.report.numbers import decimals, interval

#: What snapshots of networks are called.
SNAPSHOT_NAMES = {
    "initial": "untrained",
    "mastered": "first mastery",
    "matched": "equal loss",
    "final": "end of training",
}
#: Columns that say what a row is of, in this order, and how; "/" joins them to the one before.
SAID = {
    "recording": "{}",
    "region": "{}",
    "subject": "subject {}",
    "experiment": "{}",
    "condition": "{}",
    "a": "{}",
    "b": "with {}",
    "condition_a": "{}",
    "layer_a": "{}",
    "condition_b": "with {}",
    "layer_b": "{}",
    "networks": "{}",
    "task": "task {}",
    "system": "{}",
    "model": "{}",
    "layer": "{}",
    "seed": "seed {}",
    "metric": "{}",
    "part": "{}",
    "feature": "feature {}",
    "output": "output {}",
    "true_name": "brains of {}",
    "snapshot": "{}",
    "snapshot_a": "{}",
    "n": "n = {}",
}


def words_of(row: Mapping[str, Any], value: str = "", *ends: str) -> str:
    """Say what a row is of, its value, and the ends of its interval.

    Examples
    --------
    >>> words_of({"condition": "easy", "seed": 3, "snapshot": "final", "r2": 0.51}, "r2")
    'easy, seed 3, end of training: 0.510'
    """
    parts = [
        words.format(SNAPSHOT_NAMES.get(row[column], row[column]))
        for column, words in SAID.items()
        # Numbers such as parts of a score are values, and NaN is nothing.
        if column in row and row[column] != "" and not isinstance(row[column], float)
    ]
    if not value:
        return ", ".join(parts)
    said = f"{', '.join(parts)}: {decimals(row[value], 3)}"
    if not np.isfinite([row[end] for end in ends]).any():
        return said
    low, high = (row[end] for end in ends)
    return f"{said} {interval(low, high, 3)}"
