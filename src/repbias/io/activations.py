"""The file of a condition's or a model's activations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import h5py
import numpy as np

from repbias.base.spec import nearest
from repbias.io.files import StoreError
from repbias.io.hdf5 import (
    create,
    get,
    get_columns,
    get_json,
    get_text,
    open_checked,
    put_columns,
    put_json,
    put_text,
    stored,
)

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from repbias.geometry.spec import Distance

#: What is told where a model of which only RDMs are known cannot take part.
ONLY_RDMS = "of this model only RDMs are known, and no units that responses could be predicted from"


@dataclass
class Activations:
    """Activations in a file, opened for reading; layers are read when asked for.

    Attributes
    ----------
    path : the file
    name : the condition or network that they are of, if the file has several; else None
    stimulus_ids : (stimulus,) str
    networks : columns "network", "seed", "snapshot", "step", "included", one row per network and
        snapshot
    layers : names of the layers, from input to output
    labels : feature name to (stimulus,) labels; empty where none are known
    distance : dissimilarity that these layers want, instead of the study's
    rdm_measure : dissimilarity measure of RDMs, which then stand in the place of activations; None
        where there are activations
    """

    path: Path
    name: str | None
    stimulus_ids: np.ndarray
    networks: dict[str, np.ndarray]
    layers: list[str]
    labels: dict[str, np.ndarray]
    distance: Distance | None = None
    rdm_measure: str | None = None

    @classmethod
    def open(cls, path: str | Path, name: str | None = None) -> Activations:
        """Read everything but the activations themselves."""
        with open_checked(path, "activations", name) as file:
            return cls(
                path=Path(path),
                name=name,
                stimulus_ids=get(file, "stimuli/id"),
                networks=get_columns(file, "networks"),
                layers=get_json(file, "layers"),
                labels=get_columns(file, "labels"),
                distance=cast("Distance | None", get_text(file, "distance")),
                rdm_measure=get_text(file, "rdm_measure"),
            )

    def __len__(self) -> int:
        return len(self.networks["network"])

    def read(self, layer: str, row: int) -> np.ndarray:
        """Return one network's activations of shape (stimulus, unit), float32."""
        if self.rdm_measure is not None:
            raise StoreError(f"{self.path}: has RDMs only; expected activations")
        return self._read("layers", layer, row)

    def read_rdm(self, layer: str, row: int) -> np.ndarray:
        """Return one network's RDM, (pair,), of a model of which only RDMs are known."""
        if self.rdm_measure is None:
            raise StoreError(f"{self.path}: has activations; expected RDMs")
        return self._read("rdms", layer, row)

    def _read(self, kind: str, layer: str, row: int) -> np.ndarray:
        if layer not in self.layers:
            raise StoreError(f"{self.path}: no layer {layer!r}; {nearest(layer, self.layers)}")
        with self.opened() as group:
            return get(group, f"{kind}/{layer}", row)

    @contextmanager
    def opened(self) -> Iterator[h5py.Group]:
        """Open the file for reading parts of layers."""
        with open_checked(self.path, "activations", self.name) as group:
            yield group


@contextmanager
def write_activations(
    path: str | Path,
    stimulus_ids: np.ndarray,
    networks: Mapping[str, Any],
    layers: Mapping[str, int],
    labels: Mapping[str, np.ndarray] | None = None,
    distance: Distance | None = None,
) -> Iterator[Mapping[str, h5py.Dataset]]:
    """Create a file of activations, and give its layers; arguments of :func:`put_activations`."""
    with create(path, "activations") as file:
        yield put_activations(file, stimulus_ids, networks, layers, labels, distance)


def put_activations(
    group: h5py.Group,
    stimulus_ids: np.ndarray,
    networks: Mapping[str, Any],
    layers: Mapping[str, int],
    labels: Mapping[str, np.ndarray] | None = None,
    distance: Distance | None = None,
) -> Mapping[str, h5py.Dataset]:
    """Write all but the activations into a group, and give its layers, to be filled in blocks.

    Parameters
    ----------
    group
        A file, or a group of it.
    stimulus_ids
        (stimulus,) str.
    networks
        Columns "network", "seed", "snapshot", "step", "included".
    layers
        Name to number of units, in order from input to output.
    labels
        Feature name to (stimulus,) labels.
    distance
        Dissimilarity that these layers want, instead of the study's.

    Returns
    -------
    mapping
        Layer name to a dataset of shape (network, stimulus, unit), float32.
    """
    shapes = {name: (len(networks["network"]), len(stimulus_ids), n) for name, n in layers.items()}
    if distance is not None:
        put_text(group, "distance", distance)
    return _put(group, "layers", stimulus_ids, networks, shapes, np.float32, labels or {})


def put_rdms(
    group: h5py.Group,
    stimulus_ids: np.ndarray,
    networks: Mapping[str, Any],
    rdms: Mapping[str, np.ndarray],
    measure: str,
) -> None:
    """Write RDMs in the place of activations, of a model of which nothing else is known.

    Parameters
    ----------
    group, stimulus_ids, networks
        As of :func:`put_activations`, with a single network.
    rdms
        Layer to (pair,), the row-major upper triangle.
    measure
        The dissimilarity measure.
    """
    put_text(group, "rdm_measure", measure)
    shapes = {name: (1, len(rdm)) for name, rdm in rdms.items()}
    datasets = _put(group, "rdms", stimulus_ids, networks, shapes, np.float64, {})
    for name, dataset in datasets.items():
        dataset[0] = rdms[name]


def _put(
    group: h5py.Group,
    kind: str,
    stimulus_ids: np.ndarray,
    networks: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    dtype: DTypeLike,
    labels: Mapping[str, np.ndarray],
) -> dict[str, h5py.Dataset]:
    """Write all but the content of layers, of this kind, and give their datasets."""
    put_json(group, "layers", list(shapes))
    put_columns(group.create_group("stimuli"), {"id": stimulus_ids})
    put_columns(group.create_group("networks"), networks)
    put_columns(group.create_group("labels"), labels)
    within = group.create_group(kind)
    return {
        name: within.create_dataset(name, shape, dtype, **stored(shape, dtype))
        for name, shape in shapes.items()
    }
