"""Write the layers of models that are not trained here."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from repbias.io.activations import put_activations

if TYPE_CHECKING:
    from repbias.geometry.spec import Distance

logger = logging.getLogger(__name__)


def put_layers(
    group: h5py.Group,
    name: str,
    stimulus_ids: Sequence[str],
    units: Mapping[str, int],
    batches: Iterable[tuple[int, dict[str, np.ndarray]]],
    distance: Distance | None,
) -> None:
    """Write the layers of a model that is not trained here, batch by batch.

    Parameters
    ----------
    group
        Of the activations file.
    name
        The model's name in the configuration.
    stimulus_ids
        (stimulus,).
    units
        Layer to its number of units.
    batches
        Index of the first stimulus of a batch, and layer to (stimulus, unit); of some layers or
        all.
    distance
        Dissimilarity that these layers want, instead of the study's.
    """
    for layer, size in units.items():
        logger.info("%s: layer %s has %d units", name, layer, size)
    ids, n = np.array(stimulus_ids), len(stimulus_ids)
    datasets = put_activations(group, ids, row_of(name), units, distance=distance)
    for begin, values in batches:
        for layer, activations in values.items():
            stop = begin + len(activations)
            datasets[layer][0, begin:stop] = activations
        logger.info("%s: %d of %d images (%s)", name, stop, n, ", ".join(values))


def row_of(name: str) -> dict[str, list[Any]]:
    """Return what the table of networks says of a model that is not trained here."""
    return {
        "network": [name],
        "seed": [0],
        "snapshot": ["final"],
        "step": [0],
        "included": [True],
    }
