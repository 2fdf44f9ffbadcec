"""Stacked training of many MLPs against one-at-a-time PyTorch, and against the GEMMs alone.

All variants train the base MLP (32-256-128-64-64-2, leaky ReLU, batch 128, Adam) on the same
stimuli, on one thread. They take turns, and the median over rounds counts, so that a slow spell
of the machine hits all of them.

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
    if options.bf16_steps:
        full, low = (shares(stimuli, n, options.bf16_steps, p) for p in ("float32", "bfloat16"))
        change = low - full
        print(f"R² after {options.bf16_steps} steps, mean over networks (easy, hard):")
        print(f"  float32 {full.mean(0).round(3)}, bfloat16 {low.mean(0).round(3)}")
        error = change.std(0, ddof=1) / np.sqrt(n)
        print(f"  change {change.mean(0).round(3)} ± {error.round(3)} (standard error)")


if __name__ == "__main__":
    main()
