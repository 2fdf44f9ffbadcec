"""Models that are already computed: the study of docs/your-network.md, from YAML to report."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.spatial.distance import squareform
from workspace import ROOT, Workspace

from repbias.io.activations import Activations
from repbias.rsa.rdms import read_rdms

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/your-network.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Models that are already computed")[1].split("\n## ")[0]
(STUDY,) = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
(CODE,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
#: So that the run is short.
SMALL = {
    "geometry": {"bootstraps": 100, "permutations": 50, "fitted": ["weighted"], "folds": 3},
    "encoding": {"n_alphas": 3, "permutations": 0},
    "recovery": {"enabled": True, "simulations": 2, "shares": 2},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("computed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(CODE, {})
    found = Workspace(folder, yaml.safe_load(STUDY) | SMALL)
    found.snakemake("--cores", "1")
    return found


def table(workspace, name):
    return pd.read_csv(workspace.results / f"tables/{name}.csv", keep_default_na=False)


def test_activations_and_rdms_are_what_the_files_hold(workspace):
    with np.load(workspace.folder / "features.npz") as archive:
        order = np.argsort(archive["names"])
        maps, units = archive["conv1"][order], archive["fc"][order]
    mine = Activations.open(workspace.results / "activations/objects/mine.h5", "mine")
    assert mine.layers == ["conv1", "conv2", "fc"]
    np.testing.assert_array_equal(mine.read("fc", 0), np.float32(units))
    np.testing.assert_allclose(mine.read("conv1", 0), maps.mean((2, 3)), atol=1e-6)
    theories = read_rdms(workspace.results / "rdms/objects/theories.h5")
    with np.load(workspace.folder / "models.npz") as archive:
        written = [squareform(archive[name]) for name in theories.rdm_descriptors["layer"]]
    np.testing.assert_array_equal(theories.dissimilarities, written)


def test_every_table_that_rdms_can_fill_has_them(workspace):
    layers = {("mine", "conv1"), ("mine", "conv2"), ("mine", "fc"), ("pixels", "pixels")}
    theories = {("theories", "size"), ("theories", "kind")}
    for name in ("rsa_recordings", "audit", "audit_remaining", "audit_range"):
        rows = table(workspace, name)
        found = set(zip(rows["condition"], rows["layer"], strict=True))
        assert found >= layers | theories, name
    fitted = table(workspace, "rsa_fitted")
    of_theories = fitted[fitted["condition"] == "theories"]
    assert set(of_theories["layer"]) == {"size", "kind", "all layers"}
    assert set(table(workspace, "encoding")["condition"]) == {"mine", "pixels"}
    assert set(table(workspace, "recovery")["true_condition"]) - {""} == {"mine", "pixels"}


def test_the_report_names_files_and_says_why_rdms_are_not_encoded(workspace):
    page = (workspace.results / "report.html").read_text(encoding="utf-8")
    assert "features.npz" in page
    assert "models.npz" in page
    said = "theories is not encoded: of this model only RDMs are known"
    assert said in (workspace.results / "logs/encoding/v4.log").read_text()


def test_a_changed_file_reruns_what_depends_on_it_and_no_other_model(workspace):
    assert workspace.jobs() == []
    with np.load(workspace.folder / "models.npz") as archive:
        content = dict(archive)
    content["size"] *= 2
    np.savez(workspace.folder / "models.npz", **content)
    jobs = workspace.jobs()
    assert "Read theories, of objects" in jobs
    assert "Compute RDMs of objects/theories" in jobs
    assert not any("mine" in job or "Run pixels" in job for job in jobs)
