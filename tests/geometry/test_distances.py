"""Distances of NumPy and torch arrays against rsatoolbox, each other, and what they ignore."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rsatoolbox.data import Dataset
from rsatoolbox.data.noise import prec_from_unbalanced
from rsatoolbox.rdm import calc_rdm
from scipy.spatial.distance import squareform
from scipy.stats import ortho_group

from repbias.base.spec import RepbiasError
from repbias.geometry.distances import (
    correlation_distances,
    crossnobis,
    shrinkage_whitened,
    squared_distances,
    upper_triangle,
    whitened,
)

seeds = st.integers(0, 10_000)
DISTANCES = {correlation_distances: "correlation", squared_distances: "euclidean"}


def noisy(n_stimuli=6, n_repeats=4, n_units=40, seed=0):
    """Trials with noise that is correlated between units: (trial, unit), stimulus and fold."""
    rng = np.random.default_rng(seed)
    stimulus, fold = (i.ravel() for i in np.indices((n_stimuli, n_repeats)))
    mixing = rng.normal(size=(n_units, n_units)) * rng.uniform(0.5, 2, n_units)
    noise = rng.normal(size=(len(stimulus), n_units)) @ mixing
    return rng.normal(size=(n_stimuli, n_units))[stimulus] + noise, stimulus, fold


def noise_normalised(x, stimulus, fold):
    return crossnobis(shrinkage_whitened(x, stimulus), stimulus, fold, stimulus.max() + 1)


@pytest.mark.parametrize("function", DISTANCES)
@pytest.mark.parametrize("shape", [(5, 3), (12, 300), (150, 40)])
def test_distances_are_rsatoolboxs(function, shape):
    patterns = np.random.default_rng(1).normal(2, 3, size=shape)
    expected = calc_rdm(Dataset(patterns), method=DISTANCES[function]).get_vectors()[0]
    np.testing.assert_allclose(function(patterns), expected, atol=1e-12 * max(1, expected.max()))


@pytest.mark.parametrize(("n_units", "n_repeats"), [(4, 5), (29, 4), (31, 4), (200, 3)])
def test_noise_normalised_crossnobis_is_rsatoolboxs(n_units, n_repeats):
    """Fewer and more units than there are trials and stimuli."""
    x, stimulus, fold = noisy(n_repeats=n_repeats, n_units=n_units)
    data = Dataset(x, obs_descriptors={"stimulus": stimulus.tolist(), "fold": fold.tolist()})
    precision = prec_from_unbalanced(data, "stimulus", method="shrinkage_diag")
    expected = calc_rdm(data, "crossnobis", "stimulus", precision, cv_descriptor="fold")
    np.testing.assert_allclose(
        noise_normalised(x, stimulus, fold), expected.get_vectors()[0], rtol=1e-9, atol=1e-10
    )


@pytest.mark.parametrize("function", DISTANCES)
def test_leading_axes_are_arrays_one_by_one(function):
    patterns = np.random.default_rng(2).normal(size=(2, 3, 7, 9))
    found = function(patterns)
    assert found.shape == (2, 3, 21)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_allclose(found[i, j], function(patterns[i, j]), rtol=1e-12)


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
    x, stimulus, fold = noisy()
    x = x.astype(dtype)
    tensor = np.full((6, 5, 40), np.nan, dtype)
    tensor[stimulus, fold] = x
    functions = [
        *((function, x) for function in DISTANCES),
        (lambda y: noise_normalised(y, stimulus, fold), x),
        (lambda y: whitened(y, "diagonal")[:, :4], tensor),
        (lambda y: squared_distances(whitened(y, "shrinkage")[:, 0]), tensor),
    ]
    rtol = 1e-10 if dtype == np.float64 else 2e-3
    for function, argument in functions:
        expected, found = function(argument), function(torch.from_numpy(argument))
        assert expected.dtype == dtype
        assert isinstance(found, torch.Tensor)
        np.testing.assert_allclose(
            found.numpy(), expected, rtol=rtol, atol=rtol * np.abs(expected).max()
        )
        assert found.numpy().dtype == dtype


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_a_large_offset_in_float32_costs_few_digits(kind):
    """Against float64 of the same values; rounding to float32 at 10,000 is by 5e-4 of an SD."""
    x, stimulus, fold = noisy(n_units=300)
    x = (x / x.std() + 10_000).astype(np.float32)
    precise = x.astype(np.float64)
    for function in (*DISTANCES, lambda y: noise_normalised(y, stimulus, fold)):
        found, expected = np.asarray(function(kind(x))), function(precise)
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("function", DISTANCES)
def test_whole_numbers_count_as_float64(function):
    counts = np.random.default_rng(4).poisson(5, size=(6, 20))
    np.testing.assert_array_equal(function(counts), function(counts.astype(float)))
    np.testing.assert_allclose(function(torch.from_numpy(counts)), function(counts), rtol=1e-12)


@given(seed=seeds, n=st.integers(2, 9))
def test_the_triangle_is_scipys(seed, n):
    square = np.random.default_rng(seed).normal(size=(n, n))
    square = square + square.T - 2 * np.diag(square.diagonal())
    np.testing.assert_array_equal(upper_triangle(square), squareform(square))
    np.testing.assert_array_equal(
        np.concatenate([upper_triangle(square[:1]), upper_triangle(square[1:, 1:])]),
        squareform(square),
    )


@given(seed=seeds)
def test_rotating_units_changes_no_squared_distance(seed):
    x, stimulus, fold = noisy(n_units=9, seed=seed)
    rotated = x @ ortho_group.rvs(9, random_state=seed)
    for function in (squared_distances, lambda y: crossnobis(y, stimulus, fold, 6)):
        np.testing.assert_allclose(function(rotated), function(x), rtol=1e-9, atol=1e-10)


@given(seed=seeds, n_units=st.sampled_from([5, 50]))
def test_the_scale_of_units_and_an_offset_do_not_matter_after_whitening(seed, n_units):
    x, stimulus, fold = noisy(n_units=n_units, seed=seed)
    rng = np.random.default_rng(seed)
    changed = x * rng.uniform(0.01, 100, n_units) + 100 * rng.normal(size=n_units)
    np.testing.assert_allclose(
        noise_normalised(changed, stimulus, fold),
        noise_normalised(x, stimulus, fold),
        rtol=1e-6,
        atol=1e-8,
    )


@given(seed=seeds, n_units=st.sampled_from([5, 50]))
def test_permuting_stimuli_permutes_crossnobis(seed, n_units):
    x, stimulus, fold = noisy(n_units=n_units, seed=seed)
    order = np.random.default_rng(seed).permutation(6)
    square = squareform(noise_normalised(x, stimulus, fold))
    renamed = squareform(noise_normalised(x, order[stimulus], fold))
    np.testing.assert_allclose(renamed[np.ix_(order, order)], square, rtol=1e-8, atol=1e-10)


def test_whitening_makes_noise_that_it_knows_well_white():
    """Many trials: the covariance between repeats becomes the identity."""
    x, stimulus, _ = noisy(n_stimuli=3, n_repeats=4000, n_units=5)
    white = shrinkage_whitened(x, stimulus)
    means = np.stack([white[stimulus == s].mean(axis=0) for s in range(3)])
    covariance = np.cov((white - means[stimulus]).T)
    np.testing.assert_allclose(covariance, np.eye(5), atol=0.01)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_what_has_no_distance_is_refused(kind):
    patterns = np.random.default_rng(5).normal(size=(2, 6, 5))
    patterns[1, 3] = 0.1
    with pytest.raises(RepbiasError, match=r"1 of 12 patterns are constant .* number 9\)"):
        correlation_distances(kind(patterns))
    assert np.isfinite(np.asarray(squared_distances(kind(patterns)))).all()
    patterns[0, 2, :2] = np.nan
    for function in DISTANCES:
        with pytest.raises(RepbiasError, match="1 patterns are not finite"):
            function(kind(patterns))


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_noise_that_cannot_be_known_is_refused(kind):
    x, stimulus, _ = noisy()
    with pytest.raises(RepbiasError, match="no stimulus has two trials"):
        shrinkage_whitened(kind(x[:6]), np.arange(6))
    x[:, 7] = 0.1 * stimulus
    with pytest.raises(RepbiasError, match="1 of 40 units do not vary between repeats"):
        shrinkage_whitened(kind(x), stimulus)


@pytest.mark.parametrize("dtype", ["int8", "int16", "float16"])
def test_narrow_numbers_count_as_double_precision(dtype):
    x = np.random.default_rng(0).integers(-100, 100, (12, 20)).astype(dtype)
    stimulus, fold = np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4)
    wide = x.astype(float)
    expected = crossnobis(wide, stimulus, fold, 4)
    np.testing.assert_array_equal(crossnobis(x, stimulus, fold, 4), expected)
    tensor = torch.from_numpy(x)
    np.testing.assert_allclose(crossnobis(tensor, stimulus, fold, 4).numpy(), expected, rtol=1e-12)
    for distances in (correlation_distances, squared_distances):
        np.testing.assert_array_equal(distances(x), distances(wide))
    trials = x.reshape(4, 3, 20)
    np.testing.assert_array_equal(
        whitened(trials, "shrinkage"), whitened(trials.astype(float), "shrinkage")
    )
