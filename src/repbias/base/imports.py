"""The user's own Python code, named in the configuration as `package.module:callable`."""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from repbias.base.spec import RepbiasError


def check_import_path(path: str) -> str:
    """Check that `package.module:callable` can be found, without importing it."""
    module, colon, name = path.partition(":")
    if not colon or not name.isidentifier():
        raise ValueError("expected 'package.module:callable'")
    module_file(module)
    return path


def imported(path: str) -> Callable[..., Any]:
    """Import a callable of the user's, given as package.module:name.

    Raises
    ------
    RepbiasError
        If that fails, whatever the module does.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        raise RepbiasError(f"{path}: cannot be imported: {told(error)}") from error


def told(error: BaseException) -> str:
    """Return an error of the user's code in words, with the line of it."""
    said = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    package = str(Path(__file__).parents[1])
    own = [f for f in frames if "site-packages" not in f.filename and package not in f.filename]
    own = [frame for frame in own if Path(frame.filename).is_file()]
    if not own or isinstance(error, SyntaxError):  # which says where
        return said
    return f"{said} ({Path(own[-1].filename).name}, line {own[-1].lineno})"


def files_of_import_paths(paths: Iterable[str]) -> list[str]:
    """Return the files of `package.module:callable`s, without importing them."""
    files = [module_file(path.partition(":")[0]) for path in paths]
    return [str(file) for file in files if file]


def module_file(module: str) -> Path | None:
    """Find a module's file without importing it or its packages.

    Returns
    -------
    Path
        None for modules without a file (built into Python).

    Raises
    ------
    ValueError
        If there is no such module.
    """
    top, *rest = module.split(".")
    if not all(part.isidentifier() for part in (top, *rest)):
        raise ValueError(f"{module!r} is no name of a module; expected 'package.module:callable'")
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise ValueError(f"no module named {top!r} is installed, or in this folder or the study's")
    if not rest:
        return Path(found.origin) if found.origin and found.has_location else None
    for place in found.submodule_search_locations or []:
        inside = Path(place).joinpath(*rest)
        for file in (inside / "__init__.py", inside.with_suffix(".py")):
            if file.is_file():
                return file
    raise ValueError(f"package {top!r} has no module {module!r}")
