"""Similarity of RDMs, also under a bootstrap of the stimuli.

Every measure but Kendall's tau-a is the cosine or inner product of transformed RDMs. Functions take
arrays of NumPy or torch, float32 or float64, and return the same kind on the same device.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device, to_device

from repbias.base.precision import floating
from repbias.base.spec import RepbiasError
from repbias.geometry.spec import RdmSimilarity

#: An array of NumPy or torch.
Array = Any
#: Most numbers (float64) in one array of a bootstrap: 128 MB.
MEMORY = 2**24
#: Measures that whiten RDMs (Diedrichsen et al. 2021).
WHITENED = ("corr_cov", "cosine_cov")
#: Measures that do not subtract the mean dissimilarity.
UNCENTRED = ("cosine", "cosine_cov")
#: Measures based on ranks.
RANKED = ("spearman", "rho-a", "tau-a")


def n_stimuli_of(vectors: Array) -> int:
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


def of_one_dtype(*arrays: Array) -> tuple[Array, ...]:
    """Convert arrays to float32 or float64, the same for all."""
    real = [floating(a) for a in arrays]
    xp = array_namespace(*real)
    dtype = xp.result_type(*real)
    return tuple(xp.astype(a, dtype, copy=False) for a in real)


def _negligible(x: Array) -> float:
    """Return the size of rounding errors relative to the numbers."""
    return max(1e-12, 8 * float(array_namespace(x).finfo(x.dtype).eps))


def rounding(vector: Array) -> float:
    """Return up to which difference two of these dissimilarities count as equal.

    Dissimilarities that are equal in exact arithmetic, as within and between the categories of a
    model, differ in their last digits once they are computed. Ranks must not order them. With so
    many float32 numbers that rounding errors reach the distance between neighbours, the bound is
    below that distance.
    """
    if not len(vector):
        return 0.0
    xp = array_namespace(vector)
    low, high = float(xp.min(vector)), float(xp.max(vector))
    error, extent = _negligible(vector) * max(abs(low), abs(high)), high - low
    return error if extent <= error else min(error, extent / (16 * len(vector)))


def _centred(x: Array) -> Array:
    """Subtract the mean of every row; twice, as in float32 the first mean is inexact."""
    xp = array_namespace(x)
    x = x - xp.mean(x, axis=1, keepdims=True)
    x -= xp.mean(x, axis=1, keepdims=True)
    return x


def present(a: Array, b: Array, rdm_similarity: RdmSimilarity) -> tuple[Array, Array, Array]:
    """Leave out the pairs of stimuli that are NaN in all RDMs, as rsatoolbox does.

    Parameters
    ----------
    a, b
        (rdm, pair) over the same stimuli.
    rdm_similarity
        Measures that whiten need all pairs.

    Returns
    -------
    tuple
        a and b, of the same floating dtype, and the indices of the pairs that remain, (pair,).

    Raises
    ------
    RepbiasError
        If the numbers of pairs differ, different pairs are missing, or any pair is missing and the
        measure whitens.
    """
    if a.shape[1] != b.shape[1]:
        raise RepbiasError(
            f"RDMs of {a.shape[1]} and {b.shape[1]} pairs of stimuli; expected the same stimuli"
        )
    a, b = of_one_dtype(a, b)
    xp = array_namespace(a)
    missing = [xp.isnan(x) for x in (a, b)]
    pairs = xp.arange(a.shape[1], device=device(a))
    if not any(bool(xp.any(m)) for m in missing):
        return a, b, pairs
    missing = xp.concat(missing)
    if bool(xp.any(missing != missing[:1])):
        raise RepbiasError(
            "RDMs with NaN: different pairs of stimuli are missing; expected the same in all RDMs"
        )
    if rdm_similarity in WHITENED:
        raise RepbiasError(
            f"RDMs with NaN: {int(xp.sum(missing[0]))} of {a.shape[1]} pairs of stimuli are "
            f"missing, and {rdm_similarity!r} needs all; expected finite numbers, or another RDM "
            "similarity"
        )
    pairs = xp.nonzero(~missing[0])[0]
    return xp.take(a, pairs, axis=1), xp.take(b, pairs, axis=1), pairs


def embedding(vectors: Array, rdm_similarity: RdmSimilarity) -> Array:
    """Map RDMs to vectors whose cosine is the similarity of the RDMs.

    Rank-based measures take ranks; all but the cosines subtract the mean. Whitening maps X to
    the double-centred H X H, H = I - 11'/n, packed with sqrt(2) times its off-diagonal elements:
    x' V^-1 y is proportional to <H X H, H Y H>, V being the covariance of dissimilarities under
    independent noise (Diedrichsen et al. 2021).

    Parameters
    ----------
    vectors
        (rdm, pair), finite.
    rdm_similarity
        Any but "tau-a", which is not a cosine.

    Returns
    -------
    array
        (rdm, pair); if whitened (rdm, pair + stimulus), the diagonal of H X H behind its upper
        triangle.
    """
    x = floating(vectors)
    xp = array_namespace(x)
    if rdm_similarity in ("spearman", "rho-a"):
        ranks = xp.empty(x.shape, dtype=x.dtype, device=device(x))
        for i, row in enumerate(x):
            ranks[i] = Ties.of(row).midranks()
        x = ranks
    if rdm_similarity not in UNCENTRED:
        x = _centred(x)
    if rdm_similarity not in WHITENED:
        return x
    n = n_stimuli_of(x)
    first, second = pairs_of(n, x)
    mean = xp.empty((len(x), n), dtype=x.dtype, device=device(x))
    for i, row in enumerate(x):
        mean[i] = xp.mean(_square(row, (first, second), n), axis=0)
    whole = xp.mean(mean, axis=1, keepdims=True)
    off = x - xp.take(mean, first, axis=1) - xp.take(mean, second, axis=1) + whole
    return xp.concat([off * 2**0.5, whole - 2 * mean], axis=1)


def pairs_of(n: int, like: Array) -> tuple[Array, Array]:
    """Return the first and second stimulus of every pair, in arrays of the same kind as `like`."""
    xp = array_namespace(like)
    return tuple(xp.asarray(i, device=device(like)) for i in np.triu_indices(n, 1))


def _square(vector: Array, pairs: tuple[Array, Array], n: int) -> Array:
    """Return the symmetric matrix (stimulus, stimulus) of an RDM (pair,)."""
    xp = array_namespace(vector)
    first, second = pairs
    square = xp.zeros((n, n), dtype=vector.dtype, device=device(vector))
    square[first, second] = vector
    square[second, first] = vector
    return square


def unit(vectors: Array, rdm_similarity: RdmSimilarity) -> Array:
    """Map RDMs to vectors whose inner product is the similarity of the RDMs.

    As :func:`embedding`, scaled to unit norm (rho-a: divided by the norm of ranks without ties); 0
    if an RDM is constant, as in rsatoolbox.
    """
    vectors = floating(vectors)
    xp = array_namespace(vectors)
    x = embedding(vectors, rdm_similarity)
    if rdm_similarity == "rho-a":
        m = x.shape[1]
        return x * (12 / (m**3 - m)) ** 0.5
    norm, size = (xp.sqrt(xp.vecdot(v, v))[:, None] for v in (x, vectors))
    return x * ratio(xp.ones_like(norm), xp.where(norm > _negligible(x) * size, norm, 0))


def similarities(a: Array, b: Array, rdm_similarity: RdmSimilarity) -> Array:
    """Compare every RDM of a with every RDM of b, as `rsatoolbox.rdm.compare`.

    Parameters
    ----------
    a, b
        (rdm, pair) over the same stimuli in the same order. Pairs that are NaN in all RDMs are
        left out.
    rdm_similarity
        As rsatoolbox calls it. "tau-a" is computed on the CPU.

    Returns
    -------
    array
        (rdm of a, rdm of b).

    Raises
    ------
    RepbiasError
        If different pairs are NaN, or any pair is and the measure whitens.
    """
    if rdm_similarity == "tau-a":
        return resampled_similarity(a, b, rdm_similarity, np.ones((1, n_stimuli_of(a)), int))[0]
    a, b, _ = present(a, b, rdm_similarity)
    return unit(a, rdm_similarity) @ unit(b, rdm_similarity).T


def resampled_similarity(
    models: Array, data: Array, rdm_similarity: RdmSimilarity, counts: Array
) -> Array:
    """Compare models and data under bootstrap samples of the stimuli.

    A pair (u, v) counts c_u c_v times; pairs of a stimulus with itself are excluded. This equals
    copying rows and columns of the RDMs, without making the copies.

    Parameters
    ----------
    models, data
        (model, pair) and (subject, pair). Pairs that are NaN in all RDMs are left out.
    rdm_similarity
        As rsatoolbox calls it. "tau-a" is computed on the CPU, one pair of RDMs after the other,
        which takes about a hundred times as long.
    counts
        (sample, stimulus), how often each stimulus was drawn.

    Returns
    -------
    array
        (sample, model, subject); 0 if an RDM is constant in a sample.

    Raises
    ------
    RepbiasError
        If different pairs are NaN, or any pair is and the measure whitens.
    """
    n = n_stimuli_of(models)
    models, data, remaining = present(models, data, rdm_similarity)
    xp = array_namespace(models)
    pairs = tuple(i[remaining] for i in pairs_of(n, models))
    counts = xp.asarray(counts, device=device(models))
    shape = (counts.shape[0], models.shape[0], data.shape[0])
    result = xp.empty(shape, dtype=models.dtype, device=device(models))
    if rdm_similarity in RANKED:
        compare = _resampled_tau if rdm_similarity == "tau-a" else _resampled_rho
        # Half of the memory for models, half for data.
        rows = columns = max(1, MEMORY // (2 * len(remaining)))
    else:
        compare, columns = _resampled_cosine, shape[2]
        rows = max(1, MEMORY // (shape[0] * shape[2]))
    for i in range(0, shape[1], rows):
        for j in range(0, shape[2], columns):
            x, y = models[i : i + rows], data[j : j + columns]
            block = compare(x, y, rdm_similarity, counts, pairs)
            result[:, i : i + rows, j : j + columns] = block
    return result


def _resampled_cosine(
    models: Array,
    data: Array,
    rdm_similarity: RdmSimilarity,
    counts: Array,
    pairs: tuple[Array, Array],
) -> Array:
    md, mm, dd = weighted_products(models, data, rdm_similarity, counts, pairs)
    md *= _inverse_root(mm)[:, :, None]
    md *= _inverse_root(dd)[:, None, :]
    return md


def _inverse_root(squares: Array) -> Array:
    """Return 1 / sqrt, and 0 of 0."""
    xp = array_namespace(squares)
    return ratio(xp.ones_like(squares), xp.sqrt(squares))


def weighted_products(
    x: Array, y: Array, rdm_similarity: RdmSimilarity, counts: Array, pairs: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    """Return the weighted inner products whose cosine is the measure.

    Plain: <x, y> = sum_{u<v} w_uv x_uv y_uv with w_uv = c_u c_v. Whitened, for a sample of n
    stimuli in which pairs are missing (those of a stimulus with its copies):
    <x, y> = sum_{u<v} w x y - sum_u c_u h_u(x) a_u(y), with h = X c, a = (h - t) / d,
    d_u = n + 2 - 2 c_u, t = (q'h) / (1 + sum q), q = c / d: the least-squares centring
    that rsatoolbox solves by inverting a matrix. The mean is subtracted by bilinearity.

    Parameters
    ----------
    x, y
        (rdm, pair), finite, of one dtype.
    rdm_similarity
        Any that is not based on ranks.
    counts
        (sample, stimulus).
    pairs
        First and second stimulus of every pair.

    Returns
    -------
    tuple
        <x, y> (sample, x, y), <x, x> (sample, x), <y, y> (sample, y).
    """
    xp = array_namespace(x)
    if rdm_similarity not in UNCENTRED:  # for precision
        x, y = _centred(x), _centred(y)
    c = xp.astype(counts, x.dtype)
    per_sample = max(len(x) * len(y) + 2 * (len(x) + len(y)), (len(x) + len(y)) * c.shape[1])
    size = max(1, MEMORY // per_sample)
    blocks = [
        _block_of_products(x, y, rdm_similarity, c[start : start + size], pairs)
        for start in range(0, len(c), size)
    ]
    return blocks[0] if len(blocks) == 1 else tuple(map(xp.concat, zip(*blocks, strict=True)))


def _block_of_products(
    x: Array, y: Array, rdm_similarity: RdmSimilarity, c: Array, pairs: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    """Return :func:`weighted_products` of some samples c (sample, stimulus)."""
    xp = array_namespace(x)
    xy, xx, yy, sx, sy, n = _weighted_sums(x, y, c, pairs)
    plain = xx, yy
    mx, my = ratio(sx, n[:, None]), ratio(sy, n[:, None])
    if rdm_similarity in WHITENED:
        h = xp.stack(list(_row_sums(xp.concat([x, y]), c, pairs)), axis=1)
        left, right = centring(h, c)
        k = len(x)
        xy -= left[:, :k] @ right[:, k:-1].mT
        squares = xp.vecdot(left, right)
        with_ones = (left[:, :-1] @ right[:, -1:].mT)[:, :, 0]
        xx, yy, n = xx - squares[:, :k], yy - squares[:, k:-1], n - squares[:, -1]
        sx, sy = sx - with_ones[:, :k], sy - with_ones[:, k:]
    if rdm_similarity not in UNCENTRED:
        n = n[:, None]
        xy -= mx[:, :, None] * sy[:, None]
        xy -= (sx - mx * n)[:, :, None] * my[:, None]
        xx = xx - 2 * mx * sx + mx**2 * n
        yy = yy - 2 * my * sy + my**2 * n
    xx, yy = (xp.where(v > _negligible(v) * p, v, 0) for v, p in zip((xx, yy), plain, strict=True))
    return xy, xx, yy


def _weighted_sums(x: Array, y: Array, c: Array, pairs: tuple[Array, Array]) -> tuple[Array, ...]:
    """Sum x y, x^2, y^2, x, y and 1 over pairs, weighted by w_uv = c_u c_v.

    In a single matrix product, by blocks of pairs.
    """
    xp = array_namespace(x)
    k, s = len(x), len(y)
    ends = np.cumsum([0, k * s, k, s, k, s])
    ct = c.T * 1  # contiguous in memory
    sums: Array = 0
    total: Array = 0
    size = max(1, MEMORY // 4 // (len(c) + int(ends[-1])))
    for start in range(0, x.shape[1], size):
        block = slice(start, start + size)
        w = xp.take(ct, pairs[0][block], axis=0)
        w *= xp.take(ct, pairs[1][block], axis=0)
        a, b = x[:, block], y[:, block]
        xy = xp.reshape(a[:, None] * b[None], (k * s, -1))
        sums = sums + w.T @ xp.concat([xy, a**2, b**2, a, b]).T
        total = total + xp.sum(w, axis=0)
    xy, *rest = (sums[:, i:j] for i, j in pairwise(ends))
    return xp.reshape(xy, (len(c), k, s)), *rest, total


def _row_sums(rdms: Array, c: Array, pairs: tuple[Array, Array]) -> Iterator[Array]:
    """Yield h_u = sum_v c_v x_uv (sample, stimulus) of every RDM, and of an RDM of ones."""
    for row in rdms:
        yield c @ _square(row, pairs, c.shape[1])
    yield array_namespace(c).sum(c, axis=1, keepdims=True) - c


def centring(h: Array, c: Array) -> tuple[Array, Array]:
    """Return vectors whose inner product is what whitening subtracts from that of two RDMs.

    This is sum_u c_u h_u(x) a_u(y), as in :func:`weighted_products`. With h' = h - k and A = q'h',
    it is sum_u q_u h'_u(x) h'_u(y) + k_x k_y - p (A_x - k_x) (A_y - k_y), p = 1 / (1 + sum q), for
    any k. With k that of the most frequent stimulus, this stimulus drops out of all sums but p,
    which stays finite if its d = 0 and its q is infinite.

    Parameters
    ----------
    h
        (sample, rdm, stimulus), X c.
    c
        (sample, stimulus), of the same dtype.

    Returns
    -------
    tuple
        Left and right, (sample, rdm, stimulus + 2).
    """
    xp = array_namespace(c)
    d = xp.sum(c, axis=1, keepdims=True) + 2 - 2 * c
    most_frequent = xp.argmax(c, axis=1)[:, None]
    others = xp.arange(c.shape[1], device=device(c))[None] != most_frequent
    q = xp.where(others, c / xp.where(others, d, 1), 0)
    d, c = (xp.take_along_axis(v, most_frequent, axis=1) for v in (d, c))
    p = d / (d * (1 + xp.sum(q, axis=1, keepdims=True)) + c)
    k = xp.take_along_axis(h, most_frequent[:, None], axis=2)
    h = h - k
    right = xp.concat([h, k, h @ q[:, :, None] - k], axis=2)
    weights = xp.concat([q, xp.ones_like(p), -p], axis=1)
    return right * weights[:, None], right


class Ties(NamedTuple):
    """Order and ties of an RDM's dissimilarities.

    Attributes
    ----------
    order : (pair,) ascending
    low : (pair,) number of smaller dissimilarities
    high : (pair,) number of smaller or equal dissimilarities; None if no two are equal
    """

    order: Array
    low: Array
    high: Array | None

    @classmethod
    def of(cls, vector: Array) -> Ties:
        """Sort an RDM (pair,); dissimilarities that differ by rounding errors only are equal."""
        xp = array_namespace(vector)
        order = xp.argsort(vector, stable=False)
        ascending = vector[order]
        position = xp.arange(len(order), device=device(order))
        new = ascending[1:] - ascending[:-1] > rounding(vector)
        low = xp.empty_like(order)
        if bool(xp.all(new)):
            low[order] = position
            return cls(order, low, None)
        starts = xp.concat([position[:1], xp.nonzero(new)[0] + 1])
        ends = xp.concat([starts[1:], position[-1:] + 1])
        group = xp.cumulative_sum(xp.astype(new, order.dtype), include_initial=True)
        high = xp.empty_like(order)
        low[order], high[order] = starts[group], ends[group]
        return cls(order, low, high)

    def midranks(self) -> Array:
        """Return ranks starting at 1, (pair,); ties share their mean rank."""
        high = self.low + 1 if self.high is None else self.high
        return (self.low + high + 1) / 2

    def on_cpu(self) -> Ties:
        """Return the same in NumPy."""
        high = None if self.high is None else on_cpu(self.high)
        return Ties(on_cpu(self.order), on_cpu(self.low), high)


class Ranking(NamedTuple):
    """Order and ties of several RDMs, as in :class:`Ties`, to rank them under weights.

    Attributes
    ----------
    order : (rdm, pair)
    low, high : (rdm, pair) positions in the concatenation of all RDMs' cumulative weights; high is
        None if no RDM has ties
    """

    order: Array
    low: Array
    high: Array | None

    @classmethod
    def of(cls, rdms: list[Ties]) -> Ranking:
        """Stack sorted RDMs."""
        first = rdms[0].order
        xp = array_namespace(first)
        start = xp.arange(len(rdms), device=device(first))[:, None] * (len(first) + 1)
        low = start + xp.stack([rdm.low for rdm in rdms])
        high = None
        if any(rdm.high is not None for rdm in rdms):
            ends = [rdm.low + 1 if rdm.high is None else rdm.high for rdm in rdms]
            high = start + xp.stack(ends)
        return cls(xp.stack([rdm.order for rdm in rdms]), low, high)

    def weighted(self, w: Array) -> tuple[Array, Array]:
        """Rank dissimilarities that occur w times each.

        Parameters
        ----------
        w
            (pair,) int32.

        Returns
        -------
        tuple
            Twice the ranks minus their mean, of the pairs with non-zero w, (rdm, pair); and the
            sum of their squares, (rdm,), which is (t^3 - sum_g t_g^3) / 3 for t numbers in groups
            of t_g equal ones.
        """
        xp, shape = array_namespace(w), self.order.shape
        ascending = xp.reshape(xp.take(w, xp.reshape(self.order, (-1,)), axis=0), shape)
        below = xp.cumulative_sum(ascending, axis=1, dtype=w.dtype, include_initial=True)
        total, below = below[0, -1], xp.reshape(below, (-1,))
        sampled = xp.nonzero(w)[0]
        w = w[sampled]

        def at(ends: Array) -> Array:
            ends = xp.take(ends, sampled, axis=1)
            return xp.reshape(xp.take(below, xp.reshape(ends, (-1,)), axis=0), ends.shape)

        low = at(self.low)
        equal = w[None] if self.high is None else at(self.high) - low
        low *= 2
        low += equal - total
        cubes = xp.astype(equal, xp.float64) ** 2 @ xp.astype(w, xp.float64)
        squares = xp.astype(total, xp.float64) ** 3 - xp.broadcast_to(cubes, shape[:1])
        return xp.astype(low, xp.float64), squares / 3


def _resampled_rho(
    models: Array,
    data: Array,
    rdm_similarity: RdmSimilarity,
    counts: Array,
    pairs: tuple[Array, Array],
) -> Array:
    """Return Spearman's rho or rho-a (sample, model, subject); every RDM is sorted once."""
    xp = array_namespace(models)
    ranking = Ranking.of([Ties.of(row) for row in (*models, *data)])
    k, shape = len(models), (len(counts), len(models), len(data))
    result = xp.empty(shape, dtype=xp.float64, device=device(models))
    for sample, c in enumerate(xp.astype(counts, xp.int32)):
        w = c[pairs[0]] * c[pairs[1]]
        ranks, squares = ranking.weighted(w)
        w = xp.astype(w[w > 0], xp.float64)
        products = ranks[:k] @ (ranks[k:] * w).T
        norms = xp.sqrt(squares[:k, None] * squares[None, k:])
        result[sample] = rho(products, norms, xp.sum(w), rdm_similarity)
    return result


def rho(products: Array, norms: Array, total: Array, rdm_similarity: RdmSimilarity) -> Array:
    """Return Spearman's rho or rho-a from products and norms of :meth:`Ranking.weighted`."""
    return ratio(products, (total**3 - total) / 3 if rdm_similarity == "rho-a" else norms)


def _resampled_tau(
    models: Array,
    data: Array,
    rdm_similarity: RdmSimilarity,
    counts: Array,
    pairs: tuple[Array, Array],
) -> Array:
    xp = array_namespace(models)
    first, second, c, a, b = (on_cpu(v) for v in (*pairs, counts, models, data))
    a, c = [Ties.of(row) for row in a], c.astype(np.int64)  # narrow counts would overflow
    result = np.empty((len(c), len(a), len(b)))
    for s, row in enumerate(b):
        y = Ties.of(row)
        joint = [joint_ties(x, y) for x in a]
        for sample, drawn in enumerate(c):
            result[sample, :, s] = tau_a(a, y, joint, drawn[first] * drawn[second])
    return xp.asarray(result, dtype=models.dtype, device=device(models))


def on_cpu(array: Array) -> np.ndarray:
    """Return an array as one of NumPy."""
    return np.asarray(to_device(array, "cpu"))


def joint_ties(x: Ties, y: Ties) -> np.ndarray | None:
    """Return a number for each distinct pair of values of two RDMs, (pair,).

    None if one of the RDMs has no ties.
    """
    if x.high is None or y.high is None:
        return None
    return np.unique(x.low * len(y.low) + y.low, return_inverse=True)[1]


def tau_a(
    a: list[Ties], y: Ties, joint: list[np.ndarray | None], weights: np.ndarray
) -> np.ndarray:
    """Return Kendall's tau-a of RDMs with an RDM, if every pair of stimuli occurs `weights` times.

    Concordant minus discordant pairs of dissimilarities, divided by all pairs; counted in integers.

    Parameters
    ----------
    a, y
        Sorted RDMs (NumPy).
    joint
        :func:`joint_ties` of each of a with y.
    weights
        (pair,) integers.

    Returns
    -------
    numpy.ndarray
        (rdm of a,).
    """
    # Not public, but the only compiled count of discordant pairs; rsatoolbox imports it too.
    from scipy.stats._stats import _kendall_dis

    copies = np.repeat(y.order, weights[y.order])
    n_pairs = len(copies) * (len(copies) - 1) // 2
    if n_pairs == 0:
        return np.zeros(len(a))
    ascending = y.low[copies]
    of_copies = _tied(None, weights)
    of_y = of_copies if y.high is None else _tied(y.low, weights)
    result = np.empty(len(a))
    for i, (x, both) in enumerate(zip(a, joint, strict=True)):
        of_x = of_copies if x.high is None else _tied(x.low, weights)
        of_both = of_copies if both is None else _tied(both, weights)
        discordant = _kendall_dis(ascending, x.low[copies] + 1)
        result[i] = n_pairs - of_x - of_y + of_both - 2 * discordant
    return result / n_pairs


def _tied(groups: np.ndarray | None, weights: np.ndarray) -> int:
    """Count pairs of equal numbers if each number occurs `weights` times."""
    n = weights if groups is None else np.bincount(groups, weights).astype(np.int64)
    return int((n * (n - 1)).sum()) // 2


def ratio(products: Array, norms: Array) -> Array:
    """Divide products by norms; 0 if a norm is 0, as rsatoolbox has it for constant RDMs."""
    xp = array_namespace(products)
    positive = norms > 0
    return xp.where(positive, products / xp.where(positive, norms, 1), 0)
