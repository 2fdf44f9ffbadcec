"""The table of similarities between networks against the measures themselves."""

from __future__ import annotations

import logging
from itertools import combinations, permutations, product

import numpy as np
import pytest

from repbias.geometry.similarity import METRICS
from repbias.geometry.spec import Similarity
from repbias.rsa.network_similarity import similarity_table
from repbias.tables import TABLES, read_table, write_table

IDS = [f"s{i:02d}" for i in range(20)]
NETWORKS = [(0, "initial"), (1, "initial"), (0, "final"), (1, "final"), (2, "final")]
LAYERS = {"easy": "hidden2", "hard": "hidden1"}


def similarity(name, x, y):
    metric = METRICS[name]
    return metric.compare(metric.factors(x), metric.factors(y))


@pytest.fixture
def conditions(make_activations):
    """Two conditions of the same stimuli; the second one's file has them in reverse order."""
    rng = np.random.default_rng(0)
    result = {}
    for name, ids in (("easy", IDS), ("hard", IDS[:16][::-1] + IDS[16:])):
        layers = {"hidden1": rng.normal(size=(5, 20, 6)), "hidden2": rng.normal(size=(5, 20, 4))}
        result[name] = make_activations(layers, ids, NETWORKS, name)
    result["hard"].networks["included"][4] = False
    return result


def test_every_pair_of_a_snapshot_is_compared(conditions, tmp_path):
    spec = Similarity(metrics=["nbs", "ridge"], n_stimuli=16, permutations=3)
    table = similarity_table("tasks", conditions, LAYERS, spec)
    write_table(tmp_path / "similarity.csv", "similarity", table)
    table = read_table(tmp_path / "similarity.csv", "similarity")
    assert tuple(table.columns) == TABLES["similarity"].columns
    assert set(table["n_stimuli"]) == {16}
    assert set(table["experiment"]) == {"tasks"}
    patterns = {}
    for name, activations in conditions.items():
        order = np.argsort(activations.stimulus_ids[:16])
        for row, (seed, snapshot) in enumerate(NETWORKS):
            patterns[name, seed, snapshot] = activations.read(LAYERS[name], row)[:16][order]
    found = {}
    for row in table.itertuples():
        a, b = ((row.condition_a, row.seed_a), (row.condition_b, row.seed_b))
        assert (row.metric, row.snapshot, a, b) not in found, "compared twice"
        found[row.metric, row.snapshot, a, b] = row.similarity
        assert (row.layer_a, row.layer_b) == (LAYERS[row.condition_a], LAYERS[row.condition_b])
        assert row.included_b == (b != ("hard", 2))
        assert row.step_a == (0 if row.snapshot == "initial" else 100)
        expected = similarity(row.metric, patterns[*a, row.snapshot], patterns[*b, row.snapshot])
        np.testing.assert_allclose(row.similarity, expected, rtol=1e-6)
    for snapshot, per_condition in (("initial", 2), ("final", 3)):
        networks = list(product(("easy", "hard"), range(per_condition)))
        for metric, pairs in (("nbs", combinations), ("ridge", permutations)):
            of_metric = {(a, b) for m, s, a, b in found if (m, s) == (metric, snapshot)}
            assert of_metric == set(pairs(networks, 2))


@pytest.mark.parametrize("name", ["cka", "rsa_reweighted"])
def test_the_null_is_of_permuted_stimuli(conditions, name):
    spec = Similarity(metrics=[name], permutations=7, seed=3)
    table = similarity_table("tasks", {"easy": conditions["easy"]}, LAYERS, spec)
    rng = np.random.default_rng(3)
    x, y = (conditions["easy"].read("hidden2", row) for row in (0, 1))
    null = [similarity(name, x, y[rng.permutation(20)]) for _ in range(7)]
    first = table[table["snapshot"] == "initial"].iloc[0]
    np.testing.assert_allclose(first["null_mean"], np.mean(null), rtol=1e-9)
    np.testing.assert_allclose(first["null_high"], np.percentile(null, 95), rtol=1e-9)


def test_without_permutations_there_is_no_null(conditions):
    spec = Similarity(metrics=["cka"], permutations=0)
    table = similarity_table("tasks", conditions, LAYERS, spec)
    assert table["similarity"].notna().all()
    assert table[["null_mean", "null_high"]].isna().all(axis=None)


def test_conditions_of_other_stimuli_are_compared_among_themselves(make_activations):
    rng = np.random.default_rng(0)
    conditions = {
        name: make_activations(
            {"hidden1": rng.normal(size=(2, 12, 4))}, [f"{stem}{i}" for i in range(12)], name=name
        )
        for name, stem in (("a", "s"), ("b", "s"), ("c", "other"))
    }
    layers = dict.fromkeys(conditions, "hidden1")
    table = similarity_table("tasks", conditions, layers, Similarity(metrics=["cka"]))
    pairs = set(zip(table["condition_a"], table["condition_b"], strict=True))
    assert pairs == {("a", "a"), ("a", "b"), ("b", "b"), ("c", "c")}


def test_a_network_without_a_defined_measure_is_left_out(make_activations, caplog):
    values = np.random.default_rng(0).normal(size=(3, 12, 4))
    values[0, 5] = 1  # a constant pattern
    values[1, 0, 0] = np.inf
    activations = make_activations({"hidden1": values}, IDS[:12])
    spec = Similarity(metrics=["rsa", "cka"])
    with caplog.at_level(logging.WARNING):
        table = similarity_table("tasks", {"a": activations}, {"a": "hidden1"}, spec)
    assert list(table["metric"]) == ["cka"]
    assert list(table[["seed_a", "seed_b"]].iloc[0]) == [0, 2]
    assert "a, seed0 (final): left out of RSA (correlation): 1 of 12 patterns" in caplog.text
    assert "a, seed1 (final): left out of CKA: 1 patterns are not finite" in caplog.text


def test_the_table_may_be_empty():
    table = similarity_table("tasks", {}, {}, Similarity())
    assert tuple(table.columns) == TABLES["similarity"].columns
    assert table.empty
