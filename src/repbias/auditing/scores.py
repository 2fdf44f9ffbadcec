"""A score divided: shares with intervals, the gate, what remains, and how far it could move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from repbias.auditing.design import Design
from repbias.auditing.kernels import Noise, SubjectKernel
from repbias.auditing.shares import (
    Freed,
    adjusted_parts,
    block_parts,
    centred,
    rest_part,
    score_parts,
    weights,
)

#: A function of two kernels and a design that returns their parts.
Parts = Callable[[Freed, Freed, Design], np.ndarray]

#: Subjects from which on intervals are over them; fewer say nothing of others.
MIN_SUBJECTS = 4
#: What intervals are about.
#: Parts below this share of all are rounding: activations have 24 bits.
ROUNDING = 1e-7
NO_INTERVAL = "no interval: too few repeats of fewer than four subjects"
NEW_SUBJECTS = "these stimuli, other subjects like these"
THESE_SUBJECTS = "these stimuli and subjects, other repeats"


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison: a layer, or the subjects of a recording.

    Attributes
    ----------
    kernels : (subject, stimulus, stimulus), free of noise as far as there are repeats
    of_means : (subject, stimulus, stimulus), of mean patterns
    without : (fold, stimulus, stimulus), mean over subjects without each fold; empty of one
    halves : (split, 2, stimulus, stimulus), mean over subjects of kernels of disjoint repeats
    noise : of every subject, what varies between repeats; empty where it is not known
    """

    kernels: np.ndarray
    of_means: np.ndarray
    without: np.ndarray
    halves: np.ndarray
    noise: Sequence[Noise] = ()

    @classmethod
    def of_network(cls, kernel: np.ndarray) -> Side:
        """Return a side without noise."""
        none = np.empty((0, *kernel.shape))
        return cls(kernel[None], kernel[None], none, np.empty((0, 2, *kernel.shape)))

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
            np.stack([s.means for s in subjects]),
            np.array(without).reshape(-1, *shape),
            np.mean([s.halves[:n_splits] for s in subjects], axis=0),
            noise if len(noise) == len(subjects) else (),
        )

    @cached_property
    def mean(self) -> np.ndarray:
        """The mean kernel over subjects, (stimulus, stimulus)."""
        return self.kernels.mean(axis=0)

    @cached_property
    def means(self) -> np.ndarray:
        """The mean over subjects of the kernels of mean patterns, (stimulus, stimulus)."""
        return self.of_means.mean(axis=0)

    def energy(self, design: Design, parts_of: Parts = score_parts) -> np.ndarray:
        """Return the parts of this side's similarity with itself, free of noise.

        (feature and rest,), by :func:`repbias.auditing.shares.score_parts` or
        :func:`~repbias.auditing.shares.block_parts`. Of one repeat noise counts as signal.
        """
        halves = self.halves if len(self.halves) else [(self.mean, self.mean)]
        pairs = ((Freed.of(a, design), Freed.of(b, design)) for a, b in halves)
        return np.mean([parts_of(a, b, design) for a, b in pairs], axis=0)


@dataclass(frozen=True, eq=False)
class Brain:
    """A recording's side with a design, and what does not depend on the model.

    Attributes
    ----------
    side : the subjects
    design : the features
    orthogonal : the design of orthogonal features
    energy : (feature and rest,), of :meth:`Side.energy`
    within : (feature and rest,), the same within features, of `orthogonal`
    subjects, mean, means, without : the side's kernels, freed of their diagonals
    """

    side: Side
    design: Design
    orthogonal: Design
    energy: np.ndarray
    within: np.ndarray
    subjects: Sequence[Freed]
    mean: Freed
    means: Freed
    without: Sequence[Freed]

    @classmethod
    def of(cls, side: Side, design: Design) -> Brain:
        """Compute what all models share."""
        orthogonal = design.orthogonal()
        return cls(
            side,
            design,
            orthogonal,
            side.energy(design),
            side.energy(orthogonal, block_parts),
            [Freed.of(kernel, design) for kernel in side.kernels],
            Freed.of(side.mean, design),
            Freed.of(side.means, design),
            [Freed.of(kernel, design) for kernel in side.without],
        )


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
    adjusted : (feature and rest,), by :func:`repbias.auditing.shares.adjusted_parts`
    of_means : (feature and rest,), from mean patterns
    predicted : (feature and rest,), by the energy law (:func:`shares_by_law`)
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
    predicted: np.ndarray
    t: float


def divide(model: np.ndarray, brain: Brain) -> Division:
    """Divide the score of a model, a kernel (stimulus, stimulus), with a recording."""
    return next(divisions(model, brain))


def divisions(model: np.ndarray, brain: Brain) -> Iterator[Division]:
    """Yield the division of a model's score with a recording, then with each of several subjects.

    Parameters
    ----------
    model
        (stimulus, stimulus) kernel.
    brain
        The recording.
    """
    side, design = brain.side, brain.design
    freed = Freed.of(model, design)
    own = block_parts(freed, freed, brain.orthogonal)
    by_subject = np.stack([score_parts(freed, subject, design) for subject in brain.subjects])
    # For intervals, of all and of each subject, if they are needed.
    weighted = cache(partial(weights, model, design))
    alone: list[int | None] = list(range(len(by_subject))) if len(by_subject) > 1 else []
    for subject in [None, *alone]:
        chosen = range(len(by_subject)) if subject is None else [subject]
        found = by_subject[chosen].mean(axis=0)
        total = found.sum()
        low, high, p, target = _interval(by_subject[chosen], brain, chosen, weighted)
        kernel = side.mean if subject is None else side.kernels[subject]
        adjusted = adjusted_parts(model, kernel, design)
        score = t = float("nan")
        of_means = found
        if subject is None:
            of_means = score_parts(freed, brain.means, design)
            energies = score_parts(freed, freed, design).sum() * brain.energy.sum()
            score = float(total / np.sqrt(energies)) if energies > 0 else score
            t = _t_over_folds(freed, total, brain)
        yield Division(
            score,
            cosine(model, side.means if subject is None else side.of_means[subject]),
            found / total,
            low,
            high,
            p,
            target,
            adjusted / adjusted.sum(),
            of_means / of_means.sum(),
            shares_by_law(own, brain.within, found[-1]),
            t,
        )


def energy_law(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Predict parts of a score from the variance of features and its dimensions on either side.

    With v the variance that a feature explains and r the participation ratio of its dimensions on
    either side, its part is v_a v_b / sqrt(r_a r_b) if its dimensions are the same on both sides
    and other features' are none of these; as r = v^2 / (squared variance), that is the geometric
    mean of the two sides' squared variances.

    Parameters
    ----------
    a, b
        (..., feature), squared variances within features: of :func:`block_parts` in a design of
        orthogonal features.
    """
    return np.sqrt(np.maximum(a, 0) * np.maximum(b, 0))


def shares_by_law(a: np.ndarray, b: np.ndarray, rest: float) -> np.ndarray:
    """Predict shares of a score by the energy law; the rest's part is the measured one.

    Returns
    -------
    numpy.ndarray
        (feature and rest,), sum 1; NaN where there is nothing.
    """
    parts = energy_law(a, b)
    parts[-1] = rest
    total = parts.sum()
    return parts / total if total > 0 else np.full(len(parts), np.nan)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Return the cosine of two kernels after centring: linear CKA (Kornblith et al. 2019)."""
    x, y = centred(a), centred(b)
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def _interval(
    by_subject: np.ndarray,
    brain: Brain,
    chosen: Sequence[int],
    weighted: Callable[[], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Return 95 % intervals of shares, p values of the parts, and the intervals' target.

    Over subjects, if there are four or more: share = mean N_f / mean N, whose error is that of the
    mean of N_f - share N. Otherwise over repeats (:func:`noise_variance`).

    Parameters
    ----------
    by_subject
        (subject, feature and rest), the parts of every chosen subject's score.
    brain
        The recording.
    chosen
        Numbers of the subjects.
    weighted
        Gives :func:`repbias.auditing.shares.weights` of the model.
    """
    n, found = len(by_subject), by_subject.mean(axis=0)
    total = found.sum()
    shares = found / total
    if n >= MIN_SUBJECTS:
        errors = (by_subject - shares * by_subject.sum(axis=1, keepdims=True)) / total
        half = stdtrit(n - 1, 0.975) * errors.std(axis=0, ddof=1) / np.sqrt(n)
        of_parts = by_subject.std(axis=0, ddof=1) / np.sqrt(n)
        p = _p_values(found, of_parts, lambda t: stdtr(n - 1, t))
        return shares - half, shares + half, p, NEW_SUBJECTS
    if not brain.side.noise:
        unknown = np.full(len(shares), np.nan)
        return unknown, unknown, unknown, NO_INTERVAL
    combined = np.eye(len(shares)) - np.outer(shares, np.ones(len(shares)))
    variances = noise_variance(
        weighted(),
        brain.side,
        chosen,
        np.concatenate([combined / total, np.eye(len(shares))]),
    )
    of_shares, of_parts = np.split(np.sqrt(variances), 2)
    half = ndtri(0.975) * of_shares
    p = _p_values(found, of_parts, ndtr)
    return shares - half, shares + half, p, THESE_SUBJECTS


def _p_values(
    parts: np.ndarray, errors: np.ndarray, distribution: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return two-sided p values of parts, from their errors.

    NaN of those that are 0 but for rounding, which is not noise, such as the rest of a model that
    consists of the features.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * distribution(-np.abs(parts) / errors)
    rounding = np.maximum(np.abs(parts), errors) <= ROUNDING * np.abs(parts).sum()
    return np.where(rounding, np.nan, p)


def noise_variance(
    a: np.ndarray, side: Side, chosen: Sequence[int], combinations: np.ndarray
) -> np.ndarray:
    """Return the variance over repeats of sums of A o K_B, K_B being a mean over subjects.

    With R repeats, mean patterns Y and noise covariance S of a subject's units, the products of
    different repeats have

        V = 4 / R [tr(A Y S Y' A) - ||A||^2 ||S||^2 / R] + 2 ||A||^2 ||S||^2 / (R (R - 1)),

    at least the second term; the mean over subjects has the mean of V over their number.

    Parameters
    ----------
    a
        (matrix, stimulus, stimulus), symmetric.
    side
        The recording, with noise.
    chosen
        Numbers of the subjects.
    combinations
        (A, matrix), weights of the matrices in every A.

    Returns
    -------
    numpy.ndarray
        (A,).
    """
    flat = a.reshape(len(a), -1)
    squares = np.einsum("cm,mn,cn->c", combinations, flat @ flat.T, combinations, optimize=True)
    variances = []
    for i in chosen:
        noise, r = side.noise[i], side.noise[i].n_repeats
        projected = (a @ noise.root).reshape(len(a), -1)
        product = projected @ projected.T
        signal = np.einsum("cm,mn,cn->c", combinations, product, combinations, optimize=True)
        size = squares * noise.square
        alone = 2 * size / (r * (r - 1))
        variances.append(np.maximum(4 / r * (signal - size / r), 0) + alone)
    return np.sum(variances, axis=0) / len(chosen) ** 2


def _t_over_folds(model: Freed, total: float, brain: Brain) -> float:
    """Return the score's t over folds, by a jackknife."""
    n = len(brain.without)
    if n < 2:
        return float("nan")
    left_out = np.array([score_parts(model, b, brain.design).sum() for b in brain.without])
    return jackknifed_t(total, left_out)


def jackknifed_t(value: float, left_out: np.ndarray) -> float:
    """Return a value divided by its jackknife error, from the value without each fold (fold,)."""
    n = len(left_out)
    error = np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    return float(value / error) if error > 0 else float("inf")


def jackknifed_shares(
    mean: np.ndarray, groups: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return 95 % intervals of shares and p values of parts, by a jackknife over units.

    Parameters
    ----------
    mean
        (feature and rest,), parts of the mean score.
    groups
        For every group of units (subjects, networks) that vary independently, (unit, feature and
        rest): the parts without each of them.

    Returns
    -------
    tuple of numpy.ndarray
        Lower and upper ends, and p values, each (feature and rest,).
    """
    variance, of_parts = np.zeros_like(mean), np.zeros_like(mean)
    for left_out in groups:
        shares = left_out / left_out.sum(axis=1, keepdims=True)
        variance += (len(left_out) - 1) * shares.var(axis=0)
        of_parts += (len(left_out) - 1) * left_out.var(axis=0)
    degrees = min(map(len, groups)) - 1
    share, half = mean / mean.sum(), stdtrit(degrees, 0.975) * np.sqrt(variance)
    p = _p_values(mean, np.sqrt(of_parts), lambda t: stdtr(degrees, t))
    return share - half, share + half, p


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
    freed = Freed.of(model, brain.design)
    shared, own = (block_parts(freed, x, brain.orthogonal) for x in (brain.mean, freed))
    usable = of_model & (own > 0)
    total = brain.energy.sum()
    alone = np.full(len(own), np.nan)
    known = (own > 0) & (total > 0)
    np.divide(shared, np.sqrt(np.maximum(own * total, 0)), out=alone, where=known)
    alone = np.clip(alone, -1, 1)
    low = high = equalised = float("nan")
    if usable.any() and total > 0:
        low = float(np.fmin(alone[usable].min(), score))
        high = float(np.sqrt((np.maximum(alone[usable], 0) ** 2).sum()))
        high = min(1.0, float(np.fmax(high, score)))
    if of_brain.any():
        cosines = equal_cosines(shared, own, brain.within)
        equalised = float(np.where(usable, cosines, 0)[of_brain].mean())
    return Range(alone, low, high, equalised, usable)


@dataclass(frozen=True, eq=False)
class Remainder:
    """A recording from which features are regressed out.

    Attributes
    ----------
    mean : its kernel, freed of its diagonal
    design : the features
    energy : its similarity with itself without them, free of noise
    """

    mean: Freed
    design: Design
    energy: float

    @classmethod
    def of(cls, side: Side, design: Design) -> Remainder:
        """Regress features out of a recording."""
        energy = side.energy(design, lambda *pair: np.array(rest_part(*pair)))
        return cls(Freed.of(side.mean, design), design, float(energy))

    def score(self, kernel: np.ndarray) -> float:
        """Return the score of a model from which the features are regressed out as well.

        NaN if nothing is left of either side.
        """
        freed = Freed.of(kernel, self.design)
        energies = rest_part(freed, freed, self.design) * self.energy
        shared = rest_part(freed, self.mean, self.design)
        return float(shared / np.sqrt(energies)) if energies > 0 else float("nan")
