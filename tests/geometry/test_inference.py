"""Resampling, intervals and ceilings against rsatoolbox, SciPy and simulated truth."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rsatoolbox.inference import eval_bootstrap_pattern, eval_dual_bootstrap
from rsatoolbox.model import ModelFixed
from rsatoolbox.rdm import RDMs, compare
from rsatoolbox.util.inference_util import extract_variances
from scipy.spatial.distance import pdist
from scipy.stats import sem
from scipy.stats import t as student

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.geometry import inference
from repbias.geometry.comparison import resampled_similarity
from repbias.geometry.inference import (
    Draws,
    dual_variance,
    evaluate,
    jackknifed,
    resampled_level,
)

RDM_SIMILARITIES = ["corr", "cosine", "spearman", "rho-a", "tau-a", "corr_cov", "cosine_cov"]


def related(n_models, n_subjects, n_stimuli, seed=0, noise=1.0):
    """RDMs of models and subjects that share part of their patterns."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n_stimuli, 15))
    rdms = [
        pdist(common + noise * rng.normal(size=common.shape), "correlation")
        for _ in range(n_models + n_subjects)
    ]
    return np.array(rdms[:n_models]), np.array(rdms[n_models:])


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


@pytest.mark.slow
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


@pytest.mark.parametrize("rdm_similarity", RDM_SIMILARITIES)
@pytest.mark.parametrize("n_subjects", [1, 3])
def test_few_stimuli_still_have_an_interval(n_subjects, rdm_similarity):
    """A sample of fewer than three different stimuli has no similarity; rsatoolbox skips it."""
    models, data = related(1, n_subjects, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = evaluate(models, data, rdm_similarity, 500, seed=0)
    assert np.isfinite([result.ci_low, result.ci_high]).all()


@pytest.mark.parametrize("rdm_similarity", ["corr", "corr_cov", "spearman"])
def test_blocks_of_memory_change_nothing(rdm_similarity, monkeypatch):
    models, data = related(5, 3, 10)
    expected = evaluate(models, data, rdm_similarity, 100, 0)
    monkeypatch.setattr(inference, "MEMORY", 700)  # two models, a few samples at once
    found = evaluate(models, data, rdm_similarity, 100, 0)
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


@given(
    st.lists(st.floats(1e-3, 10), min_size=3, max_size=3),
    st.integers(2, 30),
    st.integers(4, 100),
    st.integers(2, 20),
)
def test_degrees_of_freedom_lie_between_those_of_the_factors(values, n_subjects, n_stimuli, n):
    """Satterthwaite (1946), written out."""
    subjects, stimuli, networks = values
    draws = Draws.of(StimulusGroups.alone(n_stimuli), n_subjects, 10, 0, "both")
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


def test_the_jackknife_of_a_mean_is_its_standard_error():
    """SciPy's sem; degrees of freedom written out, all of them for even deviations."""
    values = np.random.default_rng(0).exponential(size=(12, 3))
    left_out = (values.sum(axis=0) - values) / 11
    found = jackknifed(left_out)
    np.testing.assert_allclose(found["left_out"], sem(values) ** 2)
    c = values - values.mean(axis=0)
    share = (c**4).sum(axis=0) / (c**2).sum(axis=0) ** 2
    np.testing.assert_allclose(found["degrees"], np.minimum(2 / (share - 1 / 12), 11))
    assert (found["degrees"] < 11).any()
    assert jackknifed(np.array([1.0, -1.0] * 6))["degrees"] == 11
    assert jackknifed(np.ones(12)) == {"left_out": 0, "degrees": 11}
    assert jackknifed(np.array([9.0] + [0.0] * 99))["degrees"] == pytest.approx(2, rel=0.05)


def far_off(n_subjects, seed=0):
    """Squared distances of models and subjects with one stimulus in common that is far off."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(12, 6))
    common[0] *= 6
    rdms = [
        pdist(np.hstack([common, rng.normal(size=(12, 6))]), "sqeuclidean")
        for _ in range(n_subjects + 2)
    ]
    return np.array(rdms[:2]), np.array(rdms[2:])


def test_where_one_stimulus_makes_the_rdm_intervals_are_those_of_the_jackknife():
    """Its variance and degrees of freedom, by leaving out stimuli in a loop."""
    models, data = far_off(1)
    result = evaluate(models, data, "corr", 300, 0)
    pairs = np.array(np.triu_indices(12, 1))
    left_out = np.array(
        [
            compare(RDMs(models[:, keep]), RDMs(data[:, keep]), "corr")[:, 0]
            for keep in ((pairs != i).all(axis=0) for i in range(12))
        ]
    )
    c = left_out - left_out.mean(axis=0)
    variance = 11 / 12 * (c**2).sum(axis=0)
    degrees = np.minimum(2 / ((c**4).sum(axis=0) / (c**2).sum(axis=0) ** 2 - 1 / 12), 11)
    draws = Draws.of(StimulusGroups.alone(12), 1, 300, 0, "stimuli")
    samples = resampled_similarity(models, data, "corr", draws.stimuli)[:, :, 0]
    assert (samples.var(axis=0, ddof=1) * 12 / 11 < variance).all()  # the bootstrap is narrower
    np.testing.assert_allclose(result.degrees, degrees)
    assert (degrees < 5).all()
    low = np.maximum(result.similarity - student.ppf(0.975, degrees) * np.sqrt(variance), -1)
    np.testing.assert_allclose(result.ci_low, low)


@pytest.mark.parametrize("excess", [0.5, 2.0])
@pytest.mark.parametrize("generalise", ["stimuli", "both"])
def test_the_wider_of_bootstrap_and_jackknife_counts(generalise, excess):
    """With 10 stimuli and 5 subjects: variance and Satterthwaite's degrees, written out."""
    draws = Draws.of(StimulusGroups.alone(10), 5, 10, 0, generalise)
    stimuli = 0.3 * 10 / 9
    variances = {"subjects": 0.2, "stimuli": 0.3, "both": 0.6}
    if generalise == "stimuli":
        variances = {"stimuli": 0.3}
    without = draws.variance({k: np.array([v]) for k, v in variances.items()})[0]
    variances |= {"left_out": excess * stimuli, "degrees": 3.0}
    variances = {k: np.array([v]) for k, v in variances.items()}
    total = without + max(0, (excess - 1) * stimuli)
    assert draws.variance(variances)[0] == pytest.approx(total)
    weight = (max(excess, 1) * stimuli) ** 2 / 3
    if generalise == "both":
        weight += (0.2 * 5 / 4) ** 2 / 4
    assert draws.degrees(variances)[0] == pytest.approx(max(total**2 / weight, 3))


def test_intervals_end_where_similarities_can():
    models, data = related(1, 2, 5, noise=0.3)
    models = np.concatenate([models, 2 - models])  # the second is the opposite of the first
    result = evaluate(models, data, "corr", 500, 0)
    assert result.ci_high[0] == 1 and -1 < result.ci_low[0] < result.similarity[0] < 1
    assert result.ci_low[1] == -1 and -1 < result.similarity[1] < result.ci_high[1] < 1


@pytest.mark.parametrize(("n", "level"), [(1, "stimuli"), (2, "both"), (3, "both")])
def test_subjects_are_resampled_where_there_are_two(n, level):
    assert resampled_level(n, "auto") == level
    assert resampled_level(n, "stimuli") == "stimuli"
