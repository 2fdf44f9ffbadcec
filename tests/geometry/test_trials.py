"""RDMs from single trials against rsatoolbox, simulated truth and their symmetries."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rsatoolbox.data import Dataset
from rsatoolbox.data.noise import prec_from_unbalanced
from rsatoolbox.rdm import calc_rdm, calc_rdm_unbalanced
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ortho_group

from repbias.base.spec import RepbiasError
from repbias.geometry.distances import dissimilarities
from repbias.geometry.trials import prepared, trial_dissimilarities, usable_units

seeds = st.integers(0, 10_000)
FROM_TRIALS = ["mahalanobis", "crossnobis", "poisson", "poisson_cv"]
#: What rsatoolbox calls them.
METHODS = {"shrinkage": "shrinkage_diag", "diagonal": "diag"}


def noisy(n=7, repeats=4, units=5, seed=0):
    """Trials whose noise is correlated between units and differs in size."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(units, units)) * rng.uniform(0.5, 2, units)
    return rng.normal(size=(n, 1, units)) + rng.normal(size=(n, repeats, units)) @ mixing


def unequal(seed=0, n=7, repeats=5, units=5):
    """The same with two to five trials per stimulus."""
    tensor, rng = noisy(n, repeats, units, seed), np.random.default_rng(seed)
    for i, count in enumerate(rng.integers(2, repeats + 1, n)):
        tensor[i, count:] = np.nan
    return tensor


def dataset_of(tensor, fold=None):
    stimulus, repeat = np.nonzero(~np.isnan(tensor).any(axis=2))
    folds = repeat if fold is None else np.asarray(fold)[stimulus, repeat]
    return Dataset(
        tensor[stimulus, repeat],
        obs_descriptors={"stimulus": stimulus.tolist(), "fold": folds.tolist()},
    )


def rdm(tensor, distance, noise="shrinkage", folds=None):
    """RDM of trials (stimulus, repeat, unit), whose folds are repeats unless given."""
    if folds is None:
        folds = np.broadcast_to(np.arange(tensor.shape[1]), tensor.shape[:2])
    folds = np.where(np.isnan(tensor).all(axis=2), -1, folds)
    return trial_dissimilarities(*prepared(tensor, folds, distance, noise), distance)


@pytest.mark.parametrize("noise", ["shrinkage", "diagonal", "none"])
def test_mahalanobis_and_crossnobis_are_rsatoolboxs(noise):
    tensor = noisy()
    data = dataset_of(tensor)
    precision = (
        None if noise == "none" else prec_from_unbalanced(data, "stimulus", method=METHODS[noise])
    )
    for method in ("mahalanobis", "crossnobis"):
        cv = {"cv_descriptor": "fold"} if method == "crossnobis" else {}
        expected = calc_rdm(data, method, "stimulus", noise=precision, **cv).get_vectors()[0]
        found = rdm(tensor, method, noise)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("noise", ["shrinkage", "none"])
@pytest.mark.parametrize("sessions", [None, np.tile([0, 1, 0, 1, 0], (7, 1))])
def test_crossnobis_with_unequal_repeats_is_rsatoolboxs(noise, sessions):
    """Of responses without the offset that all stimuli share, which is removed first."""
    tensor = unequal()
    centred = tensor - np.nanmean(np.nanmean(tensor, axis=1), axis=0)
    data = dataset_of(centred, sessions)
    precision = None
    if noise == "shrinkage":
        precision = prec_from_unbalanced(data, "stimulus", method="shrinkage_diag")
    expected = calc_rdm_unbalanced(
        data, "crossnobis", "stimulus", noise=precision, cv_descriptor="fold"
    )
    np.testing.assert_allclose(
        rdm(tensor, "crossnobis", noise, sessions), expected.get_vectors()[0], rtol=1e-9, atol=1e-10
    )


def test_noise_does_not_raise_crossnobis():
    """True squared distances; without cross-validation they are higher by twice the variance."""
    rng = np.random.default_rng(1)
    signal = rng.normal(size=(12, 400))
    truth = pdist(signal, "sqeuclidean") / 400
    tensor = signal[:, None] + 2 * rng.normal(size=(12, 3, 400))
    assert rdm(tensor, "crossnobis", "none").mean() == pytest.approx(truth.mean(), abs=0.15)
    biased = dissimilarities(tensor.mean(axis=1), "squared_euclidean")
    assert biased.mean() == pytest.approx(truth.mean() + 2 * 4 / 3, abs=0.15)


def counts(seed=0, n=6, repeats=3, units=8):
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.gamma(2, 2, (n, 1, units)), (n, repeats, units)).astype(float)


def test_poisson_is_rsatoolboxs():
    tensor = counts()
    expected = calc_rdm(dataset_of(tensor), "poisson", "stimulus").get_vectors()[0]
    np.testing.assert_allclose(rdm(tensor, "poisson"), expected, rtol=1e-12)


def test_poisson_cv_is_the_mean_over_rsatoolboxs_last_folds():
    """rsatoolbox returns the last fold only, so every fold is the last one in turn."""
    tensor = counts()
    parts = []
    for last in range(3):
        order = [fold for fold in range(3) if fold != last] + [last]
        data = dataset_of(tensor[:, order])
        parts.append(
            calc_rdm(data, "poisson_cv", "stimulus", cv_descriptor="fold").get_vectors()[0]
        )
    np.testing.assert_allclose(rdm(tensor, "poisson_cv"), np.mean(parts, axis=0), rtol=1e-12)


@given(seed=seeds, distance=st.sampled_from(FROM_TRIALS))
def test_permuting_stimuli_permutes_the_rdm(seed, distance):
    tensor = counts(seed) if "poisson" in distance else noisy(6, 3, 8, seed)
    order = np.random.default_rng(seed).permutation(6)
    square = squareform(rdm(tensor, distance))
    permuted = squareform(rdm(tensor[order], distance))
    np.testing.assert_allclose(permuted, square[np.ix_(order, order)], rtol=1e-8, atol=1e-10)


@given(seed=seeds, distance=st.sampled_from(FROM_TRIALS))
def test_the_order_of_repeats_does_not_matter(seed, distance):
    tensor = counts(seed) if "poisson" in distance else noisy(6, 3, 8, seed)
    order = np.random.default_rng(seed).permutation(3)
    np.testing.assert_allclose(
        rdm(tensor[:, order], distance),
        rdm(tensor, distance),
        rtol=1e-8,
        atol=1e-10,
    )


@given(seed=seeds, distance=st.sampled_from(["mahalanobis", "crossnobis"]))
def test_without_noise_normalisation_rotations_do_not_matter(seed, distance):
    tensor = unequal(seed)
    rotation = ortho_group.rvs(5, random_state=seed)
    np.testing.assert_allclose(
        rdm(tensor @ rotation, distance, "none"),
        rdm(tensor, distance, "none"),
        rtol=1e-8,
        atol=1e-10,
    )


@given(seed=seeds, distance=st.sampled_from(["mahalanobis", "crossnobis"]))
def test_with_noise_normalisation_the_scale_and_offset_of_units_do_not_matter(seed, distance):
    tensor, rng = unequal(seed), np.random.default_rng(seed)
    changed = tensor * rng.uniform(0.01, 100, 5) + 100 * rng.normal(size=5)
    for noise in ("shrinkage", "diagonal"):
        np.testing.assert_allclose(
            rdm(changed, distance, noise),
            rdm(tensor, distance, noise),
            rtol=1e-6,
            atol=1e-8,
        )


def test_units_recorded_apart_use_their_own_repeats():
    """Without products of different units, units need no trials in common."""
    tensor = noisy(6, 5, 4)
    apart = np.full((6, 10, 4), np.nan)
    apart[:, :5, :2], apart[:, 5:, 2:] = tensor[:, :, :2], tensor[:, :, 2:]
    for noise in ("diagonal", "none"):
        np.testing.assert_allclose(
            rdm(apart, "crossnobis", noise),
            rdm(tensor, "crossnobis", noise),
            rtol=1e-10,
        )
    with pytest.raises(RepbiasError, match=r"6 of 6 stimuli .* geometry.noise: diagonal"):
        rdm(apart, "crossnobis")


def test_trials_without_some_unit_are_left_out_and_counted(caplog):
    tensor = noisy(6, 4, 5)
    tensor[2, 3, 3] = np.nan
    with caplog.at_level(logging.WARNING):
        found = rdm(tensor, "crossnobis")
    assert "1 of 24 trials are left out" in caplog.text
    tensor[2, 3] = np.nan
    np.testing.assert_allclose(found, rdm(tensor, "crossnobis"), rtol=1e-12)


def test_units_that_the_distance_cannot_use_are_named():
    tensor = noisy(6, 4, 5)
    tensor[3, 1:, 0] = np.nan  # one repeat
    tensor[:, :, 1] = np.arange(6)[:, None]  # no noise
    folds = np.broadcast_to(np.arange(4), (6, 4))
    usable, needs = usable_units(tensor, folds, "crossnobis", "shrinkage")
    np.testing.assert_array_equal(usable, [False, False, True, True, True])
    assert needs.startswith("observed in two folds for every stimulus")
    assert usable_units(tensor, folds, "crossnobis", "none")[0].sum() == 4
    assert usable_units(tensor, folds, "correlation", "shrinkage")[0].all()


@pytest.mark.parametrize("distance", ["poisson", "poisson_cv"])
def test_poisson_refuses_negative_counts(distance):
    tensor = counts()
    tensor[1, 0, 2] = -3
    with pytest.raises(RepbiasError, match=r"1 responses are negative \(the least is -3\)"):
        rdm(tensor, distance)
