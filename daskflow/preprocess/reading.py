"""Reading a table's columns as training had them: of the same kind, and in the same time zone."""

from __future__ import annotations

import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest
from daskflow.data import arrays
from daskflow.data.schema import Column, ColumnKind, kind_of


def read(table: pa.Table, column: Column) -> pa.Array:
    """Return the column of a table, of the kind and time zone it had in training.

    Raises
    ------
    DataError
        When it is not there, or of another kind.
    """
    name = column.name
    if name not in table.column_names:
        raise DataError(f"Column '{name}' is missing{nearest(name, table.column_names)}")
    array = arrays.whole(table.column(name))
    if pa.types.is_null(array.type):
        return array
    found = kind_of(array.type, name)
    if found is not column.kind:
        raise DataError(
            f"Column '{name}' is {found} ({array.type}); in training it was {column.kind} ({column.type}). Convert it."
        )
    return _in_zone(array, column) if found is ColumnKind.DATETIME else array


def read_typed(table: pa.Table, column: Column) -> pa.Array:
    """Return the column as `read` does, in the type it had in training where that changes no value."""
    array = arrays.plain(read(table, column))
    wanted = column.arrow_type
    if array.type == wanted or pa.types.is_null(wanted):
        return array
    try:
        return array.cast(wanted)
    except pa.ArrowException:  # a value that the type does not hold: the function sees it as it came
        return array


def _in_zone(array: pa.Array, column: Column) -> pa.Array:
    """The same instants, in the zone of training."""
    array = arrays.plain(array)
    zone, found = getattr(column.arrow_type, "tz", None), getattr(array.type, "tz", None)
    if (zone is None) != (found is None):
        raise DataError(
            f"Column '{column.name}' has {f'time zone {found}' if found else 'no time zone'}; in training it had "
            f"{f'time zone {zone}' if zone else 'none'}. Convert it, so that hours mean the same."
        )
    return array.cast(pa.timestamp(array.type.unit, tz=zone)) if zone != found else array
