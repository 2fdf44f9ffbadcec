"""``repbias plan``: from the results of a study to what is printed and written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from repbias.commands.main import main
from repbias.io.activations import Activations
from repbias.io.hdf5 import create
from repbias.io.recordings import Recording
from repbias.networks.activations import put_model_activations
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.rsa.rdms import write_layer_rdms
from repbias.stimuli.images import open_images

N = 40
IDS = np.array([f"im{i:02d}" for i in range(N)])
QUICK = ["--simulations", "5", "--subjects", "2", "--units", "10"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A study of two models, whose activations and RDMs are there, and of a recording."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("images").mkdir()
    for name in IDS:
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(f"images/{name}.png")
    kind = np.repeat(["animal", "tool"], N // 2)
    size = rng.standard_normal(N) + (kind == "animal")
    table = pd.DataFrame({"stimulus_id": IDS, "kind": kind, "size": size})
    table.to_csv("stimuli.csv", index=False)
    np.save("counts.npy", rng.poisson(5, (N, 3, 12)).astype(float))
    recording = {"kind": "array", "path": "counts.npy", "axes": ["stimulus", "repeat", "unit"]}
    study = {
        "study": "mine",
        "images": {"objects": {"path": "images", "table": "stimuli.csv"}},
        "networks": {f"model{i}": {"kind": "pixels", "size": 2 + i} for i in range(2)},
        "recordings": {"pilot": recording | {"stimuli": "objects", "stimulus_ids": "ids.txt"}},
        "encoding": {"n_alphas": 3},
    }
    Path("ids.txt").write_text("\n".join(IDS))
    Path("study.yaml").write_text(yaml.safe_dump(study))
    loaded = load_study(study)
    plan = Plan(loaded)
    images = open_images(loaded.images["objects"])
    for name, network in loaded.networks.items():
        path = plan.file_of("activations", "objects", name)
        with create(path, "activations") as file:
            put_model_activations(file.create_group(name), name, network, images, "cpu")
        activations = Activations.open(path, name)
        rdms = plan.file_of("rdms", "objects", name)
        write_layer_rdms(rdms, activations, loaded.geometry.distance, None)
    return tmp_path


def test_every_alternative_is_printed_and_written(folder, capsys):
    options = ["--stimuli", "40", "20", "--reliability", "0.6", "--repeats", "2", "8"]
    assert main(["plan", "study.yaml", *options, *QUICK, "--measures", "rsa", "encoding"]) == 0
    said = capsys.readouterr().out
    assert "objects, 40 stimuli" in said and "5 brains from each of 2 layers" in said
    assert "model0 (1 network), model1 (1 network)" in said and "optimistic" in said
    assert "chance 50 %" in said
    lines = [line.split() for line in said.splitlines() if line.endswith("%")]
    planned = next(line for line in lines if line[0] == "as")
    assert planned[2:7] == ["40", "2", "2", "10", "0.6"] and len(planned) == 11
    assert ["20", ".", ".", ".", "."] in [line[:5] for line in lines]
    assert [".", "8", ".", ".", "."] in [line[:5] for line in lines]
    (silent,) = (line for line in lines if line[:2] == ["no", "noise"])
    assert silent[2:7] == ["."] * 5
    assert "rsa: as planned, model0 and model1 are hardest to tell apart" in said
    table = pd.read_csv("results/mine/planning/power.csv", keep_default_na=False)
    assert set(table["varied"]) == {"", "stimuli", "repeats", "no noise"}
    right = table[(table["varied"] == "") & (table["true_layer"] == "")]
    right = right[(right["other_condition"] == "") & (right["measure"] == "rsa")]["right"]
    assert planned[7] == f"{100 * right.mean():.0f}"
    assert "<svg" in Path("results/mine/planning/power.svg").read_text()


def test_a_pilot_says_what_units_are_like(folder, capsys):
    counts = np.load("counts.npy")
    pilot = Recording(
        stimuli={"stimulus_id": IDS},
        responses=counts.reshape(-1, 12),
        trials={"stimulus_id": np.repeat(IDS, 3), "repeat": np.tile(np.arange(3), N)},
        units={
            "unit": np.arange(12).astype(str),
            "subject": np.full(12, "subject1"),
            "region": np.full(12, ""),
        },
    )
    Path("results/mine/recordings").mkdir()
    pilot.write("results/mine/recordings/pilot.h5")
    options = ["--pilot", "pilot", "--simulations", "5", "--subjects", "2", "--repeats", "2"]
    assert main(["plan", "study.yaml", *options, "--stimuli", "40"]) == 0
    said = capsys.readouterr().out
    assert "of the pilot" in said
    planned = next(line for line in said.splitlines() if line.startswith("as planned"))
    assert planned.split()[5] == "12" and float(planned.split()[6]) < 0.1  # noise alone
    assert main(["plan", "study.yaml", *options, "--reliability", "0.5"]) == 1
    assert "--reliability: it is that of --pilot" in capsys.readouterr().err
    assert main(["plan", "study.yaml", *options, "--units", "13"]) == 1
    assert "a subject of the pilot has 12 units" in capsys.readouterr().err


def test_stimuli_are_chosen(folder, capsys):
    assert main(["plan", "study.yaml", "--choose", "16", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "16 of 40 stimuli" in said and "no random sample" in said
    chosen = pd.read_csv("results/mine/planning/stimuli.csv")
    assert list(chosen["stimulus_id"]) == list(IDS) and chosen["chosen"].sum() == 16
    features = pd.read_csv("stimuli.csv")[chosen["chosen"]]
    everything = pd.read_csv("stimuli.csv")
    shared = [
        np.corrcoef(rows["size"], rows["kind"] == "tool")[0, 1] ** 2
        for rows in (features, everything)
    ]
    assert shared[0] < 0.8 * shared[1]
    (line,) = [x for x in said.splitlines() if x.startswith("shared variance of features")]
    assert float(line.split()[4]) == pytest.approx(shared[0], abs=0.001)
    power = pd.read_csv("results/mine/planning/chosen_power.csv")
    assert set(power["stimuli_are"]) == {"chosen", "random"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shown", "object"], "--shown object: the study has none; did you mean 'objects'?"),
        (["--models", "model2"], "--models model2: the study has none"),
        (["--pilot", "pilt"], "--pilot pilt: the study has none; did you mean 'pilot'?"),
        (["--pilot", "pilot"], "results/mine/recordings/pilot.h5"),
        (["--stimuli", "41"], "plan: 41 stimuli; expected from 10 to 40, which the models saw"),
        (["--stimuli", "9", "20"], "plan: 9 stimuli; expected from 10 to 40"),
        (["--choose", "40"], "--choose 40 of a pool of 40 stimuli; expected from 10 to 39"),
        (["--choose", "12", "--stimuli", "20"], "--stimuli: --choose says how many"),
        (["--repeats", "0"], "--repeats 0: expected at least 1"),
        (["--reliability", "1.5"], "--reliability 1.5: expected more than 0, at most 1"),
        (["--simulations", "0"], "--simulations 0: expected at least 1"),
    ],
)
def test_what_is_not_possible_is_said(folder, capsys, options, message):
    assert main(["plan", "study.yaml", *options]) == 1
    assert message in capsys.readouterr().err
    assert not Path("results/mine/planning").exists()


def test_files_that_are_missing_are_named_with_the_command_that_makes_them(folder, capsys):
    Path("results/mine/rdms/objects/model1.h5").unlink()
    assert main(["plan", "study.yaml"]) == 1
    said = capsys.readouterr().err
    assert "1 file that planning starts from" in said
    command = "snakemake results/mine/rdms/objects/model1.h5 --cores all --configfile study.yaml"
    assert command in said
