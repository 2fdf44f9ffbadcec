"""Regions and groups of stimuli of a recording."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.io.recordings import Recording
from repbias.recordings.parts import (
    choose_regions,
    in_order_of,
    name_groups,
    of_stimuli,
    regions_of,
    stimulus_groups,
)
from repbias.recordings.readers.array import ArrayRecording

IDS = np.array([f"s{i}" for i in range(6)])


def recording(regions=("V4", "IT", "", "V4")):
    return Recording(
        stimuli={
            "stimulus_id": IDS,
            "film": np.array(["a", "a", "b", "b", "c", "c"]),
            "size": np.array([1, 2, 3, np.nan, 1, 2]),
            "constant": np.full(6, "x"),
        },
        responses=np.arange(24.0).reshape(6, 4),
        standard_errors=np.arange(24.0).reshape(6, 4) / 10,
        trials={"stimulus_id": IDS, "repeat": np.zeros(6, int)},
        units={
            "unit": np.array(["u0", "u1", "u2", "u3"]),
            "subject": np.full(4, "one"),
            "region": np.array(regions),
        },
    )


def rdms():
    return Recording(
        stimuli={"stimulus_id": IDS[:3]},
        rdms=np.arange(9.0).reshape(3, 3),
        rdm_info={"subject": np.full(3, "one"), "region": np.array(["V1", "IT", "V1"])},
    )


def test_regions_are_those_that_units_have():
    assert regions_of(recording()) == ["IT", "V4"]
    assert regions_of(recording(["V4"] * 4)) == [""]
    assert regions_of(recording([""] * 4)) == [""]
    assert regions_of(rdms()) == ["IT", "V1"]


def test_regions_are_chosen_and_joined():
    chosen = choose_regions(recording(), ["V4"], "mine")
    assert list(chosen.units["unit"]) == ["u0", "u3"]
    np.testing.assert_array_equal(chosen.responses, recording().responses[:, [0, 3]])
    np.testing.assert_array_equal(chosen.standard_errors, recording().standard_errors[:, [0, 3]])
    joined = choose_regions(recording(), {"ventral": ["V4", "IT"]}, "mine")
    assert list(joined.units["region"]) == ["ventral"] * 3
    assert regions_of(joined) == [""]
    of_rdms = choose_regions(rdms(), ["V1"], "mine")
    np.testing.assert_array_equal(of_rdms.rdms, rdms().rdms[[0, 2]])


def test_an_unknown_region_is_refused_with_those_there_are():
    with pytest.raises(
        RepbiasError, match=r"mine.analyse_regions: no region 'V5'.*allowed: IT, V4"
    ):
        choose_regions(recording(), {"dorsal": ["V5"]}, "mine")


def test_a_region_in_two_groups_is_refused(tmp_path):
    """Units cannot be of two regions, and one group would lack them."""
    np.save(tmp_path / "r.npy", np.zeros((6, 4)))
    settings = {"kind": "array", "path": tmp_path / "r.npy", "stimuli": "set"}
    settings |= {"axes": ["stimulus", "unit"], "stimulus_ids": IDS.tolist()}
    groups = {"early": ["V1", "V2"], "ventral": ["V2", "V4"]}
    with pytest.raises(ValidationError, match=r"analyse_regions\n.*'V2' occurs twice"):
        ArrayRecording(**settings, analyse_regions=groups)
    with pytest.raises(ValidationError, match=r"analyse_regions\n.*'V1' occurs twice"):
        ArrayRecording(**settings, analyse_regions=["V1", "V1"])
    groups["ventral"] = ["V4"]
    assert ArrayRecording(**settings, analyse_regions=groups).analyse_regions == groups


def test_groups_are_a_column():
    mine = recording()
    assert stimulus_groups(mine).are_alone
    name_groups(mine, "film", "set")
    np.testing.assert_array_equal(stimulus_groups(mine).codes, [0, 0, 1, 1, 2, 2])
    assert stimulus_groups(mine).name == "film"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("flim", r"images.set.groups: the stimuli have no column 'flim'; did you mean 'film'"),
        ("size", r"images.set.groups: 1 of 6 stimuli have no 'size' \(the first is 's3'\)"),
        ("constant", "all 6 stimuli have the same 'constant', 'x'"),
    ],
)
def test_columns_that_group_nothing_are_refused(column, message):
    with pytest.raises(RepbiasError, match=message):
        name_groups(recording(), column, "set")


def test_some_stimuli_of_rdms_keep_their_dissimilarities():
    rng = np.random.default_rng(0)
    square = rng.random((6, 6))
    square = square + square.T
    pairs = np.triu_indices(6, 1)
    ids = np.array([f"s{i}" for i in range(6)])
    whole = Recording(
        stimuli={"stimulus_id": ids},
        rdms=square[pairs][None],
        rdm_info={"subject": np.array(["m"])},
    )
    order = np.array([4, 0, 3])
    moved = in_order_of(whole, ids[order])
    assert moved.stimulus_ids.tolist() == ["s4", "s0", "s3"]
    np.testing.assert_array_equal(
        moved.rdms[0], square[np.ix_(order, order)][np.triu_indices(3, 1)]
    )
    chosen = np.isin(ids, ["s0", "s3", "s4"])
    some = of_stimuli(whole, chosen)
    np.testing.assert_array_equal(
        some.rdms[0], square[np.ix_(chosen, chosen)][np.triu_indices(3, 1)]
    )
