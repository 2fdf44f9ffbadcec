"""What is said of recordings of MEG and EEG, and that the proposed entries read them."""

from __future__ import annotations

import tracemalloc

import meeg
import mne
import numpy as np
import pandas as pd
import pytest
import yaml
from meeg import CHANNELS, EVENTS, SFREQ, recording, structure

from repbias.commands.inspect import describe
from repbias.commands.main import main

IDS = [f"image{i}" for i in range(4)]


@pytest.mark.parametrize("name", meeg.CONTINUOUS)
def test_continuous_recordings_with_markers(name, tmp_path, inspect, read):
    meeg.CONTINUOUS[name](tmp_path / name, recording())
    text, entry = inspect(tmp_path / name, stimuli="set")
    assert "continuous, 3000 samples, 12 s, 250 Hz" in text
    assert "channels: eeg (3)" in text
    ids = [f"Comment/{x}" for x in IDS] if name.endswith("vhdr") else IDS
    assert f"markers: 4: {', '.join(f'{x} (3)' for x in ids)}" in text
    found = read(entry, ids)
    assert found.responses.shape == (12, 3, 60), "bins of 10 ms"
    assert found.info["modality"] == "EEG"


def test_types_of_markers_of_brainvision(tmp_path, inspect, read):
    events = [{"onset": s, "description": i % 4 + 1} for i, (s, _) in enumerate(EVENTS)]
    events += [{"onset": 400, "description": 1, "type": "Response"}]
    meeg.brainvision(tmp_path / "a.vhdr", recording(), events)
    text, entry = inspect(tmp_path / "a.vhdr", stimuli="set")
    assert "markers: 5: Stimulus/S  1 (3)" in text
    assert entry["markers"] == ["Stimulus/*"]
    assert "found: Stimulus/S  1, " in describe(tmp_path / "a.vhdr").comments["markers"]
    assert len(read(entry, [f"Stimulus/S  {i}" for i in range(1, 5)]).responses) == 12


def test_trigger_channels_and_recordings_without_events(tmp_path, inspect, read):
    raw = recording([], channels=[*CHANNELS, "AUX", "STI101"])
    raw._data[3:] = 0
    raw._data[4, 500:510] = 7
    raw.set_channel_types({"AUX": "stim", "STI101": "stim"}, on_unit_change="ignore")
    raw.info["bads"] = ["Cz"]
    meeg.fif(tmp_path / "a_raw.fif", raw)
    text, entry = inspect(tmp_path / "a_raw.fif", stimuli="set")
    assert "markers: none" in text
    assert "trigger channels: AUX, STI101" in text
    assert "bad channels, which are left out: Cz" in text
    assert entry["stim_channel"] == "STI101"
    assert read(entry, ["7"]).responses.shape == (1, 2, 60)
    meeg.fif(tmp_path / "b_raw.fif", recording([]))
    (tmp_path / "log.csv").write_text("onset,stimulus\n2,image0\n")
    fill = {"stimuli": "set", "events": str(tmp_path / "log.csv"), "stimulus": "stimulus"}
    _, entry = inspect(tmp_path / "b_raw.fif", **fill)
    assert len(read(entry, IDS).responses) == 1


def test_gaps_are_counted(tmp_path, inspect):
    meeg.fif(tmp_path / "a_raw.fif", recording([*EVENTS, (600, "EDGE boundary")]))
    text, _ = inspect(tmp_path / "a_raw.fif", stimuli="set")
    assert "gaps: 1; epochs that span one are left out" in text


@pytest.mark.parametrize("fields", [{}, {"pic": True}])
def test_epochs_of_eeglab(fields, tmp_path, inspect, read):
    rows = [
        {"type": f"image{i % 4}", "latency": 60.0 * i + 26, "epoch": i + 1.0}
        | dict.fromkeys(fields, f"picture{i % 4}")
        for i in range(8)
    ]
    data = np.random.default_rng(0).normal(size=(3, 60, 8)) * 1e-5
    meeg.eeglab_structure(tmp_path / "a.set", data, CHANNELS, structure(rows), 8, -0.1)
    fill = {"stimulus": "pic"} if fields else {}
    text, entry = inspect(tmp_path / "a.set", stimuli="set", **fill)
    assert "8 epochs (EEGLAB), 60 samples from -0.1 to 0.136 s, 250 Hz" in text
    assert "events: 4: image0 (2)" in text
    assert ("pic: 4 values: picture0" in text) == bool(fields)
    ids = [f"picture{i}" for i in range(4)] if fields else IDS
    assert read(entry, ids).responses.shape == (8, 3, 24)


# Folders.


def write_bids(folder, subject, task="rsvp", run=None, events=True, column="trial_type"):
    run = f"_run-{run}" if run else ""
    stem = folder / f"sub-{subject}/eeg/sub-{subject}_task-{task}{run}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    meeg.brainvision(stem.with_name(f"{stem.name}_eeg.vhdr"), recording())
    rows = [f"{s / SFREQ}\t1\t{name}\tseen" for s, name in EVENTS]
    if events:
        text = "\n".join([f"onset\tduration\t{column}\tanswer", *rows, "2.5\t0\tn/a\tn/a"])
        stem.with_name(f"{stem.name}_events.tsv").write_text(text)
    channels = ["name\ttype\tstatus", "Fz\tEEG\tgood", "Cz\tEEG\tbad", "Pz\tEOG\tgood"]
    stem.with_name(f"{stem.name}_channels.tsv").write_text("\n".join(channels))


def test_a_file_of_bids(tmp_path, inspect, read):
    write_bids(tmp_path, "01", column="stim_file")
    path = next(tmp_path.rglob("*.vhdr"))
    text, entry = inspect(path, stimuli="set")
    assert "sub-01_task-rsvp_events.tsv: 13 rows" in text
    assert "stim_file: 5 values: image0" in text
    assert entry["stimulus"] == "stim_file"
    found = read(entry, IDS)
    assert found.responses.shape == (12, 1, 60)
    assert found.units["unit"].tolist() == ["01/Fz"], "the others are bad, or of the eyes"


def test_the_column_of_stimuli_is_preferred_to_the_type_of_trial(tmp_path, inspect, capsys):
    write_bids(tmp_path, "01")
    (events,) = tmp_path.rglob("*events.tsv")
    lines = [line.split("\t") for line in events.read_text().splitlines()]
    for column, chosen in (("stim", "stim"), ("word", "trial_type")):
        rows = [[*row[:2], "response" if row[2] == "n/a" else "shown", row[2]] for row in lines[1:]]
        header = ["onset", "duration", "trial_type", column]
        events.write_text("\n".join("\t".join(row) for row in [header, *rows]))
        assert inspect(tmp_path, stimuli="set")[1]["stimulus"] == chosen
    main(["inspect", str(tmp_path)])
    assert (
        "a guess (2 values: shown, response); or word (5 values: image0" in capsys.readouterr().out
    )


@pytest.mark.parametrize("runs", [[None], ["1", "2"]])
def test_a_folder_of_bids(runs, tmp_path, inspect, read, capsys):
    """At rest there are no events, and a copy of the first subject is among the derivatives."""
    for subject in ("01", "02", "10"):
        for run in runs:
            write_bids(tmp_path, subject, run=run)
        write_bids(tmp_path, subject, "rest", events=False)
    write_bids(tmp_path / "derivatives/clean", "01")
    text, entry = inspect(tmp_path, stimuli="set")
    run = "_run-{run}" if runs != [None] else ""
    stem = f"sub-{{subject}}/eeg/sub-{{subject}}_task-rsvp{run}"
    assert f"{3 * len(runs) + 3} recordings of MEG or EEG" in text
    assert f"{stem}_eeg.vhdr: {3 * len(runs)}, 3 subjects" in text
    assert entry["template"] == f"{stem}_eeg.vhdr"
    assert entry["events"] == f"{stem}_events.tsv"
    found = read(entry, IDS)
    assert set(found.units["unit"]) == {"01/Fz", "02/Fz", "10/Fz"}
    assert found.responses.shape == (36 * len(runs), 3, 60)
    main(["inspect", str(tmp_path)])
    assert "a guess; or sub-{subject}/eeg/sub-{subject}_task-rest_eeg" in capsys.readouterr().out


def test_subjects_without_events_are_left_out(tmp_path, inspect, read):
    write_bids(tmp_path, "01")
    write_bids(tmp_path, "02", events=False)
    write_bids(tmp_path, "00", events=False)
    text, entry = inspect(tmp_path, stimuli="set")
    assert "Only 1 of 3 have events.tsv; without: sub-00/eeg/sub-00_task-rsvp_eeg.vhdr, " in text
    assert entry["leave_out"] == [{"subject": "00"}, {"subject": "02"}]
    assert set(read(entry, IDS).units["subject"]) == {"01"}


def test_tables_beside_files_of_other_names(tmp_path, inspect, read):
    """Recordings in folders of days, whose tables are called after them; one has none."""
    for place in ("A/day1", "A/day2", "B/day1", "B/day2"):
        (tmp_path / place).mkdir(parents=True)
        meeg.brainvision(tmp_path / place / "eeg.vhdr", recording())
        if place != "A/day1":
            rows = [f"{sample / SFREQ}\t{name}" for sample, name in EVENTS]
            text = "\n".join(["onset\tstimulus", *rows])
            (tmp_path / place / "eeg_events.tsv").write_text(text)
    text, entry = inspect(tmp_path, stimuli="set")
    assert entry["template"] == "{subject}/day{session}/eeg.vhdr"
    assert entry["events"] == "{subject}/day{session}/eeg_events.tsv"
    assert entry["leave_out"] == [{"subject": "A", "session": "1"}]
    found = read(entry, IDS)
    assert set(found.trials["session"]) == {"1", "2"}
    assert set(found.units["subject"]) == {"A", "B"}


def write_epochs(path, his_id=None):
    info = mne.create_info(CHANNELS, SFREQ, "eeg")
    events = np.array([[100 * i, 0, i % 4 + 1] for i in range(8)])
    made = mne.EpochsArray(
        np.random.default_rng(0).normal(size=(8, 3, 60)),
        info,
        events,
        -0.1,
        {name: i + 1 for i, name in enumerate(IDS)},
        metadata=pd.DataFrame({"image_path": [IDS[i % 4] for i in range(8)]}),
        verbose="ERROR",
    )
    made.save(path, verbose="ERROR")


def test_a_folder_with_epochs_of_every_subject(tmp_path, inspect, read):
    """The names are those of THINGS-MEG; 1 and 10 begin alike."""
    for subject in ("P1", "P2", "P10"):
        write_epochs(tmp_path / f"preprocessed_{subject}-epo.fif")
    text, entry = inspect(tmp_path, stimuli="set", stimulus="image_path")
    assert "3 recordings: preprocessed_P1-epo.fif" in text
    assert "image_path: 4 values: image0" in text
    assert entry["template"] == "preprocessed_{subject}-epo.fif"
    assert set(read(entry, IDS).units["subject"]) == {"P1", "P2", "P10"}


def test_a_folder_whose_files_have_nothing_in_common(tmp_path, inspect, read):
    for name in ("anna_1-epo.fif", "session_of_bert-epo.fif"):
        write_epochs(tmp_path / name)
    _, entry = inspect(tmp_path, stimuli="set", stimulus="image_path")
    assert entry["path"] == str(tmp_path / "anna_1-epo.fif")
    found = read(entry, IDS)
    assert set(found.units["subject"]) == {"anna_1-epo.fif", "session_of_bert-epo.fif"}


def test_a_folder_of_one_file(tmp_path, inspect, read):
    write_epochs(tmp_path / "a-epo.fif")
    _, entry = inspect(tmp_path, stimuli="set", stimulus="image_path")
    assert len(read(entry, IDS).responses) == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", [*meeg.CONTINUOUS, "x-epo.fif", "x.set"])
def test_signals_are_not_read(name, tmp_path):
    path = tmp_path / name
    raw = recording(n_samples=80_000, channels=[f"E{i}" for i in range(16)])
    if name in meeg.CONTINUOUS:
        meeg.CONTINUOUS[name](path, raw)
    else:
        events = np.column_stack([np.arange(500, 79_000, 500), np.zeros((157, 2), int)])
        made = mne.Epochs(raw, events, 0, 0, 1.9, baseline=None, preload=True, verbose="ERROR")
        if name == "x.set":
            meeg.eeglab_epochs(path, made)
        else:
            made.save(path, verbose="ERROR")
    describe(path)  # imports take memory
    tracemalloc.start()
    describe(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    signals = path.with_suffix(".eeg") if name.endswith(".vhdr") else path
    signals = path.with_suffix(".fdt") if name == "beside.set" else signals
    blocks = 4_000_000 * name.endswith((".edf", ".bdf"))  # in which MNE looks for annotations
    assert peak < 2 * signals.stat().st_size + blocks


@pytest.mark.parametrize("name", ["eeg.vhdr", "sub-01_task-x_eeg.set"])
def test_a_table_of_events_leads_to_its_recording(name, tmp_path, inspect, read):
    path = tmp_path / name
    meeg.CONTINUOUS[f"eeg{path.suffix}"](path, recording())
    events = tmp_path / f"{path.stem.removesuffix('_eeg')}_events.tsv"
    rows = [f"{sample / SFREQ}\t0.1\t{image}" for sample, image in EVENTS]
    events.write_text("\n".join(["onset\tduration\tstimulus", *rows]))
    text, entry = inspect(events, stimuli="set")
    assert f"These are the events of {name}, beside them; the block reads both." in text
    assert (entry["path"], entry["events"]) == (str(path), str(events))
    assert len(read(entry, IDS).responses) == len(EVENTS)
    path.rename(path.with_stem("other"))
    assert "These are fMRI events" in inspect(events)[0]


def test_a_study_is_started_from_a_folder_of_bids(tmp_path):
    """The templates of events are relative to the folder, not to the study."""
    write_bids(tmp_path / "data", "01")
    assert main(["init", str(tmp_path / "study"), "--recording", str(tmp_path / "data")]) == 0
    content = yaml.safe_load((tmp_path / "study/study.yaml").read_text())
    (entry,) = content["recordings"].values()
    assert entry["path"] == "../data"
    assert entry["events"] == "sub-{subject}/eeg/sub-{subject}_task-rsvp_events.tsv"
