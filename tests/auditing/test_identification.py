"""Identification of noisy networks: exact probabilities, and cases whose outcome is known."""

from __future__ import annotations

import logging
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from repbias.auditing.identification import (
    identification_table,
    measured_twice,
    preference_of,
    top1_probability,
    with_noise,
)
from repbias.base.spec import RepbiasError
from repbias.geometry.similarity import METRICS
from repbias.geometry.spec import Identification
from repbias.tables import TABLES, read_table, write_table

IDS = [f"s{i:02d}" for i in range(24)]
SEEDS = range(4)
ROWS = [(seed, snapshot) for snapshot in ("initial", "final") for seed in SEEDS]
NAMES = ["tasks/easy", "tasks/both"]
LAYERS = dict.fromkeys(NAMES, "hidden1")


def of_all(table):
    """Rows of all candidates."""
    return table[table["left_out"] == -1]


few = st.lists(st.integers(0, 3).map(float), min_size=1, max_size=4).map(np.array)


@given(own=few, others=st.lists(few, min_size=1, max_size=3))
def test_top1_is_that_of_all_draws(own, others):
    wins = []
    for draw in product(own, *others):
        best = max(draw)
        wins.append(draw.count(best) ** -1 if draw[0] == best else 0)
    np.testing.assert_allclose(top1_probability(own, others), np.mean(wins), rtol=1e-12)


@given(own=few, others=st.lists(few, min_size=1, max_size=3))
def test_the_strongest_distractor_is_the_most_similar_on_average(own, others):
    named = {str(i): values for i, values in enumerate(others)}
    found = preference_of(own, named)
    assert named[found.strongest].mean() == max(values.mean() for values in others)
    pairs = product(own, named[found.strongest])
    beats = np.mean([(a > b) + (a == b) / 2 for a, b in pairs])
    np.testing.assert_allclose(found.beats_strongest, beats)
    assert found.top1 == top1_probability(own, others)


def test_hopeless_candidates_change_no_preference():
    """Only chance, 1 / number of classes, and with it what top-1 rates mean."""
    own, rival = np.array([0.4, 0.6]), np.array([0.5])
    hopeless = {f"hopeless {i}": np.array([-9.0]) for i in range(5)}
    assert preference_of(own, {"rival": rival}) == (0.5, "rival", 0.5)
    assert preference_of(own, {"rival": rival} | hopeless) == (0.5, "rival", 0.5)


@pytest.mark.parametrize("reliability", [1.0, 0.5, 0.1])
def test_noise_gives_every_unit_the_reliability(reliability):
    """The squared correlation of signal and measurement is the reliability."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(50_000, 3)) * [0.1, 1, 30] + 5
    noisy = with_noise(signal, reliability, rng)
    for unit in range(3):
        r = np.corrcoef(signal[:, unit], noisy[:, unit])[0, 1]
        assert abs(r**2 - reliability) < 0.01
    np.testing.assert_allclose(noisy.var(axis=0), signal.var(axis=0) / reliability, rtol=0.03)


def spec(**changes):
    defaults = {"target": NAMES[1], "candidates": NAMES, "metrics": ["rsa", "cka", "ridge"]}
    return Identification(**defaults | {"untrained": False} | changes)


@pytest.fixture
def make_candidates(make_activations):
    """Conditions whose final representations share a pattern of the condition, up to `spread`."""

    def make(spread, labels=None, own_pattern=True):
        result = {}
        for number, name in enumerate(NAMES):
            rng = np.random.default_rng(number)
            values = spread * rng.normal(size=(len(ROWS), len(IDS), 6))
            if own_pattern:
                values[len(SEEDS) :] += rng.normal(size=(len(IDS), 6))
            file = make_activations({"hidden1": values}, IDS, ROWS, name.replace("/", "_"))
            file.labels.update(labels or {})
            result[name] = file
        return result

    return make


def test_a_class_of_its_own_is_always_named(make_candidates, tmp_path):
    result = identification_table(
        "tasks", NAMES[1], make_candidates(0.01), LAYERS, spec(reliabilities=[1.0, 0.9])
    )
    write_table(tmp_path / "identification.csv", "identification", result)
    table = read_table(tmp_path / "identification.csv", "identification")
    assert tuple(table.columns) == TABLES["identification"].columns
    assert len(of_all(table)) == len(SEEDS) * 3 * 2
    assert len(table) == len(SEEDS) * 3 * 2 * len(SEEDS), "none or one of three others left out"
    assert set(table["seed"]) == set(SEEDS)
    assert set(table["condition"]) == {"both"}
    assert set(table["layer"]) == {"hidden1"}
    assert set(table["snapshot"]) == {"final"}, "no network mastered its targets"
    assert (table["top1"] == 1).all()
    assert (table["chance"] == 0.5).all()


def test_classes_that_do_not_differ_are_named_at_chance(make_candidates):
    table = identification_table(
        "tasks",
        NAMES[1],
        make_candidates(1, own_pattern=False),
        LAYERS,
        spec(untrained=True, metrics=list(METRICS), reliabilities=[1.0, 0.5]),
    )
    assert (table["chance"] == 1 / 3).all()
    assert abs(of_all(table)["top1"].mean() - 1 / 3) < 0.1


def test_noise_makes_it_harder(make_candidates):
    table = identification_table(
        "tasks", NAMES[1], make_candidates(0.5), LAYERS, spec(reliabilities=[1.0, 0.1, 0.01])
    )
    top1 = of_all(table).groupby("reliability_level")["top1"].mean()
    assert top1[1.0] > top1[0.1] > top1[0.01]


@pytest.mark.parametrize("metric", ["cka", "ridge"])
def test_the_probability_is_that_of_the_similarities(make_candidates, metric):
    """With the noise drawn anew from the target's seed, and the candidate as predictor."""
    candidates = make_candidates(1.0)
    table = identification_table(
        "tasks",
        NAMES[1],
        candidates,
        LAYERS,
        spec(metrics=[metric], reliabilities=[0.5], untrained=True, seed=7),
    )
    measure = METRICS[metric]

    def factors(name, seed, snapshot):
        return measure.factors(candidates[name].read("hidden1", ROWS.index((seed, snapshot))))

    for row in of_all(table).itertuples():
        x = candidates[NAMES[1]].read("hidden1", ROWS.index((row.seed, "final"))).astype(float)
        noise = np.random.default_rng([7, row.seed]).standard_normal(x.shape)
        noisy = measure.factors(x + x.std(axis=0) * noise)
        classes = [(NAMES[1], "final"), (NAMES[0], "final"), (NAMES[1], "initial")]
        own, *others = (
            np.array(
                [measure.compare(factors(name, s, snapshot), noisy) for s in SEEDS if s != row.seed]
            )
            for name, snapshot in classes
        )
        wins = [o > max(rest) for o, *rest in product(own, *others)]
        np.testing.assert_allclose(row.top1, np.mean(wins), rtol=1e-9)


@pytest.mark.parametrize("left_out", SEEDS)
def test_a_seed_left_out_is_as_if_it_had_never_been_trained(
    make_candidates, make_activations, left_out
):
    """All classes lose it: the target's own, the other condition's and the untrained one."""
    settings = spec(
        metrics=["rsa", "ridge"], reliabilities=[1.0, 0.3], untrained=True, residualise="shape"
    )
    label = {"shape": np.arange(len(IDS)) % 2}
    candidates = make_candidates(1.0, label)
    table = identification_table("tasks", NAMES[1], candidates, LAYERS, settings)
    without = {}
    for name, activations in candidates.items():
        rows = [i for i, (seed, _) in enumerate(ROWS) if seed != left_out]
        x = np.stack([activations.read("hidden1", i) for i in rows])
        file = f"{name.replace('/', '_')}_without"
        without[name] = make_activations({"hidden1": x}, IDS, [ROWS[i] for i in rows], file)
        without[name].labels.update(label)
    smaller = identification_table("tasks", NAMES[1], without, LAYERS, settings)
    found = table[table["left_out"] == left_out].drop(columns="left_out").reset_index(drop=True)
    expected = of_all(smaller).drop(columns="left_out").reset_index(drop=True)
    assert len(found) == 3 * 3 * 2, "targets, measures, reliabilities"
    assert left_out not in set(found["seed"])
    assert 0 < found["top1"].mean() < 1
    pd.testing.assert_frame_equal(found, expected)


def test_a_seed_is_not_left_out_where_a_class_would_be_empty(make_candidates):
    candidates = make_candidates(0.01)
    candidates[NAMES[0]].networks["included"][4:7] = False  # only seed 3 is left
    table = identification_table("tasks", NAMES[1], candidates, LAYERS, spec(metrics=["cka"]))
    left_out = table.groupby("seed")["left_out"].unique()
    assert {seed: set(seeds) for seed, seeds in left_out.items()} == {
        0: {-1, 1, 2},
        1: {-1, 0, 2},
        2: {-1, 0, 1},
    }


def test_residuals_do_not_see_the_feature(make_candidates):
    """The classes differ in how strongly they represent one feature, and in nothing else."""
    label = np.arange(len(IDS)) % 2
    candidates = make_candidates(1, {"shape": label}, own_pattern=False)
    direction = np.random.default_rng(9).normal(size=6)
    strength = {NAMES[0]: 0, NAMES[1]: 5}
    for name, activations in candidates.items():
        plain = activations.read
        activations.read = lambda layer, row, plain=plain, name=name: (
            plain(layer, row) + strength[name] * label[:, None] * direction
        )
    table = identification_table(
        "tasks",
        NAMES[1],
        candidates,
        LAYERS,
        spec(metrics=["rsa"], residualise="shape", reliabilities=[1.0]),
    )
    top1 = of_all(table).groupby("metric")["top1"].mean()
    assert top1["rsa"] == 1
    assert abs(top1["rsa_residualised"] - 0.5) < 0.3


def test_networks_that_were_not_included_take_no_part(make_candidates):
    candidates = make_candidates(0.01)
    candidates[NAMES[1]].networks["included"][5] = False  # seed 1, final
    candidates[NAMES[0]].networks["included"][4:7] = False
    table = identification_table("tasks", NAMES[1], candidates, LAYERS, spec(metrics=["cka"]))
    # Only seed 3 of the easy condition is included, so the target of seed 3 has no other candidate.
    assert set(table["seed"]) == {0, 2}


def test_a_snapshot_without_a_class_gives_no_rows(make_candidates, caplog):
    candidates = make_candidates(0.01)
    candidates[NAMES[0]].networks["included"][:] = False
    with caplog.at_level(logging.WARNING):
        table = identification_table("tasks", NAMES[1], candidates, LAYERS, spec())
    assert table.empty
    assert tuple(table.columns) == TABLES["identification"].columns
    assert "(final): no rows; there is no network of tasks/easy" in caplog.text


def test_a_candidate_without_a_defined_measure_is_left_out(make_candidates, caplog):
    candidates = make_candidates(0.01)
    plain = candidates[NAMES[0]].read
    candidates[NAMES[0]].read = lambda layer, row: plain(layer, row) * (np.nan if row == 4 else 1)
    with caplog.at_level(logging.WARNING):
        table = identification_table("tasks", NAMES[1], candidates, LAYERS, spec(metrics=["cka"]))
    assert "tasks/easy, seed0: left out of CKA: 24 patterns are not finite" in caplog.text
    assert (table["top1"] == 1).all()


def test_a_target_without_a_defined_measure_is_left_out(make_candidates, caplog):
    candidates = make_candidates(0.01)
    plain = candidates[NAMES[1]].read
    candidates[NAMES[1]].read = lambda layer, row: plain(layer, row) * (np.nan if row == 4 else 1)
    with caplog.at_level(logging.WARNING):
        table = identification_table("tasks", NAMES[1], candidates, LAYERS, spec(metrics=["cka"]))
    assert "tasks/both, seed0 with noise: left out of CKA" in caplog.text
    assert set(table["seed"]) == {1, 2, 3}


def test_candidates_of_other_stimuli_are_refused(make_candidates):
    candidates = make_candidates(0.01)
    candidates[NAMES[0]].stimulus_ids[0] = "new"
    with pytest.raises(RepbiasError, match="tasks/easy was shown other stimuli than the target"):
        identification_table("tasks", NAMES[1], candidates, LAYERS, spec())


def test_stimuli_are_joined_by_id(make_candidates):
    """Reversing one file's stimuli, ids and patterns together, changes nothing."""
    tables = []
    for reverse in (False, True):
        candidates = make_candidates(1)
        if reverse:
            candidates[NAMES[0]].stimulus_ids = candidates[NAMES[0]].stimulus_ids[::-1]
            plain = candidates[NAMES[0]].read
            candidates[NAMES[0]].read = lambda layer, row, plain=plain: plain(layer, row)[::-1]
        tables.append(identification_table("tasks", NAMES[1], candidates, LAYERS, spec()))
    assert tables[0].equals(tables[1])


def test_a_feature_without_labels_is_refused(make_candidates):
    with pytest.raises(RepbiasError, match="no labels of the feature 'shap'; did you mean 'shape'"):
        identification_table(
            "tasks",
            NAMES[1],
            make_candidates(0.01, {"shape": np.zeros(len(IDS))}),
            LAYERS,
            spec(residualise="shap"),
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "tasks/hard"}, "'tasks/hard' must be one of the candidates"),
        ({"candidates": ["tasks/both"]}, "at least 2"),
        ({"candidates": [*NAMES, NAMES[0]]}, "'tasks/easy' occurs twice"),
        ({"reliabilities": [0.0]}, "greater than 0"),
        ({"reliabilities": [1.5]}, "less than or equal to 1"),
        ({"metrics": ["cka", "unknown"]}, "Input should be 'rsa'"),
    ],
)
def test_the_configuration_is_checked(changes, message):
    with pytest.raises(ValidationError, match=message):
        spec(**changes)


@pytest.mark.parametrize("reliability", [0.5, 0.1])
def test_two_measurements_are_independent_and_their_mean_is_one_measurement(reliability):
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(50_000, 3)) * [0.1, 1, 30]
    first, second = measured_twice(signal, reliability, rng)
    mean = (first + second) / 2
    for unit in range(3):
        assert np.corrcoef(signal[:, unit], mean[:, unit])[0, 1] ** 2 == pytest.approx(
            reliability, abs=0.01
        )
        noise = [x[:, unit] - signal[:, unit] for x in (first, second)]
        assert abs(np.corrcoef(*noise)[0, 1]) < 0.02
