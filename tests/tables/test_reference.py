"""Docstrings of the row classes say what tables and columns mean, and documentation follows."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repbias.pipeline import fingerprint
from repbias.pipeline.fingerprint import code_fingerprint, imported_modules
from repbias.tables import TABLES, networks
from repbias.tables.recurring import Recurring
from repbias.tables.reference import (
    attribute_docstrings,
    column_meaning,
    markdown,
    own_meanings,
    row_meaning,
)
from repbias.tables.row import Row

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "file-formats.md"
RECURRING = attribute_docstrings(Recurring)


class Leaf(Row):
    """A leaf.

    More about leaves.
    """

    colour: str
    """Its colour,
    in one word."""
    area: float
    experiment: str
    "Of the botanist."

    def method(self):
        """Do nothing."""


def test_docstrings_below_annotations_are_read():
    meanings = {"colour": "Its colour, in one word", "experiment": "Of the botanist"}
    assert attribute_docstrings(Leaf) == meanings


@pytest.mark.parametrize("name", TABLES)
def test_a_row_and_every_column_are_explained(name):
    """By the table itself, or as columns that recur."""
    assert row_meaning(name).startswith(("a ", "an "))
    own = own_meanings(name)
    assert own.keys() <= set(TABLES[name].columns)
    for column, kind in TABLES[name].types.items():
        base = column if column in RECURRING else column.removesuffix("_a").removesuffix("_b")
        if column not in own:
            assert Recurring.__annotations__[base] is kind, column
            assert column_meaning(name, column).startswith(RECURRING[base])
        else:
            assert column_meaning(name, column) == own[column] != RECURRING.get(base)


def test_recurring_columns_are_explained_and_recur():
    assert list(RECURRING) == list(Recurring.__annotations__)
    for column in RECURRING:
        sides = {column, f"{column}_a", f"{column}_b"}
        tables = [n for n, row in TABLES.items() if sides & {*row.columns} - own_meanings(n).keys()]
        assert len(tables) > 1, column


def test_a_side_is_named():
    assert column_meaning("similarity", "layer_a").endswith("all, of the first side")
    assert column_meaning("similarity", "layer_b").endswith("all, of the second side")
    # These two are no sides of a pair of networks: the table says what they are.
    assert column_meaning("rsa_tests", "n_networks_b").startswith("Number of included networks")


def test_the_page_says_what_the_classes_say():
    assert PAGE.read_text(encoding="utf-8").endswith(f"{markdown()}")


def test_markdown_has_a_line_for_every_recurring_column_and_table():
    lines = markdown().splitlines()
    assert "| `step` | int | Training step |" in lines
    (probes,) = [line for line in lines if line.startswith("| `probes` |")]
    assert probes == (
        "| `probes` | a decoded feature or sub-component | `experiment`, `condition`, `network`, "
        "`seed`, `snapshot`, `step`, `included`, `layer`<br>`probe` (str): `linear` or `nonlinear`"
        "<br>`feature`<br>`accuracy` (float): Accuracy on the test set, 0 to 1<br>`chance` |"
    )
    assert sum(line.startswith("| `") for line in lines) == len(RECURRING) + len(TABLES)


def test_the_command_prints_it_or_writes_it_to_the_page(tmp_path):
    command = [sys.executable, "-m", "repbias.tables"]
    printed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert printed == markdown()
    page = tmp_path / "page.md"
    written = PAGE.read_text(encoding="utf-8")
    page.write_text(written.replace(printed, "something older\n"), encoding="utf-8")
    subprocess.run([*command, str(page)], check=True)
    assert page.read_text(encoding="utf-8") == written


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """Function that edits networks.py in a copy of the package; whether fingerprints changed."""

    def forget():
        fingerprint._module.cache_clear()
        fingerprint._files.cache_clear()

    def edit(old, new):
        before = code_fingerprint(ROOT / "workflow/scripts/train.py")
        copy = tmp_path / "repbias"
        shutil.copytree(fingerprint.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        source = (copy / "tables/networks.py").read_text()
        assert old in source
        (copy / "tables/networks.py").write_text(source.replace(old, new))
        monkeypatch.setattr(fingerprint, "PACKAGE", copy)
        forget()
        return code_fingerprint(ROOT / "workflow/scripts/train.py") != before

    yield edit
    forget()


def test_a_better_sentence_reruns_nothing(edited):
    assert not edited('"""Whether the feature was trained."""', '"""Whether it was a target."""')


def test_a_new_sentence_reruns_nothing(edited):
    assert not edited("    step: int\n", '    step: int\n    """Training step."""\n')


def test_another_column_reruns(edited):
    assert edited("    target: bool\n", "    targeted: bool\n")


def test_no_step_depends_on_the_reference():
    package = Path(networks.__file__).parent
    for script in (ROOT / "workflow/scripts").glob("*.py"):
        assert not imported_modules(script) & {package / "reference.py", package / "__main__.py"}
