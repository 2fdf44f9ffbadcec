"""The file of a condition's trained networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repbias.io.hdf5 import create, get, get_columns, get_json, open_checked, put_columns, put_json

#: Checkpoints that are analysed in full: untrained, when all targets were mastered, and the end.
SNAPSHOTS = ("initial", "mastered", "final")


@dataclass
class Networks:
    """Trained networks of one condition, all seeds.

    Attributes
    ----------
    seeds : (network,) int
    features : names of the output units
    targets : names of the features that training rewards
    included : (network,) bool, whether the inclusion criterion was met on the test set
    test_accuracy : (network, feature) float
    mastery_step : (network, feature) int, first evaluated step at which validation accuracy reached
        the mastery criterion; -1 if never
    curves : "step" (evaluation,), "loss" (evaluation, network) and "accuracy" (evaluation,
        network, feature), both on the validation set; NaN after a network has stopped
    checkpoint_names : (checkpoint,) str: "initial", "grid", "crossing" (a target first reached an
        accuracy), "mastered" or "final"
    checkpoint_steps : (checkpoint, network) int, -1 where the network has no such checkpoint
    weights : parameter name to (checkpoint, network, ...) float32
    """

    seeds: np.ndarray
    features: list[str]
    targets: list[str]
    included: np.ndarray
    test_accuracy: np.ndarray
    mastery_step: np.ndarray
    curves: dict[str, np.ndarray]
    checkpoint_names: np.ndarray
    checkpoint_steps: np.ndarray
    weights: dict[str, np.ndarray]

    def snapshots(self) -> list[int]:
        """Return the indices of the named checkpoints: untrained, mastered and final."""
        return [i for i, name in enumerate(self.checkpoint_names) if name in SNAPSHOTS]

    def described(
        self, experiment: str, condition: str, checkpoint: int
    ) -> list[tuple[int, dict[str, Any]]]:
        """Return the networks that have a checkpoint: each one's index, and its columns in a table.

        Networks that diverged, with weights that are not finite, are left out.
        """
        there = np.flatnonzero(self.checkpoint_steps[checkpoint] >= 0)
        return [
            (
                int(n),
                {
                    "experiment": experiment,
                    "condition": condition,
                    "network": f"seed{self.seeds[n]}",
                    "seed": self.seeds[n],
                    "snapshot": self.checkpoint_names[checkpoint],
                    "step": self.checkpoint_steps[checkpoint, n],
                    "included": self.included[n],
                },
            )
            for n in there
            if all(np.isfinite(w[checkpoint, n]).all() for w in self.weights.values())
        ]

    def write(self, path: str | Path) -> None:
        """Write the networks file."""
        with create(path, "networks") as file:
            for name in ("features", "targets"):
                put_json(file, name, getattr(self, name))
            put_columns(
                file.create_group("networks"),
                {
                    "seed": self.seeds,
                    "included": self.included,
                    "test_accuracy": self.test_accuracy,
                    "mastery_step": self.mastery_step,
                },
            )
            put_columns(file.create_group("curves"), self.curves)
            put_columns(
                file.create_group("checkpoints"),
                {"name": self.checkpoint_names, "step": self.checkpoint_steps},
            )
            put_columns(file.create_group("weights"), self.weights)

    @classmethod
    def read(cls, path: str | Path) -> Networks:
        """Read a networks file."""
        with open_checked(path, "networks") as file:
            return cls(
                seeds=get(file, "networks/seed"),
                features=get_json(file, "features"),
                targets=get_json(file, "targets"),
                included=get(file, "networks/included"),
                test_accuracy=get(file, "networks/test_accuracy"),
                mastery_step=get(file, "networks/mastery_step"),
                curves=get_columns(file, "curves"),
                checkpoint_names=get(file, "checkpoints/name"),
                checkpoint_steps=get(file, "checkpoints/step"),
                weights=get_columns(file, "weights"),
            )
