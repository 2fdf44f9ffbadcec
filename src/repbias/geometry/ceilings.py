"""Noise ceilings: the range of the similarity that the true model would reach."""

from __future__ import annotations

from dataclasses import dataclass
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
    similarities,
    tau_a,
    weighted_products,
)
from repbias.geometry.distances import (
    halves_of_trials,
    prepared,
    trial_dissimilarities,
    usable_units,
)
from repbias.geometry.rdms import dissimilarities, subject_patterns
from repbias.geometry.spec import MEAN_DISTANCES, Comparator, Geometry
from repbias.recordings.reliability import (
    MIN_CEILING,
    UNAVAILABLE,
    lengthening,
    random_halves,
    spearman_brown,
)
from repbias.spec import RepbiasError
from repbias.store import Recording


@dataclass
class Ceiling:
    """Range of the similarity that the true model would reach, and how it was estimated."""

    low: float
    high: float
    convention: str


def noise_ceiling(
    recording: Recording,
    data: np.ndarray,
    comparator: Comparator,
    spec: Geometry,
    n_splits: int = 50,
) -> Ceiling:
    """Estimate the noise ceiling of a recording's RDMs.

    * Two subjects or more: leave-one-subject-out and full-group bounds (Nili et al. 2014), as
      in rsatoolbox: the RDMs are normalised (or ranked) as the comparator does, then averaged.
    * One subject with repeats: RDMs of random halves of the repeats (of the folds, where the
      distance is cross-validated); the square root of their Spearman-Brown corrected similarity,
      as the range between the 2.5th and 97.5th percentiles over splits.
    * Otherwise unavailable (NaN).

    Parameters
    ----------
    recording
        For the repeats.
    data
        (subject, pair).
    comparator
        As in the comparison that the ceiling is for.
    spec
        Distance and noise of the recording; seed of the splits.
    n_splits
        Random halves of the repeats.
    """
    if len(data) > 1:
        low, high = subject_ceiling(data, comparator)
        return Ceiling(low, high, "leave one subject out (Nili et al. 2014)")
    if recording.responses is None:
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: one subject's RDM without repeats")
    (subject,) = subject_patterns(recording)
    distance = spec.recording_distance
    usable, _ = usable_units(subject.tensor, subject.folds, distance, spec.noise)
    usable &= ((~np.isnan(subject.tensor)).sum(axis=1) >= 2).all(axis=0)
    tensor, folds, left_out = subject.tensor[:, :, usable], subject.folds, (~usable).sum()
    if usable.sum() < 2:
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: fewer than two repeats of some stimuli")
    try:
        if distance in MEAN_DISTANCES:
            halves = random_halves(tensor, n_splits, spec.seed)
            rdms = (tuple(dissimilarities(half, distance) for half in pair) for pair in halves)
        else:
            # Normalised by the noise of all trials, not of each half.
            tensor, folds = prepared(tensor, folds, distance, spec.noise)
            halves = halves_of_trials(tensor, folds, distance, n_splits, spec.seed)
            rdms = (tuple(trial_dissimilarities(h, folds, distance) for h in p) for p in halves)
        values = [similarities(a[None], b[None], comparator)[0, 0] for a, b in rdms]
    except RepbiasError as error:  # a pattern that is constant in one half; too few folds
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: half of the repeats: {error}")
    whole = spearman_brown(np.array(values), lengthening(tensor).mean())
    low, high = np.percentile(np.sqrt(whole), [2.5, 97.5])
    if low <= MIN_CEILING:
        return Ceiling(np.nan, np.nan, f"{UNAVAILABLE}: halves of the repeats do not agree")
    note = f" ({left_out} units without two repeats left out)" if left_out else ""
    return Ceiling(
        float(low),
        float(high),
        f"sqrt of split-half RDM similarity, Spearman-Brown corrected{note}",
    )


def subject_ceiling(data: Array, comparator: Comparator) -> tuple[float, float]:
    """Return the lower and upper noise ceiling of subjects' RDMs (subject, pair).

    As `rsatoolbox.inference.boot_noise_ceiling`.
    """
    stimuli, subjects = (np.ones((1, n), int) for n in (n_stimuli_of(data), len(data)))
    low, high = resampled_ceilings(data, comparator, stimuli, subjects)
    return float(low[0]), float(high[0])


def resampled_ceilings(
    data: Array,
    comparator: Comparator,
    stimuli: Array,
    subjects: Array,
    average: Literal["draws", "subjects"] = "draws",
) -> tuple[Array, Array]:
    """Return the lower and upper noise ceiling of every bootstrap sample.

    As rsatoolbox: every drawn subject is compared with the average of the others, in which its
    copies do not count, and with that of all. Of one subject alone both are 1. The average is of
    RDMs that are divided by their standard deviation or root mean square (also where the
    comparator whitens), or ranked; for "tau-a" too.

    Parameters
    ----------
    data
        (subject, pair). Pairs that are NaN in all RDMs are left out.
    comparator
        Ranked ones are ranked anew in every sample: some ten times slower.
    stimuli, subjects
        (sample, stimulus) and (sample, subject), how often each was drawn.
    average
        Of what the ceilings are means: of drawn subjects, copies counting, as in the similarities
        that they are compared with; or of the different subjects among them, as in rsatoolbox.

    Returns
    -------
    tuple
        Lower and upper, (sample,).

    Raises
    ------
    RepbiasError
        If different pairs are NaN, or any where RDMs are whitened.
    """
    n = n_stimuli_of(data)
    data, _, kept = present(data, data, comparator)
    xp, where = array_namespace(data), device(data)
    pairs = tuple(i[kept] for i in pairs_of(n, data))
    stimuli, subjects = (xp.asarray(counts, device=where) for counts in (stimuli, subjects))
    compare = _ranked_ceilings if comparator in RANKED else _cosine_ceilings
    lower, upper = compare(data, comparator, stimuli, subjects, pairs)
    share = subjects if average == "draws" else subjects > 0
    share = xp.astype(share, data.dtype)
    share /= xp.sum(share, axis=1, keepdims=True)
    return xp.sum(lower * share, axis=1), xp.sum(upper * share, axis=1)


def _cosine_ceilings(
    data: Array, comparator: Comparator, stimuli: Array, subjects: Array, pairs: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Lower and upper ceiling of every subject (sample, subject) from inner products N.

    The pooled RDM is sum_t v_t x_t with v = r * scale, r how often each was drawn. Upper: its
    cosine with x_s, which is (N v)_s / sqrt(v'N v N_ss); lower: the same without all copies of s.
    """
    xp = array_namespace(data)
    if bool(xp.all(stimuli == stimuli[:1])):  # only subjects are resampled
        stimuli = stimuli[:1]
    gram, own, squares = weighted_products(data, data, comparator, stimuli, pairs)
    if comparator in WHITENED:  # what scales RDMs before they are averaged is not whitened
        plain: Comparator = "cosine" if comparator in UNCENTRED else "corr"
        _, _, squares = weighted_products(data[:1], data, plain, stimuli, pairs)
    v = xp.astype(subjects, data.dtype)
    v = v * ratio(xp.ones_like(squares), xp.sqrt(squares))
    nv = xp.sum(gram * v[:, None], axis=2)
    vnv = xp.sum(v * nv, axis=1, keepdims=True)
    upper = ratio(nv, xp.sqrt(xp.clip(vnv * own, 0)))
    others = xp.clip(vnv - 2 * v * nv + v**2 * own, 0)
    lower = ratio(nv - v * own, xp.sqrt(others * own))
    alone = xp.sum(subjects > 0, axis=1)[:, None] == 1
    return xp.where(alone, upper, lower), upper


def _ranked_ceilings(
    data: Array, comparator: Comparator, stimuli: Array, subjects: Array, pairs: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Lower and upper ceiling of every drawn subject (sample, subject), for comparators of ranks.

    RDMs are ranked with weights and averaged, and the averages ranked again.
    """
    xp, where = array_namespace(data), device(data)
    c = xp.astype(stimuli, xp.int32)
    lower, upper = (xp.zeros(subjects.shape, dtype=data.dtype, device=where) for _ in range(2))
    for sample, drawn in enumerate(c):
        w = drawn[pairs[0]] * drawn[pairs[1]]
        there, who = xp.nonzero(w)[0], xp.nonzero(subjects[sample])[0]
        w = w[there]
        x = [Ties.of(row[there]) for row in data[who]]
        ranks, squares = Ranking.of(x).weighted(w)
        r = xp.astype(subjects[sample][who], xp.float64)[:, None]
        pooled = xp.sum(r * ranks, axis=0, keepdims=True)
        others = pooled - r * ranks if len(x) > 1 else pooled
        averages = [Ties.of(row) for row in xp.concat([others, pooled])]
        if comparator == "tau-a":
            values = _taus(averages, x, w)
        else:
            total = xp.astype(xp.sum(w), xp.float64)
            averaged, pooled_squares = Ranking.of(averages).weighted(w)
            ranks *= w
            low = xp.vecdot(averaged[:-1], ranks), pooled_squares[:-1]
            high = ranks @ averaged[-1], pooled_squares[-1]
            values = [rho(p, xp.sqrt(s * squares), total, comparator) for p, s in (low, high)]
        lower[sample, who], upper[sample, who] = (xp.astype(v, data.dtype) for v in values)
    return lower, upper


def _taus(averages: list[Ties], x: list[Ties], w: Array) -> tuple[Array, Array]:
    """Tau-a of every subject with the average of the others, and with that of all (the last)."""
    on = [Ties(*(v if v is None else on_cpu(v) for v in rdm)) for rdm in (*averages, *x)]
    averages, x, weights = on[: len(averages)], on[len(averages) :], on_cpu(w)
    values = []
    for y, others in zip(x, averages[:-1], strict=True):
        two = [others, averages[-1]]
        values.append(tau_a(two, y, [joint_ties(a, y) for a in two], weights))
    return tuple(array_namespace(w).asarray(np.array(values).T, device=device(w)))
