"""``repbias plan``: from the results of a study to what is printed and written."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
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
from repbias.networks.model_activations import put_model_activations
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.rsa.rdms import write_layer_rdms
from repbias.stimuli.images import open_images

N = 40
IDS = np.array([f"im{i:02d}" for i in range(N)])
QUICK = ["--simulations", "5", "--subjects", "2", "--units", "10"]


def make_results(study):
    """Write activations and RDMs of the networks of a study, as its workflow would."""
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


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A study of two models, whose activations and RDMs are there, and of a recording."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The study's folder, of which every test has a copy."""
    folder = tmp_path_factory.mktemp("made")
    with contextlib.chdir(folder):
        make_study()
    return folder


def make_study():
    rng = np.random.default_rng(0)
    Path("images").mkdir()
    for name in IDS:
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(f"images/{name}.png")
    kind = np.repeat(["animal", "tool"], N // 2)
    size = rng.standard_normal(N) + (kind == "animal")
    table = pd.DataFrame({"stimulus_id": IDS, "kind": kind, "size": size})
    table.to_csv("stimuli.csv", index=False)
    np.save("rdms.npy", np.zeros((2, N, N)))
    np.save("counts.npy", rng.poisson(5, (N, 3, 12)).astype(float))
    recording = {"kind": "array", "path": "counts.npy", "axes": ["stimulus", "repeat", "unit"]}
    study = {
        "study": "mine",
        "images": {"objects": {"path": "images", "table": "stimuli.csv"}},
        "networks": {f"model{i}": {"kind": "pixels", "size": 2 + i} for i in range(2)},
        "recordings": {
            "pilot": recording | {"stimuli": "objects", "stimulus_ids": "ids.txt"},
            "rdms": {
                "kind": "rdms",
                "path": "rdms.npy",
                "axes": ["subject", "stimulus", "stimulus"],
            }
            | {"stimuli": "objects", "stimulus_ids": "ids.txt"},
        },
        "encoding": {"n_alphas": 3},
    }
    Path("ids.txt").write_text("\n".join(IDS))
    Path("study.yaml").write_text(yaml.safe_dump(study))
    make_results(study)


def test_every_alternative_is_printed_and_written(folder, capsys):
    options = ["--stimuli", "40", "20", "--reliability", "0.6", "--repeats", "2", "8"]
    assert main(["plan", "study.yaml", *options, *QUICK, "--measures", "rsa", "encoding"]) == 0
    said = capsys.readouterr().out
    assert "objects, 40 stimuli" in said and "5 brains from each of 2 layers" in said
    assert "model0 (1 network), model1 (1 network)" in said and "optimistic" in said
    # Five brains of each of two models with one layer: sqrt(2 * 0.25 / 5) / 2.
    assert "chance 50 %, standard error up to 16 %" in said
    lines = [line.split() for line in said.splitlines() if line.endswith("%")]
    planned = next(line for line in lines if line[0] == "as")
    assert planned[2:7] == ["40", "2", "2", "10", "0.6"] and len(planned) == 11
    assert ["20", ".", ".", ".", "."] in [line[:5] for line in lines]
    assert [".", "8", ".", ".", "."] in [line[:5] for line in lines]
    (silent,) = (line for line in lines if line[:2] == ["no", "noise"])
    assert silent[2:7] == ["."] * 5
    assert "rsa: as planned, model0 and model1 are hardest to tell apart" in said
    assert re.search(r"simulated brains \(model0 \d+ % of 5, model1 \d+ % of 5\)\.", said)
    table = pd.read_csv("results/mine/planning/power.csv", keep_default_na=False)
    assert set(table["varied"]) == {"", "stimuli", "repeats", "no noise"}
    right = table[(table["varied"] == "") & (table["true_layer"] == "")]
    right = right[(right["other_condition"] == "") & (right["measure"] == "rsa")]["right"]
    assert planned[7] == f"{100 * right.mean():.0f}"
    assert "<svg" in Path("results/mine/planning/power.svg").read_text()


def test_the_document_has_the_numbers_of_the_table_that_is_written(folder, capsys):
    options = ["--stimuli", "40", "--reliability", "0.6", "--repeats", "2"]
    assert main(["plan", "study.yaml", *options, *QUICK, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"] == {"model0": 1, "model1": 1} and found["measures"] == ["rsa"]
    assert [tried["varied"] for tried in found["tried"]] == ["", "no noise"]
    table = pd.read_csv("results/mine/planning/power.csv", keep_default_na=False)
    rows = table[(table["true_layer"] == "") & (table["other_condition"] == "")]
    for tried in found["tried"]:
        right = rows.loc[rows["varied"] == tried["varied"], "right"].mean()
        assert tried["right"]["rsa"] == pytest.approx(right)
    assert found["sentences"][0].startswith("rsa: as planned, model0 and model1")
    assert all(Path(file).exists() for file in found["files"])


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
    assert "--units 13: no subject of the pilot has more than 12" in capsys.readouterr().err


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
    assert main(["plan", "study.yaml", "--choose", "16", *QUICK, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["chosen"] == list(chosen["stimulus_id"][chosen["chosen"]])
    quality = found["quality"]["shared variance of features"]
    assert quality["chosen"] == pytest.approx(shared[0], abs=0.001)
    assert set(found["right"]["rsa"]) == {"chosen", "random"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shown", "object"], "--shown object: the study has none; did you mean 'objects'?"),
        (["--models", "model2"], "--models model2: the study has none"),
        (["--pilot", "pilt"], "--pilot pilt: the study has none; did you mean 'pilot'?"),
        (["--pilot", "pilot"], "results/mine/recordings/pilot.h5"),
        (["--stimuli", "41"], "--stimuli 41: expected from 10 to 40 of the 40 stimuli"),
        (["--stimuli", "20", "9"], "--stimuli 9: expected from 10 to 40"),
        (["--choose", "40"], "--choose 40: expected from 10 to 39 of the 40 stimuli"),
        (["--choose", "9"], "--choose 9: expected from 10 to 39"),
        (["--choose", "12", "--stimuli", "20"], "--stimuli: --choose says how many"),
        (["--repeats", "0"], "--repeats 0: expected at least 1"),
        (["--reliability", "1.5"], "--reliability 1.5: expected more than 0, at most 1"),
        (["--simulations", "0"], "--simulations 0: expected at least 1"),
        (["--by", "models"], "--by models: says how stimuli are chosen; expected --choose"),
        (["--seed", "-1"], "--seed -1: expected at least 0"),
        (["--units", "50", "2"], "--units 2: rsa needs at least 3 (geometry.min_units)"),
        (["--units", "1000000000"], "40 stimuli x 4 repeats x 4 subjects x 1000000000 units"),
        (["--models", "model0", "model0"], "plan: one model (model0); expected at least two"),
        (["--pilot", "rdms"], "--pilot rdms: has RDMs alone; expected responses of units"),
        (["--out", "study.yaml"], "study.yaml: no folder to write to (File exists)"),
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
    command = "repbias run study.yaml --only results/mine/rdms/objects/model1.h5"
    assert said.rstrip().endswith(command)


def test_results_of_other_stimuli_are_not_taken_for_those_of_the_study(folder, capsys):
    study = yaml.safe_load(Path("study.yaml").read_text())
    study["images"]["objects"]["exclude"] = ["im03"]
    Path("study.yaml").write_text(yaml.safe_dump(study))
    assert main(["plan", "study.yaml"]) == 1
    said = "results/mine/rdms/objects: of stimuli that images.objects no longer has (im03)"
    assert said in capsys.readouterr().err


def test_stimuli_without_a_group_are_refused(folder, capsys):
    table = pd.read_csv("stimuli.csv").assign(scene=np.r_[np.nan, np.arange(N - 1) // 2])
    table.to_csv("stimuli.csv", index=False)
    study = yaml.safe_load(Path("study.yaml").read_text())
    study["images"]["objects"]["groups"] = "scene"
    Path("study.yaml").write_text(yaml.safe_dump(study))
    assert main(["plan", "study.yaml"]) == 1
    assert "images.objects.groups: 1 of 40 stimuli have no 'scene'" in capsys.readouterr().err


@pytest.mark.parametrize("distance", ["mahalanobis", "crossnobis"])
def test_distances_that_need_noise_have_some(folder, capsys, distance):
    study = yaml.safe_load(Path("study.yaml").read_text())
    study["geometry"] = {"recording_distance": distance}
    Path("study.yaml").write_text(yaml.safe_dump(study))
    assert main(["plan", "study.yaml", *QUICK, "--stimuli", "20", "--repeats", "2"]) == 0
    assert "no noise" in capsys.readouterr().out
    assert main(["plan", "study.yaml", *QUICK, "--repeats", "4", "1"]) == 1
    assert f"--repeats 1: {distance} distances" in capsys.readouterr().err
    assert main(["plan", "study.yaml", *QUICK, "--reliability", "1"]) == 1
    assert f"--reliability 1: {distance} distances" in capsys.readouterr().err


def test_counts_cannot_be_simulated(folder, capsys):
    study = yaml.safe_load(Path("study.yaml").read_text())
    study["geometry"] = {"recording_distance": "poisson"}
    Path("study.yaml").write_text(yaml.safe_dump(study))
    assert main(["plan", "study.yaml"]) == 1
    assert "--measures rsa: poisson distances" in capsys.readouterr().err


def test_what_noise_does_not_explain_is_not_promised_by_more_repeats(folder, capsys):
    """Of two networks that are the same the right one is preferred in half of all brains."""
    study = yaml.safe_load(Path("study.yaml").read_text())
    study["networks"]["model1"]["size"] = 2
    Path("study.yaml").write_text(yaml.safe_dump(study))
    make_results(study)
    assert main(["plan", "study.yaml", *QUICK, "--stimuli", "20", "40", "--repeats", "2", "8"]) == 0
    said = capsys.readouterr().out
    assert "Without noise it is 50 %: more repeats alone will not do. 80 %" in said


def test_a_value_that_is_given_twice_is_tried_once(folder, capsys):
    options = ["--stimuli", "20", "20", "--repeats", "2", "2", "--reliability", ".3", "--measures"]
    assert main(["plan", "study.yaml", *QUICK, *options, "rsa", "rsa"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.endswith("%")]
    assert len(lines) == 2 and all(line.count("%") == 1 for line in lines)


def test_stimuli_for_one_model_are_chosen_by_features(folder, capsys):
    options = ["--models", "model0", "--choose", "16"]
    assert main(["plan", "study.yaml", *options, "--by", "features"]) == 0
    assert "right model named" not in capsys.readouterr().out
    assert sorted(x.name for x in Path("results/mine/planning").iterdir()) == ["stimuli.csv"]
    assert main(["plan", "study.yaml", *options]) == 1
    assert "one model (model0)" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback_and_leaves_no_files(folder, capsys, monkeypatch):
    def interrupted(table):
        raise KeyboardInterrupt

    monkeypatch.setattr("repbias.commands.plan.draw_power", interrupted)
    assert main(["plan", "study.yaml", *QUICK, "--stimuli", "20"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert [x.name for x in Path("results/mine/planning").iterdir()] == ["power.csv"]
