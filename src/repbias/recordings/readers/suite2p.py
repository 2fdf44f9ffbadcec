"""Fluorescence extracted by suite2p: its folder, and a table of trials."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from repbias.base.order import naturally
from repbias.base.spec import RepbiasError
from repbias.io.arrays import load_array, open_array
from repbias.io.recordings import Recording
from repbias.io.untrusted import readable
from repbias.recordings.readers.calcium import (
    CalciumRecording,
    Traces,
    read_session,
)
from repbias.recordings.readers.files import SessionResponses, read_files
from repbias.recordings.readers.trials import session_name

logger = logging.getLogger(__name__)

#: Width of the Gaussian filter before suite2p's baseline (its ``sig_baseline``), in frames.
BASELINE_SIGMA = 10.0


class Suite2pRecording(CalciumRecording):
    """Folders of suite2p: fluorescence averaged around the trials of a table.

    `path` is the folder `suite2p`, with its folders `plane0`, `plane1`, ..., or one of these. Only
    ROIs that `iscell.npy` calls cells are read. `ops.npy` and `stat.npy` are pickles, which are
    never loaded; so the frame rate is yours to state.
    """

    kind: Literal["suite2p"]
    """suite2p."""
    signal: Literal["f", "dff", "spks"]
    """`f`: fluorescence without neuropil, F - 0.7 Fneu. `dff`: ΔF/F of it, (f - F0) / F0, where F0
    is suite2p's `maximin` baseline: f smoothed (Gaussian of 10 frames), of which a sliding minimum
    and then a sliding maximum over `baseline_window_s` is taken. `spks`: deconvolved activity."""
    neuropil: Annotated[float, Field(ge=0)] = 0.7
    """How much of the neuropil signal is subtracted from `f` and `dff` (suite2p's `neucoeff`)."""
    baseline_window_s: Annotated[float, Field(gt=0)] = 60.0
    """Sliding window of the baseline of `dff`, in seconds (suite2p's `win_baseline`)."""

    @model_validator(mode="after")
    def _signal_fits(self) -> Suite2pRecording:
        if self.baseline_mode == "dff" and self.signal != "f":
            raise ValueError("baseline_mode dff divides fluorescence, so it needs 'signal: f'")
        unused = {"neuropil": "spks", "baseline_window_s": "f"}
        for name, signal in unused.items():
            if name in self.given() and self.signal in ("spks", signal):
                raise ValueError(f"{name}: not for 'signal: {self.signal}'")
        return self

    def parts_of(self, path: Path) -> list[str]:
        """Return the files that are read of a folder."""
        names = [*_arrays(self), "iscell.npy"]
        found = [plane / name for plane in planes_of(path) for name in names]
        return [str(file) for file in found if file.exists()] or [str(path)]


def read(spec: Suite2pRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read the averages over the frames of every trial.

    Raises
    ------
    RepbiasError
        If a folder lacks an array, arrays differ in shape, or frames have no times.
    """
    return read_files(spec, stimulus_ids, _read_folder)


def _read_folder(spec: Suite2pRecording, path: Path) -> SessionResponses:
    with readable(path, "a folder of suite2p"):
        planes = planes_of(path)
        if not planes:
            raise RepbiasError(f"{path}: expected a folder of suite2p, with plane0 or F.npy in it")
        traces = [_traces(spec, plane) for plane in planes]
        return read_session(spec, path, session_name(path), traces)


def planes_of(path: Path) -> list[Path]:
    """Return the folders of planes in a folder, or the folder itself if it is one.

    suite2p's folder `combined` repeats the planes, and is read only if it is itself the path.
    """
    if (path / "F.npy").exists():
        return [path]
    found = {plane.name: plane for plane in path.glob("plane*") if (plane / "F.npy").exists()}
    return [found[name] for name in naturally(found)]


def _arrays(spec: Suite2pRecording) -> list[str]:
    return ["spks.npy"] if spec.signal == "spks" else ["F.npy", "Fneu.npy"]


def _traces(spec: Suite2pRecording, plane: Path) -> Traces:
    """Return the traces of the cells of a plane."""
    arrays = [open_traces(plane / name) for name in _arrays(spec)]
    shapes = {name: array.shape for name, array in zip(_arrays(spec), arrays, strict=True)}
    if len(set(shapes.values())) > 1:
        raise RepbiasError(f"{plane}: arrays of different shapes: {shapes}")
    n_rois, n_frames = arrays[0].shape
    is_cell = read_iscell(plane / "iscell.npy", n_rois)
    cells = np.flatnonzero(is_cell[:, 0])
    if not len(cells):
        logger.warning("%s: none of %d ROIs is a cell", plane, n_rois)
    name = plane.resolve().name
    units = {
        "unit": np.array([f"{name}/{roi}" for roi in cells.tolist()], dtype=str),
        "plane": np.full(len(cells), name),
    }
    if is_cell.shape[1] > 1:
        units["cell_probability"] = is_cell[cells, 1]

    def read_cells(chosen: np.ndarray, rate: float) -> np.ndarray:
        values = [array[cells[chosen]].astype(float) for array in arrays]
        if spec.signal == "spks":
            return values[0].T
        f = values[0] - spec.neuropil * values[1]
        if spec.signal == "f":
            return f.T
        names = units["unit"][chosen]
        return _dff(spec, plane, names, f, rate).T

    measures = {"f": "fluorescence", "dff": "ΔF/F", "spks": "deconvolved fluorescence"}
    return Traces(spec.signal, n_frames, units, read_cells, measures[spec.signal])


def open_traces(file: Path) -> np.ndarray:
    """Return an array (roi, frame) of suite2p that stays in its file until it is indexed.

    Raises
    ------
    RepbiasError
        If there is no such file, or it holds something else.
    """
    if not file.exists():
        raise RepbiasError(f"{file.parent}: expected a folder of suite2p with {file.name}")
    with open_array(file) as (array, _):
        assert isinstance(array, np.ndarray)  # as in every .npy file
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            raise RepbiasError(f"{file}: expected numbers (roi, frame), found {_shape(array)}")
        if array.shape[1] < 2:
            raise RepbiasError(f"{file}: expected two frames or more, found {_shape(array)}")
        return array


def _shape(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {array.shape}"


def read_iscell(file: Path, n_rois: int) -> np.ndarray:
    """Return whether ROIs are cells, and how probably, (roi, 2); or only the first column.

    Raises
    ------
    RepbiasError
        If there is no such file, or it does not fit the traces.
    """
    if not file.exists():
        raise RepbiasError(f"{file.parent}: expected a folder of suite2p with iscell.npy")
    values = load_array(file)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != n_rois or values.dtype.kind not in "fiub":
        raise RepbiasError(
            f"{file}: expected a row for each of {n_rois} ROIs, found {_shape(values)}"
        )
    return values


def maximin_baseline(f: np.ndarray, window: int) -> np.ndarray:
    """Return the baseline of traces as suite2p's `maximin`.

    Parameters
    ----------
    f
        (cell, frame) fluorescence.
    window
        Frames of the sliding minimum and maximum.

    Returns
    -------
    numpy.ndarray
        (cell, frame).

    Examples
    --------
    >>> maximin_baseline(np.array([[5.0, 5.0, 5.0, 5.0]]), 2)
    array([[5., 5., 5., 5.]])
    """
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d

    smooth = gaussian_filter1d(f, BASELINE_SIGMA, axis=1)
    return maximum_filter1d(minimum_filter1d(smooth, window, axis=1), window, axis=1)


def _dff(
    spec: Suite2pRecording, plane: Path, names: np.ndarray, f: np.ndarray, rate: float
) -> np.ndarray:
    """Return ΔF/F of cells (cell, frame); NaN for those whose baseline is not above zero."""
    baseline = maximin_baseline(f, max(1, int(spec.baseline_window_s * rate)))
    unusable = (baseline <= 0).any(axis=1)
    if unusable.any():
        logger.warning(
            "%s: %d cells have no ΔF/F, as their baseline is not above zero once %g of the "
            "neuropil is subtracted: %s",
            plane,
            unusable.sum(),
            spec.neuropil,
            ", ".join(names[unusable][:5].tolist()),
        )
    baseline[unusable] = np.nan
    return (f - baseline) / baseline
