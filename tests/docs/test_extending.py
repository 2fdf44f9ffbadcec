"""Additions to the package: applied to a copy of it, each passes its own test."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pages import ROOT, blocks

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(tmp_path) -> Path:
    # With bytecode, but none that is being written.
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.pyc.*"))
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
