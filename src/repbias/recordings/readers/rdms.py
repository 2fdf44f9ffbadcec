"""Recordings of which only representational dissimilarity matrices exist."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from repbias.recordings.readers.common import NamedAxes, join, named_axes, refuse_twice, resolve_ids
from repbias.spec import RepbiasError
from repbias.store import Recording


class RdmRecording(NamedAxes):
    """RDMs as square matrices (two stimulus axes) or as upper triangles (a pair axis)."""

    kind: Literal["rdms"]
    """RDMs only."""
    axes: list[Literal["stimulus", "pair", "subject", "session", "_"]] = Field(min_length=1)
    """Names of the array's axes; give `stimulus` twice for square matrices, or `pair` once for
    upper triangles (row by row, as SciPy's and MATLAB's squareform order them)."""
    subjects: list[str] | None = None
    """Names along the subject axis."""
    only_subjects: list[Annotated[int, Field(ge=0)]] | None = None
    """Positions along the subject axis to use, from 0; all when left out."""
    region: str = ""
    """Where was recorded."""
    distance: str = "unknown"
    """The dissimilarity measure, for the report."""

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
    array = named_axes(spec, spec.axes)
    named = [a for a in spec.axes if a != "_"]
    for axis in ("session", "subject"):
        if axis not in named:
            array = array[None]
            named.insert(0, axis)
    dissimilarity_axes = [i for i, a in enumerate(named) if a in ("stimulus", "pair")]
    array = array.transpose(named.index("subject"), named.index("session"), *dissimilarity_axes)
    if not np.isfinite(array).all():
        raise RepbiasError(f"{spec.path}: {(~np.isfinite(array)).sum()} dissimilarities not finite")
    pairs = _upper_triangles(spec, array) if "stimulus" in named else array
    n_subjects, n_sessions, n_pairs = pairs.shape
    n_stimuli = round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    if n_stimuli * (n_stimuli - 1) // 2 != n_pairs:
        raise RepbiasError(f"{spec.path}: {n_pairs} pairs are not the upper triangle of any RDM")
    names = spec.subjects or [f"subject{i + 1}" for i in range(n_subjects)]
    if len(names) != n_subjects:
        raise RepbiasError(f"{spec.path}: {len(names)} subjects named, the array has {n_subjects}")
    chosen = list(range(n_subjects)) if spec.only_subjects is None else spec.only_subjects
    if len(set(chosen)) < len(chosen):
        raise RepbiasError(f"{spec.path}: only_subjects {chosen} names a subject twice")
    if max(chosen, default=-1) >= n_subjects or not chosen:
        raise RepbiasError(f"{spec.path}: only_subjects {chosen} of {n_subjects} subjects")
    ids = resolve_ids(spec, n_stimuli, stimulus_ids)
    refuse_twice(ids, f"{spec.path}: stimulus_ids")
    join(spec, ids, stimulus_ids)
    # In the order of their ids, as for responses.
    order = np.argsort(ids)
    upper = np.triu_indices(n_stimuli, 1)
    place = np.zeros((n_stimuli, n_stimuli), int)
    place[upper] = np.arange(n_pairs)
    pairs = pairs[..., (place + place.T)[np.ix_(order, order)][upper]]
    return Recording(
        stimuli={"stimulus_id": ids[order]},
        rdms=pairs[chosen].reshape(-1, n_pairs),
        rdm_info={
            "subject": np.repeat([names[i] for i in chosen], n_sessions),
            "session": np.tile(np.arange(n_sessions), len(chosen)),
            "region": np.full(len(chosen) * n_sessions, spec.region),
        },
        info={
            "kind": "rdms",
            "modality": spec.modality,
            "distance": spec.distance,
            "source": spec.source,
            "file": spec.path.name,
        },
    )


def _upper_triangles(spec: RdmRecording, matrices: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import squareform

    n, m = matrices.shape[2:]
    if n != m:
        raise RepbiasError(f"{spec.path}: the two stimulus axes have lengths {n} and {m}")
    scale = np.abs(matrices).max(initial=0)
    flat = matrices.reshape(-1, n, n)
    if np.abs(flat - flat.transpose(0, 2, 1)).max(initial=0) > 1e-4 * scale:
        raise RepbiasError(f"{spec.path}: an RDM is not symmetric")
    if np.abs(np.diagonal(flat, axis1=1, axis2=2)).max(initial=0) > 1e-4 * scale:
        raise RepbiasError(f"{spec.path}: an RDM is not zero on its diagonal")
    upper = np.stack([squareform(matrix, checks=False) for matrix in flat])
    return upper.reshape(*matrices.shape[:2], -1)
