"""The settings under ``geometry:``, and of similarity and identification, in the configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from repbias.base.spec import Spec, refuse_duplicates

Distance = Literal["correlation", "euclidean", "squared_euclidean"]
#: Distances of a recording: those of networks, and those that need counts or single trials.
RecordingDistance = Literal[
    "correlation",
    "euclidean",
    "squared_euclidean",
    "mahalanobis",
    "crossnobis",
    "poisson",
    "poisson_cv",
]
#: Distances between mean patterns.
MEAN_DISTANCES: tuple[Distance, ...] = get_args(Distance)
#: Distances whose expected value is 0 if two stimuli evoke the same responses.
CROSS_VALIDATED = ("crossnobis", "poisson_cv")
RdmSimilarity = Literal["corr", "cosine", "spearman", "rho-a", "tau-a", "corr_cov", "cosine_cov"]
Noise = Literal["shrinkage", "diagonal", "none"]
Generalise = Literal["auto", "stimuli", "subjects", "both"]
Fitted = Literal["weighted", "reweighted"]
#: The keys of `repbias.geometry.similarity.METRICS`; a test compares them.
MetricName = Literal[
    "rsa",
    "rsa_euclidean",
    "rsa_whitened",
    "rsa_reweighted",
    "cka",
    "cka_debiased",
    "cka_rbf",
    "nbs",
    "procrustes",
    "soft_matching",
    "mutual_knn",
    "ridge",
]


class Geometry(Spec):
    """How representations are compared."""

    distance: Distance = "correlation"
    """Dissimilarity between two stimuli in a network's layer."""
    recording_distance: RecordingDistance = "correlation"
    """Dissimilarity between two stimuli in a recording's responses. `mahalanobis` and `crossnobis`
    need repeats; `crossnobis` and `poisson_cv` are cross-validated over sessions, runs or repeats:
    noise does not raise them, and 0 means no difference (of `crossnobis` exactly with `noise: none`
    only; docs/calibration.md). `poisson` is of counts."""
    noise: Noise = "shrinkage"
    """How `mahalanobis` and `crossnobis` normalise noise, which is estimated from differences
    between repeats: its covariance between units, shrunk towards the diagonal; each unit's
    variance alone (`diagonal`), for units that were not recorded together; or not at all."""
    rdm_similarities: list[RdmSimilarity] = Field(["corr"], min_length=1)
    """Similarity of two RDMs, named as in rsatoolbox: Pearson, cosine, Spearman, rho-a,
    Kendall's tau-a (slow; rho-a serves the same purpose), and Pearson and cosine of whitened RDMs
    (`corr_cov`, `cosine_cov`). The first one decides the claims."""
    generalise: Generalise = "auto"
    """What intervals and tests generalise to: what is resampled. `auto` is both where a
    recording has two subjects or more, else stimuli."""

    subject_stimuli: Literal["common", "all"] = "common"
    """Of which stimuli the RDMs of single subjects are (table `rsa_subjects`), where subjects saw
    different ones: of those that all saw (`common`), so that subjects can be compared with each
    other and with their mean, or of all that the subject saw (`all`). Means over subjects, noise
    ceilings and tests are always of the stimuli that all saw."""
    min_units: int = Field(3, ge=1)
    """Subjects with fewer usable units, in a region, have no RDM there. With two units, correlation
    distances are 0 or 2."""
    n_stimuli: int = Field(256, ge=4)
    """RDMs of generated stimuli use the first n test stimuli (balanced); images are all used."""
    bootstraps: int = Field(1000, ge=100)
    """Bootstrap samples behind the intervals of model-recording comparisons."""
    permutations: int = Field(1000, ge=0)
    """Permutations of the stimuli behind tests of any relation between model and recording; 0
    leaves these tests out."""
    fitted: list[Fitted] = []
    """Models that are fitted to recordings, cross-validated over stimuli (off by default; takes
    long): `weighted`, non-negative weights for a network's layers; `reweighted`, non-negative
    weights for a layer's units."""
    folds: int = Field(5, ge=2)
    """Folds of stimuli in which fitted models are tested."""
    reweighting_units: int = Field(500, ge=2)
    """Layers with more units than this are reweighted by as many principal components."""
    max_memory_mb: int = Field(2000, ge=100)
    """Bound on what the computation of RDMs holds at once, in megabytes; what is larger is read
    from and written to files in blocks. It changes the time, and results by rounding only."""
    time_resolved: bool = False
    """Compare every time bin of a recording with the networks."""
    seed: int = Field(0, ge=0)
    """Seed of the bootstrap, permutations and folds, and of the splits of repeats behind RSA
    ceilings."""

    @field_validator("rdm_similarities", "fitted")
    @classmethod
    def _different(cls, values: list[str]) -> list[str]:
        return refuse_duplicates(values)


class Similarity(Spec):
    """Similarity of every pair of an experiment's networks, by many measures."""

    metrics: list[MetricName] = Field(list(get_args(MetricName)), min_length=1)
    """Measures of similarity; `rsa_reweighted` and `ridge` go both ways, the first network
    predicting the second. Their time grows with the cube of the layer's width."""
    n_stimuli: int = Field(256, ge=12)
    """The first n test stimuli (balanced)."""
    permutations: int = Field(10, ge=0)
    """Permutations of one side's stimuli behind the null distribution of every similarity."""
    seed: int = Field(0, ge=0)
    """Seed of the permutations."""

    @field_validator("metrics")
    @classmethod
    def _different(cls, metrics: list[str]) -> list[str]:
        return refuse_duplicates(metrics)


class Identification(Spec):
    """Which measure of similarity recognises a network's kind when it is measured with noise."""

    target: str
    """The condition, as experiment/condition, whose networks are measured with noise."""
    candidates: list[str] = Field(min_length=2)
    """The conditions, as experiment/condition, that the target may be of; all of them were shown
    the same stimuli, and the target's own is among them."""
    untrained: bool = True
    """Untrained networks of the target's condition are one more candidate."""
    metrics: list[MetricName] = Field(list(get_args(MetricName)), min_length=1)
    """Measures of similarity; where they go both ways, the candidate predicts the target."""
    reliabilities: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [1.0, 0.5, 0.2, 0.1, 0.05], min_length=1
    )
    """Reliabilities of the target's units (signal variance / total variance); 1 is no noise."""
    residualise: str | None = None
    """A feature: RSA is also computed (`rsa_residualised`) after its class means are removed from
    target and candidates."""
    equalise: bool = False
    """Whether similarity is also computed (`cka_equalised`) with the same variance for every
    feature that the target has, and for what no feature explains; the target is then measured
    twice, each time with twice the noise variance."""
    n_stimuli: int = Field(256, ge=12)
    """The first n test stimuli (balanced)."""
    seed: int = Field(0, ge=0)
    """Seed of the noise, together with each target's own seed."""

    @field_validator("candidates", "metrics", "reliabilities")
    @classmethod
    def _different(cls, values: list[Any]) -> list[Any]:
        return refuse_duplicates(values)

    @model_validator(mode="after")
    def _target_is_a_candidate(self) -> Identification:
        if self.target not in self.candidates:
            raise ValueError(
                f"the target {self.target!r} must be one of the candidates "
                f"({', '.join(self.candidates)})"
            )
        return self
