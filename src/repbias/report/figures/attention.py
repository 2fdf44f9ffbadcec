"""Picture of what the tokens of a transformer attend to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from repbias.report.figures.drawing import STYLE, empty_figure, note_below
from repbias.report.figures.pictures import save_picture

#: What :func:`repbias.networks.attention.attention_maps` gives.
Maps = tuple[int, Mapping[str, np.ndarray]]


def draw_attention(
    svg: str | Path,
    found: Maps | None,
    places: Mapping[str, Sequence[int]],
    order: Sequence[str],
) -> None:
    """Draw :func:`attention_figure` as SVG, with the numbers as CSV beside it."""
    with mpl.rc_context(STYLE):
        figure, data = attention_figure(found, places, order)
        save_picture(svg, figure, data, dpi=96)


def attention_figure(
    found: Maps | None,
    places: Mapping[str, Sequence[int]],
    order: Sequence[str],
) -> tuple[Figure, pd.DataFrame]:
    """Draw a map for every head of every attention, and give the numbers.

    Parameters
    ----------
    found
        From :func:`repbias.networks.attention.attention_maps`.
    places
        Feature to the places that it reads.
    order
        The features, as they are reported.
    """
    if found is None:
        return empty_figure("all networks of this condition diverged"), pd.DataFrame()
    seed, maps = found
    n_heads = max(len(of_heads) for of_heads in maps.values())
    figure = Figure(figsize=(2.0 * n_heads + 1, 1.7 * len(maps) + 0.8))
    axes = figure.subplots(len(maps), n_heads, squeeze=False)
    read = _readers(places)
    data = []
    for row, (name, of_heads) in zip(axes, maps.items(), strict=True):
        for head, (axis, weights) in enumerate(zip(row, of_heads, strict=True), start=1):
            axis.imshow(
                weights, cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="nearest"
            )
            axis.set_title(f"{name}, head {head}", fontsize=7)
            answers = name.startswith("decoder") or (
                name.startswith("block") and not name.endswith("tokens")
            )
            _label(axis, weights.shape, order if answers else [], read)
            if head > 1:
                axis.set_yticks([])
            query, key = np.indices(weights.shape).reshape(2, -1)
            columns = {"token": query, "seen_token": key, "weight": weights.ravel()}
            data.append(pd.DataFrame({"attention": name, "head": head, **columns}))
    note_below(
        figure,
        f"Mean over test stimuli, in the network of seed {seed}; white 0, black 1.\n"
        "Rows: tokens or answers that ask. Columns: what they see.",
    )
    return figure, pd.concat(data, ignore_index=True).assign(seed=seed)


def _readers(places: Mapping[str, Sequence[int]]) -> dict[int, str]:
    """Return the features that read a place, where these are few."""
    found: dict[int, list[str]] = {}
    for feature, own in places.items():
        for place in own if len(own) <= 3 else ():
            found.setdefault(place, []).append(feature)
    return {place: ", ".join(names) for place, names in found.items()}


def _label(
    axis: Axes, shape: tuple[int, int], order: Sequence[str], read: Mapping[int, str]
) -> None:
    """Name places that features read, and answers after the features that they report."""
    n_rows, n_columns = shape
    answers = len(order) > 0
    shown = {place: name for place, name in read.items() if place < n_columns}
    # Answers to each other are as many as features: there, columns are no places.
    if answers and n_columns == n_rows:
        shown = {}
    axis.set_xticks(list(shown), list(shown.values()), fontsize=6, rotation=90)
    axis.set_yticks(range(n_rows) if answers else [], order if answers else [], fontsize=6)
