"""Images of a textured, coloured shape (Trifeature, Hermann & Lampinen 2020)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from repbias.stimuli.pictures import Pictures, Scene
from repbias.stimuli.shapes import SHAPES
from repbias.stimuli.textures import TEXTURES

#: Red, green and blue, from 0 to 1.
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "pink": (1, 0.4, 1),
    "cyan": (0, 1, 1),
    "purple": (0.3, 0, 0.5),
    "ocean": (0.1, 0.4, 0.5),
    "orange": (1, 0.6, 0),
    "white": (1, 1, 1),
}
#: Sides of an image in pixels, and the periods of textures that suit them.
PERIODS = {32: 5.0, 64: 8.0, 224: 10.0}


class Trifeature(Pictures):
    """Images of a shape with a texture of a colour, on grey (Hermann & Lampinen 2020)."""

    kind: Literal["trifeature"]
    """Shapes with textures and colours."""
    features: list[Literal["shape", "texture", "colour"]] = Field(
        ["shape", "texture", "colour"], min_length=1
    )
    """The features. What is not among them varies too, balanced and independent, and is part of the
    input in the variance decomposition; with a single value in `values` it is fixed."""
    period: float | None = Field(None, ge=3)
    """Period of textures in pixels. Left out: 5 for images of 32 pixels, 8 of 64, 10 of 224, and
    between these where the size is."""
    texture_contrast: float = Field(1.0, gt=0, le=1)
    """How far the background shows through where a texture leaves a shape unpainted: with 1 fully,
    towards 0 all textures become solid. Makes texture less available."""
    colour_contrast: float = Field(1.0, gt=0, le=1)
    """How far the colours are apart: towards 0 all become the mean of those that are shown. Makes
    colour less available."""
    held_out: float = Field(0.0, ge=0, lt=1)
    """Share of the combinations of shape, texture and colour that never occur in training;
    validation and test stimuli then have no others. Balanced, so that the three stay independent:
    those whose class numbers, added and divided by the number of classes k, leave the largest
    remainders. A multiple of 1/k. With 0, other images of the same combinations are held out."""

    FACTORS = {"shape": SHAPES, "texture": TEXTURES, "colour": COLOURS}

    @property
    def period_pixels(self) -> float:
        """Period of textures in pixels."""
        return self.period or float(np.interp(self.size, list(PERIODS), list(PERIODS.values())))

    def scene(self, n: int, rng: np.random.Generator) -> Scene:
        """Place n shapes at random, rotate their textures, and number the images."""
        return super().scene(n, rng) | {
            "texture_rotation": self._angle(n, rng),
            "key": rng.integers(2**32, size=n, dtype=np.uint32),
        }

    def coverage(self, values: tuple[str, ...], scene: Scene) -> np.ndarray:
        """Fill one shape with one texture, in many images.

        The texture lies on the image, so that what of it is in the shape depends on its position.
        """
        shape, texture = values
        u, v = self.in_box(scene)
        half = np.float32(0.5)
        filled = (np.abs(u - half) < half) & (np.abs(v - half) < half) & SHAPES[shape](u, v)
        image, row, column = np.nonzero(filled)
        across, down = self.grid()[column], self.grid()[row]
        angle = scene["texture_rotation"]
        cos, sin = (f(angle).astype(np.float32)[image] for f in (np.cos, np.sin))
        x, y = cos * across + sin * down, cos * down - sin * across
        painted = TEXTURES[texture](x, y, self.period_pixels, scene["key"][image])
        covered = np.zeros(filled.shape, np.float32)
        covered[filled] = np.where(painted, 1, np.float32(1 - self.texture_contrast))
        return covered

    def colours(self, labels: np.ndarray) -> np.ndarray:
        """Return the colours, pulled towards their mean."""
        shown = np.array([COLOURS[name] for name in self.shown_values["colour"]], float)
        mean = shown.mean(axis=0)
        return (mean + self.colour_contrast * (shown - mean))[labels[:, 2]]

    def occurs(self, split: str) -> np.ndarray:
        """Return which combinations occur in a split, (combination,) bool."""
        if not self.held_out:
            return super().occurs(split)
        k = len(self.shown_values["shape"])
        out: np.ndarray = self.combinations().sum(axis=1) % k >= k - round(self.held_out * k)
        return ~out if split == "train" else out

    def check_manipulations(self) -> None:
        """Refuse manipulations that are impossible, and what cannot be held out evenly."""
        super().check_manipulations()
        if not self.held_out:
            return
        if self.agreement or self.prevalence or self.unseen_values:
            raise ValueError(
                "held_out cannot be combined with agreement, prevalence or unseen_values"
            )
        shown = {name: len(values) for name, values in self.shown_values.items()}
        k = shown["shape"]
        if len(set(shown.values())) > 1:
            raise ValueError(
                "held_out needs as many shapes as textures and colours, found "
                + ", ".join(f"{n} ({name})" for name, n in shown.items())
            )
        n = round(self.held_out * k)
        if abs(self.held_out - n / k) > 0.005 or not 0 < n < k:
            raise ValueError(
                f"held_out is {self.held_out}; expected a multiple of 1/{k} below 1, the number of "
                "classes"
            )
