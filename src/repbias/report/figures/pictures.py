"""Pictures of recordings and of the models beside them: RDMs, and maps of the stimuli."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from scipy.spatial.distance import squareform

from repbias.base.spec import RepbiasError, printable
from repbias.geometry.comparison import Ties
from repbias.io.files import atomic
from repbias.io.recordings import Recording
from repbias.report.figures.drawing import (
    PAGE,
    STYLE,
    empty_figure,
    legend_below,
    line,
    note_below,
    save,
)
from repbias.report.figures.names import COLOURS, shortened
from repbias.report.figures.tips import say
from repbias.rsa.rdms import Rdms, aligned_vectors
from repbias.stimuli.images import Images

#: With more stimuli than this there are no thumbnails.
MOST_THUMBNAILS = 100
#: With more stimuli than this a picture shows evenly spaced ones.
MOST_STIMULI = 400
#: Models beside a recording.
MOST_MODELS = 9
#: A column of stimuli groups them if it has between two values and so many.
MOST_GROUPS = 12
#: Values that say nothing without the name of their column.
YES_NO = {"yes", "no", "true", "false"}
#: Bytes that all thumbnails of a picture may take, before compression.
THUMBNAIL_BYTES = 500_000
#: Pixels that a thumbnail has at most along its longer side.
THUMBNAIL_PIXELS = 64
#: Dissimilarities that are squared distances, or grow like them where they are small.
SQUARED = {
    "correlation",
    "squared_euclidean",
    "mahalanobis",
    "crossnobis",
    "poisson",
    "poisson_cv",
}
#: A colour for every 5 percentiles, to keep files small; grey where there is none.
PERCENTILES = mpl.colormaps["viridis"].resampled(20).with_extremes(bad="0.9")


def draw_recording_pictures(
    name: str,
    recording: Recording,
    rdms: Mapping[str, Rdms],
    models: Mapping[str, Rdms],
    images: Images | None,
    groups: np.ndarray | pd.Categorical | None,
    rdms_path: str | Path,
    mds_path: str | Path,
) -> None:
    """Draw the RDMs of a recording and of models, and maps of its stimuli, with data as CSV.

    Parameters
    ----------
    name
        The recording's name.
    recording
        The recording.
    rdms
        Label of every region to its RDMs, one per subject; their mean is drawn.
    models
        Label to RDMs of a model's layer; the mean over networks is drawn.
    images
        The stimuli's images, if there are any; read one at a time, and only if there are at most
        :data:`MOST_THUMBNAILS` stimuli.
    groups
        (stimulus,) labels that sort and colour the stimuli, in the order of
        `recording.stimulus_ids`, as from :func:`groups_of_stimuli`. Within groups, the recording's
        other columns of stimuli sort them.
    rdms_path, mds_path
        SVG files; their data get the same name, with the ending .csv.

    Raises
    ------
    RepbiasError
        If a stimulus has no row in a model's RDMs.
    """
    ids = recording.stimulus_ids
    if groups is not None and len(groups) != len(ids):
        raise RepbiasError(f"recording '{name}': {len(groups)} groups for {len(ids)} stimuli")
    order = _shown_stimuli(recording, groups)
    shown, labels = ids[order], None if groups is None else np.asarray(groups)[order]
    if not rdms:
        for path in (rdms_path, mds_path):
            save_picture(
                path,
                empty_figure(
                    "no RDM: too few units (geometry.min_units), or stimuli that all subjects saw"
                ),
                pd.DataFrame(),
                dpi=80,
            )
        return
    drawn = dict(rdms) | {
        label if label not in rdms else f"{label} (model)": model
        for label, model in list(models.items())[:MOST_MODELS]
    }
    vectors = {
        label: aligned_vectors(model, shown, label).mean(axis=0) for label, model in drawn.items()
    }
    maps = {
        label: stimulus_map(vectors[label], model.dissimilarity_measure)
        for label, model in drawn.items()
    }
    thumbnails: list[np.ndarray | None] = []
    if images is not None and len(shown) <= MOST_THUMBNAILS:
        thumbnails = load_thumbnails(images, shown)
    words = _what_is_shown(len(shown), len(ids), len(models))
    with mpl.rc_context(STYLE):
        for path, figure, data in (
            (rdms_path, rdm_figure(vectors, labels, thumbnails, words), rdm_data(vectors, shown)),
            (
                mds_path,
                map_figure(maps, labels, thumbnails, words, shown),
                map_data(maps, shown, labels),
            ),
        ):
            save_picture(path, figure, data, dpi=100 if thumbnails else 80)


def _shown_stimuli(recording: Recording, groups: np.ndarray | pd.Categorical | None) -> np.ndarray:
    """Return the indices of the stimuli that are shown, sorted by group and by their features."""
    n = len(recording.stimulus_ids)
    keys = [] if groups is None else [pd.Categorical(groups).codes]
    for column, values in recording.stimuli.items():
        codes = pd.factorize(np.asarray(values), sort=True)[0]
        # What is different for every stimulus says nothing, if it is text, such as a file's name.
        if column != "stimulus_id" and (_is_number(values) or 0 < codes.max() < n - 1):
            keys.append(codes)
    order = np.lexsort(keys[::-1]) if keys else np.arange(n)
    if n <= MOST_STIMULI:
        return order
    return order[np.linspace(0, n - 1, MOST_STIMULI).round().astype(int)]


def _what_is_shown(n_shown: int, n_stimuli: int, n_models: int) -> str:
    counted = f"{n_shown} of {n_stimuli}" if n_shown < n_stimuli else f"{n_stimuli}"
    left_out = max(0, n_models - MOST_MODELS)
    return f"{counted} stimuli" + (f"; {left_out} models are not shown" if left_out else "")


def models_shown(
    files: Mapping[str, Rdms], layers: Mapping[str, str], spaces: Collection[str] = ()
) -> dict[str, Rdms]:
    """Return the RDMs of one layer of every model, of included networks after training.

    Parameters
    ----------
    files
        Condition or network to the RDMs of all its layers and snapshots.
    layers
        Condition or network to the layer that is shown.
    spaces
        Networks of which every layer is shown, as none follows from another: feature spaces, RDMs.

    Returns
    -------
    dict
        "condition, layer" to RDMs; models without any are left out.
    """
    shown = {}
    for name, rdms in files.items():
        info = rdms.rdm_descriptors
        rows: dict[str, list[int]] = {}
        for i, (layer, snapshot, included) in enumerate(
            zip(info["layer"], info["snapshot"], info["included"], strict=True)
        ):
            if (name in spaces or layer == layers[name]) and snapshot == "final" and included:
                rows.setdefault(layer, []).append(i)
        for layer, of_layer in rows.items():
            shown[", ".join(dict.fromkeys((name, layer)))] = rdms.subset(of_layer)
    return shown


def groups_of_stimuli(recording: Recording) -> pd.Categorical | None:
    """Return the first column that divides a recording's stimuli into a few groups.

    The column that groups them in analyses comes first, then those whose name contains "category",
    then text, then numbers with few values, and last quarters of the range of other numbers. None
    if no column has between 2 and :data:`MOST_GROUPS` values, and none has numbers.
    """
    columns = {k: v for k, v in recording.stimuli.items() if k != "stimulus_id"}
    named = recording.info.get("groups")

    def says_nothing(column: str) -> bool:
        """Whether values are numbers, also of classes that are written as text, or yes and no."""
        values = {str(value).lower() for value in columns[column]}
        return _is_number(columns[column]) or all(v.isdecimal() or v in YES_NO for v in values)

    def rank(column: str) -> tuple[bool, bool, bool]:
        return column != named, "category" not in column.lower(), says_nothing(column)

    few = [c for c in columns if 2 <= len(set(columns[c])) <= min(MOST_GROUPS, len(columns[c]) - 1)]
    if few:
        column = min(few, key=rank)
        kind = pd.Categorical(columns[column])
        before = f"{column} " if says_nothing(column) else ""
        return kind.rename_categories([printable(f"{before}{name}") for name in kind.categories])
    for column, values in columns.items():
        if _is_number(values) and len(set(values)) > MOST_GROUPS and np.isfinite(values).all():
            quarters = pd.qcut(values, 4, labels=False, duplicates="drop")
            parts = [values[quarters == i] for i in np.unique(quarters)]
            names = [printable(f"{column} {min(part):g} to {max(part):g}") for part in parts]
            return pd.Categorical.from_codes(quarters, names)
    return None


def _is_number(values: np.ndarray) -> bool:
    return np.asarray(values).dtype.kind in "iufb"


def classical_mds(squared: np.ndarray) -> tuple[np.ndarray, float]:
    """Place points in the plane so that their distances resemble the given ones.

    Classical scaling (Torgerson 1952; Gower 1966): the first two eigenvectors of -1/2 J D J,
    times the square roots of their eigenvalues, where D holds squared distances and J = I - 1/n.
    The solution is unique up to signs, which are set so that the largest coordinate of each axis
    is positive.

    Parameters
    ----------
    squared
        (point, point), squared distances.

    Returns
    -------
    coordinates : (point, 2)
    share : the two eigenvalues' share of the sum of all positive ones (Mardia 1978); 0 if none
    """
    centred = squared - squared.mean(axis=0)
    centred = -0.5 * (centred - centred.mean(axis=1, keepdims=True))
    values, vectors = np.linalg.eigh((centred + centred.T) / 2)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    largest = np.abs(vectors[:, :2]).argmax(axis=0)
    signs = np.where(vectors[largest, [0, 1]] < 0, -1, 1)
    total = values.sum()
    share = float(values[:2].sum() / total) if total > 0 else 0.0
    return vectors[:, :2] * signs * np.sqrt(values[:2]), share


def stimulus_map(vector: np.ndarray, measure: str) -> tuple[np.ndarray, float]:
    """Return the classical scaling of an RDM's upper triangle.

    Dissimilarities such as 1 - correlation are squared Euclidean distances already (of patterns
    of equal length); others are squared.
    """
    return classical_mds(squareform(vector if measure in SQUARED else vector**2, checks=False))


def percentiles(vector: np.ndarray) -> np.ndarray:
    """Return the percentile of every dissimilarity within its RDM, from 0 to 100."""
    return 100 * (Ties.of(vector).midranks() - 1) / max(1, len(vector) - 1)


def load_thumbnails(images: Images, stimulus_ids: np.ndarray) -> list[np.ndarray | None]:
    """Load small versions of images as RGBA squares, padded with transparent pixels.

    Returns
    -------
    list
        An array of shape (pixel, pixel, 4) per stimulus; None where there is no image.
    """
    from PIL import Image, ImageOps

    position = {image_id: i for i, image_id in enumerate(images.ids)}
    side = int(min(THUMBNAIL_PIXELS, np.sqrt(THUMBNAIL_BYTES / (4 * len(stimulus_ids)))))
    thumbnails: list[np.ndarray | None] = []
    assert images.load is not None
    for stimulus in map(str, stimulus_ids):
        if stimulus not in position:
            thumbnails.append(None)
            continue
        image = images.load(position[stimulus])
        image = ImageOps.contain(image, (side, side), Image.Resampling.LANCZOS)
        square = Image.new("RGBA", (side, side))
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        thumbnails.append(np.asarray(square))
    return thumbnails


def rdm_figure(
    vectors: Mapping[str, np.ndarray],
    groups: np.ndarray | None,
    thumbnails: list[np.ndarray | None],
    words: str,
) -> Figure:
    """Draw the first RDM large, with thumbnails along its axes, and the others small.

    Parameters
    ----------
    vectors
        Label to (pair,) dissimilarities.
    groups
        (stimulus,) labels, sorted.
    thumbnails
        From :func:`load_thumbnails`; empty for none.
    words
        What is shown, as a note below.
    """
    (name, first), *others = vectors.items()
    axis, small, figure = _large_and_small(len(others))
    image = _matrix(axis, first, groups)
    axis.set_title(shortened(name, 60))
    if groups is not None:
        _name_groups(axis, groups)
    if thumbnails:
        _line_up(axis, thumbnails)
    for other, (label, vector) in zip(small, others, strict=True):
        _matrix(other, vector, groups)
        other.set_title(shortened(label, 24), fontsize=7)
    bar = figure.colorbar(image, ax=axis, location="bottom", shrink=0.5, aspect=30, pad=0.02)
    bar.set_label("dissimilarity (percentile)", fontsize=8)
    note_below(figure, words)
    return figure


def map_figure(
    maps: Mapping[str, tuple[np.ndarray, float]],
    groups: np.ndarray | None,
    thumbnails: list[np.ndarray | None],
    words: str,
    names: Sequence[str] = (),
) -> Figure:
    """Draw the first map of the stimuli large, with thumbnails, and the others small.

    Parameters
    ----------
    maps
        Label to coordinates (stimulus, 2) and their share of variance.
    groups
        (stimulus,) labels, sorted.
    thumbnails
        From :func:`load_thumbnails`; empty for none.
    words
        What is shown, as a note below.
    names
        Of the stimuli, in browsers.
    """
    (name, (first, share)), *others = maps.items()
    axis, small, figure = _large_and_small(len(others))
    colours = group_colours(groups)
    dots = "0.3" if groups is None else [colours[g] for g in groups]
    draw_map(axis, first, dots, thumbnails, names=names)
    axis.set_title(f"{shortened(name, 60)}: {share:.0%} of the variance")
    for other, (label, (points, its_share)) in zip(small, others, strict=True):
        draw_map(other, points, dots, [], names=names)
        other.set_title(f"{shortened(label, 24)}\n{its_share:.0%}", fontsize=7)
    if colours:
        legend_below(
            figure, [line(color=c, marker="o", ls="", ms=4, label=g) for g, c in colours.items()]
        )
    axis.set_xlabel(words, fontsize=7, color="0.35")
    return figure


def group_colours(groups: np.ndarray | None) -> dict[str, Any]:
    """Give every group of stimuli a colour, in order of appearance."""
    names = [] if groups is None else list(dict.fromkeys(groups))
    if len(names) <= len(COLOURS):
        return dict(zip(names, COLOURS, strict=False))
    return {name: mpl.colormaps["tab20"](i) for i, name in enumerate(names)}


def _large_and_small(n_small: int) -> tuple[Axes, list[Axes], Figure]:
    """Return a large panel, and up to three columns of small ones beside it."""
    if not n_small:
        figure = Figure(figsize=(0.6 * PAGE, 0.6 * PAGE))
        return figure.subplots(), [], figure
    figure = Figure(figsize=(PAGE, 0.55 * PAGE + 0.4))
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[5, 4]).ravel()
    columns = 1 if n_small == 1 else 2 if n_small <= 4 else 3
    small = right.subplots(max(2, -(-n_small // columns)), columns, squeeze=False).ravel()
    for axis in small[n_small:]:
        axis.set_axis_off()
    return left.subplots(), list(small[:n_small]), figure


def _matrix(axis: Axes, vector: np.ndarray, groups: np.ndarray | None) -> AxesImage:
    """Draw an RDM as percentiles, with lines between groups of stimuli."""
    square = squareform(percentiles(vector))
    np.fill_diagonal(square, np.nan)
    # Colours after resampling: few colours make small files.
    image = axis.imshow(square, cmap=PERCENTILES, vmin=0, vmax=100, interpolation_stage="data")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    for start in _starts(groups)[1:]:
        axis.axhline(start - 0.5, color="white", lw=0.6)
        axis.axvline(start - 0.5, color="white", lw=0.6)
    return image


def _starts(groups: np.ndarray | None) -> list[int]:
    """Return the first row of every group."""
    if groups is None:
        return []
    return [i for i in range(len(groups)) if i == 0 or groups[i] != groups[i - 1]]


def _name_groups(axis: Axes, groups: np.ndarray) -> None:
    starts = _starts(groups)
    centres = np.add(starts, [*starts[1:], len(groups)]) / 2 - 0.5
    labels = [shortened(str(groups[i]), 20) for i in starts]
    size = 7 if len(starts) <= 6 else 5.5
    axis.set_yticks(centres, labels, fontsize=size, rotation=90, va="center")
    axis.tick_params(length=0)


def _line_up(axis: Axes, thumbnails: list[np.ndarray | None]) -> None:
    """Draw thumbnails along the upper and right edges, in several rows if they are many."""
    n, shown = len(thumbnails), [(i, t) for i, t in enumerate(thumbnails) if t is not None]
    if not shown:
        return
    rows = max(1, round(len(shown) / 25))
    side = rows * n / len(shown)  # of a thumbnail, in stimuli
    for number, (i, thumbnail) in enumerate(shown):
        along, away = i - side / 2, (number % rows) * side
        top = -0.5 - away - side * 1.05
        right = n - 0.5 + away + side * 0.05
        axis.imshow(thumbnail, extent=(along, along + side, top + side, top))
        axis.imshow(thumbnail, extent=(right, right + side, along + side, along))
    reach = side * (rows + 0.1)
    axis.set_xlim(-0.5 - side / 2, n - 0.5 + reach)
    axis.set_ylim(n - 0.5 + side / 2, -0.5 - reach)


def draw_map(
    axis: Axes,
    points: np.ndarray,
    colours: object,
    thumbnails: list[np.ndarray | None],
    space: float = 1.1,
    names: Sequence[str] = (),
) -> None:
    """Draw stimuli as thumbnails framed in their colours, or as dots where there are none.

    Dots have names, if these are given. Many thumbnails get smaller, so that the square of `space`
    is their share of a quarter.
    """
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_color("0.85")
    axis.spines[:].set_visible(True)
    centre = (points.max(axis=0) + points.min(axis=0)) / 2
    radius = np.abs(points - centre).max() or 1.0
    shown = thumbnails or [None] * len(points)
    bare = np.array([thumbnail is None for thumbnail in shown])
    each = np.array([colours] * len(points)) if isinstance(colours, str) else np.array(colours)
    along, up = points[bare].T
    dots = axis.scatter(along, up, s=9 if len(points) <= 200 else 4, c=list(each[bare]), lw=0)
    if len(names):
        say(dots, np.asarray(names)[bare])
    side = radius * min(0.16, space / np.sqrt(len(points)))
    for (x, y), colour, thumbnail in zip(points, each, shown, strict=True):
        if thumbnail is None:
            continue
        axis.imshow(thumbnail, extent=(x - side / 2, x + side / 2, y - side / 2, y + side / 2))
        if not isinstance(colours, str):
            axis.add_patch(
                Rectangle((x - side / 2, y - side / 2), side, side, fill=False, ec=colour, lw=1)
            )
    reach = radius * 1.05 + (0 if bare.all() else side / 2)
    limits = np.stack([centre - reach, centre + reach])
    axis.set(xlim=limits[:, 0], ylim=limits[:, 1], aspect="equal")


def rdm_data(vectors: Mapping[str, np.ndarray], stimulus_ids: np.ndarray) -> pd.DataFrame:
    """Return a row per pair of stimuli, a column per RDM."""
    a, b = np.triu_indices(len(stimulus_ids), 1)
    sides = {"stimulus_a": stimulus_ids[a], "stimulus_b": stimulus_ids[b]}
    return pd.DataFrame(sides | dict(vectors))


def map_data(
    maps: Mapping[str, tuple[np.ndarray, float]],
    stimulus_ids: np.ndarray,
    groups: np.ndarray | None,
) -> pd.DataFrame:
    """Return a row per RDM and stimulus: coordinates, and the map's share of variance."""
    return pd.concat(
        pd.DataFrame(
            {
                "rdm": label,
                "stimulus_id": stimulus_ids,
                "group": "" if groups is None else groups,
                "x": points[:, 0],
                "y": points[:, 1],
                "share_of_variance": share,
            }
        )
        for label, (points, share) in maps.items()
    )


def save_picture(path: str | Path, figure: Figure, data: pd.DataFrame, dpi: int) -> None:
    """Write a picture as SVG, and its data as CSV beside it."""
    with atomic(path) as temporary:
        save(figure, temporary, dpi)
    with atomic(Path(path).with_suffix(".csv")) as temporary:
        data.to_csv(temporary, index=False, float_format="%.5g")
