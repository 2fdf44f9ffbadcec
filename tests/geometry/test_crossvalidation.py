"""Cross-validated comparison against SciPy, rsatoolbox on copies of stimuli, and dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse.linalg
from hypothesis import assume, given
from hypothesis import strategies as st
from rsatoolbox.inference.crossvalsets import sets_k_fold
from rsatoolbox.model import ModelWeighted
from rsatoolbox.model.fitter import fit_regress_nn
from rsatoolbox.rdm import RDMs, compare
from rsatoolbox.util.inference_util import pool_rdm as pool
from rsatoolbox.util.matrix import get_v
from rsatoolbox.util.pooling import pool_rdm
from scipy.optimize import nnls
from scipy.spatial.distance import pdist

from repbias.base.spec import RepbiasError
from repbias.geometry import crossvalidation
from repbias.geometry.crossvalidation import (
    Folds,
    Model,
    cross_validated_ceilings,
    cross_validated_similarities,
    fold_labels,
    inner_products,
)

seeds = st.integers(0, 10_000)
LINEAR = ("corr", "cosine", "corr_cov", "cosine_cov")
RANKED = ("spearman", "rho-a", "tau-a")


@given(n=st.integers(4, 40), k=st.integers(1, 4), seed=seeds)
def test_folds_are_rsatoolboxs(n, k, seed):
    """Given the same random numbers."""
    rdms = RDMs(np.ones((2, n * (n - 1) // 2)))
    np.random.seed(seed)  # noqa: NPY002
    _, test_sets, _ = sets_k_fold(rdms, k_rdm=2, k_pattern=k)
    rng = np.random.RandomState(seed)
    subjects = fold_labels(rng, np.ones(2, bool), 2)
    for fold in range(2):
        stimuli = fold_labels(rng, np.ones(n, bool), k)
        for part in range(k):
            rdm, patterns = test_sets[fold * k + part]
            assert rdm.rdm_descriptors["index"] == list(np.flatnonzero(subjects == fold))
            assert sorted(patterns) == list(np.flatnonzero(stimuli == part))


def test_what_was_not_drawn_is_in_no_fold():
    drawn = np.array([True, False, True, True, False, True])
    labels = fold_labels(np.random.RandomState(0), drawn, 2)
    np.testing.assert_array_equal(labels >= 0, drawn)
    assert sorted(labels[drawn]) == [0, 0, 1, 1]


def simulated(n=15, n_subjects=4, seed=0):
    """Two weighted models, a fixed one and one to select from; subjects have noise."""
    rng = np.random.default_rng(seed)
    bases = [
        np.array([pdist(rng.normal(size=(n, 5)), "sqeuclidean") for _ in range(k)]) / 1e3
        for k in (3, 2, 1, 3)
    ]
    truth = bases[0][0] + bases[1][1] + bases[3][2]
    data = truth + truth.std() * rng.normal(size=(n_subjects, truth.size))
    kinds = ("weighted", "weighted", "fixed", "select")
    return [Model(b, kind) for b, kind in zip(bases, kinds, strict=True)], data


def folds_of(n, n_subjects, seed=0, n_draws=3, divide=True):
    """Two folds of stimuli times two of subjects, of every draw."""
    rng = np.random.RandomState(seed)
    stimuli = rng.multinomial(n, np.full(n, 1 / n), size=n_draws)
    subjects = 1 + rng.randint(0, 2, size=(n_draws, n_subjects))
    test, who, draw = [], [], []
    for i in range(n_draws):
        labels = fold_labels(rng, stimuli[i] > 0, 2)
        own = fold_labels(rng, subjects[i] > 0, 2)
        for f in range(4):
            test.append(labels == f % 2)
            who.append(own == f // 2)
            draw.append(i)
    test, who, draw = np.array(test), np.array(who), np.array(draw)
    train = ~test
    if not divide:
        train = test = np.ones_like(test)
    return Folds(stimuli, subjects, draw, draw, train, test, ~who, who)


def copies(vectors, counts, subjects=None):
    """Copied by rsatoolbox, with NaN between copies."""
    patterns = np.repeat(np.arange(len(counts)), counts)
    rows = (
        np.arange(len(vectors))
        if subjects is None
        else np.repeat(np.arange(len(vectors)), subjects)
    )
    return RDMs(vectors[rows]).subsample_pattern("index", patterns)


@given(seed=seeds, rdm_similarity=st.sampled_from(LINEAR))
def test_inner_products_are_those_of_copies(seed, rdm_similarity):
    """x'V^-1 y over the pairs that exist, V written out (a scaled identity unless whitened)."""
    rng = np.random.default_rng(seed)
    n = 9
    x = rng.uniform(size=(3, n * (n - 1) // 2)) + 5
    counts = rng.multinomial(n, np.full(n, 1 / n), size=2)
    first, second = np.triu_indices(3)
    found = inner_products(x, first, second, rdm_similarity, counts)
    for row, c in zip(found, counts, strict=True):
        values = copies(x, c).get_vectors()
        there = ~np.isnan(values[0])
        values = values[:, there]
        if rdm_similarity.startswith("corr"):
            values = values - values.mean(axis=1, keepdims=True)
        weighted = values
        if rdm_similarity.endswith("cov"):
            v = get_v(c.sum(), None).toarray()[there][:, there]
            weighted = np.linalg.solve(v, values.T).T
        gram = values @ weighted.T
        # Up to the scale of V.
        scale = row[0] / gram[0, 0]
        np.testing.assert_allclose(row, scale * gram[first, second], rtol=1e-7, atol=1e-9)


def test_sparse_and_dense_weights_are_the_same(monkeypatch):
    models, data = simulated(12)
    rdms = np.concatenate([models[0].rdms, data])
    first, second = np.triu_indices(len(rdms))
    counts = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), size=20)
    found = []
    for share in (0.0, 2.0):
        monkeypatch.setattr(crossvalidation, "SPARSE", share)
        found.append(inner_products(rdms, first, second, "corr", counts))
    np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-15)


def written_out(models, data, rdm_similarity, folds, f):
    """Evaluate one fold with rsatoolbox's objects."""
    c, r = folds.stimuli[folds.stimulus_draw[f]], folds.subjects[folds.subject_draw[f]]
    train = copies(data, c * folds.train_stimuli[f], r * folds.train_subjects[f])
    test = copies(data, c * folds.test_stimuli[f], r * folds.test_subjects[f])
    values = []
    for model in models:
        fitted = copies(model.rdms, c * folds.train_stimuli[f])
        if model.fit == "weighted":
            theta = fit_regress_nn(ModelWeighted("m", fitted), train, rdm_similarity)
        elif model.fit == "select":
            theta = np.eye(3)[compare(fitted, train, rdm_similarity).mean(axis=1).argmax()]
        else:
            theta = np.ones(1)
        predicted = copies((theta @ model.rdms)[None], c * folds.test_stimuli[f])
        values.append(compare(predicted, test, rdm_similarity).mean())
    return values


@pytest.mark.parametrize("divide", [True, False])
@pytest.mark.parametrize("rdm_similarity", [*LINEAR, "spearman", "rho-a"])
def test_similarities_are_those_of_rsatoolbox_on_copies(rdm_similarity, divide, monkeypatch):
    """Whitened, it solves for weights by conjugate gradients to a relative 1e-5; here exactly."""

    def solved(v, x, atol):
        return scipy.sparse.linalg.spsolve(v, x), 0

    monkeypatch.setattr(scipy.sparse.linalg, "cg", solved)
    models, data = simulated()
    if rdm_similarity in RANKED:
        models = models[2:]
    folds = folds_of(15, 4, divide=divide)
    found = cross_validated_similarities(models, data, rdm_similarity, folds)
    expected = [written_out(models, data, rdm_similarity, folds, f) for f in range(len(folds))]
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("rdm_similarity", [*LINEAR, *RANKED])
def test_ceilings_are_those_of_rsatoolbox_on_copies(rdm_similarity):
    _, data = simulated()
    folds = folds_of(15, 4)
    lower, upper = cross_validated_ceilings(data, rdm_similarity, folds)
    for f in range(len(folds)):
        c, r = folds.stimuli[folds.stimulus_draw[f]], folds.subjects[folds.subject_draw[f]]
        inside = c * folds.test_stimuli[f]
        test = copies(data, inside, r * folds.test_subjects[f])
        low = pool(copies(data, inside, r * folds.train_subjects[f]), rdm_similarity)
        kept = list(np.flatnonzero(inside))
        high = pool(copies(data, c, r), rdm_similarity).subset_pattern("index", kept)
        assert lower[f] == pytest.approx(compare(low, test, rdm_similarity).mean(), abs=1e-10)
        assert upper[f] == pytest.approx(compare(high, test, rdm_similarity).mean(), abs=1e-10)


@pytest.mark.parametrize("rdm_similarity", LINEAR)
def test_blocks_make_no_difference(rdm_similarity, monkeypatch):
    models, data = simulated()
    folds = folds_of(15, 4)
    expected = [
        cross_validated_similarities(models, data, rdm_similarity, folds),
        *cross_validated_ceilings(data, rdm_similarity, folds),
    ]
    monkeypatch.setattr(crossvalidation, "MEMORY", 1500)
    monkeypatch.setattr(crossvalidation, "CACHE", 500)
    found = [
        cross_validated_similarities(models, data, rdm_similarity, folds),
        *cross_validated_ceilings(data, rdm_similarity, folds),
    ]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@given(seed=seeds, rdm_similarity=st.sampled_from(LINEAR))
def test_order_of_stimuli_and_scale_of_rdms_do_not_matter(seed, rdm_similarity):
    n = 20
    models, data = simulated(n, 4, seed)
    folds = folds_of(n, 4, seed)
    n_train = ((folds.stimuli[folds.stimulus_draw] > 0) & folds.train_stimuli).sum(axis=1)
    assume(n_train.min() > 3)  # fewer do not determine the three weights
    order = np.random.default_rng(seed).permutation(n)
    i, j = np.triu_indices(n, 1)
    position = np.zeros((n, n), int)
    position[i, j] = position[j, i] = np.arange(len(i))
    pairs = position[order][:, order][i, j]
    moved = Folds(
        folds.stimuli[:, order], folds.subjects, folds.stimulus_draw, folds.subject_draw,
        folds.train_stimuli[:, order], folds.test_stimuli[:, order],
        folds.train_subjects, folds.test_subjects,
    )  # fmt: skip
    other = [Model(m.rdms[:, pairs] * 1000, m.fit) for m in models]
    np.testing.assert_allclose(
        cross_validated_similarities(other, data[:, pairs] / 7, rdm_similarity, moved),
        cross_validated_similarities(models, data, rdm_similarity, folds),
        atol=1e-8,
    )


def test_the_target_is_what_rsatoolbox_pools():
    """Of one model of two RDMs, the weights are those of the pooled RDM; a closed form."""
    models, data = simulated()
    folds = folds_of(15, 4, n_draws=1)
    c, r = folds.stimuli[0], folds.subjects[0]
    train = copies(data, c * folds.train_stimuli[0], r * folds.train_subjects[0])
    y = pool_rdm(train, "corr").get_vectors()[0]
    x = copies(models[1].rdms, c * folds.train_stimuli[0]).get_vectors()
    there = ~np.isnan(y)
    x, y = x[:, there], y[there]
    theta, _ = nnls((x - x.mean(axis=1, keepdims=True)).T, y - y.mean())
    test = copies(data, c * folds.test_stimuli[0], r * folds.test_subjects[0])
    predicted = copies((theta @ models[1].rdms)[None], c * folds.test_stimuli[0])
    found = cross_validated_similarities(models, data, "corr", folds)
    assert found[0, 1] == pytest.approx(compare(predicted, test, "corr").mean(), abs=1e-10)


def test_what_cannot_be_compared_is_refused():
    models, data = simulated()
    folds = folds_of(15, 4)
    with pytest.raises(RepbiasError, match=r"not to ranks as 'spearman'"):
        cross_validated_similarities(models, data, "spearman", folds)
    with pytest.raises(RepbiasError, match=r"RDMs of 45 pairs, the subjects' have 105"):
        cross_validated_similarities([Model(np.ones((1, 45)))], data, "corr", folds)
    with pytest.raises(RepbiasError, match=r"a fixed model has 2 RDMs; expected one"):
        Model(np.ones((2, 45)))
    broken = data.copy()
    broken[1, 3] = np.nan
    for refuse in (
        lambda: cross_validated_similarities(models, broken, "corr", folds),
        lambda: cross_validated_ceilings(broken, "corr", folds),
    ):
        with pytest.raises(RepbiasError, match=r"1 of 4 have .* not finite .* number 1"):
            refuse()
