"""A fitted preprocessing for one row of plain Python values: the same numbers as for a table, much sooner.

An array of one value costs as much to make as one of thousands, and each step makes several. A step that can tell what
it does to one value says so by `Fitted.single`; the columns of others go through Arrow as always.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.data.arrays import level_of
from daskflow.data.schema import ColumnKind
from daskflow.preprocess.steps import OneHot, Single, SparseColumns

if TYPE_CHECKING:
    from daskflow.preprocess.fitted import FittedColumn

Floats = NDArray[np.float64]

WIDEST = 4_096
"""Wider matrices are sparse, and not made here."""

REMEMBERED = 65_536
"""Values of a column of which it is remembered whether training has seen them."""

LONGEST = 256
"""Characters of a text of which that is remembered: whoever asks could fill the memory with longer ones."""


@dataclass(frozen=True, slots=True)
class SingleColumn:
    """One column's chain.

    Attributes
    ----------
    name : str
        Of the column.
    takes : str
        ``number`` (float, nan where missing), ``level`` (None where missing), or ``array`` (an Arrow array of one
        value).
    function : callable or None
        The value to what the chain makes of it: a number, or the place of the one among zeros, negative for none.
    gives : str
        ``number`` or ``place``.
    place : int
        First of its columns in the matrix.
    width : int
        How many there are.
    column : FittedColumn
        For arrays.
    operations : tuple of (str, tuple of float)
        The chain as names in `OPERATIONS` with their parameters; None where it cannot be said so.
    """

    name: str
    takes: str
    function: Callable[[Any], Any] | None
    gives: str
    place: int
    width: int
    column: FittedColumn
    operations: tuple[tuple[str, tuple[float, ...]], ...] | None = None


def _fill_in(values: Floats, fill: Floats) -> Floats:
    is_missing = np.isnan(values)
    return np.where(is_missing, fill, values) if is_missing.any() else values


def _clip(values: Floats, low: Floats, high: Floats) -> Floats:
    return np.where(values < low, low, np.where(values > high, high, values))


def _scale(values: Floats, centre: Floats, scale: Floats) -> Floats:
    found: Floats = values - centre
    found /= scale
    return found


OPERATIONS: Mapping[str, Callable[..., Floats]] = {"fill": _fill_in, "clip": _clip, "scale": _scale}
"""What `Single.function` does to one number, to those of many rows and columns: the same to the last bit."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Columns of numbers that go through the same operations.

    Attributes
    ----------
    numbers : ndarray of int
        Their places among `RowMaker.columns`.
    places : ndarray of int
        Their columns in the matrix.
    operations : tuple of (str, tuple of ndarray)
        Names, and a parameter for each column.
    """

    numbers: NDArray[np.intp]
    places: NDArray[np.intp]
    operations: tuple[tuple[str, tuple[Floats, ...]], ...]

    def apply(self, values: Floats) -> Floats:
        """Return what becomes of float64 of shape (n_rows, n_columns)."""
        for name, parameters in self.operations:
            values = OPERATIONS[name](values, *parameters)
        return values


class RowMaker:
    """Makes the matrix of one row.

    Parameters
    ----------
    columns : sequence of FittedColumn
        In the order of the matrix.
    """

    def __init__(self, columns: Sequence[FittedColumn]) -> None:
        """Put each column's steps together."""
        found: list[SingleColumn] = []
        self.width = 0
        for column in columns:
            found.append(_column(column, self.width))
            self.width += len(column.outputs)
        self.columns = tuple(found)
        self.lanes = _lanes(found)
        self._is_lane = len(self.lanes) == 1 and self.lanes[0].places.tolist() == list(range(self.width))
        self._levels = [
            (number, column.name, _asked_once(column))
            for number, column in enumerate(found)
            if column.column.unseen(pa.nulls(1, column.column.column.arrow_type)) is not None
        ]

    @property
    def has_levels(self) -> bool:
        """Whether a column may hold a level that training has not seen."""
        return bool(self._levels)

    def matrix(self, values: Sequence[Any]) -> NDArray[np.float32]:
        """Return float32 of shape (1, width).

        Parameters
        ----------
        values : sequence
            One for each of `columns`, as its ``takes`` says.

        Raises
        ------
        ArithmeticError, DataError
            As Python's numbers and the steps do.
        """
        return self.stacked([self.numbers(values)])

    def numbers(self, values: Sequence[Any]) -> list[float]:
        """Return the row's numbers; arguments and errors as for `matrix`."""
        row = [0.0] * self.width
        for column, value in zip(self.columns, values, strict=True):
            if column.function is None:
                _fill(row, column, value)
            elif column.gives == "number":
                row[column.place] = column.function(value)
            else:
                code = column.function(value)
                if code >= 0:
                    row[column.place + code] = 1.0
        return row

    def stacked(self, rows: Sequence[Sequence[float]]) -> NDArray[np.float32]:
        """Return rows of `numbers` as float32 of shape (n_rows, width)."""
        with np.errstate(over="ignore"):
            return np.array(rows, dtype=np.float64).reshape(len(rows), self.width).astype(np.float32)

    def matrix_of(
        self, lanes: Sequence[Floats], singles: Sequence[Mapping[int, Any]], n_rows: int
    ) -> NDArray[np.float32]:
        """Return the matrix of several rows, float32 of shape (n_rows, width).

        Parameters
        ----------
        lanes : sequence of ndarray
            For each of `lanes` float64 of shape (n_rows, n_columns).
        singles : sequence of mapping
            For each row, values of the columns of no lane by their places in `columns`; empty where all are in lanes.
        n_rows : int
            Rows.
        """
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self._is_lane:
                return self.lanes[0].apply(lanes[0]).astype(np.float32)
            rows = np.zeros((n_rows, self.width))
            for lane, values in zip(self.lanes, lanes, strict=True):
                rows[:, lane.places] = lane.apply(values)
            for row, found in zip(rows, singles, strict=bool(singles)):
                for number, value in found.items():
                    column = self.columns[number]
                    if column.function is None:
                        _fill(row, column, value)
                    elif column.gives == "number":
                        row[column.place] = column.function(value)
                    elif (code := column.function(value)) >= 0:
                        row[column.place + code] = 1.0
            return rows.astype(np.float32)

    def unseen(self, values: Mapping[int, Any] | Sequence[Any]) -> list[str]:
        """Return the columns whose level training has not seen; values by place in `columns`."""
        return [name for number, name, is_unseen in self._levels if is_unseen(values[number])]


def _asked_once(column: SingleColumn) -> Callable[[Any], bool]:
    """Return what tells whether a column's value is a level that training has not seen; it remembers what it has told.

    An array is asked about each time, and so is a long text.
    """
    if column.takes == "array":
        return lambda array: bool(column.column.unseen(array))
    learned = column.column.column.arrow_type

    def asked(value: Any) -> bool:
        value = None if value != value else value
        try:
            is_cut = pa.types.is_integer(learned) and type(value) is float  # its fraction, by Arrow
            array = pa.array([value]) if is_cut else pa.array([value], learned)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            array = pa.array([value])
        return bool(column.column.unseen(array))

    remembered = lru_cache(maxsize=REMEMBERED)(asked)
    return lambda value: asked(value) if type(value) is str and len(value) > LONGEST else remembered(value)


def _fill(row: Any, column: SingleColumn, array: Any) -> None:
    """Put what the steps make of an Arrow array of one value into the row."""
    at = column.place
    for output in column.column.apply(array):
        if isinstance(output, OneHot):
            if output.codes[0] >= 0:
                row[at + int(output.codes[0])] = 1.0
            at += output.width
        elif isinstance(output, SparseColumns):
            row[at : at + output.width] = output.matrix.toarray()[0].tolist()
            at += output.width
        else:
            row[at] = float(output[0])
            at += 1


def _column(column: FittedColumn, place: int) -> SingleColumn:
    """A column's steps as one function, or none where a step has no such form."""
    width = len(column.outputs)
    general = SingleColumn(column.column.name, "array", None, "", place, width, column)
    steps: list[Single] = []
    for step in column.steps:
        single = step.single()
        if single is None:
            return general
        if single.function is not None:
            steps.append(single)
    form = takes = steps[0].takes if steps else "number"
    functions: list[Callable[[Any], Any]] = []
    for single in steps:
        if (form, single.takes) == ("number", "level"):
            functions.append(_as_level)
        elif form != single.takes:
            return general
        if single.function is not None:
            functions.append(single.function)
        form = single.gives
    is_whole = form == ("number" if column.keeps_values else "place") and (form == "place" or width == 1)
    if not is_whole:
        return general
    is_number = takes == form == "number" and all(single.operation for single in steps)
    operations = tuple((single.operation, single.parameters) for single in steps) if is_number else None
    return SingleColumn(column.column.name, takes, _chained(functions), form, place, width, column, operations)


def _lanes(columns: Sequence[SingleColumn]) -> tuple[Lane, ...]:
    """Put columns of numbers together that go through the same operations."""
    by_names: dict[tuple[str, ...], list[int]] = {}
    for number, column in enumerate(columns):
        if column.operations is not None and column.column.column.kind is ColumnKind.NUMERIC:
            by_names.setdefault(tuple(name for name, _ in column.operations), []).append(number)
    lanes = []
    for names, numbers in by_names.items():
        chains = [columns[number].operations or () for number in numbers]
        operations = tuple(
            (
                name,
                tuple(np.array(values, dtype=np.float64) for values in zip(*(c[at][1] for c in chains), strict=True)),
            )
            for at, name in enumerate(names)
        )
        places = np.array([columns[number].place for number in numbers], dtype=np.intp)
        lanes.append(Lane(np.array(numbers, dtype=np.intp), places, operations))
    return tuple(lanes)


def _as_level(number: float) -> Any:
    """A number as a level; nan is missing."""
    return level_of(number) if number == number else None


def _chained(functions: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Several functions as one."""
    if len(functions) == 1:
        return functions[0]
    if len(functions) == 2:
        first, second = functions
        return lambda value: second(first(value))

    def chained(value: Any) -> Any:
        for function in functions:
            value = function(value)
        return value

    return chained
