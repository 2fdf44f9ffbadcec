"""Numbers as the report writes them."""

from __future__ import annotations

import math

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
