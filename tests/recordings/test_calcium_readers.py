"""suite2p's folders and CaImAn's files: averages, against plain loops over frames.

Neither program is small enough to install for a test. The folders follow suite2p's description of
its outputs (suite2p.readthedocs.io, "Outputs"), the files CaImAn's ``save_dict_to_hdf5``: arrays
under ``estimates``, and the text NoneType for None.
"""

from __future__ import annotations

import logging
from pathlib import Path

import h5py
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter, maximum_filter1d, minimum_filter1d

from repbias.base.spec import RepbiasError
from repbias.recordings.readers import caiman, suite2p
from repbias.recordings.readers.caiman import CaimanRecording
from repbias.recordings.readers.suite2p import Suite2pRecording

KNOWN = np.array([f"image{i}" for i in range(4)])
RNG = np.random.default_rng(0)
N_ROIS, N_FRAMES, RATE = 6, 200, 10.0
F = RNG.normal(200, 20, (N_ROIS, N_FRAMES)).astype(np.float32)
FNEU = RNG.normal(100, 5, (N_ROIS, N_FRAMES)).astype(np.float32)
SPKS = RNG.exponential(1, (N_ROIS, N_FRAMES)).astype(np.float32)
ISCELL = np.column_stack([[1, 0, 1, 1, 0, 1], RNG.random(N_ROIS)])
CELLS = [0, 2, 3, 5]
STARTS = 1.03 + 1.5 * np.arange(12)
SHOWN = [f"image{i % 4}" for i in range(12)]
TIMES = np.arange(N_FRAMES) / RATE


def write_plane(folder: Path, n_frames: int = N_FRAMES, shift: float = 0.0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in {"F": F + np.float32(shift), "Fneu": FNEU, "spks": SPKS}.items():
        np.save(folder / f"{name}.npy", values[:, :n_frames])
    np.save(folder / "iscell.npy", ISCELL)
    # Pickles, as suite2p writes them.
    np.save(folder / "ops.npy", {"fs": RATE}, allow_pickle=True)
    np.save(folder / "stat.npy", np.array([{"npix": 9}] * N_ROIS), allow_pickle=True)
    return folder


def write_trials(path: Path, starts=STARTS, shown=SHOWN, **more) -> Path:
    columns = {"stim": shown, "onset": starts} | more
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join(",".join(map(str, row)) for row in [tuple(columns), *rows]))
    return path


def write_caiman(path: Path, **changes) -> Path:
    """Write the file; None is saved as CaImAn does."""
    content = {
        "C": F.astype(float),
        "S": SPKS.astype(float),
        "F_dff": F / 100.0,
        "idx_components": np.array(CELLS),
        "idx_components_bad": np.array([1, 4]),
        "SNR_comp": np.arange(6) / 2,
        "YrA": None,
        "A": {"data": np.ones(3), "indices": np.arange(3), "shape": np.array([9, 6])},
    } | changes
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            if value is None:
                file[f"estimates/{name}"] = "NoneType"
            elif isinstance(value, dict):
                for key, array in value.items():
                    file[f"estimates/{name}/{key}"] = array
            elif value is not ...:
                file[f"estimates/{name}"] = value
        file["params/data/fr"] = RATE
        file["dims"] = np.array([3, 3])
    return path


SETTINGS = {"stimuli": "set", "stimulus": "stim", "align": "onset", "frame_rate": RATE}
WINDOW = {"from_s": 0.0, "to_s": 0.6}


def suite2p_spec(path, trials, **settings) -> Suite2pRecording:
    settings = SETTINGS | WINDOW | {"signal": "f"} | settings
    return Suite2pRecording(kind="suite2p", path=path, trials=trials, **settings)


def caiman_spec(path, trials, **settings) -> CaimanRecording:
    settings = SETTINGS | WINDOW | {"signal": "dff"} | settings
    return CaimanRecording(kind="caiman", path=path, trials=trials, **settings)


def mean_between(traces, start, stop, times=TIMES):
    """Return the plain mean over frames, (cell,)."""
    inside = [trace for t, trace in zip(times, traces.T, strict=True) if start <= t < stop]
    return sum(inside) / len(inside)


def dff(f, window):
    """Return ΔF/F with the baseline as suite2p's ``dcnv.preprocess`` computes it (maximin)."""
    low = gaussian_filter(f, [0.0, 10.0])
    low = minimum_filter1d(low, window)
    low = maximum_filter1d(low, window)
    return (f - low) / low


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_plane(tmp_path / "monday" / "suite2p" / "plane0").parent


@pytest.fixture
def trials(tmp_path) -> Path:
    return write_trials(tmp_path / "trials.csv")


# suite2p


@pytest.mark.parametrize("signal", ["f", "dff", "spks"])
def test_averages_equal_a_loop_over_frames(signal, folder, trials):
    corrected = F.astype(float) - 0.7 * FNEU.astype(float)
    traces = {"f": corrected, "dff": dff(corrected, 600), "spks": SPKS.astype(float)}[signal]
    recording = suite2p.read(suite2p_spec(folder, trials, signal=signal), KNOWN)
    assert recording.units["unit"].tolist() == [f"subject1/monday/plane0/{i}" for i in CELLS]
    np.testing.assert_array_equal(recording.units["cell_probability"], ISCELL[CELLS, 1])
    assert len(recording.responses) == 12
    for row, start in enumerate(recording.trials["start_time"]):
        assert recording.trials["stimulus_id"][row] == SHOWN[STARTS.tolist().index(start)]
        expected = mean_between(traces[CELLS], start, start + 0.6)
        np.testing.assert_allclose(recording.responses[row], expected, rtol=1e-12)


def test_bins_and_a_baseline_before_the_stimulus(folder, trials):
    settings = {"from_s": 0.0, "to_s": 0.6, "bin_s": 0.3, "baseline": (-0.5, 0.0)}
    corrected = F.astype(float) - 0.5 * FNEU.astype(float)
    for mode in ("subtract", "dff"):
        spec = suite2p_spec(folder, trials, baseline_mode=mode, neuropil=0.5, **settings)
        recording = suite2p.read(spec, KNOWN)
        assert recording.info["response_unit"] == ("ΔF/F" if mode == "dff" else "fluorescence")
        np.testing.assert_allclose(recording.info["times_s"], [0.15, 0.45])
        for row, start in enumerate(recording.trials["start_time"]):
            rest = mean_between(corrected[CELLS], start - 0.5, start)
            for time in range(2):
                at = start + 0.3 * time
                expected = mean_between(corrected[CELLS], at, at + 0.3) - rest
                expected = expected / rest if mode == "dff" else expected
                np.testing.assert_allclose(recording.responses[row, :, time], expected, rtol=1e-9)


def test_the_baseline_follows_the_frame_rate_and_its_window(folder, trials):
    corrected = F.astype(float) - 0.7 * FNEU.astype(float)
    spec = suite2p_spec(folder, trials, signal="dff", baseline_window_s=2.55)
    recording = suite2p.read(spec, KNOWN)
    start = recording.trials["start_time"][5]
    expected = mean_between(dff(corrected, 25)[CELLS], start, start + 0.6)
    np.testing.assert_allclose(recording.responses[5], expected, rtol=1e-12)


def test_planes_are_joined_and_a_plane_can_be_read_alone(folder, trials, tmp_path):
    write_plane(folder / "plane2", shift=1.0)
    write_plane(folder / "plane10", n_frames=N_FRAMES - 1, shift=2.0)  # the scan stopped before
    write_plane(folder / "combined")
    every = suite2p.read(suite2p_spec(folder, trials), KNOWN)
    planes = dict.fromkeys(every.units["plane"].tolist())
    assert set(planes) == {"plane0", "plane2", "plane10"}
    times = tmp_path / "times.txt"
    times.write_text("\n".join(map(str, TIMES)))
    dff_settings = {"signal": "dff", "frame_rate": None, "frame_times": times}
    assert (
        suite2p.read(suite2p_spec(folder, trials, **dff_settings), KNOWN).responses.shape[1] == 12
    )
    for name in planes:
        alone = suite2p.read(suite2p_spec(folder / name, trials), KNOWN)
        here = every.units["plane"] == name
        assert every.units["unit"][here].tolist() == alone.units["unit"].tolist()
        np.testing.assert_array_equal(every.responses[:, here], alone.responses)
    some = suite2p.read(suite2p_spec(folder, trials, where={"plane": "plane2"}), KNOWN)
    assert set(some.units["plane"]) == {"plane2"}
    files = suite2p_spec(folder, trials).input_files()
    assert str(folder / "plane10" / "Fneu.npy") in files
    assert not any("combined" in file or "ops" in file for file in files)


def test_frame_times_of_a_file_and_frames_from_a_start(folder, tmp_path):
    late = write_trials(tmp_path / "late.csv", STARTS + 7)
    from_start = suite2p.read(suite2p_spec(folder, late, start_s=7.0), KNOWN)
    expected = suite2p.read(suite2p_spec(folder, write_trials(tmp_path / "t.csv")), KNOWN)
    np.testing.assert_allclose(from_start.responses, expected.responses, rtol=1e-12)
    times = TIMES + 7 + RNG.uniform(0, 0.02, N_FRAMES)
    np.save(tmp_path / "times.npy", times)
    (tmp_path / "times.txt").write_text("\n".join(map(str, times)))
    corrected = F.astype(float) - 0.7 * FNEU.astype(float)
    for name in ("times.npy", "times.txt"):
        settings = {"frame_rate": None, "frame_times": tmp_path / name}
        spec = suite2p_spec(folder, late, **settings)
        recording = suite2p.read(spec, KNOWN)
        for row, start in enumerate(recording.trials["start_time"]):
            mean = mean_between(corrected[CELLS], start, start + 0.6, times)
            np.testing.assert_allclose(recording.responses[row], mean, rtol=1e-12)
        assert str(tmp_path / name) in spec.input_files()


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.arange(N_FRAMES + 2) / RATE, "has 202 times for 200 frames"),
        (TIMES[::-1], "the times of frames do not ascend"),
        (np.where(np.arange(N_FRAMES) == 9, np.nan, TIMES), "do not ascend"),
        (np.array(["a"] * N_FRAMES), "expected times in seconds, found <U1"),
    ],
)
def test_frame_times_that_do_not_fit_are_refused(times, message, folder, trials, tmp_path):
    np.save(tmp_path / "times.npy", times)
    settings = {"frame_rate": None, "frame_times": tmp_path / "times.npy"}
    with pytest.raises(RepbiasError, match=message):
        suite2p.read(suite2p_spec(folder, trials, **settings), KNOWN)


def test_trials_outside_of_the_frames_have_no_responses(folder, tmp_path, caplog):
    starts = np.array([-0.3, *STARTS[1:-1], 19.5])
    trials = write_trials(tmp_path / "t.csv", starts)
    recording = suite2p.read(suite2p_spec(folder, trials), KNOWN)
    assert sorted(recording.trials["start_time"]) == pytest.approx(starts[1:-1])
    assert "2 of 12 trials are not within the recording, which goes from 0 to 20 s" in caplog.text
    frames = write_trials(tmp_path / "frames.csv", (STARTS * RATE).round())
    with pytest.raises(RepbiasError, match="expected seconds on the clock of the recording"):
        suite2p.read(suite2p_spec(folder, frames), KNOWN)


def test_trials_in_frames_without_a_signal_are_counted(folder, trials, caplog):
    spikes = np.load(folder / "plane0/spks.npy")
    spikes[:, (N_FRAMES // 2) :] = np.nan
    np.save(folder / "plane0/spks.npy", spikes)
    recording = suite2p.read(suite2p_spec(folder, trials, signal="spks"), KNOWN)
    n = len(recording.trials["stimulus_id"])
    assert 0 < n < 12
    assert f"{12 - n} of 12 trials are NaN in all units, and left out" in caplog.text


def test_cells_without_a_positive_baseline_have_no_dff(folder, trials, caplog):
    plane = folder / "plane0"
    dim = F.copy()
    dim[2] -= 150
    np.save(plane / "F.npy", dim)
    recording = suite2p.read(suite2p_spec(folder, trials, signal="dff"), KNOWN)
    assert np.isnan(recording.responses[:, 1]).all()
    assert np.isfinite(recording.responses[:, [0, 2, 3]]).all()
    assert "plane0: 1 cells have no ΔF/F" in caplog.text
    assert "plane0/2" in caplog.text
    raw = suite2p.read(suite2p_spec(folder, trials, signal="dff", neuropil=0), KNOWN)
    assert np.isfinite(raw.responses).all()


def test_sessions_are_joined(folder, trials, tmp_path):
    second = write_plane(tmp_path / "tuesday" / "suite2p" / "plane0", shift=3.0).parent
    more = write_trials(tmp_path / "more.csv", STARTS[:8], SHOWN[:8])
    settings = {"more_files": [second], "subject": "mouse1", "frame_rate": [RATE, RATE]}
    recording = suite2p.read(suite2p_spec(folder, [trials, more], **settings), KNOWN)
    assert recording.responses.shape == (20, 8)
    here = recording.trials["session"] == "monday"
    alone = suite2p.read(suite2p_spec(folder, trials), KNOWN)
    np.testing.assert_array_equal(recording.responses[here, :4], alone.responses)
    assert np.isnan(recording.responses[here, 4:]).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Fneu.npy", None, "expected a folder of suite2p with Fneu.npy"),
        ("iscell.npy", None, "expected a folder of suite2p with iscell.npy"),
        ("Fneu.npy", FNEU[:, :-1], "arrays of different shapes: .*200.*199"),
        ("iscell.npy", ISCELL[:-1], "expected a row for each of 6 ROIs"),
        ("F.npy", F[0], r"expected numbers \(roi, frame\), found float32 of shape \(200,\)"),
        ("F.npy", F.astype(str), r"expected numbers \(roi, frame\)"),
        ("iscell.npy", ISCELL * 0, "has no units"),
    ],
)
def test_folders_that_are_not_as_suite2p_writes_them_are_refused(
    name, content, message, folder, trials
):
    (folder / "plane0" / name).unlink()
    if content is not None:
        np.save(folder / "plane0" / name, content)
    with pytest.raises(RepbiasError, match=message):
        suite2p.read(suite2p_spec(folder, trials), KNOWN)


def test_pickles_are_never_loaded(folder, trials):
    np.save(folder / "plane0" / "F.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(RepbiasError, match=r"F\.npy: objects in it are a pickle"):
        suite2p.read(suite2p_spec(folder, trials), KNOWN)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frame_rate": None}, "give frame_rate .*or frame_times"),
        ({"frame_times": "trials.csv"}, "give frame_rate .*or frame_times"),
        ({"frame_rate": [1.0, 2.0]}, "frame_rate has 2 values for 1 files"),
        ({"signal": "dff", "baseline": (-1, 0), "baseline_mode": "dff"}, "needs 'signal: f'"),
        ({"signal": "spks", "neuropil": 0.5}, "neuropil: not for 'signal: spks'"),
        ({"signal": "f", "baseline_window_s": 30}, "baseline_window_s: not for 'signal: f'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message, folder, trials, monkeypatch):
    monkeypatch.chdir(trials.parent)
    with pytest.raises(ValidationError, match=message):
        suite2p_spec(folder, trials, **settings)


# CaImAn


@pytest.mark.parametrize(
    ("signal", "traces"),
    [("dff", F / 100.0), ("c", F), ("s", SPKS)],
)
def test_averages_of_accepted_components_equal_a_loop(signal, traces, trials, tmp_path):
    path = write_caiman(tmp_path / "session7.hdf5")
    recording = caiman.read(caiman_spec(path, trials, signal=signal), KNOWN)
    assert recording.units["unit"].tolist() == [f"subject1/session7/{i}" for i in CELLS]
    assert recording.units["SNR_comp"].tolist() == [0, 1, 1.5, 2.5]
    for row, start in enumerate(recording.trials["start_time"]):
        expected = mean_between(traces[CELLS].astype(float), start, start + 0.6)
        np.testing.assert_allclose(recording.responses[row], expected, rtol=1e-12)


@pytest.mark.parametrize("components", [None, ...])
def test_without_an_evaluation_all_components_are_cells(components, trials, tmp_path, caplog):
    """None (saved as a text), or absent."""
    path = write_caiman(tmp_path / "a.hdf5", idx_components=components)
    recording = caiman.read(caiman_spec(path, trials, signal="c"), KNOWN)
    assert recording.responses.shape == (12, 6)
    assert "has no estimates/idx_components: all 6 components" in caplog.text


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"F_dff": None}, {}, "no estimates/F_dff; call detrend_df_f before save; it has c, s"),
        ({"F_dff": ...}, {}, "no estimates/F_dff; call detrend_df_f before save; it has c, s"),
        ({"S": None}, {"signal": "s"}, "no estimates/S; it has dff, c"),
        ({"idx_components": np.array([2, 6])}, {}, "from 2 to 6, expected indices of 6 components"),
        ({"idx_components": np.array([0.5])}, {}, "expected indices of 6 components"),
        ({"idx_components": np.zeros(0)}, {}, "has no units"),
        ({"F_dff": np.zeros(5)}, {}, r"shape \(5,\) and type float64, expected numbers"),
    ],
)
def test_files_that_lack_the_signal_are_refused(changes, settings, message, trials, tmp_path):
    path = write_caiman(tmp_path / "a.hdf5", **changes)
    with pytest.raises(RepbiasError, match=message) as error:
        caiman.read(caiman_spec(path, trials, **settings), KNOWN)
    assert "a.hdf5" in str(error.value)


def test_a_file_of_another_program_is_refused(trials, tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["x"] = np.zeros((3, 3))
    with pytest.raises(RepbiasError, match="there is no 'estimates'"):
        caiman.read(caiman_spec(tmp_path / "a.hdf5", trials), KNOWN)


def test_traces_are_read_in_blocks(folder, trials, monkeypatch, caplog):
    whole = suite2p.read(suite2p_spec(folder, trials, signal="dff"), KNOWN)
    monkeypatch.setattr("repbias.recordings.readers.calcium.BLOCK", 3)
    with caplog.at_level(logging.WARNING):
        blocks = suite2p.read(suite2p_spec(folder, trials, signal="dff"), KNOWN)
    np.testing.assert_array_equal(blocks.responses, whole.responses)
