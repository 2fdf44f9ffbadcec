"""What readers of standard formats share: optional libraries, several files, unit selection."""

from __future__ import annotations

import glob
import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from pydantic import ValidationInfo, field_validator, model_validator

from repbias.base.identities import as_ids, refuse_duplicate_ids
from repbias.base.order import naturally
from repbias.base.spec import InputPath, RepbiasError, closest, expand_variables, nearest, shown
from repbias.io.blocks import Block, Blocks
from repbias.io.recordings import Recording
from repbias.io.text_tables import MISSING, is_missing, typed
from repbias.recordings.readers.common import RawResponses, Where, WithTrials, canonical

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Times closer than this are equal: far above rounding, far below a sampling interval.
TOLERANCE_S = 1e-6


class NothingSelected(RepbiasError):
    """A file that has none of the selected units or trials."""


class MultiFileRecording(WithTrials):
    """Further settings of recordings that may span several files."""

    more_files: list[InputPath] = []
    """Further files, of other sessions or subjects, or patterns of their paths such as
    `sub-*/*.nwb` (`**` is any number of folders; `path` itself is not read twice). Units that are
    missing from a file count as not observed in its trials."""
    leave_out: list[str | Where] = []
    """Files of `more_files` that are not read, such as that of an aborted session: their paths, or
    patterns of them. Lists with one value per file have none for these."""
    subject: str | list[str] | None = None
    """Name of the subject, or a list with one name per file; by default as stated in the files."""

    #: Further settings that may be lists with one value per file.
    PER_FILE: ClassVar[tuple[str, ...]] = ()

    def files(self) -> list[Path]:
        """Return all files that are read, `path` first."""
        left_out = self.left_out()
        return [self.path, *(path for path in self.more_files if path not in left_out)]

    def input_files(self) -> list[str]:
        """Return all files that the recording is read from; changing one reruns what uses it."""
        return [*super().input_files(), *chain(*map(self.parts_of, self.files()[1:]))]

    @field_validator("more_files", mode="before")
    @classmethod
    def _patterns_become_files(cls, files: Any, info: ValidationInfo) -> Any:
        if not isinstance(files, list):
            return files
        return list(chain(*(_matching(file, info.data.get("path")) for file in files)))

    @model_validator(mode="after")
    def _files_and_subjects(self) -> MultiFileRecording:
        n_files = len(self.files())
        if isinstance(self.subject, list) and len(self.subject) != n_files:
            raise ValueError(f"subject names {len(self.subject)} subjects for {n_files} files")
        for name in self.PER_FILE:
            values = getattr(self, name)
            if isinstance(values, list) and len(values) != n_files:
                raise ValueError(f"{name} has {len(values)} values for {n_files} files")
        if len({path.resolve() for path in self.files()}) < n_files:
            raise ValueError("path and more_files contain a file twice")
        return self

    def left_out(self) -> list[Path]:
        """Return the files that are not read, as `leave_out` names them."""
        known = {path.resolve(): path for path in self.more_files}
        found: list[Path] = []
        for entry in self.leave_out:
            if not isinstance(entry, str):
                raise ValueError(
                    f"leave_out: expected paths of more_files, or patterns of them, found {entry}"
                )
            text = expand_variables(entry)
            globbed = glob.glob(text, recursive=True)  # noqa: PTH207 (Path.glob: only relative)
            matched = [Path(file).resolve() for file in globbed or [text]]
            if self.path.resolve() in matched:
                raise ValueError(f"leave_out: {entry!r} names 'path'; set 'path' to another file")
            named = [known[path] for path in matched if path in known]
            if not named:
                raise ValueError(
                    f"leave_out: {entry!r} names none of more_files; "
                    f"{nearest(entry, map(str, self.more_files))}"
                )
            found += named
        return list(dict.fromkeys(found))

    def value_for(self, path: Path, values: T | Sequence[T]) -> T:
        """Return a setting's value for a file: its own of a list with one per file."""
        return values[self.files().index(path)] if isinstance(values, list) else cast("T", values)

    def subject_of(self, path: Path, found: str | None) -> str:
        """Return the subject of a file, which itself names `found`, if anyone."""
        if isinstance(self.subject, list):
            return self.subject[self.files().index(path)]
        if self.subject or found:
            return self.subject or str(found)
        if self.more_files:
            raise RepbiasError(
                f"{path}: does not name the subject; set 'subject' to one name for all files, or "
                "to a list with one per file"
            )
        return "subject1"


def _matching(file: Any, path: Path | None) -> list[Any]:
    """Return the files that a pattern matches, in natural order and without `path`.

    Anything but a pattern is returned as it is.
    """
    text = expand_variables(str(file)) if isinstance(file, str | Path) else ""
    if not glob.has_magic(text) or Path(text).exists():
        return [file]
    found = naturally(glob.glob(text, recursive=True))  # noqa: PTH207 (Path.glob: only relative)
    if not found:
        raise ValueError(f"no file matches {text!r} (looked in {Path.cwd()})")
    return [file for file in found if path is None or not Path(file).samefile(path)]


@dataclass(kw_only=True)
class SessionResponses(RawResponses):
    """Responses in one file.

    Attributes
    ----------
    session : name of the session, unique among those of its subject
    left_out : how many trials `trials_where` does not select
    """

    session: str
    left_out: int = 0


def read_files(
    spec: MultiFileRecording,
    known: np.ndarray,
    read_file: Callable[[Any, Path], SessionResponses],
) -> Recording:
    """Read every file of a recording and join their units by name.

    Parameters
    ----------
    spec
        The entry of ``recordings:``.
    known
        Sorted ids of the stimulus set.
    read_file
        Reads one file; may raise :class:`NothingSelected`, which is an error only if it does for
        all files.

    Raises
    ------
    RepbiasError
        If two files are the same session of the same subject, or their time bins differ.
    """
    sessions = _read_sessions(spec, read_file)
    _refuse_different_times(sessions)
    _refuse_duplicate_sessions(sessions)
    sizes = [len(session.stimulus) for session in sessions.values()]
    units = _stacked([session.units for session in sessions.values()])
    names, first = np.unique(units["unit"], return_index=True)
    example = next(iter(sessions.values()))
    blocks = tuple(
        Block(
            np.arange(stop - len(session.stimulus), stop),
            np.searchsorted(names, session.units["unit"]),
            np.asarray(session.responses),
        )
        for stop, session in zip(np.cumsum(sizes), sessions.values(), strict=True)
    )
    joined = RawResponses(
        stimulus=np.concatenate([as_ids(session.stimulus) for session in sessions.values()]),
        responses=Blocks((sum(sizes), len(names), *example.responses.shape[2:]), blocks),
        trials=_stacked([session.trials for session in sessions.values()]),
        units={name: values[first] for name, values in units.items()},
        info={
            **example.info,
            "file": ", ".join(path.name for path in sessions),
            **trials_left_out(spec, sum(session.left_out for session in sessions.values())),
        },
    )
    return canonical(spec, known, joined)


def _read_sessions(
    spec: MultiFileRecording, read_file: Callable[[Any, Path], SessionResponses]
) -> dict[Path, SessionResponses]:
    """Read every file that has any of the selected units and trials."""
    sessions: dict[Path, SessionResponses] = {}
    errors: list[NothingSelected] = []
    for path in spec.files():
        try:
            session = read_file(spec, path)
        except NothingSelected as error:
            logger.warning("%s; the file is left out", error)
            errors.append(error)
            continue
        refuse_duplicate_ids(session.units["unit"], f"{path}: units")
        sessions[path] = session
    if not sessions:
        raise errors[0]
    return sessions


def _refuse_different_times(sessions: Mapping[Path, SessionResponses]) -> None:
    (first, session), *others = sessions.items()
    expected = session.info.get("times_s", [])
    for path, other in others:
        times = other.info.get("times_s", [])
        if len(times) != len(expected) or not np.allclose(
            times, expected, rtol=0, atol=TOLERANCE_S
        ):
            raise RepbiasError(
                f"{path}: its {len(times)} time bins are not the {len(expected)} of {first}"
            )


def _refuse_duplicate_sessions(sessions: Mapping[Path, SessionResponses]) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for path, session in sessions.items():
        key = (str(session.units["subject"][0]), session.session)
        if key in seen:
            raise RepbiasError(
                f"{path} and {seen[key]}: both are session {key[1]!r} of subject {key[0]!r}"
            )
        seen[key] = path


def _stacked(tables: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Concatenate the rows of tables; NaN or empty text where a table lacks a column."""
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


def import_optional(name: str, what: str, extra: str) -> ModuleType:
    """Import an optional library.

    Parameters
    ----------
    name
        The module.
    what
        What it reads, for the message.
    extra
        The extra of this package that installs it.

    Raises
    ------
    RepbiasError
        If it is not installed; states how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RepbiasError(
            f"reading {what} needs {name}: pip install 'repbias[{extra}]'"
        ) from error


def warn_of_version(path: Path, what: str, found: str, tested: str) -> None:
    """Warn of a version of a format that is newer than what is tested here."""
    logger.warning(
        "%s: %s version %s, but tested is %s and before; compare a few numbers with those of the "
        "program that wrote it",
        *(path, what, found, tested),
    )


def plain(values: Any) -> np.ndarray | None:
    """Return a column as numbers or text, or None if it does not hold a single value per row.

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
    """Keep the columns of numbers or text, under names that are valid in HDF5.

    A column called ``stimulus_id`` is left out, as the recording has its own after renaming.
    """
    kept = {name.replace("/", "_"): plain(values) for name, values in columns.items()}
    return {n: values for n, values in kept.items() if values is not None and n != "stimulus_id"}


def select(path: Path, where: Where, units: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return which units have the wanted values in every wanted column, (unit,) bool.

    Raises
    ------
    RepbiasError
        If a column does not exist, or holds numbers where text is wanted.
    NothingSelected
        If no unit is selected.
    """
    if not len(units["unit"]):
        raise NothingSelected(f"{path}: has no units")
    return _rows_where(path, "where", where, units, len(units["unit"]))


def select_trials(spec: WithTrials, path: Path, columns: Mapping[str, Any], n: int) -> np.ndarray:
    """Return which trials have the values that the entry wants, (trial,) bool; say how many.

    Parameters
    ----------
    spec
        The entry of ``recordings:``.
    path
        The table of trials, or the file that holds it.
    columns
        All of its columns: of a text table, or typed.
    n
        Number of trials.

    Raises
    ------
    RepbiasError
        If a column does not exist, or holds numbers where text is wanted.
    NothingSelected
        If no trial is selected.
    """
    if not spec.trials_where or not n:
        return np.ones(n, bool)
    named = {
        str(name): typed(cells) if np.asarray(cells).dtype.kind in "OU" else np.asarray(cells)
        for name, cells in columns.items()
    }
    return _rows_where(path, "trials_where", spec.trials_where, named, n)


def count_left_out(selected: np.ndarray, stimulus: Any) -> int:
    """Return how many trials are not selected; rows without a stimulus are no trials.

    Parameters
    ----------
    selected
        (row,) bool, from :func:`select_trials`.
    stimulus
        (row,) ids.
    """
    return int((~selected & ~is_missing(as_ids(stimulus))).sum())


def trials_left_out(spec: WithTrials, n: int) -> dict[str, int]:
    """Return what a recording's `info` says of the trials that `trials_where` leaves out."""
    return {"trials_left_out": n} if spec.trials_where else {}


def _rows_where(
    path: Path, key: str, where: Where, columns: Mapping[str, np.ndarray], n: int
) -> np.ndarray:
    """Return which rows have the wanted values in every wanted column, (row,) bool."""
    chosen = np.ones(n, bool)
    for name, wanted in where.items():
        if name not in columns:
            raise RepbiasError(f"{path}: {key}: no column {name!r}; {nearest(name, columns)}")
        options = wanted if isinstance(wanted, list) else [wanted]
        values = columns[name]
        if values.dtype.kind in "fiub":
            try:
                chosen &= np.isin(values.astype(float), np.array(options, float))
            except ValueError as error:
                raise RepbiasError(
                    f"{path}: {key}: {name!r} holds numbers, found {wanted!r}"
                ) from error
        else:
            lower = np.char.lower(values)
            # 1 and 0 are true and false, as they are in columns that programs typed.
            taken = {True, False} if np.isin(lower, ["true", "false", *MISSING]).all() else set()
            yes_or_no = [
                str(bool(option)).lower()
                for option in options
                if isinstance(option, bool) or option in taken
            ]
            chosen &= np.isin(values, as_ids(options)) | np.isin(lower, yes_or_no)
    if not chosen.any():
        existing = {name: [*map(str, np.unique(columns[name]).tolist())] for name in where}
        found = "; ".join(
            f"{name} is {', '.join(values[:10])}" for name, values in existing.items()
        )
        meant = [
            f"; did you mean {shown(near)}?"
            for name, wanted in where.items()
            for option in (wanted if isinstance(wanted, list) else [wanted])
            if isinstance(option, str) and (near := closest(option, existing[name]))
        ]
        what = "no unit" if key == "where" else f"{key}: no trial"
        raise NothingSelected(f"{path}: {what} where {where}; {found}{''.join(meant)}")
    return chosen
