"""Activations of trained ensembles and of the user's own models, written block by block."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from repbias.base.inputs import Inputs, Task
from repbias.io.activations import put_activations
from repbias.networks.device import free_memory, in_chunks, pick_device, reproducible, stack_size
from repbias.networks.features import feature_spaces
from repbias.networks.layers import put_layers
from repbias.networks.spec import FeatureNetwork, GivenNetwork, PixelNetwork, TextNetwork
from repbias.networks.user_models import load_model, model_batches, text_batches
from repbias.stimuli.images import Images

if TYPE_CHECKING:
    from repbias.io.networks import Networks
    from repbias.io.stimuli import Stimuli
    from repbias.networks.architecture import Architecture

logger = logging.getLogger(__name__)


def put_trained_activations(
    group: h5py.Group, networks: Networks, stimuli: Stimuli, spec: Architecture, device: str = "cpu"
) -> None:
    """Write the activations of a condition on its test stimuli, as many networks as fit at a time.

    Every network appears untrained ("initial"), when it first mastered all targets ("mastered",
    if it did) and at the end of training ("final").

    Parameters
    ----------
    group
        Of the activations file.
    networks, stimuli, spec
        The condition's networks, stimuli and architecture.
    device
        "auto", "cpu", "cuda" or "mps".
    """
    inputs, labels, ids = stimuli.part("test")
    named = dict(zip(stimuli.features, labels.T, strict=True))
    task = Task(stimuli.shown, sum(networks.heads))
    _put_snapshots(group, networks, spec, task, ids, len(ids), lambda rows: inputs, named, device)


def put_shown_activations(
    group: h5py.Group,
    networks: Networks,
    spec: Architecture,
    shape: Sequence[int],
    images: Images,
    device: str = "cpu",
) -> None:
    """Write the activations of a condition's networks on images that they were not trained on.

    Parameters
    ----------
    group
        Of the activations file.
    networks, spec
        The condition's networks and architecture.
    shape
        Channels, height and width of the images that they were trained on, to which others are
        resized (bilinear).
    images
        The stimuli.
    device
        "auto", "cpu", "cuda" or "mps".
    """
    channels, height, width = shape
    load, ids = images.load, np.array(images.ids)
    assert load is not None
    logger.info(
        "%d images are resized to %d x %d pixels, as those of training", len(ids), width, height
    )
    task = Task(Inputs((channels, height, width), "uint8"), sum(networks.heads))

    def resized(rows: range) -> np.ndarray:
        from PIL import Image

        size, bilinear = (width, height), Image.Resampling.BILINEAR
        pixels = np.stack([np.asarray(load(i).resize(size, bilinear)) for i in rows])
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))

    block = spec.sizes(task).batch
    _put_snapshots(group, networks, spec, task, ids, block, resized, {}, device)


def _put_snapshots(
    group: h5py.Group,
    networks: Networks,
    spec: Architecture,
    task: Task,
    ids: np.ndarray,
    block: int,
    inputs: Callable[[range], Any],
    labels: Mapping[str, np.ndarray],
    device: str,
) -> None:
    """Show stimuli, so many at a time, to all networks at all snapshots."""
    where = pick_device(device)
    rows = [
        (checkpoint, n)
        for checkpoint in networks.snapshots()
        for n in range(len(networks.seeds))
        if networks.checkpoint_steps[checkpoint, n] >= 0
    ]
    table = {
        "network": [f"seed{networks.seeds[n]}" for _, n in rows],
        "seed": [networks.seeds[n] for _, n in rows],
        "snapshot": [networks.checkpoint_names[c] for c, _ in rows],
        "step": [networks.checkpoint_steps[c, n] for c, n in rows],
        "included": [networks.included[n] for _, n in rows],
    }
    sizes = spec.sizes(task)
    # Weights; the layers of all stimuli, and a batch of them.
    each = 4 * (sizes.parameters + block * sum(sizes.units.values()))
    each += block * sizes.stimulus_bytes
    size = stack_size(where.type, free_memory(where), each)
    datasets = put_activations(group, ids, table, sizes.units, labels)

    def work(shown: Any, chunk: Sequence[tuple[int, int]]) -> dict[str, np.ndarray]:
        checkpoints, members = map(list, zip(*chunk, strict=True))
        weights = {name: w[checkpoints, members] for name, w in networks.weights.items()}
        return spec.represent(weights, shown, task, device)

    for begin in range(0, len(ids), block):
        stop, start = min(begin + block, len(ids)), 0
        of_block = partial(work, inputs(range(begin, stop)))
        with reproducible(where):
            for chunk, layers in in_chunks(rows, size, of_block, "network"):
                for layer, values in layers.items():
                    datasets[layer][start : start + len(chunk), begin:stop] = values
                start += len(chunk)


def put_model_activations(
    group: h5py.Group, name: str, spec: GivenNetwork, images: Images, device: str
) -> None:
    """Run a model over a set of stimuli and write the chosen layers, batch by batch.

    Parameters
    ----------
    group
        Of the activations file.
    name
        The network's name in the configuration.
    spec
        Where the model comes from and which layers are wanted.
    images
        The stimuli.
    device
        "auto", "cpu", "cuda" or "mps".
    """
    batches = layers_in_batches(spec, images, device)
    start, first = next(batches)
    units = {layer: values.shape[1] for layer, values in first.items()}
    distance = getattr(spec, "distance", None)
    put_layers(group, name, images.ids, units, chain([(start, first)], batches), distance)


def layers_in_batches(
    spec: GivenNetwork, images: Images, device: str
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Run a model over a set of stimuli.

    Yields
    ------
    tuple
        Index of the first stimulus of a batch, and layer to (stimulus, unit).
    """
    if isinstance(spec, FeatureNetwork):
        return iter([(0, feature_spaces(spec, images))])
    if isinstance(spec, PixelNetwork):
        return _pixel_batches(spec, images)
    model, where = load_model(spec), pick_device(device)
    if isinstance(spec, TextNetwork):
        return text_batches(model, spec, images.texts(spec.column), where)
    assert images.load is not None
    return model_batches(model, spec, len(images), images.load, spec.batch_size, where)


def _pixel_batches(
    spec: PixelNetwork, images: Images
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    load = images.load
    assert load is not None
    for start in range(0, len(images), 64):
        stop = min(start + 64, len(images))
        pixels = [
            np.asarray(load(i).resize((spec.size, spec.size)), np.float32).ravel() / 255
            for i in range(start, stop)
        ]
        yield start, {"pixels": np.stack(pixels)}
