"""``repbias diff``: what differs, by how much, and the exit code."""

import json
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from repbias.commands.main import main
from repbias.io.recordings import Recording
from repbias.tables import TABLES, write_table


def steering(**columns):
    rows = {
        **{"experiment": "e", "condition": "c", "network": ["seed0", "seed1"], "seed": [0, 1]},
        **{
            "snapshot": "final",
            "step": 100,
            "included": True,
            "layer": "hidden1",
            "feature": "easy",
        },
        **{"strength": 0.5, "norm": 1.0, "norm_sd": [1.5, np.nan], "output": "easy"},
        "flips": [0.25, 0.5],
        "reached": [0.25, 0.5],
    }
    return pd.DataFrame(rows | columns)


def recording(responses, **info):
    return Recording(
        stimuli={"stimulus_id": np.array(["a", "b"])},
        responses=np.array(responses),
        trials={"stimulus_id": np.array(["a", "b"])},
        units={"unit": np.array(["u", "v"])},
        info=info,
    )


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two folders of the same results, a and b."""
    monkeypatch.chdir(tmp_path)
    write_table("a/tables/steering.csv", "steering", steering())
    recording([[1.0, 2.0], [3.0, np.nan]], source="x").write("a/recordings/brain.h5")
    (tmp_path / "a/config.yaml").write_text(
        "study: x\nbias: {steering_strengths: [0.5]}\nclaims: {}\n"
    )
    shutil.copytree("a", "b")
    return tmp_path


@pytest.fixture
def diff(capsys):
    """Function that runs the command; gives the exit code and the lines that say what differs."""

    def run(a="a", b="b"):
        code = main(["diff", a, b])
        lines = capsys.readouterr()
        return code, [line.strip() for line in (lines.out + lines.err).splitlines()]

    return run


def test_the_same_is_0(runs, diff):
    for folder in ("logs", "benchmarks", "tables/parts", "provenance"):  # not what is measured
        (runs / "a" / folder).mkdir(exist_ok=True)
        (runs / "a" / folder / "x.csv").write_text("a\n1\n")
    code, lines = diff()
    assert code == 0
    assert lines[-1] == "3 files the same, 0 different"
    assert diff("a/config.yaml", "b/config.yaml")[0] == 0


def test_settings_that_differ(runs, diff):
    (runs / "b/config.yaml").write_text(
        "study: x\nclaims: {}\nbias: {steering_strengths: [1.0], new: 2}\n"
    )
    code, lines = diff()
    assert code == 1
    assert lines[lines.index("config.yaml") + 1 :][:2] == [
        "bias.steering_strengths: [0.5] | [1.0]",
        "bias.new: none | 2",
    ]
    assert lines[-1] == "2 files the same, 1 different"


def test_values_that_differ_and_rows_of_one_side(runs, diff):
    other = steering(flips=[0.25, 0.75], norm_sd=[1.5, 2.0], norm=[1.0, 1.001])
    longer = pd.concat([other, other.tail(1).assign(strength=2.0)])
    write_table("b/tables/steering.csv", "steering", longer)
    code, lines = diff("a/tables/steering.csv", "b/tables/steering.csv")
    assert code == 1
    assert lines[lines.index("content") + 1 :] == [
        "1 row only in B",
        "norm: 1 row of 2, up to 0.001",
        "norm_sd: 1 row of 2, 1 missing on one side",
        "flips: 1 row of 2, up to 0.25",
    ]
    assert diff("b", "a")[1][-1] == "2 files the same, 1 different"


def test_the_order_of_rows_is_told_apart_from_values(runs, diff):
    write_table("b/tables/steering.csv", "steering", steering()[::-1])
    code, lines = diff()
    assert code == 1
    assert "the same values, in another order or format" in lines


def test_rows_about_other_layers_or_brains_are_other_rows(runs, diff):
    """Of model recovery: simulated brains, and the recording itself, which is of a known layer."""
    types = TABLES["recovery"].types
    blank = {c: {str: "x", bool: False, int: 1, float: 0.5}[kind] for c, kind in types.items()}
    rows = [
        blank | {"simulated": simulated, "true_layer": true, "named_layer": name}
        for simulated in (True, False)
        for true in ("hidden1", "hidden2")
        for name in ("hidden1", "hidden2")
    ]
    frame = pd.DataFrame(rows).assign(probability=np.arange(8) / 8)
    for folder, table in (("a", frame), ("b", frame[::-1])):
        write_table(f"{folder}/tables/recovery.csv", "recovery", table)
    lines = diff("a/tables/recovery.csv", "b/tables/recovery.csv")[1]
    assert lines[-1] == "the same values, in another order or format"


def test_a_verdict_that_differs_is_no_other_row(runs, diff):
    row = {"claim": "C1", "variant": "", "snapshot": "final", "statement": "s", "effect": 0.5}
    row |= dict.fromkeys(["ci_low", "ci_high", "p", "p_fdr", "n_included", "n_excluded"], 1)
    row |= dict.fromkeys(["measure", "reference", "provenance", "remark"], "")
    for folder, verdict in (("a", "supported"), ("b", "inconclusive")):
        rows = pd.DataFrame([row | {"verdict": verdict}])
        write_table(f"{folder}/tables/claims.csv", "claims", rows)
    lines = diff("a/tables/claims.csv", "b/tables/claims.csv")[1]
    assert lines[-1] == "verdict: 1 row of 1 (supported | inconclusive)"


def test_columns_of_one_side(runs, diff):
    """As of tables of another version of this package."""
    steering().drop(columns="flips").to_csv("b/tables/steering.csv", index=False)
    assert "column flips only in A" in diff()[1]


def test_a_file_that_cannot_be_read_is_a_difference_among_others(runs, diff):
    (runs / "b/recordings/brain.h5").write_bytes(b"no longer HDF5")
    write_table("b/tables/steering.csv", "steering", steering(flips=[0.25, 0.75]))
    code, lines = diff()
    assert code == 1 and lines[-1].endswith("the same, 2 different")
    assert any("b/recordings/brain.h5: cannot be read" in line for line in lines)
    assert "tables/steering.csv" in lines


def test_files_of_one_side(runs, diff):
    (runs / "a/recordings/brain.h5").unlink()
    (runs / "b/tables/steering.csv").unlink()
    code, lines = diff()
    assert code == 1
    assert lines[lines.index("recordings/brain.h5") + 1] == "only in B"
    assert lines[lines.index("tables/steering.csv") + 1] == "only in A"


def test_hdf5_files_differ_in_arrays_and_attributes(runs, diff):
    recording([[1.0, 2.5], [np.nan, np.nan]], source="y").write("b/recordings/brain.h5")
    with h5py.File("b/recordings/brain.h5", "a") as file:
        file["extra"] = 1
        del file["units"]
    code, lines = diff()
    assert code == 1
    start = lines.index("recordings/brain.h5")
    assert lines[start + 1 : start + 5] == [
        '@info: {"source": "x"} | {"source": "y"}',
        "responses: 2 of 4 values, up to 0.5, 1 missing on one side",
        "units/unit only in A",
        "extra only in B",
    ]


def test_arrays_of_other_shapes_and_texts(runs, diff):
    changed = recording([[1.0, 2.0], [3.0, np.nan], [0.0, 0.0]], source="x")
    changed.trials = {"stimulus_id": np.array(["a", "a"])}
    changed.write("b/recordings/brain.h5")
    lines = diff()[1]
    assert "responses: (2, 2) float64 | (3, 2) float64" in lines
    assert "trials/stimulus_id: 1 of 2 values" in lines


def test_large_arrays_are_compared_in_blocks(runs, diff, monkeypatch):
    monkeypatch.setattr("repbias.commands.diff.BLOCK", 2)
    recording([[1.0, 2.0], [3.5, np.nan]], source="x").write("b/recordings/brain.h5")
    assert "responses: 1 of 4 values, up to 0.5" in diff()[1]


def record(folder, **facts):
    made = {
        **{"rule": "steer", "wildcards": {}, "outputs": {"tables/steering.csv": ""}, "inputs": {}},
        **{"config": "1", "code": "2", "settings": {}, "commit": None, "seconds": 1.0},
        **{"versions": {"numpy": "2.0"}, "host": {"device": "cpu"}, "finished": "2026-01-01"},
    }
    path = folder / "provenance/steer.json"
    path.parent.mkdir()
    path.write_text(json.dumps(made | facts))


def test_versions_and_hosts_alone_are_no_difference(runs, diff):
    record(runs / "a")
    record(runs / "b", versions={"numpy": "2.1", "torch": "2.13"}, host={"device": "cuda"})
    for pair in (("a", "b"), ("a/tables/steering.csv", "b/tables/steering.csv")):
        code, lines = diff(*pair)
        assert code == 0
        start = lines.index("versions and hosts")
        assert lines[start + 1 : start + 4] == [
            "numpy: 2.0 | 2.1",
            "device: cpu | cuda",
            "torch: none | 2.13",
        ]


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("a", "none", "none: no such file"),
        ("a", "a/config.yaml", "one is a file and one a folder"),
        ("a/config.yaml", "a/tables/steering.csv", "expected two files of the same type"),
        ("a", "empty", "empty: no results of a study"),
        ("a/recordings/brain.h5", "broken.h5", "broken.h5: cannot be read as a complete HDF5 file"),
        ("a/tables/steering.csv", "broken.csv", "broken.csv: not a readable table"),
    ],
)
def test_what_cannot_be_compared_is_named(runs, diff, a, b, message):
    (runs / "empty").mkdir()
    (runs / "broken.h5").write_text("x")
    (runs / "broken.csv").write_text("")
    code, lines = diff(a, b)
    assert code == 1
    assert message in lines[-1]
