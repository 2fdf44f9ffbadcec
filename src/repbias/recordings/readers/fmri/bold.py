"""The mean BOLD signal of each block or event."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.order import natural_key
from repbias.base.spec import RepbiasError
from repbias.recordings.readers.fmri.events import require_row_per_volume
from repbias.recordings.readers.fmri.images import LONGEST_TR, SHORTEST_TR
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
    """Average the volumes of each block or event, after detrending and scaling each run."""
    path = scan.paths["events"]
    if tr is None:
        raise RepbiasError(
            f"{scan.image}: no header with seconds between volumes (TR) that have a unit and are "
            f"between {SHORTEST_TR:g} and {LONGEST_TR:g} s; set 'tr_s'"
        )
    if "onset" in events:
        runs, blocks = _runs_by_length(spec, scan, len(values), events), events
    else:
        require_row_per_volume(scan, len(values), events)
        runs, blocks = _blocks_of_labels(path, events, tr)
    blocks = blocks[~blocks["stimulus"].isin(spec.ignore)]
    if not len(blocks):
        raise RepbiasError(f"{path}: holds no stimulus")
    prepared = {
        run: prepare_run(values[start:stop], spec.detrend, spec.zscore_runs)
        for run, (start, stop) in runs.items()
    }
    responses, windows = [], []
    for line, run, start, stop in zip(
        blocks.index, _run_of(blocks), *_windows(spec, path, blocks), strict=True
    ):
        first, last = _volume_at(start, tr), _volume_at(stop, tr)
        volumes = prepared[run][max(first, 0) : max(last, 0)]
        if not len(volumes):
            raise RepbiasError(
                f"{path}: line {line}: no volume is between {start:g} s and {stop:g} s of its run, "
                f"which has {len(prepared[run])} volumes of {tr:g} s; see duration_s and delay_s"
            )
        responses.append(volumes.mean(axis=0))
        windows.append((run, first, last, len(prepared[run])))
    _warn_of_overlaps(path, windows)
    table = blocks.drop(columns=["onset", "duration"], errors="ignore")
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


def _run_of(events: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the key of each event's run within the file."""
    names = [name for name in ("session", "run") if name in events]
    return [tuple(str(events[name].iat[i]) for name in names) for i in range(len(events))]


def _runs_by_length(
    spec: FmriRecording, scan: Scan, n_volumes: int, events: pd.DataFrame
) -> dict[tuple[str, ...], tuple[int, int]]:
    """Return the first volume of each run, and the one after its last, for events with onsets."""
    runs = _in_order_of_volumes(scan.paths["events"], list(dict.fromkeys(_run_of(events))))
    lengths = spec.run_volumes or [n_volumes]
    if len(lengths) != len(runs) or sum(lengths) != n_volumes:
        given = f"run_volumes {spec.run_volumes}" if spec.run_volumes else "no run_volumes"
        raise RepbiasError(
            f"{scan.paths['events']}: events of {len(runs)} runs, {given}, and {n_volumes} volumes "
            f"in {scan.image}; set 'run_volumes' to the number of volumes of each run"
        )
    stops = np.cumsum(lengths).tolist()
    return dict(zip(runs, zip([0, *stops[:-1]], stops, strict=True), strict=True))


def _in_order_of_volumes(path: Path, runs: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Sort the runs of a file, given in the order of its events.

    Where their names do not tell whether run 10 comes before run 2, the events must.
    """
    natural = sorted(runs, key=lambda run: [natural_key(name) for name in run])
    if natural == sorted(runs):
        return natural
    if runs not in (natural, sorted(runs)):
        raise RepbiasError(
            f"{path}: in which order run_volumes counts the runs is not clear: {natural[1][-1]!r} "
            f"or {sorted(runs)[1][-1]!r} may be the second; list the events in the order of the "
            "volumes, or give the names of runs leading zeros"
        )
    return runs


def _blocks_of_labels(
    path: Path, labels: pd.DataFrame, tr: float
) -> tuple[dict[tuple[str, ...], tuple[int, int]], pd.DataFrame]:
    """Return the runs, and as blocks the consecutive volumes with one label in one run."""
    of_run, stimulus = _run_of(labels), labels["stimulus"].tolist()
    changes = [i for i in range(1, len(labels)) if of_run[i] != of_run[i - 1]]
    runs: dict[tuple[str, ...], tuple[int, int]] = {}
    for start, stop in pairwise([0, *changes, len(labels)]):
        if of_run[start] in runs:
            raise RepbiasError(
                f"{path}: line {labels.index[start]}: the volumes of run "
                f"{'/'.join(of_run[start])} are not contiguous"
            )
        runs[of_run[start]] = (start, stop)
    first = [
        i
        for i in range(len(labels))
        if i == 0 or (of_run[i], stimulus[i]) != (of_run[i - 1], stimulus[i - 1])
    ]
    blocks = labels.iloc[first].copy()
    blocks["onset"] = [tr * (i - runs[of_run[i]][0]) for i in first]
    blocks["duration"] = tr * np.diff([*first, len(labels)])
    return runs, blocks


def _windows(
    spec: FmriRecording, path: Path, blocks: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Return start and end of the response to each block, in seconds from the start of its run."""
    if spec.duration_s is None and "duration" not in blocks:
        raise RepbiasError(
            f"{path}: no column {spec.columns.duration!r}; name it in 'columns', or set "
            "'duration_s'"
        )
    blocks = blocks if spec.duration_s is None else blocks.assign(duration=spec.duration_s)
    for name in ("onset", "duration"):
        unknown = blocks.index[~np.isfinite(blocks[name])]
        if len(unknown):
            raise RepbiasError(f"{path}: line {unknown[0]}: has no {name}")
    start = blocks["onset"].to_numpy() + spec.delay_s
    return start, start + blocks["duration"].to_numpy()


def _volume_at(seconds: float, tr: float) -> int:
    """Return the first volume that starts at a time or later, up to rounding of the time."""
    return int(np.ceil(seconds / tr - 1e-3))


def _warn_of_overlaps(path: Path, windows: list[tuple[tuple[str, ...], int, int, int]]) -> None:
    cut_off = sum(last > n_volumes for _, _, last, n_volumes in windows)
    if cut_off:
        logger.warning("%s: %d responses are cut off by the end of the run", path, cut_off)
    overlaps = sum(
        run == next_run and start < last
        for (run, _, last, _), (next_run, start, _, _) in pairwise(sorted(windows))
    )
    if overlaps:
        logger.warning(
            "%s: %d of %d responses overlap with the one before and are mixed with it; the "
            "estimates of a GLM would separate them",
            path,
            overlaps,
            len(windows),
        )
