"""The settings of a recording of fMRI."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from repbias.base.spec import InputPath, expand_variables
from repbias.io.arrays import ARRAY_SUFFIXES
from repbias.recordings.readers.common import Where, WithTrials
from repbias.recordings.readers.fmri.confounds import find_confounds
from repbias.recordings.readers.fmri.glm_settings import Confounds, Glm
from repbias.recordings.readers.fmri.scans import PLACEHOLDERS, SUFFIXES, Scan, fill
from repbias.recordings.readers.templates import FileColumns, match, or_left_out, refuse_missing

#: Value of `events` for stimuli that are named in the headers of the images.
HEADERS = "headers"
#: Sets of names that the axes of an array may have, besides `_`.
AXES = ({"trial", "unit"}, {"trial", "x", "y", "z"})

#: Settings of the mean over a window only, and of the BOLD signal only.
_ONLY_MEAN = ("delay_s", "detrend", "zscore_runs")
_ONLY_BOLD = (*_ONLY_MEAN, "duration_s", "tr_s", "run_volumes", "skip_volumes", "response")
#: Settings that do not apply to a kind of file.
_INAPPLICABLE = {
    "array": (),
    "NIfTI": ("variable", "axes", "voxel_order"),
    "GIFTI": ("variable", "axes", "voxel_order"),
    "CIFTI": ("variable", "axes", "voxel_order"),
}


class EventColumns(FileColumns):
    """Names of the columns of the events."""

    stimulus: str | None = None
    """Stimulus; by default `stimulus` or `trial_type`."""
    onset: str = "onset"
    """Onset of the block or event, in seconds from the start of its run; absent if there is a row
    for every volume."""
    duration: str = "duration"
    """Duration of the block or event in seconds."""
    file: str = "file"
    """For betas in an image each, the name of the image; if absent, rows are in the order of the
    sorted names."""


class FmriRecording(WithTrials):
    """Functional MRI: NIfTI, GIFTI or CIFTI images, or arrays of volumes and voxels.

    `content: betas` takes one volume per trial, such as the estimates of a general linear model
    (GLM); prefer it where you have them. A file has one volume or several. Voxels that are NaN or
    exactly 0 in all volumes were not estimated, and are left out.

    `content: bold` takes the preprocessed signal. With `response: mean`, the response to a block or
    event is the mean of the volumes from its onset to its end, both shifted by `delay_s`: no
    haemodynamic response is fitted, and responses that overlap in time are mixed. Use it for blocks
    and slow events, and `response: glm` for all others (docs/fmri.md). A voxel whose signal is 0 in
    a whole run, as outside the field of view, has no response in it. Instead of onsets, the
    events may give the label of every volume; consecutive volumes with the same label in the same
    run are then a block.

    Several images are found by a template: `path` is a folder, and `images`, `events`, `mask` and
    `regions` are relative to it; they may lead out of it, as in `../../sub-{subject}/func/...`. The
    placeholders `{subject}`, `{session}`, `{run}` and `{hemi}` (hemisphere) match any text without
    `/` and `_`, `{stimulus}` any text without `/`, and `*` matches anything, as in
    `sub-{subject}/func/*_run-{run}_bold.nii.gz`.
    """

    kind: Literal["fmri"]
    """Functional MRI; images need `pip install 'repbias[nifti]'`."""
    path: InputPath
    """The image (`.nii`, `.nii.gz`, `.img` with `.hdr`, `.gii`, `.dscalar.nii`, `.dtseries.nii`,
    `.pscalar.nii`, `.ptseries.nii`) or array; or the folder that holds the `images`."""
    content: Literal["betas", "bold"]
    """Whether a volume is the estimate of a trial (`betas`) or the signal at one time (`bold`)."""
    images: str | None = None
    """Template of the images or arrays, if `path` is a folder."""
    leave_out: list[Where] = []
    """Images that are not read, such as those of an aborted run, by the values of the placeholders
    of `images`, as in `[{subject: "03", run: "2"}]`."""
    events: str | None = None
    """Table (`.csv`, `.tsv`, `.txt`) with one row per volume, or with onsets; or its template, with
    `{subject}`, `{session}` and `{run}` as in `images`. Of a table for all sessions or runs, the
    rows of the image's are taken. `headers` takes the names of betas from SPM's descriptions of
    images, or from the names of the maps in GIFTI and CIFTI files. Not needed if `images` has
    `{stimulus}`."""
    trials_where: Where = {}
    """Events, or betas, to keep: columns of the table of events, and the value or list of values
    that each must have, for example `{completed: 1}`; by default all. A GLM models the others too,
    as one more stimulus whose responses are left out, but for those without onset or duration."""
    columns: EventColumns = EventColumns()
    """Names of the columns of the events, where they differ from the defaults."""
    header: list[str] | None = None
    """Names of all columns of the events, if the file has no header."""
    ignore: list[str] = []
    """Labels that are not stimuli, such as `rest`, or `n/a` for events without a label. A GLM does
    not model them: they are its baseline. Events to be modelled, but not analysed, such as catch
    trials, go to `exclude`."""
    variable: str | None = None
    """Name of the array in the file; dots step into MATLAB structures."""
    axes: list[Literal["trial", "unit", "x", "y", "z", "_"]] = ["trial", "unit"]
    """Order of an array's axes: `trial` (that of the volumes) and `unit`; or `trial`, `x`, `y` and
    `z`; and `_` where the length is 1. In HDF5 files that MATLAB wrote they are reversed, such as
    `[trial, z, y, x]`; in `.mat` files they are as MATLAB shows them."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """Betas are stored as this many times the response, 300 in NSD: they are divided by it. Needed
    for arrays of integers; 1 if they are not scaled."""
    mask: str | None = None
    """Image that is above 0 in the voxels to read; all by default. If its template has `{run}` or
    `{session}`, the voxels that all masks of a subject share. For arrays also `variable:` and
    the name of an array in the same file, whose axes are those of `axes` but for `trial`."""
    regions: str | None = None
    """Label image, the brain region of every voxel as an integer above 0; without `mask`, other
    voxels are left out. For surfaces, a label GIFTI or `.dlabel.nii`, which has names. For
    arrays with an axis `unit`, also a text file with one line per voxel, its region; for all
    arrays, also `variable:` as for `mask`."""
    region_names: InputPath | None = None
    """Table of the names of `regions`: columns `index` and `name`, or two columns without a
    header."""
    voxel_order: Literal["numpy", "matlab"] | None = None
    """For arrays with an axis `unit` and images as `mask` or `regions`: the order in which the
    voxels of an image become units, with `z` (`numpy`, nilearn) or `x` (`matlab`) changing
    fastest."""
    region: str = ""
    """Brain region, where `regions` does not give it."""
    subject: str = Field("subject1", min_length=1)
    """Name of the subject, if the template has no `{subject}`."""
    tr_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds between two volumes (TR); by default as in the header, or else `RepetitionTime` in
    the image's `.json`."""
    response: Literal["mean", "glm"] | Glm = "mean"
    """What a response is: the mean over a window, or a weight (beta) of a general linear model:
    `glm`, or a section with its settings."""
    skip_volumes: Annotated[int, Field(ge=0)] = 0
    """Volumes at the start of each run that are not used, where the signal is not yet in a steady
    state; times still count from the first one."""
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

    def glm(self) -> Glm | None:
        """Return the settings of the GLM, if there is one."""
        if isinstance(self.response, Glm):
            return self.response
        return Glm() if self.response == "glm" else None

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
            and value != HEADERS
            and not value.startswith("variable:")
        }
        confounds = None if (glm := self.glm()) is None else glm.confounds
        if isinstance(confounds, Confounds) and confounds.file:
            templates["confounds"] = expand_variables(confounds.file)
        scans = []
        if self.images is None:
            scans = [Scan(self.path, {name: Path(value) for name, value in templates.items()}, {})]
        else:
            for image, where in self._matched(self.leave_out):
                paths = {n: self.path / fill(n, t, where) for n, t in templates.items()}
                scans.append(Scan(image, paths, where))
        for name in templates:
            refuse_missing(name, [(scan.paths[name], scan.where) for scan in scans])
        for scan in scans if self.content == "bold" else ():
            scan.paths.update(_beside(scan, confounds))
        return _with_masks(scans)

    def _matched(self, leave_out: Sequence[Where]) -> Iterator[tuple[Path, dict[str, str]]]:
        """Yield the images of the template but for some, and the values of its placeholders."""
        template = expand_variables(str(self.images))
        return match("images", self.path, template, PLACEHOLDERS, leave_out)

    def left_out(self) -> list[Path]:
        """Return the images that are not read, as `leave_out` names them."""
        if not self.leave_out:
            return []
        kept = {image for image, _ in self._matched(self.leave_out)}
        return [image for image, _ in self._matched([]) if image not in kept]

    def input_files(self) -> list[str]:
        """Return all files that the recording is read from; changing one reruns what uses it."""
        scans = self.scans()
        files = {path for scan in scans for path in (scan.image, *scan.paths.values())}
        files |= {path.with_suffix(".hdr") for path in files if path.suffix.lower() == ".img"}
        files |= {path for path in (self.rename, self.region_names) if path}
        return sorted(map(str, files))

    @model_validator(mode="after")
    def _path_fits(self) -> FmriRecording:
        if self.path.is_dir() and self.images is None:
            raise ValueError(f"path: {self.path} is a folder; set 'images' to a template for it")
        if not self.path.is_dir() and self.images is not None:
            raise ValueError(f"images: needs a folder, but path is {self.path}")
        if self.leave_out and self.images is None:
            raise ValueError("leave_out: needs 'images', whose placeholders it names")
        return self

    @model_validator(mode="after")
    def _confounds_are_columns_or_a_strategy(self) -> FmriRecording:
        confounds = None if (glm := self.glm()) is None else glm.confounds
        if isinstance(confounds, Confounds):
            if bool(confounds.columns) == (confounds.strategy is not None):
                raise ValueError("response.confounds: give either 'columns' or a 'strategy'")
            if confounds.file and confounds.strategy:
                raise ValueError(
                    "response.confounds.file: a strategy reads the table of fMRIPrep itself"
                )
        return self

    @model_validator(mode="after")
    def _settings_fit_the_files(self) -> FmriRecording:
        if self.window:
            raise ValueError("window is for time bins; these responses have none")
        if self.region_names and not self.regions:
            raise ValueError("region_names: needs regions")
        named = [name for name in self.axes if name != "_"]
        if set(named) not in AXES or len(set(named)) < len(named):
            raise ValueError(
                "axes: name 'trial' and 'unit' once, or 'trial', 'x', 'y' and 'z', and others "
                f"'_'; found {self.axes}"
            )
        scans = self.scans()
        self._files_are_of_one_kind(scans)
        self._files_are_told_apart(scans)
        self._stimuli_are_named(scans)
        kind = scans[0].kind
        inapplicable, what = _INAPPLICABLE[kind], f"{kind} images" if kind != "array" else "arrays"
        if self.content == "betas":
            inapplicable, what = (*inapplicable, *_ONLY_BOLD), f"betas in {what}"
        elif self.glm() is not None:
            inapplicable, what = (*inapplicable, *_ONLY_MEAN, "scale"), f"a GLM of {what}"
        else:
            inapplicable, what = (*inapplicable, "scale"), f"bold in {what}"
        if kind != "NIfTI" and any(len(scan.masks) > 1 for scan in scans):
            raise ValueError(f"mask: one for each run is for NIfTI, not for {what}")
        found = [name for name in inapplicable if name in self.given()]
        if found:
            raise ValueError(f"{', '.join(found)}: not for {what}")
        return self

    def _files_are_of_one_kind(self, scans: list[Scan]) -> None:
        suffixes = (*(s for kind in SUFFIXES.values() for s in kind), *ARRAY_SUFFIXES)
        for scan in scans:
            if not scan.image.name.lower().endswith(suffixes):
                raise ValueError(f"{scan.image}: expected one of {', '.join(suffixes)}")
            header = scan.image.with_suffix(".hdr")
            if scan.image.suffix.lower() == ".img" and not header.is_file():
                raise ValueError(f"{scan.image}: there is no header {header}")
        for folder in {s.image.parent for s in scans if s.image.suffix.lower() == ".img"}:
            for header in sorted(folder.glob("*.hdr")):
                if not header.with_suffix(".img").is_file():
                    raise ValueError(
                        f"{header}: a header without its image {header.with_suffix('.img').name}; "
                        "copy the image too, or remove the header"
                    )
        kinds = {scan.kind: scan.image for scan in scans}
        if len(kinds) > 1:
            found = " and ".join(f"{kind} ({path.name})" for kind, path in kinds.items())
            raise ValueError(f"images: expected files of one kind, found {found}")

    def _files_are_told_apart(self, scans: list[Scan]) -> None:
        """Only betas may be in several images of a run."""
        seen: dict[tuple[str, ...], Scan] = {}
        for scan in scans:
            other = seen.setdefault(tuple(scan.where.values()), scan)
            if other is not scan and (scan.is_array or self.content == "bold"):
                raise ValueError(f"images: {other.image} and {scan.image} are the same scan")

    def _stimuli_are_named(self, scans: list[Scan]) -> None:
        by_name = "stimulus" in scans[0].where
        if by_name and self.content == "bold":
            raise ValueError("images: {stimulus} is for betas; bold needs events")
        if by_name and self.events is not None:
            raise ValueError("events: not needed, as {stimulus} in 'images' names the stimuli")
        if not by_name and self.events is None:
            raise ValueError(
                "events: missing; name a table, or put {stimulus} into 'images' where the names of "
                f"files tell the stimulus, or set it to '{HEADERS}' where headers do"
            )
        if self.trials_where and self.events in (None, HEADERS):
            raise ValueError("trials_where: needs 'events', a table, whose columns it names")
        if self.events == HEADERS and (self.content == "bold" or scans[0].is_array):
            raise ValueError(f"events: '{HEADERS}' is for betas in images")
        in_file = [
            n for n in ("mask", "regions") if (getattr(self, n) or "").startswith("variable:")
        ]
        if in_file and not scans[0].is_array:
            raise ValueError(f"{in_file[0]}: 'variable:' is for arrays; name an image")
        if self.voxel_order and ("x" in self.axes or not (self.mask or self.regions)):
            raise ValueError("voxel_order: only for an axis 'unit' with a mask or regions")


def _with_masks(scans: list[Scan]) -> list[Scan]:
    """Let every scan know the masks of all runs of its subject and hemisphere."""
    masks: dict[tuple[str | None, str | None], dict[Path, None]] = {}
    owners = [(scan.where.get("subject"), scan.where.get("hemi")) for scan in scans]
    for owner, scan in zip(owners, scans, strict=True):
        found = masks.setdefault(owner, {})
        if "mask" in scan.paths:
            found[scan.paths["mask"]] = None
    return [
        replace(scan, masks=tuple(masks[owner])) for owner, scan in zip(owners, scans, strict=True)
    ]


def _beside(scan: Scan, confounds: Confounds | str | None) -> dict[str, Path]:
    """Return the files beside a series that are read: metadata, and fMRIPrep's confounds."""
    found, image = {}, scan.image
    sidecar = image.with_name(image.name.partition(".")[0] + ".json")
    if sidecar.is_file():
        found["sidecar"] = sidecar
    if isinstance(confounds, Confounds) and not confounds.file:
        table = find_confounds(image)
        if table is None:
            raise ValueError(
                "response.confounds: there is no *_desc-confounds_timeseries.tsv beside "
                f"{image}; set 'file' to a table of your own{or_left_out(scan.where)}"
            )
        found["confounds"] = table
    return found
