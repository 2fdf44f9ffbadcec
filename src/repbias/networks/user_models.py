"""Run the user's own PyTorch models on images or texts, and read layers by hooks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from repbias.base.imports import imported, told
from repbias.base.spec import RepbiasError, nearest
from repbias.networks.device import in_chunks, is_out_of_memory, reproducible
from repbias.networks.spec import Preprocess, TextNetwork, UserModel, UserModule, preprocessed

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)


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
    logger.info("%s: images are %s", spec.factory, preprocessed(spec.preprocess))
    model = model.to(device).eval()
    transform = _transform(spec.preprocess)
    hooks = _hooks(model, spec, lambda value: pooled(value, spec.pool))
    with reproducible(device), hooks as outputs, torch.inference_mode():

        def work(chunk: Sequence[int]) -> dict[str, np.ndarray]:
            batch = torch.stack([transform(load(i)) for i in chunk])
            outputs.clear()
            try:
                model(batch.to(device))
            except Exception as error:
                if isinstance(error, RepbiasError) or is_out_of_memory(error):
                    raise
                raise RepbiasError(
                    f"{spec.factory}: {told(error)}; it was shown {tuple(batch.shape)} (image, "
                    f"channel, y, x): images {preprocessed(spec.preprocess)}; the setting "
                    "'preprocess' changes what it is shown"
                ) from error
            _check_layers(outputs, len(batch), spec)
            return {layer: outputs[layer] for layer in spec.layers}

        for chunk, layers in in_chunks(range(n_images), batch, work, "image"):
            yield chunk[0], layers


def text_batches(
    model: nn.Module, spec: TextNetwork, texts: Sequence[str], device: torch.device
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Run a language model over texts.

    Parameters
    ----------
    model
        From :func:`load_model`.
    spec
        How it reads texts, and which layers are wanted.
    texts
        The texts.
    device
        Where to compute.

    Yields
    ------
    tuple
        Index of the first text of a batch, and layer to (text, unit).

    Raises
    ------
    RepbiasError
        If the tokenizer or the model cannot be used as they are.
    """
    model, tokenize = model.to(device).eval(), imported(spec.tokenize)
    mask: Tensor | None = None
    hooks = _hooks(model, spec, lambda value: _of_tokens(value, spec, mask))
    with reproducible(device), hooks as outputs, torch.inference_mode():

        def work(chunk: Sequence[int]) -> dict[str, np.ndarray]:
            nonlocal mask
            given = _tokenized(tokenize, spec, [texts[i] for i in chunk])
            mask = given.get("attention_mask") if isinstance(given, Mapping) else None
            outputs.clear()
            try:
                if isinstance(given, Mapping):
                    model(**{name: value.to(device) for name, value in given.items()})
                else:
                    model(given.to(device))
            except TypeError as error:
                raise RepbiasError(f"{spec.factory}: {told(error)}") from error
            _check_layers(outputs, len(chunk), spec, "texts")
            return {layer: outputs[layer] for layer in spec.layers}

        for chunk, layers in in_chunks(range(len(texts)), spec.batch_size, work, "text"):
            yield chunk[0], layers


def _tokenized(
    tokenize: Callable[..., Any], spec: TextNetwork, texts: list[str]
) -> Tensor | Mapping[str, Tensor]:
    """Call the user's tokenizer."""
    try:
        given = tokenize(texts)
    except Exception as error:
        raise RepbiasError(f"{spec.tokenize}: {told(error)}") from error
    tensors = given.values() if isinstance(given, Mapping) else [given]
    for value in tensors:
        if not isinstance(value, Tensor) or value.shape[:1] != (len(texts),):
            found = f"a {type(value).__name__}"
            if isinstance(value, Tensor):
                found = f"a tensor of shape {tuple(value.shape)}"
            raise RepbiasError(
                f"{spec.tokenize}: expected tensors (text, token) for {len(texts)} texts, or a "
                f"mapping of such, found {found}"
            )
    return given


def _of_tokens(value: Tensor, spec: TextNetwork, mask: Tensor | None) -> Tensor:
    """Return the output of a layer as (text, unit), without padding."""
    if value.ndim == 2:
        return value
    if value.ndim != 3:
        raise RepbiasError(
            f"{spec.factory}: a layer gives {tuple(value.shape)}; expected (text, unit) or (text, "
            "token, unit)"
        )
    whole = torch.ones(value.shape[:2]) if mask is None else mask
    weight = whole.to(device=value.device, dtype=torch.float32)
    if weight.shape != value.shape[:2]:
        raise RepbiasError(
            f"{spec.tokenize}: attention_mask is {tuple(weight.shape)}, but a layer gives "
            f"{tuple(value.shape)}"
        )
    if not (weight > 0).any(dim=1).all():
        raise RepbiasError(f"{spec.tokenize}: a text has no tokens but padding")
    if spec.tokens != "mean":
        at = torch.arange(1, 1 + value.shape[1], device=value.device) * weight
        # Where there is padding, it may come first or last.
        at = at if spec.tokens == "last" else -at.masked_fill(weight == 0, torch.inf)
        return value[torch.arange(len(value)), at.argmax(dim=1)]
    # What models give for padding may be no number.
    kept = torch.where(weight[..., None] > 0, value, 0)
    return (kept * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)


def _check_layers(
    outputs: dict[str, np.ndarray], n: int, spec: UserModule, noun: str = "images"
) -> None:
    silent = [layer for layer in spec.layers if layer not in outputs]
    if silent:
        raise RepbiasError(f"{spec.factory}: layers {silent} took no part in the forward pass")
    for layer in spec.layers:
        if len(outputs[layer]) != n:
            raise RepbiasError(
                f"{spec.factory}: layer {layer!r} gives {len(outputs[layer])} rows for "
                f"{n} {noun}; the first axis of its output must be the batch"
            )


def load_model(spec: UserModule) -> nn.Module:
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
def _hooks(
    model: nn.Module, spec: UserModule, units: Callable[[Tensor], Tensor]
) -> Iterator[dict[str, np.ndarray]]:
    """Collect the layers' outputs as (stimulus, unit) while the model runs."""
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
            # A copy: the next module may change the tensor in place.
            outputs[layer] = units(value).flatten(1).float().cpu().numpy().copy()

        return hook

    modules = dict(model.named_modules())
    handles = [modules[layer].register_forward_hook(keep(layer)) for layer in spec.layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def pooled(value: Tensor, pool: int | None) -> Tensor:
    """Return feature maps with sides of at most so many positions."""
    if not pool or value.ndim != 4:
        return value
    if value.device.type == "mps":
        value = value.cpu()  # MPS pools only sides that are multiples of the size
    height, width = (min(pool, side) for side in value.shape[2:])
    return nn.functional.adaptive_avg_pool2d(value, (height, width))
