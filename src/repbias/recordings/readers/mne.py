"""Sensor responses in MNE epochs: MEG, EEG, intracranial EEG."""

from __future__ import annotations

import gzip
import logging
import struct
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from repbias.base.spec import RepbiasError, nearest
from repbias.io.recordings import Recording
from repbias.io.untrusted import readable, refuse_size
from repbias.recordings.readers.files import (
    MultiFileRecording,
    SessionResponses,
    import_optional,
    plain,
    plain_columns,
    read_files,
)
from repbias.recordings.spec import Seconds

logger = logging.getLogger(__name__)

#: The subject id that MNE's anonymisation writes.
ANONYMOUS = "0"


class MneRecording(MultiFileRecording):
    """MNE-Python epochs (`-epo.fif`), with their time course.

    Channels with the same subject and name are the same unit in all files.
    """

    kind: Literal["mne"]
    """MNE epochs; needs `pip install 'repbias[mne]'`."""
    stimulus: str | None = None
    """Column of the epochs' metadata with the stimulus id; by default the names of the events are
    the ids."""
    picks: str | list[str] = "data"
    """Channels to read: a type such as `eeg` or `mag`, or a list of types or names; `data` is all
    but reference, trigger and other auxiliary channels. Channels marked bad are left out."""
    bin_s: Annotated[float, Field(gt=0)] | None = None
    """Average over time bins of this width in seconds, aligned to 0 s; by default samples are kept
    as they are. Bins that the epochs do not fill are left out."""
    baseline: tuple[Seconds, Seconds] | None = None
    """Start and end, in seconds, of the interval whose average is subtracted, in addition to any
    baseline correction in the file."""
    region: str = ""
    """Brain region."""

    @model_validator(mode="after")
    def _baseline_ascends(self) -> MneRecording:
        if self.baseline and self.baseline[0] >= self.baseline[1]:
            raise ValueError(f"baseline must ascend, found {list(self.baseline)}")
        return self


def read(spec: MneRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read the epochs of one or several files.

    Raises
    ------
    RepbiasError
        If MNE-Python is missing, a file is damaged, or metadata or channels are missing.
    """
    return read_files(spec, stimulus_ids, _read_file)


def _read_file(spec: MneRecording, path: Path) -> SessionResponses:
    epochs = open_epochs(path, preload=True)
    if not len(epochs):
        raise RepbiasError(f"{path}: has no epochs")
    stimulus = _shown(spec, path, epochs)
    epochs = _picked(spec, path, epochs)
    _apply_baseline(spec, path, epochs)
    responses, times = epochs.get_data(verbose="ERROR"), epochs.times
    if spec.bin_s:
        responses, times = _binned(spec, path, responses, times, epochs.info["sfreq"])
    found = (epochs.info["subject_info"] or {}).get("his_id")
    subject = spec.subject_of(path, None if found == ANONYMOUS else found)
    measures = _measures(epochs)
    common_measure = measures[0] if len(set(measures)) == 1 else ""
    metadata = {} if epochs.metadata is None else plain_columns(epochs.metadata)
    session = path.name.split(".fif")[0].removesuffix("epo").rstrip("-_") or path.stem
    n_channels = len(epochs.ch_names)
    return SessionResponses(
        session=session,
        stimulus=stimulus,
        responses=responses,
        trials={
            "session": np.full(len(epochs), session),
            # Events are in samples of the raw data: seconds, unless the epochs were resampled.
            "start_time": epochs.events[:, 0] / epochs.info["sfreq"],
            **metadata,
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


def _apply_baseline(spec: MneRecording, path: Path, epochs: Any) -> None:
    """Subtract the average over the baseline, if there is one, in place."""
    if not spec.baseline:
        return
    first, last = epochs.times[[0, -1]]
    if not first <= spec.baseline[0] < spec.baseline[1] <= last:
        raise RepbiasError(
            f"{path}: baseline {list(spec.baseline)} is not within the epochs, which go from "
            f"{first:g} to {last:g} s"
        )
    epochs.apply_baseline(spec.baseline, verbose="ERROR")


def open_epochs(path: Path, preload: bool) -> Any:
    """Read epochs, which may be split over several files of the same folder.

    Raises
    ------
    RepbiasError
        If MNE-Python is missing, or the file is damaged, too large, or continues in another folder.
    """
    mne = import_optional("mne", "MNE epochs", "mne")
    from mne._fiff.open import _get_next_fname, fiff_open

    with readable(path, "MNE epochs"):
        # Like MNE, look for further parts beside a symbolic link, not beside its target.
        part, seen = path.absolute(), set()
        while part is not None:
            seen.add(part)
            _check_tags(part)
            file, tree, _ = fiff_open(part, verbose="ERROR")
            with file:
                following = _get_next_fname(file, part, tree)
            # MNE itself would follow any path that the file names, and loop for ever.
            if following is not None and (following.parent != part.parent or following in seen):
                raise RepbiasError(
                    f"{path}: continues in {str(following)!r}, expected another file of its folder"
                )
            part = following
        return mne.read_epochs(path, preload=preload, verbose="ERROR")


def _check_tags(path: Path) -> None:
    """Refuse a FIF file whose tags are not in ascending order, or do not fit into memory.

    A tag has a header of four big-endian int32: kind, type, size of its data, and the position of
    the next tag (0: directly behind, -1: none). MNE would follow a tag that leads back for ever.
    """
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    at, next_at = 0, 0
    with opened(path, "rb") as file:
        while header := file.read(16):
            if len(header) < 16:
                raise ValueError(f"ends in the middle of a tag, at byte {at}")
            _, _, size, next_at = struct.unpack(">4i", header)
            if size < 0 or not (next_at in (-1, 0) or next_at >= at + 16 + size):
                raise ValueError(f"the tag at byte {at} leads to byte {next_at}")
            if next_at == -1:
                return
            at = next_at or at + 16 + size
            refuse_size(path, "the file", (at,))
            file.seek(at)


def _shown(spec: MneRecording, path: Path, epochs: Any) -> np.ndarray:
    """Return the stimulus of every epoch."""
    if spec.stimulus is None:
        names = {code: name for name, code in epochs.event_id.items()}
        if len(names) < len(epochs.event_id):
            raise RepbiasError(f"{path}: several event names have the same code")
        return np.array([names[code] for code in epochs.events[:, 2].tolist()])
    if epochs.metadata is None:
        raise RepbiasError(
            f"{path}: stimulus: the epochs have no metadata; leave 'stimulus' out to use the names "
            f"of the events: {', '.join(list(epochs.event_id)[:10])}"
        )
    if spec.stimulus not in epochs.metadata:
        options = nearest(spec.stimulus, epochs.metadata.columns)
        raise RepbiasError(f"{path}: stimulus: no column {spec.stimulus!r}; {options}")
    shown = plain(epochs.metadata[spec.stimulus])
    if shown is None:
        raise RepbiasError(f"{path}: stimulus: {spec.stimulus!r} has no single value per row")
    return shown


def _picked(spec: MneRecording, path: Path, epochs: Any) -> Any:
    """Return the epochs of the picked channels that are not marked bad."""
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
