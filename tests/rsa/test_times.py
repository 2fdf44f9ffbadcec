"""RSA over time: every bin is compared as a recording of its own would be."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from scipy.spatial.distance import pdist

from repbias.base.spec import RepbiasError
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.rsa.rdms import make_rdms
from repbias.rsa.tables import compare_times, compare_with_recording
from repbias.tables import TABLES

IDS = [f"s{i:02d}" for i in range(10)]
SPEC = Geometry(bootstraps=100, rdm_similarities=["corr", "spearman"])
SIGNAL = np.random.default_rng(1).normal(size=(10, 8))


def recording(n_subjects=1, repeats=3, **preparation):
    """Signal from the second of three bins on; the last unit is noise."""
    rng = np.random.default_rng(0)
    tensor = rng.normal(size=(10, repeats, 8 * n_subjects, 3))
    tensor[..., 1:] += 2 * np.tile(SIGNAL, n_subjects)[:, None, :, None]
    tensor[:, :, -1] = rng.normal(size=(10, repeats, 3))
    return Recording(
        stimuli={"stimulus_id": np.array(IDS)},
        responses=tensor.reshape(-1, *tensor.shape[2:]),
        trials={
            "stimulus_id": np.repeat(IDS, repeats),
            "repeat": np.tile(np.arange(repeats), 10),
        },
        units={
            "unit": np.array([f"u{i}" for i in range(8 * n_subjects)]),
            "subject": np.repeat([f"subject{i}" for i in range(n_subjects)], 8),
            "region": np.full(8 * n_subjects, ""),
        },
        info={"times_s": [-0.05, 0.05, 0.15], "preparation": preparation},
    )


def networks():
    """The signal's RDM, in an included network and another, untrained, mastered and final."""
    rows = [(s, k) for s in ("initial", "mastered", "final") for k in range(2)]
    rng = np.random.default_rng(2)
    vectors = [
        pdist(SIGNAL if s == "final" else rng.normal(size=SIGNAL.shape), "correlation")
        for s, _ in rows
    ]
    info = {
        "network": [f"seed{k}" for _, k in rows],
        "seed": [k for _, k in rows],
        "snapshot": [s for s, _ in rows],
        "step": [0] * 6,
        "included": [k == 0 for _, k in rows],
        "layer": ["hidden1"] * 6,
    }
    return {"easy": make_rdms(np.array(vectors), IDS, "correlation", info)}


def test_every_bin_is_a_recording_of_its_own():
    whole = recording(2)
    table = compare_times("it", whole, "tasks", networks(), SPEC)
    assert tuple(table.columns) == TABLES["rsa_times"].columns
    for i, time in enumerate(whole.info["times_s"]):
        alone = replace(whole, responses=whole.responses[:, :, i], info={})
        expected = compare_with_recording("it", alone, "tasks", networks(), SPEC)
        expected = expected[expected["included"] & (expected["snapshot"] != "mastered")]
        of_bin = table[table["time_s"] == time]
        columns = list(TABLES["rsa_recordings"].columns)
        keys = ["rdm_similarity", "snapshot"]
        assert_frame_equal(
            of_bin[columns].sort_values(keys).reset_index(drop=True),
            expected[columns].sort_values(keys).reset_index(drop=True),
        )


def test_similarity_rises_with_the_response():
    table = compare_times("it", recording(), "tasks", networks(), SPEC)
    final = table[(table["snapshot"] == "final") & (table["rdm_similarity"] == "corr")]
    before, *after = final.sort_values("time_s")["similarity"]
    assert abs(before) < 0.35
    assert min(after) > 0.6
    assert set(table["snapshot"]) == {"initial", "final"}


def test_the_window_does_not_apply():
    table = compare_times("it", recording(), "tasks", networks(), SPEC)
    windowed = recording(window=[0.1, 0.2])
    assert_frame_equal(compare_times("it", windowed, "tasks", networks(), SPEC), table)


def test_all_bins_have_the_units_that_are_reliable_in_the_window():
    """Unreliable before the response, the others are kept there; the noise is left out."""
    chosen = recording(window=[0.0, 0.2], min_reliability=0.8)
    without = recording()
    without.responses = without.responses[:, :-1]
    without.units = {k: v[:-1] for k, v in without.units.items()}
    assert_frame_equal(
        compare_times("it", chosen, "tasks", networks(), SPEC),
        compare_times("it", without, "tasks", networks(), SPEC),
    )


def test_a_bin_without_an_rdm_is_left_out_and_named(caplog):
    silent = recording()
    silent.responses[:, :, 0] = 0
    with caplog.at_level(logging.WARNING):
        table = compare_times("it", silent, "tasks", networks(), SPEC)
    assert set(table["time_s"]) == {0.05, 0.15}
    assert "it, bin at -0.05 s: left out: recording 'it', subject0: 0 units" in caplog.text


@pytest.mark.parametrize("kind", ["rdms", "no times", "no networks"])
def test_without_times_or_networks_the_table_is_empty(kind):
    data, conditions = recording(), networks()
    if kind == "rdms":
        data = Recording(stimuli=data.stimuli, rdms=np.ones((1, 45)))
    if kind == "no times":
        data.responses = data.responses[:, :, 0]
    if kind == "no networks":
        conditions = {}
    table = compare_times("it", data, "tasks", conditions, SPEC)
    assert table.empty
    assert tuple(table.columns) == TABLES["rsa_times"].columns


def test_bins_without_times_are_refused():
    without = replace(recording(), info={})
    with pytest.raises(RepbiasError, match=r"'it': geometry\.time_resolved needs times"):
        compare_times("it", without, "tasks", networks(), SPEC)
