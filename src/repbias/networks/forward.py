"""Run PyTorch modules of given weights, read layers by hooks, and replace them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from repbias.base.inputs import Inputs, Task, as_seen
from repbias.base.spec import RepbiasError, nearest
from repbias.networks.architecture import Sizes
from repbias.networks.device import pick_device, reproducible

if TYPE_CHECKING:
    from repbias.networks.modules import Modules

#: Bytes that one batch may take in memory when networks are analysed, and most stimuli of it.
BATCH_BYTES, BATCH = 2**27, 512
#: Seconds of a training step: for each module without modules within it; and of a stimulus, for
#: each multiplication and addition of the forward pass, and for each number that these modules
#: give (benchmarks/scaling.py measures them).
SECONDS_PER_MODULE, SECONDS_PER_OPERATION, SECONDS_PER_NUMBER = 1.2e-4, 4.5e-11, 5e-9


def built(spec: Modules, task: Task, seed: int) -> nn.Module:
    """Make a network; its weights depend on the seed only, and are drawn on the CPU.

    Raises
    ------
    RepbiasError
        If it has no such layer.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = spec.build(task.inputs, task.n_outputs)
    names = [name for name, _ in module.named_modules() if name]
    for layer in spec.layers:
        if layer not in names:
            raise RepbiasError(
                f"network.layers: the model has no layer {layer!r}; {nearest(layer, names)}"
            )
    if strange := [name for name in module.state_dict() if "/" in name]:
        raise RepbiasError(f"network: names of modules cannot have a '/', found {strange[0]!r}")
    return module


@contextmanager
def hooked(
    module: nn.Module, layers: Sequence[str], hook: Callable[[str, Tensor], Tensor | None]
) -> Iterator[None]:
    """Call a function with every layer's name and output; what it returns goes on instead.

    Of a layer that gives a tuple, such as a recurrent one, the output is the first entry.
    """

    def wrapped(layer: str) -> Callable[..., Any]:
        def call(_: nn.Module, __: Any, output: Any) -> Any:
            several = isinstance(output, tuple | list)
            value = output[0] if several else output
            if not isinstance(value, Tensor):
                raise RepbiasError(
                    f"network.layers: {layer!r} gives a {type(value).__name__}, not a tensor"
                )
            new = hook(layer, value)
            if new is None:
                return None
            return type(output)((new, *output[1:])) if several else new

        return call

    modules = dict(module.named_modules())
    handles = [modules[layer].register_forward_hook(wrapped(layer)) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def units_of(output: Tensor, readout: str, layer: str) -> Tensor:
    """Return a layer's output, (stimulus, ...), as (stimulus, unit).

    Raises
    ------
    RepbiasError
        If the output has not the axes that the readout needs.
    """
    if readout == "auto":
        readout = {3: "token_mean", 4: "spatial_mean", 5: "spatial_mean"}.get(
            output.ndim, "flatten"
        )
    if readout == "flatten":
        return output.flatten(1)
    if readout == "spatial_mean" and output.ndim >= 3:
        return output.flatten(2).mean(-1)
    if readout == "token_mean" and output.ndim == 3:
        return output.mean(1)
    token = int(readout.removeprefix("token")) if output.ndim == 3 and readout[5:6] != "_" else None
    if token is not None and -output.shape[1] <= token < output.shape[1]:
        return output[:, token]
    raise RepbiasError(
        f"network.readout: {layer!r} has an output of shape (stimulus, "
        f"{', '.join(map(str, output.shape[1:]))}), which cannot be read by {readout!r}"
    )


def replaced(output: Tensor, readout: str, layer: str, units: Tensor) -> Tensor:
    """Return a layer's output changed such that it is read as these units."""
    if readout == "flatten" or (readout == "auto" and output.ndim == 2):
        return units.reshape(output.shape)
    if readout.removeprefix("token").lstrip("-").isdigit():
        output = output.clone()
        output[:, int(readout.removeprefix("token"))] = units
        return output
    moved = units - units_of(output, readout, layer)
    # Of a sequence, positions are the second axis; of feature maps, those after the channels.
    if output.ndim == 3 and readout in ("auto", "token_mean"):
        return output + moved[:, None]
    return output + moved.reshape(*moved.shape, *[1] * (output.ndim - 2))


class Forward:
    """Networks of given weights, and what they are shown.

    Parameters
    ----------
    spec
        The architecture.
    weights
        Name of a parameter or buffer to (network, ...).
    inputs
        (stimulus, ...), in memory or not.
    task
        Shape of the inputs, and number of logits.
    device
        "auto", "cpu", "cuda" or "mps".
    """

    def __init__(
        self,
        spec: Modules,
        weights: Mapping[str, np.ndarray],
        inputs: Any,
        task: Task,
        device: str,
    ) -> None:
        self._spec, self._weights, self._inputs = spec, weights, inputs
        self._device, self._n_outputs = pick_device(device), task.n_outputs
        self._n_networks = len(next(iter(weights.values())))
        # Weights are given at every call, so these do not matter.
        self._module = built(spec, task, 0).to(self._device).eval()
        each = examined(spec, task).stimulus_bytes
        self._batch = max(1, min(BATCH, BATCH_BYTES // each))

    def layers(self) -> dict[str, np.ndarray]:
        """Return every layer's units, (network, stimulus, unit) float32."""
        found: dict[str, np.ndarray] = {}
        read: dict[str, Tensor] = {}

        def keep(layer: str, output: Tensor) -> None:
            # A copy: the next module may change the output in place.
            read[layer] = units_of(output, self._spec.readout_of(layer), layer).float().clone()

        with hooked(self._module, self._spec.layers, keep):
            for n, rows, _ in self._runs():
                for layer, units in read.items():
                    shape = (self._n_networks, len(self._inputs), units.shape[1])
                    whole = found.setdefault(layer, np.empty(shape, np.float32))
                    whole[n, rows] = units.cpu().numpy()
        return {layer: found[layer] for layer in self._spec.layers}

    def outputs(
        self, layer: str | None = None, activations: np.ndarray | None = None
    ) -> np.ndarray:
        """Return logits, (network, stimulus, output); a layer's units are replaced if given."""
        logits = np.empty((self._n_networks, len(self._inputs), self._n_outputs), np.float32)
        place: list[Any] = [0, slice(0)]

        def patch(name: str, output: Tensor) -> Tensor:
            assert activations is not None
            units = torch.from_numpy(activations[place[0], place[1]].astype(np.float32))
            readout = self._spec.readout_of(name)
            return replaced(output, readout, name, units.to(output))

        with hooked(self._module, [layer] if layer else [], patch):
            for n, rows, batch in self._runs(place):
                logits[n, rows] = batch.float().cpu().numpy()
        return logits

    def _runs(self, place: list[Any] | None = None) -> Iterator[tuple[int, slice, Tensor]]:
        """Run every network on every batch; give its number, the rows and the logits."""
        states = [
            {
                name: torch.from_numpy(np.ascontiguousarray(w[n])).to(self._device)
                for name, w in self._weights.items()
            }
            for n in range(self._n_networks)
        ]
        with reproducible(self._device), torch.inference_mode():
            for start in range(0, len(self._inputs), self._batch):
                rows = slice(start, start + self._batch)
                x = torch.from_numpy(as_seen(np.asarray(self._inputs[rows]))).to(self._device)
                for n, state in enumerate(states):
                    if place is not None:
                        place[:] = [n, rows]
                    yield n, rows, functional_call(self._module, state, (x,))


def examined(spec: Modules, task: Task) -> Sizes:
    """Build a network, show it two stimuli, and measure it; once for each architecture.

    Raises
    ------
    RepbiasError
        If it cannot be built, run or trained, if a layer runs never or twice, if its output cannot
        be read, if stimuli are not apart, or if there are not as many outputs as are asked for.
    """
    return _examined(type(spec), spec.model_dump_json(exclude={"analysed_layer"}), task)


@lru_cache(maxsize=64)
def _examined(kind: type[Modules], settings: str, task: Task) -> Sizes:
    spec = kind.model_validate_json(settings)
    module = built(spec, task, 0).eval()
    x = _example(task.inputs)
    units: dict[str, Tensor] = {}

    def keep(layer: str, output: Tensor) -> None:
        if layer in units:
            raise RepbiasError(
                f"network.layers: {layer!r} runs more than once in a forward pass; name a module "
                "that runs once"
            )
        if output.shape[0] != len(x):
            raise RepbiasError(
                f"network.layers: {layer!r} gives {output.shape[0]} rows for {len(x)} stimuli; the "
                "first axis of its output must be the stimulus"
            )
        units[layer] = units_of(output, spec.readout_of(layer), layer)

    with hooked(module, spec.layers, keep), torch.no_grad():
        logits = _tried(module, x, "run")
    if silent := [layer for layer in spec.layers if layer not in units]:
        raise RepbiasError(f"network.layers: {silent} took no part in the forward pass")
    if not isinstance(logits, Tensor) or logits.shape != (len(x), task.n_outputs):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise RepbiasError(
            f"network: the model gives {found} for {len(x)} stimuli; expected {len(x)} rows of "
            f"{task.n_outputs} logits, {(len(x), task.n_outputs)}"
        )
    _refuse_mixing(module, x, logits)
    n_modules, n_numbers, n_operations = _trained_once(module, x)
    state = module.state_dict()
    return Sizes(
        units={layer: u.shape[1] for layer, u in units.items()},
        parameters=sum(v.numel() for v in state.values()),
        step_seconds=SECONDS_PER_MODULE * n_modules,
        stimulus_seconds=SECONDS_PER_OPERATION * n_operations + SECONDS_PER_NUMBER * n_numbers,
        stimulus_bytes=12 * n_numbers + task.inputs.n_bytes,
    )


def _example(inputs: Inputs) -> Tensor:
    """Return two different stimuli."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, *inputs.shape)
    if inputs.vocabulary is not None:
        return torch.randint(inputs.vocabulary, shape, generator=generator)
    return torch.rand(shape, generator=generator)


def _tried(module: nn.Module, x: Tensor, what: str) -> Any:
    try:
        return module(x)
    except RepbiasError:
        raise
    except Exception as error:
        raise RepbiasError(
            f"network: the model does not {what} on stimuli of shape {tuple(x.shape)} "
            f"({str(x.dtype).removeprefix('torch.')}): {type(error).__name__}: {error}"
        ) from error


def _refuse_mixing(module: nn.Module, x: Tensor, logits: Tensor) -> None:
    """Refuse a module whose output on one stimulus depends on the others."""
    with torch.no_grad():
        alone = torch.cat([_tried(module, one, "run") for one in x.split(1)])
    scale = logits.abs().max().clamp(min=1e-6)
    if alone.shape != logits.shape or not (alone - logits).abs().max() <= 1e-3 * scale:
        raise RepbiasError(
            "network: in evaluation, what the model gives for a stimulus depends on the stimuli "
            "beside it, or is random; the first axis must be the stimulus everywhere "
            "(batch_first=True in recurrent layers and transformers)"
        )


def _trained_once(module: nn.Module, x: Tensor) -> tuple[int, int, int]:
    """Run a module forwards and backwards as training does; refuse one without gradient.

    Returns
    -------
    n_modules : those without modules within them
    n_numbers : that these give, per stimulus
    n_operations : multiplications and additions of the forward pass, per stimulus
    """
    leaves = [m for m in module.modules() if not list(m.children())]
    n_numbers = 0

    def count(_: nn.Module, __: Any, output: Any) -> None:
        nonlocal n_numbers
        values = output if isinstance(output, tuple | list) else [output]
        n_numbers += sum(v.numel() for v in values if isinstance(v, Tensor))

    counted = [m.register_forward_hook(count) for m in leaves]
    counter = FlopCounterMode(display=False)
    module.train()
    with torch.random.fork_rng(devices=[]), counter:
        logits = _tried(module, x, "train")
    for handle in counted:
        handle.remove()
    if not logits.requires_grad:
        raise RepbiasError("network: the outputs of the model depend on no parameter")
    try:
        logits.sum().backward()
    except RuntimeError as error:
        raise RepbiasError(f"network: the model has no gradient: {error}") from error
    return len(leaves), n_numbers // len(x), counter.get_total_flops() // len(x)
