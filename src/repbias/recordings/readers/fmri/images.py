"""NIfTI images: the values of voxels inside a mask, their places and their regions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.untrusted import readable, refuse_size
from repbias.recordings.readers.files import import_optional
from repbias.recordings.readers.fmri.regions import (
    chosen,
    in_mask,
    region_labels,
    region_names,
)
from repbias.recordings.readers.fmri.scans import Scan
from repbias.recordings.readers.fmri.settings import FmriRecording
from repbias.recordings.readers.fmri.space import Volumes, parts

if TYPE_CHECKING:
    import pandas as pd

#: The units of time in NIfTI headers, in seconds.
TIME_UNITS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
#: Plausible seconds between two volumes; beyond, the header has the wrong unit.
SHORTEST_TR, LONGEST_TR = 0.01, 60.0
#: Affines that differ by less than this, in mm, describe the same grid.
AFFINE_TOLERANCE = 1e-3
#: What to do about NIfTI images on different grids.
RESAMPLE = "resample it with nilearn.image.resample_to_img(..., interpolation='nearest')"


class Grid(NamedTuple):
    """The voxel grid of an image, in space."""

    path: Path
    shape: tuple[int, ...]
    affine: np.ndarray

    @classmethod
    def of(cls, path: Path, image: Any) -> Grid:
        """Return the grid of an opened image."""
        return cls(path, image.shape[:3], image.affine)


def open_image(path: Path, fewest: int, most: int) -> Any:
    """Open an image that has so many axes, but for further ones of length 1."""
    image = open_nifti(path)
    with readable(path, "NIfTI"):
        extra = [n for n in image.shape[most:] if n != 1]
        if len(image.shape) < fewest or extra:
            expected = most if fewest == most else f"{fewest} or {most}"
            raise RepbiasError(f"{path}: expected {expected} axes, found shape {image.shape}")
    return image


def open_nifti(path: Path, keep_file_open: bool = False) -> Any:
    """Open an image that fits into memory, whose data are read lazily.

    Parameters
    ----------
    path
        A .nii or .nii.gz file, or an .img file with its .hdr.
    keep_file_open
        Keep the file open between reads of parts of the data.

    Raises
    ------
    RepbiasError
        If nibabel is missing, or the header is damaged or declares too large an image.
    """
    nibabel = import_optional("nibabel", "NIfTI", "nifti")
    with readable(path, "NIfTI"):
        _refuse_analyze(path)
        image = nibabel.load(path, keep_file_open=keep_file_open)
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


def _refuse_analyze(path: Path) -> None:
    """Refuse pairs of files before NIfTI: they may be mirrored, and refer to a MAT file."""
    if path.suffix.lower() in (".img", ".hdr"):
        with path.with_suffix(".hdr").open("rb") as file:
            if file.read(348)[344:347] != b"ni1":
                raise RepbiasError(
                    f"{path}: an Analyze image, whose header does not tell left from right; "
                    "convert it to NIfTI"
                )


class VoxelSpace:
    """The voxels of a subject's images that are inside the mask."""

    def __init__(self, spec: FmriRecording, scan: Scan) -> None:
        # A single beta may be an image with three axes; a signal over time may not.
        self.fewest_axes = 3 if spec.content == "betas" else 4
        self.grid = Grid.of(scan.image, open_image(scan.image, self.fewest_axes, 4))
        masks = [in_mask(path, self._on_grid(path)) for path in scan.masks]
        mask = np.all(masks, axis=0) if masks else None
        labels = None
        if "regions" in scan.paths:
            labels = region_labels(scan.paths["regions"], self._on_grid(scan.paths["regions"]))
        where = " and ".join(map(str, scan.masks)) or scan.paths.get("regions")
        self.inside = chosen(self.grid.shape, mask, labels, where)
        self.units = voxel_table(np.argwhere(self.inside), self.grid.shape)
        self.units["region"] = spec.region
        if labels is not None:
            named = region_names(spec, scan.paths["regions"], labels[self.inside])
            self.units["region"] = named

    def open(self, path: Path) -> Volumes:
        """Open an image, and refuse it if its grid is another."""
        image = open_image(path, self.fewest_axes, 4)
        found = Grid.of(path, image)
        require_same_grid(found, self.grid, "a subject's images need one grid: resample it")
        n = image.shape[3] if len(image.shape) > 3 else 1
        name = header_name(path, image)
        return Volumes(
            path,
            n,
            lambda out: read_masked(path, self.inside, out),
            names=[name] if n == 1 else [],
            tr=header_tr(image),
        )

    def _on_grid(self, path: Path) -> np.ndarray:
        grid, values = read_volume(path)
        require_same_grid(grid, self.grid)
        return values


def read_volume(path: Path) -> tuple[Grid, np.ndarray]:
    """Return the grid and the values (x, y, z) of an image of one volume, such as a mask."""
    image = open_image(path, 3, 3)
    grid = Grid.of(path, image)
    with readable(path, "NIfTI"):
        return grid, np.asarray(image.dataobj).reshape(grid.shape)


def read_masked(path: Path, inside: np.ndarray, out: np.ndarray) -> None:
    """Read the values inside a mask, a few volumes at a time.

    Parameters
    ----------
    path
        The image.
    inside
        (x, y, z) bool.
    out
        (volume, voxel), is filled; voxels are in the order of their indices.
    """
    # The file stays open, so that a compressed one is decompressed once.
    image = open_nifti(path, keep_file_open=True)
    with readable(path, "NIfTI"):
        for some in parts(len(out), 8 * inside.size):
            index = (slice(None),) * 3 + (some,) * (len(image.shape) > 3)
            data = np.asarray(image.dataobj[index])
            if data.dtype.kind not in "fiu":
                raise RepbiasError(f"{path}: expected numbers, found {data.dtype}")
            out[some] = data.reshape(*inside.shape, -1)[inside].T


def voxel_table(indices: np.ndarray, shape: tuple[int, ...]) -> pd.DataFrame:
    """Return the places "x", "y", "z" of voxels, and their names, which sort like them.

    Parameters
    ----------
    indices
        (voxel, 3).
    shape
        Of the grid.
    """
    import pandas as pd

    widths = [len(str(n - 1)) for n in shape]
    units = pd.DataFrame(indices, columns=["x", "y", "z"])
    units["unit"] = [
        "-".join(f"{i:0{width}d}" for i, width in zip(voxel, widths, strict=True))
        for voxel in indices.tolist()
    ]
    return units


def header_tr(image: Any) -> float | None:
    """Return the seconds between two volumes, if the header has plausible ones."""
    if len(image.shape) < 4:
        return None
    unit = TIME_UNITS.get(image.header.get_xyzt_units()[1])
    # Headers store single precision.
    tr = round(float(image.header.get_zooms()[3]) * unit, 6) if unit else None
    return tr if tr and SHORTEST_TR <= tr <= LONGEST_TR else None


def header_name(path: Path, image: Any) -> str:
    """Return the description in an image's header, where SPM writes the name of a beta."""
    with readable(path, "NIfTI"):
        text: bytes = np.asarray(image.header["descrip"]).item()
    return text.decode("latin-1").strip()


def require_same_grid(grid: Grid, expected: Grid, remedy: str = RESAMPLE) -> None:
    """Refuse an image whose voxels are not those of another."""
    if grid.shape != expected.shape:
        raise RepbiasError(
            f"{grid.path}: {grid.shape} voxels, but {expected.shape} in {expected.path}; {remedy}"
        )
    if not np.allclose(grid.affine, expected.affine, rtol=0, atol=AFFINE_TOLERANCE):
        raise RepbiasError(
            f"{grid.path}: its affine {grid.affine[:3].tolist()} is not that of {expected.path}, "
            f"{expected.affine[:3].tolist()}; {remedy}"
        )
