"""That the faults of `make reliability` happen, and that what goes wrong is noticed."""

import importlib.util
import subprocess
import sys

import pytest
from workspace import ROOT

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "benchmarks" / "reliability.py"


@pytest.fixture
def reliability(monkeypatch):
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("reliability", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "reliability", module)
    spec.loader.exec_module(module)
    return module


def test_a_killed_run_and_a_full_disk(tiny, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# By hand\n\n<!-- table -->\n\nfrom before\n")
    arguments = ["--reference", tiny.folder, "--stages", "report_page", "--page", page]
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments, "--faults", "kill", "disk", "--trials", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    text = page.read_text()
    assert done.returncode == 0, done.stdout
    assert text.startswith("# By hand\n\n<!-- table -->\n") and "from before" not in text
    if "full disks are left out" in done.stdout:
        assert "| report_page | 1 of 1 | 0 | 0 |" in text
    else:
        assert "| report_page | 1 of 1 | 1 of 1 | 0 | 0 |" in text
        assert "Runs on a full disk that failed and said so: 1 of 1." in text


def test_files_that_are_not_whole_are_noticed(tiny, tmp_path, reliability):
    trials = reliability.Trials(reliability.Place(tiny.folder), tmp_path, 0, None)
    assert {"generate_stimuli", "train", "rdms", "claims", "report_page"} <= trials.stages.keys()
    place = trials.copy("copy")
    assert trials.half_files(place) == []
    victims = [
        *("config.yaml", "networks/full/base.h5", "figures/variance.svg", "report.html"),
        *("provenance/claims.json", "tables/claims.csv"),
    ]
    for name in victims:
        path = place.results / name
        path.write_bytes(path.read_bytes()[:-20])
    assert sorted(trials.half_files(place)) == sorted(victims)


def test_results_that_are_made_again_are_lost(tiny, tmp_path, reliability):
    trials = reliability.Trials(reliability.Place(tiny.folder), tmp_path, 0, None)
    place, row = trials.copy("copy"), reliability.Row("claims", "kill")
    before, run = place.finished(), reliability.Run(["true"], tmp_path)
    run.finish()
    path = place.results / "tables/claims.csv"
    path.rename(tmp_path / "aside.csv")
    path.write_bytes((tmp_path / "aside.csv").read_bytes())
    (place.results / "tables/.learning.12.tmp.csv").touch()
    trials.judge(place, row, [], before, run, [])
    assert (row.trials, row.lost, row.equal) == (1, 1, 1)
    assert row.wrong == ["lost: ['tables/claims.csv']", "left over: ['.learning.12.tmp.csv']"]
