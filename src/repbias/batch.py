"""What scripts of several conditions share: they go through them, and name the one that fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from repbias.spec import RepbiasError

logger = logging.getLogger(__name__)


def for_each(
    conditions: Mapping[str, Any], work: Callable[..., None], *parts: Iterable[Any]
) -> None:
    """Do a job's work for each of its conditions.

    Parameters
    ----------
    conditions
        Name ("experiment/condition") to what the work depends on.
    work
        Called with the name, what it depends on, and the condition's entry of every list.
    parts
        Lists, such as input and output files, in the order of the conditions.

    Raises
    ------
    RepbiasError
        Of the first condition that fails; where there are several, its name comes first.
    """
    several = len(conditions) > 1
    rows = zip(conditions.items(), *parts, strict=True)
    for number, ((name, settings), *entries) in enumerate(rows, start=1):
        if several:
            logger.info("%s (%d of %d)", name, number, len(conditions))
        try:
            work(name, settings, *entries)
        except RepbiasError as error:
            if several:
                raise RepbiasError(f"{name}: {error}") from error
            raise
        except Exception as error:
            error.add_note(f"in the work on {name}")
            raise
