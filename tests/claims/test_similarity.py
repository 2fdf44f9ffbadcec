"""Claims about similarity between networks, and what similarity identifies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import sem, t
from synthetic import (
    ANALYSED,
    CHANCE,
    decided,
    identification,
    identification_of,
    rsa,
    table,
    tables_of,
)

from repbias.auditing.identification import _leave_seeds_out
from repbias.base.statistics import Estimate, Least
from repbias.tables import TABLES, as_table

N = 6
BY_METRIC = {
    "C28": "rsa_reweighted",
    "C28b": "procrustes",
    "C28c": "rsa_whitened",
    "C28d": "rsa_residualised",
    "C28e": "cka_equalised",
}


def compared(means, swap=False):
    """Networks of three conditions with a mean similarity by pair of conditions."""
    networks = [(c, s) for c in ("easy", "hard", "both") for s in range(N)]
    rng = np.random.default_rng(0)
    effect = {network: rng.normal(0, 0.01) for network in networks}

    def similarity(a, b):
        if a[1] == b[1]:
            return 99.0
        return means[frozenset((a[0], b[0]))] + effect[a] + effect[b]

    r2 = [
        table("variance_explained", c, [{"feature": "easy", "r2": np.ones(N)}])
        for c in ("easy", "hard", "both")
    ]
    return tables_of(rsa(networks, similarity, swap=swap), *r2), effect


MEANS = {
    frozenset(["easy"]): 0.9,
    frozenset(["hard"]): 0.4,
    frozenset(["both"]): 0.6,
    frozenset(["easy", "both"]): 0.8,
    frozenset(["hard", "both"]): 0.1,
    frozenset(["easy", "hard"]): -0.5,
}


def mean_effect(effect, condition):
    return np.mean([value for (c, _), value in effect.items() if c == condition])


@pytest.mark.parametrize("swap", [False, True])
def test_complex_networks_against_easy_ones(swap):
    """C19: easy-both (.8) against both-both (.6), whichever side a condition stands on."""
    tables, effect = compared(MEANS, swap)
    row = decided("C19", {"easy": "tasks/easy", "both": "tasks/both"}, tables)["final"]
    easy, both = mean_effect(effect, "easy"), mean_effect(effect, "both")
    assert row["effect"] == pytest.approx(0.8 + easy + both - (0.6 + 2 * both), abs=1e-12)
    assert row["verdict"] == "supported"
    assert (row["n_included"], row["n_excluded"]) == (2 * N, 0)


def test_untrained_networks_are_nearer_than_those_of_another_task():
    """C24: .5 to untrained networks of other seeds, against -.5 between tasks; .9 to oneself."""
    tables, effect = compared(MEANS)
    rows = [
        {"seed": np.arange(N), "untrained_seed": s, "rdm_similarity": "corr"}
        | {"similarity": np.where(np.arange(N) == s, 0.9, 0.5)}
        for s in range(N)
    ]
    name, rows = table("rsa_untrained", "easy", rows)
    tables[name] = rows.assign(rdm_similarity="corr")
    row = decided("C24", {"condition": "tasks/easy", "other": "tasks/hard"}, tables)["final"]
    between = -0.5 + mean_effect(effect, "easy") + mean_effect(effect, "hard")
    assert row["effect"] == pytest.approx(0.5 - between, abs=1e-12)
    assert row["verdict"] == "supported"
    assert row["remark"].startswith(
        f"similarity to untrained networks 0.500, to the other task {between:.3f}; "
        "to itself untrained 0.900"
    )


@pytest.mark.parametrize("swap", [False, True])
def test_hard_networks_against_easy_ones(swap):
    """C20: easy-easy (.9) against hard-hard (.4); what both have in common is no matter."""
    tables, effect = compared(MEANS, swap)
    row = decided("C20", {"easy": "tasks/easy", "hard": "tasks/hard"}, tables)["final"]
    easy, hard = mean_effect(effect, "easy"), mean_effect(effect, "hard")
    assert row["effect"] == pytest.approx(0.9 + 2 * easy - (0.4 + 2 * hard), abs=1e-12)
    assert row["verdict"] == "supported"


@pytest.mark.parametrize(
    ("claim", "roles", "pair"),
    [
        ("C19", {"easy": "tasks/easy", "both": "tasks/both"}, ("easy", "both")),
        ("C20", {"easy": "tasks/easy", "hard": "tasks/hard"}, ("easy", "easy")),
    ],
)
@pytest.mark.parametrize("lower", [True, False])
def test_less_similar_the_other_way_round_is_not_supported(claim, roles, pair, lower):
    reference = 0.6 if claim == "C19" else 0.4
    means = MEANS | {frozenset(pair): reference - 0.2 if lower else reference}
    tables, _ = compared(means)
    row = decided(claim, roles, tables)["final"]
    assert row["verdict"] == ("not supported" if lower else "inconclusive")


def test_networks_that_never_mastered_the_task_are_counted_at_first_mastery():
    tables, _ = compared(MEANS)
    r2 = tables["variance_explained"]
    never = (r2["condition"] == "hard") & (r2["seed"] == 3) & (r2["snapshot"] == "mastered")
    tables["variance_explained"] = r2[~never]
    rows = decided("C20", {"easy": "tasks/easy", "hard": "tasks/hard"}, tables)
    assert (rows["mastered"]["n_included"], rows["mastered"]["n_excluded"]) == (11, 1)
    assert (rows["final"]["n_included"], rows["final"]["n_excluded"]) == (12, 0)


# Identification


def identified(rates, levels=(1.0, 0.2)):
    """Metric to P(own candidate above the strongest distractor), (network, level)."""
    entries = [
        {"metric": metric, "reliability_level": level, "chance": CHANCE, "strongest": "tasks/easy"}
        | {"beats_strongest": np.array([row[i] for row in by_network])}
        for metric, by_network in rates.items()
        for i, level in enumerate(levels)
    ]
    return tables_of(identification_of(entries))


CONDITION = {"condition": "tasks/both"}


def test_rsa_identifies_without_noise_against_the_strongest_distractor():
    rates = {"rsa": [[0.75, 0], [0.8, 0], [0.7, 0]] * 2, "cka": [[0, 0]] * 6}
    row = decided("C27", CONDITION, identified(rates))["final"]
    assert row["effect"] == pytest.approx(0.75 - 0.5)
    assert row["n_included"] == 6
    assert row["verdict"] == "supported"
    assert row["remark"].startswith("strongest distractor: tasks/easy, for 100%")
    rates["rsa"] = [[0.2, 1], [0.3, 1], [0.25, 1]] * 2
    assert decided("C27", CONDITION, identified(rates))["final"]["verdict"] == "not supported"


def drawn_similarities(rng, n, classes):
    """Of every target (row) with every network of every class: targets, networks and pairs differ;
    classes to their mean. Networks of a class with the target's seed are no candidates."""
    target = rng.normal(size=(n, 1))
    return {
        c: mean + target + rng.normal(size=n) + rng.normal(size=(n, n))
        for c, mean in classes.items()
    }


def identification_from(similarities, own, metric="rsa"):
    """The rows that the analysis makes of these similarities."""
    n = len(similarities[own])
    rows = []
    for i in range(n):
        others = {c: [(s, m[i, s]) for s in range(n) if s != i] for c, m in similarities.items()}
        seeds = [s for s in range(n) if s != i]
        for left_out, found in _leave_seeds_out(own, others, seeds):
            rows.append(
                {"seed": i, "left_out": left_out, "metric": metric, "reliability_level": 1.0}
                | found._asdict()
            )
    about = {"experiment": "tasks", "condition": "both", "layer": ANALYSED, "snapshot": "final"}
    columns = dict.fromkeys(TABLES["identification"].columns, 0) | about
    return pd.DataFrame([columns | row for row in rows])


@pytest.mark.slow
def test_a_coin_flip_between_own_and_the_strongest_distractor_is_no_identification():
    """Beside two hopeless candidates: of samples of ten networks, at most 3 % may be supported. The
    top-1 rate is above 1 in 4, as if there were something to find."""
    rng, verdicts = np.random.default_rng(0), []
    for _ in range(100):
        means = {"tasks/both": 0.0, "tasks/easy": 0.0, "tasks/hard": -9.0, "untrained": -9.0}
        rows = identification_from(drawn_similarities(rng, 10, means), "tasks/both")
        tables = tables_of(("identification", as_table("identification", rows)))
        verdicts.append(decided("C27", CONDITION, tables)["final"]["verdict"])
    assert verdicts.count("supported") <= 3
    assert verdicts.count("not supported") <= 3


def test_targets_that_are_as_often_wrong_as_right_are_tosses_of_a_coin():
    """Each target is certain. Of 1,000 samples of ten, at most 3 % have a verdict either way;
    against a chance of 1 in 4, Student's t would support one in ten and more."""
    rng, found = np.random.default_rng(0), np.zeros(3)
    for _ in range(1000):
        beats = rng.integers(0, 2, 10).astype(float)
        estimate = Estimate.of_mean(beats - 0.5)
        found += estimate.low() > 0, estimate.high() < 0, ttest_low(beats) > 0.25
    assert (found[:2] <= 30).all()
    assert found[2] > 100


def ttest_low(values):
    return values.mean() - t.ppf(0.975, len(values) - 1) * sem(values)


@pytest.mark.parametrize("claim", BY_METRIC)
def test_a_repair_must_beat_rsa_and_the_strongest_distractor(claim):
    rates = {metric: [[0.0, 1.0]] * 6 for metric in BY_METRIC.values()}
    rates |= {"cka": [[1.0, 1.0]] * 6, "rsa": [[0.5, 0.1], [0.7, 0.3], [0.6, 0.2]] * 2}
    rates[BY_METRIC[claim]] = [[0.9, 0.5], [0.9, 0.6], [0.8, 0.5]] * 2
    row = decided(claim, CONDITION, identified(rates))["final"]
    own = np.array([0.7, 0.75, 0.65])
    assert row["effect"] == pytest.approx(own.mean() - 0.5)
    assert f"minus RSA {own.mean() - 0.4:.3f}" in row["remark"]
    assert row["verdict"] == "supported"
    rates["rsa"] = [[1.0, 1.0]] * 6
    row = decided(claim, CONDITION, identified(rates))["final"]
    assert row["effect"] == pytest.approx(own.mean() - 1)
    assert row["verdict"] == "not supported"


def test_moving_the_error_to_another_candidate_is_no_repair():
    """RSA names easy in 77 %; after easy is regressed out, own and hard are a toss: a gain of .27
    over RSA, and none over a coin."""
    spread = np.linspace(-0.1, 0.1, 10)
    rates = {
        "rsa": [[0.23 + s, 0.23 + s] for s in spread],
        "rsa_residualised": [[0.5 + s, 0.5 + s] for s in spread[::-1]],
    }
    row = decided("C28d", CONDITION, identified(rates))["final"]
    assert row["effect"] == pytest.approx(0)
    assert "minus one half 0.000" in row["remark"]
    assert "minus RSA 0.270" in row["remark"]
    assert row["verdict"] == "inconclusive"


@pytest.mark.parametrize("claim", BY_METRIC)
@pytest.mark.parametrize("missing", ["rsa", "the repair"])
def test_a_measure_that_was_not_computed_decides_nothing(claim, missing):
    rates = {"rsa": [[0.5, 0.5]] * 3, BY_METRIC[claim]: [[0.9, 0.9]] * 3, "cka": [[1, 1]] * 3}
    del rates["rsa" if missing == "rsa" else BY_METRIC[claim]]
    row = decided(claim, CONDITION, identified(rates))["final"]
    assert row["verdict"] == "inconclusive"
    assert (row["n_included"], row["n_excluded"]) == (0, 3)


def test_candidates_are_a_random_factor_too():
    """All targets agree, but what they say depends on one candidate: the interval is wide."""
    n = 5
    entries = [
        {"metric": "rsa", "reliability_level": 1.0, "chance": CHANCE, "left_out": left_out}
        | {"beats_strongest": np.full(n, 0.2 if left_out == 0 else 0.7)}
        for left_out in range(-1, n)
    ]
    name, frame = table("identification", "both", entries)
    tables = tables_of((name, frame[frame["left_out"] != frame["seed"]]))
    row = decided("C27", CONDITION, tables)["final"]
    assert row["effect"] == pytest.approx(0.7 - 0.5)
    without = np.array([0.2, 0.7, 0.7, 0.7, 0.7])
    expected = Estimate.of_left_out(0.7 - 0.5, [without - 0.5])
    # An interval of so few would go beyond what a probability can be.
    ends = np.clip([expected.low(), expected.high()], -0.5, 0.5)
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(ends)
    assert row["verdict"] == "inconclusive"


def mean_without(rates, left_out):
    """Mean over the targets that are not left out themselves; `rates` are (left out or none, level,
    target)."""
    rows = rates[left_out + 1]
    return rows.mean() if left_out < 0 else np.delete(rows, left_out, axis=-1).mean()


@pytest.mark.parametrize("claim", ["C27", *BY_METRIC])
def test_seeds_are_left_out_of_targets_and_candidates(claim):
    """By hand: what a rate is without a seed's candidates is another number than with them."""
    n, levels, rng = 5, (1.0, 0.2), np.random.default_rng(0)
    rates = {m: rng.uniform(size=(n + 1, 2, n)) for m in ("rsa", "cka", *BY_METRIC.values())}
    rows = {
        metric: [
            (level, left_out, by_level[left_out + 1, i])
            for left_out in range(-1, n)
            for i, level in enumerate(levels)
        ]
        for metric, by_level in rates.items()
    }
    row = decided(claim, *identification(rows, n))["final"]
    values = []
    for left_out in range(-1, n):
        if claim == "C27":
            values.append([mean_without(rates["rsa"][:, :1], left_out) - 0.5])
        else:
            repaired, rsa = (mean_without(rates[m], left_out) for m in (BY_METRIC[claim], "rsa"))
            values.append([repaired - 0.5, repaired - rsa])
    parts = [Estimate.of_left_out(v[0], [v[1:]]) for v in np.array(values).T]
    expected = Least(parts)
    assert row["effect"] == pytest.approx(expected.value, abs=1e-12)
    # An interval of so few would go beyond what a probability can be.
    ends = np.clip([expected.low(), expected.high()], -0.5 if claim == "C27" else -1, 0.5)
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(ends)
    assert (row["n_included"], row["n_excluded"]) == (n, 0)


def test_a_repair_is_compared_within_networks():
    """A network that only one measure was computed for says nothing of their difference: a layer of
    constant activity has no correlation distance, but a Procrustes distance."""
    entries = [
        {"metric": metric, "reliability_level": 1.0, "beats_strongest": np.array(beats)}
        for metric, beats in {"rsa": [0.5] * 4, "procrustes": [0.1, 0.9, 0.9, 0.9]}.items()
    ]
    name, rows = identification_of(entries)
    tables = tables_of((name, rows[(rows["metric"] != "rsa") | (rows["seed"] > 0)]))
    row = decided("C28b", CONDITION, tables)["final"]
    assert row["effect"] == pytest.approx(0.4)
