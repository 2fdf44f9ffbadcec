"""Responses in NWB files: spike counts, or averages of a time series, around every trial."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from repbias.base.identities import as_ids
from repbias.base.spec import RepbiasError, nearest
from repbias.io.recordings import Recording
from repbias.io.text_tables import is_missing
from repbias.io.untrusted import open_hdf5, readable, refuse_size
from repbias.io.zarr import METADATA, is_zarr, open_nwb_zarr
from repbias.recordings.readers.common import Where
from repbias.recordings.readers.files import (
    SessionResponses,
    count_left_out,
    import_optional,
    plain,
    plain_columns,
    read_files,
    select,
    select_trials,
    warn_of_version,
)
from repbias.recordings.readers.trials import (
    SeriesRecording,
    Trials,
    average,
    check_times,
    named_units,
    read_trials,
    session_responses,
    within_recording,
)
from repbias.recordings.readers.windows import Samples, observed, spike_counts

logger = logging.getLogger(__name__)


class NwbRecording(SeriesRecording):
    """NWB files (Neurodata Without Borders): responses around the trials in a table.

    Spikes of units are counted; fluorescence of ROIs or any other time series is averaged. All
    times are in seconds.
    """

    kind: Literal["nwb"]
    """NWB; needs `pip install 'repbias[nwb]'`, and for folders of NWB-Zarr `[nwb-zarr]`."""
    table: str = "trials"
    """Table of intervals or events with one row per presentation of a stimulus."""
    data: str = "units"
    """`units` for spike counts, or the name of a time series to average, for example
    `RoiResponseSeries`; preceded by parts of its path if the name alone is ambiguous."""
    region_column: str | None = None
    """Column of the units with their brain region; by default the location of their electrodes or
    imaging plane."""
    region: str = ""
    """Brain region, if the file does not specify it."""
    where: Where = {}
    """Units to keep: columns, and the value or list of values that each must have, for example
    `{quality: good}`."""

    @model_validator(mode="after")
    def _baseline_is_for_series(self) -> NwbRecording:
        if self.baseline and self.data == "units":
            raise ValueError("baseline is for time series; 'data: units' counts spikes")
        return self

    def parts_of(self, path: Path) -> list[str]:
        """Return the file, or of a folder of NWB-Zarr the files that describe it."""
        found = [path / name for name in METADATA if (path / name).exists()]
        return [str(file) for file in found] or [str(path)]

    @model_validator(mode="after")
    def _one_table(self) -> NwbRecording:
        if self.trials and "table" in self.given():
            raise ValueError("give table, of the NWB file, or trials, a file of its own; not both")
        if not self.trials and self.offset_s:
            raise ValueError("offset_s is added to the times of trials, a file of its own")
        return self


def read(spec: NwbRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read the spike counts, or averages of a time series, of every trial.

    A unit counts as not observed in a trial (NaN) if its ``obs_intervals``, or the samples of the
    time series, do not cover the whole window.

    Raises
    ------
    RepbiasError
        If pynwb is missing, the file is damaged, or it lacks a table, column or series.
    """
    return read_files(spec, stimulus_ids, _read_file)


def _read_file(spec: NwbRecording, path: Path) -> SessionResponses:
    pynwb = import_optional("pynwb", "NWB", "nwb")
    with readable(path, "NWB"), open_nwb(path) as file:
        trials = _trials(spec, path, file)
        if spec.data == "units":
            if file.units is None:
                names = _all_series(file, pynwb.TimeSeries)
                raise RepbiasError(f"{path}: has no units; set 'data' to a time series: {[*names]}")
            series = None
            units = _units(spec, path, file, file.units)
        else:
            series = _find_series(path, spec.data, _all_series(file, pynwb.TimeSeries))
            units = _series_units(spec, path, file, series)
        units = named_units(trials, units)
        chosen = np.flatnonzero(select(path, spec.where, units))
        if series is None:
            responses = _count(spec, path, file.units, chosen, trials.align)
            measure = f"spikes in {spec.edges()[1] - spec.from_s:g} s"
        else:
            responses = _average(spec, path, series, trials.align)[:, chosen]
            measure = "ΔF/F" if spec.baseline_mode == "dff" else str(series.unit)
    units = {name: values[chosen] for name, values in units.items()}
    return session_responses(spec, trials, units, responses, measure)


@contextmanager
def open_nwb(path: Path) -> Iterator[Any]:
    """Open a file, or a folder of NWB-Zarr, whose arrays are read lazily.

    Raises
    ------
    RepbiasError
        If parts of it are in other files, or a column does not fit into memory.
    """
    import h5py
    import pynwb

    if is_zarr(path):
        import_optional("hdmf_zarr", "NWB-Zarr", "nwb-zarr")
        with open_nwb_zarr(path) as nwb:
            yield nwb
        return
    with open_hdf5(path) as file:
        # Table columns and timestamps are read as a whole; of series, only the windows of trials.
        columns: list[h5py.Dataset] = []
        file.visititems(
            lambda name, x: (
                columns.append(x)
                if isinstance(x, h5py.Dataset) and not name.endswith("/data") and x.shape
                else None
            )
        )
        for column in columns:
            if len(column.shape) == 1:  # other arrays are not read as a whole
                refuse_size(path, repr(column.name), column.shape, column.dtype.itemsize)
    with pynwb.NWBHDF5IO(path, "r", load_namespaces=True) as io:
        known = pynwb.get_type_map().namespace_catalog.get_namespace("core")["version"]
        stated, version = io.nwb_version
        if version and version[:2] > tuple(map(int, known.split(".")[:2])):
            warn_of_version(path, "NWB", stated, f"{known} (of pynwb {pynwb.__version__})")
        yield io.read()


def _trials(spec: NwbRecording, path: Path, file: Any) -> Trials:
    """Return the trials, of the table in the file or of the user's own."""
    session = str(file.session_id or file.identifier)
    subject = file.subject and file.subject.subject_id
    if spec.trials is not None:
        return read_trials(spec, path, session, subject)
    tables = {**(file.intervals or {}), **(file.events or {})}
    other = "; or leave the file out (leave_out)" if spec.more_files else ""
    if spec.table not in tables:
        raise RepbiasError(f"{path}: no table {spec.table!r}; {nearest(spec.table, tables)}{other}")
    table = tables[spec.table]
    shown = _column(path, table, "stimulus", spec.stimulus)
    align = _column(path, table, "align", spec.align)
    if align.dtype.kind not in "fiu":
        raise RepbiasError(f"{path}: align: the column {spec.align!r} does not hold times")
    if not len(align):
        raise RepbiasError(f"{path}: the table {spec.table!r} is empty{other}")
    columns = _plain(table)
    selected = select_trials(spec, path, columns, len(align))
    left_out = count_left_out(selected, shown)
    shown, align = shown[selected], align[selected]
    named = ~is_missing(as_ids(shown))
    where = f"{path}: table {spec.table!r}"
    check_times(spec, where, "row", np.flatnonzero(selected)[named], align[named].astype(float))
    return Trials(
        subject=spec.subject_of(path, subject),
        session=spec.value_for(path, spec.session) or session,
        stimulus=shown,
        align=align.astype(float),
        columns={name: values[selected] for name, values in columns.items()},
        left_out=left_out,
    )


def single_columns(table: Any) -> dict[str, Any]:
    """Return the columns with one value per row, not lists, images or rows of another table."""
    from hdmf.common import DynamicTableRegion, VectorIndex
    from hdmf.query import ReferenceResolver
    from hdmf.utils import get_data_shape

    columns = {name: table[name] for name in table.colnames}
    return {
        name: column
        for name, column in columns.items()
        if not isinstance(column, VectorIndex | DynamicTableRegion)
        and not isinstance(column.data, ReferenceResolver)
        and len(get_data_shape(column.data)) == 1
    }


def _plain(table: Any) -> dict[str, np.ndarray]:
    return plain_columns({name: column[:] for name, column in single_columns(table).items()})


def _column(path: Path, table: Any, field: str, name: str) -> np.ndarray:
    if name not in table.colnames:
        raise RepbiasError(f"{path}: {field}: no column {name!r}; {nearest(name, table.colnames)}")
    column = single_columns(table).get(name)
    values = None if column is None else plain(column[:])
    if values is None:
        raise RepbiasError(f"{path}: {field}: the column {name!r} has no single value per row")
    return values


def _units(spec: NwbRecording, path: Path, file: Any, table: Any) -> dict[str, np.ndarray]:
    """Return the columns of a table of units, with "unit" (its id) and "region"."""
    ids = np.asarray(table.id[:]).astype(str)
    return _plain(table) | {"unit": ids, "region": _regions(spec, path, file, table)}


def _regions(spec: NwbRecording, path: Path, file: Any, table: Any) -> np.ndarray:
    """Return the region of every row of a table of units, electrodes or ROIs."""
    if spec.region_column is not None:
        return _column(path, table, "region_column", spec.region_column).astype(str)
    if "location" in table.colnames:
        return _column(path, table, "location", "location").astype(str)
    electrodes = file.electrodes
    if electrodes is not None and "location" in electrodes.colnames:
        location = as_ids(electrodes["location"][:])
        if "electrodes" in table.colnames:
            index = table["electrodes"]
            rows = np.asarray(index.target.data[:], int)
            of_units = np.split(rows, np.asarray(index.data[:-1], int))
            # A unit recorded by electrodes in two regions is assigned both.
            return np.array([", ".join(np.unique(location[rows])) for rows in of_units], dtype=str)
        if "peak_channel_id" in table.colnames:  # files of the Allen Institute
            by_id = dict(zip(electrodes.id[:], location, strict=True))
            return np.array([by_id.get(i, "") for i in table["peak_channel_id"][:]], dtype=str)
    plane = getattr(table, "imaging_plane", None)
    return np.full(len(table), spec.region if plane is None else plane.location)


def _series_units(spec: NwbRecording, path: Path, file: Any, series: Any) -> dict[str, np.ndarray]:
    """Return the columns of a series' ROIs or electrodes; units are numbered if it has neither."""
    shape = series.data.shape
    if len(shape) not in (1, 2) or not all(shape):
        raise RepbiasError(
            f"{path}: {series.name!r} has shape {tuple(shape)}, expected (time,) or (time, unit)"
        )
    n = shape[1] if len(shape) == 2 else 1
    rows = getattr(series, "rois", None) or getattr(series, "electrodes", None)
    if rows is None:
        if spec.region_column is not None:
            raise RepbiasError(f"{path}: region_column: {series.name!r} has no table of its units")
        return {"unit": np.arange(n).astype(str), "region": np.full(n, spec.region)}
    table, index = rows.table, np.asarray(rows.data[:], int)
    if len(index) != n:
        raise RepbiasError(
            f"{path}: {series.name!r} has shape {tuple(shape)} for {len(index)} units; expected "
            "(time, unit)"
        )
    return {name: values[index] for name, values in _units(spec, path, file, table).items()}


def _count(
    spec: NwbRecording, path: Path, units: Any, chosen: np.ndarray, align: np.ndarray
) -> np.ndarray:
    """Return spike counts of the chosen units, (trial, unit, bin)."""
    if "spike_times" not in units.colnames:
        raise RepbiasError(
            f"{path}: the table of units has no spike_times, but {', '.join(units.colnames)}; for "
            "signals instead of spikes, set 'data' to a time series"
        )
    if spec.trials is not None:
        # The recording lasts as long as it was observed, or else from the first spike to the last.
        extents = (units[n].target.data for n in ("obs_intervals", "spike_times") if n in units)
        times = next((np.asarray(x[:]) for x in extents if len(x)), None)
        if times is not None:
            inside = within_recording(spec, path, align, float(times.min()), float(times.max()))
            align = np.where(inside, align, np.nan)
    edges = spec.edges()
    counts = np.empty((len(align), len(chosen), len(edges) - 1))
    for column, unit in enumerate(chosen.tolist()):
        counts[:, column] = spike_counts(units["spike_times"][unit], align, edges)
        if "obs_intervals" in units.colnames:
            intervals = np.reshape(units["obs_intervals"][unit], (-1, 2))
            covered = observed(intervals, align + edges[0], align + edges[-1])
            counts[~covered, column] = np.nan
    return counts


def _all_series(file: Any, of_type: type[Any]) -> dict[str, Any]:
    """Return the acquired and the processed time series, by path."""
    found = {}
    for series in file.objects.values():
        if not isinstance(series, of_type):
            continue
        lineage = [series, *series.get_ancestors()][:-1]
        for name in ("acquisition", "processing"):
            if getattr(file, name).get(lineage[-1].name) is lineage[-1]:
                found["/".join([name, *(item.name for item in reversed(lineage))])] = series
    return found


def _find_series(path: Path, name: str, series: Mapping[str, Any]) -> Any:
    hits = [key for key in series if f"/{key}".endswith(f"/{name.strip('/')}")]
    if not hits:
        raise RepbiasError(f"{path}: data: no time series {name!r}; {nearest(name, series)}")
    if len(hits) > 1:
        raise RepbiasError(f"{path}: data: {name!r} is ambiguous: {', '.join(sorted(hits))}")
    return series[hits[0]]


def _average(spec: NwbRecording, path: Path, series: Any, align: np.ndarray) -> np.ndarray:
    """Return the averages of a time series in the bins of every trial, (trial, unit, bin)."""
    times = _timestamps(path, series)
    if spec.trials is not None:
        step = float(np.median(np.diff(times)))
        within_recording(spec, path, align, times[0], times[-1] + step)
    scale = series.conversion
    if getattr(series, "channel_conversion", None) is not None:
        scale = scale * np.asarray(series.channel_conversion[:])
    samples = Samples(series.data, times, scale, series.offset)
    return average(spec, path, series.name, samples, align)


def _timestamps(path: Path, series: Any) -> np.ndarray:
    """Return the ascending times of a series' samples, (time,)."""
    times = np.asarray(series.get_timestamps(), float)
    if len(times) != series.data.shape[0]:
        raise RepbiasError(
            f"{path}: {series.name!r} has {series.data.shape[0]} samples and {len(times)} times"
        )
    steps = np.diff(times)
    if not len(steps) or not (steps > 0).all():
        raise RepbiasError(f"{path}: the times of {series.name!r} do not ascend")
    return times
