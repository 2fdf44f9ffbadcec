"""What claims about images require of a study."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import ANALYSED, table, tables_of

from repbias.claims.decide import decide
from repbias.config.file import ConfigError
from repbias.pipeline.checks import few_networks, load_study

PAIR = {"colour": "colour", "shape": "shape"}


def study(claim, roles, **experiment):
    """A study of images with one claim."""
    stimuli = {"kind": "trifeature"} | experiment.pop("stimuli", {})
    settings = {"network": {"kind": "cnn"}, "stimuli": stimuli} | experiment
    config = {"study": "test", "experiments": {"e": settings}, "claims": {claim: roles}}
    return load_study(config, try_networks=False)


def problems(*args, **settings):
    with pytest.raises(ConfigError) as error:
        study(*args, **settings)
    return error.value.problems


@pytest.mark.parametrize(
    ("claim", "kind", "other"), [("C11", "cnn", "resnet"), ("C12", "resnet", "cnn")]
)
def test_plain_and_residual_networks_are_told_apart(claim, kind, other):
    roles = {"condition": "e/base"} | PAIR
    assert study(claim, roles, network={"kind": kind}).claims
    for found in (other, "vit"):
        assert problems(claim, roles, network={"kind": found}) == [
            f"claims.{claim}: network.kind of e/base is {found!r}; expected {kind!r}"
        ]
    assert problems(claim, roles, network={"kind": kind, "analysed_layer": "stage2"}) == [
        f"claims.{claim}: network.analysed_layer of e/base is 'stage2'; expected 'pool'"
    ]


def test_more_classes_are_the_only_difference():
    vary = {"stimuli.n_classes": [2, 4]}
    roles = {"few": "e/n_classes=2", "many": "e/n_classes=4", "easy": "colour", "hard": "shape"}
    assert study("C18", roles, vary=vary).claims
    turned = roles | {"few": roles["many"], "many": roles["few"]}
    (found,) = problems("C18", turned, vary=vary)
    assert "stimuli.n_classes is 4 in e/n_classes=4 and 2 in e/n_classes=2" in found
    both = {"stimuli": {"few": {"n_classes": 2}, "many": {"n_classes": 4, "n_train": 4096}}}
    roles |= {"few": "e/stimuli=few", "many": "e/stimuli=many"}
    (found,) = problems("C18", roles, vary=both)
    assert "nothing else; stimuli.n_train is 8192 and 4096" in found


def test_more_supervision_is_the_only_difference():
    stimuli = {"n_train": 256}
    vary = {"stimuli.supervised": {"all": {}, "some": {"shape": 0.25}}}
    roles = {"more": "e/supervised=all", "less": "e/supervised=some", "feature": "shape"}
    assert study("C7c", roles, vary=vary, stimuli=dict(stimuli)).claims
    turned = roles | {"more": roles["less"], "less": roles["more"]}
    (found,) = problems("C7c", turned, vary=vary, stimuli=dict(stimuli))
    assert "is 0.25 in e/supervised=some and 1.0 in e/supervised=all; expected more" in found
    (found,) = problems("C7c", roles | {"feature": "colour"}, vary=vary, stimuli=dict(stimuli))
    assert "'colour' is 1.0" in found
    vary = {"training.dropout": [0.0, 0.1]}
    roles |= {"more": "e/dropout=0.0", "less": "e/dropout=0.1"}
    (found,) = problems("C7c", roles, vary=vary, stimuli=dict(stimuli))
    assert "must differ in stimuli.supervised and nothing else" in found


@pytest.mark.parametrize(
    ("probability", "targets", "said"),
    [
        (1.0, ["shape"], ""),
        (0.9, ["shape"], "with probability 1"),
        (1.0, ["shape", "colour"], "expected one of"),
        (1.0, ["texture"], "expected one of"),
    ],
)
def test_redundant_features_say_the_same_and_one_is_trained(probability, targets, said):
    stimuli = {"agreement": {"features": ["shape", "colour"], "probability": probability}}
    roles = {"condition": "e/base", "first": "shape", "second": "colour"}
    args = {"stimuli": stimuli, "training": {"targets": targets}}
    if said:
        (found,) = problems("C21", roles, **args)
        assert said in found
    else:
        assert study("C21", roles, **args).claims
    (found,) = problems("C21", roles | {"second": "texture"}, **args)[:1]
    assert "expected 'shape' and 'texture' with probability 1" in found


# Conditions that are taken together


def test_networks_of_conditions_that_a_pattern_names_are_taken_together():
    """Two conditions whose networks have the same seeds: the effect is the mean over all."""
    rng = np.random.default_rng(0)
    easy, hard = rng.uniform(0.5, 0.6, (2, 4)), rng.uniform(0.1, 0.2, (2, 4))
    frames = [
        table(
            "variance_explained",
            name,
            [{"feature": f, "r2": v} for f, v in (("easy", easy[i]), ("hard", hard[i]))],
        )
        for i, name in enumerate(("one", "two"))
    ]
    tables = tables_of(*frames)
    layers = {"tasks/one": ANALYSED, "tasks/two": ANALYSED, "others/one": "hidden9"}
    roles = {"condition": "tasks/*", "easy": "easy", "hard": "hard"}
    row = decide({"C1": roles}, tables, layers).iloc[0]
    assert row["effect"] == pytest.approx((easy - hard).mean())
    assert (row["n_included"], row["n_excluded"], row["verdict"]) == (8, 0, "supported")


@pytest.mark.parametrize(
    ("claim", "roles", "said"),
    [
        ("C1", {"condition": "e/*", "easy": "colour", "hard": "shape"}, ""),
        ("C11", {"condition": "e/*"} | PAIR, ""),
        ("C12", {"condition": "e/*"} | PAIR, "network.kind of e/seed=0 is 'cnn'"),
        ("C1", {"condition": "f/*", "easy": "colour", "hard": "shape"}, "no condition 'f/*'"),
        ("C19", {"easy": "e/*", "both": "e/seed=0"}, "name them, without a pattern"),
    ],
)
def test_a_pattern_is_possible_where_a_claim_is_about_one_condition(claim, roles, said):
    vary = {"stimuli.seed": [0, 1]}
    if said:
        assert any(said in problem for problem in problems(claim, roles, vary=vary))
    else:
        loaded = study(claim, roles, vary=vary, seeds=3)
        assert loaded.claims
        assert list(few_networks(loaded)) == []
        loaded = study(claim, roles, vary=vary, seeds=2)
        assert "e/* has 4 networks" in next(few_networks(loaded))


def test_conditions_that_are_taken_together_have_one_analysed_layer():
    roles = {"condition": "e/*", "easy": "colour", "hard": "shape"}
    vary = {"network.analysed_layer": ["stage1", "pool"]}
    (found,) = problems("C1", roles, vary=vary)
    assert "must have one analysed layer" in found
