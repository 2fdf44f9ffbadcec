"""Train networks as stacked ensembles: all seeds of one condition, or of many."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from repbias.base.spec import RepbiasError
from repbias.io.networks import Networks
from repbias.networks.device import (
    CPU_STACK,
    device_name,
    free_memory,
    in_chunks,
    pick_device,
    reproducible,
    stack_size,
)
from repbias.networks.manipulations import Manipulator
from repbias.networks.mlp import aligned, forward, initial_weights, padded, padded_widths
from repbias.networks.spec import MLP, Training

if TYPE_CHECKING:
    from repbias.io.stimuli import Stimuli

logger = logging.getLogger(__name__)

#: Arrays as large as a layer's activations that a training step holds at its peak, per layer.
COPIES = 6


@dataclass
class Ensemble:
    """Networks that differ in their seed only.

    Attributes
    ----------
    stimuli : training, validation and test stimuli
    network : architecture
    training : settings
    seeds : one network each
    """

    stimuli: Stimuli
    network: MLP
    training: Training
    seeds: Sequence[int]

    @property
    def targets(self) -> list[str]:
        """Names of the features that training rewards."""
        return list(self.training.targets or self.stimuli.features)

    @property
    def batch_size(self) -> int:
        """Stimuli per step."""
        if self.training.batch_size == "full":
            return int((self.stimuli.split == "train").sum())
        return self.training.batch_size

    def check(self) -> None:
        """Refuse targets and batches that the stimuli do not have."""
        n_train = int((self.stimuli.split == "train").sum())
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

    def shape(self) -> Hashable:
        """Return what the networks of a stack must have in common."""
        sizes = [int((self.stimuli.split == split).sum()) for split in ("train", "validation")]
        return (
            self.network.model_dump_json(exclude={"init", "init_scale", "analysed_layer"}),
            (*sizes, self.stimuli.inputs.shape[1], tuple(self.stimuli.features)),
            (self.batch_size, self.training.evaluate_every, self.training.precision),
        )

    def bytes_per_network(self) -> int:
        """Estimate the memory that a network of a stack takes while it is trained, at most."""
        n_train, n_validation = (
            int((self.stimuli.split == split).sum()) for split in ("train", "validation")
        )
        n_inputs, n_features = self.stimuli.inputs.shape[1], len(self.stimuli.features)
        widths = padded_widths(self.network, n_inputs, n_features)
        parameters = sum((a + 1) * b for a, b in pairwise(widths))
        # Weights, gradients, the optimiser's state, and those with noise; what a layer keeps for
        # the backward pass, and gradients; stimuli of its own, and their order.
        training = 6 * parameters + COPIES * self.batch_size * sum(widths)
        evaluation = 4 * parameters + 2 * n_validation * sum(widths)
        stimuli = (n_train + n_validation) * (widths[0] + widths[-1]) + 2 * n_train
        return 4 * (max(training, evaluation) + stimuli)


def train(
    stimuli: Stimuli, network: MLP, training: Training, seeds: Sequence[int], device: str = "auto"
) -> Networks:
    """Train one network per seed; :func:`train_ensembles` for a single condition."""
    return train_ensembles([Ensemble(stimuli, network, training, seeds)], device)[0]


def train_ensembles(ensembles: Sequence[Ensemble], device: str = "auto") -> list[Networks]:
    """Train the networks of many conditions, stacked wherever their shapes agree.

    A network's initial weights, batches and noise depend on its own seed and condition only, and
    members of a stack do not interact, so a network is the same alone and in any company.

    Parameters
    ----------
    ensembles
        Optimiser, its settings, manipulations, targets, initialisation and stimuli may differ
        within a stack; shapes, batch size and the evaluation interval may not.
    device
        "auto", "cpu", "cuda" or "mps".

    Returns
    -------
    list of Networks
        For each ensemble: checkpoints, learning curves, acquisition steps, and which networks met
        the criterion.
    """
    for ensemble in ensembles:
        ensemble.check()
    where = pick_device(device)
    by_shape: dict[Hashable, list[tuple[int, int]]] = {}
    for i, ensemble in enumerate(ensembles):
        members = by_shape.setdefault(ensemble.shape(), [])
        members += [(i, seed) for seed in ensemble.seeds]

    def work(chosen: Sequence[tuple[int, int]]) -> list[_Record]:
        return _Stack([(ensembles[i], seed) for i, seed in chosen], where).train()

    records: dict[tuple[int, int], _Record] = {}
    for members in by_shape.values():
        each = max(ensembles[i].bytes_per_network() for i in {i for i, _ in members})
        size = stack_size(where.type, free_memory(where), each)
        logger.info(
            "training %d networks, at most %d at a time, on %s",
            *(len(members), size, device_name(where)),
        )
        with reproducible(where):
            for chosen, trained in in_chunks(members, size, work, "network"):
                records.update(zip(chosen, trained, strict=True))
    return [
        _networks(ensemble, [records[i, seed] for seed in ensemble.seeds])
        for i, ensemble in enumerate(ensembles)
    ]


class _Stack:
    """Networks of one shape that are trained as one."""

    def __init__(self, members: Sequence[tuple[Ensemble, int]], device: torch.device) -> None:
        self._device = device
        self._ensembles = [ensemble for ensemble, _ in members]
        self._records = [_Record(ensemble) for ensemble in self._ensembles]
        #: Which networks still learn, and which are in the stack (it shrinks now and then).
        self._active = list(range(len(members)))
        first = self._ensembles[0]
        self._network, self._every = first.network, first.training.evaluate_every
        self._precision = first.training.precision
        n_inputs, self._features = first.stimuli.inputs.shape[1], first.stimuli.features
        drawn = [
            initial_weights(c.network, n_inputs, len(self._features), seed) for c, seed in members
        ]
        self._shapes = {name: tuple(w.shape) for name, w in drawn[0].items()}
        stacked = aligned({name: torch.stack([d[name] for d in drawn]) for name in drawn[0]})
        self._weights = {name: w.to(device) for name, w in stacked.items()}
        seeds = [seed for _, seed in members]
        targets = [c.targets for c in self._ensembles]
        self._manipulator = Manipulator(
            [c.training for c in self._ensembles], seeds, targets, self._features
        )
        is_target = np.array([np.isin(self._features, t) for t in targets])
        # The mean over a network's targets, whether or not they are rewarded yet.
        self._target_weights = is_target / is_target.sum(axis=1, keepdims=True)
        self._batches = _Batches(first, seeds, device)
        self._grid = set().union(*(record.grid for record in self._records))
        self._stacked = list(self._active)
        self._load_stimuli()
        self._optimizers = _optimizers(self._ensembles, self._weights)

    def train(self) -> list[_Record]:
        """Train until every network is done; return one record each."""
        started = reported = time.monotonic()
        n_stacked, step = len(self._active), 0
        while True:
            due = [
                i
                for i in self._active
                if step % self._every == 0 or step == self._ensembles[i].training.max_steps
            ]
            if due:
                self._evaluate(step, due)
                if time.monotonic() - reported > 5:
                    reported = time.monotonic()
                    logger.info("%s", self._progress(step))
            if step in self._grid:
                for i in self._active:
                    self._records[i].checkpoint(step, self._weights_of(i))
            if not self._active:
                break
            # What is done costs as much as what is not: go on with a smaller stack.
            if 4 * len(self._active) <= 3 * n_stacked:
                self._shrink()
                n_stacked = len(self._active)
            self._step()
            step += 1
        logger.info("%s; %.1f s", self._progress(step), time.monotonic() - started)
        return self._records

    def _step(self) -> None:
        rows = self._batches.next()
        x, labels = (self._take(t, rows) for t in self._train)
        weights = {name: w.requires_grad_() for name, w in self._weights.items()}
        widths = self._network.hidden
        low = self._precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16) if low else nullcontext():
            _, logits = forward(
                self._manipulator.weights(weights, self._shapes),
                x,
                self._network,
                lambda i, h: self._manipulator.hidden(h, widths[i - 1]),
            )
        losses = binary_cross_entropy_with_logits(logits.float(), labels, reduction="none")
        losses = losses * self._loss_weights
        if self._supervised is not None:
            losses = losses * self._take(self._supervised, rows)
        # The mean over stimuli of each network, summed over networks.
        (losses.sum() / losses.shape[1]).backward()
        for optimizer in self._optimizers:
            optimizer.step(weights)
        self._weights = {name: w.detach() for name, w in weights.items()}

    @torch.no_grad()
    def _evaluate(self, step: int, due: list[int]) -> None:
        """Take note of loss and accuracy on the validation stimuli, and stop what is done."""
        inputs, labels = (self._take(t, None) for t in self._validation)
        _, logits = forward(self._weights, inputs, self._network)
        correct = ((logits > 0) == (labels > 0)).sum(dim=1).cpu().numpy()
        accuracy = correct[:, : len(self._features)] / inputs.shape[1]
        losses = binary_cross_entropy_with_logits(logits, labels, reduction="none")
        # In float64, which MPS does not have: the order of a float32 sum depends on how many
        # networks there are.
        loss = losses[..., : len(self._features)].cpu().double().mean(dim=1).numpy()
        for i in due:
            place = self._stacked.index(i)
            mean_loss = float(loss[place] @ self._target_weights[i])
            weights = self._weights_of(i)
            if self._records[i].evaluated(step, mean_loss, accuracy[place], weights):
                self._active.remove(i)
        self._reward()

    def _weights_of(self, i: int) -> dict[str, Tensor]:
        place = self._stacked.index(i)
        return {name: w[place] for name, w in self._weights.items()}

    def _reward(self) -> None:
        """Set what is rewarded from now on."""
        mastered = np.array([self._records[i].mastery_step >= 0 for i in self._stacked])
        rewarded = self._manipulator.rewarded(mastered)
        weights = rewarded * self._target_weights[self._stacked]
        as_tensor = torch.from_numpy(weights[:, None].astype(np.float32))
        self._loss_weights = padded(as_tensor).to(self._device)

    def _shrink(self) -> None:
        """Drop networks that are done from the stack; the others do not notice."""
        places = [self._stacked.index(i) for i in self._active]
        self._weights = {name: w[places].clone() for name, w in self._weights.items()}
        self._manipulator.keep(places)
        self._batches.keep(places)
        old = self._optimizers
        self._stacked = list(self._active)
        self._load_stimuli()
        self._optimizers = _optimizers([self._ensembles[i] for i in self._stacked], self._weights)
        _hand_over(old, self._optimizers, places)
        self._reward()

    def _load_stimuli(self) -> None:
        """Put the stimuli of the stacked networks on the device, each set of stimuli once."""
        sets = [self._ensembles[i].stimuli for i in self._stacked]
        different = list({id(s): s for s in sets}.values())
        set_of = [next(k for k, d in enumerate(different) if d is s) for s in sets]
        self._set_of = torch.tensor(set_of, device=self._device)

        def stacked(split: str, name: str) -> Tensor:
            values = [getattr(s, name)[s.split == split].astype(np.float32) for s in different]
            return padded(torch.from_numpy(np.stack(values))).to(self._device)

        silent = any(not s.supervised.all() for s in different)
        self._train = (
            stacked("train", "inputs"),
            stacked("train", "labels"),
        )
        self._supervised = stacked("train", "supervised") if silent else None
        self._validation = (stacked("validation", "inputs"), stacked("validation", "labels"))

    def _take(self, values: Tensor, rows: Tensor | None) -> Tensor:
        """Return each network's rows of its own stimuli, (network, row, ...); all if None."""
        if rows is None:
            if len(values) == 1:
                return values.expand(len(self._set_of), *values.shape[1:])
            return values[self._set_of]
        if len(values) == 1:
            return values[0][rows]
        return values[self._set_of[:, None], rows]

    def _progress(self, step: int) -> str:
        limit = max(c.training.max_steps for c in self._ensembles)
        learning = [self._records[i].worst for i in self._active]
        return (
            f"step {step} of at most {limit}, {len(self._records) - len(learning)} of "
            f"{len(self._records)} networks done, lowest accuracy of the others "
            f"{min(learning, default=1.0):.3f}"
        )


class _Optimizer:
    """An optimiser of neighbouring networks of a stack that have the same settings.

    It works on views of the stacked parameters. Fused updates work on every number by itself, so
    that networks stay apart.
    """

    def __init__(self, training: Training, weights: dict[str, Tensor], places: range) -> None:
        self.training, self.places = training, places
        self.views = {name: w.detach()[places.start : places.stop] for name, w in weights.items()}
        common: dict[str, Any] = {
            "lr": training.learning_rate,
            "weight_decay": training.weight_decay,
            "fused": True,
        }
        parameters = list(self.views.values())
        self.torch: torch.optim.Optimizer
        if training.optimizer == "sgd":
            self.torch = torch.optim.SGD(parameters, momentum=training.momentum, **common)
        elif training.optimizer == "adam":
            self.torch = torch.optim.Adam(parameters, **common)
        else:
            self.torch = torch.optim.AdamW(parameters, **common)

    def step(self, weights: dict[str, Tensor]) -> None:
        """Update the networks by the gradients of the stacked parameters."""
        for name, view in self.views.items():
            grad = weights[name].grad
            assert grad is not None
            view.grad = grad[self.places.start : self.places.stop]
        self.torch.step()


def _settings(training: Training) -> Hashable:
    return (
        training.optimizer,
        training.learning_rate,
        training.momentum,
        training.weight_decay,
    )


def _optimizers(ensembles: Sequence[Ensemble], weights: dict[str, Tensor]) -> list[_Optimizer]:
    """Make one optimiser per run of neighbours with equal settings."""
    starts = [
        i
        for i, c in enumerate(ensembles)
        if i == 0 or _settings(c.training) != _settings(ensembles[i - 1].training)
    ]
    stops = [*starts[1:], len(ensembles)]
    return [
        _Optimizer(ensembles[a].training, weights, range(a, b))
        for a, b in zip(starts, stops, strict=True)
    ]


def _hand_over(old: list[_Optimizer], new: list[_Optimizer], places: list[int]) -> None:
    """Give the optimisers of a smaller stack the state that its networks had in the larger one."""
    for optimizer in new:
        origins = [places[p] for p in optimizer.places]
        # Runs with equal settings may have become neighbours; their states have the same age.
        sources = [next(o for o in old if origin in o.places) for origin in origins]
        for name, view in optimizer.views.items():
            states = [s.torch.state[s.views[name]] for s in sources]
            optimizer.torch.state[view] = {
                key: (
                    torch.stack(
                        [
                            state[key][origin - source.places.start]
                            for state, source, origin in zip(states, sources, origins, strict=True)
                        ]
                    )
                    if torch.is_tensor(value) and value.ndim
                    else value
                )
                for key, value in states[0].items()
            }


class _Batches:
    """Each network's own order of the training stimuli, reshuffled every epoch."""

    _order: Tensor

    def __init__(self, ensemble: Ensemble, seeds: Sequence[int], device: torch.device) -> None:
        self._device = device
        self._n = int((ensemble.stimuli.split == "train").sum())
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


class _Record:
    """Learning curve, acquisition, stopping and checkpoints of one network."""

    def __init__(self, ensemble: Ensemble) -> None:
        training = ensemble.training
        self._training = training
        features = ensemble.stimuli.features
        self._shapes: dict[str, tuple[int, ...]] = {}
        widths = [ensemble.stimuli.inputs.shape[1], *ensemble.network.hidden, len(features)]
        for i, (rows, columns) in enumerate(pairwise(widths), start=1):
            self._shapes |= {f"w{i}": (rows, columns), f"b{i}": (1, columns)}
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
            name: np.zeros((len(self.names), *shape), np.float32)
            for name, shape in self._shapes.items()
        }
        self.curve: list[tuple[int, float, np.ndarray]] = []
        self.mastery_step = np.full(len(features), -1)
        self.worst = 0.0
        self._crossed: set[int] = set()

    def evaluated(
        self, step: int, loss: float, accuracy: np.ndarray, weights: dict[str, Tensor]
    ) -> bool:
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

    def checkpoint(self, step: int, weights: dict[str, Tensor]) -> None:
        """Keep the weights where the grid of checkpoints asks for it, each step once."""
        if step in self.grid and step not in self.steps:
            self._save(1 + self.grid.index(step), step, weights)

    def _save(self, row: int, step: int, weights: dict[str, Tensor]) -> None:
        self.steps[row] = step
        for name, w in weights.items():
            n_rows, n_columns = self._shapes[name]
            self.weights[name][row] = w.detach()[:n_rows, :n_columns].cpu().numpy()


def _networks(ensemble: Ensemble, records: list[_Record]) -> Networks:
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
    finite = np.all([np.isfinite(w[-1]).all(axis=(1, 2)) for w in weights.values()], axis=0)
    return Networks(
        seeds=np.array(ensemble.seeds),
        features=ensemble.stimuli.features,
        targets=ensemble.targets,
        included=finite & (test_accuracy[:, is_target] >= ensemble.training.inclusion).all(axis=1),
        test_accuracy=test_accuracy,
        mastery_step=np.stack([r.mastery_step for r in records]),
        curves={"step": steps, "loss": loss, "accuracy": accuracy},
        checkpoint_names=np.array(records[0].names),
        checkpoint_steps=np.stack([r.steps for r in records], axis=1),
        weights=weights,
    )


def _test_accuracy(ensemble: Ensemble, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Return (network, feature); on the CPU, so that it is that of the weights in the file."""
    inputs, labels, _ = ensemble.stimuli.part("test")
    x = padded(torch.from_numpy(inputs))
    accuracies = []
    for start in range(0, len(ensemble.seeds), CPU_STACK):
        chunk = {n: torch.from_numpy(w[start : start + CPU_STACK]) for n, w in weights.items()}
        with torch.inference_mode():
            stacked = x.expand(len(chunk["w1"]), *x.shape)
            _, logits = forward(aligned(chunk), stacked, ensemble.network)
        reported = logits[..., : labels.shape[1]].numpy() > 0
        accuracies.append((reported == (labels > 0)).mean(axis=1))
    return np.concatenate(accuracies)
