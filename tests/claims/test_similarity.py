"""Claims about similarity between networks, and what similarity identifies."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import CHANCE, decided, identification, identification_of, rsa, table, tables_of

from repbias.base.statistics import Estimate

N = 6
BY_METRIC = {
    "C28": "rsa_reweighted",
    "C28b": "procrustes",
    "C28c": "rsa_whitened",
    "C28d": "rsa_residualised",
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


def identified(rates, levels=(1.0, 0.2), chance=CHANCE):
    """Metric to top-1 rates, (network, level)."""
    entries = [
        {"metric": metric, "reliability_level": level, "chance": chance}
        | {"top1": np.array([row[i] for row in by_network])}
        for metric, by_network in rates.items()
        for i, level in enumerate(levels)
    ]
    return tables_of(identification_of(entries))


CONDITION = {"condition": "tasks/both"}


def test_rsa_identifies_without_noise_against_chance():
    rates = {"rsa": [[0.75, 0], [0.8, 0], [0.7, 0]] * 2, "cka": [[0, 0]] * 6}
    row = decided("C27", CONDITION, identified(rates))["final"]
    assert row["effect"] == pytest.approx(0.75 - 0.25)
    assert row["n_included"] == 6
    assert row["verdict"] == "supported"
    row = decided("C27", CONDITION, identified(rates, chance=0.99))["final"]
    assert row["verdict"] == "not supported"


@pytest.mark.parametrize("claim", BY_METRIC)
def test_a_repair_is_compared_with_plain_rsa_over_all_noise_levels(claim):
    rates = {metric: [[0.0, 1.0]] * 6 for metric in BY_METRIC.values()}
    rates |= {"cka": [[1.0, 1.0]] * 6, "rsa": [[0.5, 0.1], [0.7, 0.3], [0.6, 0.2]] * 2}
    rates[BY_METRIC[claim]] = [[0.9, 0.3], [0.9, 0.7], [0.8, 0.6]] * 2
    row = decided(claim, CONDITION, identified(rates))["final"]
    assert row["effect"] == pytest.approx(np.mean([0.6 - 0.3, 0.8 - 0.5, 0.7 - 0.4]))
    assert row["verdict"] == "supported"
    rates["rsa"] = [[1.0, 1.0]] * 6
    assert decided(claim, CONDITION, identified(rates))["final"]["verdict"] == "not supported"


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
        | {"top1": np.full(n, 0.2 if left_out == 0 else 0.7)}
        for left_out in range(-1, n)
    ]
    name, frame = table("identification", "both", entries)
    tables = tables_of((name, frame[frame["left_out"] != frame["seed"]]))
    row = decided("C27", CONDITION, tables)["final"]
    assert row["effect"] == pytest.approx(0.7 - CHANCE)
    without = np.array([0.2, 0.7, 0.7, 0.7, 0.7])
    expected = Estimate.of_left_out(0.7 - CHANCE, [without - CHANCE])
    assert row["ci_low"] == pytest.approx(expected.low())
    assert row["ci_high"] == pytest.approx(expected.high())
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
            values.append(mean_without(rates["rsa"][:, :1], left_out) - CHANCE)
        else:
            pair = (rates[BY_METRIC[claim]], rates["rsa"])
            values.append(np.subtract(*(mean_without(r, left_out) for r in pair)))
    estimate, without = values[0], np.array(values[1:])
    expected = Estimate.of_left_out(estimate, [without])
    assert row["effect"] == pytest.approx(estimate, abs=1e-12)
    assert row["ci_low"] == pytest.approx(expected.low())
    assert row["ci_high"] == pytest.approx(expected.high())
    assert (row["n_included"], row["n_excluded"]) == (n, 0)


def test_a_repair_is_compared_within_networks():
    """A network that only one measure was computed for says nothing of their difference: a layer of
    constant activity has no correlation distance, but a Procrustes distance."""
    entries = [
        {"metric": metric, "reliability_level": 1.0, "chance": CHANCE, "top1": np.array(top1)}
        for metric, top1 in {"rsa": [0.5] * 4, "procrustes": [0.1, 0.9, 0.9, 0.9]}.items()
    ]
    name, rows = identification_of(entries)
    tables = tables_of((name, rows[(rows["metric"] != "rsa") | (rows["seed"] > 0)]))
    row = decided("C28b", CONDITION, tables)["final"]
    assert row["effect"] == pytest.approx(0.4)
