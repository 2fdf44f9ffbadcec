"""Names become files, wildcards and text on a terminal: each is refused, or works everywhere."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from forked import run_module
from PIL import Image

from repbias.base.spec import RepbiasError
from repbias.commands.main import main
from repbias.io.networks import Networks
from repbias.pipeline.checks import load_study
from repbias.tables import TABLES, write_table

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FEATURES = {
    "easy": {"function": "bit", "bits": 4},
    "_.+-": {"function": "parity", "k": 2, "bits": 4},
}
EXPERIMENT = {
    "stimuli": {
        "features": FEATURES,
        "noise_bits": 8,
        **dict.fromkeys(("n_train", "n_validation", "n_test"), 64),
    },
    "network": {"hidden": [8]},
    "training": {"max_steps": 20, "batch_size": 32, "evaluate_every": 20}
    | {"checkpoints": 2, "inclusion": 0},
    "seeds": 1,
    "analyses": [],
}

#: Invalid names of sections, which may not become folders.
REFUSED = [
    "", ".", "..", "../up", "a/b", "/root", "-rf", "--help", ".hidden", "a\0", "a\n", "a b", " ",
    "*", "a?", "[a]", "{a}", "a,b", "a=b", "%s", "$(ls)", "${HOME}", "`ls`", "a;b", "a|b", "~",
    "a\\b", "a:b", "é", "e\u0301", "脳", "\u202ea", "x" * 81, "y" * 300, "z" * 20, "a'b", 'a"b',
]  # fmt: skip


def at(path: tuple[str, ...], name: str) -> dict[str, Any]:
    """Return a study in which the section at a path has a name."""
    study: dict[str, Any] = {"study": "s", "experiments": {"tasks": copy.deepcopy(EXPERIMENT)}}
    if path == ("study",):
        return study | {"study": name}
    section = study
    for key in path[:-1]:
        section = section.setdefault(key, {})
    section[name] = section.get(path[-1], {})
    return study


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize(
    "path",
    [
        ("study",),
        ("experiments", "tasks"),
        ("experiments", "tasks", "stimuli", "features", "easy"),
        ("images", "x"),
        ("networks", "x"),
        ("recordings", "x"),
        ("encoding", "partition", "x"),
    ],
    ids=".".join,
)
def test_invalid_names_are_refused(path, name):
    with pytest.raises(RepbiasError) as error:
        load_study(at(path, name))
    message = str(error.value)
    where = ".".join(path[:-1])
    assert where in message
    assert message.replace("\n", "").isprintable()
    assert any(word in message for word in ("pattern", "at most 80", "20 times", "control"))


@pytest.mark.parametrize("name", [n for n in REFUSED if not n.startswith((".", "-"))])
def test_invalid_names_of_levels_are_refused(name):
    study = at(("study",), "s")
    study["experiments"]["tasks"]["vary"] = {"training.learning_rate": {name: 0.1}}
    with pytest.raises(RepbiasError, match=r"vary"):
        load_study(study)


def test_names_that_differ_in_case_only_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("stimulus_id\na\n")
    tasks = copy.deepcopy(EXPERIMENT)
    study = {"study": "s", "experiments": {"tasks": tasks, "Tasks": tasks}}
    with pytest.raises(RepbiasError, match=r"upper and lower case only: tasks, Tasks"):
        load_study(study)
    del study["experiments"]["Tasks"]
    with pytest.raises(RepbiasError, match=r"images.TASKS: an experiment has the same name"):
        load_study(study | {"images": {"TASKS": {"table": str(tmp_path / "t.csv")}}})


@pytest.mark.parametrize(
    "path", ["os./etc/passwd:x", "torch..nn:Linear", "../up:x", "torch.nn/x:y", "a b:c", ":x", "a:"]
)
def test_code_is_named_by_its_module(path):
    study = {
        "study": "s",
        "experiments": {"tasks": EXPERIMENT},
        "networks": {"mine": {"kind": "torch", "factory": path, "layers": ["0"]}},
    }
    with pytest.raises(RepbiasError, match=r"networks.mine.factory: .*'package.module:callable'"):
        load_study(study)


@pytest.mark.parametrize("name", ["a{b}.png", "{x.png", "<b>.png"])
def test_files_that_snakemake_takes_for_patterns_are_refused(name, tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "images" / name)
    study = at(("study",), "s")
    for path in (tmp_path / "images", tmp_path / "images" / name):
        with pytest.raises(RepbiasError, match=r"images.x.*reads { } < > in a path as a pattern"):
            load_study(study | {"images": {"x": {"path": str(path)}}})


@pytest.mark.parametrize("path", ["x" * 300, "a\nb", "x/" * 3000])
def test_impossible_paths_are_refused(path):
    with pytest.raises(RepbiasError, match=r"images.x.path: found"):
        load_study(at(("study",), "s") | {"images": {"x": {"path": path}}})


# On a terminal

ESCAPE = "a\x1b]0;owned\x07\x1b[2J\r\u202eb"


def test_no_command_sends_control_characters_to_the_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [dict.fromkeys(TABLES["references"].columns, 0.5) | {"recording": "r", "source": "s"}]
    for folder in ("a", "b"):
        (tmp_path / folder / "tables").mkdir(parents=True)
        write_table(f"{folder}/tables/references.csv", "references", rows)
    (tmp_path / "other.csv").write_text(f"x,{ESCAPE}\n1,{ESCAPE}\n".replace("\r", ""))
    (tmp_path / "more.csv").write_text(f"x,{ESCAPE}\n1,3\n".replace("\r", ""))
    with h5py.File("file.h5", "w") as file:
        file[ESCAPE] = np.arange(3)
        file.attrs["note"] = ESCAPE
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"study": ESCAPE, ESCAPE: 1}))
    for command in (
        ["check", "study.yaml"],
        ["show", "study.yaml"],
        ["show", "other.csv"],
        ["show", "file.h5"],
        ["inspect", "file.h5"],
        ["inspect", "other.csv"],
        ["diff", "other.csv", "more.csv"],
        ["check", f"no such {ESCAPE}.yaml"],
    ):
        main(command)
        out, err = capsys.readouterr()
        assert out + err
        assert (out + err).replace("\n", "").isprintable(), command


# Through a whole run of Snakemake

LONG = "abcdefgh" * 10
IDS = ["-rf", "$(touch ran)", "a b", "%s", "'q'", '"dq"', "[x]_*?", "=cmd()", "a,b", "__x", "&amp;"]
HERE = "it's $(touch ran) & % [c]*?"
NASTY = {
    "study": "con",
    "title": "<b> {wildcards.x} {{7*7}} $(touch ran) %s 'a' \"b\"\n$x^{",
    "experiments": {
        "a..b-+._": EXPERIMENT
        | {
            "conditions_per_job": 2,
            "vary": {"training.learning_rate": {"..": 0.02, "L" + "ab" * 17: 0.03}},
        },
        LONG: EXPERIMENT,
    },
    "images": {"aux.": {"path": HERE}},
    "networks": {"_prn": {"kind": "pixels", "size": 4}},
    "recordings": {
        "0": {
            "kind": "array",
            "path": f"{HERE}/r.npy",
            "stimuli": "aux.",
            "stimulus_ids": "sorted",
            "axes": ["stimulus", "repeat", "unit"],
            "regions": f"{HERE}/regions.txt",
            "subject": "<img src=x onerror=alert(1)>",
            "source": "javascript:alert(1) {x} %s",
            "response_unit": "$\\frac{",
        }
    },
    "geometry": {"bootstraps": 100, "permutations": 0, "n_stimuli": 16},
    "encoding": {"folds": 2, "inner_folds": 2, "n_alphas": 2, "permutations": 0},
    "references": [{"recording": "0", "measure": "units", "value": 6, "source": "<i> {y}"}],
}


def command(*arguments: str) -> list[str]:
    """Return the command that runs the study.yaml of the current folder."""
    profile = ROOT / "workflow/profiles/default"
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    study = ["--configfile", "study.yaml", "--workflow-profile", str(profile)]
    return [*snakemake, *study, *arguments]


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run Snakemake on the study.yaml of a folder."""
    return run_module("snakemake", *command(*arguments)[3:], cwd=folder)


def test_accepted_names_survive_a_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    images = tmp_path / HERE
    images.mkdir()
    for name in IDS:
        pixels = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{name}.png")
    np.save(images / "r.npy", rng.normal(size=(len(IDS), 2, 4)))
    (images / "regions.txt").write_text("<script>\n_hidden\n=1+1\n{x} %s\n")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(NASTY, sort_keys=False))
    assert main(["check", "study.yaml"]) == 0, capsys.readouterr().out
    done = snakemake(tmp_path, "--cores", "2")
    assert done.returncode == 0, done.stdout
    results = tmp_path / "results/con"
    networks = Networks.read(results / "networks/a..b-+._/batch1.h5", "learning_rate=..")
    assert len(networks.seeds) > 0
    assert (results / "networks" / LONG / "base.h5").is_file()
    page = (results / "report.html").read_text(encoding="utf-8")
    for text in ("{wildcards.x} {{7*7}} $(touch ran) %s", "javascript:alert(1) {x} %s", "{y}"):
        assert text in page
    assert "Nothing to be done" in snakemake(tmp_path, "--cores", "1").stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [".snakemake", HERE, "results", "study.yaml"]
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: !!python/object/apply:os.system [touch ran]\n", "not valid JSON or YAML"),
        ("study: !!python/name:os.system ''\n", "study.yaml, line 1: not valid YAML"),
        ("study: a\nstudy: b\n", "the key 'study' occurs twice"),
        ("study: !include study.yaml\n", "not valid JSON or YAML"),
        ("study: {{ 7 * 7 }}\n", "not valid JSON or YAML"),
        ("__use_yte__: true\nstudy: a\n", "'__use_yte__' lets Snakemake run code"),
    ],
)
def test_snakemake_builds_no_objects_from_a_configuration(text, expected, tmp_path):
    (tmp_path / "study.yaml").write_text(text)
    done = snakemake(tmp_path, "--dry-run")
    assert done.returncode != 0
    assert expected in done.stdout
    assert not (tmp_path / "ran").exists()


# Locks


def test_check_says_where_a_killed_snakemake_left_its_lock(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for study in ("killed", "other"):
        config = {"study": study, "experiments": {"tasks": EXPERIMENT}}
        (tmp_path / f"{study}.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "study.yaml").write_text((tmp_path / "killed.yaml").read_text())
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen(command("--cores", "1"), start_new_session=True, **quiet)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".snakemake/locks/*.output.lock")):
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    for study, locked in (("killed", True), ("other", False)):
        assert main(["check", "--quick", f"{study}.yaml"]) == 0
        assert (f"results/{study} is locked" in capsys.readouterr().out) == locked
    assert snakemake(tmp_path, "--unlock").returncode == 0
    assert main(["check", "--quick", "killed.yaml"]) == 0
    assert "is locked" not in capsys.readouterr().out
