"""The table of events, and which volume belongs to which trial."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.text_tables import find_column, is_missing, numbers, read_table, texts
from repbias.recordings.readers.files import NothingSelected, select_trials
from repbias.recordings.readers.fmri.scans import SCAN, Scan
from repbias.recordings.readers.fmri.settings import FmriRecording
from repbias.recordings.readers.templates import rows_of_file

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

#: Columns of events that may hold the stimulus; the first one that exists is used.
STIMULUS_COLUMNS = ("stimulus", "trial_type")
#: What stands for the stimulus of events that `trials_where` does not select.
LEFT_OUT = "\0left out"


def read_events(spec: FmriRecording, scan: Scan) -> pd.DataFrame:
    """Return the events: "stimulus", "left_out", and run, session, onset and duration if present.

    Of a table for several subjects, sessions or runs, only the rows of the scan's are returned. The
    stimulus of those that `trials_where` does not select is :data:`LEFT_OUT`; they are "left_out",
    as trials, if they name a stimulus.

    Raises
    ------
    RepbiasError
        If a column does not exist, or a stimulus, its session or its run is missing.
    """
    import pandas as pd

    path = scan.paths["events"]
    table = rows_of_file(
        path,
        read_table(path, spec.header),
        spec.columns,
        spec.events or "",
        (scan.image, scan.where),
        may_mix=("session", "run"),
    )
    candidates = [name for name in STIMULUS_COLUMNS if name in table] or STIMULUS_COLUMNS
    stimulus = find_column(path, table, spec.columns.stimulus or candidates[0])
    ignored = is_ignored(spec, table[stimulus])
    left_out = ~ignored & ~_selected(spec, path, table)
    _require_stimuli(path, table[~ignored & ~left_out], stimulus)
    shown = np.where(left_out, LEFT_OUT, table[stimulus].to_numpy(str))
    called = {name: getattr(spec.columns, name) for name in ("session", "run", "onset", "duration")}
    for name in {"onset", "duration"} & spec.columns.given():
        find_column(path, table, called[name])
    called = {n: c for n, c in called.items() if c in table and n not in scan.where}
    if spec.content == "bold" and "onset" in called:  # an ignored event need not belong to a run
        runs = [called[name] for name in ("session", "run") if name in called]
        needed = ~(ignored & np.any([is_missing(table[name]) for name in runs], axis=0))
        table, shown = table[needed], shown[needed]
    events = pd.DataFrame({"stimulus": shown}, index=table.index)
    events["left_out"] = (shown == LEFT_OUT) & ~is_missing(table[stimulus])
    for name, column in called.items():
        events[name] = (texts if name in SCAN else numbers)(path, table, column)
    return events


def _selected(spec: FmriRecording, path: Path, table: pd.DataFrame) -> np.ndarray:
    """Return which events `trials_where` selects, bool; none is no error, but has a warning."""
    try:
        return select_trials(spec, path, table, len(table))
    except NothingSelected as error:
        logger.warning("%s; they are left out", error)
        return np.zeros(len(table), bool)


def shows_stimulus(spec: FmriRecording, labels: pd.Series) -> np.ndarray:
    """Return which labels are of responses to be read, bool: neither ignored nor left out."""
    return ~is_ignored(spec, labels) & (labels != LEFT_OUT).to_numpy(bool)


def is_ignored(spec: FmriRecording, labels: pd.Series) -> np.ndarray:
    """Return which labels are not stimuli, bool; `n/a` stands for all that means "missing"."""
    named = labels.isin(spec.ignore).to_numpy(bool)
    return named | (is_missing(labels) & is_missing(spec.ignore).any())


def _require_stimuli(path: Path, table: pd.DataFrame, stimulus: str) -> None:
    try:
        texts(path, table, stimulus)
    except RepbiasError as error:
        raise RepbiasError(f"{error}; if such events show no stimulus: ignore: [n/a]") from error


def require_row_per_volume(scan: Scan, n_volumes: int, events: pd.DataFrame) -> None:
    """Refuse a table of events that has not one row for every volume."""
    if len(events) != n_volumes:
        raise RepbiasError(
            f"{scan.paths['events']}: {len(events)} rows for the {n_volumes} volumes of "
            f"{scan.image}"
        )
