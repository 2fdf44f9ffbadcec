"""Continuous recordings, cut into epochs; the reference is MNE's own Epochs of the same file."""

from __future__ import annotations

import meeg
import mne
import numpy as np
import pytest
from meeg import CHANNELS, CONTINUOUS, EVENTS, SFREQ, recording
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.recordings.readers.mne import MneRecording, read

KNOWN = np.array([f"image{i}" for i in range(4)])
WINDOW = {"from_s": -0.1, "to_s": 0.3}
AT = dict(EVENTS)


def read_file(path, known=KNOWN, **settings):
    spec = MneRecording(kind="mne", path=path, stimuli="set", **{**WINDOW, **settings})
    return read(spec, np.array(sorted(known)))


def samples(found) -> np.ndarray:
    """Return the onsets of the trials."""
    return np.round(found.trials["start_time"] * SFREQ).astype(int)


def of_mne(raw, onsets, tmin=-0.1, tmax=0.3, **settings) -> np.ndarray:
    """Return MNE's epochs at the given samples of a recording."""
    onsets = np.asarray(onsets) + raw.first_samp
    events = np.column_stack([np.sort(onsets), np.zeros((len(onsets), 2), int)])
    settings = {"baseline": None, **settings}
    epochs = mne.Epochs(raw, events, 0, tmin, tmax, preload=True, verbose="ERROR", **settings)
    return epochs.get_data()[np.argsort(np.argsort(onsets, kind="stable"))]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "eeg.vhdr"
    meeg.brainvision(path, recording())
    return path


def names_of(name, *names):
    """Return markers as the format names them: BrainVision has types of markers."""
    return [f"Comment/{marker}" if name.endswith(".vhdr") else marker for marker in names]


@pytest.mark.parametrize("name", CONTINUOUS)
def test_every_format_gives_the_epochs_of_mne(name, tmp_path):
    path = tmp_path / name
    CONTINUOUS[name](path, recording())
    found = read_file(path, names_of(name, *KNOWN), baseline=(-0.1, 0))
    assert samples(found).tolist() == sorted(AT, key=lambda s: (AT[s], s))
    expected = names_of(name, *(AT[s] for s in samples(found)))
    assert found.trials["stimulus_id"].tolist() == expected
    assert found.units["unit"].tolist() == ["subject1/Cz", "subject1/Fz", "subject1/Pz"]
    raw = mne.io.read_raw(path, preload=True, verbose="ERROR")
    reference = of_mne(raw, samples(found), baseline=(-0.1, 0))[:, [1, 0, 2]]
    np.testing.assert_array_equal(found.responses, reference)
    assert found.responses.shape == (12, 3, 101), "both ends of the window are included"
    np.testing.assert_allclose(found.info["times_s"], np.arange(-25, 76) / SFREQ, atol=1e-12)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_microvolts_become_volts_and_the_recording_says_so(name, tmp_path):
    raw = recording()
    CONTINUOUS[name](tmp_path / name, raw)
    found = read_file(tmp_path / name, names_of(name, *KNOWN), picks=["Fz"])
    written = raw.get_data()[0]
    expected = [written[s - 25 : s + 76] for s in samples(found)]
    np.testing.assert_allclose(found.responses[:, 0], expected, rtol=1e-6, atol=1e-12)
    assert found.info["response_unit"] == "V"
    assert found.units["unit_of_measure"].tolist() == ["V"]
    with pytest.raises(RepbiasError, match=r"'µV', but MNE returns SI units \(V\); leave it out"):
        read_file(tmp_path / name, names_of(name, *KNOWN), response_unit="µV")


# Markers.


def test_markers_of_brainvision_keep_their_spaces(tmp_path):
    """Stimulus 1 is "S  1" in the file, with two spaces, and "Stimulus/S  1" in MNE."""
    path = tmp_path / "eeg.vhdr"
    codes = [1, 2, 10, 1, 2, 10]
    events = [{"onset": 300 + 200 * i, "description": c} for i, c in enumerate(codes)]
    response = {"onset": 400, "description": 7, "type": "Response"}
    meeg.brainvision(path, recording(), [*events, response])
    ids = ["Stimulus/S  1", "Stimulus/S  2", "Stimulus/S 10"]
    with pytest.raises(RepbiasError, match=r"1 of 4 ids are not in 'set': 'Response/R  7'"):
        read_file(path, ids)
    found = read_file(path, ids, markers=["Stimulus/*"])
    assert found.trials["stimulus_id"].tolist() == sorted(ids * 2)
    with pytest.raises(RepbiasError, match=r"markers: no 'Stimulus/S 1'; did you mean 'Stimulus"):
        read_file(path, ids, markers=["Stimulus/S 1"])
    names = tmp_path / "names.csv"
    names.write_text("".join(f"{name},image{i}\n" for i, name in enumerate(ids)))
    found = read_file(path, markers=["Stimulus/*"], rename=names)
    assert found.trials["stimulus_id"].tolist() == ["image0"] * 2 + ["image1"] * 2 + ["image2"] * 2


def test_slashes_in_names_are_no_hierarchy(tmp_path):
    """MNE would take animal/cat and animal/dog for one condition, animal."""
    raw = recording([(300, "animal/cat"), (500, "animal/dog"), (700, "animal"), (900, "tool/dog")])
    meeg.fif(tmp_path / "eeg_raw.fif", raw)
    ids = ["animal", "animal/cat", "animal/dog", "tool/dog"]
    found = read_file(tmp_path / "eeg_raw.fif", ids)
    assert found.trials["stimulus_id"].tolist() == ids
    assert samples(found).tolist() == [700, 300, 500, 900]
    found = read_file(tmp_path / "eeg_raw.fif", ids, markers=["animal/*"])
    assert found.trials["stimulus_id"].tolist() == ids[1:3]


def test_onsets_count_from_the_first_sample_that_was_kept(tmp_path):
    """After cropping, MNE's samples and annotations still count from the start of acquisition."""
    raw = recording().crop(tmin=1.0)
    meeg.fif(tmp_path / "eeg_raw.fif", raw)
    assert raw.first_samp == 250
    found = read_file(tmp_path / "eeg_raw.fif")
    assert sorted(samples(found)) == [s - 250 for s in sorted(AT)]
    expected = [f"image{i}" for i in range(4) for _ in range(3)]
    assert found.trials["stimulus_id"].tolist() == expected
    reference = of_mne(recording(), samples(found) + 250)[:, [1, 0, 2]]
    np.testing.assert_array_equal(found.responses, reference)
    events = tmp_path / "events.tsv"
    rows = [f"{(s - 250) / SFREQ}\t{name}" for s, name in EVENTS]
    events.write_text("\n".join(["onset\ttrial_type", *rows]))
    by_table = read_file(tmp_path / "eeg_raw.fif", events=str(events))
    np.testing.assert_array_equal(by_table.responses, found.responses)


def test_codes_of_a_trigger_channel(tmp_path):
    raw = recording([], channels=[*CHANNELS, "STI"])
    raw.set_channel_types({"STI": "stim"}, on_unit_change="ignore")
    raw._data[3] = 0
    for sample, code in [(300, 5), (500, 12), (700, 5), (900, 3)]:
        raw._data[3, sample : sample + 4] = code
    raw.crop(tmin=0.4)
    path = tmp_path / "meg_raw.fif"
    meeg.fif(path, raw)
    with pytest.raises(RepbiasError, match=r"no annotations; set 'stim_channel' .*channels: STI\)"):
        read_file(path, ["5", "12"])
    found = read_file(path, ["5", "12"], stim_channel="STI", markers=["5", "12"])
    assert found.trials["stimulus_id"].tolist() == ["12", "5", "5"]
    assert samples(found).tolist() == [400, 200, 600]
    assert "subject1/STI" not in found.units["unit"]
    with pytest.raises(RepbiasError, match=r"stim_channel: no channel 'STI014'"):
        read_file(path, ["5"], stim_channel="STI014")


def test_codes_that_are_held_until_the_next_one(tmp_path):
    raw = recording([], n_samples=4000, channels=[*CHANNELS, "STI"])
    raw.set_channel_types({"STI": "stim"}, on_unit_change="ignore")
    raw._data[3] = 0
    codes, onsets = [1, 3, 2, 4] * 4, [300 + 200 * i for i in range(16)]
    for sample, code in zip(onsets, codes, strict=True):
        raw._data[3, sample:] = code
    raw._data[3, -100:] = 0
    path = tmp_path / "meg_raw.fif"
    meeg.fif(path, raw)
    settings = {"known": list("1234"), "stim_channel": "STI"}
    message = r"16 codes in 'STI', of which 9 follow 0 or a smaller code; set 'stim_decreases'"
    with pytest.raises(RepbiasError, match=message):
        read_file(path, **settings)
    found = read_file(path, **settings, stim_decreases=True)
    seen = zip(samples(found), found.trials["stimulus_id"].tolist(), strict=True)
    assert sorted(seen) == list(zip(onsets, map(str, codes), strict=True))
    found = read_file(path, **settings, stim_decreases=False)
    assert samples(found).tolist() == [300, *onsets[1::4], *onsets[3::4]]
    found = read_file(path, **settings, markers=["4"])
    assert samples(found).tolist() == onsets[3::4], "all 4 follow smaller codes"


def test_two_events_at_one_sample_are_refused(tmp_path):
    raw = recording([(300, "image0"), (500, "image1"), (500, "photodiode")])
    meeg.fif(tmp_path / "eeg_raw.fif", raw)
    with pytest.raises(RepbiasError, match=r"begin at the same sample 500 \(2 s\); choose with"):
        read_file(tmp_path / "eeg_raw.fif", [*KNOWN, "photodiode"])
    assert len(read_file(tmp_path / "eeg_raw.fif", markers=["image*"]).responses) == 2


# Tables of events.


def table(path, columns, rows):
    text = ["\t".join(columns), *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(text))
    return str(path)


def test_a_table_of_bids(path, tmp_path):
    """Responses have no stimulus; the order of rows does not matter; columns are kept."""
    rows = [(s / SFREQ, 0.5, name, i) for i, (s, name) in enumerate(EVENTS)]
    rows += [(2.5, "n/a", "n/a", "n/a"), ("n/a", "n/a", "n/a", "n/a"), ("late", "", "", "")]
    events = table(
        tmp_path / "eeg_events.tsv", ["onset", "duration", "stim_file", "trial"], rows[::-1]
    )
    found = read_file(path, events=events, stimulus="stim_file")
    assert [AT[s] for s in samples(found)] == found.trials["stimulus_id"].tolist()
    assert sorted(samples(found)) == sorted(AT)
    expected = [[s for s, _ in EVENTS].index(s) for s in samples(found)]
    assert found.trials["trial"].tolist() == expected
    reference = of_mne(mne.io.read_raw(path, verbose="ERROR"), samples(found))
    np.testing.assert_array_equal(found.responses, reference[:, [1, 0, 2]])


@pytest.mark.parametrize(
    ("onset", "sample"),
    [
        ("2.3", 575),  # 2.3 * 250 is 574.9999999999999
        ("1.1418", 285),  # 285.45
        ("1.1422", 286),  # 285.55
        ("4.0", 1000),
    ],
)
def test_onsets_are_rounded_to_the_nearest_sample(onset, sample, path, tmp_path):
    events = table(tmp_path / "e.tsv", ["onset", "trial_type"], [(onset, "image0")])
    assert samples(read_file(path, events=events)).tolist() == [sample]


def test_samples_instead_of_seconds_and_other_names_of_columns(path, tmp_path):
    rows = [(s, name) for s, name in EVENTS]
    by_sample = read_file(path, events=table(tmp_path / "s.tsv", ["sample", "stimulus"], rows))
    rows = [(s / SFREQ, name) for s, name in EVENTS]
    events = table(tmp_path / "t.tsv", ["t", "stimulus"], rows)
    by_time = read_file(path, events=events, columns={"onset": "t"})
    np.testing.assert_array_equal(by_sample.responses, by_time.responses)
    assert sorted(samples(by_sample)) == sorted(AT)
    with pytest.raises(RepbiasError, match=r"t\.tsv: no column 'time'"):
        read_file(path, events=events, columns={"onset": "time"})


def test_milliseconds_for_seconds_are_refused(path, tmp_path):
    rows = [(1000 * s / SFREQ, name) for s, name in EVENTS]
    events = table(tmp_path / "e.tsv", ["onset", "stimulus"], rows)
    with pytest.raises(RepbiasError, match=r"12 of 12 onsets are after the end .* 12 s or 3000 sa"):
        read_file(path, events=events)
    events = table(tmp_path / "e.tsv", ["onset", "stimulus"], [("n/a", "image0"), (2, "image1")])
    with pytest.raises(RepbiasError, match=r"line 2: has no onset"):
        read_file(path, events=events)


def test_a_log_without_onsets_follows_the_markers(tmp_path):
    """Markers say when, a log of the experiment says what; both must have as many."""
    path = tmp_path / "eeg.vhdr"
    onsets = [{"onset": s, "description": 1} for s, _ in EVENTS]
    keys = [{"onset": s + 90, "description": 2, "type": "Response"} for s, _ in EVENTS[:5]]
    meeg.brainvision(path, recording(), onsets + keys)
    rows = [(i, name) for i, (_, name) in enumerate(EVENTS)]
    log = table(tmp_path / "log.tsv", ["trial", "stimulus"], rows)
    with pytest.raises(
        RepbiasError,
        match=r"log\.tsv: has 12 rows and no column 'onset' or 'sample', but .*vhdr has 17 "
        r"markers: 'Stimulus/S  1' 12, 'Response/R  2' 5; choose with 'markers'",
    ):
        read_file(path, events=log)
    found = read_file(path, events=log, markers=["Stimulus/S  1"])
    assert [AT[s] for s in samples(found)] == found.trials["stimulus_id"].tolist()
    log = table(tmp_path / "log.tsv", ["trial", "stimulus"], rows[:-1])
    with pytest.raises(RepbiasError, match=r"has 11 rows .* has 12 markers"):
        read_file(path, events=log, markers=["Stimulus/S  1"])
    log = table(tmp_path / "log.tsv", ["onset", "stimulus"], [(2, "image0")])
    with pytest.raises(RepbiasError, match="has onsets; leave 'markers' and 'stim_channel' out"):
        read_file(path, events=log, markers=["Stimulus/S  1"])


# What is left out.


def test_epochs_beyond_the_ends_are_left_out_and_counted(tmp_path, caplog):
    raw = recording([(10, "image0"), (25, "image1"), (2924, "image2"), (2925, "image3")])
    meeg.fif(tmp_path / "eeg_raw.fif", raw)
    found = read_file(tmp_path / "eeg_raw.fif")
    assert samples(found).tolist() == [25, 2924]
    assert "2 of 4 epochs are left out: 2 beyond the ends of the recording" in caplog.text
    with pytest.raises(RepbiasError, match=r"eeg_raw\.fif: no epoch is left"):
        read_file(tmp_path / "eeg_raw.fif", to_s=12)


def test_trials_after_a_recording_that_stopped_early_are_left_out(tmp_path, caplog):
    meeg.fif(tmp_path / "eeg_raw.fif", recording([]))
    end = 3000 / meeg.SFREQ
    rows = [(0.1, "image0"), (1, "image1"), (end - 0.01, "image2"), (end + 5, "image3")]
    log = table(tmp_path / "log.tsv", ["onset", "stimulus"], rows)
    found = read_file(tmp_path / "eeg_raw.fif", events=log)
    assert set(found.trials["stimulus_id"]) <= {"image0", "image1"}
    assert f"1 of 4 epochs begin after its end, at {end:g} s, and are left out" in caplog.text
    with_gap_fif(tmp_path / "gap_raw.fif")
    log = table(tmp_path / "log.tsv", ["onset", "stimulus"], [(600 / meeg.SFREQ, "image0")])
    with pytest.raises(RepbiasError, match=r"gap_raw\.fif: no epoch is left"):
        read_file(tmp_path / "gap_raw.fif", events=log)


def with_gap_eeglab(path):
    """EEGLAB puts a boundary between the samples 599 and 600."""
    events = [{"type": n, "latency": s + 1.0} for s, n in EVENTS]
    events.append({"type": "boundary", "latency": 600.5})
    raw = recording()
    meeg.eeglab_structure(path, raw.get_data(), CHANNELS, meeg.structure(events), 1, 0.0)


def with_gap_brainvision(path):
    meeg.brainvision(path, recording())
    markers = path.with_suffix(".vmrk")
    text = markers.read_text()
    assert "Mk1=New Segment" in text, "MNE takes the first one for the start"
    markers.write_text(f"{text}\nMk14=New Segment,,601,1,0,20240101000003000000\n")


def with_gap_fif(path):
    raw = mne.concatenate_raws(
        [recording().crop(0, 599 / SFREQ), recording().crop(600 / SFREQ, None)], verbose="ERROR"
    )
    meeg.fif(path, raw)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.set", with_gap_eeglab),
        ("a.vhdr", with_gap_brainvision),
        ("a_raw.fif", with_gap_fif),
    ],
)
@pytest.mark.parametrize(
    ("from_s", "to_s", "lost"),
    [(-0.4, 0.396, set()), (-0.4, 0.4, {500}), (-0.404, 0.396, {700}), (-0.404, 0.4, {500, 700})],
)
def test_epochs_across_a_gap_are_left_out(name, write, from_s, to_s, lost, tmp_path, caplog):
    """The gap is before sample 600, 100 samples from two events."""
    write(tmp_path / name)
    found = read_file(tmp_path / name, names_of(name, *KNOWN), from_s=from_s, to_s=to_s)
    assert set(AT) - set(samples(found)) == lost
    said = f"{len(lost)} epochs span a gap and are left out"
    assert (said in caplog.text) == bool(lost)


def test_bad_segments_are_left_out_as_mne_does(tmp_path, caplog):
    durations = [0.0] * 12 + [0.4]
    raw = recording([*EVENTS, (880, "BAD_blink")], durations=durations)
    meeg.fif(tmp_path / "eeg_raw.fif", raw)
    found = read_file(tmp_path / "eeg_raw.fif")
    assert set(AT) - set(samples(found)) == {900}
    assert "1 of 12 epochs are left out: 1 overlap with 'BAD_blink'" in caplog.text


@pytest.mark.parametrize("rate", [512.0, 1024.0])
@pytest.mark.parametrize("baseline", [(-0.1, 0), (0.2, 0.3)])
def test_a_baseline_may_begin_and_end_between_samples(rate, baseline, tmp_path):
    """At 512 Hz, the first sample of epochs from -0.1 s on is at -0.0996 s."""
    rng = np.random.default_rng(0)
    signals = rng.integers(-99, 100, (3, 8000)) * 1e-6
    raw = mne.io.RawArray(signals, mne.create_info(CHANNELS, rate, "eeg"), verbose="ERROR")
    onsets = [1000, 3000, 5000]
    raw.set_annotations(mne.Annotations(np.array(onsets) / rate, 0, ["image0"] * 3))
    meeg.fif(tmp_path / "eeg_raw.fif", raw)
    found = read_file(tmp_path / "eeg_raw.fif", baseline=baseline)
    assert found.info["times_s"][0] > -0.1
    reference = of_mne(raw, onsets, baseline=baseline)[:, [1, 0, 2]]
    np.testing.assert_allclose(found.responses, reference, rtol=0, atol=1e-15)
    for beyond in [(-0.1 - 2 / rate, 0), (0, 0.3 + 2 / rate)]:
        with pytest.raises(RepbiasError, match=r"is not within the epochs"):
            read_file(tmp_path / "eeg_raw.fif", baseline=beyond)


def test_amplitudes_are_rejected_only_on_request(tmp_path, caplog):
    raw = recording()
    raw._data[1, 905] = 500e-6
    meeg.fif(tmp_path / "eeg_raw.fif", raw)
    assert len(read_file(tmp_path / "eeg_raw.fif").responses) == 12
    found = read_file(tmp_path / "eeg_raw.fif", reject_above={"eeg": 250e-6})
    assert set(AT) - set(samples(found)) == {900}
    assert "1 of 12 epochs are left out: 1 exceed reject_above" in caplog.text
    with pytest.raises(RepbiasError, match=r"eeg_raw\.fif: .*(?i:no mag channel)"):
        read_file(tmp_path / "eeg_raw.fif", reject_above={"mag": 1e-12})


def test_a_filter_is_that_of_mne_and_stops_at_gaps(tmp_path):
    with_gap_eeglab(tmp_path / "a.set")
    window = {"from_s": -0.1, "to_s": 0.2}
    found = read_file(tmp_path / "a.set", filter_hz=(1.0, None), **window)
    parts = [recording().crop(0, 599 / SFREQ), recording().crop(600 / SFREQ, None)]
    filtered = [part.filter(1.0, None, verbose="ERROR").get_data() for part in parts]
    whole = mne.io.RawArray(np.concatenate(filtered, axis=1), recording().info, verbose="ERROR")
    reference = of_mne(whole, samples(found), -0.1, 0.2)[:, [1, 0, 2]]
    np.testing.assert_allclose(found.responses, reference, rtol=0, atol=1e-11)
    plain = read_file(tmp_path / "a.set", **window)
    assert not np.allclose(plain.responses, found.responses, rtol=0, atol=1e-7)


def test_bad_channels_are_left_out(tmp_path, caplog):
    caplog.set_level("INFO")
    raw = recording()
    raw.info["bads"] = ["Cz"]
    meeg.fif(tmp_path / "eeg_raw.fif", raw)
    assert read_file(tmp_path / "eeg_raw.fif").units["unit"].tolist() == [
        "subject1/Fz",
        "subject1/Pz",
    ]
    assert "1 channels are marked bad and left out: ['Cz']" in caplog.text


def test_channels_of_bids_have_types_and_may_be_bad(tmp_path):
    """BrainVision and EDF do not say which channels are bad, nor that this one is an eye's."""
    path = tmp_path / "sub-03_task-x_eeg.vhdr"
    meeg.brainvision(path, recording(channels=[*CHANNELS, "EYE"]))
    ids = names_of("a.vhdr", *KNOWN)
    assert len(read_file(path, ids).units["unit"]) == 4
    rows = [("Fz", "EEG", "good"), ("Cz", "EEG", "bad"), ("Pz", "EEG", "n/a"), ("EYE", "VEOG", "")]
    channels = table(tmp_path / "c.tsv", ["name", "type", "status"], rows)
    found = read_file(path, ids, channels=channels)
    assert found.units["unit"].tolist() == ["03/Fz", "03/Pz"], "the subject is in the name"
    channels = table(tmp_path / "c.tsv", ["name", "type"], [("E1", "EEG")])
    with pytest.raises(RepbiasError, match=r"c\.tsv: names no channel of the recording"):
        read_file(path, ids, channels=channels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"from_s": None}, "is continuous; set 'from_s' and 'to_s'"),
        ({"baseline": (-0.5, 0)}, r"baseline \[-0.5, 0.0\] is not within the epochs"),
        ({"stimulus": "picture"}, "markers have no columns; leave 'stimulus' out"),
        ({"picks": ["F3"]}, "picks: .* matches no channels"),
        ({"markers": ["image9"]}, "markers: no 'image9'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message, path):
    with pytest.raises(RepbiasError, match=message) as error:
        read_file(path, names_of("a.vhdr", *KNOWN), **settings)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"from_s": 0.5, "to_s": 0.2}, "from_s 0.5 must be below to_s 0.2"),
        ({"filter_hz": (None, None)}, "filter_hz names no edge"),
        ({"filter_hz": (40, 1)}, "filter_hz must ascend"),
        ({"columns": {"onset": "t"}}, "columns: needs 'events'"),
        ({"events": "none.tsv"}, "events: there is no file none.tsv"),
        ({"template": "*.vhdr"}, "template: needs a folder"),
        ({"stim_decreases": True}, "stim_decreases: needs 'stim_channel'"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(settings, message, path):
    with pytest.raises(ValidationError, match=message):
        read_file(path, **settings)


# What is left out.


def cohort(folder, lacking=()):
    """Write two sessions of two subjects as BIDS has them, some without events."""
    for name in ("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1", "sub-02_ses-2"):
        (folder / name).mkdir(parents=True)
        meeg.brainvision(folder / name / f"{name}_eeg.vhdr", recording())
        if name not in lacking:
            rows = [(s / SFREQ, image, int(i != 2)) for i, (s, image) in enumerate(EVENTS)]
            columns = ["onset", "stimulus", "completed"]
            table(folder / name / f"{name}_events.tsv", columns, rows)
    stem = "sub-{subject}_ses-{session}/sub-{subject}_ses-{session}"
    return {"template": f"{stem}_eeg.vhdr", "events": f"{stem}_events.tsv"}


def test_a_session_without_events_is_named_and_can_be_left_out(tmp_path):
    settings = cohort(tmp_path, lacking=["sub-02_ses-1"])
    remedy = r"leave_out: \[\{subject: '02', session: '1'\}\]"
    with pytest.raises(ValidationError, match=rf"events: there is no file .*; .*{remedy}"):
        read_file(tmp_path, **settings)
    settings["leave_out"] = [{"subject": "sub-02", "session": "01"}]
    spec = MneRecording(kind="mne", path=tmp_path, stimuli="set", **WINDOW, **settings)
    sessions = [(source.where["subject"], source.where["session"]) for source in spec.sources()]
    assert sessions == [("01", "1"), ("01", "2"), ("02", "2")]
    assert spec.left_out() == [tmp_path / "sub-02_ses-1/sub-02_ses-1_eeg.vhdr"]
    assert not any("sub-02_ses-1" in file for file in spec.input_files())
    with pytest.raises(ValidationError, match=r"leave_out: .*no file of session '3'; allowed: 1"):
        read_file(tmp_path, **settings | {"leave_out": [{"session": 3}]})
    with pytest.raises(ValidationError, match="leave_out: expected values of the placeholders"):
        read_file(tmp_path, **settings | {"leave_out": ["sub-02_ses-1/*"]})


def test_files_of_more_files_are_left_out_by_path(path, tmp_path):
    for name in ("b", "c"):
        meeg.brainvision(tmp_path / f"{name}.vhdr", recording())
    settings = {"more_files": [str(tmp_path / "*.vhdr")], "leave_out": [str(tmp_path / "b*")]}
    spec = MneRecording(kind="mne", path=path, stimuli="set", **settings)
    assert spec.files() == [path, tmp_path / "c.vhdr"]
    assert spec.left_out() == [tmp_path / "b.vhdr"]


def test_trials_are_selected_by_columns_of_a_table(path, tmp_path):
    rows = [(s / SFREQ, name, i % 3) for i, (s, name) in enumerate(EVENTS)]
    aborted = [("n/a", "image0", 5), (rows[1][0], "image3", 5)]  # without onset, or at the same one
    columns = ["onset", "stimulus", "block"]
    pressed = (0.5, "n/a", 5)  # a button: no trial
    events = table(tmp_path / "all.tsv", columns, [*rows, *aborted, pressed])
    found = read_file(path, events=events, trials_where={"block": [0, 1]})
    kept = [row for row in rows if row[2] in (0, 1)]
    expected = read_file(path, events=table(tmp_path / "kept.tsv", columns, kept))
    np.testing.assert_array_equal(found.responses, expected.responses)
    assert found.trials["block"].tolist() == expected.trials["block"].tolist()
    assert found.info["trials_left_out"] == len(rows) + 2 - len(kept)
    assert "trials_left_out" not in expected.info
    # A log without onsets belongs to the markers in their order, also where rows are left out.
    log = table(tmp_path / "log.tsv", columns[1:], [row[1:] for row in rows])
    in_order = read_file(path, events=log, trials_where={"block": [0, 1]})
    np.testing.assert_array_equal(in_order.responses, expected.responses)
    with pytest.raises(RepbiasError, match=r"trials_where: no trial where .*7.0}; block is 0"):
        read_file(path, events=events, trials_where={"block": 7})
    with pytest.raises(RepbiasError, match="trials_where: markers have no columns; set 'events'"):
        read_file(path, trials_where={"block": 7})
