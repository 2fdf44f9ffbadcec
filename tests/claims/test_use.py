"""Claims about use: steering, decoders and behaviour."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t
from synthetic import BOTH, MEANS, decided, table, tables_of

N = 6


def steered(flips, norms=None):
    """(steered feature, output) to flips by steering strength, or one row of them per network."""
    strengths = [0.1, 0.5, 1.0, 2.0]
    entries = []
    for (feature, output), by_strength in flips.items():
        values = np.broadcast_to(by_strength, (N, len(strengths)))
        for i, strength in enumerate(strengths):
            norm = strength * (norms or {}).get(feature, 1.0)
            entries.append(
                {"feature": feature, "output": output, "strength": strength, "norm": norm}
                | {"flips": values[:, i]}
            )
    tables = tables_of(table("steering", "both", entries))
    tables["steering"] = tables["steering"].sample(frac=1, random_state=0)
    return tables


NONE = [0.0] * 4
OTHERS = {("easy", "hard"): NONE, ("hard", "easy"): NONE}


# C13


def test_flips_at_strength_one_count_and_half_is_the_chance():
    flips = {("easy", "easy"): [0, 0, 0.9, 0], ("hard", "hard"): [0, 0, 0.7, 0]}
    row = decided("C13", BOTH, steered(flips | OTHERS))["final"]
    assert row["effect"] == pytest.approx(0.3)
    assert row["verdict"] == "supported"
    flips = {("easy", "easy"): [1, 1, 0.1, 1], ("hard", "hard"): [1, 1, 0.3, 1]}
    row = decided("C13", BOTH, steered(flips | OTHERS))["final"]
    assert row["effect"] == pytest.approx(-0.3)
    assert row["verdict"] == "not supported"


def test_flips_of_the_other_feature_count_for_the_other_claim():
    own = {("easy", "easy"): [1.0] * 4, ("hard", "hard"): [1.0] * 4}
    flips = own | {("easy", "hard"): [1, 1, 0.02, 1], ("hard", "easy"): [1, 1, 0.04, 1]}
    assert decided("C13", BOTH, steered(flips))["final"]["effect"] == pytest.approx(0.5)
    row = decided("C13b", BOTH, steered(flips))["final"]
    assert row["effect"] == pytest.approx(0.04), "the worse of the two directions"
    assert row["verdict"] == "supported"
    flips |= {("easy", "hard"): [0, 0, 0.5, 0]}
    assert decided("C13b", BOTH, steered(flips))["final"]["verdict"] == "not supported"


def test_one_network_per_row_of_the_mean():
    """Networks are the unit: each is the mean of its two features."""
    easy = np.zeros((N, 4))
    easy[:, 2] = [0.9, 1.0, 0.8] * 2
    flips = {("easy", "easy"): easy, ("hard", "hard"): [0, 0, 0.6, 0]} | OTHERS
    row = decided("C13", BOTH, steered(flips))["final"]
    assert row["effect"] == pytest.approx(np.mean([0.75, 0.8, 0.7]) - 0.5)
    expected = t.ppf(0.975, 5 / 3) * np.std([0.75, 0.8, 0.7] * 2, ddof=1) / np.sqrt(N)
    assert (row["ci_high"] - row["ci_low"]) / 2 == pytest.approx(expected)
    assert row["n_included"] == N


# C15


def test_the_norm_that_flips_ninety_percent_is_interpolated():
    """easy: .7 at norm 10 (strength 1) and 1 at 20, so .9 at 10 + 10 x 2/3. hard: .8 at norm 1
    (steering strength .5) and 1 at 2, so .9 at 1.5."""
    flips = {
        ("easy", "easy"): [0, 0.2, 0.7, 1.0],
        ("hard", "hard"): [0.1, 0.8, 1.0, 1.0],
        ("easy", "hard"): [1.0] * 4,  # never looked at
        ("hard", "easy"): [1.0] * 4,
    }
    row = decided("C15", BOTH, steered(flips, {"easy": 10.0, "hard": 2.0}))["final"]
    assert row["effect"] == pytest.approx(10 + 20 / 3 - 1.5, abs=1e-12)
    assert row["verdict"] == "supported"


def test_a_hard_feature_that_needs_larger_steps_is_not_supported():
    flips = {("easy", "easy"): [0.9, 1, 1, 1], ("hard", "hard"): [0, 0, 0.9, 1]} | OTHERS
    row = decided("C15", BOTH, steered(flips))["final"]
    assert row["effect"] == pytest.approx(0.1 - 1.0)
    assert row["verdict"] == "not supported"


def test_a_network_that_never_flips_is_excluded():
    easy = np.array([[0, 0, 1, 1]] * 5 + [[0, 0, 0.5, 0.89]])
    flips = {("easy", "easy"): easy, ("hard", "hard"): [0.9, 1, 1, 1]} | OTHERS
    row = decided("C15", BOTH, steered(flips))["final"]
    assert (row["n_included"], row["n_excluded"]) == (5, 1)


# C17


@pytest.mark.parametrize("easy_first", [True, False])
@pytest.mark.parametrize(("claim", "suffix"), [("C17", ""), ("C17-standardised", "_standardised")])
def test_whom_a_classifier_follows_whichever_feature_comes_first(claim, suffix, easy_first):
    """The table has each pair once, in the order of the targets."""
    share = np.array([0.9, 0.8, 1.0] * 2)
    a, b = f"follows_a{suffix}", f"follows_b{suffix}"
    entry = {"feature_a": "easy", "feature_b": "hard", a: share, b: 1 - share}
    if not easy_first:
        entry = {"feature_a": "hard", "feature_b": "easy", a: 1 - share, b: share}
    row = decided(claim, BOTH, tables_of(table("conflict", "both", [entry])))["final"]
    assert row["effect"] == pytest.approx(0.4)
    assert row["verdict"] == "supported"
    assert row["n_included"] == N


def test_a_classifier_that_follows_hard_is_evidence_against():
    entry = {"feature_a": "easy", "feature_b": "hard", "follows_a": np.array([0.1, 0.2, 0.0] * 2)}
    row = decided("C17", BOTH, tables_of(table("conflict", "both", [entry])))["final"]
    assert row["effect"] == pytest.approx(-0.4)
    assert row["verdict"] == "not supported"


# C22


def test_decodability_is_that_of_the_unused_feature_by_a_linear_probe():
    """.9 with correlation and .7 without: decodability rises by .2."""
    frames = [
        table(
            "probes",
            condition,
            [
                {"probe": "linear", "feature": "unused", "accuracy": np.full(N, accuracy)},
                {"probe": "nonlinear", "feature": "unused", "accuracy": np.full(N, 0.2)},
                {"probe": "linear", "feature": "used", "accuracy": np.full(N, 0.3)},
                {"probe": "linear", "feature": "unused.bit1", "accuracy": np.full(N, 0.4)},
            ],
        )
        for condition, accuracy in (("with", 0.9), ("without", 0.7))
    ]
    roles = {"independent": "tasks/without", "correlated": "tasks/with", "unused": "unused"}
    row = decided("C22", roles, tables_of(*frames))["final"]
    assert row["effect"] == pytest.approx(0.2)
    assert row["verdict"] == "not supported"
    roles = {"independent": "tasks/with", "correlated": "tasks/without", "unused": "unused"}
    assert decided("C22", roles, tables_of(*frames))["final"]["effect"] == pytest.approx(-0.2)


# C23


def test_what_wins_is_read_from_the_labels_output():
    entries = [
        {"output": "label", "feature": "easy", "agreement": np.full(N, 0.8)},
        {"output": "label", "feature": "hard", "agreement": np.full(N, 0.55)},
        {"output": "hard", "feature": "easy", "agreement": np.full(N, 0.1)},
        {"output": "hard", "feature": "hard", "agreement": np.full(N, 1.0)},
    ]
    row = decided("C23", BOTH, tables_of(table("behaviour", "both", entries)))["final"]
    assert row["effect"] == pytest.approx(0.25)
    assert row["verdict"] == "supported"


def test_networks_without_a_label_decide_nothing():
    entries = [
        {"output": output, "feature": feature, "agreement": np.full(N, 0.8)}
        for output in ("easy", "hard")
        for feature in ("easy", "hard")
    ]
    row = decided("C23", BOTH, tables_of(table("behaviour", "both", entries)))["final"]
    assert row["verdict"] == "inconclusive"
    assert (row["n_included"], row["n_excluded"]) == (0, N)


def test_a_redundant_feature_that_was_not_easier_before_training_decides_nothing():
    """C21, where untrained accuracies of the two features are the same on average."""
    roles, tables = MEANS["C21"](np.linspace(0.2, 0.4, 8), np.random.default_rng(0))
    assert decided("C21", roles, tables)["final"]["verdict"] == "supported"
    probes = tables["probes"].copy()
    before = (probes["snapshot"] == "initial") & (probes["probe"] == "linear")
    seeds = probes["seed"].to_numpy() - probes["seed"].mean()
    turned = np.where(probes["feature"] == "one", 0.5 + 0.01 * seeds, 0.5)
    probes.loc[before, "accuracy"] = turned[before]
    row = decided("C21", roles, tables | {"probes": probes})["final"]
    assert row["verdict"] == "inconclusive"
    assert row["remark"].startswith("neither was easier to decode before training")


def test_a_redundant_feature_that_was_harder_before_training_turns_the_sign():
    roles, tables = MEANS["C21"](np.linspace(0.2, 0.4, 8), np.random.default_rng(0))
    probes = tables["probes"].copy()
    before = (probes["snapshot"] == "initial") & (probes["probe"] == "linear")
    probes.loc[before, "accuracy"] = 1 - probes.loc[before, "accuracy"]
    row = decided("C21", roles, tables | {"probes": probes})["final"]
    assert row["effect"] == pytest.approx(-0.3)
    assert row["verdict"] == "not supported"
