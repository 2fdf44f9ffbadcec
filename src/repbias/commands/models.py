"""Describe files of models that are already computed: activations, or RDMs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from repbias.base.order import naturally
from repbias.base.spec import RepbiasError, nearest
from repbias.commands.description import FILL_IN, STIMULI, Description, count, some
from repbias.commands.variables import variables_of
from repbias.io.untrusted import open_hdf5
from repbias.networks.layer_files import (
    LAYER_SUFFIXES,
    TABLES,
    Place,
    id_arrays,
    is_zarr,
    levels_in,
    opened,
    read_columns,
    shapes_in,
    suffix_of,
)
from repbias.networks.model_files import NAMES, file_names
from repbias.stimuli.images import IMAGE_SUFFIXES

#: Names that layers of networks have, and little else.
LAYER_NAME = re.compile(
    r"(^|[./_-])(conv|fc|layer|block|relu|(avg|max)?pool|features|classifier|logits|embed(ding)?|"
    r"encoder|decoder|attn|mlp|linear|stage|stem|dense|inception|hidden|transformer|visual|norm)s?"
    r"\d*([./_-]|$)",
    re.IGNORECASE,
)
#: So many files that are no layers are named.
MOST_UNREAD = 4
#: Larger arrays are not looked at to see whether they are RDMs.
MOST_ELEMENTS = 2**24
#: What axes may be, by their number; the order is that of PyTorch.
AXES = {
    2: ["stimulus", "unit"],
    3: ["stimulus", "token", "unit"],
    4: ["stimulus", "channel", "y", "x"],
}
ORDER = (
    "a guess from the order of the file, or else of the names: from input to output; the last one "
    "stands for the model"
)


def describe_model(path: Path, variable: str | None = None) -> Description:
    """Describe a file, or a folder, of a model that is already computed.

    Raises
    ------
    RepbiasError
        If it holds no array of numbers.
    """
    if path.is_dir() and not is_zarr(path):
        return _describe_folder(path, variable)
    suffix = suffix_of(path)
    if suffix not in LAYER_SUFFIXES and not is_zarr(path):
        raise RepbiasError(
            f"{path}: no file of a model; expected a folder, zarr or {', '.join(LAYER_SUFFIXES)}"
        )
    shapes = _shapes(path)
    found = Description([f"{name or path.name}: {_times(s)}" for name, s in shapes.items()])
    if variable is not None:
        if variable not in shapes:
            raise RepbiasError(
                f"{path}: no array of numbers {variable!r}; {nearest(variable, shapes)}"
            )
        shapes = {variable: shapes[variable]}
    if _of_stimuli(shapes):
        return _per_stimulus(found, path, {path.stem: shapes}, "arrays")
    ids = _ids_in(path)
    return _put(found, path, {name: _place(path, name) for name in shapes}, shapes, ids)


def looks_like_a_model(path: Path) -> bool:
    """Whether several arrays of a file are called as layers are, or it says so itself."""
    if suffix_of(path) == ".nc":
        return bool(levels_in(path))
    if suffix_of(path) not in (".npz", ".h5", ".hdf5", ".mat") and not is_zarr(path):
        return False
    shapes = {name: s for name, s in shapes_in(path).items() if len(s) > 1}
    named = [s for name, s in shapes.items() if LAYER_NAME.search(name)]
    return len(named) > 1 and any(named[0][0] in s for s in named[1:])


def describe_model_folder(path: Path) -> Description | None:
    """Describe a folder of activations, as extractors of the field write it; None of others."""
    if is_zarr(path):
        return describe_model(path) if looks_like_a_model(path) else None
    files = _files(path)
    if not files:
        return None
    listed = any((file.parent / NAMES).is_file() for file in files)
    named = [file for file in files if LAYER_NAME.search(file.stem)]
    of_images = suffix_of(files[0]) == ".npz" and _is_image(files[0].stem)  # Net2Brain's
    return _describe_folder(path, None) if listed or of_images or len(named) > 1 else None


def _files(path: Path) -> list[Path]:
    """Return the files of a folder that may be layers, in natural order."""
    suffixes = set(LAYER_SUFFIXES) - {".txt"}
    found = {str(f): f for f in path.rglob("*") if f.is_file() and suffix_of(f) in suffixes}
    texts = {str(f): f for f in path.rglob("features*.txt")}
    return [(found | texts)[name] for name in naturally(found | texts)]


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a file's arrays; a bare array has an empty name."""
    suffix = suffix_of(path)
    if suffix == ".nc" and (levels := levels_in(path)):
        with opened(Place(path, level=levels[0]), "") as array:
            n = array.shape[0]
        return {name: (n, _width(path, name)) for name in levels}
    if suffix in (".npy", ".txt", *TABLES):
        with opened(_place(path, ""), _id_column(path)) as array:
            return {"": tuple(array.shape)}
    found = shapes_in(path) or _shapes_in_structures(path)
    if not found:
        raise RepbiasError(f"{path}: contains no array of numbers")
    # These two keep the order in which their arrays were saved.
    return {
        name: found[name] for name in (found if suffix in (".npz", ".mat") else naturally(found))
    }


def _shapes_in_structures(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what is in structures of MATLAB, which have to be read for that."""
    variables = variables_of(path) if suffix_of(path) == ".mat" else {}
    return {name: x.shape for name, x in variables.items() if x.is_number}


def _place(path: Path, name: str) -> Place:
    """Return where an array stands, given its name in :func:`_shapes`."""
    if suffix_of(path) in TABLES:
        return Place(path, columns=("*",))
    if suffix_of(path) == ".nc" and name in levels_in(path):
        return Place(path, level=name)
    return Place(path, name or None)


def _width(path: Path, level: str) -> int:
    with opened(Place(path, level=level), "") as array:
        return int(array.shape[-1])


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _id_column(path: Path) -> str:
    """Return the setting that says which column of a table holds the ids, if one seems to."""
    if suffix_of(path) not in TABLES:
        return ""
    table = read_columns(path)
    names = [str(name) for name in table]
    texts = [n for n in names if not table[n].str.fullmatch(r"\s*[-+.\deE]*\s*|nan").all()]
    chosen = next((n for n in (*texts, "stimulus_id", "index") if n in names), "")
    return f"variable:{chosen}" if chosen else ""


def _ids_in(path: Path) -> dict[str, list[str]]:
    """Return what may be the ids of the stimuli in a file, by the setting that reads them."""
    if suffix_of(path) in TABLES:
        column = _id_column(path)
        values = read_columns(path)[column.removeprefix("variable:")] if column else []
        return {column: list(map(str, values))} if column else {}
    if suffix_of(path) in (".npy", ".txt"):
        return {}
    found = id_arrays(path)
    if not found and suffix_of(path) == ".mat":
        found = {name: x.texts for name, x in variables_of(path).items() if x.texts}
    return {f"variable:{name}": values for name, values in found.items()}


# One array for every stimulus


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _of_stimuli(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether arrays seem to be of stimuli: many of one shape, called as images or numbered."""
    if len(shapes) < 4 or len(set(shapes.values())) > 1:
        return False
    return all(map(_is_image, shapes)) or not any(map(LAYER_NAME.search, shapes))


def _per_stimulus(
    found: Description, path: Path, layers: Mapping[str, Mapping[str, tuple[int, ...]]], ids: str
) -> Description:
    """Write the entry of a model of which every stimulus is an array, or a file, of its own."""
    shapes = {layer: next(iter(arrays.values())) for layer, arrays in layers.items()}
    longest = max(shapes.values(), key=len)
    n_named = len([n for n in longest if n > 1]) or 1
    named = {1: ["unit"], 2: ["token", "unit"], 3: ["channel", "y", "x"]}.get(n_named)
    axes = [FILL_IN] * len(longest)
    if named:
        names = iter(named)
        axes = ["_" if n == 1 and longest != (1,) else next(names) for n in longest]
    _put_head(found, "array", path, ids, f"every stimulus is one of the {ids}: a guess")
    found.put("axes", axes, f"a guess from {_times(longest)}")
    found.put("layers", list(shapes), ORDER)
    return found


# An array for every layer


def _describe_folder(path: Path, variable: str | None) -> Description:
    shapes_of: dict[Path, dict[str, tuple[int, ...]]] = {}
    unread: list[str] = []
    for file in _files(path):
        try:
            shapes_of[file] = _shapes(file)
        except RepbiasError as error:
            unread.append(f"not read as a layer: {error}")
    files = [*shapes_of]
    if not files:
        raise RepbiasError(
            f"{path}: no file of a layer; expected {', '.join(LAYER_SUFFIXES)}"
            + "".join(f"; {line}" for line in unread[:1])
        )
    found = Description([f"{count(len(files), 'file')}: {some(str(f.name) for f in files)}"])
    found.lines += unread[:MOST_UNREAD]
    first = shapes_of[files[0]]
    found.lines += [f"  in the first: {n or 'an array'}, {_times(s)}" for n, s in first.items()]
    stems = [file.stem for file in files]
    if len(first) > 1 and all(map(_is_image, stems)):
        return _per_stimulus(found, path, {n: {"": s} for n, s in first.items()}, "files")
    are_models = len(files) > 1 and all(map(_has_layers, shapes_of.values()))
    if variable is None and are_models and _ids_in(files[0]):  # else each may be a stimulus
        return _of_first(found, files)
    names = file_names(path, files)
    if _of_stimuli(first):
        by_name = dict(zip(names, shapes_of.values(), strict=True))
        return _per_stimulus(found, path, by_name, "arrays")
    ids = _ids_in(files[0])
    # The reader takes a file's only array, whatever it is called.
    is_alone = all(len(of) == 1 for of in shapes_of.values()) and not ids
    chosen = variable or ("" if is_alone else _in_all(path, found, shapes_of))
    places = {
        name: _place(file, chosen or next(iter(shapes_of[file])))
        for name, file in zip(names, files, strict=True)
    }
    shapes = {}
    for name, place in places.items():
        with opened(place, _id_column(place.path)) as array:
            shapes[name] = tuple(array.shape)
    texts = {str(f): _lines(f) for f in sorted(path.rglob("*.txt")) if f not in files}
    if chosen:
        found.put("variable", chosen)
    return _put(found, path, places, shapes, ids | texts)


def _has_layers(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether several arrays of a file are called as layers are."""
    return sum(bool(LAYER_NAME.search(name)) for name, s in shapes.items() if len(s) > 1) > 1


def _of_first(found: Description, files: Sequence[Path]) -> Description:
    """Describe the first of several files, each of which has the layers of a model."""
    first = describe_model(files[0])
    names = some((file.name for file in files[1:]), 8)
    first.lines = [
        *found.lines[:1],
        "Each has layers of its own: a model each. The block is of the first; an entry for each of "
        f"the others differs in path, and perhaps in layers: {names}",
        *(f"  {line}" for line in first.lines),
    ]
    return first


def _in_all(
    path: Path, found: Description, shapes_of: Mapping[Path, Mapping[str, tuple[int, ...]]]
) -> str:
    """Return the array to read of files with several: the largest that all of them have."""
    first, *others = shapes_of.values()
    common = [name for name in first if all(name in shapes for shapes in others)]
    if not common:
        held = "; ".join(f"{file.name} has {some(of)}" for file, of in shapes_of.items())
        raise RepbiasError(f"{path}: no array is in all files: {held}; inspect them one by one")
    chosen = max(common, key=lambda name: prod(first[name]))
    if len(common) > 1:
        found.lines.append(f"The block reads {chosen!r} of all; --variable chooses another.")
    return chosen


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        return []


def _put(
    found: Description,
    path: Path,
    places: Mapping[str, Place],
    shapes: Mapping[str, tuple[int, ...]],
    ids: Mapping[str, list[str]],
) -> Description:
    """Write the entry of a model each of whose layers is an array with an axis of stimuli."""
    layers = {name: s for name, s in shapes.items() if f"variable:{name}" not in ids}
    square = {n: _rdm_axes(places[n], s) for n, s in layers.items()}
    if any(square.values()):
        layers = {n: s for n, s in layers.items() if square[n]}
        axes = next(filter(None, square.values()))
        lengths = {s[axes.index("stimulus")] for s in layers.values() if "stimulus" in axes}
        lengths |= {_stimuli_of(s[axes.index("pair")]) for s in layers.values() if "pair" in axes}
        return _put_entry(found, "rdm", path, layers, axes, ids, lengths)
    wide = {n: s for n, s in layers.items() if len(s) > 1} or layers
    longest = max(wide.values(), key=len)
    named = [(source, v) for source, v in ids.items() if len(v) in longest]
    n_stimuli = len(named[0][1]) if named else longest[0]
    axes = list(AXES.get(len(longest), [FILL_IN] * len(longest)))
    places_of = [i for i, n in enumerate(longest) if n == n_stimuli]
    if len(places_of) == 1 and axes[0] == "stimulus" and places_of[0]:
        axes.insert(places_of[0], axes.pop(0))
    return _put_entry(found, "array", path, wide, axes, ids, {n_stimuli})


def _rdm_axes(place: Place, shape: tuple[int, ...]) -> list[str] | None:
    """Return the axes of RDMs: square matrices, alone or stacked, or upper triangles."""
    if prod(shape) > MOST_ELEMENTS:
        return None
    if len(shape) == 1 and _stimuli_of(shape[0]) > 3:
        return ["pair"]
    if sum(n > 1 for n in shape) not in (2, 3):
        return None
    with opened(place, _id_column(place.path)) as array:
        values = np.asarray(array[:], float)
    for i, j in combinations(range(len(shape)), 2):
        if 3 < shape[i] == shape[j] and _is_rdm(np.moveaxis(values, (i, j), (-2, -1))):
            others = ["_" if n == 1 else "layer" for n in shape]
            return ["stimulus" if k in (i, j) else other for k, other in enumerate(others)]
    return None


def _is_rdm(values: np.ndarray) -> bool:
    """Whether matrices (..., n, n) are symmetric and zero on the diagonal, but not all zero."""
    diagonal = np.abs(np.diagonal(values, axis1=-2, axis2=-1)).max()
    asymmetry = np.abs(values - values.swapaxes(-2, -1)).max()
    # The tolerance of the reader.
    return bool(max(diagonal, asymmetry) <= 1e-4 * np.abs(values).max() > 0)


def _stimuli_of(n_pairs: int) -> int:
    """Return the number of stimuli that have so many pairs; 0 if none has."""
    n = round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    return n if n * (n - 1) // 2 == n_pairs else 0


def _put_entry(
    found: Description,
    kind: str,
    path: Path,
    layers: Mapping[str, tuple[int, ...]],
    axes: list[str],
    ids: Mapping[str, list[str]],
    lengths: set[int],
) -> Description:
    fitting = {source: values for source, values in ids.items() if len(values) in lengths}
    source = next(iter(fitting), FILL_IN)
    others = "".join(f"; or {name}" for name in list(fitting)[1:3])
    comment = (
        some(fitting[source], 3) + others
        if fitting
        else (
            f"the ids of {some(sorted(lengths))} stimuli: a text file with one a line, a list, "
            "variable: and the name of an array, or sorted"
        )
    )
    variable = found.entry.pop("variable", None)
    _put_head(found, kind, path, source, comment)
    if variable is not None:
        found.put("variable", variable)
    stacked = "layer" in axes
    if stacked and next(iter(layers)):
        found.put("variable", next(iter(layers)))
    shape = next(s for s in layers.values() if len(s) == len(axes))
    found.put("axes", axes, f"a guess from {_times(shape)}" if kind == "array" else _times(shape))
    if stacked:
        n = shape[axes.index("layer")]
        named = next(
            (name for name, values in ids.items() if len(values) == n != max(lengths)), None
        )
        if named:
            found.put("layers", named, some(ids[named], 3))
        else:
            found.put("layers", FILL_IN, f"names of the {n} RDMs, or variable: and their array")
    elif any(layers):
        found.put("layers", [name.replace("/", ".") for name in layers], ORDER)
    if kind == "rdm":
        found.put("distance", "unknown", "correlation, euclidean, ...: the audit needs to know")
    return found


def _put_head(found: Description, kind: str, path: Path, ids: str, comment: str) -> None:
    found.section = "networks"
    found.put("kind", kind)
    found.put("path", str(path))
    found.put("stimuli", FILL_IN, STIMULI)
    found.put("stimulus_ids", ids, comment)


def from_rsatoolbox(path: Path) -> Description | None:
    """Describe RDMs that rsatoolbox saved; None of other files."""
    if suffix_of(path) not in (".h5", ".hdf5"):
        return None
    with open_hdf5(path) as file:
        if "rsatoolbox_version" not in file.attrs or "dissimilarities" not in file:
            return None
        measure: Any = file.attrs.get("dissimilarity_measure", "unknown")
        patterns = list(file.get("pattern_descriptors", {}))
        rdms = list(file.get("rdm_descriptors", {}))
        shape = file["dissimilarities"].shape
    found = Description([f"{count(shape[0], 'RDM')} of {shape[1]} pairs, of rsatoolbox"])
    chosen = [name for name in patterns if name != "index"]
    ids = f"variable:pattern_descriptors/{chosen[0]}" if len(chosen) == 1 else FILL_IN
    _put_head(found, "rdm", path, ids, f"variable:pattern_descriptors/ and {some(patterns, 8)}")
    found.put("variable", "dissimilarities")
    found.put("axes", ["layer", "pair"])
    found.put("layers", FILL_IN, f"their names, or variable:rdm_descriptors/ and {some(rdms, 8)}")
    found.put("distance", str(measure))
    return found
