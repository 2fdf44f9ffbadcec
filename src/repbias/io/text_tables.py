"""Tables that users write (CSV, TSV, text): cells as text, numbers, and what counts as missing."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.spec import RepbiasError, nearest
from repbias.io.untrusted import readable, refuse_size

if TYPE_CHECKING:
    import pandas as pd

#: Separators of cells, by the file's suffix; None is any white space.
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": None}
#: Cells without a value, in upper or lower case: empty, or as BIDS, R, pandas, Excel, MATLAB and C
#: write it. "null" and "none" are not among them: conditions are called so.
MISSING = ("", "n/a", "na", "<na>", "#n/a", "nan", "-nan")


def is_missing(cells: Any) -> np.ndarray:
    """Return which cells hold no value.

    Examples
    --------
    >>> is_missing(["1", "", "N/A", "none"]).tolist()
    [False, True, True, False]
    """
    return np.isin(np.char.lower(np.asarray(cells, dtype=str)), MISSING)


def read_table(path: Path, header: list[str] | None = None) -> pd.DataFrame:
    """Read a table whose cells all stay text, without surrounding white space.

    Parameters
    ----------
    path
        A .csv, .tsv or .txt (separated by white space) file in UTF-8.
    header
        Names of the columns, if the file has no header.

    Returns
    -------
    pandas.DataFrame
        Indexed by line numbers in the file.

    Raises
    ------
    RepbiasError
        If the file is not text, a line has too few or too many cells, or two columns have the same
        name.
    """
    import pandas as pd

    _refuse_unknown(path)
    suffix = path.suffix.lower()
    with readable(path, "a text table"):
        refuse_size(path, "the file", (path.stat().st_size,))
        rows = _rows(path, SEPARATORS[suffix])
        names = header if header is not None else next(rows, (0, []))[1]
        names = [name.strip() for name in names]
        _check_names(path, names)
        # pandas silently pads short rows, so cells are counted here.
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


def read_header(path: Path) -> list[str]:
    """Return the names of a table's columns; the rest of the file is not read.

    Raises
    ------
    RepbiasError
        If the file is not text, or two columns have the same name.
    """
    _refuse_unknown(path)
    with readable(path, "a text table"):
        refuse_size(path, "the file", (path.stat().st_size,))
        names = next(_rows(path, SEPARATORS[path.suffix.lower()]), (0, []))[1]
        names = [name.strip() for name in names]
        _check_names(path, names)
    return names


def _refuse_unknown(path: Path) -> None:
    if path.suffix.lower() not in SEPARATORS:
        raise RepbiasError(
            f"{path}: unknown kind of table {path.suffix.lower()!r}; expected "
            f"{', '.join(SEPARATORS)}"
        )


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
    duplicates = sorted(name for name, n in Counter(names).items() if n > 1)
    if duplicates:
        raise RepbiasError(f"{path}: two columns are called {duplicates[0]!r}")
    if "" in names:
        raise RepbiasError(
            f"{path}: column {names.index('') + 1} has no name; leave it out if it is an index"
        )


def find_column(path: Path, table: pd.DataFrame, name: str) -> str:
    """Return the name of a column, which must exist."""
    if name not in table:
        raise RepbiasError(f"{path}: no column {name!r}; {nearest(name, table.columns)}")
    return name


def numbers(path: Path, table: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column of numbers; NaN where a cell means "not observed".

    Raises
    ------
    RepbiasError
        If a cell holds anything else; names its line and column.
    """
    import pandas as pd

    cells = table[name]
    values = pd.to_numeric(cells, errors="coerce").astype(float)
    no_number = np.flatnonzero(values.isna())
    wrong = no_number[~is_missing(cells.iloc[no_number])]
    if len(wrong):
        raise RepbiasError(
            f"{path}: line {table.index[wrong[0]]}, column {name!r}: expected a number, found "
            f"{cells.iloc[wrong[0]]!r}"
        )
    return values.to_numpy()


def texts(path: Path, table: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column of text, in which no cell may be missing."""
    empty = np.flatnonzero(is_missing(table[name]))
    if len(empty):
        cell = table[name].iloc[empty[0]]
        found = f"holds {cell!r}, which means missing" if cell else "is empty"
        raise RepbiasError(f"{path}: line {table.index[empty[0]]}, column {name!r}: {found}")
    return table[name].to_numpy(dtype=str)


def typed(cells: Any) -> np.ndarray:
    """Return cells as integers, or else as floats, if all of them can be, otherwise as text.

    Missing cells are NaN among numbers and empty among text, however they are spelled.

    Examples
    --------
    >>> typed(["10", "9"]), typed(["0.5", "n/a"]), typed(["a", "1", "NA"])
    (array([10,  9]), array([0.5, nan]), array(['a', '1', ''], dtype='<U2'))
    """
    text = np.where(is_missing(cells), "", np.asarray(cells, dtype=str))
    numeric = np.where(text == "", "nan", text)
    for kind, values in ((np.int64, text), (np.float64, numeric)):
        try:
            return values.astype(kind) if (text != "").any() else text
        except (ValueError, OverflowError):
            continue
    return text
