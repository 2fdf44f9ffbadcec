"""Textures: which points of a plane are painted.

To add one, write a function of coordinates and enter it in :data:`TEXTURES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Widths of lines, and the radius of dots, in periods.
THICK, THIN, RADIUS = 0.3, 0.2, 0.4
#: Length of the arms of a plus, from end to end, in periods.
ARMS = 0.7
#: Share of points that rain paints: as when a streak of seven pixels begins in every twentieth.
WET = 1 - 0.95**7


def solid(x: np.ndarray, y: np.ndarray, period: float, key: np.ndarray) -> np.ndarray:
    """Paint everything."""
    return np.ones(x.shape, bool)


def stripes(x: np.ndarray, y: np.ndarray, period: float, key: np.ndarray) -> np.ndarray:
    """Paint parallel thick lines."""
    return _in_cell(y, period) < THICK


def grid(x: np.ndarray, y: np.ndarray, period: float, key: np.ndarray) -> np.ndarray:
    """Paint crossing thin lines."""
    return (_in_cell(x, period) < THIN) | (_in_cell(y, period) < THIN)


def hexgrid(x: np.ndarray, y: np.ndarray, period: float, key: np.ndarray) -> np.ndarray:
    """Paint the walls of a honeycomb, whose cells are a period wide."""
    x, y = x / np.float32(period), y / np.float32(period)
    tall = float(np.sqrt(3))
    nearest = np.full(x.shape, np.inf, np.float32)
    # Centres of cells are those of two lattices of rectangles; the wall is between the nearest two.
    for shift in (0.0, 0.5):
        dx = np.abs(_around_zero(x - np.float32(shift), 1))
        dy = np.abs(_around_zero(y - np.float32(shift * tall), tall))
        # How far towards a wall: half a period is on it.
        np.minimum(nearest, np.maximum(dx, dx / 2 + dy * np.float32(tall / 2)), out=nearest)
    return nearest > (1 - THIN) / 2


def dots(x: np.ndarray, y: np.ndarray, period: float, key: np.ndarray) -> np.ndarray:
    """Paint discs."""
    return _centred(x, period) ** 2 + _centred(y, period) ** 2 < RADIUS**2


def noise(x: np.ndarray, y: np.ndarray, period: float, key: np.ndarray) -> np.ndarray:
    """Paint every pixel or not, by chance."""
    return _chance(_pixel(x), _pixel(y), key) < 0.5


def triangles(x: np.ndarray, y: np.ndarray, period: float, key: np.ndarray) -> np.ndarray:
    """Paint rows of triangles."""
    return np.abs(_centred(x, period)) < _in_cell(y, period) / 2


def zigzags(x: np.ndarray, y: np.ndarray, period: float, key: np.ndarray) -> np.ndarray:
    """Paint thick lines that go up and down."""
    return _in_cell(y + np.abs(_centred(x, period)) * np.float32(period), period) < THICK


def rain(x: np.ndarray, y: np.ndarray, period: float, key: np.ndarray) -> np.ndarray:
    """Paint short streaks, a pixel wide, that begin by chance."""
    column, row = _pixel(x), _pixel(y)
    length = round(period - period / 3)
    begins = 1 - (1 - WET) ** (1 / length)
    wet = np.zeros(x.shape, bool)
    for above in range(length):
        wet |= _chance(column, row - above, key) < begins
    return wet


def pluses(x: np.ndarray, y: np.ndarray, period: float, key: np.ndarray) -> np.ndarray:
    """Paint plus signs."""
    across, up = np.abs(_centred(x, period)), np.abs(_centred(y, period))
    short, long = np.minimum(across, up), np.maximum(across, up)
    return (short < THICK / 2) & (long < ARMS / 2)


#: Texture to a function of the coordinates of points, in pixels, (point,) float32; of the period in
#: pixels; and of a number of the image that each point belongs to, (point,) uint32, which what is
#: drawn by chance depends on. It says which points are painted.
TEXTURES: dict[str, Callable[[np.ndarray, np.ndarray, float, np.ndarray], np.ndarray]] = {
    "solid": solid,
    "stripes": stripes,
    "grid": grid,
    "hexgrid": hexgrid,
    "dots": dots,
    "noise": noise,
    "triangles": triangles,
    "zigzags": zigzags,
    "rain": rain,
    "pluses": pluses,
}


def _in_cell(x: np.ndarray, period: float) -> np.ndarray:
    """Return where in its period a point is, 0 to 1."""
    x = x / np.float32(period)
    return x - np.floor(x)


def _centred(x: np.ndarray, period: float) -> np.ndarray:
    """Return where in its period a point is, -0.5 to 0.5."""
    return _in_cell(x, period) - np.float32(0.5)


def _around_zero(x: np.ndarray, length: float) -> np.ndarray:
    """Return the distance to the nearest multiple of a length, with its sign."""
    return x - np.rint(x / np.float32(length)) * np.float32(length)


def _pixel(x: np.ndarray) -> np.ndarray:
    return np.floor(x).astype(np.int32)


def _chance(column: np.ndarray, row: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Return a number from 0 to 1 for every pixel of every image, as if drawn by chance.

    The finaliser of MurmurHash3 (Appleby 2011), of the pixel's coordinates and the image's key.
    """
    h = column.astype(np.uint32) * np.uint32(0x9E3779B1) ^ key
    h = _mixed(h) + row.astype(np.uint32) * np.uint32(0x85EBCA77)
    return _mixed(h) * np.float32(2**-32)


def _mixed(h: np.ndarray) -> np.ndarray:
    h = (h ^ h >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    h = (h ^ h >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    return h ^ h >> np.uint32(16)
