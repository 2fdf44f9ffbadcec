"""Arrays with named axes are read back as they were written, in any order of the axes."""

from __future__ import annotations

from itertools import permutations

import h5py
import numpy as np
import pytest
import scipy.io
from pandas.testing import assert_frame_equal
from pydantic import ValidationError

from repbias.base.identities import as_ids
from repbias.base.spec import RepbiasError
from repbias.encoding.spec import Encoding
from repbias.encoding.tables import encode_recording
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.array import ArrayRecording
from repbias.recordings.readers.common import RawResponses, canonical
from repbias.recordings.reliability import reliability_table
from repbias.recordings.responses import by_repeat
from repbias.rsa.rdms import read_rdms, write_layer_rdms
from repbias.rsa.tables import compare_with_recording

KNOWN = np.array([f"image{i}" for i in range(9)])
AXES = ("stimulus", "repeat", "unit", "subject", "time")
SHAPE = (5, 3, 2, 2, 4)
IDS = ["image7", "image1", "image8", "image0", "image3"]


def read(array, tmp_path, ids=IDS, known=KNOWN, **settings):
    path = tmp_path / "responses.npy"
    np.save(path, array)
    return read_file(path, ids, known, **settings)


def read_file(path, ids=IDS, known=KNOWN, **settings):
    settings = {"axes": ["stimulus", "repeat", "unit"]} | settings
    spec = ArrayRecording(kind="array", path=path, stimuli="set", stimulus_ids=ids, **settings)
    return read_recording(spec, known)


def rows(recording: Recording) -> dict:
    """Return the row of responses of every (stimulus, repeat)."""
    trials = zip(recording.trials["stimulus_id"], recording.trials["repeat"], strict=True)
    return dict(zip(trials, recording.responses, strict=True))


def test_reads_back_what_was_written_in_every_order_of_the_axes(tmp_path):
    array = np.random.default_rng(0).normal(size=SHAPE)
    for order in permutations(range(5)):
        recording = read(array.transpose(order), tmp_path, axes=[AXES[i] for i in order])
        assert list(recording.units["subject"]) == ["subject1"] * 2 + ["subject2"] * 2
        found = rows(recording)
        assert len(found) == 5 * 3
        for (stimulus, repeat), row in found.items():
            for u in range(2):
                for s in range(2):
                    written = array[IDS.index(stimulus), repeat, u, s]
                    np.testing.assert_array_equal(row[2 * s + u], written)


def test_missing_axes_have_length_one(tmp_path):
    """A (unit, stimulus) matrix of averages is one repeat of one subject without time."""
    array = np.arange(10.0).reshape(2, 5)
    recording = read(array, tmp_path, axes=["unit", "stimulus"], subject="PE", region="V4")
    assert recording.responses.shape == (5, 2)
    assert set(recording.trials["repeat"]) == {0}
    assert list(recording.units["subject"]) == ["PE", "PE"]
    assert list(recording.units["region"]) == ["V4", "V4"]
    for (stimulus, _), row in rows(recording).items():
        np.testing.assert_array_equal(row, array[:, IDS.index(stimulus)])


def test_without_an_axis_of_units_the_array_is_of_one(tmp_path):
    array = np.random.default_rng(0).normal(size=(5, 3))
    expected = read(array[:, :, None], tmp_path, axes=["stimulus", "repeat", "unit"])
    found = read(array, tmp_path, axes=["stimulus", "repeat"])
    np.testing.assert_array_equal(found.responses, expected.responses)
    assert found.units["unit"].tolist() == ["subject1/1"]
    found = read(array, tmp_path, axes=["stimulus", "subject"])
    assert found.units["unit"].tolist() == ["subject1/1", "subject2/1", "subject3/1"]
    assert read(array[:, 0], tmp_path, axes=["trial"]).responses.shape == (5, 1)


def test_unnamed_axes_of_length_one_are_dropped(tmp_path):
    array = np.arange(10.0).reshape(1, 5, 1, 2)
    recording = read(array, tmp_path, axes=["_", "stimulus", "_", "unit"])
    assert rows(recording)["image1", 0].tolist() == [2.0, 3.0]


@pytest.mark.parametrize("kind", ["npy", "npz", "h5", "mat"])
def test_every_kind_of_file_gives_the_same_recording(kind, tmp_path):
    array = np.random.default_rng(1).normal(size=(5, 3, 2))
    path = tmp_path / f"responses.{kind}"
    variable = {"npy": None, "npz": "spikes", "h5": "v4/spikes", "mat": "session.spikes"}[kind]
    if kind == "npy":
        np.save(path, array)
    elif kind == "npz":
        np.savez(path, spikes=array, other=np.zeros(3))
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["v4/spikes"] = array
            file["other"] = np.zeros(3)
    else:
        scipy.io.savemat(path, {"session": {"spikes": array}})
    axes = ["stimulus", "repeat", "unit"]
    if kind == "mat":  # MATLAB wraps a structure in a 1 x 1 array
        axes = ["_", "_", *axes]
    found = rows(read_file(path, variable=variable, axes=axes))
    for (stimulus, repeat), row in found.items():
        np.testing.assert_array_equal(row, array[IDS.index(stimulus), repeat])


def test_repeats_without_any_observation_are_dropped_and_others_kept(tmp_path):
    array = np.ones((5, 3, 2))
    array[0, 1:] = np.nan  # one repeat only
    array[2, 2, 0] = np.nan  # one of two units
    array[4] = np.nan  # never shown
    recording = read(array, tmp_path)
    found = rows(recording)
    assert len(found) == 1 + 3 + 3 + 3
    assert [repeat for stimulus, repeat in found if stimulus == IDS[0]] == [0]
    np.testing.assert_array_equal(found[IDS[2], 2], [np.nan, 1])
    assert IDS[4] not in recording.trials["stimulus_id"]
    assert set(recording.stimulus_ids) == set(IDS[:4]), "a stimulus without responses is left out"


def test_time_bins_and_their_times_are_kept(tmp_path):
    array = np.random.default_rng(2).normal(size=(5, 2, 3))
    axes = ["stimulus", "unit", "time"]
    recording = read(array, tmp_path, axes=axes, times=[0.05, 0.1, 0.15])
    assert recording.info["times_s"] == [0.05, 0.1, 0.15]
    np.testing.assert_array_equal(rows(recording)["image8", 0], array[2])
    with pytest.raises(RepbiasError, match="times has 2 entries for 3 bins"):
        read(array, tmp_path, axes=axes, times=[0.05, 0.1])


def test_regions_are_read_from_a_file_one_for_each_unit(tmp_path):
    regions = tmp_path / "regions.txt"
    regions.write_text("V4\nIT\n")
    axes = ["stimulus", "unit", "subject"]
    recording = read(np.ones((5, 2, 2)), tmp_path, axes=axes, regions=regions)
    assert list(recording.units["region"]) == ["V4", "IT", "V4", "IT"]
    assert len(set(recording.units["unit"])) == 4
    with pytest.raises(RepbiasError, match="2 regions for 3 units"):
        read(np.ones((5, 3, 2)), tmp_path, axes=axes, regions=regions)


def test_ids_may_be_a_list_a_file_or_the_sorted_set(tmp_path):
    array = np.arange(9.0)[:, None]
    file = tmp_path / "ids.txt"
    file.write_text("\n".join(KNOWN) + "\n")
    for ids in (list(KNOWN), str(file), "sorted"):
        found = rows(read(array, tmp_path, ids=ids, axes=["stimulus", "unit"]))
        assert {stimulus: row[0] for (stimulus, _), row in found.items()} == {
            f"image{i}": i for i in range(9)
        }


def test_a_sorted_axis_says_how_where_that_makes_a_difference(tmp_path):
    """Twelve stimuli in natural order, whose responses are their numbers."""
    known, axes = np.array(sorted(f"image_{i}" for i in range(1, 13))), ["stimulus", "unit"]
    array = np.arange(1.0, 13)[:, None]
    with pytest.raises(RepbiasError, match="more than one sorted order") as caught:
        read(array, tmp_path, ids="sorted", known=known, axes=axes)
    said = str(caught.value)
    assert "as text ... 'image_10', 'image_11', 'image_12'; naturally ... 'image_2'" in said
    recording = read(array, tmp_path, ids="sorted naturally", known=known, axes=axes)
    numbers = [float(i.removeprefix("image_")) for i in recording.stimulus_ids]
    assert recording.responses[:, 0].tolist() == numbers
    recording = read(array, tmp_path, ids="sorted as text", known=known, axes=axes)
    assert recording.responses[:, 0].tolist() == sorted(numbers)
    padded = np.array([f"image_{i:02}" for i in range(1, 13)])
    for ids in ("sorted", "sorted as text", "sorted naturally"):
        recording = read(array, tmp_path, ids=ids, known=padded, axes=axes)
        assert recording.responses[:, 0].tolist() == array[:, 0].tolist()


def test_programs_that_ignore_case_sort_otherwise(tmp_path):
    known = np.array(["Zebra", "ant", "bee", "cat"])
    with pytest.raises(RepbiasError, match=r"regardless of case \.\.\. 'ant'"):
        read(np.ones((4, 2)), tmp_path, ids="sorted", known=known, axes=["stimulus", "unit"])


def test_programs_that_list_folder_by_folder_sort_otherwise(tmp_path):
    known = np.array(["face-up/1", "face/1", "tree/1"])
    with pytest.raises(RepbiasError, match=r"folder by folder \.\.\. 'face/1', 'face-up/1'"):
        read(np.ones((3, 2)), tmp_path, ids="sorted", known=known, axes=["stimulus", "unit"])


def test_sessions_go_in_natural_order(tmp_path):
    """By text, the tenth session would come second; the repeats would be numbered so."""
    sessions = np.array([f"ses-{i}" for i in range(1, 13)])
    raw = RawResponses(
        stimulus=["a"] * 12,
        responses=np.arange(1.0, 13)[::-1, None],
        trials={"session": sessions[::-1]},
        units={"unit": ["u"], "subject": ["s"], "region": [""]},
    )
    np.save(tmp_path / "r.npy", np.ones(1))
    spec = ArrayRecording(
        kind="array", path=tmp_path / "r.npy", axes=["trial", "unit"], stimuli="s", stimulus_ids=[]
    )
    recording = canonical(spec, np.array(["a"]), raw)
    assert recording.trials["session"].tolist() == sessions.tolist()
    assert by_repeat(recording)[0, :, 0].tolist() == list(range(1, 13))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (IDS[:4], "the stimulus axis has length 5, but stimulus_ids gives 4 ids"),
        ("sorted", "the stimulus axis has length 5, but .* gives 9 ids"),
        ([*IDS[:4], "image7"], r"the id 'image7' occurs twice"),
        ([*IDS[:4], "face1"], r"1 of 5 ids are not in 'set': 'face1'"),
    ],
)
def test_ids_that_do_not_fit_are_refused(ids, message, tmp_path):
    with pytest.raises(RepbiasError, match=message):
        read(np.ones((5, 2)), tmp_path, ids=ids, axes=["stimulus", "unit"])


@pytest.mark.parametrize(
    ("array", "axes", "message"),
    [
        (np.ones((5, 2)), ["stimulus", "repeat", "unit"], r"names 3 axes .* the array has 2"),
        (np.ones((5, 2, 2)), ["stimulus", "unit", "_"], "axis called _ has length 2"),
        (np.full((5, 2), np.nan), ["stimulus", "unit"], "every response is NaN"),
        (np.full((5, 2), np.inf), ["stimulus", "unit"], "10 responses are infinite"),
        (np.full((5, 2), "a"), ["stimulus", "unit"], "expected numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(array, axes, message, tmp_path):
    with pytest.raises(RepbiasError, match=message):
        read(array, tmp_path, axes=axes)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (["unit", "repeat"], "no axis is called stimulus"),
        (["repeat", "subject"], "no axis is called stimulus or trial"),
        (["stimulus", "unit", "unit"], "named twice: unit"),
        (["stimulus", "units"], "units"),
    ],
)
def test_invalid_axes_are_refused(axes, message, tmp_path):
    with pytest.raises(ValidationError, match=message):
        read(np.ones((5, 2)), tmp_path, axes=axes)


def test_pickles_are_not_loaded(tmp_path):
    path = tmp_path / "objects.npy"
    np.save(path, np.array([[{"a": 1}] * 2] * 5), allow_pickle=True)
    with pytest.raises(RepbiasError, match=r"never loaded \(allow_pickle=False.*np\.savez"):
        read_file(path, axes=["stimulus", "unit"])


def test_the_canonical_file_keeps_everything(tmp_path):
    array = np.random.default_rng(3).normal(size=(5, 3, 2))
    array[1, 2] = np.nan
    recording = read(array, tmp_path, modality="spikes", response_unit="spikes in 100 ms")
    recording.write(tmp_path / "recording.h5")
    again = Recording.read(tmp_path / "recording.h5")
    np.testing.assert_array_equal(again.responses, recording.responses)
    for part in ("trials", "units", "stimuli"):
        before, after = getattr(recording, part), getattr(again, part)
        assert before.keys() == after.keys()
        for column in before:
            np.testing.assert_array_equal(after[column], before[column])
    assert again.info == recording.info
    assert again.info["modality"] == "spikes"


@pytest.mark.parametrize("step", ["reliability", "rsa", "encoding"])
def test_shuffling_the_stimulus_axis_with_its_ids_changes_no_result(
    step, tmp_path, make_activations
):
    """Stimuli are identified by their ids; their order in a file is arbitrary."""
    rng = np.random.default_rng(4)
    known = np.array([f"image{i:02d}" for i in range(40)])
    signal = rng.normal(size=(40, 6))
    array = signal[:, None] + rng.normal(size=(40, 4, 6))
    layer = (signal @ rng.normal(size=(6, 10)))[None]
    activations = {"net": make_activations({"layer": layer}, list(known))}

    def result(order):
        recording = read(array[order], tmp_path, ids=list(known[order]), known=known)
        if step == "reliability":
            return reliability_table("v4", recording)
        if step == "encoding":
            return encode_recording("v4", recording, "set", activations, Encoding(inner_folds=3))
        write_layer_rdms(tmp_path / "rdms.h5", activations["net"], "correlation", None)
        rdms = {"net": read_rdms(tmp_path / "rdms.h5")}
        return compare_with_recording("v4", recording, "set", rdms, Geometry(bootstraps=100))

    shuffled = result(rng.permutation(40))
    assert_frame_equal(shuffled, result(np.arange(40)), check_exact=False, rtol=1e-9)


def test_macaque_v4_averages_equal_the_published_ones(test_data, tmp_path):
    """Cowley et al. (2023) publish raw responses and, in another file, their averages."""
    from repbias.recordings.responses import stimulus_means

    known = np.array([f"image{i + 1:04d}" for i in range(640)])
    folder = test_data / "v4_cowley2023"
    recording = read_file(
        folder / "responses_raw" / "responses_210325.npy",
        ids="sorted",
        known=known,
        axes=["unit", "stimulus", "repeat"],
    )
    published = np.load(folder / "responses_repeat_averaged" / "responses_210325.npy")
    np.testing.assert_allclose(stimulus_means(recording), published.T, rtol=1e-12)
    # 36 images x 6 repeats, 261 x 7, 294 x 8, 45 x 9, 4 x 10 (SOURCE.md of the data)
    assert len(recording.responses) == 36 * 6 + 261 * 7 + 294 * 8 + 45 * 9 + 4 * 10


def test_a_missing_id_does_not_change_the_others():
    assert as_ids([1.0, np.nan, 3.5, 1e19]).tolist() == ["1", "nan", "3.5", "10000000000000000000"]


def test_units_of_several_subjects_may_share_the_axis(tmp_path):
    array = np.random.default_rng(0).normal(size=(5, 3, 4))
    (tmp_path / "subjects.txt").write_text("b\na\nb\na\n")
    (tmp_path / "regions.txt").write_text("V1\nV1\nIT\nIT\n")
    paths = {name: tmp_path / f"{name}.txt" for name in ("subjects", "regions")}
    recording = read(array, tmp_path, axes=["stimulus", "repeat", "unit"], **paths)
    assert recording.units["unit"].tolist() == ["a/2", "a/4", "b/1", "b/3"]
    assert recording.units["subject"].tolist() == ["a", "a", "b", "b"]
    assert recording.units["region"].tolist() == ["V1", "IT", "V1", "IT"]
    first = rows(recording)["image7", 0]
    np.testing.assert_array_equal(first, array[0, 0, [1, 3, 0, 2]])


def test_trials_of_unknown_stimuli_are_counted(tmp_path):
    array = np.zeros((5, 3, 2)) + np.arange(5)[:, None, None]
    ids = [*IDS[:3], "cat", "dog"]
    recording = read(array, tmp_path, ids=ids, unmatched="leave_out")
    assert recording.info["unmatched_trials"] == 6
    assert recording.info["unmatched_ids"] == ["cat", "dog"]
    assert len(recording.responses) == 9


def test_stimuli_are_left_out_by_their_ids(tmp_path):
    array = np.random.default_rng(0).normal(size=(6, 2))
    ids, axes = [*IDS, "blank"], ["stimulus", "unit"]
    with pytest.raises(RepbiasError, match=r"'blank' .*; 'rename' gives them the ids"):
        read(array, tmp_path, ids=ids, axes=axes)
    recording = read(array, tmp_path, ids=ids, axes=axes, exclude=["blank", "image1"])
    assert recording.stimulus_ids.tolist() == ["image0", "image3", "image7", "image8"]
    np.testing.assert_array_equal(recording.responses, array[[3, 4, 0, 2]])
    assert recording.info["unmatched_ids"] == []
    assert recording.info["stimuli_in_set"] == 8
    with pytest.raises(RepbiasError, match=r"exclude: no stimulus 'blanc'; did you mean 'blank'\?"):
        read(array, tmp_path, ids=ids, axes=axes, exclude=["blanc"])
    with pytest.raises(ValidationError, match="'blank' occurs twice"):
        read(array, tmp_path, ids=ids, axes=axes, exclude=["blank", "blank"])


def test_standard_errors_follow_the_responses(tmp_path):
    rng = np.random.default_rng(0)
    means, errors = rng.normal(size=(2, 4, 5)), rng.random((2, 4, 5))
    path = tmp_path / "r.npz"
    np.savez(path, means=means[0], errors=errors[0])
    settings = {"variable": "means", "standard_errors": "errors", "axes": ["unit", "stimulus"]}
    recording = read_file(path, **settings)
    for i, stimulus in enumerate(recording.trials["stimulus_id"]):
        row = IDS.index(stimulus)
        np.testing.assert_array_equal(recording.responses[i], means[0][:, row])
        np.testing.assert_array_equal(recording.standard_errors[i], errors[0][:, row])
    recording.write(tmp_path / "r.h5")
    found = Recording.read(tmp_path / "r.h5")
    np.testing.assert_array_equal(found.standard_errors, recording.standard_errors)
    with pytest.raises(ValidationError, match="standard_errors are of averages"):
        read_file(path, **settings | {"axes": ["repeat", "stimulus", "unit"]})


def test_trials_of_unknown_order_are_not_sorted_by_count(tmp_path):
    """Without information about their order, small and large counts come first equally often."""
    counts = np.tile([0.0, 1.0], 40)[:, None] * np.ones((80, 2))
    known = np.array([f"s{i:02d}" for i in range(40)])
    ids = np.repeat(known, 2).tolist()
    recording = read(counts, tmp_path, ids=ids, known=known, axes=["trial", "unit"])
    first = recording.responses[recording.trials["repeat"] == 0, 0]
    assert 10 <= first.sum() <= 30
