"""Arrow columns as numpy arrays: numbers, seconds and levels, each with one way to say that a value is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

Level = str | int | float | bool
"""A category: a string, a boolean, or a number (whole numbers are int whatever type they came in)."""

MISSING, UNKNOWN = -1, -2
"""Codes of rows without a value, and of rows whose level is not among the known ones."""

ORIGIN = 946_684_800
"""2000-01-01 00:00 UTC in seconds since 1970: where `seconds` count from, so that float64 keeps microseconds."""

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True, slots=True)
class Levels:
    """A categorical column: a code for every row, and the levels that the codes mean.

    Attributes
    ----------
    codes : ndarray of int64, shape (n_rows,)
        Place in `values`; -1 where the value is missing.
    values : list of str, int, float or bool
        In any order; some may not occur.
    """

    codes: NDArray[np.int64]
    values: list[Level]

    def coded(self, known: Mapping[Level, int]) -> NDArray[np.int64]:
        """Return every row's code among `known`: -1 where missing, -2 where the level is not known."""
        return self.replaced([known.get(value, UNKNOWN) for value in self.values])

    def replaced(self, codes: Iterable[int]) -> NDArray[np.int64]:
        """Return every row's code with the code of each level replaced; missing stays -1."""
        return np.array([*codes, MISSING], dtype=np.int64)[self.codes]  # the code -1 reads the last place

    def counts(self) -> dict[Level, int]:
        """Return how often each level occurs; levels that do not occur are left out."""
        found = np.bincount(self.codes + 1, minlength=1)[1:]
        counts: dict[Level, int] = {}
        for place in np.flatnonzero(found):
            value = self.values[place]
            counts[value] = counts.get(value, 0) + int(found[place])
        return counts


def pooled(n: int, dtype: Any) -> NDArray[Any]:
    """Return an array of n places that hold anything, from Arrow's pool.

    The pool keeps memory for whoever asks next. What numpy asks for goes back to the system each time it is large, and
    to touch a page that the system has just handed out takes longer than most that is done with the values in it.
    """
    kind = np.dtype(dtype)
    return np.frombuffer(pa.allocate_buffer(n * kind.itemsize), dtype=kind)


def whole(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    if not isinstance(array, pa.ChunkedArray):
        return array
    if pa.types.is_dictionary(array.type):
        array = array.unify_dictionaries()
    return array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)


def plain(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array of its values' own type, dictionaries decoded."""
    column = whole(array)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def numbers(array: pa.Array | pa.ChunkedArray) -> Numbers:
    """Return a numeric or boolean column as float64, shape (n_rows,); missing is nan, booleans are 0 and 1.

    Examples
    --------
    >>> numbers(pa.array([True, None, False]))
    array([ 1., nan,  0.])
    """
    column = plain(array)
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def ordered_bits(values: Numbers) -> NDArray[np.int64]:
    """Return the bits of float64 as integers that sort like them."""
    bits = values.view(np.int64)
    return np.where(bits < 0, bits ^ np.int64(2**63 - 1), bits)


def numbers_of(ordered: NDArray[np.int64]) -> Numbers:
    """Return the numbers of such integers; the inverse is the function itself, and -0.0 is 0.0."""
    return np.where(ordered < 0, ordered ^ np.int64(2**63 - 1), ordered).view(np.float64) + 0.0


def seconds(array: pa.Array | pa.ChunkedArray) -> Numbers:
    """Return a date or timestamp column as seconds since 2000-01-01 UTC, float64, shape (n_rows,); missing is nan.

    A timestamp without a zone is read as UTC. The fraction is exact to 2 microseconds within 290 years.

    Examples
    --------
    >>> seconds(pa.array(["2000-01-02", None]).cast(pa.date32()))
    array([86400.,    nan])
    """
    column = plain(array)
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    column = as_timestamps(column)
    per_second = UNITS[column.type.unit]
    ticks = pc.fill_null(column.cast(pa.int64()), ORIGIN * per_second).to_numpy()
    found = (ticks // per_second - ORIGIN) + (ticks % per_second) / per_second  # no overflow at either end of int64
    if column.null_count:
        found[column.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return np.asarray(found)


def as_timestamps(array: pa.Array) -> pa.Array:
    """Return dates as timestamps of whole seconds; timestamps stay as they are."""
    if pa.types.is_date32(array.type):
        array = pc.multiply_checked(array.cast(pa.int32()).cast(pa.int64()), 86_400).cast(pa.timestamp("s"))
    return array.cast(pa.timestamp("ms")) if pa.types.is_date64(array.type) else array


def wall_clock(array: pa.Array) -> pa.Array:
    """Return timestamps as what a clock on the wall showed in the column's own zone."""
    return pc.local_timestamp(array) if array.type.tz else array


def levels(array: pa.Array | pa.ChunkedArray) -> Levels:
    """Return a string, boolean or numeric column as codes and levels; nan and null are missing.

    Examples
    --------
    >>> levels(pa.array(["b", None, "a", "b"]))
    Levels(codes=array([ 0, -1,  1,  0]), values=['b', 'a'])
    >>> levels(pa.array([2.0, float("nan"), 0.5])).values
    [0.5, 2]
    """
    column = whole(array)
    value_type = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_null(value_type):
        return Levels(np.full(len(column), MISSING), [])
    if pa.types.is_floating(value_type) or pa.types.is_decimal(value_type):
        return levels_of_numbers(numbers(column))
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    codes = np.asarray(pc.fill_null(column.indices.cast(pa.int64()), MISSING).to_numpy())
    found = Levels(codes, column.dictionary.to_pylist())
    if column.dictionary.null_count:
        return Levels(found.replaced([MISSING if v is None else n for n, v in enumerate(found.values)]), found.values)
    return found


def levels_of_numbers(values: Numbers) -> Levels:
    """Return float64 numbers as codes and sorted levels; nan is missing, 2.0 is the level 2, -0.0 is 0."""
    present = ~np.isnan(values)
    distinct, inverse = np.unique(values[present], return_inverse=True)
    codes = np.full(len(values), MISSING, dtype=np.int64)
    codes[present] = inverse
    return Levels(codes, [level_of(value) for value in distinct.tolist()])


def level_of(value: float) -> Level:
    """Return a number as a level: an int when it is whole."""
    return int(value) if value.is_integer() else value
