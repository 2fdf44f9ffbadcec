"""Intervals against Student's t, and their rate of false alarms."""

import numpy as np
import pytest
from scipy.stats import t, ttest_1samp

from repbias.base.statistics import jackknife_interval, mean_interval


@pytest.mark.parametrize("n", [3, 10, 40])
def test_the_interval_of_a_mean_is_students(n):
    values = np.random.default_rng(n).normal(2, 3, n)
    mean, low, high = mean_interval(values, n_bootstraps=20000)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    width = expected.high - expected.low
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.03 * width)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_without_an_effect_five_percent_of_intervals_exclude_zero(n):
    """Percentile intervals do so in 24 % (n = 3) and 9 % (n = 10) of cases."""
    rng = np.random.default_rng(0)
    intervals = np.array([mean_interval(rng.normal(size=n), 400)[1:] for _ in range(1500)])
    rate = ((intervals[:, 0] > 0) | (intervals[:, 1] < 0)).mean()
    assert 0.03 < rate < 0.075  # binomial standard error .0056, and that of the bootstrap


def test_one_value_has_no_spread():
    assert mean_interval(np.array([0.3])) == (0.3, 0.3, 0.3)


def without_each(statistic, values):
    return np.array([statistic(np.delete(values, i, axis=0)) for i in range(len(values))])


@pytest.mark.parametrize("n", [2, 3, 10, 40])
def test_the_jackknife_interval_of_a_mean_is_students(n):
    values = np.random.default_rng(n).normal(2, 3, n)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    found = jackknife_interval(values.mean(), without_each(np.mean, values))
    assert found == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_the_jackknife_agrees_with_pseudovalues():
    """Tukey: n theta - (n - 1) theta_i behave like independent values with the statistic's mean."""
    values = np.random.default_rng(0).exponential(size=(12, 2))

    def ratio(x):
        return x[:, 0].mean() / x[:, 1].mean()

    left_out = without_each(ratio, values)
    pseudo = 12 * ratio(values) - 11 * left_out
    half = t.ppf(0.975, 11) * pseudo.std(ddof=1) / np.sqrt(12)
    low, high = jackknife_interval(ratio(values), left_out)
    assert (low, high) == pytest.approx((ratio(values) - half, ratio(values) + half))


def test_units_that_play_two_parts_are_counted_twice():
    """The mean over pairs of u_i + u_j is twice that of u, and so is its standard error."""
    u = np.random.default_rng(1).normal(size=9)

    def over_pairs(x):
        return np.mean([a + b for i, a in enumerate(x) for j, b in enumerate(x) if i != j])

    low, high = jackknife_interval(over_pairs(u), without_each(over_pairs, u))
    half = t.ppf(0.975, 8) * 2 * u.std(ddof=1) / 3
    assert (low, high) == pytest.approx((2 * u.mean() - half, 2 * u.mean() + half))


def test_a_jackknife_without_spread_has_no_width():
    assert jackknife_interval(0.4, np.full(5, 0.4)) == pytest.approx((0.4, 0.4))
