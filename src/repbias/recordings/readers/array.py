"""Responses in a bare array whose axes the user names (npy, npz, HDF5, MATLAB)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from repbias.base.spec import InputPath, RepbiasError
from repbias.io.recordings import Recording
from repbias.recordings.readers.common import (
    NamedAxes,
    ResponseRecording,
    canonical,
    named_axes,
    read_lines,
    resolve_ids,
)
from repbias.recordings.spec import Seconds

AXES = ("stimulus", "repeat", "unit", "subject", "time")


class ArrayRecording(NamedAxes, ResponseRecording):
    """An array of responses; NaN means "not observed"."""

    kind: Literal["array"]
    """Named-axes array."""
    axes: list[Literal["stimulus", "trial", "repeat", "unit", "subject", "time", "_"]] = Field(
        min_length=2
    )
    """Names of the array's axes, in its order; `_` for axes of length 1. `trial` instead of
    `stimulus` and `repeat` where every row has its id in `stimulus_ids`, and ids come again."""
    subject: str = "subject1"
    """Who was recorded, if the array has no subject axis."""
    subjects: InputPath | None = None
    """Text file with one subject a line, one for each unit, if units of several subjects share
    the unit axis."""
    region: str = ""
    """Where was recorded, for all units; `regions` says it for each."""
    regions: InputPath | None = None
    """Text file with one region a line, one for each unit."""
    standard_errors: str | None = None
    """Another array of the same file, with the same axes: standard errors of responses that are
    averages over repeats. They give the ceilings that the missing repeats cannot."""
    times: list[Seconds] | None = None
    """Centres of the time bins in seconds, if there is a time axis."""

    def input_files(self) -> list[str]:
        """Return the files that the recording comes from."""
        own = [str(path) for path in (self.regions, self.subjects) if path]
        return [*super().input_files(), *own]

    @field_validator("axes")
    @classmethod
    def _complete(cls, axes: list[str]) -> list[str]:
        named = [a for a in axes if a != "_"]
        twice = {a for a in named if named.count(a) > 1}
        if twice:
            raise ValueError(f"axes named twice: {', '.join(sorted(twice))}")
        if "trial" in named and {"stimulus", "repeat"} & set(named):
            raise ValueError(f"name 'trial', or 'stimulus' (and 'repeat'); found {axes}")
        missing = {"stimulus", "unit"} - {"stimulus" if a == "trial" else a for a in named}
        if missing:
            raise ValueError(
                f"no axis is called {' or '.join(sorted(missing))}; found {axes}, "
                f"allowed: {', '.join(AXES)}, trial, _"
            )
        return axes

    @model_validator(mode="after")
    def _subjects_once(self) -> ArrayRecording:
        if self.subjects and "subject" in self.axes:
            raise ValueError("subjects: the array has a subject axis already")
        return self

    @model_validator(mode="after")
    def _errors_of_averages(self) -> ArrayRecording:
        others = {"repeat", "time"} & set(self.axes)
        if self.standard_errors is not None and others:
            raise ValueError(
                f"standard_errors are of averages, without an axis {' or '.join(sorted(others))}"
            )
        return self


def read(spec: ArrayRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read the array into trial rows: one row per stimulus and repeat.

    Repeats in which no unit was observed are left out.
    """
    array = named_axes(spec, spec.axes)
    errors = _standard_errors(spec, array)
    named: list[str] = ["stimulus" if a == "trial" else a for a in spec.axes if a != "_"]
    # Missing axes have length 1; then the order is fixed.
    for axis in AXES:
        if axis not in named:
            array = array[..., None]
            named.append(axis)
    has_time = "time" in spec.axes
    array = array.transpose([named.index(a) for a in AXES])
    if errors is not None:
        errors = errors.reshape(errors.shape + (1,) * (len(AXES) - errors.ndim))
        errors = errors.transpose([named.index(a) for a in AXES])
    n_stimuli, n_repeats, n_units, n_subjects, n_times = array.shape
    if spec.times is not None and (not has_time or len(spec.times) != n_times):
        raise RepbiasError(f"{spec.path}: times has {len(spec.times)} entries for {n_times} bins")
    if spec.window is not None and spec.times is None:
        raise RepbiasError(f"{spec.path}: window needs times, the centres of the time bins")
    ids = resolve_ids(spec, n_stimuli, stimulus_ids, unique="trial" not in spec.axes)
    # (stimulus, repeat, subject, unit, time) -> (trial, unit of a subject, time)
    rows = array.transpose(0, 1, 3, 2, 4).reshape(n_stimuli * n_repeats, -1, n_times)
    repeats = {"repeat": np.tile(np.arange(n_repeats), n_stimuli)}
    subjects = [f"subject{i + 1}" for i in range(n_subjects)] if n_subjects > 1 else [spec.subject]
    owners = np.repeat(subjects, n_units)
    if spec.subjects:
        owners = np.tile(_lines(spec.subjects, "subjects", n_units), n_subjects)
    width = len(str(n_units))
    return canonical(
        spec,
        stimulus_ids,
        np.repeat(ids, n_repeats),
        rows if has_time else rows[:, :, 0],
        {} if "trial" in spec.axes else repeats,
        {
            "unit": [f"{s}/{u % n_units + 1:0{width}d}" for u, s in enumerate(owners)],
            "subject": owners,
            "region": np.tile(
                _lines(spec.regions, "regions", n_units)
                if spec.regions
                else np.full(n_units, spec.region),
                n_subjects,
            ),
        },
        {"times_s": spec.times} if spec.times else {},
        None if errors is None else errors.transpose(0, 1, 3, 2, 4).reshape(len(rows), -1),
    )


def _standard_errors(spec: ArrayRecording, array: np.ndarray) -> np.ndarray | None:
    """Load the standard errors of averages, in the axes of the array."""
    if spec.standard_errors is None:
        return None
    errors = named_axes(spec.model_copy(update={"variable": spec.standard_errors}), spec.axes)
    if errors.shape != array.shape:
        raise RepbiasError(
            f"{spec.path}: standard_errors {spec.standard_errors!r} have the shape {errors.shape}, "
            f"the responses {array.shape}"
        )
    return errors


def _lines(path: Path, what: str, n_units: int) -> np.ndarray:
    """Return what a text file says of every unit."""
    lines = read_lines(path)
    if len(lines) != n_units:
        raise RepbiasError(f"{path}: {len(lines)} {what} for {n_units} units")
    return np.array(lines)
