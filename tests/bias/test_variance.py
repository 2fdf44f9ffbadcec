"""Variance explained against planted shares, scikit-learn and the formula itself."""

from __future__ import annotations

import numpy as np
import pytest
from analysed import analysed
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder

from repbias.bias.spec import Bias
from repbias.bias.variance import variance_explained
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.mlp import MLP
from repbias.tables import TABLES


def balanced_labels(n, n_features):
    """Every combination of labels equally often: independent features."""
    codes = np.arange(n) % 2**n_features
    return codes[:, None] >> np.arange(n_features) & 1


def random_case(seed, n=40, units=5, levels=3):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % levels), rng.permutation(np.arange(n) % levels)
    means = rng.normal(size=(levels, units))
    phi = tuple(means[f] + rng.normal(size=(n, units)) + 2 for f in labels)
    return labels[0], phi[0], labels[1], phi[1]


@pytest.mark.parametrize("definition", ["ratio_of_sums", "mean_of_ratios"])
def test_recovery_shares_are_recovered(definition):
    """Feature i adds +-a_i along its own direction: variance a_i**2 of sum(a**2) + noise."""
    n, units = 2048, 32
    amplitudes, noise_variance = np.array([3.0, 1.5, 0.5]), 2.0
    rng = np.random.default_rng(0)
    directions = ortho_group.rvs(units, random_state=0)[:3]
    labels = balanced_labels(n, 3)
    shares = amplitudes**2 / ((amplitudes**2).sum() + noise_variance)
    found = []
    for _ in range(10):
        fit, test = (
            ((2 * labels - 1) * amplitudes) @ directions
            + rng.normal(size=(n, units)) * np.sqrt(noise_variance / units)
            for _ in range(2)
        )
        found.append(
            [
                variance_explained(labels[:, i], fit, labels[:, i], test, definition=definition)
                for i in range(3)
            ]
        )
    # A ratio per stimulus weighs stimuli alike; equal norms make both definitions agree here.
    tolerance = 0.005 if definition == "ratio_of_sums" else 0.02
    np.testing.assert_allclose(np.mean(found, axis=0), shares, atol=tolerance)


def test_what_is_not_represented_explains_nothing():
    rng = np.random.default_rng(1)
    labels = balanced_labels(2048, 1)[:, 0]
    fit, test = rng.normal(size=(2, 2048, 100))
    assert abs(variance_explained(labels, fit, labels, test)) < 0.005


@pytest.mark.parametrize("levels", [2, 3, 7])
def test_agrees_with_a_linear_regression_on_one_hot_labels(levels):
    f_fit, phi_fit, f_test, phi_test = random_case(levels, n=84, levels=levels)
    mean = phi_fit.mean(axis=0)
    encoder = OneHotEncoder(sparse_output=False).fit(f_fit[:, None])
    model = LinearRegression(fit_intercept=False)
    model.fit(encoder.transform(f_fit[:, None]), phi_fit - mean)
    residual = phi_test - mean - model.predict(encoder.transform(f_test[:, None]))
    expected = 1 - (residual**2).sum() / ((phi_test - mean) ** 2).sum()
    assert variance_explained(f_fit, phi_fit, f_test, phi_test) == pytest.approx(
        expected, abs=1e-12
    )


def test_the_two_definitions_are_the_formula_read_in_two_ways():
    """By hand: two units, labels 0 and 1, fitted means (-1, 0) and (1, 0)."""
    f = np.array([0, 0, 1, 1])
    phi_fit = np.array([[-1.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [1.0, -1.0]])
    phi_test = np.array([[-1.0, 0.0], [-2.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    # Squared residuals 0, 1, 1, 2; squared norms 1, 4, 2, 1.
    sums = variance_explained(f, phi_fit, f, phi_test)
    assert sums == pytest.approx(1 - 4 / 8)
    ratios = variance_explained(f, phi_fit, f, phi_test, definition="mean_of_ratios")
    assert ratios == pytest.approx(1 - (0 / 1 + 1 / 4 + 1 / 2 + 2 / 1) / 4)
    # M1b: the explained part, 8 - 4 over 4 stimuli, as a share of a total of 10.
    assert variance_explained(f, phi_fit, f, phi_test, total=10.0) == pytest.approx(1 / 10)


def test_no_variance_gives_no_number():
    f = np.array([0, 1, 0, 1])
    flat = np.ones((4, 3))
    for definition in ("ratio_of_sums", "mean_of_ratios"):
        assert np.isnan(variance_explained(f, flat, f, flat, definition=definition))


@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100))
def test_rotation_permutation_scale_and_shift_change_nothing(seed, scale):
    f_fit, phi_fit, f_test, phi_test = random_case(seed)
    rng = np.random.default_rng(seed)
    rotation, order = ortho_group.rvs(5, random_state=seed), rng.permutation(5)
    shift = 10 * rng.normal(size=5)
    for definition in ("ratio_of_sums", "mean_of_ratios"):
        expected = variance_explained(f_fit, phi_fit, f_test, phi_test, definition=definition)
        for change in (
            lambda phi: phi @ rotation,
            lambda phi: phi[:, order],
            lambda phi: scale * phi,
            lambda phi: phi + shift,
        ):
            found = variance_explained(
                f_fit, change(phi_fit), f_test, change(phi_test), definition=definition
            )
            assert found == pytest.approx(expected, abs=1e-9)


@given(seed=st.integers(0, 10_000))
def test_names_of_levels_do_not_matter(seed):
    f_fit, phi_fit, f_test, phi_test = random_case(seed)
    names = np.array(["square", "star", "plus"])
    expected = variance_explained(f_fit, phi_fit, f_test, phi_test)
    named = variance_explained(names[f_fit], phi_fit, names[f_test], phi_test)
    assert named == pytest.approx(expected, abs=1e-12)


SPEC = MLP(hidden=[6, 4], activation="leaky_relu")
STEPS = np.array([[0, 0], [10, 10], [-1, 30], [50, 60]])  # seed 3 never mastered the task


@pytest.fixture
def stimuli():
    rng = np.random.default_rng(2)
    labels = np.stack([rng.permutation(balanced_labels(120, 2)[:, i]) for i in range(2)], axis=1)
    inputs = (labels @ rng.normal(size=(2, 8)) + rng.normal(size=(120, 8))).astype(np.float32)
    return Stimuli(
        inputs=inputs,
        ids=np.array([f"{i:03d}" for i in range(120)]),
        split=np.repeat(["train", "validation", "test"], 40),
        features=["easy", "hard"],
        labels=labels.astype(np.uint8),
        components=["hard.bit1", "hard.xor12"],
        component_labels=rng.integers(0, 2, (120, 2), dtype=np.uint8),
        supervised=np.ones((120, 2), bool),
    )


@pytest.fixture
def networks():
    rng = np.random.default_rng(3)
    shapes = {"w1": (8, 6), "b1": (1, 6), "w2": (6, 4), "b2": (1, 4), "w3": (4, 2), "b3": (1, 2)}
    growth = np.array([0.5, 1, 2, 3])[:, None, None, None]  # activity grows over training
    weights = {
        name: (growth * rng.normal(size=(4, 2, *shape))).astype(np.float32)
        for name, shape in shapes.items()
    }
    return Networks(
        seeds=np.array([3, 8]),
        features=["easy", "hard"],
        targets=["easy"],
        included=np.array([False, True]),
        test_accuracy=np.ones((2, 2)),
        mastery_step=np.array([[-1, -1], [30, -1]]),
        curves={},
        checkpoint_names=np.array(["initial", "grid", "mastered", "final"]),
        checkpoint_steps=STEPS,
        weights=weights,
    )


def hidden(networks, checkpoint, n, inputs):
    """The forward pass in numpy: leaky ReLU has a slope of .01 below 0 (PyTorch's default)."""
    x, layers = inputs.astype(float), {}
    for i in (1, 2):
        z = x @ networks.weights[f"w{i}"][checkpoint, n] + networks.weights[f"b{i}"][checkpoint, n]
        x = layers[f"hidden{i}"] = np.where(z > 0, z, 0.01 * z)
    return layers


def test_the_table_agrees_with_a_forward_pass(networks, stimuli):
    """W from validation stimuli, R2 on test stimuli; the final variance scales r2_of_final."""
    table = analysed("variance_explained", networks, stimuli, SPEC, Bias())
    assert tuple(table.columns) == TABLES["variance_explained"].columns
    names = ["easy", "hard", "hard.bit1", "hard.xor12"]
    assert len(table) == 7 * 2 * 4, "seven checkpoints of networks, two layers, four names"
    keys = ["seed", "layer", "step", "feature"]
    assert not table.duplicated(keys).any()
    assert set(table["feature"]) == set(names)
    validation, test = (stimuli.split == s for s in ("validation", "test"))
    for _, row in table.iterrows():
        n = [3, 8].index(row["seed"])
        checkpoint = list(STEPS[:, n]).index(row["step"])
        assert row["network"] == f"seed{row['seed']}"
        assert row["snapshot"] == networks.checkpoint_names[checkpoint]
        assert row["included"] == (row["seed"] == 8)
        every = np.column_stack([stimuli.labels, stimuli.component_labels])
        labels = every[:, names.index(row["feature"])]
        fit, phi = (
            hidden(networks, checkpoint, n, stimuli.inputs[rows])[row["layer"]]
            for rows in (validation, test)
        )
        mean = fit.mean(axis=0)
        predicted = np.stack([fit[labels[validation] == v].mean(axis=0) for v in (0, 1)])
        residual = ((phi - predicted[labels[test]]) ** 2).sum()
        total = ((phi - mean) ** 2).sum()
        assert row["r2"] == pytest.approx(1 - residual / total, abs=1e-5)
        final_fit, final = (
            hidden(networks, 3, n, stimuli.inputs[rows])[row["layer"]]
            for rows in (validation, test)
        )
        final_total = ((final - final_fit.mean(axis=0)) ** 2).sum()
        assert row["r2_of_final"] == pytest.approx((total - residual) / final_total, abs=1e-5)


def test_both_measures_agree_at_the_end_and_share_a_scale_before(networks, stimuli):
    table = analysed("variance_explained", networks, stimuli, SPEC, Bias())
    final = table[table["snapshot"] == "final"]
    np.testing.assert_allclose(final["r2"], final["r2_of_final"], rtol=1e-12)
    initial = table[table["snapshot"] == "initial"]
    ratios = initial["r2_of_final"] / initial["r2"]
    scales = ratios.groupby([initial["seed"], initial["layer"]])
    assert (scales.std() < 1e-9).all(), "one scale for all features of a layer"
    assert (ratios < 0.5).all(), "activity grew over training"


def test_the_definition_reaches_the_table(networks, stimuli):
    sums = analysed("variance_explained", networks, stimuli, SPEC, Bias())
    ratios = analysed(
        "variance_explained", networks, stimuli, SPEC, Bias(definition="mean_of_ratios")
    )
    assert (sums["r2"] != ratios["r2"]).all()
    np.testing.assert_array_equal(sums["r2_of_final"], ratios["r2_of_final"])
