"""What a decoder can read from a representation, and which feature it follows in a conflict."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from repbias.base.spec import RepbiasError
from repbias.networks.heads import Heads

if TYPE_CHECKING:
    from repbias.networks.snapshots import Snapshot

#: Hidden units of a nonlinear probe (Hermann & Lampinen 2020).
N_HIDDEN = 64
#: Of the nonlinear probes' training. With 150 steps, test accuracy is at least that of 1000 steps
#: on all 1024 stimuli at once, at a fiftieth of the cost.
BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 64, 1e-2, 1.0


def linear_probe(
    activations_fit: np.ndarray,
    labels_fit: np.ndarray,
    activations_test: np.ndarray,
    by_unit: bool = True,
) -> np.ndarray:
    """Decode labels by logistic regression with an L2 penalty (C = 1).

    Parameters
    ----------
    activations_fit, activations_test
        (network, stimulus, unit); standardised by mean and deviation of the fitted set.
    labels_fit
        (stimulus, label), classes from 0.
    by_unit
        Whether each unit is given deviation 1, or all units of a network the same factor (mean
        variance 1). The first lets a feature weigh by the number of units that carry it.

    Returns
    -------
    numpy.ndarray
        What is decoded, (network, test stimulus, label) uint8.

    Raises
    ------
    RepbiasError
        If a label is constant.
    """
    constant = np.flatnonzero(np.ptp(labels_fit, axis=0) == 0)
    if len(constant):
        raise RepbiasError(
            f"a probe needs stimuli of several classes; label {constant[0]} is the same for all "
            f"{len(labels_fit)}"
        )
    fit, test = _standardised(activations_fit, activations_test, by_unit)
    decoded = np.empty((len(test), test.shape[1], labels_fit.shape[1]), np.uint8)
    for n in range(len(fit)):
        for i, labels in enumerate(labels_fit.T):
            probe = LogisticRegression(max_iter=1000).fit(fit[n], labels)
            decoded[n, :, i] = probe.predict(test[n])
    return decoded


def nonlinear_probe(
    activations_fit: np.ndarray,
    labels_fit: np.ndarray,
    activations_test: np.ndarray,
    steps: int = 150,
    seed: int = 0,
) -> np.ndarray:
    """Decode labels by a network with one hidden layer of 64 rectified units (P2's probe).

    Every label of every network has a hidden layer of its own, and all are trained at once: Adam
    with decoupled weight decay, on batches of 64 stimuli, with a learning rate that falls linearly
    to 0. All start from the same weights and see the same batches, so what is decoded depends on
    nothing but the activations, the label and the seed.

    Parameters
    ----------
    activations_fit, labels_fit, activations_test
        As for :func:`linear_probe`.
    steps
        Optimiser steps.
    seed
        Of the initial weights and the batches.

    Returns
    -------
    numpy.ndarray
        What is decoded, (network, test stimulus, label) uint8.
    """
    fit, test = map(torch.from_numpy, _standardised(activations_fit, activations_test))
    n_classes = 1 + labels_fit.max(axis=0).astype(int)
    decoded = np.empty((len(test), test.shape[1], labels_fit.shape[1]), np.uint8)
    for n in np.unique(n_classes):
        chosen = np.flatnonzero(n_classes == n)
        heads = Heads.of([int(n)] * len(chosen))
        labels = torch.from_numpy(labels_fit[:, chosen].astype(np.float32))
        decoded[..., chosen] = heads.reported(_trained(fit, labels, test, heads, steps, seed))
    return decoded


def _trained(
    fit: torch.Tensor,
    labels: torch.Tensor,
    test: torch.Tensor,
    heads: Heads,
    steps: int,
    seed: int,
) -> np.ndarray:
    """Train the probes of labels with equally many classes; return logits on the test set."""
    generator = torch.Generator().manual_seed(seed)
    (n_networks, n_stimuli, n_units), n_labels = fit.shape, labels.shape[1]
    width = heads.widths[0]

    def drawn(*shape: int) -> torch.Tensor:
        """Draw weights between +-1 / sqrt(inputs), as PyTorch does."""
        return (2 * torch.rand(shape, generator=generator) - 1) / shape[0] ** 0.5

    # The labels' hidden layers side by side are one product; each is read out by itself.
    w1 = drawn(n_units, N_HIDDEN).repeat(n_networks, 1, n_labels)
    w2 = drawn(N_HIDDEN, width).T.repeat(n_networks, 1, n_labels, 1, 1)
    b1 = torch.zeros(n_networks, 1, n_labels * N_HIDDEN)
    b2 = torch.zeros(n_networks, 1, n_labels, width)
    weights = [w.requires_grad_() for w in (w1, b1, w2, b2)]

    def logits(x: torch.Tensor) -> torch.Tensor:
        hidden = torch.baddbmm(b1, x, w1).relu().unflatten(-1, (n_labels, 1, N_HIDDEN))
        return ((hidden * w2).sum(-1) + b2).flatten(2)

    optimizer = torch.optim.AdamW(weights, LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < min(BATCH_SIZE, n_stimuli):
            order = torch.randperm(n_stimuli, generator=generator)
        rows, order = order[:BATCH_SIZE], order[BATCH_SIZE:]
        target = labels[rows].expand(n_networks, -1, -1)
        loss = heads.losses(logits(fit[:, rows]), target)
        optimizer.zero_grad()
        # The mean over stimuli of each probe, summed over probes: none changes another's step.
        loss.mean(dim=1).sum().backward()
        optimizer.step()
        schedule.step()
    with torch.inference_mode():
        return logits(test).numpy()


def probes_rows(snapshot: Snapshot, probe_steps: int) -> list[dict[str, Any]]:
    """Decode every feature and sub-component from every layer.

    Probes are fitted on the validation stimuli; `accuracy` is measured on the test stimuli.
    """
    y_fit, y_test = (np.stack([*r.known.values()], axis=1) for r in (snapshot.fit, snapshot.test))
    known = dict(zip(snapshot.features, snapshot.classes, strict=True))
    n_classes = [
        known.get(name, 1 + int(max(labels.max(), snapshot.test.known[name].max())))
        for name, labels in snapshot.fit.known.items()
    ]
    rows = []
    for layer, fit in snapshot.fit.layers.items():
        test = snapshot.test.layers[layer]
        decoded = {
            "linear": linear_probe(fit, y_fit, test),
            "nonlinear": nonlinear_probe(fit, y_fit, test, steps=probe_steps),
        }
        for probe, predicted in decoded.items():
            accuracy = (predicted == y_test).mean(axis=1)
            rows += [
                {
                    **about,
                    "layer": layer,
                    "probe": probe,
                    "feature": feature,
                    "accuracy": accuracy[n, i],
                    "chance": 1 / n_classes[i],
                }
                for n, about in enumerate(snapshot.networks)
                for i, feature in enumerate(snapshot.fit.known)
            ]
    return rows


def conflict_rows(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Ask which of two features a downstream classifier follows where they disagree (M6).

    For every pair of targets with equally many classes, in their order: a linear classifier of the
    analysed layer is fitted on the validation stimuli on which both features are equal, so either
    predicts the label. `follows_a` and `follows_b` are the shares of test stimuli, out of those on
    which they differ, that it assigns to the class of the first and of the second. Lampinen, Chan
    & Hermann 2024. Units keep their variances relative to each other; `_standardised` says what
    follows if each is given the same one, as probes do.
    """
    layer, y_fit, y_test = snapshot.analysed, snapshot.fit.labels, snapshot.test.labels
    fit, test = snapshot.fit.layers[layer], snapshot.test.layers[layer]
    rows = []
    for a, b in combinations(snapshot.targets, 2):
        i, j = snapshot.features.index(a), snapshot.features.index(b)
        if snapshot.classes[i] != snapshot.classes[j]:
            continue
        agree, differ = y_fit[:, i] == y_fit[:, j], y_test[:, i] != y_test[:, j]
        if not agree.any() or not differ.any():
            raise RepbiasError(
                f"'{a}' and '{b}' need validation stimuli on which they are equal (found "
                f"{agree.sum()}) and test stimuli on which they differ (found {differ.sum()})"
            )
        follows = {}
        for suffix, by_unit in (("", False), ("_standardised", True)):
            decoded = linear_probe(fit[:, agree], y_fit[agree][:, [i]], test[:, differ], by_unit)
            for side, k in (("a", i), ("b", j)):
                correct = decoded == y_test[differ][:, [k]]
                follows[f"follows_{side}{suffix}"] = correct.mean(axis=(1, 2))
        rows += [
            {
                **about,
                "layer": layer,
                "feature_a": a,
                "feature_b": b,
                **{column: values[n] for column, values in follows.items()},
            }
            for n, about in enumerate(snapshot.networks)
        ]
    return rows


def _standardised(
    fit: np.ndarray, test: np.ndarray, by_unit: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Give every unit of the fitted set mean 0 and deviation 1, and change the test set alike.

    If not by unit, all units of a network are divided by the root of their mean variance.
    """
    mean = fit.mean(axis=1, keepdims=True, dtype=np.float64)
    deviation = fit.std(axis=1, keepdims=True, dtype=np.float64)
    if not by_unit:
        deviation[:] = np.sqrt((deviation**2).mean(axis=2, keepdims=True))
    # Units that vary by rounding only stay at 0.
    varies = deviation > 1e-6 * np.abs(fit).max(axis=1, keepdims=True)
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=varies)
    return tuple(((x - mean) * scale).astype(np.float32) for x in (fit, test))
