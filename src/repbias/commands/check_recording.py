"""What ``repbias check`` says of a recording: the analyses' own functions are asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from repbias.commands.check_audit import check_audit
from repbias.commands.description import count, some
from repbias.commands.findings import Findings, problems_in
from repbias.config.study import Study
from repbias.io.recordings import Recording
from repbias.pipeline.times import RecordingSize
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.common import FileRecording
from repbias.recordings.spec import preparation_of
from repbias.stimuli.images import Images

if TYPE_CHECKING:
    from rsatoolbox.rdm import RDMs

#: Units with a lower reliability are counted.
LOW_RELIABILITY = 0.1


def check_recording(
    findings: Findings,
    study: Study,
    name: str,
    images: Images,
    statistics: Mapping[str, np.ndarray] | None,
) -> RecordingSize:
    """Read a recording and ask of every analysis whether it can be done.

    Parameters
    ----------
    findings
        Gets what is found.
    study
        The configuration.
    name
        The recording's.
    images
        The set of stimuli that was shown.
    statistics
        Statistics of the images, (stimulus,) each, if they are audited; None if images are not
        decoded.

    Returns
    -------
    RecordingSize
        What the time of the analyses depends on.
    """
    spec = study.recordings[name]
    assert isinstance(spec, FileRecording)
    known = np.array(images.ids)
    groups = study.images[spec.stimuli].groups
    recording = read_recording(spec, known, images.columns, groups)
    shown = recording.stimulus_ids
    excluded = recording.info["excluded_ids"]
    never = np.setdiff1d(known, [*shown, *excluded])
    missing = f"; never shown: {some(never)}" if len(never) else ""
    left_out = f"; left out: {some(excluded)}" if excluded else ""
    findings.facts["stimuli"] = f"{len(shown)} of {len(known)}{missing}{left_out}"
    if "matched" in recording.info:
        findings.facts["ids"] = "; ".join(recording.info["matched"])
    if recording.responses is None:
        _describe_rdms(findings, recording)
    else:
        _describe_responses(findings, recording)
    _check_rsa(findings, study, name, recording)
    if recording.responses is not None:
        _check_encoding(findings, study, name, recording)
    _check_references(findings, study, name, recording)
    if study.audit.enabled and study.groups().get(spec.stimuli):
        rows = np.searchsorted(known, shown)
        own = {k: v for k, v in recording.stimuli.items() if k != "stimulus_id"}
        of_shown = None if statistics is None else {k: v[rows] for k, v in statistics.items()}
        check_audit(findings, study.audit, own, of_shown)
    if recording.responses is None:
        return RecordingSize(len(shown), 0)
    _, n_units, *n_times = recording.responses.shape
    return RecordingSize(len(shown), n_units, *n_times)


def _describe_responses(findings: Findings, recording: Recording) -> None:
    """Summarise trials, units, repeats and reliability."""
    responses = recording.responses
    assert responses is not None
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
    if "confounds" in recording.info:  # of the BOLD signal
        findings.facts["confounds"] = recording.info["confounds"]
    _check_units(findings, recording)
    _check_reliability(findings, recording)


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


def _describe_rdms(findings: Findings, recording: Recording) -> None:
    """Summarise a recording of RDMs; warn if its noise ceiling cannot be estimated."""
    rdms = recording.rdms
    assert rdms is not None
    findings.facts["RDMs"] = f"{len(rdms)} of {rdms.shape[1]} pairs"
    findings.facts["subjects"] = _listed(recording.rdm_info["subject"])
    findings.facts["values"] = f"from {rdms.min():.4g} to {rdms.max():.4g}, mean {rdms.mean():.4g}"
    if len(np.unique(recording.rdm_info["subject"])) < 2:
        findings.warnings.append("one subject: no noise ceiling, no interval over subjects")


def _check_units(findings: Findings, recording: Recording) -> None:
    """Warn about units that cannot be analysed."""
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


def _check_reliability(findings: Findings, recording: Recording) -> None:
    """Summarise repeats and reliability; warn if most units have no noise ceiling."""
    from repbias.recordings.reliability import UNIT_CONVENTION, analysed_units, unit_reliability
    from repbias.recordings.responses import by_repeat

    counts = (~np.isnan(by_repeat(recording))).sum(axis=1)
    mean = "" if np.ptp(counts) == 0 else f", mean {counts.mean():.1f}"  # as in the report
    findings.facts["repeats"] = f"{_extent(counts)}{mean} per stimulus and unit"
    reliability, convention = unit_reliability(recording)
    known = reliability.full[~np.isnan(reliability.full)]
    if not known.size:
        findings.facts["reliability"] = "unknown"
        findings.warnings.append(
            "no reliability and no noise ceiling: fewer than 4 stimuli were repeated"
        )
        return
    n_low = (known < LOW_RELIABILITY).sum()
    n_without = np.isnan(reliability.ceiling).sum()
    how = "split-half, Spearman-Brown" if convention == UNIT_CONVENTION else convention
    findings.facts["reliability"] = (
        f"mean {known.mean():.2f} ({how}); {n_low} below {LOW_RELIABILITY}; "
        f"{n_without} without ceiling"
    )
    if n_without > len(reliability.full) / 2:
        findings.warnings.append(
            f"{n_without} of {len(reliability.full)} units have no noise ceiling"
        )
    minimum = preparation_of(recording).min_reliability
    if minimum is not None:
        used = analysed_units(recording)
        findings.facts["analysed"] = f"{used.sum()} units (min_reliability {minimum:g})"


def _check_rsa(findings: Findings, study: Study, name: str, recording: Recording) -> None:
    """Compute the RDMs, and check what further analyses of them ask for."""
    from repbias.recordings.parts import stimulus_groups
    from repbias.rsa.cautions import cautions_table
    from repbias.rsa.fitted import stimulus_folds
    from repbias.rsa.tables import refuse_unknown_times, region_rdms

    n_stimuli, geometry = len(recording.stimulus_ids), study.geometry
    findings.facts["RSA"] = "none"
    with problems_in(findings):
        parts = list(region_rdms(recording, geometry, name))
        if not parts:
            if any(r.rdm_similarity and name in (r.recording, r.other) for r in study.references):
                findings.problems.append("references: published numbers of RSA, but there is none")
            return
        found = [f"{comb(n_stimuli, 2)} pairs of stimuli", *_of_rdms(recording, parts)]
        findings.facts["RSA"] = ", ".join(found)
        cautions = cautions_table(name, recording, geometry)
        for caution in cautions.itertuples():
            where = f"{caution.region}: " if caution.region else ""
            findings.warnings.append(f"{where}{caution.sentence}")
    with problems_in(findings):
        if geometry.fitted:
            stimulus_folds(stimulus_groups(recording), geometry.folds, geometry.seed)
    with problems_in(findings):
        if geometry.time_resolved:
            refuse_unknown_times(name, recording)


def _of_rdms(recording: Recording, parts: Sequence[tuple[str, Recording, RDMs]]) -> Iterator[str]:
    """Say of how many subjects, units and regions RDMs are."""
    from repbias.recordings.reliability import analysed_units
    from repbias.recordings.responses import stimulus_means

    subjects = {name for *_, rdms in parts for name in rdms.rdm_descriptors["subject"]}
    yield count(len(subjects), "subject")
    if recording.responses is not None:
        complete = ~np.isnan(stimulus_means(recording)).any(axis=0) & analysed_units(recording)
        yield f"{count(int(complete.sum()), 'unit')} with a response to every stimulus"
    if len(parts) > 1:
        yield f"of {len(parts)} regions, each by itself"


def _check_encoding(findings: Findings, study: Study, name: str, recording: Recording) -> None:
    """Find the units that encoding models can be fitted to, and the bands of joint models."""
    from repbias.encoding.partition import features_of_stimuli
    from repbias.encoding.tables import can_be_encoded, targets

    spec = study.encoding
    folds = f"{spec.folds} x {spec.inner_folds} folds"
    findings.facts["encoding"] = f"0 units, {folds}"
    with problems_in(findings):
        if not can_be_encoded(name, recording, spec):
            return
        units = sum(len(units) for _, units in targets(name, recording, spec).patterns)
        findings.facts["encoding"] = f"{count(units, 'unit')}, {folds}"
    for model, bands in spec.partition.items():
        for band in bands:
            if band.startswith("stimuli:"):
                with problems_in(findings):
                    features_of_stimuli(f"encoding.partition.{model}", band, recording)


def _check_references(findings: Findings, study: Study, name: str, recording: Recording) -> None:
    """Measure what published numbers are compared with."""
    from repbias.claims.references import quality_measured
    from repbias.rsa.quality import quality_table

    wanted = [r for r in study.references if r.recording == name and r.rdm_similarity is None]
    if wanted:
        quality = quality_table(name, recording, study.geometry)
    for reference in wanted:
        with problems_in(findings):
            quality_measured(reference, quality)
