"""The file of generated stimuli, and what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
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

    def put(self, group: h5py.Group) -> None:
        """Write the stimuli into a group of a file."""
        put_columns(group, {"inputs": self.inputs, "id": self.ids, "split": self.split})
        for name in ("labels", "component_labels", "supervised"):
            put(group, name, getattr(self, name))
        for name in ("features", "components", "audit"):
            put_json(group, name, getattr(self, name))

    def write(self, path: str | Path) -> None:
        """Write a file of these stimuli alone."""
        with create(path, "stimuli") as file:
            self.put(file)

    @classmethod
    def read(cls, path: str | Path, name: str | None = None) -> Stimuli:
        """Read a file of stimuli; of a file with those of several conditions, the named ones."""
        with open_checked(path, "stimuli", name) as group:
            return cls(
                inputs=get(group, "inputs"),
                ids=get(group, "id"),
                split=get(group, "split"),
                features=get_json(group, "features"),
                labels=get(group, "labels"),
                components=get_json(group, "components"),
                component_labels=get(group, "component_labels"),
                supervised=get(group, "supervised"),
                audit=get_json(group, "audit"),
            )
