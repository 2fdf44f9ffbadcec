"""The table of encoding scores."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.encoding.ridge import (
    Prediction,
    folds_in_words,
    gram,
    inner_folds,
    outer_folds,
    permutation_p,
    predict,
    scores,
)
from repbias.encoding.spec import Encoding
from repbias.encoding.tables import encode_recording, targets
from repbias.io.recordings import Recording
from repbias.recordings.reliability import split_half_reliability
from repbias.tables import TABLES

SPEC = Encoding(folds=3, inner_folds=3, n_alphas=9, permutations=19)
IDS = [f"s{i:02d}" for i in range(40)]
NETWORKS = [(0, "initial"), (0, "mastered"), (0, "final"), (1, "final")]


def recording_of(tensor: np.ndarray, ids=IDS, columns=None, **preparation) -> Recording:
    """A recording of (stimulus, repeat, unit); a column of its stimuli groups them."""
    n, repeats, units = tensor.shape
    return Recording(
        info={"preparation": preparation, "groups": next(iter(columns or {}), None)},
        stimuli={"stimulus_id": np.array(ids[:n])} | (columns or {}),
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
    assert tuple(table.columns) == TABLES["encoding"].columns
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
    assert "3 of 6 units are constant or observed for too few stimuli or groups" in caplog.text


def test_when_no_unit_is_left_the_recording_is_refused(layers, make_activations):
    with pytest.raises(RepbiasError, match="'v4': no unit can be predicted"):
        encode(np.ones((40, 2, 3)), make_activations(layers, IDS, NETWORKS))


def test_of_too_few_stimuli_there_is_no_encoding_model(layers, tensor, make_activations, caplog):
    """RSA may still be possible, so the study goes on; what needs the folds is refused."""
    assert encode(tensor[:8], make_activations(layers, IDS, NETWORKS)).empty
    assert "v4: no encoding models: 8 stimuli, the folds need 9" in caplog.text
    with pytest.raises(RepbiasError, match="'v4': 8 stimuli are too few for 3 x 3 folds"):
        targets("v4", recording_of(tensor[:8]), SPEC)


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
    assert tuple(table.columns) == TABLES["encoding"].columns


def test_a_network_that_diverged_is_left_out(layers, tensor, make_activations, caplog):
    layers["hidden2"][2, 0] = np.nan
    table = encode(tensor, make_activations(layers, IDS, NETWORKS))
    diverged = (table["seed"] == 0) & (table["snapshot"] == "final")
    assert set(table.loc[diverged, "layer"]) == {"hidden1"}
    assert set(table.loc[~diverged, "layer"]) == {"hidden1", "hidden2"}
    assert "is not finite; left out" in caplog.text


@pytest.fixture
def one_layer(layers, make_activations):
    """The layer that generated the units, of one network."""
    return make_activations({"hidden2": layers["hidden2"][3:]}, IDS, [(0, "final")])


def test_p_is_corrected_over_the_units_of_one_layer_of_one_network(
    layers, tensor, make_activations
):
    tensor[30:, :, [1, 4]] = np.nan  # two patterns, one correction
    table = encode(tensor, make_activations(layers, IDS, NETWORKS))
    for _, part in table.groupby(["seed", "snapshot", "layer"]):
        np.testing.assert_allclose(part["p_fdr"], false_discovery_control(part["p"]))
    assert table["p"].between(1 / 20, 1).all()
    best = table[(table["seed"] == 1) & (table["layer"] == "hidden2")]
    kernel, means = gram(layers["hidden2"][3].astype(np.float32)), tensor[:, :, [0]].mean(axis=1)
    expected = permutation_p(kernel, means, predict(kernel, means, SPEC), SPEC)
    np.testing.assert_allclose(best["p"].iloc[0], expected[0])


def test_without_permutations_nothing_is_tested(tensor, one_layer):
    spec = SPEC.model_copy(update={"permutations": 0})
    table = encode(tensor, one_layer, spec)
    assert table[["p", "p_fdr"]].isna().all(axis=None)
    assert table["r"].notna().all()


def test_errors_of_a_regions_mean_are_a_jackknife_over_stimuli(layers, tensor, one_layer):
    """Without each stimulus in turn, the fits as they are."""
    table = encode(tensor, one_layer)
    kernel, means = gram(layers["hidden2"][3].astype(np.float32)), tensor.mean(axis=1)
    fit = predict(kernel, means, SPEC)
    for subject in ("subject0", "subject1"):
        units = np.flatnonzero([s == subject for s in table["subject"]])
        without = []
        for i in range(40):
            kept = np.arange(40) != i
            part = Prediction(
                fit.parts[:, kept], fit.fold[kept], fit.baseline[kept], fit.alphas, fit.grid
            )
            without.append(scores(part, means[kept])[0][units].mean())
        expected = np.sqrt(39 * np.var(without) * SPEC.folds / (SPEC.folds - 1))
        np.testing.assert_allclose(table["r_error"][units], expected, rtol=1e-6)


def test_groups_are_a_column_of_the_recordings_stimuli(layers, tensor, one_layer):
    """Joined by id: the recording's stimuli come in another order than the activations'."""
    category = np.array([f"category{i % 8}" for i in range(40)])
    order = np.random.default_rng(5).permutation(40)
    recording = recording_of(
        tensor[order], list(np.array(IDS)[order]), {"category": category[order]}
    )
    table = encode_recording("v4", recording, "tasks", {"both": one_layer}, SPEC)
    kernel, means = gram(layers["hidden2"][3].astype(np.float32)), tensor.mean(axis=1)
    groups = StimulusGroups.of(category, "category")
    fit = predict(kernel, means, SPEC, groups)
    np.testing.assert_allclose(table["r"], scores(fit, means)[0], atol=1e-9)
    p = permutation_p(kernel, means, fit, SPEC, groups)
    np.testing.assert_allclose(table["p"], p)
    assert abs(table["r"] - encode(tensor, one_layer)["r"]).max() > 0.01


def test_a_fold_of_too_few_stimuli_is_refused(tensor, one_layer):
    category = np.array([*range(4), *[4] * 18, *[5] * 18])
    recording = recording_of(tensor, columns={"category": category})
    with pytest.raises(RepbiasError, match="one of 3 folds of whole category has 2 stimuli"):
        encode_recording("v4", recording, "tasks", {"both": one_layer}, SPEC)


@pytest.mark.parametrize("n_groups", [2, 3, 4])
def test_a_model_of_few_groups_predicts_nothing_of_those_left_out(n_groups):
    """The groups' means are most of the responses, but none of those in training says which."""
    category = np.repeat(np.arange(n_groups), 40 // n_groups)
    rng = np.random.default_rng(0)
    means = 9 * rng.normal(size=(n_groups, 5))[category] + rng.normal(size=(len(category), 5))
    groups = StimulusGroups.of(category, "category")
    kernel = gram((category[:, None] == np.arange(n_groups)).astype(float))
    fit = predict(kernel, means, SPEC, groups)
    r, r2 = scores(fit, means)
    assert (r == 0).all() and (r2 < 1e-9).all()
    alone = predict(kernel, means, SPEC)
    assert scores(alone, means)[1].mean() > 0.5
    p = permutation_p(kernel, means, fit, SPEC, groups)
    np.testing.assert_array_equal(p, 1)


@pytest.mark.parametrize(
    ("n_groups", "words"),
    [
        (40, "3 x 3 folds"),
        (8, "3 x 3 folds of whole groups (category)"),
        (3, "3 x 2 folds of whole groups (category)"),
        (2, "2 folds of whole groups (category), 3 within the one that is left"),
    ],
)
def test_folds_are_said_as_they_are(n_groups, words):
    groups = StimulusGroups.of(np.arange(40) % n_groups, "category")
    assert folds_in_words(groups, SPEC) == words
    outer = outer_folds(groups, SPEC)
    inner = inner_folds(groups.subset(outer[0][0]), SPEC)
    assert (len(outer), len(inner)) == (int(words[0]), int(re.findall("[0-9]", words)[1]))


def test_there_are_no_more_folds_than_groups(tensor, one_layer):
    """Six groups in ten folds: each is a fold, and five are left to the inner ones."""
    recording = recording_of(tensor, columns={"category": np.arange(40) % 6})
    spec = SPEC.model_copy(update={"folds": 10, "inner_folds": 4})
    groups = targets("v4", recording, spec).groups
    assert len(outer_folds(groups, spec)) == 6
    table = encode_recording("v4", recording, "tasks", {"both": one_layer}, spec)
    assert table["r"].notna().all()


def test_units_that_saw_too_few_stimuli_are_left_out(tensor, one_layer, caplog):
    tensor[8:, :, 2] = np.nan
    recording = recording_of(tensor, columns={"category": np.arange(40) // 4})
    table = encode_recording("v4", recording, "tasks", {"both": one_layer}, SPEC)
    assert set(table["unit"]) == {"u0", "u1", "u3", "u4", "u5"}
    assert "1 of 6 units are constant or observed for too few stimuli or groups" in caplog.text


def test_units_below_the_recordings_reliability_are_left_out(tensor, one_layer, caplog):
    tensor[:, :, [0, 3]] = np.random.default_rng(2).normal(size=(40, 4, 2))
    recording = recording_of(tensor, min_reliability=0.6)
    table = encode_recording("v4", recording, "tasks", {"both": one_layer}, SPEC)
    assert set(table["unit"]) == {"u1", "u2", "u4", "u5"}
    assert "2 of 6 units never vary or are below the min_reliability of 0.6" in caplog.text
    # The others are as they were: no unit's fit depends on another's.
    everything = encode(tensor, one_layer).set_index("unit")["r"]
    np.testing.assert_allclose(table["r"], everything[table["unit"]], atol=1e-9)


def test_no_reliable_unit_is_an_error(tensor, one_layer):
    recording = recording_of(tensor, min_reliability=1)
    with pytest.raises(RepbiasError, match="no unit can be predicted: all constant, unreliable"):
        encode_recording("v4", recording, "tasks", {"both": one_layer}, SPEC)


def test_one_warning_names_the_layers_their_edges_and_the_setting(layers, make_activations, caplog):
    tensor = np.random.default_rng(3).normal(size=(40, 1, 6))
    activations = make_activations(layers, IDS, NETWORKS)
    encode(tensor, activations)
    found = [r.getMessage() for r in caplog.records if "log10_alpha" in r.getMessage()]
    (line,) = found
    assert line.startswith("v4: in 2 of 2 layers, many of the penalties")
    assert line.count("the lowest") == 2
    table = encode(tensor, activations)
    share = 100 * table.loc[table["layer"] == "hidden1", "alpha_at_edge"].mean()
    first = re.search(r"both, layer hidden1: (\d+)% the lowest, (\d+)% the highest", line)
    low, high = map(int, first.groups())
    assert low + high == pytest.approx(share, abs=1)
    assert high > 30  # noise takes the highest
    caplog.clear()
    inside = SPEC.model_copy(update={"log10_alpha": (-6.0, 6.0)})
    rng = np.random.default_rng(4)
    wide = rng.normal(size=(1, 40, 20))
    signal = wide[0] @ rng.normal(size=(20, 6)) / np.sqrt(5) + rng.normal(size=(40, 6))
    encode(signal[:, None], make_activations({"l": wide}, IDS, [(0, "final")], "wide"), inside)
    assert "log10_alpha" not in caplog.text


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), offset=st.floats(-100, 100))
def test_order_of_stimuli_trials_and_units_and_a_constant_change_nothing(
    tensor, one_layer, seed, offset
):
    rng = np.random.default_rng(seed)
    expected = encode(tensor, one_layer).set_index("unit")
    order, units = rng.permutation(40), rng.permutation(6)
    recording = recording_of(tensor[order][:, :, units] + offset, list(np.array(IDS)[order]))
    recording.units["unit"] = recording.units["unit"][units]
    trials = rng.permutation(len(recording.responses))
    recording.responses = recording.responses[trials]
    recording.trials = {k: v[trials] for k, v in recording.trials.items()}
    table = encode_recording("v4", recording, "tasks", {"both": one_layer}, SPEC)
    table = table.set_index("unit").loc[expected.index]
    for column in ("r", "r2", "p", "p_fdr", "log10_alpha"):
        np.testing.assert_allclose(table[column], expected[column], atol=1e-8)
