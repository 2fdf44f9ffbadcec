"""Responses in NWB files: spike counts, or averages of a time series, around every trial."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from repbias.base.identities import as_ids
from repbias.base.spec import RepbiasError, nearest
from repbias.io.recordings import Recording
from repbias.io.untrusted import open_hdf5, readable, refuse_size
from repbias.recordings.readers.files import (
    TOLERANCE_S,
    MultiFileRecording,
    SessionResponses,
    Where,
    import_optional,
    plain,
    plain_columns,
    read_files,
    select,
)
from repbias.recordings.spec import Seconds

logger = logging.getLogger(__name__)


class NwbRecording(MultiFileRecording):
    """NWB files (Neurodata Without Borders): responses around the trials in a table.

    Spikes of units are counted; fluorescence of ROIs or any other time series is averaged. All
    times are in seconds.
    """

    kind: Literal["nwb"]
    """NWB; needs `pip install 'repbias[nwb]'`."""
    table: str = "trials"
    """Table of intervals or events with one row per presentation of a stimulus."""
    stimulus: str
    """Column of the table with the stimulus id."""
    align: str = "start_time"
    """Column of the table with the time of 0 s."""
    from_s: Seconds
    """Start of the responses (included), in seconds relative to `align`."""
    to_s: Seconds
    """End of the responses (excluded), in seconds relative to `align`."""
    bin_s: Annotated[float, Field(gt=0)] | None = None
    """Width of the time bins in seconds, which must divide the time from `from_s` to `to_s`; by
    default there is one response for all of this time."""
    data: str = "units"
    """`units` for spike counts, or the name of a time series to average, for example
    `RoiResponseSeries`; preceded by parts of its path if the name alone is ambiguous."""
    baseline: tuple[Seconds, Seconds] | None = None
    """Start and end of a time series' baseline, in seconds relative to `align`."""
    baseline_mode: Literal["subtract", "dff"] = "subtract"
    """Subtract the average over the baseline, or also divide by it (`dff`: ΔF/F)."""
    region_column: str | None = None
    """Column of the units with their brain region; by default the location of their electrodes or
    imaging plane."""
    region: str = ""
    """Brain region, if the file does not specify it."""
    where: Where = {}
    """Units to keep: columns, and the value or list of values that each must have, for example
    `{quality: good}`."""

    @model_validator(mode="after")
    def _bins_fit(self) -> NwbRecording:
        if self.from_s >= self.to_s:
            raise ValueError(f"from_s must be before to_s, found {self.from_s} and {self.to_s}")
        n_bins = (self.to_s - self.from_s) / (self.bin_s or np.inf)
        if self.bin_s and (round(n_bins) < 1 or abs(n_bins - round(n_bins)) > 1e-6 * n_bins):
            raise ValueError(
                f"{n_bins:g} bins of {self.bin_s} s fit between from_s and to_s, expected a whole "
                "number"
            )
        if self.window and not self.bin_s:
            raise ValueError("window needs bin_s, the width of the time bins")
        return self

    @model_validator(mode="after")
    def _baseline_fits(self) -> NwbRecording:
        if self.baseline and self.data == "units":
            raise ValueError("baseline is for time series; 'data: units' counts spikes")
        if self.baseline and self.baseline[0] >= self.baseline[1]:
            raise ValueError(f"baseline must ascend, found {list(self.baseline)}")
        if self.baseline_mode == "dff" and not self.baseline:
            raise ValueError("baseline_mode dff needs a baseline")
        return self

    def edges(self) -> np.ndarray:
        """Return the edges of the time bins in seconds relative to `align`, (bin + 1,)."""
        n_bins = round((self.to_s - self.from_s) / self.bin_s) if self.bin_s else 1
        return np.linspace(self.from_s, self.to_s, n_bins + 1)


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
        session = str(file.session_id or file.identifier)
        subject = spec.subject_of(path, file.subject and file.subject.subject_id)
        stimulus, align, trials = _trials(spec, path, file)
        if spec.data == "units":
            if file.units is None:
                names = _all_series(file, pynwb.TimeSeries)
                raise RepbiasError(f"{path}: has no units; set 'data' to a time series: {[*names]}")
            units = _units(spec, path, file, file.units)
            source = None
        else:
            source = _find_series(path, spec.data, _all_series(file, pynwb.TimeSeries))
            units = _series_units(spec, path, file, source)
        n = len(units["unit"])
        units["unit"] = np.array([f"{subject}/{session}/{unit}" for unit in units["unit"]])
        units["subject"] = np.full(n, subject)
        chosen = np.flatnonzero(select(path, spec.where, units))
        if source is None:
            responses = _count(spec, path, file.units, chosen, align)
            measure = f"spikes in {spec.edges()[1] - spec.from_s:g} s"
        else:
            responses = _average(spec, path, source, align)[:, chosen]
            measure = "ΔF/F" if spec.baseline_mode == "dff" else str(source.unit)
    edges = spec.edges()
    times = {"times_s": ((edges[:-1] + edges[1:]) / 2).tolist()} if spec.bin_s else {}
    return SessionResponses(
        session=session,
        stimulus=stimulus,
        responses=responses if spec.bin_s else responses[:, :, 0],
        trials=trials | {"session": np.full(len(stimulus), session)},
        units={name: values[chosen] for name, values in units.items()},
        info={"response_unit": spec.response_unit or measure} | times,
    )


@contextmanager
def open_nwb(path: Path) -> Iterator[Any]:
    """Open a file, whose arrays are read lazily.

    Raises
    ------
    RepbiasError
        If parts of it are in other files, or a column does not fit into memory.
    """
    import h5py
    import pynwb

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
        yield io.read()


def _trials(
    spec: NwbRecording, path: Path, file: Any
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return the stimulus and the time of every trial, and the other columns of the table."""
    tables = {**(file.intervals or {}), **(file.events or {})}
    if spec.table not in tables:
        raise RepbiasError(f"{path}: no table {spec.table!r}; {nearest(spec.table, tables)}")
    table = tables[spec.table]
    shown = _column(path, table, "stimulus", spec.stimulus)
    align = _column(path, table, "align", spec.align)
    if align.dtype.kind not in "fiu":
        raise RepbiasError(f"{path}: align: the column {spec.align!r} does not hold times")
    if not len(align):
        raise RepbiasError(f"{path}: the table {spec.table!r} is empty")
    return shown, align.astype(float), _plain(table)


def _single(table: Any) -> dict[str, Any]:
    """Return the columns with one value per row, not lists, images or rows of another table."""
    from hdmf.common import DynamicTableRegion, VectorIndex
    from hdmf.utils import get_data_shape

    columns = {name: table[name] for name in table.colnames}
    return {
        name: column
        for name, column in columns.items()
        if not isinstance(column, VectorIndex | DynamicTableRegion)
        and len(get_data_shape(column.data)) == 1
    }


def _plain(table: Any) -> dict[str, np.ndarray]:
    return plain_columns({name: column[:] for name, column in _single(table).items()})


def _column(path: Path, table: Any, field: str, name: str) -> np.ndarray:
    if name not in table.colnames:
        raise RepbiasError(f"{path}: {field}: no column {name!r}; {nearest(name, table.colnames)}")
    column = _single(table).get(name)
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
        raise RepbiasError(f"{path}: units have no spike_times; {nearest('', units.colnames)}")
    edges = spec.edges()
    counts = np.empty((len(align), len(chosen), len(edges) - 1))
    for column, unit in enumerate(chosen.tolist()):
        counts[:, column] = spike_counts(units["spike_times"][unit], align, edges)
        if "obs_intervals" in units.colnames:
            intervals = np.reshape(units["obs_intervals"][unit], (-1, 2))
            covered = observed(intervals, align + edges[0], align + edges[-1])
            counts[~covered, column] = np.nan
    return counts


def spike_counts(spikes: np.ndarray, align: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Count the spikes in every bin of every trial; bins include their start, not their end.

    Parameters
    ----------
    spikes
        (spike,) times in seconds, in any order.
    align
        (trial,) times of 0 s, in seconds; may be NaN.
    edges
        (bin + 1,) ascending, in seconds relative to `align`.

    Returns
    -------
    numpy.ndarray
        (trial, bin) counts as float; NaN where `align` is NaN.

    Examples
    --------
    >>> spike_counts(np.array([1.3, 1.0, 1.1]), np.array([1.0, 9.0]), np.array([0, 0.2, 0.4]))
    array([[2., 1.],
           [0., 0.]])
    """
    times = align[:, None] + edges
    counts = np.diff(np.searchsorted(np.sort(spikes), times), axis=1).astype(float)
    counts[~np.isfinite(align)] = np.nan
    return counts


def observed(intervals: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Return which windows lie entirely within one of the intervals.

    Parameters
    ----------
    intervals
        (interval, 2) starts and ends, in any order, overlapping or not.
    start, stop
        (window,) starts and ends of the windows.

    Returns
    -------
    numpy.ndarray
        (window,) bool.

    Examples
    --------
    >>> observed(np.array([[5, 9], [0, 4]]), np.array([1, 3, 5]), np.array([2, 6, 9]))
    array([ True, False,  True])
    """
    if not len(intervals):
        return np.zeros(len(start), bool)
    intervals = intervals[np.argsort(intervals[:, 0])]
    # Of the intervals that start before a window, it suffices to test the one that ends last.
    before = np.searchsorted(intervals[:, 0], start + TOLERANCE_S, side="right")
    latest = np.concatenate([[-np.inf], np.maximum.accumulate(intervals[:, 1])])
    return stop - TOLERANCE_S <= latest[before]


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
    times, step = _timestamps(path, series)
    edges, baseline = spec.edges(), np.array(spec.baseline or (), float)
    shortest = min(edges[1] - edges[0], *np.diff(baseline), np.inf)
    if shortest < step - TOLERANCE_S:
        raise RepbiasError(
            f"{path}: {shortest:g} s is shorter than the {step:g} s between the samples of "
            f"{series.name!r}"
        )
    scale = series.conversion
    if getattr(series, "channel_conversion", None) is not None:
        scale = scale * np.asarray(series.channel_conversion[:])
    responses = []
    for zero in align:
        values = scale * sample_means(series.data, times, zero + edges, step) + series.offset
        if spec.baseline:
            rest = scale * sample_means(series.data, times, zero + baseline, step) + series.offset
            with np.errstate(divide="ignore", invalid="ignore"):
                values = (values - rest) / (rest if spec.baseline_mode == "dff" else 1)
        responses.append(values.T)
    return np.stack(responses)


def _timestamps(path: Path, series: Any) -> tuple[np.ndarray, float]:
    """Return the ascending times of a series' samples, (time,), and the usual step between them."""
    times = np.asarray(series.get_timestamps(), float)
    if len(times) != series.data.shape[0]:
        raise RepbiasError(
            f"{path}: {series.name!r} has {series.data.shape[0]} samples and {len(times)} times"
        )
    steps = np.diff(times)
    if not len(steps) or not (steps > 0).all():
        raise RepbiasError(f"{path}: the times of {series.name!r} do not ascend")
    return times, float(np.median(steps))


def sample_means(data: Any, times: np.ndarray, edges: np.ndarray, step: float) -> np.ndarray:
    """Average the samples in every bin; bins include their start, not their end.

    Parameters
    ----------
    data
        (time,) or (time, unit), an array or an HDF5 dataset, of which only the window is read.
    times
        (time,) ascending.
    edges
        (bin + 1,) ascending; NaN if the trial has no window.
    step
        Usual time between samples.

    Returns
    -------
    numpy.ndarray
        (bin, unit); NaN if there is a gap between samples of more than 1.5 steps anywhere between
        the first edge and the last.

    Examples
    --------
    >>> times = np.array([0.0, 0.1, 0.2, 0.3])
    >>> sample_means(10 * times, times, np.array([0, 0.2, 0.4]), 0.1).ravel().tolist()
    [0.5, 2.5]
    """
    # The tolerance puts a sample that rounding moved just below an edge into the bin above it.
    at = np.searchsorted(times, edges - TOLERANCE_S)
    samples = np.asarray(data[at[0] : at[-1]], float)
    samples = samples.reshape(len(samples), *(data.shape[1:] or (1,)))
    means = np.full((len(edges) - 1, samples.shape[1]), np.nan)
    gaps = np.diff(np.concatenate([edges[:1], times[at[0] : at[-1]], edges[-1:]]))
    if len(samples) and gaps.max() <= 1.5 * step:
        for i, (start, stop) in enumerate(pairwise(at - at[0])):
            if stop > start:
                means[i] = samples[start:stop].mean(axis=0)
    return means
