"""Another workflow, in a folder of its own, imports this one as a module."""

import shutil
from pathlib import Path

import pytest
import yaml
from forked import run_module
from workspace import ROOT, Workspace

from repbias.tables import read_table

pytestmark = pytest.mark.slow

SMALL = Path(__file__).parents[1] / "slurm/study.yaml"
#: The rules keep their outputs, and get a prefix; one of the importer's own uses what they make.
SNAKEFILE = f"""
import yaml

with open("study.yaml") as file:
    STUDY = yaml.safe_load(file)


module repbias:
    snakefile:
        "{ROOT}/Snakefile"
    config:
        STUDY


use rule * from repbias as repbias_*


rule summary:
    input:
        "results/small/tables/parts/variance_explained/tasks/batch1.csv",
    output:
        "lines.txt",
    default_target: True
    shell:
        "wc -l < {{input}} > {{output}}"
"""


@pytest.fixture
def snakemake(tmp_path):
    """Function that runs the importing workflow."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    shutil.copy(SMALL, tmp_path / "study.yaml")

    def snakemake(*arguments):
        done = run_module("snakemake", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return snakemake


def test_every_rule_can_be_planned_under_another_name(snakemake):
    planned = Workspace.messages(snakemake("results/small/report.html", "-n").splitlines())
    assert "Train networks of tasks/batch1" in planned
    assert "Fit models to recording brain: encoding" in planned
    assert "Write results/small/report.html" in planned


def test_networks_are_trained_and_analysed_in_the_importers_folder(snakemake, tmp_path):
    snakemake("--cores", "1")
    path = tmp_path / "results/small/tables/parts/variance_explained/tasks/batch1.csv"
    table = read_table(path, "variance_explained")
    assert set(table["seed"]) == {0, 1}
    assert int((tmp_path / "lines.txt").read_text()) == len(table) + 1
    assert "Nothing to be done" in snakemake("--cores", "1")


def test_the_catalogue_of_workflows_finds_the_whole_pipeline(tmp_path):
    """Also with files of configuration, which a module would not read."""
    study = Workspace(tmp_path, yaml.safe_load(SMALL.read_text()))
    jobs = study.jobs()
    assert jobs
    study.root = ROOT / "workflow"
    profile = ("--workflow-profile", str(ROOT / "workflow/profiles/default"))
    done = study.snakemake(*profile, "--dry-run")
    assert sorted(study.messages(done.stdout.splitlines())) == sorted(jobs)
