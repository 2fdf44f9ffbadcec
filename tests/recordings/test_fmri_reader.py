"""Functional MRI: NIfTI files are read back exactly, and categories are decoded in real data."""

from __future__ import annotations

import dataclasses
import sys
from itertools import combinations

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.signal
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.svm import SVC

from repbias.base.spec import RepbiasError
from repbias.io.recordings import Recording
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.fmri import FmriRecording, read
from repbias.recordings.readers.fmri.bold import prepare_run

KNOWN = np.array([f"image{i}" for i in range(9)])
AFFINE = np.array([[2.0, 0, 0, -10], [0, 2, 0, -20], [0, 0, 2.5, 5], [0, 0, 0, 1]])
SHAPE = (3, 11, 2)
CATEGORIES = ["bottle", "cat", "chair", "face", "house", "scissors", "scrambledpix", "shoe"]


def nifti(path, data, affine=AFFINE, tr=2.0, unit="sec"):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.asarray(data), affine)
    if image.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr))
        image.header.set_xyzt_units("mm", unit)
    nibabel.save(image, path)
    return path


def table(path, frame):
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, sep="," if path.suffix == ".csv" else "\t", index=False, na_rep="n/a")
    return str(path)


def read_spec(known=KNOWN, **settings):
    spec = FmriRecording(kind="fmri", stimuli="set", **settings)
    assert spec.input_files()
    return read(spec, known)


def assert_same(a: Recording, b: Recording, info=True):
    for part in dataclasses.fields(Recording):
        left, right = getattr(a, part.name), getattr(b, part.name)
        if isinstance(left, dict) and part.name != "info":
            assert left.keys() == right.keys()
            for key in left:
                np.testing.assert_array_equal(left[key], right[key])
        elif isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
        elif info:
            assert left == right


# Estimates per trial.


def betas(n=12, seed=0):
    rng = np.random.default_rng(seed)
    events = pd.DataFrame(
        {
            "stimulus": [f"image{i % 5}" for i in range(n)],
            "run": np.arange(n) // 4 + 9,  # "10" sorts before "9" as text
            "session": [f"day {i // 8}" for i in range(n)],
        }
    )
    return rng.normal(size=(*SHAPE, n)), events


def trial_rows(recording):
    keys = zip(
        *(recording.trials[name].tolist() for name in ("stimulus_id", "session", "run")),
        strict=True,
    )
    return dict(zip(keys, recording.responses, strict=True))


@pytest.mark.parametrize("name", ["betas.nii", "betas.nii.gz", "BETAS.NII.GZ"])
def test_every_voxel_of_every_trial_is_read_back_exactly(name, tmp_path):
    data, events = betas()
    path = nifti(tmp_path / name.lower(), data).rename(tmp_path / name)
    recording = read_spec(
        path=path, content="betas", events=table(tmp_path / "events.csv", events), subject="s1"
    )
    assert recording.responses.shape == (12, 66)
    found = trial_rows(recording)
    voxels = np.stack([recording.units[axis] for axis in "xyz"], axis=1)
    assert sorted(map(tuple, voxels)) == list(np.ndindex(SHAPE))
    for i, row in events.iterrows():
        written = data[..., i][tuple(voxels.T)]
        np.testing.assert_array_equal(found[row.stimulus, row.session, row.run], written)
    name_of = {tuple(v): u for v, u in zip(voxels.tolist(), recording.units["unit"], strict=True)}
    assert name_of[2, 10, 1] == "s1/2-10-1"
    assert name_of[0, 3, 0] == "s1/0-03-0"
    assert set(recording.units["subject"]) == {"s1"}
    assert recording.info["modality"] == "fMRI"
    # Runs are numbers: 9 comes before 10.
    of_image0 = recording.trials["stimulus_id"] == "image0"
    assert recording.trials["run"][of_image0].tolist() == [9, 10, 11]
    recording.write(tmp_path / "recording.h5")
    assert_same(Recording.read(tmp_path / "recording.h5"), recording)


def test_the_order_of_volumes_does_not_matter(tmp_path):
    data, events = betas()

    def result(order):
        nifti(tmp_path / "betas.nii", data[..., order])
        return read_spec(
            path=tmp_path / "betas.nii",
            content="betas",
            events=table(tmp_path / "events.tsv", events.iloc[order]),
        )

    first = result(np.arange(12))
    for seed in range(5):
        assert_same(result(np.random.default_rng(seed).permutation(12)), first)


def test_scaled_integers_are_read_as_nibabel_does(tmp_path):
    data, events = betas()
    image = nibabel.Nifti1Image(data, AFFINE)
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "betas.nii.gz")
    recording = read_spec(
        path=tmp_path / "betas.nii.gz",
        content="betas",
        events=table(tmp_path / "events.csv", events),
    )
    stored = nibabel.load(tmp_path / "betas.nii.gz").get_fdata()
    assert sorted(recording.responses.ravel()) == sorted(stored.ravel())


def test_the_mask_chooses_voxels_and_labels_name_regions(tmp_path):
    data, events = betas()
    labels = np.zeros(SHAPE, np.int16)
    labels[0], labels[1] = 1, 7
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 2:5] = 1
    (tmp_path / "names.tsv").write_text("index\tname\n1\tV1\n7\tleft LOC\n9\tIT\n")
    settings = {
        "path": nifti(tmp_path / "betas.nii.gz", data),
        "content": "betas",
        "events": table(tmp_path / "events.csv", events),
        "regions": str(nifti(tmp_path / "labels.nii.gz", labels)),
        "region_names": tmp_path / "names.tsv",
    }
    recording = read_spec(**settings)
    named = {0: "V1", 1: "left LOC"}
    assert len(recording.units["x"]) == 2 * 11 * 2, "voxels without a region are left out"
    assert [named[x] for x in recording.units["x"]] == recording.units["region"].tolist()
    both = read_spec(**settings, mask=str(nifti(tmp_path / "mask.nii", mask)), region="brain")
    assert len(both.units["x"]) == 3 * 3 * 2
    named[2] = "brain"
    assert [named[x] for x in both.units["x"]] == both.units["region"].tolist()
    assert set(both.units["y"]) == {2, 3, 4}
    (tmp_path / "names.txt").write_text("1 V1\n7 left LOC\n")
    assert_same(read_spec(**settings | {"region_names": tmp_path / "names.txt"}), recording)
    (tmp_path / "names.csv").write_text("1,V1\n7,left LOC\n")
    assert_same(read_spec(**settings | {"region_names": tmp_path / "names.csv"}), recording)
    del settings["region_names"]
    assert set(read_spec(**settings).units["region"]) == {"1", "7"}


def test_voxels_outside_the_brain_are_left_out_and_constant_ones_are_kept(tmp_path):
    data, events = betas()
    data[0] = np.nan
    data[1, 0, 0, 3] = np.nan
    data[2] = 5
    recording = read_spec(
        path=nifti(tmp_path / "betas.nii.gz", data),
        content="betas",
        events=table(tmp_path / "events.csv", events),
    )
    assert set(recording.units["x"]) == {1, 2}
    assert np.isnan(recording.responses).sum() == 1
    assert (recording.responses[:, recording.units["x"] == 2] == 5).all()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".mat"])
@pytest.mark.parametrize("axes", [["trial", "unit"], ["unit", "trial"]])
def test_betas_may_be_an_array(axes, suffix, tmp_path):
    rng = np.random.default_rng(3)
    values, (_, events) = rng.normal(size=(12, 4)), betas()
    array = values if axes[0] == "trial" else values.T
    path = tmp_path / f"betas{suffix}"
    if suffix == ".npy":
        np.save(path, array)
    elif suffix == ".npz":
        np.savez(path, betas=array, other=0)
    elif suffix == ".mat":
        scipy.io.savemat(path, {"betas": array, "other": 0})
    else:
        with h5py.File(path, "w") as file:
            file["betas"], file["other"] = array, 0
    (tmp_path / "regions.txt").write_text("V1\nV1\nV2\nV2\n")
    recording = read_spec(
        path=path,
        content="betas",
        axes=axes,
        events=table(tmp_path / "events.csv", events),
        regions=str(tmp_path / "regions.txt"),
        **({} if suffix == ".npy" else {"variable": "betas"}),
    )
    assert recording.units["region"].tolist() == ["V1", "V1", "V2", "V2"]
    assert recording.units["unit"].tolist() == [f"subject1/{i}" for i in range(1, 5)]
    found = trial_rows(recording)
    for i, row in events.iterrows():
        np.testing.assert_array_equal(found[row.stimulus, row.session, row.run], values[i])


def test_scans_are_found_by_a_template_and_joined_by_its_placeholders(tmp_path, caplog):
    """Voxels of one subject were not observed in the trials of another."""
    data = {}
    for subject in ("01", "02"):
        for run in ("1", "10", "2"):
            seed = int(subject + run)
            data[subject, int(run)], events = betas(4, seed)
            stem = tmp_path / f"sub-{subject}" / "func"
            nifti(stem / f"sub-{subject}_task-x_run-{run}_betas.nii.gz", data[subject, int(run)])
            table(stem / f"run-{run}_events.tsv", events[["stimulus"]])
        mask = np.zeros(SHAPE)
        mask[:, 0, 0] = 1
        nifti(tmp_path / f"sub-{subject}" / "mask.nii", mask)
    (tmp_path / "sub-01" / "func" / "notes.txt").write_text("not a scan")
    nifti(tmp_path / "sub-02/func/sub-02_task-x_run-3_b_betas.nii.gz", betas(4)[0])
    spec = FmriRecording(
        kind="fmri",
        stimuli="set",
        path=tmp_path,
        content="betas",
        images="sub-{subject}/func/sub-{subject}_*_run-{run}_betas.nii.gz",
        events="sub-{subject}/func/run-{run}_events.tsv",
        mask="sub-{subject}/mask.nii",
    )
    assert len(spec.input_files()) == 6 + 6 + 2
    recording = read(spec, KNOWN)
    assert "images: 1 files in " in caplog.text
    assert "left out" in caplog.text
    assert ": sub-02/func/sub-02_task-x_run-3_b_betas.nii.gz" in caplog.text
    assert recording.responses.shape == (2 * 3 * 4, 2 * 3)
    of = recording.units["subject"]
    seen = set()
    for stimulus, run, row in zip(
        recording.trials["stimulus_id"],
        recording.trials["run"],
        recording.responses,
        strict=True,
    ):
        (subject,) = set(of[~np.isnan(row)])
        written = data[subject, run][:, 0, 0, int(stimulus[-1])]
        np.testing.assert_array_equal(row[of == subject], written)
        seen.add((subject, stimulus, run))
    assert len(seen) == 24


# The BOLD signal.


def bold(n_volumes=30, n_voxels=(2, 2, 1), seed=0):
    return 1000 + np.random.default_rng(seed).normal(size=(*n_voxels, n_volumes)).cumsum(axis=3)


RAW = {"detrend": False, "zscore_runs": False}


@pytest.mark.parametrize(
    ("tr", "unit", "given"),
    [(2.0, "sec", None), (2000.0, "msec", None), (2e6, "usec", None), (7.0, "unknown", 2.0)],
)
def test_a_response_is_the_mean_of_the_volumes_of_its_event(tr, unit, given, tmp_path):
    """Volume k starts at 2k seconds."""
    data = bold()
    events = pd.DataFrame(
        {
            "onset": [0.0, 12.0, 27.0, 44.0],
            "duration": [4.0, 6.0, 5.0, 2.0],
            "trial_type": ["image3", "image1", "image3", "rest"],
        }
    )
    recording = read_spec(
        path=nifti(tmp_path / "bold.nii", data, tr=tr, unit=unit),
        content="bold",
        events=table(tmp_path / "events.tsv", events),
        ignore=["rest"],
        delay_s=4,
        **({"tr_s": given} if given else {}),
        **RAW,
    )
    # [4, 8), [16, 22) and [31, 36) seconds
    volumes = {("image3", 0.0): [2, 3], ("image1", 12.0): [8, 9, 10], ("image3", 27.0): [16, 17]}
    assert len(recording.responses) == 3
    for stimulus, start, row in zip(
        recording.trials["stimulus_id"],
        recording.trials["start_time"],
        recording.responses,
        strict=True,
    ):
        expected = data[..., volumes[stimulus, start]].mean(axis=3).ravel()
        np.testing.assert_allclose(row, expected, rtol=1e-14)


@pytest.mark.parametrize("way", ["by number", "as text"])
def test_runs_of_one_file_go_in_the_order_of_its_events_if_names_do_not_tell(way, tmp_path):
    """Run k is the k-th volume, or the tenth run the second; events out of order are refused."""
    runs = [f"run-{i}" for i in range(1, 13)]
    runs = sorted(runs) if way == "as text" else runs
    volumes = np.arange(12.0).repeat(8).reshape(12, 2, 2, 2).transpose(1, 2, 3, 0)
    frame = pd.DataFrame({"run": runs, "onset": 0.0, "duration": 1.0, "trial_type": "image1"})
    settings = {
        "path": nifti(tmp_path / "bold.nii.gz", volumes, tr=1.0),
        "content": "bold",
        "run_volumes": [1] * 12,
        "delay_s": 0,
        "detrend": False,
        "zscore_runs": False,
    }
    found = read_spec(events=table(tmp_path / "events.tsv", frame), **settings)
    numbers = dict(zip(found.trials["run"].tolist(), found.responses[:, 0], strict=True))
    assert numbers == {run: float(i) for i, run in enumerate(runs)}
    shuffled = table(tmp_path / "events.tsv", frame.sample(frac=1, random_state=0))
    with pytest.raises(RepbiasError, match="list the events in the order of the volumes"):
        read_spec(events=shuffled, **settings)


def test_labels_of_volumes_and_onsets_of_blocks_are_the_same(tmp_path):
    """Two runs of 15 volumes in one file; 0.8 s is not exact in single precision."""
    path = nifti(tmp_path / "bold.nii.gz", bold(), tr=0.8)
    labels = (["rest"] * 2 + ["image1"] * 5 + ["image2"] * 4 + ["rest"] * 4) * 2
    frame = pd.DataFrame({"label": labels, "chunk": np.repeat([10, 9], 15)})
    onsets = pd.DataFrame(
        {
            "onset": [1.6, 5.6] * 2,
            "duration": [4.0, 3.2] * 2,
            "trial_type": ["image1", "image2"] * 2,
            "run": [2, 2, 1, 1],
        }
    )
    columns = {"stimulus": "label", "run": "chunk"}
    settings = {"path": path, "content": "bold", "delay_s": 1.7}
    a = read_spec(
        events=table(tmp_path / "labels.csv", frame), columns=columns, ignore=["rest"], **settings
    )
    b = read_spec(events=table(tmp_path / "events.tsv", onsets), run_volumes=[15, 15], **settings)
    # Run 10 is the file's first, and 2 the second.
    swapped = pd.DataFrame({"run": a.trials["run"], "id": a.trials["stimulus_id"]})
    for stimulus in ("image1", "image2"):
        for run, other in ((10, 1), (9, 2)):
            i = swapped.index[(swapped.id == stimulus) & (swapped.run == run)][0]
            j = np.flatnonzero((b.trials["stimulus_id"] == stimulus) & (b.trials["run"] == other))[
                0
            ]
            np.testing.assert_array_equal(a.responses[i], b.responses[j])
            assert a.trials["start_time"][i] == pytest.approx(b.trials["start_time"][j])


@given(seed=st.integers(0, 999), slope=st.floats(-50, 50), offset=st.floats(0, 5000))
def test_runs_are_detrended_and_scaled_as_scipy_does(seed, slope, offset):
    values = np.random.default_rng(seed).normal(size=(20, 3))
    lines = slope * np.arange(20)[:, None] + offset
    detrended = scipy.signal.detrend(values, axis=0)
    np.testing.assert_allclose(prepare_run(values + lines, True, False), detrended, atol=1e-9)
    scaled = scipy.stats.zscore(detrended, axis=0)
    np.testing.assert_allclose(prepare_run(5 * (values + lines), True, True), scaled, atol=1e-9)
    np.testing.assert_allclose(
        prepare_run(values, False, True), scipy.stats.zscore(values, axis=0), atol=1e-12
    )


def test_constant_voxels_stay_and_missing_ones_are_missing_in_their_run():
    values = np.random.default_rng(0).normal(size=(20, 3)) + 1e4
    values[:, 0] = 1234.567
    values[3, 1] = np.nan
    prepared = prepare_run(values, True, True)
    assert (prepared[:, 0] == 0).all()
    assert np.isnan(prepared[:, 1]).all()
    assert np.isfinite(prepared[:, 2]).all()


@pytest.mark.parametrize(
    "settings", [{}, RAW, {"response": {"confounds": "none"}}, {"skip_volumes": 2}]
)
def test_a_voxel_outside_the_field_of_view_of_a_run_is_missing_in_it(settings, tmp_path):
    """fMRIPrep writes 0 there; it is that of one run, and another voxel has none at all."""
    for run in "12":
        data = bold(seed=int(run))
        data[0, 0] = 0
        data[1, 0] = 0 if run == "2" else data[1, 0]
        nifti(tmp_path / f"run-{run}.nii", data)
    events = pd.DataFrame(
        {"onset": [0.0, 20.0], "duration": 8.0, "trial_type": ["image0", "image1"]}
    )
    shared = {"content": "bold", "events": table(tmp_path / "events.tsv", events)} | settings
    found = read_spec(path=tmp_path, images="run-{run}.nii", **shared)
    assert found.units["unit"].tolist() == ["subject1/0-1-0", "subject1/1-0-0", "subject1/1-1-0"]
    missing = np.isnan(found.responses)
    np.testing.assert_array_equal(missing[:, 1], found.trials["run"] == 2)
    assert not missing[:, [0, 2]].any()
    # The same in one file.
    joined = np.concatenate(
        [nibabel.load(tmp_path / f"run-{run}.nii").get_fdata() for run in "12"], axis=3
    )
    events = pd.concat([events.assign(run=run) for run in (1, 2)])
    shared["events"] = table(tmp_path / "both.tsv", events)
    path = nifti(tmp_path / "both.nii", joined)
    both = read_spec(path=path, run_volumes=[30, 30], **shared)
    np.testing.assert_array_equal(both.responses, found.responses)


def test_cut_off_and_overlapping_responses_are_reported(tmp_path, caplog):
    events = pd.DataFrame(
        {"onset": [0.0, 2.0, 57.0], "duration": [4.0] * 3, "trial_type": ["image0"] * 3}
    )
    read_spec(
        path=nifti(tmp_path / "bold.nii", bold()),
        content="bold",
        events=table(tmp_path / "events.tsv", events),
        delay_s=0,
    )
    assert "1 responses are cut off by the end of the run" in caplog.text
    assert "1 of 3 responses overlap" in caplog.text


@pytest.mark.parametrize(("onset", "skip"), [(-3.0, 0), (2.0, 3)])
def test_a_response_cut_off_by_the_start_is_reported(onset, skip, tmp_path, caplog):
    """It began before the run, or before the first volume in a steady state."""
    events = pd.DataFrame({"onset": [onset, 20.0], "duration": 8.0, "trial_type": "image0"})
    data = bold()
    found = read_spec(
        path=nifti(tmp_path / "bold.nii", data),
        content="bold",
        events=table(tmp_path / "events.tsv", events),
        delay_s=0,
        skip_volumes=skip,
        **RAW,
    )
    assert "1 responses are cut off by the start of the run" in caplog.text
    first = data[..., [0, 1, 2] if skip == 0 else [3, 4]].mean(axis=3).ravel()
    np.testing.assert_allclose(found.responses[0], first)
    np.testing.assert_allclose(found.responses[1], data[..., 10:14].mean(axis=3).ravel())


def test_skipped_volumes_leave_detrending_and_scaling_alone(tmp_path):
    events = pd.DataFrame({"onset": [20.0], "duration": 8.0, "trial_type": "image0"})
    data = bold()
    data[..., :4] *= 3
    settings = {
        "path": nifti(tmp_path / "bold.nii", data),
        "content": "bold",
        "events": table(tmp_path / "events.tsv", events),
        "delay_s": 0,
    }
    found = read_spec(**settings, skip_volumes=4)
    rest = scipy.signal.detrend(data[..., 4:].reshape(4, 26).T, axis=0)
    expected = scipy.stats.zscore(rest, axis=0)[6:10].mean(axis=0)
    np.testing.assert_allclose(found.responses[0], expected, atol=1e-9)
    with pytest.raises(RepbiasError, match="30 volumes of 2 s, of which the first 16 are skipped"):
        read_spec(**settings, skip_volumes=16)


# Events and masks as BIDS has them.


def runs_of_bids(folder, events, masks=None):
    """Write one run for each table of events; return the settings that read them."""
    for run, frame in enumerate(events, 1):
        nifti(folder / f"derivatives/run-{run}_bold.nii.gz", bold(seed=run))
        table(folder / f"run-{run}_events.tsv", frame)
        if masks is not None:
            nifti(folder / f"derivatives/run-{run}_mask.nii.gz", masks[run - 1].astype(np.uint8))
    return {
        "path": folder / "derivatives",
        "content": "bold",
        "images": "run-{run}_bold.nii.gz",
        "events": "../run-{run}_events.tsv",
    }


BIDS = pd.DataFrame(
    {
        "onset": [0.0, 4.0, 12.0, 20.0],
        "duration": [4.0, np.nan, 4.0, 4.0],
        "trial_type": ["image", np.nan, "image", "image"],
        "stim_file": ["image1", np.nan, "image2", "image3"],
        "response_time": [np.nan, 0.4, np.nan, np.nan],
    }
)


@pytest.mark.parametrize("write", [str, "sub-{:0>3}".format])
def test_a_table_of_all_subjects_gives_each_its_own_rows(write, tmp_path):
    events = []
    for subject in ("01", "02"):
        for run in ("1", "2"):
            nifti(tmp_path / f"sub-{subject}_run-{run}_bold.nii.gz", bold(seed=int(subject + run)))
            onset = 4.0 * int(subject) + 16 * int(run)
            events.append((write(int(subject)), run, onset, 4.0, f"image{subject[-1]}"))
    columns = ["subject", "run", "onset", "duration", "stimulus"]
    frame = pd.DataFrame(events, columns=columns)
    table(tmp_path / "all.csv", frame)
    settings = {"path": tmp_path, "content": "bold", "events": "all.csv"}
    settings |= {"images": "sub-{subject}_run-{run}_bold.nii.gz"}
    found = read_spec(**settings)
    of = [set(found.units["subject"][~np.isnan(row)]).pop() for row in np.asarray(found.responses)]
    seen = zip(of, found.trials["run"], found.trials["start_time"].tolist(), strict=True)
    expected = {("01", "1", 20), ("01", "2", 36), ("02", "1", 24), ("02", "2", 40)}
    assert {(s, str(r), t) for s, r, t in seen} == expected
    assert len(found.responses) == 4
    table(tmp_path / "all.csv", frame.rename(columns={"subject": "who"}))
    with pytest.raises(RepbiasError, match=r"all\.csv: no column 'person'"):
        read_spec(**settings, columns={"subject": "person"})
    renamed = read_spec(**settings, columns={"subject": "who"})
    np.testing.assert_array_equal(renamed.responses, found.responses)
    table(tmp_path / "all.csv", frame[frame["subject"] == write(1)])
    with pytest.raises(RepbiasError, match=r"no row of subject '02', of .*sub-02_run-1_bold"):
        read_spec(**settings)


def test_a_table_of_several_subjects_needs_their_names(tmp_path):
    frame = BIDS.dropna(subset=["stim_file"]).assign(subject=["1", "2", "2"])
    settings = {"path": nifti(tmp_path / "bold.nii.gz", bold()), "content": "bold", "delay_s": 0}
    settings["events"] = table(tmp_path / "events.tsv", frame)
    columns = {"stimulus": "stim_file"}
    message = r"events\.tsv: column 'subject' names several, '1', '2', and .*bold\.nii\.gz does not"
    with pytest.raises(RepbiasError, match=message):
        read_spec(**settings, columns=columns)
    assert len(read_spec(**settings, columns={**columns, "subject": None}).responses) == 3


@pytest.mark.parametrize("cell", ["n/a", "", "NaN"])
def test_events_without_a_label_can_be_ignored(cell, tmp_path):
    """However a missing label is spelled; and their duration does not matter."""
    settings = runs_of_bids(tmp_path, [BIDS])
    for column in ("stim_file", "trial_type"):
        known = KNOWN if column == "stim_file" else np.array(["image"])
        chosen = {"columns": {"stimulus": column}, "delay_s": 0}
        (tmp_path / "run-1_events.tsv").write_text(
            BIDS.to_csv(sep="\t", index=False, na_rep="n/a").replace(
                "n/a\tn/a\tn/a", f"n/a\t{cell}\t{cell}"
            )
        )
        found = read_spec(known, **settings, **chosen, ignore=["n/a"])
        assert sorted(found.trials["start_time"]) == [0, 12, 20]
        with pytest.raises(RepbiasError, match=rf"line 3, column '{column}': .*ignore: \[n/a\]"):
            read_spec(known, **settings, **chosen)


def test_ignored_events_need_no_run(tmp_path):
    frame = BIDS.assign(run=[1, np.nan, 1, 1]).astype({"run": "Int64"})
    settings = runs_of_bids(tmp_path, [frame])
    settings |= {"path": tmp_path / "derivatives/run-1_bold.nii.gz", "images": None}
    settings["events"] = str(tmp_path / "run-1_events.tsv")
    columns = {"stimulus": "stim_file"}
    assert len(read_spec(**settings, columns=columns, ignore=["n/a"]).responses) == 3
    table(tmp_path / "run-1_events.tsv", frame.fillna({"stim_file": "image0"}))
    with pytest.raises(RepbiasError, match="line 3, column 'run': holds 'n/a'"):
        read_spec(**settings, columns=columns)


def test_a_run_without_a_stimulus_is_left_out(tmp_path, caplog):
    rest = BIDS.assign(stim_file="rest")
    settings = runs_of_bids(tmp_path, [BIDS, rest, BIDS, BIDS.iloc[:0]])
    settings |= {"columns": {"stimulus": "stim_file"}, "ignore": ["n/a", "rest"]}
    found = read_spec(**settings)
    assert sorted(found.trials["run"]) == [1, 1, 1, 3, 3, 3]
    for run in (2, 4):
        assert f"run-{run}_events.tsv: holds no stimulus; it is left out" in caplog.text
    for run in (1, 3):
        table(tmp_path / f"run-{run}_events.tsv", rest)
    with pytest.raises(
        RepbiasError, match=r"run-1_events.tsv: holds no stimulus, nor do the others"
    ):
        read_spec(**settings)


def test_the_voxels_of_a_subject_are_those_that_all_masks_share(tmp_path):
    masks = np.ones((2, 2, 2, 1), bool)
    masks[0, 0, 0], masks[1, 1, 1] = False, False
    events = BIDS.dropna(subset=["stim_file"])
    settings = runs_of_bids(tmp_path, [events, events], masks)
    settings |= {"columns": {"stimulus": "stim_file"}, "mask": "run-{run}_mask.nii.gz"}
    found = read_spec(**settings)
    assert sorted(zip(found.units["x"], found.units["y"], strict=True)) == [(0, 1), (1, 0)]
    nifti(tmp_path / "derivatives/run-2_mask.nii.gz", 1 - masks[0].astype(np.uint8))
    with pytest.raises(RepbiasError, match=r"run-1_mask.nii.gz and .*run-2_.* share no voxel"):
        read_spec(**settings)
    nifti(tmp_path / "derivatives/run-2_mask.nii.gz", masks[1].astype(np.uint8), shifted())
    with pytest.raises(RepbiasError, match=r"run-2_mask.nii.gz: its affine"):
        read_spec(**settings)


def test_regions_are_those_of_a_segmentation_of_fmriprep(tmp_path):
    """Its table has a column of colours too; a label without a row is refused."""
    settings = runs_of_bids(tmp_path, [BIDS.dropna(subset=["stim_file"])])
    labels = np.array([[[1005], [1005]], [[0], [2021]]], np.int16)
    nifti(tmp_path / "derivatives/desc-aparcaseg_dseg.nii.gz", labels)
    names = tmp_path / "derivatives/desc-aparcaseg_dseg.tsv"
    names.write_text(
        "index\tname\tcolor\n1005\tctx-lh-cuneus\t#dc143c\n2021\tctx-rh-pericalcarine\t#78643c\n"
    )
    settings |= {
        "columns": {"stimulus": "stim_file"},
        "regions": "desc-aparcaseg_dseg.nii.gz",
        "region_names": names,
    }
    found = read_spec(**settings)
    assert found.units["region"].tolist() == ["ctx-lh-cuneus"] * 2 + ["ctx-rh-pericalcarine"]
    nifti(tmp_path / "derivatives/desc-aparcaseg_dseg.nii.gz", np.repeat(labels, 2, axis=2))
    with pytest.raises(RepbiasError, match=r"dseg.nii.gz: \(2, 2, 2\) voxels, but .*resample"):
        read_spec(**settings)


# Haxby et al. (2001), one slice of subject 1.


@pytest.fixture
def haxby(test_data):
    folder = test_data / "fmri_haxby2001_slice"
    if not folder.is_dir():
        pytest.skip("the slice of Haxby et al. (2001) is absent")
    return folder


def read_labels(folder, **settings):
    return read_spec(
        np.array(CATEGORIES),
        path=folder / "bold.nii.gz",
        content="bold",
        events=str(folder / "attributes_literal.txt"),
        header=["label", "chunk"],
        columns={"stimulus": "label", "run": "chunk"},
        ignore=["rest"],
        mask=str(folder / "mask.nii.gz"),
        **settings,
    )


def read_runs(folder, **settings):
    folder = folder / "haxby2001" / "sub001" / "BOLD"
    return read_spec(
        np.array(CATEGORIES),
        path=folder,
        content="bold",
        images="task001_run{run}/bold_1slice.nii.gz",
        events="task001_run{run}/bold_events.tsv",
        mask=str(folder.parents[2] / "mask.nii.gz"),
        **settings,
    )


def decode(recording):
    """Return the accuracy of a linear SVM for the category of blocks, leaving one run out."""
    return cross_val_score(
        SVC(kernel="linear"),
        recording.responses,
        recording.trials["stimulus_id"],
        groups=recording.trials["run"],
        cv=LeaveOneGroupOut(),
    ).mean()


def test_both_layouts_of_the_real_data_are_the_same(haxby):
    """One file with a label for every volume; and twelve files with onsets in seconds."""
    a, b = read_labels(haxby), read_runs(haxby)
    assert a.responses.shape == (96, 530)
    np.testing.assert_array_equal(a.trials["run"] + 1, b.trials["run"])
    np.testing.assert_array_equal(a.trials["stimulus_id"], b.trials["stimulus_id"])
    np.testing.assert_array_equal(a.trials["start_time"], b.trials["start_time"])
    np.testing.assert_array_equal(a.units["unit"], b.units["unit"])
    np.testing.assert_array_equal(a.responses, b.responses)


def test_blocks_of_the_real_data_are_those_of_nibabel_and_scipy(haxby):
    mask = nibabel.load(haxby / "mask.nii.gz").get_fdata() > 0
    series = nibabel.load(haxby / "bold.nii.gz").get_fdata()[mask].T
    labels, runs = np.loadtxt(haxby / "attributes_literal.txt", dtype=str).T
    recording = read_labels(haxby, delay_s=0)
    voxels = np.argwhere(mask).tolist()
    order = [voxels.index(list(v)) for v in zip(*(recording.units[a] for a in "xyz"), strict=True)]
    for run in range(12):
        of_run = runs == str(run)
        scaled = scipy.stats.zscore(scipy.signal.detrend(series[of_run], axis=0), axis=0)
        for category in CATEGORIES:  # one block of each in every run
            expected = scaled[labels[of_run] == category].mean(axis=0)[order]
            (found,) = recording.responses[
                (recording.trials["stimulus_id"] == category) & (recording.trials["run"] == run)
            ]
            np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("zscore_runs", [True, False])
def test_categories_are_decoded_as_reported(zscore_runs, haxby):
    """SOURCE.md of the data: 75.0 %, by an 8-way SVM leaving one run out; chance is 12.5 %.

    It does not say how the blocks were prepared. These are two usual ways, within five of the 96
    blocks of it. The labels of this data set fit the responses, so nothing is delayed further.
    """
    found = decode(read_labels(haxby, zscore_runs=zscore_runs, delay_s=0))
    assert found == pytest.approx(0.75, abs=5 / 96)


def test_wrong_times_are_decoded_worse(haxby):
    """Twelve seconds after the end of a block of 22.5 s, little of the response is left."""
    assert decode(read_labels(haxby, delay_s=35, duration_s=2.5)) < 0.4


def split_half_agreement(recording):
    """Return the mean correlation of the categories' RDMs of halves of the twelve runs.

    Over all 462 splits; RDMs of 1 - correlation across voxels.
    """
    runs, ids = recording.trials["run"], recording.trials["stimulus_id"]
    order = np.lexsort([ids, runs])  # one response to each category in every run
    patterns = recording.responses[order].reshape(12, len(CATEGORIES), -1)
    pairs = np.triu_indices(len(CATEGORIES), 1)
    found = []
    for others in combinations(range(1, 12), 5):
        half = np.isin(np.arange(12), (0, *others))
        rdms = [1 - np.corrcoef(patterns[of].mean(axis=0))[pairs] for of in (half, ~half)]
        found.append(np.corrcoef(*rdms)[0, 1])
    return np.mean(found)


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "windows", "glm"), [(0.0, 0.486, 0.580), (5.0, 0.648, 0.763)])
def test_betas_of_the_real_data_agree_more_between_halves(shift, windows, glm, haxby, tmp_path):
    """Whether labels are taken for the stimuli, or for responses 5 s later, as they seem to be.

    These are correlation RDMs. With percentages, weak voxels at the edge dominate them.
    """
    labels, runs = np.loadtxt(haxby / "attributes_literal.txt", dtype=str).T
    frame = pd.DataFrame({"label": labels, "run": runs, "onset": 2.5 * (np.arange(1452) % 121)})
    first = (frame["label"] != frame["label"].shift()) | (frame["run"] != frame["run"].shift())
    events = frame[first & (frame["label"] != "rest")].assign(duration=22.5)
    settings = {
        "path": haxby / "bold.nii.gz",
        "content": "bold",
        "events": table(tmp_path / "events.tsv", events.assign(onset=events["onset"] - shift)),
        "columns": {"stimulus": "label"},
        "run_volumes": [121] * 12,
        "mask": str(haxby / "mask.nii.gz"),
    }
    found = {
        name: split_half_agreement(read_spec(np.array(CATEGORIES), **settings, response=response))
        for name, response in (
            ("windows", "mean"),
            ("z", {"confounds": "none"}),
            ("percent", {"confounds": "none", "scale": "percent"}),
        )
    }
    assert found["windows"] == pytest.approx(windows, abs=0.002)
    assert found["z"] == pytest.approx(glm, abs=0.002)
    assert found["percent"] < 0.2


# Invalid files and settings.


@pytest.fixture
def files(tmp_path):
    """A valid set of files, of which tests change one thing."""
    data, events = betas()
    nifti(tmp_path / "betas.nii.gz", data)
    nifti(tmp_path / "mask.nii.gz", np.ones(SHAPE))
    table(tmp_path / "events.csv", events)
    return tmp_path


def shifted(by=1.0):
    affine = AFFINE.copy()
    affine[0, 3] += by
    return affine


CHANGES = {
    "rows": (
        lambda f: table(f / "events.csv", betas()[1][:11]),
        "events.csv: 11 rows for the 12 volumes of .*betas.nii.gz",
    ),
    "no stimulus": (
        lambda f: (f / "events.csv").write_text("stimulu,run\nimage1,1\n"),
        "no column 'stimulus'; did you mean 'stimulu'",
    ),
    "empty": (
        lambda f: (f / "events.csv").write_text("stimulus,run\nimage1,1\nn/a,1\n"),
        "events.csv: line 3, column 'stimulus': holds 'n/a'",
    ),
    "unknown": (
        lambda f: table(f / "events.csv", betas()[1].replace("image4", "cow")),
        "1 of 5 ids are not in 'set': 'cow'",
    ),
    "affine": (
        lambda f: nifti(f / "mask.nii.gz", np.ones(SHAPE), shifted()),
        r"mask.nii.gz: its affine .*-9.0.* is not that of .*betas.nii.gz, .*-10.0",
    ),
    "shape": (
        lambda f: nifti(f / "mask.nii.gz", np.ones((3, 11, 1))),
        r"mask.nii.gz: \(3, 11, 1\) voxels, but \(3, 11, 2\) in",
    ),
    "no voxel": (
        lambda f: nifti(f / "mask.nii.gz", np.zeros(SHAPE)),
        "mask.nii.gz: holds no voxel",
    ),
    "three axes": (
        lambda f: nifti(f / "betas.nii.gz", np.ones(SHAPE)),
        "events.csv: 12 rows for the 1 volumes of .*betas.nii.gz",
    ),
    "infinite": (
        lambda f: nifti(f / "betas.nii.gz", np.full((*SHAPE, 12), np.inf)),
        "betas.nii.gz: 792 values are infinite",
    ),
    "all missing": (
        lambda f: nifti(f / "betas.nii.gz", np.full((*SHAPE, 12), np.nan)),
        "every response is NaN",
    ),
    "no image": (
        lambda f: (f / "betas.nii.gz").write_bytes(b"stimulus"),
        "betas.nii.gz: cannot be read as NIfTI",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_betas_that_do_not_fit_are_refused(change, files):
    apply, message = CHANGES[change]
    apply(files)
    with pytest.raises(RepbiasError, match=message):
        read_spec(
            path=files / "betas.nii.gz",
            content="betas",
            events=str(files / "events.csv"),
            mask=str(files / "mask.nii.gz"),
        )


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_truncated_images_are_refused_by_name(suffix, tmp_path):
    data, events = betas()
    events = table(tmp_path / "events.csv", events)
    whole = nifti(tmp_path / f"whole{suffix}", data).read_bytes()
    path = tmp_path / f"cut{suffix}"
    for n in range(0, len(whole) - 100, len(whole) // 25):
        path.write_bytes(whole[:n])
        with pytest.raises(RepbiasError, match=rf"cut{suffix}: cannot be read as NIfTI"):
            read_spec(path=path, content="betas", events=events)


EVENTS = pd.DataFrame(
    {"onset": [0.0, 12.0], "duration": [4.0, 4.0], "trial_type": ["image3", "image1"]}
)


@pytest.mark.parametrize(
    ("events", "image", "settings", "message"),
    [
        (
            EVENTS.assign(duration=0.0),
            {},
            {},
            "line 2: no volume is between 5 s and 5 s of its run",
        ),
        (EVENTS.assign(onset=[0.0, 99.0]), {}, {}, "line 3: no volume is between 104 s and 108 s"),
        (EVENTS.assign(onset=[0.0, np.nan]), {}, {}, "line 3: has no onset"),
        (EVENTS.drop(columns="duration"), {}, {}, "no column 'duration'; .*'duration_s'"),
        (EVENTS.assign(onset=["a", "b"]), {}, {}, "line 2, column 'onset': expected a number"),
        (EVENTS.assign(run=[1, 2]), {}, {}, "events of 2 runs, no run_volumes, and 30 volumes"),
        (
            EVENTS.assign(run=[1, 2]),
            {},
            {"run_volumes": [15, 14]},
            r"events of 2 runs, run_volumes \[15, 14\], and 30 volumes",
        ),
        (EVENTS, {}, {"ignore": ["image1", "image3"]}, "holds no stimulus"),
        (EVENTS, {}, {"columns": {"run": "chunk"}}, "no column 'chunk'"),
        (EVENTS, {"unit": "unknown"}, {}, "bold.nii: no header with .* set 'tr_s'"),
        (EVENTS, {"tr": 2000.0}, {}, "between 0.01 and 60 s, nor .*; set 'tr_s'"),
        (EVENTS, {"tr": 0.0}, {}, "set 'tr_s'"),
        (
            pd.DataFrame({"stimulus": ["image1"] * 30, "run": [1, 2, 1] * 10}),
            {},
            {},
            "line 4: the volumes of run 1 are not contiguous",
        ),
    ],
)
def test_events_that_do_not_fit_are_refused(events, image, settings, message, tmp_path):
    with pytest.raises(RepbiasError, match=message):
        read_spec(
            path=nifti(tmp_path / "bold.nii", bold(), **image),
            content="bold",
            events=table(tmp_path / "events.tsv", events),
            **settings,
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delay_s": 4}, "delay_s: not for betas in NIfTI images"),
        ({"variable": "x"}, "variable: not for betas in NIfTI"),
        ({"events": "nowhere.tsv"}, "events: there is no file nowhere.tsv"),
        ({"images": "*.nii.gz"}, "images: needs a folder"),
        ({"path": "{folder}"}, "is a folder; set 'images'"),
        (
            {"path": "{folder}", "images": "{runs}.nii"},
            r"unknown placeholder \{runs\}; expected",
        ),
        ({"path": "{folder}", "images": "x{run}.nii"}, "no file in .* matches 'x{run}.nii'"),
        (
            {
                "path": "{folder}",
                "content": "bold",
                "images": "*.nii.gz",
                "events": "events.csv",
            },
            "betas.nii.gz and .*mask.nii.gz are the same scan",
        ),
        (
            {"path": "{folder}", "images": "b{run}.nii.gz", "events": "{session}.csv"},
            r"events: \{session\} is not in 'images'",
        ),
        (
            {"path": "{folder}", "images": "b{run}.nii.gz", "regions": "{run}.nii"},
            r"regions: \{run\} is not allowed; only \{subject\} and \{hemi\} are",
        ),
        ({"path": "{folder}/events.csv"}, "expected one of .*.nii, .nii.gz, .img, .npy"),
        ({"region_names": "{folder}/events.csv"}, "region_names: needs regions"),
        ({"window": (0, 1)}, "window is for time bins"),
        ({"axes": ["trial", "trial"]}, "name 'trial' and 'unit' once"),
        ({"content": "beta"}, "'betas' or 'bold'"),
    ],
)
def test_invalid_settings_are_refused(settings, message, files):
    settings = {
        name: value.replace("{folder}", str(files)) if isinstance(value, str) else value
        for name, value in settings.items()
    }
    good = {
        "path": files / "betas.nii.gz",
        "content": "betas",
        "events": str(files / "events.csv"),
    }
    with pytest.raises(ValidationError, match=message):
        read_spec(**good | settings)


def test_every_label_needs_exactly_one_name(files):
    nifti(files / "labels.nii", np.repeat([1, 2], 33).reshape(SHAPE).astype(np.int16))
    settings = {
        "path": files / "betas.nii.gz",
        "content": "betas",
        "events": str(files / "events.csv"),
        "regions": str(files / "labels.nii"),
    }
    names = files / "names.txt"
    for text, message in (
        ("1 V1\n", r"names.txt: no name for the labels \[2\] of .*labels.nii"),
        ("1 V1\n1 V2\n", "the label 1 occurs twice"),
        ("1 V1\n2\n", "line 2, column 'name': is empty"),
        ("label name\n1 V1\n", "no column 'index'; allowed: label, name"),
    ):
        names.write_text(text)
        with pytest.raises(RepbiasError, match=message):
            read_spec(**settings, region_names=names)
    nifti(files / "labels.nii", np.full(SHAPE, 1.5))
    with pytest.raises(RepbiasError, match="labels must be integers"):
        read_spec(**settings)


def test_runs_on_different_grids_are_refused(tmp_path):
    data, events = betas()
    for run, affine in (("1", AFFINE), ("2", shifted())):
        nifti(tmp_path / f"run{run}.nii", data, affine)
        table(tmp_path / f"run{run}.tsv", events)
    with pytest.raises(RepbiasError, match=r"run2.nii: its affine .* is not that of .*run1.nii"):
        read_spec(path=tmp_path, content="betas", images="run{run}.nii", events="run{run}.tsv")


def test_missing_nibabel_is_reported_with_its_extra(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(RepbiasError, match=r"NIfTI needs nibabel: pip install 'repbias\[nifti\]'"):
        read_spec(path=files / "betas.nii.gz", content="betas", events=str(files / "events.csv"))


# What is left out.

SHOWN = BIDS.dropna(subset=["trial_type"])


def cohort(folder, lacking=()):
    """Write two subjects with three runs each, some without events; return the settings."""
    for subject in ("01", "02"):
        for run in ("1", "2", "3"):
            name = f"sub-{subject}/run-{run}"
            nifti(folder / f"{name}_bold.nii.gz", bold(seed=int(subject + run)))
            if (subject, run) not in lacking:
                table(folder / f"{name}_events.tsv", SHOWN)
    return {
        "path": folder,
        "content": "bold",
        "images": "sub-{subject}/run-{run}_bold.nii.gz",
        "events": "sub-{subject}/run-{run}_events.tsv",
        "columns": {"stimulus": "stim_file"},
    }


def test_a_run_without_events_is_named_and_can_be_left_out(tmp_path):
    settings = cohort(tmp_path / "a", lacking=[("01", "2"), ("02", "3")])
    remedy = r"leave_out: \[\{subject: '01', run: '2'\}, \{subject: '02', run: '3'\}\]"
    with pytest.raises(ValidationError, match=rf"there is no file .*, nor 1 more; .*{remedy}"):
        read_spec(**settings)
    settings["leave_out"] = [{"subject": "02", "run": 3}, {"subject": 1, "run": ["1", "2"]}]
    spec = FmriRecording(kind="fmri", stimuli="set", **settings)
    recording = read_recording(spec, KNOWN)
    assert recording.info["files_left_out"] == [
        "sub-01/run-1_bold.nii.gz",
        "sub-01/run-2_bold.nii.gz",
        "sub-02/run-3_bold.nii.gz",
    ]
    settings = cohort(tmp_path / "b")
    for left_out in recording.info["files_left_out"]:
        (tmp_path / "b" / left_out).unlink()
    assert_same(read(spec, KNOWN), read_spec(**settings), info=False)


@pytest.mark.parametrize(
    ("leave_out", "message"),
    [
        ([{"session": "1"}], r"leave_out: \{session\} is not in 'images'; allowed: run, subject"),
        ([{"subject": "03"}], r"leave_out: .*no file of subject '03'; .*allowed: 01, 02"),
        ([{"run": ["1", "7"]}], r"no file of run '7'; .*allowed: 1, 2, 3"),
        ([{"subject": ["01", "02"]}], "leave_out: names all 6 files"),
    ],
)
def test_what_is_to_be_left_out_must_be_there(leave_out, message, tmp_path):
    with pytest.raises(ValidationError, match=message):
        read_spec(**cohort(tmp_path), leave_out=leave_out)


def test_the_runs_of_one_subject_are_those_that_can_be_left_out(tmp_path):
    settings = cohort(tmp_path)
    (tmp_path / "sub-01/run-3_bold.nii.gz").unlink()
    with pytest.raises(ValidationError, match=r"file of subject '01' and run '3'; allowed: 1, 2 "):
        read_spec(**settings, leave_out=[{"subject": "01", "run": "3"}])


def test_events_that_trials_where_does_not_select_have_no_response(tmp_path):
    """Their stimulus, onset and duration may be missing."""
    columns = {"stimulus": "stim_file"}
    kept = SHOWN.iloc[[0, 2]].assign(done="yes")
    aborted = pd.DataFrame({"onset": [12.0, np.nan], "duration": [4.0, np.nan], "done": "no"})
    aborted["stim_file"] = ["n/a", SHOWN["stim_file"].iloc[0]]  # the first one is no trial
    expected = read_spec(**runs_of_bids(tmp_path / "a", [kept]), columns=columns)
    settings = runs_of_bids(tmp_path / "b", [pd.concat([aborted, kept])]) | {"columns": columns}
    found = read_spec(**settings, trials_where={"done": "yes"})
    assert_same(found, expected, info=False)
    assert found.info["trials_left_out"] == 1
    with pytest.raises(RepbiasError, match=r"holds no stimulus where \{'done': 'maybe'\}, nor"):
        read_spec(**settings, trials_where={"done": "maybe"})
    with pytest.raises(RepbiasError, match="trials_where: no column 'doen'; did you mean 'done'"):
        read_spec(**settings, trials_where={"doen": "yes"})


def test_a_run_without_a_selected_event_is_left_out(tmp_path, caplog):
    settings = runs_of_bids(tmp_path, [SHOWN.assign(done=0), SHOWN.assign(done=1)])
    settings["columns"] = {"stimulus": "stim_file"}
    found = read_spec(**settings, trials_where={"done": 1})
    assert set(found.trials["run"]) == {2}
    assert "no trial where {'done': 1.0}; done is 0" in caplog.text
    assert found.info["trials_left_out"] == 3


def test_betas_that_trials_where_does_not_select_are_left_out(tmp_path):
    values, events = betas()
    done = np.arange(12) % 3 > 0
    path = nifti(tmp_path / "betas.nii.gz", values)
    whole = table(tmp_path / "events.csv", events.assign(done=done))
    settings = {"path": path, "content": "betas"}
    found = read_spec(**settings, events=whole, trials_where={"done": True})
    part = table(tmp_path / "part.csv", events[done])
    path = nifti(tmp_path / "part.nii.gz", values[..., done])
    assert_same(found, read_spec(path=path, content="betas", events=part), info=False)
    assert found.info["trials_left_out"] == 4
    with pytest.raises(ValidationError, match="trials_where: needs 'events', a table"):
        read_spec(**settings, events="headers", trials_where={"done": True})
