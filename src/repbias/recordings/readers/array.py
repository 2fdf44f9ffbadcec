"""Responses in a bare array with user-named axes (npy, npz, HDF5, MATLAB)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from repbias.base.spec import InputPath, RepbiasError
from repbias.io.recordings import Recording
from repbias.io.text_tables import is_missing
from repbias.recordings.readers.common import (
    NamedAxes,
    RawResponses,
    ResponseRecording,
    canonical,
    load_named_axes,
    read_lines,
    resolve_ids,
)
from repbias.recordings.readers.subjects import by_subject, join_subjects
from repbias.recordings.spec import Seconds

AXES = ("stimulus", "repeat", "unit", "subject", "time")


class ArrayRecording(NamedAxes, ResponseRecording):
    """An array of responses with named axes; NaN means "not observed"."""

    kind: Literal["array"]
    """Array with named axes."""
    axes: list[Literal["stimulus", "trial", "repeat", "unit", "subject", "time", "_"]] = Field(
        min_length=1
    )
    """Names of the array's axes, in order; `_` for axes of length 1. Use `trial` instead of
    `stimulus` and `repeat` if there is one row per trial; `stimulus_ids` then has one id per row,
    and ids repeat. Without `unit`, the array is of one unit (of every subject)."""
    subject: str = "subject1"
    """Name of the subject, if the array has no subject axis."""
    subjects: InputPath | None = None
    """Text file with one line per unit, the name of its subject, if units of several subjects share
    the unit axis."""
    region: str = ""
    """Brain region of all units; `regions` gives it for each."""
    regions: InputPath | None = None
    """Text file with one line per unit, its brain region."""
    standard_errors: str | None = None
    """Name of another array in the same file, with the same axes: standard errors of responses that
    are averages over repeats. Noise ceilings can be estimated from them, without the repeats."""
    times: list[Seconds] | None = None
    """Centres of the time bins in seconds, if there is a time axis."""

    def input_files(self) -> list[str]:
        """Return all files that the recording is read from; changing one reruns what uses it."""
        companions = [str(path) for path in (self.regions, self.subjects) if path]
        return [*super().input_files(), *companions]

    @field_validator("axes")
    @classmethod
    def _complete(cls, axes: list[str]) -> list[str]:
        named = [a for a in axes if a != "_"]
        duplicates = {a for a in named if named.count(a) > 1}
        if duplicates:
            raise ValueError(f"axes named twice: {', '.join(sorted(duplicates))}")
        if "trial" in named and {"stimulus", "repeat"} & set(named):
            raise ValueError(f"name 'trial', or 'stimulus' (and 'repeat'); found {axes}")
        if not {"stimulus", "trial"} & set(named):
            raise ValueError(
                f"no axis is called stimulus or trial; found {axes}, allowed: "
                f"{', '.join(AXES)}, trial, _"
            )
        return axes

    @model_validator(mode="after")
    def _subjects_once(self) -> ArrayRecording:
        if self.subjects and "subject" in self.axes:
            raise ValueError("subjects: the array already has a subject axis")
        return self

    @model_validator(mode="after")
    def _one_array_per_subject(self) -> ArrayRecording:
        alone = {"subjects": self.subjects, "standard_errors": self.standard_errors}
        given = [name for name, value in alone.items() if value]
        given += ["the axis 'subject'"] * ("subject" in self.axes)
        if self.has_subject_arrays and given:
            raise ValueError(f"{given[0]}: not with an array for each subject")
        return self

    @model_validator(mode="after")
    def _errors_of_averages(self) -> ArrayRecording:
        excluded = {"repeat", "time"} & set(self.axes)
        if self.standard_errors is not None and excluded:
            raise ValueError(
                f"standard_errors are of averages, without an axis {' or '.join(sorted(excluded))}"
            )
        return self


def read(spec: ArrayRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read the array into trial rows: one row per stimulus and repeat.

    Repeats in which no unit was observed are left out.
    """
    if not spec.has_subject_arrays:
        return canonical(spec, stimulus_ids, _read_array(spec, stimulus_ids))
    parts = {
        name: _read_array(entry.model_copy(update={"subject": name}), stimulus_ids)
        for name, entry in by_subject(spec).items()
    }
    return canonical(spec, stimulus_ids, join_subjects(spec, parts))


def _read_array(spec: ArrayRecording, stimulus_ids: np.ndarray) -> RawResponses:
    array = load_named_axes(spec, spec.axes)
    errors = _standard_errors(spec, array)
    array = _in_order(spec, array)
    n_stimuli, n_repeats, n_units, n_subjects, n_times = array.shape
    has_trials, has_time = "trial" in spec.axes, "time" in spec.axes
    if spec.times is not None and (not has_time or len(spec.times) != n_times):
        raise RepbiasError(f"{spec.path}: times has {len(spec.times)} entries for {n_times} bins")
    if spec.window is not None and spec.times is None:
        raise RepbiasError(f"{spec.path}: window needs times, the centres of the time bins")
    ids = resolve_ids(spec, n_stimuli, stimulus_ids, unique=not has_trials)
    # (stimulus, repeat, subject, unit, time) -> (trial, unit of a subject, time)
    rows = array.transpose(0, 1, 3, 2, 4).reshape(n_stimuli * n_repeats, -1, n_times)
    if errors is not None:
        errors = _in_order(spec, errors).transpose(0, 1, 3, 2, 4).reshape(len(rows), -1)
    repeats = {"repeat": np.tile(np.arange(n_repeats), n_stimuli)}
    return RawResponses(
        stimulus=np.repeat(ids, n_repeats),
        responses=rows if has_time else rows[:, :, 0],
        trials={} if has_trials else repeats,
        units=_units(spec, n_units, n_subjects),
        info={"times_s": spec.times} if spec.times else {},
        standard_errors=errors,
    )


def _in_order(spec: ArrayRecording, array: np.ndarray) -> np.ndarray:
    """Transpose an array to the order of :data:`AXES`; missing axes have length 1."""
    named: list[str] = ["stimulus" if a == "trial" else a for a in spec.axes if a != "_"]
    for axis in AXES:
        if axis not in named:
            array = array[..., None]
            named.append(axis)
    return array.transpose([named.index(a) for a in AXES])


def _standard_errors(spec: ArrayRecording, array: np.ndarray) -> np.ndarray | None:
    """Load the standard errors of averages, with the axes of the array."""
    if spec.standard_errors is None:
        return None
    errors = load_named_axes(spec.model_copy(update={"variable": spec.standard_errors}), spec.axes)
    if errors.shape != array.shape:
        raise RepbiasError(
            f"{spec.path}: standard_errors {spec.standard_errors!r} have the shape {errors.shape}, "
            f"the responses {array.shape}"
        )
    return errors


def _units(spec: ArrayRecording, n_units: int, n_subjects: int) -> dict[str, np.ndarray]:
    """Return the columns of units, numbered along the unit axis of every subject."""
    names = [f"subject{i + 1}" for i in range(n_subjects)] if n_subjects > 1 else [spec.subject]
    subjects = np.repeat(names, n_units)
    if spec.subjects:
        subjects = np.tile(_lines(spec.subjects, "subjects", n_units), n_subjects)
    regions = np.full(n_units, spec.region)
    if spec.regions:
        regions = _lines(spec.regions, "regions", n_units)
        regions = np.where(is_missing(regions), spec.region, regions)
    width = len(str(n_units))
    return {
        "unit": np.array([f"{s}/{i % n_units + 1:0{width}d}" for i, s in enumerate(subjects)]),
        "subject": subjects,
        "region": np.tile(regions, n_subjects),
    }


def _lines(path: Path, what: str, n_units: int) -> np.ndarray:
    """Return the lines of a text file that has one per unit."""
    lines = read_lines(path)
    if len(lines) != n_units:
        raise RepbiasError(f"{path}: {len(lines)} {what} for {n_units} units")
    return np.array(lines)
