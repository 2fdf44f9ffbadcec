"""The table of model recovery at the noise of a recording."""

from repbias.tables.row import Row


class Recovery(Row):
    """A name of simulated brains of a model or layer, or of the recording whose noise they have."""

    recording: str
    region: str
    experiment: str
    measure: str
    """What models are scored by: `rsa`, `cka`, `encoding`, `both_ways` or `procrustes`."""
    how: str
    """How a brain is named: by the highest score (`argmax`), or by the scores with all layers,
    compared with those of simulated brains (`matched`)."""
    level: str
    """Whether models are named (`model`), or layers within the true model (`layer`)."""
    simulated: bool
    """Whether the row is about simulated brains; else about the recording itself."""
    true_condition: str
    """The condition, or model, that brains are of; empty of a recording of a real brain."""
    true_layer: str
    """The layer that brains are of; empty where models are named."""
    named_condition: str
    """The condition, or model, that they are named."""
    named_layer: str
    """The layer that they are named; empty where models are named."""
    probability: float
    """How often brains are named this; of the recording itself, in what share of comparisons, each
    with one network of every model."""
    ci_low: float
    """Exact binomial interval of the probability."""
    ci_high: float
    preferred: float
    """How often the named one would be preferred to the true one if there were only the two."""
    right: float
    """Of simulated brains that are named this, the share that are it, if all are equally frequent
    at first."""
    chance: float
    """Probability that a guess is right."""
    n: int
    """Simulated brains, or comparisons of the recording itself."""
    optimistic: bool
    """Whether the network that a brain is of is scored itself, or its simulated brains are what
    profiles are compared with, as the model has too few networks."""
    warning: str
    """Why there is nothing."""


class RecoveryShares(Row):
    """A feature's share of the score of simulated brains with the model they are of."""

    recording: str
    region: str
    experiment: str
    condition: str
    layer: str
    """The layer that brains are of, in one network, and that they are compared with, in another."""
    feature: str
    """The feature, or `rest`: what no feature explains."""
    target: str
    """What the intervals are about."""
    true_share: float
    """Share without noise, of the subjects or the population that the intervals are about."""
    share: float
    """Share at the noise of the recording, mean over simulated brains."""
    error: float
    """Root mean square of the differences of the two."""
    coverage: float
    """How often the 95 % interval holds the true share; missing where there is no interval."""
    ci_low: float
    """Exact binomial interval of the coverage."""
    ci_high: float
    n: int
    """Simulated brains."""
    warning: str
    """Why there is nothing."""
