"""Files of models that are already computed: which of their arrays are layers, and reading them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from repbias.base.identities import join, listed, refuse_duplicate_ids
from repbias.base.order import naturally
from repbias.base.spec import InputPath, RepbiasError, nearest, shown
from repbias.io.untrusted import readable
from repbias.networks.features import columns_of
from repbias.networks.layer_files import (
    LAYER,
    LAYER_SUFFIXES,
    TABLES,
    Place,
    is_zarr,
    levels_in,
    names_in,
    shapes_in,
    suffix_of,
)
from repbias.recordings.readers.common import StimulusAxis, renamed, resolve_ids

if TYPE_CHECKING:
    from typing import Self

logger = logging.getLogger(__name__)

#: The file in which thingsvision lists images, in the order of its features.
NAMES = "file_names.txt"


class ModelFile(StimulusAxis):
    """Settings of every model that is already computed."""

    other_ids: ClassVar[tuple[str, ...]] = ("files", "arrays")

    path: InputPath
    """A file (.npy, .npz, HDF5, MATLAB, netCDF, .csv, .tsv, .txt) or a zarr store, whose arrays are
    layers; or a folder with a file for each layer, or for each stimulus."""
    variable: str | None = None
    """Name of the array, if it is one in which layers are stacked, or if every file of a folder
    holds several."""
    stimulus_ids: str | list[str]
    """Ids along the stimulus axis: a list, a text file with one id per line, `variable:` and the
    name of an array (a coordinate, a column) in the same file, or, if the axis follows the sorted
    ids of the whole stimulus set, `sorted`, `sorted as text` or `sorted naturally`. `files` if
    every stimulus is a file of the folder, `arrays` if it is an array of the file. Names of image
    files, with folders and endings, are ids as well. All stimuli of the set must be there; others
    are left out."""
    rename: InputPath | None = None
    """CSV file with two columns and no header: the id of a stimulus in the files, and that in the
    stimulus set. Ids that are not listed stay as they are."""
    if TYPE_CHECKING:
        axes: list[Any]
        layers: Any

    def input_files(self) -> list[str]:
        """Return all files that are read; changing one reruns what uses them."""
        if not self.path.is_dir():
            return super().input_files()
        return [*map(str, data_files(self, every=is_zarr(self.path))), *self.id_files()]

    def id_files(self) -> list[str]:
        """Return the text file of the ids, and that of their new names, if there are any."""
        return [*super().id_files(), *([str(self.rename)] if self.rename else [])]

    def least_axes(self) -> int:
        """Return the number of axes from which on an array can be a layer."""
        return 1 if self.stimulus_ids in self.other_ids else 2

    def _with_layers(self) -> Self:
        """Fill in the names of the layers, which a later change of the files cannot change."""
        self.__dict__["layers"] = _named(self)
        return self


def data_files(spec: ModelFile, every: bool = False) -> list[Path]:
    """Return the files of a folder that hold layers (or all of them), in natural order.

    Raises
    ------
    RepbiasError
        If there is none.
    """
    ids = {Path(file).resolve() for file in spec.id_files()}
    files = [
        file
        for file in spec.path.rglob("*")
        if file.is_file()
        and (every or suffix_of(file) in LAYER_SUFFIXES)
        and (every or not file.name.startswith("."))
        and file.name != NAMES
        and file.resolve() not in ids
    ]
    if not every and any(suffix_of(file) != ".txt" for file in files):
        files = [file for file in files if suffix_of(file) != ".txt"]  # a list of names, a README
    if not files:
        raise RepbiasError(
            f"{spec.path}: no file of a layer in this folder; expected {', '.join(LAYER_SUFFIXES)}"
        )
    by_name = {str(file): file for file in files}
    return [by_name[name] for name in naturally(by_name)]


# Which arrays are layers


def _named(spec: ModelFile) -> list[str] | dict[str, list[str]]:
    """Return the names of the layers, as a list without patterns, or as given for a table."""
    given = spec.layers
    if LAYER in spec.axes:
        if isinstance(given, str) and given.startswith("variable:"):
            given = names_in(spec.path, given.removeprefix("variable:")).tolist()
        if not isinstance(given, list):
            raise RepbiasError(
                "layers: name the entries of the axis 'layer', as a list or variable:NAME"
            )
        return _different(given)
    if isinstance(given, str):
        raise RepbiasError(f"layers: {given!r} needs an axis called layer; expected a list")
    if isinstance(given, dict):
        if suffix_of(spec.path) not in TABLES:
            raise RepbiasError(
                f"layers: a name and its columns are for tables ({', '.join(TABLES)}), found "
                f"{spec.path.name}; expected a list of names"
            )
        return given
    with readable(spec.path, "layers"):
        found = list(_candidates(spec))
    if given is None:
        return found
    where = f"layers: {spec.path} has no layer"
    return _different([name for entry in given for name in columns_of(entry, found, where)])


def _different(names: list[str]) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise RepbiasError(f"layers: {name!r} occurs twice")
        if not name.strip("."):
            raise RepbiasError(f"layers: {name!r} cannot name a layer")
    return names


def places(spec: ModelFile) -> dict[str, Place]:
    """Return where every layer stands, in the order of the layers."""
    layers = spec.layers
    if isinstance(layers, dict):
        return {name: Place(spec.path, columns=tuple(c)) for name, c in layers.items()}
    assert isinstance(layers, list)  # since it was validated
    if LAYER in spec.axes:
        return {name: Place(spec.path, spec.variable, i) for i, name in enumerate(layers)}
    with readable(spec.path, "layers"):
        found = _candidates(spec)
    for name in layers:
        if name not in found:
            raise RepbiasError(f"{spec.path}: no layer {name!r}; {nearest(name, found)}")
    return {name: found[name] for name in layers}


def _candidates(spec: ModelFile) -> dict[str, Place]:
    """Return all that may be a layer, in natural order."""
    path, suffix = spec.path, suffix_of(spec.path)
    if path.is_dir() and not is_zarr(path):
        files = data_files(spec)
        if spec.stimulus_ids == "files":
            return _arrays(spec, files[0])
        return dict(zip(file_names(path, files), (_place(spec, f) for f in files), strict=True))
    if spec.variable is not None or spec.stimulus_ids == "arrays":
        return {(spec.variable or path.stem).replace("/", "."): _place(spec, path)}
    if suffix in (".npy", ".txt", *TABLES):
        return {path.stem: _place(spec, path)}
    return _arrays(spec, path)


def _place(spec: ModelFile, path: Path) -> Place:
    return Place(path, spec.variable, columns=("*",) if suffix_of(path) in TABLES else ())


def file_names(folder: Path, files: Sequence[Path]) -> list[str]:
    """Name files by their paths; of files that are all called the same, by their folders."""
    names = [file.relative_to(folder).with_suffix("") for file in files]
    if len({name.name for name in names}) == 1 and len(names) > 1:
        names = [name.parent for name in names]
    texts = [name.as_posix().replace("/", ".") for name in names]
    return _different(texts)


def _arrays(spec: ModelFile, path: Path) -> dict[str, Place]:
    """Return the arrays of a file that may be layers; slashes in their names become dots."""
    if suffix_of(path) == ".nc" and (levels := levels_in(path)):
        return {name: Place(path, level=name) for name in levels}
    shapes = {n: s for n, s in shapes_in(path).items() if len(s) >= spec.least_axes()}
    ids = str(spec.stimulus_ids).removeprefix("variable:")
    names = naturally(name for name in shapes if name != ids)
    if not names:
        raise RepbiasError(
            f"{path}: no array of numbers with {spec.least_axes()} axes or more; found "
            f"{', '.join(map(str, shapes_in(path))) or 'none at all'}"
        )
    _different([name.replace("/", ".") for name in names])
    return {name.replace("/", "."): Place(path, name) for name in names}


# Joining with the stimuli


def ids_along(spec: ModelFile, place: Place, n: int, known: np.ndarray) -> np.ndarray:
    """Return the ids along a stimulus axis of length n, as :func:`resolve_ids` does."""
    ids = spec.stimulus_ids
    if isinstance(ids, str) and ids.startswith("variable:"):
        named = names_in(place.path, ids.removeprefix("variable:")).tolist()
        spec = spec.model_copy(update={"stimulus_ids": named, "path": place.path})
    return resolve_ids(spec, n, known)


def rows_of(spec: ModelFile, ids: Sequence[str] | np.ndarray, known: Sequence[str]) -> np.ndarray:
    """Return the position in a file of every stimulus of the set, (stimulus,) int.

    Ids are joined as those of recordings are (:mod:`repbias.base.identities`). Stimuli of the file
    that are not in the set are left out.

    Raises
    ------
    RepbiasError
        If a stimulus of the set is missing, an id occurs twice, as those of `cat.npz` and `cat.mat`
        do, or could be of several.
    """
    return _rows(spec.path, spec.stimuli, tuple(map(str, ids)), tuple(known), spec.rename)


@lru_cache(maxsize=16)  # of all layers the same is asked, and said once
def _rows(
    path: Path,
    stimuli: str,
    ids: tuple[str, ...],
    known: tuple[str, ...],
    rename: Path | None,
) -> np.ndarray:
    if rename is not None:
        new, said = renamed(path, rename, np.array(ids))
        ids = tuple(new.tolist())
        for sentence in said:
            logger.info("%s: %s", path, sentence)
    refuse_duplicate_ids(np.array(ids), str(path))
    found = join(ids, known)
    found.refuse_unclear(str(path), repr(stimuli))
    row_of = {name: row for row, name in enumerate(ids)}
    position = {stimulus: row_of[name] for name, stimulus in found.pairs.items()}
    missing = [name for name in known if name not in position]
    if missing:
        raise RepbiasError(
            f"{path}: {len(missing)} of {len(known)} stimuli of {stimuli!r} are missing: "
            f"{listed(missing, ids)} (the file has ids like {shown(ids[0])})"
            + ("; 'rename' gives them the ids of the set" if rename is None else "")
        )
    if found.said:
        logger.info("%s: matched %s", path, found.said)
    if found.absent:
        logger.warning("%s: %s; they are left out", path, found.missing(repr(stimuli)))
    rows = np.array([position[name] for name in known])
    rows.flags.writeable = False
    return rows
