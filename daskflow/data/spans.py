"""Spans: lengths along a time column, as ``"7 days"``, ``"500 rows"``, ``"2 pieces"`` or a number of its own units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest

NANOSECONDS = {
    "nanosecond": 1,
    "microsecond": 10**3,
    "millisecond": 10**6,
    "second": 10**9,
    "minute": 60 * 10**9,
    "hour": 3_600 * 10**9,
    "day": 86_400 * 10**9,
    "week": 7 * 86_400 * 10**9,
}
SHORT = {
    "ns": "nanosecond",
    "us": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "sec": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
}
COUNTED = ("row", "piece", "unit")
VAGUE = ("month", "quarter", "year")
WRITTEN = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-zA-Z]+)\s*")
TICKS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
LOWEST, HIGHEST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Span:
    """A length along a time column.

    Attributes
    ----------
    amount : Fraction
        How many; above 0.
    unit : str
        ``nanosecond`` for durations, ``row``, ``piece``, or ``unit`` (of a numeric column).
    """

    amount: Fraction
    unit: str

    @classmethod
    def parse(cls, value: Any) -> Span:
        """Make a span of what a user wrote; a bare number is in the column's own units.

        Raises
        ------
        ValueError
            With a sentence.

        Examples
        --------
        >>> Span.parse("2 hours") == Span.parse("120 min"), Span.parse("500 rows").unit
        (True, 'row')
        """
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not 0 < value < float("inf"):
                raise ValueError("a length is above 0")
            return cls(Fraction(value), "unit")
        found = WRITTEN.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError("should be a number with a unit, such as '7 days' or '500 rows'")
        amount, written = Fraction(found[1]), found[2]
        word = written.lower().removesuffix("s") if len(written) > 2 else written.lower()
        word = SHORT.get(word, word)
        if word in VAGUE:
            raise ValueError(f"a {word} has no fixed length: say it in days")
        if word not in NANOSECONDS and word not in COUNTED:
            raise ValueError(f"no such unit{nearest(word, [*NANOSECONDS, *COUNTED])}")
        if amount == 0:
            raise ValueError("a length is above 0")
        if word in ("row", "piece") and amount.denominator != 1:
            raise ValueError(f"a part of a {word} cannot be: say a whole number")
        return cls(amount * NANOSECONDS[word], "nanosecond") if word in NANOSECONDS else cls(amount, word)

    @property
    def is_counted(self) -> bool:
        """Whether it is a number of rows or pieces, and no length of time."""
        return self.unit in ("row", "piece")

    def problem(self, arrow_type: pa.DataType) -> str | None:
        """Say why it cannot be a length along a column of this type; None when it can."""
        is_date = pa.types.is_temporal(arrow_type)
        if self.unit == "unit" and is_date:
            return "has no unit, and the time column holds dates: say '7 days'"
        if self.unit == "nanosecond" and not is_date:
            return "is a duration, and the time column holds numbers: say a number in its units"
        if not self.is_counted and not pa.types.is_floating(arrow_type) and self._ticks(arrow_type) == 0:
            return f"is less than one step of the time column ({arrow_type})"
        return None

    def _ticks(self, arrow_type: pa.DataType) -> int:
        """Whole steps of a column of dates or integers."""
        if self.unit == "unit":
            return int(self.amount // 1)
        if pa.types.is_date32(arrow_type):
            return int(self.amount // NANOSECONDS["day"])
        unit = "ms" if pa.types.is_date64(arrow_type) else arrow_type.unit
        return int(self.amount // TICKS[unit])

    def before(self, instant: int, arrow_type: pa.DataType) -> int:
        """Return the first instant that lies within the span before another: at or after their difference.

        Examples
        --------
        >>> Span.parse("2 days").before(10, pa.date32()), Span.parse(0.5).before(0, pa.int64())
        (8, 0)
        """
        if is_real(arrow_type):
            value = real_of(instant)
            return _rounded_up(Fraction(value) - self.amount) if np.isfinite(value) else instant
        return max(LOWEST, instant - self._ticks(arrow_type))


def written(value: Any) -> Any:
    """Return a ``datetime.timedelta`` as text; other values as they are."""
    return f"{value // timedelta(microseconds=1)} us" if isinstance(value, timedelta) else value


def is_real(arrow_type: pa.DataType) -> bool:
    """Whether instants of a column are kept by the bits of a float64."""
    return bool(pa.types.is_floating(arrow_type) or pa.types.is_decimal(arrow_type))


def real_of(instant: int) -> float:
    """Return the number that an instant of a column of floats stands for."""
    bits = np.int64(instant)
    return float((bits if bits >= 0 else bits ^ np.int64(HIGHEST)).view(np.float64))


def _rounded_up(value: Fraction) -> int:
    """The instant of the smallest float64 that is at least a number."""
    near = float(value)
    return int(_by_bits(np.array([near if near >= value else np.nextafter(near, np.inf)]))[0])


def _by_bits(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Floats as integers that sort alike."""
    bits = (values + 0.0).view(np.int64)
    return np.asarray(np.where(bits < 0, bits ^ np.int64(HIGHEST), bits))


def instants(values: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    """Return a time column without gaps as int64 that sorts like its values: dates in their unit, floats by their bits.

    Raises
    ------
    DataError
        When the column is neither dates nor numbers.
    """
    column = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    arrow_type = column.type
    if pa.types.is_date32(arrow_type):
        column = column.cast(pa.int32())
    if is_real(arrow_type):
        return _by_bits(np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False)))
    if pa.types.is_temporal(arrow_type) or pa.types.is_integer(arrow_type):
        return np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)
    raise DataError(f"A time must be a date or a number; the column is {arrow_type}. Convert it, or derive one.")
