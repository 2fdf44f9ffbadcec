"""Noise normalisation of trials by the variability between repeats.

Functions take NumPy arrays or torch tensors, float32 or float64, and return the same kind on the
same device. Other number types count as float64.
"""

from __future__ import annotations

import array_api_compat
import numpy as np

from repbias.base.precision import floating
from repbias.base.spec import RepbiasError
from repbias.geometry.distances import (
    Array,
    array_like,
    centred,
    finite,
    index_like,
    sums_by_stimulus,
)
from repbias.geometry.spec import Noise


def whitened(tensor: Array, noise: Noise) -> Array:
    """Divide responses by the noise: between repeats, units have variance 1 and no correlation.

    Parameters
    ----------
    tensor
        (stimulus, repeat, unit), NaN where not observed: all units of a trial or none (with
        "diagonal": any).
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
        # NumPy's nonzero, so that trials have the same order on every device.
        complete = np.nonzero(np.array(xp.all(observed, axis=2).tolist()))
        where = tuple(index_like(i, tensor) for i in complete)
        white = shrinkage_whitened(tensor[where], complete[0])
        shape = (*tensor.shape[:2], white.shape[1])
        result = xp.full(shape, xp.nan, dtype=white.dtype, device=array_api_compat.device(white))
        result[where] = white
        return result
    counts = xp.sum(xp.astype(observed, tensor.dtype), axis=1)
    degrees = xp.sum(counts, axis=0) - xp.sum(xp.astype(counts > 0, tensor.dtype), axis=0)
    _refuse_without_repeats(int(xp.min(degrees)))
    squares = xp.where(observed, residuals(tensor), 0.0) ** 2
    return tensor / xp.sqrt(xp.sum(squares, axis=(0, 1)) / degrees)


def residuals(tensor: Array) -> Array:
    """Return responses (stimulus, repeat, unit) minus their stimulus' mean.

    0 where a unit was observed once, NaN where it was not observed.
    """
    xp = array_api_compat.array_namespace(tensor)
    observed = ~xp.isnan(tensor)
    counts = xp.sum(xp.astype(observed, tensor.dtype), axis=1, keepdims=True)
    sums = xp.sum(xp.where(observed, tensor, 0.0), axis=1, keepdims=True)
    return tensor - sums / xp.where(counts > 0, counts, 1.0)


def shrinkage_whitened(x: Array, stimulus: np.ndarray) -> Array:
    """Divide trials by the square root of the noise covariance, shrunk to its diagonal.

    Let Z be the N residuals (responses minus their stimulus' mean), in units of their standard
    deviation, with d = N - (number of stimuli) degrees of freedom. The noise correlation is
    estimated as C = lambda I + (1 - lambda) Z'Z / d, lambda by Schäfer & Strimmer (2005), as in
    ``rsatoolbox.data.noise.cov_from_unbalanced(method="shrinkage_diag")``.

    With many units, no (unit, unit) matrix is computed: C multiplies what is in the span of Z by
    lambda + (1 - lambda) s / d, s being the eigenvalues of Z Z', and everything else by lambda. So
    trials are returned in coordinates: those along Z's singular vectors, and those of what
    remains of the stimuli's means. Distances are the same in these.

    Parameters
    ----------
    x
        (trial, unit), finite.
    stimulus
        (trial,) int, NumPy.

    Returns
    -------
    array
        (trial, coordinate). The stimuli's means have mean 0. There are as many coordinates as
        units, or as trials and stimuli if these are fewer. The scale is such that squared
        distances divided by the number of coordinates are those divided by the number of units.

    Raises
    ------
    RepbiasError
        If no stimulus has two trials, a unit does not vary between them, or the noise
        covariance is singular.
    """
    # Centred, so that sums of trials are as precise as trials.
    x = centred(finite(x), axis=0)
    xp = array_api_compat.array_namespace(x)
    label, stimulus, counts = np.unique(stimulus, return_inverse=True, return_counts=True)
    (n, units), n_stimuli = x.shape, len(label)
    degrees = n - n_stimuli
    _refuse_without_repeats(degrees)
    rows = index_like(stimulus, x)
    # Means of stimuli and residuals of trials, one below the other.
    both = xp.empty((n_stimuli + n, units), dtype=x.dtype, device=array_api_compat.device(x))
    means, z = both[:n_stimuli, :], both[n_stimuli:, :]
    means[...] = sums_by_stimulus(x, stimulus, n_stimuli) / array_like(counts[:, None], x)
    z[...] = x - means[rows, :]
    means -= xp.mean(means, axis=0)
    scale = xp.sqrt(xp.sum(z**2, axis=0) / degrees)
    # Variation that is only rounding of a mean is not noise.
    constant = scale <= 8 * xp.finfo(x.dtype).eps * xp.max(xp.abs(means), axis=0)
    if constant.any():
        raise RepbiasError(
            f"{int(constant.sum())} of {units} units do not vary between repeats; expected noise "
            "in all of them"
        )
    both /= scale
    if units <= n_stimuli + n:
        return _whitened_by_units(means, z, rows, degrees)
    return _whitened_by_trials(both, rows, degrees)


def _whitened_by_units(means: Array, z: Array, rows: Array, degrees: int) -> Array:
    """Whiten by the eigenvectors of the covariance between units.

    Parameters
    ----------
    means, z
        (stimulus, unit) means and (trial, unit) residuals, in units of the noise.
    rows
        (trial,) stimulus of each trial.
    degrees
        Degrees of freedom of the noise.

    Returns
    -------
    array
        (trial, unit).
    """
    xp, units = array_api_compat.array_namespace(z), z.shape[1]
    product = z.mT @ z
    weight = shrinkage_weight(z, product, degrees)
    noise, axes = xp.linalg.eigh(
        weight * xp.eye(units, dtype=z.dtype, device=array_api_compat.device(z))
        + (1 - weight) / degrees * product
    )
    if noise[0] <= units * xp.finfo(z.dtype).eps * noise[-1]:
        raise _singular(units, degrees)
    return ((means[rows, :] + z) @ axes) / xp.sqrt(noise)


def _whitened_by_trials(both: Array, rows: Array, degrees: int) -> Array:
    """Whiten by the eigenvectors of products of trials, where these are fewer than the units.

    Parameters
    ----------
    both
        (stimulus + trial, unit), means and below them residuals, in units of the noise.
    rows
        (trial,) stimulus of each trial.
    degrees
        Degrees of freedom of the noise.

    Returns
    -------
    array
        (trial, coordinate).
    """
    xp, units = array_api_compat.array_namespace(both), both.shape[1]
    n_stimuli = both.shape[0] - rows.shape[0]
    products = both @ both.mT
    weight = shrinkage_weight(both[n_stimuli:, :], products[n_stimuli:, n_stimuli:], degrees)
    if weight == 0:
        raise _singular(units, degrees)
    s, axes = xp.linalg.eigh(products[n_stimuli:, n_stimuli:])
    # Residuals have as many dimensions as degrees of freedom.
    s, axes = s[n_stimuli:], axes[:, n_stimuli:]
    s = xp.where(s > 0, s, 1.0)
    along = products[:, n_stimuli:] @ (axes / xp.sqrt(s))
    along_means = along[:n_stimuli, :]
    remaining = products[:n_stimuli, :n_stimuli] - along_means @ along_means.mT
    size, directions = xp.linalg.eigh(remaining)
    remaining = directions * xp.sqrt(xp.where(size > 0, size, 0.0) / weight)
    along = along / xp.sqrt(weight + (1 - weight) * s / degrees)
    along = along[:n_stimuli, :][rows, :] + along[n_stimuli:, :]
    result = xp.concat([along, remaining[rows, :]], axis=1)
    return result * (result.shape[1] / units) ** 0.5


def shrinkage_weight(z: Array, product: Array, degrees: int) -> float:
    """Return the weight of the diagonal: sum of correlations' variances / sum of their squares.

    Both are over pairs of different units, from either product of residuals z with themselves:
    sum_jk (z_j'z_k)^2 = |Z Z'|^2 = |Z'Z|^2, sum_jk sum_i z_ij^2 z_ik^2 = sum_i (sum_j z_ij^2)^2.
    """
    xp = array_api_compat.array_namespace(z)
    n, units = z.shape
    squares = z**2
    by_trial = xp.sum(squares, axis=1)
    # Every unit's squares sum to the degrees of freedom.
    r2 = (float(xp.sum(product**2)) - units * degrees**2) / (n - 1) ** 2
    z4 = float(xp.sum(by_trial**2) - xp.sum(xp.linalg.vecdot(squares, squares))) / (n - 1)
    variance = n / degrees**2 * (z4 - r2)
    return float(np.clip(variance / r2, 0, 1)) if r2 > 0 else 1.0


def _refuse_without_repeats(degrees: int) -> None:
    if degrees < 1:
        raise RepbiasError(
            "the noise cannot be estimated: no stimulus has two trials in which all units were "
            "observed; set geometry.noise: none, or use a distance without noise"
        )


def _singular(units: int, degrees: int) -> RepbiasError:
    return RepbiasError(
        f"the noise covariance of {units} units from {degrees} degrees of freedom is singular; "
        "set geometry.noise: diagonal"
    )
