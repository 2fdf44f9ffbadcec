"""Noise ceilings: the range of the similarity that the true model would reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rsatoolbox.inference import boot_noise_ceiling
from rsatoolbox.rdm import RDMs, compare
from scipy.stats import rankdata

from repbias.geometry.comparison import (
    MAX_WHITENED,
    UNCENTRED,
    WHITENED,
    copies_of,
    embedding,
    n_stimuli_of,
    ratio,
    similarities,
    weighted_products,
)
from repbias.geometry.distances import (
    halves_of_trials,
    prepared,
    trial_dissimilarities,
    usable_units,
)
from repbias.geometry.rdms import dissimilarities, subject_patterns
from repbias.geometry.spec import MEAN_DISTANCES, Comparator, Geometry
from repbias.recordings.reliability import (
    MIN_CEILING,
    UNAVAILABLE,
    lengthening,
    random_halves,
    spearman_brown,
)
from repbias.spec import RepbiasError
from repbias.store import Recording


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
    spec: Geometry,
    n_splits: int = 50,
) -> Ceiling:
    """Estimate the noise ceiling of a recording's RDMs.

    * Two subjects or more: leave-one-subject-out and full-group bounds (Nili et al. 2014), by
      rsatoolbox: the RDMs are normalised (or ranked) as the comparator does, then averaged.
    * One subject with repeats: RDMs of random halves of the repeats (of the folds, where the
      distance is cross-validated); the square root of their Spearman-Brown corrected similarity,
      as the range between the 2.5th and 97.5th percentiles over splits.
    * Otherwise unavailable (NaN).

    Parameters
    ----------
    recording
        For the repeats.
    data
        (subject, pair).
    comparator
        As in the comparison that the ceiling is for.
    spec
        Distance and noise of the recording; seed of the splits.
    n_splits
        Random halves of the repeats.
    """
    if len(data) > 1:
        low, high = subject_ceiling(data, comparator)
        return Ceiling(low, high, "leave one subject out (Nili et al. 2014)")
    if recording.responses is None:
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: one subject's RDM without repeats")
    (subject,) = subject_patterns(recording)
    distance = spec.recording_distance
    usable, _ = usable_units(subject.tensor, subject.folds, distance, spec.noise)
    usable &= ((~np.isnan(subject.tensor)).sum(axis=1) >= 2).all(axis=0)
    tensor, folds, left_out = subject.tensor[:, :, usable], subject.folds, (~usable).sum()
    if usable.sum() < 2:
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: fewer than two repeats of some stimuli")
    values = []
    try:
        if distance in MEAN_DISTANCES:
            for pair in random_halves(tensor, n_splits, spec.seed):
                first, second = (dissimilarities(half, distance) for half in pair)
                values.append(similarities(first[None], second[None], comparator)[0, 0])
        else:
            # Normalised by the noise of all trials, not of each half.
            tensor, folds = prepared(tensor, folds, distance, spec.noise)
            for pair in halves_of_trials(tensor, folds, distance, n_splits, spec.seed):
                first, second = (trial_dissimilarities(half, folds, distance) for half in pair)
                values.append(similarities(first[None], second[None], comparator)[0, 0])
    except RepbiasError as error:  # a pattern that is constant in one half; too few folds
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: half of the repeats: {error}")
    whole = spearman_brown(np.array(values), lengthening(tensor).mean())
    low, high = np.percentile(np.sqrt(whole), [2.5, 97.5])
    if low <= MIN_CEILING:
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: halves of the repeats do not agree")
    note = f" ({left_out} units without two repeats left out)" if left_out else ""
    return Ceiling(
        float(low),
        float(high),
        f"sqrt of split-half RDM similarity, Spearman-Brown corrected{note}",
    )


def subject_ceiling(data: np.ndarray, comparator: Comparator) -> tuple[float, float]:
    """Return rsatoolbox's lower and upper noise ceiling of subjects' RDMs (subject, pair).

    Whitened comparators from 100 stimuli on, where rsatoolbox fails, by the same formula.
    """
    n = n_stimuli_of(data)
    if comparator not in WHITENED or n < MAX_WHITENED:
        low, high = boot_noise_ceiling(RDMs(data), comparator)
        return float(low), float(high)
    gram = embedding(data, comparator)
    gram = gram @ gram.T
    scale = _pooling_scale(data, comparator, np.ones((1, n)))
    return tuple(float(v[0]) for v in _gram_ceiling(gram[None], scale, np.ones((1, len(data)))))


def _pooling_scale(data: np.ndarray, comparator: Comparator, counts: np.ndarray) -> np.ndarray:
    """Return (sample, subject) by what rsatoolbox multiplies RDMs before it averages them.

    One over the standard deviation or root mean square of plain dissimilarities, whether or not
    the comparator whitens.
    """
    plain = "cosine" if comparator in UNCENTRED else "corr"
    squares = [dd for _, _, _, dd in weighted_products(data[:1], data, plain, counts)]
    squares = np.concatenate(squares)
    return np.divide(1, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)


def _gram_ceiling(
    gram: np.ndarray, scale: np.ndarray, subjects: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ceiling from inner products between subjects.

    The pooled RDM is sum_t v_t x_t with v = r * scale. Upper: its cosine with x_s, which is
    (N v)_s / sqrt(v'N v N_ss); lower: the same without all copies of s; means over drawn subjects.

    Parameters
    ----------
    gram
        (sample, subject, subject), N.
    scale
        (sample, subject).
    subjects
        (sample, subject), r: how often each was drawn.
    """
    v = subjects * scale
    nv = np.einsum("bst,bt->bs", gram, v)
    own = np.einsum("bss->bs", gram)
    vnv = (v * nv).sum(axis=1, keepdims=True)
    upper = ratio(nv, np.sqrt(np.maximum(vnv * own, 0)))
    others = np.maximum(vnv - 2 * v * nv + v**2 * own, 0)
    lower = ratio(nv - v * own, np.sqrt(others * own))
    share = subjects / subjects.sum(axis=1, keepdims=True)
    return (lower * share).sum(axis=1), (upper * share).sum(axis=1)


def resampled_lower_ceiling(
    data: np.ndarray, comparator: Comparator, stimuli: np.ndarray, subjects: np.ndarray
) -> np.ndarray:
    """Return the lower noise ceiling of every bootstrap sample.

    As rsatoolbox: every drawn subject is compared with the average of the others, in which its
    copies do not count. The mean is over drawn subjects, copies counting, as in the similarities
    that it is compared with.

    Parameters
    ----------
    data
        (subject, pair).
    comparator
        Ranked ones and "tau-a" are ranked anew in every sample: some ten times slower.
    stimuli, subjects
        (sample, stimulus) and (sample, subject), how often each was drawn; at least two different
        subjects in every sample.

    Returns
    -------
    numpy.ndarray
        (sample,).
    """
    if comparator not in ("spearman", "rho-a", "tau-a"):
        gram = [xy for _, xy, _, _ in weighted_products(data, data, comparator, stimuli)]
        scale = _pooling_scale(data, comparator, stimuli)
        return _gram_ceiling(np.concatenate(gram), scale, subjects)[0]
    result = np.empty(len(stimuli))
    for sample, (c, r) in enumerate(zip(stimuli, subjects, strict=True)):
        x = copies_of(data, c)
        ranks, drawn = rankdata(x, axis=1), np.flatnonzero(r)
        others = r * ~np.eye(len(r), dtype=bool)
        values = [compare((others[s] @ ranks)[None], x[[s]], comparator)[0, 0] for s in drawn]
        result[sample] = np.average(values, weights=r[drawn])
    return result
