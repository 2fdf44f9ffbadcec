"""Responses in blocks do what the whole array does."""

import numpy as np
import pytest

from repbias.io.blocks import (
    Block,
    Blocks,
    at_time,
    blocks_of,
    by_label,
    observed_trials,
    rows_of,
    selected,
)
from repbias.io.recordings import Recording

RNG = np.random.default_rng(0)


def example(*times: int) -> Blocks:
    """Two subjects with trials and units of their own, not in order, and trials that they share."""
    first = Block(np.array([0, 1, 4, 5]), np.array([0, 2]), RNG.normal(size=(4, 2, *times)))
    second = Block(np.array([5, 2, 3]), np.array([3, 1, 4]), RNG.normal(size=(3, 3, *times)))
    first.values[2, 1] = np.nan
    return Blocks((7, 5, *times), (first, second))


@pytest.mark.parametrize("times", [(), (3,)])
@pytest.mark.parametrize(
    ("trials", "units"),
    [
        (None, None),
        (np.array([5, 0, 3]), None),
        (None, np.array([4, 0, 1])),
        (np.arange(7) % 2 == 0, np.array([True, False, True, False, False])),
        (np.array([2, 3]), np.array([1, 3])),
        (np.array([6]), np.array([0])),
    ],
)
def test_a_part_is_that_of_the_whole_array(times, trials, units):
    blocks = example(*times)
    whole = np.asarray(blocks)
    expected = whole if trials is None else whole[trials]
    expected = expected if units is None else expected[:, units]
    found = selected(blocks, trials, units)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.asarray(found), expected)
    np.testing.assert_array_equal(selected(whole, trials, units), expected)


def test_one_block_of_everything_is_an_array():
    assert isinstance(selected(example(), np.array([2, 3]), np.array([1, 3])), np.ndarray)
    assert isinstance(selected(example(), units=np.array([1, 3])), Blocks)


def test_rows_times_and_observed_trials_are_those_of_the_whole_array():
    blocks, units = example(3), np.array([3, 2, 0, 1, 4])
    whole = np.asarray(blocks)
    np.testing.assert_array_equal(np.stack(list(rows_of(blocks, units))), whole[:, units])
    np.testing.assert_array_equal(np.stack(list(rows_of(whole, units))), whole[:, units])
    for index in (1, np.array([True, False, True])):
        np.testing.assert_array_equal(np.asarray(at_time(blocks, index)), whole[:, :, index])
    expected = ~np.isnan(whole).all(axis=(1, 2))
    np.testing.assert_array_equal(observed_trials(blocks), expected)
    assert not expected.all()


def test_parts_with_trials_and_units_of_their_own_are_on_the_diagonal():
    parts = [RNG.normal(size=shape) for shape in ((2, 3), (4, 1))]
    whole = np.asarray(Blocks.diagonal(parts))
    assert whole.shape == (6, 4)
    np.testing.assert_array_equal(whole[:2, :3], parts[0])
    np.testing.assert_array_equal(whole[2:, 3:], parts[1])
    assert np.isnan(whole[:2, 3:]).all() and np.isnan(whole[2:, :3]).all()


def test_subjects_with_trials_of_their_own_get_blocks_and_others_one_array():
    whole = np.full((6, 4), np.nan)
    whole[:4, :2], whole[2:, 2:] = RNG.normal(size=(2, 4, 2))
    whole[3, 0] = np.nan
    labels = np.array(["a", "a", "b", "b"])
    found = by_label(whole, labels)
    np.testing.assert_array_equal(np.asarray(found), whole)
    assert [block.values.shape for block in blocks_of(found)] == [(4, 2), (4, 2)]
    assert isinstance(by_label(whole, np.array(["a", "b", "a", "b"])), np.ndarray)


def test_a_file_keeps_the_blocks(tmp_path):
    responses = example(2)
    columns = {"subject": np.array(list("aabbb")), "region": np.full(5, "")}
    recording = Recording(
        stimuli={"stimulus_id": np.array(["x", "y"])},
        responses=responses,
        trials={"stimulus_id": np.array(list("xxxyyyy"))},
        units=columns | {"unit": np.arange(5)},
    )
    recording.write(tmp_path / "r.h5")
    found = Recording.read(tmp_path / "r.h5").responses
    assert isinstance(found, Blocks) and found.shape == responses.shape
    np.testing.assert_array_equal(np.asarray(found), np.asarray(responses))
