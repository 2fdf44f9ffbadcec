"""Stimuli that all subjects of a recording saw: of these RDMs can be compared between subjects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from repbias.io.recordings import Recording
from repbias.recordings.parts import by_region, by_subject, of_shown, of_stimuli, of_units
from repbias.recordings.reliability import analysed_units
from repbias.recordings.responses import stimulus_means
from repbias.recordings.spec import preparation_of

#: Fewest stimuli of an RDM.
MIN_STIMULI = 4


def seen_by_subject(recording: Recording) -> dict[str, np.ndarray]:
    """Return which stimuli every subject of a recording of responses saw, (stimulus,) bool each.

    A subject saw a stimulus if any of its units was observed in a trial of it.
    """
    return {
        subject: np.isin(recording.stimulus_ids, part.trials["stimulus_id"])
        for subject, _, part in by_subject(recording)
    }


def common_stimuli(recording: Recording, min_units: int) -> np.ndarray:
    """Return which stimuli all subjects saw, (stimulus,) bool.

    Subjects with fewer than `min_units` units, which have no RDM, do not count. Where fewer of the
    units of a subject and region were observed for all of these stimuli, as sessions with units of
    their own had stimuli of their own, the stimuli are those that were seen by all of the units
    that are at least so many with the same stimuli.
    """
    common = np.ones(len(recording.stimulus_ids), bool)
    if recording.responses is None:
        return common
    sessions: list[tuple[np.ndarray, np.ndarray]] = []
    for _, _, part in by_subject(recording):
        if len(part.units["unit"]) < min_units:
            continue
        common &= np.isin(recording.stimulus_ids, part.trials["stimulus_id"])
        if np.isnan(np.asarray(part.responses)).any():
            for _, of_region in by_region(part):
                sessions += _sessions(of_region, recording.stimulus_ids, min_units)
    for patterns, counts in sessions:
        if counts[patterns[:, common].all(axis=1)].sum() < min_units:
            common &= patterns[counts >= min_units].all(axis=0)
    return common


def _sessions(
    recording: Recording, ids: np.ndarray, min_units: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield which stimuli units saw, (pattern, stimulus), and how many units saw the same.

    Of one subject's units; nothing where no pattern is of enough units.
    """
    shown = of_shown(recording)
    observed = np.zeros((len(shown.units["unit"]), len(ids)), bool)
    observed[:, np.isin(ids, shown.stimulus_ids)] = ~np.isnan(stimulus_means(shown)).T
    patterns, counts = np.unique(observed, axis=0, return_counts=True)
    if (counts >= min_units).any():
        yield patterns, counts


def on_common_stimuli(recording: Recording, min_units: int) -> Recording:
    """Return a recording of the stimuli that all subjects saw (:func:`common_stimuli`).

    The units are those that are analysed by all their stimuli.
    """
    common = common_stimuli(recording, min_units)
    if common.all():
        return recording
    used = of_units(recording, analysed_units(recording))
    chosen = {"min_reliability": None, "min_repeats": None}
    preparation = preparation_of(recording).model_copy(update=chosen)
    info = recording.info | {
        "preparation": preparation.preparation(),
        "not_common": int((~common).sum()),
    }
    return of_stimuli(replace(used, info=info), common)


def few_in_common(recording: Recording) -> str:
    """Return, in words, that subjects have too few stimuli in common; empty if they have enough."""
    n = len(recording.stimulus_ids)
    if n >= MIN_STIMULI or "not_common" not in recording.info:
        return ""
    return f"subjects have {n} stimuli in common, and RSA needs at least {MIN_STIMULI}"
