"""RDMs of Meadows, in files as rsatoolbox's reader expects them; it is the reference."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.io
from rsatoolbox.io.meadows import load_rdms

from repbias.base.spec import RepbiasError
from repbias.io.arrays import load_array
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.rdms import RdmRecording

NAMES = ["cat", "apple", "dog", "bus", "ant"]
PAIRS = np.random.default_rng(0).random((3, 10))
SHUFFLED = [3, 1, 4, 0, 2]


def in_order(pairs, order):
    """Return the upper triangle with stimuli in another order."""
    square = np.zeros((5, 5))
    square[np.triu_indices(5, 1)] = pairs
    return (square + square.T)[np.ix_(order, order)][np.triu_indices(5, 1)]


def sorted_pairs(pairs):
    return in_order(pairs, np.argsort(NAMES))


def task(pairs, names=NAMES, kind="multiarrange"):
    stimuli = [{"name": f"{name}.png", "id": "x"} for name in names]
    meta = {"task_type": kind, "name": "arrange", "index": 1}
    return {"task": meta, "stimuli": stimuli, "rdm": list(pairs), "trials": [{}]}


def read(path, **settings):
    defaults = {"stimuli": "set", "axes": ["_", "pair"], "stimulus_ids": "variable:stimuli"}
    spec = RdmRecording(kind="rdms", path=path, **defaults | settings)
    return read_recording(spec, np.array(sorted(NAMES)))


def test_a_matlab_file_of_one_participant(tmp_path):
    path = tmp_path / "Meadows_animals_v_v1_clever-flea_2_1D.mat"
    scipy.io.savemat(path, {"rdmutv": PAIRS[:1], "stimuli": np.array(NAMES)})
    recording = read(path, variable="rdmutv", subjects=["clever-flea"])
    theirs = load_rdms(str(path))
    np.testing.assert_array_equal(recording.rdms, theirs.dissimilarities)
    names = [name.strip() for name in theirs.pattern_descriptors["conds"]]
    assert recording.stimulus_ids.tolist() == names
    assert recording.rdm_info["subject"].tolist() == theirs.rdm_descriptors["participant"]


PATTERN = {"variable": "rdmutv_*", "stimulus_ids": "variable:stimuli_*"}


def test_participants_may_see_the_stimuli_in_other_orders(tmp_path):
    """rsatoolbox takes the order of the first for that of all."""
    path = tmp_path / "Meadows_animals_v_v1_arrange_1D.mat"
    content = {
        "rdmutv_clever_flea": PAIRS[:1],
        "stimuli_clever_flea": np.array(NAMES),
        "rdmutv_shy_crab": in_order(PAIRS[1], SHUFFLED)[None],
        "stimuli_shy_crab": np.array([NAMES[i] for i in SHUFFLED]),
    }
    scipy.io.savemat(path, content)
    recording = read(path, **PATTERN)
    assert recording.rdm_info["subject"].tolist() == ["clever_flea", "shy_crab"]
    expected = [sorted_pairs(PAIRS[0]), sorted_pairs(PAIRS[1])]
    np.testing.assert_array_equal(recording.rdms, expected)
    assert not np.allclose(load_rdms(str(path)).dissimilarities[1], expected[1])
    names = read(path, **PATTERN, subjects=["P1", "P2"], only_subjects=[1])
    assert names.rdm_info["subject"].tolist() == ["P2"]
    np.testing.assert_array_equal(names.rdms, expected[1:])


def test_a_tree_of_one_participant(tmp_path):
    """Two arrangements of the same stimuli are two sessions; other tasks have no RDM."""
    path = tmp_path / "Meadows_animals_v_v1_clever-flea_tree.json"
    tasks = [task(PAIRS[0]), {"task": {"task_type": "consent"}}, task(PAIRS[1])]
    path.write_text(json.dumps({"tasks": tasks}))
    recording = read(path, variable="rdmutv", axes=["session", "pair"])
    np.testing.assert_array_equal(recording.rdms, load_rdms(str(path)).dissimilarities)
    assert recording.rdm_info["session"].tolist() == [0, 1]
    tasks[2] = task(in_order(PAIRS[1], SHUFFLED), [NAMES[i] for i in SHUFFLED])
    path.write_text(json.dumps({"tasks": tasks}))
    again = read(path, variable="rdmutv", axes=["session", "pair"])
    np.testing.assert_array_equal(again.rdms, recording.rdms)
    tasks[2] = task([0.5, 1, 2], ["sun", "moon", "star"])
    path.write_text(json.dumps({"tasks": tasks}))
    assert load_array(path, "stimuli_task2").tolist() == ["sun", "moon", "star"]
    assert load_array(path, "rdmutv_task2").tolist() == [[0.5, 1, 2]]


def test_a_tree_of_several_participants(tmp_path):
    """As Meadows nests it: participants, each with tasks (rsatoolbox does not read it)."""
    path = tmp_path / "Meadows_animals_v_v1_tree.json"
    crab = task(in_order(PAIRS[1], SHUFFLED), [NAMES[i] for i in SHUFFLED])
    tree = {"clever-flea": {"tasks": [task(PAIRS[0])]}, "shy-crab": {"tasks": [crab]}}
    path.write_text(json.dumps(tree))
    recording = read(path, **PATTERN, axes=["session", "pair"])
    assert recording.rdm_info["subject"].tolist() == ["clever_flea", "shy_crab"]
    np.testing.assert_array_equal(recording.rdms, [sorted_pairs(PAIRS[0]), sorted_pairs(PAIRS[1])])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[1, 2]", "not a tree of Meadows: expected 'tasks', .* found list"),
        ('{"a": 1}', "found a"),
        ('{"tasks": [{"task": {"task_type": "dragrate"}}]}', "no task of type 'multiarrange'"),
        (json.dumps({"tasks": [task(PAIRS[0][:9])]}), "task 1: 9 dissimilarities for 5 .* 10"),
        (json.dumps({"tasks": [task(PAIRS[0], NAMES[:4] + NAMES[:1])]}), "the same name"),
        (json.dumps({"tasks": [{**task(PAIRS[0]), "rdm": "x"}]}), "expected 'stimuli' .* 'rdm'"),
        ("[" * 10**5, "cannot be read as JSON"),
    ],
)
def test_other_json_is_refused_by_name(content, message, tmp_path):
    path = tmp_path / "a_tree.json"
    path.write_text(content)
    with pytest.raises(RepbiasError, match=f"a_tree.json: .*{message}|{message}"):
        load_array(path, "rdmutv")


def test_other_stimuli_of_a_subject_are_named(tmp_path):
    path = tmp_path / "a.mat"
    content = {
        "rdmutv_a": PAIRS[:1],
        "stimuli_a": np.array(NAMES),
        "rdmutv_b": PAIRS[1:2],
        "stimuli_b": np.array([*NAMES[:4], "bee"]),
    }
    scipy.io.savemat(path, content)
    with pytest.raises(RepbiasError, match=r"subject 'b' has 1 stimuli that the first .* 'bee'"):
        read(path, **PATTERN)
