"""Similarity measures against public implementations and closed forms, and their symmetries."""

from __future__ import annotations

from itertools import permutations, product
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rsatoolbox.rdm import RDMs, compare
from scipy.linalg import orthogonal_procrustes, sqrtm
from scipy.optimize import linprog, nnls
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ortho_group, pearsonr
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import NearestNeighbors

from repbias.base.spec import RepbiasError
from repbias.geometry.similarity import METRICS, N_NEIGHBOURS, PENALTIES, residualised
from repbias.geometry.spec import MetricName, Similarity

#: Measures that see distances only, or dimensions without their units.
ROTATION_FREE = [
    "rsa_euclidean",
    "cka",
    "cka_debiased",
    "cka_rbf",
    "nbs",
    "procrustes",
    "mutual_knn",
    "ridge",
]
#: Measures of patterns' correlations, which a shift of all patterns changes.
OF_CORRELATION = ["rsa", "rsa_whitened", "rsa_reweighted"]
SYMMETRIC = [name for name, metric in METRICS.items() if metric.symmetric]

seeds = st.integers(0, 10_000)
#: Data of all seeds are alike: what does not hold for a few of them holds for hardly any.
few = settings(max_examples=8)


def pair_of(seed, n=16, p=5, q=7):
    """Two related representations with offsets and different scales of units."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    y = x @ rng.normal(size=(p, q)) + rng.normal(size=(n, q))
    return x * rng.uniform(0.5, 2, p) + rng.normal(size=p), y + rng.normal(size=q)


def similarity(name, x, y):
    metric = METRICS[name]
    return metric.compare(metric.factors(x), metric.factors(y))


def test_the_configuration_names_every_measure():
    assert set(get_args(MetricName)) == set(METRICS)
    assert len(get_args(MetricName)) == len(METRICS)
    assert list(get_args(MetricName)) == Similarity().metrics


@pytest.mark.parametrize(
    ("name", "distance", "rdm_similarity"),
    [
        ("rsa", "correlation", "corr"),
        ("rsa_euclidean", "euclidean", "corr"),
        ("rsa_whitened", "correlation", "corr_cov"),
    ],
)
@pytest.mark.parametrize("n", [12, 40])
def test_rsa_agrees_with_rsatoolbox(name, distance, rdm_similarity, n):
    x, y = pair_of(0, n)
    a, b = (RDMs(pdist(r, distance)) for r in (x, y))
    expected = compare(a, b, rdm_similarity)[0, 0]
    np.testing.assert_allclose(similarity(name, x, y), expected, rtol=1e-9)


def test_cka_is_that_of_feature_covariances():
    """Kornblith et al. 2019: ||Y'X||^2 / (||X'X|| ||Y'Y||)."""
    x, y = pair_of(1)
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    norm = np.linalg.norm
    expected = norm(b.T @ a) ** 2 / (norm(a.T @ a) * norm(b.T @ b))
    np.testing.assert_allclose(similarity("cka", x, y), expected, rtol=1e-10)


def unbiased_hsic(k, m):
    """Sum over all quadruples of different stimuli (Song et al. 2012, eq. 4)."""
    n, total = len(k), 0.0
    for i, j, q, r in permutations(range(n), 4):
        total += k[i, j] * m[i, j] + k[i, j] * m[q, r] - 2 * k[i, j] * m[i, q]
    return total / (n * (n - 1) * (n - 2) * (n - 3))


def test_debiased_cka_is_of_unbiased_hsic():
    x, y = pair_of(2, n=8)
    k, m = x @ x.T, y @ y.T
    expected = unbiased_hsic(k, m) / np.sqrt(unbiased_hsic(k, k) * unbiased_hsic(m, m))
    np.testing.assert_allclose(similarity("cka_debiased", x, y), expected, rtol=1e-8)


def test_debiased_cka_of_unrelated_representations_is_near_zero():
    """Where plain CKA is far above, as units outnumber stimuli."""
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(20, 200)), rng.normal(size=(20, 200))) for _ in range(20)]
    assert np.mean([similarity("cka", *p) for p in pairs]) > 0.8
    assert abs(np.mean([similarity("cka_debiased", *p) for p in pairs])) < 0.03


def test_gaussian_cka_is_of_centred_kernels():
    x, y = pair_of(3)
    h = np.eye(len(x)) - 1 / len(x)
    kernels = []
    for r in (x, y):
        d = pdist(r)
        kernels.append(h @ np.exp(-squareform(d**2) / (2 * np.median(d) ** 2)) @ h)
    k, m = kernels
    expected = np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m))
    np.testing.assert_allclose(similarity("cka_rbf", x, y), expected, rtol=1e-9)


@pytest.mark.parametrize("p", [8, 40])
def test_bures_is_the_fidelity_of_gram_matrices(p):
    x, y = pair_of(4, n=14, p=p)
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    # The nuclear norm of a'b is the trace of the root of its square.
    fidelity = np.trace(sqrtm(b.T @ a @ a.T @ b)).real
    expected = fidelity / np.sqrt((a**2).sum() * (b**2).sum())
    np.testing.assert_allclose(similarity("nbs", x, y), expected, rtol=1e-9)
    # rsatoolbox takes squared Euclidean RDMs, and roots of eigenvalues that are 0 but for rounding.
    rdms = (RDMs(pdist(r, "sqeuclidean")) for r in (x, y))
    np.testing.assert_allclose(compare(*rdms, "bures")[0, 0], expected, rtol=1e-6)


def test_procrustes_is_the_angle_after_the_best_rotation():
    x, y = pair_of(5, p=6, q=6)
    a, b = ((r - r.mean(axis=0)) / np.linalg.norm(r - r.mean(axis=0)) for r in (x, y))
    rotation, _ = orthogonal_procrustes(a, b)
    angle = np.arccos(np.vdot(a @ rotation, b))
    np.testing.assert_allclose(similarity("procrustes", x, y), 1 - angle / (np.pi / 2), rtol=1e-9)


def test_soft_matching_of_equal_numbers_is_the_best_of_all_permutations():
    x, y = pair_of(6, p=5, q=5)
    r = np.corrcoef(x.T, y.T)[:5, 5:]
    best = max(r[range(5), order].mean() for order in permutations(range(5)))
    np.testing.assert_allclose(similarity("soft_matching", x, y), best, rtol=1e-10)


@pytest.mark.parametrize(("p", "q"), [(3, 6), (6, 2), (3, 5), (4, 6)])
def test_soft_matching_of_unequal_numbers_solves_the_transport(p, q):
    x, y = pair_of(7, p=p, q=q)
    r = np.corrcoef(x.T, y.T)[:p, p:]
    a_eq = np.zeros((p + q, p * q))
    for i, j in product(range(p), range(q)):
        a_eq[i, i * q + j] = a_eq[p + j, i * q + j] = 1
    plan = linprog(-r.ravel(), A_eq=a_eq, b_eq=[1 / p] * p + [1 / q] * q)
    np.testing.assert_allclose(similarity("soft_matching", x, y), -plan.fun, rtol=1e-8)


def test_a_constant_unit_matches_none():
    x, _ = pair_of(8, p=4)
    x[:, 2] = 0.1
    np.testing.assert_allclose(similarity("soft_matching", x, x), 3 / 4, rtol=1e-12)


def test_mutual_neighbours_agree_with_scikit_learn():
    x, y = pair_of(9, n=30)
    sets = [
        NearestNeighbors(n_neighbors=N_NEIGHBOURS).fit(r).kneighbors(return_distance=False)
        for r in (x, y)
    ]
    common = [len(set(a) & set(b)) for a, b in zip(*sets, strict=True)]
    np.testing.assert_allclose(similarity("mutual_knn", x, y), np.mean(common) / N_NEIGHBOURS)


def test_ties_of_neighbours_are_not_broken_by_the_order_of_stimuli():
    """Two unrelated codes of two clusters each have as much in common as chance allows."""
    rng = np.random.default_rng(0)
    x, y = (rng.permutation(np.repeat([0.0, 1.0], 50))[:, None] for _ in range(2))
    assert abs(similarity("mutual_knn", x, y) - N_NEIGHBOURS / 99) < 0.02


@pytest.mark.parametrize("p", [4, 30])
def test_ridge_agrees_with_leaving_every_stimulus_out(p):
    """Brute force: X keeps its centring and its penalty, the intercept is refitted each time."""
    x, y = pair_of(10, n=14, p=p)
    best = -np.inf
    for penalty in PENALTIES * ((x - x.mean(axis=0)) ** 2).sum():
        predicted = cross_val_predict(Ridge(alpha=penalty), x, y, cv=LeaveOneOut())
        best = max(best, 1 - ((y - predicted) ** 2).sum() / ((y - y.mean(axis=0)) ** 2).sum())
    np.testing.assert_allclose(similarity("ridge", x, y), best, rtol=1e-6)


def test_ridge_onto_unrelated_representations_explains_nothing():
    rng = np.random.default_rng(1)
    for p in (5, 100):
        r2 = similarity("ridge", rng.normal(size=(60, p)), rng.normal(size=(60, 20)))
        assert -0.1 < r2 < 0.02


def test_reweighting_agrees_with_nnls_on_pairs():
    x, y = pair_of(11, n=20, p=6)
    z = x - x.mean(axis=1, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    units, target = [], []
    for half in (slice(0, 10), slice(10, 20)):
        units.append(np.stack([pdist(z[half, [u]], "sqeuclidean") for u in range(6)], axis=1))
        target.append(pdist(y[half], "correlation"))
    expected = []
    for fitted, held_out in ((0, 1), (1, 0)):
        a, d = units[fitted], target[fitted]
        weights, _ = nnls(a - a.mean(axis=0), d - d.mean())
        expected.append(pearsonr(units[held_out] @ weights, target[held_out]).statistic)
    np.testing.assert_allclose(similarity("rsa_reweighted", x, y), np.mean(expected), rtol=1e-7)


def test_reweighting_finds_the_units_that_the_other_has():
    """A network with the target's units and as many others, which are stronger."""
    rng = np.random.default_rng(12)
    target = rng.normal(size=(60, 6))
    both = np.hstack([target, 2 * rng.normal(size=(60, 6))])
    assert similarity("rsa_reweighted", both, target) > similarity("rsa", both, target) + 0.2


def test_reweighting_onto_a_half_without_variance_is_zero():
    x, _ = pair_of(0)
    y = np.random.default_rng(0).normal(size=(16, 3))
    y[:8] = [0, 1, 3]
    assert similarity("rsa_reweighted", x, y) == 0


@pytest.mark.parametrize("name", METRICS)
@few
@given(seed=seeds)
def test_permuted_factors_are_those_of_the_permuted_representation(name, seed):
    x, y = pair_of(seed)
    metric = METRICS[name]
    order = np.random.default_rng(seed).permutation(len(x))
    for a, b in ((x, y), (y, x)):
        permuted = metric.permute(metric.factors(b), order)
        expected = similarity(name, a, b[order])
        np.testing.assert_allclose(
            metric.compare(metric.factors(a), permuted), expected, rtol=1e-7, atol=1e-9
        )
        # On the other side, too.
        expected = similarity(name, b[order], a)
        np.testing.assert_allclose(
            metric.compare(permuted, metric.factors(a)), expected, rtol=1e-7, atol=1e-9
        )


def unchanged(name, x, y, changed_x, changed_y):
    np.testing.assert_allclose(
        similarity(name, changed_x, changed_y), similarity(name, x, y), rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("name", [m for m in METRICS if m != "rsa_reweighted"])
@few
@given(seed=seeds)
def test_the_order_of_stimuli_does_not_matter(name, seed):
    x, y = pair_of(seed)
    order = np.random.default_rng(seed).permutation(len(x))
    unchanged(name, x, y, x[order], y[order])


@few
@given(seed=seeds)
def test_reweighting_depends_on_the_stimuli_of_each_half_only(seed):
    x, y = pair_of(seed)
    rng = np.random.default_rng(seed)
    order = np.concatenate([8 + rng.permutation(8), rng.permutation(8)])
    unchanged("rsa_reweighted", x, y, x[order], y[order])


@pytest.mark.parametrize("name", METRICS)
@few
@given(seed=seeds, scale=st.floats(0.01, 100))
def test_order_of_units_and_scale_do_not_matter(name, seed, scale):
    x, y = pair_of(seed)
    rng = np.random.default_rng(seed)
    unchanged(name, x, y, scale * x[:, rng.permutation(5)], y[:, rng.permutation(7)] / scale)


@pytest.mark.parametrize("name", [m for m in METRICS if m not in OF_CORRELATION])
@few
@given(seed=seeds)
def test_a_pattern_added_to_all_stimuli_does_not_matter(name, seed):
    x, y = pair_of(seed)
    rng = np.random.default_rng(seed)
    unchanged(name, x, y, x + 10 * rng.normal(size=5), y + 10 * rng.normal(size=7))


@pytest.mark.parametrize("name", OF_CORRELATION)
@few
@given(seed=seeds)
def test_gain_and_offset_of_a_pattern_do_not_matter_to_correlation(name, seed):
    x, y = pair_of(seed)
    rng = np.random.default_rng(seed)
    unchanged(name, x, y, x * rng.uniform(0.5, 2, (16, 1)) + rng.normal(size=(16, 1)), y)


@pytest.mark.parametrize("name", ROTATION_FREE)
@few
@given(seed=seeds)
def test_rotations_of_units_do_not_matter(name, seed):
    x, y = pair_of(seed)
    rotations = (ortho_group.rvs(size, random_state=seed) for size in (5, 7))
    unchanged(name, x, y, *(r @ rotation for r, rotation in zip((x, y), rotations, strict=True)))


@pytest.mark.parametrize("name", [m for m in METRICS if m not in ROTATION_FREE])
def test_the_other_measures_see_rotations(name):
    x, y = pair_of(0)
    rotated = x @ ortho_group.rvs(5, random_state=0)
    assert abs(similarity(name, rotated, y) - similarity(name, x, y)) > 1e-3


@pytest.mark.parametrize("name", [m for m in METRICS if m != "ridge"])
@few
@given(seed=seeds)
def test_a_representation_is_most_similar_to_itself(name, seed):
    x, y = pair_of(seed)
    # The arc cosine turns rounding of 1e-16 into 1e-8.
    np.testing.assert_allclose(similarity(name, x, x), 1, atol=1e-7)
    assert similarity(name, x, y) < 1 - 1e-6


def test_ridge_predicts_a_representation_from_itself_but_for_the_penalty():
    x, _ = pair_of(0)
    assert 1 - 1e-6 < similarity("ridge", x, x) < 1


@pytest.mark.parametrize("name", SYMMETRIC)
@few
@given(seed=seeds)
def test_symmetric_measures_are_symmetric(name, seed):
    x, y = pair_of(seed)
    np.testing.assert_allclose(similarity(name, x, y), similarity(name, y, x), rtol=1e-9)


@pytest.mark.parametrize("name", [m for m in METRICS if m not in SYMMETRIC])
def test_prediction_has_a_direction(name):
    """A part is predicted by the whole, but not the whole by a part."""
    rng = np.random.default_rng(3)
    whole = rng.normal(size=(60, 12)) * np.repeat([1, 3], 6)
    part = whole[:, :6]
    assert similarity(name, whole, part) > similarity(name, part, whole) + 0.2


@pytest.mark.parametrize("name", METRICS)
def test_float32_with_a_large_offset_loses_nothing(name):
    x, y = pair_of(0)
    shifted = (x + 1000).astype(np.float32)
    exact = shifted.astype(np.float64)
    expected = similarity(name, exact if name in OF_CORRELATION else exact - 1000, y)
    np.testing.assert_allclose(similarity(name, shifted, y), expected, rtol=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_what_is_undefined_is_refused(name):
    x, _ = pair_of(0)
    with pytest.raises(RepbiasError):
        METRICS[name].factors(np.full_like(x, 0.1))
    x[2, 1] = np.nan
    with pytest.raises(RepbiasError, match="1 patterns are not finite"):
        METRICS[name].factors(x)


@pytest.mark.parametrize("name", ["cka_debiased", "mutual_knn", "rsa_reweighted"])
def test_too_few_stimuli_are_refused(name):
    with pytest.raises(RepbiasError, match=r"3 stimuli; .* at least"):
        METRICS[name].factors(np.random.default_rng(0).normal(size=(3, 4)))


@pytest.mark.parametrize("name", ["rsa", "rsa_euclidean", "rsa_whitened"])
def test_an_rdm_without_variance_is_refused(name):
    with pytest.raises(RepbiasError, match="all 6 dissimilarities are the same"):
        METRICS[name].factors(np.eye(4))


def test_a_kernel_without_bandwidth_is_refused():
    with pytest.raises(RepbiasError, match="most patterns are the same"):
        METRICS["cka_rbf"].factors(np.eye(16)[:, :2])


def test_residuals_have_no_class_means_and_keep_the_mean_pattern():
    x, _ = pair_of(0)
    label = np.arange(16) % 3
    residual = residualised(x, label)
    for value in range(3):
        np.testing.assert_allclose(residual[label == value].mean(axis=0), x.mean(axis=0))
    # The residuals of a regression on one-hot labels.
    one_hot = np.eye(3)[label]
    fitted = one_hot @ np.linalg.lstsq(one_hot, x, rcond=None)[0]
    np.testing.assert_allclose(residual, x - fitted + x.mean(axis=0))
    np.testing.assert_allclose(residualised(x, np.zeros(16)), x)
    with pytest.raises(RepbiasError, match="15 labels for 16 stimuli"):
        residualised(x, label[:-1])


def test_a_measure_is_named_once():
    with pytest.raises(ValidationError, match="'cka' occurs twice"):
        Similarity(metrics=["cka", "rsa", "cka"])
