"""Axes of figures that are made without data: named rows, partitions, time gone by, and shades of one colour."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from bokeh.models import AdaptiveTicker, BasicTicker, FactorRange, LinearColorMapper, NumeralTickFormatter, Range1d
from bokeh.plotting import figure

from daskflow.figures import style

SHADES = 24
"""Steps from the faintest to the fullest cell."""

FAINT = 0.06
"""How much of its colour a cell has that holds nothing."""


def named_rows(name: str, *, x_label: str, height: int = 240, **options: Any) -> figure:
    """Return a figure whose rows are named by a range called ``NAME_rows``; see `rows`."""
    # A range without a name at first is none that bokeh can draw, which it says on the console.
    names = FactorRange(factors=[" "], name=f"{name}_rows")
    made = style.plot(name, height=height, x_label=x_label, y_range=names, **options)
    made.ygrid.grid_line_color = None
    made.yaxis[0].major_tick_out = made.yaxis[0].major_tick_in = 0
    return made


def rows(labels: Sequence[str], least: int = 1) -> dict[str, list[str]]:
    """Return the names of a range of named rows, the first one at the top, below them empty ones up to the `least`.

    Examples
    --------
    >>> rows(["a", "b"], 4)
    {'factors': ['  ', ' ', 'b', 'a']}
    """
    blank = [" " * (place + 1) for place in range(max(0, least - len(labels)))]
    return {"factors": [*reversed(blank), *reversed(labels)]}


def frame(name: str, *, height: int, x_label: str, y_label: str, **options: Any) -> figure:
    """Return a figure whose ranges are called ``NAME_x`` and ``NAME_y``; see `ends`."""
    ranges = {"x_range": span(f"{name}_x"), "y_range": span(f"{name}_y")}
    return style.plot(name, height=height, x_label=x_label, y_label=y_label, **{**ranges, **options})


def ends(values: Iterable[float | None], room: float = 0.05) -> dict[str, float]:
    """Return the ends of a range that holds these values, with a little room; None and not-a-number aside.

    Examples
    --------
    >>> ends([0.25, None, 0.75]), ends([])
    ({'start': 0.225, 'end': 0.775}, {'start': 0.0, 'end': 1.0})
    """
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return {"start": 0.0, "end": 1.0}
    low, high = min(finite), max(finite)
    more = room * (high - low) or 0.05 * abs(high) or 0.5
    return {"start": float(f"{low - more:.6g}"), "end": float(f"{high + more:.6g}")}


def from_zero(values: Iterable[float | None]) -> dict[str, float]:
    """Return the ends of a range from nothing up to these values, with a little room.

    Examples
    --------
    >>> from_zero([4.0, None]), from_zero([])
    ({'start': 0.0, 'end': 4.24}, {'start': 0.0, 'end': 1.0})
    """
    most = max((value for value in values if value is not None and math.isfinite(value)), default=0.0)
    return {"start": 0.0, "end": float(f"{1.06 * most:.6g}") or 1.0}


def decades(values: Iterable[float | None]) -> dict[str, float]:
    """Return the ends of a logarithmic range that holds the positive ones of these values.

    Examples
    --------
    >>> decades([2.0, 20.0, 0.0, None]), decades([])
    ({'start': 1.6, 'end': 25.0}, {'start': 1.0, 'end': 10.0})
    """
    positive = [value for value in values if value is not None and 0 < value < math.inf]
    if not positive:
        return {"start": 1.0, "end": 10.0}
    return {"start": float(f"{min(positive) / 1.25:.6g}"), "end": float(f"{max(positive) * 1.25:.6g}")}


def labels_of(names: Sequence[Any], length: int = style.MAX_LABEL) -> list[str]:
    """Return names as labels, every one of them another, for a range of names has no two that are the same.

    Examples
    --------
    >>> labels_of(["a" * 12, "b", "a" * 6 + "c" + "a" * 6], 5)
    ['aa…aa', 'b', 'aa…aa (2)']
    """
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        label, number = style.shown(name, length), 1
        plain = label
        while label in taken:
            number += 1
            label = f"{plain} ({number})"
        taken.add(label)
        found.append(label)
    return found


def height_of(n_rows: int, above: int = 0) -> dict[str, int]:
    """Return the height of a figure of so many named rows, and of what stands above them."""
    return {"height": style.rows_height(max(n_rows, 1)) + above}


def elapsed(axis: Any) -> None:
    """Write an axis of seconds as hours, minutes and seconds."""
    axis.formatter = NumeralTickFormatter(format="00:00:00")
    axis.ticker = AdaptiveTicker(base=60, mantissas=[1, 2, 5, 10, 15, 30], min_interval=1, desired_num_ticks=3)


def whole_steps(axis: Any, n_ticks: int = 6) -> None:
    """Write an axis of places, which are whole numbers."""
    axis.ticker = BasicTicker(mantissas=[1, 2, 5], min_interval=1, desired_num_ticks=n_ticks)
    style.whole_numbers(axis)


def span(name: str, start: float = 0.0, end: float = 1.0) -> Range1d:
    """Return a range whose ends are told by its name."""
    return Range1d(start, end, name=name)


def shade(colour: str, name: str, low: float = 0.0, high: float = 1.0) -> LinearColorMapper:
    """Return a mapper from nothing to the full colour, which reads the same on light and on dark ground."""
    return LinearColorMapper(palette=_shades(colour), low=low, high=high, nan_color="#00000000", name=name)


def shade_both_ways(below: str, above: str, name: str, most: float = 1.0) -> LinearColorMapper:
    """Return a mapper from one full colour through nothing to another."""
    palette = [*reversed(_shades(below)), *_shades(above)]
    return LinearColorMapper(palette=palette, low=-most, high=most, nan_color="#00000000", name=name)


def _shades(colour: str) -> list[str]:
    """From faint to full."""
    parts = (FAINT + (1 - FAINT) * step / (SHADES - 1) for step in range(SHADES))
    return [f"{colour}{round(255 * part):02x}" for part in parts]
