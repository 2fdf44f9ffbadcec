"""A run keeps what it was started with, and its jobs read that."""

import json
import os
from pathlib import Path

import pytest

from repbias.base.spec import RepbiasError
from repbias.pipeline import run
from repbias.pipeline.run import RUN, load_run

ROOT = Path(__file__).parents[2]
EXPERIMENT = {"stimuli": {"features": {"easy": {"function": "bit"}}}, "seeds": 3}


def study(name="mine", **changes):
    return {"study": name, "experiments": {"tasks": EXPERIMENT | changes}}


@pytest.fixture
def process(tmp_path, monkeypatch):
    """Function that makes this another process: it has started nothing yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(RUN, raising=False)

    def process():
        monkeypatch.setattr(run, "_started", [])

    process()
    return process


def test_a_job_sees_the_study_and_the_code_of_its_run(process, monkeypatch):
    started, code = load_run(study(), [], ROOT)
    assert started.experiments["tasks"].seeds == 3
    assert {"train.py", "repbias.rsa.quality:quality_table"} <= code.keys()
    process()
    monkeypatch.setattr(run, "code_fingerprints", lambda scripts: {"train.py": "edited"})
    edited = study(seeds=7)
    again, same_code = load_run(edited, [], ROOT)
    assert again == started and same_code == code
    assert edited == study(), "what Snakemake has read is replaced"


def test_the_next_run_sees_what_was_edited(process, monkeypatch):
    load_run(study(), [], ROOT)
    process()
    monkeypatch.delenv(RUN)
    edited, _ = load_run(study(seeds=7), [], ROOT)
    assert edited.experiments["tasks"].seeds == 7


def test_a_process_that_reads_a_study_twice_takes_the_later_one(process):
    """As with the Python interface of Snakemake: a process is no job of its own run."""
    load_run(study(), [], ROOT)
    edited, _ = load_run(study(seeds=7), [], ROOT)
    assert edited.experiments["tasks"].seeds == 7


def test_two_studies_in_one_workflow_are_told_apart(process):
    """As with two modules of another workflow."""
    started = {name: load_run(study(name), [], ROOT)[0] for name in ("one", "two")}
    assert len(os.environ[RUN].split(os.pathsep)) == 2
    process()
    for name in ("two", "one"):
        assert load_run(study(name, seeds=7), [], ROOT)[0] == started[name]


def test_where_no_files_are_shared_a_job_reads_the_configuration(process, monkeypatch):
    load_run(study(), [], ROOT)
    process()
    monkeypatch.setenv(RUN, "/nowhere/run.json")
    assert load_run(study(seeds=7), [], ROOT)[0].experiments["tasks"].seeds == 7


def test_what_was_started_is_in_a_file_of_its_own(process):
    load_run(study(), [], ROOT)
    load_run(study(), [], ROOT)
    (file,) = Path(".snakemake/studies").iterdir()
    assert json.loads(file.read_text())["config"] == study()
    assert os.environ[RUN] == str(file.absolute())


def test_keys_that_occur_twice_are_refused_with_the_file(process, tmp_path):
    """Snakemake has taken the last of them."""
    (tmp_path / "study.yaml").write_text("study: mine\nstudy: other\n")
    with pytest.raises(RepbiasError, match=r"study\.yaml"):
        load_run(study(), [tmp_path / "study.yaml"], ROOT)
