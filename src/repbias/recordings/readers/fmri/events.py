"""The table of events, and which volume belongs to which trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repbias.base.spec import RepbiasError, nearest
from repbias.io.text_tables import find_column, numbers, read_table, texts
from repbias.recordings.readers.fmri.scans import SCAN, Scan
from repbias.recordings.readers.fmri.settings import FmriRecording

if TYPE_CHECKING:
    import pandas as pd

#: Columns of events that may hold the stimulus; the first one that exists is used.
STIMULUS_COLUMNS = ("stimulus", "trial_type")


def read_events(spec: FmriRecording, scan: Scan) -> pd.DataFrame:
    """Return the events: a column "stimulus", and run, session, onset and duration if present.

    Of a table for several sessions or runs, only the rows of the scan's are returned.
    """
    import pandas as pd

    path = scan.paths["events"]
    table = _rows_of_scan(spec, scan, read_table(path, spec.header))
    candidates = [name for name in STIMULUS_COLUMNS if name in table] or STIMULUS_COLUMNS
    stimulus = find_column(path, table, spec.columns.stimulus or candidates[0])
    events = pd.DataFrame({"stimulus": texts(path, table, stimulus)}, index=table.index)
    for name in ("session", "run", "onset", "duration"):
        called = getattr(spec.columns, name)
        if name in spec.columns.given():
            find_column(path, table, called)
        if called in table and name not in scan.where:
            read = texts if name in SCAN else numbers
            events[name] = read(path, table, called)
    return events


def _rows_of_scan(spec: FmriRecording, scan: Scan, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the session and run that the name of an image tells."""
    for name in ("session", "run"):
        column = getattr(spec.columns, name)
        has_own_table = f"{{{name}}}" in (spec.events or "")
        if name in scan.where and column in table and not has_own_table:
            wanted = scan.where[name]
            rows = [_same(cell, wanted) for cell in table[column].tolist()]
            if not any(rows):
                raise RepbiasError(
                    f"{scan.paths['events']}: no row of {column} {wanted!r}, of {scan.image}; "
                    f"{nearest(wanted, table[column].unique())}"
                )
            table = table[rows]
    return table


def _same(cell: str, name: str) -> bool:
    """Whether two names are equal, as text or as whole numbers (1 and 01)."""
    return cell == name or (cell.isdecimal() and name.isdecimal() and int(cell) == int(name))


def require_row_per_volume(scan: Scan, n_volumes: int, events: pd.DataFrame) -> None:
    """Refuse a table of events that has not one row for every volume."""
    if len(events) != n_volumes:
        raise RepbiasError(
            f"{scan.paths['events']}: {len(events)} rows for the {n_volumes} volumes of "
            f"{scan.image}"
        )
