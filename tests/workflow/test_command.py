"""`repbias run` with Snakemake: what it prints, and what it does after faults."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from forked import run_module
from workspace import ROOT

pytestmark = pytest.mark.slow


def command(*words):
    return [sys.executable, "-m", "repbias", "run", "study.yaml", *words]


def repbias_run(folder, *words, source=ROOT / "src"):
    return run_module(*command(*words)[2:], cwd=folder, PYTHONPATH=str(source))


def test_a_table_that_is_gone_is_made_with_a_line_for_its_step(tiny):
    claims = tiny.results / "tables/claims.csv"
    before = claims.read_bytes()
    claims.unlink()
    done = repbias_run(tiny.folder, "--only", "claims")
    assert done.returncode == 0, done.stdout
    assert claims.read_bytes() == before
    assert "1 steps to do" in done.stdout
    assert re.search(r"\[1 of 1\] Decide the claims \(\d+ s; \d+ s so far\)", done.stdout)
    assert "Traceback" not in done.stdout


def test_a_step_that_fails_is_named_with_its_cause_and_its_log(tiny):
    """And what is done is kept; the same command goes on once the cause is mended."""
    networks = next((tiny.results / "networks/rates").glob("batch*.h5"))
    table = tiny.results / "tables/parts/variance_explained/rates" / f"{networks.stem}.csv"
    content, times = networks.read_bytes(), networks.stat()
    networks.write_bytes(content[:5000])
    os.utime(networks, (times.st_atime, times.st_mtime))
    table.unlink()
    failed = repbias_run(tiny.folder, "--only", str(table.relative_to(tiny.folder)))
    assert failed.returncode == 1
    name = f"Analyse networks of rates/{networks.stem}"
    assert f"FAILED: {name}" in failed.stdout
    assert f"networks/rates/{networks.name}: not a complete HDF5 file" in failed.stdout
    assert "log: results/tiny/logs/analyse_networks/rates/" in failed.stdout
    *_, last, advice = failed.stdout.splitlines()
    assert (last, advice[:21]) == (f"Failed: {name}.", "What is done is kept:")
    networks.write_bytes(content)
    os.utime(networks, (times.st_atime, times.st_mtime))
    assert repbias_run(tiny.folder, "--only", str(table.relative_to(tiny.folder))).returncode == 0
    assert table.exists()


def test_a_run_that_was_killed_goes_on_and_the_next_has_nothing_to_do(tiny):
    before = tiny.tables()
    (tiny.results / "report.html").unlink()
    run = subprocess.Popen(command(), cwd=tiny.folder, start_new_session=True)
    locks = tiny.folder / ".snakemake/locks"
    while not list(locks.glob("*.lock")):
        time.sleep(0.1)
        assert run.poll() is None
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    again = repbias_run(tiny.folder)
    assert again.returncode == 0, again.stdout
    assert "Removing the lock of a run that was killed." in again.stdout
    assert "Report: results/tiny/report.html" in again.stdout
    assert tiny.tables() == before
    over = repbias_run(tiny.folder)
    assert over.returncode == 0
    assert "Nothing to do: everything is up to date." in over.stdout
    *_, brain, claims, _ = over.stdout.splitlines()
    assert re.match(r"brain: .*targets=.* is most similar", brain), brain
    assert re.fullmatch(r"Claims: \d+ supported, \d+ not supported, \d+ inconclusive.", claims)
    assert "Removing" not in over.stdout


def test_how_a_run_went_is_one_document(tmp_path):
    np.save(tmp_path / "r.npy", np.ones((3, 4)))
    entry = {"kind": "array", "path": "r.npy", "axes": ["stimulus", "unit"], "stimuli": "shown"}
    study = {
        "study": "tiny",
        "images": {"shown": {"table": "stimuli.csv"}},
        "networks": {"known": {"kind": "features", "spaces": {"size": ["size"]}}},
        "recordings": {"broken": entry | {"stimulus_ids": ["a", "b", "other"]}},
    }
    (tmp_path / "stimuli.csv").write_text("stimulus_id,size\na,1\nb,2\nc,3\n")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    targets = ["results/tiny/config.yaml", "recordings/broken.h5"]
    run = subprocess.run(
        command("--json", "--only", *targets, "--", "--keep-going"),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        text=True,
        capture_output=True,
    )
    found = json.loads(run.stdout)
    (failed,) = found["steps"].pop("failed")
    assert found == {
        "exit_code": 1,
        "steps": {"total": 2, "done": 1, "listed": []},
        "report": None,
        "findings": [],
    }
    assert failed["step"] == "Read recording broken"
    assert "1 of 3 ids are not in 'shown': 'other'" in failed["error"]
    assert (tmp_path / failed["logs"][0]).exists()
    assert "[1 of 2] Write the configuration" in run.stderr


def test_the_wheel_holds_all_that_a_run_needs(tmp_path):
    wheels, package = tmp_path / "wheels", tmp_path / "site-packages"
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", str(wheels), str(ROOT)], check=True)
    (wheel,) = wheels.iterdir()
    zipfile.ZipFile(wheel).extractall(package)
    assert not [p for p in package.rglob("*") if p.name.startswith("test_")]
    for place in ("Snakefile", "config.yaml", "workflow", "envs", "studies"):
        ours = [p for p in [ROOT / place, *(ROOT / place).rglob("*")] if p.is_file()]
        for file in ours:
            if "__pycache__" not in file.parts:
                copy = package / "repbias/bundle" / file.relative_to(ROOT)
                assert copy.read_bytes() == file.read_bytes()
    Path(tmp_path, "study.yaml").write_text((Path(__file__).parent / "tiny.yaml").read_text())
    done = repbias_run(tmp_path, "--only", "results/tiny/config.yaml", source=package)
    assert done.returncode == 0, done.stdout
    assert "Write the configuration with every default filled in" in done.stdout
    assert (tmp_path / "results/tiny/config.yaml").exists()
    planned = repbias_run(tmp_path, "--dry-run", source=package)
    assert planned.returncode == 0, planned.stdout
    assert "Write the configuration" not in planned.stdout
    assert re.search(r"Generate stimuli of \S+ \(not there yet\)", planned.stdout), planned.stdout
