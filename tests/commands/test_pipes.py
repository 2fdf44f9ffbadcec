"""Commands whose output nobody reads to its end, as with `repbias diff A B | head`."""

import os
import subprocess
import sys
from logging import INFO, makeLogRecord
from pathlib import Path

import pytest
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_repbias import LogHandler

#: Output waits in a buffer, as it does for users.
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two folders of results, with more differences than a pipe or a buffer holds."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        Path(name).mkdir()
        settings = [f"setting{i}: {name}{'x' * 60}\n" for i in range(1500)]
        Path(name, "config.yaml").write_text("".join(settings))
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["diff", "a", "b"],
        ["diff", "a", "b", "--json"],
        ["show", "a/config.yaml"],
        ["plan", "--help"],
        ["run", "none.yaml", "--json"],
    ],
)
def test_nothing_is_said_where_nobody_reads(folder, words):
    command = subprocess.Popen(
        [sys.executable, "-m", "repbias", *words],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    command.stdout.close()
    assert command.stderr.read() == b""
    assert command.wait() == 141


def test_the_first_lines_are_read_by_head(folder):
    shell = f"{sys.executable} -m repbias diff a b | head -n 2"
    done = subprocess.run(shell, shell=True, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("A: a\nB: b\n", "")


def test_a_run_goes_on_where_nobody_reads_how_it_goes():
    reader, writer = os.pipe()
    os.close(reader)
    handler = LogHandler(OutputSettings(), None)
    handler.stream = os.fdopen(writer, "w")
    event = {"event": LogEvent.RUN_INFO, "stats": {"train": 3}, "levelno": INFO}
    handler.emit(makeLogRecord(event))
    assert handler.total == 3
    os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
