"""Tables of RSA: networks and recordings, among each other and against each other."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
from rsatoolbox.rdm import RDMs
from scipy.stats import t as student

from repbias.base.spec import RepbiasError
from repbias.geometry.comparison import resampled_similarity, similarities
from repbias.geometry.inference import INTERVALS, Draws, evaluate
from repbias.geometry.spec import Geometry, RdmSimilarity
from repbias.io.recordings import Recording
from repbias.recordings.reliability import analysed_units
from repbias.recordings.spec import preparation_of
from repbias.rsa.ceilings import noise_ceiling
from repbias.rsa.rdms import aligned_vectors, subject_rdms
from repbias.tables import as_table

logger = logging.getLogger(__name__)


def rdm_table(condition: str, rdms: RDMs) -> pd.DataFrame:
    """Return what each RDM is of: condition, network, seed, snapshot, step, included and layer."""
    info = {k: v for k, v in rdms.rdm_descriptors.items() if k != "index"}
    return pd.DataFrame({"condition": condition, **{k: list(v) for k, v in info.items()}})


def compare_models(experiment: str, conditions: dict[str, RDMs], spec: Geometry) -> pd.DataFrame:
    """Compare all networks and layers of an experiment with each other.

    RDMs of the same snapshot are compared, all pairs once. Conditions whose stimuli differ are
    not comparable and give no rows.

    Parameters
    ----------
    experiment
        Its name.
    conditions
        Condition to RDMs.
    spec
        Names the RDM similarities.
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
            side = info.loc[rows].drop(columns="snapshot")
            for rdm_similarity in spec.rdm_similarities:
                similarity = similarities(vectors[rows], vectors[rows], rdm_similarity)
                tables.append(
                    pd.concat(
                        [
                            side.iloc[first].add_suffix("_a").reset_index(drop=True),
                            side.iloc[second].add_suffix("_b").reset_index(drop=True),
                        ],
                        axis=1,
                    ).assign(
                        experiment=experiment,
                        rdm_similarity=rdm_similarity,
                        snapshot=snapshot,
                        similarity=similarity[first, second],
                    )
                )
    return as_table("rsa_models", pd.concat(tables, ignore_index=True) if tables else ())


def shown_models(
    name: str, recording: Recording, experiment: str, conditions: dict[str, RDMs]
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the RDMs that can be compared with a recording, over its stimuli.

    Conditions with other stimuli than the recording's are left out with a warning.

    Returns
    -------
    tuple
        What each RDM is of (:func:`rdm_table`, and "experiment"), and (rdm, pair) in the order of
        the recording's stimuli; both empty if there is none.
    """
    ids = recording.stimulus_ids
    shown = {
        condition: rdms
        for condition, rdms in conditions.items()
        if set(ids) <= set(rdms.pattern_descriptors["stimulus_id"])
    }
    for condition in conditions.keys() - shown.keys():
        logger.warning("%s: %s saw other stimuli; not compared", name, condition)
    if not shown:
        columns = ["condition", "network", "seed", "snapshot", "step", "included", "layer"]
        return pd.DataFrame(columns=columns), np.empty((0, len(ids) * (len(ids) - 1) // 2))
    info = pd.concat([rdm_table(c, r) for c, r in shown.items()], ignore_index=True)
    vectors = [aligned_vectors(r, ids, f"{experiment}/{c}") for c, r in shown.items()]
    return info, np.concatenate(vectors)


def compare_with_recording(
    name: str,
    recording: Recording,
    experiment: str,
    conditions: dict[str, RDMs],
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
        The table rsa_recordings; similarities are means over subjects.
    """
    data = subject_rdms(recording, spec, name).get_vectors()
    info, models = shown_models(name, recording, experiment, conditions)
    tables = [
        _evaluated(info, models, recording, data, rdm_similarity, spec).assign(
            recording=name, experiment=experiment
        )
        for rdm_similarity in spec.rdm_similarities
        if len(info)
    ]
    return as_table("rsa_recordings", pd.concat(tables, ignore_index=True) if tables else ())


def _evaluated(
    info: pd.DataFrame,
    models: np.ndarray,
    recording: Recording,
    data: np.ndarray,
    rdm_similarity: RdmSimilarity,
    spec: Geometry,
) -> pd.DataFrame:
    """Add similarity, interval and ceiling to what the models' RDMs are of."""
    result = evaluate(models, data, rdm_similarity, spec.bootstraps, spec.seed, spec.generalise)
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


def compare_times(
    name: str,
    recording: Recording,
    experiment: str,
    conditions: dict[str, RDMs],
    spec: Geometry,
) -> pd.DataFrame:
    """Compare networks with every time bin of a recording, as :func:`compare_with_recording`.

    The recording's window does not apply, but to the choice of units by `min_reliability`, which
    is the same for all bins. Bins of which there is no RDM are left out with a warning. Networks
    that met the inclusion criterion, untrained and at the end of training. Intervals are of each
    bin alone.

    Returns
    -------
    pandas.DataFrame
        The table rsa_times; empty for recordings without a time axis.
    """
    if recording.responses is None or recording.responses.ndim != 3:
        return as_table("rsa_times")
    if "times_s" not in recording.info:
        raise RepbiasError(
            f"recording '{name}': geometry.time_resolved needs times, the centres of its time bins"
        )
    info, models = shown_models(name, recording, experiment, conditions)
    rows = (info["included"].astype(bool) & info["snapshot"].isin(["initial", "final"])).to_numpy()
    info, models = info[rows], models[rows]
    if info.empty:
        return as_table("rsa_times")
    used = analysed_units(recording)
    units = {column: values[used] for column, values in recording.units.items()}
    unprepared = {"window": None, "min_reliability": None}
    preparation = preparation_of(recording).model_copy(update=unprepared)
    tables = []
    for i, time in enumerate(recording.info["times_s"]):
        of_bin = replace(
            recording,
            responses=recording.responses[:, used, i],
            units=units,
            info=recording.info | {"preparation": preparation.preparation()},
        )
        try:
            data = subject_rdms(of_bin, spec, name).get_vectors()
        except RepbiasError as error:
            logger.warning("%s, bin at %g s: left out: %s", name, time, error)
            continue
        for rdm_similarity in spec.rdm_similarities:
            table = _evaluated(info, models, of_bin, data, rdm_similarity, spec)
            tables.append(table.assign(recording=name, experiment=experiment, time_s=time))
    return as_table("rsa_times", pd.concat(tables, ignore_index=True) if tables else ())


def compare_recordings(recordings: dict[str, Recording], spec: Geometry) -> pd.DataFrame:
    """Compare the RDMs of every pair of recordings over the stimuli that both have.

    Two ways, where a recording has several subjects: the mean over pairs of subjects, one of each
    recording; and the similarity of the recordings' mean RDMs, which is higher, as averaging
    removes what is a subject's own. Intervals are of a bootstrap of stimuli.

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
        `interval` says which way.
    """
    rdms = {name: subject_rdms(recording, spec, name) for name, recording in recordings.items()}
    rows = []
    for a, b in combinations(recordings, 2):
        # The recordings' own order, so that the row does not depend on other recordings.
        ids = np.array([i for i in recordings[a].stimulus_ids if i in recordings[b].stimulus_ids])
        if len(ids) < 4:
            logger.warning("%s and %s have %d stimuli in common; not compared", a, b, len(ids))
            continue
        one, two = (aligned_vectors(rdms[name], ids, name) for name in (a, b))
        sides = {
            "recording_a": a,
            "recording_b": b,
            "n_subjects_a": len(one),
            "n_subjects_b": len(two),
            "n_stimuli": len(ids),
        }
        draws = Draws.of(len(ids), 1, spec.bootstraps, spec.seed, "stimuli")
        for rdm_similarity in spec.rdm_similarities:
            ways = {"": (one, two)}
            if len(one) * len(two) > 1:
                means = one.mean(axis=0, keepdims=True), two.mean(axis=0, keepdims=True)
                ways = {", mean over pairs of subjects": (one, two), ", mean RDM": means}
            for way, (x, y) in ways.items():
                similarity = similarities(x, y, rdm_similarity).mean()
                samples = resampled_similarity(x, y, rdm_similarity, draws.stimuli)
                variance = draws.variance({"stimuli": samples.mean(axis=(1, 2)).var(ddof=1)})
                width = student.ppf(0.975, len(ids) - 1) * np.sqrt(variance)
                rows.append(
                    {
                        **sides,
                        "rdm_similarity": rdm_similarity,
                        "similarity": similarity,
                        "ci_low": similarity - width,
                        "ci_high": similarity + width,
                        "interval": INTERVALS["stimuli"] + way,
                    }
                )
    return as_table("rsa_between_recordings", rows)
