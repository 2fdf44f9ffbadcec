"""Feature functions: how a binary feature is computed from the bits of its domain.

To add one, write a function of ``(bits, rng)`` and register it in :data:`FUNCTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def bit(bits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the first bit."""
    return bits[:, 0]


def majority(bits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return 1 where more than half of the bits are set."""
    return (2 * bits.sum(axis=1, dtype=int) > bits.shape[1]).astype(np.uint8)


def conjunction(bits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return 1 where all bits are set (AND)."""
    return bits.min(axis=1)


def disjunction(bits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return 1 where any bit is set (OR)."""
    return bits.max(axis=1)


def parity(bits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sum of the bits modulo 2 (their XOR)."""
    return (bits.sum(axis=1, dtype=int) % 2).astype(np.uint8)


def random_dnf(bits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random disjunction of k conjunctions of up to three literals each.

    The formula depends on `rng` only, so the same generator gives the same feature.
    """
    k = bits.shape[1]
    result = np.zeros(len(bits), np.uint8)
    for _ in range(k):
        chosen = rng.choice(k, size=min(3, k), replace=False)
        wanted = rng.integers(0, 2, size=len(chosen))
        result |= (bits[:, chosen] == wanted).all(axis=1).astype(np.uint8)
    return result


@dataclass(frozen=True)
class FeatureFunction:
    """A feature function and the number of bits it reads.

    Parameters
    ----------
    compute
        Maps bits of shape (stimulus, k), uint8 in {0, 1}, and a random generator to labels of
        shape (stimulus,), uint8 in {0, 1}.
    default_k
        Number of bits read by default.
    fixed
        Whether `default_k` is the only possible value.
    odd
        Whether k must be odd (so that a majority has no ties).
    xors
        Whether XORs of pairs of its bits are sub-components (single bits always are).
    """

    compute: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    default_k: int
    fixed: bool = False
    odd: bool = False
    xors: bool = False

    def components(self, k: int) -> dict[str, tuple[int, ...]]:
        """Return the sub-components by name, as indices of the bits whose XOR each of them is.

        Examples
        --------
        >>> FUNCTIONS["xor_of_xors"].components(4)["xor34"]
        (2, 3)
        """
        singles: dict[str, tuple[int, ...]]
        pairs: dict[str, tuple[int, ...]]
        singles = {f"bit{i + 1}": (i,) for i in range(k)} if k > 1 else {}
        pairs = {f"xor{i + 1}{i + 2}": (i, i + 1) for i in range(0, k - 1, 2)}
        return singles | (pairs if self.xors and k > 2 else {})


#: Feature functions by their name in the configuration.
FUNCTIONS: dict[str, FeatureFunction] = {
    "bit": FeatureFunction(bit, 1, fixed=True),
    "majority": FeatureFunction(majority, 5, odd=True),
    "and": FeatureFunction(conjunction, 2),
    "or": FeatureFunction(disjunction, 2),
    "xor": FeatureFunction(parity, 2, fixed=True),
    "xor_of_xors": FeatureFunction(parity, 4, fixed=True, xors=True),
    "parity": FeatureFunction(parity, 4, xors=True),
    "dnf": FeatureFunction(random_dnf, 5),
}
#: Functions that are the XOR of all bits they read.
XORS = ("bit", "xor", "xor_of_xors", "parity")
