"""Responses arranged by repeat and averaged, over time bins and repeats."""

import warnings

import numpy as np

from repbias.io.recordings import Recording
from repbias.recordings.responses import bins_in_window, by_repeat, has_repeats, stimulus_means


def recording_of(tensor: np.ndarray, **info) -> Recording:
    """A recording of responses (stimulus, repeat, unit[, time])."""
    n_stimuli, n_repeats, n_units = tensor.shape[:3]
    ids = np.array([f"s{i}" for i in range(n_stimuli)])
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=tensor.reshape(-1, *tensor.shape[2:]),
        trials={
            "stimulus_id": np.repeat(ids, n_repeats),
            "repeat": np.tile(np.arange(n_repeats), n_stimuli),
        },
        units={
            "unit": np.array([f"u{i}" for i in range(n_units)]),
            "subject": np.full(n_units, "subject1"),
        },
        info=info,
    )


def test_trials_are_arranged_by_stimulus_and_repeat_whatever_their_order():
    tensor = np.random.default_rng(0).random((4, 3, 2))
    recording = recording_of(tensor)
    order = np.random.default_rng(1).permutation(12)
    recording.responses = recording.responses[order]
    recording.trials = {name: column[order] for name, column in recording.trials.items()}
    np.testing.assert_array_equal(by_repeat(recording), tensor)


def test_repeats_that_a_stimulus_lacks_are_nan():
    recording = recording_of(np.random.default_rng(0).random((2, 3, 1)))
    recording.responses = recording.responses[:-2]
    recording.trials = {name: column[:-2] for name, column in recording.trials.items()}
    assert np.isnan(by_repeat(recording)[:, :, 0]).tolist() == [[False] * 3, [False, True, True]]
    assert has_repeats(recording) and not has_repeats(recording_of(np.zeros((2, 1, 1))))


def test_means_ignore_what_was_not_observed_and_average_time_bins():
    tensor = np.arange(24.0).reshape(2, 3, 4)
    tensor[0, 0, 0] = tensor[1, :, 1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = np.nanmean(tensor, axis=1)
    np.testing.assert_allclose(stimulus_means(recording_of(tensor)), expected)
    in_time = recording_of(np.stack([tensor - 1, tensor + 1], axis=3))
    np.testing.assert_allclose(stimulus_means(in_time), expected)


def test_rounding_does_not_move_bins_across_the_edge_of_the_window():
    times = [0.07 + 0.01 * i + 0.005 for i in range(5)]
    times[1] = np.nextafter(0.085, 0)
    preparation = {"window": [0.085, 0.105]}
    recording = recording_of(np.zeros((1, 1, 1, 5)), times_s=times, preparation=preparation)
    assert bins_in_window(recording).tolist() == [False, True, True, False, False]
