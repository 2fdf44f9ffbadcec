"""Activations of trained ensembles, written block by block."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from repbias.base.inputs import Inputs, Task
from repbias.io.activations import put_activations
from repbias.networks.device import free_memory, in_chunks, pick_device, reproducible, stack_size
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
