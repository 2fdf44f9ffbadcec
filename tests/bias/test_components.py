"""Top-k reconstruction against a closed form, scikit-learn's PCA and a forward pass in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from analysed import analysed
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from repbias.bias.components import (
    components_needed,
    numbers_of_components,
    principal_components,
)
from repbias.bias.spec import Bias
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.mlp import MLP
from repbias.tables import TABLES


def spread(seed, n=50, units=6):
    """Activations with clearly different variances along random directions."""
    rng = np.random.default_rng(seed)
    rotation = ortho_group.rvs(units, random_state=seed)
    return rng.normal(size=(n, units)) * 2.0 ** -np.arange(units) @ rotation + rng.normal(size=6)


@given(seed=st.integers(0, 10_000))
def test_axes_are_those_of_scikit_learn(seed):
    phi = spread(seed)
    mean, axes = principal_components(phi)
    pca = PCA().fit(phi)
    np.testing.assert_allclose(mean, pca.mean_)
    signs = np.sign((axes.T * pca.components_).sum(axis=1))
    np.testing.assert_allclose(axes.T, signs[:, None] * pca.components_, atol=1e-6)


@given(seed=st.integers(0, 10_000), k=st.integers(0, 6))
def test_a_reconstruction_rotates_with_its_units(seed, k):
    phi, rotation = spread(seed), ortho_group.rvs(6, random_state=seed + 1)

    def rebuilt(x):
        mean, axes = principal_components(x)
        return mean + (x - mean) @ axes[:, :k] @ axes[:, :k].T

    np.testing.assert_allclose(rebuilt(phi @ rotation), rebuilt(phi) @ rotation, atol=1e-6)
    np.testing.assert_allclose(rebuilt(phi[:, ::-1]), rebuilt(phi)[:, ::-1], atol=1e-6)


def test_fewer_stimuli_than_units_still_give_a_whole_basis():
    _, axes = principal_components(spread(0, n=3))
    np.testing.assert_allclose(axes.T @ axes, np.eye(6), atol=1e-12)


@pytest.mark.parametrize(
    ("n_units", "expected"),
    [
        (1, [0, 1]),
        (10, [*range(11)]),
        (64, [*range(11), 12, 16, 24, 32, 48, 64]),
        (256, [*range(11), 12, 16, 24, 32, 48, 64, 256]),
    ],
)
def test_all_units_are_the_last_number_of_components(n_units, expected):
    assert numbers_of_components(n_units) == expected


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        ([0.9, 0.9, 0.9], 0),
        ([0.5, 0.9, 1.0], 1),
        ([0.95, 0.5, 0.95], 12),  # it has to stay
        ([0.5, 0.95, 0.89], np.nan),
        ([0.5, np.nan, 0.95], 12),
    ],
)
def test_components_needed(accuracy, expected):
    found = components_needed(np.array([0, 1, 12]), np.array(accuracy))
    np.testing.assert_equal(found, expected)


def make_stimuli(inputs, labels):
    n = len(inputs) // 2
    return Stimuli(
        inputs=inputs.astype(np.float32),
        ids=np.arange(2 * n).astype(str),
        split=np.repeat(["validation", "test"], n),
        features=["easy", "hard"],
        labels=labels.astype(np.uint8),
        components=[],
        component_labels=np.zeros((2 * n, 0), np.uint8),
        supervised=np.ones((2 * n, 2), bool),
    )


def make_networks(weights, steps):
    """One or more networks with an initial and a final checkpoint."""
    steps = np.array(steps)
    n = steps.shape[1]
    return Networks(
        seeds=np.arange(n),
        features=["easy", "hard"],
        targets=["easy", "hard"],
        included=np.ones(n, bool),
        test_accuracy=np.ones((n, 2)),
        mastery_step=np.zeros((n, 2), int),
        curves={},
        checkpoint_names=np.array(["initial", "final"]),
        checkpoint_steps=steps,
        weights={name: w.astype(np.float32) for name, w in weights.items()},
    )


def test_a_feature_survives_from_the_component_that_carries_it():
    """Easy is the first component of three, noise the second, hard the third; outputs read each."""
    codes = np.arange(32) % 8
    f = codes[:, None] >> np.arange(3) & 1
    amplitudes = np.array([3.0, 2.0, 1.0])
    stimuli = make_stimuli(10 + amplitudes * (2 * f - 1), f[:, [0, 2]])
    # Each output reads its unit against a threshold below the mean: without the unit it says 1.
    readout = np.zeros((3, 2))
    readout[0, 0] = readout[2, 1] = 1
    networks = make_networks(
        {
            "w1": np.tile(np.eye(3), (2, 1, 1, 1)),
            "b1": np.zeros((2, 1, 1, 3)),
            "w2": np.tile(readout, (2, 1, 1, 1)),
            "b2": np.full((2, 1, 1, 2), -9.9),
        },
        [[0], [50]],
    )
    spec = MLP(hidden=[3], activation="relu")
    table = analysed("components", networks, stimuli, spec, Bias())
    assert tuple(table.columns) == TABLES["components"].columns
    assert len(table) == 2 * 2 * 4
    final = table[table["snapshot"] == "final"].set_index(["feature", "n_components"])
    shares = np.cumsum([0, 9, 4, 1]) / 14
    for feature, accuracy, r2 in [
        ("easy", [0.5, 1, 1, 1], [np.nan, 1, 0, 0]),
        ("hard", [0.5, 0.5, 0.5, 1], [np.nan, 0, 0, 1]),
    ]:
        rows = final.loc[feature]
        np.testing.assert_array_equal(rows["accuracy"], accuracy)
        np.testing.assert_allclose(rows["r2"], r2, atol=1e-6)
        np.testing.assert_allclose(rows["variance"], shares, atol=1e-6)
        needed = components_needed(rows.index.to_numpy(), rows["accuracy"].to_numpy())
        assert needed == (1 if feature == "easy" else 3)


def test_the_table_agrees_with_scikit_learn_and_a_forward_pass():
    """The analysed layer is the first of two; components are those of the validation stimuli."""
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(120, 5)), rng.integers(0, 2, size=(120, 2))
    stimuli = make_stimuli(inputs, labels)
    shapes = {"w1": (5, 8), "b1": (1, 8), "w2": (8, 4), "b2": (1, 4), "w3": (4, 2), "b3": (1, 2)}
    networks = make_networks(
        {name: rng.normal(size=(2, 2, *shape)) for name, shape in shapes.items()},
        [[0, -1], [50, 60]],
    )
    spec = MLP(hidden=[8, 4], activation="relu", analysed_layer="hidden1")
    table = analysed("components", networks, stimuli, spec, Bias())
    assert set(table["layer"]) == {"hidden1"}
    assert len(table) == 3 * 9 * 2, "three checkpoints of networks, 0 to 8 components, two features"
    for _, row in table.iterrows():
        n, checkpoint = row["seed"], ["initial", "final"].index(row["snapshot"])
        w = {name: values[checkpoint, n].astype(float) for name, values in networks.weights.items()}
        fit, phi = (
            np.maximum(x @ w["w1"] + w["b1"], 0) for x in np.split(inputs.astype(np.float32), 2)
        )
        k = row["n_components"]
        pca = PCA().fit(fit)
        scores = pca.transform(phi)
        scores[:, k:] = 0
        hidden2 = np.maximum(pca.inverse_transform(scores) @ w["w2"] + w["b2"], 0)
        i = ["easy", "hard"].index(row["feature"])
        reported = (hidden2 @ w["w3"] + w["b3"])[:, i] > 0
        assert row["accuracy"] == pytest.approx((reported == labels[60:, i]).mean())
        total = ((phi - fit.mean(axis=0)) ** 2).sum()
        assert row["variance"] == pytest.approx((scores**2).sum() / total, abs=1e-5)
