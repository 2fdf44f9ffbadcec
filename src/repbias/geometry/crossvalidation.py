"""Cross-validated comparison of fixed and fitted models with RDMs under bootstrap resamples.

Fitting and evaluation only need inner products of RDMs over the pairs of a fold. A pair (u, v) of a
resample in which u was drawn c_u times counts c_u c_v times, so the inner products of all folds
of all resamples are one product of a matrix of such weights with products of RDMs; the remaining
computation per fold is as small as the number of a model's RDMs.
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

#: Numbers in a block of products of RDMs, which should stay in the cache: 8 MB.
CACHE = 2**20
#: Weights of pairs are a sparse matrix if a smaller share than this is not 0.
SPARSE = 0.1


@dataclass(frozen=True)
class Model:
    """A model of one or more RDMs.

    Attributes
    ----------
    rdms : (basis, pair)
    fit : what is fitted to the training pairs: nothing ("fixed", one RDM), weights >= 0 of the
        RDMs ("weighted"), or the choice of one RDM ("select")
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
    stimulus_draw, subject_draw : (fold,) index of the draw that the fold is part of
    train_stimuli, test_stimuli : (fold, stimulus) bool; the same if stimuli are not divided
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
        """Return counts (fold, stimulus); 0 outside of `inside` (fold, stimulus)."""
        return self.stimuli[self.stimulus_draw[folds]] * inside[folds]

    def subject_counts(self, inside: np.ndarray, folds: slice) -> np.ndarray:
        """Return counts (fold, subject); 0 outside of `inside` (fold, subject)."""
        return self.subjects[self.subject_draw[folds]] * inside[folds]

    def blocks(self, numbers: int) -> list[slice]:
        """Divide the folds into blocks that fit the memory, given the numbers that a fold takes."""
        size = max(1, MEMORY // numbers)
        return [slice(start, start + size) for start in range(0, len(self), size)]


def fold_labels(rng: np.random.RandomState, drawn: np.ndarray, n_folds: int) -> np.ndarray:
    """Assign drawn items to random folds of (almost) equal size.

    As `rsatoolbox.inference.sets_k_fold`, with the same random numbers.

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
        (item,) int, -1 for items that were not drawn.
    """
    order = np.flatnonzero(drawn)
    rng.shuffle(order)
    position = np.arange(len(order))
    size = len(order) // n_folds
    labels = np.full(len(drawn), -1)
    # Left-over items go to the first folds, starting with the last item.
    labels[order] = np.where(position < n_folds * size, position // size, position[::-1])
    return labels


def inner_products(
    rdms: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    rdm_similarity: RdmSimilarity,
    counts: np.ndarray,
) -> np.ndarray:
    """Return the inner products, under resamples, whose cosine is the measure.

    As :func:`repbias.geometry.comparison.weighted_products`, for selected pairs of RDMs.

    Parameters
    ----------
    rdms
        (rdm, pair).
    first, second
        (product,) indices of the two RDMs.
    rdm_similarity
        Any that is not based on ranks.
    counts
        (row, stimulus); all rows at once must fit the memory.

    Returns
    -------
    numpy.ndarray
        (row, product); 0 for the product of a constant RDM with itself.
    """
    products = _Products(rdms, first, second, rdm_similarity)
    return products.weighted(counts.astype(np.float64))


class _Products:
    """Products of pairs of RDMs, which are summed over pairs of stimuli and then centred."""

    def __init__(
        self, rdms: np.ndarray, first: np.ndarray, second: np.ndarray, rdm_similarity: RdmSimilarity
    ) -> None:
        self.rdm_similarity, self.first, self.second = rdm_similarity, first, second
        if rdm_similarity not in UNCENTRED:  # for precision
            rdms = rdms - rdms.mean(axis=1, keepdims=True)
        # The last RDM is 1, so that sums are products too; products with it come last.
        self.rdms = np.concatenate([rdms, np.ones((1, rdms.shape[1]))])
        index = np.arange(len(self.rdms))
        self._factors = np.concatenate([first, index]), np.concatenate([second, 0 * index - 1])

    def weighted(self, c: np.ndarray) -> np.ndarray:
        """Return the inner products (row, product) under counts (row, stimulus)."""
        weights = _pair_weights(c)
        return self.centred(self.joined(lambda x: weights @ x), c)

    def joined(self, summed: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Apply a function of products (pair, column) to blocks of columns that fit the cache."""
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
            removed = left @ right.transpose(0, 2, 1)
            result -= removed[:, self.first, self.second]
            if centre:
                sums = sums - removed[:, :, -1]
        if centre:
            result -= means[:, self.first] * sums[:, self.second]
            sums = sums - means * sums[:, -1:]
            result -= sums[:, self.first] * means[:, self.second]
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

    If the training stimuli are all stimuli except those of the test, sums over training pairs are
    those over all pairs, minus those over pairs with a test stimulus. The latter are sum_u c_u h_u
    over test stimuli u, with h_u = sum_v c_v x_uv, which counts pairs of two test stimuli twice.
    """
    train, test = folds.train_stimuli[block], folds.test_stimuli[block]
    draws, which = np.unique(folds.stimulus_draw[block], return_inverse=True)
    products = _Products(rdms, first, second, rdm_similarity)
    if train.all() and test.all():
        both = products.weighted(folds.stimuli[draws].astype(np.float64))[which]
        return both, both
    c_train, c_test = folds.stimuli[folds.stimulus_draw[block]] * np.stack([train, test]) * 1.0
    if (train == test).any():
        return products.weighted(c_train), products.weighted(c_test)
    weights = _pair_weights(c_test)
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
        for folds_of_draw, h_draw, c_draw in zip(members, h, c, strict=True):
            with_test = c_test[folds_of_draw] @ h_draw
            outside[folds_of_draw] = c_draw @ h_draw / 2 - with_test + inside[folds_of_draw]
        return both

    outside, inside = products.joined(summed)
    return products.centred(outside, c_train), products.centred(inside, c_test)


def pair_index(low: np.ndarray, high: np.ndarray, n: int) -> np.ndarray:
    """Return the positions of the pairs low < high of n stimuli in an upper triangle."""
    return n * low - low * (low + 1) // 2 + high - low - 1


_triangle = lru_cache(maxsize=64)(lambda n: np.array(np.triu_indices(n, 1)))


def _pair_weights(c: np.ndarray) -> np.ndarray | csr_array:
    """Return c_u c_v (row, pair) of counts (row, stimulus); sparse if most are 0."""
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
    """Return the similarity of models with the test subjects on the test stimuli of every fold.

    Weights are those of `rsatoolbox.model.fitter.fit_regress_nn` up to scale: non-negative least
    squares, over pairs of training stimuli, of the mean RDM of the training subjects, each scaled
    to unit norm in terms of the measure. "select" models take the RDM with the highest mean
    similarity in training, as in `fit_select`.

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
        (fold, model), mean over drawn test subjects, every copy counting.

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
    unweighted = [i for i, model in enumerate(models) if model.fit != "weighted"]
    if weighted and rdm_similarity in RANKED:
        raise RepbiasError(
            f"weights are fitted to dissimilarities, not to ranks as {rdm_similarity!r} compares; "
            "expected corr, cosine, corr_cov or cosine_cov"
        )
    if unweighted:
        chosen = [models[i] for i in unweighted]
        result[:, unweighted] = _unweighted(chosen, data, rdm_similarity, folds)
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
        # The first of equal ones, whatever the rounding; tau-a takes few different values.
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
    """Return the similarity (fold, rdm) over these stimuli, mean over these subjects."""
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


class _ModelProducts:
    """Which products of RDMs weighted models need, and how to take them apart.

    Products of RDMs within every model, of every model RDM with every subject's, and of subjects'
    RDMs with themselves.

    Attributes
    ----------
    rdms : (rdm, pair), of all models and then of subjects
    first, second : (product,) indices of the two RDMs
    members : for every model, the indices of its RDMs
    """

    def __init__(self, models: list[np.ndarray], data: np.ndarray) -> None:
        self.rdms = np.concatenate([*models, data])
        n_rdms, self._n_subjects = len(self.rdms), len(data)
        self._n_basis = n_rdms - self._n_subjects
        basis, subjects = np.arange(self._n_basis), np.arange(self._n_basis, n_rdms)
        self.members = np.split(basis, np.cumsum([len(m) for m in models[:-1]]))
        within = [tuple(i[np.array(np.triu_indices(len(i)))]) for i in self.members]
        crossed = np.repeat(basis, self._n_subjects), np.tile(subjects, self._n_basis)
        groups = [*within, crossed, (subjects, subjects)]
        self.first, self.second = (np.concatenate(index) for index in zip(*groups, strict=True))
        self._ends = np.cumsum([len(i) for i, _ in groups])[:-1]

    def grams(self, products: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Take products (fold, product) apart.

        Returns
        -------
        tuple
            Every model's Gram matrix (fold, basis, basis); products of all models' RDMs with
            subjects' (fold, basis, subject); norms of subjects' RDMs (fold, subject).
        """
        *within, crossed, squares = np.split(products, self._ends, axis=1)
        grams = [_symmetric(v, len(i)) for v, i in zip(within, self.members, strict=True)]
        return grams, crossed.reshape(-1, self._n_basis, self._n_subjects), np.sqrt(squares)


def _weighted(
    models: list[np.ndarray], data: np.ndarray, rdm_similarity: RdmSimilarity, folds: Folds
) -> np.ndarray:
    """Return the similarity (fold, model) of weighted RDMs (basis, pair) of each model."""
    needed = _ModelProducts(models, data)
    rdms, first, second = needed.rdms, needed.first, needed.second
    result = np.empty((len(folds), len(models)))
    whitening = len(rdms) * n_stimuli_of(data) if rdm_similarity in WHITENED else 1
    for block in folds.blocks(max(data.shape[1], len(first), whitening)):
        train, test = divided_inner_products(rdms, first, second, rdm_similarity, folds, block)
        grams, crossed, norms = needed.grams(train)
        r = folds.subject_counts(folds.train_subjects, block)
        target = (crossed @ ratio(r.astype(np.float64), norms)[:, :, None])[:, :, 0]
        weights = [
            nnls_of_grams(g, target[:, i]) for g, i in zip(grams, needed.members, strict=True)
        ]
        grams, crossed, norms = needed.grams(test)
        r = folds.subject_counts(folds.test_subjects, block)
        share = ratio(r / r.sum(axis=1, keepdims=True), norms)
        product = (crossed @ share[:, :, None])[:, :, 0]
        for model, (g, w, i) in enumerate(zip(grams, weights, needed.members, strict=True)):
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
    """Return the lower and upper noise ceiling of every fold.

    The similarity of the test subjects, on the test stimuli, with pooled RDMs: for the lower
    ceiling that of the training subjects, pooled over the test stimuli; for the upper that of all
    subjects of the resample, pooled over all its stimuli. As
    `rsatoolbox.inference.noise_ceiling.cv_noise_ceiling`, RDMs are divided by their standard
    deviation or root mean square before they are pooled, whether or not the measure whitens; or
    ranked.

    Parameters
    ----------
    data
        (subject, pair).
    rdm_similarity
        As rsatoolbox calls it.
    folds
        Resamples and their division. If every subject is left out in turn and stimuli are not
        divided, the means over folds are `rsatoolbox.inference.boot_noise_ceiling`.

    Returns
    -------
    tuple of numpy.ndarray
        Two (fold,) arrays.
    """
    refuse_not_finite(data, "subjects")
    if rdm_similarity not in RANKED:
        return _cosine_ceilings(data, rdm_similarity, folds)
    ceilings = [_ranked_ceilings(data, rdm_similarity, folds, fold) for fold in range(len(folds))]
    lower, upper = np.array(ceilings).T
    return lower, upper


def _cosine_ceilings(
    data: np.ndarray, rdm_similarity: RdmSimilarity, folds: Folds
) -> tuple[np.ndarray, np.ndarray]:
    lower, upper = np.empty((2, len(folds)))
    numbers = max(data.shape[1], len(data) ** 2, len(data) * n_stimuli_of(data))
    size = max(1, MEMORY // numbers)
    starts = range(0, len(folds.stimuli), size)
    drawn = [_gram_and_scale(data, rdm_similarity, folds.stimuli[s : s + size]) for s in starts]
    drawn_gram, drawn_scale = (np.concatenate(v) for v in zip(*drawn, strict=True))
    undivided = bool(folds.test_stimuli.all())
    for block in folds.blocks(numbers):
        draw = folds.stimulus_draw[block]
        if undivided:
            gram, scale = drawn_gram[draw], drawn_scale[draw]
        else:
            counts = folds.stimulus_counts(folds.test_stimuli, block)
            gram, scale = _gram_and_scale(data, rdm_similarity, counts)
        r = folds.subject_counts(folds.test_subjects, block)
        share = r / r.sum(axis=1, keepdims=True)
        train = folds.subject_counts(folds.train_subjects, block) * scale
        everyone = folds.subjects[folds.subject_draw[block]] * drawn_scale[draw]
        for result, v in ((lower, train), (upper, everyone)):
            product = (gram @ v[:, :, None])[:, :, 0]
            squares = np.einsum("fss->fs", gram)
            squared = (v * product).sum(axis=1, keepdims=True)
            cosine = ratio(product, np.sqrt(np.maximum(squared * squares, 0)))
            result[block] = (cosine * share).sum(axis=1)
    return lower, upper


def _gram_and_scale(
    data: np.ndarray, rdm_similarity: RdmSimilarity, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return inner products of subjects' RDMs, and what RDMs are multiplied by to be pooled.

    Parameters
    ----------
    data
        (subject, pair).
    rdm_similarity
        Any that is not based on ranks.
    counts
        (row, stimulus).

    Returns
    -------
    tuple of numpy.ndarray
        (row, subject, subject) and (row, subject).
    """
    first, second = np.triu_indices(len(data))
    products = inner_products(data, first, second, rdm_similarity, counts)
    squares = products[:, first == second]
    if rdm_similarity in WHITENED:  # RDMs are scaled by their norm before whitening
        plain: RdmSimilarity = "cosine" if rdm_similarity in UNCENTRED else "corr"
        subjects = np.arange(len(data))
        squares = inner_products(data, subjects, subjects, plain, counts)
    return _symmetric(products, len(data)), ratio(np.ones_like(squares), np.sqrt(squares))


def _ranked_ceilings(
    data: np.ndarray, rdm_similarity: RdmSimilarity, folds: Folds, fold: int
) -> tuple[float, float]:
    """Return the lower and upper ceiling of one fold.

    RDMs are ranked with weights, over all stimuli or those of the test, averaged, and the averages
    ranked again.
    """
    only = slice(fold, fold + 1)
    (inside,) = folds.stimulus_counts(folds.test_stimuli, only)
    (train,) = folds.subject_counts(folds.train_subjects, only)
    (test,) = folds.subject_counts(folds.test_subjects, only)
    stimuli, subjects = np.flatnonzero(inside), np.flatnonzero(test)
    low, high = stimuli[np.array(np.triu_indices(len(stimuli), 1))]
    pairs = pair_index(low, high, len(inside))
    tested_on = data[:, pairs]
    all_ranks = _ranks(data, folds.stimuli[folds.stimulus_draw[fold]])
    upper = folds.subjects[folds.subject_draw[fold]] @ all_ranks[:, pairs]
    lower = train @ _ranks(tested_on, inside[stimuli])
    pooled, counts = np.stack([lower, upper]), inside[stimuli][None]
    (values,) = resampled_similarity(pooled, tested_on[subjects], rdm_similarity, counts)
    low_ceiling, high_ceiling = np.average(values, axis=1, weights=test[subjects])
    return low_ceiling, high_ceiling


def _ranks(rdms: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Rank dissimilarities (rdm, pair) under counts (stimulus,); ties share their mean rank."""
    weights = counts[np.array(np.triu_indices(len(counts), 1))].prod(axis=0)
    ranks = np.empty(rdms.shape)
    for rank, row in zip(ranks, rdms, strict=True):
        values, group = np.unique(row, return_inverse=True)
        equal = np.bincount(group, weights, minlength=len(values))
        rank[:] = (np.cumsum(equal) - (equal - 1) / 2)[group]
    return ranks
