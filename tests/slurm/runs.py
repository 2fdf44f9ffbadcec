"""Start Snakemake on a study, and look at what it writes while it runs."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml
from forked import prepared_python

ROOT = Path(__file__).parents[2]
SMALL = Path(__file__).parent / "study.yaml"
#: The tables; figures and the page are drawn from them in jobs like others.
TABLES = "results/small/tables/claims.csv"
#: Seconds; long, since machines are shared, and only a test that fails waits for them.
PATIENCE = 600


class Run:
    """Snakemake in a folder of its own, with the SLURM profile of the repository."""

    def __init__(self, folder, environment=os.environ, study=SMALL):
        self.folder = folder
        self.environment = environment
        self.study = Path(shutil.copy(study, folder))
        self.output = folder / "output.txt"
        self.process = None

    @property
    def results(self):
        return self.folder / "results" / yaml.safe_load(self.study.read_text())["study"]

    def start(self, *arguments, profile="slurm"):
        """Start Snakemake; what it says is in `said`."""
        python = sys.executable if profile == "slurm" else prepared_python()
        command = [
            *(python, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--configfile", self.study.name),
            *("--workflow-profile", str(ROOT / "workflow/profiles" / profile), *arguments),
        ]
        if profile == "slurm":  # these jobs take seconds
            command += ["--slurm-init-seconds-before-status-checks", "3"]
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=output, stderr=output
            )

    @property
    def said(self):
        return self.output.read_text()

    def wait_for(self, pattern):
        """Wait until Snakemake has said something; return the match."""
        deadline = time.monotonic() + PATIENCE
        while not (match := re.search(pattern, self.said)):
            assert self.process.poll() is None and time.monotonic() < deadline, self.said
            time.sleep(0.1)
        return match

    def succeed(self):
        try:
            assert self.process.wait(PATIENCE) == 0, self.said
        finally:
            self.process.kill()

    def finish(self, *arguments, profile="slurm"):
        self.start(*arguments, profile=profile)
        self.succeed()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def tables(self):
        """Return the content of every table."""
        return {f.name: f.read_bytes() for f in (self.results / "tables").glob("*.csv")}
