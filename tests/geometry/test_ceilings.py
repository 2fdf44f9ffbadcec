"""Noise ceilings of subjects against rsatoolbox, loops, and their symmetries."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rsatoolbox.inference import boot_noise_ceiling
from rsatoolbox.rdm import RDMs, compare
from rsatoolbox.util.inference_util import pool_rdm
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata, zscore

from repbias.geometry.ceilings import resampled_ceilings, subject_ceiling

RDM_SIMILARITIES = ["corr", "cosine", "spearman", "rho-a", "tau-a", "corr_cov", "cosine_cov"]


def subject_vectors(n_subjects, n_stimuli, seed=0):
    """RDMs of subjects that share part of their patterns."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n_stimuli, 15))
    shape = common.shape
    return np.array(
        [pdist(common + rng.normal(size=shape), "correlation") for _ in range(n_subjects)]
    )


def draws(n_stimuli, n_subjects, n_samples, seed=1):
    rng = np.random.default_rng(seed)
    return tuple(
        rng.multinomial(n, np.full(n, 1 / n), size=n_samples) for n in (n_stimuli, n_subjects)
    )


@pytest.mark.parametrize("rdm_similarity", ["corr", "cosine", "spearman"])
def test_the_ceiling_of_several_subjects_leaves_one_out(rdm_similarity):
    """Nili et al. (2014), written out: z-scored, normalised or ranked RDMs are averaged."""
    data = subject_vectors(4, 12)
    scaled = {
        "corr": zscore(data, axis=1),
        "cosine": data / np.linalg.norm(data, axis=1, keepdims=True),
        "spearman": rankdata(data, axis=1),
    }[rdm_similarity]

    def similarity(a, b):
        if rdm_similarity == "spearman":
            a, b = rankdata(a), rankdata(b)
        if rdm_similarity != "cosine":
            a, b = a - a.mean(), b - b.mean()
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    high = np.mean([similarity(scaled.mean(axis=0), row) for row in data])
    low = np.mean(
        [similarity(np.delete(scaled, i, 0).mean(axis=0), row) for i, row in enumerate(data)]
    )
    ceiling = subject_ceiling(data, rdm_similarity)
    assert ceiling == pytest.approx((low, high), abs=1e-10)
    assert ceiling == pytest.approx(boot_noise_ceiling(RDMs(data), rdm_similarity), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rdm_similarity", RDM_SIMILARITIES)
def test_resampled_ceilings_are_rsatoolboxs(rdm_similarity, ties):
    """With copies of subjects and stimuli; rsatoolbox averages over distinct subjects."""
    data = subject_vectors(4, 10)
    data = np.round(4 * data) if ties else data
    stimuli, subjects = draws(10, 4, 12)
    subjects[0] = [0, 4, 0, 0]  # alone
    found = resampled_ceilings(data, rdm_similarity, stimuli, subjects, average="subjects")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tau's ceiling is of averaged ranks
        for i, (c, r) in enumerate(zip(stimuli, subjects, strict=True)):
            sample = RDMs(data).subsample("index", np.repeat(np.arange(4), r))
            sample = sample.subsample_pattern("index", np.repeat(np.arange(10), c))
            expected = boot_noise_ceiling(sample, rdm_similarity)
            assert (found[0][i], found[1][i]) == pytest.approx(expected, abs=1e-12)
        expected = boot_noise_ceiling(RDMs(data), rdm_similarity)
    assert subject_ceiling(data, rdm_similarity) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rdm_similarity", RDM_SIMILARITIES)
def test_ceilings_of_draws_are_means_over_copies(rdm_similarity):
    """In loops: every copy of a subject with the average of the others, or of all."""
    data = subject_vectors(4, 10)
    stimuli, subjects = draws(10, 4, 20)
    several = (subjects > 0).sum(axis=1) > 1
    stimuli, subjects = stimuli[several], subjects[several]
    found = resampled_ceilings(data, rdm_similarity, stimuli, subjects)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i, (c, r) in enumerate(zip(stimuli, subjects, strict=True)):
            sample = RDMs(data).subsample_pattern("index", np.repeat(np.arange(10), c))
            drawn, vectors = np.repeat(np.arange(4), r), sample.get_vectors()
            low, high = [], []
            for s in drawn:
                for values, pool in ((low, drawn[drawn != s]), (high, drawn)):
                    pooled = pool_rdm(RDMs(vectors[pool]), rdm_similarity)
                    values.append(compare(pooled, RDMs(vectors[[s]]), rdm_similarity)[0, 0])
            expected = np.mean(low), np.mean(high)
            assert (found[0][i], found[1][i]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rdm_similarity", ["corr", "spearman", "tau-a", "corr_cov"])
def test_ceilings_of_torch_are_those_of_numpy(rdm_similarity):
    data, samples = subject_vectors(3, 9), draws(9, 3, 8)
    expected = resampled_ceilings(data, rdm_similarity, *samples)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        found = resampled_ceilings(torch.asarray(data, dtype=dtype), rdm_similarity, *samples)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == dtype
            np.testing.assert_allclose(one.numpy(), other, rtol=0, atol=tolerance)


@given(seed=st.integers(0, 10_000), rdm_similarity=st.sampled_from(RDM_SIMILARITIES))
def test_the_order_of_stimuli_and_of_subjects_does_not_matter(seed, rdm_similarity):
    data, rng = subject_vectors(3, 7, seed), np.random.default_rng(seed)
    stimuli, subjects = draws(7, 3, 4, seed)
    order, who = rng.permutation(7), rng.permutation(3)
    square = np.array([squareform(row) for row in data[who]])
    permuted = np.array([squareform(row[np.ix_(order, order)]) for row in square])
    expected = resampled_ceilings(data, rdm_similarity, stimuli, subjects)
    found = resampled_ceilings(permuted, rdm_similarity, stimuli[:, order], subjects[:, who])
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("rdm_similarity", ["corr", "spearman"])
def test_pairs_that_are_missing_in_all_subjects_are_left_out(rdm_similarity):
    data = subject_vectors(4, 8)
    data[:, [2, 11]] = np.nan
    expected = boot_noise_ceiling(RDMs(data), rdm_similarity)
    assert subject_ceiling(data, rdm_similarity) == pytest.approx(expected, abs=1e-12)


def test_whitened_ceilings_go_beyond_99_stimuli():
    """Where rsatoolbox fails: its pooling, and double-centred matrices, written out."""
    data = subject_vectors(3, 101)
    h = np.eye(101) - 1 / 101
    scaled = zscore(data, axis=1)

    def similarity(a, b):
        x, y = (h @ squareform(v - v.mean()) @ h for v in (a, b))
        return (x * y).sum() / np.linalg.norm(x) / np.linalg.norm(y)

    low = [similarity(np.delete(scaled, s, 0).mean(axis=0), data[s]) for s in range(3)]
    high = [similarity(scaled.mean(axis=0), data[s]) for s in range(3)]
    expected = np.mean(low), np.mean(high)
    assert subject_ceiling(data, "corr_cov") == pytest.approx(expected, abs=1e-12)
