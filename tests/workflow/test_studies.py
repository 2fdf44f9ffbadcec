"""The studies on real recordings run, and give the published numbers."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from workspace import ROOT, Workspace

pytestmark = pytest.mark.slow

PUBLISHED = {
    "v4": {
        # Measure, to how far from the published number.
        "split_half": 0.005,
        "noise_ceiling": 0.5,
        "rdm_split_half_equal_spearman": 0.01,
        "reliability": 0.02,
    },
    "kriegeskorte92": {
        "similarity_of_mean_rdms with human_it (corr)": 0.005,
        "mean_rdm_ceiling_low_spearman": 0.0005,
        "mean_rdm_ceiling_high_spearman": 0.0005,
        "rsa_ceiling_low (spearman)": 0.0005,
        "rsa_ceiling_high (spearman)": 0.0005,
    },
    # Five of 96 blocks: how the signal was prepared is not known.
    "haxby": {"decoding": 5 / 96},
}


def documented(recording):
    """The table of docs/audit.md about a recording: (model, layer) to numbers."""
    text = (ROOT / "docs/audit.md").read_text(encoding="utf-8").split(f"<!-- {recording} -->")[1]
    lines = [line for line in text.strip().split("\n\n")[0].splitlines() if "---" not in line]
    header, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    table = pd.DataFrame(rows, columns=header).set_index(["model", "layer"])
    return table.astype(float)


def check_audit(name, results):
    """Compare the worked examples of docs/audit.md with what the study has found."""
    audit = pd.read_csv(results / "tables/audit.csv")
    if name == "haxby":
        assert audit["share"].isna().all()
        (refusal,) = set(audit["warning"])
        said = refusal.removeprefix("audit: ")
        assert refusal in (ROOT / "docs/audit.md").read_text(encoding="utf-8")
        assert said in (results / "report.html").read_text(encoding="utf-8")
        return
    audit = audit[audit["subject"].isna() & audit["recording"].notna()]
    for recording, rows in audit.groupby("recording"):
        shares = rows.pivot_table(index=["condition", "layer"], columns="feature", values="share")
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
        found = shares.assign(score=rows.groupby(["condition", "layer"])["score"].first())
        expected = documented(recording)
        if name == "v4":
            expected = expected.loc[["pixels"]]
        np.testing.assert_allclose(
            found.loc[expected.index, expected.columns], expected, atol=0.005
        )
    assert audit["gate"].all()
    if name == "kriegeskorte92":
        best = audit[(audit["recording"] == "human_it") & (audit["condition"] == "pretrained")]
        rest = best[(best["layer"] == "_blocks.13") & (best["feature"] == "rest")].iloc[0]
        assert (rest["ci_low"], rest["ci_high"]) == pytest.approx((0.09, 0.34), abs=0.01)
        assert rest["plain"] == pytest.approx(0.75, abs=0.01)
        remaining = pd.read_csv(results / "tables/audit_remaining.csv")
        ranges = pd.read_csv(results / "tables/audit_range.csv")
        layer = {"recording": "human_it", "condition": "pretrained", "layer": "_blocks.13"}
        without, moved = (
            table[(table[list(layer)] == pd.Series(layer)).all(axis=1)]
            for table in (remaining, ranges)
        )
        words = without.loc[without["feature"] == "all", "remaining"].item()
        assert words == pytest.approx(0.52, abs=0.01)
        assert moved["range_low"].iloc[0] == pytest.approx(0.07, abs=0.01)
        assert moved["range_high"].iloc[0] == pytest.approx(0.61, abs=0.01)


@pytest.mark.parametrize("name", PUBLISHED)
def test_study_runs(name, test_data, tmp_path, monkeypatch):
    needed = "nibabel" if name == "haxby" else "efficientnet_lite_pytorch"
    pytest.importorskip(needed, reason="needs the extras: pip install 'repbias[test]'")
    monkeypatch.setitem(os.environ, "REPBIAS_TEST_DATA", str(test_data))
    config = yaml.safe_load((ROOT / "studies" / f"{name}.yaml").read_text())
    # Published numbers are of the recordings; docs/audit.md has some layers of deep networks.
    if "untrained" in config["networks"]:
        for network in ("untrained", "pretrained"):
            config["networks"][network]["layers"] = ["_blocks.0", "_blocks.6", "_blocks.13"]
        config["networks"]["untrained"]["layers"] = ["_blocks.13"]
        if name == "v4":  # networks that see images are in the other study, as is Spearman's
            config["networks"] = {"pixels": config["networks"]["pixels"]}
            config["geometry"]["rdm_similarities"] = ["corr"]
            del config["encoding"]["partition"]
        config["encoding"] = config.get("encoding", {}) | {"permutations": 50}
    (tmp_path / "studies").mkdir()
    shutil.copy(ROOT / "studies/haxby_categories.csv", tmp_path / "studies")
    # Neither published numbers nor shares depend on them.
    config["geometry"] |= {"bootstraps": 100, "permutations": 100}
    config["audit"] = config.get("audit", {}) | {"permutations": 19}
    workspace = Workspace(tmp_path, config)
    # Of V4, what is drawn from the tables is drawn from those of the other studies as well.
    targets = ["results/v4/tables/claims.csv"] if name == "v4" else []
    workspace.snakemake("--cores", "2", *targets)
    references = pd.read_csv(workspace.results / "tables/references.csv").set_index("measure")
    assert set(references.index) == set(PUBLISHED[name])
    for measure, tolerance in PUBLISHED[name].items():
        assert abs(references.loc[measure, "difference"]) <= tolerance, measure
    check_audit(name, workspace.results)
    if name != "v4":
        page = (workspace.results / "report.html").read_text()
        assert all(recording in page for recording in config["recordings"])
    rsa = pd.read_csv(workspace.results / "tables/rsa_recordings.csv")
    n_layers = sum(
        len(n.get("layers") or n.get("spaces") or ["pixels"]) for n in config["networks"].values()
    )
    n_rdm_similarities = len(config.get("geometry", {}).get("rdm_similarities", ["corr"]))
    assert len(rsa) == n_layers * n_rdm_similarities * len(config["recordings"])
    assert rsa["similarity"].between(-1, 1).all()
    assert (rsa["ci_low"] < rsa["similarity"]).all()
    if name == "v4":
        encoding = pd.read_csv(workspace.results / "tables/encoding.csv")
        assert len(encoding) == n_layers * 50  # units
        assert encoding["r"].between(-1, 1).all()
    elif name == "haxby":
        encoding = pd.read_csv(workspace.results / "tables/encoding.csv")
        assert encoding.empty  # eight categories are too few for folds
    else:
        # Ceilings of human IT as Nili et al. (2014) define them: rsatoolbox's demo data.
        human = rsa[(rsa["recording"] == "human_it") & (rsa["rdm_similarity"] == "spearman")]
        assert human["ceiling_low"].iloc[0] == pytest.approx(0.372, abs=0.001)
        assert human["ceiling_high"].iloc[0] == pytest.approx(0.666, abs=0.001)
        monkey = rsa[rsa["recording"] == "monkey_it"]
        assert monkey["ceiling_low"].isna().all()
        assert monkey["ceiling_convention"].str.startswith("unavailable").all()


def test_a_model_file_beside_the_study_is_found(tmp_path):
    """A factory in the folder that Snakemake runs in needs no installation."""
    (tmp_path / "images").mkdir()
    for i in range(6):
        Image.new("RGB", (8, 8), (40 * i, 10, 250 - 40 * i)).save(tmp_path / f"images/im{i}.png")
    Path(tmp_path / "my_models.py").write_text(
        "import torch\n\n\ndef small():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())\n"
    )
    workspace = Workspace(
        tmp_path,
        {
            "study": "mine",
            "images": {"set": {"path": "images"}},
            "networks": {
                "mine": {
                    "kind": "torch",
                    "factory": "my_models:small",
                    "layers": ["0", "1"],
                    "preprocess": {"size": 8},
                }
            },
        },
    )
    workspace.snakemake("--cores", "2", "results/mine/tables/rsa_models.csv")
    table = pd.read_csv(workspace.results / "tables/rsa_models.csv")
    assert len(table) == 1  # the pair of layers


def test_files_that_a_recording_and_images_come_from_are_watched(tmp_path):
    """Other ids relabel every response, and another image is another stimulus."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(8):
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/im{i}.png")
    np.save(tmp_path / "counts.npy", rng.poisson(5, (6, 8, 2)).astype(float))
    ids = [f"im{i}" for i in range(8)]
    (tmp_path / "ids.txt").write_text("\n".join(ids))
    recording = {"kind": "array", "path": "counts.npy", "axes": ["unit", "stimulus", "repeat"]}
    workspace = Workspace(
        tmp_path,
        {
            "study": "watched",
            "images": {"set": {"path": "images"}},
            "networks": {"pixels": {"kind": "pixels", "size": 4}},
            "recordings": {"cells": recording | {"stimuli": "set", "stimulus_ids": "ids.txt"}},
            "geometry": {"bootstraps": 100},
            "audit": {"enabled": False},
            "encoding": {"folds": 2, "inner_folds": 2, "n_alphas": 3},
        },
    )
    tables = [f"results/watched/tables/{name}.csv" for name in ("rsa_recordings", "encoding")]
    workspace.snakemake("--cores", "2", *tables)
    assert workspace.jobs(*tables) == []
    (tmp_path / "ids.txt").write_text("\n".join(reversed(ids)))
    jobs = workspace.jobs(*tables)
    assert "Read recording cells" in jobs and "Run pixels on set" not in jobs
    Image.new("RGB", (4, 4), "red").save(tmp_path / "images/im3.png")
    assert "Run pixels on set" in workspace.jobs(*tables)
