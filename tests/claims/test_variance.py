"""Claims about variance explained: curves with a closed form, and what is averaged."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from synthetic import ANALYSED, BOTH, decided, learning_of, table, tables_of

from repbias.base.statistics import Estimate, Greatest

N = 6
EASY = {"condition": "tasks/both", "easy": "easy"}


def curve_of(value, steps, feature="easy", n=N, **named):
    """A curve of M1b, the same for n networks; `named` are steps with a name."""
    names = {step: name for name, step in named.items()}
    frames = [
        table(
            "variance_explained",
            "both",
            [{"feature": feature, "step": s, "r2_of_final": value(s), "seed": np.arange(n)}],
            [names.get(s, "grid")],
        )[1]
        for s in steps
    ]
    # Nothing may depend on the order of rows.
    return "variance_explained", pd.concat(frames).sample(frac=1, random_state=0)


def saturating(step, tau=1000):
    """Growth that slows down: 1 - exp(-t / tau)."""
    return 1 - np.exp(-step / tau)


STEPS = [0, 25, 100, 300, 700, 1500, 3000]


# C2


def test_growth_since_mastery_is_that_of_the_curve():
    """At a checkpoint exactly: exp(-300 / tau) - exp(-3000 / tau); until first mastery of all,
    exp(-300 / tau) - exp(-1500 / tau)."""
    curve = curve_of(saturating, STEPS, initial=0, mastered=1500, final=3000)
    learning = learning_of(N, easy=[(25, 0.7), (300, 0.99), (700, 1)], hard=[(1500, 1)])
    rows = decided("C2", EASY, tables_of(curve, learning))
    assert rows["final"]["effect"] == pytest.approx(np.exp(-0.3) - np.exp(-3), abs=1e-12)
    assert rows["mastered"]["effect"] == pytest.approx(np.exp(-0.3) - np.exp(-1.5), abs=1e-12)
    assert rows["final"]["verdict"] == "supported"


def test_m1_and_the_total_variance_stand_beside_m1b():
    """M1b grows from .1 to .6 while the feature's share falls from .8 to .6, as the total variance
    grows from 1/8 to all of the final one."""
    frames = [
        table(
            "variance_explained",
            "both",
            [{"feature": "easy", "step": s, "r2_of_final": np.full(N, v), "r2": np.full(N, share)}],
            [name],
        )
        for name, s, v, share in (("mastered", 100, 0.1, 0.8), ("final", 500, 0.6, 0.6))
    ]
    learning = learning_of(N, easy=[(100, 0.99)])
    row = decided("C2", EASY, tables_of(*frames, learning))["final"]
    assert row["effect"] == pytest.approx(0.5)
    assert row["remark"].startswith(
        "share of the variance (M1) 0.800 → 0.600; total variance × 8 (median); 6 networks"
    )


def test_between_checkpoints_the_curve_is_linear():
    """Mastered at 450, between checkpoints at 300 and 700."""
    curve = curve_of(saturating, STEPS, mastered=1500, final=3000)
    learning = learning_of(N, easy=[(425, 0.98), (450, 0.99)])
    row = decided("C2", EASY, tables_of(curve, learning))["final"]
    at_mastery = saturating(300) + 150 / 400 * (saturating(700) - saturating(300))
    assert row["effect"] == pytest.approx(saturating(3000) - at_mastery, abs=1e-12)
    assert row["effect"] != pytest.approx(saturating(3000) - saturating(450), abs=1e-3)


def test_a_feature_counts_from_its_first_mastery():
    """It may fall below the criterion for a while."""
    curve = curve_of(lambda s: s / 1000, [0, 100, 200, 500], mastered=200, final=500)
    learning = learning_of(N, easy=[(100, 0.99), (125, 0.9), (150, 0.999)])
    assert decided("C2", EASY, tables_of(curve, learning))["final"]["effect"] == pytest.approx(0.4)


def test_a_representation_that_shrinks_is_not_supported():
    curve = curve_of(lambda s: 1 - s / 1000, [0, 100, 200, 500], mastered=200, final=500)
    learning = learning_of(N, easy=[(100, 0.99)])
    rows = decided("C2", EASY, tables_of(curve, learning))
    # All networks are alike, so the interval is a point.
    assert rows["final"]["effect"] == pytest.approx(-0.4)
    assert rows["final"]["verdict"] == "not supported"


def test_only_the_easy_features_own_curve_counts():
    """Other features' mastery and variance, and other layers, are something else."""
    curve = curve_of(lambda s: s / 1000, [0, 100, 200, 500], mastered=200, final=500)
    hard = curve_of(lambda s: 7.0, [0, 100, 200, 500], "hard", mastered=200, final=500)
    other_layer = (curve[0], curve[1].assign(layer="hidden1", r2_of_final=9.0))
    learning = learning_of(N, hard=[(25, 1)], easy=[(25, 0.5), (100, 1)])
    tables = tables_of(other_layer, hard, curve, learning)
    assert decided("C2", EASY, tables)["final"]["effect"] == pytest.approx(0.4)


def test_a_network_that_never_masters_the_feature_is_excluded():
    curve = curve_of(lambda s: s / 1000, [0, 100, 500], mastered=100, final=500)
    name, learning = learning_of(N, easy=[(100, 0.99)])
    learning.loc[learning["seed"] == 0, "mastered"] = False
    row = decided("C2", EASY, tables_of(curve, (name, learning)))["final"]
    assert (row["n_included"], row["n_excluded"]) == (N - 1, 1)
    assert row["effect"] == pytest.approx(0.4)


def test_networks_may_have_curves_and_mastery_of_their_own():
    """Slopes a, mastery at step 100 b: growth to step 500 is a (500 - 100 b) / 1000."""
    a, b = np.array([1.0, 2.0, 3.0]), np.array([1, 2, 4])
    frames = [
        table(
            "variance_explained",
            "both",
            [{"feature": "easy", "step": s, "r2_of_final": a * s / 1000}],
            [name],
        )
        for name, s in (("initial", 0), ("mastered", 400), ("final", 500))
    ]
    learning = table(
        "learning",
        "both",
        [
            {"feature": "easy", "step": s, "accuracy": 1.0, "mastered": 100 * b <= s}
            for s in range(0, 501, 100)
        ],
        ["final"],
    )
    row = decided("C2", EASY, tables_of(*frames, learning))["final"]
    assert row["effect"] == pytest.approx(np.mean(a * (500 - 100 * b) / 1000), abs=1e-12)


# C3


def acceleration(value, easy, hard, steps=STEPS):
    curve = curve_of(value, steps, mastered=steps[-2], final=steps[-1])
    return decided("C3", BOTH, tables_of(curve, learning_of(N, easy=easy, hard=hard)))["final"]


def test_growth_rates_on_a_parabola():
    """(t / 1000)²: between two times its rate per 1,000 steps is their sum, in 1,000 steps."""
    row = acceleration(
        lambda s: (s / 1000) ** 2,
        easy=[(25, 0.9), (100, 0.99)],
        hard=[(25, 0.5), (300, 0.6), (700, 0.9), (1500, 0.99)],
    )
    assert row["effect"] == pytest.approx((0.3 + 1.5) - (0.1 + 0.3), abs=1e-12)
    assert row["verdict"] == "supported"


def test_before_is_as_long_a_time_just_before():
    """Hard rises from step 700 to 900, so before is 500 to 700, though easy is there since 100."""
    steps = [0, 100, 300, 500, 700, 900, 3000]
    row = acceleration(
        lambda s: (s / 1000) ** 2, [(100, 1.0)], [(700, 0.6), (900, 1.0)], steps=steps
    )
    assert row["effect"] == pytest.approx((0.7 + 0.9) - (0.5 + 0.7), abs=1e-12)


def test_before_begins_no_earlier_than_mastery():
    """From step 500, not 300, to 700; hard rises from 700 to 1100."""
    steps = [0, 100, 300, 500, 700, 1100, 3000]
    row = acceleration(
        lambda s: (s / 1000) ** 2, [(500, 1.0)], [(700, 0.6), (1100, 1.0)], steps=steps
    )
    assert row["effect"] == pytest.approx((0.7 + 1.1) - (0.5 + 0.7), abs=1e-12)


def test_growth_that_slows_down_is_not_supported():
    row = acceleration(saturating, [(100, 1.0)], [(300, 0.6), (700, 1.0)])
    rates = np.diff(saturating(np.array([100, 300, 700]))) / [0.2, 0.4]
    assert row["effect"] == pytest.approx(rates[1] - rates[0], abs=1e-12)
    assert row["verdict"] == "not supported"


def test_rates_between_checkpoints_are_interpolated():
    """Slopes 1 until step 1000 and 3 after it, per 1,000 steps; all three times lie between
    checkpoints: (400, 1000) has slope 1, (1000, 1400) has slope 3."""

    def kinked(s):
        return s / 1000 if s <= 1000 else 1 + 3 * (s - 1000) / 1000

    row = acceleration(
        kinked, [(400, 1.0)], [(1000, 0.6), (1400, 1.0)], steps=[0, 350, 700, 1000, 2000, 3000]
    )
    assert row["effect"] == pytest.approx(2, abs=1e-12)


@pytest.mark.parametrize(
    ("easy", "hard"),
    [
        ([(300, 1.0)], [(100, 0.6), (700, 1.0)]),  # hard began before
        ([(300, 1.0)], [(300, 0.6), (700, 1.0)]),  # at the same evaluation
        ([(100, 1.0)], [(300, 1.0)]),  # began and mastered at once
        ([(100, 0.9)], [(300, 0.6), (700, 1.0)]),  # easy never mastered
        ([(100, 1.0)], [(300, 0.6), (700, 0.9)]),  # hard never mastered
        ([(100, 1.0)], [(300, 0.59)]),  # hard never began
    ],
)
def test_networks_without_a_before_are_left_out(easy, hard):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a division by zero steps
        row = acceleration(saturating, easy, hard)
    assert (row["n_included"], row["n_excluded"]) == (0, N)
    assert row["verdict"] == "inconclusive"


def test_sixty_percent_counts_as_being_learned():
    """The accuracy is first .6 at step 300, though it falls back to .55."""
    row = acceleration(
        lambda s: (s / 1000) ** 2, [(100, 1.0)], [(300, 0.6), (500, 0.55), (700, 1.0)]
    )
    assert row["effect"] == pytest.approx((0.3 + 0.7) - (0.1 + 0.3), abs=1e-12)


# C6


@pytest.mark.parametrize(("claim", "effect"), [("C6", 0.45 - 0.1), ("C6b", 0.2 - 0.1)])
def test_sub_components_are_averaged_and_compared_with_their_feature(claim, effect):
    r2 = {"hard": 0.1, "hard.xor12": 0.4, "hard.xor34": 0.5, "easy": 0.9}
    r2 |= {f"hard.bit{i}": value for i, value in enumerate((0.1, 0.2, 0.2, 0.3), start=1)}
    r2 |= {"harder.xor12": 7.0, "harder.bit1": 7.0, "easy.bit1": 7.0}
    # A feature's name may have dots of its own.
    r2 |= {"hard.xor": 7.0, "hard.xor.bit1": 7.0, "hard.xor12.bit1": 7.0, "hard.bit1.bit1": 7.0}
    entries = [{"feature": f, "r2": np.full(N, value)} for f, value in r2.items()]
    tables = tables_of(table("variance_explained", "both", entries))
    roles = {"condition": "tasks/both", "hard": "hard"}
    row = decided(claim, roles, tables)["final"]
    assert row["effect"] == pytest.approx(effect, abs=1e-12)
    assert row["verdict"] == "supported"


def test_a_feature_without_inner_xors_decides_nothing():
    entries = [{"feature": f, "r2": np.full(N, 0.5)} for f in ("hard", "hard.bit1", "hard.bit2")]
    tables = tables_of(table("variance_explained", "both", entries))
    roles = {"condition": "tasks/both", "hard": "hard"}
    row = decided("C6", roles, tables)["final"]
    assert row["verdict"] == "inconclusive"
    assert (row["n_included"], row["n_excluded"]) == (0, N)


# Directions


def gap_tables(**gaps):
    """Conditions with these gaps (R² easy minus R² hard) in each of six networks."""
    spread = np.array([-0.03, -0.02, -0.01, 0.01, 0.02, 0.03])
    return tables_of(
        *(
            table(
                "variance_explained",
                condition,
                [
                    {"feature": "easy", "r2": 0.4 + gap + spread, "layer": ANALYSED},
                    {"feature": "hard", "r2": np.full(N, 0.4), "layer": ANALYSED},
                ],
            )
            for condition, gap in gaps.items()
        )
    )


@pytest.mark.parametrize(
    ("claim", "larger", "smaller"),
    [
        ("C4", "joint", "hard_first"),
        ("C9", "deep", "shallow"),
        ("C9b", "wide", "narrow"),
        ("C29", "noisy", "plain"),
        ("C29b", "decayed", "plain"),
    ],
)
def test_which_condition_has_the_larger_gap(claim, larger, smaller):
    """In its own words: hard-first narrows (joint minus hard-first); deeper networks have more."""
    tables = gap_tables(a=0.5, b=0.1)
    roles = {larger: "tasks/a", smaller: "tasks/b", "easy": "easy", "hard": "hard"}
    assert decided(claim, roles, tables)["final"]["effect"] == pytest.approx(0.4)
    roles = {larger: "tasks/b", smaller: "tasks/a", "easy": "easy", "hard": "hard"}
    assert decided(claim, roles, tables)["final"]["effect"] == pytest.approx(-0.4)


def test_which_feature_leads():
    row = decided("C1", {**BOTH, "condition": "tasks/a"}, gap_tables(a=0.25))["final"]
    assert row["effect"] == pytest.approx(0.25)
    assert row["verdict"] == "supported"


# C10


GRID = {"conditions": "tasks/dropout=*", "easy": "easy", "hard": "hard"}


def grid(**gaps):
    """Conditions of a grid, with gaps, and another condition that is none of it."""
    return gap_tables(**{f"dropout={name}": gap for name, gap in gaps.items()}, other=-9.0)


def test_one_condition_of_the_grid_is_enough():
    row = decided("C10", GRID, grid(a=0.5, b=-0.25, c=0.1))["final"]
    assert row["effect"] == pytest.approx(0.25)
    assert row["verdict"] == "supported"
    assert row["remark"].startswith("largest in tasks/dropout=b, of 3 searched")
    assert (row["n_included"], row["n_excluded"]) == (3 * N, 0)


def test_all_conditions_must_fail():
    assert decided("C10", GRID, grid(a=0.5, b=0.25))["final"]["verdict"] == "not supported"
    assert decided("C10", GRID, grid(a=0.5, b=0.001))["final"]["verdict"] == "inconclusive"


def test_the_search_is_counted():
    """An effect that is found by itself is not, when it is the largest of twenty."""
    alone = decided("C10", GRID, grid(a=-0.08))["final"]
    among = decided("C10", GRID, grid(a=-0.08, **{f"o{i}": 0.5 for i in range(19)}))["final"]
    assert alone["effect"] == among["effect"] == pytest.approx(0.08)
    assert (alone["verdict"], among["verdict"]) == ("supported", "inconclusive")
    assert among["p"] == pytest.approx(20 * alone["p"])


def test_without_any_effect_the_largest_of_many_is_rarely_found():
    """Of 300 grids of ten conditions: at most 3 % supported; each by itself would have some."""
    rng, found = np.random.default_rng(0), 0
    for _ in range(300):
        cells = [Estimate.of_mean(rng.exponential(size=10) - 1) for _ in range(10)]
        found += Greatest(cells).low() > 0
    assert found <= 9


# At equal function


def learning_curves(**conditions):
    """Condition to the rate of each network's loss, exp(-rate step / 1000)."""
    steps = np.arange(0, 3001, 25)
    frames = [
        table(
            "learning",
            condition,
            [
                {"feature": f, "step": s, "loss": np.exp(-np.asarray(rates) * s / 1000)}
                for s in steps
                for f in ("easy", "hard")
            ],
            ["final"],
        )[1]
        for condition, rates in conditions.items()
    ]
    return "learning", pd.concat(frames, ignore_index=True)


def gap_curve(condition, slopes):
    """A gap that grows linearly over the steps, at 0, 1000, 2000 and 3000."""
    names = {0: "initial", 1000: "grid", 2000: "mastered", 3000: "final"}
    frames = [
        table(
            "variance_explained",
            condition,
            [
                {"feature": "easy", "step": step, "r2": np.asarray(slopes) * step / 1000},
                {"feature": "hard", "step": step, "r2": np.zeros(len(slopes))},
            ],
            [name],
        )[1]
        for step, name in names.items()
    ]
    return "variance_explained", pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("claim", ["C29", "C29b"])
def test_a_setting_that_only_slows_learning_down_changes_nothing_at_equal_loss(claim):
    """Half as fast in everything: at the end the gap differs by half, at equal loss not at all.
    All reach the loss exp(-3 * .5) = .223: the slow ones at step 3000, the fast ones at 1500."""
    spread = np.linspace(0.9, 1.1, 8)
    tables = tables_of(
        gap_curve("fast", 0.2 * spread),
        gap_curve("slow", 0.1 * spread),
        learning_curves(fast=np.ones(8), slow=np.full(8, 0.5)),
    )
    other = {"C29": "noisy", "C29b": "decayed"}[claim]
    roles = {"plain": "tasks/fast", other: "tasks/slow", "easy": "easy", "hard": "hard"}
    rows = decided(claim, roles, tables)
    assert rows["final"]["effect"] == pytest.approx(0.3 - 0.6)
    assert rows["final"]["verdict"] == "supported"
    assert rows["matched"]["effect"] == pytest.approx(0, abs=1e-9)
    assert rows["matched"]["verdict"] == "not supported"
    assert rows["matched"]["remark"].startswith("validation loss 0.223; 8 networks")


def test_the_loss_is_the_lowest_that_every_network_of_every_condition_reaches():
    """The slowest network of either condition, exp(-3 * .2) = .549, sets it; each network is read
    at its own step, 3000 * .2 / rate."""
    rates = {"a": np.array([1.0, 0.5, 0.2, 0.4, 0.5]), "b": np.array([1.0, 0.8, 2.0, 0.4, 0.5])}
    tables = tables_of(
        gap_curve("a", np.ones(5)), gap_curve("b", np.ones(5)), learning_curves(**rates)
    )
    roles = {"joint": "tasks/a", "hard_first": "tasks/b", "easy": "easy", "hard": "hard"}
    row = decided("C4", roles, tables)["matched"]
    at = {c: np.ceil(0.6 / r / 0.025 - 1e-9) * 0.025 for c, r in rates.items()}
    assert row["effect"] == pytest.approx(at["a"].mean() - at["b"].mean())


def test_excluded_networks_set_no_loss():
    tables = tables_of(
        gap_curve("a", np.ones(6)),
        gap_curve("b", np.ones(6)),
        learning_curves(a=[1.0] * 5 + [1e-6], b=[1.0] * 6),
    )
    never = (tables["learning"]["condition"] == "a") & (tables["learning"]["seed"] == 5)
    tables["learning"].loc[never, "included"] = False
    roles = {"joint": "tasks/a", "hard_first": "tasks/b", "easy": "easy", "hard": "hard"}
    row = decided("C4", roles, tables)["matched"]
    assert (row["n_included"], row["n_excluded"]) == (11, 1)
    assert row["remark"].startswith("validation loss 0.0498")
