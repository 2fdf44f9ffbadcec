"""Responses of which only blocks were observed, such as those of subjects with trials of their own.

One array of the responses of S such subjects would be S times as large as what was observed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Block:
    """Responses of some units in some trials.

    Attributes
    ----------
    trials : (trial of the block,) int, which of all trials these are
    units : (unit of the block,) int, which of all units these are
    values : (trial, unit) or (trial, unit, time) float, NaN where a unit was not observed
    """

    trials: np.ndarray
    units: np.ndarray
    values: np.ndarray

    def selected(self, trials: np.ndarray, units: np.ndarray) -> Block:
        """Return what is in the block of some trials and units, int, in the given order."""
        rows, columns = _places(self.trials, trials), _places(self.units, units)
        new_trials, new_units = np.flatnonzero(rows >= 0), np.flatnonzero(columns >= 0)
        rows, columns = rows[new_trials], columns[new_units]
        values = self.values
        if not np.array_equal(columns, np.arange(values.shape[1])):
            values = values[:, columns]
        if not np.array_equal(rows, np.arange(len(values))):
            values = values[rows]
        return Block(new_trials, new_units, values)


def _places(members: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return where each wanted number is among the members, -1 where it is not."""
    size = max(members.max(initial=-1), wanted.max(initial=-1)) + 1
    places = np.full(size, -1)
    places[members] = np.arange(len(members))
    return places[wanted]


@dataclass(frozen=True, eq=False)
class Blocks:
    """Responses (trial, unit) or (trial, unit, time), held in blocks; NaN in no block.

    `numpy.asarray` makes the whole array of them.

    Attributes
    ----------
    shape : of the whole
    blocks : they do not overlap
    """

    shape: tuple[int, ...]
    blocks: tuple[Block, ...]

    @classmethod
    def diagonal(cls, parts: Sequence[np.ndarray]) -> Blocks:
        """Return the responses of parts that have trials and units of their own."""
        ends = np.cumsum([[0, 0], *(part.shape[:2] for part in parts)], axis=0)
        blocks = [
            Block(np.arange(*trials), np.arange(*units), part)
            for part, trials, units in zip(
                parts,
                zip(ends[:-1, 0], ends[1:, 0], strict=True),
                zip(ends[:-1, 1], ends[1:, 1], strict=True),
                strict=True,
            )
        ]
        return cls((*ends[-1].tolist(), *parts[0].shape[2:]), tuple(blocks))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = np.full(self.shape, np.nan, dtype)
        for block in self.blocks:
            whole[np.ix_(block.trials, block.units)] = block.values
        return whole

    def __getitem__(self, index: Any) -> np.ndarray:
        part: np.ndarray = np.asarray(self)[index]
        return part


#: Responses in one array, or in blocks.
Responses = np.ndarray | Blocks


def blocks_of(responses: Responses) -> tuple[Block, ...]:
    """Return the blocks; one array is one block."""
    if isinstance(responses, Blocks):
        return responses.blocks
    n_trials, n_units = responses.shape[:2]
    return (Block(np.arange(n_trials), np.arange(n_units), responses),)


def selected(
    responses: Responses, trials: np.ndarray | None = None, units: np.ndarray | None = None
) -> Responses:
    """Return the responses of some trials and units: bool, or int in the order that they get.

    They are in one array where one block has all of them.
    """
    n_trials, n_units = responses.shape[:2]
    rows = np.arange(n_trials) if trials is None else np.arange(n_trials)[trials]
    columns = np.arange(n_units) if units is None else np.arange(n_units)[units]
    parts = (block.selected(rows, columns) for block in blocks_of(responses))
    found = tuple(part for part in parts if 0 not in part.values.shape[:2])
    shape = (len(rows), len(columns), *responses.shape[2:])
    if len(found) == 1 and found[0].values.shape == shape:
        return found[0].values
    return Blocks(shape, found) if found else np.full(shape, np.nan)


def at_time(responses: Responses, index: Any) -> Responses:
    """Return the responses in a time bin, or in several."""
    if isinstance(responses, np.ndarray):
        return responses[:, :, index]
    parts = tuple(Block(b.trials, b.units, b.values[:, :, index]) for b in responses.blocks)
    return Blocks(responses.shape[:2] + parts[0].values.shape[2:], parts)


def observed_trials(responses: Responses) -> np.ndarray:
    """Return in which trials any unit was observed, (trial,) bool."""
    observed = np.zeros(len(responses), bool)
    for block in blocks_of(responses):
        missing = np.isnan(block.values).all(axis=tuple(range(1, block.values.ndim)))
        observed[block.trials] |= ~missing
    return observed


def rows_of(responses: Responses, units: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the responses of one trial after the other, of the given units, int, as float64."""
    if isinstance(responses, np.ndarray):
        yield from (np.asarray(row, np.float64)[units] for row in responses)
        return
    places = [(_places(b.trials, np.arange(len(responses))), b) for b in responses.blocks]
    for trial in range(len(responses)):
        row = np.full(responses.shape[1:], np.nan)
        for place, block in places:
            if place[trial] >= 0:
                row[block.units] = block.values[place[trial]]
        yield row[units]


def by_label(responses: Responses, labels: np.ndarray) -> Responses:
    """Return responses in one block for every label, or in one array if all have all trials.

    A block has the units of the label and the trials in which any of them was observed.

    Parameters
    ----------
    responses
        (trial, unit[, time]).
    labels
        (unit,), such as the subject of each.
    """
    units = [np.flatnonzero(labels == label) for label in dict.fromkeys(labels.tolist())]
    parts = [selected(responses, units=of_label) for of_label in units]
    trials = [observed_trials(part) for part in parts]
    if all(observed.all() for observed in trials):
        return np.asarray(responses)
    blocks = [
        Block(np.flatnonzero(observed), of_label, np.asarray(selected(part, observed)))
        for observed, of_label, part in zip(trials, units, parts, strict=True)
    ]
    return Blocks(responses.shape, tuple(blocks))
