"""Capital letters as strokes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

#: Letter to its lines, each a row of points "xy" on a board of five by five: x from left (0) to
#: right (4), y from top (0) to bottom (4).
LETTERS: dict[str, str] = {
    "A": "04 20 44, 13 33",
    "B": "02 32 43 34 04 00 30 41 32",
    "C": "40 10 01 03 14 44",
    "D": "00 30 41 43 34 04 00",
    "E": "40 00 04 44, 02 32",
    "F": "40 00 04, 02 32",
    "G": "40 10 01 03 14 34 43 42 22",
    "H": "00 04, 40 44, 02 42",
    "I": "10 30, 20 24, 14 34",
    "J": "20 40, 30 33 24 14 03",
    "K": "00 04, 40 02 44",
    "L": "00 04 44",
    "M": "04 00 22 40 44",
    "N": "04 00 44 40",
    "O": "10 30 41 43 34 14 03 01 10",
    "P": "04 00 30 41 32 02",
    "Q": "10 30 41 43 34 14 03 01 10, 22 44",
    "R": "04 00 30 41 32 02, 22 44",
    "S": "40 10 01 12 32 43 34 04",
    "T": "00 40, 20 24",
    "U": "00 03 14 34 43 40",
    "V": "00 24 40",
    "W": "00 14 22 34 40",
    "X": "00 44, 40 04",
    "Y": "00 22 40, 22 24",
    "Z": "00 40 04 44",
}
#: The last coordinate on the board.
SIDE = 4


def strokes(letter: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the ends of a letter's strokes on the board, each (coordinate,).

    Examples
    --------
    >>> [(a.tolist(), b.tolist()) for a, b in strokes("L")]
    [([0, 0], [0, 4]), ([0, 4], [4, 4])]
    """
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for line in LETTERS[letter].split(","):
        points = [np.array([int(digit) for digit in point]) for point in line.split()]
        found += pairwise(points)
    return found


def distance_to(letter: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance of points from the nearest stroke of a letter, in units of the board."""
    nearest = np.full(x.shape, np.inf, np.float32)
    for start, end in strokes(letter):
        (dx, dy), (x0, y0) = (end - start).tolist(), start.tolist()
        along = ((x - x0) * dx + (y - y0) * dy) * np.float32(1 / (dx**2 + dy**2))
        along = np.clip(along, 0, 1)
        squared = (x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2
        np.minimum(nearest, squared, out=nearest)
    return np.sqrt(nearest)


def cells(letter: str, n: int) -> np.ndarray:
    """Return which cells of a board of n by n a letter consists of, (row, column) bool."""
    at = np.arange(n, dtype=np.float32) * np.float32(SIDE / (n - 1))
    return distance_to(letter, *np.meshgrid(at, at)) <= SIDE / (n - 1) / 2 + 1e-6
