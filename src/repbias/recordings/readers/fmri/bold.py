"""The mean BOLD signal of each block or event."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.recordings.readers.fmri.betas import blank_unobserved
from repbias.recordings.readers.fmri.events import LEFT_OUT
from repbias.recordings.readers.fmri.runs import RunKey, run_of, split_runs
from repbias.recordings.readers.fmri.scans import Scan
from repbias.recordings.readers.fmri.settings import FmriRecording

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

#: Variation below this share of a signal's size is rounding.
ROUNDING = 1e-10


def average_bold(
    spec: FmriRecording, scan: Scan, values: np.ndarray, events: pd.DataFrame, tr: float | None
) -> tuple[np.ndarray, pd.DataFrame]:
    """Average the volumes of each block or event, after detrending and scaling each run.

    Voxels without a signal in a run become NaN in `values`.
    """
    path, skip = scan.paths["events"], spec.skip_volumes
    runs, blocks = split_runs(spec, scan, len(values), events, tr)
    blocks = blocks[blocks["stimulus"] != LEFT_OUT]
    assert tr is not None  # or the runs would have been refused
    for start, stop in runs.values():
        blank_unobserved(values[start:stop])  # such voxels are outside the run's field of view
    prepared = {
        run: prepare_run(values[start + skip : stop], spec.detrend, spec.zscore_runs)
        for run, (start, stop) in runs.items()
    }
    responses, windows = [], []
    starts = blocks["onset"].to_numpy() + spec.delay_s
    stops = starts + blocks["duration"].to_numpy()
    for line, run, start, stop in zip(blocks.index, run_of(blocks), starts, stops, strict=True):
        first, last = (_volume_at(seconds, tr) - skip for seconds in (start, stop))
        volumes = prepared[run][max(first, 0) : max(last, 0)]
        if not len(volumes):
            raise RepbiasError(
                f"{path}: line {line}: no volume is between {start:g} s and {stop:g} s of its run, "
                f"which has {len(prepared[run]) + skip} volumes of {tr:g} s"
                + (f", of which the first {skip} are skipped" if skip else "")
                + "; see duration_s and delay_s"
            )
        responses.append(volumes.mean(axis=0))
        windows.append((run, first, last, len(prepared[run])))
    _warn_of_overlaps(path, windows)
    table = blocks.drop(columns=["onset", "duration"])
    return np.stack(responses), table.assign(start_time=blocks["onset"])


def prepare_run(values: np.ndarray, detrend: bool, zscore: bool) -> np.ndarray:
    """Remove the linear trend of each voxel over a run, and scale it.

    Parameters
    ----------
    values
        (volume, voxel); a voxel with any NaN becomes NaN in the whole run.
    detrend
        Subtract the least-squares line through time.
    zscore
        Subtract the mean and divide by the standard deviation over the run.

    Returns
    -------
    numpy.ndarray
        (volume, voxel). A voxel with nothing left but rounding is 0 throughout.
    """
    if not (detrend or zscore):
        return values
    centred = values - values.mean(axis=0)
    if detrend:
        time = np.arange(len(values)) - (len(values) - 1) / 2
        slope = time @ centred / max(time @ time, 1)
        centred = centred - time[:, None] * slope
    spread = centred.std(axis=0)
    constant = spread <= ROUNDING * np.abs(values).max(axis=0)
    centred[:, constant] = 0
    return centred / np.where(constant, 1, spread) if zscore else centred


def _volume_at(seconds: float, tr: float) -> int:
    """Return the first volume that starts at a time or later, up to rounding of the time."""
    return int(np.ceil(seconds / tr - 1e-3))


def _warn_of_overlaps(path: Path, windows: list[tuple[RunKey, int, int, int]]) -> None:
    warn_of_cuts(
        path,
        sum(first < 0 for _, first, _, _ in windows),
        sum(last > n_volumes for _, _, last, n_volumes in windows),
    )
    overlaps = sum(
        run == next_run and start < last
        for (run, _, last, _), (next_run, start, _, _) in pairwise(sorted(windows))
    )
    if overlaps:
        logger.warning(
            "%s: %d of %d responses overlap with the one before and are mixed with it; the "
            "estimates of a GLM (response: glm) would separate them",
            path,
            overlaps,
            len(windows),
        )


def warn_of_cuts(path: Path, n_start: int, n_end: int) -> None:
    """Warn of responses of which a part was not measured."""
    for n, what in ((n_start, "start"), (n_end, "end")):
        if n:
            logger.warning("%s: %d responses are cut off by the %s of the run", path, n, what)
