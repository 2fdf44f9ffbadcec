"""What a family of generated stimuli says of itself; each family is a module of its own.

To add one, write a class of :class:`StimulusFamily` and enter it in
:mod:`repbias.stimuli.families`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from itertools import combinations_with_replacement
from math import prod
from typing import TYPE_CHECKING, Any

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

    if TYPE_CHECKING:  # fields of every family
        kind: Any
        features: Any

    n_train: int = Field(8192, ge=8)
    """Training stimuli."""
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
    @abstractmethod
    def inputs(self) -> Inputs:
        """What a network is shown of one stimulus."""

    @abstractmethod
    def generate(self) -> Stimuli:
        """Generate training, validation and test stimuli; the same at every call.

        Returns
        -------
        Stimuli
            Features are independent and balanced in validation and test stimuli, no stimulus
            occurs twice, and `audit` holds what was checked.

        Raises
        ------
        RepbiasError
            If there are no such stimuli.
        """

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


def audited(stimuli: Stimuli) -> Stimuli:
    """Check that features are balanced and independent, and note what was found in `audit`.

    Parameters
    ----------
    stimuli
        What was generated.

    Returns
    -------
    Stimuli
        The same; `audit` has, for every split, its size `n`, and `max_dependence`: the largest
        difference between the share of stimuli with one class of one feature and one of another,
        and that of independent features of equally frequent classes.

    Raises
    ------
    RepbiasError
        If a stimulus occurs twice, or such a share is off by more than five standard errors of
        random draws.
    """
    import numpy as np

    if len(np.unique(stimuli.ids)) != len(stimuli.ids):
        raise RepbiasError("the independence audit failed: a stimulus occurs twice")
    for split in SPLITS:
        labels = stimuli.labels[stimuli.split == split]
        worst = 0.0
        for i, j in combinations_with_replacement(range(len(stimuli.features)), 2):
            names = [stimuli.features[i], stimuli.features[j]]
            sizes = [stimuli.classes[i], stimuli.classes[j]]
            found = np.zeros(sizes)
            np.add.at(found, (labels[:, i], labels[:, j]), 1 / len(labels))
            # With itself, a feature has its own classes only.
            expected = np.eye(sizes[0]) / sizes[0] if i == j else np.full(sizes, 1 / prod(sizes))
            off = float(np.abs(found - expected).max())
            allowed = 5 * float(np.sqrt(expected.max() / len(labels)))
            if off > allowed:
                raise RepbiasError(
                    f"the independence audit failed: in {split}, classes of "
                    f"{' and '.join(dict.fromkeys(names))} occur in shares that are off by "
                    f"{off:.3f} from those of balanced, independent features (±{allowed:.3f})"
                )
            worst = max(worst, off)
        stimuli.audit[split] = {"n": float(len(labels)), "max_dependence": worst}
    return stimuli
