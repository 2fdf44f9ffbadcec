"""Architectures of a user's, on features of three classes, from YAML to tables."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from workspace import ROOT, Workspace

from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli

pytestmark = pytest.mark.slow

LAYERS = {"cnn": ["relu1", "relu3"], "transformer": ["blocks.0", "blocks.1"]}
NETWORK = {
    "cnn": {
        "kind": "torch",
        "factory": "cnn:build",
        "layers": LAYERS["cnn"],
        "arguments": {"width": 16},
    }
    | {"readout": {"relu1": "spatial_mean"}},
    "transformer": {
        "kind": "torch",
        "factory": "transformer:build",
        "layers": LAYERS["transformer"],
    }
    | {"arguments": {"width": 16, "depth": 2, "heads": 2}, "readout": "token_mean"},
}
N_CLASSES = 3
TRAINING = {"learning_rate": 0.005, "batch_size": 64, "max_steps": 1500, "extra_steps": 25}
EVERYTHING = ["variance_explained", "variance_decomposition", "behaviour", "units", "sparsity"]
EVERYTHING += ["components", "steering", "probes", "conflict", "rsa_models", "similarity"]
STUDY = {
    "study": "own",
    "experiments": {
        "symbols": {
            "stimuli": {"kind": "symbols", "n_symbols": N_CLASSES, "length": 8}
            | {"n_train": 1024, "n_validation": 135, "n_test": 135},
            "training": TRAINING | {"checkpoints": 3},
            "seeds": 2,
            "conditions_per_job": 2,
            "analyses": EVERYTHING,
            "vary": {"network": NETWORK},
        },
    },
    "recordings": {
        "brain": {"kind": "simulated", "source": "symbols/network=cnn", "layer": "relu3"}
        | {"subjects": 2, "units": 10, "repeats": 2, "n_stimuli": 54},
    },
    "geometry": {
        "n_stimuli": 54,
        "bootstraps": 100,
        "permutations": 100,
        "rdm_similarities": ["corr"],
    },
    "encoding": {"n_alphas": 5, "permutations": 20},
    "similarity": {"metrics": ["rsa", "cka"], "permutations": 2, "n_stimuli": 54},
    "audit": {"enabled": False},  # is of RDMs, whatever they are of
    "claims": {
        f"{claim} {name}": {"condition": f"symbols/network={name}", "easy": "first", "hard": "sum"}
        for claim in ("C1", "C5", "C15", "C17")
        for name in NETWORK
    },
}


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Workspace:
    folder = tmp_path_factory.mktemp("own")
    for name in ("src", "workflow", "envs"):  # with bytecode, but none that is being written
        ignored = shutil.ignore_patterns("*.pyc.*")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("cnn.py", "transformer.py"):
        shutil.copy(ROOT / "studies/own" / name, folder)
    text = (ROOT / "docs/add-a-stimulus-family.md").read_text(encoding="utf-8")
    module = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0]
    (folder / "src/repbias/stimuli/symbols.py").write_text(module, encoding="utf-8")
    patch = re.findall(r"```diff\n(.*?)```", text, flags=re.DOTALL)[0]
    subprocess.run(["git", "apply", "-p1", "-"], cwd=folder, input=patch, text=True, check=True)
    workspace = Workspace(folder, STUDY, root=folder)
    workspace.snakemake("--cores", "2", "results/own/tables/claims.csv")
    return workspace


def table(own: Workspace, name: str) -> pd.DataFrame:
    return pd.read_csv(own.results / f"tables/{name}.csv")


def module_of(own: Workspace, name: str, seed: int) -> tuple[torch.nn.Module, Stimuli]:
    """Build a final network by the user's own code, without the package."""
    sys.path.insert(0, str(own.folder))
    try:
        factory = __import__(name).build
    finally:
        sys.path.remove(str(own.folder))
    condition = f"network={name}"
    networks = Networks.read(own.results / "networks/symbols/batch1.h5", condition)
    stimuli = Stimuli.read(own.results / "stimuli/symbols/batch1.h5", condition)
    module = factory(stimuli.inputs.shape[1:], sum(networks.heads), **NETWORK[name]["arguments"])
    state = {key: torch.as_tensor(w[-1, seed]) for key, w in networks.weights.items()}
    module.load_state_dict(state)
    return module.eval(), stimuli


def run(module, layer, inputs, change=None):
    """Return the layer's units and the logits; `change` maps the layer's output to another."""
    kept = {}

    def hook(_, __, output):
        kept["output"] = output
        return None if change is None else change(output)

    handle = dict(module.named_modules())[layer].register_forward_hook(hook)
    with torch.no_grad():
        logits = module(torch.from_numpy(inputs))
    handle.remove()
    output = kept["output"]
    if output.ndim == 3:
        output = output.mean(1) if layer.startswith("blocks") else output.mean(2)
    return output.numpy().astype(np.float64), logits.numpy()


def reported(logits):
    return logits.reshape(len(logits), -1, N_CLASSES).argmax(-1)


def test_every_table_has_every_condition(own):
    for name in ["learning", *EVERYTHING]:
        rows = table(own, name)
        column = "condition_a" if "condition_a" in rows else "condition"
        assert set(rows[column]) == {f"network={n}" for n in NETWORK}, name
    assert set(table(own, "claims")["verdict"]) <= {"supported", "not supported", "inconclusive"}
    learned = table(own, "learning").groupby("condition")["included"].mean()
    assert (learned > 0.6).all(), learned


@pytest.mark.parametrize("name", NETWORK)
def test_shares_are_those_of_hooks_by_hand(own, name):
    layer = LAYERS[name][-1]
    module, stimuli = module_of(own, name, 1)
    fit, test = (run(module, layer, stimuli.part(s)[0])[0] for s in ("validation", "test"))
    rows = table(own, "variance_explained")
    rows = rows[rows["condition"] == f"network={name}"]
    rows = rows[(rows["seed"] == 1) & (rows["snapshot"] == "final") & (rows["layer"] == layer)]
    for i, feature in enumerate(stimuli.features):
        y_fit, y = (stimuli.part(s)[1][:, i] for s in ("validation", "test"))
        means = np.stack([fit[y_fit == c].mean(0) for c in range(N_CLASSES)])
        explained = 1 - ((test - means[y]) ** 2).sum() / ((test - fit.mean(0)) ** 2).sum()
        (found,) = rows.loc[rows["feature"] == feature, "r2"]
        assert found == pytest.approx(explained, abs=1e-4)


@pytest.mark.parametrize("name", NETWORK)
def test_steering_is_that_of_hooks_by_hand(own, name):
    layer = LAYERS[name][-1]
    module, stimuli = module_of(own, name, 0)
    inputs = stimuli.part("test")[0]
    fit, _ = run(module, layer, stimuli.part("validation")[0])
    _, logits = run(module, layer, inputs)
    before = reported(logits)
    rows = table(own, "steering")
    rows = rows[rows["condition"] == f"network={name}"]
    rows = rows[(rows["seed"] == 0) & (rows["snapshot"] == "final")]
    for i, feature in enumerate(stimuli.features):
        y_fit = stimuli.part("validation")[1][:, i]
        means = np.stack([fit[y_fit == c].mean(0) for c in range(N_CLASSES)])
        flips = []
        for shift in range(1, N_CLASSES):
            goal = (before[:, i] + shift) % N_CLASSES
            step = torch.from_numpy(0.7 * (means[goal] - means[before[:, i]])).float()

            def moved(output, step=step):
                return output + (step[:, None] if output.ndim == 3 else step)

            _, logits = run(module, layer, inputs, moved)
            flips.append((reported(logits) != before).mean(0))
        found = rows[(rows["feature"] == feature) & (rows["strength"] == 0.7)]
        assert list(found["output"]) == stimuli.features
        np.testing.assert_allclose(found["flips"], np.mean(flips, axis=0), atol=0.02)
    assert rows.loc[rows["feature"] == rows["output"], "flips"].max() > 0.5


@pytest.mark.parametrize("name", NETWORK)
def test_reconstruction_is_that_of_hooks_by_hand(own, name):
    layer = LAYERS[name][-1]
    module, stimuli = module_of(own, name, 1)
    inputs, labels, _ = stimuli.part("test")
    fit, _ = run(module, layer, stimuli.part("validation")[0])
    test, _ = run(module, layer, inputs)
    mean = fit.mean(0)
    _, _, axes = np.linalg.svd(fit - mean, full_matrices=False)
    rows = table(own, "components")
    rows = rows[rows["condition"] == f"network={name}"]
    rows = rows[(rows["seed"] == 1) & (rows["snapshot"] == "final")]
    for n in (0, 2, 5):
        rebuilt = mean + (test - mean) @ axes[:n].T @ axes[:n]

        def changed(output, rebuilt=rebuilt):
            step = torch.from_numpy(rebuilt - test).float()
            return output + (step[:, None] if output.ndim == 3 else step)

        _, logits = run(module, layer, inputs, changed)
        expected = (reported(logits) == labels).mean(0)
        found = rows[rows["n_components"] == n]
        np.testing.assert_allclose(found["accuracy"], expected, atol=0.02)


def test_the_generating_layer_is_the_most_similar(own):
    rows = table(own, "rsa_recordings")
    rows = rows[(rows["snapshot"] == "final") & rows["condition"].eq("network=cnn")]
    by_layer = rows.groupby("layer")["similarity"].mean()
    assert by_layer["relu3"] > by_layer["relu1"]


def test_an_edit_of_the_users_code_trains_anew(own):
    file = own.folder / "cnn.py"
    text = file.read_text()
    file.write_text(text.replace("padding=1", "padding='same'"))
    try:
        jobs = own.jobs()
    finally:
        file.write_text(text)
    trained = sorted(job for job in jobs if job.startswith("Train"))
    assert trained == ["Train networks of symbols/batch1"]


def test_a_bad_architecture_is_refused_before_any_job(own):
    config = json.loads(json.dumps(STUDY)) | {"study": "refused"}
    config["experiments"]["symbols"]["vary"]["network"]["cnn"]["layers"] = ["relu1", "relu9"]
    own.write(config)
    done = own.snakemake("--dry-run", check=False)
    own.write(STUDY)
    assert done.returncode
    assert "experiments.symbols, condition network=cnn" in done.stdout
    assert "no layer 'relu9'; did you mean 'relu" in done.stdout
