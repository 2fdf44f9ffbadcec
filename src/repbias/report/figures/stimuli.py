"""Generated images: what every set of them looks like."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from repbias.io.stimuli import Stimuli
from repbias.report.figures.drawing import STYLE
from repbias.report.figures.pictures import save_picture
from repbias.report.figures.sheets import PIXELS, Sheet, sheets_figure, small
from repbias.stimuli.gallery import first_of_each_class

#: Images of all classes of all features of a set, about; and of one class.
MOST_IMAGES, MOST_OF_CLASS = 100, 8
#: Pixels of all images of a set, where these are made smaller.
MOST_PIXELS = 110_000
#: Characters of a line above a set's images.
LINE = 64


@dataclass
class ImageSet:
    """A set of test stimuli that several conditions may have.

    Attributes
    ----------
    conditions : in words
    stimuli : those of one of the conditions
    values : feature to the names of its classes
    """

    conditions: str
    stimuli: Stimuli
    values: Mapping[str, Sequence[str]]


def draw_stimuli(sets: Iterable[ImageSet], left_out: int, path: str | Path) -> None:
    """Draw test stimuli of every class of every feature, with data as CSV.

    Parameters
    ----------
    sets
        The sets, in order, which are not needed twice.
    left_out
        How many more sets there are.
    path
        SVG file; its data get the same name, with the ending .csv.
    """
    sheets, data = [], []
    for shown in sets:
        test, labels, ids = shown.stimuli.part("test")
        n_rows = sum(shown.stimuli.classes)
        n = int(np.clip(MOST_IMAGES // n_rows, 3, MOST_OF_CLASS))
        pixels = min(PIXELS, int(np.sqrt(MOST_PIXELS / (n * n_rows))))
        for i, feature in enumerate(shown.stimuli.features):
            rows = first_of_each_class(labels[:, i], shown.stimuli.classes[i], n)
            images = small(np.asarray(test[rows.ravel()]), pixels)
            names = list(shown.values[feature])
            heading = "" if i else textwrap.fill(f"Stimuli of {shown.conditions}", LINE)
            images = images.reshape(*rows.shape, *images.shape[1:])
            sheets.append(Sheet(feature, names, images, heading))
            data += [
                {
                    "conditions": shown.conditions,
                    "feature": feature,
                    "value": names[c],
                    "place": place,
                    "stimulus_id": ids[chosen],
                }
                for c, row in enumerate(rows)
                for place, chosen in enumerate(row)
            ]
    words = [f"{left_out} more sets are not shown"] * bool(left_out)
    with mpl.rc_context(STYLE):
        save_picture(path, sheets_figure(sheets, words), pd.DataFrame(data), dpi=96)
