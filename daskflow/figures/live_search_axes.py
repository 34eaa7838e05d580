"""Axes of the live search page: ranges, ticks and labels that are told while the figure is watched."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bokeh.models import AdaptiveTicker, FixedTicker, NumeralTickFormatter, Range1d
from bokeh.plotting import figure

from daskflow.figures import style

FEW_NUMBERS = 4
"""Numbers that take no more values than these stand side by side, like levels."""

MOST_LEVELS = 40
"""Levels of an axis; more share the last place."""

SAMPLED = 500
"""Numbers that are looked at in order to choose between an even and a logarithmic axis."""

MOST_TICKS = 12
"""Levels that are written beside an axis."""


def frame(name: str, *, height: int, x_label: str = "", y_label: str = "", **options: Any) -> figure:
    """Return an empty figure with ranges ``NAME_x`` and ``NAME_y``, and axes ``NAME_x_axis`` and ``NAME_y_axis``.

    A second, level range called ``edge`` goes from 0 at the lower edge to 1 at the upper one, whatever the axis shows.
    """
    made = style.plot(
        name,
        height=height,
        x_label=x_label,
        y_label=y_label,
        x_range=Range1d(0.0, 1.0, name=f"{name}_x"),
        y_range=Range1d(0.0, 1.0, name=f"{name}_y"),
        **options,
    )
    made.extra_y_ranges = {"edge": Range1d(0.0, 1.0)}
    made.xaxis[0].name, made.yaxis[0].name = f"{name}_x_axis", f"{name}_y_axis"
    return made


def told_ticks(made: figure, side: str) -> None:
    """Let the ticks of an axis (``x`` or ``y``) be told: its ticker is named ``NAME_x_ticks``."""
    axis = made.xaxis[0] if side == "x" else made.yaxis[0]
    axis.ticker = FixedTicker(ticks=[], name=f"{made.name}_{side}_ticks")


def seconds(made: figure) -> None:
    """Write the x axis, seconds, as h:mm:ss, at round times however far the viewer zooms."""
    axis = made.xaxis[0]
    axis.ticker = AdaptiveTicker(
        base=60, mantissas=[1, 2, 5, 10, 15, 20, 30], min_interval=1, num_minor_ticks=0, desired_num_ticks=3
    )
    axis.formatter = NumeralTickFormatter(format="00:00:00")


def clock(value: float) -> str:
    """Return seconds as h:mm:ss.

    Examples
    --------
    >>> clock(63), clock(3723.4), clock(-1)
    ('0:01:03', '1:02:03', '0:00:00')
    """
    whole = max(0, int(value))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round positive numbers between two, evenly spread on a logarithmic axis.

    Examples
    --------
    >>> log_ticks(0.8, 120)
    [1.0, 3.0, 10.0, 30.0, 100.0]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    kept: list[float] = []
    for mantissas in ((1, 2, 5), (1, 3), (1,)):
        kept = [one for power in powers for mantissa in mantissas if low <= (one := mantissa * 10.0**power) <= high]
        if len(kept) <= most:
            break
    return kept[:: max(1, math.ceil(len(kept) / most))]


def even_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers between two, evenly spread.

    Examples
    --------
    >>> even_ticks(0.3, 9.8), even_ticks(0, 0)
    ([2.0, 4.0, 6.0, 8.0], [0.0])
    """
    if not high > low:
        return [float(low)]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(mantissa * power for mantissa in (1, 2, 5, 10) if mantissa * power >= raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


@dataclass(slots=True)
class Values:
    """What values a parameter takes, over the candidates seen so far.

    Attributes
    ----------
    low, high : float
        Smallest and largest number; inf and -inf without any.
    numbers : set of float
        The numbers themselves, as long as they are few.
    others : dict of str to None
        What is no number, as text, in the order seen.
    sample : list of float
        The first numbers seen.
    """

    low: float = math.inf
    high: float = -math.inf
    numbers: set[float] = field(default_factory=set)
    others: dict[str, None] = field(default_factory=dict)
    sample: list[float] = field(default_factory=list)

    def add(self, values: Iterable[Any]) -> None:
        """Take the values of more candidates in; those of candidates without the parameter are not among them."""
        given = list(values)
        numbers = [value for value in given if type(value) is float or type(value) is int]
        if numbers and not (
            math.isfinite(min(numbers)) and math.isfinite(max(numbers)) and sum(numbers) == sum(numbers)
        ):
            numbers = [value for value in numbers if is_number(value)]
        if numbers:
            self.low, self.high = min(self.low, min(numbers)), max(self.high, max(numbers))
            if len(self.numbers) <= MOST_LEVELS:
                self.numbers.update(map(float, numbers[:1000]))
            self.sample += map(float, numbers[: SAMPLED - len(self.sample)])
        if len(numbers) < len(given) and len(self.others) < MOST_LEVELS:
            found = {text_of(value) for value in given if not is_number(value)}
            for text in sorted(found)[: MOST_LEVELS - len(self.others)]:
                self.others.setdefault(text)

    @property
    def is_log(self) -> bool:
        """Whether the numbers span decades and lie more evenly on a logarithmic axis: their middle is nearer to its."""
        if not style.spans_decades([self.low, self.high]):
            return False
        middle = sorted(self.sample)[len(self.sample) // 2]
        even = (middle - self.low) / (self.high - self.low)
        return abs(math.log(middle / self.low) / math.log(self.high / self.low) - 0.5) < abs(even - 0.5)


def is_number(value: Any) -> bool:
    """Return whether a value stands on an axis of numbers.

    Examples
    --------
    >>> is_number(0.5), is_number(True), is_number(float("inf")), is_number("1")
    (True, False, False, False)
    """
    return (type(value) is float and math.isfinite(value)) or type(value) is int


def text_of(value: Any) -> str:
    """Return a parameter's value as text.

    Examples
    --------
    >>> text_of(None), text_of(0.1234567), text_of(True), text_of([100, 50])
    ('none', '0.1235', 'True', '[100, 50]')
    """
    return "none" if value is None else value if type(value) is str else style.number(value)


@dataclass(frozen=True, slots=True)
class Scale:
    """Heights between 0 and 1 for the values of a parameter.

    Attributes
    ----------
    low, high : float
        Ends of the numbers; of their logarithms where `is_log`.
    is_log : bool
        Whether the numbers span decades.
    bottom : float
        Where the numbers begin: above what is no number.
    levels : dict of str to float
        Heights of values that stand side by side, by their text.
    ticks : tuple of (height, text)
        What is written where.
    """

    low: float
    high: float
    is_log: bool
    bottom: float
    levels: dict[str, float]
    ticks: tuple[tuple[float, str], ...]

    def at(self, value: Any) -> float:
        """Return a value's height; values outside of the ends stand at them."""
        if self.high >= self.low and is_number(value):
            if self.is_log and value <= 0:
                return self.bottom
            place = math.log10(value) if self.is_log else float(value)
            share = (place - self.low) / (self.high - self.low) if self.high > self.low else 0.5
            return round(self.bottom + (1.0 - self.bottom) * min(1.0, max(0.0, share)), 4)
        return self.levels.get(text_of(value), 0.0)

    def ends(self) -> tuple[tuple[float, str], ...]:
        """Return what is written where there is little room: the ends, or all levels where they are few and short."""
        if self.high >= self.low:
            first, last = (10**self.low, 10**self.high) if self.is_log else (self.low, self.high)
            ends = (self.bottom, style.number(first, 2)), (1.0, style.number(last, 2))
            return (*self.ticks[:1], *ends) if self.bottom else ends
        if sum(len(text) + 3 for _, text in self.ticks) <= 20:
            return self.ticks
        return (self.ticks[0], self.ticks[-1]) if len(self.ticks) > 1 else self.ticks


def scale_of(values: Values) -> Scale:
    """Return the axis of a parameter: even, logarithmic where its numbers span decades, or levels side by side.

    Examples
    --------
    >>> values = Values()
    >>> values.add([1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
    >>> scale = scale_of(values)
    >>> scale.is_log, scale.at(1e-4), [text for _, text in scale.ticks]
    (True, 0.5, ['1e-06', '0.0001', '0.01'])
    >>> values = Values()
    >>> values.add(["l1", None])
    >>> scale_of(values).ticks
    ((0.0, 'none'), (1.0, 'l1'))
    """
    if len(values.numbers) <= FEW_NUMBERS:
        texts = [*(style.number(one) for one in sorted(values.numbers)), *sorted(values.others)]
        texts.sort(key=lambda text: text != "none")
        step = 1.0 / max(len(texts) - 1, 1)
        levels = {text: round(place * step, 4) if len(texts) > 1 else 0.5 for place, text in enumerate(texts)}
        return Scale(0.0, -1.0, False, 0.0, levels, _written(levels))
    is_log = values.is_log
    low, high = (math.log10(values.low), math.log10(values.high)) if is_log else (values.low, values.high)
    bottom = 0.14 if values.others else 0.0
    levels = {text: round(0.07 * place / max(1, len(values.others) - 1), 4) for place, text in enumerate(values.others)}
    ticks = [(0.0, "other" if len(levels) > 1 else next(iter(levels)))] if levels else []
    for share in (0.0, 0.5, 1.0):
        place = low + share * (high - low)
        ticks.append((round(bottom + (1 - bottom) * share, 4), style.number(10**place if is_log else place, 3)))
    return Scale(low, high, is_log, bottom, levels, tuple(ticks))


def _written(levels: dict[str, float]) -> tuple[tuple[float, str], ...]:
    """Levels that are written: all, or every so many."""
    step = math.ceil(len(levels) / MOST_TICKS) or 1
    return tuple((height, text) for text, height in list(levels.items())[::step])


def covering(values: Sequence[float], now: tuple[float, float] | None, room: float = 0.06) -> tuple[float, float]:
    """Return a range that holds these values; the one there is `now` as long as it holds them and is not far too wide.

    So axes that are watched stand still, and move by steps.

    Examples
    --------
    >>> covering([0.0, 1.0], None)
    (-0.06, 1.06)
    >>> covering([0.0, 1.05], (-0.06, 1.06))
    (-0.06, 1.06)
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return now or (0.0, 1.0)
    low, high = min(finite), max(finite)
    width = (high - low) or 0.1 * abs(high) or 1.0
    if now is not None and now[0] <= low and high <= now[1] and now[1] - now[0] <= 1.8 * width:
        return now
    return float(f"{low - room * width:.6g}"), float(f"{high + room * width:.6g}")
