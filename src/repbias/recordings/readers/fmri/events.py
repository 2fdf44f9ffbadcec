"""The table of events, and which volume belongs to which trial."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.spec import RepbiasError, nearest
from repbias.io.text_tables import find_column, is_missing, numbers, read_table, texts
from repbias.recordings.readers.fmri.scans import SCAN, Scan
from repbias.recordings.readers.fmri.settings import FmriRecording

if TYPE_CHECKING:
    import pandas as pd

#: Columns of events that may hold the stimulus; the first one that exists is used.
STIMULUS_COLUMNS = ("stimulus", "trial_type")


def read_events(spec: FmriRecording, scan: Scan) -> pd.DataFrame:
    """Return the events: a column "stimulus", and run, session, onset and duration if present.

    Of a table for several sessions or runs, only the rows of the scan's are returned.

    Raises
    ------
    RepbiasError
        If a column does not exist, or a stimulus, its session or its run is missing.
    """
    import pandas as pd

    path = scan.paths["events"]
    table = _rows_of_scan(spec, scan, read_table(path, spec.header))
    candidates = [name for name in STIMULUS_COLUMNS if name in table] or STIMULUS_COLUMNS
    stimulus = find_column(path, table, spec.columns.stimulus or candidates[0])
    ignored = is_ignored(spec, table[stimulus])
    _require_stimuli(path, table[~ignored], stimulus)
    called = {name: getattr(spec.columns, name) for name in ("session", "run", "onset", "duration")}
    for name in called.keys() & spec.columns.given():
        find_column(path, table, called[name])
    called = {n: c for n, c in called.items() if c in table and n not in scan.where}
    if spec.content == "bold" and "onset" in called:  # an ignored event need not belong to a run
        runs = [called[name] for name in ("session", "run") if name in called]
        table = table[~(ignored & np.any([is_missing(table[name]) for name in runs], axis=0))]
    events = pd.DataFrame({"stimulus": table[stimulus].to_numpy(str)}, index=table.index)
    for name, column in called.items():
        events[name] = (texts if name in SCAN else numbers)(path, table, column)
    return events


def is_ignored(spec: FmriRecording, labels: pd.Series) -> np.ndarray:
    """Return which labels are not stimuli, bool; `n/a` stands for all that means "missing"."""
    named = labels.isin(spec.ignore).to_numpy(bool)
    return named | (is_missing(labels) & is_missing(spec.ignore).any())


def _require_stimuli(path: Path, table: pd.DataFrame, stimulus: str) -> None:
    try:
        texts(path, table, stimulus)
    except RepbiasError as error:
        raise RepbiasError(f"{error}; if such events show no stimulus: ignore: [n/a]") from error


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
