"""Dates taken apart into parts of the calendar, an age and a straight line of time."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator

from daskflow.data import arrays
from daskflow.data.arrays import Numbers
from daskflow.data.schema import Column
from daskflow.preprocess import Step
from daskflow.preprocess.steps import Fitted, Flow, Form, State

Part = Literal["year", "quarter", "month", "week", "dayofyear", "day", "dayofweek", "hour", "minute", "second"]
Flag = Literal[
    "is_weekend",
    "is_month_start",
    "is_month_end",
    "is_quarter_start",
    "is_quarter_end",
    "is_year_start",
    "is_year_end",
    "is_leap_year",
]

SATURDAY = 5
PER_DAY = 86_400


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
    "week": PartOfDate(pc.iso_week, 1, 53, "D"),
    "dayofyear": PartOfDate(pc.day_of_year, 1, 366, "D"),
    "day": PartOfDate(pc.day, 1, 31, "D"),
    "dayofweek": PartOfDate(pc.day_of_week, 0, 7, "D"),
    "hour": PartOfDate(pc.hour, 0, 24, "h"),
    "minute": PartOfDate(pc.minute, 0, 60, "m"),
    "second": PartOfDate(pc.second, 0, 60, "s"),
}
"""Monday is 0. The numbers are the calendar's, not the data's, so the same date is the same number in every fold."""


def _at_end(unit: str, day: pa.Array) -> pa.Array:
    """Whether the next day begins another year, quarter or month."""
    tomorrow = pc.add(day, pa.scalar(PER_DAY, pa.duration("s")))
    return pc.not_equal(pc.floor_temporal(day, unit=unit), pc.floor_temporal(tomorrow, unit=unit))


def _at_start(unit: str, day: pa.Array) -> pa.Array:
    """Whether the day is the first of its year, quarter or month."""
    return pc.equal(pc.floor_temporal(day, unit=unit), day)


FLAGS: Mapping[str, Any] = {
    "is_weekend": lambda day: pc.greater_equal(pc.day_of_week(day), SATURDAY),
    "is_month_start": lambda day: _at_start("month", day),
    "is_month_end": lambda day: _at_end("month", day),
    "is_quarter_start": lambda day: _at_start("quarter", day),
    "is_quarter_end": lambda day: _at_end("quarter", day),
    "is_year_start": lambda day: _at_start("year", day),
    "is_year_end": lambda day: _at_end("year", day),
    "is_leap_year": pc.is_leap_year,
}
"""From midnights of wall-clock days, in whole seconds, to truths."""


@dataclass(frozen=True, slots=True)
class Parted(Fitted):
    """Parts of dates as finished columns.

    Attributes
    ----------
    parts : tuple of str
        In order; truths such as ``is_weekend`` among them.
    cyclical : bool
        Whether periodic parts are a sine and a cosine.
    is_scaled : bool
        Whether parts lie around 0, instead of being the calendar's numbers.
    time : bool
        Whether seconds since 2000 are a column, less `centre`, divided by `scale`.
    centre, scale : float
        In seconds.
    since : float or None
        Where ages count from, in seconds since 2000; None without an age.
    per_age : float
        Seconds of one unit of age.
    zone : str or None
        Zone of the clock, where it is not the column's own.
    indicator : bool
        Whether a last column says where the date is missing.
    """

    kind: ClassVar[str] = "dates"

    parts: tuple[str, ...]
    cyclical: bool
    is_scaled: bool
    time: bool
    centre: float
    scale: float
    since: float | None
    per_age: float
    zone: str | None
    indicator: bool

    def apply(self, flow: Flow) -> Flow:
        """Take the dates apart; a missing one is 0 in every column but its indicator."""
        dates = arrays.plain(flow.values)
        missing = np.asarray(dates.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
        columns: list[Numbers] = []
        if pa.types.is_null(dates.type):
            dates = dates.cast(pa.timestamp("s"))
        clock = on_the_clock(arrays.as_timestamps(dates), self.zone)
        days = _midnights(clock) if any(name in FLAGS for name in self.parts) else None
        for name in self.parts:
            if name in FLAGS:
                columns.append(arrays.numbers(FLAGS[name](days)))
            else:
                columns += self._columns(PARTS[name], arrays.numbers(PARTS[name].of(clock)))
        seconds = arrays.seconds(dates)
        if self.time:
            columns.append((seconds - self.centre) / self.scale)
        if self.since is not None:
            columns.append((self.since - seconds) / self.per_age)
        columns = [np.where(missing, 0.0, column) for column in columns]
        if self.indicator:
            columns.append(missing.astype(np.float64))
        return flow.finished(*columns)

    def _columns(self, part: PartOfDate, values: Numbers) -> list[Numbers]:
        """One part as a number, around 0 or the calendar's own, or as a point on the circle."""
        if self.cyclical and part.period:
            angle = (values - part.first) * (2 * math.pi / part.period)
            return [np.sin(angle), np.cos(angle)]
        return [(values - part.centre) / part.scale if self.is_scaled else values]


class Dates(Step):
    """Take dates apart: parts of the calendar, time as a straight line, and age.

    A part is (value - centre) / scale with fixed numbers: the mean and standard deviation of the part's possible
    values, each once (month: 6.5 and 3.45; year: 2000 and 10). Columns are named ``COLUMN_year``; with `cyclical`
    ``COLUMN_month_sin`` and ``COLUMN_month_cos``. Parts are those that a clock in the column's time zone shows, summer
    time included. A part that is the same for all training rows is left out. A missing date is 0 everywhere, and 1 in
    ``COLUMN_missing`` when dates were missing in training.

    Attributes
    ----------
    parts : list of str, optional
        Of year, quarter, month, week (ISO), dayofyear, day, dayofweek (Monday is 0), hour, minute, second, and the
        truths is_weekend, is_month_start, is_month_end, is_quarter_start, is_quarter_end, is_year_start, is_year_end
        and is_leap_year. Default: year, month, day, dayofweek, and hour where training has times of day.
    time : bool
        Add ``COLUMN_time``: seconds, centred and scaled by the training rows; default True.
    cyclical : bool
        Make a sine and a cosine of every part but the year and the truths, so that December is beside January; default
        False.
    age : date or ``"last"``, optional
        Add ``COLUMN_age``: days from the date to this one (as ``"2024-01-31"``, midnight in the column's zone), or to
        the last date of the training rows; divided by the standard deviation of the training rows' dates when `scaled`.
    zone : str, optional
        Zone of the clock, such as ``Europe/Berlin``, instead of the column's own; for columns that have one.
    scaled : bool
        Default True. False gives the calendar's own numbers (month 1 to 12), days since 2000-01-01 UTC for the time and
        days for the age: easier to read, and the same to trees.
    """

    kind: Literal["dates"] = "dates"
    parts: tuple[Part | Flag, ...] | None = None
    time: bool = True
    cyclical: bool = False
    age: datetime.date | Literal["last"] | None = None
    zone: str | None = None
    scaled: bool = True

    takes: ClassVar[frozenset[Form]] = frozenset({Form.DATES})
    fitted: ClassVar[type[Fitted]] = Parted

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, value: str | None) -> str | None:
        try:
            return None if value is None else ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("is no time zone; take a name such as 'Europe/Berlin' or 'UTC'") from None

    def gives(self, form: Form) -> Form:
        """Finished columns."""
        return Form.COLUMNS

    def check(self, column: Column, form: Form) -> str | None:
        """Refuse to make no column at all, and another zone for dates that have none."""
        if self.zone is not None and getattr(column.arrow_type, "tz", None) is None:
            return f"zone = '{self.zone}' is for dates with a time zone; {column.type} has none. Leave zone out"
        if self.parts == () and not self.time and self.age is None:
            return "parts is empty, time is false and there is no age: nothing is left of the date"
        return None

    def statistics(self, column: Column) -> frozenset[str]:
        """Moments, in seconds."""
        return frozenset({"moments"})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Choose the parts that vary; centre and scale the time."""
        found, name = state.statistics, state.column.name
        arrow_type = state.column.arrow_type
        asked: tuple[str, ...] | None = self.parts
        if asked is None:
            asked = ("year", "month", "day", "dayofweek", *(("hour",) if found.has_times or self.zone else ()))
        first, last = ends_on_the_clock(found.min, found.max, arrow_type, self.zone)
        parts = tuple(part for part in asked if _varies(part, first, last))
        deviation = math.sqrt(found.variance) if found.variance > 0 else 1.0
        varies, indicator = found.min < found.max, found.n_missing > 0
        names = [
            f"{name}_{part}{ending}"
            for part in parts
            for ending in (("_sin", "_cos") if self.cyclical and part in PARTS and PARTS[part].period else ("",))
        ]
        time, since = self.time and varies, self._since(found.max, arrow_type) if varies else None
        names += [f"{name}_time"] if time else []
        names += [f"{name}_age"] if since is not None else []
        names += [f"{name}_missing"] if indicator else []
        fitted = Parted(
            parts=parts,
            cyclical=self.cyclical,
            is_scaled=self.scaled,
            time=time,
            centre=found.mean if self.scaled else 0.0,
            scale=deviation if self.scaled else PER_DAY,
            since=since,
            per_age=deviation if self.scaled else PER_DAY,
            zone=self.zone,
            indicator=indicator,
        )
        return fitted, replace(state, form=Form.COLUMNS, outputs=(*state.outputs, *names))

    def _since(self, last: float, arrow_type: pa.DataType) -> float | None:
        """Where ages count from, in seconds since 2000 UTC."""
        if not isinstance(self.age, datetime.date):
            return last if self.age == "last" else None
        midnight = datetime.datetime(self.age.year, self.age.month, self.age.day)
        clock = pa.array([midnight], pa.timestamp("s"))
        zone = self.zone or getattr(arrow_type, "tz", None)
        if zone:
            clock = pc.assume_timezone(clock, zone, ambiguous="earliest", nonexistent="latest")
        return float(arrays.seconds(clock)[0])


def on_the_clock(timestamps: pa.Array, zone: str | None) -> pa.Array:
    """Return what a clock on the wall showed in a zone, by default the column's own."""
    if zone is not None and timestamps.type.tz is not None:
        timestamps = timestamps.cast(pa.timestamp(timestamps.type.unit, tz=zone))
    return arrays.wall_clock(timestamps)


def ends_on_the_clock(low: float, high: float, arrow_type: pa.DataType, zone: str | None = None) -> Any:
    """Return the first and the last date, given in seconds since 2000 UTC, as a clock in the column's zone showed them.

    Examples
    --------
    >>> ends_on_the_clock(0.0, 86400.0, pa.timestamp("us", tz="America/New_York"))
    array(['1999-12-31T19:00:00', '2000-01-01T19:00:00'], dtype='datetime64[s]')
    """
    own = getattr(arrow_type, "tz", None)
    ends = pa.array([math.floor(end) + arrays.ORIGIN for end in (low, high)], pa.timestamp("s", tz=own))
    return on_the_clock(ends, zone).to_numpy()


def _midnights(clock: pa.Array) -> pa.Array:
    """Return the days of wall-clock timestamps, in whole seconds."""
    return pc.floor_temporal(clock, unit="day").cast(pa.timestamp("s"))


def _varies(part: str, first: Any, last: Any) -> bool:
    """Whether a part may differ between two dates that lie between these."""
    unit = PARTS[part].unit if part in PARTS else "Y" if part == "is_leap_year" else "D"
    return bool(first.astype(f"datetime64[{unit}]") != last.astype(f"datetime64[{unit}]"))
