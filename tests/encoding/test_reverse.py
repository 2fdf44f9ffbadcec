"""A layer predicted from a region: what is like the region is found, what contains it is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from repbias.base.groups import StimulusGroups
from repbias.encoding.reverse import kernels_of_regions, principal_components, reverse_r2
from repbias.encoding.ridge import gram, outer_folds, predict, scores
from repbias.encoding.spec import Encoding

SPEC = Encoding(n_alphas=9, permutations=0)
ALONE = StimulusGroups.alone(100)


def test_components_hold_the_variance_whatever_the_rotation():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 6)) * [10, 5, 3, 1, 0.1, 0.01]
    components = principal_components(x)
    assert components.shape == (50, 3)
    total = ((x - x.mean(axis=0)) ** 2).sum()
    assert (components**2).sum() / total > 0.99
    rotated = principal_components(x @ ortho_group.rvs(6, random_state=0) + 7)
    np.testing.assert_allclose(np.abs(rotated), np.abs(components), atol=1e-6)
    wide = principal_components(rng.normal(size=(300, 2000)))
    assert wide.shape[1] == 200


def test_a_layer_that_holds_more_predicts_but_is_not_predicted():
    """The region computes two of ten features of the layer before it, which its own layer has."""
    rng = np.random.default_rng(1)
    early = rng.normal(size=(100, 10))
    own = early[:, :2] @ rng.normal(size=(2, 8))
    region = own @ rng.normal(size=(8, 30)) + 0.5 * rng.normal(size=(100, 30))
    kernel = kernels_of_regions(region, np.full(30, "IT"))["IT"]
    forward = {
        name: scores(predict(gram(layer), region, SPEC), region)[1].mean()
        for name, layer in {"early": early, "own": own}.items()
    }
    backward = {
        name: reverse_r2(kernel, principal_components(layer), SPEC, ALONE)
        for name, layer in {"early": early, "own": own}.items()
    }
    assert forward["early"] > 0.85 and forward["own"] > 0.85
    assert backward["own"] > 0.9
    assert backward["early"] == pytest.approx(0.2, abs=0.06)  # two of ten features


def test_every_region_has_a_kernel_of_its_complete_units():
    rng = np.random.default_rng(2)
    means = rng.normal(size=(20, 5))
    means[3, 0] = np.nan
    means[:, 1] = 4
    keys = np.array(["V4", "V4", "V4", "IT", "none"])
    means[0, 4] = np.nan
    kernels = kernels_of_regions(means, keys)
    assert kernels.keys() == {"V4", "IT"}
    np.testing.assert_allclose(kernels["V4"], gram(means[:, [2]]))


def test_a_constant_layer_is_not_predicted():
    kernel = gram(np.random.default_rng(0).normal(size=(100, 4)))
    assert np.isnan(reverse_r2(kernel, np.zeros((100, 1)), SPEC, ALONE))


def test_components_are_those_of_numpy():
    """Scores U S of a singular value decomposition, up to sign, until they hold 99 %."""
    x = np.random.default_rng(3).normal(size=(60, 4)) * [10, 3, 2, 0.1] + 5
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    assert 0.95 < (s[:2] ** 2).sum() / (s**2).sum() < 0.99
    components = principal_components(x)
    np.testing.assert_allclose(np.abs(components), np.abs(u * s)[:, :3], atol=1e-8)
    with np.errstate(all="raise"):
        assert not principal_components(np.ones((6, 3))).any()


def test_units_of_a_region_count_alike_whatever_their_unit_of_measure():
    means = np.random.default_rng(4).normal(size=(20, 3))
    kernels = kernels_of_regions(means * [1, 50, 0.01] + [0, 9, 0], np.full(3, "V4"))
    np.testing.assert_allclose(kernels["V4"], gram(means / means.std(axis=0)))


def test_r2_is_that_of_a_loop_over_folds_in_which_groups_are_whole():
    """Against the mean of the training stimuli, over all components at once."""
    rng = np.random.default_rng(5)
    groups = StimulusGroups.of(np.arange(100) // 10, "films")
    x = rng.normal(size=(10, 4)).repeat(10, axis=0) + rng.normal(size=(100, 4))
    layer = principal_components(x @ rng.normal(size=(4, 3)))
    kernel = gram(x + rng.normal(size=(100, 4)))
    error = total = 0.0
    for train, test in outer_folds(groups, SPEC):
        fit = predict(kernel, layer, SPEC, groups)
        error += ((layer[test] - fit.predicted[test]) ** 2).sum()
        total += ((layer[test] - layer[train].mean(axis=0)) ** 2).sum()
    assert reverse_r2(kernel, layer, SPEC, groups) == pytest.approx(1 - error / total, rel=1e-10)
    assert 0.1 < 1 - error / total < 0.9
