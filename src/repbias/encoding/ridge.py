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
    alphas : (fold, unit), the penalties that the inner cross-validation chose
    """

    predicted: np.ndarray
    alphas: np.ndarray


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
    predicted = np.empty_like(responses, dtype=np.float64)
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
        # himalaya stores their logarithm; back to the grid.
        chosen[i] = alphas[np.abs(np.log(model.best_alphas_ / alphas[:, None])).argmin(axis=0)]
    return Prediction(predicted, chosen)


def scores(predicted: np.ndarray, responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score held-out predictions, pooled over folds.

    Returns
    -------
    r : (unit,) Pearson correlation; 0 where the prediction is constant
    r2 : (unit,) 1 - residual / total sum of squares
    """
    y = responses - responses.mean(axis=0)
    p = predicted - predicted.mean(axis=0)
    norms = np.sqrt((y**2).sum(axis=0) * (p**2).sum(axis=0))
    r = np.divide((y * p).sum(axis=0), norms, out=np.zeros(y.shape[1]), where=norms > 0)
    residual = ((responses - predicted) ** 2).sum(axis=0)
    total = (y**2).sum(axis=0)
    r2 = 1 - np.divide(residual, total, out=np.full(y.shape[1], np.nan), where=total > 0)
    return r, r2
