"""Every HDF5 layout: one writer and one reader each.

Files are written under a temporary name and renamed when complete, so a file that exists under
its own name is whole. Every file names its format and version; readers check both. A bit that
changes later, on a disk or in a copy, is noticed: data and structure carry HDF5's checksums.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import h5py
import numpy as np
from numpy.typing import DTypeLike

import repbias
from repbias.foreign import member, refuse_data_elsewhere, refuse_size
from repbias.spec import RepbiasError, nearest

if TYPE_CHECKING:
    from repbias.geometry.spec import Distance

FORMAT_VERSION = 2
#: Checkpoints that are analysed in full: untrained, when all targets were mastered, and the end.
SNAPSHOTS = ("initial", "acquired", "final")


class StoreError(RepbiasError):
    """A file of ours that is truncated, of another format or version, or incomplete."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` only if the block succeeds.

    Raises
    ------
    RepbiasError
        If the disk is full, or the user's share of it.
    """
    path = Path(path)
    # The suffix stays last: some writers choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        if is_full(error):
            raise RepbiasError(f"{path}: not written: {error.strerror}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def is_full(error: OSError) -> bool:
    """Say whether an error means that a disk is full, or the user's share of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of `path` from runs that were killed."""
    ours = re.compile(rf"\.{re.escape(path.stem)}\.\d+\.tmp{re.escape(path.suffix)}")
    for leftover in path.parent.iterdir():
        if ours.fullmatch(leftover.name):
            leftover.unlink(missing_ok=True)


class _Disk(io.FileIO):
    """What HDF5 writes to; it keeps the first error, and lets HDF5 believe that all went well.

    HDF5 writes much of a file when it is closed, and h5py tells nobody when that fails: the half
    file would pass for a whole one. Later HDF5 crashes the process.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of the data, if it can be."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = self.error or error
        return size


@contextmanager
def create_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Open a new HDF5 file for atomic writing.

    Raises
    ------
    RepbiasError
        If the disk is full.
    OSError
        If the file cannot be written for another reason.
    """
    # This version of HDF5's own format has checksums of names, shapes and attributes.
    version = ("v110", "v110")
    with atomic(path) as temporary, _Disk(temporary, "w+") as disk:
        try:
            with h5py.File(disk, "w", libver=version) as file:
                yield file
        finally:
            if disk.error:  # whatever followed from it
                raise disk.error


@contextmanager
def create(path: str | Path, kind: str) -> Iterator[h5py.File]:
    """Open a new HDF5 file of a kind ("stimuli", "networks", ...) for atomic writing."""
    with create_hdf5(path) as file:
        _put_text(file, "repbias_kind", kind)
        file.attrs["repbias_format"] = FORMAT_VERSION
        _put_text(file, "repbias_version", repbias.__version__)
        yield file


@contextmanager
def open_checked(path: str | Path, kind: str) -> Iterator[h5py.File]:
    """Open one of our HDF5 files for reading.

    Raises
    ------
    StoreError
        If the file is missing, truncated, or not of this kind and version.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise StoreError(f"{path}: no such file") from error
    except OSError as error:
        raise StoreError(f"{path}: not a complete HDF5 file ({error})") from error
    with file:
        with _reading(file):
            found, version = kind_of(file), file.attrs.get("repbias_format")
        if found != kind:
            raise StoreError(f"{path}: expected a file of kind {kind!r}, found {found!r}")
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{path}: format version {version}, but this is repbias "
                f"{repbias.__version__}, which reads version {FORMAT_VERSION}; delete the "
                "file, and it is made anew"
            )
        yield file


def kind_of(file: h5py.File) -> str | None:
    """Return which of our kinds a file is; None if it is not ours."""
    return _get_text(file, "repbias_kind")


@contextmanager
def _reading(item: h5py.HLObject) -> Iterator[None]:
    """Name the file where reading a part of it fails; only around calls of h5py and decoding."""
    try:
        yield
    except RepbiasError as error:  # names the file already
        raise StoreError(str(error)) from error
    except Exception as error:  # of h5py's, there are many kinds
        raise StoreError(f"{item.file.filename}: incomplete or damaged ({error})") from error


def _put(group: h5py.Group, name: str, values: Any) -> None:
    """Write an array; text has a fixed length, because HDF5 has no checksum of other text."""
    values = np.asarray(values)
    if values.dtype.kind in "UO":
        text = np.array([value.encode() for value in values.flat], dtype=bytes)
        dtype = h5py.string_dtype("utf-8", max(1, text.dtype.itemsize))
        values = text.reshape(values.shape).astype(dtype)
    group.create_dataset(name, data=values, **_checked(values.shape, values.dtype))


def _checked(shape: tuple[int, ...], dtype: DTypeLike) -> dict[str, Any]:
    """Return how an array is stored: in blocks of about a megabyte, each with a checksum."""
    if 0 in shape:
        return {}
    chunks = list(shape)
    for axis in range(len(chunks)):  # one row, such as a network, is read at a time
        size = int(np.prod(chunks)) * np.dtype(dtype).itemsize
        chunks[axis] = max(1, min(chunks[axis], chunks[axis] * 2**20 // size))
    # Compressed, text costs no more than its letters.
    text = {"compression": "gzip"} if np.dtype(dtype).kind == "S" else {}
    return {"chunks": tuple(chunks), "fletcher32": True, **text}


def dataset_of(group: h5py.Group, name: str) -> h5py.Dataset:
    """Return a dataset of one of our files.

    Raises
    ------
    StoreError
        If there is none, or it is a link, or its data are in another file.
    """
    with _reading(group):
        dataset = member(group.file.filename, group, name)
        refuse_data_elsewhere(group.file.filename, dataset)
        return dataset


def part_of(dataset: h5py.Dataset, index: Any) -> np.ndarray:
    """Read a part of a dataset of one of our files.

    Raises
    ------
    StoreError
        If the file is damaged there.
    """
    with _reading(dataset):
        return dataset[index]


def _get(group: h5py.Group, name: str, index: Any = ()) -> np.ndarray:
    """Read an array, or a part of it."""
    with _reading(group):
        dataset = dataset_of(group, name)
        shape = dataset.shape if index == () else dataset.shape[1:]
        refuse_size(group.file.filename, repr(name), shape, dataset.dtype.itemsize)
        if h5py.check_string_dtype(dataset.dtype):
            return np.array(dataset.asstr()[index], dtype=str)
        return dataset[index]


def _put_columns(group: h5py.Group, columns: Mapping[str, Any]) -> None:
    for name, values in columns.items():
        _put(group, name, values)


def _get_columns(file: h5py.File, name: str) -> dict[str, np.ndarray]:
    with _reading(file):
        names = list(member(file.filename, file, name).keys())
    return {column: _get(file, f"{name}/{column}") for column in names}


def _put_text(file: h5py.File, name: str, text: str) -> None:
    """Write an attribute of fixed length: of other text HDF5 has no checksum.

    Worse, a wrong bit there can keep HDF5 reading for ever.
    """
    content = text.encode()
    file.attrs.create(name, content, dtype=h5py.string_dtype("utf-8", len(content)))


def _get_text(file: h5py.File, name: str) -> str | None:
    value = file.attrs.get(name)
    return value.decode() if isinstance(value, bytes) else value


def _put_json(file: h5py.File, name: str, value: Any) -> None:
    _put_text(file, name, json.dumps(value))


def _get_json(file: h5py.File, name: str) -> Any:
    with _reading(file):
        return json.loads(file.attrs[name])


@dataclass
class Stimuli:
    """Generated stimuli.

    Attributes
    ----------
    inputs : (stimulus, input) float32
    ids : (stimulus,) str
    split : (stimulus,) str, one of "train", "validation", "test"
    features : names of the features, one output unit each
    labels : (stimulus, feature) uint8
    components : names of the features' sub-components, such as "hard.xor12"
    component_labels : (stimulus, component) uint8
    supervised : (stimulus, feature) bool, whether training rewards the feature on this stimulus
    audit : what the independence audit measured, by split
    """

    inputs: np.ndarray
    ids: np.ndarray
    split: np.ndarray
    features: list[str]
    labels: np.ndarray
    components: list[str]
    component_labels: np.ndarray
    supervised: np.ndarray
    audit: dict[str, Any] = field(default_factory=dict)

    def part(self, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the inputs, labels and ids of one split."""
        rows = self.split == split
        return self.inputs[rows], self.labels[rows], self.ids[rows]

    def named_labels(self, split: str) -> dict[str, np.ndarray]:
        """Return the labels of every feature and sub-component in one split, by name."""
        rows = self.split == split
        names = [*self.features, *self.components]
        columns = [*self.labels[rows].T, *self.component_labels[rows].T]
        return dict(zip(names, columns, strict=True))

    def write(self, path: str | Path) -> None:
        """Write the stimuli file."""
        with create(path, "stimuli") as file:
            _put_columns(file, {"inputs": self.inputs, "id": self.ids, "split": self.split})
            for name in ("labels", "component_labels", "supervised"):
                _put(file, name, getattr(self, name))
            for name in ("features", "components", "audit"):
                _put_json(file, name, getattr(self, name))

    @classmethod
    def read(cls, path: str | Path) -> Stimuli:
        """Read a stimuli file."""
        with open_checked(path, "stimuli") as file:
            return cls(
                inputs=_get(file, "inputs"),
                ids=_get(file, "id"),
                split=_get(file, "split"),
                features=_get_json(file, "features"),
                labels=_get(file, "labels"),
                components=_get_json(file, "components"),
                component_labels=_get(file, "component_labels"),
                supervised=_get(file, "supervised"),
                audit=_get_json(file, "audit"),
            )


@dataclass
class Networks:
    """Trained networks of one condition, all seeds.

    Attributes
    ----------
    seeds : (network,) int
    features : names of the output units
    targets : names of the features that training rewards
    kept : (network,) bool, whether the inclusion criterion was met on the test set
    test_accuracy : (network, feature) float
    acquired : (network, feature) int, first evaluated step at which validation accuracy reached
        the mastery criterion; -1 if never
    curves : "step" (evaluation,), "loss" (evaluation, network) and "accuracy" (evaluation,
        network, feature), both on the validation set; NaN after a network has stopped
    checkpoint_names : (checkpoint,) str: "initial", "grid", "crossing" (a target first reached an
        accuracy), "acquired" or "final"
    checkpoint_steps : (checkpoint, network) int, -1 where the network has no such checkpoint
    weights : parameter name to (checkpoint, network, ...) float32
    """

    seeds: np.ndarray
    features: list[str]
    targets: list[str]
    kept: np.ndarray
    test_accuracy: np.ndarray
    acquired: np.ndarray
    curves: dict[str, np.ndarray]
    checkpoint_names: np.ndarray
    checkpoint_steps: np.ndarray
    weights: dict[str, np.ndarray]

    def snapshots(self) -> list[int]:
        """Return the indices of the named checkpoints: untrained, acquired and final."""
        return [i for i, name in enumerate(self.checkpoint_names) if name in SNAPSHOTS]

    def described(
        self, experiment: str, condition: str, checkpoint: int
    ) -> list[tuple[int, dict[str, Any]]]:
        """Return the networks that have a checkpoint: each one's index, and its columns in a table.

        Networks that diverged, with weights that are not finite, are left out.
        """
        there = np.flatnonzero(self.checkpoint_steps[checkpoint] >= 0)
        return [
            (
                int(n),
                {
                    "experiment": experiment,
                    "condition": condition,
                    "network": f"seed{self.seeds[n]}",
                    "seed": self.seeds[n],
                    "snapshot": self.checkpoint_names[checkpoint],
                    "step": self.checkpoint_steps[checkpoint, n],
                    "kept": self.kept[n],
                },
            )
            for n in there
            if all(np.isfinite(w[checkpoint, n]).all() for w in self.weights.values())
        ]

    def write(self, path: str | Path) -> None:
        """Write the networks file."""
        with create(path, "networks") as file:
            for name in ("features", "targets"):
                _put_json(file, name, getattr(self, name))
            _put_columns(
                file.create_group("networks"),
                {
                    "seed": self.seeds,
                    "kept": self.kept,
                    "test_accuracy": self.test_accuracy,
                    "acquired": self.acquired,
                },
            )
            _put_columns(file.create_group("curves"), self.curves)
            _put_columns(
                file.create_group("checkpoints"),
                {"name": self.checkpoint_names, "step": self.checkpoint_steps},
            )
            _put_columns(file.create_group("weights"), self.weights)

    @classmethod
    def read(cls, path: str | Path) -> Networks:
        """Read a networks file."""
        with open_checked(path, "networks") as file:
            return cls(
                seeds=_get(file, "networks/seed"),
                features=_get_json(file, "features"),
                targets=_get_json(file, "targets"),
                kept=_get(file, "networks/kept"),
                test_accuracy=_get(file, "networks/test_accuracy"),
                acquired=_get(file, "networks/acquired"),
                curves=_get_columns(file, "curves"),
                checkpoint_names=_get(file, "checkpoints/name"),
                checkpoint_steps=_get(file, "checkpoints/step"),
                weights=_get_columns(file, "weights"),
            )


@dataclass
class Activations:
    """An activations file, opened for reading; layers are read when asked for.

    Attributes
    ----------
    stimulus_ids : (stimulus,) str
    networks : columns "network", "seed", "snapshot", "step", "kept", one row per network and
        snapshot
    layers : names of the layers, from input to output
    labels : feature name to (stimulus,) labels; empty where none are known
    distance : dissimilarity that these layers want, instead of the study's
    """

    path: Path
    stimulus_ids: np.ndarray
    networks: dict[str, np.ndarray]
    layers: list[str]
    labels: dict[str, np.ndarray]
    distance: Distance | None = None

    @classmethod
    def open(cls, path: str | Path) -> Activations:
        """Read everything but the activations themselves."""
        with open_checked(path, "activations") as file:
            return cls(
                path=Path(path),
                stimulus_ids=_get(file, "stimuli/id"),
                networks=_get_columns(file, "networks"),
                layers=_get_json(file, "layers"),
                labels=_get_columns(file, "labels"),
                distance=cast("Distance | None", _get_text(file, "distance")),
            )

    def __len__(self) -> int:
        return len(self.networks["network"])

    def read(self, layer: str, row: int) -> np.ndarray:
        """Return one network's activations of shape (stimulus, unit), float32."""
        if layer not in self.layers:
            raise StoreError(f"{self.path}: no layer {layer!r}; {nearest(layer, self.layers)}")
        with open_checked(self.path, "activations") as file:
            return _get(file, f"layers/{layer}", row)


@contextmanager
def write_activations(
    path: str | Path,
    stimulus_ids: np.ndarray,
    networks: Mapping[str, Any],
    layers: Mapping[str, int],
    labels: Mapping[str, np.ndarray] | None = None,
    distance: Distance | None = None,
) -> Iterator[Mapping[str, h5py.Dataset]]:
    """Create an activations file and give its layers, to be filled block by block.

    Parameters
    ----------
    path
        Where to write.
    stimulus_ids
        (stimulus,) str.
    networks
        Columns "network", "seed", "snapshot", "step", "kept".
    layers
        Name to number of units, in order from input to output.
    labels
        Feature name to (stimulus,) labels.
    distance
        Dissimilarity that these layers want, instead of the study's.

    Yields
    ------
    mapping
        Layer name to a dataset of shape (network, stimulus, unit), float32.
    """
    n_networks, n_stimuli = len(networks["network"]), len(stimulus_ids)
    with create(path, "activations") as file:
        _put_json(file, "layers", list(layers))
        if distance is not None:
            _put_text(file, "distance", distance)
        _put_columns(file.create_group("stimuli"), {"id": stimulus_ids})
        _put_columns(file.create_group("networks"), networks)
        _put_columns(file.create_group("labels"), labels or {})
        group = file.create_group("layers")
        shapes = {name: (n_networks, n_stimuli, n_units) for name, n_units in layers.items()}
        yield {
            name: group.create_dataset(name, shape, np.float32, **_checked(shape, np.float32))
            for name, shape in shapes.items()
        }


@dataclass
class Recording:
    """A canonical recording: trial responses of many units, or only RDMs.

    Attributes
    ----------
    responses : (trial, unit) or (trial, unit, time) float; NaN where a unit was not observed
    trials : columns "stimulus_id", "repeat", and what else the file says of a trial
    units : columns "unit", "subject", "region", and what else the file says of a unit
    stimuli : columns "stimulus_id" and what else is known of a stimulus
    standard_errors : (trial, unit), of responses that are averages, where the file has them
    rdms : (rdm, pair) float, pairs in the row-major upper triangle of `stimuli`'s order
    rdm_info : columns "subject" and what else the file says of an RDM
    info : free facts: modality, response_unit, where the data came from, time bins
    """

    stimuli: dict[str, np.ndarray]
    responses: np.ndarray | None = None
    trials: dict[str, np.ndarray] = field(default_factory=dict)
    units: dict[str, np.ndarray] = field(default_factory=dict)
    standard_errors: np.ndarray | None = None
    rdms: np.ndarray | None = None
    rdm_info: dict[str, np.ndarray] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def stimulus_ids(self) -> np.ndarray:
        """Ids of the stimuli, in the recording's order."""
        return self.stimuli["stimulus_id"]

    def write(self, path: str | Path) -> None:
        """Write the canonical recording file."""
        with create(path, "recording") as file:
            _put_columns(file.create_group("stimuli"), self.stimuli)
            _put_json(file, "info", self.info)
            if self.responses is not None:
                _put(file, "responses", self.responses)
                _put_columns(file.create_group("trials"), self.trials)
                _put_columns(file.create_group("units"), self.units)
            if self.standard_errors is not None:
                _put(file, "standard_errors", self.standard_errors)
            if self.rdms is not None:
                _put(file, "rdms", self.rdms)
                _put_columns(file.create_group("rdm_info"), self.rdm_info)

    @classmethod
    def read(cls, path: str | Path) -> Recording:
        """Read a canonical recording file."""
        with open_checked(path, "recording") as file:
            recording = cls(stimuli=_get_columns(file, "stimuli"), info=_get_json(file, "info"))
            if "responses" in file:
                recording.responses = _get(file, "responses")
                recording.trials = _get_columns(file, "trials")
                recording.units = _get_columns(file, "units")
            if "standard_errors" in file:
                recording.standard_errors = _get(file, "standard_errors")
            if "rdms" in file:
                recording.rdms = _get(file, "rdms")
                recording.rdm_info = _get_columns(file, "rdm_info")
            return recording
