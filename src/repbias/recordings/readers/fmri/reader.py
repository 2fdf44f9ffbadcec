"""Responses of voxels: one estimate per trial, or the BOLD signal during each block or event."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.recordings import Recording
from repbias.io.text_tables import typed
from repbias.recordings.readers.common import RawResponses, canonical
from repbias.recordings.readers.fmri.arrays import columns, load_volumes
from repbias.recordings.readers.fmri.bold import average_bold
from repbias.recordings.readers.fmri.events import is_ignored, pick_betas, read_events
from repbias.recordings.readers.fmri.glm import describe_fit, fit_bold
from repbias.recordings.readers.fmri.images import (
    Grid,
    header_tr,
    masked,
    open_image,
    require_same_grid,
    voxels,
)
from repbias.recordings.readers.fmri.scans import Scan
from repbias.recordings.readers.fmri.settings import FmriRecording

if TYPE_CHECKING:
    import pandas as pd

    #: Responses (trial, unit) of a subject, the table of trials and that of units.
    Part = tuple[np.ndarray, pd.DataFrame, pd.DataFrame]

logger = logging.getLogger(__name__)


def read(spec: FmriRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read one response of every voxel to each trial, block or event.

    Voxels that are NaN in all trials, such as those outside the brain, are left out; constant ones
    are kept.

    Raises
    ------
    RepbiasError
        If a file cannot be read, its grid differs from that of the others, or the events do not
        fit.
    """
    import pandas as pd

    subjects: dict[str, list[Scan]] = {}
    scans = spec.scans()
    for scan in scans:
        subjects.setdefault(scan.where.get("subject", spec.subject), []).append(scan)
    read_all = (_read_subject(spec, name, scans) for name, scans in subjects.items())
    parts = [part for part in read_all if part is not None]
    if not parts:
        raise RepbiasError(f"{scans[0].paths['events']}: holds no stimulus, nor do the others")
    n_trials = [len(trials) for _, trials, _ in parts]
    n_units = [len(units) for _, _, units in parts]
    responses = np.full((sum(n_trials), sum(n_units)), np.nan)
    for (values, _, _), row, column in zip(
        parts, np.cumsum([0, *n_trials[:-1]]), np.cumsum([0, *n_units[:-1]]), strict=True
    ):
        responses[row : row + values.shape[0], column : column + values.shape[1]] = values
    trials = pd.concat([trials for _, trials, _ in parts], ignore_index=True)
    units = pd.concat([units for _, _, units in parts], ignore_index=True)
    raw = RawResponses(
        stimulus=trials["stimulus"].to_numpy(dtype=str),
        responses=responses,
        trials={
            name: column.to_numpy(float) if name == "start_time" else typed(column)
            for name, column in trials.drop(columns="stimulus").items()
        },
        units={n: c.to_numpy(int if n in ("x", "y", "z") else str) for n, c in units.items()},
        info={"content": spec.content} | _processing(spec, scans, parts),
    )
    return canonical(spec, stimulus_ids, raw)


def _processing(spec: FmriRecording, scans: list[Scan], parts: list[Part]) -> dict[str, Any]:
    """Say how responses came from the images."""
    if spec.content == "betas":
        return {}
    if (glm := spec.glm()) is not None:
        fit = describe_fit(glm, scans, [trials for _, trials, _ in parts])
        unit = {"response_unit": spec.response_unit} if spec.response_unit else {}
        return {"skip_volumes": spec.skip_volumes, **fit, **unit}
    return {
        **{key: getattr(spec, key) for key in ("delay_s", "detrend", "zscore_runs")},
        "skip_volumes": spec.skip_volumes,
        "confounds": "none",
    }


def _read_subject(spec: FmriRecording, subject: str, scans: list[Scan]) -> Part | None:
    """Return the responses of a subject, unless no scan has a stimulus."""
    import pandas as pd

    load = _load_arrays if scans[0].is_array else _load_images
    responses, trials = [], []
    for scan, loaded in zip(scans, load(spec, scans), strict=True):
        values, tr, units = loaded
        if np.isinf(values).any():
            raise RepbiasError(f"{scan.image}: {np.isinf(values).sum()} values are infinite")
        events = read_events(spec, scan)
        if is_ignored(spec, events["stimulus"]).all():
            logger.warning("%s: holds no stimulus; it is left out", scan.paths["events"])
            continue
        if spec.content == "betas":
            picked, table = pick_betas(spec, scan, values, events)
        else:
            respond = average_bold if spec.glm() is None else fit_bold
            picked, table = respond(spec, scan, values, events, spec.tr_s or tr)
        responses.append(picked)
        trials.append(table.assign(**{k: v for k, v in scan.where.items() if k != "subject"}))
    if not responses:
        return None
    logger.info("subject %s: %d scans, %d trials", subject, len(scans), sum(map(len, trials)))
    together = np.concatenate(responses)
    observed = ~np.isnan(together).all(axis=0)
    if not observed.all():
        logger.info("subject %s: %d voxels are NaN throughout", subject, (~observed).sum())
    units = units[observed].assign(subject=subject)
    units["unit"] = subject + "/" + units["unit"]
    return together[:, observed], pd.concat(trials, ignore_index=True), units


def _load_arrays(
    spec: FmriRecording, scans: list[Scan]
) -> Iterator[tuple[np.ndarray, float | None, pd.DataFrame]]:
    """Yield the values (volume, voxel) of a subject's arrays, no TR, and the table of units."""
    units = None
    for scan in scans:
        values = load_volumes(spec, scan)
        if units is None:
            units = columns(spec, scan, values.shape[1])
        if values.shape[1] != len(units):
            raise RepbiasError(
                f"{scan.image}: {values.shape[1]} voxels, but {len(units)} in {scans[0].image}"
            )
        yield values, None, units


def _load_images(
    spec: FmriRecording, scans: list[Scan]
) -> Iterator[tuple[np.ndarray, float | None, pd.DataFrame]]:
    """Yield the values (volume, voxel) and TR of a subject's images, and the table of units."""
    first = Grid.of(scans[0].image, open_image(scans[0].image))
    inside, units = voxels(spec, scans, first)
    for scan in scans:
        image = open_image(scan.image)
        require_same_grid(Grid.of(scan.image, image), first)
        yield masked(scan.image, image, inside), header_tr(image), units
