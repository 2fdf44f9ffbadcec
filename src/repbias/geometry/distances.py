"""Dissimilarities between patterns.

All functions but :func:`dissimilarities` take NumPy arrays or torch tensors, float32 or float64,
and return the same kind on the same device. Other number types count as float64.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from repbias.base.precision import floating
from repbias.base.spec import RepbiasError
from repbias.geometry.spec import Distance

#: A NumPy array or a torch tensor.
Array = Any


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
    return np.sqrt(rdm) if distance == "euclidean" else rdm


def correlation_distances(patterns: Array) -> Array:
    """Return 1 - Pearson's correlation across units of every pair of patterns.

    As ``rsatoolbox.rdm.calc_rdm(method="correlation")``, by one symmetric matrix product.

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
        If a pattern is not finite, or constant up to rounding.

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

    As ``rsatoolbox.rdm.calc_rdm(method="euclidean")``. For precision, the mean pattern is
    subtracted first.

    Parameters
    ----------
    patterns
        (..., stimulus, unit); leading axes are layers, networks, ...

    Returns
    -------
    array
        (..., pair), row-major upper triangles; 0 where a distance is not above rounding errors.

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
    xp = array_api_compat.array_namespace(x)
    gram = x @ x.mT
    squares = xp.linalg.diagonal(gram)
    sums = upper_triangle(squares[..., :, None] + squares[..., None, :])
    distances = _distances_of_gram(gram)
    return xp.where(distances > rounding_of_squares(sums), distances, 0) / x.shape[-1]


def rounding_of_squares(sums: Array) -> Array:
    """Return the rounding errors of squared distances |x|² + |y|² - 2 x'y, given |x|² + |y|².

    A difference of large numbers: between equal patterns it would be a little off 0, and its square
    root, a hundred million times as large, a distance.
    """
    xp = array_api_compat.array_namespace(sums)
    return 32 * xp.finfo(sums.dtype).eps * sums


def crossnobis(x: Array, stimulus: np.ndarray, fold: np.ndarray, n_stimuli: int) -> Array:
    """Return cross-validated squared distances, divided by the units, of whitened patterns.

    d_ij = g_ii + g_jj - 2 g_ij, where g_ij is the mean product of a trial of i and a trial of j
    in different folds (Walther et al. 2016); numbers of trials may differ. From sums over trials,
    S over all and T_f over a fold: g = (S S' - sum_f T_f T_f') / (N N' - sum_f n_f n_f').

    Parameters
    ----------
    x
        (..., trial, unit); leading axes are time bins, networks, ... If all trials share an
        offset that is large compared with their differences, subtract it first: its products
        cost precision in float32, and with unequal numbers of trials it adds its own noise.
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
        sums = sums_by_stimulus(x[..., index_like(rows, x), :], stimulus[rows], n_stimuli)
        n = np.bincount(stimulus[rows], minlength=n_stimuli)
        total, count = total + sums, count + n
        products = products - sums @ sums.mT
        pairs -= np.outer(n, n)
    products = products + total @ total.mT
    pairs += np.outer(count, count)
    too_few = np.flatnonzero(pairs.diagonal() < 1)
    if len(too_few) or (pairs < 1).any():
        raise RepbiasError(
            f"{len(too_few)} of {n_stimuli} stimuli have trials of all units in fewer than two "
            "folds; cross-validated distances need two of every stimulus"
        )
    return _distances_of_gram(products / array_like(pairs, x)) / x.shape[-1]


def finite(patterns: Array) -> Array:
    """Return patterns (..., stimulus, unit) as floating-point numbers; refuse NaN and infinity."""
    xp = array_api_compat.array_namespace(patterns)
    patterns = floating(patterns)
    refuse_not_finite(~xp.all(xp.isfinite(patterns), axis=-1))
    return patterns


def refuse_not_finite(not_finite: Array) -> None:
    """Refuse patterns if any is flagged as not finite, (..., stimulus) bool."""
    if not_finite.any():
        raise RepbiasError(
            f"{int(not_finite.sum())} patterns are not finite; expected finite numbers"
        )


class ConstantPatterns(RepbiasError):
    """Patterns whose correlation with others is undefined.

    Attributes
    ----------
    constant : whether each pattern is constant
    """

    def __init__(self, constant: list[bool]) -> None:
        self.constant = constant
        super().__init__(
            f"{sum(constant)} of {len(constant)} patterns are constant across channels (the first "
            f"is number {constant.index(True)}), so correlation distance is undefined; use "
            "euclidean"
        )


def refuse_constant(norms: Array, values: Array, n_units: int) -> None:
    """Refuse correlation distances of patterns that are constant up to rounding.

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
        raise ConstantPatterns(xp.reshape(constant, (-1,)).tolist())


def centred(x: Array, axis: int) -> Array:
    """Subtract the mean; twice in float32, where rounding makes the first mean inexact."""
    xp = array_api_compat.array_namespace(x)
    x = x - xp.mean(x, axis=axis, keepdims=True)
    if x.dtype != xp.float64:
        x -= xp.mean(x, axis=axis, keepdims=True)
    return x


def upper_triangle(square: Array) -> Array:
    """Return what is above the diagonal of (..., row, column), row by row: (..., pair).

    Also of a matrix's first rows only.
    """
    xp = array_api_compat.array_namespace(square)
    rows = (square[..., i, i + 1 :] for i in range(square.shape[-2]))
    return xp.concat(list(rows), axis=-1)


def _distances_of_gram(gram: Array) -> Array:
    """Return squared distances (..., pair) from products (..., stimulus, stimulus)."""
    xp = array_api_compat.array_namespace(gram)
    squares = xp.linalg.diagonal(gram)
    return upper_triangle(squares[..., :, None] + squares[..., None, :] - 2 * gram)


def sums_by_stimulus(x: Array, stimulus: np.ndarray, n_stimuli: int) -> Array:
    """Sum the trials (..., trial, unit) of every stimulus: (..., stimulus, unit)."""
    xp = array_api_compat.array_namespace(x)
    order = np.argsort(stimulus, kind="stable")
    counts = np.bincount(stimulus, minlength=n_stimuli)
    repeat = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (*x.shape[:-2], n_stimuli, x.shape[-1])
    sums = xp.zeros(shape, dtype=x.dtype, device=array_api_compat.device(x))
    for k in range(counts.max(initial=0)):
        # The k-th trial of every stimulus: no stimulus occurs twice.
        rows = order[repeat == k]
        sums[..., index_like(stimulus[rows], x), :] += x[..., index_like(rows, x), :]
    return sums


def index_like(index: np.ndarray, like: Array) -> Array:
    """Return integers as an index into an array, on its device."""
    xp = array_api_compat.array_namespace(like)
    return xp.asarray(index, device=array_api_compat.device(like))


def array_like(values: np.ndarray, like: Array) -> Array:
    """Return values as an array of the same kind, dtype and device as another."""
    xp = array_api_compat.array_namespace(like)
    return xp.asarray(values, dtype=like.dtype, device=array_api_compat.device(like))
