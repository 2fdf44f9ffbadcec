"""Combinations of classes: how many stimuli have each of them, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import prod

import numpy as np

#: Rounds of fitting; a few are enough unless shares are almost, or quite, impossible.
_MAX_FITS = 1000


def every_combination(sizes: Sequence[int]) -> np.ndarray:
    """Return all combinations of classes, (combination, feature) int64, the last varying fastest.

    Examples
    --------
    >>> every_combination([2, 3]).T
    array([[0, 0, 0, 1, 1, 1],
           [0, 1, 2, 0, 1, 2]])
    """
    return np.indices(sizes).reshape(len(sizes), prod(sizes)).T


def shares(n: int, probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Divide n stimuli among combinations; remainders go to random ones.

    Parameters
    ----------
    n
        Number of stimuli.
    probabilities
        (combination,), how often each occurs; their sum is 1.
    rng
        Chooses those that get one more.

    Returns
    -------
    numpy.ndarray
        (combination,) int, whose sum is n.
    """
    # The tolerance keeps a quarter of 8 from becoming 1.9999.
    divided = np.floor(n * probabilities + 1e-9).astype(int)
    rest = np.maximum(n * probabilities - divided, 1e-12) * (probabilities > 0)
    left = n - divided.sum()
    if left:
        chosen = rng.choice(len(divided), size=left, replace=False, p=rest / rest.sum())
        divided[chosen] += 1
    return divided


def fitted(
    probabilities: np.ndarray, wanted: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Change how often combinations occur until groups of them have the shares that are wanted.

    Of all such distributions it is the nearest (of least Kullback-Leibler divergence), found by
    iterative proportional fitting (Deming & Stephan 1940).

    Parameters
    ----------
    probabilities
        (combination,), how often each occurs; those of 0 stay there.
    wanted
        For each way to group them, the groups (combination,), from 0, and their shares (group,),
        whose sum is 1.

    Raises
    ------
    ValueError
        If no distribution of what occurs has these shares.

    Examples
    --------
    >>> fitted(np.array([0.5, 0.25, 0.25]), [(np.array([0, 0, 1]), np.array([0.6, 0.4]))])
    array([0.4, 0.2, 0.4])
    """
    p = probabilities
    for _ in range(_MAX_FITS):
        found = [np.bincount(groups, p, len(shares)) for groups, shares in wanted]
        if all(np.allclose(f, s, 0, 1e-9) for f, (_, s) in zip(found, wanted, strict=True)):
            return p
        for groups, shares in wanted:
            f = np.bincount(groups, p, len(shares))
            p = p * np.divide(shares, f, out=np.zeros(len(f)), where=f > 0)[groups]
    raise ValueError("no mixture of the combinations that occur has the shares that are wanted")


def in_turns(possible: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Let combinations take turns such that those before any stimulus are balanced.

    Every combination occurs once in a round, in an order of its own for each round: next is one of
    those whose classes, and pairs of classes, were rarest in the round so far. So classes are
    balanced, and features independent, as far as they can be, among the first stimuli too.

    Parameters
    ----------
    possible
        (combination, feature), classes from 0.
    n
        Number of stimuli.
    rng
        Decides between equally rare ones.

    Returns
    -------
    numpy.ndarray
        (stimulus,), rows of `possible`.
    """
    classes, pairs = _groups(possible)
    order: list[int] = []
    while len(order) < n:
        left = rng.permutation(len(possible))
        of_classes, of_pairs = (np.zeros(g.max(initial=0) + 1, int) for g in (classes, pairs))
        for _ in range(min(len(possible), n - len(order))):
            found = of_classes[classes[left]]
            # The commonest class first, so that no other falls behind.
            rarity = [of_pairs[pairs[left]].sum(axis=1), found.sum(axis=1), found.max(axis=1)]
            place = int(np.lexsort(rarity)[0])
            chosen = left[place]
            of_classes[classes[chosen]] += 1
            of_pairs[pairs[chosen]] += 1
            order.append(int(chosen))
            left = np.delete(left, place)
    return np.array(order)


def _groups(possible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give numbers to the classes of all features, and to pairs of classes of every two features.

    Returns
    -------
    classes : (combination, feature)
    pairs : (combination, pair of features)
    """
    sizes = possible.max(axis=0) + 1
    classes = possible + np.concatenate([[0], np.cumsum(sizes)[:-1]])
    pairs, start = [np.zeros((len(possible), 0), int)], 0
    for a, b in combinations(range(len(sizes)), 2):
        pairs.append((start + possible[:, a] * sizes[b] + possible[:, b])[:, None])
        start += sizes[a] * sizes[b]
    return classes, np.concatenate(pairs, axis=1)
