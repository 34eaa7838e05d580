"""Forecasts: what a table will take, from the sizes that its partitions say before they are read."""

from __future__ import annotations

from collections.abc import Iterable

from daskflow.data.schema import Column
from daskflow.data.table import Partition, Table

HASH_BYTES = 24
"""A row's three hashes in a block."""


def rows_of(table: Table, partitions: Iterable[Partition] | None = None) -> int:
    """Return about how many rows partitions have: right within a fifth for parquet, within a factor of 3 for CSV.

    Parameters
    ----------
    table : Table
        Lazy; nothing is read.
    partitions : iterable of Partition, optional
        Some of the table's; default all.
    """
    n_bytes = sum(part.n_bytes for part in (table.partitions if partitions is None else partitions))
    return n_bytes // max(1, sum(_width_in_memory(column) for column in table.source_schema.columns))


def block_bytes(table: Table, partitions: Iterable[Partition] | None = None) -> int:
    """Return about how many bytes the blocks of partitions take, as sure as their rows are.

    Parameters
    ----------
    table : Table
        Lazy; nothing is read.
    partitions : iterable of Partition, optional
        Some of the table's; default all.
    """
    stored = table.schema.without(set(table.roles.drop) - set(table.roles.keep))
    return rows_of(table, partitions) * (HASH_BYTES + sum(_width_in_block(column) for column in stored.columns))


def _width_in_memory(column: Column) -> int:
    """Bytes of a value as it is decoded, about."""
    if column.type.startswith(("int8", "uint8", "bool")):
        return 1
    return 24 if column.type == "string" else 4 if column.type.endswith("32") else 8


def _width_in_block(column: Column) -> int:
    """Bytes of a value in a block, about: numbers narrowed, strings as codes and their part of the dictionary."""
    if column.type.startswith(("int8", "uint8", "bool")):
        return 1
    return 8 if column.type.startswith(("timestamp", "date64")) else 4
