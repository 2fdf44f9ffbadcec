"""Kernels of a recording's patterns, free of what noise adds to them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from repbias.auditing.shares import centred, kernel_of
from repbias.base.spec import RepbiasError
from repbias.geometry.spec import Geometry
from repbias.geometry.trials import normalises, prepared, usable_units
from repbias.io.recordings import Recording
from repbias.rsa.patterns import SubjectPatterns, subject_patterns

logger = logging.getLogger(__name__)

#: Ways to split repeats in halves that are averaged over.
MOST_SPLITS = 10


@dataclass(frozen=True, eq=False)
class Noise:
    """What varies between repeats of one subject.

    Attributes
    ----------
    root : L with L L' = Y S Y', (stimulus, unit or trial), of centred mean patterns Y and the
        noise covariance S between units
    square : sum of the squared elements of S
    n_repeats : repeats of a stimulus, harmonic mean
    """

    root: np.ndarray
    square: float
    n_repeats: float


@dataclass(frozen=True, eq=False)
class SubjectKernel:
    """The kernel of one subject's patterns, in units of its trace.

    Attributes
    ----------
    subject : name
    kernel : (stimulus, stimulus): inner products of patterns of different repeats, or, of one
        repeat, of the patterns
    means : (stimulus, stimulus): inner products of mean patterns
    without : (fold, stimulus, stimulus): the kernel without each fold; empty of one
    halves : (split, 2, stimulus, stimulus): kernels of disjoint halves of the folds; empty of one
    noise : what varies between repeats, of responses that have some
    """

    subject: str
    kernel: np.ndarray
    means: np.ndarray
    without: np.ndarray
    halves: np.ndarray
    noise: Noise | None = None


def subject_kernels(recording: Recording, spec: Geometry, seed: int) -> list[SubjectKernel]:
    """Return the kernel of every subject of a recording (or of a region of one).

    From responses, by `spec.recording_distance`: inner products of patterns for Euclidean
    distances; of patterns that are centred over units and have unit norm for correlation; of
    noise-normalised patterns for Mahalanobis and crossnobis. Patterns are those of different folds,
    so that noise does not add to any product. From RDMs: the kernel of every session's RDM.

    Raises
    ------
    RepbiasError
        If the distance has no kernel, or there are no units that it can use.
    """
    if recording.rdms is not None:
        return list(_of_rdms(recording))
    if spec.recording_distance.startswith("poisson"):
        raise RepbiasError(
            f"audit: {spec.recording_distance} distance is not divided among features; expected "
            "geometry.recording_distance: correlation, euclidean, squared_euclidean, mahalanobis "
            "or crossnobis"
        )
    kernels = []
    for patterns in subject_patterns(recording):
        usable, needs = usable_units(
            patterns.tensor, patterns.folds, spec.recording_distance, spec.noise
        )
        if usable.sum() < spec.min_units:
            logger.warning(
                "%s: %d units were %s; not audited", patterns.subject, usable.sum(), needs
            )
            continue
        kernels.append(_of_patterns(patterns, usable, spec, seed))
    if not kernels:
        raise RepbiasError(f"audit: no subject has {spec.min_units} units that can be used")
    return kernels


def mean_kernel(recording: Recording, spec: Geometry) -> np.ndarray:
    """Return the mean over subjects of the kernels of :func:`subject_kernels`, and nothing else.

    Of subjects that have too few units, or folds, as there.
    """
    kernels = []
    for patterns in subject_patterns(recording):
        usable, _ = usable_units(
            patterns.tensor, patterns.folds, spec.recording_distance, spec.noise
        )
        if usable.sum() >= spec.min_units:
            tensor, of_fold = _prepared(patterns, usable, spec)
            means = np.nanmean(tensor, axis=1)
            kernel = products(of_fold)
            scale = (means**2).sum() - (means.mean(axis=0) ** 2).sum() * len(means)
            kernels.append((means @ means.T if kernel is None else kernel) / scale)
    if not kernels:
        raise RepbiasError(f"audit: no subject has {spec.min_units} units that can be used")
    result: np.ndarray = np.mean(kernels, axis=0)
    return result


def squared(vectors: np.ndarray, distance: str) -> np.ndarray:
    """Return dissimilarities (..., pair) as squared distances, or a multiple of them.

    Raises
    ------
    RepbiasError
        If the distance is none.
    """
    if distance == "euclidean":
        return vectors**2
    if distance in ("correlation", "squared_euclidean", "mahalanobis", "crossnobis", "cosine"):
        return vectors
    raise RepbiasError(
        f"audit: dissimilarities of the kind {distance!r} are not divided among features; "
        "expected correlation, euclidean, squared_euclidean, mahalanobis, crossnobis or cosine"
    )


def _of_rdms(recording: Recording) -> Iterator[SubjectKernel]:
    assert recording.rdms is not None
    vectors = squared(recording.rdms, str(recording.info.get("distance", "unknown")))
    subjects = recording.rdm_info["subject"]
    for subject in dict.fromkeys(subjects):
        of_session = np.stack([kernel_of(v) for v in vectors[subjects == subject]])
        kernel = of_session.mean(axis=0)
        n = len(of_session)
        yield _in_units_of_trace(
            SubjectKernel(
                str(subject),
                kernel,
                kernel,
                (n * kernel - of_session) / (n - 1) if n > 1 else of_session[:0],
                np.stack(
                    [
                        [of_session[list(a)].mean(axis=0), of_session[list(b)].mean(axis=0)]
                        for a, b in _splits(n, 0)
                    ]
                )
                if n > 1
                else np.empty((0, 2, *kernel.shape)),
            )
        )


def _of_patterns(
    patterns: SubjectPatterns, usable: np.ndarray, spec: Geometry, seed: int
) -> SubjectKernel:
    tensor, of_fold = _prepared(patterns, usable, spec)
    means = np.nanmean(tensor, axis=1)
    kernel = products(of_fold)
    several = kernel is not None
    n = len(means)
    halves = []
    for a, b in _splits(len(of_fold), seed) if several else []:
        pair = [of_fold[list(half)] for half in (a, b)]
        # A unit with few repeats of a stimulus may have none in a half.
        if not any(np.isnan(half).all(axis=0).any() for half in pair):
            means_of_halves = [np.nanmean(half, axis=0) for half in pair]
            halves.append([half @ half.T for half in means_of_halves])
    without = []
    for f in range(len(of_fold)) if several else []:
        left = products(np.delete(of_fold, f, axis=0)) if len(of_fold) > 2 else None
        if left is None and len(of_fold) > 2:
            left = kernel
        if left is not None:
            without.append(left)
    return _in_units_of_trace(
        SubjectKernel(
            patterns.subject,
            means @ means.T if kernel is None else kernel,
            means @ means.T,
            np.array(without).reshape(-1, n, n),
            np.array(halves).reshape(-1, 2, n, n),
            _noise(tensor, means) if len(halves) else None,
        )
    )


def _prepared(
    patterns: SubjectPatterns, usable: np.ndarray, spec: Geometry
) -> tuple[np.ndarray, np.ndarray]:
    """Return trials (stimulus, repeat, unit) as the distance wants them, and their fold means."""
    distance = spec.recording_distance
    tensor, folds = patterns.tensor[:, :, usable], patterns.folds
    if normalises(distance, spec.noise):
        tensor, folds = prepared(tensor, folds, distance, spec.noise)
    tensor = _normalised(tensor, distance == "correlation")
    return tensor, _fold_means(tensor, folds)


def _normalised(tensor: np.ndarray, to_unit_norm: bool) -> np.ndarray:
    """Centre trials over units and divide them by the norm of their stimulus' mean.

    Otherwise only the mean over stimuli is subtracted, for precision.
    """
    if not to_unit_norm:
        return tensor - np.nanmean(np.nanmean(tensor, axis=1), axis=0)
    # Stimuli with fewer repeats than others have places of trials without any unit.
    empty = np.isnan(tensor).all(axis=2, keepdims=True)
    tensor = tensor - np.nanmean(np.where(empty, 0, tensor), axis=2, keepdims=True)
    norm = np.linalg.norm(np.nanmean(tensor, axis=1), axis=1)
    if (norm == 0).any():
        raise RepbiasError(f"audit: {(norm == 0).sum()} patterns are constant over units")
    return tensor / norm[:, None, None]


def _fold_means(tensor: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return mean patterns of every fold, (fold, stimulus, unit), NaN where there is no trial.

    A trial in which some units were not observed counts where they were.
    """
    labels = np.unique(folds[folds >= 0])
    result = np.full((len(labels), len(tensor), tensor.shape[2]), np.nan)
    observed = ~np.isnan(tensor)
    for i, label in enumerate(labels):
        inside = observed & (folds == label)[:, :, None]
        counts = inside.sum(axis=1)
        sums = np.where(inside, tensor, 0).sum(axis=1)
        np.divide(sums, counts, out=result[i], where=counts > 0)
    return result


def products(of_fold: np.ndarray) -> np.ndarray | None:
    """Return mean inner products of patterns of different folds; None if a pair has none.

    Products of a stimulus with itself, where it has one fold only, are of that fold; the estimator
    does not depend on them.

    Parameters
    ----------
    of_fold
        (fold, stimulus, unit), NaN where there is no pattern.
    """
    observed = ~np.isnan(of_fold)
    values = np.where(observed, of_fold, 0)
    total = values.sum(axis=0)
    kernel = total @ total.T - sum(fold @ fold.T for fold in values)
    n_folds = len(of_fold)
    if observed.all():
        return kernel / (n_folds * (n_folds - 1)) if n_folds > 1 else None
    seen = observed.astype(np.float64)
    of_all = seen.sum(axis=0)
    counts = of_all @ of_all.T - sum(fold @ fold.T for fold in seen)
    # Units that were not observed together do not count; the mean over units keeps the scale.
    n_units = of_fold.shape[2]
    off_diagonal = ~np.eye(len(counts), dtype=bool)
    if (counts[off_diagonal] == 0).any():
        return None
    return kernel * n_units / np.where(counts > 0, counts, 1)


def _splits(n: int, seed: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return ways to split n folds into two halves, at most ten."""
    half = n // 2
    if n <= 5:
        ways = [
            (first, second)
            for first in combinations(range(n), half)
            for second in combinations(sorted(set(range(n)) - set(first)), half)
            if first < second
        ]
        return ways[:MOST_SPLITS]
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(n) for _ in range(MOST_SPLITS)]
    return [(tuple(o[:half]), tuple(o[half : 2 * half])) for o in orders]


def _noise(tensor: np.ndarray, means: np.ndarray) -> Noise:
    """Estimate the noise from deviations of repeats from their stimulus' mean.

    ||S||^2 is estimated by products of different stimuli's deviations, whose expected value it is
    whatever the distribution; that of the estimated covariance is too large.
    """
    counts = (~np.isnan(tensor)).any(axis=2).sum(axis=1)
    several = counts > 1
    deviations = np.nan_to_num(tensor - means[:, None])[several]
    n, r, p = deviations.shape
    rows = deviations.reshape(-1, p)
    products = ((rows @ rows.T) ** 2).reshape(n, r, n, r).sum(axis=(1, 3))
    spare = (counts - 1)[several]
    products /= spare[:, None] * spare
    np.fill_diagonal(products, 0)
    means = means - means.mean(axis=0)
    degrees = spare.sum()
    if len(rows) <= p:
        root = means @ rows.T / np.sqrt(degrees)
    else:
        values, vectors = np.linalg.eigh(rows.T @ rows / degrees)
        root = means @ (vectors * np.sqrt(np.maximum(values, 0)))
    square = products.sum() / (n * (n - 1))
    return Noise(root, float(square), float(len(counts) / (1 / counts).sum()))


def _in_units_of_trace(kernel: SubjectKernel) -> SubjectKernel:
    """Scale a subject's kernels so that all subjects count alike."""
    scale = 1 / np.trace(centred(kernel.means))
    noise = kernel.noise
    if noise is not None:
        noise = Noise(noise.root * scale, noise.square * scale**2, noise.n_repeats)
    return SubjectKernel(
        kernel.subject,
        kernel.kernel * scale,
        kernel.means * scale,
        kernel.without * scale,
        kernel.halves * scale,
        noise,
    )
