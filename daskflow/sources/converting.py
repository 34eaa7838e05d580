"""Casts that lose nothing, and the values that stand in their way."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def cast_all(values: Any, arrow_type: pa.DataType) -> Any | None:
    """Cast a column without loss; None when some value does not fit."""
    try:
        return values.cast(arrow_type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def misfits(values: Any, arrow_type: pa.DataType) -> pa.Array:
    """Return the distinct values that do not fit a type, in order of appearance.

    Parameters
    ----------
    values : pyarrow.Array or ChunkedArray
        Any column.
    arrow_type : pyarrow.DataType
        The type they should be cast to.

    Examples
    --------
    >>> misfits(pa.array(["1", "x", None, "2", "x"]), pa.int64()).to_pylist()
    ['x']
    """
    distinct = pc.unique(values).drop_null()
    found: list[pa.Array] = []
    waiting = [distinct]
    while waiting:  # halves that cast are done; n bad values among m cost n log m casts
        part = waiting.pop()
        if cast_all(part, arrow_type) is not None:
            continue
        if len(part) == 1:
            found.append(part)
            continue
        middle = len(part) // 2
        waiting += [part.slice(middle), part.slice(0, middle)]
    return pa.concat_arrays(found) if found else distinct.slice(0, 0)
