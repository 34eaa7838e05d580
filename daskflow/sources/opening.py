"""Opening a source: its columns, derived columns and roles put together to a lazy table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest
from daskflow.data.derive import extend
from daskflow.data.joins import join_all
from daskflow.data.schema import Roles, Schema, Task
from daskflow.data.table import Partition, Table
from daskflow.sources import Source

SAMPLE_ROWS = 1_000
"""Rows that derived columns are tried on, to know their types."""


def open_table(
    source: Source,
    schema: Schema,
    partitions: Sequence[Partition],
    sample: pa.Table | None = None,
    unread: Collection[str] = (),
    notes: Sequence[str] = (),
    base: Path | None = None,
) -> Table:
    """Return the lazy table of a source.

    Parameters
    ----------
    source : Source
        Its roles, derived columns and task are used.
    schema : Schema
        What the partitions decode to.
    partitions : sequence of Partition
        At least one.
    sample : pyarrow.Table, optional
        Some rows in `schema`, to find the types of derived columns.
    unread : collection of str
        Dropped columns that are not in `schema`, because their types can be neither hashed nor used.
    notes : sequence of str
        What was understood of the files.
    base : Path, optional
        Folder that the relative paths of joined tables start from; a source that does not say it cannot be joined to.

    Raises
    ------
    DataError
        For an expression that cannot be evaluated, and for roles whose column does not exist.
    """
    rows = None if sample is None else sample.slice(0, SAMPLE_ROWS)
    joined, joins = schema, []
    for join in source.joins:
        if base is None:
            raise DataError(f"A source of kind '{source.kind}' cannot be joined to; use files, or a frame.")
        joins.append(join.open(joined, base))
        joined = joins[-1].extend(joined)
    if rows is not None:
        rows, _, _ = join_all(rows, [join.lenient() for join in joins], "the sample")
    whole = extend(joined, source.derive, rows)
    drop = tuple(name for name in source.drop if name not in unread)
    roles = Roles(source.target, source.group, source.time, source.weight, source.fold, source.key, drop)
    roles.check(whole)
    return Table(
        partitions=tuple(partitions),
        source_schema=schema,
        schema=whole,
        roles=roles,
        derive=dict(source.derive),
        task=None if source.task is None else Task(source.task),
        positive=source.positive,
        settings=source.dump(),
        joins=tuple(joins),
        notes=tuple(notes),
    )


def listed(words: Sequence[str], limit: int = 8) -> str:
    """Return words in quotes, with the number of those left out.

    Examples
    --------
    >>> listed(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    shown = ", ".join(f"'{word}'" for word in words[:limit])
    return shown + (f" and {len(words) - limit} more" if len(words) > limit else "")


def unknown(option: str, given: Sequence[str], names: Sequence[str]) -> str:
    """Return a sentence for the first of some names that is no column; empty when all are.

    Examples
    --------
    >>> unknown("columns", ["agee"], ["age", "sex"])
    "columns names 'agee': there is no such column; did you mean 'age'?"
    """
    for name in given:
        if name not in names:
            return f"{option} names '{name}': there is no such column{nearest(name, names)}"
    return ""
