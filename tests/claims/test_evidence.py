"""Evidence, verdicts, and the arithmetic of effects and their intervals."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from synthetic import ANALYSED, decided, rsa, table, tables_of

from repbias.base.statistics import Estimate
from repbias.claims.evidence import (
    CLAIMS,
    Evidence,
    Result,
    claim,
    contrast_of_similarities,
    difference_of,
    mean_of,
    result_of,
)


def evidence_of(tables=None, snapshot="final", **n):
    """Evidence with so many networks of each condition of experiment "tasks"."""
    r2 = [
        table("variance_explained", c, [{"feature": "easy", "r2": np.ones(k)}])
        for c, k in n.items()
        if k
    ]
    layers = {f"tasks/{c}": ANALYSED for c in n}
    return Evidence(tables or tables_of(*r2), layers, snapshot)


# Verdicts


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.5, "supported"),
        (-0.5, -0.01, "not supported"),
        (-0.1, 0.5, "inconclusive"),
        (0.0, 0.5, "inconclusive"),
        (-0.5, 0.0, "inconclusive"),
        (np.nan, np.nan, "inconclusive"),
    ],
)
def test_a_directed_claim_needs_an_interval_on_its_side_of_zero(low, high, verdict):
    assert Result((low + high) / 2, low, high, 5, 0).verdict == verdict


@pytest.mark.parametrize(
    ("low", "high", "no_difference", "some_difference"),
    [
        (-0.09, 0.09, "supported", "not supported"),
        (-0.02, 0.05, "supported", "not supported"),
        (0.01, 0.09, "supported", "not supported"),
        (-0.09, -0.01, "supported", "not supported"),
        (0.11, 0.3, "not supported", "supported"),
        (-0.3, -0.11, "not supported", "supported"),
        (0.01, 0.11, "inconclusive", "inconclusive"),
        (-0.11, -0.01, "inconclusive", "inconclusive"),
        (-0.11, 0.05, "inconclusive", "inconclusive"),
        (-0.05, 0.11, "inconclusive", "inconclusive"),
        (-0.5, 0.5, "inconclusive", "inconclusive"),
        (-0.1, 0.1, "inconclusive", "inconclusive"),
        (np.nan, np.nan, "inconclusive", "inconclusive"),
    ],
)
def test_claims_with_a_margin(low, high, no_difference, some_difference):
    """Margin .1. No difference: the interval lies within it; some difference: outside."""
    numbers = ((low + high) / 2, low, high, 5, 0)
    assert Result(*numbers, margin=0.1).verdict == no_difference
    assert Result(*numbers, margin=0.1, claims_difference=True).verdict == some_difference


# Which rows a claim is decided from


def test_rows_are_those_of_included_networks_at_the_snapshot_in_the_analysed_layer():
    name, frame = table("sparsity", "both", [{"feature": "easy", "gini": np.arange(4.0)}])
    frame["included"] = frame["seed"] != 2
    elsewhere = [
        frame.assign(condition="easy"),
        frame.assign(experiment="others"),
        frame.assign(layer="hidden1"),
    ]
    evidence = evidence_of(tables_of((name, pd.concat([*elsewhere, frame]))), both=4)
    rows = evidence.rows("sparsity", "tasks/both")
    assert rows["gini"].tolist() == [0, 1, 3]
    assert set(rows["snapshot"]) == {"final"}
    assert evidence.n_networks("tasks/both") == 4
    assert evidence.n_networks("others/both") == 4
    assert evidence.n_networks("tasks/none") == 0


def test_a_condition_may_have_a_slash_in_its_name():
    """The first one ends the experiment's name."""
    name, frame = table("sparsity", "a/b", [{"feature": "easy", "gini": np.ones(3)}])
    evidence = Evidence(tables_of((name, frame)), {"tasks/a/b": ANALYSED}, "final")
    assert len(evidence.rows("sparsity", "tasks/a/b")) == 3
    assert evidence.n_networks("tasks/a/b") == 3


def test_values_by_feature_have_a_row_per_network():
    entries = [
        {"feature": "hard", "r2": np.array([0.1, 0.2, 0.3])},
        {"feature": "easy", "r2": np.array([0.5, 0.7, 0.9])},
    ]
    evidence = evidence_of(tables_of(table("variance_explained", "both", entries)), both=3)
    r2 = evidence.r2("tasks/both")
    assert r2.index.tolist() == [0, 1, 2]
    assert r2["easy"].tolist() == [0.5, 0.7, 0.9]
    gap = evidence.gap("tasks/both", "easy", "hard")
    assert gap.tolist() == pytest.approx([0.4, 0.5, 0.6])


def test_registering_a_claim_keeps_what_it_says(monkeypatch):
    monkeypatch.setattr("repbias.claims.evidence.CLAIMS", entered := {})

    @claim(
        "X1",
        "words",
        {"a": "condition"},
        reference="number",
        provenance="paper",
        measure="unit",
        tables=("units",),
        snapshots=("final",),
        same_stimuli=True,
    )
    def function(evidence, a):
        return Result(1, 1, 1, 3, 0)

    entry = entered["X1"]
    assert (entry.statement, entry.roles, entry.reference) == (
        "words",
        {"a": "condition"},
        "number",
    )
    assert (entry.provenance, entry.measure, entry.tables) == ("paper", "unit", ("units",))
    assert (entry.snapshots, entry.same_stimuli, entry.decide) == (("final",), True, function)
    assert "X1" not in CLAIMS


# Means


def test_a_mean_has_the_interval_of_its_estimate():
    values = np.random.default_rng(0).exponential(size=12)
    result = mean_of(evidence_of(both=14), values, "tasks/both")
    expected = Estimate.of_mean(values)
    assert result.effect == pytest.approx(values.mean(), abs=1e-12)
    assert (result.ci_low, result.ci_high) == (expected.low(), expected.high())
    assert (result.n_included, result.n_excluded) == (12, 2)


def test_networks_without_a_value_are_excluded():
    values = np.array([0.1, np.nan, 0.2, 0.3, np.inf])
    result = mean_of(evidence_of(both=6), values, "tasks/both", margin=0.5)
    assert result.effect == pytest.approx(0.2)
    assert (result.n_included, result.n_excluded) == (3, 3)
    assert result.margin == 0.5


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.6], [0.5, 0.6, 0.5, 0.6, np.nan]])
def test_too_few_values_decide_nothing(values):
    result = mean_of(evidence_of(both=5), np.array(values), "tasks/both", margin=0.1)
    assert np.isnan([result.ci_low, result.ci_high, result.p]).all()
    n_included = np.isfinite(values).sum()
    assert (result.n_included, result.n_excluded) == (n_included, 5 - n_included)
    assert result.margin == 0.1
    assert result.verdict == "inconclusive"
    assert "where a verdict needs 5" in result.remark


def test_equal_values_without_effect_have_an_interval_of_no_width():
    """A feature may be mastered by all networks at the same step, and never grow."""
    result = mean_of(evidence_of(both=6), np.zeros(6), "tasks/both")
    assert (result.effect, result.ci_low, result.ci_high) == (0, 0, 0)
    assert result.verdict == "inconclusive"


@pytest.mark.parametrize(("n", "verdict"), [(5, "inconclusive"), (6, "supported")])
def test_equal_values_decide_where_a_coin_would_not_do_as_much(n, verdict):
    """Five tosses fall on the same, given side in 1 of 32 cases, six in 1 of 64."""
    result = mean_of(evidence_of(both=n), np.full(n, 0.5), "tasks/both")
    assert (result.effect, result.verdict) == (0.5, verdict)
    assert result.p == 2 * 0.5**n
    assert ("agree exactly" in result.remark) == (n == 5)


@pytest.mark.parametrize(("n", "said"), [(5, True), (14, True), (15, False)])
def test_reviewers_ask_for_fifteen_networks(n, said):
    values = np.random.default_rng(0).normal(size=n)
    result = mean_of(evidence_of(both=n), values, "tasks/both", remark="first")
    limit = f"; {n} networks, where reviewers ask for 15" if said else ""
    assert result.remark == "first" + limit


@pytest.mark.parametrize("claims_difference", [True, False])
@pytest.mark.parametrize("margin", [None, 0.1])
def test_p_is_below_five_percent_where_the_interval_decides(margin, claims_difference):
    decided = set()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = rng.uniform(-0.3, 0.3) + rng.choice([0.05, 0.3]) * (rng.exponential(size=8) - 1)
        estimate = Estimate.of_mean(values)
        result = result_of(estimate, 8, 0, margin, claims_difference)
        decided.add(result.verdict)
        assert (result.p < 0.05) == (result.verdict != "inconclusive")
    assert decided == {"supported", "not supported", "inconclusive"}


# Differences


def difference(larger, smaller, **kinds):
    evidence = evidence_of(larger=len(larger), smaller=len(smaller))
    return difference_of(evidence, ("tasks/larger", larger), ("tasks/smaller", smaller), **kinds)


def samples(seed, n_larger=10, n_smaller=10, sd=(0.1, 0.2), mean=0.3):
    rng = np.random.default_rng(seed)
    return rng.normal(mean, sd[0], n_larger), rng.normal(0, sd[1], n_smaller)


def test_a_difference_has_the_interval_of_its_estimate():
    larger, smaller = samples(0)
    result = difference(larger, smaller)
    expected = Estimate.of_difference(larger, smaller)
    assert result.effect == pytest.approx(larger.mean() - smaller.mean(), abs=1e-12)
    assert (result.ci_low, result.ci_high) == (expected.low(), expected.high())


def test_a_difference_counts_networks_of_both_conditions():
    larger, smaller = samples(0, 7, 8)
    evidence = evidence_of(larger=8, smaller=10)
    larger[0] = np.nan
    result = difference_of(
        evidence,
        ("tasks/larger", larger),
        ("tasks/smaller", smaller),
        margin=0.2,
        claims_difference=True,
    )
    assert result.effect == pytest.approx(larger[1:].mean() - smaller.mean())
    assert (result.n_included, result.n_excluded) == (14, 4)
    assert (result.margin, result.claims_difference) == (0.2, True)


@pytest.mark.parametrize("n", [(4, 9), (9, 4), (0, 9), (2, 2)])
def test_a_difference_needs_five_networks_on_each_side(n):
    larger, smaller = samples(0, *n)
    result = difference(larger, smaller, margin=0.2, claims_difference=True)
    assert np.isnan([result.ci_low, result.ci_high]).all()
    assert result.verdict == "inconclusive"
    assert (result.n_included, result.n_excluded) == (sum(n), 0)
    assert (result.margin, result.claims_difference) == (0.2, True)


# Contrasts of similarities


def contrast(counts, similarity, larger, smaller, excluded=(), **options):
    """Contrast of a condition pair with another; `excluded` are (condition, seed)."""
    networks = [(c, s) for c, n in counts.items() for s in range(n)]
    r2 = [
        table("variance_explained", c, [{"feature": "f", "r2": np.ones(n)}])
        for c, n in counts.items()
    ]
    for _, frame in r2:
        gone = [(c, s) in excluded for c, s in zip(frame["condition"], frame["seed"], strict=True)]
        frame["included"] = ~np.array(gone)
    tables = tables_of(rsa(networks, similarity, **options), *r2)
    pairs = [tuple(f"tasks/{c}" for c in pair) for pair in (larger, smaller)]
    return contrast_of_similarities(evidence_of(tables, **counts), *pairs)


def similarity_with(means, sd, seed=0):
    """Similarities with means by pair of conditions and effects of both networks."""
    rng = np.random.default_rng(seed)
    effect = {}

    def of(a, b):
        for network in (a, b):
            effect.setdefault(network, rng.normal(0, sd))
        return means[frozenset((a[0], b[0]))] + effect[a] + effect[b]

    return of


MORE, LESS = ("easy", "both"), ("both", "both")


@pytest.mark.parametrize("swap", [False, True])
def test_a_contrast_is_the_difference_of_the_means_over_pairs(swap):
    """By hand: four networks each, another one excluded on each side; same seeds are no pair."""
    counts = {"easy": 4, "both": 4}
    values = np.random.default_rng(2).uniform(size=(8, 8))
    values += values.T
    place = {(c, s): 4 * i + s for i, c in enumerate(counts) for s in range(4)}

    def similarity(a, b):
        return values[place[a], place[b]]

    excluded = {("easy", 0), ("both", 3)}
    result = contrast(counts, similarity, MORE, LESS, excluded, swap=swap)
    between = [values[e, 4 + b] for e in (1, 2, 3) for b in (0, 1, 2) if e != b]
    within = [values[4, 5], values[4, 6], values[5, 6]]
    assert result.effect == pytest.approx(np.mean(between) - np.mean(within), abs=1e-12)
    assert (result.n_included, result.n_excluded) == (6, 2)


def test_conditions_may_differ_in_their_number_of_networks():
    """Each pair counts once: the mean of a b, a != b, over 3 x 6 networks minus those in common."""
    result = contrast({"easy": 3, "both": 6}, lambda a, b: float(a[1] * b[1]), MORE, LESS)
    between = [a * b for a in range(3) for b in range(6) if a != b]
    within = [a * b for a in range(6) for b in range(a)]
    assert result.effect == pytest.approx(np.mean(between) - np.mean(within), abs=1e-12)


def test_networks_that_began_with_the_same_weights_are_not_compared():
    """Same-seed pairs across conditions are similar for a reason other than the task."""
    counts = {"easy": 6, "both": 6}
    result = contrast(counts, lambda a, b: 100.0 if a[1] == b[1] else 0.5, MORE, LESS)
    assert result.effect == pytest.approx(0, abs=1e-12)
    assert result.ci_high < 1


def test_a_pair_without_a_similarity_is_left_out():
    """A layer of constant activity has no RDM."""
    counts = {"easy": 4, "both": 4}

    def similarity(a, b):
        return np.nan if ("both", 0) in (a, b) and ("both", 1) in (a, b) else float(a[1] + b[1])

    result = contrast(counts, similarity, MORE, LESS)
    within = [a + b for a in range(4) for b in range(a) if (a, b) != (1, 0)]
    assert result.effect == pytest.approx(3 - np.mean(within), abs=1e-12)


def test_without_comparisons_a_contrast_is_inconclusive():
    counts = {"easy": 4, "both": 4}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = contrast(counts, lambda a, b: np.nan, MORE, LESS)
    assert np.isnan(result.effect)
    assert result.verdict == "inconclusive"
    assert result.n_included == 8


def test_a_network_is_the_same_on_both_sides_of_a_contrast():
    """easy-both against both-both: what the networks of "both" add to either cancels in part.

    With effects e of easy and b of both networks, the contrast is mean(e) - mean(b), up to pairs
    of equal seeds. Resampling both sides apart would give the variance of e + b + 2 b.
    """
    n, rng = 40, np.random.default_rng(0)
    e, b = rng.normal(0, 1e-3, n), rng.normal(0, 0.1, n)
    effect = {("easy", s): e[s] for s in range(n)} | {("both", s): b[s] for s in range(n)}
    result = contrast(
        {"easy": n, "both": n}, lambda x, y: effect[x] + effect[y], MORE, LESS, snapshots=["final"]
    )
    expected = Estimate.of_difference(e, b)
    width = (result.ci_high - result.ci_low) / 2
    assert width == pytest.approx((expected.high() - expected.low()) / 2, rel=0.05)


def test_claims_are_decided_on_their_own_conditions_only():
    """Two experiments with conditions of the same name."""
    frames = [
        table("variance_explained", "both", [{"feature": f, "r2": v} for f, v in r2.items()])
        for r2 in (
            {"easy": np.full(3, 0.8), "hard": np.full(3, 0.2)},
            {"easy": np.full(5, 0.1), "hard": np.full(5, 0.3)},
        )
    ]
    frames[1][1]["experiment"] = "others"
    tables = tables_of(*frames)
    for experiment, effect, n in (("tasks", 0.6, 3), ("others", -0.2, 5)):
        roles = {"condition": f"{experiment}/both", "easy": "easy", "hard": "hard"}
        row = decided("C1", roles, tables)["final"]
        assert row["effect"] == pytest.approx(effect)
        assert (row["n_included"], row["n_excluded"]) == (n, 0)
