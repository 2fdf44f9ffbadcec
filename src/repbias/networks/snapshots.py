"""Snapshots: all that an analysis of networks sees of a condition at one checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from repbias.base.inputs import Task
from repbias.io.networks import SNAPSHOTS, Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.architecture import Architecture
from repbias.networks.heads import Heads

#: Bytes of representations that are in memory at a time; networks of more go one after the other.
MOST_BYTES = 2**30


@dataclass(frozen=True)
class Representations:
    """A set of stimuli, and what they evoke in every layer of every network.

    Attributes
    ----------
    labels : (stimulus, feature) classes of the outputs' features in their order, from 0
    known : feature or sub-component to its labels, (stimulus,)
    regressors : (stimulus, regressor) what varies beside the features
    layers : name to (network, stimulus, unit) float32, from input to output
    """

    labels: np.ndarray
    known: dict[str, np.ndarray]
    regressors: np.ndarray
    layers: dict[str, np.ndarray]


@dataclass(frozen=True)
class Snapshot:
    """The networks of a condition at one checkpoint; those that diverged are left out.

    Attributes
    ----------
    name : "initial", "grid", "crossing", "mastered" or "final"
    networks : the columns of a table that say which network a row is of, one entry per network
    features : names of the features, one output each
    classes : number of classes of every feature
    components : names of the features' sub-components
    targets : names of the features that training rewards; of networks that are not trained here
        all features
    analysed : the layer that is analysed where an analysis is of one
    fit : representations of the validation stimuli, on which analyses are fitted
    test : representations of the test stimuli
    final_variance : layer to the total variance of each network's final representation of the
        test stimuli, about the mean of the validation stimuli, (network,); NaN where the network
        diverged before the end
    run : the networks on the test stimuli, with a layer replaced: from its name and activations of
        it (network, stimulus, unit), as they were or changed, to the class that is reported of
        every feature, (network, stimulus, feature)
    """

    name: str
    networks: list[dict[str, Any]]
    features: list[str]
    classes: list[int]
    components: list[str]
    targets: list[str]
    analysed: str
    fit: Representations
    test: Representations
    final_variance: dict[str, np.ndarray]
    run: Callable[[str, np.ndarray], np.ndarray]


def snapshots(
    experiment: str,
    condition: str,
    networks: Networks,
    stimuli: Stimuli,
    spec: Architecture,
    every_checkpoint: bool = True,
    device: str = "cpu",
) -> Iterator[Snapshot]:
    """Go through a condition's checkpoints; the layers of one are in memory at a time.

    Parameters
    ----------
    experiment, condition
        Their names, for the tables.
    networks, stimuli, spec
        The condition's networks, stimuli and architecture.
    every_checkpoint
        All checkpoints, or only the untrained, first mastered and final networks.
    device
        Where networks run that are not stacked: "auto", "cpu", "cuda" or "mps".

    Yields
    ------
    Snapshot
        All networks of a checkpoint; several with some of them each where layers are large.
    """
    device = "cpu" if spec.stacked else device
    heads = Heads(networks.heads)
    task = Task(stimuli.shown, heads.n_outputs)
    shown = {split: stimuli.part(split) for split in ("validation", "test")}
    fixed = {
        split: (labels, stimuli.named_labels(split), stimuli.regressors(split))
        for split, (_, labels, _) in shown.items()
    }

    kept: dict[str, dict[str, np.ndarray]] = {}

    def layers(split: str, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = kept.get(split) or spec.represent(weights, shown[split][0], task, device)
        if not spec.trained:  # the final network is the only one
            kept[split] = found
        return found

    n_shown = sum(len(ids) for *_, ids in shown.values())
    each = 4 * n_shown * sum(spec.sizes(task).units.values())
    at_once = max(1, MOST_BYTES // each)
    variance = _final_variance(networks, layers, spec, at_once)
    for checkpoint, name in enumerate(map(str, networks.checkpoint_names)):
        if name not in SNAPSHOTS and not every_checkpoint:
            continue
        present = networks.present(checkpoint)
        for start in range(0, len(present), at_once):
            chosen = present[start : start + at_once]
            weights = {key: w[checkpoint, chosen] for key, w in networks.weights.items()}
            fit, test = (
                Representations(*fixed[split], layers(split, weights))
                for split in ("validation", "test")
            )
            yield Snapshot(
                name=name,
                networks=[
                    {
                        "experiment": experiment,
                        "condition": condition,
                        "network": f"seed{networks.seeds[n]}",
                        "seed": networks.seeds[n],
                        "snapshot": name,
                        "step": networks.checkpoint_steps[checkpoint, n],
                        "included": networks.included[n],
                    }
                    for n in chosen
                ],
                features=networks.features,
                classes=stimuli.classes,
                components=stimuli.components,
                targets=networks.targets or networks.features,
                analysed=spec.analysed,
                fit=fit,
                test=test,
                final_variance={layer: v[chosen] for layer, v in variance.items()},
                run=_Run(spec, weights, shown["test"][0], task, heads, device),
            )


def _final_variance(
    networks: Networks,
    layers: Callable[[str, dict[str, np.ndarray]], dict[str, np.ndarray]],
    spec: Architecture,
    at_once: int,
) -> dict[str, np.ndarray]:
    """Return the variance of every layer of every final network, NaN where there is none."""
    present = networks.present(-1)
    variance = {layer: np.full(len(networks.seeds), np.nan) for layer in spec.layers}
    for start in range(0, len(present), at_once):
        chosen = present[start : start + at_once]
        weights = {key: w[-1, chosen] for key, w in networks.weights.items()}
        fit, test = layers("validation", weights), layers("test", weights)
        for layer, found in variance.items():
            for row, n in enumerate(chosen):
                mean = fit[layer][row].astype(np.float64).mean(axis=0)
                centred = test[layer][row].astype(np.float64) - mean
                found[n] = (centred**2).sum() / len(centred)
    return variance


@dataclass(frozen=True)
class _Run:
    """Networks with a layer replaced, as a function."""

    spec: Architecture
    weights: dict[str, np.ndarray]
    inputs: Any
    task: Task
    heads: Heads
    device: str
    #: Layer to what comes after it.
    rests: dict[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)

    def __call__(self, layer: str, activations: np.ndarray) -> np.ndarray:
        if layer not in self.rests:
            self.rests[layer] = self.spec.rest(
                self.weights, self.inputs, layer, self.task, self.device
            )
        return self.heads.reported(self.rests[layer](activations))
