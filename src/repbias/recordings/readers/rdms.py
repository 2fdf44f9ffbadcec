"""Recordings of which only representational dissimilarity matrices (RDMs) are available."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from repbias.base.identities import refuse_duplicate_ids
from repbias.base.order import first_difference, orders
from repbias.base.spec import RepbiasError
from repbias.io.meadows import reordered
from repbias.io.recordings import Recording
from repbias.recordings.readers.common import (
    FileRecording,
    NamedAxes,
    load_named_axes,
    match_stimuli,
    resolve_ids,
)
from repbias.recordings.readers.subjects import by_subject

#: Share of the largest dissimilarity that counts as rounding.
_TOLERANCE = 1e-4
#: Dissimilarities that are negative where noise hides a small distance.
CROSS_VALIDATED = ("crossnobis", "poisson_cv")


class RdmRecording(NamedAxes, FileRecording):
    """RDMs as square matrices (two stimulus axes) or as upper triangles (a pair axis).

    Files of Meadows, `.mat` or `.json`, hold upper triangles `rdmutv` and names `stimuli`, or
    `rdmutv_*` and `stimuli_*` of several participants.
    """

    kind: Literal["rdms"]
    """RDMs only, without responses."""
    axes: list[Literal["stimulus", "pair", "subject", "session", "_"]] = Field(min_length=1)
    """Names of the array's axes, in order: `stimulus` twice for square matrices, or `pair` once for
    upper triangles (row by row, as in SciPy's and MATLAB's squareform)."""
    subjects: list[str] | None = None
    """Names along the subject axis, or of the subjects of several arrays, in the order of
    `variables`, or of the names that a pattern matches, where all sort them alike."""
    only_subjects: list[Annotated[int, Field(ge=0)]] | None = None
    """Indices of the subjects to use, from 0; all by default."""
    region: str = ""
    """Brain region."""
    distance: str = "unknown"
    """Dissimilarity measure of the RDMs, for the report."""

    @model_validator(mode="after")
    def _one_array_per_subject(self) -> RdmRecording:
        if self.has_subject_arrays and "subject" in self.axes:
            raise ValueError("the axis 'subject': not with an array for each subject")
        return self

    @field_validator("axes")
    @classmethod
    def _complete(cls, axes: list[str]) -> list[str]:
        if (axes.count("stimulus"), axes.count("pair")) not in [(2, 0), (0, 1)]:
            raise ValueError(f"name 'stimulus' twice or 'pair' once; found {axes}")
        for axis in ("subject", "session"):
            if axes.count(axis) > 1:
                raise ValueError(f"'{axis}' is named twice; found {axes}")
        return axes


def read(spec: RdmRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read the RDMs; each keeps its subject and session.

    Raises
    ------
    RepbiasError
        If matrices are not square, symmetric and zero on the diagonal, or not finite.
    """
    parts = [_read_array(entry, stimulus_ids) for entry in _entries(spec)]
    ids = parts[0].ids
    pairs = np.concatenate([_in_order(spec, part, ids) for part in parts])
    rdm_info = {k: np.concatenate([part.rdm_info[k] for part in parts]) for k in parts[0].rdm_info}
    return canonical_rdms(spec, stimulus_ids, ids, pairs, rdm_info, spec.distance)


@dataclass(frozen=True)
class _Rdms:
    """RDMs of an array: ids of the stimuli, (rdm, pair) upper triangles, columns of the RDMs."""

    ids: np.ndarray
    pairs: np.ndarray
    rdm_info: dict[str, np.ndarray]


def _entries(spec: RdmRecording) -> list[RdmRecording]:
    """Return an entry for each array, with the name of its subject if there is one per subject."""
    if not spec.has_subject_arrays:
        return [spec]
    entries = by_subject(spec)
    _refuse_unclear_order(spec, [str(entry.variable) for entry in entries.values()])
    names = spec.subjects or list(entries)
    chosen = _chosen_subjects(spec, names, len(entries))
    alone = [entry.model_copy(update={"only_subjects": None}) for entry in entries.values()]
    return [alone[i].model_copy(update={"subjects": [names[i]]}) for i in chosen]


def _refuse_unclear_order(spec: RdmRecording, arrays: list[str]) -> None:
    """Refuse settings that go by the order of arrays that a pattern names, if it is not clear."""
    given = [name for name in ("subjects", "only_subjects") if getattr(spec, name) is not None]
    ways = orders(arrays)
    if given and not spec.variables and len(ways) > 1:
        raise RepbiasError(
            f"{spec.path}: {given[0]}: the arrays {spec.variable!r} have more than one sorted "
            f"order ({first_difference(ways)}); list them in yours: 'variables: [...]' instead of "
            "'variable'"
        )


def _read_array(spec: RdmRecording, stimulus_ids: np.ndarray) -> _Rdms:
    array = leading_axes(load_named_axes(spec, spec.axes), spec.axes, ("subject", "session"))
    n_subjects, n_sessions = array.shape[:2]
    names = spec.subjects or [f"subject{i + 1}" for i in range(n_subjects)]
    chosen = _chosen_subjects(spec, names, n_subjects)
    pairs, n_stimuli = upper_triangles(spec.path, array[chosen], spec.axes)
    n_pairs = pairs.shape[-1]
    rdm_info = {
        "subject": np.repeat([names[i] for i in chosen], n_sessions),
        "session": np.tile(np.arange(n_sessions), len(chosen)),
        "region": np.full(len(chosen) * n_sessions, spec.region),
    }
    return _Rdms(resolve_ids(spec, n_stimuli, stimulus_ids), pairs.reshape(-1, n_pairs), rdm_info)


def _in_order(spec: RdmRecording, rdms: _Rdms, ids: np.ndarray) -> np.ndarray:
    """Return upper triangles with the stimuli in the order of those of the first subject."""
    subject = str(rdms.rdm_info["subject"][0])
    for found, expected, problem in ((rdms.ids, ids, "has"), (ids, rdms.ids, "lacks")):
        other = np.setdiff1d(found, expected)
        if len(other):
            raise RepbiasError(
                f"{spec.path}: the RDM of subject {subject!r} {problem} {len(other)} stimuli that "
                f"the first one {'lacks' if problem == 'has' else 'has'}: "
                f"{', '.join(map(repr, other[:5].tolist()))}"
            )
    position = {name: i for i, name in enumerate(rdms.ids.tolist())}
    return reordered(rdms.pairs, [position[name] for name in ids.tolist()])


def leading_axes(array: np.ndarray, axes: Sequence[str], leading: Sequence[str]) -> np.ndarray:
    """Put the axes that are not of dissimilarities first, in this order.

    Parameters
    ----------
    array
        From :func:`repbias.recordings.readers.common.load_named_axes`.
    axes
        Their names in the file.
    leading
        Names of the axes that come first; missing ones get length 1.
    """
    named = [a for a in axes if a != "_"]
    for axis in reversed(leading):
        if axis not in named:
            array = array[None]
            named.insert(0, axis)
    dissimilarity_axes = [i for i, a in enumerate(named) if a in ("stimulus", "pair")]
    return array.transpose(*map(named.index, leading), *dissimilarity_axes)


def _chosen_subjects(spec: RdmRecording, names: list[str], n_subjects: int) -> list[int]:
    """Return the indices of the subjects to use, after checking their names."""
    if len(names) != n_subjects:
        raise RepbiasError(f"{spec.path}: {len(names)} subjects named, the array has {n_subjects}")
    refuse_duplicate_ids(np.array(names), f"{spec.path}: subjects")
    chosen = list(range(n_subjects)) if spec.only_subjects is None else spec.only_subjects
    if len(set(chosen)) < len(chosen):
        raise RepbiasError(f"{spec.path}: only_subjects {chosen} names a subject twice")
    if max(chosen, default=-1) >= n_subjects or not chosen:
        raise RepbiasError(f"{spec.path}: only_subjects {chosen} of {n_subjects} subjects")
    return chosen


def canonical_rdms(
    spec: FileRecording,
    known: np.ndarray,
    ids: np.ndarray,
    pairs: np.ndarray,
    rdm_info: Mapping[str, np.ndarray],
    distance: str,
) -> Recording:
    """Put RDMs into the canonical form, with stimuli in the order of their ids.

    Parameters
    ----------
    spec
        The entry of ``recordings:``.
    known
        Sorted ids of the stimulus set.
    ids
        (stimulus,) in the order of the file.
    pairs
        (rdm, pair) row-major upper triangles in the same order.
    rdm_info
        Columns of RDMs; "subject", "session" and "region" are required.
    distance
        The dissimilarity measure.

    Raises
    ------
    RepbiasError
        If stimuli are not in the set, or an RDM is not finite, negative, or constant.
    """
    matched = match_stimuli(spec, ids, known)
    ids, used = matched.ids, np.flatnonzero(matched.used)
    refuse_duplicate_ids(ids, str(spec.path))
    if len(used) < 3:
        raise RepbiasError(f"{spec.path}: {len(used)} stimuli; an RDM needs at least 3")
    order = used[np.argsort(ids[used])]
    pairs = pairs_of_stimuli(pairs, order)
    for row, subject, session in zip(pairs, rdm_info["subject"], rdm_info["session"], strict=True):
        where = f"subject {str(subject)!r}, session {session},"
        refuse_unusable(spec.path, where, row, distance)
    return Recording(
        stimuli={"stimulus_id": ids[order]},
        rdms=pairs,
        rdm_info=dict(rdm_info),
        info={
            "kind": spec.kind,
            "modality": spec.modality,
            "distance": distance,
            "source": spec.source,
            "file": spec.path.name,
            **matched.info,
        },
    )


def pairs_of_stimuli(pairs: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return upper triangles (rdm, pair) of some stimuli, (stimulus,) int, in this order."""
    n = round((1 + np.sqrt(1 + 8 * pairs.shape[1])) / 2)
    index = np.zeros((n, n), int)
    index[np.triu_indices(n, 1)] = np.arange(pairs.shape[1])
    upper = np.triu_indices(len(order), 1)
    return pairs[:, (index + index.T)[np.ix_(order, order)][upper]]


def refuse_unusable(path: Path, whose: str, pairs: np.ndarray, distance: str) -> None:
    """Refuse an RDM (pair,) that is not finite, is negative, or does not vary.

    Parameters
    ----------
    path, whose
        The file, and the RDM in it, for messages.
    pairs
        Its dissimilarities.
    distance
        The dissimilarity measure: only cross-validated ones may be negative.
    """
    missing = int((~np.isfinite(pairs)).sum())
    if missing:
        raise RepbiasError(
            f"{path}: {missing} of the {len(pairs)} dissimilarities of {whose} are NaN or infinite"
        )
    largest = np.abs(pairs).max()
    negative = int((pairs < -_TOLERANCE * largest).sum())
    if negative and distance not in CROSS_VALIDATED:
        raise RepbiasError(
            f"{path}: {negative} of the {len(pairs)} dissimilarities of {whose} are negative (the "
            f"least is {pairs.min():.4g}), but only cross-validated distances can be: if these "
            "are, say 'distance: crossnobis' (or poisson_cv); of similarities, save 1 - similarity"
        )
    if np.ptp(pairs) <= 1e-12 * largest:
        raise RepbiasError(
            f"{path}: all {len(pairs)} dissimilarities of {whose} are the same; a similarity with "
            "them is undefined"
        )


def upper_triangles(path: Path, array: np.ndarray, axes: Sequence[str]) -> tuple[np.ndarray, int]:
    """Return the upper triangles (..., pair) of RDMs, and their number of stimuli.

    Parameters
    ----------
    path
        The file, for messages.
    array
        (..., stimulus, stimulus) or (..., pair), from :func:`leading_axes`.
    axes
        Names of the axes, of which the dissimilarities' tell which of the two it is.

    Raises
    ------
    RepbiasError
        If matrices are not square, symmetric and zero on the diagonal, or the number of pairs is
        that of no RDM.
    """
    pairs = _of_squares(path, array) if "stimulus" in axes else array
    n_pairs = pairs.shape[-1]
    n_stimuli = round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    if n_stimuli * (n_stimuli - 1) // 2 != n_pairs:
        raise RepbiasError(f"{path}: {n_pairs} pairs are not the upper triangle of any RDM")
    return pairs, n_stimuli


def _of_squares(path: Path, matrices: np.ndarray) -> np.ndarray:
    """Return the upper triangles of square matrices; NaN where either half has NaN."""
    n, m = matrices.shape[-2:]
    if n != m:
        raise RepbiasError(f"{path}: the two stimulus axes have lengths {n} and {m}")
    rows, columns = np.triu_indices(n, 1)
    upper, lower = matrices[..., rows, columns], matrices[..., columns, rows]
    tolerance = _TOLERANCE * np.abs(matrices[np.isfinite(matrices)]).max(initial=0)
    with np.errstate(invalid="ignore"):
        differing = np.argwhere(np.abs(upper - lower) > tolerance)
    if len(differing):
        *_, pair = first = tuple(differing[0])
        i, j = rows[pair] + 1, columns[pair] + 1
        raise RepbiasError(
            f"{path}: an RDM is not symmetric: {upper[first]:g} in row {i} and column {j}, but "
            f"{lower[first]:g} in row {j} and column {i}; if these are two estimates of the same, "
            "save their mean, (rdm + rdm.T) / 2"
        )
    if not (np.abs(np.diagonal(matrices, axis1=-2, axis2=-1)) <= tolerance).all():
        raise RepbiasError(f"{path}: an RDM is not zero on its diagonal")
    return np.where(np.isnan(lower), lower, upper)
