"""How long is left of a run, and the last words of a log."""

from collections import Counter

import pytest

from snakemake_logger_plugin_repbias import UNKNOWN, Progress, clock, last_words


def test_of_rules_of_which_nothing_is_known_a_start_is_expected():
    assert Progress(Counter(new=3)).left(0) == 3 * UNKNOWN


def test_what_is_expected_gives_way_to_what_jobs_take():
    run = Progress(Counter(train=3), {"train": 100.0})
    assert run.left(0) == 300
    run.start(1, "train", 0)
    assert run.left(40) == 260
    assert run.end(1, 10) == 10
    assert run.left(10) == 20


def test_the_longest_job_takes_its_time_however_many_cores_there_are():
    run = Progress(Counter(short=10, long=1), {"short": 1.0, "long": 60.0}, cores=8)
    run.start(0, "long", 5)
    assert run.left(5) == 60
    assert run.left(64) == pytest.approx(11 / 8)


def test_a_job_that_takes_longer_than_expected_leaves_no_negative_time():
    run = Progress(Counter(train=1), {"train": 10.0})
    run.start(0, "train", 0)
    assert run.left(100) == 0


def test_a_job_that_failed_is_to_do_again():
    run = Progress(Counter(train=2), {"train": 10.0})
    run.start(0, "train", 0)
    run.end(0, 3, done=False)
    assert run.left(3) == 20
    assert run.taken == {}


def test_a_run_that_is_over_has_nothing_left():
    run = Progress(Counter(train=1), {"train": 10.0})
    run.start(0, "train", 0)
    run.end(0, 8)
    assert run.left(8) == 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (59.4, "59 s"), (59.7, "1:00 min"), (3599, "59:59 min"), (3600, "1:00 h")],
)
def test_times_are_said_in_the_unit_that_suits_them(seconds, said):
    assert clock(seconds) == said


def test_the_last_words_of_a_log_are_its_last_line_that_is_not_empty(tmp_path):
    log = tmp_path / "log"
    log.write_text("begin\n" + "x" * 10_000 + "\nerror: no space\n\n")
    assert last_words(str(log)) == "error: no space"
    log.write_text("")
    assert last_words(str(log)) == ""
    assert last_words(str(tmp_path / "none")) == ""
