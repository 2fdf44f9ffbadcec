"""Computation and comparison of rsatoolbox's RDMs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast, get_args

import numpy as np
from rsatoolbox.data.base import DatasetBase
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm import calc_rdm as rsatoolbox_calc_rdm
from rsatoolbox.rdm import compare as rsatoolbox_compare

from repbias.base.spec import RepbiasError
from repbias.geometry.comparison import similarities
from repbias.geometry.distances import crossnobis
from repbias.geometry.noise import whitened
from repbias.geometry.spec import RdmSimilarity


def calc_rdm(
    dataset: DatasetBase | Iterable[DatasetBase],
    method: str = "euclidean",
    descriptor: str | None = None,
    noise: np.ndarray | str | None = None,
    cv_descriptor: str | None = None,
    **options: Any,
) -> RDMs:
    """Compute the RDM of a dataset, or of every dataset of a list.

    As `rsatoolbox.rdm.calc_rdm`, except for the order of conditions: rsatoolbox sorts them
    alphabetically if there is a descriptor; here they keep the order in which the (first) dataset
    has them.

    Parameters
    ----------
    dataset
        With measurements (observation, channel).
    method
        "crossnobis" without a precision matrix is computed here; everything else by rsatoolbox.
    descriptor
        Observations with the same value are averaged.
    noise
        For "mahalanobis" and "crossnobis": a precision matrix (channel, channel), or "shrinkage"
        ("crossnobis" only): estimated from the differences between observations of the same
        condition, shrunk towards the diagonal as by `rsatoolbox.data.noise.prec_from_unbalanced`
        (Schäfer & Strimmer 2005), without computing a matrix of channels. As in rsatoolbox, a list
        has one for every dataset.
    cv_descriptor
        Folds of "crossnobis"; by default observations are numbered within their condition.
    **options
        Passed on to rsatoolbox.

    Raises
    ------
    RepbiasError
        If datasets have different conditions, there are no repeats to estimate noise from, or
        a condition is in fewer than two folds.
    """
    if not isinstance(dataset, DatasetBase):
        datasets = list(dataset)
        noises = list(noise) if isinstance(noise, (list, tuple)) else [noise] * len(datasets)
        if not datasets or len(noises) != len(datasets):
            raise RepbiasError(
                f"{len(datasets)} datasets and {len(noises)} precision matrices; expected one "
                "dataset or more, and one matrix for all or for each"
            )
        rdms = [
            calc_rdm(d, method, descriptor, n, cv_descriptor, **options)
            for d, n in zip(datasets, noises, strict=True)
        ]
        return _stacked(rdms, descriptor)
    computed_here = method == "crossnobis" and (noise is None or isinstance(noise, str))
    if isinstance(noise, str) and not (computed_here and noise == "shrinkage"):
        raise RepbiasError(
            f"noise {noise!r} of method {method!r}; expected a precision matrix, or 'shrinkage' "
            "with 'crossnobis'"
        )
    if descriptor is None or not computed_here or options.get("remove_mean"):
        if isinstance(noise, str):
            raise RepbiasError("noise 'shrinkage' needs a descriptor, and no remove_mean")
        rdms = rsatoolbox_calc_rdm(dataset, method, descriptor, noise, cv_descriptor, **options)
        assert isinstance(rdms, RDMs)  # not a list, of one dataset
        return rdms if descriptor is None else _in_order_of(dataset, rdms, descriptor)
    if unknown := options.keys() - {"remove_mean"}:
        raise RepbiasError(f"crossnobis has no option {sorted(unknown)[0]!r}; expected remove_mean")
    return _crossnobis(dataset, descriptor, noise is not None, cv_descriptor)


def _crossnobis(
    dataset: DatasetBase, descriptor: str, normalise: bool, cv_descriptor: str | None
) -> RDMs:
    """Compute the crossnobis RDM of one dataset, noise-normalised if wanted."""
    conditions, codes = _numbered(dataset.obs_descriptors[descriptor])
    repeats = _occurrences(codes)
    folds = repeats
    if cv_descriptor is not None:
        folds = np.unique(dataset.obs_descriptors[cv_descriptor], return_inverse=True)[1]
    x = np.asarray(dataset.measurements, dtype=np.float64)
    if not np.isfinite(x).all():
        raise RepbiasError(
            f"{(~np.isfinite(x)).any(axis=1).sum()} of {len(x)} observations are not finite; "
            "expected finite numbers"
        )
    tensor = np.full((len(conditions), repeats.max() + 1, x.shape[1]), np.nan)
    tensor[codes, repeats] = x - x.mean(axis=0)  # for precision
    if normalise:
        tensor = whitened(tensor, "shrinkage")
    vector = crossnobis(tensor[codes, repeats], codes, folds, len(conditions))
    return RDMs(
        vector[None],
        dissimilarity_measure="crossnobis",
        descriptors=dict(dataset.descriptors),
        pattern_descriptors={descriptor: conditions},
    )


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


def _in_order_of(dataset: DatasetBase, rdms: RDMs, descriptor: str) -> RDMs:
    """Reorder the conditions of RDMs as a dataset has them."""
    conditions, _ = _numbered(dataset.obs_descriptors[descriptor])
    _reorder(rdms, descriptor, conditions)
    return rdms


def _reorder(rdms: RDMs, descriptor: str, conditions: list[Any]) -> None:
    position = {value: i for i, value in enumerate(rdms.pattern_descriptors[descriptor])}
    rdms.reorder(np.array([position[value] for value in conditions]))
    rdms.pattern_descriptors["index"] = list(range(len(conditions)))


def _stacked(rdms: list[RDMs], descriptor: str | None) -> RDMs:
    """Return the RDMs of several datasets as one object."""
    first = rdms[0]
    for other in rdms[1:]:
        if descriptor is not None:  # subjects may have seen the conditions in another order
            conditions = list(first.pattern_descriptors[descriptor])
            if set(other.pattern_descriptors[descriptor]) == set(conditions):
                _reorder(other, descriptor, conditions)
        refuse_other_patterns(first, other, descriptor or "index")
    names = [{**r.descriptors, **{k: v[0] for k, v in r.rdm_descriptors.items()}} for r in rdms]
    shared = set.intersection(*map(set, names)) - {"index", "noise"}
    return RDMs(
        np.concatenate([r.get_vectors() for r in rdms]),
        dissimilarity_measure=first.dissimilarity_measure,
        rdm_descriptors={k: [n[k] for n in names] for k in sorted(shared)},
        pattern_descriptors=first.pattern_descriptors,
    )


def compare(
    rdm1: RDMs, rdm2: RDMs, method: str = "cosine", sigma_k: np.ndarray | None = None
) -> np.ndarray:
    """Compare every RDM with every other.

    As `rsatoolbox.rdm.compare`. Whitened measures also work with 100 conditions or more, where
    rsatoolbox fails.

    Parameters
    ----------
    rdm1, rdm2
        Over the same conditions: pattern descriptors that both have must be equal.
    method
        As rsatoolbox calls it.
    sigma_k
        Covariance of the patterns' noise. If it is given, or dissimilarities are missing (NaN),
        rsatoolbox is called.

    Returns
    -------
    numpy.ndarray
        (rdm of rdm1, rdm of rdm2).
    """
    refuse_other_patterns(rdm1, rdm2)
    a, b = (rdms.get_vectors().astype(np.float64) for rdms in (rdm1, rdm2))
    known = method in get_args(RdmSimilarity) and np.isfinite(a).all() and np.isfinite(b).all()
    if sigma_k is not None or not known:
        return rsatoolbox_compare(rdm1, rdm2, method, sigma_k)
    return similarities(a, b, cast("RdmSimilarity", method))


def refuse_other_patterns(first: RDMs, second: RDMs, *descriptors: str) -> None:
    """Refuse RDMs of other conditions, by every descriptor that both have, and those named."""
    if first.n_cond != second.n_cond:
        raise RepbiasError(
            f"RDMs of {first.n_cond} and of {second.n_cond} conditions; expected the same"
        )
    shared = first.pattern_descriptors.keys() & second.pattern_descriptors.keys()
    for name in sorted(shared | set(descriptors)):
        a, b = (list(rdms.pattern_descriptors.get(name, [])) for rdms in (first, second))
        if a != b:
            i = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
            found = f"{a[i]} and {b[i]}" if a and b else "in one of the two only"
            raise RepbiasError(
                f"the pattern descriptor {name!r} of two RDMs differs (number {i}: {found}); "
                "expected the same conditions in the same order"
            )
