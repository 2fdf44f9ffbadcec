"""Pydantic's errors in words: the path as the user wrote it, what was found, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from repbias.base.spec import nearest, nearest_key, shortened

#: Keys and analyses by the names that they had in earlier versions.
RENAMED = {
    "comparators": "rdm_similarities",
    "comparator": "rdm_similarity",
    "doses": "steering_strengths",
    "ledger": "variance_decomposition",
}

#: Keys that stand in another section now.
MOVED = {"encoding.groups": "images.<name>.groups"}


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line per mistake.

    Parameters
    ----------
    error
        What validating against the model raised.
    model
        The model; its keys and kinds are what is allowed.
    """
    lines: dict[str, list[str]] = {}  # by path: what is wrong there
    inside: set[str] = set()  # paths of unions of which one branch was the one that was meant
    for item in error.errors(include_url=False)[:1000]:
        path, container, unions = _locate(item["loc"], model)
        where = ".".join(path)
        inside |= {union for union in unions if union != where}
        found, message = item["input"], item["msg"].removeprefix("Value error, ")
        shown = "" if isinstance(found, dict | BaseModel) else f"found {shortened(repr(found))}; "
        if item["type"] == "extra_forbidden":
            keys = container.model_fields if _is_model(container) else []
            moved = MOVED.get(where)
            meant = f"it is now {moved}" if moved else _meant(path[-1], keys, nearest_key)
            shown, message = "", f"unknown key; {meant}"
        elif item["type"] == "missing":
            shown, message = "", "missing"
        elif item["type"] in ("dict_type", "list_type"):
            message = f"expected a {'mapping' if item['type'] == 'dict_type' else 'list'}"
        elif item["type"] == "literal_error":
            message = _meant(str(found), re.findall(r"'([^']*)'", message))
        elif item["type"].startswith("union_tag"):
            where = f"{where}.kind"
            tags = [tag for member in members(container) for tag in tags_of(member)]
            tag = item.get("ctx", {}).get("tag")
            shown = f"found {tag!r}; " if tag else "missing; "
            message = nearest(tag or "", tags)
        if path and "=" in path[-1]:
            message += "; put names of conditions in quotes, because of the commas in them"
        lines.setdefault(where, []).append(f"{shown}{message[:1].lower()}{message[1:]}")
    return [
        f"{where or 'top level'}: {' or '.join(dict.fromkeys(messages))}"
        for where, messages in lines.items()
        if where not in inside
    ]


def _meant(word: str, allowed: Collection[str], suggest: Callable[..., str] = nearest) -> str:
    """Say what an unknown word is called now, or which of the allowed words is near."""
    if RENAMED.get(word) in allowed:
        return f"it is now called {RENAMED[word]!r}"
    return suggest(word, allowed)


def members(annotation: Any) -> list[Any]:
    """Unwrap Annotated and unions into their members."""
    if hasattr(annotation, "__metadata__"):
        return members(annotation.__origin__)
    if get_origin(annotation) in (Union, UnionType):
        return [m for a in get_args(annotation) for m in members(a)]
    return [annotation]


def tags_of(annotation: Any) -> tuple[str, ...]:
    """Return the values of `kind` that choose a model."""
    kind = annotation.model_fields.get("kind") if _is_model(annotation) else None
    return get_args(kind.annotation) if kind else ()


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _locate(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[list[str], Any, list[str]]:
    """Return the path as the user wrote it, the innermost container, and the unions it is in."""
    path: list[str] = []
    container: Any = model
    annotation: Any = model
    unions: list[str] = []
    for key in loc:
        container = annotation
        options = [member for member in members(annotation) if member is not type(None)]
        if len(options) > 1:  # a branch of a union, not a key
            branches = [m for m in options if key in tags_of(m)]
            if not branches:
                unions.append(".".join(path))
                branches = [m for m in options if _names_branch(key, m)]
            container = annotation = branches[0] if branches else None
            continue
        annotation = None
        for member in options:
            if _is_model(member) and key in member.model_fields:
                container, annotation = member, member.model_fields[key].annotation
            elif get_origin(member) is dict:
                annotation = get_args(member)[1]
            elif get_origin(member) is list:
                annotation = get_args(member)[0]
        if key != "[key]":
            path.append(str(key))
    at_union = bool(loc) and len(members(annotation)) > 1
    return path, annotation if at_union else container, unions


def _names_branch(key: int | str, member: Any) -> bool:
    return str(key).split("[")[0] == (get_origin(member) or member).__name__
