"""Tables that follow from other tables of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from repbias.claims.recovery import model_recovery
from repbias.claims.references import compare_references
from repbias.config.references import Reference
from repbias.encoding.regions import region_table


def derive(
    name: str,
    tables: Mapping[str, pd.DataFrame],
    simulated: Mapping[str, Mapping[str, Any]],
    references: Sequence[Mapping[str, Any]],
) -> pd.DataFrame:
    """Make one of the tables that follow from others.

    Parameters
    ----------
    name
        "encoding_regions", "model_recovery" or "references".
    tables
        The tables that it follows from, by name.
    simulated
        Simulated recordings and their settings.
    references
        Published numbers.
    """
    if name == "encoding_regions":
        return region_table(tables["encoding"])
    if name == "model_recovery":
        generators = {recording: dict(spec) for recording, spec in simulated.items()}
        return model_recovery(generators, tables["rsa_recordings"], tables["encoding"])
    if name == "references":
        return compare_references([Reference(**entry) for entry in references], dict(tables))
    raise ValueError(f"no table {name!r} follows from others")
