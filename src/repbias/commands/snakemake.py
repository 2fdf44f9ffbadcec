"""How the commands call Snakemake, and what it leaves in a folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import repbias


def pipeline() -> Path:
    """Return the folder of the Snakefile: of the repository, or in the installed package."""
    package = Path(repbias.__file__).resolve().parent
    bundled = package / "bundle"
    return bundled if bundled.is_dir() else package.parents[1]


def snakemake(config: Path, targets: Sequence[str] = ()) -> list[str]:
    """Return the command that runs Snakemake on a study in this folder.

    Parameters
    ----------
    config
        The study.
    targets
        Files to make; all by default.
    """
    # Files come first: Snakemake takes what follows --configfile for configurations.
    return [
        *(sys.executable, "-m", "snakemake", *targets),
        *("--snakefile", str(pipeline() / "Snakefile"), "--directory", "."),
        *("--configfile", str(config)),
    ]


def locked(results: str) -> bool:
    """Whether Snakemake, run in this folder, holds a lock on these results."""
    for lock in Path(".snakemake/locks").glob("*.output.lock"):
        with suppress(OSError):  # the run may end just now
            if any(line.startswith(f"{results}/") for line in lock.read_text().splitlines()):
                return True
    return False
