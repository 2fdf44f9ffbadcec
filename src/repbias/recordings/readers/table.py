"""Responses in a table of text (CSV, TSV): one row per response, or one row per trial."""

from __future__ import annotations

import csv
import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from repbias.base.spec import RepbiasError, Spec, nearest
from repbias.io.recordings import Recording
from repbias.io.untrusted import readable, refuse_size
from repbias.recordings.readers.common import ResponseRecording, canonical
from repbias.recordings.readers.files import plain_columns
from repbias.recordings.spec import ORDER_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

#: What separates cells, by the file's ending; None is any white space.
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": None}
#: Cells, in any case, that say "not observed".
MISSING = ("", "nan", "na", "n/a")
#: Times that differ by less than a nanosecond are one time.
TIME_DECIMALS = 9


class TableColumns(Spec):
    """What the columns are called."""

    stimulus: str = "stimulus"
    """What was shown."""
    unit: str = "unit"
    """Long format: which unit responded."""
    response: str = "response"
    """Long format: how it responded; empty, `NaN` or `n/a` where it was not observed."""
    repeat: str = "repeat"
    """Which presentation of the stimulus (in its session); may be absent."""
    session: str = "session"
    """Which session; may be absent."""
    subject: str = "subject"
    """Who was recorded; may be absent."""
    region: str = "region"
    """Long format: where the unit is; may be absent."""
    time: str = "time"
    """Long format: centre of the time bin in seconds; absent if there is one response a trial."""


class TableRecording(ResponseRecording):
    """A table as text: comma-separated (`.csv`), tab-separated (`.tsv`) or by white space (`.txt`).

    Long format: one row per response of a unit. Units of one subject and name are one unit; rows of
    one stimulus, session and repeat are one trial. Without a column for repeats, several rows of a
    unit and stimulus are its repeats; which of them were simultaneous with those of other units is
    then unknown, and each unit's are counted in an arbitrary order. Other columns are not read.

    Wide format: one row per trial, one column per unit. Other columns are kept with the trials.

    The order of rows does not matter.
    """

    kind: Literal["table"]
    """Table of text."""
    format: Literal["long", "wide"]
    """`long`: one row per response; `wide`: one row per trial."""
    columns: TableColumns = TableColumns()
    """What the columns are called, where not as by default."""
    units: list[str] | Literal["numeric others"] = "numeric others"
    """Wide format: the columns that are units; or all columns of numbers that are neither named in
    `columns` or `trial_columns` nor called `run` or `start_time`."""
    trial_columns: list[str] = []
    """Wide format: columns of numbers that are no units, but tell something of the trial."""
    subject: str = Field("subject1", min_length=1)
    """Who was recorded, if no column says it."""
    region: str = ""
    """Where was recorded, if no column says it."""

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

    A file that was cut off between two rows, or within its last number, cannot be told from a
    whole one.

    Raises
    ------
    RepbiasError
        If a column is missing, a cell is not what its column holds, or a response occurs twice.
    """
    table = read_table(spec.path)
    if not len(table):
        raise RepbiasError(f"{spec.path}: holds no rows below the line of column names")
    return (_long if spec.format == "long" else _wide)(spec, table, stimulus_ids)


def read_table(path: Path, header: list[str] | None = None) -> pd.DataFrame:
    """Read a table of text; every cell stays text, without surrounding white space.

    Parameters
    ----------
    path
        A .csv, .tsv or .txt (separated by white space) file, UTF-8.
    header
        Names of the columns, if the file's first line does not hold them.

    Returns
    -------
    pandas.DataFrame
        Its index are the numbers of the lines in the file.

    Raises
    ------
    RepbiasError
        If the file is no text, a line has too few or too many cells, or the names of two columns
        are the same.
    """
    import pandas as pd

    suffix = path.suffix.lower()
    if suffix not in SEPARATORS:
        raise RepbiasError(
            f"{path}: unknown kind of table {suffix!r}; expected {', '.join(SEPARATORS)}"
        )
    with readable(path, "a table of text"):
        refuse_size(path, "the file", (path.stat().st_size,))
        rows = _rows(path, SEPARATORS[suffix])
        names = header if header is not None else next(rows, (0, []))[1]
        names = [name.strip() for name in names]
        _check_names(path, names)
        # pandas fills short rows without a word, so they are counted here.
        lines = []
        for line, cells in rows:
            if len(cells) != len(names):
                raise RepbiasError(
                    f"{path}: line {line} has {len(cells)} cells for {len(names)} columns "
                    f"({', '.join(names)})"
                )
            lines.append(line)
        if not lines:
            return pd.DataFrame({name: np.array([], dtype=str) for name in names})
        table = pd.read_csv(
            path,
            sep=SEPARATORS[suffix] or r"\s+",
            names=names,
            header=None if header is not None else 0,
            dtype=str,
            na_filter=False,
            index_col=False,
            encoding="utf-8-sig",
        )
        table.index = pd.Index(lines)
        return table.apply(lambda column: column.str.strip())


def _rows(path: Path, separator: str | None) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of every line that is not blank."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        if separator is None:
            rows = ((number, line.split()) for number, line in enumerate(file, 1))
        else:
            reader = csv.reader(file, delimiter=separator)
            rows = ((reader.line_num, cells) for cells in reader)
        yield from ((number, cells) for number, cells in rows if cells)


def _check_names(path: Path, names: list[str]) -> None:
    if not names:
        raise RepbiasError(f"{path}: the file is empty")
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if twice:
        raise RepbiasError(f"{path}: two columns are called {twice[0]!r}")
    if "" in names:
        raise RepbiasError(
            f"{path}: column {names.index('') + 1} has no name; leave it out if it is an index"
        )


def find_column(path: Path, table: pd.DataFrame, name: str) -> str:
    """Return the name of a column that must be there."""
    if name not in table:
        raise RepbiasError(f"{path}: no column {name!r}; {nearest(name, table.columns)}")
    return name


def numbers(path: Path, table: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column of numbers, NaN where a cell says that it was not observed.

    Raises
    ------
    RepbiasError
        If a cell holds something else; names its line and column.
    """
    import pandas as pd

    cells = table[name]
    missing = cells.str.lower().isin(MISSING)
    values = pd.to_numeric(cells.where(~missing, "nan"), errors="coerce").astype(float)
    wrong = np.flatnonzero(values.isna() & ~missing)
    if len(wrong):
        raise RepbiasError(
            f"{path}: line {table.index[wrong[0]]}, column {name!r}: expected a number, found "
            f"{cells.iloc[wrong[0]]!r}"
        )
    return values.to_numpy()


def texts(path: Path, table: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column of text in which every cell must say something."""
    empty = np.flatnonzero(table[name].str.lower().isin(MISSING))
    if len(empty):
        raise RepbiasError(f"{path}: line {table.index[empty[0]]}, column {name!r}: is empty")
    return table[name].to_numpy(dtype=str)


def typed(cells: np.ndarray) -> np.ndarray:
    """Return whole numbers or numbers if all cells are, otherwise the text.

    Examples
    --------
    >>> typed(["10", "9"]), typed(["0.5", ""]), typed(["a", "1"])
    (array([10,  9]), array([0.5, nan]), array(['a', '1'], dtype='<U1'))
    """
    text = np.asarray(cells, dtype=str)
    for kind, values in (
        (np.int64, text),
        (np.float64, np.where(np.isin(np.char.lower(text), MISSING), "nan", text)),
    ):
        try:
            return values.astype(kind)
        except (ValueError, OverflowError):
            continue
    return text


def _long(spec: TableRecording, table: pd.DataFrame, stimulus_ids: np.ndarray) -> Recording:
    import pandas as pd

    columns = {name: _column(spec, table, name) for name in TableColumns.model_fields}
    response = find_column(spec.path, table, spec.columns.response)
    rows = pd.DataFrame(index=table.index)
    for name, otherwise in (
        *(("stimulus", None), ("unit", None), ("session", "")),
        *(("repeat", "0"), ("subject", spec.subject)),
    ):
        column = columns[name]
        if column is None and otherwise is None:
            find_column(spec.path, table, getattr(spec.columns, name))
        rows[name] = texts(spec.path, table, column) if column else otherwise
    rows["region"] = table[columns["region"]] if columns["region"] else ""
    rows["region"] = rows["region"].where(rows["region"] != "", spec.region)
    rows["response"] = numbers(spec.path, table, response)
    rows["time"] = 0.0
    if columns["time"]:
        rows["time"] = numbers(spec.path, table, columns["time"]).round(TIME_DECIMALS)
        unknown = np.flatnonzero(~np.isfinite(rows["time"]))
        if len(unknown):
            line = table.index[unknown[0]]
            raise RepbiasError(f"{spec.path}: line {line}, column {columns['time']!r}: no time")
    elif spec.window:
        raise RepbiasError(f"{spec.path}: window needs a column of times")
    key = ["stimulus", "unit"]
    key += [name for name in ("session", "repeat", "subject", "time") if columns[name]]
    if columns["repeat"] or columns["time"]:
        repeat = spec.columns.repeat
        hint = "" if columns["repeat"] else f"; a column {repeat!r} would tell repeats apart"
        _refuse_twice(spec, rows[key], "response", hint)
    else:
        rows["repeat"] = _count_repeats(spec, rows)

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
    return canonical(
        spec,
        stimulus_ids,
        trials["stimulus"],
        responses if columns["time"] else responses[:, :, 0],
        {name: typed(trials[name]) for name in kept},
        units,
        {"times_s": times.tolist()} if columns["time"] else {},
    )


def _column(spec: TableRecording, table: pd.DataFrame, name: str) -> str | None:
    """Return what the column is called, None if it is absent; refuse if it was asked for."""
    called = getattr(spec.columns, name)
    if called in table or name in spec.columns.given():
        return find_column(spec.path, table, called)
    return None


def _units(spec: TableRecording, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the columns of units, sorted by subject and name."""
    units = rows[["subject", "unit", "region"]].drop_duplicates().sort_values(["subject", "unit"])
    twice = units[units.duplicated(["subject", "unit"], keep=False)]
    if len(twice):
        where = " and ".join(repr(region) for region in sorted(twice["region"][:2]))
        raise RepbiasError(
            f"{spec.path}: unit {twice['unit'].iloc[0]!r} is in two regions, {where}"
        )
    if units["subject"].nunique() > 1:
        units["unit"] = units["subject"] + "/" + units["unit"]
    return {name: column.to_numpy(dtype=str) for name, column in units.items()}


def _count_repeats(spec: TableRecording, rows: pd.DataFrame) -> np.ndarray:
    """Count the responses of every unit to every stimulus, in the order of a hash.

    The hash depends on stimulus and unit too: otherwise equal responses would come first
    everywhere, and the first repeats would differ from the others.
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
            "%s: no column %r: several rows of a stimulus and unit are its repeats, and which of "
            "them units share is unknown",
            *(spec.path, spec.columns.repeat),
        )
    return repeats.astype(str)


def _refuse_twice(spec: TableRecording, key: pd.DataFrame, what: str, hint: str = "") -> None:
    """Refuse two rows with the same key; the index are line numbers."""
    twice = key.index[key.duplicated()]
    if len(twice):
        row = key.loc[twice[0]]
        first = key.index[(key == row).all(axis=1)][0]
        told = ", ".join(f"{name} {value}" for name, value in row.items())
        raise RepbiasError(
            f"{spec.path}: lines {first} and {twice[0]} are the same {what} ({told}){hint}"
        )


def _wide(spec: TableRecording, table: pd.DataFrame, stimulus_ids: np.ndarray) -> Recording:
    import pandas as pd

    stimulus = find_column(spec.path, table, spec.columns.stimulus)
    shown = texts(spec.path, table, stimulus)
    called = {name: _column(spec, table, name) for name in ("repeat", "session", "subject")}
    subject = _only_subject(spec, table, called.pop("subject"))
    about_trials = {find_column(spec.path, table, name) for name in spec.trial_columns}
    reserved = {stimulus, spec.columns.subject, *called.values(), *ORDER_COLUMNS} | about_trials
    others = [name for name in table if name not in reserved]
    if isinstance(spec.units, list):
        units = [find_column(spec.path, table, name) for name in spec.units]
        for name in units:
            if name in reserved:
                raise RepbiasError(f"{spec.path}: units: the column {name!r} is about trials")
    else:
        units = [name for name in others if _holds_numbers(table[name])]
    if not units:
        raise RepbiasError(
            f"{spec.path}: there is no column of numbers for a unit, only {', '.join(table)}"
        )
    kept = {name: name for name in table if name not in units and name != spec.columns.subject}
    kept |= {name: column for name, column in called.items() if column}
    del kept[stimulus]
    trials = {name: typed(table[column]) for name, column in kept.items()}
    if called["repeat"]:
        key = {"stimulus": shown} | {n: trials[n] for n in ORDER_COLUMNS if n in trials}
        _refuse_twice(spec, pd.DataFrame(key, index=table.index), "trial")
    return canonical(
        spec,
        stimulus_ids,
        shown,
        np.column_stack([numbers(spec.path, table, name) for name in units]),
        plain_columns(trials),
        {
            "unit": units,
            "subject": np.full(len(units), subject),
            "region": np.full(len(units), spec.region),
        },
        {},
    )


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
    """Whether any cell is a number; a text among numbers is then refused as a response."""
    import pandas as pd

    found = cells[~cells.str.lower().isin(MISSING)]
    return bool(pd.to_numeric(found, errors="coerce").notna().any())
