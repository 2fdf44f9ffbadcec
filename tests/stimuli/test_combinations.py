"""Combinations of classes in turns: every prefix is balanced, and features are independent."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repbias.stimuli.combinations import every_combination, fitted, in_turns, shares

SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=3)


def counts_of_prefixes(labels: np.ndarray, size: int) -> np.ndarray:
    """How often each class has occurred after every stimulus, (stimulus, class)."""
    return np.cumsum(np.eye(size)[labels], axis=0)


@given(SIZES, st.integers(1, 300), st.integers(0, 2**32))
def test_every_prefix_is_balanced(sizes, n, seed):
    possible = every_combination(sizes)
    labels = possible[in_turns(possible, n, np.random.default_rng(seed))]
    for feature, size in enumerate(sizes):
        counts = counts_of_prefixes(labels[:, feature], size)
        assert np.ptp(counts, axis=1).max() <= 2
    for a, b in combinations(range(len(sizes)), 2):
        counts = counts_of_prefixes(labels[:, a] * sizes[b] + labels[:, b], sizes[a] * sizes[b])
        assert np.ptp(counts, axis=1).max() <= 4
    rounds = labels[: n // len(possible) * len(possible)].reshape(-1, len(possible), len(sizes))
    for one in rounds:
        assert len(np.unique(one, axis=0)) == len(possible), "each once in a round"


def test_the_first_of_a_thousand_combinations_are_close_to_independent():
    """The first 200 of 10 x 10 x 10: each class 20 times, each pair twice, give or take little."""
    possible = every_combination([10, 10, 10])
    for seed in range(3):
        labels = possible[in_turns(possible, 200, np.random.default_rng(seed))]
        for a, b in combinations(range(3), 2):
            pairs = np.bincount(labels[:, a] * 10 + labels[:, b], minlength=100)
            assert np.bincount(labels[:, a]).tolist() == [20] * 10
            assert pairs.min() >= 1 and pairs.max() <= 4 and np.mean(pairs == 2) > 0.7


def test_rounds_have_orders_of_their_own():
    possible = every_combination([3, 3])
    order = in_turns(possible, 45, np.random.default_rng(0)).reshape(5, 9)
    assert all((a != b).any() for a, b in pairwise(order))


@pytest.mark.parametrize("n", [12, 13, 17])
def test_shares_are_as_close_as_whole_numbers_can_be(n):
    p = np.array([0.5, 0.25, 0.25, 0])
    found = [shares(n, p, np.random.default_rng(seed)) for seed in range(200)]
    assert {f.sum() for f in found} == {n}
    assert np.abs(np.array(found) - n * p).max() < 1
    np.testing.assert_allclose(np.mean(found, axis=0), n * p, atol=0.15)


@given(
    st.lists(st.floats(0.1, 1), min_size=6, max_size=6), st.floats(0.1, 0.9), st.floats(0.1, 0.9)
)
def test_fitted_shares_keep_the_odds_ratios(start, first, second):
    """They identify the nearest distribution with given margins (Deming & Stephan 1940)."""
    start = np.array(start) / np.sum(start)
    groups = every_combination([2, 3])
    margins = [np.array([first, 1 - first]), np.array([second, 0.5 - second / 2, 0.5 - second / 2])]
    table = fitted(start, list(zip(groups.T, margins, strict=True))).reshape(2, 3)
    np.testing.assert_allclose(table.sum(axis=1), margins[0], atol=1e-8)
    np.testing.assert_allclose(table.sum(axis=0), margins[1], atol=1e-8)
    for column in (1, 2):
        found, before = (
            t[0, 0] * t[1, column] / (t[1, 0] * t[0, column]) for t in (table, start.reshape(2, 3))
        )
        assert found == pytest.approx(before)


def test_impossible_shares_are_refused():
    groups = np.array([0, 1, 1])
    with pytest.raises(ValueError, match="no mixture of the combinations that occur"):
        fitted(
            np.array([0.5, 0.5, 0]), [(groups, np.array([0.5, 0.5])), (groups, np.array([1, 0]))]
        )
