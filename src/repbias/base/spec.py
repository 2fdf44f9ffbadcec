"""The base of every model in the configuration, and the error that bad input raises.

Each subpackage owns the models of its own section of ``config.yaml``, and
:mod:`repbias.config.study` composes them, so a job that needs one section imports one subpackage.
"""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

T = TypeVar("T")

#: Characters that control a terminal or the direction of text instead of being displayed, and
#: code points that are not characters, which XML cannot hold.
CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str) -> str:
    r"""Escape control characters, except line breaks and tabs.

    Examples
    --------
    >>> print(printable("a\x1b[31mb"))
    a\x1b[31mb
    """
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


#: Longer texts are no names, and some take the square of their length to be composed.
MAX_COMPOSED = 1000


def composed(text: str) -> str:
    """Return a name in composed form (NFC), in which a letter and its accent are one character."""
    return unicodedata.normalize("NFC", text) if len(text) <= MAX_COMPOSED else text


def visible(text: str) -> str:
    r"""Escape characters that are not seen, and those that composed names do not have.

    Examples
    --------
    >>> print(visible("cafe\u0301"), visible("caf\xe9"), visible("a\xa0b"))
    cafe\u0301 café a\xa0b
    """
    expected = composed(text)
    return "".join(
        c
        if c.isascii() or (c.isprintable() and c in expected)
        else c.encode("unicode_escape").decode()
        for c in text
    )


def shown(name: str) -> str:
    """Return a name in quotes, as it can be told from every other: see :func:`visible`."""
    return visible(repr(str(name)))


def shortened(text: str, width: int = 300) -> str:
    """Abbreviate a long text by leaving out its middle.

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
        """Return the message, escaped: names from files must not control the terminal."""
        return printable(super().__str__())


#: Whether settings know their docstrings. Only the reference of the configuration needs them, and
#: reading them takes a third of the time of importing all settings.
DOCUMENTED = bool(os.environ.get("REPBIAS_DOCUMENTED"))


class Spec(BaseModel):
    """A section of the configuration: immutable, and unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        use_attribute_docstrings=DOCUMENTED,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _reject_bool_for_number(cls, settings: Any) -> Any:
        """Refuse `yes` and `true`, which Python takes for 1, where a setting is not boolean."""
        for name, value in settings.items() if isinstance(settings, dict) else ():
            items = value if isinstance(value, list) else [value]
            if name in cls.model_fields and any(isinstance(item, bool) for item in items):
                annotation = cls.model_fields[name].annotation
                if annotation is not bool and bool not in get_args(annotation):
                    raise ValueError(f"{name} is {str(value).lower()}, but is not a yes/no setting")
        return settings

    def given(self) -> set[str]:
        """Return the names of the settings that are required or differ from their defaults.

        Unlike ``model_fields_set``, this does not count defaults that were written out.
        """
        fields = type(self).model_fields.items()
        return {
            name
            for name, field in fields
            if field.is_required()
            or getattr(self, name) != field.get_default(call_default_factory=True)
        }


def kind_of(model: type[Spec]) -> str:
    """Return the `kind` that a configuration calls a model by."""
    kind: str = get_args(model.model_fields["kind"].annotation)[0]
    return kind


def one_of(*models: type[Spec]) -> Any:
    """Return the type of a section that is one of several models, chosen by their `kind`.

    The first one is meant where the configuration has no `kind`.
    """
    if len(models) == 1:
        return models[0]
    kinds = [kind_of(model) for model in models]

    def kind(settings: Any) -> Any:
        if isinstance(settings, dict):
            return settings.get("kind", kinds[0])
        return getattr(settings, "kind", None)

    tagged = [Annotated[m, Tag(name)] for m, name in zip(models, kinds, strict=True)]
    return Annotated[Union[tuple(tagged)], Discriminator(kind)]  # noqa: UP007 (made at run time)


#: At most this many of the allowed words are listed in a message.
MAX_OPTIONS = 100


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Suggest the allowed word that was probably meant, if another one, and list all of them.

    Examples
    --------
    >>> nearest("optimzer", ["optimizer", "batch_size"])
    "did you mean 'optimizer'? (allowed: batch_size, optimizer)"
    >>> nearest("optimizer", ["optimizer", "batch_size"])
    'allowed: batch_size, optimizer'
    """
    options = sorted(map(str, allowed))
    close = closest(word, options)
    ellipsis = f", ... ({len(options)} in all)" if len(options) > MAX_OPTIONS else ""
    listed = ", ".join(map(visible, options[:MAX_OPTIONS])) + ellipsis or "nothing"
    if close is None:
        return f"allowed: {listed}"
    return f"did you mean {shown(close)}? (allowed: {listed})"


def closest(word: str, options: Sequence[str]) -> str | None:
    """Return the word that was probably meant, None if there is none, or it is the word itself.

    Examples
    --------
    >>> closest("OK", ["aborted", "ok"]), closest("ok", ["aborted", "ok"])
    ('ok', None)
    """
    if str(word) in options:
        return None
    same = [option for option in options if option.lower() == str(word).lower()]
    return next(iter(same or difflib.get_close_matches(str(word)[:300], options, n=1)), None)


#: At most this many keys are listed in a message: those that are most like the unknown one.
MAX_KEYS = 12


def nearest_key(path: str, allowed: Iterable[str]) -> str:
    """Suggest the key that was probably meant, and list keys of its section.

    A key of another section is suggested only where it is called the same, and is the only one.

    Examples
    --------
    >>> keys = ["network.init", "network.init_scale", "training.decay"]
    >>> nearest_key("network.scale", keys)
    "did you mean 'network.init_scale'? (allowed: network.init, network.init_scale)"
    >>> nearest_key("network.decay", keys)
    "did you mean 'training.decay'? (allowed: network.init, network.init_scale)"
    """
    everywhere = sorted(map(str, allowed))
    section, _, key = path.rpartition(".")
    inside = [option for option in everywhere if option.rpartition(".")[0] == section]
    if inside:
        options = {option.rpartition(".")[2]: option for option in inside}
    else:
        key, options = path, {option: option for option in everywhere}
    key = key[:300]
    like = difflib.get_close_matches(key, options, n=MAX_KEYS, cutoff=0)
    close = difflib.get_close_matches(key, options, n=1)
    close += [name for name in options if len(key) > 3 and key in name]
    meant = [options[name] for name in close]
    same = [option for option in everywhere if option.rpartition(".")[2] == key]
    meant += same if len(same) == 1 else []
    listed = ", ".join(visible(option) for name, option in options.items() if name in like)
    if len(options) > MAX_KEYS:
        listed += f", ... ({len(options)} in all)"
    listed = f"allowed: {listed or 'nothing'}"
    return f"did you mean {shown(meant[0])}? ({listed})" if meant else listed


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


def refuse_duplicates(values: list[T]) -> list[T]:
    """Return a list in which no value may occur twice.

    Raises
    ------
    ValueError
        If one does; names the first.

    Examples
    --------
    >>> refuse_duplicates(["corr", "cosine", "corr"])
    Traceback (most recent call last):
    ...
    ValueError: 'corr' occurs twice
    """
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value!r} occurs twice")
    return values


#: The end of a name that Snakemake mistakes for an endless recursion of rules.
_PERIODIC = re.compile(r"(.{1,10})\1{19}$")


def refuse_periodic(name: str) -> str:
    """Return a name, which may not end with the same characters twenty times.

    Raises
    ------
    ValueError
        If it does: Snakemake would not run it.
    """
    if _PERIODIC.search(name):
        raise ValueError(f"a name cannot end with the same characters 20 times, found {name!r}")
    return name


#: Names become folders, files and Snakemake wildcards.
Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$", max_length=80),
    AfterValidator(refuse_periodic),
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
    """Refuse a path that Snakemake would read as a pattern.

    Raises
    ------
    ValueError
        If it contains a brace or an angle bracket.
    """
    if set("{}<>") & set(str(path)):
        raise ValueError(f"Snakemake reads {{ }} < > in a path as a pattern; rename {path}")


#: A path that must exist before any job starts; environment variables are expanded.
InputPath = Annotated[Path, BeforeValidator(_expand_path), AfterValidator(_must_exist)]
