"""Intervals and noise ceilings of comparisons between model RDMs and a recording's RDMs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from rsatoolbox.inference import boot_noise_ceiling
from rsatoolbox.rdm import compare
from scipy.spatial.distance import squareform
from scipy.stats import rankdata
from scipy.stats import t as student

from repbias.geometry.distances import (
    halves_of_trials,
    prepared,
    trial_dissimilarities,
    usable_units,
)
from repbias.geometry.rdms import dissimilarities, make_rdms, subject_patterns
from repbias.geometry.spec import MEAN_DISTANCES, Comparator, Generalise, Geometry
from repbias.recordings.reliability import (
    MIN_CEILING,
    UNAVAILABLE,
    lengthening,
    random_halves,
    spearman_brown,
)
from repbias.spec import RepbiasError
from repbias.store import Recording

#: Numbers (float64) that one array of a bootstrap holds at most: 128 MB.
MEMORY = 2**24
#: Comparators of whitened RDMs (Diedrichsen et al. 2021).
WHITENED = ("corr_cov", "cosine_cov")
#: Comparators that do not subtract the mean dissimilarity.
UNCENTRED = ("cosine", "cosine_cov")
#: From this number of stimuli on rsatoolbox 0.3.2 cannot whiten.
_MAX_WHITENED = 100
#: What intervals are called, by the factors that are resampled.
INTERVALS = {
    "both": "95 %, dual bootstrap of stimuli and subjects",
    "stimuli": "95 %, bootstrap of stimuli (these subjects only)",
    "subjects": "95 %, bootstrap of subjects (these stimuli only)",
}


def n_stimuli_of(vectors: np.ndarray) -> int:
    """Return the number of stimuli of upper triangles (..., pair)."""
    return round((1 + np.sqrt(1 + 8 * vectors.shape[-1])) / 2)


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
    if comparator in WHITENED and n >= _MAX_WHITENED:
        return unit(a, comparator) @ unit(b, comparator).T
    return compare(_rdms(a, n), _rdms(b, n), comparator)


@dataclass
class Evaluation:
    """Similarity of every model with a recording.

    Attributes
    ----------
    similarity : (model,) mean over subjects
    by_subject : (model, subject)
    ci_low, ci_high : (model,) 95 % interval
    degrees : (model,) degrees of freedom of the interval
    interval : what the interval generalises to
    """

    similarity: np.ndarray
    by_subject: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    degrees: np.ndarray
    interval: str


def evaluate(
    models: np.ndarray,
    data: np.ndarray,
    comparator: Comparator,
    bootstraps: int,
    seed: int,
    generalise: Generalise = "auto",
) -> Evaluation:
    """Compare fixed models with every subject's RDM; intervals from the bootstrap.

    Where both stimuli and subjects are resampled the variance is that of the dual bootstrap
    (Schütt et al. 2023, eLife, eq. 4 with small-sample corrections, as in
    `rsatoolbox.inference.eval_dual_bootstrap`): resampling both together counts measurement
    noise more than once, so three bootstraps are combined.

    Parameters
    ----------
    models
        (model, pair).
    data
        (subject, pair), over the same stimuli in the same order.
    comparator
        As rsatoolbox calls it.
    bootstraps
        Number of samples.
    seed
        Of the resampling.
    generalise
        What is resampled: "stimuli", "subjects", "both", or "auto": both where there are two
        subjects or more, else stimuli.

    Raises
    ------
    RepbiasError
        If an RDM is not finite, or subjects are to be resampled and there is one.
    """
    refuse_not_finite(models, "models")
    refuse_not_finite(data, "subjects")
    draws = Draws.of(n_stimuli_of(data), len(data), bootstraps, seed, generalise)
    by_subject = similarities(models, data, comparator)
    # Blocks of models, so that the samples of one block fit the memory.
    size = max(1, MEMORY // (bootstraps * len(data)))
    variance, degrees = np.empty((2, len(models)))
    for start in range(0, len(models), size):
        block = slice(start, start + size)
        resampled = None
        if draws.level != "subjects":
            resampled = resampled_similarity(models[block], data, comparator, draws.stimuli)
        samples = draws.means(by_subject[block], resampled)
        variances = {k: v.var(axis=0, ddof=1) for k, v in samples.items()}
        variance[block], degrees[block] = draws.variance(variances), draws.degrees(variances)
    mean = by_subject.mean(axis=1)
    width = student.ppf(0.975, degrees) * np.sqrt(variance)
    return Evaluation(mean, by_subject, mean - width, mean + width, degrees, INTERVALS[draws.level])


def refuse_not_finite(vectors: np.ndarray, what: str) -> None:
    """Refuse RDMs (rdm, pair) with values that are not finite."""
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise RepbiasError(
            f"RDMs of {what}: {len(bad)} of {len(vectors)} have dissimilarities that are not "
            f"finite (the first is number {bad[0]}); expected finite numbers"
        )


@dataclass
class Draws:
    """Bootstrap samples, the same for all models.

    Attributes
    ----------
    level : what is resampled: "stimuli", "subjects" or "both"
    stimuli : (sample, stimulus) how often each was drawn; samples of fewer than three different
        stimuli have no similarity and are left out, as in rsatoolbox
    subjects : (sample, subject)
    """

    level: str
    stimuli: np.ndarray
    subjects: np.ndarray

    @classmethod
    def of(
        cls, n_stimuli: int, n_subjects: int, bootstraps: int, seed: int, generalise: Generalise
    ) -> Draws:
        """Draw the samples."""
        level = generalise
        if generalise == "auto":
            level = "both" if n_subjects > 1 else "stimuli"
        elif generalise != "stimuli" and n_subjects < 2:
            raise RepbiasError(
                f"geometry.generalise: {generalise!r} resamples subjects, but the recording has "
                f"{n_subjects}; expected at least 2, or 'stimuli' or 'auto'"
            )
        rng = np.random.default_rng(seed)
        stimuli = rng.multinomial(n_stimuli, np.full(n_stimuli, 1 / n_stimuli), size=bootstraps)
        stimuli = stimuli[(stimuli > 0).sum(axis=1) >= 3]
        share = np.full(n_subjects, 1 / n_subjects)
        return cls(level, stimuli, rng.multinomial(n_subjects, share, size=len(stimuli)))

    def counts(self) -> dict[str, int]:
        """Return the number of each resampled factor: stimuli, subjects or both."""
        n = {"stimuli": self.stimuli.shape[1], "subjects": self.subjects.shape[1]}
        return n if self.level == "both" else {self.level: n[self.level]}

    def degrees(
        self,
        variances: dict[str, np.ndarray],
        more: Iterable[tuple[np.ndarray, np.ndarray | int]] = (),
    ) -> np.ndarray:
        """Degrees of freedom of a sum of variances (Satterthwaite 1946).

        (sum V)^2 / sum(V^2 / d) over the factors that vary, each of n levels and d = n - 1. Those
        of the smallest factor alone, as rsatoolbox takes them, make a few subjects or networks that
        hardly differ count as if all variance were theirs.

        Parameters
        ----------
        variances
            Of the bootstraps of :meth:`means`.
        more
            Further independent variances, and their degrees of freedom.
        """
        parts = [(variances[factor] * n / (n - 1), n - 1) for factor, n in self.counts().items()]
        more = list(more)
        total = self.variance(variances) + sum(v for v, _ in more)
        parts += more
        weight = sum(v**2 / d for v, d in parts)
        fewest = np.min([np.broadcast_to(d, np.shape(total)) for _, d in parts], axis=0)
        return np.maximum(_ratio(total**2, weight), fewest)

    def means(self, full: np.ndarray, resampled: np.ndarray | None) -> dict[str, np.ndarray]:
        """Average over subjects in every sample of every bootstrap that the level needs.

        Parameters
        ----------
        full
            (model, subject) similarity over all stimuli.
        resampled
            (sample, model, subject) similarity over resampled stimuli.

        Returns
        -------
        dict
            Of (sample, model): "stimuli", "subjects", "both", or one of the first two.
        """
        share = self.subjects / self.subjects.shape[1]
        result = {}
        if self.level != "subjects":
            result["stimuli"] = resampled.mean(axis=2)
        if self.level != "stimuli":
            result["subjects"] = share @ full.T
        if self.level == "both":
            result["both"] = np.einsum("bms,bs->bm", resampled, share)
        return result

    def variance(self, variances: dict[str, np.ndarray]) -> np.ndarray:
        """Combine the variances of the bootstraps of :meth:`means`, with n / (n - 1) each."""
        n = self.counts()
        if self.level == "both":
            return dual_variance(
                *(variances[k] for k in ("both", "subjects", "stimuli")),
                n["subjects"],
                n["stimuli"],
            )
        return variances[self.level] * n[self.level] / (n[self.level] - 1)


def dual_variance(
    both: np.ndarray,
    by_subjects: np.ndarray,
    by_stimuli: np.ndarray,
    n_subjects: int,
    n_stimuli: int,
) -> np.ndarray:
    """Combine three bootstrap variances (Schütt et al. 2023, small-sample form)."""
    subjects = by_subjects * n_subjects / (n_subjects - 1)
    stimuli = by_stimuli * n_stimuli / (n_stimuli - 1)
    factor = n_subjects * n_stimuli / ((n_subjects - 1) * (n_stimuli - 1))
    variance = subjects + stimuli - factor * (both - by_subjects - by_stimuli)
    return np.minimum(np.maximum(np.maximum(variance, subjects), stimuli), both)


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
            result[sample] = compare(_copies(models, c), _copies(data, c), comparator)
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
        for block, md, mm, dd in _products(models[rows], data, comparator, counts):
            norms = np.sqrt(mm[:, :, None] * dd[:, None, :])
            result[block, rows] = _ratio(md, norms)
    return result


def _copies(vectors: np.ndarray, counts: np.ndarray) -> np.ndarray:
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


def _products(
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
    """Solve d_u a_u + sum_v c_v a_v = h_u for a (sample, rdm, stimulus); see :func:`_products`."""
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
    return _ratio(products, np.sqrt(np.outer(squares_m, squares_d)))


def _ratio(products: np.ndarray, norms: np.ndarray) -> np.ndarray:
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

    * Two subjects or more: leave-one-subject-out and full-group bounds (Nili et al. 2014), by
      rsatoolbox: the RDMs are normalised (or ranked) as the comparator does, then averaged.
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
    values = []
    try:
        if distance in MEAN_DISTANCES:
            for pair in random_halves(tensor, n_splits, spec.seed):
                first, second = (dissimilarities(half, distance) for half in pair)
                values.append(similarities(first[None], second[None], comparator)[0, 0])
        else:
            # Normalised by the noise of all trials, not of each half.
            tensor, folds = prepared(tensor, folds, distance, spec.noise)
            for pair in halves_of_trials(tensor, folds, distance, n_splits, spec.seed):
                first, second = (trial_dissimilarities(half, folds, distance) for half in pair)
                values.append(similarities(first[None], second[None], comparator)[0, 0])
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


def subject_ceiling(data: np.ndarray, comparator: Comparator) -> tuple[float, float]:
    """Return rsatoolbox's lower and upper noise ceiling of subjects' RDMs (subject, pair).

    Whitened comparators from 100 stimuli on, where rsatoolbox fails, by the same formula.
    """
    n = n_stimuli_of(data)
    if comparator not in WHITENED or n < _MAX_WHITENED:
        low, high = boot_noise_ceiling(_rdms(data, n), comparator)
        return float(low), float(high)
    gram = embedding(data, comparator)
    gram = gram @ gram.T
    scale = _pooling_scale(data, comparator, np.ones((1, n)))
    return tuple(float(v[0]) for v in _gram_ceiling(gram[None], scale, np.ones((1, len(data)))))


def _pooling_scale(data: np.ndarray, comparator: Comparator, counts: np.ndarray) -> np.ndarray:
    """Return (sample, subject) by what rsatoolbox multiplies RDMs before it averages them.

    One over the standard deviation or root mean square of plain dissimilarities, whether or not
    the comparator whitens.
    """
    plain = "cosine" if comparator in UNCENTRED else "corr"
    squares = [dd for _, _, _, dd in _products(data[:1], data, plain, counts)]
    squares = np.concatenate(squares)
    return np.divide(1, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)


def _gram_ceiling(
    gram: np.ndarray, scale: np.ndarray, subjects: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ceiling from inner products between subjects.

    The pooled RDM is sum_t v_t x_t with v = r * scale. Upper: its cosine with x_s, which is
    (N v)_s / sqrt(v'N v N_ss); lower: the same without all copies of s; means over drawn subjects.

    Parameters
    ----------
    gram
        (sample, subject, subject), N.
    scale
        (sample, subject).
    subjects
        (sample, subject), r: how often each was drawn.
    """
    v = subjects * scale
    nv = np.einsum("bst,bt->bs", gram, v)
    own = np.einsum("bss->bs", gram)
    vnv = (v * nv).sum(axis=1, keepdims=True)
    upper = _ratio(nv, np.sqrt(np.maximum(vnv * own, 0)))
    others = np.maximum(vnv - 2 * v * nv + v**2 * own, 0)
    lower = _ratio(nv - v * own, np.sqrt(others * own))
    share = subjects / subjects.sum(axis=1, keepdims=True)
    return (lower * share).sum(axis=1), (upper * share).sum(axis=1)


def resampled_lower_ceiling(
    data: np.ndarray, comparator: Comparator, stimuli: np.ndarray, subjects: np.ndarray
) -> np.ndarray:
    """Return the lower noise ceiling of every bootstrap sample.

    As rsatoolbox: every drawn subject is compared with the average of the others, in which its
    copies do not count. The mean is over drawn subjects, copies counting, as in the similarities
    that it is compared with.

    Parameters
    ----------
    data
        (subject, pair).
    comparator
        Ranked ones and "tau-a" are ranked anew in every sample: some ten times slower.
    stimuli, subjects
        (sample, stimulus) and (sample, subject), how often each was drawn; at least two different
        subjects in every sample.

    Returns
    -------
    numpy.ndarray
        (sample,).
    """
    if comparator not in ("spearman", "rho-a", "tau-a"):
        gram = [xy for _, xy, _, _ in _products(data, data, comparator, stimuli)]
        scale = _pooling_scale(data, comparator, stimuli)
        return _gram_ceiling(np.concatenate(gram), scale, subjects)[0]
    result = np.empty(len(stimuli))
    for sample, (c, r) in enumerate(zip(stimuli, subjects, strict=True)):
        x = _copies(data, c)
        ranks, drawn = rankdata(x, axis=1), np.flatnonzero(r)
        others = r * ~np.eye(len(r), dtype=bool)
        values = [compare((others[s] @ ranks)[None], x[[s]], comparator)[0, 0] for s in drawn]
        result[sample] = np.average(values, weights=r[drawn])
    return result


def _rdms(vectors: np.ndarray, n_stimuli: int):
    return make_rdms(vectors, np.arange(n_stimuli).astype(str), "given", {})
