"""Questions of the user's own: against claims, regressions by SciPy, and refused ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import linregress
from synthetic import ANALYSED, SNAPSHOTS, built, decided, table, tables_of

from repbias.base.statistics import Estimate
from repbias.claims.decide import decide
from repbias.claims.questions import answer, measure_of
from repbias.config.file import ConfigError
from repbias.config.questions import Question
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.tables import as_table

LAYERS = {f"tasks/{c}": ANALYSED for c in ("both", "easy", "hard", "larger", "smaller", "a", "b")}
EASY_HARD = {"this": {"feature": "easy"}, "minus": {"feature": "hard"}}
LARGER_SMALLER = {"this": {"condition": "larger"}, "minus": {"condition": "smaller"}}


def asked(tables, axis=None, snapshot="final", **question):
    question = Question(asks="words", **question)
    return answer(question, tables[question.table], LAYERS, "corr", snapshot, axis or {})


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


def test_a_difference_between_conditions_is_that_of_the_claim():
    """C22 as a question."""
    roles, tables = built("C22", 0.1, np.random.default_rng(0), n=9, sd=0.02)
    where = {"feature": "unused", "probe": "linear"}
    result = asked(tables, table="probes", column="accuracy", where=where, **LARGER_SMALLER)
    row = decided("C22", roles, tables)["final"]
    for name in ("effect", "ci_low", "ci_high"):
        assert getattr(result, name) == pytest.approx(row[name], abs=1e-10), name
    assert result.verdict == "supported", "a claim of no difference, asked as one of a difference"


@pytest.mark.parametrize("effect", [0.0, 0.02])
def test_a_contrast_of_similarities_is_that_of_the_claim(effect):
    """C20 as a question: networks are left out of all their pairs; equal seeds are no pair."""
    roles, tables = built("C20", effect, np.random.default_rng(1), n=7)
    result = asked(
        tables,
        table="rsa_models",
        column="similarity",
        this={"condition_a": "easy", "condition_b": "easy"},
        minus={"condition_a": "hard", "condition_b": "hard"},
    )
    assert_equals_claim(result, decided("C20", roles, tables)["final"])


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
    axis = {f"tasks/{c}": x for c, x in levels.items()}
    return tables_of(*frames), axis, r2


TREND = {"table": "variance_explained", "column": "r2", "where": {"feature": "hard"}}


def test_a_trend_over_a_setting_is_the_slope_of_a_regression():
    levels = {"a": 0.0, "b": 0.1, "larger": 0.4}
    tables, axis, r2 = sweep(levels, 8, 0.1)
    result = asked(tables, axis, trend="training.dropout", **TREND)
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


@pytest.mark.slow
def test_without_a_trend_few_are_found():
    """Of 300 sweeps of three levels and ten skewed networks each: at most 3 % on either side."""
    found = np.zeros(2)
    for seed in range(300):
        tables, axis, _ = sweep({"a": 0.0, "b": 0.5, "larger": 1.0}, 10, 0.0)
        r2 = tables["variance_explained"]
        r2["r2"] = np.random.default_rng(seed).exponential(size=len(r2))
        result = asked(tables, axis, trend="training.dropout", **TREND)
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
    tables, axis, _ = sweep({"a": 0.0, "b": 0.1, "larger": 0.2}, 6, 0.01)
    del axis["tasks/larger"]
    result = asked(tables, axis, trend="training.dropout", **TREND)
    assert (result.n_included, result.n_excluded) == (12, 0)


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
        (NO_SIDES | {"trend": "training.optimizer", "where": {}}, "found no number; did you mean"),
        (NO_SIDES | {"trend": "training.dropout"}, "two numeric values or more in the condition"),
        (NO_SIDES, "give `this` and `minus` for a difference, or `trend` for a trend"),
        ({"trend": "step"}, "give `this` and `minus`, or `trend`; found both"),
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


def test_the_values_of_an_axis_are_those_of_the_conditions():
    config = with_question(**NO_SIDES, trend="training.dropout", where={"experiment": "tasks"})
    plan = Plan(load_study(config, try_networks=False))
    axis = plan.axes()["mine"]
    assert plan.settings() == {n: {"training.dropout": v} for n, v in axis.items()}
    assert axis["tasks/dropout=0.5,optimizer=sgd"] == 0.5
    assert axis["tasks/dropout=0.0,optimizer=adam"] == 0
    assert "claims" in plan.tables
