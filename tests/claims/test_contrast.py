"""What the conditions of a claim must differ in, in configurations."""

from __future__ import annotations

import pytest

from repbias.claims.catalogue import CLAIMS
from repbias.config.file import ConfigError
from repbias.pipeline.checks import load_study

FEATURES = {
    "easy": {"function": "bit"},
    "hard": {"function": "xor"},
    "often": {"function": "xor"},
    "seldom": {"function": "xor", "supervised": 0.5},
    "rarely": {"function": "xor", "supervised": 0.5, "prevalence": 0.2},
}
BOTH = {"easy": "easy", "hard": "hard"}
AGREEMENT = {"features": ["easy", "hard"], "probability": 0.5}


def study(claim, roles, vary, **settings):
    """A study with one claim about conditions of one experiment."""
    training = {"targets": ["easy", "hard"]} | settings.pop("training", {})
    stimuli = {"features": FEATURES} | settings.pop("stimuli", {})
    experiment = {"stimuli": stimuli, "training": training, "vary": vary, **settings}
    config = {"study": "test", "experiments": {"e": experiment}, "claims": {claim: roles}}
    return load_study(config, try_networks=False)


def problems(*args, **settings):
    with pytest.raises(ConfigError) as error:
        study(*args, **settings)
    return error.value.problems


def of(first, second, **conditions):
    """Roles of a claim about conditions with short names."""
    return {first: f"e/{conditions[first]}", second: f"e/{conditions[second]}"}


def test_another_setting_than_the_claims_is_named_with_both_values():
    """Conditions with the same parameter noise, and another gain of a feature."""
    roles = of("plain", "noisy", plain="gain=1", noisy="gain=4") | BOTH
    vary = {"stimuli.features.easy.gain": {"1": 1, "4": 4}}
    assert problems("C29", roles, vary) == [
        "claims.C29: e/gain=1 and e/gain=4 must differ in training.parameter_noise and nothing "
        "else; training.parameter_noise is 0.0 in both, stimuli.features.easy.gain is 1.0 and 4.0"
    ]


def test_a_second_difference_beside_the_claims_is_refused():
    vary = {"training": {"a": {}, "b": {"weight_decay": 0.1, "learning_rate": 0.5}}}
    roles = of("plain", "decayed", plain="training=a", decayed="training=b") | BOTH
    assert problems("C29b", roles, vary) == [
        "claims.C29b: e/training=a and e/training=b must differ in training.weight_decay and "
        "nothing else; training.learning_rate is 0.0003 and 0.5"
    ]


def test_many_differences_are_counted():
    changes = {"weight_decay": 0.1, "learning_rate": 0.5, "batch_size": 16, "mastery": 0.9}
    changes |= {"max_steps": 300, "checkpoints": 3, "extra_steps": 50}
    vary = {"training": {"a": {}, "b": changes}}
    roles = of("plain", "decayed", plain="training=a", decayed="training=b") | BOTH
    (found,) = problems("C29b", roles, vary)
    assert found.endswith("2 more settings differ")


def test_the_number_of_networks_is_no_difference():
    vary = {"training.parameter_noise": [0.0, 0.1], "seeds": [5, 6]}
    roles = {"plain": "e/parameter_noise=0.0,seeds=5", "noisy": "e/parameter_noise=0.1,seeds=6"}
    assert study("C29", roles | BOTH, vary).claims


def test_all_features_are_what_is_trained_without_targets():
    """Named or not, they are the same targets."""
    features = {"features": {name: FEATURES[name] for name in ("easy", "hard")}}
    vary = {"training": {"a": {"targets": None}, "b": {"parameter_noise": 0.1}}}
    roles = of("plain", "noisy", plain="training=a", noisy="training=b") | BOTH
    assert study("C29", roles, vary, stimuli=features).claims


#: Claim, roles by the level that fills them, the setting that varies and its levels, and what is
#: said (nothing where the claim is possible).
CASES = [
    ("C4", "joint=a hard_first=b", "training.curriculum", [], ["hard"], ""),
    ("C4", "joint=a hard_first=b", "training.curriculum", [], ["easy"], "must begin with 'hard'"),
    ("C4", "joint=b hard_first=a", "training.curriculum", [], ["hard"], "must be empty"),
    ("C4", "joint=a hard_first=b", "training.dropout", 0.0, 0.1, "training.curriculum is [] in"),
    ("C4b", "hard_first=b", "training.curriculum", [], ["hard"], ""),
    ("C4b", "hard_first=a", "training.curriculum", [], ["hard"], "must begin with 'hard'"),
    ("C9", "shallow=a deep=b", "network.hidden", [8], [9, 8], ""),
    ("C9", "shallow=b deep=a", "network.hidden", [8], [9, 8], "expected fewer in shallow"),
    ("C9", "shallow=a deep=b", "network.hidden", [8], [9, 9], "must be equally wide"),
    ("C9", "shallow=a deep=b", "training.dropout", 0.0, 0.1, "network.hidden is not given in both"),
    ("C9b", "narrow=a wide=b", "network.hidden", [7, 8], [9, 8], ""),
    ("C9b", "narrow=b wide=a", "network.hidden", [7, 8], [9, 8], "fewer units in narrow"),
    ("C9b", "narrow=a wide=b", "network.hidden", [8], [9, 8], "as many layers"),
    ("C10", "conditions=*", "training.dropout", 0.1, 0.2, ""),
    ("C10", "conditions=*", "training.dropout", 0.0, 0.2, "more than 0 in all conditions"),
    ("C10", "conditions=nothing*", "training.dropout", 0.1, 0.2, "no condition 'e/nothing*'"),
    ("C19", "easy=a both=b", "training.targets", ["easy"], ["easy", "hard"], ""),
    ("C19", "easy=b both=a", "training.targets", ["easy"], ["easy", "hard"], "expected fewer of"),
    ("C19", "easy=a both=b", "training.dropout", 0.0, 0.1, "training.targets is ['easy', 'hard']"),
    ("C20", "easy=a hard=b", "training.targets", ["easy"], ["hard"], ""),
    ("C20", "easy=a hard=b", "training.dropout", 0.0, 0.1, "training.dropout is 0.0 and 0.1"),
    ("C22", "independent=a correlated=b", "stimuli.agreement.probability", 0.5, 0.8, ""),
    ("C22", "independent=b correlated=a", "stimuli.agreement.probability", 0.5, 0.8, "less in ind"),
    ("C22", "independent=a correlated=b", "training.dropout", 0.0, 0.1, "stimuli.agreement is"),
    ("C24", "condition=a other=b", "training.targets", ["easy"], ["hard"], ""),
    ("C24", "condition=a other=b", "training.dropout", 0.0, 0.1, "training.targets is ['easy', "),
    ("C29", "plain=a noisy=b", "training.parameter_noise", 0.0, 0.1, ""),
    ("C29", "plain=b noisy=a", "training.parameter_noise", 0.0, 0.1, "expected less in plain"),
    ("C29b", "plain=a decayed=b", "training.weight_decay", 0.0, 0.1, ""),
    ("C29b", "plain=b decayed=a", "training.weight_decay", 0.0, 0.1, "expected less in plain"),
]


@pytest.mark.parametrize(("claim", "filled", "path", "a", "b", "said"), CASES)
def test_conditions_differ_in_what_the_claim_names(claim, filled, path, a, b, said):
    short = path.rpartition(".")[2]
    roles = {
        role: f"e/{level}" if "*" in level else f"e/{short}={level}"
        for role, level in (pair.split("=") for pair in filled.split())
    }
    features = {role: role for role in CLAIMS[claim].roles if role in ("easy", "hard")}
    roles = features | roles | ({"unused": "hard"} if claim == "C22" else {})
    stimuli = {"agreement": AGREEMENT} if claim == "C22" else {}
    args = claim, roles, {path: {"a": a, "b": b}}
    if said:
        assert any(said in problem for problem in problems(*args, stimuli=stimuli))
    else:
        assert study(*args, stimuli=stimuli).claims


def test_every_claim_that_compares_two_conditions_says_what_must_differ():
    compared = {
        name for name, entry in CLAIMS.items() if [*entry.roles.values()].count("condition") > 1
    }
    of_images = {"C7c", "C18"}  # in test_images.py
    assert compared == {case[0] for case in CASES} - {"C4b", "C10"} | of_images
    assert all(CLAIMS[name].contrast is not None for name in compared)


@pytest.mark.parametrize(
    ("claim", "frequent", "rare", "said"),
    [
        ("C7", "often", "seldom", ""),
        ("C7", "seldom", "often", "expected more for frequent than for rare"),
        ("C7", "often", "rarely", "nothing else; prevalence is 0.5 and 0.2"),
        ("C7", "easy", "seldom", "nothing else; function is bit and xor"),
        ("C7b", "seldom", "rarely", ""),
        ("C7b", "often", "seldom", "prevalence of 'often' and 'seldom' is 0.5 and 0.5"),
    ],
)
def test_two_features_differ_in_what_the_claim_names(claim, frequent, rare, said):
    roles = {"condition": "e/base", "frequent": frequent, "rare": rare}
    args, training = (claim, roles, {}), {"targets": None}
    if said:
        assert any(said in problem for problem in problems(*args, training=training))
    else:
        assert study(*args, training=training).claims


@pytest.mark.parametrize(("easy", "hard", "possible"), [(0.8, 0.9, True), (0.9, 0.9, False)])
def test_the_easy_feature_is_the_less_predictive_one(easy, hard, possible):
    stimuli = {"label": {"easy": easy, "hard": hard}}
    training = {"targets": ["label"], "inclusion": 0}
    args = "C23", {"condition": "e/base", **BOTH}, {}
    if possible:
        assert study(*args, stimuli=stimuli, training=training).claims
    else:
        (found,) = problems(*args, stimuli=stimuli, training=training)
        assert found.endswith("expected less for easy than for hard")
