"""Shapes: which points of a box belong to a figure.

To add one, write a function of coordinates and enter it in :data:`SHAPES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: What is left of the half width of a pentagon or trapezoid after a height of 1: 1 / TAPER less.
TAPER = 3.1
#: Half the width of the arms of a plus or a tee.
ARM = 1 / 6


def triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return points of a triangle with its apex above."""
    return np.abs(u - 0.5) < v / 2


def square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return all points of the box."""
    return np.ones(u.shape, bool)


def plus(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return points of two crossed bars."""
    return (np.abs(u - 0.5) < ARM) | (np.abs(v - 0.5) < ARM)


def circle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return points of a disc."""
    return (u - 0.5) ** 2 + (v - 0.5) ** 2 < 0.25


def tee(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return points of a T: the top third, and a bar below it."""
    return (np.abs(u - 0.5) < ARM) | (v < 2 * ARM)


def rhombus(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return points of a slanted band, half as wide as the box."""
    return np.abs(u - 0.75 + v / 2) < 0.25


def pentagon(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return points of a pentagon, widest at 40 % of its height."""
    return np.abs(u - 0.5) < np.minimum(1.25 * v, 0.5 - (v - 0.4) / TAPER)


def star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return points of a five-pointed star: those within four or more of its five lines."""
    within = np.zeros(u.shape, np.int8)
    # The first point is above, where v is small.
    for angle in 2 * np.pi * np.arange(5) / 5 - np.pi / 2:
        towards = (u - 0.5) * np.float32(np.cos(angle)) + (v - 0.5) * np.float32(np.sin(angle))
        within += towards < 0.5 * np.cos(2 * np.pi / 5)
    return within >= 4


def fivesquare(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return points of five squares: the corners and the centre of a board of three by three."""
    return (np.floor(3 * u) + np.floor(3 * v)) % 2 == 0


def trapezoid(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return points of a trapezoid, wider below."""
    return np.abs(u - 0.5) < 0.5 - (1 - v) / TAPER


#: Shape to a function of the coordinates of points in the box: u from left (0) to right (1), v from
#: top (0) to bottom (1), float32 of any one shape. It says which points belong to the shape; what
#: it says of points outside the box does not matter.
SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "triangle": triangle,
    "square": square,
    "plus": plus,
    "circle": circle,
    "tee": tee,
    "rhombus": rhombus,
    "pentagon": pentagon,
    "star": star,
    "fivesquare": fivesquare,
    "trapezoid": trapezoid,
}
