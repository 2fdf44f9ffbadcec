"""Models of which RDMs are already computed, and nothing else is known."""

from __future__ import annotations

from typing import Literal

import h5py
import numpy as np
from pydantic import field_validator, model_validator

from repbias.base.spec import RepbiasError
from repbias.io.activations import put_rdms
from repbias.networks.layer_files import LAYER, opened
from repbias.networks.layers import row_of
from repbias.networks.model_files import ModelFile, ids_along, places, rows_of
from repbias.recordings.readers.common import with_named_axes
from repbias.recordings.readers.rdms import (
    leading_axes,
    pairs_of_stimuli,
    refuse_unusable,
    upper_triangles,
)
from repbias.stimuli.images import Images


class RdmNetwork(ModelFile):
    """A model of which RDMs are already computed; each is what a layer is to a network."""

    kind: Literal["rdm"]
    """RDMs in files."""
    axes: list[Literal["layer", "stimulus", "pair", "_"]] = ["stimulus", "stimulus"]
    """Names of the axes of an RDM's array, in order: `stimulus` twice for square matrices, or
    `pair` once for upper triangles (row by row, as in SciPy's and MATLAB's squareform); `_` for
    axes of length 1. `layer` is the axis of RDMs that are stacked in one array."""
    distance: str = "unknown"
    """Dissimilarity measure of the RDMs: `correlation`, `euclidean`, ... The audit divides scores
    only where it is known."""
    layers: list[str] | str | None = None
    """The RDMs: names of the arrays in a file (slashes in them become dots), or of the files in a
    folder, without their ending, or of their folders where the files are all called the same.
    `conv*` is every name that begins so, `conv1..conv5` a range. All when left out, in natural
    order; the last one stands for the model where one is shown. Of an axis called layer, its
    names, or `variable:` and the name of the array that holds them."""

    @field_validator("axes")
    @classmethod
    def _possible(cls, axes: list[str]) -> list[str]:
        if (axes.count("stimulus"), axes.count("pair")) not in [(2, 0), (0, 1)]:
            raise ValueError(f"name 'stimulus' twice or 'pair' once; found {axes}")
        if axes.count(LAYER) > 1:
            raise ValueError(f"'layer' is named twice; found {axes}")
        return axes

    @model_validator(mode="after")
    def _complete(self) -> RdmNetwork:
        if self.stimulus_ids in self.other_ids:
            raise ValueError("stimulus_ids: an RDM is of all stimuli; expected their ids")
        return self._with_layers()

    def least_axes(self) -> int:
        """Return the number of axes from which on an array can be an RDM."""
        return 1 if "pair" in self.axes else 2


def put_model_rdms(
    group: h5py.Group, name: str, spec: RdmNetwork, images: Images
) -> dict[str, np.ndarray]:
    """Write the RDMs of a model into the file that has the activations of other models.

    Parameters
    ----------
    group
        Of the activations file.
    name
        The model's name in the configuration.
    spec, images
        The model, and the set of stimuli that it is of.

    Returns
    -------
    dict
        Those of :func:`read_model_rdms`.
    """
    rdms = read_model_rdms(spec, images)
    put_rdms(group, np.array(images.ids), row_of(name), rdms, spec.distance)
    return rdms


def read_model_rdms(spec: RdmNetwork, images: Images) -> dict[str, np.ndarray]:
    """Read the RDMs of a model, over the stimuli of a set, in their order.

    Returns
    -------
    dict
        Layer to (pair,) float64, the row-major upper triangle.

    Raises
    ------
    RepbiasError
        If the files or their ids do not match the stimuli, or an RDM cannot be used:
        those of :mod:`repbias.recordings.readers.rdms`.
    """
    rdms = {}
    for layer, place in places(spec).items():
        with opened(place, spec.stimulus_ids) as content:
            array = with_named_axes(place.path, np.asarray(content[:]), spec.axes)
        array = leading_axes(array, spec.axes, [LAYER])
        named = 1 if place.entry is None else len(spec.layers or ())
        if len(array) != named:
            raise RepbiasError(
                f"{place.path}: {len(array)} RDMs in the array, {named} named in 'layers' (of an "
                "axis called layer)"
            )
        pairs, n = upper_triangles(place.path, array[[place.entry or 0]], spec.axes)
        rows = rows_of(spec, ids_along(spec, place, n, np.array(images.ids)), images.ids)
        if len(rows) < 3:
            raise RepbiasError(f"{spec.path}: {len(rows)} stimuli; an RDM needs at least 3")
        (rdms[layer],) = pairs_of_stimuli(pairs, rows)
        refuse_unusable(place.path, f"RDM {layer!r}", rdms[layer], spec.distance)
    return rdms
