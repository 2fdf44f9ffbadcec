"""Fingerprints of the code that a step runs, so that an edit reruns what it changes.

Snakemake does not see edits of an imported package. A rule's parameters therefore hold a hash of
every module of this package that its script imports, directly or through others. Comments,
docstrings and formatting do not count.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from repbias.base.spec import kind_of
from repbias.config.analyses import OF_NETWORKS, OF_RECORDINGS
from repbias.networks.architectures import ARCHITECTURES
from repbias.stimuli.families import FAMILIES

PACKAGE = Path(__file__).parents[1]


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
        digest.update(_normalised(module).encode())
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
        for module in _imports(waiting.pop()):
            if module not in found:
                found.add(module)
                waiting.append(module)
    return found


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    names = []
    for node in _run(_tree(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(file for name in names for file in _files(name))


def _run(tree: ast.Module) -> Iterator[ast.AST]:
    """Go through what is run: not what stands under ``if TYPE_CHECKING``."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _files(name: str) -> Iterator[Path]:
    """Go through a module's file and the packages around it."""
    first, *parts = name.split(".")
    if first != PACKAGE.name:
        return
    for depth in range(len(parts) + 1):
        place = PACKAGE.joinpath(*parts[:depth])
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                yield file


def _is_text(statement: ast.stmt) -> bool:
    """Say whether a statement is a docstring, of a setting too."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@cache
def _normalised(path: Path) -> str:
    tree = _tree(path)
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            if isinstance(block := getattr(node, name, None), list):
                block[:] = [statement for statement in block if not _is_text(statement)]
    return ast.dump(tree)
