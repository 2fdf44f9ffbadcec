"""Run PyTorch modules of given weights, read layers by hooks, and replace them."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from repbias.base.imports import told
from repbias.base.inputs import Inputs, Task, as_seen
from repbias.base.spec import RepbiasError, nearest
from repbias.networks.architecture import Sizes
from repbias.networks.device import pick_device, reproducible

if TYPE_CHECKING:
    from repbias.networks.modules import Modules

#: Types that parameters may have.
TYPES = (torch.float32, torch.float64, torch.float16)
#: Bytes of a layer's outputs that are kept while it is replaced again and again.
MOST_KEPT = 2**28
#: Seconds of a training step: for each module without modules within it, and each number of the
#: state; and of a stimulus, for each multiplication and addition of the forward pass, and for each
#: number that its operations give (benchmarks/scaling.py measures them).
SECONDS_PER_MODULE, SECONDS_PER_PARAMETER = 1.2e-4, 8e-9
SECONDS_PER_OPERATION, SECONDS_PER_NUMBER = 4e-11, 3e-9


def built(spec: Modules, task: Task, seed: int) -> nn.Module:
    """Make a network; its weights depend on the seed only, and are drawn on the CPU.

    Raises
    ------
    RepbiasError
        If it has no such layer.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # A copy, in case that the same module is returned again.
        module = copy.deepcopy(spec.build(task.inputs, task.n_outputs))
        if any(is_lazy(p) for p in module.parameters()):
            with torch.no_grad():
                _tried(module.eval(), _example(task.inputs), "run")
            module.train()
    names = [name for name, _ in module.named_modules() if name]
    for layer in spec.layers:
        if layer not in names:
            raise RepbiasError(
                f"network.layers: the model has no layer {layer!r}; {nearest(layer, names)}"
            )
    for name, value in module.state_dict().items():
        if "/" in name:
            raise RepbiasError(f"network: names of modules cannot have a '/', found {name!r}")
        if not isinstance(value, Tensor):
            raise RepbiasError(
                f"network: the state {name!r} is a {type(value).__name__}, no tensor"
            )
    for name, parameter in module.named_parameters():
        if parameter.dtype not in TYPES:
            raise RepbiasError(
                f"network: the parameter {name!r} is of type {parameter.dtype}; expected float32 "
                "(training.precision shortens matrix products)"
            )
        # Fused optimisers go through memory as it comes.
        if not parameter.is_contiguous():
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
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
            if new is None or not several:
                return new
            make = getattr(type(output), "_make", type(output))  # of a named tuple
            return make((new, *output[1:]))

        return call

    handles = [
        module.get_submodule(layer).register_forward_hook(wrapped(layer)) for layer in layers
    ]
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
    way = _resolved(readout, output)
    if way == "flatten":
        return output.flatten(1)
    if way == "spatial_mean" and output.ndim >= 3:
        return output.flatten(2).mean(-1)
    if way == "token_mean" and output.ndim == 3:
        return output.mean(1)
    token = _token(way) if output.ndim == 3 else None
    if token is not None and -output.shape[1] <= token < output.shape[1]:
        return output[:, token]
    shape = f"(stimulus, {', '.join(map(str, output.shape[1:]))})"
    if way == "auto":
        raise RepbiasError(
            f"network.readout: {layer!r} has an output of shape {shape}; say how it is read, as "
            "spatial_mean (channel, position) or token_mean (token, unit), or as flatten"
        )
    raise RepbiasError(
        f"network.readout: {layer!r} has an output of shape {shape}, which cannot be read by "
        f"{readout!r}"
    )


def replaced(output: Tensor, readout: str, layer: str, units: Tensor) -> Tensor:
    """Return a layer's output changed such that it is read as these units."""
    way = _resolved(readout, output)
    if way == "flatten":
        return units.reshape(output.shape)
    token = _token(way)
    if token is not None:
        output = output.clone()
        output[:, token] = units
        return output
    moved = units - units_of(output, way, layer)
    if way == "token_mean":
        return output + moved[:, None]
    return output + moved.reshape(*moved.shape, *[1] * (output.ndim - 2))


def _resolved(readout: str, output: Tensor) -> str:
    """Return how an output is read where nothing is said; of three axes, the last may be either."""
    by_axes = {3: "auto", 4: "spatial_mean", 5: "spatial_mean"}
    return by_axes.get(output.ndim, "flatten") if readout == "auto" else readout


def _token(readout: str) -> int | None:
    number = readout.removeprefix("token")
    return int(number) if number.lstrip("-").isdigit() else None


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
        self._spec, self._inputs = spec, inputs
        self._device, self._n_outputs = pick_device(device), task.n_outputs
        # Weights are given at every call, so these do not matter.
        self._module = built(spec, task, 0).to(self._device).eval()
        self._batch = examined(spec, task).batch
        self._states = [
            {name: torch.from_numpy(np.array(w[n])).to(self._device) for name, w in weights.items()}
            for n in range(len(next(iter(weights.values()))))
        ]
        #: Number of the network that runs, and rows of the stimuli that it is shown.
        self._place = 0, slice(0)

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
                    shape = (len(self._states), len(self._inputs), units.shape[1])
                    whole = found.setdefault(layer, np.empty(shape, np.float32))
                    whole[n, rows] = units.cpu().numpy()
        return {layer: found[layer] for layer in self._spec.layers}

    def outputs(self) -> np.ndarray:
        """Return logits, (network, stimulus, output)."""
        return self._logits(self._runs())

    def rest(self, layer: str) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function from a layer's units, (network, stimulus, unit), to logits.

        It runs what comes after the layer where that is known, else all of the network.
        """
        readout, after = self._spec.readout_of(layer), _after(self._module, layer)
        kept = self._kept(layer) if after is not None else None

        def run(activations: np.ndarray) -> np.ndarray:
            def patch(name: str, output: Tensor) -> Tensor:
                n, rows = self._place
                units = torch.from_numpy(activations[n, rows].astype(np.float32))
                return replaced(output, readout, name, units.to(output))

            if after is not None and kept is not None:
                return self._logits(self._runs_of(after, kept, lambda o: patch(layer, o)))
            with hooked(self._module, [layer], patch):
                return self._logits(self._runs())

        return run

    def _kept(self, layer: str) -> dict[tuple[int, int], Tensor] | None:
        """Return a layer's outputs by network and first stimulus; None if they are too large."""
        kept: dict[tuple[int, int], Tensor] = {}

        def keep(_: str, output: Tensor) -> None:
            n, rows = self._place
            # A copy: the next module may change the output in place.
            kept[n, rows.start] = output.clone()

        with hooked(self._module, [layer], keep):
            for _ in self._runs():
                if sum(output.nbytes for output in kept.values()) > MOST_KEPT:
                    return None
        return kept

    def _runs(self) -> Iterator[tuple[int, slice, Tensor]]:
        """Run every network on every batch; give its number, the rows and the logits."""
        with reproducible(self._device), torch.inference_mode():
            for start in range(0, len(self._inputs), self._batch):
                rows = slice(start, start + self._batch)
                x = torch.from_numpy(as_seen(np.asarray(self._inputs[rows]))).to(self._device)
                for n, state in enumerate(self._states):
                    self._place = n, rows
                    yield n, rows, functional_call(self._module, state, (x,), tie_weights=False)

    def _runs_of(
        self,
        part: nn.Module,
        given: Mapping[tuple[int, int], Tensor],
        changed: Callable[[Tensor], Tensor],
    ) -> Iterator[tuple[int, slice, Tensor]]:
        """Run a part of every network on what it is given, which is changed first."""
        names = {name for name, _ in part.named_children()}
        with reproducible(self._device), torch.inference_mode():
            for (n, start), x in given.items():
                self._place = n, slice(start, start + self._batch)
                state = {k: v for k, v in self._states[n].items() if k.split(".")[0] in names}
                yield n, self._place[1], functional_call(part, state, (changed(x),))

    def _logits(self, runs: Iterator[tuple[int, slice, Tensor]]) -> np.ndarray:
        """Gather logits, (network, stimulus, output)."""
        shape = len(self._states), len(self._inputs), self._n_outputs
        logits = np.empty(shape, np.float32)
        for n, rows, batch in runs:
            logits[n, rows] = batch.float().cpu().numpy()
        return logits


def _after(module: nn.Module, layer: str) -> nn.Sequential | None:
    """Return what comes after a layer of a sequence; None of other modules."""
    if type(module).forward is not nn.Sequential.forward:
        return None
    names = [name for name, _ in module.named_children()]
    if layer not in names:
        return None
    parts = OrderedDict(list(module.named_children())[names.index(layer) + 1 :])
    return nn.Sequential(parts)


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
    module, x = built(spec, task, 0).eval(), _example(task.inputs)
    _refuse_hidden_state(spec, task, module, x)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        # Weights of zero would hide what depends on what.
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
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
        raise RepbiasError(
            f"network.layers: {', '.join(map(repr, silent))} took no part in the forward pass (it "
            "was not called; if its parent uses its weights, name the parent)"
        )
    if list(units) != spec.layers:
        raise RepbiasError(
            f"network.layers: expected them in the order in which they run, {', '.join(units)}"
        )
    if not isinstance(logits, Tensor) or logits.shape != (len(x), task.n_outputs):
        found = type(logits).__name__
        if isinstance(logits, Tensor):
            sides = ["stimulus" if n == len(x) else str(n) for n in logits.shape[:1]]
            found = f"({', '.join([*sides, *map(str, logits.shape[1:])])})"
        raise RepbiasError(
            f"network: the model gives {found}; expected one row of {task.n_outputs} logits for "
            f"every stimulus, (stimulus, {task.n_outputs})"
        )
    if not logits.isfinite().all():
        raise RepbiasError("network: the outputs of the model are not finite")
    _refuse_mixing(module, x, logits)
    for layer, found in units.items():
        _refuse_unread(spec, module, x, logits, layer, found)
    n_modules, n_numbers, n_operations = _trained_once(module, x)
    n_parameters = sum(v.numel() for v in module.state_dict().values())
    return Sizes(
        units={layer: u.shape[1] for layer, u in units.items()},
        parameters=n_parameters,
        step_seconds=SECONDS_PER_MODULE * n_modules + SECONDS_PER_PARAMETER * n_parameters,
        stimulus_seconds=SECONDS_PER_OPERATION * n_operations + SECONDS_PER_NUMBER * n_numbers,
        stimulus_bytes=4 * n_numbers + task.inputs.n_bytes,
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
            f"({str(x.dtype).removeprefix('torch.')}): {told(error)}"
        ) from error


def _refuse_mixing(module: nn.Module, x: Tensor, logits: Tensor) -> None:
    """Refuse a module whose output on one stimulus depends on the others."""
    with torch.no_grad():
        alone = torch.cat([_tried(module, one, "run") for one in x.split(1)])
    if not same(alone, logits):
        raise RepbiasError(
            "network: in evaluation, what the model gives for a stimulus depends on the stimuli "
            "beside it, or is random; the first axis must be the stimulus everywhere "
            "(batch_first=True in recurrent layers and transformers)"
        )


def _refuse_hidden_state(spec: Modules, task: Task, module: nn.Module, x: Tensor) -> None:
    """Refuse a module that is more than its parameters and buffers, or not drawn by its seed."""
    state = module.state_dict()
    for name, again in built(spec, task, 0).state_dict().items():
        if not torch.equal(again.nan_to_num(), state[name].nan_to_num()):
            raise RepbiasError(
                f"network: {name!r} is not the same when the model is made again with the same "
                "seed; draw random numbers by PyTorch"
            )
    other = built(spec, task, 1).eval()
    with torch.no_grad():
        expected, logits = (_tried(m, x, "run") for m in (module, module))
        if isinstance(expected, Tensor) and torch.equal(expected, logits):
            logits = functional_call(other, state, (x,), tie_weights=False)
    finite = isinstance(expected, Tensor) and bool(expected.isfinite().all())
    if finite and not same(logits, expected):
        raise RepbiasError(
            "network: the model computes something else when it is made again and given the same "
            "parameters and buffers; register what it holds beside them as a (persistent) buffer"
        )


def same(a: Tensor, b: Tensor) -> bool:
    """Say whether two sets of logits are equal up to rounding."""
    scale = b.abs().max().clamp(min=1e-6)
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-3 * scale)


def _refuse_unread(
    spec: Modules, module: nn.Module, x: Tensor, logits: Tensor, layer: str, units: Tensor
) -> None:
    """Refuse a layer whose units do not matter to the outputs."""
    readout = spec.readout_of(layer)
    generator = torch.Generator().manual_seed(0)
    changed = units + 10 * torch.randn(units.shape, generator=generator)

    def patch(name: str, output: Tensor) -> Tensor:
        return replaced(output, readout, name, changed.to(output))

    with hooked(module, [layer], patch), torch.no_grad():
        moved = _tried(module, x, "run")
    if torch.equal(moved, logits):
        raise RepbiasError(
            f"network.layers: what is read of {layer!r} ({readout}) has no influence on the "
            "outputs of the model, so that it cannot be steered; name another layer, or another "
            "readout"
        )


def _trained_once(module: nn.Module, x: Tensor) -> tuple[int, int, int]:
    """Run a module forwards and backwards as training does; refuse one without gradient.

    Returns
    -------
    n_modules : those without modules within them
    n_numbers : that the operations of the forward pass give, per stimulus
    n_operations : multiplications and additions of the forward pass, per stimulus
    """
    n_modules = sum(not list(m.children()) for m in module.modules())
    operations, numbers = FlopCounterMode(display=False), NumberCounter()
    module.train()
    with torch.random.fork_rng(devices=[]), operations, numbers:
        logits = _tried(module, x, "train")
    if not logits.requires_grad:
        raise RepbiasError("network: the outputs of the model depend on no parameter")
    try:
        logits.sum().backward()
    except RuntimeError as error:
        raise RepbiasError(f"network: the model has no gradient: {error}") from error
    return n_modules, numbers.total // len(x), operations.get_total_flops() // len(x)


class NumberCounter(TorchDispatchMode):
    """Counts the numbers that operations write to memory; views write none.

    Attributes
    ----------
    total : of all operations
    largest : of the operation that writes most
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.total = self.largest = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = operation(*args, **(kwargs or {}))
        values = given if isinstance(given, tuple | list) else [given]
        schema = getattr(operation, "_schema", None)  # operations on functions have none
        for value, said in zip(values, schema.returns if schema else (), strict=False):
            if isinstance(value, Tensor) and (said.alias_info is None or said.alias_info.is_write):
                self.total += value.numel()
                self.largest = max(self.largest, value.numel())
        return given
