"""Networks that a study trains, among those that are shown sets of images."""

import numpy as np
import pytest
from PIL import Image

from repbias.config.file import ConfigError
from repbias.io.networks import SNAPSHOTS
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.pipeline.sizes import Member, member, n_jobs, rdm_bytes, study_bytes
from repbias.pipeline.times import RecordingSize, seconds_by_step

PICTURES = {
    "stimuli": {"kind": "trifeature", "n_train": 64, "n_validation": 64, "n_test": 64},
    "network": {"kind": "cnn", "widths": [4], "analysed_layer": "stage1"},
    "training": {"batch_size": 32},
    "seeds": 4,
    "analyses": ["variance_explained"],
    "vary": {"training.targets": {"one": ["shape"], "all": ["shape", "colour"]}},
}
BITS = {"stimuli": {"features": {"easy": {"function": "bit"}}}, "seeds": 2}
PIXELS = {"kind": "pixels"}


@pytest.fixture
def content(tmp_path):
    """A study whose networks are shown eight images, of which there is a recording."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(8):
        pixels = np.random.default_rng(i).integers(256, size=(9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    np.save(tmp_path / "r.npy", np.zeros((5, 8, 2)))
    recording = {"kind": "array", "path": str(tmp_path / "r.npy"), "stimuli": "objects"}
    recording |= {"axes": ["unit", "stimulus", "repeat"], "stimulus_ids": "sorted"}
    return {
        "study": "s",
        "experiments": {"pictures": PICTURES, "bits": BITS},
        "images": {"objects": {"path": str(folder)}},
        "networks": {
            "pixels": PIXELS,
            "every": {"kind": "trained", "condition": "pictures/targets=all"},
            "some": {"kind": "trained", "condition": "pictures/targets=one", "seeds": 2},
        },
        "recordings": {"brain": recording},
    }


def test_files_and_layers_are_those_of_the_condition(content):
    plan = Plan(load_study(content))
    layers = ["stem", "stage1", "pool"]
    assert plan.layers == {"pixels": ["pixels"], "every": layers, "some": layers}
    shown = plan.shown_networks()
    assert shown.keys() == {"every", "some"}
    assert shown["some"]["shape"] == [3, 32, 32]
    assert [shown[name]["seeds"] for name in ("every", "some")] == [4, 2]
    assert "analysed_layer" not in shown["some"]["network"], "which changes no activation"
    assert plan.audited_layers("objects")["some"] == layers
    assert plan.analysed_layers("objects") == {"pixels": "pixels", "every": "pool", "some": "pool"}


def test_every_network_and_snapshot_counts(content):
    study = load_study(content)
    plan = Plan(study)
    assert member(plan, "objects", "pixels") == Member(1)
    assert member(plan, "objects", "some") == Member(3, 2, len(SNAPSHOTS))
    assert member(plan, "objects", "every").n_rdms == 3 * 4 * 3
    assert member(plan, "pictures", "targets=all").n_rdms == 3 * 4 * 3
    alone = dict(content, networks={"pixels": PIXELS})
    more = study_bytes(study, {"objects": 8})["rdms"]
    less = study_bytes(load_study(alone), {"objects": 8}).get("rdms", 0)
    assert more - less == rdm_bytes(36, 8) + rdm_bytes(18, 8)
    known = {"objects": 8}, {"brain": RecordingSize(8, 5)}, {}
    steps, fewer = (seconds_by_step(Plan(load_study(c)), *known) for c in (content, alone))
    for step in ("RSA", "audit", "encoding"):
        assert steps[step] > fewer[step], step
    # RDMs and activations of two more networks; pairs are compared, and audited, only now.
    assert n_jobs(plan) - n_jobs(Plan(load_study(alone))) == 6


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (
            {"condition": "pictures/targets=al"},
            "networks.every.condition: no condition 'pictures/targets=al'; did you mean "
            "'pictures/targets=all'?",
        ),
        (
            {"condition": "bits/base"},
            "networks.every.condition: networks of bits/base are trained on stimuli of shape (16,) "
            "(float32), so they cannot be shown images; expected (3, height, width) (uint8); "
            "allowed: pictures/targets=all, pictures/targets=one",
        ),
        (
            {"condition": "pictures/targets=all", "seeds": 5},
            "networks.every.seeds: 5, but pictures/targets=all has 4 networks",
        ),
    ],
)
def test_networks_that_cannot_be_shown_images_are_refused(content, network, problem):
    content["networks"]["every"] = {"kind": "trained"} | network
    # Asks for layers of networks, which there are none of.
    content["encoding"] = {"partition": {"two": ["every:pool", "pixels:pixels"]}}
    with pytest.raises(ConfigError) as error:
        load_study(content)
    (found,) = error.value.problems
    assert found.startswith(problem)


def test_layers_of_trained_networks_take_part_in_joint_models_and_questions(content):
    content["encoding"] = {"partition": {"two": ["every:pool", "pixels:pixels"]}}
    where = {"experiment": "objects", "condition": "every", "snapshot": "final"}
    content["questions"] = {
        "later": {
            "asks": "Later layers are more similar",
            "table": "rsa_recordings",
            "column": "similarity",
            "where": where,
            "this": {"layer": "pool"},
            "minus": {"layer": "stem"},
        }
    }
    load_study(content)
    content["encoding"] = {"partition": {"two": ["every:pol", "pixels:pixels"]}}
    with pytest.raises(ConfigError, match="'every' has no layer 'pol'; did you mean 'pool'"):
        load_study(content)
