"""The tutorial of EEG."""

import pandas as pd
import pytest
import yaml
from pages import follow

pytestmark = pytest.mark.slow


def test_the_tutorial_of_eeg_finds_what_was_put_into_its_example_when_it_was(tmp_path):
    """The signals follow hue at 0.12 s, size at 0.26 s; the folder's entry is the one proposed."""
    pytest.importorskip("mne", reason="needs the extra: pip install 'repbias[mne]'")
    said = follow("meeg.md", tmp_path)
    assert "0 problems" in said["repbias check study.yaml"]
    _, _, block = said["repbias inspect study"].partition("\n\n")
    proposed = yaml.safe_load(block)["recordings"]["study"]
    used = yaml.safe_load((tmp_path / "study.yaml").read_text())["recordings"]["eeg"]
    same = ["kind", "path", "template", "events", "stimulus", "baseline", "picks", "modality"]
    assert [used[key] for key in same] == [proposed[key] for key in same]
    times = pd.read_csv(tmp_path / "results/discs_eeg/tables/rsa_times.csv")
    of_layer = times[times["condition"] == "known"].pivot_table("similarity", "time_s", "layer")
    assert of_layer["hue"].idxmax() == pytest.approx(0.12, abs=0.03)
    assert of_layer["size"].idxmax() == pytest.approx(0.26, abs=0.03)
    assert of_layer[of_layer.index < 0].abs().max().max() < of_layer.max().min() / 3
    assert (tmp_path / "results/discs_eeg/report.html").stat().st_size > 10_000
