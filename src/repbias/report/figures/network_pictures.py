"""Pictures of one network that sees: its filters, what its units prefer, its RDM and a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.spatial.distance import pdist, squareform

from repbias.base.spec import RepbiasError
from repbias.geometry.distances import dissimilarities
from repbias.geometry.spec import Distance
from repbias.io.activations import Activations
from repbias.io.hdf5 import dataset_of, get, open_checked, part_of
from repbias.io.stimuli import Stimuli
from repbias.report.captions import NETWORK_PICTURES
from repbias.report.figures.drawing import STYLE, empty_figure, grid, line, note_below, stack
from repbias.report.figures.pictures import (
    classical_mds,
    draw_map,
    group_colours,
    map_data,
    rdm_data,
    rdm_figure,
    save_picture,
)
from repbias.report.figures.sheets import Sheet, sheets_figure, small, thumbnails
from repbias.report.numbers import decimals
from repbias.stimuli.trifeature import COLOURS
from repbias.tables import read_table

#: When filters are drawn, to the checkpoint.
TIMES = {"untrained": "initial", "end of training": "final"}
#: Units of every feature, and stimuli of each.
UNITS, PREFERRED = 3, 8
#: Filters that are drawn; pixels on a side of each, about.
MOST_FILTERS, FILTER_PIXELS = 64, 24
#: Stimuli of an RDM, and images along its edge.
MOST_OF_RDM, ALONG = 128, 16
#: Images on a map; with more combinations of classes, others are dots.
MOST_ON_MAP = 64


@dataclass
class Seen:
    """A trained network, and what its analysed layer does with its test stimuli.

    Attributes
    ----------
    seed, included : of the network
    layer : the analysed layer
    ids : (stimulus,) of the test stimuli
    images : (stimulus, 3, size, size) uint8; something that gives rows of these
    labels : feature to (stimulus,) classes from 0
    values : feature to the names of its classes
    patterns : (stimulus, unit), activations of the layer at the end of training
    """

    seed: int
    included: bool
    layer: str
    ids: np.ndarray
    images: np.ndarray
    labels: dict[str, np.ndarray]
    values: Mapping[str, Sequence[str]]
    patterns: np.ndarray

    @property
    def words(self) -> str:
        """Which network this is."""
        missed = "" if self.included else ", which missed the inclusion criterion"
        return f"layer {self.layer} of the network of seed {self.seed}{missed}"

    def by_variance(self) -> list[str]:
        """Return the features, that which explains most of the layer's variance first."""
        shares = {name: share_between(self.patterns, v) for name, v in self.labels.items()}
        return sorted(shares, key=lambda name: -shares[name])


def share_between(patterns: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of the variance, of all units together, that lies between classes."""
    centred = patterns - patterns.mean(axis=0, dtype=np.float64)
    total = (centred**2).sum()
    between = sum(
        (labels == c).sum() * (centred[labels == c].mean(axis=0) ** 2).sum()
        for c in np.unique(labels)
    )
    return float(between / total) if total > 0 else 0.0


def draw_network_pictures(
    svg: Mapping[str, str | Path],
    seen: Seen | None,
    units: pd.DataFrame | None,
    filters: Mapping[str, np.ndarray] | None,
    distance: Distance,
    n_stimuli: int,
) -> None:
    """Draw every picture of :data:`~repbias.report.captions.NETWORK_PICTURES`, with data as CSV.

    Parameters
    ----------
    svg
        Picture to its SVG file; the data get the same name, with the ending .csv.
    seen
        From :func:`read_seen`.
    units
        The table `units` of the condition, if the study has it.
    filters
        From :func:`read_filters`, if the network has any.
    distance, n_stimuli
        Of the RDM.
    """
    why = "all networks of this condition diverged"
    with mpl.rc_context(STYLE):
        for name in NETWORK_PICTURES:
            figure, data = empty_figure(why), pd.DataFrame()
            if seen is not None:
                if name == "preferred":
                    figure, data = preferred_stimuli(seen, units)
                elif name == "filters":
                    figure, data = first_filters(filters, seen.seed)
                elif name == "rdm":
                    figure, data = rdm_with_images(seen, distance, n_stimuli)
                else:
                    figure, data = map_of_combinations(seen)
            save_picture(svg[name], figure, data, dpi=96)


def read_seen(
    stimuli_path: str | Path,
    activations_path: str | Path,
    condition: str,
    layer: str,
    values: Mapping[str, Sequence[str]],
) -> Seen | None:
    """Read the first network of a condition that met the inclusion criterion, as it was at the end.

    If none met it, the first one is read.

    Returns
    -------
    Seen
        None if all networks diverged.
    """
    activations = Activations.open(activations_path, condition)
    table = activations.networks
    final = np.flatnonzero(table["snapshot"] == "final")
    if not len(final):
        return None
    row = int(final[np.argmax(table["included"][final])])  # the first one, also of none
    stimuli = Stimuli.read(stimuli_path, condition)
    images, labels, ids = stimuli.part("test")
    if ids.tolist() != activations.stimulus_ids.tolist():
        raise RepbiasError(f"{activations_path}: other test stimuli than those of {stimuli_path}")
    return Seen(
        int(table["seed"][row]),
        bool(table["included"][row]),
        layer,
        ids,
        images,
        dict(zip(stimuli.features, labels.T, strict=True)),
        values,
        activations.read(layer, row),
    )


def read_filters(path: str | Path, condition: str, seed: int) -> dict[str, np.ndarray] | None:
    """Read the weights by which a network reads pixels, before training and at the end.

    These are the first parameter of shape (filter, 3, k, k), such as those of a convolution or of
    the embedding of patches.

    Returns
    -------
    dict
        "untrained" and "end of training" to (filter, 3, k, k); None if there is no such parameter.
    """
    with open_checked(path, "networks", condition) as group:
        names = get(group, "checkpoints/name").tolist()
        network = get(group, "networks/seed").tolist().index(seed)
        for name in group["weights"]:
            weights = dataset_of(group, f"weights/{name}")
            if weights.ndim == 6 and weights.shape[3] == 3 and weights.shape[4] > 1:
                return {
                    when: part_of(weights, (names.index(snapshot), network))
                    for when, snapshot in TIMES.items()
                }
    return None


def read_units(path: str | Path | None, condition: str) -> pd.DataFrame | None:
    """Read the rows of a condition of a part of the table `units`, if there is one."""
    if path is None:
        return None
    table = read_table(path, "units")
    return table[table["condition"] == condition]


def preferred_stimuli(seen: Seen, units: pd.DataFrame | None) -> tuple[Figure, pd.DataFrame]:
    """Draw the test stimuli that drive the units most in which a feature explains most."""
    if units is None:
        return empty_figure("units are not among the analyses of this experiment"), pd.DataFrame()
    of_network = units[(units["seed"] == seen.seed) & (units["snapshot"] == "final")]
    of_network = of_network[of_network["layer"] == seen.layer]
    sheets, data = [], []
    for feature in seen.labels:
        best = of_network[of_network["feature"] == feature].nlargest(UNITS, "r2")
        if best.empty:
            continue
        activity = [seen.patterns[:, int(unit)] for unit in best["unit"]]
        chosen = [np.argsort(-a, kind="stable")[:PREFERRED] for a in activity]
        images = small(np.asarray(seen.images[np.concatenate(chosen)]))
        sheets.append(
            Sheet(
                feature,
                [
                    f"unit {u}\nR² {decimals(r2)}"
                    for u, r2 in zip(best["unit"], best["r2"], strict=True)
                ],
                images.reshape(len(chosen), -1, *images.shape[1:]),
            )
        )
        for row, of_unit, stimuli in zip(best.itertuples(), activity, chosen, strict=True):
            data += [
                {
                    "seed": seen.seed,
                    "layer": seen.layer,
                    "feature": feature,
                    "unit": row.unit,
                    "r2": row.r2,
                    "place": place,
                    "stimulus_id": seen.ids[i],
                    "activation": of_unit[i],
                }
                for place, i in enumerate(stimuli)
            ]
    if not sheets:
        return empty_figure("no unit varies"), pd.DataFrame()
    return sheets_figure(sheets, [seen.words]), pd.DataFrame(data)


def first_filters(
    filters: Mapping[str, np.ndarray] | None, seed: int
) -> tuple[Figure, pd.DataFrame]:
    """Draw filters of pixels before training and at the end, in the same places."""
    if filters is None:
        return empty_figure("no layer has filters of pixels"), pd.DataFrame()
    sheets, data = [], []
    for when, weights in filters.items():
        shown = weights[:MOST_FILTERS]
        sheets.append(Sheet(when, [], in_a_square(as_images(shown))))
        axes = np.indices(shown.shape).reshape(4, -1)
        columns = dict(zip(("filter", "channel", "row", "column"), axes, strict=True))
        data.append(pd.DataFrame({"time": when, **columns, "weight": shown.ravel()}))
    n = len(next(iter(filters.values())))
    counted = f"{n}" if n <= MOST_FILTERS else f"first {MOST_FILTERS} of {n}"
    words = [f"{counted} filters of the network of seed {seed}"]
    return sheets_figure(sheets, words, columns=2), pd.concat(data)


def as_images(weights: np.ndarray) -> np.ndarray:
    """Return filters as images: grey is 0, black and white are a filter's largest weight.

    Parameters
    ----------
    weights
        (filter, 3, k, k).

    Returns
    -------
    numpy.ndarray
        (filter, 3, pixel, pixel) uint8; each weight is a square of pixels.
    """
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    shown = np.divide(weights, largest, out=np.zeros(weights.shape), where=largest > 0)
    levels = np.round(127.5 * (1 + shown)).astype(np.uint8)
    each = max(1, FILTER_PIXELS // weights.shape[-1])
    return levels.repeat(each, axis=2).repeat(each, axis=3)


def in_a_square(images: np.ndarray) -> np.ndarray:
    """Arrange images, (image, ...), in as many rows as columns; the rest is white."""
    columns = int(np.ceil(np.sqrt(len(images))))
    rows = -(-len(images) // columns)
    page = np.full((rows * columns, *images.shape[1:]), 255, np.uint8)
    page[: len(images)] = images
    return page.reshape(rows, columns, *images.shape[1:])


def rdm_with_images(seen: Seen, distance: Distance, n_stimuli: int) -> tuple[Figure, pd.DataFrame]:
    """Draw the RDM of the first test stimuli, sorted by features, with images along its edges."""
    order, n = seen.by_variance(), min(n_stimuli, MOST_OF_RDM, len(seen.ids))
    # The last key counts first.
    sort = np.lexsort([seen.labels[name][:n] for name in reversed(order)])
    try:
        vector = dissimilarities(seen.patterns[sort], distance)
    except RepbiasError as error:
        return empty_figure(f"no RDM: {error}"), pd.DataFrame()
    names = np.array([seen.values[order[0]][c] for c in seen.labels[order[0]][sort]])
    images: list[np.ndarray | None] = [None] * n
    for place, image in zip(*_one_of_each_part(n), strict=True):
        (images[place],) = thumbnails(seen.images[sort[[image]]])
    words = f"first {n} test stimuli, sorted by {', then '.join(order)}\n{seen.words}"
    figure = rdm_figure({f"{distance} distance": vector}, names, images, words)
    figure.set_size_inches(5.4, 5.8)  # on a phone, text is as large as the width is small
    return figure, rdm_data({"dissimilarity": vector}, seen.ids[sort])


def _one_of_each_part(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the middles of equal parts of n stimuli, and a stimulus of each part.

    Which one changes from part to part by the golden section, as the middle ones could have the
    same value of the last feature everywhere.
    """
    parts = min(ALONG, n)
    numbers, size = np.arange(parts), n / parts
    within = 0.5 + (numbers - (parts - 1) / 2) * (np.sqrt(5) - 1) / 2
    return (
        ((numbers + 0.5) * size).astype(int),
        ((numbers + within % 1) * size).astype(int),
    )


def map_of_combinations(seen: Seen) -> tuple[Figure, pd.DataFrame]:
    """Draw a map of the mean of every combination of classes, with an image of each."""
    order = seen.by_variance()
    classes = np.stack([seen.labels[name] for name in order], axis=1)
    combinations, first, which = np.unique(classes, axis=0, return_index=True, return_inverse=True)
    means = np.stack(
        [
            seen.patterns[which.ravel() == i].mean(axis=0, dtype=np.float64)
            for i in range(len(combinations))
        ]
    )
    points, share = classical_mds(squareform(pdist(means, "sqeuclidean")))
    groups = {
        name: np.array([seen.values[name][c] for c in combinations[:, i]])
        for i, name in enumerate(order)
    }
    images: list[np.ndarray | None] = [None] * len(points)
    shown = np.linspace(0, len(points) - 1, min(MOST_ON_MAP, len(points))).round().astype(int)
    for i, image in zip(shown, thumbnails(seen.images[first[shown]]), strict=True):
        images[i] = image
    figure = _framed_and_dotted(points, groups, images)
    note_below(
        figure,
        f"the two components have {share:.0%} of the variance of the means\n{seen.words}",
    )
    data = map_data({seen.layer: (points, share)}, seen.ids[first], None).drop(columns="group")
    return figure, data.rename(columns={"rdm": "layer"}).assign(**groups)


def colours_of_values(values: np.ndarray) -> dict[str, Any]:
    """Give every value a colour: its own, if values are colours."""
    if set(values) <= COLOURS.keys():
        return {name: _readable(COLOURS[name]) for name in dict.fromkeys(values)}
    return group_colours(values)


def _readable(colour: Sequence[float]) -> tuple[float, ...]:
    """Return a colour, light grey for white, which is not seen on paper."""
    return (0.8, 0.8, 0.8) if min(colour) > 0.9 else tuple(colour)


def _framed_and_dotted(
    points: np.ndarray,
    groups: Mapping[str, np.ndarray],
    images: list[np.ndarray | None],
) -> Figure:
    """Draw images in frames of the first feature's colours, and dots in those of the others."""
    first, *others = groups
    # As high as the map is, but legends need room.
    extent = np.ptp(points, axis=0)
    flat = float(np.clip(extent[1] / extent[0] + 0.1, 0.4, 1)) if extent[0] > 0 else 1.0
    heights = [6 * flat + 0.9, (2.0 if len(others) > 1 else 2.4) * flat + 0.9][: 1 + bool(others)]
    figure = Figure(figsize=(6, sum(heights) + 0.2))
    parts = stack(figure, heights)
    axes = {first: parts[0].subplots()}
    if others:
        axes |= dict(zip(others, grid(parts[1], len(others), len(others)), strict=True))
    for name, labels in groups.items():
        colours, axis = colours_of_values(labels), axes[name]
        frames = [colours[value] for value in labels]
        draw_map(axis, points, frames, images if name == first else [], space=0.85)
        left, right = axis.get_xlim()
        middle, reach = points[:, 1].min() + extent[1] / 2, flat * (right - left) / 2
        axis.set_ylim(middle - reach, middle + reach)
        axis.set_title(name)
        axis.legend(
            handles=[line(color=c, marker="o", ls="", ms=4, label=v) for v, c in colours.items()],
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            ncols=5 if name == first else 2,
            fontsize=8 if name == first else 7,
            columnspacing=1,
            handletextpad=0.1,
        )
    return figure
