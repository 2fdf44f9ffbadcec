"""The file of generated stimuli, and what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from repbias.io.hdf5 import create, get, get_json, open_checked, put, put_columns, put_json


@dataclass
class Stimuli:
    """Generated stimuli.

    Attributes
    ----------
    inputs : (stimulus, input) float32
    ids : (stimulus,) str
    split : (stimulus,) str, one of "train", "validation", "test"
    features : names of the features, one output unit each
    labels : (stimulus, feature) uint8
    components : names of the features' sub-components, such as "hard.xor12"
    component_labels : (stimulus, component) uint8
    supervised : (stimulus, feature) bool, whether the training loss includes this label
    audit : results of the independence audit, by split
    """

    inputs: np.ndarray
    ids: np.ndarray
    split: np.ndarray
    features: list[str]
    labels: np.ndarray
    components: list[str]
    component_labels: np.ndarray
    supervised: np.ndarray
    audit: dict[str, Any] = field(default_factory=dict)

    def part(self, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the inputs, labels and ids of one split."""
        rows = self.split == split
        return self.inputs[rows], self.labels[rows], self.ids[rows]

    def named_labels(self, split: str) -> dict[str, np.ndarray]:
        """Return the labels of every feature and sub-component in one split, by name."""
        rows = self.split == split
        names = [*self.features, *self.components]
        columns = [*self.labels[rows].T, *self.component_labels[rows].T]
        return dict(zip(names, columns, strict=True))

    def write(self, path: str | Path) -> None:
        """Write the stimuli file."""
        with create(path, "stimuli") as file:
            put_columns(file, {"inputs": self.inputs, "id": self.ids, "split": self.split})
            for name in ("labels", "component_labels", "supervised"):
                put(file, name, getattr(self, name))
            for name in ("features", "components", "audit"):
                put_json(file, name, getattr(self, name))

    @classmethod
    def read(cls, path: str | Path) -> Stimuli:
        """Read a stimuli file."""
        with open_checked(path, "stimuli") as file:
            return cls(
                inputs=get(file, "inputs"),
                ids=get(file, "id"),
                split=get(file, "split"),
                features=get_json(file, "features"),
                labels=get(file, "labels"),
                components=get_json(file, "components"),
                component_labels=get(file, "component_labels"),
                supervised=get(file, "supervised"),
                audit=get_json(file, "audit"),
            )
