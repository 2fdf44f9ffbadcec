"""Manipulations of training images: settings, and how often combinations of classes then occur.

To add one, give :class:`PictureManipulations` a field, and use it in
:meth:`PictureManipulations.manipulated` (how often each combination occurs), or where
:meth:`repbias.stimuli.pictures.Pictures.draw` makes the labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from repbias.base.spec import Spec, nearest
from repbias.stimuli.combinations import fitted
from repbias.stimuli.manipulations import Agreement

Share = Annotated[float, Field(ge=0, le=1)]


class UnseenValues(Spec):
    """Values that are shown in validation and test stimuli only."""

    target: str
    """The feature that is trained and tested; all of its classes occur in all splits."""
    n_values: int = Field(3, ge=1)
    """How many of the last values of every other feature do not occur in training."""


class PictureManipulations(Spec):
    """What can be done to training images and their labels."""

    prevalence: dict[str, list[Annotated[float, Field(gt=0, lt=1)]]] = {}
    """Feature to how often each of its classes occurs in training; equally often if left out."""
    agreement: Agreement | None = None
    """Two features that are correlated in training: their classes are equal (the first value of one
    goes with the first of the other, and so on) with this probability, else one of the others, all
    equally likely. With k classes, 1/k is chance; 1/(k-1) where large letters of the same small
    letter are left out."""
    supervised: dict[str, Share] = {}
    """Feature to the share of training stimuli on which the loss includes it; all if left out.
    Which ones is random, and images are the same at any share."""
    label_noise: dict[str, Share] = {}
    """Feature to the share of training stimuli whose label is replaced by another class, all
    equally likely; none if left out. Images are the same at any share. With k classes, nothing can
    be learned of labels of which (k-1)/k are replaced."""
    unseen_values: UnseenValues | None = None
    """Validation and test stimuli have combinations of the other features' values that do not occur
    in training, so that a target must generalise over them (Hermann & Lampinen 2020): the last
    values of every other feature never occur in training, and at least one of them occurs in every
    validation and test stimulus. Only the target can be trained."""

    if TYPE_CHECKING:  # of every family of pictures

        @property
        def classes(self) -> dict[str, int]:
            """Feature to its number of classes."""

        @property
        def shown_values(self) -> dict[str, list[str]]:
            """Factor to its values."""

        def combinations(self) -> np.ndarray:
            """Return combinations of classes, (combination, factor)."""

    def manipulated(self, probabilities: np.ndarray) -> np.ndarray:
        """Return how often combinations occur in training.

        Parameters
        ----------
        probabilities
            (combination,), how often they occur if nothing is manipulated.

        Raises
        ------
        ValueError
            If combinations that occur cannot have the shares that were asked for.
        """
        if not self.prevalence and not self.agreement:
            return probabilities
        combinations, names = self.combinations(), list(self.shown_values)
        p, wanted = probabilities.copy(), []
        for column, name in zip(combinations.T, names, strict=True):
            often = self.prevalence.get(name)
            wanted.append((column, np.array(often or np.bincount(column, probabilities))))
            if often:
                p *= np.array(often)[column]
        if self.agreement:
            first, second = (combinations[:, names.index(n)] for n in self.agreement.features)
            equal, agree = first == second, self.agreement.probability
            p *= np.where(equal, agree, (1 - agree) / second.max())
            wanted.append((equal.astype(int), np.array([1 - agree, agree])))
        try:
            return fitted(p / p.sum(), wanted)
        except ValueError as error:
            settings = [s for s in ("prevalence", "agreement") if getattr(self, s)]
            raise ValueError(
                f"{' and '.join(settings)}: {error}; choose shares nearer to those without "
                "manipulation, or let all combinations occur"
            ) from error

    def check_manipulations(self) -> None:
        """Refuse manipulations of what there is not, or that exclude each other."""
        shown = {name: len(values) for name, values in self.shown_values.items()}
        for setting in ("supervised", "label_noise"):
            for name in getattr(self, setting):
                if name not in self.classes:
                    raise ValueError(
                        f"{setting}: no feature {name!r}; {nearest(name, self.classes)}"
                    )
        for name, often in self.prevalence.items():
            if name not in shown:
                raise ValueError(f"prevalence: no feature {name!r}; {nearest(name, shown)}")
            if len(often) != shown[name] or abs(sum(often) - 1) > 1e-6:
                raise ValueError(
                    f"prevalence: expected {shown[name]} shares of {name}, one for each class, "
                    f"with sum 1; found {often}"
                )
        pair = self.agreement.features if self.agreement else []
        for name in pair:
            if name not in shown:
                raise ValueError(f"agreement: no feature {name!r}; {nearest(name, shown)}")
            if name in self.prevalence:
                raise ValueError(
                    f"feature {name!r} has agreement and prevalence; a feature's distribution can "
                    "be manipulated in one way only"
                )
        self._check_unseen_values(shown)
        sizes = [shown[name] for name in pair]
        if pair and (sizes[0] != sizes[1] or sizes[0] < 2):
            raise ValueError(
                f"agreement: {pair[0]} and {pair[1]} have {sizes[0]} and {sizes[1]} classes; "
                "expected as many, two or more"
            )

    def _check_unseen_values(self, shown: dict[str, int]) -> None:
        unseen, known = self.unseen_values, self.classes
        if unseen is None:
            return
        if unseen.target not in known:
            raise ValueError(
                f"unseen_values.target: no feature {unseen.target!r}; "
                f"{nearest(unseen.target, known)}"
            )
        if self.agreement or self.prevalence:
            raise ValueError("unseen_values cannot be combined with agreement or prevalence")
        varying = {name: k for name, k in shown.items() if name != unseen.target and k > 1}
        if not varying:
            raise ValueError(f"unseen_values: nothing varies beside {unseen.target}")
        for name, k in varying.items():
            if k <= unseen.n_values:
                raise ValueError(
                    f"unseen_values: {name} has {k} values, of which {unseen.n_values} are not in "
                    "training; give more values, or lower n_values"
                )
