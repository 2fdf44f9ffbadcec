"""Noise ceilings of recordings, over subjects or over repeats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.geometry.ceilings import subject_ceiling
from repbias.geometry.comparison import similarities
from repbias.geometry.distances import dissimilarities
from repbias.geometry.spec import MEAN_DISTANCES, Geometry, RdmSimilarity
from repbias.geometry.trials import (
    halves_of_trials,
    prepared,
    trial_dissimilarities,
    usable_units,
)
from repbias.io.recordings import Recording
from repbias.recordings.reliability import (
    MIN_CEILING,
    UNAVAILABLE,
    length_ratio,
    random_halves,
    spearman_brown,
)
from repbias.rsa.patterns import SubjectPatterns, subject_patterns


@dataclass
class Ceiling:
    """Range of the similarity that the true model would reach, and how it was estimated.

    Attributes
    ----------
    low, high : NaN if unavailable
    convention : how it was estimated, or why it is unavailable
    """

    low: float
    high: float
    convention: str


def noise_ceiling(
    recording: Recording,
    data: np.ndarray,
    rdm_similarity: RdmSimilarity,
    spec: Geometry,
    n_splits: int = 50,
) -> Ceiling:
    """Estimate the noise ceiling of a recording's RDMs.

    * Two subjects or more: leave-one-subject-out and full-group bounds (Nili et al. 2014), as
      in rsatoolbox: RDMs are normalised (or ranked) as the measure does, then averaged.
    * One subject with repeats: RDMs of random halves of the repeats (of the folds, if the
      distance is cross-validated); the square root of their Spearman-Brown corrected similarity,
      as the range between the 2.5th and 97.5th percentiles over splits.
    * Otherwise unavailable (NaN).

    Parameters
    ----------
    recording
        Provides the repeats.
    data
        (subject, pair).
    rdm_similarity
        As in the comparison that the ceiling is for.
    spec
        Distance and noise of the recording; seed of the splits.
    n_splits
        Random halves of the repeats.
    """
    if len(data) > 1:
        low, high = subject_ceiling(data, rdm_similarity)
        return Ceiling(low, high, "leave one subject out (Nili et al. 2014)")
    if recording.responses is None:
        return _unavailable("one subject's RDM without repeats")
    (subject,) = subject_patterns(recording)
    return _split_half_ceiling(subject, rdm_similarity, spec, n_splits)


def _unavailable(why: str) -> Ceiling:
    return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: {why}")


def _split_half_ceiling(
    subject: SubjectPatterns, rdm_similarity: RdmSimilarity, spec: Geometry, n_splits: int
) -> Ceiling:
    """Estimate the noise ceiling of one subject with repeats."""
    usable, _ = usable_units(subject.tensor, subject.folds, spec.recording_distance, spec.noise)
    usable &= ((~np.isnan(subject.tensor)).sum(axis=1) >= 2).all(axis=0)
    if usable.sum() < 2:
        return _unavailable("fewer than two repeats of some stimuli")
    tensor, folds = subject.tensor[:, :, usable], subject.folds
    try:
        if spec.recording_distance not in MEAN_DISTANCES:
            # Normalised by the noise of all trials, not of each half.
            tensor, folds = prepared(tensor, folds, spec.recording_distance, spec.noise)
        halves = _rdms_of_halves(tensor, folds, spec, n_splits)
        values = [similarities(a[None], b[None], rdm_similarity)[0, 0] for a, b in halves]
    except RepbiasError as error:  # a pattern that is constant in one half; too few folds
        return _unavailable(f"half of the repeats: {error}")
    corrected = spearman_brown(np.array(values), length_ratio(tensor).mean())
    low, high = np.percentile(np.sqrt(corrected), [2.5, 97.5])
    if low <= MIN_CEILING:
        return _unavailable("halves of the repeats do not agree")
    left_out = (~usable).sum()
    note = f" ({left_out} units without two repeats left out)" if left_out else ""
    return Ceiling(
        float(low),
        float(high),
        f"sqrt of split-half RDM similarity, Spearman-Brown corrected{note}",
    )


def _rdms_of_halves(
    tensor: np.ndarray, folds: np.ndarray, spec: Geometry, n_splits: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the RDMs (pair,) of two halves of the repeats."""
    distance = spec.recording_distance
    if distance in MEAN_DISTANCES:
        for a, b in random_halves(tensor, n_splits, spec.seed):
            yield dissimilarities(a, distance), dissimilarities(b, distance)
    else:
        for a, b in halves_of_trials(tensor, folds, distance, n_splits, spec.seed):
            yield (
                trial_dissimilarities(a, folds, distance),
                trial_dissimilarities(b, folds, distance),
            )
