"""Columns that many tables have."""

from repbias.tables.row import Row


class Recurring:
    """What a column means wherever it occurs, unless its table says otherwise.

    Of `x_a` and `x_b` it says what `x` means, of the first and the second side of a pair.
    """

    experiment: str
    """The experiment; for models of your own, the set of images."""
    condition: str
    """The condition; for models of your own, the network."""
    network: str
    """The network of the condition, named by its seed."""
    seed: int
    """The network's seed; 0 for models of your own."""
    snapshot: str
    """`initial` (untrained), `mastered` (first evaluation at which all targets were mastered),
    `final`, `grid` (a checkpoint between them) or `crossing` (a target first reached one of
    `checkpoint_accuracies`)."""
    step: int
    """Training step."""
    included: bool
    """Whether the network met the inclusion criterion on the test set."""
    layer: str
    """The layer: the analysed one, unless the table goes through all."""
    feature: str
    """A feature, or a sub-component such as `hard.xor12`."""
    chance: float
    """1 divided by the number of classes."""
    output: str
    """The output unit, named by its feature."""
    recording: str
    """The recording, as the study names it."""
    subject: str
    """The subject, as the recording names it."""
    region: str
    """The region, as the recording names it; in tables of RSA empty if there is one."""
    unit: str
    """A unit: of a recording by its name, of a network by its number."""
    rdm_similarity: str
    """How two RDMs are compared, in rsatoolbox's words."""
    similarity: float
    """Similarity of RDMs; of a recording of several subjects the mean over them, unless the row is
    of one."""
    n_stimuli: int
    """Number of stimuli that the row rests on."""
    n_subjects: int
    """Number of subjects that the row rests on."""
    ci_low: float
    """Lower end of the 95 % confidence interval."""
    ci_high: float
    """Upper end of the 95 % confidence interval."""
    interval: str
    """What the confidence interval generalises to."""
    ceiling_low: float
    """Lower noise ceiling."""
    ceiling_high: float
    """Upper noise ceiling."""
    ceiling_convention: str
    """How the noise ceiling was estimated."""
    r_normalised: float
    """`r` divided by `ceiling`."""
    alpha_at_edge: float
    """Share of folds that chose the first or the last penalty."""


class AgainstRecording(Row):
    """A layer of a network, compared with a recording or a part of it by RSA."""

    recording: str
    region: str
    rdm_similarity: str
    experiment: str
    condition: str
    network: str
    seed: int
    snapshot: str
    step: int
    included: bool
    layer: str
    similarity: float
    ci_low: float
    ci_high: float
    interval: str


class OfNetwork(Row):
    """A network."""

    experiment: str
    condition: str
    network: str
    seed: int


class OfLayer(OfNetwork):
    """A layer of a network at a snapshot."""

    snapshot: str
    step: int
    included: bool
    layer: str


class Audited(Row):
    """A layer and a recording, or two recordings, whose similarity is divided."""

    recording: str
    region: str
    subject: str
    """The subject; empty for the mean over subjects."""
    recording_b: str
    """The other recording, of two."""
    region_b: str
    """The other recording's region."""
    experiment: str
    condition: str
    network: str
    seed: int
    """The network's seed; 0 for models of your own, -1 where there is no network."""
    snapshot: str
    step: int
    """Training step; -1 where there is no network."""
    included: bool
    layer: str
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
