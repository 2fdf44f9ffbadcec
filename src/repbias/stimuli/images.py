"""Stimulus sets: images, decoded one at a time, and a table of their properties."""

from __future__ import annotations

import io
import logging
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.identities import excluded, join, listed
from repbias.base.spec import MAX_OPTIONS, RepbiasError, nearest, shown
from repbias.io.arrays import ARRAY_SUFFIXES, load_array
from repbias.io.text_tables import (
    id_columns,
    is_missing,
    numbered_columns,
    numbers,
    read_table,
    texts,
    typed,
)
from repbias.io.untrusted import readable, refuse_size
from repbias.stimuli.spec import ImageSet

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

logger = logging.getLogger(__name__)

#: Axes of a stack of images.
IMAGE_AXES = ("image", "height", "width", "colour")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm")
#: The formats that Pillow may decode; for others, such as EPS, it runs external programs.
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")


@dataclass
class Images:
    """A stimulus set.

    Attributes
    ----------
    ids : sorted ids of the stimuli
    load : loads the i-th image as RGB; None if the stimuli are not images
    columns : properties of the stimuli, name to (stimulus,) numbers, NaN where one is missing, or
        text, empty where it is missing
    table : the file of the columns
    lines : (stimulus,) their lines in that file
    load_alpha : loads the alpha channel (mode L) of the i-th image, or None if it has none; None if
        no image can have one
    said : where the ids come from, if that is not obvious
    """

    ids: list[str]
    load: Callable[[int], Image] | None
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    table: Path | None = None
    lines: np.ndarray | None = None
    load_alpha: Callable[[int], Image | None] | None = None
    said: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def only(self, rows: np.ndarray) -> Images:
        """Return the set of some of the stimuli, (stimulus,) their indices, in that order."""
        load, load_alpha = self.load, self.load_alpha
        return replace(
            self,
            ids=[self.ids[i] for i in rows],
            load=None if load is None else lambda i: load(int(rows[i])),
            columns={name: values[rows] for name, values in self.columns.items()},
            lines=None if self.lines is None else self.lines[rows],
            load_alpha=None if load_alpha is None else lambda i: load_alpha(int(rows[i])),
        )

    def first(self, n: int) -> Images:
        """Return the first n stimuli."""
        columns = {name: values[:n] for name, values in self.columns.items()}
        return replace(self, ids=self.ids[:n], columns=columns)

    def texts(self, column: str) -> list[str]:
        """Return the texts of a column, one for each stimulus.

        Raises
        ------
        RepbiasError
            If there is no such column, it holds numbers, or a text is missing.
        """
        if column not in self.columns:
            raise RepbiasError(
                f"{self.table}: no column {column!r}; {nearest(column, self.columns)}"
            )
        values = self.columns[column]
        if values.dtype.kind != "U":
            raise RepbiasError(f"{self.table}: column {column!r} holds numbers, expected texts")
        for i in np.flatnonzero(values == ""):
            raise RepbiasError(f"{self.cell(int(i), column)}: the text is missing")
        found: list[str] = values.tolist()
        return found

    def cell(self, stimulus: int, column: str) -> str:
        """Say where a property of the i-th stimulus stands, for messages."""
        line = "" if self.lines is None else f"{self.table}: line {self.lines[stimulus]}, "
        return f"{line}stimulus {self.ids[stimulus]!r}, column {column!r}"


def open_images(spec: ImageSet) -> Images:
    """Open a stimulus set without decoding its images.

    An image's id is its file name without the suffix, after its folders where the names of some are
    the same (`faces/01`); images are sorted by id. Images in an array are called image1, image2,
    ... with leading zeros.

    Raises
    ------
    RepbiasError
        If there are no images, two have the same id, the table or a column does not match the
        images, an excluded id does not exist, or a file cannot be read.
    """
    images = _open(Path(spec.path), spec) if spec.path else None
    if images is not None and spec.path is not None:
        for name, variable in spec.columns.items():
            images.columns[name] = _read_column(spec.path, name, variable, len(images))
    if spec.table is not None:
        rows = _read_table(spec.table, spec.stimulus_ids)
        images = rows if images is None else _described(images, rows, str(spec.path))
    assert images is not None  # one of the two is given
    where = str(spec.path or spec.table)
    for sentence in images.said:
        logger.debug("%s: %s", where, sentence)  # of every job that reads them; also in `check`
    left_out = excluded(spec.exclude, images.ids, where)
    kept = np.flatnonzero(~np.isin(images.ids, left_out))
    if not len(kept):
        raise RepbiasError(f"{where}: exclude: names all stimuli")
    return images.only(kept) if left_out else images


def _described(images: Images, table: Images, where: str) -> Images:
    """Return images with the properties that a table gives them; `where` names the images."""
    joined = join(table.ids, images.ids)
    joined.refuse_unclear(str(table.table), where)
    row = {joined.pairs[name]: i for i, name in enumerate(table.ids) if name in joined.pairs}
    without_row = [name for name in images.ids if name not in row]
    for problem, missing, ids, others in (
        (f"{table.table}: no row for", without_row, images.ids, table.ids),
        (f"{where}: no image for", joined.absent, table.ids, images.ids),
    ):
        if missing:
            raise RepbiasError(
                f"{problem} {len(missing)} of {len(ids)} stimuli: {listed(missing, others)}"
            )
    described = table.only(np.array([row[name] for name in images.ids]))
    said = [f"rows of {table.table}: matched {joined.said}"] if joined.said else []
    return replace(
        images,
        columns=described.columns,
        table=table.table,
        lines=described.lines,
        said=images.said + said,
    )


def _read_table(path: Path, ids_file: Path | None) -> Images:
    """Return the stimuli of a table, without images; `ids_file` names the rows of a matrix."""
    if ids_file is None:
        table = read_table(path)
        table = table[(table != "").any(axis=1)]
    else:
        table = _matrix(path, ids_file)
    if not len(table):
        raise RepbiasError(f"{path}: holds no rows below the header")
    if "stimulus_id" not in table:
        likely = " or ".join(map(shown, id_columns(table)[:3]))
        there = ", ".join(map(shown, list(table)[:MAX_OPTIONS]))
        raise RepbiasError(
            f"{path}: no column 'stimulus_id'; rename the one that holds the ids to stimulus_id"
            f"{f', which may be {likely}' if likely else ''} (the columns are {there})"
        )
    ids = texts(path, table, "stimulus_id")
    unique, counts = np.unique(ids, return_counts=True)
    if counts.max() > 1:
        raise RepbiasError(f"{path}: the stimulus {shown(unique[counts.argmax()])} has two rows")
    unusable = [name for name in table if "/" in name]
    if unusable:
        raise RepbiasError(f"{path}: the column name {unusable[0]!r} contains a /")
    order = np.argsort(ids)
    columns = {name: typed(table[name])[order] for name in table if name != "stimulus_id"}
    return Images(ids[order].tolist(), None, columns, path, table.index.to_numpy()[order])


def _matrix(path: Path, ids_file: Path) -> pd.DataFrame:
    """Return a table without a line of names, with the ids of its rows from a text file."""
    names = numbered_columns(path)
    table = read_table(path, names)
    for name in names:
        numbers(path, table, name)  # a line of names is no number
    with readable(ids_file, "a text file of ids"):
        lines = ids_file.read_text(encoding="utf-8-sig").splitlines()
    ids = [line.strip() for line in lines if line.strip()]
    if len(ids) != len(table):
        raise RepbiasError(f"{ids_file}: {len(ids)} ids for the {len(table)} rows of {path}")
    return table.assign(stimulus_id=ids)


def _read_column(path: Path, name: str, variable: str, n_images: int) -> np.ndarray:
    """Return a property of the images of an array file, (image,) numbers or text."""
    array = load_array(path, variable)
    where = f"{path}: column {name!r} ({variable})"
    # MATLAB's values have axes of length 1: those of the structure, and two of every element.
    values = array.reshape(-1) if array.size == max(array.shape, default=1) else array
    if values.shape != (n_images,):
        raise RepbiasError(
            f"{where}: expected one value for each of {n_images} images, found an array of shape "
            f"{array.shape}"
        )
    if values.dtype.kind in "SU":
        cells = np.char.strip(np.char.decode(values) if values.dtype.kind == "S" else values)
        return np.where(is_missing(cells), "", cells)
    if values.dtype.kind not in "biuf":
        raise RepbiasError(f"{where}: expected numbers or text, found {values.dtype}")
    return values.astype(np.float64 if values.dtype.kind == "f" else np.int64)


def _open(path: Path, spec: ImageSet) -> Images:
    if path.is_dir():
        files = {
            p.relative_to(path).as_posix(): p
            for p in path.rglob("*")
            if p.is_file() and _is_image(p.name)
        }
        sizes = {name: p.stat().st_size for name, p in files.items()}
        return _named(path, {name: p.read_bytes for name, p in files.items()}, sizes)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return _from_array(path, spec)
    with readable(path, "an archive"):
        return _from_archive(path)


def _from_archive(path: Path) -> Images:
    if zipfile.is_zipfile(path):
        archive = zipfile.ZipFile(path)
        members = [n for n in archive.namelist() if not n.endswith("/") and _is_image(n)]
        sizes = {n: archive.getinfo(n).file_size for n in members}
        return _named(path, {n: partial(archive.read, n) for n in members}, sizes)
    if tarfile.is_tarfile(path):
        tar = tarfile.open(path)  # noqa: SIM115  (stays open as long as the images are used)
        files_in_tar = [m for m in tar.getmembers() if m.isfile() and _is_image(m.name)]
        sources = {m.name: partial(_read_member, tar, m) for m in files_in_tar}
        return _named(path, sources, {m.name: m.size for m in files_in_tar})
    raise RepbiasError(
        f"{path}: neither a folder, a zip or tar archive, nor an array file "
        f"({', '.join(ARRAY_SUFFIXES)})"
    )


def _read_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None  # as the member is a regular file
    return file.read()


def _is_image(name: str) -> bool:
    pure = PurePosixPath(name)
    return pure.suffix.lower() in IMAGE_SUFFIXES and not pure.name.startswith(".")


def _named(path: Path, sources: Mapping[str, Callable[[], bytes]], sizes: dict[str, int]) -> Images:
    """Return the images of named files, given functions that read them and their sizes in bytes."""
    if not sources:
        raise RepbiasError(f"{path}: no images found (looked for {', '.join(IMAGE_SUFFIXES)})")
    by_id, said = _ids_of(path, sorted(sources))
    ids = sorted(by_id)

    def opened(i: int) -> AbstractContextManager[Image]:
        name = by_id[ids[i]]
        refuse_size(path, name, (sizes[name],))
        return _opened(path, name, sources[name])

    def load(i: int) -> Image:
        with opened(i) as image:
            return image.convert("RGB")

    def load_alpha(i: int) -> Image | None:
        with opened(i) as image:
            return image.convert("RGBA").getchannel("A") if image.has_transparency_data else None

    return Images(ids, load, load_alpha=load_alpha, said=said)


def _ids_of(path: Path, names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the names of files by id, and what the ids are where they are not the files' names."""
    # Archives that were made on Windows may have its separators.
    files = [PurePosixPath(name.replace("\\", "/")) for name in names]
    ids, said = [file.stem for file in files], []
    if len(set(ids)) < len(ids):
        levels = zip(*(file.parts[:-1] for file in files), strict=False)
        common = len(list(takewhile(lambda folders: len(set(folders)) == 1, levels)))
        ids = ["/".join(file.with_suffix("").parts[common:]) for file in files]
        said = ["ids are paths, as files of several folders have the same names"]
    by_id: dict[str, str] = {}
    for name, stimulus in zip(names, ids, strict=True):
        if stimulus in by_id:
            raise RepbiasError(
                f"{path}: two images have the id {shown(stimulus)}: {by_id[stimulus]}, {name}"
            )
        by_id[stimulus] = name
    return by_id, said


@contextmanager
def _opened(path: Path, name: str, read: Callable[[], bytes]) -> Iterator[Image]:
    """Open an image file of 8 bits per channel; using it decodes it."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(read()), formats=IMAGE_FORMATS) as image:
            refuse_size(path, f"the image {name}", image.size, 4)
            if image.mode in ("I", "F") or image.mode.startswith("I;"):
                raise RepbiasError(
                    f"{path}: {name} has more than 8 bits per channel (mode {image.mode}); "
                    "convert the images to 8 bits"
                )
            yield image
    except UnidentifiedImageError as error:
        raise RepbiasError(f"{path}: {name} is not a readable image") from error
    except RepbiasError:
        raise
    except Exception as error:  # Pillow raises many types of errors
        raise RepbiasError(f"{path}: {name} is not a readable image ({error})") from error


def _from_array(path: Path, spec: ImageSet) -> Images:
    from PIL import Image

    array = load_array(path, spec.variable)
    if array.dtype != np.uint8:
        raise RepbiasError(
            f"{path}: images must be uint8, of 0 to 255, found {array.dtype} of shape "
            f"{array.shape}{'; in MATLAB, im2uint8 converts them' if array.dtype == float else ''}"
        )
    # A 1 x n MATLAB structure array has leading axes of length 1.
    while array.ndim > 3 and array.shape[0] == 1 and not (spec.axes or picture_axes(array.shape)):
        array = array[0]
    array = _in_order(path, array, spec)
    if not len(array):
        raise RepbiasError(f"{path}: no images in an array of shape {array.shape}")
    width = len(str(len(array)))
    ids = [f"image{i + 1:0{width}d}" for i in range(len(array))]
    return Images(ids, lambda i: Image.fromarray(array[i]).convert("RGB"))


def _in_order(path: Path, array: np.ndarray, spec: ImageSet) -> np.ndarray:
    """Transpose a stack of images to (image, height, width[, colour])."""
    if spec.axes is not None:
        order = [spec.axes.index(name) for name in IMAGE_AXES if name in spec.axes]
        if array.ndim != len(order):
            raise RepbiasError(
                f"{path}: axes names {len(order)} axes {spec.axes}, but the array has "
                f"{array.ndim} (shape {array.shape})"
            )
    else:
        order = list(picture_axes(array.shape) or ())
    if not order:
        raise RepbiasError(
            f"{path}: which axis is which of images of shape {array.shape}? Set 'axes', such as "
            "[height, width, image]; without it, expected (image, height, width[, 3]) or (height, "
            "width, 3, image)"
        )
    array = array.transpose(order)
    if array.ndim == 4 and array.shape[-1] != 3:
        raise RepbiasError(f"{path}: {array.shape[-1]} channels of colour, expected 3")
    return array


def picture_axes(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return which axes of a stack of images are image, height, width (and colour).

    Returns
    -------
    tuple of int or None
        None if the shape does not tell: grey images that are square may stand along the last axis,
        as in MATLAB.

    Examples
    --------
    >>> picture_axes((20, 64, 48, 3)), picture_axes((64, 48, 3, 20)), picture_axes((20, 64, 48))
    ((0, 1, 2, 3), (3, 0, 1, 2), (0, 1, 2))
    >>> picture_axes((64, 64, 20))
    """
    if len(shape) == 3:
        may_end_with_images = shape[0] == shape[1] != shape[2]
        return None if may_end_with_images else (0, 1, 2)
    if len(shape) != 4:
        return None
    if shape[2] == 3:
        return 3, 0, 1, 2
    if shape[3] == 3:
        return 0, 1, 2, 3
    return (0, 2, 3, 1) if shape[1] == 3 else None
