"""What a study makes: which file holds what, and what each job depends on."""

import numpy as np
import pytest

from repbias.config.analyses import OF_NETWORKS
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.pipeline.resources import JobResources

EXPERIMENT = {
    "stimuli": {"features": {"easy": {"function": "bit"}, "hard": {"function": "xor"}}},
    "analyses": ["variance_explained", "steering"],
    "seeds": 4,
    "vary": {"training.learning_rate": {"slow": 0.001, "mid": 0.003, "fast": 0.01}},
}
SLOW, MID, FAST = (f"learning_rate={name}" for name in ("slow", "mid", "fast"))


def plan_of(**changes):
    experiments = {"alone": EXPERIMENT, "two": EXPERIMENT | {"conditions_per_job": 2}}
    return Plan(load_study({"study": "s", "experiments": experiments} | changes))


def test_a_condition_alone_gives_its_batch_its_name():
    assert plan_of().batches == {
        ("alone", SLOW): [SLOW],
        ("alone", MID): [MID],
        ("alone", FAST): [FAST],
        ("two", "batch1"): [SLOW, MID],
        ("two", "batch2"): [FAST],
    }


def test_files_hold_batches_but_rdms_are_of_one_condition():
    plan = plan_of()
    assert plan.file_of("networks", "alone", MID) == f"results/s/networks/alone/{MID}.h5"
    assert plan.file_of("networks", "two", MID) == "results/s/networks/two/batch1.h5"
    assert plan.file_of("rdms", "two", MID) == f"results/s/rdms/two/{MID}.h5"
    assert plan.file_of_condition("stimuli", f"two/{FAST}") == "results/s/stimuli/two/batch2.h5"
    # Every file once: Snakemake asks for memory by the size of all inputs.
    files = [f"results/s/activations/two/batch{n}.h5" for n in (1, 2)]
    assert plan.files_of("activations", "two") == files
    assert plan.places_of("activations", "two") == {SLOW: 0, MID: 0, FAST: 1}


def test_tables_are_gathered_from_the_batches_of_experiments_that_ask_for_them():
    changed = {"alone": EXPERIMENT | {"analyses": ["steering"]}, "two": EXPERIMENT}
    parts = plan_of(experiments=changed).parts()
    assert list(parts) == ["learning", "variance_explained", "steering"]
    folder = "results/s/tables/parts"
    assert parts["variance_explained"] == [
        f"{folder}/variance_explained/two/{name}.csv" for name in (SLOW, MID, FAST)
    ]
    assert len(parts["steering"]) == len(parts["learning"]) == 6


def test_training_does_not_depend_on_what_is_analysed():
    layer = {"network": {"hidden": [16, 8], "analysed_layer": "hidden1"}}
    other = {"network": {"hidden": [16, 8]}, "analyses": ["units"]}
    plans = [plan_of(experiments={"a": EXPERIMENT | change}) for change in (layer, other)]
    one, two = (plan.training_of_batch("a", SLOW) for plan in plans)
    assert one == two and one[SLOW]["seeds"] == 4
    one, two = (plan.networks_of_batch("a", SLOW, with_analysed_layer=True) for plan in plans)
    assert one != two


def test_an_analysis_is_given_its_settings_and_no_others():
    analyses = plan_of(bias={"steering_strengths": [0.5, 1.0]}).analyses_of("alone")
    assert list(analyses) == ["variance_explained", "steering"]
    assert analyses["steering"]["settings"] == {"steering_strengths": [0.5, 1.0]}
    assert analyses["variance_explained"]["settings"] == {"definition": "ratio_of_sums"}
    assert analyses["steering"]["function"] == OF_NETWORKS["steering"].function


def test_cautions_are_told_what_models_and_the_audit_are_of(tmp_path):
    """So that nobody is asked to group stimuli by what is tested."""
    columns = "stimulus_id,category,e_0,e_1,size,film"
    (tmp_path / "t.csv").write_text(f"{columns}\na,x,0,1,5,f\nb,y,1,0,2,g\n")
    plan = plan_of(
        images={"shown": {"table": str(tmp_path / "t.csv")}},
        networks={
            "known": {"kind": "features", "spaces": {"a": ["category"], "b": ["e_*"]}, "scale": "z"}
        },
        audit={"features": ["size", "e_0"]},
        encoding={"partition": {"both": ["known:a", "stimuli:film"]}},
    )
    entries = plan.analyses_of_recordings(["quality", "cautions"])
    assert entries["cautions"]["tested"] == ["size", "e_0", "category", "e_*", "film"]
    assert entries["quality"]["tested"] is None


def test_larger_batches_ask_for_more():
    plan = plan_of()
    resources = JobResources(plan)
    for ask in (resources.training_memory, resources.training_minutes):
        assert ask("two", "batch1") > ask("two", "batch2") == ask("alone", FAST)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_every_condition_is_in_one_batch(n):
    plan = plan_of(experiments={"a": EXPERIMENT | {"conditions_per_job": n}})
    assert [c for names in plan.batches.values() for c in names] == [SLOW, MID, FAST]
    assert all(len(names) <= n for names in plan.batches.values())


def test_spaces_and_rdms_are_the_models_none_of_whose_layers_stands_for_the_others(tmp_path):
    (tmp_path / "images.csv").write_text("stimulus_id,size\na,1\nb,2\nc,3\nd,5\n")
    np.save(tmp_path / "m.npy", np.ones((4, 4)) - np.eye(4))
    file = {"path": str(tmp_path / "m.npy"), "stimuli": "set", "stimulus_ids": "sorted"}
    plan = plan_of(
        images={"set": {"table": str(tmp_path / "images.csv")}},
        networks={
            "known": {"kind": "features", "spaces": {"size": ["size"], "again": ["size"]}},
            "net": file | {"kind": "array", "axes": ["stimulus", "unit"]},
            "theory": file | {"kind": "rdm"},
        },
    )
    assert plan.spaces() == ["set/known", "set/theory"]
