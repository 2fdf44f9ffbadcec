"""Four subjects who share some stimuli, from YAML to tables, beside numbers computed by hand."""

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from sklearn.model_selection import KFold
from workspace import Workspace

pytestmark = pytest.mark.slow

OWN, COMMON, REPEATS, VOXELS, SUBJECTS = 30, 14, 3, 12, 4
N = SUBJECTS * OWN + COMMON
IDS = np.array([f"im{i:03d}" for i in range(N)])
SPACES = {"good": [0, 1, 2, 3], "half": [0, 1]}
STUDY = {
    "study": "shared",
    "images": {"set": {"table": "stimuli.csv"}},
    "networks": {
        name: {
            "kind": "features",
            "scale": "none",
            "spaces": {"latent": [f"f{i}" for i in columns]},
        }
        for name, columns in SPACES.items()
    },
    "recordings": {
        "brain": {
            "kind": "fmri",
            "path": "betas",
            "images": "sub-{subject}/betas.h5",
            "events": "sub-{subject}/trials.csv",
            "variable": "betas",
            "content": "betas",
            "stimuli": "set",
        }
    },
    "geometry": {"bootstraps": 100, "permutations": 20, "subject_stimuli": "all"},
    # Next to no penalty: ordinary least squares.
    "encoding": {"permutations": 0, "log10_alpha": [-9, -8], "n_alphas": 2},
    "audit": {"features": ["level"], "permutations": 19},
}


class Data:
    """The files of the study, and what is in them."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        self.latent = rng.normal(size=(N, 4)).astype(np.float32)
        order = rng.permutation(N)
        self.common = np.sort(order[:COMMON])
        self.seen, self.means = [], []
        for subject, own in enumerate(order[COMMON:].reshape(SUBJECTS, OWN)):
            seen = np.sort([*own, *self.common])
            trials = rng.permutation(np.repeat(seen, REPEATS))
            signal = self.latent[trials] @ rng.normal(size=(4, VOXELS))
            betas = (signal + 2 * rng.normal(size=signal.shape)).astype(np.float32)
            place = folder / f"betas/sub-{subject}"
            place.mkdir(parents=True)
            with h5py.File(place / "betas.h5", "w") as file:
                file["betas"] = betas
            (place / "trials.csv").write_text("\n".join(["stimulus", *IDS[trials]]))
            betas = betas.astype(float)
            self.seen.append(seen)
            self.means.append(np.stack([betas[trials == i].mean(axis=0) for i in seen]))
        rows = [
            ",".join([name, "high" if x[0] > 0 else "low", *map(repr, x.tolist())])
            for name, x in zip(IDS, self.latent, strict=True)
        ]
        header = "stimulus_id,level,f0,f1,f2,f3"
        (folder / "stimuli.csv").write_text("\n".join([header, *rows]))

    def rdm(self, subject, stimuli):
        return pdist(self.means[subject][np.isin(self.seen[subject], stimuli)], "correlation")

    def model(self, name, stimuli):
        return pdist(self.latent[stimuli][:, SPACES[name]].astype(float), "euclidean")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    data = Data(folder)
    config = STUDY | {"geometry": STUDY["geometry"] | {"distance": "euclidean"}}
    workspace = Workspace(folder, config)
    names = ("rsa_recordings", "rsa_subjects", "encoding", "cautions", "reliability", "audit")
    workspace.snakemake("--cores", "2", *(f"results/shared/tables/{name}.csv" for name in names))
    return data, workspace


def table(study, name):
    return pd.read_csv(study[1].results / f"tables/{name}.csv")


def test_rsa_over_subjects_is_of_the_common_stimuli(study):
    data, found = study[0], table(study, "rsa_recordings")
    brains = [data.rdm(s, data.common) for s in range(SUBJECTS)]
    assert set(found["n_stimuli"]) == {COMMON} and len(found) == 2
    for _, row in found.iterrows():
        model = data.model(row["condition"], data.common)
        expected = np.mean([np.corrcoef(model, brain)[0, 1] for brain in brains])
        assert row["similarity"] == pytest.approx(expected, abs=1e-6)
    z = np.stack([(b - b.mean()) / b.std() for b in brains])
    lowest = [np.corrcoef(b, np.delete(z, s, 0).mean(axis=0))[0, 1] for s, b in enumerate(brains)]
    assert found["ceiling_low"][0] == pytest.approx(np.mean(lowest), abs=1e-8)


def test_rsa_of_single_subjects_is_of_all_their_stimuli(study):
    data, found = study[0], table(study, "rsa_subjects")
    assert set(found["n_stimuli"]) == {OWN + COMMON} and len(found) == 2 * SUBJECTS
    for _, row in found.iterrows():
        seen = data.seen[row["subject"]]
        model, brain = data.model(row["condition"], seen), data.rdm(row["subject"], seen)
        assert row["similarity"] == pytest.approx(np.corrcoef(model, brain)[0, 1], abs=1e-6)


def test_encoding_is_of_all_stimuli_that_the_subject_saw_in_folds_of_stimuli(study):
    data, found = study[0], table(study, "encoding")
    assert set(found["n_stimuli"]) == {OWN + COMMON} and len(found) == 2 * SUBJECTS * VOXELS
    for (subject, name), rows in found.groupby(["subject", "condition"]):
        x, y = data.latent[data.seen[subject]][:, SPACES[name]].astype(float), data.means[subject]
        r = []
        for train, test in KFold(5, shuffle=True, random_state=0).split(x):
            design = np.column_stack([np.ones(len(x)), x])
            weights, *_ = np.linalg.lstsq(design[train], y[train], rcond=None)
            predicted = design[test] @ weights
            r.append([np.corrcoef(a, b)[0, 1] for a, b in zip(predicted.T, y[test].T, strict=True)])
        np.testing.assert_allclose(rows["r"], np.mean(r, axis=0), atol=1e-5)
        assert rows["reverse_r2"].nunique() == 1 and rows["reverse_r2"].notna().all()


def test_tables_say_what_was_left_out(study):
    (row,) = table(study, "cautions").query("danger == 'stimuli_left_out'").to_dict("records")
    assert row["value"] == N - COMMON
    assert f"RSA is of the {COMMON} of {N} stimuli that all 4 subjects saw" in row["sentence"]
    assert (table(study, "reliability")["repeats"] == REPEATS).all()
    audited = table(study, "audit")
    assert set(audited["n_stimuli"]) == {COMMON}
