"""Steering against a linear network whose flips are known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from analysed import analysed
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import ortho_group

from repbias.base.spec import RepbiasError
from repbias.bias.spec import Bias
from repbias.bias.steering import class_means, norm_to_flip, steer
from repbias.io.networks import Networks
from repbias.io.stimuli import Stimuli
from repbias.networks.mlp import MLP
from repbias.tables import TABLES


def test_the_means_are_those_of_each_class():
    phi = np.array([[1.0, 0], [3, 2], [5, 5], [7, 7]])
    np.testing.assert_array_equal(class_means(phi, np.array([0, 0, 1, 1])), [[2, 1], [6, 6]])
    stacked = class_means(np.stack([phi, 2 * phi]), np.array([1, 0, 2, 0]), 3)
    means = np.array([[5, 4.5], [1, 0], [5, 5]])
    np.testing.assert_array_equal(stacked, np.stack([means, 2 * means], axis=1))


def test_a_class_without_stimuli_has_no_mean():
    with pytest.raises(RepbiasError, match="all 2 classes; all 3 are of 1"):
        class_means(np.ones((3, 2)), np.zeros(3))


@given(seed=st.integers(0, 10_000))
def test_steering_rotates_with_the_units(seed):
    rng = np.random.default_rng(seed)
    phi, labels = rng.normal(size=(20, 4)), np.arange(20) % 2
    reported, rotation = labels ^ (rng.random(20) < 0.1), ortho_group.rvs(4, random_state=seed)
    moved, also = (
        steer(x, class_means(x, labels), 0.7, reported, 1 - reported) for x in (phi, phi @ rotation)
    )
    np.testing.assert_allclose(also, moved @ rotation, atol=1e-12)
    # Every stimulus goes as far, towards the class that is not reported.
    zero, one = class_means(phi, labels)
    steps = (moved - phi) @ (one - zero)
    np.testing.assert_allclose(np.abs(steps), steps.max())
    np.testing.assert_array_equal(steps > 0, reported == 0)


def test_every_stimulus_goes_from_its_class_to_its_goal():
    means = np.array([[0.0, 0], [1, 0], [0, 2]])
    found = steer(np.ones((3, 2)), means, 0.5, np.array([0, 1, 2]), np.array([2, 1, 1]))
    np.testing.assert_array_equal(found, [[1, 2], [1, 1], [1.5, 0]])


@pytest.mark.parametrize(
    ("flips", "share", "expected"),
    [
        ([0.0, 0.8, 1.0], 0.9, 3.0),
        ([0.0, 0.9, 1.0], 0.9, 2.0),
        ([1.0, 1.0, 1.0], 0.9, 0.9),  # from norm 0, which flips nothing
        ([0.0, 0.95, 0.5], 0.95, 2.0),  # where it is first reached
        ([0.0, 0.1, 0.2], 0.9, np.nan),
    ],
)
def test_norm_to_flip(flips, share, expected):
    found = norm_to_flip(np.array([1.0, 2.0, 4.0]), np.array(flips), share)
    assert found == pytest.approx(expected, nan_ok=True)


@given(steps=st.lists(st.floats(0.01, 1), min_size=2, max_size=8), share=st.floats(0.01, 1))
def test_norm_to_flip_inverts_rising_flips(steps, share):
    flips = np.cumsum(steps) / sum(steps)
    norms = np.arange(1.0, len(steps) + 1)
    expected = np.interp(share, [0, *flips], [0, *norms])
    assert norm_to_flip(norms, flips, min(share, flips[-1])) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("strengths", [[], [0.0, 1.0], [1.0, 0.5], [1.0, 1.0]])
def test_strengths_must_be_positive_and_increasing(strengths):
    with pytest.raises(ValidationError):
        Bias(steering_strengths=strengths)


# Evidence for easy, on unit 0, is +-1, +-2, +-3 or +-4; for hard, on unit 1, it is always +-2.
EASY = np.tile([-1, 1, -2, 2, -3, 3, -4, 4], 2)
HARD = np.repeat([-2, 2], 8)


def make_case(labels):
    inputs = np.stack([10 + EASY, 10 + HARD, np.full(16, 10)], axis=1).astype(np.float32)
    stimuli = Stimuli(
        inputs=np.tile(inputs, (2, 1)),
        ids=np.arange(32).astype(str),
        split=np.repeat(["validation", "test"], 16),
        features=["easy", "hard"],
        labels=np.concatenate([labels, labels]).astype(np.uint8),
        components=[],
        component_labels=np.zeros((32, 0), np.uint8),
        supervised=np.ones((32, 2), bool),
    )
    # Inputs are handed on; each output reads its unit against 10.
    networks = Networks(
        seeds=np.array([4, 5]),
        features=["easy", "hard"],
        targets=["easy", "hard"],
        included=np.array([True, False]),
        test_accuracy=np.ones((2, 2)),
        mastery_step=np.zeros((2, 2), int),
        curves={},
        checkpoint_names=np.array(["mastered", "final"]),
        checkpoint_steps=np.array([[30, -1], [50, 60]]),
        weights={
            "w1": np.tile(np.eye(3, dtype=np.float32), (2, 2, 1, 1)),
            "b1": np.zeros((2, 2, 1, 3), np.float32),
            "w2": np.tile(np.eye(3, 2, dtype=np.float32), (2, 2, 1, 1)),
            "b2": np.full((2, 2, 1, 2), -10, np.float32),
        },
    )
    return networks, stimuli


def test_a_linear_network_flips_where_the_step_passes_its_evidence():
    """The mean difference of easy is 5, that of hard 4; each is along its own unit."""
    networks, stimuli = make_case(np.stack([EASY > 0, HARD > 0], axis=1))
    settings = Bias(steering_strengths=[0.1, 0.3, 0.45, 0.55, 0.7, 0.9])
    spec = MLP(hidden=[3], activation="relu")
    table = analysed("steering", networks, stimuli, spec, settings)
    assert tuple(table.columns) == TABLES["steering"].columns
    assert len(table) == 3 * 2 * 6 * 2, (
        "checkpoints of networks, features, steering strengths, outputs"
    )
    assert not ((table["seed"] == 5) & (table["snapshot"] == "mastered")).any()
    # Total variance: the mean square of 1, 2, 3, 4, and 2 squared.
    activity = np.sqrt(7.5 + 4)
    for _, rows in table.groupby(["seed", "snapshot"]):
        for feature, length, flips in [
            ("easy", 5, [0, 0.25, 0.5, 0.5, 0.75, 1]),  # steps of .5, 1.5, 2.25, 2.75, 3.5, 4.5
            ("hard", 4, [0, 0, 0, 1, 1, 1]),  # steps of .4, 1.2, 1.8, 2.2, 2.8, 3.6
        ]:
            steered = rows[rows["feature"] == feature]
            own, other = (steered[(steered["output"] == feature) == same] for same in (True, False))
            np.testing.assert_array_equal(own["strength"], settings.steering_strengths)
            np.testing.assert_allclose(own["norm"], length * np.array(settings.steering_strengths))
            np.testing.assert_allclose(own["norm_sd"], own["norm"] / activity)
            np.testing.assert_array_equal(own["flips"], flips)
            assert (other["flips"] == 0).all()
    assert norm_to_flip(own["norm"].to_numpy(), own["flips"].to_numpy()) == pytest.approx(
        1.8 + 0.9 * 0.4
    )


def test_a_wrongly_classified_stimulus_leaves_the_class_that_is_reported():
    labels = np.stack([EASY > 0, HARD > 0], axis=1)
    labels[0, 0] = ~labels[0, 0]  # the network reports 0 with evidence -1
    networks, stimuli = make_case(labels)
    spec = MLP(hidden=[3], activation="relu")
    table = analysed("steering", networks, stimuli, spec, Bias(steering_strengths=[1.0]))
    easy = table[(table["feature"] == "easy") & (table["output"] == "easy")]
    # Means of unit 0 are 19 / 9 and -19 / 7, of unit 1 -2 / 9 and 2 / 7; over 4 flips all.
    np.testing.assert_allclose(easy["norm"], np.hypot(19 / 9 + 19 / 7, 2 / 9 + 2 / 7))
    assert (easy["flips"] == 1).all()
