"""Tables that follow from other tables of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from repbias.claims.references import compare_references
from repbias.config.references import Reference
from repbias.encoding.regions import partition_table, region_table


def derive(
    name: str,
    tables: Mapping[str, pd.DataFrame],
    references: Sequence[Mapping[str, Any]],
) -> pd.DataFrame:
    """Make one of the tables that follow from others.

    Parameters
    ----------
    name
        "encoding_regions", "variance_partition_regions" or "references".
    tables
        The tables that it follows from, by name.
    references
        Published numbers.
    """
    if name == "encoding_regions":
        return region_table(tables["encoding"])
    if name == "variance_partition_regions":
        return partition_table(tables["variance_partition"])
    if name == "references":
        return compare_references([Reference(**entry) for entry in references], dict(tables))
    raise ValueError(f"no table {name!r} follows from others")
