"""Every table's columns keep their kind on the way through a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from repbias.io import tables
from repbias.io.files import StoreError
from repbias.io.table_reference import COLUMNS as COLUMNS_THAT_RECUR
from repbias.io.table_reference import TABLE_REFERENCE, column_meaning, markdown
from repbias.io.tables import TABLES, as_table, read_any, read_table, read_tables, write_table

#: Every column of every table, by hand: what it holds.
TEXT = {
    *("experiment", "condition", "network", "snapshot", "layer", "feature", "part", "output"),
    *("unit", "probe", "feature_a", "feature_b", "system", "measure", "metric", "rdm_similarity"),
    *("condition_a", "condition_b", "network_a", "network_b", "layer_a", "layer_b"),
    *("recording", "interval", "ceiling_convention", "subject", "region", "convention", "method"),
    *("true_layer", "named_layer", "recording_a", "recording_b", "snapshot_a", "snapshot_b"),
    *("model", "test", "generalises_to", "warning", "source"),
    *("claim", "variant", "statement", "verdict", "reference", "provenance"),
}
TRUTH = {"target", "mastered", "included", "included_a", "included_b", "is_generator", "correct"}
INTEGERS = {
    *("seed", "seed_a", "seed_b", "step", "step_a", "step_b", "n_units", "n_components"),
    *(
        "n_subjects",
        "n_subjects_a",
        "n_subjects_b",
        "n_stimuli",
        "n_included",
        "n_excluded",
        "left_out",
    ),
    *("n_folds", "n_units_with_ceiling"),
}
#: Numbers that may be unknown.
NUMBERS = {
    *("accuracy", "loss", "r2", "r2_of_final", "similarity", "ci_low", "ci_high", "ceiling_low"),
    *("ceiling_high", "r", "ceiling", "r_normalised", "log10_alpha", "alpha_at_edge", "repeats"),
    *("split_half", "reliability", "score_true", "score_named", "margin", "chance", "effect"),
    *("share", "gini", "participation_ratio", "variance", "strength", "norm", "norm_sd", "flips"),
    *("agreement", "follows_a", "value", "null_mean", "null_high", "reliability_level", "top1"),
    *("p", "p_fdr", "time_s", "share_significant", "published", "difference"),
    *("n_networks_a", "n_networks_b"),
}
COLUMNS = sorted({column for columns in TABLES.values() for column in columns})
#: Names that a naive reader would take for numbers, truth values or nothing.
NAMES = ["001", "1e5", "NA", "nan", "None", "True", "", "a, b", 'say "c"', "ü", "0.10", " x "]


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_has_a_kind(column):
    kinds = [column in kind for kind in (TEXT, TRUTH, INTEGERS, NUMBERS)]
    assert sum(kinds) == 1
    assert (column in tables._NUMBERS) == (column not in TEXT)


def test_no_kind_is_left_of_a_column_that_is_gone():
    assert tables._NUMBERS.issubset(COLUMNS)
    assert {*COLUMNS} == TEXT | TRUTH | INTEGERS | NUMBERS


def example(name):
    """A table of rows in which every kind has its hardest values."""
    rng, n = np.random.default_rng(0), len(NAMES)
    columns = {}
    for column in TABLES[name]:
        if column in TEXT:
            columns[column] = rng.permutation(NAMES)
        elif column in TRUTH:
            columns[column] = rng.random(n) < 0.5
        elif column in INTEGERS:
            columns[column] = rng.integers(-1, 2**40, n)
        else:
            values = rng.normal(size=n).astype(np.float32).astype(float)
            values[:4] = [np.nan, 0.0, 1.17549435e-38, -3e38]
            columns[column] = np.float64(np.float32(values))
    return pd.DataFrame(columns)


@pytest.mark.parametrize("name", TABLES)
def test_values_and_types_survive(name, tmp_path):
    written = example(name)
    write_table(tmp_path / f"{name}.csv", name, written)
    found = read_table(tmp_path / f"{name}.csv", name)
    assert tuple(found.columns) == TABLES[name]
    for column in TABLES[name]:
        values = found[column]
        if column in TEXT:
            assert [type(value) for value in values] == [str] * len(values), column
            assert list(values) == list(written[column]), column
        elif column in TRUTH:
            assert values.dtype == bool, column
            assert list(values) == list(written[column]), column
        elif column in INTEGERS:
            assert values.dtype == np.int64, column
            assert list(values) == list(written[column]), column
        else:
            assert values.dtype == np.float64, column
            as_float32 = (np.asarray(v, np.float32) for v in (values, written[column]))
            np.testing.assert_array_equal(*as_float32, err_msg=column)


@pytest.mark.parametrize("text", ["7", "007", "1.50", "1e5", "NA", "True", ""])
def test_names_that_all_look_like_something_else_stay_text(text, tmp_path):
    """Units are numbered, and an experiment may be called 92."""
    for name, columns in TABLES.items():
        written = example(name).assign(**{c: text for c in columns if c in TEXT})
        write_table(tmp_path / f"{name}.csv", name, written)
        found = read_table(tmp_path / f"{name}.csv", name)
        assert {value for c in columns if c in TEXT for value in found[c]} == {text}


@pytest.mark.parametrize("name", TABLES)
def test_a_second_round_changes_no_byte(name, tmp_path):
    """So tables that are gathered from parts are what the parts were."""
    write_table(tmp_path / "a.csv", name, example(name))
    write_table(tmp_path / "b.csv", name, read_table(tmp_path / "a.csv", name))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_files_are_called_after_their_tables(tmp_path):
    written = {name: example(name) for name in ("learning", "units", "claims")}
    for name, table in written.items():
        write_table(tmp_path / f"{name}.csv", name, table)
    found = read_tables(str(tmp_path / f"{name}.csv") for name in written)
    assert list(found) == list(TABLES)
    for name, columns in TABLES.items():
        assert tuple(found[name].columns) == columns
        assert len(found[name]) == (len(NAMES) if name in written else 0)
    assert list(found["units"]["unit"]) == list(written["units"]["unit"])


def test_without_files_every_table_is_empty():
    found = read_tables([])
    assert {name: tuple(table.columns) for name, table in found.items()} == TABLES
    assert all(table.empty for table in found.values())


def test_a_file_that_is_called_after_another_table_is_refused(tmp_path):
    write_table(tmp_path / "units.csv", "learning", example("learning"))
    with pytest.raises(StoreError, match=r"units\.csv: expected the columns .*'unit'.* found"):
        read_tables([tmp_path / "units.csv"])
    with pytest.raises(StoreError, match=r"missing\.csv|variance_decomposition\.csv"):
        read_tables([tmp_path / "variance_decomposition.csv"])


def test_columns_of_a_table_are_different():
    assert all(len(set(columns)) == len(columns) for columns in TABLES.values())


def test_a_row_without_a_column_is_refused():
    """A misspelt column would be a column of nothing."""
    rows = [dict.fromkeys(TABLES["claims"], 0) | {"efect": 1}]
    del rows[0]["effect"]
    with pytest.raises(KeyError, match="effect"):
        as_table("claims", rows)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_known_by_its_columns(name, tmp_path):
    write_table(tmp_path / "x.csv", name, example(name))
    found, table = read_any(tmp_path / "x.csv")
    assert found == name
    pd.testing.assert_frame_equal(table, read_table(tmp_path / "x.csv", name))


def test_any_other_table_is_read_too(tmp_path):
    (tmp_path / "x.csv").write_text("group,x\nNA,1.5\n,\n")
    name, table = read_any(tmp_path / "x.csv")
    assert name is None
    assert table["group"][0] == "NA" and table["group"].isna().tolist() == [False, True]
    assert table["x"].isna().tolist() == [False, True]
    for bad in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(StoreError, match=f"{bad}: not a readable table"):
            read_any(bad)


# What columns mean


@pytest.mark.parametrize("name", TABLES)
def test_every_column_has_a_meaning_and_no_other(name):
    row, own = TABLE_REFERENCE[name]
    assert row and own.keys() <= set(TABLES[name])
    for column in TABLES[name]:
        assert column_meaning(name, column)


def test_tables_and_their_reference_are_the_same_list():
    assert list(TABLE_REFERENCE) == list(TABLES)
    bases = {column.removesuffix("_a").removesuffix("_b") for column in COLUMNS}
    assert COLUMNS_THAT_RECUR.keys() <= bases


def test_the_page_of_formats_is_in_step_with_the_reference():
    """`python -m repbias.io.table_reference` prints it."""
    page = Path(__file__).parents[2] / "docs/file-formats.md"
    assert page.read_text(encoding="utf-8").endswith(f"\n\n{markdown()}")
