"""Templates of file names, such as ``sub-{subject}/eeg/*_run-{run}_eeg.vhdr``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

#: Placeholders of a template, in the order in which they identify a file.
PLACEHOLDERS = ("subject", "session", "run")


def match(name: str, folder: Path, template: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield the files and folders that match a template, and the values of its placeholders.

    A placeholder matches any text without ``/`` and ``_``, and ``*`` any without ``/``.

    Parameters
    ----------
    name
        The setting that holds the template, for messages.
    folder
        What the template is relative to.
    template
        The template.

    Raises
    ------
    ValueError
        If nothing matches, a placeholder is unknown, or two files have the same values.
    """
    pattern, seen = "", set()
    for part in re.split(r"(\{\w*\}|\*)", template):
        placeholder = part.strip("{}")
        if part == "*":
            pattern += "[^/]*"
        elif not part.startswith("{"):
            pattern += re.escape(part)
        elif placeholder not in PLACEHOLDERS:
            expected = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            raise ValueError(f"{name}: unknown placeholder {part}; expected {expected}")
        else:
            again = placeholder in seen
            pattern += f"(?P={placeholder})" if again else f"(?P<{placeholder}>[^/_]+)"
            seen.add(placeholder)
    found: dict[tuple[str, ...], Path] = {}
    for path in sorted(folder.glob(re.sub(r"\{\w*\}", "*", template))):
        matched = re.fullmatch(pattern, path.relative_to(folder).as_posix())
        if matched:
            key = tuple(matched.groupdict().values())
            if key in found:
                raise ValueError(f"{name}: {found[key]} and {path} have the same placeholders")
            found[key] = path
            yield path, matched.groupdict()
    if not found:
        raise ValueError(f"{name}: no file in {folder} matches {template!r}")


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
