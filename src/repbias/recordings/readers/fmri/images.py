"""NIfTI images: the values of voxels inside a mask, their places and their regions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.text_tables import SEPARATORS, find_column, numbers, read_table, texts
from repbias.io.untrusted import readable, refuse_size
from repbias.recordings.readers.common import read_lines
from repbias.recordings.readers.files import import_optional
from repbias.recordings.readers.fmri.scans import Scan
from repbias.recordings.readers.fmri.settings import FmriRecording

if TYPE_CHECKING:
    import pandas as pd

#: The units of time in NIfTI headers, in seconds.
TIME_UNITS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
#: Plausible seconds between two volumes; beyond, the header has the wrong unit.
SHORTEST_TR, LONGEST_TR = 0.01, 60.0
#: Affines that differ by less than this, in mm, describe the same grid.
AFFINE_TOLERANCE = 1e-3


class Grid(NamedTuple):
    """The voxel grid of an image, in space."""

    path: Path
    shape: tuple[int, ...]
    affine: np.ndarray

    @classmethod
    def of(cls, path: Path, image: Any) -> Grid:
        """Return the grid of an opened image."""
        return cls(path, image.shape[:3], image.affine)


def open_image(path: Path, n_axes: int = 4) -> Any:
    """Open an image that has a number of axes, but for further ones of length 1."""
    image = open_nifti(path)
    with readable(path, "NIfTI"):
        extra = [n for n in image.shape[n_axes:] if n != 1]
        if len(image.shape) < n_axes or extra:
            raise RepbiasError(f"{path}: expected {n_axes} axes, found shape {image.shape}")
    return image


def open_nifti(path: Path) -> Any:
    """Open an image that fits into memory, whose data are read lazily.

    Raises
    ------
    RepbiasError
        If nibabel is missing, or the header is damaged or declares too large an image.
    """
    nibabel = import_optional("nibabel", "NIfTI", "nifti")
    with readable(path, "NIfTI"):
        image = nibabel.load(path)
        if not isinstance(image, nibabel.spatialimages.SpatialImage):
            raise RepbiasError(f"{path}: not a volumetric image, but {type(image).__name__}")
        if min(image.shape, default=0) < 1:
            raise RepbiasError(f"{path}: not an image, its shape is {image.shape}")
        # In a compressed image, everything before the data is read too.
        offset = image.dataobj.offset if hasattr(image.dataobj, "offset") else 0
        if offset < 0:
            raise RepbiasError(f"{path}: its data begin at byte {offset}")
        refuse_size(path, "the content before the data", (offset,))
        refuse_size(path, "the image", image.shape, image.get_data_dtype().itemsize)
    return image


def masked(path: Path, image: Any, inside: np.ndarray) -> np.ndarray:
    """Return the values (volume, voxel) inside a mask, voxels in the order of their indices."""
    with readable(path, "NIfTI"):
        data = np.asarray(image.dataobj)
    if data.dtype.kind not in "fiu":
        raise RepbiasError(f"{path}: expected numbers, found {data.dtype}")
    return data.reshape(image.shape[:4])[inside].T.astype(np.float64)


def header_tr(image: Any) -> float | None:
    """Return the seconds between two volumes, if the header has plausible ones."""
    unit = TIME_UNITS.get(image.header.get_xyzt_units()[1])
    # Headers store single precision.
    tr = round(float(image.header.get_zooms()[3]) * unit, 6) if unit else None
    return tr if tr and SHORTEST_TR <= tr <= LONGEST_TR else None


def voxels(spec: FmriRecording, scans: list[Scan], grid: Grid) -> tuple[np.ndarray, pd.DataFrame]:
    """Return which voxels of a subject are read, (x, y, z) bool, and the table of their units."""
    import pandas as pd

    scan = scans[0]

    def on_grid(path: Path) -> np.ndarray:
        image = open_image(path, 3)
        require_same_grid(Grid.of(path, image), grid)
        with readable(path, "NIfTI"):
            return np.nan_to_num(np.asarray(image.dataobj).reshape(grid.shape))

    inside = np.ones(grid.shape, bool)
    if "regions" in scan.paths:
        labels = on_grid(scan.paths["regions"])
        if (labels != np.round(labels)).any():
            raise RepbiasError(f"{scan.paths['regions']}: labels must be integers")
        inside = labels != 0
    masks = dict.fromkeys(scan.paths["mask"] for scan in scans if "mask" in scan.paths)
    if masks:
        inside = np.all([on_grid(path) != 0 for path in masks], axis=0)
    if not inside.any():
        named = " and ".join(map(str, masks)) or scan.paths["regions"]
        raise RepbiasError(f"{named}: {'share' if len(masks) > 1 else 'holds'} no voxel")
    indices = np.argwhere(inside)
    widths = [len(str(n - 1)) for n in grid.shape]
    units = pd.DataFrame(indices, columns=["x", "y", "z"])
    units["unit"] = [
        "-".join(f"{i:0{width}d}" for i, width in zip(voxel, widths, strict=True))
        for voxel in indices.tolist()
    ]
    units["region"] = spec.region
    if "regions" in scan.paths:
        units["region"] = _region_names(spec, scan.paths["regions"], labels[inside].astype(int))
    return inside, units


def require_same_grid(grid: Grid, expected: Grid) -> None:
    """Refuse an image whose voxels are not those of another."""
    remedy = "resample labels with nilearn.image.resample_to_img(..., interpolation='nearest')"
    if grid.shape != expected.shape:
        raise RepbiasError(
            f"{grid.path}: {grid.shape} voxels, but {expected.shape} in {expected.path}; {remedy}"
        )
    if not np.allclose(grid.affine, expected.affine, rtol=0, atol=AFFINE_TOLERANCE):
        raise RepbiasError(
            f"{grid.path}: its affine {grid.affine[:3].tolist()} is not that of {expected.path}, "
            f"{expected.affine[:3].tolist()}; {remedy}"
        )


def _region_names(spec: FmriRecording, path: Path, labels: np.ndarray) -> np.ndarray:
    known = {}
    if spec.region_names:
        known = _read_names(spec.region_names)
        unknown = sorted(set(labels.tolist()) - known.keys() - {0})
        if unknown:
            raise RepbiasError(f"{spec.region_names}: no name for the labels {unknown} of {path}")
    unique, inverse = np.unique(labels, return_inverse=True)
    named = [known.get(i, str(i)) if i else spec.region for i in unique.tolist()]
    return np.array(named, dtype=str)[inverse]


def _read_names(path: Path) -> dict[int, str]:
    import pandas as pd

    lines = read_lines(path)
    suffix = path.suffix.lower()
    if suffix not in SEPARATORS:
        raise RepbiasError(f"{path}: unknown kind of table; expected {', '.join(SEPARATORS)}")
    has_header = not re.match(r'"?\d', lines[0]) if lines else True
    if suffix == ".txt" and not has_header:  # names may hold spaces
        cells = [(*line.split(maxsplit=1), "")[:2] for line in lines]
        table = pd.DataFrame(cells, index=range(1, len(lines) + 1), columns=["index", "name"])
    else:
        table = read_table(path, None if has_header else ["index", "name"])
    index, name = (find_column(path, table, column) for column in ("index", "name"))
    named = texts(path, table, name).tolist()
    texts(path, table, index)
    labels = numbers(path, table, index).astype(int)
    duplicates = pd.Series(labels)[pd.Series(labels).duplicated()]
    if len(duplicates):
        raise RepbiasError(f"{path}: the label {duplicates.iloc[0]} occurs twice")
    return dict(zip(labels.tolist(), named, strict=True))
