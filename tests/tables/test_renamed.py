"""Tables of older versions are refused, with a word on what is called otherwise now."""

import json
import re

import pandas as pd
import pytest

import repbias
from repbias.io.files import StoreError
from repbias.io.provenance import digest
from repbias.tables import TABLES, read_any, read_table, read_tables, write_table
from repbias.tables.renamed import (
    RENAMED_COLUMNS,
    RENAMED_SNAPSHOTS,
    RENAMED_TABLES,
    REPLACED_TABLES,
)

OLD_NAMES = {new: old for old, new in RENAMED_COLUMNS.items()}


def older(path, name):
    """Write a table as it was before the renaming."""
    values = {str: "x", bool: True, int: 1, float: 0.5}
    row = {c: values[kind] for c, kind in TABLES[name].types.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([row]).rename(columns=OLD_NAMES).to_csv(path, index=False)


def refused(function, *arguments):
    with pytest.raises(StoreError) as caught:
        function(*arguments)
    return str(caught.value)


def test_names_of_older_versions_are_gone_and_new_ones_are_there():
    columns = {column for row in TABLES.values() for column in row.columns}
    assert not columns & RENAMED_COLUMNS.keys() and {*RENAMED_COLUMNS.values()} <= columns
    assert not TABLES.keys() & RENAMED_TABLES.keys()
    assert {*RENAMED_TABLES.values()} <= TABLES.keys()
    assert not TABLES.keys() & REPLACED_TABLES.keys()


@pytest.mark.parametrize("name", [n for n, r in TABLES.items() if {*r.columns} & OLD_NAMES.keys()])
def test_renamed_columns_are_named(name, tmp_path):
    older(tmp_path / "x.csv", name)
    said = refused(read_table, tmp_path / "x.csv", name)
    assert said.startswith(f"{tmp_path / 'x.csv'}: a table of an older version of repbias: ")
    assert f"This is repbias {repbias.__version__}" in said and "run the study again" in said
    for column in TABLES[name].columns:
        if column in OLD_NAMES:
            assert f"'{OLD_NAMES[column]}' is now '{column}'" in said


@pytest.mark.parametrize("old", RENAMED_TABLES)
def test_a_table_of_another_name_is_named(old, tmp_path):
    older(tmp_path / f"{old}.csv", RENAMED_TABLES[old])
    said = refused(read_tables, [tmp_path / f"{old}.csv"])
    assert f"'{old}' is now '{RENAMED_TABLES[old]}'" in said


@pytest.mark.parametrize("old", ["planted_truth", "model_recovery"])
def test_of_a_table_that_is_no_more_another_is_named(old, tmp_path):
    (tmp_path / f"{old}.csv").write_text("recording,method,is_generator\n")
    said = refused(read_tables, [tmp_path / f"{old}.csv"])
    assert said == (
        f"{tmp_path / old}.csv: no table is called {old!r}; see the table 'recovery' instead, "
        "which `recovery: {enabled: true}` adds to a study"
    )


@pytest.mark.parametrize("column", ["snapshot", "snapshot_a", "snapshot_b"])
def test_a_renamed_value_is_named(column, tmp_path):
    """Where no column was renamed, a value may have been."""
    name = "rsa_tests" if column != "snapshot" else "identification"
    row = {c: {str: "x"}.get(kind, 1) for c, kind in TABLES[name].types.items()}
    write_table(tmp_path / "x.csv", name, [row, row | {column: "acquired"}])
    said = refused(read_table, tmp_path / "x.csv", name)
    assert "older version of repbias: 'acquired' is now 'mastered'." in said
    assert RENAMED_SNAPSHOTS == {"acquired": "mastered"}
    write_table(tmp_path / "x.csv", name, [row | {column: "mastered"}])
    assert len(read_table(tmp_path / "x.csv", name)) == 1


def test_the_same_word_elsewhere_is_no_sign_of_age(tmp_path):
    row = {c: {str: "acquired"}.get(kind, 1) for c, kind in TABLES["units"].types.items()}
    write_table(tmp_path / "x.csv", "units", [row | {"snapshot": "final"}])
    assert read_table(tmp_path / "x.csv", "units")["condition"][0] == "acquired"
    (tmp_path / "y.csv").write_text("kept,dose\n1,2\n")  # a table of somebody else
    assert refused(read_table, tmp_path / "y.csv", "units").startswith(
        f"{tmp_path / 'y.csv'}: expected the columns ['experiment', 'condition',"
    )


@pytest.fixture
def recorded(tmp_path):
    """An older table, and a function that writes a record of how it was made."""
    path = tmp_path / "results/x/tables/units.csv"
    older(path, "units")

    def record(**facts):
        file = tmp_path / "results/x/provenance/units.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        entry = {"finished": "2026-01-01", "outputs": {"tables/units.csv": digest(path)}}
        file.write_text(json.dumps(entry | facts))
        return path

    return record


@pytest.mark.parametrize(
    ("commit", "expected"),
    [("a1b2c3d4e5f6a7b8", "0.0.9, commit a1b2c3d4e5f6"), (None, "0.0.9")],
)
def test_the_version_that_wrote_it_is_named(commit, expected, recorded):
    path = recorded(versions={"repbias": "0.0.9"}, commit=commit)
    said = refused(read_table, path, "units")
    assert f"older version of repbias (written by {expected}): " in said


@pytest.mark.parametrize("facts", [{}, {"versions": {}}, {"outputs": 3}, {"outputs": {}}])
def test_a_record_that_does_not_say_is_no_hindrance(facts, recorded):
    said = refused(read_table, recorded(**facts), "units")
    assert "a table of an older version of repbias: 'kept' is now" in said


def test_any_table_may_still_be_looked_at(tmp_path):
    """Two runs can be compared although one of them is old."""
    older(tmp_path / "units.csv", "units")
    name, table = read_any(tmp_path / "units.csv")
    assert name is None and "kept" in table


def test_a_table_that_never_was_is_named(tmp_path):
    (tmp_path / "unit.csv").write_text("a\n1\n")
    said = refused(read_tables, [tmp_path / "unit.csv"])
    assert re.search(r"unit\.csv: no table is called 'unit'; did you mean 'units'\?", said)
