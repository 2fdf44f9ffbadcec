"""Trials of subjects, and their folds of cross-validation."""

from __future__ import annotations

import logging

import numpy as np

from repbias.geometry.spec import Geometry
from repbias.io.recordings import Recording
from repbias.rsa.patterns import folds_of
from repbias.rsa.rdms import subject_rdms


def test_folds_are_sessions_or_runs_where_stimuli_were_shown_in_several(caplog, trial_recording):
    tensor = np.random.default_rng(0).normal(size=(4, 4, 3))
    two = np.tile([0, 0, 1, 1], (4, 1))
    observed = np.ones((4, 4), bool)

    def folds(**columns):
        return folds_of(trial_recording(tensor, **columns), observed)

    np.testing.assert_array_equal(folds(), np.tile(np.arange(4), (4, 1)))
    np.testing.assert_array_equal(folds(session=two), two)
    np.testing.assert_array_equal(folds(run=two), two)
    # Runs are numbered anew in every session.
    np.testing.assert_array_equal(folds(session=0 * two, run=two), two)
    apart = two.copy()
    apart[0] = 0  # a stimulus of one session
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(folds(session=apart), np.tile(np.arange(4), (4, 1)))
    assert "in one session only" in caplog.text


def test_folds_follow_trials_whatever_their_order(trial_recording):
    """The session of a trial stays its own when trials are ordered by session."""
    tensor = np.random.default_rng(0).normal(size=(5, 4, 3))
    session = np.tile([1, 0, 1, 0], (5, 1))
    spec = Geometry(recording_distance="crossnobis", noise="none")

    def rdm(order, **columns):
        recording = trial_recording(
            tensor[:, order], **{name: values[:, order] for name, values in columns.items()}
        )
        return subject_rdms(recording, spec, "v4").dissimilarities

    expected = rdm([0, 1, 2, 3], session=session)
    np.testing.assert_allclose(rdm([1, 3, 0, 2], session=session), expected, rtol=1e-12)
    assert np.abs(rdm([0, 1, 2, 3]) - expected).max() > 0.1


def test_the_folds_of_a_subject_do_not_depend_on_who_else_was_recorded():
    """Two subjects on different days: their trials share no row, and numbers of repeats differ."""
    rng = np.random.default_rng(0)
    ids = [f"s{i}" for i in range(6)]
    rows, trials, repeats = [], [], []
    for i, stimulus in enumerate(ids):
        for subject, n in ((0, 2 + i % 3), (1, 4)):
            for repeat in range(n):
                row = np.full(8, np.nan)
                row[4 * subject : 4 * subject + 4] = rng.normal(size=4) + i + repeat
                rows.append(row), trials.append(stimulus), repeats.append(repeat)
    both = Recording(
        stimuli={"stimulus_id": np.array(ids)},
        responses=np.array(rows),
        trials={"stimulus_id": np.array(trials), "repeat": np.array(repeats)},
        units={
            "unit": np.arange(8).astype(str),
            "subject": np.repeat(["a", "b"], 4),
            "region": np.full(8, ""),
        },
    )
    of_b = ~np.isnan(both.responses[:, 4])
    alone = Recording(
        stimuli=both.stimuli,
        responses=both.responses[of_b][:, 4:],
        trials={name: values[of_b] for name, values in both.trials.items()},
        units={name: values[4:] for name, values in both.units.items()},
    )
    for noise in ("shrinkage", "none", "diagonal"):
        spec = Geometry(recording_distance="crossnobis", noise=noise)
        together = subject_rdms(both, spec, "x").dissimilarities[1]
        np.testing.assert_allclose(together, subject_rdms(alone, spec, "x").dissimilarities[0])


def test_sessions_of_different_units_are_no_folds():
    """As in files that name units anew every day: repeats within the day are the folds."""
    rng = np.random.default_rng(0)
    ids = np.repeat([f"s{i}" for i in range(5)], 8)
    session = np.tile(np.repeat(["one", "two"], 4), 5)
    responses = np.full((40, 6), np.nan)
    for day, units in (("one", slice(0, 3)), ("two", slice(3, 6))):
        responses[session == day, units] = rng.normal(size=(20, 3)) + np.repeat(
            rng.normal(size=(5, 3)), 4, axis=0
        )
    recording = Recording(
        stimuli={"stimulus_id": np.unique(ids)},
        responses=responses,
        trials={"stimulus_id": ids, "session": session, "repeat": np.tile(np.arange(8), 5)},
        units={
            "unit": np.arange(6).astype(str),
            "subject": np.full(6, "s"),
            "region": np.full(6, ""),
        },
    )
    spec = Geometry(recording_distance="crossnobis", noise="diagonal")
    assert np.isfinite(subject_rdms(recording, spec, "x").dissimilarities).all()
