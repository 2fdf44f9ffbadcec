"""Files written by rsatoolbox are read back exactly, in any order of rows."""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest
from pydantic import ValidationError
from rsatoolbox.data import Dataset, TemporalDataset
from rsatoolbox.rdm import RDMs
from scipy.spatial.distance import squareform

from repbias.base.spec import RepbiasError
from repbias.io.recordings import Recording
from repbias.recordings.readers.rsatoolbox import RsatoolboxRecording, read
from repbias.rsa.rdms import create_rdms

KNOWN = np.array([f"img{i}" for i in range(12)])
RNG = np.random.default_rng(0)
SHOWN = ["img10", "img2", "img1", "img2", "img10", "img0"]


def read_file(path, **settings):
    settings = {"stimulus": "image"} | settings
    spec = RsatoolboxRecording(kind="rsatoolbox", path=path, stimuli="set", **settings)
    return read(spec, KNOWN)


def saved(content, folder, name="data.h5"):
    content.save(str(folder / name), file_type="hdf5", overwrite=True)
    return folder / name


def dataset(order=None, n_times=None, **descriptors):
    rng = np.random.default_rng(1)
    order = np.arange(len(SHOWN)) if order is None else order
    measurements = rng.normal(size=(len(SHOWN), 3, n_times or 1))
    measurements[1, 2] = np.nan
    arguments = {
        "obs_descriptors": {
            "image": [SHOWN[i] for i in order],
            "session": np.array([1, 1, 1, 2, 2, 2])[order],
            "rt": np.array([0.5, np.nan, 0.25, 1, 2, 3])[order],
            "pose": rng.normal(size=(len(SHOWN), 2))[order],
        },
        "channel_descriptors": {"name": ["b", "a", "c"], "depth": [3.0, np.nan, 1.0]},
    } | descriptors
    if n_times is None:
        return Dataset(measurements[order, :, 0], **arguments), measurements[:, :, 0]
    times = {"time": -50 + 50 * np.arange(n_times)}
    return TemporalDataset(measurements[order], time_descriptors=times, **arguments), measurements


def assert_same(a: Recording, b: Recording):
    for part in dataclasses.fields(Recording):
        left, right = getattr(a, part.name), getattr(b, part.name)
        if isinstance(left, dict) and part.name != "info":
            assert left.keys() == right.keys()
            for key in left:
                np.testing.assert_array_equal(left[key], right[key])
        elif isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right


@pytest.mark.parametrize("n_times", [None, 4])
def test_a_dataset_is_read_back_exactly(n_times, tmp_path):
    data, measurements = dataset(n_times=n_times)
    recording = read_file(saved(data, tmp_path), unit="name", time_unit="ms", region="IT")
    assert list(recording.units["unit"]) == ["a", "b", "c"]
    np.testing.assert_array_equal(recording.units["depth"], [np.nan, 3, 1])
    assert set(recording.units["region"]) == {"IT"}
    assert set(recording.units["subject"]) == {"subject1"}
    for i, (image, session) in enumerate(
        zip(recording.trials["stimulus_id"], recording.trials["session"], strict=True)
    ):
        (row,) = [k for k in range(6) if SHOWN[k] == image and [1, 1, 1, 2, 2, 2][k] == session]
        np.testing.assert_array_equal(recording.responses[i], measurements[row][[1, 0, 2]])
        np.testing.assert_array_equal(recording.trials["rt"][i], [0.5, np.nan, 0.25, 1, 2, 3][row])
    assert "pose" not in recording.trials, "two numbers for an observation are no column"
    if n_times:
        assert recording.info["times_s"] == [-0.05, 0.0, 0.05, 0.1]
    recording.write(tmp_path / "recording.h5")
    assert_same(Recording.read(tmp_path / "recording.h5"), recording)


def test_the_order_of_observations_does_not_matter(tmp_path):
    first = read_file(saved(dataset()[0], tmp_path, "a.h5"))
    for seed in range(5):
        data, _ = dataset(np.random.default_rng(seed).permutation(6))
        data.obs_descriptors.pop("pose")
        assert_same(read_file(saved(data, tmp_path, "a.h5")), first)


def test_subjects_and_regions_come_from_channels_or_the_whole_file(tmp_path):
    channels = {"name": ["u", "v", "u"], "area": ["V4", "IT", "IT"], "who": ["m1", "m1", "m2"]}
    data, _ = dataset(channel_descriptors=channels)
    names = {"subject_descriptor": "who", "region_descriptor": "area"}
    recording = read_file(saved(data, tmp_path), unit="name", **names)
    assert list(recording.units["unit"]) == ["m1/u", "m1/v", "m2/u"]
    assert list(recording.units["region"]) == ["V4", "IT", "IT"]
    data, _ = dataset(descriptors={"subject": "m7", "region": "V1"})
    recording = read_file(saved(data, tmp_path))
    assert list(recording.units["unit"]) == ["1", "2", "3"]
    assert set(recording.units["subject"]) == {"m7"}
    assert set(recording.units["region"]) == {"V1"}


def test_numbers_and_text_beyond_ascii_may_be_ids(tmp_path):
    data, measurements = dataset()
    data.obs_descriptors["image"] = np.array([3.0, 1.0, 2.0, 1.0, 3.0, 0.0])
    spec = {"kind": "rsatoolbox", "stimuli": "set", "stimulus": "image"}
    known = np.array(["0", "1", "2", "3"])
    recording = read(RsatoolboxRecording(path=saved(data, tmp_path), **spec), known)
    assert list(recording.trials["stimulus_id"]) == ["0", "1", "1", "2", "3", "3"]
    path = saved(data, tmp_path)
    with h5py.File(path, "a") as file:  # rsatoolbox itself cannot write these
        del file["obs_descriptors/image"]
        file["obs_descriptors/image"] = ["Äpfel", "b", "c", "b", "Äpfel", "d"]
    recording = read(RsatoolboxRecording(path=path, **spec), np.array(["b", "c", "d", "Äpfel"]))
    np.testing.assert_array_equal(
        recording.responses[recording.trials["stimulus_id"] == "c"][0], measurements[2]
    )


def test_rdms_that_repbias_wrote_have_their_ids_outside_ascii(tmp_path):
    ids = ["café", r"caf\xe9", "面孔01", "straße"]
    with create_rdms(tmp_path / "rdms.h5", ids, "correlation") as file:
        file.append([np.arange(6.0)], {"subject": "Jürgen", "session": 1})
    spec = {"kind": "rsatoolbox", "stimuli": "set", "stimulus": "stimulus_id"}
    spec = RsatoolboxRecording(path=tmp_path / "rdms.h5", **spec)
    recording = read(spec, np.sort(ids))
    assert list(recording.stimulus_ids) == sorted(ids)
    assert list(recording.rdm_info["subject"]) == ["Jürgen"]
    assert list(recording.rdm_info["session"]) == [1]


IDS = ["img10", "img2", "img1", "img0"]


def rdms(n=3, order=(0, 1, 2, 3), **descriptors):
    upper = np.random.default_rng(2).uniform(1, 2, size=(n, 6))
    squares = np.stack([squareform(row)[np.ix_(order, order)] for row in upper])
    arguments = {
        "pattern_descriptors": {"image": [IDS[i] for i in order]},
        "rdm_descriptors": {
            "subject": ["s2", "s1", "s2"][:n],
            "region": ["V1", "V1", "IT"][:n],
            "age": [20.0, np.nan, 20.0][:n],
        },
    } | descriptors
    return RDMs(squares, dissimilarity_measure="crossnobis", **arguments), squares


def test_rdms_are_read_back_exactly(tmp_path):
    written, squares = rdms()
    recording = read_file(saved(written, tmp_path))
    assert recording.responses is None
    assert list(recording.stimulus_ids) == ["img0", "img1", "img10", "img2"]
    order = [IDS.index(i) for i in recording.stimulus_ids]
    for row, square in zip(recording.rdms, squares, strict=True):
        np.testing.assert_array_equal(squareform(row), square[np.ix_(order, order)])
    assert list(recording.rdm_info["subject"]) == ["s2", "s1", "s2"]
    assert list(recording.rdm_info["session"]) == [0, 0, 1]
    assert list(recording.rdm_info["region"]) == ["V1", "V1", "IT"]
    np.testing.assert_array_equal(recording.rdm_info["age"], [20, np.nan, 20])
    assert recording.info["distance"] == "crossnobis"
    recording.write(tmp_path / "recording.h5")
    assert_same(Recording.read(tmp_path / "recording.h5"), recording)


def test_the_order_of_patterns_does_not_matter(tmp_path):
    first = read_file(saved(rdms()[0], tmp_path))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(4)
        assert_same(read_file(saved(rdms(order=order)[0], tmp_path)), first)


def test_patterns_may_be_left_out_or_renamed(tmp_path):
    written, squares = rdms(pattern_descriptors={"image": ["horse", "img2", "img1", "cow"]})
    names = tmp_path / "names.csv"
    names.write_text("horse,img0\n")
    settings = {"rename": names, "unmatched": "leave_out"}
    recording = read_file(saved(written, tmp_path), **settings)
    assert list(recording.stimulus_ids) == ["img0", "img1", "img2"]
    np.testing.assert_array_equal(
        squareform(recording.rdms[0]), squares[0][np.ix_([0, 2, 1], [0, 2, 1])]
    )


def test_rdms_of_several_subjects_need_a_subject_descriptor(tmp_path):
    path = saved(rdms(rdm_descriptors={})[0], tmp_path)
    with pytest.raises(RepbiasError, match="3 RDMs and no descriptor 'subject'"):
        read_file(path)
    recording = read_file(path, subject_descriptor="index", region="V4")
    assert list(recording.rdm_info["subject"]) == ["0", "1", "2"]
    recording = read_file(saved(rdms(1, rdm_descriptors={})[0], tmp_path), subject="m1")
    assert list(recording.rdm_info["subject"]) == ["m1"]


def bad_rdms():
    written, _ = rdms()
    written.dissimilarities[1, 2:4] = np.nan
    return written


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (dataset, {"stimulus": "imag"}, r"no descriptor 'imag'; did you mean 'image'\?"),
        (dataset, {"stimulus": "rt"}, "observation 2 of 6 has no name"),
        (dataset, {"stimulus": "pose"}, r"one name for each observation, found shape \(6, 2\)"),
        (dataset, {"unit": "depth"}, "channel 2 of 3 has no name"),
        (dataset, {"unit": "nam"}, "did you mean 'name'"),
        (dataset, {"region_descriptor": "area"}, "no descriptor 'area'"),
        (dataset, {"window": (0, 1)}, "window needs a TemporalDataset"),
        (
            rdms,
            {"stimulus": "img"},
            r"no descriptor 'img'; did you mean 'image'\? \(allowed: image, index",
        ),
        (rdms, {"standardise": True}, "holds RDMs, which have no standardise"),
        (bad_rdms, {}, "2 of the 6 dissimilarities of subject 's1', session 0"),
        (
            lambda: rdms(2, rdm_descriptors={"session": [[1, 2], [3, 4]]})[0],
            {"subject_descriptor": "index"},
            "descriptor 'session' is neither a number nor a text for every RDM",
        ),
        (
            lambda: rdms(pattern_descriptors={"image": ["img1", "img1", "img2", "img3"]})[0],
            {},
            "the id 'img1' occurs twice",
        ),
        (
            lambda: rdms(pattern_descriptors={"image": ["img1", "cow", "img2", "img3"]})[0],
            {},
            "1 of 4 ids are not in 'set': 'cow'",
        ),
        (
            lambda: dataset(channel_descriptors={"name": ["a", "b", "a"]})[0],
            {"unit": "name"},
            "units: the id 'a' occurs twice",
        ),
    ],
)
def test_what_does_not_fit_is_refused(content, settings, message, tmp_path):
    content = content()
    path = saved(content[0] if isinstance(content, tuple) else content, tmp_path)
    with pytest.raises(RepbiasError, match=message) as error:
        read_file(path, **settings)
    assert path.name in str(error.value)


def test_pickles_are_not_loaded(tmp_path):
    path = tmp_path / "data.pkl"
    dataset()[0].save(str(path), file_type="pkl")
    with pytest.raises(ValidationError, match="pickled files are never loaded"):
        read_file(path)
    path.rename(tmp_path / "data.h5")
    with pytest.raises(RepbiasError, match="not an HDF5 file"):
        read_file(tmp_path / "data.h5")


@pytest.mark.parametrize(
    "link", [h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/measurements")]
)
def test_links_are_not_followed(link, tmp_path):
    path = saved(dataset()[0], tmp_path)
    with h5py.File(path, "a") as file:
        file["obs_descriptors/secret"] = link
    with pytest.raises(RepbiasError, match="'obs_descriptors/secret' is a link"):
        read_file(path)


def test_data_in_other_files_are_not_read(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(48))
    path = saved(dataset()[0], tmp_path)
    with h5py.File(path, "a") as file:
        del file["obs_descriptors/rt"]
        external = [(str(tmp_path / "secret"), 0, 48)]
        file["obs_descriptors"].create_dataset("rt", (6,), "f8", external=external)
    with pytest.raises(RepbiasError, match="'obs_descriptors/rt' keeps its data in other files"):
        read_file(path)


@pytest.mark.slow
def test_truncated_and_other_files_are_refused(tmp_path):
    whole = saved(dataset()[0], tmp_path).read_bytes()
    for n in range(1, len(whole), len(whole) // 20):
        path = tmp_path / "cut.h5"
        path.write_bytes(whole[:n])
        with pytest.raises(RepbiasError, match=r"cut\.h5"):
            read_file(path)
        path.unlink()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(RepbiasError, match=r"neither a dataset nor RDMs .* the file holds x"):
        read_file(tmp_path / "other.h5")


def test_observations_are_selected_by_their_descriptors(tmp_path):
    content, measurements = dataset()
    path = saved(content, tmp_path)
    found = read_file(path, unit="name", trials_where={"session": 2})
    assert found.trials["stimulus_id"].tolist() == ["img0", "img10", "img2"]
    np.testing.assert_array_equal(found.responses, measurements[[5, 4, 3]][:, [1, 0, 2]])
    assert found.info["trials_left_out"] == 3
