"""Dissimilarities that need single trials: noise-normalised and cross-validated ones.

A recording's trials are arrays (stimulus, repeat, unit) with NaN where a unit was not observed,
and folds (stimulus, repeat), whole numbers, -1 where there is no trial.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm

from repbias.geometry.spec import CROSS_VALIDATED, Noise, RecordingDistance
from repbias.recordings.reliability import by_repeat
from repbias.spec import RepbiasError
from repbias.store import Recording

logger = logging.getLogger(__name__)

#: rsatoolbox's prior on rates: 0.1 trials with a response of 1.
PRIOR_LAMBDA, PRIOR_WEIGHT = 1.0, 0.1


def folds_of(recording: Recording, observed: np.ndarray) -> np.ndarray:
    """Return the folds of cross-validation, (stimulus, repeat) int, -1 where there is no trial.

    Sessions, if every stimulus was shown in two or more; else runs (within sessions); else
    repeats: the how-manieth trial of its stimulus each trial is.

    Parameters
    ----------
    recording
        Its trials say "session" and "run", or do not.
    observed
        (stimulus, repeat[, unit]) bool, the trials that count, arranged as by
        :func:`repbias.recordings.reliability.by_repeat`.
    """
    observed = observed.reshape(*observed.shape[:2], -1)
    units, observed = observed, observed.any(axis=2)
    names: list[str] = []
    for column in ("session", "run"):
        if column not in recording.trials:
            continue
        names.append(column)
        columns = [recording.trials[name] for name in names]
        labels = ["\t".join(map(str, row)) for row in zip(*columns, strict=True)]
        codes = np.unique(labels, return_inverse=True)[1].astype(np.float64)
        # As if the label was what one unit responded: so it is arranged as the responses are.
        alone = replace(recording, responses=codes[:, None], info={})
        folds = np.where(observed, np.nan_to_num(by_repeat(alone)[:, :, 0], nan=-1), -1)
        found = np.unique(folds[observed])
        if len(found) > 1:
            # Of units that were recorded in one session only, sessions are no folds.
            in_two = (_n_folds(units, folds) >= 2).all(axis=0)
            if in_two.sum() >= min(2, units.shape[2]):
                return folds.astype(int)
            logger.warning(
                "some stimuli were shown, or most units recorded, in one %s only; it is no fold of "
                "cross-validation",
                column,
            )
    return np.where(observed, observed.cumsum(axis=1) - 1, -1)


def _n_folds(observed: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return in how many folds every unit was observed, (stimulus, unit)."""
    return sum(
        (observed & (folds == fold)[:, :, None]).any(axis=1).astype(int)
        for fold in np.unique(folds[folds >= 0])
    )


def usable_units(
    tensor: np.ndarray, folds: np.ndarray, distance: RecordingDistance, noise: Noise
) -> tuple[np.ndarray, str]:
    """Return which units the distance can use, (unit,) bool, and what that needs, in words.

    Every unit must have been observed for every stimulus (in two folds, where the distance is
    cross-validated), and vary between repeats where it is normalised by that.
    """
    observed = ~np.isnan(tensor)
    if distance in CROSS_VALIDATED:
        usable = (_n_folds(observed, folds) >= 2).all(axis=0)
        needs = "observed in two folds for every stimulus"
    else:
        usable, needs = observed.any(axis=1).all(axis=0), "observed for every stimulus"
    if normalises(distance, noise):
        usable &= np.nansum(_residuals(tensor) ** 2, axis=(0, 1)) > 0
        needs += ", with responses that vary between repeats"
    return usable, needs


def normalises(distance: RecordingDistance, noise: Noise) -> bool:
    """Whether the distance is in units of the noise between repeats."""
    return distance in ("mahalanobis", "crossnobis") and noise != "none"


def _residuals(tensor: np.ndarray) -> np.ndarray:
    """Responses minus their stimulus' mean; 0 for what was observed once."""
    observed = ~np.isnan(tensor)
    counts = np.maximum(observed.sum(axis=1, keepdims=True), 1)
    return tensor - np.where(observed, tensor, 0).sum(axis=1, keepdims=True) / counts


def prepared(
    tensor: np.ndarray, folds: np.ndarray, distance: RecordingDistance, noise: Noise
) -> tuple[np.ndarray, np.ndarray]:
    """Make trials and folds ready for :func:`trial_dissimilarities`.

    Trials are made complete where units are taken together, and noise-normalised.

    Parameters
    ----------
    tensor
        (stimulus, repeat, unit), every unit usable (:func:`usable_units`).
    folds
        (stimulus, repeat).
    distance, noise
        As configured.
    """
    together = normalises(distance, noise) and noise == "shrinkage"
    if together or distance in CROSS_VALIDATED:
        tensor, folds = complete_trials(tensor, folds, together)
    if normalises(distance, noise):
        tensor = whitened(tensor, noise)
    return tensor, folds


def trial_dissimilarities(
    tensor: np.ndarray, folds: np.ndarray, distance: RecordingDistance
) -> np.ndarray:
    """Compute one RDM's upper triangle from trials.

    All are divided by the number of units, as in rsatoolbox.

    * "mahalanobis": squared distance of mean patterns (of trials that :func:`prepared` has
      normalised).
    * "crossnobis": its cross-validated form (Walther et al. 2016): expected value 0 where two
      stimuli evoke the same responses; may be negative.
    * "poisson": symmetrised Kullback-Leibler divergence of Poisson rates, with rsatoolbox's
      prior, by rsatoolbox.
    * "poisson_cv": (train_i - train_j) (log test_i - log test_j), mean over folds, of which test
      is one and train the others (rsatoolbox 0.3.2 returns its last fold only).

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
        if np.nanmin(tensor) < 0:
            raise RepbiasError(
                f"{distance} distance is of counts, but {(tensor < 0).sum()} responses are "
                f"negative (the least is {np.nanmin(tensor):g}); expected counts, or crossnobis"
            )
        if distance == "poisson_cv":
            return _poisson_cv(tensor, folds)
        patterns = Dataset(np.nanmean(tensor, axis=1))
        rdm = calc_rdm(patterns, "poisson", prior_lambda=PRIOR_LAMBDA, prior_weight=PRIOR_WEIGHT)
        return rdm.get_vectors()[0]
    # For precision; and without the offset that all stimuli share, unequal numbers of trials do
    # not add its noise to crossnobis.
    tensor = tensor - np.nanmean(np.nanmean(tensor, axis=1), axis=0)
    if distance == "mahalanobis":
        return _squared_distances(np.nanmean(tensor, axis=1))
    stimulus, repeat = np.nonzero(~np.isnan(tensor).any(axis=2))
    return crossnobis(tensor[stimulus, repeat], stimulus, folds[stimulus, repeat], len(tensor))


def _squared_distances(patterns: np.ndarray) -> np.ndarray:
    return calc_rdm(Dataset(patterns), method="euclidean").get_vectors()[0]


def complete_trials(
    tensor: np.ndarray, folds: np.ndarray, together: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Make every trial one of all units or of none; those of some are left out.

    Before that, where units need not stay together and folds are repeats, a unit's k-th
    observation goes to the k-th repeat: so little is lost of units that were not recorded
    together.

    Parameters
    ----------
    tensor
        (stimulus, repeat, unit).
    folds
        (stimulus, repeat).
    together
        Whether products of different units matter, as in the covariance of noise.
    """
    if not together and is_repeats(folds):
        order = np.argsort(np.isnan(tensor), axis=1, kind="stable")
        tensor = np.take_along_axis(tensor, order, axis=1)
        folds = np.broadcast_to(np.arange(tensor.shape[1]), folds.shape)
    missing = np.isnan(tensor).any(axis=2)
    partly = missing & ~np.isnan(tensor).all(axis=2)
    if partly.any():
        logger.warning(
            "%d of %d trials are left out: some unit was not observed",
            *(partly.sum(), (~np.isnan(tensor).all(axis=2)).sum()),
        )
    if missing.all(axis=1).any():
        raise RepbiasError(
            f"{missing.all(axis=1).sum()} of {len(tensor)} stimuli have no trial in which all "
            f"{tensor.shape[2]} units were observed; set geometry.noise: diagonal"
        )
    return np.where(missing[:, :, None], np.nan, tensor), np.where(missing, -1, folds)


def whitened(tensor: np.ndarray, noise: Noise) -> np.ndarray:
    """Divide responses by the noise: between repeats all units vary by 1, uncorrelated.

    With Z the N residuals (responses minus their stimulus' mean) in units of their standard
    deviation, on N - (number of stimuli) degrees of freedom, the noise's correlation is
    estimated as lambda I + (1 - lambda) Z'Z / degrees, lambda by Schäfer & Strimmer (2005) as in
    `rsatoolbox.data.noise.cov_from_unbalanced`. Its inverse square root is applied through the
    singular value decomposition of Z, without a (unit, unit) matrix.

    Parameters
    ----------
    tensor
        (stimulus, repeat, unit), in every trial all units or none (for "diagonal": any).
    noise
        "shrinkage", or "diagonal" (lambda = 1).

    Returns
    -------
    numpy.ndarray
        (stimulus, repeat, unit), rotated.

    Raises
    ------
    RepbiasError
        If there are no repeats.
    """
    observed = ~np.isnan(tensor)
    degrees = observed.sum(axis=(0, 1)) - observed.any(axis=1).sum(axis=0)
    if degrees.min() < 1:
        raise RepbiasError(
            "the noise cannot be estimated: no stimulus has two trials in which all units were "
            "observed; set geometry.noise: none, or use a distance without noise"
        )
    residuals = _residuals(tensor)
    scale = np.sqrt(np.nansum(residuals**2, axis=(0, 1)) / degrees)
    tensor = tensor / scale
    if noise == "diagonal":
        return tensor
    z, degrees = (residuals / scale)[observed.all(axis=2)], int(degrees[0])
    _, s, v = np.linalg.svd(z, full_matrices=False)
    shrinkage = _shrinkage(z, s, degrees)
    if shrinkage == 0 and np.count_nonzero(s > 1e-10 * s[0]) < z.shape[1]:
        raise RepbiasError(
            f"the noise covariance of {z.shape[1]} units from {degrees} degrees of freedom is "
            "singular; set geometry.noise: diagonal"
        )
    inside = 1 / np.sqrt(shrinkage + (1 - shrinkage) * s**2 / degrees)
    outside = 1 / np.sqrt(shrinkage) if shrinkage > 0 else 0.0
    return outside * tensor + (tensor @ v.T * (inside - outside)) @ v


def _shrinkage(z: np.ndarray, s: np.ndarray, degrees: int) -> float:
    """Weight of the diagonal: sum of the variances of correlations / sum of their squares.

    Both over pairs of different units, from N x N quantities: sum_jk (z_j'z_k)^2 = sum s^4,
    sum_jk sum_i z_ij^2 z_ik^2 = sum_i (sum_j z_ij^2)^2.
    """
    n = len(z)
    squares = z**2
    r2 = ((s**4).sum() - (squares.sum(axis=0) ** 2).sum()) / (n - 1) ** 2
    z4 = ((squares.sum(axis=1) ** 2).sum() - (squares**2).sum()) / (n - 1)
    variance = n / degrees**2 * (z4 - r2)
    return float(np.clip(variance / r2, 0, 1)) if r2 > 0 else 1.0


def crossnobis(x: np.ndarray, stimulus: np.ndarray, fold: np.ndarray, n_stimuli: int) -> np.ndarray:
    """Cross-validated squared distances / units from patterns that are already whitened.

    d_ij = g_ii + g_jj - 2 g_ij, where g_ij is the mean product of a trial of i and a trial of j
    in different folds. From sums over trials, S of all and T_f of a fold:
    g = (S S' - sum_f T_f T_f') / (N N' - sum_f n_f n_f').

    Parameters
    ----------
    x
        (trial, unit).
    stimulus, fold
        (trial,) int.
    n_stimuli
        Number of stimuli.

    Returns
    -------
    numpy.ndarray
        (pair,).

    Raises
    ------
    RepbiasError
        If a stimulus has trials in fewer than two folds.
    """
    total, count = np.zeros((n_stimuli, x.shape[1])), np.zeros(n_stimuli)
    products, pairs = np.zeros((2, n_stimuli, n_stimuli))
    for label in np.unique(fold):
        rows = fold == label
        member = np.zeros((n_stimuli, rows.sum()))
        member[stimulus[rows], np.arange(rows.sum())] = 1
        sums, n = member @ x[rows], member.sum(axis=1)
        total, count = total + sums, count + n
        products -= sums @ sums.T
        pairs -= np.outer(n, n)
    products += total @ total.T
    pairs += np.outer(count, count)
    few = np.flatnonzero(pairs.diagonal() < 1)
    if len(few) or (pairs < 1).any():
        raise RepbiasError(
            f"{len(few)} of {n_stimuli} stimuli have trials of all units in fewer than two folds; "
            "cross-validated distances need two of every stimulus"
        )
    gram = products / pairs
    own = gram.diagonal()
    return (own + own[:, None] - 2 * gram)[np.triu_indices(n_stimuli, 1)] / x.shape[1]


def _poisson_cv(tensor: np.ndarray, folds: np.ndarray) -> np.ndarray:
    n, _, p = tensor.shape
    first, second = np.triu_indices(n, 1)
    total, count = np.zeros(len(first)), np.zeros(len(first))
    complete = ~np.isnan(tensor).any(axis=2)
    for fold in np.unique(folds[folds >= 0]):
        inside, outside = complete & (folds == fold), complete & (folds != fold)
        there = inside.any(axis=1) & outside.any(axis=1)
        means = [
            np.where(rows[:, :, None], tensor, 0).sum(axis=1)
            / np.maximum(rows.sum(axis=1), 1)[:, None]
            for rows in (outside, inside)
        ]
        train, test = ((m + PRIOR_LAMBDA * PRIOR_WEIGHT) / (1 + PRIOR_WEIGHT) for m in means)
        kernel = train @ np.log(test).T
        own = kernel.diagonal()
        both = there[first] & there[second]
        total += both * (own + own[:, None] - kernel - kernel.T)[first, second]
        count += both
    if (count == 0).any():
        raise RepbiasError(
            f"{(count == 0).sum()} of {len(count)} pairs of stimuli have no two folds in common; "
            "cross-validated distances need two of every stimulus"
        )
    return total / count / p


def halves_of_trials(
    tensor: np.ndarray, folds: np.ndarray, distance: RecordingDistance, n_splits: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Split the trials of every stimulus into random halves, NaN in the other's places.

    Whole folds, where the distance is cross-validated over sessions or runs.

    Yields
    ------
    tuple of numpy.ndarray
        Two arrays (stimulus, repeat, unit) with disjoint trials.
    """
    rng = np.random.default_rng(seed)
    there = ~np.isnan(tensor).all(axis=2)
    labels = np.unique(folds[folds >= 0])
    sessions = distance in CROSS_VALIDATED and not is_repeats(folds)
    for _ in range(n_splits):
        if sessions:
            order = rng.permutation(labels)
            half = len(labels) // 2
            parts = np.isin(folds, order[:half]), np.isin(folds, order[half : 2 * half])
        else:
            keys = np.where(there, rng.random(there.shape), 2.0)
            rank, half = keys.argsort(axis=1).argsort(axis=1), there.sum(axis=1, keepdims=True) // 2
            parts = rank < half, (rank >= half) & (rank < 2 * half)
        yield tuple(np.where(part[:, :, None], tensor, np.nan) for part in parts)


def is_repeats(folds: np.ndarray) -> bool:
    """Whether folds are repeats, not sessions or runs."""
    return bool(((folds == np.arange(folds.shape[1])) | (folds < 0)).all())
