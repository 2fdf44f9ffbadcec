"""The fast estimator against another algebra, its exact expectation, and debiased CKA."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from repbias.auditing.design import Design
from repbias.auditing.scores import Side
from repbias.auditing.shares import (
    REST,
    Freed,
    adjusted_parts,
    block_parts,
    centred,
    kernel_of,
    parts,
    rest_part,
    score_parts,
    weights,
)
from repbias.base.spec import RepbiasError
from repbias.geometry.distances import dissimilarities
from repbias.geometry.similarity import METRICS


def known(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Correlated numbers, categories and their superset."""
    size = rng.standard_normal((n, 1))
    codes = np.arange(n) % 3
    return {
        "size": size,
        "tone": 0.8 * size + 0.6 * rng.standard_normal((n, 1)),
        "category": (codes[:, None] == np.arange(3)).astype(float),
        "superset": (codes[:, None] == 0).astype(float),
    }


def of_kernels(function, a: np.ndarray, b: np.ndarray, design: Design):
    """Call a function of freed kernels with kernels."""
    return function(Freed.of(a, design), Freed.of(b, design), design)


def fast(design: Design, model: np.ndarray, brain: np.ndarray) -> dict[str, float]:
    values = of_kernels(score_parts, model, brain, design)
    return dict(zip([*design.names, REST], values / values.sum(), strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_shares_are_those_of_the_method_of_moments(seed: int) -> None:
    """An independent implementation by enumeration of pairs of stimuli, and another Shapley."""
    rng = np.random.default_rng(seed)
    n = 18
    regressors = known(n, rng)
    design = Design.of(regressors)
    x, y = rng.standard_normal((n, 4)), rng.standard_normal((n, 6))
    x[:, 0] += 2 * regressors["size"][:, 0]
    y[:, :2] += x[:, :2]
    expected = reference.shares(regressors, x @ x.T, y @ y.T)
    found = fast(design, x @ x.T, y @ y.T)
    for name in found:
        assert found[name] == pytest.approx(expected[name], abs=1e-10), name
    for total in (
        of_kernels(score_parts, x @ x.T, y @ y.T, design),
        parts(weights(x @ x.T, design), y @ y.T),
    ):
        assert total.sum() == pytest.approx(expected["total"], rel=1e-10)
    adjusted = adjusted_parts(x @ x.T, y @ y.T, design)
    other = reference.adjusted_shares(regressors, x @ x.T, y @ y.T)
    for name, value in zip([*design.names, REST], adjusted / adjusted.sum(), strict=True):
        assert value == pytest.approx(other[name], abs=1e-10), name


def test_projections_are_those_over_all_orders() -> None:
    regressors = known(15, np.random.default_rng(0))
    design = Design.of(regressors)
    expected = reference.shapley_projections(regressors)
    for f, name in enumerate(design.names):
        np.testing.assert_allclose(design.projection(f), expected[name], atol=1e-10)


def test_random_orders_come_near_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    common = rng.standard_normal((60, 1))
    regressors = {f"f{i}": common + rng.standard_normal((60, 1)) for i in range(8)}
    design = Design.of(regressors)
    dimensions = np.array([np.trace(p) for p in design.parts])
    np.testing.assert_allclose(dimensions, 1, atol=1e-9)
    np.testing.assert_allclose(design.parts.sum(axis=0), np.eye(8), atol=1e-9)
    monkeypatch.setattr("repbias.auditing.design.MOST_EXACT", 8)
    np.testing.assert_allclose(design.parts, Design.of(regressors).parts, atol=0.03)


def expected_parts(
    design: Design,
    explained: tuple[np.ndarray, np.ndarray],
    common: np.ndarray,
    function: object = score_parts,
) -> np.ndarray:
    """The exact expected value over residuals with this cross-covariance.

    The estimator is bilinear in the kernels and blind to diagonals, so what remains is a sum over
    stimuli and pairs of stimuli.
    """
    m, e = explained
    n = len(m)
    unit = np.eye(n)

    def of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return of_kernels(function, a, b, design)

    total = of(m @ m.T, e @ e.T)
    for i in range(n):
        for u in range(m.shape[1]):
            a = np.outer(m[:, u], unit[i])
            b = np.outer(e @ common[u], unit[i])
            total = total + of(a + a.T, b + b.T)
        for j in range(i):
            pair = np.outer(unit[i], unit[j])
            total = total + (common**2).sum() * of(pair + pair.T, pair + pair.T)
    return total


def sides(regressors: dict[str, np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    together = np.hstack(list(regressors.values()))
    k = together.shape[1]
    explained = (together @ rng.standard_normal((k, p)) for p in (3, 4))
    m, e = (x - x.mean(axis=0) for x in explained)
    return m, e, rng.standard_normal((3, 4))


def test_expected_parts_are_the_target() -> None:
    rng = np.random.default_rng(1)
    n = 15
    regressors = known(n, rng)
    design = Design.of(regressors)
    m, e, c = sides(regressors, rng)
    with_rest = [np.trace(design.projection(f) @ m @ c @ e.T) for f in range(len(design.names))]
    target = [
        np.trace(design.projection(f) @ m @ m.T @ e @ e.T) + (n - 1) * with_rest[f]
        for f in range(len(design.names))
    ]
    target.append((n - 1) ** 2 * (c**2).sum() + (n - 1) * sum(with_rest))
    found = expected_parts(design, (m, e), c)
    np.testing.assert_allclose(found, target, rtol=1e-10, atol=1e-8)
    assert found.sum() == pytest.approx(((m.T @ e + (n - 1) * c) ** 2).sum(), rel=1e-10)


def test_expected_parts_within_orthogonal_features() -> None:
    rng = np.random.default_rng(2)
    n = 16
    regressors = known(n, rng)
    design = Design.of(regressors).orthogonal()
    m, e, c = sides(regressors, rng)
    for part in design.parts:
        np.testing.assert_allclose(part @ part, part, atol=1e-10)
    target = [((m.T @ design.projection(f) @ e) ** 2).sum() for f in range(len(design.names))]
    found = expected_parts(design, (m, e), c, block_parts)
    np.testing.assert_allclose(found, [*target, (n - 1) ** 2 * (c**2).sum()], rtol=1e-10, atol=1e-8)
    x, y = rng.standard_normal((2, n, 5))
    a, b = x @ x.T, y @ y.T
    last = of_kernels(block_parts, a, b, design)[-1]
    assert of_kernels(rest_part, a, b, design) == pytest.approx(last, rel=1e-10)


def test_orthogonal_features_of_independent_ones_are_the_nearest() -> None:
    """Löwdin: of two unit vectors, the bisector is kept."""
    design = Design.of({"a": np.eye(15)[:, :1], "b": np.eye(15)[:, :1] + 0.5 * np.eye(15)[:, 1:2]})
    spans = [np.linalg.svd(block)[0][:, :1] for block in design.regressors]
    kept = [float((spans[f].T @ design.orthogonal().parts[f] @ spans[f]).item()) for f in range(2)]
    assert kept[0] == pytest.approx(kept[1], rel=1e-10)


def test_without_features_it_is_debiased_cka() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 5)), rng.standard_normal((20, 7))
    nothing = Design.of_none(20)
    a, b = x @ x.T, y @ y.T
    shared, of_a, of_b = (
        of_kernels(score_parts, *pair, nothing)[0] for pair in ((a, b), (a, a), (b, b))
    )
    value = shared / np.sqrt(of_a * of_b)
    metric = METRICS["cka_debiased"]
    assert value == pytest.approx(metric.compare(metric.factors(x), metric.factors(y)), rel=1e-10)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_parts_do_not_depend_on_what_they_should_not(seed: int) -> None:
    """Diagonals, centring, order of stimuli, and which side comes first."""
    rng = np.random.default_rng(seed)
    n = 16
    regressors = known(n, rng)
    design = Design.of(regressors)
    x, y = rng.standard_normal((2, n, 4))
    a, b = x @ x.T, y @ y.T
    found = of_kernels(score_parts, a, b, design)
    offset = rng.standard_normal(n)
    changed = b + np.diag(rng.standard_normal(n)) + offset[:, None] + offset
    scale = np.abs(found).sum()
    for same in (
        parts(weights(a, design), changed),
        of_kernels(score_parts, a, changed, design),
        of_kernels(score_parts, b, a, design),
    ):
        np.testing.assert_allclose(same, found, atol=1e-9 * scale)
    order = rng.permutation(n)
    moved = Design.of({name: values[order] for name, values in regressors.items()})
    square = np.ix_(order, order)
    again = of_kernels(score_parts, a[square], b[square], moved)
    np.testing.assert_allclose(again, found, atol=1e-8 * scale)
    freed = Freed.of(a, design)
    without = freed.without_features(design)
    np.testing.assert_allclose(without.diagonal(), 0, atol=1e-9)
    np.testing.assert_allclose(without, design.residual @ freed.kernel @ design.residual, atol=1e-9)
    np.testing.assert_allclose(freed.rows, design.basis.T @ freed.kernel, atol=1e-9)


def test_kernels_of_distances() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 6))
    np.testing.assert_allclose(
        kernel_of(dissimilarities(x, "squared_euclidean") * 6), centred(x @ x.T), atol=1e-10
    )
    z = x - x.mean(axis=1, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(
        2 * kernel_of(dissimilarities(x, "correlation")), centred(z @ z.T), atol=1e-10
    )


def test_features_that_leave_too_little_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(RepbiasError, match="leaves 5 to what is not known; expected at least 10"):
        Design.of({"many": rng.standard_normal((16, 10))})
    with pytest.raises(RepbiasError, match="'flat' is the same for all 12 stimuli"):
        Design.of({"flat": np.full((12, 1), 0.1)})
    with pytest.raises(RepbiasError, match="'gap': 1 of 12 stimuli have no value"):
        Design.of({"gap": np.where(np.arange(12) == 3, np.nan, 1.0)})


@pytest.mark.parametrize("size", [1, 2])
def test_categories_of_one_or_two_stimuli_are_refused(size: int) -> None:
    codes = np.repeat([0, 1, 2], [size, 10, 10])
    design = Design.of({"category": (codes[:, None] == np.arange(3)).astype(float)})
    with pytest.raises(RepbiasError, match=r"\(numbers 1.*expected three stimuli of every categ"):
        Side.of_network(np.eye(len(codes))).energy(design)
