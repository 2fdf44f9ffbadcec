"""Noise normalisation against rsatoolbox, and its symmetries."""

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

from repbias.base.spec import RepbiasError
from repbias.geometry.distances import crossnobis, squared_distances
from repbias.geometry.noise import shrinkage_whitened, whitened

seeds = st.integers(0, 10_000)
KINDS = [np.asarray, torch.from_numpy]
#: What rsatoolbox calls them.
METHODS = {"shrinkage": "shrinkage_diag", "diagonal": "diag"}


def noisy(n_stimuli=6, n_repeats=4, n_units=40, seed=0):
    """Trials with noise that is correlated between units: (trial, unit), stimulus and fold."""
    rng = np.random.default_rng(seed)
    stimulus, fold = (i.ravel() for i in np.indices((n_stimuli, n_repeats)))
    mixing = rng.normal(size=(n_units, n_units)) * rng.uniform(0.5, 2, n_units)
    noise = rng.normal(size=(len(stimulus), n_units)) @ mixing
    return rng.normal(size=(n_stimuli, n_units))[stimulus] + noise, stimulus, fold


def noise_normalised(x, stimulus, fold):
    return crossnobis(shrinkage_whitened(x, stimulus), stimulus, fold, stimulus.max() + 1)


def tensor_of(unequal, n_units, n=7, repeats=5):
    """(stimulus, repeat, unit), of equal or unequal numbers of trials per stimulus."""
    x, stimulus, fold = noisy(n, repeats, n_units)
    tensor = np.empty((n, repeats, n_units))
    tensor[stimulus, fold] = x
    if unequal:
        for i, count in enumerate(np.random.default_rng(0).integers(2, repeats + 1, n)):
            tensor[i, count:] = np.nan
    return tensor


@pytest.mark.parametrize("units", [5, 30, 60])
@pytest.mark.parametrize("noise", ["shrinkage", "diagonal"])
@pytest.mark.parametrize("unequal", [False, True])
def test_noise_precision_is_rsatoolboxs(unequal, noise, units):
    """Products per unit, as coordinates differ; with more units than trials, too."""
    tensor = tensor_of(unequal, units)
    tensor -= np.nanmean(np.nanmean(tensor, axis=1), axis=0)
    white = whitened(tensor, noise)
    rows = ~np.isnan(tensor).any(axis=2)
    np.testing.assert_array_equal(~np.isnan(white).any(axis=2), rows)
    data = Dataset(tensor[rows], obs_descriptors={"stimulus": np.nonzero(rows)[0].tolist()})
    precision = prec_from_unbalanced(data, "stimulus", method=METHODS[noise])
    expected = tensor[rows] @ precision @ tensor[rows].T / units
    found = white[rows] @ white[rows].T / white.shape[2]
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


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


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_torch_is_numpy(dtype):
    """The same numbers, of the same kind and precision as the input."""
    x, stimulus, fold = noisy()
    x = x.astype(dtype)
    tensor = np.full((6, 5, 40), np.nan, dtype)
    tensor[stimulus, fold] = x
    functions = [
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_offset_in_float32_costs_few_digits(kind):
    """Against float64 of the same values; rounding to float32 at 10,000 is by 5e-4 of an SD."""
    x, stimulus, fold = noisy(n_units=300)
    x = (x / x.std() + 10_000).astype(np.float32)
    found = np.asarray(noise_normalised(kind(x), stimulus, fold))
    expected = noise_normalised(x.astype(np.float64), stimulus, fold)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


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
def test_permuting_stimuli_permutes_noise_normalised_distances(seed, n_units):
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


@pytest.mark.parametrize("kind", KINDS)
def test_noise_that_cannot_be_known_is_refused(kind):
    x, stimulus, _ = noisy()
    with pytest.raises(RepbiasError, match="no stimulus has two trials"):
        shrinkage_whitened(kind(x[:6]), np.arange(6))
    x[:, 7] = 0.1 * stimulus
    with pytest.raises(RepbiasError, match="1 of 40 units do not vary between repeats"):
        shrinkage_whitened(kind(x), stimulus)


@pytest.mark.parametrize("dtype", ["int8", "int16", "float16"])
def test_narrow_numbers_count_as_double_precision(dtype):
    trials = np.random.default_rng(0).integers(-100, 100, (4, 3, 20)).astype(dtype)
    for noise in METHODS:
        np.testing.assert_array_equal(
            whitened(trials, noise), whitened(trials.astype(float), noise)
        )
