"""Rows as the model learned them: pandas columns checked against the schema and turned into Arrow, never coerced.

What is taken: any order of columns, further columns, integers for floats and floats for integers, numbers in object or
nullable columns, categories for strings, any unit of time, columns without a single value. What is refused, because it
would shift the answer silently: text for numbers or times, numbers or booleans for text, numbers for booleans, times
with a zone for times without, infinite numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest
from daskflow.data.schema import Column, ColumnKind, Schema, kind_of

WORDS = {
    ColumnKind.NUMERIC: ("numbers", "pandas.to_numeric"),
    ColumnKind.BOOLEAN: ("booleans", "astype('boolean')"),
    ColumnKind.CATEGORICAL: ("text", "astype('str')"),
    ColumnKind.DATETIME: ("times", "pandas.to_datetime"),
}
"""What a kind's values are called, and what converts to them."""


def check_names(given: Iterable[Any], schema: Schema, what: str = "frame") -> None:
    """Raise DataError naming every column of the schema that a frame's columns lack, or have twice."""
    names = [str(name) for name in given]
    missing = [name for name in schema.names if name not in names]
    if missing:
        hint = nearest(missing[0], names) if len(missing) == 1 else ""
        hint = hint if "did you mean" in hint else ""
        raise DataError(
            f"The {what} lacks {len(missing)} of the {len(schema.names)} columns the model needs: "
            f"{', '.join(missing)}{hint}. Add them; without values is allowed."
        )
    twice = sorted({name for name in schema.names if names.count(name) > 1})
    if twice:
        raise DataError(f"These columns stand twice in the {what}: {', '.join(twice)}. Drop one of each.")


def rows_of(frame: pd.DataFrame, schema: Schema) -> pa.Table:
    """Return a frame's feature columns in the schema's order as an Arrow table.

    A column has the schema's type where its values fit it exactly, else the type they came with.

    Raises
    ------
    DataError
        With every column that is missing or holds something else than the model learned.
    """
    check_names(frame.columns, schema)
    by_name = {str(name): place for place, name in enumerate(frame.columns)}
    arrays: dict[str, Any] = {}
    problems: list[str] = []
    for column in schema.columns:
        try:
            arrays[column.name] = array_of(frame.iloc[:, by_name[column.name]], column)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(f"The frame does not fit the model: {' '.join(problems)}")
    return pa.table(arrays)


def array_of(series: pd.Series[Any], column: Column) -> Any:
    """Return one column as Arrow, checked against what the model learned; DataError when it holds something else."""
    try:
        array = pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise DataError(
            f"column '{column.name}' ({series.dtype}) holds values of several types, or of one that no model uses; "
            f"the model learned {column.type}. Convert it."
        ) from None
    return learned_array(array, column, str(series.dtype))


def learned_array(array: Any, column: Column, told: str = "") -> Any:
    """Return an Arrow array in the type a column was learned in, where that changes no value.

    Parameters
    ----------
    array : pyarrow.Array or ChunkedArray
        As it came.
    column : Column
        What the model learned.
    told : str
        What its type is called in messages; default Arrow's own name.

    Raises
    ------
    DataError
        When it holds something else than the model learned.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.null_count == len(array):
        return pa.nulls(len(array), pa.string() if column.type == "null" else column.arrow_type)
    if column.type == "null":
        # Not one value was seen in training, so whatever stands here now was never seen.
        return array.cast(pa.string(), safe=False)
    _check_kind(array, told or str(array.type), column)
    if pa.types.is_floating(array.type) and pc.any(pc.is_inf(array)).as_py():
        count = pc.sum(pc.is_inf(array)).as_py()
        raise DataError(f"column '{column.name}' holds {count} infinite values; make them missing, or a number.")
    return _exact(array, column.arrow_type)


def _check_kind(array: Any, told: str, column: Column) -> None:
    """Raise DataError when the values are of another kind than the model learned."""
    try:
        found: ColumnKind | None = kind_of(array.type, column.name)
    except DataError:
        found = None
    learned, remedy = WORDS[column.kind]
    if found is not column.kind:
        first = _first(array)
        given = WORDS[found][0] if found else str(array.type)
        raise DataError(
            f"column '{column.name}' ({told}) holds {given}, such as {first!r:.60}; the model learned "
            f"{learned} ({column.type}). Convert it with {remedy}."
        )
    if column.kind is ColumnKind.DATETIME and (_zone(array.type) is None) != (_zone(column.arrow_type) is None):
        has, learned = ("a", "none") if _zone(array.type) else ("no", "one")
        raise DataError(
            f"column '{column.name}' has {has} time zone ({array.type}); the model learned times with {learned} "
            f"({column.type}). Convert it with dt.tz_localize."
        )


def _first(array: Any) -> Any:
    """The first value that is there, as Python's own where it has one for it."""
    scalar = array[array.is_valid().index(True).as_py()]
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, NotImplementedError, pa.ArrowException):  # a day that Python's calendar lacks
        try:
            return str(scalar.cast(pa.string()))  # the scalar's own text is that of Python's value
        except (pa.ArrowException, OverflowError):  # such days in a list
            return str(scalar.type)


def _zone(arrow_type: Any) -> str | None:
    return arrow_type.tz if pa.types.is_timestamp(arrow_type) else None


def _exact(array: Any, arrow_type: Any) -> Any:
    """Cast to the learned type, unless that would change a value."""
    if array.type == arrow_type:
        return array
    narrows = pa.types.is_floating(arrow_type) and pa.types.is_floating(array.type)
    if narrows and array.type.bit_width > arrow_type.bit_width:
        return array
    if pa.types.is_timestamp(array.type) and pa.types.is_date(arrow_type):
        days = pc.floor_temporal(array, unit="day")
        return array.cast(arrow_type) if pc.all(pc.equal(days, array)).as_py() else array
    try:
        return array.cast(arrow_type, safe=not pa.types.is_floating(arrow_type))
    except pa.ArrowException:
        return array
