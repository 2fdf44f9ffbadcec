"""What is trained together, in which order stimuli are shown, and what became of each network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from repbias.base.inputs import Task
from repbias.base.spec import RepbiasError
from repbias.io.networks import Networks, diverged
from repbias.networks.device import CPU_STACK
from repbias.networks.heads import Heads

if TYPE_CHECKING:
    from repbias.io.stimuli import Stimuli
    from repbias.networks.architecture import Architecture
    from repbias.networks.spec import Training
    from repbias.stimuli.family import StimulusFamily

#: Gives the parameters and buffers of a network, when they are kept.
Weights = Callable[[], Mapping[str, np.ndarray]]


@dataclass
class Ensemble:
    """Networks that differ in their seed only, and in their training set where each has its own.

    Attributes
    ----------
    stimuli : validation and test stimuli, and training stimuli where all networks have the same
    network : architecture
    training : settings
    seeds : one network each
    family : generates each network's training set; it may be left out where `stimuli` have one
    """

    stimuli: Stimuli
    network: Architecture
    training: Training
    seeds: Sequence[int]
    family: StimulusFamily | None = None

    @property
    def targets(self) -> list[str]:
        """Names of the features that training rewards."""
        return list(self.training.targets or self.stimuli.features)

    @property
    def heads(self) -> Heads:
        """The outputs, one head per feature."""
        return Heads.of(self.stimuli.classes, self.training.two_classes)

    @property
    def task(self) -> Task:
        """What a network is shown, and how many logits it gives."""
        return Task(self.stimuli.shown, self.heads.n_outputs)

    def weights_seed(self, seed: int) -> int:
        """Return the seed of a network's initial weights: its own, or that of its condition."""
        if self.training.initial_weights == "shared":
            return seed
        family = self.family.model_dump_json() if self.family else ""
        # How networks are read is no part of them.
        network = self.network.model_dump_json(exclude={"analysed_layer", "layers", "readout"})
        about = [family, network, self.training.model_dump_json(), str(seed)]
        digest = hashlib.sha256("\n".join(about).encode()).digest()
        return int.from_bytes(digest[:7])

    @property
    def batch_size(self) -> int:
        """Stimuli per step."""
        if self.training.batch_size == "full":
            return self.n_stimuli("train")
        return self.training.batch_size

    @property
    def cools_down(self) -> bool:
        """Whether the learning rate falls in the end; that of networks of images does by default.

        Images are uint8.
        """
        default = "cosine" if self.stimuli.shown.dtype == "uint8" else "none"
        return (self.training.cool_down or default) == "cosine"

    @property
    def changes_rate(self) -> bool:
        """Whether the learning rate is not the same in all steps."""
        return self.cools_down or self.training.warmup_steps > 0

    def check(self) -> None:
        """Refuse what the stimuli do not have, and a network that cannot be shown them."""
        n_train = self.n_stimuli("train")
        if not n_train:
            raise RepbiasError(
                "there are no training stimuli; give the family that generates each network's, or "
                "generate the stimuli with training_sets='common'"
            )
        if self.batch_size > n_train:
            raise RepbiasError(
                f"training.batch_size is {self.batch_size}, but there are {n_train} stimuli"
            )
        unknown = {*self.targets, *self.training.curriculum} - set(self.stimuli.features)
        if unknown:
            raise RepbiasError(
                f"training.targets and curriculum: {sorted(unknown)} are no features "
                f"(found {self.stimuli.features})"
            )
        self.network.sizes(self.task)

    def n_stimuli(self, split: str) -> int:
        """Return the number of stimuli of a split that a network is shown."""
        if split == "train" and self.family is not None:
            return self.family.n_train
        return int((self.stimuli.split == split).sum())

    def training_set(self, seed: int) -> Stimuli:
        """Return stimuli of which the split "train" is what a network is trained on."""
        if self.family is None:
            return self.stimuli
        return self.family.training_set(seed, self.stimuli)

    def training_set_key(self, seed: int) -> Hashable:
        """Return what is equal for equal training sets, also of networks of other ensembles."""
        if self.family is None or self.family.training_sets == "common":
            return id(self.stimuli)
        return (self.family.model_dump_json(), seed)


def optimizer_of(training: Training, parameters: list[Tensor]) -> torch.optim.Optimizer:
    """Return the optimiser that the settings ask for."""
    common: dict[str, Any] = {
        "lr": training.learning_rate,
        "weight_decay": training.weight_decay,
        "fused": True,
    }
    if training.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=training.momentum, **common)
    if training.optimizer == "adam":
        return torch.optim.Adam(parameters, **common)
    return torch.optim.AdamW(parameters, **common)


class Batches:
    """Each network's own order of the training stimuli, reshuffled every epoch."""

    _order: Tensor

    def __init__(self, ensemble: Ensemble, seeds: Sequence[int], device: torch.device) -> None:
        self._device = device
        self._n = ensemble.n_stimuli("train")
        self._size = ensemble.batch_size
        self._streams = [np.random.default_rng([seed, 1]) for seed in seeds]
        self._position = self._n

    def keep(self, members: Sequence[int]) -> None:
        """Go on with some of the networks only."""
        self._streams = [self._streams[i] for i in members]
        if hasattr(self, "_order"):
            self._order = self._order[list(members)]

    def next(self) -> Tensor:
        """Return rows of shape (network, batch); they are on the device for a whole epoch."""
        if self._position + self._size > self._n:
            order = np.stack([stream.permutation(self._n) for stream in self._streams])
            self._order = torch.from_numpy(order).to(self._device)
            self._position = 0
        rows = self._order[:, self._position : self._position + self._size]
        self._position += self._size
        return rows


class Record:
    """Learning curve, acquisition, stopping and checkpoints of one network.

    Parameters
    ----------
    ensemble
        What the network belongs to.
    weights
        Its parameters at the start; the shapes and types of what is kept.
    """

    def __init__(self, ensemble: Ensemble, weights: Mapping[str, np.ndarray]) -> None:
        training = ensemble.training
        self._training, self._cools_down = training, ensemble.cools_down
        features = ensemble.stimuli.features
        self._is_target = np.isin(features, ensemble.targets)
        grid = np.geomspace(training.evaluate_every, training.max_steps, training.checkpoints)
        self.grid = np.unique(grid.round().astype(int)).tolist()
        self._levels = [
            (feature, level)
            for feature in np.flatnonzero(self._is_target)
            for level in training.checkpoint_accuracies
        ]
        self.names = [
            "initial",
            *["grid"] * len(self.grid),
            *["crossing"] * len(self._levels),
            *("mastered", "final"),
        ]
        self.steps = np.full(len(self.names), -1)
        self.weights = {
            name: np.zeros((len(self.names), *w.shape), w.dtype) for name, w in weights.items()
        }
        self.curve: list[tuple[int, float, np.ndarray]] = []
        self.mastery_step = np.full(len(features), -1)
        self.worst = 0.0
        self._crossed: set[int] = set()

    def evaluated(self, step: int, loss: float, accuracy: np.ndarray, weights: Weights) -> bool:
        """Take note of an evaluation; say whether the network is done."""
        self.curve.append((step, loss, accuracy))
        self.worst = float(accuracy[self._is_target].min())
        mastered = accuracy >= self._training.mastery
        self.mastery_step[mastered & (self.mastery_step < 0)] = step
        if step == 0:
            self._save(0, step, weights)
        if self.steps[-2] < 0 and mastered[self._is_target].all():
            self._save(-2, step, weights)
        extra = self._training.extra_steps
        overtime = extra is not None and 0 <= self.steps[-2] <= step - extra
        done = overtime or step == self._training.max_steps
        if done:
            self._save(-1, step, weights)
        for row, (feature, level) in enumerate(self._levels, start=1 + len(self.grid)):
            if row not in self._crossed and accuracy[feature] >= level:
                self._crossed.add(row)
                if step not in self.steps:
                    self._save(row, step, weights)
        self.checkpoint(step, weights)
        return done

    def rate(self, step: int) -> float:
        """Return the factor on the learning rate in a step, counted from 0."""
        training = self._training
        factor = min(1.0, (step + 1) / max(training.warmup_steps, 1))
        if not self._cools_down:
            return factor
        start, length = 0, training.max_steps
        if training.extra_steps is not None:
            # Training ends at an evaluation.
            extra = -(-training.extra_steps // training.evaluate_every) * training.evaluate_every
            length = min(extra, training.max_steps)
            start = training.max_steps - length
            if self.steps[-2] >= 0:
                start = min(start, int(self.steps[-2]))
        if step <= start or not length:
            return factor
        return factor * (1 + cos(pi * min(1.0, (step - start) / length))) / 2

    def checkpoint(self, step: int, weights: Weights) -> None:
        """Keep the weights where the grid of checkpoints asks for it, each step once."""
        if step in self.grid and step not in self.steps:
            self._save(1 + self.grid.index(step), step, weights)

    def _save(self, row: int, step: int, weights: Weights) -> None:
        self.steps[row] = step
        for name, w in weights().items():
            self.weights[name][row] = w


def joined(ensemble: Ensemble, records: list[Record]) -> Networks:
    """Join the records of a condition's networks, and test what they became."""
    steps = np.unique([step for r in records for step, _, _ in r.curve])
    loss = np.full((len(steps), len(records)), np.nan)
    accuracy = np.full((*loss.shape, len(ensemble.stimuli.features)), np.nan)
    for n, record in enumerate(records):
        for step, value, by_feature in record.curve:
            t = np.searchsorted(steps, step)
            loss[t, n], accuracy[t, n] = value, by_feature
    # Taken out of the records, so that no more than one parameter is in memory twice.
    weights = {
        name: np.stack([r.weights.pop(name) for r in records], axis=1)
        for name in list(records[0].weights)
    }
    test_accuracy = _test_accuracy(ensemble, {name: w[-1] for name, w in weights.items()})
    is_target = np.isin(ensemble.stimuli.features, ensemble.targets)
    # A network that diverged reports 0 everywhere, which is right half of the time.
    steps_of = np.stack([r.steps for r in records], axis=1)
    finite = np.array([not diverged(weights, steps_of, -1, n) for n in range(len(records))])
    return Networks(
        seeds=np.array(ensemble.seeds),
        features=ensemble.stimuli.features,
        heads=ensemble.heads.widths,
        targets=ensemble.targets,
        included=finite & (test_accuracy[:, is_target] >= ensemble.training.inclusion).all(axis=1),
        test_accuracy=test_accuracy,
        mastery_step=np.stack([r.mastery_step for r in records]),
        curves={"step": steps, "loss": loss, "accuracy": accuracy},
        checkpoint_names=np.array(records[0].names),
        checkpoint_steps=steps_of,
        weights=weights,
    )


def _test_accuracy(ensemble: Ensemble, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Return (network, feature); on the CPU, so that it is that of the weights in the file."""
    inputs, labels, _ = ensemble.stimuli.part("test")
    accuracies = []
    for start in range(0, len(ensemble.seeds), CPU_STACK):
        chunk = {n: w[start : start + CPU_STACK] for n, w in weights.items()}
        logits = ensemble.network.outputs(chunk, inputs, ensemble.task)
        accuracies.append((ensemble.heads.reported(logits) == labels).mean(axis=1))
    return np.concatenate(accuracies)
