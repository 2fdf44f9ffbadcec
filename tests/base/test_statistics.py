"""Intervals against Student's t, and their rate of false alarms."""

import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import sem, skew, t, ttest_1samp, ttest_ind

from repbias.base.statistics import (
    Estimate,
    Greatest,
    Least,
    false_discovery_control,
    jackknife_interval,
    mean_interval,
)


@given(p=st.lists(st.floats(0, 1) | st.sampled_from([0.01, 0.04]), min_size=1, max_size=30))
@pytest.mark.parametrize("method", ["bh", "by"])
def test_false_discoveries_are_controlled_as_in_scipy(method, p):
    """To the last bit."""
    expected = scipy.stats.false_discovery_control(p, method=method)
    np.testing.assert_array_equal(false_discovery_control(p, method), expected)


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


# Estimates for verdicts


def hall(t_value, u):
    """Hall (1992), the third-order transformation that he calls g1, of a mean with u = skewness /
    sqrt(n)."""
    return t_value + u * (t_value**2 / 3 + 1 / 6) + u**2 * t_value**3 / 27


@pytest.mark.parametrize("draw", ["exponential", "normal", "gumbel"])
@pytest.mark.parametrize("sign", [1, -1])
def test_bounds_of_a_mean_are_where_halls_statistic_meets_students_quantile(draw, sign):
    """Solved numerically, with the skewness from SciPy."""
    n = 12
    values = sign * getattr(np.random.default_rng(3), draw)(size=n)
    estimate = Estimate.of_mean(values)
    u, error = skew(values) / np.sqrt(n), sem(values)
    for bound, quantile in (
        (estimate.low(), t.ppf(0.975, (n - 1) / 3)),
        (estimate.high(), t.ppf(0.025, (n - 1) / 3)),
    ):
        expected = brentq(
            lambda x, q=quantile: hall((values.mean() - x) / error, u) - q, -1000, 1000
        )
        assert bound == pytest.approx(expected)


def test_without_skewness_the_interval_is_students():
    values = np.array([-3.0, -1, 0, 1, 3]) + 2
    expected = ttest_1samp(values, 0)
    half = t.ppf(0.975, 4 / 3) / t.ppf(0.975, 4) * (expected.confidence_interval().high - 2)
    assert Estimate.of_mean(values).low() == pytest.approx(2 - half)
    assert Estimate.of_mean(values).high() == pytest.approx(2 + half)


def test_the_error_of_a_difference_is_welchs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=8), rng.normal(1, 2, size=9)
    estimate, welch = Estimate.of_difference(a, b), ttest_ind(a, b, equal_var=False)
    assert estimate.value / estimate.error == pytest.approx(welch.statistic)
    assert 3 * estimate.df == pytest.approx(min(welch.df, 1.5 * 7))


def test_leaving_out_the_units_of_means_gives_the_estimates_of_their_values():
    rng = np.random.default_rng(0)
    a, b = rng.exponential(size=8), rng.normal(size=11)
    by_hand = Estimate.of_difference(a, b)
    left_out = [
        np.array([np.delete(a, i).mean() - b.mean() for i in range(len(a))]),
        np.array([a.mean() - np.delete(b, i).mean() for i in range(len(b))]),
    ]
    found = Estimate.of_left_out(a.mean() - b.mean(), left_out)
    for name in ("value", "error", "skewness", "df", "n_units"):
        assert getattr(found, name) == pytest.approx(getattr(by_hand, name)), name


@pytest.mark.parametrize("seed", range(20))
def test_bounds_and_p_values_agree(seed):
    rng = np.random.default_rng(seed)
    values = rng.exponential(size=rng.integers(5, 15))
    parts = [Estimate.of_mean(values), Estimate.of_difference(values, rng.normal(size=6))]
    for estimate in (*parts, Least(parts), Greatest(parts)):
        assert estimate.low() <= estimate.value <= estimate.high()
        assert estimate.above(estimate.low(0.01)) == pytest.approx(0.01)
        assert estimate.below(estimate.high(0.01)) == pytest.approx(0.01)
        p = [estimate.above(x) for x in np.linspace(-3, 3, 50)]
        assert np.all(np.diff(p) >= 0)


@pytest.mark.parametrize(("n", "decides"), [(5, False), (6, True), (10, True)])
def test_equal_values_are_as_surprising_as_tosses_of_a_coin(n, decides):
    """Up to rounding, as jackknife values are."""
    values = 0.3 + np.random.default_rng(0).normal(0, 1e-16, n)
    for estimate in (Estimate.of_mean(values), Estimate.of_difference(values, np.arange(9.0) - 9)):
        assert estimate.above(0.0) >= 0.5**n
        assert np.isfinite(estimate.low()) == decides
    assert Estimate.of_mean(values).above(0.0) == 0.5**n
    if decides:
        assert Estimate.of_mean(values).low() == pytest.approx(0.3)


def test_rounding_is_no_effect():
    assert Estimate.of_left_out(1e-17, [np.full(8, -2e-17)]).value == 0


def test_the_least_of_several_effects():
    """All above: the worst p value; one below: the best one, times three."""
    parts = [Estimate.of_mean(np.array([-1, -0.5, 0, 0.5, 1]) + m) for m in (1.0, 2.0, -2.0)]
    assert Least(parts).value == -2 and Greatest(parts).value == 2
    assert Least(parts).above(0.0) == parts[2].above(0.0)
    assert Least(parts).below(0.0) == 3 * parts[2].below(0.0)
    assert Greatest(parts).above(0.0) == 3 * parts[1].above(0.0)
    assert Greatest(parts).below(0.0) == parts[1].below(0.0)
    assert Least(parts).high() == parts[2].high(0.025 / 3)
    assert Greatest(parts).low() == parts[1].low(0.025 / 3)


VERDICTS = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "verdicts.py"))


@pytest.mark.parametrize("n", [10, 20])
@pytest.mark.parametrize("distribution", VERDICTS["HELD"])
def test_without_an_effect_verdicts_are_rare(distribution, n):
    """In at most 3 % on each side; of 2,000 samples a rate of 2.5 % has a standard error of .35 %.
    docs/verdicts.md has more samples, sizes and distributions."""
    draw = partial(VERDICTS["mean"], distribution, n, 0.0)
    low, high, *students = VERDICTS["rates"](draw, 2000, seed=0)
    assert max(low, high) <= 0.03
    if distribution.startswith("exponential"):
        assert max(students) > 0.06, "what this is for"


@pytest.mark.parametrize("n", [6, 10, 20])
def test_p_values_hold_in_the_tail_that_corrections_for_many_tests_use(n):
    """Of 100,000 exponential samples, as many p values below .01, .0025 and .001 as there may be,
    on either side; computed at once, by the formula that the estimate uses."""
    x = np.random.default_rng(0).exponential(size=(100_000, n)) - 1
    statistic = hall(x.mean(axis=1) / sem(x, axis=1), skew(x, axis=1) / np.sqrt(n))
    below = t.cdf(statistic, (n - 1) / 3)
    assert below[0] == pytest.approx(Estimate.of_mean(x[0]).below(0.0))
    for p in (below, 1 - below):
        for level in (0.01, 0.0025, 0.001):
            assert (p < level).mean() < level


def test_an_effect_of_one_and_a_half_deviations_is_found_in_ten_networks():
    low, high, *_ = VERDICTS["rates"](partial(VERDICTS["mean"], "normal", 10, 1.5), 2000, seed=0)
    assert high >= 0.8
    assert low == 0
