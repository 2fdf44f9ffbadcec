"""Write and read tables as CSV files: one writer and one reader for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repbias.base.spec import CONTROL, nearest, printable
from repbias.io.files import StoreError, atomic
from repbias.tables.catalogue import TABLES
from repbias.tables.renamed import REPLACED_TABLES, refuse_older

if TYPE_CHECKING:
    import pandas as pd

    from repbias.tables.row import Row

#: What the columns of a type hold, in words.
_EXPECTED = {bool: "True or False", int: "whole numbers", float: "numbers"}
#: Kinds of NumPy types whose values all belong into the columns of a type.
_SAFE = {bool: "b", int: "iu", float: "iuf"}


def as_table(name: str, rows: Any = ()) -> pd.DataFrame:
    """Return rows (a frame, or a list of mappings) as the named table, columns in order.

    Raises
    ------
    ValueError
        If the rows lack a column.
    TypeError
        If there is text in a column of numbers or truth values.

    Examples
    --------
    >>> as_table("units").columns[-3:].tolist()
    ['unit', 'feature', 'r2']
    """
    import pandas as pd

    columns = list(TABLES[name].columns)
    if not len(rows):
        return pd.DataFrame(columns=columns)
    frame = pd.DataFrame(rows)
    if missing := [column for column in columns if column not in frame]:
        raise ValueError(f"table {name!r}: rows without {', '.join(map(repr, missing))}")
    if misfit := _misfit(frame, TABLES[name], _is_no_text):
        raise TypeError(f"table {name!r}: {misfit}")
    return frame[columns]


def join_tables(name: str, parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all parts of a table."""
    import pandas as pd

    filled = [part for part in parts if len(part)]
    return as_table(name, pd.concat(filled, ignore_index=True) if filled else ())


def write_table(path: str | Path, name: str, frame: pd.DataFrame) -> None:
    """Write one of :data:`TABLES` as CSV; nine digits, so float32 survives.

    Control characters in names from files become their escapes: a carriage return would break a
    row in two, and figures cannot show others.

    Raises
    ------
    ValueError
        If the rows lack a column.
    TypeError
        If a value is not of its column's type.
    """
    table = as_table(name, frame)
    if misfit := _misfit(table, TABLES[name], _is_of_type):
        raise TypeError(f"{path}: {misfit}")
    table = table.astype(_numbers(TABLES[name]))
    for column in (column for column, kind in TABLES[name].types.items() if kind is str):
        texts = [text for text in table[column].unique() if isinstance(text, str)]
        escaped = {text: printable(text) for text in texts if CONTROL.search(text)}
        if escaped:
            table = table.assign(**{column: table[column].replace(escaped)})
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.9g")


def read_table(path: str | Path, name: str) -> pd.DataFrame:
    """Read one of :data:`TABLES`, or a part of it.

    Raises
    ------
    StoreError
        If the file is missing, its columns are not the table's, a value is not of its column's
        type, or an older version wrote it, with names that have changed since.
    """
    header = _header(path)
    if name not in TABLES or tuple(header) != TABLES[name].columns:
        refuse_older(path, header)
        if name not in TABLES:
            instead = REPLACED_TABLES.get(name) or nearest(name, TABLES)
            raise StoreError(f"{path}: no table is called {name!r}; {instead}")
        raise StoreError(
            f"{path}: expected the columns {list(TABLES[name].columns)}, found {list(header)}"
        )
    table = _typed(path, TABLES[name])
    refuse_older(path, table)
    return table


def read_tables(paths: Iterable[str | Path]) -> dict[str, pd.DataFrame]:
    """Read files that are called after their tables; every other table is there, but empty."""
    read = {Path(path).stem: read_table(path, Path(path).stem) for path in paths}
    return {name: read[name] if name in read else as_table(name) for name in TABLES}


def read_any(path: str | Path) -> tuple[str | None, pd.DataFrame]:
    """Read a CSV file: one of :data:`TABLES`, known by its columns, or any other (name None).

    Raises
    ------
    StoreError
        If the file is missing or no table.
    """
    columns = tuple(_header(path))
    name = next((name for name, row in TABLES.items() if row.columns == columns), None)
    if name is None:
        return None, _csv(path, keep_default_na=False, na_values=[""])
    return name, _typed(path, TABLES[name])


def _header(path: str | Path) -> pd.DataFrame:
    """Return a file's table without its rows."""
    return _csv(path, nrows=0)


def _typed(path: str | Path, row: type[Row]) -> pd.DataFrame:
    """Read a table whose columns are those of a row class."""
    numbers = _numbers(row)
    table = _csv(
        path,
        dtype={column: str for column in row.columns if column not in numbers},
        # A layer may be called "0" and a condition "NA"; only an empty number is missing.
        keep_default_na=False,
        na_values={column: [""] for column in numbers},
    )
    if misfit := _misfit(table, row, _is_of_type):
        raise StoreError(f"{path}: {misfit}")
    return table.astype(numbers)


def _csv(path: str | Path, **settings: Any) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_csv(path, **settings)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: not a readable table ({error})") from error


def _numbers(row: type[Row]) -> dict[str, type]:
    """Return the columns that are not text, with their types."""
    return {column: kind for column, kind in row.types.items() if kind is not str}


def _misfit(
    table: pd.DataFrame, row: type[Row], fits: Callable[[object, type], bool]
) -> str | None:
    """Name a value that does not fit its column, if there is one; text may be anything."""
    for column, kind in _numbers(row).items():
        # Large tables have the right types; only in others does every value need a look.
        if table[column].dtype.kind in _SAFE[kind]:
            continue
        for value in table[column]:
            if not fits(value, kind):
                return f"column {column!r}: expected {_EXPECTED[kind]}, found {value!r}"
    return None


def _is_no_text(value: object, _kind: type) -> bool:
    return not isinstance(value, str)


def _is_of_type(value: object, kind: type) -> bool:
    if kind is bool:
        return value in (0, 1)
    if isinstance(value, bool) or not isinstance(value, Real):
        return kind is float and value is None
    return kind is float or float(value).is_integer()
