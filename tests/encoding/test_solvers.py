"""Ridge and banded ridge regression on arrays, against himalaya and NumPy; their symmetries."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from himalaya.kernel_ridge import KernelRidgeCV, MultipleKernelRidgeCV
from himalaya.ridge import GroupRidgeCV, RidgeCV
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.model_selection import GroupKFold, KFold

from repbias.base.spec import RepbiasError
from repbias.encoding.solvers import banded_ridge_cv, kernel_ridge_cv, low_rank_features, ridge_cv

ALPHAS = np.logspace(-2, 4, 13)
WEIGHTINGS = np.array([[0.5, 0.5], [1, 0], [0, 1], [0.9, 0.1], [0.2, 0.8]])


def data(n=60, p=12, targets=9, seed=0, offset=0.0):
    """Targets of all degrees of predictability, so that many penalties are chosen."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * np.geomspace(3, 0.1, p) + offset
    y = x @ rng.normal(size=(p, targets))
    y = y / y.std(axis=0) + np.geomspace(0.1, 10, targets) * rng.normal(size=(n, targets))
    return x, y


def folds(n=60, k=5, seed=0):
    return list(KFold(k, shuffle=True, random_state=seed).split(np.zeros(n)))


def grouped(n=60):
    groups = np.random.default_rng(1).integers(0, 14, n)
    return list(GroupKFold(4).split(np.zeros(n), groups=groups))


def gram(x):
    return x @ x.T


SHAPES = [(60, 12), (60, 40), (50, 55), (40, 130)]  # the last two have more than training stimuli


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("make_folds", [folds, grouped, lambda n: folds(n, n)])
@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_ridge_is_himalayas(n, p, make_folds, intercept):
    """Folds of equal and unequal size, and of one stimulus."""
    x, y = data(n, p, offset=0.5)
    found = ridge_cv(x, y, ALPHAS, make_folds(n), intercept=intercept)
    model = RidgeCV(
        ALPHAS, fit_intercept=intercept, cv=make_folds(n), solver_params={"warn": False}
    )
    model.fit(x, y)
    np.testing.assert_allclose(found.alphas, model.best_alphas_, rtol=1e-12)
    np.testing.assert_allclose(found.scores, model.cv_scores_[None], rtol=1e-9)
    np.testing.assert_allclose(found.coefficients, model.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.intercept, model.intercept_ if intercept else 0, atol=1e-9)
    assert len(np.unique(found.alphas)) > 3


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_kernel_ridge_is_himalayas(n, p, intercept):
    x, y = data(n, p, offset=0.5)
    found = kernel_ridge_cv(gram(x), y, ALPHAS, folds(n), intercept=intercept)
    model = KernelRidgeCV(ALPHAS, "precomputed", fit_intercept=intercept, cv=folds(n))
    model.fit(gram(x), y)
    np.testing.assert_allclose(found.alphas, model.best_alphas_, rtol=1e-12)
    unseen = data(n, p, seed=3)[0] @ x.T
    predicted = unseen @ found.coefficients + found.intercept
    np.testing.assert_allclose(predicted, model.predict(unseen), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_banded_ridge_is_himalayas(n, p, intercept):
    x, y = data(n, p, targets=20, offset=0.5)
    xs = [x[:, : p // 3], x[:, p // 3 :]]
    # The first targets depend on one band, so that all weightings have a chance.
    y[:, :5] += 3 * xs[0] @ np.ones((p // 3, 5))
    weightings = np.clip(WEIGHTINGS, 0.02, 0.98)  # after a weight of 0, GroupRidgeCV has NaN
    params = {"alphas": ALPHAS, "n_iter": weightings, "progress_bar": False, "warn": False}
    model = GroupRidgeCV(
        "input", solver_params=params, fit_intercept=intercept, cv=folds(n), random_state=0
    )
    model.fit(xs, y)
    found = banded_ridge_cv(xs, y, weightings, ALPHAS, folds(n), intercept=intercept)
    np.testing.assert_allclose(found.alphas, model.best_alphas_, rtol=1e-12)
    gamma = np.exp(model.deltas_) * model.best_alphas_
    np.testing.assert_allclose(weightings[found.weighting].T, gamma, atol=1e-12)
    np.testing.assert_allclose(found.scores, model.cv_scores_, rtol=1e-9)
    np.testing.assert_allclose(found.coefficients, model.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.intercept, model.intercept_ if intercept else 0, atol=1e-9)
    assert len(np.unique(found.weighting)) > 2


@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_banded_kernel_ridge_is_himalayas(n, p):
    x, y = data(n, p, targets=20)
    kernels = np.stack([gram(x[:, : p // 3]), gram(x[:, p // 3 :])])
    found = kernel_ridge_cv(kernels, y, ALPHAS, folds(n), WEIGHTINGS)
    params = {"alphas": ALPHAS, "n_iter": WEIGHTINGS, "progress_bar": False}
    model = MultipleKernelRidgeCV("precomputed", solver_params=params, cv=folds(n))
    with np.errstate(divide="ignore"):  # log of a weight of 0
        model.fit(kernels, y)
    np.testing.assert_allclose(found.alphas, model.best_alphas_, rtol=1e-12)
    np.testing.assert_allclose(found.scores, model.cv_scores_, rtol=1e-9)
    expected = model.predict(kernels, split=True)
    gamma = WEIGHTINGS[found.weighting].T[:, None]
    np.testing.assert_allclose(gamma * (kernels @ found.coefficients), expected, atol=1e-9)


@pytest.mark.parametrize(
    "spectrum",
    ["repeated", "nearly repeated", "decaying", "few"],
)
def test_scores_are_those_of_a_plain_loop_whatever_the_eigenvalues(spectrum):
    """Dividing by differences of eigenvalues could amplify rounding errors where these are close.

    The reference solves the normal equations for every fold and penalty, with NumPy.
    """
    rng = np.random.default_rng(0)
    n, p = 120, 60
    scale = {
        "repeated": np.repeat([1.0, 2.0, 3.0], 20),
        "nearly repeated": 1 + np.repeat(np.geomspace(1e-9, 1e-3, 30), 2) * np.tile([1, -1], 30),
        "decaying": np.geomspace(1, 1e-6, p),
        "few": np.r_[np.ones(10), np.zeros(50)],
    }[spectrum]
    # Both halves have these singular values, in directions of their own.
    x = np.concatenate(
        [
            (ortho_group.rvs(p, random_state=i) * scale) @ ortho_group.rvs(p, random_state=9 + i)
            for i in range(2)
        ]
    )
    y = x @ rng.normal(size=(p, 30))
    y = y / y.std(axis=0) + np.geomspace(1e-3, 3, 30) * rng.normal(size=(n, 30))
    halves = [(np.arange(60), np.arange(60, 120)), (np.arange(60, 120), np.arange(60))]
    alphas = np.logspace(-4, 3, 15)
    losses = np.zeros((15, 30))
    for train, test in halves:
        for a, alpha in enumerate(alphas):
            gram_matrix = x[train].T @ x[train] + alpha * np.eye(p)
            w = np.linalg.solve(gram_matrix, x[train].T @ y[train])
            losses[a] += ((y[test] - x[test] @ w) ** 2).mean(axis=0) / 2
    losses -= 1e-10 * np.log(alphas)[:, None]  # himalaya's slope for ties
    for fit in (ridge_cv(x, y, alphas, halves), kernel_ridge_cv(gram(x), y, alphas, halves)):
        np.testing.assert_allclose(-fit.scores[0], losses.min(axis=0), atol=1e-12)
        np.testing.assert_array_equal(fit.alphas, alphas[losses.argmin(axis=0)])


def test_penalties_are_himalayas_where_errors_are_far_below_the_responses():
    """Without noise the squared errors of small penalties are lost beside the squared responses."""
    x, _ = data(p=12)
    y = 1e4 * x @ np.random.default_rng(0).normal(size=(12, 20))
    alphas = np.logspace(-8, 0, 9)
    model = RidgeCV(alphas, cv=folds()).fit(x, y)
    for fit in (ridge_cv(x, y, alphas, folds()), kernel_ridge_cv(gram(x), y, alphas, folds())):
        np.testing.assert_allclose(fit.alphas, model.best_alphas_, rtol=1e-12)


@settings(max_examples=15)
@given(
    n=st.integers(20, 50), p=st.integers(1, 70), bands=st.integers(1, 3), seed=st.integers(0, 999)
)
def test_primal_and_dual_agree(n, p, bands, seed):
    x, y = data(n, p + bands, seed=seed)
    xs = np.array_split(x, bands, axis=1)
    weightings = np.random.default_rng(seed).dirichlet(np.ones(bands), 3 if bands > 1 else 1)
    primal = banded_ridge_cv(xs, y, weightings, ALPHAS, folds(n))
    kernels = np.stack([gram(one) for one in xs])
    dual = kernel_ridge_cv(kernels, y, ALPHAS, folds(n), weightings)
    np.testing.assert_array_equal(dual.alphas, primal.alphas)
    np.testing.assert_array_equal(dual.weighting, primal.weighting)
    gamma = weightings[dual.weighting].T[:, None]
    by_kernels = (gamma * (kernels @ dual.coefficients)).sum(axis=0)
    np.testing.assert_allclose(by_kernels, x @ primal.coefficients, atol=1e-8)


@settings(max_examples=15)
@given(seed=st.integers(0, 999), p=st.sampled_from([8, 90]), intercept=st.booleans())
def test_order_of_stimuli_and_rotation_of_features_change_nothing(seed, p, intercept):
    x, y = data(p=p, seed=seed)
    expected = ridge_cv(x, y, ALPHAS, folds(), intercept=intercept)
    order = np.random.default_rng(seed).permutation(60)
    place = np.argsort(order)
    moved = [(place[train], place[test]) for train, test in folds()]
    rotation = ortho_group.rvs(p, random_state=seed)
    found = ridge_cv((x @ rotation)[order], y[order], ALPHAS, moved, intercept=intercept)
    np.testing.assert_array_equal(found.alphas, expected.alphas)
    np.testing.assert_allclose(rotation @ found.coefficients, expected.coefficients, atol=1e-8)
    np.testing.assert_allclose(found.intercept, expected.intercept, atol=1e-8)


@pytest.mark.parametrize("p", [12, 90])
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("intercept", [False, True])
def test_torch_is_numpy(p, precision, intercept):
    x, y = (a.astype(precision) for a in data(p=p))
    xs = [x[:, :5].copy(), x[:, 5:].copy()]
    kernels = np.stack([gram(a.astype(float)) for a in xs])

    def banded(convert):
        bands = [convert(a) for a in xs]
        weightings, alphas = convert(WEIGHTINGS), convert(ALPHAS)
        return banded_ridge_cv(bands, convert(y), weightings, alphas, folds(), intercept=intercept)

    def kernel(convert):
        k, responses, alphas, weightings = map(convert, (kernels, y, ALPHAS, WEIGHTINGS))
        return kernel_ridge_cv(k, responses, alphas, folds(), weightings, intercept=intercept)

    for fit in (banded, kernel):
        expected, found = fit(np.asarray), fit(torch.from_numpy)
        for name in ("alphas", "weighting", "scores", "coefficients", "intercept"):
            value = getattr(found, name)
            assert isinstance(value, torch.Tensor)
            np.testing.assert_allclose(value.numpy(), getattr(expected, name), rtol=1e-5, atol=1e-6)
        assert found.coefficients.dtype == getattr(torch, precision)


@pytest.mark.parametrize("p", [12, 90])
def test_single_precision_with_a_large_offset_costs_no_more_than_its_rounding(p):
    """Features and targets are rounded to 1e-7 of 1,000; what follows is computed in float64."""
    x, y = data(p=p)
    x32, y32 = (x + 1000).astype(np.float32), (y + 1000).astype(np.float32)
    exact = ridge_cv(x32.astype(float), y32.astype(float), ALPHAS, folds(), intercept=True)
    found = ridge_cv(x32, y32, ALPHAS, folds(), intercept=True)
    np.testing.assert_allclose(found.alphas, exact.alphas, rtol=1e-6)
    np.testing.assert_allclose(found.coefficients, exact.coefficients, rtol=1e-6, atol=1e-6)
    without = ridge_cv(x, y, ALPHAS, folds(), intercept=True)
    np.testing.assert_allclose(found.coefficients, without.coefficients, atol=2e-3)


def test_whole_numbers_count_as_float64():
    x, y = np.arange(60)[:, None] % 7, np.arange(120).reshape(60, 2) % 5
    found = ridge_cv(x, y, ALPHAS, folds())
    expected = ridge_cv(x.astype(float), y.astype(float), ALPHAS, folds())
    assert found.coefficients.dtype == np.float64
    np.testing.assert_array_equal(found.coefficients, expected.coefficients)


@pytest.mark.parametrize("p", [12, 90])
def test_constant_targets_and_features_are_predicted_by_the_mean(p):
    """Every penalty predicts the same: himalaya's choice is the largest."""
    x, y = data(p=p)
    y[:, 2] = 7
    found = ridge_cv(x, y, ALPHAS, folds(), intercept=True)
    np.testing.assert_allclose(found.coefficients[:, 2], 0, atol=1e-12)
    assert found.intercept[2] == pytest.approx(7)
    assert found.alphas[2] == ALPHAS[-1]
    nothing = ridge_cv(np.ones((60, p)), y, ALPHAS, folds(), intercept=True)
    np.testing.assert_array_equal(nothing.coefficients, 0)
    np.testing.assert_allclose(nothing.intercept, y.mean(axis=0))
    np.testing.assert_array_equal(nothing.alphas, ALPHAS[-1])


def test_targets_in_batches_are_the_same_in_less_memory():
    x, y = data(p=5, targets=30_000)
    tracemalloc.start()
    peaks, fits = [], []
    for megabytes in (2000, 4):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        fits.append(ridge_cv(x, y, ALPHAS, folds(), max_memory_mb=megabytes))
        peaks.append((tracemalloc.get_traced_memory()[1] - before) / 1e6)
    tracemalloc.stop()
    for name in ("alphas", "scores", "coefficients"):
        np.testing.assert_allclose(getattr(fits[1], name), getattr(fits[0], name), rtol=1e-9)
    # Alphas, weightings, scores, coefficients and intercepts are 2.2 MB, twice while joined;
    # the finite numbers of y are counted by 1.8 MB of booleans.
    assert peaks[1] < 4 + 2 * 2.2 + 1.8
    assert peaks[0] > 2 * peaks[1]


@pytest.mark.parametrize("rank", [1, 7, 40])
def test_low_rank_features_have_the_gram_matrix_they_are_made_of(rank):
    x = np.random.default_rng(0).normal(size=(40, rank))
    features = low_rank_features(gram(x))
    assert features.shape == (40, rank)
    np.testing.assert_allclose(gram(features), gram(x), atol=1e-12)
    assert low_rank_features(np.zeros((5, 5))).shape == (5, 0)
    with pytest.raises(RepbiasError, match="kernel: expected finite numbers"):
        low_rank_features(np.full((5, 5), np.nan))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"y": np.full((60, 2), np.nan)}, "y: expected finite numbers, found 120 that are not"),
        ({"x": np.full((60, 3), np.inf)}, "features: expected finite numbers, found 180"),
        ({"x": np.ones((59, 3))}, r"features: found shape \(59, 3\), but y has 60 stimuli"),
        ({"y": np.ones(60)}, r"y: expected 2 axes, found shape \(60,\)"),
        ({"alphas": np.array([1.0, 0.0])}, "alphas: expected positive"),
        ({"alphas": np.array([])}, "alphas: expected positive"),
        ({"folds": []}, "folds: expected at least one"),
        ({"folds": [(np.arange(60), np.arange(5))]}, "fold 0 are not all 60, each once"),
        ({"folds": [(np.arange(60), np.arange(0))]}, "fold 0 has no training or no left-out"),
    ],
)
def test_what_cannot_be_used_is_named(change, says):
    x, y = data()
    given_all = {"x": x, "y": y, "alphas": ALPHAS, "folds": folds()} | change
    with pytest.raises(RepbiasError, match=says):
        ridge_cv(**given_all)


@pytest.mark.parametrize(
    ("weightings", "says"),
    [
        (np.ones((2, 3)), r"weightings: expected \(weighting, 2 bands\), found shape \(2, 3\)"),
        (np.array([[1.5, -0.5]]), "weightings: expected none below 0"),
    ],
)
def test_weightings_that_fit_no_bands_are_named(weightings, says):
    x, y = data()
    with pytest.raises(RepbiasError, match=says):
        banded_ridge_cv([x[:, :5], x[:, 5:]], y, weightings, ALPHAS, folds())


def test_bands_of_kernels_need_weightings_and_equal_sides():
    x, y = data()
    with pytest.raises(RepbiasError, match="weightings: expected those of 2 bands, none given"):
        kernel_ridge_cv(np.stack([gram(x)] * 2), y, ALPHAS, folds())
    with pytest.raises(RepbiasError, match=r"kernels: found shape \(60, 12\)"):
        kernel_ridge_cv(x, y, ALPHAS, folds())


def test_half_precision_counts_as_double():
    x, y = data(offset=1.0)
    y = y.astype(np.float16)
    large = np.array([10.0, 1e5, 1e6])
    found = ridge_cv(x, y, large, folds())
    assert found.alphas.dtype == np.float64 and set(found.alphas) <= set(large)


def test_folds_in_any_form_are_the_same_folds():
    x, y = (torch.from_numpy(a) for a in data())
    expected = ridge_cv(x, y, ALPHAS, folds())
    turned = ((train[::-1], test.astype(np.uint64)[::-1]) for train, test in folds())
    torch.testing.assert_close(ridge_cv(x, y, ALPHAS, turned).alphas, expected.alphas)
    with pytest.raises(RepbiasError, match="expected targets"):
        ridge_cv(x, y[:, :0], ALPHAS, folds())
