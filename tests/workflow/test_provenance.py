"""Every output of a real run has its record; `repbias show` and `repbias diff` on real runs."""

import copy
import shutil

import pytest
from workspace import Workspace

from repbias.commands.main import main
from repbias.io import provenance

pytestmark = pytest.mark.slow


def outputs(results):
    """All that a run leaves but what says how it went."""
    files = [p.relative_to(results) for p in results.rglob("[!.]*") if p.is_file()]
    how = ("logs", "benchmarks", "provenance")
    return {path.as_posix() for path in files if path.parts[0] not in how}


def test_every_output_has_a_record_of_what_it_is(tiny):
    made = provenance.records(tiny.results)
    written = outputs(tiny.results)
    assert {"config.yaml", "report.html", "tables/claims.csv", "recordings/brain.h5"} <= written
    assert written <= made.keys()
    for name in sorted(written):
        assert made[name]["outputs"][name] == provenance.digest(tiny.results / name), name
    assert len({entry["config"] for entry in made.values()}) == 1
    networks = made["networks/full/base.h5"]
    assert "torch" in networks["versions"] and "torch" not in made["config.yaml"]["versions"]
    assert "3" in provenance.by_path(networks["settings"]).values()  # seeds
    tables = {path.stem for path in (tiny.results / "tables").glob("*.csv")}
    assert set(made["config.yaml"]["settings"]["tables"]) == tables
    assert provenance.left_over(tiny.results) == []


def test_every_kind_of_output_is_shown(tiny, capsys):
    kinds = {(path.split("/")[0], path.rsplit(".", 1)[1]): path for path in outputs(tiny.results)}
    assert len(kinds) > 8
    for path in kinds.values():
        assert main(["show", str(tiny.results / path)]) == 0
        said = capsys.readouterr().out
        assert "as it was written" in said, path
        assert "another version" not in said, path
    assert main(["show", str(tiny.results)]) == 0


@pytest.fixture(scope="module")
def other(tiny, tiny_config, tmp_path_factory):
    """The same study, run on with other steering strengths."""
    folder = shutil.copytree(tiny.folder, tmp_path_factory.mktemp("other") / "copy")
    changed = copy.deepcopy(tiny_config) | {"bias": {"steering_strengths": [0.5, 1.0]}}
    workspace = Workspace(folder, changed)
    tables = (f"results/tiny/tables/{name}.csv" for name in ("claims", "steering"))
    workspace.snakemake("--cores", "2", "results/tiny/config.yaml", *tables)
    return workspace


def test_two_runs_differ_in_what_was_changed(tiny, other, capsys):
    assert main(["diff", str(tiny.results), str(other.results)]) == 1
    said = capsys.readouterr().out
    differing = [line for line in said.splitlines() if line.endswith((".csv", ".h5", ".yaml"))]
    # A claim is decided on what steering does.
    assert differing == ["config.yaml", "tables/claims.csv", "tables/steering.csv"]
    assert "  bias.steering_strengths: " in said and said.count(" | [0.5, 1.0]") == 1
    assert "rows only in A" in said


def test_only_what_was_made_anew_has_the_new_configuration(tiny, other):
    before, after = (provenance.records(workspace.results) for workspace in (tiny, other))
    new = {name for name in after if after[name]["config"] != before[name]["config"]}
    assert {"tables/steering.csv", "tables/claims.csv", "config.yaml"} <= new
    assert "networks/full/base.h5" not in new
    assert "tables/parts/learning/full/base.csv" not in new


def test_a_run_does_not_differ_from_itself(tiny, capsys):
    assert main(["diff", str(tiny.results), str(tiny.results)]) == 0
    assert " the same, 0 different" in capsys.readouterr().out
