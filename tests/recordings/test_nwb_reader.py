"""NWB files written by pynwb: spike counts and averages of time series, against plain loops."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from itertools import pairwise

import h5py
import numpy as np
import pynwb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pynwb.ophys import Fluorescence, ImageSegmentation, RoiResponseSeries

from repbias.base.spec import RepbiasError
from repbias.io.recordings import Recording
from repbias.recordings.readers.files import plain_columns
from repbias.recordings.readers.nwb import NwbRecording, read
from repbias.recordings.readers.windows import observed, sample_means, spike_counts

# Warnings of pynwb while it writes.
pytestmark = pytest.mark.filterwarnings("ignore:The linked table for DynamicTableRegion")

KNOWN = np.array([f"image{i}" for i in range(6)])
RNG = np.random.default_rng(0)
N_TRIALS = 18
TRIALS = [
    {
        "start_time": 1.0 + 0.7 * i,
        "stop_time": 1.5 + 0.7 * i,
        "picture": f"image{i % 5}",
        "onset": 1.1 + 0.7 * i,
        "correct": bool(i % 2),
    }
    for i in range(N_TRIALS)
]
UNITS = [
    {
        "id": 10 + i,
        "spike_times": RNG.uniform(0, 15, size=60 + 20 * i),
        "electrodes": [[0], [1, 2], [3], [2]][i],
        "quality": ["good", "good", "mua", "good"][i],
        "snr": [1.5, 3.0, 0.5, 2.0][i],
    }
    for i in range(4)
]
LOCATIONS = ["V4", "V4", "IT", "V1"]


def new_file(identifier="s1", subject="monkey", **settings) -> pynwb.NWBFile:
    return pynwb.NWBFile(
        session_description="test",
        identifier=identifier,
        session_start_time=datetime(2020, 1, 1, tzinfo=UTC),
        subject=subject and pynwb.file.Subject(subject_id=subject),
        **settings,
    )


def save(file: pynwb.NWBFile, path):
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


def add_trials(file, trials=TRIALS):
    for name in [name for name in trials[0] if not name.endswith("_time")]:
        file.add_trial_column(name, "of the test")
    for trial in trials:
        file.add_trial(**trial)
    return file


def write_units(path, units=UNITS, trials=TRIALS, **settings):
    """Write a file with trials, electrodes and units."""
    file = add_trials(new_file(**settings), trials)
    device = file.create_device(name="probe")
    group = file.create_electrode_group(name="g", description="", location="", device=device)
    for location in LOCATIONS:
        file.add_electrode(location=location, group=group)
    for name in ("quality", "snr"):
        file.add_unit_column(name, "of the test")
    for unit in units:
        file.add_unit(**unit, electrode_group=group, waveform_mean=np.zeros(3))
    return save(file, path)


@pytest.fixture(scope="module")
def units_file(tmp_path_factory):
    """A file with trials, electrodes and units; tests may only read it."""
    return write_units(tmp_path_factory.mktemp("units") / "a.nwb")


def spec_of(path, **settings):
    settings = {"stimulus": "picture", "from_s": 0.05, "to_s": 0.45} | settings
    return NwbRecording(kind="nwb", path=path, stimuli="set", **settings)


def read_file(path, **settings) -> Recording:
    return read(spec_of(path, **settings), KNOWN)


def assert_equal(found: Recording, expected: Recording):
    np.testing.assert_array_equal(found.responses, expected.responses)
    for part in ("stimuli", "trials", "units"):
        a, b = getattr(found, part), getattr(expected, part)
        assert set(a) == set(b)
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    assert found.info == expected.info


def brute_force(spikes, start, stop):
    return sum(1 for spike in spikes if start <= spike < stop)


# Spike counts.


def test_counts_equal_a_loop_over_spikes(units_file):
    recording = read_file(units_file)
    assert recording.responses.shape == (N_TRIALS, 4)
    assert list(recording.units["unit"]) == [f"monkey/s1/{10 + i}" for i in range(4)]
    assert list(recording.units["subject"]) == ["monkey"] * 4
    assert list(recording.units["region"]) == ["V4", "IT, V4", "V1", "IT"]
    assert list(recording.units["quality"]) == ["good", "good", "mua", "good"]
    assert list(recording.units["snr"]) == [1.5, 3.0, 0.5, 2.0]
    assert set(recording.units) == {"unit", "subject", "region", "quality", "snr"}
    assert recording.info["response_unit"] == "spikes in 0.4 s"
    assert "times_s" not in recording.info
    by_start = {trial["start_time"]: trial for trial in TRIALS}
    for row, start in enumerate(recording.trials["start_time"].tolist()):
        trial = by_start.pop(start)
        assert recording.trials["stimulus_id"][row] == trial["picture"]
        assert recording.trials["correct"][row] == trial["correct"]
        assert recording.trials["session"][row] == "s1"
        for column, unit in enumerate(UNITS):
            expected = brute_force(unit["spike_times"], start + 0.05, start + 0.45)
            assert recording.responses[row, column] == expected
    assert not by_start
    assert recording.responses.sum() > 50


def test_counts_in_bins_equal_numpy_histogram(units_file):
    recording = read_file(units_file, align="onset", from_s=-0.1, to_s=0.3, bin_s=0.1)
    assert recording.responses.shape == (N_TRIALS, 4, 4)
    np.testing.assert_allclose(recording.info["times_s"], [-0.05, 0.05, 0.15, 0.25], atol=1e-15)
    for row, onset in enumerate(recording.trials["onset"]):
        for column, unit in enumerate(UNITS):
            edges = onset + np.linspace(-0.1, 0.3, 5)
            counts, _ = np.histogram(unit["spike_times"], edges)
            np.testing.assert_array_equal(recording.responses[row, column], counts)


SPIKES = st.lists(st.integers(0, 400), max_size=40)


@given(SPIKES, st.lists(st.integers(0, 300), min_size=1, max_size=5), st.integers(1, 4))
def test_spike_counts_equal_a_loop_on_random_trains(spikes, starts, n_bins):
    """Multiples of 1/8 s are exact, so some spikes fall on edges; they must count once."""
    spikes, starts = np.array(spikes) / 8, np.array(starts) / 8
    edges = np.arange(-1, n_bins) / 2
    counts = spike_counts(spikes, starts, edges)
    expected = [[brute_force(spikes, s + a, s + b) for a, b in pairwise(edges)] for s in starts]
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_array_equal(spike_counts(spikes[::-1], starts, edges), counts)
    whole = spike_counts(spikes, starts, edges[[0, -1]])
    np.testing.assert_array_equal(counts.sum(axis=1), whole[:, 0])


def test_the_order_of_trials_units_and_spikes_in_the_file_changes_nothing(units_file, tmp_path):
    plain = read_file(units_file, bin_s=0.2)
    rng = np.random.default_rng(1)
    units = [UNITS[i] | {"spike_times": rng.permutation(UNITS[i]["spike_times"])} for i in range(4)]
    (tmp_path / "other").mkdir()
    shuffled = write_units(
        tmp_path / "other" / "a.nwb",
        [units[i] for i in rng.permutation(4)],
        [TRIALS[i] for i in rng.permutation(N_TRIALS)],
    )
    assert_equal(read_file(shuffled, bin_s=0.2), plain)


def test_units_outside_their_observed_intervals_are_nan_and_not_silent(units_file, tmp_path):
    intervals = [[[0.0, 20.0]], [[4.0, 6.0], [1.0, 3.0]], [[1.05, 1.45]], [[30.0, 40.0]]]
    units = [
        unit | {"obs_intervals": np.array(i)} for unit, i in zip(UNITS, intervals, strict=True)
    ]
    recording = read_file(write_units(tmp_path / "a.nwb", units))
    plain = read_file(units_file)
    for row, start in enumerate(recording.trials["start_time"]):
        for column in range(4):
            # 1 µs, as 1.05 is not exactly 1.0 + 0.05 in floating point
            whole = any(
                a - 1e-6 <= start + 0.05 and start + 0.45 <= b + 1e-6 for a, b in intervals[column]
            )
            expected = plain.responses[row, column] if whole else np.nan
            np.testing.assert_equal(recording.responses[row, column], expected)
    assert np.isfinite(recording.responses).sum(axis=0).tolist() == [18, 5, 1, 0]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 15)), max_size=6),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 8)), min_size=1, max_size=6),
)
def test_observed_windows_equal_a_loop_over_intervals(intervals, windows):
    intervals = np.array([(a, a + n) for a, n in intervals], float).reshape(-1, 2)
    start, length = np.array(windows, float).T
    found = observed(intervals, start, start + length)
    expected = [
        any(a <= s and s + n <= b for a, b in intervals) for s, n in zip(start, length, strict=True)
    ]
    np.testing.assert_array_equal(found, expected)


def test_a_trial_without_a_time_has_no_response(tmp_path, caplog):
    trials = [TRIALS[0] | {"onset": np.nan}, *TRIALS[1:]]
    recording = read_file(write_units(tmp_path / "a.nwb", trials=trials), align="onset")
    assert len(recording.responses) == N_TRIALS - 1
    assert TRIALS[0]["start_time"] not in recording.trials["start_time"]
    assert "1 of 18 trials have no time in the column 'onset'; they are left out" in caplog.text


def test_a_trial_that_the_file_lists_twice_is_refused(tmp_path):
    path = write_units(tmp_path / "a.nwb", trials=[*TRIALS, TRIALS[3]])
    with pytest.raises(RepbiasError, match="table 'trials': rows 3 and 18 have the same time"):
        read_file(path)


def test_where_keeps_units_by_their_columns(units_file):
    every = read_file(units_file).responses
    for where, kept in [
        ({"quality": "good"}, [0, 1, 3]),
        ({"quality": ["good", "mua"], "region": ["V4", "V1"]}, [0, 2]),
        ({"snr": 3}, [1]),
        ({"snr": [0.5, 1.5]}, [0, 2]),
    ]:
        np.testing.assert_array_equal(read_file(units_file, where=where).responses, every[:, kept])


def test_regions_come_from_a_column_or_the_peak_channel(units_file, tmp_path):
    assert list(read_file(units_file, region_column="quality").units["region"])[2] == "mua"
    file = add_trials(new_file())
    device = file.create_device(name="probe")
    group = file.create_electrode_group(name="g", description="", location="", device=device)
    for i, location in enumerate(LOCATIONS):
        file.add_electrode(id=850 + i, location=location, group=group)
    file.add_unit_column("peak_channel_id", "as in the Allen Institute's files")
    for channel in (852, 850):
        file.add_unit(spike_times=[1.2, 3.4], peak_channel_id=channel)
    recording = read_file(save(file, tmp_path / "b.nwb"))
    assert list(recording.units["region"]) == ["IT", "V4"]


def test_files_without_electrodes_or_subject_are_read(tmp_path):
    file = add_trials(new_file(subject=None, session_id="day1"))
    file.add_unit(spike_times=[1.1, 1.2])
    recording = read_file(save(file, tmp_path / "a.nwb"), region="V4")
    assert recording.units["unit"].tolist() == ["subject1/day1/0"]
    assert recording.units["region"].tolist() == ["V4"]
    assert recording.responses.sum() == 2


def test_trials_may_be_any_table_of_intervals_or_events(tmp_path):
    file = new_file()
    shown = pynwb.epoch.TimeIntervals(name="natural_scenes_presentations", description="")
    shown.add_column("stimulus_id", "a number")
    flashes = pynwb.event.EventsTable(name="flashes", description="")
    flashes.add_column("stimulus_id", "a number")
    for i in range(6):
        shown.add_interval(start_time=i + 0.5, stop_time=i + 1.0, stimulus_id=float(i))
        flashes.add_row(timestamp=i + 0.5, stimulus_id=float(i))
    file.add_time_intervals(shown)
    file.add_events_table(flashes)
    file.add_unit(spike_times=[0.6, 1.7, 1.8])
    path = save(file, tmp_path / "a.nwb")
    known = np.array([str(i) for i in range(6)])
    settings = {"stimulus": "stimulus_id", "from_s": 0, "to_s": 0.5}
    intervals = read(spec_of(path, table="natural_scenes_presentations", **settings), known)
    assert intervals.responses[:, 0].tolist() == [1, 2, 0, 0, 0, 0]
    assert intervals.trials["stimulus_id"].tolist() == list(known)
    events = read(spec_of(path, table="flashes", align="timestamp", **settings), known)
    np.testing.assert_array_equal(events.responses, intervals.responses)


def test_the_stimulus_column_may_be_called_stimulus_id_and_be_renamed(tmp_path):
    trials = [{**trial, "stimulus_id": f"old{i % 5}"} for i, trial in enumerate(TRIALS)]
    path = write_units(tmp_path / "a.nwb", trials=trials)
    names = tmp_path / "names.csv"
    names.write_text("\n".join(f"old{i},image{i}" for i in range(5)))
    recording = read_file(path, stimulus="stimulus_id", rename=names)
    assert recording.trials["stimulus_id"].tolist() == recording.trials["picture"].tolist()


def test_the_canonical_file_keeps_everything(units_file, tmp_path):
    recording = read_file(units_file, bin_s=0.1)
    recording.write(tmp_path / "recording.h5")
    assert_equal(Recording.read(tmp_path / "recording.h5"), recording)


# Several files.


@pytest.mark.slow
def test_units_of_another_session_were_not_observed_in_this_one(units_file, tmp_path):
    second = write_units(tmp_path / "b.nwb", UNITS[:2], TRIALS[:7], identifier="s2")
    other = write_units(tmp_path / "c.nwb", UNITS[2:], TRIALS[:5], subject="other")
    together = read_file(units_file, more_files=[second, other])
    assert together.responses.shape == (18 + 7 + 5, 4 + 2 + 2)
    owners = [unit.rsplit("/", 1)[0] for unit in together.units["unit"]]
    for path, owner in [(units_file, "monkey/s1"), (second, "monkey/s2"), (other, "other/s1")]:
        alone = read_file(path)
        columns = [o == owner for o in owners]
        rows = ~np.isnan(together.responses[:, columns]).all(axis=1)
        np.testing.assert_array_equal(together.responses[rows][:, columns], alone.responses)
        assert np.isnan(together.responses[rows][:, np.logical_not(columns)]).all()
        for name, values in alone.trials.items():
            if name != "repeat":
                np.testing.assert_array_equal(together.trials[name][rows], values)
    again = read_file(other, more_files=[second, units_file])
    again.info["file"] = together.info["file"]
    assert_equal(again, together)
    spec = spec_of(units_file, more_files=[second, other])
    assert spec.input_files() == [str(units_file), str(second), str(other)]


def test_columns_that_one_file_lacks_are_blank_there(units_file, tmp_path):
    trials = [{**trial, "block": i, "eye": "left"} for i, trial in enumerate(TRIALS)]
    second = write_units(tmp_path / "b.nwb", trials=trials, identifier="s2")
    recording = read_file(units_file, more_files=[second])
    here = recording.trials["session"] == "s1"
    assert np.isnan(recording.trials["block"][here]).all()
    assert set(recording.trials["eye"][here]) == {""}
    assert set(recording.trials["eye"][~here]) == {"left"}
    assert sorted(recording.trials["block"][~here]) == list(range(N_TRIALS))


def test_a_file_without_the_wanted_units_is_left_out_with_its_trials(units_file, tmp_path, caplog):
    second = write_units(tmp_path / "b.nwb", UNITS[:2], identifier="s2")
    recording = read_file(units_file, more_files=[second], where={"quality": "mua"})
    np.testing.assert_array_equal(
        recording.responses, read_file(units_file, where={"quality": "mua"}).responses
    )
    assert "b.nwb: no unit where" in caplog.text
    with pytest.raises(RepbiasError, match=r"no unit where .*; quality is good"):
        read_file(second, where={"quality": "mua"})


def test_incompatible_files_are_refused(units_file, tmp_path):
    second = write_units(tmp_path / "b.nwb")
    with pytest.raises(RepbiasError, match="both are session 's1' of subject 'monkey'"):
        read_file(units_file, more_files=[second])
    unknown = write_units(tmp_path / "c.nwb", subject=None)
    with pytest.raises(RepbiasError, match=r"c\.nwb: does not name the subject"):
        read_file(units_file, more_files=[unknown])
    told = read_file(units_file, more_files=[unknown], subject=["a", "b"])
    assert set(told.units["subject"]) == {"a", "b"}
    for settings, message in [
        ({"more_files": [units_file]}, "contain a file twice"),
        ({"more_files": [second], "subject": ["a"]}, "1 subjects for 2 files"),
    ]:
        with pytest.raises(ValidationError, match=message):
            spec_of(units_file, **settings)


# Time series.

TIMES = np.arange(150) / 10 + 0.3
FLUORESCENCE = RNG.normal(10, 1, size=(150, 3))


def write_series(path, clock=None, data=FLUORESCENCE, scale=None):
    """Write a file with ROIs in a plane in V1, and a series without a table of units."""
    file = add_trials(new_file())
    device = file.create_device(name="microscope")
    plane = file.create_imaging_plane(
        name="plane",
        optical_channel=pynwb.ophys.OpticalChannel(
            name="channel", description="", emission_lambda=500.0
        ),
        description="",
        device=device,
        excitation_lambda=600.0,
        indicator="GCaMP",
        location="V1",
    )
    masks = ImageSegmentation(name="masks")
    cells = masks.create_plane_segmentation(name="cells", description="", imaging_plane=plane)
    cells.add_column("layer", "of cortex")
    for i in range(5):
        cells.add_roi(image_mask=np.ones((4, 4)), layer=f"L{i}")
    clock = clock or {"rate": 10.0, "starting_time": 0.3}
    ophys = file.create_processing_module(name="ophys", description="")
    ophys.add(masks)
    rois = cells.create_roi_table_region(region=[4, 0, 2], description="not all, not in order")
    series = RoiResponseSeries(
        name="RoiResponseSeries", data=data, rois=rois, unit="lumens", **clock, **scale or {}
    )
    ophys.add(Fluorescence(name="Fluorescence", roi_response_series=series))
    pupil = pynwb.TimeSeries(name="pupil", data=data[:, 0], unit="mm", **clock)
    file.add_acquisition(pupil)
    return save(file, path)


@pytest.fixture(scope="module")
def series_file(tmp_path_factory):
    """A file with time series; tests may only read it."""
    return write_series(tmp_path_factory.mktemp("series") / "a.nwb")


def mean_between(start, stop, data=FLUORESCENCE):
    """Return the plain mean over samples, (unit,)."""
    inside = [row for t, row in zip(TIMES, data, strict=True) if start - 1e-9 <= t < stop - 1e-9]
    return sum(inside) / len(inside)


@pytest.mark.parametrize(
    ("name", "clock"),
    [("ophys/Fluorescence/RoiResponseSeries", "rate"), ("RoiResponseSeries", "timestamps")],
)
def test_averages_of_rois_equal_a_loop_over_samples(name, clock, tmp_path):
    clock = {"timestamps": TIMES} if clock == "timestamps" else None
    path = write_series(tmp_path / "a.nwb", clock)
    window = {"from_s": 0.0, "to_s": 0.4, "bin_s": 0.2}
    recording = read_file(path, data=name, baseline=(-0.3, 0), **window)
    assert recording.units["unit"].tolist() == [f"monkey/s1/{i}" for i in (0, 2, 4)]
    assert recording.units["layer"].tolist() == ["L0", "L2", "L4"]
    assert set(recording.units["region"]) == {"V1"}
    assert recording.info["response_unit"] == "lumens"
    columns = [1, 2, 0]  # the series holds ROIs 4, 0, 2
    for row, start in enumerate(recording.trials["start_time"]):
        rest = mean_between(start - 0.3, start)
        for time in range(2):
            mean = mean_between(start + 0.2 * time, start + 0.2 * (time + 1)) - rest
            np.testing.assert_allclose(
                recording.responses[row, :, time], mean[columns], rtol=1e-9, atol=1e-12
            )


def test_conversion_and_offset_come_before_the_baseline_divides(tmp_path):
    raw = RNG.integers(100, 200, size=(150, 3)).astype(np.int16)
    scale = {"conversion": 0.25, "offset": -5.0}
    path = write_series(tmp_path / "a.nwb", data=raw, scale=scale)
    settings = {"data": "RoiResponseSeries", "from_s": 0.0, "to_s": 0.5}
    recording = read_file(path, baseline=(-0.5, 0), baseline_mode="dff", **settings)
    assert recording.responses.shape == (N_TRIALS, 3)
    assert recording.info["response_unit"] == "ΔF/F"
    real = raw * 0.25 - 5.0
    for row, start in enumerate(recording.trials["start_time"]):
        rest = mean_between(start - 0.5, start, real)
        mean = mean_between(start, start + 0.5, real)
        expected = ((mean - rest) / rest)[[1, 2, 0]]
        np.testing.assert_allclose(recording.responses[row], expected, rtol=1e-9)
    with pynwb.NWBHDF5IO(path, "r") as io:
        series = io.read().processing["ophys"]["Fluorescence"]["RoiResponseSeries"]
        with_pynwb = series.get_data_in_units()
    np.testing.assert_array_equal(with_pynwb, real)
    plain = read_file(path, **settings)
    for row, start in enumerate(plain.trials["start_time"]):
        expected = mean_between(start, start + 0.5, with_pynwb)[[1, 2, 0]]
        np.testing.assert_allclose(plain.responses[row], expected, rtol=1e-12)


def test_electrodes_of_a_series_keep_their_location_and_channel_conversion(tmp_path):
    file = add_trials(new_file())
    device = file.create_device(name="probe")
    group = file.create_electrode_group(name="g", description="", location="", device=device)
    for location in LOCATIONS:
        file.add_electrode(location=location, group=group)
    region = file.create_electrode_table_region(region=[2, 0], description="")
    raw = RNG.integers(-99, 99, size=(150, 2))
    field = pynwb.ecephys.ElectricalSeries(
        name="lfp",
        data=raw,
        electrodes=region,
        rate=10.0,
        starting_time=0.3,
        conversion=0.5,
        channel_conversion=[2.0, 3.0],
    )
    file.add_acquisition(field)
    recording = read_file(save(file, tmp_path / "a.nwb"), data="lfp", from_s=0.0, to_s=0.4)
    assert recording.units["region"].tolist() == ["V4", "IT"]
    for row, start in enumerate(recording.trials["start_time"]):
        expected = mean_between(start, start + 0.4, raw * [1.0, 1.5])[::-1]
        np.testing.assert_allclose(recording.responses[row], expected, rtol=1e-9)


def test_a_trial_that_samples_do_not_cover_is_left_out(tmp_path):
    """Samples range from 0.3 to 15.2 s, with a gap from 4 to 6 s."""
    kept = (TIMES < 4) | (TIMES > 6)
    clock = {"timestamps": TIMES[kept]}
    path = write_series(tmp_path / "a.nwb", clock, FLUORESCENCE[kept])
    recording = read_file(path, data="pupil", from_s=0.0, to_s=0.5)
    starts = np.array([trial["start_time"] for trial in TRIALS])
    whole = [start for start in starts if start + 0.5 <= 4.01 or start >= 5.95]
    assert 0 < len(whole) < N_TRIALS - 1
    np.testing.assert_allclose(np.sort(recording.trials["start_time"]), whole)
    assert recording.units["unit"].tolist() == ["monkey/s1/0"]


def test_no_samples_are_invented_beyond_either_end():
    times, step = np.arange(10) / 10, 0.1
    data = np.arange(10.0)
    covered = [
        np.isfinite(sample_means(data, times, start + np.array([0, 0.3]), step)).all()
        for start in (-0.3, -0.2, 0.0, 0.5, 0.7, 0.9, 5.0, np.nan)
    ]
    assert covered == [False, False, True, True, True, False, False, False]


@given(st.integers(2, 40), st.integers(0, 60), st.integers(1, 4), st.floats(-50, 50))
def test_a_constant_added_to_samples_is_added_to_averages(n, start, n_bins, constant):
    data = np.random.default_rng(n).normal(size=(n, 2))
    times, edges = np.arange(n) / 8, (start + np.arange(n_bins + 1)) / 8
    plain = sample_means(data, times, edges, 0.125)
    shifted = sample_means(data + constant, times, edges, 0.125)
    np.testing.assert_allclose(shifted, plain + constant, atol=1e-12)
    if start + n_bins <= n:
        np.testing.assert_array_equal(plain, data[start : start + n_bins])
    elif start + n_bins > n + 1:
        assert np.isnan(plain).all()


# Invalid files and settings.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"table": "trails"}, r"no table 'trails'; did you mean 'trials'\?"),
        ({"stimulus": "pictures"}, r"stimulus: no column 'pictures'; did you mean 'picture'\?"),
        ({"align": "onsets"}, r"align: no column 'onsets'; did you mean 'onset'\?"),
        ({"align": "picture"}, "align: the column 'picture' does not hold times"),
        ({"data": "Fluorescence"}, "no time series 'Fluorescence'; allowed: nothing"),
        ({"region_column": "area"}, "region_column: no column 'area'; .*electrodes.* quality"),
        ({"region_column": "spike_times"}, "'spike_times' has no single value per row"),
        ({"where": {"qualty": "good"}}, r"no column 'qualty'; did you mean 'quality'\?"),
        ({"where": {"quality": "bad"}}, "no unit where .*; quality is good, mua"),
        ({"where": {"region": "TE"}}, "no unit where .*; region is IT, IT, V4, V1, V4"),
        ({"where": {"snr": "high"}}, "'snr' holds numbers, found 'high'"),
    ],
)
def test_wrong_names_are_refused_with_the_existing_ones(settings, message, units_file):
    with pytest.raises(RepbiasError, match=message) as error:
        read_file(units_file, **settings)
    assert str(units_file) in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": "units"}, "has no units; .*processing/ophys/Fluorescence/RoiResponseSeries"),
        ({"data": "RoiResponse"}, "did you mean|allowed: acquisition/pupil"),
        ({"data": "pupil", "bin_s": 0.05}, "0.05 s is shorter than the 0.1 s between the samples"),
        ({"data": "pupil", "region_column": "area"}, "'pupil' has no table of its units"),
    ],
)
def test_series_that_do_not_fit_are_refused(settings, message, series_file):
    with pytest.raises(RepbiasError, match=message):
        read_file(series_file, **settings)


def test_an_ambiguous_series_name_is_refused(tmp_path):
    file = add_trials(new_file())
    for name in ("left", "right"):
        module = file.create_processing_module(name=name, description="")
        module.add(pynwb.TimeSeries(name="eye", data=FLUORESCENCE, rate=10.0, unit="deg"))
    path = save(file, tmp_path / "a.nwb")
    message = "'eye' is ambiguous: processing/left/eye, processing/right/eye"
    with pytest.raises(RepbiasError, match=message):
        read_file(path, data="eye")
    assert read_file(path, data="left/eye").responses.shape == (N_TRIALS, 3)


def test_times_that_do_not_ascend_are_refused(tmp_path):
    path = write_series(tmp_path / "a.nwb", {"timestamps": TIMES[::-1]})
    with pytest.raises(RepbiasError, match="the times of 'pupil' do not ascend"):
        read_file(path, data="pupil")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"to_s": 0.05}, "from_s must be before to_s"),
        ({"bin_s": 0.15}, "expected a whole number"),
        ({"bin_s": 1}, "expected a whole number"),
        ({"window": (0, 0.1)}, "window needs bin_s"),
        ({"baseline": (-0.1, 0)}, "baseline is for time series"),
        ({"data": "pupil", "baseline": (0, -0.1)}, "baseline must ascend"),
        ({"data": "pupil", "baseline_mode": "dff"}, "dff needs a baseline"),
    ],
)
def test_invalid_settings_are_refused(settings, message, tmp_path):
    path = tmp_path / "a.nwb"
    path.touch()
    with pytest.raises(ValidationError, match=message):
        spec_of(path, **settings)


@pytest.mark.slow
def test_empty_damaged_and_other_files_are_refused(tmp_path):
    whole = write_units(tmp_path / "a.nwb").read_bytes()
    contents = {
        "empty.nwb": b"",
        "text.nwb": b"not NWB",
        **{f"cut{i}.nwb": whole[: len(whole) * i // 5] for i in range(1, 5)},
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(RepbiasError, match=f"{name}: cannot be read as NWB"):
            read_file(path)
    with h5py.File(tmp_path / "other.nwb", "w") as file:
        file["a"] = [1, 2]
    for path in (tmp_path / "other.nwb", tmp_path):
        with pytest.raises(RepbiasError, match="cannot be read as NWB"):
            read_file(path)


@pytest.mark.slow
def test_changed_bytes_give_an_error_or_a_recording(tmp_path):
    whole = write_units(tmp_path / "a.nwb").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.nwb"
    for _ in range(8):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(0, len(damaged), 300)] = rng.integers(0, 256, 300)
        path.write_bytes(damaged.tobytes())
        try:
            assert isinstance(read_file(path), Recording)
        except RepbiasError as error:
            assert "damaged.nwb" in str(error)


def test_a_file_without_trials_or_spikes_is_refused(tmp_path):
    file = new_file()
    file.add_unit(spike_times=[1.0])
    with pytest.raises(RepbiasError, match="no table 'trials'; allowed: nothing"):
        read_file(save(file, tmp_path / "a.nwb"))
    file = add_trials(new_file())
    file.add_unit_column("quality", "")
    file.add_unit(quality="good")
    with pytest.raises(RepbiasError, match=r"no spike_times, but quality"):
        read_file(save(file, tmp_path / "b.nwb"))


def test_missing_pynwb_is_reported_with_its_extra(units_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(RepbiasError, match=r"needs pynwb: pip install 'repbias\[nwb\]'"):
        read_file(units_file)


def test_columns_of_text_numbers_and_nothing_else_are_kept():
    kept = plain_columns(
        {
            "numbers": np.array([1, None, 2.5], dtype=object),
            "flags": [True, False, True],
            "text": np.array(["a", None, b"b"], dtype=object),
            "mixed": np.array(["a", 3, 2.5], dtype=object),
            "days": np.array(["2020-01-01", "NaT", "2020-01-02"], dtype="datetime64[D]"),
            "a/b": [1, 2, 3],
            "objects": np.array([object()] * 3),
            "lists": np.array([[1], [2], [3]]),
            "stimulus_id": ["x", "y", "z"],
        }
    )
    np.testing.assert_array_equal(kept.pop("numbers"), [1, np.nan, 2.5])
    assert {name: values.tolist() for name, values in kept.items()} == {
        "flags": [True, False, True],
        "text": ["a", "", "b"],
        "mixed": ["a", "3", "2.5"],
        "days": ["2020-01-01", "", "2020-01-02"],
        "a_b": [1, 2, 3],
    }


def test_trials_where_keeps_trials_by_their_columns(units_file):
    found = read_file(units_file, trials_where={"correct": True, "picture": ["image1", "image3"]})
    kept = [t for t in TRIALS if t["correct"] and t["picture"] in ("image1", "image3")]
    times = sorted(found.trials["onset"].tolist())
    assert times == [trial["onset"] for trial in kept]
    assert found.info["trials_left_out"] == N_TRIALS - len(kept)
    whole = read_file(units_file)
    rows = np.flatnonzero(np.isin(whole.trials["onset"], times))
    np.testing.assert_array_equal(found.responses, np.asarray(whole.responses)[rows])
