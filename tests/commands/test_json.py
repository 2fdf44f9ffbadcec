"""``--json``: one document on standard output, with the keys of docs/command-line.md."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from repbias.commands import document
from repbias.commands.main import main
from repbias.tables import write_table

PAGE = Path(__file__).parents[2] / "docs/command-line.md"
TRAINED = {
    "study": "trained",
    "experiments": {"tasks": {"stimuli": {"features": {"easy": {"function": "bit"}}}, "seeds": 3}},
}


def documented(command):
    """The words that the page marks as keys of a command."""
    (row,) = re.findall(rf"^\| `{command}` \| (.*`.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return set(re.findall(r"`(\w+)`", row))


def keys_of(value):
    """The keys of a document at the top, and in lists of things."""
    if isinstance(value, list):
        return set().union(*map(keys_of, value)) if value else set()
    return set(value) if isinstance(value, dict) else set()


@pytest.fixture
def answer(capsys):
    """Function that runs a command with --json: exit code and document."""

    def run(*words, code=0):
        assert main([*map(str, words), "--json"]) == code
        out, err = capsys.readouterr()
        assert err == ""
        found = json.loads(out, parse_constant=pytest.fail)
        assert "error" in found or keys_of(found) <= documented(words[0])
        return found

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = np.array([f"im{i:02d}" for i in range(30)])
    np.savez("session.npz", counts=rng.poisson(5, (30, 4, 8)), names=names)
    pd.DataFrame({"stimulus_id": names, "size": rng.random(30)}).to_csv("stimuli.csv", index=False)
    return tmp_path


def test_what_is_in_a_file(folder, answer, capsys):
    found = answer("inspect", "session.npz")
    assert found["file"] == "session.npz" and "counts: 30 x 4 x 8" in found["content"][0]
    (entry,) = found["entries"]
    assert keys_of(entry) <= documented("inspect")
    main(["inspect", "session.npz"])
    block = yaml.safe_load(capsys.readouterr().out.partition("\n\n")[2])
    assert block == {entry["section"]: {entry["name"]: entry["entry"]}}


def test_a_study_that_is_begun_and_checked(folder, answer):
    begun = answer("init", "study", "--recording", "session.npz", "--images", "stimuli.csv")
    assert begun["files"][0] == "study/study.yaml" and Path("study/study.yaml").exists()
    assert "recordings.session.axes" in begun["to_fill_in"]
    checked = answer("check", "study/study.yaml", code=1)
    assert checked["problems"] == len(checked["parts"][0]["problems"]) == len(begun["to_fill_in"])
    assert checked["estimates"] == {}


def test_estimates_of_a_study_are_numbers(folder, answer, capsys):
    Path("config.yaml").write_text(yaml.safe_dump(TRAINED))
    found = answer("check")
    estimates = found["estimates"]
    assert keys_of(found["parts"]) | keys_of(estimates) <= documented("check")
    assert estimates["seconds"] == pytest.approx(sum(estimates["seconds_by_step"].values()))
    assert estimates["disk_bytes"] == sum(estimates["disk_bytes_by_folder"].values())
    assert estimates["memory_bytes"] > 5e8 and estimates["jobs"] > 5
    main(["check"])
    said = capsys.readouterr().out
    assert all(part["title"] in said for part in found["parts"])
    assert f"jobs           {estimates['jobs']}\n" in said


def test_differences_by_table_and_column(folder, answer):
    table = pd.DataFrame({"seed": [0, 1], "flips": [0.25, np.nan], "verdict": ["a", "b"]})
    for name, other in (("a", table), ("b", table.assign(flips=[0.5, 1.0], verdict="a", new=1))):
        Path(name, "tables").mkdir(parents=True)
        other.to_csv(f"{name}/tables/x.csv", index=False)
    found = answer("diff", "a", "b", code=1)
    assert (found["same"], found["different"], found["versions_and_hosts"]) == (0, 1, None)
    (differences,) = found["files"].values()
    assert keys_of(differences) <= documented("diff")
    by_column = {d["column"]: d for d in differences}
    assert by_column["new"]["only_in"] == "B"
    assert by_column["verdict"]["rows"] == 1
    assert by_column["flips"] == {
        "text": "flips: 2 rows of 2, up to 0.25, 1 missing on one side",
        **{"column": "flips", "rows": 2, "of": 2, "largest": 0.25, "missing": 1},
    }
    assert answer("diff", "a", "a") == found | {"b": "a", "same": 1, "different": 0, "files": {}}
    assert answer("diff", "a/tables/x.csv", "b/tables/x.csv", code=1)["files"] == {
        "x.csv": differences
    }


def test_a_table_of_results_has_its_meanings(folder, answer):
    rows = {"experiment": "e", "condition": "c", "network": "n", "seed": [0, 1], "step": 1}
    rows |= {"snapshot": "final", "included": True, "layer": "h", "feature": "f", "output": "f"}
    rows |= {"strength": 0.5, "norm": 1.0, "norm_sd": np.nan, "flips": [0.25, 0.5], "reached": 0.5}
    write_table("steering.csv", "steering", pd.DataFrame(rows))
    found = answer("show", "steering.csv")
    assert (found["table"], found["rows"], found["made"]) == ("steering", 2, None)
    column = found["columns"]["flips"]
    assert (column["min"], column["max"]) == (0.25, 0.5) and "flips" not in column["meaning"]
    assert found["columns"]["norm_sd"]["empty"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inspect", "none.npy"], "none.npy: no such file or folder"),
        (["run", "none.yaml"], "none.yaml: no such file"),
        (["plan", "none.yaml"], "none.yaml: no such file"),
        (["diff", "session.npz", "none"], "none: no such file"),
    ],
)
def test_an_error_is_a_document(folder, answer, words, message):
    assert message in answer(*words, code=1)["error"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chek", "--json"], "chek: no such command; did you mean 'check'?"),
        (["check", "--json", "--fast"], "unrecognized arguments: --fast"),
        (["init", "--json"], "the following arguments are required: FOLDER"),
    ],
)
def test_wrong_usage_is_a_document(capsys, words, message):
    with pytest.raises(SystemExit) as error:
        main(words)
    assert error.value.code == 2
    assert message in json.loads(capsys.readouterr().out)["error"]


def test_what_models_and_processes_print_is_not_in_the_document(capfd):
    with document.only_a_document():
        print("from Python")
        os.system("echo from a process")
    document.write({})
    assert capfd.readouterr() == ("{}\n", "from a process\n")


def test_what_json_cannot_say_is_null_or_text(capsys):
    document.write(
        {"a": np.float64("nan"), "b": np.array([1, 2]), "c": Path("x"), "d": float("inf")}
    )
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1, 2], "c": "x", "d": None}
