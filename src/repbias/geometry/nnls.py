"""Non-negative least squares from Gram matrices: min_w w'G w / 2 - b'w over w >= 0."""

from __future__ import annotations

import numpy as np

#: Exchanges of block principal pivoting, which rounding could make go in a circle.
ROUNDS = 100
#: Exchanges without progress after which only one variable is exchanged at a time.
PATIENCE = 3


def gram_root(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return square roots of the eigenvalues, and the eigenvectors, of a Gram matrix.

    With R = roots[:, None] * vectors the Gram matrix is R'R, and least squares of R w to
    (R')^-1 b, which is vectors @ b / roots, minimises w'G w / 2 - b'w.

    Parameters
    ----------
    gram
        (basis, basis), positive semidefinite.

    Returns
    -------
    roots, vectors : numpy.ndarray
        (component,) and (component, basis); components of eigenvalue 0 are left out.
    """
    values, vectors = np.linalg.eigh(gram)
    nonzero = values > 1e-10 * values[-1]
    return np.sqrt(values[nonzero]), vectors[:, nonzero].T


def nonnegative_weights(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Minimise ||x w - y|| over w >= 0.

    Parameters
    ----------
    x
        (equation, basis).
    y
        (equation,).

    Returns
    -------
    numpy.ndarray
        (basis,); 0 if there are no equations, for which SciPy returns uninitialised memory.
    """
    from scipy.optimize import nnls  # its import takes a while

    return nnls(x, y)[0] if len(x) else np.zeros(x.shape[1])


def nnls_of_gram(gram: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Minimise w'G w / 2 - b'w over w >= 0, also if the columns of G depend on each other.

    Parameters
    ----------
    gram
        (basis, basis), positive semidefinite.
    products
        (basis,).

    Returns
    -------
    numpy.ndarray
        (basis,).
    """
    roots, vectors = gram_root(gram)
    return nonnegative_weights(roots[:, None] * vectors, vectors @ products / roots)


def nnls_of_grams(grams: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Minimise w'G w / 2 - b'w over w >= 0, for many small problems at once.

    Problems with (almost) dependent columns go to SciPy, all others to block principal pivoting.

    Parameters
    ----------
    grams
        (problem, basis, basis), positive semidefinite.
    products
        (problem, basis).

    Returns
    -------
    numpy.ndarray
        (problem, basis).
    """
    k = products.shape[1]
    scale = np.sqrt(np.einsum("nkk->nk", grams))
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    size = np.abs(products * inverse).max(axis=1, initial=0)
    b = (products * inverse / np.where(size > 0, size, 1)[:, None]).T
    # The problem comes last: elimination is over all problems at once.
    a = (grams * inverse[:, :, None] * inverse[:, None]).transpose(1, 2, 0).copy()
    a[np.arange(k), np.arange(k)] = 1
    weights = np.zeros(b.shape)
    _, pivots = _eliminate(a, b)
    independent = (pivots > 1e-9).all(axis=0)
    unsolved = _block_principal_pivoting(a, b, np.flatnonzero(independent), weights)
    for problem in (*np.flatnonzero(~independent), *unsolved):
        weights[:, problem] = nnls_of_gram(a[:, :, problem], b[:, problem])
    return weights.T * inverse * size[:, None]


def _block_principal_pivoting(
    a: np.ndarray, b: np.ndarray, active: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Solve problems by block principal pivoting; return those that are left unsolved.

    Portugal, Júdice & Vicente (1994); Kim & Park (2011), algorithm 1. From a guess of which
    weights are positive, solve for these, then exchange all that are negative or whose gradient
    is; where that makes no progress, exchange only the last of them, which ends after finitely
    many steps.

    Parameters
    ----------
    a, b
        (basis, basis, problem) with a diagonal of 1, and (basis, problem).
    active
        Indices of the problems to solve.
    weights
        (basis, problem), where the solutions are written.
    """
    k, n = b.shape
    positive = np.ones((k, n), bool)
    fewest, patience = np.full(n, k + 1), np.full(n, PATIENCE)
    for _ in range(ROUNDS):
        if not len(active):
            break
        inside, a_, b_ = positive[:, active], a[:, :, active], b[:, active]
        both_inside = inside[:, None] & inside[None]
        reduced = np.where(both_inside, a_, np.eye(k)[:, :, None])
        w, _ = _eliminate(reduced, np.where(inside, b_, 0))
        gradient = np.einsum("jkn,kn->jn", a_, w) - b_
        wrong = np.where(inside, w, gradient) < -1e-13
        n_wrong = wrong.sum(axis=0)
        weights[:, active] = np.maximum(w, 0)
        better = n_wrong < fewest[active]
        fewest[active] = np.minimum(fewest[active], n_wrong)
        patience[active] = np.where(better, PATIENCE, patience[active] - 1)
        last = k - 1 - wrong[::-1].argmax(axis=0)
        last_only = (np.arange(k)[:, None] == last) & wrong
        positive[:, active] = inside ^ np.where(patience[active] >= 0, wrong, last_only)
        active = active[n_wrong > 0]
    return active


def _eliminate(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve a x = b of positive definite a (row, column, problem); also return the pivots."""
    a, b = a.copy(), b.copy()
    k = len(b)
    for i in range(k - 1):
        pivot = np.where(a[i, i] > 0, a[i, i], 1)
        factor = a[i + 1 :, i] / pivot
        a[i + 1 :, i + 1 :] -= factor[:, None] * a[i, i + 1 :]
        b[i + 1 :] -= factor * b[i]
    pivots = np.einsum("kkn->kn", a)
    for i in reversed(range(k)):
        left = b[i] - (a[i, i + 1 :] * b[i + 1 :]).sum(axis=0)
        b[i] = left / np.where(pivots[i] > 0, pivots[i], 1)
    return b, pivots
