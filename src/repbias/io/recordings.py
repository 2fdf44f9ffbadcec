"""The canonical file of a recording, and what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from repbias.io.blocks import Block, Blocks, Responses
from repbias.io.hdf5 import (
    create,
    get,
    get_columns,
    get_json,
    open_checked,
    put,
    put_columns,
    put_json,
    reading,
)
from repbias.io.untrusted import member


@dataclass
class Recording:
    """A canonical recording: trial responses of many units, or only RDMs.

    Attributes
    ----------
    responses : (trial, unit) or (trial, unit, time) float; NaN where a unit was not observed; in
        blocks where subjects have trials of their own
    trials : columns "stimulus_id", "repeat", and any further columns of the source
    units : columns "unit", "subject", "region", and any further columns of the source
    stimuli : columns "stimulus_id" and any further columns of the stimulus set
    standard_errors : (trial, unit), of responses that are averages, if the source has them
    rdms : (rdm, pair) float, row-major upper triangles with stimuli in the order of `stimuli`
    rdm_info : columns "subject" and any further columns of the source
    info : metadata, such as modality, response_unit, source, and "times_s", the bin centres
    """

    stimuli: dict[str, np.ndarray]
    responses: Responses | None = None
    trials: dict[str, np.ndarray] = field(default_factory=dict)
    units: dict[str, np.ndarray] = field(default_factory=dict)
    standard_errors: np.ndarray | None = None
    rdms: np.ndarray | None = None
    rdm_info: dict[str, np.ndarray] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def stimulus_ids(self) -> np.ndarray:
        """Ids of the stimuli, in the recording's order."""
        return self.stimuli["stimulus_id"]

    def write(self, path: str | Path) -> None:
        """Write the canonical recording file."""
        with create(path, "recording") as file:
            put_columns(file.create_group("stimuli"), self.stimuli)
            put_json(file, "info", self.info)
            if self.responses is not None:
                _put_responses(file, self.responses)
                put_columns(file.create_group("trials"), self.trials)
                put_columns(file.create_group("units"), self.units)
            if self.standard_errors is not None:
                put(file, "standard_errors", self.standard_errors)
            if self.rdms is not None:
                put(file, "rdms", self.rdms)
                put_columns(file.create_group("rdm_info"), self.rdm_info)

    @classmethod
    def read(cls, path: str | Path) -> Recording:
        """Read a canonical recording file."""
        with open_checked(path, "recording") as file:
            recording = cls(stimuli=get_columns(file, "stimuli"), info=get_json(file, "info"))
            if "responses" in file or "blocks" in file:
                recording.responses = _get_responses(file)
                recording.trials = get_columns(file, "trials")
                recording.units = get_columns(file, "units")
            if "standard_errors" in file:
                recording.standard_errors = get(file, "standard_errors")
            if "rdms" in file:
                recording.rdms = get(file, "rdms")
                recording.rdm_info = get_columns(file, "rdm_info")
            return recording


def _put_responses(file: h5py.Group, responses: Responses) -> None:
    """Write one array, or a group for every block."""
    if isinstance(responses, np.ndarray):
        put(file, "responses", responses)
        return
    blocks = file.create_group("blocks")
    put_json(blocks, "shape", responses.shape)
    for number, block in enumerate(responses.blocks):
        group = blocks.create_group(f"{number:04d}")
        put_columns(group, {"trials": block.trials, "units": block.units, "values": block.values})


def _get_responses(file: h5py.Group) -> Responses:
    if "responses" in file:
        return get(file, "responses")
    with reading(file):
        group = member(file.file.filename, file, "blocks")
        names = sorted(group.keys())
    found = tuple(Block(**get_columns(group, name)) for name in names)
    return Blocks(tuple(get_json(group, "shape")), found)
