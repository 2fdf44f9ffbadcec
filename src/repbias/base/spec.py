"""The base of every model in the configuration, and the error that bad input raises.

Each room of the package owns the models of its own section of ``config.yaml``;
:mod:`repbias.config.study` composes them. So a job that needs one section imports one room.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

#: Characters that act on a terminal, or turn text around, instead of being shown; and what is
#: no character, which no XML holds.
CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str) -> str:
    r"""Write control characters as their escapes; line breaks and tabs stay.

    Examples
    --------
    >>> print(printable("a\x1b[31mb"))
    a\x1b[31mb
    """
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def shortened(text: str, width: int = 300) -> str:
    """Leave out the middle of a long text.

    Examples
    --------
    >>> shortened("abcdefghij", 5)
    'ab...ij'
    """
    half = width // 2
    return text if len(text) <= width else f"{text[:half]}...{text[-half:]}"


class RepbiasError(ValueError):
    """Input that cannot be used; the message says where, what was found and what was expected."""

    def __str__(self) -> str:
        """Return the message; names from files must not act on the terminal."""
        return printable(super().__str__())


class Spec(BaseModel):
    """A section of the configuration: unknown keys are refused, values never change."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_no_truths(cls, settings: Any) -> Any:
        """Refuse `yes` and `true`, which Python takes for 1, where they are no choice."""
        for name, value in settings.items() if isinstance(settings, dict) else ():
            given = value if isinstance(value, list) else [value]
            if name in cls.model_fields and any(isinstance(item, bool) for item in given):
                annotation = cls.model_fields[name].annotation
                if annotation is not bool and bool not in get_args(annotation):
                    raise ValueError(f"{name} is {str(value).lower()}, which is no value for it")
        return settings

    def given(self) -> set[str]:
        """Return the settings that differ from their defaults, which may be filled in."""
        fields = type(self).model_fields.items()
        return {
            name
            for name, field in fields
            if field.is_required()
            or getattr(self, name) != field.get_default(call_default_factory=True)
        }


#: Allowed words that are listed where another was found.
MOST_OPTIONS = 100


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Say which of the allowed words is meant, and list them.

    Examples
    --------
    >>> nearest("optimzer", ["optimizer", "batch_size"])
    "did you mean 'optimizer'? (allowed: batch_size, optimizer)"
    """
    options = sorted(map(str, allowed))
    close = difflib.get_close_matches(str(word)[:300], options, n=1)
    more = f", ... ({len(options)} in all)" if len(options) > MOST_OPTIONS else ""
    listed = ", ".join(options[:MOST_OPTIONS]) + more or "nothing"
    return f"did you mean {close[0]!r}? (allowed: {listed})" if close else f"allowed: {listed}"


_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def expand_variables(text: str) -> str:
    """Replace ``${NAME}`` and ``${NAME:-default}`` by environment variables.

    Examples
    --------
    >>> expand_variables("${REPBIAS_NOT_SET:-../shared}/images.zip")
    '../shared/images.zip'
    """

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = os.environ.get(name, default)
        if found is None:
            raise ValueError(f"the environment variable {name} is not set")
        return found

    return _VARIABLE.sub(value, str(text))


#: The end of a name that Snakemake takes for an endless loop of rules.
_ENDLESS = re.compile(r"(.{1,10})\1{19}$")


def refuse_repetition(name: str) -> str:
    """Refuse a name that ends with the same characters twenty times.

    Raises
    ------
    ValueError
        If it does: Snakemake would not run it.
    """
    if _ENDLESS.search(name):
        raise ValueError(f"a name cannot end with the same characters 20 times, found {name!r}")
    return name


#: Names become folders, files and Snakemake wildcards.
Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$", max_length=80),
    AfterValidator(refuse_repetition),
]


def _expand_path(value: object) -> object:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("expected the path of a file or folder")
    return expand_variables(str(value))


def _must_exist(path: Path) -> Path:
    try:
        path.stat()
    except FileNotFoundError:
        raise ValueError(f"no such file or folder (looked in {path.resolve()})") from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    refuse_patterns(path)
    return path


def refuse_patterns(path: Path) -> None:
    """Refuse a path that Snakemake would take for a pattern.

    Raises
    ------
    ValueError
        If there is a brace or a pointed bracket in it.
    """
    if set("{}<>") & set(str(path)):
        raise ValueError(f"Snakemake reads {{ }} < > in a path as a pattern; rename {path}")


#: A path that must exist before any job starts; environment variables are expanded.
InputPath = Annotated[Path, BeforeValidator(_expand_path), AfterValidator(_must_exist)]
