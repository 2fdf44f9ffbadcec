"""In which order stimuli were shown."""

from __future__ import annotations

import numpy as np
import pandas as pd

from repbias.io.recordings import Recording
from repbias.recordings.parts import by_subject


def presented(recording: Recording) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the trials in the order in which they were shown.

    Returns
    -------
    order : numpy.ndarray
        (trial,) int, run by run. Within a run trials are ordered by their start time or, without
        one, as in the file.
    run : numpy.ndarray
        (trial,) int, the run of each trial in that order; times of two runs are not comparable.

    None if trials have neither a session, nor a run, nor a start time: the rows of a table of
    responses, say, may be in any order.
    """
    trials = recording.trials
    if not {"session", "run", "start_time"} & trials.keys():
        return None
    n = len(trials["stimulus_id"])
    run = np.zeros(n, int)
    for column in ("session", "run"):
        if column in trials:
            codes = np.unique(trials[column].astype(str), return_inverse=True)[1]
            run = run * (codes.max() + 1) + codes
    order = np.lexsort((trials.get("start_time", np.arange(n)), run))
    return order, run[order]


def closeness(
    recording: Recording, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Return how soon after each other pairs of stimuli were shown, and whether always alike.

    Two stimuli that are d trials apart in a presentation have the closeness exp(-d / 2), which
    tells neighbours from all others; a presentation are the nth trials of all stimuli in a run.

    Parameters
    ----------
    recording
        Of responses.
    first, second
        (pair,) int, which of the recording's stimuli.

    Returns
    -------
    closeness : numpy.ndarray
        (pair,), mean over presentations of all subjects; NaN for two that were never shown in the
        same run.
    agreement : float
        Intraclass correlation, ICC(1), of a pair's closeness over presentations: 1 if the order was
        always the same, and about 0 if it was random. It is 1 also where most pairs have a single
        presentation.

    None if the trials have no start times.
    """
    if "start_time" not in recording.trials:
        return None
    position = {s: i for i, s in enumerate(recording.stimulus_ids)}
    total, squares, count = (np.zeros(len(first)) for _ in range(3))
    for *_, part in by_subject(recording):
        known = presented(part)
        if known is None:
            return None
        order, run = known
        ids = part.trials["stimulus_id"][order]
        trials = pd.DataFrame({"stimulus": [position[s] for s in ids], "run": run})
        trials["place"] = trials.groupby("run").cumcount()
        trials["nth"] = trials.groupby(["run", "stimulus"]).cumcount()
        for _, shown in trials.groupby(["run", "nth"]):
            place = np.full(len(position), np.nan)
            place[shown["stimulus"]] = shown["place"]
            close = np.exp(-np.abs(place[first] - place[second]) / 2)
            together = ~np.isnan(close)
            total[together] += close[together]
            squares[together] += close[together] ** 2
            count += together
    mean = np.full(len(first), np.nan)
    mean[count > 0] = total[count > 0] / count[count > 0]
    return mean, _agreement(total, squares, count)


def _agreement(total: np.ndarray, squares: np.ndarray, count: np.ndarray) -> float:
    """Return ICC(1) of values of which each pair has a sum, a sum of squares and a number."""
    again = count > 1
    if again.sum() < max(2, (count > 0).sum() / 2):
        return 1.0
    total, squares, count = total[again], squares[again], count[again]
    n, n_all = len(count), count.sum()
    between = np.sum((total - count * total.sum() / n_all) ** 2 / count) / (n - 1)
    within = np.sum(np.maximum(squares - total**2 / count, 0)) / (n_all - n)
    size = (n_all - np.sum(count**2) / n_all) / (n - 1)
    spread = between + (size - 1) * within
    return float((between - within) / spread) if spread > 0 else 1.0
