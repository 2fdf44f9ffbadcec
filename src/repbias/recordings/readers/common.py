"""What all readers share: settings, named axes, joining by stimulus id, the canonical order."""

from __future__ import annotations

import csv
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import field_validator, model_validator

from repbias.base.identities import as_ids, excluded, join, refuse_duplicate_ids
from repbias.base.order import first_difference, orders
from repbias.base.spec import (
    InputPath,
    Name,
    RepbiasError,
    Spec,
    expand_variables,
    refuse_duplicates,
)
from repbias.io.arrays import load_array
from repbias.io.blocks import (
    Block,
    Blocks,
    Responses,
    blocks_of,
    by_label,
    observed_trials,
    rows_of,
    selected,
)
from repbias.io.recordings import Recording
from repbias.io.untrusted import readable, refuse_size
from repbias.recordings.spec import Preparation, trial_keys

#: Responses with fewer values, such as counts of few neurons, are equal by chance.
MANY_VALUES = 10

logger = logging.getLogger(__name__)


class StimulusFile(Spec):
    """Settings of all that is read from a file and joined with a stimulus set by id."""

    path: InputPath
    """The file."""
    stimuli: str
    """The stimulus set that was shown, an entry of ``images:``."""
    source: str = ""
    """Citation or origin, shown in the report."""

    def parts_of(self, path: Path) -> list[str]:
        """Return the files that are read of a path: a folder of some software has several."""
        return [str(path)]

    def input_files(self) -> list[str]:
        """Return all files that are read; changing one reruns what uses them."""
        return self.parts_of(self.path)


class FileRecording(StimulusFile):
    """Settings of every recording that is read from a file."""

    if TYPE_CHECKING:
        kind: str  # a literal in every subclass

    modality: str = "unknown"
    """What was measured: spikes, calcium, fMRI, MEG, ..."""
    exclude: list[str] = []
    """Ids of stimuli to leave out, such as a blank screen."""
    analyse_subjects: list[str] | None = None
    """The subjects that are analysed; by default all."""
    analyse_regions: list[str] | dict[Name, list[str]] | None = None
    """The regions that are analysed, each by itself; by default all. A mapping joins several under
    a new name: `{ventral: [V4, IT]}`; no region may be in two."""

    def left_out(self) -> list[Path]:
        """Return the files that a setting `leave_out` names: they are not read."""
        return []

    @field_validator("exclude", "analyse_subjects")
    @classmethod
    def _different(cls, ids: list[str] | None) -> list[str] | None:
        return None if ids is None else refuse_duplicates(ids)

    @field_validator("analyse_regions")
    @classmethod
    def _in_one_group(
        cls, regions: list[str] | dict[str, list[str]] | None
    ) -> list[str] | dict[str, list[str]] | None:
        groups = regions.values() if isinstance(regions, dict) else [regions or []]
        refuse_duplicates(list(chain(*groups)))
        return regions


class ResponseRecording(FileRecording, Preparation):
    """Settings of every recording with responses of units, not only RDMs."""

    response_unit: str = ""
    """Unit of measure of a response, for example "spikes in 100 ms"."""
    unmatched: Literal["refuse", "leave_out"] = "refuse"
    """What to do with trials of stimuli that are not in the stimulus set."""
    rename: InputPath | None = None
    """CSV file with two columns and no header: the name of a stimulus in the recording, and its id
    in the stimulus set. Names that are not listed stay as they are."""

    def input_files(self) -> list[str]:
        """Return all files that the recording is read from; changing one reruns what uses it."""
        return [*super().input_files(), *([str(self.rename)] if self.rename else [])]


#: Which rows of a table are meant: columns, and the value or values that each must have.
Where = dict[str, str | bool | float | list[str | bool | float]]


class WithTrials(ResponseRecording):
    """Settings of every recording whose trials are rows of a table."""

    trials_where: Where = {}
    """Trials to keep: columns of the table of trials, or events, and the value or list of values
    that each must have, for example `{completed: 1}`; by default all."""


#: How an axis that follows the ids of the whole set is sorted: what a user writes, and the order,
#: empty where all are the same.
SORTED = {
    "sorted": "",
    **dict.fromkeys(("sorted as text", "text"), "as text"),
    **dict.fromkeys(("sorted naturally", "natural"), "naturally"),
}


class StimulusAxis(StimulusFile):
    """Further settings of what is read from arrays that have an axis of stimuli (or trials)."""

    #: Further words that `stimulus_ids` may be, beside the name of a text file.
    other_ids: ClassVar[tuple[str, ...]] = ()

    stimulus_ids: str | list[str]
    """Ids along the stimulus (or trial) axis: a list, a text file with one id per line, `variable:`
    and the name of an array of text or numbers in the same file, or `sorted` if the axis follows
    the sorted ids of the whole stimulus set. Where the order is not the same for everyone, say
    `sorted as text` or `text` (`im10` before `im2`, capitals before small letters), or `sorted
    naturally` or `natural` (`im2` before `im10`)."""

    def input_files(self) -> list[str]:
        """Return all files that the recording is read from; changing one reruns what uses it."""
        return [*super().input_files(), *self.id_files()]

    def id_files(self) -> list[str]:
        """Return the text file of the ids, if there is one."""
        ids = self.stimulus_ids
        return [] if isinstance(ids, list) or self._is_no_file(ids) else [ids]

    @classmethod
    def _is_no_file(cls, ids: str) -> bool:
        return ids in (*SORTED, *cls.other_ids) or ids.startswith("variable:")

    @field_validator("stimulus_ids")
    @classmethod
    def _file_exists(cls, ids: str | list[str]) -> str | list[str]:
        if isinstance(ids, list) or cls._is_no_file(ids):
            return ids
        path = Path(expand_variables(ids))
        if not path.is_file():
            words = ", ".join(map(repr, (*SORTED, *cls.other_ids)))
            raise ValueError(
                f"expected a list of ids, {words}, 'variable:NAME', or a text file with one id per "
                f"line; there is no file {path}"
            )
        return str(path)


class NamedAxes(StimulusAxis):
    """Further settings of recordings in a bare array."""

    variable: str | None = None
    """Name of the array in the file; dots step into MATLAB structures. A pattern with a `*`, such
    as `sub*`, names an array for each subject; `*` in `stimulus_ids` then stands for the same."""
    variables: list[str] = []
    """Instead of `variable`: the names of several arrays, one for each subject, with the same
    axes. Subjects may differ in units and in repeats."""

    @property
    def has_subject_arrays(self) -> bool:
        """Whether there is an array for each subject."""
        return bool(self.variables) or "*" in (self.variable or "")

    @model_validator(mode="after")
    def _one_way_to_name_arrays(self) -> NamedAxes:
        refuse_duplicates(self.variables)
        if self.variables and self.variable is not None:
            raise ValueError("give variable or variables, not both")
        return self


@dataclass(kw_only=True)
class RawResponses:
    """Responses as a reader finds them, in the order of the file.

    Attributes
    ----------
    stimulus : (trial,) what was shown, of any type
    responses : (trial, unit) or (trial, unit, time); NaN where a unit was not observed; in blocks
        where files or subjects have trials and units of their own
    trials : further columns of trials, such as "repeat", "session", "run" and "start_time"
    units : columns of units; "unit" (unique), "subject" and "region" are required
    info : further metadata; "times_s", the centres of the time bins, if there is a time axis
    standard_errors : (trial, unit), for responses that are averages over repeats
    """

    stimulus: Any
    responses: Responses
    units: Mapping[str, Any]
    trials: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    standard_errors: np.ndarray | None = None


def read_lines(path: Path) -> list[str]:
    """Return the non-blank lines of a text file, without surrounding white space."""
    with readable(path, "a text file"):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return [line.strip() for line in lines if line.strip()]


def load_named_axes(spec: NamedAxes, axes: Sequence[str]) -> np.ndarray:
    """Load an array and check it against the names of its axes.

    Axes called ``_`` must have length 1 and are dropped.

    Raises
    ------
    RepbiasError
        If the number of axes differs, or an unnamed axis is longer than 1.
    """
    return with_named_axes(spec.path, load_array(spec.path, spec.variable), axes)


def with_named_axes(path: Path, array: np.ndarray, axes: Sequence[str]) -> np.ndarray:
    """Check an array against the names of its axes, as :func:`load_named_axes` does."""
    refuse_size(path, "the array in double precision", array.shape, 8)
    if array.dtype.kind not in "fiub":
        raise RepbiasError(f"{path}: expected numbers, found an array of {array.dtype}")
    if array.ndim != len(axes):
        raise RepbiasError(
            f"{path}: axes names {len(axes)} axes {axes}, "
            f"but the array has {array.ndim} (shape {array.shape})"
        )
    if array.size == 0:
        pairs = "0 pairs; " if "pair" in axes else ""
        raise RepbiasError(f"{path}: {pairs}the array is empty (shape {array.shape})")
    for name, size in zip(axes, array.shape, strict=True):
        if name == "_" and size != 1:
            raise RepbiasError(
                f"{path}: the axis called _ has length {size}; only axes of length 1 may be "
                f"unnamed (axes {axes}, shape {array.shape})"
            )
    dropped = tuple(i for i, name in enumerate(axes) if name == "_")
    return array.squeeze(axis=dropped).astype(np.float64)


def resolve_ids(spec: StimulusAxis, n: int, known: np.ndarray, unique: bool = True) -> np.ndarray:
    """Return the ids along a stimulus (or trial) axis of length n, in the order of the file.

    Raises
    ------
    RepbiasError
        If there are not n ids, one occurs twice where they must be unique, or their order depends
        on how they are sorted and the entry does not say how.
    """
    if isinstance(spec.stimulus_ids, list):
        ids, origin = as_ids(spec.stimulus_ids), "stimulus_ids"
    elif spec.stimulus_ids in SORTED:
        ids, origin = _sorted_ids(spec, known), f"the sorted ids of '{spec.stimuli}'"
    elif spec.stimulus_ids.startswith("variable:"):
        name = spec.stimulus_ids.removeprefix("variable:")
        ids, origin = as_ids(load_array(spec.path, name).ravel()), f"variable {name!r}"
    else:
        ids, origin = np.array(read_lines(Path(spec.stimulus_ids))), spec.stimulus_ids
    if len(ids) != n:
        raise RepbiasError(
            f"{spec.path}: the stimulus axis has length {n}, but {origin} gives {len(ids)} ids"
        )
    if unique:
        refuse_duplicate_ids(ids, f"{spec.path}: {origin}")
    return ids


def _sorted_ids(spec: StimulusAxis, known: np.ndarray) -> np.ndarray:
    """Return the ids of the whole set in the order of an axis that follows them."""
    ways = orders(known.tolist())
    way = SORTED[str(spec.stimulus_ids)]
    if not way and len(ways) > 1:
        raise RepbiasError(
            f"{spec.path}: stimulus_ids: the ids of '{spec.stimuli}' have more than one sorted "
            f"order ({first_difference(ways)}); say 'sorted as text' (as Python and MATLAB's sort "
            "do), 'sorted naturally' (numbers by value), or name a text file with one id per line"
        )
    return np.array(ways.get(way, ways["as text"]), dtype=known.dtype)


@dataclass(kw_only=True)
class Matched:
    """How the stimuli of a recording were joined with their set.

    Attributes
    ----------
    ids : (trial,) or (stimulus,) ids as the set has them, or as the recording does if it has not
    used : which are in the set and not excluded, bool
    excluded : which are excluded, bool
    info : what was done, for the recording's `info`
    """

    ids: np.ndarray
    used: np.ndarray
    excluded: np.ndarray
    info: dict[str, Any]


def match_stimuli(spec: FileRecording, ids: np.ndarray, known: np.ndarray) -> Matched:
    """Rename the stimuli of a recording, leave out what is excluded, and join them with the set.

    Parameters
    ----------
    spec
        The entry of ``recordings:``.
    ids
        (trial,) or (stimulus,), as the recording has them.
    known
        Sorted ids of the stimulus set.

    Raises
    ------
    RepbiasError
        If none is in the set, or any is not and the entry does not allow it (``unmatched:
        leave_out``); if any could be one or another; or if an excluded id does not occur.
    """
    said: dict[str, int] = {}
    if isinstance(spec, ResponseRecording) and spec.rename is not None:
        ids, said = renamed(spec.path, spec.rename, ids)
    left_out = excluded(spec.exclude, np.unique(ids), str(spec.path))
    is_left_out = np.isin(ids, left_out)
    joined = join(ids[~is_left_out], known)
    joined.refuse_unclear(str(spec.path), f"'{spec.stimuli}'")
    if joined.absent:
        found = f"{spec.path}: {joined.missing(repr(spec.stimuli))}"
        if getattr(spec, "unmatched", "refuse") == "refuse" or not joined.pairs:
            renames = "'rename' gives them the ids of the set, "
            may = renames if isinstance(spec, ResponseRecording) and not spec.rename else ""
            raise RepbiasError(f"{found}; {may}'exclude' leaves out stimuli by id")
        logger.warning("%s; their trials are left out", found)
    said |= {f"matched {joined.said}": len(joined.ignored)} if joined.said else {}
    for sentence in said:
        logger.info("%s: %s", spec.path, sentence)
    names_of_set = join(left_out, known).translated(left_out).tolist()
    return Matched(
        ids=joined.translated(ids),
        used=~is_left_out & np.isin(ids, list(joined.pairs)),
        excluded=is_left_out,
        info={"excluded_ids": names_of_set} | ({"matched": said} if said else {}),
    )


def renamed(path: Path, rename: Path, ids: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
    """Return ids with the names that a file gives them; those that it does not list are the same.

    Parameters
    ----------
    path
        The file that has the ids, for messages.
    rename
        A file of two columns: a name, and what it becomes.
    ids
        (stimulus,) or (trial,).

    Returns
    -------
    ids : numpy.ndarray
        As given.
    said : dict
        What was ignored of their form, in words, and of how many; empty if nothing was.

    Raises
    ------
    RepbiasError
        If it is no file of two columns, or a name could be one or another.
    """
    names = _read_names(rename)
    renaming = join(ids, names)
    renaming.refuse_unclear(str(path), str(rename))
    new = {old: names[name] for old, name in renaming.pairs.items()}
    said = {f"renamed {renaming.said}": len(renaming.ignored)} if renaming.said else {}
    return np.array([new.get(name, name) for name in ids.tolist()], dtype=str), said


def _read_names(path: Path) -> dict[str, str]:
    """Read a file of two columns: the names of stimuli in a recording, and their ids."""
    with readable(path, "a text file"), path.open(encoding="utf-8-sig", newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    for number, row in enumerate(rows, 1):
        if len(row) != 2:
            raise RepbiasError(f"{path}: line {number} has {len(row)} columns, expected 2")
    refuse_duplicate_ids(np.array([old for old, _ in rows]), str(path))
    return dict(rows)


def canonical(spec: ResponseRecording, known: np.ndarray, raw: RawResponses) -> Recording:
    """Put what a reader found into the canonical form and order, joined with the stimulus set.

    The order does not depend on the order of rows in the file. Units are sorted by subject and
    name; trials by stimulus, then by those columns of :data:`ORDER_COLUMNS` that exist, and where
    these do not distinguish them, by a hash of their responses. Trials in which no unit was
    observed, and subjects that were in none, are left out.

    Parameters
    ----------
    spec
        The entry of ``recordings:``.
    known
        Sorted ids of the stimulus set.
    raw
        Responses in the order of the file.

    Raises
    ------
    RepbiasError
        If a unit's name occurs twice, a response is infinite, nothing was observed, or stimuli are
        not in the set.
    """
    responses = raw.responses
    if not isinstance(responses, Blocks):
        responses = np.asarray(responses)
        if responses.dtype.kind != "f":
            responses = responses.astype(np.float64)
    matched = match_stimuli(spec, as_ids(raw.stimulus), known)
    ids = matched.ids
    units = {name: np.asarray(values) for name, values in raw.units.items()}
    refuse_duplicate_ids(units["unit"].astype(str), f"{spec.path}: units")
    n_infinite = sum(int(np.isinf(block.values).sum()) for block in blocks_of(responses))
    if n_infinite:
        raise RepbiasError(f"{spec.path}: {n_infinite} responses are infinite")
    observed = observed_trials(responses)
    used = matched.used & observed
    if not used.any():
        raise RepbiasError(f"{spec.path}: every response is NaN")
    # Elsewhere NaN fills up arrays of stimuli with fewer repeats than others.
    if "start_time" in raw.trials and not observed.all():
        n_lost = int((~observed).sum())
        logger.warning(
            "%s: %d of %d trials are NaN in all units, and left out", spec.path, n_lost, len(ids)
        )
    _warn_of_unobserved(spec, ids[matched.used], ids[used])
    _warn_of_copies(spec, ids, responses, used)
    rows = np.flatnonzero(used)
    seen = _of_observed_subjects(spec, selected(responses, rows), units["subject"])
    unmatched = ids[~matched.used & ~matched.excluded]

    by_name = np.lexsort([units["unit"].astype(str), units["subject"].astype(str)])
    by_name = by_name[seen[by_name]]
    units = {name: values[by_name] for name, values in units.items()}
    trials = {name: np.asarray(values)[rows] for name, values in raw.trials.items()}
    order = _trial_order(ids[rows], selected(responses, rows), by_name, trials)
    rows = rows[order]
    ids = ids[rows]
    errors = raw.standard_errors
    repeat = np.arange(len(ids)) - np.searchsorted(ids, ids)  # ids are sorted
    return Recording(
        stimuli={"stimulus_id": np.unique(ids)},
        responses=_by_subject(selected(responses, rows, by_name), units["subject"]),
        trials={
            "stimulus_id": ids,
            "repeat": repeat,
            **{name: values[order] for name, values in trials.items()},
        },
        standard_errors=None if errors is None else errors[rows][:, by_name],
        units=units,
        info={
            **{key: getattr(spec, key) for key in ("kind", "modality", "response_unit", "source")},
            "file": spec.path.name,
            "preparation": spec.preparation(),
            "unmatched_trials": len(unmatched),
            "unmatched_ids": np.unique(unmatched).tolist(),
            **matched.info,
            **raw.info,
        },
    )


def _warn_of_unobserved(spec: FileRecording, shown: np.ndarray, observed: np.ndarray) -> None:
    """Warn of stimuli of the set that were shown, but have no response."""
    unobserved = np.setdiff1d(shown, observed)
    if len(unobserved):
        some = ", ".join(unobserved[:5])
        logger.warning("%s: %d stimuli have no response: %s", spec.path, len(unobserved), some)


def _warn_of_copies(
    spec: FileRecording, ids: np.ndarray, responses: Responses, used: np.ndarray
) -> None:
    """Warn of trials whose responses are another's of their stimulus, to the last digit.

    Files that were copied, or exported twice, would count as repeats without noise. Few units, or
    counts, may well be equal.
    """
    copies: list[str] = []
    for block in blocks_of(responses):
        seen: set[tuple[str, int]] = set()
        for trial, values in zip(block.trials, block.values, strict=True):
            key = (str(ids[trial]), hash(values.tobytes()))
            if used[trial] and key in seen and len(np.unique(values)) >= MANY_VALUES:
                copies.append(key[0])
            seen.add(key)
    if copies:
        logger.warning(
            "%s: %d trials hold the same numbers as another trial of their stimulus, and count as "
            "its repeats: are files or rows there twice? Their stimuli: %s",
            spec.path,
            len(copies),
            ", ".join(list(dict.fromkeys(copies))[:5]),
        )


def _of_observed_subjects(
    spec: FileRecording, responses: Responses, subjects: np.ndarray
) -> np.ndarray:
    """Return which units are of subjects with a response, (unit,) bool; warn of other subjects."""
    kept = np.ones(len(subjects), bool)
    names = dict.fromkeys(subjects.tolist())
    for name in names if len(names) > 1 else ():
        of_subject = subjects == name
        if not observed_trials(selected(responses, units=of_subject)).any():
            logger.warning("%s: no response of subject %r; it is left out", spec.path, str(name))
            kept &= ~of_subject
    return kept


def _by_subject(responses: Responses, subjects: np.ndarray) -> Responses:
    """Return responses in double precision, in blocks if subjects have trials of their own."""
    found = by_label(responses, subjects)
    if isinstance(found, np.ndarray):
        return np.asarray(found, dtype=np.float64)
    blocks = (Block(b.trials, b.units, np.asarray(b.values, np.float64)) for b in found.blocks)
    return Blocks(found.shape, tuple(blocks))


def _trial_order(
    ids: np.ndarray, responses: Responses, units: np.ndarray, trials: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the order of trials by stimulus, columns that order them, and a hash."""
    # The order by hash is unrelated to the size of responses, so that folds by repeat stay fair.
    # The hash includes the stimulus: otherwise equal counts would come first for every stimulus.
    digests = [
        hashlib.blake2b(row.tobytes() + stimulus.encode(), digest_size=8).hexdigest()
        for row, stimulus in zip(rows_of(responses, units), ids.tolist(), strict=True)
    ]
    return np.lexsort([np.array(digests), *reversed(trial_keys(trials)), ids])
