"""The table of events, and which volume belongs to which trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.text_tables import find_column, numbers, read_table, texts
from repbias.recordings.readers.fmri.scans import SCAN, Scan
from repbias.recordings.readers.fmri.settings import FmriRecording

if TYPE_CHECKING:
    import pandas as pd

#: Columns of events that may hold the stimulus; the first one that exists is used.
STIMULUS_COLUMNS = ("stimulus", "trial_type")


def read_events(spec: FmriRecording, scan: Scan) -> pd.DataFrame:
    """Return the events: a column "stimulus", and run, session, onset and duration if present."""
    import pandas as pd

    path = scan.paths["events"]
    table = read_table(path, spec.header)
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


def pick_betas(
    spec: FmriRecording, scan: Scan, values: np.ndarray, events: pd.DataFrame
) -> tuple[np.ndarray, pd.DataFrame]:
    """Take one volume per trial."""
    require_row_per_volume(scan, values, events)
    events = events.drop(columns="duration", errors="ignore")
    used = ~events["stimulus"].isin(spec.ignore).to_numpy()
    return values[used], events[used].rename(columns={"onset": "start_time"})


def require_row_per_volume(scan: Scan, values: np.ndarray, events: pd.DataFrame) -> None:
    """Refuse a table of events that has not one row for every volume."""
    if len(events) != len(values):
        raise RepbiasError(
            f"{scan.paths['events']}: {len(events)} rows for the {len(values)} volumes of "
            f"{scan.image}"
        )
