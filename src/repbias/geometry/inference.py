"""Intervals and noise ceilings of comparisons between model RDMs and a recording's RDMs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rsatoolbox.inference import boot_noise_ceiling
from rsatoolbox.rdm import compare
from scipy.stats import t as student

from repbias.geometry.rdms import dissimilarities, make_rdms
from repbias.geometry.spec import Comparator, Distance
from repbias.recordings.reliability import (
    MIN_CEILING,
    UNAVAILABLE,
    by_repeat,
    lengthening,
    random_halves,
    spearman_brown,
)
from repbias.spec import RepbiasError
from repbias.store import Recording

#: Bootstrap samples whose pair weights are held in memory at once.
_BLOCK = 50


@dataclass
class Evaluation:
    """Similarity of every model with a recording.

    Attributes
    ----------
    similarity : (model,) mean over subjects
    ci_low, ci_high : (model,) 95 % interval
    interval : what the interval generalises to
    """

    similarity: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    interval: str


def evaluate(
    models: np.ndarray, data: np.ndarray, comparator: Comparator, bootstraps: int, seed: int
) -> Evaluation:
    """Compare fixed models with every subject's RDM; intervals from the dual bootstrap.

    The variance is that of Schütt et al. (2023, eLife, eq. 4 with small-sample corrections, as
    in `rsatoolbox.inference.eval_dual_bootstrap`): resampling stimuli and subjects together
    counts measurement noise more than once, so the three bootstraps are combined. With one
    subject only stimuli are resampled, and the interval says so.

    Parameters
    ----------
    models
        (model, pair).
    data
        (subject, pair), over the same stimuli in the same order.
    comparator
        As rsatoolbox calls it.
    bootstraps
        Number of samples.
    seed
        Of the resampling.
    """
    n_subjects = len(data)
    n_stimuli = round((1 + np.sqrt(1 + 8 * data.shape[1])) / 2)
    # rsatoolbox is the reference for the point estimate.
    similarity = compare(_rdms(models, n_stimuli), _rdms(data, n_stimuli), comparator)
    rng = np.random.default_rng(seed)
    stimuli = rng.multinomial(n_stimuli, np.full(n_stimuli, 1 / n_stimuli), size=bootstraps)
    # As rsatoolbox does: fewer than three different stimuli have no similarity.
    stimuli = stimuli[(stimuli > 0).sum(axis=1) >= 3]
    resampled = resampled_similarity(models, data, comparator, stimuli)
    by_stimuli = resampled.mean(axis=2).var(axis=0, ddof=1)
    if n_subjects == 1:
        variance = by_stimuli * n_stimuli / (n_stimuli - 1)
        degrees, interval = n_stimuli - 1, "95 %, bootstrap of stimuli (these subjects only)"
    else:
        share = np.full(n_subjects, 1 / n_subjects)
        subjects = rng.multinomial(n_subjects, share, size=len(stimuli))
        by_subjects = (similarity @ subjects.T / n_subjects).var(axis=1, ddof=1)
        both = np.einsum("bms,bs->bm", resampled, subjects / n_subjects).var(axis=0, ddof=1)
        variance = dual_variance(both, by_subjects, by_stimuli, n_subjects, n_stimuli)
        degrees = min(n_subjects, n_stimuli) - 1
        interval = "95 %, dual bootstrap of stimuli and subjects"
    mean = similarity.mean(axis=1)
    width = student.ppf(0.975, degrees) * np.sqrt(variance)
    return Evaluation(mean, mean - width, mean + width, interval)


def dual_variance(
    both: np.ndarray,
    by_subjects: np.ndarray,
    by_stimuli: np.ndarray,
    n_subjects: int,
    n_stimuli: int,
) -> np.ndarray:
    """Combine three bootstrap variances (Schütt et al. 2023, small-sample form)."""
    subjects = by_subjects * n_subjects / (n_subjects - 1)
    stimuli = by_stimuli * n_stimuli / (n_stimuli - 1)
    factor = n_subjects * n_stimuli / ((n_subjects - 1) * (n_stimuli - 1))
    variance = subjects + stimuli - factor * (both - by_subjects - by_stimuli)
    return np.minimum(np.maximum(np.maximum(variance, subjects), stimuli), both)


def resampled_similarity(
    models: np.ndarray, data: np.ndarray, comparator: Comparator, counts: np.ndarray
) -> np.ndarray:
    """Compare models and data under bootstrap samples of the stimuli.

    A pair (u, v) counts c_u c_v times; pairs of a stimulus with itself do not exist. This equals
    copying rows and columns of the RDMs, without the copies.

    Parameters
    ----------
    models, data
        (model, pair) and (subject, pair).
    comparator
        As rsatoolbox calls it.
    counts
        (sample, stimulus), how often each stimulus was drawn.

    Returns
    -------
    numpy.ndarray
        (sample, model, subject).
    """
    if comparator in ("spearman", "rho-a"):
        return np.stack(
            [_rank_similarity(models, data, comparator, w[0]) for w in _pair_weights(counts, 1)]
        )
    if comparator == "corr":  # for precision
        models = models - models.mean(axis=1, keepdims=True)
        data = data - data.mean(axis=1, keepdims=True)
    n_samples = len(counts)
    result = np.empty((n_samples, len(models), len(data)))
    start = 0
    for w in _pair_weights(counts, _BLOCK):
        block = slice(start, start + len(w))
        total = w.sum(axis=1)[:, None]
        m, d = w @ models.T / total, w @ data.T / total
        mm, dd = w @ (models**2).T / total, w @ (data**2).T / total
        md = np.stack([(w * row) @ models.T for row in data], axis=2) / total[:, :, None]
        if comparator == "corr":
            md = md - m[:, :, None] * d[:, None, :]
            mm, dd = (
                np.where(v > 1e-12 * square, v, 0)
                for v, square in ((mm - m**2, mm), (dd - d**2, dd))
            )
        result[block] = _ratio(md, np.sqrt(mm[:, :, None] * dd[:, None, :]))
        start += len(w)
    return result


def _pair_weights(counts: np.ndarray, block: int) -> Iterator[np.ndarray]:
    first, second = np.triu_indices(counts.shape[1], 1)
    for start in range(0, len(counts), block):
        c = counts[start : start + block].astype(np.float64)
        yield c[:, first] * c[:, second]


def _rank_similarity(
    models: np.ndarray, data: np.ndarray, comparator: Comparator, weights: np.ndarray
) -> np.ndarray:
    ranks_m = np.stack([weighted_midranks(row, weights) for row in models])
    ranks_d = np.stack([weighted_midranks(row, weights) for row in data])
    total = weights.sum()
    ranks_m -= (ranks_m @ weights / total)[:, None]
    ranks_d -= (ranks_d @ weights / total)[:, None]
    products = (ranks_m * weights) @ ranks_d.T
    if comparator == "rho-a":
        return 12 * products / (total**3 - total)
    squares_m, squares_d = (ranks_m**2) @ weights, (ranks_d**2) @ weights
    return _ratio(products, np.sqrt(np.outer(squares_m, squares_d)))


def _ratio(products: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Similarity; 0 where an RDM is constant, as in rsatoolbox."""
    return np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)


def weighted_midranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rank values that occur `weights` times each; ties share the mean of their ranks."""
    unique, group = np.unique(values, return_inverse=True)
    in_group = np.bincount(group, weights, minlength=len(unique))
    below = np.cumsum(in_group) - in_group
    return (below + (in_group + 1) / 2)[group]


@dataclass
class Ceiling:
    """Range of the similarity that the true model would reach, and how it was estimated."""

    low: float
    high: float
    convention: str


def noise_ceiling(
    recording: Recording,
    data: np.ndarray,
    comparator: Comparator,
    distance: Distance,
    n_splits: int = 50,
    seed: int = 0,
) -> Ceiling:
    """Estimate the noise ceiling of a recording's RDMs.

    * Two subjects or more: leave-one-subject-out and full-group bounds (Nili et al. 2014), by
      rsatoolbox.
    * One subject with repeats: RDMs of random halves of the repeats; the square root of their
      Spearman-Brown corrected similarity, as the range between the 2.5th and 97.5th percentiles
      over splits.
    * Otherwise unavailable (NaN).

    Parameters
    ----------
    recording
        For the repeats.
    data
        (subject, pair).
    comparator, distance
        As in the comparison that the ceiling is for.
    n_splits, seed
        Random halves of the repeats.
    """
    n_stimuli = len(recording.stimulus_ids)
    if len(data) > 1:
        low, high = boot_noise_ceiling(_rdms(data, n_stimuli), comparator)
        return Ceiling(float(low), float(high), "leave one subject out (Nili et al. 2014)")
    if recording.responses is None:
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: one subject's RDM without repeats")
    tensor = by_repeat(recording)
    tensor = tensor[:, :, ((~np.isnan(tensor)).sum(axis=1) >= 2).all(axis=0)]
    if tensor.shape[2] < 2:
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: fewer than two repeats of some stimuli")
    similarities = []
    for halves in random_halves(tensor, n_splits, seed):
        try:
            first, second = (_rdms(dissimilarities(h, distance), n_stimuli) for h in halves)
        except RepbiasError as error:  # a pattern that is constant in one half
            return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: half of the repeats: {error}")
        similarities.append(compare(first, second, comparator)[0, 0])
    whole = spearman_brown(np.array(similarities), lengthening(tensor).mean())
    low, high = np.percentile(np.sqrt(whole), [2.5, 97.5])
    if low <= MIN_CEILING:
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: halves of the repeats do not agree")
    left_out = recording.responses.shape[1] - tensor.shape[2]
    note = f" ({left_out} units without two repeats left out)" if left_out else ""
    return Ceiling(
        float(low),
        float(high),
        f"sqrt of split-half RDM similarity, Spearman-Brown corrected{note}",
    )


def _rdms(vectors: np.ndarray, n_stimuli: int):
    return make_rdms(vectors, np.arange(n_stimuli).astype(str), "given", {})
