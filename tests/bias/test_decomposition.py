"""The variance decomposition against planted shares and scikit-learn's regression."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from analysed import analysed
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.linear_model import LinearRegression

from repbias.bias.decomposition import decompose_variance
from repbias.bias.spec import Bias
from repbias.bias.variance import variance_explained
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.mlp import MLP
from repbias.networks.stacks import initial_weights
from repbias.stimuli.bits import Bits
from repbias.tables import TABLES

N = 2048
UNITS = 32


def balanced_signs(n: int, n_features: int) -> np.ndarray:
    """Every combination of -1 and 1 equally often: independent features."""
    return 2.0 * (np.arange(n)[:, None] >> np.arange(n_features) & 1) - 1


def recovery(
    signs: np.ndarray, amplitudes: np.ndarray, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Add +-a along a random direction for each column, and noise of a total variance."""
    directions = ortho_group.rvs(UNITS, random_state=7)[: signs.shape[1]]
    noises = rng.normal(size=(len(signs), UNITS)) * np.sqrt(noise / UNITS)
    return (signs * amplitudes) @ directions + noises + 3.0


def columns(**blocks: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values.reshape(len(values), -1) for name, values in blocks.items()}


def random_case(seed: int, n: int = 64) -> tuple[dict, np.ndarray, dict, np.ndarray]:
    """Regressors in three blocks and what depends on them, for fitting and for testing."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(5, 6))
    sets = []
    for _ in range(2):
        x = rng.normal(size=(n, 5))
        blocks = columns(a=x[:, 0], b=x[:, 1:3], c=x[:, 3:])
        sets += [blocks, x @ weights + rng.normal(size=(n, 6)) + 2]
    return tuple(sets)


# Planted shares.


@pytest.mark.parametrize("seed", range(3))
def test_recovery_shares_are_recovered(seed):
    """Both M1 and the variance decomposition find how much of the variance each feature was "
    "given."""
    rng = np.random.default_rng(seed)
    amplitudes, noise = np.array([3.0, 1.5, 1.0, 0.5]), 2.0
    shares = amplitudes**2 / ((amplitudes**2).sum() + noise)
    features = balanced_signs(N, 3)
    interaction = features.prod(axis=1, keepdims=True)
    signs = np.hstack([features, interaction])
    names = ["easy", "mid", "hard", "interaction"]
    blocks = {name: signs[:, [i]] for i, name in enumerate(names)}
    found, m1 = [], []
    for _ in range(10):
        fit, test = (recovery(signs, amplitudes, noise, rng) for _ in range(2))
        found.append(list(decompose_variance(blocks, fit, blocks, test).values()))
        m1.append([variance_explained(s, fit, s, test) for s in signs.T])
    expected = [*shares, noise / ((amplitudes**2).sum() + noise)]
    np.testing.assert_allclose(np.mean(found, axis=0), expected, atol=0.005)
    np.testing.assert_allclose(np.mean(m1, axis=0), shares, atol=0.005)


def test_shares_of_what_varies_continuously_are_recovered():
    """Blocks of several regressors, drawn independently for fitting and for testing."""
    rng = np.random.default_rng(0)
    amplitudes, noise = np.array([2.0, 1.0, 1.0, 0.7]), 1.5
    total = (amplitudes**2).sum() + noise
    found = []
    for _ in range(20):
        x_fit, x_test = rng.normal(size=(2, N, 4))
        fit, test = (recovery(x, amplitudes, noise, rng) for x in (x_fit, x_test))
        blocks = [columns(one=x[:, 0], two=x[:, 1:3], rest=x[:, 3:]) for x in (x_fit, x_test)]
        found.append(list(decompose_variance(blocks[0], fit, blocks[1], test).values()))
    expected = np.array([4, 2, 0.49, noise]) / total
    np.testing.assert_allclose(np.mean(found, axis=0), expected, atol=0.005)


def test_what_is_not_represented_gets_nothing():
    rng = np.random.default_rng(1)
    fit, test = rng.normal(size=(2, N, UNITS))
    signs = balanced_signs(N, 2)
    shares = decompose_variance(
        columns(a=signs[:, 0], b=signs), fit, columns(a=signs[:, 0], b=signs), test
    )
    assert abs(shares["a"]) < 0.005
    assert abs(shares["b"]) < 0.005
    assert shares["residual"] == pytest.approx(1, abs=0.005)


def test_without_noise_nothing_is_left():
    signs = balanced_signs(64, 3)
    phi = recovery(signs, np.array([2.0, 1.0, 1.0]), 0.0, np.random.default_rng(0))
    blocks = columns(a=signs[:, 0], b=signs[:, 1:])
    shares = decompose_variance(blocks, phi, blocks, phi)
    assert shares == pytest.approx({"a": 4 / 6, "b": 2 / 6, "residual": 0}, abs=1e-12)


def test_the_first_block_is_m1():
    """With a single binary feature, the variance decomposition is variance explained."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, (2, 100))
    phi = rng.normal(size=(2, 100, 5)) + labels[..., None] * rng.normal(size=5)
    signs = 2.0 * labels - 1
    shares = decompose_variance(columns(a=signs[0]), phi[0], columns(a=signs[1]), phi[1])
    expected = variance_explained(labels[0], phi[0], labels[1], phi[1])
    assert shares["a"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_regressions_of_scikit_learn(seed):
    """A block's share is what it adds to the R2 of those before it, all fitted elsewhere."""
    blocks_fit, fit, blocks_test, test = random_case(seed)
    total = ((test - fit.mean(axis=0)) ** 2).sum()
    expected, before = {}, 0.0
    for i, name in enumerate(blocks_fit, start=1):
        x_fit, x_test = (np.hstack(list(b.values())[:i]) for b in (blocks_fit, blocks_test))
        predicted = LinearRegression().fit(x_fit, fit).predict(x_test)
        r2 = 1 - ((test - predicted) ** 2).sum() / total
        expected[name] = r2 - before
        before = r2
    found = decompose_variance(blocks_fit, fit, blocks_test, test)
    assert list(found) == ["a", "b", "c", "residual"]
    assert found == pytest.approx(expected | {"residual": 1 - before}, abs=1e-10)


# What must not matter, and what must hold always.


@given(seed=st.integers(0, 10_000))
def test_shares_sum_to_one(seed):
    assert sum(decompose_variance(*random_case(seed)).values()) == pytest.approx(1, abs=1e-12)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100))
def test_rotation_scale_and_shift_change_nothing(seed, scale):
    blocks_fit, fit, blocks_test, test = random_case(seed)
    expected = decompose_variance(blocks_fit, fit, blocks_test, test)
    rotation = ortho_group.rvs(6, random_state=seed)
    shift = 10 * np.random.default_rng(seed).normal(size=6)
    for change in (
        lambda phi: phi @ rotation,
        lambda phi: phi[:, ::-1],
        lambda phi: scale * phi,
        lambda phi: phi + shift,
    ):
        found = decompose_variance(blocks_fit, change(fit), blocks_test, change(test))
        assert found == pytest.approx(expected, abs=1e-8)


@given(seed=st.integers(0, 10_000))
def test_how_a_block_is_coded_does_not_matter(seed):
    """Another basis of its span, or another origin."""
    blocks_fit, fit, blocks_test, test = random_case(seed)
    expected = decompose_variance(blocks_fit, fit, blocks_test, test)
    mixing = np.random.default_rng(seed).normal(size=(2, 2)) + 3 * np.eye(2)
    recoded = [b | {"b": b["b"] @ mixing + 5} for b in (blocks_fit, blocks_test)]
    found = decompose_variance(recoded[0], fit, recoded[1], test)
    assert found == pytest.approx(expected, abs=1e-8)


@given(seed=st.integers(0, 10_000), order=st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_independent_features_does_not_matter(seed, order):
    signs = balanced_signs(256, 3)
    blocks = columns(a=signs[:, 0], b=signs[:, 1], c=signs[:, 2], d=signs.prod(axis=1))
    rng = np.random.default_rng(seed)
    amplitudes = rng.uniform(0.2, 2, 4)
    together = np.hstack(list(blocks.values()))
    fit, test = (recovery(together, amplitudes, 2.0, rng) for _ in range(2))
    expected = decompose_variance(blocks, fit, blocks, test)
    reordered = {name: blocks[name] for name in order}
    found = decompose_variance(reordered, fit, reordered, test)
    assert list(found) == [*order, "residual"]
    assert found == pytest.approx(expected, abs=1e-10)


def test_the_order_of_features_hardly_matters_on_other_stimuli():
    """Independent features that are not exactly balanced: a difference of about 1 / sqrt(n)."""
    rng = np.random.default_rng(3)
    sets = []
    for _ in range(2):
        signs = 2.0 * rng.integers(0, 2, (N, 2)) - 1
        sets.append((signs, recovery(signs, np.array([2.0, 1.0]), 1.0, rng)))
    (x_fit, fit), (x_test, test) = sets
    forward = decompose_variance(
        columns(a=x_fit[:, 0], b=x_fit[:, 1]), fit, columns(a=x_test[:, 0], b=x_test[:, 1]), test
    )
    backward = decompose_variance(
        columns(b=x_fit[:, 1], a=x_fit[:, 0]), fit, columns(b=x_test[:, 1], a=x_test[:, 0]), test
    )
    assert forward == pytest.approx(backward, abs=4 / np.sqrt(N))


def test_the_order_matters_where_features_are_correlated():
    """What two blocks share goes to the first of them."""
    signs = balanced_signs(256, 2)
    both = np.where(np.arange(256) % 8 < 6, signs[:, 0], signs[:, 1])
    phi = np.outer(signs[:, 0], [1.0, 2.0])
    first = decompose_variance(
        columns(a=signs[:, 0], b=both), phi, columns(a=signs[:, 0], b=both), phi
    )
    second = decompose_variance(
        columns(b=both, a=signs[:, 0]), phi, columns(b=both, a=signs[:, 0]), phi
    )
    assert first == pytest.approx({"a": 1, "b": 0, "residual": 0}, abs=1e-12)
    r = np.corrcoef(signs[:, 0], both)[0, 1]
    assert second == pytest.approx({"b": r**2, "a": 1 - r**2, "residual": 0}, abs=1e-12)


@given(seed=st.integers(0, 10_000), place=st.sampled_from(["after", "within", "sum"]))
def test_regressors_that_repeat_others_do_no_harm(seed, place):
    blocks_fit, fit, blocks_test, test = random_case(seed)
    expected = decompose_variance(blocks_fit, fit, blocks_test, test)
    repeated = []
    for b in (blocks_fit, blocks_test):
        if place == "after":
            repeated.append(b | {"again": np.hstack([b["a"], b["c"]])})
        elif place == "within":
            repeated.append(b | {"b": np.hstack([b["b"], b["a"], b["b"]])})
        else:
            repeated.append(b | {"c": np.hstack([b["c"], b["a"] + b["b"], np.ones((64, 1))])})
    found = decompose_variance(repeated[0], fit, repeated[1], test)
    assert found.pop("again", 0) == pytest.approx(0, abs=1e-8)
    assert found == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3])
def test_no_variance_gives_no_number(constant):
    blocks = columns(a=balanced_signs(64, 1), b=balanced_signs(64, 2))
    flat = np.full((64, 5), constant, np.float32)
    shares = decompose_variance(blocks, flat, blocks, flat)
    assert list(shares) == ["a", "b", "residual"]
    assert np.isnan(list(shares.values())).all()


def test_single_precision_is_enough():
    """Activations come in float32; a large mean must not cost the small differences."""
    blocks_fit, fit, blocks_test, test = random_case(0)
    expected = decompose_variance(blocks_fit, fit, blocks_test, test)
    low = decompose_variance(
        blocks_fit, fit.astype(np.float32), blocks_test, test.astype(np.float32)
    )
    assert low == pytest.approx(expected, abs=1e-5)


# The table.

SPEC = MLP(hidden=[10, 6], analysed_layer="hidden1")


@pytest.fixture(scope="module")
def stimuli() -> Stimuli:
    features = {
        "easy": {"function": "bit", "bits": 3},
        "mid": {"function": "majority", "k": 3, "bits": 3},
        "hard": {"function": "xor_of_xors", "bits": 5},
    }
    return Bits(
        features=features,
        noise_bits=4,
        training_sets="common",
        n_train=128,
        n_validation=256,
        n_test=192,
        label={"easy": 0.9},
    ).generate()


@pytest.fixture(scope="module")
def networks(stimuli) -> Networks:
    """Two networks; the second never mastered its targets."""
    drawn = [
        [initial_weights(SPEC, stimuli.inputs.shape[1], 4, 10 * c + n) for n in range(2)]
        for c in range(4)
    ]
    weights = {
        name: np.stack([np.stack([w[name].numpy() for w in row]) for row in drawn])
        for name in drawn[0][0]
    }
    return Networks(
        seeds=np.array([3, 8]),
        features=stimuli.features,
        targets=["label"],
        included=np.array([True, False]),
        test_accuracy=np.ones((2, 4)),
        mastery_step=np.full((2, 4), -1),
        curves={},
        checkpoint_names=np.array(["initial", "crossing", "mastered", "final"]),
        checkpoint_steps=np.array([[0, 0], [5, 5], [30, -1], [60, 50]]),
        weights=weights,
    )


def signs_of(stimuli: Stimuli, split: str) -> dict[str, np.ndarray]:
    return {name: 2.0 * values - 1 for name, values in stimuli.named_labels(split).items()}


def blocks_by_hand(stimuli: Stimuli, split: str) -> list[np.ndarray]:
    s = signs_of(stimuli, split)
    easy, mid, hard = s["easy"], s["mid"], s["hard"]
    products = [easy * mid, easy * hard, mid * hard, easy * mid * hard]
    parts = [s[name] for name in stimuli.components]
    bits = (stimuli.inputs[stimuli.split == split] > 0).T
    return [easy[None], mid[None], hard[None], np.array(products), np.array(parts), bits]


def test_the_table_agrees_with_regressions_on_a_forward_pass(stimuli, networks):
    table = analysed("variance_decomposition", networks, stimuli, SPEC, Bias())
    assert tuple(table.columns) == TABLES["variance_decomposition"].columns
    assert set(table["layer"]) == {"hidden1"}
    assert set(table["experiment"]) == {"tasks"}
    assert set(table["condition"]) == {"both"}
    parts = ["easy", "mid", "hard", "interaction", "components", "input", "residual"]
    found = table.groupby(["seed", "snapshot"], sort=False)
    assert set(found.groups) == {
        *((3, "initial"), (3, "mastered"), (3, "final")),
        *((8, "initial"), (8, "final")),
    }
    for (seed, snapshot), rows in found:
        assert rows["part"].tolist() == parts, "the extra target is no part: it is made of others"
        n = [3, 8].index(seed)
        checkpoint = networks.checkpoint_names.tolist().index(snapshot)
        assert set(rows["step"]) == {networks.checkpoint_steps[checkpoint, n]}
        assert set(rows["included"]) == {seed == 3}
        assert set(rows["network"]) == {f"seed{seed}"}
        phi = {}
        for split in ("validation", "test"):
            inputs = stimuli.inputs[stimuli.split == split].astype(float)
            w, b = (networks.weights[f"{k}1"][checkpoint, n].astype(float) for k in "wb")
            z = inputs @ w + b
            phi[split] = np.where(z > 0, z, 0.01 * z)
        total = ((phi["test"] - phi["validation"].mean(axis=0)) ** 2).sum()
        shares, before = [], 0.0
        x = {split: np.zeros((0, len(phi[split]))) for split in phi}
        for block in range(6):
            for split in x:
                x[split] = np.vstack([x[split], blocks_by_hand(stimuli, split)[block]])
            model = LinearRegression().fit(x["validation"].T, phi["validation"])
            r2 = 1 - ((phi["test"] - model.predict(x["test"].T)) ** 2).sum() / total
            shares.append(r2 - before)
            before = r2
        np.testing.assert_allclose(rows["share"], [*shares, 1 - before], atol=1e-5)


def test_the_analysed_layer_is_the_last_when_none_is_named(stimuli, networks):
    table = analysed("variance_decomposition", networks, stimuli, MLP(hidden=[10, 6]), Bias())
    assert set(table["layer"]) == {"hidden2"}


@pytest.mark.parametrize(
    ("features", "parts"),
    [
        ({"only": {"function": "bit", "bits": 9}}, ["only", "input", "residual"]),
        (
            {"only": {"function": "xor", "bits": 9}},
            ["only", "components", "input", "residual"],
        ),
        (
            {"a": {"function": "bit", "bits": 5}, "b": {"function": "bit", "bits": 4}},
            ["a", "b", "interaction", "input", "residual"],
        ),
    ],
)
def test_parts_that_there_are_none_of_are_left_out(features, parts):
    stimuli = Bits(features=features, n_train=64, n_validation=64, n_test=64).generate()
    spec = MLP(hidden=[5])
    weights = {
        name: w.numpy()[None, None]
        for name, w in initial_weights(spec, 9, len(features), 0).items()
    }
    networks = Networks(
        seeds=np.array([0]),
        features=list(features),
        targets=list(features),
        included=np.array([True]),
        test_accuracy=np.ones((1, len(features))),
        mastery_step=np.zeros((1, len(features)), int),
        curves={},
        checkpoint_names=np.array(["final"]),
        checkpoint_steps=np.array([[10]]),
        weights=weights,
    )
    table = analysed("variance_decomposition", networks, stimuli, spec, Bias())
    assert table["part"].tolist() == parts
    assert table["share"].sum() == pytest.approx(1)


def test_a_feature_that_is_an_input_bit_and_nothing_else(stimuli):
    """A layer that copies the easy feature's bit: all of its variance is that feature's."""
    spec = MLP(hidden=[4])
    weights = {
        name: np.zeros((1, 1, *w.shape), np.float32)
        for name, w in initial_weights(spec, stimuli.inputs.shape[1], 4, 0).items()
    }
    weights["w1"][0, 0, 0] = [1, -2, 0, 3]
    networks = Networks(
        seeds=np.array([0]),
        features=stimuli.features,
        targets=["easy"],
        included=np.array([True]),
        test_accuracy=np.ones((1, 4)),
        mastery_step=np.zeros((1, 4), int),
        curves={},
        checkpoint_names=np.array(["final"]),
        checkpoint_steps=np.array([[10]]),
        weights=weights,
    )
    table = analysed("variance_decomposition", networks, stimuli, spec, Bias()).set_index("part")
    np.testing.assert_allclose(table["share"], (table.index == "easy").astype(float), atol=1e-6)


def test_many_regressors_for_the_fitted_stimuli_are_warned_of(stimuli, networks, caplog):
    """There are 3 features, 4 products, 4 sub-components and 15 bits, for 256 stimuli."""
    n = sum(len(block) for block in blocks_by_hand(stimuli, "validation"))
    with caplog.at_level(logging.WARNING):
        analysed("variance_decomposition", networks, stimuli, SPEC, Bias())
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"tasks/both: {n} regressors are fitted on 256 validation stimuli" in caplog.text
    assert f"off by up to {n / 256:.2f}" in caplog.text


@pytest.mark.parametrize(("n_fit", "warned"), [(99, True), (100, False)])
def test_ten_stimuli_per_regressor_are_enough(n_fit, warned, caplog):
    """One feature, and 9 bits of which it is one: 10 regressors."""
    features = {"only": {"function": "bit", "bits": 9}}
    stimuli = Bits(features=features, n_train=64, n_validation=100, n_test=64).generate()
    chosen = (stimuli.split != "validation") | (np.cumsum(stimuli.split == "validation") <= n_fit)
    for name in ("inputs", "ids", "split", "labels", "component_labels", "supervised"):
        setattr(stimuli, name, getattr(stimuli, name)[chosen])
    spec = MLP(hidden=[5])
    networks = Networks(
        seeds=np.array([0]),
        features=["only"],
        targets=["only"],
        included=np.array([True]),
        test_accuracy=np.ones((1, 1)),
        mastery_step=np.zeros((1, 1), int),
        curves={},
        checkpoint_names=np.array(["final"]),
        checkpoint_steps=np.array([[10]]),
        weights={k: w.numpy()[None, None] for k, w in initial_weights(spec, 9, 1, 0).items()},
    )
    with caplog.at_level(logging.WARNING):
        analysed("variance_decomposition", networks, stimuli, spec, Bias())
    assert bool(caplog.records) == warned
