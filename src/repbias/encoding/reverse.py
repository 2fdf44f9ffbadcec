"""The other way round: a layer predicted from the responses of a brain region.

Forward prediction asks whether a layer holds what the region does; it scores any layer high from
which the region could be computed. Backward, it asks whether the region holds what the layer does.
A layer that is like the region scores high both ways.
"""

from __future__ import annotations

import numpy as np

from repbias.base.groups import StimulusGroups
from repbias.encoding.ridge import gram, predict
from repbias.encoding.spec import Encoding

#: Principal components of a layer are predicted until they have this share of its variance.
VARIANCE = 0.99
#: But at most as many.
MOST_COMPONENTS = 200


def principal_components(features: np.ndarray) -> np.ndarray:
    """Return the principal components of a layer, largest first.

    Parameters
    ----------
    features
        (stimulus, feature).

    Returns
    -------
    numpy.ndarray
        (stimulus, component), centred; those that hold :data:`VARIANCE` of the variance.
    """
    x = np.asarray(features, dtype=np.float64)
    x = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(x @ x.T)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    held = np.cumsum(values) / (values.sum() or 1)
    n = min(int(np.searchsorted(held, VARIANCE)) + 1, MOST_COMPONENTS)
    return vectors[:, :n] * np.sqrt(values[:n])


def kernels_of_regions(means: np.ndarray, keys: np.ndarray) -> dict[str, np.ndarray]:
    """Return the Gram matrix (stimulus, stimulus) of the units of every subject and region.

    Parameters
    ----------
    means
        (stimulus, unit), NaN where a unit was not observed; such units are left out, and every
        other one is scaled to unit variance.
    keys
        (unit,), the subject and region of each.
    """
    spread = means.std(axis=0)
    usable = np.isfinite(spread) & (spread > 0)
    kernels = {}
    for key in np.unique(keys):
        units = usable & (keys == key)
        if units.any():
            kernels[str(key)] = gram(means[:, units] / spread[units])
    return kernels


def reverse_r2(
    kernel: np.ndarray, components: np.ndarray, spec: Encoding, groups: StimulusGroups
) -> float:
    """Return the held-out R² of a layer that is predicted from a region, over all components.

    In the same folds as the region is predicted from the layer
    (:func:`repbias.encoding.ridge.predict`). The responses are noisy predictors, so it is below 1
    for the true layer too.

    Parameters
    ----------
    kernel
        (stimulus, stimulus), of the region.
    components
        (stimulus, component), of the layer; NaN is returned if it does not vary.
    """
    fit = predict(kernel, components, spec, groups)
    y = components - fit.baseline
    total = (y**2).sum()
    return float(1 - ((y - fit.parts.sum(axis=0)) ** 2).sum() / total) if total > 0 else np.nan
