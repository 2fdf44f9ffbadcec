"""Permutation tests of encoding: against new fits in scikit-learn, and what they do by chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from repbias.base.groups import StimulusGroups
from repbias.encoding.ridge import (
    _null,
    gram,
    outer_folds,
    permutation_p,
    predict,
    scores,
)
from repbias.encoding.spec import Encoding

SPEC = Encoding(folds=4, inner_folds=3, n_alphas=9, permutations=99)
ALONE = StimulusGroups.alone(48)
BLOCKS = StimulusGroups.of(np.repeat(np.arange(8), [6, 6, 6, 6, 6, 4, 4, 10]), "films")


def data(n=48, units=6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 20))
    return x, x @ rng.normal(size=(20, units)) + 4 * rng.normal(size=(n, units)) + 3


@pytest.mark.parametrize("groups", [ALONE, BLOCKS])
def test_every_permutation_is_a_new_fit(groups):
    """scikit-learn's primal ridge, fold by fold, with the penalties of the real responses."""
    x, y = data()
    spec = SPEC.model_copy(update={"permutations": 3})
    fit = predict(gram(x), y, spec, groups)
    orders = groups.orders(3, np.random.default_rng(spec.seed))
    found = _null(gram(x), y, fit.alphas, orders, spec, groups)
    scaled = x - x.mean(axis=0)
    scaled /= np.sqrt((scaled**2).sum(axis=1).mean())
    for order, r in zip(orders, found, strict=True):
        for unit in range(6):
            permuted, by_fold = y[order, unit], []
            for fold, (train, test) in enumerate(outer_folds(groups, spec)):
                model = Ridge(fit.alphas[fold, unit]).fit(scaled[train], permuted[train])
                by_fold.append(np.corrcoef(model.predict(scaled[test]), permuted[test])[0, 1])
            assert r[unit] == pytest.approx(np.mean(by_fold), abs=1e-8)


def test_p_counts_the_permutations_that_reach_r():
    x, y = data(units=12)
    fit = predict(gram(x), y, SPEC)
    r, _ = scores(fit, y)
    orders = ALONE.orders(SPEC.permutations, np.random.default_rng(SPEC.seed))
    null = _null(gram(x), y, fit.alphas, orders, SPEC, ALONE)
    expected = (1 + (null >= r).sum(axis=0)) / 100
    np.testing.assert_allclose(permutation_p(gram(x), y, fit, SPEC), expected)
    assert expected.min() == 0.01
    assert expected.max() > 0.05


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(12), 5)])
def test_true_nulls_are_rejected_as_often_as_stated(groups):
    """Responses of grouped stimuli resemble each other, and so do features: still calibrated.

    The bounds are 4 binomial standard errors. Without new fits about 10 % are rejected at 5 %
    (ungrouped).
    """
    rng = np.random.default_rng(5)
    spec = Encoding(n_alphas=9, permutations=99, folds=4, inner_folds=3)
    small = []
    for _ in range(4):
        x, y = rng.normal(size=(60, 30)), rng.normal(size=(60, 300))
        if groups is not None:
            x, y = x + rng.normal(size=(12, 30))[groups], y + rng.normal(size=(12, 300))[groups]
        known = None if groups is None else StimulusGroups.of(groups, "films")
        fit = predict(gram(x), y, spec, known)
        small.append(permutation_p(gram(x), y, fit, spec, known) <= 0.05)
    error = np.sqrt(0.05 * 0.95 / 1200)
    assert abs(np.mean(small) - 0.05) < 4 * error


def test_permuting_left_out_responses_without_a_new_fit_is_no_valid_test():
    """The reason for the new fits: the easier test rejects too many true nulls."""
    rng = np.random.default_rng(6)
    spec = Encoding(n_alphas=9, folds=4, inner_folds=3)
    x, y = rng.normal(size=(60, 30)), rng.normal(size=(60, 800))
    fit = predict(gram(x), y, spec)
    reached = np.zeros(800)
    for _ in range(99):
        order = np.arange(60)
        for fold in range(4):
            rows = np.flatnonzero(fit.fold == fold)
            order[rows] = rng.permutation(rows)
        reached += scores(fit, y[order])[0] >= scores(fit, y)[0]
    assert np.mean((reached + 1) / 100 <= 0.05) > 0.08
    assert np.mean(permutation_p(gram(x), y, fit, spec) <= 0.05) < 0.07


def test_true_effects_are_found_and_noise_and_constant_predictions_are_not():
    x, _ = data()
    strong = np.tile(x @ np.arange(20.0)[:, None], 3)
    fit = predict(gram(x), strong, SPEC)
    np.testing.assert_allclose(permutation_p(gram(x), strong, fit, SPEC), 0.01)
    nothing = gram(np.ones((48, 3)))
    fit = predict(nothing, strong, SPEC)
    np.testing.assert_allclose(permutation_p(nothing, strong, fit, SPEC), 1)


def test_without_permutations_there_is_no_p():
    x, y = data()
    spec = SPEC.model_copy(update={"permutations": 0})
    assert np.isnan(permutation_p(gram(x), y, predict(gram(x), y, spec), spec)).all()


def test_memory_and_other_units_change_no_p():
    x, y = data(units=9)
    fit = predict(gram(x), y, SPEC)
    expected = permutation_p(gram(x), y, fit, SPEC)
    tiny = SPEC.model_copy(update={"max_memory_mb": 0.004})  # two units at once
    np.testing.assert_array_equal(permutation_p(gram(x), y, fit, tiny), expected)
    alone = permutation_p(gram(x), y[:, [4]], predict(gram(x), y[:, [4]], SPEC), SPEC)
    np.testing.assert_array_equal(alone, expected[[4]])


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-9, 1e9), offset=st.floats(-1e3, 1e3))
def test_p_does_not_depend_on_the_unit_of_measure(seed, scale, offset):
    x, y = data(seed=seed)
    spec = SPEC.model_copy(update={"permutations": 19})
    moved = scale * (y + offset)
    expected = permutation_p(gram(x), y, predict(gram(x), y, spec), spec)
    found = permutation_p(gram(x), moved, predict(gram(x), moved, spec), spec)
    np.testing.assert_array_equal(found, expected)
