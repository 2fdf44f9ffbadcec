"""Pairs of rows of a table, such as pairs of networks."""

from __future__ import annotations

import numpy as np
import pandas as pd


def paired(table: pd.DataFrame, first: np.ndarray, second: np.ndarray) -> pd.DataFrame:
    """Put pairs of a table's rows side by side, in columns with the suffixes _a and _b.

    Parameters
    ----------
    table
        One row per item.
    first, second
        (pair,) positions of rows.
    """
    return pd.concat(
        [
            table.iloc[first].add_suffix("_a").reset_index(drop=True),
            table.iloc[second].add_suffix("_b").reset_index(drop=True),
        ],
        axis=1,
    )
