"""The examples of the documentation: applied to a copy of the package, each passes its own test."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
from repbias.study import load_study
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
