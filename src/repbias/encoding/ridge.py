"""Nested cross-validated ridge regression with himalaya, from one kernel per layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from himalaya.kernel_ridge import KernelRidgeCV
from sklearn.model_selection import KFold
from sklearn.preprocessing import KernelCenterer

from repbias.encoding.spec import Encoding


@dataclass
class Prediction:
    """Held-out predictions.

    Attributes
    ----------
    predicted : (stimulus, unit), each from a fit without that stimulus
    fold : (stimulus,), the outer fold in which each stimulus was left out
    baseline : (stimulus, unit), the mean response to the stimuli of that fit
    alphas : (fold, unit), the penalties that the inner cross-validation chose
    grid : (alpha,), the penalties that it chose from
    """

    predicted: np.ndarray
    fold: np.ndarray
    baseline: np.ndarray
    alphas: np.ndarray
    grid: np.ndarray


def gram(features: np.ndarray) -> np.ndarray:
    """Return the Gram matrix (stimulus, stimulus) of features, centred over stimuli.

    In float64, scaled to a mean diagonal of 1, so that one grid of penalties serves any layer.
    """
    x = np.asarray(features, dtype=np.float64)
    x = x - x.mean(axis=0)
    kernel = x @ x.T
    scale = np.trace(kernel) / len(kernel)
    return kernel / scale if scale > 0 else kernel


def predict(kernel: np.ndarray, responses: np.ndarray, spec: Encoding) -> Prediction:
    """Predict every stimulus's responses from fits on other stimuli.

    Solves, per outer fold and unit, min_w ||y - X w||² + alpha ||w||² in its dual form; alpha is
    chosen per unit by inner cross-validation on the training stimuli. Features and responses are
    centred by the training stimuli of each outer fold.

    Parameters
    ----------
    kernel
        (stimulus, stimulus) Gram matrix of the features.
    responses
        (stimulus, unit), without NaN.
    spec
        Folds and penalties.
    """
    alphas = np.logspace(*spec.log10_alpha, spec.n_alphas)
    folds = KFold(spec.folds, shuffle=True, random_state=spec.seed)
    predicted, baseline = np.empty((2, *responses.shape))
    fold = np.empty(len(responses), int)
    chosen = np.empty((spec.folds, responses.shape[1]))
    for i, (train, test) in enumerate(folds.split(responses)):
        centerer = KernelCenterer()
        k_train = centerer.fit_transform(kernel[np.ix_(train, train)])
        k_test = centerer.transform(kernel[np.ix_(test, train)])
        mean = responses[train].mean(axis=0)
        inner = KFold(spec.inner_folds, shuffle=True, random_state=spec.seed)
        model = KernelRidgeCV(alphas=alphas, kernel="precomputed", cv=inner)
        model.fit(k_train, responses[train] - mean)
        predicted[test] = model.predict(k_test) + mean
        baseline[test], fold[test] = mean, i
        # himalaya's rounding leads off the grid; back to it.
        chosen[i] = alphas[np.abs(np.log(model.best_alphas_ / alphas[:, None])).argmin(axis=0)]
    return Prediction(predicted, fold, baseline, chosen, alphas)


def scores(prediction: Prediction, responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score held-out predictions.

    The correlation is taken within each outer fold and averaged. Pooled over folds it would be
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
    r : (unit,) mean over folds of Pearson's correlation, which counts as 0 where the prediction
        or the response is constant
    r2 : (unit,) 1 - squared error / squared error of the training stimuli's mean, over all folds;
        NaN where that has no error
    """
    correlations = []
    for fold in np.unique(prediction.fold):
        rows = prediction.fold == fold
        y, p = responses[rows], prediction.predicted[rows]
        y, p = y - y.mean(axis=0), p - p.mean(axis=0)
        norms = np.sqrt((y**2).sum(axis=0) * (p**2).sum(axis=0))
        # A prediction that varies by rounding errors is constant.
        varies = norms > 1e-12 * (responses[rows] ** 2).sum(axis=0)
        products = (y * p).sum(axis=0)
        correlations.append(np.divide(products, norms, out=np.zeros(len(norms)), where=varies))
    error = ((responses - prediction.predicted) ** 2).sum(axis=0)
    total = ((responses - prediction.baseline) ** 2).sum(axis=0)
    r2 = 1 - np.divide(error, total, out=np.full(len(total), np.nan), where=total > 0)
    return np.mean(correlations, axis=0), r2
