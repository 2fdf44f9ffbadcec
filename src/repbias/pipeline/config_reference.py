"""The configuration's JSON schema for editors, and its reference for readers.

``python -m repbias.pipeline.config_reference schema`` and ``... markdown`` print them, if
``REPBIAS_DOCUMENTED`` is set (`make schema`): settings know their docstrings then.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from repbias.base.spec import DOCUMENTED
from repbias.claims.catalogue import CLAIMS
from repbias.claims.evidence import ROLE_WORDS
from repbias.config.explain import members, tags_of
from repbias.config.file import MAX_BYTES, MAX_DEPTH, MAX_VALUES
from repbias.config.study import MOST_CONDITIONS, Study
from repbias.stimuli.features import FUNCTIONS

INTRODUCTION = f"""# Configuration

Every key of a study's YAML file, generated from the models that check it (`make schema`).
`snakemake -n` refuses unknown keys, wrong types and impossible combinations, and says where.

Paths are relative to the folder that Snakemake runs in; `${{NAME}}` and `${{NAME:-default}}` are
replaced by environment variables. They cannot hold {{ }} < >, which Snakemake reads as patterns.

Names of experiments, image sets, networks, features and recordings become names of files and
folders: letters, digits and _ . + -, at most 80, the first one a letter, a digit or _. Names that
differ in upper and lower case only are refused, and so are those that end with the same characters
20 times.

A file is plain YAML of at most {MAX_BYTES:,} bytes. A key that occurs twice is refused (YAML alone
would take the last one), and so are control characters, dates, numbers that are not finite, more
than {MAX_VALUES:,} values with all aliases written out, and more than {MAX_DEPTH} sections in each
other. A study has at most {MOST_CONDITIONS:,} conditions.

`vary` maps the dotted path of any setting of the experiment to its levels, a list or a mapping of
names to values; several paths are crossed. Conditions are called after them:
`optimizer=adam,batch_size=128`, or `base` where nothing varies. All seeds of a condition are
trained in one job: more seeds train the condition anew.

`analyses` names tables; [file-formats.md](file-formats.md#tables) says what each one is.

"""


def _number(item: tuple[str, object]) -> tuple[int, str]:
    """Sort C2 before C10 and C28 before C28b."""
    number = re.search(r"\d+", item[0])
    assert number is not None
    return int(number[0]), item[0]


def json_schema() -> str:
    """Return the JSON schema of a configuration file."""
    return json.dumps(Study.model_json_schema(), indent=2) + "\n"


def markdown() -> str:
    """Return the reference: a table of keys per section, the feature functions and the claims."""
    parts = [INTRODUCTION]
    for path, model in _sections("", Study, set()):
        kind = next((f"`kind: {tag}`" for tag in tags_of(model)), "")
        title = f"`{path}`" if path else "Top level"
        parts.append(f"## {title} {kind}".rstrip() + "\n\n" + cleandoc(model.__doc__ or ""))
        parts.append("\n\n| key | type | default | meaning |\n|---|---|---|---|\n")
        # A section's own keys come before those that it shares.
        own = model.__annotations__
        fields = sorted(model.model_fields.items(), key=lambda item: item[0] not in own)
        for name, field in fields:
            row = (f"`{name}`", _type(field.annotation), _default(field), field.description or "")
            parts.append("| " + " | ".join(" ".join(cell.split()) for cell in row) + " |\n")
        parts.append("\n")
    parts.append("## Feature functions\n\n| function | bits read (k) |\n|---|---|\n")
    for name, function in FUNCTIONS.items():
        k = f"{function.default_k}" + ("" if function.fixed else " by default")
        parts.append(f"| `{name}` | {k}{', odd' if function.odd else ''} |\n")
    parts.append("\n## Claims\n\n[verdicts.md](verdicts.md) says how they are decided, and ")
    parts.append("[questions.md](questions.md) how to ask questions of your own.\n\n")
    parts.append("| claim | roles | statement |\n|---|---|---|\n")
    for name, claim in sorted(CLAIMS.items(), key=_number):
        named = (f"`{role}` ({ROLE_WORDS[kind]})" for role, kind in claim.roles.items())
        roles = ", ".join(named) or "none"
        parts.append(f"| `{name}` | {roles} | {claim.statement} |\n")
    return "".join(parts)


def _sections(
    path: str, model: type[BaseModel], seen: set[type[BaseModel]]
) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        inside = f"{path}.{name}" if path else name
        for annotation, place in _models(field.annotation, inside):
            if annotation not in seen:
                seen.add(annotation)
                yield from _sections(place, annotation, seen)


def _models(annotation: Any, path: str) -> Iterator[tuple[type[BaseModel], str]]:
    for member in members(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            yield member, path
        elif getattr(member, "__origin__", None) is dict:
            yield from _models(member.__args__[1], f"{path}.<name>")


def _type(annotation: Any) -> str:
    names = []
    for member in members(annotation):
        origin = getattr(member, "__origin__", None)
        if member is type(None):
            names.append("null")
        elif origin is dict:
            names.append("mapping of names to " + _type(member.__args__[1]))
        elif origin in (list, tuple):
            names.append("list of " + _type(member.__args__[0]))
        elif hasattr(member, "__args__"):  # a Literal
            names += [f"`{value}`" for value in member.__args__]
        elif isinstance(member, type) and issubclass(member, BaseModel):
            names.append("section")
        else:
            names.append({"str": "text", "Path": "path"}.get(member.__name__, member.__name__))
    return ", ".join(dict.fromkeys(names))


def _default(field: Any) -> str:
    default = field.default
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, BaseModel):
        return "its defaults"
    return f"`{json.dumps(default)}`"


if __name__ == "__main__":
    if not DOCUMENTED:
        sys.exit("error: without REPBIAS_DOCUMENTED=1 settings do not know their docstrings")
    print({"schema": json_schema, "markdown": markdown}[sys.argv[1]](), end="")
