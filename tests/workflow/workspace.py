"""Run Snakemake for real, in a folder of its own."""

import hashlib
import re
import sys
from pathlib import Path

import yaml
from forked import run_module

ROOT = Path(__file__).parents[2]


class Workspace:
    """A working directory in which studies run with the Snakefile of a repository, or a copy."""

    def __init__(self, folder, config, root=ROOT):
        self.folder, self.root = folder, root
        self.config = folder / "study.yaml"
        self.write(config)

    def write(self, config):
        self.config.write_text(yaml.safe_dump(config, sort_keys=False))

    @property
    def results(self):
        return self.folder / "results" / yaml.safe_load(self.config.read_text())["study"]

    def arguments(self, *more):
        return [
            *("--snakefile", str(self.root / "Snakefile")),
            *("--directory", str(self.folder), "--configfile", str(self.config)),
            *("--workflow-profile", str(self.root / "workflow/profiles/default"), *more),
        ]

    def command(self, *more):
        return [sys.executable, "-m", "snakemake", *self.arguments(*more)]

    def snakemake(self, *more, check=True):
        """Run Snakemake; return its output, and its exit status as an attribute."""
        done = run_module("snakemake", *self.arguments(*more), cwd=self.folder)
        assert not check or done.returncode == 0, done.stdout
        return done

    def jobs(self, *targets):
        """Return the messages of the jobs that a run would execute."""
        return self.messages(self.snakemake("--dry-run", *targets).stdout.splitlines())

    @staticmethod
    def messages(lines):
        """Return the messages of the jobs in the output of a dry run."""
        return [line.split(": ", 1)[1] for line in lines if re.match(r"Job \d+: ", line)]

    def tables(self):
        """Return a hash of every table."""
        files = sorted((self.results / "tables").rglob("*.csv"))
        return {
            str(f.relative_to(self.results)): hashlib.sha256(f.read_bytes()).hexdigest()
            for f in files
        }
