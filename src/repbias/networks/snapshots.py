"""Snapshots: all that an analysis of networks sees of a condition at one checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from repbias.io.networks import SNAPSHOTS, Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.mlp import hidden_layers, outputs_from
from repbias.networks.spec import MLP


@dataclass(frozen=True)
class Representations:
    """A set of stimuli, and what they evoke in every layer of every network.

    Attributes
    ----------
    inputs : (stimulus, input) float32
    labels : (stimulus, feature) 0 or 1, of the outputs' features in their order
    known : feature or sub-component to its labels, (stimulus,)
    layers : name to (network, stimulus, unit) float32, from input to output
    """

    inputs: np.ndarray
    labels: np.ndarray
    known: dict[str, np.ndarray]
    layers: dict[str, np.ndarray]


@dataclass(frozen=True)
class Snapshot:
    """The networks of a condition at one checkpoint; those that diverged are left out.

    Attributes
    ----------
    name : "initial", "grid", "crossing", "mastered" or "final"
    networks : the columns of a table that say which network a row is of, one entry per network
    features : names of the features, one output each
    components : names of the features' sub-components
    targets : names of the features that training rewards
    analysed : the layer that is analysed where an analysis is of one
    fit : representations of the validation stimuli, on which analyses are fitted
    test : representations of the test stimuli
    final_variance : layer to the total variance of each network's final representation of the
        test stimuli, about the mean of the validation stimuli, (network,); NaN where the network
        diverged before the end
    run : the rest of the networks: from a layer's name and activations of it (network, stimulus,
        unit), as they were or changed, to logits (network, stimulus, output)
    """

    name: str
    networks: list[dict[str, Any]]
    features: list[str]
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
    spec: MLP,
    every_checkpoint: bool = True,
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
    """

    def represented(split: str, weights: dict[str, np.ndarray]) -> Representations:
        inputs, labels, _ = stimuli.part(split)
        layers = dict(zip(spec.layers, hidden_layers(weights, inputs, spec), strict=True))
        return Representations(inputs, labels, stimuli.named_labels(split), layers)

    variance = _final_variance(networks, stimuli, spec)
    for checkpoint, name in enumerate(map(str, networks.checkpoint_names)):
        if name not in SNAPSHOTS and not every_checkpoint:
            continue
        present = networks.present(checkpoint)
        if not present:
            continue
        weights = {key: w[checkpoint, present] for key, w in networks.weights.items()}
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
                for n in present
            ],
            features=networks.features,
            components=stimuli.components,
            targets=networks.targets,
            analysed=spec.analysed,
            fit=represented("validation", weights),
            test=represented("test", weights),
            final_variance={layer: v[present] for layer, v in variance.items()},
            run=_Rest(weights, spec, len(networks.features)),
        )


def _final_variance(networks: Networks, stimuli: Stimuli, spec: MLP) -> dict[str, np.ndarray]:
    """Return the variance of every layer of every final network, NaN where there is none."""
    present = networks.present(-1)
    variance = {layer: np.full(len(networks.seeds), np.nan) for layer in spec.layers}
    if not present:
        return variance
    weights = {key: w[-1, present] for key, w in networks.weights.items()}
    fit, test = (
        hidden_layers(weights, stimuli.part(split)[0], spec) for split in ("validation", "test")
    )
    for layer, a, b in zip(spec.layers, fit, test, strict=True):
        for row, n in enumerate(present):
            mean = a[row].astype(np.float64).mean(axis=0)
            centred = b[row].astype(np.float64) - mean
            variance[layer][n] = (centred**2).sum() / len(centred)
    return variance


@dataclass(frozen=True)
class _Rest:
    """What comes after a layer of networks, as a function."""

    weights: dict[str, np.ndarray]
    spec: MLP
    n_outputs: int

    def __call__(self, layer: str, activations: np.ndarray) -> np.ndarray:
        return outputs_from(self.weights, layer, activations, self.spec, self.n_outputs)
