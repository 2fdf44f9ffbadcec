"""How long a study takes, step by step, from the sizes of its data.

Predictions are in seconds of one core, for a run from the beginning. They are there to tell minutes
from hours: on the machine that they were measured on (two cores of a server, 2026, one thread per
job), a run takes between half and twice as long, the less where networks master their tasks early.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import comb
from typing import NamedTuple

import numpy as np

from repbias.config.study import Condition, Study
from repbias.pipeline import sizes
from repbias.pipeline.plan import Plan

# Measured by Snakemake's benchmarks of runs on an idle machine: of config.yaml and
# tests/workflow/tiny.yaml (networks that are trained) and studies/v4.yaml (models of one's own).
# Each constant is the time of a job, less that of its start, per unit of work.
#: Snakemake itself; of every job, its process and imports.
SNAKEMAKE, START = 7.0, 1.6
#: Variance explained: of a network at a checkpoint; per stimulus and unit.
CHECKPOINT, EXPLAINED = 0.01, 3e-8
#: Other analyses of a snapshot of a network; probes take 150 steps.
OF_SNAPSHOT = {"probes": 0.5, "conflict": 0.05}
OF_SNAPSHOT_OTHER = 0.02
#: An RDM of a layer per stimulus², of networks of this package and of larger ones.
SMALL_RDM, LARGE_RDM = 1e-7, 5e-7
#: A comparison of two RDMs: a row of the table; per pair of stimuli.
ROW, COMPARISON = 3e-5, 1e-9
#: Another measure of similarity between two networks; per permutation too, and per reliability.
SIMILARITY = 5e-4
#: Encrypted computations.
ENCRYPTION = 8.0
#: A bootstrap sample or permutation of a recording's RDMs, per pair of stimuli: drawing; per model.
SAMPLE, SAMPLE_OF_MODEL = 7e-8, 4e-10
#: A fitted model.
FITTED = 0.05
#: A layer whose score is divided; per stimulus².
AUDITED, AUDITED_STIMULI = 0.012, 4e-7
#: A simulated brain's score with a layer by a measure, per stimulus² and unit; preparing a layer,
#: per stimulus³; dividing a brain's score among features, per stimulus².
RECOVERED, RECOVERED_LAYER, RECOVERED_SHARES = 3.5e-10, 2e-9, 1e-5
#: An encoding model of a layer: itself; per unit; per stimulus³; per stimulus², unit, permutation.
LAYER, LAYER_UNIT, DECOMPOSITION, PERMUTATION = 0.01, 2e-4, 1e-9, 1e-10
#: Figures; the pictures of a recording or a network; the page with its tables; a claim.
FIGURE, PICTURES, PAGE, CLAIM = 0.4, 1.3, 5.0, 0.2


class RecordingSize(NamedTuple):
    """What a recording's analyses take depends on it; without units if it is of RDMs."""

    n_stimuli: int
    n_units: int
    n_times: int = 1
    n_bytes: int = 0


def simulated_sizes(study: Study) -> dict[str, RecordingSize]:
    """Return the sizes of simulated recordings, which are known from the configuration."""
    return {
        name: RecordingSize(
            spec.n_stimuli,
            spec.units * spec.subjects,
            n_bytes=8 * spec.n_stimuli * spec.repeats * spec.units * spec.subjects,
        )
        for name, spec in study.simulated().items()
    }


def seconds_by_step(
    plan: Plan,
    shown: Mapping[str, int],
    recordings: Mapping[str, RecordingSize],
    models: Mapping[tuple[str, str], float],
) -> dict[str, float]:
    """Predict the seconds of one core that each step takes.

    Parameters
    ----------
    plan
        What the study makes.
    shown
        Set of images to its number of stimuli, as far as known.
    recordings
        The recordings' sizes, as far as known.
    models
        (set of images, network) to the seconds that the network takes for all of them.

    Returns
    -------
    dict
        "training", at most, as networks stop when they master their targets; "analyses" of networks
        that are trained; running "models" of one's own; "RSA", with RDMs; "audit"; "recovery";
        "encoding"; "figures" and the page; "starting jobs". Steps that take no time are left out.
    """
    study = plan.study
    steps = {
        "training": 3600 * sizes.training_hours(study),
        "analyses": sum(_networks(plan).values()),
        "models": sum(models.values()),
        "RSA": _rdms(plan, shown)
        + sum(_rsa(plan, name, size) for name, size in recordings.items()),
        "audit": sum(
            _audit(plan, name, recordings[name])
            for name in plan.audited_recordings()
            if name in recordings
        ),
        "recovery": sum(
            _recovery(plan, name, recordings[name])
            for name in plan.recovered_recordings()
            if name in recordings
        ),
        "encoding": sum(_encoding(plan, name, size) for name, size in recordings.items()),
        "figures": FIGURE * len(plan.figures())
        + PICTURES * (len(study.recordings) + len(plan.pictured) + bool(plan.with_images))
        + PICTURES * len(plan.attended)
        + CLAIM * len(study.claims)
        + PAGE,
        "starting jobs": SNAKEMAKE + START * sizes.n_jobs(plan),
    }
    return {step: seconds for step, seconds in steps.items() if seconds}


#: Step to the rule whose jobs do most of its work.
RULES = {
    "training": "train",
    "models": "model_activations",
    "RSA": "analyse_recording",
    "audit": "audit_recording",
    "recovery": "recover_models",
    "encoding": "fit_models",
}


def seconds_by_rule(plan: Plan) -> dict[str, float]:
    """Predict the seconds of a job of each rule, from the configuration alone.

    They are there to tell how much of a run is done. What depends on files is not counted.

    Parameters
    ----------
    plan
        What the study makes.

    Returns
    -------
    dict
        Rule to seconds, of rules whose jobs take more than their start.
    """
    study = plan.study
    steps = seconds_by_step(plan, {}, simulated_sizes(study), {})
    jobs = {
        "training": len(plan.batches),
        "RSA": len(study.recordings),
        "audit": len(plan.audited_recordings()),
        "recovery": len(plan.recovered_recordings()),
        "encoding": len(study.recordings) * len(plan.by_activations()),
    }
    jobs_of_networks = {
        "analyse_networks": len(plan.batches),
        "rsa_models": len(plan.analysed("rsa_models")),
        "similarity": len(plan.analysed("similarity")),
    }
    seconds = {
        rule: START + of_rule / max(jobs_of_networks.get(rule, 1), 1)
        for rule, of_rule in _networks(plan).items()
    }
    seconds |= {
        rule: START + steps[step] / max(jobs.get(step, 1), 1)
        for step, rule in RULES.items()
        if step in steps
    }
    drawn = {"figures": START + FIGURE * len(plan.figures()), "report_page": START + PAGE}
    return seconds | drawn


def _networks(plan: Plan) -> dict[str, float]:
    """Predict analyses of networks, and comparisons between them, by rule."""
    study = plan.study
    seconds = dict.fromkeys(("rsa_models", "similarity", "identification"), 0.0)
    seconds["analyse_networks"] = sum(_condition(study, e, c) for e, _, c in study.conditions())
    for (_, analysis), rows in sizes.rows_of_pairs(study).items():
        if analysis == "rsa_models":
            of_row = ROW + COMPARISON * comb(study.geometry.n_stimuli, 2)
        else:
            of_row = SIMILARITY * (1 + study.similarity.permutations)
        seconds[analysis] += rows * of_row
    if spec := study.identification:
        seeds = {
            name: plan.conditions[_key(name)].seeds for name in {spec.target, *spec.candidates}
        }
        compared = sum(seeds[name] for name in spec.candidates) * (1 + spec.untrained)
        measures = len(spec.metrics) * len(spec.reliabilities)
        seconds["identification"] = seeds[spec.target] * compared * measures * SIMILARITY
    seconds["encryption"] = ENCRYPTION * (study.encryption is not None)
    return seconds


def _key(condition: str) -> tuple[str, str]:
    experiment, _, name = condition.partition("/")
    return experiment, name


def _condition(study: Study, experiment: str, condition: Condition) -> float:
    """Predict the analyses of a condition's networks."""
    analyses, stimuli = study.experiments[experiment].analyses, condition.stimuli
    seconds = sizes.analysis_seconds(condition, analyses, len(study.bias.steering_strengths))
    snapshots = condition.seeds * sizes.n_snapshots(condition)
    for analysis in analyses:
        if analysis == "variance_explained":
            shown = (stimuli.n_validation + stimuli.n_test) * sum(condition.sizes().units.values())
            checkpoints = condition.seeds * sizes.n_checkpoints(condition)
            seconds += checkpoints * (CHECKPOINT + EXPLAINED * shown)
        elif analysis not in ("rsa_models", "similarity"):
            seconds += snapshots * OF_SNAPSHOT.get(analysis, OF_SNAPSHOT_OTHER)
    return seconds


def _rdms(plan: Plan, shown: Mapping[str, int]) -> float:
    """Predict the RDMs of networks."""
    study, (_, with_rdms) = plan.study, sizes.needed(plan)
    n = study.geometry.n_stimuli
    seconds = 0.0
    for group, name in with_rdms:
        of_pair, n_stimuli = SMALL_RDM, n
        if group in study.images:
            of_pair, n_stimuli = LARGE_RDM, shown.get(group, 0)
        seconds += sizes.member(plan, group, name).n_rdms * of_pair * n_stimuli**2
    return seconds


def _layers(plan: Plan, recording: str) -> tuple[int, int]:
    """Return the layers of networks that saw a recording's stimuli: all, and of two snapshots."""
    group = plan.study.shown_to(recording)
    members = [sizes.member(plan, group, name) for name in plan.groups.get(group, [])]
    two = (m._replace(n_snapshots=min(2, m.n_snapshots)) for m in members)
    return sum(m.n_rdms for m in members), sum(m.n_rdms for m in two)


def _rsa(plan: Plan, recording: str, size: RecordingSize) -> float:
    """Predict comparisons of a recording's RDMs with those of networks, and their tests."""
    geometry, (n_layers, _) = plan.study.geometry, _layers(plan, recording)
    samples = geometry.bootstraps + (geometry.bootstraps + geometry.permutations) / 2
    samples += geometry.bootstraps * size.n_times * geometry.time_resolved
    measures = len(geometry.rdm_similarities)
    seconds = measures * samples * comb(size.n_stimuli, 2) * (SAMPLE + SAMPLE_OF_MODEL * n_layers)
    return seconds + FITTED * len(geometry.fitted) * measures * n_layers


def _audit(plan: Plan, recording: str, size: RecordingSize) -> float:
    """Predict the division of the scores of all layers among features."""
    n_layers, _ = _layers(plan, recording)
    n_times = 1 + size.n_times * plan.study.geometry.time_resolved
    return n_times * n_layers * (AUDITED + AUDITED_STIMULI * size.n_stimuli**2)


def _recovery(plan: Plan, recording: str, size: RecordingSize) -> float:
    """Predict simulated brains, their scores with all layers, and the division of these."""
    spec, group = plan.study.recovery, plan.study.shown_to(recording)
    members = [sizes.member(plan, group, name) for name in plan.groups[group]]
    layers = [m.n_layers for m in members]
    networks = [min(spec.networks, m.n_networks) for m in members]
    candidates, n = int(np.dot(layers, networks)), size.n_stimuli
    measures = len(spec.measures) if size.n_units else 1
    brains = spec.simulations * sum(layers)
    seconds = (
        RECOVERED * max(size.n_units, 1) * brains * measures * candidates * n**2
        + RECOVERED_LAYER * candidates * n**3
    )
    shares = spec.shares * len(members) if recording in plan.recovered_shares() else 0
    return seconds + RECOVERED_SHARES * shares * n**2


def _encoding(plan: Plan, recording: str, size: RecordingSize) -> float:
    """Predict encoding models of all layers, and joint models."""
    spec, (_, n_layers) = plan.study.encoding, _layers(plan, recording)
    n, units = size.n_stimuli, size.n_units
    if not units:
        return 0
    layer = LAYER + LAYER_UNIT * units + DECOMPOSITION * n**3
    layer += PERMUTATION * n**2 * units * spec.permutations
    joint = len(spec.partition) * 5 * (spec.partition_iterations + 1) * DECOMPOSITION * n**3
    return n_layers * layer + joint
