"""Which stimuli were shown in a recording of MEG or EEG, and when."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.identities import as_ids
from repbias.base.spec import RepbiasError, nearest
from repbias.io.text_tables import find_column, is_missing, numbers, read_header, read_table, typed
from repbias.recordings.readers.files import count_left_out, plain, plain_columns, select_trials
from repbias.recordings.readers.mne.eeglab import header_of, locked_events
from repbias.recordings.readers.mne.settings import MneRecording, Source
from repbias.recordings.readers.templates import or_left_out, rows_of_file

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

#: Columns of a table of events that may hold the stimulus; the first one that exists is used.
STIMULUS_COLUMNS = ("stimulus", "trial_type")
#: Beginnings of the names of markers that are no stimuli, in small letters.
NO_STIMULI = ("bad", "edge", "boundary", "new segment/")
#: Beginnings of those at the first sample behind a gap in the signal.
BOUNDARIES = ("boundary", "edge boundary", "new segment/")


@dataclass
class Trials:
    """What was shown.

    Attributes
    ----------
    stimulus : (trial,) ids
    rows : (trial,) the sample of its onset, from the first one of a continuous recording; or its
        epoch
    columns : further columns, (trial,) each
    left_out : how many others `trials_where` does not select
    """

    stimulus: np.ndarray
    rows: np.ndarray
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    left_out: int = 0

    def take(self, which: np.ndarray) -> Trials:
        """Return some of the trials, by their indices or bool."""
        columns = {name: values[which] for name, values in self.columns.items()}
        return Trials(self.stimulus[which], self.rows[which], columns, self.left_out)

    def selected(self, spec: MneRecording, path: Path) -> Trials:
        """Return the trials that `trials_where` selects by their columns."""
        kept = select_trials(spec, path, self.columns, len(self.rows))
        return replace(self.take(kept), left_out=count_left_out(kept, self.stimulus))


def chosen(spec: MneRecording, path: Path, names: Sequence[str]) -> np.ndarray:
    """Return which of the names of markers or events are of stimuli, (name,) bool.

    Raises
    ------
    RepbiasError
        If one of `markers` matches none.
    """
    if spec.markers is None:
        return np.array([not n.lower().startswith(NO_STIMULI) for n in names], bool)
    among = np.zeros(len(names), bool)
    for wanted in spec.markers:
        pattern = ".*".join(map(re.escape, wanted.split("*")))
        matched = np.array([bool(re.fullmatch(pattern, name)) for name in names], bool)
        if not matched.any():
            raise RepbiasError(f"{path}: markers: no {wanted!r}; {nearest(wanted, set(names))}")
        among |= matched
    return among


def counted(names: Iterable[str]) -> str:
    """Return how often each name occurs, the most frequent first."""
    counts = Counter(names).most_common()
    listed = ", ".join(f"{name!r} {n}" for name, n in counts[:8])
    return f"{listed}, ..." if len(counts) > 8 else listed or "none"


# Continuous recordings.


def trials_of_raw(spec: MneRecording, source: Source, raw: Any) -> Trials:
    """Return the trials of a continuous recording, in the order of their onsets.

    Raises
    ------
    RepbiasError
        If there are none, two begin at the same sample, or a table and the markers disagree.
    """
    if "events" not in source.tables:
        if spec.stimulus is not None:
            raise RepbiasError(
                f"{source.path}: stimulus: markers have no columns; leave 'stimulus' out to use "
                "their names, or set 'events' to a table"
            )
        if spec.trials_where:
            raise RepbiasError(
                f"{source.path}: trials_where: markers have no columns; set 'events' to a table"
            )
        trials = marked_trials(spec, source, raw)
    else:
        trials = _timed_by_table(spec, source, raw)
    if not len(trials.stimulus):
        raise RepbiasError(f"{source.path}: no stimulus was shown{or_left_out(source.where)}")
    trials = trials.take(np.argsort(trials.rows, kind="stable"))
    same = np.flatnonzero(np.diff(trials.rows) == 0)
    if len(same):
        first = same[0]
        raise RepbiasError(
            f"{source.path}: {str(trials.stimulus[first])!r} and "
            f"{str(trials.stimulus[first + 1])!r} begin at the same sample {trials.rows[first]} "
            f"({trials.rows[first] / raw.info['sfreq']:g} s); choose with 'markers'"
        )
    return trials


def marked_trials(spec: MneRecording, source: Source, raw: Any) -> Trials:
    """Return a trial for every marker of a stimulus: an annotation, or a code of a channel."""
    import mne

    path = source.path
    if spec.stim_channel is None:
        names = list(dict.fromkeys(raw.annotations.description.tolist()))
        if not names:
            _refuse_no_annotations(source, raw)
        wanted = [name for name, use in zip(names, chosen(spec, path, names), strict=True) if use]
        codes = {name: code for code, name in enumerate(wanted)}
        # The function of MNE that knows what onsets of annotations are relative to.
        events, _ = mne.events_from_annotations(raw, codes, regexp=None, verbose="ERROR")
        shown = np.array(wanted, dtype=str)[events[:, 2]]
    else:
        if spec.stim_channel not in raw.ch_names:
            options = nearest(spec.stim_channel, raw.ch_names)
            raise RepbiasError(f"{path}: stim_channel: no channel {spec.stim_channel!r}; {options}")
        find = partial(
            mne.find_events,
            raw,
            stim_channel=spec.stim_channel,
            shortest_event=1,
            verbose="ERROR",
        )
        events = find(consecutive="increasing" if spec.stim_decreases is False else True)
        shown = events[:, 2].astype(str)
        names = list(dict.fromkeys(shown.tolist()))
        wanted = [name for name, use in zip(names, chosen(spec, path, names), strict=True) if use]
        among = np.isin(shown, wanted)
        events, shown = events[among], shown[among]
        if spec.stim_decreases is None:
            increases = find(consecutive="increasing")
            n_increases = np.isin(increases[:, 2], events[:, 2]).sum()
            if n_increases < len(events):
                raise RepbiasError(
                    f"{path}: stim_channel: {len(events)} codes in {spec.stim_channel!r}, of which "
                    f"{n_increases} follow 0 or a smaller code; set 'stim_decreases' to true if "
                    "those that follow a larger one are markers too, to false if they are the end "
                    "of it"
                )
    return Trials(shown, events[:, 0] - raw.first_samp)


def _refuse_no_annotations(source: Source, raw: Any) -> None:
    triggers = [raw.ch_names[i] for i, kind in enumerate(raw.get_channel_types()) if kind == "stim"]
    has = f"trigger channels: {', '.join(triggers)}" if triggers else "no trigger channel"
    raise RepbiasError(
        f"{source.path}: has no annotations; set 'stim_channel' ({has}), or 'events' to a "
        f"table{or_left_out(source.where)}"
    )


def _timed_by_table(spec: MneRecording, source: Source, raw: Any) -> Trials:
    """Return the trials of a table, by its onsets or in the order of the markers."""
    path = source.tables["events"]
    names = [
        name for name in ("onset", "sample") if getattr(spec.columns, name) in read_header(path)
    ]
    table = _rows_of_file(spec, source, () if names else ("session", "run"))
    if not names:
        for name in {"onset", "sample"} & spec.columns.given():
            find_column(path, table, getattr(spec.columns, name))
        marked = marked_trials(spec, source, raw)
        if len(marked.rows) != len(table):
            raise RepbiasError(
                f"{path}: has {len(table)} rows and no column {spec.columns.onset!r} or "
                f"{spec.columns.sample!r}, but {source.path} has {len(marked.rows)} markers: "
                f"{counted(marked.stimulus.tolist())}; choose with 'markers'"
            )
        return _shown_in(spec, path, table, marked.rows)
    if spec.markers or spec.stim_channel:
        raise RepbiasError(f"{path}: has onsets; leave 'markers' and 'stim_channel' out")
    selected = select_trials(spec, path, table, len(table))
    left_out = count_left_out(selected, table[_stimulus_column(spec, path, table)])
    table = table[selected]
    table = table[_names_stimulus(spec, path, table)]  # other rows need no onset
    rows = _onsets(spec, path, table, raw, names[0] == "onset")
    return replace(_shown_in(spec, path, table, rows), left_out=left_out)


def _rows_of_file(spec: MneRecording, source: Source, may_mix: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows of the table of events that belong to a file."""
    path, file = source.tables["events"], (source.path, source.where)
    template = "" if spec.template is None else str(spec.events)
    return rows_of_file(path, read_table(path), spec.columns, template, file, may_mix)


def _onsets(
    spec: MneRecording, path: Path, table: pd.DataFrame, raw: Any, in_seconds: bool
) -> np.ndarray:
    """Return the sample of every onset."""
    rate = raw.info["sfreq"]
    onsets = numbers(path, table, spec.columns.onset if in_seconds else spec.columns.sample)
    onsets = onsets * rate if in_seconds else onsets
    unknown = table.index[~np.isfinite(onsets)]
    if len(unknown):
        raise RepbiasError(f"{path}: line {unknown[0]}: has no onset")
    outside = onsets > raw.n_times
    if outside.sum() > len(onsets) / 2:
        unit = "seconds" if in_seconds else "samples"
        raise RepbiasError(
            f"{path}: {outside.sum()} of {len(onsets)} onsets are after the end of the recording, "
            f"{raw.n_times / rate:g} s or {raw.n_times} samples; are they in {unit}, and is it "
            "complete?"
        )
    return np.round(onsets).astype(int)


def _shown_in(spec: MneRecording, path: Path, table: pd.DataFrame, rows: np.ndarray) -> Trials:
    """Return the trials of the rows of a table that are selected and name a stimulus."""
    selected = select_trials(spec, path, table, len(table))
    shown = table[_stimulus_column(spec, path, table)].to_numpy(dtype=str)
    left_out = count_left_out(selected, shown)
    table, rows = table[selected], rows[selected]
    columns = plain_columns({name: typed(cells) for name, cells in table.items()})
    trials = Trials(shown[selected], rows, columns, left_out)
    return trials.take(_names_stimulus(spec, path, table))


def _names_stimulus(spec: MneRecording, path: Path, table: pd.DataFrame) -> np.ndarray:
    """Return which rows name a stimulus, bool."""
    missing = is_missing(table[_stimulus_column(spec, path, table)])
    if missing.any():
        logger.info("%s: %d of %d rows name no stimulus", path, missing.sum(), len(table))
    return ~missing


def _stimulus_column(spec: MneRecording, path: Path, table: pd.DataFrame) -> str:
    candidates = [name for name in STIMULUS_COLUMNS if name in table] or STIMULUS_COLUMNS
    return find_column(path, table, spec.stimulus or candidates[0])


def spans_boundary(raw: Any, rows: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Return which epochs contain a gap in the signal, (trial,) bool.

    MNE itself leaves out only those that overlap with annotations called `bad...`.

    Parameters
    ----------
    raw
        The continuous recording.
    rows
        (trial,) samples of the onsets.
    window
        Start and end of the epochs in seconds.
    """
    is_boundary = [d.lower().startswith(BOUNDARIES) for d in raw.annotations.description]
    onsets = (raw.annotations.onset[np.array(is_boundary, bool)] - raw.first_time) * raw.info[
        "sfreq"
    ]
    # EEGLAB places a boundary between two samples, others at the first sample behind the gap.
    behind = np.ceil(onsets - 1e-6)
    first, last = (rows[:, None] + round(edge * raw.info["sfreq"]) for edge in window)
    return ((first < behind) & (behind <= last)).any(axis=1)


# Epochs.


def trials_of_epochs(spec: MneRecording, source: Source, epochs: Any) -> Trials:
    """Return the trials of epochs: from a table, the header of EEGLAB, metadata or event names.

    Raises
    ------
    RepbiasError
        If what names the stimulus is missing, or a table has another number of rows.
    """
    path = source.path
    if "events" in source.tables:
        return _of_rows(spec, source, epochs)
    if path.suffix.lower() == ".set":
        return _locked_in_eeglab(spec, path).selected(spec, path)
    columns = {} if epochs.metadata is None else plain_columns(epochs.metadata)
    if spec.stimulus is None or spec.markers is not None:
        names = {code: name for name, code in epochs.event_id.items()}
        if len(names) < len(epochs.event_id):
            raise RepbiasError(f"{path}: several event names have the same code")
        events = np.array([names[code] for code in epochs.events[:, 2].tolist()])
    shown = events if spec.stimulus is None else _in_metadata(spec.stimulus, path, epochs)
    trials = Trials(shown, np.arange(len(epochs)), columns)
    if spec.markers is not None:
        trials = trials.take(chosen(spec, path, events.tolist()))
    return trials.selected(spec, path)


def _in_metadata(column: str, path: Path, epochs: Any) -> np.ndarray:
    """Return a column of the metadata."""
    if epochs.metadata is None:
        raise RepbiasError(
            f"{path}: stimulus: the epochs have no metadata; leave 'stimulus' out to use the names "
            f"of the events: {', '.join(list(epochs.event_id)[:10])}"
        )
    if column not in epochs.metadata:
        options = nearest(column, epochs.metadata.columns)
        raise RepbiasError(f"{path}: stimulus: no column {column!r}; {options}")
    shown = plain(epochs.metadata[column])
    if shown is None:
        raise RepbiasError(f"{path}: stimulus: {column!r} has no single value per row")
    return shown


def _of_rows(spec: MneRecording, source: Source, epochs: Any) -> Trials:
    """Return the trials of a table with a row for every epoch, or for every one before dropping."""
    path = source.tables["events"]
    table = _rows_of_file(spec, source, ("session", "run"))
    if len(table) == len(epochs.drop_log):
        kept = epochs.selection
    elif len(table) == len(epochs):
        kept = np.arange(len(epochs))
    else:
        dropped = len(epochs.drop_log) - len(epochs)
        raise RepbiasError(
            f"{path}: {len(table)} rows for the {len(epochs)} epochs of {source.path}"
            + (f" ({dropped} more were dropped from it)" if dropped else "")
        )
    if spec.markers is not None:
        raise RepbiasError(f"{path}: has a row for every epoch; leave 'markers' out")
    return _shown_in(spec, path, table.iloc[kept], np.arange(len(epochs)))


def _locked_in_eeglab(spec: MneRecording, path: Path) -> Trials:
    """Return the trials of an EEGLAB file, each of the event that its epoch is locked to."""
    locked = locked_events(path, header_of(path))
    events = [event for of_epoch in locked for event in of_epoch]
    names = as_ids([event["type"] for event in events]).tolist()
    epochs = np.repeat(np.arange(len(locked)), [len(of_epoch) for of_epoch in locked])
    among = chosen(spec, path, names)
    per_epoch = np.bincount(epochs[among], minlength=len(locked))
    if per_epoch.max() > 1:
        several = per_epoch.argmax()
        found = ", ".join(names[i] for i in np.flatnonzero((epochs == several) & among))
        raise RepbiasError(
            f"{path}: epoch {several + 1} has several events at 0 s: {found}; choose with 'markers'"
        )
    if spec.markers is None and per_epoch.min() == 0:
        raise RepbiasError(f"{path}: epoch {per_epoch.argmin() + 1} has no event at 0 s")
    table = field_columns([event for event, use in zip(events, among, strict=True) if use])
    column = spec.stimulus or "type"
    if column not in table:
        raise RepbiasError(f"{path}: stimulus: no field {column!r}; {nearest(column, table)}")
    return Trials(as_ids(table[column]), epochs[among], plain_columns(table))


def field_columns(events: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return the fields of EEGLAB's events as columns that hold a single value per event."""
    columns = {}
    for name in dict.fromkeys(chain(*events)):
        values = np.empty(len(events), object)
        for i, event in enumerate(events):
            value = event.get(name, ())
            values[i] = None if np.size(value) == 0 else value  # MATLAB's [] is no value
        column = plain(values)
        if column is not None:
            columns[name] = column
    return columns
