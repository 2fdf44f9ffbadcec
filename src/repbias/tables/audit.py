"""Tables of the audit: how much of a score is which feature, and what remains."""

from repbias.tables.recurring import Audited
from repbias.tables.row import Row


class Audit(Audited):
    """A feature's share of the score of a layer with a recording, or of two recordings."""

    feature: str
    """The feature, or `rest`: what no feature explains."""
    role: str
    """What the study says of the feature: `task`, `nuisance` or nothing."""
    reliability: float
    """What the study says of the reliability of the feature's column; errors in it lower the share,
    random ones by this factor."""
    share: float
    """Share of the score, by features in these stimuli; shares of a score sum to 1, and may be
    negative."""
    ci_low: float
    ci_high: float
    target: str
    """What the interval is about."""
    p: float
    """Two-sided p value of the hypothesis that the feature has no part, under the same sampling as
    the interval."""
    p_fdr: float
    """p value with the false discovery rate controlled (Benjamini-Hochberg) over the features and
    layers of a recording."""
    predicted: float
    """The share that follows from shares of variance and participation ratios alone; missing of
    two recordings."""
    plain: float
    """The plain cosine of the kernels of mean patterns (linear CKA)."""
    gate_p: float
    """p value of the permutation of stimuli."""
    gate_t: float
    """t of the score over repeats; missing without."""
    n_stimuli: int
    warning: str
    """Where shares are known to err, or why there are none."""


class AuditRemaining(Audited):
    """A feature that is regressed out of both sides, and what remains of their score."""

    feature: str
    """The feature that is regressed out; `all` for all together."""
    remaining: float
    """The score without the feature, free of noise and chance like `score`."""


class AuditRange(Audited):
    """A feature, and how far weights of features could move a score."""

    feature: str
    alone: float
    """The score of the model if it had only this feature left."""
    usable: bool
    """Whether the model has the feature beyond its overlap with others (permutation of stimuli at
    5 %); others are left out of the range."""
    range_low: float
    """Lowest score that weights of the model's features can give, the present ones included."""
    range_high: float
    """Highest score that weights of the model's features can give, the present ones included."""
    equalised: float
    """Score if every feature had the same variance: the mean similarity within the features that
    the recording has, 0 in those that the model lacks."""


class AuditNetworks(Row):
    """A feature's share of the similarity of two conditions' networks (mean over pairs)."""

    experiment: str
    snapshot: str
    measure: str
    """The distance whose kernels are compared."""
    condition_a: str
    layer_a: str
    condition_b: str
    layer_b: str
    n_networks_a: float
    """Number of networks on the first side."""
    n_networks_b: float
    """Number of networks on the second side."""
    feature: str
    """The feature, or `rest`: what no feature explains."""
    share: float
    """Share of the score, by features in these stimuli; shares of a score sum to 1, and may be
    negative."""
    ci_low: float
    ci_high: float
    target: str
    """What the interval is about."""
    p: float
    """Two-sided p value of the hypothesis that the feature has no part, over networks."""
    p_fdr: float
    """p value with the false discovery rate controlled (Benjamini-Hochberg) over the features,
    layers and pairs of an experiment at a snapshot."""
    predicted: float
    """The share that follows from shares of variance and participation ratios alone."""
    score: float
    """Similarity (the cosine of kernels, CKA) free of what stimuli have in common by chance."""
    gate: bool
    """Whether there is a score to divide: permutation of stimuli at 5 %."""
    gate_p: float
    """p value of the permutation of stimuli."""
    n_stimuli: int
    warning: str
    """Where shares are known to err, or why there are none."""
