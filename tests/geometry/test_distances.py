"""Distances between patterns against SciPy and rsatoolbox, and their symmetries."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ortho_group

from repbias.base.spec import RepbiasError
from repbias.geometry.distances import (
    correlation_distances,
    crossnobis,
    dissimilarities,
    squared_distances,
    upper_triangle,
)
from repbias.geometry.streaming import stream_dissimilarities

seeds = st.integers(0, 10_000)
DISTANCES = ["correlation", "euclidean", "squared_euclidean"]
#: Functions, and what rsatoolbox calls their distance.
FUNCTIONS = {correlation_distances: "correlation", squared_distances: "euclidean"}
KINDS = [np.asarray, torch.from_numpy]


def patterns_of(seed, n=6, p=5):
    return np.random.default_rng(seed).normal(size=(n, p))


def reference(patterns, distance):
    """SciPy; rsatoolbox divides squared distances by the number of channels."""
    if distance == "correlation":
        return pdist(patterns, "correlation")
    squared = pdist(patterns, "sqeuclidean") / patterns.shape[1]
    return np.sqrt(squared) if distance == "euclidean" else squared


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("shape", [(4, 2), (20, 7), (7, 300)])
def test_agrees_with_scipy(distance, shape):
    patterns = np.random.default_rng(0).normal(3, 2, size=shape)
    np.testing.assert_allclose(
        dissimilarities(patterns, distance), reference(patterns, distance), atol=1e-12
    )


@pytest.mark.parametrize("distance", ["correlation", "squared_euclidean"])
def test_agrees_with_rsatoolbox(distance):
    patterns = np.random.default_rng(1).normal(size=(12, 30))
    method = "correlation" if distance == "correlation" else "euclidean"
    expected = calc_rdm(Dataset(patterns), method=method).get_vectors()[0]
    np.testing.assert_allclose(dissimilarities(patterns, distance), expected, atol=1e-12)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_large_offset_in_float32_does_no_harm(distance):
    """Distances between the float32 values themselves, computed by SciPy in float64."""
    offset = (1000 + np.random.default_rng(2).normal(size=(15, 40))).astype(np.float32)
    expected = reference(offset.astype(np.float64), distance)
    np.testing.assert_allclose(dissimilarities(offset, distance), expected, rtol=1e-8)


@given(seed=seeds, distance=st.sampled_from(DISTANCES))
def test_permuting_stimuli_permutes_the_rdm(seed, distance):
    patterns = patterns_of(seed)
    order = np.random.default_rng(seed).permutation(len(patterns))
    square = squareform(dissimilarities(patterns, distance))
    permuted = squareform(dissimilarities(patterns[order], distance))
    np.testing.assert_allclose(permuted, square[np.ix_(order, order)], atol=1e-12)


@given(seed=seeds, distance=st.sampled_from(DISTANCES))
def test_permuting_units_changes_nothing(seed, distance):
    patterns = patterns_of(seed)
    order = np.random.default_rng(seed).permutation(patterns.shape[1])
    np.testing.assert_allclose(
        dissimilarities(patterns[:, order], distance),
        dissimilarities(patterns, distance),
        atol=1e-12,
    )


@given(seed=seeds, distance=st.sampled_from(["euclidean", "squared_euclidean"]))
def test_euclidean_ignores_rotations_and_a_shift_of_all_patterns(seed, distance):
    patterns = patterns_of(seed)
    rotation = ortho_group.rvs(5, random_state=seed)
    shift = 100 * np.random.default_rng(seed).normal(size=5)
    np.testing.assert_allclose(
        dissimilarities(patterns @ rotation + shift, distance),
        dissimilarities(patterns, distance),
        rtol=1e-9,
    )


@given(seed=seeds, scale=st.floats(0.01, 100))
def test_euclidean_scales_with_the_patterns(seed, scale):
    patterns = patterns_of(seed)
    for distance, factor in (("euclidean", scale), ("squared_euclidean", scale**2)):
        np.testing.assert_allclose(
            dissimilarities(scale * patterns, distance),
            factor * dissimilarities(patterns, distance),
            rtol=1e-9,
        )


@given(seed=seeds)
def test_correlation_ignores_scale_and_offset_of_every_pattern(seed):
    patterns, rng = patterns_of(seed), np.random.default_rng(seed)
    changed = patterns * rng.uniform(0.1, 10, size=(6, 1)) + rng.normal(size=(6, 1)) * 10
    np.testing.assert_allclose(
        dissimilarities(changed, "correlation"), dissimilarities(patterns, "correlation"), atol=1e-9
    )


def test_a_constant_pattern_has_no_correlation_distance():
    patterns = patterns_of(0)
    patterns[3] = 0.5
    with pytest.raises(RepbiasError, match=r"1 of 6 patterns are constant .* number 3\)"):
        dissimilarities(patterns, "correlation")
    np.testing.assert_allclose(
        dissimilarities(patterns, "euclidean"), reference(patterns, "euclidean"), atol=1e-12
    )


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_patterns_that_are_not_finite_are_refused(distance, value):
    patterns = patterns_of(0)
    patterns[2, 1] = patterns[2, 3] = value
    with pytest.raises(RepbiasError, match="1 patterns are not finite"):
        dissimilarities(patterns, distance)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("shape", [(5, 3), (12, 300), (150, 40)])
def test_distances_are_rsatoolboxs(function, shape):
    patterns = np.random.default_rng(1).normal(2, 3, size=shape)
    expected = calc_rdm(Dataset(patterns), method=FUNCTIONS[function]).get_vectors()[0]
    np.testing.assert_allclose(function(patterns), expected, atol=1e-12 * max(1, expected.max()))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_leading_axes_are_arrays_one_by_one(function):
    patterns = np.random.default_rng(2).normal(size=(2, 3, 7, 9))
    found = function(patterns)
    assert found.shape == (2, 3, 21)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_allclose(found[i, j], function(patterns[i, j]), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_large_offset_in_float32_costs_few_digits(function, kind):
    """Against float64 of the same values; rounding to float32 at 10,000 is by 5e-4 of an SD."""
    x = (10_000 + trials_of(n_units=300)[0]).astype(np.float32)
    found, expected = np.asarray(function(kind(x))), function(x.astype(np.float64))
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_whole_numbers_count_as_float64(function):
    counts = np.random.default_rng(4).poisson(5, size=(6, 20))
    np.testing.assert_array_equal(function(counts), function(counts.astype(float)))
    np.testing.assert_allclose(function(torch.from_numpy(counts)), function(counts), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_distance_is_refused(kind):
    patterns = np.random.default_rng(5).normal(size=(2, 6, 5))
    patterns[1, 3] = 0.1
    with pytest.raises(RepbiasError, match=r"1 of 12 patterns are constant .* number 9\)"):
        correlation_distances(kind(patterns))
    assert np.isfinite(np.asarray(squared_distances(kind(patterns)))).all()
    patterns[0, 2, :2] = np.nan
    for function in FUNCTIONS:
        with pytest.raises(RepbiasError, match="1 patterns are not finite"):
            function(kind(patterns))


@given(seed=seeds, n=st.integers(2, 9))
def test_the_triangle_is_scipys(seed, n):
    square = np.random.default_rng(seed).normal(size=(n, n))
    square = square + square.T - 2 * np.diag(square.diagonal())
    np.testing.assert_array_equal(upper_triangle(square), squareform(square))
    np.testing.assert_array_equal(
        np.concatenate([upper_triangle(square[:1]), upper_triangle(square[1:, 1:])]),
        squareform(square),
    )


def trials_of(seed=0, n_stimuli=6, n_folds=4, n_units=9):
    """(trial, unit) of patterns with noise, and stimulus and fold of every trial."""
    rng = np.random.default_rng(seed)
    stimulus, fold = (i.ravel() for i in np.indices((n_stimuli, n_folds)))
    x = rng.normal(size=(n_stimuli, n_units))[stimulus] + rng.normal(size=(len(stimulus), n_units))
    return x, stimulus, fold


def test_crossnobis_is_the_mean_over_pairs_of_trials_in_different_folds():
    """Written out in loops."""
    rng = np.random.default_rng(3)
    stimulus = np.repeat(np.arange(4), [4, 3, 5, 2])
    fold = np.array([0, 1, 1, 2, 0, 1, 2, 0, 0, 1, 2, 2, 1, 2])
    x = rng.normal(size=(14, 3))

    def product_mean(i, j):
        rows = product(np.flatnonzero(stimulus == i), np.flatnonzero(stimulus == j))
        return np.mean([x[a] @ x[b] for a, b in rows if fold[a] != fold[b]])

    expected = [
        (product_mean(i, i) + product_mean(j, j) - 2 * product_mean(i, j)) / 3
        for i, j in combinations(range(4), 2)
    ]
    np.testing.assert_allclose(crossnobis(x, stimulus, fold, 4), expected, rtol=1e-12)


def test_crossnobis_of_several_arrays_is_that_of_each():
    rng = np.random.default_rng(3)
    stimulus, fold = np.repeat(np.arange(5), [4, 2, 3, 4, 3]), np.arange(16) % 3
    fold[4:6] = 0, 2  # two trials of a stimulus in one fold, one in another
    x = rng.normal(size=(2, 16, 8))
    found = crossnobis(x, stimulus, fold, 5)
    for one, rdm in zip(x, found, strict=True):
        np.testing.assert_allclose(crossnobis(one, stimulus, fold, 5), rdm, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_torch_is_numpy(dtype):
    """The same numbers, of the same kind and precision as the input."""
    x, stimulus, fold = trials_of(n_units=40)
    x = x.astype(dtype)
    rtol = 1e-10 if dtype == np.float64 else 2e-3
    for function in (*FUNCTIONS, lambda y: crossnobis(y, stimulus, fold, 6)):
        expected, found = function(x), function(torch.from_numpy(x))
        assert expected.dtype == dtype
        assert isinstance(found, torch.Tensor)
        np.testing.assert_allclose(
            found.numpy(), expected, rtol=rtol, atol=rtol * np.abs(expected).max()
        )
        assert found.numpy().dtype == dtype


@given(seed=seeds)
def test_rotating_units_changes_no_squared_distance(seed):
    x, stimulus, fold = trials_of(seed)
    rotated = x @ ortho_group.rvs(9, random_state=seed)
    for function in (squared_distances, lambda y: crossnobis(y, stimulus, fold, 6)):
        np.testing.assert_allclose(function(rotated), function(x), rtol=1e-9, atol=1e-10)


@given(seed=seeds)
def test_permuting_stimuli_permutes_crossnobis(seed):
    x, stimulus, fold = trials_of(seed)
    order = np.random.default_rng(seed).permutation(6)
    square = squareform(crossnobis(x, stimulus, fold, 6))
    renamed = squareform(crossnobis(x, order[stimulus], fold, 6))
    np.testing.assert_allclose(renamed[np.ix_(order, order)], square, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("dtype", ["int8", "int16", "float16"])
def test_narrow_numbers_count_as_double_precision(dtype):
    x = np.random.default_rng(0).integers(-100, 100, (12, 20)).astype(dtype)
    stimulus, fold = np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4)
    for function in (*FUNCTIONS, lambda y: crossnobis(y, stimulus, fold, 4)):
        expected = function(x.astype(float))
        np.testing.assert_array_equal(function(x), expected)
        np.testing.assert_allclose(function(torch.from_numpy(x)).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
def test_equal_patterns_have_no_distance(distance):
    """Not the root of a rounding error, in memory and block by block."""
    x = np.random.default_rng(0).normal(5, 1, (6, 300)).repeat(2, axis=0)
    first, second = np.triu_indices(12, 1)
    same = first // 2 == second // 2
    found = dissimilarities(x, distance)
    streamed = np.concatenate(
        list(stream_dissimilarities(lambda s, u: x[s, u], 12, 300, distance, max_memory_mb=1))
    )
    for rdm in (found, streamed):
        np.testing.assert_array_equal(rdm == 0, same)
    np.testing.assert_allclose(found, streamed, rtol=1e-12)
