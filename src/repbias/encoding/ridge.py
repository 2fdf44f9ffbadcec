"""Nested cross-validated ridge regression, from one kernel per feature space."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from himalaya.kernel_ridge import generate_dirichlet_samples
from sklearn.preprocessing import KernelCenterer

from repbias.base.groups import StimulusGroups
from repbias.encoding.solvers import banded_ridge_cv, kernel_ridge_cv, low_rank_features
from repbias.encoding.spec import Encoding

#: Number of features that are centred and multiplied at once.
_FEATURES = 4096
#: Numbers in one step of permutations, which should stay in the cache: 8 MB.
_CACHE = 2**20


@dataclass
class Prediction:
    """Held-out predictions.

    Attributes
    ----------
    parts : (band, stimulus, unit), contribution of each feature space to the prediction, from a
        fit without that stimulus
    fold : (stimulus,), the outer fold in which each stimulus was left out
    baseline : (stimulus, unit), the mean response to the training stimuli of that fit
    alphas : (fold, unit), the penalties that the inner cross-validation chose
    grid : (alpha,), the penalties it chose from
    """

    parts: np.ndarray
    fold: np.ndarray
    baseline: np.ndarray
    alphas: np.ndarray
    grid: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """The predicted responses, (stimulus, unit)."""
        return self.baseline + self.parts.sum(axis=0)


def gram(features: np.ndarray) -> np.ndarray:
    """Return the Gram matrix (stimulus, stimulus) of features, centred over stimuli.

    In float64, scaled to a mean diagonal of 1, so that the same penalties suit every layer.
    """
    kernel = np.zeros((len(features), len(features)))
    for start in range(0, features.shape[1], _FEATURES):
        x = np.asarray(features[:, start : start + _FEATURES], dtype=np.float64)
        x = x - x.mean(axis=0)
        kernel += x @ x.T
    return _scaled(kernel)


def sub_gram(kernel: np.ndarray, stimuli: np.ndarray) -> np.ndarray:
    """Return what :func:`gram` gives for some of the stimuli, from the kernel of all."""
    return _scaled(KernelCenterer().fit_transform(kernel[np.ix_(stimuli, stimuli)]))


def _scaled(kernel: np.ndarray) -> np.ndarray:
    scale = np.trace(kernel) / len(kernel)
    return kernel / scale if scale > 0 else kernel


def outer_folds(groups: StimulusGroups, spec: Encoding) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the (train, test) stimuli of every outer fold; fewer where groups are fewer."""
    return groups.folds(spec.folds, spec.seed)


def inner_folds(groups: StimulusGroups, spec: Encoding) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the inner folds of an outer fold's training stimuli, as :func:`outer_folds`."""
    return groups.folds(spec.inner_folds, spec.seed)


def folds_in_words(groups: StimulusGroups, spec: Encoding) -> str:
    """Return how many outer and inner folds there are, and of what."""
    if groups.are_alone:
        return f"{spec.folds} x {spec.inner_folds} folds"
    n_groups, whole = len(groups.sizes), f"whole groups ({groups.name})"
    outer = min(spec.folds, n_groups)
    training = n_groups - ceil(n_groups / outer)
    if training == 1:
        return f"{outer} folds of {whole}, {spec.inner_folds} within the one that is left"
    return f"{outer} x {min(spec.inner_folds, training)} folds of {whole}"


def predict(
    kernels: np.ndarray,
    responses: np.ndarray,
    spec: Encoding,
    groups: StimulusGroups | None = None,
) -> Prediction:
    """Predict every stimulus's responses from fits on other stimuli.

    Solves, per outer fold and unit, min_w ||y - sum_b X_b w_b||² + sum_b alpha / gamma_b ||w_b||²
    in its dual form (banded ridge: Nunez-Elizalde, Huth & Gallant 2019; Dupré la Tour et al. 2022).
    alpha and the weights gamma of the bands, which sum to 1, are chosen per unit by inner
    cross-validation on the training stimuli; the candidates are equal weights, each band alone, and
    `partition_iterations` random weightings. With one band, gamma is 1: ridge regression. Features
    and responses are centred by the training stimuli of each outer fold.

    Parameters
    ----------
    kernels
        (band, stimulus, stimulus) Gram matrices, or one of shape (stimulus, stimulus).
    responses
        (stimulus, unit), without NaN.
    spec
        Folds, penalties, weightings and memory.
    groups
        Which stimuli are left out together; by default each is on its own.
    """
    kernels = kernels[None] if kernels.ndim == 2 else kernels
    groups = groups or StimulusGroups.alone(len(responses))
    folds = outer_folds(groups, spec)
    grid = np.logspace(*spec.log10_alpha, spec.n_alphas)
    parts, baseline = np.empty((len(kernels), *responses.shape)), np.empty(responses.shape)
    responses = np.asarray(responses, dtype=np.float64)
    fold = np.empty(len(responses), int)
    alphas = np.empty((len(folds), responses.shape[1]))
    weightings = _weightings(len(kernels), spec)
    features = _few_features(kernels, spec)
    for i, (train, test) in enumerate(folds):
        mean, scale = responses[train].mean(axis=0), responses[train].std(axis=0)
        # The solver breaks ties by absolute differences of 1e-10: volts or spikes must not matter.
        scale[scale == 0] = 1
        y = (responses[train] - mean) / scale
        inner = inner_folds(groups.subset(train), spec)
        if features is None:
            k_train, k_test = _centred(kernels, train, test)
            fit = kernel_ridge_cv(
                k_train, y, grid, inner, weightings, max_memory_mb=spec.max_memory_mb
            )
            for part, k, gamma in zip(parts, k_test, weightings[fit.weighting].T, strict=True):
                part[test] = (k @ fit.coefficients) * (gamma * scale)
        else:
            centred = [x - x[train].mean(axis=0) for x in features]
            fit = banded_ridge_cv(
                [x[train] for x in centred],
                y,
                weightings,
                grid,
                inner,
                max_memory_mb=spec.max_memory_mb,
            )
            ends = np.cumsum([x.shape[1] for x in features])[:-1]
            for part, x, w in zip(parts, centred, np.split(fit.coefficients, ends), strict=True):
                part[test] = (x[test] @ w) * scale
        baseline[test], fold[test], alphas[i] = mean, i, fit.alphas
    return Prediction(parts, fold, baseline, alphas, grid)


def _few_features(kernels: np.ndarray, spec: Encoding) -> list[np.ndarray] | None:
    """Return features with these Gram matrices; None if a kernel per inner fold is smaller."""
    n = kernels.shape[-1]
    features = [low_rank_features(kernel) for kernel in kernels]
    training = n * (1 - 1 / spec.folds) * (1 - 1 / spec.inner_folds)
    return features if sum(x.shape[1] for x in features) < training else None


def _weightings(n_bands: int, spec: Encoding) -> np.ndarray:
    """Return the candidate weights of a joint model's bands, (weighting, band)."""
    if n_bands == 1:
        return np.ones((1, 1))
    equal, single = np.full((1, n_bands), 1 / n_bands), np.eye(n_bands)
    drawn = generate_dirichlet_samples(spec.partition_iterations, n_bands, random_state=spec.seed)
    return np.concatenate([equal, single, drawn])


def _centred(
    kernels: np.ndarray, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernels (band, train, train) and (band, test, train), centred by the training."""
    centerer = KernelCenterer()
    pairs = [
        (
            centerer.fit_transform(k[np.ix_(train, train)]),
            centerer.transform(k[np.ix_(test, train)]),
        )
        for k in kernels
    ]
    return np.stack([k for k, _ in pairs]), np.stack([k for _, k in pairs])


def scores(prediction: Prediction, responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score held-out predictions.

    The correlation is computed within each outer fold and averaged. Pooled over folds it would be
    negative at chance: the mean of a fold's training stimuli is lower where its left-out responses
    are higher, and folds that look worse from inside are predicted with less shrinkage.

    Parameters
    ----------
    prediction
        Of :func:`predict`.
    responses
        (stimulus, unit).

    Returns
    -------
    r : (unit,) mean over folds of Pearson's correlation, which counts as 0 if the prediction or
        the response is constant
    r2 : (unit,) 1 - squared error / squared error of the training stimuli's mean, over all folds;
        negative if the prediction is worse than that mean, NaN if the mean has no error.
    """
    y, p = responses - prediction.baseline, prediction.parts.sum(axis=0)
    folds = [prediction.fold == fold for fold in np.unique(prediction.fold)]
    r = np.mean([_correlation(y[rows], p[rows]) for rows in folds], axis=0)
    error, total = ((y - p) ** 2).sum(axis=0), (y**2).sum(axis=0)
    return r, 1 - np.divide(error, total, out=np.full(len(total), np.nan), where=total > 0)


def left_out_scores(
    prediction: Prediction, responses: np.ndarray, left_out: np.ndarray
) -> np.ndarray:
    """Return r (:func:`scores`) without some of the stimuli; fits stay as they are.

    Parameters
    ----------
    prediction, responses
        As given to :func:`scores`.
    left_out
        (block, stimulus), 0 where a stimulus is left out, else 1
        (:meth:`repbias.base.groups.StimulusGroups.left_out`).

    Returns
    -------
    numpy.ndarray
        (block, unit).
    """
    y, p = responses - prediction.baseline, prediction.parts.sum(axis=0)
    r, n_folds = np.zeros((len(left_out), y.shape[1])), np.zeros((len(left_out), 1))
    for fold in np.unique(prediction.fold):
        rows = prediction.fold == fold
        # Sums of few numbers, centred so that their differences keep their digits.
        a, b = (x[rows] - x[rows].mean(axis=0) for x in (y, p))
        w = left_out[:, rows].astype(float)
        n = np.maximum(w.sum(axis=1, keepdims=True), 1)
        ab, aa, bb = (w @ x - (w @ u) * (w @ v) / n for x, u, v in (
            (a * b, a, b), (a**2, a, a), (b**2, b, b)
        ))  # fmt: skip
        norms = np.sqrt(np.maximum(aa, 0) * np.maximum(bb, 0))
        small = 1e-12 * np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
        r += np.divide(ab, norms, out=np.zeros_like(r), where=norms > small)
        n_folds += w.any(axis=1, keepdims=True)  # a group may be all of a fold
    return r / np.maximum(n_folds, 1)


def left_out_r2(
    prediction: Prediction, responses: np.ndarray, left_out: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return r2 (:func:`scores`) without some of the stimuli, and how its bands split it.

    Parameters
    ----------
    prediction, responses, left_out
        As given to :func:`left_out_scores`.

    Returns
    -------
    r2 : (block, unit), 0 where the stimuli that are left have no variance
    split : (band, block, unit), the product measure (Dupré la Tour et al. 2022), sums to r2
    """
    y, p = responses - prediction.baseline, prediction.parts.sum(axis=0)
    total = left_out @ y**2
    explained = (left_out @ (part * (2 * y - p)) for part in prediction.parts)
    split = np.stack(
        [np.divide(x, total, out=np.zeros_like(x), where=total > 0) for x in explained]
    )
    return split.sum(axis=0), split


def _correlation(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Correlate columns; 0 if one of the two is constant up to rounding errors."""
    squares = np.einsum("sc,sc->c", y, y)
    y, p = y - y.mean(axis=0), p - p.mean(axis=0)
    norms = np.sqrt(np.einsum("sc,sc->c", y, y) * np.einsum("sc,sc->c", p, p))
    products = np.einsum("sc,sc->c", y, p)
    return np.divide(products, norms, out=np.zeros(len(norms)), where=norms > 1e-12 * squares)


def permutation_p(
    kernel: np.ndarray,
    responses: np.ndarray,
    fit: Prediction,
    spec: Encoding,
    groups: StimulusGroups | None = None,
) -> np.ndarray:
    """Test every unit's correlation r (:func:`scores`) by permuting its responses over stimuli.

    The null hypothesis is that a unit's responses do not depend on the features, and that its
    stimuli are exchangeable. Every permutation is fitted and predicted anew, in the same folds,
    with the penalties that were chosen for the original responses: then a left-out prediction is
    linear in the training responses, and one matrix per fold and penalty serves all permutations.
    Permuting left-out responses against the existing predictions, without a new fit, is not a
    valid test: each pair of folds is used twice, as training and test and the other way round,
    which correlates the folds' scores. At a nominal 5 % it rejects about 10 % of true nulls.

    With groups, stimuli are permuted within their group, and whole groups are exchanged with
    groups of the same size (:meth:`repbias.base.groups.StimulusGroups.orders`). If all groups
    differ in size, or are too few, only the former is possible, and only differences between
    stimuli of a group are tested.

    Parameters
    ----------
    kernel
        (stimulus, stimulus), of one feature space.
    responses
        (stimulus, unit).
    fit
        The prediction of these responses from that kernel.
    spec
        Folds, number of permutations and memory.
    groups
        As given to :func:`predict`.

    Returns
    -------
    numpy.ndarray
        (unit,) one-sided (b + 1) / (m + 1), where b of m permutations reach the observed r; NaN
        without permutations.
    """
    n, n_units = responses.shape
    if not spec.permutations:
        return np.full(n_units, np.nan)
    groups = groups or StimulusGroups.alone(n)
    orders = groups.orders(spec.permutations, np.random.default_rng(spec.seed))
    observed, _ = scores(fit, responses)
    responses = responses - responses.mean(axis=0)
    p = np.empty(n_units)
    budget = spec.max_memory_mb * 1e6 / 8
    size = int(max(min(budget / (4 * n), budget / (4 * len(orders))), 1))
    for start in range(0, n_units, size):
        units = slice(start, start + size)
        null = _null(kernel, responses[:, units], fit.alphas[:, units], orders, spec, groups)
        # Tied values, which occur with few different responses, differ by rounding errors.
        reached = (null >= observed[units] - 1e-9).sum(axis=0)
        p[units] = (reached + 1) / (len(orders) + 1)
    return p


def _null(
    kernel: np.ndarray,
    responses: np.ndarray,
    alphas: np.ndarray,
    orders: np.ndarray,
    spec: Encoding,
    groups: StimulusGroups,
) -> np.ndarray:
    """Return r of every permutation, (permutation, unit)."""
    total = np.zeros((len(orders), responses.shape[1]))
    features = low_rank_features(kernel)
    folds = outer_folds(groups, spec)
    for i, (train, test) in enumerate(folds):
        values, trained, left_out = _components(kernel, features, train, test)
        low_rank = len(values) * len(kernel) < len(train) * len(test)
        for alpha in np.unique(alphas[i]):
            hat = [left_out / (values + alpha), trained]
            if not low_rank:
                hat = [hat[0] @ hat[1]]
            units = np.flatnonzero(alphas[i] == alpha)
            y = np.ascontiguousarray(responses[:, units])
            step = max(_CACHE // y.size, 1)
            for start in range(0, len(orders), step):
                order = orders[start : start + step].T
                predicted = y[order[train]].reshape(len(train), -1)
                for factor in reversed(hat):
                    predicted = factor @ predicted
                r = _correlation(y[order[test]].reshape(len(test), -1), predicted)
                total[start : start + step, units] += r.reshape(-1, len(units))
    return total / len(folds)


def _components(
    kernel: np.ndarray, features: np.ndarray, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return factors of predictions, left_out / (eigenvalues + alpha) @ trained.

    Of the features' Gram matrix (feature, feature) or of the kernel, whichever is smaller.
    """
    if features.shape[1] < len(train):
        x = features - features[train].mean(axis=0)
        values, vectors = np.linalg.eigh(x[train].T @ x[train])
        trained, left_out = (x[train] @ vectors).T, x[test] @ vectors
    else:
        (k_train,), (k_test,) = _centred(kernel[None], train, test)
        values, vectors = np.linalg.eigh(k_train)
        trained, left_out = vectors.T, k_test @ vectors
    # Directions in which the training stimuli do not differ are rounding errors.
    used = values > len(train) * np.finfo(float).eps * values.max(initial=0)
    return values[used], trained[used], left_out[:, used]
