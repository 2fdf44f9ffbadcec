"""Responses in a text table (CSV, TSV): one row per response, or one row per trial."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from repbias.base.spec import RepbiasError, Spec
from repbias.io.recordings import Recording
from repbias.io.text_tables import find_column, is_missing, numbers, read_table, texts, typed
from repbias.recordings.readers.common import RawResponses, WithTrials, canonical
from repbias.recordings.readers.files import (
    count_left_out,
    plain_columns,
    select_trials,
    trials_left_out,
)
from repbias.recordings.spec import ORDER_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

#: Times are rounded to nanoseconds, so that the same bin has the same time in all rows.
TIME_DECIMALS = 9


class TableColumns(Spec):
    """Names of the columns."""

    stimulus: str = "stimulus"
    """Stimulus id."""
    unit: str = "unit"
    """Long format: name of the unit."""
    response: str = "response"
    """Long format: the response; empty, `NaN` or `n/a` where it was not observed."""
    repeat: str = "repeat"
    """Repeat of the stimulus (within the session); may be absent."""
    session: str = "session"
    """Session; may be absent."""
    subject: str = "subject"
    """Subject; may be absent."""
    region: str = "region"
    """Long format: brain region of the unit; may be absent. Regions that stand in a table of units
    are merged with the responses before (docs/bring-your-recording.md)."""
    time: str = "time"
    """Long format: centre of the time bin in seconds; absent if there is one response per trial."""


class TableRecording(WithTrials):
    """A text table, separated by commas (`.csv`), tabs (`.tsv`) or white space (`.txt`).

    Long format: one row per response of a unit. Rows with the same subject and unit are one unit;
    rows with the same stimulus, session and repeat are one trial. Without a column for repeats,
    several rows of a unit and stimulus are its repeats; which of them were simultaneous with those
    of other units is then unknown, and they are numbered in an arbitrary order. Other columns are
    not read.

    Wide format: one row per trial, one column per unit. Other columns are kept with the trials.

    The order of rows does not matter.
    """

    kind: Literal["table"]
    """Text table."""
    format: Literal["long", "wide"]
    """`long`: one row per response; `wide`: one row per trial."""
    columns: TableColumns = TableColumns()
    """Names of the columns, where they differ from the defaults."""
    units: list[str] | Literal["numeric others"] = "numeric others"
    """Wide format: the columns that are units; by default all numeric columns that are neither
    named in `columns`, `trial_columns` or `trials_where` nor called `run` or `start_time`."""
    trial_columns: list[str] = []
    """Wide format: numeric columns that describe the trial instead of being units."""
    subject: str = Field("subject1", min_length=1)
    """Name of the subject, if there is no such column."""
    region: str = ""
    """Brain region, if there is no such column."""

    @model_validator(mode="before")
    @classmethod
    def _regions_are_a_column(cls, data: Any) -> Any:
        if isinstance(data, dict) and "regions" in data:
            raise ValueError(
                "regions: unknown key of a table; the region of a unit is a column of the long "
                "format, columns: {region: area}; merge a table of units with that of responses "
                "(docs/bring-your-recording.md, 'If your data differ')"
            )
        return data

    @model_validator(mode="after")
    def _settings_fit_the_format(self) -> TableRecording:
        if self.window and self.format == "wide":
            raise ValueError("window is for time bins; a wide table has none")
        if self.format == "long":
            unused = {"units", "trial_columns"} & self.given()
        else:
            only_long = {"unit", "response", "region", "time"} & self.columns.given()
            unused = {f"columns.{name}" for name in only_long}
        if unused:
            raise ValueError(f"{', '.join(sorted(unused))}: not for the {self.format} format")
        return self


def read(spec: TableRecording, stimulus_ids: np.ndarray) -> Recording:
    """Read the table into trial rows.

    A file that was truncated between two rows, or within its last number, cannot be distinguished
    from a complete one.

    Raises
    ------
    RepbiasError
        If a column is missing, a cell is of the wrong type, or a response occurs twice.
    """
    table = read_table(spec.path)
    if not len(table):
        raise RepbiasError(f"{spec.path}: holds no rows below the header")
    selected = select_trials(spec, spec.path, table, len(table))
    read_rows = _long if spec.format == "long" else _wide
    recording = read_rows(spec, table[selected], stimulus_ids)
    stimulus = table[find_column(spec.path, table, spec.columns.stimulus)]
    recording.info |= trials_left_out(spec, count_left_out(selected, stimulus))
    return recording


def _long(spec: TableRecording, table: pd.DataFrame, stimulus_ids: np.ndarray) -> Recording:

    columns = {name: _column(spec, table, name) for name in TableColumns.model_fields}
    rows = _long_rows(spec, table, columns)
    units = _units(spec, rows)
    trial = ["stimulus", "session", "repeat"]
    trial_of, unit_of, time_of = (
        rows.groupby(keys).ngroup().to_numpy() for keys in (trial, ["subject", "unit"], ["time"])
    )
    times = np.unique(rows["time"])
    responses = np.full((trial_of.max() + 1, len(units["unit"]), len(times)), np.nan)
    responses[trial_of, unit_of, time_of] = rows["response"]
    trials = rows[trial].drop_duplicates().sort_values(trial)
    kept = ["session", "repeat"] if columns["session"] else ["repeat"]
    raw = RawResponses(
        stimulus=trials["stimulus"],
        responses=responses if columns["time"] else responses[:, :, 0],
        trials={name: typed(trials[name]) for name in kept},
        units=units,
        info={"times_s": times.tolist()} if columns["time"] else {},
    )
    return canonical(spec, stimulus_ids, raw)


def _long_rows(
    spec: TableRecording, table: pd.DataFrame, columns: dict[str, str | None]
) -> pd.DataFrame:
    """Return the rows of a long table with columns of our own names, and check them.

    Parameters
    ----------
    spec, table
        The entry of ``recordings:`` and its table.
    columns
        Names of columns in the file by our own; None where the file lacks an optional one.
    """
    import pandas as pd

    response = find_column(spec.path, table, spec.columns.response)
    rows = pd.DataFrame(index=table.index)
    for name in ("stimulus", "unit"):
        column = columns[name] or find_column(spec.path, table, getattr(spec.columns, name))
        rows[name] = texts(spec.path, table, column)
    for name, default in (("session", ""), ("repeat", "0"), ("subject", spec.subject)):
        optional = columns[name]
        rows[name] = texts(spec.path, table, optional) if optional else default
    rows["region"] = table[columns["region"]] if columns["region"] else ""
    rows["region"] = rows["region"].where(~is_missing(rows["region"]), spec.region)
    rows["response"] = numbers(spec.path, table, response)
    rows["time"] = 0.0
    if columns["time"]:
        rows["time"] = _times(spec, table, columns["time"])
    elif spec.window:
        raise RepbiasError(f"{spec.path}: window needs a column of times")
    key = ["stimulus", "unit"]
    key += [name for name in ("session", "repeat", "subject", "time") if columns[name]]
    if columns["repeat"] or columns["time"]:
        repeat = spec.columns.repeat
        hint = "" if columns["repeat"] else f"; a column {repeat!r} would distinguish repeats"
        _refuse_duplicate_rows(spec, rows[key], "response", hint)
    else:
        rows["repeat"] = _count_repeats(spec, rows)
    return rows


def _times(spec: TableRecording, table: pd.DataFrame, column: str) -> np.ndarray:
    times = numbers(spec.path, table, column).round(TIME_DECIMALS)
    unknown = np.flatnonzero(~np.isfinite(times))
    if len(unknown):
        line = table.index[unknown[0]]
        raise RepbiasError(f"{spec.path}: line {line}, column {column!r}: is not a time")
    return times


def _column(spec: TableRecording, table: pd.DataFrame, name: str) -> str | None:
    """Return the name of a column in the file; None if it is absent and was not set explicitly."""
    called = getattr(spec.columns, name)
    if called in table or name in spec.columns.given():
        return find_column(spec.path, table, called)
    return None


def _units(spec: TableRecording, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the columns of units, sorted by subject and name."""
    units = rows[["subject", "unit", "region"]].drop_duplicates().sort_values(["subject", "unit"])
    duplicates = units[units.duplicated(["subject", "unit"], keep=False)]
    if len(duplicates):
        where = " and ".join(repr(region) for region in sorted(duplicates["region"][:2]))
        raise RepbiasError(
            f"{spec.path}: unit {duplicates['unit'].iloc[0]!r} is in two regions, {where}"
        )
    if units["subject"].nunique() > 1:
        units["unit"] = units["subject"] + "/" + units["unit"]
    return {name: column.to_numpy(dtype=str) for name, column in units.items()}


def _count_repeats(spec: TableRecording, rows: pd.DataFrame) -> np.ndarray:
    """Enumerate the responses of every unit to every stimulus, in the order of a hash.

    The hash includes stimulus and unit: otherwise the same response would come first everywhere,
    and first repeats would differ systematically from the others.
    """
    import pandas as pd

    key = ["stimulus", "session", "subject", "unit"]
    together = rows["response"].map(float.hex)
    for name in key:
        together = rows[name] + "\0" + together
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in together]
    order = pd.DataFrame({"missing": rows["response"].isna().to_numpy(), "digest": digests})
    in_order = order.sort_values(["missing", "digest"]).index
    repeats = np.empty(len(rows), int)
    repeats[in_order] = rows.iloc[in_order].groupby(key).cumcount()
    if repeats.any():
        logger.warning(
            "%s: no column %r: several rows of a stimulus and unit are taken for its repeats, and "
            "which of them units have in common is unknown",
            spec.path,
            spec.columns.repeat,
        )
    return repeats.astype(str)


def _refuse_duplicate_rows(
    spec: TableRecording, key: pd.DataFrame, what: str, hint: str = ""
) -> None:
    """Refuse two rows with the same key, a table indexed by line numbers."""
    duplicates = key.index[key.duplicated()]
    if len(duplicates):
        row = key.loc[duplicates[0]]
        first = key.index[(key == row).all(axis=1)][0]
        shown = ", ".join(f"{name} {value}" for name, value in row.items())
        raise RepbiasError(
            f"{spec.path}: lines {first} and {duplicates[0]} are the same {what} ({shown}){hint}"
        )


def _wide(spec: TableRecording, table: pd.DataFrame, stimulus_ids: np.ndarray) -> Recording:
    import pandas as pd

    stimulus = find_column(spec.path, table, spec.columns.stimulus)
    shown = texts(spec.path, table, stimulus)
    called = {name: _column(spec, table, name) for name in ("repeat", "session", "subject")}
    subject = _only_subject(spec, table, called.pop("subject"))
    described = {find_column(spec.path, table, name) for name in spec.trial_columns}
    reserved = {stimulus, spec.columns.subject, *called.values(), *ORDER_COLUMNS} | described
    reserved |= spec.trials_where.keys()
    units = _unit_columns(spec, table, reserved)
    kept = {name: name for name in table if name not in units and name != spec.columns.subject}
    kept |= {name: column for name, column in called.items() if column}
    del kept[stimulus]
    for name in ("session", "run", "repeat"):
        if name in kept:  # what orders trials and divides them into folds
            texts(spec.path, table, kept[name])
    trials = {name: typed(table[column]) for name, column in kept.items()}
    if called["repeat"]:
        key = {"stimulus": shown} | {n: trials[n] for n in ORDER_COLUMNS if n in trials}
        _refuse_duplicate_rows(spec, pd.DataFrame(key, index=table.index), "trial")
    raw = RawResponses(
        stimulus=shown,
        responses=np.column_stack([numbers(spec.path, table, name) for name in units]),
        trials=plain_columns(trials),
        units={
            "unit": units,
            "subject": np.full(len(units), subject),
            "region": np.full(len(units), spec.region),
        },
    )
    return canonical(spec, stimulus_ids, raw)


def _unit_columns(
    spec: TableRecording, table: pd.DataFrame, reserved: Collection[str | None]
) -> list[str]:
    """Return the columns that are units; those in `reserved` describe trials."""
    if isinstance(spec.units, list):
        units = [find_column(spec.path, table, name) for name in spec.units]
        for name in units:
            if name in reserved:
                raise RepbiasError(f"{spec.path}: units: the column {name!r} describes trials")
    else:
        others = [name for name in table if name not in reserved]
        units = [name for name in others if _holds_numbers(table[name])]
    if not units:
        raise RepbiasError(
            f"{spec.path}: there is no numeric column for a unit, only {', '.join(table)}"
        )
    return units


def _only_subject(spec: TableRecording, table: pd.DataFrame, column: str | None) -> str:
    if column is None:
        return spec.subject
    subjects = np.unique(texts(spec.path, table, column))
    if len(subjects) > 1:
        raise RepbiasError(
            f"{spec.path}: trials of {len(subjects)} subjects ({', '.join(subjects[:5])}); use the "
            "long format, or a recording for each"
        )
    return str(subjects[0])


def _holds_numbers(cells: pd.Series) -> bool:
    """Whether any cell is a number; text among numbers is later refused as a response."""
    import pandas as pd

    return bool(pd.to_numeric(cells, errors="coerce").notna().any())
