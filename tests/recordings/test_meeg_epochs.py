"""Epochs of EEGLAB, epochs with a table, and recordings of many files."""

from __future__ import annotations

import meeg
import mne
import numpy as np
import pandas as pd
import pytest
import scipy.io
from meeg import CHANNELS, SFREQ, recording, structure
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.io.blocks import Blocks
from repbias.recordings.readers.mne import MneRecording, read

KNOWN = np.array([f"image{i}" for i in range(4)])
SHOWN = [f"image{i % 4}" for i in range(9)]
TMIN, N_TIMES = -0.1, 60


def read_file(path, known=KNOWN, **settings):
    spec = MneRecording(kind="mne", path=path, stimuli="set", **settings)
    return read(spec, np.array(sorted(known)))


def epochs(shown=SHOWN, metadata=None, seed=0, reject=None):
    """Return epochs in whole microvolts, named after stimuli."""
    info = mne.create_info(CHANNELS, SFREQ, "eeg")
    data = np.random.default_rng(seed).integers(-99, 100, (len(shown), 3, N_TIMES)) * 1e-6
    codes = {name: i + 1 for i, name in enumerate(sorted(set(shown)))}
    events = [[100 * i + 50, 0, codes[name]] for i, name in enumerate(shown)]
    return mne.EpochsArray(
        data,
        info,
        np.array(events),
        TMIN,
        event_id=codes,
        metadata=metadata,
        reject=reject,
        verbose="ERROR",
    )


def assert_rows(found, data, rows, channels=(1, 0, 2)):
    np.testing.assert_array_equal(found.responses, data[rows][:, list(channels)])


def rows_of(found) -> list[int]:
    """Return the epochs of the trials of an EEGLAB file, whose epochs follow one another."""
    return np.round(found.trials["start_time"] * SFREQ / N_TIMES).astype(int).tolist()


# EEGLAB.


@pytest.mark.parametrize("fmt", ["v5", "v7.3"])
def test_epochs_of_eeglab_are_those_that_mne_reads(fmt, tmp_path):
    from eeglabio.utils import export_mne_epochs

    path = tmp_path / "sub-01_task-x_eeg.set"
    export_mne_epochs(epochs(), path, fmt=fmt)
    found = read_file(path)
    reference = mne.read_epochs_eeglab(path, verbose="ERROR")
    rows = rows_of(found)
    assert sorted(rows) == list(range(9))
    assert [SHOWN[i] for i in rows] == found.trials["stimulus_id"].tolist()
    assert_rows(found, reference.get_data(), rows)
    np.testing.assert_allclose(found.responses, epochs().get_data()[rows][:, [1, 0, 2]], rtol=1e-6)
    assert found.info["response_unit"] == "V"
    np.testing.assert_array_equal(found.info["times_s"], reference.times)
    assert set(found.units["subject"]) == {"01"}


def write_events(path, events, n_epochs=9, seed=0):
    """Write epochs with an .fdt beside them and given events: (epoch, seconds, type, ...)."""
    data = epochs(seed=seed).get_data()[:n_epochs].transpose(1, 2, 0)
    rows = [
        {"type": kind, "latency": e * N_TIMES + (s - TMIN) * SFREQ + 1, "epoch": e + 1.0} | more
        for e, s, kind, more in events
    ]
    meeg.eeglab_structure(path, data, CHANNELS, structure(rows), n_epochs, TMIN)


def test_the_event_of_an_epoch_is_the_one_at_0_s(tmp_path):
    """MNE itself would call these epochs image0/key and fix/image1."""
    path = tmp_path / "a.set"
    events = [(e, 0.0, SHOWN[e], {}) for e in range(9)]
    events += [(0, 0.08, "key", {}), (1, -0.08, "fix", {})]
    write_events(path, sorted(events, key=lambda x: x[:2]))
    found = read_file(path)
    assert [SHOWN[i] for i in rows_of(found)] == found.trials["stimulus_id"].tolist()
    assert_rows(found, mne.read_epochs_eeglab(path, verbose="ERROR").get_data(), rows_of(found))
    write_events(path, [*events, (2, 0.0, "photo", {})])
    with pytest.raises(RepbiasError, match=r"epoch 3 has several events at 0 s: image2, photo; ch"):
        read_file(path)
    assert len(read_file(path, markers=["image*"]).responses) == 9
    write_events(path, events[1:])
    with pytest.raises(RepbiasError, match=r"epoch 1 has no event at 0 s"):
        read_file(path)
    found = read_file(path, markers=["image1", "image2"])
    assert rows_of(found) == [1, 5, 2, 6]


def test_the_stimulus_may_be_a_field_of_the_events(tmp_path):
    """A numeric type says that it is a picture, another field which; [] is no value."""
    path = tmp_path / "a.set"
    empty = np.zeros((0, 0))
    events = [(e, 0.0, 7.0, {"pic": SHOWN[e], "rt": 0.5 + e if e else empty}) for e in range(9)]
    write_events(path, events)
    with pytest.raises(RepbiasError, match="1 of 1 ids are not in 'set': '7'"):
        read_file(path)
    found = read_file(path, stimulus="pic")
    assert [SHOWN[i] for i in rows_of(found)] == found.trials["stimulus_id"].tolist()
    expected = [0.5 + i if i else np.nan for i in rows_of(found)]
    np.testing.assert_array_equal(found.trials["rt"], expected)
    with pytest.raises(RepbiasError, match=r"stimulus: no field 'picture'; did you mean 'pic'\?"):
        read_file(path, stimulus="picture")


def test_other_matlab_files_are_refused(tmp_path):
    path = tmp_path / "a.set"
    scipy.io.savemat(path, {"x": np.zeros(3)}, appendmat=False)
    with pytest.raises(RepbiasError, match=r"a\.set: .*without the fields srate"):
        read_file(path)
    scipy.io.savemat(path, {"ALLEEG": {"srate": 1.0}}, appendmat=False)
    with pytest.raises(RepbiasError, match="holds several data sets"):
        read_file(path)


# Epochs with a table, dropped epochs, parts of epochs.


def dropped(path):
    """Write epochs of which MNE drops two, for their amplitude; return those that remain."""
    raw = recording([(300 + 200 * i, "x") for i in range(9)])
    for row in (2, 5):
        raw._data[0, 300 + 200 * row] = 900e-6
    events, codes = mne.events_from_annotations(raw, verbose="ERROR")
    made = mne.Epochs(
        raw,
        events,
        codes,
        TMIN,
        0.136,
        baseline=None,
        reject={"eeg": 500e-6},
        preload=True,
        verbose="ERROR",
    )
    made.save(path, fmt="double", verbose="ERROR")
    return made


@pytest.mark.parametrize("complete", [True, False])
def test_a_table_follows_the_epochs_or_those_before_dropping(complete, tmp_path, caplog):
    caplog.set_level("INFO")
    made = dropped(tmp_path / "a-epo.fif")
    kept = [0, 1, 3, 4, 6, 7, 8]
    shown = SHOWN if complete else [SHOWN[i] for i in kept]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["stimulus,answer", *(f"{name},{i}" for i, name in enumerate(shown))]))
    found = read_file(tmp_path / "a-epo.fif", events=str(log))
    samples = np.round(found.trials["start_time"] * SFREQ).astype(int)
    rows = ((samples - 300) // 200).tolist()
    assert sorted(rows) == kept
    assert [SHOWN[i] for i in rows] == found.trials["stimulus_id"].tolist()
    assert_rows(found, made.get_data(), [kept.index(i) for i in rows])
    expected = rows if complete else [kept.index(i) for i in rows]
    assert found.trials["answer"].tolist() == expected
    assert "2 epochs had been dropped before it was saved" in caplog.text


def test_a_table_of_another_length_is_refused(tmp_path):
    dropped(tmp_path / "a-epo.fif")
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["stimulus", *SHOWN[:8]]))
    with pytest.raises(
        RepbiasError, match=r"log\.csv: 8 rows for the 7 epochs of .* \(2 more were dropped"
    ):
        read_file(tmp_path / "a-epo.fif", events=str(log))


def test_slashes_in_the_names_of_events_are_no_hierarchy(tmp_path):
    shown = ["animal/cat", "animal/dog", "tool", "animal/cat"]
    epochs(shown).save(tmp_path / "a-epo.fif", verbose="ERROR")
    found = read_file(tmp_path / "a-epo.fif", set(shown))
    assert found.trials["stimulus_id"].tolist() == sorted(shown)
    found = read_file(tmp_path / "a-epo.fif", set(shown), markers=["animal/*"])
    assert found.trials["stimulus_id"].tolist() == sorted(shown)[:3]


def test_markers_choose_among_epochs_whose_stimulus_is_in_the_metadata(tmp_path):
    kinds = ["picture", "catch"] * 4 + ["picture"]
    metadata = pd.DataFrame({"picture": SHOWN})
    epochs(kinds, metadata).save(tmp_path / "a-epo.fif", fmt="double", verbose="ERROR")
    found = read_file(tmp_path / "a-epo.fif", stimulus="picture", markers=["picture"])
    assert found.trials["stimulus_id"].tolist() == ["image0"] * 3 + ["image2"] * 2
    rows = ((np.round(found.trials["start_time"] * SFREQ) - 50) // 100).astype(int)
    assert_rows(found, epochs(kinds).get_data(), rows)


def test_a_part_of_the_epochs_after_the_baseline(tmp_path):
    epochs().save(tmp_path / "a-epo.fif", fmt="double", verbose="ERROR")
    found = read_file(tmp_path / "a-epo.fif", from_s=0.0, to_s=0.1, baseline=(-0.1, 0))
    reference = epochs().apply_baseline((-0.1, 0), verbose="ERROR").crop(0, 0.1).get_data()
    rows = ((np.round(found.trials["start_time"] * SFREQ) - 50) // 100).astype(int)
    assert_rows(found, reference, rows)
    assert len(found.info["times_s"]) == 26, "both ends are included, as in MNE"


@pytest.mark.parametrize(
    "settings", [{"stim_channel": "STI"}, {"filter_hz": (1, None)}, {"stim_channel": "STI"}]
)
def test_settings_of_continuous_recordings_are_refused(settings, tmp_path):
    epochs().save(tmp_path / "a-epo.fif", verbose="ERROR")
    with pytest.raises(RepbiasError, match=f"{next(iter(settings))}: for continuous recordings"):
        read_file(tmp_path / "a-epo.fif", **settings)


# Many files.


def bids(folder, subjects=("01", "02"), runs=("1", "2")):
    """Write a folder of BIDS, with events and channels beside the recordings."""
    for i, subject in enumerate(subjects):
        for j, run in enumerate(runs):
            stem = folder / f"sub-{subject}/eeg/sub-{subject}_task-x_run-{run}"
            stem.parent.mkdir(parents=True, exist_ok=True)
            meeg.brainvision(stem.with_name(f"{stem.name}_eeg.vhdr"), recording(seed=10 * i + j))
            onsets = [f"{s / SFREQ}\t{name}" for s, name in meeg.EVENTS]
            stem.with_name(f"{stem.name}_events.tsv").write_text(
                "\n".join(["onset\ttrial_type", *onsets])
            )
            status = [f"{name}\tEEG\tgood" for name in CHANNELS]
            stem.with_name(f"{stem.name}_channels.tsv").write_text(
                "\n".join(["name\ttype\tstatus", *status])
            )


STEM = "sub-{subject}/eeg/sub-{subject}_task-x_run-{run}"
TEMPLATES = {
    "template": f"{STEM}_eeg.vhdr",
    "events": f"{STEM}_events.tsv",
    "channels": f"{STEM}_channels.tsv",
}


def test_a_template_finds_subjects_and_runs(tmp_path):
    bids(tmp_path)
    window = {"from_s": -0.1, "to_s": 0.3}
    found = read_file(tmp_path, **TEMPLATES, **window)
    assert set(found.units["subject"]) == {"01", "02"}
    assert isinstance(found.responses, Blocks)
    assert found.responses.shape == (2 * 2 * 12, 2 * 3, 101)
    assert set(found.trials["run"].tolist()) == {"1", "2"}
    for subject in ("01", "02"):
        for run in ("1", "2"):
            stem = tmp_path / STEM.format(subject=subject, run=run)
            single = read_file(
                stem.with_name(f"{stem.name}_eeg.vhdr"),
                events=str(stem.with_name(f"{stem.name}_events.tsv")),
                **window,
            )
            columns = found.units["subject"] == subject
            observed = ~np.isnan(found.responses[:, columns]).all(axis=(1, 2))
            rows = observed & (found.trials["run"] == run)
            np.testing.assert_array_equal(found.responses[rows][:, columns], single.responses)
    spec = MneRecording(kind="mne", path=tmp_path, stimuli="set", **TEMPLATES)
    endings = sorted(path.rpartition("_")[2] for path in spec.input_files())
    every = ["channels.tsv", "eeg.eeg", "eeg.vhdr", "eeg.vmrk", "events.tsv"]
    assert endings == sorted(every * 4), "a change of any of them reruns"


def many_logs(folder, columns, rows) -> dict:
    """Write two runs of two subjects and one log of all; return the settings that read them."""
    for subject in ("01", "02"):
        for run in ("1", "2"):
            meeg.fif(folder / f"sub-{subject}_run-{run}_raw.fif", recording())
    lines = [",".join(["subject", "run", *columns]), *(",".join(map(str, row)) for row in rows)]
    (folder / "log.csv").write_text("\n".join(lines))
    template = "sub-{subject}_run-{run}_raw.fif"
    return {"path": folder, "template": template, "from_s": -0.1, "to_s": 0.3, "events": "log.csv"}


def seen(found) -> set:
    """Return subject, run, stimulus and onset in samples of every trial."""
    data = np.asarray(found.responses)[:, :, 0]
    of = [set(found.units["subject"][~np.isnan(row)]).pop() for row in data]
    samples = np.round(found.trials["start_time"] * SFREQ).astype(int).tolist()
    stimuli = found.trials["stimulus_id"].tolist()
    return set(zip(of, found.trials["run"].tolist(), stimuli, samples, strict=True))


EVERY = [(s, r) for s in ("01", "02") for r in ("1", "2")]


@pytest.mark.parametrize("write", [str, "sub-{:0>2}".format])
def test_a_table_of_all_files_gives_each_its_own_rows(write, tmp_path):
    at = {(s, r): 500 * int(s) + 100 * int(r) for s, r in EVERY}
    rows = [(write(int(s)), f"0{r}", at[s, r] / SFREQ, f"image{r}") for s, r in EVERY]
    rows.append((write(1), "n/a", "n/a", "n/a"))
    settings = many_logs(tmp_path, ["onset", "stimulus"], rows)
    found = read_file(**settings)
    assert len(found.responses) == 4
    assert seen(found) == {(s, r, f"image{r}", at[s, r]) for s, r in EVERY}
    many_logs(tmp_path, ["onset", "stimulus"], [row for row in rows if row[0] == write(1)])
    with pytest.raises(RepbiasError, match=r"log\.csv: no row of subject '02', of .*sub-02_run-1"):
        read_file(**settings)
    many_logs(tmp_path, ["onset", "stimulus"], rows)
    with pytest.raises(RepbiasError, match=r"log\.csv: no column 'person'"):
        read_file(**settings, columns={"subject": "person"})


@pytest.mark.parametrize("kind", ["raw", "epo"])
def test_a_log_of_all_files_without_onsets_follows_the_markers_of_each(kind, tmp_path):
    names = {(s, r): [f"image{(int(s) + int(r) + i) % 4}" for i in range(12)] for s, r in EVERY}
    rows = [(s, r, name) for s, r in EVERY for name in names[s, r]]
    settings = many_logs(tmp_path, ["stimulus"], rows)
    if kind == "epo":
        for path in tmp_path.glob("*_raw.fif"):
            made = epochs([name for _, name in meeg.EVENTS])
            made.save(path.with_name(path.name.replace("_raw", "-epo")), verbose="ERROR")
        settings = {n: settings[n] for n in ("path", "events")}
        settings["template"] = "sub-{subject}_run-{run}-epo.fif"
    at = [50 + 100 * i if kind == "epo" else sample for i, (sample, _) in enumerate(meeg.EVENTS)]
    expected = {(s, r, n, t) for s, r in EVERY for n, t in zip(names[s, r], at, strict=True)}
    assert seen(read_file(**settings)) == expected


def test_a_table_of_several_runs_or_subjects_is_refused_for_a_file_that_names_none(tmp_path):
    rows = [("01", r, 4 + 0.5 * int(r), "image1") for r in ("1", "2")]
    settings = many_logs(tmp_path, ["onset", "stimulus"], rows)
    one = settings | {"path": tmp_path / "sub-01_run-1_raw.fif", "template": None}
    one["events"] = str(tmp_path / "log.csv")
    message = (
        r"log\.csv: column 'run' names several, '1', '2', and .*raw\.fif does not tell its run"
    )
    with pytest.raises(RepbiasError, match=message):
        read_file(**one)
    assert len(read_file(**one, columns={"run": None}).responses) == 2, "all are of this file"
    many_logs(tmp_path, ["stimulus"], [(s, "1", "image1") for s in ("01", "02") for _ in range(6)])
    with pytest.raises(RepbiasError, match=r"log\.csv: column 'subject' names several, '01', '02'"):
        read_file(**one)


def test_the_session_is_of_the_template(tmp_path):
    for session in ("a", "b"):
        path = tmp_path / f"P1_{session}-epo.fif"
        epochs(seed=ord(session)).save(path, verbose="ERROR")
    found = read_file(tmp_path, template="{subject}_{session}-epo.fif")
    assert set(found.units["subject"]) == {"P1"}
    assert found.trials["session"].tolist() == (["a"] * 3 + ["b"] * 3) + (["a"] * 2 + ["b"] * 2) * 3


def test_files_of_sessions_may_have_the_same_name(tmp_path):
    for session in ("1", "2"):
        folder = tmp_path / f"P1/ses{session}"
        folder.mkdir(parents=True)
        epochs(seed=int(session)).save(folder / "data-epo.fif", fmt="double", verbose="ERROR")
    found = read_file(tmp_path, template="{subject}/ses{session}/data-epo.fif")
    assert set(found.units["subject"]) == {"P1"}
    for session in ("1", "2"):
        rows = found.trials["session"] == session
        samples = np.round(found.trials["start_time"][rows] * SFREQ).astype(int)
        written = epochs(seed=int(session)).get_data()[(samples - 50) // 100][:, [1, 0, 2]]
        np.testing.assert_array_equal(found.responses[rows], written)


def test_signals_beside_eeglab_files_are_watched(tmp_path):
    meeg.eeglab_fdt(tmp_path / "a.set", recording())
    spec = MneRecording(kind="mne", path=tmp_path / "a.set", stimuli="set")
    assert spec.input_files() == [str(tmp_path / "a.fdt"), str(tmp_path / "a.set")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"template": "*.fif"}, r"no file in .* matches '\*\.fif'"),
        ({"template": "/data/{subject}.fif"}, r"template: '/data/.*' is absolute; expected it rel"),
        ({"template": "sub-{person}/*"}, r"unknown placeholder \{person\}; expected \{subject\}"),
        ({"template": "sub-{subject}/eeg/*.vhdr"}, "have the same placeholders"),
        (TEMPLATES | {"events": "sub-{session}.tsv"}, r"events: \{session\} is not in 'template'"),
        (TEMPLATES | {"events": "sub-{subject}.tsv"}, r"events: there is no file .*sub-01\.tsv"),
        (TEMPLATES | {"subject": "x"}, "names the subjects"),
        ({}, "is a folder; set 'template'"),
    ],
)
def test_templates_that_do_not_fit_are_refused(settings, message, tmp_path):
    bids(tmp_path, subjects=("01",))
    with pytest.raises(ValidationError, match=message):
        MneRecording(kind="mne", path=tmp_path, stimuli="set", **settings)


def test_files_that_only_a_placeholder_with_an_underscore_would_match_are_named(tmp_path, caplog):
    for name in ("P01", "P02", "P03_b"):
        meeg.eeglab(tmp_path / f"{name}.set", recording())
    found = read_file(tmp_path, template="{subject}.set", from_s=-0.1, to_s=0.3)
    assert set(found.units["subject"]) == {"P01", "P02"}
    (said,) = [record.getMessage() for record in caplog.records if "left out" in record.message]
    assert f"template: 1 files in {tmp_path} do not match '{{subject}}.set'" in said
    assert said.endswith(": P03_b.set")


def test_tables_are_for_one_file_or_a_template(tmp_path):
    bids(tmp_path)
    first, second = sorted(tmp_path.rglob("sub-01*.vhdr"))
    events = str(first.with_name(first.name.replace("_eeg.vhdr", "_events.tsv")))
    with pytest.raises(ValidationError, match="use 'template', not more_files"):
        MneRecording(kind="mne", path=first, stimuli="s", more_files=[second], events=events)
    with pytest.raises(ValidationError, match="'template' finds the files"):
        MneRecording(kind="mne", path=tmp_path, stimuli="s", more_files=[second], **TEMPLATES)
