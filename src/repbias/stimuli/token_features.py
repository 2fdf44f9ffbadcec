"""Feature functions of tokens: how a two-way feature is computed from a sequence.

To add one, write a function of ``(tokens, rng, vocabulary)`` and register it in :data:`FUNCTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def half_of(vocabulary: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a set of half of the tokens, (token,) bool."""
    return rng.permutation(vocabulary) < vocabulary // 2


def member(tokens: np.ndarray, rng: np.random.Generator, vocabulary: int) -> np.ndarray:
    """Return whether the token is in a set of half of the vocabulary."""
    return half_of(vocabulary, rng)[tokens[:, 0]]


def majority(tokens: np.ndarray, rng: np.random.Generator, vocabulary: int) -> np.ndarray:
    """Return whether more than half of the tokens are in a set of half of the vocabulary."""
    return 2 * half_of(vocabulary, rng)[tokens].sum(axis=1) > tokens.shape[1]


def xor(tokens: np.ndarray, rng: np.random.Generator, vocabulary: int) -> np.ndarray:
    """Return whether an odd number of the tokens is in a set of half of the vocabulary."""
    return half_of(vocabulary, rng)[tokens].sum(axis=1) % 2 == 1


def equal(tokens: np.ndarray, rng: np.random.Generator, vocabulary: int) -> np.ndarray:
    """Return whether the tokens are the same."""
    return (tokens == tokens[:, :1]).all(axis=1)


def present(tokens: np.ndarray, rng: np.random.Generator, vocabulary: int) -> np.ndarray:
    """Return whether one token of the vocabulary occurs."""
    return (tokens == rng.integers(vocabulary)).any(axis=1)


def count_parity(tokens: np.ndarray, rng: np.random.Generator, vocabulary: int) -> np.ndarray:
    """Return whether one token of the vocabulary occurs an odd number of times."""
    return (tokens == rng.integers(vocabulary)).sum(axis=1) % 2 == 1


#: Maps tokens (stimulus, place) that a feature reads, random numbers that decide which tokens it is
#: about, and the size of the vocabulary, to labels (stimulus,) of 0 and 1.
Compute = Callable[[np.ndarray, np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class TokenFunction:
    """A feature function, and how many tokens it reads.

    Attributes
    ----------
    compute : see :data:`Compute`; with the same random generator, the same feature
    reads : number of places that it reads where nothing is said; None for all
    fixed : whether it cannot read more or fewer
    odd : whether it needs an odd number
    parts : whether membership in the set at each place is a sub-component
    ends : whether it reads the first and the last place where nothing is said
    """

    compute: Compute
    reads: int | None
    fixed: bool = False
    odd: bool = False
    parts: bool = False
    ends: bool = False


FUNCTIONS = {
    "member": TokenFunction(member, 1, fixed=True),
    "majority": TokenFunction(majority, 3, odd=True, parts=True),
    "xor": TokenFunction(xor, 2, parts=True),
    "equal": TokenFunction(equal, 2, ends=True),
    "present": TokenFunction(present, None),
    "count_parity": TokenFunction(count_parity, None),
}
