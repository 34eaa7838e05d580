"""Values that a database driver hands out, as Arrow columns that hold them exactly."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.sources.converting import cast_all

TIME = pa.timestamp("us")
ZONED_TIME = pa.timestamp("us", tz="UTC")

KINDS: tuple[tuple[type, str], ...] = (
    (bool, "truth"),
    (int, "integer"),
    (float, "number"),
    (Decimal, "decimal"),
    (str, "text"),
    (uuid.UUID, "text"),
    (datetime.datetime, "time"),
    (datetime.date, "date"),
)


def kind_of_value(value: Any) -> str:
    """Return the kind of a driver's value; its type's name for those no model can use.

    Examples
    --------
    >>> kind_of_value(3), kind_of_value(b"x")
    ('integer', 'bytes')
    """
    found = next((kind for known, kind in KINDS if isinstance(value, known)), type(value).__name__)
    return "zoned time" if found == "time" and value.tzinfo is not None else found


def type_of_values(values: Sequence[Any]) -> pa.DataType:
    """Return the type of a column from some of its values.

    Raises
    ------
    ValueError
        For values of several kinds, or of kinds no model can use.

    Examples
    --------
    >>> str(type_of_values([1, None])), str(type_of_values([1, 2.5])), str(type_of_values([None]))
    ('int64', 'double', 'string')
    """
    kinds = dict.fromkeys(kind_of_value(value) for value in values if value is not None)
    known = {
        "truth": pa.bool_(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "decimal": pa.float64(),
        "text": pa.string(),
        "time": TIME,
        "zoned time": ZONED_TIME,
        "date": pa.date32(),
    }
    if not kinds:
        return pa.string()
    if set(kinds) <= {"integer", "number", "decimal"}:
        return pa.int64() if set(kinds) == {"integer"} else pa.float64()
    if len(kinds) == 1 and (only := next(iter(kinds))) in known:
        return known[only]
    raise ValueError(f"holds {' and '.join(kinds)}, which make no column of one usable type")


def column_of(values: Sequence[Any], kind: pa.DataType, name: str, where: str, *, is_said: bool = True) -> pa.Array:
    """Return a driver's values as a column of a type.

    Parameters
    ----------
    values : sequence
        As the driver gave them; None is missing.
    kind : pyarrow.DataType
        The column's.
    name, where : str
        For messages.
    is_said : bool
        Whether the user said the type, so that texts may become numbers, truths or times, and all may become text.

    Raises
    ------
    DataError
        For the first value that does not fit.
    """
    column = _whole(values, kind, is_said=is_said)
    if column is not None:
        return column
    bad = next(value for value in values if value is not None and _whole([value], kind, is_said=is_said) is None)
    raise DataError(
        f"{where}{': ' if where else ''}column '{name}' has {bad!r:.60} ({kind_of_value(bad)}), which is not {kind}. "
        "Cast it in the query, or say another type in dtypes."
    )


def _whole(values: Sequence[Any], kind: pa.DataType, *, is_said: bool) -> pa.Array | None:
    """All values in a type; None when one does not fit."""
    kinds = {kind_of_value(value) for value in values if value is not None}
    if not kinds:
        return pa.nulls(len(values), kind)
    try:
        if kinds == {"text"}:
            texts = pa.array([None if value is None else str(value) for value in values], pa.string())
            return texts if pa.types.is_string(kind) else cast_all(texts, kind) if is_said else None
        if pa.types.is_string(kind):
            return pa.array([None if value is None else str(value) for value in values]) if is_said else None
        if pa.types.is_boolean(kind):
            return _truths(values, kinds, is_said=is_said)
        if pa.types.is_integer(kind):
            whole = [None if value is None else int(value) for value in values]
            same = kinds <= {"integer", "number", "decimal"} and whole == list(values)
            return pa.array(whole, kind) if same else None
        if pa.types.is_floating(kind):
            return _floats(values, kind) if kinds <= {"integer", "number", "decimal"} else None
        if kinds <= {"time", "date", "zoned time"}:
            found = pa.array(values)
            return found if found.type == kind else cast_all(found, kind)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return None
    return None


def _truths(values: Sequence[Any], kinds: set[str], *, is_said: bool) -> pa.Array | None:
    """Truths; where the user said so also the numbers 0 and 1, as databases without truths keep them."""
    if kinds == {"truth"}:
        return pa.array(values, pa.bool_())
    if is_said and kinds == {"integer"} and all(value in (None, 0, 1) for value in values):
        return pa.array([None if value is None else bool(value) for value in values])
    return None


def _floats(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Numbers as floats; integers that a float does not hold are refused."""
    lost = [value for value in values if isinstance(value, int) and int(float(value)) != value]
    if lost:
        raise ValueError("an integer beyond the floats' exact ones")
    return pa.array([None if value is None else float(value) for value in values], kind)
