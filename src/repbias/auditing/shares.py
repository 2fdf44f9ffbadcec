"""The shares of a similarity score that features of the stimuli have: the estimator.

Kernels are (stimulus, stimulus) matrices of inner products of patterns. A score is the cosine of a
model's and a brain's kernel after centring; what is divided is its numerator. Let the patterns of
stimulus i be X = F A + U and Y = F B + V, with regressors F, and U and V what they do not explain,
different stimuli being independent; M = H F A and E = H F B are centred, and
C = E[u v'] is the covariance of what the two have in common beyond the features. Then

    || E[X' H Y] ||^2 = || M' E ||^2 + 2 (n - 1) sum_f c_f + (n - 1)^2 || C ||^2,
    c_f = tr(Pi_f M C E'),

with Pi_f of :class:`repbias.auditing.design.Design`. A feature's part is tr(Pi_f M M' E E') +
(n - 1) c_f, the rest's the remainder: the term of feature and rest is split equally. Dividing the
observed tr(Pi_f K_M K_B) instead counts as similarity what n stimuli have in common by chance.

The estimator uses different stimuli only: u_i . u_j with i != j. It stays unbiased where the
variance of what is not explained differs between stimuli, and whatever the diagonal of a kernel is.
With R = H - P, W the inverse of R o R, w(K) = W diag(R K R) and K^ = K - H diag(w) H, the matrix
R K^ R has diagonal 0, and

    phi = tr(R K^_M R K^_B) / (d_r (d_r + 1) - 2 n)                       estimates || C ||^2
    c_f = [tr(R K^_M Pi_f K^_B) - (d_f d_r + 2 s(R, Pi_f)) phi] / d_r
    N_f = tr(Pi_f K^_M K^_B) - 2 c_f - d_f c - (n d_f + 2 s(H, Pi_f)) phi

where s(A, B) sums W o A o B, d_f = tr Pi_f, d_r = tr R, c = sum_f c_f. Without features this is the
numerator of debiased CKA (Song et al. 2012, eq. 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repbias.auditing.design import Design

#: The name of what no feature explains.
REST = "rest"


def centred(kernel: np.ndarray) -> np.ndarray:
    """Return H K H of a kernel."""
    mean = kernel.mean(axis=0)
    return kernel - mean - mean[:, None] + mean.mean()


def kernel_of(vectors: np.ndarray) -> np.ndarray:
    """Return the centred kernel -H D H / 2 of squared distances (pair,), or 1 - r.

    One minus a correlation is half the squared distance of patterns that were centred and scaled to
    unit norm; a factor does not matter here.
    """
    from scipy.spatial.distance import squareform

    return centred(-0.5 * squareform(vectors, checks=False))


@dataclass(frozen=True, eq=False)
class Freed:
    """A centred kernel K^ whose part that no feature explains has diagonal 0.

    Attributes
    ----------
    kernel : (stimulus, stimulus), K^
    rows : (dimension, stimulus), Q' K^ with the basis Q of the design
    inner : (dimension, dimension), Q' K^ Q
    """

    kernel: np.ndarray
    rows: np.ndarray
    inner: np.ndarray

    @classmethod
    def of(cls, kernel: np.ndarray, design: Design) -> Freed:
        """Free a kernel (stimulus, stimulus) of what stimuli have in common with themselves."""
        q = design.basis
        k = centred(kernel)
        qk = q.T @ k
        residual = k.diagonal() - 2 * np.einsum("iq,qi->i", q, qk)
        residual = residual + np.einsum("iq,qi->i", q, (qk @ q) @ q.T)
        w = design.inverse_squares @ residual
        n = len(w)
        k += (w + w[:, None]) / n - w.sum() / n**2
        k[np.diag_indices(n)] -= w
        # H diag(w) H, within the basis
        qk -= q.T * w - (q.T @ w)[:, None] / n
        return cls(k, qk, qk @ q)

    def without_features(self, design: Design) -> np.ndarray:
        """Return R K^ R, (stimulus, stimulus), with diagonal 0."""
        q = design.basis
        product = q @ self.rows
        return self.kernel - product - product.T + q @ self.inner @ q.T


def score_parts(a: Freed, b: Freed, design: Design) -> np.ndarray:
    """Return the parts N_f and the rest of the score of two kernels, (feature and rest,)."""
    n, own = design.n_stimuli, design.dimensions
    phi, with_rest = _unexplained(a, b, design)
    explained = np.einsum("fij,jk,ik->f", design.parts, a.rows, b.rows, optimize=True)
    second = own * n + 2 * design.overlaps["all"]
    crossed = with_rest.sum()
    features = explained - 2 * with_rest - own * crossed - second * phi
    return np.append(features, (n - 1) ** 2 * phi + (n - 1) * crossed)


def block_parts(a: Freed, b: Freed, design: Design) -> np.ndarray:
    """Return the squared covariance within every feature, (feature and rest,).

    That of representations that have only feature f left, || M' Pi_f E ||^2, and of one that has
    only the rest, (n - 1)^2 || C ||^2. Unbiased, like :func:`score_parts`:

        tr(Pi_f K^_M Pi_f K^_B) - 2 (d_f + 1) c_f - (d_f (d_f + 1) + 2 s(Pi_f, Pi_f)) phi

    where Pi_f is a projection: in a design of orthogonal features (:meth:`Design.orthogonal`).
    """
    n, own = design.n_stimuli, design.dimensions
    phi, with_rest = _unexplained(a, b, design)
    within = np.einsum(
        "fij,jk,fkl,li->f", design.parts, a.inner, design.parts, b.inner, optimize=True
    )
    second = own * (own + 1) + 2 * design.overlaps["own"]
    return np.append(within - 2 * (own + 1) * with_rest - second * phi, (n - 1) ** 2 * phi)


def rest_part(a: Freed, b: Freed, design: Design) -> float:
    """Return the rest of two kernels without terms of features, (n - 1)^2 phi."""
    return float((design.n_stimuli - 1) ** 2 * _unexplained(a, b, design)[0])


def _unexplained(a: Freed, b: Freed, design: Design) -> tuple[float, np.ndarray]:
    """Return phi, and c_f (feature,)."""
    n, rest = design.n_stimuli, design.n_rest
    phi = np.vdot(a.kernel, b.kernel) - 2 * np.vdot(a.rows, b.rows) + np.vdot(a.inner, b.inner)
    phi /= rest * (rest + 1) - 2 * n
    # tr(R K^_M Pi_f K^_B), the same as tr(Pi_f K^_M R K^_B)
    products = a.rows @ b.rows.T - a.inner @ b.inner
    crossed = np.einsum("fij,ji->f", design.parts, products)
    second = design.dimensions * rest + 2 * design.overlaps["rest"]
    return float(phi), (crossed - second * phi) / rest


def weights(kernel: np.ndarray, design: Design) -> np.ndarray:
    """Return what a kernel is multiplied with to give the parts of its score with this one.

    Part f of :func:`score_parts` is the sum of A_f o K_B, K_B being the other side's kernel, which
    needs to be neither centred nor freed of its diagonal: :func:`parts`. The error of a part
    follows from A_f.

    Parameters
    ----------
    kernel
        (stimulus, stimulus), of the model.
    design
        The features.

    Returns
    -------
    numpy.ndarray
        (feature and rest, stimulus, stimulus).
    """
    q, n, rest = design.basis, design.n_stimuli, design.n_rest
    own, overlaps = design.dimensions, design.overlaps
    freed = Freed.of(kernel, design)
    phi = freed.without_features(design) / (rest * (rest + 1) - 2 * n)
    result = np.empty((len(design.names) + 1, n, n))
    crossed = np.zeros((n, n))
    for f, part in enumerate(design.parts):
        explained = part @ freed.rows
        with_rest = _symmetric(q @ (explained - (explained @ q) @ q.T))
        with_rest -= (own[f] * rest + 2 * overlaps["rest"][f]) * phi
        with_rest /= rest
        result[f] = _symmetric(q @ explained) - 2 * with_rest
        result[f] -= (own[f] * n + 2 * overlaps["all"][f]) * phi
        crossed += with_rest
    result[:-1] -= own[:, None, None] * crossed
    result[-1] = (n - 1) ** 2 * phi + (n - 1) * crossed
    for matrix in result:
        _free_of_diagonals(matrix, design)
    return result


def parts(weights: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """Return the parts of scores, (..., feature and rest).

    Parameters
    ----------
    weights
        (feature and rest, stimulus, stimulus), of one side: :func:`weights`.
    kernels
        (..., stimulus, stimulus), of the other.
    """
    flat = kernels.reshape(*kernels.shape[:-2], -1)
    return flat @ weights.reshape(len(weights), -1).T


def adjusted_parts(model: np.ndarray, brain: np.ndarray, design: Design) -> np.ndarray:
    """Return the parts of a score where the unexplained variance is the same for all stimuli.

    With A~ = A - H tr(R A) / d_r on both sides, T = A~ B~, r = tr(R T) / d_r and
    F = [tr(R A R B) - tr(R A) tr(R B) / d_r] / [(d_r - 1) (d_r + 2)], the rest is
    (n - 1) [r - (d_r - 2) F / d_r] and a feature

        tr(Pi_f T) - d_f r - 2 tr(R A Pi_f B) / d_r + 2 d_f F (d_r - 2) / d_r.

    Where it differs from :func:`parts`, the variance is not the same: a diagnostic.

    Returns
    -------
    numpy.ndarray
        (feature and rest,).
    """
    q, n, d = design.basis, design.n_stimuli, design.n_rest
    a, b = centred(model), centred(brain)
    of_rest = [np.trace(k) - np.einsum("iq,iq->", k @ q, q) for k in (a, b)]
    qa, qb = q.T @ a, q.T @ b
    product = q @ qa
    both = a - product - product.T + q @ (qa @ q) @ q.T
    f = ((both * b).sum() - of_rest[0] * of_rest[1] / d) / ((d - 1) * (d + 2))
    va, vb = (r / d for r in of_rest)
    # tr(Pi_f A~ B~) with A~ = A - va H, and tr(R A Pi_f B), within the span of the features.
    inner = qa @ qb.T - va * (qb @ q) - vb * (qa @ q) + va * vb * np.eye(q.shape[1])
    crossed = qb @ qa.T - qb @ q @ (q.T @ qa.T)
    everything = (a * b).sum() - va * np.trace(b) - vb * np.trace(a) + va * vb * (n - 1)
    r = (everything - np.trace(inner)) / d
    of_features = np.einsum("fij,ji->f", design.parts, inner - 2 * _symmetric(crossed) / d)
    of_features += design.dimensions * (2 * f * (d - 2) / d - r)
    return np.append(of_features, (n - 1) * (r - (d - 2) * f / d))


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2


def _free_of_diagonals(matrix: np.ndarray, design: Design) -> None:
    """Make a matrix blind to diagonals of kernels, in place: A - R diag(W diag(A)) R."""
    n = design.n_stimuli
    v = design.inverse_squares @ matrix.diagonal()
    q = np.hstack([np.full((n, 1), n**-0.5), design.basis])
    qv = q * v[:, None]
    product = qv @ q.T
    matrix += product + product.T - q @ (q.T @ qv) @ q.T
    matrix[np.diag_indices(n)] -= v
