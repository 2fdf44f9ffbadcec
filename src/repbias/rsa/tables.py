"""Tables of RSA: networks with networks, recordings with recordings, networks with recordings."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError
from repbias.geometry.comparison import UNCENTRED, resampled_similarity, similarities
from repbias.geometry.inference import Draws, evaluate, within_bounds
from repbias.geometry.spec import Geometry, RdmSimilarity
from repbias.io.blocks import at_time
from repbias.io.recordings import Recording
from repbias.recordings.parts import (
    by_region,
    by_subject,
    of_shown,
    of_units,
    stimulus_groups,
)
from repbias.recordings.reliability import analysed_units
from repbias.recordings.spec import preparation_of
from repbias.rsa.ceilings import noise_ceiling
from repbias.rsa.common import MIN_STIMULI, few_in_common, on_common_stimuli
from repbias.rsa.pairs import paired
from repbias.rsa.rdms import Rdms, TooFewUnits, aligned_vectors, of_subjects, subject_rdms, varying
from repbias.tables import as_table

logger = logging.getLogger(__name__)

#: The snapshot of networks before training.
UNTRAINED = "initial"


def rdm_table(condition: str, rdms: Rdms) -> pd.DataFrame:
    """Return the descriptors of RDMs: condition, network, seed, snapshot, step, included, layer."""
    info = {k: v for k, v in rdms.rdm_descriptors.items() if k != "index"}
    return pd.DataFrame({"condition": condition, **{k: list(v) for k, v in info.items()}})


def compare_models(experiment: str, conditions: dict[str, Rdms], spec: Geometry) -> pd.DataFrame:
    """Compare all networks and layers of an experiment with each other.

    RDMs of the same snapshot are compared, each pair once. Conditions with different stimuli are
    not compared with each other.

    Parameters
    ----------
    experiment
        Its name.
    conditions
        Condition to RDMs.
    spec
        RDM similarities.

    Returns
    -------
    pandas.DataFrame
        The table rsa_models.
    """
    tables = []
    by_stimuli: dict[frozenset[str], list[str]] = {}
    for name, rdms in conditions.items():
        by_stimuli.setdefault(frozenset(rdms.pattern_descriptors["stimulus_id"]), []).append(name)
    groups = list(by_stimuli.values())
    if len(groups) > 1:
        logger.info("%s: %d sets of stimuli, compared separately", experiment, len(groups))
    for group in groups:
        info = pd.concat([rdm_table(c, conditions[c]) for c in group], ignore_index=True)
        ids = np.array(conditions[group[0]].pattern_descriptors["stimulus_id"])
        vectors = np.concatenate([aligned_vectors(conditions[c], ids, c) for c in group])
        for snapshot in info["snapshot"].unique():
            rows = np.flatnonzero(info["snapshot"] == snapshot)
            first, second = np.triu_indices(len(rows), 1)
            sides = paired(info.loc[rows].drop(columns="snapshot"), first, second)
            for rdm_similarity in spec.rdm_similarities:
                similarity = _defined(vectors[rows], vectors[rows], rdm_similarity)
                tables.append(
                    sides.assign(
                        experiment=experiment,
                        rdm_similarity=rdm_similarity,
                        snapshot=snapshot,
                        similarity=similarity[first, second],
                    )
                )
    return as_table("rsa_models", pd.concat(tables, ignore_index=True) if tables else ())


def compare_with_untrained(
    experiment: str, conditions: dict[str, Rdms], spec: Geometry
) -> pd.DataFrame:
    """Compare the trained networks of every condition with its untrained ones, layer by layer.

    Parameters
    ----------
    experiment
        Its name.
    conditions
        Condition to RDMs.
    spec
        RDM similarities.

    Returns
    -------
    pandas.DataFrame
        The table rsa_untrained; networks without an untrained snapshot have no rows.
    """
    tables = []
    for condition, rdms in conditions.items():
        info = rdm_table(condition, rdms)
        vectors = rdms.dissimilarities
        for (layer, snapshot), part in info.groupby(["layer", "snapshot"], sort=False):
            before = info[(info["layer"] == layer) & (info["snapshot"] == UNTRAINED)]
            if snapshot == UNTRAINED or before.empty:
                continue
            rows, others = (frame.index.to_numpy() for frame in (part, before))
            i, j = (grid.ravel() for grid in np.indices((len(rows), len(others))))
            about = part.iloc[i].reset_index(drop=True)
            other = before.iloc[j]
            for rdm_similarity in spec.rdm_similarities:
                similarity = _defined(vectors[rows], vectors[others], rdm_similarity)
                tables.append(
                    about.assign(
                        experiment=experiment,
                        rdm_similarity=rdm_similarity,
                        untrained=other["network"].to_numpy(),
                        untrained_seed=other["seed"].to_numpy(),
                        similarity=similarity[i, j],
                    )
                )
    return as_table("rsa_untrained", pd.concat(tables, ignore_index=True) if tables else ())


def _defined(a: np.ndarray, b: np.ndarray, rdm_similarity: RdmSimilarity) -> np.ndarray:
    """Return similarities of RDMs (rdm, pair); NaN where a constant one has none."""
    similarity = similarities(a, b, rdm_similarity)
    if rdm_similarity not in UNCENTRED:
        similarity[~varying(a)] = np.nan
        similarity[:, ~varying(b)] = np.nan
    return similarity


def shown_models(
    name: str, recording: Recording, experiment: str, conditions: dict[str, Rdms]
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the RDMs that can be compared with a recording, over its stimuli.

    Conditions that did not see all of the recording's stimuli are left out with a warning, and so
    are RDMs without variance, whose similarity is undefined.

    Returns
    -------
    tuple
        Descriptors of each RDM (:func:`rdm_table`), and (rdm, pair) in the order of the
        recording's stimuli; both are empty if there is none.
    """
    ids = recording.stimulus_ids
    shown = {
        condition: rdms
        for condition, rdms in conditions.items()
        if set(ids) <= set(rdms.pattern_descriptors["stimulus_id"])
    }
    for condition in conditions.keys() - shown.keys():
        logger.warning("%s: %s saw other stimuli; not compared", name, condition)
    if not shown or few_in_common(recording):
        columns = ["condition", "network", "seed", "snapshot", "step", "included", "layer"]
        return pd.DataFrame(columns=columns), np.empty((0, len(ids) * (len(ids) - 1) // 2))
    info = pd.concat([rdm_table(c, r) for c, r in shown.items()], ignore_index=True)
    vectors = np.concatenate(
        [aligned_vectors(r, ids, f"{experiment}/{c}") for c, r in shown.items()]
    )
    varies = varying(vectors)
    for row in info[~varies].itertuples():
        logger.warning(
            "%s: %s, %s, layer %s (%s): left out; its RDM is constant",
            *(name, row.condition, row.network, row.layer, row.snapshot),
        )
    return info[varies].reset_index(drop=True), vectors[varies]


def compare_with_recording(
    name: str,
    recording: Recording,
    experiment: str,
    conditions: dict[str, Rdms],
    spec: Geometry,
) -> pd.DataFrame:
    """Compare every network and layer with a recording, with intervals and noise ceilings.

    Parameters
    ----------
    name, recording
        The recording.
    experiment, conditions
        The experiment or image set that was shown, and its conditions' (or networks') RDMs.
    spec
        Distances, RDM similarities and bootstraps.

    Returns
    -------
    pandas.DataFrame
        The table rsa_recordings; similarities are means over subjects, of the stimuli that all of
        them saw.
    """
    recording = on_common_stimuli(recording, spec.min_units)
    info, models = shown_models(name, recording, experiment, conditions)
    tables = [
        _evaluated(info, models, part, data, rdm_similarity, spec).assign(
            recording=name, region=region, experiment=experiment
        )
        for region, part, data in region_rdms(recording, spec, name)
        for rdm_similarity in spec.rdm_similarities
        if len(info)
    ]
    return as_table("rsa_recordings", pd.concat(tables, ignore_index=True) if tables else ())


def region_rdms(
    recording: Recording, spec: Geometry, name: str
) -> Iterator[tuple[str, Recording, Rdms]]:
    """Yield every region, what was recorded there, and the RDMs of its subjects.

    Regions that have none are left out, and the log says why. The stimuli are those of the
    recording: give it those that all subjects saw (:func:`repbias.rsa.common.on_common_stimuli`).
    """
    if problem := few_in_common(recording):
        logger.warning("recording '%s': %s; no RSA of it", name, problem)
        return
    for region, part in by_region(recording):
        try:
            rdms = subject_rdms(part, spec, place(name, region))
        except TooFewUnits as error:
            logger.warning("%s; no RSA of it", error)
        else:
            yield region, of_subjects(part, rdms), rdms


def place(name: str, region: str) -> str:
    """Return what a recording, or a region of it, is called in messages."""
    return f"{name}, {region}" if region else name


def _evaluated(
    info: pd.DataFrame,
    models: np.ndarray,
    recording: Recording,
    rdms: Rdms,
    rdm_similarity: RdmSimilarity,
    spec: Geometry,
) -> pd.DataFrame:
    """Add similarity, interval and ceiling to the descriptors of the models' RDMs."""
    data = rdms.dissimilarities
    result = evaluate(
        models,
        data,
        rdm_similarity,
        spec.bootstraps,
        spec.seed,
        spec.generalise,
        stimulus_groups(recording),
    )
    ceiling = noise_ceiling(recording, data, rdm_similarity, spec)
    return info.assign(
        rdm_similarity=rdm_similarity,
        similarity=result.similarity,
        ci_low=result.ci_low,
        ci_high=result.ci_high,
        interval=result.interval,
        ceiling_low=ceiling.low,
        ceiling_high=ceiling.high,
        ceiling_convention=ceiling.convention,
        n_subjects=len(data),
        n_stimuli=len(recording.stimulus_ids),
    )


def compare_with_subjects(
    name: str,
    recording: Recording,
    experiment: str,
    conditions: dict[str, Rdms],
    spec: Geometry,
) -> pd.DataFrame:
    """Compare every network and layer with every subject of a recording of several.

    As :func:`compare_with_recording`; intervals are of a bootstrap of stimuli. Stimuli are those
    that all subjects saw, or by `spec.subject_stimuli` all that the subject saw.

    Returns
    -------
    pandas.DataFrame
        The table rsa_subjects; empty for a recording of one subject.
    """
    own = spec.subject_stimuli == "all" and recording.responses is not None
    parts = _each_subject(recording) if own else [recording]
    tables = []
    for part in (on_common_stimuli(part, spec.min_units) for part in parts):
        info, models = shown_models(name, part, experiment, conditions)
        for region, _, rdms in region_rdms(part, spec, name):
            subjects, vectors = rdms.rdm_descriptors["subject"], rdms.dissimilarities
            if (len(subjects) < 2 and not own) or info.empty:
                continue
            where = {"recording": name, "region": region, "experiment": experiment}
            for rdm_similarity, (subject, data) in product(
                spec.rdm_similarities, zip(subjects, vectors, strict=True)
            ):
                about = info.assign(**where, subject=subject, rdm_similarity=rdm_similarity)
                tables.append(_of_subject(about, models, data, part, rdm_similarity, spec))
    return as_table("rsa_subjects", pd.concat(tables, ignore_index=True) if tables else ())


def _each_subject(recording: Recording) -> list[Recording]:
    """Return what was recorded in every subject, of the stimuli that it saw; nothing of one."""
    found = [of_shown(part) for *_, part in by_subject(recording)]
    return found if len(found) > 1 else []


def _of_subject(
    about: pd.DataFrame,
    models: np.ndarray,
    data: np.ndarray,
    recording: Recording,
    rdm_similarity: RdmSimilarity,
    spec: Geometry,
) -> pd.DataFrame:
    """Add the similarity of models with one subject's RDM (pair,), and its interval."""
    result = evaluate(
        models,
        data[None],
        rdm_similarity,
        spec.bootstraps,
        spec.seed,
        "stimuli",
        stimulus_groups(recording),
    )
    return about.assign(
        similarity=result.similarity,
        ci_low=result.ci_low,
        ci_high=result.ci_high,
        interval=result.interval,
        n_stimuli=len(recording.stimulus_ids),
    )


def compare_times(
    name: str,
    recording: Recording,
    experiment: str,
    conditions: dict[str, Rdms],
    spec: Geometry,
) -> pd.DataFrame:
    """Compare networks with every time bin of a recording, as :func:`compare_with_recording`.

    The recording's window applies only to the choice of units by `min_reliability`, which is the
    same for all bins. Bins whose RDM is undefined are left out with a warning. Compared are
    networks that met the inclusion criterion, untrained and at the end of training. Intervals are
    pointwise, for each bin.

    Returns
    -------
    pandas.DataFrame
        The table rsa_times; empty for recordings without a time axis.
    """
    refuse_unknown_times(name, recording)
    if recording.responses is None or recording.responses.ndim != 3:
        return as_table("rsa_times")
    recording = on_common_stimuli(recording, spec.min_units)
    info, models = shown_models(name, recording, experiment, conditions)
    rows = (info["included"].astype(bool) & info["snapshot"].isin(["initial", "final"])).to_numpy()
    info, models = info[rows], models[rows]
    if info.empty:
        return as_table("rsa_times")
    tables = []
    for (region, part), rdm_similarity in product(by_region(recording), spec.rdm_similarities):
        where = {"recording": name, "region": region, "experiment": experiment}
        for time, of_bin in time_bins(part):
            try:
                rdms = subject_rdms(of_bin, spec, place(name, region))
            except RepbiasError as error:
                logger.warning("%s, bin at %g s: left out: %s", place(name, region), time, error)
                continue
            of_bin = of_subjects(of_bin, rdms)
            table = _evaluated(info, models, of_bin, rdms, rdm_similarity, spec)
            tables.append(table.assign(**where, time_s=time))
    return as_table("rsa_times", pd.concat(tables, ignore_index=True) if tables else ())


def refuse_unknown_times(name: str, recording: Recording) -> None:
    """Refuse time bins of which the times are not known."""
    has_bins = recording.responses is not None and recording.responses.ndim == 3
    if has_bins and "times_s" not in recording.info:
        raise RepbiasError(
            f"recording '{name}': geometry.time_resolved needs times, the centres of its time bins"
        )


def time_bins(recording: Recording) -> Iterator[tuple[float, Recording]]:
    """Yield the centre of every time bin, in seconds, and the responses of the analysed units."""
    assert recording.responses is not None
    used = of_units(recording, analysed_units(recording))
    assert used.responses is not None
    unprepared = {"window": None, "min_reliability": None, "min_repeats": None}
    preparation = preparation_of(recording).model_copy(update=unprepared)
    for i, time in enumerate(recording.info["times_s"]):
        yield (
            time,
            replace(
                used,
                responses=at_time(used.responses, i),
                info=recording.info | {"preparation": preparation.preparation()},
            ),
        )


def compare_recordings(recordings: dict[str, Recording], spec: Geometry) -> pd.DataFrame:
    """Compare the RDMs of every pair of recordings over the stimuli that all their subjects saw.

    If a recording has several subjects, in two ways: the mean over pairs of subjects, one from each
    recording; and the similarity of the recordings' mean RDMs, which is higher, as averaging
    removes what is specific to a subject. Intervals are of a bootstrap of stimuli.

    Parameters
    ----------
    recordings
        By name.
    spec
        Distance, RDM similarities and bootstraps.

    Returns
    -------
    pandas.DataFrame
        The table rsa_between_recordings; no rows for pairs with fewer than four common stimuli.
        `interval` says in which way.
    """
    rows = []
    recordings = {n: on_common_stimuli(r, spec.min_units) for n, r in recordings.items()}
    parts = {
        name: list(region_rdms(recording, spec, name)) for name, recording in recordings.items()
    }
    for a, b in combinations(recordings, 2):
        # The first recording's order, so that the row does not depend on other recordings.
        known = set(recordings[b].stimulus_ids)
        shared = np.array([i in known for i in recordings[a].stimulus_ids], bool)
        ids = recordings[a].stimulus_ids[shared]
        if len(ids) < MIN_STIMULI:
            logger.warning("%s and %s have %d stimuli in common; not compared", a, b, len(ids))
            continue
        if not shared.all() or len(ids) < len(known):
            logger.info(
                "%s and %s are compared on %d common stimuli, of %d and %d",
                *(a, b, len(ids), len(shared), len(known)),
            )
        groups = stimulus_groups(recordings[a]).subset(shared)
        for (region_a, _, x), (region_b, _, y) in product(parts[a], parts[b]):
            sides = {
                "recording_a": a,
                "region_a": region_a,
                "recording_b": b,
                "region_b": region_b,
                "n_subjects_a": len(x.dissimilarities),
                "n_subjects_b": len(y.dissimilarities),
                "n_stimuli": len(ids),
            }
            vectors = aligned_vectors(x, ids, a), aligned_vectors(y, ids, b)
            rows += [sides | row for row in _between_recordings(*vectors, groups, spec)]
    return as_table("rsa_between_recordings", rows)


def _between_recordings(
    x: np.ndarray, y: np.ndarray, groups: StimulusGroups, spec: Geometry
) -> Iterator[dict[str, Any]]:
    """Compare two recordings' RDMs (subject, pair) by every measure and in every way."""
    draws = Draws.of(groups, 1, spec.bootstraps, spec.seed, "stimuli")
    ways = {"": (x, y)}
    if len(x) * len(y) > 1:
        means = x.mean(axis=0, keepdims=True), y.mean(axis=0, keepdims=True)
        ways = {", mean over pairs of subjects": (x, y), ", mean RDM": means}
    for rdm_similarity, (way, (a, b)) in product(spec.rdm_similarities, ways.items()):
        similarity = similarities(a, b, rdm_similarity).mean()
        samples = resampled_similarity(a, b, rdm_similarity, draws.counts).mean(axis=(1, 2))
        n = len(draws.stimuli)
        variances = draws.variances({"stimuli": samples[:n], "left_out": samples[n:]})
        width = stdtrit(draws.degrees(variances), 0.975) * np.sqrt(draws.variance(variances))
        yield {
            "rdm_similarity": rdm_similarity,
            "similarity": similarity,
            "ci_low": within_bounds(similarity - width),
            "ci_high": within_bounds(similarity + width),
            "interval": draws.interval + way,
        }
