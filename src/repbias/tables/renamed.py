"""Names in tables of older versions, which are refused with a word on what is new."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import repbias
from repbias.base.spec import RepbiasError
from repbias.io.files import StoreError
from repbias.tables.catalogue import TABLES

if TYPE_CHECKING:
    import pandas as pd

#: Tables, by their earlier names.
RENAMED_TABLES = {"ledger": "variance_decomposition"}
#: Tables that are no more, and where to look instead.
REPLACED_TABLES = dict.fromkeys(
    ("planted_truth", "model_recovery"),
    "see the table 'recovery' instead, which `recovery: {enabled: true}` adds to a study",
)
#: Columns, by their earlier names.
RENAMED_COLUMNS = {
    "kept": "included",
    "kept_a": "included_a",
    "kept_b": "included_b",
    "n_kept": "n_included",
    "n_dropped": "n_excluded",
    "comparator": "rdm_similarity",
    "dose": "strength",
}
#: Values of `snapshot`, by their earlier names.
RENAMED_SNAPSHOTS = {"acquired": "mastered"}


def refuse_older(path: str | Path, table: pd.DataFrame) -> None:
    """Refuse a table that an older version wrote, with names that have changed since.

    Parameters
    ----------
    path
        The file; a record of provenance beside it may tell which version that was.
    table
        What was read from it; its columns suffice.

    Raises
    ------
    StoreError
        If it has names of an older version.
    """
    columns = {name: RENAMED_COLUMNS[name] for name in table if name in RENAMED_COLUMNS}
    now = tuple(columns.get(name, name) for name in table)
    if now not in {row.columns for row in TABLES.values()}:
        return
    renamed = columns | {
        old: new
        for old, new in RENAMED_SNAPSHOTS.items()
        for name in ("snapshot", "snapshot_a", "snapshot_b")
        if name in table and (table[name] == old).any()
    }
    if Path(path).stem in RENAMED_TABLES:
        renamed[Path(path).stem] = RENAMED_TABLES[Path(path).stem]
    if renamed:
        names = ", ".join(f"{old!r} is now {new!r}" for old, new in renamed.items())
        raise StoreError(
            f"{path}: a table of an older version of repbias{_writer(path)}: {names}. This is "
            f"repbias {repbias.__version__}, which reads the new names only; run the study again, "
            "and the table is written anew"
        )


def _writer(path: str | Path) -> str:
    """Say which version wrote a table, where that is on record."""
    # By name, so that it does not count as code of the jobs that read tables.
    provenance = import_module("repbias.io.provenance")
    try:
        record = provenance.record_of(Path(path))
        commit = f", commit {record['commit'][:12]}" if record["commit"] else ""
        return f" (written by {record['versions']['repbias']}{commit})"
    except (RepbiasError, KeyError, TypeError):  # no record, or a damaged one
        return ""
