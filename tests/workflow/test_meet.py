"""Networks that meet recordings, and a user's model that meets controlled images, in one study."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from workspace import Workspace

pytestmark = pytest.mark.slow

MODULE = """
import torch
from torch import nn

def build():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3))
"""
STIMULI = {"kind": "trifeature", "size": 32, "n_classes": 3, "n_train": 256}
STIMULI |= {"n_validation": 81, "n_test": 81}
STUDY = {
    "study": "meet",
    "experiments": {
        "tasks": {
            "stimuli": STIMULI,
            "network": {"kind": "cnn", "widths": [4, 8]},
            "training": {"batch_size": 32, "max_steps": 30, "inclusion": 0, "checkpoints": 2},
            "seeds": 2,
            "conditions_per_job": 2,
            "analyses": ["variance_explained"],
            "vary": {"training.targets": {"shape": ["shape"], "all": ["shape", "colour"]}},
        },
        "mine": {
            "stimuli": STIMULI,
            "network": {"kind": "pretrained", "factory": "given:build", "layers": ["1", "3"]}
            | {"preprocess": {"size": 28}, "pool": 2},
            "seeds": 1,
        },
        "others": {
            "stimuli": STIMULI | {"n_classes": 5, "n_validation": 50, "n_test": 50},
            "trained_in": "tasks/targets=all",
            "analyses": ["variance_explained"],
        },
    },
    "images": {"objects": {"path": "objects", "table": "objects.csv"}},
    "networks": {
        "pixels": {"kind": "pixels", "size": 16},
        "cnn": {"kind": "trained", "condition": "tasks/targets=all"},
        "one": {"kind": "trained", "condition": "tasks/targets=shape", "seeds": 1},
    },
    "recordings": {
        "brain": {"kind": "array", "path": "brain.npy", "axes": ["stimulus", "repeat", "unit"]}
        | {"stimuli": "objects", "stimulus_ids": "sorted"},
    },
    "geometry": {"bootstraps": 100, "permutations": 100, "rdm_similarities": ["corr"]},
    "encoding": {"n_alphas": 5, "permutations": 20, "folds": 3, "inner_folds": 3},
    "audit": {"permutations": 19},
    "recovery": {"enabled": True, "simulations": 2},
    "claims": {"C1": {"condition": "mine/base", "easy": "colour", "hard": "shape"}},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A study of 30 blurred images and responses to their colour, run from YAML to report."""
    folder = tmp_path_factory.mktemp("meet")
    (folder / "given.py").write_text(MODULE)
    (folder / "objects").mkdir()
    rng = np.random.default_rng(0)
    colours = rng.uniform(size=(30, 3))
    for i, colour in enumerate(colours):
        pixels = colour * 150 + rng.uniform(0, 100, size=(8, 10, 3))
        image = Image.fromarray(pixels.astype(np.uint8)).resize((50, 40))
        image.save(folder / "objects" / f"object{i:02}.png")
    rows = [f"object{i:02},{'red' if c[0] > 0.5 else 'other'}" for i, c in enumerate(colours)]
    (folder / "objects.csv").write_text("\n".join(["stimulus_id,kind", *rows]) + "\n")
    responses = (colours @ rng.normal(size=(3, 12)))[:, None] + rng.normal(size=(30, 4, 12)) / 4
    np.save(folder / "brain.npy", responses)
    workspace = Workspace(folder, STUDY)
    workspace.snakemake("--cores", "1")
    return workspace


def table(workspace, name):
    return pd.read_csv(workspace.results / "tables" / f"{name}.csv", keep_default_na=False)


@pytest.mark.parametrize("name", ["rsa_recordings", "encoding_regions", "audit"])
def test_every_network_is_compared_with_the_recording(workspace, name):
    rows = table(workspace, name)
    rows = rows[(rows["experiment"] == "objects") & (rows["snapshot"] == "final")]
    found = set(zip(rows["condition"], rows["network"], strict=True))
    assert found == {("pixels", "pixels"), ("cnn", "seed0"), ("cnn", "seed1"), ("one", "seed0")}
    layers = rows.groupby("condition")["layer"].unique().map(list).to_dict()
    assert layers["cnn"] == ["stem", "stage1", "stage2", "pool"]


def test_brains_are_simulated_from_trained_networks(workspace):
    rows = table(workspace, "recovery")
    assert {"pixels", "cnn", "one"} <= set(rows["true_condition"])


def test_the_page_says_how_images_were_seen(workspace):
    page = (workspace.results / "report.html").read_text()
    assert "tasks/targets=all, 2 networks; images are resized to 32 x 32 pixels" in page
    assert "tasks/targets=shape, 1 network; images are resized to 32 x 32 pixels" in page
    assert "4 networks were trained in 2 conditions" in page
    assert "1 network of your own is analysed without training (mine/base)" in page
    log = workspace.results / "logs/shown_activations/objects/cnn.log"
    assert "30 images are resized to 32 x 32 pixels" in log.read_text()


def test_a_users_model_has_the_tables_of_representations_and_no_others(workspace):
    for name in ("variance_explained", "variance_decomposition", "units", "sparsity", "probes"):
        rows = table(workspace, name)
        rows = rows[rows["experiment"] == "mine"]
        assert set(rows["snapshot"]) == {"final"}, name
        assert set(rows["network"]) == {"seed0"}, name
    pairs = table(workspace, "rsa_models")
    assert len(pairs[pairs["experiment"] == "mine"]) == 1, "two layers"
    for name in ("steering", "behaviour", "components"):
        assert not (workspace.results / "tables" / f"{name}.csv").exists()
    claim = table(workspace, "claims").set_index("snapshot").loc["final"]
    assert claim["verdict"] == "inconclusive"
    assert "1 networks, where a verdict needs 5" in claim["remark"]


def test_trained_networks_are_shown_stimuli_of_other_values(workspace):
    rows = table(workspace, "variance_explained")
    source = rows[(rows["experiment"] == "tasks") & (rows["condition"] == "targets=all")]
    shown = rows[rows["experiment"] == "others"]
    key, named = ["network", "snapshot", "layer", "feature"], source["snapshot"] != "grid"
    assert sorted(map(tuple, shown[key].values)) == sorted(map(tuple, source[named][key].values))
    both = shown.merge(source, on=key, suffixes=("", "_of_source"))
    assert (both["step"] == both["step_of_source"]).all()
    assert (both["r2"] != both["r2_of_source"]).all()
    page = (workspace.results / "report.html").read_text()
    assert "In 1 more condition trained networks are shown other stimuli (others/base)" in page


def test_an_edit_of_the_model_reruns_what_depends_on_it_and_no_training(workspace):
    (workspace.folder / "given.py").write_text(MODULE.replace("stride=3", "stride=3, bias=False"))
    jobs = workspace.jobs()
    assert "Analyse networks of mine/base" in jobs
    assert not [job for job in jobs if job.startswith(("Train networks of tasks", "Show objects"))]
