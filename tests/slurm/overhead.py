"""Measure what a job costs here and through SLURM, alone, in groups and in arrays.

``python tests/slurm/overhead.py`` writes the table of docs/clusters.md, on an idle machine.
"""

import ctypes
import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

import yaml
from cluster import Cluster
from runs import Run

JOBS = 12
#: Name, profile, and what else Snakemake is told.
WAYS = [
    ("without SLURM", "default", ["--cores", "2"]),
    ("one by one", "slurm", []),
    ("array", "slurm", ["--slurm-array-jobs", "all"]),
    (
        "groups of 6, side by side",
        "slurm",
        ["--groups", "generate_stimuli=s", "--group-components", "s=6"],
    ),
    (
        "groups of 6, one after the other",
        "slurm",
        ["--groups", "generate_stimuli=s", "--group-components", "s=6", "--cores", "1"],
    ),
]


def study_of(run):
    """Give the study many conditions; return the files of their stimuli."""
    study = yaml.safe_load(run.study.read_text())
    study["experiments"]["many"] = study["experiments"]["tasks"] | {
        "vary": {"stimuli.noise_bits": {f"n{n}": 8 + n for n in range(1, JOBS + 1)}}
    }
    run.study.write_text(yaml.safe_dump(study, sort_keys=False))
    return [f"results/small/stimuli/many/noise_bits=n{n}.h5" for n in range(1, JOBS + 1)]


def cpu():
    """CPU seconds of all processes that ended; the cluster's are ours as well, see main."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                break
        except ChildProcessError:
            break
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main():
    """Print a table in Markdown."""
    # Processes whose parent has ended become children of this one (PR_SET_CHILD_SUBREAPER).
    ctypes.CDLL(None).prctl(36, 1)
    print("| | submissions | wall s | wall s per job | CPU s per job |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, profile, arguments in WAYS:
            place = Path(folder, re.sub(r"\W", "-", name))
            (place / "run").mkdir(parents=True)
            with Cluster(place) as cluster:
                run = Run(place / "run", cluster.environment)
                files = study_of(run)
                wall, used = time.monotonic(), cpu()
                run.finish(*files, *arguments, profile=profile)
                wall, used = time.monotonic() - wall, cpu() - used
                n = len(set(re.findall(r"SLURM job(?:id| ID) (\d+)", run.said)))
            print(
                f"| {name} | {n} | {wall:.0f} | {wall / JOBS:.1f} | {used / JOBS:.1f} |", flush=True
            )


if __name__ == "__main__":
    sys.exit(main())
