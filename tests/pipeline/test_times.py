"""Predicted times against Snakemake's benchmarks, and how they grow."""

from pathlib import Path

import pytest

from repbias.config.file import read_config
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.pipeline.times import (
    START,
    RecordingSize,
    seconds_by_rule,
    seconds_by_step,
    simulated_sizes,
)

ROOT = Path(__file__).parents[2]


def steps_of(file, shown=None, recordings=None, models=None, **sections):
    study = load_study(read_config(ROOT / file) | sections, file, try_networks=False)
    recordings = simulated_sizes(study) | (recordings or {})
    return seconds_by_step(Plan(study), shown or {}, recordings, models or {})


#: Sums of `s` in results/<study>/benchmarks of a run with an idle core per job, without starts.
MEASURED = {
    # In three conditions; networks master their targets in half of the steps that are allowed.
    "config.yaml": {
        "training": 56,
        "analyses": 88,
        "RSA": 8,
        "encoding": 39,
        "figures": 23,
        "recovery": 16,
    },
    "tests/workflow/tiny.yaml": {"analyses": 14, "figures": 15},
}


@pytest.mark.parametrize("file", MEASURED)
def test_predictions_are_in_the_order_of_what_was_measured(file):
    found = steps_of(file)
    for step, seconds in MEASURED[file].items():
        upper = 3 if step == "training" else 2  # at most
        assert seconds / 2 < found[step] < upper * seconds, step


def test_time_grows_with_the_work():
    """As the algorithms do: RSA with pairs and samples, encoding with stimuli³ or permutations."""
    study = read_config(ROOT / "config.yaml")
    small, large, units = (
        steps_of("config.yaml", recordings=dict.fromkeys(("early_brain", "late_brain"), size))
        for size in (RecordingSize(500, 10), RecordingSize(1000, 10), RecordingSize(500, 5000))
    )
    assert 6 < large["encoding"] / small["encoding"] < 8
    assert 3 < large["RSA"] / small["RSA"] < 4.2
    assert units["encoding"] > 10 * small["encoding"]
    assert units["RSA"] == pytest.approx(small["RSA"])
    assert 4 < large["recovery"] / small["recovery"] < 8
    without = steps_of("config.yaml", recovery={"enabled": False})
    assert "recovery" not in without
    seeds = study["experiments"]["tasks"] | {"seeds": 20}
    more = steps_of("config.yaml", experiments={"tasks": seeds})
    base = steps_of("config.yaml")
    assert more["training"] == pytest.approx(2 * base["training"])
    assert 1.9 < more["analyses"] / base["analyses"] < 4  # pairs of networks grow fourfold
    assert more["starting jobs"] == base["starting jobs"]


def test_rdms_alone_are_not_encoded_and_models_take_what_was_measured(tmp_path):
    content = {
        "study": "own",
        "images": {"shown": {"table": "s.csv"}},
        "networks": {"known": {"kind": "features", "spaces": {"a": ["a"], "b": ["b"]}}},
        "recordings": {
            "r": {"kind": "rdms", "path": "r.npy", "axes": ["pair"], "stimulus_ids": "sorted"}
        },
    }
    (tmp_path / "s.csv").write_text("stimulus_id,a,b\n")
    (tmp_path / "r.npy").write_bytes(b"")
    content["images"]["shown"]["table"] = str(tmp_path / "s.csv")
    content["recordings"]["r"] |= {"path": str(tmp_path / "r.npy"), "stimuli": "shown"}
    plan = Plan(load_study(content))
    known = {"shown": 92}, {"r": RecordingSize(92, 0)}
    found = seconds_by_step(plan, *known, {("shown", "known"): 12.0})
    assert found.keys() == {"models", "RSA", "audit", "figures", "starting jobs"}
    assert found["models"] == 12


def test_the_rules_of_a_run_take_in_all_what_its_steps_take():
    """But for the pictures and the start of jobs, which are no step's alone."""
    plan = Plan(load_study(read_config(ROOT / "config.yaml"), try_networks=False))
    seconds, steps = seconds_by_rule(plan), steps_of("config.yaml")
    jobs = {"train": 3, "recover_models": 2, "fit_models": 2}
    of_networks = ("analyse_networks", "rsa_models", "similarity", "identification")
    together = sum((3 if r == of_networks[0] else 1) * (seconds[r] - START) for r in of_networks)
    assert together == pytest.approx(steps["analyses"])
    assert seconds["similarity"] > 5 * START, "all pairs of networks, by many measures"
    for rule, step in zip(jobs, ("training", "recovery", "encoding"), strict=True):
        assert jobs[rule] * (seconds[rule] - START) == pytest.approx(steps[step]), rule
    assert seconds["figures"] > START
