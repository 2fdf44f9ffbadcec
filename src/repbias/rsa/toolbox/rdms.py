"""Computation and comparison of rsatoolbox's RDMs."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, cast, get_args

import numpy as np
from rsatoolbox.data.base import DatasetBase
from rsatoolbox.rdm import RDMs, concat
from rsatoolbox.rdm import calc_rdm as rsatoolbox_calc_rdm
from rsatoolbox.rdm import compare as rsatoolbox_compare
from rsatoolbox.rdm.combine import from_partials

from repbias.base.spec import RepbiasError
from repbias.geometry.comparison import n_stimuli_of, similarities
from repbias.geometry.distances import crossnobis, sums_by_stimulus
from repbias.geometry.noise import whitened
from repbias.geometry.spec import RdmSimilarity


def calc_rdm(
    dataset: DatasetBase | Iterable[DatasetBase],
    method: str = "euclidean",
    descriptor: str | None = None,
    noise: Any = None,
    cv_descriptor: str | None = None,
    prior_lambda: float = 1.0,
    prior_weight: float = 0.1,
    remove_mean: bool = False,
) -> RDMs:
    """Compute the RDM of a dataset, or of every dataset of a list.

    As `rsatoolbox.rdm.calc_rdm`, except for the order of conditions: rsatoolbox sorts them
    alphabetically if there is a descriptor; here they keep the order in which the datasets have
    them. docs/fast-rsa.md says what else differs.

    Parameters
    ----------
    dataset
        With measurements (observation, channel). Conditions that some datasets of a list lack are
        NaN in their RDMs.
    method
        "crossnobis" without a precision matrix is computed here; everything else by rsatoolbox.
    descriptor
        Observations with the same value are averaged.
    noise
        For "mahalanobis" and "crossnobis": a precision matrix (channel, channel); for "crossnobis"
        also a list or array of one for every fold, or "shrinkage": estimated from the differences
        between observations of the same condition, shrunk towards the diagonal as by
        `rsatoolbox.data.noise.prec_from_unbalanced` (Schäfer & Strimmer 2005), without computing a
        matrix of channels. With a list of datasets, one of these for all, or a list or array of
        one for each.
    cv_descriptor
        Folds of "crossnobis"; by default observations are numbered within their condition.
    prior_lambda, prior_weight
        Of the methods "poisson" and "poisson_cv".
    remove_mean
        Whether the mean over channels is subtracted from every pattern.

    Returns
    -------
    rsatoolbox.rdm.RDMs
        With the dataset's descriptors, the observation descriptors that are constant within every
        condition, and, of a list, those of them that are the same in all datasets.

    Raises
    ------
    RepbiasError
        If the dataset lacks a descriptor or has a time axis, the number of precision matrices is
        not that of datasets, there are no repeats to estimate noise from, a response is not finite
        ("crossnobis"), or a condition is in fewer than two folds.
    """
    if isinstance(dataset, Iterable):
        datasets = list(dataset)
        rdms = [
            calc_rdm(
                d, method, descriptor, n, cv_descriptor, prior_lambda, prior_weight, remove_mean
            )
            for d, n in zip(datasets, _noise_of_each(noise, len(datasets)), strict=True)
        ]
        return _stacked(rdms, descriptor)
    if not hasattr(dataset, "measurements"):
        raise RepbiasError(
            f"found a {type(dataset).__name__}; expected an rsatoolbox dataset or a list of them"
        )
    if np.ndim(dataset.measurements) != 2:
        raise RepbiasError(
            f"measurements have {np.ndim(dataset.measurements)} axes; expected two, observations "
            "and channels (rsatoolbox.rdm.calc_rdm_movie takes temporal datasets)"
        )
    if isinstance(noise, str) and (method, noise) != ("crossnobis", "shrinkage"):
        raise RepbiasError(
            f"noise {noise!r} of method {method!r}; expected a precision matrix, or 'shrinkage' "
            "with 'crossnobis'"
        )
    if isinstance(noise, str) and (descriptor is None or remove_mean):
        raise RepbiasError("noise 'shrinkage' needs a descriptor, and no remove_mean")
    if descriptor is not None:
        _refuse_without(dataset, descriptor)
    if method == "crossnobis" and descriptor and (noise is None or isinstance(noise, str)):
        return _crossnobis(dataset, descriptor, noise, cv_descriptor, remove_mean)
    rdms = rsatoolbox_calc_rdm(
        dataset,
        method,
        descriptor,
        noise,
        cv_descriptor,
        prior_lambda,
        prior_weight,
        remove_mean,
    )
    assert isinstance(rdms, RDMs)  # not a list, of one dataset
    rdms.pattern_descriptors.setdefault("index", list(range(rdms.n_cond)))
    if descriptor is not None:
        order: dict[str, Any] = {descriptor: _numbered(dataset.obs_descriptors[descriptor])[0]}
        rdms.sort_by(**order)
    return rdms


def _noise_of_each(noise: Any, n: int) -> list[Any]:
    """Return the noise of each of n datasets."""
    if n == 0:
        raise RepbiasError("there are no datasets; expected one or more")
    if noise is None or isinstance(noise, str) or (len(noise) and np.ndim(noise[0]) == 1):
        return [noise] * n
    if len(noise) != n:
        raise RepbiasError(
            f"{n} datasets and {len(noise)} precision matrices; expected one matrix for all or for "
            "each"
        )
    return [noise[i] for i in range(n)]


def _refuse_without(dataset: DatasetBase, descriptor: str) -> None:
    if descriptor not in dataset.obs_descriptors:
        raise RepbiasError(
            f"the dataset has no observation descriptor {descriptor!r}; expected one of "
            f"{sorted(dataset.obs_descriptors)}"
        )


def _crossnobis(
    dataset: DatasetBase,
    descriptor: str,
    noise: str | None,
    cv_descriptor: str | None,
    remove_mean: bool,
) -> RDMs:
    """Compute the crossnobis RDM of one dataset, noise-normalised if `noise` is "shrinkage"."""
    conditions, codes = _numbered(dataset.obs_descriptors[descriptor])
    repeats = _occurrences(codes)
    folds = repeats
    if cv_descriptor is not None:
        _refuse_without(dataset, cv_descriptor)
        folds = np.unique(dataset.obs_descriptors[cv_descriptor], return_inverse=True)[1]
    x = np.asarray(dataset.measurements, dtype=np.float64)
    if not np.isfinite(x).all():
        raise RepbiasError(
            f"{(~np.isfinite(x)).any(axis=1).sum()} of {len(x)} observations are not finite; "
            "expected finite numbers"
        )
    if remove_mean:
        x = x - x.mean(axis=1, keepdims=True)
    x = x - x.mean(axis=0)  # for precision
    descriptors: dict[str, Any] = {"cv_descriptor": cv_descriptor or "cv_desc"}
    if noise is not None:
        tensor = np.full((len(conditions), repeats.max() + 1, x.shape[1]), np.nan)
        tensor[codes, repeats] = x
        x = whitened(tensor, "shrinkage")[codes, repeats]
        descriptors["noise"] = noise
    return RDMs(
        _cross_validated(x, codes, folds, len(conditions))[None],
        dissimilarity_measure="crossnobis",
        descriptors=descriptors,
        rdm_descriptors=deepcopy(dataset.descriptors),
        pattern_descriptors={
            **_constant_descriptors(dataset, codes),
            "index": list(range(len(conditions))),
        },
    )


def _cross_validated(
    x: np.ndarray, condition: np.ndarray, fold: np.ndarray, n_conditions: int
) -> np.ndarray:
    """Return the crossnobis distances (pair,) of whitened observations (observation, channel).

    As rsatoolbox: the mean over folds of d_ij = g_ii + g_jj - g_ij - g_ji, where g_ij is the
    product of the mean of i in the fold and the mean of j in all other folds. That is the mean
    product of two trials in different folds, which is faster, if all folds have the same number of
    trials of a condition; and it is the latter if a fold lacks a condition, where rsatoolbox fails
    or compares patterns of different conditions.
    """
    labels, fold = np.unique(fold, return_inverse=True)
    counts = np.zeros((len(labels), n_conditions, 1))
    np.add.at(counts, (fold, condition), 1)
    if not counts.all() or (counts == counts[0]).all():
        return crossnobis(x, condition, fold, n_conditions)
    total = sums_by_stimulus(x, condition, n_conditions)
    gram = np.zeros((n_conditions, n_conditions))
    for i, n in enumerate(counts):
        inside = fold == i
        sums = sums_by_stimulus(x[inside], condition[inside], n_conditions)
        gram += (sums / n) @ ((total - sums) / (counts.sum(axis=0) - n)).T
    gram /= len(labels) * x.shape[1]
    own = np.diagonal(gram)
    distances = own[:, None] + own - gram - gram.T
    return distances[np.triu_indices(n_conditions, 1)]


def _constant_descriptors(dataset: DatasetBase, codes: np.ndarray) -> dict[str, list[Any]]:
    """Return every condition's value of the observation descriptors that have only one."""
    first = np.unique(codes, return_index=True)[1]
    values = {k: list(v) for k, v in dataset.obs_descriptors.items()}
    return {
        name: [v[i] for i in first]
        for name, v in values.items()
        if all(v[i] == v[first[code]] for i, code in enumerate(codes))
    }


def _numbered(values: Iterable[Any]) -> tuple[list[Any], np.ndarray]:
    """Return the distinct values in order of appearance, and the number of each value's."""
    values = list(values)
    distinct = list(dict.fromkeys(values))
    number = {value: i for i, value in enumerate(distinct)}
    return distinct, np.array([number[value] for value in values])


def _occurrences(codes: np.ndarray) -> np.ndarray:
    """Return how many equal values precede each value."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], codes[order])
    result = np.empty(len(codes), int)
    result[order] = np.arange(len(codes)) - starts
    return result


def _stacked(rdms: list[RDMs], descriptor: str | None) -> RDMs:
    """Return the RDMs of several datasets as one object.

    As rsatoolbox, but descriptors of a single dataset and pattern descriptors that all datasets
    share are not lost, and datasets may differ in their descriptors and in their numbers of
    channels.
    """
    if len(rdms) == 1:
        return rdms[0]
    noise = [r.descriptors.pop("noise", None) for r in rdms]
    shared = set.intersection(*(set(r.rdm_descriptors) for r in rdms))
    for r in rdms:
        r.rdm_descriptors = {k: v for k, v in r.rdm_descriptors.items() if k in shared}
    if descriptor is None:
        result = _concatenated(rdms)
    else:
        result = from_partials(rdms, descriptor=descriptor)
        result.pattern_descriptors.update(_shared_descriptors(rdms, result, descriptor))
    if all(np.array_equal(n, noise[0]) for n in noise):
        if noise[0] is not None:
            result.descriptors["noise"] = noise[0]
    elif len({np.shape(n) for n in noise}) == 1:  # others cannot be saved
        result.rdm_descriptors["noise"] = noise
    return result


def _concatenated(rdms: list[RDMs]) -> RDMs:
    """Return RDMs without a descriptor of conditions as one object.

    As rsatoolbox, in the order of the first descriptor that has no value twice, or as they are.
    """
    n = rdms[0].n_cond
    shared = set.intersection(*(set(r.pattern_descriptors) for r in rdms))
    names = [k for k in rdms[0].pattern_descriptors if k in shared]
    for r in rdms:
        r.pattern_descriptors = {k: np.asarray(r.pattern_descriptors[k]) for k in names}
    values = {k: set(rdms[0].pattern_descriptors[k].tolist()) for k in names}
    target = next((k for k in names if k != "index" and len(values[k]) == n), None)
    for r in rdms[1:]:
        if r.n_cond != n or (target and set(r.pattern_descriptors[target]) != values[target]):
            raise RepbiasError(
                f"datasets of {n} and of {r.n_cond} observations"
                + (f", which differ in {target!r}" if target else "")
                + "; expected the same ones, or a descriptor"
            )
    return concat(rdms, target_pdesc=target)


def _shared_descriptors(rdms: list[RDMs], stacked: RDMs, descriptor: str) -> dict[str, list[Any]]:
    """Return the pattern descriptors that are the same for a condition in all RDMs."""
    result = {}
    for name in set.intersection(*(set(r.pattern_descriptors) for r in rdms)) - {"index"}:
        pairs = [
            pair
            for r in rdms
            for pair in zip(
                r.pattern_descriptors[descriptor], r.pattern_descriptors[name], strict=True
            )
        ]
        value = dict(pairs)
        if all(value[condition] == v for condition, v in pairs):
            result[name] = [value[c] for c in stacked.pattern_descriptors[descriptor]]
    return result


def compare(
    rdm1: RDMs | np.ndarray,
    rdm2: RDMs | np.ndarray,
    method: str = "cosine",
    sigma_k: np.ndarray | None = None,
) -> np.ndarray:
    """Compare every RDM with every other.

    As `rsatoolbox.rdm.compare`; docs/fast-rsa.md says what differs.

    Parameters
    ----------
    rdm1, rdm2
        Over the same conditions: pattern descriptors that both have must be equal. Or upper
        triangles, (rdm, pair) or (pair,).
    method
        As rsatoolbox calls it.
    sigma_k
        Covariance of the patterns' noise. If it is given, dissimilarities are missing (NaN), or
        there are only two conditions, rsatoolbox is called.

    Returns
    -------
    numpy.ndarray
        (rdm of rdm1, rdm of rdm2).

    Raises
    ------
    RepbiasError
        If RDMs have other conditions.
    """
    if isinstance(rdm1, RDMs) and isinstance(rdm2, RDMs):
        refuse_other_patterns(rdm1, rdm2)
    a, b = _vectors(rdm1), _vectors(rdm2)
    if sigma_k is None and a.shape[1] == b.shape[1] and computed_here(method, a, b):
        return similarities(a, b, cast("RdmSimilarity", method))
    # It takes arrays too, other than its annotations say.
    return rsatoolbox_compare(cast("RDMs", rdm1), cast("RDMs", rdm2), method, sigma_k)


def _vectors(rdms: RDMs | np.ndarray) -> np.ndarray:
    """Return upper triangles (rdm, pair) in double precision."""
    vectors = np.atleast_2d(rdms) if isinstance(rdms, np.ndarray) else rdms.get_vectors()
    if vectors.ndim != 2:
        raise RepbiasError(
            f"an array of RDMs has {vectors.ndim} axes; expected upper triangles, (rdm, pair)"
        )
    return vectors.astype(np.float64)


def computed_here(method: str, *vectors: np.ndarray) -> bool:
    """Return whether RDMs (rdm, pair) are compared here and not by rsatoolbox."""
    return method in get_args(RdmSimilarity) and all(
        v.shape[1] > 1
        and v.shape[1] == n_stimuli_of(v) * (n_stimuli_of(v) - 1) // 2
        and np.isfinite(v).all()
        for v in vectors
    )


def refuse_other_patterns(first: RDMs, second: RDMs, *descriptors: str) -> None:
    """Refuse RDMs of other conditions, by every descriptor that both have, and those named.

    "index", which RDMs have without being told, counts if there is no other.
    """
    if first.n_cond != second.n_cond:
        raise RepbiasError(
            f"RDMs of {first.n_cond} and of {second.n_cond} conditions; expected the same"
        )
    shared = first.pattern_descriptors.keys() & second.pattern_descriptors.keys()
    names = (shared | set(descriptors)) - {"index"} or {"index"}
    for name in sorted(names):
        a, b = (list(rdms.pattern_descriptors.get(name, [])) for rdms in (first, second))
        if a != b:
            i = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
            found = f"{a[i]} and {b[i]}" if a and b else "in one of the two only"
            raise RepbiasError(
                f"the pattern descriptor {name!r} of two RDMs differs (number {i}: {found}); "
                "expected the same conditions in the same order"
            )
