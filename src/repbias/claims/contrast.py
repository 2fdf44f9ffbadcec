"""What must differ between the conditions that a claim compares, and that nothing else does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repbias.config.study import Condition

#: A message lists at most this many other differences.
MOST_LISTED = 4
#: In place of the value of a setting that is null, or that a condition does not have.
ABSENT = "not given"


@dataclass(frozen=True)
class Contrast:
    """Two roles whose conditions differ in a setting, and in nothing else.

    Attributes
    ----------
    first, second : the roles
    settings : dotted paths of settings; what lies below a path belongs to it. One or more of them
        must differ, and all may.
    rising : whether the setting is a number that must be larger in the second condition
    """

    first: str
    second: str
    settings: tuple[str, ...]
    rising: bool = False

    def problems(self, roles: Mapping[str, str], conditions: dict[str, Condition]) -> Iterator[str]:
        """Say what contradicts the contrast in the conditions that fill the roles.

        Parameters
        ----------
        roles
            What fills the claim's roles; nothing is said of names that are no condition.
        conditions
            "experiment/condition" to the condition.
        """
        names = [roles.get(role, "") for role in (self.first, self.second)]
        if names[0] == names[1] or not all(name in conditions for name in names):
            return  # reported elsewhere
        specs = [conditions[name] for name in names]
        differences = _differences(*map(_settings, specs))
        named = {path: pair for path, pair in differences.items() if self._names(path)}
        others = {path: pair for path, pair in differences.items() if path not in named}
        found = []
        if not named:
            values = _settings(specs[0])
            at = next((path for path in values if self._names(path)), None)
            found.append(f"{self.settings[0]} is {values[at] if at else ABSENT} in both")
        found += [f"{path} is {a} and {b}" for path, (a, b) in [*others.items()][:MOST_LISTED]]
        if len(others) > MOST_LISTED:
            found.append(f"{len(others) - MOST_LISTED} more settings differ")
        both = " and ".join(names)
        if found:
            yield f"{both} must differ in {self.settings[0]} and nothing else; {', '.join(found)}"
        elif self.rising:
            for path, (a, b) in named.items():
                if isinstance(a, int | float) and isinstance(b, int | float) and a > b:
                    yield (
                        f"{path} is {a} in {names[0]} and {b} in {names[1]}; expected less in "
                        f"{self.first} than in {self.second}"
                    )

    def _names(self, path: str) -> bool:
        return any(path == s or path.startswith(f"{s}.") for s in self.settings)


def _settings(condition: Condition) -> dict[str, Any]:
    """Return all settings of a condition by dotted path; its number of networks is none."""
    sections = condition.model_dump(mode="json", include={"stimuli", "network", "training"})
    # All features are what is trained where no targets are given.
    sections["training"]["targets"] = condition.training.targets or list(condition.stimuli.targets)
    return dict(flat(sections))


def flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Go through the values of nested mappings with their dotted paths.

    Examples
    --------
    >>> dict(flat({"a": {"b": 1, "c": [2]}, "d": {}}))
    {'a.b': 1, 'a.c': [2], 'd': {}}
    """
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", ABSENT if value is None else value


def _differences(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two conditions differ, with both values."""
    return {
        path: (first.get(path, ABSENT), second.get(path, ABSENT))
        for path in [*first, *(p for p in second if p not in first)]
        if first.get(path, ABSENT) != second.get(path, ABSENT)
    }
