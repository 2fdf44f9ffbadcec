"""Claims whose units are tasks: the order of reports, and the residual path of an encoder."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from synthetic import EMPTY, SNAPSHOTS

from repbias.base.statistics import Estimate, slope_within
from repbias.claims.decide import decide
from repbias.config.file import ConfigError
from repbias.config.orders import balanced_orders
from repbias.pipeline.checks import few_networks, load_study
from repbias.tables import TABLES, as_table

FEATURES = ("a", "b", "c", "d")


def row(table, **values):
    return dict.fromkeys(TABLES[table].columns, 0) | values


def made(slopes, rng, experiment="orders", n_networks=2, noise=0.01, excluded=()):
    """Tables of tasks, in each of which R² changes by this much from one place to the next."""
    learning, variance, reported = [], [], {}
    of_feature = rng.uniform(0.1, 0.4, len(FEATURES))
    for task, slope in enumerate(slopes):
        for number, order in enumerate(balanced_orders(len(FEATURES))):
            condition = f"task={task},order={number}"
            names = [FEATURES[i] for i in order]
            reported[f"{experiment}/{condition}"] = {"task": task, "order": names}
            for seed in range(n_networks):
                about = {"experiment": experiment, "condition": condition, "seed": seed}
                about |= {
                    "network": f"seed{seed}",
                    "included": (task, number, seed) not in excluded,
                }
                for f, feature in enumerate(FEATURES):
                    learning.append(row("learning", **about, feature=feature))
                    r2 = of_feature[f] + slope * names.index(feature) + noise * rng.normal()
                    variance += [
                        row("variance_explained", **about, feature=feature, r2=r2, layer="encoder2")
                        | {"snapshot": snapshot}
                        for snapshot in SNAPSHOTS
                    ]
    tables = {"learning": learning, "variance_explained": variance}
    return {name: as_table(name, rows) for name, rows in tables.items()}, reported


def decided(claims, tables, reported, snapshot="final"):
    layers = dict.fromkeys(reported, "encoder2")
    rows = decide(claims, EMPTY | tables, layers, reported=reported)
    return rows[rows["snapshot"] == snapshot].set_index("claim")


def joined(*parts):
    names = parts[0].keys()
    return {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in names}


def test_the_slope_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    cells = [(f, p, rng.normal()) for f in FEATURES for p in range(4) for _ in range(3)]
    cells = cells[:-5]
    design = np.array([[p, *(f == g for g in FEATURES)] for f, p, _ in cells], float)
    values = np.array([value for *_, value in cells])
    expected = np.linalg.lstsq(design, values, rcond=None)[0][0]
    assert slope_within(*zip(*cells, strict=True)) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(slope_within(["a", "b"], [1, 2], [0.3, 0.4]))


def test_the_effect_is_the_mean_fall_over_tasks_whatever_features_have():
    rng = np.random.default_rng(1)
    slopes = -0.03 + 0.01 * rng.normal(size=10)
    found = decided({"C8": {"orders": "orders/*"}}, *made(slopes, rng, noise=0)).loc["C8"]
    assert found["effect"] == pytest.approx(-slopes.mean(), abs=1e-12)
    assert found["verdict"] == "supported"
    assert found["n_included"] == 80
    assert "10 tasks, where reviewers ask for 15" in found["remark"]
    spread = slopes.std(ddof=1) / np.sqrt(10)
    assert found["effect"] - found["ci_low"] > 2 * spread


def test_networks_that_are_left_out_leave_the_slope_as_it_is():
    rng = np.random.default_rng(2)
    slopes = np.full(6, -0.05) + 0.01 * rng.normal(size=6)
    tables, reported = made(slopes, rng, noise=0, excluded={(0, 0, 0), (0, 0, 1), (3, 2, 1)})
    found = decided({"C8": {"orders": "orders/*"}}, tables, reported).loc["C8"]
    assert found["effect"] == pytest.approx(-slopes.mean(), abs=1e-12)
    assert (found["n_included"], found["n_excluded"]) == (45, 3)


def test_tasks_without_networks_do_not_count():
    slopes, rng = [-0.1] * 6, np.random.default_rng(7)
    none = {(0, number, seed) for number in range(4) for seed in range(2)}
    claims = {"C8": {"orders": "orders/*"}}
    found = decided(claims, *made(slopes, rng, excluded=none)).loc["C8"]
    assert "5 tasks" in found["remark"]
    every = {(t, number, seed) for t in range(6) for _, number, seed in none}
    found = decided(claims, *made(slopes, rng, excluded=every)).loc["C8"]
    assert (found["verdict"], found["n_excluded"]) == ("inconclusive", 48)


def test_few_tasks_decide_nothing_however_many_networks():
    tables, reported = made([-0.1] * 4, np.random.default_rng(3), n_networks=10)
    found = decided({"C8": {"orders": "orders/*"}}, tables, reported).loc["C8"]
    assert found["verdict"] == "inconclusive"
    assert "4 tasks, where a verdict needs 5" in found["remark"]


def test_the_control_is_compared_task_by_task():
    rng = np.random.default_rng(4)
    common = 0.2 * rng.normal(size=8)
    more = 0.02 + 0.002 * rng.normal(size=8)
    fed, about = made(common - more, rng, "fed", noise=0)
    plain, about_plain = made(common, rng, "unfed", noise=0)
    claims = {"C8b": {"orders": "fed/*", "unfed": "unfed/*"}}
    found = decided(claims, joined(fed, plain), about | about_plain).loc["C8b"]
    # Tasks differ ten times as much as what they have in common.
    assert found["effect"] == pytest.approx(more.mean(), abs=1e-12)
    assert found["verdict"] == "supported"
    assert found["ci_high"] - found["ci_low"] < 0.01


def test_the_residual_path_is_compared_task_by_task():
    rng = np.random.default_rng(5)
    learning, variance, reported = [], [], {}
    gains = 0.1 + 0.01 * rng.normal(size=7)
    for experiment, sign in (("full", 1), ("half", 0)):
        for task, gain in enumerate(gains):
            reported[f"{experiment}/task={task}"] = {"task": task, "order": ["one", "seven"]}
            for seed in range(2):
                about = {"experiment": experiment, "condition": f"task={task}", "seed": seed}
                about |= {"network": f"seed{seed}", "included": True}
                for feature, r2 in (("one", 0.2), ("seven", 0.1 + 0.05 * task + sign * gain)):
                    learning.append(row("learning", **about, feature=feature))
                    variance += [
                        row("variance_explained", **about, feature=feature, r2=r2, layer="encoder2")
                        | {"snapshot": snapshot}
                        for snapshot in SNAPSHOTS
                    ]
    tables = {"learning": learning, "variance_explained": variance}
    tables = {name: as_table(name, rows) for name, rows in tables.items()}
    claims = {"C14": {"past": "full/*", "less": "half/*", "wide": "seven", "narrow": "one"}}
    found = decided(claims, tables, reported).loc["C14"]
    assert found["effect"] == pytest.approx(gains.mean(), abs=1e-12)
    assert found["verdict"] == "supported"
    assert found["n_included"] == 28


def test_an_order_that_does_not_matter_is_rarely_decided():
    """Orders permuted after the fact, in 400 studies of ten tasks: at most 7 % are decided."""
    rng = np.random.default_rng(6)
    every = [list(order) for order in permutations(range(4))]
    decisions = 0
    for _ in range(400):
        # Features, tasks and networks differ; skewed, as R² is.
        slopes = []
        for _ in range(10):
            of_feature = rng.gamma(2, 0.1, size=4)
            cells = []
            for order in balanced_orders(4):
                shuffled = every[rng.integers(24)]
                r2 = of_feature + rng.gamma(1, 0.05, size=4)
                cells += [(str(f), shuffled.index(f), r2[f]) for f in order]
            slopes.append(slope_within(*zip(*cells, strict=True)))
        estimate = Estimate.of_mean(-np.array(slopes))
        decisions += estimate.low() > 0 or estimate.high() < 0
    assert decisions <= 0.07 * 400


STIMULI = {"kind": "tokens", "length": 8, "vocabulary": 8}
STIMULI |= {"features": {name: {"function": "member"} for name in FEATURES}}


BITS = {"features": {name: {"function": "bit"} for name in FEATURES}}


def problems(claims, **experiments):
    given = {"stimuli": STIMULI, "network": {"kind": "transformer"}, "seeds": 1}
    given |= {"analyses": ["variance_explained"]}
    content = {
        name: {key: value for key, value in (given | changes).items() if value is not None}
        for name, changes in experiments.items()
    }
    with pytest.raises(ConfigError) as error:
        load_study({"study": "s", "experiments": content, "claims": claims}, try_networks=False)
    return " ".join(error.value.problems)


BALANCED = {"vary": {"network.order": "balanced"}}
UNFED = {"network": {"kind": "transformer", "answers": "unfed"}}


def of(**network):
    return {"network": {"kind": "transformer"} | network}


@pytest.mark.parametrize(
    ("experiment", "problem"),
    [
        (
            {"vary": {"network.order": {"x": list("abcd"), "y": list("dcba")}}},
            "in task 0, 2 orders do not have every feature at every place equally often",
        ),
        (of(answers="heads"), "report features at once, in no order"),
        (
            UNFED | BALANCED | {"training": {"targets": ["a", "b"]}},
            "training.targets of e/order=a-b-d-c must be all features that are reported",
        ),
        (
            {"vary": {"network.order": "balanced", "network.readout": ["flatten", "token_mean"]}},
            "differ in stimuli.task and network.order only, not in network.readout",
        ),
        (
            {"vary": {"network.order": "balanced", "stimuli.length": [8, 9]}},
            "differ in stimuli.task and network.order only, not in stimuli.length",
        ),
        (of(kind="mlp", hidden=[8]) | {"stimuli": BITS}, "networks of e/base are no transformers"),
    ],
)
def test_orders_must_be_balanced(experiment, problem):
    assert problem in problems({"C8": {"orders": "e/*"}}, e=experiment)


def test_networks_that_are_trained_elsewhere_have_no_order_of_their_own():
    shown = {"trained_in": "e/order=a-b-d-c", "network": None, "seeds": 1}
    assert "networks of f/base are trained in e/order=a-b-d-c; name that" in problems(
        {"C8": {"orders": "f/*"}}, e=BALANCED, f=shown
    )


@pytest.mark.parametrize(
    ("unfed", "problem"),
    [
        (BALANCED, "network.answers of f/order=a-b-d-c is 'fed'; expected 'unfed'"),
        (of(answers="unfed", readout="flatten") | BALANCED, "only, not in network.readout"),
        (
            of(answers="unfed", architecture="decoder_only") | BALANCED,
            "only, not in network.architecture",
        ),
    ],
)
def test_the_control_must_differ_in_fed_answers_only(unfed, problem):
    claims = {"C8b": {"orders": "e/*", "unfed": "f/*"}}
    assert problem in problems(claims, e=BALANCED, f=unfed)
    swapped = {"C8b": {"orders": "f/*", "unfed": "e/*"}}
    assert "network.answers of f/order=a-b-d-c is 'unfed'; expected 'fed'" in problems(
        swapped, e=BALANCED, f=UNFED | BALANCED
    )


@pytest.mark.parametrize(
    ("past", "less", "problem"),
    [
        ({}, {}, "network.residual_scale must be larger in past (1.0) than in less (1.0)"),
        (of(residual_scale=0.5), {}, "must be larger in past (0.5)"),
        (
            {},
            of(residual_scale=0.5) | {"vary": {"stimuli.task": [1, 2]}},
            "past and less must have the same tasks",
        ),
        ({}, of(residual_scale=0.5, depth=3), "differ in network.residual_scale only, not in"),
        (of(architecture="decoder_only"), {}, "is 'decoder_only'; expected 'encoder_decoder'"),
    ],
)
def test_residual_paths_must_differ_and_nothing_else(past, less, problem):
    claims = {"C14": {"past": "e/*", "less": "f/*", "wide": "a", "narrow": "b"}}
    assert problem in problems(claims, e=past, f=less)


def test_few_tasks_are_told_beforehand():
    vary = {"network.order": "balanced", "stimuli.task": [0, 1, 2, 3]}
    given = {"stimuli": STIMULI, "network": {"kind": "transformer"}, "seeds": 1, "vary": vary}
    content = {"study": "s", "experiments": {"e": given}, "claims": {"C8": {"orders": "e/*"}}}
    (said,) = few_networks(load_study(content, try_networks=False))
    assert said.startswith("claims.C8: e/* has 4 tasks (stimuli.task), where a verdict needs 5")
    vary["stimuli.task"] = [0, 1, 2, 3, 4]
    assert not list(few_networks(load_study(content, try_networks=False)))
