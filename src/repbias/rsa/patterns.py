"""A recording's trials by subject, and their folds of cross-validation."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from repbias.geometry.distances import n_folds
from repbias.io.recordings import Recording
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
    tensor, used = by_repeat(recording), analysed_units(recording)
    result = []
    for subject in dict.fromkeys(recording.units["subject"]):
        mine = tensor[:, :, (recording.units["subject"] == subject) & used]
        observed = ~np.isnan(mine)
        result.append(SubjectPatterns(str(subject), mine, folds_of(recording, observed)))
    return result


def folds_of(recording: Recording, observed: np.ndarray) -> np.ndarray:
    """Return the folds of cross-validation, (stimulus, repeat) int, -1 where there is no trial.

    Sessions, if every stimulus was shown in two or more; else runs (within sessions); else
    repeats: the how-manieth trial of its stimulus each trial is.

    Parameters
    ----------
    recording
        Its trials say "session" and "run", or do not.
    observed
        (stimulus, repeat[, unit]) bool, the trials that count, arranged as by
        :func:`repbias.recordings.responses.by_repeat`.
    """
    observed = observed.reshape(*observed.shape[:2], -1)
    units, observed = observed, observed.any(axis=2)
    names: list[str] = []
    for column in ("session", "run"):
        if column not in recording.trials:
            continue
        names.append(column)
        columns = [recording.trials[name] for name in names]
        labels = ["\t".join(map(str, row)) for row in zip(*columns, strict=True)]
        codes = np.unique(labels, return_inverse=True)[1].astype(np.float64)
        # As if the label was what one unit responded: so it is arranged as the responses are.
        alone = replace(recording, responses=codes[:, None], info={})
        folds = np.where(observed, np.nan_to_num(by_repeat(alone)[:, :, 0], nan=-1), -1)
        found = np.unique(folds[observed])
        if len(found) > 1:
            # Of units that were recorded in one session only, sessions are no folds.
            in_two = (n_folds(units, folds) >= 2).all(axis=0)
            if in_two.sum() >= min(2, units.shape[2]):
                return folds.astype(int)
            logger.warning(
                "some stimuli were shown, or most units recorded, in one %s only; it is no fold of "
                "cross-validation",
                column,
            )
    return np.where(observed, observed.cumsum(axis=1) - 1, -1)
