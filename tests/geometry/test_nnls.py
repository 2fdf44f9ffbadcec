"""Non-negative least squares from Gram matrices against SciPy on the design matrices."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from repbias.geometry import nnls as module
from repbias.geometry.nnls import nnls_of_gram, nnls_of_grams

seeds = st.integers(0, 10_000)


@given(k=st.integers(1, 8), n=st.integers(1, 12), dependent=st.booleans(), seed=seeds)
def test_nonnegative_least_squares_is_scipys(k, n, dependent, seed):
    """Where columns depend on each other the fit is unique, the weights are not."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 12, k)) * 10.0 ** rng.integers(-3, 4, size=k)
    if dependent:
        x[:, :, -1] = x[:, :, 0] * 2
    y = rng.normal(size=(n, 12))
    found = nnls_of_grams(x.transpose(0, 2, 1) @ x, np.einsum("nmk,nm->nk", x, y))
    assert (found >= 0).all()
    for design, target, w in zip(x, y, found, strict=True):
        expected, _ = nnls(design, target)
        np.testing.assert_allclose(design @ w, design @ expected, atol=1e-8)
        if not dependent:
            size = np.linalg.norm(design, axis=0)
            np.testing.assert_allclose(w * size, expected * size, atol=1e-8)


def test_weights_of_rdms_that_are_zero_are_zero():
    gram, products = np.zeros((2, 3, 3)), np.zeros((2, 3))
    gram[:, 0, 0], products[:, 0] = 4, [2, -2]
    np.testing.assert_allclose(nnls_of_grams(gram, products), [[0.5, 0, 0], [0, 0, 0]], atol=1e-15)


def test_a_circle_of_exchanges_ends(monkeypatch):
    """Without a single exchange all problems go to SciPy, with the same result."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 9, 5)), rng.normal(size=(50, 9))
    problem = x.transpose(0, 2, 1) @ x, np.einsum("nmk,nm->nk", x, y)
    expected = nnls_of_grams(*problem)
    monkeypatch.setattr(module, "ROUNDS", 0)
    np.testing.assert_allclose(nnls_of_grams(*problem), expected, atol=1e-10)


def test_a_gram_matrix_of_zeros_has_weights_of_zero():
    """SciPy returns uninitialised memory where there are no equations."""
    for _ in range(20):
        np.full(5, np.nan).tobytes()
        np.testing.assert_array_equal(nnls_of_gram(np.zeros((5, 5)), np.zeros(5)), np.zeros(5))
