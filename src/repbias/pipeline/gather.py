"""Join the parts of tables, and make the tables that follow from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from repbias.tables import join_tables, read_table, read_tables, write_table


def gather_tables(
    folder: Path,
    parts: Mapping[str, str | Sequence[str]],
    tables: Sequence[str],
    simulated: Mapping[str, Mapping[str, Any]],
    references: Sequence[Mapping[str, Any]],
) -> None:
    """Write the tables of a study; one is in memory at a time.

    Parameters
    ----------
    folder
        Where tables go, each to its name with the suffix .csv.
    parts
        Table to the files of its parts.
    tables
        What to write: all that have parts, then those that follow from them.
    simulated
        Simulated recordings and their settings.
    references
        Published numbers.
    """
    for name, files in parts.items():
        files = [files] if isinstance(files, str) else files
        joined = join_tables(name, (read_table(file, name) for file in files))
        write_table(folder / f"{name}.csv", name, joined)
    for name in tables:
        if name not in parts:
            made = _derived(name, folder, set(parts), simulated, references)
            write_table(folder / f"{name}.csv", name, made)


def _derived(
    name: str,
    folder: Path,
    gathered: set[str],
    simulated: Mapping[str, Mapping[str, Any]],
    references: Sequence[Mapping[str, Any]],
) -> pd.DataFrame:
    """Make a table from those that were gathered."""

    def table(of: str) -> pd.DataFrame:
        return read_table(folder / f"{of}.csv", of)

    if name == "encoding_regions":
        from repbias.encoding.regions import region_table

        return region_table(table("encoding"))
    if name == "model_recovery":
        from repbias.claims.recovery import model_recovery

        truth = {recording: dict(spec) for recording, spec in simulated.items()}
        return model_recovery(truth, table("rsa_recordings"), table("encoding"))
    from repbias.claims.references import compare_references
    from repbias.config.references import Reference

    measured = gathered & {"quality", "rsa_recordings", "rsa_between_recordings"}
    files = [folder / f"{of}.csv" for of in sorted(measured)]
    return compare_references([Reference(**entry) for entry in references], read_tables(files))
