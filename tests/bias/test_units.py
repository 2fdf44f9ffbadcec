"""Units' variance explained, Gini and participation ratio against closed forms and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from analysed import analysed
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from repbias.bias.spec import Bias
from repbias.bias.units import gini, participation_ratio, unit_r2, unit_signal
from repbias.bias.variance import variance_explained
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.mlp import MLP
from repbias.tables import TABLES


def random_case(seed, n=60, units=5):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 2), rng.permutation(np.arange(n) % 2)
    means = rng.normal(size=(2, units))
    phi = tuple(means[f] + rng.normal(size=(n, units)) + 2 for f in labels)
    return labels[0], phi[0], labels[1], phi[1]


@given(seed=st.integers(0, 10_000))
def test_agrees_with_a_regression_of_every_unit(seed):
    f_fit, phi_fit, f_test, phi_test = random_case(seed)
    found = unit_r2(f_fit, phi_fit, f_test, phi_test)
    predicted = LinearRegression().fit(f_fit[:, None], phi_fit).predict(f_test[:, None])
    residual = ((phi_test - predicted) ** 2).sum(axis=0)
    total = ((phi_test - phi_fit.mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(found, 1 - residual / total, atol=1e-12)
    same = unit_r2(f_fit, phi_fit, f_fit, phi_fit)
    fitted = LinearRegression().fit(f_fit[:, None], phi_fit).predict(f_fit[:, None])
    np.testing.assert_allclose(same, r2_score(phi_fit, fitted, multioutput="raw_values"))
    r = [np.corrcoef(f_fit, unit)[0, 1] for unit in phi_fit.T]
    np.testing.assert_allclose(same, np.square(r), atol=1e-12)


@given(seed=st.integers(0, 10_000))
def test_weighted_by_their_variances_the_units_average_to_m1(seed):
    _, phi_fit, _, phi_test = case = random_case(seed)
    weights = ((phi_test - phi_fit.mean(axis=0)) ** 2).sum(axis=0)
    average = np.average(unit_r2(*case), weights=weights)
    assert average == pytest.approx(variance_explained(*case), abs=1e-12)


@given(seed=st.integers(0, 10_000))
def test_the_signal_of_two_classes_is_half_the_product_of_their_differences(seed):
    f_fit, phi_fit, f_test, phi_test = random_case(seed)
    d_fit, d_test = (
        phi[f == 1].mean(axis=0) - phi[f == 0].mean(axis=0)
        for f, phi in ((f_fit, phi_fit), (f_test, phi_test))
    )
    found = unit_signal(f_fit, phi_fit, f_test, phi_test)
    np.testing.assert_allclose(found, d_fit * d_test / 2, atol=1e-12)


def test_the_signal_of_several_classes_is_that_of_their_means():
    means = np.array([[0.0, 0], [1, 0], [5, 0]])
    f = np.array([0, 1, 1, 2, 2, 2])
    expected = 2**2 + 1**2 + 3**2  # about their mean, 2
    np.testing.assert_allclose(unit_signal(f, means[f], f[::-1], means[f[::-1]]), [expected, 0])


def test_without_a_feature_the_signal_is_0_on_average():
    """R² of the same units is not: it is negative, and its positive part is above 0."""
    rng = np.random.default_rng(0)
    f = np.arange(40) % 2
    signal = unit_signal(f, rng.normal(size=(40, 20_000)), f, rng.normal(size=(40, 20_000)))
    assert abs(signal.mean()) < 5 * signal.std() / np.sqrt(20_000)


def test_identical_codes_of_different_shares_are_equally_sparse():
    """The same code over units, in another order, at 60 % and 5 % of the variance: by the Gini
    coefficient of R² the smaller one is sparser, by that of the signal they are equal."""
    rng = np.random.default_rng(0)
    code = np.abs(rng.normal(size=64))
    codes = np.sqrt([[0.6], [0.05]]) * [code, rng.permutation(code)]
    f = np.tile([[0, 0, 1, 1], [0, 1, 0, 1]], 500)
    fit, test = (2 * f.T - 1) @ codes + np.sqrt(0.35) * rng.normal(size=(2, 2000, 64))
    by_r2, by_signal = (
        [gini(np.maximum(measure(g, fit, g, test), 0)) for g in f]
        for measure in (unit_r2, unit_signal)
    )
    assert by_r2[1] - by_r2[0] > 0.15
    assert abs(by_signal[1] - by_signal[0]) < 0.02


@given(seed=st.integers(0, 10_000))
def test_every_unit_is_measured_by_itself_whatever_its_scale(seed):
    f_fit, phi_fit, f_test, phi_test = case = random_case(seed)
    rng = np.random.default_rng(seed)
    order, scale, shift = rng.permutation(5), rng.uniform(-9, 9, size=5), rng.normal(size=5)
    found = unit_r2(f_fit, scale * phi_fit + shift, f_test, scale * phi_test + shift)
    np.testing.assert_allclose(found, unit_r2(*case), atol=1e-9)
    permuted = unit_r2(f_fit, phi_fit[:, order], f_test, phi_test[:, order])
    np.testing.assert_allclose(permuted, unit_r2(*case)[order], atol=1e-12)


def test_units_that_vary_by_rounding_have_no_number():
    f = np.array([0, 1, 0, 1])
    phi = np.array([[1, 1, 0], [1, 1 + 1e-7, 0], [1, 1, 0], [2, 1 + 1e-7, 0]], np.float32)
    np.testing.assert_array_equal(np.isnan(unit_r2(f, phi, f, phi)), [False, True, True])


@given(values=st.lists(st.just(0.0) | st.floats(1e-3, 1), min_size=1, max_size=30).filter(any))
def test_sparsity_follows_its_definition(values):
    v = np.array(values)
    # The Gini coefficient is half the mean absolute difference, relative to the mean.
    expected = np.abs(v[:, None] - v).mean() / (2 * v.mean())
    assert gini(v) == pytest.approx(expected, abs=1e-9)
    assert participation_ratio(v) == pytest.approx(v.mean() ** 2 / (v**2).mean(), rel=1e-9)
    for measure in (gini, participation_ratio):
        for same in (v[::-1], 3 * v, np.concatenate([v, v])):
            assert measure(same) == pytest.approx(measure(v), abs=1e-9)


@pytest.mark.parametrize("n", [2, 10, 64])
@pytest.mark.parametrize("active", [1, 2])
def test_equal_units_among_silent_ones(n, active):
    v = np.zeros(n)
    v[:active] = 0.3
    assert gini(v) == pytest.approx(1 - active / n)
    assert participation_ratio(v) == pytest.approx(active / n)


def test_what_no_unit_carries_has_no_sparsity():
    assert np.isnan([gini(np.zeros(3)), participation_ratio(np.zeros(3))]).all()


# A network that hands its inputs on: the inputs are the units of the analysed layer.
UNITS, AMPLITUDE = 8, 2.0
SPEC = MLP(hidden=[UNITS + 1], activation="relu")


@pytest.fixture
def stimuli():
    """Feature "easy" moves eight units alike, "hard" the first of them; the ninth is constant."""
    codes = np.arange(16) % 4
    labels = np.stack([codes & 1, codes >> 1], axis=1).astype(np.uint8)
    inputs = np.full((16, UNITS + 1), 5, np.float32)
    inputs[:, :UNITS] += 2 * labels[:, :1] - 1.0
    inputs[:, 0] += AMPLITUDE * (2 * labels[:, 1] - 1.0)
    return Stimuli(
        inputs=inputs,
        ids=np.arange(16).astype(str),
        split=np.repeat(["validation", "test"], 8),
        features=["easy", "hard"],
        labels=labels,
        components=["hard.bit1"],
        component_labels=labels[:, 1:],
        supervised=np.ones((16, 2), bool),
    )


@pytest.fixture
def networks():
    n = UNITS + 1
    shape = (4, 2, 1, 1)
    return Networks(
        seeds=np.array([3, 8]),
        features=["easy", "hard"],
        targets=["easy"],
        included=np.array([False, True]),
        test_accuracy=np.ones((2, 2)),
        mastery_step=np.array([[-1, -1], [30, -1]]),
        curves={},
        checkpoint_names=np.array(["initial", "grid", "mastered", "final"]),
        checkpoint_steps=np.array([[0, 0], [10, 10], [-1, 30], [50, 60]]),
        weights={
            "w1": np.tile(np.eye(n, dtype=np.float32), shape),
            "b1": np.zeros((4, 2, 1, n), np.float32),
            "w2": np.zeros((4, 2, n, 2), np.float32),
            "b2": np.zeros((4, 2, 1, 2), np.float32),
        },
    )


SNAPSHOTS = [(3, "final", 50), (3, "initial", 0), (8, "mastered", 30)]
SNAPSHOTS += [(8, "final", 60), (8, "initial", 0)]


def test_a_dense_and_a_single_unit_code(networks, stimuli):
    """With f = +-1 and the other feature as noise, the first unit's R2 is a ratio of squares."""
    table = analysed("units", networks, stimuli, SPEC, Bias())
    assert tuple(table.columns) == TABLES["units"].columns
    assert set(table["unit"]) == {str(u) for u in range(UNITS)}, "the constant unit is left out"
    assert set(table["layer"]) == {"hidden1"}
    found = table[["seed", "snapshot", "step"]].drop_duplicates().itertuples(index=False)
    assert set(map(tuple, found)) == set(SNAPSHOTS)
    assert (table["included"] == (table["seed"] == 8)).all()
    in_first = 1 / (1 + AMPLITUDE**2)
    for _, rows in table.groupby(["seed", "snapshot"]):
        r2 = rows.set_index(["feature", "unit"])["r2"].unstack()
        np.testing.assert_allclose(r2.loc["easy"], [in_first, *[1] * (UNITS - 1)], atol=1e-6)
        for hard in ("hard", "hard.bit1"):
            np.testing.assert_allclose(r2.loc[hard], [1 - in_first, *[0] * 7], atol=1e-6)


def test_the_sparsity_of_a_dense_and_a_single_unit_code(networks, stimuli):
    table = analysed("sparsity", networks, stimuli, SPEC, Bias())
    assert tuple(table.columns) == TABLES["sparsity"].columns
    assert len(table) == 5 * 3
    assert (table["n_units"] == UNITS).all()
    hard = table[table["feature"].isin(["hard", "hard.bit1"])]
    np.testing.assert_allclose(hard["gini"], 1 - 1 / UNITS)
    np.testing.assert_allclose(hard["gini_signal"], 1 - 1 / UNITS)
    np.testing.assert_allclose(hard["participation_ratio"], 1 / UNITS)
    easy = table[table["feature"] == "easy"]
    v, rest = 1 / (1 + AMPLITUDE**2), UNITS - 1
    np.testing.assert_allclose(easy["gini"], rest * (1 - v) / (UNITS * (rest + v)), rtol=1e-6)
    expected = (rest + v) ** 2 / (UNITS * (rest + v**2))
    np.testing.assert_allclose(easy["participation_ratio"], expected, rtol=1e-6)
