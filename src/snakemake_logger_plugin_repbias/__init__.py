"""What ``repbias run`` prints: a line for each step, how long the rest takes, what failed.

Snakemake finds its plugins by the names of packages, and imports them before the Snakefile. So this
one imports nothing of the package ``repbias``, of which the Snakefile may bring its own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from logging import WARNING, LogRecord
from pathlib import Path
from typing import Any, TextIO

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

#: The environment variable with the seconds that a job of each rule is expected to take.
SECONDS = "REPBIAS_SECONDS"
#: The environment variable with the file that says in the end, as JSON, how the steps went.
STEPS = "REPBIAS_STEPS"
#: A job of which nothing is known: its start, and a little work.
UNKNOWN = 3.0
#: What Snakemake counts besides jobs: the sum, and the rule that asks for everything.
NO_STEPS = ("total", "all")
#: What Snakemake gives as reasons of a step, and what a dry run says: of the first that is there.
#: Of steps that only follow from others, nothing is said.
REASONS = {
    "Forced execution": "forced",
    "Code has changed": "code has changed",
    "Params have changed": "settings or code have changed",
    "Set of input files has changed": "other input than before",
    "Software environment definition has changed": "environment has changed",
    "Updated input files": "{files} changed",
    "Incomplete output files": "was interrupted",
    "Missing output files": "not there yet",
}
#: Bytes of a failed job's log that are looked at for its last words.
TAIL = 4000


@dataclass
class Progress:
    """How far a run is.

    Attributes
    ----------
    to_do : rule to its jobs that have not started
    expected : rule to the seconds that a job was expected to take
    cores : jobs that run at a time, at most
    running : job to its rule and the time at which it started
    taken : rule to the seconds that its jobs took, one each
    """

    to_do: Counter[str] = field(default_factory=Counter)
    expected: Mapping[str, float] = field(default_factory=dict)
    cores: int = 1
    running: dict[int, tuple[str, float]] = field(default_factory=dict)
    taken: dict[str, list[float]] = field(default_factory=dict)

    def start(self, job: int, rule: str, now: float) -> None:
        """Note that a job has started."""
        self.to_do[rule] -= 1
        self.running[job] = (rule, now)

    def end(self, job: int, now: float, done: bool = True) -> float:
        """Note that a job has ended, and is to do again if it is not done; return its seconds."""
        rule, started = self.running.pop(job)
        if done:
            self.taken.setdefault(rule, []).append(now - started)
        else:
            self.to_do[rule] += 1
        return now - started

    def seconds(self, rule: str) -> float:
        """Return what a job of a rule takes: as expected, or on average once jobs have ended."""
        taken = self.taken.get(rule, [])
        return sum(taken) / len(taken) if taken else self.expected.get(rule, UNKNOWN)

    def left(self, now: float) -> float:
        """Return the seconds that are left: of all work, by core, or of the longest job.

        Examples
        --------
        >>> run = Progress(Counter(train=4), {"train": 60}, cores=2)
        >>> run.left(0)
        120.0
        >>> run.start(0, "train", 0)
        >>> run.end(0, 30)
        30
        >>> run.left(30)
        45.0
        """
        running = [max(self.seconds(rule) - (now - t), 0.0) for rule, t in self.running.values()]
        waiting = sum(n * self.seconds(rule) for rule, n in self.to_do.items() if n > 0)
        return max((sum(running) + waiting) / self.cores, *running, 0.0)


class LogHandler(LogHandlerBase):
    """Print how a run goes; Snakemake calls this for each of its events, in one thread."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Begin a run of which nothing is known."""
        self.stream: TextIO = sys.stderr
        self.started = time.monotonic()
        self.total = self.done = 0
        self.progress = Progress(expected=json.loads(os.environ.get(SECONDS, "{}")))
        self.said: dict[int, str] = {}
        self.failed: dict[int, dict[str, Any]] = {}
        self.broken = self.closed_once = False

    def emit(self, record: LogRecord) -> None:
        """Print what an event says, if it says anything to a user."""
        event = getattr(record, "event", None)
        now = time.monotonic()
        if event == LogEvent.RUN_INFO:
            self._plan(record.stats)  # type: ignore[attr-defined]
        elif event == LogEvent.RESOURCES_INFO:
            self.progress.cores = int(
                getattr(record, "nodes", None) or getattr(record, "cores", None) or 1
            )
        elif event == LogEvent.JOB_INFO:
            self._start(record, now)
        elif event == LogEvent.JOB_FINISHED:
            self._end(record.job_id, now)  # type: ignore[attr-defined]
        elif event == LogEvent.JOB_ERROR:
            self._fail(record, now)
        elif event == LogEvent.ERROR or (event is None and record.levelno >= WARNING):
            self.broken = self.broken or event == LogEvent.ERROR
            self._print(record.getMessage())

    def _plan(self, stats: Mapping[str, int]) -> None:
        """Note what there is to do; a dry run says it twice."""
        if not self.total:
            self.progress.to_do.update({r: int(n) for r, n in stats.items() if r not in NO_STEPS})
            self.total = self.progress.to_do.total()
            self._print(f"{self.total} steps to do")

    def _start(self, record: LogRecord, now: float) -> None:
        job, rule = record.jobid, record.rule_name  # type: ignore[attr-defined]
        if rule in NO_STEPS:
            return
        self.said[job] = record.rule_msg or rule  # type: ignore[attr-defined]
        if self.common_settings.dryrun:
            self._print(f"  {self.said[job]}{why(record.reason)}")  # type: ignore[attr-defined]
        else:
            self.progress.start(job, rule, now)

    def _end(self, job: int, now: float) -> None:
        if job not in self.progress.running:
            return
        seconds = self.progress.end(job, now)
        self.failed.pop(job, None)
        self.done += 1
        width = len(str(self.total))
        line = f"[{self.done:{width}} of {self.total}] {self.said[job]}"
        times = [clock(seconds), f"{clock(now - self.started)} so far"]
        if self.done < self.total:
            times.append(f"about {clock(self.progress.left(now))} left")
        self._print(f"{line} ({'; '.join(times)})")

    def _fail(self, record: LogRecord, now: float) -> None:
        job, logs = record.jobid, list(record.log)  # type: ignore[attr-defined]
        if job in self.progress.running:
            self.progress.end(job, now, done=False)
        name: str = self.said.get(job) or record.rule_name  # type: ignore[attr-defined]
        words = "; ".join(filter(None, map(last_words, logs)))
        self.failed[job] = {"step": name, "error": words, "logs": logs}
        self._print(f"FAILED: {name}{f': {words}' if words else ''}")
        if logs:
            self._print(f"  log: {', '.join(logs)}")

    def close(self) -> None:
        """Say last what failed, or that there was nothing to do."""
        if not self.closed_once:
            self.closed_once = True
            if self.failed:
                self._print(f"Failed: {'; '.join(step['step'] for step in self.failed.values())}.")
            elif not self.total and not self.broken:
                self._print("Nothing to do: everything is up to date.")
            if STEPS in os.environ:
                Path(os.environ[STEPS]).write_text(json.dumps(self._went()), encoding="utf-8")
        super().close()

    def _went(self) -> dict[str, Any]:
        """Return how the steps went; of a dry run, what they are."""
        listed = list(self.said.values()) if self.common_settings.dryrun else []
        failed = list(self.failed.values())
        return {"total": self.total, "done": self.done, "failed": failed, "listed": listed}

    def _print(self, text: str) -> None:
        # Names from files may hold what a terminal would obey.
        shown = (c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
        with suppress(BrokenPipeError):  # nobody reads on, as with `repbias run 2>&1 | head`
            print("".join(shown), file=self.stream, flush=True)


def clock(seconds: float) -> str:
    """Return a time as people say it.

    Examples
    --------
    >>> clock(4.6), clock(80), clock(7384)
    ('5 s', '1:20 min', '2:03 h')
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    whole, unit = (whole, "min") if whole < 3600 else (whole // 60, "h")
    return f"{whole // 60}:{whole % 60:02} {unit}"


def why(reason: str | None) -> str:
    """Return why a step is to be done, in brackets; nothing if it follows from other steps.

    Examples
    --------
    >>> why("Missing output files: x.h5; Params have changed since last execution: ...")
    ' (settings or code have changed)'
    >>> why("Updated input files: brain.csv")
    ' (brain.csv changed)'
    >>> why("Input files updated by another job: x.h5")
    ''
    """
    parts = [part.partition(": ") for part in (reason or "").split("; ")]
    for words, said in REASONS.items():
        for begun, _, files in parts:
            if begun.startswith(words):
                return f" ({said.format(files=files)})"
    return ""


def last_words(log: str) -> str:
    """Return the last line of a log that says anything; nothing if there is none.

    Parameters
    ----------
    log
        Path of the file.
    """
    try:
        with Path(log).open("rb") as file:
            file.seek(max(0, Path(log).stat().st_size - TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
