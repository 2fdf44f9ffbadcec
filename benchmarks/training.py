"""Stacked training of many MLPs against one-at-a-time PyTorch, and against the GEMMs alone.

All variants train the base MLP (32-256-128-64-64-2, leaky ReLU, batch 128, Adam) on the same
stimuli, on one thread. They take turns, and the median over rounds counts, so that a slow spell
of the machine hits all of them. Then networks of images (32 × 32 pixels, batch 32) are trained by
this package and by plain loops over modules that are written here: with PyTorch's defaults, and
with all that makes them fast. These loops do nothing but train: they have images as float32 from
the start, and no evaluations, checkpoints or statistics of batch normalisation before the first
step.

Run with ``python benchmarks/training.py``; ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from repbias.bias.variance import variance_rows
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.architectures import architecture
from repbias.networks.mlp import MLP
from repbias.networks.own import OwnArchitecture
from repbias.networks.snapshots import snapshots
from repbias.networks.spec import Training
from repbias.networks.stacks import initial_weights
from repbias.networks.training import train
from repbias.stimuli.bits import Bits

NETWORK = MLP()
STIMULI = Bits(
    features={"easy": {"function": "bit"}, "hard": {"function": "xor_of_xors"}},
    training_sets="common",
)


def settings(steps: int, **more: object) -> Training:
    """Train for a fixed number of steps, with as little recording as possible."""
    recording = {"evaluate_every": steps, "checkpoints": 2, "checkpoint_accuracies": []}
    return Training(max_steps=steps, extra_steps=None, **recording, **more)


def stacked(stimuli: Stimuli, n_networks: int, steps: int, **more: object) -> float:
    """Return seconds of training n networks as this package does."""
    started = time.perf_counter()
    train(stimuli, NETWORK, settings(steps, **more), range(n_networks), "cpu")
    return time.perf_counter() - started


def module(stimuli: Stimuli, n_networks: int, steps: int) -> float:
    """Return seconds of training the same networks as an architecture of the user's."""
    layers = [str(2 * i + 1) for i in range(len(NETWORK.hidden))]
    network = OwnArchitecture(factory=f"{Path(__file__).stem}:as_module", layers=layers)
    started = time.perf_counter()
    train(stimuli, network, settings(steps), range(n_networks), "cpu")
    return time.perf_counter() - started


def as_module(input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """Return the base network as a module."""
    return _module(input_shape[0], n_outputs, torch.initial_seed())


def eager(stimuli: Stimuli, n_networks: int, steps: int, fused: bool) -> float:
    """Return seconds of training n networks one after the other in plain PyTorch."""
    inputs, labels, _ = stimuli.part("train")
    x, y = torch.from_numpy(inputs), torch.from_numpy(labels.astype(np.float32))
    started = time.perf_counter()
    for seed in range(n_networks):
        model = _module(stimuli.inputs.shape[1], 2, seed)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-4, fused=fused or None)
        loss_function = nn.BCEWithLogitsLoss()
        rng = np.random.default_rng([seed, 1])
        for step in range(steps):
            position = step * 128 % len(x)
            if position == 0:
                order = torch.from_numpy(rng.permutation(len(x)))
            rows = order[position : position + 128]
            optimizer.zero_grad(set_to_none=True)
            loss_function(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return time.perf_counter() - started


def _module(n_inputs: int, n_outputs: int, seed: int) -> nn.Module:
    weights = initial_weights(NETWORK, n_inputs, n_outputs, seed)
    layers: list[nn.Module] = []
    for i in range(1, len(weights) // 2 + 1):
        w, b = weights[f"w{i}"], weights[f"b{i}"]
        linear = nn.Linear(*w.shape)
        linear.weight.data, linear.bias.data = w.T.contiguous(), b[0].clone()
        layers += [linear, nn.LeakyReLU()]
    return nn.Sequential(*layers[:-1])


#: Images that are drawn at random: 512 to train on, three features of four classes.
IMAGES, CLASSES, SIZE, IMAGE_BATCH = 512, (4, 4, 4), 32, 32
#: Steps that a network of images is taken to need.
IMAGE_STEPS = 500


def pictures() -> Stimuli:
    """Return images without anything to learn."""
    rng, n = np.random.default_rng(0), IMAGES + 192
    return Stimuli(
        inputs=rng.integers(256, size=(n, 3, SIZE, SIZE)).astype(np.uint8),
        ids=np.arange(n).astype(str),
        split=np.repeat(["train", "validation", "test"], [IMAGES, 96, 96]),
        features=[f"feature{i}" for i in range(len(CLASSES))],
        labels=rng.integers(4, size=(n, len(CLASSES))).astype(np.uint8),
        components=[],
        component_labels=np.zeros((n, 0), np.uint8),
        supervised=np.ones((n, len(CLASSES)), bool),
        classes=list(CLASSES),
    )


def of_images(stimuli: Stimuli, kind: str, steps: int) -> float:
    """Return seconds of processor time of training a network of images as this package does.

    With an evaluation of 96 images before and after it, and one of the test images.
    """
    network, training = architecture({"kind": kind}), settings(steps, batch_size=IMAGE_BATCH)
    started = time.process_time()
    train(stimuli, network, training, [0], "cpu")
    return time.process_time() - started


def plain_images(stimuli: Stimuli, kind: str, steps: int, tuned: bool) -> float:
    """Return seconds of processor time of training such a network in plain PyTorch.

    Tuned: with the fused optimiser, and convolutions with channels last in memory.
    """
    inputs, labels, _ = stimuli.part("train")
    x, y = torch.from_numpy(inputs).float() / 255, torch.from_numpy(labels.astype(np.int64))
    started = time.process_time()
    model = PlainTransformer() if kind == "vit" else plain_convolutional(kind == "resnet")
    if tuned and kind != "vit":
        x, model = (value.to(memory_format=torch.channels_last) for value in (x, model))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4, fused=tuned or None)
    for step in range(steps):
        position = step * IMAGE_BATCH % len(x)
        if position == 0:
            order = torch.randperm(len(x))
        rows = order[position : position + IMAGE_BATCH]
        heads = model(x[rows]).split(CLASSES, dim=1)
        loss = sum(nn.functional.cross_entropy(h, y[rows, i]) for i, h in enumerate(heads))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return time.process_time() - started


class PlainBlock(nn.Module):
    """Two convolutions with batch normalisation, with a skip or not."""

    def __init__(self, n_in: int, n_out: int, skip: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        projection = nn.Conv2d(n_in, n_out, 1, stride=2, bias=False)
        self.skip = nn.Sequential(projection, nn.BatchNorm2d(n_out)) if skip else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return feature maps."""
        y = self.body(x)
        return torch.relu(y if self.skip is None else y + self.skip(x))


def plain_convolutional(skips: bool) -> nn.Module:
    """Return a stem, three blocks of 16, 32 and 64 channels, the mean and the readout."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(PlainBlock(a, b, skips) for a, b in ((16, 16), (16, 32), (32, 64))),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, sum(CLASSES))),
    )


class PlainTransformer(nn.Module):
    """Patches of 4 × 4 pixels, three blocks of 32 units and 4 heads, the mean and the readout."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 32, 4, stride=4)
        self.positions = nn.Parameter(0.02 * torch.randn(1, (SIZE // 4) ** 2, 32))
        settings = {"activation": "gelu", "batch_first": True, "norm_first": True}
        block = nn.TransformerEncoderLayer(32, 4, 128, dropout=0.0, **settings)
        self.encoder = nn.TransformerEncoder(block, 3, enable_nested_tensor=False)
        self.readout = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, sum(CLASSES)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        tokens = self.embed(x).flatten(2).swapaxes(1, 2) + self.positions
        return self.readout(self.encoder(tokens).mean(dim=1))


def print_images(steps: int, rounds: int) -> None:
    """Print networks per minute of this package and of plain PyTorch, and their ratios."""
    stimuli = pictures()
    variants: dict[str, Callable[[str, int], float]] = {
        "this package": lambda kind, n: of_images(stimuli, kind, n),
        "plain PyTorch": lambda kind, n: plain_images(stimuli, kind, n, tuned=False),
        "plain, tuned": lambda kind, n: plain_images(stimuli, kind, n, tuned=True),
    }
    print(f"Images of {SIZE} x {SIZE} pixels, {steps} steps, median of {rounds} rounds")
    print(f"{'':8}{'':16}{'once (ms)':>12}{'ms per step':>13}{'networks/min':>14}{'ratio':>7}")
    for kind in ("cnn", "resnet", "vit"):
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
        for _ in range(rounds + 1):
            for name, run in variants.items():
                # What a training costs once, however long it is, is told apart from its steps.
                times[name].append((run(kind, 1), run(kind, steps)))
        whole = {}
        for name, values in times.items():
            first, last = (statistics.median(column) for column in zip(*values[1:], strict=True))
            per_step = (last - first) / (steps - 1)
            whole[name] = first + (IMAGE_STEPS - 1) * per_step
            print(
                f"{kind:8}{name:16}{1e3 * (first - per_step):12.0f}{1e3 * per_step:13.2f}"
                f"{60 / whole[name]:14.2f}{whole[name] / whole['this package']:7.2f}",
                flush=True,
            )
    print(f"(a network is {IMAGE_STEPS:,} steps; ratio above 1: this package is faster)")


def gemms(n_networks: int, steps: int) -> float:
    """Return seconds of the matrix products of forward and backward passes alone, one by one."""
    widths = [32, *NETWORK.hidden, 2]
    layers = [
        (torch.randn(128, a), torch.randn(a, b), torch.randn(128, b)) for a, b in pairwise(widths)
    ]
    started = time.perf_counter()
    for _ in range(n_networks * steps):
        for i, (x, w, g) in enumerate(layers):
            torch.mm(x, w)
            torch.mm(x.T, g)
            if i:
                torch.mm(g, w.T)
    return time.perf_counter() - started


def shares(stimuli: Stimuli, n_networks: int, steps: int, precision: str) -> np.ndarray:
    """Return R² of easy and hard in the last layer at the end of training, (network, feature)."""
    networks: Networks = train(
        stimuli, NETWORK, settings(steps, precision=precision), range(n_networks), "cpu"
    )
    *_, final = snapshots("", "", networks, stimuli, NETWORK, every_checkpoint=False)
    table = pd.DataFrame(variance_rows(final, "ratio_of_sums"))
    table = table[table["layer"] == NETWORK.analysed]
    return table.pivot(index="seed", columns="feature", values="r2")[["easy", "hard"]].to_numpy()


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100, help="training steps per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--image-steps", type=int, default=60, help="0 leaves images out")
    parser.add_argument("--bf16-steps", type=int, default=2000, help="0 leaves R² out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    n, steps, stimuli = options.networks, options.steps, STIMULI.generate()
    variants: dict[str, Callable[[], float]] = {
        "matrix products alone (GEMM floor)": lambda: gemms(n, steps),
        "stacked (this package)": lambda: stacked(stimuli, n, steps),
        "stacked, bfloat16": lambda: stacked(stimuli, n, steps, precision="bfloat16"),
        "as `kind: torch` (this package)": lambda: module(stimuli, n, steps),
        "eager PyTorch, default Adam": lambda: eager(stimuli, n, steps, fused=False),
        "eager PyTorch, fused Adam": lambda: eager(stimuli, n, steps, fused=True),
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(options.rounds + 1):
        for name, run in variants.items():
            times[name].append(run())
    # The first round warms up.
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    floor, ours = (medians[name] for name in list(variants)[:2])
    print(f"{n} networks, {steps} steps, one thread, median of {options.rounds} rounds")
    print(f"{'':36}{'µs per step':>12}{'networks/s':>12}{'x floor':>9}{'x stacked':>11}")
    for name, seconds in medians.items():
        per_step = seconds / (n * steps)
        print(
            f"{name:36}{1e6 * per_step:12.0f}{1 / (per_step * 1500):12.2f}"
            f"{seconds / floor:9.2f}{seconds / ours:11.2f}"
        )
    print("(µs per step and network; a network is 1,500 steps)")
    if options.image_steps:
        print_images(options.image_steps, options.rounds)
    if options.bf16_steps:
        full, low = (shares(stimuli, n, options.bf16_steps, p) for p in ("float32", "bfloat16"))
        change = low - full
        print(f"R² after {options.bf16_steps} steps, mean over networks (easy, hard):")
        print(f"  float32 {full.mean(0).round(3)}, bfloat16 {low.mean(0).round(3)}")
        error = change.std(0, ddof=1) / np.sqrt(n)
        print(f"  change {change.mean(0).round(3)} ± {error.round(3)} (standard error)")


if __name__ == "__main__":
    main()
