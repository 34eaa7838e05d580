"""Estimates in words: times with their bands, in one unit and in no more digits than an estimate has."""

from __future__ import annotations

import math

UNITS = ((100, 1, "s"), (100 * 60, 60, "min"), (100 * 3600, 3600, "h"), (math.inf, 86400, "days"))
"""Up to how many seconds which unit is used, and its seconds."""


VAGUE = 20.0
"""An estimate whose band ends at more than so many times its beginning tells nothing."""


def is_vague(low: float, high: float) -> bool:
    """Return whether a band is so wide that its middle should not be told.

    Examples
    --------
    >>> is_vague(33, 240), is_vague(0.55, 240), is_vague(0, 1)
    (False, True, True)
    """
    return high > VAGUE * low


def rounded(value: float) -> str:
    """Return a number with the two digits that count.

    Examples
    --------
    >>> rounded(3.27), rounded(0.0316), rounded(128.4), rounded(0)
    ('3.3', '0.032', '130', '0')
    """
    return f"{float(f'{value:.2g}'):,.12g}"


def amount(seconds: float, *, of: str = "") -> str:
    """Return a time in words; `of` stands before the unit.

    Examples
    --------
    >>> amount(181), amount(9000, of="CPU-")
    ('3 min', '2.5 CPU-h')
    """
    size, name = _unit(seconds)
    return f"{rounded(seconds / size)} {of}{name}"


def about(seconds: float, low: float, high: float, *, of: str = "", then: str = "") -> str:
    """Return an estimated time with its band, all in one unit; `of` stands before the unit, `then` before the band.

    Examples
    --------
    >>> about(181, 121, 299, then=" left"), about(42, 30, 71)
    ('about 3 min left (2 to 5)', 'about 42 s (30 to 71)')
    >>> about(9000, 7200, 12000, of="CPU-")
    'about 2.5 CPU-h (2 to 3.3)'
    """
    size, _ = _unit(seconds)
    least, most = rounded(low / size), rounded(high / size)
    return f"about {amount(seconds, of=of)}{then}" + ("" if least == most else f" ({least} to {most})")


def _unit(seconds: float) -> tuple[int, str]:
    """The unit a time is said in: its seconds and its name."""
    return next((size, name) for most, size, name in UNITS if seconds < most)
