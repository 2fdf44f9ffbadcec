"""The base of every table: a class whose annotations are the columns of a row."""

from __future__ import annotations

import re
from typing import Any, ClassVar

#: What a column may hold, by name: annotations may be text.
KINDS: dict[object, type] = {kind.__name__: kind for kind in (str, bool, int, float)}


class Row:
    """A row of a table.

    A subclass is a table. Its annotations are the columns, in order, after those of its bases; its
    docstring says what a row is, and the docstring below an annotation what the column means
    (:mod:`repbias.tables.reference` reads both). Columns that many tables have are explained once,
    in :class:`repbias.tables.recurring.Recurring`.

    Attributes
    ----------
    columns : names of the columns, in order
    types : by column, str, bool, int or float (numbers that may be missing)

    Examples
    --------
    >>> class Shoe(Row):
    ...     name: str
    ...     size: float
    >>> Shoe.columns
    ('name', 'size')
    >>> Shoe.types["size"]
    <class 'float'>
    """

    columns: ClassVar[tuple[str, ...]] = ()
    types: ClassVar[dict[str, type]] = {}

    def __init_subclass__(cls) -> None:
        """Collect the columns.

        Raises
        ------
        TypeError
            If an annotation is no type that a column may have.
        """
        own: dict[str, Any] = {
            column: KINDS.get(kind, kind) for column, kind in cls.__annotations__.items()
        }
        for column, kind in own.items():
            if kind not in KINDS.values():
                raise TypeError(
                    f"{cls.__name__}.{column}: expected str, bool, int or float, found {kind!r}"
                )
        cls.types = {**cls.types, **own}
        cls.columns = tuple(cls.types)


def table_name(row: type[Row]) -> str:
    """Return what a table is called: its class's name in snake case.

    Examples
    --------
    >>> class VarianceExplained(Row):
    ...     r2: float
    >>> table_name(VarianceExplained)
    'variance_explained'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "_", row.__name__).lower()
