"""Responses as the analyses use them: averaged over a time window, arranged by repeat, averaged."""

from __future__ import annotations

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.blocks import Block, Blocks, Responses, at_time
from repbias.io.recordings import Recording
from repbias.recordings.parts import by_subject, of_shown, shown
from repbias.recordings.spec import preparation_of, trial_keys


def stimulus_means(recording: Recording) -> np.ndarray:
    """Average the responses over repeats (and time bins, if there are any).

    Returns
    -------
    numpy.ndarray
        (stimulus, unit), in the order of `recording.stimulus_ids`; NaN where a unit was never
        observed.
    """
    means = np.full((len(recording.stimulus_ids), len(recording.units["unit"])), np.nan)
    for _, units, part in by_subject(recording):
        means[np.ix_(shown(part), units)] = observed_mean(by_repeat(of_shown(part)), axis=1)
    return means


def fewest_repeats(recording: Recording) -> np.ndarray:
    """Return of every unit the fewest repeats of a stimulus that it was observed for, (unit,) int.

    0 of units that were never observed.
    """
    fewest = np.zeros(len(recording.units["unit"]), int)
    for _, units, part in by_subject(recording):
        counts = (~np.isnan(by_repeat(of_shown(part)))).sum(axis=1)
        least = np.where(counts, counts, np.iinfo(int).max).min(axis=0)
        fewest[units] = np.where(counts.any(axis=0), least, 0)
    return fewest


def observed_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Average over an axis, ignoring NaN; NaN, without a warning, where there is nothing else."""
    observed = ~np.isnan(values)
    counts = observed.sum(axis=axis, dtype=np.int32)
    means = np.asarray(values.sum(axis=axis, where=observed), dtype=np.float64)
    np.divide(means, counts, out=means, where=counts > 0)
    means[counts == 0] = np.nan
    return means


def by_repeat(recording: Recording) -> np.ndarray:
    """Arrange trials as (stimulus, repeat, unit), padded with NaN.

    Of subjects with trials of their own this takes much memory: take one at a time
    (:func:`repbias.recordings.parts.by_subject`).

    Time bins in the recording's `window` are averaged, and with `standardise` units are divided by
    the standard deviation of their mean responses
    (:class:`repbias.recordings.spec.Preparation`).
    """
    responses = trial_responses(recording)
    ids = recording.stimulus_ids
    position = {stimulus: i for i, stimulus in enumerate(ids)}
    stimulus = np.array([position[s] for s in recording.trials["stimulus_id"]])
    # The repeat index of every trial, whatever the order of trials in the file.
    order = np.lexsort([*reversed(trial_keys(recording.trials)), stimulus])
    counts = np.bincount(stimulus, minlength=len(ids))
    repeat = np.empty(len(stimulus), int)
    repeat[order] = np.arange(len(stimulus)) - np.repeat(np.cumsum(counts) - counts, counts)
    tensor = np.full((len(ids), counts.max(), responses.shape[1]), np.nan)
    tensor[stimulus, repeat] = responses
    if preparation_of(recording).standardise:
        means = observed_mean(tensor, axis=1)
        with np.errstate(invalid="ignore"):
            spread = np.sqrt(observed_mean((means - observed_mean(means, axis=0)) ** 2, axis=0))
        tensor /= np.where(varies_over_stimuli(means), spread, 1)
    return tensor


def varies_over_stimuli(means: np.ndarray) -> np.ndarray:
    """Return which units' mean responses (stimulus, unit) differ by more than rounding, (unit,)."""
    low, high = np.fmin.reduce(means, axis=0), np.fmax.reduce(means, axis=0)
    return high - low > 1e-12 * np.maximum(np.abs(low), np.abs(high))


def trial_responses(recording: Recording) -> np.ndarray:
    """Return the responses (trial, unit), averaged over the time bins in the `window`."""
    return np.asarray(over_time(recording))


def over_time(recording: Recording) -> Responses:
    """Return the same, in blocks if the responses are."""
    responses = recording.responses
    assert responses is not None
    if responses.ndim == 2:
        return responses
    inside = at_time(responses, bins_in_window(recording))
    if isinstance(inside, np.ndarray):
        return observed_mean(inside, axis=2)
    blocks = (Block(b.trials, b.units, observed_mean(b.values, axis=2)) for b in inside.blocks)
    return Blocks(inside.shape[:2], tuple(blocks))


def bins_in_window(recording: Recording) -> np.ndarray:
    """Return which time bins the analyses average over, (time,) bool.

    Raises
    ------
    RepbiasError
        If no bin is in the recording's window.
    """
    assert recording.responses is not None
    window, n_times = preparation_of(recording).window, recording.responses.shape[2]
    if window is None:
        return np.ones(n_times, bool)
    times = np.asarray(recording.info["times_s"], float)
    # Bin centres were computed, so rounding may put them just beyond an edge of the window.
    inside = (times >= window[0] - 1e-6) & (times < window[1] - 1e-6)
    if not inside.any():
        raise RepbiasError(
            f"no time bin is in the window {list(window)}; the bins' centres go from "
            f"{times[0]:g} to {times[-1]:g} s"
        )
    return inside


def has_repeats(recording: Recording) -> bool:
    """Whether any subject has two trials of a stimulus."""
    ids = recording.trials["stimulus_id"]
    if len(np.unique(ids)) == len(ids):
        return False
    of_subjects = (part.trials["stimulus_id"] for *_, part in by_subject(recording))
    return any(len(np.unique(ids)) < len(ids) for ids in of_subjects)
