"""Measure what SLURM costs: of single jobs, alone, in groups and in arrays, and of the quickstart.

``python tests/slurm/overhead.py`` writes the tables of docs/clusters.md, on an idle machine. It
fails where a table of the quickstart is not the same both ways.
"""

import argparse
import ctypes
import os
import re
import resource
import tempfile
import time
from itertools import chain
from pathlib import Path

import yaml
from cluster import Cluster
from runs import ROOT, Run

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
#: The same of the quickstart as a whole.
ANALYSES = ["analyse_networks", "activations", "rdms", "analyse_recording", "fit_models"]
QUICKSTART = [
    WAYS[0],
    WAYS[1],
    (
        "analyses in groups of up to 10",
        "slurm",
        [
            *("--groups", *(f"{rule}={rule}" for rule in ANALYSES)),
            *("--group-components", *(f"{rule}=10" for rule in ANALYSES)),
        ],
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


def measure(name, profile, arguments, folder, **study):
    """Run a study in a cluster of its own; return the run, submissions, wall and CPU seconds."""
    place = Path(folder, re.sub(r"\W", "-", name))
    (place / "run").mkdir(parents=True)
    with Cluster(place) as cluster:
        run = Run(place / "run", cluster.environment, **study)
        files = [] if study else study_of(run)
        wall, used = time.monotonic(), cpu()
        run.finish(*files, *arguments, profile=profile)
        wall, used = time.monotonic() - wall, cpu() - used
    return run, len(set(re.findall(r"SLURM job(?:id| ID) (\d+)", run.said))), wall, used


def jobs():
    """Go through the lines of the table of single jobs."""
    yield "| twelve short jobs | submissions | wall s | wall s per job | CPU s per job |"
    yield "|---|---|---|---|---|"
    with tempfile.TemporaryDirectory() as folder:
        for name, profile, arguments in WAYS:
            _, n, wall, used = measure(name, profile, arguments, folder)
            yield f"| {name} | {n} | {wall:.0f} | {wall / JOBS:.1f} | {used / JOBS:.1f} |"


def quickstart():
    """Go through the lines of the table of the quickstart."""
    yield "| quickstart | submissions | wall s | CPU s | tables equal to those without SLURM |"
    yield "|---|---|---|---|---|"
    local = None
    with tempfile.TemporaryDirectory() as folder:
        for name, profile, arguments in QUICKSTART:
            study = {"study": ROOT / "config.yaml"}
            run, n, wall, used = measure(name, profile, arguments, folder, **study)
            local = local or run.tables()
            found = run.tables()
            same = sum(found[table] == content for table, content in local.items())
            yield f"| {name} | {n} | {wall:.0f} | {used:.0f} | {same} of {len(local)} |"
            assert same == len(local)


def main():
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, default=ROOT / "docs/clusters.md", help="to write to")
    page = parser.parse_args().page
    # Processes whose parent has ended become children of this one (PR_SET_CHILD_SUBREAPER).
    ctypes.CDLL(None).prctl(36, 1)
    lines = []
    for line in chain(jobs(), [""], quickstart()):
        lines.append(line)
        print(line, flush=True)
    head, mark, rest = page.read_text(encoding="utf-8").partition("<!-- table -->\n")
    _, end, tail = rest.partition("<!-- end -->")
    page.write_text("\n".join([head + mark, *lines, "", end + tail]), encoding="utf-8")


if __name__ == "__main__":
    main()
