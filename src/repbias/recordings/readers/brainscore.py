"""Responses in Brain-Score assemblies (netCDF): presentations, neuroids, time bins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from repbias.base.spec import RepbiasError, nearest
from repbias.io.recordings import Recording
from repbias.io.untrusted import open_hdf5, readable, refuse_size
from repbias.recordings.readers.common import RawResponses, Where, WithTrials, canonical
from repbias.recordings.readers.files import (
    count_left_out,
    import_optional,
    plain_columns,
    select,
    select_trials,
    trials_left_out,
)

#: Coordinates that may name a neuroid's subject; the first one that exists is used.
SUBJECT_COORDINATES = ("animal", "subject")


class BrainscoreRecording(WithTrials):
    """A Brain-Score NeuroidAssembly saved as netCDF (`.nc`).

    Its dimensions are presentations (or averages, one for each stimulus), neuroids and, optionally,
    time bins, in any order.
    """

    kind: Literal["brainscore"]
    """Brain-Score assembly; needs `pip install 'repbias[brainscore]'`."""
    stimulus: str = "stimulus_id"
    """Coordinate with the stimulus id; `image_id` in older files."""
    variable: str | None = None
    """Name of the array, if the file holds several."""
    time_unit: Literal["ms", "s"] = "ms"
    """Unit of `time_bin_start` and `time_bin_end`."""
    subject: str = "subject1"
    """Name of the subject, if there is no coordinate `animal` or `subject`."""
    region: str = ""
    """Brain region, if there is no coordinate `region`."""
    where: Where = {}
    """Neuroids to keep: coordinates, and the value or list of values that each must have, for
    example `{region: IT}`."""


def read(spec: BrainscoreRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read an assembly; NaN means "not observed".

    Raises
    ------
    RepbiasError
        If xarray is missing, the file is damaged, or dimensions or coordinates are missing.
    """
    path = spec.path
    data, coordinates = _load(spec)
    trial = _dimension_of(path, "stimulus", spec.stimulus, data, coordinates)
    neuroid = _dimension_of(path, "neuroid", "neuroid_id", data, coordinates)
    times = [d for d in data.dims if d not in (trial, neuroid)]
    if trial == neuroid or times not in ([], ["time_bin"]):
        raise RepbiasError(
            f"{path}: dimensions are {list(data.dims)}; expected those of {spec.stimulus!r} and "
            "'neuroid_id', and 'time_bin' if there are time bins"
        )
    responses = data.transpose(trial, neuroid, *times).values
    if responses.dtype.kind not in "fiub" or not responses.size:
        raise RepbiasError(
            f"{path}: expected numbers, found {responses.dtype} of shape {responses.shape}"
        )
    if spec.window and not times:
        raise RepbiasError(f"{path}: window needs time bins; there is no dimension 'time_bin'")
    units = _units(spec, {n: values for n, (d, values) in coordinates.items() if d == neuroid})
    chosen = select(path, spec.where, units)
    trials = {name: values for name, (d, values) in coordinates.items() if d == trial}
    columns = plain_columns(trials)
    if "repetition" in columns:
        columns.setdefault("repeat", columns["repetition"])
    selected = select_trials(spec, path, columns, len(responses))
    raw = RawResponses(
        stimulus=trials[spec.stimulus][selected],
        responses=responses[np.ix_(selected, chosen)],
        trials={name: values[selected] for name, values in columns.items()},
        units={name: values[chosen] for name, values in units.items()},
        info={
            **({"times_s": _centres(spec, coordinates)} if times else {}),
            **trials_left_out(spec, count_left_out(selected, trials[spec.stimulus])),
        },
    )
    return canonical(spec, stimulus_ids, raw)


def _load(spec: BrainscoreRecording) -> tuple[Any, dict[str, tuple[str, np.ndarray]]]:
    """Return the array, and the dimension and values of all one-dimensional variables."""
    path = spec.path
    with open_netcdf(path) as dataset:
        dataset.load()
    arrays = [name for name in dataset.data_vars if dataset[name].ndim > 1]
    name = spec.variable
    if name is None and len(arrays) == 1:
        name = arrays[0]
    if name not in arrays:
        found = "holds no array of two or more dimensions"
        if arrays:
            found = f"no variable {name!r}" if name else "holds several arrays; name a 'variable'"
            found += f"; {nearest(name or '', arrays)}"
        raise RepbiasError(f"{path}: {found}")
    variables = dataset.variables
    return dataset[name], {
        str(name): (str(v.dims[0]), v.values) for name, v in variables.items() if v.ndim == 1
    }


@contextmanager
def open_netcdf(path: Path) -> Iterator[Any]:
    """Open a file that fits into memory as an xarray dataset, whose arrays are read lazily.

    Raises
    ------
    RepbiasError
        If xarray is missing, the file is damaged or too large, or parts of it are in other files.
    """
    xarray = import_optional("xarray", "Brain-Score assemblies", "brainscore")
    import_optional("h5netcdf", "Brain-Score assemblies", "brainscore")
    with readable(path, "netCDF"):
        # Name the engine: xarray's default depends on what else is installed.
        with path.open("rb") as file:
            engine = "scipy" if file.read(3) == b"CDF" else "h5netcdf"
        if engine == "h5netcdf":
            with open_hdf5(path):
                pass
        with xarray.open_dataset(
            path, engine=engine, decode_times=False, decode_timedelta=False
        ) as dataset:
            refuse_size(path, "the file", (dataset.nbytes,))
            yield dataset


def _dimension_of(
    path: Path,
    field: str,
    name: str,
    data: Any,
    coordinates: dict[str, tuple[str, np.ndarray]],
) -> str:
    available = [coordinate for coordinate, (d, _) in coordinates.items() if d in data.dims]
    if name not in available:
        raise RepbiasError(f"{path}: {field}: no coordinate {name!r}; {nearest(name, available)}")
    return coordinates[name][0]


def _units(spec: BrainscoreRecording, coordinates: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    columns = plain_columns(coordinates)
    n = len(columns["neuroid_id"])
    subjects = next((columns[c] for c in SUBJECT_COORDINATES if c in columns), None)
    columns["subject"] = np.full(n, spec.subject) if subjects is None else subjects.astype(str)
    columns["region"] = columns.get("region", np.full(n, spec.region)).astype(str)
    # Neuroids are numbered within each animal.
    pairs = zip(columns["subject"], columns["neuroid_id"], strict=True)
    columns["unit"] = np.array([f"{subject}/{neuroid}" for subject, neuroid in pairs])
    return columns


def _centres(
    spec: BrainscoreRecording, coordinates: dict[str, tuple[str, np.ndarray]]
) -> list[float]:
    """Return the centres of the time bins in seconds."""
    edges = []
    for name in ("time_bin_start", "time_bin_end"):
        dimension, values = coordinates.get(name, ("", np.empty(0)))
        if dimension != "time_bin" or values.dtype.kind not in "fiu":
            available = [c for c, (d, _) in coordinates.items() if d == "time_bin"]
            raise RepbiasError(f"{spec.path}: no numbers {name!r}; {nearest(name, available)}")
        edges.append(values.astype(float) * {"ms": 1e-3, "s": 1}[spec.time_unit])
    start, stop = edges
    if not (start < stop).all():
        raise RepbiasError(f"{spec.path}: a time bin ends before it starts")
    if spec.time_unit == "ms" and (stop - start).max() < 1e-3:
        raise RepbiasError(
            f"{spec.path}: time bins are shorter than 1 ms (the first goes from "
            f"{start[0] * 1e3:g} to {stop[0] * 1e3:g}); if these are seconds, set 'time_unit: s'"
        )
    return ((start + stop) / 2).tolist()
