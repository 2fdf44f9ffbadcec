"""The tables of the audit: of recordings with networks, of two networks, of two recordings."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from repbias.auditing.design import Design
from repbias.auditing.features import (
    as_lines,
    chosen_features,
    complete_stimuli,
    not_audited,
    regressors,
)
from repbias.auditing.gates import LEVEL, has_features, has_rest, least_t, permutation_p
from repbias.auditing.kernels import squared, subject_kernels
from repbias.auditing.scores import Brain, Division, Remainder, Side, divisions, movable
from repbias.auditing.shares import REST, kernel_of
from repbias.auditing.spec import Audit
from repbias.auditing.warnings import of_division, of_lines, of_recording
from repbias.base.spec import RepbiasError
from repbias.base.statistics import false_discovery_control
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.recordings.parts import by_region, of_stimuli, stimulus_groups
from repbias.rsa.common import few_in_common, on_common_stimuli
from repbias.rsa.rdms import Rdms
from repbias.rsa.tables import place, refuse_unknown_times, shown_models, time_bins
from repbias.tables import TABLES, as_table

logger = logging.getLogger(__name__)

#: Permutations of a feature's labels.
N_LABELS = 99


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of the stimuli that are audited.

    Attributes
    ----------
    rows : (stimulus,) bool, which of the recording's stimuli are audited
    design : their features
    without : of every feature the design of it alone, and under "all" that of all
    said : what the study says of every feature: columns "role" and "reliability"
    lines : the values of features that are audited as numbers
    passed_over : in words, columns that are not audited though they group stimuli
    """

    rows: np.ndarray
    design: Design
    without: dict[str, Design]
    said: dict[str, dict[str, Any]]
    lines: dict[str, np.ndarray]
    passed_over: Sequence[str] = ()

    @classmethod
    def of(
        cls, columns: Mapping[str, np.ndarray], spec: Audit, grouping: str | None = None
    ) -> Known | None:
        """Look at the columns of stimuli, of which one may say which stimuli depend on each other.

        None where there is nothing to audit.
        """
        features, passed_over = chosen_features(spec, columns), not_audited(spec, columns, grouping)
        if not features:
            return None
        rows = complete_stimuli(spec, features, columns)
        columns = {name: values[rows] for name, values in columns.items()}
        coded = regressors(features, columns)
        design = Design.of(coded, spec.seed)
        without = {name: Design.of({name: values}) for name, values in coded.items()}
        said = {
            name: {"role": feature.role or "", "reliability": feature.reliability}
            for name, feature in features.items()
        }
        lines = as_lines(features, columns)
        return cls(rows, design, without | {"all": design}, said, lines, passed_over)


def audit_recording(
    name: str,
    recording: Recording,
    experiment: str,
    conditions: Mapping[str, Rdms],
    statistics: Mapping[str, Mapping[str, float]],
    geometry: Geometry,
    spec: Audit,
) -> dict[str, pd.DataFrame]:
    """Divide the scores of all networks and layers with a recording among features.

    Parameters
    ----------
    name, recording
        The recording.
    experiment, conditions
        The experiment or image set that was shown, and its conditions' (or networks') RDMs.
    statistics
        Image statistics, each by stimulus id.
    geometry, spec
        Settings.

    Returns
    -------
    dict of pandas.DataFrame
        The tables audit, audit_remaining and audit_range. A recording, or a region of one, that
        cannot be audited has one row that says why.
    """
    recording = on_common_stimuli(recording, geometry.min_units)
    info, vectors = shown_models(name, recording, experiment, dict(conditions))
    where = {"recording": name, "experiment": experiment}
    ids = recording.stimulus_ids
    own = {k: v for k, v in recording.stimuli.items() if k != "stimulus_id"}
    columns = own | labels_of(conditions, ids) | in_order(statistics, ids)
    try:
        if problem := few_in_common(recording):
            raise RepbiasError(f"audit: {problem}")
        grouping = recording.info.get("groups")
        known = Known.of(columns, spec, grouping)
        if known is None and (passed_over := not_audited(spec, columns, grouping)):
            raise RepbiasError(f"audit: {passed_over[0]}")
        if known is None or info.empty:
            logger.info("%s: nothing is known of the stimuli, or no network saw them", name)
            return _as_tables([])
    except RepbiasError as error:
        logger.warning("%s: %s", name, error)
        return _as_tables([_refused(error, where)])
    distances = {c: r.dissimilarity_measure for c, r in conditions.items()}
    undivided = _undivided(name, {c: distances[c] for c in info["condition"].unique()})
    kept = ~info["condition"].isin(list(undivided)).to_numpy()
    info, vectors = info[kept].reset_index(drop=True), vectors[kept]
    pairs = pairs_of(known.rows)
    kernels = [
        kernel_of(squared(v[pairs], distances[c]))
        for v, c in zip(vectors, info["condition"], strict=True)
    ]
    audited = []
    for region, part in by_region(recording):
        at = where | {"region": region}
        for condition, error in undivided.items():
            about = {"condition": condition, "measure": distances[condition]}
            audited.append(_refused(error, at | about))
        if not kernels:
            continue
        for time, of_time in _parts_of_time(name, of_stimuli(part, known.rows), geometry):
            try:
                audited += _audit_part(
                    of_time, info, kernels, distances, known, geometry, spec, at | {"time_s": time}
                )
            except RepbiasError as error:
                logger.warning("%s: %s", place(name, region), error)
                audited.append(_refused(error, at | {"time_s": time}))
    return _as_tables(audited)


def _undivided(name: str, distances: Mapping[str, str]) -> dict[str, RepbiasError]:
    """Return the conditions whose dissimilarities cannot be divided among features, and why."""
    errors = {}
    for condition, distance in distances.items():
        try:
            squared(np.empty(0), distance)
        except RepbiasError as error:
            logger.warning("%s: %s: %s", name, condition, error)
            errors[condition] = error
    return errors


def in_order(
    statistics: Mapping[str, Mapping[str, float]], ids: np.ndarray
) -> dict[str, np.ndarray]:
    """Return image statistics as columns, in the order of ids; NaN of other stimuli."""
    return {
        name: np.array([of_stimulus.get(str(i), np.nan) for i in ids])
        for name, of_stimulus in statistics.items()
    }


def pairs_of(rows: np.ndarray) -> np.ndarray:
    """Return which pairs of stimuli (pair,) are of chosen ones, (stimulus,) bool."""
    first, second = np.triu_indices(len(rows), 1)
    chosen: np.ndarray = rows[first] & rows[second]
    return chosen


def labels_of(conditions: Mapping[str, Rdms], ids: np.ndarray) -> dict[str, np.ndarray]:
    """Return the features of generated stimuli that RDMs come with, in the order of ids.

    Classes are numbered, so they are made text: numbers would be regressed on.
    """
    for rdms in conditions.values():
        descriptors = dict(rdms.pattern_descriptors)
        position = {str(s): i for i, s in enumerate(descriptors.pop("stimulus_id"))}
        descriptors.pop("index", None)
        if descriptors and all(str(i) in position for i in ids):
            rows = [position[str(i)] for i in ids]
            return {
                name: np.asarray(values)[rows].astype(str) for name, values in descriptors.items()
            }
    return {}


def _parts_of_time(
    name: str, recording: Recording, geometry: Geometry
) -> Iterator[tuple[float, Recording]]:
    """Yield the recording in its window, and every time bin if the study asks for them."""
    yield float("nan"), recording
    if geometry.time_resolved and recording.responses is not None and recording.responses.ndim == 3:
        refuse_unknown_times(name, recording)
        yield from time_bins(recording)


@dataclass(frozen=True)
class Audited:
    """Rows of the three tables that one pair of sides fills."""

    shares: list[dict[str, Any]]
    remaining: list[dict[str, Any]]
    range: list[dict[str, Any]]


def _refused(error: RepbiasError, where: dict[str, Any]) -> Audited:
    return Audited([where | {"warning": str(error), "gate": False}], [], [])


def _audit_part(
    recording: Recording,
    info: pd.DataFrame,
    kernels: Sequence[np.ndarray],
    distances: Mapping[str, str],
    known: Known,
    geometry: Geometry,
    spec: Audit,
    where: dict[str, Any],
) -> list[Audited]:
    """Audit all networks against a region of a recording, in its window or a time bin."""
    subjects = subject_kernels(recording, geometry, spec.seed)
    side, groups = Side.of_subjects(subjects), stimulus_groups(recording)
    brain = Brain.of(side, known.design)
    without = {name: Remainder.of(side, design) for name, design in known.without.items()}
    measure = str(recording.info.get("distance")) if recording.rdms is not None else None
    measure = measure or geometry.recording_distance
    general = [
        *known.passed_over,
        *of_lines(side.of_means.mean(axis=0), known.lines),
        *of_recording(recording, side, known.design, measure, groups),
    ]
    gate_p = permutation_p(kernels, side.mean, groups, spec.permutations, spec.seed)
    of_brain = np.append(
        has_features(side.mean, brain.orthogonal, N_LABELS, spec.seed),
        len(side.halves) > 0
        and has_rest([(a, b) for a, b in side.halves], known.design, N_LABELS, spec.seed),
    )
    audited = []
    for row, kernel, p in zip(info.to_dict(orient="records"), kernels, gate_p, strict=True):
        of_network = distances[row["condition"]]
        about = (
            where
            | row
            | {"measure": of_network if of_network == measure else f"{of_network}, {measure}"}
        )
        division, *of_subjects = divisions(kernel, brain)
        passed = p <= LEVEL and not division.t < least_t(len(side.without))
        about |= {"score": division.score, "gate": bool(passed)}
        tested = {"gate_p": p, "gate_t": division.t, "n_stimuli": int(known.rows.sum())}
        about_division = of_division(division) if passed else ()
        shares = _share_rows(about | tested, division, known, [*about_division, *general])
        # Of an only subject nothing is said twice.
        for subject, of_subject in zip(subjects, of_subjects, strict=False):
            at = about | tested | {"subject": subject.subject, "score": of_subject.score}
            shares += _share_rows(at, of_subject, known, general)
        of_model = np.append(has_features(kernel, brain.orthogonal, N_LABELS, spec.seed), True)
        moved = movable(kernel, brain, of_model, of_brain, division.score)
        names = [*known.design.names, REST]
        audited.append(
            Audited(
                shares,
                [
                    about | {"feature": name, "remaining": remainder.score(kernel)}
                    for name, remainder in without.items()
                ],
                [
                    about
                    | {
                        "feature": name,
                        "alone": alone,
                        "usable": bool(usable),
                        "range_low": moved.low,
                        "range_high": moved.high,
                        "equalised": moved.equalised,
                    }
                    for name, alone, usable in zip(names, moved.alone, moved.usable, strict=True)
                ],
            )
        )
    return audited


def _share_rows(
    about: dict[str, Any], division: Division, known: Known, warnings: Sequence[str]
) -> list[dict[str, Any]]:
    values = zip(
        [*known.design.names, REST],
        division.shares,
        division.low,
        division.high,
        division.p,
        division.predicted,
        strict=True,
    )
    return [
        about
        | {
            **known.said.get(feature, {}),
            "feature": feature,
            "share": share,
            "ci_low": low,
            "ci_high": high,
            "p": p,
            "predicted": predicted,
            "target": division.target,
            "plain": division.plain,
            "warning": "; ".join(warnings),
        }
        for feature, share, low, high, p, predicted in values
    ]


def _as_tables(audited: Sequence[Audited]) -> dict[str, pd.DataFrame]:
    """Gather the rows of all tables."""
    return {
        "audit": shares_table("audit", [row for a in audited for row in a.shares]),
        "audit_remaining": _table("audit_remaining", [row for a in audited for row in a.remaining]),
        "audit_range": _table("audit_range", [row for a in audited for row in a.range]),
    }


#: Columns of the tests among which the false discovery rate is controlled.
FAMILIES = {
    "audit": ["recording", "region", "subject", "recording_b", "time_s"],
    "audit_networks": ["experiment", "snapshot"],
}


def shares_table(name: str, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a table of shares, with the false discovery rate over features and layers controlled.

    Parameters
    ----------
    name
        "audit" or "audit_networks".
    rows
        They may leave out columns that do not concern them.
    """
    table = _table(name, rows)
    for _, part in table.groupby(FAMILIES[name], dropna=False):
        tested = part.index[part["p"].notna()]
        if len(tested):
            table.loc[tested, "p_fdr"] = false_discovery_control(table.loc[tested, "p"])
    return table


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a table of rows that leave out the columns that do not concern them."""
    types = TABLES[name].types
    empty = {str: "", bool: False, int: -1, float: float("nan")}
    absent = {column: empty[t] for column, t in types.items()}
    frame = pd.DataFrame([{**absent, **row} for row in rows], columns=list(types))
    return as_table(name, frame.astype(types))
