"""Templates of file names, such as ``sub-{subject}/eeg/*_run-{run}_eeg.vhdr``."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

logger = logging.getLogger(__name__)

#: Placeholders of a template, in the order in which they identify a file, and what they match.
PLACEHOLDERS = dict.fromkeys(("subject", "session", "run"), "[^/_]+")


def match(
    name: str, folder: Path, template: str, placeholders: Mapping[str, str] = PLACEHOLDERS
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

    Raises
    ------
    ValueError
        If nothing matches, a placeholder is unknown, or the template is an absolute path.
    """
    found = [(p, m) for p, m in _globbed(name, folder, template, placeholders) if m]
    if not found:
        raise ValueError(f"{name}: no file in {folder} matches {template!r}")
    for path, matched in found:
        yield path, matched.groupdict()


def warn_of_others(
    name: str, folder: Path, template: str, placeholders: Mapping[str, str] = PLACEHOLDERS
) -> None:
    """Name the files that would match a template if its placeholders matched any text.

    Parameters are those of :func:`match`, which leaves these files out.
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
            ", ".join(others[:10]) + (", ..." if len(others) > 10 else ""),
        )


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
