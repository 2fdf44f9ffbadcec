"""Bootstrap intervals of the similarity between models' RDMs and subjects' RDMs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.geometry.comparison import (
    MEMORY,
    n_stimuli_of,
    ratio,
    refuse_not_finite,
    resampled_similarity,
    similarities,
)
from repbias.geometry.spec import Generalise, RdmSimilarity


@dataclass
class Evaluation:
    """Similarity of every model with the subjects.

    Attributes
    ----------
    similarity : (model,) mean over subjects
    by_subject : (model, subject)
    ci_low, ci_high : (model,) 95 % interval
    degrees : (model,) degrees of freedom of the interval
    interval : what the interval generalises to
    """

    similarity: np.ndarray
    by_subject: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    degrees: np.ndarray
    interval: str


def evaluate(
    models: np.ndarray,
    data: np.ndarray,
    rdm_similarity: RdmSimilarity,
    bootstraps: int,
    seed: int,
    generalise: Generalise = "auto",
    groups: StimulusGroups | None = None,
) -> Evaluation:
    """Compare fixed models with every subject's RDM, with bootstrap intervals.

    If both stimuli and subjects are resampled, the variance is that of the dual bootstrap (Schütt
    et al. 2023, eLife, eq. 4 with small-sample corrections, as in
    `rsatoolbox.inference.eval_dual_bootstrap`): resampling both together counts measurement noise
    more than once, so three bootstraps are combined. Where a few stimuli make most of an RDM, the
    bootstrap is too narrow, as samples without them look alike; therefore variance and degrees of
    freedom over stimuli are those of a jackknife if these are wider (:func:`jackknifed`).

    Parameters
    ----------
    models
        (model, pair).
    data
        (subject, pair), over the same stimuli in the same order.
    rdm_similarity
        As rsatoolbox calls it.
    bootstraps
        Number of samples.
    seed
        Of the resampling.
    generalise
        What is resampled: "stimuli", "subjects", "both", or "auto": both if there are two
        subjects or more, otherwise stimuli.
    groups
        Which stimuli are resampled together; by default each is on its own.

    Raises
    ------
    RepbiasError
        If an RDM is not finite, or subjects are to be resampled and there is only one.
    """
    refuse_not_finite(models, "models")
    refuse_not_finite(data, "subjects")
    groups = groups or StimulusGroups.alone(n_stimuli_of(data))
    draws = Draws.of(groups, len(data), bootstraps, seed, generalise)
    by_subject = similarities(models, data, rdm_similarity)
    # Blocks of models, so that the samples of one block fit the memory.
    size = max(1, MEMORY // (bootstraps * len(data)))
    variance, degrees = np.empty((2, len(models)))
    for start in range(0, len(models), size):
        block = slice(start, start + size)
        resampled = None
        if draws.level != "subjects":
            resampled = resampled_similarity(models[block], data, rdm_similarity, draws.counts)
        variances = draws.variances(draws.means(by_subject[block], resampled))
        variance[block], degrees[block] = draws.variance(variances), draws.degrees(variances)
    mean = by_subject.mean(axis=1)
    width = stdtrit(degrees, 0.975) * np.sqrt(variance)
    low, high = within_bounds(mean - width), within_bounds(mean + width)
    return Evaluation(mean, by_subject, low, high, degrees, draws.interval)


def within_bounds(ends: np.ndarray | float) -> Any:
    """Return ends of intervals of similarities, none beyond the -1 or 1 that there can be."""
    return np.clip(ends, -1, 1)


def resampled_level(n_subjects: int, generalise: Generalise) -> str:
    """Return what is resampled: "stimuli", "subjects" or "both".

    Raises
    ------
    RepbiasError
        If subjects are to be resampled and there is only one.
    """
    if generalise == "auto":
        return "both" if n_subjects > 1 else "stimuli"
    if generalise != "stimuli" and n_subjects < 2:
        raise RepbiasError(
            f"geometry.generalise: {generalise!r} resamples subjects, but the recording has "
            f"{n_subjects}; expected at least 2, or 'stimuli' or 'auto'"
        )
    return generalise


@dataclass
class Draws:
    """Bootstrap samples, which are the same for all models.

    Attributes
    ----------
    level : what is resampled: "stimuli", "subjects" or "both"
    groups : which stimuli are resampled together
    stimuli : (sample, stimulus) how often each was drawn
    left_out : (block, stimulus) 0 where a stimulus is left out of the jackknife, else 1
    subjects : (sample, subject)
    """

    level: str
    groups: StimulusGroups
    stimuli: np.ndarray
    left_out: np.ndarray
    subjects: np.ndarray

    @classmethod
    def of(
        cls,
        groups: StimulusGroups,
        n_subjects: int,
        bootstraps: int,
        seed: int,
        generalise: Generalise,
    ) -> Draws:
        """Draw the samples."""
        level = resampled_level(n_subjects, generalise)
        rng = np.random.default_rng(seed)
        stimuli = groups.resampled(bootstraps, rng)
        share = np.full(n_subjects, 1 / n_subjects)
        subjects = rng.multinomial(n_subjects, share, size=len(stimuli))
        return cls(level, groups, stimuli, groups.left_out(), subjects)

    @property
    def counts(self) -> np.ndarray:
        """How often each stimulus occurs in every sample, then without every left-out block."""
        return np.concatenate([self.stimuli, self.left_out])

    @property
    def bootstrap(self) -> str:
        """What is resampled, in words."""
        stimuli = self.groups.of_stimuli
        return {
            "both": f"dual bootstrap of {stimuli} and subjects",
            "stimuli": f"bootstrap of {stimuli}",
            "subjects": "bootstrap of subjects",
        }[self.level]

    @property
    def interval(self) -> str:
        """What an interval generalises to."""
        limits = {"stimuli": " (these subjects only)", "subjects": " (these stimuli only)"}
        return f"95 %, {self.bootstrap}{limits.get(self.level, '')}"

    def resampled_units(self) -> dict[str, tuple[float, int]]:
        """Return what is resampled: its number n in n / (n - 1), and degrees of freedom."""
        n = self.subjects.shape[1]
        units = {"stimuli": self.groups.resampled_units, "subjects": (n, n - 1)}
        return units if self.level == "both" else {self.level: units[self.level]}

    def means(self, full: np.ndarray, resampled: np.ndarray | None) -> dict[str, np.ndarray]:
        """Average over subjects in every sample of every bootstrap that the level needs.

        Parameters
        ----------
        full
            (model, subject) similarity over all stimuli.
        resampled
            (sample and block, model, subject) similarity under :attr:`counts`.

        Returns
        -------
        dict
            What is resampled to (sample, model): "stimuli", "subjects" and "both", or the one that
            the level names; and "left_out" to (block, model), if stimuli are resampled.
        """
        share = self.subjects / self.subjects.shape[1]
        result = {}
        if resampled is not None:
            resampled, left_out = resampled[: len(share)], resampled[len(share) :]
        if self.level != "subjects":
            assert resampled is not None
            result["stimuli"] = resampled.mean(axis=2)
            result["left_out"] = left_out.mean(axis=2)
        if self.level != "stimuli":
            result["subjects"] = share @ full.T
        if self.level == "both":
            assert resampled is not None
            result["both"] = np.einsum("bms,bs->bm", resampled, share)
        return result

    @staticmethod
    def variances(samples: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the variance of every bootstrap of :meth:`means`, and those of the jackknife."""
        samples = dict(samples)
        left_out = samples.pop("left_out", None)
        variances = {k: v.var(axis=0, ddof=1) for k, v in samples.items()}
        return variances | (jackknifed(left_out) if left_out is not None else {})

    def degrees(
        self,
        variances: dict[str, np.ndarray],
        further: Sequence[tuple[np.ndarray, np.ndarray | int]] = (),
    ) -> np.ndarray:
        """Return the degrees of freedom of a sum of variances (Satterthwaite 1946).

        (sum V)^2 / sum(V^2 / d) over the factors that vary, each with d degrees of freedom.
        rsatoolbox takes those of the smallest factor, as if all variance came from it, even if its
        few subjects or networks hardly differ.

        Parameters
        ----------
        variances
            Of :meth:`variances`.
        further
            Other independent variances, and their degrees of freedom.
        """
        parts: list[tuple[np.ndarray, np.ndarray | int]]
        parts = [
            (variances[factor] * n / (n - 1), d)
            for factor, (n, d) in self.resampled_units().items()
        ]
        if "left_out" in variances:  # stimuli are the first factor
            v, d = parts[0]
            parts[0] = np.maximum(v, variances["left_out"]), np.minimum(d, variances["degrees"])
        total = self.variance(variances) + sum(v for v, _ in further)
        parts += further
        weight = sum(v**2 / d for v, d in parts)
        fewest = np.min([np.broadcast_to(d, np.shape(total)) for _, d in parts], axis=0)
        return np.maximum(ratio(total**2, weight), fewest)

    def variance(self, variances: dict[str, np.ndarray]) -> np.ndarray:
        """Combine :meth:`variances`, those of bootstraps with n / (n - 1) each.

        What the jackknife over stimuli has more than their bootstrap is added.
        """
        n = {factor: n for factor, (n, _) in self.resampled_units().items()}
        if self.level == "both":
            both, subjects, stimuli = (variances[k] for k in ("both", "subjects", "stimuli"))
            variance = dual_variance(both, subjects, stimuli, n["subjects"], n["stimuli"])
        else:
            variance = variances[self.level] * n[self.level] / (n[self.level] - 1)
        if "left_out" in variances:
            bootstrapped = variances["stimuli"] * n["stimuli"] / (n["stimuli"] - 1)
            variance = variance + np.maximum(variances["left_out"] - bootstrapped, 0)
        return variance


def jackknifed(left_out: np.ndarray) -> dict[str, np.ndarray]:
    """Return the jackknife variance of a statistic, and its degrees of freedom.

    (g - 1) / g sum (x - mean)^2 (Efron & Tibshirani 1993, eq. 11.5). With c the deviations, the
    variance of that sum of squares is estimated as that of a mean of independent c^2; so
    d = 2 / (sum c^4 / (sum c^2)^2 - 1 / g), about g - 1 for normal deviations, and few where some
    stimuli count for most.

    Parameters
    ----------
    left_out
        (block, ...), the statistic without each of g blocks.

    Returns
    -------
    dict
        "left_out" to the variance, "degrees" to the degrees of freedom, both (...).
    """
    g = len(left_out)
    squares = (left_out - left_out.mean(axis=0)) ** 2
    total = squares.sum(axis=0)
    share = ratio((squares**2).sum(axis=0), total**2)
    degrees = np.minimum(2 / np.maximum(share - 1 / g, 2 / g), g - 1)
    return {"left_out": (g - 1) / g * total, "degrees": degrees}


def dual_variance(
    both: np.ndarray,
    by_subjects: np.ndarray,
    by_stimuli: np.ndarray,
    n_subjects: float,
    n_stimuli: float,
) -> np.ndarray:
    """Combine three bootstrap variances (Schütt et al. 2023, small-sample form)."""
    subjects = by_subjects * n_subjects / (n_subjects - 1)
    stimuli = by_stimuli * n_stimuli / (n_stimuli - 1)
    factor = n_subjects * n_stimuli / ((n_subjects - 1) * (n_stimuli - 1))
    variance = subjects + stimuli - factor * (both - by_subjects - by_stimuli)
    return np.minimum(np.maximum(np.maximum(variance, subjects), stimuli), both)
