"""The tutorial of derivatives of fMRIPrep."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pages import section
from scipy.spatial.distance import pdist

from repbias.commands.main import main
from repbias.pipeline.checks import load_study
from repbias.recordings.readers import read_recording

pytestmark = pytest.mark.slow


def test_derivatives_of_fmriprep_are_read_as_the_page_says(tmp_path, monkeypatch, capsys):
    """The entry is the one that `inspect` proposes, and the features that were put in come back."""
    title = "fMRIPrep and BIDS, and the GLM"
    (example,) = section("fmri.md", title, "python")
    (study,) = section("fmri.md", title, "yaml")
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True)
    assert main(["inspect", "bids/derivatives/fmriprep"]) == 0
    block = capsys.readouterr().out.partition("\n\n")[2].replace("FILL_IN", "objects")
    config = yaml.safe_load(study)
    assert yaml.safe_load(block)["recordings"] == config["recordings"]
    Path("study.yaml").write_text(study)
    assert main(["check", "study.yaml"]) == 0
    said = capsys.readouterr().out
    assert "confounds      trans_x, trans_y, trans_z, trans_x_derivative1" in said
    assert "0 problems" in said
    recording = read_recording(
        load_study(config).recordings["fmriprep"], np.array([f"object{i}" for i in range(8)])
    )
    assert recording.responses.shape == (2 * 3 * 8, 2 * 120)
    table = pd.read_csv("objects.csv")
    features = np.stack([table["size"] - table["size"].mean(), 4 * table["animate"] - 2], axis=1)
    made = pdist(features)
    means = np.stack(
        [
            np.nanmean(recording.responses[recording.trials["stimulus_id"] == i], axis=0)
            for i in table["stimulus_id"]
        ]
    )
    assert np.corrcoef(pdist(means), made)[0, 1] > 0.9
