"""Epochs written by MNE-Python are read back, and time bins equal plain loops."""

from __future__ import annotations

import sys

import mne
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.io.recordings import Recording
from repbias.recordings.readers.mne import MneRecording, read

KNOWN = np.array([f"image{i}" for i in range(6)])
N_TRIALS, N_TIMES, SFREQ, TMIN = 12, 60, 100.0, -0.2
TYPES = {"MEG0111": "mag", "MEG0112": "grad", "EEG001": "eeg", "STI014": "stim", "EEG002": "eeg"}
SHOWN = [f"image{i % 5}" for i in range(N_TRIALS)]
# Integers in femtotesla and microvolts survive single precision exactly.
DATA = np.random.default_rng(0).integers(-99, 99, size=(N_TRIALS, 5, N_TIMES)).astype(float)


def write(path, data=DATA, shown=SHOWN, metadata=None, his_id="sub-01", bads=(), order=None):
    """Write epochs whose events are named after the stimuli."""
    order = np.arange(len(data)) if order is None else order
    info = mne.create_info(list(TYPES), SFREQ, list(TYPES.values()))
    if his_id is not None:
        info["subject_info"] = {"his_id": his_id}
    info["bads"] = list(bads)
    codes = {name: i + 1 for i, name in enumerate(sorted(set(shown)))}
    events = [[50 + 100 * i, 0, codes[name]] for i, name in enumerate(shown)]
    epochs = mne.EpochsArray(
        data[order],
        info,
        events=np.array(events)[order],
        tmin=TMIN,
        event_id=codes,
        metadata=None if metadata is None else metadata.iloc[order].reset_index(drop=True),
        verbose="ERROR",
    )
    epochs.save(path, overwrite=True, fmt="double", verbose="ERROR")
    return path


def spec_of(path, **settings):
    return MneRecording(kind="mne", path=path, stimuli="set", **settings)


def read_file(path, **settings) -> Recording:
    return read(spec_of(path, **settings), KNOWN)


def written(recording: Recording):
    """Return the rows of DATA in the order of the recording's trials."""
    samples = np.round(recording.trials["start_time"] * SFREQ).astype(int)
    return (samples - 50) // 100


def test_epochs_are_read_back_with_their_event_names(tmp_path):
    recording = read_file(write(tmp_path / "sub-01_ses-2-epo.fif"), region="scalp")
    rows = written(recording)
    assert sorted(rows) == list(range(N_TRIALS))
    assert recording.trials["stimulus_id"].tolist() == [SHOWN[row] for row in rows]
    names = [unit.removeprefix("01/") for unit in recording.units["unit"]]
    assert sorted(names) == ["EEG001", "EEG002", "MEG0111", "MEG0112"], "no trigger channel"
    columns = [list(TYPES).index(name) for name in names]
    np.testing.assert_array_equal(recording.responses, DATA[rows][:, columns])
    assert recording.units["channel_type"].tolist() == [TYPES[name] for name in names]
    measures = {"mag": "T", "grad": "T/m", "eeg": "V"}
    assert recording.units["unit_of_measure"].tolist() == [measures[TYPES[n]] for n in names]
    assert set(recording.units["subject"]) == {"01"}
    assert set(recording.units["region"]) == {"scalp"}
    assert set(recording.trials["session"]) == {"sub-01_ses-2"}
    np.testing.assert_allclose(recording.info["times_s"], np.arange(60) / 100 - 0.2, atol=1e-12)
    assert recording.info["response_unit"] == "", "tesla and volts are no one unit"
    assert read_file(tmp_path / "sub-01_ses-2-epo.fif", picks="eeg").info["response_unit"] == "V"


def test_the_stimulus_may_be_a_column_of_the_metadata(tmp_path):
    metadata = pd.DataFrame(
        {
            "stimulus_id": [f"image{i % 3}" for i in range(N_TRIALS)],
            "rt": np.linspace(0.3, 0.6, N_TRIALS),
            "answer": ["yes", None] * (N_TRIALS // 2),
            "session": [i // 6 for i in range(N_TRIALS)],
        }
    )
    path = write(tmp_path / "a-epo.fif", metadata=metadata)
    recording = read_file(path, stimulus="stimulus_id")
    rows = written(recording)
    np.testing.assert_allclose(recording.trials["rt"], metadata["rt"].to_numpy()[rows], rtol=1e-9)
    for name in ("stimulus_id", "session"):
        np.testing.assert_array_equal(recording.trials[name], metadata[name].to_numpy()[rows])
    assert recording.trials["answer"].tolist() == [["yes", ""][row % 2] for row in rows]
    by_event = read_file(path)
    assert by_event.trials["stimulus_id"].tolist() == [SHOWN[row] for row in written(by_event)]


@pytest.mark.parametrize(
    ("picks", "names"),
    [
        ("data", ["EEG001", "EEG002", "MEG0111", "MEG0112"]),
        ("eeg", ["EEG001", "EEG002"]),
        ("meg", ["MEG0111", "MEG0112"]),
        (["EEG002", "MEG0111"], ["EEG002", "MEG0111"]),
        (["mag", "eeg"], ["EEG001", "EEG002", "MEG0111"]),
    ],
)
def test_channels_are_picked_and_bad_ones_left_out(picks, names, tmp_path, caplog):
    caplog.set_level("INFO")
    path = write(tmp_path / "a-epo.fif")
    recording = read_file(path, picks=picks)
    assert recording.units["unit"].tolist() == [f"sub-01/{name}" for name in names]
    assert "marked bad" not in caplog.text
    write(path, bads=["EEG002"])
    if "EEG002" in names:
        recording = read_file(path, picks=picks)
        assert recording.units["unit"].tolist() == [f"sub-01/{n}" for n in names if n != "EEG002"]
        assert "1 channels are marked bad and left out: ['EEG002']" in caplog.text


@pytest.mark.parametrize(
    ("bin_s", "first", "n_bins"), [(0.05, -4, 12), (0.03, -6, 19), (0.2, -1, 3)]
)
def test_bins_equal_a_loop_over_samples(bin_s, first, n_bins, tmp_path):
    """Bins are counted from 0 s, and those that the epochs do not fill are left out."""
    recording = read_file(write(tmp_path / "a-epo.fif"), picks="EEG001", bin_s=bin_s)
    assert recording.responses.shape == (N_TRIALS, 1, n_bins)
    rows = written(recording)
    for k in range(n_bins):
        start, stop = (first + k) * bin_s, (first + k + 1) * bin_s
        assert recording.info["times_s"][k] == pytest.approx((start + stop) / 2)
        inside = [i for i in range(N_TIMES) if start - 1e-9 <= (i - 20) / 100 < stop - 1e-9]
        assert len(inside) == round(bin_s * SFREQ)
        expected = DATA[rows][:, 2, inside].mean(axis=1)
        np.testing.assert_allclose(recording.responses[:, 0, k], expected, rtol=1e-12, atol=1e-12)


@given(st.integers(1, 60))
def test_every_sample_is_in_exactly_one_bin(width):
    """Data are sample indices, so every bin averages to its middle."""
    from repbias.recordings.readers.mne.reader import _binned

    spec = MneRecording.model_construct(bin_s=width / SFREQ)
    times = np.arange(-60, 90) / SFREQ
    means, centres = _binned(spec, "a", np.arange(-60.0, 90)[None, None], times, SFREQ)
    np.testing.assert_allclose(means[0, 0], centres * SFREQ - 0.5, atol=1e-9)
    assert means.shape[2] == 60 // width + 90 // width


def test_a_baseline_is_subtracted_only_on_request(tmp_path):
    path = write(tmp_path / "a-epo.fif")
    plain, corrected = read_file(path), read_file(path, baseline=(-0.2, -0.1))
    rest = plain.responses[:, :, :11].mean(axis=2, keepdims=True)  # MNE takes both ends
    np.testing.assert_allclose(
        np.sort(corrected.responses, axis=0), np.sort(plain.responses - rest, axis=0), atol=1e-12
    )
    with pytest.raises(
        RepbiasError, match=r"baseline .* is not within the epochs.* -0.2 to 0.39 s"
    ):
        read_file(path, baseline=(-0.5, 0))


def test_the_order_of_epochs_in_the_file_changes_nothing(tmp_path):
    metadata = pd.DataFrame({"picture": SHOWN, "rt": np.arange(N_TRIALS)})
    plain = read_file(write(tmp_path / "a-epo.fif", metadata=metadata), stimulus="picture")
    order = np.random.default_rng(1).permutation(N_TRIALS)
    write(tmp_path / "a-epo.fif", metadata=metadata, order=order)
    shuffled = read_file(tmp_path / "a-epo.fif", stimulus="picture")
    np.testing.assert_array_equal(shuffled.responses, plain.responses)
    for name, values in plain.trials.items():
        np.testing.assert_array_equal(shuffled.trials[name], values)


def test_units_differ_between_subjects_but_not_between_sessions(tmp_path):
    first = write(tmp_path / "one-epo.fif")
    again = write(tmp_path / "two-epo.fif", DATA[:5] + 1, SHOWN[:5])
    other = write(tmp_path / "three-epo.fif", DATA[:7] + 2, SHOWN[:7], his_id="sub-02")
    recording = read_file(first, more_files=[again, other], picks="eeg")
    assert recording.responses.shape == (12 + 5 + 7, 2 + 2, N_TIMES)
    assert recording.units["subject"].tolist() == ["sub-01"] * 2 + ["sub-02"] * 2
    sessions, rows = recording.trials["session"], written(recording)
    for session, columns, added in [("one", [0, 1], 0), ("two", [0, 1], 1), ("three", [2, 3], 2)]:
        here = sessions == session
        np.testing.assert_array_equal(
            recording.responses[here][:, columns], DATA[rows[here]][:, [2, 4]] + added
        )
        others = [c for c in range(4) if c not in columns]
        assert np.isnan(recording.responses[here][:, others]).all()


def test_the_name_of_a_file_tells_its_subject_where_the_header_does_not_agree(tmp_path, caplog):
    """Laboratories give all files the same id."""
    first = write(tmp_path / "sub-01_raw-epo.fif", his_id="lab")
    second = write(tmp_path / "sub-02_raw-epo.fif", DATA[:7] + 2, SHOWN[:7], his_id="lab")
    recording = read_file(first, more_files=[second], picks="eeg")
    assert recording.units["subject"].tolist() == ["01"] * 2 + ["02"] * 2
    for name in ("01", "02"):
        said = f"sub-{name}_raw-epo.fif: its name says that the subject is '{name}', its header 'l"
        assert said in caplog.text
    caplog.clear()
    read_file(first, subject="lab")
    read_file(write(tmp_path / "sub-01_raw-epo.fif", his_id="sub-1"))
    assert "its header" not in caplog.text


@pytest.mark.parametrize("his_id", [None, "0", "anonymous"])
def test_anonymous_files_need_subject_names(his_id, tmp_path):
    first = write(tmp_path / "a-epo.fif", his_id=his_id)
    second = write(tmp_path / "b-epo.fif", his_id=his_id)
    assert set(read_file(first).units["subject"]) == {"subject1"}
    assert set(read_file(first, subject="s7").units["subject"]) == {"s7"}
    with pytest.raises(RepbiasError, match="does not name the subject; set 'subject'"):
        read_file(first, more_files=[second])
    recording = read_file(first, more_files=[second], subject=["x", "y"])
    assert set(recording.units["subject"]) == {"x", "y"}


def test_the_reader_recognises_the_anonymisation_of_mne(tmp_path):
    path = write(tmp_path / "a-epo.fif", his_id="Jane")
    epochs = mne.read_epochs(path, verbose="ERROR")
    mne.io.anonymize_info(epochs.info, verbose="ERROR")
    epochs.save(path, overwrite=True, verbose="ERROR")
    assert set(read_file(path).units["subject"]) == {"subject1"}


def test_files_with_different_times_are_refused(tmp_path):
    first = write(tmp_path / "a-epo.fif")
    second = write(tmp_path / "b-epo.fif", DATA[:, :, :50], his_id="sub-02")
    with pytest.raises(
        RepbiasError, match=r"b-epo\.fif: its 50 time bins are not the 60 of .*a-epo"
    ):
        read_file(first, more_files=[second])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stimulus": "picture"}, "no metadata; leave 'stimulus' out .*: image0, image1"),
        ({"picks": "egg"}, r"picks: 'egg' matches no channels .* types are .*eeg.* EEG001"),
        ({"picks": ["EEG01"]}, r"did you mean 'EEG001'\?"),
        ({"bin_s": 0.001}, "bin_s 0.001 is shorter than the 0.01 s between samples"),
        ({"bin_s": 2}, "no bin of 2 s fits into the epochs, which go from -0.2 to 0.39 s"),
    ],
)
def test_settings_that_do_not_fit_the_file_are_refused(settings, message, tmp_path):
    path = write(tmp_path / "a-epo.fif")
    with pytest.raises(RepbiasError, match=message) as error:
        read_file(path, **settings)
    assert str(path) in str(error.value)


def test_missing_metadata_and_all_bad_channels_are_refused(tmp_path):
    metadata = pd.DataFrame({"picture": SHOWN})
    path = write(tmp_path / "a-epo.fif", metadata=metadata, bads=["EEG001", "EEG002"])
    with pytest.raises(RepbiasError, match=r"no column 'pictures'; did you mean 'picture'\?"):
        read_file(path, stimulus="pictures")
    with pytest.raises(RepbiasError, match="all 2 channels are marked bad"):
        read_file(path, picks="eeg")
    with pytest.raises(ValidationError, match="baseline must ascend"):
        spec_of(path, baseline=(0, 0))


def test_empty_damaged_and_other_files_are_refused(tmp_path):
    whole = write(tmp_path / "a-epo.fif").read_bytes()
    raw = mne.io.RawArray(DATA[0], mne.create_info(5, SFREQ, "eeg"), verbose="ERROR")
    raw.save(tmp_path / "recording_raw.fif", verbose="ERROR")
    contents = {"empty-epo.fif": b"", "text-epo.fif": b"not epochs"}
    contents |= {f"cut{i}-epo.fif": whole[: len(whole) * i // 5] for i in range(1, 5)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RepbiasError, match=f"{name}: cannot be read as a recording"):
            read_file(tmp_path / name)
    with pytest.raises(RepbiasError, match=r"_raw\.fif: is continuous; set 'from_s' and 'to_s'"):
        read_file(tmp_path / "recording_raw.fif")
    with pytest.raises(ValidationError, match="is a folder; set 'template'"):
        spec_of(tmp_path)


def test_averages_are_refused(tmp_path):
    epochs = mne.read_epochs(write(tmp_path / "a-epo.fif"), verbose="ERROR")
    mne.write_evokeds(tmp_path / "a-ave.fif", epochs.average("all"), verbose="ERROR")
    with pytest.raises(RepbiasError, match=r"holds averages over trials .* expected single trials"):
        read_file(tmp_path / "a-ave.fif")


def test_the_canonical_file_keeps_everything(tmp_path):
    recording = read_file(write(tmp_path / "a-epo.fif"), bin_s=0.1)
    recording.write(tmp_path / "recording.h5")
    again = Recording.read(tmp_path / "recording.h5")
    np.testing.assert_array_equal(again.responses, recording.responses)
    assert again.info == recording.info
    for name, values in recording.units.items():
        np.testing.assert_array_equal(again.units[name], values)


def test_missing_mne_is_reported_with_its_extra(tmp_path, monkeypatch):
    path = write(tmp_path / "a-epo.fif")
    monkeypatch.setitem(sys.modules, "mne", None)
    with pytest.raises(RepbiasError, match=r"needs mne: pip install 'repbias\[mne\]'"):
        read_file(path)


def test_epochs_are_selected_by_their_metadata(tmp_path):
    metadata = pd.DataFrame({"outcome": ["correct", "aborted", "wrong"] * 4})
    path = write(tmp_path / "sub-01-epo.fif", metadata=metadata)
    found = read_file(path, trials_where={"outcome": ["correct", "wrong"]})
    assert sorted(written(found)) == [i for i in range(N_TRIALS) if i % 3 != 1]
    assert found.info["trials_left_out"] == 4
    with pytest.raises(RepbiasError, match="trials_where: no column 'rt'; allowed: outcome"):
        read_file(path, trials_where={"rt": 1})
