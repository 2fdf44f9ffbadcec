"""RDMs of network layers and recordings, in rsatoolbox's files, joined by stimulus id."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from repbias.base.spec import RepbiasError
from repbias.geometry.distances import ConstantPatterns, dissimilarities
from repbias.geometry.spec import MEAN_DISTANCES, Distance, Geometry
from repbias.geometry.streaming import stream_dissimilarities
from repbias.geometry.trials import prepared, trial_dissimilarities, usable_units
from repbias.io.files import StoreError
from repbias.io.hdf5 import ESCAPES, create_hdf5, dataset_of, part_of, put_text, text_of
from repbias.io.recordings import Recording
from repbias.io.untrusted import refuse_external_parts
from repbias.recordings.parts import of_units
from repbias.recordings.spec import preparation_of
from repbias.rsa.patterns import SubjectPatterns, subject_patterns

if TYPE_CHECKING:
    from rsatoolbox.rdm import RDMs

    from repbias.io.activations import Activations

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rdms:
    """RDMs of the same stimuli, with the attributes of rsatoolbox's object of them.

    A job that needs nothing else of rsatoolbox starts in half the time without its import.

    Attributes
    ----------
    dissimilarities : (rdm, pair) upper triangles
    dissimilarity_measure : its name
    rdm_descriptors : name to a value for every RDM
    pattern_descriptors : name to a value for every stimulus; among them "stimulus_id"
    """

    dissimilarities: np.ndarray
    dissimilarity_measure: str
    rdm_descriptors: dict[str, list[Any]]
    pattern_descriptors: dict[str, list[Any]]

    def subset(self, rows: list[int]) -> Rdms:
        """Return some of the RDMs."""
        chosen = {name: [column[i] for i in rows] for name, column in self.rdm_descriptors.items()}
        return replace(self, dissimilarities=self.dissimilarities[rows], rdm_descriptors=chosen)

    def as_rsatoolbox(self) -> RDMs:
        """Return an object of rsatoolbox with arrays of its own, as its methods change them."""
        from rsatoolbox.rdm import RDMs

        return RDMs(**deepcopy(vars(self)))


def make_rdms(
    vectors: np.ndarray, stimulus_ids: np.ndarray, distance: str, info: dict[str, list[Any]]
) -> Rdms:
    """Make RDMs of upper triangles, their stimuli's ids and their descriptors."""
    return Rdms(
        dissimilarities=np.atleast_2d(vectors),
        dissimilarity_measure=distance,
        rdm_descriptors={k: list(v) for k, v in info.items()},
        pattern_descriptors={"stimulus_id": [str(i) for i in stimulus_ids]},
    )


def write_layer_rdms(
    path: str | Path,
    activations: Activations,
    distance: Distance,
    n_stimuli: int | None,
    max_memory_mb: int = 2000,
) -> None:
    """Write the RDM of every layer of every network and snapshot in an activations file.

    A layer whose distances are undefined (the network diverged, a pattern is constant) is left out
    with a warning.

    Parameters
    ----------
    path
        Where to write, in rsatoolbox's HDF5 format.
    activations
        The opened file.
    distance
        Dissimilarity between two stimuli, unless the file names another, or has RDMs.
    n_stimuli
        Use the first n stimuli; all if None, as it must be of RDMs.
    max_memory_mb
        Approximate bound on the memory in use, in megabytes.
    """
    ids = activations.stimulus_ids[:n_stimuli]
    if len(ids) < 4:
        raise RepbiasError(f"{activations.path}: {len(ids)} stimuli; RSA needs at least 4")
    table = activations.networks
    measure = activations.rdm_measure or activations.distance or distance
    features = {name: values[:n_stimuli] for name, values in activations.labels.items()}
    with (
        activations.opened() as file,
        create_rdms(path, ids, measure, features) as rdms,
    ):
        for row in range(len(activations)):
            network = {column: values[row].item() for column, values in table.items()}
            for layer in activations.layers:
                if activations.rdm_measure is None:
                    dataset = dataset_of(file, f"layers/{layer}")
                    parts = stream_dissimilarities(
                        # dataset and row are used before they change
                        lambda stimuli, units: part_of(dataset, (row, stimuli, units)),  # noqa: B023
                        len(ids),
                        dataset.shape[2],
                        activations.distance or distance,
                        max_memory_mb,
                    )
                else:
                    parts = iter([activations.read_rdm(layer, row)])
                try:
                    rdms.append(parts, {"layer": layer, **network})
                except StoreError:  # of the file, not of this layer
                    raise
                except RepbiasError as error:
                    failed = f"{network['network']} ({network['snapshot']}), layer {layer}: {error}"
                    logger.warning("%s: left out: %s", activations.path.name, failed)
        if not rdms.info:
            raise RepbiasError(
                f"{activations.path}: no layer has an RDM; the last one was {failed}"
            )


@dataclass
class RdmFile:
    """A file of RDMs that is being written.

    Attributes
    ----------
    dataset : (rdm, pair), grows
    info : descriptors of each RDM
    """

    dataset: h5py.Dataset
    info: list[dict[str, Any]]

    def append(self, parts: Iterable[np.ndarray], info: dict[str, Any]) -> None:
        """Write one RDM from consecutive parts of its upper triangle.

        An error while the parts are computed leaves no RDM behind.
        """
        number, end = len(self.info), 0
        for part in parts:
            if len(self.dataset) == number:
                self.dataset.resize(number + 1, axis=0)
            self.dataset[number, end : end + len(part)] = part
            end += len(part)
        self.info.append(info)


@contextmanager
def create_rdms(
    path: str | Path,
    stimulus_ids: np.ndarray,
    distance: str,
    features: Mapping[str, np.ndarray] | None = None,
) -> Iterator[RdmFile]:
    """Write RDMs one by one, in the HDF5 format of ``rsatoolbox.rdm.RDMs.save``.

    Parameters
    ----------
    path
        Where to write; the file appears once it is complete.
    stimulus_ids
        (stimulus,) str.
    distance
        Name of the dissimilarity measure.
    features
        Feature name to (stimulus,) labels, which become descriptors of the patterns.
    """
    n = len(stimulus_ids)
    n_pairs = n * (n - 1) // 2
    with create_hdf5(path) as file:
        file.attrs["rsatoolbox_version"] = version("rsatoolbox")
        file.attrs["dissimilarity_measure"] = distance
        file.create_group("descriptors")
        known = {name: list(values) for name, values in (features or {}).items()}
        _put_descriptors(
            file, "pattern_descriptors", {"stimulus_id": list(map(str, stimulus_ids)), **known}
        )
        # Chunks of a megabyte.
        dataset = file.create_dataset(
            "dissimilarities",
            shape=(0, n_pairs),
            maxshape=(None, n_pairs),
            chunks=(1, min(n_pairs, 2**17)),
            dtype=np.float64,
            fletcher32=True,
        )
        rdms = RdmFile(dataset, [])
        yield rdms
        dataset.resize(len(rdms.info), axis=0)
        names = rdms.info[0] if rdms.info else {}
        info = {name: [of_rdm[name] for of_rdm in rdms.info] for name in names}
        _put_descriptors(file, "rdm_descriptors", info)


def _put_descriptors(file: h5py.File, name: str, descriptors: dict[str, list[Any]]) -> None:
    group = file.create_group(name)
    for key, values in descriptors.items():
        _put(group, key, np.array(values))
    _put(group, "index", np.arange(len(next(iter(descriptors.values()), []))))


def _put(group: h5py.Group, name: str, column: np.ndarray) -> None:
    """Write a descriptor with a checksum, which reveals later corruption."""
    checked = {"chunks": column.shape, "fletcher32": True} if column.size else {}
    # rsatoolbox reads text of ASCII only.
    escaped = column.dtype.kind == "U" and not "".join(column).isascii()
    if column.dtype.kind == "U":
        column = np.char.encode(column, ESCAPES) if escaped else column.astype("S")
    dataset = group.create_dataset(name, data=column, **checked)
    if escaped:
        put_text(dataset, "encoding", ESCAPES)


def read_rdms(path: str | Path) -> Rdms:
    """Load RDMs that :func:`create_rdms` has written.

    Raises
    ------
    StoreError
        If the file is missing, truncated or something else.
    RepbiasError
        If a part of it is in another file.
    """
    try:
        with h5py.File(path, "r") as file:
            refuse_external_parts(path, file)
            rdms = Rdms(
                dissimilarities=file["dissimilarities"][:],
                dissimilarity_measure=str(file.attrs["dissimilarity_measure"]),
                rdm_descriptors=_descriptors(file["rdm_descriptors"]),
                pattern_descriptors=_descriptors(file["pattern_descriptors"]),
            )
        n_stimuli = len(rdms.pattern_descriptors["stimulus_id"])
        if rdms.dissimilarities.shape[1:] != (n_stimuli * (n_stimuli - 1) // 2,):
            raise ValueError(f"{n_stimuli} stimuli, RDMs of shape {rdms.dissimilarities.shape}")
        return rdms
    except (KeyError, OSError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise StoreError(f"{path}: not a complete file of RDMs ({error})") from error


def _descriptors(group: h5py.Group) -> dict[str, list[Any]]:
    columns = {name: text_of(c) if c.dtype.kind == "S" else c[:] for name, c in group.items()}
    return {name: list(column) for name, column in columns.items()}


def aligned_vectors(rdms: Rdms, stimulus_ids: np.ndarray, name: str) -> np.ndarray:
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
        return rdms.dissimilarities
    pair = np.zeros((len(position), len(position)), int)
    pair[np.triu_indices(len(position), 1)] = np.arange(rdms.dissimilarities.shape[1])
    pair += pair.T
    return rdms.dissimilarities[:, pair[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)]]


class TooFewUnits(RepbiasError):
    """A subject, or a region, has too few units for an RDM.

    Attributes
    ----------
    unsuited : whether there are enough, but the distance can use none of them
    """

    def __init__(self, message: str, unsuited: bool = False) -> None:
        super().__init__(message)
        self.unsuited = unsuited


def of_subjects(recording: Recording, rdms: Rdms) -> Recording:
    """Return what was recorded in the subjects that have an RDM."""
    if recording.responses is None:
        return recording
    chosen = np.isin(recording.units["subject"].astype(str), rdms.rdm_descriptors["subject"])
    return recording if chosen.all() else of_units(recording, chosen)


def subject_rdms(recording: Recording, spec: Geometry, name: str) -> Rdms:
    """Return one RDM per subject.

    From responses: by `spec.recording_distance`, over the units that it can use (those observed for
    every stimulus, ...); all others are left out with a warning, and so are subjects with fewer
    than `spec.min_units` of them. From RDMs: averaged over a subject's sessions.

    Raises
    ------
    TooFewUnits
        If no subject is left, as there are too few units.
    RepbiasError
        If the recording lacks the repeats or counts that the distance needs, a pattern is constant
        where correlation needs variance, or an RDM is constant or not finite.
    """
    ids = recording.stimulus_ids
    if len(ids) < 4:
        raise RepbiasError(f"recording '{name}': {len(ids)} stimuli; RSA needs at least 4")
    if recording.rdms is not None:
        distance = str(recording.info.get("distance", "unknown"))
        vectors = _averages_of_sessions(recording, name)
    else:
        distance = spec.recording_distance
        _refuse_divided_counts(recording, spec, name)
        vectors, too_few = {}, None
        for patterns in subject_patterns(recording):
            where = f"recording '{name}', {patterns.subject}"
            try:
                vectors[patterns.subject] = _rdm_of_patterns(patterns, spec, where, ids)
            except TooFewUnits as error:
                logger.warning("%s", error)
                too_few = error
        if not vectors and too_few:
            # Without any usable unit, of enough, the distance does not suit the recording.
            raise RepbiasError(str(too_few)) if too_few.unsuited else too_few
    return make_rdms(np.stack(list(vectors.values())), ids, distance, {"subject": list(vectors)})


def _averages_of_sessions(recording: Recording, name: str) -> dict[str, np.ndarray]:
    """Return every subject's RDM (pair,), of a recording of RDMs of one region."""
    assert recording.rdms is not None
    subjects = recording.rdm_info["subject"]
    vectors = {s: recording.rdms[subjects == s].mean(axis=0) for s in dict.fromkeys(subjects)}
    for subject, vector in vectors.items():
        _refuse_useless(vector, f"recording '{name}', {subject}")
    return vectors


def _refuse_divided_counts(recording: Recording, spec: Geometry, name: str) -> None:
    distance = spec.recording_distance
    if distance.startswith("poisson") and preparation_of(recording).standardise:
        raise RepbiasError(
            f"recording '{name}': {distance} distance is of counts, but the recording says "
            "standardise: true, which divides them; expected standardise: false"
        )


def _rdm_of_patterns(
    patterns: SubjectPatterns, spec: Geometry, where: str, ids: np.ndarray
) -> np.ndarray:
    """Return the RDM (pair,) of one subject's trials; `where` names the subject in messages."""
    distance, noise = spec.recording_distance, spec.noise
    usable, needs = usable_units(patterns.tensor, patterns.folds, distance, noise)
    if not usable.all():
        logger.warning(
            "%s: %d of %d units were not %s and are left out of the RDM",
            where,
            (~usable).sum(),
            len(usable),
            needs,
        )
    if usable.sum() < spec.min_units:
        unseen = ids[np.isnan(patterns.tensor).all(axis=(1, 2))].tolist()
        named = ", ".join(unseen[:10]) + (", ..." if len(unseen) > 10 else "")
        remedy = f"; never shown: {named}, which 'exclude' leaves out for all" if unseen else ""
        raise TooFewUnits(
            f"{where}: {usable.sum()} units were {needs}, fewer than geometry.min_units = "
            f"{spec.min_units} (units that never vary, or are below min_reliability or "
            f"min_repeats, do not count){remedy}",
            unsuited=not usable.any() and len(usable) >= spec.min_units,
        )
    try:
        tensor = patterns.tensor[:, :, usable]
        if distance in MEAN_DISTANCES:
            vector = dissimilarities(np.nanmean(tensor, axis=1), distance)
        else:
            tensor, folds = prepared(tensor, patterns.folds, distance, noise)
            vector = trial_dissimilarities(tensor, folds, distance)
    except ConstantPatterns as error:
        found = ids[np.array(error.constant)].tolist()
        named = ", ".join(found[:10]) + (", ..." if len(found) > 10 else "")
        raise RepbiasError(
            f"{where}: {len(found)} of {len(ids)} stimuli have the same mean response in all "
            f"{usable.sum()} units, so correlation distance is undefined: {named}; leave them out "
            f"with the recording's exclude: [{named}], or set geometry.recording_distance: "
            "euclidean"
        ) from error
    except RepbiasError as error:
        raise RepbiasError(f"{where}: {error}") from error
    _refuse_useless(vector, where)
    return vector


def varying(vectors: np.ndarray) -> np.ndarray:
    """Return which RDMs (rdm, pair) differ between pairs of stimuli by more than rounding."""
    varies: np.ndarray
    varies = np.ptp(vectors, axis=1) > 1e-12 * np.abs(vectors).max(axis=1, initial=0)
    return varies


def _refuse_useless(vector: np.ndarray, where: str) -> None:
    if not np.isfinite(vector).all():
        raise RepbiasError(
            f"{where}: {(~np.isfinite(vector)).sum()} of {len(vector)} dissimilarities are not "
            "finite; expected finite numbers"
        )
    if not varying(vector[None])[0]:
        raise RepbiasError(
            f"{where}: all dissimilarities are the same; a similarity with them is undefined"
        )
