"""What a family of generated stimuli says of itself; each family is a module of its own.

To add one, write a class of :class:`StimulusFamily` and enter it in
:mod:`repbias.stimuli.families`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from itertools import combinations_with_replacement
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from repbias.base.inputs import Inputs
from repbias.base.spec import RepbiasError, Spec

if TYPE_CHECKING:
    from repbias.io.stimuli import Stimuli

SPLITS = ("train", "validation", "test")
#: Names that tables give to the parts of a representation's variance.
PARTS = ("label", "interaction", "components", "input", "residual")


class StimulusFamily(Spec, ABC):
    """Stimuli that are generated, with features that a network can report.

    A family has a field `kind`, its name in the configuration, and a field `features`: names of the
    features, or a mapping of these to their settings.
    """

    #: Whether inputs that are too large for memory are made when they are needed.
    streams: ClassVar[bool] = False

    if TYPE_CHECKING:  # fields of every family
        kind: Any
        features: Any

    n_train: int = Field(8192, ge=8)
    """Training stimuli of a network."""
    training_sets: Literal["own", "common"] = "own"
    """Each network has a training set of its own, so that results hold over training sets too, or
    all networks of a condition have the same. Validation and test stimuli are always common."""
    n_validation: int = Field(1024, ge=8)
    """Validation stimuli: they decide when training stops, and linear maps from features to
    representations are fitted on them."""
    n_test: int = Field(1024, ge=8)
    """Test stimuli: all results are measured on them."""
    seed: int = Field(0, ge=0)
    """Seed of the stimuli."""

    @property
    @abstractmethod
    def classes(self) -> dict[str, int]:
        """Feature to its number of classes."""

    @property
    def targets(self) -> dict[str, int]:
        """What training can reward, to its number of classes; the features, if nothing more."""
        return self.classes

    @property
    def learnable(self) -> list[str]:
        """The targets all of whose classes occur in training; others cannot be rewarded."""
        return list(self.targets)

    @property
    @abstractmethod
    def inputs(self) -> Inputs:
        """What a network is shown of one stimulus."""

    @abstractmethod
    def draw(
        self,
        sizes: Mapping[str, int],
        rng: np.random.Generator,
        taken: frozenset[str] = frozenset(),
    ) -> Stimuli:
        """Draw stimuli; the one method that does so.

        Parameters
        ----------
        sizes
            How many stimuli, by split ("train", "validation" or "test"), in the order of the
            result. Features are balanced and independent in validation and test stimuli.
        rng
            Source of all that is random.
        taken
            Ids of stimuli that must not occur; nor may any stimulus occur twice.

        Raises
        ------
        RepbiasError
            If there are no such stimuli.
        """

    def generate(self) -> Stimuli:
        """Generate the stimuli that all networks of a condition have in common.

        Returns
        -------
        Stimuli
            Validation and test stimuli, and training stimuli if `training_sets` is "common"; the
            same at every call. `audit` holds what was checked.

        Raises
        ------
        RepbiasError
            If there are no such stimuli, or they are not as the family says.
        """
        sizes = {"train": self.n_train} if self.training_sets == "common" else {}
        sizes |= {"validation": self.n_validation, "test": self.n_test}
        return self._drawn(sizes, np.random.default_rng(self.seed))

    def training_set(self, seed: int, common: Stimuli | None = None) -> Stimuli:
        """Return what a network is trained on: the split "train" of the result.

        It depends on these settings and the network's seed only. No validation or test stimulus is
        in it; training sets of other networks may share stimuli with it.

        Parameters
        ----------
        seed
            Of the network.
        common
            What :meth:`generate` returns; generated if it is left out.

        Raises
        ------
        RepbiasError
            As for :meth:`generate`.
        """
        common = self.generate() if common is None else common
        if self.training_sets == "common":
            return common
        # A spawned stream is that of no other seed, and none that networks draw from.
        stream = np.random.SeedSequence(self.seed, spawn_key=(seed,))
        taken = frozenset(common.ids.tolist())
        return self._drawn({"train": self.n_train}, np.random.default_rng(stream), taken)

    def _drawn(
        self,
        sizes: dict[str, int],
        rng: np.random.Generator,
        taken: frozenset[str] = frozenset(),
    ) -> Stimuli:
        """Draw stimuli, and check that they are what was asked for."""
        stimuli = self.draw(sizes, rng, taken)
        classes = dict(zip(stimuli.features, stimuli.classes, strict=True))
        splits = [name for name, n in sizes.items() for _ in range(n)]
        found = (stimuli.shown, classes, stimuli.split.tolist() == splits)
        if found != (self.inputs, self.targets, True):
            raise RepbiasError(
                f"stimuli of kind {self.kind!r}: found {stimuli.shown}, classes {classes} and "
                f"{_counts(stimuli)} stimuli, expected {self.inputs}, {self.targets} and {sizes}, "
                "one split after the other"
            )
        ids = set(stimuli.ids.tolist())
        if len(ids) < len(splits) or ids & taken:
            raise RepbiasError("the independence audit failed: a stimulus occurs twice")
        stimuli.audit = self.audit(stimuli)
        return stimuli

    def audit(self, stimuli: Stimuli) -> dict[str, dict[str, float]]:
        """Check that features are as :meth:`expected_shares` says: balanced and independent.

        Returns
        -------
        dict
            For every split, its size `n`, and `max_dependence`: the largest difference between the
            share of stimuli with one class of one feature and one of another, and that which is
            expected.

        Raises
        ------
        RepbiasError
            If such a share is off by more than five standard errors of random draws.
        """
        return {
            split: {"n": float(n), "max_dependence": self._dependence(stimuli, split)}
            for split, n in _counts(stimuli).items()
        }

    def expected_shares(self, split: str, first: str, second: str) -> np.ndarray:
        """Return how often classes of two features occur together: those of independent features.

        Parameters
        ----------
        split
            "train", "validation" or "test".
        first, second
            The features, which may be one.

        Returns
        -------
        numpy.ndarray
            (class of the first, class of the second), summing to 1.
        """
        sizes = self.targets[first], self.targets[second]
        # With itself, a feature has its own classes only.
        return np.eye(sizes[0]) / sizes[0] if first == second else np.full(sizes, 1 / prod(sizes))

    def _dependence(self, stimuli: Stimuli, split: str) -> float:
        """Return by how much shares are off from what is expected, at most."""
        labels = stimuli.labels[stimuli.split == split]
        worst = 0.0
        for i, j in combinations_with_replacement(range(len(stimuli.features)), 2):
            names = [stimuli.features[i], stimuli.features[j]]
            expected = self.expected_shares(split, *names)
            found = np.zeros(expected.shape)
            np.add.at(found, (labels[:, i], labels[:, j]), 1 / len(labels))
            off = float(np.abs(found - expected).max())
            allowed = 5 * float(np.sqrt(expected.max() / len(labels)))
            if off > allowed:
                raise RepbiasError(
                    f"the independence audit failed: in {split}, classes of "
                    f"{' and '.join(dict.fromkeys(names))} occur in shares that are off by "
                    f"{off:.3f} from those that were asked for (±{allowed:.3f})"
                )
            worst = max(worst, off)
        return worst

    def components(self, feature: str) -> dict[str, int]:
        """Return the sub-components of a feature, to their number of classes."""
        return {}

    def definition(self, feature: str) -> Hashable:
        """Return what the feature is; two conditions with equal ones compute the same feature."""
        settings = self.features
        return str(settings[feature] if isinstance(settings, Mapping) else feature)

    def best_accuracy(self, target: str) -> float:
        """Return the highest accuracy on test stimuli that a network can reach."""
        return 1.0

    def source_files(self) -> list[str]:
        """Return the files of the user's own code that stimuli depend on."""
        return []

    @property
    def id_bytes(self) -> int:
        """Bytes of a stimulus's id."""
        return 16

    @model_validator(mode="after")
    def _names_are_free(self) -> StimulusFamily:
        parts = {f"{name}.{part}" for name in self.classes for part in self.components(name)}
        for name in self.classes:
            if name in parts or name in PARTS:
                raise ValueError(
                    f"a feature cannot be called {name!r}: this is the name of a target, a "
                    "sub-component or a part of the variance"
                )
        return self


def _counts(stimuli: Stimuli) -> dict[str, int]:
    """Return the sizes of the splits that there are."""
    counts = {split: int((stimuli.split == split).sum()) for split in SPLITS}
    return {split: n for split, n in counts.items() if n}
