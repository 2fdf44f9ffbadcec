"""Tables of trials: which rows belong to a file, on which clock, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pynwb
import pytest
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.recordings.readers.nwb import NwbRecording, read
from repbias.recordings.readers.trials import read_trials

KNOWN = np.array([f"image{i}" for i in range(4)])
STARTS = np.arange(8) * 0.7 + 1.0
SPIKES = [np.random.default_rng(seed).uniform(0, 8, 70) for seed in range(3)]


def write_nwb(path, session, subject: str | None = "mouse", spikes=SPIKES, **unit) -> Path:
    """Write a file with units and without trials."""
    file = pynwb.NWBFile("test", session, datetime(2020, 1, 1, tzinfo=UTC), session_id=session)
    file.subject = subject and pynwb.file.Subject(subject_id=subject)
    for times in spikes:
        file.add_unit(spike_times=np.sort(times), **unit)
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


def write_table(path: Path, columns: dict[str, object]) -> Path:
    separator = "," if path.suffix == ".csv" else "\t"
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join(separator.join(map(str, row)) for row in [tuple(columns), *rows]))
    return path


def shown(starts=STARTS, **more) -> dict[str, object]:
    n = len(starts)
    columns = {"image": [f"image{i % 4}" for i in range(n)], "onset": list(starts)}
    return columns | {name: [value] * n for name, value in more.items()}


def spec_of(path, trials, **settings) -> NwbRecording:
    settings = {"from_s": 0.1, "to_s": 0.5, "stimulus": "image", "align": "onset"} | settings
    return NwbRecording(kind="nwb", path=path, stimuli="set", trials=trials, **settings)


def brute_force(spikes, start, stop) -> int:
    return sum(1 for spike in spikes if start <= spike < stop)


def assert_counts(recording, offset=0.0):
    for row, start in enumerate(recording.trials["start_time"]):
        assert recording.trials["stimulus_id"][row] == recording.trials["image"][row]
        for unit, spikes in enumerate(SPIKES):
            expected = brute_force(spikes, start + 0.1, start + 0.5)
            assert recording.responses[row, unit] == expected
    assert sorted(recording.trials["start_time"]) == pytest.approx(STARTS + offset)
    assert recording.responses.sum() > 20


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_an_nwb_file_without_trials_is_read_with_a_table(suffix, tmp_path):
    path = write_nwb(tmp_path / "a.nwb", "s1")
    trials = write_table(tmp_path / f"trials{suffix}", shown() | {"contrast": range(8)})
    recording = read(spec_of(path, trials), KNOWN)
    assert_counts(recording)
    assert set(recording.trials["session"]) == {"s1"}
    assert sorted(recording.trials["contrast"]) == list(range(8))
    assert spec_of(path, trials).input_files() == [str(path), str(trials)]


def test_the_offset_between_the_clocks_is_added_to_the_trials(tmp_path):
    path = write_nwb(tmp_path / "a.nwb", "s1")
    trials = write_table(tmp_path / "trials.csv", shown(STARTS - 100.25))
    recording = read(spec_of(path, trials, offset_s=100.25), KNOWN)
    assert_counts(recording)
    with pytest.raises(
        RepbiasError, match=r"a\.nwb: 8 of 8 trials are not within .*'onset' goes from -99\.25 to"
    ):
        read(spec_of(path, trials), KNOWN)


def test_times_in_milliseconds_are_refused(tmp_path):
    """The first lies within the recording, so that there would be responses."""
    path = write_nwb(tmp_path / "a.nwb", "s1")
    trials = write_table(tmp_path / "trials.csv", shown([1.0, *STARTS[1:] * 1000]))
    with pytest.raises(RepbiasError, match="7 of 8 trials are not within the recording"):
        read(spec_of(path, trials), KNOWN)


def test_a_table_of_all_sessions_gives_each_its_rows_and_clock(tmp_path):
    first = write_nwb(tmp_path / "a.nwb", "s1", spikes=SPIKES[:2])
    second = write_nwb(tmp_path / "b.nwb", "s2", spikes=SPIKES[2:])
    columns = shown(session="s1", subject="mouse")
    for name, values in shown(STARTS[:5] - 3, session="s2", subject="mouse").items():
        columns[name] = [*columns[name], *values]
    trials = write_table(tmp_path / "trials.csv", columns)
    recording = read(spec_of(first, trials, more_files=[second], offset_s=[0.0, 3.0]), KNOWN)
    of_first = recording.trials["session"] == "s1"
    assert (of_first.sum(), (~of_first).sum()) == (8, 5)
    alone = [
        read(spec_of(first, write_table(tmp_path / "1.csv", shown())), KNOWN),
        read(spec_of(second, write_table(tmp_path / "2.csv", shown(STARTS[:5]))), KNOWN),
    ]
    np.testing.assert_array_equal(recording.responses[of_first, :2], alone[0].responses)
    np.testing.assert_array_equal(recording.responses[~of_first, 2:], alone[1].responses)
    lists = spec_of(first, [tmp_path / "1.csv", tmp_path / "2.csv"], more_files=[second])
    np.testing.assert_array_equal(read(lists, KNOWN).responses, recording.responses)


@pytest.mark.parametrize(
    ("more", "settings", "message"),
    [
        ({}, {}, "one table for 2 files needs the columns session and subject, found image, onset"),
        ({"session": "s1"}, {}, "needs the columns session and subject"),
        ({"session": "s1"}, {"subject": "m"}, "no trial of session 's2', .*the table has 's1'"),
        ({"session": "s1", "subject": "x"}, {}, "no trial of subject 'mouse'"),
    ],
)
def test_rows_that_may_belong_to_either_file_are_refused(more, settings, message, tmp_path):
    first = write_nwb(tmp_path / "a.nwb", "s1")
    second = write_nwb(tmp_path / "b.nwb", "s2")
    trials = write_table(tmp_path / "trials.csv", shown(**more))
    with pytest.raises(RepbiasError, match=message):
        read(spec_of(first, trials, more_files=[second], **settings), KNOWN)


def test_names_of_sessions_and_subjects_may_differ_in_zeros_and_prefixes(tmp_path):
    """As those of templates; but a name of its own comes first, and one must be meant."""
    paths = [write_nwb(tmp_path / f"{i}.nwb", session=f"0{i}", subject="sub-7") for i in (1, 2)]
    columns = shown(session="1", subject="7")
    for name, values in shown(STARTS[:5], session="2", subject="7").items():
        columns[name] = [*columns[name], *values]
    trials = write_table(tmp_path / "trials.csv", columns)
    recording = read(spec_of(paths[0], trials, more_files=[paths[1]]), KNOWN)
    assert (recording.trials["session"] == "01").sum() == len(STARTS)
    assert (recording.trials["session"] == "02").sum() == 5
    columns["session"] = [*["1"] * len(STARTS), *["001"] * 5]
    trials = write_table(tmp_path / "unclear.csv", columns)
    with pytest.raises(RepbiasError, match=r"no trial of session '01', .* set 'session', or leave"):
        read(spec_of(paths[0], trials), KNOWN)


def test_a_table_of_one_file_names_its_session_and_subject(tmp_path):
    path = write_nwb(tmp_path / "a.nwb", "s1", subject=None)
    trials = write_table(tmp_path / "trials.csv", shown(session="monday", subject="m1"))
    recording = read(spec_of(path, trials), KNOWN)
    assert recording.units["unit"].tolist() == [f"m1/monday/{i}" for i in range(3)]
    renamed = read(spec_of(path, trials, session="monday", subject="m1"), KNOWN)
    assert renamed.units["unit"].tolist() == recording.units["unit"].tolist()
    with pytest.raises(RepbiasError, match="no trial of session 'tuesday'"):
        read(spec_of(path, trials, session="tuesday"), KNOWN)


def test_trials_without_a_stimulus_or_a_time_are_left_out(tmp_path, caplog):
    columns = shown()
    columns["image"][3] = "n/a"
    columns["onset"][5] = ""
    path = write_nwb(tmp_path / "a.nwb", "s1")
    recording = read(spec_of(path, write_table(tmp_path / "trials.csv", columns)), KNOWN)
    assert sorted(recording.trials["start_time"]) == pytest.approx(np.delete(STARTS, [3, 5]))
    assert "1 of 8 trials name no stimulus in the column 'image'" in caplog.text
    assert "1 of 7 trials have no time in the column 'onset'; they are left out" in caplog.text


def test_trials_after_the_last_spike_have_no_responses(tmp_path, caplog):
    path = write_nwb(tmp_path / "a.nwb", "s1")
    trials = write_table(tmp_path / "trials.csv", shown([*STARTS[:6], 9.0, 30.0]))
    recording = read(spec_of(path, trials), KNOWN)
    assert sorted(recording.trials["start_time"]) == pytest.approx(STARTS[:6])
    assert "2 of 8 trials are not within the recording" in caplog.text


def test_a_recording_lasts_as_long_as_it_was_observed(tmp_path, caplog):
    path = write_nwb(tmp_path / "a.nwb", "s1", obs_intervals=[[0.0, 10.0]])
    trials = write_table(tmp_path / "trials.csv", shown([*STARTS[:6], 9.0, 30.0]))
    recording = read(spec_of(path, trials), KNOWN)
    assert sorted(recording.trials["start_time"]) == pytest.approx([*STARTS[:6], 9.0])
    assert recording.responses[recording.trials["start_time"] == 9.0].tolist() == [[0, 0, 0]]
    assert "1 of 8 trials are not within the recording, which goes from 0 to 10 s" in caplog.text


def test_a_presentation_that_is_listed_twice_is_refused(tmp_path):
    """It would count as a repeat, and repeats of pure noise as reliable."""
    path = write_nwb(tmp_path / "a.nwb", "s1")
    trials = write_table(tmp_path / "trials.csv", shown([*STARTS, *STARTS]))
    with pytest.raises(
        RepbiasError,
        match=r"trials\.csv: lines 2 and 10 have the same time 1 in",
    ):
        read(spec_of(path, trials), KNOWN)


def test_trials_are_ordered_by_the_time_that_they_are_aligned_to(tmp_path):
    path = write_nwb(tmp_path / "a.nwb", "s1")
    columns = shown() | {"start_time": STARTS[::-1]}
    recording = read(spec_of(path, write_table(tmp_path / "trials.csv", columns)), KNOWN)
    assert_counts(recording)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stimulus": "images"}, r"trials\.csv: no column 'images'; did you mean 'image'\?"),
        ({"align": "onsets"}, r"trials\.csv: no column 'onsets'; did you mean 'onset'\?"),
        ({"align": "image"}, "line 2, column 'image': expected a number, found 'image0'"),
    ],
)
def test_wrong_columns_are_refused(settings, message, tmp_path):
    path = write_nwb(tmp_path / "a.nwb", "s1")
    trials = write_table(tmp_path / "trials.csv", shown())
    with pytest.raises(RepbiasError, match=message):
        read_trials(spec_of(path, trials, **settings), path, "s1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"table": "epochs"}, "give table, .* or trials, .* not both"),
        ({"trials": None, "offset_s": 1.0}, "offset_s is added to the times of trials"),
        ({"offset_s": [1.0, 2.0]}, "offset_s has 2 values for 1 files"),
        ({"session": []}, "session has 0 values for 1 files"),
        ({"trials": "none.csv"}, "no such file"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message, tmp_path):
    path = tmp_path / "a.nwb"
    path.touch()
    trials = write_table(tmp_path / "trials.csv", shown())
    with pytest.raises(ValidationError, match=message):
        spec_of(path, **{"trials": trials, **settings})


def test_a_pattern_stands_for_files_in_natural_order(tmp_path, monkeypatch):
    names = [f"sub-{i}/sub-{i}_ses-{s}.nwb" for i in (1, 2, 10) for s in (1, 2)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub-1" / "notes.txt").touch()
    first = tmp_path / names[0]
    spec = spec_of(first, None, more_files=[str(tmp_path / "sub-*" / "*.nwb")])
    assert spec.files() == [tmp_path / name for name in names], "the first is not read twice"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DANDI", str(tmp_path))
    for pattern in ("**/*.nwb", "${DANDI}/sub-*/*.nwb"):
        again = spec_of(names[0], None, more_files=[pattern])
        assert [path.resolve() for path in again.files()] == spec.files()
    assert NwbRecording(**spec.model_dump()) == spec, "a configuration that was written out"
    with pytest.raises(ValidationError, match=r"no file matches 'sub-3/\*\.nwb'"):
        spec_of(first, None, more_files=["sub-3/*.nwb"])
    odd = tmp_path / "session[1].nwb"
    odd.touch()
    assert spec_of(first, None, more_files=[odd]).files() == [first, odd]
