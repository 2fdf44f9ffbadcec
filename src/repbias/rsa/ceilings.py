"""Noise ceilings of recordings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.geometry.ceilings import subject_ceiling
from repbias.geometry.comparison import (
    similarities,
)
from repbias.geometry.distances import (
    dissimilarities,
    halves_of_trials,
    prepared,
    trial_dissimilarities,
    usable_units,
)
from repbias.geometry.spec import MEAN_DISTANCES, Geometry, RdmSimilarity
from repbias.io.recordings import Recording
from repbias.recordings.reliability import (
    MIN_CEILING,
    UNAVAILABLE,
    length_ratio,
    random_halves,
    spearman_brown,
)
from repbias.rsa.patterns import subject_patterns


@dataclass
class Ceiling:
    """Range of the similarity that the true model would reach, and how it was estimated."""

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
      in rsatoolbox: the RDMs are normalised (or ranked) as the RDM similarity does, then averaged.
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
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: one subject's RDM without repeats")
    (subject,) = subject_patterns(recording)
    distance = spec.recording_distance
    usable, _ = usable_units(subject.tensor, subject.folds, distance, spec.noise)
    usable &= ((~np.isnan(subject.tensor)).sum(axis=1) >= 2).all(axis=0)
    tensor, folds, left_out = subject.tensor[:, :, usable], subject.folds, (~usable).sum()
    if usable.sum() < 2:
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: fewer than two repeats of some stimuli")
    try:
        if distance in MEAN_DISTANCES:
            halves = random_halves(tensor, n_splits, spec.seed)
            rdms = (tuple(dissimilarities(half, distance) for half in pair) for pair in halves)
        else:
            # Normalised by the noise of all trials, not of each half.
            tensor, folds = prepared(tensor, folds, distance, spec.noise)
            halves = halves_of_trials(tensor, folds, distance, n_splits, spec.seed)
            rdms = (tuple(trial_dissimilarities(h, folds, distance) for h in p) for p in halves)
        values = [similarities(a[None], b[None], rdm_similarity)[0, 0] for a, b in rdms]
    except RepbiasError as error:  # a pattern that is constant in one half; too few folds
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: half of the repeats: {error}")
    whole = spearman_brown(np.array(values), length_ratio(tensor).mean())
    low, high = np.percentile(np.sqrt(whole), [2.5, 97.5])
    if low <= MIN_CEILING:
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: halves of the repeats do not agree")
    note = f" ({left_out} units without two repeats left out)" if left_out else ""
    return Ceiling(
        float(low),
        float(high),
        f"sqrt of split-half RDM similarity, Spearman-Brown corrected{note}",
    )
