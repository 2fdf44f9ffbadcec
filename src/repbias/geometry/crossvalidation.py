"""Cross-validated comparison of fixed and fitted models with RDMs under bootstrap resamples.

Fit and evaluation need inner products of RDMs over the pairs of a fold only. A pair (u, v) of a
resample in which u was drawn c_u times counts c_u c_v times, so the inner products of all folds
of all resamples are one product of a matrix of such weights with products of RDMs; what remains
per fold is as small as the number of a model's RDMs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.distance import squareform

from repbias.base.spec import RepbiasError
from repbias.geometry.comparison import (
    MEMORY,
    RANKED,
    UNCENTRED,
    WHITENED,
    centring,
    n_stimuli_of,
    ratio,
    refuse_not_finite,
    resampled_similarity,
)
from repbias.geometry.nnls import nnls_of_grams
from repbias.geometry.spec import RdmSimilarity

#: Numbers of a block of products of RDMs, which should stay in the cache: 8 MB.
CACHE = 2**20
#: Weights of pairs of which fewer than this share are not 0 are kept as a sparse matrix.
SPARSE = 0.1


@dataclass(frozen=True)
class Model:
    """A model of one or more RDMs.

    Attributes
    ----------
    rdms : (basis, pair)
    fit : what is fitted to the training pairs: nothing ("fixed", one RDM), weights >= 0 of the
        RDMs ("weighted"), or which of them it is ("select")
    """

    rdms: np.ndarray
    fit: Literal["fixed", "weighted", "select"] = "fixed"

    def __post_init__(self) -> None:
        if self.fit == "fixed" and len(self.rdms) != 1:
            raise RepbiasError(f"a fixed model has {len(self.rdms)} RDMs; expected one")


@dataclass(frozen=True)
class Folds:
    """Folds of cross-validation within resamples of stimuli and of subjects.

    Attributes
    ----------
    stimuli, subjects : (draw, stimulus) and (draw, subject), how often each was drawn
    stimulus_draw, subject_draw : (fold,) the draws that the fold divides
    train_stimuli, test_stimuli : (fold, stimulus) bool; the same where stimuli are not divided
    train_subjects, test_subjects : (fold, subject) bool
    """

    stimuli: np.ndarray
    subjects: np.ndarray
    stimulus_draw: np.ndarray
    subject_draw: np.ndarray
    train_stimuli: np.ndarray
    test_stimuli: np.ndarray
    train_subjects: np.ndarray
    test_subjects: np.ndarray

    def __len__(self) -> int:
        return len(self.stimulus_draw)

    def stimulus_counts(self, inside: np.ndarray, folds: slice) -> np.ndarray:
        """Return (fold, stimulus) counts of stimuli that are inside (fold, stimulus)."""
        return self.stimuli[self.stimulus_draw[folds]] * inside[folds]

    def subject_counts(self, inside: np.ndarray, folds: slice) -> np.ndarray:
        """Return (fold, subject) counts of subjects that are inside (fold, subject)."""
        return self.subjects[self.subject_draw[folds]] * inside[folds]

    def blocks(self, numbers: int) -> list[slice]:
        """Divide the folds into blocks, given how many numbers one fold takes."""
        size = max(1, MEMORY // numbers)
        return [slice(start, start + size) for start in range(0, len(self), size)]


def fold_labels(rng: np.random.RandomState, drawn: np.ndarray, n_folds: int) -> np.ndarray:
    """Assign what was drawn to random folds of (almost) equal size.

    In the same way, and with the same random numbers, as `rsatoolbox.inference.sets_k_fold`.

    Parameters
    ----------
    rng
        Anything with a method `shuffle`.
    drawn
        (item,) bool.
    n_folds
        At most the number of drawn items.

    Returns
    -------
    numpy.ndarray
        (item,) int, -1 for what was not drawn.
    """
    order = np.flatnonzero(drawn)
    rng.shuffle(order)
    position = np.arange(len(order))
    size = len(order) // n_folds
    labels = np.full(len(drawn), -1)
    # Those that remain at the end go to the first folds, the last one first.
    labels[order] = np.where(position < n_folds * size, position // size, position[::-1])
    return labels


def inner_products(
    rdms: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    rdm_similarity: RdmSimilarity,
    counts: np.ndarray,
) -> np.ndarray:
    """Inner products of pairs of RDMs, of which the RDM similarity is the cosine, under resamples.

    As :func:`repbias.geometry.comparison.weighted_products`, for chosen pairs of RDMs.

    Parameters
    ----------
    rdms
        (rdm, pair).
    first, second
        (product,) which RDMs.
    rdm_similarity
        Not one of ranks.
    counts
        (row, stimulus); all rows at once must fit the memory.

    Returns
    -------
    numpy.ndarray
        (row, product); 0 for an RDM with itself where it is constant.
    """
    products = _Products(rdms, first, second, rdm_similarity)
    c = counts.astype(np.float64)
    weights = _pair_weights(c)
    return products.centred(products.joined(lambda x: weights @ x), c)


class _Products:
    """Products of pairs of RDMs, to be summed over pairs of stimuli and then centred."""

    def __init__(
        self, rdms: np.ndarray, first: np.ndarray, second: np.ndarray, rdm_similarity: RdmSimilarity
    ) -> None:
        self.rdm_similarity, self.first, self.second = rdm_similarity, first, second
        if rdm_similarity not in UNCENTRED:  # for precision
            rdms = rdms - rdms.mean(axis=1, keepdims=True)
        # The last RDM is 1, so that sums are products too: those with it come last.
        self.rdms = np.concatenate([rdms, np.ones((1, rdms.shape[1]))])
        every = np.arange(len(self.rdms))
        self._factors = np.concatenate([first, every]), np.concatenate([second, 0 * every - 1])

    def joined(self, summed: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Apply a function of products (pair, column) to columns that fit the cache."""
        by_pair = np.ascontiguousarray(self.rdms.T)
        size = max(1, CACHE // len(by_pair))
        results = []
        for start in range(0, len(self._factors[0]), size):
            a, b = (by_pair.take(f[start : start + size], axis=1) for f in self._factors)
            results.append(summed(np.multiply(a, b, out=a)))
        return np.concatenate(results, axis=-1)

    def centred(self, sums: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Turn sums (row, column) of all products under counts c into inner products."""
        n_products = len(self.first)
        result, sums = sums[:, :n_products], sums[:, n_products:]
        centre = self.rdm_similarity not in UNCENTRED
        same = np.flatnonzero(self.first == self.second)
        plain = result[:, same].copy()
        means = sums / sums[:, -1:]
        if self.rdm_similarity in WHITENED:
            squares = np.stack(
                [squareform(row) for row in self.rdms[: len(self.rdms) - 1 + centre]]
            )
            left, right = centring(np.tensordot(c, squares, axes=(1, 2)), c)
            lost = left @ right.transpose(0, 2, 1)
            result -= lost[:, self.first, self.second]
            if centre:
                sums = sums - lost[:, :, -1]
        if centre:
            m, s = means, sums
            result -= m[:, self.first] * s[:, self.second]
            s = s - m * s[:, -1:]
            result -= s[:, self.first] * m[:, self.second]
        result[:, same] = np.where(result[:, same] > 1e-12 * plain, result[:, same], 0)
        return result


def divided_inner_products(
    rdms: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    rdm_similarity: RdmSimilarity,
    folds: Folds,
    block: slice,
) -> tuple[np.ndarray, np.ndarray]:
    """Return :func:`inner_products` over training and over test stimuli, (fold, product) each.

    Where the training stimuli are all but those of the test, sums over pairs of these are those
    over all pairs, minus those over pairs with a test stimulus: sum_u c_u h_u, u in the test and
    h_u = sum_v c_v x_uv, which counts pairs of two test stimuli twice.
    """
    train, test = folds.train_stimuli[block], folds.test_stimuli[block]
    draws, which = np.unique(folds.stimulus_draw[block], return_inverse=True)
    arguments = rdms, first, second, rdm_similarity
    if train.all() and test.all():
        both = inner_products(*arguments, folds.stimuli[draws])[which]
        return both, both
    c_train, c_test = folds.stimuli[folds.stimulus_draw[block]] * np.stack([train, test]) * 1.0
    if (train == test).any():
        return inner_products(*arguments, c_train), inner_products(*arguments, c_test)
    products, weights = _Products(*arguments), _pair_weights(c_test)
    c = folds.stimuli[draws].astype(np.float64)
    n = c.shape[1]
    square = squareform(np.arange(1, rdms.shape[1] + 1)) - 1
    members = [np.flatnonzero(which == draw) for draw in range(len(draws))]

    def summed(x: np.ndarray) -> np.ndarray:
        both = np.empty((2, len(c_test), x.shape[1]))
        outside, inside = both
        inside[:] = weights @ x
        full = x[square]
        full[np.arange(n), np.arange(n)] = 0
        h = (c @ full.reshape(n, -1)).reshape(len(c), n, -1)
        for folds_of_draw, own, one in zip(members, h, c, strict=True):
            touched = c_test[folds_of_draw] @ own
            outside[folds_of_draw] = one @ own / 2 - touched + inside[folds_of_draw]
        return both

    outside, inside = products.joined(summed)
    return products.centred(outside, c_train), products.centred(inside, c_test)


def pair_index(low: np.ndarray, high: np.ndarray, n: int) -> np.ndarray:
    """Return where in an upper triangle the pairs low < high of n stimuli are."""
    return n * low - low * (low + 1) // 2 + high - low - 1


_triangle = lru_cache(maxsize=64)(lambda n: np.array(np.triu_indices(n, 1)))


def _pair_weights(c: np.ndarray) -> np.ndarray | csr_array:
    """Return (row, pair) c_u c_v; sparse, if most are 0."""
    n = c.shape[1]
    n_drawn = (c > 0).sum(axis=1)
    if (n_drawn * (n_drawn - 1)).mean() > SPARSE * n * (n - 1):
        u, v = np.triu_indices(n, 1)
        return c[:, u] * c[:, v]
    stimuli = np.split(c.nonzero()[1], np.cumsum(n_drawn)[:-1])
    low, high = np.concatenate([s[_triangle(len(s))] for s in stimuli], axis=1)
    n_pairs = n_drawn * (n_drawn - 1) // 2
    row = np.repeat(np.arange(len(c)), n_pairs)
    values, ends = c[row, low] * c[row, high], np.concatenate([[0], np.cumsum(n_pairs)])
    shape = (len(c), n * (n - 1) // 2)
    return csr_array((values, pair_index(low, high, n), ends), shape=shape)


def cross_validated_similarities(
    models: list[Model], data: np.ndarray, rdm_similarity: RdmSimilarity, folds: Folds
) -> np.ndarray:
    """Similarity of models with the test subjects on the test stimuli of every fold.

    Weights are those of `rsatoolbox.model.fitter.fit_regress_nn` up to scale: non-negative least
    squares of the mean RDM of the training subjects, each of unit norm as the RDM similarity sees
    it, over pairs of training stimuli. Of "select" models the RDM with the highest mean similarity
    in training is taken, as in `fit_select`.

    Parameters
    ----------
    models
        Fixed and fitted ones.
    data
        (subject, pair), over the same stimuli in the same order as the models.
    rdm_similarity
        As rsatoolbox calls it; weights cannot be fitted to ranks.
    folds
        Resamples and their division.

    Returns
    -------
    numpy.ndarray
        (fold, model), mean over test subjects, copies counting.

    Raises
    ------
    RepbiasError
        If an RDM is not finite or of other stimuli, or weights are to be fitted to ranks.
    """
    refuse_not_finite(data, "subjects")
    for model in models:
        refuse_not_finite(model.rdms, "models")
        if model.rdms.shape[1] != data.shape[1]:
            raise RepbiasError(
                f"a model has RDMs of {model.rdms.shape[1]} pairs, the subjects' have "
                f"{data.shape[1]}; expected the same stimuli"
            )
    result = np.empty((len(folds), len(models)))
    weighted = [i for i, model in enumerate(models) if model.fit == "weighted"]
    whole = [i for i, model in enumerate(models) if model.fit != "weighted"]
    if weighted and rdm_similarity in RANKED:
        raise RepbiasError(
            f"weights are fitted to dissimilarities, not to ranks as {rdm_similarity!r} compares; "
            "expected corr, cosine, corr_cov or cosine_cov"
        )
    if whole:
        result[:, whole] = _unweighted([models[i] for i in whole], data, rdm_similarity, folds)
    if weighted:
        rdms = [models[i].rdms for i in weighted]
        result[:, weighted] = _weighted(rdms, data, rdm_similarity, folds)
    return result


def _unweighted(
    models: list[Model], data: np.ndarray, rdm_similarity: RdmSimilarity, folds: Folds
) -> np.ndarray:
    rdms = np.concatenate([model.rdms for model in models])
    similarity = _mean_similarity(
        rdms, data, rdm_similarity, folds, folds.test_stimuli, folds.test_subjects
    )
    sizes = [len(model.rdms) for model in models]
    starts = np.cumsum([0, *sizes[:-1]])
    chosen = np.tile(starts, (len(folds), 1))
    if any(model.fit == "select" for model in models):
        trained = _mean_similarity(
            rdms, data, rdm_similarity, folds, folds.train_stimuli, folds.train_subjects
        )
        # Of equal ones the first, whatever the rounding; tau-a takes few different values.
        trained = trained.round(12)
        for i, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            chosen[:, i] += trained[:, start : start + size].argmax(axis=1)
    return np.take_along_axis(similarity, chosen, axis=1)


def _mean_similarity(
    rdms: np.ndarray,
    data: np.ndarray,
    rdm_similarity: RdmSimilarity,
    folds: Folds,
    stimuli: np.ndarray,
    subjects: np.ndarray,
) -> np.ndarray:
    """Return (fold, rdm), over these stimuli, mean over these subjects."""
    result = np.empty((len(folds), len(rdms)))
    undivided = bool(stimuli.all())
    if undivided:
        draws = resampled_similarity(rdms, data, rdm_similarity, folds.stimuli)
    for block in folds.blocks(len(rdms) * len(data)):
        share = folds.subject_counts(subjects, block)
        share = share / share.sum(axis=1, keepdims=True)
        if undivided:
            values = draws[folds.stimulus_draw[block]]
        else:
            counts = folds.stimulus_counts(stimuli, block)
            values = resampled_similarity(rdms, data, rdm_similarity, counts)
        result[block] = (values @ share[:, :, None])[:, :, 0]
    return result


def _weighted(
    models: list[np.ndarray], data: np.ndarray, rdm_similarity: RdmSimilarity, folds: Folds
) -> np.ndarray:
    rdms = np.concatenate([*models, data])
    n_rdms, n_subjects = len(rdms), len(data)
    n_basis = n_rdms - n_subjects
    # Products: within every model, of every basis with every subject, of subjects with themselves.
    members = np.split(np.arange(n_basis), np.cumsum([len(m) for m in models[:-1]]))
    within = [tuple(i[np.array(np.triu_indices(len(i)))]) for i in members]
    subjects = np.arange(n_basis, n_rdms)
    crossed = np.repeat(np.arange(n_basis), n_subjects), np.tile(subjects, n_basis)
    groups = [*within, crossed, (subjects, subjects)]
    first, second = (np.concatenate(index) for index in zip(*groups, strict=True))
    ends = np.cumsum([len(i) for i, _ in groups])[:-1]

    def grams(products: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        *own, with_data, norms = np.split(products, ends, axis=1)
        own = [_symmetric(v, len(i)) for v, i in zip(own, members, strict=True)]
        return own, with_data.reshape(-1, n_basis, n_subjects), np.sqrt(norms)

    result = np.empty((len(folds), len(models)))
    n = n_stimuli_of(data)
    numbers = max(data.shape[1], len(first), n_rdms * n if rdm_similarity in WHITENED else 1)
    for block in folds.blocks(numbers):
        train, test = divided_inner_products(rdms, first, second, rdm_similarity, folds, block)
        own, with_data, norms = grams(train)
        r = folds.subject_counts(folds.train_subjects, block)
        target = (with_data @ ratio(r.astype(np.float64), norms)[:, :, None])[:, :, 0]
        weights = [nnls_of_grams(g, target[:, i]) for g, i in zip(own, members, strict=True)]
        own, with_data, norms = grams(test)
        r = folds.subject_counts(folds.test_subjects, block)
        share = ratio(r / r.sum(axis=1, keepdims=True), norms)
        product = (with_data @ share[:, :, None])[:, :, 0]
        for model, (g, w, i) in enumerate(zip(own, weights, members, strict=True)):
            squared = np.einsum("fk,fkl,fl->f", w, g, w)
            norm = np.sqrt(np.maximum(squared, 0))
            result[block, model] = ratio((w * product[:, i]).sum(axis=1), norm)
    return result


def _symmetric(packed: np.ndarray, size: int) -> np.ndarray:
    """Unpack (row, upper triangle with diagonal) to (row, size, size)."""
    i, j = np.triu_indices(size)
    full = np.empty((len(packed), size, size))
    full[:, i, j] = full[:, j, i] = packed
    return full


def cross_validated_ceilings(
    data: np.ndarray, rdm_similarity: RdmSimilarity, folds: Folds
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper noise ceiling of every fold.

    The similarity of the test subjects on the test stimuli with pooled RDMs: lower, that of the
    training subjects, pooled over the test stimuli; upper, that of all subjects of the resample,
    pooled over all its stimuli. As `rsatoolbox.inference.noise_ceiling.cv_noise_ceiling`: RDMs are
    divided by their standard deviation or root mean square, whether or not the RDM similarity
    whitens; or ranked.

    Parameters
    ----------
    data
        (subject, pair).
    rdm_similarity
        As rsatoolbox calls it.
    folds
        Resamples and their division; with every subject left out in turn and stimuli not divided
        the means over folds are `rsatoolbox.inference.boot_noise_ceiling`.

    Returns
    -------
    tuple of numpy.ndarray
        Two (fold,) arrays.
    """
    refuse_not_finite(data, "subjects")
    lower, upper = np.empty((2, len(folds)))
    if rdm_similarity in RANKED:
        for fold in range(len(folds)):
            lower[fold], upper[fold] = _ranked_ceilings(data, rdm_similarity, folds, fold)
        return lower, upper
    first, second = np.triu_indices(len(data))
    alone = np.arange(len(data))
    plain: RdmSimilarity = "cosine" if rdm_similarity in UNCENTRED else "corr"
    n = n_stimuli_of(data)
    numbers = max(data.shape[1], len(data) ** 2, len(data) * n)

    def gram_and_scale(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        products = inner_products(data, first, second, rdm_similarity, counts)
        squares = products[:, first == second]
        if rdm_similarity in WHITENED:  # what scales RDMs before they are averaged is not whitened
            squares = inner_products(data, alone, alone, plain, counts)
        return _symmetric(products, len(data)), ratio(np.ones_like(squares), np.sqrt(squares))

    size = max(1, MEMORY // numbers)
    starts = range(0, len(folds.stimuli), size)
    drawn = [gram_and_scale(folds.stimuli[s : s + size]) for s in starts]
    drawn_gram, drawn_scale = (np.concatenate(v) for v in zip(*drawn, strict=True))
    undivided = bool(folds.test_stimuli.all())
    for block in folds.blocks(numbers):
        draw = folds.stimulus_draw[block]
        if undivided:
            gram, scale = drawn_gram[draw], drawn_scale[draw]
        else:
            gram, scale = gram_and_scale(folds.stimulus_counts(folds.test_stimuli, block))
        r = folds.subject_counts(folds.test_subjects, block)
        share = r / r.sum(axis=1, keepdims=True)
        train = folds.subject_counts(folds.train_subjects, block) * scale
        every = folds.subjects[folds.subject_draw[block]] * drawn_scale[draw]
        for result, v in ((lower, train), (upper, every)):
            product = (gram @ v[:, :, None])[:, :, 0]
            own = np.einsum("fss->fs", gram)
            squared = (v * product).sum(axis=1, keepdims=True)
            cosine = ratio(product, np.sqrt(np.maximum(squared * own, 0)))
            result[block] = (cosine * share).sum(axis=1)
    return lower, upper


def _ranked_ceilings(
    data: np.ndarray, rdm_similarity: RdmSimilarity, folds: Folds, fold: int
) -> tuple[float, float]:
    """Lower and upper ceiling of one fold.

    RDMs are ranked with weights, over all stimuli or those of the test, averaged, and the averages
    ranked again.
    """
    one = slice(fold, fold + 1)
    (inside,) = folds.stimulus_counts(folds.test_stimuli, one)
    (train,) = folds.subject_counts(folds.train_subjects, one)
    (test,) = folds.subject_counts(folds.test_subjects, one)
    n = len(inside)
    every = _ranks(data, folds.stimuli[folds.stimulus_draw[fold]])
    there = np.flatnonzero(inside)
    low, high = there[np.array(np.triu_indices(len(there), 1))]
    kept = pair_index(low, high, n)
    few = data[:, kept]
    upper = folds.subjects[folds.subject_draw[fold]] @ every[:, kept]
    lower = train @ _ranks(few, inside[there])
    subjects = np.flatnonzero(test)
    pooled, counts = np.stack([lower, upper]), inside[there][None]
    (values,) = resampled_similarity(pooled, few[subjects], rdm_similarity, counts)
    return tuple(np.average(values, axis=1, weights=test[subjects]))


def _ranks(rdms: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Ranks (rdm, pair) of dissimilarities under counts (stimulus,); ties share their mean."""
    weights = counts[np.array(np.triu_indices(len(counts), 1))].prod(axis=0)
    ranks = np.empty(rdms.shape)
    for rank, row in zip(ranks, rdms, strict=True):
        values, group = np.unique(row, return_inverse=True)
        equal = np.bincount(group, weights, minlength=len(values))
        rank[:] = (np.cumsum(equal) - (equal - 1) / 2)[group]
    return ranks
