"""Simulated brains: their noise, their scores, and which model they are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made import N, candidates_of, features_of, recording_of
from scipy.spatial.distance import pdist
from scipy.stats import binomtest
from sklearn.linear_model import Ridge as SklearnRidge

from repbias.auditing.design import Design
from repbias.auditing.kernels import subject_kernels
from repbias.auditing.scores import NEW_SUBJECTS, THESE_SUBJECTS, Brain, Side, divide
from repbias.auditing.shares import kernel_of
from repbias.auditing.spec import Audit
from repbias.auditing.tables import Known
from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.encoding.ridge import gram
from repbias.encoding.spec import Encoding
from repbias.geometry.similarity import METRICS
from repbias.geometry.spec import Geometry
from repbias.io.activations import Activations, write_activations
from repbias.io.recordings import Recording
from repbias.recovery.candidates import Candidates, _refuse_large, root_of
from repbias.recovery.models import (
    _rows,
    interval,
    merits_by_score,
    named,
    recover,
    rows_as_table,
    scored_networks,
    simulate_brains,
    simulate_rdms,
)
from repbias.recovery.scoring import Ridge, Scorer
from repbias.recovery.shares import recover_shares, shares_of_brains
from repbias.recovery.spec import Recovery
from repbias.recovery.twins import RdmTwins, Twins
from repbias.recovery.words import indistinct, sentences
from repbias.rsa.rdms import make_rdms, subject_rdms

MEASURES = ["rsa", "cka", "encoding", "both_ways", "procrustes"]
GEOMETRY, ENCODING = Geometry(), Encoding(n_alphas=5)


def noisy(
    n: int = N, repeats: int = 4, units: int = 40, noise: float = 1.0, subjects: int = 2
) -> Recording:
    rng = np.random.default_rng(5)
    signal = rng.standard_normal((n, 1, units))
    return recording_of(signal + noise * rng.standard_normal((n, repeats, units)), subjects)


def without_signal(twins: Twins) -> Twins:
    subjects = (replace(s, signal_sd=0 * s.signal_sd) for s in twins.subjects)
    return replace(twins, subjects=tuple(subjects))


def simulated_table(twins, candidates, measures=MEASURES, n: int = 6, seed: int = 0):
    scorer = Scorer(candidates, StimulusGroups.alone(N), measures, GEOMETRY, ENCODING)
    simulated = simulate_brains(twins, scorer, n, seed)
    real = scorer.scores([twins.recording])
    rows = [r for m in measures for r in _rows(simulated, m, real[m][0], {})]
    return rows_as_table("recovery", [{"recording": "brain"} | row for row in rows])


def confusion(table: pd.DataFrame, level: str, how: str, measure: str) -> np.ndarray:
    part = table[(table["level"] == level) & (table["how"] == how) & table["simulated"]]
    part = part[part["measure"] == measure]
    ends = ["condition"] if level == "model" else ["condition", "layer"]
    return part.pivot_table(
        index=[f"true_{e}" for e in ends],
        columns=[f"named_{e}" for e in ends],
        values="probability",
    ).to_numpy()


# The simulated brains.


def test_twins_have_the_reliabilities_and_noise_correlations_of_a_recording():
    n, repeats, units = 400, 3, 6
    rng = np.random.default_rng(0)
    reliability = np.linspace(0.1, 0.9, units)
    noise_sd = np.linspace(1, 3, units)
    signal_sd = noise_sd * np.sqrt(reliability / (1 - reliability))
    correlation = np.full((units, units), 0.4) + 0.6 * np.eye(units)
    root = np.linalg.cholesky(correlation * np.outer(noise_sd, noise_sd))
    signal = rng.standard_normal((n, 1, units)) * signal_sd
    responses = signal + rng.standard_normal((n, repeats, units)) @ root.T
    twins = Twins.of(recording_of(responses))
    # Standard errors over 400 stimuli and 800 degrees of freedom are .03 at most.
    np.testing.assert_allclose(twins.reliability, reliability, atol=0.1)

    layer = root_of(gram(rng.standard_normal((n, 30))))
    found, covariances = [], []
    for _ in range(10):
        twin = twins.simulate(layer, rng)
        found.append(Twins.of(twin).reliability)
        trials = twin.responses.reshape(n, repeats, units)
        deviations = (trials - trials.mean(axis=1, keepdims=True)).reshape(-1, units)
        covariances.append(deviations.T @ deviations / (n * (repeats - 1)))
    np.testing.assert_allclose(np.mean(found, axis=0), twins.reliability, atol=0.03)
    sd = np.sqrt(np.diagonal(np.mean(covariances, axis=0)))
    np.testing.assert_allclose(sd, twins.subjects[0].noise_sd, rtol=0.03)
    np.testing.assert_allclose(
        np.mean(covariances, axis=0) / np.outer(sd, sd), correlation, atol=0.08
    )


def test_signals_of_twins_have_exactly_the_variance_of_the_units():
    twins = Twins.of(noisy())
    root = root_of(gram(features_of(0, 1)[0, 0]))
    twin = twins.measured(twins.signal(root, np.random.default_rng(0)))
    for subject in twins.subjects:
        signal = twin.responses.reshape(N, 4, -1)[:, 0, subject.units]
        np.testing.assert_allclose(signal.std(axis=0, ddof=1), subject.signal_sd)


def test_a_recording_of_noise_has_no_signal_on_average():
    """Estimates of single units that are cut at 0 alone would give .02 of the noise variance."""
    rng = np.random.default_rng(6)
    found = [
        (Twins.of(recording_of(rng.standard_normal((N, 4, 50)))).subjects[0].signal_sd ** 2).mean()
        for _ in range(40)
    ]
    # What is left is the mean of 50 units cut at 0: a standard error of .06 / sqrt(50) * .4.
    assert np.mean(found) < 0.006


@pytest.mark.parametrize("units", [5, 90])
def test_noise_has_the_covariance_shrunk_to_its_diagonal(units):
    """The closed form: weight I + (1 - weight) Z'Z / d, in units of the noise."""
    rng = np.random.default_rng(1)
    twins = Twins.of(
        recording_of(rng.standard_normal((12, 3, units)) + rng.standard_normal((12, 3, 1)))
    )
    (subject,) = twins.subjects
    drawn = subject.draw(40_000, rng)
    expected = (1 - subject.weight) * subject.root.T @ subject.root + subject.weight * np.eye(units)
    expected *= np.outer(subject.noise_sd, subject.noise_sd)
    np.testing.assert_allclose(drawn.T @ drawn / len(drawn), expected, atol=0.12)
    assert 0 < subject.weight < 1
    np.testing.assert_allclose(np.diagonal(subject.root.T @ subject.root), 1)


def test_twins_keep_trials_that_were_not_observed():
    recording = noisy(repeats=3)
    recording.responses[5, 3] = np.nan
    recording = replace(
        recording,
        responses=recording.responses[:-1],
        trials={k: v[:-1] for k, v in recording.trials.items()},
    )
    twin = Twins.of(recording).simulate(np.eye(N), np.random.default_rng(0))
    np.testing.assert_array_equal(np.isnan(twin.responses), np.isnan(recording.responses))


def test_units_that_miss_a_stimulus_are_left_out():
    recording = noisy(repeats=1)
    recording.responses[3, 7] = np.nan
    twins = Twins.of(recording, reliability=0.5)
    assert "7" not in twins.recording.units["unit"]
    assert len(twins.recording.units["unit"]) == 39


def test_without_repeats_the_noise_is_assumed_or_from_standard_errors_or_refused():
    recording = noisy(repeats=1)
    with pytest.raises(RepbiasError, match=r"expected recovery\.reliability"):
        Twins.of(recording)
    np.testing.assert_allclose(Twins.of(recording, 0.3).reliability, 0.3)
    errors = replace(recording, standard_errors=np.full(recording.responses.shape, 0.5))
    twins = Twins.of(errors)
    np.testing.assert_allclose(np.concatenate([s.noise_sd for s in twins.subjects]), 0.5)


def test_rdm_twins_have_the_variances_within_and_between_subjects():
    rng = np.random.default_rng(2)
    n_pairs = N * (N - 1) // 2
    common = rng.standard_normal(n_pairs)
    rdms = 3 + 0.5 * common + rng.standard_normal((6, n_pairs))
    recording = Recording(
        stimuli={"stimulus_id": np.array([f"s{i}" for i in range(N)])},
        rdms=rdms,
        rdm_info={"subject": np.array([f"subject{i}" for i in range(6)])},
    )
    twins = RdmTwins.of(recording)
    assert twins.signal_sd == pytest.approx(0.5, abs=0.06)
    found = np.mean([np.cov(twins.simulate(common, rng)) for _ in range(30)], axis=0)
    assert np.diagonal(found).mean() == pytest.approx(1.25, abs=0.06)
    assert found[~np.eye(6, dtype=bool)].mean() == pytest.approx(twins.signal_sd**2, abs=0.02)


# Scores.


@pytest.mark.parametrize("width", [6, 60])
def test_ridge_in_closed_form_is_scikit_learns(width):
    """Of one penalty; of several, that of generalised cross-validation, by its definition."""
    rng = np.random.default_rng(3)
    folds = StimulusGroups.alone(N).folds(4, 0)
    x = rng.standard_normal((N, width)) + 1
    y = rng.standard_normal((N, 3)) + x[:, :3] * np.array([0, 1, 4])
    grid = np.array([0.5, 5.0, 50.0])
    expected, chosen = np.zeros((3, 3)), np.zeros(3)
    for train, test in folds:
        n, criterion = len(train), np.empty((3, 3))
        errors = np.empty((3, 3))
        for i, alpha in enumerate(grid):
            fit = SklearnRidge(alpha=alpha).fit(x[train], y[train])
            errors[i] = ((y[test] - fit.predict(x[test])) ** 2).sum(axis=0)
            hat = SklearnRidge(alpha=alpha).fit(x[train], np.eye(n)).predict(x[train]).T
            residual = y[train] - fit.predict(x[train])
            criterion[i] = (residual**2).sum(axis=0) / (1 - np.trace(hat) / n) ** 2
        expected += errors
        chosen += errors[criterion.argmin(axis=0), range(3)]
    for i, alpha in enumerate(grid):
        one = Ridge(x, folds, np.array([alpha]))
        np.testing.assert_allclose(one.errors(y), expected[i])
    np.testing.assert_allclose(Ridge(x, folds, grid).errors(y), chosen)


def test_scores_are_those_of_the_study():
    """RSA and Procrustes as elsewhere; CKA as the audit's, up to a factor of the brain."""
    features = features_of(0, 2)
    candidates = candidates_of(a=features, b=features_of(1, 2))
    recording = noisy()
    scorer = Scorer(
        candidates, StimulusGroups.alone(N), ["rsa", "cka", "procrustes"], GEOMETRY, ENCODING
    )
    scores = scorer.scores([recording])
    rdms = subject_rdms(recording, GEOMETRY, "brain").dissimilarities
    expected = [np.mean([np.corrcoef(m, r)[0, 1] for r in rdms]) for m in candidates.rdms]
    np.testing.assert_allclose(scores["rsa"][0], expected)

    design = Design.of_none(N)
    brain = Brain.of(Side.of_subjects(subject_kernels(recording, GEOMETRY, 0)), design)
    audited = np.array([divide(kernel_of(v), brain).score for v in candidates.rdms])
    ratio = scores["cka"][0] / audited
    np.testing.assert_allclose(ratio, ratio[0])

    means = recording.responses.reshape(N, 4, -1).mean(axis=1)
    first = recording.units["subject"] == "subject1"
    metric = METRICS["procrustes"]
    layer = metric.factors(features[0, 0])
    expected = np.mean(
        [metric.compare(layer, metric.factors(means[:, s])) for s in (first, ~first)]
    )
    # Of the components that hold 99 % of the layer's variance.
    assert scores["procrustes"][0, 0] == pytest.approx(expected, abs=0.005)


# Names.


def test_ties_are_divided_and_nothing_finite_is_no_name():
    merits = np.array([[1.0, 1.0 + 1e-13, 0.5], [-np.inf, -np.inf, -np.inf], [0.0, -1.0, 2.0]])
    np.testing.assert_array_equal(named(merits), [[0.5, 0.5, 0], [0, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize("k", [0, 3, 10])
def test_intervals_are_scipys_exact_ones(k):
    low, high = interval(np.array([k / 10]), 10)
    expected = binomtest(k, 10).proportion_ci(method="exact")
    np.testing.assert_allclose([low[0], high[0]], [expected.low, expected.high], atol=1e-12)


def test_a_brain_is_never_scored_by_its_own_network_unless_there_is_no_other():
    candidates = candidates_of(a=features_of(0, 3), b=features_of(1, 1))
    seen = set()
    for brain in range(12):
        of_a, of_b = scored_networks(candidates, brain, 0, brain % 3)
        assert of_a != brain % 3 and of_b == 0
        seen.add((brain % 3, of_a))
        assert scored_networks(candidates, brain, 1, 0)[1] == 0
    assert seen == {(g, s) for g in range(3) for s in range(3) if g != s}


def test_a_score_that_is_missing_is_never_the_best():
    scores = np.array([[np.nan, -3.0]])
    merits = merits_by_score(scores, [[np.array([0]), np.array([1])]])
    np.testing.assert_array_equal(named(merits.models), [[0, 1]])


def test_without_noise_every_measure_names_the_right_model_and_profiles_the_right_layer():
    candidates = candidates_of(**{name: features_of(i, 3) for i, name in enumerate("abc")})
    table = simulated_table(Twins.of(noisy(noise=0, units=200)), candidates)
    for measure in MEASURES:
        for how in ("argmax", "matched"):
            np.testing.assert_array_equal(confusion(table, "model", how, measure), np.eye(3))
        matched = confusion(table, "layer", "matched", measure)
        assert np.nanmin(np.diagonal(matched)) == 1
    assert not table["optimistic"].any()
    assert indistinct(table[(table["level"] == "model") & table["simulated"]].head(9)) == []


@pytest.mark.slow
@pytest.mark.parametrize("how", ["argmax", "matched"])
def test_pure_noise_is_named_at_chance(how):
    candidates = candidates_of(**{name: features_of(i, 3) for i, name in enumerate("abc")})
    measures = ["rsa", "cka", "encoding"]
    table = simulated_table(without_signal(Twins.of(noisy(units=12))), candidates, measures, n=40)
    for measure in measures:
        right = np.diagonal(confusion(table, "model", how, measure))
        assert binomtest(round(right.sum() * 80), 240, 1 / 3).pvalue > 0.001


def test_a_model_that_is_there_twice_cannot_be_told_from_itself():
    once = features_of(0, 3)
    candidates = candidates_of(a=once, again=once, other=features_of(1, 3))
    table = simulated_table(Twins.of(noisy(noise=0.3, units=60)), candidates, ["rsa"])
    rows = table[(table["level"] == "model") & (table["how"] == "argmax") & table["simulated"]]
    found = rows.set_index(["true_condition", "named_condition"])
    # The brain's own network is not scored for the model that it is of, but is for its double.
    assert 0.5 <= found.loc[("a", "again"), "preferred"] <= 1
    assert found.loc[("other", "other"), "probability"] == 1
    ((models, low, high),) = indistinct(rows)
    assert models == ["a", "again"] and low == high < 0.8
    (sentence,) = sentences(table)
    assert "these two models (a, again) cannot be told apart by this recording" in sentence


def test_the_same_file_twice_as_models_of_a_user_gives_ties():
    once = features_of(0, 1)
    candidates = candidates_of(a=once, again=once, other=features_of(1, 1))
    table = simulated_table(Twins.of(noisy(noise=0.3, units=60)), candidates)
    for measure in MEASURES:
        found = confusion(table, "model", "argmax", measure)
        np.testing.assert_array_equal(found, [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])
    assert table["optimistic"].all()


def test_more_noise_makes_names_worse():
    candidates = candidates_of(
        **{
            name: features_of(7, 3, 0) * [[[1]], [[1]]] + features_of(i, 3)
            for i, name in enumerate("ab")
        }
    )
    right = []
    for noise in (0.5, 8, 60):
        table = simulated_table(Twins.of(noisy(noise=noise, units=20)), candidates, ["rsa"], n=30)
        right.append(np.diagonal(confusion(table, "model", "argmax", "rsa")).mean())
    assert right[0] > right[1] > right[2]


def test_rdms_alone_name_the_right_model_where_subjects_agree():
    candidates = candidates_of(a=features_of(0, 3), b=features_of(1, 3))
    rng = np.random.default_rng(0)
    ids = np.array([f"s{i}" for i in range(N)])
    subjects = np.array([f"subject{i}" for i in range(5)])
    rdms = candidates.rdms[0] + 0.1 * rng.standard_normal((5, candidates.rdms.shape[1]))
    recording = Recording({"stimulus_id": ids}, rdms=rdms, rdm_info={"subject": subjects})
    twins = RdmTwins.of(recording)
    for of_brain, share in ((twins, 1), (replace(twins, signal_sd=0.0), 0.5)):
        simulated = simulate_rdms(of_brain, candidates, GEOMETRY, 20, 0)
        table = rows_as_table(
            "recovery", list(_rows(simulated, "rsa", simulated.scores["rsa"][0], {}))
        )
        right = np.diagonal(confusion(table, "model", "argmax", "rsa"))
        assert binomtest(round(right.sum() * 40), 80, share).pvalue > 0.001


def test_profiles_name_layers_that_the_highest_score_does_not():
    """A layer that holds all of the next one predicts it as well as itself."""
    rng = np.random.default_rng(4)
    low = rng.standard_normal((3, N, 20)) * 0.1 + rng.standard_normal((N, 20)) * np.array(
        [1] * 4 + [0.3] * 16
    )
    high = low * np.array([1] * 4 + [0.05] * 16)
    candidates = candidates_of(a=np.stack([low, high], axis=1))
    table = simulated_table(Twins.of(noisy(noise=0.5)), candidates, ["encoding"], n=30)
    argmax = np.diagonal(confusion(table, "layer", "argmax", "encoding"))
    matched = np.diagonal(confusion(table, "layer", "matched", "encoding"))
    assert matched.mean() > argmax.mean() and matched.min() > 0.8


# The table.


@pytest.fixture
def study(tmp_path):
    """RDMs and activations of two conditions with three networks each, and a brain of one."""
    rng = np.random.default_rng(0)
    ids = np.array([f"s{i:03d}" for i in range(N)])
    rdms, activations = {}, {}
    for i, name in enumerate("ab"):
        features = features_of(i, 4).astype(np.float32)
        networks = {
            "network": np.array([f"seed{k}" for k in range(4)]),
            "seed": np.arange(4),
            "snapshot": np.full(4, "final"),
            "step": np.full(4, 10),
            "included": np.array([True, True, True, False]),
        }
        path = tmp_path / f"{name}.h5"
        layers = {"hidden1": 12, "hidden2": 12}
        with write_activations(path, ids, networks, layers) as file:
            for k, layer in enumerate(layers):
                file[layer][...] = features[:, k]
        activations[name] = Activations.open(path)
        info = {key: np.repeat(values, 2) for key, values in networks.items()}
        vectors = np.stack([pdist(x, "correlation") for f in features for x in f])
        rdms[name] = make_rdms(vectors, ids, "correlation", info | {"layer": [*layers] * 4})
    signal = features_of(0, 4)[0, 1] @ rng.standard_normal((12, 30))
    recording = recording_of(signal[:, None] + 2 * rng.standard_normal((N, 3, 30)), 2)
    return recording, rdms, activations


def test_recovery_of_a_study(study):
    recording, rdms, activations = study
    spec = Recovery(simulations=3)
    table = recover("brain", recording, "tasks", rdms, activations, GEOMETRY, ENCODING, spec)
    assert set(table["measure"]) == set(MEASURES) and (table["warning"] == "").all()
    simulated = table[table["simulated"]]
    # Whatever a brain is, it is named something, and intervals hold what they are about.
    keys = ["measure", "how", "level", "true_condition", "true_layer"]
    np.testing.assert_allclose(simulated.groupby(keys)["probability"].sum(), 1)
    assert (simulated["ci_low"] <= simulated["probability"]).all()
    assert (simulated["ci_high"] >= simulated["probability"]).all()
    assert set(simulated["n"]) == {3, 6}
    real = table[~table["simulated"] & (table["level"] == "model")]
    assert set(real.loc[real["probability"] == 1, "named_condition"]) == {"a"}
    # The excluded network takes no part, so that comparisons are three.
    assert set(real["n"]) == {3}
    again = recover("brain", recording, "tasks", rdms, activations, GEOMETRY, ENCODING, spec)
    pd.testing.assert_frame_equal(table, again)


def test_a_simulated_recording_is_not_compared_with_its_own_network(study):
    recording, rdms, activations = study
    info = {"kind": "simulated", "source": "tasks/a", "layer": "hidden2", "seed_of_network": 0}
    spec = Recovery(simulations=2, measures=["rsa"])
    candidates = Candidates.of(
        "brain", replace(recording, info=info), "tasks", rdms, activations, spec
    )
    assert [at.shape for at in candidates.at] == [(2, 2), (3, 2)]
    table = recover(
        "brain", replace(recording, info=info), "tasks", rdms, activations, GEOMETRY, ENCODING, spec
    )
    real = table[~table["simulated"] & (table["level"] == "model")]
    assert set(real["true_condition"]) == {"a"}
    (sentence,) = sentences(table)
    assert "It is named a, which it is, in 100 % of comparisons" in sentence


def test_what_is_not_available_is_said(study):
    recording, rdms, activations = study
    of_means = recording_of(recording.responses.reshape(N, 3, -1).mean(axis=1, keepdims=True), 2)
    spec = Recovery(simulations=2)
    (row,) = recover(
        "brain", of_means, "tasks", rdms, activations, GEOMETRY, ENCODING, spec
    ).itertuples()
    assert "without repeats or standard errors the noise is not known" in row.warning

    subjects = subject_rdms(recording, GEOMETRY, "brain")
    of_rdms = Recording(
        recording.stimuli,
        rdms=subjects.dissimilarities,
        rdm_info={"subject": np.array(subjects.rdm_descriptors["subject"])},
    )
    table = recover("brain", of_rdms, "tasks", rdms, {}, GEOMETRY, ENCODING, spec)
    missing = table[table["warning"] != ""]
    assert list(missing["measure"]) == MEASURES[1:]
    assert set(missing["warning"]) == {"unavailable: the recording has RDMs only"}
    assert set(table.loc[table["warning"] == "", "measure"]) == {"rsa"}

    small = Recovery(simulations=2, max_memory_mb=100)
    with pytest.raises(RepbiasError, match=r"lower recovery\.networks"):
        _refuse_large(2000, 12, True, small)


# Shares.


@pytest.mark.slow
@pytest.mark.parametrize("subjects", [2, 4])
def test_intervals_of_shares_hold_the_true_shares_at_the_noise_of_the_recording(subjects):
    """Of these subjects with two, of others like them with four, in 95 % of brains."""
    rng = np.random.default_rng(0)
    labels = np.tile(["a", "b"], N // 2)
    code = np.where(labels == "a", 2.0, -2.0)[:, None]
    layer = np.hstack([code, rng.standard_normal((N, 6))])
    known = Known.of({"kind": labels}, Audit())
    root, kernel = root_of(gram(layer)), kernel_of(pdist(layer, "sqeuclidean"))
    geometry = Geometry(recording_distance="euclidean")
    twins = Twins.of(noisy(noise=1.5, units=10 * subjects, subjects=subjects))
    found = list(shares_of_brains(twins, root, kernel, known, geometry, 80, rng))
    true, _, low, high = (np.array([f[i] for f in found]) for i in range(4))
    assert {f[4] for f in found} == {THESE_SUBJECTS if subjects == 2 else NEW_SUBJECTS}
    covered = ((low <= true) & (true <= high)).sum(axis=0)
    for count in covered:
        assert binomtest(count, 80, 0.95).pvalue > 0.001
    np.testing.assert_allclose(true.sum(axis=1), 1)


def test_without_noise_shares_are_the_true_ones():
    rng = np.random.default_rng(0)
    labels = np.tile(["a", "b"], N // 2)
    layer = np.hstack([np.where(labels == "a", 2.0, -2.0)[:, None], rng.standard_normal((N, 6))])
    known = Known.of({"kind": labels}, Audit())
    twins = Twins.of(noisy(noise=0))
    for true, shares, *_ in shares_of_brains(
        twins, root_of(gram(layer)), kernel_of(pdist(layer)), known, GEOMETRY, 2, rng
    ):
        np.testing.assert_allclose(shares, true)


def test_shares_of_a_study(study):
    recording, rdms, activations = study
    recording.stimuli["kind"] = np.tile(["a", "b"], N // 2)
    settings = (activations, {"a": "hidden2", "b": "hidden1"}, {})
    table = recover_shares(
        "brain", recording, "tasks", rdms, *settings, GEOMETRY, Audit(), Recovery(shares=4)
    )
    assert list(table["condition"]) == ["a", "a", "b", "b"]
    assert list(table["layer"]) == ["hidden2", "hidden2", "hidden1", "hidden1"]
    assert list(table["feature"]) == ["kind", "rest"] * 2 and set(table["n"]) == {4}
    np.testing.assert_allclose(table.groupby("condition")["share"].sum(), 1)
    assert (table["error"] > 0).all()
    (row,) = recover_shares(
        "brain", recording, "tasks", rdms, *settings, Geometry(recording_distance="crossnobis"),
        Audit(), Recovery(shares=4),
    ).itertuples()  # fmt: skip
    assert "without noise there is no crossnobis distance" in row.warning
