"""What a configuration may say, the conditions it expands to, and its JSON schema."""

import copy
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml

from repbias.base.spec import expand_variables, nearest
from repbias.claims.catalogue import CLAIMS
from repbias.config.analyses import ANALYSES
from repbias.config.study import ConfigError
from repbias.pipeline.checks import load_study
from repbias.pipeline.config_reference import json_schema
from repbias.pipeline.plan import Plan
from repbias.report.captions import FIGURES
from repbias.tables import TABLES

ROOT = Path(__file__).parents[2]


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


OF_RESPONSES = {"encoding", "encoding_regions", "reliability"}
OF_READ = {
    "rsa_recordings",
    "rsa_subjects",
    "rsa_tests",
    "rsa_between_recordings",
    "quality",
    "cautions",
    "audit",
    "audit_remaining",
    "audit_range",
    *OF_RESPONSES,
}


@pytest.mark.parametrize(
    ("left_out", "missing"),
    [
        ([], set()),
        (["brain"], set()),
        (["brain", "v4"], {"rsa_between_recordings", *OF_RESPONSES}),
        (["brain", "v4", "it"], OF_READ),
    ],
)
def test_tables_and_figures_of_recordings_are_made_where_there_are_data(
    everything, left_out, missing
):
    before = load_study(everything)
    for name in left_out:
        del everything["recordings"][name]
    after = load_study(everything)
    assert set(Plan(after).tables) == set(Plan(before).tables) - missing
    drawn = {name for name in Plan(before).figures() if not missing & set(FIGURES[name].needs)}
    assert set(Plan(after).figures()) == drawn


def test_a_study_of_images_alone_has_no_table_of_training(everything):
    for section in ("experiments", "claims"):
        del everything[section]
    del everything["recordings"]["brain"]
    study = load_study(everything)
    assert set(Plan(study).tables) == OF_READ
    assert set(Plan(study).figures()) == {n for n, f in FIGURES.items() if set(f.needs) <= OF_READ}
    assert {"rsa_recordings", "encoding", "model_comparison"} <= set(Plan(study).figures())
    assert list(study.groups()) == ["photos"]


def test_models_of_ones_own_are_compared_where_they_have_two_layers(everything):
    """Pixels are one layer, which there is nothing to compare with."""
    del everything["experiments"], everything["claims"], everything["recordings"]["brain"]
    everything["networks"]["small"] = {"kind": "pixels", "size": 8}
    study = load_study(everything)
    assert Plan(study).analysed("rsa_models") == ["photos"]
    assert all(Plan(study).analysed(a) == [] for a in ANALYSES if a != "rsa_models")
    assert "rsa_models" in Plan(study).tables


# Analyses, tables and figures


#: Tables that are made where all networks are compared.
OF_PAIRS = ("rsa_untrained", "audit_networks")


def with_analyses(**analyses):
    """Experiments that differ in their analyses only."""
    config = configuration()
    base = config["experiments"].pop("tasks")
    return config | {"experiments": {n: base | {"analyses": a} for n, a in analyses.items()}}


def test_an_experiment_gets_every_analysis_unless_it_says_otherwise():
    study = load_study(configuration())
    assert study.experiments["tasks"].analyses == list(ANALYSES)
    assert all(Plan(study).analysed(analysis) == ["tasks"] for analysis in ANALYSES)
    assert Plan(study).tables == ["learning", *ANALYSES, *OF_PAIRS]


def test_an_analysis_is_done_for_the_experiments_that_ask_for_it():
    study = load_study(
        with_analyses(a=["units", "variance_decomposition"], b=["variance_decomposition"], c=[])
    )
    assert {
        name: Plan(study).analysed(name) for name in ANALYSES if Plan(study).analysed(name)
    } == {
        "variance_decomposition": ["a", "b"],
        "units": ["a"],
    }
    assert Plan(study).tables == ["learning", "variance_decomposition", "units"]


@pytest.mark.parametrize("analysis", ANALYSES)
def test_a_table_is_made_where_an_experiment_asks_for_it(analysis):
    def of_networks(tables):
        return [table for table in tables if table not in OF_PAIRS]

    alone = Plan(load_study(with_analyses(a=[], b=[analysis]))).tables
    assert of_networks(alone) == ["learning", analysis]
    assert set(OF_PAIRS) <= {*alone} if analysis == "rsa_models" else not {*OF_PAIRS} & {*alone}
    others = [a for a in ANALYSES if a != analysis]
    assert of_networks(Plan(load_study(with_analyses(a=others))).tables) == ["learning", *others]


def test_every_table_belongs_to_a_study(everything):
    candidates = ["tasks/targets=easy", "tasks/targets=both"]
    everything["identification"] = {"target": "tasks/targets=both", "candidates": candidates}
    everything["encryption"] = "tasks/targets=both"
    everything["geometry"] = {"fitted": ["weighted"], "time_resolved": True}
    everything["recovery"] = {"enabled": True, "shares": 2}
    everything["encoding"] = {"partition": {"both": ["targets=both:hidden1", "labels"]}}
    everything["references"] = [
        {"recording": "v4", "measure": "reliability", "value": 0.7, "source": "a paper"}
    ]
    study = load_study(everything)
    assert sorted(Plan(study).tables) == sorted(TABLES)
    assert len(Plan(study).tables) == len(TABLES)
    assert Plan(study).figures() == [name for name in FIGURES if name != "order"]
    for section in ("identification", "encryption", "claims", "references"):
        without = {name: value for name, value in everything.items() if name != section}
        assert set(Plan(study).tables) - set(Plan(load_study(without)).tables) == {section}


@pytest.mark.parametrize("figure", [name for name in FIGURES if name != "order"])
def test_a_figure_is_shown_where_all_its_tables_are(figure, everything, monkeypatch):
    needs = FIGURES[figure].needs
    assert needs and set(needs) <= TABLES.keys()
    plan = Plan(load_study(everything))
    for tables in ([*needs], [*TABLES], *([t for t in TABLES if t != n] for n in needs), []):
        monkeypatch.setattr(plan, "tables", tables)
        assert (figure in plan.figures()) == (set(needs) <= set(tables))


def test_sweeps_are_shown_where_something_varies():
    analyses = ["variance_explained"]
    assert "sweeps" not in Plan(load_study(configuration(analyses=analyses))).figures()
    varied = load_study(configuration(analyses=analyses, vary={"training.max_steps": [50, 60]}))
    assert "sweeps" in Plan(varied).figures()


# Claims


#: Roles of features that are filled by "hard" in these tests; all others by "easy".
HARD = {"hard", "rare", "unused", "shape", "second"}
#: Claims about images, where these are shape and colour, to the networks of these tests.
OF_IMAGES = {"C7c": "cnn", "C11": "cnn", "C12": "resnet", "C18": "cnn", "C21": "cnn"}


#: Claim to a setting and its levels in the two conditions of these tests.
VARIED = {
    "C4": ("training.curriculum", [], ["hard"]),
    "C4b": ("training.curriculum", ["hard"], []),
    "C7c": ("stimuli.supervised", {}, {"colour": 0.5}),
    "C9": ("network.hidden", [64], [128, 64]),
    "C9b": ("network.hidden", [64, 64], [128, 64]),
    "C10": ("training.dropout", 0.1, 0.2),
    "C18": ("stimuli.n_classes", 2, 4),
    "C19": ("training.targets", ["easy"], ["easy", "hard"]),
    "C20": ("training.targets", ["easy"], ["hard"]),
    "C22": ("stimuli.agreement.probability", 0.5, 0.8),
    "C24": ("training.targets", ["easy"], ["hard"]),
    "C29": ("training.parameter_noise", 0.0, 0.1),
    "C29b": ("training.weight_decay", 0.0, 0.1),
}
#: Claim to settings of a feature of its own, on which it depends.
FEATURES = {
    "C7": {"easy": {"function": "xor"}, "hard": {"function": "xor", "supervised": 0.5}},
    "C7b": {"easy": {"function": "xor"}, "hard": {"function": "xor", "prevalence": 0.2}},
}


#: Claims about transformers: what varies, and what fills their roles.
OF_TOKENS = {
    "C8": ({"network.order": "balanced"}, {"orders": "tasks/*"}),
    "C8b": (
        {"network.answers": ["fed", "unfed"], "network.order": "balanced"},
        {"orders": "tasks/answers=fed*", "unfed": "tasks/answers=unfed*"},
    ),
    "C14": (
        {"network.residual_scale": [1.0, 0.5]},
        {"past": "tasks/*=1.0", "less": "tasks/*=0.5", "wide": "hard", "narrow": "easy"},
    ),
}


def for_claim_of_tokens(name, **settings):
    """A study that asks a claim about transformers, in two variants."""
    vary, roles = OF_TOKENS[name]
    features = {"easy": {"function": "member"}, "hard": {"function": "majority"}}
    stimuli = {"kind": "tokens", "features": features, "n_train": 256}
    experiment = {"stimuli": stimuli, "network": {"kind": "transformer"}, "vary": vary, **settings}
    claims = {name: roles, f"{name} another": dict(roles)}
    return {"study": "s", "experiments": {"tasks": experiment}, "claims": claims}


def for_claim(name, **settings):
    """A study whose two conditions fill the roles of any claim, with everything that it needs."""
    if name in OF_TOKENS:
        return for_claim_of_tokens(name, **settings)
    path, *levels = VARIED.get(name, ("training.learning_rate", 0.001, 0.002))
    config = configuration(vary={path: dict(zip("ab", levels, strict=True))}, **settings)
    experiment = config["experiments"]["tasks"]
    stimuli = experiment["stimuli"]
    stimuli["features"] |= FEATURES.get(name, {})
    hard, easy = "hard", "easy"
    if name in OF_IMAGES:
        stimuli = experiment["stimuli"] = {"kind": "trifeature", "n_train": 256}
        experiment |= {"network": {"kind": OF_IMAGES[name]}, "training": {}}
        hard, easy = "shape", "colour"
    if name == "C21":
        stimuli["agreement"] = {"features": [easy, hard], "probability": 1}
        experiment["training"] = {"targets": [easy]}
    if name == "C22":
        stimuli["agreement"] = {"features": ["easy", "hard"], "probability": 0.5}
    if name == "C23":
        stimuli["label"] = {"easy": 0.8, "hard": 0.9}
        experiment["training"] = {"targets": ["label"], "inclusion": 0}
    named = [f"tasks/{path.split('.')[-1]}={level}" for level in "ab"]
    conditions = iter(named)
    filled = {"condition": lambda: next(conditions), "conditions": lambda: "tasks/*"}
    roles = {
        role: filled[kind]() if kind in filled else hard if role in HARD else easy
        for role, kind in CLAIMS[name].roles.items()
    }
    config |= {"claims": {name: roles, f"{name} another": dict(roles)}, "encryption": named[0]}
    if "identification" in CLAIMS[name].tables:
        identification = {"target": named[0], "candidates": named}
        identification |= {"residualise": "easy", "equalise": True}
        config |= {"identification": identification}
    return config


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_can_be_asked_for_in_variants(name):
    study = load_study(for_claim(name))
    assert list(study.claims) == [name, f"{name} another"]
    needed = [t for t in CLAIMS[name].tables if t in ANALYSES]
    assert load_study(for_claim(name, analyses=needed)).claims == study.claims


@pytest.mark.parametrize(
    ("name", "table"),
    [(n, t) for n, claim in CLAIMS.items() for t in claim.tables if t != "learning"],
)
def test_a_claim_without_a_table_that_it_needs_is_refused(name, table):
    """The message says where to add it: an experiment's analyses, or a section."""
    if table in ANALYSES:
        config = for_claim(name, analyses=[a for a in ANALYSES if a != table])
        where = f"needs {table!r} in experiments.tasks.analyses"
    else:
        config = for_claim(name)
        del config[table]
        where = table
    with pytest.raises(ConfigError) as error:
        load_study(config)
    problems = error.value.problems
    assert [p.split(": ")[0] for p in problems] == [f"claims.{name}", f"claims.{name} another"]
    assert all(where in problem for problem in problems), problems


def test_the_experiment_without_the_analysis_is_named():
    """Two conditions of two experiments, one of which lacks it."""
    features = {"easy": {"function": "bit"}, "hard": {"function": "xor"}}
    config = with_analyses(
        a=["variance_explained"], b=["variance_decomposition"], c=["variance_decomposition"]
    )
    for hidden, experiment in zip(([8], [9, 8], [8]), config["experiments"].values(), strict=True):
        experiment |= {"stimuli": {"features": features}, "network": {"hidden": hidden}}
    roles = {"shallow": "a/base", "deep": "b/base", "easy": "easy", "hard": "hard"}
    with pytest.raises(ConfigError) as error:
        load_study(config | {"claims": {"C9": roles}})
    assert error.value.problems == [
        "claims.C9: C9 needs 'variance_explained' in experiments.b.analyses"
    ]


def test_a_feature_need_not_be_a_target_where_the_claim_says_so():
    """C22 is about an unused feature; C5 about two that the network computes."""
    vary = {"stimuli.agreement.probability": [0.5, 0.8]}
    config = configuration(vary=vary, training={"targets": ["easy"]})
    stimuli = config["experiments"]["tasks"]["stimuli"]
    stimuli["agreement"] = {"features": ["easy", "hard"], "probability": 0.5}
    conditions = {"independent": "tasks/probability=0.5", "correlated": "tasks/probability=0.8"}
    load_study(config | {"claims": {"C22": conditions | {"unused": "hard"}}})
    roles = {"condition": "tasks/probability=0.5", "easy": "easy", "hard": "hard"}
    with pytest.raises(
        ConfigError, match=r"C5\.hard: tasks/probability=0\.5 is not trained on 'hard'"
    ):
        load_study(config | {"claims": {"C5": roles}})


# One job, batches and curricula


def test_a_job_does_one_condition_unless_the_experiment_says_otherwise():
    vary = {"seeds": [1, 2, 3]}
    names = ["seeds=1", "seeds=2", "seeds=3"]
    study = load_study(configuration(vary=vary))
    assert Plan(study).batches == {("tasks", name): [name] for name in names}
    study = load_study(configuration(conditions_per_job=2, vary=vary))
    assert Plan(study).batches == {
        ("tasks", "batch1"): names[:2],
        ("tasks", "batch2"): names[2:],
    }
    # It is no part of a condition, so that its networks are the same either way.
    assert study.experiments["tasks"].expand() == conditions_of(vary=vary)


@pytest.mark.parametrize("number", [0, -1, "all"])
def test_a_job_does_at_least_one_condition(number):
    with pytest.raises(ConfigError, match="conditions_per_job"):
        load_study(configuration(conditions_per_job=number))


def test_what_is_kept_is_named_once_and_exists():
    everything = ["stimuli", "networks", "activations", "rdms"]
    assert load_study(configuration()).keep == everything
    assert load_study(configuration() | {"keep": []}).keep == []
    for keep, found in ((["tables"], "tables"), (["rdms", "rdms"], "occurs twice")):
        with pytest.raises(ConfigError, match=found):
            load_study(configuration() | {"keep": keep})


def test_a_batch_may_be_all_training_stimuli():
    conditions = conditions_of(vary={"training.batch_size": [128, "full"]})
    assert {n: c.training.batch_size for n, c in conditions.items()} == {
        "batch_size=128": 128,
        "batch_size=full": "full",
    }


def test_curricula_can_vary_under_names():
    vary = {"training.curriculum": {"joint": [], "hard-first": ["hard"], "both": ["easy", "hard"]}}
    conditions = conditions_of(vary=vary)
    assert {n: c.training.curriculum for n, c in conditions.items()} == {
        "curriculum=joint": [],
        "curriculum=hard-first": ["hard"],
        "curriculum=both": ["easy", "hard"],
    }


def test_training_can_vary_as_a_whole():
    """Each level gives some of the section's settings; the others are what they were."""
    levels = {"adam": {"max_steps": 50}, "sgd": {"optimizer": "sgd", "momentum": 0.9}, "plain": {}}
    base = {"max_steps": 90, "dropout": 0.5}
    conditions = conditions_of(training=base, vary={"training": levels})
    trainings = {name: c.training for name, c in conditions.items()}
    assert list(trainings) == ["training=adam", "training=sgd", "training=plain"]
    plain = conditions_of(training=base)["base"].training
    assert trainings["training=plain"] == plain
    assert trainings["training=adam"] == plain.model_copy(update={"max_steps": 50})
    changes = {"optimizer": "sgd", "momentum": 0.9}
    assert trainings["training=sgd"] == plain.model_copy(update=changes)


@pytest.mark.parametrize("section", ["network", "stimuli"])
def test_so_can_the_other_sections(section):
    setting, value = {"network": ("init", "he"), "stimuli": ("noise_bits", 3)}[section]
    conditions = conditions_of(
        network={"hidden": [8]}, vary={section: {"changed": {setting: value}, "base": {}}}
    )
    changed, base = (getattr(c, section) for c in conditions.values())
    assert changed == base.model_copy(update={setting: value})
    assert getattr(base, setting) != value
    assert {c.network.hidden[0] for c in conditions.values()} == {8}


def test_a_mapping_that_is_no_section_is_replaced():
    """Two features, of which a level keeps one."""
    features = {"one": {"easy": {"function": "bit"}}, "both": {"easy": {"function": "bit"}}}
    features["both"]["hard"] = {"function": "xor"}
    conditions = conditions_of(vary={"stimuli.features": features})
    assert [list(c.stimuli.features) for c in conditions.values()] == [["easy"], ["easy", "hard"]]


def test_a_section_and_another_setting_of_it_can_be_crossed():
    """Where no level of the section gives it. Whichever is written first."""
    section = {"training": {"fast": {"max_steps": 50}, "slow": {}}}
    setting = {"training.dropout": [0.0, 0.5]}
    for vary in (section | setting, setting | section):
        conditions = conditions_of(vary=vary)
        found = {(c.training.max_steps, c.training.dropout) for c in conditions.values()}
        assert found == {(50, 0.0), (50, 0.5), (4000, 0.0), (4000, 0.5)}


def test_a_whole_section_can_be_crossed_with_another_setting():
    conditions = conditions_of(
        vary={"training": {"fast": {"max_steps": 50}, "slow": {}}, "network.hidden": {"s": [8]}}
    )
    assert list(conditions) == ["training=fast,hidden=s", "training=slow,hidden=s"]
    assert conditions["training=fast,hidden=s"].network.hidden == [8]


def test_the_extra_label_can_be_a_target_and_vary():
    training = {"targets": ["label"], "inclusion": 0}
    config = configuration(training=training, vary={"stimuli.label.easy": [0.6, 1.0]})
    config["experiments"]["tasks"]["stimuli"]["label"] = {"easy": 0.8, "hard": 0.9}
    conditions = load_study(config).experiments["tasks"].expand()
    assert {n: c.stimuli.label for n, c in conditions.items()} == {
        "easy=0.6": {"easy": 0.6, "hard": 0.9},
        "easy=1.0": {"easy": 1.0, "hard": 0.9},
    }
    with pytest.raises(ConfigError, match=r"training.targets: no feature 'label'"):
        conditions_of(training={"targets": ["label"]})


def test_environment_variables_are_expanded(everything, tmp_path):
    study = load_study(everything)
    assert study.images["photos"].path == tmp_path
    assert study.recordings["v4"].path == tmp_path / "r.npy"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("network.init_scal", "did you mean 'network.init_scale'? (allowed: network.activation, "),
        ("training.decay", "did you mean 'training.weight_decay'? (allowed: training.checkpoint"),
        ("training.init_scale", "did you mean 'network.init_scale'? (allowed: training.batch_size"),
        ("weight_decay", "did you mean 'training.weight_decay'? (allowed: network, readout, seeds"),
        ("network.gain", "no setting 'network.gain'; allowed: network.activation, "),
        ("stimuli.features.esay.gain", "did you mean 'stimuli.features.easy.gain'? (allowed: st"),
    ],
)
def test_an_unknown_setting_is_compared_with_those_of_its_section(path, said):
    with pytest.raises(ConfigError) as error:
        load_study(configuration(vary={path: [1, 2]}))
    (problem,) = error.value.problems
    assert said in problem
    listed = problem.partition("allowed: ")[2].partition(", ...")[0].split(", ")
    assert len(listed) <= 12
    section = path.rpartition(".")[0]
    inside = [option.rpartition(".")[0] == section for option in listed]
    assert all(inside) or section == "stimuli.features.esay"


def test_a_resolved_configuration_gives_the_same_study(everything):
    study = load_study(everything)
    resolved = yaml.safe_load(yaml.safe_dump(study.model_dump(mode="json")))
    assert load_study(resolved) == study


def test_a_resolved_configuration_has_numbers_under_the_names_that_were_written():
    """YAML 1.1 reads 1e-3, without a dot, as text; names of conditions have it as it is."""
    written = """
    training.learning_rate: [1e-3, 0.01]
    training: {slow: {weight_decay: 1e-4}, base: {}}
    training.checkpoint_accuracies: {early: [6e-1, 0.7], late: [0.8, 0.9]}
    network.activation: [relu, tanh]
    """
    study = load_study(configuration(vary=yaml.safe_load(written)))
    resolved = yaml.safe_load(yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False))
    assert resolved["experiments"]["tasks"]["vary"] == {
        "training.learning_rate": {"1e-3": 0.001, "0.01": 0.01},
        "training": {"slow": {"weight_decay": 0.0001}, "base": {}},
        "training.checkpoint_accuracies": {"early": [0.6, 0.7], "late": [0.8, 0.9]},
        "network.activation": ["relu", "tanh"],
    }
    again = load_study(resolved)
    assert list(again.conditions()) == list(study.conditions())
    assert "learning_rate=1e-3,training=slow" in next(iter(again.expanded("tasks")))
    assert again.model_dump(mode="json") == study.model_dump(mode="json")


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
    schema = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    bare = [
        f"{model['title']}.{key}"
        for model in [schema, *schema["$defs"].values()]
        for key, setting in model.get("properties", {}).items()
        if not setting.get("description")
    ]
    assert bare == []


def test_the_schema_refuses_what_the_models_refuse():
    schema = json.loads(json_schema())
    validator = jsonschema.validators.validator_for(schema)(schema)
    validator.validate(configuration())
    for experiment in ({"seed": 3}, {"training": {"optimizer": "adm"}}, {"seeds": 0}):
        config = configuration(**experiment)
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(config)
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
        ({"geometry": {"rdm_similarities": ["corr", "corr"]}}, "'corr' occurs twice"),
        (
            {"images": {"A": {"path": "docs"}, "a": {"path": "docs"}}},
            "images: names differ in upper",
        ),
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


@pytest.mark.parametrize(
    ("band", "message"),
    [
        ("pixel:pixels", "no condition or network 'pixel'; did you mean 'pixels'?"),
        ("pixels:pixel", "'pixels' has no layer 'pixel'; did you mean 'pixels'?"),
        ("targets=both:hidden9", "'targets=both' has no layer 'hidden9'"),
        ("labels:esy", "'labels:esy': no feature 'esy'; did you mean 'easy'?"),
        ("pixels", "'pixels' is no band; did you mean 'pixels:pixels'? (expected 'member:layer', "),
        ("hidden1", "'hidden1' is no band; expected 'member:layer', "),  # of two conditions
        (":pixels", "':pixels' is no band; expected 'member:layer', "),
        ("labels:", "'labels:' is no band; expected 'member:layer', "),
    ],
)
def test_a_band_that_no_network_has_is_refused(band, message, everything):
    everything["encoding"] = {"partition": {"two": [band, "stimuli:category"]}}
    with pytest.raises(ConfigError, match=r"encoding\.partition\.two") as refused:
        load_study(everything)
    assert message in str(refused.value)


def test_a_joint_model_that_fits_no_recording_is_refused(everything):
    """No set of stimuli has both: images have no labels, and the networks were shown others."""
    everything["encoding"] = {"partition": {"two": ["pixels:pixels", "labels"]}}
    with pytest.raises(ConfigError, match="only generated stimuli have labels") as refused:
        load_study(everything)
    assert "no condition or network 'pixels'" in str(refused.value)
    everything["encoding"] = {"partition": {"two": ["pixels:pixels", "stimuli:category"]}}
    load_study(everything)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (["easy", "hart"], "audit.features.hart: no stimuli have a column or feature 'hart'; did"),
        (["image.luminanse"], "did you mean 'image.luminance'?"),
        ({"face": {"column": "catgory"}}, "audit.features.face.column: no stimuli have a column"),
        ({"both": {"product_of": ["easy", "hrd"]}, "easy": {}, "hrd": {}}, "did you mean 'hard'?"),
    ],
)
def test_an_audited_feature_that_no_stimuli_have_is_refused(
    features, message, everything, tmp_path
):
    """Columns are those of tables and of array files, and no values are read."""
    (tmp_path / "things.csv").write_text("stimulus_id,category\n")
    (tmp_path / "a.npz").write_bytes(b"never opened")
    everything["images"] |= {
        "things": {"table": "${DATA}/things.csv"},
        "objects": {"path": "${DATA}/a.npz", "columns": {"animal": "x.animal"}},
    }
    known = ["easy", "hard", "category", "animal", "image.contrast"]
    everything["audit"] = {"features": known}
    load_study(everything)
    everything["audit"] = {"features": features}
    with pytest.raises(ConfigError) as refused:
        load_study(everything)
    assert message in str(refused.value)
    assert "audit.features" in str(refused.value)


def test_statistics_are_of_images(everything, tmp_path):
    (tmp_path / "things.csv").write_text("stimulus_id,category\n")
    everything["images"] = {"photos": {"table": "${DATA}/things.csv"}}
    everything["networks"] = {"known": {"kind": "features", "spaces": {"c": ["category"]}}}
    everything["audit"] = {"features": ["image.contrast"]}
    with pytest.raises(ConfigError, match=r"no stimuli have .* 'image\.contrast'"):
        load_study(everything)


def test_a_ceiling_that_nothing_is_compared_with_is_refused(everything):
    reference = {"recording": "v4", "measure": "rsa_ceiling_low", "rdm_similarity": "corr"}
    everything["references"] = [reference | {"value": 0.7, "source": "a paper"}]
    load_study(everything)
    del everything["networks"]
    with pytest.raises(ConfigError, match=r"references\.0: no network is compared with 'v4'"):
        load_study(everything)
