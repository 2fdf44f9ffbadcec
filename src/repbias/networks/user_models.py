"""Run the user's own PyTorch models on images, and read layers by hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from repbias.base.imports import imported
from repbias.base.spec import RepbiasError, nearest
from repbias.networks.device import in_chunks, reproducible
from repbias.networks.spec import Preprocess, UserModel

if TYPE_CHECKING:
    from PIL.Image import Image


def model_batches(
    model: nn.Module,
    spec: UserModel,
    n_images: int,
    load: Callable[[int], Image],
    batch: int,
    device: torch.device,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Run a model over images.

    Parameters
    ----------
    model
        From :func:`load_model`.
    spec
        How it sees images, and which layers are wanted.
    n_images, load
        Number of images, and a function that gives the i-th one, as RGB.
    batch
        Images per forward pass.
    device
        Where to compute.

    Yields
    ------
    tuple
        Index of the first image of a batch, and layer to (image, unit).
    """
    model = model.to(device).eval()
    transform = _transform(spec.preprocess)
    with reproducible(device), _hooks(model, spec) as outputs, torch.inference_mode():

        def work(chunk: Sequence[int]) -> dict[str, np.ndarray]:
            batch = torch.stack([transform(load(i)) for i in chunk])
            outputs.clear()
            model(batch.to(device))
            _check_layers(outputs, len(batch), spec)
            return {layer: outputs[layer] for layer in spec.layers}

        for chunk, layers in in_chunks(range(n_images), batch, work, "image"):
            yield chunk[0], layers


def _check_layers(outputs: dict[str, np.ndarray], n_images: int, spec: UserModel) -> None:
    silent = [layer for layer in spec.layers if layer not in outputs]
    if silent:
        raise RepbiasError(f"{spec.factory}: layers {silent} took no part in the forward pass")
    for layer in spec.layers:
        if len(outputs[layer]) != n_images:
            raise RepbiasError(
                f"{spec.factory}: layer {layer!r} gives {len(outputs[layer])} rows for "
                f"{n_images} images; the first axis of its output must be the batch"
            )


def load_model(spec: UserModel) -> nn.Module:
    """Call the factory; check that it gives a module that has the layers.

    Raises
    ------
    RepbiasError
        If the import, the call or a layer fails, with the reason.
    """
    factory = imported(spec.factory)
    try:
        # Random weights are the same in every run, and on every device: they are drawn on the CPU.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = factory(**spec.arguments)
    except TypeError as error:
        raise RepbiasError(f"{spec.factory}: cannot make the model: {error}") from error
    if not isinstance(model, nn.Module):
        raise RepbiasError(
            f"{spec.factory}: expected a torch.nn.Module, got {type(model).__name__}"
        )
    names = [name for name, _ in model.named_modules() if name]
    for layer in spec.layers:
        if layer not in names:
            raise RepbiasError(
                f"{spec.factory}: the model has no layer {layer!r}; {nearest(layer, names)}"
            )
    return model


def _transform(preprocess: Preprocess | str) -> Callable[[Any], Tensor]:
    if isinstance(preprocess, str):
        return imported(preprocess)
    mean = np.array(preprocess.mean, np.float32)
    std = np.array(preprocess.std, np.float32)

    def transform(image: Any) -> Tensor:
        from PIL import Image

        resized = image.resize((preprocess.size, preprocess.size), Image.Resampling.BILINEAR)
        values = (np.asarray(resized, np.float32) / 255 - mean) / std
        return torch.from_numpy(values).permute(2, 0, 1)

    return transform


@contextmanager
def _hooks(model: nn.Module, spec: UserModel) -> Iterator[dict[str, np.ndarray]]:
    """Collect the layers' outputs as (image, unit) while the model runs."""
    outputs: dict[str, np.ndarray] = {}

    def keep(layer: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            value = output[0] if isinstance(output, tuple | list) else output
            if not isinstance(value, Tensor):
                raise RepbiasError(
                    f"{spec.factory}: layer {layer!r} gives a {type(value).__name__}, not a tensor"
                )
            if layer in outputs:
                raise RepbiasError(
                    f"{spec.factory}: layer {layer!r} runs more than once in a forward pass; name "
                    "a module that runs once"
                )
            if spec.pool and value.ndim == 4:
                if value.device.type == "mps":
                    value = value.cpu()  # MPS pools only sides that are multiples of the size
                height, width = (min(spec.pool, side) for side in value.shape[2:])
                value = nn.functional.adaptive_avg_pool2d(value, (height, width))
            # A copy: the next module may change the tensor in place.
            outputs[layer] = value.flatten(1).float().cpu().numpy().copy()

        return hook

    modules = dict(model.named_modules())
    handles = [modules[layer].register_forward_hook(keep(layer)) for layer in spec.layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
