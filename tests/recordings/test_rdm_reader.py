"""Recordings of RDMs: square matrices and upper triangles, with subjects and sessions."""

from __future__ import annotations

from itertools import permutations

import h5py
import numpy as np
import pytest
import scipy.io
from pandas.testing import assert_frame_equal
from pydantic import ValidationError
from scipy.spatial.distance import squareform

from repbias.base.spec import RepbiasError
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.rdms import RdmRecording
from repbias.rsa.rdms import aligned_vectors, make_rdms, subject_rdms
from repbias.rsa.tables import compare_with_recording

KNOWN = np.array([f"image{i}" for i in range(9)])
IDS = ["image7", "image1", "image8", "image0", "image3"]


def read(array, tmp_path, ids=IDS, **settings):
    path = tmp_path / "rdms.npy"
    np.save(path, array)
    spec = RdmRecording(kind="rdms", path=path, stimuli="set", stimulus_ids=ids, **settings)
    return read_recording(spec, KNOWN)


def random_rdms(*shape, n=5, seed=0):
    """Square symmetric matrices with a zero diagonal, (*shape, n, n)."""
    upper = np.random.default_rng(seed).uniform(1, 2, size=(*shape, n * (n - 1) // 2))
    flat = upper.reshape(-1, upper.shape[-1])
    return np.stack([squareform(row) for row in flat]).reshape(*shape, n, n)


def matrices(recording: Recording) -> dict:
    """Return the square RDM, in the order of IDS, of every (subject, session)."""
    order = [list(recording.stimulus_ids).index(i) for i in IDS]
    keys = zip(recording.rdm_info["subject"], recording.rdm_info["session"], strict=True)
    squares = (squareform(row)[np.ix_(order, order)] for row in recording.rdms)
    return dict(zip(keys, squares, strict=True))


def test_reads_back_what_was_written_in_every_order_of_the_axes(tmp_path):
    array = random_rdms(3, 2)
    names = ("subject", "session", "stimulus", "stimulus")
    for order in permutations(range(4)):
        recording = read(array.transpose(order), tmp_path, axes=[names[i] for i in order])
        found = matrices(recording)
        assert len(found) == 6
        for (subject, session), square in found.items():
            written = array[int(subject.removeprefix("subject")) - 1, session]
            np.testing.assert_array_equal(square, written)


def test_stimuli_are_left_out_by_their_ids(tmp_path):
    array = random_rdms(n=6)
    ids = [*IDS[:3], "blank", *IDS[3:]]
    recording = read(array, tmp_path, ids=ids, axes=["stimulus", "stimulus"], exclude=["blank"])
    kept = [i for i, name in enumerate(ids) if name != "blank"]
    ((_, square),) = matrices(recording).items()
    np.testing.assert_array_equal(square, array[np.ix_(kept, kept)])
    with pytest.raises(RepbiasError, match=r"exclude: no stimulus 'blanc'; did you mean 'blank'\?"):
        read(array, tmp_path, ids=ids, axes=["stimulus", "stimulus"], exclude=["blanc"])


def test_upper_triangles_and_square_matrices_are_the_same(tmp_path):
    """SciPy's squareform defines the order of pairs."""
    square = random_rdms()
    from_pairs = read(squareform(square), tmp_path, axes=["pair"])
    np.testing.assert_array_equal(
        matrices(from_pairs)["subject1", 0],
        matrices(read(square, tmp_path, axes=["stimulus"] * 2))["subject1", 0],
    )


def test_a_structure_array_of_matlab_is_read(tmp_path):
    """The format of the 92-image data: a structure (subject, session) with a field RDM."""
    array = random_rdms(3, 2)
    structure = np.empty((3, 2), dtype=[("RDM", object), ("name", object)])
    for i in range(3):
        for j in range(2):
            structure[i, j] = (array[i, j], f"subject {i}, session {j}")
    path = tmp_path / "rdms.mat"
    scipy.io.savemat(path, {"RDMs": structure})
    spec = RdmRecording(
        kind="rdms",
        path=path,
        variable="RDMs.RDM",
        axes=["subject", "session", "stimulus", "stimulus"],
        stimuli="set",
        stimulus_ids=IDS,
    )
    found = matrices(read_recording(spec, KNOWN))
    np.testing.assert_array_equal(found["subject3", 1], array[2, 1])


def test_only_the_wanted_subjects_are_kept_with_their_names(tmp_path):
    array = random_rdms(3)
    axes = ["subject", "stimulus", "stimulus"]
    recording = read(array, tmp_path, axes=axes, subjects=["a", "b", "c"], only_subjects=[2, 0])
    found = matrices(recording)
    assert list(found) == [("c", 0), ("a", 0)]
    np.testing.assert_array_equal(found["c", 0], array[2])
    np.testing.assert_array_equal(found["a", 0], array[0])


def test_sessions_of_a_subject_are_averaged_for_the_comparison(tmp_path):
    array = random_rdms(2, 3)
    recording = read(array, tmp_path, axes=["subject", "session", "stimulus", "stimulus"])
    rdms = subject_rdms(recording, Geometry(), "it")
    assert list(rdms.rdm_descriptors["subject"]) == ["subject1", "subject2"]
    for i, row in enumerate(aligned_vectors(rdms, np.array(IDS), "it")):
        np.testing.assert_allclose(squareform(row), array[i].mean(axis=0), rtol=1e-14)


def test_the_canonical_file_keeps_everything(tmp_path):
    recording = read(random_rdms(2), tmp_path, axes=["subject", "stimulus", "stimulus"])
    recording.write(tmp_path / "recording.h5")
    again = Recording.read(tmp_path / "recording.h5")
    assert again.responses is None
    np.testing.assert_array_equal(again.rdms, recording.rdms)
    np.testing.assert_array_equal(again.stimulus_ids, recording.stimulus_ids)
    assert list(again.rdm_info["subject"]) == ["subject1", "subject2"]


def asymmetric():
    array = random_rdms()
    array[0, 1] += 0.5
    return array


def filled(position, value):
    array = random_rdms()
    array[position] = array[position[::-1]] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (asymmetric(), "an RDM is not symmetric"),
        (filled((2, 2), 1.0), "an RDM is not zero on its diagonal"),
        (filled((0, 1), np.nan), "1 of the 10 dissimilarities of subject 'subject1', session 0"),
        (filled((0, 1), np.inf), "1 of the 10 dissimilarities of subject 'subject1', session 0"),
        (filled((2, 2), np.nan), "an RDM is not zero on its diagonal"),
        (random_rdms()[:, :4], "the two stimulus axes have lengths 5 and 4"),
        (random_rdms(n=6), "the stimulus axis has length 6, but stimulus_ids gives 5 ids"),
    ],
)
def test_matrices_that_are_not_rdms_are_refused(array, message, tmp_path):
    with pytest.raises(RepbiasError, match=message):
        read(array, tmp_path, axes=["stimulus", "stimulus"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"only_subjects": [3]}, r"only_subjects \[3\] of 3 subjects"),
        ({"only_subjects": []}, r"only_subjects \[\] of 3 subjects"),
        ({"subjects": ["a", "b"]}, "2 subjects named, the array has 3"),
    ],
)
def test_subjects_that_do_not_fit_are_refused(settings, message, tmp_path):
    with pytest.raises(RepbiasError, match=message):
        read(random_rdms(3), tmp_path, axes=["subject", "stimulus", "stimulus"], **settings)


def test_a_subject_given_twice_is_refused(tmp_path):
    """Otherwise one subject would count as two in the noise ceiling and the bootstrap."""
    with pytest.raises((RepbiasError, ValidationError), match="twice"):
        read(
            random_rdms(3),
            tmp_path,
            axes=["subject", "stimulus", "stimulus"],
            only_subjects=[1, 1],
        )


def test_missing_pairs_are_counted_for_their_subject(tmp_path):
    array = random_rdms(3)
    array[1, 0, 2] = np.nan  # one half of the matrix only
    array[1, 4, 3] = np.nan
    axes = ["subject", "stimulus", "stimulus"]
    with pytest.raises(RepbiasError, match="2 of the 10 dissimilarities of subject 'b'"):
        read(array, tmp_path, axes=axes, subjects=["a", "b", "c"])
    # Subjects that are not used may have missing pairs.
    recording = read(array, tmp_path, axes=axes, only_subjects=[0, 2])
    np.testing.assert_array_equal(matrices(recording)["subject3", 0], array[2])


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".mat"])
def test_ids_may_be_text_in_the_same_file(suffix, tmp_path):
    array, path = random_rdms(), tmp_path / f"rdms{suffix}"
    if suffix == ".npz":
        np.savez(path, rdm=array, names=np.array(IDS))
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["rdm"] = array
            file["names"] = IDS
    else:
        scipy.io.savemat(path, {"rdm": array, "names": np.array(IDS, dtype=object)})
    spec = RdmRecording(
        kind="rdms",
        path=path,
        variable="rdm",
        axes=["stimulus", "stimulus"],
        stimuli="set",
        stimulus_ids="variable:names",
    )
    np.testing.assert_array_equal(matrices(read_recording(spec, KNOWN))["subject1", 0], array)


def test_eleven_pairs_are_not_a_triangle(tmp_path):
    with pytest.raises(RepbiasError, match="11 pairs are not the upper triangle"):
        read(np.ones(11), tmp_path, axes=["pair"])


@pytest.mark.parametrize(
    "axes", [["stimulus"], ["pair", "stimulus"], ["subject", "subject", "pair"]]
)
def test_invalid_axes_are_refused(axes, tmp_path):
    with pytest.raises(ValidationError, match="twice"):
        read(np.ones((3, 3)), tmp_path, axes=axes)


def test_monkey_and_human_it_correlate_as_published(test_data):
    """Kriegeskorte et al. (2008): .49; .4912 from the same file (SOURCE.md of the data)."""
    folder = test_data / "rdm92_kriegeskorte2008"
    ids = np.array([f"image{i + 1:02d}" for i in range(92)])
    spec = RdmRecording(
        kind="rdms",
        path=folder / "Kriegeskorte_Neuron2008_supplementalData.mat",
        variable="RDMs_mIT_hIT_fig1.RDM",
        axes=["_", "subject", "_", "pair"],
        subjects=["monkey", "human"],
        stimuli="objects92",
        stimulus_ids="sorted",
    )
    recording = read_recording(spec, ids)
    assert recording.rdms.shape == (2, 92 * 91 // 2)
    assert np.corrcoef(recording.rdms)[0, 1] == pytest.approx(0.4912, abs=5e-5)


def test_shuffling_the_stimulus_axis_with_its_ids_changes_no_result(tmp_path):
    """Stimuli are identified by their ids; their order in a file is arbitrary."""
    array, order = random_rdms(3, n=9), np.random.default_rng(1).permutation(9)
    model = make_rdms(squareform(random_rdms(n=9, seed=2)), KNOWN, "correlation", {"layer": ["a"]})
    for column in ("network", "seed", "snapshot", "step", "included"):
        model.rdm_descriptors[column] = [0]
    axes, spec = ["subject", "stimulus", "stimulus"], Geometry(bootstraps=100)

    def result(array, ids):
        recording = read(array, tmp_path, ids=list(ids), axes=axes)
        return compare_with_recording("it", recording, "set", {"net": model}, spec)

    shuffled = result(array[:, order][:, :, order], KNOWN[order])
    assert_frame_equal(shuffled, result(array, KNOWN), check_exact=False, rtol=1e-9)


def test_duplicate_subject_names_are_refused(tmp_path):
    array = np.random.default_rng(0).random((2, 6))
    with pytest.raises(RepbiasError, match="subjects: the id 'a' occurs twice"):
        read(array, tmp_path, ids=list(KNOWN[:4]), axes=["subject", "pair"], subjects=["a", "a"])
