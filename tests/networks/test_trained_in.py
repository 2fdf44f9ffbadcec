"""Networks that one condition trains, shown the stimuli of another one."""

import numpy as np
import pytest

from repbias.base.inputs import Task
from repbias.config.analyses import ANALYSES, OF_OUTPUTS
from repbias.config.file import ConfigError
from repbias.io.hdf5 import create, write_members
from repbias.io.networks import SNAPSHOTS
from repbias.networks.batch import learning_tables, train_batch
from repbias.networks.snapshots import snapshots
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.pipeline.sizes import condition_bytes, n_checkpoints, n_evaluations, n_steps

STIMULI = {"kind": "trifeature", "size": 32, "n_classes": 3, "n_train": 128}
STIMULI |= {"n_validation": 27, "n_test": 27}
TASKS = {
    "stimuli": STIMULI,
    "network": {"kind": "cnn", "widths": [4, 6]},
    "training": {
        "batch_size": 32,
        "max_steps": 20,
        "inclusion": 0,
        "checkpoints": 2,
        "evaluate_every": 10,
    },
    "seeds": 3,
    "vary": {"training.targets": {"shape": ["shape"], "texture": ["texture"]}},
}
OTHERS = {
    "stimuli": STIMULI | {"n_classes": 5, "n_validation": 50, "n_test": 60},
    "vary": {"trained_in": {"shape": "tasks/targets=shape", "texture": "tasks/targets=texture"}},
}


def study(others=OTHERS, **sections):
    content = {"study": "s", "experiments": {"tasks": TASKS, "others": others}}
    return load_study(content | sections)


def problems(others, **sections):
    with pytest.raises(ConfigError) as error:
        study(others, **sections)
    return error.value.problems


def test_settings_of_the_networks_are_those_of_the_other_condition():
    conditions = {f"{e}/{name}": c for e, name, c in study().conditions()}
    source, shown = conditions["tasks/targets=shape"], conditions["others/trained_in=shape"]
    assert shown.network == source.network
    assert shown.training == source.training
    assert shown.training.targets == ["shape"]
    assert shown.seeds == 3
    assert shown.stimuli.classes == dict.fromkeys(["shape", "texture", "colour"], 5)
    assert not shown.trained
    assert source.trained
    assert study(OTHERS | {"seeds": 2}).condition("others/trained_in=shape").seeds == 2


def test_nothing_is_trained_twice():
    conditions = study()
    shown = conditions.condition("others/trained_in=shape")
    assert n_steps(shown) == 0
    assert n_evaluations(shown) == 1
    assert n_checkpoints(shown) == len(SNAPSHOTS)
    source = conditions.condition("tasks/targets=shape")
    assert n_checkpoints(source) == len(SNAPSHOTS) + 2 + 4
    assert 0 < condition_bytes(shown, 60)["networks"] < condition_bytes(source, 60)["networks"]
    plan = Plan(conditions)
    files = [plan.file_of_condition("networks", f"tasks/targets={t}") for t in ("shape", "texture")]
    assert plan.sources_of_batch("others", "trained_in=texture") == files[1:]
    assert plan.sources_of_batch("tasks", "targets=shape") == []
    together = Plan(study(OTHERS | {"conditions_per_job": 2}))
    assert together.sources_of_batch("others", "batch1") == files


@pytest.mark.slow
def test_networks_are_those_of_the_other_condition_and_see_these_stimuli(tmp_path):
    plan, files = Plan(study()), {}
    for experiment, batch in plan.batches:
        settings = plan.training_of_batch(experiment, batch)
        (stimuli,) = (plan.conditions[experiment, c].stimuli for c in settings)
        folder = tmp_path / experiment
        folder.mkdir(exist_ok=True)
        shown = folder / f"{batch}.stimuli.h5"
        with create(shown, "stimuli") as file:
            stimuli.generate().put(file.create_group(batch))
        files[experiment, batch] = folder / f"{batch}.h5"
        sources = [
            files[(e, c)]
            for c in settings.values()
            if "trained_in" in c
            for e, _, c in [c["trained_in"].partition("/")]
        ]
        networks = train_batch(settings, shown, files[experiment, batch], "cpu", None, sources)
        write_members(files[experiment, batch], "networks", networks.items())
        if experiment == "tasks":
            source = networks[batch] if batch == "targets=texture" else None
    given = networks["trained_in=texture"]
    assert batch == "trained_in=texture"
    chosen = source.snapshots()
    assert given.checkpoint_names.tolist() == [source.checkpoint_names[c] for c in chosen]
    for name, weights in given.weights.items():
        np.testing.assert_array_equal(weights, source.weights[name][chosen])
    np.testing.assert_array_equal(given.included, source.included)
    assert given.targets == ["texture"]

    condition = plan.conditions["others", "trained_in=texture"]
    stimuli = condition.stimuli.generate()
    seen = {s.name: s for s in snapshots("e", "c", given, stimuli, condition.network)}
    assert set(seen) >= {"initial", "final"}
    task = Task(condition.stimuli.inputs, 9)  # three features of three values were trained
    weights = {name: w[-1] for name, w in source.weights.items()}
    alone = condition.network.represent(weights, stimuli.part("test")[0], task)
    for layer, activations in seen["final"].test.layers.items():
        np.testing.assert_array_equal(activations, alone[layer])
    assert seen["final"].classes == [5, 5, 5]
    assert seen["final"].targets == ["texture"]

    table = learning_tables("others", networks, settings)
    assert table["network"].nunique() == 3
    assert table["accuracy"].isna().all()
    assert table.loc[table["target"], "feature"].unique().tolist() == ["texture"]


def test_analyses_of_outputs_are_left_out_and_refused_if_named():
    wanted = study().experiments["others"].analyses
    assert wanted == [a for a in ANALYSES if a not in OF_OUTPUTS]
    (problem,) = problems(OTHERS | {"analyses": ["units", "behaviour"]})
    assert "others.analyses: 'behaviour' is of outputs for the features" in problem


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"vary": {}, "trained_in": "tasks/targets=shap"},
            "experiments.others.trained_in: no condition 'tasks/targets=shap' of another "
            "experiment trains networks; did you mean 'tasks/targets=shape'",
        ),
        (
            {"vary": {}, "trained_in": "others/base"},
            "no condition 'others/base' of another experiment trains networks",
        ),
        ({"seeds": 4}, "seeds: 4, but tasks/targets=shape has 3 networks"),
        ({"network": {"kind": "cnn"}}, "networks are those of another condition, and so is 'netw"),
        ({"training": {}}, "networks are those of another condition, and so is 'training'"),
        (
            {"vary": OTHERS["vary"] | {"training.max_steps": [1, 2]}},
            "networks are those of another condition, and so is 'training.max_steps'",
        ),
        (
            {"stimuli": STIMULI | {"size": 64}},
            "trained on stimuli of shape (3, 32, 32) (uint8), found shape (3, 64, 64) (uint8)",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(changes, problem):
    found = problems(OTHERS | changes)
    assert any(problem in said for said in found), found


def test_networks_are_trained_where_they_are_named():
    """A chain would end in networks of another architecture."""
    again = OTHERS | {"vary": {}, "trained_in": "others/trained_in=shape"}
    content = {"study": "s", "experiments": {"tasks": TASKS, "others": OTHERS, "again": again}}
    with pytest.raises(ConfigError, match="no condition 'others/trained_in=shape' of another exp"):
        load_study(content)


def test_transformers_keep_the_features_that_they_report():
    tokens = {"kind": "tokens", "length": 6, "vocabulary": 6, "n_train": 128, "n_validation": 16}
    tokens |= {"n_test": 16, "features": {n: {"function": "member"} for n in ("a", "b")}}
    source = {"stimuli": tokens, "network": {"kind": "transformer"}, "seeds": 1}
    swapped = tokens | {"features": {n: {"function": "member"} for n in ("b", "a")}}
    for features, message in (
        (swapped, "report a, b, in an order; expected stimuli with these features, found b, a"),
        (tokens | {"vocabulary": 7}, r"\(int64, 6 tokens\), found shape \(6,\) \(int64, 7 tok"),
    ):
        shown = {"stimuli": features, "trained_in": "tasks/base"}
        content = {"study": "s", "experiments": {"tasks": source, "others": shown}}
        with pytest.raises(ConfigError, match=message):
            load_study(content)


def test_claims_about_learning_belong_where_networks_learned():
    claims = {"C2": {"condition": "others/trained_in=shape", "easy": "shape"}}
    found = problems(OTHERS, claims=claims)
    assert any("C2 is about learning, and networks of others/trained_in=shape" in p for p in found)
    claims = {"C24": {"condition": "others/trained_in=shape", "other": "others/trained_in=texture"}}
    assert study(OTHERS, claims=claims).claims == claims


def test_recordings_are_compared_with_them_where_they_are_trained(tmp_path):
    images = {"shown": {"path": str(tmp_path)}}
    networks = {"again": {"kind": "trained", "condition": "others/trained_in=shape"}}
    found = problems(OTHERS, images=images, networks=networks)
    assert any("are trained in tasks/targets=shape; name that" in p for p in found), found
