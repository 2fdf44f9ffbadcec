"""Manipulations of training stimuli: settings, and their effect on the distribution of labels.

Validation and test stimuli are never manipulated: their features are balanced and independent, so
that results under different manipulations are comparable.

What is here is either of bits or of all families; :mod:`repbias.stimuli.picture_manipulations` has
what is of images. To add one for bits, give :class:`FeatureManipulations` or
:class:`StimulusManipulations` a field, and use it in :func:`training_probabilities` (how often each
combination of labels occurs), or where the labels are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator, model_validator

from repbias.base.spec import Name, Spec, nearest

if TYPE_CHECKING:
    import numpy as np

#: Name of the additional target of :attr:`StimulusManipulations.label`.
LABEL = "label"


class FeatureManipulations(Spec):
    """Manipulations of a single feature."""

    prevalence: float = Field(0.5, gt=0, lt=1)
    """Share of training stimuli whose label is 1."""
    supervised: float = Field(1.0, ge=0, le=1)
    """Share of training stimuli on which the loss includes this feature."""
    label_noise: float = Field(0.0, ge=0, le=1)
    """Share of training stimuli whose label of this feature is replaced by the other one; with 0.5
    nothing can be learned from it."""


class Agreement(Spec):
    """Two features that agree more (or less) often than chance in training stimuli."""

    features: list[Name] = Field(min_length=2, max_length=2)
    """The two features."""
    probability: float = Field(ge=0, le=1)
    """Probability that their labels are equal in training; 1/k is chance, with k classes each."""

    @field_validator("features")
    @classmethod
    def _different(cls, features: list[str]) -> list[str]:
        if features[0] == features[1]:
            raise ValueError(f"expected two different features, found {features[0]!r} twice")
        return features


class StimulusManipulations(Spec):
    """Manipulations of several features."""

    agreement: Agreement | None = None
    """Two features that are correlated in training."""
    label: dict[Name, Annotated[float, Field(ge=0, le=1)]] = {}
    """Adds a balanced target called `label`: maps features to predictivities, the probabilities
    that they equal it in training, independently of each other (Hermann & Lampinen 2020). Name it
    in `training.targets`, with a low `training.inclusion`: on test stimuli the features are
    independent, and no network can predict it well."""

    @model_validator(mode="after")
    def _manipulated_once(self) -> StimulusManipulations:
        features: dict[str, FeatureManipulations] = getattr(self, "features", {})
        together = list(self.agreement.features) if self.agreement else []
        for name in [*together, *self.label]:
            if name not in features:
                raise ValueError(f"no feature {name!r} to manipulate; {nearest(name, features)}")
        for name in dict.fromkeys([*together, *self.label]):
            manipulated = {
                "agreement": name in together,
                "label": name in self.label,
                "prevalence": features[name].prevalence != 0.5,
            }
            if sum(manipulated.values()) > 1:
                found = " and ".join(way for way, applies in manipulated.items() if applies)
                raise ValueError(
                    f"feature {name!r} has {found}; a feature's distribution can be manipulated in "
                    "one way only"
                )
        return self


def training_probabilities(
    features: Mapping[str, FeatureManipulations], manipulations: StimulusManipulations
) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each combination of labels occurs in training.

    Returns
    -------
    probabilities : numpy.ndarray
        (combination,), summing to 1; bit i of a combination's index is the label of feature i.
    label : numpy.ndarray
        (combination,), the probability that the target `label` is 1 given the combination; 0.5
        everywhere if there is no such target.
    """
    import numpy as np

    names = list(features)
    probabilities, label = [], []
    # The first feature varies fastest: it is bit 0.
    for reversed_combination in product((0, 1), repeat=len(names)):
        values = dict(zip(names, reversed_combination[::-1], strict=True))
        p_features = 1.0
        for name, feature in features.items():
            together = manipulations.agreement and name in manipulations.agreement.features
            if not together and name not in manipulations.label:
                p_features *= feature.prevalence if values[name] else 1 - feature.prevalence
        if manipulations.agreement:
            first, second = (values[name] for name in manipulations.agreement.features)
            p = manipulations.agreement.probability
            p_features *= 0.5 * (p if first == second else 1 - p)
        # Probability of the predictive features, given that the target is 0 or 1.
        given = [1.0, 1.0]
        for name, p in manipulations.label.items():
            for y in (0, 1):
                given[y] *= p if values[name] == y else 1 - p
        # Without predictive features both are 1, and the mixture changes nothing.
        probabilities.append(p_features * (given[0] + given[1]) / 2)
        label.append(given[1] / (given[0] + given[1]) if sum(given) else 0.5)
    return np.array(probabilities), np.array(label)


def supervised_stimuli(
    shares: Mapping[str, float], targets: Sequence[str], split: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Choose at random which training stimuli supervise which target.

    Parameters
    ----------
    shares
        Target to the share of training stimuli on which the loss includes it; all where it is not
        named. With the same generator, those of a smaller share are among those of a larger one.
    targets
        Names of all targets.
    split
        (stimulus,) str.
    rng
        Generator of the choice.

    Returns
    -------
    numpy.ndarray
        (stimulus, target) bool; True outside training.
    """
    import numpy as np

    mask = np.ones((len(split), len(targets)), bool)
    training = np.flatnonzero(split == "train")
    for i, name in enumerate(targets):
        n_unsupervised = len(training) - round(shares.get(name, 1.0) * len(training))
        mask[rng.permutation(training)[:n_unsupervised], i] = False
    return mask


def noisy_labels(
    labels: np.ndarray,
    shares: Mapping[str, float],
    targets: Mapping[str, int],
    split: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Replace labels of training stimuli by other classes, all equally likely.

    Parameters
    ----------
    labels
        (stimulus, target) uint8, classes from 0.
    shares
        Target to the share of training stimuli whose label is replaced; none where it is not named.
        With the same generator, those of a smaller share are among those of a larger one.
    targets
        Names of all targets, to their numbers of classes.
    split
        (stimulus,) str.
    rng
        Generator of the choice.

    Returns
    -------
    numpy.ndarray
        (stimulus, target) uint8; as they were outside training.
    """
    import numpy as np

    labels = labels.copy()
    training = np.flatnonzero(split == "train")
    for i, (name, k) in enumerate(targets.items()):
        replaced = rng.permutation(training)[: round(shares.get(name, 0.0) * len(training))]
        step = rng.integers(1, k, size=len(training))[: len(replaced)]
        labels[replaced, i] = (labels[replaced, i] + step) % k
    return labels


def confusion(n_classes: int, share: float) -> np.ndarray:
    """Return how often a label is given for each class, (class, label), where some are replaced.

    Examples
    --------
    >>> confusion(3, 0.5)
    array([[0.5 , 0.25, 0.25],
           [0.25, 0.5 , 0.25],
           [0.25, 0.25, 0.5 ]])
    """
    import numpy as np

    other = np.full((n_classes, n_classes), share / (n_classes - 1))
    np.fill_diagonal(other, 1 - share)
    return other
