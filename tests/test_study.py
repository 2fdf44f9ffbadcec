"""What a configuration may say, the conditions it expands to, and its JSON schema."""

import copy
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml

from repbias.config_reference import json_schema
from repbias.spec import expand_variables, nearest
from repbias.study import ConfigError, load_study

ROOT = Path(__file__).parents[1]


def configuration(**experiment):
    features = {"easy": {"function": "bit"}, "hard": {"function": "parity", "k": 4}}
    return {
        "study": "test",
        "experiments": {"tasks": {"stimuli": {"features": features}, **experiment}},
    }


def conditions_of(**experiment):
    return load_study(configuration(**experiment)).experiments["tasks"].expand()


def test_without_vary_there_is_one_condition_named_base():
    conditions = conditions_of(seeds=3)
    assert list(conditions) == ["base"]
    assert conditions["base"].seeds == 3


def test_levels_are_crossed_in_order_and_set_nothing_else():
    conditions = conditions_of(
        training={"max_steps": 100},
        vary={"training.optimizer": ["sgd", "adam"], "network.hidden": {"small": [8], "big": [64]}},
    )
    assert list(conditions) == [
        "optimizer=sgd,hidden=small",
        "optimizer=sgd,hidden=big",
        "optimizer=adam,hidden=small",
        "optimizer=adam,hidden=big",
    ]
    condition = conditions["optimizer=sgd,hidden=big"]
    assert (condition.training.optimizer, condition.network.hidden) == ("sgd", [64])
    assert {c.training.max_steps for c in conditions.values()} == {100}
    same = load_study(configuration(training={"max_steps": 100})).experiments["tasks"]
    plain = same.expand()["base"]
    assert condition.stimuli == plain.stimuli
    assert condition.training.model_copy(update={"optimizer": "adam"}) == plain.training


def test_names_are_the_shortest_endings_that_tell_settings_apart():
    conditions = conditions_of(
        vary={
            "stimuli.features.easy.gain": [2],
            "stimuli.features.hard.gain": [3],
            "stimuli.seed": [4],
            "seeds": [5],
        }
    )
    assert list(conditions) == ["easy.gain=2,hard.gain=3,seed=4,seeds=5"]


def test_a_setting_and_a_part_of_it_cannot_both_vary():
    """The whole would overwrite the part, and the condition's name would be wrong."""
    vary = {"training.max_steps": [50, 60], "training": {"fast": {"max_steps": 90}}}
    with pytest.raises(ConfigError, match=r"'training' and 'training.max_steps' overlap"):
        load_study(configuration(vary=vary))


def test_expanding_does_not_change_what_was_written():
    vary = {"training": {"fast": {"max_steps": 90}}, "seeds": [1, 2]}
    experiment = load_study(configuration(vary=copy.deepcopy(vary))).experiments["tasks"]
    assert [c.training.max_steps for c in experiment.expand().values()] == [90, 90]
    assert [c.seeds for c in experiment.expand().values()] == [1, 2]
    assert experiment.vary == vary


def test_a_level_is_named_as_it_was_written():
    # YAML 1.1 reads 1e-3, without a dot, as text.
    levels = yaml.safe_load("[1e-3, 0.01]")
    conditions = conditions_of(vary={"training.learning_rate": levels})
    assert {n: c.training.learning_rate for n, c in conditions.items()} == {
        "learning_rate=1e-3": 0.001,
        "learning_rate=0.01": 0.01,
    }


def test_a_level_may_be_a_list_and_null():
    conditions = conditions_of(vary={"training.targets": {"easy": ["easy"], "all": None}})
    assert conditions["targets=easy"].training.targets == ["easy"]
    assert conditions["targets=all"].training.targets is None


def test_settings_of_a_feature_whose_name_has_a_dot_can_vary():
    config = configuration(vary={"stimuli.features.v1.5.k": [2, 3]})
    config["experiments"]["tasks"]["stimuli"]["features"] = {"v1.5": {"function": "parity"}}
    conditions = load_study(config).experiments["tasks"].expand()
    assert list(conditions) == ["k=2", "k=3"]
    assert conditions["k=3"].stimuli.features["v1.5"].k == 3


@pytest.fixture
def everything(tmp_path, monkeypatch):
    """A configuration with every section, over files that exist."""
    monkeypatch.setenv("DATA", str(tmp_path))
    np.save(tmp_path / "r.npy", np.zeros((2, 2)))
    of_file = {"path": "${DATA}/r.npy", "stimuli": "photos", "stimulus_ids": "sorted"}
    simulated = {"kind": "simulated", "layer": "hidden1", "n_stimuli": 64}
    return configuration(vary={"training.targets": {"easy": ["easy"], "both": None}}) | {
        "images": {"photos": {"path": "${DATA}"}},
        "networks": {"pixels": {"kind": "pixels"}},
        "recordings": {
            "v4": {**of_file, "kind": "array", "axes": ["stimulus", "unit"]},
            "it": {**of_file, "kind": "rdms", "axes": ["stimulus", "stimulus"]},
            "brain": {**simulated, "source": "tasks/targets=both"},
        },
        "claims": {"C1": {"condition": "tasks/targets=both", "easy": "easy", "hard": "hard"}},
    }


def test_sections_refer_to_each_other(everything):
    study = load_study(everything)
    assert [(e, name) for e, name, _ in study.conditions()] == [
        ("tasks", "targets=easy"),
        ("tasks", "targets=both"),
    ]
    assert study.experiments["tasks"].expand()["targets=easy"].training.targets == ["easy"]
    assert study.groups() == {"tasks": ["targets=easy", "targets=both"], "photos": ["pixels"]}
    assert {name: study.shown_to(name) for name in study.recordings} == {
        "v4": "photos",
        "it": "photos",
        "brain": "tasks",
    }
    assert list(study.simulated()) == ["brain"]


@pytest.mark.parametrize(
    ("left_out", "missing"),
    [
        ([], set()),
        (["brain"], {"planted_truth"}),
        (["brain", "v4"], {"planted_truth", "encoding"}),
        (["brain", "v4", "it"], {"planted_truth", "encoding", "rsa_recordings"}),
    ],
)
def test_figures_are_drawn_only_where_there_are_data(everything, left_out, missing):
    complete = set(load_study(everything).figures())
    for name in left_out:
        del everything["recordings"][name]
    assert set(load_study(everything).figures()) == complete - missing


def test_a_study_of_images_alone_has_no_training_figures(everything):
    for section in ("experiments", "claims"):
        del everything[section]
    del everything["recordings"]["brain"]
    study = load_study(everything)
    assert not {"learning", "variance", "planted_truth"} & set(study.figures())
    assert list(study.groups()) == ["photos"]


def test_environment_variables_are_expanded(everything, tmp_path):
    study = load_study(everything)
    assert study.images["photos"].path == tmp_path
    assert study.recordings["v4"].path == tmp_path / "r.npy"


def test_a_resolved_configuration_gives_the_same_study(everything):
    study = load_study(everything)
    resolved = yaml.safe_load(yaml.safe_dump(study.model_dump(mode="json")))
    assert load_study(resolved) == study


def test_loading_changes_neither_the_configuration_nor_later_the_study(everything):
    before = copy.deepcopy(everything)
    study = load_study(everything)
    assert everything == before
    with pytest.raises(ValueError, match="frozen"):
        study.title = "another"


def test_all_problems_are_listed_at_once():
    config = configuration(seeds=0, training={"optimizer": "adm"})
    config["titel"] = "Test"
    with pytest.raises(ConfigError) as caught:
        load_study(config, "my.yaml")
    first, *problems = str(caught.value).splitlines()
    assert first == "my.yaml: 3 problems"
    starts = {line.split(":")[0].strip() for line in problems}
    assert starts == {"experiments.tasks.seeds", "experiments.tasks.training.optimizer", "titel"}


def test_problems_of_every_experiment_are_listed():
    config = configuration(vary={"training.optimizr": ["sgd"]})
    config["experiments"]["more"] = config["experiments"]["tasks"]
    with pytest.raises(ConfigError) as caught:
        load_study(config)
    starts = [problem.split(":")[0] for problem in caught.value.problems]
    assert starts == ["experiments.tasks.vary", "experiments.more.vary"]


def test_nearest_lists_what_is_allowed():
    assert nearest("hiden1", ["hidden2", "hidden1"]) == (
        "did you mean 'hidden1'? (allowed: hidden1, hidden2)"
    )
    assert nearest("qqq", ["b", "a"]) == "allowed: a, b"
    assert nearest("a", []) == "allowed: nothing"


def test_variables_have_defaults(monkeypatch):
    monkeypatch.setenv("REPBIAS_A", "set")
    monkeypatch.delenv("REPBIAS_B", raising=False)
    assert expand_variables("${REPBIAS_A:-x}/${REPBIAS_B:-y}/${REPBIAS_B:-}") == "set/y/"
    with pytest.raises(ValueError, match="REPBIAS_B is not set"):
        expand_variables("${REPBIAS_B}")


def test_every_key_has_a_description():
    schema = json.loads(json_schema())
    bare = [
        f"{model['title']}.{key}"
        for model in [schema, *schema["$defs"].values()]
        for key, setting in model.get("properties", {}).items()
        if not setting.get("description")
    ]
    assert bare == []


@pytest.mark.parametrize(
    "experiment", [{"seed": 3}, {"training": {"optimizer": "adm"}}, {"seeds": 0}]
)
def test_the_schema_refuses_what_the_models_refuse(experiment):
    config = configuration(**experiment)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config, json.loads(json_schema()))
    with pytest.raises(ConfigError):
        load_study(config)


def test_the_default_study_can_be_loaded():
    study = load_study(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")))
    assert len(list(study.conditions())) > 1


TASKS = {"vary": {"training.targets": {"easy": ["easy"], "both": ["easy", "hard"]}}}


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        (
            {"C1": {"condition": "tasks/targets=both", "easy": "easy", "hard": "easy"}},
            "claims.C1: two roles are filled by the same feature, 'easy'",
        ),
        (
            {"C19": {"easy": "tasks/targets=both", "both": "tasks/targets=both"}},
            "claims.C19: two roles are filled by the same condition, 'tasks/targets=both'",
        ),
        (
            {"C1": {"condition": "tasks/targets=easy", "easy": "easy", "hard": "hard"}},
            "claims.C1.hard: tasks/targets=easy is not trained on 'hard'",
        ),
    ],
)
def test_a_claim_that_its_conditions_cannot_decide_is_refused(claims, message):
    """C1 of a network that never saw the hard feature would be supported by construction."""
    with pytest.raises(ConfigError) as error:
        load_study(configuration(**TASKS) | {"claims": claims})
    assert [problem.split("; ")[0] for problem in error.value.problems] == [message]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"geometry": {"comparators": ["corr", "corr"]}}, "a comparator occurs twice"),
        ({"images": {"A": {"path": "."}, "a": {"path": "."}}}, "images: names differ in upper"),
    ],
)
def test_what_would_collide_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        load_study(configuration() | config)


def test_levels_that_are_written_alike_are_refused():
    with pytest.raises(ConfigError, match="a level occurs twice"):
        conditions_of(vary={"training.learning_rate": [0.003, "0.003"]})


def test_a_condition_without_quotes_is_recognised_by_its_comma():
    """In a YAML flow mapping, its second setting becomes a key."""
    claims = yaml.safe_load("{C20: {easy: tasks/targets=easy,learning_rate=0.1}}")
    with pytest.raises(ConfigError, match="put names of conditions in quotes"):
        load_study(configuration() | {"claims": claims})
