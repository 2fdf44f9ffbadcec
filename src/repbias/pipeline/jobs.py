"""What every script does around its one call: log, tell errors in one line, record how it went."""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from repbias.base.spec import RepbiasError

logger = logging.getLogger("repbias")

#: New objects after which Python looks for garbage among them; 700 by default.
GARBAGE = 10_000
#: Seconds after which a job says again how far it is.
PATIENCE = 5

Settings = TypeVar("Settings")
Result = TypeVar("Result")


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Run the body of a Snakemake script.

    Progress and warnings go to the terminal and to the rule's log file, which also has what other
    jobs of the run say as well (messages at level DEBUG). An error in the input
    (:class:`RepbiasError`) is one clear message on the terminal; its traceback is in the log file.

    Parameters
    ----------
    snakemake
        The object that Snakemake puts into a script's namespace.
    """
    path = Path(snakemake.log[0])
    parts = [value for _, value in snakemake.wildcards.items()]
    name = " ".join([snakemake.rule, "/".join(parts)]).strip()
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter(f"[{name}] %(message)s"))
    file = _log_file(path)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[terminal, file], force=True)
    logging.captureWarnings(True)
    terminal.setLevel(logging.INFO)
    logger.setLevel(logging.DEBUG)
    started = time.monotonic()
    # Numerical libraries are a million objects that stay. Looking for garbage among them, as often
    # as is the default, and again at the end of the process, takes as long as importing them.
    gc.set_threshold(GARBAGE)
    try:
        _limit_threads(snakemake.threads)
        yield
        # Imported late, as numerical libraries must be; and by name, so that it does not count as
        # code of the job: an edit of it changes no result.
        provenance = import_module("repbias.io.provenance")
        provenance.record(snakemake, time.monotonic() - started)
    except RepbiasError as error:
        logging.getLogger().removeHandler(terminal)
        logger.exception("stopped")
        sys.exit(f"[{name}] error: {error}\n(traceback in {path})")
    except BaseException:
        logging.getLogger().removeHandler(terminal)
        logger.exception("stopped")
        raise
    finally:
        gc.freeze()
        file.flush()
    file.handle(
        logger.makeRecord(
            "repbias", logging.INFO, "", 0, "done in %.1f s", (time.monotonic() - started,), None
        )
    )


def _log_file(path: Path) -> logging.Handler:
    """Open the log; none where there can be none, which is no reason to fail."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _LogFile(path, mode="w")
    except OSError as error:
        print(f"{path}: not written: {error.strerror}", file=sys.stderr)
        return logging.NullHandler()


class _LogFile(logging.FileHandler):
    """A log file. Where it cannot be written, that is said once, and is no reason to fail."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Give up on the file, and on what waits to be written to it."""
        error = sys.exc_info()[1]
        if self.stream is None or not isinstance(error, OSError):
            super().handleError(record)
            return
        print(
            f"{os.path.relpath(self.baseFilename)}: not written: {error.strerror}", file=sys.stderr
        )
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self.stream.fileno())


def _limit_threads(threads: int) -> None:
    """Keep every numerical library to the rule's threads.

    Several threads wait for each other asleep: on cores that others use too, the default, to spin,
    made them twenty times slower. The libraries read these variables when they are imported, which
    a script does later.
    """
    for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    if threads > 1:
        os.environ.update(OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0")


def for_each(
    conditions: Mapping[str, Settings], work: Callable[[str, Settings], Result]
) -> Iterator[tuple[str, Result]]:
    """Do a job's work for each of its conditions, one after the other as results are taken.

    Parameters
    ----------
    conditions
        Name to what the work depends on.
    work
        Called with the name and what it depends on.

    Yields
    ------
    tuple
        The name, and what the work returns.

    Raises
    ------
    RepbiasError
        Of the first condition that fails; where there are several, its name comes first.
    """
    several, reported = len(conditions) > 1, time.monotonic()
    for number, (name, settings) in enumerate(conditions.items(), start=1):
        if several:
            waited = time.monotonic() - reported >= PATIENCE
            reported = time.monotonic() if waited else reported
            level = logging.INFO if waited else logging.DEBUG
            logger.log(level, "%s (%d of %d)", name, number, len(conditions))
        try:
            result = work(name, settings)
        except RepbiasError as error:
            if several:
                raise RepbiasError(f"{name}: {error}") from error
            raise
        except Exception as error:
            error.add_note(f"in the work on {name}")
            raise
        yield name, result


def function_named(path: str) -> Callable[..., Any]:
    """Import a function, given as package.module:name."""
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function
