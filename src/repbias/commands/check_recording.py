"""What ``repbias check`` says of a recording: the analyses' own functions are asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import comb, prod

import numpy as np

from repbias.commands.check_audit import check_audit, check_lines
from repbias.commands.description import count, some
from repbias.commands.findings import Findings, problems_in
from repbias.config.study import Study
from repbias.io.blocks import blocks_of
from repbias.io.recordings import Recording
from repbias.pipeline.times import RecordingSize
from repbias.recordings.readers import read_recording
from repbias.recordings.readers.common import FileRecording
from repbias.recordings.spec import preparation_of
from repbias.rsa.rdms import Rdms
from repbias.stimuli.images import Images

#: Units with a lower reliability are counted.
LOW_RELIABILITY = 0.1


def check_recording(
    findings: Findings,
    study: Study,
    name: str,
    images: Images,
    statistics: Mapping[str, np.ndarray] | None,
) -> tuple[RecordingSize, np.ndarray]:
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
    size : RecordingSize
        What the time of the analyses depends on.
    common : numpy.ndarray
        (stimulus,) ids of those that all subjects saw.
    """
    from repbias.rsa.common import on_common_stimuli

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
    if said := _left_out(recording):
        findings.facts["left out"] = said
    if "matched" in recording.info:
        findings.facts["ids"] = "; ".join(recording.info["matched"])
    if recording.responses is None:
        _describe_rdms(findings, recording)
    else:
        _describe_responses(findings, recording)
    parts = _check_rsa(findings, study, name, recording)
    if recording.responses is not None:
        _check_encoding(findings, study, name, recording)
    _check_references(findings, study, name, recording)
    common = on_common_stimuli(recording, study.geometry.min_units)
    if study.audit.enabled and study.groups().get(spec.stimuli):
        rows = np.searchsorted(known, common.stimulus_ids)
        own = {k: v for k, v in common.stimuli.items() if k != "stimulus_id"}
        of_shown = None if statistics is None else {k: v[rows] for k, v in statistics.items()}
        audited = check_audit(findings, study.audit, own, of_shown, groups)
        for region, part, rdms in parts if audited else ():
            check_lines(findings, study.audit, part.stimuli, rdms, f"{region}: " if region else "")
    n_units, n_times = 0, 1
    values = recording.responses if recording.responses is not None else recording.rdms
    assert values is not None
    if recording.responses is not None:
        _, n_units, *of_time = recording.responses.shape
        n_times = of_time[0] if of_time else 1
    n_bytes = 8 * prod(values.shape)
    return RecordingSize(len(shown), n_units, n_times, n_bytes), common.stimulus_ids


def _left_out(recording: Recording) -> str:
    """Say how many files and trials the entry leaves out; empty if it leaves out none."""
    files = recording.info.get("files_left_out", [])
    parts = [f"{count(len(files), 'file')} (leave_out): {some(files)}"] if files else []
    n_trials = recording.info.get("trials_left_out")
    if n_trials is not None:
        parts.append(f"{count(n_trials, 'trial')} (trials_where)")
    return "; ".join(parts)


def _describe_responses(findings: Findings, recording: Recording) -> None:
    """Summarise trials, units, repeats and reliability."""
    from repbias.recordings.parts import repeats_of_subjects

    responses = recording.responses
    assert responses is not None
    per_stimulus = repeats_of_subjects(recording)
    findings.facts["trials"] = f"{len(responses)}; {_extent(per_stimulus)} per stimulus"
    findings.facts["subjects"] = _listed(recording.units["subject"])
    _describe_seen(findings, recording)
    findings.facts["units"] = _regions(recording)
    if responses.ndim == 3:
        findings.facts["time bins"] = _times(recording)
    low, high, total, n, size = np.inf, -np.inf, 0.0, 0, 0
    for block in blocks_of(responses):
        observed = block.values[~np.isnan(block.values)]
        low, high = min(low, observed.min()), max(high, observed.max())
        total, n, size = total + observed.sum(), n + observed.size, size + block.values.size
    findings.facts["responses"] = f"from {low:.4g} to {high:.4g}, mean {total / n:.4g}" + (
        f"; {1 - n / size:.1%} not observed (NaN)" if n < size else ""
    )
    if "confounds" in recording.info:  # of the BOLD signal
        findings.facts["confounds"] = recording.info["confounds"]
    _check_units(findings, recording)
    _check_reliability(findings, recording)


def _describe_seen(findings: Findings, recording: Recording) -> None:
    """Say how many stimuli each subject saw, if not all saw the same."""
    from repbias.rsa.common import seen_by_subject

    seen = seen_by_subject(recording)
    everyone = np.stack(list(seen.values())).all(axis=0)
    if not everyone.all():
        each = some((f"{subject} {rows.sum()}" for subject, rows in seen.items()), 8)
        findings.facts["stimuli seen"] = f"{everyone.sum()} by all subjects; {each}"


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
    low, high = np.outer([np.inf, -np.inf], np.ones(len(recording.units["unit"])))
    for block in blocks_of(recording.responses):
        by_unit = np.moveaxis(block.values, 1, 0).reshape(len(block.units), -1)
        low[block.units] = np.fmin(low[block.units], np.fmin.reduce(by_unit, axis=1))
        high[block.units] = np.fmax(high[block.units], np.fmax.reduce(by_unit, axis=1))
    constant = low == high
    silent = constant & (high == 0)
    never_observed = np.isinf(low)
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
    from repbias.recordings.parts import by_subject, of_shown
    from repbias.recordings.reliability import (
        UNIT_CONVENTION,
        analysed_units,
        too_few_repeats,
        unit_reliability,
    )
    from repbias.recordings.responses import by_repeat, fewest_repeats

    counts = np.concatenate(
        [
            (~np.isnan(by_repeat(of_shown(part)))).sum(axis=1).ravel()
            for *_, part in by_subject(recording)
        ]
    )
    few = (fewest_repeats(recording) == 1) & ~too_few_repeats(recording)
    if few.any() and not few.all():
        findings.warnings.append(
            f"{count(few.sum(), 'unit')} of {len(few)} with one repeat of some stimuli: "
            f"{some(recording.units['unit'][few])}; one is enough for the audit of its region to "
            "have no intervals; the recording's min_repeats: 2 leaves units out that have fewer"
        )
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
    if minima := preparation_of(recording).minima():
        used = analysed_units(recording)
        said = ", ".join(f"{setting} {minimum:g}" for setting, minimum in minima.items())
        findings.facts["analysed"] = f"{used.sum()} units ({said})"


def _check_rsa(
    findings: Findings, study: Study, name: str, recording: Recording
) -> list[tuple[str, Recording, Rdms]]:
    """Compute the RDMs, check what further analyses of them ask for, and return them."""
    from repbias.networks.features import columns_named
    from repbias.recordings.parts import stimulus_groups
    from repbias.rsa.cautions import cautions_table
    from repbias.rsa.common import on_common_stimuli
    from repbias.rsa.fitted import stimulus_folds
    from repbias.rsa.tables import refuse_unknown_times, region_rdms

    geometry = study.geometry
    findings.facts["RSA"] = "none"
    common = on_common_stimuli(recording, geometry.min_units)
    n_stimuli = len(common.stimulus_ids)
    parts: list[tuple[str, Recording, Rdms]] = []
    with problems_in(findings):
        parts += region_rdms(common, geometry, name)
        if not parts:
            if any(r.rdm_similarity and name in (r.recording, r.other) for r in study.references):
                findings.problems.append("references: published numbers of RSA, but there is none")
            return parts
        left_out = len(recording.stimulus_ids) - n_stimuli
        of = f" ({n_stimuli} of {n_stimuli + left_out})" if left_out else ""
        found = [f"{comb(n_stimuli, 2)} pairs of stimuli{of}", *_of_rdms(common, parts)]
        findings.facts["RSA"] = ", ".join(found)
        tested = columns_named(study.tested_columns(), recording.stimuli)
        cautions = cautions_table(name, recording, geometry, tested)
        for caution in cautions.itertuples():
            where = f"{caution.region}: " if caution.region else ""
            findings.warnings.append(f"{where}{caution.sentence}")
    with problems_in(findings):
        if geometry.fitted:
            stimulus_folds(stimulus_groups(common), geometry.folds, geometry.seed)
    with problems_in(findings):
        if geometry.time_resolved:
            refuse_unknown_times(name, recording)
    return parts


def _of_rdms(recording: Recording, parts: Sequence[tuple[str, Recording, Rdms]]) -> Iterator[str]:
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
    from repbias.encoding.ridge import folds_in_words
    from repbias.encoding.tables import can_be_encoded, targets
    from repbias.recordings.parts import stimulus_groups

    spec = study.encoding
    folds = folds_in_words(stimulus_groups(recording), spec)
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
