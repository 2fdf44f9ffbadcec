"""Activations of the user's own models, of feature spaces and of pixels, written batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import h5py
import numpy as np

from repbias.networks.features import feature_spaces
from repbias.networks.layers import put_layers
from repbias.networks.spec import FeatureNetwork, GivenNetwork, PixelNetwork, TextNetwork
from repbias.stimuli.images import Images


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
    # PyTorch takes longer to import than features and pixels take to write.
    from repbias.networks.device import pick_device
    from repbias.networks.user_models import load_model, model_batches, text_batches

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
