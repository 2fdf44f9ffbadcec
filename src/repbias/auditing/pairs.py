"""The audit of recordings with each other: how much of their similarity is which feature."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd

from repbias.auditing.design import Design
from repbias.auditing.gates import LEVEL, least_t, permutation_p
from repbias.auditing.kernels import subject_kernels
from repbias.auditing.scores import Side, cosine, jackknifed_shares, jackknifed_t
from repbias.auditing.shares import REST, Freed, score_parts
from repbias.auditing.spec import Audit
from repbias.auditing.tables import Known, in_order, shares_table
from repbias.base.spec import RepbiasError
from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.recordings.parts import by_region, in_order_of, of_stimuli, stimulus_groups
from repbias.rsa.common import MIN_STIMULI, on_common_stimuli

logger = logging.getLogger(__name__)

#: Subjects of both recordings from which on intervals are over them.
MIN_SUBJECTS = 3
THESE = "these stimuli and subjects: without interval"
OTHERS = "these stimuli, other subjects like these"


def audit_pairs(
    recordings: Mapping[str, Recording],
    statistics: Mapping[str, Mapping[str, float]],
    geometry: Geometry,
    spec: Audit,
) -> pd.DataFrame:
    """Divide the similarity of every two recordings, over the stimuli that all subjects saw.

    Parameters
    ----------
    recordings
        By name.
    statistics
        Image statistics, each by stimulus id.
    geometry, spec
        Settings.

    Returns
    -------
    pandas.DataFrame
        The table audit, with `recording_b`. Two recordings that cannot be audited have one row
        that says why.
    """
    rows: list[dict[str, Any]] = []
    for (name_a, a), (name_b, b) in combinations(recordings.items(), 2):
        where = {"recording": name_a, "recording_b": name_b}
        try:
            rows += _pair(a, b, statistics, geometry, spec, where)
        except RepbiasError as error:
            logger.warning("%s, %s: %s", name_a, name_b, error)
            rows.append(where | {"warning": str(error)})
    return shares_table("audit", rows)


def _pair(
    a: Recording,
    b: Recording,
    statistics: Mapping[str, Mapping[str, float]],
    geometry: Geometry,
    spec: Audit,
    where: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    a, b = (on_common_stimuli(recording, geometry.min_units) for recording in (a, b))
    shared = np.isin(a.stimulus_ids, b.stimulus_ids)
    if 0 < shared.sum() < MIN_STIMULI:
        raise RepbiasError(f"audit: {shared.sum()} stimuli in common, expected {MIN_STIMULI}")
    a = of_stimuli(a, shared)
    ids = a.stimulus_ids
    columns = {k: v for k, v in a.stimuli.items() if k != "stimulus_id"}
    known = Known.of(columns | in_order(statistics, ids), spec)
    if known is None:
        return
    a, b = of_stimuli(a, known.rows), in_order_of(b, ids[known.rows])
    for (region_a, part_a), (region_b, part_b) in product(by_region(a), by_region(b)):
        x, y = (
            Side.of_subjects(subject_kernels(part, geometry, spec.seed))
            for part in (part_a, part_b)
        )
        at = where | {"region": region_a, "region_b": region_b}
        measures = [str(p.info.get("distance") or geometry.recording_distance) for p in (a, b)]
        at["measure"] = ", ".join(dict.fromkeys(measures))
        groups = stimulus_groups(a)
        p = permutation_p([x.mean], y.mean, groups, spec.permutations, spec.seed)[0]
        yield from _rows(x, y, known, at | {"gate_p": p})


def _rows(a: Side, b: Side, known: Known, about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Divide the similarity of two recordings' regions."""
    design = known.design
    of_a, of_b = ([Freed.of(k, design) for k in side.kernels] for side in (a, b))
    found = np.array([[score_parts(x, y, design) for y in of_b] for x in of_a])
    mean = found.mean(axis=(0, 1))
    total = mean.sum()
    energies = a.energy(design).sum() * b.energy(design).sum()
    low, high, p, target = _over_subjects(found)
    least = min((least_t(len(side.without)) for side in (a, b) if len(side.without) > 1), default=0)
    t = [_t(x, y, design) for x, y in ((a, b), (b, a)) if len(y.without) > 1]
    about = about | {
        "score": float(total / np.sqrt(energies)) if energies > 0 else float("nan"),
        "plain": cosine(a.means, b.means),
        "gate": bool(about["gate_p"] <= LEVEL and all(value >= least for value in t)),
        "gate_t": min(t, default=float("nan")),
        "n_stimuli": int(known.rows.sum()),
        "target": target,
    }
    for f, feature in enumerate([*design.names, REST]):
        yield (
            about
            | known.said.get(feature, {})
            | {
                "feature": feature,
                "share": mean[f] / total,
                "ci_low": low[f],
                "ci_high": high[f],
                "p": p[f],
            }
        )


def _t(a: Side, b: Side, design: Design) -> float:
    """Return the score's t over the folds of the second side, by a jackknife."""
    mean = Freed.of(a.mean, design)
    value, *left_out = (
        score_parts(mean, Freed.of(kernel, design), design).sum() for kernel in (b.mean, *b.without)
    )
    return jackknifed_t(value, np.array(left_out))


def _over_subjects(found: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Return intervals of shares and p values of parts, by a jackknife over subjects.

    Parameters
    ----------
    found
        (subject, subject of the other recording, feature and rest).
    """
    sizes = found.shape[:2]
    if min(sizes) < MIN_SUBJECTS:
        unknown = np.full(found.shape[2], np.nan)
        return unknown, unknown, unknown, THESE
    groups = [
        np.stack([np.delete(found, i, axis).mean(axis=(0, 1)) for i in range(n)])
        for axis, n in enumerate(sizes)
    ]
    return *jackknifed_shares(found.mean(axis=(0, 1)), groups), OTHERS
