"""Simulated brains, whose generating layer is known."""

from __future__ import annotations

import zlib
from typing import Literal

import numpy as np
from pydantic import Field

from repbias.recordings.spec import Preparation
from repbias.spec import RepbiasError, nearest
from repbias.store import Activations, Recording


class SimulatedRecording(Preparation):
    """A brain whose units are random mixtures of one layer's units, plus trial noise."""

    kind: Literal["simulated"]
    """A simulated brain."""
    source: str
    """The condition that generates it, `experiment/condition`."""
    layer: str
    """The generating layer."""
    seed_of_network: int = Field(0, ge=0)
    """Which seed of the condition generates it."""
    subjects: int = Field(4, ge=1)
    """Subjects, each with mixing weights of its own."""
    units: int = Field(40, ge=2)
    """Units per subject."""
    repeats: int = Field(4, ge=1)
    """Presentations of every stimulus."""
    n_stimuli: int = Field(128, ge=4)
    """How many of the test stimuli are shown (the first ones, balanced)."""
    reliability: float = Field(0.5, gt=0, le=1)
    """Correlation of a unit's responses between two single presentations."""
    seed: int = Field(0, ge=0)
    """Seed of mixing and noise."""


def simulate(spec: SimulatedRecording, activations: Activations) -> Recording:
    """Generate the recording.

    Each unit is a zero-mean Gaussian mixture of the layer's units (weights with a mean would make
    every unit resemble the layer's average). With signal variance s² over stimuli, the noise
    variance of a trial is s² (1 - r) / r, so single presentations correlate with r, the stated
    reliability.

    Raises
    ------
    RepbiasError
        If the layer, the seed or the stimuli do not exist.
    """
    if spec.layer not in activations.layers:
        raise RepbiasError(
            f"{activations.path}: no layer {spec.layer!r}; "
            f"{nearest(spec.layer, activations.layers)}"
        )
    table = activations.networks
    rows = np.flatnonzero((table["seed"] == spec.seed_of_network) & (table["snapshot"] == "final"))
    if len(rows) != 1:
        raise RepbiasError(f"{activations.path}: no trained network of seed {spec.seed_of_network}")
    ids = activations.stimulus_ids[: spec.n_stimuli]
    if len(ids) < spec.n_stimuli:
        raise RepbiasError(
            f"{activations.path}: n_stimuli is {spec.n_stimuli}, but there are {len(ids)}"
        )
    layer = activations.read(spec.layer, int(rows[0]))[: spec.n_stimuli].astype(float)
    layer = layer - layer.mean(axis=0)

    # Brains of different layers share neither mixing nor noise, even with the same seed.
    origin = f"{spec.source}/{spec.layer}/{spec.seed_of_network}"
    rng = np.random.default_rng([spec.seed, zlib.crc32(origin.encode())])
    mixing = rng.standard_normal((layer.shape[1], spec.subjects * spec.units))
    signal = layer @ mixing
    noise_sd = signal.std(axis=0) * np.sqrt((1 - spec.reliability) / spec.reliability)
    noise = rng.standard_normal((spec.n_stimuli, spec.repeats, signal.shape[1])) * noise_sd
    responses = (signal[:, None] + noise).reshape(-1, signal.shape[1])
    subjects = np.repeat([f"subject{i + 1}" for i in range(spec.subjects)], spec.units)
    numbers = np.tile(np.arange(spec.units) + 1, spec.subjects)
    width = len(str(spec.units))
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=responses,
        trials={
            "stimulus_id": np.repeat(ids, spec.repeats),
            "repeat": np.tile(np.arange(spec.repeats), spec.n_stimuli),
        },
        units={
            "unit": np.array(
                [f"{s}/{n:0{width}d}" for s, n in zip(subjects, numbers, strict=True)]
            ),
            "subject": subjects,
            "region": np.full(len(subjects), "simulated"),
        },
        info={
            "kind": "simulated",
            "modality": "simulated",
            "source": spec.source,
            "layer": spec.layer,
            "seed_of_network": spec.seed_of_network,
            "reliability": spec.reliability,
            "preparation": spec.preparation(),
        },
    )
