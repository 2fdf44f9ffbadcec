"""The command ``repbias``: its subcommands and their options.

Exit codes: 0 all is well, 1 the data or the configuration has problems or two runs differ, 2 wrong
usage, 141 nobody reads the output.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import repbias
from repbias.commands import document

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["_Parser"]

INSPECT = """\
Describe what a data file contains, and print a block of YAML that reads it, for the configuration
of a study. What only you can know is marked FILL_IN, with a comment that lists the options. Reads
arrays (.npy, .npz, .h5, .mat), tables (.csv, .tsv, .txt), NWB, MNE epochs (.fif), Brain-Score
(.nc), NIfTI (.nii, .nii.gz), files of rsatoolbox (.h5), RDMs of Meadows (.mat, .json), images (a
folder, .zip or .tar), and folders of any of these."""
CHECK = """\
Check a study before anything is computed: its configuration (all problems at once), its images,
and every recording, which is read as the pipeline will read it and summarised: stimuli, repeats,
units, reliability, and whether RSA and encoding are possible. Exits with 1 if there is a problem;
warnings alone exit with 0. Paths are relative to the folder in which the command runs."""
INIT = """\
Start a study: a folder with study.yaml (with the block that 'repbias inspect' prints, if a
recording is given; or a template), a README.md with the command that runs the study, and a
.gitignore. Never overwrites a file."""
RUN = """\
Run a study in this folder, from its configuration to results/<study>/report.html: Snakemake makes
what is missing or out of date. Prints a line for every step, and how long the rest takes, roughly.
What was done before an interruption is kept. What follows -- is given to Snakemake."""
SHOW = """\
Describe a result of a study (its arrays, layers or columns, and their meaning) and how it was made:
settings, seeds, versions, commit, machine, inputs, and whether it has changed since. Takes tables,
HDF5 files, figures, report.html and config.yaml; or the results folder of a study, for which it
summarises how its files were made."""
PLAN = """\
Plan a recording, before there are data: brains are simulated from the study's models, and scored by
the study's settings, with fewer or more stimuli, repeats, subjects, units or noise. The first value
of an option is planned; each further one is tried with the first of all others. With --choose,
stimuli are chosen of those that the models saw. Starts from the models' RDMs and activations in the
results of the study (docs/planning.md)."""
FIGURES = """\
Draw figures of a study again for a paper, from its tables: as PDF, whose text can be edited, or as
PNG, of a width in millimetres. Letters, lines and marks are made smaller or larger together;
--font-size says how large the labels of axes are instead, and the panels get narrower or wider."""
DIFF = """\
Compare two runs of a study, given by their results folders, or two result files: settings, tables
(rows on one side only; the largest difference in every column) and HDF5 files. Versions and
machines that differ are listed, but do not count as differences. Exits with 0 if settings and
results are the same, with 1 if not."""


def _add(
    commands: Commands, name: str, summary: str, description: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print one JSON document instead"
    )
    return parser


def _add_inspect(commands: Commands) -> None:
    example = "repbias inspect session.mat --variable data.spikes"
    inspect = _add(commands, "inspect", "describe a file, and how to read it", INSPECT, example)
    inspect.add_argument("file", type=Path, metavar="FILE", help="a file or a folder")
    inspect.add_argument("--variable", metavar="V", help="the array of the file to describe")
    inspect.add_argument(
        "--as",
        dest="what",
        choices=["model"],
        help="the file is no recording, but activations or RDMs of a model",
    )


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config",
        nargs="?",
        type=Path,
        default=Path("config.yaml"),
        metavar="CONFIG",
        help="the configuration (default: config.yaml)",
    )


def _add_check(commands: Commands) -> None:
    example = "repbias check study.yaml --quick"
    check = _add(commands, "check", "check the configuration and data of a study", CHECK, example)
    _add_config(check)
    check.add_argument("--quick", action="store_true", help="check the configuration only")
    check.add_argument("--images", action="store_true", help="decode every image as well")


def _add_init(commands: Commands) -> None:
    example = "repbias init my_study --recording responses.npy --images stimuli.zip"
    init = _add(commands, "init", "start the folder of a study", INIT, example)
    init.add_argument("folder", type=Path, metavar="FOLDER", help="the study's folder")
    init.add_argument("--recording", type=Path, metavar="FILE", help="a recording to start with")
    init.add_argument(
        "--template",
        choices=["recording", "bits", "images", "tokens", "torch", "table"],
        default="recording",
        metavar="NAME",
        help="what the study is of: a recording (default), networks on bits, images or tokens, an "
        "architecture of your own (torch), or a recording of stimuli in a table",
    )
    init.add_argument(
        "--images", type=Path, metavar="PATH", help="the images that were shown, or a table of them"
    )


def _add_run(commands: Commands) -> None:
    example = "repbias run study.yaml --cores 4 -- --keep-going"
    run = _add(commands, "run", "run a study", RUN, example)
    _add_config(run)
    run.add_argument(
        "--cores", default="all", metavar="N", help="jobs at a time (default: one for each core)"
    )
    run.add_argument(
        "--only", nargs="+", default=[], metavar="TABLE", help="make these tables only, or files"
    )
    run.add_argument(
        "--profile", metavar="NAME", help="where jobs run: slurm, or a folder with a profile"
    )
    run.add_argument("--dry-run", action="store_true", help="say what would be done")
    run.add_argument("--open", dest="open_report", action="store_true", help="show the report")
    run.add_argument("--unlock", action="store_true", help="remove the lock of a killed Snakemake")


def _add_plan(commands: Commands) -> None:
    example = "repbias plan study.yaml --stimuli 92 60 --repeats 4 8 --measures rsa encoding"
    plan = _add(commands, "plan", "plan a recording that tells models apart", PLAN, example)
    plan.add_argument("config", type=Path, metavar="CONFIG", help="the configuration")
    plan.add_argument("--shown", metavar="NAME", help="experiment or set of images (if several)")
    plan.add_argument("--models", nargs="+", metavar="M", help="conditions or networks (all)")
    plan.add_argument(
        "--pilot", metavar="NAME", help="a recording of the study, whose noise and units to expect"
    )
    for name, kind, what in (
        ("stimuli", int, "stimuli (default: all, half, a quarter)"),
        ("repeats", int, "trials of every stimulus (4 2 8)"),
        ("subjects", int, "subjects (4 1 8)"),
        ("units", int, "units of every subject (50 20 100)"),
        ("reliability", float, "share of signal in the variance of single trials (.3 .1 .5)"),
    ):
        plan.add_argument(f"--{name}", nargs="+", type=kind, metavar="N", help=what)
    plan.add_argument(
        "--measures",
        nargs="+",
        default=["rsa"],
        choices=["rsa", "cka", "encoding", "both_ways", "procrustes"],
        metavar="M",
        help="what models are scored by: rsa, cka, encoding, both_ways, procrustes (rsa)",
    )
    plan.add_argument(
        "--simulations", type=int, default=20, metavar="N", help="brains from every layer (20)"
    )
    plan.add_argument("--choose", type=int, metavar="N", help="choose N stimuli of all")
    plan.add_argument(
        "--by",
        choices=["both", "models", "features"],
        default="both",
        help="choose them to separate models, to decorrelate features, or both (default)",
    )
    plan.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is random (0)")
    plan.add_argument(
        "--out", type=Path, metavar="FOLDER", help="default: planning/ in the results"
    )


def _add_show(commands: Commands) -> None:
    example = "repbias show results/quickstart/tables/claims.csv"
    show = _add(commands, "show", "describe a result, and how it was made", SHOW, example)
    show.add_argument("file", type=Path, metavar="FILE", help="a result, or a folder of results")


def _add_figures(commands: Commands) -> None:
    example = "repbias figures results/quickstart variance sweeps --width 85 --format pdf"
    figures = _add(commands, "figures", "draw figures for a paper", FIGURES, example)
    figures.add_argument("folder", type=Path, metavar="FOLDER", help="the results of a study")
    figures.add_argument("names", nargs="*", metavar="FIGURE", help="names of figures (all)")
    figures.add_argument("--format", choices=["pdf", "png"], default="pdf", help="default: pdf")
    figures.add_argument("--width", type=float, default=180, metavar="MM", help="default: 180 mm")
    figures.add_argument(
        "--font-size",
        type=float,
        metavar="PT",
        help="of axis labels (default: as --width makes it)",
    )
    figures.add_argument("--dpi", type=int, default=300, metavar="N", help="of pixels (300)")
    figures.add_argument("--out", type=Path, metavar="FOLDER", help="default: figures/ in FOLDER")


def _add_diff(commands: Commands) -> None:
    example = "repbias diff results/before results/after"
    diff = _add(commands, "diff", "compare two runs, or two results", DIFF, example)
    for name in ("a", "b"):
        diff.add_argument(name, type=Path, metavar=name.upper(), help="a folder or a file")


#: The exit code where standard output is closed: that of a process that SIGPIPE ends.
CLOSED = 141
#: Command to what adds its options, in the order of their use.
COMMANDS = {
    "inspect": _add_inspect,
    "init": _add_init,
    "check": _add_check,
    "run": _add_run,
    "plan": _add_plan,
    "show": _add_show,
    "figures": _add_figures,
    "diff": _add_diff,
}


class _WrongUsage(Exception):
    """What is wrong with the options of a command."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Show how the command is used, and leave the rest to :func:`main`."""
        self.print_usage(sys.stderr)
        raise _WrongUsage(message)


class _PrintCompletion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> NoReturn:
        """Print what completes commands, options and files in a shell; exit."""
        import shtab  # late: its import takes longer than all others here

        _, shell, *_ = given
        commands: Any = next(a for a in parser._actions if a.dest == "command")
        for command in commands.choices.values():
            for action in command._actions:
                if action.type is Path:
                    action.complete = shtab.FILE
        print(shtab.complete(parser, shell))
        sys.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="repbias",
        description="Bring a recording to repbias: inspect a file, start a study, check it, "
        "run it, look at its results, and compare two runs.",
        epilog="example: repbias inspect responses.mat",
    )
    parser.add_argument("--version", action="version", version=f"repbias {repbias.__version__}")
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        default=argparse.SUPPRESS,
        choices=["bash", "zsh", "fish"],
        help="print what completes commands, options and files in this shell",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in COMMANDS.values():
        add(commands)
    return parser


class _Printable:
    """Output that escapes control characters, which names from files may hold."""

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
        The arguments; by default those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal need not have all letters of ids
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _answer(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads on, as with `repbias inspect FILE | head`; nor what is left to be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED


def _answer(words: list[str]) -> int:
    """Run a command; return its exit code."""
    parser = _parser()
    if not words:
        parser.print_help()
        return 0
    n_own = words.index("--") if words[0] == "run" and "--" in words else len(words)
    as_json = "--json" in words[:n_own]
    try:
        if not words[0].startswith("-") and words[0] not in COMMANDS:
            from repbias.base.spec import nearest

            parser.error(f"{words[0]}: no such command; {nearest(words[0], COMMANDS)}")
        arguments = vars(parser.parse_args(words[:n_own]))
    except _WrongUsage as error:
        _report(str(error), as_json)
        sys.exit(2)
    if n_own < len(words):
        arguments["options"] = words[n_own + 1 :]
    as_json = arguments.pop("as_json")
    # Warnings of libraries are hidden: the commands report what matters.
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    module = import_module(f"repbias.commands.{arguments.pop('command')}")
    from repbias.base.spec import RepbiasError

    try:
        people = redirect_stdout(_Printable(sys.stdout))
        with document.only_a_document() if as_json else people:
            code, content = module.run(**arguments)
        if as_json:
            document.write(content)
        return code
    except RepbiasError as error:
        _report(str(error), as_json)
        return 1
    except KeyboardInterrupt:
        _report("interrupted", as_json, "")
        return 130


def _report(message: str, as_json: bool, kind: str = "error: ") -> None:
    """Say why there is no answer."""
    if as_json:
        document.write({"error": message})
    else:
        print(f"{kind}{message}", file=sys.stderr)
