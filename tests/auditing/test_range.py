"""Which features can be re-weighted, and between what a score can then lie."""

from __future__ import annotations

import numpy as np
import pytest

from repbias.auditing.design import Design
from repbias.auditing.gates import has_features
from repbias.auditing.scores import Brain, Side, divide, movable
from repbias.auditing.shares import kernel_of
from repbias.geometry.distances import dissimilarities

N = 120


def overlapping(rng: np.random.Generator) -> Design:
    """Two features of correlation .8."""
    a = rng.standard_normal(N)
    return Design.of({"a": a, "b": 0.8 * a + 0.6 * rng.standard_normal(N)})


def test_a_feature_that_only_overlaps_with_another_is_not_usable() -> None:
    """What the model has of it is the other's; its direction would be noise."""
    rng = np.random.default_rng(0)
    orthogonal = overlapping(rng).orthogonal()
    (first,) = (orthogonal.basis @ np.linalg.eigh(orthogonal.parts[0])[1][:, -1:]).T
    x = 20 * first[:, None] * rng.standard_normal(30) + rng.standard_normal((N, 30))
    assert (x @ x.T @ first) @ first > 100
    found = has_features(x @ x.T, orthogonal, 199, 0)
    assert found.tolist() == [True, False]
    both = x + 20 * orthogonal.basis @ np.linalg.eigh(orthogonal.parts[1])[1][:, -1:]
    assert has_features(both @ both.T, orthogonal, 199, 0).tolist() == [True, True]


def test_a_feature_that_depends_on_others_is_not_usable() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, N))
    orthogonal = Design.of({"a": a, "b": b, "sum": a + b}).orthogonal()
    x = rng.standard_normal((N, 10)) + np.outer(a + b, rng.standard_normal(10))
    found = has_features(x @ x.T, orthogonal, 199, 0)
    assert found[0]
    assert not found[2]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_score_is_within_its_range(sign: int) -> None:
    """Units that mix features as the brain's do, or in the opposite way, are not re-weighted."""
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, N))
    design = Design.of({"a": a, "b": b})
    units = np.array([[1, 1], [0.2, -0.2]])
    y, x = (np.stack([a, s * b], axis=1) @ units.T for s in (1, sign))
    noise = rng.standard_normal((2, N, 2)) * 0.3
    brain_kernel, model = (
        kernel_of(dissimilarities(z, "squared_euclidean")) for z in (y + noise[0], x + noise[1])
    )
    brain = Brain.of(Side.of_network(brain_kernel), design)
    score = divide(model, brain).score
    usable = has_features(model, brain.orthogonal, 199, 0)
    assert usable.all()
    every = np.append(usable, True)
    found = movable(model, brain, every, every, score)
    rule = np.sqrt((np.maximum(found.alone, 0) ** 2).sum())
    assert found.low <= score <= found.high
    if sign == 1:
        assert score > rule
        assert found.high == score
    else:
        assert score < found.alone[:2].min()
        assert found.low == pytest.approx(min(score, found.alone.min()))
        assert found.high == pytest.approx(rule)
