"""What tables and their columns mean, from the docstrings of the row classes.

No step of the pipeline imports this module.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from itertools import groupby, pairwise

from repbias.tables.catalogue import TABLES
from repbias.tables.recurring import Recurring
from repbias.tables.row import Row

_SIDES = {"_a": "of the first side", "_b": "of the second side"}


def row_meaning(table: str) -> str:
    """Return what a row of a table is.

    Examples
    --------
    >>> row_meaning("units")
    'a feature or sub-component in a unit'
    """
    text = _sentence(TABLES[table].__doc__ or "")
    return text[:1].lower() + text[1:]


def own_meanings(table: str) -> dict[str, str]:
    """Return what the columns mean that a table, or a base of it, explains itself.

    Examples
    --------
    >>> own_meanings("probes")
    {'probe': '`linear` or `nonlinear`', 'accuracy': 'Accuracy on the test set, 0 to 1'}
    """
    bases = [row for row in reversed(TABLES[table].__mro__) if row not in (Row, object)]
    return {name: text for row in bases for name, text in attribute_docstrings(row).items()}


def column_meaning(table: str, column: str) -> str:
    """Return what a column of a table means.

    Examples
    --------
    >>> column_meaning("units", "unit")
    "The unit's number; units without variance are left out"
    >>> column_meaning("rsa_models", "step_b")
    'Training step, of the second side'
    """
    own, recurring = own_meanings(table), attribute_docstrings(Recurring)
    if column in own:
        return own[column]
    if column in recurring:
        return recurring[column]
    return f"{recurring[column[:-2]]}, {_SIDES[column[-2:]]}"


def attribute_docstrings(described: type) -> dict[str, str]:
    """Return the docstrings below a class's annotations, by attribute; not those of its bases."""
    return dict(_documented(_classes(described.__module__)[described.__name__]))


@cache
def _classes(module: str) -> dict[str, list[ast.stmt]]:
    """Return the bodies of the classes at the top of a module, by name."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for attribute, text in pairwise(body):
        match attribute, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(docstring))),
            ):
                yield name, _sentence(docstring)


def _sentence(docstring: str) -> str:
    """Return a docstring in one line, without its final full stop."""
    return " ".join(docstring.split()).removesuffix(".")


def markdown() -> str:
    """Return the two lists of docs/file-formats.md: columns that recur, and every table."""
    recurring = attribute_docstrings(Recurring)
    lines = ["Columns that recur:", "", "| column | type | meaning |", "|---|---|---|"]
    lines += [
        f"| `{column}` | {kind.__name__} | {recurring[column]} |"
        for column, kind in Recurring.__annotations__.items()
    ]
    lines += [
        "",
        "`_a` and `_b` at the end of a column's name say which side of a pair it is about.",
        "",
        "| table | a row is | columns, in order |",
        "|---|---|---|",
    ]
    for name in TABLES:
        columns = "<br>".join(_described_columns(name))
        lines.append(f"| `{name}` | {row_meaning(name)} | {columns} |")
    return "\n".join(lines) + "\n"


def _described_columns(table: str) -> Iterator[str]:
    """Go through a table's columns: each that it explains, and runs of those that recur."""
    own = own_meanings(table)
    for is_own, columns in groupby(TABLES[table].types.items(), lambda item: item[0] in own):
        if is_own:
            yield from (f"`{name}` ({kind.__name__}): {own[name]}" for name, kind in columns)
        else:
            yield ", ".join(f"`{name}`" for name, _ in columns)
