"""RDMs against SciPy and rsatoolbox, and their symmetries."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm, load_rdm
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ortho_group

from repbias.base.spec import RepbiasError
from repbias.geometry.distances import dissimilarities
from repbias.geometry.spec import Geometry
from repbias.io.files import StoreError
from repbias.io.recordings import Recording
from repbias.rsa.rdms import (
    aligned_vectors,
    create_rdms,
    make_rdms,
    read_rdms,
    subject_rdms,
    write_layer_rdms,
)

DISTANCES = ["correlation", "euclidean", "squared_euclidean"]

seeds = st.integers(0, 10_000)
distances = st.sampled_from(DISTANCES)


def patterns_of(seed, n=6, p=5):
    return np.random.default_rng(seed).normal(size=(n, p))


def reference(patterns, distance):
    """SciPy; rsatoolbox divides squared distances by the number of channels."""
    if distance == "correlation":
        return pdist(patterns, "correlation")
    squared = pdist(patterns, "sqeuclidean") / patterns.shape[1]
    return np.sqrt(squared) if distance == "euclidean" else squared


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("shape", [(4, 2), (20, 7), (7, 300)])
def test_agrees_with_scipy(distance, shape):
    patterns = np.random.default_rng(0).normal(3, 2, size=shape)
    np.testing.assert_allclose(
        dissimilarities(patterns, distance), reference(patterns, distance), atol=1e-12
    )


@pytest.mark.parametrize("distance", ["correlation", "squared_euclidean"])
def test_agrees_with_rsatoolbox(distance):
    patterns = np.random.default_rng(1).normal(size=(12, 30))
    method = "correlation" if distance == "correlation" else "euclidean"
    expected = calc_rdm(Dataset(patterns), method=method).get_vectors()[0]
    np.testing.assert_allclose(dissimilarities(patterns, distance), expected, atol=1e-12)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_large_offset_in_float32_does_no_harm(distance):
    """Distances between the float32 values themselves, computed by SciPy in float64."""
    offset = (1000 + np.random.default_rng(2).normal(size=(15, 40))).astype(np.float32)
    expected = reference(offset.astype(np.float64), distance)
    np.testing.assert_allclose(dissimilarities(offset, distance), expected, rtol=1e-8)


@given(seed=seeds, distance=distances)
def test_permuting_stimuli_permutes_the_rdm(seed, distance):
    patterns = patterns_of(seed)
    order = np.random.default_rng(seed).permutation(len(patterns))
    square = squareform(dissimilarities(patterns, distance))
    permuted = squareform(dissimilarities(patterns[order], distance))
    np.testing.assert_allclose(permuted, square[np.ix_(order, order)], atol=1e-12)


@given(seed=seeds, distance=distances)
def test_permuting_units_changes_nothing(seed, distance):
    patterns = patterns_of(seed)
    order = np.random.default_rng(seed).permutation(patterns.shape[1])
    np.testing.assert_allclose(
        dissimilarities(patterns[:, order], distance),
        dissimilarities(patterns, distance),
        atol=1e-12,
    )


@given(seed=seeds, distance=st.sampled_from(["euclidean", "squared_euclidean"]))
def test_euclidean_ignores_rotations_and_a_shift_of_all_patterns(seed, distance):
    patterns = patterns_of(seed)
    rotation = ortho_group.rvs(5, random_state=seed)
    shift = 100 * np.random.default_rng(seed).normal(size=5)
    np.testing.assert_allclose(
        dissimilarities(patterns @ rotation + shift, distance),
        dissimilarities(patterns, distance),
        rtol=1e-9,
    )


@given(seed=seeds, scale=st.floats(0.01, 100))
def test_euclidean_scales_with_the_patterns(seed, scale):
    patterns = patterns_of(seed)
    for distance, factor in (("euclidean", scale), ("squared_euclidean", scale**2)):
        np.testing.assert_allclose(
            dissimilarities(scale * patterns, distance),
            factor * dissimilarities(patterns, distance),
            rtol=1e-9,
        )


@given(seed=seeds)
def test_correlation_ignores_scale_and_offset_of_every_pattern(seed):
    patterns, rng = patterns_of(seed), np.random.default_rng(seed)
    changed = patterns * rng.uniform(0.1, 10, size=(6, 1)) + rng.normal(size=(6, 1)) * 10
    np.testing.assert_allclose(
        dissimilarities(changed, "correlation"), dissimilarities(patterns, "correlation"), atol=1e-9
    )


def test_a_constant_pattern_has_no_correlation_distance():
    patterns = patterns_of(0)
    patterns[3] = 0.5
    with pytest.raises(RepbiasError, match=r"1 of 6 patterns are constant .* number 3\)"):
        dissimilarities(patterns, "correlation")
    np.testing.assert_allclose(
        dissimilarities(patterns, "euclidean"), reference(patterns, "euclidean"), atol=1e-12
    )


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_patterns_that_are_not_finite_are_refused(distance, value):
    patterns = patterns_of(0)
    patterns[2, 1] = patterns[2, 3] = value
    with pytest.raises(RepbiasError, match="1 patterns are not finite"):
        dissimilarities(patterns, distance)


def test_layers_keep_their_names_and_stimuli_their_order(make_activations, tmp_path):
    """Ids as rsatoolbox would sort them alphabetically: img10 before img2."""
    ids = [f"img{i}" for i in range(1, 13)]
    rng = np.random.default_rng(3)
    layers = {"wide": rng.normal(size=(2, 12, 9)), "narrow": rng.normal(size=(2, 12, 4))}
    activations = make_activations(layers, ids, [(5, "initial"), (5, "final")])
    write_layer_rdms(tmp_path / "rdms.h5", activations, "euclidean", 11)
    rdms = read_rdms(tmp_path / "rdms.h5")
    assert list(rdms.pattern_descriptors["stimulus_id"]) == ids[:11]
    columns = (rdms.rdm_descriptors[name] for name in ("layer", "snapshot", "seed", "step"))
    found = dict(zip(zip(*columns, strict=True), rdms.get_vectors(), strict=True))
    assert found.keys() == {
        (layer, *network) for layer in layers for network in (("initial", 5, 0), ("final", 5, 100))
    }
    for (layer, snapshot, _, _), vector in found.items():
        patterns = layers[layer][["initial", "final"].index(snapshot), :11].astype(np.float32)
        np.testing.assert_allclose(vector, reference(patterns, "euclidean"), rtol=1e-6)


def test_a_dead_layer_is_named_and_left_out(make_activations, tmp_path, caplog):
    layers = {"dead": np.zeros((1, 5, 3)), "alive": np.random.default_rng(0).normal(size=(1, 5, 3))}
    activations = make_activations(layers, list("abcde"))
    write_layer_rdms(tmp_path / "rdms.h5", activations, "correlation", None)
    rdms = read_rdms(tmp_path / "rdms.h5")
    assert list(rdms.rdm_descriptors["layer"]) == ["alive"]
    assert "layer dead: 5 of 5 patterns" in caplog.text


def test_a_file_of_dead_layers_is_refused(make_activations, tmp_path):
    activations = make_activations({"dead": np.zeros((1, 5, 3))}, list("abcde"))
    with pytest.raises(RepbiasError, match=r"no layer has an RDM; .* layer dead: 5 of 5 patterns"):
        write_layer_rdms(tmp_path / "rdms.h5", activations, "correlation", None)
    assert not (tmp_path / "rdms.h5").exists()


def test_a_wrong_bit_among_activations_is_named(make_activations, tmp_path):
    """It is no matter of a layer, which would be left out."""
    values = np.random.default_rng(0).normal(size=(2, 6, 40))
    activations = make_activations({"hidden1": values}, list("abcdef"))
    content = bytearray(activations.path.read_bytes())
    content[content.index(values.astype("<f4")[1, 3, :4].tobytes())] ^= 1
    activations.path.write_bytes(content)
    with pytest.raises(StoreError, match=f"{activations.path}: incomplete or damaged"):
        write_layer_rdms(tmp_path / "rdms.h5", activations, "correlation", None)
    assert not (tmp_path / "rdms.h5").exists()


def test_fewer_than_four_stimuli_are_refused(make_activations, tmp_path):
    activations = make_activations({"layer": np.ones((1, 5, 3))}, list("abcde"))
    with pytest.raises(RepbiasError, match="3 stimuli; RSA needs at least 4"):
        write_layer_rdms(tmp_path / "rdms.h5", activations, "euclidean", 3)
    recording = Recording(stimuli={"stimulus_id": np.array(list("abc"))}, rdms=np.ones((1, 3)))
    with pytest.raises(RepbiasError, match="'it': 3 stimuli; RSA needs at least 4"):
        subject_rdms(recording, Geometry(), "it")


def save(path, vectors, ids, distance="correlation", info=None):
    """Write RDMs in two parts each."""
    with create_rdms(path, ids, distance) as rdms:
        for i, vector in enumerate(vectors):
            described = {name: values[i] for name, values in (info or {}).items()}
            rdms.append((vector[:2], vector[2:]), described)


def test_saved_rdms_are_read_back_by_us_and_by_rsatoolbox(tmp_path):
    ids = ["img10", "img2", "b", "a"]
    vectors = np.random.default_rng(4).uniform(size=(3, 6))
    info = {"layer": ["one", "two", "three"], "seed": [1, 2, 3], "included": [True, False, True]}
    save(tmp_path / "rdms.h5", vectors, ids, "correlation", info)
    assert [p.name for p in tmp_path.iterdir()] == ["rdms.h5"]
    for rdms in (read_rdms(tmp_path / "rdms.h5"), load_rdm(str(tmp_path / "rdms.h5"))):
        np.testing.assert_array_equal(rdms.get_vectors(), vectors)
        assert list(rdms.pattern_descriptors["stimulus_id"]) == ids
        assert rdms.dissimilarity_measure == "correlation"
        for name, values in info.items():
            assert list(rdms.rdm_descriptors[name]) == values


def test_the_file_is_what_rsatoolbox_saves(tmp_path):
    """Every group, dataset and attribute, with the same type and content."""
    ids, info = list("dcba"), {"layer": ["one", "three"], "seed": [1, 2], "included": [True, False]}
    vectors = np.random.default_rng(4).uniform(size=(2, 6))
    save(tmp_path / "ours.h5", vectors, ids, "correlation", info)
    make_rdms(vectors, ids, "correlation", info).save(str(tmp_path / "theirs.h5"))

    def content(path):
        with h5py.File(path) as file:
            found = {}
            file.visititems(
                lambda name, item: found.update(
                    {name: (item.dtype, item[()].tolist()) if hasattr(item, "dtype") else None}
                )
            )
            return found, dict(file.attrs)

    assert content(tmp_path / "ours.h5") == content(tmp_path / "theirs.h5")


def test_ids_that_rsatoolbox_cannot_write_are_refused_by_name(tmp_path):
    """Its HDF5 files hold ASCII only; image files have names in every script."""
    with pytest.raises(RepbiasError, match=r"rename 1 stimuli .*Bär"):
        save(tmp_path / "rdms.h5", np.ones((1, 6)), ["Bär", "Vogel", "Katze", "Hund"])
    assert not list(tmp_path.iterdir())


def test_a_file_that_could_not_be_completed_is_not_there(tmp_path):
    with pytest.raises(ZeroDivisionError), create_rdms(tmp_path / "a.h5", list("abcd"), "x") as f:
        f.append([np.ones(6)], {})
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "rdms.h5"
    with pytest.raises(StoreError, match=r"rdms\.h5"):
        read_rdms(path)
    save(path, np.ones((1, 6)), list("abcd"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(StoreError, match=r"rdms\.h5"):
        read_rdms(path)
    path.write_text("not HDF5")
    with pytest.raises(StoreError, match=r"rdms\.h5"):
        read_rdms(path)


def test_a_bit_that_changed_is_noticed(tmp_path):
    path = tmp_path / "rdms.h5"
    numbers = np.arange(1.0, 13).reshape(2, 6)
    save(path, numbers, list("abcd"))
    content = path.read_bytes()
    for place in (content.index(numbers[1].tobytes()) + 20, content.index(b"abcd") + 1):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(StoreError, match=r"rdms\.h5"):
            read_rdms(path)


@given(seed=seeds, n=st.integers(4, 8))
def test_rdms_are_joined_by_id(seed, n):
    """Any subset in any order gives the distances of the patterns in that order."""
    patterns, rng = patterns_of(seed, n=8), np.random.default_rng(seed)
    ids = np.array([f"s{i}" for i in range(8)])
    rdms = make_rdms(reference(patterns, "euclidean"), ids, "euclidean", {})
    order = rng.permutation(8)[:n]
    np.testing.assert_allclose(
        aligned_vectors(rdms, ids[order], "net")[0], reference(patterns[order], "euclidean")
    )


def test_a_stimulus_without_a_row_is_refused():
    rdms = make_rdms(np.ones(6), list("abcd"), "euclidean", {})
    with pytest.raises(RepbiasError, match=r"net: 1 of 4 stimuli .* \(the first is 'x'\)"):
        aligned_vectors(rdms, np.array(list("abxd")), "net")


def two_subjects(responses, regions=None):
    """A recording of (stimulus, repeat, unit); the first three units are of subject1."""
    n, repeats, units = responses.shape
    ids = np.array([f"s{i}" for i in range(n)])
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=responses.reshape(-1, units),
        trials={"stimulus_id": np.repeat(ids, repeats), "repeat": np.tile(np.arange(repeats), n)},
        units={
            "unit": np.array([f"u{i}" for i in range(units)]),
            "subject": np.repeat(["subject1", "subject2"], [3, units - 3]),
            "region": np.full(units, ""),
        },
    )


@pytest.mark.parametrize("distance", DISTANCES)
def test_every_subject_has_the_rdm_of_its_own_units(distance):
    responses = np.random.default_rng(5).normal(size=(6, 2, 7))
    rdms = subject_rdms(two_subjects(responses), Geometry(recording_distance=distance), "v4")
    assert list(rdms.rdm_descriptors["subject"]) == ["subject1", "subject2"]
    means = responses.mean(axis=1)
    expected = [reference(means[:, :3], distance), reference(means[:, 3:], distance)]
    np.testing.assert_allclose(rdms.get_vectors(), expected, atol=1e-12)


def test_units_that_missed_a_stimulus_are_left_out_and_counted(caplog):
    responses = np.random.default_rng(6).normal(size=(6, 2, 7))
    responses[4, :, 5] = np.nan  # never observed for a stimulus
    responses[4, 0, 6] = np.nan  # observed once
    with caplog.at_level(logging.WARNING):
        rdms = subject_rdms(two_subjects(responses), Geometry(recording_distance="euclidean"), "v4")
    assert "subject2: 1 of 4 units" in caplog.text
    complete = np.nanmean(responses[:, :, [3, 4, 6]], axis=1)
    np.testing.assert_allclose(rdms.get_vectors()[1], reference(complete, "euclidean"))


def test_a_subject_without_complete_units_is_refused():
    responses = np.random.default_rng(7).normal(size=(6, 1, 7))
    responses[2, :, :2] = np.nan
    with pytest.raises(RepbiasError, match=r"'v4', subject1: 1 units were observed .* at least 2"):
        subject_rdms(two_subjects(responses), Geometry(recording_distance="euclidean"), "v4")


def test_a_constant_response_pattern_is_refused_with_its_subject():
    responses = np.random.default_rng(8).normal(size=(6, 1, 7))
    responses[2, :, 3:] = 0
    with pytest.raises(RepbiasError, match="'v4', subject2: 1 of 6 patterns are constant"):
        subject_rdms(two_subjects(responses), Geometry(recording_distance="correlation"), "v4")


def rdm_recording(vectors, **info):
    return Recording(
        stimuli={"stimulus_id": np.array(list("abcd"))},
        rdms=np.array(vectors, float),
        rdm_info={name: np.array(values) for name, values in info.items()},
    )


def test_rdms_of_several_regions_are_not_averaged():
    recording = rdm_recording(
        [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]], subject=["a", "a"], region=["V1", "IT"]
    )
    with pytest.raises(RepbiasError, match="'x': its RDMs are of several regions \\(IT, V1\\)"):
        subject_rdms(recording, Geometry(), "x")


def test_an_rdm_in_which_all_is_the_same_is_refused():
    recording = rdm_recording([[1, 2, 3, 4, 5, 6], [2] * 6], subject=["a", "b"], region=["", ""])
    with pytest.raises(RepbiasError, match="'x', b: all dissimilarities are the same"):
        subject_rdms(recording, Geometry(), "x")
