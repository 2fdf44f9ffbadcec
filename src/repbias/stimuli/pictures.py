"""What families of drawn images share: values of features, position, rotation, and pixels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Hashable, Iterator, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from repbias.base.inputs import Inputs
from repbias.base.spec import RepbiasError, nearest
from repbias.stimuli.combinations import every_combination, in_turns, shares
from repbias.stimuli.family import StimulusFamily
from repbias.stimuli.manipulations import confusion, noisy_labels, supervised_stimuli
from repbias.stimuli.picture_manipulations import PictureManipulations

if TYPE_CHECKING:
    from repbias.io.stimuli import Stimuli

#: What images of one call look like beside their features: name to (stimulus,).
Scene = dict[str, np.ndarray]
#: Pixels (of the finer grid, if there is one) that are computed at a time: they fit into a cache.
PIXELS = 2**18
#: Boxes of at most this share of an image stay inside it however they are rotated.
LARGEST_BOX = 0.7
#: How often an image that was there before is drawn anew.
_MAX_DRAWS = 50


class Drawn:
    """Images that are drawn when rows are asked for, as they are too large for memory.

    Parameters
    ----------
    family
        Draws them.
    labels, scene
        What :meth:`Pictures.pixels` is given.

    Attributes
    ----------
    shape : (stimulus, channel, row, column)
    dtype : uint8
    """

    def __init__(self, family: Pictures, labels: np.ndarray, scene: Scene) -> None:
        self._family, self._labels, self._scene = family, labels, scene
        self.shape, self.dtype = (len(labels), *family.inputs.shape), np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self._labels)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Draw all."""
        return np.asarray(self[:], dtype)

    def __getitem__(self, rows: slice | np.ndarray) -> Any:
        """Draw rows; those of a boolean mask are drawn later."""
        labels, scene = self._labels[rows], _some(self._scene, rows)
        if isinstance(rows, np.ndarray) and rows.dtype == bool:
            return Drawn(self._family, labels, scene)
        return self._family.pixels(labels, scene)


class Pictures(StimulusFamily, PictureManipulations):
    """Images in which a figure is placed and rotated at random, inside a square box."""

    n_classes: int = Field(4, ge=2)
    """Values of every feature that are shown, where `values` does not say which: drawn by `seed`,
    in random order."""
    values: dict[str, list[str]] = {}
    """Feature to the values that are shown; class 0 is the first one. What is not among `features`
    may have a single one."""
    size: int = Field(32, ge=16, le=224)
    """Images have size x size pixels, in three channels (red, green, blue)."""
    box: float | None = Field(None, gt=0, le=LARGEST_BOX)
    """Side of the box that the figure fills, as a share of the image. Left out: .66 up to 128
    pixels, and 4/7 above (128 of 224)."""
    rotation: float = Field(45.0, ge=0, le=180)
    """Largest rotation to either side, in degrees."""
    jitter: float = Field(1.0, ge=0, le=1)
    """Share of the room around the figure that is used to place it: with 1 it may be anywhere as
    long as its box lies inside the image, with 0 it is in the centre."""
    supersampling: int = Field(1, ge=1, le=8)
    """Each pixel is the mean of so many squared: 1 leaves edges hard, 3 or 4 smooth them."""

    streams: ClassVar[bool] = True

    #: What may vary, to all of its values.
    FACTORS: ClassVar[Mapping[str, Collection[str]]]
    #: How many of them, the first ones, make the figure; others its colour.
    DRAWN: ClassVar[int] = 2
    #: Grey level of the background.
    BACKGROUND: ClassVar[float] = 0.5

    if TYPE_CHECKING:  # a field of every family of pictures
        features: list[Any]

    @property
    def shown_values(self) -> dict[str, list[str]]:
        """Return the values of every factor, those that are no features too; classes in order."""
        shown = {name: self.values.get(name) or self.some_values(name) for name in self.FACTORS}
        return self.with_unseen(shown)

    def with_unseen(self, shown: dict[str, list[str]]) -> dict[str, list[str]]:
        """Add values that do not occur in training, where the configuration gives none."""
        if self.unseen_values is None:
            return shown
        complete = {}
        for name, values in shown.items():
            others = [value for value in self._shuffled(name) if value not in values]
            complete[name] = values + others[: self._n_unseen(name)]
        return complete

    def _n_unseen(self, name: str) -> int:
        """Return how many values of a factor are drawn that do not occur in training."""
        unseen = self.unseen_values
        drawn = unseen is not None and name != unseen.target and name not in self.values
        return unseen.n_values if unseen and drawn else 0

    def some_values(self, name: str) -> list[str]:
        """Draw values of a factor by the seed."""
        return self._shuffled(name)[: self.n_classes]

    def _shuffled(self, name: str) -> list[str]:
        """Return all values of a factor, in an order that follows from the seed."""
        known = list(self.FACTORS[name])
        # Streams of training sets have a single number.
        key = (0, list(self.FACTORS).index(name))
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
        return [known[i] for i in rng.permutation(len(known))]

    @property
    def classes(self) -> dict[str, int]:
        """Feature to the number of values that are shown."""
        shown = self.shown_values
        return {name: len(shown[name]) for name in self.features}

    @property
    def inputs(self) -> Inputs:
        """Channels, rows and columns of pixels."""
        return Inputs((3, self.size, self.size), "uint8")

    @property
    def box_pixels(self) -> float:
        """Side of the box in pixels."""
        return self.size * (self.box or (0.66 if self.size <= 128 else 4 / 7))

    @property
    def id_bytes(self) -> int:
        """Values, and what tells images of the same values apart."""
        return sum(max(map(len, names)) + 1 for names in self.FACTORS.values()) + 16

    def definition(self, feature: str) -> Hashable:
        """Return the feature, and which value is which class."""
        return feature, tuple(self.shown_values[feature])

    def combinations(self) -> np.ndarray:
        """Return combinations of all factors' classes, (combination, factor)."""
        return every_combination([len(names) for names in self.shown_values.values()])

    def probabilities(self, split: str) -> np.ndarray:
        """Return how often each combination occurs, (combination,), summing to 1.

        As manipulated in training, else equally often if at all.
        """
        p = self.occurs(split).astype(float)
        p /= p.sum()
        return self.manipulated(p) if split == "train" else p

    def occurs(self, split: str) -> np.ndarray:
        """Return which combinations occur in a split, (combination,) bool."""
        combinations = self.combinations()
        if self.unseen_values is None:
            return np.ones(len(combinations), bool)
        unseen = np.zeros(len(combinations), bool)
        for column, (name, values) in zip(combinations.T, self.shown_values.items(), strict=True):
            if name != self.unseen_values.target and len(values) > 1:
                unseen |= column >= len(values) - self.unseen_values.n_values
        return ~unseen if split == "train" else unseen

    @property
    def learnable(self) -> list[str]:
        """The features all of whose classes occur in training."""
        return [self.unseen_values.target] if self.unseen_values else list(self.features)

    def expected_shares(self, split: str, first: str, second: str) -> np.ndarray:
        """Return how often labels of two features occur together, from the combinations'."""
        names, noise = list(self.FACTORS), self.label_noise if split == "train" else {}
        a, b = (self.combinations()[:, names.index(name)] for name in (first, second))
        expected = np.zeros((self.classes[first], self.classes[second]))
        np.add.at(expected, (a, b), self.probabilities(split))
        given = [confusion(self.classes[name], noise.get(name, 0.0)) for name in (first, second)]
        if first == second:
            return np.diag(expected.diagonal() @ given[0])
        return given[0].T @ expected @ given[1]

    @abstractmethod
    def coverage(self, values: tuple[str, ...], scene: Scene) -> np.ndarray:
        """Draw figures with the same values of the first factors.

        Returns
        -------
        numpy.ndarray
            (stimulus, row, column) float32, from 0 (background) to 1 (figure), on the finer grid.
        """

    @abstractmethod
    def colours(self, labels: np.ndarray) -> np.ndarray:
        """Return the figures' colours, (stimulus, channel), from classes (stimulus, factor)."""

    def scene(self, n: int, rng: np.random.Generator) -> Scene:
        """Place n figures at random; coordinates are shares of the image, angles in radians."""
        rotation = self._angle(n, rng)
        half = (np.abs(np.cos(rotation)) + np.abs(np.sin(rotation))) * self.box_pixels / 2
        room = self.jitter * (0.5 - half / self.size)
        x, y = 0.5 + room * rng.uniform(-1, 1, (2, n))
        return {"x": x, "y": y, "rotation": rotation}

    def _angle(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.radians(self.rotation) * rng.uniform(-1, 1, n)

    def pixels(self, labels: np.ndarray, scene: Scene) -> np.ndarray:
        """Draw images.

        Parameters
        ----------
        labels
            (stimulus, factor), classes from 0.
        scene
            What they look like beside, from :meth:`scene`.

        Returns
        -------
        numpy.ndarray
            (stimulus, channel, row, column) uint8.
        """
        fine = self.size * self.supersampling
        drawn = np.empty((len(labels), *self.inputs.shape), np.uint8)
        shown = list(self.shown_values.values())
        colours = self.colours(labels).astype(np.float32) - np.float32(self.BACKGROUND)
        for classes, alike in _alike(labels[:, : self.DRAWN]):
            values = tuple(names[i] for names, i in zip(shown, classes, strict=False))
            for rows in _parts(alike, max(1, PIXELS // fine**2)):
                covered = self.coverage(values, _some(scene, rows))
                if self.supersampling > 1:
                    sides = (self.size, self.supersampling) * 2
                    covered = covered.reshape(len(rows), *sides).mean(axis=(2, 4))
                levels = covered[:, None] * (255 * colours[rows][..., None, None])
                levels += np.float32(255 * self.BACKGROUND + 0.5)
                drawn[rows] = levels.astype(np.uint8)
        return drawn

    def grid(self) -> np.ndarray:
        """Return coordinates of the finer grid along one side, in pixels from the centre."""
        fine = self.size * self.supersampling
        at = (np.arange(fine) + 0.5) / self.supersampling - self.size / 2
        return at.astype(np.float32)

    def in_box(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """Return coordinates in the box, (stimulus, row, column) float32: 0 to 1 inside."""
        across, down = (
            self.grid() - (self.size * (scene[name] - 0.5)).astype(np.float32)[:, None]
            for name in ("x", "y")
        )
        cos, sin = (
            (f(scene["rotation"]) / self.box_pixels).astype(np.float32)[:, None]
            for f in (np.cos, np.sin)
        )
        half = np.float32(0.5)
        u = (cos * across + half)[:, None, :] + (sin * down)[:, :, None]
        v = (cos * down + half)[:, :, None] - (sin * across)[:, None, :]
        return u, v

    def draw(
        self,
        sizes: Mapping[str, int],
        rng: np.random.Generator,
        taken: frozenset[str] = frozenset(),
    ) -> Stimuli:
        """Draw images.

        In validation and test stimuli combinations take turns, so that features are balanced and
        independent among the first ones too. Ids are the values of all factors, and a hash of the
        pixels, so no image occurs twice.

        Raises
        ------
        RepbiasError
            If there are not so many different images.
        """
        from repbias.io.stimuli import Stimuli

        possible, rows = self.combinations(), []
        for split, n in sizes.items():
            p = self.probabilities(split)
            if split == "train":
                rows.append(rng.permutation(np.repeat(np.arange(len(p)), shares(n, p, rng))))
            else:
                occurring = np.flatnonzero(p)
                rows.append(occurring[in_turns(possible[occurring], n, rng)])
        labels = possible[np.concatenate(rows)]
        inputs, ids, scene = self._different(labels, rng, taken)
        names = list(self.FACTORS)
        columns = [names.index(name) for name in self.features]
        split = np.repeat(list(sizes), list(sizes.values()))
        supervised = supervised_stimuli(self.supervised, self.features, split, rng)
        given = labels[:, columns].astype(np.uint8)
        return Stimuli(
            inputs=inputs,
            ids=ids,
            split=split,
            features=list(self.features),
            labels=noisy_labels(given, self.label_noise, self.classes, split, rng),
            components=[],
            component_labels=np.zeros((len(labels), 0), np.uint8),
            supervised=supervised,
            classes=list(self.classes.values()),
            nuisance=self._nuisance(labels, scene),
        )

    def _different(
        self, labels: np.ndarray, rng: np.random.Generator, taken: frozenset[str]
    ) -> tuple[Any, np.ndarray, Scene]:
        """Draw images of given classes, none of them twice or taken; return their ids too."""
        from repbias.io.stimuli import BLOCK, STREAMED

        scene = self.scene(len(labels), rng)
        shown = list(self.shown_values.values())
        words = [
            "-".join(names[c] for names, c in zip(shown, classes, strict=True))
            for classes in labels.tolist()
        ]
        in_memory = len(labels) * self.inputs.n_bytes <= STREAMED
        shape = len(labels), *self.inputs.shape
        inputs = np.empty(shape, np.uint8) if in_memory else None
        ids, seen, waiting = np.empty(len(labels), object), set(taken), np.arange(len(labels))
        for _ in range(_MAX_DRAWS):
            again = []
            for rows in _parts(waiting, max(1, BLOCK // self.inputs.n_bytes)):
                pixels = self.pixels(labels[rows], _some(scene, rows))
                if inputs is not None:
                    inputs[rows] = pixels
                for row, image in zip(rows.tolist(), pixels, strict=True):
                    ids[row] = f"{words[row]}-{blake2b(image, digest_size=8).hexdigest()}"
                    if ids[row] in seen:
                        again.append(row)
                    seen.add(ids[row])
            if not again:
                drawn = Drawn(self, labels, scene) if inputs is None else inputs
                return drawn, ids.astype(str), scene
            waiting = np.array(again)
            for name, v in self.scene(len(again), rng).items():
                scene[name][waiting] = v
        raise RepbiasError(
            f"stimuli: not enough different images of {words[waiting[0]]}; allow more rotation or "
            "jitter, smooth edges by supersampling, or ask for fewer stimuli"
        )

    def _nuisance(self, labels: np.ndarray, scene: Scene) -> dict[str, np.ndarray]:
        """Return what varies beside the features: factors, positions, rotations."""
        shown = self.shown_values
        found: dict[str, np.ndarray] = {}
        for i, name in enumerate(self.FACTORS):
            if name not in self.features and len(shown[name]) > 1:
                found[name] = np.eye(len(shown[name]))[labels[:, i]]
        if self.jitter:
            found |= {"x": scene["x"], "y": scene["y"]}
        if self.rotation:
            angles = {name: v for name, v in scene.items() if name.endswith("rotation")}
            found |= {name: np.column_stack([np.sin(v), np.cos(v)]) for name, v in angles.items()}
        return found

    @model_validator(mode="after")
    def _possible(self) -> Pictures:
        self.check_values()
        self.check_manipulations()
        self.probabilities("train")
        return self

    def check_values(self) -> None:
        """Refuse values that there are not, or too few or many of them."""
        for name, values in self.values.items():
            if name not in self.FACTORS:
                raise ValueError(f"values: no feature {name!r}; {nearest(name, self.FACTORS)}")
            for value in values:
                if value not in self.FACTORS[name]:
                    raise ValueError(
                        f"values: no {name} {value!r}; {nearest(value, self.FACTORS[name])}"
                    )
                if values.count(value) > 1:
                    raise ValueError(f"values: {name} {value!r} occurs twice")
            needed = 2 if name in self.features else 1
            if len(values) < needed:
                raise ValueError(f"values: {name} needs {needed} or more, found {len(values)}")
        for name, known in self.FACTORS.items():
            unseen = self._n_unseen(name)
            if name not in self.values and self.n_classes + unseen > len(known):
                more = f" and unseen_values.n_values {unseen}" if unseen else ""
                raise ValueError(
                    f"n_classes is {self.n_classes}{more}, but {name} has {len(known)} values at "
                    "most"
                )
        for name in self.features:
            if self.features.count(name) > 1:
                raise ValueError(f"features: {name!r} occurs twice")


def _some(scene: Scene, rows: slice | np.ndarray) -> Scene:
    return {name: values[rows] for name, values in scene.items()}


def _alike(labels: np.ndarray) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Go through combinations of classes, and the stimuli that have each of them."""
    found, which = np.unique(labels, axis=0, return_inverse=True)
    order = np.argsort(which.reshape(-1), kind="stable")
    counts = np.bincount(which.reshape(-1), minlength=len(found))
    for classes, rows in zip(found, np.split(order, np.cumsum(counts)[:-1]), strict=True):
        yield tuple(classes.tolist()), rows


def _parts(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
