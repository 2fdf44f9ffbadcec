"""Time and memory of a recording of subjects who share some stimuli (as Allen et al. 2022).

Four subjects of 20,000 voxels, each with 600 images of its own and 100 that all saw, three times
each: single-trial betas in an HDF5 file per subject (float32; 0.67 GB in all, of 5.4 GB that one
array of all trials and voxels would take in double precision). A study of two feature spaces, with
RSA, encoding models without permutations, and the audit. Every job's time and peak memory are those
that Snakemake measures; the table is printed, beside the size of the observed values.

Run with ``OMP_NUM_THREADS=1 python benchmarks/partly_shared.py``; ``--voxels 2000`` makes it a
tenth.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
SUBJECTS, REPEATS, DIMENSIONS = 4, 3, 20
STUDY = {
    "study": "partly_shared",
    "images": {"set": {"table": "stimuli.csv"}},
    "networks": {
        "all": {"kind": "features", "scale": "none", "spaces": {"latent": ["f*"]}},
        "some": {"kind": "features", "scale": "none", "spaces": {"latent": ["f0*"]}},
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
            "modality": "fMRI",
        }
    },
    "geometry": {"permutations": 0, "subject_stimuli": "all"},
    "encoding": {"permutations": 0},
}


def make(folder: Path, voxels: int, own: int, common: int) -> None:
    """Write the stimuli's table and the betas, one subject after the other."""
    rng = np.random.default_rng(0)
    n = SUBJECTS * own + common
    ids = np.array([f"image{i:05d}" for i in range(n)])
    latent = rng.standard_normal((n, DIMENSIONS), np.float32)
    columns = {f"f{i:02d}": latent[:, i] for i in range(DIMENSIONS)}
    pd.DataFrame({"stimulus_id": ids, **columns}).to_csv(folder / "stimuli.csv", index=False)
    order = rng.permutation(n)
    for subject, alone in enumerate(order[common:].reshape(SUBJECTS, own)):
        trials = rng.permutation(np.repeat([*alone, *order[:common]], REPEATS))
        place = folder / f"betas/sub-{subject + 1:02d}"
        place.mkdir(parents=True)
        mixing = rng.standard_normal((DIMENSIONS, voxels), np.float32)
        with h5py.File(place / "betas.h5", "w") as file:
            betas = file.create_dataset("betas", (len(trials), voxels), np.float32)
            for start in range(0, len(trials), 100):
                signal = latent[trials[start : start + 100]] @ mixing
                noise = 6 * rng.standard_normal(signal.shape, np.float32)
                betas[start : start + len(signal)] = signal + noise
        (place / "trials.csv").write_text("\n".join(["stimulus", *ids[trials]]), encoding="utf-8")


def run(folder: Path) -> None:
    """Run the study on one core."""
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False), encoding="utf-8")
    subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--directory", str(folder), "--configfile", str(folder / "study.yaml")),
            *("--workflow-profile", str(ROOT / "workflow/profiles/default"), "--cores", "1"),
            "--quiet",
        ],
        check=True,
    )


def measured(folder: Path) -> pd.DataFrame:
    """Return seconds and peak memory of the jobs of the recording."""
    rows = []
    for file in sorted((folder / "results/partly_shared/benchmarks").rglob("*.tsv")):
        row = pd.read_csv(file, sep="\t").iloc[0]
        if file.stem == "brain":
            rows.append({"job": file.parent.name, "seconds": row["s"], "MiB": row["max_rss"]})
    return pd.DataFrame(rows)


def main() -> None:
    """Make the data, run the study, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, default=20_000, help="of each subject")
    voxels, own, common = parser.parse_args().voxels, 600, 100
    observed = 8 * SUBJECTS * REPEATS * (own + common) * voxels / 2**20
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder, voxels, own, common)
        started = time.perf_counter()
        run(folder)
        seconds = time.perf_counter() - started
        size = (folder / "results/partly_shared/recordings/brain.h5").stat().st_size / 2**20
        whole = observed * SUBJECTS
        print(f"{SUBJECTS} subjects, {voxels:,} voxels, {own} + {common} images, {REPEATS} repeats")
        print(f"observed {observed:.0f} MiB, canonical file {size:.0f}; one array {whole:.0f}")
        print(f"{seconds:.0f} s in all; jobs of the recording:")
        print(measured(folder).round(0).to_string(index=False))


if __name__ == "__main__":
    main()
