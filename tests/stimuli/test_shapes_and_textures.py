"""Shapes, textures and letters: how much they paint, in closed form, and what they look like."""

from itertools import combinations

import numpy as np
import pytest

from repbias.stimuli.letters import LETTERS, cells, distance_to
from repbias.stimuli.shapes import SHAPES
from repbias.stimuli.textures import TEXTURES
from repbias.stimuli.trifeature import COLOURS, Trifeature

#: Shape to its share of the box.
AREAS = {
    "triangle": 1 / 2,
    "square": 1,
    "plus": 2 / 3 - 1 / 9,
    "circle": np.pi / 4,
    "tee": 1 / 3 + 2 / 9,
    "rhombus": 1 / 2,
    "pentagon": 1.25 * 0.4**2 + 0.6 - 0.6**2 / 3.1,
    # Ten triangles with sides R and r = R (3 - sqrt 5) / 2, and 36 degrees between them.
    "star": 5 * 0.5**2 * (3 - np.sqrt(5)) / 2 * np.sin(np.pi / 5),
    "fivesquare": 5 / 9,
    "trapezoid": 1 - 1 / 3.1,
}
#: Texture to its share of the plane, with lines of .3 (thick) and .2 (thin) of the period.
SHARES = {
    "solid": 1,
    "stripes": 0.3,
    "grid": 1 - 0.8**2,
    "hexgrid": 1 - 0.8**2,
    "dots": np.pi * 0.4**2,
    "noise": 1 / 2,
    "triangles": 1 / 2,
    "zigzags": 0.3,
    "rain": 1 - 0.95**7,
    "pluses": 2 * 0.3 * 0.7 - 0.3**2,
}


def box(n: int = 400) -> list[np.ndarray]:
    """Return coordinates of a fine grid in the box."""
    at = ((np.arange(n) + 0.5) / n).astype(np.float32)
    return np.meshgrid(at, at)


@pytest.mark.parametrize("name", SHAPES)
def test_the_area_of_a_shape(name):
    assert SHAPES[name](*box()).mean() == pytest.approx(AREAS[name], abs=0.004)


@pytest.mark.parametrize("name", sorted(SHAPES.keys() - {"rhombus"}))
def test_shapes_but_one_are_the_same_in_a_mirror(name):
    drawn = SHAPES[name](*box())
    assert (drawn != drawn[:, ::-1]).mean() < 0.005


def test_the_star_has_five_points():
    """On a circle close to its points, five stretches are within; its first point is above."""
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    u, v = 0.5 + 0.4 * np.sin(angle), 0.5 - 0.4 * np.cos(angle)
    within = SHAPES["star"](u, v)
    assert (np.diff(within.astype(int)) == 1).sum() + (~within[-1] & within[0]) == 5
    assert within[0]


@pytest.mark.parametrize("period", [5.0, 8.0, 10.0])
@pytest.mark.parametrize("name", TEXTURES)
def test_the_share_of_a_texture(name, period):
    """At random points of many images: five standard errors are .004 at most."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-100, 100, (2, 400_000)).astype(np.float32)
    key = rng.integers(2**32, size=len(x), dtype=np.uint32)
    painted = TEXTURES[name](x, y, period, key)
    assert painted.mean() == pytest.approx(SHARES[name], abs=0.004)


@pytest.mark.parametrize("name", sorted(TEXTURES.keys() - {"noise", "rain", "hexgrid"}))
def test_textures_repeat_with_their_period(name):
    rng, key = np.random.default_rng(0), np.zeros(5000, np.uint32)
    x, y = rng.uniform(0, 8, (2, 5000)).astype(np.float32)
    here, there = (TEXTURES[name](x + 8 * s, y - 16 * s, 8.0, key) for s in (0, 1))
    assert (here != there).mean() < 0.002  # rounding at edges


def test_the_honeycomb_repeats_along_three_axes():
    rng, key = np.random.default_rng(0), np.zeros(5000, np.uint32)
    x, y = rng.uniform(0, 8, (2, 5000)).astype(np.float32)
    here = TEXTURES["hexgrid"](x, y, 8.0, key)
    for angle in (0, np.pi / 3, 2 * np.pi / 3):
        dx, dy = np.float32(8 * np.cos(angle)), np.float32(8 * np.sin(angle))
        assert (here != TEXTURES["hexgrid"](x + dx, y + dy, 8.0, key)).mean() < 0.002


def test_chance_depends_on_the_pixel_and_the_image_only():
    """Neighbouring pixels, and images of neighbouring keys, have nothing in common."""
    x, y = np.meshgrid(np.arange(300, dtype=np.float32), np.arange(300, dtype=np.float32))
    x, y = x.ravel() + np.float32(0.3), y.ravel()
    drawn = [TEXTURES["noise"](x, y, 5.0, np.full(x.shape, key, np.uint32)) for key in (7, 7, 8)]
    assert (drawn[0] == drawn[1]).all()
    first, _, other = (d.reshape(300, 300) for d in drawn)
    pairs = [(first, other), (first[1:], first[:-1]), (first[:, 1:], first[:, :-1])]
    pairs += [(first[1:, 1:], first[:-1, :-1])]
    for a, b in pairs:
        assert np.mean(a == b) == pytest.approx(0.5, abs=5 * 0.5 / 300)


def test_rain_falls_in_streaks():
    """Two thirds of a period long, a pixel wide: runs along columns have that length or more."""
    x, y = np.meshgrid(np.arange(200.0), np.arange(200.0))
    key = np.zeros(40000, np.uint32)
    wet = TEXTURES["rain"](x.ravel().astype(np.float32), y.ravel().astype(np.float32), 10.0, key)
    padded = np.pad(wet.reshape(200, 200).astype(int), ((1, 1), (0, 0)))
    edges = np.diff(padded, axis=0).T
    starts, stops = np.argwhere(edges == 1), np.argwhere(edges == -1)
    inner = (starts[:, 1] > 0) & (stops[:, 1] < 200)
    assert (stops - starts)[inner, 1].min() == 7


EVERY = {"shape": list(SHAPES), "texture": list(TEXTURES), "colour": list(COLOURS)}


@pytest.mark.parametrize("others", [("square", "solid", "white"), ("circle", "dots", "red")])
@pytest.mark.parametrize("feature", EVERY)
def test_all_values_of_a_feature_can_be_told_apart(feature, others):
    """The nearest mean of ten upright images names the value of ten others."""
    values = {name: [value] for name, value in zip(EVERY, others, strict=True)}
    values[feature] = EVERY[feature]
    settings = {"features": [feature], "values": values, "size": 64, "rotation": 0, "jitter": 0}
    family = Trifeature(kind="trifeature", **settings)
    labels = np.repeat(family.combinations(), 20, axis=0)
    pixels = family.pixels(labels, family.scene(200, np.random.default_rng(0)))
    pixels = pixels.reshape(10, 20, -1).astype(np.float32)
    means = pixels[:, :10].mean(axis=1)
    distances = ((pixels[:, 10:, None] - means) ** 2).sum(axis=-1)
    assert (distances.argmin(axis=-1) == np.arange(10)[:, None]).all()


def test_colours_differ_from_each_other_and_from_the_background():
    colours = {**COLOURS, "background": (0.5, 0.5, 0.5)}
    for a, b in combinations(colours.values(), 2):
        assert np.abs(np.subtract(a, b)).max() >= 0.19


@pytest.mark.parametrize("n", [5, 7, 9])
def test_letters_are_different_boards(n):
    boards = {letter: cells(letter, n) for letter in LETTERS}
    assert len(boards) == 26
    for a, b in combinations(boards, 2):
        assert (boards[a] != boards[b]).sum() >= 2, (a, b)


def test_letters_that_are_the_same_in_a_mirror():
    for letter in "AHIMOTUVWXY":
        assert (cells(letter, 7) == cells(letter, 7)[:, ::-1]).all(), letter
    for letter in "BCDEHIKOX":
        assert (cells(letter, 7) == cells(letter, 7)[::-1]).all(), letter
    for letter in "HINOSXZ":
        assert (cells(letter, 7) == cells(letter, 7)[::-1, ::-1]).all(), letter


def test_distances_to_strokes():
    x, y = (np.array(w, np.float32) for w in ([2, 0, 4, 1], [1, 4, 4, 0]))
    np.testing.assert_allclose(distance_to("L", x, y), [2, 0, 0, 1], atol=1e-6)
