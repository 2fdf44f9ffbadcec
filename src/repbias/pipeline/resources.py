"""Memory (MiB) and time (minutes) of every job, as functions of its work.

As measured, with some room: tests/workflow/test_scale.py. A job that is repeated asks for twice,
three times as much. What is known only once files are there grows with their size.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from repbias.config.study import Condition
from repbias.io.stimuli import STREAMED
from repbias.pipeline import sizes
from repbias.pipeline.plan import Plan

#: Snakemake and Python themselves; with NumPy and rsatoolbox; with PyTorch.
PLAIN, NUMERIC, TORCH = 500, 700, 900


def mib(n_bytes: float) -> int:
    """Return bytes in MiB."""
    return ceil(n_bytes / 2**20)


class JobResources:
    """What the jobs of a plan ask for; every method takes the wildcards of its rule."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._study = plan, plan.study
        self._geometry = plan.study.geometry

    def stimuli_memory(self, experiment: str, batch: str) -> int:
        """One condition at a time."""
        return PLAIN + 5 * mib(self._largest(self._conditions(experiment, batch), "stimuli"))

    def stimuli_minutes(self, experiment: str, batch: str) -> int:
        """Seconds per condition."""
        return 10 + ceil(len(self._conditions(experiment, batch)) / 10)

    def training_memory(self, experiment: str, batch: str) -> int:
        """Checkpoints of all networks, which are joined at the end, and stimuli."""
        conditions = self._conditions(experiment, batch)
        files = [self._bytes(c) for c in conditions]
        held = 2 * mib(sum(f["networks"] + min(f["stimuli"], STREAMED) for f in files))
        own = max(map(sizes.training_set_bytes, conditions))
        return TORCH + held + mib(max(map(sizes.training_bytes, conditions)) + own)

    def training_minutes(self, experiment: str, batch: str) -> int:
        """Count steps: each takes time for its matrix products, and some in any case."""
        conditions = self._conditions(experiment, batch)
        steps = ((sizes.n_steps(c), sizes.seconds_per_step(c)) for c in conditions)
        return 15 + ceil(5 * sum(n * seconds for n, seconds in steps) / 60)

    def networks_memory(self, experiment: str, batch: str) -> int:
        """Of one condition, networks and what is computed of a checkpoint; of all, the tables."""
        conditions = self._conditions(experiment, batch)
        folders = ("networks", "stimuli", "activations")
        analyses = self._study.experiments[experiment].analyses
        rows = sum(sizes.n_rows(condition, analyses) for condition in conditions)
        largest = {folder: self._largest(conditions, folder) for folder in folders}
        largest["stimuli"] = min(largest["stimuli"], STREAMED)
        held = 3 * sum(mib(size) for size in largest.values())
        return TORCH + held + mib(500 * rows + max(map(sizes.training_bytes, conditions)))

    def networks_minutes(self, experiment: str, batch: str) -> int:
        """Every analysis of every network."""
        conditions = self._conditions(experiment, batch)
        analyses = self._study.experiments[experiment].analyses
        strengths = len(self._study.bias.steering_strengths)
        seconds = sum(sizes.analysis_seconds(c, analyses, strengths) for c in conditions)
        return 20 + ceil(sum(c.seeds for c in conditions) / 2) + ceil(5 * seconds / 60)

    def pictures_memory(self, experiment: str, condition: str) -> int:
        """Stimuli, and a layer of one network."""
        spec = self._plan.conditions[experiment, condition]
        held = min(self._bytes(spec)["stimuli"], STREAMED)
        layer = 8 * spec.stimuli.n_test * max(spec.sizes().units.values())
        return NUMERIC + 3 * mib(held + layer)

    def rdms_memory(self, group: str, member: str) -> int:
        """As much as is allowed, or less where there is less to compute."""
        allowed = self._geometry.max_memory_mb
        condition = self._plan.conditions.get((group, member))
        if condition is None:
            return NUMERIC + allowed
        files = self._bytes(condition)
        return NUMERIC + min(allowed, mib(2 * files["rdms"] + files["activations"]))

    def rdms_minutes(self, group: str, member: str) -> int:
        """Of a network of the user's, nothing is known before it runs."""
        condition = self._plan.conditions.get((group, member))
        return 20 + ceil(sizes.n_layer_rdms(condition) / 100) if condition else 120

    def rsa_models_memory(self, group: str) -> int:
        """All RDMs of a group, their similarities, and a table with a row for each pair."""
        if group in self._study.images:
            return NUMERIC + 3000
        conditions = self._of_experiment(group)
        rdms = sum(self._bytes(c)["rdms"] for c in conditions)
        rows = len(self._geometry.rdm_similarities) * sizes.n_pairs_of_rdms(conditions)
        return NUMERIC + mib(4 * rdms + 1000 * rows)

    def similarity_minutes(self, experiment: str) -> int:
        """Every pair of networks by every measure, also with permuted stimuli."""
        return 60 + ceil(sum(c.seeds for c in self._of_experiment(experiment)) ** 2 / 100)

    def recording_memory(self, input_mb: float) -> int:
        """Allow for a recording, what it is compared with, and what is held at once (bounded)."""
        bound = self._study.encoding.max_memory_mb + self._geometry.max_memory_mb
        return ceil(NUMERIC + 5 * input_mb + min(bound, 100 * input_mb))

    def recovery_memory(self, input_mb: float) -> int:
        """Allow for a recording, what it is compared with, and what is held of all models."""
        bound = self._study.recovery.max_memory_mb
        return ceil(NUMERIC + 5 * input_mb + min(bound, 20 * input_mb))

    def largest(
        self, activations: Mapping[tuple[str, str], int], recordings: Mapping[str, int]
    ) -> dict[str, int]:
        """Predict what the largest job of each kind takes, from the sizes of files.

        It may ask for more: rules count the files of all networks, which are read layer by layer.

        Parameters
        ----------
        activations
            (set of images, network) to the bytes of its activations, as far as known.
        recordings
            Recordings to their bytes, as far as known.

        Returns
        -------
        dict
            Of "networks" that are trained, "RDMs", "recordings": MiB.
        """
        batches, (_, with_rdms) = self._plan.batches, sizes.needed(self._plan)
        networks = [self.training_memory(*batch) for batch in batches]
        networks += [self.networks_memory(*batch) for batch in batches]
        rdms = [self.rdms_memory(*key) for key in with_rdms & self._plan.conditions.keys()]
        allowed = self._geometry.max_memory_mb
        rdms += [NUMERIC + min(allowed, mib(3 * n_bytes)) for n_bytes in activations.values()]
        analysed = [self.recording_memory(n_bytes / 1e6) for n_bytes in recordings.values()]
        found = {"networks": networks, "RDMs": rdms, "recordings": analysed}
        return {kind: max(memory) for kind, memory in found.items() if memory}

    def _conditions(self, experiment: str, batch: str) -> list[Condition]:
        return [self._plan.conditions[experiment, c] for c in self._plan.batches[experiment, batch]]

    def _of_experiment(self, experiment: str) -> list[Condition]:
        return [self._plan.conditions[experiment, c] for c in self._plan.groups[experiment]]

    def _bytes(self, condition: Condition) -> dict[str, int]:
        return sizes.condition_bytes(condition, self._geometry.n_stimuli)

    def _largest(self, conditions: list[Condition], folder: str) -> int:
        """Bytes of the largest of the conditions' files."""
        return max(self._bytes(c)[folder] for c in conditions)
