"""Fingerprints of the code that a step runs, so that an edit reruns what it changes.

Snakemake does not see edits of an imported package. A rule's parameters therefore hold a hash of
every module of this package that its script imports, directly or through others. Comments,
docstrings and formatting do not count.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path
from typing import NamedTuple

from repbias.base.spec import kind_of
from repbias.config.analyses import OF_NETWORKS, OF_RECORDINGS
from repbias.networks.architectures import ARCHITECTURES
from repbias.stimuli.families import FAMILIES

PACKAGE = Path(__file__).parents[1]
#: Modules, as they were at any time, that are remembered for the next run.
MOST = 1000


def code_fingerprint(*files: str | Path) -> str:
    """Hash the modules of this package that Python files import.

    Parameters
    ----------
    files
        What a step runs. A file that is no module of this package does not count itself:
        Snakemake watches scripts.

    Returns
    -------
    str
        Twelve hexadecimal digits.
    """
    digest = hashlib.sha256()
    modules = {Path(file) for file in files if PACKAGE in Path(file).parents}
    modules |= {module for file in files for module in imported_modules(file)}
    for module in sorted(modules):
        digest.update(module.relative_to(PACKAGE).as_posix().encode())
        digest.update(_module(module).code.encode())
    return digest.hexdigest()[:12]


def code_fingerprints(scripts: Path) -> dict[str, str]:
    """Hash what every script runs, and every analysis of a recording.

    Parameters
    ----------
    scripts
        The folder of the workflow's scripts.

    Returns
    -------
    dict
        Name of a script, or an analysis' function as package.module:name, to the fingerprint;
        "training mlp" and the like are what trained networks of an architecture depend on, and
        "stimuli bits" and the like what the training sets of a family do.
    """
    named = {name: module_of(entry.function) for name, entry in OF_NETWORKS.items()}
    training = PACKAGE / "networks/training.py"
    prints = {
        f"training {kind_of(a)}": code_fingerprint(training, module_of(a.__module__))
        for a in ARCHITECTURES
    }
    for family in FAMILIES:
        prints[f"stimuli {kind_of(family)}"] = code_fingerprint(module_of(family.__module__))
    for script in sorted(scripts.glob("*.py")):
        # Analyses are named by text, so that a study can be read without importing them.
        more = named.values() if script.name == "analyse_networks.py" else ()
        prints[script.name] = code_fingerprint(script, *more)
    for entry in OF_RECORDINGS.values():
        script = scripts / "analyse_recording.py"
        prints[entry.function] = code_fingerprint(script, module_of(entry.function))
    _remember()
    return prints


def module_of(function: str) -> Path:
    """Return the file of a module, or of a function, given as package.module:name."""
    parts = function.partition(":")[0].split(".")[1:]
    return PACKAGE.joinpath(*parts).with_suffix(".py")


def imported_modules(script: str | Path) -> set[Path]:
    """Return the files of this package that a script imports, directly or through others."""
    found: set[Path] = set()
    waiting = [Path(script)]
    while waiting:
        for module in _module(waiting.pop()).imports:
            if module not in found:
                found.add(module)
                waiting.append(module)
    return found


class _Module(NamedTuple):
    """What counts of a module: the files of this package that it imports when run, and its code."""

    imports: tuple[Path, ...]
    code: str


@cache
def _module(path: Path) -> _Module:
    source = path.read_bytes()
    key = hashlib.sha256(source).hexdigest()
    known = _parsed_before()
    if key not in known:
        known[key] = _parse(source)
    names, code = known[key]
    files = (file for name in names for file in _files(PACKAGE, name))
    return _Module(tuple(dict.fromkeys(files)), code)


def _parse(source: bytes) -> tuple[list[str], str]:
    """Return the names that a module imports when run, and a hash of its code."""
    # Its tree is not kept: collecting garbage among the trees of all modules takes longer.
    tree = ast.parse(source)
    blocks = list(_blocks(tree))
    for block in blocks:
        block[:] = [statement for statement in block if not _is_text(statement)]
    of_types = [
        statement.body
        for block in blocks
        for statement in block
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"
    ]
    names = []
    for node in (node for block in blocks if block not in of_types for node in block):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    ours = [name for name in dict.fromkeys(names) if name.split(".")[0] == PACKAGE.name]
    return ours, hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _memory() -> Path:
    """Return the file of what was parsed: beside the bytecode of the same version of Python."""
    return Path(cache_from_source(__file__)).with_suffix(".parsed")


@cache
def _parsed_before() -> dict[str, tuple[list[str], str]]:
    """Return what :func:`_parse` gave, by the hash of the source: half of the start of a run."""
    try:
        return dict(json.loads(zlib.decompress(_memory().read_bytes())))
    except (OSError, ValueError, TypeError, zlib.error):
        return {}


def _remember() -> None:
    """Keep what was parsed for the next run, where files may be written."""
    if sys.dont_write_bytecode:
        return
    content = zlib.compress(json.dumps(list(_parsed_before().items())[-MOST:]).encode())
    with suppress(OSError):
        if not _memory().exists() or _memory().read_bytes() != content:
            draft = _memory().with_suffix(f".{os.getpid()}")
            draft.parent.mkdir(exist_ok=True)
            draft.write_bytes(content)
            draft.replace(_memory())


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """Go through every list of statements in a module, and never into expressions: it is quick."""
    for name in ("body", "orelse", "finalbody"):
        if isinstance(block := getattr(node, name, None), list):
            yield block
            for statement in block:
                yield from _blocks(statement)
    for name in ("handlers", "cases"):
        for part in getattr(node, name, ()):
            yield from _blocks(part)


@cache
def _files(package: Path, name: str) -> list[Path]:
    """Return a module's file and those of the packages around it; many modules import the same."""
    _, *parts = name.split(".")
    places = [package.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    files = (file for at in places for file in (at / "__init__.py", at.with_suffix(".py")))
    return [file for file in files if file.is_file()]


def _is_text(statement: ast.stmt) -> bool:
    """Say whether a statement is a docstring, of a setting too."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
