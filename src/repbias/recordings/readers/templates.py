"""Templates of file names, such as ``sub-{subject}/eeg/*_run-{run}_eeg.vhdr``."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from repbias.base.identities import as_ids
from repbias.base.spec import RepbiasError, Spec, nearest
from repbias.io.text_tables import find_column, is_missing
from repbias.recordings.readers.common import Where

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

#: Placeholders of a template, in the order in which they identify a file, and what they match.
PLACEHOLDERS = dict.fromkeys(("subject", "session", "run"), "[^/_]+")


class FileColumns(Spec):
    """Names of the columns of a table that say to which file a row belongs."""

    subject: str | None = "subject"
    """Subject; may be absent. Where the file's name tells its subject, session or run, but not that
    of the table, only the rows of the file are read; `null`: the column does not matter."""
    session: str | None = "session"
    """Session; may be absent."""
    run: str | None = "run"
    """Run; may be absent."""


def match(
    name: str,
    folder: Path,
    template: str,
    placeholders: Mapping[str, str] = PLACEHOLDERS,
    leave_out: Sequence[Where] = (),
) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield the files and folders that match a template, and the values of its placeholders.

    ``*`` matches any text without ``/``.

    Parameters
    ----------
    name
        The setting that holds the template, for messages.
    folder
        What the template is relative to.
    template
        The template.
    placeholders
        Those that it may have, and the regular expression of what each matches.
    leave_out
        Files that are not meant: each entry has the value or values of some placeholders.

    Raises
    ------
    ValueError
        If nothing matches, a placeholder is unknown, the template is an absolute path, or an entry
        of `leave_out` names no file.
    """
    globbed = _globbed(name, folder, template, placeholders)
    found = {path: matched.groupdict() for path, matched in globbed if matched}
    if not found:
        raise ValueError(f"{name}: no file in {folder} matches {template!r}")
    left_out = set(chain(*(_named_by(entry, found, name) for entry in leave_out)))
    if len(left_out) == len(found):
        raise ValueError(f"leave_out: names all {len(found)} files that match {template!r}")
    yield from ((path, where) for path, where in found.items() if path not in left_out)


def _named_by(
    entry: Where, files: Mapping[Path, Mapping[str, str]], name: str
) -> Mapping[Path, Mapping[str, str]]:
    """Return the files that an entry of `leave_out` names by the values of their placeholders."""
    chosen: dict[str, str] = {}
    for placeholder, wanted in entry.items():
        if placeholder not in next(iter(files.values())):
            known = nearest(placeholder, next(iter(files.values())))
            raise ValueError(f"leave_out: {{{placeholder}}} is not in {name!r}; {known}")
        values = {where[placeholder] for where in files.values()}
        meant: set[str] = set()
        for value in as_ids(wanted if isinstance(wanted, list) else [wanted]).tolist():
            equal = {value} & values or {v for v in values if same_name(placeholder, v, value)}
            if not equal:
                named = [f"{name} {known}" for name, known in chosen.items()]
                raise ValueError(
                    f"leave_out: no file of {' and '.join([*named, f'{placeholder} {value!r}'])}; "
                    f"{nearest(value, values)}"
                )
            meant |= equal
        chosen[placeholder] = ", ".join(sorted(map(repr, meant)))
        files = {path: where for path, where in files.items() if where[placeholder] in meant}
    return files


def or_left_out(*files: Mapping[str, str]) -> str:
    """Return the end of a message about files: how to leave them out, by their placeholders.

    Examples
    --------
    >>> or_left_out({"subject": "03", "run": "2"})
    "; to leave it out: leave_out: [{subject: '03', run: '2'}]"
    """
    named = [", ".join(f"{name}: {value!r}" for name, value in where.items()) for where in files]
    entries = _some([f"{{{entry}}}" for entry in dict.fromkeys(named) if entry])
    return f"; to leave {'it' if len(files) == 1 else 'them'} out: leave_out: [{entries}]" * bool(
        entries
    )


def refuse_missing(name: str, files: Sequence[tuple[Path, Mapping[str, str]]]) -> None:
    """Refuse files that belong to those of a template if one does not exist.

    Parameters
    ----------
    name
        The setting that names them.
    files
        Each, and the values of the placeholders of the file that it belongs to.
    """
    missing = [(path, where) for path, where in files if not path.is_file()]
    if missing:
        others = f", nor {len(missing) - 1} more" if len(missing) > 1 else ""
        remedy = or_left_out(*(where for _, where in missing)) if len(missing) < len(files) else ""
        raise ValueError(f"{name}: there is no file {missing[0][0]}{others}{remedy}")


def warn_of_others(
    name: str, folder: Path, template: str, placeholders: Mapping[str, str] = PLACEHOLDERS
) -> None:
    """Name the files that would match a template if its placeholders matched any text.

    And the folders of which no file matches, though they are called as the template has it and have
    files of that kind. Parameters are those of :func:`match`, which does not yield these files.
    """
    others = [
        path.relative_to(folder).as_posix()
        for path, matched in _globbed(name, folder, template, placeholders)
        if not matched
    ]
    if others:
        logger.warning(
            "%s: %d files in %s do not match %r and are left out, as a placeholder matches no '_' "
            "and the same text everywhere: %s",
            name,
            len(others),
            folder,
            template,
            _some(others),
        )
    if without := list(_folders_without_a_match(name, folder, template, placeholders)):
        logger.warning(
            "%s: no file matches %r in %d folders, which are left out: %s",
            name,
            template,
            len(without),
            _some(without),
        )


def _some(paths: list[str]) -> str:
    return ", ".join(paths[:10]) + (", ..." if len(paths) > 10 else "")


def _folders_without_a_match(
    name: str, folder: Path, template: str, placeholders: Mapping[str, str]
) -> Iterator[str]:
    """Yield folders that the template means but for upper case, with other files of its kind."""
    *parents, file = template.split("/")
    if not any("{" in part for part in parents):
        return
    last = re.split(r"[}*]", file)[-1]
    ending = last[last.find(".") :] if "." in last else ""
    meant = re.compile("/".join(map(_any_text, parents)), re.IGNORECASE)
    matched = {
        path.parent for path, match in _globbed(name, folder, template, placeholders) if match
    }
    for place in sorted(folder.glob("/".join("*" for _ in parents))):
        below = place.relative_to(folder).as_posix()
        if place not in matched and meant.fullmatch(below) and any(place.glob(f"*{ending}")):
            yield below


def _any_text(part: str) -> str:
    """Return the regular expression of a folder's name, with any text for its placeholders."""
    return re.sub(r"\\\{\w*\\\}|\\\*", "[^/]*", re.escape(part))


def _globbed(
    name: str, folder: Path, template: str, placeholders: Mapping[str, str]
) -> Iterator[tuple[Path, re.Match[str] | None]]:
    """Yield the paths that match a template whose placeholders are ``*``, and the exact match."""
    if Path(template).is_absolute():
        raise ValueError(f"{name}: {template!r} is absolute; expected it relative to {folder}")
    pattern, seen = "", set()
    for part in re.split(r"(\{\w*\}|\*)", template):
        placeholder = part.strip("{}")
        if part == "*":
            pattern += "[^/]*"
        elif not part.startswith("{"):
            pattern += re.escape(part)
        elif placeholder not in placeholders:
            expected = ", ".join(f"{{{known}}}" for known in placeholders)
            raise ValueError(f"{name}: unknown placeholder {part}; expected {expected}")
        else:
            named = f"(?P<{placeholder}>{placeholders[placeholder]})"
            pattern += f"(?P={placeholder})" if placeholder in seen else named
            seen.add(placeholder)
    for path in sorted(folder.glob(re.sub(r"\{\w*\}", "*", template))):
        yield path, re.fullmatch(pattern, path.relative_to(folder).as_posix())


def fill(name: str, template: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders of a template by their values.

    Examples
    --------
    >>> fill("events", "sub-{subject}/events.tsv", {"subject": "01"})
    'sub-01/events.tsv'

    Raises
    ------
    ValueError
        If a placeholder has no value.
    """

    def value(matched: re.Match[str]) -> str:
        if matched[1] not in values:
            raise ValueError(f"{name}: {matched[0]} is not in 'template'")
        return values[matched[1]]

    return re.sub(r"\{(\w*)\}", value, template)


def rows_of_file(
    path: Path,
    table: pd.DataFrame,
    columns: FileColumns,
    template: str,
    file: tuple[Path, Mapping[str, str]],
    may_mix: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Return the rows of a table for several files that belong to one of them.

    Names are equal as text, as whole numbers (1 and 01), and with BIDS's prefixes (sub-01 and 01).

    Parameters
    ----------
    path, table
        The table; a file has one of its own as far as its template has placeholders.
    columns
        Which columns name subject, session and run.
    template
        The template of the tables' names.
    file
        The file, and the values of the placeholders in its name.
    may_mix
        Which of them may differ between the rows of one file.

    Raises
    ------
    RepbiasError
        If no row belongs to the file, or the name of the file does not tell which ones do.
    """
    for name in PLACEHOLDERS:
        column = getattr(columns, name)
        if name in columns.given() and column is not None:
            find_column(path, table, column)
        if column not in table or f"{{{name}}}" in template:
            continue
        found = table[column][~is_missing(table[column])].unique()
        if name in file[1]:
            wanted = file[1][name]
            table = table[[same_name(name, cell, wanted) for cell in table[column]]]
            if not len(table):
                raise RepbiasError(
                    f"{path}: no row of {column} {wanted!r}, of {file[0]}; {nearest(wanted, found)}"
                )
        elif len(found) > 1 and name not in may_mix:
            raise RepbiasError(
                f"{path}: column {column!r} names several, {', '.join(map(repr, found[:5]))}, and "
                f"{file[0]} does not tell its {name}; find it by a template with {{{name}}}, or "
                f"set 'columns: {{{name}: null}}' if it holds all of them"
            )
    return table


def same_name(kind: str, a: str, b: str) -> bool:
    """Whether two names of a subject, session or run are equal.

    Examples
    --------
    >>> same_name("subject", "sub-01", "1"), same_name("run", "run-2", "3")
    (True, False)
    """

    def bare(name: str) -> str:
        name = name.removeprefix(f"{kind[:3]}-")  # BIDS: sub-, ses-, run-
        return (name.lstrip("0") or "0") if name.isdecimal() else name

    return bare(a) == bare(b)
