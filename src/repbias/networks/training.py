"""Train all seeds of a condition as stacked ensembles."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from repbias.networks.device import pick_device
from repbias.networks.mlp import forward, initial_weights
from repbias.networks.spec import MLP, Training
from repbias.spec import RepbiasError
from repbias.store import Networks, Stimuli
from repbias.tables import as_table

logger = logging.getLogger(__name__)

#: Networks per stack: the weights and activations of about ten fit a core's cache.
CHUNK = 10
#: Widths are padded with zeros to multiples of this many floats (two vector registers). So every
#: network is aligned alike and vectorised alike, and comes out the same at any place in any stack.
#: Padded units stay exactly zero: their incoming and outgoing weights get no gradient.
ALIGNMENT = 32


@dataclass
class _Data:
    inputs: Tensor
    labels: Tensor

    @classmethod
    def of(cls, stimuli: Stimuli, split: str, device: torch.device) -> _Data:
        inputs, labels, _ = stimuli.part(split)
        return cls(
            _padded(torch.from_numpy(inputs), rows=False).to(device),
            _padded(torch.from_numpy(labels.astype(np.float32)), rows=False).to(device),
        )


def train(
    stimuli: Stimuli, network: MLP, training: Training, seeds: list[int], device: str = "auto"
) -> Networks:
    """Train one network per seed.

    A network's initial weights and batches depend on its own seed only, and members of a stack
    do not interact, so a network is the same alone and in any company.

    Parameters
    ----------
    stimuli
        Training, validation and test stimuli.
    network, training
        Architecture and settings.
    seeds
        One network each.
    device
        "auto", "cpu", "cuda" or "mps".

    Returns
    -------
    Networks
        Checkpoints, learning curves, acquisition steps, and which networks met the criterion.
    """
    n_train = int((stimuli.split == "train").sum())
    if training.batch_size > n_train:
        raise RepbiasError(
            f"training.batch_size is {training.batch_size}, but there are {n_train} stimuli"
        )
    unknown = set(training.targets or []) - set(stimuli.features)
    if unknown:
        raise RepbiasError(
            f"training.targets: {sorted(unknown)} are no features (found {stimuli.features})"
        )
    where = pick_device(device)
    logger.info("training %d networks on %s", len(seeds), where)
    chunks = [
        _train_stack(stimuli, network, training, seeds[i : i + CHUNK], where)
        for i in range(0, len(seeds), CHUNK)
    ]
    return _concatenate(chunks)


def _train_stack(
    stimuli: Stimuli, network: MLP, training: Training, seeds: list[int], device: torch.device
) -> Networks:
    train_set = _Data.of(stimuli, "train", device)
    validation = _Data.of(stimuli, "validation", device)
    targets = training.targets or stimuli.features
    is_target = np.isin(stimuli.features, targets)
    rewarded = _padded(torch.from_numpy(is_target), rows=False).to(device)
    initial = _stack(network, stimuli, seeds)
    weights = {name: _aligned(name, w).to(device).requires_grad_() for name, w in initial.items()}
    optimizer = _optimizer(training, list(weights.values()))
    batches = _Batches(len(train_set.inputs), training.batch_size, seeds)

    shapes = {name: tuple(w.shape) for name, w in initial.items()}
    recorder = _Recorder(training, weights, shapes, is_target)
    started = reported = time.monotonic()
    for step in range(training.max_steps + 1):
        if step % training.evaluate_every == 0 or step == training.max_steps:
            loss, accuracy = _evaluate(weights, validation, rewarded, network.activation)
            recorder.evaluated(step, loss, accuracy[:, : len(is_target)])
            if time.monotonic() - reported > 5:
                reported = time.monotonic()
                logger.info("%s", recorder.progress(step))
        recorder.checkpoint(step)
        if step == training.max_steps or not recorder.active.any():
            break
        rows = torch.from_numpy(batches.next()).to(device)
        _, logits = forward(weights, train_set.inputs[rows], network.activation)
        optimizer.zero_grad(set_to_none=True)
        # The mean over features and stimuli of each network, summed over networks.
        losses = _losses(logits, train_set.labels[rows], rewarded)
        (losses.sum() / (losses.shape[1] * losses.shape[2])).backward()
        optimizer.step()
    logger.info("%s; %.1f s", recorder.progress(step), time.monotonic() - started)

    names, steps, checkpoints = recorder.finish()
    final = {
        name: _aligned(name, torch.from_numpy(w[-1])).to(device) for name, w in checkpoints.items()
    }
    test = _Data.of(stimuli, "test", device)
    _, test_accuracy = _evaluate(final, test, rewarded, network.activation)
    test_accuracy = test_accuracy[:, : len(is_target)]
    return Networks(
        seeds=np.array(seeds),
        features=stimuli.features,
        targets=list(targets),
        kept=(test_accuracy[:, is_target] >= training.inclusion).all(axis=1),
        test_accuracy=test_accuracy,
        acquired=recorder.acquired,
        curves=recorder.curves(),
        checkpoint_names=names,
        checkpoint_steps=steps,
        weights=checkpoints,
    )


def _stack(network: MLP, stimuli: Stimuli, seeds: list[int]) -> dict[str, Tensor]:
    n_inputs, n_outputs = stimuli.inputs.shape[1], len(stimuli.features)
    members = [initial_weights(network, n_inputs, n_outputs, seed) for seed in seeds]
    return {name: torch.stack([m[name] for m in members]) for name in members[0]}


def _padded(tensor: Tensor, rows: bool) -> Tensor:
    """Pad the last axis, and the one before it if they are rows of a weight matrix."""
    padding = [0, -tensor.shape[-1] % ALIGNMENT]
    if rows:
        padding += [0, -tensor.shape[-2] % ALIGNMENT]
    return torch.nn.functional.pad(tensor, padding)


def _aligned(name: str, parameter: Tensor) -> Tensor:
    return _padded(parameter, rows=name.startswith("w"))


def _optimizer(training: Training, parameters: list[Tensor]) -> torch.optim.Optimizer:
    # Fused updates work on every parameter by itself, so that members of a stack stay apart.
    common = {"lr": training.learning_rate, "weight_decay": training.weight_decay, "fused": True}
    if training.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=training.momentum, **common)
    if training.optimizer == "adam":
        return torch.optim.Adam(parameters, **common)
    return torch.optim.AdamW(parameters, **common)


def _losses(logits: Tensor, labels: Tensor, rewarded: Tensor) -> Tensor:
    """Cross-entropy of the rewarded features, (network, stimulus, rewarded feature)."""
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return loss[..., rewarded]


@torch.no_grad()
def _evaluate(
    weights: dict[str, Tensor], data: _Data, rewarded: Tensor, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss (network,) and the accuracy (network, feature)."""
    n_networks = len(weights["w1"])
    inputs = data.inputs.expand(n_networks, *data.inputs.shape)
    labels = data.labels.expand(n_networks, *data.labels.shape)
    _, logits = forward(weights, inputs, activation)
    correct = ((logits > 0) == (labels > 0)).sum(dim=1).cpu().numpy()
    # In float64: the order of a float32 sum depends on how many networks there are.
    loss = _losses(logits, labels, rewarded).cpu().double().mean(dim=(1, 2))
    return loss.numpy(), correct / len(data.inputs)


class _Batches:
    """Each network's own order of the training stimuli, reshuffled every epoch."""

    def __init__(self, n_stimuli: int, batch_size: int, seeds: list[int]) -> None:
        self._n, self._size = n_stimuli, batch_size
        self._streams = [np.random.default_rng([seed, 1]) for seed in seeds]
        self._position = n_stimuli

    def next(self) -> np.ndarray:
        """Return rows of shape (network, batch)."""
        if self._position + self._size > self._n:
            self._order = np.stack([stream.permutation(self._n) for stream in self._streams])
            self._position = 0
        rows = self._order[:, self._position : self._position + self._size]
        self._position += self._size
        return np.ascontiguousarray(rows)


class _Recorder:
    """Learning curves, acquisition, stopping and checkpoints of one stack."""

    def __init__(
        self,
        training: Training,
        weights: dict[str, Tensor],
        shapes: dict[str, tuple[int, ...]],
        rewarded: np.ndarray,
    ) -> None:
        n = len(weights["w1"])
        self._shapes = shapes
        self._training, self._weights, self._rewarded = training, weights, rewarded
        grid = np.geomspace(training.evaluate_every, training.max_steps, training.checkpoints)
        self._grid = np.unique(grid.round().astype(int))
        n_rows = 1 + len(self._grid) + 2
        self._names = np.array(["initial", *["grid"] * len(self._grid), "acquired", "final"])
        self._steps = np.full((n_rows, n), -1)
        self._saved = {
            name: np.zeros((n_rows, *shape), np.float32) for name, shape in shapes.items()
        }
        self._curves: list[tuple[int, np.ndarray, np.ndarray]] = []
        self.active = np.ones(n, bool)
        self.acquired = np.full((n, len(rewarded)), -1)

    def evaluated(self, step: int, loss: np.ndarray, accuracy: np.ndarray) -> None:
        """Take note of an evaluation; stop the networks that are done."""
        active = self.active.copy()
        self._curves.append(
            (
                step,
                np.where(active, loss, np.nan),
                np.where(active[:, None], accuracy, np.nan),
            )
        )
        mastered = accuracy >= self._training.mastery
        self.acquired[mastered & (self.acquired < 0) & active[:, None]] = step
        complete = mastered[:, self._rewarded].all(axis=1) & active
        self._save(-2, step, complete & (self._steps[-2] < 0))
        overtime = (self._steps[-2] >= 0) & (step >= self._steps[-2] + self._training.extra_steps)
        done = active & (overtime | (step == self._training.max_steps))
        self._save(-1, step, done)
        self.active &= ~done

    def checkpoint(self, step: int) -> None:
        """Keep the weights where the grid of checkpoints asks for it."""
        if step == 0:
            self._save(0, 0, np.ones_like(self.active))
        elif step in self._grid:
            row = 1 + int(np.searchsorted(self._grid, step))
            self._save(row, step, self.active & (self._steps[-2] != step))

    def _save(self, row: int, step: int, which: np.ndarray) -> None:
        if which.any():
            self._steps[row, which] = step
            for name, w in self._weights.items():
                _, n_rows, n_columns = self._shapes[name]
                kept = w.detach()[:, :n_rows, :n_columns].cpu().numpy()
                self._saved[name][row, which] = kept[which]

    def progress(self, step: int) -> str:
        """Say how far training is."""
        accuracy = np.nanmin(self._curves[-1][2][:, self._rewarded], initial=1)
        return (
            f"step {step} of at most {self._training.max_steps}, "
            f"{(~self.active).sum()} of {len(self.active)} networks done, "
            f"lowest accuracy of the others {accuracy:.3f}"
        )

    def curves(self) -> dict[str, np.ndarray]:
        """Return the learning curves."""
        steps, loss, accuracy = zip(*self._curves, strict=True)
        return {
            "step": np.array(steps),
            "loss": np.stack(loss),
            "accuracy": np.stack(accuracy),
        }

    def finish(self) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Return the names, steps and weights of the checkpoints."""
        return self._names, self._steps, self._saved


def _concatenate(chunks: list[Networks]) -> Networks:
    longest = max(chunks, key=lambda c: len(c.curves["step"]))

    def padded(curve: np.ndarray) -> np.ndarray:
        missing = len(longest.curves["step"]) - len(curve)
        return np.pad(curve, [(0, missing)] + [(0, 0)] * (curve.ndim - 1), constant_values=np.nan)

    first = chunks[0]
    return Networks(
        seeds=np.concatenate([c.seeds for c in chunks]),
        features=first.features,
        targets=first.targets,
        kept=np.concatenate([c.kept for c in chunks]),
        test_accuracy=np.concatenate([c.test_accuracy for c in chunks]),
        acquired=np.concatenate([c.acquired for c in chunks]),
        curves={
            "step": longest.curves["step"],
            "loss": np.concatenate([padded(c.curves["loss"]) for c in chunks], axis=1),
            "accuracy": np.concatenate([padded(c.curves["accuracy"]) for c in chunks], axis=1),
        },
        checkpoint_names=first.checkpoint_names,
        checkpoint_steps=np.concatenate([c.checkpoint_steps for c in chunks], axis=1),
        weights={
            name: np.concatenate([c.weights[name] for c in chunks], axis=1)
            for name in first.weights
        },
    )


def learning_table(experiment: str, condition: str, networks: Networks) -> pd.DataFrame:
    """Return the learning curves as the table "learning": one row per evaluation and feature."""
    steps, accuracy = networks.curves["step"], networks.curves["accuracy"]
    t, n, f = np.nonzero(~np.isnan(accuracy))
    features = np.array(networks.features)
    frame = pd.DataFrame(
        {
            "experiment": experiment,
            "condition": condition,
            "network": [f"seed{seed}" for seed in networks.seeds[n]],
            "seed": networks.seeds[n],
            "step": steps[t],
            "feature": features[f],
            "target": np.isin(features, networks.targets)[f],
            "accuracy": accuracy[t, n, f],
            "loss": networks.curves["loss"][t, n],
            "kept": networks.kept[n],
        }
    )
    return as_table("learning", frame)
