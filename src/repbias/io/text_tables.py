"""Tables that users write (CSV, TSV, text): cells as text, numbers, and what counts as missing."""

from __future__ import annotations

import csv
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repbias.base.spec import RepbiasError, nearest
from repbias.io.unread import refuse_unread
from repbias.io.untrusted import readable, refuse_size

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

#: Separators of cells, by the file's suffix; None is any white space. Where the first line of a
#: .csv file has no comma, but semicolons or tabs, these separate cells.
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": None}
#: Cells without a value, in upper or lower case: empty, or as BIDS, R, pandas, Excel, MATLAB and C
#: write it. "null" and "none" are not among them: conditions are called so.
MISSING = ("", "n/a", "na", "<na>", "#n/a", "nan", "-nan")
#: Leading columns of row numbers, as pandas and R write them and pandas calls them.
_INDEX = re.compile(r"(Unnamed: 0(\.[0-9]+)?)?")
_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]*,[0-9]+([eE][-+]?[0-9]+)?")


def is_number(cell: str) -> bool:
    """Whether a cell holds a number: a first line of nothing else has no names of columns."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


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
        Indexed by line numbers in the file. Leading columns of row numbers without a name, or with
        the name that pandas gives them, are left out. Numbers in a file that is separated by
        semicolons have decimal points, whether they were commas or not. Its ``attrs["said"]`` lists
        what was done of this, in words.

    Raises
    ------
    RepbiasError
        If the file is not text, a line has too few or too many cells, two columns have the same
        name, one has none, or decimals are written in two ways.
    """
    import pandas as pd

    _refuse_unknown(path)
    with readable(path, "a text table"):
        refuse_size(path, "the file", (path.stat().st_size,))
        separator = _separator(path)
        rows = _rows(path, separator)
        names = header if header is not None else next(rows, (0, []))[1]
        names = [name.strip() for name in names]
        n_index = _check_names(path, names)
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
            return pd.DataFrame({name: np.array([], dtype=str) for name in names[n_index:]})
        table = pd.read_csv(
            path,
            sep=separator or r"\s+",
            names=names,
            header=None if header is not None else 0,
            dtype=str,
            na_filter=False,
            index_col=False,
            encoding="utf-8-sig",
        )
        table.index = pd.Index(lines)
        table = table.apply(lambda column: column.str.strip())
        said = _check_index(path, table.iloc[:, :n_index])
        table = table.iloc[:, n_index:]
        if separator == ";":
            said += _points_for_commas(path, table)
        for what in said:
            logger.warning("%s: %s", path, what)
        if separator != SEPARATORS[path.suffix.lower()]:
            said.append(_SEPARATED[str(separator)])
        table.attrs["said"] = said
        return table


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
        names = first_line(path)
        return names[_check_names(path, names) :]


def first_line(path: Path) -> list[str]:
    """Return the cells of the first line that is not blank, which may be the names of columns."""
    cells = next(_rows(path, _separator(path)), (0, []))[1]
    return [cell.strip() for cell in cells]


def numbered_columns(path: Path) -> list[str]:
    """Return names for the columns of a table without a line of names: column01 and so on."""
    n = len(first_line(path))
    return [f"column{i + 1:0{len(str(n))}d}" for i in range(n)]


def _refuse_unknown(path: Path) -> None:
    refuse_unread(path)
    if path.suffix.lower() not in SEPARATORS:
        raise RepbiasError(
            f"{path}: unknown kind of table {path.suffix.lower()!r}; expected "
            f"{', '.join(SEPARATORS)}"
        )


def _separator(path: Path) -> str | None:
    """Return what separates cells: in a .csv file without commas, semicolons or tabs."""
    separator = SEPARATORS[path.suffix.lower()]
    if separator == ",":
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline(2**20)
        if "," not in line:
            return next((other for other in _SEPARATED if other in line), separator)
    return separator


_SEPARATED = {";": "cells are separated by semicolons", "\t": "cells are separated by tabs"}


def _rows(path: Path, separator: str | None) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of every line that is not blank."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _without_nul(path, file)
        if separator is None:
            rows = ((number, line.split()) for number, line in enumerate(lines, 1))
        else:
            reader = csv.reader(lines, delimiter=separator)
            rows = ((reader.line_num, cells) for cells in reader)
        yield from ((number, cells) for number, cells in rows if cells)


def _without_nul(path: Path, lines: Iterable[str]) -> Iterator[str]:
    """Yield lines; pandas 2 ends a cell at a NUL that pandas 3 refuses."""
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise RepbiasError(f"{path}: line {number} holds NUL, which is no text; export it anew")
        yield line


def _check_names(path: Path, names: list[str]) -> int:
    """Refuse names that cannot be told apart; return the number of leading columns of an index."""
    if not names:
        raise RepbiasError(f"{path}: the file is empty")
    n_index = next((i for i, name in enumerate(names) if not _INDEX.fullmatch(name)), len(names))
    if n_index == len(names):
        raise RepbiasError(f"{path}: no column has a name")
    duplicates = sorted(name for name, n in Counter(names).items() if n > 1)
    if duplicates:
        raise RepbiasError(f"{path}: two columns are called {duplicates[0]!r}")
    if "" in names[n_index:]:
        raise RepbiasError(f"{path}: column {names.index('', n_index) + 1} has no name")
    return n_index


def _check_index(path: Path, index: pd.DataFrame) -> list[str]:
    """Refuse leading columns without a name that hold anything but different whole numbers."""
    for i, name in enumerate(index):
        cells = index[name]
        other = cells[~cells.str.fullmatch(r"[0-9]+")]
        if len(other) or cells.duplicated().any():
            found = other.iloc[0] if len(other) else cells[cells.duplicated()].iloc[0]
            raise RepbiasError(
                f"{path}: column {i + 1} has no name, and is no index of rows, as it holds "
                f"{found!r}{'' if len(other) else ' twice'}; give it a name, such as 'stimulus'"
            )
    return [f"column {i + 1} is an index of rows, and left out" for i in range(index.shape[1])]


def _points_for_commas(path: Path, table: pd.DataFrame) -> list[str]:
    """Write decimal commas in columns of numbers as points; return what to say of it."""
    example = ""
    for name in table:
        cells = table[name]
        commas = cells.str.contains(",", regex=False)
        others = cells[~commas & ~is_missing(cells)]
        if not commas.any() or not cells[commas].str.fullmatch(_DECIMAL_COMMA).all():
            continue
        if not others.str.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?").all():
            continue  # a column of text
        points = others[others.str.contains(".", regex=False)]
        if len(points):
            raise RepbiasError(
                f"{path}: column {name!r} has decimal commas (line {cells[commas].index[0]}: "
                f"{cells[commas].iloc[0]}) and points (line {points.index[0]}: {points.iloc[0]}); "
                "write all numbers in one way"
            )
        example = example or cells[commas].iloc[0]
        table[name] = cells.str.replace(",", ".", regex=False)
    return [f"commas in numbers are decimal: {example} is {example.replace(',', '.')}"] * bool(
        example
    )


def find_column(path: Path, table: pd.DataFrame, name: str) -> str:
    """Return the name of a column, which must exist."""
    if name not in table:
        raise RepbiasError(f"{path}: no column {name!r}; {nearest(name, table.columns)}")
    return name


def id_columns(table: Mapping[str, Any]) -> list[str]:
    """Return the columns of text, or else of whole numbers, whose values are all different.

    Parameters
    ----------
    table
        Columns of text, as read, or typed.

    Examples
    --------
    >>> id_columns({"image": ["a", "b"], "category": ["x", "x"], "size": ["1", "2"]})
    ['image']
    """
    columns = {str(name): typed(table[name]) for name in table}
    different = {n: v for n, v in columns.items() if v.size and len(np.unique(v)) == len(v)}
    texts = [n for n, values in different.items() if values.dtype.kind == "U" and all(values)]
    return texts or [name for name, values in different.items() if values.dtype.kind == "i"]


def numbers(path: Path, table: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column of numbers; NaN where a cell means "not observed".

    Raises
    ------
    RepbiasError
        If a cell holds anything else; names its line and column.
    """
    import pandas as pd

    cells = table[name]
    is_number = pd.to_numeric(cells, errors="coerce").notna()
    # The nearest number to the last digit, which to_numeric of pandas 2 misses.
    values = cells.where(is_number, "nan").astype(float)
    no_number = np.flatnonzero(values.isna())
    wrong = no_number[~is_missing(cells.iloc[no_number])]
    if len(wrong):
        found = cells.iloc[wrong[0]]
        hint = "; write decimals with points" if _DECIMAL_COMMA.fullmatch(found) else ""
        raise RepbiasError(
            f"{path}: line {table.index[wrong[0]]}, column {name!r}: expected a number, found "
            f"{found!r}{hint}"
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
