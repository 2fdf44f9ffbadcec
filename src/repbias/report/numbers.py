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


def significant(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits; nothing for NaN.

    Examples
    --------
    >>> significant(-25.7821), significant(1234.5), significant(1e-15), significant(0.2)
    ('−25.8', '1230', '0', '0.200')
    """
    if math.isnan(value):
        return ""
    if abs(value) < NOTHING:
        return "0"
    text = f"{value:#.{digits}g}"
    if "e" in text and abs(value) >= 1:
        text = f"{float(text):.0f}"
    return text.removesuffix(".").replace("-", "−")
