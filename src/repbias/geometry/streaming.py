"""RDMs of patterns that do not fit into memory, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from repbias.geometry.distances import refuse_constant, refuse_not_finite, rounding_of_squares
from repbias.geometry.spec import Distance

#: Reads the patterns of some stimuli in some units, as ``dataset[stimuli, units]`` does:
#: (stimulus, unit), any number type.
Read = Callable[[slice, slice], np.ndarray]


def stream_dissimilarities(
    read: Read, n_stimuli: int, n_units: int, distance: Distance, max_memory_mb: int = 2000
) -> Iterator[np.ndarray]:
    """Compute the upper triangle of one RDM part by part.

    Equals :func:`repbias.geometry.distances.dissimilarities` up to rounding. If everything fits
    into memory, there is a single part and it takes as long; otherwise patterns are read several
    times. For a block of rows of the RDM, the products x_i'x_j are summed over chunks of units.
    For precision, the patterns are first shifted by approximately their mean, along the axis that
    the distance ignores; the mean m of a pattern that remains after the shift is subtracted
    afterwards: x_i'x_j - p m_i m_j.

    Parameters
    ----------
    read
        Returns patterns.
    n_stimuli, n_units
        Size of what `read` returns in all.
    distance
        As in :func:`repbias.geometry.distances.dissimilarities`.
    max_memory_mb
        Approximate bound on the memory in use, in megabytes.

    Yields
    ------
    numpy.ndarray
        Consecutive parts of (pair,) float64, the row-major upper triangle.

    Raises
    ------
    RepbiasError
        If a pattern is not finite, or constant where correlation needs variance; raised before
        anything is yielded.
    """
    height, width = _block(n_stimuli, n_units, max_memory_mb)
    for rows in blocks(n_stimuli, height):
        sums = _sums(read, rows, n_stimuli, n_units, width, distance)
        if rows.start == 0:  # later blocks see some of these patterns again
            refuse_not_finite(sums.not_finite)
            if distance == "correlation":
                refuse_constant(sums.norms, sums.shifts, n_units)
        yield _dissimilarities(sums, distance)


def _block(n_stimuli: int, n_units: int, max_memory_mb: int) -> tuple[int, int]:
    """Return how many stimuli and units are read at once.

    Half of the memory is for the products of a block's rows with all stimuli and the
    dissimilarities computed from them; the other half is for the patterns of two blocks, both as
    they are read and as float64.
    """
    numbers = max_memory_mb * 1_000_000 // 8 // 2
    height = min(n_stimuli, max(1, numbers // (3 * n_stimuli)))
    return height, min(n_units, max(1, numbers // (3 * height)))


def blocks(n: int, size: int, start: int = 0) -> Iterator[slice]:
    """Cut the range from start to n into slices of at most `size`."""
    for first in range(start, n, size):
        yield slice(first, min(first + size, n))


@dataclass
class _Sums:
    """Sums over units for a block of rows of the RDM, and for the stimuli from its first row on.

    Attributes
    ----------
    products : (row, stimulus), x_i'x_j of shifted patterns
    squares : (stimulus,), x_j'x_j
    shifts, means : (stimulus,), for correlation: what was subtracted from a pattern, and its mean
        over units that remains; otherwise 0
    not_finite : (stimulus,) bool
    n_units : number of units
    """

    products: np.ndarray
    squares: np.ndarray
    shifts: np.ndarray
    means: np.ndarray
    not_finite: np.ndarray
    n_units: int

    @property
    def norms(self) -> np.ndarray:
        """Norm of each pattern minus its mean over units, (stimulus,)."""
        return np.sqrt(np.maximum(self.squares - self.n_units * self.means**2, 0))


def _sums(
    read: Read, rows: slice, n_stimuli: int, n_units: int, width: int, distance: Distance
) -> _Sums:
    """Sum over all units, `width` at a time, for a block of rows."""
    start = rows.start
    height, n_left = rows.stop - start, n_stimuli - start
    squares, shifts, means = np.zeros((3, n_left))
    sums = _Sums(
        np.zeros((height, n_left)), squares, shifts, means, np.zeros(n_left, bool), n_units
    )
    for units in blocks(n_units, width):
        for others in blocks(n_stimuli, height, start):
            columns = slice(others.start - start, others.stop - start)
            x = np.array(read(others, units), dtype=np.float64)
            sums.not_finite[columns] |= ~np.isfinite(x).all(axis=1)
            if distance == "correlation":
                if units.start == 0:
                    sums.shifts[columns] = x.mean(axis=1)
                x -= sums.shifts[columns, None]
                sums.means[columns] += x.sum(axis=1) / n_units
            else:
                if others.start == start:
                    shift = x.mean(axis=0)
                x -= shift
            if others.start == start:
                x_rows = x
            sums.squares[columns] += np.vecdot(x, x)
            sums.products[:, columns] += x_rows @ x.T
    return sums


def _dissimilarities(sums: _Sums, distance: Distance) -> np.ndarray:
    """Return the dissimilarity (pair,) of every row with every stimulus after it.

    Overwrites the products, which are as large as the result.
    """
    n_rows, n_left = sums.products.shape
    result = np.empty(n_rows * (n_left - 1) - n_rows * (n_rows - 1) // 2)
    norms, means, squares = sums.norms, sums.means, sums.squares
    end = 0
    for i, row in enumerate(sums.products):
        after = slice(i + 1, None)
        row = row[after]
        pairs = result[end : end + len(row)]
        end += len(row)
        if distance == "correlation":
            row -= sums.n_units * means[i] * means[after]
            row /= norms[i] * norms[after]
            np.subtract(1, row, out=pairs)
        else:
            total = squares[i] + squares[after]
            row *= -2
            np.add(row, total, out=pairs)
            pairs[pairs <= rounding_of_squares(total)] = 0
            pairs /= sums.n_units
    if distance == "euclidean":
        np.sqrt(result, out=result)
    return result
