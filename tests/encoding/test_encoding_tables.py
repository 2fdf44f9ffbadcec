"""The table of encoding scores."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from repbias.encoding.ridge import gram, predict, scores
from repbias.encoding.spec import Encoding
from repbias.encoding.tables import encode_recording
from repbias.recordings.reliability import split_half_reliability
from repbias.spec import RepbiasError
from repbias.store import Recording
from repbias.tables import TABLES

SPEC = Encoding(folds=3, inner_folds=3, n_alphas=9)
IDS = [f"s{i:02d}" for i in range(40)]
NETWORKS = [(0, "initial"), (0, "acquired"), (0, "final"), (1, "final")]


def recording_of(tensor: np.ndarray, ids=IDS) -> Recording:
    """A recording of (stimulus, repeat, unit)."""
    n, repeats, units = tensor.shape
    return Recording(
        stimuli={"stimulus_id": np.array(ids[:n])},
        responses=tensor.reshape(-1, units),
        trials={
            "stimulus_id": np.repeat(ids[:n], repeats),
            "repeat": np.tile(np.arange(repeats), n),
        },
        units={
            "unit": np.array([f"u{i}" for i in range(units)]),
            "subject": np.array([f"subject{i % 2}" for i in range(units)]),
            "region": np.full(units, "V4"),
        },
    )


@pytest.fixture
def layers():
    rng = np.random.default_rng(0)
    return {"hidden1": rng.normal(size=(4, 40, 8)), "hidden2": rng.normal(size=(4, 40, 5))}


@pytest.fixture
def tensor(layers):
    """Units driven by the last network's second layer, with trial noise."""
    rng = np.random.default_rng(1)
    signal = layers["hidden2"][3] @ rng.normal(size=(5, 6))
    return signal[:, None] + rng.normal(size=(40, 4, 6))


def encode(tensor, activations, spec=SPEC):
    return encode_recording("v4", recording_of(tensor), "tasks", {"both": activations}, spec)


def expected_scores(layers, means, network, layer, stimuli=slice(None)):
    features = layers[layer][network].astype(np.float32)[stimuli]
    return scores(predict(gram(features), means, SPEC), means)


def test_every_layer_of_untrained_and_final_networks_predicts_every_unit(
    layers, tensor, make_activations
):
    table = encode(tensor, make_activations(layers, IDS, NETWORKS))
    assert tuple(table.columns) == TABLES["encoding"]
    assert len(table) == 3 * 2 * 6
    assert set(table["snapshot"]) == {"initial", "final"}
    for (seed, snapshot, layer), part in table.groupby(["seed", "snapshot", "layer"]):
        network = NETWORKS.index((seed, snapshot))
        r, r2 = expected_scores(layers, tensor.mean(axis=1), network, layer)
        np.testing.assert_allclose(part["r"], r, atol=1e-9)
        np.testing.assert_allclose(part["r2"], r2, atol=1e-9)
        assert list(part["unit"]) == [f"u{i}" for i in range(6)]
        assert list(part["subject"]) == ["subject0", "subject1"] * 3
    best = table.groupby(["seed", "snapshot", "layer"])["r"].mean().idxmax()
    assert best == (1, "final", "hidden2")


def test_raw_and_normalised_scores_stand_beside_the_ceiling(layers, tensor, make_activations):
    tensor[:, :, 0] = np.random.default_rng(2).normal(size=(40, 4))  # a unit of noise
    table = encode(tensor, make_activations(layers, IDS, NETWORKS))
    ceiling = split_half_reliability(recording_of(tensor)).ceiling
    part = table[table["layer"] == "hidden2"].iloc[-6:]
    np.testing.assert_allclose(part["ceiling"], ceiling)
    np.testing.assert_allclose(part["r_normalised"], part["r"] / ceiling)
    assert np.isnan(part["r_normalised"].iloc[0])
    assert (
        list(part["ceiling_convention"])
        == ["unavailable"] + ["sqrt of split-half reliability, Spearman-Brown corrected"] * 5
    )


def test_without_repeats_scores_are_raw(layers, tensor, make_activations):
    table = encode(tensor[:, :1], make_activations(layers, IDS, NETWORKS))
    assert table["r"].notna().all()
    assert table[["ceiling", "r_normalised"]].isna().all(axis=None)
    assert set(table["ceiling_convention"]) == {"unavailable"}


def test_penalties_at_the_edge_of_their_range_are_reported(layers, make_activations):
    """Noise takes the largest penalty; a noiseless linear response the smallest."""
    rng = np.random.default_rng(3)
    tensor = rng.normal(size=(40, 1, 6))
    tensor[:, 0, 0] = layers["hidden1"][0].astype(np.float32) @ rng.normal(size=8)
    spec = Encoding(folds=3, inner_folds=3, n_alphas=5, log10_alpha=(-3, 5))
    activations = make_activations({"hidden1": layers["hidden1"][:1]}, IDS, [(0, "final")])
    table = encode(tensor, activations, spec).set_index("unit")
    assert table.loc["u0", "log10_alpha"] == pytest.approx(-3)
    assert table.loc["u0", "alpha_at_edge"] == 1
    at_the_top = table[table["log10_alpha"] > 4.99]
    assert len(at_the_top) >= 1
    assert (at_the_top["alpha_at_edge"] == 1).all()


def test_units_that_missed_stimuli_are_predicted_from_those_they_saw(
    layers, tensor, make_activations
):
    tensor[30:, :, [1, 4]] = np.nan
    tensor[:5, :, 2] = np.nan
    tensor[7, :2, 3] = np.nan  # some repeats only: still observed
    table = encode(tensor, make_activations(layers, IDS, NETWORKS))
    part = table[(table["seed"] == 1) & (table["layer"] == "hidden2")].set_index("unit")
    assert part["n_stimuli"].to_dict() == {
        "u0": 40, "u1": 30, "u2": 35, "u3": 40, "u4": 30, "u5": 40
    }  # fmt: skip
    for units, stimuli in (([0, 3, 5], slice(None)), ([1, 4], slice(30)), ([2], slice(5, None))):
        means = np.nanmean(tensor[stimuli][:, :, units], axis=1)
        r, _ = expected_scores(layers, means, 3, "hidden2", stimuli)
        np.testing.assert_allclose(part.loc[[f"u{u}" for u in units], "r"], r, atol=1e-9)


def test_constant_and_hardly_observed_units_are_left_out_and_counted(
    layers, tensor, make_activations, caplog
):
    tensor[:, :, 0] = 2.0
    tensor[8:, :, 1] = np.nan
    tensor[:, :, 2] = np.nan
    with caplog.at_level(logging.WARNING):
        table = encode(tensor, make_activations(layers, IDS, NETWORKS))
    assert set(table["unit"]) == {"u3", "u4", "u5"}
    assert "3 of 6 units are constant or observed for fewer than 9 stimuli" in caplog.text


def test_when_no_unit_is_left_the_recording_is_refused(layers, make_activations):
    with pytest.raises(RepbiasError, match="'v4': no unit can be predicted"):
        encode(np.ones((40, 2, 3)), make_activations(layers, IDS, NETWORKS))


def test_too_few_stimuli_are_refused(layers, tensor, make_activations):
    with pytest.raises(RepbiasError, match="'v4': 8 stimuli are too few for 3 x 3 folds"):
        encode(tensor[:8], make_activations(layers, IDS, NETWORKS))


def test_stimuli_are_joined_by_id(layers, tensor, make_activations):
    order = np.random.default_rng(4).permutation(40)
    expected = encode(tensor, make_activations(layers, IDS, NETWORKS))
    shuffled = {layer: values[:, order] for layer, values in layers.items()}
    activations = make_activations(shuffled, list(np.array(IDS)[order]), NETWORKS, "shuffled")
    np.testing.assert_allclose(encode(tensor, activations)["r"], expected["r"], atol=1e-9)


def test_networks_that_saw_other_stimuli_are_left_out_and_named(
    layers, tensor, make_activations, caplog
):
    activations = {
        "same": make_activations(layers, IDS, NETWORKS),
        "other": make_activations(layers, [*IDS[:-1], "another"], NETWORKS, "other"),
    }
    with caplog.at_level(logging.WARNING):
        table = encode_recording("v4", recording_of(tensor), "tasks", activations, SPEC)
    assert set(table["condition"]) == {"same"}
    assert "other saw other stimuli" in caplog.text


def test_recordings_of_rdms_have_no_units_to_predict(layers, make_activations):
    recording = Recording(stimuli={"stimulus_id": np.array(IDS)}, rdms=np.ones((1, 780)))
    activations = {"both": make_activations(layers, IDS, NETWORKS)}
    table = encode_recording("it", recording, "tasks", activations, SPEC)
    assert table.empty
    assert tuple(table.columns) == TABLES["encoding"]


def test_a_network_that_diverged_is_left_out(layers, tensor, make_activations, caplog):
    layers["hidden2"][2, 0] = np.nan
    table = encode(tensor, make_activations(layers, IDS, NETWORKS))
    diverged = (table["seed"] == 0) & (table["snapshot"] == "final")
    assert set(table.loc[diverged, "layer"]) == {"hidden1"}
    assert set(table.loc[~diverged, "layer"]) == {"hidden1", "hidden2"}
    assert "is not finite; left out" in caplog.text
