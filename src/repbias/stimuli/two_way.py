"""Features of two classes: stimuli with balanced, independent labels, and their manipulations.

A family draws candidates and computes their labels; here, candidates are chosen such that
combinations of labels occur as often as they should, and divided into splits.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import model_validator

from repbias.base.spec import RepbiasError
from repbias.stimuli.combinations import shares
from repbias.stimuli.family import StimulusFamily
from repbias.stimuli.manipulations import (
    LABEL,
    FeatureManipulations,
    StimulusManipulations,
    confusion,
    noisy_labels,
    supervised_stimuli,
    training_probabilities,
)

if TYPE_CHECKING:
    from repbias.io.stimuli import Stimuli


class TwoWayFamily(StimulusFamily, StimulusManipulations):
    """Stimuli whose features have two classes each, which are functions of what is drawn."""

    #: What helps where there are too few stimuli with a combination of labels.
    MORE: ClassVar[str]

    if TYPE_CHECKING:  # a field of every such family
        features: Mapping[str, FeatureManipulations]

    @abstractmethod
    def candidates(self, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield batches of candidates, (candidate, ...), n or more if there are as many."""

    @abstractmethod
    def labels_of(self, drawn: np.ndarray) -> np.ndarray:
        """Compute the label of every feature, (candidate, feature) uint8 in {0, 1}."""

    @abstractmethod
    def identifiers(self, drawn: np.ndarray) -> np.ndarray:
        """Return the ids of candidates, (candidate,) str; equal candidates have equal ids."""

    @abstractmethod
    def components_of(self, drawn: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Compute labels of the features' sub-components.

        Returns
        -------
        names : list of str
            Such as "hard.bit1".
        labels : numpy.ndarray
            (candidate, component), uint8 in {0, 1}.
        """

    @abstractmethod
    def shown_as(self, drawn: np.ndarray) -> np.ndarray:
        """Return what networks are shown of candidates."""

    @property
    def classes(self) -> dict[str, int]:
        """Feature to its number of classes: two."""
        return dict.fromkeys(self.features, 2)

    @property
    def targets(self) -> dict[str, int]:
        """The features, and `label` if it is defined; two classes each."""
        return self.classes | ({LABEL: 2} if self.label else {})

    def best_accuracy(self, target: str) -> float:
        """Return what can be known of `label`, which is drawn given the features."""
        if target != LABEL:
            return 1.0
        # On test stimuli the features are balanced.
        _, given = training_probabilities(self.features, self)
        return float(np.maximum(given, 1 - given).mean())

    def draw(
        self,
        sizes: Mapping[str, int],
        rng: np.random.Generator,
        taken: frozenset[str] = frozenset(),
    ) -> Stimuli:
        """Draw stimuli.

        In the validation and test splits every combination of labels occurs equally often (up to
        rounding), so the features are independent and balanced by construction. In the training
        split combinations occur as often as the manipulations demand. Every prefix of the
        validation and test stimuli is balanced too, so the first n can be analysed alone.

        Returns
        -------
        Stimuli
            Inputs, labels of features and of their sub-components, and ids.

        Raises
        ------
        RepbiasError
            If there are too few stimuli with a combination of labels.
        """
        from repbias.io.stimuli import Stimuli

        _, label_given_cell = training_probabilities(self.features, self)
        # quota[s, c]: stimuli of label combination ("cell") c in split s.
        quota = np.array([shares(n, self._probabilities(s), rng) for s, n in sizes.items()])
        drawn, cells = self._collect(quota.sum(axis=0), rng, taken)
        rows, split = _assign_splits(cells, quota, list(sizes))
        drawn, cells = drawn[rows], cells[rows]

        labels = self.labels_of(drawn)
        if self.label:
            label = rng.random(len(drawn)) < label_given_cell[cells]
            labels = np.column_stack([labels, label.astype(np.uint8)])
        components, component_labels = self.components_of(drawn)
        settings = self.features.items()
        supervised = supervised_stimuli(
            {name: f.supervised for name, f in settings}, list(self.targets), split, rng
        )
        noise = {name: f.label_noise for name, f in settings}
        return Stimuli(
            inputs=self.shown_as(drawn),
            ids=self.identifiers(drawn),
            split=split,
            features=list(self.targets),
            labels=noisy_labels(labels, noise, self.targets, split, rng),
            components=components,
            component_labels=component_labels,
            supervised=supervised,
            vocabulary=self.inputs.vocabulary,
        )

    def audit(self, stimuli: Stimuli) -> dict[str, dict[str, float]]:
        """Check that the features are distributed as specified.

        Returns
        -------
        dict
            For every split: its size, each target's prevalence, and the largest deviation of a phi
            coefficient between two features from the specified one (0 outside training).

        Raises
        ------
        RepbiasError
            If a feature is constant, or a prevalence or correlation is off by more than five
            standard errors of independent features (5 / sqrt(n)), or one half.
        """
        return {
            split: _audit_split(
                split,
                stimuli.labels[stimuli.split == split].astype(float),
                self._label_probabilities(split),
                stimuli.features,
            )
            for split in dict.fromkeys(stimuli.split.tolist())
        }

    def _probabilities(self, split: str) -> np.ndarray:
        """Return how often each combination of classes occurs in a split."""
        training, _ = training_probabilities(self.features, self)
        return training if split == "train" else np.full(len(training), 1 / len(training))

    def _label_probabilities(self, split: str) -> np.ndarray:
        """Return how often each combination of labels occurs: classes, but for label noise."""
        p = self._probabilities(split)
        if split == "train":
            for i, feature in enumerate(self.features.values()):
                # Classes of the features after this one, of this one, and of those before it.
                table = p.reshape(-1, 2, 2**i)
                p = (confusion(2, feature.label_noise).T @ table).reshape(-1)
        return p

    def _collect(
        self, wanted: np.ndarray, rng: np.random.Generator, taken: frozenset[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find `wanted[c]` different candidates, none of them taken, of every combination c.

        Returns
        -------
        drawn : numpy.ndarray
            (candidate, ...).
        cells : numpy.ndarray
            (candidate,), the combination of each.
        """
        weights = 2 ** np.arange(len(self.features))
        found: list[np.ndarray] = []
        found_cells: list[np.ndarray] = []
        missing = wanted.copy()
        seen = set(taken)
        for drawn in self.candidates(int(wanted.sum()), rng):
            ids = self.identifiers(drawn)
            fresh = np.array([i not in seen for i in ids.tolist()])
            fresh[np.setdiff1d(np.arange(len(ids)), np.unique(ids, return_index=True)[1])] = False
            cells = self.labels_of(drawn).astype(int) @ weights
            # The first `missing` fresh ones of each cell.
            take = np.concatenate(
                [np.flatnonzero(fresh & (cells == c))[: missing[c]] for c in range(len(wanted))]
            )
            seen.update(ids[take].tolist())
            found.append(drawn[take])
            found_cells.append(cells[take])
            missing -= np.bincount(cells[take], minlength=len(wanted))
            if not missing.any():
                return np.concatenate(found), np.concatenate(found_cells)
        cell = int(missing.argmax())
        combination = ", ".join(f"{n}={cell >> i & 1}" for i, n in enumerate(self.features))
        raise RepbiasError(
            f"stimuli: not enough different stimuli with {combination}: found "
            f"{wanted[cell] - missing[cell]} of {wanted[cell]}; {self.MORE}, choose a more "
            "balanced function, or ask for fewer stimuli"
        )

    @model_validator(mode="after")
    def _combinations_can_be_balanced(self) -> TwoWayFamily:
        smallest = min(self.n_train, self.n_validation, self.n_test)
        if 2 ** len(self.features) > smallest:
            raise ValueError(
                f"{len(self.features)} features have {2 ** len(self.features)} combinations of "
                f"labels, which {smallest} stimuli cannot balance; increase the smallest of "
                "n_train, n_validation and n_test to at least as many"
            )
        return self


def _assign_splits(
    cells: np.ndarray, quota: np.ndarray, splits: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Distribute candidates over the splits such that every prefix of a split is balanced.

    Parameters
    ----------
    cells
        (candidate,), the combination of labels of each.
    quota
        (split, combination), numbers of stimuli.
    splits
        Names of the splits.

    Returns
    -------
    rows : numpy.ndarray
        (stimulus,), indices of candidates.
    split : numpy.ndarray
        (stimulus,) str.
    """
    rows, split = [], []
    for cell in range(quota.shape[1]):
        members = np.flatnonzero(cells == cell)
        bounds = np.cumsum(quota[:, cell])
        for i, (start, stop) in enumerate(zip(bounds - quota[:, cell], bounds, strict=True)):
            rows.append(members[start:stop])
            split += [i] * (stop - start)
    # Round-robin over the cells: the i-th stimuli of all combinations, then the (i+1)-th.
    turn = np.concatenate([np.arange(len(r)) for r in rows])
    order = np.lexsort([turn, np.array(split)])
    return np.concatenate(rows)[order], np.array(splits)[np.array(split)[order]]


def _audit_split(
    split: str, labels: np.ndarray, probabilities: np.ndarray, targets: list[str]
) -> dict[str, float]:
    """Compare the labels (stimulus, target) of a split with the distribution of its features."""
    mean, phi = _moments(probabilities)
    n_features = len(mean)  # a further target is the label that features predict
    prevalence = labels.mean(axis=0)
    allowed = min(5 / np.sqrt(len(labels)), 0.5)
    for i, name in enumerate(targets[:n_features]):
        if prevalence[i] in (0, 1):
            raise RepbiasError(f"the independence audit failed: '{name}' is constant in {split}")
        if abs(prevalence[i] - mean[i]) > allowed:
            raise RepbiasError(
                f"the independence audit failed: the prevalence of '{name}' in {split} is "
                f"{prevalence[i]:.3f}, expected {mean[i]:.3f} (±{allowed:.3f})"
            )
    found = np.atleast_2d(np.corrcoef(labels[:, :n_features], rowvar=False))
    deviation = np.abs(found - phi)
    if deviation.max() > allowed:
        i, j = np.unravel_index(deviation.argmax(), deviation.shape)
        raise RepbiasError(
            f"the independence audit failed: '{targets[i]}' and '{targets[j]}' correlate with "
            f"phi = {found[i, j]:.3f} in {split}, expected {phi[i, j]:.3f} (±{allowed:.3f})"
        )
    return {
        "n": float(len(labels)),
        "max_phi_deviation": float(deviation.max()),
        **{f"prevalence_{n}": float(p) for n, p in zip(targets, prevalence, strict=True)},
    }


def _moments(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the means and correlations of the features, given their joint distribution."""
    n_features = int(np.log2(len(probabilities)))
    labels = np.arange(len(probabilities))[:, None] >> np.arange(n_features) & 1
    mean = probabilities @ labels
    centred = labels - mean
    covariance = (centred * probabilities[:, None]).T @ centred
    scale = np.sqrt(np.diag(covariance))
    return mean, covariance / np.outer(scale, scale)
