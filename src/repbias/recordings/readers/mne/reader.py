"""Read a recording of MEG or EEG."""

from __future__ import annotations

import logging
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from repbias.base.spec import RepbiasError, expand_variables, nearest
from repbias.io.recordings import Recording
from repbias.io.untrusted import readable, refuse_size
from repbias.recordings.readers.files import SessionResponses, read_files
from repbias.recordings.readers.mne.events import (
    BOUNDARIES,
    Trials,
    spans_boundary,
    trials_of_epochs,
    trials_of_raw,
)
from repbias.recordings.readers.mne.files import apply_channels, open_file
from repbias.recordings.readers.mne.settings import MneRecording, Source
from repbias.recordings.readers.templates import or_left_out, same_name, warn_of_others

logger = logging.getLogger(__name__)

#: Subject ids that name nobody: MNE's anonymisation writes the first, EDF+ the second.
ANONYMOUS = ("0", "X", "anonymous")
#: Units that MNE does not return.
_SCALED = {f"{prefix}{unit}" for prefix in "munpfµμ" for unit in ("V", "T", "T/m")}
#: Settings of continuous recordings.
_ONLY_RAW = ("stim_channel", "filter_hz")


def read(spec: MneRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read the epochs of one or several files, or cut them from continuous recordings.

    Raises
    ------
    RepbiasError
        If MNE-Python is missing, a file is damaged, or metadata, events or channels are missing.
    """
    if spec.template is not None:
        warn_of_others("template", spec.path, expand_variables(spec.template))
    sources = {source.path: source for source in spec.sources()}
    return read_files(spec, stimulus_ids, lambda spec, path: _read_file(spec, sources[path]))


def _read_file(spec: MneRecording, source: Source) -> SessionResponses:
    path = source.path
    opened = open_file(path)
    with readable(path, "a recording"):
        if "channels" in source.tables:
            apply_channels(source.tables["channels"], opened)
        is_raw = not hasattr(opened, "drop_log")
        cut = _cut_from_raw if is_raw else _cut_from_epochs
        epochs, trials, start_times = cut(spec, source, opened)
        _apply_baseline(spec, path, epochs)
        if not is_raw and (spec.from_s, spec.to_s) != (None, None):
            epochs.crop(spec.from_s, spec.to_s, verbose="ERROR")
        return _responses(spec, source, epochs, trials, start_times)


def _responses(
    spec: MneRecording, source: Source, epochs: Any, trials: Trials, start_times: np.ndarray
) -> SessionResponses:
    """Return the responses in epochs, all of whose channels are read."""
    path = source.path
    responses, times = epochs.get_data(copy=False, verbose="ERROR"), epochs.times
    if spec.bin_s:
        responses, times = _binned(spec, path, responses, times, epochs.info["sfreq"])
    subject = source.where.get("subject") or spec.subject_of(
        path, None if spec.subject else _subject_in(path, epochs.info)
    )
    measures = _measures(epochs)
    common_measure = measures[0] if len(set(measures)) == 1 else ""
    if spec.response_unit in _SCALED:
        raise RepbiasError(
            f"{path}: response_unit is {spec.response_unit!r}, but MNE returns SI units "
            f"({', '.join(sorted(set(measures)))}); leave it out"
        )
    where = {name: source.where[name] for name in ("session", "run") if name in source.where}
    # Names of files may be the same in all folders.
    session = "/".join(where.values()) or _session_of(path)
    n_channels = len(epochs.ch_names)
    return SessionResponses(
        session=session,
        left_out=trials.left_out,
        stimulus=trials.stimulus,
        responses=responses,
        trials={
            "start_time": start_times,
            **({} if where else {"session": np.full(len(epochs), session)}),
            **trials.columns,
            **{name: np.full(len(epochs), value) for name, value in where.items()},
        },
        units={
            "unit": np.array([f"{subject}/{name}" for name in epochs.ch_names]),
            "subject": np.full(n_channels, subject),
            "region": np.full(n_channels, spec.region),
            "channel_type": np.array(epochs.get_channel_types()),
            "unit_of_measure": np.array(measures),
        },
        info={
            "times_s": times.tolist(),
            "response_unit": spec.response_unit or common_measure,
        },
    )


def _subject_in(path: Path, info: Any) -> str | None:
    """Return the subject that a file names: in its name, as in BIDS, or in its header."""
    stated = str((info["subject_info"] or {}).get("his_id") or "")
    stated = "" if stated in ANONYMOUS else stated
    named = re.match("sub-([^_]+)_", path.name)
    if named and stated and not same_name("subject", named[1], stated):
        # Laboratories give all files one id, or an id that is not to be published.
        logger.warning(
            "%s: its name says that the subject is %r, its header %r; the name counts, unless "
            "'subject' is set",
            path,
            named[1],
            stated,
        )
    return named[1] if named else stated or None


def _session_of(path: Path) -> str:
    stem = path.name.split(".fif")[0] if ".fif" in path.name else path.stem
    return stem.removesuffix("epo").rstrip("-_") or path.stem


def _cut_from_epochs(
    spec: MneRecording, source: Source, epochs: Any
) -> tuple[Any, Trials, np.ndarray]:
    """Return the epochs of stimuli, which are in memory, the trials, and their times."""
    path = source.path
    unused = [name for name in _ONLY_RAW if name in spec.given()]
    if unused:
        raise RepbiasError(f"{path}: {', '.join(unused)}: for continuous recordings, not epochs")
    if not len(epochs):
        raise RepbiasError(f"{path}: has no epochs")
    trials = trials_of_epochs(spec, source, epochs)
    if not len(trials.rows):
        raise RepbiasError(f"{path}: no stimulus was shown{or_left_out(source.where)}")
    gone = [log for log in epochs.drop_log if log and log != ("IGNORED",)]
    if gone:
        logger.info("%s: %d epochs had been dropped before it was saved", path, len(gone))
    if len(trials.rows) < len(epochs):
        epochs = epochs[trials.rows]
    _refuse_signals(path, epochs, len(epochs), len(epochs.times))
    epochs = _picked(spec, path, epochs.load_data())  # MNE picks in memory only
    # Events are in samples of the raw data: seconds, unless the epochs were resampled.
    starts = epochs.events[:, 0] / epochs.info["sfreq"]
    kept = _rejected(spec, path, epochs, epochs.selection)
    return epochs, trials.take(kept), starts[kept]


def _cut_from_raw(spec: MneRecording, source: Source, raw: Any) -> tuple[Any, Trials, np.ndarray]:
    """Return epochs around the stimuli of a continuous recording, the trials, and their times."""
    import mne

    path = source.path
    if spec.from_s is None or spec.to_s is None:
        raise RepbiasError(
            f"{path}: is continuous; set 'from_s' and 'to_s', the epochs around a stimulus"
        )
    trials = trials_of_raw(spec, source, raw)
    gaps = spans_boundary(raw, trials.rows, (spec.from_s, spec.to_s))
    if gaps.any():
        logger.warning("%s: %d epochs span a gap and are left out", path, gaps.sum())
        trials = trials.take(~gaps)
    # MNE leaves out epochs that end after the recording, and fails where one begins after it.
    after = trials.rows + spec.from_s * raw.info["sfreq"] >= raw.n_times
    if after.any():
        logger.warning(
            "%s: %d of %d epochs begin after its end, at %g s, and are left out",
            path,
            after.sum(),
            len(after),
            raw.n_times / raw.info["sfreq"],
        )
        trials = trials.take(~after)
    if not len(trials.rows):
        raise RepbiasError(f"{path}: no epoch is left{or_left_out(source.where)}")
    raw = _picked(spec, path, raw)
    if spec.filter_hz is not None:
        _refuse_signals(path, raw, 1, raw.n_times)
        raw.load_data(verbose="ERROR")
        skipped = ("edge", "bad_acq_skip", *BOUNDARIES)
        raw.filter(*spec.filter_hz, skip_by_annotation=skipped, verbose="ERROR")
    n_times = round((spec.to_s - spec.from_s) * raw.info["sfreq"]) + 1
    _refuse_signals(path, raw, len(trials.rows), n_times)
    zeros = np.zeros_like(trials.rows)
    epochs = mne.Epochs(
        raw,
        np.column_stack([trials.rows + raw.first_samp, zeros, zeros + 1]),
        tmin=spec.from_s,
        tmax=spec.to_s,
        baseline=None,
        picks="all",
        preload=True,
        verbose="ERROR",
    )
    trials = trials.take(_rejected(spec, path, epochs, np.arange(len(zeros))))
    return epochs, trials, trials.rows / raw.info["sfreq"]


def _rejected(spec: MneRecording, path: Path, epochs: Any, before: np.ndarray) -> np.ndarray:
    """Reject epochs, in place, and say which are gone.

    Parameters
    ----------
    spec, path
        The entry and the file.
    epochs
        In memory.
    before
        (trial,) the values of `epochs.selection` that were asked for.

    Returns
    -------
    numpy.ndarray
        (epoch,) indices of the trials that remain.
    """
    if spec.reject_above:
        epochs.drop_bad(reject=spec.reject_above, verbose="ERROR")
    gone = np.setdiff1d(before, epochs.selection)
    if len(gone):
        why = Counter(_reason(epochs.drop_log[i][0]) for i in gone)
        listed = ", ".join(f"{n} {reason}" for reason, n in why.items())
        logger.warning("%s: %d of %d epochs are left out: %s", path, len(gone), len(before), listed)
    if not len(epochs):
        raise RepbiasError(f"{path}: no epoch is left")
    return np.flatnonzero(np.isin(before, epochs.selection))


def _reason(log: str) -> str:
    """Return MNE's reason for dropping epochs in words."""
    if log in ("NO_DATA", "TOO_SHORT"):
        return "beyond the ends of the recording"
    return f"overlap with {str(log)!r}" if log.lower().startswith("bad") else "exceed reject_above"


def _refuse_signals(path: Path, signals: Any, n_epochs: int, n_times: int) -> None:
    """Refuse signals that do not fit into memory, in double precision."""
    refuse_size(path, "the signals", (n_epochs, len(signals.ch_names), n_times), 8)


def _apply_baseline(spec: MneRecording, path: Path, epochs: Any) -> None:
    """Subtract the average over the baseline, if there is one, in place."""
    if not spec.baseline:
        return
    first, last = epochs.times[[0, -1]]
    step = 1 / epochs.info["sfreq"]  # epochs begin at a sample, which MNE too allows for
    if not (first - step <= spec.baseline[0] and spec.baseline[1] <= last + step):
        raise RepbiasError(
            f"{path}: baseline {list(spec.baseline)} is not within the epochs, which go from "
            f"{first:g} to {last:g} s"
        )
    epochs.apply_baseline(spec.baseline, verbose="ERROR")


def _picked(spec: MneRecording, path: Path, epochs: Any) -> Any:
    """Return epochs, or a recording, of the picked channels that are not marked bad."""
    types = epochs.get_channel_types(unique=True)
    bads = list(epochs.info["bads"])
    try:
        epochs = epochs.pick(spec.picks, verbose="ERROR")
    except ValueError as error:
        wanted = spec.picks if isinstance(spec.picks, str) else spec.picks[0]
        raise RepbiasError(
            f"{path}: picks: {spec.picks!r} matches no channels ({error}); types are "
            f"{', '.join(types)}; names: {nearest(wanted, epochs.ch_names)}"
        ) from error
    bad = [name for name in bads if name in epochs.ch_names]
    if len(bad) == len(epochs.ch_names):
        raise RepbiasError(f"{path}: picks: all {len(bad)} channels are marked bad")
    if bad:
        logger.info("%s: %d channels are marked bad and left out: %s", path, len(bad), bad)
        epochs = epochs.drop_channels(bad)
    return epochs


def _measures(epochs: Any) -> list[str]:
    """Return the unit of measure of every channel; MNE returns data in SI units."""
    from mne.io.constants import FIFF

    names = {
        FIFF.FIFF_UNIT_V: "V",
        FIFF.FIFF_UNIT_T: "T",
        FIFF.FIFF_UNIT_T_M: "T/m",
        FIFF.FIFF_UNIT_AM: "Am",
        FIFF.FIFF_UNIT_MOL: "M",
    }
    return [names.get(channel["unit"], "") for channel in epochs.info["chs"]]


def _binned(
    spec: MneRecording, path: Path, responses: np.ndarray, times: np.ndarray, sfreq: float
) -> tuple[np.ndarray, np.ndarray]:
    """Average over the samples in bins [k, k + 1) times the width; return also the bin centres."""
    assert spec.bin_s is not None
    samples_per_bin = spec.bin_s * sfreq
    if samples_per_bin < 1 - 1e-6:
        raise RepbiasError(
            f"{path}: bin_s {spec.bin_s:g} is shorter than the {1 / sfreq:g} s between samples"
        )
    samples = np.round(times * sfreq)
    # Whole bins only; the tolerance keeps samples that rounding moves just below an edge.
    first = np.ceil(samples[0] / samples_per_bin - 1e-6)
    last = np.floor((samples[-1] + 1) / samples_per_bin + 1e-6)
    if last <= first:
        raise RepbiasError(
            f"{path}: no bin of {spec.bin_s:g} s fits into the epochs, which go from "
            f"{times[0]:g} to {times[-1]:g} s"
        )
    edges = np.arange(first, last + 1)
    at = np.searchsorted(samples / samples_per_bin, edges - 1e-6)
    means = [responses[:, :, start:stop].mean(axis=2) for start, stop in pairwise(at)]
    return np.stack(means, axis=2), (edges[:-1] + 0.5) * spec.bin_s
