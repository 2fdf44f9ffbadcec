"""``repbias run``: a study from its configuration to its report, by Snakemake."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
import sys
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from repbias.base.spec import RepbiasError, nearest
from repbias.commands.description import some, unfilled
from repbias.commands.snakemake import locked, pipeline, snakemake
from repbias.config.file import read_config
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.pipeline.times import seconds_by_rule
from snakemake_logger_plugin_repbias import SECONDS, STEPS

#: Held by a run and its Snakemake; not empty if they were killed.
MARK = Path(".snakemake/repbias.lock")


def run(
    config: Path,
    cores: str = "all",
    only: Sequence[str] = (),
    profile: str | None = None,
    dry_run: bool = False,
    unlock: bool = False,
    open_report: bool = False,
    options: Sequence[str] = (),
) -> tuple[int, dict[str, Any]]:
    """Run Snakemake on a study, in this folder; return its exit code, and how the run went.

    Raises
    ------
    RepbiasError
        If the configuration is not that of a study, a table is unknown, or another run is at work.
    """
    content = read_config(config)
    if missing := list(unfilled(content)):
        raise RepbiasError(f"{config}: still to fill in: {some(missing, 8)}")
    # As the Snakefile does: code of the user's is found where one is, and beside the study.
    sys.path[:0] = dict.fromkeys([str(Path.cwd()), str(config.resolve().parent)])
    plan = Plan(load_study(content, str(config), try_networks=False))
    command = [
        *snakemake(config, _targets(only, plan)),
        # Also what follows -- may bring colour, such as another --logger.
        *(["--nocolor"] if os.environ.get("NO_COLOR") or not sys.stderr.isatty() else []),
        *_resources(cores, profile),
        *("--logger", "repbias"),
        *(["--dry-run"] if dry_run else []),
        *options,
    ]
    with _alone() as (mark, killed):
        if unlock or (killed and locked(plan.results)):
            print("Removing the lock of a run that was killed.", flush=True)
            _call([*snakemake(config), "--unlock"], mark, quiet=True)
        elif locked(plan.results):
            raise RepbiasError(
                f"{plan.results} is locked: a Snakemake that 'repbias run' did not start is at "
                "work on it, or was killed. If none is at work: repbias run "
                f"{shlex.quote(str(config))} --unlock"
            )
        os.environ[SECONDS] = json.dumps(seconds_by_rule(plan))
        with TemporaryDirectory() as folder:
            steps = Path(folder, "steps.json")
            os.environ[STEPS] = str(steps)
            code = _call(command, mark)
            # There are none if Snakemake has not come as far as to a plan.
            went = json.loads(steps.read_text()) if steps.exists() else None
    report = Path(plan.results) / "report.html"
    done = not (code or dry_run or only) and report.exists()
    findings = list(_found(plan)) if done else []
    if code:
        print("What is done is kept: repeat the command when the cause is mended.", file=sys.stderr)
    if done:
        print("\n".join([*findings, f"Report: {report}"]))
        if open_report:
            webbrowser.open(report.resolve().as_uri())
    return code, {
        "exit_code": code,
        "steps": went,
        "report": report if done else None,
        "findings": findings,
    }


def _found(plan: Plan) -> Iterator[str]:
    """Say in a line what was found of every recording, and how many claims hold."""
    from repbias.report.findings import findings
    from repbias.report.page import claims_summary
    from repbias.tables import read_tables

    tables = read_tables(f"{plan.results}/tables/{name}.csv" for name in plan.tables)
    for found in findings(tables, {}):
        yield f"{found['name']}: {found['sentences'][0].text}"
    if len(tables["claims"]):
        counts = claims_summary(tables["claims"])["counts"]
        yield f"Claims: {', '.join(f'{n} {verdict}' for verdict, n in counts.items())}."


def _targets(only: Sequence[str], plan: Plan) -> list[str]:
    """Return the files of tables, which are named, and of what is named by its path.

    And, with any of them, the configuration, by which results are read (:func:`repbias.load`).
    """
    targets = []
    for name in only:
        if name in plan.tables:
            targets.append(f"{plan.results}/tables/{name}.csv")
        elif "/" in name:  # a file, also by its path in the results
            below = name.removeprefix(f"{plan.results}/")
            targets.append(f"{plan.results}/{below}")
        else:
            known = nearest(name, plan.tables)
            raise RepbiasError(f"--only {name}: no table of this study; {known}")
    # By the record of the configuration one knows tables that are left over from another.
    return list(dict.fromkeys([*targets, f"{plan.results}/config.yaml"])) if targets else []


def _resources(cores: str, profile: str | None) -> list[str]:
    """Return the options that say where jobs run."""
    if not (cores == "all" or (cores.isdigit() and int(cores))):
        raise RepbiasError(f"--cores {cores}: expected a number from 1, or all")
    ours = {path.name: path for path in (pipeline() / "workflow/profiles").iterdir()}
    if profile is None:
        # As options: of a profile, Snakemake would tell in a line of its own.
        settings = read_config(ours["default"] / "config.yaml").items()
        options = [f"--{k}" if value is True else f"--{k}={value}" for k, value in settings]
        return ["--workflow-profile", "none", *options, "--cores", cores]
    path = ours.get(profile, Path(profile))
    if not path.is_dir():
        known = nearest(profile, ours)
        raise RepbiasError(f"--profile {profile}: no folder, and no profile of repbias; {known}")
    return ["--workflow-profile", str(path)]


@contextmanager
def _alone() -> Iterator[tuple[int, bool]]:
    """Keep other runs out of this folder.

    Yields
    ------
    descriptor : int
        To be inherited by Snakemake, so that its death alone frees the folder.
    killed : bool
        Whether the last run in this folder was killed.
    """
    MARK.parent.mkdir(exist_ok=True)
    with MARK.open("a+") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RepbiasError("another 'repbias run' is at work in this folder") from None
        mark.seek(0)
        killed = bool(mark.read())
        mark.write("running\n")
        mark.flush()
        yield mark.fileno(), killed
        mark.truncate(0)


def _call(command: Sequence[str], mark: int, quiet: bool = False) -> int:
    """Run a command to its end, also where the user interrupts it; return its exit code."""
    output = subprocess.DEVNULL if quiet else None
    with subprocess.Popen(command, pass_fds=[mark], stdout=output, stderr=output) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # the terminal has told Snakemake as well, which ends its jobs first
