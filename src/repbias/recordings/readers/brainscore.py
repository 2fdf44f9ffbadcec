"""Responses in Brain-Score's assemblies (netCDF): presentations, neuroids, time bins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from repbias.base.spec import RepbiasError, nearest
from repbias.io.recordings import Recording
from repbias.io.untrusted import open_hdf5, readable, refuse_size
from repbias.recordings.readers.common import ResponseRecording, canonical
from repbias.recordings.readers.files import Where, library, plain_columns, select

#: Names of a neuroid's subject, the first one that exists.
SUBJECT_COORDINATES = ("animal", "subject")


class BrainscoreRecording(ResponseRecording):
    """A NeuroidAssembly of Brain-Score as netCDF (`.nc`).

    An array of presentations (or averages, one for each stimulus), neuroids and, if there are any,
    time bins, in any order.
    """

    kind: Literal["brainscore"]
    """Brain-Score assembly; needs `pip install 'repbias[brainscore]'`."""
    stimulus: str = "stimulus_id"
    """Coordinate with the stimulus's id; `image_id` in older files."""
    variable: str | None = None
    """Which array of the file, if it holds several."""
    time_unit: Literal["ms", "s"] = "ms"
    """Unit of `time_bin_start` and `time_bin_end`."""
    subject: str = "subject1"
    """Who was recorded, if no coordinate `animal` or `subject` says it."""
    region: str = ""
    """Where was recorded, if no coordinate `region` says it."""
    where: Where = {}
    """Neuroids to keep: coordinates, and the value or the list of values that they must have, for
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
            "'neuroid_id', and 'time_bin' if there is time"
        )
    responses = data.transpose(trial, neuroid, *times).values
    if responses.dtype.kind not in "fiub" or not responses.size:
        raise RepbiasError(
            f"{path}: expected numbers, found {responses.dtype} of shape {responses.shape}"
        )
    if spec.window and not times:
        raise RepbiasError(f"{path}: window needs time bins; there is no dimension 'time_bin'")
    units = _units(spec, {name: v for name, (d, v) in coordinates.items() if d == neuroid})
    chosen = select(path, spec.where, units)
    trials = {name: values for name, (d, values) in coordinates.items() if d == trial}
    columns = plain_columns(trials)
    if "repetition" in columns:
        columns.setdefault("repeat", columns["repetition"])
    return canonical(
        spec,
        stimulus_ids,
        trials[spec.stimulus],
        responses[:, chosen],
        columns,
        {name: values[chosen] for name, values in units.items()},
        {"times_s": _centres(spec, coordinates)} if times else {},
    )


def _load(spec: BrainscoreRecording) -> tuple[Any, dict[str, tuple[str, np.ndarray]]]:
    """Return the array, and the dimension and values of everything that has one dimension."""
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
    """Open a file that fits into memory as xarray's dataset; its arrays are read when asked for.

    Raises
    ------
    RepbiasError
        If xarray is missing, the file is damaged or too large, or a part of it is in other files.
    """
    xarray = library("xarray", "Brain-Score assemblies", "brainscore")
    library("h5netcdf", "Brain-Score assemblies", "brainscore")
    with readable(path, "netCDF"):
        # The engine must not depend on what else is installed.
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
    here = [coordinate for coordinate, (d, _) in coordinates.items() if d in data.dims]
    if name not in here:
        raise RepbiasError(f"{path}: {field}: no coordinate {name!r}; {nearest(name, here)}")
    return coordinates[name][0]


def _units(spec: BrainscoreRecording, coordinates: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    columns = plain_columns(coordinates)
    n = len(columns["neuroid_id"])
    subjects = next((columns[c] for c in SUBJECT_COORDINATES if c in columns), None)
    columns["subject"] = np.full(n, spec.subject) if subjects is None else subjects.astype(str)
    columns["region"] = columns.get("region", np.full(n, spec.region)).astype(str)
    # The same number may name a neuroid of every animal.
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
            there = [c for c, (d, _) in coordinates.items() if d == "time_bin"]
            raise RepbiasError(f"{spec.path}: no numbers {name!r}; {nearest(name, there)}")
        edges.append(values.astype(float) * {"ms": 1e-3, "s": 1}[spec.time_unit])
    start, stop = edges
    if not (start < stop).all():
        raise RepbiasError(f"{spec.path}: a time bin ends before it starts")
    if spec.time_unit == "ms" and (stop - start).max() < 1e-3:
        raise RepbiasError(
            f"{spec.path}: time bins are shorter than 1 ms (the first goes from "
            f"{start[0] * 1e3:g} to {stop[0] * 1e3:g}); if these are seconds, say 'time_unit: s'"
        )
    return ((start + stop) / 2).tolist()
