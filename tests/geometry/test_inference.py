"""Resampling, intervals and ceilings against rsatoolbox, SciPy and simulated truth."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rsatoolbox.inference import boot_noise_ceiling, eval_bootstrap_pattern, eval_dual_bootstrap
from rsatoolbox.model import ModelFixed
from rsatoolbox.rdm import RDMs, compare
from rsatoolbox.util.inference_util import extract_variances
from scipy.spatial.distance import pdist
from scipy.stats import rankdata, sem, spearmanr, zscore
from scipy.stats import t as student

from repbias.geometry import inference
from repbias.geometry.ceilings import noise_ceiling
from repbias.geometry.comparison import resampled_similarity, similarities, unit, weighted_midranks
from repbias.geometry.inference import Draws, dual_variance, evaluate
from repbias.geometry.rdms import subject_rdms
from repbias.geometry.spec import Geometry
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.rdms import RdmRecording
from repbias.spec import RepbiasError
from repbias.store import Recording

COMPARATORS = ["corr", "cosine", "spearman", "rho-a", "tau-a", "corr_cov", "cosine_cov"]


def random_vectors(n, n_stimuli, seed=0, ties=False):
    vectors = np.random.default_rng(seed).uniform(0.5, 1.5, (n, n_stimuli * (n_stimuli - 1) // 2))
    return np.round(4 * vectors) if ties else vectors


def related(n_models, n_subjects, n_stimuli, seed=0, noise=1.0):
    """RDMs of models and subjects that share part of their patterns."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n_stimuli, 15))
    rdms = [
        pdist(common + noise * rng.normal(size=common.shape), "correlation")
        for _ in range(n_models + n_subjects)
    ]
    return np.array(rdms[:n_models]), np.array(rdms[n_models:])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("comparator", COMPARATORS)
def test_weights_equal_copies_of_rows_and_columns(comparator, ties):
    """rsatoolbox copies, marks pairs of a stimulus with its copy as NaN and drops them."""
    models, data = random_vectors(3, 10, 1, ties), random_vectors(2, 10, 2, ties)
    rng = np.random.default_rng(3)
    counts = rng.multinomial(10, np.full(10, 0.1), size=60)
    found = resampled_similarity(models, data, comparator, counts)
    assert found.shape == (60, 3, 2)
    for sample, count in zip(found, counts, strict=True):
        copies = np.repeat(np.arange(10), count)
        expected = compare(
            RDMs(models).subsample_pattern("index", copies),
            RDMs(data).subsample_pattern("index", copies),
            comparator,
        )
        np.testing.assert_allclose(sample, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("comparator", ["corr", "spearman"])
def test_a_common_offset_of_the_distances_costs_no_precision(comparator):
    """Pearson and Spearman ignore it; a difference of large sums would not."""
    models, data = random_vectors(2, 8, 1), random_vectors(2, 8, 2)
    counts = np.random.default_rng(3).multinomial(8, np.full(8, 1 / 8), size=20)
    expected = resampled_similarity(models, data, comparator, counts)
    found = resampled_similarity(models + 1e3, data + 1e3, comparator, counts)
    np.testing.assert_allclose(found, expected, atol=1e-8)


@given(
    rows=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=12).filter(
        lambda rows: any(weight for _, weight in rows)
    )
)
def test_weighted_midranks_are_ranks_of_repeated_values(rows):
    values, weights = map(np.array, zip(*rows, strict=True))
    ranks = weighted_midranks(values.astype(float), weights.astype(float))
    np.testing.assert_allclose(
        np.repeat(ranks, weights), rankdata(np.repeat(values, weights)), atol=1e-12
    )


@given(
    variances=st.lists(st.tuples(*[st.floats(0, 2)] * 3), min_size=1, max_size=4),
    n_subjects=st.integers(2, 30),
    n_stimuli=st.integers(3, 100),
)
def test_dual_variance_is_that_of_rsatoolbox(variances, n_subjects, n_stimuli):
    """A 3-D array of covariances: resampling both, subjects, stimuli."""
    three = np.array(variances).T
    covariances = np.stack([np.diag(row) for row in three])
    expected, _, _ = extract_variances(
        covariances, nc_included=False, n_rdm=n_subjects, n_pattern=n_stimuli
    )
    np.testing.assert_allclose(
        dual_variance(*three, n_subjects, n_stimuli), expected, rtol=1e-12, atol=1e-12
    )


def standard_error(result):
    return (result.ci_high - result.similarity) / student.ppf(0.975, result.degrees)


def test_standard_errors_are_those_of_the_dual_bootstrap():
    """rsatoolbox draws its own samples: 300 of them fix a standard error to a few percent."""
    models, data = related(2, 5, 14)
    result = evaluate(models, data, "corr", 2000, seed=0)
    np.random.seed(0)  # noqa: NPY002  (rsatoolbox has no other)
    fixed = [ModelFixed(f"m{i}", m) for i, m in enumerate(models)]
    expected = eval_dual_bootstrap(fixed, RDMs(data), "corr", k_pattern=1, k_rdm=1, N=300)
    np.testing.assert_allclose(standard_error(result), np.sqrt(expected.model_var), rtol=0.15)
    np.testing.assert_allclose(
        result.similarity, compare(RDMs(models), RDMs(data), "corr").mean(axis=1), rtol=1e-12
    )
    np.testing.assert_allclose(
        result.similarity - result.ci_low, result.ci_high - result.similarity
    )
    assert result.interval == "95 %, dual bootstrap of stimuli and subjects"


def test_with_one_subject_only_stimuli_are_resampled_and_the_label_says_so():
    models, data = related(2, 1, 14)
    result = evaluate(models, data, "corr", 2000, seed=0)
    np.random.seed(0)  # noqa: NPY002
    fixed = [ModelFixed(f"m{i}", m) for i, m in enumerate(models)]
    expected = eval_bootstrap_pattern(fixed, RDMs(data), method="corr", N=400)
    np.testing.assert_allclose(standard_error(result), np.sqrt(expected.model_var), rtol=0.15)
    assert "these subjects only" in result.interval


def test_intervals_are_those_of_the_seed():
    models, data = related(2, 3, 10)
    first, again, other = (evaluate(models, data, "corr", 100, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.ci_low, again.ci_low)
    assert (first.ci_low != other.ci_low).all()
    np.testing.assert_array_equal(first.similarity, other.similarity)


@pytest.mark.parametrize("comparator", COMPARATORS)
@pytest.mark.parametrize("n_subjects", [1, 3])
def test_few_stimuli_still_have_an_interval(n_subjects, comparator):
    """A sample of fewer than three different stimuli has no similarity; rsatoolbox skips it."""
    models, data = related(1, n_subjects, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = evaluate(models, data, comparator, 500, seed=0)
    assert np.isfinite([result.ci_low, result.ci_high]).all()


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


@pytest.mark.parametrize("comparator", ["corr", "cosine", "spearman"])
def test_the_ceiling_of_several_subjects_leaves_one_out(comparator):
    """Nili et al. (2014), written out: z-scored, normalised or ranked RDMs are averaged."""
    _, data = related(0, 4, 12)
    ceiling = noise_ceiling(
        rdm_recording(data, 12), data, comparator, Geometry(recording_distance="correlation")
    )
    scaled = {
        "corr": zscore(data, axis=1),
        "cosine": data / np.linalg.norm(data, axis=1, keepdims=True),
        "spearman": rankdata(data, axis=1),
    }[comparator]

    def similarity(a, b):
        if comparator == "spearman":
            a, b = rankdata(a), rankdata(b)
        if comparator != "cosine":
            a, b = a - a.mean(), b - b.mean()
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    high = np.mean([similarity(scaled.mean(axis=0), row) for row in data])
    low = np.mean(
        [similarity(np.delete(scaled, i, 0).mean(axis=0), row) for i, row in enumerate(data)]
    )
    assert (ceiling.low, ceiling.high) == pytest.approx((low, high), abs=1e-10)
    expected = boot_noise_ceiling(RDMs(data), comparator)
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
    rdm = random_vectors(1, 8)
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
    ("comparator", "expected"), [("spearman", (0.3723, 0.6657)), ("corr", (0.3944, 0.6804))]
)
def test_the_ceiling_of_human_it(comparator, expected, test_data):
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
    ceiling = noise_ceiling(recording, data, comparator, Geometry(recording_distance="correlation"))
    assert (ceiling.low, ceiling.high) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("comparator", [c for c in COMPARATORS if c != "tau-a"])
def test_similarity_is_an_inner_product_of_normalised_rdms(comparator, ties):
    a, b = random_vectors(3, 12, 1, ties), random_vectors(4, 12, 2, ties)
    expected = compare(RDMs(a), RDMs(b), comparator)
    np.testing.assert_allclose(unit(a, comparator) @ unit(b, comparator).T, expected, atol=1e-12)


@pytest.mark.parametrize("comparator", ["corr_cov", "cosine_cov"])
@pytest.mark.parametrize("n", [98, 99, 100])
def test_the_whitened_formula_is_rsatoolboxs(comparator, n):
    """Up to 99 stimuli; at 100, where it fails, unresampled weights say the same."""
    a, b = random_vectors(2, n, 1), random_vectors(2, n, 2)
    found = similarities(a, b, comparator)
    formula = unit(a, comparator) @ unit(b, comparator).T
    unresampled = resampled_similarity(a, b, comparator, np.ones((1, n), int))[0]
    np.testing.assert_allclose(formula, found, atol=1e-12)
    np.testing.assert_allclose(unresampled, found, atol=1e-10)


@pytest.mark.parametrize("comparator", ["corr_cov", "cosine_cov"])
def test_a_stimulus_that_is_half_of_the_sample_is_whitened_too(comparator):
    """Where a denominator of the closed form is 0, and beyond."""
    models, data = random_vectors(2, 10, 1), random_vectors(2, 10, 2)
    for often in (5, 6, 7):
        counts = np.array([often, *[1] * (10 - often), *[0] * (often - 1)])
        copies = np.repeat(np.arange(10), counts)
        expected = compare(
            RDMs(models).subsample_pattern("index", copies),
            RDMs(data).subsample_pattern("index", copies),
            comparator,
        )
        found = resampled_similarity(models, data, comparator, counts[None])[0]
        np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("comparator", ["corr", "corr_cov", "spearman"])
def test_blocks_of_memory_change_nothing(comparator, monkeypatch):
    models, data = related(5, 3, 10)
    expected = evaluate(models, data, comparator, 100, 0)
    monkeypatch.setattr(inference, "MEMORY", 700)  # two models, a few samples at once
    found = evaluate(models, data, comparator, 100, 0)
    np.testing.assert_allclose(found.ci_low, expected.ci_low, rtol=1e-10)


@pytest.mark.parametrize(
    ("generalise", "degrees", "label"),
    [("stimuli", 13, "these subjects only"), ("subjects", 4, "these stimuli only")],
)
def test_intervals_generalise_to_what_is_resampled(generalise, degrees, label):
    """Stimuli: rsatoolbox's bootstrap of patterns; subjects: the t interval (SciPy)."""
    models, data = related(2, 5, 14)
    result = evaluate(models, data, "corr", 4000, 0, generalise)
    fixed = [ModelFixed(f"m{i}", m) for i, m in enumerate(models)]
    if generalise == "stimuli":
        np.random.seed(0)  # noqa: NPY002
        expected = np.sqrt(
            eval_bootstrap_pattern(fixed, RDMs(data), method="corr", N=300).model_var
        )
    else:
        expected = sem(compare(RDMs(models), RDMs(data), "corr"), axis=1)
    tolerance = 0.15 if generalise == "stimuli" else 0.05
    np.testing.assert_allclose(standard_error(result), expected, rtol=tolerance)
    np.testing.assert_allclose(result.degrees, degrees)
    assert label in result.interval
    np.testing.assert_allclose(result.by_subject, compare(RDMs(models), RDMs(data), "corr"))


def test_one_subject_does_not_generalise_to_subjects():
    models, data = related(1, 1, 8)
    for generalise in ("subjects", "both"):
        with pytest.raises(RepbiasError, match=f"generalise: '{generalise}' .* has 1; expected"):
            evaluate(models, data, "corr", 100, 0, generalise)


def test_rdms_that_are_not_finite_are_refused():
    models, data = related(2, 2, 8)
    models[1, 3] = np.nan
    with pytest.raises(RepbiasError, match=r"models: 1 of 2 .* not finite .* number 1"):
        evaluate(models, data, "corr", 100, 0)
    recording = rdm_recording(models, 8)
    with pytest.raises(RepbiasError, match=r"'it', subject1: 1 of 28 dissimilarities"):
        subject_rdms(recording, Geometry(), "it")


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


@given(
    st.lists(st.floats(1e-3, 10), min_size=3, max_size=3),
    st.integers(2, 30),
    st.integers(4, 100),
    st.integers(2, 20),
)
def test_degrees_of_freedom_lie_between_those_of_the_factors(values, n_subjects, n_stimuli, n):
    """Satterthwaite (1946), written out."""
    subjects, stimuli, networks = values
    draws = Draws.of(n_stimuli, n_subjects, 10, 0, "both")
    variances = {
        "subjects": np.array([subjects]),
        "stimuli": np.array([stimuli]),
        "both": np.array([subjects + stimuli]),
    }
    found = draws.degrees(variances, [(np.array([networks]), n - 1)])[0]
    parts = [
        (subjects * n_subjects / (n_subjects - 1), n_subjects - 1),
        (stimuli * n_stimuli / (n_stimuli - 1), n_stimuli - 1),
        (networks, n - 1),
    ]
    total = draws.variance(variances)[0] + networks
    expected = total**2 / sum(v**2 / d for v, d in parts)
    smallest = min(d for _, d in parts)
    assert found == pytest.approx(max(expected, smallest))
    assert found <= sum(d for _, d in parts) + 1e-9
