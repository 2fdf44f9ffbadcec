"""RDMs computed in blocks equal those computed in memory, and stay within a bound on memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rsatoolbox.rdm import load_rdm

from repbias.base.spec import RepbiasError
from repbias.geometry import streaming
from repbias.geometry.distances import dissimilarities
from repbias.geometry.streaming import blocks, stream_dissimilarities
from repbias.rsa.rdms import write_layer_rdms

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


def test_a_file_of_layers_is_streamed_within_its_bound(make_activations, tmp_path):
    """The peak of a process of its own, above that of the same with few stimuli."""
    rng = np.random.default_rng(3)
    layers = {f"layer{i}": rng.standard_normal((1, 2000, 20), dtype=np.float32) for i in range(3)}
    activations = make_activations(layers, [f"s{i:04d}" for i in range(2000)])
    program = (
        "import sys\n"
        "from resource import RUSAGE_SELF, getrusage\n"
        "from repbias.rsa.rdms import write_layer_rdms\n"
        "from repbias.io.activations import Activations\n"
        "activations = Activations.open(sys.argv[1])\n"
        "for n in (10, 2000):\n"
        "    write_layer_rdms(sys.argv[2], activations, 'correlation', n, 10)\n"
        "    print(getrusage(RUSAGE_SELF).ru_maxrss)\n"
    )
    arguments = [sys.executable, "-c", program, activations.path, tmp_path / "rdms.h5"]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    few, all_of_them = map(int, done.stdout.split())
    # Three RDMs are 48 MB, the products of one 32 MB; buffers of HDF5 count too.
    assert all_of_them - few < 16_000
    found = load_rdm(str(tmp_path / "rdms.h5"))
    assert list(found.rdm_descriptors["layer"]) == list(layers)
    for vector, patterns in zip(found.get_vectors(), layers.values(), strict=True):
        np.testing.assert_allclose(vector, dissimilarities(patterns[0], "correlation"), atol=1e-12)


def test_layers_that_fail_leave_no_trace_in_the_file(make_activations, tmp_path):
    rng = np.random.default_rng(4)
    layers = {name: rng.normal(size=(2, 8, 5)) for name in ("a", "b", "c")}
    layers["b"][0, 3] = 1
    layers["c"][1, 3, 2] = np.nan
    activations = make_activations(layers, list("abcdefgh"), [(0, "initial"), (0, "final")])
    write_layer_rdms(tmp_path / "rdms.h5", activations, "correlation", None)
    found = load_rdm(str(tmp_path / "rdms.h5"))
    described = zip(found.rdm_descriptors["layer"], found.rdm_descriptors["snapshot"], strict=True)
    expected = [("a", 0), ("c", 0), ("a", 1), ("b", 1)]
    assert list(described) == [(layer, ["initial", "final"][i]) for layer, i in expected]
    for vector, (layer, i) in zip(found.get_vectors(), expected, strict=True):
        patterns = layers[layer][i].astype(np.float32)
        np.testing.assert_allclose(vector, dissimilarities(patterns, "correlation"), atol=1e-12)


@given(n=st.integers(0, 40), size=st.integers(1, 50), start=st.integers(0, 40))
def test_blocks_are_all_of_it_once(n, size, start):
    found = [np.arange(n)[block] for block in blocks(n, size, start)]
    assert np.array_equal(np.concatenate([[], *found]), np.arange(start, n))
    assert all(0 < len(part) <= size for part in found)
