"""Low-level statistics of images, as properties of the stimuli like the columns of a table.

They are of the pixels that networks are shown (:attr:`Images.load`), taken as sRGB. To add one,
write a function of a :class:`Picture` and register it in :data:`STATISTICS`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from repbias.base.spec import RepbiasError, nearest
from repbias.stimuli.images import Images
from repbias.stimuli.spec import STATISTIC

logger = logging.getLogger(__name__)


@dataclass
class Picture:
    """A decoded image.

    Attributes
    ----------
    rgb : (row, column, 3), uint8
    alpha : (row, column), uint8; None if the image has no alpha channel
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None

    @cached_property
    def xyz(self) -> np.ndarray:
        """The pixels in CIE XYZ; Y of white is 1."""
        from skimage.color import rgb2xyz

        return rgb2xyz(self.rgb)

    @cached_property
    def lab(self) -> np.ndarray:
        """The pixels in CIELAB (D65, 2° observer)."""
        from skimage.color import xyz2lab

        return xyz2lab(self.xyz)

    @property
    def luminance(self) -> np.ndarray:
        """The luminance of every pixel, relative to white."""
        return self.xyz[..., 1]


def luminance(picture: Picture) -> float:
    """Return the mean luminance relative to white: CIE Y, which is linear in light."""
    return float(picture.luminance.mean())


def contrast(picture: Picture) -> float:
    """Return the RMS contrast: standard deviation over mean of luminance; 0 for a black image.

    The contrast of a sine grating is its Michelson contrast / √2 (Kukkonen et al. 1993, Vision
    Research 33:1431).
    """
    mean = picture.luminance.mean()
    return float(picture.luminance.std() / mean) if mean > 0 else 0.0


def colour(picture: Picture) -> float:
    """Return the mean CIELAB chroma, √(a*² + b*²)."""
    return float(np.hypot(picture.lab[..., 1], picture.lab[..., 2]).mean())


def redness(picture: Picture) -> float:
    """Return the mean a* of CIELAB: positive for red, negative for green."""
    return float(picture.lab[..., 1].mean())


def yellowness(picture: Picture) -> float:
    """Return the mean b* of CIELAB: positive for yellow, negative for blue."""
    return float(picture.lab[..., 2].mean())


def spatial_frequency(picture: Picture) -> float:
    """Return the mean log2 spatial frequency of luminance, weighted by spectral energy.

    Frequencies are in cycles per image, along its longer side. A Hann window keeps the borders,
    where the opposite sides of a scene do not match, from adding energy at all frequencies; the
    mean under the window is subtracted, so it adds no energy at low ones.

    Returns
    -------
    float
        NaN if the luminance is uniform.
    """
    luminance = picture.luminance
    if np.ptp(luminance) < _ROUNDING:
        return np.nan
    height, width = luminance.shape
    window = np.outer(_hann(height), _hann(width))
    windowed = (luminance - np.average(luminance, weights=window)) * window
    energy = np.abs(np.fft.fft2(windowed)) ** 2
    energy[0, 0] = 0
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    frequency[0, 0] = 1  # any number: it has no energy
    return float(np.average(np.log2(frequency * max(height, width)), weights=energy))


def _hann(n: int) -> np.ndarray:
    """Return a Hann window that is both periodic and the same from either end."""
    return np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2


def size(picture: Picture) -> float:
    """Return the share of the image that the object covers; NaN without an alpha channel."""
    return np.nan if picture.alpha is None else float(picture.alpha.mean() / 255)


#: Floating-point rounding: one of 256 levels changes the luminance of a pixel by 2e-5 or more.
_ROUNDING = 1e-9
#: White has a chroma of 0.005, as its published coordinates have few digits, and greys less.
_COLOUR_ROUNDING = 0.02


@dataclass(frozen=True)
class Statistic:
    """A number that describes an image.

    Attributes
    ----------
    compute : returns the number, NaN where it is undefined
    meaning : what it is
    unit : its unit
    defined : which images it is defined for
    rounding : a set of images whose numbers differ by no more is taken to have the same
    """

    compute: Callable[[Picture], float]
    meaning: str
    unit: str
    defined: str = "all images"
    rounding: float = _ROUNDING


STATISTICS: dict[str, Statistic] = {
    "luminance": Statistic(
        luminance, "mean luminance: CIE Y, linear in light", "relative to white, 0 to 1"
    ),
    "contrast": Statistic(
        contrast, "RMS contrast: standard deviation / mean of luminance", "ratio"
    ),
    "colour": Statistic(colour, "mean chroma", "CIELAB", rounding=_COLOUR_ROUNDING),
    "redness": Statistic(
        redness, "mean a*: red (positive) to green", "CIELAB", rounding=_COLOUR_ROUNDING
    ),
    "yellowness": Statistic(
        yellowness, "mean b*: yellow (positive) to blue", "CIELAB", rounding=_COLOUR_ROUNDING
    ),
    "spatial_frequency": Statistic(
        spatial_frequency,
        "mean spatial frequency of luminance, weighted by spectral energy",
        "log2 cycles per image (its longer side)",
        "images whose luminance is not uniform",
    ),
    "size": Statistic(
        size, "part of the image that the object covers", "0 to 1", "images with an alpha channel"
    ),
}


def image_statistics(images: Images, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Compute statistics of the images of a stimulus set, one image in memory at a time.

    Statistics that are the same for all images are left out.

    Parameters
    ----------
    images
        The stimulus set; its images may differ in size.
    names
        Keys of :data:`STATISTICS`; by default, all that are defined for every image of the set.

    Returns
    -------
    dict
        Name to (stimulus,) float64, in the order of `names`.

    Raises
    ------
    RepbiasError
        If the stimuli are not images, a name is unknown, or a statistic that is asked for is
        undefined for an image.
    """
    chosen = list(STATISTICS) if names is None else list(names)
    for name in chosen:
        if name not in STATISTICS:
            raise RepbiasError(f"no image statistic {name!r}; {nearest(name, STATISTICS)}")
    load, load_alpha = images.load, images.load_alpha
    if load is None:
        raise RepbiasError(f"{images.table}: statistics need images, and this is a table without")
    found = {name: np.empty(len(images)) for name in chosen}
    for i in range(len(images)):
        alpha = None if load_alpha is None else load_alpha(i)
        picture = Picture(np.asarray(load(i)), None if alpha is None else np.asarray(alpha))
        for name, values in found.items():
            values[i] = STATISTICS[name].compute(picture)
    for name, values in list(found.items()):
        missing = np.flatnonzero(np.isnan(values))
        if len(missing):
            problem = (
                f"is defined for {STATISTICS[name].defined}, which {len(missing)} of {len(images)} "
                f"are not, such as {images.ids[missing[0]]!r}"
            )
            if names is not None:
                raise RepbiasError(f"the image statistic {name!r} {problem}")
        elif np.ptp(values) <= STATISTICS[name].rounding:
            problem = "is the same for all images"
        else:
            continue
        logger.info("image statistics: %s is left out: it %s", name, problem)
        del found[name]
    return found


def write_statistics(path: str | Path, images: Images) -> None:
    """Write all statistics that a set offers: a column for each, called `image.luminance`, ..."""
    import pandas as pd

    from repbias.io.files import atomic

    columns = {STATISTIC + name: values for name, values in image_statistics(images).items()}
    with atomic(path) as temporary:
        pd.DataFrame({"stimulus_id": images.ids, **columns}).to_csv(temporary, index=False)


def read_statistics(paths: Sequence[str | Path]) -> dict[str, dict[str, float]]:
    """Return every statistic that a file of :func:`write_statistics` has, by stimulus id.

    Parameters
    ----------
    paths
        The file, or nothing.
    """
    import pandas as pd

    if not paths:
        return {}
    table = pd.read_csv(paths[0], dtype={"stimulus_id": str}, keep_default_na=False)
    return {
        name: dict(zip(table["stimulus_id"], table[name].astype(float), strict=True))
        for name in table.columns[1:]
    }
