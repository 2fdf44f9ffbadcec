"""Train the networks of one condition, or of many."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from repbias.io.networks import Networks
from repbias.networks.device import (
    device_name,
    free_memory,
    in_chunks,
    pick_device,
    reproducible,
    stack_size,
)
from repbias.networks.ensembles import Ensemble, Record, joined
from repbias.networks.loops import Loop
from repbias.networks.stacked_training import Stack, bytes_per_network, shape_of

if TYPE_CHECKING:
    from repbias.io.stimuli import Stimuli
    from repbias.networks.architecture import Architecture
    from repbias.networks.spec import Training
    from repbias.stimuli.family import StimulusFamily

logger = logging.getLogger(__name__)


def train(
    stimuli: Stimuli,
    network: Architecture,
    training: Training,
    seeds: Sequence[int],
    device: str = "auto",
    family: StimulusFamily | None = None,
) -> Networks:
    """Train one network per seed; :func:`train_ensembles` for a single condition."""
    return train_ensembles([Ensemble(stimuli, network, training, seeds, family)], device)[0]


def train_ensembles(ensembles: Sequence[Ensemble], device: str = "auto") -> list[Networks]:
    """Train the networks of many conditions; perceptrons are stacked where their shapes agree.

    A network's training set, initial weights, batches and noise depend on its own seed and
    condition only, and members of a stack do not interact, so a network is the same alone and in
    any company.

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
        shape = shape_of(ensemble) if ensemble.network.stacked else i
        by_shape.setdefault(shape, []).extend((i, seed) for seed in ensemble.seeds)

    def work(chosen: Sequence[tuple[int, int]]) -> list[Record]:
        members = [(ensembles[i], seed) for i, seed in chosen]
        if members[0][0].network.stacked:
            return Stack(members, where).train()
        return [Loop(ensemble, seed, where).train() for ensemble, seed in members]

    records: dict[tuple[int, int], Record] = {}
    for members in by_shape.values():
        size = 1
        if ensembles[members[0][0]].network.stacked:
            each = max(bytes_per_network(ensembles[i]) for i in {i for i, _ in members})
            size = stack_size(where.type, free_memory(where), each)
        logger.info(
            "training %d networks, at most %d at a time, on %s",
            *(len(members), size, device_name(where)),
        )
        with reproducible(where):
            for chosen, trained in in_chunks(members, size, work, "network"):
                records.update(zip(chosen, trained, strict=True))
    return [
        joined(ensemble, [records[i, seed] for seed in ensemble.seeds])
        for i, ensemble in enumerate(ensembles)
    ]
