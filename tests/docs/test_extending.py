"""Additions to the package: each passes its own test in a copy of it, and none does before."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from forked import prepared_python
from pages import ROOT, blocks

pytestmark = pytest.mark.slow

#: Page to the module that it adds, or adds a function to; its last block of Python is the test.
MODULES = {
    "add-a-claim.md": "claims/variance.py",
    "add-a-manipulation.md": None,
    "add-a-reader.md": "recordings/readers/jsonl.py",
    "add-an-architecture.md": "networks/recurrent.py",
    "add-a-stimulus-family.md": "stimuli/symbols.py",
}
ADDITIONS = {page: blocks(page, "python")[:-1] for page in MODULES}
TESTS = {page: blocks(page, "python")[-1] for page in MODULES}
PATCHES = {page: blocks(page, "diff") for page in MODULES}

QUICKSTART = (ROOT / "config.yaml").read_text(encoding="utf-8")
ASKED_FOR = f"""
import yaml
from repbias.pipeline.checks import load_study
config = yaml.safe_load({QUICKSTART!r})
config.update(yaml.safe_load({blocks("add-a-claim.md", "yaml")[0]!r}))
claims = load_study(config).claims
assert claims == {{"C1half": {{"condition": "tasks/targets=both", "easy": "easy"}}}}
"""
(IMAGES,) = (yaml.safe_load(study) for study in blocks("images.md", "yaml"))
(SHEETS,) = blocks("images.md", "python")
POSSIBLE = f"""
import sys
sys.path.insert(0, {str(ROOT / "studies/own")!r})
from repbias.pipeline.checks import load_study
condition = load_study({IMAGES!r}).condition("trifeature/base")
assert condition.sizes().units == dict(stem=16, block1=16, block2=32, pool=64)
"""
#: Runs every code that it is given; says of each how it failed, if it did.
RUN = """
import json, sys, traceback
failed = {}
for name, code in json.load(sys.stdin).items():
    try:
        exec(code, {"__name__": name})
        failed[name] = None
    except Exception:
        failed[name] = traceback.format_exc()
print("\\n" + json.dumps(failed))
"""


def run(copy: Path, codes: dict[str, str]) -> dict[str, str | None]:
    """Run in one process, which imports the copy; return every code's traceback."""
    (copy / "run.py").write_text(RUN)
    done = subprocess.run(
        [prepared_python(), "run.py"],
        cwd=copy,
        env={"PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1", "PATH": ""},
        input=json.dumps(codes),
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    # With bytecode, but none that is being written.
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.pyc.*"))
    return folder


@pytest.fixture(scope="module")
def before(copy) -> dict[str, str | None]:
    """How the pages' tests fail without what the pages add."""
    return run(copy, TESTS)


@pytest.fixture(scope="module")
def after(before, copy) -> dict[str, str | None]:
    """How they, and what else the pages promise, fail with all of it."""
    for page, codes in ADDITIONS.items():
        for code in codes:
            with (copy / "src/repbias" / MODULES[page]).open("a", encoding="utf-8") as module:
                module.write("\n\n" + code)
        for patch in PATCHES[page]:
            command = ["git", "apply", "-p1", "-"]
            subprocess.run(command, cwd=copy, input=patch, text=True, check=True)
    more = {"a study asks for the claim": ASKED_FOR, "images": POSSIBLE, "sheets": SHEETS}
    return run(copy, TESTS | more)


@pytest.mark.parametrize("page", MODULES)
def test_an_addition_passes_its_own_test_which_fails_without_it(page, before, after):
    assert before[page]
    assert not after[page], after[page]


@pytest.mark.parametrize("page", MODULES)
def test_an_addition_is_a_module_or_a_change_of_one_file(page):
    changed = [re.findall(r"^\+\+\+ ", patch, flags=re.MULTILINE) for patch in PATCHES[page]]
    assert all(len(files) == 1 for files in changed) and len(changed) <= 1
    assert len(ADDITIONS[page]) == bool(MODULES[page])


def test_a_study_can_ask_for_the_new_claim(after):
    assert not after["a study asks for the claim"], after["a study asks for the claim"]


def test_the_study_of_images_is_possible_and_its_sheets_are_drawn(after, copy):
    shipped = yaml.safe_load((ROOT / "studies/own/images.yaml").read_text(encoding="utf-8"))
    assert shipped["experiments"]["trifeature"] == IMAGES["experiments"]["trifeature"]
    for part in ("images", "sheets"):
        assert not after[part], after[part]
    for name in ("trifeature.png", "shapes.png"):
        assert (copy / name).stat().st_size > 5000
