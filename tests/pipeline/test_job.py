"""What a script's job leaves behind: one message on the terminal, everything in the log."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from repbias.pipeline import jobs

PRELUDE = """
import sys
from pathlib import Path
from types import SimpleNamespace
from repbias.pipeline.jobs import job
from repbias.base.spec import RepbiasError

snakemake = SimpleNamespace(
    rule="train",
    wildcards={"experiment": "tasks", "batch": "dropout=0.5"},
    log=["results/quick/logs/deep/train.log"],
    input=[],
    output=[],
    params={},
    config={},
    threads=3,
)
"""


@pytest.fixture
def run(tmp_path):
    """Function that runs the body of a script; gives the process and its log."""

    def run(body, prelude=PRELUDE):
        lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
        (tmp_path / "script.py").write_text(f"{prelude}\nwith job(snakemake):\n{lines}\n")
        done = subprocess.run(
            [sys.executable, "script.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")},
        )
        return done, (tmp_path / "results/quick/logs/deep/train.log").read_text()

    return run


def test_success_is_silent_and_logged(run):
    done, log = run("print('result')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "result\n", "")
    assert "INFO repbias: done in " in log


def test_what_every_job_would_repeat_is_in_the_log_only(run):
    """As of what images' ids are, which `repbias check` says once."""
    done, log = run(
        "Path('images/x').mkdir(parents=True)\n"
        "Path('images/y').mkdir()\n"
        "for name in ('x/a.png', 'y/a.png'):\n"
        "    Image.new('L', (4, 4)).save(f'images/{name}')\n"
        "open_images(ImageSet(path='images'))",
        PRELUDE + "from PIL import Image\nfrom repbias.stimuli.images import open_images\n"
        "from repbias.stimuli.spec import ImageSet\n",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "DEBUG repbias.stimuli.images: images: ids are paths, as files of several" in log


def test_bad_input_is_one_message_with_the_traceback_in_the_log(run):
    done, log = run(
        "def read():\n    raise RepbiasError('a.npy: expected 2 axes, found 3')\n\nread()"
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "[train tasks/dropout=0.5] error: a.npy: expected 2 axes, found 3",
        "(traceback in results/quick/logs/deep/train.log)",
    ]
    assert "Traceback" in log
    assert "in read" in log
    assert "RepbiasError: a.npy: expected 2 axes, found 3" in log
    assert "done in" not in log


def test_errors_of_our_own_kinds_are_messages_too(run):
    done, _ = run("from repbias.io.stimuli import Stimuli\nStimuli.read('none.h5')")
    assert done.returncode == 1
    assert "error: none.h5: no such file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("error", ["ZeroDivisionError", "KeyboardInterrupt", "MemoryError"])
def test_other_errors_show_their_traceback_once_and_are_logged(run, error):
    done, log = run(f"raise {error}('unexpected')")
    assert done.returncode != 0
    assert done.stderr.count("Traceback") == 1
    for text in (done.stderr, log):
        assert f"{error}: unexpected" in text
    assert "Traceback" in log
    assert "done in" not in log


def test_progress_and_warnings_go_to_terminal_and_log(run):
    done, log = run(
        "import logging, warnings\n"
        "logging.getLogger('repbias.networks.training').info('step %d', 25)\n"
        "logging.getLogger('another').debug('too much')\n"
        "logging.getLogger('another').info('chatter')\n"
        "logging.getLogger('another').warning('strange')\n"
        "warnings.warn('deprecated thing')"
    )
    assert done.returncode == 0
    assert "[train tasks/dropout=0.5] step 25" in done.stderr
    assert "INFO repbias.networks.training: step 25" in log
    for text in (done.stderr, log):
        assert "strange" in text
        assert "deprecated thing" in text
        assert "too much" not in text
        assert "chatter" not in text


def test_a_job_without_wildcards_is_called_by_its_rule(run):
    prelude = PRELUDE.replace('"experiment": "tasks", "batch": "dropout=0.5"', "")
    done, _ = run("raise RepbiasError('no')", prelude)
    assert done.stderr.startswith("[train] error: no")


def test_libraries_keep_to_the_threads_of_the_rule(run):
    done, _ = run(
        "import json, os, numpy, threadpoolctl\n"
        "names = ['OMP', 'OPENBLAS', 'MKL', 'NUMEXPR', 'VECLIB_MAXIMUM']\n"
        "print(json.dumps([os.environ.get(n + '_NUM_THREADS') for n in names]))\n"
        "print(json.dumps([i['num_threads'] for i in threadpoolctl.threadpool_info()]))",
        PRELUDE.replace("threads=3", "threads=1"),
    )
    variables, threads = map(json.loads, done.stdout.splitlines())
    assert variables == ["1"] * 5
    assert set(threads) == {1}


def test_a_new_run_replaces_the_log(run):
    run("raise RepbiasError('first')")
    _, log = run("pass")
    assert "first" not in log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_log_on_a_full_disk_is_told_once_and_does_not_hide_the_error(tmp_path):
    log = tmp_path / "results/quick/logs/deep/train.log"
    log.parent.mkdir(parents=True)
    log.symlink_to("/dev/full")
    (tmp_path / "script.py").write_text(
        f"{PRELUDE}\nimport logging\nwith job(snakemake):\n"
        "    logging.getLogger('repbias').info('step 1')\n"
        "    logging.getLogger('repbias').info('step 2')\n"
        "    raise RepbiasError('x.h5: not written: No space left on device')\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "[train tasks/dropout=0.5] step 1",
        "results/quick/logs/deep/train.log: not written: No space left on device",
        "[train tasks/dropout=0.5] step 2",
        "[train tasks/dropout=0.5] error: x.h5: not written: No space left on device",
        "(traceback in results/quick/logs/deep/train.log)",
    ]


def test_a_log_that_cannot_be_made_is_told_and_no_reason_to_fail(tmp_path):
    (tmp_path / "results/quick").mkdir(parents=True)
    (tmp_path / "results/quick/logs").touch()  # where a folder should be
    (tmp_path / "script.py").write_text(f"{PRELUDE}\nwith job(snakemake):\n    print('worked')\n")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "worked\n"), done.stderr
    assert "results/quick/logs/deep/train.log: not written: " in done.stderr


@pytest.mark.parametrize(("patience", "said"), [(0, ["a (1 of 2)", "b (2 of 2)"]), (5, [])])
def test_how_far_a_job_is_is_said_where_one_waits_for_it(caplog, monkeypatch, patience, said):
    monkeypatch.setattr(jobs, "PATIENCE", patience)
    caplog.set_level(logging.INFO, logger="repbias")
    assert list(jobs.for_each({"a": 1, "b": 2}, lambda name, n: n)) == [("a", 1), ("b", 2)]
    assert caplog.messages == said
