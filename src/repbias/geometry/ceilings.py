"""Noise ceilings: the range of similarities that the true model would reach."""

from __future__ import annotations

from typing import Literal

import numpy as np
from array_api_compat import array_namespace, device

from repbias.geometry.comparison import (
    RANKED,
    UNCENTRED,
    WHITENED,
    Array,
    Ranking,
    Ties,
    joint_ties,
    n_stimuli_of,
    on_cpu,
    pairs_of,
    present,
    ratio,
    rho,
    tau_a,
    weighted_products,
)
from repbias.geometry.spec import RdmSimilarity


def subject_ceiling(data: Array, rdm_similarity: RdmSimilarity) -> tuple[float, float]:
    """Return the lower and upper noise ceiling of subjects' RDMs (subject, pair).

    As `rsatoolbox.inference.boot_noise_ceiling`.
    """
    stimuli, subjects = (np.ones((1, n), int) for n in (n_stimuli_of(data), len(data)))
    low, high = resampled_ceilings(data, rdm_similarity, stimuli, subjects)
    return float(low[0]), float(high[0])


def resampled_ceilings(
    data: Array,
    rdm_similarity: RdmSimilarity,
    stimuli: Array,
    subjects: Array,
    average: Literal["draws", "subjects"] = "draws",
) -> tuple[Array, Array]:
    """Return the lower and upper noise ceiling of every bootstrap sample.

    As rsatoolbox: every drawn subject is compared with the average of the others, excluding its own
    copies, and with the average of all. With a single subject both are 1. Before RDMs are averaged,
    they are divided by their standard deviation or root mean square, whether or not the measure
    whitens; or ranked if the measure is based on ranks, including "tau-a".

    Parameters
    ----------
    data
        (subject, pair). Pairs that are NaN in all RDMs are left out.
    rdm_similarity
        Rank-based measures rank anew in every sample, which is about ten times slower.
    stimuli, subjects
        (sample, stimulus) and (sample, subject), how often each was drawn.
    average
        What a sample's ceiling is the mean over: "draws", every drawn copy counting, as in the
        similarities that it is compared with; or "subjects", the distinct subjects among them, as
        in rsatoolbox.

    Returns
    -------
    tuple
        Lower and upper, (sample,).

    Raises
    ------
    RepbiasError
        If different pairs are NaN, or any pair is and the measure whitens.
    """
    n = n_stimuli_of(data)
    data, _, remaining = present(data, data, rdm_similarity)
    xp, where = array_namespace(data), device(data)
    pairs = tuple(i[remaining] for i in pairs_of(n, data))
    stimuli, subjects = (xp.asarray(counts, device=where) for counts in (stimuli, subjects))
    compare = _ranked_ceilings if rdm_similarity in RANKED else _cosine_ceilings
    lower, upper = compare(data, rdm_similarity, stimuli, subjects, pairs)
    share = subjects if average == "draws" else subjects > 0
    share = xp.astype(share, data.dtype)
    share /= xp.sum(share, axis=1, keepdims=True)
    return xp.sum(lower * share, axis=1), xp.sum(upper * share, axis=1)


def _cosine_ceilings(
    data: Array,
    rdm_similarity: RdmSimilarity,
    stimuli: Array,
    subjects: Array,
    pairs: tuple[Array, Array],
) -> tuple[Array, Array]:
    """Return the ceilings of every subject, (sample, subject) each, from inner products N.

    The pooled RDM is sum_t v_t x_t with v = r * scale, r how often each was drawn. Upper: its
    cosine with x_s, which is (N v)_s / sqrt(v'N v N_ss); lower: the same without all copies of s.
    """
    xp = array_namespace(data)
    if bool(xp.all(stimuli == stimuli[:1])):  # only subjects are resampled
        stimuli = stimuli[:1]
    gram, own, squares = weighted_products(data, data, rdm_similarity, stimuli, pairs)
    if rdm_similarity in WHITENED:  # RDMs are scaled by their norm before whitening
        plain: RdmSimilarity = "cosine" if rdm_similarity in UNCENTRED else "corr"
        _, _, squares = weighted_products(data[:1], data, plain, stimuli, pairs)
    v = xp.astype(subjects, data.dtype)
    v = v * ratio(xp.ones_like(squares), xp.sqrt(squares))
    nv = xp.sum(gram * v[:, None], axis=2)
    vnv = xp.sum(v * nv, axis=1, keepdims=True)
    upper = ratio(nv, xp.sqrt(xp.clip(vnv * own, 0)))
    others = xp.clip(vnv - 2 * v * nv + v**2 * own, 0)
    lower = ratio(nv - v * own, xp.sqrt(others * own))
    single = xp.sum(subjects > 0, axis=1)[:, None] == 1
    return xp.where(single, upper, lower), upper


def _ranked_ceilings(
    data: Array,
    rdm_similarity: RdmSimilarity,
    stimuli: Array,
    subjects: Array,
    pairs: tuple[Array, Array],
) -> tuple[Array, Array]:
    """Return the ceilings of every drawn subject, (sample, subject) each, by ranks.

    RDMs are ranked with weights and averaged, and the averages ranked again.
    """
    xp, where = array_namespace(data), device(data)
    c = xp.astype(stimuli, xp.int32)
    lower, upper = (xp.zeros(subjects.shape, dtype=data.dtype, device=where) for _ in range(2))
    for sample, drawn in enumerate(c):
        w = drawn[pairs[0]] * drawn[pairs[1]]
        sampled, who = xp.nonzero(w)[0], xp.nonzero(subjects[sample])[0]
        w = w[sampled]
        x = [Ties.of(row[sampled]) for row in data[who]]
        ranks, squares = Ranking.of(x).weighted(w)
        r = xp.astype(subjects[sample][who], xp.float64)[:, None]
        pooled = xp.sum(r * ranks, axis=0, keepdims=True)
        others = pooled - r * ranks if len(x) > 1 else pooled
        averages = [Ties.of(row) for row in xp.concat([others, pooled])]
        if rdm_similarity == "tau-a":
            values = _taus(averages, x, w)
        else:
            total = xp.astype(xp.sum(w), xp.float64)
            averaged, pooled_squares = Ranking.of(averages).weighted(w)
            ranks *= w
            low = xp.vecdot(averaged[:-1], ranks), pooled_squares[:-1]
            high = ranks @ averaged[-1], pooled_squares[-1]
            values = [rho(p, xp.sqrt(s * squares), total, rdm_similarity) for p, s in (low, high)]
        lower[sample, who], upper[sample, who] = (xp.astype(v, data.dtype) for v in values)
    return lower, upper


def _taus(averages: list[Ties], x: list[Ties], w: Array) -> tuple[Array, Array]:
    """Return tau-a of every subject with the average of the others, and with that of all.

    The average of all is the last one.
    """
    averages, x = ([ties.on_cpu() for ties in rdms] for rdms in (averages, x))
    weights = on_cpu(w)
    values = []
    for y, others in zip(x, averages[:-1], strict=True):
        references = [others, averages[-1]]
        values.append(tau_a(references, y, [joint_ties(a, y) for a in references], weights))
    return tuple(array_namespace(w).asarray(np.array(values).T, device=device(w)))
