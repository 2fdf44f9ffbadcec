"""Questions of the user's own: against claims, regressions by SciPy, and refused ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import linregress
from synthetic import ANALYSED, SNAPSHOTS, built, decided, table, tables_of

from repbias.base.statistics import Estimate, slopes_left_out
from repbias.claims.decide import decide
from repbias.claims.questions import answer, axis_range, measure_of
from repbias.config.file import ConfigError
from repbias.config.questions import Question
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.pipeline.question_checks import question_warnings
from repbias.tables import as_table

LAYERS = {f"tasks/{c}": ANALYSED for c in ("both", "easy", "hard", "larger", "smaller", "a", "b")}
EASY_HARD = {"this": {"feature": "easy"}, "minus": {"feature": "hard"}}
LARGER_SMALLER = {"this": {"condition": "larger"}, "minus": {"condition": "smaller"}}


def asked(tables, settings=None, snapshot="final", layers=LAYERS, **question):
    question = Question(asks="words", **question)
    return answer(question, tables[question.table], layers, "corr", snapshot, settings or {})


def assert_equals_claim(result, row):
    for name in ("effect", "ci_low", "ci_high", "p"):
        assert getattr(result, name) == pytest.approx(row[name], abs=1e-10), name
    for name in ("verdict", "n_included", "n_excluded"):
        assert getattr(result, name) == row[name], name


# Against claims


@pytest.mark.parametrize("snapshot", SNAPSHOTS)
def test_a_difference_within_networks_is_that_of_the_claim(snapshot):
    """C1 as a question: networks are compared with themselves."""
    rng = np.random.default_rng(0)
    roles, tables = built("C1", 0.1, rng, n=9, sd=0.1)
    r2 = tables["variance_explained"]
    tables["variance_explained"] = pd.concat(
        [r2, r2.assign(layer="hidden1", r2=rng.uniform(size=len(r2)))], ignore_index=True
    )
    where = {"experiment": "tasks", "condition": "both"}
    result = asked(
        tables, snapshot=snapshot, table="variance_explained", column="r2", where=where, **EASY_HARD
    )
    assert_equals_claim(result, decided("C1", roles, tables)[snapshot])


def in_two_experiments(table, column, first):
    """The rows of a condition in an experiment of their own, which shares no seeds."""
    experiments = np.where(table[column] == first, "tasks", "others")
    return table.assign(experiment=experiments), dict.fromkeys(
        experiments.astype(object) + "/" + table[column], ANALYSED
    )


def test_a_difference_between_experiments_is_that_of_the_claim():
    """C22 as a question: networks of two experiments are independent."""
    roles, tables = built("C22", 0.1, np.random.default_rng(0), n=9, sd=0.02)
    row = decided("C22", roles, tables)["final"]
    tables["probes"], layers = in_two_experiments(tables["probes"], "condition", "larger")
    result = asked(
        tables,
        layers=layers,
        table="probes",
        column="accuracy",
        where={"feature": "unused", "probe": "linear"},
        **LARGER_SMALLER,
    )
    for name in ("effect", "ci_low", "ci_high"):
        assert getattr(result, name) == pytest.approx(row[name], abs=1e-10), name
    assert result.verdict == "supported", "a claim of no difference, asked as one of a difference"
    assert result.n_included == 18
    assert "9 networks in a condition" in result.remark


@pytest.mark.parametrize("effect", [0.0, 0.02])
def test_a_contrast_of_similarities_is_that_of_the_claim(effect):
    """C20 as a question: networks are left out of all their pairs; equal seeds are no pair."""
    roles, tables = built("C20", effect, np.random.default_rng(1), n=7)
    row = decided("C20", roles, tables)["final"]
    tables["rsa_models"], layers = in_two_experiments(tables["rsa_models"], "condition_a", "easy")
    result = asked(
        tables,
        layers=layers,
        table="rsa_models",
        column="similarity",
        this={"condition_a": "easy", "condition_b": "easy"},
        minus={"condition_a": "hard", "condition_b": "hard"},
    )
    assert_equals_claim(result, row)


def test_in_one_experiment_seeds_are_left_out_of_their_pairs_in_both_conditions():
    _, tables = built("C20", 0.02, np.random.default_rng(1), n=7)
    pairs = tables["rsa_models"]
    result = asked(
        tables,
        table="rsa_models",
        column="similarity",
        this={"condition_a": "easy", "condition_b": "easy"},
        minus={"condition_a": "hard", "condition_b": "hard"},
    )
    pairs = pairs[(pairs["snapshot"] == "final") & (pairs["condition_a"] == pairs["condition_b"])]
    pairs = pairs[(pairs["seed_a"] != pairs["seed_b"]) & (pairs["rdm_similarity"] == "corr")]

    def contrast(rows):
        means = rows.groupby("condition_a")["similarity"].mean()
        return means["easy"] - means["hard"]

    without = [
        contrast(pairs[(pairs["seed_a"] != seed) & (pairs["seed_b"] != seed)]) for seed in range(7)
    ]
    expected = Estimate.of_left_out(contrast(pairs), [np.array(without)])
    assert (result.effect, result.ci_low) == pytest.approx((expected.value, expected.low()))
    assert result.n_included == 7


def test_a_difference_between_conditions_of_an_experiment_is_paired_by_seed():
    """They share training sets and initial weights; without its pair, a seed takes no part."""
    rng = np.random.default_rng(0)
    seed = rng.normal(size=9)
    r2 = {c: seed + 0.1 * rng.normal(size=9) + x for c, x in (("larger", 0.1), ("smaller", 0.0))}
    frames = [table("variance_explained", c, [{"feature": "hard", "r2": v}]) for c, v in r2.items()]
    tables = tables_of(*frames)
    rows = tables["variance_explained"]
    rows.loc[(rows["condition"] == "smaller") & (rows["seed"] == 8), "included"] = False
    where = {"feature": "hard"}
    result = asked(tables, table="variance_explained", column="r2", where=where, **LARGER_SMALLER)
    expected = Estimate.of_mean((r2["larger"] - r2["smaller"])[:8])
    assert (result.effect, result.ci_low) == pytest.approx((expected.value, expected.low()))
    assert (result.n_included, result.n_excluded) == (8, 1)
    assert result.remark == "1 of 18 networks left out; 8 seeds, where reviewers ask for 15"


def test_excluded_networks_are_counted():
    _, tables = built("C1", 0.1, np.random.default_rng(0), n=9)
    r2 = tables["variance_explained"]
    r2.loc[r2["seed"] == 3, "included"] = False
    r2.loc[(r2["seed"] == 4) & (r2["feature"] == "easy"), "r2"] = np.nan
    r2.loc[(r2["seed"] == 4) & (r2["feature"] == "hard"), "r2"] = np.nan
    args = {"table": "variance_explained", "column": "r2", **EASY_HARD}
    result = asked(tables, **args)
    assert (result.n_included, result.n_excluded) == (7, 2)
    result = asked(tables, where={"included": [True, False]}, **args)
    assert (result.n_included, result.n_excluded) == (8, 1)


def test_networks_without_any_row_at_a_time_are_excluded_there():
    _, tables = built("C1", 0.1, np.random.default_rng(0), n=9)
    r2 = tables["variance_explained"]
    never = (r2["seed"] == 3) & (r2["snapshot"] == "mastered")
    tables["variance_explained"] = r2[~never]
    args = {"table": "variance_explained", "column": "r2", **EASY_HARD}
    assert asked(tables, snapshot="mastered", **args).n_excluded == 1
    assert asked(tables, snapshot="final", **args).n_excluded == 0


def test_a_network_with_many_rows_counts_once():
    """Flips at three strengths: the mean of each network's."""
    rng = np.random.default_rng(0)
    flips = rng.uniform(size=(2, 3, 8))
    entries = [
        {"feature": f, "output": f, "strength": s, "flips": flips[i, j]}
        for i, f in enumerate(("easy", "hard"))
        for j, s in enumerate((0.1, 0.5, 1.0))
    ]
    tables = tables_of(table("steering", "both", entries))
    result = asked(tables, table="steering", column="flips", **EASY_HARD)
    expected = Estimate.of_mean(flips[0].mean(axis=0) - flips[1].mean(axis=0))
    assert (result.effect, result.ci_low) == pytest.approx((expected.value, expected.low()))
    chosen = {"strength": [0.1, 1.0]}
    result = asked(tables, table="steering", column="flips", where=chosen, **EASY_HARD)
    assert result.effect == pytest.approx((flips[0][[0, 2]] - flips[1][[0, 2]]).mean())


@pytest.mark.parametrize("n", [0, 1, 4])
def test_few_networks_decide_nothing(n):
    _, tables = built("C1", 0.1, np.random.default_rng(0), n=6)
    r2 = tables["variance_explained"]
    tables["variance_explained"] = r2[r2["seed"] < n]
    result = asked(tables, table="variance_explained", column="r2", **EASY_HARD)
    assert result.verdict == "inconclusive"
    assert result.n_included == n


def test_subjects_may_be_what_is_independent():
    """A layer against each subject's units: subjects are the mean of theirs."""
    rng = np.random.default_rng(0)
    r = rng.normal(0.3, 0.1, (6, 5))
    rows = [
        {"recording": "v4", "subject": f"s{s}", "region": g, "unit": str(u)}
        | {"repeats": 4.0, "split_half": 0.5, "ceiling": 1.0, "convention": "", "reliability": v}
        for s in range(6)
        for u in range(5)
        for g, v in (("V4", r[s, u]), ("IT", 0.2))
    ]
    tables = {"reliability": as_table("reliability", rows)}
    result = asked(
        tables,
        snapshot=None,
        table="reliability",
        column="reliability",
        units="subjects",
        this={"region": "V4"},
        minus={"region": "IT"},
    )
    expected = Estimate.of_mean(r.mean(axis=1) - 0.2)
    assert (result.effect, result.ci_high) == pytest.approx((expected.value, expected.high()))
    assert "6 subjects, where reviewers ask for 15" in result.remark


# Trends


def sweep(levels, n, noise, slope=2.0, seed=0):
    rng = np.random.default_rng(seed)
    r2 = {c: slope * x + noise * rng.normal(size=n) for c, x in levels.items()}
    frames = [
        table("variance_explained", c, [{"feature": "hard", "r2": values}])
        for c, values in r2.items()
    ]
    settings = {f"tasks/{c}": {"training.dropout": x} for c, x in levels.items()}
    return tables_of(*frames), settings, r2


TREND = {"table": "variance_explained", "column": "r2", "where": {"feature": "hard"}}


def test_a_trend_over_a_setting_is_the_mean_of_the_slopes_of_seeds():
    levels = {"a": 0.0, "b": 0.1, "larger": 0.4}
    tables, settings, r2 = sweep(levels, 8, 0.1)
    result = asked(tables, settings, trend="training.dropout", **TREND)
    slopes = [
        linregress([*levels.values()], values).slope for values in zip(*r2.values(), strict=True)
    ]
    expected = Estimate.of_mean(slopes)
    assert (result.effect, result.ci_low) == pytest.approx((expected.value, expected.low()))
    assert result.n_included == 8
    assert result.remark == "8 seeds, where reviewers ask for 15"


def test_a_trend_over_experiments_is_the_slope_of_a_regression():
    """Their networks are independent."""
    levels = {"a": 0.0, "b": 0.1, "larger": 0.4}
    tables, _, r2 = sweep(levels, 8, 0.1)
    rows = tables["variance_explained"]
    tables["variance_explained"] = rows.assign(experiment=rows["condition"])
    settings = {f"{c}/{c}": {"training.dropout": x} for c, x in levels.items()}
    layers = dict.fromkeys(settings, ANALYSED)
    result = asked(tables, settings, layers=layers, trend="training.dropout", **TREND)
    x, y = np.repeat([*levels.values()], 8), np.concatenate([*r2.values()])
    assert result.effect == pytest.approx(linregress(x, y).slope)
    assert result.n_included == 24
    centred = x - x.mean()
    # Of a fixed axis, each network contributes its weight times its deviation from its condition.
    parts = [
        8 * centred[8 * i] / (centred**2).sum() * values for i, values in enumerate(r2.values())
    ]
    expected = Estimate.of_contributions(result.effect, parts)
    width = expected.high() - expected.low()
    assert result.ci_high - result.ci_low == pytest.approx(width, rel=0.15)


GRID = {
    f"tasks/init_scale={g},weight_decay={w}": {
        "network.init_scale": g,
        "training.weight_decay": w,
    }
    for g in (0.5, 1.0, 2.0)
    for w in (0.0, 1e-4, 1e-3)
}
GAIN = np.array([about["network.init_scale"] for about in GRID.values()])
DECAY = np.array([about["training.weight_decay"] for about in GRID.values()])


def grid(n=7, rng=None):
    """A crossed grid; the slopes of a seed over the one axis are alike at levels of the other."""
    rng = rng or np.random.default_rng(0)
    values = {
        f: 0.1 * rng.normal(size=(9, n)) + np.outer(GAIN, rng.normal(0.2, 0.1, n)) * (f == "easy")
        for f in ("easy", "hard")
    }
    frames = [
        table(
            "variance_explained",
            name.partition("/")[2],
            [{"feature": f, "r2": r2[i]} for f, r2 in values.items()],
        )
        for i, name in enumerate(GRID)
    ]
    return tables_of(*frames), values


def asked_of_grid(tables, **question):
    of = {"table": "variance_explained", "column": "r2"}
    return asked(tables, GRID, layers=dict.fromkeys(GRID, ANALYSED), **of, **question)


def assert_is_mean(result, values):
    expected = Estimate.of_mean(values)
    assert (result.effect, result.ci_low) == pytest.approx((expected.value, expected.low()))


def test_the_units_of_a_crossed_design_are_its_seeds():
    tables, values = grid()
    result = asked_of_grid(tables, where={"feature": "easy"}, trend="network.init_scale")
    assert_is_mean(result, [linregress(GAIN, y).slope for y in values["easy"].T])
    assert (result.n_included, result.n_excluded) == (7, 0)
    assert result.remark == (
        "averaged over training.weight_decay; 7 seeds, where reviewers ask for 15"
    )


def test_with_draws_that_conditions_share_intervals_cover_only_over_seeds():
    """Of normal slopes of seven seeds with mean 0, at most 5 % of intervals miss 0.

    With networks as independent units (one block, groups by condition) 28 % do.
    """
    rng, n, missed = np.random.default_rng(0), 7, np.zeros(2)
    x, condition = np.repeat(GAIN, n), np.repeat(np.arange(9), n)
    seeds, networks, none = np.tile(np.arange(n), 9), np.arange(9 * n), np.zeros(9 * n, int)
    block = seeds * 3 + np.unique(np.repeat(DECAY, n), return_inverse=True)[1]
    for _ in range(200):
        y = (x - x.mean()) * rng.normal(size=n)[seeds] + 0.1 * rng.normal(size=9 * n)
        by_seed = slopes_left_out(x, y, block, seeds[None], n)
        by_network = slopes_left_out(x, y, none, networks[None], 9 * n)
        groups = [[by_seed[1:]], [by_network[1:][condition == c] for c in range(9)]]
        for i, left_out in enumerate(groups):
            estimate = Estimate.of_left_out(by_seed[0], left_out)
            missed[i] += not estimate.low() <= 0 <= estimate.high()
    assert missed[0] <= 10
    assert missed[1] >= 50


def test_seeds_without_some_networks_count_where_they_have_several_levels():
    tables, _ = grid()
    rows = tables["variance_explained"]
    lost = (rows["condition"] == "init_scale=2.0,weight_decay=0.0") & (rows["seed"] < 3)
    lost |= (rows["seed"] == 6) & ~rows["condition"].str.startswith("init_scale=1.0")
    rows.loc[lost, "included"] = False
    result = asked_of_grid(tables, where={"feature": "easy"}, trend="network.init_scale")
    kept = rows[(rows["snapshot"] == "final") & (rows["feature"] == "easy") & rows["included"]]

    def slope(rows):
        """By least squares, with a dummy for every seed at every level of weight decay."""
        about = rows["condition"].map(lambda c: GRID[f"tasks/{c}"])
        x = about.map(lambda a: a["network.init_scale"]).to_numpy(float)
        of = rows["seed"].astype(str) + about.map(lambda a: str(a["training.weight_decay"]))
        design = np.column_stack([x, pd.get_dummies(of).to_numpy(float)])
        return np.linalg.lstsq(design, rows["r2"].to_numpy(), rcond=None)[0][0]

    without = [slope(kept[kept["seed"] != seed]) for seed in range(6)]
    expected = Estimate.of_left_out(slope(kept), [np.array(without)])
    assert (result.effect, result.ci_low) == pytest.approx((expected.value, expected.low()))
    assert (result.n_included, result.n_excluded) == (6, 1)
    assert "9 of 63 networks left out; 6 seeds" in result.remark


def test_the_trend_of_a_difference_is_that_within_networks():
    tables, values = grid()
    result = asked_of_grid(tables, trend="network.init_scale", **EASY_HARD)
    gap = values["easy"] - values["hard"]
    assert_is_mean(result, [linregress(GAIN, y).slope for y in gap.T])
    only = {"where": {"training.weight_decay": 1e-3}, "trend": "network.init_scale"}
    result = asked_of_grid(tables, **only, **EASY_HARD)
    one = np.flatnonzero(DECAY == 1e-3)
    assert_is_mean(result, [linregress(GAIN[one], y[one]).slope for y in gap.T])
    assert "averaged over" not in result.remark


def test_the_trend_of_a_difference_between_conditions_is_an_interaction():
    tables, values = grid()
    sides = {"this": {"training.weight_decay": 1e-3}, "minus": {"condition": "*weight_decay=0.0"}}
    result = asked_of_grid(tables, where={"feature": "easy"}, trend="network.init_scale", **sides)
    slopes = [
        [linregress(GAIN[level], y[level]).slope for y in values["easy"].T]
        for level in (np.flatnonzero(w == DECAY) for w in (1e-3, 0.0))
    ]
    assert_is_mean(result, np.subtract(*slopes))


def test_conditions_are_chosen_by_patterns_and_by_settings():
    tables, _ = grid()
    results = [
        asked_of_grid(tables, where={"feature": "easy"} | chosen, trend="network.init_scale")
        for chosen in (
            {"condition": [n.partition("/")[2] for n in GRID if n.endswith("=0.0")]},
            {"condition": "*weight_decay=0.0"},
            {"training.weight_decay": 0},
            {"training.weight_decay": [0, 5.0]},
        )
    ]
    assert results[1:] == results[:-1]
    everything = asked_of_grid(tables, where={"feature": "easy"}, trend="network.init_scale")
    assert results[0].effect != everything.effect


def test_levels_without_an_included_network_are_named():
    tables, _ = grid()
    rows = tables["variance_explained"]
    rows.loc[rows["condition"].str.startswith("init_scale=2"), "included"] = False
    result = asked_of_grid(tables, where={"feature": "easy"}, trend="network.init_scale")
    assert "no network at init_scale=2; slope over 0.5 and 1; 21 of 63 networks" in result.remark
    rows["included"] = rows["condition"].str.startswith("init_scale=1")
    result = asked_of_grid(tables, where={"feature": "easy"}, trend="network.init_scale")
    assert "no network at init_scale=0.5 and 2" in result.remark
    assert result.verdict == "inconclusive"


def test_where_settings_change_together_the_slope_is_over_both():
    """On a diagonal of the grid no level of the one has several of the other."""
    tables, values = grid()
    diagonal = [*GRID][::4]
    where = {"feature": "easy", "condition": [n.partition("/")[2] for n in diagonal]}
    result = asked_of_grid(tables, where=where, trend="network.init_scale")
    assert_is_mean(result, [linregress(GAIN[::4], y[::4]).slope for y in values["easy"].T])
    question = Question(
        asks="?", table="variance_explained", column="r2", where=where, trend="network.init_scale"
    )
    assert measure_of(question, GRID).endswith("init_scale, along with training.weight_decay")


@pytest.mark.slow
def test_without_a_trend_few_are_found():
    """Of 300 sweeps of three levels and ten skewed networks each: at most 3 % on either side."""
    found = np.zeros(2)
    for seed in range(300):
        tables, settings, _ = sweep({"a": 0.0, "b": 0.5, "larger": 1.0}, 10, 0.0)
        r2 = tables["variance_explained"]
        r2["r2"] = np.random.default_rng(seed).exponential(size=len(r2))
        result = asked(tables, settings, trend="training.dropout", **TREND)
        found += result.ci_low > 0, result.ci_high < 0
    assert (found <= 9).all()


def test_a_trend_over_a_column():
    """Accuracy against the number of components, each network with a slope of its own."""
    slopes = np.array([1.0, 2.0, 3.0, 2.5, 1.5, 2.0])
    entries = [
        {"feature": "hard", "n_components": k, "accuracy": slopes * k + 0.1} for k in (1, 2, 4)
    ]
    tables = tables_of(table("components", "both", entries))
    result = asked(tables, table="components", column="accuracy", trend="n_components")
    expected = Estimate.of_mean(slopes)
    assert (result.effect, result.ci_low) == pytest.approx((expected.value, expected.low()))


def test_conditions_without_a_value_take_no_part():
    tables, settings, r2 = sweep({"a": 0.0, "b": 0.1, "larger": 0.2}, 6, 0.01)
    settings["tasks/larger"] = {"training.dropout": None}
    result = asked(tables, settings, trend="training.dropout", **TREND)
    assert (result.n_included, result.n_excluded) == (6, 0)
    assert_is_mean(result, (r2["b"] - r2["a"]) / 0.1)


# In the table of claims


def test_answers_stand_behind_the_claims_and_are_corrected_with_them():
    roles, tables = built("C1", 0.02, np.random.default_rng(0), n=9, sd=0.05)
    question = Question(asks="Mine?", table="variance_explained", column="r2", **EASY_HARD)
    rows = decide({"C1": roles}, tables, LAYERS, "corr", {"mine": question})
    assert rows["claim"].tolist() == ["C1", "C1", "mine", "mine"]
    assert rows["snapshot"].tolist() == ["final", "mastered"] * 2
    assert rows.loc[2:, "statement"].tolist() == ["Mine?"] * 2
    assert rows["p"].round(9).nunique() == 1
    c = sum(1 / k for k in range(1, 5))
    np.testing.assert_allclose(rows["p_fdr"], np.minimum(rows["p"] * c, 1))


def test_a_question_that_says_when_is_decided_once():
    _, tables = built("C1", 0.02, np.random.default_rng(0), n=9, sd=0.05)
    question = Question(
        asks="Mine?",
        table="variance_explained",
        column="r2",
        where={"feature": "easy"},
        this={"snapshot": "final"},
        minus={"snapshot": "mastered"},
    )
    rows = decide({}, tables, LAYERS, "corr", {"mine": question})
    assert rows["effect"].tolist() == [0]
    assert rows["snapshot"].tolist() == ["final"]


def test_the_table_says_what_is_averaged_over():
    tables, _ = grid()
    trend = {"this": {"feature": "easy"}, "minus": {"feature": "hard"}}
    trend |= {"table": "variance_explained", "column": "r2", "trend": "network.init_scale"}
    questions = {
        "all": Question(asks="?", **trend),
        "one": Question(asks="?", where={"training.weight_decay": 0}, **trend),
    }
    layers = dict.fromkeys(GRID, ANALYSED)
    rows = decide({}, tables, layers, questions=questions, settings=GRID)
    assert rows["measure"].tolist()[::2] == [
        "r2 of variance_explained: feature easy minus feature hard, slope over "
        "network.init_scale, averaged over training.weight_decay",
        "r2 of variance_explained (training.weight_decay 0): feature easy minus feature hard, "
        "slope over network.init_scale",
    ]
    assert rows["n_included"].tolist() == [7] * 4


def test_what_is_compared_is_said():
    question = Question(
        asks="?", table="steering", column="flips", trend="strength", where={"feature": ["a", "b"]}
    )
    assert measure_of(question) == "flips of steering (feature a or b): slope over strength"


# What is refused


STUDY = """
study: test
experiments:
  tasks:
    stimuli: {features: {easy: {function: bit}, hard: {function: xor}}}
    analyses: [variance_explained, steering, rsa_models]
    vary: {training.dropout: [0.0, 0.5], training.optimizer: [adam, sgd]}
  small:
    stimuli: {features: {easy: {function: bit}, hard: {function: xor}}}
    analyses: [variance_explained]
questions:
  mine:
    asks: words
    table: variance_explained
    column: r2
    where: {feature: hard, condition: "dropout=0.5,optimizer=adam"}
    this: {layer: hidden1}
    minus: {layer: hidden2}
"""


def with_question(**changes):
    config = yaml.safe_load(STUDY)
    question = config["questions"]["mine"] | changes
    config["questions"]["mine"] = {k: v for k, v in question.items() if v is not None}
    return config


def test_the_question_is_possible():
    load_study(with_question(), try_networks=False)


NO_SIDES = {"this": None, "minus": None}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": "variance_explaind"}, ".table: no table 'variance_explaind'; did you mean"),
        ({"table": "probes"}, ".table: this study makes no table 'probes'; it makes learning, va"),
        ({"table": "claims"}, ".table: this study makes no table 'claims'"),
        ({"units": "subjects"}, ".table: rows of 'variance_explained' do not say which subjects"),
        ({"column": "r2_final"}, ".column: variance_explained has no column 'r2_final'; did you"),
        ({"column": "layer"}, ".column: 'layer' holds str; expected one of seed, step, r2"),
        ({"where": {"fature": "hard"}}, ".where.fature: variance_explained has no such column"),
        ({"where": {"feature": "hrad"}}, ".where.feature: no row can have 'hrad'; did you mean"),
        ({"where": {"feature": 3}}, ".where.feature: found 3; variance_explained.feature holds"),
        ({"where": {"step": "late"}}, ".where.step: found 'late'; variance_explained.step holds"),
        ({"where": {"seed": 1.5}}, ".where.seed: found 1.5; variance_explained.seed holds int"),
        ({"where": {"included": 1}}, ".where.included: found 1; variance_explained.included hol"),
        ({"where": {"feature": []}}, ".where.feature: no value"),
        ({"this": {"layer": "hidden9"}}, ".this.layer: no row can have 'hidden9'"),
        ({"minus": {"snapshot": "end"}}, ".minus.snapshot: no row can have 'end'"),
        ({"where": {"condition": "base", "experiment": "tasks"}}, "tasks has no condition 'base'"),
        ({"table": "steering", "column": "flips", "where": {"experiment": "small"}}, "needs 'stee"),
        (NO_SIDES | {"trend": "layer"}, ".trend: 'layer' holds str; expected a numeric column: s"),
        (NO_SIDES | {"trend": "r2"}, ".trend: 'r2' is what is compared"),
        (NO_SIDES | {"trend": "dropout"}, ".trend: variance_explained has no column 'dropout'; "),
        (
            NO_SIDES | {"trend": "training.optimizer", "where": {}},
            "found no number; allowed: train",
        ),
        (NO_SIDES | {"trend": "training.dropout"}, "two numeric values or more in the condition"),
        (NO_SIDES, "give `this` and `minus` for a difference, or `trend` for a trend"),
        ({"trend": "step", "minus": None}, "found `this` without `minus`; give both for the tren"),
        ({"trend": "step", "this": {"step": 0}}, "`this` and `minus` fix 'step', the axis of the"),
        (
            {"trend": "training.dropout", "where": {}}
            | {"this": {"experiment": "tasks"}, "minus": {"experiment": "small"}},
            ".trend: `this` is of tasks and `minus` of small, but the trend of a difference is t",
        ),
        (
            {"trend": "training.dropout", "where": {}}
            | {"this": {"layer": "hidden1"}}
            | {"minus": {"layer": "hidden2", "training.dropout": 0.5}},
            "`this` and `minus` fix 'training.dropout', the axis of the trend",
        ),
        (
            {"where": {"condition": "*optimizer=sgdd"}},
            ".where.condition: no row can have '*optimizer=sgdd'; did you",
        ),
        ({"where": {"training.dropuot": 0.5}}, "no such column; did you mean 'training.dropout'?"),
        ({"where": {"training.dropout": 0.4}}, ".dropout: no condition has 0.4; did you mean '0."),
        ({"where": {"training.optimizer": "agd"}}, "no condition has 'agd'; did you mean 'sgd'?"),
        (
            {"where": {"training.dropout": 0.5, "condition": "*dropout=0.0*"}},
            "has all of training.dropout 0.5, condition *dropout=0.0*",
        ),
        (
            {"table": "rsa_models", "column": "similarity", "where": {"training.dropout": 0.5}},
            "training.dropout: rows of rsa_models are of pairs",
        ),
        ({"minus": {"layer": "hidden1"}}, "`this` and `minus` are the same rows"),
        ({"asks": ""}, "questions.mine.asks"),
    ],
)
def test_a_question_without_an_answer_is_refused_before_the_run(changes, said):
    with pytest.raises(ConfigError) as error:
        load_study(with_question(**changes), try_networks=False)
    assert any(said in problem for problem in error.value.problems), error.value.problems
    assert all("questions.mine" in problem for problem in error.value.problems)


def test_a_question_is_not_called_like_a_claim():
    config = with_question()
    config["questions"] = {"C1": config["questions"]["mine"]}
    with pytest.raises(ConfigError, match=r"questions.C1: a claim has the same name"):
        load_study(config, try_networks=False)


def test_the_values_of_settings_are_those_of_the_conditions():
    config = with_question(**NO_SIDES, trend="training.dropout", where={"experiment": "tasks"})
    plan = Plan(load_study(config, try_networks=False))
    settings = plan.settings()
    assert settings["tasks/dropout=0.5,optimizer=sgd"] == {
        "training.dropout": 0.5,
        "training.optimizer": "sgd",
    }
    assert settings["small/base"] == {"training.dropout": 0}
    assert "claims" in plan.tables


# What `check` says


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (4, "questions.mine: tasks has 4 seeds, where a verdict needs 5 and reviewers ask for 15"),
        (5, "reviewers ask for 15: one network that is not included leaves it undecided"),
        (6, None),
    ],
)
def test_too_few_seeds_for_a_verdict_are_told_before_the_run(seeds, said):
    config = with_question(where={"feature": "hard", "training.optimizer": "adam"})
    config["experiments"]["tasks"]["seeds"] = seeds
    found = list(question_warnings(load_study(config, try_networks=False)))
    assert len(found) == bool(said)
    assert not said or said in found[0]


def test_what_a_question_averages_over_is_told_before_the_run():
    config = with_question(where={})
    (said,) = question_warnings(load_study(config, try_networks=False))
    assert said.startswith("questions.mine: averages over all values of feature (easy, hard")
    config = with_question(where={}, this={"feature": "easy"}, minus={"feature": "hard"})
    assert not list(question_warnings(load_study(config, try_networks=False)))
    config = with_question(table="steering", column="flips", where={"output": "hard"}, **NO_SIDES)
    config["questions"]["mine"]["trend"] = "strength"
    (said,) = question_warnings(load_study(config, try_networks=False))
    assert "averages over all values of feature" in said


def test_the_range_of_a_trend_is_that_of_what_is_compared():
    """Of conditions that neither side names, and of networks left out, nothing counts."""
    settings = {f"tasks/g{g}": {"network.gain": g} for g in (1, 2, 3, 4)}
    rows = pd.DataFrame(
        {"experiment": "tasks", "condition": name.partition("/")[2], "seed": 0, "feature": feature}
        | {"r2": 0.0, "included": name != "tasks/g1"}
        for name in settings
        for feature in ("a", "b")
    )
    sides = {"this": {"feature": "a"}, "minus": {"feature": "b"}}
    question = Question(
        asks="?",
        table="variance_explained",
        column="r2",
        trend="network.gain",
        this=sides["this"] | {"condition": ["g1", "g2", "g3"]},
        minus=sides["minus"] | {"condition": ["g1", "g2", "g3"]},
    )
    assert axis_range(question, rows, settings) == (2, 3)
