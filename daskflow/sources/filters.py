"""Filters in the form of pyarrow and Dask: which rows they keep, and what statistics rule out."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator

from daskflow.core.errors import DataError
from daskflow.sources.opening import unknown

COMPARISONS: Mapping[str, Any] = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
OPERATORS = (*COMPARISONS, "in", "not in", "is", "is not")
SYNONYMS = {"=": "=="}


@dataclass(frozen=True, slots=True)
class Predicate:
    """One condition on one column; a missing value fulfils none but ``is null``.

    Attributes
    ----------
    column : str
        Its name.
    operator : str
        One of `OPERATORS`.
    value : object
        What is compared with; a tuple for ``in``.
    """

    column: str
    operator: str
    value: Any

    def keeps(self, values: Any) -> pa.Array:
        """Return which values fulfil the condition; none of the answers is missing."""
        column = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        if pa.types.is_dictionary(column.type):
            found = self.keeps(column.dictionary)
            answer = found.take(column.indices) if len(found) else pa.nulls(len(column), pa.bool_())
            return answer.fill_null(self.operator == "is")
        missing = column.is_null(nan_is_null=True)
        if self.operator == "is":
            return missing
        there = pc.invert(missing)
        if self.operator == "is not":
            return there
        if self.operator in COMPARISONS:
            answer = COMPARISONS[self.operator](column, self.typed(self.value, column.type))
        else:
            wanted = [self.typed(value, column.type) for value in self.value]
            answer = pa.repeat(pa.scalar(False), len(column))
            for value in wanted:
                answer = pc.or_(answer, pc.fill_null(pc.equal(column, value), False))
            answer = pc.invert(answer) if self.operator == "not in" else answer
        return pc.and_(there, pc.fill_null(answer, False))

    def may_keep(self, low: Any, high: Any, kind: pa.DataType) -> bool:
        """Whether some value between two can fulfil the condition."""
        least, most = pa.scalar(low, kind), pa.scalar(high, kind)
        if self.operator == "in":
            return any(Predicate(self.column, "==", value).may_keep(low, high, kind) for value in self.value)
        value = None if self.operator in ("is", "is not", "not in") else self.typed(self.value, kind)
        match self.operator:
            case "==":
                return bool(pc.less_equal(least, value).as_py() and pc.greater_equal(most, value).as_py())
            case "<":
                return bool(pc.less(least, value).as_py())
            case "<=":
                return bool(pc.less_equal(least, value).as_py())
            case ">":
                return bool(pc.greater(most, value).as_py())
            case ">=":
                return bool(pc.greater_equal(most, value).as_py())
        return True

    def typed(self, value: Any, kind: pa.DataType) -> pa.Scalar:
        """Return a value in a column's type; DataError when it has none there."""
        try:
            return _scalar(value, kind)
        except (pa.ArrowException, TypeError, ValueError, ArithmeticError) as error:
            raise DataError(
                f"filters: {value!r} cannot be compared with column '{self.column}', which is {kind}. "
                "Write the value in the column's type."
            ) from error


Filters = tuple[tuple[Predicate, ...], ...]
"""Rows are kept that fulfil all predicates of at least one of the inner tuples."""


def parsed(filters: Sequence[Any]) -> Filters:
    """Return filters as predicates: a list of conditions that all hold, or a list of such lists.

    Raises
    ------
    ValueError
        For what has another form, and for operators that do not exist.

    Examples
    --------
    >>> parsed([["a", ">", 3], ["b", "in", ["x", "y"]]])
    ((Predicate(column='a', operator='>', value=3), Predicate(column='b', operator='in', value=('x', 'y'))),)
    """
    if not filters:
        return ()
    if all(isinstance(item, list | tuple) and item and isinstance(item[0], str) for item in filters):
        return (tuple(_predicate(item) for item in filters),)
    if not all(isinstance(item, list | tuple) and item for item in filters):
        raise ValueError('should be a list of conditions such as ["age", ">", 3], or a list of such lists')
    return tuple(tuple(_predicate(item) for item in group) for group in filters)


def _predicate(item: Any) -> Predicate:
    if not (isinstance(item, list | tuple) and len(item) == 3 and isinstance(item[0], str)):
        raise ValueError(f'a condition is [column, operator, value], such as ["age", ">", 3], not {item!r:.60}')
    column, operator, value = item
    operator = SYNONYMS.get(operator, operator)
    if operator not in OPERATORS:
        raise ValueError(f"no such operator: {operator!r}; there is: {', '.join(OPERATORS)}")
    if operator in ("in", "not in"):
        if not isinstance(value, list | tuple | set | frozenset) or not value:
            raise ValueError(f"'{operator}' needs a list of values (found {value!r:.60})")
        value = tuple(value)
    if operator in ("is", "is not"):
        if value not in (None, "null"):
            raise ValueError(f"'{operator}' is for 'null' alone (found {value!r:.60})")
        value = "null"
    elif value is None:
        raise ValueError(f"missing values are asked for with [{column!r}, 'is', 'null']")
    return Predicate(column, operator, value)


def _checked(filters: Any) -> Any:
    """The setting as it was written, once it is understood; tuples of Python as lists of TOML."""
    if filters is None:
        return None
    parsed(filters)
    return _plain(filters)


def _plain(value: Any) -> Any:
    return tuple(_plain(item) for item in value) if isinstance(value, list | tuple | set | frozenset) else value


FilterSetting = Annotated[tuple[Any, ...] | None, BeforeValidator(_checked)]


def columns_of(filters: Filters) -> list[str]:
    """Return the names of the columns that filters look at."""
    return list(dict.fromkeys(predicate.column for group in filters for predicate in group))


def check(filters: Filters, schema: pa.Schema) -> None:
    """Raise DataError for columns that do not exist, and for values that have none of their column's type."""
    if problem := unknown("filters", columns_of(filters), schema.names):
        raise DataError(problem)
    for predicate in (one for group in filters for one in group):
        predicate.keeps(pa.array([], schema.field(predicate.column).type))


def mask(rows: pa.Table, filters: Filters) -> pa.Array:
    """Return which rows are kept."""
    return _any(_all([predicate.keeps(rows.column(predicate.column)) for predicate in group]) for group in filters)


def may_keep(filters: Filters, rows: pa.Table, known: Collection[str]) -> bool:
    """Whether a file whose constant columns are known may hold rows that are kept; `rows` has one row of them."""
    return any(
        all(
            predicate.keeps(rows.column(predicate.column))[0].as_py()
            for predicate in group
            if predicate.column in known
        )
        for group in filters
    )


def _all(answers: Sequence[Any]) -> Any:
    found = answers[0]
    for answer in answers[1:]:
        found = pc.and_(found, answer)
    return found


def _any(answers: Iterator[Any]) -> Any:
    found = next(answers)
    for answer in answers:
        found = pc.or_(found, answer)
    return found


def _scalar(value: Any, kind: pa.DataType) -> pa.Scalar:
    """A value as a scalar that compares with a column without loss."""
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        if not isinstance(value, str | datetime.date | pd.Timestamp):
            raise TypeError("not a time")
        moment = pd.Timestamp(value)
        if pa.types.is_date(kind):
            return pa.scalar(moment.to_pydatetime(), pa.timestamp("us"))
        if (moment.tz is None) != (kind.tz is None):
            moment = moment.tz_localize(None if kind.tz is None else kind.tz)
        return pa.scalar(moment, pa.timestamp("ns", tz=kind.tz))
    if pa.types.is_boolean(kind) != isinstance(value, bool):
        raise TypeError("true and false are no numbers")
    if pa.types.is_string(kind) and not isinstance(value, str):
        raise TypeError("not a text")
    if pa.types.is_integer(kind):
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return pa.scalar(int(value) if whole else float(_number(value)))
    if pa.types.is_decimal(kind):
        return pa.scalar(Decimal(str(_number(value))))
    if pa.types.is_floating(kind):
        return pa.scalar(float(_number(value)))
    return pa.scalar(value, kind)


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError("not a number")
    return value
