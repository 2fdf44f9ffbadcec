"""Sheets of small images, one below the other, with names beside their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from repbias.stimuli.gallery import sheet

#: Pixels on a side of a small image, at most.
PIXELS = 48
#: Colours that a small image keeps where it was made smaller: files would be four times as large.
COLOURS = 12
#: Inches of a small image with its gap; of the names beside rows; of a title; of a line of words.
CELL, NAMES, TITLE, LINE = 0.48, 1.05, 0.32, 0.15


@dataclass
class Sheet:
    """A sheet of small images.

    Attributes
    ----------
    title : what stands above
    names : of the rows; empty for none
    images : (row, column, channel, height, width) uint8
    heading : lines above the title, of this sheet and those that follow
    """

    title: str
    names: list[str]
    images: np.ndarray
    heading: str = ""

    @property
    def width(self) -> float:
        """Inches of its images."""
        return CELL * self.images.shape[1]

    @property
    def height(self) -> float:
        """Inches of its images."""
        return CELL * self.images.shape[0]

    @property
    def top(self) -> float:
        """Inches above its images."""
        return TITLE + (LINE * (self.heading.count("\n") + 2) if self.heading else 0)


def small(images: np.ndarray, pixels: int = PIXELS) -> np.ndarray:
    """Make images smaller if they have more pixels on a side.

    Parameters
    ----------
    images
        (image, 3, size, size) uint8.
    pixels
        On a side, at most.

    Returns
    -------
    numpy.ndarray
        (image, 3, pixel, pixel) uint8; larger images with :data:`COLOURS` colours each.
    """
    from PIL import Image

    if images.shape[-1] <= pixels:
        return images
    shrunk = [
        Image.fromarray(image.transpose(1, 2, 0))
        .resize((pixels, pixels), Image.Resampling.LANCZOS)
        .quantize(COLOURS, dither=Image.Dither.NONE)
        .convert("RGB")
        for image in images
    ]
    return np.stack([np.asarray(image).transpose(2, 0, 1) for image in shrunk])


def thumbnails(images: np.ndarray) -> list[np.ndarray | None]:
    """Return images, made smaller, as :func:`~repbias.report.figures.pictures.draw_map` has them.

    Returns
    -------
    list
        Arrays of shape (pixel, pixel, 3).
    """
    return [image.transpose(1, 2, 0) for image in small(images)]


def sheets_figure(sheets: Sequence[Sheet], words: Sequence[str], columns: int = 1) -> Figure:
    """Draw sheets below each other, or in columns.

    Images keep their pixels: what shows the file makes them larger or smaller.

    Parameters
    ----------
    sheets
        From top to bottom and, with several columns, from left to right within a row.
    words
        Lines of a note below.
    columns
        Sheets beside each other.
    """
    rows = [sheets[i : i + columns] for i in range(0, len(sheets), columns)]
    tops = [max(s.top for s in row) for row in rows]
    beside = NAMES if any(s.names for s in sheets) else 0.1
    each = beside + max(s.width for s in sheets) + 0.1
    below = LINE * len(words) + 0.1
    width = each * columns
    height = sum(tops) + sum(max(s.height for s in row) for row in rows) + below
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")
    y = height
    for row, top in zip(rows, tops, strict=True):
        y -= top + max(s.height for s in row)
        for column, shown in enumerate(row):
            left = each * column + beside
            free = max(s.height for s in row) - shown.height
            box = (
                left / width,
                (y + free) / height,
                shown.width / width,
                shown.height / height,
            )
            axis = figure.add_axes(box)
            page = sheet(shown.images)
            # Whole pixels, with the gap of the last row and column.
            axis.imshow(page, interpolation="none", aspect="auto")
            axis.spines[:].set_visible(False)
            axis.set_xticks([])
            at = (np.arange(len(shown.names)) + 0.5) * page.shape[0] / len(shown.images)
            axis.set_yticks(at if shown.names else [], shown.names, fontsize=8)
            axis.tick_params(length=0)
            axis.set_title(shown.title, loc="left", fontsize=8.5, pad=3)
            above = (y + max(s.height for s in row) + TITLE) / height
            figure.text(0.02, above, shown.heading, fontsize=8.5, fontweight="bold", va="bottom")
    for i, line in enumerate(reversed(words)):
        figure.text(0.02, (0.05 + LINE * i) / height, line, fontsize=8, color="0.35", va="bottom")
    return figure
