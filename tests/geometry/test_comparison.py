"""Similarity of RDMs against rsatoolbox, SciPy and loops; torch, float32 and missing pairs."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rsatoolbox.rdm import RDMs, compare
from scipy.spatial.distance import squareform
from scipy.stats import rankdata, spearmanr

from repbias.base.spec import RepbiasError
from repbias.geometry import comparison
from repbias.geometry.comparison import (
    WHITENED,
    Ranking,
    Ties,
    embedding,
    resampled_similarity,
    similarities,
    unit,
)
from repbias.geometry.distances import (
    correlation_distances,
    dissimilarities,
    squared_distances,
)

RDM_SIMILARITIES = ["corr", "cosine", "spearman", "rho-a", "tau-a", "corr_cov", "cosine_cov"]
seeds = st.integers(0, 10_000)


def random_vectors(n, n_stimuli, seed=0, ties=False):
    vectors = np.random.default_rng(seed).uniform(0.5, 1.5, (n, n_stimuli * (n_stimuli - 1) // 2))
    return np.round(4 * vectors) if ties else vectors


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rdm_similarity", RDM_SIMILARITIES)
def test_weights_equal_copies_of_rows_and_columns(rdm_similarity, ties):
    """rsatoolbox copies, marks pairs of a stimulus with its copy as NaN and drops them."""
    models, data = random_vectors(3, 10, 1, ties), random_vectors(2, 10, 2, ties)
    rng = np.random.default_rng(3)
    counts = rng.multinomial(10, np.full(10, 0.1), size=60)
    found = resampled_similarity(models, data, rdm_similarity, counts)
    assert found.shape == (60, 3, 2)
    for sample, count in zip(found, counts, strict=True):
        copies = np.repeat(np.arange(10), count)
        expected = compare(
            RDMs(models).subsample_pattern("index", copies),
            RDMs(data).subsample_pattern("index", copies),
            rdm_similarity,
        )
        np.testing.assert_allclose(sample, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("rdm_similarity", ["corr", "spearman"])
def test_a_common_offset_of_the_distances_costs_no_precision(rdm_similarity):
    """Pearson and Spearman ignore it; a difference of large sums would not."""
    models, data = random_vectors(2, 8, 1), random_vectors(2, 8, 2)
    counts = np.random.default_rng(3).multinomial(8, np.full(8, 1 / 8), size=20)
    expected = resampled_similarity(models, data, rdm_similarity, counts)
    found = resampled_similarity(models + 1e3, data + 1e3, rdm_similarity, counts)
    np.testing.assert_allclose(found, expected, atol=1e-8)


@given(
    rows=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=12).filter(
        lambda rows: any(weight for _, weight in rows)
    ),
    different=st.booleans(),
)
def test_weighted_ranks_are_ranks_of_repeated_values(rows, different):
    """SciPy ranks copies; without ties a shortcut is taken."""
    values, weights = map(np.array, zip(*rows, strict=True))
    if different:
        values = np.random.default_rng(0).permutation(len(values))
    values = values.astype(float)
    ties = Ties.of(values)
    assert (ties.high is None) == (len(set(values)) == len(values))
    np.testing.assert_allclose(ties.midranks(), rankdata(values))
    other = np.arange(float(len(values)))[::-1]
    twice, squares = Ranking.of([ties, Ties.of(other)]).weighted(weights.astype(np.int32))
    for row, square, x in zip(twice, squares, (values, other), strict=True):
        expected = rankdata(np.repeat(x, weights))
        expected = 2 * (expected - expected.mean())
        np.testing.assert_array_equal(np.repeat(row, weights[weights > 0]), expected)
        np.testing.assert_allclose(square, expected @ expected, atol=1e-9)


def categories_and_responses(n_categories=12, n_each=6, units=40):
    """One-hot codes of categories, RDM (pair,) of 0 within and 1 between, and responses."""
    rng = np.random.default_rng(0)
    category = np.arange(n_categories * n_each) % n_categories
    one_hot = (category[:, None] == np.arange(n_categories)).astype(float)
    first, second = np.triu_indices(len(category), 1)
    responses = rng.standard_normal((n_categories, units))[category]
    responses += rng.standard_normal((len(category), units))
    return one_hot, (category[first] != category[second]).astype(float), responses


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "correlation"])
@pytest.mark.parametrize("rdm_similarity", ["spearman", "rho-a", "tau-a"])
def test_dissimilarities_that_are_equal_but_for_rounding_are_ties(rdm_similarity, distance, dtype):
    """A model of categories has two levels; SciPy and rsatoolbox are given them exactly."""
    one_hot, exact, responses = categories_and_responses()
    data = dissimilarities(responses, "correlation")
    if dtype == np.float32:
        compute = correlation_distances if distance == "correlation" else squared_distances
        model, data = compute((one_hot * 0.3).astype(np.float32)), data.astype(np.float32)
    else:
        model = dissimilarities(one_hot * 0.3, distance)
    found = similarities(model[None], data[None], rdm_similarity)
    np.testing.assert_allclose(
        found, compare(RDMs(exact[None]), RDMs(data[None]), rdm_similarity), atol=1e-5
    )
    if rdm_similarity == "spearman":
        assert found[0, 0] == pytest.approx(spearmanr(exact, data)[0], abs=1e-5)
    # Bootstrap samples too.
    counts = np.random.default_rng(1).multinomial(72, np.full(72, 1 / 72), size=3)
    resampled = [
        resampled_similarity(m[None], data[None], rdm_similarity, counts)
        for m in (model, exact.astype(dtype))
    ]
    np.testing.assert_allclose(*resampled, atol=1e-5)


def test_counts_have_the_levels_of_exact_distances():
    """Squared distances of whole numbers are whole; so many levels are ranked."""
    counts = np.random.default_rng(0).poisson(2, (60, 5))
    first, second = np.triu_indices(60, 1)
    exact = ((counts[first] - counts[second]) ** 2).sum(axis=1)
    for distance in ("euclidean", "squared_euclidean"):
        ties = Ties.of(dissimilarities(counts, distance))
        assert len(np.unique(ties.low)) == len(np.unique(exact))


@pytest.mark.parametrize("rdm_similarity", RDM_SIMILARITIES)
def test_a_constant_rdm_is_similar_to_nothing_whatever_its_last_digits(rdm_similarity):
    rng = np.random.default_rng(0)
    constant = 0.3 + 1e-16 * rng.standard_normal((1, 66))
    found = similarities(constant, rng.random((1, 66)), rdm_similarity)
    if rdm_similarity.startswith("cosine"):
        assert found > 0.5
    else:
        assert found == 0


def test_many_float32_dissimilarities_are_not_taken_for_one():
    """With millions of pairs neighbours are closer than rounding errors of large numbers."""
    values = np.random.default_rng(0).permutation(2_000_000).astype(np.float32) / 2e6
    ranks = Ties.of(values).midranks()
    assert np.abs(ranks - 1 - 2e6 * values.astype(float)).max() < 20


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rdm_similarity", [c for c in RDM_SIMILARITIES if c != "tau-a"])
def test_similarity_is_an_inner_product_of_normalised_rdms(rdm_similarity, ties):
    a, b = random_vectors(3, 12, 1, ties), random_vectors(4, 12, 2, ties)
    expected = compare(RDMs(a), RDMs(b), rdm_similarity)
    np.testing.assert_allclose(
        unit(a, rdm_similarity) @ unit(b, rdm_similarity).T, expected, atol=1e-12
    )


@pytest.mark.parametrize("rdm_similarity", ["corr_cov", "cosine_cov"])
@pytest.mark.parametrize("n", [98, 99, 100])
def test_the_whitened_formula_is_rsatoolboxs(rdm_similarity, n):
    """Up to 99 stimuli; at 100, where it fails, H X H is written out."""
    a, b = random_vectors(2, n, 1), random_vectors(2, n, 2)
    if n < 100:
        expected = compare(RDMs(a), RDMs(b), rdm_similarity)
    else:
        mean = [v.mean(axis=1, keepdims=True) * (rdm_similarity == "corr_cov") for v in (a, b)]
        h = np.eye(n) - 1 / n
        whitened = [
            np.array([(h @ squareform(row) @ h).ravel() for row in v - m])
            for v, m in zip((a, b), mean, strict=True)
        ]
        x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in whitened)
        expected = x @ y.T
    unresampled = resampled_similarity(a, b, rdm_similarity, np.ones((1, n), int))[0]
    np.testing.assert_allclose(similarities(a, b, rdm_similarity), expected, atol=1e-12)
    np.testing.assert_allclose(unresampled, expected, atol=1e-12)


@pytest.mark.parametrize("rdm_similarity", ["corr_cov", "cosine_cov"])
def test_a_stimulus_that_is_half_of_the_sample_is_whitened_too(rdm_similarity):
    """Where a denominator of the closed form is 0, and beyond."""
    models, data = random_vectors(2, 10, 1), random_vectors(2, 10, 2)
    for often in (5, 6, 7):
        counts = np.array([often, *[1] * (10 - often), *[0] * (often - 1)])
        copies = np.repeat(np.arange(10), counts)
        expected = compare(
            RDMs(models).subsample_pattern("index", copies),
            RDMs(data).subsample_pattern("index", copies),
            rdm_similarity,
        )
        found = resampled_similarity(models, data, rdm_similarity, counts[None])[0]
        np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rdm_similarity", RDM_SIMILARITIES)
def test_similarities_are_rsatoolboxs(rdm_similarity, ties):
    """To 1e-12; an RDM that is constant has similarity 0, but for cosines. One RDM at a time:
    rsatoolbox 0.3.2 misplaces the similarities of all that follow a constant one."""
    a, b = random_vectors(5, 12, 1, ties), random_vectors(4, 12, 2, ties)
    a[1] = 0.5
    found = similarities(a, b, rdm_similarity)
    expected = np.concatenate([compare(RDMs(row[None]), RDMs(b), rdm_similarity) for row in a])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert (found[1] == 0).all() == (rdm_similarity not in ("cosine", "cosine_cov"))


@given(seed=seeds, n=st.integers(3, 9), levels=st.integers(1, 6))
def test_tau_a_counts_concordant_minus_discordant_pairs(seed, n, levels):
    """Written out, with any ties; and weights are copies."""
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(levels, size=(2, n * (n - 1) // 2)) for _ in range(2))
    counts = rng.multinomial(n, np.full(n, 1 / n), size=2)
    found = resampled_similarity(a, b, "tau-a", np.array([np.ones(n, int), *counts]))
    first, second = np.triu_indices(n, 1)
    for sample, c in zip(found, (np.ones(n, int), *counts), strict=True):
        x, y = (np.repeat(v, c[first] * c[second], axis=1) for v in (a, b))
        m = x.shape[1]
        signs = [np.sign(v[:, :, None] - v[:, None]) for v in (x, y)]
        expected = np.einsum("ipq,jpq->ij", *signs) / max(m * (m - 1), 1)
        np.testing.assert_allclose(sample, expected, atol=1e-14)


@pytest.mark.parametrize("rdm_similarity", RDM_SIMILARITIES)
def test_torch_is_numpy(rdm_similarity):
    models, data = random_vectors(3, 10, 1, True), random_vectors(2, 10, 2)
    counts = np.random.default_rng(3).multinomial(10, np.full(10, 0.1), size=20)
    a, b = torch.asarray(models), torch.asarray(data)
    pairs = [
        (similarities(a, b, rdm_similarity), similarities(models, data, rdm_similarity)),
        (
            resampled_similarity(a, b, rdm_similarity, torch.asarray(counts)),
            resampled_similarity(models, data, rdm_similarity, counts),
        ),
    ]
    for found, expected in pairs:
        assert isinstance(found, torch.Tensor)
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("module", [np, torch])
@pytest.mark.parametrize("rdm_similarity", RDM_SIMILARITIES)
def test_float32_keeps_its_precision_under_a_large_offset(rdm_similarity, module):
    """The offset costs float32 three digits of the input, as float64 of the same input shows;
    centring first costs no more. A cosine is that of the offset."""
    offset = 1e4 if rdm_similarity not in ("cosine", "cosine_cov") else 0
    models, data = (
        module.asarray((random_vectors(3, 20, seed) + offset).astype(np.float32)) for seed in (1, 2)
    )
    counts = np.random.default_rng(3).multinomial(20, np.full(20, 0.05), size=20)
    exact = [np.asarray(v, dtype=np.float64) for v in (models, data)]
    found = resampled_similarity(models, data, rdm_similarity, counts)
    assert found.dtype == module.float32
    np.testing.assert_allclose(
        found, resampled_similarity(*exact, rdm_similarity, counts), rtol=0, atol=1e-5
    )
    found = similarities(models, data, rdm_similarity)
    assert found.dtype == module.float32
    np.testing.assert_allclose(found, similarities(*exact, rdm_similarity), rtol=0, atol=1e-6)


@given(seed=seeds, rdm_similarity=st.sampled_from(RDM_SIMILARITIES))
def test_the_order_of_stimuli_does_not_matter(seed, rdm_similarity):
    a, b = random_vectors(2, 7, seed), random_vectors(2, 7, seed + 1)
    rng = np.random.default_rng(seed)
    order, counts = rng.permutation(7), rng.multinomial(7, np.full(7, 1 / 7), size=5)
    permuted = [
        np.array([squareform(squareform(row)[np.ix_(order, order)]) for row in v]) for v in (a, b)
    ]
    np.testing.assert_allclose(
        similarities(*permuted, rdm_similarity), similarities(a, b, rdm_similarity), atol=1e-12
    )
    np.testing.assert_allclose(
        resampled_similarity(*permuted, rdm_similarity, counts[:, order]),
        resampled_similarity(a, b, rdm_similarity, counts),
        atol=1e-10,
    )


@given(
    seed=seeds,
    rdm_similarity=st.sampled_from(RDM_SIMILARITIES),
    scale=st.floats(1e-3, 1e3),
    offset=st.floats(0, 100),
)
def test_scale_does_not_matter_nor_does_a_constant_unless_it_is_a_cosine(
    seed, rdm_similarity, scale, offset
):
    a, b = random_vectors(2, 7, seed), random_vectors(2, 7, seed + 1)
    changed = scale * a + (0 if rdm_similarity in ("cosine", "cosine_cov") else offset)
    counts = np.random.default_rng(seed).multinomial(7, np.full(7, 1 / 7), size=5)
    np.testing.assert_allclose(
        similarities(changed, b, rdm_similarity), similarities(a, b, rdm_similarity), atol=1e-8
    )
    np.testing.assert_allclose(
        resampled_similarity(changed, b, rdm_similarity, counts),
        resampled_similarity(a, b, rdm_similarity, counts),
        atol=1e-6,
    )


@pytest.mark.parametrize("rdm_similarity", [c for c in RDM_SIMILARITIES if c not in WHITENED])
def test_pairs_that_are_missing_in_all_rdms_are_left_out(rdm_similarity):
    """rsatoolbox drops them; resampled, copies of them as well."""
    models, data = random_vectors(3, 9, 1), random_vectors(2, 9, 2)
    models[:, [0, 5, 30]] = data[:, [0, 5, 30]] = np.nan
    found = similarities(models, data, rdm_similarity)
    np.testing.assert_allclose(found, compare(RDMs(models), RDMs(data), rdm_similarity), atol=1e-12)
    (count,) = np.random.default_rng(0).multinomial(9, np.full(9, 1 / 9), size=1)
    copies = np.repeat(np.arange(9), count)
    expected = compare(
        RDMs(models).subsample_pattern("index", copies),
        RDMs(data).subsample_pattern("index", copies),
        rdm_similarity,
    )
    found = resampled_similarity(models, data, rdm_similarity, count[None])[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_rdms_that_cannot_be_compared_are_refused():
    models, data = random_vectors(3, 6, 1), random_vectors(2, 6, 2)
    for function in (similarities, lambda *a: resampled_similarity(*a, np.ones((1, 6), int))):
        with pytest.raises(RepbiasError, match="RDMs of 15 and 10 pairs of stimuli; expected"):
            function(models, random_vectors(2, 5), "corr")
        for broken in (models, data):
            whole = broken[0, 3]
            broken[0, 3] = np.nan
            with pytest.raises(RepbiasError, match="different pairs of stimuli are missing"):
                function(models, data, "spearman")
            broken[0, 3] = whole
        models[:, 2] = data[:, 2] = np.nan
        with pytest.raises(RepbiasError, match=r"1 of 15 pairs .* 'corr_cov' needs all"):
            function(models, data, "corr_cov")
        models[:, 2] = data[:, 2] = 1


@pytest.mark.parametrize("rdm_similarity", RDM_SIMILARITIES)
def test_blocks_change_nothing(rdm_similarity, monkeypatch):
    """One or a few models, subjects, samples and pairs at once."""
    models, data = random_vectors(5, 10, 1), random_vectors(3, 10, 2)
    counts = np.random.default_rng(3).multinomial(10, np.full(10, 0.1), size=30)
    expected = resampled_similarity(models, data, rdm_similarity, counts)
    monkeypatch.setattr(comparison, "MEMORY", 200)
    found = resampled_similarity(models, data, rdm_similarity, counts)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("rdm_similarity", ["corr", "corr_cov", "spearman"])
def test_memory_is_bounded(rdm_similarity, monkeypatch):
    """The peak above the arguments is a few times the bound, whatever the number of samples."""
    n_stimuli, n_samples = 60, 2000
    models, data = random_vectors(8, n_stimuli, 1), random_vectors(2, n_stimuli, 2)
    counts = np.random.default_rng(3).multinomial(
        n_stimuli, np.full(n_stimuli, 1 / n_stimuli), size=n_samples
    )
    monkeypatch.setattr(comparison, "MEMORY", 2**16)
    tracemalloc.start()
    result = resampled_similarity(models, data, rdm_similarity, counts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Weights of all pairs in all samples alone would take 28 MB.
    assert peak - 2 * result.nbytes - counts.nbytes < 8 * 8 * 2**16


def test_integers_count_as_float64():
    a = np.arange(12).reshape(2, 6) % 5
    np.testing.assert_array_equal(similarities(a, a, "corr"), similarities(a * 1.0, a, "corr"))
    assert embedding(a, "cosine").dtype == np.float64


@pytest.mark.parametrize("rdm_similarity", RDM_SIMILARITIES)
def test_a_sample_of_one_stimulus_has_similarity_0(rdm_similarity):
    models, data = random_vectors(2, 6, 1), random_vectors(2, 6, 2)
    counts = np.array([[0, 6, 0, 0, 0, 0]])
    assert (resampled_similarity(models, data, rdm_similarity, counts) == 0).all()


def test_spearman_is_scipys():
    a, b = random_vectors(1, 8, 1, True), random_vectors(1, 8, 2, True)
    expected = spearmanr(a[0], b[0]).statistic
    assert similarities(a, b, "spearman")[0, 0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rdm_similarity", RDM_SIMILARITIES)
def test_half_precision_counts_as_double(rdm_similarity):
    rdms = (300 * np.random.default_rng(0).random((3, 66))).astype(np.float16)
    expected = similarities(rdms.astype(float), rdms.astype(float), rdm_similarity)
    np.testing.assert_array_equal(similarities(rdms, rdms, rdm_similarity), expected)


@pytest.mark.parametrize("rdm_similarity", ["tau-a", "spearman", "corr"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float64])
def test_counts_may_be_of_any_type(rdm_similarity, dtype):
    """The weight of a pair of stimuli, 18 x 17, is more than a byte holds."""
    counts = np.zeros((1, 12), int)
    counts[0, :3] = 18, 12, 17
    models, data = random_vectors(2, 12, 1), random_vectors(3, 12, 2)
    np.testing.assert_array_equal(
        resampled_similarity(models, data, rdm_similarity, counts.astype(dtype)),
        resampled_similarity(models, data, rdm_similarity, counts),
    )
