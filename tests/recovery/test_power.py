"""Planned recordings: what they are simulated by, and how often the right model is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made import N, candidates_of, features_of, recording_of
from scipy.spatial.distance import pdist

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.encoding.ridge import gram
from repbias.encoding.spec import Encoding
from repbias.geometry.spec import Geometry
from repbias.recovery.power import MOST_RESPONSES, Planned, planned_twins, power, refuse_large
from repbias.recovery.twins import SubjectNoise, Twins

GEOMETRY, ENCODING = Geometry(), Encoding(n_alphas=5)
PLAN = Planned(stimuli=N, repeats=2, subjects=2, units=15, reliability=0.3)
IDS = np.arange(N).astype(str)


def named_right(models: dict, planned: Planned, n: int = 20, measures=("rsa",), **settings):
    """Table of power, and the share of brains of each model for which it is named, by measure."""
    table = power(
        candidates_of(**models),
        planned,
        StimulusGroups.alone(N),
        measures,
        GEOMETRY,
        ENCODING,
        n,
        **settings,
    )
    of_all = table[(table["true_layer"] == "") & (table["other_condition"] == "")]
    return table, of_all.set_index(["measure", "true_condition"])["right"]


def test_a_planned_recording_has_the_reliability_that_was_planned():
    """Correlation of the single trials of a stimulus, over stimuli (400 units)."""
    planned = Planned(N, 3, 2, 200, 0.3)
    rng = np.random.default_rng(0)
    twins = planned_twins(planned, IDS, rng)
    responses = twins.simulate(rng.standard_normal((N, 30)), rng).responses
    trials = responses.reshape(N, 3, 400)
    signal = [np.cov(trials[:, 0, u], trials[:, 1, u])[0, 1] for u in range(400)]
    assert np.mean(signal) / trials.var(axis=0, ddof=1).mean() == pytest.approx(0.3, abs=0.02)
    noise = trials - trials.mean(axis=1, keepdims=True)
    correlation = np.corrcoef(noise.reshape(-1, 400).T)[np.triu_indices(400, 1)]
    assert abs(correlation.mean()) < 0.005


def test_the_right_model_is_named_as_often_as_by_hand():
    """Brains, RDMs and their correlations with NumPy and SciPy alone; standard error .03."""
    models = {name: features_of(seed, 2, 1.0) for seed, name in enumerate("ab")}
    planned = Planned(N, 2, 1, 8, 0.15)
    _, found = named_right(models, planned, 100)
    rng = np.random.default_rng(1)
    rdms = {
        m: [[pdist(x, "correlation") for x in network] for network in f] for m, f in models.items()
    }
    for name, networks in models.items():
        right = []
        for i in range(300):
            of, by = (i % 2, 1 - i % 2)
            signal = networks[of, i % 4 // 2] @ rng.standard_normal((12, 8))
            signal *= np.sqrt(0.15) / signal.std(axis=0, ddof=1)
            trials = signal + np.sqrt(0.85) * rng.standard_normal((2, N, 8))
            brain = pdist(trials.mean(axis=0), "correlation")
            best = {
                m: max(np.corrcoef(brain, rdm)[0, 1] for rdm in rdms[m][by if m == name else i % 2])
                for m in models
            }
            right.append(best[name] == max(best.values()))
        assert 0.55 < np.mean(right) < 0.95
        assert found["rsa", name] == pytest.approx(np.mean(right), abs=0.12)


def test_without_noise_the_right_model_is_named_and_a_copy_in_half_of_cases():
    models = {"a": features_of(0, 2), "b": features_of(1, 2)}
    silent = Planned(N, 1, 1, 60, 1.0)
    table, right = named_right(models, silent, 4, ("rsa", "cka", "encoding"))
    assert (right == 1).all() and len(right) == 6
    assert (table.loc[table["other_condition"] != "", "right"] == 1).all()
    one = features_of(0, 1).repeat(2, axis=0)
    table, right = named_right({"a": one, "same": one}, silent, 4)
    assert right["rsa", "a"] == right["rsa", "same"] == 0.5
    assert set(table.loc[table["other_condition"] == "same", "right"]) == {0.5}


def test_rows_are_of_every_layer_and_every_other_model():
    models = {"a": features_of(0, 3), "b": features_of(1, 1), "c": features_of(2, 2)}
    table, _ = named_right(models, PLAN, 5)
    assert len(table) == 3 * 3 * 3  # true models, layers or all, others or all
    assert set(table["n"]) == {5, 10}
    assert (table["ci_low"] <= table["right"]).all() and (table["right"] <= table["ci_high"]).all()
    assert set(table.loc[table["optimistic"], "true_condition"]) == {"b"}
    assert set(table["reliability"]) == {0.3}
    again, _ = named_right(models, PLAN, 5)
    assert table.equals(again)


@pytest.mark.slow
def test_less_noise_more_repeats_and_more_stimuli_name_more_models_right():
    """And more subjects and units; standard error .036."""
    models = {name: features_of(seed, 2, 0.5) for seed, name in enumerate("abc")}
    for worse, better in (
        ({"stimuli": 10, "reliability": 0.5}, {"stimuli": 40, "reliability": 0.5}),
        ({}, {"repeats": 30}),
        ({}, {"subjects": 20}),
        ({}, {"units": 60}),
        ({}, {"reliability": 0.8}),
    ):
        plans = (replace(Planned(20, 2, 1, 5, 0.05), **other) for other in (worse, better))
        few, many = (named_right(models, planned, 30)[1].mean() for planned in plans)
        assert many > few + 0.07, better


def test_stimuli_of_one_group_are_refused():
    groups = StimulusGroups.of(np.r_[np.zeros(N - 4), np.arange(1, 5)], "category")
    models = candidates_of(a=features_of(0, 1), b=features_of(1, 1))
    with pytest.raises(RepbiasError, match="10 stimuli of one category"):
        power(models, replace(PLAN, stimuli=10), groups, ["rsa"], GEOMETRY, ENCODING, 20)


def test_every_network_is_simulated_however_few_brains_are_left():
    """One brain of a layer at a time: of eight, some are of the network that differs."""
    a, b = features_of(0, 4), features_of(1, 4)
    a[3] = features_of(2, 1)[0]
    silent = Planned(N, 1, 1, 60, 1.0)
    right = [
        named_right({"a": a, "b": b}, silent, 1, seed=seed)[1]["rsa", "a"] for seed in range(8)
    ]
    assert 0 < np.mean(right) < 1


@pytest.mark.slow
def test_intervals_are_not_much_too_narrow_as_brains_share_stimuli():
    """Variance over 16 repetitions, in that of independent brains: 2.0 (twenty in a draw: 4.9)."""
    models = {name: features_of(seed, 2, 1.0) for seed, name in enumerate("ab")}
    few = Planned(10, 4, 1, 30, 0.5)
    right = np.array([named_right(models, few, 100, seed=i)[1].to_numpy() for i in range(16)])
    independent = right.mean(axis=0) * (1 - right.mean(axis=0)) / 200
    assert (right.var(axis=0, ddof=1) / independent).mean() < 3


def test_candidates_of_some_stimuli_are_those_of_their_patterns():
    features = features_of(0, 2)
    rows = np.array([1, 4, 5, 20, 33])
    part = candidates_of(a=features).of_stimuli(rows)
    direct = candidates_of(a=features[:, :, rows])
    np.testing.assert_allclose(part.rdms, direct.rdms)
    for root, x in zip(part.roots, features.reshape(-1, N, 12), strict=True):
        np.testing.assert_allclose(root @ root.T, gram(x[rows]), atol=1e-12)


def test_a_pilot_gives_its_units_and_their_noise():
    rng = np.random.default_rng(3)
    common = rng.standard_normal((N, 6, 1))
    noise = np.sqrt(0.5) * (common + rng.standard_normal((N, 6, 30))) * np.arange(1, 31)
    pilot = Twins.of(recording_of(3 * rng.standard_normal((N, 1, 30)) + noise, subjects=2))
    twins = planned_twins(Planned(N, 4, 5, 10, np.nan), IDS, rng, pilot)
    assert len(twins.subjects) == 5 and twins.recording.responses.shape == (4 * N, 50)
    known = {
        (float(s), float(n))
        for of_pilot in pilot.subjects
        for s, n in zip(of_pilot.signal_sd, of_pilot.noise_sd, strict=True)
    }
    drawn = np.vstack([s.draw(20_000, rng).T for s in twins.subjects])
    for i, subject in enumerate(twins.subjects):
        pairs = list(zip(subject.signal_sd, subject.noise_sd, strict=True))
        assert {(float(s), float(n)) for s, n in pairs} <= known
        assert len(set(pairs)) == 10  # each unit once
        part = drawn[10 * i : 10 * (i + 1)]
        np.testing.assert_allclose(part.std(axis=1), subject.noise_sd, rtol=0.05)
        # Half of the noise is shared; its correlation is shrunk a little.
        assert 0.35 < np.corrcoef(part)[np.triu_indices(10, 1)].mean() < 0.55
    with pytest.raises(RepbiasError, match="no subject of the pilot has 16 units"):
        planned_twins(Planned(N, 4, 5, 16, np.nan), IDS, rng, pilot)


def test_subjects_of_a_pilot_that_have_as_many_units_are_drawn():
    rng = np.random.default_rng(3)
    small, large = (
        SubjectNoise(np.arange(n), *np.ones((2, n)) * n, np.zeros((0, n)), 1.0) for n in (4, 30)
    )
    pilot = Twins(recording_of(np.zeros((N, 1, 34))), np.arange(N), (small, large))
    for units, sizes in ((4, {4, 30}), (20, {30})):
        drawn = planned_twins(Planned(N, 2, 20, units, np.nan), IDS, rng, pilot).subjects
        assert {int(subject.signal_sd[0]) for subject in drawn} == sizes


def test_recordings_too_large_to_simulate_are_refused():
    units = MOST_RESPONSES // (N * 10_000)
    refuse_large(Planned(N, 100, 100, units, 0.3), 1)
    for n_units, n_simulations in ((units + 1, 1), (units // 4 + 1, 100)):
        with pytest.raises(RepbiasError, match=r"40 stimuli x 100 repeats x 100 subjects"):
            refuse_large(Planned(N, 100, 100, n_units, 0.3), n_simulations)
