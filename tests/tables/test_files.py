"""Every column keeps its type on the way through a file, and every table its bytes."""

import re

import numpy as np
import pandas as pd
import pytest

from repbias.io.files import StoreError
from repbias.tables import TABLES, as_table, read_any, read_table, read_tables, write_table

#: Names that a naive reader would take for numbers, truth values or nothing.
NAMES = ["001", "1e5", "NA", "nan", "None", "True", "", "a, b", 'say "c"', "ü", "0.10", " x "]
RNG = np.random.default_rng(0)


def values(kind):
    """The hardest values of a column of a type."""
    n = len(NAMES)
    if kind is str:
        return RNG.permutation(NAMES)
    if kind is bool:
        return RNG.random(n) < 0.5
    if kind is int:
        return RNG.integers(-1, 2**40, n)
    numbers = RNG.normal(size=n).astype(np.float32)
    numbers[:4] = [np.nan, 0.0, 1.17549435e-38, -3e38]
    return numbers.astype(float)


def example(name):
    return pd.DataFrame({column: values(kind) for column, kind in TABLES[name].types.items()})


def learning(**columns):
    rows = {
        "experiment": ["tasks", "tasks"],
        "condition": ["dropout=0,lr=1e-3", "base"],
        "network": ["seed0", "seed1"],
        "seed": [0, 1],
        "step": [25, 4000],
        "feature": ["easy", 'say "hard", or ü'],
        "target": [True, False],
        "accuracy": np.array([1 / 3, 0.1], np.float32),
        "mastered": [False, True],
        "loss": np.array([1.17549435e-38, np.nan], np.float32),
        "included": [False, True],
    }
    return pd.DataFrame(rows | columns)


# Bytes


def test_a_table_to_the_byte(tmp_path):
    write_table(tmp_path / "x.csv", "learning", learning(network=["a\rb", "\x1b[31m"]))
    assert (tmp_path / "x.csv").read_bytes().decode() == (
        "experiment,condition,network,seed,step,feature,target,accuracy,mastered,loss,included\n"
        'tasks,"dropout=0,lr=1e-3",a\\rb,0,25,easy,True,0.333333343,False,1.17549435e-38,False\n'
        'tasks,base,\\x1b[31m,1,4000,"say ""hard"", or ü",False,0.100000001,True,,True\n'
    )


def test_numbers_to_the_byte(tmp_path):
    """Whole numbers are written whole, whatever pandas made of them; numbers have nine digits."""
    rows = learning(
        seed=[4294967295.0, 0.0],  # a column that was joined with an empty one
        step=np.array([1, 2], object),
        accuracy=[1, 0],
        loss=[2 / 3, None],
        mastered=[1, 0],
    )
    write_table(tmp_path / "x.csv", "learning", rows)
    found = pd.read_csv(tmp_path / "x.csv", dtype=str, keep_default_na=False)
    assert found[["seed", "step", "accuracy", "loss", "mastered"]].to_numpy().tolist() == [
        ["4294967295", "1", "1", "0.666666667", "True"],
        ["0", "2", "0", "", "False"],
    ]


def test_numbers_of_networks_may_be_missing_and_are_floats(tmp_path):
    rows = example("rsa_tests").assign(n_networks_a=10, n_networks_b=np.nan)
    write_table(tmp_path / "x.csv", "rsa_tests", rows)
    found = read_table(tmp_path / "x.csv", "rsa_tests")
    assert found["n_networks_a"].dtype == found["n_networks_b"].dtype == float
    assert set(found["n_networks_a"]) == {10} and found["n_networks_b"].isna().all()


@pytest.mark.parametrize("name", TABLES)
def test_a_second_round_changes_no_byte(name, tmp_path):
    """So tables that are gathered from parts are what the parts were."""
    write_table(tmp_path / "a.csv", name, example(name))
    write_table(tmp_path / "b.csv", name, read_table(tmp_path / "a.csv", name))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


# Types


@pytest.mark.parametrize("name", TABLES)
def test_values_and_types_survive(name, tmp_path):
    written = example(name)
    write_table(tmp_path / f"{name}.csv", name, written)
    found = read_table(tmp_path / f"{name}.csv", name)
    assert tuple(found.columns) == TABLES[name].columns
    for column, kind in TABLES[name].types.items():
        if kind is str:
            assert {type(value) for value in found[column]} == {str}, column
        else:
            assert found[column].dtype == kind, column
        exact = np.float32 if kind is float else object
        np.testing.assert_array_equal(
            found[column].to_numpy(exact), written[column].to_numpy(exact), err_msg=column
        )


@pytest.mark.parametrize("exponent", [-30, -3, 0, 3, 30])
def test_float32_values_survive(exponent, tmp_path):
    written = (RNG.uniform(-1, 1, 200) * 10.0**exponent).astype(np.float32)
    rows = pd.concat([learning()] * 100, ignore_index=True).assign(accuracy=written)
    write_table(tmp_path / "x.csv", "learning", rows)
    found = read_table(tmp_path / "x.csv", "learning")["accuracy"].to_numpy(np.float32)
    np.testing.assert_array_equal(found, written)


@pytest.mark.parametrize("text", ["7", "007", "1.50", "1e5", "NA", "null", "nan", "True", ""])
def test_names_that_all_look_like_something_else_stay_text(text, tmp_path):
    """Units are numbered, an experiment may be called 92, a region NA: all are joined by name."""
    for name in ("units", "encoding", "rsa_tests"):
        names = [column for column, kind in TABLES[name].types.items() if kind is str]
        write_table(
            tmp_path / f"{name}.csv", name, example(name).assign(**dict.fromkeys(names, text))
        )
        found = read_table(tmp_path / f"{name}.csv", name)
        assert {value for column in names for value in found[column]} == {text}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_may_be_empty_and_keeps_its_columns_and_types(name, tmp_path):
    write_table(tmp_path / "x.csv", name, as_table(name))
    found = read_table(tmp_path / "x.csv", name)
    assert tuple(found.columns) == TABLES[name].columns
    assert len(found) == 0
    for column, kind in TABLES[name].types.items():
        assert kind is str or found[column].dtype == kind


# Rows


def test_columns_are_put_in_order_and_others_left_out(tmp_path):
    columns = TABLES["learning"].columns
    shuffled = learning()[list(columns[::-1])].assign(another=1)
    write_table(tmp_path / "x.csv", "learning", shuffled)
    first = (tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()[0]
    assert first == ",".join(columns)


def test_rows_may_be_mappings():
    rows = [dict.fromkeys(TABLES["claims"].columns, i) for i in range(3)]
    assert list(as_table("claims", rows)["effect"]) == [0, 1, 2]


def test_a_row_without_a_column_is_refused():
    """A misspelt column would be a column of nothing."""
    rows = [dict.fromkeys(TABLES["claims"].columns, 0) | {"efect": 1}]
    del rows[0]["effect"]
    with pytest.raises(ValueError, match=r"^table 'claims': rows without 'effect'$"):
        as_table("claims", rows)


@pytest.mark.parametrize(
    ("column", "expected", "value"),
    [
        *(("accuracy", "numbers", value) for value in ("high", "0.5", True)),
        *(("seed", "whole numbers", value) for value in ("seed0", 0.5, np.nan, np.inf, None)),
        *(("included", "True or False", value) for value in ("yes", "1", 2, np.nan, None)),
    ],
)
@pytest.mark.parametrize("dtype", [None, object])
def test_a_value_of_another_type_is_refused(column, expected, value, dtype, tmp_path):
    """Text is refused early, anything else when it would be written."""
    good = learning()[column].tolist()[0]
    values = pd.Series([good, value], dtype=dtype)
    found = values.tolist()[1]  # pandas may have made NaN of None
    where = "table 'learning'" if isinstance(value, str) else str(tmp_path / "x.csv")
    with pytest.raises(TypeError) as caught:
        write_table(tmp_path / "x.csv", "learning", learning(**{column: values}))
    said = f"{where}: column {column!r}: expected {expected}, found {found!r}"
    assert str(caught.value) == said
    assert list(tmp_path.iterdir()) == []
    if isinstance(value, str):
        with pytest.raises(TypeError, match=re.escape(said)):
            as_table("learning", learning(**{column: values}))


# Reading


@pytest.mark.parametrize(
    ("column", "written", "expected"),
    [
        ("accuracy", "high", "numbers, found 'high'"),
        ("seed", "zero", "whole numbers, found 'zero'"),
        ("seed", "0.5", "whole numbers, found 0.5"),
        ("seed", "", "whole numbers, found nan"),
        ("included", "yes", "True or False, found 'yes'"),
        ("included", "", "True or False, found nan"),
    ],
)
def test_a_value_of_another_type_in_a_file_is_named(column, written, expected, tmp_path):
    path = tmp_path / "x.csv"
    learning().astype(object).assign(**{column: written}).to_csv(path, index=False)
    with pytest.raises(StoreError) as caught:
        read_table(path, "learning")
    assert str(caught.value) == f"{path}: column {column!r}: expected {expected}"


def test_bad_tables_are_refused_by_name(tmp_path):
    path = tmp_path / "x.csv"
    with pytest.raises(StoreError, match=re.escape(str(path))):
        read_table(path, "learning")
    path.write_text("")
    with pytest.raises(StoreError, match=re.escape(str(path))):
        read_table(path, "learning")
    write_table(path, "learning", learning())
    with pytest.raises(StoreError, match=r"x\.csv: expected .*'verdict'.*found .*'accuracy'"):
        read_table(path, "claims")
    path.write_bytes(b"\xff\xfe\x00\x81" * 10)
    with pytest.raises(StoreError, match=re.escape(str(path))):
        read_table(path, "learning")


def test_files_are_called_after_their_tables(tmp_path):
    written = {name: example(name) for name in ("learning", "units", "claims")}
    for name, table in written.items():
        write_table(tmp_path / f"{name}.csv", name, table)
    found = read_tables(str(tmp_path / f"{name}.csv") for name in written)
    assert list(found) == list(TABLES)
    for name, row in TABLES.items():
        assert tuple(found[name].columns) == row.columns
        assert len(found[name]) == (len(NAMES) if name in written else 0)
    assert list(found["units"]["unit"]) == list(written["units"]["unit"])


def test_without_files_every_table_is_empty():
    found = read_tables([])
    assert {n: tuple(t.columns) for n, t in found.items()} == {
        name: row.columns for name, row in TABLES.items()
    }
    assert all(table.empty for table in found.values())


def test_a_file_that_is_called_after_another_table_is_refused(tmp_path):
    write_table(tmp_path / "units.csv", "learning", example("learning"))
    with pytest.raises(StoreError, match=r"units\.csv: expected the columns .*'unit'.* found"):
        read_tables([tmp_path / "units.csv"])
    with pytest.raises(StoreError, match=r"variance_decomposition\.csv: not a readable table"):
        read_tables([tmp_path / "variance_decomposition.csv"])


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
