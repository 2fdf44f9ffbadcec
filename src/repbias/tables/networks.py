"""Tables of networks: training, what their layers represent, and what they do with it."""

from repbias.tables.recurring import OfLayer, OfNetwork
from repbias.tables.row import Row


class Learning(OfNetwork):
    """An evaluation of a feature during training.

    Networks that are not trained here have a row for each feature, without accuracy and loss.
    """

    step: int
    feature: str
    target: bool
    """Whether the feature was trained."""
    accuracy: float
    """Share correct on the validation set, 0 to 1."""
    mastered: bool
    """Whether the accuracy meets the criterion of mastery."""
    loss: float
    """Loss on the validation set, over all targets."""
    included: bool


class VarianceExplained(OfNetwork):
    """A feature or sub-component in a layer at a checkpoint."""

    layer: str
    step: int
    feature: str
    r2: float
    """Share of the layer's variance on the test set that the feature explains (M1)."""
    r2_of_final: float
    """The same as a share of the final variance (M1b)."""
    snapshot: str
    included: bool


class VarianceDecomposition(OfLayer):
    """A part of the variance of a layer."""

    part: str
    """A feature, `interaction`, `components`, `input` (every bit, or what varies beside the
    features) or `residual`."""
    share: float
    """Share of the variance; the parts of a network sum to 1."""


class Behaviour(OfNetwork):
    """An output against a feature."""

    snapshot: str
    step: int
    included: bool
    output: str
    feature: str
    agreement: float
    """Share of test stimuli on which `output` equals the feature's label."""
    chance: float


class Units(OfLayer):
    """A feature or sub-component in a unit."""

    unit: str
    """The unit's number; units without variance are left out."""
    feature: str
    r2: float
    """Share of the unit's variance on the test set that the feature explains."""


class Sparsity(OfLayer):
    """A feature's distribution over the units of a layer."""

    feature: str
    gini_signal: float
    """Gini coefficient of the units' signal (products of class means over two sets of stimuli), 0
    to 1; it does not depend on the feature's share of the variance."""
    gini: float
    """Gini coefficient of the units' R², 0 to 1; the same code has a higher one where the feature
    explains less variance."""
    participation_ratio: float
    """Participation ratio of the units' R², 1/n to 1."""
    n_units: int
    """Number of units with variance."""


class Components(OfLayer):
    """A feature and a number of principal components."""

    n_components: int
    """How many components are passed on, the largest first."""
    variance: float
    """Share of the layer's variance in these components."""
    feature: str
    r2: float
    """Share of the last component's variance that the feature explains."""
    accuracy: float
    """Accuracy of the network's output of this feature when only these components are passed on."""
    chance: float


class Steering(OfLayer):
    """A steered feature, a steering strength and an output."""

    feature: str
    strength: float
    """Length of the step as a multiple of the difference of class means, from the class that the
    network reports to another one; where there are several, each in turn."""
    norm: float
    """Length of the step."""
    norm_sd: float
    """Length of the step in standard deviations of the layer's activity."""
    output: str
    flips: float
    """Share of test stimuli on which `output` changes."""
    reached: float
    """Share of test stimuli on which `output` reports the class that was steered to; of the steered
    feature's own output."""


class Probes(OfLayer):
    """A decoded feature or sub-component."""

    probe: str
    """`linear` or `nonlinear`."""
    feature: str
    accuracy: float
    """Accuracy on the test set, 0 to 1."""
    chance: float


class Conflict(OfLayer):
    """A pair of targets, `feature_a` and `feature_b`."""

    feature_a: str
    feature_b: str
    follows_a: float
    """Of the test stimuli on which the two differ, the share that a classifier, trained on those on
    which they agree, assigns by `feature_a`."""
    follows_b: float
    """The same by `feature_b`; with two classes, the rest."""
    follows_a_standardised: float
    """`follows_a` where every unit was given the same variance first, so that a feature counts by
    the number of its units."""
    follows_b_standardised: float
    """The same by `feature_b`."""


class Encryption(Row):
    """A measure of a system that computes under encryption."""

    experiment: str
    condition: str
    system: str
    """The encrypted system; or a control, `plaintext` (bits and results in the clear) or
    `plaintext_inputs` (bits alone)."""
    seed: int
    """The key."""
    measure: str
    """`task_accuracy`, `linear_probe`, `nonlinear_probe` or `r2`, by feature;
    `rsa_with_plaintext` or `rsa_between_keys`."""
    feature: str
    value: float
    """What was measured."""
