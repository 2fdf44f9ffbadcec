"""Noise ceilings against rsatoolbox, published values, loops and simulated truth."""

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
from scipy.stats import rankdata, spearmanr, zscore

from repbias.geometry.ceilings import resampled_ceilings, subject_ceiling
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.rdms import RdmRecording
from repbias.rsa.ceilings import noise_ceiling
from repbias.rsa.rdms import subject_rdms

COMPARATORS = ["corr", "cosine", "spearman", "rho-a", "tau-a", "corr_cov", "cosine_cov"]


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


def patterns_recording(tensor: np.ndarray) -> Recording:
    """One subject's (stimulus, repeat, unit)."""
    n, repeats, units = tensor.shape
    ids = np.array([f"s{i:03d}" for i in range(n)])
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=tensor.reshape(-1, units),
        trials={"stimulus_id": np.repeat(ids, repeats), "repeat": np.tile(np.arange(repeats), n)},
        units={
            "unit": np.array([f"u{i}" for i in range(units)]),
            "subject": np.full(units, "subject1"),
            "region": np.full(units, ""),
        },
    )


def rdm_recording(vectors: np.ndarray, n_stimuli: int) -> Recording:
    return Recording(
        stimuli={"stimulus_id": np.array([f"s{i:03d}" for i in range(n_stimuli)])},
        rdms=vectors,
        rdm_info={"subject": np.array([f"subject{i}" for i in range(len(vectors))])},
    )


@pytest.mark.parametrize("rdm_similarity", ["corr", "cosine", "spearman"])
def test_the_ceiling_of_several_subjects_leaves_one_out(rdm_similarity):
    """Nili et al. (2014), written out: z-scored, normalised or ranked RDMs are averaged."""
    data = subject_vectors(4, 12)
    ceiling = noise_ceiling(
        rdm_recording(data, 12), data, rdm_similarity, Geometry(recording_distance="correlation")
    )
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
    assert (ceiling.low, ceiling.high) == pytest.approx((low, high), abs=1e-10)
    expected = boot_noise_ceiling(RDMs(data), rdm_similarity)
    assert (ceiling.low, ceiling.high) == pytest.approx(expected, abs=1e-12)
    assert "leave one subject out" in ceiling.convention


@pytest.mark.parametrize("n_repeats", [2, 3, 4])
@pytest.mark.parametrize("distance", ["correlation", "squared_euclidean"])
def test_the_ceiling_of_one_subject_is_what_the_true_model_reaches(distance, n_repeats):
    """The RDM without noise is the true model; its mean similarity over 10 recordings."""
    rng = np.random.default_rng(0)
    reached, bounds = [], []
    for _ in range(10):
        signal = rng.normal(size=(30, 60))
        tensor = signal[:, None] + 0.7 * rng.normal(size=(30, n_repeats, 60))
        recording = patterns_recording(tensor)
        data = subject_rdms(recording, Geometry(recording_distance=distance), "v4").get_vectors()
        metric = "correlation" if distance == "correlation" else "sqeuclidean"
        reached.append(np.corrcoef(pdist(signal, metric), data[0])[0, 1])
        ceiling = noise_ceiling(
            recording, data, "corr", Geometry(recording_distance=distance), n_splits=20
        )
        bounds.append((ceiling.low, ceiling.high))
    assert ceiling.convention.startswith("sqrt of split-half RDM similarity")
    low, high = np.mean(bounds, axis=0)
    assert 0 < low < high < 1
    assert low - 0.03 < np.mean(reached) < high + 0.03


def test_without_subjects_or_repeats_the_ceiling_is_unavailable():
    rdm = subject_vectors(1, 8)
    for recording in (
        rdm_recording(rdm, 8),
        patterns_recording(np.random.default_rng(0).normal(size=(8, 1, 5))),
    ):
        ceiling = noise_ceiling(recording, rdm, "corr", Geometry(recording_distance="correlation"))
        assert np.isnan([ceiling.low, ceiling.high]).all()
        assert ceiling.convention.startswith("unavailable")


def test_a_recording_of_pure_noise_has_no_ceiling():
    tensor = np.random.default_rng(1).normal(size=(30, 4, 40))
    recording = patterns_recording(tensor)
    data = subject_rdms(
        recording, Geometry(recording_distance="correlation"), "noise"
    ).get_vectors()
    ceiling = noise_ceiling(
        recording, data, "corr", Geometry(recording_distance="correlation"), n_splits=20
    )
    assert np.isnan([ceiling.low, ceiling.high]).all()
    assert ceiling.convention == "unavailable: halves of the repeats do not agree"


def test_a_pattern_that_is_constant_in_a_half_leaves_no_ceiling():
    """Sparse counts: silent in single trials, not in their mean."""
    tensor = np.random.default_rng(2).poisson(0.05, size=(20, 2, 12)).astype(float)
    tensor[:, 0, 0], tensor[:, 1, 1] = 1, 1  # no pattern of the means is constant
    recording = patterns_recording(tensor)
    data = subject_rdms(
        recording, Geometry(recording_distance="correlation"), "sparse"
    ).get_vectors()
    tensor[0] = 0
    tensor[0, 0, 0] = 1  # one spike, in one trial
    recording = patterns_recording(tensor)
    ceiling = noise_ceiling(
        recording, data, "corr", Geometry(recording_distance="correlation"), n_splits=20
    )
    assert np.isnan(ceiling.low)
    assert "unavailable" in ceiling.convention and "constant" in ceiling.convention


@pytest.mark.parametrize(
    ("rdm_similarity", "expected"), [("spearman", (0.3723, 0.6657)), ("corr", (0.3944, 0.6804))]
)
def test_the_ceiling_of_human_it(rdm_similarity, expected, test_data):
    """Four subjects, two sessions each, 92 images; rsatoolbox_matlab's data and rsatoolbox's
    published route (reference values beside the data)."""
    spec = RdmRecording(
        kind="rdms",
        path=test_data / "rdm92_kriegeskorte2008" / "92_brainRDMs.mat",
        variable="RDMs.RDM",
        axes=["_", "subject", "session", "stimulus", "stimulus"],
        stimuli="objects92",
        stimulus_ids="sorted",
    )
    recording = read_recording(spec, np.array([f"image{i + 1:02d}" for i in range(92)]))
    data = subject_rdms(
        recording, Geometry(recording_distance="correlation"), "human_it"
    ).get_vectors()
    assert len(data) == 4
    ceiling = noise_ceiling(
        recording, data, rdm_similarity, Geometry(recording_distance="correlation")
    )
    assert (ceiling.low, ceiling.high) == pytest.approx(expected, abs=1e-4)


def test_where_the_other_published_ceiling_comes_from(test_data):
    """.379/.661 (beside the data) are of subjects against the plain mean RDM of the others or of
    all; rsatoolbox, and we, rank the RDMs before they are averaged: .372/.666."""
    spec = RdmRecording(
        kind="rdms",
        path=test_data / "rdm92_kriegeskorte2008" / "92_brainRDMs.mat",
        variable="RDMs.RDM",
        axes=["_", "subject", "session", "stimulus", "stimulus"],
        stimuli="objects92",
        stimulus_ids="sorted",
    )
    recording = read_recording(spec, np.array([f"image{i + 1:02d}" for i in range(92)]))
    data = subject_rdms(recording, Geometry(), "human_it").get_vectors()
    low = [spearmanr(np.delete(data, s, 0).mean(axis=0), row)[0] for s, row in enumerate(data)]
    high = [spearmanr(data.mean(axis=0), row)[0] for row in data]
    assert (np.mean(low), np.mean(high)) == pytest.approx((0.379, 0.661), abs=5e-4)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rdm_similarity", COMPARATORS)
def test_resampled_ceilings_are_rsatoolboxs(rdm_similarity, ties):
    """Subjects and stimuli are copied; it averages over the different subjects of a sample."""
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


@pytest.mark.parametrize("rdm_similarity", COMPARATORS)
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


@given(seed=st.integers(0, 10_000), rdm_similarity=st.sampled_from(COMPARATORS))
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
