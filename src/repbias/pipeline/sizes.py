"""How much a study is: bytes of its files, jobs and time, from its configuration alone.

Resources of rules are functions of these numbers, and ``repbias check`` shows them. Networks that
never master their targets have fewer snapshots, and those that stop early have fewer rows: bytes
are what is written at most.
"""

from __future__ import annotations

from collections.abc import Collection
from math import comb, prod
from typing import NamedTuple

from repbias.config.study import Condition, Study
from repbias.io.networks import SNAPSHOTS
from repbias.io.stimuli import STREAMED
from repbias.pipeline.plan import Plan
from repbias.recordings.simulate import OPTIONS

#: Bytes of an HDF5 file beside its arrays; those of stimuli have fewer parts.
FILE, STIMULI_FILE = 20_000, 3_000
#: Bytes of a table's row; of a row about the audit.
ROW, AUDITED_ROW = 100, 230


def n_checkpoints(condition: Condition) -> int:
    """Return how many checkpoints a network can have."""
    if not condition.trained:
        return n_snapshots(condition)
    training = condition.training
    n_targets = len(training.targets or condition.stimuli.targets)
    return len(SNAPSHOTS) + training.checkpoints + n_targets * len(training.checkpoint_accuracies)


def n_snapshots(condition: Condition) -> int:
    """Return how many checkpoints of a network can be analysed in full."""
    return len(SNAPSHOTS) if condition.network.trained else 1


def n_steps(condition: Condition) -> int:
    """Return the training steps of all networks, at most."""
    return condition.seeds * condition.training.max_steps * condition.trained


def n_names(condition: Condition) -> int:
    """Return the number of features and their sub-components."""
    stimuli = condition.stimuli
    return sum(1 + len(stimuli.components(name)) for name in stimuli.classes)


def n_evaluations(condition: Condition) -> int:
    """Return how often a network is evaluated at most."""
    if not condition.trained:
        return 1
    return condition.training.max_steps // condition.training.evaluate_every + 2


def n_layer_rdms(condition: Condition) -> int:
    """Return the RDMs of a condition: of every network, snapshot and layer."""
    return condition.seeds * n_snapshots(condition) * len(condition.network.layers)


class Member(NamedTuple):
    """How much there is of a condition, or of an entry of `networks`, for each set of stimuli."""

    n_layers: int
    n_networks: int = 1
    n_snapshots: int = 1

    @property
    def n_rdms(self) -> int:
        """Number of RDMs."""
        return self.n_layers * self.n_networks * self.n_snapshots


def member(plan: Plan, group: str, name: str) -> Member:
    """Return how much there is of a member of an experiment or of a set of images."""
    if group in plan.study.experiments:
        condition = plan.conditions[group, name]
        return Member(len(condition.network.layers), condition.seeds, n_snapshots(condition))
    n_layers, trained = len(plan.layers[name]), plan.shown_networks().get(name)
    return Member(n_layers, trained["seeds"], len(SNAPSHOTS)) if trained else Member(n_layers)


def rdm_bytes(n_rdms: int, n_stimuli: int) -> int:
    """Return the bytes of a file of RDMs."""
    return FILE + n_rdms * n_stimuli * (n_stimuli - 1) // 2 * 8


def seconds_per_step(condition: Condition) -> float:
    """Return about how long one network's training step takes on one core."""
    training, stimuli, sizes = condition.training, condition.stimuli, condition.sizes()
    batch = stimuli.n_train if training.batch_size == "full" else training.batch_size
    return sizes.step_seconds + sizes.stimulus_seconds * batch


def training_bytes(condition: Condition) -> int:
    """Return what training a network takes beside the files of the job, at most.

    Stacked networks are small beside what PyTorch takes.
    """
    if condition.network.stacked:
        return 0
    training, stimuli, sizes = condition.training, condition.stimuli, condition.sizes()
    if not condition.trained:
        return sizes.stimulus_bytes * sizes.batch + 4 * sizes.parameters
    batch = stimuli.n_train if training.batch_size == "full" else training.batch_size
    # Weights, gradients and the optimiser's state.
    return sizes.stimulus_bytes * max(batch, sizes.batch) + 16 * sizes.parameters


def training_set_bytes(condition: Condition) -> int:
    """Return what training sets take that are made while networks are trained, at most."""
    stimuli = condition.stimuli
    if stimuli.training_sets == "common" or not condition.trained:
        return 0
    inputs = stimuli.n_train * stimuli.inputs.n_bytes
    others = stimuli.n_train * (_row_bytes(condition) - stimuli.inputs.n_bytes)
    in_memory = min(inputs, STREAMED) if stimuli.streams else inputs
    # One is drawn at a time, which takes some copies. On a CPU ten networks are in a stack: as
    # float32, inputs, labels and which of these count, padded.
    stacked = 4 * stimuli.n_train * (prod(stimuli.inputs.shape) + 100)
    return 5 * (in_memory + others) + 10 * stacked * condition.network.stacked


def analysis_seconds(condition: Condition, analyses: Collection[str], strengths: int) -> float:
    """Return how long it takes to run networks that are not stacked for their analyses.

    Parameters
    ----------
    condition
        Its settings.
    analyses
        What is done of its networks.
    strengths
        Number of strengths of steering.
    """
    if condition.network.stacked:
        return 0
    stimuli = condition.stimuli
    snapshots = n_checkpoints(condition)
    if "variance_explained" not in analyses:
        snapshots = n_snapshots(condition)
    replaced = 1 + 20 * ("components" in analyses)
    replaced += strengths * sum(k - 1 for k in stimuli.targets.values()) * ("steering" in analyses)
    if condition.network.sequence:
        replaced = 1
    shown = snapshots * (stimuli.n_validation + stimuli.n_test)
    if condition.network.trained:
        shown += len(SNAPSHOTS) * replaced * stimuli.n_test
    # A forward pass is a third of a training step.
    return condition.seeds * shown * condition.sizes().stimulus_seconds / 3


def condition_bytes(condition: Condition, n_stimuli: int) -> dict[str, int]:
    """Return the bytes of a condition's files by folder.

    Parameters
    ----------
    condition
        Its settings.
    n_stimuli
        Stimuli of its RDMs.
    """
    stimuli, seeds, sizes = condition.stimuli, condition.seeds, condition.sizes()
    n_targets = len(stimuli.targets)
    common = stimuli.n_validation + stimuli.n_test
    common += stimuli.n_train * (stimuli.training_sets == "common")
    curve = seeds * n_evaluations(condition) * (1 + n_targets)
    weights = seeds * n_checkpoints(condition) * sizes.parameters * condition.network.trained
    patterns = seeds * n_snapshots(condition) * stimuli.n_test * sum(sizes.units.values())
    return {
        "stimuli": STIMULI_FILE + common * _row_bytes(condition),
        "networks": FILE + 8 * curve + 4 * weights,
        "activations": FILE + 4 * patterns,
        "rdms": rdm_bytes(n_layer_rdms(condition), min(n_stimuli, stimuli.n_test)),
    }


def _row_bytes(condition: Condition) -> int:
    """Return the bytes of a stimulus."""
    stimuli = condition.stimuli
    # Inputs; labels, components and what is supervised; ids.
    return stimuli.inputs.n_bytes + 2 * len(stimuli.targets) + n_names(condition) + stimuli.id_bytes


def rows_of_pairs(study: Study) -> dict[tuple[str, str], int]:
    """Return the rows of tables that compare all networks, by experiment and analysis."""
    rows = {}
    for experiment, spec in study.experiments.items():
        networks = list(study.expanded(experiment).values())
        if "rsa_models" in spec.analyses:
            n_rows = len(study.geometry.rdm_similarities) * n_pairs_of_rdms(networks)
            rows[experiment, "rsa_models"] = n_rows
        if "similarity" in spec.analyses:
            pairs = len(SNAPSHOTS) * comb(sum(c.seeds for c in networks), 2)
            rows[experiment, "similarity"] = len(study.similarity.metrics) * pairs
    return rows


def table_bytes(study: Study) -> int:
    """Return the bytes of the tables that grow with the networks, each as parts and as a whole."""
    rows = sum(rows_of_pairs(study).values())
    for experiment, spec in study.experiments.items():
        for condition in study.expanded(experiment).values():
            rows += condition.seeds * n_evaluations(condition) * len(condition.stimuli.targets)
            rows += n_rows(condition, spec.analyses)
    return 2 * (ROW * rows + AUDITED_ROW * n_audited(study))


def n_audited(study: Study) -> int:
    """Return the rows of audits of simulated recordings: shares, what remains, ranges."""
    rows = 0
    for name, spec in study.simulated().items() if study.audit.enabled else ():
        members = study.expanded(study.shown_to(name)).values()
        layers = sum(map(n_layer_rdms, members))
        n_features = len(study.condition(spec.source).stimuli.classes) + 1
        n_subjects = spec.subjects if spec.subjects > 1 else 0
        has_bins = study.geometry.time_resolved and "epoch" in OPTIONS[spec.response]
        n_times = 1 + has_bins * len(spec.times_s())
        rows += n_times * layers * n_features * (1 + n_subjects + 2)
    return rows


def n_rows(condition: Condition, analyses: Collection[str]) -> int:
    """Return the rows of the tables of a condition's networks, as far as they are many."""
    names, units = n_names(condition), condition.sizes().units
    rows = 0
    if "variance_explained" in analyses:
        rows += condition.seeds * n_checkpoints(condition) * len(units) * names
    if "units" in analyses:
        rows += condition.seeds * n_snapshots(condition) * max(units.values()) * names
    return rows


def n_pairs_of_rdms(conditions: list[Condition]) -> int:
    """Return how many pairs of an experiment's RDMs are compared, within snapshots."""
    at = [
        sum(c.seeds * len(c.network.layers) for c in conditions if n_snapshots(c) > snapshot)
        for snapshot in range(len(SNAPSHOTS))
    ]
    return sum(comb(n, 2) for n in at)


def study_bytes(study: Study, shown: dict[str, int]) -> dict[str, int]:
    """Return the bytes of the study's large files by folder, as they are when it is done.

    Activations on images are not counted: those of user models are not known before they run.

    Parameters
    ----------
    study
        The configuration.
    shown
        Number of stimuli of each set of images.
    """
    total = {"stimuli": 0, "networks": 0, "activations": 0, "rdms": 0}
    plan = Plan(study)
    with_activations, with_rdms = needed(plan)
    for experiment, name, condition in study.conditions():
        files = condition_bytes(condition, study.geometry.n_stimuli)
        total["stimuli"] += files["stimuli"]
        total["networks"] += files["networks"]
        total["activations"] += files["activations"] * ((experiment, name) in with_activations)
        total["rdms"] += files["rdms"] * ((experiment, name) in with_rdms)
    for images, network in with_rdms & {(i, n) for i in shown for n in study.networks}:
        total["rdms"] += rdm_bytes(member(plan, images, network).n_rdms, shown[images])
    total["tables"] = table_bytes(study)
    return {f: n for f, n in total.items() if n and (f == "tables" or f in study.keep)}


def needed(plan: Plan) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Return of which (experiment, condition) activations, and of which RDMs, are made."""
    study, groups = plan.study, plan.groups
    recorded = {study.shown_to(name) for name in study.recordings}
    compared = {name for name in [*recorded, *plan.analysed("rsa_models")] if name in groups}
    with_rdms = {(group, member) for group in compared for member in groups[group]}
    alone = [spec.source for spec in study.simulated().values()]
    alone += study.identification.candidates if study.identification else []
    conditions = (name.partition("/") for name in alone)
    others = {(e, c) for e in plan.analysed("similarity") for c in groups[e]}
    alone_or_drawn = {(e, c) for e, _, c in conditions} | set(plan.pictured)
    return with_rdms | others | alone_or_drawn, with_rdms


def training_hours(study: Study) -> float:
    """Return the hours of one core that training takes at most."""
    return sum(
        n_steps(condition) * seconds_per_step(condition) / 3600
        for *_, condition in study.conditions()
    )


def n_jobs(plan: Plan) -> int:
    """Return how many jobs Snakemake plans for the study where nothing is there yet."""
    study = plan.study
    activations, rdms = needed(plan)
    # Tables, those that follow from them, claims, figures, the configuration, the page, the target.
    jobs = 1 + bool(plan.derived()) + bool(study.claims or study.questions) + 4
    for (experiment, _), names in plan.batches.items():
        jobs += 2 + bool({(experiment, name) for name in names} & activations)
        jobs += bool(plan.analyses_of(experiment))
    jobs += len(rdms) + len([key for key in activations if key[0] in study.images])
    jobs += len(plan.analysed("rsa_models")) + len(plan.analysed("similarity"))
    jobs += (study.identification is not None) + (study.encryption is not None)
    # Reading or simulation, analysis, pictures.
    jobs += 3 * len(study.recordings) + len(plan.common_stimuli)
    # Of generated images, and of networks that see them.
    jobs += bool(plan.with_images) + len(plan.pictured) + bool(plan.attended)
    jobs += sum(map(len, (plan.audited_recordings(), plan.audited_networks())))
    jobs += sum(map(len, (plan.audited_pairs(), plan.with_statistics())))
    jobs += sum(map(len, (plan.recovered_recordings(), plan.recovered_shares())))
    return jobs + sum(len(plan.recordings_of(t)) for t in plan.by_activations())
