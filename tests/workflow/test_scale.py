"""What a large study costs before and while it runs: planning, memory, files and disk."""

import copy
import re
import shutil

import pandas as pd
import pytest
import yaml
from workspace import ROOT, Workspace

from repbias.config.analyses import OF_NETWORKS
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.pipeline.sizes import n_jobs, study_bytes

pytestmark = pytest.mark.slow


def planned(tmp_path, config):
    """How many jobs Snakemake plans."""
    output = Workspace(tmp_path, config).snakemake("--dry-run", "--quiet", "rules").stdout
    return int(re.search(r"^total +(\d+)", output, re.MULTILINE)[1])


@pytest.fixture
def many(tiny_config):
    """A thousand conditions of ten networks each, with every analysis of a condition."""
    sweep = copy.deepcopy(tiny_config["experiments"]["rates"]) | {
        "seeds": 10,
        "conditions_per_job": 50,
        "analyses": list(OF_NETWORKS),
        "vary": {
            "stimuli.seed": list(range(10)),
            "training.learning_rate": [round(0.001 * i, 3) for i in range(1, 101)],
        },
    }
    return {"study": "many", "experiments": {"sweep": sweep}}


def test_ten_thousand_networks_are_planned_as_few_jobs(tmp_path, many):
    study = load_study(many)
    assert sum(condition.seeds for *_, condition in study.conditions()) == 10_000
    assert planned(tmp_path, many) == n_jobs(Plan(study)) < 100


def test_jobs_are_predicted(tmp_path, tiny_config):
    bits, images = (
        yaml.safe_load((ROOT / f"studies/{name}.yaml").read_text()) for name in ("bits", "images")
    )
    for config in (tiny_config, bits, images):
        (tmp_path / config["study"]).mkdir()
        jobs = planned(tmp_path / config["study"], config)
        assert jobs == n_jobs(Plan(load_study(config))), config["study"]


def test_disk_use_is_predicted(tiny, tiny_config):
    for folder, predicted in study_bytes(load_study(tiny_config), {}).items():
        files = [file for file in (tiny.results / folder).rglob("*") if file.is_file()]
        used = sum(file.stat().st_size for file in files)
        assert used / 2 < predicted < 2 * used, folder


@pytest.fixture(scope="module")
def resources(tiny, tiny_config, tmp_path_factory):
    """Function that plans the tiny study anew: rule and benchmark file to the job's resources."""
    copied = tmp_path_factory.mktemp("repository")
    for part in ("Snakefile", "workflow", "envs", "src"):
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copied / part)
    for file in (copied / "workflow/rules").iterdir():
        # Snakemake shows the resources of jobs that have no message.
        file.write_text(re.sub(r"\n +message:\n.*", "", file.read_text()))
    workspace = Workspace(tiny.folder, tiny_config, root=copied)

    def resources(*arguments):
        done = workspace.snakemake("--dry-run", "--forceall", *arguments)
        found = {}
        for job in re.split(r"\n(?=(?:local)?rule )", done.stdout):
            if benchmark := re.search(r"benchmark: (.+)", job):
                asked = re.search(r"resources: (.+)", job)[1].split(", ")
                key = (re.match(r"(?:local)?rule (.+):", job)[1], benchmark[1])
                found[key] = dict(entry.split("=", 1) for entry in asked)
        return found

    return resources


def test_every_job_asks_for_the_memory_that_it_takes_and_not_for_much_more(tiny, resources):
    asked = resources()
    assert len(asked) == len(list((tiny.results / "benchmarks").rglob("*.tsv"))) > 40
    for (rule, benchmark), given in asked.items():
        peak = pd.read_csv(tiny.folder / benchmark, sep="\t", na_values="-")["max_rss"].max()
        # A job of less than half a second is over before it is measured.
        if pd.notna(peak):
            assert peak < int(given["mem_mb"]) < 1000 + 3 * peak, (rule, benchmark)
        seconds = pd.read_csv(tiny.folder / benchmark, sep="\t")["s"].max()
        assert seconds < 60 * int(given["runtime"]), (rule, benchmark)


def test_what_is_said_of_a_step_holds_for_its_batches(resources):
    asked = resources("--set-resources", "train:gpu=1")
    with_gpu = {file for (_, file), given in asked.items() if given.get("gpu") == "1"}
    trained = {file for rule, file in asked if rule == "train"}
    assert with_gpu == trained and len(trained) == 4


def test_files_that_are_not_kept_are_gone_and_change_no_table(tiny, tiny_config, tmp_path):
    config = {
        "study": "tiny",
        "keep": [],
        "experiments": {"rates": tiny_config["experiments"]["rates"]},
        "geometry": tiny_config["geometry"],
        "audit": tiny_config["audit"],
    }
    workspace = Workspace(tmp_path, config)
    tables = "results/tiny/tables/learning.csv"
    workspace.snakemake("--cores", "2", tables)
    assert list(workspace.results.rglob("*.h5")) == []
    for name, table in workspace.tables().items():
        if "parts" in name:
            assert table == tiny.tables()[name], name
    assert "Nothing to be done" in workspace.snakemake("--cores", "1", tables).stdout
