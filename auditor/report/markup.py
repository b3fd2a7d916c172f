"""How numbers and words are marked up: what stands between backticks is code, what is kept of clean has a shade."""

from __future__ import annotations

import re

import markupsafe

from auditor.values import digits

__all__ = ["SHADES", "breakable", "in_words", "number", "shade_class", "swatch"]

SHADES = 10
"""Shades of the share of clean that is kept, from none to all of it."""
_COLORS = 8
_CODE = re.compile(r"`([^`\n]+)`")


def number(value: float | None) -> str:
    """A metric in three digits after the point, fewer of a large one.

    >>> number(0.12345), number(None)
    ('0.123', '–')
    """
    return "–" if value is None else digits(value)


def in_words(text: object) -> markupsafe.Markup:
    """A sentence, escaped; what stands between backticks is code.

    >>> str(in_words("set `a<b`, or <i>"))
    'set <code>a&lt;b</code>, or &lt;i&gt;'
    """
    parts = _CODE.split(str(text))
    marked = [
        markupsafe.Markup("<code>{}</code>").format(part) if index % 2 else markupsafe.escape(part)
        for index, part in enumerate(parts)
    ]
    return markupsafe.Markup("").join(marked)


def breakable(name: object) -> markupsafe.Markup:
    """A name, escaped, which may be broken behind a slash or an underscore.

    >>> str(breakable("noise/salt_<b>"))
    'noise/<wbr>salt_<wbr>&lt;b&gt;'
    """
    parts = re.split(r"(?<=[/_])", str(name))
    return markupsafe.Markup("<wbr>").join(parts)


def swatch(index: int) -> str:
    """The class of one of eight colours."""
    return f"c{index % _COLORS}"


def shade_class(kept: float | None) -> str:
    """The class of the shade of a share that is kept.

    >>> shade_class(0.29), shade_class(1.2), shade_class(None)
    ('k3', 'k10', '')
    """
    return "" if kept is None else f"k{round(min(max(kept, 0.0), 1.0) * SHADES)}"
