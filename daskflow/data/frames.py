"""Frames: partitions as pandas and dask DataFrames of fixed types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask
import dask.dataframe as dd
import pandas as pd
import pyarrow as pa

from daskflow.data.conforming import conform
from daskflow.data.derive import derive
from daskflow.data.joins import Join, join_all
from daskflow.data.schema import Schema
from daskflow.data.table import Partition, Table


def to_dask(table: Table) -> dd.DataFrame:
    """Return a lazy dask DataFrame of a table; see `Table.to_dask`."""
    recipe = (table.source_schema, table.schema, dict(table.derive))
    meta = to_pandas(table.schema.arrow.empty_table())
    if table.joins or any(partition.graph is not None for partition in table.partitions):
        read = dask.delayed(_read, pure=False)
        joins = dask.delayed(table.joins) if table.joins else ()  # one task, so that a worker is sent them once
        parts = [read(partition, *recipe, frame=partition.graph, joins=joins) for partition in table.partitions]
        return dd.from_delayed(parts, meta=meta, verify_meta=False)
    return dd.from_map(_read, list(table.partitions), args=recipe, meta=meta)


def to_pandas(rows: pa.Table) -> pd.DataFrame:
    """Return rows as pandas: integers ``Int64``, truths ``boolean``, strings ``str``, dates ``datetime64``."""
    for place, field in enumerate(rows.schema):
        wanted = _arrow_form(field.type)
        if wanted != field.type:
            rows = rows.set_column(place, field.name, rows.column(place).cast(wanted))
    frame: pd.DataFrame = rows.to_pandas(types_mapper=_pandas_form)
    return frame


def _read(
    partition: Partition,
    source: Schema,
    schema: Schema,
    expressions: Mapping[str, str],
    frame: Any = None,
    joins: Sequence[Join] = (),
) -> pd.DataFrame:
    """Decode one partition, join and derive its columns."""
    rows = conform(partition.read(frame).rows, source, partition.fingerprint.name)
    rows, _, _ = join_all(rows, joins, partition.fingerprint.name)
    return to_pandas(derive(rows, expressions, schema).select(list(schema.names)))


def _arrow_form(arrow_type: pa.DataType) -> pa.DataType:
    """The type a column is brought to before it becomes pandas."""
    if pa.types.is_integer(arrow_type):
        return pa.uint64() if arrow_type == pa.uint64() else pa.int64()
    if pa.types.is_floating(arrow_type) or pa.types.is_decimal(arrow_type):
        return pa.float64()
    if pa.types.is_date(arrow_type):
        return pa.timestamp("ms")
    if pa.types.is_dictionary(arrow_type) or pa.types.is_null(arrow_type):
        return pa.string()
    return arrow_type


def _pandas_form(arrow_type: pa.DataType) -> Any:
    """The pandas type of an Arrow type; None for pandas' own choice."""
    if pa.types.is_boolean(arrow_type):
        return pd.BooleanDtype()
    if pa.types.is_integer(arrow_type):
        return pd.UInt64Dtype() if arrow_type == pa.uint64() else pd.Int64Dtype()
    return None
