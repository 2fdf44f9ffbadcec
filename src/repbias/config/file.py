"""Reading a configuration file, and checking that it holds nothing but plain data.

Limits keep a broken or hostile file from filling the memory; no real study comes near them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repbias.base.spec import CONTROL, RepbiasError, shortened

if TYPE_CHECKING:
    from yaml import SafeLoader

#: Size limit of a configuration file, in bytes.
MAX_BYTES = 1_000_000
#: Limits on the number of values, with YAML aliases expanded, and on nested sections.
MAX_VALUES, MAX_DEPTH = 100_000, 30
#: At most this many problems are listed.
MAX_PROBLEMS = 50
#: Snakemake evaluates Python expressions in a file that has this key.
TEMPLATE = "__use_yte__"


class ConfigError(RepbiasError):
    """A configuration with problems, which the message lists."""

    def __init__(self, source: str, problems: list[str]) -> None:
        problems = [shortened(problem, 3000) for problem in problems]
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        listed = problems[:MAX_PROBLEMS]
        if len(problems) > MAX_PROBLEMS:
            listed.append(f"... and {len(problems) - MAX_PROBLEMS} more")
        super().__init__("\n  ".join([f"{source}: {count}", *listed]))


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises
    ------
    RepbiasError
        If the file does not exist, is not YAML, has a key twice, is not a mapping, or holds
        anything but plain data (see :func:`require_plain_data`).
    """
    config = _parse(path)
    if not isinstance(config, dict):
        found = "nothing" if config is None else f"a {type(config).__name__}"
        raise RepbiasError(
            f"{path}: expected keys and values, such as 'study: name'; found {found}"
        )
    if TEMPLATE in config:
        raise RepbiasError(
            f"{path}: {TEMPLATE!r} lets Snakemake run code in the file; write plain YAML"
        )
    require_plain_data(config, str(path))
    return config


def _parse(path: Path) -> Any:
    """Load a YAML file of limited size; every failure becomes an error that names the file."""
    import yaml

    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise RepbiasError(
                f"{path}: more than {MAX_BYTES:,} bytes; expected a study's settings"
            )
        return yaml.load(content.decode("utf-8"), Loader=_loader())
    except FileNotFoundError as error:
        raise RepbiasError(
            f"{path}: no such file; name another, or create one with repbias init"
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
        # An impossible date, or a number of thousands of digits.
        raise RepbiasError(f"{path}: not valid YAML ({error})") from error


def _loader() -> type[SafeLoader]:
    """Return a loader that refuses duplicate keys, of which YAML itself would keep the last."""
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
            """Merge (`<<`) every key once; nested merges would otherwise double at every level."""
            super().flatten_mapping(node)
            unique = {}
            for key, value in node.value:
                unique[key.value if isinstance(key, yaml.ScalarNode) else key] = (key, value)
            node.value = list(unique.values())

    return Loader


def require_plain_data(config: Any, source: str) -> None:
    """Refuse a configuration that holds anything but plain data, or too much of it.

    Parameters
    ----------
    config
        Content of a file, or the configuration that Snakemake passes on.
    source
        The file's name, for messages.

    Raises
    ------
    ConfigError
        If a key is not text, or a value is not text, a finite number of 64 bits, true, false,
        null, a list or a mapping; if text holds control characters; or if there are too many
        values or too deeply nested sections.
    """
    problems = list(_problems(config))
    if problems:
        raise ConfigError(source, problems)


def _problems(config: Any) -> Iterator[str]:
    """Walk through all values without recursion, whose depth a hostile file could exhaust."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), config)]
    n_values = 0
    while waiting:
        path, value = waiting.pop()
        where = ".".join(path) or "top level"
        n_values += 1
        if n_values > MAX_VALUES:
            yield f"top level: more than {MAX_VALUES:,} values, with YAML aliases expanded"
            return
        if len(path) > MAX_DEPTH:
            yield f"{'.'.join(path[:5])}: more than {MAX_DEPTH} nested sections or lists"
            return
        if isinstance(value, dict):
            yield from _key_problems(value, where)
            children = [((*path, _printable_key(key)), item) for key, item in value.items()]
            waiting += reversed(children)
        elif isinstance(value, list):
            waiting += reversed([((*path, str(i)), item) for i, item in enumerate(value)])
        elif problem := _value_problem(value):
            yield f"{where}: {problem}"


def _key_problems(section: dict[Any, Any], where: str) -> Iterator[str]:
    for key in section:
        if not isinstance(key, str):
            yield f"{where}: the key {shortened(repr(key))} is not text; put it in quotes"
        elif _has_control_characters(key):
            yield f"{where}: the key {shortened(repr(key))} holds control characters"


def _value_problem(value: Any) -> str | None:
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


def _has_control_characters(key: str) -> bool:
    """Whether a key holds control characters; in a key, line breaks and tabs count."""
    return bool(CONTROL.search(key)) or "\n" in key or "\t" in key


def _printable_key(key: Any) -> str:
    """Return a key as part of a dotted path in a message."""
    plain = isinstance(key, str) and not _has_control_characters(key)
    return shortened(key if plain else repr(key), 100)
