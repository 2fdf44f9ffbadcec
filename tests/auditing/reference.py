"""Shares of a similarity score, by the method of moments and explicit enumeration.

A model has the responses X = F A + U to n stimuli and a brain has Y = F B + V, where F are known
features of the stimuli and the rows (u_i, v_i) of the residuals are independent between stimuli,
with zero mean and the same covariance C = E[u_i v_i'] for all of them. With everything centred
over stimuli, M = H F A and N = H F B, the score is

    || M' N + (n - 1) C ||^2  =  sum over features of numerator_f  +  numerator_rest
    numerator_f = tr(P_f M M' N N') + (n - 1) c_f,                c_f = tr(P_f M C N')
    numerator_rest = (n - 1)^2 phi + (n - 1) sum of c_f,          phi = || C ||^2

with P_f the projection on feature f (Shapley). The expected value of every statistic
tr(P K_M Q K_B) of the two kernels is linear in phi, in the c_f and in the tr(P_f M M' N N'). Here
the coefficients are found by applying the statistics to every pair of stimuli and every direction
of the features, and the linear system is solved: slow and plain, to test fast code against.

Two versions differ in how they rid a kernel of the variance that residuals of a stimulus share
with themselves:

* off-diagonal: a variance is fitted for every stimulus. What is left does not depend on u_i'u_i
  at all, so variances, third and fourth moments may be anything and may differ between stimuli.
* adjusted: one variance is fitted for all stimuli. Needs equal residual variances, the fourth
  moment of Gaussian residuals, and third moments of zero.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, permutations

import numpy as np

Blocks = dict[str, np.ndarray]
Clean = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: Singular values below this fraction of the largest are zero.
TOLERANCE = 1e-9


def centring(n: int) -> np.ndarray:
    """Return I - 11'/n."""
    return np.eye(n) - 1 / n


def projection(regressors: np.ndarray) -> np.ndarray:
    """Return the projection on the centred columns of (stimulus, regressor)."""
    n = len(regressors)
    if regressors.shape[1] == 0:
        return np.zeros((n, n))
    centred = regressors - regressors.mean(0)
    norms = np.linalg.norm(centred, axis=0)
    kept = norms > TOLERANCE * np.linalg.norm(regressors, axis=0)
    if not kept.any():
        return np.zeros((n, n))
    scaled = centred[:, kept] / norms[kept]
    return scaled @ np.linalg.pinv(scaled, rcond=TOLERANCE)


def shapley_projections(blocks: Blocks) -> Blocks:
    """Divide the projection on all features into one part per feature.

    Parameters
    ----------
    blocks
        Regressors of every feature, of shape (stimulus, regressor).

    Returns
    -------
    dict
        For every feature a symmetric matrix of shape (stimulus, stimulus): what the feature adds
        to the projection on those before it, averaged over all orders of the features. They sum
        to the projection on all features, and are projections themselves where features are
        orthogonal.
    """
    orders = list(permutations(blocks))
    parts = {name: np.zeros((len(block), len(block))) for name, block in blocks.items()}
    for order in orders:
        before = 0
        for position, name in enumerate(order):
            after = projection(np.hstack([blocks[other] for other in order[: position + 1]]))
            parts[name] += (after - before) / len(orders)
            before = after
    return parts


def without_own_variances(kernel: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Subtract from a kernel the residual variance of every stimulus.

    The variances are those that fit the residual kernel best (least squares): all matrix elements
    of rest K rest are regressed on the n matrices rest e_i e_i' rest.

    Parameters
    ----------
    kernel
        Centred kernels of shape (..., stimulus, stimulus).
    rest
        Projection on what is orthogonal to all features, of shape (stimulus, stimulus).
    """
    n = len(rest)
    h = centring(n)
    design = np.einsum("ai,bi->abi", rest, rest).reshape(n * n, n)
    if np.linalg.matrix_rank(design, tol=TOLERANCE) < n:
        raise ValueError("a stimulus has no residual variance of its own")
    residual = (rest @ kernel @ rest).reshape(-1, n * n)
    variances = np.linalg.lstsq(design, residual.T)[0].T.reshape(*kernel.shape[:-2], n)
    return kernel - h @ (variances[..., None] * h)


def without_one_variance(kernel: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Subtract from a kernel one residual variance, the same for all stimuli.

    Parameters
    ----------
    kernel
        Centred kernels of shape (..., stimulus, stimulus).
    rest
        Projection on what is orthogonal to all features, of shape (stimulus, stimulus).
    """
    variance = np.trace(rest @ kernel, axis1=-2, axis2=-1) / np.trace(rest)
    return kernel - variance[..., None, None] * centring(len(rest))


def statistics(parts: Blocks, clean: Clean, model: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Return tr(P K_M Q K_B) of cleaned kernels for 2 F + 1 pairs (P, Q), F the features.

    Parameters
    ----------
    parts
        Parts of the projection on the features, as of `shapley_projections`.
    clean
        `without_own_variances` or `without_one_variance`.
    model, brain
        Kernels of shape (..., stimulus, stimulus).

    Returns
    -------
    array of shape (statistic, ...)
        (rest, rest), then (rest, feature), then (feature, all) for every feature.
    """
    h = centring(model.shape[-1])
    rest = h - sum(parts.values())
    pairs = [(rest, rest), *((rest, part) for part in parts.values())]
    pairs += [(part, h) for part in parts.values()]
    model, brain = clean(h @ model @ h, rest), clean(h @ brain @ h, rest)
    return np.array([np.trace(p @ model @ q @ brain, axis1=-2, axis2=-1) for p, q in pairs])


def coefficients(parts: Blocks, clean: Clean, n: int) -> np.ndarray:
    """Return what every statistic is expected to be per unit of every unknown.

    Parameters
    ----------
    parts, clean
        As for `statistics`.
    n
        Number of stimuli.

    Returns
    -------
    array of shape (statistic, unknown)
        The unknowns are phi, then c_f, then tr(P_f M M' N N') for every feature.
    """

    def summed(model: list[np.ndarray], brain: list[np.ndarray]) -> np.ndarray:
        return statistics(parts, clean, np.array(model), np.array(brain)).sum(1)

    eye, f = np.eye(n), len(parts)
    # u_i'u_j and v_i'v_j of two stimuli have covariance phi, and so does every pair of them.
    pairs = [symmetric(eye[i], eye[j]) for i, j in combinations(range(n), 2)]
    of_phi = summed(pairs, pairs)
    # u_i'u_i and v_i'v_i have covariance 2 phi if Gaussian; a variance per stimulus removes them.
    alone = [np.outer(e, e) for e in eye]
    of_phi += 2 * summed(alone, alone)

    # The features' directions q_a: M u_i = sum_a q_a x_a and N v_i = sum_b q_b y_b have the cross
    # moments E[x y'] = Q' M C N' Q. A statistic weights them with a matrix, which must be a sum of
    # the projections of the features, because only these were given unknowns.
    values, vectors = np.linalg.eigh(sum(parts.values(), np.zeros((n, n))))
    directions = vectors[:, values > 0.5].T
    cross = [[symmetric(q, e) for e in eye] for q in directions]
    elements = len(directions) ** 2
    weights = np.array([[summed(a, b) for b in cross] for a in cross])
    weights = weights.reshape(elements, 2 * f + 1)
    basis = np.array([directions @ part @ directions.T for part in parts.values()])
    basis = basis.reshape(f, elements).T
    of_cross = np.linalg.lstsq(basis, weights)[0].T
    np.testing.assert_allclose(basis @ of_cross.T, weights, atol=1e-8 * n)

    # Kernels of the features alone have no residual: the last statistics are the unknowns.
    of_features = np.vstack([np.zeros((f + 1, f)), np.eye(f)])
    return np.column_stack([of_phi, of_cross, of_features])


def symmetric(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a b' + b a'."""
    return np.outer(a, b) + np.outer(b, a)


def numerators(
    blocks: Blocks,
    kernel_model: np.ndarray,
    kernel_brain: np.ndarray,
    clean: Clean = without_own_variances,
) -> dict[str, np.ndarray]:
    """Estimate what every feature, and the rest, contribute to a score.

    Parameters
    ----------
    blocks
        Regressors of every feature, of shape (stimulus, regressor).
    kernel_model, kernel_brain
        Kernels of shape (..., stimulus, stimulus), centred or not. That of a brain may be the mean
        product of different repeats.
    clean
        Which version: `without_own_variances` (off-diagonal) or `without_one_variance` (adjusted).

    Returns
    -------
    dict
        Numerators of the features and of "rest", of the shape of the kernels' leading dimensions.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the stimuli are too few to tell the unknowns apart.
    """
    n, f = kernel_model.shape[-1], len(blocks)
    parts = shapley_projections(blocks)
    system = coefficients(parts, clean, n)
    if abs(system[0, 0]) < 1e-8:
        raise np.linalg.LinAlgError("too few stimuli for so many regressors")
    found = statistics(parts, clean, kernel_model, kernel_brain)
    solution = np.linalg.lstsq(system, found.reshape(2 * f + 1, -1))[0].reshape(found.shape)
    phi, cross, design = solution[0], solution[1 : f + 1], solution[f + 1 :]
    of_features = dict(zip(blocks, design + (n - 1) * cross, strict=True))
    return of_features | {"rest": (n - 1) ** 2 * phi + (n - 1) * cross.sum(0)}


def shares(blocks: Blocks, kernel_model: np.ndarray, kernel_brain: np.ndarray) -> dict[str, float]:
    """Estimate the shares of a score (off-diagonal: any residual variances).

    Parameters
    ----------
    blocks
        Regressors of every feature, of shape (stimulus, regressor).
    kernel_model, kernel_brain
        Kernels of shape (stimulus, stimulus).

    Returns
    -------
    dict
        Shares of the features and of "rest", which sum to 1, and "total", the sum of numerators.
    """
    return divided(numerators(blocks, kernel_model, kernel_brain))


def adjusted_shares(
    blocks: Blocks, kernel_model: np.ndarray, kernel_brain: np.ndarray
) -> dict[str, float]:
    """Estimate the shares of a score, if residuals are Gaussian and vary equally (adjusted).

    Parameters and what is returned are those of `shares`.
    """
    return divided(numerators(blocks, kernel_model, kernel_brain, without_one_variance))


def target(blocks: Blocks, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> dict[str, float]:
    """Return the true shares of a score.

    Parameters
    ----------
    blocks
        Regressors of every feature, of shape (stimulus, regressor).
    a, b
        Weights of the regressors in the model and in the brain, of shape (regressor, unit), the
        regressors in the order of `blocks`.
    c
        Covariance of the residuals of the two, of shape (unit of the model, unit of the brain).

    Returns
    -------
    dict
        As of `shares`.
    """
    features = np.hstack(list(blocks.values()))
    model, brain = (centring(len(features)) @ features @ weights for weights in (a, b))
    rest = len(features) - 1
    cross = {
        name: np.trace(part @ model @ c @ brain.T)
        for name, part in shapley_projections(blocks).items()
    }
    found = {
        name: np.trace(part @ model @ model.T @ brain @ brain.T) + rest * cross[name]
        for name, part in shapley_projections(blocks).items()
    }
    return divided(found | {"rest": rest**2 * np.sum(c**2) + rest * sum(cross.values())})


def divided(found: dict[str, float]) -> dict[str, float]:
    """Divide numerators by their sum, and add it as "total"."""
    total = sum(found.values())
    return {name: float(value / total) for name, value in found.items()} | {"total": float(total)}
