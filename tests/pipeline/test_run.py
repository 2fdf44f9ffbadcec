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


def started(config, files=()):
    return load_run(config, files, ROOT, in_job=False)


def in_job(config):
    return load_run(config, [], ROOT, in_job=True)


@pytest.fixture
def process(tmp_path, monkeypatch):
    """Function that makes this another process: it has started nothing yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(RUN, raising=False)

    def process():
        monkeypatch.setattr(run, "_started", {})

    process()
    return process


@pytest.mark.slow
def test_a_job_sees_the_study_and_the_code_of_its_run(process, monkeypatch):
    before, code = started(study())
    assert before.experiments["tasks"].seeds == 3
    assert {"train.py", "repbias.rsa.quality:quality_table"} <= code.keys()
    process()
    monkeypatch.setattr(run, "code_fingerprints", lambda scripts: {"train.py": "edited"})
    edited = study(seeds=7)
    again, same_code = in_job(edited)
    assert again == before and same_code == code
    assert edited == study(), "what Snakemake has read is replaced"


def test_the_next_run_sees_what_was_edited(process, monkeypatch):
    started(study())
    process()
    edited, _ = started(study(seeds=7))
    assert edited.experiments["tasks"].seeds == 7


def test_jobs_of_a_process_that_starts_a_study_twice_see_the_later_one(process):
    """As with the Python interface of Snakemake."""
    started(study())
    started(study(seeds=7))
    process()
    assert in_job(study())[0].experiments["tasks"].seeds == 7


def test_two_studies_in_one_workflow_are_told_apart(process):
    """As with two modules of another workflow."""
    before = {name: started(study(name))[0] for name in ("one", "two")}
    assert len(os.environ[RUN].split(os.pathsep)) == 2
    process()
    for name in ("two", "one"):
        assert in_job(study(name, seeds=7))[0] == before[name]


def test_an_only_study_may_be_renamed_during_its_run(process):
    before, _ = started(study("mine"))
    process()
    assert in_job(study("renamed"))[0] == before


def test_where_no_files_are_shared_a_job_reads_the_configuration(process, monkeypatch):
    started(study())
    process()
    monkeypatch.setenv(RUN, "/nowhere/run.json")
    assert in_job(study(seeds=7))[0].experiments["tasks"].seeds == 7


def test_what_was_started_is_in_a_file_of_its_own(process):
    started(study())
    started(study())
    (file,) = Path(".snakemake/studies").iterdir()
    assert json.loads(file.read_text())["config"] == study()
    assert os.environ[RUN] == str(file.absolute())


def test_keys_that_occur_twice_are_refused_with_the_file(process, tmp_path):
    """Snakemake has taken the last of them."""
    (tmp_path / "study.yaml").write_text("study: mine\nstudy: other\n")
    with pytest.raises(RepbiasError, match=r"study\.yaml"):
        started(study(), [tmp_path / "study.yaml"])
