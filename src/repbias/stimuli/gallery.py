"""Sheets of generated images, for slides and for a look before training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repbias.stimuli.shapes import SHAPES
from repbias.stimuli.textures import TEXTURES
from repbias.stimuli.trifeature import COLOURS, Trifeature

if TYPE_CHECKING:
    from repbias.io.stimuli import Stimuli

#: White pixels between images.
GAP = 2


def sheet(images: np.ndarray) -> np.ndarray:
    """Put images into rows and columns.

    Parameters
    ----------
    images
        (row, column, channel, height, width) uint8.

    Returns
    -------
    numpy.ndarray
        (height, width, channel) uint8, as Pillow's `Image.fromarray` takes it.
    """
    rows, columns, channels, height, width = images.shape
    page = np.full((rows, height + GAP, columns, width + GAP, channels), 255, np.uint8)
    page[:, :height, :, :width] = images.transpose(0, 3, 1, 4, 2)
    whole = page.reshape(rows * (height + GAP), columns * (width + GAP), channels)
    return whole[:-GAP, :-GAP]


def every_value(size: int = 64, **settings: object) -> np.ndarray:
    """Draw all shapes (from top to bottom) with all textures (from left to right), in all colours.

    Colours take turns, such that each is once in every row and column. Figures are upright and in
    the centre.

    Parameters
    ----------
    size
        Of an image, in pixels.
    settings
        Of :class:`~repbias.stimuli.trifeature.Trifeature`.

    Returns
    -------
    numpy.ndarray
        (height, width, channel) uint8.
    """
    given: dict[str, object] = {"rotation": 0, "jitter": 0, "size": size, **settings}
    values = {"shape": list(SHAPES), "texture": list(TEXTURES), "colour": list(COLOURS)}
    family = Trifeature.model_validate({"kind": "trifeature", "values": values, **given})
    shape, texture = np.indices((len(SHAPES), len(TEXTURES))).reshape(2, -1)
    labels = np.stack([shape, texture, (shape + texture) % len(COLOURS)], axis=1)
    pixels = family.pixels(labels, family.scene(len(labels), np.random.default_rng(0)))
    return sheet(pixels.reshape(len(SHAPES), len(TEXTURES), *pixels.shape[1:]))


def examples(stimuli: Stimuli, feature: str, n: int = 8, split: str = "test") -> np.ndarray:
    """Put the first images with every class of a feature below each other.

    Parameters
    ----------
    stimuli
        Generated images.
    feature
        Name of the feature.
    n
        Images of each class, from left to right.
    split
        "train", "validation" or "test".

    Returns
    -------
    numpy.ndarray
        (height, width, channel) uint8; class 0 is above.
    """
    inputs, labels, _ = stimuli.part(split)
    column = stimuli.features.index(feature)
    rows = first_of_each_class(labels[:, column], stimuli.classes[column], n)
    return sheet(np.stack([inputs[chosen] for chosen in rows]))


def first_of_each_class(labels: np.ndarray, k: int, n: int) -> np.ndarray:
    """Return the first stimuli of every class, as many of each: (class, stimulus) indices.

    Parameters
    ----------
    labels
        (stimulus,), classes from 0.
    k
        Number of classes.
    n
        Stimuli of each class, or fewer where a class has fewer.
    """
    rows = [np.flatnonzero(labels == c)[:n] for c in range(k)]
    least = min(map(len, rows))
    return np.stack([chosen[:least] for chosen in rows])
