"""The order of presentation, and how soon after each other two stimuli were shown."""

from __future__ import annotations

import numpy as np
import pytest

from repbias.io.recordings import Recording
from repbias.recordings.presentation import closeness, presented

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
def test_closeness_in_the_same_order_is_that_of_the_places(runs):
    found, agreement = closeness(shown([np.arange(N)] * runs), FIRST, SECOND)
    np.testing.assert_allclose(found, np.exp(-(SECOND - FIRST) / 2))
    assert agreement == pytest.approx(1)


def test_repeats_within_a_run_are_presentations_too():
    found, agreement = closeness(shown([np.tile(np.arange(N), 3)]), FIRST, SECOND)
    np.testing.assert_allclose(found, np.exp(-(SECOND - FIRST) / 2))
    assert agreement == pytest.approx(1)


def in_blocks(size, rng):
    order = rng.permutation(N)
    return order[np.argsort(rng.permutation(N // size)[order // size], kind="stable")]


@pytest.mark.parametrize(
    ("runs", "least", "most"),
    [
        (lambda rng: [rng.permutation(N) for _ in range(4)], -0.1, 0.2),
        (lambda rng: [rng.permutation(np.repeat(np.arange(N), 20))], -0.1, 0.1),
        (lambda rng: [in_blocks(2, rng) for _ in range(4)], 0.2, 0.6),
        (lambda rng: [in_blocks(4, rng) for _ in range(4)], 0.3, 0.7),
    ],
    ids=["random", "repeats of a run in any order", "blocks of 2", "blocks of 4"],
)
def test_orders_agree_as_far_as_stimuli_stay_together(runs, least, most):
    found = [closeness(shown(runs(np.random.default_rng(s))), FIRST, SECOND)[1] for s in range(15)]
    assert least < min(found) and max(found) < most


def test_agreement_is_the_intraclass_correlation_of_an_analysis_of_variance():
    """Of a pair's closeness in each run, with as many pairs as groups."""
    orders = [in_blocks(3, np.random.default_rng(s)) for s in range(5)]
    values = np.stack(
        [np.exp(-np.abs(np.argsort(o)[FIRST] - np.argsort(o)[SECOND]) / 2) for o in orders]
    )
    between = 5 * values.mean(axis=0).var(ddof=1)
    within = values.var(axis=0, ddof=1).mean()
    _, agreement = closeness(shown(orders), FIRST, SECOND)
    assert agreement == pytest.approx((between - within) / (between + 4 * within))


def test_stimuli_of_different_runs_have_no_closeness_and_one_presentation_is_an_order():
    found, agreement = closeness(shown([np.arange(6), np.arange(6, N)]), FIRST, SECOND)
    np.testing.assert_array_equal(np.isnan(found), (FIRST < 6) & (SECOND >= 6))
    assert agreement == 1
    rng = np.random.default_rng(0)
    assert closeness(shown([rng.permutation(N), rng.permutation(4)]), FIRST, SECOND)[1] == 1


def test_without_times_nothing_is_known():
    recording = shown([np.arange(N)])
    del recording.trials["start_time"]
    assert closeness(recording, FIRST, SECOND) is None
    assert presented(recording) is not None
    del recording.trials["run"]
    assert presented(recording) is None
