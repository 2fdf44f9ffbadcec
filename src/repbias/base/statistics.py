"""Estimates with intervals: for figures, and for verdicts, which hold for skewed values too."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike


def false_discovery_control(p: ArrayLike, method: Literal["bh", "by"] = "bh") -> np.ndarray:
    """Return p values that control the false discovery rate: the least rate at which each is found.

    As ``scipy.stats.false_discovery_control``, whose import takes longer than most jobs that need
    no more of that module.

    Parameters
    ----------
    p
        (tests,), no NaN.
    method
        Of Benjamini & Hochberg (1995), for independent or positively dependent tests, or of
        Benjamini & Yekutieli (2001), under any dependence.
    """
    values = np.asarray(p, float)
    order = np.argsort(values)
    ranks = np.arange(1, len(values) + 1)
    scaled = values[order] * (len(values) / ranks)
    if method == "by":
        scaled *= (1 / ranks).sum()
    # What is found at a rate is found at all higher ones.
    found = np.empty_like(values)
    found[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return np.clip(found, 0, 1)


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
    from scipy.special import stdtrit

    width = stdtrit(n - 1, 0.975) * np.nanstd(samples, ddof=1) * np.sqrt(n / (n - 1))
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
    from scipy.special import stdtrit

    n = len(left_out)
    error = np.sqrt((n - 1) * np.var(left_out))
    width = stdtrit(n - 1, 0.975) * error
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


class Estimated(Protocol):
    """An estimate from independent units, with one-sided tests and bounds that agree."""

    @property
    def value(self) -> float:
        """The estimate."""

    @property
    def n_units(self) -> int:
        """Number of units in the smallest group."""

    def above(self, x: float) -> float:
        """Return the p value of the hypothesis that the truth is at most x."""

    def below(self, x: float) -> float:
        """Return the p value of the hypothesis that the truth is at least x."""

    def low(self, alpha: float = 0.025) -> float:
        """Return a lower bound that exceeds the truth with probability alpha."""

    def high(self, alpha: float = 0.025) -> float:
        """Return an upper bound that falls below the truth with probability alpha."""


@dataclass(frozen=True)
class Estimate:
    """An estimate whose error is judged from what independent units contribute to it.

    With T = (value - truth) / error, Hall's (1992) transformation

        g(T) = T + u (T² / 3 + 1 / 6) + u² T³ / 27

    removes the skewness u of the estimate; it is compared with Student's t. Student's t itself
    errs to one side in 7 to 12 % of samples of 5 to 20 exponential values, instead of 2.5 %. As
    the variance of skewed values is known less well than that of normal ones, t has a third of
    the usual degrees of freedom: what matching the variance of a variance gives at an excess
    kurtosis of 4 (0 for normal, 6 for exponential values). docs/verdicts.md has error rates and
    power. The target is the mean (or the statistic in the population), not the median.

    Attributes
    ----------
    value : the estimate
    error : its standard error
    skewness : its skewness (of a mean, that of the values divided by the root of their number)
    df : degrees of freedom of Student's t
    n_units : number of units in the smallest group
    least_p : no one-sided p value is smaller: 2 ** -n where all n units of a group contribute the
        same, which a fair coin does for either side so often
    """

    value: float
    error: float
    skewness: float
    df: float
    n_units: int
    least_p: float

    @classmethod
    def of_mean(cls, values: ArrayLike) -> Estimate:
        """Estimate the mean of independent values, (unit,)."""
        x = np.asarray(values, float)
        return cls.of_contributions(float(x.mean()), [x])

    @classmethod
    def of_difference(cls, larger: ArrayLike, smaller: ArrayLike) -> Estimate:
        """Estimate the difference between the means of two groups of independent values."""
        a, b = np.asarray(larger, float), np.asarray(smaller, float)
        return cls.of_contributions(float(a.mean() - b.mean()), [a, -b])

    @classmethod
    def of_left_out(cls, value: float, left_out: Sequence[np.ndarray]) -> Estimate:
        """Estimate a statistic in which a unit may enter several terms, by the jackknife.

        A unit contributes value + (n - 1) (value - statistic without it), its pseudo-value; of a
        mean, this is its value, and of a difference between two means it differs from it by a
        constant.

        Parameters
        ----------
        value
            The statistic on all units.
        left_out
            For every group, (unit,): the statistic without each of its units.
        """
        groups = [value + (len(without) - 1) * (value - without) for without in left_out]
        return cls.of_contributions(value, groups)

    @classmethod
    def of_contributions(cls, value: float, groups: Sequence[np.ndarray]) -> Estimate:
        """Estimate a sum of one mean per group; only spread within groups counts as error.

        Parameters
        ----------
        value
            The estimate.
        groups
            For every group, (unit,): what each unit contributes; two or more.
        """
        sizes = np.array([len(group) for group in groups])
        spare = np.maximum(sizes - 1, 1)  # one unit has no spread to divide
        centred = [group - group.mean() for group in groups]
        # Differences between numbers that should be equal are left over by rounding.
        flat = [
            float(np.ptp(group)) <= 1e-12 * float(np.abs(group).max()) + 1e-14 for group in groups
        ]
        squares, cubes = (
            np.array([0 if f else (c**k).sum() for c, f in zip(centred, flat, strict=True)])
            for k in (2, 3)
        )
        least_p = max((2.0**-n for n, f in zip(sizes, flat, strict=True) if f), default=0.0)
        n_units = int(sizes.min())
        if all(flat):
            rounded = 0.0 if abs(value) < 1e-14 else value
            return cls(rounded, 0.0, 0.0, 1.0, n_units, least_p)
        variances = squares / (sizes * spare)
        variance = variances.sum()
        welch = variance**2 / (variances**2 / spare).sum()
        # Where groups are unequal, Welch's degrees of freedom trust the larger one too much.
        df = min(welch, 1.5 * (n_units - 1)) if len(groups) > 1 else welch
        skewness = (cubes / sizes**3).sum() / (squares / sizes**2).sum() ** 1.5
        return cls(value, float(np.sqrt(variance)), float(skewness), df / 3, n_units, least_p)

    def above(self, x: float) -> float:
        """Return the p value of the hypothesis that the truth is at most x."""
        from scipy.special import stdtr  # many times as fast as scipy.stats.t, and in its import

        if not self.error:
            return max(self.least_p, float(self.value <= x))
        return max(self.least_p, float(stdtr(self.df, -self._transformed(x))))

    def below(self, x: float) -> float:
        """Return the p value of the hypothesis that the truth is at least x."""
        from scipy.special import stdtr

        if not self.error:
            return max(self.least_p, float(self.value >= x))
        return max(self.least_p, float(stdtr(self.df, self._transformed(x))))

    def low(self, alpha: float = 0.025) -> float:
        """Return a lower bound that exceeds the truth with probability alpha."""
        return -np.inf if self.least_p >= alpha else self._bound(1 - alpha)

    def high(self, alpha: float = 0.025) -> float:
        """Return an upper bound that falls below the truth with probability alpha."""
        return np.inf if self.least_p >= alpha else self._bound(alpha)

    def _transformed(self, x: float) -> float:
        """Return g(T), if x is the truth."""
        t, u = (self.value - x) / self.error, self.skewness
        return t + u * (t**2 / 3 + 1 / 6) + u**2 * t**3 / 27

    def _bound(self, probability: float) -> float:
        """Return the x at which g(T) is this quantile of Student's t."""
        from scipy.special import stdtrit

        if not self.error:
            return self.value
        quantile, u = float(stdtrit(self.df, probability)), self.skewness
        # g(T) = ((1 + u T / 3)³ - 1) / u + u / 6; without skewness it is T.
        if abs(u) < 1e-8:
            return self.value - self.error * quantile
        return self.value - self.error * 3 / u * float(np.cbrt(1 + u * (quantile - u / 6)) - 1)


@dataclass(frozen=True)
class Least:
    """The smallest of several estimates: what is above x if all of them are.

    That all are above x is tested by the largest of their p values (an intersection-union test);
    that one of them, whichever it is, is below x, by the smallest, multiplied by their number
    (Bonferroni).

    Attributes
    ----------
    parts : the estimates
    """

    parts: Sequence[Estimated]

    @property
    def value(self) -> float:
        """The smallest estimate."""
        return min(part.value for part in self.parts)

    @property
    def n_units(self) -> int:
        """Number of units in the smallest group."""
        return min(part.n_units for part in self.parts)

    def above(self, x: float) -> float:
        """Return the p value of the hypothesis that one of the truths is at most x."""
        return max(part.above(x) for part in self.parts)

    def below(self, x: float) -> float:
        """Return the p value of the hypothesis that all truths are at least x."""
        return min(1.0, len(self.parts) * min(part.below(x) for part in self.parts))

    def low(self, alpha: float = 0.025) -> float:
        """Return a lower bound of the smallest truth."""
        return min(part.low(alpha) for part in self.parts)

    def high(self, alpha: float = 0.025) -> float:
        """Return an upper bound of the smallest truth."""
        return min(part.high(alpha / len(self.parts)) for part in self.parts)


@dataclass(frozen=True)
class Greatest:
    """The largest of several estimates: what is above x if one of them is.

    The search is counted: see :class:`Least`, with the signs reversed.

    Attributes
    ----------
    parts : the estimates
    """

    parts: Sequence[Estimated]

    @property
    def value(self) -> float:
        """The largest estimate."""
        return max(part.value for part in self.parts)

    @property
    def n_units(self) -> int:
        """Number of units in the smallest group."""
        return min(part.n_units for part in self.parts)

    def above(self, x: float) -> float:
        """Return the p value of the hypothesis that all truths are at most x."""
        return min(1.0, len(self.parts) * min(part.above(x) for part in self.parts))

    def below(self, x: float) -> float:
        """Return the p value of the hypothesis that one of the truths is at least x."""
        return max(part.below(x) for part in self.parts)

    def low(self, alpha: float = 0.025) -> float:
        """Return a lower bound of the largest truth."""
        return max(part.low(alpha / len(self.parts)) for part in self.parts)

    def high(self, alpha: float = 0.025) -> float:
        """Return an upper bound of the largest truth."""
        return max(part.high(alpha) for part in self.parts)


def slope_within(groups: Sequence[Hashable], x: ArrayLike, y: ArrayLike) -> float:
    """Regress y on x by least squares, with a mean of its own for every group.

    Parameters
    ----------
    groups, x, y
        (observation,).

    Returns
    -------
    float
        The slope; NaN where x does not vary within any group.

    Examples
    --------
    >>> float(slope_within(["a", "a", "b", "b"], [0, 1, 1, 2], [5, 6, 1, 2]))
    1.0
    """
    x, y = np.array(x, float), np.array(y, float)
    _, group = np.unique(np.asarray(groups, object).astype(str), return_inverse=True)
    n = np.bincount(group)
    x -= (np.bincount(group, x) / n)[group]
    y -= (np.bincount(group, y) / n)[group]
    spread = float(x @ x)
    return float(x @ y) / spread if spread > 0 else float("nan")


def slopes_left_out(
    x: np.ndarray, y: np.ndarray, block: np.ndarray, units: np.ndarray, n_units: int
) -> np.ndarray:
    """Regress y on x by least squares, with a mean of its own for every block, without each unit.

    With x and y minus their means in the block, the slope is sum(x y) / sum(x²). Where units are
    the blocks and have the same x, it is the mean of the units' own slopes, and what
    :meth:`Estimate.of_left_out` makes of these slopes is the t statistic of that mean; where x is
    0 or 1, it is the mean of paired differences. With a single block it is the common slope, or
    the difference between two means. Leaving units out of all of their observations is the
    delete-one-cluster jackknife, which holds whatever the dependence within units (Cameron &
    Miller 2015, J. Hum. Resour. 50, 317-372).

    Parameters
    ----------
    x, y
        (observation,).
    block
        (observation,), numbers from 0.
    units
        (members, observation), the numbers of the one or two units that an observation is of.
    n_units
        Number of units.

    Returns
    -------
    numpy.ndarray
        (1 + unit,): the slope of all units, and without each; NaN where x varies in no block.

    Examples
    --------
    >>> x, y, block = np.array([0, 1, 0, 1.0]), np.array([1, 3, 5, 6.0]), np.array([0, 0, 1, 1])
    >>> slopes_left_out(x, y, block, block[None], 2)
    array([1.5, 1. , 2. ])
    """
    slopes = np.full(n_units + 1, np.nan)
    least = 1e-12 * float(np.max(x**2, initial=0.0))  # what rounding leaves of equal values
    for i in range(n_units + 1):
        kept = (units != i - 1).all(axis=0)
        x_kept, y_kept, at = x[kept], y[kept], block[kept]
        n = np.maximum(np.bincount(at), 1)
        centred = x_kept - (np.bincount(at, x_kept) / n)[at]
        spread = float(centred @ centred)
        if spread > least:
            slopes[i] = float(centred @ y_kept) / spread
    return slopes
