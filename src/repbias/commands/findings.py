"""What ``repbias check`` found about a part of a study."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from repbias.base.spec import RepbiasError


@dataclass
class Findings:
    """What was found about a part of the study.

    Attributes
    ----------
    title : the part
    facts : a table
    warnings : what would not stop the pipeline
    problems : what would
    estimates : numbers of the facts, for programs
    """

    title: str
    facts: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    estimates: dict[str, Any] = field(default_factory=dict)

    def show(self) -> None:
        """Print the table, then the warnings and problems."""
        print(f"\n{self.title}")
        for label, fact in self.facts.items():
            print(f"  {label:<14} {fact}")
        for warning in self.warnings:
            print(f"  warning: {warning}")
        for problem in self.problems:
            print(f"  PROBLEM: {problem}")


@contextmanager
def problems_in(findings: Findings) -> Iterator[None]:
    """Turn an exception in the block into a problem, and go on behind it."""
    try:
        yield
    except RepbiasError as error:
        findings.problems.append(str(error))
    except Exception as error:  # one part that fails must not stop the check of the others
        findings.problems.append(f"cannot be read ({type(error).__name__}: {error})")


@contextmanager
def noting(findings: Findings) -> Iterator[None]:
    """Turn log messages of the block into warnings, and an exception into a problem."""
    logger = logging.getLogger("repbias")

    class Note(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() not in findings.warnings:  # several analyses say the same
                findings.warnings.append(record.getMessage())

    handler, propagates, level = Note(logging.WARNING), logger.propagate, logger.level
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.WARNING)  # the command line shows errors only
    try:
        with problems_in(findings):
            yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
        logger.setLevel(level)
