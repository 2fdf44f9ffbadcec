"""Tables that compare representations: networks with each other, and with recordings by RSA."""

from repbias.tables.recurring import AgainstRecording
from repbias.tables.row import Row


class Similarity(Row):
    """A pair of networks and a measure of similarity."""

    experiment: str
    snapshot: str
    metric: str
    """The measure; in `ridge` and `rsa_reweighted`, side a predicts side b."""
    condition_a: str
    network_a: str
    seed_a: int
    layer_a: str
    step_a: int
    included_a: bool
    condition_b: str
    network_b: str
    seed_b: int
    layer_b: str
    step_b: int
    included_b: bool
    similarity: float
    """Similarity of the two, by this measure."""
    null_mean: float
    """Mean similarity when the stimuli of one side are permuted."""
    null_high: float
    """95th percentile of the similarity when the stimuli of one side are permuted."""
    n_stimuli: int


class Identification(Row):
    """A network measured with noise, and a measure of similarity."""

    experiment: str
    condition: str
    network: str
    seed: int
    snapshot: str
    layer: str
    metric: str
    """The measure of similarity."""
    reliability_level: float
    """Reliability of the network's units, to which noise was added."""
    left_out: int
    """A seed that is no candidate; -1 for none."""
    top1: float
    """Probability that the measure names the candidate of the network's own condition."""
    chance: float
    """The same probability of a guess."""
    strongest: str
    """The strongest distractor: the other candidate whose networks are most similar on average."""
    beats_strongest: float
    """Probability that a network of the own condition is more similar than one of the strongest
    distractor; a guess has one half, however many candidates there are."""


class RsaModels(Row):
    """A pair of networks and layers at a snapshot."""

    experiment: str
    rdm_similarity: str
    snapshot: str
    condition_a: str
    network_a: str
    seed_a: int
    layer_a: str
    step_a: int
    included_a: bool
    condition_b: str
    network_b: str
    seed_b: int
    layer_b: str
    step_b: int
    included_b: bool
    similarity: float
    """Similarity of the two RDMs."""


class RsaUntrained(Row):
    """A trained network, and an untrained one of its condition, in the same layer."""

    experiment: str
    condition: str
    rdm_similarity: str
    snapshot: str
    """When the trained one is seen."""
    layer: str
    network: str
    seed: int
    step: int
    included: bool
    untrained: str
    """The untrained network."""
    untrained_seed: int
    """Its seed; equal to `seed` where it is the network itself before training."""
    similarity: float
    """Similarity of the two RDMs."""


class RsaRecordings(AgainstRecording):
    """A layer against a recording."""

    ceiling_low: float
    ceiling_high: float
    ceiling_convention: str
    n_subjects: int
    n_stimuli: int


class RsaSubjects(AgainstRecording):
    """A layer against a subject of a recording of several."""

    subject: str
    n_stimuli: int


class RsaFitted(Row):
    """A fitted model against a recording."""

    recording: str
    region: str
    rdm_similarity: str
    model: str
    """`weighted` (non-negative combination of all layers' RDMs), `reweighted` (the units of one
    layer are reweighted) or `fixed`, in the same folds."""
    experiment: str
    condition: str
    network: str
    seed: int
    snapshot: str
    step: int
    included: bool
    layer: str
    """The layer; `all layers` for `weighted`."""
    similarity: float
    """Similarity of RDMs of left-out stimuli, mean over subjects."""
    ci_low: float
    ci_high: float
    interval: str
    n_folds: int
    """Number of folds of the stimuli."""
    n_subjects: int
    n_stimuli: int


class RsaTests(Row):
    """A test of a layer of a condition (mean over its included networks), or of a pair of them."""

    recording: str
    region: str
    rdm_similarity: str
    test: str
    """`zero` (similarity above 0), `ceiling` (below the lower noise ceiling), `pair` (the two
    differ; of more than 60, only pairs of one layer or one condition are tested) or `permutation`
    (any relation; these stimuli and subjects only)."""
    experiment: str
    condition_a: str
    layer_a: str
    snapshot_a: str
    condition_b: str
    layer_b: str
    snapshot_b: str
    n_networks_a: float
    """Number of included networks of the first side."""
    n_networks_b: float
    """Number of included networks of the second side, if there is one."""
    effect: float
    """What is tested, in units of the similarity."""
    ci_low: float
    ci_high: float
    p: float
    """p value of the test."""
    p_fdr: float
    """p value with the false discovery rate controlled (Benjamini-Hochberg) over the tests of a
    kind, by recording and RDM similarity."""
    method: str
    """How the effect is tested."""
    generalises_to: str
    """What the test generalises to."""
    warning: str
    """Where the method is known not to hold its level."""


class RsaTimes(Row):
    """A layer against a time bin of a recording."""

    recording: str
    region: str
    rdm_similarity: str
    time_s: float
    """Centre of the time bin, in seconds."""
    experiment: str
    condition: str
    network: str
    seed: int
    snapshot: str
    step: int
    included: bool
    layer: str
    similarity: float
    """Similarity of RDMs, mean over subjects."""
    ci_low: float
    ci_high: float
    interval: str
    ceiling_low: float
    ceiling_high: float
    ceiling_convention: str
    n_subjects: int
    n_stimuli: int


class RsaBetweenRecordings(Row):
    """A pair of recordings of the same stimuli."""

    recording_a: str
    region_a: str
    recording_b: str
    region_b: str
    rdm_similarity: str
    similarity: float
    """Similarity of the two recordings' RDMs."""
    ci_low: float
    ci_high: float
    interval: str
    """What the confidence interval generalises to, and `mean over pairs of subjects` or `mean RDM`
    (the mean over subjects is taken first)."""
    n_subjects_a: int
    n_subjects_b: int
    n_stimuli: int
