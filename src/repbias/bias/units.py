"""M2: how much of each unit's variance a feature explains, and over how many units that spreads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from repbias.networks.snapshots import Snapshot


def unit_r2(
    feature_fit: np.ndarray,
    activations_fit: np.ndarray,
    feature_test: np.ndarray,
    activations_test: np.ndarray,
) -> np.ndarray:
    """Measure how much of each unit's variance a categorical feature explains (M2).

    As M1, unit by unit: the fitted set gives the unit's mean at every level of the feature; the
    result is 1 - sum (phi - predicted)² / sum (phi - mean)² on the test set. For a binary feature
    and equal sets it is the squared correlation. The mean over units, weighted by their
    variances, is M1 (Lampinen, Chan & Hermann 2024).

    Parameters
    ----------
    feature_fit, feature_test
        Labels, (stimulus,), of the set that is fitted and of the set that is tested.
    activations_fit, activations_test
        (stimulus, unit).

    Returns
    -------
    numpy.ndarray
        (unit,), at most 1; NaN for units that vary by no more than rounding.

    Examples
    --------
    >>> f = np.array([0, 0, 1, 1])
    >>> phi = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> unit_r2(f, phi, f, phi)
    array([1., 0.])
    """
    levels = np.unique(feature_fit)
    one_hot = (feature_fit[:, None] == levels).astype(np.float64)
    mean = activations_fit.mean(axis=0, dtype=np.float64)
    level_means = one_hot.T @ (activations_fit - mean) / one_hot.sum(axis=0)[:, None]
    centred = activations_test - mean
    residual = centred - (feature_test[:, None] == levels) @ level_means
    total = (centred**2).sum(axis=0)
    # Activations are float32: what varies in the seventh digit is constant.
    varies = np.ptp(activations_test, axis=0) > 1e-6 * np.abs(activations_test).max(axis=0)
    unexplained = np.full(len(total), np.nan)
    np.divide((residual**2).sum(axis=0), total, out=unexplained, where=varies)
    return 1 - unexplained


def unit_signal(
    feature_fit: np.ndarray,
    activations_fit: np.ndarray,
    feature_test: np.ndarray,
    activations_test: np.ndarray,
) -> np.ndarray:
    """Measure how far each unit moves with a categorical feature, in its own squared units.

    The product of what is estimated on two sets of stimuli, so noise adds nothing on average:
    sum over classes k of d_k (fit) d_k (test), with d_k the mean of class k minus the mean of the
    class means. Of two classes this is half the product of their differences. Unlike R² it does
    not depend on what else varies in the unit: two features with the same code, of whichever
    share of the variance, have the same distribution over units.

    Parameters
    ----------
    feature_fit, feature_test, activations_fit, activations_test
        As for :func:`unit_r2`; classes that only one set has are left out.

    Returns
    -------
    numpy.ndarray
        (unit,); below 0 by chance where a unit does not carry the feature.

    Examples
    --------
    >>> f = np.array([0, 0, 1, 1])
    >>> phi = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> unit_signal(f, phi, f, phi)
    array([2., 0.])
    """
    levels = np.intersect1d(feature_fit, feature_test)
    fit, test = (
        np.stack([x[f == level].mean(axis=0, dtype=np.float64) for level in levels])
        for f, x in ((feature_fit, activations_fit), (feature_test, activations_test))
    )
    return ((fit - fit.mean(axis=0)) * (test - test.mean(axis=0))).sum(axis=0)


def gini(values: np.ndarray) -> float:
    """Return the Gini coefficient of non-negative values, (unit,).

    sum_i (2 i - n - 1) v_i / (n sum v), v in increasing order and i from 1: 0 where all units
    carry the same, (n - 1) / n where one carries everything, NaN where none carries anything.

    Examples
    --------
    >>> gini(np.array([0.0, 0.0, 0.0, 0.6]))
    0.75
    """
    n, total = len(values), values.sum()
    if total == 0:
        return float("nan")
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(values) / (n * total))


def participation_ratio(values: np.ndarray) -> float:
    """Return the share of units over which non-negative values, (unit,), are spread.

    (sum v)² / (n sum v²): 1 where all units carry the same, 1 / n where one carries everything,
    NaN where none carries anything. Treves & Rolls (1991) call it the sparseness of a code.

    Examples
    --------
    >>> participation_ratio(np.array([0.0, 0.0, 0.0, 0.6]))
    0.25
    """
    squares = (values**2).sum()
    return float(values.sum() ** 2 / (len(values) * squares)) if squares else float("nan")


def units_rows(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Measure every feature and sub-component in every unit of the analysed layer.

    Means are fitted on the validation stimuli and tested on the test stimuli. Units without
    variance are left out.
    """
    return [
        {**about, "unit": str(unit), "r2": r2[unit]}
        for about, r2, _ in _measured(snapshot)
        for unit in np.flatnonzero(~np.isnan(r2))
    ]


def sparsity_rows(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Measure over how many units every feature and sub-component is spread.

    Gini coefficient of the units' signal (:func:`unit_signal`), and Gini coefficient and
    participation ratio of their R² (:func:`units_rows`); values below 0 count as 0, over the
    `n_units` units with variance. They say nothing of a feature that no unit carries: then they
    describe the chance correlations. Those of R² depend on the feature's share of the variance:
    the same code has sparser R² where the feature explains less.
    """
    rows = []
    for about, r2, signal in _measured(snapshot):
        varies = ~np.isnan(r2)
        carried = np.maximum(r2[varies], 0)
        rows.append(
            {
                **about,
                "gini_signal": gini(np.maximum(signal[varies], 0)),
                "gini": gini(carried),
                "participation_ratio": participation_ratio(carried),
                "n_units": len(carried),
            }
        )
    return rows


def _measured(snapshot: Snapshot) -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
    """Give the units' R² and signal of every network, feature and sub-component."""
    layer, fit, test = snapshot.analysed, snapshot.fit, snapshot.test
    for n, about in enumerate(snapshot.networks):
        for feature, labels in fit.known.items():
            sets = labels, fit.layers[layer][n], test.known[feature], test.layers[layer][n]
            r2, signal = unit_r2(*sets), unit_signal(*sets)
            yield {**about, "layer": layer, "feature": feature}, r2, signal
