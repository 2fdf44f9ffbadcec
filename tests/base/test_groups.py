"""Groups of stimuli: what is resampled, permuted and left out together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold

from repbias.base.groups import StimulusGroups

labels = st.lists(st.integers(0, 7), min_size=8, max_size=40)
seeds = st.integers(0, 100)


def rng(seed=0):
    return np.random.default_rng(seed)


@given(labels=labels, seed=seeds)
@settings(max_examples=50)
def test_permutations_keep_groups_together(labels, seed):
    groups = StimulusGroups.of(np.array(labels), "films")
    for order in groups.orders(20, rng(seed)):
        assert sorted(order) == list(range(len(labels)))
        for group, size in enumerate(groups.sizes):
            (source,) = set(groups.codes[order[groups.codes == group]])
            assert groups.sizes[source] == size
            assert groups.between or source == group


def test_permutations_reach_every_place():
    free = StimulusGroups.alone(6).orders(500, rng())
    counts = np.array([[np.sum(free[:, i] == j) for j in range(6)] for i in range(6)])
    assert abs(counts - 500 / 6).max() < 5 * np.sqrt(500 / 6)
    # Five pairs: 5! orders of the groups, and two within each.
    pairs = StimulusGroups.of(np.arange(10) // 2, "pairs")
    firsts = np.unique(pairs.orders(20_000, rng()) // 2, axis=0)
    assert len(firsts) == 120
    # Few groups stay where they are.
    two = StimulusGroups.of(np.array([0, 0, 0, 1, 1, 1]), "halves")
    assert len(np.unique(two.orders(2000, rng()), axis=0)) == 6 * 6


@given(labels=labels, seed=seeds)
@settings(max_examples=50)
def test_groups_are_resampled_as_a_whole_or_not_at_all(labels, seed):
    groups = StimulusGroups.of(np.array(labels), "films")
    for counts in groups.resampled(30, rng(seed)):
        of_groups = [counts[groups.codes == g] for g in range(len(groups.sizes))]
        if groups.between:
            assert all(len(set(of_group)) == 1 for of_group in of_groups)
            assert sum(of_group[0] for of_group in of_groups) == len(groups.sizes)
            assert sum(of_group[0] > 0 for of_group in of_groups) >= 3
        else:
            assert [of_group.sum() for of_group in of_groups] == list(groups.sizes)


def test_single_stimuli_are_resampled_and_permuted_as_numpy_does():
    """And divided as scikit-learn divides them: without groups nothing is special."""
    alone = StimulusGroups.alone(9)
    expected = rng().multinomial(9, np.full(9, 1 / 9), size=50)
    expected = expected[(expected > 0).sum(axis=1) >= 3]
    np.testing.assert_array_equal(alone.resampled(50, rng()), expected)
    generator = rng()
    expected = [generator.permutation(9) for _ in range(20)]
    np.testing.assert_array_equal(alone.orders(20, rng()), expected)
    splits = KFold(3, shuffle=True, random_state=1).split(np.zeros(9))
    for found, split in zip(alone.folds(3, 1), splits, strict=True):
        np.testing.assert_array_equal(found[1], split[1])


@given(labels=labels, seed=seeds)
@settings(max_examples=30)
def test_folds_divide_no_group_however_few_there_are(labels, seed):
    groups = StimulusGroups.of(np.array(labels), "films")
    folds = groups.folds(3, seed)
    n_groups = len(groups.sizes)
    assert len(folds) == (3 if n_groups == 1 else min(3, n_groups))
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(labels)))
    for train, test in folds:
        if n_groups > 1:
            assert not set(groups.codes[train]) & set(groups.codes[test])


@pytest.mark.parametrize(
    ("sizes", "between", "exchangeable", "units"),
    [
        ([1] * 4, True, True, (4, 3)),
        ([4] * 6, True, True, (6, 5)),
        ([4] * 4, False, False, (4, 12)),
        ([2, 3, 4, 5, 6], True, False, (5, 4)),
        ([2, 2, 2, 2, 2, 9], True, True, (6, 5)),
        ([8, 12], False, False, (10, 18)),
        ([4, 4, 4, 4, 3, 3], True, True, (6, 5)),
    ],
)
def test_what_can_be_said_of_other_groups(sizes, between, exchangeable, units):
    groups = StimulusGroups.of(np.repeat(np.arange(len(sizes)), sizes), "films")
    assert (groups.between, groups.exchangeable) == (between, exchangeable)
    assert groups.resampled_units == units


def test_the_variance_of_a_mean_over_clusters_is_that_of_cluster_means():
    """Closed form: with m equal groups, the bootstrap has (m - 1) / m of the mean's variance."""
    values = rng().normal(size=8).repeat(5) + 0.1 * rng(1).normal(size=40)
    groups = StimulusGroups.of(np.arange(40) // 5, "films")
    means = groups.resampled(100_000, rng(2)) @ values / 40
    expected = values.reshape(8, 5).mean(axis=1).var(ddof=1) / 8
    n, _ = groups.resampled_units
    assert means.var(ddof=1) * n / (n - 1) == pytest.approx(expected, rel=0.02)


def test_a_part_of_the_stimuli_is_treated_as_all_are():
    """Four of five groups are left in training: they are left out whole there, too."""
    groups = StimulusGroups.of(np.arange(40) // 8, "films")
    for train, _ in groups.folds(5, 0):
        inner = groups.subset(train)
        assert len(inner.sizes) == 4
        for _, test in inner.folds(4, 0):
            assert len(set(inner.codes[test])) == 1
    few = StimulusGroups.of(np.arange(40) // 10, "films")
    assert not few.between and not few.subset(np.arange(10)).between


def test_whole_groups_are_left_out_or_stimuli_where_groups_are_few():
    films = StimulusGroups.of(np.array([0, 1, 2, 3, 4, 0, 1]), "films")
    left_out = films.left_out()
    np.testing.assert_array_equal(left_out, films.codes != np.arange(5)[:, None])
    halves = StimulusGroups.of(np.array([0, 0, 1, 1]), "halves")
    np.testing.assert_array_equal(halves.left_out(), 1 - np.eye(4))
    np.testing.assert_array_equal(StimulusGroups.alone(6).left_out(), 1 - np.eye(6))


def test_many_groups_are_left_out_in_blocks_of_random_ones():
    """Every group once, in blocks whose sizes differ by one at most."""
    pairs = StimulusGroups.of(np.repeat(np.arange(250), 2), "pairs")
    left_out = pairs.left_out()
    assert left_out.shape == (200, 500)
    assert ((left_out == 0).sum(axis=0) == 1).all()
    assert set((left_out == 0).sum(axis=1)) == {2, 4}
    np.testing.assert_array_equal(left_out[:, ::2], left_out[:, 1::2])
    neighbours = [np.flatnonzero(row == 0) for row in pairs.left_out(most=125)[:, ::2]]
    distances = {int(b - a) for a, b in neighbours}
    assert len(distances) > 50  # neither neighbours nor every 125th


def test_samples_of_two_groups_or_stimuli_are_left_out():
    """A tenth of the samples of five groups: ten pairs, each in (2^5 - 2) of 5^5 ways."""
    films = StimulusGroups.of(np.arange(10) // 2, "films")
    samples = films.resampled(20_000, rng())
    assert (samples[:, ::2] > 0).sum(axis=1).min() == 3
    fewer = (10 * 30 + 5) / 5**5
    assert len(samples) / 20_000 == pytest.approx(1 - fewer, abs=0.01)
    # Two pairs: each is drawn as one of its stimuli twice in half of the cases.
    pairs = StimulusGroups.of(np.arange(4) // 2, "pairs")
    samples = pairs.resampled(20_000, rng())
    assert (samples > 0).sum(axis=1).min() == 3
    assert len(samples) / 20_000 == pytest.approx(0.75, abs=0.01)


def test_what_is_resampled_is_said_in_words():
    films = StimulusGroups.of(np.arange(12) // 2, "films")
    assert films.of_stimuli == "whole groups (films)"
    assert films.subset(np.arange(6)).of_stimuli == "whole groups (films)"
    assert StimulusGroups.of(np.arange(12) // 6, "films").of_stimuli == (
        "stimuli within groups (films)"
    )
    assert StimulusGroups.alone(3).of_stimuli == "stimuli"


def test_single_stimuli_are_exchangeable_however_few():
    assert StimulusGroups.alone(3).exchangeable
