"""RDMs from single trials: noise-normalised and cross-validated.

Trials of one subject are arrays (stimulus, repeat, unit), NaN where a unit was not observed.
Their folds of cross-validation are whole numbers (stimulus, repeat), -1 where there is no trial.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import cast

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.geometry.distances import crossnobis, squared_distances
from repbias.geometry.noise import residuals, whitened
from repbias.geometry.spec import CROSS_VALIDATED, Noise, RecordingDistance

logger = logging.getLogger(__name__)

#: rsatoolbox's prior on rates: 0.1 trials with a response of 1.
PRIOR_LAMBDA, PRIOR_WEIGHT = 1.0, 0.1


def usable_units(
    tensor: np.ndarray, folds: np.ndarray, distance: RecordingDistance, noise: Noise
) -> tuple[np.ndarray, str]:
    """Return which units the distance can use, (unit,) bool, and what it requires, in words.

    Every unit must have been observed for every stimulus (in two folds, if the distance is
    cross-validated), and vary between repeats if the noise is normalised by that variation.
    """
    observed = ~np.isnan(tensor)
    if distance in CROSS_VALIDATED:
        usable = (n_folds(observed, folds) >= 2).all(axis=0)
        needs = "observed in two folds for every stimulus"
    else:
        usable, needs = observed.any(axis=1).all(axis=0), "observed for every stimulus"
    if normalises(distance, noise):
        usable &= np.nansum(residuals(tensor) ** 2, axis=(0, 1)) > 0
        needs += ", with responses that vary between repeats"
    return cast("np.ndarray", usable), needs  # no scalar: one axis is left


def n_folds(observed: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return in how many folds every unit was observed, (stimulus, unit)."""
    return sum(
        (observed & (folds == fold)[:, :, None]).any(axis=1).astype(int)
        for fold in np.unique(folds[folds >= 0])
    )


def normalises(distance: RecordingDistance, noise: Noise) -> bool:
    """Return whether the distance is in units of the noise between repeats."""
    return distance in ("mahalanobis", "crossnobis") and noise != "none"


def prepared(
    tensor: np.ndarray, folds: np.ndarray, distance: RecordingDistance, noise: Noise
) -> tuple[np.ndarray, np.ndarray]:
    """Complete and noise-normalise trials, as :func:`trial_dissimilarities` expects them.

    Parameters
    ----------
    tensor
        (stimulus, repeat, unit), every unit usable (:func:`usable_units`).
    folds
        (stimulus, repeat).
    distance, noise
        As configured.

    Returns
    -------
    tensor, folds : numpy.ndarray
        Of the same shapes; with noise "shrinkage" the last axis is of coordinates
        (:func:`repbias.geometry.noise.whitened`).
    """
    keep_together = normalises(distance, noise) and noise == "shrinkage"
    if keep_together or distance in CROSS_VALIDATED:
        tensor, folds = complete_trials(tensor, folds, keep_together)
    if normalises(distance, noise):
        tensor = whitened(tensor, noise)
    return tensor, folds


def complete_trials(
    tensor: np.ndarray, folds: np.ndarray, keep_together: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Leave out trials in which only some of the units were observed.

    Unless units must stay together, and if folds are repeats, a unit's k-th observation first
    moves to the k-th repeat, so that little is lost of units that were not recorded together.

    Parameters
    ----------
    tensor
        (stimulus, repeat, unit).
    folds
        (stimulus, repeat).
    keep_together
        Whether products of different units matter, as in the noise covariance.
    """
    if not keep_together and is_repeats(folds):
        order = np.argsort(np.isnan(tensor), axis=1, kind="stable")
        tensor = np.take_along_axis(tensor, order, axis=1)
        folds = np.broadcast_to(np.arange(tensor.shape[1]), folds.shape)
    missing = np.isnan(tensor).any(axis=2)
    empty = np.isnan(tensor).all(axis=2)
    n_incomplete = (missing & ~empty).sum()
    if n_incomplete:
        logger.warning(
            "%d of %d trials are left out: some unit was not observed", n_incomplete, (~empty).sum()
        )
    if missing.all(axis=1).any():
        raise RepbiasError(
            f"{missing.all(axis=1).sum()} of {len(tensor)} stimuli have no trial in which all "
            f"{tensor.shape[2]} units were observed; set geometry.noise: diagonal"
        )
    return np.where(missing[:, :, None], np.nan, tensor), np.where(missing, -1, folds)


def trial_dissimilarities(
    tensor: np.ndarray, folds: np.ndarray, distance: RecordingDistance
) -> np.ndarray:
    """Compute one RDM's upper triangle from trials.

    All distances are divided by the number of units, as in rsatoolbox.

    * "mahalanobis": squared distance of mean patterns, of trials that :func:`prepared` has
      noise-normalised.
    * "crossnobis": its cross-validated form (Walther et al. 2016): expected value 0 where two
      stimuli evoke the same responses; may be negative.
    * "poisson": symmetrised Kullback-Leibler divergence of Poisson rates, with rsatoolbox's
      prior, by rsatoolbox.
    * "poisson_cv": (train_i - train_j) (log test_i - log test_j), mean over folds, each being the
      test fold once and all others training (rsatoolbox 0.3.2 returns its last fold only).

    Parameters
    ----------
    tensor
        (stimulus, repeat, unit), as :func:`prepared`.
    folds
        (stimulus, repeat).
    distance
        One of the above.

    Returns
    -------
    numpy.ndarray
        (pair,).

    Raises
    ------
    RepbiasError
        If a stimulus has fewer than two folds and the distance needs them, or a count is negative.
    """
    if distance.startswith("poisson"):
        return _poisson(tensor, folds, distance)
    # For precision; and without the offset that all stimuli share, unequal numbers of trials do
    # not add its noise to crossnobis.
    tensor = tensor - np.nanmean(np.nanmean(tensor, axis=1), axis=0)
    if distance == "mahalanobis":
        return squared_distances(np.nanmean(tensor, axis=1))
    stimulus, repeat = np.nonzero(~np.isnan(tensor).any(axis=2))
    return crossnobis(tensor[stimulus, repeat], stimulus, folds[stimulus, repeat], len(tensor))


def _poisson(tensor: np.ndarray, folds: np.ndarray, distance: RecordingDistance) -> np.ndarray:
    if np.nanmin(tensor) < 0:
        raise RepbiasError(
            f"{distance} distance is of counts, but {(tensor < 0).sum()} responses are "
            f"negative (the least is {np.nanmin(tensor):g}); expected counts, or crossnobis"
        )
    if distance == "poisson_cv":
        return _poisson_cv(tensor, folds)
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import RDMs, calc_rdm

    patterns = Dataset(np.nanmean(tensor, axis=1))
    rdm = calc_rdm(patterns, "poisson", prior_lambda=PRIOR_LAMBDA, prior_weight=PRIOR_WEIGHT)
    assert isinstance(rdm, RDMs)  # not a list, of one dataset
    return rdm.get_vectors()[0]


def _poisson_cv(tensor: np.ndarray, folds: np.ndarray) -> np.ndarray:
    n, _, p = tensor.shape
    first, second = np.triu_indices(n, 1)
    total, count = np.zeros(len(first)), np.zeros(len(first))
    complete = ~np.isnan(tensor).any(axis=2)
    for fold in np.unique(folds[folds >= 0]):
        inside, outside = complete & (folds == fold), complete & (folds != fold)
        in_both = inside.any(axis=1) & outside.any(axis=1)
        means = [
            np.where(rows[:, :, None], tensor, 0).sum(axis=1)
            / np.maximum(rows.sum(axis=1), 1)[:, None]
            for rows in (outside, inside)
        ]
        train, test = ((m + PRIOR_LAMBDA * PRIOR_WEIGHT) / (1 + PRIOR_WEIGHT) for m in means)
        kernel = train @ np.log(test).T
        diagonal = kernel.diagonal()
        known = in_both[first] & in_both[second]
        total += known * (diagonal + diagonal[:, None] - kernel - kernel.T)[first, second]
        count += known
    if (count == 0).any():
        raise RepbiasError(
            f"{(count == 0).sum()} of {len(count)} pairs of stimuli have no two folds in common; "
            "cross-validated distances need two of every stimulus"
        )
    return total / count / p


def halves_of_trials(
    tensor: np.ndarray, folds: np.ndarray, distance: RecordingDistance, n_splits: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Split the trials of every stimulus into random halves.

    If the distance is cross-validated over sessions or runs, whole sessions or runs are split.

    Yields
    ------
    tuple of numpy.ndarray
        Two arrays (stimulus, repeat, unit) of disjoint trials; NaN where a trial is in neither or
        in the other half.
    """
    rng = np.random.default_rng(seed)
    present = ~np.isnan(tensor).all(axis=2)
    labels = np.unique(folds[folds >= 0])
    split_folds = distance in CROSS_VALIDATED and not is_repeats(folds)
    for _ in range(n_splits):
        if split_folds:
            order = rng.permutation(labels)
            half = len(labels) // 2
            parts = np.isin(folds, order[:half]), np.isin(folds, order[half : 2 * half])
        else:
            keys = np.where(present, rng.random(present.shape), 2.0)
            rank = keys.argsort(axis=1).argsort(axis=1)
            half = present.sum(axis=1, keepdims=True) // 2
            parts = rank < half, (rank >= half) & (rank < 2 * half)
        first, second = (np.where(part[:, :, None], tensor, np.nan) for part in parts)
        yield first, second


def is_repeats(folds: np.ndarray) -> bool:
    """Return whether folds are repeats, not sessions or runs."""
    return bool(((folds == np.arange(folds.shape[1])) | (folds < 0)).all())
