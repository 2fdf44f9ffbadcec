"""Models whose activations, or other features of the stimuli, are already computed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from pydantic import Field, field_validator, model_validator

from repbias.base.spec import RepbiasError
from repbias.networks.layer_files import LAYER, Place, members, opened
from repbias.networks.layers import put_layers
from repbias.networks.model_files import (
    ModelFile,
    data_files,
    ids_along,
    places,
    rows_of,
)
from repbias.stimuli.images import Images

logger = logging.getLogger(__name__)

#: Bytes of an array that are read at a time, and stimuli, where each is an array of its own.
BLOCK_BYTES, BLOCK_STIMULI = 2**26, 64
#: Axes that become units, in this order.
UNITS = ("token", "channel", "y", "x", "unit")
#: Axes that some layers of a network do not have.
OFTEN_MISSING = (("y", "x"), ("token",))


class ArrayNetwork(ModelFile):
    """A model whose activations, or other features of the stimuli, are already computed."""

    kind: Literal["array"]
    """Activations in files."""
    axes: list[Literal["layer", "stimulus", "token", "channel", "y", "x", "unit", "_"]] = [
        "stimulus",
        "unit",
    ]
    """Names of the axes of a layer's array, in order; `_` for axes of length 1. All but `stimulus`
    become units. Layers may lack `y` and `x`, or `token`, as fully connected ones do. `layer` is
    the axis of layers that are stacked in one array. Without `stimulus` where each is an array of
    its own."""
    pool: int | None = Field(None, ge=1)
    """Feature maps (y, x) larger than pool x pool are average-pooled to it, as of kind `torch`; by
    default every position is a unit."""
    scale: Literal["none", "z", "unit"] = "none"
    """`z` gives every unit a mean of 0 and a standard deviation of 1 over the stimuli (a unit that
    does not vary becomes 0), `unit` every stimulus's vector a length of 1."""
    distance: Literal["correlation", "euclidean", "squared_euclidean"] | None = None
    """Dissimilarity between two stimuli, instead of `geometry.distance`."""
    layers: list[str] | dict[str, list[str]] | str | None = None
    """The layers, from input to output: names of the arrays in a file (slashes in them become
    dots), or of the files in a folder, without their ending, or of their folders where the files
    are all called the same. `conv*` is every name that begins so, `conv1..conv5` a range. All when
    left out, in natural order; the last one stands for the model where one is shown. Of an axis
    called layer, its names, or `variable:` and the name of the array that holds them. Of a table,
    a mapping from a layer to its columns."""

    @field_validator("axes")
    @classmethod
    def _possible(cls, axes: list[str]) -> list[str]:
        named = [a for a in axes if a != "_"]
        for axis in named:
            if named.count(axis) > 1:
                raise ValueError(f"{axis!r} is named twice; found {axes}")
        if ("y" in named) != ("x" in named):
            raise ValueError(f"name y and x, or neither; found {axes}")
        if "y" in named and {"token", "unit"} & {*named}:
            raise ValueError(f"maps have channels, not tokens or units; found {axes}")
        return axes

    @model_validator(mode="after")
    def _complete(self) -> ArrayNetwork:
        own = self.stimulus_ids in self.other_ids
        if ("stimulus" in self.axes) == own:
            where = "in an array of its own" if own else "an entry of an axis"
            raise ValueError(
                f"axes: every stimulus is {where} (stimulus_ids), so expected "
                f"{'no' if own else 'an'} axis 'stimulus', found {self.axes}"
            )
        if self.stimulus_ids == "files" and not self.path.is_dir():
            raise ValueError(f"stimulus_ids: files are those of a folder, found {self.path}")
        return self._with_layers()

    def axes_of(self, where: str, shape: Sequence[int]) -> list[str]:
        """Return the names of an array's axes.

        Raises
        ------
        RepbiasError
            If their number is another, or one without a name is longer than 1.
        """
        for dropped in ((), *OFTEN_MISSING):
            axes: list[str] = [a for a in self.axes if a not in dropped]
            if len(axes) == len(shape):
                break
        else:
            raise RepbiasError(f"{where}: axes names {self.axes}, but the array has {list(shape)}")
        for name, size in zip(axes, shape, strict=True):
            if name == "_" and size != 1:
                raise RepbiasError(f"{where}: the axis called _ has length {size}, expected 1")
            if not size:
                raise RepbiasError(f"{where}: the array is empty (shape {list(shape)})")
        return axes


def put_array_activations(
    group: h5py.Group, name: str, spec: ArrayNetwork, images: Images
) -> dict[str, int]:
    """Write the layers of a model that is already computed, block by block.

    They are read twice, so that nothing of a file that cannot be used is written.

    Parameters
    ----------
    group
        Of the activations file.
    name
        The model's name in the configuration.
    spec, images
        The model, and the set of stimuli that it was shown.

    Returns
    -------
    dict
        Layer to its number of units.

    Raises
    ------
    RepbiasError
        Those of :func:`survey`, and of stimuli that cannot be scaled.
    """
    found = survey(spec, images)
    units = {layer: of_layer.n_units for layer, of_layer in found.items()}
    batches = (
        (start, {layer: _scaled(spec, layer, found[layer], values, images.ids[start:])})
        for layer, start, values in _blocks(spec, images)
    )
    put_layers(group, name, images.ids, units, batches, spec.distance)
    return units


@dataclass
class Survey:
    """What is known of a layer after it was read once.

    Attributes
    ----------
    n : stimuli
    mean, squares : (unit,) mean over stimuli, and sum of squared deviations from it
    low, high : (unit,) the least and the largest value
    flat : ids of stimuli in which all units are the same
    """

    n: int = 0
    mean: np.ndarray = field(default_factory=lambda: np.empty(0))
    squares: np.ndarray = field(default_factory=lambda: np.empty(0))
    low: np.ndarray = field(default_factory=lambda: np.empty(0))
    high: np.ndarray = field(default_factory=lambda: np.empty(0))
    flat: list[str] = field(default_factory=list)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.mean)

    def add(self, values: np.ndarray) -> None:
        """Add stimuli, (stimulus, unit), by Chan's update of means and squares."""
        n, mean = len(values), values.mean(axis=0, dtype=np.float64)
        squares = ((values - mean) ** 2).sum(axis=0)
        low, high = values.min(axis=0), values.max(axis=0)
        if self.n:
            delta, total = mean - self.mean, self.n + n
            squares = self.squares + squares + delta**2 * self.n * n / total
            mean = self.mean + delta * n / total
            low, high = np.minimum(low, self.low), np.maximum(high, self.high)
        self.n, self.mean, self.squares, self.low, self.high = self.n + n, mean, squares, low, high


def survey(spec: ArrayNetwork, images: Images) -> dict[str, Survey]:
    """Read all layers once.

    Returns
    -------
    dict
        Layer to what is known of it.

    Raises
    ------
    RepbiasError
        If a file or its ids do not match the stimuli, or a layer is not finite, or the same for
        all stimuli.
    """
    found: dict[str, Survey] = {}
    for layer, start, values in _blocks(spec, images):
        with np.errstate(over="ignore"):  # what is too large for single precision
            finite = np.isfinite(values.astype(np.float32)).all(axis=1)
        if not finite.all():
            stimulus = images.ids[start + int((~finite).argmax())]
            raise RepbiasError(
                f"{spec.path}: layer {layer!r} is NaN or infinite for stimulus {stimulus!r}"
            )
        of_layer = found.setdefault(layer, Survey())
        of_layer.add(values)
        same = np.flatnonzero(values.min(axis=1) == values.max(axis=1))
        of_layer.flat += [images.ids[start + int(i)] for i in same]
    for layer, of_layer in found.items():
        if (of_layer.low == of_layer.high).all():
            raise RepbiasError(f"{spec.path}: layer {layer!r} is the same for all stimuli")
    return found


def _scaled(
    spec: ArrayNetwork, layer: str, known: Survey, values: np.ndarray, ids: Sequence[str]
) -> np.ndarray:
    if spec.scale == "z":
        deviation = np.sqrt(known.squares / known.n)
        varies = known.low < known.high
        return np.where(varies, (values - known.mean) / np.where(varies, deviation, 1), 0)
    if spec.scale == "unit":
        length = np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)
        if (length == 0).any():
            zero = ids[int((length == 0).argmax())]
            raise RepbiasError(
                f"{spec.path}: scale: unit: layer {layer!r} is zero for stimulus {zero!r}"
            )
        return values / length
    return values


def _blocks(spec: ArrayNetwork, images: Images) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield a layer's name, the number of the first stimulus of a block, and (stimulus, unit)."""
    if spec.stimulus_ids == "files":
        yield from _of_files(spec, images)
        return
    read = _of_arrays if spec.stimulus_ids == "arrays" else _of_axis
    for layer, place in places(spec).items():
        for start, values in read(spec, layer, place, images):
            yield layer, start, values


def _of_axis(
    spec: ArrayNetwork, layer: str, place: Place, images: Images
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield blocks of a layer whose array has an axis of stimuli."""
    where = f"{place.path}: layer {layer!r}"
    with opened(place, spec.stimulus_ids) as array:
        axes = spec.axes_of(where, array.shape)
        sizes = dict(zip(axes, array.shape, strict=True))
        if LAYER in axes:
            assert isinstance(spec.layers, list)
            if sizes[LAYER] != len(spec.layers):
                raise RepbiasError(
                    f"{place.path}: layers gives {len(spec.layers)} names for {sizes[LAYER]} layers"
                )
        known = np.array(images.ids)
        rows = rows_of(spec, ids_along(spec, place, sizes["stimulus"], known), images.ids)
        each = 8 * prod(array.shape) // sizes["stimulus"] // sizes.get(LAYER, 1)
        size = max(1, BLOCK_BYTES // each)
        for start in range(0, len(rows), size):
            block = _stimuli(array, axes, rows[start : start + size], place.entry)
            yield start, _as_units(spec, block, axes)


def _stimuli(array: Any, axes: list[str], rows: np.ndarray, layer: int | None) -> np.ndarray:
    """Read some stimuli, with all axes; by slices, which every kind of array has."""
    at: list[Any] = [slice(None)] * len(axes)
    if layer is not None:
        at[axes.index(LAYER)] = slice(layer, layer + 1)
    stimulus = axes.index("stimulus")
    low, high = int(rows.min()), int(rows.max()) + 1
    if high - low <= 4 * len(rows):
        at[stimulus] = slice(low, high)
        return np.take(np.asarray(array[tuple(at)]), rows - low, axis=stimulus)
    parts = []
    for row in rows.tolist():
        at[stimulus] = slice(row, row + 1)
        parts.append(np.asarray(array[tuple(at)]))
    return np.concatenate(parts, axis=stimulus)


def _of_arrays(
    spec: ArrayNetwork, layer: str, place: Place, images: Images
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield blocks of a layer of which every stimulus is an array of its own."""
    with members(place.path) as (names, read):
        rows = rows_of(spec, names, images.ids)
        for start in range(0, len(rows), BLOCK_STIMULI):
            chosen = [names[row] for row in rows[start : start + BLOCK_STIMULI]]
            yield start, _stacked(spec, layer, place.path, [read(name) for name in chosen])


def _of_files(spec: ArrayNetwork, images: Images) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield blocks of layers of which every stimulus is in a file of its own."""
    files = data_files(spec)
    names = [file.relative_to(spec.path).with_suffix("").as_posix() for file in files]
    rows, layers = rows_of(spec, names, images.ids), places(spec)
    for start in range(0, len(rows), BLOCK_STIMULI):
        chosen = [files[row] for row in rows[start : start + BLOCK_STIMULI]]
        for layer, place in layers.items():
            arrays = []
            for file in chosen:
                with opened(place._replace(path=file), "") as array:
                    arrays.append(np.asarray(array[:]))
            yield layer, start, _stacked(spec, layer, spec.path, arrays)


def _stacked(spec: ArrayNetwork, layer: str, path: Path, arrays: list[np.ndarray]) -> np.ndarray:
    """Return arrays of single stimuli as (stimulus, unit)."""
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise RepbiasError(f"{path}: layer {layer!r} has different shapes {sorted(shapes)}")
    axes = spec.axes_of(f"{path}: layer {layer!r}", arrays[0].shape)
    return _as_units(spec, np.stack(arrays), ["stimulus", *axes])


def _as_units(spec: ArrayNetwork, block: np.ndarray, axes: list[str]) -> np.ndarray:
    """Return a block with these axes as (stimulus, unit), of floats."""
    order = ["stimulus", *(axis for axis in UNITS if axis in axes)]
    unnamed = tuple(i for i, axis in enumerate(axes) if axis in ("_", LAYER))
    named = [axis for axis in axes if axis not in ("_", LAYER)]
    values = block.squeeze(axis=unnamed).transpose([named.index(axis) for axis in order])
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    if spec.pool and {"y", "x"} <= {*axes}:
        import torch

        from repbias.networks.user_models import pooled

        if "channel" not in axes:
            values = values[:, None]
        single = np.ascontiguousarray(values, dtype=np.float32)
        values = pooled(torch.from_numpy(single), spec.pool).numpy()
    return values.reshape(len(values), -1)
