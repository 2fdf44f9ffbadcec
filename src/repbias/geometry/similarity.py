"""Measures of similarity between two representations.

A representation is an array (stimulus, unit); two that are compared have the same stimuli in the
same order, and may differ in their number of units. What depends on one representation alone (its
factors) is computed once, so that N networks cost N factorisations. All arithmetic is float64.
Most symmetric measures are inner products of one (stimulus, stimulus) matrix of unit norm per
representation; permuting stimuli permutes its rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist, squareform

from repbias.base.spec import RepbiasError
from repbias.geometry.comparison import rounding
from repbias.geometry.distances import dissimilarities
from repbias.geometry.nnls import gram_root, nonnegative_weights

#: Neighbours of a stimulus in mutual k-NN.
N_NEIGHBOURS = 10
#: Ridge penalties, as a share of the predicting representation's total variance.
PENALTIES = np.logspace(-6, 2, 9)


@dataclass(frozen=True)
class Metric:
    """A measure of similarity between two representations.

    Attributes
    ----------
    label : name in figures
    source : where it was proposed
    factors : maps a representation (stimulus, unit) to what is computed once per representation;
        raises RepbiasError if the measure is undefined
    compare : maps the factors of two representations to their similarity; if the measure is not
        symmetric, the first predicts the second
    permute : maps factors and an order of the stimuli to the factors of the reordered
        representation
    symmetric : whether the order of the two does not matter
    """

    label: str
    source: str
    factors: Callable[[np.ndarray], Any]
    compare: Callable[[Any, Any], float]
    permute: Callable[[Any, np.ndarray], Any]
    symmetric: bool = True


def centred(x: np.ndarray) -> np.ndarray:
    """Return a representation (stimulus, unit) in float64, every unit centred over stimuli.

    Raises
    ------
    RepbiasError
        If it is not finite, or the same for all stimuli.
    """
    x = np.asarray(x, dtype=np.float64)
    if not np.isfinite(x).all():
        raise RepbiasError(f"{(~np.isfinite(x)).any(axis=1).sum()} patterns are not finite")
    if (np.ptp(x, axis=0) == 0).all():
        raise RepbiasError(f"all {len(x)} patterns are the same; expected patterns that differ")
    return x - x.mean(axis=0)


def residualised(x: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Remove a feature from a representation: its class means are moved to the overall mean.

    The mean pattern over stimuli is kept, so that only the feature changes correlation distances.

    Parameters
    ----------
    x
        (stimulus, unit).
    label
        (stimulus,) the feature's labels.

    Returns
    -------
    numpy.ndarray
        (stimulus, unit) float64.
    """
    if len(label) != len(x):
        raise RepbiasError(f"{len(label)} labels for {len(x)} stimuli; expected one each")
    result = np.array(x, dtype=np.float64)
    mean = result.mean(axis=0)
    for value in np.unique(label):
        rows = label == value
        result[rows] += mean - result[rows].mean(axis=0)
    return result


def _unit(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix)


def _double_centred(matrix: np.ndarray) -> np.ndarray:
    """Return H M H of a symmetric matrix M, with H = I - 11'/n."""
    mean = matrix.mean(axis=0)
    return matrix - mean - mean[:, None] + mean.mean()


def _inner_product(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.vdot(a, b))


def _permute_both(matrix: np.ndarray, order: np.ndarray) -> np.ndarray:
    return matrix[np.ix_(order, order)]


def _permute_rows(matrix: np.ndarray, order: np.ndarray) -> np.ndarray:
    return matrix[order]


def _deviations(rdm: np.ndarray) -> np.ndarray:
    """Return centred dissimilarities (pair,) as a matrix (stimulus, stimulus) of diagonal 0."""
    deviations = rdm - rdm.mean()
    if np.abs(deviations).max() <= 1e-12 * np.abs(rdm).max():
        raise RepbiasError(f"all {len(rdm)} dissimilarities are the same; expected some variance")
    return squareform(deviations)


def _rsa(x: np.ndarray) -> np.ndarray:
    """Return the correlation-distance RDM; inner products are Pearson correlations of triangles.

    As is usual, units are not centred over stimuli.
    """
    return _unit(_deviations(dissimilarities(x, "correlation")))


def _rsa_euclidean(x: np.ndarray) -> np.ndarray:
    """Return the Euclidean RDM (not squared); inner products are Pearson correlations."""
    return _unit(_deviations(dissimilarities(x, "euclidean")))


def _rsa_whitened(x: np.ndarray) -> np.ndarray:
    """Return the whitened correlation-distance RDM: rsatoolbox's ``corr_cov``.

    With D the RDM minus its mean and V the covariance of dissimilarities under independent noise,
    d' V^-1 d is proportional to ||H D H||^2 (Diedrichsen et al. 2021), H = I - 11'/n.
    """
    return _unit(_double_centred(_deviations(dissimilarities(x, "correlation"))))


def _cka(x: np.ndarray) -> np.ndarray:
    """Return the Gram matrix K = X X' of the centred X; CKA = <K, L> / (||K|| ||L||)."""
    x = centred(x)
    return _unit(x @ x.T)


def _cka_debiased(x: np.ndarray) -> np.ndarray:
    """Return the U-centred Gram matrix; inner products are n (n - 3) times the unbiased HSIC.

    K_ij - r_i / (n - 2) - r_j / (n - 2) + sum(r) / ((n - 1) (n - 2)), where r are K's row sums
    without its diagonal; the diagonal is 0.
    """
    x = centred(x)
    n = len(x)
    if n < 4:
        raise RepbiasError(f"{n} stimuli; the unbiased HSIC needs at least 4")
    gram = x @ x.T
    np.fill_diagonal(gram, 0)
    row = gram.sum(axis=0) / (n - 2)
    gram += row.sum() / (n - 1) - row - row[:, None]
    np.fill_diagonal(gram, 0)
    return _unit(gram)


def _cka_rbf(x: np.ndarray) -> np.ndarray:
    """Return the centred Gaussian kernel exp(-d^2 / 2 s^2), s the median distance of stimuli."""
    distances = pdist(centred(x))
    bandwidth = np.median(distances)
    if bandwidth == 0:
        raise RepbiasError("most patterns are the same; the Gaussian kernel has no bandwidth")
    return _unit(_double_centred(np.exp(-(squareform(distances / bandwidth) ** 2) / 2)))


def _mutual_knn(x: np.ndarray) -> np.ndarray:
    """Return the 10 nearest neighbours (Euclidean) of each stimulus, one stimulus per row.

    The inner product is the share of neighbours in common. Huh et al. use the cosine of patterns
    that are not centred; the Euclidean distance needs no choice of an origin. Equally distant
    stimuli share the last places, so the result is what random choices among them, independent in
    each representation, have in common on average.
    """
    # By SciPy, so that equal patterns have a distance of exactly 0.
    distances = squareform(pdist(centred(x)))
    n = len(distances)
    if n < N_NEIGHBOURS + 2:
        raise RepbiasError(
            f"{n} stimuli; {N_NEIGHBOURS} neighbours need at least {N_NEIGHBOURS + 2}"
        )
    np.fill_diagonal(distances, np.inf)
    ascending = np.sort(distances, axis=1)
    radius, error = ascending[:, [N_NEIGHBOURS - 1]], rounding(ascending[:, :-1].ravel())
    nearer, tied = distances < radius - error, np.abs(distances - radius) <= error
    places = N_NEIGHBOURS - nearer.sum(axis=1, keepdims=True)
    neighbours = nearer + tied * places / tied.sum(axis=1, keepdims=True)
    return neighbours / np.sqrt(n * N_NEIGHBOURS)


def _scores(x: np.ndarray) -> np.ndarray:
    """Return the centred representation, rotated into at most as many dimensions as stimuli."""
    x = centred(x)
    if x.shape[1] <= len(x):
        return x
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u * s


def _unit_scores(x: np.ndarray) -> np.ndarray:
    return _unit(_scores(x))


def _bures(a: np.ndarray, b: np.ndarray) -> float:
    """Return ||X'Y||_* / (||X|| ||Y||), the sum of the singular values of X'Y, X and Y scaled.

    With Gram matrices K and L this is tr (K^1/2 L K^1/2)^1/2 / (tr K tr L)^1/2.
    """
    return float(np.linalg.svd(a.T @ b, compute_uv=False).sum())


def _procrustes(a: np.ndarray, b: np.ndarray) -> float:
    """Return 1 - arccos(NBS) / (pi / 2).

    The arc cosine is the angle between X and Y, both of unit norm, after the rotation (with
    reflection) that aligns them best: the angular Procrustes distance.
    """
    return float(1 - np.arccos(min(_bures(a, b), 1.0)) / (np.pi / 2))


def _unit_columns(x: np.ndarray) -> np.ndarray:
    """Centre every unit and scale it to unit norm; constant units become 0."""
    constant = np.ptp(x, axis=0) == 0
    x = centred(x)
    x[:, constant] = 0
    return x / np.where(constant, 1, np.linalg.norm(x, axis=0))


def _soft_matching(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest sum_ij P_ij corr(x_i, y_j) over transport plans P of equal unit masses.

    Rows of P sum to 1/p and columns to 1/q. If p = q, this is the mean correlation of matched
    units. If one is a multiple of the other, units of the smaller representation are copied and
    matched; otherwise the linear programme is solved, which takes much longer.
    """
    # The import takes longer than most jobs that know the names of all metrics.
    from scipy.optimize import linear_sum_assignment, linprog
    from scipy.sparse import eye_array, kron, vstack

    correlation = a.T @ b
    p, q = correlation.shape
    larger = max(p, q)
    if larger % p == 0 and larger % q == 0:
        copies = correlation.repeat(larger // p, axis=0).repeat(larger // q, axis=1)
        return float(copies[linear_sum_assignment(copies, maximize=True)].mean())
    masses = vstack([kron(eye_array(p), np.ones((1, q))), kron(np.ones((1, p)), eye_array(q))])
    plan = linprog(
        -correlation.ravel(),
        A_eq=masses.tocsr(),
        b_eq=np.repeat([1 / p, 1 / q], [p, q]),
        method="highs",
    )
    return float(-plan.fun)


_RidgeFactors = tuple[np.ndarray, np.ndarray, np.ndarray]


def _ridge_factors(x: np.ndarray) -> _RidgeFactors:
    """Return left singular vectors, shares of variance, and the centred representation.

    The last is rotated into at most as many dimensions as stimuli, which does not change R2.
    """
    y = _scores(x)
    u, s, _ = np.linalg.svd(y, full_matrices=False)
    return u, s**2 / (s**2).sum(), y


def _permute_ridge(factors: _RidgeFactors, order: np.ndarray) -> _RidgeFactors:
    u, variance, y = factors
    return u[order], variance, y[order]


def _ridge(a: _RidgeFactors, b: _RidgeFactors) -> float:
    """Return R2 of leave-one-out ridge regression, the first predicting all units of the second.

    With X = U S V' centred, the intercept not penalised and shrinkage d = s^2 / (s^2 + penalty),
    the predictions are U d U'Y and the leverages 1/n + sum_k u_ik^2 d_k, so that the error of a
    left-out stimulus is its residual / (1 - leverage). R2 = 1 - (sum of squared errors) / (sum of
    squares of centred Y), over stimuli and units together. All units share one penalty, that of
    :data:`PENALTIES` with the highest R2. It is chosen by the errors that are reported, without an
    inner loop; with nine coarse steps this is only slightly optimistic.
    """
    u, variance, _ = a
    y = b[2]
    projected = u.T @ y
    errors = []
    for penalty in PENALTIES:
        shrinkage = variance / (variance + penalty)
        leverage = 1 / len(u) + u**2 @ shrinkage
        residual = y - u @ (shrinkage[:, None] * projected)
        errors.append(((residual**2).sum(axis=1) / (1 - leverage) ** 2).sum())
    return float(1 - min(errors) / (y**2).sum())


@dataclass(frozen=True)
class _Reweighting:
    """Factors of feature-reweighted RSA; what only one side needs is computed on demand.

    Attributes
    ----------
    patterns : (stimulus, unit), each centred over units and of unit norm, so that half the
        squared distance of two is their correlation distance
    rdm : (stimulus, stimulus) correlation distances
    """

    patterns: np.ndarray
    rdm: np.ndarray

    def _halves(self) -> tuple[slice, slice]:
        # Not odd and even: generated stimuli cycle through the combinations of labels.
        middle = len(self.rdm) // 2
        return slice(None, middle), slice(middle, None)

    @cached_property
    def targets(self) -> list[np.ndarray]:
        """Laplacian of each half's RDM, after it is centred and scaled to unit norm over pairs.

        With L = diag(row sums of Y) - Y, sum_{i<j} (x_i - x_j)^2 y_ij = x' L x.
        """
        laplacians = []
        for half in self._halves():
            y = squareform(self.rdm[half, half])
            y = y - y.mean()
            # A constant RDM becomes 0, and so does every product with it.
            y = squareform(y / (np.linalg.norm(y) or 1))
            laplacians.append(np.diag(y.sum(axis=1)) - y)
        return laplacians

    @cached_property
    def predictors(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Patterns of each half, and the normal equations of its units' RDMs A (pair, unit).

        A'A, of centred columns, is computed without a sum over pairs: with Z the half's m patterns
        centred over stimuli, C = Z'Z, Q = (Z o Z)'(Z o Z), s the diagonal of C and o the
        element-wise product, sum_{i<j} (z_iu - z_ju)^2 (z_iv - z_jv)^2 = m Q + s s' + 2 C o C, and
        the means are 2 s / (m - 1). With A'A = R'R, non-negative least squares of A w to y is that
        of R w to (R')^-1 A'y; the four arrays are Z, A'A, R and (R')^-1.
        """
        result = []
        for half in self._halves():
            z = self.patterns[half] - self.patterns[half].mean(axis=0)
            m, c = len(z), z.T @ z
            s = c.diagonal()
            gram = m * (z**2).T @ (z**2) + np.outer(s, s) * (1 - 2 * m / (m - 1)) + 2 * c**2
            roots, vectors = gram_root(gram)
            result.append((z, gram, roots[:, None] * vectors, vectors / roots[:, None]))
        return result


def _reweighted_factors(x: np.ndarray) -> _Reweighting:
    if len(x) < 6:
        raise RepbiasError(f"{len(x)} stimuli; reweighting by halves needs at least 6")
    rdm = squareform(dissimilarities(x, "correlation"))
    x = np.asarray(x, dtype=np.float64)
    x = x - x.mean(axis=1, keepdims=True)
    return _Reweighting(x / np.linalg.norm(x, axis=1, keepdims=True), rdm)


def _permute_reweighting(factors: _Reweighting, order: np.ndarray) -> _Reweighting:
    return _Reweighting(factors.patterns[order], _permute_both(factors.rdm, order))


def _reweighted(a: _Reweighting, b: _Reweighting) -> float:
    """Return the held-out Pearson correlation of the first's reweighted RDM with the second's RDM.

    The RDMs of the first's single units (squared differences of patterns that are standardised over
    units) are combined with an intercept and non-negative weights, which are fitted to the second's
    correlation-distance RDM on half of the stimuli. The correlation is over pairs within the other
    half, averaged over both directions. With equal weights this is `rsa` within halves. There is no
    other penalty on the weights. A half counts as 0 if its correlation is undefined, because all
    weights or the RDM's variance are 0.
    """
    products = [
        np.einsum("iu,iu->u", laplacian @ z, z)
        for (z, *_), laplacian in zip(a.predictors, b.targets, strict=True)
    ]
    correlations = []
    for fitted, held_out in ((0, 1), (1, 0)):
        _, _, root, inverse = a.predictors[fitted]
        weights = nonnegative_weights(root, inverse @ products[fitted])
        variance = weights @ a.predictors[held_out][1] @ weights
        correlation = weights @ products[held_out] / np.sqrt(variance) if variance > 0 else 0.0
        correlations.append(correlation)
    return float(np.mean(correlations))


def _of_matrix(label: str, source: str, factors: Callable[[np.ndarray], np.ndarray]) -> Metric:
    return Metric(label, source, factors, _inner_product, _permute_both)


#: Measures by name; `repbias.geometry.spec.MetricName` lists the same names.
METRICS: dict[str, Metric] = {
    "rsa": _of_matrix("RSA (correlation)", "Kriegeskorte et al. 2008", _rsa),
    "rsa_euclidean": _of_matrix("RSA (Euclidean)", "Kriegeskorte et al. 2008", _rsa_euclidean),
    "rsa_whitened": _of_matrix("RSA (whitened)", "Diedrichsen et al. 2021", _rsa_whitened),
    "rsa_reweighted": Metric(
        "RSA (reweighted)",
        "Kaniuth & Hebart 2022",
        _reweighted_factors,
        _reweighted,
        _permute_reweighting,
        symmetric=False,
    ),
    "cka": _of_matrix("CKA", "Kornblith et al. 2019", _cka),
    "cka_debiased": _of_matrix(
        "CKA (debiased)", "Song et al. 2012; Nguyen et al. 2021", _cka_debiased
    ),
    "cka_rbf": _of_matrix("CKA (Gaussian)", "Kornblith et al. 2019", _cka_rbf),
    "nbs": Metric(
        "normalised Bures similarity", "Tang et al. 2020", _unit_scores, _bures, _permute_rows
    ),
    "procrustes": Metric(
        "angular Procrustes",
        "Williams et al. 2021; Cloos et al. 2024",
        _unit_scores,
        _procrustes,
        _permute_rows,
    ),
    "soft_matching": Metric(
        "soft matching", "Khosla & Williams 2023", _unit_columns, _soft_matching, _permute_rows
    ),
    "mutual_knn": _of_matrix("mutual k-NN (k = 10)", "Huh et al. 2024", _mutual_knn),
    "ridge": Metric(
        "ridge regression (R²)",
        "Hoerl & Kennard 1970; leave-one-out as Allen 1974",
        _ridge_factors,
        _ridge,
        _permute_ridge,
        symmetric=False,
    ),
}
