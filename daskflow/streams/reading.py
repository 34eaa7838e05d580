"""Reading of rows as JSON gives them: values to columns by what a model learned, each row judged by itself.

Nothing is converted that could mean something else: text is no number, a number no text, true and false are no numbers.
What a row becomes never depends on the rows beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from daskflow.core.settings import nearest
from daskflow.data.schema import Column, ColumnKind, Schema

Problems = dict[int, tuple[str, str]]
"""By row: one word for the reason, as in `records.Dead`, and a sentence."""

EXACT_DOUBLE = 2**53
"""Whole numbers up to here are float64."""

SHOWN = 60
"""Characters of a value that a message shows."""

ZONE = re.compile(r"(?:[Zz]|[+-]\d\d(?::?\d\d)?)$")
MISSING = object()


@dataclass(frozen=True)
class RowReader:
    """Reads rows for one model.

    Parameters
    ----------
    columns : Schema
        What a row must have; None is a missing value, a name that is not there is a mistake.
    is_strict : bool
        Whether names that are no columns are a mistake; default they are passed over.
    """

    columns: Schema
    is_strict: bool = False

    def read(self, rows: Sequence[Mapping[str, Any]]) -> tuple[pa.Table, list[int], Problems]:
        """Return a table of the rows that can be read, their places, and what is wrong with the others.

        Parameters
        ----------
        rows : sequence of mapping
            Values by column name: numbers, texts, booleans, None; times as ISO 8601 text. A nan is a missing value.

        Returns
        -------
        table : pyarrow.Table
            Of `columns`. Whole numbers are int64 unless a value of the column has a fraction.
        places : list of int
            Of its rows in `rows`.
        problems : dict
            Of the others.

        Raises
        ------
        MixedRows
            Read fewer rows at a time.
        """
        problems: Problems = {}
        places = [place for place, row in enumerate(rows) if self._is_whole(place, row, problems)]
        while True:
            arrays, wrong = self._arrays([rows[place] for place in places])
            if not wrong:
                return pa.table(arrays, schema=_schema(self.columns, arrays)), places, problems
            for number, problem in wrong.items():
                problems[places[number]] = problem
            places = [place for number, place in enumerate(places) if number not in wrong]

    def _is_whole(self, place: int, row: Any, problems: Problems) -> bool:
        """Whether it is a mapping with every column."""
        if not isinstance(row, Mapping):
            problems[place] = ("malformed", f"a row is an object of values by column name; found {_shown(row)}")
            return False
        names = self.columns.names
        missing = [name for name in names if name not in row]
        if missing:
            hint = nearest(missing[0], map(str, row)) if len(missing) == 1 else ""
            hint = hint if "did you mean" in hint else ""
            there = "there is no" if len(missing) == 1 else "there are no"
            problems[place] = ("missing", f"{there} {_listed(missing)}{hint}; null says that a value is missing")
            return False
        if self.is_strict and len(row) > len(names):
            extra = [str(name) for name in row if name not in names]
            problems[place] = ("extra", f"the model knows no {_listed(extra)}{nearest(extra[0], names)}")
            return False
        return True

    def _arrays(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[Any], Problems]:
        """Return one array per column, or what is wrong by row."""
        arrays: list[Any] = []
        wrong: Problems = {}
        for column in self.columns.columns:
            values = [row[column.name] for row in rows]
            array = _of_plain(values, column)
            if array is None:
                array, problems = _one_by_one(values, column)
                for number, (reason, words) in problems.items():
                    before = wrong.get(number)
                    wrong[number] = (reason, words) if before is None else (before[0], f"{before[1]}; {words}")
            arrays.append(array)
        return arrays, wrong


def _schema(columns: Schema, arrays: Iterable[Any]) -> pa.Schema:
    return pa.schema(list(zip(columns.names, (array.type for array in arrays), strict=True)))


def _of_plain(values: list[Any], column: Column) -> Any:
    """Return a column of plain values of one kind, made by one call; None when something needs a closer look."""
    kinds = set(map(type, values))
    kinds.discard(type(None))
    try:
        if column.type == "null":
            return pa.nulls(len(values), pa.string()) if not kinds else None
        if column.kind is ColumnKind.NUMERIC:
            if pa.types.is_integer(column.arrow_type):
                return pa.array(values, pa.int64()) if kinds <= {int} else None
            if not pa.types.is_floating(column.arrow_type) or not kinds <= {float, int}:
                return None
            array = pa.array(values, pa.float64(), from_pandas=True)
            return array if np.isfinite(array.drop_null().to_numpy()).all() else None
        if column.kind is ColumnKind.BOOLEAN:
            return pa.array(values, pa.bool_()) if kinds <= {bool} else None
        if column.kind is ColumnKind.CATEGORICAL:
            return pa.array(values, pa.string()) if kinds <= {str} else None
    except (pa.ArrowException, ValueError, OverflowError, TypeError):
        return None
    return None


def _one_by_one(values: Sequence[Any], column: Column) -> tuple[Any, Problems]:
    """Read a column value by value; where there is a problem the array has a gap."""
    read, arrow_type = _reader(column)
    found: list[Any] = []
    problems: Problems = {}
    for number, value in enumerate(values):
        try:
            found.append(None if _is_missing(value) else read(_own(value)))
        except _Wrong as wrong:
            found.append(None)
            reason, words = wrong.args
            problems[number] = (reason, f"column '{column.name}' {words}")
    if arrow_type == pa.int64() and any(type(value) is float for value in found):
        arrow_type = pa.float64()
        if any(type(value) is int and abs(value) > EXACT_DOUBLE for value in found):
            raise MixedRows
    elif column.kind is ColumnKind.DATETIME:
        return _of_instants(found, column.arrow_type), problems
    return pa.array(found, arrow_type), problems


def _of_instants(instants: list[Any], learned: Any) -> Any:
    """Return times in the learned unit where that changes none, else in nanoseconds, or microseconds, which reach far.

    Raises
    ------
    MixedRows
        For years that nanoseconds do not reach, beside fractions that only they can say.
    """
    zone = "UTC" if pa.types.is_timestamp(learned) and learned.tz is not None else None
    own = learned.unit if pa.types.is_timestamp(learned) else "s"
    for unit in (own, "ns", "us"):
        made = [None if instant is None else _ticks(instant, unit) for instant in instants]
        if made.count(None) == instants.count(None):
            return pa.array(made, pa.int64()).cast(pa.timestamp(unit, zone))
    raise MixedRows


def _ticks(instant: Any, unit: str) -> int | None:
    """Units since 1970; None where the unit cannot say the time as it is, or does not reach so far."""
    try:
        told = instant.as_unit(unit)
    except (OverflowError, ValueError):
        return None
    return int(told.asm8.astype(np.int64)) if told == instant else None


class MixedRows(Exception):  # noqa: N818  nothing is wrong with any row
    """Rows that one column cannot hold side by side without changing a value: fractions, and very long integers."""


class _Wrong(Exception):  # noqa: N818  it never leaves this file
    """A value that a column cannot hold: reason and words."""


def _reader(column: Column) -> tuple[Callable[[Any], Any], Any]:
    """How one value of a column is read, and the array's type."""
    if column.type == "null":
        return _anything, pa.string()
    if column.kind is ColumnKind.BOOLEAN:
        return _truth, pa.bool_()
    if column.kind is ColumnKind.CATEGORICAL:
        return _text, pa.string()
    if column.kind is ColumnKind.DATETIME:
        has_zone = pa.types.is_timestamp(column.arrow_type) and column.arrow_type.tz is not None
        return (_time_with_zone if has_zone else _time), None
    if pa.types.is_integer(column.arrow_type):
        return _whole, pa.int64()
    return _number, pa.float64()


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


def _own(value: Any) -> Any:
    """Numpy's values as Python's own; times as text."""
    if isinstance(value, np.generic):
        value = value.item()
    return value.isoformat() if hasattr(value, "isoformat") else value


def _number(value: Any) -> float:
    if type(value) is int:
        if not -(2**63) <= value < 2**63:
            raise _Wrong("value", f"is {_shown(value)}, more than 64 bits hold")
        return float(value)
    if type(value) is not float:
        raise _Wrong("type", f"should be a number; found {_shown(value)}")
    if math.isinf(value):
        raise _Wrong("value", "is infinite; null says that a value is missing")
    return value


def _whole(value: Any) -> Any:
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    number = _number(value)
    return int(number) if number.is_integer() and abs(number) <= EXACT_DOUBLE else number


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise _Wrong("type", f"should be true or false; found {_shown(value)}")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _Wrong("type", f"should be text; found {_shown(value)}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Wrong("value", "holds half of a character pair, which is no text") from None
    return value


def _anything(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        raise _Wrong("type", f"should be one value; found {_shown(value)}")
    if isinstance(value, float) and math.isinf(value):
        raise _Wrong("value", "is infinite; null says that a value is missing")
    if isinstance(value, str):
        return _text(value)
    try:
        return str(pa.scalar(value).cast(pa.string()).as_py())
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        raise _Wrong("value", f"is {_shown(value)}, which no table holds") from None


def _time(value: Any) -> Any:
    return _instant(value, has_zone=False)


def _time_with_zone(value: Any) -> Any:
    return _instant(value, has_zone=True)


def _instant(value: Any, *, has_zone: bool) -> Any:
    example = "2024-05-01T13:30:00" + ("Z" if has_zone else "")
    if type(value) is not str or not re.match(r"\d{4}-\d\d-\d\d", value):
        raise _Wrong("type", f"should be a time as ISO 8601 text, such as '{example}'; found {_shown(value)}")
    if bool(ZONE.search(value[10:])) != has_zone:
        told = "a" if not has_zone else "no"
        learned = "one" if has_zone else "none"
        raise _Wrong("type", f"has {told} time zone ({_shown(value)}); the model learned times with {learned}")
    try:
        instant = pd.Timestamp(value)
        instant = instant.tz_convert("UTC") if has_zone else instant
        if not 1 <= instant.year <= 9999:  # by its zone
            raise ValueError
    except (ValueError, OverflowError, pd.errors.OutOfBoundsDatetime):
        raise _Wrong("value", f"is no time: {_shown(value)}, such as '{example}'") from None
    return instant


def _listed(names: Sequence[str]) -> str:
    """``column 'a'`` or ``columns 'a', 'b' and 3 more``."""
    shown = ", ".join(f"'{name:.{SHOWN}}'" for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"column{'s' if len(names) > 1 else ''} {shown}{more}"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of thousands of digits
        return "an integer of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
