"""The choice of stimuli: what is maximised, and that it is found."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import candidates_of, features_of
from scipy.spatial.distance import pdist
from scipy.stats.contingency import association

from repbias.base.spec import RepbiasError
from repbias.geometry.spec import Geometry
from repbias.recovery.choice import LEAST_VARIANCE, Pool, choose


def one_hot(codes: np.ndarray) -> np.ndarray:
    return (codes[:, None] == np.unique(codes)).astype(float)


def geometry(similarity="corr") -> Geometry:
    return Geometry(rdm_similarities=[similarity])


def pool_of(n: int = 40, seed: int = 0, similarity="corr") -> Pool:
    """Three models, and two numbers that are correlated."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2)) @ np.linalg.cholesky([[1, 0.8], [0.8, 1]]).T
    models = {name: features_of(seed + i, 2, n=n) for i, name in enumerate("abc")}
    return Pool.of(candidates_of(**models), {"x": x[:, :1], "y": x[:, 1:]}, geometry(similarity))


@given(st.integers(0, 10**6))
def test_sums_that_are_updated_are_those_of_all_pairs(seed):
    pool, rng = pool_of(20), np.random.default_rng(seed)
    rows = rng.permutation(20)[:8]
    others, new = rows[1:], rng.permutation(np.setdiff1d(np.arange(20), rows))[0]
    updated = pool.with_one(pool.with_one(pool.sums(rows), rows[0], others, -1), new, others)
    direct = pool.sums(np.append(others, new))
    np.testing.assert_allclose(updated.of_rdms, direct.of_rdms, atol=1e-9)
    np.testing.assert_allclose(updated.of_products, direct.of_products, atol=1e-9)


def test_the_margin_is_that_of_brains_of_many_units():
    """By hand: brains of 20,000 units without noise, and NumPy's correlations."""
    n, rows, rng = 30, np.arange(3, 19), np.random.default_rng(0)
    models = {m: features_of(m, 2, n=n) for m in range(3)}
    pool = Pool.of(candidates_of(**{str(m): f for m, f in models.items()}), {}, geometry())
    expected = []
    for right, wrong in permutations(models, 2):
        for layer in range(2):
            mixed = models[right][0, layer] @ rng.standard_normal((12, 20_000))
            brain = pdist((mixed - mixed.mean(axis=0))[rows], "correlation")
            best = {
                m: max(
                    np.corrcoef(brain, pdist(x[rows], "correlation"))[0, 1] for x in models[m][1]
                )
                for m in (right, wrong)
            }
            expected.append(best[right] - best[wrong])
    assert pool.quality(rows).margin == pytest.approx(np.mean(expected), abs=0.01)


def test_overlap_of_numbers_is_their_squared_correlation_and_of_categories_tschuprows():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 50))
    rows = np.arange(40)
    pool = Pool.of(None, {"x": x[:, None], "y": y[:, None]}, geometry())
    expected = np.corrcoef(x[rows], y[rows])[0, 1] ** 2
    assert pool.quality(rows).overlap == pytest.approx(expected)
    a = rng.integers(3, size=50)
    b = np.where(rng.random(50) < 0.6, a, rng.integers(4, size=50))
    pool = Pool.of(None, {"a": one_hot(a), "b": one_hot(b)}, geometry())
    table = np.histogram2d(a[rows], b[rows], (3, 4))[0].astype(int)
    expected = association(table, method="tschuprow") ** 2
    assert pool.quality(rows).overlap == pytest.approx(expected)


def test_the_choice_is_nearly_the_best_of_all():
    """Of all 1,001 subsets, by the sum of both aims in standard deviations."""
    pool = pool_of(14)
    choice = choose(pool, 10)
    mean, spread = np.mean(choice.random, axis=0), np.std(choice.random, axis=0)

    def merit(rows):
        return ((np.array(pool.quality(rows)) - mean) / spread * [1, -1]).sum()

    every = [np.array(rows) for rows in combinations(range(14), 10)]
    merits = np.array([merit(rows) for rows in every if not pool.lost_features(rows)])
    assert (merits > merit(choice.rows) + 1e-9).mean() < 0.005


@pytest.mark.slow
@pytest.mark.parametrize("similarity", ["corr", "spearman"])
def test_the_choice_is_better_than_every_random_subset(similarity):
    pool = pool_of(60, similarity=similarity)
    choice = choose(pool, 25)
    assert len(set(choice.rows)) == 25 and list(choice.rows) == sorted(choice.rows)
    margin, overlap = np.transpose(choice.random)
    assert choice.quality.margin > margin.max()
    assert choice.quality.overlap < overlap.min()
    assert list(choose(pool, 25).rows) == list(choice.rows)


def test_networks_that_were_not_looked_at_are_told_apart_as_well():
    models = {name: features_of(i, 4, 0.3, n=60) for i, name in enumerate("ab")}
    choice = choose(Pool.of(candidates_of(**models), {}, geometry()), 20)
    others = Pool.of(candidates_of(**{m: f[2:] for m, f in models.items()}), {}, geometry())
    rng = np.random.default_rng(0)
    random = [others.quality(rng.permutation(60)[:20]).margin for _ in range(200)]
    assert others.quality(choice.rows).margin > np.quantile(random, 0.99)


def test_a_feature_is_not_decorrelated_by_leaving_it_out():
    """The rare category of an animal face occurs with one value of another feature only."""
    rng = np.random.default_rng(0)
    rare = np.r_[np.ones(12, int), np.zeros(48, int)]
    other = np.r_[np.ones(12, int), rng.integers(2, size=48)]
    pool = Pool.of(None, {"rare": one_hot(rare), "other": one_hot(other)}, geometry())
    choice = choose(pool, 20)
    for x in pool.features.values():
        assert (x[choice.rows].var(axis=0) >= LEAST_VARIANCE * x.var(axis=0) - 1e-12).all()
    assert choice.quality.overlap < min(q.overlap for q in choice.random)


def test_one_model_and_one_feature_give_nothing_to_choose_by():
    one = candidates_of(a=features_of(0, 1))
    with pytest.raises(RepbiasError, match="fewer than two of either"):
        choose(Pool.of(one, {"x": np.arange(40.0)[:, None]}, geometry()), 20)


def test_a_feature_whose_levels_are_too_rare_is_named():
    scene = one_hot(np.arange(40) % 12)
    pool = Pool.of(None, {"x": np.arange(40.0)[:, None], "scene": scene}, geometry())
    with pytest.raises(RepbiasError, match="in 12 random stimuli some value of 'scene' hardly"):
        choose(pool, 12)
