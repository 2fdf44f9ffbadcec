"""A layer predicted from a region: what is like the region is found, what contains it is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from repbias.base.groups import StimulusGroups
from repbias.encoding.reverse import kernels_of_regions, principal_components, reverse_r2
from repbias.encoding.ridge import gram, predict, scores
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
