"""Orders in which features are reported, balanced over a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

#: More features have too many orders to go through all of them.
MOST_PERMUTED = 5


def balanced_orders(n: int) -> list[list[int]]:
    """Return a balanced square of orders of n things (Williams 1949).

    Every thing is once at every place, and once behind every other one; of an odd number twice, as
    there are twice as many orders then.

    Examples
    --------
    >>> balanced_orders(4)
    [[0, 1, 3, 2], [1, 2, 0, 3], [2, 3, 1, 0], [3, 0, 2, 1]]
    """
    zigzag = [(place + 1) // 2 if place % 2 else (n - place // 2) % n for place in range(n)]
    orders = [[(first + step) % n for step in zigzag] for first in range(n)]
    return orders if n % 2 == 0 else orders + [order[::-1] for order in orders]


def named_orders(features: Sequence[str], which: str) -> dict[str, list[str]]:
    """Return orders of features by a name, the features with hyphens between them.

    Parameters
    ----------
    features
        Their names.
    which
        "balanced" or "all".

    Raises
    ------
    ValueError
        If it is neither, or there are too many orders.
    """
    n = len(features)
    if which == "balanced":
        orders = balanced_orders(n)
    elif which == "all" and n <= MOST_PERMUTED:
        orders = [list(order) for order in permutations(range(n))]
    elif which == "all":
        raise ValueError(f"{n} features have too many orders; expected 'balanced'")
    else:
        raise ValueError(f"expected orders, 'balanced' or 'all', found {which!r}")
    named = [[features[i] for i in order] for order in orders]
    found = {"-".join(order): order for order in named}
    if len(found) < len(orders):
        raise ValueError(f"the names of {', '.join(features)} make orders of the same name; rename")
    return found
