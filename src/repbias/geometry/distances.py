"""Dissimilarities between patterns, and noise-normalised and cross-validated ones from trials.

A recording's trials are arrays (stimulus, repeat, unit) with NaN where a unit was not observed,
and folds (stimulus, repeat), whole numbers, -1 where there is no trial.

:func:`correlation_distances`, :func:`squared_distances`, :func:`whitened`,
:func:`shrinkage_whitened` and :func:`crossnobis` take NumPy arrays or torch tensors, float32 or
float64, and return the same on the same device. Other numbers count as float64.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, cast

import array_api_compat
import numpy as np
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import RDMs, calc_rdm

from repbias.base.precision import floating
from repbias.base.spec import RepbiasError
from repbias.geometry.spec import (
    CROSS_VALIDATED,
    Distance,
    Noise,
    RecordingDistance,
)

logger = logging.getLogger(__name__)

#: rsatoolbox's prior on rates: 0.1 trials with a response of 1.
PRIOR_LAMBDA, PRIOR_WEIGHT = 1.0, 0.1

#: A NumPy array or a torch tensor.
Array = Any


def correlation_distances(patterns: Array) -> Array:
    """Return 1 - Pearson's correlation across units of every pair of patterns.

    As in ``rsatoolbox.rdm.calc_rdm(method="correlation")``, by one symmetric matrix product.

    Parameters
    ----------
    patterns
        (..., stimulus, unit); leading axes are layers, networks, ...

    Returns
    -------
    array
        (..., pair), row-major upper triangles, 0 to 2.

    Raises
    ------
    RepbiasError
        If a pattern is not finite, or constant but for rounding.

    Examples
    --------
    >>> correlation_distances(np.array([[0, 1, 2], [1, 3, 5], [2, 1, 0]])).round(12)
    array([0., 2., 2.])
    """
    patterns = finite(patterns)
    xp = array_api_compat.array_namespace(patterns)
    x = centred(patterns, axis=-1)
    norms = xp.sqrt(xp.linalg.vecdot(x, x))
    refuse_constant(norms, patterns[..., 0], x.shape[-1])
    x /= norms[..., None]
    return 1 - upper_triangle(x @ x.mT)


def squared_distances(patterns: Array) -> Array:
    """Return the squared Euclidean distance of every pair of patterns, divided by the units.

    As in ``rsatoolbox.rdm.calc_rdm(method="euclidean")``, of patterns from which their mean was
    subtracted, for precision.

    Parameters
    ----------
    patterns
        (..., stimulus, unit); leading axes are layers, networks, ...

    Returns
    -------
    array
        (..., pair), row-major upper triangles; as much below 0 as rounding makes them.

    Raises
    ------
    RepbiasError
        If a pattern is not finite.

    Examples
    --------
    >>> squared_distances(np.array([[0, 0], [3, 4], [0, 2]]))
    array([12.5,  2. ,  6.5])
    """
    x = centred(finite(patterns), axis=-2)
    return _distances_of(x @ x.mT) / x.shape[-1]


def finite(patterns: Array) -> Array:
    """Return patterns (..., stimulus, unit) as floating-point numbers; refuse others."""
    xp = array_api_compat.array_namespace(patterns)
    patterns = floating(patterns)
    refuse_not_finite(~xp.all(xp.isfinite(patterns), axis=-1))
    return patterns


def refuse_not_finite(bad: Array) -> None:
    """Refuse patterns of which some are not finite, (..., stimulus) bool."""
    if bad.any():
        raise RepbiasError(f"{int(bad.sum())} patterns are not finite; expected finite numbers")


def refuse_constant(norms: Array, values: Array, n_units: int) -> None:
    """Refuse correlation distances of patterns that are constant but for rounding.

    Parameters
    ----------
    norms
        (..., stimulus), of patterns minus their mean.
    values
        (..., stimulus), one value of each pattern.
    n_units
        Number of units.
    """
    xp = array_api_compat.array_namespace(norms)
    constant = norms <= 8 * xp.finfo(norms.dtype).eps * n_units**0.5 * xp.abs(values)
    if constant.any():
        flags = xp.reshape(constant, (-1,)).tolist()
        raise RepbiasError(
            f"{sum(flags)} of {len(flags)} patterns are constant across channels (the first is "
            f"number {flags.index(True)}), so correlation distance is undefined; use euclidean"
        )


def centred(x: Array, axis: int) -> Array:
    """Subtract the mean; in float32 twice, as its first mean is off by rounding."""
    xp = array_api_compat.array_namespace(x)
    x = x - xp.mean(x, axis=axis, keepdims=True)
    if x.dtype != xp.float64:
        x -= xp.mean(x, axis=axis, keepdims=True)
    return x


def upper_triangle(square: Array) -> Array:
    """Return what is above the diagonal of (..., row, column), row by row: (..., pair).

    Also of the first rows of a matrix.
    """
    xp = array_api_compat.array_namespace(square)
    rows = (square[..., i, i + 1 :] for i in range(square.shape[-2]))
    return xp.concat(list(rows), axis=-1)


def _distances_of(gram: Array) -> Array:
    """Return squared distances (..., pair) from products (..., stimulus, stimulus)."""
    xp = array_api_compat.array_namespace(gram)
    own = xp.linalg.diagonal(gram)
    return upper_triangle(own[..., :, None] + own[..., None, :] - 2 * gram)


def n_folds(observed: np.ndarray, folds: np.ndarray) -> np.ndarray:
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
        usable = (n_folds(observed, folds) >= 2).all(axis=0)
        needs = "observed in two folds for every stimulus"
    else:
        usable, needs = observed.any(axis=1).all(axis=0), "observed for every stimulus"
    if normalises(distance, noise):
        usable &= np.nansum(_residuals(tensor) ** 2, axis=(0, 1)) > 0
        needs += ", with responses that vary between repeats"
    return cast("np.ndarray", usable), needs  # no scalar: one axis is left


def normalises(distance: RecordingDistance, noise: Noise) -> bool:
    """Whether the distance is in units of the noise between repeats."""
    return distance in ("mahalanobis", "crossnobis") and noise != "none"


def _residuals(tensor: Array) -> Array:
    """Responses minus their stimulus' mean; 0 for what was observed once."""
    xp = array_api_compat.array_namespace(tensor)
    observed = ~xp.isnan(tensor)
    counts = xp.sum(xp.astype(observed, tensor.dtype), axis=1, keepdims=True)
    sums = xp.sum(xp.where(observed, tensor, 0.0), axis=1, keepdims=True)
    return tensor - sums / xp.where(counts > 0, counts, 1.0)


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
        assert isinstance(rdm, RDMs)  # not a list, of one dataset
        return rdm.get_vectors()[0]
    # For precision; and without the offset that all stimuli share, unequal numbers of trials do
    # not add its noise to crossnobis.
    tensor = tensor - np.nanmean(np.nanmean(tensor, axis=1), axis=0)
    if distance == "mahalanobis":
        return squared_distances(np.nanmean(tensor, axis=1))
    stimulus, repeat = np.nonzero(~np.isnan(tensor).any(axis=2))
    return crossnobis(tensor[stimulus, repeat], stimulus, folds[stimulus, repeat], len(tensor))


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


def whitened(tensor: Array, noise: Noise) -> Array:
    """Divide responses by the noise: between repeats all units vary by 1, uncorrelated.

    Parameters
    ----------
    tensor
        (stimulus, repeat, unit), in every trial all units or none (for "diagonal": any).
    noise
        "shrinkage" (:func:`shrinkage_whitened`), or "diagonal": every unit's standard deviation.

    Returns
    -------
    array
        (stimulus, repeat, unit), or for "shrinkage" (stimulus, repeat, coordinate).

    Raises
    ------
    RepbiasError
        If there are no repeats.
    """
    xp, tensor = array_api_compat.array_namespace(tensor), floating(tensor)
    observed = ~xp.isnan(tensor)
    if noise == "shrinkage":
        # Which trial is whose is the same on every device.
        there = np.array(xp.all(observed, axis=2).tolist())
        where = tuple(_index(i, tensor) for i in np.nonzero(there))
        white = shrinkage_whitened(tensor[where], np.nonzero(there)[0])
        shape = (*tensor.shape[:2], white.shape[1])
        result = xp.full(shape, xp.nan, dtype=white.dtype, device=array_api_compat.device(white))
        result[where] = white
        return result
    counts = xp.sum(xp.astype(observed, tensor.dtype), axis=1)
    degrees = xp.sum(counts, axis=0) - xp.sum(xp.astype(counts > 0, tensor.dtype), axis=0)
    _refuse_without_repeats(int(xp.min(degrees)))
    residuals = xp.where(observed, _residuals(tensor), 0.0)
    return tensor / xp.sqrt(xp.sum(residuals**2, axis=(0, 1)) / degrees)


def _refuse_without_repeats(degrees: int) -> None:
    if degrees < 1:
        raise RepbiasError(
            "the noise cannot be estimated: no stimulus has two trials in which all units were "
            "observed; set geometry.noise: none, or use a distance without noise"
        )


def shrinkage_whitened(x: Array, stimulus: np.ndarray) -> Array:
    """Divide trials by the square root of the noise's covariance, shrunk to its diagonal.

    With Z the N residuals (responses minus their stimulus' mean) in units of their standard
    deviation, on d = N - (number of stimuli) degrees of freedom, the noise's correlation is
    estimated as C = lambda I + (1 - lambda) Z'Z / d, lambda by Schäfer & Strimmer (2005), as in
    ``rsatoolbox.data.noise.cov_from_unbalanced(method="shrinkage_diag")``.

    Of many units no (unit, unit) matrix is made: C multiplies what is in the span of Z by
    lambda + (1 - lambda) s / d, s being the eigenvalues of Z Z', and all else by lambda. So
    trials are returned in coordinates: those along Z's singular vectors, and those of what is
    left of the stimuli's means. Distances are the same in these.

    Parameters
    ----------
    x
        (trial, unit), finite.
    stimulus
        (trial,) int, NumPy.

    Returns
    -------
    array
        (trial, coordinate), of mean patterns with mean 0; of as many coordinates as there are
        units, or trials and stimuli if these are fewer. It is scaled so that squared distances
        divided by the number of coordinates are those divided by the number of units.

    Raises
    ------
    RepbiasError
        If no stimulus has two trials, a unit does not vary between them, or the noise's
        covariance is singular.
    """
    # Centred, so that sums of trials are as precise as trials.
    x = centred(finite(x), axis=0)
    xp = array_api_compat.array_namespace(x)
    label, stimulus, counts = np.unique(stimulus, return_inverse=True, return_counts=True)
    (n, units), n_stimuli = x.shape, len(label)
    degrees = n - n_stimuli
    _refuse_without_repeats(degrees)
    own = _index(stimulus, x)
    # Means of stimuli and residuals of trials, one below the other.
    both = xp.empty((n_stimuli + n, units), dtype=x.dtype, device=array_api_compat.device(x))
    means, z = both[:n_stimuli, :], both[n_stimuli:, :]
    means[...] = _sums(x, stimulus, n_stimuli) / _like(counts[:, None], x)
    z[...] = x - means[own, :]
    means -= xp.mean(means, axis=0)
    scale = xp.sqrt(xp.sum(z**2, axis=0) / degrees)
    # What is but rounding of a mean is no noise.
    still = scale <= 8 * xp.finfo(x.dtype).eps * xp.max(xp.abs(means), axis=0)
    if still.any():
        raise RepbiasError(
            f"{int(still.sum())} of {units} units do not vary between repeats; expected noise in "
            "all of them"
        )
    both /= scale
    if units <= n_stimuli + n:
        product = z.mT @ z
        weight = _shrinkage(z, product, degrees)
        noise, axes = xp.linalg.eigh(
            weight * xp.eye(units, dtype=x.dtype, device=array_api_compat.device(x))
            + (1 - weight) / degrees * product
        )
        if noise[0] <= units * xp.finfo(x.dtype).eps * noise[-1]:
            raise _singular(units, degrees)
        return ((means[own, :] + z) @ axes) / xp.sqrt(noise)
    products = both @ both.mT
    weight = _shrinkage(z, products[n_stimuli:, n_stimuli:], degrees)
    if weight == 0:
        raise _singular(units, degrees)
    s, axes = xp.linalg.eigh(products[n_stimuli:, n_stimuli:])
    # Residuals have as many dimensions as degrees of freedom.
    s, axes = s[n_stimuli:], axes[:, n_stimuli:]
    s = xp.where(s > 0, s, 1.0)
    along = products[:, n_stimuli:] @ (axes / xp.sqrt(s))
    along_means = along[:n_stimuli, :]
    left = products[:n_stimuli, :n_stimuli] - along_means @ along_means.mT
    size, directions = xp.linalg.eigh(left)
    left = directions * xp.sqrt(xp.where(size > 0, size, 0.0) / weight)
    along = along / xp.sqrt(weight + (1 - weight) * s / degrees)
    along = along[:n_stimuli, :][own, :] + along[n_stimuli:, :]
    result = xp.concat([along, left[own, :]], axis=1)
    return result * (result.shape[1] / units) ** 0.5


def _singular(units: int, degrees: int) -> RepbiasError:
    return RepbiasError(
        f"the noise covariance of {units} units from {degrees} degrees of freedom is singular; "
        "set geometry.noise: diagonal"
    )


def _shrinkage(z: Array, product: Array, degrees: int) -> float:
    """Weight of the diagonal: sum of the variances of correlations / sum of their squares.

    Both over pairs of different units, from either product of residuals z with themselves:
    sum_jk (z_j'z_k)^2 = |Z Z'|^2 = |Z'Z|^2, sum_jk sum_i z_ij^2 z_ik^2 = sum_i (sum_j z_ij^2)^2.
    """
    xp = array_api_compat.array_namespace(z)
    n, units = z.shape
    squares = z**2
    own = xp.sum(squares, axis=1)
    # Every unit's squares sum to the degrees of freedom.
    r2 = (float(xp.sum(product**2)) - units * degrees**2) / (n - 1) ** 2
    z4 = float(xp.sum(own**2) - xp.sum(xp.linalg.vecdot(squares, squares))) / (n - 1)
    variance = n / degrees**2 * (z4 - r2)
    return float(np.clip(variance / r2, 0, 1)) if r2 > 0 else 1.0


def _index(index: np.ndarray, like: Array) -> Array:
    """Return whole numbers that index an array, where it is."""
    xp = array_api_compat.array_namespace(like)
    return xp.asarray(index, device=array_api_compat.device(like))


def _like(values: np.ndarray, like: Array) -> Array:
    xp = array_api_compat.array_namespace(like)
    return xp.asarray(values, dtype=like.dtype, device=array_api_compat.device(like))


def _sums(x: Array, stimulus: np.ndarray, n_stimuli: int) -> Array:
    """Sum the trials (..., trial, unit) of every stimulus: (..., stimulus, unit)."""
    xp = array_api_compat.array_namespace(x)
    order = np.argsort(stimulus, kind="stable")
    counts = np.bincount(stimulus, minlength=n_stimuli)
    turn = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (*x.shape[:-2], n_stimuli, x.shape[-1])
    sums = xp.zeros(shape, dtype=x.dtype, device=array_api_compat.device(x))
    for k in range(counts.max(initial=0)):
        # The k-th trial of every stimulus: no stimulus occurs twice.
        rows = order[turn == k]
        sums[..., _index(stimulus[rows], x), :] += x[..., _index(rows, x), :]
    return sums


def crossnobis(x: Array, stimulus: np.ndarray, fold: np.ndarray, n_stimuli: int) -> Array:
    """Cross-validated squared distances / units from patterns that are already whitened.

    d_ij = g_ii + g_jj - 2 g_ij, where g_ij is the mean product of a trial of i and a trial of j
    in different folds (Walther et al. 2016; unequal numbers of trials may be). From sums over
    trials, S of all and T_f of a fold: g = (S S' - sum_f T_f T_f') / (N N' - sum_f n_f n_f').

    Parameters
    ----------
    x
        (..., trial, unit); leading axes are time bins, networks, ... Where all trials share an
        offset that is large against their differences, subtract it before: in float32 products of
        it leave no precision, and with unequal numbers of trials it adds its noise.
    stimulus, fold
        (trial,) int, NumPy.
    n_stimuli
        Number of stimuli.

    Returns
    -------
    array
        (..., pair).

    Raises
    ------
    RepbiasError
        If a stimulus has trials in fewer than two folds.
    """
    x = floating(x)
    total: Array = 0
    products: Array = 0
    count, pairs = np.zeros(n_stimuli), np.zeros((n_stimuli, n_stimuli))
    for label in np.unique(fold):
        rows = np.flatnonzero(fold == label)
        sums = _sums(x[..., _index(rows, x), :], stimulus[rows], n_stimuli)
        n = np.bincount(stimulus[rows], minlength=n_stimuli)
        total, count = total + sums, count + n
        products = products - sums @ sums.mT
        pairs -= np.outer(n, n)
    products = products + total @ total.mT
    pairs += np.outer(count, count)
    few = np.flatnonzero(pairs.diagonal() < 1)
    if len(few) or (pairs < 1).any():
        raise RepbiasError(
            f"{len(few)} of {n_stimuli} stimuli have trials of all units in fewer than two folds; "
            "cross-validated distances need two of every stimulus"
        )
    return _distances_of(products / _like(pairs, x)) / x.shape[-1]


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
        one, other = (np.where(part[:, :, None], tensor, np.nan) for part in parts)
        yield one, other


def is_repeats(folds: np.ndarray) -> bool:
    """Whether folds are repeats, not sessions or runs."""
    return bool(((folds == np.arange(folds.shape[1])) | (folds < 0)).all())


def dissimilarities(patterns: np.ndarray, distance: Distance) -> np.ndarray:
    """Compute one RDM's upper triangle.

    Parameters
    ----------
    patterns
        (stimulus, channel); computed in float64.
    distance
        "correlation" (1 - Pearson across channels), "squared_euclidean" (divided by the number
        of channels, as rsatoolbox does) or "euclidean" (its square root).

    Returns
    -------
    numpy.ndarray
        (pair,) float64, row-major upper triangle.

    Raises
    ------
    RepbiasError
        If a pattern is not finite, or constant where correlation needs variance.
    """
    x = np.asarray(patterns, dtype=np.float64)
    if distance == "correlation":
        return correlation_distances(x)
    rdm = squared_distances(x)
    return np.sqrt(np.maximum(rdm, 0)) if distance == "euclidean" else rdm
