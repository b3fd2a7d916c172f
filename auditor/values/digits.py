"""A metric in as many digits as its size asks for."""

from __future__ import annotations

__all__ = ["digits"]


def digits(value: float) -> str:
    """Three digits after the point of shares and the like, fewer of larger numbers.

    >>> digits(0.12345), digits(-8.5), digits(123.456), digits(10079.99985)
    ('0.123', '-8.500', '123.5', '10,080')
    """
    size = abs(value)
    return f"{value:,.0f}" if size >= 1000 else f"{value:.1f}" if size >= 100 else f"{value:.3f}"
