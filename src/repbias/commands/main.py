"""The command ``repbias``: which subcommands there are, and what they are told.

Exit codes: 0 all is well, 1 the data or the configuration has problems or two runs differ, 2 wrong
usage.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import repbias

INSPECT = """\
Say what is inside a file of data, and print a block of YAML for a study's configuration that reads
it. What only you can know is marked FILL_IN, with a comment that says what is possible. Reads
arrays (.npy, .npz, .h5, .mat), tables (.csv, .tsv), NWB, MNE epochs (.fif), Brain-Score (.nc),
NIfTI (.nii, .nii.gz), RDMs of rsatoolbox, and images (a folder, .zip or .tar)."""
CHECK = """\
Check a study before anything is computed: its configuration (all problems at once), then its sets
of images, then every recording, which is read as the pipeline will read it and summarised:
stimuli, repeats, units, reliability, and whether RSA and encoding are possible. Exits with 1 if
there is a problem; warnings alone exit with 0. Paths are relative to the folder that it runs in."""
SHOW = """\
Say what a file of a study's results is (arrays, layers, columns and what they mean) and how it was
made: settings, seeds, versions, commit, machine, inputs, and whether it has changed since. Takes
tables, HDF5 files, figures, report.html and config.yaml; or a study's folder, of which it sums up
what its files were made with."""
DIFF = """\
Compare two runs of a study, given by their folders of results, or two files of results: settings,
tables (rows on one side only; the largest difference of every column) and HDF5 files. Versions and
machines that differ are told, but are no difference on their own. Exits with 0 if settings and
results are the same, with 1 if not."""
INIT = """\
Start a study: a folder with study.yaml (with the block of 'repbias inspect' if a recording is
given), a README.md with the command that runs it, and a .gitignore. Never overwrites a file."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="repbias",
        description="Bring a recording to repbias: look into a file, start a study, check it. "
        "Studies are then run by Snakemake; look at their results, and compare two runs.",
        epilog="example: repbias inspect responses.mat",
    )
    parser.add_argument("--version", action="version", version=f"repbias {repbias.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, short: str, long: str, example: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=short,
            description=long,
            epilog=f"example: {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    inspect = command(
        *("inspect", "say what is in a file, and how to read it", INSPECT),
        "repbias inspect session.mat --variable data.spikes",
    )
    inspect.add_argument("file", type=Path, metavar="FILE", help="a file, or a folder of images")
    inspect.add_argument("--variable", metavar="V", help="the array of the file to describe")

    check = command(
        *("check", "check a study's configuration and data", CHECK),
        "repbias check study.yaml --quick",
    )
    check.add_argument(
        "config",
        nargs="?",
        type=Path,
        default=Path("config.yaml"),
        metavar="CONFIG",
        help="the configuration (default: config.yaml)",
    )
    check.add_argument("--quick", action="store_true", help="check the configuration only")
    check.add_argument("--images", action="store_true", help="decode every image as well")

    init = command(
        *("init", "start the folder of a study", INIT),
        "repbias init my_study --recording responses.npy --images stimuli.zip",
    )
    init.add_argument("folder", type=Path, metavar="FOLDER", help="the study's folder")
    init.add_argument("--recording", type=Path, metavar="FILE", help="a recording to start with")
    init.add_argument("--images", type=Path, metavar="PATH", help="what was shown")

    show = command(
        *("show", "say what a result is, and how it was made", SHOW),
        "repbias show results/quickstart/tables/claims.csv",
    )
    show.add_argument("file", type=Path, metavar="FILE", help="a result, or a folder of results")

    diff = command(
        *("diff", "compare two runs, or two results", DIFF),
        "repbias diff results/before results/after",
    )
    for name in ("a", "b"):
        diff.add_argument(name, type=Path, metavar=name.upper(), help="a folder or a file")
    return parser


class _Printable:
    """A terminal that is shown names from files, in which control characters would act on it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        from repbias.base.spec import printable

        return self._stream.write(printable(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code.

    Parameters
    ----------
    argv
        The arguments; those of the process when left out.
    """
    arguments = vars(_parser().parse_args(argv))
    # Libraries warn on the way; what matters is said by the commands.
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    module = import_module(f"repbias.commands.{arguments.pop('command')}")
    from repbias.base.spec import RepbiasError

    try:
        with redirect_stdout(_Printable(sys.stdout)):
            return module.run(**arguments)
    except RepbiasError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # as with `repbias inspect FILE | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
