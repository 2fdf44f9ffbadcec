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


def lags(
    recording: Recording, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Return how far apart pairs of stimuli were shown, and whether always alike.

    Parameters
    ----------
    recording
        Of responses.
    first, second
        (pair,) int, which of the recording's stimuli.

    Returns
    -------
    lags : numpy.ndarray
        (pair,), the share of a run's trials that lie between the two, mean over presentations; NaN
        for two that were never shown in the same run.
    agreement : float
        Intraclass correlation of the lags of a pair: 1 if the order was always the same, or every
        pair was shown once, and about 0 if the order was random.

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
        runs = trials.groupby("run")["stimulus"]
        trials["place"] = runs.cumcount() / runs.transform("size")
        # The nth trials of all stimuli in a run are a presentation of them.
        trials["nth"] = trials.groupby(["run", "stimulus"]).cumcount()
        for _, shown in trials.groupby(["run", "nth"]):
            place = np.full(len(position), np.nan)
            place[shown["stimulus"]] = shown["place"]
            lag = np.abs(place[first] - place[second])
            together = ~np.isnan(lag)
            total[together] += lag[together]
            squares[together] += lag[together] ** 2
            count += together
    known_pairs = count > 0
    mean = np.full(len(first), np.nan)
    mean[known_pairs] = total[known_pairs] / count[known_pairs]
    if known_pairs.sum() < 2:
        return mean, np.nan
    variance = squares.sum() / count.sum() - (total.sum() / count.sum()) ** 2
    by_chance = np.mean(1 / count[known_pairs])
    if by_chance == 1 or variance == 0:
        return mean, 1.0
    return mean, float((mean[known_pairs].var() / variance - by_chance) / (1 - by_chance))
