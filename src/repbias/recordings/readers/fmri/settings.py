"""The settings of a recording of fMRI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from repbias.base.spec import InputPath, Spec, expand_variables
from repbias.io.arrays import ARRAY_SUFFIXES
from repbias.recordings.readers.common import ResponseRecording
from repbias.recordings.readers.fmri.confounds import find_confounds
from repbias.recordings.readers.fmri.glm_settings import Confounds, Glm
from repbias.recordings.readers.fmri.scans import IMAGE_SUFFIXES, Scan, fill, match_images

#: Settings of the mean over a window only, and of the BOLD signal only.
_ONLY_MEAN = ("delay_s", "detrend", "zscore_runs")
_ONLY_BOLD = (*_ONLY_MEAN, "duration_s", "tr_s", "run_volumes", "skip_volumes", "response")


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

    `content: bold` takes the preprocessed signal. With `response: mean`, the response to a block or
    event is the mean of the volumes from its onset to its end, both shifted by `delay_s`: no
    haemodynamic response is fitted, and responses that overlap in time are mixed. Use it for blocks
    and slow events, and `response: glm` for all others (docs/fmri.md). Instead of onsets, the
    events may give the label of every volume; consecutive volumes with the same label in the same
    run are then a block.

    Several images are found by a template: `path` is a folder, and `images`, `events`, `mask` and
    `regions` are relative to it; they may lead out of it, as in `../../sub-{subject}/func/...`. The
    placeholders `{subject}`, `{session}` and `{run}` match any text without `/` and `_`, and `*`
    matches anything, as in `sub-{subject}/func/*_run-{run}_bold.nii.gz`.
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
    """Labels that are not stimuli, such as `rest`, or `n/a` for events without a label. A GLM does
    not model them: they are its baseline. Events to be modelled, but not analysed, such as catch
    trials, go to `exclude`."""
    variable: str | None = None
    """Name of the array in the file; dots step into MATLAB structures."""
    axes: list[Literal["trial", "unit"]] = Field(["trial", "unit"], min_length=2, max_length=2)
    """Order of an array's axes; `trial` is that of the volumes."""
    mask: str | None = None
    """Image that is not 0 in the voxels to read; all by default. If its template has `{run}` or
    `{session}`, the voxels that all masks of a subject share."""
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
        }
        confounds = None if (glm := self.glm()) is None else glm.confounds
        if isinstance(confounds, Confounds) and confounds.file:
            templates["confounds"] = expand_variables(confounds.file)
        scans = []
        if self.images is None:
            scans = [Scan(self.path, {name: Path(value) for name, value in templates.items()}, {})]
        else:
            for image, where in match_images(self.path, expand_variables(self.images)):
                paths = {n: self.path / fill(n, t, where) for n, t in templates.items()}
                scans.append(Scan(image, paths, where))
        for scan in scans:
            for name, path in scan.paths.items():
                if not path.is_file():
                    raise ValueError(f"{name}: there is no file {path}")
            if glm is not None:
                scan.paths.update(_beside(scan.image, confounds))
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
        elif self.glm() is not None:
            inapplicable, what = (*inapplicable, *_ONLY_MEAN), f"a GLM of {what}"
        found = [name for name in inapplicable if name in self.given()]
        if found:
            raise ValueError(f"{', '.join(found)}: not for {what}")
        if self.region_names and not self.regions:
            raise ValueError("region_names: needs regions")
        if self.window:
            raise ValueError("window is for time bins; these responses have none")
        return self


def _beside(image: Path, confounds: Confounds | str | None) -> dict[str, Path]:
    """Return the files beside an image that a GLM reads: metadata, and fMRIPrep's confounds."""
    found = {}
    sidecar = image.with_name(image.name.partition(".nii")[0] + ".json")
    if sidecar.is_file():
        found["sidecar"] = sidecar
    if isinstance(confounds, Confounds) and not confounds.file:
        table = find_confounds(image)
        if table is None:
            raise ValueError(
                "response.confounds: there is no *_desc-confounds_timeseries.tsv beside "
                f"{image}; set 'file' to a table of your own"
            )
        found["confounds"] = table
    return found
