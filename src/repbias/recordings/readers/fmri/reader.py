"""Responses of voxels: one estimate per trial, or the BOLD signal during each block or event."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from repbias.base.spec import RepbiasError, expand_variables
from repbias.io.blocks import Blocks
from repbias.io.recordings import Recording
from repbias.io.text_tables import typed
from repbias.io.untrusted import refuse_size
from repbias.recordings.readers.common import RawResponses, canonical
from repbias.recordings.readers.files import trials_left_out
from repbias.recordings.readers.fmri.arrays import ArraySpace
from repbias.recordings.readers.fmri.betas import (
    blank_unobserved,
    sort_naturally,
    trials_of_betas,
    unobserved,
)
from repbias.recordings.readers.fmri.bold import average_bold
from repbias.recordings.readers.fmri.cifti import GrayordinateSpace
from repbias.recordings.readers.fmri.confounds import say_confounds
from repbias.recordings.readers.fmri.events import read_events, shows_stimulus
from repbias.recordings.readers.fmri.gifti import SurfaceSpace
from repbias.recordings.readers.fmri.glm import describe_fit, fit_bold
from repbias.recordings.readers.fmri.images import VoxelSpace
from repbias.recordings.readers.fmri.runs import stated_tr
from repbias.recordings.readers.fmri.scans import PLACEHOLDERS, Scan
from repbias.recordings.readers.fmri.settings import FmriRecording
from repbias.recordings.readers.fmri.space import Space, Volumes
from repbias.recordings.readers.templates import fill, warn_of_others

if TYPE_CHECKING:
    import pandas as pd

    #: Responses (trial, unit) of a subject, the table of trials, and how many others
    #: `trials_where` leaves out.
    Responses = tuple[np.ndarray, pd.DataFrame, int]
    #: Responses (trial, unit) of a subject, the table of trials and that of units, and how many
    #: trials `trials_where` leaves out.
    Part = tuple[np.ndarray, pd.DataFrame, pd.DataFrame, int]

logger = logging.getLogger(__name__)

#: How each kind of file is read.
SPACES: dict[str, Callable[[FmriRecording, Scan], Space]] = {
    "NIfTI": VoxelSpace,
    "GIFTI": SurfaceSpace,
    "CIFTI": GrayordinateSpace,
    "array": ArraySpace,
}
#: Columns of units that are whole numbers.
PLACES = ("x", "y", "z", "vertex")
#: More than this share of the voxels in a mask without a beta is reported.
FEW_UNOBSERVED = 0.1


def read(spec: FmriRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read one response of every voxel to each trial, block or event.

    Voxels that are NaN in all trials, or exactly 0 in all volumes, as many programs write outside
    the brain, are left out. Other constant voxels are kept.

    Raises
    ------
    RepbiasError
        If a file cannot be read, its grid differs from that of the others, or the events do not
        fit.
    """
    import pandas as pd

    if spec.images is not None:
        warn_of_others("images", spec.path, expand_variables(spec.images), PLACEHOLDERS)
    subjects: dict[str, list[Scan]] = {}
    scans = spec.scans()
    glm = spec.glm()
    # Before anything is fitted, as columns that no run has are refused.
    confounds = say_confounds(glm.confounds if glm else None, scans)
    for scan in scans:
        subjects.setdefault(scan.where.get("subject", spec.subject), []).append(scan)
    _warn_of_one_hemisphere(subjects)
    read_all = (_read_subject(spec, name, of_subject) for name, of_subject in subjects.items())
    parts = [part for part in read_all if part is not None]
    if not parts:
        where = f" where {spec.trials_where}" if spec.trials_where else ""
        raise RepbiasError(
            f"{scans[0].paths['events']}: holds no stimulus{where}, nor do the others"
        )
    trials = pd.concat([trials for _, trials, _, _ in parts], ignore_index=True)
    units = pd.concat([units for _, _, units, _ in parts], ignore_index=True)
    raw = RawResponses(
        stimulus=trials["stimulus"].to_numpy(dtype=str),
        responses=Blocks.diagonal([values for values, *_ in parts]),
        trials={
            name: column.to_numpy(float) if name == "start_time" else typed(column)
            for name, column in trials.drop(columns="stimulus").items()
        },
        units={n: c.to_numpy(int if n in PLACES else str) for n, c in units.items()},
        info={
            "content": spec.content,
            **_processing(spec, confounds, parts),
            **trials_left_out(spec, sum(n for *_, n in parts)),
        },
    )
    return canonical(spec, stimulus_ids, raw)


def _processing(spec: FmriRecording, confounds: str, parts: list[Part]) -> dict[str, Any]:
    """Say how responses came from the images."""
    if spec.content == "betas":
        return {}
    if (glm := spec.glm()) is not None:
        fit = describe_fit(glm, confounds, [trials for _, trials, _, _ in parts])
        unit = {"response_unit": spec.response_unit} if spec.response_unit else {}
        return {"skip_volumes": spec.skip_volumes, **fit, **unit}
    return {
        **{key: getattr(spec, key) for key in ("delay_s", "detrend", "zscore_runs")},
        "skip_volumes": spec.skip_volumes,
        "confounds": confounds,
    }


@dataclass(frozen=True)
class Run:
    """The files of one run of a subject.

    Attributes
    ----------
    scans : by hemisphere (empty without one), its files in natural order
    """

    scans: dict[str, list[Scan]]

    @property
    def first(self) -> Scan:
        """The first file, whose events are those of the run."""
        return next(iter(self.scans.values()))[0]

    @property
    def where(self) -> dict[str, str]:
        """Session and run, as far as names tell them."""
        return {
            name: self.first.where[name] for name in ("session", "run") if name in self.first.where
        }


def _warn_of_one_hemisphere(subjects: Mapping[str, list[Scan]]) -> None:
    """Warn of subjects without any file of a hemisphere of which others have files."""
    sides = {
        name: {scan.where.get("hemi", "") for scan in scans} for name, scans in subjects.items()
    }
    for name, of_subject in sides.items():
        for hemi in sorted(set().union(*sides.values()) - of_subject):
            logger.warning("subject %s: has no file of hemisphere %s, as others have", name, hemi)


def _read_subject(spec: FmriRecording, subject: str, scans: list[Scan]) -> Part | None:
    """Return the responses of a subject, unless no run has a stimulus."""
    runs = _runs(scans)
    spaces: dict[str, Space] = {}
    for run in runs:
        for hemi, files in run.scans.items():
            if hemi not in spaces:
                spaces[hemi] = SPACES[files[0].kind](spec, files[0])
    _refuse_incomplete(spec, runs, list(spaces))
    read_runs = _read_betas if spec.content == "betas" else _read_bold
    found = read_runs(spec, spaces, runs)
    if found is None:
        return None
    responses, trials, n_left_out = found
    logger.info("subject %s: %d files, %d trials", subject, len(scans), len(trials))
    units = _units(subject, spaces)
    is_betas = spec.content == "betas"
    absent = unobserved(responses) if is_betas else np.isnan(responses).all(axis=0)
    missing = np.asarray(absent)
    if missing.any() and not missing.all():
        is_selected = spec.mask is not None or spec.regions is not None
        is_many = missing.mean() > FEW_UNOBSERVED
        report = logger.warning if is_selected and is_many else logger.info
        report(
            "subject %s: %d of %d voxels are NaN or 0 throughout and are left out",
            subject,
            missing.sum(),
            len(missing),
        )
        responses, units = responses[:, ~missing], units[~missing]
    return responses, trials, units, n_left_out


def _runs(scans: list[Scan]) -> list[Run]:
    """Group the files of a subject by session and run, and within a run by hemisphere."""
    found: dict[tuple[str, ...], dict[str, list[Scan]]] = {}
    for scan in sort_naturally(scans):
        key = tuple(scan.where.get(name, "") for name in ("session", "run"))
        found.setdefault(key, {}).setdefault(scan.where.get("hemi", ""), []).append(scan)
    return [Run(files) for files in found.values()]


def _refuse_incomplete(spec: FmriRecording, runs: list[Run], hemispheres: list[str]) -> None:
    """Refuse a run whose hemispheres have different files."""
    for run in runs:
        files = {hemi: run.scans.get(hemi, []) for hemi in hemispheres}
        first, *others = files
        names = {hemi: [_told_by(spec, scan) for scan in files[hemi]] for hemi in files}
        for hemi in others:
            if len(files[hemi]) != len(files[first]):
                _refuse_missing(spec, files, names)
            # A name that tells no stimulus matters only as the place of a file among others.
            is_placed = "stimulus" in run.first.where or len(files[first]) > 1
            for i, (a, b) in enumerate(zip(files[first], files[hemi], strict=True)):
                if is_placed and names[first][i] != names[hemi][i]:
                    raise RepbiasError(
                        f"{b.image}: file {i + 1} of its run, as {a.image} is in the other "
                        f"hemisphere, but {names[hemi][i]!r} is not {names[first][i]!r}; the "
                        "hemispheres of a run need files of the same names but for {hemi}"
                    )


def _refuse_missing(
    spec: FmriRecording, files: dict[str, list[Scan]], names: dict[str, list[str]]
) -> NoReturn:
    """Name the file of a hemisphere that is missing from a run."""
    less, *_, more = sorted(files, key=lambda hemi: len(files[hemi]))
    alone = [
        scan for scan, name in zip(files[more], names[more], strict=True) if name not in names[less]
    ]
    there = (alone or files[more][len(files[less]) :])[0]
    missing = fill("images", expand_variables(str(spec.images)), there.where | {"hemi": less})
    raise RepbiasError(
        f"{spec.path / missing}: there is no such file, though there is {there.image}: hemisphere "
        f"{less} has {len(files[less])} files of this run, {more} {len(files[more])}"
    )


def _told_by(spec: FmriRecording, scan: Scan) -> str:
    """Return the stimulus that the name of an image tells, or what `*` in its template matches."""
    if "stimulus" in scan.where or spec.images is None:
        return scan.where.get("stimulus", "")
    filled = fill("images", expand_variables(spec.images), scan.where)
    pattern = "([^/]*)".join(map(re.escape, filled.split("*")))
    matched = re.fullmatch(pattern, scan.image.relative_to(spec.path).as_posix())
    return " ".join(matched.groups()) if matched else ""


def _units(subject: str, spaces: dict[str, Space]) -> pd.DataFrame:
    import pandas as pd

    tables = []
    for hemi, space in spaces.items():
        prefix = f"{subject}/{hemi}/" if hemi else f"{subject}/"
        table = space.units.assign(unit=prefix + space.units["unit"], subject=subject)
        tables.append(table.assign(hemi=hemi) if hemi else table)
    return pd.concat(tables, ignore_index=True)


def _read_betas(spec: FmriRecording, spaces: dict[str, Space], runs: list[Run]) -> Responses | None:
    """Return one response per trial, read straight into the array that is returned.

    None if `trials_where` leaves all out.
    """
    import pandas as pd

    opened, tables, n_left_out = [], [], 0
    for run in runs:
        volumes = {h: [spaces[h].open(s.image) for s in run.scans[h]] for h in spaces}
        _refuse_unequal(volumes)
        of_run = [scan for scans in run.scans.values() for scan in scans]
        trials_of = {h: trials_of_betas(spec, run.scans[h], volumes[h], of_run) for h in spaces}
        *_, n = (int(trials.pop("left_out").sum()) for trials in trials_of.values())
        n_left_out += n
        _refuse_other_trials(volumes, trials_of)
        tables.append(trials_of[next(iter(spaces))].assign(**run.where))
        opened.append(volumes)
    trials = pd.concat(tables, ignore_index=True)
    used = (trials["stimulus"] != "").to_numpy()
    if n_left_out and not used.any():
        return None
    if not used.any():
        raise RepbiasError(f"{spec.path}: no image is the response to a stimulus")
    shape = len(trials), sum(len(space.units) for space in spaces.values())
    refuse_size(spec.path, "the responses", shape, 8)
    responses = np.empty(shape)
    row = 0
    for volumes in opened:
        column = 0
        for hemi, space in spaces.items():
            n_units = len(space.units)
            _read_files(volumes[hemi], responses[row:, column : column + n_units])
            column += n_units
        row += sum(file.n for file in volumes[hemi])
    if spec.scale is not None:
        responses /= spec.scale
    if not used.all():
        responses, trials = responses[used], trials[used]
    return responses, trials, n_left_out


def _read_files(files: list[Volumes], out: np.ndarray) -> None:
    """Read files into the rows of an array; voxels that are 0 in a whole run are NaN in it."""
    row = 0
    for file in files:
        values = out[row : row + file.n]
        file.read_into(values)
        n_infinite = sum(int(np.isinf(volume).sum()) for volume in values)
        if n_infinite:
            raise RepbiasError(f"{file.path}: {n_infinite} values are infinite")
        row += file.n
    blank_unobserved(out[:row])


def _refuse_unequal(volumes: dict[str, list[Volumes]]) -> None:
    """Refuse files of two hemispheres with different numbers of volumes."""
    first, *others = volumes.values()
    for files in others:
        for a, b in zip(first, files, strict=True):
            if a.n != b.n:
                raise RepbiasError(f"{b.path}: {b.n} volumes, but {a.n} in {a.path}")


def _refuse_other_trials(
    volumes: dict[str, list[Volumes]], trials: dict[str, pd.DataFrame]
) -> None:
    """Refuse hemispheres whose volumes are responses in other trials."""
    first, *others = trials
    paths = {hemi: [file.path for file in volumes[hemi] for _ in range(file.n)] for hemi in trials}
    rows = {hemi: table.astype(str).to_dict("records") for hemi, table in trials.items()}
    for hemi in others:
        for i, (a, b) in enumerate(zip(rows[first], rows[hemi], strict=True)):
            if a != b:
                raise RepbiasError(
                    f"{paths[hemi][i]}: volume {i + 1} of its run is of {_say(b)}, but of "
                    f"{_say(a)} in {paths[first][i]}; the hemispheres of a run need the same "
                    "trials in the same order"
                )


def _say(trial: dict[str, str]) -> str:
    others = [f"{name} {value}" for name, value in trial.items() if name != "stimulus"]
    return ", ".join([repr(trial["stimulus"]) if trial["stimulus"] else "no stimulus", *others])


def _read_bold(spec: FmriRecording, spaces: dict[str, Space], runs: list[Run]) -> Responses | None:
    """Return the response to each block or event; None if there are none."""
    import pandas as pd

    respond = average_bold if spec.glm() is None else fit_bold
    responses, tables, n_left_out = [], [], 0
    for run in runs:
        events = read_events(spec, run.first)
        n = int(events.pop("left_out").sum())
        n_left_out += n
        if not shows_stimulus(spec, events["stimulus"]).any():
            if not n:  # or trials_where was said to select none
                logger.warning("%s: holds no stimulus; it is left out", run.first.paths["events"])
            continue
        files = {hemi: [spaces[hemi].open(run.scans[hemi][0].image)] for hemi in spaces}
        _refuse_unequal(files)
        first = files[next(iter(spaces))][0]
        values = np.empty((first.n, sum(len(space.units) for space in spaces.values())))
        column = 0
        for hemi, space in spaces.items():
            files[hemi][0].read_into(values[:, column : column + len(space.units)])
            column += len(space.units)
        if np.isinf(values).any():
            raise RepbiasError(f"{first.path}: {np.isinf(values).sum()} values are infinite")
        tr = spec.tr_s or first.tr or stated_tr(run.first)
        picked, table = respond(spec, run.first, values, events, tr)
        responses.append(picked)
        tables.append(table.assign(**run.where))
    if not tables:
        return None
    return np.concatenate(responses), pd.concat(tables, ignore_index=True), n_left_out
