"""A configuration before it is a study: what is in the file, and that it is plain data.

Limits keep a broken or hostile file from filling the memory; no study comes near them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repbias.base.spec import CONTROL, RepbiasError, shortened

if TYPE_CHECKING:
    from yaml import SafeLoader

#: Bytes of a configuration file.
LARGEST = 1_000_000
#: Settings, with everything that YAML's aliases repeat written out; and sections in sections.
MOST_VALUES, DEEPEST = 100_000, 30
#: Problems that are listed.
MOST_PROBLEMS = 50
#: Snakemake runs Python expressions of a file that has this key.
TEMPLATE = "__use_yte__"


class ConfigError(RepbiasError):
    """A configuration with problems, all of them listed."""

    def __init__(self, source: str, problems: list[str]) -> None:
        problems = [shortened(problem, 3000) for problem in problems]
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        listed = problems[:MOST_PROBLEMS]
        if len(problems) > MOST_PROBLEMS:
            listed.append(f"... and {len(problems) - MOST_PROBLEMS} more")
        super().__init__("\n  ".join([f"{source}: {count}", *listed]))


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises
    ------
    RepbiasError
        If there is no such file, it is not YAML, a key occurs twice, it is no mapping, or it holds
        what is no plain data (see :func:`refuse_strange_values`).
    """
    import yaml

    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise RepbiasError(f"{path}: more than {LARGEST:,} bytes; expected a study's settings")
        config = yaml.load(content.decode("utf-8"), Loader=_loader())
    except FileNotFoundError as error:
        raise RepbiasError(
            f"{path}: no such file; say which, or start one: repbias init"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RepbiasError(f"{path}: not a readable text file ({error})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RepbiasError(f"{path}{where}: not valid YAML ({shortened(reason)})") from error
    except RecursionError as error:
        raise RepbiasError(f"{path}: not valid YAML (nested too deeply)") from error
    except ValueError as error:
        if isinstance(error, RepbiasError):
            raise
        # A date that there is not, or a number of thousands of digits.
        raise RepbiasError(f"{path}: not valid YAML ({error})") from error
    if not isinstance(config, dict):
        found = "nothing" if config is None else f"a {type(config).__name__}"
        raise RepbiasError(
            f"{path}: expected keys and values, such as 'study: name'; found {found}"
        )
    if TEMPLATE in config:
        raise RepbiasError(
            f"{path}: {TEMPLATE!r} lets Snakemake run code that is in the file; write plain YAML"
        )
    refuse_strange_values(config, str(path))
    return config


def _loader() -> type[SafeLoader]:
    """Return a loader that refuses keys that occur twice, of which YAML keeps the last one."""
    import yaml
    from yaml.composer import ComposerError

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                    reason = f"the key {shortened(repr(key.value))} occurs twice"
                    raise ComposerError(None, None, reason, key.start_mark)
                seen.add(key.value)
            return node

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            """Merge (`<<`), each key once: merges of merges would double with every level."""
            super().flatten_mapping(node)
            once = {}
            for key, value in node.value:
                once[key.value if isinstance(key, yaml.ScalarNode) else key] = (key, value)
            node.value = list(once.values())

    return Loader


def refuse_strange_values(config: Any, source: str) -> None:
    """Refuse what is no plain data, or too much of it.

    Parameters
    ----------
    config
        What a file or Snakemake says.
    source
        The file's name, for messages.

    Raises
    ------
    ConfigError
        If a key is no text, or a value is no text, finite number of 64 bits, true, false, null,
        list or mapping; if text holds control characters; or if there are too many values or too
        many sections in sections.
    """
    problems = list(_strange_values(config))
    if problems:
        raise ConfigError(source, problems)


def _strange_values(config: Any) -> Iterator[str]:
    waiting: list[tuple[tuple[str, ...], Any]] = [((), config)]
    n_values = 0
    while waiting:
        path, value = waiting.pop()
        where = ".".join(path) or "top level"
        n_values += 1
        if n_values > MOST_VALUES:
            yield f"top level: more than {MOST_VALUES:,} values, those of YAML aliases written out"
            return
        if len(path) > DEEPEST:
            yield f"{'.'.join(path[:5])}: more than {DEEPEST} sections or lists in each other"
            return
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    yield f"{where}: the key {shortened(repr(key))} is no text; put it in quotes"
                elif _acts(key):
                    yield f"{where}: the key {shortened(repr(key))} holds control characters"
            inside = [((*path, _shown(key)), item) for key, item in value.items()]
            waiting += reversed(inside)
        elif isinstance(value, list):
            waiting += reversed([((*path, str(i)), item) for i, item in enumerate(value)])
        elif problem := _strange_value(value):
            yield f"{where}: {problem}"


def _strange_value(value: Any) -> str | None:
    found = f"found {shortened(repr(value)) if not isinstance(value, int) else 'a number'}"
    if isinstance(value, str):
        return f"{found}; text cannot hold control characters" if CONTROL.search(value) else None
    if isinstance(value, int | None):  # true and false too
        fits = value is None or abs(value) < 2**63
        return None if fits else f"{found} of more than 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{found}; expected a finite number"
    return (
        f"{found}, a {type(value).__name__}; expected text, a number, true, false, null, a list or "
        "a mapping (put dates and other text in quotes)"
    )


def _acts(key: str) -> bool:
    """Say whether a key holds control characters; line breaks and tabs are some in a key."""
    return bool(CONTROL.search(key)) or "\n" in key or "\t" in key


def _shown(key: Any) -> str:
    """Return a key as part of a path."""
    return shortened(key if isinstance(key, str) and not _acts(key) else repr(key), 100)
