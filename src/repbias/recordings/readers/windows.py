"""Windows around trials, on arrays: counts of spikes, and averages of samples such as frames."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from repbias.recordings.readers.files import TOLERANCE_S


def spike_counts(spikes: np.ndarray, align: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Count the spikes in every bin of every trial; bins include their start, not their end.

    Parameters
    ----------
    spikes
        (spike,) times in seconds, in any order.
    align
        (trial,) times of 0 s, in seconds; may be NaN.
    edges
        (bin + 1,) ascending, in seconds relative to `align`.

    Returns
    -------
    numpy.ndarray
        (trial, bin) counts as float; NaN where `align` is NaN.

    Examples
    --------
    >>> spike_counts(np.array([1.3, 1.0, 1.1]), np.array([1.0, 9.0]), np.array([0, 0.2, 0.4]))
    array([[2., 1.],
           [0., 0.]])
    """
    times = align[:, None] + edges
    counts = np.diff(np.searchsorted(np.sort(spikes), times), axis=1).astype(float)
    counts[~np.isfinite(align)] = np.nan
    return counts


def observed(intervals: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Return which windows lie entirely within one of the intervals.

    Parameters
    ----------
    intervals
        (interval, 2) starts and ends, in any order, overlapping or not.
    start, stop
        (window,) starts and ends of the windows.

    Returns
    -------
    numpy.ndarray
        (window,) bool.

    Examples
    --------
    >>> observed(np.array([[5, 9], [0, 4]]), np.array([1, 3, 5]), np.array([2, 6, 9]))
    array([ True, False,  True])
    """
    if not len(intervals):
        return np.zeros(len(start), bool)
    intervals = intervals[np.argsort(intervals[:, 0])]
    # Of the intervals that start before a window, it suffices to test the one that ends last.
    before = np.searchsorted(intervals[:, 0], start + TOLERANCE_S, side="right")
    latest = np.concatenate([[-np.inf], np.maximum.accumulate(intervals[:, 1])])
    return stop - TOLERANCE_S <= latest[before]


@dataclass(frozen=True)
class Samples:
    """Samples of some units over time.

    Attributes
    ----------
    data : (time,) or (time, unit), an array or an HDF5 dataset, of which only windows are read
    times : (time,) ascending, in seconds
    scale : factor, or (unit,) factors, that turn the data into units of measure
    offset : what is then added
    """

    data: Any
    times: np.ndarray
    scale: float | np.ndarray = 1.0
    offset: float = 0.0

    @property
    def step(self) -> float:
        """The usual time between samples, in seconds."""
        return float(np.median(np.diff(self.times)))


def window_means(
    samples: Samples,
    align: np.ndarray,
    edges: np.ndarray,
    baseline: np.ndarray | None = None,
    divide: bool = False,
) -> np.ndarray:
    """Average samples in the bins of every trial.

    Parameters
    ----------
    samples
        What is averaged.
    align
        (trial,) times of 0 s, in seconds; may be NaN.
    edges
        (bin + 1,) ascending, in seconds relative to `align`.
    baseline
        Start and end of each trial's baseline, whose average is subtracted.
    divide
        Also divide by it.

    Returns
    -------
    numpy.ndarray
        (trial, unit, bin); NaN where there are no samples (:func:`sample_means`).
    """

    def means(edges: np.ndarray) -> np.ndarray:
        found = sample_means(samples.data, samples.times, edges, step)
        return samples.scale * found + samples.offset

    step = samples.step
    responses = []
    for zero in align:
        values = means(zero + edges)
        if baseline is not None:
            rest = means(zero + baseline)
            with np.errstate(divide="ignore", invalid="ignore"):
                values = (values - rest) / (rest if divide else 1)
        responses.append(values.T)
    return np.stack(responses)


def sample_means(data: Any, times: np.ndarray, edges: np.ndarray, step: float) -> np.ndarray:
    """Average the samples in every bin; bins include their start, not their end.

    Parameters
    ----------
    data
        (time,) or (time, unit), an array or an HDF5 dataset, of which only the window is read.
    times
        (time,) ascending.
    edges
        (bin + 1,) ascending; NaN if the trial has no window.
    step
        Usual time between samples.

    Returns
    -------
    numpy.ndarray
        (bin, unit); NaN if there is a gap between samples of more than 1.5 steps anywhere between
        the first edge and the last.

    Examples
    --------
    >>> times = np.array([0.0, 0.1, 0.2, 0.3])
    >>> sample_means(10 * times, times, np.array([0, 0.2, 0.4]), 0.1).ravel().tolist()
    [0.5, 2.5]
    """
    # The tolerance puts a sample that rounding moved just below an edge into the bin above it.
    at = np.searchsorted(times, edges - TOLERANCE_S)
    samples = np.asarray(data[at[0] : at[-1]], float)
    samples = samples.reshape(len(samples), *(data.shape[1:] or (1,)))
    means = np.full((len(edges) - 1, samples.shape[1]), np.nan)
    gaps = np.diff(np.concatenate([edges[:1], times[at[0] : at[-1]], edges[-1:]]))
    if len(samples) and gaps.max() <= 1.5 * step:
        for i, (start, stop) in enumerate(pairwise(at - at[0])):
            if stop > start:
                means[i] = samples[start:stop].mean(axis=0)
    return means
