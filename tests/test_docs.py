"""The examples of the documentation: applied to a copy of the package, each passes its own test."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.spatial.distance import pdist

from repbias.commands.main import main
from repbias.config.file import ConfigError
from repbias.pipeline.checks import load_study
from repbias.recordings.readers import read_recording

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def copy(tmp_path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(copy: Path, code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=copy,
        env={"PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
    )


def test_the_new_claim_is_one_function_in_one_file(copy):
    addition, test = blocks("add-a-claim.md", "python")
    assert run(copy, test).returncode, "without the claim its test fails"
    with (copy / "src/repbias/claims/variance.py").open("a", encoding="utf-8") as module:
        module.write("\n\n" + addition)
    done = run(copy, test)
    assert not done.returncode, done.stderr


def test_a_study_can_ask_for_the_new_claim(copy):
    addition, _ = blocks("add-a-claim.md", "python")
    with (copy / "src/repbias/claims/variance.py").open("a", encoding="utf-8") as module:
        module.write("\n\n" + addition)
    claims = blocks("add-a-claim.md", "yaml")[0]
    code = f"""
import yaml
from repbias.pipeline.checks import load_study
from repbias.recordings.readers import read_recording
config = yaml.safe_load({(ROOT / "config.yaml").read_text()!r})
config.update(yaml.safe_load({claims!r}))
claims = load_study(config).claims
assert claims == {{"C1half": {{"condition": "tasks/targets=both", "easy": "easy"}}}}
"""
    done = run(copy, code)
    assert not done.returncode, done.stderr


def test_the_questions_of_the_documentation_are_possible_and_answered():
    (study,) = blocks("questions.md", "yaml")
    config = yaml.safe_load(study)
    assert set(load_study(config).questions) == set(config["questions"])
    config["questions"]["dropout_helps_hard"]["where"]["feature"] = "hrad"
    (said,) = blocks("questions.md", "text")
    with pytest.raises(ConfigError) as error:
        load_study(config)
    assert error.value.problems[0].startswith(said.strip().partition(" (allowed")[0])
    (code,) = blocks("questions.md", "python")
    exec(code, {})


def test_the_new_manipulation_is_a_change_of_one_file(copy):
    (patch,) = blocks("add-a-manipulation.md", "diff")
    (test,) = blocks("add-a-manipulation.md", "python")
    assert run(copy, test).returncode, "without the manipulation its test fails"
    assert len(re.findall(r"^\+\+\+ ", patch, flags=re.MULTILINE)) == 1, "one file"
    subprocess.run(["git", "apply", "-p1", "-"], cwd=copy, input=patch, text=True, check=True)
    done = run(copy, test)
    assert not done.returncode, done.stderr


def test_the_new_reader_is_one_module(copy):
    module, test = blocks("add-a-reader.md", "python")
    assert run(copy, test).returncode, "without the reader its test fails"
    (copy / "src/repbias/recordings/readers/jsonl.py").write_text(module, encoding="utf-8")
    done = run(copy, test)
    assert not done.returncode, done.stderr


def follow(document: str, folder: Path) -> dict[str, str]:
    """Do in a folder all that a tutorial says; return what each command printed.

    Blocks of Python that begin with the name of a file are saved, as is the study; commands run. If
    none does, all blocks run, which make the example.
    """
    named = {c: re.match(r"# (\w+\.py)\n", c) for c in blocks(document, "python")}
    for code, name in named.items():
        if name:
            (folder / name[1]).write_text(code)
    if not any(named.values()):
        for code in named:
            subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    (study,) = blocks(document, "yaml")
    (folder / "study.yaml").write_text(study)
    said = {}
    for command in "".join(blocks(document, "sh")).splitlines():
        program, *arguments = command.split()
        if program == "snakemake":
            arguments = ["--snakefile", str(ROOT / "Snakefile"), *arguments]
        done = subprocess.run(
            [sys.executable, *(["-m", program] if program != "python" else []), *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert not done.returncode, f"{command}\n{done.stdout}"
        said[command] = done.stdout
    return said


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    """Folder in which everything on the page about recordings was done."""
    pytest.importorskip("pynwb", reason="needs the extra: pip install 'repbias[nwb]'")
    folder = tmp_path_factory.mktemp("tutorial")
    return folder, follow("bring-your-recording.md", folder)


@pytest.mark.parametrize(
    ("document", "study", "inspected", "n_units"),
    [
        ("spikes.md", "gratings", "spikes of 30 clusters (spike_clusters.npy)", 29),
        ("calcium.md", "imaging", "plane0: 25 ROIs, of which 20 cells", 20),
    ],
)
def test_the_tutorials_from_a_folder_run(document, study, inspected, n_units, tmp_path):
    """Cells respond to orientation and frequency, so both explain something."""
    said = follow(document, tmp_path)
    entry = yaml.safe_load(blocks(document, "yaml")[0])["recordings"]["v1"]
    shown = next(text for command, text in said.items() if "inspect" in command)
    assert inspected in shown
    proposed = next(iter(yaml.safe_load(shown.partition("\n\n")[2])["recordings"].values()))
    assert proposed.items() >= {k: entry[k] for k in ("kind", "path", "stimulus", "align")}.items()
    assert "0 problems" in said["repbias check study.yaml"]
    results = tmp_path / "results" / study
    assert (results / "report.html").stat().st_size > 10_000
    reliability = pd.read_csv(results / "tables/reliability.csv")
    assert len(reliability) == n_units
    assert reliability["split_half"].mean() > 0.2
    rsa = pd.read_csv(results / "tables/rsa_recordings.csv")
    assert (rsa.groupby("layer")["similarity"].max() > 0.1).all()


def test_the_tutorial_of_judgements_runs_and_finds_what_people_judged_by(tmp_path):
    """Fur divides the animals in all judgements; pixels, which size and fur make, come second."""
    said = follow("behaviour.md", tmp_path)
    assert "made with Meadows" in said["repbias inspect Meadows_animals_v_v1_tree.json"]
    assert "0 problems" in said["repbias check study.yaml"]
    assert (tmp_path / "results/judgements/report.html").stat().st_size > 10_000
    found = pd.read_csv(tmp_path / "results/judgements/tables/rsa_recordings.csv")
    assert set(found["recording"]) == {"arrangements", "ratings", "triplets"}
    for recording, rows in found.groupby("recording"):
        best = rows.loc[rows["similarity"].idxmax()]
        assert (best["condition"], best["layer"]) == ("known", "furry"), recording


def test_the_tutorial_runs_and_its_two_files_give_the_same_numbers(tutorial):
    folder, _ = tutorial
    assert (folder / "results/discs/report.html").stat().st_size > 10_000
    for table, values in {
        "rsa_recordings": ["similarity"],
        "encoding": ["r", "r2"],
        "reliability": ["split_half"],
    }.items():
        frame = pd.read_csv(folder / f"results/discs/tables/{table}.csv")
        array, session = (frame[frame["recording"] == name] for name in ("array", "session"))
        assert len(array) == len(session) > 0
        if table == "reliability":
            # Other trials are in either half, so the estimates agree only about.
            difference = array["split_half"].mean() - session["split_half"].mean()
            assert abs(difference) < 0.02
        else:
            for value in values:
                assert sorted(array[value]) == pytest.approx(sorted(session[value]), abs=1e-6)


def test_the_tutorial_finds_what_was_put_into_its_example(tutorial):
    """Neurons respond to colour and size, so both explain something that the other does not."""
    folder, _ = tutorial
    parts = pd.read_csv(folder / "results/discs/tables/variance_partition.csv")
    means = parts.groupby("part")["r2"].mean()
    assert means["unique known:colour"] > 0.1
    assert means["unique known:size"] > 0.02
    assert means["all"] > max(means["alone known:colour"], means["alone known:size"])


def test_the_tutorial_s_commands_say_what_the_page_says(tutorial):
    folder, said = tutorial
    assert "40" in said["repbias inspect counts.npy"]
    assert "trials" in said["repbias inspect session.nwb"]
    assert yaml.safe_load((folder / "study.yaml").read_text())["study"] == "discs"
    assert "0 problems" in said["repbias check study.yaml"]


def test_the_tutorial_of_eeg_finds_what_was_put_into_its_example_when_it_was(tmp_path):
    """The signals follow hue at 0.12 s, size at 0.26 s; the folder's entry is the one proposed."""
    pytest.importorskip("mne", reason="needs the extra: pip install 'repbias[mne]'")
    said = follow("meeg.md", tmp_path)
    assert "0 problems" in said["repbias check study.yaml"]
    _, _, block = said["repbias inspect study"].partition("\n\n")
    proposed = yaml.safe_load(block)["recordings"]["study"]
    used = yaml.safe_load((tmp_path / "study.yaml").read_text())["recordings"]["eeg"]
    same = ["kind", "path", "template", "events", "stimulus", "baseline", "picks", "modality"]
    assert [used[key] for key in same] == [proposed[key] for key in same]
    times = pd.read_csv(tmp_path / "results/discs_eeg/tables/rsa_times.csv")
    of_layer = times[times["condition"] == "known"].pivot_table("similarity", "time_s", "layer")
    assert of_layer["hue"].idxmax() == pytest.approx(0.12, abs=0.03)
    assert of_layer["size"].idxmax() == pytest.approx(0.26, abs=0.03)
    assert of_layer[of_layer.index < 0].abs().max().max() < of_layer.max().min() / 3
    assert (tmp_path / "results/discs_eeg/report.html").stat().st_size > 10_000


def added(copy: Path, document: str, module: str) -> str:
    """Add the module of a document, and its line in the list; return its test."""
    code, test = blocks(document, "python")
    assert run(copy, test).returncode, "without the module its test fails"
    (copy / "src/repbias" / module).write_text(code, encoding="utf-8")
    (patch,) = blocks(document, "diff")
    assert len(re.findall(r"^\+\+\+ ", patch, flags=re.MULTILINE)) == 1, "one file"
    subprocess.run(["git", "apply", "-p1", "-"], cwd=copy, input=patch, text=True, check=True)
    return test


def test_the_new_architecture_is_one_module(copy):
    done = run(copy, added(copy, "add-an-architecture.md", "networks/recurrent.py"))
    assert not done.returncode, done.stderr


def test_the_new_family_is_one_module(copy):
    done = run(copy, added(copy, "add-a-stimulus-family.md", "stimuli/symbols.py"))
    assert not done.returncode, done.stderr


def test_the_study_of_images_is_possible_and_its_sheets_are_drawn(copy):
    (study,) = blocks("images.md", "yaml")
    config = yaml.safe_load(study)
    folder = ROOT / "studies/own"
    code = f"""
import sys
sys.path.insert(0, {str(folder)!r})
from repbias.pipeline.checks import load_study
from repbias.recordings.readers import read_recording
condition = load_study({config!r}).condition("trifeature/base")
assert condition.sizes().units == dict(stem=16, block1=16, block2=32, pool=64)
"""
    done = run(copy, code)
    assert not done.returncode, done.stderr
    shipped = yaml.safe_load((folder / "images.yaml").read_text(encoding="utf-8"))
    assert shipped["experiments"]["trifeature"] == config["experiments"]["trifeature"]
    (sheets,) = blocks("images.md", "python")
    code = f"import os\nos.chdir({str(copy)!r})\n{sheets}"
    done = run(copy, code)
    assert not done.returncode, done.stderr
    for name in ("trifeature.png", "shapes.png"):
        assert (copy / name).stat().st_size > 5000


def test_the_tutorial_of_language_models_finds_what_its_page_says(tmp_path):
    said = follow("language-models.md", tmp_path)
    assert "0 problems, 0 warnings" in said["repbias check study.yaml"]
    tables = tmp_path / "results/sentences/tables"
    scores = pd.read_csv(tables / "rsa_recordings.csv").set_index(["network", "layer"])
    shares = pd.read_csv(tables / "audit.csv").set_index(["network", "layer", "feature"])["share"]
    page = (ROOT / "docs/language-models.md").read_text(encoding="utf-8")
    for name, network in (("untrained", "untrained"), ("trained", "lm")):
        (row,) = re.findall(rf"\| {name}, `blocks.2` \|(.*)", page)
        found = [*scores.loc[(network, "blocks.2"), ["similarity", "ci_low", "ci_high"]]]
        found += [shares[network, "blocks.2", feature] for feature in ("animate", "negated")]
        # Another machine's arithmetic trains other weights.
        assert [float(x) for x in re.findall(r"\.\d+", row)] == pytest.approx(found, abs=0.05)


def section(document: str, title: str, language: str) -> list[str]:
    """Return the blocks of code under a heading of the second level."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(rf"```{language}\n(.*?)```", found, flags=re.DOTALL)


def test_derivatives_of_fmriprep_are_read_as_the_page_says(tmp_path, monkeypatch, capsys):
    """The entry is the one that `inspect` proposes, and the features that were put in come back."""
    title = "fMRIPrep and BIDS, and the GLM"
    (example,) = section("fmri.md", title, "python")
    (study,) = section("fmri.md", title, "yaml")
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True)
    assert main(["inspect", "bids/derivatives/fmriprep"]) == 0
    block = capsys.readouterr().out.partition("\n\n")[2].replace("FILL_IN", "objects")
    config = yaml.safe_load(study)
    assert yaml.safe_load(block)["recordings"] == config["recordings"]
    Path("study.yaml").write_text(study)
    assert main(["check", "study.yaml"]) == 0
    said = capsys.readouterr().out
    assert "confounds      trans_x, trans_y, trans_z, trans_x_derivative1" in said
    assert "0 problems" in said
    recording = read_recording(
        load_study(config).recordings["fmriprep"], np.array([f"object{i}" for i in range(8)])
    )
    assert recording.responses.shape == (2 * 3 * 8, 2 * 120)
    table = pd.read_csv("objects.csv")
    features = np.stack([table["size"] - table["size"].mean(), 4 * table["animate"] - 2], axis=1)
    made = pdist(features)
    means = np.stack(
        [
            np.nanmean(recording.responses[recording.trials["stimulus_id"] == i], axis=0)
            for i in table["stimulus_id"]
        ]
    )
    assert np.corrcoef(pdist(means), made)[0, 1] > 0.9
