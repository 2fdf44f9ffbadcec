"""RDMs of network layers and of recordings, as rsatoolbox objects; stimuli are joined by id."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import RDMs, calc_rdm, load_rdm

from repbias.geometry.distances import (
    folds_of,
    prepared,
    trial_dissimilarities,
    usable_units,
)
from repbias.geometry.spec import MEAN_DISTANCES, Distance, Geometry
from repbias.recordings.reliability import analysed_units, by_repeat
from repbias.recordings.spec import preparation_of
from repbias.spec import RepbiasError
from repbias.store import Activations, Recording, StoreError, atomic

logger = logging.getLogger(__name__)

#: rsatoolbox's name of each distance; its "euclidean" is squared, divided by the channels.
_METHODS = {
    "correlation": "correlation",
    "euclidean": "euclidean",
    "squared_euclidean": "euclidean",
}


def dissimilarities(patterns: np.ndarray, distance: Distance) -> np.ndarray:
    """Compute one RDM's upper triangle with rsatoolbox.

    Parameters
    ----------
    patterns
        (stimulus, channel).
    distance
        "correlation" (1 - Pearson across channels), "squared_euclidean" (divided by the number
        of channels, as rsatoolbox does) or "euclidean" (its square root).

    Returns
    -------
    numpy.ndarray
        (pair,) float64, row-major upper triangle.

    Raises
    ------
    RepbiasError
        If a pattern is not finite, or constant where correlation needs variance.
    """
    # In float64 and centred: float32 loses everything where a large offset is shared.
    x = np.asarray(patterns, dtype=np.float64)
    if not np.isfinite(x).all():
        raise RepbiasError(f"{(~np.isfinite(x)).any(axis=1).sum()} patterns are not finite")
    if distance == "correlation":
        constant = np.flatnonzero(np.ptp(x, axis=1) == 0)
        if len(constant):
            raise RepbiasError(
                f"{len(constant)} of {len(x)} patterns are constant across channels (the first is "
                f"number {constant[0]}), so correlation distance is undefined; use euclidean"
            )
    else:
        x = x - x.mean(axis=0)
    # No descriptor: given one, calc_rdm would sort the stimuli alphabetically.
    rdm = calc_rdm(Dataset(x), method=_METHODS[distance]).get_vectors()[0]
    return np.sqrt(np.maximum(rdm, 0)) if distance == "euclidean" else rdm


def make_rdms(
    vectors: np.ndarray, stimulus_ids: np.ndarray, distance: str, info: dict[str, list]
) -> RDMs:
    """Pack upper triangles with their stimuli's ids into an rsatoolbox object."""
    return RDMs(
        dissimilarities=np.atleast_2d(vectors),
        dissimilarity_measure=distance,
        rdm_descriptors={k: list(v) for k, v in info.items()},
        pattern_descriptors={"stimulus_id": [str(i) for i in stimulus_ids]},
    )


def layer_rdms(activations: Activations, distance: Distance, n_stimuli: int | None) -> RDMs:
    """Compute the RDM of every layer of every network and snapshot in an activations file.

    Where a distance is undefined (a network diverged, a pattern is constant), the layer is left out
    with a warning.

    Parameters
    ----------
    activations
        The opened file.
    distance
        Dissimilarity between two stimuli, unless the file names another.
    n_stimuli
        Use the first n stimuli; all if None.
    """
    ids = activations.stimulus_ids[:n_stimuli]
    if len(ids) < 4:
        raise RepbiasError(f"{activations.path}: {len(ids)} stimuli; RSA needs at least 4")
    table = activations.networks
    distance = activations.distance or distance
    info: dict[str, list] = {k: [] for k in ("layer", *table)}
    vectors = []
    for row in range(len(activations)):
        for layer in activations.layers:
            patterns = activations.read(layer, row)[: len(ids)]
            try:
                vectors.append(dissimilarities(patterns, distance))
            except RepbiasError as error:
                name, snapshot = table["network"][row], table["snapshot"][row]
                last = f"{name} ({snapshot}), layer {layer}: {error}"
                logger.warning("%s: left out: %s", activations.path.name, last)
                continue
            info["layer"].append(layer)
            for column, values in table.items():
                info[column].append(values[row].item())
    if not vectors:
        raise RepbiasError(f"{activations.path}: no layer has an RDM; the last one was {last}")
    return make_rdms(np.stack(vectors), ids, distance, info)


def save_rdms(path: str | Path, rdms: RDMs) -> None:
    """Save RDMs in rsatoolbox's HDF5 format."""
    foreign = [s for s in rdms.pattern_descriptors["stimulus_id"] if not s.isascii()]
    if foreign:
        raise RepbiasError(
            f"{path}: rsatoolbox's files hold ASCII only; rename {len(foreign)} stimuli "
            f"(the first is {foreign[0]!r})"
        )
    with atomic(path) as temporary:
        rdms.save(str(temporary), file_type="hdf5")


def read_rdms(path: str | Path) -> RDMs:
    """Load RDMs in rsatoolbox's HDF5 format.

    Raises
    ------
    StoreError
        If the file is missing, truncated or something else.
    """
    try:
        return load_rdm(str(path), file_type="hdf5")
    except (OSError, KeyError) as error:
        raise StoreError(f"{path}: not a complete file of RDMs ({error})") from error


def aligned_vectors(rdms: RDMs, stimulus_ids: np.ndarray, name: str) -> np.ndarray:
    """Return upper triangles over the given stimuli in the given order.

    Raises
    ------
    RepbiasError
        If a stimulus has no row in the RDMs.
    """
    position = {str(s): i for i, s in enumerate(rdms.pattern_descriptors["stimulus_id"])}
    missing = [s for s in stimulus_ids if str(s) not in position]
    if missing:
        raise RepbiasError(
            f"{name}: {len(missing)} of {len(stimulus_ids)} stimuli have no row in the RDMs "
            f"(the first is {str(missing[0])!r})"
        )
    rows = np.array([position[str(s)] for s in stimulus_ids])
    if np.array_equal(rows, np.arange(len(position))):
        return rdms.get_vectors()
    return np.stack(
        [m[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)] for m in rdms.get_matrices()]
    )


@dataclass
class SubjectPatterns:
    """The trials of one subject's analysed units.

    Attributes
    ----------
    subject : name
    tensor : (stimulus, repeat, unit), NaN where not observed
    folds : (stimulus, repeat) int, folds of cross-validation, -1 where there is no trial
    """

    subject: str
    tensor: np.ndarray
    folds: np.ndarray


def subject_patterns(recording: Recording) -> list[SubjectPatterns]:
    """Arrange the trials of every subject's analysed units."""
    tensor, used = by_repeat(recording), analysed_units(recording)
    result = []
    for subject in dict.fromkeys(recording.units["subject"]):
        mine = tensor[:, :, (recording.units["subject"] == subject) & used]
        observed = ~np.isnan(mine)
        result.append(SubjectPatterns(str(subject), mine, folds_of(recording, observed)))
    return result


def subject_rdms(recording: Recording, spec: Geometry, name: str) -> RDMs:
    """Return one RDM per subject.

    From responses: by `spec.recording_distance`, over the units that it can use (observed for
    every stimulus, ...); others are left out with a warning. From RDMs: averaged over a subject's
    sessions.

    Raises
    ------
    RepbiasError
        If a subject has fewer than two units that the distance can use, the distance needs
        repeats or counts that are not there, or an RDM is not finite.
    """
    ids = recording.stimulus_ids
    if len(ids) < 4:
        raise RepbiasError(f"recording '{name}': {len(ids)} stimuli; RSA needs at least 4")
    if recording.rdms is not None:
        measure = str(recording.info.get("distance", "unknown"))
        regions = sorted(set(recording.rdm_info.get("region", np.array([])).tolist()))
        if len(regions) > 1:
            raise RepbiasError(
                f"recording '{name}': its RDMs are of several regions ({', '.join(regions)}); make "
                "a recording of each"
            )
        subjects = list(dict.fromkeys(recording.rdm_info["subject"]))
        vectors = [
            recording.rdms[recording.rdm_info["subject"] == s].mean(axis=0) for s in subjects
        ]
        for subject, vector in zip(subjects, vectors, strict=True):
            _refuse_useless(vector, f"recording '{name}', {subject}")
        return make_rdms(np.stack(vectors), ids, measure, {"subject": subjects})
    distance, noise = spec.recording_distance, spec.noise
    if distance.startswith("poisson") and preparation_of(recording).standardise:
        raise RepbiasError(
            f"recording '{name}': {distance} distance is of counts, but the recording says "
            "standardise: true, which divides them; expected standardise: false"
        )
    subjects, vectors = [], []
    for patterns in subject_patterns(recording):
        where = f"recording '{name}', {patterns.subject}"
        usable, needs = usable_units(patterns.tensor, patterns.folds, distance, noise)
        if not usable.all():
            logger.warning(
                "%s: %d of %d units were not %s and are left out of the RDM",
                *(where, (~usable).sum(), len(usable), needs),
            )
        if usable.sum() < 2:
            raise RepbiasError(
                f"{where}: {usable.sum()} units were {needs}; an RDM by {distance} needs at least "
                "2 (units that never vary, or are below min_reliability, do not count)"
            )
        try:
            tensor = patterns.tensor[:, :, usable]
            if distance in MEAN_DISTANCES:
                vector = dissimilarities(np.nanmean(tensor, axis=1), distance)
            else:
                tensor, folds = prepared(tensor, patterns.folds, distance, noise)
                vector = trial_dissimilarities(tensor, folds, distance)
        except RepbiasError as error:
            raise RepbiasError(f"{where}: {error}") from error
        _refuse_useless(vector, where)
        subjects.append(patterns.subject)
        vectors.append(vector)
    return make_rdms(np.stack(vectors), ids, distance, {"subject": subjects})


def _refuse_useless(vector: np.ndarray, where: str) -> None:
    if not np.isfinite(vector).all():
        raise RepbiasError(
            f"{where}: {(~np.isfinite(vector)).sum()} of {len(vector)} dissimilarities are not "
            "finite; expected finite numbers"
        )
    if np.ptp(vector) <= 1e-12 * np.abs(vector).max():
        raise RepbiasError(f"{where}: all dissimilarities are the same; nothing is similar to that")
