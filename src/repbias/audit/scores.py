"""A score divided: shares with intervals, the gate, what remains, and how far it could move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from repbias.audit.design import Design
from repbias.audit.kernels import Noise, SubjectKernel
from repbias.audit.shares import (
    adjusted_parts,
    blocks,
    centred,
    parts,
    rest_weights,
    weights,
)

#: Subjects from which on intervals are over them; fewer say nothing of others.
MIN_SUBJECTS = 4
#: A network has no noise; for it as for one subject.
NO_INTERVAL = "no interval: one repeat of fewer than four subjects"
NEW_SUBJECTS = "these stimuli, other subjects like these"
THESE_SUBJECTS = "these stimuli and subjects, other repeats"
NETWORKS = "these stimuli and networks, without error"


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison: a layer, or the subjects of a recording.

    Attributes
    ----------
    kernels : (subject, stimulus, stimulus), free of noise as far as there are repeats
    means : (stimulus, stimulus), mean over subjects of the kernels of mean patterns
    without : (fold, stimulus, stimulus), mean over subjects without each fold; empty of one
    halves : (split, 2, stimulus, stimulus), mean over subjects of kernels of disjoint repeats
    noise : of every subject, what varies between repeats; empty where it is not known
    """

    kernels: np.ndarray
    means: np.ndarray
    without: np.ndarray
    halves: np.ndarray
    noise: Sequence[Noise] = ()

    @classmethod
    def of_network(cls, kernel: np.ndarray) -> Side:
        """Return a side without noise."""
        none = np.empty((0, *kernel.shape))
        return cls(kernel[None], kernel, none, np.empty((0, 2, *kernel.shape)))

    @classmethod
    def of_subjects(cls, subjects: Sequence[SubjectKernel]) -> Side:
        """Return the mean of several subjects; what only some of them have counts for none."""
        n_folds = min(len(s.without) for s in subjects)
        most = max(len(s.without) for s in subjects) if n_folds else 0
        n_splits = min(len(s.halves) for s in subjects)
        shape = subjects[0].kernel.shape
        without = [
            np.mean([s.without[f] if f < len(s.without) else s.kernel for s in subjects], axis=0)
            for f in range(most)
        ]
        noise = [s.noise for s in subjects if s.noise is not None]
        return cls(
            np.stack([s.kernel for s in subjects]),
            np.mean([s.means for s in subjects], axis=0),
            np.array(without).reshape(-1, *shape),
            np.mean([s.halves[:n_splits] for s in subjects], axis=0),
            noise if len(noise) == len(subjects) else (),
        )

    @cached_property
    def mean(self) -> np.ndarray:
        """The mean kernel over subjects, (stimulus, stimulus)."""
        return self.kernels.mean(axis=0)

    def energy(self, design: Design, within: bool = False) -> np.ndarray:
        """Return the parts of this side's similarity with itself, free of noise.

        (feature and rest,), by :func:`repbias.audit.shares.weights`, or by
        :func:`~repbias.audit.shares.blocks` if `within`. Of one repeat noise counts as signal.
        """
        function = blocks if within else weights
        if not len(self.halves):
            return parts(function(self.mean, design), self.mean)
        return np.mean([parts(function(a, design), b) for a, b in self.halves], axis=0)


@dataclass(frozen=True, eq=False)
class Brain:
    """A recording's side with a design, and what does not depend on the model.

    Attributes
    ----------
    side : the subjects
    design : the features
    energy : (feature and rest,), of :meth:`Side.energy`
    within : (feature and rest,), the same within features, of :attr:`orthogonal`
    orthogonal : the design of orthogonal features
    """

    side: Side
    design: Design
    energy: np.ndarray
    within: np.ndarray
    orthogonal: Design

    @classmethod
    def of(cls, side: Side, design: Design) -> Brain:
        """Compute what all models share."""
        orthogonal = design.orthogonal()
        return cls(side, design, side.energy(design), side.energy(orthogonal, True), orthogonal)


@dataclass(frozen=True)
class Division:
    """A score and its parts.

    Attributes
    ----------
    score : the similarity, free of noise and of what stimuli have in common by chance
    plain : the cosine of the centred kernels (linear CKA), of mean patterns
    shares : (feature and rest,), they sum to 1
    low, high : (feature and rest,), 95 % interval
    p : (feature and rest,), two-sided, of the hypothesis that the part is 0
    target : what the interval is about
    adjusted : (feature and rest,), by :func:`repbias.audit.shares.adjusted_parts`
    of_means : (feature and rest,), from mean patterns
    t : of the score, over repeats; NaN of one
    """

    score: float
    plain: float
    shares: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    target: str
    adjusted: np.ndarray
    of_means: np.ndarray
    t: float


def divide(model: np.ndarray, brain: Brain, subject: int | None = None) -> Division:
    """Divide the score of a model with a recording, or with one of its subjects.

    Parameters
    ----------
    model
        (stimulus, stimulus) kernel.
    brain
        The recording.
    subject
        Number of the subject; None for their mean.
    """
    side, design = brain.side, brain.design
    a = weights(model, design)
    kernels = side.kernels if subject is None else side.kernels[[subject]]
    by_subject = parts(a, kernels)
    found = by_subject.mean(axis=0)
    total = found.sum()
    shares = found / total
    chosen = range(len(side.kernels)) if subject is None else [subject]
    low, high, p, target = _interval(a, by_subject, shares, total, side, list(chosen))
    kernel = kernels.mean(axis=0)
    adjusted = adjusted_parts(model, kernel, design)
    of_means = parts(a, side.means) if subject is None else found
    energies = parts(a, model).sum() * brain.energy.sum()
    return Division(
        float(total / np.sqrt(energies)) if energies > 0 and subject is None else float("nan"),
        cosine(model, side.means if subject is None else kernel),
        shares,
        low,
        high,
        p,
        target,
        adjusted / adjusted.sum(),
        of_means / of_means.sum(),
        _t_over_folds(a, total, side) if subject is None else float("nan"),
    )


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Return the cosine of two kernels after centring: linear CKA (Kornblith et al. 2019)."""
    x, y = centred(a), centred(b)
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def _interval(
    a: np.ndarray,
    by_subject: np.ndarray,
    shares: np.ndarray,
    total: float,
    side: Side,
    chosen: list[int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Return 95 % intervals of shares, p values of the parts, and the intervals' target.

    Over subjects, if there are four or more: share = mean N_f / mean N, whose error is that of the
    mean of N_f - share N. Otherwise over repeats (:func:`noise_variance`).
    """
    n = len(by_subject)
    if n >= MIN_SUBJECTS:
        errors = (by_subject - shares * by_subject.sum(axis=1, keepdims=True)) / total
        half = student.ppf(0.975, n - 1) * errors.std(axis=0, ddof=1) / np.sqrt(n)
        t = by_subject.mean(axis=0) / (by_subject.std(axis=0, ddof=1) / np.sqrt(n))
        return shares - half, shares + half, 2 * student.sf(np.abs(t), n - 1), NEW_SUBJECTS
    if not side.noise:
        unknown = np.full(len(shares), np.nan)
        return unknown, unknown, unknown, NO_INTERVAL
    share_weights = (a - shares[:, None, None] * a.sum(axis=0)) / total
    half = norm.ppf(0.975) * np.sqrt(noise_variance(share_weights, side, chosen))
    part_error = np.sqrt(noise_variance(a, side, chosen))
    p = 2 * norm.sf(np.abs(by_subject.mean(axis=0)) / part_error)
    return shares - half, shares + half, p, THESE_SUBJECTS


def noise_variance(a: np.ndarray, side: Side, chosen: Sequence[int]) -> np.ndarray:
    """Return the variance over repeats of sums of A o K_B, K_B being a mean over subjects.

    With R repeats, mean patterns Y and noise covariance S of a subject's units, the products of
    different repeats have

        V = 4 / R [tr(A Y S Y' A) - ||A||^2 ||S||^2 / R] + 2 ||A||^2 ||S||^2 / (R (R - 1)),

    at least the second term; the mean over subjects has the mean of V over their number.

    Parameters
    ----------
    a
        (..., stimulus, stimulus), symmetric.
    side
        The recording, with noise.
    chosen
        Numbers of the subjects.
    """
    squares = (a**2).sum(axis=(1, 2))
    variances = []
    for i in chosen:
        noise, r = side.noise[i], side.noise[i].n_repeats
        signal = ((a @ noise.root) ** 2).sum(axis=(1, 2))
        size = squares * noise.square
        alone = 2 * size / (r * (r - 1))
        variances.append(np.maximum(4 / r * (signal - size / r), 0) + alone)
    return np.sum(variances, axis=0) / len(chosen) ** 2


def _t_over_folds(a: np.ndarray, total: float, side: Side) -> float:
    """Return the score's t over folds, by a jackknife."""
    n = len(side.without)
    if n < 2:
        return float("nan")
    left_out = parts(a, side.without).sum(axis=1)
    error = np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    return float(total / error) if error > 0 else float("inf")


def equal_cosines(shared: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return similarities within features, at most 1; 0 where a side has no variance there."""
    energies = np.maximum(a, 0) * np.maximum(b, 0)
    cosines = np.zeros_like(shared)
    np.divide(shared, np.sqrt(energies), out=cosines, where=energies > 0)
    return np.clip(cosines, -1, 1)


@dataclass(frozen=True)
class Range:
    """How far a score could move while everything that can be decoded stays.

    Attributes
    ----------
    alone : (feature and rest,), the score of the model if it had only this feature left
    low, high : the lowest and highest score that weights of the features can give
    equalised : the mean similarity within the brain's features, 0 in those that the model lacks:
        the score if every feature had the same variance
    usable : (feature and rest,), whether the model has the feature
    """

    alone: np.ndarray
    low: float
    high: float
    equalised: float
    usable: np.ndarray


def movable(
    model: np.ndarray, brain: Brain, of_model: np.ndarray, of_brain: np.ndarray, score: float
) -> Range:
    """Ask how far the score moves if the model's features are re-weighted.

    Weights of orthogonal subspaces are an invertible linear map, so whatever a linear readout can
    decode stays. With cos_f the score of the model that has only f left, scores lie between
    min cos_f and sqrt(sum max(cos_f, 0)^2) if units do not mix features. Where they do, the model
    as it is can score more or less; it belongs to the range as well.

    Parameters
    ----------
    model
        (stimulus, stimulus) kernel.
    brain
        The recording.
    of_model, of_brain
        (feature and rest,) bool, whether each side has the feature.
    score
        Of the model as it is.
    """
    a = blocks(model, brain.orthogonal)
    shared, own = parts(a, brain.side.mean), parts(a, model)
    usable = of_model & (own > 0)
    total = brain.energy.sum()
    alone = np.full(len(own), np.nan)
    np.divide(shared, np.sqrt(np.maximum(own * total, 0)), out=alone, where=(own > 0) & (total > 0))
    alone = np.clip(alone, -1, 1)
    low = high = equalised = float("nan")
    if usable.any() and total > 0:
        low = float(np.minimum(alone[usable].min(), score))
        re_weighted = np.sqrt((np.maximum(alone[usable], 0) ** 2).sum())
        high = float(np.maximum(min(1.0, re_weighted), score))
    if of_brain.any():
        cosines = equal_cosines(shared, own, brain.within)
        equalised = float(np.where(usable, cosines, 0)[of_brain].mean())
    return Range(alone, low, high, equalised, usable)


@dataclass(frozen=True, eq=False)
class Remainder:
    """A recording from which features are regressed out.

    Attributes
    ----------
    mean : (stimulus, stimulus), the kernel
    design : the features
    energy : its similarity with itself without them, free of noise
    """

    mean: np.ndarray
    design: Design
    energy: float

    @classmethod
    def of(cls, side: Side, design: Design) -> Remainder:
        """Regress features out of a recording."""
        pairs = side.halves if len(side.halves) else [(side.mean, side.mean)]
        energy = np.mean([(rest_weights(a, design) * b).sum() for a, b in pairs])
        return cls(side.mean, design, float(energy))

    def score(self, kernel: np.ndarray) -> float:
        """Return the score of a model from which the features are regressed out as well.

        NaN if nothing is left of either side.
        """
        phi = rest_weights(kernel, self.design)
        energies = (phi * kernel).sum() * self.energy
        return float((phi * self.mean).sum() / np.sqrt(energies)) if energies > 0 else float("nan")
