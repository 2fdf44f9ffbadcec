"""Files of RDMs against rsatoolbox, and RDMs of layers and subjects."""

from __future__ import annotations

import logging
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rsatoolbox.data import Dataset
from rsatoolbox.data.noise import prec_from_unbalanced
from rsatoolbox.rdm import calc_rdm_unbalanced, load_rdm

from repbias.base.spec import RepbiasError
from repbias.geometry.distances import dissimilarities
from repbias.geometry.spec import Geometry
from repbias.io.arrays import load_array
from repbias.io.files import StoreError
from repbias.io.recordings import Recording
from repbias.rsa.rdms import (
    TooFewUnits,
    aligned_vectors,
    create_rdms,
    make_rdms,
    read_rdms,
    subject_rdms,
    write_layer_rdms,
)

DISTANCES = ["correlation", "euclidean", "squared_euclidean"]

seeds = st.integers(0, 10_000)


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
    found = dict(zip(zip(*columns, strict=True), rdms.dissimilarities, strict=True))
    assert found.keys() == {
        (layer, *network) for layer in layers for network in (("initial", 5, 0), ("final", 5, 100))
    }
    for (layer, snapshot, _, _), vector in found.items():
        patterns = layers[layer][["initial", "final"].index(snapshot), :11].astype(np.float32)
        np.testing.assert_allclose(vector, dissimilarities(patterns, "euclidean"), rtol=1e-6)


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
    """A damaged file is an error, not a layer that is left out."""
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


@pytest.mark.slow
def test_a_file_of_layers_is_streamed_within_its_bound(make_activations, tmp_path):
    """The peak of a process of its own, above that of the same with few stimuli."""
    rng = np.random.default_rng(3)
    layers = {f"layer{i}": rng.standard_normal((1, 2000, 20), dtype=np.float32) for i in range(3)}
    activations = make_activations(layers, [f"s{i:04d}" for i in range(2000)])
    program = (
        "import sys\n"
        "from resource import RUSAGE_SELF, getrusage\n"
        "from repbias.rsa.rdms import write_layer_rdms\n"
        "from repbias.io.activations import Activations\n"
        "activations = Activations.open(sys.argv[1])\n"
        "for n in (10, 2000):\n"
        "    write_layer_rdms(sys.argv[2], activations, 'correlation', n, 10)\n"
        "    print(getrusage(RUSAGE_SELF).ru_maxrss)\n"
    )
    arguments = [sys.executable, "-c", program, activations.path, tmp_path / "rdms.h5"]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    few, all_of_them = map(int, done.stdout.split())
    # Three RDMs are 48 MB, the products of one 32 MB; buffers of HDF5 count too.
    assert all_of_them - few < 16_000
    found = load_rdm(str(tmp_path / "rdms.h5"))
    assert list(found.rdm_descriptors["layer"]) == list(layers)
    for vector, patterns in zip(found.dissimilarities, layers.values(), strict=True):
        np.testing.assert_allclose(vector, dissimilarities(patterns[0], "correlation"), atol=1e-12)


def test_layers_that_fail_leave_no_trace_in_the_file(make_activations, tmp_path):
    rng = np.random.default_rng(4)
    layers = {name: rng.normal(size=(2, 8, 5)) for name in ("a", "b", "c")}
    layers["b"][0, 3] = 1
    layers["c"][1, 3, 2] = np.nan
    activations = make_activations(layers, list("abcdefgh"), [(0, "initial"), (0, "final")])
    write_layer_rdms(tmp_path / "rdms.h5", activations, "correlation", None)
    found = load_rdm(str(tmp_path / "rdms.h5"))
    described = zip(found.rdm_descriptors["layer"], found.rdm_descriptors["snapshot"], strict=True)
    expected = [("a", 0), ("c", 0), ("a", 1), ("b", 1)]
    assert list(described) == [(layer, ["initial", "final"][i]) for layer, i in expected]
    for vector, (layer, i) in zip(found.dissimilarities, expected, strict=True):
        patterns = layers[layer][i].astype(np.float32)
        np.testing.assert_allclose(vector, dissimilarities(patterns, "correlation"), atol=1e-12)


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
        np.testing.assert_array_equal(rdms.dissimilarities, vectors)
        assert list(rdms.pattern_descriptors["stimulus_id"]) == ids
        assert rdms.dissimilarity_measure == "correlation"
        for name, values in info.items():
            assert list(rdms.rdm_descriptors[name]) == values


def test_jobs_that_read_rdms_start_without_libraries_that_they_do_not_need(tmp_path):
    save(tmp_path / "rdms.h5", np.ones((1, 6)), list("abcd"), "correlation", {"layer": ["one"]})
    code = f"""
import sys
import repbias.report.page
print(*{{"matplotlib", "scipy"}} & {{*sys.modules}})
import repbias.rsa.tables, repbias.auditing.tables
repbias.rsa.tables.rdm_table("c", repbias.rsa.rdms.read_rdms({str(tmp_path / "rdms.h5")!r}))
late = {{"rsatoolbox", "scipy.stats", "scipy.optimize", "sklearn", "torch"}}
print(*late & {{*sys.modules}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n\n", "")


def test_rdms_of_fewer_stimuli_than_are_named_are_refused(tmp_path):
    save(tmp_path / "rdms.h5", np.ones((1, 6)), list("abcd"), "correlation", {"layer": ["one"]})
    with h5py.File(tmp_path / "rdms.h5", "a") as file:
        del file["dissimilarities"]
        file["dissimilarities"] = np.ones((1, 3))
    with pytest.raises(StoreError, match=r"4 stimuli, RDMs of shape \(1, 3\)"):
        read_rdms(tmp_path / "rdms.h5")


def test_the_file_is_what_rsatoolbox_saves(tmp_path):
    """Every group, dataset and attribute, with the same type and content."""
    ids, info = list("dcba"), {"layer": ["one", "three"], "seed": [1, 2], "included": [True, False]}
    vectors = np.random.default_rng(4).uniform(size=(2, 6))
    save(tmp_path / "ours.h5", vectors, ids, "correlation", info)
    theirs = make_rdms(vectors, ids, "correlation", info).as_rsatoolbox()
    theirs.save(str(tmp_path / "theirs.h5"))

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


#: Ids in every script; some look like what stands for others in the file.
IDS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    st.sampled_from(
        ["caf\u00e9", "cafe\u0301", r"caf\xe9", r"caf\\xe9", "面孔01", r"\u9762", "straße"]
    ),
)


@pytest.mark.slow
@given(ids=st.lists(IDS, min_size=4, max_size=6, unique=True))
def test_ids_of_every_script_are_read_back(ids, tmp_path_factory):
    """By repbias as they are; rsatoolbox shows escapes, unless all are ASCII."""
    path = tmp_path_factory.mktemp("rdms") / "rdms.h5"
    vectors = np.ones((1, len(ids) * (len(ids) - 1) // 2))
    save(path, vectors, ids, info={"layer": ["couché"]})
    found = read_rdms(path)
    assert list(found.pattern_descriptors["stimulus_id"]) == ids
    assert list(found.rdm_descriptors["layer"]) == ["couché"]
    assert load_array(path, "pattern_descriptors/stimulus_id").tolist() == ids
    theirs = np.array(load_rdm(str(path)).pattern_descriptors["stimulus_id"])
    if not "".join(ids).isascii():
        theirs = np.char.decode(theirs.astype("S"), "unicode_escape")  # as in docs/file-formats.md
    assert theirs.tolist() == ids


def test_ascii_is_never_escaped(tmp_path):
    ids = [r"caf\xe9", r"\u9762", "a\\b", "d"]
    save(tmp_path / "rdms.h5", np.ones((1, 6)), ids)
    with h5py.File(tmp_path / "rdms.h5") as file:
        stored = file["pattern_descriptors/stimulus_id"]
        assert stored[()].tolist() == [i.encode() for i in ids]
        assert not stored.attrs


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
    rng = np.random.default_rng(seed)
    patterns = rng.normal(size=(8, 5))
    ids = np.array([f"s{i}" for i in range(8)])
    rdms = make_rdms(dissimilarities(patterns, "euclidean"), ids, "euclidean", {})
    order = rng.permutation(8)[:n]
    np.testing.assert_allclose(
        aligned_vectors(rdms, ids[order], "net")[0], dissimilarities(patterns[order], "euclidean")
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
    expected = [dissimilarities(means[:, :3], distance), dissimilarities(means[:, 3:], distance)]
    np.testing.assert_allclose(rdms.dissimilarities, expected, atol=1e-12)


def test_units_that_missed_a_stimulus_are_left_out_and_counted(caplog):
    responses = np.random.default_rng(6).normal(size=(6, 2, 7))
    responses[4, :, 5] = np.nan  # never observed for a stimulus
    responses[4, 0, 6] = np.nan  # observed once
    with caplog.at_level(logging.WARNING):
        rdms = subject_rdms(two_subjects(responses), Geometry(recording_distance="euclidean"), "v4")
    assert "subject2: 1 of 4 units" in caplog.text
    complete = np.nanmean(responses[:, :, [3, 4, 6]], axis=1)
    np.testing.assert_allclose(rdms.dissimilarities[1], dissimilarities(complete, "euclidean"))


def test_a_subject_with_too_few_complete_units_is_left_out(caplog):
    responses = np.random.default_rng(7).normal(size=(6, 1, 7))
    responses[2, :, :2] = np.nan
    spec = Geometry(recording_distance="euclidean")
    rdms = subject_rdms(two_subjects(responses), spec, "v4")
    assert rdms.rdm_descriptors["subject"] == ["subject2"]
    assert "'v4', subject1: 1 units were observed" in caplog.text
    assert "fewer than geometry.min_units = 3" in caplog.text
    with pytest.raises(TooFewUnits, match=r"fewer than geometry\.min_units = 20"):
        subject_rdms(two_subjects(responses), spec.model_copy(update={"min_units": 20}), "v4")


def test_a_subject_that_did_not_see_all_stimuli_is_left_out_with_the_remedy(caplog):
    responses = np.random.default_rng(7).normal(size=(6, 2, 7))
    responses[[2, 4], :, :3] = np.nan
    rdms = subject_rdms(two_subjects(responses), Geometry(), "v4")
    assert rdms.rdm_descriptors["subject"] == ["subject2"]
    assert "never shown: s2, s4, which 'exclude' leaves out for all" in caplog.text


def test_two_units_have_no_correlation_distance(trial_recording):
    """All dissimilarities would be 0 or 2."""
    recording = trial_recording(np.random.default_rng(0).normal(size=(6, 3, 2)))
    with pytest.raises(TooFewUnits, match="2 units were"):
        subject_rdms(recording, Geometry(), "v4")


def test_a_constant_response_pattern_is_refused_with_its_subject():
    responses = np.random.default_rng(8).normal(size=(6, 1, 7))
    responses[2, :, 3:] = 0
    with pytest.raises(RepbiasError, match=r"'v4', subject2: 1 of 6 stimuli .* exclude: \[s2\]"):
        subject_rdms(two_subjects(responses), Geometry(recording_distance="correlation"), "v4")


def rdm(recording, distance, noise="shrinkage"):
    spec = Geometry(recording_distance=distance, noise=noise)
    return subject_rdms(recording, spec, "v4").dissimilarities[0]


def test_units_that_the_distance_cannot_use_are_left_out_and_counted(caplog, trial_recording):
    tensor = np.random.default_rng(0).normal(size=(6, 4, 5))
    expected = rdm(trial_recording(tensor[:, :, 2:]), "crossnobis")
    tensor[3, 1:, 0] = np.nan  # one repeat
    tensor[:, :, 1] = np.arange(6)[:, None]  # no noise
    with caplog.at_level(logging.WARNING):
        found = rdm(trial_recording(tensor), "crossnobis")
    assert "2 of 5 units were not observed in two folds for every stimulus" in caplog.text
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("distance", "noise"),
    [("crossnobis", "none"), ("mahalanobis", "shrinkage"), ("poisson_cv", "none")],
)
def test_without_repeats_distances_that_need_them_are_refused(distance, noise, trial_recording):
    tensor = np.random.default_rng(0).poisson(4, size=(6, 1, 8)).astype(float)
    with pytest.raises(RepbiasError, match=r"'v4', subject1: 0 units were observed .* fewer than"):
        rdm(trial_recording(tensor), distance, noise)


@pytest.mark.parametrize("distance", ["poisson", "poisson_cv"])
def test_poisson_refuses_what_are_no_counts(distance, trial_recording):
    tensor = np.random.default_rng(0).poisson(4, size=(6, 3, 8)).astype(float)
    recording = trial_recording(tensor)
    recording.info["preparation"] = {"standardise": True}
    with pytest.raises(RepbiasError, match="expected standardise: false"):
        rdm(recording, distance)
    tensor[1, 0, 2] = -3
    with pytest.raises(RepbiasError, match=r"subject1: .* 1 responses are negative"):
        rdm(trial_recording(tensor), distance)


def test_real_spike_counts_have_every_distance(test_data, trial_recording):
    """V4, 6 to 10 repeats: crossnobis against rsatoolbox on 25 stimuli, others against it."""
    path = test_data / "v4_cowley2023" / "responses_raw" / "responses_210325.npy"
    tensor = np.load(path).transpose(1, 2, 0)[:25].astype(float)
    recording = trial_recording(tensor)
    distances = ["mahalanobis", "crossnobis", "poisson", "poisson_cv", "squared_euclidean"]
    rdms = {d: rdm(recording, d, "diagonal") for d in distances}
    for distance in ("mahalanobis", "poisson", "squared_euclidean"):
        assert np.corrcoef(rdms[distance], rdms["crossnobis"])[0, 1] > 0.8
    complete = ~np.isnan(tensor).all(axis=2)
    assert complete.sum(axis=1).min() >= 6
    mean = np.nanmean(np.nanmean(tensor, axis=1), axis=0)
    stimulus, repeat = np.nonzero(complete)
    data = Dataset(
        (tensor - mean)[stimulus, repeat],
        obs_descriptors={"stimulus": stimulus.tolist(), "fold": repeat.tolist()},
    )
    precision = prec_from_unbalanced(data, "stimulus", method="diag")
    expected = calc_rdm_unbalanced(
        data, "crossnobis", "stimulus", noise=precision, cv_descriptor="fold"
    )
    np.testing.assert_allclose(rdms["crossnobis"], expected.get_vectors()[0], rtol=1e-8, atol=1e-9)


def recorded_rdms(vectors, **info):
    return Recording(
        stimuli={"stimulus_id": np.array(list("abcd"))},
        rdms=np.array(vectors, float),
        rdm_info={name: np.array(values) for name, values in info.items()},
    )


def test_an_rdm_in_which_all_is_the_same_is_refused():
    recording = recorded_rdms([[1, 2, 3, 4, 5, 6], [2] * 6], subject=["a", "b"], region=["", ""])
    with pytest.raises(RepbiasError, match="'x', b: all dissimilarities are the same"):
        subject_rdms(recording, Geometry(), "x")


def test_an_rdm_that_is_not_finite_is_refused():
    recording = recorded_rdms([[1, 2, 3, np.nan, 5, 6]], subject=["a"], region=[""])
    with pytest.raises(RepbiasError, match=r"'x', a: 1 of 6 dissimilarities are not finite"):
        subject_rdms(recording, Geometry(), "x")


def test_features_of_the_stimuli_come_with_their_rdms(make_activations, tmp_path):
    """In the order of the stimuli, also of the first n, and in rsatoolbox's own reader."""
    rng = np.random.default_rng(0)
    ids = [f"s{i}" for i in range(8)]
    activations = make_activations({"hidden": rng.standard_normal((1, 8, 5))}, ids)
    activations.labels = {"easy": np.array([0, 1, 1, 0, 1, 0, 0, 1])}
    write_layer_rdms(tmp_path / "rdms.h5", activations, "euclidean", 6)
    rdms = load_rdm(str(tmp_path / "rdms.h5"), file_type="hdf5")
    assert list(rdms.pattern_descriptors["stimulus_id"]) == ids[:6]
    assert list(rdms.pattern_descriptors["easy"]) == [0, 1, 1, 0, 1, 0]
