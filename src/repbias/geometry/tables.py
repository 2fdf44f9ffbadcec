"""Tables of RSA: networks among each other, and networks against recordings."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from rsatoolbox.rdm import RDMs, compare

from repbias.geometry.inference import evaluate, noise_ceiling
from repbias.geometry.rdms import aligned_vectors, make_rdms, subject_rdms
from repbias.geometry.spec import Geometry
from repbias.store import Recording
from repbias.tables import as_table

logger = logging.getLogger(__name__)


def rdm_table(condition: str, rdms: RDMs) -> pd.DataFrame:
    """Return what each RDM is of: condition, network, seed, snapshot, step, kept and layer."""
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
        Names the comparators.
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
            rdms = make_rdms(vectors[rows], ids, spec.distance, {})
            first, second = np.triu_indices(len(rows), 1)
            side = info.loc[rows].drop(columns="snapshot")
            for comparator in spec.comparators:
                tables.append(
                    pd.concat(
                        [
                            side.iloc[first].add_suffix("_a").reset_index(drop=True),
                            side.iloc[second].add_suffix("_b").reset_index(drop=True),
                        ],
                        axis=1,
                    ).assign(
                        experiment=experiment,
                        comparator=comparator,
                        snapshot=snapshot,
                        similarity=compare(rdms, rdms, comparator)[first, second],
                    )
                )
    return as_table("rsa_models", pd.concat(tables, ignore_index=True) if tables else ())


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
        Distances, comparators and bootstraps.
    """
    data = subject_rdms(recording, spec.recording_distance, name).get_vectors()
    ids = recording.stimulus_ids
    # Conditions with other stimuli than the recording's cannot be compared with it.
    shown = {
        condition: rdms
        for condition, rdms in conditions.items()
        if set(ids) <= set(rdms.pattern_descriptors["stimulus_id"])
    }
    for condition in conditions.keys() - shown.keys():
        logger.warning("%s: %s saw other stimuli; not compared", name, condition)
    if not shown:
        return as_table("rsa_recordings")
    info = pd.concat([rdm_table(c, r) for c, r in shown.items()], ignore_index=True)
    models = np.concatenate(
        [aligned_vectors(r, ids, f"{experiment}/{c}") for c, r in shown.items()]
    )
    tables = []
    for comparator in spec.comparators:
        result = evaluate(models, data, comparator, spec.bootstraps, spec.seed)
        ceiling = noise_ceiling(
            recording, data, comparator, spec.recording_distance, seed=spec.seed
        )
        tables.append(
            info.assign(
                recording=name,
                comparator=comparator,
                experiment=experiment,
                similarity=result.similarity,
                ci_low=result.ci_low,
                ci_high=result.ci_high,
                interval=result.interval,
                ceiling_low=ceiling.low,
                ceiling_high=ceiling.high,
                ceiling_convention=ceiling.convention,
                n_subjects=len(data),
                n_stimuli=len(ids),
            )
        )
    return as_table("rsa_recordings", pd.concat(tables, ignore_index=True))
