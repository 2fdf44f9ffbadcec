"""Images of a large letter that consists of small letters (Navon 1977)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from repbias.stimuli.letters import LETTERS, SIDE, cells, distance_to
from repbias.stimuli.pictures import Pictures, Scene

#: Half the width of a small letter's strokes, in units of its board.
HALF_STROKE = 0.5


class Navon(Pictures):
    """Images of a large letter that consists of small letters, white on grey (Navon 1977)."""

    kind: Literal["navon"]
    """Large letters of small letters."""
    features: list[Literal["global", "local"]] = Field(["global", "local"], min_length=1)
    """The features: which letter the large one is, and which the small ones are. One that is not
    among them varies too, and is part of the input in the variance decomposition."""
    n_classes: int = Field(10, ge=2)
    """Letters that are shown, where `values` does not say which: drawn by `seed`, in random order;
    those of large and of small letters are the same, and class 0 of the small ones is class 1 of
    the large ones, and so on (with `same_letter`, classes are the same letters)."""
    size: int = Field(64, ge=48, le=224)
    """Images have size x size pixels, in three channels (red, green, blue)."""
    same_letter: bool = False
    """Whether large letters of the same small letter occur. Without them, as usual, the letters are
    not quite independent, as the one says what the other is not: of k letters, a feature predicts
    1/(k-1)² of the other's variance."""
    grid_size: int = Field(5, ge=5, le=11)
    """Small letters along a side of the large one."""

    FACTORS = {"global": LETTERS, "local": LETTERS}

    @property
    def shown_values(self) -> dict[str, list[str]]:
        """Return the letters: the same large and small ones, where nothing else is said.

        Features are compared where their classes are equal, so these are pairs of letters that
        occur: each large letter and the next one.
        """
        step = 0 if self.same_letter else 1
        large, small = self.values.get("global"), self.values.get("local")
        if large is None and small is not None and len(small) > 1:
            large = small[-step:] + small[:-step]
        if large is None:
            large = self.some_values("global")
        if small is None:
            # Beside a single large letter, any.
            several = large if len(large) > 1 else self.some_values("local")
            small = several[step:] + several[:step]
        return self.with_unseen({"global": large, "local": small})

    def combinations(self) -> np.ndarray:
        """Return pairs of classes; those of the same letter are left out."""
        pairs = super().combinations()
        large, small = (np.array(letters) for letters in self.shown_values.values())
        return pairs[(large[pairs[:, 0]] != small[pairs[:, 1]]) | self.same_letter]

    def scene(self, n: int, rng: np.random.Generator) -> Scene:
        """Place n large letters at random, and rotate small ones."""
        return super().scene(n, rng) | {"local_rotation": self._angle(n, rng)}

    def coverage(self, values: tuple[str, ...], scene: Scene) -> np.ndarray:
        """Fill the cells of a large letter with small letters, in many images."""
        large, small = values
        n, board = self.grid_size, cells(large, self.grid_size)
        u, v = (n * place for place in self.in_box(scene))
        column, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
        filled = (column >= 0) & (column < n) & (row >= 0) & (row < n)
        filled[filled] = board[row[filled], column[filled]]
        image = np.nonzero(filled)[0]
        across, down = (w[filled] - i[filled] - np.float32(0.5) for w, i in ((u, column), (v, row)))
        angle = scene["local_rotation"] - scene["rotation"]
        # Rotated letters fit into their cells with their corners; upright ones are kept apart.
        unit = (np.sqrt(0.5) if self.rotation else 0.85) / (SIDE + 2 * HALF_STROKE)
        cos, sin = ((f(angle) / unit).astype(np.float32)[image] for f in (np.cos, np.sin))
        x = cos * across + sin * down + SIDE / 2
        y = cos * down - sin * across + SIDE / 2
        covered = np.zeros(filled.shape, np.float32)
        covered[filled] = distance_to(small, x, y) < HALF_STROKE
        return covered

    def colours(self, labels: np.ndarray) -> np.ndarray:
        """Return white."""
        return np.ones((len(labels), 3))

    def check_values(self) -> None:
        """Refuse letters of which too few can be combined."""
        super().check_values()
        pairs, shown = self.combinations(), self.shown_values
        needed = len(self.features)
        for i, (name, letters) in enumerate(shown.items()):
            often = np.bincount(pairs[:, i], minlength=len(letters))
            if often.min() < needed:
                other = "local" if name == "global" else "global"
                raise ValueError(
                    f"the {name} letter {letters[int(often.argmin())]} has {often.min()} {other} "
                    f"letters beside it, expected {needed} or more; give more letters, or "
                    "same_letter: true"
                )
        twice = [a for a, b in zip(*shown.values(), strict=False) if a == b]
        if twice and not self.same_letter:
            raise ValueError(
                f"values: {twice[0]} is the same class of global and of local, and does not occur "
                "with itself; put one of the lists into another order, or leave it out"
            )
