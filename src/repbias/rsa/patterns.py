"""Trials of a recording by subject, and their folds of cross-validation."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from repbias.geometry.trials import n_folds
from repbias.io.recordings import Recording
from repbias.recordings.parts import by_subject
from repbias.recordings.reliability import analysed_units
from repbias.recordings.responses import by_repeat

logger = logging.getLogger(__name__)


@dataclass
class SubjectPatterns:
    """The trials of one subject's analysed units.

    Attributes
    ----------
    subject : name
    tensor : (stimulus, repeat, unit), NaN where not observed
    folds : (stimulus, repeat) int, folds of cross-validation, -1 where there is no trial
    """

    subject: str
    tensor: np.ndarray
    folds: np.ndarray


def subject_patterns(recording: Recording) -> list[SubjectPatterns]:
    """Arrange the trials of every subject's analysed units."""
    result = []
    for subject, _, part in by_subject(recording):
        trials = by_repeat(part)[:, :, analysed_units(part)]
        folds = folds_of(part, ~np.isnan(trials))
        result.append(SubjectPatterns(subject, trials, folds))
    return result


def folds_of(recording: Recording, observed: np.ndarray) -> np.ndarray:
    """Return the folds of cross-validation, (stimulus, repeat) int, -1 where there is no trial.

    Sessions, if every stimulus was shown in at least two; otherwise runs (within sessions);
    otherwise repeats, numbered within each stimulus.

    Parameters
    ----------
    recording
        Its trials may have columns "session" and "run".
    observed
        (stimulus, repeat[, unit]) bool, the trials to divide, arranged as by
        :func:`repbias.recordings.responses.by_repeat`.
    """
    observed = observed.reshape(*observed.shape[:2], -1)
    units, observed = observed, np.asarray(observed.any(axis=2))
    names: list[str] = []
    for column in ("session", "run"):
        if column not in recording.trials:
            continue
        names.append(column)
        columns = [recording.trials[name] for name in names]
        labels = ["\t".join(map(str, row)) for row in zip(*columns, strict=True)]
        codes = np.unique(labels, return_inverse=True)[1].astype(np.float64)
        # As the response of a single unit, labels are arranged as responses are.
        as_responses = replace(recording, responses=codes[:, None], info={})
        folds = np.where(observed, np.nan_to_num(by_repeat(as_responses)[:, :, 0], nan=-1), -1)
        found = np.unique(folds[observed])
        if len(found) > 1:
            # Sessions cannot be folds of units that were recorded in one session only.
            in_two = (n_folds(units, folds) >= 2).all(axis=0)
            if in_two.sum() >= min(2, units.shape[2]):
                return folds.astype(int)
            once = recording.stimulus_ids[_seen_once(observed, folds)].tolist()
            logger.warning(
                "some stimuli were shown, or most units recorded, in one %s only; it cannot be a "
                "fold of cross-validation%s",
                column,
                f" (shown in one: {', '.join(once[:5])}{', ...' * (len(once) > 5)})" * bool(once),
            )
    return np.where(observed, observed.cumsum(axis=1) - 1, -1)


def _seen_once(observed: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return which stimuli have trials in one fold only, (stimulus,) bool."""
    once: np.ndarray = n_folds(observed[:, :, None], folds)[:, 0] == 1
    return once
