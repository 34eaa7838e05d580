"""Quantities as the pages show them: counts, shares and values of metrics, and numbers that JSON can hold."""

from __future__ import annotations

import math
from typing import Any

from daskflow.figures.style import score

UNKNOWN = "–"
"""Where a number is not known."""


def count(value: float) -> str:
    """Return a count, from ten thousand on in three digits and a word.

    Examples
    --------
    >>> count(0), count(9_876), count(56_158), count(4_898_431), count(2.5e9), count(3.25)
    ('0', '9,876', '56.2 k', '4.90 M', '2.50 G', '3.2')
    """
    if not math.isfinite(value):
        return UNKNOWN
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= max(unit, 10_000):
            amount = value / unit
            return (
                f"{amount:.2f} {name}"
                if amount < 10
                else f"{amount:.1f} {name}"
                if amount < 100
                else f"{amount:.0f} {name}"
            )
    return f"{value:,.0f}" if value >= 10 or float(value).is_integer() else f"{value:.1f}"


def share(part: float, whole: float) -> str:
    """Return a part in hundredths, and never nothing for something.

    Examples
    --------
    >>> share(1, 8), share(3, 494_021), share(0, 5), share(1, 0)
    ('12.5 %', '<0.1 %', '0 %', '–')
    """
    if not whole:
        return UNKNOWN
    if 0 < part < 0.001 * whole:
        return "<0.1 %"
    return f"{100 * part / whole:.3g} %"


def value(given: Any) -> str:
    """Return a metric's value; a dash for what is not known.

    Examples
    --------
    >>> value(0.771), value(None), value(float("nan"))
    ('0.7710', '–', '–')
    """
    return score(float(given)) if is_number(given) else UNKNOWN


def interval(low: Any, high: Any) -> str:
    """Return the ends of an interval; empty where they are not known.

    Examples
    --------
    >>> interval(0.25, 0.5), interval(None, 0.5)
    ('0.2500 to 0.5000', '')
    """
    return f"{value(low)} to {value(high)}" if is_number(low) and is_number(high) else ""


def is_number(given: Any) -> bool:
    """Return whether a value is a finite number.

    Examples
    --------
    >>> is_number(1), is_number(None), is_number(float("nan")), is_number("1"), is_number(True)
    (True, False, False, False, False)
    """
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)


def plain(given: float) -> float | None:
    """Return a number for a page: None where it is not one, six digits where it is.

    Examples
    --------
    >>> plain(0.123456789), plain(float("inf")), plain(1234567.0)
    (0.123457, None, 1234570.0)
    """
    return float(f"{given:.6g}") if is_number(given) else None
