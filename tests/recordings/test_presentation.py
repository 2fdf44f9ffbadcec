"""The order of presentation, and how far apart two stimuli were shown."""

from __future__ import annotations

import numpy as np
import pytest

from repbias.io.recordings import Recording
from repbias.recordings.presentation import lags, presented

N = 12
IDS = np.array([f"s{i:02d}" for i in range(N)])
FIRST, SECOND = np.triu_indices(N, 1)


def shown(runs, **trials):
    """One unit that saw the stimuli of each run, (trial,) int, one per second from 0 on."""
    order = np.concatenate(runs)
    sizes = [len(run) for run in runs]
    trials = {
        "stimulus_id": IDS[order],
        "repeat": np.zeros(len(order), int),
        "run": np.repeat(np.arange(len(runs)), sizes),
        "start_time": np.concatenate([np.arange(size, dtype=float) for size in sizes]),
    } | trials
    return Recording(
        stimuli={"stimulus_id": IDS},
        responses=np.zeros((len(order), 1)),
        trials=trials,
        units={"unit": np.array(["u"]), "subject": np.array(["s"])},
    )


def test_times_begin_anew_in_every_run_and_rows_may_be_in_any_order():
    recording = shown([np.arange(N), np.arange(N)[::-1]])
    mixed = np.random.default_rng(0).permutation(2 * N)
    recording.trials = {name: values[mixed] for name, values in recording.trials.items()}
    order, run = presented(recording)
    expected = np.concatenate([IDS, IDS[::-1]])
    np.testing.assert_array_equal(recording.trials["stimulus_id"][order], expected)
    np.testing.assert_array_equal(run, np.repeat([0, 1], N))


@pytest.mark.parametrize("runs", [1, 2, 5])
def test_lags_of_the_same_order_are_the_places_between(runs):
    found, agreement = lags(shown([np.arange(N)] * runs), FIRST, SECOND)
    np.testing.assert_allclose(found, (SECOND - FIRST) / N)
    assert agreement == pytest.approx(1)


def test_repeats_within_a_run_are_presentations_too():
    found, agreement = lags(shown([np.tile(np.arange(N), 3)]), FIRST, SECOND)
    np.testing.assert_allclose(found, (SECOND - FIRST) / (3 * N))
    assert agreement == pytest.approx(1)


def test_random_orders_do_not_agree():
    rng = np.random.default_rng(0)
    found = [lags(shown([rng.permutation(N) for _ in range(4)]), FIRST, SECOND) for _ in range(60)]
    agreements = np.array([agreement for _, agreement in found])
    assert abs(agreements.mean()) < 0.02
    np.testing.assert_allclose(
        np.mean([lag for lag, _ in found], axis=0), (N + 1) / 3 / N, atol=0.06
    )


def test_stimuli_of_different_runs_have_no_lag_and_one_presentation_is_an_order():
    found, agreement = lags(shown([np.arange(6), np.arange(6, N)]), FIRST, SECOND)
    np.testing.assert_array_equal(np.isnan(found), (FIRST < 6) & (SECOND >= 6))
    assert agreement == 1


def test_without_times_nothing_is_known():
    recording = shown([np.arange(N)])
    del recording.trials["start_time"]
    assert lags(recording, FIRST, SECOND) is None
    assert presented(recording) is not None
    del recording.trials["run"]
    assert presented(recording) is None
