"""Tests of models against recordings, fitted models, and time courses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.image import AxesImage
from matplotlib.patches import Patch

from repbias.report.figures.comparisons import MATRIX
from repbias.report.figures.drawing import (
    PAGE,
    curve,
    empty_figure,
    error_bars,
    legend_below,
    line,
    note_below,
    panels,
    stack,
    striped_rows,
)
from repbias.report.figures.names import COLOURS, model_colours, model_labels
from repbias.report.selection import (
    MODEL,
    Layers,
    Tables,
    fewer_models,
    included,
    over_networks,
)

#: Rows of a panel; with more models than this some are left out.
MOST_ROWS = 24
#: Lines of a panel.
MOST_LINES = 7
#: RDM similarities that are drawn; the data have all of them.
MOST_SIMILARITIES = 2
#: The level at which a result counts as significant, after correction for multiple comparisons.
LEVEL = 0.05
#: A row's values in the columns :data:`MODEL`.
Model = tuple[str, ...]
#: How noise ceilings are drawn.
BAND: dict[str, Any] = {"color": "0.85", "lw": 0, "zorder": 0.5}
_A, _B = ([f"{column}_{side}" for column in MODEL[1:]] for side in "ab")


def model_comparison(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw a row per model; for each RDM similarity its scores, and the pairwise tests."""
    tests = tables["rsa_tests"]
    tests = tests[(tests[["snapshot_a", "snapshot_b"]] != "mastered").all(axis=1)]
    keys, ends = ["recording", "rdm_similarity"], ["ceiling_low", "ceiling_high"]
    ceilings = tables["rsa_recordings"].drop_duplicates(keys)[[*keys, *ends]]
    data = tests.merge(ceilings, how="left", on=keys)
    recordings = list(data.groupby("recording", sort=False))
    if not recordings:
        return empty_figure(), data
    shown = [_shown_of(part, layers) for _, part in recordings]
    heights = [0.17 * len(models) + 1.1 for models, _ in shown]
    pairs = data[data["test"] == "pair"]
    bar = [] if pairs.empty else [0.5]
    figure = Figure(figsize=(PAGE, sum(heights) + sum(bar) + 0.4))
    parts = stack(figure, [*heights, *bar])
    largest = pairs["effect"].abs().max()
    image = None
    for subfigure, (recording, part), (models, note) in zip(parts, recordings, shown, strict=False):
        image = _draw_recording(subfigure, recording, part, models, note, largest) or image
    if image is not None:
        axis = parts[-1].add_axes((0.36, 0.45, 0.28, 0.16))
        figure.colorbar(image, cax=axis, orientation="horizontal")
        axis.tick_params(labelsize=7)
        axis.set_title("difference in similarity, row − column; dot: significant", fontsize=8)
    legend_below(figure, _marks())
    return figure, data


def _shown_of(part: pd.DataFrame, layers: Layers) -> tuple[pd.DataFrame, str]:
    """Return the models of a recording that are shown, and which these are."""
    models = part.loc[part["test"] == "zero", ["experiment", *_A]].set_axis(MODEL, axis=1)
    return fewer_models(models, layers, MOST_ROWS)


def _draw_recording(
    figure: FigureBase,
    recording: str,
    part: pd.DataFrame,
    models: pd.DataFrame,
    note: str,
    largest: float,
) -> AxesImage | None:
    """Draw one recording's row of panels; return the last matrix, if there is any."""
    rdm_similarities = list(part["rdm_similarity"].unique())[:MOST_SIMILARITIES]
    paired = (part["test"] == "pair").any()
    ratios = ([3, 2] if paired else [1]) * len(rdm_similarities)
    axes = figure.subplots(1, len(ratios), squeeze=False, sharey=True, width_ratios=ratios)[0]
    n_panels = len(ratios) // len(rdm_similarities)
    place = {key: y for y, key in enumerate(models[MODEL].itertuples(index=False, name=None))}
    labels = model_labels(models)
    if paired:
        labels = [f"{label}  {y + 1}" for y, label in enumerate(labels)]
    image = None
    for i, rdm_similarity in enumerate(rdm_similarities):
        rows = part[part["rdm_similarity"] == rdm_similarity]
        axis = axes[i * n_panels]
        _forest(axis, rows, place, model_colours(models))
        striped_rows(axis, labels)
        axis.set_title(f"{recording} ({rdm_similarity})")
        if paired:
            pairs = rows[rows["test"] == "pair"]
            image = _matrix(axes[i * n_panels + 1], pairs, place, largest)
    for axis in axes[1:]:
        axis.tick_params(axis="y", length=0)
    note_below(figure, _scope(part, note))
    return image


def _scope(part: pd.DataFrame, note: str) -> str:
    """Say what a recording's tests generalise to, and what is not shown."""
    scopes = part.loc[part["test"] != "permutation", "generalises_to"].unique()
    lines = [f"intervals and tests generalise to {'; or '.join(filter(None, scopes))}"]
    if note:
        lines.append(f"shown: {note}; all are in the data")
    n_rdm_similarities = part["rdm_similarity"].nunique()
    if n_rdm_similarities > MOST_SIMILARITIES:
        lines.append(f"the first {MOST_SIMILARITIES} of {n_rdm_similarities} RDM similarities")
    return "\n".join(lines)


def _forest(axis: Axes, rows: pd.DataFrame, place: dict[Model, int], colours: list[Any]) -> None:
    """Draw every model's similarity with its interval, and the outcome of its tests."""
    low, high = rows[["ceiling_low", "ceiling_high"]].iloc[0]
    if np.isfinite(low):
        axis.axvspan(low, high, **BAND)
    axis.axvline(0, color="0.6", lw=0.7, zorder=0.6)
    below = {
        key
        for key, row in _rows_of(rows[rows["test"] == "ceiling"])
        if row.p_fdr < LEVEL and row.effect < 0
    }
    for key, row in _rows_of(rows[rows["test"] == "zero"]):
        if key not in place:
            continue
        colour, significant = colours[place[key]], row.p_fdr < LEVEL and row.effect > 0
        score, y = pd.DataFrame([row]), place[key]
        error_bars(axis, score, "effect", [y], color=colour, mfc=colour if significant else "white")
        if key in below:
            edge = axis.get_yaxis_transform()
            axis.plot(0.985, y, transform=edge, marker="<", ms=3.5, color="0.35")
    axis.margins(x=0.08)
    axis.set_xlabel("RDM similarity", fontsize=8)
    # Intervals over two subjects reach beyond what a correlation can be.
    low, high = axis.get_xlim()
    axis.set_xlim(max(low, -1.05), min(high, 1.05))


def _rows_of(tests: pd.DataFrame) -> Iterator[tuple[Model, Any]]:
    """Yield the tests of single models: the model's key, and the test."""
    rows = tests.drop_duplicates(["experiment", *_A])
    keys = rows[["experiment", *_A]].itertuples(index=False, name=None)
    return zip(keys, rows.itertuples(), strict=True)


def _matrix(axis: Axes, pairs: pd.DataFrame, place: dict[Model, int], largest: float) -> AxesImage:
    """Draw the differences of all pairs, row minus column, with dots on significant ones."""
    matrix = np.full((len(place), len(place)), np.nan)
    dots = []
    for side_a, side_b, row in zip(
        pairs[["experiment", *_A]].itertuples(index=False, name=None),
        pairs[["experiment", *_B]].itertuples(index=False, name=None),
        pairs.itertuples(),
        strict=True,
    ):
        if side_a in place and side_b in place:
            a, b = place[side_a], place[side_b]
            matrix[a, b], matrix[b, a] = row.effect, -row.effect
            dots += [(a, b), (b, a)] if row.p_fdr < LEVEL else []
    limit = largest if largest > 0 else 1
    image = axis.imshow(matrix, cmap=MATRIX, vmin=-limit, vmax=limit, aspect="auto")
    if dots:
        y, x = np.transpose(dots)
        axis.plot(x, y, ".", ms=3, color="black")
    numbers = range(0, len(place), 1 if len(place) <= 12 else 2)
    axis.set_xticks(numbers, [str(n + 1) for n in numbers], fontsize=5.5)
    axis.xaxis.tick_top()
    axis.tick_params(axis="x", length=0, pad=1)
    axis.spines[:].set_visible(False)
    return image


def _marks() -> list[Any]:
    """Explain the marks of a model comparison, for a legend."""
    style = {"color": "0.3", "marker": "o", "ls": "", "ms": 4}
    return [
        line(label="significantly above 0", **style),
        line(label="not significantly above 0", mfc="white", **style),
        line(label="significantly below the noise ceiling", **style | {"marker": "<", "ms": 3.5}),
        Patch(color=BAND["color"], label="noise ceiling"),
    ]


def rsa_fitted(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw a row per model, with its fixed and its fitted RDMs side by side."""
    table = included(tables["rsa_fitted"], "initial", "final")
    data = over_networks(table, ["recording", "rdm_similarity", *MODEL, "model"], "similarity")
    recordings = list(data.groupby("recording", sort=False))
    if not recordings:
        return empty_figure(), data
    kinds = dict(zip(data["model"].unique(), COLOURS, strict=False))
    shown = [fewer_models(part, layers, MOST_ROWS) for _, part in recordings]
    heights = [max(0.17, 0.1 * len(kinds)) * len(models) + 0.9 for models, _ in shown]
    figure = Figure(figsize=(PAGE, sum(heights) + 0.5))
    parts = stack(figure, heights)
    for subfigure, (recording, part), (models, note) in zip(parts, recordings, shown, strict=True):
        _fixed_and_fitted(subfigure, recording, part, models, kinds)
        if note:
            note_below(subfigure, f"shown: {note}; all are in the data")
    legend_below(figure, [line(color=c, marker="o", ls="", label=k) for k, c in kinds.items()])
    return figure, data


def _fixed_and_fitted(
    figure: FigureBase,
    recording: str,
    part: pd.DataFrame,
    models: pd.DataFrame,
    kinds: dict[str, str],
) -> None:
    """Draw one recording, a panel per RDM similarity; `kinds` of models have their colours."""
    rdm_similarities = list(part["rdm_similarity"].unique())[:MOST_SIMILARITIES]
    axes = figure.subplots(1, len(rdm_similarities), squeeze=False, sharey=True)[0]
    places = models.assign(y=range(len(models)))
    for axis, rdm_similarity in zip(axes, rdm_similarities, strict=True):
        rows = part[part["rdm_similarity"] == rdm_similarity].merge(places, on=MODEL)
        axis.axvline(0, color="0.6", lw=0.7, zorder=0.6)
        for i, (kind, colour) in enumerate(kinds.items()):
            of_kind = rows[rows["model"] == kind]
            shift = 0.7 * ((i + 0.5) / len(kinds) - 0.5)
            error_bars(axis, of_kind, "similarity", of_kind["y"] + shift, color=colour)
        axis.set_title(f"{recording} ({rdm_similarity})")
        axis.set_xlabel("RDM similarity, cross-validated", fontsize=8)
        striped_rows(axis, model_labels(models))


def rsa_times(tables: Tables, layers: Layers) -> tuple[Figure, pd.DataFrame]:
    """Draw the similarity of models to every recording over time."""
    table = included(tables["rsa_times"], "initial", "final")
    keys, ends = ["recording", "rdm_similarity"], ["ceiling_low", "ceiling_high"]
    data = over_networks(table, [*keys, *MODEL, "time_s"], "similarity")
    if data.empty:
        return empty_figure(), data
    data = data.merge(table.drop_duplicates([*keys, "time_s"])[[*keys, "time_s", *ends]], "left")
    parts = [
        (key, part)
        for _, recording in data.groupby("recording", sort=False)
        for key, part in list(recording.groupby(keys, sort=False))[:MOST_SIMILARITIES]
    ]
    models, note = fewer_models(data, layers, MOST_LINES)
    figure, axes = panels(len(parts), width=PAGE / 2, height=2.7, columns=2, sharey=False)
    colours = model_colours(models)
    for axis, ((recording, rdm_similarity), part) in zip(axes, parts, strict=True):
        _time_courses(axis, part.merge(models.assign(colour=colours), on=MODEL))
        ceiling = part.drop_duplicates("time_s").sort_values("time_s")
        axis.fill_between(ceiling["time_s"], ceiling[ends[0]], ceiling[ends[1]], **BAND)
        axis.axhline(0, color="0.6", lw=0.7, zorder=0.6)
        axis.set_title(f"{recording} ({rdm_similarity})")
        axis.set(xlabel="time (s)", ylabel="RDM similarity")
    handles: list[Any] = [
        line(color=colour, label=label)
        for colour, label in zip(colours, model_labels(models), strict=True)
    ]
    handles.append(Patch(color=BAND["color"], label="noise ceiling"))
    if note:
        handles.append(line(ls="", label=f"(shown: {note})"))
    legend_below(figure, handles)
    return figure, data


def _time_courses(axis: Axes, rows: pd.DataFrame) -> None:
    """Draw a curve per model, in the colour of its column "colour"."""
    for _, model in rows.sort_values("time_s").groupby(MODEL, sort=False):
        curve(axis, model["time_s"], model, "similarity", model["colour"].iloc[0], lw=1.3)
