"""Feature spaces: what is known of the stimuli, as models to compare with."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.spec import RepbiasError, nearest, refuse_duplicates
from repbias.networks.spec import FeatureNetwork

if TYPE_CHECKING:
    from repbias.stimuli.images import Images

_RANGE = re.compile(r"(?P<name>.*?)(?P<first>[0-9]+)\.\.(?P=name)(?P<last>[0-9]+)")


def feature_spaces(spec: FeatureNetwork, stimuli: Images) -> dict[str, np.ndarray]:
    """Return every feature space as (stimulus, unit), from the columns of the stimuli's table.

    Raises
    ------
    RepbiasError
        If a column does not exist, has cells missing or text among numbers, or does not vary, or
        if the network does not say how a space of several columns is scaled.
    """
    spaces = {}
    for space, entries in spec.spaces.items():
        try:
            spaces[space] = _feature_space(spec.scale, entries, stimuli).astype(np.float32)
        except (RepbiasError, ValueError) as error:
            raise RepbiasError(f"feature space {space!r}: {error}") from error
    return spaces


def _feature_space(scale: str | None, entries: list[str], stimuli: Images) -> np.ndarray:
    """Return the columns of one space as (stimulus, unit)."""
    names = [name for entry in entries for name in columns_of(entry, stimuli.columns)]
    values = {name: stimuli.columns[name] for name in refuse_duplicates(names)}
    for name in names:
        _refuse_missing(name, stimuli)
    constant = [name for name in names if len(np.unique(values[name])) < 2]
    # Embeddings may have dimensions that these stimuli do not use.
    if constant and (scale in (None, "z") or len(constant) == len(names)):
        raise RepbiasError(f"the column {constant[0]!r} is constant")
    numeric = [name for name in names if values[name].dtype.kind != "U"]
    _refuse_unsaid_scale(scale, names, numeric)
    numbers = np.stack([values[name] for name in numeric], axis=1) if numeric else np.empty(0)
    numbers = dict(zip(numeric, _scaled(scale, numbers.astype(float), stimuli).T, strict=True))
    return np.concatenate(
        [
            numbers[name][:, None]
            if name in numbers
            else (values[name][:, None] == np.unique(values[name])).astype(float)
            for name in names
        ],
        axis=1,
    )


def columns_of(
    entry: str, available: Collection[str], none: str = "the stimuli's table has no column"
) -> list[str]:
    """Return the columns (or other things) that an entry names: a name, a pattern, a range.

    Parameters
    ----------
    entry
        As of a feature space.
    available
        All names.
    none
        How the message begins if there is none.

    Raises
    ------
    RepbiasError
        If there is none, or one of a range is missing.

    Examples
    --------
    >>> columns_of("e_*", ["id", "e_0", "e_1"]), columns_of("e_08..e_10", ["e_08", "e_09", "e_10"])
    (['e_0', 'e_1'], ['e_08', 'e_09', 'e_10'])
    """
    if entry in available:
        return [entry]
    names = [name for name in available if fnmatchcase(name, entry)]
    if bounds := _RANGE.fullmatch(entry):
        names = list(_range(bounds, len(available)))
    missing = [name for name in names if name not in available]
    if missing or not names:
        name = missing[0] if missing else entry
        raise RepbiasError(f"{none} {name!r}; {nearest(name, available)}")
    return names


def columns_named(entries: Collection[str], available: Collection[str]) -> set[str]:
    """Return all columns that some entries name (:func:`columns_of`); not all need to exist."""
    found: set[str] = set()
    for entry in entries:
        with suppress(RepbiasError):
            found.update(columns_of(entry, available))
    return found


def _range(bounds: re.Match[str], at_most: int) -> Iterator[str]:
    """Yield the names of a range, but not many more than there can be."""
    first, last = int(bounds["first"]), int(bounds["last"])
    if first > last:
        raise RepbiasError(f"the range {bounds[0]!r} descends")
    for number in range(first, min(last, first + at_most) + 1):
        yield f"{bounds['name']}{number:0{len(bounds['first'])}d}"


def _refuse_missing(column: str, stimuli: Images) -> None:
    """Refuse a column in which cells are missing, or which is text because of some of its cells."""
    import pandas as pd

    values = stimuli.columns[column]
    if values.dtype.kind == "U":
        numbers = np.isfinite(pd.to_numeric(values, errors="coerce"))
        wrong, problem = values == "", "is missing"
        if numbers.mean() > 0.5 and not wrong.any():
            wrong, problem = ~numbers, "is text among numbers"
    else:
        wrong, problem = ~np.isfinite(values), "is not a number"
    if wrong.any():
        raise RepbiasError(f"{stimuli.cell(int(wrong.argmax()), column)}: {problem}")


def _refuse_unsaid_scale(scale: str | None, names: list[str], numeric: list[str]) -> None:
    if scale is None and numeric and len(names) > 1:
        raise RepbiasError(
            f"{len(names)} columns, {len(numeric)} of numbers: set the network's 'scale' to none "
            "(embeddings: as they are), z (columns of different units of measure: standardised) or "
            "unit (embeddings: every stimulus's vector of length 1)"
        )
    if scale == "unit" and (len(numeric) < len(names) or len(names) < 2):
        raise RepbiasError(
            f"scale: unit needs several columns, all of numbers; found {len(numeric)} of "
            f"{len(names)}"
        )


def _scaled(scale: str | None, numbers: np.ndarray, stimuli: Images) -> np.ndarray:
    """Scale the numbers of a space, (stimulus, column)."""
    if scale == "none" or not numbers.size:
        return numbers
    if scale == "unit":
        length = np.linalg.norm(numbers, axis=1, keepdims=True)
        if (length == 0).any():
            zero = stimuli.ids[int((length == 0).argmax())]
            raise RepbiasError(f"scale: unit: the vector of stimulus {zero!r} is zero")
        return numbers / length
    return (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
