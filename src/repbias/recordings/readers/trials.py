"""What readers of spikes and of fluorescence share: the trials, and the window of a response.

The trials of a recording are rows of a table of text (:func:`read_trials`), or of a table in the
recording's own file (NWB). Spikes and samples become responses by the functions on arrays of
:mod:`repbias.recordings.readers.windows`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from repbias.base.spec import InputPath, RepbiasError
from repbias.io.text_tables import find_column, is_missing, numbers, read_table, texts, typed
from repbias.recordings.readers.files import (
    TOLERANCE_S,
    MultiFileRecording,
    SessionResponses,
    count_left_out,
    plain_columns,
    select_trials,
)
from repbias.recordings.readers.templates import same_name
from repbias.recordings.readers.windows import Samples, window_means
from repbias.recordings.spec import Seconds

logger = logging.getLogger(__name__)

#: Names of folders that programs give, which say nothing about the session.
PROGRAM_FOLDER = re.compile(
    r"(suite2p|plane\d+|combined|phy|kilosort[\d._]*|ks[\d._]*|sorter_output|sorting|output)", re.I
)


class TrialRecording(MultiFileRecording):
    """Settings of recordings whose responses are taken from a window around every trial.

    All times are in seconds.
    """

    trials: InputPath | list[InputPath] | None = None
    """Table of the trials (`.csv`, `.tsv`) with one row per presentation of a stimulus: one for all
    files, whose columns `session` and `subject` say which rows belong to a file, or a list with one
    table per file."""
    stimulus: str
    """Column of the table with the stimulus id."""
    align: str = "start_time"
    """Column of the table with the time of 0 s, in seconds."""
    offset_s: Seconds | list[Seconds] = 0.0
    """Added to the times of `trials`, where the clock of the recording differs from that of the
    trials; a number for all files, or a list with one per file."""
    session: str | list[str] | None = None
    """Name of the session, or a list with one name per file; by default as stated in the files, or
    the name of the folder."""
    from_s: Seconds
    """Start of the responses (included), in seconds relative to `align`."""
    to_s: Seconds
    """End of the responses (excluded), in seconds relative to `align`."""
    bin_s: Annotated[float, Field(gt=0)] | None = None
    """Width of the time bins in seconds, which must divide the time from `from_s` to `to_s`; by
    default there is one response for all of this time."""

    PER_FILE: ClassVar[tuple[str, ...]] = ("trials", "offset_s", "session")

    @model_validator(mode="after")
    def _bins_fit(self) -> TrialRecording:
        if self.from_s >= self.to_s:
            raise ValueError(f"from_s must be before to_s, found {self.from_s} and {self.to_s}")
        n_bins = (self.to_s - self.from_s) / (self.bin_s or np.inf)
        if self.bin_s and (round(n_bins) < 1 or abs(n_bins - round(n_bins)) > 1e-6 * n_bins):
            raise ValueError(
                f"{n_bins:g} bins of {self.bin_s} s fit between from_s and to_s, expected a whole "
                "number"
            )
        if self.window and not self.bin_s:
            raise ValueError("window needs bin_s, the width of the time bins")
        return self

    def input_files(self) -> list[str]:
        """Return all files that the recording is read from; changing one reruns what uses it."""
        tables = self.trials if isinstance(self.trials, list) else [self.trials]
        return [*super().input_files(), *dict.fromkeys(str(table) for table in tables if table)]

    def edges(self) -> np.ndarray:
        """Return the edges of the time bins in seconds relative to `align`, (bin + 1,)."""
        n_bins = round((self.to_s - self.from_s) / self.bin_s) if self.bin_s else 1
        return np.linspace(self.from_s, self.to_s, n_bins + 1)


class SeriesRecording(TrialRecording):
    """Further settings of recordings of time series, whose samples are averaged."""

    baseline: tuple[Seconds, Seconds] | None = None
    """Start and end of a time series' baseline, in seconds relative to `align`."""
    baseline_mode: Literal["subtract", "dff"] = "subtract"
    """Subtract the average over the baseline, or also divide by it (`dff`: ΔF/F)."""

    @model_validator(mode="after")
    def _baseline_fits(self) -> SeriesRecording:
        if self.baseline and self.baseline[0] >= self.baseline[1]:
            raise ValueError(f"baseline must ascend, found {list(self.baseline)}")
        if self.baseline_mode == "dff" and not self.baseline:
            raise ValueError("baseline_mode dff needs a baseline")
        return self


@dataclass(frozen=True)
class Trials:
    """The trials of a file.

    Attributes
    ----------
    subject, session : whose they are
    stimulus : (trial,) what was shown
    align : (trial,) times of 0 s, in seconds of the recording's clock; NaN if there is none
    columns : all columns of the table, each (trial,)
    left_out : how many others `trials_where` does not select
    """

    subject: str
    session: str
    stimulus: np.ndarray
    align: np.ndarray
    columns: Mapping[str, np.ndarray]
    left_out: int = 0


def session_name(path: Path) -> str:
    """Return a name for the session of a folder: its own, or of the one that a program's is in.

    Examples
    --------
    >>> session_name(Path("mouse1/2024-05-01/suite2p/plane0"))
    '2024-05-01'
    """
    names = [part for part in path.resolve().parts if not PROGRAM_FOLDER.fullmatch(part)]
    return names[-1].strip("/") or "session1" if names else "session1"


def read_trials(
    spec: TrialRecording, path: Path, session: str, subject: str | None = None
) -> Trials:
    """Read the rows of a table of trials that belong to a file.

    Parameters
    ----------
    spec
        The entry of ``recordings:``.
    path
        The file or folder of the recording.
    session, subject
        What it says of itself; the entry can say otherwise.

    Raises
    ------
    RepbiasError
        If the table is no table, lacks a column, has no row for the file, or lists a presentation
        twice; or if it is one for several files and does not say which rows belong to which.
    """
    assert spec.trials is not None
    file = spec.value_for(path, spec.trials)
    table = read_table(file)
    own = isinstance(spec.trials, list) or not spec.more_files
    if not own:
        _refuse_ambiguous(spec, file, list(table))
    given = {"session": spec.session, "subject": spec.subject}
    names = {"session": spec.value_for(path, spec.session) or session}
    if own and only_value(table, "subject") and not spec.subject:
        subject = only_value(table, "subject")
    names["subject"] = spec.subject_of(path, subject)
    for name in ("session", "subject"):
        if name not in table:
            continue
        only = only_value(table, name)
        if own and only and not given[name]:
            names[name] = only
        table = rows_of(file, table, path, name, names[name], "trial")
    selected = select_trials(spec, file, table, len(table))
    left_out = count_left_out(selected, table[find_column(file, table, spec.stimulus)])
    table = _with_stimulus(spec, file, table[selected])
    align = numbers(file, table, find_column(file, table, spec.align))
    check_times(spec, f"{file}", "line", table.index.to_numpy(), align)
    align = align + spec.value_for(path, spec.offset_s)
    columns = plain_columns({str(name): typed(table[name]) for name in table})
    columns.pop("subject", None)
    return Trials(
        subject=names["subject"],
        session=names["session"],
        stimulus=texts(file, table, spec.stimulus),
        align=align,
        # The column that orders the trials of a stimulus.
        columns=columns | {"start_time": align},
        left_out=left_out,
    )


def rows_of(file: Path, table: Any, path: Path, name: str, value: str, row: str) -> Any:
    """Return the rows of a table that belong to a session or a subject.

    Where none has its name, names are equal as :func:`same_name` has it, if only one is.

    Parameters
    ----------
    file, table
        The table, from :func:`repbias.io.text_tables.read_table`.
    path
        The file or folder of the recording.
    name, value
        ``session`` or ``subject``, a column of the table, and which of them `path` is.
    row
        What a row is called, for messages.

    Raises
    ------
    RepbiasError
        If there is none.
    """
    found = sorted(set(table[name]))
    if value not in found:
        equal = [cell for cell in found if same_name(name, cell, value)]
        if len(equal) != 1:
            raise RepbiasError(
                f"{file}: no {row} of {name} {value!r}, which {path} is; the table has "
                f"{', '.join(map(repr, found[:10]))}; set {name!r}, or leave the file out "
                "(leave_out)"
            )
        (value,) = equal
    return table[table[name] == value]


def only_value(table: Any, name: str) -> str:
    """Return the only value of a column; empty if there is no such column, or there are more."""
    values = set(table[name]) if name in table else set()
    return str(values.pop()) if len(values) == 1 else ""


def _refuse_ambiguous(spec: TrialRecording, file: Path, columns: list[str]) -> None:
    """Refuse a table of several files that does not say which rows belong to which."""
    needed = ["session", *([] if isinstance(spec.subject, str) else ["subject"])]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise RepbiasError(
            f"{file}: trials: one table for {len(spec.files())} files needs the columns "
            f"{' and '.join(needed)}, found {', '.join(columns)}; or give a list with one table "
            "per file"
        )


def _with_stimulus(spec: TrialRecording, file: Path, table: Any) -> Any:
    """Return the rows that name a stimulus; warn if there are others."""
    missing = is_missing(table[find_column(file, table, spec.stimulus)])
    if missing.all():
        raise RepbiasError(f"{file}: no trial has a value in the column {spec.stimulus!r}")
    if missing.any():
        logger.warning(
            "%s: %d of %d trials name no stimulus in the column %r; they are left out",
            file,
            missing.sum(),
            len(table),
            spec.stimulus,
        )
    return table[~missing]


def check_times(
    spec: TrialRecording, where: str, row: str, numbers: np.ndarray, align: np.ndarray
) -> None:
    """Refuse two trials of a session at the same time; warn of those without a time.

    Parameters
    ----------
    spec
        The entry of ``recordings:``.
    where, row, numbers
        The table, what its rows are called, and their numbers, (trial,), for messages.
    align
        (trial,) times of the trials that name a stimulus, in seconds; may be NaN.

    Raises
    ------
    RepbiasError
        If two are the same: one response would count as two repeats.
    """
    known = np.isfinite(align)
    times, counts = np.unique(align[known], return_counts=True)
    if counts.max(initial=1) > 1:
        time = times[counts.argmax()]
        first, second = numbers[align == time][:2]
        raise RepbiasError(
            f"{where}: {row}s {first} and {second} have the same time {time:g} in the column "
            f"{spec.align!r}; expected one {row} for each presentation, as every further one "
            "counts as a repeat"
        )
    if not known.all():
        logger.warning(
            "%s: %d of %d trials have no time in the column %r; they are left out",
            where,
            (~known).sum(),
            len(align),
            spec.align,
        )


def within_recording(
    spec: TrialRecording, path: Path, align: np.ndarray, start: float, stop: float
) -> np.ndarray:
    """Return which trials have their whole window in the recording, (trial,) bool; warn of others.

    Parameters
    ----------
    spec, path
        The entry of ``recordings:``, and the file.
    align
        (trial,) times of 0 s, in seconds of the recording's clock; may be NaN.
    start, stop
        When the recording starts and ends, in seconds.

    Raises
    ------
    RepbiasError
        If most trials lie outside: their times are then of another unit or another clock.
    """
    edges, known = spec.edges(), np.isfinite(align)
    inside = (align + edges[0] >= start - TOLERANCE_S) & (align + edges[-1] <= stop + TOLERANCE_S)
    n_outside, n = (known & ~inside).sum(), known.sum()
    found = (
        f"{path}: {n_outside} of {n} trials are not within the recording, which goes from "
        f"{start:g} to {stop:g} s"
    )
    if not n:
        raise RepbiasError(f"{path}: align: no trial has a time in the column {spec.align!r}")
    if 2 * n_outside > n:
        raise RepbiasError(
            f"{found}; {spec.align!r} goes from {np.nanmin(align):g} to {np.nanmax(align):g}, "
            "expected seconds on the clock of the recording; offset_s is added where the clocks "
            "differ"
        )
    if n_outside:
        logger.warning("%s; they have no responses", found)
    return inside


def session_responses(
    spec: TrialRecording,
    trials: Trials,
    units: Mapping[str, Any],
    responses: np.ndarray,
    measure: str,
) -> SessionResponses:
    """Return the responses of a file under names that are unique among files.

    Parameters
    ----------
    spec
        The entry of ``recordings:``.
    trials
        The trials of the file.
    units
        Columns of its units, as :func:`named_units` returns them.
    responses
        (trial, unit, bin).
    measure
        Unit of measure of the responses, if the entry does not state it.
    """
    edges = spec.edges()
    times = {"times_s": ((edges[:-1] + edges[1:]) / 2).tolist()} if spec.bin_s else {}
    n_trials = len(trials.stimulus)
    return SessionResponses(
        session=trials.session,
        left_out=trials.left_out,
        stimulus=trials.stimulus,
        responses=responses if spec.bin_s else responses[:, :, 0],
        trials={**trials.columns, "session": np.full(n_trials, trials.session)},
        units=units,
        info={"response_unit": spec.response_unit or measure} | times,
    )


def named_units(trials: Trials, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns of units with their subject, and names that are unique among files."""
    owner = f"{trials.subject}/{trials.session}"
    names = np.array([f"{owner}/{unit}" for unit in columns["unit"]], dtype=str)
    return {**columns, "unit": names, "subject": np.full(len(names), trials.subject)}


def average(
    spec: SeriesRecording, path: Path, name: str, samples: Samples, align: np.ndarray
) -> np.ndarray:
    """Return the averages of samples in the bins of every trial, (trial, unit, bin).

    Parameters
    ----------
    spec, path
        The entry of ``recordings:``, and the file.
    name
        Name of the series, for messages.
    samples
        What is averaged.
    align
        (trial,) times of 0 s, in seconds; may be NaN.

    Raises
    ------
    RepbiasError
        If a bin, or the baseline, is shorter than the time between samples.
    """
    edges, baseline = spec.edges(), np.array(spec.baseline or (), float)
    shortest = min(edges[1] - edges[0], *np.diff(baseline), np.inf)
    if shortest < samples.step - TOLERANCE_S:
        raise RepbiasError(
            f"{path}: {shortest:g} s is shorter than the {samples.step:g} s between the samples of "
            f"{name!r}"
        )
    divide = spec.baseline_mode == "dff"
    return window_means(samples, align, edges, baseline if spec.baseline else None, divide)
