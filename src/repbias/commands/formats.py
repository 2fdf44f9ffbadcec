"""Describe self-describing file formats, tables of text, and images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from repbias.base.order import orders
from repbias.base.spec import RepbiasError, nearest
from repbias.commands.description import FILL_IN, STIMULI, Description, count, some
from repbias.recordings.readers.files import import_optional

#: Columns that often hold the region of a unit.
REGIONS = ("region", "area", "brain_area", "location", "ecephys_structure_acronym")
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
    for way, ids in list(orders(images.ids).items())[1:]:
        lines.append(f"Sorted {way}, they are {some(ids)}: mind what a recording's axis follows.")
    return Description(lines, {"path": str(path)}, section="images")


def describe_nwb(path: Path, variable: str | None) -> Description:
    """Describe tables of trials, units and fluorescence in an NWB file."""
    refuse_variable(path, variable)
    import_optional("pynwb", "NWB", "nwb")
    from pynwb.ophys import RoiResponseSeries

    from repbias.recordings.readers.nwb import open_nwb

    with open_nwb(path) as nwb:
        tables = {**(nwb.intervals or {}), **(getattr(nwb, "events", None) or {})}
        tables = {
            name: {c: table[c][:ROWS] for c in table.colnames} for name, table in tables.items()
        }
        unit_columns = nwb.units.colnames if nwb.units else ()
        series = [x for x in nwb.objects.values() if isinstance(x, RoiResponseSeries)]
        found = Description(list(_lines_of_nwb(nwb, tables, series)))
        names = [x.name if x.parent is None else f"{x.parent.name}/{x.name}" for x in series]
    if not tables or not (unit_columns or series):
        found.lines.append("Needed to read it: a table of trials, and units or fluorescence.")
        return found
    _put_nwb_entry(found, path, tables, unit_columns, names)
    return found


def _lines_of_nwb(nwb: Any, tables: Mapping[str, Any], series: list[Any]) -> Iterator[str]:
    """Yield a description of an NWB file, line by line."""
    subject = nwb.subject.subject_id if nwb.subject else None
    yield f"NWB session {nwb.identifier}, subject {subject or 'not named'}"
    for name, columns in tables.items():
        yield f"table {name}:"
        for column, values in columns.items():
            yield f"  {column}: {examples(values)}"
    if nwb.units:
        yield f"units: {len(nwb.units)}, with {some(nwb.units.colnames, 20)}"
    if nwb.electrodes:
        locations = Counter(map(str, nwb.electrodes["location"][:]))
        yield f"electrodes: {some(f'{name} ({n})' for name, n in locations.items())}"
    for x in series:
        shape = " x ".join(map(str, x.data.shape))
        yield f"fluorescence {x.name} in {x.parent.name}: {shape} (time, ROI)"


def _put_nwb_entry(
    found: Description,
    path: Path,
    tables: Mapping[str, Any],
    unit_columns: Collection[str],
    series: list[str],
) -> None:
    """Write the entry that reads an NWB file, from its table of trials or else the longest one."""
    longest = max(tables, key=lambda name: max(map(len, tables[name].values()), default=0))
    table = "trials" if "trials" in tables else longest
    found.put("kind", "nwb")
    found.put("path", str(path))
    found.put("stimuli", FILL_IN, STIMULI)
    guess = "" if "trials" in tables else "a guess, as it is the longest; "
    found.put("table", table, f"{guess}found: {', '.join(tables)}")
    put_stimulus(found, tables[table])
    found.put("align", "start_time", "the column with the time that is 0 s")
    found.put(
        "from_s", FILL_IN, "responses from here, in seconds after align, for example 0.05 ..."
    )
    found.put("to_s", FILL_IN, "... to here, for example 0.25; with bin_s, in bins of that width")
    others = f"or {', or '.join(series)}" if unit_columns and series else ""
    found.put("data", "units" if unit_columns else series[0], others)
    region = next((name for name in REGIONS if name in unit_columns), None)
    if region is not None:
        found.put("region_column", region, "a guess from its name")


def put_stimulus(found: Description, columns: Mapping[str, Any]) -> None:
    """Add the key `stimulus`, with the columns that may hold the ids of the stimuli."""
    likely = [f"{name} ({examples(x)})" for name, x in columns.items() if _may_name_stimuli(x)]
    comment = f"the column that names the stimulus: {', or '.join(likely) or 'none seems to'}"
    found.put("stimulus", FILL_IN, comment)


def _may_name_stimuli(values: Any) -> bool:
    """Whether values are text or whole numbers, with at least four distinct ones."""
    plain = [value.decode() if isinstance(value, bytes) else value for value in values]
    if any(isinstance(value, float | np.floating) and value != np.round(value) for value in plain):
        return False
    scalar = (str, int, float, np.number)
    return len(set(map(str, plain))) > 3 and all(isinstance(value, scalar) for value in plain)


def describe_mne(path: Path, variable: str | None) -> Description:
    """Describe MNE epochs."""
    refuse_variable(path, variable)
    from repbias.recordings.readers.mne import open_epochs

    epochs = open_epochs(path, preload=False)
    kinds = Counter(epochs.get_channel_types())
    names = {code: name for name, code in epochs.event_id.items()}
    events = Counter(names[code] for code in epochs.events[:, 2].tolist())
    found = Description(
        [
            f"{count(len(epochs), 'epoch')} (MNE), {len(epochs.times)} samples from "
            f"{epochs.tmin:g} to {epochs.tmax:g} s, {epochs.info['sfreq']:g} Hz",
            f"channels: {some((f'{kind} ({n})' for kind, n in kinds.items()), 8)}",
            f"events: {len(events)}: {some(f'{name} ({n})' for name, n in events.items())}",
        ]
    )
    found.put("kind", "mne")
    found.put("path", str(path))
    found.put("stimuli", FILL_IN, STIMULI)
    if epochs.metadata is not None:
        columns = {str(name): epochs.metadata[name].to_numpy() for name in epochs.metadata}
        found.lines.append("metadata:")
        found.lines += [f"  {name}: {examples(values)}" for name, values in columns.items()]
        put_stimulus(found, columns)
    else:
        found.lines.append("There are no metadata: the names of the events serve as stimulus ids.")
    found.put("picks", "data", f"all channels, or types of {', '.join(kinds)}, or names")
    found.put("bin_s", 0.01, "average over time bins of this width in seconds")
    return found


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


def describe_nifti(path: Path, variable: str | None) -> Description:
    """Describe a NIfTI image; only its last voxel is read, to see whether the file is complete."""
    refuse_variable(path, variable)
    from repbias.recordings.readers.fmri import open_nifti

    image = open_nifti(path)
    image.dataobj[(-1,) * image.ndim]
    shape = " x ".join(map(str, image.shape))
    zooms = image.header.get_zooms()
    found = Description(
        [
            f"NIfTI, {shape}, {image.get_data_dtype()}",
            f"voxels: {' x '.join(f'{z:g}' for z in zooms[:3])} mm",
            "affine: " + "; ".join(" ".join(f"{x:g}" for x in row) for row in image.affine[:3]),
        ]
    )
    if len(image.shape) < 4:
        found.lines.append("One volume: a mask, a map of regions, or anatomy.")
        return found
    unit = image.header.get_xyzt_units()[1]
    found.lines.append(f"repetition time: {zooms[3]:g} {unit}")
    _put_fmri_entry(found, path, image.shape)
    return found


def _put_fmri_entry(found: Description, path: Path, shape: tuple[int, ...]) -> None:
    """Write the entry that reads an fMRI series, with the events and the mask beside it."""
    stem = path.name.lower().removesuffix(".gz").removesuffix(".nii")
    found.put("kind", "fmri")
    found.put("path", str(path))
    found.put("stimuli", FILL_IN, STIMULI)
    bold = stem.endswith("bold")
    guess = " (a guess from the name)" if bold else ""
    kinds = f"betas: one volume per trial; bold: the signal over time{guess}"
    found.put("content", "bold" if bold else FILL_IN, kinds)
    # Named as in BIDS.
    events = path.with_name(f"{path.name[: len(stem)].removesuffix('bold')}events.tsv")
    tables = [p for p in sorted(path.parent.iterdir()) if p.suffix in (".csv", ".tsv", ".txt")]
    found.put(
        "events",
        str(events) if events.is_file() else FILL_IN,
        "table with one row per volume, or with onsets; if its first line has no names, add "
        f"header: [stimulus, run]; found: {some([p.name for p in tables]) or 'none'}",
    )
    masks = [p for p in sorted(path.parent.glob("*mask*.nii*")) if _fits(p, shape)]
    if len(masks) == 1:
        found.put("mask", str(masks[0]), "a guess from its name and shape")


def _fits(mask: Path, shape: tuple[int, ...]) -> bool:
    """Whether an image is a single volume on the same grid."""
    from repbias.recordings.readers.fmri import open_nifti

    try:
        return open_nifti(mask).shape == shape[:3]
    except RepbiasError:
        return False
