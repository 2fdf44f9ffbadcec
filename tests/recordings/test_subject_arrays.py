"""One variable per subject in a file: joined as subjects, by the ids of the stimuli."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io
from pydantic import ValidationError
from scipy.spatial.distance import pdist, squareform

from repbias.base.spec import RepbiasError
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.array import ArrayRecording
from repbias.recordings.readers.rdms import RdmRecording
from repbias.recordings.responses import stimulus_means

KNOWN = np.array(["ant", "bee", "cat", "dog"])
RNG = np.random.default_rng(0)


def read(path, ids=None, axes=("stimulus", "repeat", "unit"), **settings):
    settings |= {"stimulus_ids": ids or KNOWN.tolist(), "axes": list(axes)}
    spec = ArrayRecording(kind="array", path=path, stimuli="set", **settings)
    return read_recording(spec, KNOWN)


def of_subject(recording, subject):
    """Return the responses of a subject's units by stimulus and repeat, where observed."""
    columns = recording.units["subject"] == subject
    keys = zip(recording.trials["stimulus_id"], recording.trials["repeat"], strict=True)
    found = zip(keys, recording.responses[:, columns], strict=True)
    return {key: row for key, row in found if not np.isnan(row).all()}


@pytest.mark.parametrize("how", ["pattern", "list"])
def test_subjects_differ_in_units_repeats_and_order(how, tmp_path):
    s1, s2 = RNG.normal(size=(4, 3, 5)), RNG.normal(size=(4, 2, 6))
    path = tmp_path / "a.mat"
    ids = {"ids_S1": KNOWN.astype(object), "ids_S2": KNOWN[::-1].astype(object)}
    scipy.io.savemat(path, {"rate_S1": s1, "rate_S2": s2, **ids})
    if how == "pattern":
        recording = read(path, "variable:ids_S*", variable="rate_S*")
        names = ["S1", "S2"]
    else:
        s2 = s2[::-1]  # the same list of ids holds for both
        recording = read(path, variables=["rate_S1", "rate_S2"])
        names = ["rate_S1", "rate_S2"]
        s2 = s2[::-1]
    assert recording.units["subject"].tolist() == [names[0]] * 5 + [names[1]] * 6
    assert recording.units["unit"][:2].tolist() == [f"{names[0]}/1", f"{names[0]}/2"]
    order = KNOWN[::-1] if how == "pattern" else KNOWN
    for name, array, shown in ((names[0], s1, KNOWN), (names[1], s2, order)):
        found = of_subject(recording, name)
        assert len(found) == array.shape[0] * array.shape[1]
        for i, stimulus in enumerate(shown):
            for repeat in range(array.shape[1]):
                np.testing.assert_array_equal(found[stimulus, repeat], array[i, repeat])
    assert len(recording.responses) == 12, "the subjects share rows"


def test_subjects_with_trials_and_other_stimuli(tmp_path):
    trials = {"a": ["ant", "cat", "ant", "bee"], "b": ["dog", "bee", "bee"]}
    rates = {name: RNG.normal(size=(len(shown), 2)) for name, shown in trials.items()}
    ids = {f"ids_{name}": np.array(shown) for name, shown in trials.items()}
    np.savez(tmp_path / "a.npz", **{f"r_{n}": r for n, r in rates.items()}, **ids)
    path = tmp_path / "a.npz"
    recording = read(path, "variable:ids_*", ["trial", "unit"], variable="r_*")
    assert recording.stimulus_ids.tolist() == KNOWN.tolist()
    found = of_subject(recording, "a")
    assert sorted(found) == [("ant", 0), ("ant", 1), ("bee", 0), ("cat", 0)]
    np.testing.assert_array_equal(found["ant", 1], rates["a"][2])
    np.testing.assert_array_equal(of_subject(recording, "b")["bee", 1], rates["b"][2])


def test_rdms_with_one_matrix_per_subject(tmp_path):
    pairs = {f"S{i}": pdist(RNG.normal(size=(4, 3))) for i in (1, 2, 10)}
    content = {f"rdm_{name}": squareform(row) for name, row in pairs.items()}
    scipy.io.savemat(tmp_path / "a.mat", {"data": content})
    spec = RdmRecording(
        kind="rdms",
        path=tmp_path / "a.mat",
        stimuli="set",
        variable="data.rdm_S*",
        axes=["_", "_", "stimulus", "stimulus"],
        stimulus_ids=KNOWN.tolist(),
    )
    recording = read_recording(spec, KNOWN)
    for subject, row in zip(recording.rdm_info["subject"], recording.rdms, strict=True):
        np.testing.assert_array_equal(row, pairs[subject])
    assert sorted(recording.rdm_info["subject"]) == ["S1", "S10", "S2"]


@pytest.mark.parametrize("given", [{"subjects": ["S1", "S2", "S10"]}, {"only_subjects": [1]}])
def test_subjects_in_an_order_that_is_not_everyone_s_are_refused(given, tmp_path):
    """As text, rdm10 comes before rdm2."""
    pairs = {f"rdm{i}": pdist(RNG.normal(size=(4, 3))) for i in (1, 2, 10)}
    scipy.io.savemat(tmp_path / "a.mat", pairs)
    settings = {"kind": "rdms", "path": tmp_path / "a.mat", "stimuli": "set", "axes": ["_", "pair"]}
    settings |= {"stimulus_ids": KNOWN.tolist()}
    key = next(iter(given))
    with pytest.raises(
        RepbiasError, match=f"{key}: the arrays 'rdm.' .* 'rdm10', 'rdm2'; naturally"
    ):
        read_recording(RdmRecording(**settings, variable="rdm*", **given), KNOWN)
    names = ["rdm1", "rdm2", "rdm10"]
    recording = read_recording(RdmRecording(**settings, variables=names, **given), KNOWN)
    of_second = given["subjects"][1] if "subjects" in given else "rdm2"
    row = recording.rdms[recording.rdm_info["subject"] == of_second]
    np.testing.assert_array_equal(row[0], pairs["rdm2"])


def test_subjects_without_any_response_are_left_out(tmp_path, caplog):
    arrays = {name: RNG.normal(size=(4, 2, 3)) for name in ("S1", "S2", "S3")}
    arrays["S2"][:] = np.nan
    np.savez(tmp_path / "a.npz", **arrays)
    recording = read(tmp_path / "a.npz", variable="S*")
    assert recording.units["subject"].tolist() == ["S1"] * 3 + ["S3"] * 3
    assert "a.npz: no response of subject 'S2'; it is left out" in caplog.text
    np.testing.assert_array_equal(
        stimulus_means(recording), np.concatenate([arrays["S1"], arrays["S3"]], 2).mean(axis=1)
    )


def test_subjects_that_saw_excluded_stimuli_only_are_left_out(tmp_path, caplog):
    """They have responses in the file, but not a trial that is read."""
    shown = {"ids_S1": KNOWN, "ids_S2": np.array(["blank", "blank"])}
    rates = {name: RNG.normal(size=(len(ids), 3)) for name, ids in shown.items()}
    rates = {name.removeprefix("ids_"): rate for name, rate in rates.items()}
    np.savez(tmp_path / "a.npz", **shown, **rates)
    recording = read(
        tmp_path / "a.npz", "variable:ids_S*", ["trial", "unit"], variable="S*", exclude=["blank"]
    )
    np.testing.assert_array_equal(stimulus_means(recording), rates["S1"])
    assert recording.units["unit"].tolist() == ["S1/1", "S1/2", "S1/3"]
    assert "no response of subject 'S2'" in caplog.text


def test_what_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, S1=np.zeros((4, 2, 5)), S2=np.zeros((4, 3, 5)), S3=np.zeros((4, 2)))
    axes = ["stimulus", "unit", "time"]
    with pytest.raises(RepbiasError, match=r"names 3 axes .* the array has 2"):
        read(path, axes=axes, variable="S*")
    np.savez(path, S1=np.zeros((4, 2, 5)), S2=np.zeros((4, 3, 6)))
    with pytest.raises(RepbiasError, match=r"'S1' and 'S2' have \(5,\) and \(6,\) time bins"):
        read(path, axes=axes, variable="S*")
    with pytest.raises(RepbiasError, match=r"no variable matches 'T\*'; allowed: S1, S2"):
        read(path, axes=axes, variable="T*")
    with pytest.raises(ValidationError, match="give variable or variables, not both"):
        read(path, variable="S1", variables=["S2"])
    with pytest.raises(ValidationError, match="the axis 'subject': not with an array for each"):
        read(path, axes=["stimulus", "unit", "subject"], variable="S*")
