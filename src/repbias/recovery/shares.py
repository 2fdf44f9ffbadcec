"""How far shares of a score, and their intervals, can be trusted at the noise of a recording."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from repbias.auditing.kernels import squared, subject_kernels
from repbias.auditing.scores import NEW_SUBJECTS, Brain, Side, divide
from repbias.auditing.shares import REST, kernel_of
from repbias.auditing.spec import Audit
from repbias.auditing.tables import Known, in_order, labels_of
from repbias.base.spec import RepbiasError
from repbias.geometry.spec import Geometry
from repbias.io.activations import Activations
from repbias.io.recordings import Recording
from repbias.recordings.parts import by_region, of_stimuli
from repbias.recovery.candidates import Candidates
from repbias.recovery.models import interval, rows_as_table
from repbias.recovery.spec import Recovery
from repbias.recovery.twins import Twins
from repbias.rsa.common import few_in_common, on_common_stimuli
from repbias.rsa.rdms import Rdms
from repbias.rsa.tables import place

logger = logging.getLogger(__name__)

#: Subjects without noise that stand for all, where intervals are about other subjects.
N_SUBJECTS = 40
#: Distances whose kernels need noise.
_NOISY = ("mahalanobis", "crossnobis")


def recover_shares(
    name: str,
    recording: Recording,
    experiment: str,
    rdms: Mapping[str, Rdms],
    activations: Mapping[str, Activations],
    layers: Mapping[str, str],
    statistics: Mapping[str, Mapping[str, float]],
    geometry: Geometry,
    audit: Audit,
    spec: Recovery,
) -> pd.DataFrame:
    """Divide scores of simulated brains among features, and compare with those without noise.

    Brains are simulated from one layer of every model, with the noise of the recording; what is
    divided is their score with that layer of another network of the same condition.

    Parameters
    ----------
    name, recording
        The recording.
    experiment, rdms, activations
        What was shown, and the RDMs and activations of its conditions (or networks).
    layers
        Of every condition, the layer.
    statistics
        Image statistics, each by stimulus id.
    geometry, audit, spec
        Settings.

    Returns
    -------
    pandas.DataFrame
        The table recovery_shares; of what cannot be simulated a row that says why.
    """
    where = {"recording": name, "experiment": experiment}
    recording = on_common_stimuli(recording, geometry.min_units)
    ids = recording.stimulus_ids
    own = {k: v for k, v in recording.stimuli.items() if k != "stimulus_id"}
    rows: list[dict[str, Any]] = []
    try:
        if problem := few_in_common(recording):
            raise RepbiasError(f"recovery: {problem}")
        if recording.rdms is not None:
            raise RepbiasError("recovery: of a recording of RDMs no shares are simulated")
        if geometry.recording_distance in _NOISY:
            raise RepbiasError(
                f"recovery: without noise there is no {geometry.recording_distance} distance, so "
                "that true shares are not known"
            )
        known = Known.of(own | labels_of(rdms, ids) | in_order(statistics, ids), audit)
        if known is None:
            return rows_as_table("recovery_shares", [])
        part = of_stimuli(recording, known.rows)
        candidates = Candidates.of(name, part, experiment, rdms, activations, spec, layers)
        for region, of_region in by_region(part):
            at = where | {"region": region}
            try:
                twins = Twins.of(of_region, spec.reliability)
                rows += [at | r for r in _of_models(twins, candidates, known, geometry, spec)]
            except RepbiasError as error:
                logger.warning("%s: %s", place(name, region), error)
                rows.append(at | {"warning": str(error)})
    except RepbiasError as error:
        logger.warning("%s: %s", name, error)
        rows.append(where | {"warning": str(error)})
    return rows_as_table("recovery_shares", rows)


def _of_models(
    twins: Twins, candidates: Candidates, known: Known, geometry: Geometry, spec: Recovery
) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng([spec.seed, 2])
    for model, (names,), at in zip(
        candidates.models, candidates.layers, candidates.at, strict=True
    ):
        found = []
        for network in range(len(at)):
            n = len(range(network, spec.shares, len(at)))
            scored = at[(network + 1) % len(at), 0]
            kernel = kernel_of(squared(candidates.rdms[scored], candidates.distances[scored]))
            root = candidates.roots[at[network, 0]]
            found += list(shares_of_brains(twins, root, kernel, known, geometry, n, rng))
        true, shares, low, high = (np.array([f[i] for f in found], dtype=float) for i in range(4))
        has_interval = np.isfinite(low).all()
        covered = ((low <= true) & (true <= high)).mean(axis=0)
        ends = interval(covered, len(found))
        for i, feature in enumerate([*known.design.names, REST]):
            yield {
                "condition": model,
                "layer": names,
                "feature": feature,
                "target": found[0][4],
                "true_share": true[:, i].mean(),
                "share": shares[:, i].mean(),
                "error": np.sqrt(((shares - true)[:, i] ** 2).mean()),
                "coverage": covered[i] if has_interval else np.nan,
                "ci_low": ends[0][i] if has_interval else np.nan,
                "ci_high": ends[1][i] if has_interval else np.nan,
                "n": len(found),
            }


def shares_of_brains(
    twins: Twins,
    root: np.ndarray,
    kernel: np.ndarray,
    known: Known,
    geometry: Geometry,
    n: int,
    rng: np.random.Generator,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]]:
    """Yield true shares, shares, both ends of their intervals, and what these are about.

    Parameters
    ----------
    twins, root
        What brains are simulated by, and the layer (:meth:`Twins.simulate`).
    kernel
        (stimulus, stimulus), of the model whose score with the brain is divided.
    known, geometry
        The features, and the distances.
    n, rng
        Number of brains, and their random numbers.
    """

    def brain_of(*recordings: Recording) -> Brain:
        subjects = [s for r in recordings for s in subject_kernels(r, geometry, 0)]
        return Brain.of(Side.of_subjects(subjects), known.design)

    def true_shares(*recordings: Recording) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):  # p values without noise
            return divide(kernel, brain_of(*recordings)).shares

    population = None
    for _ in range(n):
        signal = twins.signal(root, rng)
        divided = divide(kernel, brain_of(twins.measured(signal, rng)))
        if divided.target == NEW_SUBJECTS:
            if population is None:
                copies = -(-N_SUBJECTS // len(twins.subjects))
                others = [twins.measured(twins.signal(root, rng)) for _ in range(copies)]
                population = true_shares(*others)
            true = population
        else:
            true = true_shares(twins.measured(signal))
        yield true, divided.shares, divided.low, divided.high, divided.target
