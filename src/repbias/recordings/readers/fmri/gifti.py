"""GIFTI files: a value for every vertex of the surface of a hemisphere."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.untrusted import readable, refuse_size
from repbias.recordings.readers.files import import_optional
from repbias.recordings.readers.fmri.images import LONGEST_TR, SHORTEST_TR
from repbias.recordings.readers.fmri.regions import chosen, region_labels, region_names
from repbias.recordings.readers.fmri.scans import Scan, kind_of
from repbias.recordings.readers.fmri.settings import FmriRecording
from repbias.recordings.readers.fmri.space import Volumes

#: Arrays with the shape of a surface, not values on it.
GEOMETRY = ("NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE")
#: Bytes of each type of data.
ITEM_BYTES = {"NIFTI_TYPE_UINT8": 1, "NIFTI_TYPE_INT32": 4, "NIFTI_TYPE_FLOAT32": 4}


@dataclass
class Declared:
    """What a file says about one of its arrays.

    Attributes
    ----------
    shape : its shape
    intent : what it holds, as NIfTI calls it
    n_bytes : its size
    metadata : its metadata
    """

    shape: tuple[int, ...]
    intent: str
    n_bytes: int
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Contents:
    """What a GIFTI file holds, without its data."""

    metadata: dict[str, str] = field(default_factory=dict)
    arrays: list[Declared] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)

    @property
    def structure(self) -> str:
        """The structure of the brain, such as CortexLeft; empty if it is not stated."""
        stated = [self.metadata, *(array.metadata for array in self.arrays)]
        found = (metadata.get("AnatomicalStructurePrimary", "") for metadata in stated)
        return next(filter(None, found), "")


def scan_gifti(path: Path) -> Contents:
    """Return what a GIFTI file holds; its data are checked, and not kept.

    Raises
    ------
    RepbiasError
        If it is no GIFTI file, its data are in another file, or longer than it declares.
    """
    scanner = _Scanner(path)
    with readable(path, "GIFTI"), path.open("rb") as file:
        scanner.parser.ParseFile(file)
    return scanner.contents


class _Scanner:
    """Parses a GIFTI file; nibabel would read other files and decompress without a limit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents = Contents()
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._refuse_entity
        self._open: list[str] = []
        self._texts: list[str] = []
        self._name = ""
        self._key = 0
        self._data: _Inflated | None = None

    def _start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if not self._open and tag != "GIFTI":
            raise RepbiasError(f"{self.path}: not a GIFTI file, but XML that begins with {tag!r}")
        self._open.append(tag)
        self._texts = []
        if tag == "DataArray":
            self._start_array(attributes)
        elif tag == "Label":
            self._key = int(attributes.get("Key", attributes.get("Index", 0)))

    def _start_array(self, attributes: Mapping[str, str]) -> None:
        encoding = attributes.get("Encoding", "")
        if encoding == "ExternalFileBinary" or attributes.get("ExternalFileName"):
            raise RepbiasError(f"{self.path}: keeps its data in another file")
        n_axes = int(attributes.get("Dimensionality", 0))
        if not 1 <= n_axes <= 6:
            raise RepbiasError(f"{self.path}: an array with {n_axes} axes")
        shape = tuple(int(attributes[f"Dim{i}"]) for i in range(n_axes))
        if min(shape) < 1:
            raise RepbiasError(f"{self.path}: not an array, its shape is {shape}")
        n_bytes = prod(shape) * ITEM_BYTES.get(attributes.get("DataType", ""), 8)
        self.contents.arrays.append(Declared(shape, attributes.get("Intent", ""), n_bytes))
        total = sum(array.n_bytes for array in self.contents.arrays)
        refuse_size(self.path, "the data", (total,))
        self._data = _Inflated() if encoding == "GZipBase64Binary" else None

    def _text(self, text: str) -> None:
        if self._open[-1] != "Data":
            self._texts.append(text)
        elif self._data is not None:
            limit = self.contents.arrays[-1].n_bytes
            if self._data.add(text, limit) > limit:
                raise RepbiasError(f"{self.path}: its data are longer than it declares")

    def _end(self, tag: str) -> None:
        self._open.pop()
        text = "".join(self._texts).strip()
        if tag == "Name":
            self._name = text
        elif tag == "Value":
            in_array = "DataArray" in self._open
            metadata = self.contents.arrays[-1] if in_array else self.contents
            metadata.metadata[self._name] = text
        elif tag == "Label":
            self.contents.labels[self._key] = text

    def _refuse_entity(self, name: str, *_: object) -> None:
        raise RepbiasError(f"{self.path}: declares an XML entity {name!r}")


class _Inflated:
    """Counts the bytes of compressed data in base64 that come in pieces."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj()
        self._rest = ""
        self._n_bytes = 0

    def add(self, text: str, limit: int) -> int:
        """Return the number of bytes so far; no more than a megabyte beyond a limit is inflated."""
        text = self._rest + "".join(text.split())
        whole = len(text) - len(text) % 4
        self._rest = text[whole:]
        data = base64.b64decode(text[:whole])
        while data and self._n_bytes <= limit:
            self._n_bytes += len(self._inflate.decompress(data, 2**20))
            data = self._inflate.unconsumed_tail
        return self._n_bytes


class SurfaceSpace:
    """The vertices of a hemisphere that are inside the mask."""

    def __init__(self, spec: FmriRecording, scan: Scan) -> None:
        import pandas as pd

        self.path = scan.image
        self.contents = _scan_values(scan.image)
        self.n_vertices = self.contents.arrays[0].shape[0]
        _refuse_other_hemisphere(scan, self.contents)
        mask, labels = (
            self._map(scan.paths[name]) if name in scan.paths else None
            for name in ("mask", "regions")
        )
        where = scan.paths.get("mask", scan.paths.get("regions"))
        if labels is not None:
            labels = region_labels(scan.paths["regions"], labels)
        self.inside = chosen((self.n_vertices,), mask, labels, where)
        vertices = np.flatnonzero(self.inside)
        width = len(str(self.n_vertices - 1))
        names = [f"{vertex:0{width}d}" for vertex in vertices.tolist()]
        self.units = pd.DataFrame({"unit": names, "vertex": vertices, "region": spec.region})
        if labels is not None:
            known = scan_gifti(scan.paths["regions"]).labels
            named = region_names(spec, scan.paths["regions"], labels[self.inside], known)
            self.units["region"] = named

    def open(self, path: Path) -> Volumes:
        """Open a file, and refuse it if its surface is another."""
        contents = _scan_values(path)
        self._require_same(path, contents)
        names = [a.metadata.get("Name", "") for a in contents.arrays for _ in range(_n_columns(a))]
        return Volumes(
            path,
            len(names),
            lambda out: self._read(path, out),
            names=names,
            tr=_seconds_per_volume(contents.metadata),
        )

    def _read(self, path: Path, out: np.ndarray) -> None:
        row = 0
        for values in _load(path):
            columns = values.reshape(self.n_vertices, -1)[self.inside]
            out[row : row + columns.shape[1]] = columns.T
            row += columns.shape[1]

    def _map(self, path: Path) -> np.ndarray:
        """Return the values (vertex,) of a mask or of labels."""
        if kind_of(path) != "GIFTI":
            raise RepbiasError(f"{path}: expected a GIFTI file (.gii), like {self.path}")
        contents = _scan_values(path)
        self._require_same(path, contents)
        if len(contents.arrays) > 1 or _n_columns(contents.arrays[0]) > 1:
            raise RepbiasError(f"{path}: expected one array, found {len(contents.arrays)}")
        return next(iter(_load(path))).reshape(self.n_vertices)

    def _require_same(self, path: Path, contents: Contents) -> None:
        for array in contents.arrays:
            if array.shape[0] != self.n_vertices:
                raise RepbiasError(
                    f"{path}: {array.shape[0]} vertices, but {self.n_vertices} in {self.path}"
                )
        a, b = contents.structure, self.contents.structure
        if a and b and a != b:
            raise RepbiasError(f"{path}: is of {a}, but {self.path} of {b}")


def _scan_values(path: Path) -> Contents:
    """Return what a file of values on a surface holds."""
    contents = scan_gifti(path)
    geometry = [array.intent for array in contents.arrays if array.intent in GEOMETRY]
    if geometry or not contents.arrays:
        found = "the shape of a surface" if geometry else "nothing"
        raise RepbiasError(f"{path}: expected values of vertices, found {found}")
    for array in contents.arrays:
        if len(array.shape) > 2:
            raise RepbiasError(
                f"{path}: expected (vertex,) or (vertex, volume), found {array.shape}"
            )
    return contents


def _load(path: Path) -> list[np.ndarray]:
    """Return the arrays of a file that was scanned."""
    nibabel = import_optional("nibabel", "GIFTI", "nifti")
    with readable(path, "GIFTI"):
        image: Any = nibabel.load(path)
        return [np.asarray(array.data, np.float64) for array in image.darrays]


def _n_columns(array: Declared) -> int:
    return prod(array.shape[1:])


def _seconds_per_volume(metadata: Mapping[str, str]) -> float | None:
    """Return the time step, which is in milliseconds."""
    try:
        tr = float(metadata.get("TimeStep", "")) / 1000
    except ValueError:
        return None
    return tr if SHORTEST_TR <= tr <= LONGEST_TR else None


def _refuse_other_hemisphere(scan: Scan, contents: Contents) -> None:
    """Refuse a file of the left hemisphere whose name says right, and the reverse."""
    hemi, structure = scan.where.get("hemi", "").lower(), contents.structure
    sides = {"CortexLeft": ("l", "lh", "left"), "CortexRight": ("r", "rh", "right")}
    wrong = [side for side, names in sides.items() if hemi in names and side != structure]
    if structure in sides and wrong:
        raise RepbiasError(f"{scan.image}: is of {structure}, but called hemisphere {hemi!r}")
