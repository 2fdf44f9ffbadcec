"""What a GPU gives: whether it computes what a CPU computes, and how fast networks are trained.

Every part runs in a process of its own, which ends with its time budget: an error of CUDA, or a
part that takes too long, leaves the others alone. Rows are kept as they come. Without a GPU it
says so and does nothing; ``--device cpu --quick`` tries all parts on a CPU, in small sizes.

Run with ``python benchmarks/device.py --output device.md``; ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from repbias.base.inputs import Task, as_seen
from repbias.geometry.distances import (
    correlation_distances,
    crossnobis,
    squared_distances,
    upper_triangle,
)
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.architecture import Architecture
from repbias.networks.architectures import architecture
from repbias.networks.device import free_memory, reproducible, stack_size
from repbias.networks.ensembles import Ensemble, joined
from repbias.networks.forward import built
from repbias.networks.loops import Loop
from repbias.networks.mlp import MLP
from repbias.networks.spec import Training
from repbias.networks.stacked_training import Stack, bytes_per_network
from repbias.networks.training import train
from repbias.stimuli.bits import Bits
from repbias.stimuli.trifeature import Trifeature

#: Largest differences between devices that count as rounding: after the first step and the last
#: one, and of representations by the same weights. Rounding errors grow while a network learns: on
#: a CPU, initial weights that differ by 1e-7 of their size make up to a seventh of the first two.
FIRST_STEP, LAST_STEP, SAME_WEIGHTS = 0.01, 0.3, 1e-4
#: The same, of distances in float32 and float64.
SINGLE, DOUBLE = 1e-5, 1e-12
#: Base MLPs to be trained in a second, on an H100.
AIM = 300
#: Steps that a network of images of 32 pixels is taken to need.
IMAGE_STEPS = 500
#: Features of the images, and classes of each.
CLASSES = (4, 4, 4)
#: Training of Hermann & Lampinen (2020).
EPOCHS, EPOCH_IMAGES = 90, 3430
RESNET18 = {
    "kind": "resnet",
    "widths": [64, 128, 256, 512],
    "blocks": 2,
    "stem_kernel": 7,
    "stem_stride": 2,
    "stem_pool": True,
    "first_stride": 1,
}

#: A row of a table.
Row = list[str]
#: A training step of one network or several: from images and labels to the sum of their losses.
Step = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Where:
    """Where it runs, and whether in small sizes."""

    device: torch.device
    quick: bool = False

    @property
    def on_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Wait until all is computed."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], object], repeats: int = 5) -> float:
        """Return the median time of some work, after one run that warms up."""
        times = []
        for _ in range(repeats + 1):
            self.wait()
            started = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - started)
        return statistics.median(times[1:])


# Whether CPU and GPU agree


def agreement(where: Where) -> Iterator[Row]:
    """Train, represent and compare on both devices."""
    steps = 5 if where.quick else 100
    for name, settings in {
        "mlp": {"kind": "mlp"},
        "cnn": {"kind": "cnn"},
        "resnet": {"kind": "resnet"},
        "vit": {"kind": "vit", "patch": 8},
    }.items():
        stimuli = _bits(where) if name == "mlp" else _images(where)
        seeds = range(4) if name == "mlp" else range(1)
        yield from _trained_alike(name, stimuli, architecture(settings), steps, seeds, where)
    yield from _rdms_alike(where)


def _trained_alike(
    name: str,
    stimuli: Stimuli,
    network: Architecture,
    steps: int,
    seeds: range,
    where: Where,
) -> Iterator[Row]:
    training = Training(
        max_steps=steps,
        extra_steps=None,
        evaluate_every=1,  # checkpoints begin here
        checkpoints=2,
        checkpoint_accuracies=[],
        cool_down="none",
        batch_size=32,
        learning_rate=1e-3,
    )
    on_cpu, on_device, again = (
        train(stimuli, network, training, seeds, device)
        for device in ("cpu", where.device.type, where.device.type)
    )
    inputs = stimuli.part("test")[0]
    task = Task(stimuli.shown, sum(on_cpu.heads))
    start = weights_at(on_cpu, 0)
    for step, tolerance in ((1, FIRST_STEP), (steps, LAST_STEP)):
        ours, theirs = (weights_at(networks, step) for networks in (on_device, on_cpu))
        after = f"{name}, after {step} step{'s' if step > 1 else ''}"
        yield checked(f"{after}: weights", of_movement(ours, theirs, start), tolerance)
        logits = [network.outputs(weights, inputs, task) for weights in (ours, theirs)]
        yield checked(f"{after}: outputs", largest(*logits), tolerance)
    repeated = weights_at(again, steps)
    worst = max(largest(w, repeated[key]) for key, w in weights_at(on_device, steps).items())
    yield checked(f"{name}, trained twice on the device", worst, 0)
    layers, expected = (
        network.represent(start, inputs, task, device) for device in (where.device.type, "cpu")
    )
    worst = max(largest(units, expected[layer]) for layer, units in layers.items())
    yield checked(f"{name}, representations by the same weights", worst, SAME_WEIGHTS)


def _rdms_alike(where: Where) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    patterns = rng.standard_normal((40, 50) if where.quick else (400, 1000))
    n = len(patterns) // 4
    stimulus, fold = np.tile(np.arange(n), 4), np.repeat(np.arange(4), n)
    functions: dict[str, Callable[[Any], Any]] = {
        "correlation distances": correlation_distances,
        "squared Euclidean distances": squared_distances,
        "crossnobis distances": lambda x: crossnobis(x, stimulus, fold, n),
    }
    for name, function in functions.items():
        expected = function(patterns)
        for dtype, tolerance in ((torch.float32, SINGLE), (torch.float64, DOUBLE)):
            found = function(torch.from_numpy(patterns).to(where.device, dtype)).cpu().numpy()
            said = str(dtype).removeprefix("torch.")
            yield checked(f"{name}, {said}", largest(found, expected), tolerance)


def weights_at(networks: Networks, step: int) -> dict[str, np.ndarray]:
    """Return the weights of all networks after a step, name to (network, ...)."""
    row = np.flatnonzero(networks.checkpoint_steps[:, 0] == step)[0]
    return {name: w[row] for name, w in networks.weights.items()}


def of_movement(
    found: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    start: Mapping[str, np.ndarray],
) -> float:
    """Return the norm of a difference of weights, relative to how far they have moved."""
    learned = [name for name, w in expected.items() if w.dtype.kind == "f"]
    off = sum(np.square(found[k].astype(float) - expected[k]).sum() for k in learned)
    moved = sum(np.square(expected[k].astype(float) - start[k]).sum() for k in learned)
    return float(np.sqrt(off / moved))


def largest(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference, relative to the largest number that is expected."""
    off = np.abs(found.astype(float) - expected.astype(float)).max()
    return float(off / max(np.abs(expected.astype(float)).max(), np.finfo(float).tiny))


def checked(what: str, difference: float, tolerance: float) -> Row:
    """Return a row that says whether a difference is within its tolerance; NaN is not."""
    passed = "PASS" if difference <= tolerance else "FAIL"
    return [what, f"{difference:.1e}", f"{tolerance:g}", passed]


def _bits(where: Where, **others: Any) -> Stimuli:
    return _family_of_bits(where, training_sets="common", **others).generate()


def _family_of_bits(where: Where, **others: Any) -> Bits:
    """Return the base study's stimuli."""
    sizes = {"n_train": 512, "n_validation": 64, "n_test": 64} if where.quick else {}
    features = {"easy": {"function": "bit"}, "hard": {"function": "xor_of_xors"}}
    return Bits(features=features, **sizes, **others)


def _images(where: Where) -> Stimuli:
    """Return images of 32 pixels with three features of four classes."""
    return Trifeature(
        kind="trifeature",
        n_classes=4,
        size=32,
        n_train=64 if where.quick else 512,
        n_validation=64,
        n_test=64,
        training_sets="common",
    ).generate()


# How many perceptrons are trained in a second


def mlps(where: Where) -> Iterator[Row]:
    """Train stacks of base MLPs until they are done, as a study does."""
    numbers = (2, 3) if where.quick else (10, 100, 1000, 4000)
    many = numbers[-2]
    quick = {"max_steps": 30, "extra_steps": 5, "evaluate_every": 5} if where.quick else {}
    fewest = {"checkpoints": 2, "checkpoint_accuracies": []} | quick
    for n in numbers:
        yield _stack(f"{n:,}", n, Training(**fewest), where)
    low = Training(precision="bfloat16", **fewest)
    yield _stack(f"{many:,}, bfloat16", many, low, where)
    with uninitialised():
        yield _stack(f"{many:,}, new memory not filled", many, Training(**fewest), where)
    yield _stack(f"{many:,}, all checkpoints", many, Training(**quick), where)
    yield _stack(f"{many:,}, training sets of their own", many, Training(**fewest), where, True)


def _stack(name: str, n: int, training: Training, where: Where, own: bool = False) -> Row:
    family = _family_of_bits(where, training_sets="own" if own else "common")
    ensemble = Ensemble(family.generate(), MLP(), training, range(n), family)
    fitting = stack_size(where.device.type, free_memory(where.device), bytes_per_network(ensemble))
    if where.on_gpu and fitting < n:
        return [name, f"left out: {fitting:,} fit into memory", *[""] * 7]
    times = [time.perf_counter()]
    with reproducible(where.device):
        stack = Stack([(ensemble, seed) for seed in ensemble.seeds], where.device)
        where.wait()
        times.append(time.perf_counter())
        records = stack.train()
        where.wait()
    times.append(time.perf_counter())
    last = max(int(record.steps[-1]) for record in records)
    mastered = [int(record.steps[-2]) for record in records if record.steps[-2] >= 0]
    networks = joined(ensemble, records)
    times.append(time.perf_counter())
    prepared, trained, tested = np.diff(times)
    rate = n / trained
    return [
        name,
        f"{prepared:.1f}",
        f"{trained:.1f}",
        f"{tested:.1f}",
        f"{np.median(mastered):,.0f}" if mastered else "none",
        f"{1e3 * trained / last:.2f}",
        f"{networks.included.mean():.0%}",
        f"{rate:.1f} ({rate / AIM:.2f} of the aim)",
        f"{n / (times[-1] - times[0]):.1f}",
    ]


@contextmanager
def uninitialised() -> Iterator[None]:
    """Leave new memory as it is, which deterministic algorithms fill (to find mistakes)."""
    before = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = before


# How many networks of images are trained in a second


def cnns(where: Where) -> Iterator[Row]:
    """Train a `cnn`, alone and several at a time, as it is done and as it could be done."""
    steps, batch, numbers = (2, 4, (2,)) if where.quick else (50, 32, (16, 64))
    stimuli, network = _images(where), architecture({"kind": "cnn"})
    ours = "one, by this package"
    yield _by_package(ours, stimuli, network, 4 * steps, batch, where)
    with uninitialised():
        name = f"{ours}, new memory not filled"
        yield _by_package(name, stimuli, network, 4 * steps, batch, where)
    data = Data.of(stimuli, where)
    task = Task(stimuli.shown, sum(CLASSES))

    def alone(n: int) -> list[Step]:
        return [single(built(network, task, seed), where) for seed in range(n)]

    def together(n: int) -> list[Step]:
        return [stacked([built(network, task, seed) for seed in range(n)], where)]

    variants: list[tuple[str, Callable[[], list[Step]], int, bool]] = [
        ("one, plain loop with images on the device", lambda: alone(1), 1, False),
        *((f"{n}, stacked by vmap", lambda n=n: together(n), n, False) for n in numbers),
        ("one, as a CUDA graph", lambda: alone(1), 1, True),
        *(
            (f"{n}, a CUDA graph each, side by side", lambda n=n: alone(n), n, True)
            for n in numbers
        ),
        *(
            (f"{n}, stacked by vmap, as a CUDA graph", lambda n=n: together(n), n, True)
            for n in numbers
        ),
    ]
    for name, make, n, as_graph in variants:
        if as_graph and not where.on_gpu:
            yield [name, "left out: CUDA graphs need a GPU", "", ""]
            continue
        # What fails says so, and what comes after it is tried.
        try:
            with reproducible(where.device):
                per_step, loss = _timed(make(), data, n, steps, batch, as_graph, where)
        except Exception as error:
            yield [name, f"failed: {type(error).__name__}: {_first_line(error)}", "", ""]
            continue
        yield [name, f"{1e3 * per_step:.2f}", f"{n / (per_step * IMAGE_STEPS):.3f}", f"{loss:.3f}"]


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].replace("|", "/")[:200]


@dataclass(frozen=True)
class Data:
    """Training images (stimulus, channel, row, column), labels (stimulus, feature, class)."""

    images: Tensor
    labels: Tensor

    @classmethod
    def of(cls, stimuli: Stimuli, where: Where) -> Data:
        """Put the training stimuli on the device, as networks see them."""
        inputs, labels, _ = stimuli.part("train")
        images = torch.from_numpy(as_seen(np.asarray(inputs)))
        return cls(images.to(where.device), _one_hot(labels, CLASSES[0], where))

    def batches(self, n: int, batch: int, seed: int) -> tuple[Tensor, Tensor]:
        """Draw a batch for each of n networks; without their axis if it is one network."""
        rng = np.random.default_rng(seed)
        rows = torch.from_numpy(rng.integers(len(self.images), size=(n, batch)))
        rows = rows.to(self.images.device)
        x, y = self.images[rows], self.labels[rows]
        return (x[0], y[0]) if n == 1 else (x, y)


def _one_hot(labels: np.ndarray, n_classes: int, where: Where) -> Tensor:
    as_integers = torch.from_numpy(labels.astype(np.int64))
    return nn.functional.one_hot(as_integers, n_classes).float().to(where.device)


def _by_package(
    name: str, stimuli: Stimuli, network: Architecture, steps: int, batch: int, where: Where
) -> Row:
    training = Training(
        max_steps=steps,
        extra_steps=None,
        evaluate_every=steps,
        checkpoints=2,
        checkpoint_accuracies=[],
        batch_size=batch,
        learning_rate=3e-3,
        cool_down="none",
    )
    ensemble, losses = Ensemble(stimuli, network, training, [0]), []

    def run() -> None:
        loss = Loop(ensemble, 0, where.device).train().curve[-1][1]
        losses.append(len(CLASSES) * loss)  # which is the mean over features

    with reproducible(where.device):
        per_step = where.seconds(run, repeats=1 if where.quick else 3) / steps
    rate = 1 / (per_step * IMAGE_STEPS)
    return [name, f"{1e3 * per_step:.2f}", f"{rate:.3f}", f"{losses[-1]:.3f}"]


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the sum over features of the mean cross-entropy, labels (stimulus, feature, class)."""
    heads = logits.float().reshape(labels.shape)
    return -(labels * heads.log_softmax(dim=-1)).sum() / len(labels)


def _adam(parameters: list[Tensor], where: Where) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=3e-3, fused=True, capturable=where.on_gpu)


def single(module: nn.Module, where: Where, low: bool = False) -> Step:
    """Return the step of one network; low: in bfloat16."""
    module.to(where.device).train()
    optimizer = _adam(list(module.parameters()), where)

    def step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(where.device.type, torch.bfloat16) if low else nullcontext():
            logits = module(x)
        loss = _loss(logits, y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def stacked(modules: list[nn.Module], where: Where) -> Step:
    """Return the step of several networks as one: convolutions become grouped ones."""
    for module in modules:
        module.images = nn.Identity()  # type: ignore[assignment]  # channels last: not under vmap
        module.to(where.device).train()
    parameters, buffers = stack_module_state(modules)
    base = copy.deepcopy(modules[0]).to("meta")
    optimizer = _adam(list(parameters.values()), where)

    def loss_of(weights: Any, statistics: Any, x: Tensor, y: Tensor) -> Tensor:
        return _loss(functional_call(base, (weights, statistics), (x,)), y)

    def step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = vmap(loss_of)(parameters, buffers, x, y).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _timed(
    made: list[Step],
    data: Data,
    n: int,
    steps: int,
    batch: int,
    as_graph: bool,
    where: Where,
) -> tuple[float, float]:
    """Return seconds of a step of n networks, by one function or one each; and the mean loss."""
    sizes = [n // len(made)] * len(made)
    examples = [data.batches(size, batch, 0) for size in sizes]
    losses: list[Tensor] = [torch.zeros(()) for _ in made]
    streams: list[Any] = []
    runs = made
    if as_graph:
        streams = [torch.cuda.Stream() for _ in made]
        where.wait()
        runs = [graphed(step, *xy, s) for step, xy, s in zip(made, examples, streams, strict=True)]
        where.wait()
    drawn = [[data.batches(size, batch, t + 1) for size in sizes] for t in range(steps)]

    def train_all() -> None:
        for batches in drawn:
            for i, (run, xy) in enumerate(zip(runs, batches, strict=True)):
                with torch.cuda.stream(streams[i]) if streams else nullcontext():
                    losses[i] = run(*xy)

    per_step = where.seconds(train_all, repeats=1 if where.quick else 3) / steps
    return per_step, float(sum(loss.item() for loss in losses)) / n


def graphed(step: Step, x: Tensor, y: Tensor, stream: Any) -> Step:
    """Record a step as a CUDA graph, on a stream of its own; it has the learning rate of then."""
    x, y = x.clone(), y.clone()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # so that libraries and the optimiser are set up
            step(x, y)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    # Graphs that share a stream would share cuBLAS's workspace.
    with torch.cuda.graph(graph, stream=stream):
        loss = step(x, y)

    def replay(new_x: Tensor, new_y: Tensor) -> Tensor:
        x.copy_(new_x)
        y.copy_(new_y)
        graph.replay()
        return loss

    return replay


# Dissimilarities


def rdms(where: Where) -> Iterator[Row]:
    """Compare correlation distances with the matrix product that they need."""
    shapes = [(30, 40)] if where.quick else [(1000, 5000), (4000, 10_000), (10_000, 10_000)]
    for shape in shapes:
        for dtype in (torch.float32, torch.float64):
            generator = torch.Generator().manual_seed(0)
            x = torch.randn(*shape, generator=generator).to(where.device, dtype)
            square = x @ x.T
            ours = where.seconds(lambda x=x: correlation_distances(x))
            product = where.seconds(lambda x=x: torch.mm(x, x.T))
            triangle = where.seconds(lambda square=square: upper_triangle(square))
            operations = 2 * shape[0] ** 2 * shape[1]
            yield [
                f"{shape[0]:,} stimuli × {shape[1]:,} units, {str(dtype).removeprefix('torch.')}",
                f"{1e3 * ours:.2f}",
                f"{1e3 * product:.2f}",
                f"{operations / product / 1e12:.1f}",
                f"{1e3 * triangle:.2f}",
                f"{ours / product:.2f}",
            ]


# A ResNet-18


def resnet(where: Where) -> Iterator[Row]:
    """Time what a step of a ResNet-18 on images of 224 pixels takes, and the training of P2."""
    size, batch, repeats = (32, 2, 1) if where.quick else (224, 64, 10)
    family = Trifeature(kind="trifeature", n_classes=10, size=size)
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=(batch, 3))
    scene = family.scene(batch, rng)
    images = family.pixels(labels, scene)

    def uploaded() -> Tensor:
        return torch.from_numpy(as_seen(images)).to(where.device)

    drawing = where.seconds(lambda: family.pixels(labels, scene), min(repeats, 3))
    upload = where.seconds(uploaded, repeats)
    n_steps = EPOCHS * EPOCH_IMAGES / batch

    def hours(seconds: float) -> str:
        return f"{n_steps * seconds / 3600:.2f}"

    yield [f"drawing {batch} images (CPU)", f"{1e3 * drawing:.1f}", hours(drawing), ""]
    yield ["to float32, to the device", f"{1e3 * upload:.1f}", hours(upload), ""]
    network = architecture({**RESNET18, "widths": [8, 8]} if where.quick else RESNET18)
    task = Task(family.inputs, 30)
    x, y = uploaded(), _one_hot(labels, 10, where)
    for name in ("float32", "float32 with TF32", "bfloat16"):
        with reproducible(where.device), _tf32(name.endswith("TF32")):
            step = single(built(network, task, 0), where, low=name == "bfloat16")
            seconds = where.seconds(lambda step=step: step(x, y), repeats)
        all_of_it = hours(seconds + upload + drawing)
        yield [f"step, {name}", f"{1e3 * seconds:.1f}", hours(seconds), all_of_it]


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    if not allowed:
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=True):
        yield


# Reporting


@dataclass(frozen=True)
class Part:
    """A part of the benchmark.

    Attributes
    ----------
    title, note : what its table is about, and what is to be known of it
    columns : of its table
    seconds : its time budget
    rows : measures
    """

    title: str
    note: str
    columns: Row
    seconds: float
    rows: Callable[[Where], Iterator[Row]]


PARTS = {
    "agreement": Part(
        "Does it compute what a CPU computes?",
        "Networks are trained on the CPU and on the device from the same seed, with Adam, batches "
        "of 32 and a rate of .001. Weights: the norm of the difference, relative to how far "
        "training has moved them on the CPU; all else: the largest difference, relative to the "
        "largest number. Distances are compared with those of NumPy in float64.",
        ["what", "difference", "tolerance", ""],
        60,
        agreement,
    ),
    "mlps": Part(
        "Base MLPs per second",
        "Whole trainings with the default settings, on bits: until all features are mastered and "
        "500 steps longer. Two checkpoints, and one training set for all, if nothing else is "
        f"said. The aim is {AIM} per second of training on an H100. Preparing: drawing stimuli "
        "and initial weights on the CPU; testing: joining what was recorded, and test accuracies, "
        "on the CPU.",
        [
            "networks",
            "preparing (s)",
            "training (s)",
            "testing (s)",
            "median step of mastery",
            "ms per step",
            "included",
            "networks per second of training",
            "networks per second of all",
        ],
        180,
        mlps,
    ),
    "cnns": Part(
        "Networks of images per second",
        f"A `cnn` of images of 32 pixels, batches of 32, {IMAGE_STEPS} steps for a network. By "
        "this package: with an evaluation before and after, and copying of images to the device. "
        "The other rows have all images on the device. Losses are sums over features after some "
        "200 steps (by this package: of validation images).",
        ["networks at a time", "ms per step of all", "networks per second", "loss"],
        110,
        cnns,
    ),
    "rdms": Part(
        "RDMs and the matrix product",
        "Correlation distances, relative to torch.mm of the same patterns.",
        ["patterns", "RDM (ms)", "product (ms)", "TFLOP/s of it", "triangle alone (ms)", "ratio"],
        30,
        rdms,
    ),
    "resnet": Part(
        "A ResNet-18 at 224 pixels",
        f"Batches of 64. Hours are for {EPOCHS} epochs of {EPOCH_IMAGES:,} images. With drawing: "
        "step, drawing and copying, one after the other.",
        ["what", "ms per batch", "hours", "hours with drawing"],
        60,
        resnet,
    ),
}


def table_row(cells: Row) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def section(part: Part, lines: str, problem: str) -> str:
    """Return a part's table with what was measured, and what went wrong."""
    head = f"{table_row(part.columns)}\n{'|---' * len(part.columns)}|"
    said = f"\n{problem}\n" if problem else ""
    return f"## {part.title}\n\n{part.note}\n\n{head}\n{lines.rstrip()}\n{said}"


def measured(command: list[str], seconds: float) -> tuple[str, str]:
    """Run a command for so many seconds at most; return what it printed, and what went wrong."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as complaints:
        problem = ""
        try:
            done = subprocess.run(command, stdout=out, stderr=complaints, timeout=seconds)
            code = done.returncode
        except subprocess.TimeoutExpired:
            code = 0
            problem = (
                f"Stopped after {seconds:.0f} s, its time budget: what is not above was left out."
            )
        out.seek(0)
        complaints.seek(0)
        said = complaints.read()
        sys.stderr.write(said)
        if code:
            last = said.strip().rpartition("\n")[2] or f"exit status {code}"
            problem = f"Failed, what is not above was left out: {last}"
        return out.read(), problem


def described(where: Where) -> str:
    """Say what it ran on."""
    name, driver = "CPU", "none"
    if where.on_gpu:
        memory = torch.cuda.get_device_properties(where.device).total_memory / 2**30
        name, driver = f"{torch.cuda.get_device_name(where.device)}, {memory:.0f} GiB", "unknown"
        if tool := shutil.which("nvidia-smi"):
            query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
            said = subprocess.run(query, text=True, capture_output=True).stdout.strip()
            driver = said.partition("\n")[0] or driver
    sizes = ", small sizes that mean nothing" if where.quick else ""
    return (
        f"{name}; driver {driver}; PyTorch {torch.__version__}, CUDA {torch.version.cuda}; "
        f"{os.cpu_count()} CPUs, {torch.get_num_threads()} threads{sizes}"
    )


def main() -> None:
    """Run all parts, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the script")
    parser.add_argument("--output", type=Path, help="write the tables to this file as well")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--minutes", type=float, default=8, help="for all parts together")
    own = "print the rows of a part, or say what the machine is, in this process"
    parser.add_argument("--rows", choices=[*PARTS, "machine"], metavar="PART", help=own)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("device.py: skipped: PyTorch finds no CUDA device (--device cpu --quick tries it)")
        return
    where = Where(torch.device(options.device), options.quick)
    if options.rows == "machine":
        print(described(where), end="")
        return
    if options.rows:
        for row in PARTS[options.rows].rows(where):
            print(table_row(row), flush=True)
        return
    # Nothing is computed in this process: a GPU may be open to a single one.
    command = [sys.executable, __file__, "--device", options.device]
    command += ["--quick"] * options.quick
    end = time.monotonic() + 60 * options.minutes
    machine, problem = measured([*command, "--rows", "machine"], 60)
    page = f"# On a device\n\n{machine or problem}\n"
    for name in options.only:
        part = PARTS[name]
        seconds = min(part.seconds, end - time.monotonic())
        lines, problem = "", "Left out: the time of all parts together is spent."
        if seconds > 0:
            print(f"{name}: at most {seconds:.0f} s", file=sys.stderr, flush=True)
            lines, problem = measured([*command, "--rows", name], seconds)
        page += f"\n{section(part, lines, problem)}"
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
