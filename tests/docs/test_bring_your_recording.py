"""The tutorial from a file of responses to a report."""

import pandas as pd
import pytest
import yaml
from pages import follow

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    """Folder in which everything on the page about recordings was done."""
    pytest.importorskip("pynwb", reason="needs the extra: pip install 'repbias[nwb]'")
    folder = tmp_path_factory.mktemp("tutorial")
    return folder, follow("bring-your-recording.md", folder)


def test_the_tutorial_runs_and_its_two_files_give_the_same_numbers(tutorial):
    folder, _ = tutorial
    assert (folder / "results/discs/report.html").stat().st_size > 10_000
    for table, values in {
        "rsa_recordings": ["similarity"],
        "encoding": ["r", "r2"],
        "reliability": ["split_half"],
    }.items():
        frame = pd.read_csv(folder / f"results/discs/tables/{table}.csv")
        array, session = (frame[frame["recording"] == name] for name in ("array", "session"))
        assert len(array) == len(session) > 0
        if table == "reliability":
            # Other trials are in either half, so the estimates agree only about.
            difference = array["split_half"].mean() - session["split_half"].mean()
            assert abs(difference) < 0.02
        else:
            for value in values:
                assert sorted(array[value]) == pytest.approx(sorted(session[value]), abs=1e-6)


def test_the_tutorial_finds_what_was_put_into_its_example(tutorial):
    """Neurons respond to colour and size, so both explain something that the other does not."""
    folder, _ = tutorial
    parts = pd.read_csv(folder / "results/discs/tables/variance_partition.csv")
    means = parts.groupby("part")["r2"].mean()
    assert means["unique known:colour"] > 0.1
    assert means["unique known:size"] > 0.02
    assert means["all"] > max(means["alone known:colour"], means["alone known:size"])


def test_the_tutorial_s_commands_say_what_the_page_says(tutorial):
    folder, said = tutorial
    assert "40" in said["repbias inspect counts.npy"]
    assert "trials" in said["repbias inspect session.nwb"]
    assert yaml.safe_load((folder / "study.yaml").read_text())["study"] == "discs"
    assert "0 problems" in said["repbias check study.yaml"]
