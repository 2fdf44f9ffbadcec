"""Records state how every output was made, and hold nothing private."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, Wildcards

from repbias.base.spec import RepbiasError
from repbias.io import provenance

ROOT = Path(__file__).parents[2]


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A finished job, in Snakemake's own types, with a result and other data as inputs."""
    monkeypatch.chdir(tmp_path)
    for name in ("results/x/tables/a b.csv", "results/x/networks/e/c.h5", "data/raw.npy"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(f"content of {name}")
    return SimpleNamespace(
        rule="analyse",
        wildcards=Wildcards(fromdict={"study": "x", "experiment": "e"}),
        input=InputFiles(["results/x/networks/e/c.h5", "data/raw.npy", "data"]),
        output=OutputFiles(["results/x/tables/a b.csv"]),
        params=Params(fromdict={"code": "abc", "network": {"hidden": [8]}, "seeds": range(3)}),
        log=Log(["results/x/logs/analyse/e=0.5.log"]),
        config={"study": "x", "experiments": {"e": {"seeds": 3}}},
        threads=2,
    )


RECORD = Path("results/x/provenance/analyse/e=0.json")


def test_a_record_says_how_an_output_was_made(job):
    job.log = Log(["results/x/logs/analyse/e=0.log"])
    provenance.record(job, 1.23456)
    made = json.loads(RECORD.read_text())
    content = b"content of results/x/tables/a b.csv"
    assert made["outputs"] == {"tables/a b.csv": hashlib.sha256(content).hexdigest()}
    raw = hashlib.sha256(b"content of data/raw.npy").hexdigest()
    assert made["inputs"] == {"networks/e/c.h5": None, "data/raw.npy": raw, "data": None}
    assert made["rule"] == "analyse" and made["wildcards"] == {"study": "x", "experiment": "e"}
    assert made["code"] == "abc" and made["settings"]["network"] == {"hidden": [8]}
    assert made["config"] == provenance.fingerprint(job.config)
    assert made["versions"]["numpy"] == np.__version__
    assert made["host"]["threads"] == 2 and made["seconds"] == 1.2
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", made["finished"])


def test_records_of_names_with_dots_do_not_replace_each_other(job):
    for level in ("0.5", "0.25"):
        job.log = Log([f"results/x/logs/analyse/e={level}.log"])
        provenance.record(job, 0)
    names = sorted(path.name for path in RECORD.parent.iterdir())
    assert names == ["e=0.25.json", "e=0.5.json"]


def test_a_record_names_no_user_and_no_machine(job, monkeypatch):
    job.input = InputFiles([str(provenance.PACKAGE / "report/report.html.j2")])
    provenance.record(job, 0)
    (text,) = (path.read_text() for path in RECORD.parent.iterdir())
    assert '"repbias/report/report.html.j2"' in text
    for secret in (str(Path.home()), str(Path.cwd()), str(ROOT), os.uname().nodename):
        assert secret not in text


def test_the_latest_record_of_an_output_counts(job):
    """After batches change, it may have been made by a job of another name."""
    for log, finished in (("old", "2026-01-02"), ("new", "2026-01-03"), ("older", "2026-01-01")):
        job.log = Log([f"results/x/logs/{log}.log"])
        provenance.record(job, 0)
        path = Path(f"results/x/provenance/{log}.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"finished": finished}))
    assert provenance.records(Path("results/x"))["tables/a b.csv"]["finished"] == "2026-01-03"
    made = provenance.record_of(Path("results/x/tables/a b.csv"))
    assert made["finished"] == "2026-01-03"
    assert provenance.record_of(Path("results/x/networks/e/c.h5")) is None
    assert provenance.record_of(Path("data/raw.npy")) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"finished": 1}'])
def test_a_damaged_record_is_named(job, text):
    RECORD.parent.mkdir(parents=True)
    RECORD.write_text(text)
    with pytest.raises(RepbiasError, match=r"analyse/e=0\.json: not a record of provenance"):
        provenance.records(Path("results/x"))


def test_a_fingerprint_depends_on_content_only():
    config = {"a": 1, "b": {"c": [1, 2], "d": None}}
    assert provenance.fingerprint(config) == provenance.fingerprint(
        {"b": {"d": None, "c": [1, 2]}, "a": 1}
    )
    assert provenance.fingerprint({1: 0, "b": 1}) == provenance.fingerprint({"b": 1, "1": 0})
    others = [config | {"a": 2}, config | {"b": {"c": [2, 1], "d": None}}, {"a": 1}]
    assert len({provenance.fingerprint(c) for c in [config, *others]}) == 4


def test_only_libraries_in_use_are_listed():
    """Provenance itself imports none: a job sets the threads of NumPy before importing it."""
    code = "from repbias.io.provenance import versions; print(*versions())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["python", "repbias"]


def test_the_commit_is_that_of_the_package(tmp_path, monkeypatch):
    package = tmp_path / "src/repbias"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(provenance, "PACKAGE", package)
    assert provenance.commit() is None, "no repository"

    def git(*arguments):
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        command = ["git", *who, *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)

    git("init")
    git("commit", "--allow-empty", "--message", "somebody else's")
    assert provenance.commit() is None, "a repository that does not track the package"
    git("add", ".")
    git("commit", "--message", "ours")
    git("tag", "v1")
    head = git("rev-parse", "HEAD").stdout.strip()
    assert provenance.commit() == head
    (tmp_path / "untracked.txt").write_text("")
    assert provenance.commit() == head
    (package / "__init__.py").write_text("edited")
    assert provenance.commit() == f"{head}-dirty"
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() is None, "no git"
    shutil.rmtree(package)


def test_settings_by_path():
    assert provenance.by_path({"a": {"b": {"c.d": 1}}, "e": [{"f": 1}], "g": {}}) == {
        **{"a.b.c.d": "1", "e": "[{'f': 1}]", "g": "{}"}
    }
