"""Fluorescence around trials: what the readers of suite2p's and CaImAn's results share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, model_validator

from repbias.base.spec import InputPath, RepbiasError
from repbias.io.arrays import ARRAY_SUFFIXES, load_array
from repbias.recordings.readers.common import Where, read_lines
from repbias.recordings.readers.files import SessionResponses, plain_columns, select
from repbias.recordings.readers.trials import (
    SeriesRecording,
    average,
    named_units,
    read_trials,
    session_responses,
    within_recording,
)
from repbias.recordings.readers.windows import Samples
from repbias.recordings.spec import Seconds

logger = logging.getLogger(__name__)

#: Cells whose traces are in memory at once.
BLOCK = 64


class CalciumRecording(SeriesRecording):
    """Settings of fluorescence that is averaged around the trials of a table."""

    trials: InputPath | list[InputPath]
    """Table of the trials (`.csv`, `.tsv`) with one row per presentation of a stimulus: one for all
    files, whose columns `session` and `subject` say which rows belong to a file, or a list with one
    table per file."""
    frame_rate: Annotated[float, Field(gt=0)] | list[Annotated[float, Field(gt=0)]] | None = None
    """Frames per second, of each plane where there are several; a number for all files, or a list
    with one per file."""
    start_s: Seconds | list[Seconds] = 0.0
    """With `frame_rate`: time of the first frame, in seconds; also a list with one per file."""
    frame_times: InputPath | list[InputPath] | None = None
    """Instead of `frame_rate`: file with the time of every frame in seconds (`.npy`, or text with
    one number per line); one for all files, or a list with one per file."""
    region: str = ""
    """Brain region."""
    where: Where = {}
    """Cells to keep: their columns, and the value or list of values that each must have, for
    example `{plane: [plane0, plane1]}`."""

    PER_FILE: ClassVar[tuple[str, ...]] = (
        *SeriesRecording.PER_FILE,
        "frame_rate",
        "start_s",
        "frame_times",
    )

    @model_validator(mode="after")
    def _frames_have_times(self) -> CalciumRecording:
        if (self.frame_rate is None) == (self.frame_times is None):
            raise ValueError("give frame_rate (and start_s), or frame_times")
        if self.frame_times is not None and self.start_s:
            raise ValueError(
                "start_s goes with frame_rate; frame_times has the time of every frame"
            )
        return self

    def input_files(self) -> list[str]:
        """Return all files that the recording is read from; changing one reruns what uses it."""
        files = self.frame_times if isinstance(self.frame_times, list) else [self.frame_times]
        return [*super().input_files(), *dict.fromkeys(str(file) for file in files if file)]


@dataclass(frozen=True)
class Traces:
    """Traces of cells that were imaged together.

    Attributes
    ----------
    name : name of the signal, for messages
    n_frames : frames of every trace
    units : columns of the cells, with "unit"
    read : function of indices of cells, ascending, and of frames per second, that returns their
        traces (frame, cell) as float64
    measure : unit of measure
    """

    name: str
    n_frames: int
    units: Mapping[str, np.ndarray]
    read: Callable[[np.ndarray, float], np.ndarray]
    measure: str


def read_session(
    spec: CalciumRecording, path: Path, session: str, planes: Sequence[Traces]
) -> SessionResponses:
    """Average the traces of the cells that the entry selects in the window of every trial.

    Raises
    ------
    RepbiasError
        If the frames have other times than the trials.
    NothingSelected
        If no cell is selected.
    """
    trials = read_trials(spec, path, session)
    n_frames = [plane.n_frames for plane in planes]
    times = frame_times(spec, path, n_frames)
    step = float(np.median(np.diff(times)))
    # Beyond the frames, averages are NaN.
    within_recording(spec, path, trials.align, times[0], times[-1] + step)
    columns = {
        name: np.concatenate([plane.units[name] for plane in planes])
        for name in planes[0].units
        if all(name in plane.units for plane in planes)
    }
    columns = {**plain_columns(columns), "region": np.full(len(columns["unit"]), spec.region)}
    units = named_units(trials, columns)
    chosen = select(path, spec.where, units)
    responses = []
    of_plane = np.split(chosen, np.cumsum([len(plane.units["unit"]) for plane in planes])[:-1])
    for plane, kept in zip(planes, of_plane, strict=True):
        cells = np.flatnonzero(kept)
        for first in range(0, len(cells), BLOCK):
            traces = plane.read(cells[first : first + BLOCK], 1 / step)
            samples = Samples(traces, times[: plane.n_frames])
            responses.append(average(spec, path, plane.name, samples, trials.align))
    units = {name: values[chosen] for name, values in units.items()}
    measure = "ΔF/F" if spec.baseline_mode == "dff" else planes[0].measure
    return session_responses(spec, trials, units, np.concatenate(responses, axis=1), measure)


def frame_times(spec: CalciumRecording, path: Path, n_frames: Sequence[int]) -> np.ndarray:
    """Return the times of all frames, in seconds.

    Parameters
    ----------
    spec, path
        The entry of ``recordings:``, and the file.
    n_frames
        Number of frames of every plane; the scan may have stopped before the last ones.

    Raises
    ------
    RepbiasError
        If a file of times has not one for every frame, or they do not ascend.
    """
    n = max(n_frames)
    if min(n_frames) < max(2, n - 1):
        raise RepbiasError(
            f"{path}: the planes have {min(n_frames)} to {n} frames, expected as many"
        )
    rate, file = spec.value_for(path, spec.frame_rate), spec.value_for(path, spec.frame_times)
    if file is None:
        assert rate is not None
        return spec.value_for(path, spec.start_s) + np.arange(n) / rate
    times = _numbers(file)
    if len(times) != n:
        raise RepbiasError(f"{file}: has {len(times)} times for {n} frames of {path}")
    if not (np.diff(times) > 0).all():  # also if any is NaN
        raise RepbiasError(f"{file}: the times of frames do not ascend")
    return times


def _numbers(file: Path) -> np.ndarray:
    if file.suffix.lower() in ARRAY_SUFFIXES:
        values = load_array(file).ravel()
        if values.dtype.kind not in "fiu":
            raise RepbiasError(f"{file}: expected times in seconds, found {values.dtype}")
        return values.astype(float)
    lines = read_lines(file)
    try:
        return np.array(lines, dtype=str).astype(float)
    except ValueError as error:
        raise RepbiasError(f"{file}: expected one number per line ({error})") from error
