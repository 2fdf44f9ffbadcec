"""Responses in a bare array whose axes the user names (npy, npz, HDF5, MATLAB v5 to v7)."""

from __future__ import annotations

import logging
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from repbias.recordings.readers.common import (
    FileRecording,
    named_axes,
    read_lines,
    resolve_ids,
)
from repbias.spec import InputPath, RepbiasError
from repbias.store import Recording

logger = logging.getLogger(__name__)

AXES = ("stimulus", "repeat", "unit", "subject", "time")


class ArrayRecording(FileRecording):
    """An array of responses; NaN means "not observed"."""

    kind: Literal["array"]
    """Named-axes array."""
    axes: list[Literal["stimulus", "repeat", "unit", "subject", "time", "_"]] = Field(min_length=2)
    """Names of the array's axes, in its order; `_` for axes of length 1."""
    subject: str = "subject1"
    """Who was recorded, if the array has no subject axis."""
    region: str = ""
    """Where was recorded, for all units; `regions` says it for each."""
    regions: InputPath | None = None
    """Text file with one region a line, one for each unit."""
    response_unit: str = ""
    """Unit of measure of a response, for example "spikes in 100 ms"."""
    times: list[Annotated[float, Field(allow_inf_nan=False)]] | None = None
    """Times of the bins in seconds, if there is a time axis; analyses average over bins."""

    def input_files(self) -> list[str]:
        """Return the files that the recording comes from."""
        return [*super().input_files(), *([str(self.regions)] if self.regions else [])]

    @field_validator("axes")
    @classmethod
    def _complete(cls, axes: list[str]) -> list[str]:
        named = [a for a in axes if a != "_"]
        twice = {a for a in named if named.count(a) > 1}
        if twice:
            raise ValueError(f"axes named twice: {', '.join(sorted(twice))}")
        missing = {"stimulus", "unit"} - set(named)
        if missing:
            raise ValueError(
                f"no axis is called {' or '.join(sorted(missing))}; found {axes}, "
                f"allowed: {', '.join(AXES)}, _"
            )
        return axes


def read(spec: ArrayRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read the array into trial rows: one row per stimulus and repeat.

    Repeats in which no unit was observed are left out.
    """
    array = named_axes(spec, spec.axes)
    named = [a for a in spec.axes if a != "_"]
    # Missing axes have length 1; then the order is fixed.
    for axis in AXES:
        if axis not in named:
            array = array[..., None]
            named.append(axis)
    has_time = "time" in spec.axes
    array = array.transpose([named.index(a) for a in AXES])
    if np.isinf(array).any():
        raise RepbiasError(f"{spec.path}: {np.isinf(array).sum()} responses are infinite")
    n_stimuli, n_repeats, n_units, n_subjects, n_times = array.shape
    if spec.times is not None and (not has_time or len(spec.times) != n_times):
        raise RepbiasError(f"{spec.path}: times has {len(spec.times)} entries for {n_times} bins")
    ids = resolve_ids(spec, n_stimuli, stimulus_ids)
    # In the order of their ids: folds, splits and bootstrap samples go by position.
    order = np.argsort(ids)
    ids, array = ids[order], array[order]
    regions = _regions(spec, n_units)

    # (stimulus, repeat, subject, unit, time) -> (trial, unit of a subject, time)
    rows = array.transpose(0, 1, 3, 2, 4).reshape(n_stimuli * n_repeats, -1, n_times)
    trial_ids = np.repeat(ids, n_repeats)
    repeats = np.tile(np.arange(n_repeats), n_stimuli)
    seen = ~np.isnan(rows).all(axis=(1, 2))
    if not seen.any():
        raise RepbiasError(f"{spec.path}: every response is NaN")
    shown = np.isin(ids, trial_ids[seen])
    if not shown.all():
        some = ", ".join(ids[~shown][:5])
        logger.warning("%s: %d stimuli have no response: %s", spec.path, (~shown).sum(), some)
    subjects = [f"subject{i + 1}" for i in range(n_subjects)] if n_subjects > 1 else [spec.subject]
    width = len(str(n_units))
    return Recording(
        stimuli={"stimulus_id": ids[shown]},
        responses=rows[seen] if has_time else rows[seen, :, 0],
        trials={"stimulus_id": trial_ids[seen], "repeat": repeats[seen]},
        units={
            "unit": np.array([f"{s}/{u + 1:0{width}d}" for s in subjects for u in range(n_units)]),
            "subject": np.repeat(subjects, n_units),
            "region": np.tile(regions, n_subjects),
        },
        info={
            "kind": "array",
            "modality": spec.modality,
            "response_unit": spec.response_unit,
            "source": spec.source,
            "file": spec.path.name,
            **({"times_s": spec.times} if spec.times else {}),
        },
    )


def _regions(spec: ArrayRecording, n_units: int) -> np.ndarray:
    if spec.regions is None:
        return np.full(n_units, spec.region)
    regions = read_lines(spec.regions)
    if len(regions) != n_units:
        raise RepbiasError(f"{spec.regions}: {len(regions)} regions for {n_units} units")
    return np.array(regions)
