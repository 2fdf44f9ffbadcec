"""Betas in the layouts that SPM, FSL, nilearn, GLMsingle, NSD and surfaces have, read exactly.

The files are written by nibabel, h5py and SciPy. Descriptions in headers are those of SPM12
(``spm_spm.m``); the layout of NSD is that of its data manual, with the same chunks.
"""

from __future__ import annotations

import gzip
import re
import tracemalloc
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io
import yaml
from pydantic import TypeAdapter, ValidationError

from repbias.base.spec import RepbiasError
from repbias.recordings.readers import RecordingSpec, read_recording
from repbias.recordings.readers.fmri import FmriRecording, read
from repbias.recordings.readers.fmri.arrays import ArraySpace

STIMULI = ["face", "house", "shoe"]
KNOWN = np.array(STIMULI)
AFFINE = np.diag([2.0, 2.5, 3.0, 1.0])
SHAPE = (3, 4, 2)


def volumes(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, *SHAPE)).astype(np.float32)


def save(path, values, description=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = nibabel.Nifti1Pair if path.suffix == ".img" else nibabel.Nifti1Image
    values = np.asarray(values)
    image = kind(values.astype(np.int16) if values.dtype.kind in "iu" else values, AFFINE)
    image.header["descrip"] = description.encode()[:80]
    nibabel.save(image, path)
    return path


def table(path, **columns):
    pd.DataFrame(columns).to_csv(path, sep="\t", index=False)
    return path.name


def read_betas(folder, known=KNOWN, **settings):
    settings = {"path": folder, "kind": "fmri", "content": "betas", "stimuli": "set"} | settings
    spec = FmriRecording(**settings)
    assert all(spec.input_files())
    return read(spec, known)


def by_voxel(recording):
    """Responses (trial, voxel), with voxels in the order of numpy's mask indexing."""
    order = np.lexsort([recording.units[axis] for axis in "zyx"])
    return recording.responses[:, order]


# A folder of images with three axes.


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".img"])
def test_the_name_of_a_file_tells_the_stimulus(suffix, tmp_path):
    """As nilearn's users save them; names may hold underscores."""
    values = volumes(4)
    names = ["a_face", "b_house", "shoe", "face"]
    for name, volume in zip(names, values, strict=True):
        save(tmp_path / f"sub-01_{name}_beta{suffix}", volume)
    recording = read_betas(
        tmp_path, np.unique(names), images=f"sub-{{subject}}_{{stimulus}}_beta{suffix}"
    )
    assert recording.trials["stimulus_id"].tolist() == sorted(names)
    np.testing.assert_array_equal(
        by_voxel(recording), values[np.argsort(names)].reshape(4, -1).astype(float)
    )
    assert set(recording.units["subject"]) == {"01"}


def test_runs_are_repeats(tmp_path):
    """FSL writes one folder per run; the number of a contrast is renamed to its stimulus."""
    values = volumes(6)
    values[:3, 0, 0] = 0  # FSL writes 0 outside the mask, which is that of the run
    for i, volume in enumerate(values):
        save(tmp_path / f"run{i // 3 + 1}.feat" / "stats" / f"cope{i % 3 + 1}.nii.gz", volume)
    (tmp_path / "names.csv").write_text("1,shoe\n2,face\n3,house\n")
    recording = read_betas(
        tmp_path,
        images="run{run}.feat/stats/cope{stimulus}.nii.gz",
        rename=tmp_path / "names.csv",
    )
    assert recording.trials["stimulus_id"].tolist() == ["face"] * 2 + ["house"] * 2 + ["shoe"] * 2
    assert recording.trials["run"].tolist() == [1, 2] * 3
    expected = values.reshape(6, -1)[[1, 4, 2, 5, 0, 3]].astype(float)
    expected[::2, :2] = np.nan
    np.testing.assert_array_equal(by_voxel(recording), expected)


def test_rows_of_events_follow_sorted_names_or_name_files(tmp_path):
    values = volumes(3)
    for i, volume in enumerate(values):
        save(tmp_path / f"beta_{i + 1:04d}.nii", volume)
    shown = ["shoe", "face", "house"]
    settings = {"images": "beta_*.nii", "events": "events.tsv"}
    table(tmp_path / "events.tsv", stimulus=shown, run=[1, 2, 1])
    recording = read_betas(tmp_path, **settings)
    expected = values.reshape(3, -1)[[1, 2, 0]].astype(float)
    np.testing.assert_array_equal(by_voxel(recording), expected)
    assert recording.trials["run"].tolist() == [2, 1, 1]
    files = [f"x/{tmp_path.name}/beta_0001.nii", "beta_0002.nii", "beta_0003.nii"]
    files[0] = files[0].removeprefix("x/")
    table(tmp_path / "events.tsv", stimulus=shown[::-1], file=files[::-1])
    np.testing.assert_array_equal(by_voxel(read_betas(tmp_path, **settings)), expected)


def test_two_orders_of_names_are_refused_where_they_matter(tmp_path):
    for i in range(11):
        save(tmp_path / f"pe{i + 1}.nii", volumes(1, i)[0])
    settings = {"images": "pe*.nii", "events": "events.tsv"}
    table(tmp_path / "events.tsv", stimulus=[*"abcdefghijk"])
    with pytest.raises(RepbiasError, match=r"its row 2 belongs to pe2.nii or pe10.nii depends"):
        read_betas(tmp_path, np.array([*"abcdefghijk"]), **settings)
    files = [f"pe{i + 1}.nii" for i in range(11)]
    table(tmp_path / "events.tsv", stimulus=[*"abcdefghijk"], file=files)
    recording = read_betas(tmp_path, np.array([*"abcdefghijk"]), **settings)
    np.testing.assert_array_equal(by_voxel(recording)[10], volumes(1, 10)[0].ravel())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["beta_0001.nii", "beta_0002.nii", "beta_0002.nii"], "line 4: names the file .* again"),
        (["beta_0001.nii", "beta_0002.nii", "beta_0004.nii"], "'beta_0004.nii', which is not"),
        (None, "events.tsv: 2 rows for the 3 volumes"),
    ],
)
def test_events_that_do_not_fit_the_files_are_refused(files, message, tmp_path):
    for i, volume in enumerate(volumes(3)):
        save(tmp_path / f"beta_{i + 1:04d}.nii", volume)
    if files is None:
        table(tmp_path / "events.tsv", stimulus=STIMULI[:2])
    else:
        table(tmp_path / "events.tsv", stimulus=STIMULI, file=files)
    with pytest.raises(RepbiasError, match=message):
        read_betas(tmp_path, images="beta_*.nii", events="events.tsv")


def test_images_without_a_row_are_left_out_with_a_warning(tmp_path, caplog):
    values = volumes(3)
    for i, volume in enumerate(values):
        save(tmp_path / f"beta_{i + 1:04d}.nii", volume)
    table(
        tmp_path / "events.tsv", stimulus=["shoe", "face"], file=["beta_0003.nii", "beta_0001.nii"]
    )
    recording = read_betas(tmp_path, images="beta_*.nii", events="events.tsv")
    np.testing.assert_array_equal(by_voxel(recording), values[[0, 2]].reshape(2, -1))
    assert "images without a row are left out: beta_0002.nii" in caplog.text


def test_several_images_of_several_volumes_are_refused(tmp_path):
    for name in "ab":
        save(tmp_path / f"{name}.nii", np.zeros((*SHAPE, 3)) + 1)
    table(tmp_path / "events.tsv", stimulus=STIMULI * 2)
    with pytest.raises(RepbiasError, match=r"a.nii and .*b.nii are the same scan.*\{session\}"):
        read_betas(tmp_path, images="*.nii", events="events.tsv")


def test_an_image_of_another_grid_is_refused(tmp_path):
    save(tmp_path / "face.nii", volumes(1)[0])
    save(tmp_path / "house.nii", np.zeros((3, 4, 1)))
    with pytest.raises(RepbiasError, match=r"house.nii: \(3, 4, 1\) voxels, but \(3, 4, 2\) in"):
        read_betas(tmp_path, images="{stimulus}.nii")


def test_an_analyze_image_is_refused(tmp_path):
    """Its header does not tell left from right, and nibabel would read a MAT file beside it."""
    nibabel.save(nibabel.Spm99AnalyzeImage(volumes(1)[0], AFFINE), tmp_path / "face.img")
    (tmp_path / "face.mat").write_bytes(b"no MAT file")
    with pytest.raises(RepbiasError, match=r"face.img: an Analyze image"):
        read_betas(tmp_path, images="{stimulus}.img")
    (tmp_path / "face.hdr").unlink()
    with pytest.raises(ValidationError, match=r"face.img: there is no header .*face.hdr"):
        read_betas(tmp_path, images="{stimulus}.img")


# SPM.

SPM = [
    *[f"Sn({run}) {name}*bf(1)" for run in (1, 2) for name in STIMULI],
    "Sn(1) facexrt^1*bf(1)",
    "Sn(1) face*bf(2)",
    "Sn(1) R1",
    "Sn(1) R6",
    "Sn(1) constant",
    "Sn(2) constant",
]


@pytest.fixture
def spm(tmp_path):
    """A first-level folder of SPM, whose regressors are not sorted by name; NaN outside."""
    values = volumes(len(SPM))
    values[:, 1, 1, 1] = np.nan
    for i, (name, volume) in enumerate(zip(SPM, values, strict=True), 1):
        save(tmp_path / f"beta_{i:04d}.nii", volume, f"spm_spm:beta ({i:04d}) - {name}")
    (tmp_path / "SPM.mat").write_bytes(b"never read")
    return tmp_path, values


def test_spm_names_stimulus_and_run_in_the_header(spm, caplog):
    folder, values = spm
    recording = read_betas(folder, images="beta_*.nii", events="headers")
    assert recording.trials["stimulus_id"].tolist() == sorted(STIMULI * 2)
    assert recording.trials["run"].tolist() == [1, 2] * 3
    expected = values.reshape(len(SPM), -1)[[0, 3, 1, 4, 2, 5]]
    np.testing.assert_array_equal(by_voxel(recording), expected[:, ~np.isnan(expected[0])])
    assert "6 images are no responses to a condition and are left out: facexrt^1" in caplog.text
    assert "R1, R6, constant" in caplog.text


@pytest.mark.parametrize("by", ["events", "{stimulus}"])
def test_a_constant_or_movement_of_spm_is_no_stimulus(by, spm):
    folder, _ = spm
    names = [f"{i + 1:04d}" for i in range(len(SPM))]
    settings = {"images": "beta_{stimulus}.nii"}
    if by == "events":
        table(folder / "events.tsv", stimulus=[f"s{name}" for name in names])
        settings = {"images": "beta_*.nii", "events": "events.tsv"}
    with pytest.raises(RepbiasError, match=r"beta_0009.nii: called .*0009', but .*Sn\(1\) R1"):
        read_betas(folder, np.array(names), **settings)
    prefix = "s" if by == "events" else ""
    ignore = [prefix + name for name in names[8:]]
    known = np.array([prefix + name for name in names])
    assert len(read_betas(folder, known, ignore=ignore, **settings).responses) == 8


def test_contrasts_of_spm_are_named_too(tmp_path):
    for i, name in enumerate(STIMULI, 1):
        save(tmp_path / f"con_{i:04d}.nii", volumes(1, i)[0], f"Contrast {i}: {name}")
    recording = read_betas(tmp_path, images="con_*.nii", events="headers")
    assert recording.stimulus_ids.tolist() == STIMULI


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("FSL5.0", "names no condition, but 'FSL5.0'"),
        ("", "names no condition, but ''"),
        (f"spm_spm:beta (0001) - Sn(1) {'face' * 20}*bf(1)", "its description is cut off"),
        ("spm_spm:beta (0001) - Sn(1) constant", "no image is the response to a stimulus"),
    ],
)
def test_headers_that_name_no_stimulus_are_refused(description, message, tmp_path):
    save(tmp_path / "beta_0001.nii", volumes(1)[0], description)
    with pytest.raises(RepbiasError, match=message):
        read_betas(tmp_path, images="beta_*.nii", events="headers")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"images": "{stimulus}.nii", "events": "headers"}, "events: not needed, as {stimulus}"),
        ({"images": "*.nii"}, "events: missing; name a table, or put {stimulus}"),
        ({"images": "{stimulus}.nii", "content": "bold"}, "{stimulus} is for betas"),
        ({"images": "*.nii", "events": "headers", "content": "bold"}, "'headers' is for betas"),
        (
            {"images": "{stimulus}.nii", "mask": "{stimulus}.nii"},
            "only {subject}, .* and {hemi} are",
        ),
        ({"images": "{stimulus}.nii", "mask": "variable:m"}, "'variable:' is for arrays"),
        ({"images": "{stimulus}.nii", "voxel_order": "numpy"}, "voxel_order: only for an axis"),
        ({"images": "{stimulus}.*"}, "expected files of one kind, found NIfTI .* and array"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message, tmp_path):
    save(tmp_path / "face.nii", volumes(1)[0])
    np.save(tmp_path / "house.npy", np.ones((2, 2)))
    with pytest.raises(ValidationError, match=message):
        read_betas(tmp_path, **settings)


# Arrays with a mask.


def write_array(path, values, name):
    """Write an array with axes in the order in which the format's own program shows them."""
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix in (".h5", ".hdf5"):
        with h5py.File(path, "w") as file:
            file[name] = values
    elif path.name.startswith("v73"):
        with h5py.File(path, "w", userblock_size=512) as file:  # MATLAB's axes are reversed
            kinds = {"f4": "single", "f8": "double", "i2": "int16", "u1": "uint8"}
            for key, x in {name: values, "other": values[:1]}.items():
                file[key] = np.asarray(x).T
                file[key].attrs["MATLAB_class"] = np.bytes_(kinds[x.dtype.str[1:]])
    else:
        scipy.io.savemat(path, {name: values, "other": values[:1]})


@pytest.mark.parametrize("name", ["x.h5", "x.npy", "x.mat", "v73.mat"])
@pytest.mark.parametrize("axes", [["x", "y", "z", "trial"], ["trial", "z", "y", "x"]])
def test_arrays_of_volumes_have_a_mask(name, axes, tmp_path):
    """GLMsingle's `betasmd` is (x, y, z, trial) in Python and in MATLAB."""
    values = volumes(4).astype(np.float32)
    array = values.transpose([["trial", "x", "y", "z"].index(axis) for axis in axes])
    write_array(tmp_path / name, array, "betasmd")
    mask = np.random.default_rng(1).random(SHAPE) > 0.5
    save(tmp_path / "mask.nii.gz", mask.astype(np.uint8))
    save(tmp_path / "roi.nii", np.where(mask, 1 + np.arange(3)[:, None, None] // 2, 0))
    (tmp_path / "names.csv").write_text("index,name\n1,V1\n2,FFA\n")
    events = table(tmp_path / "trials.tsv", stimulus=["shoe", "face", "house", "face"])
    settings = {
        "path": tmp_path / name,
        "axes": axes,
        "events": str(tmp_path / events),
    } | ({} if name == "x.npy" else {"variable": "betasmd"})
    recording = read_betas(tmp_path, **settings, mask=str(tmp_path / "mask.nii.gz"))
    expected = values[:, mask].astype(float)
    np.testing.assert_array_equal(by_voxel(recording)[2:], expected[[2, 0]])
    np.testing.assert_array_equal(np.sort(by_voxel(recording)[:2], 0), np.sort(expected[[1, 3]], 0))
    found = np.stack([recording.units[axis] for axis in "xyz"], 1)
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, np.argwhere(mask).tolist()))
    recording = read_betas(
        tmp_path,
        **settings,
        regions=str(tmp_path / "roi.nii"),
        region_names=tmp_path / "names.csv",
    )
    np.testing.assert_array_equal(recording.units["region"] == "FFA", recording.units["x"] == 2)
    assert len(recording.units["unit"]) == mask.sum()


NSD = (5, 4, 3)


@pytest.fixture
def nsd(tmp_path):
    """Two sessions in NSD's layout, with its chunks: one voxel, all trials."""
    rng = np.random.default_rng(0)
    inside = rng.random(NSD) > 0.4
    betas = rng.integers(-900, 900, (2, 6, *NSD)).astype(np.int16) * inside.astype(np.int16)
    folder = tmp_path / "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    folder.mkdir(parents=True)
    for session, values in enumerate(betas, 1):
        with h5py.File(folder / f"betas_session{session:02d}.hdf5", "w") as file:
            file.create_dataset("betas", data=values.transpose(0, 3, 2, 1), chunks=(6, 1, 1, 1))
    data = tmp_path / "nsddata/ppdata/subj01"
    cortex = rng.random(NSD)
    roi = np.where(cortex > 0.4, 1, np.where(cortex > 0.2, 0, -1))  # -1 outside the cortex
    save(data / "func1pt8mm/roi/V1.nii.gz", roi)
    (data / "behav").mkdir()
    pd.DataFrame(
        {"SESSION": np.repeat([1, 2], 6), "RUN": [1, 1, 1, 2, 2, 2] * 2, "73KID": [*range(6)] * 2}
    ).to_csv(data / "behav/responses.tsv", sep="\t", index=False)
    return tmp_path, betas, inside


def read_nsd(folder, **settings):
    defaults = {
        "images": "nsddata_betas/ppdata/subj{subject}/func1pt8mm/betas_fithrf_GLMdenoise_RR/"
        "betas_session{session}.hdf5",
        "axes": ["trial", "z", "y", "x"],
        "scale": 300,
        "events": "nsddata/ppdata/subj{subject}/behav/responses.tsv",
        "columns": {"stimulus": "73KID", "session": "SESSION", "run": "RUN"},
    }
    return read_betas(folder, np.array([*"012345"]), **defaults | settings)


def test_nsd_is_read_from_its_folders(nsd):
    folder, betas, inside = nsd
    roi = "nsddata/ppdata/subj{subject}/func1pt8mm/roi/V1.nii.gz"
    (folder / "names.csv").write_text("0,Unknown\n1,V1\n")
    recording = read_nsd(folder, regions=roi, region_names=folder / "names.csv")
    values = np.asarray(nibabel.load(folder / roi.replace("{subject}", "01")).dataobj) == 1
    expected = betas.transpose(1, 0, 2, 3, 4)[:, :, values & inside].reshape(12, -1) / 300
    np.testing.assert_array_equal(by_voxel(recording), expected)
    assert recording.trials["session"].tolist() == [1, 2] * 6
    assert set(recording.units["subject"]) == {"01"}
    assert set(recording.units["region"]) == {"V1"}


def test_what_is_below_0_is_outside_the_mask_and_no_region(nsd, caplog):
    """NSD's masks and regions are -1 outside the cortex; of nsdgeneral, voxels above 0 count."""
    caplog.set_level("INFO")
    folder, betas, inside = nsd
    roi = "nsddata/ppdata/subj{subject}/func1pt8mm/roi/V1.nii.gz"
    values = np.asarray(nibabel.load(folder / roi.replace("{subject}", "01")).dataobj)
    recording = read_nsd(folder, mask=roi)
    expected = betas.transpose(1, 0, 2, 3, 4)[:, :, (values == 1) & inside].reshape(12, -1) / 300
    np.testing.assert_array_equal(by_voxel(recording), expected)
    assert "V1.nii.gz: has values below 0; the mask is where they are above 0" in caplog.text
    save(folder / "all.nii", np.ones(NSD))
    (folder / "names.csv").write_text("-1,outside\n1,V1\n")
    for names in ({}, {"region_names": folder / "names.csv"}):
        both = read_nsd(folder, mask="all.nii", regions=roi, **names)
        named = np.array(
            [values[v] for v in zip(*(both.units[axis] for axis in "xyz"), strict=True)]
        )
        np.testing.assert_array_equal(both.units["region"] != "", named == 1)
    assert "V1.nii.gz: labels below 0 are no region" in caplog.text


def test_voxels_that_are_0_outside_the_brain_are_left_out(nsd):
    folder, _, inside = nsd
    recording = read_nsd(folder)
    found = np.stack([recording.units[axis] for axis in "xyz"], 1)
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, np.argwhere(inside).tolist()))


def test_a_voxel_that_one_session_lacks_is_nan_in_it(nsd):
    """NSD's volumes move between sessions, so that some voxels are not in all of them."""
    folder, _, inside = nsd
    x, y, z = np.argwhere(inside)[0]
    path = next(folder.rglob("betas_session02.hdf5"))
    with h5py.File(path, "r+") as file:
        file["betas"][:, z, y, x] = 0
    recording = read_nsd(folder)
    voxel = by_voxel(recording)[:, 0]
    assert np.isnan(voxel).tolist() == [False, True] * 6
    assert not np.isnan(by_voxel(recording)[:, 1:]).any()


def test_the_wrong_order_of_axes_is_refused(nsd):
    folder, _, _ = nsd
    roi = "nsddata/ppdata/subj{subject}/func1pt8mm/roi/V1.nii.gz"
    message = r"V1.nii.gz: regions: 5 x 4 x 3 voxels, but 3 x 4 x 5 in .*HDF5 shows the axes of"
    with pytest.raises(RepbiasError, match=message):
        read_nsd(folder, axes=["trial", "x", "y", "z"], regions=roi)
    with pytest.raises(RepbiasError, match=r"expected numbers with the axes trial, unit .*'axes'"):
        read_nsd(folder, axes=["trial", "unit"])


def test_swapped_axes_of_the_same_length_leave_many_voxels_without_betas(tmp_path, caplog):
    mask = np.zeros((4, 4, 2), bool)
    mask[:, :2] = True
    values = np.random.default_rng(0).normal(size=(3, 4, 4, 2)) * mask
    write_array(tmp_path / "betas.h5", values, "betas")
    settings = {
        "path": tmp_path / "betas.h5",
        "mask": str(save(tmp_path / "mask.nii", mask.astype(np.int16))),
        "events": str(tmp_path / table(tmp_path / "t.tsv", stimulus=STIMULI)),
    }
    read_betas(tmp_path, **settings, axes=["trial", "x", "y", "z"])
    assert not caplog.text
    read_betas(tmp_path, **settings, axes=["trial", "y", "x", "z"])
    assert "8 of 16 voxels are NaN or 0 throughout and are left out" in caplog.text


def test_integers_need_their_scale(nsd):
    folder, _, _ = nsd
    with pytest.raises(RepbiasError, match=r"betas_session01.hdf5: betas as integers; set 'scale'"):
        read_nsd(folder, scale=None)
    np.testing.assert_array_equal(
        read_nsd(folder, scale=1).responses, np.round(read_nsd(folder).responses * 300)
    )


def test_a_session_that_the_events_lack_is_refused(nsd):
    folder, _, _ = nsd
    path = next(folder.rglob("responses.tsv"))
    events = pd.read_csv(path, sep="\t")
    events[events["SESSION"] == 1].to_csv(path, sep="\t", index=False)
    with pytest.raises(RepbiasError, match=r"no row of SESSION '02', of .*session02.hdf5"):
        read_nsd(folder)


@pytest.mark.parametrize("order", ["numpy", "matlab"])
@pytest.mark.parametrize("whole", [False, True])
def test_units_may_be_the_voxels_of_a_mask(order, whole, tmp_path):
    """nilearn flattens a mask with z fastest, MATLAB with x fastest."""
    values = volumes(3)
    mask = np.random.default_rng(1).random(SHAPE) > 0.5
    flat = (lambda x: x.ravel("C")) if order == "numpy" else (lambda x: x.ravel("F"))
    rows = [flat(volume) if whole else flat(volume)[flat(mask)] for volume in values]
    np.save(tmp_path / "betas.npy", np.stack(rows))
    settings = {
        "path": tmp_path / "betas.npy",
        "events": str(tmp_path / table(tmp_path / "trials.tsv", stimulus=STIMULI)),
        "mask": str(save(tmp_path / "mask.nii", mask.astype(np.uint8))),
        "regions": str(save(tmp_path / "roi.nii", np.arange(24).reshape(SHAPE))),
    }
    recording = read_betas(tmp_path, **settings, voxel_order=order)
    np.testing.assert_array_equal(by_voxel(recording), values[:, mask])
    order_of_units = np.lexsort([recording.units[axis] for axis in "zyx"])
    labels = np.arange(24).reshape(SHAPE)[mask].astype(str)
    labels[labels == "0"] = ""
    np.testing.assert_array_equal(recording.units["region"][order_of_units], labels)
    with pytest.raises(RepbiasError, match=r"mask.nii: set 'voxel_order'"):
        read_betas(tmp_path, **settings)


def test_a_mask_of_another_size_than_the_units_is_refused(tmp_path):
    np.save(tmp_path / "betas.npy", np.ones((3, 5)))
    with pytest.raises(
        RepbiasError, match="24 of its 24 voxels are above 0, but there are 5 units"
    ):
        read_betas(
            tmp_path,
            path=tmp_path / "betas.npy",
            events=str(tmp_path / table(tmp_path / "trials.tsv", stimulus=STIMULI)),
            mask=str(save(tmp_path / "mask.nii", np.ones(SHAPE))),
            voxel_order="numpy",
        )


@pytest.mark.parametrize("axes", [["z", "y", "_", "x", "trial"], ["unit", "_", "_", "trial"]])
def test_mask_and_regions_may_be_in_the_file(axes, tmp_path):
    """GLMsingle gives masked data axes of length 1."""
    in_space = "x" in axes
    shape = SHAPE if in_space else (24,)
    values = volumes(3).reshape(3, *shape)
    mask, labels = (np.arange(24) % 3 > 0).reshape(shape), np.arange(24).reshape(shape) // 9
    stored = values.transpose(3, 2, 1, 0)[:, :, None] if in_space else values.T[:, None, None]
    with h5py.File(tmp_path / "betas.h5", "w") as file:
        file["betasmd"] = stored
        file["mask"] = mask.T.astype(np.uint8)
        file["roi"] = labels.T
    recording = read_betas(
        tmp_path,
        path=tmp_path / "betas.h5",
        variable="betasmd",
        axes=axes,
        mask="variable:mask",
        regions="variable:roi",
        events=str(tmp_path / table(tmp_path / "trials.tsv", stimulus=STIMULI)),
    )
    np.testing.assert_array_equal(recording.responses, values[:, mask])
    expected = np.where(labels[mask] == 0, "", labels[mask].astype(str))
    np.testing.assert_array_equal(recording.units["region"], expected)


@pytest.mark.parametrize("form", ["array", "units", "GIFTI", "NIfTI", "CIFTI"])
def test_nan_is_outside_a_mask(form, tmp_path):
    mask = np.where(np.arange(24) < 5, np.nan, 1).astype(np.float32)
    values = volumes(3)
    events = str(tmp_path / table(tmp_path / "trials.tsv", stimulus=STIMULI))
    settings = {"path": tmp_path / "betas.npy", "mask": str(tmp_path / "mask.nii")}
    if form in ("array", "NIfTI"):
        settings["axes"] = ["trial", "x", "y", "z"]
    save(tmp_path / "mask.nii", mask.reshape(SHAPE))
    if form == "units":
        settings["voxel_order"] = "numpy"
        values = values.reshape(3, 24)[:, 5:]
    np.save(tmp_path / "betas.npy", values)
    if form == "GIFTI":
        path = gifti(tmp_path / "betas.func.gii", values.reshape(3, 24))
        settings = {"path": path, "mask": str(gifti(tmp_path / "mask.shape.gii", [mask]))}
    elif form == "NIfTI":
        path = save(tmp_path / "betas.nii", values.transpose(1, 2, 3, 0))
        settings = {"path": path, "mask": settings["mask"]}
    elif form == "CIFTI":
        places = nibabel.cifti2.BrainModelAxis.from_surface(
            np.arange(24), 24, "CIFTI_STRUCTURE_CORTEX_LEFT"
        )
        values = values.reshape(3, 24)
        maps = nibabel.cifti2.ScalarAxis(STIMULI)
        one = nibabel.cifti2.ScalarAxis(["mask"])
        settings = {
            "path": cifti(tmp_path / "betas.dscalar.nii", values, maps, places),
            "mask": str(cifti(tmp_path / "mask.dscalar.nii", mask[None], one, places)),
        }
    recording = read_betas(tmp_path, **settings, events=events)
    expected = volumes(3).reshape(3, 24)[:, 5:].astype(float)
    np.testing.assert_array_equal(recording.responses, expected)


def test_a_mask_of_text_is_refused(tmp_path):
    np.save(tmp_path / "betas.npy", np.ones((3, 2)))
    (tmp_path / "mask.txt").write_text("0\n1\n")
    with pytest.raises(RepbiasError, match=r"mask.txt: expected numbers in a mask, found <U1"):
        read_betas(
            tmp_path,
            path=tmp_path / "betas.npy",
            events=str(tmp_path / table(tmp_path / "trials.tsv", stimulus=STIMULI)),
            mask=str(tmp_path / "mask.txt"),
        )


def test_pickled_results_of_glmsingle_are_refused_with_what_to_save(tmp_path):
    path = tmp_path / "TYPED_FITHRF_GLMDENOISE_RR.npy"
    np.save(path, {"betasmd": np.ones((2, 2, 2, 3))}, allow_pickle=True)
    with pytest.raises(RepbiasError, match=r"RR.npy: .*pickle.*np\.savez.*betasmd"):
        read_betas(
            tmp_path, path=path, events=str(tmp_path / table(tmp_path / "t.tsv", stimulus=[]))
        )


@pytest.mark.parametrize("chunks", [(200, 1, 1, 1), (1, 16, 16, 16), None])
def test_memory_is_that_of_the_voxels_in_the_mask_and_a_chunk(chunks, tmp_path, monkeypatch):
    """The file has 200 trials of 4096 voxels (1.6 MB as int16, 6.6 MB in float64)."""
    monkeypatch.setattr("repbias.recordings.readers.fmri.arrays.CHUNK_BYTES", 2**16)
    with h5py.File(tmp_path / "betas.h5", "w") as file:
        rng = np.random.default_rng(0)
        values = rng.integers(1, 99, (200, 16, 16, 16)).astype(np.int16)
        file.create_dataset("betas", data=values, chunks=chunks)
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[3:13:3, 2:14:3, ::5] = 1
    save(tmp_path / "mask.nii", mask)
    ids = [f"s{i:03d}" for i in range(200)]
    spec = FmriRecording(
        kind="fmri",
        content="betas",
        stimuli="set",
        path=tmp_path / "betas.h5",
        axes=["trial", "z", "y", "x"],
        scale=1,
        mask=str(tmp_path / "mask.nii"),
        events=str(tmp_path / table(tmp_path / "t.tsv", stimulus=ids)),
    )
    space = ArraySpace(spec, spec.scans()[0])
    file = space.open(spec.path)
    out = np.empty((200, len(space.units)))
    kept = out.nbytes
    tracemalloc.start()
    file.read_into(out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(out, values.transpose(0, 3, 2, 1)[:, mask == 1])
    # A chunk, its transposed copy, and the wanted voxels of it; and an index of all voxels.
    assert peak < 4 * 2**16 + 8 * 4096 + 2**15
    read(spec, np.array(ids))  # imports
    tracemalloc.start()
    read(spec, np.array(ids))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * kept + 4 * 2**16 + 16 * 4096 + 2**18 < values.nbytes


# Surfaces.

N_VERTICES = 10


def gifti(path, arrays, names=None, structure="CortexLeft", intent="NIFTI_INTENT_NONE", labels=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.GiftiImage(
        meta=nibabel.gifti.GiftiMetaData(AnatomicalStructurePrimary=structure)
    )
    for i, values in enumerate(arrays):
        meta = nibabel.gifti.GiftiMetaData(Name=names[i] if names else "")
        kind = "NIFTI_TYPE_INT32" if labels else "NIFTI_TYPE_FLOAT32"
        dtype = np.int32 if labels else np.float32
        image.add_gifti_data_array(
            nibabel.gifti.GiftiDataArray(
                np.asarray(values, dtype), intent=intent, datatype=kind, meta=meta
            )
        )
    for key, name in enumerate(labels):
        label = nibabel.gifti.GiftiLabel(key)
        label.label = name
        image.labeltable.labels.append(label)
    nibabel.save(image, path)
    return path


def label_gifti(path, keys, names, structure="CortexLeft"):
    return gifti(path, [keys], None, structure, "NIFTI_INTENT_LABEL", names)


def surfaces(seed=0):
    """Responses by hemisphere (stimulus, vertex); the medial wall is 0."""
    rng = np.random.default_rng(seed)
    values = {hemi: rng.normal(size=(3, N_VERTICES)).astype(np.float32) for hemi in "LR"}
    values["L"][:, :2] = 0
    return values


def test_hemispheres_are_joined_as_units(tmp_path):
    values = surfaces()
    for hemi, side in (("L", "CortexLeft"), ("R", "CortexRight")):
        for name, x in zip(STIMULI, values[hemi], strict=True):
            gifti(tmp_path / f"sub-1_hemi-{hemi}_{name}.func.gii", [x], structure=side)
        keys = np.where(np.arange(N_VERTICES) < 5, 1, 2)
        label_gifti(tmp_path / f"{hemi}.label.gii", keys, ["???", "V1", "V4"], side)
    recording = read_betas(
        tmp_path,
        images="sub-{subject}_hemi-{hemi}_{stimulus}.func.gii",
        regions="{hemi}.label.gii",
    )
    assert recording.stimulus_ids.tolist() == STIMULI
    expected = np.concatenate([values["L"][:, 2:], values["R"]], 1).astype(float)
    np.testing.assert_array_equal(recording.responses, expected)
    assert recording.units["hemi"].tolist() == ["L"] * 8 + ["R"] * 10
    assert recording.units["vertex"].tolist() == [*range(2, 10), *range(10)]
    assert recording.units["unit"][0] == "1/L/2"
    assert (
        recording.units["region"].tolist()
        == (["V1"] * 3 + ["V4"] * 5) + ["V1", "V4"] * 0 + ["V1"] * 5 + ["V4"] * 5
    )


def test_one_file_may_hold_several_maps(tmp_path):
    values = surfaces()["R"]
    path = gifti(tmp_path / "betas.shape.gii", values, ["shoe", "face", "house"], "CortexRight")
    recording = read_betas(tmp_path, path=path, events="headers")
    np.testing.assert_array_equal(recording.responses, values[[1, 2, 0]].astype(float))
    events = table(tmp_path / "t.tsv", stimulus=["shoe", "face", "house"])
    other = read_betas(tmp_path, path=path, events=str(tmp_path / events))
    np.testing.assert_array_equal(other.responses, recording.responses)


SIDES = {"L": "CortexLeft", "R": "CortexRight"}


def test_hemispheres_whose_maps_have_other_names_are_refused(tmp_path):
    for hemi, names in (("L", STIMULI), ("R", ["face", "shoe", "house"])):
        path = tmp_path / f"hemi-{hemi}.func.gii"
        gifti(path, surfaces()[hemi], names, SIDES[hemi])
    settings = {"images": "hemi-{hemi}.func.gii", "events": "headers"}
    message = r"hemi-R.func.gii: volume 2 of its run is of 'shoe', but of 'house' in .*hemi-L.func"
    with pytest.raises(RepbiasError, match=message):
        read_betas(tmp_path, **settings)
    gifti(tmp_path / "hemi-R.func.gii", surfaces()["R"], STIMULI, SIDES["R"])
    recording = read_betas(tmp_path, **settings)
    np.testing.assert_array_equal(recording.responses[:, 8:], surfaces()["R"].astype(float))


def test_hemispheres_with_other_files_are_refused(tmp_path):
    trials = {"L": [1, 2, 4], "R": [1, 2, 3]}
    for hemi, numbers in trials.items():
        for i, x in zip(numbers, surfaces()[hemi], strict=True):
            gifti(tmp_path / f"hemi-{hemi}_trial{i}.func.gii", [x], structure=SIDES[hemi])
    table(tmp_path / "events.tsv", stimulus=STIMULI)
    settings = {"images": "hemi-{hemi}_trial*.func.gii", "events": "events.tsv"}
    message = "hemi-R_trial3.func.gii: file 3 of its run, as .*hemi-L_trial4.func.gii .* '3' is not"
    with pytest.raises(RepbiasError, match=message):
        read_betas(tmp_path, **settings)
    (tmp_path / "hemi-R_trial3.func.gii").rename(tmp_path / "hemi-R_trial4.func.gii")
    recording = read_betas(tmp_path, **settings)
    np.testing.assert_array_equal(recording.responses[:, 8:], surfaces()["R"].astype(float))


def test_a_table_names_the_files_of_both_hemispheres(tmp_path):
    for hemi in "LR":
        for i, x in enumerate(surfaces()[hemi]):
            gifti(tmp_path / f"hemi-{hemi}_trial{i}.func.gii", [x], structure=SIDES[hemi])
    settings = {"images": "hemi-{hemi}_trial*.func.gii", "events": "events.tsv"}
    files = {hemi: [f"hemi-{hemi}_trial{i}.func.gii" for i in range(3)] for hemi in "LR"}
    names = files["R"][::-1] + files["L"]
    table(
        tmp_path / "events.tsv",
        file=names,
        stimulus=STIMULI[::-1] + STIMULI,
        onset=[4, 2, 0, 0, 2, 4],
    )
    recording = read_betas(tmp_path, **settings)
    np.testing.assert_array_equal(recording.responses[:, 8:], surfaces()["R"].astype(float))
    table(tmp_path / "events.tsv", file=names, stimulus=STIMULI * 2)
    with pytest.raises(
        RepbiasError, match=r"trial0.func.gii: volume 1 .* 'shoe', but of 'face' in"
    ):
        read_betas(tmp_path, **settings)
    table(tmp_path / "events.tsv", file=files["L"], stimulus=STIMULI)
    with pytest.raises(RepbiasError, match="volume 1 of its run is of no stimulus, but of 'face'"):
        read_betas(tmp_path, **settings)


def mismatched_hemispheres(folder):
    gifti(folder / "L_face.func.gii", [np.ones(N_VERTICES)])
    gifti(folder / "L_shoe.func.gii", [np.ones(N_VERTICES)])
    gifti(folder / "R_face.func.gii", [np.ones(N_VERTICES)], structure="CortexRight")


def other_stimuli(folder):
    gifti(folder / "L_face.func.gii", [np.ones(N_VERTICES)])
    gifti(folder / "R_shoe.func.gii", [np.ones(N_VERTICES)], structure="CortexRight")


def wrong_side(folder):
    gifti(folder / "R_face.func.gii", [np.ones(N_VERTICES)], structure="CortexLeft")


def wrong_labels(folder):
    gifti(folder / "L_face.func.gii", [np.ones(N_VERTICES)])
    label_gifti(folder / "L.label.gii", np.ones(N_VERTICES), ["", "V1"], "CortexRight")
    return {"regions": "{hemi}.label.gii"}


def other_surface(folder):
    gifti(folder / "L_face.func.gii", [np.ones(N_VERTICES)])
    gifti(folder / "L_shoe.func.gii", [np.ones(N_VERTICES + 1)])


def geometry(folder):
    points = np.ones((N_VERTICES, 3))
    gifti(folder / "L_face.func.gii", [points], intent="NIFTI_INTENT_POINTSET")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (mismatched_hemispheres, r"/R_shoe.func.gii: there is no such file, though .*/L_shoe.func"),
        (other_stimuli, "R_shoe.func.gii: file 1 of its run, as .*L_face.func.gii .* not 'face'"),
        (wrong_side, "R_face.func.gii: is of CortexLeft, but called hemisphere 'r'"),
        (wrong_labels, "L.label.gii: is of CortexRight, but .*L_face.func.gii of CortexLeft"),
        (other_surface, "L_shoe.func.gii: 11 vertices, but 10 in .*L_face.func.gii"),
        (geometry, "L_face.func.gii: expected values of vertices, found the shape of a surface"),
    ],
)
def test_surfaces_that_do_not_fit_are_refused(write, message, tmp_path):
    settings = write(tmp_path) or {}
    with pytest.raises(RepbiasError, match=message):
        read_betas(tmp_path, images="{hemi}_{stimulus}.func.gii", **settings)


def test_surface_data_in_another_file_or_longer_than_declared_are_refused(tmp_path):
    path = gifti(tmp_path / "face.func.gii", [np.arange(N_VERTICES)])
    text = path.read_text()
    doctype = next(line for line in text.splitlines() if line.startswith("<!DOCTYPE"))
    for change, message in (
        (text.replace('Dim0="10"', 'Dim0="4"'), "longer than it declares"),
        (text.replace('Dim0="10"', 'Dim0="900000000000"'), "GB of memory are free"),
        (text.replace('ExternalFileName=""', 'ExternalFileName="x"'), "data in another file"),
        (
            text.replace(doctype, '<!DOCTYPE GIFTI [<!ENTITY a "b">]>'),
            "declares an XML entity",
        ),
        (text[: len(text) // 2], "cannot be read as GIFTI"),
        ("<x/>", "not a GIFTI file"),
    ):
        path.write_text(change)
        with pytest.raises(RepbiasError, match=f"face.func.gii: .*{message}"):
            read_betas(tmp_path, images="{stimulus}.func.gii")


# CIFTI.


def brain(n=N_VERTICES, shape=(2, 2, 2), affine=AFFINE):
    left = nibabel.cifti2.BrainModelAxis.from_surface(
        np.arange(2, n), n, "CIFTI_STRUCTURE_CORTEX_LEFT"
    )
    right = nibabel.cifti2.BrainModelAxis.from_surface(
        np.arange(n), n, "CIFTI_STRUCTURE_CORTEX_RIGHT"
    )
    mask = np.zeros(shape, bool)
    mask[1, 0, :2] = True
    thalamus = nibabel.cifti2.BrainModelAxis.from_mask(
        mask, affine=affine, name="CIFTI_STRUCTURE_THALAMUS_LEFT"
    )
    return left + right + thalamus


def cifti(path, values, maps, places=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Cifti2Image(values, header=(maps, places or brain())), path)
    return path


def dlabel(path, keys, places):
    names = {0: ("???", (0, 0, 0, 0)), 1: ("V1", (1, 0, 0, 1)), 2: ("V4", (0, 1, 0, 1))}
    maps = nibabel.cifti2.LabelAxis(["areas"], names)
    return cifti(path, np.asarray(keys, np.float32)[None], maps, places)


@pytest.mark.parametrize("suffix", [".dscalar.nii", ".dtseries.nii"])
def test_cifti_has_grayordinates(suffix, tmp_path):
    places = brain()
    values = np.random.default_rng(0).normal(size=(3, len(places))).astype(np.float32)
    shown = ["shoe", "face", "house"]
    maps = nibabel.cifti2.ScalarAxis(shown)
    if suffix == ".dtseries.nii":
        maps = nibabel.cifti2.SeriesAxis(0, 2.0, 3)
    path = cifti(tmp_path / f"betas{suffix}", values, maps)
    events = "headers" if suffix == ".dscalar.nii" else str(tmp_path / "t.tsv")
    table(tmp_path / "t.tsv", stimulus=shown)
    recording = read_betas(tmp_path, path=path, events=events)
    np.testing.assert_array_equal(recording.responses, values[[1, 2, 0]].astype(float))
    assert recording.units["structure"].tolist() == (
        ["cortex_left"] * 8 + ["cortex_right"] * 10 + ["thalamus_left"] * 2
    )
    assert recording.units["vertex"].tolist() == [*range(2, 10), *range(10), -1, -1]
    assert recording.units["z"].tolist() == [-1] * 18 + [0, 1]
    # Labels are of the cortex only, in another order.
    cortex = places[8:18] + places[:8]
    keys = np.where(cortex.vertex < 4, 1, np.where(cortex.vertex < 6, 2, 0))
    regions = dlabel(tmp_path / "areas.dlabel.nii", keys, cortex)
    recording = read_betas(tmp_path, path=path, events=events, regions=str(regions))
    assert recording.units["region"].tolist() == (["V1"] * 2 + ["V4"] * 2) + ["V1"] * 4 + ["V4"] * 2
    chosen = [0, 1, 2, 3, 8, 9, 10, 11, 12, 13]
    np.testing.assert_array_equal(recording.responses, values[[1, 2, 0]][:, chosen].astype(float))


def test_grayordinates_that_do_not_fit_are_refused(tmp_path):
    maps = nibabel.cifti2.ScalarAxis(["face"])
    n = len(brain())
    cifti(tmp_path / "a.dscalar.nii", np.ones((1, n), np.float32), maps)
    cifti(tmp_path / "b.dscalar.nii", np.ones((1, n - 1), np.float32), maps, brain()[1:])
    with pytest.raises(RepbiasError, match=r"b.dscalar.nii: its grayordinates are not those of"):
        read_betas(tmp_path, images="{stimulus}.dscalar.nii")
    labels = dlabel(tmp_path / "x.dlabel.nii", np.ones(n + 2), brain(11))
    with pytest.raises(RepbiasError, match="11 vertices of CIFTI_STRUCTURE_CORTEX_LEFT, but 10 in"):
        read_betas(
            tmp_path,
            path=tmp_path / "a.dscalar.nii",
            events="headers",
            regions=str(labels),
        )
    for i, (other, message) in enumerate(
        (
            (brain(shape=(2, 2, 3)), r"\(2, 2, 3\) voxels, but \(2, 2, 2\) in .*a.dscalar.nii"),
            (brain(affine=2 * AFFINE), "its affine .* is not that of .*a.dscalar.nii"),
        )
    ):
        labels = dlabel(tmp_path / f"{i}.dlabel.nii", np.ones(n), other)
        for name in ("mask", "regions"):
            with pytest.raises(RepbiasError, match=f"{i}.dlabel.nii: {message}"):
                read_betas(
                    tmp_path,
                    path=tmp_path / "a.dscalar.nii",
                    events="headers",
                    **{name: str(labels)},
                )
    save(tmp_path / "c.dscalar.nii", volumes(1)[0])
    with pytest.raises(RepbiasError, match=r"c.dscalar.nii: not a CIFTI file, but Nifti1Image"):
        read_betas(tmp_path, path=tmp_path / "c.dscalar.nii", events="headers")


def test_the_bold_signal_may_be_on_surfaces(tmp_path):
    """The same series on both hemispheres and as grayordinates has the same responses."""
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=(20, N_VERTICES)).astype(np.float32) for _ in range(2))
    gifti(tmp_path / "hemi-L_bold.func.gii", left)
    gifti(tmp_path / "hemi-R_bold.func.gii", right, structure="CortexRight")
    table(tmp_path / "events.tsv", onset=[0, 10, 20], duration=[4, 4, 4], trial_type=STIMULI)
    shared = {"content": "bold", "events": "events.tsv"}
    a = read_betas(tmp_path, images="hemi-{hemi}_bold.func.gii", tr_s=2, **shared)
    places = brain()[:8] + brain()[8:18]
    series = np.concatenate([left[:, 2:], right], 1)
    cifti(tmp_path / "x.dtseries.nii", series, nibabel.cifti2.SeriesAxis(0, 2.0, 20), places)
    b = read_betas(tmp_path, images="*.dtseries.nii", **shared)
    np.testing.assert_array_equal(a.responses[:, 2:], b.responses)


def test_a_compressed_image_is_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("repbias.recordings.readers.fmri.space.CHUNK_BYTES", 1)
    values = volumes(3)
    path = save(tmp_path / "betas.nii.gz", values.transpose(1, 2, 3, 0))
    assert gzip.decompress(path.read_bytes())
    events = table(tmp_path / "t.tsv", stimulus=STIMULI)
    recording = read_betas(tmp_path, path=path, events=str(tmp_path / events))
    np.testing.assert_array_equal(by_voxel(recording), values.reshape(3, -1).astype(float))


# The entries in docs/fmri.md.


def documented():
    page = Path(__file__).parents[2] / "docs" / "fmri.md"
    betas = page.read_text(encoding="utf-8").split("## Betas")[1].split("\n## ")[0]
    blocks = re.findall(r"```yaml\n(.*?)```", betas, flags=re.DOTALL)
    return {
        name: entry
        for block in blocks
        for name, entry in yaml.safe_load(block)["recordings"].items()
    }


def write_nilearn(folder):
    for run in (1, 2):
        for name in STIMULI:
            place = folder / f"derivatives/sub-1/run-{run}"
            save(place / f"{name}_beta.nii.gz", volumes(1, run)[0])
    save(folder / "derivatives/sub-1/mask.nii.gz", np.ones(SHAPE))


def write_trials(folder):
    for i in range(3):
        save(folder / f"betas/trial{i + 8}.nii.gz", volumes(1, i)[0])
    files = [f"trial{i + 8}.nii.gz" for i in range(3)]
    table(folder / "betas/betas.tsv", file=files, stimulus=STIMULI)


def write_spm(folder):
    for i, name in enumerate(SPM, 1):
        path = folder / f"first_level/sub-1/beta_{i:04d}.nii"
        save(path, volumes(1, i)[0], f"spm_spm:beta ({i:04d}) - {name}")


def write_glmsingle(folder):
    write_array(
        folder / "TYPED_FITHRF_GLMDENOISE_RR.hdf5", volumes(3).transpose(1, 2, 3, 0), "betasmd"
    )
    save(folder / "brain.nii.gz", np.ones(SHAPE))
    table(folder / "trials.tsv", stimulus=STIMULI)


def write_nsd(folder):
    betas = folder / "nsd/nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    betas.mkdir(parents=True)
    values = (300 * volumes(3)).astype(np.int16)
    write_array(betas / "betas_session01.hdf5", values.transpose(0, 3, 2, 1), "betas")
    subject = folder / "nsd/nsddata/ppdata/subj01"
    save(subject / "func1pt8mm/roi/prf-visualrois.nii.gz", np.ones(SHAPE))
    (folder / "prf-visualrois.csv").write_text("1,V1v\n")
    (subject / "behav").mkdir()
    table(subject / "behav/responses.tsv", SESSION=[1] * 3, RUN=[1, 1, 2], **{"73KID": STIMULI})


def write_surfaces(folder):
    for hemi, side in (("L", "CortexLeft"), ("R", "CortexRight")):
        for name in STIMULI:
            path = folder / f"surfaces/sub-1_hemi-{hemi}_{name}.func.gii"
            gifti(path, [np.ones(N_VERTICES)], structure=side)
        label_gifti(
            folder / f"surfaces/hemi-{hemi}_areas.label.gii",
            np.ones(N_VERTICES),
            ["???", "V1"],
            side,
        )


def write_grayordinates(folder):
    values = np.ones((3, len(brain())), np.float32)
    cifti(folder / "betas.dscalar.nii", values, nibabel.cifti2.ScalarAxis(STIMULI))
    dlabel(folder / "areas.dlabel.nii", np.ones(len(brain())), brain())


@pytest.mark.parametrize("name", documented())
def test_the_documented_entries_read_their_layouts(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    globals()[f"write_{name}"](tmp_path)
    spec = TypeAdapter(RecordingSpec).validate_python(documented()[name])
    recording = read_recording(spec, KNOWN)
    assert recording.stimulus_ids.tolist() == STIMULI
    assert recording.responses.shape[1] >= 20
    assert not np.isnan(recording.responses).any()


# What a template misses.


def test_folders_of_which_no_file_matches_are_named(tmp_path, caplog):
    """Ids are matched whatever their case; folders and the rest of a name are not."""
    for place, word in (("sub-1/run-1", "Obj"), ("sub-1/run-2", "obj"), ("Sub-2/run-1", "Obj")):
        for name, volume in zip(("face", "shoe"), volumes(2), strict=True):
            save(tmp_path / place / f"{word}_{name}.nii.gz", volume)
    save(tmp_path / "group/run-1" / "mean.nii.gz", volumes(1)[0])
    template = "sub-{subject}/run-{run}/Obj_{stimulus}.nii.gz"
    found = read_betas(tmp_path, np.array(["face", "shoe"]), images=template)
    assert len(found.trials["stimulus_id"]) == 2
    (said,) = [r.getMessage() for r in caplog.records if "no file matches" in r.getMessage()]
    assert said.endswith("in 2 folders, which are left out: Sub-2/run-1, sub-1/run-2")
    caplog.clear()
    read_betas(tmp_path / "sub-1", np.array(["face", "shoe"]), images="run-1/Obj_{stimulus}.nii.gz")
    assert "no file matches" not in caplog.text


def test_a_header_without_its_image_is_refused(tmp_path):
    for name, volume in zip(("face", "shoe"), volumes(2), strict=True):
        save(tmp_path / f"beta_{name}.img", volume)
    (tmp_path / "beta_shoe.img").unlink()
    with pytest.raises(ValidationError, match=r"beta_shoe\.hdr: a header without its image beta_"):
        read_betas(tmp_path, np.array(["face", "shoe"]), images="beta_{stimulus}.img")


def test_copies_of_trials_are_named_as_they_count_as_repeats(tmp_path, caplog):
    """FEAT writes the analysis of a run anew beside the old one: run2+.feat."""
    values = volumes(2)
    for run in ("run1", "run2", "run2+"):
        for name, volume in zip(("face", "shoe"), values + (run == "run1"), strict=True):
            save(tmp_path / f"{run}.feat" / f"{name}.nii.gz", volume)
    found = read_betas(tmp_path, np.array(["face", "shoe"]), images="{run}.feat/{stimulus}.nii.gz")
    assert len(found.trials["stimulus_id"]) == 6
    assert "2 trials hold the same numbers as another trial of their stimulus" in caplog.text
    assert "Their stimuli: face, shoe" in caplog.text
