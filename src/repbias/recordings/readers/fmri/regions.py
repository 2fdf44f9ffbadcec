"""Masks and maps of regions: which units are read, and the region of each."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.io.text_tables import SEPARATORS, find_column, numbers, read_table, texts
from repbias.recordings.readers.common import read_lines

if TYPE_CHECKING:
    from repbias.recordings.readers.fmri.settings import FmriRecording

logger = logging.getLogger(__name__)


def chosen(
    shape: tuple[int, ...],
    mask: np.ndarray | None,
    labels: np.ndarray | None,
    where: object,
) -> np.ndarray:
    """Return which units are read, bool: those in the mask, or else those with a label.

    Parameters
    ----------
    shape
        Shape of the units in space.
    mask, labels
        Of that shape; see :func:`in_mask` and :func:`region_labels`.
    where
        The file of the mask or the labels, for the message.

    Raises
    ------
    RepbiasError
        If no unit is.
    """
    limit = mask if mask is not None else labels
    inside = np.ones(shape, bool) if limit is None else in_mask(where, limit)
    if not inside.any():
        raise RepbiasError(f"{where}: {'share' if ' and ' in str(where) else 'holds'} no voxel")
    return inside


def in_mask(where: object, values: np.ndarray) -> np.ndarray:
    """Return which units a mask holds, bool: those above 0, and so neither NaN nor NSD's -1.

    Raises
    ------
    RepbiasError
        If the values are not numbers.
    """
    if values.dtype.kind not in "biuf":
        raise RepbiasError(f"{where}: expected numbers in a mask, found {values.dtype}")
    if (values < 0).any():
        logger.info("%s: has values below 0; the mask is where they are above 0", where)
    return values > 0


def region_labels(path: Path | str, labels: np.ndarray) -> np.ndarray:
    """Return labels as integers; NaN and what is below 0, as in NSD, are 0, which is no region.

    Raises
    ------
    RepbiasError
        If any is not an integer.
    """
    labels = np.nan_to_num(labels)
    if (labels != np.round(labels)).any():
        raise RepbiasError(f"{path}: labels must be integers")
    if (labels < 0).any():
        logger.info("%s: labels below 0 are no region", path)
    return np.maximum(labels.astype(np.int64), 0)


def region_names(
    spec: FmriRecording, path: Path | str, labels: np.ndarray, known: dict[int, str] | None = None
) -> np.ndarray:
    """Return the name of every label's region.

    Parameters
    ----------
    spec
        The entry of ``recordings:``, whose table `region_names` comes first.
    path
        The file of the labels.
    labels
        (unit,) integers; 0 is no region.
    known
        Names of the labels in their file.

    Raises
    ------
    RepbiasError
        If the table lacks a label.
    """
    known = known or {}
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
    has_header = not re.match(r'"?-?\d', lines[0]) if lines else True
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
