"""RDMs, Gram matrices and comparisons of RDMs that do not fit into memory, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.geometry.distances import refuse_constant, refuse_not_finite
from repbias.geometry.spec import Distance

#: Reads the patterns of some stimuli in some units, as ``dataset[stimuli, units]`` does:
#: (stimulus, unit), any number type.
Read = Callable[[slice, slice], np.ndarray]


class Table(Protocol):
    """RDMs (rdm, pair): an array, or an HDF5 dataset, of which only parts are read."""

    shape: tuple[int, ...]

    def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray: ...


def stream_dissimilarities(
    read: Read, n_stimuli: int, n_units: int, distance: Distance, max_memory_mb: int = 2000
) -> Iterator[np.ndarray]:
    """Compute one RDM's upper triangle part by part.

    It equals :func:`repbias.geometry.distances.dissimilarities` but for rounding, and takes as long
    where all fits into memory: then it is one part. Else patterns are read several times. For a
    block of rows of the RDM, products x_i'x_j are summed over chunks of units, from all patterns
    shifted by almost their mean (along what the distance ignores), for precision; what the shift
    left of a pattern's mean m is subtracted afterwards: x_i'x_j - p m_i m_j.

    Parameters
    ----------
    read
        Returns patterns.
    n_stimuli, n_units
        How many there are to read.
    distance
        As in :func:`repbias.geometry.distances.dissimilarities`.
    max_memory_mb
        Bound on the memory that is held, about; in megabytes.

    Yields
    ------
    numpy.ndarray
        Consecutive parts of (pair,) float64, the row-major upper triangle.

    Raises
    ------
    RepbiasError
        If a pattern is not finite, or constant where correlation needs variance; before anything
        is yielded.
    """
    correlation = distance == "correlation"
    height, width = _block(n_stimuli, n_units, max_memory_mb)
    for rows in blocks(n_stimuli, height):
        start = rows.start
        n_left, n_rows = n_stimuli - start, rows.stop - start
        products = np.zeros((n_rows, n_left))
        squares, means, bad = np.zeros(n_left), np.zeros(n_left), np.zeros(n_left, bool)
        shifts = np.zeros((n_left, 1))
        for units in blocks(n_units, width):
            for others in blocks(n_stimuli, height, start):
                here = slice(others.start - start, others.stop - start)
                x = np.array(read(others, units), dtype=np.float64)
                bad[here] |= ~np.isfinite(x).all(axis=1)
                if correlation:
                    if units.start == 0:
                        shifts[here] = x.mean(axis=1, keepdims=True)
                    x -= shifts[here]
                    means[here] += x.sum(axis=1) / n_units
                else:
                    if others.start == start:
                        shift = x.mean(axis=0)
                    x -= shift
                if others.start == start:
                    mine = x
                squares[here] += np.vecdot(x, x)
                products[:, here] += mine @ x.T
        if start == 0:  # later blocks see some of these patterns again
            refuse_not_finite(bad)
        if correlation:
            norms = np.sqrt(np.maximum(squares - n_units * means**2, 0))
            if start == 0:
                refuse_constant(norms, shifts[:, 0], n_units)
        part = np.empty(n_rows * (n_left - 1) - n_rows * (n_rows - 1) // 2)
        end = 0
        for i, row in enumerate(products):
            row, after = row[i + 1 :], slice(i + 1, None)
            pairs = part[end : end + len(row)]
            end += len(row)
            if correlation:
                row -= n_units * means[i] * means[after]
                row /= norms[i] * norms[after]
                np.subtract(1, row, out=pairs)
            else:
                row *= -2
                row += squares[i]
                np.add(row, squares[after], out=pairs)
                pairs /= n_units
        if distance == "euclidean":
            np.sqrt(np.maximum(part, 0, out=part), out=part)
        yield part


def _block(n_stimuli: int, n_units: int, max_memory_mb: int) -> tuple[int, int]:
    """Return how many stimuli and units are read at once.

    Half of the memory is for products of a block's rows with all others, and the dissimilarities
    that become of them; half for patterns, of two blocks, as they are read and as they are used.
    """
    numbers = max_memory_mb * 1_000_000 // 8 // 2
    height = min(n_stimuli, max(1, numbers // (3 * n_stimuli)))
    return height, min(n_units, max(1, numbers // (3 * height)))


def blocks(n: int, size: int, start: int = 0) -> Iterator[slice]:
    """Cut what is from start to n into slices of at most a size."""
    for first in range(start, n, size):
        yield slice(first, min(first + size, n))


def stream_gram(read: Read, n_stimuli: int, n_units: int, max_memory_mb: int = 2000) -> np.ndarray:
    """Return the Gram matrix of patterns from which their mean was subtracted.

    The patterns are read once, by chunks of units; the matrix itself is held in memory.

    Parameters
    ----------
    read
        Returns patterns.
    n_stimuli, n_units
        How many there are to read.
    max_memory_mb
        Bound on the memory that patterns take, about; in megabytes.

    Returns
    -------
    numpy.ndarray
        (stimulus, stimulus) float64, X X' of X with columns of mean 0.

    Raises
    ------
    RepbiasError
        If a pattern is not finite.
    """
    gram, bad = np.zeros((n_stimuli, n_stimuli)), np.zeros(n_stimuli, bool)
    size = max(1, max_memory_mb * 1_000_000 // 8 // (3 * n_stimuli))
    for units in blocks(n_units, size):
        x = np.array(read(slice(0, n_stimuli), units), dtype=np.float64)
        bad |= ~np.isfinite(x).all(axis=1)
        x -= x.mean(axis=0)
        gram += x @ x.T
    refuse_not_finite(bad)
    return gram


def compare_streamed(
    a: Table, b: Table, rdm_similarity: Literal["corr", "cosine"], max_memory_mb: int = 2000
) -> np.ndarray:
    """Compare every RDM of a with every one of b, reading some pairs of stimuli at a time.

    As ``rsatoolbox.rdm.compare``. For "corr" RDMs are read twice: for their means first.

    Parameters
    ----------
    a, b
        (rdm, pair), over the same stimuli in the same order.
    rdm_similarity
        "corr" or "cosine"; all others need whole RDMs.
    max_memory_mb
        Bound on the memory that is held, about; in megabytes.

    Returns
    -------
    numpy.ndarray
        (rdm of a, rdm of b); 0 where an RDM is constant, or for "cosine" zero.

    Raises
    ------
    RepbiasError
        If the RDM similarity is another one, the numbers of pairs differ, or a dissimilarity is not
        finite.
    """
    if rdm_similarity not in ("corr", "cosine"):
        raise RepbiasError(
            f"RDM similarity {rdm_similarity!r} needs whole RDMs in memory; expected corr or "
            "cosine, or compare RDMs of fewer stimuli"
        )
    if a.shape[1] != b.shape[1]:
        raise RepbiasError(
            f"RDMs of {a.shape[1]} and of {b.shape[1]} pairs of stimuli cannot be compared; "
            "expected the same stimuli"
        )
    n_pairs = a.shape[1]
    size = max(1, max_memory_mb * 1_000_000 // 8 // (3 * (a.shape[0] + b.shape[0])))
    means = [np.zeros((t.shape[0], 1)) for t in (a, b)]
    if rdm_similarity == "corr":
        for pairs in blocks(n_pairs, size):
            for table, mean in zip((a, b), means, strict=True):
                mean += _float64(table, pairs).sum(axis=1, keepdims=True) / n_pairs
    products = np.zeros((a.shape[0], b.shape[0]))
    squares = [np.zeros(t.shape[0]) for t in (a, b)]
    # What is but rounding of the mean is no variance.
    raw = [np.zeros(t.shape[0]) for t in (a, b)]
    for pairs in blocks(n_pairs, size):
        parts = []
        for table, mean, square, before in zip((a, b), means, squares, raw, strict=True):
            x = _float64(table, pairs)
            before += np.vecdot(x, x)
            x -= mean
            square += np.vecdot(x, x)
            parts.append(x)
        products += parts[0] @ parts[1].T
    for name, before in zip("ab", raw, strict=True):
        if not np.isfinite(before).all():
            raise RepbiasError(
                f"{(~np.isfinite(before)).sum()} of {len(before)} RDMs of {name} have "
                "dissimilarities that are not finite; expected finite numbers"
            )
    norms = [
        np.sqrt(np.where(square > 1e-24 * before, square, 0))
        for square, before in zip(squares, raw, strict=True)
    ]
    norms = np.outer(*norms)
    return np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)


def _float64(table: Table, pairs: slice) -> np.ndarray:
    return np.array(table[:, pairs], dtype=np.float64)
