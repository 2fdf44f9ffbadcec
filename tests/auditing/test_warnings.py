"""Warnings are raised by what they are about, and by nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from repbias.auditing.design import Design
from repbias.auditing.scores import Brain, Side, divide
from repbias.auditing.warnings import of_division, of_recording
from repbias.base.groups import StimulusGroups
from repbias.io.recordings import Recording

N = 60
ALONE = StimulusGroups.alone(N)
IDS = np.array([f"s{i:02d}" for i in range(N)])


def recording(repeats: np.ndarray) -> Recording:
    """Trials of noise: as many of every stimulus as are said."""
    ids = np.repeat(IDS, repeats)
    return Recording(
        stimuli={"stimulus_id": IDS},
        responses=np.random.default_rng(0).normal(size=(len(ids), 3)),
        trials={"stimulus_id": ids, "repeat": np.zeros(len(ids), int)},
        units={"unit": np.arange(3).astype(str), "subject": np.full(3, "s")},
    )


def side(kernel: np.ndarray, halves: int = 1) -> Side:
    pairs = np.stack([[kernel, kernel]] * halves) if halves else np.empty((0, 2, N, N))
    return replace(Side.of_network(kernel), halves=pairs)


def said(
    design: Design, distance: str = "correlation", repeats: int | np.ndarray = 4, **changes
) -> str:
    kernel = changes.pop("kernel", np.eye(N))
    of = recording(np.broadcast_to(repeats, N))
    groups = changes.pop("groups", ALONE)
    return "; ".join(of_recording(of, side(kernel, **changes), design, distance, groups))


@pytest.fixture
def design() -> Design:
    return Design.of({"size": np.random.default_rng(0).standard_normal(N)})


def test_a_good_recording_has_no_warning(design):
    assert said(design) == ""


def test_uneven_repeats_matter_for_correlation_only(design):
    uneven = np.where(np.arange(N) % 2, 2, 6)
    assert "repeats are uneven" in said(design, repeats=uneven)
    assert said(design, "crossnobis", uneven) == ""


def test_one_repeat_is_said(design):
    assert said(design, repeats=1, halves=0).startswith("one repeat: noise")


def test_units_with_too_few_repeats_are_named_with_the_remedy(design):
    """There are no halves where one of any lacks a pattern."""
    of = recording(np.full(N, 4))
    of.responses[np.flatnonzero(of.trials["stimulus_id"] == IDS[3])[1:], 2] = np.nan
    (found,) = of_recording(of, side(np.eye(N), halves=0), design, "euclidean", ALONE)
    assert found.startswith("1 of 3 units (2) have 1 repeat of a stimulus, too few to halve")
    assert "min_repeats: 2 leaves them out" in found


def test_a_stimulus_that_features_fit_alone_is_said():
    outlier = np.zeros(N)
    outlier[0] = 1
    outlier[1:4] = 0.1
    assert "nearly by itself (leverage" in said(Design.of({"outlier": outlier}))


def test_too_many_dimensions_are_said():
    many = np.random.default_rng(0).choice([-1.0, 1.0], (N, 22))
    found = said(Design.of({"many": many}))
    assert "features have 22 dimensions and leave 37" in found or "nearly by itself" in found


def test_groups_that_are_alike_beyond_the_features_are_said(design):
    rng = np.random.default_rng(0)
    groups = StimulusGroups.of(np.arange(N) // 4, "film")
    alike = rng.standard_normal((15, 8))[groups.codes] + 0.5 * rng.standard_normal((N, 8))
    other = rng.standard_normal((N, 8))
    assert "audit film as a feature" in said(design, groups=groups, kernel=alike @ alike.T)
    assert said(design, groups=groups, kernel=other @ other.T) == ""
    assert said(design, kernel=alike @ alike.T) == ""


def test_estimates_that_differ_by_more_than_their_interval_allows_are_said():
    """A difference of .1, of shares with intervals of .2 and of 2."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, 5))
    brain = Brain.of(Side.of_network(x @ x.T), Design.of({"size": x[:, 0]}))
    found = divide(x @ x.T, brain)
    away = np.array([0.1, -0.1])
    for column, words in (("adjusted", "varies more"), ("of_means", "noise is shared")):
        same = {"adjusted": found.shares, "of_means": found.shares}
        narrow, wide = (
            replace(found, low=found.shares - w, high=found.shares + w, **same) for w in (0.1, 1.0)
        )
        assert list(of_division(narrow)) == []
        (warning,) = of_division(replace(narrow, **{column: found.shares + away}))
        assert words in warning
        assert list(of_division(replace(wide, **{column: found.shares + away}))) == []


def test_repeats_are_those_of_a_subject_where_subjects_share_some_stimuli(design):
    """Every stimulus twice of one subject, and a third of them twice of another as well."""
    shared = np.arange(N) < N // 3
    ids = np.concatenate([np.repeat(IDS, 2), np.repeat(IDS[shared], 2)])
    responses = np.full((len(ids), 4), np.nan)
    responses[: 2 * N, :2], responses[2 * N :, 2:] = 0, 0
    both = Recording(
        stimuli={"stimulus_id": IDS},
        responses=responses,
        trials={"stimulus_id": ids, "repeat": np.tile([0, 1], len(ids) // 2)},
        units={"unit": np.arange(4).astype(str), "subject": np.repeat(["a", "b"], 2)},
    )
    assert list(of_recording(both, side(np.eye(N)), design, "correlation", ALONE)) == []
