"""Features of many classes: planted shares, networks known exactly, sigmoid and softmax."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import ortho_group

from repbias.bias.behaviour import behaviour_rows
from repbias.bias.decomposition import contrasts, decompose_variance, interactions
from repbias.bias.probes import conflict_rows, linear_probe, nonlinear_probe, probes_rows
from repbias.bias.steering import steering_rows
from repbias.bias.units import unit_r2
from repbias.bias.variance import variance_explained, variance_rows
from repbias.networks.mlp import MLP
from repbias.networks.snapshots import Representations, Snapshot, snapshots
from repbias.networks.spec import Training
from repbias.networks.training import train
from repbias.stimuli.bits import Bits

N = 2048
UNITS = 40


def balanced(*classes: int, n: int = N) -> np.ndarray:
    """Labels in which all combinations take turns, (stimulus, feature)."""
    cells = np.array(list(product(*map(range, classes))))
    return np.random.default_rng(0).permutation(cells[np.arange(n) % len(cells)])


def planted(labels: np.ndarray, shares: list[float], noise: float, seed: int) -> np.ndarray:
    """Give every feature a share of the variance: its classes are corners of a simplex."""
    rng = np.random.default_rng(seed)
    axes = ortho_group.rvs(UNITS, random_state=7)
    phi = rng.normal(size=(len(labels), UNITS)) * np.sqrt(noise / UNITS)
    start = 0
    for column, share in zip(labels.T, shares, strict=True):
        k = column.max() + 1
        corners = (np.eye(k) - 1 / k) * np.sqrt(share / (1 - 1 / k))
        phi += corners[column] @ axes[start : start + k]
        start += k
    return (phi + 2).astype(np.float32)


@pytest.mark.parametrize("classes", [(4, 4), (4, 3, 2)])
def test_planted_shares_are_recovered(classes):
    """Within .01 at 2,048 stimuli, as ratios to what was planted."""
    shares = [0.55, 0.05, 0.1][: len(classes)]
    rest = 1 - sum(shares)
    fit, test = balanced(*classes), balanced(*classes)[::-1]
    phi_fit, phi = (planted(y, shares, rest, seed) for seed, y in enumerate((fit, test)))
    for i, share in enumerate(shares):
        found = variance_explained(fit[:, i], phi_fit, test[:, i], phi)
        assert found == pytest.approx(share, abs=0.01)
        r2 = unit_r2(fit[:, i], phi_fit, test[:, i], phi)
        assert np.average(r2, weights=phi.var(axis=0)) == pytest.approx(share, abs=0.01)

    def blocks(labels: np.ndarray) -> dict[str, np.ndarray]:
        coded = [contrasts(y, np.arange(k)) for y, k in zip(labels.T, classes, strict=True)]
        named = {f"f{i}": c for i, c in enumerate(coded)}
        return named | {"interaction": interactions(coded, N // 4)}

    found = decompose_variance(blocks(fit), phi_fit, blocks(test), phi)
    for i, share in enumerate(shares):
        assert found[f"f{i}"] == pytest.approx(share, abs=0.01)
    assert found["interaction"] == pytest.approx(0, abs=0.01)
    assert found["residual"] == pytest.approx(rest, abs=0.01)


def test_contrasts_and_interactions_span_all_cells():
    labels = balanced(4, 3, 2, n=24)
    coded = [contrasts(y, np.arange(k)) for y, k in zip(labels.T, (4, 3, 2), strict=True)]
    assert [c.shape[1] for c in coded] == [3, 2, 1]
    design = np.column_stack([np.ones(24), *coded, interactions(coded, 100)])
    assert design.shape == (24, 24)
    assert np.linalg.matrix_rank(design) == 24
    for c in coded:
        np.testing.assert_allclose(c.mean(axis=0), 0, atol=1e-12)


def test_interactions_of_many_features_end_where_there_are_too_many():
    coded = [contrasts(np.arange(60) % k, np.arange(k)) for k in (3, 4, 5)]
    pairs = 2 * 3 + 2 * 4 + 3 * 4
    assert interactions(coded, pairs).shape == (60, pairs)
    assert interactions(coded, 0).shape == (60, pairs), "those of two are always there"
    assert interactions(coded, pairs + 24).shape == (60, pairs + 24)
    assert interactions(coded[:1], 100).shape == (60, 0)


# Analyses of a network that reports the larger of its units.

CLASSES = [3, 3, 2]


def snapshot(phi_fit: np.ndarray, phi: np.ndarray, y_fit: np.ndarray, y: np.ndarray) -> Snapshot:
    """Units 0-2 are evidence for feature a, 3-5 for b, and unit 6 for c."""

    def run(layer: str, x: np.ndarray) -> np.ndarray:
        assert layer == "hidden"
        heads = [x[..., :3].argmax(-1), x[..., 3:6].argmax(-1), x[..., 6] > 0]
        return np.stack(heads, axis=-1).astype(np.uint8)

    names = ["a", "b", "c"]
    fit, test = (
        Representations(
            labels=labels,
            known=dict(zip(names, labels.T, strict=True)),
            regressors=np.zeros((len(labels), 0)),
            layers={"hidden": x[None].astype(np.float32)},
        )
        for labels, x in ((y_fit, phi_fit), (y, phi))
    )
    about = {"experiment": "e", "condition": "c", "network": "seed0", "seed": 0}
    return Snapshot(
        name="final",
        networks=[about | {"snapshot": "final", "step": 1, "included": True}],
        features=names,
        classes=CLASSES,
        components=[],
        targets=names,
        analysed="hidden",
        fit=fit,
        test=test,
        final_variance={"hidden": np.ones(1)},
        run=run,
    )


def evidence(labels: np.ndarray, strength: tuple[float, float, float]) -> np.ndarray:
    a, b, c = labels.T
    return np.column_stack(
        [strength[0] * np.eye(3)[a], strength[1] * np.eye(3)[b], strength[2] * (2.0 * c - 1)]
    )


@pytest.fixture
def exact() -> Snapshot:
    labels = balanced(*CLASSES, n=180)
    phi = evidence(labels, (3, 1, 2))
    return snapshot(phi, phi, labels, labels)


def test_steering_goes_from_the_reported_class_to_each_other_one(exact):
    """From class a to b, evidence moves by s (e_b - e_a): b wins as soon as s > .5."""
    rows = steering_rows(exact, [0.4, 0.6, 1.0])
    lengths = {"a": 3 * np.sqrt(2), "b": np.sqrt(2), "c": 4}
    activity = np.sqrt(9 * 2 / 3 + 2 / 3 + 4)
    assert len(rows) == 3 * 3 * 3
    for row in rows:
        own, far = row["feature"] == row["output"], row["strength"] > 0.5
        assert row["norm"] == pytest.approx(row["strength"] * lengths[row["feature"]])
        assert row["norm_sd"] == pytest.approx(row["norm"] / activity, rel=1e-5)
        assert row["flips"] == (own and far)
        assert np.isnan(row["reached"]) if not own else row["reached"] == far


def test_behaviour_compares_features_of_as_many_classes(exact):
    rows = {(r["output"], r["feature"]): r["agreement"] for r in behaviour_rows(exact)}
    assert rows == {
        **{(f, f): 1.0 for f in "abc"},
        ("a", "b"): pytest.approx(1 / 3),
        ("b", "a"): pytest.approx(1 / 3),
    }


def test_a_classifier_follows_the_stronger_of_two_features_with_as_many_classes():
    """It is of features with equally many classes; noise makes the weaker one unreadable."""
    rng = np.random.default_rng(0)
    fit, test = balanced(*CLASSES, n=900), balanced(*CLASSES, n=360)
    phis = [evidence(y, (3, 0.1, 2)) + rng.normal(size=(len(y), 7)) for y in (fit, test)]
    rows = conflict_rows(snapshot(*phis, fit, test))
    assert [(r["feature_a"], r["feature_b"]) for r in rows] == [("a", "b")]
    assert rows[0]["follows_a"] > 0.8
    assert rows[0]["follows_b"] < 0.15
    assert rows[0]["follows_a"] + rows[0]["follows_b"] <= 1


@pytest.mark.parametrize("probe", [linear_probe, nonlinear_probe])
def test_probes_decode_every_class(probe):
    rng = np.random.default_rng(0)
    fit, test = balanced(5, 2, n=600), balanced(5, 2, n=200)
    phis = [
        (np.eye(5)[y[:, 0]] + 0.1 * rng.normal(size=(len(y), 5))).astype(np.float32)[None]
        for y in (fit, test)
    ]
    accuracy = (probe(phis[0], fit, phis[1]) == test).mean(axis=1)[0]
    assert accuracy[0] > 0.97
    assert accuracy[1] == pytest.approx(0.5, abs=0.12), "there is nothing to read"


def test_a_probe_is_the_same_beside_probes_of_other_classes():
    rng = np.random.default_rng(0)
    fit, test = balanced(3, 2, n=200), balanced(3, 2, n=60)
    phi_fit, phi = (rng.normal(size=(2, len(y), 4)).astype(np.float32) for y in (fit, test))
    together = nonlinear_probe(phi_fit, fit, phi, steps=20)
    for i in range(2):
        alone = nonlinear_probe(phi_fit, fit[:, [i]], phi, steps=20)
        np.testing.assert_array_equal(together[..., [i]], alone)


# Two classes, read out by one logit or by two.


@pytest.mark.slow
def test_two_classes_are_the_same_by_a_sigmoid_and_by_a_softmax():
    """Shares, steering and probes of 20 networks each differ by chance only (4 standard errors)."""
    torch.set_num_threads(1)
    features = {"easy": {"function": "bit", "bits": 4}, "hard": {"function": "xor", "bits": 4}}
    sizes = {"n_train": 2048, "n_validation": 512, "n_test": 512, "training_sets": "common"}
    stimuli = Bits(features=features, noise_bits=6, **sizes).generate()
    found: dict[str, dict[str, np.ndarray]] = {}
    for output in ("sigmoid", "softmax"):
        training = Training(
            learning_rate=3e-3, batch_size=64, max_steps=600, extra_steps=100, two_classes=output
        )
        networks = train(stimuli, MLP(hidden=[32, 16]), training, range(20), "cpu")
        assert networks.heads == ([1, 1] if output == "sigmoid" else [2, 2])
        assert networks.included.all()
        *_, final = snapshots("e", "c", networks, stimuli, MLP(hidden=[32, 16]), False)
        measured = {}
        for name, rows, value, more in (
            ("r2", variance_rows(final, "ratio_of_sums"), "r2", {}),
            ("flips", steering_rows(final, [0.5]), "flips", {"output": None}),
            ("norm_sd", steering_rows(final, [1.0]), "norm_sd", {"output": None}),
            ("probe", probes_rows(final, 20), "accuracy", {"probe": "nonlinear"}),
        ):
            for f in ("easy", "hard"):
                own = {"feature": f, "layer": "hidden2"} | {k: v or f for k, v in more.items()}
                chosen = [r[value] for r in rows if own.items() <= r.items()]
                assert len(chosen) == 20, name
                measured[f"{name} {f}"] = np.array(chosen)
        found[output] = measured
    for name, one in found["sigmoid"].items():
        two = found["softmax"][name]
        error = np.sqrt(one.var(ddof=1) / len(one) + two.var(ddof=1) / len(two))
        assert abs(one.mean() - two.mean()) <= 4 * error + 0.01, (name, one.mean(), two.mean())
