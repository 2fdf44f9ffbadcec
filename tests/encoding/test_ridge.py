"""Nested cross-validated ridge regression against scikit-learn, and its symmetries."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from himalaya.kernel_ridge import KernelRidgeCV, MultipleKernelRidgeCV
from himalaya.scoring import r2_score_split
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import ortho_group
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.model_selection import GroupKFold, KFold
from sklearn.preprocessing import KernelCenterer

from repbias.base.groups import StimulusGroups
from repbias.encoding.ridge import (
    Prediction,
    gram,
    left_out_r2,
    left_out_scores,
    predict,
    scores,
    sub_gram,
)
from repbias.encoding.spec import Encoding

SMALL = Encoding(folds=3, inner_folds=3, n_alphas=5)


def data(n=30, p=6, units=4, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * rng.uniform(0.2, 3, size=p) + rng.normal(size=p)
    y = x @ rng.normal(size=(p, units)) + noise * rng.normal(size=(n, units)) + 5
    return x, y


def reference(x, y, spec):
    """Primal ridge in scikit-learn: centred by training fold, penalties by squared error."""
    x = x - x.mean(axis=0)
    x = x / np.sqrt((x**2).sum(axis=1).mean())
    alphas = np.logspace(*spec.log10_alpha, spec.n_alphas)
    predicted, chosen = np.empty_like(y), np.empty((spec.folds, y.shape[1]))
    outer = KFold(spec.folds, shuffle=True, random_state=spec.seed)
    for fold, (train, test) in enumerate(outer.split(x)):
        x_mean, y_mean = x[train].mean(axis=0), y[train].mean(axis=0)
        xt, yt = x[train] - x_mean, y[train] - y_mean
        inner = list(KFold(spec.inner_folds, shuffle=True, random_state=spec.seed).split(xt))
        for unit in range(y.shape[1]):
            losses = [
                np.mean(
                    [
                        mean_squared_error(
                            yt[v, unit],
                            Ridge(alpha=alpha, fit_intercept=False)
                            .fit(xt[t], yt[t, unit])
                            .predict(xt[v]),
                        )
                        for t, v in inner
                    ]
                )
                for alpha in alphas
            ]
            best = alphas[np.argmin(losses)]
            model = Ridge(alpha=best, fit_intercept=False).fit(xt, yt[:, unit])
            predicted[test, unit] = model.predict(x[test] - x_mean) + y_mean[unit]
            chosen[fold, unit] = best
    return predicted, chosen


@pytest.mark.parametrize(("n", "p"), [(32, 6), (30, 50)])
def test_agrees_with_nested_cross_validation_in_scikit_learn(n, p):
    """Fewer and more features than stimuli; folds of unequal size."""
    x, y = data(n, p, noise=4)
    spec = Encoding(folds=3, inner_folds=4, n_alphas=9, seed=7)
    fit = predict(gram(x), y, spec)
    predicted, chosen = reference(x, y, spec)
    np.testing.assert_allclose(fit.alphas, chosen, rtol=1e-9)
    assert len(np.unique(np.round(np.log10(chosen), 3))) > 1
    np.testing.assert_allclose(fit.predicted, predicted, rtol=1e-8, atol=1e-8)


def test_a_response_changes_no_prediction_of_its_own():
    """No leakage: neither the fit, nor the centring, nor the choice of the penalty sees it."""
    x, y = data()
    before = predict(gram(x), y, SMALL).predicted
    for i in range(0, 30, 7):
        changed = y.copy()
        changed[i] += 100
        after = predict(gram(x), changed, SMALL).predicted
        np.testing.assert_allclose(after[i], before[i], rtol=1e-12)
        assert np.abs(after - before).max() > 1


def test_noise_is_not_predicted():
    """More features than stimuli; any leak would give large correlations.

    Nor may r be negative at chance, as it is when predictions of different folds are pooled.
    """
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(100, 120)), rng.normal(size=(100, 400))
    r, r2 = scores(predict(gram(x), y, Encoding()), y)
    standard_error = r.std() / np.sqrt(len(r))
    assert abs(r.mean()) < 4 * standard_error
    assert standard_error < 0.01
    assert r2.mean() < 0.02


def test_a_linear_response_is_predicted():
    x, y = data(n=60, noise=0)
    r, r2 = scores(predict(gram(x), y, Encoding()), y)
    assert r.min() > 0.99
    assert r2.min() > 0.99


def test_features_without_variance_predict_the_training_mean():
    _, y = data()
    kernel = gram(np.ones((30, 4)))
    np.testing.assert_array_equal(kernel, 0)
    fit = predict(kernel, y, SMALL)
    outer = KFold(3, shuffle=True, random_state=SMALL.seed)
    for train, test in outer.split(y):
        expected = np.broadcast_to(y[train].mean(axis=0), (len(test), 4))
        np.testing.assert_allclose(fit.predicted[test], expected)
        np.testing.assert_allclose(fit.baseline[test], expected)
    r, r2 = scores(fit, y)
    np.testing.assert_array_equal(r, 0)
    np.testing.assert_allclose(r2, 0, atol=1e-12)


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-4, 1e4))
def test_scale_shift_and_rotation_of_the_features_change_nothing(seed, scale):
    x, y = data(seed=seed)
    expected = predict(gram(x), y, SMALL)
    moved = scale * (x @ ortho_group.rvs(6, random_state=seed)) + 3 * scale
    found = predict(gram(moved), y, SMALL)
    np.testing.assert_allclose(found.alphas, expected.alphas, rtol=1e-9)
    np.testing.assert_allclose(found.predicted, expected.predicted, rtol=1e-7, atol=1e-8)


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), offset=st.floats(-1e4, 1e4))
def test_predictions_follow_the_unit_of_the_responses(seed, scale, offset):
    x, y = data(seed=seed)
    expected = scale * predict(gram(x), y, SMALL).predicted + offset
    found = predict(gram(x), scale * y + offset, SMALL).predicted
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * (scale + abs(offset)))


@pytest.mark.parametrize("scale", [1e-13, 1e9])
def test_penalties_do_not_depend_on_the_unit_of_measure(scale):
    """Tesla and raw counts: himalaya alone takes the largest penalty for the former."""
    x, y = data(noise=1)
    expected = predict(gram(x), y, SMALL)
    found = predict(gram(x), scale * y, SMALL)
    np.testing.assert_array_equal(found.alphas, expected.alphas)
    np.testing.assert_allclose(found.predicted, scale * expected.predicted, rtol=1e-8)
    for one, other in zip(scores(found, scale * y), scores(expected, y), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_scores_do_not_depend_on_a_constant_even_where_shrinkage_is_strong():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 30))
    expected = scores(predict(gram(x), y, SMALL), y)
    found = scores(predict(gram(x), y + 1e5, SMALL), y + 1e5)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-8)


def test_a_unit_is_predicted_alike_alone_and_with_others():
    x, y = data()
    together = predict(gram(x), y, SMALL).predicted
    alone = predict(gram(x), y[:, [2]], SMALL).predicted
    np.testing.assert_allclose(alone[:, 0], together[:, 2], rtol=1e-10)


def test_the_kernel_has_a_mean_diagonal_of_one_even_from_float32_with_an_offset():
    x, _ = data(p=40)
    centred = x - x.mean(axis=0)
    expected = centred @ centred.T / (centred**2).sum(axis=1).mean()
    np.testing.assert_allclose(gram(x), expected, atol=1e-12)
    shifted = (x + 1000).astype(np.float32)
    np.testing.assert_allclose(gram(shifted), gram(shifted.astype(float)), atol=1e-12)
    assert np.trace(gram(x)) == pytest.approx(30)


def prediction(predicted, baseline):
    one_fold, parts = np.zeros(len(predicted), int), (predicted - baseline)[None]
    return Prediction(parts, one_fold, baseline, alphas=np.ones((1, 1)), grid=np.ones(1))


def test_scores_are_those_of_numpy_and_scikit_learn():
    rng = np.random.default_rng(2)
    y = rng.normal(size=(20, 3))
    predicted = 0.5 * y + rng.normal(size=(20, 3)) + 1
    r, r2 = scores(prediction(predicted, np.broadcast_to(y.mean(axis=0), y.shape)), y)
    for unit in range(3):
        assert r[unit] == pytest.approx(np.corrcoef(predicted[:, unit], y[:, unit])[0, 1])
        assert r2[unit] == pytest.approx(r2_score(y[:, unit], predicted[:, unit]))


def test_scores_in_closed_form():
    """Perfect, reversed, constant; by the definitions r2 = 1 - residual / total."""
    y = np.array([[-1.0], [0.0], [1.0]]) * np.ones(4)
    predicted = np.array([[-1.0, 1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 2.0], [1.0, -1.0, 0.0, 2.0]])
    r, r2 = scores(prediction(predicted, np.zeros((3, 4))), y)
    np.testing.assert_allclose(r, [1, -1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(r2, [1, 1 - 8 / 2, 0, 1 - 14 / 2], atol=1e-12)


def test_one_feature_space_is_kernel_ridge_in_himalaya():
    x, y = data(n=40, noise=3)
    kernel = gram(x)
    fit = predict(kernel, y, SMALL)
    outer = KFold(3, shuffle=True, random_state=0).split(y)
    for fold, (train, test) in enumerate(outer):
        centerer, mean = KernelCenterer(), y[train].mean(axis=0)
        model = KernelRidgeCV(
            np.logspace(-3, 5, 5), "precomputed", cv=KFold(3, shuffle=True, random_state=0)
        )
        model.fit(centerer.fit_transform(kernel[np.ix_(train, train)]), y[train] - mean)
        expected = model.predict(centerer.transform(kernel[np.ix_(test, train)])) + mean
        np.testing.assert_allclose(fit.predicted[test], expected, rtol=1e-8)
        np.testing.assert_allclose(fit.alphas[fold], model.best_alphas_, rtol=1e-9)


def test_bands_are_multiple_kernel_ridge_in_himalaya():
    """Our weightings, himalaya's choice among them; one fold's predictions, band by band."""
    x, y = data(n=40, noise=3)
    kernels = np.stack([gram(x[:, :3]), gram(x[:, 3:])])
    spec = SMALL.model_copy(update={"partition_iterations": 4})
    fit = predict(kernels, y, spec)
    train, test = next(KFold(3, shuffle=True, random_state=0).split(y))
    drawn = np.random.RandomState(0)
    narrow, wide = drawn.dirichlet([0.1] * 2, 2), drawn.dirichlet([1.0] * 2, 2)
    drawn = [narrow[0], wide[0], narrow[1], wide[1]]
    centred = [KernelCenterer().fit(k[np.ix_(train, train)]) for k in kernels]
    model = MultipleKernelRidgeCV(
        "precomputed",
        solver_params={
            "alphas": np.logspace(-3, 5, 5),
            "n_iter": np.array([[0.5, 0.5], [1, 0], [0, 1], *drawn]),
            "progress_bar": False,
        },
        cv=KFold(3, shuffle=True, random_state=0),
    )
    k_train, k_test = (
        np.stack(
            [c.transform(k[np.ix_(rows, train)]) for c, k in zip(centred, kernels, strict=True)]
        )
        for rows in (train, test)
    )
    with np.errstate(divide="ignore"):
        model.fit(k_train, y[train] - y[train].mean(axis=0))
    np.testing.assert_allclose(fit.parts[:, test], model.predict(k_test, split=True), atol=1e-8)
    assert len(np.unique(np.round(model.deltas_[0] - model.deltas_[1], 6))) > 1


@pytest.mark.parametrize("p", [3, 5000])
def test_the_kernel_of_some_stimuli_comes_from_that_of_all(p):
    """More features than are multiplied at once, too."""
    x, rows = np.random.default_rng(0).normal(2, 1, size=(12, p)), np.array([1, 4, 5, 9, 11])
    centred = x - x.mean(axis=0)
    np.testing.assert_allclose(
        gram(x), centred @ centred.T / (centred**2).sum(axis=1).mean(), atol=1e-12
    )
    np.testing.assert_allclose(sub_gram(gram(x), rows), gram(x[rows]), atol=1e-12)
    np.testing.assert_array_equal(sub_gram(gram(np.ones((12, p))), rows), 0)


def test_a_group_of_stimuli_is_left_out_as_a_whole_in_outer_and_inner_folds():
    """Inner folds that divide groups would choose penalties for neighbours of what they saw."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 5)[rng.permutation(60)].astype(str)
    x = rng.normal(size=(12, 30))[groups.astype(int)] + 0.3 * rng.normal(size=(60, 30))
    y = rng.normal(size=(12, 8))[groups.astype(int)] + 0.3 * rng.normal(size=(60, 8))
    spec = Encoding(folds=4, inner_folds=3, n_alphas=5, seed=3)
    films = StimulusGroups.of(groups, "films")
    fit = predict(gram(x), y, spec, films)
    for group in np.unique(groups):
        assert len(np.unique(fit.fold[groups == group])) == 1
    kernel = gram(x)
    outer = GroupKFold(4, shuffle=True, random_state=3).split(x, groups=groups)
    for train, test in outer:
        centerer, mean = KernelCenterer(), y[train].mean(axis=0)
        inner = GroupKFold(3, shuffle=True, random_state=3)
        cv = list(inner.split(train, groups=groups[train]))
        model = KernelRidgeCV(np.logspace(-3, 5, 5), "precomputed", cv=cv)
        model.fit(centerer.fit_transform(kernel[np.ix_(train, train)]), y[train] - mean)
        expected = model.predict(centerer.transform(kernel[np.ix_(test, train)])) + mean
        np.testing.assert_allclose(fit.predicted[test], expected, rtol=1e-8, atol=1e-10)
    # What is learned of a group says nothing of another here; single stimuli have neighbours.
    alone, together = (scores(predict(kernel, y, spec, g), y)[1] for g in (None, films))
    assert alone.mean() > 0.5
    assert together.mean() < 0.1


def test_memory_changes_no_result():
    x, y = data(n=60, p=90, units=8, noise=4)
    kernels = np.stack([gram(x[:, :50]), gram(x[:, 50:])])
    for k in (kernels[0], kernels, kernels[0] + kernels[1]):
        expected = predict(k, y, SMALL)
        for megabytes in (0.1, 0.01):  # a few units, and one
            found = predict(k, y, SMALL.model_copy(update={"max_memory_mb": megabytes}))
            np.testing.assert_array_equal(found.alphas, expected.alphas)
            np.testing.assert_allclose(found.parts, expected.parts, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "settings",
    [
        {"folds": 1},
        {"inner_folds": 1},
        {"log10_alpha": (3, 3)},
        {"permutations": -1},
        {"max_memory_mb": 0},
        {"partition": {"one": ["a:b"]}},
        {"partition": {"twice": ["a:b", "a:b"]}},
        {"partition": {"six": [f"a:{i}" for i in range(6)]}},
        {"partition": {"no layer": ["a:b", "labels"]}},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValidationError):
        Encoding(**settings)


def test_scores_without_stimuli_are_those_of_the_others():
    """Deleted one by one, and in blocks; the fits stay."""
    x, y = data(n=40, p=20, units=3, noise=4)
    fit = predict(gram(x), y, Encoding(n_alphas=5))
    blocks = 1 - np.eye(40, dtype=int)
    blocks = np.concatenate([blocks, [np.arange(40) % 2]])
    # A block may be all of a fold, of which nothing is left.
    blocks = np.concatenate([blocks, [fit.fold != 2]])
    found = left_out_scores(fit, y, blocks)
    for row, kept in zip(found, blocks.astype(bool), strict=True):
        without = Prediction(
            fit.parts[:, kept], fit.fold[kept], fit.baseline[kept], fit.alphas, fit.grid
        )
        np.testing.assert_allclose(row, scores(without, y[kept])[0], atol=1e-9)
    far = Prediction(fit.parts, fit.fold, fit.baseline + 1e6, fit.alphas, fit.grid)
    np.testing.assert_allclose(left_out_scores(far, y, blocks), found, atol=1e-8)
    constant = np.where(fit.fold[:, None] == 0, 0.1, y)  # counts as 0, whatever rounding leaves
    flat = Prediction(fit.parts, fit.fold, 0 * fit.baseline, fit.alphas, fit.grid)
    expected = scores(flat, constant)[0]
    np.testing.assert_allclose(left_out_scores(flat, constant, np.ones((1, 40)))[0], expected)


def test_r2_without_stimuli_is_that_of_the_others_and_split_as_himalaya_does():
    x, y = data(n=40, p=20, units=3, noise=4)
    fit = predict(np.stack([gram(x[:, :8]), gram(x[:, 8:])]), y, Encoding(n_alphas=5))
    blocks = np.concatenate([1 - np.eye(40, dtype=int), [np.arange(40) % 2]])
    found, split = left_out_r2(fit, y, blocks)
    for row, kept in enumerate(blocks.astype(bool)):
        without = Prediction(
            fit.parts[:, kept], fit.fold[kept], fit.baseline[kept], fit.alphas, fit.grid
        )
        np.testing.assert_allclose(found[row], scores(without, y[kept])[1], atol=1e-9)
        centred = y[kept] - without.baseline
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its mean is that of the training stimuli
            expected = r2_score_split(centred, without.parts)
        np.testing.assert_allclose(split[:, row], expected, atol=1e-9)
    nothing, _ = left_out_r2(fit, fit.baseline, blocks)
    assert not nothing.any(), "no variance counts as 0"
