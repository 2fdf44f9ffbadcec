"""Orders of features: balanced squares, and how a study names them."""

from itertools import pairwise, permutations

import numpy as np
import pytest

from repbias.config.file import ConfigError
from repbias.config.orders import balanced_orders, named_orders
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan

FEATURES = {name: {"function": "member"} for name in ("a", "b", "c", "d")}
STIMULI = {"kind": "tokens", "length": 8, "vocabulary": 8, "features": FEATURES}


@pytest.mark.parametrize("n", range(2, 9))
def test_a_square_is_balanced(n):
    orders = balanced_orders(n)
    often = 1 if n % 2 == 0 else 2
    assert len(orders) == often * n
    places, pairs = np.zeros((n, n), int), np.zeros((n, n), int)
    for order in orders:
        assert sorted(order) == list(range(n))
        for place, thing in enumerate(order):
            places[thing, place] += 1
        for first, second in pairwise(order):
            pairs[first, second] += 1
    assert (places == often).all()
    assert (pairs == often * (1 - np.eye(n, dtype=int))).all()


def test_all_orders_have_names():
    found = named_orders(["x", "y", "z"], "all")
    assert {tuple(order) for order in found.values()} == set(permutations("xyz"))
    assert found["z-x-y"] == ["z", "x", "y"]
    with pytest.raises(ValueError, match="too many orders; expected 'balanced'"):
        named_orders("abcdefgh", "all")


def study(network=None, vary=None, **sections):
    experiment = {"stimuli": STIMULI, "network": {"kind": "transformer"} | (network or {})}
    experiment |= {"vary": vary or {}, **sections}
    return load_study({"study": "s", "experiments": {"e": experiment}}, try_networks=False)


def test_levels_are_named_after_features_and_networks_know_numbers():
    found = study(vary={"network.order": "balanced", "stimuli.task": [0, 7]})
    assert found.experiments["e"].n_conditions() == 8
    names = [name for _, name, _ in found.conditions()]
    assert names[:2] == ["order=a-b-d-c,task=0", "order=a-b-d-c,task=7"]
    assert found.condition("e/order=b-c-a-d,task=7").network.order == [1, 2, 0, 3]
    reported = Plan(found).reported_orders()
    assert reported["e/order=b-c-a-d,task=7"] == {"task": 7, "order": ["b", "c", "a", "d"]}
    assert study().condition("e/base").network.order == [0, 1, 2, 3]
    assert study(vary={"network.order": "all"}).experiments["e"].n_conditions() == 24


@pytest.mark.parametrize(
    ("network", "vary", "message"),
    [
        ({"order": ["a", "b", "c", "e"]}, {}, "network.order: no feature 'e'"),
        ({"order": ["a", "b", "c"]}, {}, "expected each of"),
        ({"order": ["a", "a", "b", "c"]}, {}, "a feature occurs twice"),
        ({}, {"network.depth": "balanced"}, "'balanced' is for network.order only"),
        ({}, {"network.order": "square"}, "vary"),
    ],
)
def test_wrong_orders_are_refused(network, vary, message):
    with pytest.raises(ConfigError, match=message):
        study(network, vary)


def test_a_head_of_two_logits_is_refused():
    with pytest.raises(ConfigError, match="each by one logit"):
        study(training={"two_classes": "softmax"})


def test_the_figure_of_orders_is_shown_where_orders_vary():
    varied = {"network.order": "balanced", "stimuli.task": [0, 1]}
    assert "order" in Plan(study(vary=varied)).figures()
    assert "order" not in Plan(study(vary={"stimuli.task": [0, 1]})).figures()
    assert "order" not in Plan(study({"order": ["d", "c", "b", "a"]})).figures()


def test_labels_of_features_that_are_not_rewarded_are_not_fed():
    for training in ({"targets": ["a", "b"]}, {"curriculum": ["a"]}):
        with pytest.raises(ConfigError, match="are not rewarded, or not from the beginning"):
            study(training=training)
        assert study({"answers": "unfed"}, training=training)


def test_names_of_orders_differ():
    with pytest.raises(ValueError, match="make orders of the same name"):
        named_orders(["a", "a-a"], "balanced")


def test_transformers_that_report_at_once_have_no_order():
    heads = study({"answers": "heads"}, {"stimuli.task": [3]})
    assert Plan(heads).reported_orders() == {"e/task=3": {"task": 3, "order": []}}
