"""The runs of an image, and the blocks or events in them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.order import natural_key
from repbias.base.spec import RepbiasError
from repbias.io.untrusted import read_metadata
from repbias.recordings.readers.fmri.events import (
    LEFT_OUT,
    is_ignored,
    require_row_per_volume,
)
from repbias.recordings.readers.fmri.images import LONGEST_TR, SHORTEST_TR
from repbias.recordings.readers.fmri.scans import Scan
from repbias.recordings.readers.fmri.settings import FmriRecording

if TYPE_CHECKING:
    import pandas as pd

#: Session and run, as far as the events name them.
RunKey = tuple[str, ...]


def split_runs(
    spec: FmriRecording, scan: Scan, n_volumes: int, events: pd.DataFrame, tr: float | None
) -> tuple[dict[RunKey, tuple[int, int]], pd.DataFrame]:
    """Return the runs of an image, and the blocks or events of stimuli.

    Parameters
    ----------
    spec
        The entry of ``recordings:``.
    scan
        The image.
    n_volumes
        Its number of volumes.
    events
        One row per volume, or with onsets.
    tr
        Seconds between two volumes, if they are known.

    Returns
    -------
    runs : dict
        The first volume of each run, and the one after its last.
    blocks : pandas.DataFrame
        Columns "stimulus", "onset" and "duration", in seconds from the start of the run; indexed by
        lines of the file. Ignored labels are left out, but not those that `trials_where` does not
        select.

    Raises
    ------
    RepbiasError
        If seconds between volumes are not known, or volumes, runs and events do not fit together.
    """
    path = scan.paths["events"]
    if tr is None:
        raise RepbiasError(
            f"{scan.image}: no header with seconds between volumes (TR) that have a unit and are "
            f"between {SHORTEST_TR:g} and {LONGEST_TR:g} s, nor RepetitionTime in a JSON beside "
            "it; set 'tr_s'"
        )
    if "onset" in events:
        runs, blocks = _runs_by_length(spec, scan, n_volumes, events), events
    else:
        require_row_per_volume(scan, n_volumes, events)
        runs, blocks = _blocks_of_labels(path, events, tr)
    blocks = blocks[~is_ignored(spec, blocks["stimulus"])]
    return runs, _with_duration(spec, path, blocks)


def stated_tr(scan: Scan) -> float | None:
    """Return the seconds between two volumes that metadata beside an image state, if any do."""
    facts = read_metadata(scan.paths["sidecar"]) if "sidecar" in scan.paths else {}
    tr = facts.get("RepetitionTime")
    return tr if isinstance(tr, int | float) and SHORTEST_TR <= tr <= LONGEST_TR else None


def run_of(events: pd.DataFrame) -> list[RunKey]:
    """Return the key of each event's run within the file."""
    names = [name for name in ("session", "run") if name in events]
    return [tuple(str(events[name].iat[i]) for name in names) for i in range(len(events))]


def _runs_by_length(
    spec: FmriRecording, scan: Scan, n_volumes: int, events: pd.DataFrame
) -> dict[RunKey, tuple[int, int]]:
    """Return the first volume of each run, and the one after its last, for events with onsets."""
    runs = _in_order_of_volumes(scan.paths["events"], list(dict.fromkeys(run_of(events))))
    lengths = spec.run_volumes or [n_volumes]
    if len(lengths) != len(runs) or sum(lengths) != n_volumes:
        given = f"run_volumes {spec.run_volumes}" if spec.run_volumes else "no run_volumes"
        raise RepbiasError(
            f"{scan.paths['events']}: events of {len(runs)} runs, {given}, and {n_volumes} volumes "
            f"in {scan.image}; set 'run_volumes' to the number of volumes of each run"
        )
    stops = np.cumsum(lengths).tolist()
    return dict(zip(runs, zip([0, *stops[:-1]], stops, strict=True), strict=True))


def _in_order_of_volumes(path: Path, runs: list[RunKey]) -> list[RunKey]:
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
) -> tuple[dict[RunKey, tuple[int, int]], pd.DataFrame]:
    """Return the runs, and as blocks the consecutive volumes with one label in one run."""
    of_run, stimulus = run_of(labels), labels["stimulus"].tolist()
    changes = [i for i in range(1, len(labels)) if of_run[i] != of_run[i - 1]]
    runs: dict[RunKey, tuple[int, int]] = {}
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


def _with_duration(spec: FmriRecording, path: Path, blocks: pd.DataFrame) -> pd.DataFrame:
    """Return the blocks, all of which have an onset and a duration, or are left out."""
    if spec.duration_s is None and "duration" not in blocks:
        raise RepbiasError(
            f"{path}: no column {spec.columns.duration!r}; name it in 'columns', or set "
            "'duration_s'"
        )
    blocks = blocks if spec.duration_s is None else blocks.assign(duration=spec.duration_s)
    known = np.isfinite(blocks["onset"]) & np.isfinite(blocks["duration"])
    blocks = blocks[known | (blocks["stimulus"] != LEFT_OUT)]  # no aborted trial need have both
    for name in ("onset", "duration"):
        unknown = blocks.index[~np.isfinite(blocks[name])]
        if len(unknown):
            raise RepbiasError(f"{path}: line {unknown[0]}: has no {name}")
    return blocks
