"""Responses of voxels: one estimate per trial, or the BOLD signal during each block or event."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from repbias.base.order import natural_key
from repbias.base.spec import InputPath, RepbiasError, Spec, expand_variables
from repbias.io.arrays import ARRAY_SUFFIXES, load_array
from repbias.io.blocks import Blocks
from repbias.io.recordings import Recording
from repbias.io.text_tables import (
    SEPARATORS,
    find_column,
    is_missing,
    numbers,
    read_table,
    texts,
    typed,
)
from repbias.io.untrusted import readable, refuse_size
from repbias.recordings.readers.common import RawResponses, ResponseRecording, canonical, read_lines
from repbias.recordings.readers.files import import_optional

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".nii", ".nii.gz")
#: Placeholders of a template, and columns of events, that identify a scan.
SCAN = ("subject", "session", "run")
#: Columns of events that may hold the stimulus; the first one that exists is used.
STIMULUS_COLUMNS = ("stimulus", "trial_type")
#: The units of time in NIfTI headers, in seconds.
TIME_UNITS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
#: Plausible seconds between two volumes; beyond, the header has the wrong unit.
SHORTEST_TR, LONGEST_TR = 0.01, 60.0
#: Affines that differ by less than this, in mm, describe the same grid.
AFFINE_TOLERANCE = 1e-3
#: Variation below this share of a signal's size is rounding.
ROUNDING = 1e-10
#: Settings that apply to the BOLD signal only.
_ONLY_BOLD = ("delay_s", "duration_s", "detrend", "zscore_runs", "tr_s", "run_volumes")


class EventColumns(Spec):
    """Names of the columns of the events."""

    stimulus: str | None = None
    """Stimulus; by default `stimulus` or `trial_type`."""
    run: str = "run"
    """Run; may be absent."""
    session: str = "session"
    """Session; may be absent."""
    onset: str = "onset"
    """Onset of the block or event, in seconds from the start of its run; absent if there is a row
    for every volume."""
    duration: str = "duration"
    """Duration of the block or event in seconds."""


class FmriRecording(ResponseRecording):
    """Functional MRI: 4-D NIfTI images, or arrays of volumes and voxels, with a table of events.

    `content: betas` takes one volume per trial, such as the estimates of a general linear model
    (GLM); prefer it where you have them.

    `content: bold` takes the preprocessed signal. The response to a block or event is the mean of
    the volumes from its onset to its end, both shifted by `delay_s`. This is not a GLM: no
    haemodynamic response is fitted, and responses that overlap in time are mixed. Use it for blocks
    and slow events. Instead of onsets, the events may give the label of every volume; consecutive
    volumes with the same label in the same run are then a block.

    Several images are found by a template: `path` is a folder, and `images`, `events`, `mask` and
    `regions` are relative to it. The placeholders `{subject}`, `{session}` and `{run}` match any
    text without `/` and `_`, and `*` matches anything, as in
    `sub-{subject}/func/*_run-{run}_bold.nii.gz`.
    """

    kind: Literal["fmri"]
    """Functional MRI; NIfTI needs `pip install 'repbias[nifti]'`."""
    path: InputPath
    """The image (`.nii`, `.nii.gz`) or array; or the folder that holds the `images`."""
    content: Literal["betas", "bold"]
    """Whether a volume is the estimate of a trial (`betas`) or the signal at one time (`bold`)."""
    images: str | None = None
    """Template of the images or arrays, if `path` is a folder."""
    events: str
    """Table (`.csv`, `.tsv`, `.txt`) with one row per volume, or with onsets; or its template, with
    any of the placeholders of `images`."""
    columns: EventColumns = EventColumns()
    """Names of the columns of the events, where they differ from the defaults."""
    header: list[str] | None = None
    """Names of all columns of the events, if the file has no header."""
    ignore: list[str] = []
    """Labels that are not stimuli, such as `rest`."""
    variable: str | None = None
    """Name of the array in the file; dots step into MATLAB structures."""
    axes: list[Literal["trial", "unit"]] = Field(["trial", "unit"], min_length=2, max_length=2)
    """Order of an array's axes; `trial` is that of the volumes."""
    mask: str | None = None
    """Image that is not 0 in the voxels to read; all by default."""
    regions: str | None = None
    """Label image, the brain region of every voxel as an integer; without `mask`, voxels of label 0
    are left out. For arrays, a text file with one line per voxel, its region."""
    region_names: InputPath | None = None
    """Table of the names of `regions`: columns `index` and `name`, or two columns without a
    header."""
    region: str = ""
    """Brain region, where `regions` does not give it."""
    subject: str = Field("subject1", min_length=1)
    """Name of the subject, if the template has no `{subject}`."""
    tr_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds between two volumes (TR); by default as in the header."""
    delay_s: Annotated[float, Field(ge=0)] = 5.0
    """Delay of the response after the stimulus in seconds."""
    duration_s: Annotated[float, Field(gt=0)] | None = None
    """Duration of the response in seconds; by default that of the event."""
    detrend: bool = True
    """Subtract a straight line from every voxel in every run."""
    zscore_runs: bool = True
    """Subtract every voxel's mean over the run and divide by its standard deviation."""
    run_volumes: list[Annotated[int, Field(ge=1)]] | None = None
    """Number of volumes of each run, if events with onsets belong to several runs in one file; in
    the order of the runs' sorted names, or of the events where run 10 could be the second."""
    modality: str = "fMRI"
    """What was measured."""

    def scans(self) -> list[Scan]:
        """Return the images, each with the files that belong to it.

        Raises
        ------
        ValueError
            If the template matches nothing, or a file is missing.
        """
        templates = {
            name: expand_variables(value)
            for name in ("events", "mask", "regions")
            if (value := getattr(self, name)) is not None
        }
        scans = []
        if self.images is None:
            scans = [Scan(self.path, {name: Path(value) for name, value in templates.items()}, {})]
        else:
            for image, where in _matches(self.path, expand_variables(self.images)):
                paths = {n: self.path / _fill(n, t, where) for n, t in templates.items()}
                scans.append(Scan(image, paths, where))
        for scan in scans:
            for name, path in scan.paths.items():
                if not path.is_file():
                    raise ValueError(f"{name}: there is no file {path}")
        return scans

    def input_files(self) -> list[str]:
        """Return all files that the recording is read from; changing one reruns what uses it."""
        files = {str(path) for scan in self.scans() for path in (scan.image, *scan.paths.values())}
        files |= {str(path) for path in (self.rename, self.region_names) if path}
        return sorted(files)

    @model_validator(mode="after")
    def _path_fits(self) -> FmriRecording:
        if self.path.is_dir() and self.images is None:
            raise ValueError(f"path: {self.path} is a folder; set 'images' to a template for it")
        if not self.path.is_dir() and self.images is not None:
            raise ValueError(f"images: needs a folder, but path is {self.path}")
        return self

    @model_validator(mode="after")
    def _settings_fit_the_files(self) -> FmriRecording:
        if sorted(self.axes) != ["trial", "unit"]:
            raise ValueError(f"axes: name 'trial' and 'unit' once; found {self.axes}")
        scans = self.scans()
        suffixes = (*IMAGE_SUFFIXES, *ARRAY_SUFFIXES)
        for scan in scans:
            if not scan.image.name.lower().endswith(suffixes):
                raise ValueError(f"{scan.image}: expected one of {', '.join(suffixes)}")
        if len({scan.is_array for scan in scans}) > 1:
            raise ValueError("images: some are NIfTI, some arrays")
        inapplicable = ("mask", "region_names") if scans[0].is_array else ("variable", "axes")
        what = "arrays" if scans[0].is_array else "NIfTI images"
        if self.content == "betas":
            inapplicable, what = (*inapplicable, *_ONLY_BOLD), f"betas in {what}"
        found = [name for name in inapplicable if name in self.given()]
        if found:
            raise ValueError(f"{', '.join(found)}: not for {what}")
        if self.region_names and not self.regions:
            raise ValueError("region_names: needs regions")
        if self.window:
            raise ValueError("window is for time bins; these responses have none")
        return self


@dataclass(frozen=True)
class Scan:
    """One image or array.

    Attributes
    ----------
    image : its file
    paths : the files of its "events", "mask" and "regions", as far as they exist
    where : values of the template's placeholders: "subject", "session", "run"
    """

    image: Path
    paths: dict[str, Path]
    where: dict[str, str]

    @property
    def is_array(self) -> bool:
        """Whether it is an array of volumes and voxels, not a NIfTI image."""
        return not self.image.name.lower().endswith(IMAGE_SUFFIXES)


def _matches(folder: Path, template: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield the files that match a template, and the values of its placeholders."""
    parts = re.split(r"(\{\w*\}|\*)", template)
    pattern, seen = "", set()
    for part in parts:
        name = part.strip("{}")
        if part == "*":
            pattern += "[^/]*"
        elif not part.startswith("{"):
            pattern += re.escape(part)
        elif name not in SCAN:
            expected = ", ".join(f"{{{known}}}" for known in SCAN)
            raise ValueError(f"images: unknown placeholder {part}; expected {expected}")
        else:
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>[^/_]+)"
            seen.add(name)
    found: dict[tuple[str, ...], Path] = {}
    for path in sorted(folder.glob(re.sub(r"\{\w*\}", "*", template))):
        match = re.fullmatch(pattern, path.relative_to(folder).as_posix())
        if match and path.is_file():
            key = tuple(match.groupdict().values())
            if key in found:
                raise ValueError(f"images: {found[key]} and {path} are the same scan")
            found[key] = path
            yield path, match.groupdict()
    if not found:
        raise ValueError(f"images: no file in {folder} matches {template!r}")


def _fill(name: str, template: str, where: Mapping[str, str]) -> str:
    """Replace the placeholders of another template by their values for an image."""

    def value(match: re.Match[str]) -> str:
        part = match.group(1)
        if part not in where or (name != "events" and part != "subject"):
            reason = "is not in 'images'"
            if part in where:  # voxels are the same in all sessions and runs of a subject
                reason = "is not allowed; only {subject} is"
            raise ValueError(f"{name}: {{{part}}} {reason}")
        return where[part]

    return re.sub(r"\{(\w*)\}", value, template)


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
    for scan in spec.scans():
        subjects.setdefault(scan.where.get("subject", spec.subject), []).append(scan)
    parts = [_read_subject(spec, name, scans) for name, scans in subjects.items()]
    trials = pd.concat([trials for _, trials, _ in parts], ignore_index=True)
    units = pd.concat([units for _, _, units in parts], ignore_index=True)
    processing = {key: getattr(spec, key) for key in ("delay_s", "detrend", "zscore_runs")}
    raw = RawResponses(
        stimulus=trials["stimulus"].to_numpy(dtype=str),
        responses=Blocks.diagonal([values for values, _, _ in parts]),
        trials={
            name: column.to_numpy(float) if name == "start_time" else typed(column)
            for name, column in trials.drop(columns="stimulus").items()
        },
        units={n: c.to_numpy(int if n in ("x", "y", "z") else str) for n, c in units.items()},
        info={"content": spec.content} | (processing if spec.content == "bold" else {}),
    )
    return canonical(spec, stimulus_ids, raw)


def _read_subject(
    spec: FmriRecording, subject: str, scans: list[Scan]
) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Return responses (trial, unit), the table of trials and that of units."""
    import pandas as pd

    load = _load_arrays if scans[0].is_array else _load_images
    responses, trials = [], []
    for scan, loaded in zip(scans, load(spec, scans), strict=True):
        values, tr, units = loaded
        if np.isinf(values).any():
            raise RepbiasError(f"{scan.image}: {np.isinf(values).sum()} values are infinite")
        events = _events(spec, scan)
        if spec.content == "betas":
            picked, table = _betas(spec, scan, values, events)
        else:
            picked, table = _bold(spec, scan, values, events, spec.tr_s or tr)
        responses.append(picked)
        trials.append(table.assign(**{k: v for k, v in scan.where.items() if k != "subject"}))
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
        values = _load_volumes(spec, scan)
        if units is None:
            units = _columns(spec, scan, values.shape[1])
        if values.shape[1] != len(units):
            raise RepbiasError(
                f"{scan.image}: {values.shape[1]} voxels, but {len(units)} in {scans[0].image}"
            )
        yield values, None, units


def _load_images(
    spec: FmriRecording, scans: list[Scan]
) -> Iterator[tuple[np.ndarray, float | None, pd.DataFrame]]:
    """Yield the values (volume, voxel) and TR of a subject's images, and the table of units."""
    first = Grid.of(scans[0].image, _open_image(scans[0].image))
    inside, units = _voxels(spec, scans[0], first)
    for scan in scans:
        image = _open_image(scan.image)
        _same_grid(Grid.of(scan.image, image), first)
        yield _masked(scan.image, image, inside), _header_tr(image), units


# Volumes and voxels.


class Grid(NamedTuple):
    """The voxel grid of an image, in space."""

    path: Path
    shape: tuple[int, ...]
    affine: np.ndarray

    @classmethod
    def of(cls, path: Path, image: Any) -> Grid:
        """Return the grid of an opened image."""
        return cls(path, image.shape[:3], image.affine)


def _open_image(path: Path, n_axes: int = 4) -> Any:
    image = open_nifti(path)
    with readable(path, "NIfTI"):
        extra = [n for n in image.shape[n_axes:] if n != 1]
        if len(image.shape) < n_axes or extra:
            raise RepbiasError(f"{path}: expected {n_axes} axes, found shape {image.shape}")
    return image


def open_nifti(path: Path) -> Any:
    """Open an image that fits into memory, whose data are read lazily.

    Raises
    ------
    RepbiasError
        If nibabel is missing, or the header is damaged or declares too large an image.
    """
    nibabel = import_optional("nibabel", "NIfTI", "nifti")
    with readable(path, "NIfTI"):
        image = nibabel.load(path)
        if not isinstance(image, nibabel.spatialimages.SpatialImage):
            raise RepbiasError(f"{path}: not a volumetric image, but {type(image).__name__}")
        if min(image.shape, default=0) < 1:
            raise RepbiasError(f"{path}: not an image, its shape is {image.shape}")
        # In a compressed image, everything before the data is read too.
        offset = image.dataobj.offset if hasattr(image.dataobj, "offset") else 0
        if offset < 0:
            raise RepbiasError(f"{path}: its data begin at byte {offset}")
        refuse_size(path, "the content before the data", (offset,))
        refuse_size(path, "the image", image.shape, image.get_data_dtype().itemsize)
    return image


def _masked(path: Path, image: Any, inside: np.ndarray) -> np.ndarray:
    """Return the values (volume, voxel) inside a mask, voxels in the order of their indices."""
    with readable(path, "NIfTI"):
        data = np.asarray(image.dataobj)
    if data.dtype.kind not in "fiu":
        raise RepbiasError(f"{path}: expected numbers, found {data.dtype}")
    return data.reshape(image.shape[:4])[inside].T.astype(np.float64)


def _header_tr(image: Any) -> float | None:
    unit = TIME_UNITS.get(image.header.get_xyzt_units()[1])
    # Headers store single precision.
    tr = round(float(image.header.get_zooms()[3]) * unit, 6) if unit else None
    return tr if tr and SHORTEST_TR <= tr <= LONGEST_TR else None


def _load_volumes(spec: FmriRecording, scan: Scan) -> np.ndarray:
    values = load_array(scan.image, spec.variable)
    if values.dtype.kind not in "fiub" or values.ndim != 2 or not values.size:
        raise RepbiasError(
            f"{scan.image}: expected numbers (trial, unit), found {values.dtype} of shape "
            f"{values.shape}"
        )
    return (values if spec.axes[0] == "trial" else values.T).astype(np.float64)


def _columns(spec: FmriRecording, scan: Scan, n_units: int) -> pd.DataFrame:
    """Return the units of an array."""
    import pandas as pd

    regions = [spec.region] * n_units
    if "regions" in scan.paths:
        regions = read_lines(scan.paths["regions"])
        if len(regions) != n_units:
            raise RepbiasError(
                f"{scan.paths['regions']}: {len(regions)} regions for {n_units} voxels"
            )
        regions = np.where(is_missing(regions), spec.region, regions).tolist()
    width = len(str(n_units))
    names = [f"{i + 1:0{width}d}" for i in range(n_units)]
    return pd.DataFrame({"unit": names, "region": regions})


def _voxels(spec: FmriRecording, scan: Scan, grid: Grid) -> tuple[np.ndarray, pd.DataFrame]:
    """Return which voxels are read, (x, y, z) bool, and the table of their units."""
    import pandas as pd

    def on_grid(path: Path) -> np.ndarray:
        image = _open_image(path, 3)
        _same_grid(Grid.of(path, image), grid)
        with readable(path, "NIfTI"):
            return np.nan_to_num(np.asarray(image.dataobj).reshape(grid.shape))

    inside = np.ones(grid.shape, bool)
    if "regions" in scan.paths:
        labels = on_grid(scan.paths["regions"])
        if (labels != np.round(labels)).any():
            raise RepbiasError(f"{scan.paths['regions']}: labels must be integers")
        inside = labels != 0
    if "mask" in scan.paths:
        inside = on_grid(scan.paths["mask"]) != 0
    if not inside.any():
        raise RepbiasError(f"{scan.paths.get('mask', scan.paths.get('regions'))}: holds no voxel")
    indices = np.argwhere(inside)
    widths = [len(str(n - 1)) for n in grid.shape]
    units = pd.DataFrame(indices, columns=["x", "y", "z"])
    units["unit"] = [
        "-".join(f"{i:0{width}d}" for i, width in zip(voxel, widths, strict=True))
        for voxel in indices.tolist()
    ]
    units["region"] = spec.region
    if "regions" in scan.paths:
        units["region"] = _region_names(spec, scan.paths["regions"], labels[inside].astype(int))
    return inside, units


def _same_grid(grid: Grid, expected: Grid) -> None:
    if grid.shape != expected.shape:
        raise RepbiasError(
            f"{grid.path}: {grid.shape} voxels, but {expected.shape} in {expected.path}"
        )
    if not np.allclose(grid.affine, expected.affine, rtol=0, atol=AFFINE_TOLERANCE):
        raise RepbiasError(
            f"{grid.path}: its affine {grid.affine[:3].tolist()} is not that of {expected.path}, "
            f"{expected.affine[:3].tolist()}; resample one image to the grid of the other"
        )


def _region_names(spec: FmriRecording, path: Path, labels: np.ndarray) -> np.ndarray:
    known = {}
    if spec.region_names:
        known = _read_names(spec.region_names)
        unknown = sorted(set(labels.tolist()) - known.keys() - {0})
        if unknown:
            raise RepbiasError(f"{spec.region_names}: no name for the labels {unknown} of {path}")
    unique, inverse = np.unique(labels, return_inverse=True)
    named = [known.get(i, str(i)) if i else spec.region for i in unique.tolist()]
    return np.array(named, dtype=str)[inverse]


def _read_names(path: Path) -> dict[int, str]:
    import pandas as pd

    lines = read_lines(path)
    suffix = path.suffix.lower()
    if suffix not in SEPARATORS:
        raise RepbiasError(f"{path}: unknown kind of table; expected {', '.join(SEPARATORS)}")
    has_header = not re.match(r'"?\d', lines[0]) if lines else True
    if suffix == ".txt" and not has_header:  # names may hold spaces
        cells = [(*line.split(maxsplit=1), "")[:2] for line in lines]
        table = pd.DataFrame(cells, index=range(1, len(lines) + 1), columns=["index", "name"])
    else:
        table = read_table(path, None if has_header else ["index", "name"])
    index, name = (find_column(path, table, column) for column in ("index", "name"))
    named = texts(path, table, name).tolist()
    texts(path, table, index)
    labels = numbers(path, table, index).astype(int)
    duplicates = pd.Series(labels)[pd.Series(labels).duplicated()]
    if len(duplicates):
        raise RepbiasError(f"{path}: the label {duplicates.iloc[0]} occurs twice")
    return dict(zip(labels.tolist(), named, strict=True))


# Trials, blocks and events.


def _events(spec: FmriRecording, scan: Scan) -> pd.DataFrame:
    """Return the events: a column "stimulus", and run, session, onset and duration if present."""
    import pandas as pd

    path = scan.paths["events"]
    table = read_table(path, spec.header)
    candidates = [name for name in STIMULUS_COLUMNS if name in table] or STIMULUS_COLUMNS
    stimulus = find_column(path, table, spec.columns.stimulus or candidates[0])
    events = pd.DataFrame({"stimulus": texts(path, table, stimulus)}, index=table.index)
    for name in ("session", "run", "onset", "duration"):
        called = getattr(spec.columns, name)
        if name in spec.columns.given():
            find_column(path, table, called)
        if called in table and name not in scan.where:
            read = texts if name in SCAN else numbers
            events[name] = read(path, table, called)
    return events


def _betas(
    spec: FmriRecording, scan: Scan, values: np.ndarray, events: pd.DataFrame
) -> tuple[np.ndarray, pd.DataFrame]:
    """Take one volume per trial."""
    _require_row_per_volume(scan, values, events)
    events = events.drop(columns="duration", errors="ignore")
    used = ~events["stimulus"].isin(spec.ignore).to_numpy()
    return values[used], events[used].rename(columns={"onset": "start_time"})


def _require_row_per_volume(scan: Scan, values: np.ndarray, events: pd.DataFrame) -> None:
    if len(events) != len(values):
        raise RepbiasError(
            f"{scan.paths['events']}: {len(events)} rows for the {len(values)} volumes of "
            f"{scan.image}"
        )


def _bold(
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
        _require_row_per_volume(scan, values, events)
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
