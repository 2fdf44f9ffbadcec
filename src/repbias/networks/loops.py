"""Train networks that are PyTorch modules, one at a time, as stacks are trained."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from repbias.base.inputs import as_seen
from repbias.base.spec import RepbiasError
from repbias.networks.architecture import BATCH
from repbias.networks.ensembles import Batches, Ensemble, Record, optimizer_of
from repbias.networks.forward import built, hooked, same
from repbias.networks.manipulations import Manipulator
from repbias.networks.modules import Modules

logger = logging.getLogger(__name__)

#: Training stimuli from which running statistics of an untrained network are estimated, at most.
CALIBRATION = 2048


class Loop:
    """One network, and all that it is trained with.

    It depends on its seed and condition only: its initial weights, batches, dropout and noise are
    drawn from streams of its own, and so are the random numbers of the module's own layers.

    Parameters
    ----------
    ensemble
        What the network belongs to.
    seed
        Of the network.
    device
        Where it is trained.
    """

    def __init__(self, ensemble: Ensemble, seed: int, device: torch.device) -> None:
        assert isinstance(ensemble.network, Modules)
        self._ensemble, self._seed, self._device = ensemble, seed, device
        self._training, self._heads = ensemble.training, ensemble.heads
        self._layers = ensemble.network.layers
        self._teacher_forced = ensemble.network.teacher_forced
        weights_seed = ensemble.weights_seed(seed)
        self._module = built(ensemble.network, ensemble.task, weights_seed).to(device)
        self._parameters = dict(self._module.named_parameters())
        self._record = Record(ensemble, self._weights())
        stimuli, shown = ensemble.stimuli, ensemble.training_set(seed)
        self._inputs, self._labels, _ = shown.part("train")
        self._supervised = shown.supervised[shown.split == "train"]
        self._validation = stimuli.part("validation")
        self._evaluated = ensemble.network.sizes(ensemble.task).batch
        self._manipulator = Manipulator(
            [ensemble.training], [seed], [ensemble.targets], stimuli.features
        )
        self._batches = Batches(ensemble, [seed], device)
        is_target = np.isin(stimuli.features, ensemble.targets)
        self._target_weights = is_target / is_target.sum()
        self._optimizer = optimizer_of(ensemble.training, list(self._module.parameters()))

    def train(self) -> Record:
        """Train until the network is done."""
        started = reported = time.monotonic()
        step, done = 0, False
        with self._random_numbers():
            self._calibrate()
            while True:
                if step % self._training.evaluate_every == 0 or step == self._training.max_steps:
                    done = self._evaluate(step)
                    if time.monotonic() - reported > 5:
                        reported = time.monotonic()
                        logger.info("%s", self._progress(step))
                if step in self._record.grid:
                    self._record.checkpoint(step, self._weights)
                if done:
                    break
                self._step(step)
                step += 1
        self._refuse_hidden_state()
        logger.info("%s; %.1f s", self._progress(step), time.monotonic() - started)
        return self._record

    @torch.no_grad()
    def _refuse_hidden_state(self) -> None:
        """Refuse a network that has learned something beside its parameters and buffers."""
        spec = self._ensemble.network
        assert isinstance(spec, Modules)
        other = built(spec, self._ensemble.task, 0).to(self._device).eval()
        x = torch.from_numpy(as_seen(np.asarray(self._validation[0][:8]))).to(self._device)
        state = self._module.state_dict()
        found = functional_call(other, state, (x,), tie_weights=False)
        expected = self._module.eval()(x)
        if expected.isfinite().all() and not same(found, expected):
            raise RepbiasError(
                "network: after training, the model computes something else than another one of "
                "the same parameters and buffers; register what changes as a buffer"
            )

    def _step(self, step: int) -> None:
        rows = self._batches.next()[0].cpu().numpy()
        x = torch.from_numpy(as_seen(self._inputs[rows])).to(self._device)
        labels = torch.from_numpy(self._labels[rows].astype(np.float32)).to(self._device)
        low = self._training.precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16) if low else nullcontext():
            logits = self._run((x, labels) if self._teacher_forced else (x,))
        losses = self._heads.losses(logits.float(), labels) * self._loss_weights
        if not self._supervised.all():
            losses = losses * torch.from_numpy(self._supervised[rows]).to(losses)
        self._optimizer.zero_grad()
        (losses.sum() / len(losses)).backward()
        for group in self._optimizer.param_groups:
            group["lr"] = self._record.rate(step) * self._training.learning_rate
        self._optimizer.step()

    def _run(self, given: tuple[Tensor, ...]) -> Tensor:
        """Run the network as the manipulations of training want it."""
        training = self._training
        with hooked(self._module, self._layers if training.dropout else [], self._silenced):
            if not training.parameter_noise:
                logits: Tensor = self._module(*given)
                return logits
            stacked = {name: w[None] for name, w in self._parameters.items()}
            shapes = {name: tuple(w.shape) for name, w in self._parameters.items()}
            noisy = self._manipulator.weights(stacked, shapes)
            noisy_logits: Tensor = functional_call(
                self._module, {name: w[0] for name, w in noisy.items()}, given
            )
            return noisy_logits

    def _silenced(self, _: str, output: Tensor) -> Tensor:
        flat = output.flatten(1)[None]
        silenced = self._manipulator.hidden(flat, flat.shape[-1])[0]
        return silenced.reshape(output.shape).to(output.dtype)

    @torch.no_grad()
    def _evaluate(self, step: int) -> bool:
        """Take note of loss and accuracy on the validation stimuli; say whether it is done."""
        inputs, labels, _ = self._validation
        self._module.eval()
        losses, reported = [], []
        for start in range(0, len(labels), self._evaluated):
            rows = slice(start, start + self._evaluated)
            x = torch.from_numpy(as_seen(np.asarray(inputs[rows]))).to(self._device)
            logits = self._module(x).float().cpu()
            wanted = torch.from_numpy(labels[rows].astype(np.float32))
            losses.append(self._heads.losses(logits, wanted).double().numpy())
            reported.append(self._heads.reported(logits.numpy()))
        accuracy = (np.concatenate(reported) == labels).mean(axis=0)
        loss = float(np.concatenate(losses).mean(axis=0) @ self._target_weights)
        done = self._record.evaluated(step, loss, accuracy, self._weights)
        mastered = self._record.mastery_step[None] >= 0
        rewarded = self._manipulator.rewarded(mastered)[0] * self._target_weights
        self._loss_weights = torch.from_numpy(rewarded.astype(np.float32)).to(self._device)
        # Here, and not before every step: it goes through all modules.
        self._module.train()
        return done

    @torch.no_grad()
    def _calibrate(self) -> None:
        """Let normalisation layers know the statistics of training stimuli before training.

        They start with mean 0 and variance 1, which is wrong of any network, so that an untrained
        one could not be compared with others. What is learned does not depend on them.
        """
        norms: list[Any] = [m for m in self._module.modules() if _has_running_statistics(m)]
        if not norms:
            return
        self._module.eval()
        usual = [m.momentum for m in norms]
        for m in norms:
            m.train()
            m.momentum = None  # the mean over all batches
        size = min(self._ensemble.batch_size, BATCH)
        for start in range(0, min(len(self._labels), CALIBRATION) - size + 1, size):
            x = as_seen(np.asarray(self._inputs[start : start + size]))
            self._module(torch.from_numpy(x).to(self._device))
        for m, momentum in zip(norms, usual, strict=True):
            m.momentum = momentum
            m.num_batches_tracked.zero_()

    @contextmanager
    def _random_numbers(self) -> Iterator[None]:
        """Give the module's own layers, such as its dropout, random numbers of this network."""
        cuda = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            # Stream 4: initial weights, batches, dropout and noise have those before.
            stream = np.random.SeedSequence([self._seed, 4]).generate_state(1, np.uint64)
            torch.manual_seed(int(stream[0] >> np.uint64(1)))
            yield

    def _weights(self) -> Mapping[str, np.ndarray]:
        state = self._module.state_dict()
        return {name: w.detach().cpu().numpy() for name, w in state.items()}

    def _progress(self, step: int) -> str:
        return (
            f"seed {self._seed}: step {step} of at most {self._training.max_steps}, "
            f"lowest accuracy of a target {self._record.worst:.3f}"
        )


def _has_running_statistics(module: nn.Module) -> bool:
    norms = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm
    return isinstance(module, norms) and module.running_mean is not None
