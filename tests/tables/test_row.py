"""A class is a table: its annotations are the columns."""

import subprocess
import sys

import pytest

from repbias.tables import TABLES
from repbias.tables.recurring import AgainstRecording, Audited, OfLayer, OfNetwork, Recurring
from repbias.tables.row import Row, table_name


def test_annotations_are_columns_after_those_of_the_base():
    class Trunk(Row):
        species: str
        age: "int"

    class Branch(Trunk):
        length: float
        alive: bool

    assert Trunk.columns == ("species", "age")
    assert Branch.columns == ("species", "age", "length", "alive")
    assert Branch.types == {"species": str, "age": int, "length": float, "alive": bool}
    assert Row.columns == () and Row.types == {}


@pytest.mark.parametrize("kind", [list, "list", None, float | None])
def test_another_type_is_refused(kind):
    with pytest.raises(TypeError, match=r"Tree\.size: expected str, bool, int or float, found"):
        type("Tree", (Row,), {"__annotations__": {"size": kind}})


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Units", "units"), ("VarianceExplained", "variance_explained"), ("RsaModels", "rsa_models")],
)
def test_a_table_is_called_after_its_class(name, expected):
    assert table_name(type(name, (Row,), {})) == expected


def test_every_row_class_is_listed():
    def below(row):
        return {row}.union(*(below(subclass) for subclass in row.__subclasses__()))

    ours = {row for row in below(Row) if row.__module__.startswith("repbias.")}
    assert ours - {Row, AgainstRecording, Audited, OfNetwork, OfLayer} == set(TABLES.values())
    assert {name: table_name(row) for name, row in TABLES.items()} == {n: n for n in TABLES}


def test_a_column_has_one_type_everywhere_and_that_of_the_recurring_one():
    types = dict(Recurring.__annotations__)
    # What training rewards, and what an interval is about.
    exempt = {("learning", "target")}
    for name, row in TABLES.items():
        for column, kind in row.types.items():
            if (name, column) in exempt:
                continue
            base = column.removesuffix("_a").removesuffix("_b")
            same = types.setdefault(base if base in types else column, kind)
            assert same is kind, f"{name}.{column}"


def test_no_two_tables_have_the_same_columns():
    assert len({row.columns for row in TABLES.values()}) == len(TABLES)


def test_importing_tables_reads_no_source_and_imports_no_pandas():
    code = "import sys, repbias.tables; print([m for m in ('pandas', 'h5py') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
