"""Tables of the audit: how much of a score is which feature, and what remains."""

from repbias.tables.row import Row


class _Audited(Row):
    """Two sides whose similarity is divided: a recording and a layer, or two of a kind."""

    recording: str
    """The recording; empty for two networks."""
    region: str
    subject: str
    """The subject; empty for the mean over subjects."""
    recording_b: str
    """The other recording, of two."""
    region_b: str
    """Its region."""
    experiment: str
    condition: str
    network: str
    seed: float
    snapshot: str
    step: float
    included: bool
    layer: str
    condition_b: str
    """The other network's condition, of two networks."""
    network_b: str
    """The other network."""
    seed_b: float
    """Its seed."""
    layer_b: str
    """Its layer."""
    time_s: float
    """Centre of the time bin, in seconds; missing for the recording's window."""
    measure: str
    """The distances whose kernels are compared, of the network and of the recording."""
    score: float
    """Similarity (the cosine of kernels, CKA) free of noise and of what stimuli have in common by
    chance; of one subject not computed."""
    gate: bool
    """Whether there is a score to divide: permutation of stimuli and, with repeats, a jackknife
    over them, both at 5 %."""


class Audit(_Audited):
    """The share of a score that a feature has."""

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
    """Two-sided p value of the hypothesis that the feature has no part, under the same sampling as
    the interval."""
    p_fdr: float
    """p value with the false discovery rate controlled (Benjamini-Hochberg) over features and
    layers of a recording or experiment."""
    plain: float
    """The plain cosine of the kernels of mean patterns (linear CKA)."""
    gate_p: float
    """p value of the permutation of stimuli."""
    gate_t: float
    """t of the score over repeats; missing without."""
    n_stimuli: int
    warning: str
    """Where shares are known to err."""


class AuditRemaining(_Audited):
    """What remains of a score when a feature is regressed out of both sides."""

    feature: str
    """The feature that is regressed out; `all` for all together."""
    remaining: float
    """The score without the feature, free of noise and chance like `score`."""


class AuditRange(_Audited):
    """How far a score could move while everything that can be decoded stays."""

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
