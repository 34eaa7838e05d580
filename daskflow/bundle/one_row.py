"""One row of a pandas frame to an estimator's matrix, past Arrow: an array of one value costs as one of thousands.

Only plain values are taken here: numbers, booleans and text as the model learned them, or missing ones. Whatever else a
frame holds (a missing column, text for a number, an infinite value) is left to `daskflow.bundle.rows`, which reads it
or says what is wrong; so the answers and the errors are the same on both ways.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from daskflow.bundle.rows import array_of
from daskflow.bundle.side_by_side import Packed, Packer, SideBySide
from daskflow.core.errors import DataError
from daskflow.data.arrays import level_of
from daskflow.data.schema import Column, ColumnKind, Schema

WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
TEXT = ("string", "large_string")
EXACT = 2**24
"""Whole numbers up to here are float32."""

TYPES = (
    np.dtype,
    pd.ArrowDtype,
    pd.BooleanDtype,
    pd.CategoricalDtype,
    pd.DatetimeTZDtype,
    pd.StringDtype,
    *(pd.Int8Dtype, pd.Int16Dtype, pd.Int32Dtype, pd.Int64Dtype, pd.UInt8Dtype, pd.UInt16Dtype, pd.UInt32Dtype),
    *(pd.UInt64Dtype, pd.Float32Dtype, pd.Float64Dtype),
)
"""Types of columns whose single values mean what their arrays mean; a sparse column, for one, is none Arrow takes."""

NAN = math.nan
Reader = Callable[[Any], Any]


class Otherwise(Exception):  # noqa: N818  not an error: the row takes the general way
    """A value that is not read here."""


class OneRow:
    """Reads one row for one model.

    Parameters
    ----------
    schema : Schema
        The columns a row must have.
    transformer : object
        A preprocessing; without a method ``one_row``, or where that returns None, no row is read here.
    """

    def __init__(self, schema: Schema, transformer: Any) -> None:
        """Choose how each column is read."""
        self._maker: Any = transformer.one_row() if hasattr(transformer, "one_row") else None
        self._seen: tuple[list[Any], list[int]] = ([], [])  # one value, so that threads never mix two frames' places
        self._schema = schema
        if self._maker is None:
            return
        takes = {column.name: column.takes for column in self._maker.columns}
        if not set(takes) <= set(schema.names):
            self._maker = None
            return
        self._readers = [_reader(column, takes.get(column.name, "")) for column in schema.columns]
        number = {name: place for place, name in enumerate(schema.names)}
        self._n_arrays = sum(column.takes == "array" for column in self._maker.columns)
        self._order = [number[column.name] for column in self._maker.columns]
        self._side_by_side = SideBySide.of(schema, self._maker, self._readers)

    def matrix(self, frame: pd.DataFrame) -> Any:
        """Return float32 of shape (1, n_features); None when the row takes the general way."""
        if self._maker is None or len(frame) != 1:
            return None
        try:
            places = self._places_in(frame.columns)
            if not all(issubclass(kind, TYPES) for kind in {type(dtype) for dtype in frame.dtypes.array}):
                return None
            given = frame.to_numpy(dtype=object)[0].tolist()
            return self._matrix([given[place] for place in places], frame, places)
        except (Otherwise, DataError, ArithmeticError, TypeError, ValueError):
            return None

    def matrix_of(self, row: Mapping[str, Any]) -> Any:
        """The same of a mapping of values by column name."""
        if self._maker is None:
            return None
        try:
            given = [row[name] for name in self._schema.names]
            return self._matrix([_own(value) for value in given], None, [])
        except (Otherwise, KeyError, DataError, ArithmeticError, TypeError, ValueError):
            return None

    def of_rows(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Any, list[int], dict[str, int]]:
        """Read several mappings of values by column name, those of them that can be read here.

        Returns
        -------
        matrix : ndarray of float32, shape (n_read, n_features), or None
            None where no row can be read here, or all columns together are read sooner the general way.
        places : list of int
            Of its rows in `rows`.
        unseen : dict of str to int
            Rows among them, by column, whose level training has not seen.
        """
        if self._maker is None:
            return None, [], {}
        if self._side_by_side is not None:
            matrix, unseen = self._side_by_side.read(rows)
            if matrix is not None:
                return matrix, list(range(len(rows))), unseen
        # An Arrow array of one value costs as much as one of hundreds: 64 rows of retail_stream.py's texts and shares
        # took 241 ms one after the other, and 5 ms together; one row took 3.7 ms, and 3.3 ms.
        if len(rows) * self._n_arrays > len(self._maker.columns):
            return None, [], {}
        names, numbers, places = self._schema.names, [], []
        unseen = {}
        for place, row in enumerate(rows):
            try:
                read = self._read([_own(row[name]) for name in names], None, [])
                values = [read[number] for number in self._order]
                made = self._maker.numbers(values)
            except (Otherwise, KeyError, DataError, ArithmeticError, TypeError, ValueError):
                continue
            numbers.append(made)
            places.append(place)
            for name in self._maker.unseen(values):
                unseen[name] = unseen.get(name, 0) + 1
        if not numbers:
            return None, [], {}
        matrix = self._maker.stacked(numbers)
        is_finite = ~np.isinf(matrix).any(axis=1)
        if not is_finite.all():  # the general way says what is wrong
            return None, [], {}
        return matrix, places, unseen

    @property
    def packer(self) -> Packer | None:
        """What takes out of rows all that is needed; None where `of_rows` should read them."""
        return None if self._maker is None or self._side_by_side is None else self._side_by_side.pack

    @property
    def has_only_numbers(self) -> bool:
        """Whether `of_numbers` can read rows."""
        return self._maker is not None and self._side_by_side is not None and self._side_by_side.has_only_numbers

    def of_numbers(self, values: NDArray[np.float64], *, has_whole: bool) -> Any:
        """Return the matrix of rows of numbers in the schema's order; None where one needs a closer look."""
        assert self._side_by_side is not None
        return self._side_by_side.of_numbers(values, has_whole=has_whole)

    def of_packed(self, parts: Sequence[Packed]) -> tuple[Any, dict[str, int]]:
        """Return the matrix of packed rows and their unseen levels, as `of_rows`; None where that should read them."""
        assert self._side_by_side is not None
        return self._side_by_side.matrix(parts)

    def _matrix(self, given: list[Any], frame: pd.DataFrame | None, places: list[int]) -> Any:
        """Make the matrix of a row's values; None where it would not be finite."""
        read = self._read(given, frame, places)
        matrix = self._maker.matrix([read[number] for number in self._order])
        return None if np.isinf(matrix).any() else matrix

    def _read(self, given: list[Any], frame: pd.DataFrame | None, places: list[int]) -> list[Any]:
        """Read every value, whether the matrix holds it or not; those that Arrow reads from the frame's columns."""
        read = []
        for number, (value, reader) in enumerate(zip(given, self._readers, strict=True)):
            if reader is None:
                column = self._schema.columns[number]
                series = pd.Series([value]) if frame is None else frame.iloc[:, places[number]]
                read.append(array_of(series, column))
                continue
            is_nan = type(value) is float and value != value
            if is_nan and reader not in NUMBERS and frame is not None:
                _check_missing(frame.iloc[:, places[number]].dtype)
            read.append(reader(value))
        return read

    def _places_in(self, columns: pd.Index[Any]) -> list[int]:
        """Where the schema's columns stand in a frame."""
        names = columns.tolist()
        seen, places = self._seen
        if names == seen:
            return places
        found: dict[str, int] = {}
        for place, name in enumerate(names):
            if str(name) in found:
                raise Otherwise
            found[str(name)] = place
        if not all(name in found for name in self._schema.names):
            raise Otherwise
        places = [found[name] for name in self._schema.names]
        self._seen = names, places
        return places


def _own(value: Any) -> Any:
    """A number, boolean or text of numpy's as Python's own."""
    return value.item() if isinstance(value, np.generic) and value.dtype.kind in "iufbU" else value


def _reader(column: Column, takes: str) -> Reader | None:
    """How a column's value is read for a step that takes numbers or levels; None for those that Arrow reads."""
    if column.type == "null":
        return _nothing if takes == "" else None
    if takes == "array" or column.kind is ColumnKind.DATETIME:
        return None
    if column.kind is ColumnKind.NUMERIC:
        if column.type in WHOLE:
            return _level_of_whole if takes == "level" else _number_of_whole
        if column.type == "float":
            return _level_of_single if takes == "level" else _number_of_single
        if column.type == "double":
            return _level_of_double if takes == "level" else _number_of_double
        return None
    if column.kind is ColumnKind.BOOLEAN:
        return _truth if takes == "level" else _number_of_truth
    return _text if column.type in TEXT and takes in ("level", "") else None


def _check_missing(dtype: Any) -> None:
    """Go the general way where nan may be a value: Arrow tells it from a missing one."""
    is_missing = isinstance(dtype, pd.StringDtype | pd.CategoricalDtype) or (
        isinstance(dtype, np.dtype) and dtype.kind in "fO"
    )
    if not is_missing:
        raise Otherwise


def _number_of_double(value: Any) -> float:
    kind = type(value)
    if kind is float:
        if value - value != 0.0 and value == value:  # infinite
            raise Otherwise
        return float(value)
    if kind is int and -(2**63) <= value < 2**63:
        return float(value)
    return _missing_number(value)


def _number_of_single(value: Any) -> float:
    if type(value) is int and abs(value) > EXACT:  # Arrow rounds it to float32
        raise Otherwise
    return _number_of_double(value)


def _level_of_single(value: Any) -> Any:
    number = _number_of_single(value)
    return level_of(number) if number == number else None


def _number_of_whole(value: Any) -> float:
    return _number_of_double(value) + 0.0  # -0.0 has no whole number


def _missing_number(value: Any) -> float:
    if value is None or value is pd.NA:
        return NAN
    raise Otherwise


def _level_of_double(value: Any) -> Any:
    number = _number_of_double(value)
    return level_of(number) if number == number else None


def _level_of_whole(value: Any) -> Any:
    return value if type(value) is int and -(2**63) <= value < 2**63 else _level_of_double(value)


def _truth(value: Any) -> Any:
    if type(value) is bool:
        return value
    return _missing(value)


def _number_of_truth(value: Any) -> float:
    if type(value) is bool:
        return 1.0 if value else 0.0
    _missing(value)
    return NAN


def _text(value: Any) -> Any:
    return value if type(value) is str else _missing(value)


def _missing(value: Any) -> None:
    if value is None or value is pd.NA or (type(value) is float and value != value):
        return
    raise Otherwise


def _nothing(value: Any) -> None:
    if type(value) is int:
        _number_of_double(value)  # one that Arrow holds
    elif type(value) not in (float, str, bool):
        _missing(value)


NUMBERS = frozenset(
    {
        _number_of_double,
        _number_of_single,
        _number_of_whole,
        _level_of_double,
        _level_of_single,
        _level_of_whole,
        _nothing,
    }
)
"""Readers to which nan is missing, whatever type it came in."""
