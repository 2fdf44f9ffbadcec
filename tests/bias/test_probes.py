"""Probes against scikit-learn, PyTorch's own modules and planted representations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from analysed import analysed
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from repbias.base.spec import RepbiasError
from repbias.bias.probes import linear_probe, nonlinear_probe
from repbias.bias.spec import Bias
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.mlp import MLP
from repbias.tables import TABLES


def noisy_case(seed, n=200, units=6):
    """Two networks, two labels that each shift the units by random amounts."""
    rng = np.random.default_rng(seed)
    y_fit, y_test = rng.integers(0, 2, size=(2, n, 2))
    directions = rng.normal(size=(2, 2, units))
    scale, offset = rng.uniform(0.1, 10, size=units), 5 * rng.normal(size=units)
    fit, test = (
        ((y @ directions + rng.normal(size=(2, n, units))) * scale + offset).astype(np.float32)
        for y in (y_fit, y_test)
    )
    return fit, y_fit, test, y_test


def xor_case(n=1000, units=10, seed=0):
    """Signs of two units decide an XOR, the other units are noise."""
    rng = np.random.default_rng(seed)
    fit, test = rng.normal(size=(2, 1, n, units)).astype(np.float32)
    y_fit, y_test = (((x[0, :, :2] > 0).sum(axis=1) % 2)[:, None] for x in (fit, test))
    return fit, y_fit, test, y_test


def test_the_linear_probe_is_logistic_regression_on_standardised_units():
    fit, y_fit, test, _ = noisy_case(0)
    decoded = linear_probe(fit, y_fit, test)
    assert decoded.shape == (2, 200, 2)
    for n, label in np.ndindex(2, 2):
        model = make_pipeline(StandardScaler(), LogisticRegression())
        model.fit(fit[n].astype(float), y_fit[:, label])
        expected = model.predict(test[n].astype(float))
        assert (decoded[n, :, label] == expected).mean() >= 0.995


@pytest.mark.slow
def test_the_nonlinear_probe_is_a_perceptron_trained_by_adamw():
    fit, y_fit, test, _ = noisy_case(1)
    steps = 30
    found = nonlinear_probe(fit, y_fit, test, steps=steps, seed=3)
    for n, label in np.ndindex(2, 2):
        scaler = StandardScaler().fit(fit[n].astype(float))
        x, x_test = (
            torch.tensor(scaler.transform(a.astype(float)), dtype=torch.float32)
            for a in (fit[n], test[n])
        )
        y = torch.tensor(y_fit[:, [label]], dtype=torch.float32)
        generator = torch.Generator().manual_seed(3)
        model = torch.nn.Sequential(torch.nn.Linear(6, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
        with torch.no_grad():
            for layer in (model[0], model[2]):
                shape = layer.weight.T.shape
                draw = 2 * torch.rand(shape, generator=generator) - 1
                layer.weight.copy_(draw.T / shape[0] ** 0.5)
                layer.bias.zero_()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=1.0)
        batches = []
        for step in range(steps):
            if not batches:  # 200 stimuli make three batches of 64
                order = torch.randperm(200, generator=generator)
                batches = list(order[:192].split(64))
            rows = batches.pop(0)
            optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / steps)
            optimizer.zero_grad()
            torch.nn.BCEWithLogitsLoss()(model(x[rows]), y[rows]).backward()
            optimizer.step()
        expected = model(x_test)[:, 0] > 0
        assert (found[n, :, label] == expected.numpy()).mean() >= 0.995


def test_only_the_nonlinear_probe_decodes_an_xor():
    fit, y_fit, test, y_test = xor_case()
    chance = 5 * 0.5 / np.sqrt(1000)
    assert abs((linear_probe(fit, y_fit, test) == y_test).mean() - 0.5) < chance
    assert (nonlinear_probe(fit, y_fit, test) == y_test).mean() > 0.85


@pytest.mark.parametrize("probe", [linear_probe, nonlinear_probe])
def test_nothing_is_decoded_from_noise(probe):
    rng = np.random.default_rng(0)
    fit, test = rng.normal(size=(2, 3, 400, 30))
    y_fit, y_test = rng.integers(0, 2, size=(2, 400, 2))
    accuracy = (probe(fit, y_fit, test) == y_test).mean(axis=1)
    assert (np.abs(accuracy - 0.5) < 5 * 0.5 / np.sqrt(400)).all()


@pytest.mark.parametrize("probe", [linear_probe, nonlinear_probe])
def test_a_probe_does_not_depend_on_its_company(probe):
    fit, y_fit, test, _ = noisy_case(2)
    together = probe(fit, y_fit, test)
    for n, label in np.ndindex(2, 2):
        alone = probe(fit[[n]], y_fit[:, [label]], test[[n]])
        assert (alone[0, :, 0] == together[n, :, label]).mean() >= 0.995


@given(seed=st.integers(0, 10_000))
@settings(max_examples=5)
def test_units_may_have_any_scale_and_constant_units_do_nothing(seed):
    fit, y_fit, test, _ = noisy_case(seed)
    rng = np.random.default_rng(seed)
    scale, shift = rng.uniform(0.5, 20, size=6), rng.normal(size=6)

    def with_constant(x, value):
        return np.append(x, np.full((2, 200, 1), value), axis=-1)

    for probe in (linear_probe, nonlinear_probe):
        plain = probe(with_constant(fit, 0), y_fit, with_constant(test, 0))
        changed = (with_constant(scale * x + shift, 7.3) for x in (fit, test))
        found = probe(next(changed), y_fit, next(changed))
        assert (found == plain).mean() >= 0.995


@given(seed=st.integers(0, 10_000))
@settings(max_examples=5)
def test_the_linear_probe_does_not_care_for_the_order_of_units(seed):
    fit, y_fit, test, _ = noisy_case(seed)
    permuted = linear_probe(fit[..., ::-1], y_fit, test[..., ::-1])
    assert (permuted == linear_probe(fit, y_fit, test)).mean() >= 0.995


def test_a_constant_label_is_refused():
    fit, y_fit, test, _ = noisy_case(0)
    y_fit[:, 1] = 1
    with pytest.raises(RepbiasError, match="label 1 is the same for all 200"):
        linear_probe(fit, y_fit, test)


def test_few_stimuli_make_a_smaller_batch():
    fit, y_fit, test, _ = noisy_case(0)
    assert nonlinear_probe(fit[:, :20], y_fit[:20], test, steps=5).shape == (2, 200, 2)


def make_case(units_fit, units_test, labels_fit, labels_test):
    """A network whose first layer hands on its non-negative inputs; it has two checkpoints."""
    inputs = np.concatenate([units_fit, units_test]).astype(np.float32)
    labels = np.concatenate([labels_fit, labels_test]).astype(np.uint8)
    n, n_units = inputs.shape
    stimuli = Stimuli(
        inputs=inputs,
        ids=np.arange(n).astype(str),
        split=np.repeat(["validation", "test"], [len(units_fit), len(units_test)]),
        features=["easy", "other", "hard"],
        labels=labels,
        components=["hard.not"],
        component_labels=1 - labels[:, 2:],
        supervised=np.ones((n, 3), bool),
    )
    # At the first checkpoint, which only one network has, every unit is silent.
    w1 = np.tile(np.eye(n_units, dtype=np.float32), (2, 2, 1, 1))
    w1[0] *= 1e-3
    networks = Networks(
        seeds=np.array([3, 8]),
        features=["easy", "other", "hard"],
        targets=["easy", "hard"],
        included=np.array([False, True]),
        test_accuracy=np.ones((2, 3)),
        mastery_step=np.zeros((2, 3), int),
        curves={},
        checkpoint_names=np.array(["mastered", "final"]),
        checkpoint_steps=np.array([[-1, 30], [50, 60]]),
        weights={
            "w1": w1,
            "b1": np.zeros((2, 2, 1, n_units), np.float32),
            "w2": np.ones((2, 2, n_units, 1), np.float32),
            "b2": np.zeros((2, 2, 1, 1), np.float32),
            "w3": np.zeros((2, 2, 1, 3), np.float32),
            "b3": np.zeros((2, 2, 1, 3), np.float32),
        },
    )
    return networks, stimuli


SPEC = MLP(hidden=[4, 1], activation="relu", analysed_layer="hidden1")


def test_the_table_of_probes():
    """Unit 0 codes easy and units 1 and 2 hard as their XOR; the second layer is their sum."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, size=(2, 600, 4))
    labels = [np.stack([b[:, 0], b[:, 3], b[:, 1] ^ b[:, 2]], axis=1) for b in bits]
    units = [np.column_stack([b[:, :3], np.ones(600)]) + 5 for b in bits]
    networks, stimuli = make_case(*units, *labels)
    table = analysed("probes", networks, stimuli, SPEC, Bias(probe_steps=100))
    assert tuple(table.columns) == TABLES["probes"].columns
    assert len(table) == 3 * 2 * 2 * 4, "checkpoints of networks, layers, probes, labels"
    assert not ((table["seed"] == 3) & (table["snapshot"] == "mastered")).any()
    assert (table["included"] == (table["seed"] == 8)).all()
    for _, rows in table[table["layer"] == "hidden1"].groupby(["seed", "snapshot"]):
        accuracy = rows.set_index(["probe", "feature"])["accuracy"]
        assert accuracy["linear", "easy"] == accuracy["nonlinear", "easy"] == 1
        assert accuracy["nonlinear", "hard"] == accuracy["nonlinear", "hard.not"] == 1
        # At most three of the four combinations of two bits.
        assert accuracy["linear", "hard"] < 0.8
        assert accuracy["linear", "other"] == pytest.approx(0.5, abs=0.1)
    second = table[table["layer"] == "hidden2"].set_index(["probe", "feature"])["accuracy"]
    assert (second["linear", "easy"] < 0.8).all()


@pytest.mark.parametrize(("carried", "follows"), [([0], 1), ([2], 0), ([0, 2], None)])
def test_a_classifier_follows_the_feature_that_is_there(carried, follows):
    """Units carry easy, hard or both; with both alike, conflicts are decided by neither."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, size=(2, 400, 3))
    units = np.zeros((2, 400, 4))
    units[..., : len(carried)] = labels[..., carried]
    units[..., 2:] = rng.normal(size=(2, 400, 2))
    units[..., :2] += 0.01 * rng.normal(size=(2, 400, 2))
    networks, stimuli = make_case(*(units + 10), *labels)
    table = analysed("conflict", networks, stimuli, SPEC, Bias())
    assert tuple(table.columns) == TABLES["conflict"].columns
    assert len(table) == 3, "checkpoints of networks, one pair of targets"
    assert set(table["layer"]) == {"hidden1"}
    assert set(zip(table["feature_a"], table["feature_b"], strict=True)) == {("easy", "hard")}
    if follows is None:
        assert table["follows_a"].between(0.3, 0.7).all()
    else:
        assert (table["follows_a"] == follows).all()


def test_at_equal_shares_a_dense_code_wins_only_if_units_are_standardised():
    """Easy over 40 units and hard over 2, with the same variance in all, among noise: a linear
    classifier on units as they are prefers neither, one on standardised units the dense code."""
    rng = np.random.default_rng(0)
    follows = {"follows_a": [], "follows_a_standardised": []}
    spec = MLP(hidden=[42, 1], activation="relu", analysed_layer="hidden1")
    for _ in range(10):
        labels = rng.integers(0, 2, size=(2, 600, 3))
        units = rng.normal(0, 0.1, size=(2, 600, 42))
        units[..., :40] += (labels[..., [0]] - 0.5) * np.sqrt(1 / 40)
        units[..., 40:] += (labels[..., [2]] - 0.5) * np.sqrt(1 / 2)
        networks, stimuli = make_case(*(units + 10), *labels)
        table = analysed("conflict", networks, stimuli, spec, Bias())
        for column, values in follows.items():
            values.append(table.loc[table["seed"] == 8, column].iloc[0])
    assert abs(np.mean(follows["follows_a"]) - 0.5) < 0.1
    assert np.mean(follows["follows_a_standardised"]) > 0.9


def test_the_order_of_targets_is_the_order_of_the_pair():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, size=(2, 300, 3))
    units = rng.normal(size=(2, 300, 4)) + 10
    units[..., 0] += 3 * labels[..., 0]
    units[..., 1] += labels[..., 2]
    networks, stimuli = make_case(*units, *labels)
    one = analysed("conflict", networks, stimuli, SPEC, Bias())
    networks.targets = ["hard", "easy"]
    other = analysed("conflict", networks, stimuli, SPEC, Bias())
    assert set(other["feature_a"]) == {"hard"}
    np.testing.assert_allclose(one["follows_a"], 1 - other["follows_a"])
    assert (one["follows_a"] > 0.6).all()


def test_features_that_never_disagree_cannot_conflict():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, size=(2, 50, 3))
    labels[1, :, 2] = labels[1, :, 0]
    networks, stimuli = make_case(*(rng.normal(size=(2, 50, 4)) + 10), *labels)
    with pytest.raises(RepbiasError, match="on which they differ \\(found 0\\)"):
        analysed("conflict", networks, stimuli, SPEC, Bias())
