"""RDMs computed in blocks equal those computed in memory, and stay within a bound on memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repbias.base.spec import RepbiasError
from repbias.geometry import streaming
from repbias.geometry.distances import dissimilarities
from repbias.geometry.streaming import blocks, stream_dissimilarities

DISTANCES = ["correlation", "euclidean", "squared_euclidean"]


def streamed(patterns, distance, max_memory_mb=2000):
    parts = stream_dissimilarities(
        lambda stimuli, units: patterns[stimuli, units], *patterns.shape, distance, max_memory_mb
    )
    return np.concatenate(list(parts))


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(4, 9),
    p=st.integers(2, 7),
    height=st.integers(1, 9),
    width=st.integers(1, 7),
    distance=st.sampled_from(DISTANCES),
)
def test_blocks_of_any_size_give_the_rdm_in_memory(seed, n, p, height, width, distance):
    patterns = np.random.default_rng(seed).normal(3, size=(n, p))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "_block", lambda *_: (min(height, n), min(width, p)))
        found = streamed(patterns, distance)
    np.testing.assert_allclose(found, dissimilarities(patterns, distance), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("distance", DISTANCES)
def test_float32_with_a_large_offset_is_the_rdm_in_memory(distance):
    """Many blocks, and chunks of units."""
    rng = np.random.default_rng(0)
    patterns = (10_000 + rng.normal(size=(40, 500))).astype(np.float32)
    expected = dissimilarities(patterns, distance)
    np.testing.assert_allclose(streamed(patterns, distance), expected, rtol=1e-9, atol=1e-12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "_block", lambda *_: (11, 60))
        found = streamed(patterns, distance)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_patterns_without_a_distance_are_refused_before_anything_is_yielded(monkeypatch):
    monkeypatch.setattr(streaming, "_block", lambda *_: (2, 3))
    patterns = np.random.default_rng(1).normal(size=(7, 8))
    patterns[5] = 0.3
    with pytest.raises(RepbiasError, match=r"1 of 7 patterns are constant .* number 5\)"):
        next(stream_dissimilarities(lambda s, u: patterns[s, u], 7, 8, "correlation"))
    patterns[4, 2:4] = np.nan
    for distance in DISTANCES:
        with pytest.raises(RepbiasError, match="1 patterns are not finite"):
            next(stream_dissimilarities(lambda s, u: patterns[s, u], 7, 8, distance))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("shape", [(1200, 300), (60, 200_000)])
def test_the_memory_stays_within_its_bound(distance, shape):
    """Many stimuli or many units, of which products (12 MB) or patterns (96 MB) exceed it."""
    bound = 10
    patterns = np.random.default_rng(2).standard_normal(shape, dtype=np.float32)
    parts = stream_dissimilarities(lambda s, u: patterns[s, u], *shape, distance, bound)
    tracemalloc.start()
    try:
        n_pairs = sum(len(part) for part in parts)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_pairs == shape[0] * (shape[0] - 1) // 2
    assert peak < 1.1e6 * bound


@given(n=st.integers(0, 40), size=st.integers(1, 50), start=st.integers(0, 40))
def test_blocks_are_all_of_it_once(n, size, start):
    found = [np.arange(n)[block] for block in blocks(n, size, start)]
    assert np.array_equal(np.concatenate([[], *found]), np.arange(start, n))
    assert all(0 < len(part) <= size for part in found)
