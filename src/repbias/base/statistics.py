"""Intervals from bootstrap samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def bootstrap_interval(estimate: float, samples: np.ndarray, n: int) -> tuple[float, float]:
    """Return a 95 % interval from the spread of bootstrap samples.

    The standard error is that of the samples, with the small-sample correction sqrt(n / (n - 1)),
    times Student's t with n - 1 degrees of freedom. For a mean this is the t interval. Percentiles
    of the samples would be too narrow: with three networks they exclude zero in a quarter of the
    cases in which there is no effect.

    Parameters
    ----------
    estimate
        The statistic on the data.
    samples
        (bootstrap,), the statistic on every bootstrap sample; NaN is ignored.
    n
        Number of independent units that were resampled (of the smaller group if there are two).
    """
    from scipy.stats import t

    width = t.ppf(0.975, n - 1) * np.nanstd(samples, ddof=1) * np.sqrt(n / (n - 1))
    return float(estimate - width), float(estimate + width)


def mean_interval(
    values: np.ndarray, n_bootstraps: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Return the mean of independent values and its 95 % bootstrap interval.

    The interval around a single value has no width.
    """
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return mean, mean, mean
    draws = np.random.default_rng(seed).integers(n, size=(n_bootstraps, n))
    return mean, *bootstrap_interval(mean, values[draws].mean(axis=1), n)


def jackknife_interval(estimate: float, left_out: np.ndarray) -> tuple[float, float]:
    """Return a 95 % interval from the statistic with each unit left out in turn.

    For statistics in which every unit enters several terms, such as pairwise similarities of
    networks: a unit is left out of all of its terms. The standard error is
    sqrt((n - 1) / n * sum (theta_i - mean theta)^2) (Efron & Tibshirani 1993, eq. 11.5), times
    Student's t with n - 1 degrees of freedom. For a mean this is the t interval.

    Parameters
    ----------
    estimate
        The statistic on all units.
    left_out
        (unit,), the statistic without each of them.
    """
    from scipy.stats import t

    n = len(left_out)
    error = np.sqrt((n - 1) * np.var(left_out))
    width = t.ppf(0.975, n - 1) * error
    return float(estimate - width), float(estimate + width)


def preference(follows_a: ArrayLike, follows_b: ArrayLike) -> np.ndarray:
    """Return the share that follows the first of two; those that follow neither count half.

    Examples
    --------
    >>> preference([0.75, 0.5], [0.25, 0.2])
    array([0.75, 0.65])
    """
    a, b = np.asarray(follows_a, float), np.asarray(follows_b, float)
    # Where all follow one of the two, nothing but rounding is left.
    neither = np.round(1 - a - b, 12)
    return a + neither / 2
