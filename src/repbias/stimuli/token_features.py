"""Feature functions of tokens: how a two-way feature is computed from a sequence.

To add one, write a function of ``(tokens, chosen)`` and register it in :data:`FUNCTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def member(tokens: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return whether the token is a chosen one."""
    return chosen[tokens[:, 0]]


def majority(tokens: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return whether more than half of the tokens are chosen ones."""
    return 2 * chosen[tokens].sum(axis=1) > tokens.shape[1]


def parity(tokens: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return whether an odd number of the tokens are chosen ones."""
    return chosen[tokens].sum(axis=1) % 2 == 1


def present(tokens: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return whether a chosen token occurs."""
    return chosen[tokens].any(axis=1)


def equal(tokens: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return whether the tokens are the same."""
    return (tokens == tokens[:, :1]).all(axis=1)


#: Maps tokens (stimulus, place) that a feature reads, and which tokens it is about, (token,) bool,
#: to labels (stimulus,) of 0 and 1.
Compute = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class TokenFunction:
    """A feature function, and how many tokens it reads.

    Attributes
    ----------
    compute : see :data:`Compute`
    reads : number of places that it reads where nothing is said; None for all
    one : whether it is about one token, not half of the vocabulary
    fixed : whether it cannot read more or fewer places
    odd : whether it needs an odd number
    parts : whether membership in the set at each place is a sub-component
    ends : whether it reads the first and the last place where nothing is said
    """

    compute: Compute
    reads: int | None
    one: bool = False
    fixed: bool = False
    odd: bool = False
    parts: bool = False
    ends: bool = False


FUNCTIONS = {
    "member": TokenFunction(member, 1, fixed=True),
    "majority": TokenFunction(majority, 3, odd=True, parts=True),
    "xor": TokenFunction(parity, 2, parts=True),
    "equal": TokenFunction(equal, 2, ends=True),
    "present": TokenFunction(present, None, one=True),
    "count_parity": TokenFunction(parity, None, one=True),
}
