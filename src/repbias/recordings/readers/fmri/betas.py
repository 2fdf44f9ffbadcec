"""Which stimulus, run and session each beta belongs to: by file names, headers, or a table."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from repbias.base.order import natural_key
from repbias.base.spec import RepbiasError
from repbias.io.text_tables import read_table, texts
from repbias.recordings.readers.fmri.events import (
    read_events,
    require_row_per_volume,
    shows_stimulus,
)
from repbias.recordings.readers.fmri.scans import Scan, kind_of
from repbias.recordings.readers.fmri.settings import HEADERS, FmriRecording
from repbias.recordings.readers.fmri.space import Volumes

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

#: What SPM writes into the header of a beta or a contrast: its number, run, and name.
_SPM = re.compile(
    r"(?:.*\bbeta \(\d+\) -|(?:SPM )?[Cc]ontrast(?: -)? ?\d+:) *(?:Sn\((\d+)\) )?(?P<name>.+)"
)
#: A condition, and the number of the basis function that it was convolved with.
_CONVOLVED = re.compile(r"(.+)\*bf\((\d+)\)")
#: Names of parametric modulators, such as `facexrt^1`.
_MODULATOR = re.compile(r".+x.+\^\d+")
#: Names of movement parameters and of the constant.
_NUISANCE = re.compile(r"R\d+|constant")
#: Bytes of a description in a NIfTI header; longer ones are cut off.
_DESCRIPTION_BYTES = 80


class Regressor(NamedTuple):
    """What a header says about a beta.

    Attributes
    ----------
    name : the condition, or the name of another regressor
    run : the run, empty if it is not stated
    is_condition : whether it is the response to a condition
    """

    name: str
    run: str
    is_condition: bool


def parse_spm(path: Path, description: str) -> Regressor | None:
    """Return the regressor that SPM's description of an image names; None if SPM names none.

    Raises
    ------
    RepbiasError
        If the description is cut off.

    Examples
    --------
    >>> parse_spm(Path("beta_0001.nii"), "spm_spm:beta (0001) - Sn(2) face*bf(1)")
    Regressor(name='face', run='2', is_condition=True)
    >>> parse_spm(Path("beta_0002.nii"), "spm_spm:beta (0002) - Sn(1) R1").is_condition
    False
    """
    match = _SPM.fullmatch(description)
    if match is None:
        return None
    name, run = match["name"], match[1] or ""
    if "ontrast" in description[: match.start("name")]:
        return Regressor(name, run, True)
    convolved = _CONVOLVED.fullmatch(name)
    if convolved is None:
        # The end that would tell is missing.
        if len(description.encode("latin-1", "replace")) >= _DESCRIPTION_BYTES - 1:
            raise RepbiasError(
                f"{path}: its description is cut off: {description!r}; name its stimulus in a "
                "table of events with a column 'file'"
            )
        return Regressor(name, run, False)
    name, basis = convolved.groups()
    return Regressor(name, run, basis == "1" and not _MODULATOR.fullmatch(name))


def trials_of_betas(
    spec: FmriRecording, scans: Sequence[Scan], volumes: Sequence[Volumes], of_run: Sequence[Scan]
) -> pd.DataFrame:
    """Return the trial of every volume of a run, in one hemisphere if there are two.

    Parameters
    ----------
    spec
        The entry of ``recordings:``.
    scans, volumes
        The files of the run in this hemisphere.
    of_run
        Those in all hemispheres.

    Returns
    -------
    pandas.DataFrame
        One row per volume: "stimulus", empty where a volume is no response to a stimulus, and
        "left_out", whether that is for `trials_where`, and "session", "run" and "start_time" as far
        as they are known.

    Raises
    ------
    RepbiasError
        If the stimuli are not known, or a regressor would be taken for a stimulus.
    """
    import pandas as pd

    if "stimulus" in scans[0].where:
        names = [
            scan.where["stimulus"]
            for scan, file in zip(scans, volumes, strict=True)
            for _ in range(file.n)
        ]
        trials = pd.DataFrame({"stimulus": names})
    elif spec.events == HEADERS:
        trials = _named_by_headers(volumes)
        trials = trials.drop(columns=[name for name in scans[0].where if name in trials])
    else:
        trials = _listed_in_events(spec, scans, volumes, of_run)
    if "left_out" not in trials:
        trials["left_out"] = False
    trials.loc[~shows_stimulus(spec, trials["stimulus"]), "stimulus"] = ""
    _refuse_nuisance(volumes, trials["stimulus"].tolist())
    return trials


def _named_by_headers(volumes: Sequence[Volumes]) -> pd.DataFrame:
    """Return stimulus and run as the headers name them."""
    import pandas as pd

    found = [
        _regressor(file.path, name) for file in volumes for name in file.names or [""] * file.n
    ]
    others = [regressor.name for regressor in found if not regressor.is_condition]
    if others:
        logger.warning(
            "%s: %d images are no responses to a condition and are left out: %s",
            volumes[0].path.parent,
            len(others),
            ", ".join(dict.fromkeys(others)),
        )
    trials = pd.DataFrame({"stimulus": [r.name if r.is_condition else "" for r in found]})
    runs = [regressor.run for regressor in found]
    return trials.assign(run=runs) if any(runs) else trials


def _regressor(path: Path, name: str) -> Regressor:
    """Return what a header says; maps of surfaces have plain names."""
    if kind_of(path) in ("GIFTI", "CIFTI"):
        found = parse_spm(path, name) or (Regressor(name, "", True) if name else None)
    else:
        found = parse_spm(path, name)
    if found is None:
        raise RepbiasError(
            f"{path}: events: its header names no condition, but {name!r}; expected SPM's, such as "
            "'spm_spm:beta (0001) - Sn(1) face*bf(1)', or a map with a name"
        )
    return found


def _listed_in_events(
    spec: FmriRecording, scans: Sequence[Scan], volumes: Sequence[Volumes], of_run: Sequence[Scan]
) -> pd.DataFrame:
    """Return the rows of the events, in the order of the volumes."""
    events = read_events(spec, scans[0]).drop(columns="duration", errors="ignore")
    events = events.rename(columns={"onset": "start_time"})
    files = _files_of_rows(spec, scans[0], events)
    if files is not None:
        events = events.reindex(_rows_of(scans, files, of_run)).fillna(
            {"stimulus": "", "left_out": False}
        )
    else:
        _refuse_two_orders(scans)
    n = sum(file.n for file in volumes)
    if len(scans) > 1 and n > len(scans):
        raise RepbiasError(
            f"images: {scans[0].image} and {scans[1].image} are the same scan, and have several "
            "volumes; tell them apart by {session} or {run}"
        )
    require_row_per_volume(scans[0], n, events)
    return events


def _files_of_rows(spec: FmriRecording, scan: Scan, events: pd.DataFrame) -> dict[int, str] | None:
    """Return the file that each line of the events names, if there is such a column."""
    path = scan.paths["events"]
    table = read_table(path, spec.header)
    if spec.columns.file not in table:
        if "file" in spec.columns.given():
            raise RepbiasError(f"{path}: no column {spec.columns.file!r}")
        return None
    if spec.images is None:
        return None
    names = texts(path, table.loc[events.index], spec.columns.file).tolist()
    return dict(zip(events.index, names, strict=True))


def _rows_of(scans: Sequence[Scan], files: dict[int, str], of_run: Sequence[Scan]) -> list[int]:
    """Return the line that names each image by the end of its path, -1 for images without one."""
    path = scans[0].paths["events"]
    lines: dict[str, int] = {}
    for line, file in files.items():
        if lines.setdefault(Path(file).as_posix(), line) != line:
            raise RepbiasError(f"{path}: line {line}: names the file {file!r} again")
    found = {}
    for scan in of_run:
        place = f"/{scan.image.as_posix()}"
        matches = [line for name, line in lines.items() if place.endswith(f"/{name}")]
        if len(matches) > 1:
            raise RepbiasError(f"{path}: lines {matches} name the image {scan.image}")
        found[scan.image] = matches[0] if matches else -1
    unknown = [file for line, file in files.items() if line not in found.values()]
    if unknown:
        raise RepbiasError(f"{path}: names the file {unknown[0]!r}, which is not among the images")
    left_out = [scan.image.name for scan in scans if found[scan.image] < 0]
    if left_out:
        logger.warning("%s: images without a row are left out: %s", path, ", ".join(left_out))
    return [found[scan.image] for scan in scans]


def _refuse_two_orders(scans: Sequence[Scan]) -> None:
    """Refuse images whose order, in which rows of a table belong to them, is not clear."""
    names = [scan.image.as_posix() for scan in scans]  # in natural order
    if names != sorted(names):
        first = next(i for i, name in enumerate(sorted(names)) if name != names[i])
        raise RepbiasError(
            f"{scans[0].paths['events']}: whether its row {first + 1} belongs to "
            f"{Path(names[first]).name} or {Path(sorted(names)[first]).name} depends on how names "
            "are sorted; add a column 'file' with the name of each row's image, or put {stimulus} "
            "into 'images'"
        )


def _refuse_nuisance(volumes: Sequence[Volumes], stimuli: list[str]) -> None:
    """Refuse movement parameters and constants of SPM that are called stimuli."""
    names = [(file.path, name) for file in volumes for name in file.names or [""] * file.n]
    for (path, name), stimulus in zip(names, stimuli, strict=True):
        regressor = parse_spm(path, name) if stimulus and name else None
        if regressor and not regressor.is_condition and _NUISANCE.fullmatch(regressor.name):
            raise RepbiasError(
                f"{path}: called the stimulus {stimulus!r}, but its header says {name!r}; add "
                f"{stimulus!r} to 'ignore' if it is no response to a stimulus"
            )


def sort_naturally(scans: Sequence[Scan]) -> list[Scan]:
    """Sort images by their names, so that the numbers in them ascend."""
    return sorted(scans, key=lambda scan: natural_key(scan.image.as_posix()))


def unobserved(values: np.ndarray) -> np.ndarray:
    """Return which voxels are NaN or exactly 0 in all volumes: they were not estimated.

    Parameters
    ----------
    values
        (volume, voxel).

    Examples
    --------
    >>> unobserved(np.array([[0.0, 1.0, 0.0], [np.nan, 0.0, 0.0]])).tolist()
    [True, False, True]
    """
    observed = np.zeros(values.shape[1], bool)
    for volume in values:  # one by one: no copy of all values
        observed |= (volume != 0) & ~np.isnan(volume)
    return ~observed


def blank_unobserved(values: np.ndarray) -> None:
    """Set voxels to NaN that are 0 in all of several volumes; one 0 alone may be a response.

    Parameters
    ----------
    values
        (volume, voxel) of one run; it is changed.
    """
    if len(values) > 1:
        values[:, unobserved(values)] = np.nan
