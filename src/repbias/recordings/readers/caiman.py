"""Fluorescence extracted by CaImAn: a file of ``cnmf.save``, and a table of trials."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import model_validator

from repbias.base.spec import RepbiasError
from repbias.io.recordings import Recording
from repbias.io.untrusted import member, open_hdf5, readable, refuse_size
from repbias.recordings.readers.calcium import CalciumRecording, Traces, read_session
from repbias.recordings.readers.files import SessionResponses, read_files

if TYPE_CHECKING:
    import h5py

logger = logging.getLogger(__name__)

#: What `signal` is called in the file, and its unit of measure.
SIGNALS = {
    "dff": ("F_dff", "ΔF/F"),
    "c": ("C", "denoised fluorescence"),
    "s": ("S", "deconvolved fluorescence"),
}
#: Measures of the quality of components, which are kept as columns of the cells.
QUALITY = ("SNR_comp", "r_values", "cnn_preds")


class CaimanRecording(CalciumRecording):
    """Files of CaImAn (`cnmf.save("x.hdf5")`): fluorescence averaged around the trials of a table.

    Only the components that were accepted (`estimates.idx_components`) are read; all of them if
    they were never evaluated.
    """

    kind: Literal["caiman"]
    """CaImAn."""
    signal: Literal["dff", "c", "s"]
    """`dff`: ΔF/F (`estimates.F_dff`, which `detrend_df_f` computes); `c`: denoised fluorescence
    (`estimates.C`), whose scale differs between cells; `s`: deconvolved activity
    (`estimates.S`)."""

    @model_validator(mode="after")
    def _signal_fits(self) -> CaimanRecording:
        if self.baseline_mode == "dff":
            raise ValueError(
                "baseline_mode dff divides fluorescence, of which CaImAn removes the baseline; use "
                "'signal: dff'"
            )
        return self


def read(spec: CaimanRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read the averages over the frames of every trial.

    Raises
    ------
    RepbiasError
        If a file is damaged or lacks the signal, or frames have no times.
    """
    return read_files(spec, stimulus_ids, _read_file)


def _read_file(spec: CaimanRecording, path: Path) -> SessionResponses:
    with readable(path, "a file of CaImAn"), open_hdf5(path) as file:
        data = signal(path, file, spec.signal)
        if data is None:
            available = [name for name in SIGNALS if signal(path, file, name) is not None]
            hint = "; call detrend_df_f before save" if spec.signal == "dff" else ""
            raise RepbiasError(
                f"{path}: signal: has no estimates/{SIGNALS[spec.signal][0]}{hint}; it has "
                f"{', '.join(available) or 'none of ' + ', '.join(SIGNALS)}"
            )
        n_components, n_frames = data.shape
        kept = accepted(path, file, n_components)
        units = {"unit": kept.astype(str)}
        for name in QUALITY:
            values = _array(path, file, name)
            if values is not None and values.shape == (n_components,):
                units[name] = values[kept]

        def read_cells(chosen: np.ndarray, _: float) -> np.ndarray:
            return np.asarray(data[kept[chosen]], float).T

        traces = Traces(data.name, n_frames, units, read_cells, SIGNALS[spec.signal][1])
        return read_session(spec, path, path.stem, [traces])


def signal(path: Path, file: h5py.File, name: str) -> h5py.Dataset | None:
    """Return a signal (component, frame) of an open file, or None if CaImAn saved none.

    Raises
    ------
    RepbiasError
        If it is of another shape or type, or larger than memory.
    """
    data = _dataset(path, file, SIGNALS[name][0])
    if data is None or not data.shape:
        return None
    if len(data.shape) != 2 or data.dtype.kind not in "fiu" or data.shape[1] < 2:
        raise RepbiasError(
            f"{path}: {data.name!r} has shape {data.shape} and type {data.dtype}, expected numbers "
            "(component, frame)"
        )
    refuse_size(path, repr(data.name), data.shape, 8)
    return data


def accepted(path: Path, file: h5py.File, n_components: int) -> np.ndarray:
    """Return the indices of accepted components, ascending; of all if they were not evaluated."""
    found = _array(path, file, "idx_components")
    if found is None:
        logger.warning(
            "%s: has no estimates/idx_components: all %d components are taken for cells",
            path,
            n_components,
        )
        return np.arange(n_components)
    kept = np.unique(found.ravel())
    if kept.size and not (kept.min() >= 0 and kept.max() < n_components and (kept % 1 == 0).all()):
        raise RepbiasError(
            f"{path}: 'estimates/idx_components' holds values from {kept.min():g} to "
            f"{kept.max():g}, expected indices of {n_components} components"
        )
    return kept.astype(np.int64)


def _dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset | None:
    """Return an array of the estimates, or None where there is none (or sparse parts of one)."""
    estimates = member(path, file, "estimates")
    found = member(path, estimates, name) if name in estimates else None
    return found if hasattr(found, "shape") else None


def _array(path: Path, file: h5py.File, name: str) -> np.ndarray | None:
    """Return an array of numbers; None where CaImAn saved None, as the text NoneType."""
    data = _dataset(path, file, name)
    if data is None or data.shape is None or data.dtype.kind not in "fiu" or not data.shape:
        return None
    refuse_size(path, repr(data.name), data.shape, data.dtype.itemsize)
    return np.asarray(data[()])
