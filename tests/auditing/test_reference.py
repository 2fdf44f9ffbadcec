"""The reference for shares of a score, against expected values that are exact.

Every numerator is bilinear in the two kernels, so its expected value needs no simulation: either
the moments of two kernels, summed over stimuli, or all states of residuals that have few.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from reference import (
    adjusted_shares,
    centring,
    numerators,
    shapley_projections,
    shares,
    target,
    without_one_variance,
)

N = 12
UNITS = 5, 4


@pytest.fixture(scope="module")
def blocks():
    """Two correlated numbers, a category, and a superset of it that adds no dimension."""
    rng = np.random.default_rng(1)
    category = np.eye(3)[np.arange(N) % 3]
    size = rng.normal(size=(N, 1))
    return {
        "category": category,
        "superset": np.column_stack([category[:, 0] + category[:, 1], category[:, 2]]),
        "size": size,
        "contrast": 0.9 * size + 0.4 * rng.normal(size=(N, 1)),
    }


@pytest.fixture(scope="module")
def world(blocks):
    """Weights of the regressors in model and brain, covariance of residuals."""
    rng = np.random.default_rng(2)
    regressors = sum(block.shape[1] for block in blocks.values())
    return *(rng.normal(size=(regressors, units)) for units in UNITS), rng.normal(size=UNITS)


class Moments:
    """Moments of the residuals (u_i, v_i) of every stimulus, beyond their covariance."""

    def __init__(self, c):
        """Take those of Gaussian residuals with equal variances."""
        self.model, self.brain = np.full(N, 9.0), np.full(N, 7.0)  # E[u'u], E[v'v]
        self.both = self.model * self.brain + 2 * np.sum(c**2)  # E[u'u v'v]
        self.model_third, self.brain_third = np.zeros((N, UNITS[0])), np.zeros((N, UNITS[1]))

    @classmethod
    def arbitrary(cls, c):
        """Draw all of them, for every stimulus."""
        rng, moments = np.random.default_rng(3), cls(c)
        moments.model, moments.brain = rng.uniform(1, 90, (2, N))
        moments.both = rng.uniform(0, 9999, N)
        moments.model_third = 40 * rng.normal(size=(N, UNITS[0]))  # E[u v'v]
        moments.brain_third = 40 * rng.normal(size=(N, UNITS[1]))  # E[v u'u]
        return moments


def expected_product(blocks, world, moments):
    """Return E[x_i'x_j y_k'y_h] of shape (i, j, k, h), x_i = m_i + u_i, y_i = n_i + v_i."""
    a, b, c = world
    features = np.hstack(list(blocks.values()))
    m, n = features @ a, features @ b
    mm, nn, mcn = m @ m.T, n @ n.T, m @ c @ n.T
    phi = np.sum(c**2)
    third_model, third_brain = m @ moments.model_third.T, n @ moments.brain_third.T
    values = np.zeros((N,) * 4)
    for i, j, k, h in product(range(N), repeat=4):
        value = mm[i, j] * nn[k, h]
        value += (k == h) * mm[i, j] * moments.brain[k] + (i == j) * nn[k, h] * moments.model[i]
        value += (j == h) * mcn[i, k] + (j == k) * mcn[i, h]
        value += (i == h) * mcn[j, k] + (i == k) * mcn[j, h]
        value += (j == k == h) * third_model[i, j] + (i == k == h) * third_model[j, i]
        value += (h == i == j) * third_brain[k, h] + (k == i == j) * third_brain[h, k]
        if i == j == k == h:
            value += moments.both[i]
        elif i == j and k == h:
            value += moments.model[i] * moments.brain[k]
        elif (i, j) in ((k, h), (h, k)):
            value += phi
        values[i, j, k, h] = value
    return values


def expected(estimate, blocks, world, moments):
    """Return the expected value of what is bilinear in the kernels of model and brain."""
    values = expected_product(blocks, world, moments).reshape(N * N, N * N)
    # Exact: E[K_M (x) K_B] as a sum of products of two kernels.
    left, weights, right = np.linalg.svd(values)
    rank = np.sum(weights > 1e-13 * weights[0])
    model, brain = (left * weights).T[:rank].reshape(-1, N, N), right[:rank].reshape(-1, N, N)
    return {name: np.sum(value) for name, value in estimate(blocks, model, brain).items()}


def true_numerators(blocks, world):
    truth = target(blocks, *world)
    return {name: value * truth["total"] for name, value in truth.items() if name != "total"}


def adjusted(blocks, model, brain):
    return numerators(blocks, model, brain, without_one_variance)


def naive(blocks, model, brain):
    """Project one kernel and multiply."""
    h = centring(N)
    parts = shapley_projections(blocks)
    parts["rest"] = h - sum(parts.values())
    return {
        name: np.trace(part @ model @ h @ brain, axis1=-2, axis2=-1) for name, part in parts.items()
    }


def test_projections_of_orthogonal_features_and_of_a_superset(blocks):
    one, other = np.eye(6)[:, :1] - np.eye(6)[:, 1:2], np.eye(6)[:, 2:3] - np.eye(6)[:, 3:4]
    parts = shapley_projections({"one": one, "other": other})
    np.testing.assert_allclose(parts["one"], one @ one.T / 2, atol=1e-15)
    np.testing.assert_allclose(parts["other"], other @ other.T / 2, atol=1e-15)

    parts = shapley_projections(blocks)
    # Three categories are two dimensions, and the superset halves one of them.
    nested = shapley_projections({name: blocks[name] for name in ("category", "superset")})
    assert np.trace(nested["superset"]) == pytest.approx(0.5)
    assert np.trace(nested["category"]) == pytest.approx(1.5)
    assert np.trace(sum(parts.values())) == pytest.approx(4)


def test_off_diagonal_is_exactly_unbiased_whatever_the_moments_of_the_residuals(blocks, world):
    found = expected(numerators, blocks, world, Moments.arbitrary(world[2]))
    truth = true_numerators(blocks, world)
    assert found == pytest.approx(truth, rel=1e-10, abs=1e-10 * sum(truth.values()))


def test_adjusted_is_exactly_unbiased_for_gaussian_residuals_of_equal_variance(blocks, world):
    found = expected(adjusted, blocks, world, Moments(world[2]))
    truth = true_numerators(blocks, world)
    assert found == pytest.approx(truth, rel=1e-10, abs=1e-10 * sum(truth.values()))


def test_off_diagonal_averages_to_the_target_over_all_states_of_skewed_residuals():
    """Enumerates all 2^10 data sets of residuals with two states per stimulus."""
    n, rng = 10, np.random.default_rng(4)
    blocks = {"category": np.eye(2)[np.arange(n) // 5], "size": rng.normal(size=(n, 1))}
    features = np.hstack(list(blocks.values()))
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(3, 5))
    of_model, of_brain, scale = rng.normal(size=4), rng.normal(size=5), rng.uniform(0.3, 3, n)
    # Zero mean and unit variance, however probable the upper state is.
    upper = rng.uniform(0.1, 0.9, n)
    is_upper = np.array(list(product([True, False], repeat=n)))
    states = np.where(is_upper, np.sqrt(1 / upper - 1), -np.sqrt(1 / (1 / upper - 1)))
    probability = np.where(is_upper, upper, 1 - upper).prod(1)

    # The covariance is the same for all stimuli, while each of the variances differs.
    x = features @ a + (states * scale)[..., None] * of_model
    y = features @ b + (states / scale)[..., None] * of_brain
    found = numerators(blocks, x @ x.swapaxes(1, 2), y @ y.swapaxes(1, 2))
    truth = target(blocks, a, b, np.outer(of_model, of_brain))
    assert {name: probability @ value / truth["total"] for name, value in found.items()} == (
        pytest.approx({name: truth[name] for name in found}, abs=1e-10)
    )


def test_the_other_estimators_are_biased(blocks, world):
    truth, gaussian = true_numerators(blocks, world), Moments(world[2])
    total = sum(truth.values())
    found = expected(adjusted, blocks, world, Moments.arbitrary(world[2]))
    assert max(abs(found[name] - truth[name]) for name in truth) > 0.05 * total
    found = expected(naive, blocks, world, gaussian)
    assert max(abs(found[name] - truth[name]) for name in truth) > 0.05 * total


def test_total_of_the_target_is_the_norm_of_the_cross_covariance(blocks, world):
    a, b, c = world
    features = np.hstack(list(blocks.values()))
    features = features - features.mean(0)
    covariance = (features @ a).T @ (features @ b) + (N - 1) * c
    truth = target(blocks, a, b, c)
    assert truth.pop("total") == pytest.approx(np.sum(covariance**2))
    assert sum(truth.values()) == pytest.approx(1)


def test_without_features_the_rest_is_the_unbiased_hsic():
    """Song et al. (2012), Feature selection via dependence maximization, equation 5."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(N, 6))
    y = x[:, :4] + rng.normal(size=(N, 4))
    model, brain = x @ x.T, y @ y.T
    found = shares({}, model, brain)
    np.fill_diagonal(model, 0)
    np.fill_diagonal(brain, 0)
    hsic = np.trace(model @ brain) + model.sum() * brain.sum() / ((N - 1) * (N - 2))
    hsic = (hsic - 2 * (model @ brain).sum() / (N - 2)) / (N * (N - 3))
    assert found["rest"] == pytest.approx(1)
    assert found["total"] == pytest.approx((N - 1) ** 2 * hsic)


def test_without_residuals_every_estimator_gives_the_target(blocks, world):
    a, b, c = world
    features = np.hstack(list(blocks.values()))
    kernels = [(features @ weights) @ (features @ weights).T for weights in (a, b)]
    truth = target(blocks, a, b, 0 * c)
    assert shares(blocks, *kernels) == pytest.approx(truth, abs=1e-10)
    assert adjusted_shares(blocks, *kernels) == pytest.approx(truth, abs=1e-10)
    assert truth["rest"] == 0


@pytest.mark.parametrize(("stimuli", "categories"), [(12, 6), (13, 5)])
def test_refuses_stimuli_without_a_residual_variance_of_their_own(stimuli, categories):
    """Two stimuli of a category have one residual; 12 = 2 * 6 and 13 = 3 * 3 + 2 * 2."""
    kernel = np.eye(stimuli)
    blocks = {"category": np.eye(categories)[np.arange(stimuli) % categories]}
    with pytest.raises(ValueError, match="residual variance of its own"):
        shares(blocks, kernel, kernel)


def test_refuses_too_few_stimuli_for_the_regressors():
    """Of residuals with d dimensions, n variances leave d (d + 1) / 2 - n products of pairs."""
    rng = np.random.default_rng(6)
    blocks = {"numbers": rng.normal(size=(10, 5))}
    with pytest.raises(np.linalg.LinAlgError, match="too few stimuli"):
        shares(blocks, np.eye(10), np.eye(10))
