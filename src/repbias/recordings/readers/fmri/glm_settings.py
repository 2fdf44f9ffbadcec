"""The settings of a general linear model (GLM) of the BOLD signal."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from repbias.base.spec import Spec


class Confounds(Spec):
    """Nuisance regressors, from the table that fMRIPrep writes beside each image.

    Give `columns`, or a `strategy`. Volumes that the table marks as not in a steady state are left
    out of the model in either case.
    """

    columns: list[str] = []
    """Columns of the table, by name or with `*`, as in `[trans_*, rot_*, csf, white_matter]`. A
    name must be in the tables of all runs, a pattern such as `motion_outlier*` in those of some.
    Values that are missing at the start of a column, as in derivatives, are those that follow."""
    strategy: Literal["simple", "scrubbing", "compcor"] | None = None
    """A strategy of nilearn (`load_confounds_strategy`): motion and its derivatives with high-pass
    filter and mean signals of white matter and cerebrospinal fluid (`simple`), further without
    volumes of large motion (`scrubbing`), or with components of noise (`compcor`)."""
    file: str | None = None
    """Table of the `columns` (`.tsv`, `.csv`, `.txt`), or its template like `events`; by default
    `*_desc-confounds_timeseries.tsv` beside the image."""


class Glm(Spec):
    """A general linear model (GLM) of each run, fitted by nilearn.

    By default, one regressor per stimulus and run: as many repeats as runs, which are independent,
    for noise ceilings and cross-validation, and regressors that are less collinear than those of
    single trials.
    """

    regressors: Literal["stimulus", "trial"] = "stimulus"
    """One regressor, and so one response, per stimulus and run, or per trial. Take trials where a
    stimulus has no repeats but those within a run."""
    least_squares: Literal["all", "separate"] = "all"
    """Fit all regressors together (LSA), or a model for each in which all the others are one
    regressor (LSS; Mumford et al. 2012), where regressors of trials overlap too much."""
    hrf: Literal["spm", "glover"] = "spm"
    """Haemodynamic response function (HRF): the canonical one of SPM, or that of Glover (1999)."""
    derivatives: Literal["none", "time", "time_and_dispersion"] = "none"
    """Further regressors for responses that are early or late, wide or narrow. They double or
    triple the regressors, and responses remain the weights of the HRF itself."""
    drift: Literal["cosine", "polynomial", "none"] = "cosine"
    """Model of slow drifts. Where `confounds` include the cosines of fMRIPrep, these are used."""
    high_pass_s: Annotated[float, Field(gt=0)] = 128.0
    """Longest period, in seconds, that is not taken for a drift (`cosine`); 128 s as in SPM and
    fMRIPrep. It must be longer than the time between two blocks of a condition."""
    drift_order: Annotated[int, Field(ge=0)] = 1
    """Order of the `polynomial`."""
    noise: Literal["ar1", "ols"] = "ar1"
    """Model of the noise: autocorrelated, which gives the less variable estimates, or white."""
    slice_time_ref: Annotated[float, Field(ge=0, le=1)] | None = None
    """The moment that a volume stands for, as a share of the TR: that of the slice that others were
    corrected to. By default `StartTime` in the image's `.json`, or else 0.5, the middle, which is
    right after correction by fMRIPrep, FSL and AFNI, and the least wrong without correction."""
    scale: Literal["z", "percent", "none"] = "z"
    """Unit of responses: standard deviations of the voxel's signal over the run, without drifts and
    confounds; percent of its mean over the run; or that of the image. Percentages are largest where
    the signal is weak, at the edge of the brain and in large vessels, and such voxels then dominate
    RDMs."""
    confounds: Confounds | Literal["none"] | None = None
    """Nuisance regressors, such as head motion. Without any there is a warning, unless it is
    `none`."""

    def hrf_model(self) -> str:
        """Return the HRF and its derivatives as nilearn calls them."""
        added = {"none": "", "time": " + derivative"}
        return self.hrf + added.get(self.derivatives, " + derivative + dispersion")
