"""Numbers as the report writes them."""

from __future__ import annotations


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
