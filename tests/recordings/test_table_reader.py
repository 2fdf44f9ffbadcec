"""Text tables, long and wide, are read back exactly, in any order of rows."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.io.recordings import Recording
from repbias.io.text_tables import read_table
from repbias.recordings.readers.table import TableRecording, read

KNOWN = np.array(["001", "002", "003", "cat", "dog"])


def read_frame(frame, folder, name="table.csv", sep=",", **settings):
    path = folder / name
    frame.to_csv(path, sep=sep, index=False)
    return read_text(path, **settings)


def read_text(path, text=None, **settings):
    if text is not None:
        path.write_text(text, encoding="utf-8")
    return read(TableRecording(kind="table", path=path, stimuli="set", **settings), KNOWN)


def assert_same(a: Recording, b: Recording):
    for part in dataclasses.fields(Recording):
        left, right = getattr(a, part.name), getattr(b, part.name)
        if isinstance(left, dict) and part.name != "info":
            assert left.keys() == right.keys()
            for key in left:
                np.testing.assert_array_equal(left[key], right[key])
        elif isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right


def long_frame(seed=0, n_repeats=3, n_times=1, subjects=("A", "B")):
    """Two regions, two subjects with units of the same names, and some rows left out."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "stimulus": stimulus,
            "unit": f"u{unit}",
            "response": rng.normal(),
            "repeat": repeat,
            "subject": subject,
            "region": ["V4", "IT"][unit % 2],
            "session": ["day 1", "day 2"][repeat % 2],
            "time": 0.05 + 0.1 * time,
        }
        for stimulus in KNOWN
        for unit in range(4)
        for repeat in range(n_repeats)
        for subject in subjects
        for time in range(n_times)
    ]
    frame = pd.DataFrame(rows)
    return frame.iloc[rng.permutation(len(frame))[: int(0.9 * len(frame))]]


def of_long(recording: Recording) -> dict:
    """Return every observed response, by its unit, trial and time."""
    units = pd.DataFrame(recording.units)
    times = recording.info.get("times_s", [None])
    responses = recording.responses.reshape(len(recording.responses), len(units), -1)
    return {
        (
            *(recording.trials[c][i] for c in ("stimulus_id", "session", "repeat")),
            *units.loc[j, ["subject", "unit", "region"]],
            *times[k : k + 1],
        ): responses[i, j, k]
        for i, j, k in np.argwhere(~np.isnan(responses))
    }


@pytest.mark.parametrize(("name", "sep"), [("a.csv", ","), ("a.tsv", "\t"), ("A.CSV", ",")])
@pytest.mark.parametrize("n_times", [1, 3])
def test_a_long_table_is_read_back_exactly(n_times, name, sep, tmp_path):
    frame = long_frame(n_times=n_times)
    recording = read_frame(frame, tmp_path, name, sep, format="long")
    expected = {
        (r.stimulus, r.session, r.repeat, r.subject, f"{r.subject}/{r.unit}", r.region, r.time): (
            r.response
        )
        for r in frame.itertuples()
    }
    found = of_long(recording)
    assert {(*key[:-1], round(key[-1], 9)): v for key, v in expected.items()} == found
    assert recording.responses.ndim == 3
    np.testing.assert_allclose(recording.info["times_s"], 0.05 + 0.1 * np.arange(n_times))


def test_without_times_a_trial_has_one_response_of_each_unit(tmp_path):
    frame = long_frame(subjects=("A",)).drop(columns=["time", "subject"])
    recording = read_frame(frame, tmp_path, format="long", subject="M1")
    assert recording.responses.ndim == 2
    assert "times_s" not in recording.info
    assert set(recording.units["subject"]) == {"M1"}
    assert list(recording.units["unit"]) == ["u0", "u1", "u2", "u3"], "no prefix for one subject"


@given(order=st.permutations(range(20)), repeats=st.booleans())
def test_the_order_of_rows_of_a_long_table_does_not_matter(order, repeats, tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    frame = long_frame(n_repeats=4, subjects=("A",)).iloc[:20].drop(columns=["session", "time"])
    frame["response"] = frame["response"].round(0)  # ties, as counts have
    frame = frame if repeats else frame.drop(columns="repeat")
    assert_same(
        read_frame(frame.iloc[order], folder, format="long"),
        read_frame(frame, folder, format="long"),
    )


def test_without_repeats_every_unit_keeps_all_of_its_responses(tmp_path, caplog):
    frame = long_frame(n_repeats=4, subjects=("A",)).drop(columns=["repeat", "time", "session"])
    recording = read_frame(frame, tmp_path, format="long")
    assert "which of them units have in common is unknown" in caplog.text
    for (stimulus, unit), rows in frame.groupby(["stimulus", "unit"]):
        trials = recording.trials["stimulus_id"] == stimulus
        found = recording.responses[trials][:, list(recording.units["unit"]).index(unit)]
        assert sorted(found[~np.isnan(found)]) == sorted(rows["response"])
        # A unit's missing repeats are its last ones.
        assert not np.isnan(found[: len(rows)]).any()


def test_first_repeats_are_not_the_same_counts_everywhere(tmp_path):
    """Ordered by their value, or by its hash alone, one count would always be first."""
    rows = [(s, f"u{u:02}", count) for s in KNOWN for u in range(40) for count in (0, 1)]
    frame = pd.DataFrame(rows, columns=["stimulus", "unit", "response"])
    recording = read_frame(frame, tmp_path, format="long")
    first = recording.responses[recording.trials["repeat"] == 0]
    assert abs(first.mean() - 0.5) < 0.15  # 200 fair coins: 4 standard deviations


def test_a_missing_region_is_that_of_the_recording(tmp_path):
    text = "stimulus,unit,response,region\n001,a,1,V4\n001,b,N/A,n/a\n002,a,#N/A,V4\n002,b,1,n/a\n"
    recording = read_text(tmp_path / "x.csv", text, format="long", region="IT")
    assert recording.units["region"].tolist() == ["V4", "IT"]
    np.testing.assert_array_equal(recording.responses, [[1, np.nan], [np.nan, 1]])


def test_ids_keep_their_zeros_and_missing_values_are_not_ids(tmp_path):
    text = "stimulus,unit,response\n 001 ,a,1\n002,a,NaN\n003,a,n/a\ncat,a,\ndog,a,1e-3\n"
    recording = read_text(tmp_path / "x.csv", text, format="long")
    assert list(recording.stimulus_ids) == ["001", "dog"]
    assert recording.responses.tolist() == [[1.0], [0.001]]


def test_columns_may_have_other_names(tmp_path):
    frame = long_frame()
    names = {name: f"my {name}" for name in frame}
    found = read_frame(frame.rename(columns=names), tmp_path, format="long", columns=names)
    assert_same(found, read_frame(frame, tmp_path, format="long"))


def wide_frame(n=12, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "stimulus": np.resize(KNOWN, n),
            "repeat": np.arange(n) // len(KNOWN),
            "run": 10 - np.arange(n) // 6,
            "u1": rng.normal(size=n),
            "u2": np.where(np.arange(n) == 3, np.nan, rng.normal(size=n)),
            "u3": rng.poisson(3, size=n),
            "observer": ["x"] * n,
            "mean/rt": rng.uniform(size=n),
        }
    )


def test_a_wide_table_is_read_back_exactly(tmp_path):
    frame = wide_frame()
    recording = read_frame(
        frame, tmp_path, format="wide", trial_columns=["mean/rt"], subject="M1", region="V4"
    )
    assert list(recording.units["unit"]) == ["u1", "u2", "u3"]
    assert set(recording.units["subject"]) == {"M1"}
    assert set(recording.units["region"]) == {"V4"}
    assert set(recording.trials["observer"]) == {"x"}
    written = frame.set_index(["stimulus", "repeat"])
    for i, key in enumerate(
        zip(recording.trials["stimulus_id"], recording.trials["repeat"], strict=True)
    ):
        np.testing.assert_array_equal(recording.responses[i], written.loc[key, ["u1", "u2", "u3"]])
        assert recording.trials["run"][i] == written.loc[key, "run"]
        assert recording.trials["mean_rt"][i] == written.loc[key, "mean/rt"]
    recording.write(tmp_path / "recording.h5")
    assert_same(Recording.read(tmp_path / "recording.h5"), recording)


def test_only_the_named_columns_are_units_and_the_others_are_kept(tmp_path):
    recording = read_frame(wide_frame(), tmp_path, format="wide", units=["u3", "u1"])
    assert list(recording.units["unit"]) == ["u1", "u3"]
    assert {"u2", "mean_rt", "observer", "run"} <= recording.trials.keys()


@given(order=st.permutations(range(12)), repeats=st.booleans())
def test_the_order_of_rows_of_a_wide_table_does_not_matter(order, repeats, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    frame = wide_frame() if repeats else wide_frame().drop(columns=["repeat", "run"])
    assert_same(
        read_frame(frame.iloc[order], folder, format="wide"),
        read_frame(frame, folder, format="wide"),
    )


def test_long_and_wide_tables_of_the_same_responses_are_the_same(tmp_path):
    wide = wide_frame()[["stimulus", "repeat", "u1", "u2", "u3"]]
    long = wide.melt(["stimulus", "repeat"], var_name="unit", value_name="response")
    assert_same(
        read_frame(long, tmp_path, format="long"), read_frame(wide, tmp_path, format="wide")
    )


LONG = "stimulus,unit,repeat,response\n001,a,0,1.5\n001,a,1,2\n\n002,b,0,3\n"


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (LONG + "001,a,1,7\n", {}, r"lines 3 and 6 are the same response .*001, unit a, repeat 1"),
        (LONG + "003,a,0,1.5O\n", {}, "line 6, column 'response': expected a number, found '1.5O'"),
        (LONG + '003,a,0,"1,5"\n', {}, "expected a number, found '1,5'"),
        (LONG + "003,a\n", {}, "line 6 has 2 cells for 4 columns"),
        (LONG + "003,a,0,1,1\n", {}, "line 6 has 5 cells for 4 columns"),
        (LONG + ",a,0,1\n", {}, "line 6, column 'stimulus': is empty"),
        (LONG + "003,a,,1\n", {}, "line 6, column 'repeat': is empty"),
        (LONG + "003,a,0,inf\n", {}, "1 responses are infinite"),
        (LONG + "horse,a,0,1\n", {}, "1 of 3 ids are not in 'set': 'horse'"),
        (LONG.replace("unit", "units"), {}, r"no column 'unit'; did you mean 'units'\?"),
        (LONG, {"columns": {"response": "rate"}}, "no column 'rate'; .*repeat, response"),
        (LONG, {"columns": {"session": "day"}}, "no column 'day'"),
        (LONG, {"window": (0, 1)}, "window needs a column of times"),
        (LONG.replace("repeat", "unit"), {}, "two columns are called 'unit'"),
        ("stimulus,unit,response\n", {}, "holds no rows"),
        ("", {}, "the file is empty"),
        ("stimulus,unit,response,time\n001,a,1,\n", {}, "line 2, column 'time': is not a time"),
        (
            "stimulus,unit,response,time\n001,a,1,0\n001,a,1,0.1\n001,a,2,0\n",
            {},
            r"lines 2 and 4 .* a column 'repeat' would distinguish repeats",
        ),
        (
            "stimulus,unit,response,region\n001,a,1,V4\n002,a,1,IT\n",
            {},
            "unit 'a' is in two regions, 'IT' and 'V4'",
        ),
        (
            "stimulus,unit,response\n001,a,nan\n",
            {},
            "every response is NaN",
        ),
    ],
)
def test_invalid_long_tables_are_refused(text, settings, message, tmp_path):
    with pytest.raises(RepbiasError, match=message) as error:
        read_text(tmp_path / "x.csv", text, format="long", **settings)
    assert "x.csv" in str(error.value)


WIDE = "stimulus,repeat,a,b\n001,0,1,2\n001,1,1,2\n002,0,1,2\n"


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (WIDE + "002,0,1,2\n", {}, "lines 4 and 5 are the same trial .stimulus 002, repeat 0"),
        (WIDE + "003,0,x,2\n", {}, "line 5, column 'a': expected a number, found 'x'"),
        (WIDE + "003,n/a,1,2\n", {}, "line 5, column 'repeat': holds 'n/a', which means missing"),
        (WIDE.replace("repeat", "run") + "003,,1,2\n", {}, "line 5, column 'run': is empty"),
        (WIDE + "003,0,1\n", {}, "line 5 has 3 cells for 4 columns"),
        (WIDE, {"units": ["a", "bb"]}, r"no column 'bb'; did you mean 'b'\?"),
        (WIDE, {"units": ["repeat"]}, "the column 'repeat' describes trials"),
        (WIDE, {"units": ["a", "a"]}, "the id 'a' occurs twice"),
        (WIDE, {"trial_columns": ["c"]}, "no column 'c'"),
        (WIDE, {"trial_columns": ["a", "b"]}, "no numeric column for a unit"),
        (WIDE.replace("stimulus", ""), {}, "column 1 has no name"),
        (WIDE.replace("repeat", "subject"), {}, r"trials of 2 subjects \(0, 1\)"),
    ],
)
def test_invalid_wide_tables_are_refused(text, settings, message, tmp_path):
    with pytest.raises(RepbiasError, match=message):
        read_text(tmp_path / "x.csv", text, format="wide", **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "long", "units": ["a"]}, "units: not for the long format"),
        ({"format": "wide", "columns": {"time": "t"}}, "columns.time: not for the wide format"),
        ({"format": "wide", "window": (0, 1)}, "a wide table has none"),
        ({"format": "wide", "columns": {"stimuli": "s"}}, "stimuli"),
        ({"format": "long", "regions": "r.csv"}, r"columns: \{region: area\}; merge a table"),
        ({}, "format"),
    ],
)
def test_invalid_settings_are_refused(settings, message, tmp_path):
    with pytest.raises(ValidationError, match=message):
        read_text(tmp_path / "x.csv", WIDE, **settings)


def test_stimuli_may_be_left_out_or_renamed(tmp_path):
    (tmp_path / "names.csv").write_text("horse,cat\n")
    text = "stimulus,unit,response\nhorse,a,1\ncow,a,2\n"
    settings = {"format": "long", "rename": tmp_path / "names.csv", "unmatched": "leave_out"}
    recording = read_text(tmp_path / "x.csv", text, **settings)
    assert list(recording.stimulus_ids) == ["cat"]


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        (".dat", "unknown kind of table '.dat'; expected .csv"),
        (".xlsx", r"a spreadsheet .* pd.read_excel\(\"x.xlsx\"\) .* table.to_csv\(\"x.csv\""),
        (".parquet", r"pd.read_parquet\(\"x.parquet\"\)"),
        (".rds", r"write.csv\(table, \"x.csv\""),
        (".pkl", "a pickle, which is never loaded"),
    ],
)
def test_other_files_are_refused(suffix, message, tmp_path):
    with pytest.raises(RepbiasError, match=message):
        read_text(tmp_path / f"x{suffix}", WIDE, format="wide")


LONG_ROWS = pd.DataFrame(
    {
        "stimulus": np.repeat(["cat", "dog", "003"], 2),
        "unit": ["u1", "u2"] * 3,
        "response": [0.5, 1.25, -2, 3e-05, np.nan, 7],
    }
)


@pytest.mark.parametrize("how", ["pandas", "pandas twice", "R", "semicolons", "commas", "tabs"])
def test_tables_as_other_programs_write_them(how, tmp_path):
    """Each is written by pandas with what the other programs do; the responses are the same."""
    path = tmp_path / "x.csv"
    plain = tmp_path / "plain.csv"
    LONG_ROWS.to_csv(plain, index=False)
    options = {
        "pandas": {},
        "pandas twice": {},
        "R": {"quoting": csv.QUOTE_NONNUMERIC, "na_rep": "NA"},
        "semicolons": {"sep": ";", "index": False},
        "commas": {"sep": ";", "decimal": ",", "index": False},  # Excel, and R's write.csv2
        "tabs": {"sep": "\t", "index": False},
    }[how]
    table = LONG_ROWS.set_index(LONG_ROWS.index + 1) if how == "R" else LONG_ROWS
    table.to_csv(path, **options)
    if how == "pandas twice":
        pd.read_csv(path, dtype={"stimulus": str}).to_csv(path)
        assert path.read_text().startswith(",Unnamed: 0,stimulus")
    expected = read_text(plain, format="long")
    found = read_text(path, format="long")
    np.testing.assert_array_equal(found.responses, expected.responses)
    assert found.units["unit"].tolist() == ["u1", "u2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",unit,response\nant,u1,1\nbee,u1,2\n", "column 1 has no name, .* holds 'ant'; give"),
        (",stimulus,unit,response\n0,ant,u1,1\n0,bee,u1,2\n", "column 1 .* holds '0' twice"),
        ("stimulus;unit;response\nant;u1;1,5\nbee;u1;2.5\n", "decimal commas .line 2: 1,5. and"),
        ('stimulus,unit,response\nant,u1,"1,5"\n', "found '1,5'; write decimals with points"),
        (",\n0,1\n", "no column has a name"),
    ],
)
def test_what_is_no_index_and_no_number_is_refused(text, message, tmp_path):
    with pytest.raises(RepbiasError, match=message):
        read_text(tmp_path / "x.csv", text, format="long")


def test_binary_files_are_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"stimulus,a\n\xff\xfe\x00,1\n")
    with pytest.raises(RepbiasError, match=r"x.csv: cannot be read as a text table"):
        read_text(path, format="wide")


def test_line_numbers_are_those_of_the_file(tmp_path):
    """Blank lines and a byte-order mark are ignored, except in the numbering of lines."""
    path = tmp_path / "x.csv"
    path.write_bytes('\ufeffa,b\r\n\r\n1,2\r\n\r\n\r\n"x, y",3\r\n'.encode())
    table = read_table(path)
    assert list(table.columns) == ["a", "b"]
    assert list(table.index) == [3, 6]
    assert table["a"].tolist() == ["1", "x, y"]
    (tmp_path / "x.txt").write_text("rest 0\n\n face\t1 \n")
    table = read_table(tmp_path / "x.txt", header=["label", "run"])
    assert table.to_dict("list") == {"label": ["rest", "face"], "run": ["0", "1"]}
    assert list(table.index) == [1, 3]


def test_rows_are_selected_by_their_columns(tmp_path):
    """A column of numbers that selects trials is no unit."""
    wide = pd.DataFrame(
        {
            "stimulus": ["cat", "dog", "cat"],
            "completed": [1, 0, 1],
            "a": [1.0, 2.0, 3.0],
            "b": [4.0, 5.0, 6.0],
        }
    )
    long = wide.melt(["stimulus", "completed"], var_name="unit", value_name="response")
    for format_, frame in (("wide", wide), ("long", long)):
        found = read_frame(frame, tmp_path, format=format_, trials_where={"completed": 1})
        assert found.trials["stimulus_id"].tolist() == ["cat", "cat"]
        assert found.units["unit"].tolist() == ["a", "b"]
        assert np.sort(found.responses, axis=0).tolist() == [[1, 4], [3, 6]]
        assert found.info["trials_left_out"] == len(frame) // 3
    yes_or_no = wide.assign(completed=["TRUE", "False", "true"])
    for wanted in (True, "TRUE"):
        found = read_frame(yes_or_no, tmp_path, format="wide", trials_where={"completed": wanted})
        assert len(found.responses) == (2 if wanted is True else 1)


@pytest.mark.parametrize(
    ("wanted", "kept"), [(1, ["cat"]), (0, ["dog"]), ([0, True], ["cat", "dog"])]
)
def test_1_and_0_select_true_and_false(wanted, kept, tmp_path):
    frame = pd.DataFrame(
        {"stimulus": ["cat", "dog", "owl"], "completed": ["True", "false", "n/a"], "a": [1.0, 2, 3]}
    )
    where = {"format": "wide", "trials_where": {"completed": wanted}}
    found = read_frame(frame, tmp_path, **where)
    assert found.trials["stimulus_id"].tolist() == kept
    others = frame.assign(completed=["true", "aborted", "false"])  # other words, so 1 is none
    where["trials_where"] = {"completed": 1}
    with pytest.raises(RepbiasError, match=r"no trial where .* completed is aborted, false, true"):
        read_frame(others, tmp_path, **where)


def test_a_value_that_selects_nothing_is_answered_with_the_nearest(tmp_path):
    frame = pd.DataFrame({"stimulus": ["cat", "dog"], "outcome": ["ok", "aborted"], "a": [1.0, 2]})
    with pytest.raises(RepbiasError, match=r"outcome is aborted, ok; did you mean 'ok'\?"):
        read_frame(frame, tmp_path, format="wide", trials_where={"outcome": "OK"})
    numbers = frame.assign(outcome=[1, 2])
    with pytest.raises(RepbiasError, match=r"outcome is 1, 2$"):
        read_frame(numbers, tmp_path, format="wide", trials_where={"outcome": "3"})
