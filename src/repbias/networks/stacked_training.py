"""Train multi-layer perceptrons as stacks: many networks, of one condition or several, as one."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from repbias.networks.ensembles import Batches, Ensemble, Record, optimizer_of
from repbias.networks.manipulations import Manipulator
from repbias.networks.mlp import MLP
from repbias.networks.spec import Training
from repbias.networks.stacks import (
    aligned,
    as_rows,
    forward,
    initial_weights,
    padded,
    padded_widths,
)

logger = logging.getLogger(__name__)

#: Arrays as large as a layer's activations that a training step holds at its peak, per layer.
COPIES = 6


def shape_of(ensemble: Ensemble) -> Hashable:
    """Return what the networks of a stack must have in common."""
    stimuli, training = ensemble.stimuli, ensemble.training
    return (
        ensemble.network.model_dump_json(exclude={"init", "init_scale", "analysed_layer"}),
        *(ensemble.n_stimuli(split) for split in ("train", "validation")),
        (stimuli.shown, tuple(stimuli.features), tuple(ensemble.heads.widths)),
        (ensemble.batch_size, training.evaluate_every, training.precision),
    )


def bytes_per_network(ensemble: Ensemble) -> int:
    """Estimate the memory that a network of a stack takes while it is trained, at most."""
    n_train, n_validation = (ensemble.n_stimuli(split) for split in ("train", "validation"))
    widths = padded_widths(_network(ensemble).widths(ensemble.task))
    parameters = sum((a + 1) * b for a, b in pairwise(widths))
    # Weights, gradients, the optimiser's state, those with noise, and those before a step of
    # another rate; what a layer keeps for the backward pass, and gradients; stimuli of its own,
    # and their order.
    training = (6 + ensemble.changes_rate) * parameters + COPIES * ensemble.batch_size * sum(widths)
    evaluation = 4 * parameters + 2 * n_validation * sum(widths)
    stimuli = (n_train + n_validation) * (widths[0] + widths[-1]) + 2 * n_train
    return 4 * (max(training, evaluation) + stimuli)


def _network(ensemble: Ensemble) -> MLP:
    assert isinstance(ensemble.network, MLP)
    return ensemble.network


class Stack:
    """Networks of one shape that are trained as one."""

    def __init__(self, members: Sequence[tuple[Ensemble, int]], device: torch.device) -> None:
        self._device = device
        self._ensembles = [ensemble for ensemble, _ in members]
        #: Which networks still learn, and which are in the stack (it shrinks now and then).
        self._active = list(range(len(members)))
        first = self._ensembles[0]
        self._network, self._every = _network(first), first.training.evaluate_every
        self._precision = first.training.precision
        self._changes_rate = any(c.changes_rate for c in self._ensembles)
        self._features, self._heads = first.stimuli.features, first.heads
        n_inputs, *_, n_outputs = self._network.widths(first.task)
        drawn = [
            initial_weights(_network(c), n_inputs, n_outputs, c.weights_seed(seed))
            for c, seed in members
        ]
        self._shapes = {name: tuple(w.shape) for name, w in drawn[0].items()}
        self._records = [
            Record(c, {name: w.numpy() for name, w in weights.items()})
            for (c, _), weights in zip(members, drawn, strict=True)
        ]
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
        self._batches = Batches(first, seeds, device)
        self._grid = set().union(*(record.grid for record in self._records))
        self._stacked = list(self._active)
        self._train, self._validation = (
            _Shown(members, split, device) for split in ("train", "validation")
        )
        self._optimizers = _optimizers(self._ensembles, self._weights)

    def train(self) -> list[Record]:
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
                    self._records[i].checkpoint(step, partial(self._weights_of, i))
            if not self._active:
                break
            # What is done costs as much as what is not: go on with a smaller stack.
            if 4 * len(self._active) <= 3 * n_stacked:
                self._shrink()
                n_stacked = len(self._active)
            self._step(step)
            step += 1
        logger.info("%s; %.1f s", self._progress(step), time.monotonic() - started)
        return self._records

    def _step(self, step: int) -> None:
        rows = self._batches.next()
        x, labels, supervised = self._train.at(rows)
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
        losses = self._heads.losses(logits.float(), labels)
        losses = losses * self._loss_weights
        if supervised is not None:
            losses = losses * supervised
        # The mean over stimuli of each network, summed over networks.
        (losses.sum() / losses.shape[1]).backward()
        self._update(weights, step)

    def _update(self, weights: dict[str, Tensor], step: int) -> None:
        """Change the weights by their gradients, at each network's rate."""
        rates = [1.0]
        if self._changes_rate:
            rates = [self._records[i].rate(step) for i in self._stacked]
        before = {} if min(rates) == 1 else {n: w.detach().clone() for n, w in weights.items()}
        for optimizer in self._optimizers:
            optimizer.step(weights)
        self._weights = {name: w.detach() for name, w in weights.items()}
        if not before:
            return
        # Updates are linear in the learning rate, of which every network has its own.
        factor = torch.tensor(rates, device=self._device)[:, None, None]
        for name, old in before.items():
            self._weights[name].mul_(factor).add_(old.mul_(1 - factor))

    @torch.no_grad()
    def _evaluate(self, step: int, due: list[int]) -> None:
        """Take note of loss and accuracy on the validation stimuli, and stop what is done."""
        inputs, labels = self._validation.all()
        _, logits = forward(self._weights, inputs, self._network)
        reported = self._heads.reported(logits.cpu().numpy())
        n_features = len(self._features)
        correct = (reported == labels[..., :n_features].cpu().numpy()).sum(axis=1)
        accuracy = correct / inputs.shape[1]
        losses = self._heads.losses(logits, labels)
        # In float64, which MPS does not have: the order of a float32 sum depends on how many
        # networks there are.
        loss = losses[..., :n_features].cpu().double().mean(dim=1).numpy()
        for i in due:
            place = self._stacked.index(i)
            mean_loss = float(loss[place] @ self._target_weights[i])
            weights = partial(self._weights_of, i)
            if self._records[i].evaluated(step, mean_loss, accuracy[place], weights):
                self._active.remove(i)
        self._reward()

    def _weights_of(self, i: int) -> dict[str, np.ndarray]:
        """Return a network's parameters without padding."""
        place = self._stacked.index(i)
        return {
            name: w[place].detach()[: self._shapes[name][0], : self._shapes[name][1]].cpu().numpy()
            for name, w in self._weights.items()
        }

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
        self._train.keep(places)
        self._validation.keep(places)
        old = self._optimizers
        self._stacked = list(self._active)
        self._optimizers = _optimizers([self._ensembles[i] for i in self._stacked], self._weights)
        _hand_over(old, self._optimizers, places)
        self._reward()

    def _progress(self, step: int) -> str:
        limit = max(c.training.max_steps for c in self._ensembles)
        learning = [self._records[i].worst for i in self._active]
        return (
            f"step {step} of at most {limit}, {len(self._records) - len(learning)} of "
            f"{len(self._records)} networks done, lowest accuracy of the others "
            f"{min(learning, default=1.0):.3f}"
        )


class _Shown:
    """What networks of a stack are shown of one split, on the device.

    Networks that are shown the same stimuli share them, others have a set each.
    """

    def __init__(
        self, members: Sequence[tuple[Ensemble, int]], split: str, device: torch.device
    ) -> None:
        training = split == "train"
        keys: list[Hashable] = [
            c.training_set_key(seed) if training else id(c.stimuli) for c, seed in members
        ]
        sets = dict(zip(keys, members, strict=True))
        places = {key: k for k, key in enumerate(sets)}
        self._set_of = torch.tensor([places[key] for key in keys], device=device)
        self._n = members[0][0].n_stimuli(split)
        values: list[Tensor] = []
        supervised = []
        for k, (ensemble, seed) in enumerate(sets.values()):
            # Made when it is its turn, so that one set at a time is in memory twice.
            stimuli = ensemble.training_set(seed) if training else ensemble.stimuli
            inputs, labels, _ = stimuli.part(split)
            arrays = as_rows(inputs), labels.astype(np.float32)
            rows = [padded(torch.from_numpy(array)) for array in arrays]
            if not values:
                values = [torch.empty(len(sets), *r.shape, device=device) for r in rows]
            for value, r in zip(values, rows, strict=True):
                value[k] = r.to(device)
            supervised.append(stimuli.supervised[stimuli.split == split])
        self._inputs, self._labels = values
        self._supervised: Tensor | None = None
        if not all(s.all() for s in supervised):
            counts = torch.from_numpy(np.stack(supervised).astype(np.float32))
            self._supervised = padded(counts).to(device)

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return inputs, labels, and what counts of these: each network's (network, row, ...).

        The last is None where all labels count.
        """
        # Rows of all sets, one after the other.
        places = rows + self._n * self._set_of[:, None]
        supervised = self._supervised
        return (
            self._inputs.flatten(0, 1)[places],
            self._labels.flatten(0, 1)[places],
            None if supervised is None else supervised.flatten(0, 1)[places],
        )

    def all(self) -> tuple[Tensor, Tensor]:
        """Return the inputs and labels of each network, (network, stimulus, ...)."""
        if len(self._inputs) == 1:
            n = len(self._set_of)
            return self._inputs.expand(n, -1, -1), self._labels.expand(n, -1, -1)
        return self._inputs[self._set_of], self._labels[self._set_of]

    def keep(self, members: Sequence[int]) -> None:
        """Go on with some of the networks only, and their stimuli."""
        used, self._set_of = torch.unique(self._set_of[list(members)], return_inverse=True)
        if len(used) < len(self._inputs):
            self._inputs, self._labels = self._inputs[used], self._labels[used]
            if self._supervised is not None:
                self._supervised = self._supervised[used]


class _Optimizer:
    """An optimiser of neighbouring networks of a stack that have the same settings.

    It works on views of the stacked parameters. Fused updates work on every number by itself, so
    that networks stay apart.
    """

    def __init__(self, training: Training, weights: dict[str, Tensor], places: range) -> None:
        self.training, self.places = training, places
        self.views = {name: w.detach()[places.start : places.stop] for name, w in weights.items()}
        self.torch = optimizer_of(training, list(self.views.values()))

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
