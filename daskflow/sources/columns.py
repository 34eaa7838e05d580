"""Columns of files that know their types: which are read, and casts of them that lose nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.data.schema import Schema, kind_of
from daskflow.sources.converting import cast_all, misfits
from daskflow.sources.opening import listed, unknown
from daskflow.sources.parquet_schema import plain_type

UNNAMED_INDEX = re.compile(r"__index_level_\d+__|__null_dask_index__")

TEXT_CODES = pa.dictionary(pa.int32(), pa.string())


def wanted(
    schema: pa.Schema,
    file: str,
    columns: Collection[str] | None,
    drop: Collection[str],
    elsewhere: Collection[str] = (),
) -> pa.Schema:
    """Return the columns of a file that are read.

    Parameters
    ----------
    schema : pyarrow.Schema
        The file's.
    file : str
        Its name, for messages.
    columns : collection of str or None
        Those that are asked for; None for all but unnamed indexes.
    drop : collection of str
        Those that may be left out when their type cannot be hashed.
    elsewhere : collection of str
        Columns that come from another place than the file.

    Raises
    ------
    DataError
        For names that stand twice, and for asked columns that do not exist.
    """
    repeated = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if repeated:
        raise DataError(f"{file}: these columns stand twice: {listed(repeated)}. Rename them when writing the file.")
    names = [name for name in schema.names if not UNNAMED_INDEX.fullmatch(name)]
    if columns is not None:
        if problem := unknown("columns", [name for name in columns if name not in elsewhere], names):
            raise DataError(f"{file}: {problem}")
        names = [name for name in names if name in columns]
    return pa.schema([schema.field(name) for name in names if not is_left_out(schema.field(name), drop)])


def is_left_out(field: pa.Field, drop: Collection[str]) -> bool:
    """Whether a column is dropped and of a type that could not be hashed; other dropped columns are read."""
    if field.name not in drop:
        return False
    try:
        kind_of(field.type, field.name)
    except DataError:
        return True
    return False


def cast_rows(rows: pa.Table, schema: Schema, where: str) -> pa.Table:
    """Return rows in a schema's columns and types; texts that are dictionaries stay so.

    Raises
    ------
    DataError
        For values that do not fit; names the place, the column and one of them.
    """
    columns = []
    for column in schema.columns:
        values, kind = rows.column(column.name), column.arrow_type
        if pa.types.is_dictionary(values.type) and pa.types.is_string(kind) and _is_text(values.type.value_type):
            columns.append(values.cast(TEXT_CODES).unify_dictionaries())
            continue
        if plain_type(values.type) != values.type:
            values = values.cast(plain_type(values.type))
        if pa.types.is_floating(values.type) and not pa.types.is_floating(kind):
            values = pa.chunked_array([pa.array(chunk, from_pandas=True) for chunk in _without_nan(values)])
        cast = values if values.type == kind else cast_all(values, kind)
        if cast is None:
            bad = misfits(values, kind)
            example = bad[0].as_py() if len(bad) else None
            raise DataError(
                f"{where}: column '{column.name}' ({values.type}) has {len(bad)} distinct values "
                f"that are not {column.type}, such as {example!r:.60}. Correct them, or say another type in dtypes."
            )
        columns.append(cast)
    return pa.table(columns, names=list(schema.names))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _without_nan(values: pa.ChunkedArray) -> Iterator[Any]:
    """Chunks as numpy arrays; pandas' rules then make nan missing."""
    for chunk in values.chunks or [pa.array([], values.type)]:
        yield chunk.to_numpy(zero_copy_only=False)
