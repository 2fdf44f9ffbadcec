"""``repbias check``: whether a study is valid, and whether its data match it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.commands.description import count, some, unfilled
from repbias.commands.findings import Findings, noting
from repbias.commands.snakemake import locked
from repbias.config.file import ConfigError, read_config

if TYPE_CHECKING:
    from repbias.config.study import Condition, Study
    from repbias.pipeline.plan import Plan
    from repbias.pipeline.times import RecordingSize
    from repbias.stimuli.images import Images

#: Images are compared at this size.
THUMBNAIL = (16, 16)
#: Small images that correlate by more are almost the same.
SAME_IMAGE = 0.99
#: A table with more rows takes over a gigabyte.
MANY_ROWS = 10_000_000


def run(config: Path, quick: bool = False, images: bool = False) -> tuple[int, dict[str, Any]]:
    """Print the findings; return the exit code, 1 if there is a problem, and the findings."""
    parts: list[dict[str, Any]] = []
    estimates: dict[str, Any] = {}
    for findings in _all_findings(config, quick, images):
        findings.show()
        part = asdict(findings)
        estimates |= part.pop("estimates")
        parts.append(part)
    problems, warnings = (sum(len(part[k]) for part in parts) for k in ("problems", "warnings"))
    print(f"\n{count(problems, 'problem')}, {count(warnings, 'warning')}")
    return 1 if problems else 0, {
        "config": config,
        "problems": problems,
        "warnings": warnings,
        "estimates": estimates,
        "parts": parts,
    }


def _all_findings(config: Path, quick: bool, images: bool) -> Iterator[Findings]:
    """Check the configuration and, if it is valid, the data and the size of a run."""
    study, findings = _configuration(config)
    yield findings
    if study is not None:
        known = Known()
        yield _work(study, quick, known)
        if not quick:
            yield from _data(study, images, known)
        yield _estimates(study, known)


def _configuration(config: Path) -> tuple[Study | None, Findings]:
    """Return the study, unless its configuration has problems."""
    from repbias.pipeline.checks import few_networks, load_study
    from repbias.pipeline.question_checks import question_warnings

    # As the Snakefile does: code of the user's is found where one is, and beside the study.
    places = [str(Path.cwd()), str(config.resolve().parent)]
    sys.path[:0] = dict.fromkeys(places)
    content = read_config(config)
    findings = Findings(f"{config}: configuration")
    findings.problems = [f"{path}: still to fill in" for path in unfilled(content)]
    if findings.problems:
        return None, findings
    try:
        study = load_study(content, str(config))
    except ConfigError as error:
        findings.problems = error.problems
        return None, findings
    for section in ("experiments", "images", "networks", "recordings"):
        names = getattr(study, section)
        if names:
            findings.facts[section] = f"{len(names)} ({some(names)})"
    for experiment in study.experiments:
        findings.facts[f"experiment {experiment}"] = _networks(study.expanded(experiment))
    findings.warnings += [*few_networks(study), *question_warnings(study)]
    if study.device in ("cuda", "mps"):
        from repbias.networks.device import pick_device

        try:
            pick_device(study.device)
        except RepbiasError as error:
            findings.warnings.append(str(error))
    return study, findings


def _networks(conditions: Mapping[str, Condition]) -> str:
    """Say how many networks an experiment has of every condition."""
    seeds = {name: condition.seeds for name, condition in conditions.items()}
    if len(set(seeds.values())) > 1:
        each = some(f"{name} ({count(n, 'network')})" for name, n in seeds.items())
        return f"{count(len(seeds), 'condition')}: {each}"
    each = f"{count(next(iter(seeds.values())), 'network')}{' each' if len(seeds) > 1 else ''}"
    return f"{count(len(seeds), 'condition')} ({some(seeds)}), {each}"


def _own_networks(study: Study) -> dict[str, str]:
    """Return conditions to what their networks are like, where these are not perceptrons."""
    from repbias.networks.pretrained import Pretrained
    from repbias.networks.spec import preprocessed

    own: dict[str, str] = {}
    for experiment, name, condition in study.conditions():
        if condition.network.stacked:
            continue
        sizes = condition.sizes()
        units = ", ".join(f"{layer} {n:,}" for layer, n in sizes.units.items())
        said = f"{sizes.parameters:,} weights; units as they are read: {units}"
        if isinstance(condition.network, Pretrained):
            said += f"; images {preprocessed(condition.network.preprocess)} (preprocess)"
        if said not in own.values():
            own[f"{experiment}/{name}"] = said
    return own


def _one_training_set(study: Study) -> Iterator[str]:
    """Go through experiments whose claims hold for one training set."""
    claimed = {name for roles in study.claims.values() for name in roles.values()}
    for experiment in study.experiments:
        common = {
            f"{experiment}/{name}"
            for name, condition in study.expanded(experiment).items()
            if condition.stimuli.training_sets == "common"
        }
        if claimed & common:
            yield (
                f"experiments.{experiment}: all networks have one training set "
                "(stimuli.training_sets: common), for which claims hold, and for no other"
            )


def _time(seconds: float) -> str:
    """Return a time in a unit that suits it."""
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{seconds / size:,.{0 if seconds >= 10 * size else 1}f} {unit}"
    return count(max(1, round(seconds)), "second")


@dataclass
class Known:
    """What the data tell of the time of a run: see :func:`repbias.pipeline.times.seconds_by_step`.

    Attributes
    ----------
    shown : set of images to its number of stimuli
    recordings : recordings to their sizes
    common : recordings to the stimuli that all their subjects saw
    models : (set of images, network) to the seconds that the network takes for all of them
    activations : the same to the bytes of its activations
    disk : folders of the results to their bytes, without activations of models
    """

    shown: dict[str, int] = field(default_factory=dict)
    recordings: dict[str, RecordingSize] = field(default_factory=dict)
    common: dict[str, np.ndarray] = field(default_factory=dict)
    models: dict[tuple[str, str], float] = field(default_factory=dict)
    activations: dict[tuple[str, str], int] = field(default_factory=dict)
    disk: dict[str, int] = field(default_factory=dict)


def _estimates(study: Study, known: Known) -> Findings:
    """Predict how long a run takes, step by step, and what its largest job and the disk hold."""
    from repbias.pipeline.plan import Plan
    from repbias.pipeline.resources import JobResources
    from repbias.pipeline.times import seconds_by_step, simulated_sizes

    findings = Findings("time and memory of a run from the beginning, on one core, roughly")
    plan, recordings = Plan(study), simulated_sizes(study) | known.recordings
    steps = seconds_by_step(plan, known.shown, recordings, known.models)
    for step, seconds in steps.items():
        findings.facts[step] = _time(seconds) + (" at most" if step == "training" else "")
    findings.facts["in all"] = _time(sum(steps.values()))
    recorded = {name: size.n_bytes for name, size in recordings.items()}
    memory = JobResources(plan).largest(known.activations, recorded)
    if memory:
        kind, most = max(memory.items(), key=lambda of_kind: of_kind[1])
        findings.facts["memory"] = f"up to {_size(most * 2**20)} for a job of {kind}"
    disk = dict(known.disk)
    if "activations" in study.keep and known.activations:
        disk["activations"] = disk.get("activations", 0) + sum(known.activations.values())
    if disk:
        findings.facts["disk"] = f"at most {_size(sum(disk.values()))}"
    findings.estimates = {
        "seconds": sum(steps.values()),
        "seconds_by_step": steps,
        "memory_bytes": max(memory.values(), default=0) * 2**20 or None,
        "memory_bytes_by_job": {kind: mib * 2**20 for kind, mib in memory.items()},
        "disk_bytes": sum(disk.values()),
        "disk_bytes_by_folder": disk,
    }
    unread = [name for name in study.recordings if name not in recordings]
    unread += [name for name in study.networks if name not in {n for _, n in known.models}]
    if unread:
        findings.facts["not counted"] = f"{some(unread)}: not read"
    return findings


def _work(study: Study, quick: bool, known: Known) -> Findings:
    """Predict the number of jobs and the size of the results; warn if the disk is too small."""
    from repbias.pipeline.plan import Plan
    from repbias.pipeline.sizes import n_jobs, rows_of_pairs, study_bytes
    from repbias.stimuli.images import open_images

    findings = Findings("a run from the beginning")
    plan = Plan(study)
    findings.estimates["jobs"] = n_jobs(plan)
    findings.facts["jobs"] = str(findings.estimates["jobs"])
    findings.facts |= _own_networks(study)
    findings.warnings += _one_training_set(study)
    for (experiment, analysis), rows in rows_of_pairs(study).items():
        if rows > MANY_ROWS:
            findings.warnings.append(
                f"experiments.{experiment}: {analysis} compares every network with every other "
                f"({rows:.2g} rows); leave it out of analyses, or split the experiment"
            )
    shown = {}
    for name, spec in () if quick else study.images.items():
        with suppress(RepbiasError, OSError):  # reported where the images are checked
            shown[name] = len(open_images(spec))
    known.disk = sizes = study_bytes(study, shown)
    for folder, size in sizes.items():
        findings.facts[folder] = f"at most {_size(size)}"
    free = shutil.disk_usage(".").free
    if sum(sizes.values()) > free:
        findings.warnings.append(
            f"results may take {_size(sum(sizes.values()))}, but {_size(free)} are free here; "
            "keep fewer kinds of files (keep:), or leave analyses out of experiments"
        )
    if locked(plan.results):
        findings.warnings.append(
            f"{plan.results} is locked: Snakemake is running on it, or was killed (if so, run it "
            "once with --unlock)"
        )
    return findings


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _data(study: Study, decode: bool, known: Known) -> Iterator[Findings]:
    """Check generated stimuli, sets of images, what is shown them, then every recording."""
    from repbias.commands.check_audit import check_audit, statistics_of
    from repbias.commands.check_recording import check_recording
    from repbias.pipeline.plan import Plan
    from repbias.stimuli.images import open_images

    plan = Plan(study)
    if study.experiments:
        from repbias.commands.check_network import check_generated

        findings = Findings("experiments")
        with noting(findings):
            check_generated(findings, study)
        yield findings

    opened: dict[str, Images] = {}
    statistics: dict[str, Mapping[str, np.ndarray] | None] = {}
    for name, spec in study.images.items():
        findings = Findings(f"images {name}")
        with noting(findings):
            opened[name] = open_images(spec)
            known.shown[name] = len(opened[name])
            blank = _describe_images(findings, opened[name], decode)
            if uses := _uses_of_columns(study, name, opened[name].columns):
                each = (f"{c} ({', '.join(use) or 'not used'})" for c, use in uses.items())
                findings.facts["columns"] = some(each, 8)
            if blank and _compares_pixels(study, name):
                findings.problems.append(
                    f"{count(len(blank), 'image')} of one grey ({some(blank)}): their pixels have "
                    "no correlation distance; leave them out (exclude), or set geometry.distance"
                )
            statistics[name] = {}
            if name in plan.with_statistics():
                usable = decode and not findings.problems
                statistics[name] = statistics_of(opened[name]) if usable else None
            if name in plan.audited_networks():
                columns = opened[name].columns
                check_audit(findings, study.audit, columns, statistics[name], spec.groups)
        yield findings
    for group, images in opened.items():
        for name in study.groups().get(group, []):
            from repbias.commands.check_network import check_network

            findings = Findings(f"network {name}, shown {group}")
            with noting(findings):
                seconds, n_bytes = check_network(findings, study, name, images)
                known.models[group, name] = seconds
                known.activations[group, name] = n_bytes
            yield findings
    for name, spec in study.recordings.items():
        if spec.kind == "simulated":
            continue
        findings = Findings(f"recording {name} ({spec.kind}, {spec.path})")
        if spec.stimuli in opened:
            with noting(findings):
                images = opened[spec.stimuli]
                known.recordings[name], known.common[name] = check_recording(
                    findings, study, name, images, statistics.get(spec.stimuli)
                )
        else:
            findings.problems.append(f"not read: the images {spec.stimuli!r} cannot be opened")
        yield findings
    yield from _overlap(plan, known.common)


def _overlap(plan: Plan, common: Mapping[str, np.ndarray]) -> Iterator[Findings]:
    """Count the stimuli that recordings of one set have in common, on which they are compared."""
    from repbias.rsa.common import MIN_STIMULI

    findings = Findings("recordings with each other")
    for names in plan.common_stimuli.values():
        for a, b in combinations([name for name in names if name in common], 2):
            n = len(np.intersect1d(common[a], common[b]))
            of = f"of {len(common[a])} and {len(common[b])}"
            findings.facts[f"{a}, {b}"] = f"{n} common stimuli {of}"
            if n < MIN_STIMULI:
                findings.warnings.append(
                    f"{a} and {b} have {n} stimuli in common; they are not compared"
                )
    if findings.facts:
        yield findings


def _uses_of_columns(
    study: Study, images: str, columns: Mapping[str, np.ndarray]
) -> dict[str, list[str]]:
    """Return what is known of a set of stimuli, and what every column is used for."""
    from repbias.auditing.features import chosen_features
    from repbias.networks.features import columns_of
    from repbias.networks.spec import FeatureNetwork, TextNetwork

    uses: dict[str, list[str]] = {column: [] for column in columns}

    def note(entry: str, use: str) -> None:
        with suppress(RepbiasError):  # a column that is missing is reported where it is used
            for column in columns_of(entry, columns):
                if use not in uses[column]:
                    uses[column].append(use)

    note(study.images[images].groups or "", "groups")
    shown = study.groups().get(images, [])
    for name in shown:
        network = study.networks[name]
        if isinstance(network, FeatureNetwork):
            for entry in (entry for space in network.spaces.values() for entry in space):
                note(entry, f"network {name}")
        elif isinstance(network, TextNetwork):
            note(network.column, f"network {name}")
    if shown and study.audit.enabled:
        with suppress(RepbiasError):
            for name, feature in chosen_features(study.audit, columns).items():
                note(feature.column or name, "audit")
    recorded = images in map(study.shown_to, study.recordings)
    for model, bands in study.encoding.partition.items() if recorded else ():
        for band in bands:
            if band.startswith("stimuli:"):
                note(band.removeprefix("stimuli:"), f"encoding.partition.{model}")
    return uses


def _compares_pixels(study: Study, images: str) -> bool:
    """Whether the pixels of a set of images are compared by correlation."""
    networks = (study.networks[name] for name in study.groups().get(images, []))
    return study.geometry.distance == "correlation" and any(n.kind == "pixels" for n in networks)


def _describe_images(findings: Findings, images: Images, decode: bool) -> list[str]:
    """Count and, if asked to, decode images; return those whose pixels are all the same."""
    blank: list[str] = []
    findings.facts["stimuli"] = f"{len(images)} ({some(images.ids)})"
    if images.said:
        findings.facts["ids"] = "; ".join(images.said)
    if not decode or images.load is None:
        return blank
    sizes: dict[str, int] = {}
    small: dict[str, np.ndarray] = {}
    for i in range(len(images)):
        try:
            image = images.load(i)
            small[images.ids[i]] = np.asarray(image.convert("L").resize(THUMBNAIL), float).ravel()
            size = "{} x {}".format(*image.size)
            sizes[size] = sizes.get(size, 0) + 1
            if np.ptp(np.asarray(image)) == 0:
                blank.append(images.ids[i])
        except RepbiasError as error:
            findings.problems.append(str(error))
    findings.facts["pixels"] = some(f"{size} ({n})" for size, n in sizes.items())
    if pairs := near_duplicates(small):
        findings.warnings.append(
            f"{count(len(pairs), 'pair')} of images are almost the same "
            f"({some(f'{a} and {b}' for a, b in pairs)}): tests that take them for independent "
            "are too liberal; leave one of each out (exclude:), or name them in a column of the "
            "table and say 'groups'"
        )
    return blank


def near_duplicates(images: dict[str, np.ndarray]) -> list[tuple[str, str]]:
    """Return pairs of ids whose small grey images (pixel,) correlate by more than .99."""
    varied = {name: pixels - pixels.mean() for name, pixels in images.items() if np.ptp(pixels) > 0}
    if not varied:
        return []
    x = np.stack([pixels / np.linalg.norm(pixels) for pixels in varied.values()])
    names = list(varied)
    pairs = np.argwhere(np.triu(x @ x.T > SAME_IMAGE, 1))
    return [(names[a], names[b]) for a, b in pairs]
