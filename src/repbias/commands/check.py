"""``repbias check``: whether a study is valid, and whether its data match it."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.commands.description import FILL_IN, count, some
from repbias.config.file import ConfigError, read_config
from repbias.recordings.spec import preparation_of

if TYPE_CHECKING:
    from repbias.config.study import Study
    from repbias.encoding.spec import Encoding
    from repbias.io.recordings import Recording
    from repbias.stimuli.images import Images

#: Units with a lower reliability are counted.
LOW_RELIABILITY = 0.1
#: A table with more rows takes over a gigabyte.
MANY_ROWS = 10_000_000
#: RDMs of fewer stimuli are uninformative.
MIN_STIMULI = 4


@dataclass
class Findings:
    """What was found about a part of the study: a table of facts, warnings and problems."""

    title: str
    facts: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def show(self) -> None:
        """Print the table, then the warnings and problems."""
        print(f"\n{self.title}")
        for label, fact in self.facts.items():
            print(f"  {label:<14} {fact}")
        for warning in self.warnings:
            print(f"  warning: {warning}")
        for problem in self.problems:
            print(f"  PROBLEM: {problem}")


def run(config: Path, quick: bool = False, images: bool = False) -> int:
    """Print the findings; return 1 if there is a problem, else 0."""
    n_problems = n_warnings = 0
    for findings in _all_findings(config, quick, images):
        findings.show()
        n_problems += len(findings.problems)
        n_warnings += len(findings.warnings)
    print(f"\n{count(n_problems, 'problem')}, {count(n_warnings, 'warning')}")
    return 1 if n_problems else 0


def _all_findings(config: Path, quick: bool, images: bool) -> Iterator[Findings]:
    """Check the configuration and, if it is valid, the size of a run and the data."""
    study, findings = _configuration(config)
    yield findings
    if study is not None:
        yield _work(study, quick)
        if not quick:
            yield from _data(study, images)


def _configuration(config: Path) -> tuple[Study | None, Findings]:
    """Return the study, unless its configuration has problems."""
    from repbias.pipeline.checks import load_study

    # As the Snakefile does: code of the user's is found where one is, and beside the study.
    places = [str(Path.cwd()), str(config.resolve().parent)]
    sys.path[:0] = [place for place in places if place not in sys.path]
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
    return study, findings


def unfilled(content: Any, path: str = "") -> Iterator[str]:
    """Yield the paths whose value is still FILL_IN."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from unfilled(value, f"{path}.{key}".lstrip("."))
    elif isinstance(content, list):
        if any(item == FILL_IN for item in content):
            yield path
    elif content == FILL_IN:
        yield path


def _own_networks(study: Study) -> dict[str, str]:
    """Return conditions to what their networks are like, where these are not perceptrons."""
    own: dict[str, str] = {}
    for experiment, name, condition in study.conditions():
        if condition.network.stacked:
            continue
        sizes = condition.sizes()
        units = ", ".join(f"{layer} {n:,}" for layer, n in sizes.units.items())
        said = f"{sizes.parameters:,} weights; units as they are read: {units}"
        if said not in own.values():
            own[f"{experiment}/{name}"] = said
    return own


def _time(hours: float) -> str:
    """Return a time in a unit that suits it."""
    for size, unit in ((1, "hours"), (60, "minutes")):
        if hours * size >= 1:
            return f"{hours * size:.2g} {unit}"
    return f"{max(1, round(3600 * hours))} seconds"


def _work(study: Study, quick: bool) -> Findings:
    """Predict the number of jobs and the size of the results; warn if the disk is too small."""
    from repbias.pipeline.checks import few_networks
    from repbias.pipeline.plan import Plan
    from repbias.pipeline.resources import JobResources
    from repbias.pipeline.sizes import n_jobs, rows_of_pairs, study_bytes, training_hours
    from repbias.stimuli.images import open_images

    findings = Findings("a run from the beginning")
    plan = Plan(study)
    findings.facts["jobs"] = str(n_jobs(plan))
    if study.experiments:
        resources = JobResources(plan)
        findings.facts["training"] = (
            f"at most about {_time(training_hours(study))} of one core, beside the start of jobs"
        )
        most = max(
            max(resources.training_memory(*batch), resources.networks_memory(*batch))
            for batch in plan.batches
        )
        findings.facts["memory"] = f"at most {_size(most * 2**20)} for a job of networks"
    findings.facts |= _own_networks(study)
    findings.warnings += few_networks(study)
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
    sizes = study_bytes(study, shown)
    for folder, size in sizes.items():
        findings.facts[folder] = f"at most {_size(size)}"
    free = shutil.disk_usage(".").free
    if sum(sizes.values()) > free:
        findings.warnings.append(
            f"results may take {_size(sum(sizes.values()))}, but {_size(free)} are free here; "
            "keep fewer kinds of files (keep:), or leave analyses out of experiments"
        )
    if _locked(f"results/{study.study}/"):
        findings.warnings.append(
            f"results/{study.study} is locked: Snakemake is running on it, or was killed (if so, "
            "run it once with --unlock)"
        )
    return findings


def _locked(results: str) -> bool:
    """Whether Snakemake, run in this folder, holds a lock on these results."""
    for lock in Path(".snakemake/locks").glob("*.output.lock"):
        with suppress(OSError):  # the run may end just now
            if any(line.startswith(results) for line in lock.read_text().splitlines()):
                return True
    return False


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _data(study: Study, decode: bool) -> Iterator[Findings]:
    """Check every set of images, then every recording."""
    from repbias.stimuli.images import open_images

    opened: dict[str, Images] = {}
    for name, spec in study.images.items():
        findings = Findings(f"images {name}")
        with _noting(findings):
            opened[name] = open_images(spec)
            _describe_images(findings, opened[name], decode)
            not_ascii = [str(i) for i in opened[name].ids if not str(i).isascii()]
            if not_ascii and study.groups().get(name):
                findings.problems.append(
                    f"{count(len(not_ascii), 'stimulus id')} with characters outside ASCII "
                    f"({some(not_ascii)}), which RDM files cannot hold; rename them"
                )
        yield findings
    for name, spec in study.recordings.items():
        if spec.kind == "simulated":
            continue
        findings = Findings(f"recording {name} ({spec.kind}, {spec.path})")
        if spec.stimuli in opened:
            with _noting(findings):
                _check_recording(findings, study, name, opened[spec.stimuli])
        else:
            findings.problems.append(f"not read: the images {spec.stimuli!r} cannot be opened")
        yield findings


@contextmanager
def _noting(findings: Findings) -> Iterator[None]:
    """Turn log messages of the block into warnings, and an exception into a problem."""
    logger = logging.getLogger("repbias")

    class Note(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            findings.warnings.append(record.getMessage())

    handler, propagates = Note(logging.WARNING), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    except RepbiasError as error:
        findings.problems.append(str(error))
    except Exception as error:  # a reader that fails must not stop the check of the others
        findings.problems.append(f"cannot be read ({type(error).__name__}: {error})")
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


def _describe_images(findings: Findings, images: Images, decode: bool) -> None:
    findings.facts["stimuli"] = f"{len(images)} ({some(images.ids)})"
    if images.columns:
        findings.facts["columns"] = some(images.columns, 8)
    if not decode or images.load is None:
        return
    sizes: dict[str, int] = {}
    for i in range(len(images)):
        try:
            size = "{} x {}".format(*images.load(i).size)
            sizes[size] = sizes.get(size, 0) + 1
        except RepbiasError as error:
            findings.problems.append(str(error))
    findings.facts["pixels"] = some(f"{size} ({n})" for size, n in sizes.items())


def _check_recording(findings: Findings, study: Study, name: str, images: Images) -> None:
    from repbias.recordings.readers import read_recording
    from repbias.recordings.readers.common import FileRecording

    spec = study.recordings[name]
    assert isinstance(spec, FileRecording)
    known = np.array(images.ids)
    recording = read_recording(spec, known)
    shown = recording.stimulus_ids
    never = np.setdiff1d(known, shown)
    missing = f"; never shown: {some(never)}" if len(never) else ""
    findings.facts["stimuli"] = f"{len(shown)} of {len(known)}{missing}"
    if len(shown) < MIN_STIMULI:
        findings.problems.append(f"{len(shown)} stimuli are too few: RSA needs {MIN_STIMULI}")
    if recording.responses is None:
        _check_rdms(findings, recording)
        return
    responses = recording.responses
    per_stimulus = np.unique(recording.trials["stimulus_id"], return_counts=True)[1]
    findings.facts["trials"] = f"{len(responses)}; {_extent(per_stimulus)} per stimulus"
    findings.facts["subjects"] = _listed(recording.units["subject"])
    findings.facts["units"] = _regions(recording)
    if responses.ndim == 3:
        findings.facts["time bins"] = _times(recording)
    observed = responses[~np.isnan(responses)]
    share_missing = 1 - observed.size / responses.size
    findings.facts["responses"] = (
        f"from {observed.min():.4g} to {observed.max():.4g}, mean {observed.mean():.4g}"
        + (f"; {share_missing:.1%} not observed (NaN)" if share_missing else "")
    )
    usable = _check_units(findings, recording)
    _check_reliability(findings, recording)
    _check_rsa(findings, recording)
    _check_encoding(findings, recording, usable, study.encoding)


def _extent(counts: np.ndarray) -> str:
    low, high = counts.min(), counts.max()
    return f"{low}" if low == high else f"{low} to {high} (median {np.median(counts):g})"


def _listed(values: np.ndarray) -> str:
    """Return the number of distinct values, and their names."""
    names = dict.fromkeys(map(str, values))
    return f"{len(names)} ({some(name or 'not named' for name in names)})"


def _regions(recording: Recording) -> str:
    names, counts = np.unique(recording.units["region"].astype(str), return_counts=True)
    each = (f"{name or 'no region'} {n}" for name, n in zip(names, counts, strict=True))
    return f"{counts.sum()} ({some(each, 8)})"


def _times(recording: Recording) -> str:
    from repbias.recordings.responses import bins_in_window

    assert recording.responses is not None
    n = recording.responses.shape[2]
    inside = bins_in_window(recording).sum()
    averaged = "averaged" if inside == n else f"of which {inside} in the window are averaged"
    times = recording.info.get("times_s")
    centres = f", centres {times[0]:g} to {times[-1]:g} s" if times else ""
    return f"{n}{centres}; {averaged}"


def _check_rdms(findings: Findings, recording: Recording) -> None:
    """Summarise a recording of RDMs; warn if its noise ceiling cannot be estimated."""
    rdms = recording.rdms
    assert rdms is not None
    findings.facts["RDMs"] = f"{len(rdms)} of {rdms.shape[1]} pairs"
    findings.facts["subjects"] = _listed(recording.rdm_info["subject"])
    findings.facts["values"] = f"from {rdms.min():.4g} to {rdms.max():.4g}, mean {rdms.mean():.4g}"
    if len(np.unique(recording.rdm_info["subject"])) < 2:
        findings.warnings.append("one subject: no noise ceiling, no interval over subjects")
    constant = np.ptp(rdms, axis=1) == 0
    if constant.any():
        findings.problems.append(f"{count(constant.sum(), 'RDM')} of {len(rdms)} without variance")


def _check_units(findings: Findings, recording: Recording) -> np.ndarray:
    """Warn about units that cannot be analysed; return (unit,) bool, True for those that can."""
    assert recording.responses is not None
    by_unit = np.moveaxis(recording.responses, 1, 0).reshape(len(recording.units["unit"]), -1)
    observed = ~np.isnan(by_unit)
    low = np.where(observed, by_unit, np.inf).min(axis=1)
    high = np.where(observed, by_unit, -np.inf).max(axis=1)
    constant = low == high
    silent = constant & (high == 0)
    never_observed = ~observed.any(axis=1)
    for what, units in (
        ("silent (all zero)", silent),
        ("constant", constant & ~silent),
        ("never observed", never_observed),
    ):
        if units.any():
            names = some(recording.units["unit"][units])
            findings.warnings.append(f"{count(units.sum(), 'unit')} {what}: {names}")
    return ~constant & ~never_observed


def _check_reliability(findings: Findings, recording: Recording) -> None:
    """Summarise repeats and reliability; warn if most units have no noise ceiling."""
    from repbias.recordings.reliability import analysed_units, split_half_reliability
    from repbias.recordings.responses import by_repeat

    observed = ~np.isnan(by_repeat(recording))
    repeats = observed.sum(axis=1)[observed.any(axis=1)]
    findings.facts["repeats"] = f"{_extent(repeats)} per stimulus and unit"
    reliability = split_half_reliability(recording)
    known = reliability.full[~np.isnan(reliability.full)]
    if not known.size:
        findings.facts["reliability"] = "unknown"
        findings.warnings.append(
            "no reliability and no noise ceiling: fewer than 4 stimuli were repeated"
        )
        return
    n_low = (known < LOW_RELIABILITY).sum()
    n_without = np.isnan(reliability.ceiling).sum()
    findings.facts["reliability"] = (
        f"mean {known.mean():.2f} (split-half, Spearman-Brown); {n_low} below {LOW_RELIABILITY}; "
        f"{n_without} without ceiling"
    )
    if n_without > len(reliability.full) / 2:
        findings.warnings.append(
            f"{n_without} of {len(reliability.full)} units have no noise ceiling"
        )
    if preparation_of(recording).min_reliability is not None:
        used = analysed_units(recording)
        findings.facts["analysed"] = (
            f"{used.sum()} units (min_reliability {preparation_of(recording).min_reliability:g})"
        )


def _check_rsa(findings: Findings, recording: Recording) -> None:
    """Check that every subject has two units with a response to every stimulus."""
    from repbias.recordings.reliability import analysed_units
    from repbias.recordings.responses import stimulus_means

    complete = ~np.isnan(stimulus_means(recording)).any(axis=0) & analysed_units(recording)
    subjects = recording.units["subject"]
    names = list(dict.fromkeys(subjects.tolist()))
    for name in names:
        n = (complete & (subjects == name)).sum()
        if n < 2:
            findings.problems.append(
                f"RSA: {name} has {count(n, 'unit')} with a response to every stimulus; 2 needed"
            )
    n_stimuli = len(recording.stimulus_ids)
    findings.facts["RSA"] = (
        f"{n_stimuli * (n_stimuli - 1) // 2} pairs of stimuli, {count(len(names), 'subject')}, "
        f"{complete.sum()} units with a response to every stimulus"
    )


def _check_encoding(
    findings: Findings, recording: Recording, usable: np.ndarray, spec: Encoding
) -> None:
    """Check that there are enough stimuli for nested cross-validation."""
    from repbias.encoding.tables import least_stimuli
    from repbias.recordings.reliability import analysed_units
    from repbias.recordings.responses import stimulus_means

    needed = least_stimuli(spec)
    enough = (~np.isnan(stimulus_means(recording))).sum(axis=0) >= needed
    possible = (usable & enough & analysed_units(recording)).sum()
    folds = f"{spec.folds} x {spec.inner_folds} folds"
    findings.facts["encoding"] = f"{possible} units, {folds}"
    n_stimuli = len(recording.stimulus_ids)
    if n_stimuli < needed:
        findings.warnings.append(
            f"no encoding models: {n_stimuli} stimuli, {folds} need {needed}; "
            "lower encoding.folds and encoding.inner_folds"
        )
    elif not possible:
        findings.problems.append(
            f"encoding: no unit both varies and has responses to at least {needed} stimuli"
        )
