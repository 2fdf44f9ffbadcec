"""Damaged at random, a file of any format is read or refused; nothing else is raised or crashes."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from formats import FORMATS, Format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repbias.base.spec import RepbiasError

pytestmark = pytest.mark.slow

#: Seconds after which reading a file of a few kilobytes counts as endless.
ENDLESS = 120
#: Formats whose readers start another process, which takes longer.
SLOW = (".h5", ".hdf5", ".mat", ".nwb", ".nc", ".fif", ".set", ".zmetadata", ".zarray", "times_0")
PLACE = st.integers(0, 2**20)
CHANGE = st.one_of(
    st.tuples(st.just("cut"), PLACE, PLACE),
    st.tuples(st.just("flip"), PLACE, st.integers(0, 7)),
    st.tuples(st.just("splice"), PLACE, PLACE),
    st.tuples(st.just("set"), PLACE, st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("set"), PLACE, st.sampled_from([b"\xff" * 4, b"\x7f" * 8, b"\0" * 8])),
)


def changed(content: bytes, changes: list[tuple]) -> bytes:
    data = bytearray(content)
    for kind, place, value in changes:
        at = place % max(1, len(data))
        if kind == "cut":
            del data[at:]
        elif kind == "flip" and data:
            data[at] ^= 1 << value
        elif kind == "splice":
            other = value % max(1, len(data))
            data[at:at] = data[other : other + 32]
        elif kind == "set":
            data[at : at + len(value)] = value
    return bytes(data)


def read_or_refuse(entry: Format, path: Path) -> None:
    """Read a file in every way; raise any exception that readers may not raise."""
    for read in (*entry.others, *([entry.read] if entry.entry else [])):
        try:
            read(path)
        except RepbiasError as error:
            assert "\n" not in str(error).strip()


def in_child(check: Callable[[], None], folder: Path) -> str:
    """Read all examples in a process that may crash or hang; return the problem."""
    child = os.fork()
    said = folder / "said"
    if not child:
        try:
            with Path(os.devnull).open("w") as null:
                os.dup2(null.fileno(), 2)
            check()
            os._exit(0)
        except BaseException:
            said.write_text(traceback.format_exc())
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGALRM:
        return "did not end"
    return said.read_text() if code == 1 else "" if code == 0 else f"crashed: {code}"


@pytest.fixture(scope="module")
def valid(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("valid")
    for entry in FORMATS.values():
        entry.write(folder / entry.name)
    return {name: (folder / name).read_bytes() for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_file_is_read(name, valid, tmp_path):
    """Otherwise the other test would pass if valid files were refused for another reason."""
    (tmp_path / name).write_bytes(valid[name])
    assert all(found is not None for found in FORMATS[name].read(tmp_path / name))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(name, valid, tmp_path):
    n = 4 if name.endswith(SLOW) else 12
    n = int(os.environ.get("REPBIAS_FUZZ_EXAMPLES", n))
    examples = []

    @settings(
        max_examples=n,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(changes=st.lists(CHANGE, min_size=1, max_size=3))
    def draw(changes):
        examples.append(changed(valid[name], changes))

    def check():
        for content in examples:
            folder = Path(tempfile.mkdtemp(dir=tmp_path))
            (folder / name).write_bytes(content)
            signal.alarm(ENDLESS)  # ends the process
            read_or_refuse(FORMATS[name], folder / name)
            shutil.rmtree(folder)

    draw()
    # What is left is what could not be read.
    assert in_child(check, tmp_path) == "", f"see {[*tmp_path.iterdir()]}"
