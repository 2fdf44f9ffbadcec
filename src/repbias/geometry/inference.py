"""Bootstrap intervals of the similarity between models' RDMs and subjects' RDMs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

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
    more than once, so three bootstraps are combined.

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
            resampled = resampled_similarity(models[block], data, rdm_similarity, draws.stimuli)
        samples = draws.means(by_subject[block], resampled)
        variances = {k: v.var(axis=0, ddof=1) for k, v in samples.items()}
        variance[block], degrees[block] = draws.variance(variances), draws.degrees(variances)
    mean = by_subject.mean(axis=1)
    width = student.ppf(0.975, degrees) * np.sqrt(variance)
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
    subjects : (sample, subject)
    """

    level: str
    groups: StimulusGroups
    stimuli: np.ndarray
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
        return cls(level, groups, stimuli, rng.multinomial(n_subjects, share, size=len(stimuli)))

    @property
    def interval(self) -> str:
        """What an interval generalises to."""
        stimuli = self.groups.of_stimuli
        return {
            "both": f"95 %, dual bootstrap of {stimuli} and subjects",
            "stimuli": f"95 %, bootstrap of {stimuli} (these subjects only)",
            "subjects": "95 %, bootstrap of subjects (these stimuli only)",
        }[self.level]

    def counts(self) -> dict[str, tuple[float, int]]:
        """Return what is resampled: its number n in n / (n - 1), and degrees of freedom."""
        n = self.subjects.shape[1]
        units = {"stimuli": self.groups.resampled_units, "subjects": (n, n - 1)}
        return units if self.level == "both" else {self.level: units[self.level]}

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
            Of the bootstraps of :meth:`means`.
        further
            Other independent variances, and their degrees of freedom.
        """
        parts: list[tuple[np.ndarray, np.ndarray | int]]
        parts = [(variances[factor] * n / (n - 1), d) for factor, (n, d) in self.counts().items()]
        total = self.variance(variances) + sum(v for v, _ in further)
        parts += further
        weight = sum(v**2 / d for v, d in parts)
        fewest = np.min([np.broadcast_to(d, np.shape(total)) for _, d in parts], axis=0)
        return np.maximum(ratio(total**2, weight), fewest)

    def means(self, full: np.ndarray, resampled: np.ndarray | None) -> dict[str, np.ndarray]:
        """Average over subjects in every sample of every bootstrap that the level needs.

        Parameters
        ----------
        full
            (model, subject) similarity over all stimuli.
        resampled
            (sample, model, subject) similarity over resampled stimuli.

        Returns
        -------
        dict
            What is resampled to (sample, model): "stimuli", "subjects" and "both", or the one that
            the level names.
        """
        share = self.subjects / self.subjects.shape[1]
        result = {}
        if self.level != "subjects":
            assert resampled is not None
            result["stimuli"] = resampled.mean(axis=2)
        if self.level != "stimuli":
            result["subjects"] = share @ full.T
        if self.level == "both":
            assert resampled is not None
            result["both"] = np.einsum("bms,bs->bm", resampled, share)
        return result

    def variance(self, variances: dict[str, np.ndarray]) -> np.ndarray:
        """Combine the variances of the bootstraps of :meth:`means`, with n / (n - 1) each."""
        n = {factor: n for factor, (n, _) in self.counts().items()}
        if self.level == "both":
            both, subjects, stimuli = (variances[k] for k in ("both", "subjects", "stimuli"))
            return dual_variance(both, subjects, stimuli, n["subjects"], n["stimuli"])
        return variances[self.level] * n[self.level] / (n[self.level] - 1)


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
