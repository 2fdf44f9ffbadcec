"""What tests of the command line share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter

from repbias.commands.description import unfilled
from repbias.commands.main import main
from repbias.io.recordings import Recording
from repbias.recordings.readers import RecordingSpec, read_recording

# Writers of files that tests of the readers have.
sys.path.append(str(Path(__file__).parents[1] / "recordings"))


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture) -> Callable[..., tuple[str, dict[str, Any]]]:
    """Function that inspects a file: what is said, and the entry of its block, filled in."""

    def run(path: Path, variable: str | None = None, **fill: Any) -> tuple[str, dict[str, Any]]:
        arguments = ["--variable", variable] if variable else []
        assert main(["inspect", str(path), *arguments]) == 0
        printed, _, block = capsys.readouterr().out.partition("\n\n")
        content = yaml.safe_load(block)
        if content is None:
            return printed, {}
        ((_, entry),) = content.get("recordings", content.get("images")).items()
        # What is marked is what the test says, neither more nor less.
        assert set(unfilled(entry)) == fill.keys()
        return printed, entry | fill

    return run


@pytest.fixture
def read() -> Callable[..., Recording]:
    """Function that reads an entry of ``recordings:`` with the reader of its kind."""

    def run(entry: dict[str, Any], ids: Any) -> Recording:
        spec = TypeAdapter(RecordingSpec).validate_python(entry)
        return read_recording(spec, np.array(sorted(ids)))

    return run
