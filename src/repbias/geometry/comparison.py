"""Similarity of RDMs: every measure as an inner product, also under a bootstrap of the stimuli."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rsatoolbox.rdm import RDMs, compare
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from repbias.geometry.spec import Comparator
from repbias.spec import RepbiasError

#: Numbers (float64) that one array of a bootstrap holds at most: 128 MB.
MEMORY = 2**24
#: Comparators of whitened RDMs (Diedrichsen et al. 2021).
WHITENED = ("corr_cov", "cosine_cov")
#: Comparators that do not subtract the mean dissimilarity.
UNCENTRED = ("cosine", "cosine_cov")
#: From this number of stimuli on rsatoolbox 0.3.2 cannot whiten.
MAX_WHITENED = 100


def n_stimuli_of(vectors: np.ndarray) -> int:
    """Return the number of stimuli of upper triangles (..., pair)."""
    return round((1 + np.sqrt(1 + 8 * vectors.shape[-1])) / 2)


def refuse_not_finite(vectors: np.ndarray, what: str) -> None:
    """Refuse RDMs (rdm, pair) with values that are not finite."""
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise RepbiasError(
            f"RDMs of {what}: {len(bad)} of {len(vectors)} have dissimilarities that are not "
            f"finite (the first is number {bad[0]}); expected finite numbers"
        )


def embedding(vectors: np.ndarray, comparator: Comparator) -> np.ndarray:
    """Map RDMs to vectors whose cosine is the comparator's similarity.

    Ranks for "spearman", minus the mean unless the comparator is a cosine. Whitening maps X to
    the double-centred H X H, H = I - 11'/n, packed with sqrt(2) times its off-diagonal elements:
    x' V^-1 y is proportional to <H X H, H Y H>, V being the covariance of dissimilarities under
    independent noise (Diedrichsen et al. 2021).

    Parameters
    ----------
    vectors
        (rdm, pair).
    comparator
        Not "tau-a", which is no cosine.

    Returns
    -------
    numpy.ndarray
        (rdm, pair); whitened (rdm, n (n + 1) / 2), the upper triangle with its diagonal.
    """
    x = np.asarray(vectors, dtype=np.float64)
    if comparator in ("spearman", "rho-a"):
        x = rankdata(x, axis=1)
    if comparator not in UNCENTRED:
        x = x - x.mean(axis=1, keepdims=True)
    if comparator not in WHITENED:
        return x
    n = n_stimuli_of(x)
    first, second = np.triu_indices(n)
    factor = np.where(first == second, 1, np.sqrt(2))
    packed = np.empty((len(x), len(first)))
    for row, vector in zip(packed, x, strict=True):
        square = squareform(vector)
        mean = square.mean(axis=0)
        row[:] = (square - mean - mean[:, None] + mean.mean())[first, second] * factor
    return packed


def unit(vectors: np.ndarray, comparator: Comparator) -> np.ndarray:
    """Map RDMs to vectors whose inner product is the comparator's similarity.

    As :func:`embedding`, of unit norm (rho-a: divided by the norm of ranks without ties); 0 where
    an RDM is constant, as in rsatoolbox.
    """
    x = embedding(vectors, comparator)
    if comparator == "rho-a":
        m = x.shape[1]
        return x * np.sqrt(12 / (m**3 - m))
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    there = norm > 1e-12 * np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=there)


def similarities(a: np.ndarray, b: np.ndarray, comparator: Comparator) -> np.ndarray:
    """Compare every RDM of a with every one of b by rsatoolbox.

    Whitened comparators are computed here from 100 stimuli on, where rsatoolbox fails.

    Parameters
    ----------
    a, b
        (rdm, pair) over the same stimuli in the same order.
    comparator
        As rsatoolbox calls it.

    Returns
    -------
    numpy.ndarray
        (rdm of a, rdm of b).
    """
    n = n_stimuli_of(a)
    if comparator in WHITENED and n >= MAX_WHITENED:
        return unit(a, comparator) @ unit(b, comparator).T
    return compare(RDMs(a), RDMs(b), comparator)


def resampled_similarity(
    models: np.ndarray, data: np.ndarray, comparator: Comparator, counts: np.ndarray
) -> np.ndarray:
    """Compare models and data under bootstrap samples of the stimuli.

    A pair (u, v) counts c_u c_v times; pairs of a stimulus with itself do not exist. This equals
    copying rows and columns of the RDMs, without the copies. Only "tau-a" is computed by
    rsatoolbox from copies, which takes some hundred times longer.

    Parameters
    ----------
    models, data
        (model, pair) and (subject, pair).
    comparator
        As rsatoolbox calls it.
    counts
        (sample, stimulus), how often each stimulus was drawn.

    Returns
    -------
    numpy.ndarray
        (sample, model, subject).
    """
    result = np.empty((len(counts), len(models), len(data)))
    if comparator == "tau-a":
        for sample, c in enumerate(counts):
            result[sample] = compare(copies_of(models, c), copies_of(data, c), comparator)
        return result
    if comparator in ("spearman", "rho-a"):
        # Sorted once; resampling changes the weights of the values, not their order.
        sorted_m, sorted_d = _sorted_groups(models), _sorted_groups(data)
        for sample, w in enumerate(_pair_weights(counts)):
            result[sample] = _rank_similarity(sorted_m, sorted_d, comparator, w)
        return result
    size = max(1, MEMORY // models.shape[1])
    for start in range(0, len(models), size):
        rows = slice(start, start + size)
        for block, md, mm, dd in weighted_products(models[rows], data, comparator, counts):
            norms = np.sqrt(mm[:, :, None] * dd[:, None, :])
            result[block, rows] = ratio(md, norms)
    return result


def copies_of(vectors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Copy rows and columns of RDMs; pairs of a stimulus with its copy are left out."""
    copies = np.repeat(np.arange(len(counts)), counts)
    first, second = (copies[i] for i in np.triu_indices(len(copies), 1))
    there = first != second
    low, high = first[there], second[there]  # copies ascend
    n = len(counts)
    return vectors[:, n * low - low * (low + 1) // 2 + high - low - 1]


def _pair_weights(counts: np.ndarray) -> Iterator[np.ndarray]:
    first, second = np.triu_indices(counts.shape[1], 1)
    for c in counts.astype(np.float64):
        yield c[first] * c[second]


def weighted_products(
    x: np.ndarray, y: np.ndarray, comparator: Comparator, counts: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
    """Inner products under weights, of which the comparator is the cosine.

    Plain: <x, y> = sum_{u<v} w_uv x_uv y_uv with w_uv = c_u c_v. Whitened, for the n stimuli of a
    sample with missing pairs (those of a stimulus with its copies):
    <x, y> = sum_{u<v} w x y - sum_u c_u h_u(x) a_u(y), with h = X c, a = (h - t) / d,
    d_u = n + 2 - 2 c_u, t = (q'h) / (1 + sum q), q = c / d: the least-squares centring
    that rsatoolbox solves by inverting a matrix. The mean is subtracted by bilinearity.

    Yields
    ------
    tuple
        Which samples, and <x, y> (sample, x, y), <x, x> (sample, x), <y, y> (sample, y).
    """
    n = counts.shape[1]
    first, second = np.triu_indices(n, 1)
    centre, whiten = comparator not in UNCENTRED, comparator in WHITENED
    if centre:  # for precision
        x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    x2, y2 = (x**2).T, (y**2).T
    squares = [np.stack([squareform(row) for row in v]) for v in (x, y)] if whiten else []
    size = max(1, MEMORY // max(len(first), (len(x) + len(y)) * n))
    for start in range(0, len(counts), size):
        block = slice(start, start + size)
        c = counts[block].astype(np.float64)
        w = c[:, first] * c[:, second]
        xy = np.stack([(w * row) @ x.T for row in y], axis=2)
        plain = w @ x2, w @ y2
        xx, yy = plain
        one = w.sum(axis=1)
        sums = w @ x.T, w @ y.T
        means = [s / one[:, None] for s in sums]
        if whiten:
            hx, hy = (np.tensordot(c, s, axes=(1, 2)) for s in squares)  # (sample, rdm, stimulus)
            h1 = (c.sum(axis=1, keepdims=True) - c)[:, None]
            ax, ay, a1 = (c[:, None] * _centring(h, c) for h in (hx, hy, h1))
            xy = xy - hx @ ay.transpose(0, 2, 1)
            xx, yy = xx - (hx * ax).sum(axis=2), yy - (hy * ay).sum(axis=2)
            sums = [
                s - (h @ a1.transpose(0, 2, 1))[:, :, 0]
                for s, h in zip(sums, (hx, hy), strict=True)
            ]
            one = one - (h1 * a1).sum(axis=(1, 2))
        if centre:
            (mx, my), (sx, sy) = means, sums
            xy = xy - mx[:, :, None] * sy[:, None] - sx[:, :, None] * my[:, None]
            xy = xy + mx[:, :, None] * my[:, None] * one[:, None, None]
            xx = xx - 2 * mx * sx + mx**2 * one[:, None]
            yy = yy - 2 * my * sy + my**2 * one[:, None]
        xx, yy = (np.where(v > 1e-12 * p, v, 0) for v, p in zip((xx, yy), plain, strict=True))
        yield block, xy, xx, yy


def _centring(h: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Solve d_u a_u + sum_v c_v a_v = h_u for a (sample, rdm, stimulus)."""
    c = c[:, None]
    d = c.sum(axis=2, keepdims=True) + 2 - 2 * c
    # At most one stimulus is that frequent; its equation gives t at once.
    zero = d == 0
    d = np.where(zero, 1, d)
    q = np.where(zero, 0, c / d)
    t = (h * q).sum(axis=2, keepdims=True) / (1 + q.sum(axis=2, keepdims=True))
    t = np.where(zero.any(axis=2, keepdims=True), (h * zero).sum(axis=2, keepdims=True), t)
    a = np.where(zero, 0, (h - t) / d)
    left = (t - (c * a).sum(axis=2, keepdims=True)) / np.where(zero, c, 1)
    return np.where(zero, left, a)


def _rank_similarity(
    models: list[tuple], data: list[tuple], comparator: Comparator, weights: np.ndarray
) -> np.ndarray:
    ranks_m = np.stack([_group_midranks(*groups, weights) for groups in models])
    ranks_d = np.stack([_group_midranks(*groups, weights) for groups in data])
    total = weights.sum()
    ranks_m -= (ranks_m @ weights / total)[:, None]
    ranks_d -= (ranks_d @ weights / total)[:, None]
    products = (ranks_m * weights) @ ranks_d.T
    if comparator == "rho-a":
        return 12 * products / (total**3 - total)
    squares_m, squares_d = (ranks_m**2) @ weights, (ranks_d**2) @ weights
    return ratio(products, np.sqrt(np.outer(squares_m, squares_d)))


def ratio(products: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Similarity; 0 where an RDM is constant, as in rsatoolbox."""
    return np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)


def weighted_midranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rank values that occur `weights` times each; ties share the mean of their ranks."""
    return _group_midranks(*_sorted_groups(values[None])[0], weights)


def _sorted_groups(vectors: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Return, for every row, which of its ascending different values each is, and how many."""
    groups = [np.unique(row, return_inverse=True) for row in vectors]
    return [(inverse, len(values)) for values, inverse in groups]


def _group_midranks(group: np.ndarray, n_groups: int, weights: np.ndarray) -> np.ndarray:
    in_group = np.bincount(group, weights, minlength=n_groups)
    below = np.cumsum(in_group) - in_group
    return (below + (in_group + 1) / 2)[group]
