"""Ridge and banded ridge regression, cross-validated, on plain arrays of NumPy or PyTorch.

The solvers choose what himalaya's choose, with fewer matrix products: all targets and all penalties
share one eigendecomposition per fold and weighting, and the squared errors of all penalties come
from one product.

With the training Gram matrix V diag(l) V', b = V' X'y of the training stimuli, z = X V of the
left-out ones and d_i = 1 / (l_i + alpha), the prediction is z (d * b), and its squared norm

    sum_ij g_ij d_i d_j b_i b_j,   g = z'z.

As d_i d_j = (d_i - d_j) / (l_j - l_i), this is 2 sum_i d_i b_i (w b)_i + sum_i d_i² g_ii b_i² with
w_ij = g_ij / (l_j - l_i): only vectors depend on alpha.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device
from scipy.linalg.lapack import dpstrf

from repbias.base.precision import floating
from repbias.base.spec import RepbiasError

#: An array of NumPy or a tensor of PyTorch.
Array = Any
#: The (training, left-out) stimuli of every fold.
Folds = Sequence[tuple[np.ndarray, np.ndarray]]

#: Targets whose squared errors are computed together: their arrays stay in the cache.
_BLOCK = 1024
#: Eigenvalues that differ by less than this, relative to the larger, count as equal. The error of
#: that is half of its square; dividing by a smaller difference would amplify rounding errors more.
_EQUAL = 1e-5
#: Mean squared errors that differ by less than this, relative to the mean square, are computed from
#: the predictions themselves before one is chosen; those of the product are exact to about 1e-14.
_CLOSE = 1e-11
#: himalaya's slope, which chooses the larger of two penalties that predict the same.
_SLOPE = 1e-10


@dataclass(frozen=True)
class RidgeFit:
    """What cross-validation chose for every target, and the fit to all stimuli with it.

    Attributes
    ----------
    alphas : (target,), the penalties
    weighting : (target,), index of the weights of the bands
    scores : (weighting, target), minus the mean squared error of left-out stimuli, averaged over
        folds, of each weighting's best penalty; himalaya's `cv_scores_`
    coefficients : (feature, target), bands one after the other; with kernels (stimulus, target),
        and a prediction is sum_b gamma_b K_b coefficients
    intercept : (target,), 0 if none was asked for
    """

    alphas: Array
    weighting: Array
    scores: Array
    coefficients: Array
    intercept: Array


def ridge_cv(
    x: Array,
    y: Array,
    alphas: Array,
    folds: Folds,
    *,
    intercept: bool = False,
    max_memory_mb: float = 2000,
) -> RidgeFit:
    """Fit ridge regression, with the penalty of every target chosen by cross-validation.

    Minimises ||y - X w||² + alpha ||w||² per target, and chooses the alpha with the smallest
    squared error on left-out stimuli, as himalaya's `RidgeCV` does. Solved in the primal form if
    there are no more features than training stimuli, otherwise in the dual.

    Parameters
    ----------
    x
        (stimulus, feature), of NumPy or PyTorch. Computed in float64 whatever its precision.
    y
        (stimulus, target), of the same kind and device.
    alphas
        (alpha,), penalties to choose from, positive.
    folds
        (training, left-out) stimuli of every fold, which together are all stimuli.
    intercept
        Centre x and y by the training stimuli of each fold, and by all stimuli for the fit. If
        false, they are used as they are.
    max_memory_mb
        Bound on what is computed for targets at once, in addition to Gram matrices and results, in
        megabytes. It changes the time, not the results.

    Returns
    -------
    RidgeFit
        Of the kind, device and precision of y.

    Raises
    ------
    RepbiasError
        If shapes do not match, a number is missing, a penalty is not positive, or there is no fold.
    """
    xp = array_namespace(x, y)
    weightings = xp.ones((1, 1), dtype=xp.float64, device=device(y))
    return banded_ridge_cv(
        [x], y, weightings, alphas, folds, intercept=intercept, max_memory_mb=max_memory_mb
    )


def banded_ridge_cv(
    xs: Sequence[Array],
    y: Array,
    weightings: Array,
    alphas: Array,
    folds: Folds,
    *,
    intercept: bool = False,
    max_memory_mb: float = 2000,
) -> RidgeFit:
    """Fit banded ridge regression, with band weights and penalty of every target cross-validated.

    Minimises ||y - sum_b X_b w_b||² + sum_b alpha / gamma_b ||w_b||² (Nunez-Elizalde, Huth &
    Gallant 2019) for every alpha and every weighting gamma, and chooses as :func:`ridge_cv` does:
    himalaya's `GroupRidgeCV` and, with linear kernels, `MultipleKernelRidgeCV` (random search;
    Dupré la Tour et al. 2022), given the same weightings.

    Parameters
    ----------
    xs
        (stimulus, feature) of every band.
    weightings
        (weighting, band), not negative; a band with a weight of 0 is left out.
    y, alphas, folds, intercept, max_memory_mb
        As for :func:`ridge_cv`.

    Returns
    -------
    RidgeFit
        Of the kind, device and precision of y.

    Raises
    ------
    RepbiasError
        As :func:`ridge_cv`.
    """
    widths = [x.shape[1] for x in xs]
    return _fit(xs, y, _Grid(weightings, alphas, list(folds)), intercept, max_memory_mb, widths)


def kernel_ridge_cv(
    kernels: Array,
    y: Array,
    alphas: Array,
    folds: Folds,
    weightings: Array | None = None,
    *,
    intercept: bool = False,
    max_memory_mb: float = 2000,
) -> RidgeFit:
    """Fit ridge or banded ridge regression in the dual form, from Gram matrices.

    himalaya's `KernelRidgeCV` and `MultipleKernelRidgeCV` with precomputed kernels. With an
    intercept, the features behind a kernel are centred by the training stimuli, exactly.

    Parameters
    ----------
    kernels
        (stimulus, stimulus), or one per band, (band, stimulus, stimulus): symmetric, without
        negative eigenvalues.
    weightings
        As for :func:`banded_ridge_cv`; required if there are bands.
    y, alphas, folds, intercept, max_memory_mb
        As for :func:`ridge_cv`.

    Returns
    -------
    RidgeFit
        With dual coefficients.

    Raises
    ------
    RepbiasError
        As :func:`ridge_cv`.
    """
    kernels = kernels[None, ...] if kernels.ndim == 2 else kernels
    if weightings is None:
        if kernels.shape[0] > 1:
            raise RepbiasError(
                f"weightings: expected those of {kernels.shape[0]} bands, none given"
            )
        xp = array_namespace(kernels, y)
        weightings = xp.ones((1, 1), dtype=xp.float64, device=device(y))
    bands = [kernels[b, ...] for b in range(kernels.shape[0])]
    return _fit(bands, y, _Grid(weightings, alphas, list(folds)), intercept, max_memory_mb)


def low_rank_features(kernel: np.ndarray) -> np.ndarray:
    """Return features (stimulus, rank) whose Gram matrix is the kernel, to rounding errors.

    By pivoted Cholesky factorisation (LAPACK `pstrf`), which stops at the rank, so that the time
    grows with stimuli x rank². A few features predict much faster than a kernel of many stimuli.

    Raises
    ------
    RepbiasError
        If a number is missing.
    """
    if not np.isfinite(kernel).all():
        raise RepbiasError("kernel: expected finite numbers, found some that are not")
    factor, pivots, rank, _ = dpstrf(kernel, lower=1)
    features = np.empty((len(kernel), rank))
    features[pivots - 1] = np.tril(factor)[:, :rank]
    return features


class _Grid(NamedTuple):
    """What cross-validation chooses from.

    Attributes
    ----------
    weightings : (weighting, band)
    alphas : (alpha,)
    folds : (training, left-out) stimuli of every fold
    """

    weightings: Array
    alphas: Array
    folds: Folds


def _fit(
    bands: Sequence[Array],
    y: Array,
    grid: _Grid,
    intercept: bool,
    max_memory_mb: float,
    widths: list[int] | None = None,
) -> RidgeFit:
    """Choose and fit; the bands are features of these widths, or kernels."""
    xp = array_namespace(*bands, y)
    precision = floating(y).dtype
    bands, y, grid = _checked(xp, bands, y, grid, widths)
    form = _form_of(xp, bands, widths, grid.folds, intercept)
    del bands  # the form has what it needs of them
    n, n_targets = y.shape
    n_scores = grid.weightings.shape[0] * grid.alphas.shape[0]
    per_target = 4 * n + 2 * form.size + 4 * n_scores
    step = int(max(max_memory_mb * 1e6 / 8 / per_target, 1))
    fits = [
        _fit_targets(form, y[:, start : start + step], grid) for start in range(0, n_targets, step)
    ]
    alphas, weighting, *rest = (
        parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)
        for parts in map(list, zip(*fits, strict=True))
    )
    alphas, *rest = (xp.astype(a, precision, copy=False) for a in (alphas, *rest))
    return RidgeFit(alphas, weighting, *rest)


def _fit_targets(form: _Form, y: Array, grid: _Grid) -> tuple[Array, Array, Array, Array, Array]:
    """Choose and fit for some targets; return what :class:`RidgeFit` has."""
    xp = form.xp
    # The means of all stimuli; those of a fold are subtracted, exactly, in the fold.
    offset = xp.mean(y, axis=0) if form.intercept else xp.zeros_like(y[0, :])
    y = y - offset
    cross = form.cross(y)
    alpha, weighting, scores = _choose(form, y, cross, grid)
    weights = _refit(form, y, cross, grid, alpha, weighting)
    coefficients, excess = form.solution(weights, grid.weightings[weighting, :].T)
    return grid.alphas[alpha], weighting, scores, coefficients, offset - excess


def _checked(
    xp: Any, bands: Sequence[Array], y: Array, grid: _Grid, widths: list[int] | None
) -> tuple[list[Array], Array, _Grid]:
    """Return everything in float64 on the device of y; refuse what cannot be used."""
    where = device(y)

    def numbers(name: str, array: Array, ndim: int) -> Array:
        array = xp.asarray(array, dtype=xp.float64, device=where)
        if array.ndim != ndim:
            raise RepbiasError(f"{name}: expected {ndim} axes, found shape {tuple(array.shape)}")
        if not xp.all(finite := xp.isfinite(array)):
            missing = int(xp.sum(xp.astype(~finite, xp.int64)))
            raise RepbiasError(f"{name}: expected finite numbers, found {missing} that are not")
        return array

    y = numbers("y", y, 2)
    n = y.shape[0]
    if not y.shape[1]:
        raise RepbiasError(f"y: expected targets, found shape {tuple(y.shape)}")
    name = "kernels" if widths is None else "features"
    bands = [numbers(name, band, 2) for band in bands]
    for band in bands:
        if band.shape[0] != n or (widths is None and band.shape[1] != n):
            raise RepbiasError(
                f"{name}: found shape {tuple(band.shape)}, but y has {n} stimuli (its first axis)"
            )
    weightings = numbers("weightings", grid.weightings, 2)
    alphas = numbers("alphas", grid.alphas, 1)
    if weightings.shape[1] != len(bands) or not weightings.shape[0]:
        raise RepbiasError(
            f"weightings: expected (weighting, {len(bands)} bands), "
            f"found shape {tuple(weightings.shape)}"
        )
    if bool(xp.any(weightings < 0)):
        raise RepbiasError("weightings: expected none below 0")
    if not alphas.shape[0] or bool(xp.any(alphas <= 0)):
        raise RepbiasError("alphas: expected positive penalties")
    _refuse_incomplete_folds(grid.folds, n)
    return bands, y, _Grid(weightings, alphas, grid.folds)


def _refuse_incomplete_folds(folds: Folds, n: int) -> None:
    for i, (train, test) in enumerate(folds):
        if not len(train) or not len(test):
            raise RepbiasError(f"folds: fold {i} has no training or no left-out stimuli")
        if not np.array_equal(np.sort(np.concatenate([train, test])), np.arange(n)):
            raise RepbiasError(
                f"folds: the training and left-out stimuli of fold {i} are not all {n}, each once"
            )
    if not len(folds):
        raise RepbiasError("folds: expected at least one")


@dataclass
class _Problem:
    """One fold and weighting.

    Attributes
    ----------
    eigenvalues : (component,), positive
    vectors : (coefficient, component), from components to coefficients
    cross : (coefficient, target); vectors' cross are the components' products with y
    left_out : (stimulus, component), components of the left-out stimuli
    """

    eigenvalues: Array
    vectors: Array
    cross: Array
    left_out: Array


def _decompose(xp: Any, gram: Array) -> tuple[Array, Array]:
    """Return the eigenvalues and vectors of a Gram matrix, without those that are 0."""
    values, vectors = xp.linalg.eigh(gram)
    if not values.shape[0]:
        return values, vectors
    least = values[-1] * (values.shape[0] * np.finfo(float).eps)
    first = int(xp.sum(xp.astype(values <= least, xp.int64)))
    return values[first:], vectors[:, first:]


#: From the weights of the bands to a problem.
ProblemOf = Callable[[Array], _Problem]


class _Form(ABC):
    """A ridge problem in primal or dual form.

    Attributes
    ----------
    xp : namespace of the arrays
    size : number of coefficients per target
    intercept : whether features are centred by the training stimuli
    """

    xp: Any
    size: int
    intercept: bool

    @abstractmethod
    def cross(self, y: Array) -> Array:
        """Return (coefficient, target), what fits need of the responses to all stimuli."""

    @abstractmethod
    def fold(self, y: Array, cross: Array, train: Array, test: Array) -> tuple[ProblemOf, Array]:
        """Return a function from weights to problems, and the left-out responses."""

    @abstractmethod
    def solution(self, weights: Array, gammas: Array) -> tuple[Array, Array]:
        """Return coefficients as the caller expects them, and what predictions are too large by.

        Parameters
        ----------
        weights
            (coefficient, target), of this form.
        gammas
            (band, target), weights of the bands.
        """


class _Primal(_Form):
    """Features, centred over all stimuli if there is an intercept."""

    def __init__(
        self, xp: Any, xs: Sequence[Array], means: Sequence[Array], intercept: bool
    ) -> None:
        self.xp, self.intercept, self.means = xp, intercept, means
        self.widths = [x.shape[1] for x in xs]
        self.x = xp.concat(list(xs), axis=1)
        self.gram, self.size = self.x.T @ self.x, self.x.shape[1]

    def cross(self, y: Array) -> Array:
        """Return the features' products with the responses to all stimuli."""
        return self.x.T @ y

    def fold(self, y: Array, cross: Array, train: Array, test: Array) -> tuple[ProblemOf, Array]:
        """Return a function from weights to problems, and the left-out responses.

        The Gram matrix of the training stimuli is that of all stimuli minus that of the left-out
        ones. Both are relative to the training mean m, which adds n m m' to that of all stimuli.
        """
        xp, n = self.xp, y.shape[0]
        gram = self.gram
        z, left_out = self.x[test, :], y[test, :]
        if self.intercept:
            x_mean = xp.mean(self.x[train, :], axis=0)
            y_mean = xp.mean(y[train, :], axis=0)
            z, left_out = z - x_mean, left_out - y_mean
            gram = gram + n * x_mean[:, None] * x_mean
            cross = cross + n * x_mean[:, None] * y_mean
        if test.shape[0]:
            gram, cross = gram - z.T @ z, cross - z.T @ left_out
        return lambda weights: self._problem(weights, gram, cross, z), left_out

    def _problem(self, weights: Array, gram: Array, cross: Array, z: Array) -> _Problem:
        xp = self.xp
        scale = xp.concat(
            [
                xp.full((width,), float(w) ** 0.5, dtype=gram.dtype, device=device(gram))
                for width, w in zip(self.widths, weights, strict=True)
            ]
        )
        used = xp.nonzero(scale)[0]
        if used.shape[0] < self.size:
            gram = gram[used, :][:, used]
        scale_used = scale[used]
        values, vectors = _decompose(xp, gram * scale_used[:, None] * scale_used)
        full = vectors
        if used.shape[0] < self.size:
            full = xp.zeros((self.size, vectors.shape[1]), dtype=gram.dtype, device=device(gram))
            full[used, :] = vectors
        full = full * scale[:, None]
        return _Problem(values, full, cross, z @ full)

    def solution(self, weights: Array, gammas: Array) -> tuple[Array, Array]:
        """Return the weights, which are of features, and their products with the means."""
        return weights, self.xp.concat(self.means) @ weights


class _Dual(_Form):
    """Kernels, one per band."""

    def __init__(self, xp: Any, kernels: Sequence[Array], intercept: bool) -> None:
        self.xp, self.kernels, self.intercept = xp, kernels, intercept
        self.size = kernels[0].shape[0]

    def cross(self, y: Array) -> Array:
        """Return the responses themselves."""
        return y

    def fold(self, y: Array, cross: Array, train: Array, test: Array) -> tuple[ProblemOf, Array]:
        """Return a function from weights to problems, and the left-out responses."""
        cross, left_out = cross[train, :], y[test, :]
        if self.intercept:
            mean = self.xp.mean(cross, axis=0)
            cross, left_out = cross - mean, left_out - mean
        return lambda weights: self._problem(weights, train, test, cross), left_out

    def _problem(self, weights: Array, train: Array, test: Array, cross: Array) -> _Problem:
        xp = self.xp
        kernel = sum(float(w) * k for w, k in zip(weights, self.kernels, strict=True))
        rows = kernel[train, :]
        k_train, k_test = rows[:, train], kernel[test, :][:, train]
        if self.intercept:
            mean = xp.mean(k_train, axis=0)
            k_train = k_train - mean[:, None] - mean + xp.mean(mean)
            k_test = k_test - xp.mean(k_test, axis=1)[:, None] - mean + xp.mean(mean)
        values, vectors = _decompose(xp, k_train)
        return _Problem(values, vectors, cross, k_test @ vectors)

    def solution(self, weights: Array, gammas: Array) -> tuple[Array, Array]:
        """Return the dual weights; predictions are from kernels that are not centred."""
        xp = self.xp
        if not self.intercept:
            return weights, xp.zeros_like(weights[0, :])
        means = xp.stack([xp.mean(k, axis=0) for k in self.kernels])
        return weights, xp.sum(gammas * (means @ weights), axis=0)


class _DualOfFeatures(_Dual):
    """Features, centred over all stimuli if there is an intercept, solved by their kernels."""

    def __init__(
        self, xp: Any, xs: Sequence[Array], means: Sequence[Array], intercept: bool
    ) -> None:
        super().__init__(xp, [x @ x.T for x in xs], intercept)
        self.xs, self.means = xs, means

    def solution(self, weights: Array, gammas: Array) -> tuple[Array, Array]:
        """Return the weights of features, and their products with the means."""
        xp = self.xp
        coefficients = xp.concat(
            [x.T @ (weights * gamma) for x, gamma in zip(self.xs, gammas, strict=True)], axis=0
        )
        return coefficients, xp.concat(self.means) @ coefficients


def _form_of(
    xp: Any, bands: Sequence[Array], widths: list[int] | None, folds: Folds, intercept: bool
) -> _Form:
    """Choose the form with fewer coefficients; kernels are dual."""
    if widths is None:
        return _Dual(xp, bands, intercept)
    means = [xp.zeros(x.shape[1], dtype=x.dtype, device=device(x)) for x in bands]
    if intercept:
        means = [xp.mean(x, axis=0) for x in bands]
        bands = [x - mean for x, mean in zip(bands, means, strict=True)]
    primal = sum(widths) <= min(len(train) for train, _ in folds)
    return (_Primal if primal else _DualOfFeatures)(xp, bands, means, intercept)


def _choose(form: _Form, y: Array, cross: Array, grid: _Grid) -> tuple[Array, Array, Array]:
    """Return the index of the best penalty, that of the best weighting, and the scores."""
    xp = form.xp
    scores = _scores(form, y, cross, grid, direct=False)
    close = scores > xp.max(scores, axis=(0, 1)) - _CLOSE * xp.mean(y**2, axis=0)
    several = xp.sum(xp.astype(close, xp.int64), axis=(0, 1)) > 1
    for w in range(grid.weightings.shape[0]):
        targets = xp.nonzero(several & xp.any(close[w, ...], axis=0))[0]
        if targets.shape[0]:
            single = grid._replace(weightings=grid.weightings[w : w + 1, :])
            of_weighting = scores[w, ...]
            precise = _scores(form, y[:, targets], cross[:, targets], single, direct=True)
            of_weighting[:, targets] = precise[0, ...]
    return _best(xp, scores, grid.alphas)


def _best(xp: Any, scores: Array, alphas: Array) -> tuple[Array, Array, Array]:
    """Choose from scores (weighting, alpha, target) as himalaya does.

    Of penalties that score the same, the larger one; a later weighting must be better by more than
    rounding.
    """
    scores = scores + _SLOPE * xp.log(alphas)[:, None]
    best_alpha = xp.argmax(scores, axis=1)
    by_weighting = xp.max(scores, axis=1)
    weighting = xp.zeros_like(best_alpha[0, :])
    best = by_weighting[0, :]
    for w in range(1, scores.shape[0]):
        better = by_weighting[w, :] > best + np.finfo(float).eps
        weighting = xp.where(better, w, weighting)
        best = xp.where(better, by_weighting[w, :], best)
    alpha = best_alpha[weighting, xp.arange(scores.shape[2], device=device(scores))]
    return alpha, weighting, by_weighting


def _scores(form: _Form, y: Array, cross: Array, grid: _Grid, direct: bool) -> Array:
    """Return minus the mean squared errors, averaged over folds, (weighting, alpha, target)."""
    xp = form.xp
    n_weightings, n_alphas = grid.weightings.shape[0], grid.alphas.shape[0]
    shape = (n_weightings, n_alphas, y.shape[1])
    scores = xp.zeros(shape, dtype=y.dtype, device=device(y))
    for fold in grid.folds:
        train, test = (
            xp.asarray(np.array(rows, dtype=np.int64), device=device(y)) for rows in fold
        )
        problem_of, left_out = form.fold(y, cross, train, test)
        for w in range(n_weightings):
            problem = problem_of(grid.weightings[w, :])
            n_left_out, n_components = problem.left_out.shape
            by_prediction = direct or n_left_out * n_alphas <= n_components + n_left_out
            errors = _errors_of_predictions if by_prediction else _errors
            for targets, squared in errors(xp, problem, left_out, grid.alphas):
                scores[w, :, targets] -= squared / (n_left_out * len(grid.folds))
    return scores


def _errors(xp: Any, problem: _Problem, y: Array, alphas: Array) -> Iterator[tuple[slice, Array]]:
    """Yield blocks of targets and their summed squared errors (alpha, target).

    By the formula at the top of this module.
    """
    values, z = problem.eigenvalues, problem.left_out
    shrink = 1 / (alphas[:, None] + values)
    g = z.T @ z
    difference = values - values[:, None]
    equal = xp.abs(difference) <= _EQUAL * xp.maximum(values, values[:, None])
    # For equal eigenvalues, such as i = j, d_i d_j = (d_i² + d_j²) / 2.
    w = xp.where(equal, 0.0, 2 * g / xp.where(equal, 1.0, difference))
    several = xp.nonzero(xp.sum(xp.astype(equal, xp.int64), axis=1) > 1)[0]
    g_several = xp.where(equal, g, 0.0)[several, :][:, several]
    g_one = xp.linalg.diagonal(g)[:, None]
    for start in range(0, y.shape[1], _BLOCK):
        targets = slice(start, start + _BLOCK)
        b, left_out = problem.vectors.T @ problem.cross[:, targets], y[:, targets]
        linear = w @ b
        linear -= 2 * (z.T @ left_out)
        linear *= b
        square = g_one * b
        square[several, :] = g_several @ b[several, :]
        square *= b
        norms = xp.sum(left_out * left_out, axis=0)
        yield targets, norms + shrink @ linear + shrink**2 @ square


def _errors_of_predictions(
    xp: Any, problem: _Problem, y: Array, alphas: Array
) -> Iterator[tuple[slice, Array]]:
    """Yield the same as :func:`_errors`, from the predictions themselves."""
    for start in range(0, y.shape[1], _BLOCK):
        targets = slice(start, start + _BLOCK)
        b, left_out = problem.vectors.T @ problem.cross[:, targets], y[:, targets]
        errors = []
        for a in range(alphas.shape[0]):
            residual = (problem.left_out / (alphas[a] + problem.eigenvalues)) @ b
            residual -= left_out
            errors.append(xp.sum(residual * residual, axis=0))
        yield targets, xp.stack(errors)


def _refit(
    form: _Form, y: Array, cross: Array, grid: _Grid, alpha: Array, weighting: Array
) -> Array:
    """Return the weights (coefficient, target) of fits to all stimuli.

    Parameters
    ----------
    form
        The problem.
    y, cross
        Responses to all stimuli, and what the form makes of them.
    grid
        Penalties and weightings.
    alpha, weighting
        (target,) indices of those that were chosen.
    """
    xp = form.xp
    every = xp.arange(y.shape[0], device=device(y))
    problem_of, _ = form.fold(y, cross, every, every[:0])
    weights = xp.empty((form.size, y.shape[1]), dtype=y.dtype, device=device(y))
    for w in xp.unique_values(weighting):
        problem = problem_of(grid.weightings[w, :])
        targets = xp.nonzero(weighting == w)[0]
        b = problem.vectors.T @ problem.cross[:, targets]
        b /= grid.alphas[alpha[targets]] + problem.eigenvalues[:, None]
        weights[:, targets] = problem.vectors @ b
    return weights
