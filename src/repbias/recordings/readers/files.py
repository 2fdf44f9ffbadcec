"""What readers of standard formats share: optional libraries, several files, choosing units."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from pydantic import model_validator

from repbias.base.spec import InputPath, RepbiasError, nearest
from repbias.io.recordings import Recording
from repbias.recordings.readers.common import ResponseRecording, as_ids, canonical, refuse_twice

logger = logging.getLogger(__name__)

#: Times closer than this are the same: far above rounding, far below a sample of a recording.
TOLERANCE_S = 1e-6

#: Which units to keep: a column, and the value or values that it must have.
Where = dict[str, str | float | list[str | float]]


class NoUnits(RepbiasError):
    """A file that has none of the units that were asked for."""


class SeveralFiles(ResponseRecording):
    """What recordings that may span several files say beside that."""

    more_files: list[InputPath] = []
    """Further files, of other sessions or subjects. Units that a file lacks were not observed in
    its trials."""
    subject: str | list[str] | None = None
    """Who was recorded, or a list with one name for each file; as the files say when left out."""

    def files(self) -> list[Path]:
        """Return all the files, `path` first."""
        return [self.path, *self.more_files]

    def input_files(self) -> list[str]:
        """Return the files that the recording comes from; a change of one reruns what uses it."""
        return [*super().input_files(), *map(str, self.more_files)]

    @model_validator(mode="after")
    def _files_and_subjects(self) -> SeveralFiles:
        n_files = len(self.files())
        if isinstance(self.subject, list) and len(self.subject) != n_files:
            raise ValueError(f"subject names {len(self.subject)} subjects for {n_files} files")
        if len({path.resolve() for path in self.files()}) < n_files:
            raise ValueError("path and more_files name a file twice")
        return self

    def subject_of(self, path: Path, found: str | None) -> str:
        """Return who was recorded in a file, which itself says `found`."""
        if isinstance(self.subject, list):
            return self.subject[self.files().index(path)]
        if self.subject or found:
            return self.subject or str(found)
        if self.more_files:
            raise RepbiasError(
                f"{path}: does not say who was recorded; give 'subject', one name for all files "
                "or a list with one for each"
            )
        return "subject1"


@dataclass
class Part:
    """What one file holds.

    Attributes
    ----------
    session : which session of its subject
    stimulus : (trial,) what was shown
    responses : (trial, unit) or (trial, unit, time), NaN where a unit was not observed
    trials, units, info : as for :func:`repbias.recordings.readers.common.canonical`
    """

    session: str
    stimulus: np.ndarray
    responses: np.ndarray
    trials: dict[str, np.ndarray]
    units: dict[str, np.ndarray]
    info: dict[str, Any]


def read_files(
    spec: SeveralFiles, known: np.ndarray, read_file: Callable[[Any, Path], Part]
) -> Recording:
    """Read every file of a recording and join their units by name.

    Parameters
    ----------
    spec
        The entry of ``recordings:``.
    known
        Sorted ids of the stimulus set.
    read_file
        Reads one file; may raise :class:`NoUnits`, which is an error only if all files do.

    Raises
    ------
    RepbiasError
        If two files are the same session of the same subject, or their time bins differ.
    """
    parts: dict[Path, Part] = {}
    without: list[NoUnits] = []
    for path in spec.files():
        try:
            part = read_file(spec, path)
        except NoUnits as error:
            logger.warning("%s; the file is left out", error)
            without.append(error)
            continue
        refuse_twice(part.units["unit"], f"{path}: units")
        parts[path] = part
    if not parts:
        raise without[0]
    _refuse_different_times(parts)
    _refuse_a_session_twice(parts)
    sizes = [len(part.stimulus) for part in parts.values()]
    units = _stacked([part.units for part in parts.values()])
    names, first = np.unique(units["unit"], return_index=True)
    some = next(iter(parts.values()))
    responses = np.full((sum(sizes), len(names), *some.responses.shape[2:]), np.nan)
    for stop, part in zip(np.cumsum(sizes), parts.values(), strict=True):
        columns = np.searchsorted(names, part.units["unit"])
        responses[stop - len(part.stimulus) : stop, columns] = part.responses
    return canonical(
        spec,
        known,
        np.concatenate([as_ids(part.stimulus) for part in parts.values()]),
        responses,
        _stacked([part.trials for part in parts.values()]),
        {name: values[first] for name, values in units.items()},
        some.info | {"file": ", ".join(path.name for path in parts)},
    )


def _refuse_different_times(parts: Mapping[Path, Part]) -> None:
    (path, part), *others = parts.items()
    times = part.info.get("times_s", [])
    for other, found in others:
        there = found.info.get("times_s", [])
        if len(there) != len(times) or not np.allclose(there, times, rtol=0, atol=TOLERANCE_S):
            raise RepbiasError(
                f"{other}: its {len(there)} time bins are not the {len(times)} of {path}"
            )


def _refuse_a_session_twice(parts: Mapping[Path, Part]) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for path, part in parts.items():
        key = (str(part.units["subject"][0]), part.session)
        if key in seen:
            raise RepbiasError(
                f"{path} and {seen[key]}: both are session {key[1]!r} of subject {key[0]!r}"
            )
        seen[key] = path


def _stacked(tables: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Put the rows of tables below one another; NaN or no text where a table lacks a column."""
    columns = {}
    for name in dict.fromkeys(chain(*tables)):
        found = [table.get(name) for table in tables]
        numeric = all(values is None or values.dtype.kind in "fiub" for values in found)
        blank = np.nan if numeric else ""
        columns[name] = np.concatenate(
            [
                np.full(len(next(iter(table.values()))), blank)
                if values is None
                else (values if numeric else values.astype(str))
                for table, values in zip(tables, found, strict=True)
            ]
        )
    return columns


def library(name: str, what: str, extra: str) -> ModuleType:
    """Import an optional library, or say how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RepbiasError(
            f"reading {what} needs {name}: pip install 'repbias[{extra}]'"
        ) from error


def plain(values: Any) -> np.ndarray | None:
    """Return a column as numbers or text, or None if it has not one of these in every row.

    Examples
    --------
    >>> plain([b"x", None]), plain([[1, 2], [3, 4]])
    (array(['x', ''], dtype='<U1'), None)
    """
    import pandas as pd

    values = np.asarray(values)
    if values.ndim != 1:
        return None
    if values.dtype.kind in "fiub":
        return values
    missing = pd.isna(values)
    types = {type(value) for value in values[~missing].tolist()}
    if types and types <= {int, float, bool}:
        return np.where(missing, np.nan, values).astype(float)
    if types <= {str, bytes, int, float, bool} or values.dtype.kind in "Mm":
        return as_ids(np.where(missing, "", values.astype(object)))
    return None


def plain_columns(columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Keep the columns of numbers or text, under names that HDF5 takes.

    A column called ``stimulus_id`` is left out: that is the recording's own, after renaming.
    """
    kept = {name.replace("/", "_"): plain(values) for name, values in columns.items()}
    return {n: values for n, values in kept.items() if values is not None and n != "stimulus_id"}


def select(path: Path, where: Where, units: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return which units have the wanted values in all the wanted columns, (unit,) bool.

    Raises
    ------
    RepbiasError
        If there is no such column, or it holds numbers and something else is wanted.
    NoUnits
        If no unit has.
    """
    chosen = np.ones(len(units["unit"]), bool)
    if not len(chosen):
        raise NoUnits(f"{path}: has no units")
    for name, wanted in where.items():
        if name not in units:
            raise RepbiasError(f"{path}: where: no column {name!r}; {nearest(name, units)}")
        options = wanted if isinstance(wanted, list) else [wanted]
        values = units[name]
        if values.dtype.kind in "fiub":
            try:
                chosen &= np.isin(values.astype(float), np.array(options, float))
            except ValueError as error:
                raise RepbiasError(
                    f"{path}: where: {name!r} holds numbers, found {wanted!r}"
                ) from error
        else:
            chosen &= np.isin(values, as_ids(options))
    if not chosen.any():
        there = {name: np.unique(units[name]).tolist() for name in where}
        found = "; ".join(f"{name} is {', '.join(map(str, v[:10]))}" for name, v in there.items())
        raise NoUnits(f"{path}: no unit where {where}; {found}")
    return chosen
