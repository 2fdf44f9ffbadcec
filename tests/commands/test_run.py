"""What `repbias run` refuses before Snakemake starts, and what it gives to Snakemake."""

import fcntl
import os
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from left import make_results

from repbias.commands import run as command
from repbias.commands.main import main
from repbias.commands.snakemake import pipeline
from repbias.tables import TABLES, write_table

STUDY = {
    "study": "mine",
    "experiments": {
        "tasks": {
            "stimuli": {"features": {"easy": {"function": "bit"}, "hard": {"function": "parity"}}},
            "seeds": 2,
        }
    },
}
LOCK = Path(".snakemake/locks/0.output.lock")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(STUDY))
    return tmp_path


@pytest.fixture
def calls(monkeypatch):
    """The commands that would have been run, all with success."""
    made = []
    monkeypatch.setattr(command, "_call", lambda words, *_, **__: made.append(words) or 0)
    return made


def test_the_pipeline_of_this_repository_is_run(folder, calls):
    assert main(["run"]) == 0
    ((_, *words),) = calls
    assert words[:4] == ["-m", "snakemake", "--snakefile", str(pipeline() / "Snakefile")]
    assert words[4:8] == ["--directory", ".", "--configfile", "config.yaml"]
    assert words[-4:] == ["--cores", "all", "--logger", "repbias"]
    profile = (pipeline() / "workflow/profiles/default/config.yaml").read_text()
    assert "rerun-incomplete: true" in profile and "scheduler: greedy" in profile
    assert {"--rerun-incomplete", "--scheduler=greedy", "--show-failed-logs"} <= set(words)
    # Of a profile that it has chosen, Snakemake would tell in a line.
    assert words[words.index("--workflow-profile") + 1] == "none"


def test_claims_of_an_earlier_configuration_are_not_told(folder, calls, capsys):
    tables = make_results(Path("config.yaml").read_text()) / "tables"
    row = dict.fromkeys(TABLES["claims"].columns, 1) | {"snapshot": "final", "verdict": "supported"}
    write_table(tables / "claims.csv", "claims", pd.DataFrame([row]))
    assert main(["run"]) == 0
    assert capsys.readouterr().out == "Report: results/mine/report.html\n"


def test_options_say_where_and_what_is_run(folder, calls):
    words = ["run", "config.yaml", "--profile", "slurm", "--dry-run", "--only", "learning"]
    files = ["results/mine/stimuli/tasks/base.h5", "rdms/tasks/base.h5"]
    assert main([*words, *files, "--", "--keep-going"]) == 0
    ((_, *words),) = calls
    files = ["results/mine/tables/learning.csv", files[0], f"results/mine/{files[1]}"]
    assert words[2:5] == files
    # Without which what is made could not be loaded.
    assert words[5] == "results/mine/config.yaml"
    profile = words[words.index("--workflow-profile") + 1]
    assert Path(profile, "config.yaml").read_text().startswith("# For a cluster")
    assert "--cores" not in words
    assert words[-4:] == ["--logger", "repbias", "--dry-run", "--keep-going"]


@pytest.mark.parametrize(
    ("terminal", "no_color", "coloured"),
    [(True, None, True), (True, "", True), (True, "1", False), (False, None, False)],
)
def test_colour_is_for_terminals_and_those_who_want_it(
    folder, calls, monkeypatch, terminal, no_color, coloured
):
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    _, end = os.openpty()
    stream = os.fdopen(end, "w") if terminal else sys.stderr
    monkeypatch.setattr(sys, "stderr", stream)
    assert main(["run"]) == 0
    assert ("--nocolor" not in calls[0]) == coloured


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.yaml"], "none.yaml: no such file"),
        (["--only", "lerning"], "--only lerning: no table of this study; did you mean 'learning'?"),
        (["--only", "x"], "--only x: no table of this study; allowed: "),
        (["--cores", "0"], "--cores 0: expected a number from 1, or all"),
        (["--profile", "slum"], "no profile of repbias; did you mean 'slurm'?"),
    ],
)
def test_what_cannot_be_run_is_refused(folder, calls, capsys, words, said):
    assert main(["run", *words]) == 1
    assert said in capsys.readouterr().err
    assert calls == []


def test_a_study_with_something_to_fill_in_is_refused(folder, calls, capsys):
    Path("config.yaml").write_text(yaml.safe_dump({"images": {"shown": {"path": "FILL_IN"}}}))
    assert main(["run"]) == 1
    assert "config.yaml: still to fill in: images.shown.path" in capsys.readouterr().err
    assert calls == []


def test_one_run_at_a_time_is_at_work_in_a_folder(folder, calls, capsys):
    Path(".snakemake").mkdir()
    with command.MARK.open("w") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        assert main(["run"]) == 1
    assert "another 'repbias run' is at work in this folder" in capsys.readouterr().err
    assert calls == []
    assert main(["run"]) == 0


def lock(results):
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    LOCK.write_text(f"{results}/report.html\n")


def test_the_lock_of_a_run_that_was_killed_is_removed(folder, calls, capsys):
    lock("results/mine")
    command.MARK.write_text("running\n")
    assert main(["run"]) == 0
    assert [words[-1] for words in calls] == ["--unlock", "repbias"]
    assert command.MARK.read_text() == "", "that run has ended"


def test_a_lock_of_which_nothing_is_known_is_removed_on_demand_alone(folder, calls, capsys):
    lock("results/mine")
    assert main(["run"]) == 1
    assert "repbias run config.yaml --unlock" in capsys.readouterr().err
    assert calls == []
    assert main(["run", "--unlock"]) == 0
    assert [words[-1] for words in calls] == ["--unlock", "repbias"]


def test_a_lock_of_another_study_is_left_alone(folder, calls):
    lock("results/mine_too")
    command.MARK.write_text("running\n")
    assert main(["run"]) == 0
    assert len(calls) == 1


def test_a_command_that_does_not_exist_is_answered_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as error:
        main(["rum"])
    assert error.value.code == 2
    assert "rum: no such command; did you mean 'run'?" in capsys.readouterr().err


def test_repbias_alone_shows_the_commands(capsys):
    assert main([]) == 0
    assert "run a study" in capsys.readouterr().out
