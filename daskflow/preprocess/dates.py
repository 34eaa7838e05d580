"""Dates taken apart into parts of the calendar and a straight line of time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from daskflow.data import arrays
from daskflow.data.arrays import Numbers
from daskflow.data.schema import Column
from daskflow.preprocess import Step
from daskflow.preprocess.steps import Fitted, Flow, Form, State

Part = Literal["year", "quarter", "month", "dayofyear", "day", "dayofweek", "hour", "minute", "second"]


@dataclass(frozen=True, slots=True)
class PartOfDate:
    """How one part of a date becomes a number.

    Attributes
    ----------
    of : callable
        Arrow's function from wall-clock timestamps to the part.
    first, period : float
        Smallest value, and how many there are; a year has neither.
    unit : str
        Two dates of the same numpy ``datetime64`` of this unit have the same part.
    """

    of: Any
    first: float
    period: float
    unit: str

    @property
    def centre(self) -> float:
        """Mean of the part's values, each once; the year 2000."""
        return self.first + (self.period - 1) / 2 if self.period else 2000.0

    @property
    def scale(self) -> float:
        """Standard deviation of the part's values, each once; ten years."""
        return math.sqrt((self.period**2 - 1) / 12) if self.period else 10.0


PARTS: Mapping[str, PartOfDate] = {
    "year": PartOfDate(pc.year, 0, 0, "Y"),
    "quarter": PartOfDate(pc.quarter, 1, 4, "M"),
    "month": PartOfDate(pc.month, 1, 12, "M"),
    "dayofyear": PartOfDate(pc.day_of_year, 1, 366, "D"),
    "day": PartOfDate(pc.day, 1, 31, "D"),
    "dayofweek": PartOfDate(pc.day_of_week, 0, 7, "D"),
    "hour": PartOfDate(pc.hour, 0, 24, "h"),
    "minute": PartOfDate(pc.minute, 0, 60, "m"),
    "second": PartOfDate(pc.second, 0, 60, "s"),
}
"""Monday is 0. The numbers are the calendar's, not the data's, so the same date is the same number in every fold."""


@dataclass(frozen=True, slots=True)
class Parted(Fitted):
    """Parts of dates as finished columns.

    Attributes
    ----------
    parts : tuple of str
        In order.
    cyclical : bool
        Whether periodic parts are a sine and a cosine.
    time : bool
        Whether seconds since 2000 are a column, less `centre`, divided by `scale`.
    centre, scale : float
        In seconds.
    indicator : bool
        Whether a last column says where the date is missing.
    """

    kind: ClassVar[str] = "dates"

    parts: tuple[str, ...]
    cyclical: bool
    time: bool
    centre: float
    scale: float
    indicator: bool

    def apply(self, flow: Flow) -> Flow:
        """Take the dates apart; a missing one is 0 in every column but its indicator."""
        dates = arrays.plain(flow.values)
        missing = np.asarray(dates.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
        columns: list[Numbers] = []
        if pa.types.is_null(dates.type):
            dates = dates.cast(pa.timestamp("s"))
        clock = arrays.wall_clock(arrays.as_timestamps(dates))
        for name in self.parts:
            columns += self._columns(PARTS[name], arrays.numbers(PARTS[name].of(clock)))
        if self.time:
            columns.append((arrays.seconds(dates) - self.centre) / self.scale)
        columns = [np.where(missing, 0.0, column) for column in columns]
        if self.indicator:
            columns.append(missing.astype(np.float64))
        return flow.finished(*columns)

    def _columns(self, part: PartOfDate, values: Numbers) -> list[Numbers]:
        """One part as a number around 0, or as a point on the circle."""
        if not self.cyclical or not part.period:
            return [(values - part.centre) / part.scale]
        angle = (values - part.first) * (2 * math.pi / part.period)
        return [np.sin(angle), np.cos(angle)]


class Dates(Step):
    """Take dates apart: parts of the calendar, and time as a straight line.

    A part is (value - centre) / scale with fixed numbers: the mean and standard deviation of the part's possible
    values, each once (month: 6.5 and 3.45; year: 2000 and 10). Columns are named ``COLUMN_year``; with `cyclical`
    ``COLUMN_month_sin`` and ``COLUMN_month_cos``. Parts are those that a clock in the column's time zone shows. A part
    that is the same for all training rows is left out. A missing date is 0 everywhere, and 1 in ``COLUMN_missing``
    when dates were missing in training.

    Attributes
    ----------
    parts : list of str, optional
        Of year, quarter, month, dayofyear, day, dayofweek (Monday is 0), hour, minute, second. Default: year, month,
        day, dayofweek, and hour where training has times of day.
    time : bool
        Add ``COLUMN_time``: seconds, centred and scaled by the training rows; default True.
    cyclical : bool
        Make a sine and a cosine of every part but the year, so that December is beside January; default False.
    """

    kind: Literal["dates"] = "dates"
    parts: tuple[Part, ...] | None = Field(default=None)
    time: bool = True
    cyclical: bool = False

    takes: ClassVar[frozenset[Form]] = frozenset({Form.DATES})
    fitted: ClassVar[type[Fitted]] = Parted

    def gives(self, form: Form) -> Form:
        """Finished columns."""
        return Form.COLUMNS

    def check(self, column: Column, form: Form) -> str | None:
        """Refuse to make no column at all."""
        return "parts is empty and time is false: nothing is left of the date" if self._is_nothing else None

    @property
    def _is_nothing(self) -> bool:
        return self.parts == () and not self.time

    def statistics(self, column: Column) -> frozenset[str]:
        """Moments, in seconds."""
        return frozenset({"moments"})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Choose the parts that vary; centre and scale the time."""
        found, name = state.statistics, state.column.name
        asked = self.parts
        if asked is None:
            asked = ("year", "month", "day", "dayofweek", *(("hour",) if found.has_times else ()))
        ends = ends_on_the_clock(found.min, found.max, state.column.arrow_type)
        parts = tuple(part for part in asked if len(set(ends.astype(f"datetime64[{PARTS[part].unit}]"))) > 1)
        scale = math.sqrt(found.variance) if found.variance > 0 else 1.0
        indicator = found.n_missing > 0
        names = [
            f"{name}_{part}{ending}"
            for part in parts
            for ending in (("_sin", "_cos") if self.cyclical and PARTS[part].period else ("",))
        ]
        time = self.time and found.min < found.max
        names += [f"{name}_time"] if time else []
        names += [f"{name}_missing"] if indicator else []
        fitted = Parted(parts, self.cyclical, time, found.mean, scale, indicator)
        return fitted, replace(state, form=Form.COLUMNS, outputs=(*state.outputs, *names))


def ends_on_the_clock(low: float, high: float, arrow_type: pa.DataType) -> Any:
    """Return the first and the last date, given in seconds since 2000 UTC, as a clock in the column's zone showed them.

    Examples
    --------
    >>> ends_on_the_clock(0.0, 86400.0, pa.timestamp("us", tz="America/New_York"))
    array(['1999-12-31T19:00:00', '2000-01-01T19:00:00'], dtype='datetime64[s]')
    """
    zone = getattr(arrow_type, "tz", None)
    ends = pa.array([math.floor(end) + arrays.ORIGIN for end in (low, high)], pa.timestamp("s", tz=zone))
    return arrays.wall_clock(ends).to_numpy()
