"""Rows brought into the form of a table's schema: its columns, order and types, one form for every value."""

from __future__ import annotations

import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.data.derive import canonical_floats
from daskflow.data.schema import Schema

PLAIN = pa.string()


def conform(rows: pa.Table, schema: Schema, name: str, *, texts: pa.DataType = PLAIN) -> pa.Table:
    """Return rows in exactly the schema's columns, order and types, with one form for every value.

    Missing numbers become null and -0.0 becomes 0.0, so that equal rows are equal to the last bit. Strings come in the
    type `texts`: plain, or as a dictionary.

    Raises
    ------
    DataError
        For missing or additional columns and for other types; names the partition.
    """
    if sorted(rows.column_names) != sorted(schema.names):
        lacking = sorted(set(schema.names) - set(rows.column_names))
        extra = sorted(set(rows.column_names) - set(schema.names))
        raise DataError(
            f"{name}: its columns are not those of the table"
            + (f"; missing: {', '.join(lacking)}" if lacking else "")
            + (f"; not expected: {', '.join(extra)}" if extra else "")
            + ". Give all files the same columns, or read them apart."
        )
    columns: list[pa.ChunkedArray] = []
    for column in schema.columns:
        values, wanted = rows.column(column.name), column.arrow_type
        if pa.types.is_string(wanted) and (pa.types.is_null(values.type) or _is_text(values.type)):
            wanted = texts
            values = _in_text_type(values, texts)
        elif pa.types.is_null(values.type):
            values = values.cast(wanted)
        if values.type != wanted:
            raise DataError(
                f"{name}: column '{column.name}' is {values.type}; the schema has {column.type}. "
                f"Convert the file, or say the type for all files in the source's settings."
            )
        columns.append(canonical_floats(values))
    return pa.table(columns, names=list(schema.names))


def _in_text_type(values: pa.ChunkedArray, texts: pa.DataType) -> pa.ChunkedArray:
    """Strings in a type, plain or a dictionary; encoded once where they are to be."""
    if values.type == texts or texts == PLAIN or pa.types.is_dictionary(values.type):
        return values.cast(texts)
    return pa.chunked_array([values.cast(PLAIN).combine_chunks().dictionary_encode()])


def _is_text(arrow_type: pa.DataType) -> bool:
    plain = arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain))
