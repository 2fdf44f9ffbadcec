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
    from repbias.geometry.spec import Distance


@dataclass
class Activations:
    """An activations file, opened for reading; layers are read when asked for.

    Attributes
    ----------
    stimulus_ids : (stimulus,) str
    networks : columns "network", "seed", "snapshot", "step", "included", one row per network and
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
                stimulus_ids=get(file, "stimuli/id"),
                networks=get_columns(file, "networks"),
                layers=get_json(file, "layers"),
                labels=get_columns(file, "labels"),
                distance=cast("Distance | None", get_text(file, "distance")),
            )

    def __len__(self) -> int:
        return len(self.networks["network"])

    def read(self, layer: str, row: int) -> np.ndarray:
        """Return one network's activations of shape (stimulus, unit), float32."""
        if layer not in self.layers:
            raise StoreError(f"{self.path}: no layer {layer!r}; {nearest(layer, self.layers)}")
        with open_checked(self.path, "activations") as file:
            return get(file, f"layers/{layer}", row)


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
        Columns "network", "seed", "snapshot", "step", "included".
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
        put_json(file, "layers", list(layers))
        if distance is not None:
            put_text(file, "distance", distance)
        put_columns(file.create_group("stimuli"), {"id": stimulus_ids})
        put_columns(file.create_group("networks"), networks)
        put_columns(file.create_group("labels"), labels or {})
        group = file.create_group("layers")
        shapes = {name: (n_networks, n_stimuli, n_units) for name, n_units in layers.items()}
        yield {
            name: group.create_dataset(name, shape, np.float32, **stored(shape, np.float32))
            for name, shape in shapes.items()
        }
