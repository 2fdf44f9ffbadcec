"""Intervals against Student's t, and their rate of false alarms."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from repbias.statistics import mean_interval


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
