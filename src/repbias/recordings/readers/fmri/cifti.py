"""CIFTI files: a value for every grayordinate (vertex or voxel of grey matter) or parcel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.untrusted import readable, refuse_size
from repbias.recordings.readers.files import import_optional, warn_of_version
from repbias.recordings.readers.fmri.images import (
    LONGEST_TR,
    SHORTEST_TR,
    Grid,
    require_same_grid,
)
from repbias.recordings.readers.fmri.regions import chosen, region_labels, region_names
from repbias.recordings.readers.fmri.scans import Scan
from repbias.recordings.readers.fmri.settings import FmriRecording
from repbias.recordings.readers.fmri.space import Volumes, parts

if TYPE_CHECKING:
    import pandas as pd

#: Columns that together identify a grayordinate.
PLACE = ["structure", "vertex", "x", "y", "z"]


def open_cifti(path: Path) -> tuple[Any, Any, Any]:
    """Open a CIFTI file, whose data are read lazily.

    Returns
    -------
    tuple
        nibabel's image, and its axes of maps and of grayordinates.

    Raises
    ------
    RepbiasError
        If nibabel is missing, or the file is damaged or has other axes.
    """
    nibabel = import_optional("nibabel", "CIFTI", "nifti")
    with readable(path, "CIFTI"):
        image = nibabel.load(path)
        if not isinstance(image, nibabel.Cifti2Image):
            raise RepbiasError(f"{path}: not a CIFTI file, but {type(image).__name__}")
        if len(image.shape) != 2 or min(image.shape) < 1:
            raise RepbiasError(f"{path}: expected maps and grayordinates, found {image.shape}")
        refuse_size(path, "a map", image.shape[1:], 8)
        maps, places = (image.header.get_axis(i) for i in range(2))
        if (len(maps), len(places)) != image.shape:
            raise RepbiasError(
                f"{path}: damaged: its header has {len(maps)} maps of {len(places)} "
                f"grayordinates, its data {image.shape}"
            )
        if not isinstance(places, nibabel.cifti2.BrainModelAxis | nibabel.cifti2.ParcelsAxis):
            raise RepbiasError(
                f"{path}: expected grayordinates or parcels along the second axis, found "
                f"{type(places).__name__}"
            )
    return image, maps, places


class GrayordinateSpace:
    """The grayordinates of a subject that are inside the mask."""

    def __init__(self, spec: FmriRecording, scan: Scan) -> None:
        self.path = scan.image
        _, _, self.places = open_cifti(scan.image)
        table = grayordinates(self.places)
        mask, labels = None, None
        known: dict[int, str] = {}
        if "mask" in scan.paths:
            mask, _ = self._map(scan.paths["mask"], table)
        if "regions" in scan.paths:
            values, known = self._map(scan.paths["regions"], table)
            labels = region_labels(scan.paths["regions"], values)
        where = scan.paths.get("mask", scan.paths.get("regions"))
        self.inside = chosen((len(table),), mask, labels, where)
        self.units = table[self.inside].reset_index(drop=True)
        self.units["region"] = spec.region
        if labels is not None:
            named = region_names(spec, scan.paths["regions"], labels[self.inside], known)
            self.units["region"] = named

    def open(self, path: Path) -> Volumes:
        """Open a file, and refuse it if its grayordinates are others."""
        image, maps, places = open_cifti(path)
        if image.header.version not in ("2", "2.0"):
            warn_of_version(path, "CIFTI", image.header.version, "2")
        if places != self.places:
            raise RepbiasError(f"{path}: its grayordinates are not those of {self.path}")
        names = [str(name) for name in getattr(maps, "name", [])]
        return Volumes(
            path, image.shape[0], lambda out: self._read(path, out), names, _header_tr(maps)
        )

    def _read(self, path: Path, out: np.ndarray) -> None:
        image, _, _ = open_cifti(path)
        with readable(path, "CIFTI"):
            for some in parts(len(out), 8 * len(self.inside)):
                out[some] = np.asarray(image.dataobj[some, :])[:, self.inside]

    def _map(self, path: Path, table: pd.DataFrame) -> tuple[np.ndarray, dict[int, str]]:
        """Return the value of every grayordinate in a map, NaN where it has none, and its names."""
        import pandas as pd

        image, maps, places = open_cifti(path)
        if len(maps) > 1:
            raise RepbiasError(f"{path}: expected one map, found {len(maps)}")
        if type(places) is not type(self.places):
            raise RepbiasError(
                f"{path}: its second axis is a {type(places).__name__}, but that of {self.path} a "
                f"{type(self.places).__name__}"
            )
        for structure, n in places.nvertices.items():
            if self.places.nvertices.get(structure, n) != n:
                raise RepbiasError(
                    f"{path}: {n} vertices of {structure}, but {self.places.nvertices[structure]} "
                    f"in {self.path}; resample one to the other"
                )
        if _has_voxels(places) and _has_voxels(self.places):
            own = Grid(self.path, self.places.volume_shape, self.places.affine)
            other = Grid(path, places.volume_shape, places.affine)
            require_same_grid(other, own, "resample one to the other")
        with readable(path, "CIFTI"):
            values = np.append(np.asarray(image.dataobj[0, :], np.float64), np.nan)
        there = pd.MultiIndex.from_frame(grayordinates(places)[PLACE])
        rows = there.get_indexer(pd.MultiIndex.from_frame(table[PLACE]))
        labels = maps.label[0] if hasattr(maps, "label") else {}
        # Row -1 is the NaN at the end.
        return values[rows], {int(key): str(name) for key, (name, _) in labels.items()}


def grayordinates(places: Any) -> pd.DataFrame:
    """Return the table of grayordinates; "vertex", or "x", "y" and "z" (of a voxel), are -1.

    All are -1 of parcels, each of which is a structure.
    """
    import pandas as pd

    if not hasattr(places, "vertex"):
        names = places.name.astype(str)
        table = pd.DataFrame({"structure": names, "unit": names})
        return table.assign(**dict.fromkeys(("vertex", "x", "y", "z"), -1))
    table = pd.DataFrame(places.voxel, columns=["x", "y", "z"]).assign(vertex=places.vertex)
    names = pd.Series(places.name.astype(str)).str.removeprefix("CIFTI_STRUCTURE_").str.lower()
    table["structure"] = names
    width = max(len(str(int(table["vertex"].max()))), 1)
    digits = len(str(int(table[["x", "y", "z"]].to_numpy().max())))
    is_vertex = (table["vertex"] >= 0).to_numpy()
    table["unit"] = [
        f"{name}-{vertex:0{width}d}"
        if on_surface
        else f"{name}-{x:0{digits}d}-{y:0{digits}d}-{z:0{digits}d}"
        for name, vertex, x, y, z, on_surface in zip(
            names, table["vertex"], table["x"], table["y"], table["z"], is_vertex, strict=True
        )
    ]
    return table


def _has_voxels(places: Any) -> bool:
    return hasattr(places, "volume_mask") and bool(places.volume_mask.any())


def _header_tr(maps: Any) -> float | None:
    """Return the seconds between two volumes of a series."""
    tr = float(maps.step) if getattr(maps, "unit", "") == "SECOND" else 0.0
    return tr if SHORTEST_TR <= tr <= LONGEST_TR else None
