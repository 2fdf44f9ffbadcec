"""The file of a condition's trained networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from repbias.io.hdf5 import create, get, get_columns, get_json, open_checked, put_columns, put_json

#: Checkpoints that are analysed in full: untrained, when all targets were mastered, and the end.
SNAPSHOTS = ("initial", "mastered", "final")


def diverged(weights: Mapping[str, np.ndarray], steps: np.ndarray, checkpoint: int, n: int) -> bool:
    """Say whether a network's numbers are not finite at a checkpoint.

    Infinities among other numbers are meant where none of them ever changes: those of a mask.
    """
    for w in weights.values():
        if not np.isfinite(w[checkpoint, n]).all():
            kept = w[steps[:, n] >= 0, n]
            if not np.isfinite(kept[0]).any() or (kept != kept[0]).any():
                return True
    return False


@dataclass
class Networks:
    """Trained networks of one condition, all seeds.

    Attributes
    ----------
    seeds : (network,) int
    features : names of the features that the outputs report
    targets : names of the features that training rewards; none of a network that is not trained
        here
    included : (network,) bool, whether the inclusion criterion was met on the test set
    test_accuracy : (network, feature) float
    mastery_step : (network, feature) int, first evaluated step at which validation accuracy reached
        the mastery criterion; -1 if never
    curves : "step" (evaluation,), "loss" (evaluation, network) and "accuracy" (evaluation,
        network, feature), both on the validation set; NaN after a network has stopped
    checkpoint_names : (checkpoint,) str: "initial", "grid", "crossing" (a target first reached an
        accuracy), "mastered" or "final"
    checkpoint_steps : (checkpoint, network) int, -1 where the network has no such checkpoint
    weights : parameter name to (checkpoint, network, ...), float32 but for counters of a module's
    recipe : all that a network depends on beside its seed; with the same recipe, the same networks
    heads : number of logits of every feature that the networks were trained to report: 1 for two
        classes (a sigmoid), else one for each class; one of every feature when left out
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
    recipe: dict[str, Any] = field(default_factory=dict)
    heads: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.heads = self.heads or [1] * len(self.features)

    @classmethod
    def as_given(cls, features: list[str]) -> Networks:
        """Return a network that is not trained here, of which there is nothing to keep.

        It is included, has one snapshot, the final one at step 0, and no targets.
        """
        n = len(features)
        return cls(
            seeds=np.zeros(1, int),
            features=features,
            targets=[],
            included=np.ones(1, bool),
            test_accuracy=np.full((1, n), np.nan),
            mastery_step=np.full((1, n), -1),
            curves=_no_curves(1, n),
            checkpoint_names=np.array(["final"]),
            checkpoint_steps=np.zeros((1, 1), int),
            weights={},
        )

    def shown_others(self, features: list[str]) -> Networks:
        """Return these networks as they are shown stimuli of other features, or other values.

        What they report is about their own features, so nothing is known of their accuracy.
        Checkpoints other than snapshots are left out.
        """
        chosen, shape = self.snapshots(), (len(self.seeds), len(features))
        return replace(
            self,
            features=features,
            targets=[target for target in self.targets if target in features],
            test_accuracy=np.full(shape, np.nan),
            mastery_step=np.full(shape, -1),
            curves=_no_curves(*shape),
            checkpoint_names=self.checkpoint_names[chosen],
            checkpoint_steps=self.checkpoint_steps[chosen],
            weights={name: w[chosen] for name, w in self.weights.items()},
            recipe={},
        )

    def snapshots(self) -> list[int]:
        """Return the indices of the named checkpoints: untrained, mastered and final."""
        return [i for i, name in enumerate(self.checkpoint_names) if name in SNAPSHOTS]

    def present(self, checkpoint: int) -> list[int]:
        """Return the indices of the networks that have a checkpoint.

        Networks that diverged are left out.
        """
        steps = self.checkpoint_steps
        found = map(int, np.flatnonzero(steps[checkpoint] >= 0))
        return [n for n in found if not diverged(self.weights, steps, checkpoint, n)]

    def of_seeds(self, seeds: Sequence[int]) -> Networks:
        """Return the networks of some of the seeds, in that order."""
        chosen = [self.seeds.tolist().index(seed) for seed in seeds]
        loss = self.curves["loss"][:, chosen]
        # A step at which none of them was evaluated is no step of their curves.
        steps = ~np.isnan(self.curves["accuracy"][:, chosen]).all(axis=(1, 2))
        return replace(
            self,
            seeds=self.seeds[chosen],
            included=self.included[chosen],
            test_accuracy=self.test_accuracy[chosen],
            mastery_step=self.mastery_step[chosen],
            curves={
                "step": self.curves["step"][steps],
                "loss": loss[steps],
                "accuracy": self.curves["accuracy"][steps][:, chosen],
            },
            checkpoint_steps=self.checkpoint_steps[:, chosen],
            weights={name: w[:, chosen] for name, w in self.weights.items()},
        )

    def with_others(self, others: Networks) -> Networks:
        """Return these networks and others of the same condition, by seed."""
        both = (self, others)
        seeds = np.concatenate([n.seeds for n in both])
        order = np.argsort(seeds, kind="stable")

        def joined(name: str, axis: int = 0) -> np.ndarray:
            return np.concatenate([getattr(n, name) for n in both], axis).take(order, axis)

        steps = np.union1d(*(n.curves["step"] for n in both))
        curves = {"step": steps}
        for name in ("loss", "accuracy"):
            values = []
            for n in both:
                curve = n.curves[name]
                value = np.full((len(steps), *curve.shape[1:]), np.nan)
                value[np.searchsorted(steps, n.curves["step"])] = curve
                values.append(value)
            curves[name] = np.concatenate(values, axis=1)[:, order]
        return replace(
            self,
            seeds=seeds[order],
            included=joined("included"),
            test_accuracy=joined("test_accuracy"),
            mastery_step=joined("mastery_step"),
            curves=curves,
            checkpoint_steps=joined("checkpoint_steps", axis=1),
            weights={
                name: np.concatenate([n.weights[name] for n in both], axis=1)[:, order]
                for name in self.weights
            },
        )

    def put(self, group: h5py.Group) -> None:
        """Write the networks into a group of a file."""
        for name in ("features", "heads", "targets", "recipe"):
            put_json(group, name, getattr(self, name))
        put_columns(
            group.create_group("networks"),
            {
                "seed": self.seeds,
                "included": self.included,
                "test_accuracy": self.test_accuracy,
                "mastery_step": self.mastery_step,
            },
        )
        put_columns(group.create_group("curves"), self.curves)
        put_columns(
            group.create_group("checkpoints"),
            {"name": self.checkpoint_names, "step": self.checkpoint_steps},
        )
        put_columns(group.create_group("weights"), self.weights)

    def write(self, path: str | Path) -> None:
        """Write a file of these networks alone."""
        with create(path, "networks") as file:
            self.put(file)

    @staticmethod
    def read_recipe(path: str | Path, name: str | None = None) -> dict[str, Any]:
        """Read the recipe alone."""
        with open_checked(path, "networks", name) as group:
            recipe: dict[str, Any] = get_json(group, "recipe")
            return recipe

    @classmethod
    def read(cls, path: str | Path, name: str | None = None) -> Networks:
        """Read a file of networks; of a file with several conditions, those of the named one."""
        with open_checked(path, "networks", name) as group:
            return cls(
                seeds=get(group, "networks/seed"),
                features=get_json(group, "features"),
                heads=get_json(group, "heads"),
                targets=get_json(group, "targets"),
                included=get(group, "networks/included"),
                test_accuracy=get(group, "networks/test_accuracy"),
                mastery_step=get(group, "networks/mastery_step"),
                curves=get_columns(group, "curves"),
                checkpoint_names=get(group, "checkpoints/name"),
                checkpoint_steps=get(group, "checkpoints/step"),
                weights=get_columns(group, "weights"),
                recipe=get_json(group, "recipe"),
            )


def _no_curves(n_networks: int, n_features: int) -> dict[str, np.ndarray]:
    """Return curves of networks that are not trained here: one evaluation, without numbers."""
    return {
        "step": np.zeros(1, int),
        "loss": np.full((1, n_networks), np.nan),
        "accuracy": np.full((1, n_networks, n_features), np.nan),
    }
