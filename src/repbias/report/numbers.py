"""Numbers as the report writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: What is smaller than this is an error of rounding.
NOTHING = 1e-12


def decimals(value: float, digits: int = 2) -> str:
    """Write a number with so many decimals and a real minus sign; none rounds to minus zero.

    Examples
    --------
    >>> decimals(-0.25), decimals(-0.004), decimals(0.66666, 3)
    ('−0.25', '0.00', '0.667')
    """
    return f"{value:z.{digits}f}".replace("-", "−")


def interval(low: float, high: float, digits: int = 2) -> str:
    """Write an interval.

    Examples
    --------
    >>> interval(-0.004, 0.5)
    '[0.00, 0.50]'
    """
    return f"[{decimals(low, digits)}, {decimals(high, digits)}]"


def decimals_of(*values: float, digits: int = 3) -> int:
    """Return how many decimals some numbers need beside each other.

    So many that the largest has its significant digits, and none rounds to zero: on which side of
    zero an interval ends matters. NaN do not count; less than 1e-12 is an error of rounding.

    Examples
    --------
    >>> decimals_of(-25.8, -109.9, 37.9), decimals_of(25.8, 0.21, 109.9), decimals_of(0.0123, 0.41)
    (0, 1, 3)
    """
    sizes = [abs(value) for value in values if abs(value) > NOTHING]  # never true of NaN
    if not sizes:
        return 0
    largest, smallest = (math.floor(math.log10(size)) for size in (max(sizes), min(sizes)))
    return max(digits - 1 - largest, -smallest, 0)


def effect_and_interval(row: Mapping[str, Any]) -> str:
    """Write the effect of a claim and its interval; nothing where there is none.

    Examples
    --------
    >>> effect_and_interval({"effect": -25.7821, "ci_low": -109.9, "ci_high": .2, "n_included": 9})
    '−25.8 [−109.9, 0.2]'
    >>> effect_and_interval({"effect": 0.5, "ci_low": 0.5, "ci_high": 0.5, "n_included": 0})
    '0.500 (exact)'
    """
    effect, low, high = (row[name] for name in ("effect", "ci_low", "ci_high"))
    if math.isnan(effect):
        return ""
    digits = decimals_of(effect, low, high)
    if row["n_included"] == 0:
        return f"{decimals(effect, digits)} (exact)"
    if math.isnan(low) and math.isnan(high):
        return decimals(effect, digits)
    ends = ("–" if math.isnan(end) else decimals(end, digits) for end in (low, high))
    return f"{decimals(effect, digits)} [{', '.join(ends)}]"
