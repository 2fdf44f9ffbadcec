"""Describe self-describing file formats, tables of text, and images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from repbias.base.order import orders
from repbias.base.spec import RepbiasError, nearest
from repbias.commands.description import FILL_IN, STIMULI, Description, count, some

#: Columns that often hold the region of a unit.
REGIONS = ("region", "area", "brain_area", "location", "ecephys_structure_acronym")
#: Columns of a table of events that probably name the stimulus, the likeliest first.
EVENT_STIMULUS = (
    *("stim_file", "stimulus", "stimulus_id", "stim", "stim_id"),
    *("image", "image_id", "image_name", "trial_type"),
)
#: Rows of a table that are read for examples.
ROWS = 10_000


def refuse_variable(path: Path, variable: str | None) -> None:
    """Refuse --variable for files without arrays to choose from."""
    if variable is not None:
        raise RepbiasError(f"{path}: --variable is for files of arrays; leave it out")


def examples(values: Iterable[Any]) -> str:
    """Return the number of distinct values, and the first of them.

    Examples
    --------
    >>> examples([0.123456, 2.0, 2.0])
    '2 values: 0.1235, 2'
    """
    shown = []
    for value in values:
        value = value.decode() if isinstance(value, bytes) else value
        shown.append(f"{value:.4g}" if isinstance(value, float | np.floating) else str(value))
    distinct = list(dict.fromkeys(text if len(text) < 30 else f"{text[:27]}..." for text in shown))
    return f"{count(len(distinct), 'value')}: {some(distinct)}"


def describe_images(path: Path, variable: str | None) -> Description:
    """Describe a folder or an archive of images."""
    from repbias.stimuli.images import open_images
    from repbias.stimuli.spec import ImageSet

    refuse_variable(path, variable)
    images = open_images(ImageSet(path=path))
    load = images.load
    assert load is not None
    # A few are enough: decoding an archive of thousands takes long.
    sizes = Counter("{} x {}".format(*load(i).size) for i in range(min(5, len(images))))
    lines = [f"{count(len(images), 'image')}: {some(images.ids)}", f"pixels: {some(sizes)}"]
    lines += images.said
    for way, ids in list(orders(images.ids).items())[1:]:
        lines.append(f"Sorted {way}, they are {some(ids)}: mind what a recording's axis follows.")
    return Description(lines, {"path": str(path)}, section="images")


def put_stimulus(found: Description, columns: Mapping[str, Any]) -> None:
    """Add the key `stimulus`, with the columns that may hold the ids of the stimuli."""
    likely = may_be_stimulus(columns) or "none seems to"
    found.put("stimulus", FILL_IN, f"the column that names the stimulus: {likely}")


def may_be_stimulus(columns: Mapping[str, Any]) -> str:
    """Return the columns that may hold the ids of the stimuli, in words; empty if none may."""
    others = {n: x for n, x in columns.items() if n not in ("onset", "duration", "sample")}
    return ", or ".join(
        f"{name} ({examples(x)})" for name, x in others.items() if _may_name_stimuli(x)
    )


def _may_name_stimuli(values: Any) -> bool:
    """Whether values are text or whole numbers, with at least four distinct ones."""
    plain = [value.decode() if isinstance(value, bytes) else value for value in values]
    if any(isinstance(value, float | np.floating) and value != np.round(value) for value in plain):
        return False
    scalar = (str, int, float, np.number)
    return len(set(map(str, plain))) > 3 and all(isinstance(value, scalar) for value in plain)


def describe_brainscore(path: Path, variable: str | None) -> Description:
    """Describe a neural assembly of Brain-Score."""
    from repbias.recordings.readers.brainscore import open_netcdf

    with open_netcdf(path) as dataset:
        arrays = {str(name): x for name, x in dataset.data_vars.items() if x.ndim > 1}
        columns = {str(name): x for name, x in dataset.variables.items() if x.ndim == 1}
        found = Description([])
        for name, x in arrays.items():
            axes = ", ".join(f"{dimension} {n}" for dimension, n in x.sizes.items())
            found.lines.append(f"{name}: {axes}; {x.dtype}")
        coordinates = {name: (str(x.dims[0]), x.values) for name, x in columns.items()}
    found.lines += [f"  {name} ({axis}): {examples(x)}" for name, (axis, x) in coordinates.items()]
    if variable is not None and variable not in arrays:
        raise RepbiasError(f"{path}: no array {variable!r}; {nearest(variable, arrays)}")
    if not arrays or "neuroid_id" not in coordinates:
        found.lines.append("Needed to read it: an array with a coordinate neuroid_id.")
        return found
    name = variable or next(iter(arrays))
    found.put("kind", "brainscore")
    found.put("path", str(path))
    if len(arrays) > 1:
        found.put("variable", name, f"found: {', '.join(arrays)}")
    _put_coordinates(found, coordinates, arrays[name].dims)
    return found


def _put_coordinates(
    found: Description, coordinates: Mapping[str, tuple[str, np.ndarray]], axes: Collection[Any]
) -> None:
    """Add keys that name the stimulus and the unit of time.

    Parameters
    ----------
    found
        Gets the keys.
    coordinates
        Name of a coordinate to its axis and its values.
    axes
        The axes of the array that is read.
    """
    found.put("stimuli", FILL_IN, STIMULI)
    of_trials = {
        name: values
        for name, (axis, values) in coordinates.items()
        if axis in axes and axis not in (coordinates["neuroid_id"][0], "time_bin")
    }
    known = next((name for name in ("stimulus_id", "image_id") if name in of_trials), None)
    if known is not None:
        found.put("stimulus", known, examples(of_trials[known]))
    else:
        put_stimulus(found, of_trials)
    if "time_bin_start" in coordinates:
        width = np.min(coordinates["time_bin_end"][1] - coordinates["time_bin_start"][1])
        found.put("time_unit", "ms" if width >= 1 else "s", f"a guess from bins of {width:g}")
