"""The pipeline as a whole: tables, reruns, determinism, kills and refusals."""

import copy
import os
import shutil
import signal
import subprocess
import sys
import time

import h5py
import pandas as pd
import pytest
import yaml
from workspace import ROOT, Workspace

from repbias.tables import TABLES


def test_every_table_has_its_columns_and_rows(tiny):
    for name, columns in TABLES.items():
        table = pd.read_csv(tiny.results / "tables" / f"{name}.csv")
        assert tuple(table.columns) == columns
        assert len(table) > 0, name


def test_second_run_has_nothing_to_do(tiny):
    assert "Nothing to be done" in tiny.snakemake("--cores", "2").stdout


def test_one_core_and_a_second_run_from_scratch_give_the_same_tables(tiny, tiny_config, tmp_path):
    again = Workspace(tmp_path, tiny_config)
    again.snakemake("--cores", "1")
    assert again.tables() == tiny.tables()


def test_changing_a_level_reruns_only_what_depends_on_it(tiny, tiny_config):
    changed = copy.deepcopy(tiny_config)
    changed["experiments"]["rates"]["vary"]["training.learning_rate"]["fast"] = 0.02
    tiny.write(changed)
    try:
        jobs = tiny.jobs()
    finally:
        tiny.write(tiny_config)
    named = [job for job in jobs if "tasks" in job or "rates" in job or "brain" in job]
    condition = "rates/learning_rate=fast"
    assert sorted(named) == sorted(
        [
            f"Train 2 networks of {condition}",
            f"Write activations of {condition}",
            f"Measure variance explained in {condition}",
            f"Compute RDMs of {condition}",
            "Compare all networks of rates",
        ]
    )
    assert not any("stimuli" in job for job in jobs)
    assert {"Decide the claims", "Draw the figures"} <= set(jobs)


def test_changing_code_reruns_only_the_steps_that_import_it(tiny, tmp_path):
    copied = tmp_path / "repository"
    for part in ("Snakefile", "workflow", "envs", "src"):
        source = ROOT / part
        copy_of = shutil.copytree if source.is_dir() else shutil.copy
        copied.mkdir(exist_ok=True)
        copy_of(source, copied / part)
    ridge = copied / "src/repbias/encoding/ridge.py"
    ridge.write_text(ridge.read_text() + "\nUNUSED = 1\n")
    command = tiny.command("--dry-run")
    command[command.index("--snakefile") + 1] = str(copied / "Snakefile")
    output = subprocess.run(command, cwd=tiny.folder, text=True, capture_output=True, check=True)
    # The scripts are the same files elsewhere, so only parameters can differ.
    changed = [line for line in output.stdout.splitlines() if "Params have changed" in line]
    assert len(changed) == 1, output.stdout
    assert "Predict recording brain" in output.stdout


def test_a_killed_run_resumes_to_the_same_tables(tiny, tiny_config, tmp_path):
    slow = copy.deepcopy(tiny_config)
    workspace = Workspace(tmp_path, slow)
    run = subprocess.Popen(
        workspace.command("--cores", "2"),
        cwd=workspace.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    logs = workspace.results / "logs" / "train"
    deadline = time.monotonic() + 120
    while not any("training" in log.read_text() for log in logs.rglob("*.log")):
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    for file in workspace.results.rglob("*.h5"):
        if not file.name.startswith("."):  # under its own name, a file is whole
            h5py.File(file).close()
    assert len(list((workspace.results / "networks").rglob("[!.]*.h5"))) < 5

    workspace.snakemake("--unlock")
    workspace.snakemake("--cores", "2")
    assert workspace.tables() == tiny.tables()
    assert not [f for f in workspace.results.rglob(".*") if ".tmp" in f.name]


def test_a_truncated_file_is_named_and_not_used(tiny, tmp_path):
    copied = shutil.copytree(tiny.folder, tmp_path / "copy")
    config = yaml.safe_load(tiny.config.read_text())
    workspace = Workspace(copied, config)
    victim = workspace.results / "networks/tasks/targets=both.h5"
    victim.write_bytes(victim.read_bytes()[:5000])
    done = workspace.snakemake(
        *("--cores", "1", "--forcerun", "ensemble_activations", "--until", "ensemble_activations"),
        check=False,
    )
    assert done.returncode != 0
    assert "targets=both.h5: not a complete HDF5 file" in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"experimants": {}}, "experimants: unknown key; did you mean 'experiments'?"),
        ({"claims": {"C99": {}}}, "claims.C99: unknown claim"),
    ],
)
def test_a_bad_config_is_refused_before_any_job(tmp_path, tiny_config, change, message):
    workspace = Workspace(tmp_path, tiny_config | change)
    done = workspace.snakemake("--cores", "1", check=False)
    assert done.returncode != 0
    assert message in done.stdout
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_configfile_replaces_the_default_study(tiny):
    """Snakemake alone would merge the two, and run the quickstart's experiments as well."""
    resolved = yaml.safe_load((tiny.results / "config.yaml").read_text())
    assert list(resolved["experiments"]) == ["tasks", "rates"]


def test_planning_imports_neither_torch_nor_rsatoolbox():
    code = (
        "import sys, repbias.study, repbias.fingerprint\n"
        "heavy = {'torch', 'rsatoolbox', 'pandas', 'scipy', 'matplotlib', 'sklearn', 'himalaya'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_snakemakes_own_report(tiny):
    page = tiny.folder / "snakemake-report.html"
    tiny.snakemake("--report", str(page))
    text = page.read_text()
    assert "variance.svg" in text
