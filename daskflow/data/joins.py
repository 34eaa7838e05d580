"""Joins: columns of a small table looked up for every row by its keys, in the task that decodes the row.

The small table's keys are unique, so a join keeps the rows' number and order (``"left"``) or leaves some out
(``"inner"``), and never makes two of one. A key with a missing value matches nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daskflow.core.errors import DataError, LostBlockError
from daskflow.core.seeds import digest
from daskflow.data.blocks import AGAIN, write_block
from daskflow.data.derive import canonical_floats
from daskflow.data.hashing import row_hashes
from daskflow.data.maps import map_file
from daskflow.data.schema import Column, ColumnKind, Schema, kind_of

META = b"daskflow.join"
"""Where a file's metadata say how its table is joined."""


@dataclass(frozen=True, eq=False)
class Join:
    """A small table in memory, and how it is joined.

    Attributes
    ----------
    name : str
        What messages call it.
    keys : pyarrow.Table
        Unique rows without gaps, columns named and typed as the keys of the rows it is joined to.
    values : pyarrow.Table
        The columns it adds, under their final names, row by row with `keys`.
    how : str
        ``"left"`` keeps rows without a match, their new columns missing; ``"inner"`` leaves them out.
    unmatched : str
        ``"keep"``, or ``"fail"`` to refuse the first partition with a row that has no match.
    null_keys : str
        ``"fail"`` to refuse rows with a gap in a key, or ``"unmatched"`` to take them for rows without a match.
    token : str
        Hash of all that; equal tokens join alike.
    """

    name: str
    keys: pa.Table
    values: pa.Table
    how: str = "left"
    unmatched: str = "keep"
    null_keys: str = "fail"
    token: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash names, types and values; the order of the small table's rows does not count."""
        said = [self.name, self.how, self.unmatched, self.null_keys, str(self.keys.schema), str(self.values.schema)]
        names = [f"key {name}" for name in self.keys.column_names] + list(self.values.column_names)
        whole = pa.table([*self.keys.columns, *self.values.columns], names=names)
        content = row_hashes(whole, names)
        object.__setattr__(self, "token", digest([*said, hashlib.sha256(np.sort(content).tobytes()).hexdigest()], 24))

    @property
    def n_bytes(self) -> int:
        """Size in memory."""
        return int(self.keys.nbytes + self.values.nbytes)

    def extend(self, schema: Schema) -> Schema:
        """Return the schema of the rows with the columns this adds."""
        added = [
            Column(f.name, kind_of(f.type, f.name), str(pa.string() if pa.types.is_null(f.type) else f.type))
            for f in self.values.schema
        ]
        return Schema((*schema.columns, *added))

    def lenient(self) -> Join:
        """The same join as rows are only looked at, or scored: none is left out, and none refused."""
        return Join(self.name, self.keys, self.values, "left", "keep", "unmatched")

    def every_row(self) -> Join:
        """The same join for rows that all want an answer: rows without a match stay."""
        return Join(self.name, self.keys, self.values, "left", self.unmatched, self.null_keys)

    def table(self) -> pa.Table:
        """Return everything as one table, as it is stored."""
        meta = {
            "name": self.name,
            "keys": self.keys.column_names,
            "values": self.values.column_names,
            "how": self.how,
            "unmatched": self.unmatched,
            "null_keys": self.null_keys,
        }
        columns = [*self.keys.columns, *self.values.columns]
        names = [f"c{place}" for place in range(len(columns))]
        return pa.table(columns, names=names).replace_schema_metadata({META: json.dumps(meta).encode()})

    @classmethod
    def of_table(cls, table: pa.Table) -> Join:
        """Return what was stored; ValueError or KeyError when it is no such table."""
        meta = json.loads((table.schema.metadata or {})[META])
        n_keys = len(meta["keys"])
        return cls(
            meta["name"],
            table.select(range(n_keys)).rename_columns(meta["keys"]).replace_schema_metadata(None),
            table.select(range(n_keys, table.num_columns)).rename_columns(meta["values"]).replace_schema_metadata(None),
            meta["how"],
            meta["unmatched"],
            meta["null_keys"],
        )

    def dump(self) -> bytes:
        """Return it as an Arrow IPC file."""
        sink = io.BytesIO()
        table = self.table()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue()

    @classmethod
    def load(cls, content: bytes) -> Join:
        """Return what `dump` gave."""
        return cls.of_table(pa.ipc.open_file(pa.py_buffer(content)).read_all())


@dataclass(frozen=True, slots=True)
class JoinCount:
    """How a join went: rows that were looked up, those without a match, and those of them with a gap in a key."""

    name: str
    rows: int
    unmatched: int
    null_keys: int

    def __add__(self, other: JoinCount) -> JoinCount:
        """Both together."""
        return JoinCount(
            self.name, self.rows + other.rows, self.unmatched + other.unmatched, self.null_keys + other.null_keys
        )


@dataclass(frozen=True, slots=True)
class StoredJoin:
    """Where a join's small table stands for the workers; picklable and small.

    Attributes
    ----------
    path : str
        Its file in the block store.
    token : str
        The join's.
    """

    path: str
    token: str

    @classmethod
    def of(cls, join: Join, folder: Path) -> StoredJoin:
        """Say where a join will stand in a block store; nothing is written."""
        return cls(str(folder / f"{join.token}-join.arrow"), join.token)

    def open(self) -> Join:
        """Return the join, memory-mapped and the same in all tasks of a process; LostBlockError when it is gone."""
        return _opened(self.path, self.token)


def store_join(join: Join, folder: Path) -> None:
    """Write a join's small table into a block store, once for all workers."""
    write_block(join.table(), Path(StoredJoin.of(join, folder).path))


@lru_cache(maxsize=64)
def _opened(path: str, token: str) -> Join:
    """Keep what is in use; the token says whether it is whole."""
    try:
        join = Join.of_table(pa.ipc.open_file(pa.BufferReader(pa.py_buffer(map_file(path)))).read_all())
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise LostBlockError(f"The joined table {path} is gone or damaged ({error}). {AGAIN}") from error
    if join.token != token:
        raise LostBlockError(f"The joined table {path} is damaged. {AGAIN}")
    return join


def forget_joins() -> None:
    """Close the maps of this process."""
    _opened.cache_clear()


def join_all(rows: pa.Table, joins: Iterable[Join], place: str) -> tuple[pa.Table, Any, list[JoinCount]]:
    """Join several small tables to rows, one after the other; a later one may use columns of an earlier one.

    Parameters
    ----------
    rows : pyarrow.Table
        The rows of one partition.
    joins : iterable of Join
        In order.
    place : str
        The partition's name, for messages.

    Returns
    -------
    rows : pyarrow.Table
        With the new columns, in the same order.
    kept : pyarrow.Array of int64 or None
        Places of the rows that are kept; None when that is all of them.
    counts : list of JoinCount
        One per join.

    Raises
    ------
    DataError
        Where a join refuses rows: names the partition and the first such key.

    Examples
    --------
    >>> cities = Join("cities", pa.table({"city": ["Ulm", "Rom"]}), pa.table({"height": [478, 21]}))
    >>> joined, _, counts = join_all(pa.table({"city": ["Rom", "Oslo", "Rom"]}), [cities], "part.0")
    >>> joined["height"].to_pylist(), counts[0].unmatched
    ([21, None, 21], 1)
    """
    kept: Any = None
    counts = []
    for join in joins:
        columns = [_key(rows, name, join, place) for name in join.keys.column_names]
        positions = _positions(columns, join.keys)
        gaps = pc.is_null(columns[0])
        for column in columns[1:]:
            gaps = pc.or_(gaps, pc.is_null(column))
        count = JoinCount(join.name, rows.num_rows, positions.null_count, pc.sum(gaps).as_py() or 0)
        _refuse(join, rows, positions, gaps, count, place)
        counts.append(count)
        if join.how == "inner" and positions.null_count:
            matched = pc.indices_nonzero(pc.is_valid(positions)).cast(pa.int64())
            rows, positions = rows.take(matched), positions.take(matched)
            kept = matched if kept is None else kept.take(matched)
        for name in join.values.column_names:
            values = join.values.column(name).combine_chunks()
            values = values.cast(pa.string()) if pa.types.is_null(values.type) else values
            rows = rows.append_column(name, values.take(positions))
    return rows, kept, counts


def total_counts(counts: Iterable[Sequence[JoinCount]]) -> tuple[JoinCount, ...]:
    """Add up the counts of partitions, join by join."""
    whole: list[JoinCount] = []
    for part in counts:
        whole = [left + right for left, right in zip(whole, part, strict=True)] if whole else list(part)
    return tuple(whole)


def in_words(count: JoinCount, how: str) -> str:
    """Return how a join went as a sentence.

    Examples
    --------
    >>> in_words(JoinCount("weather", 2000, 50, 10), "left")
    "The join 'weather' found no match for 50 of 2,000 rows (2.5 %; 10 lack a key): what it adds is missing there."
    """
    gaps = f"; {count.null_keys:,} lack a key" if count.null_keys else ""
    fate = "they are left out" if how == "inner" else "what it adds is missing there"
    share = f"{100 * count.unmatched / count.rows:.2g} %"
    rows = f"{count.unmatched:,} of {count.rows:,} rows ({share}{gaps})"
    return f"The join '{count.name}' found no match for {rows}: {fate}."


def comparable(left: pa.DataType, right: pa.DataType) -> bool:
    """Whether keys of two types can be equal: both numbers, texts, truths, or times with or without a zone."""
    kinds = [kind_of(kind, "key") for kind in (left, right)]
    if kinds[0] is not kinds[1]:
        return False
    if kinds[0] is ColumnKind.DATETIME:
        zones = [pa.types.is_timestamp(kind) and kind.tz is not None for kind in (left, right)]
        return zones[0] == zones[1]
    return True


def _key(rows: pa.Table, name: str, join: Join, place: str) -> pa.Array:
    """A key column of the rows in the type of the small table's, or as a dictionary of it."""
    wanted = join.keys.schema.field(name).type
    if name not in rows.column_names:
        raise DataError(f"{place}: there is no column '{name}', a key of the join '{join.name}'. Add it.")
    values = rows.column(name).combine_chunks()
    plain = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    values = canonical_floats(values)
    if plain == wanted:
        return values
    try:
        if not pa.types.is_null(plain) and not comparable(plain, wanted):
            raise pa.ArrowInvalid("they are never equal")
        return (values.dictionary_decode() if pa.types.is_dictionary(values.type) else values).cast(wanted)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{place}: the key '{name}' of the join '{join.name}' is {plain}, and {wanted} in the small table: {error}."
        ) from error


def _found(column: pa.Array, levels: pa.Array) -> pa.Array:
    """Place among levels of each value; of a dictionary each text is looked up once."""
    if not pa.types.is_dictionary(column.type):
        return pc.index_in(column, value_set=levels)
    return pc.index_in(column.dictionary, value_set=levels).take(column.indices)


def _positions(columns: Sequence[pa.Array], keys: pa.Table) -> pa.Array:
    """Place in the small table of each row's key; null where there is none.

    Each key column becomes codes, and codes are put together column by column and numbered anew, so that they stay
    below the square of the small table's length.
    """
    left: Any = None
    right: Any = None
    for column, own in zip(columns, keys.columns, strict=True):
        own = own.combine_chunks()
        levels = pc.unique(own)
        found, known = _found(column, levels), pc.index_in(own, value_set=levels)
        if left is None:  # the first key column
            left, right = found, known
            continue
        width = pa.scalar(len(levels), pa.int64())
        left = pc.add(pc.multiply(left.cast(pa.int64()), width), found.cast(pa.int64()))
        right = pc.add(pc.multiply(right.cast(pa.int64()), width), known.cast(pa.int64()))
        numbers = pc.unique(right)
        left, right = pc.index_in(left, value_set=numbers), pc.index_in(right, value_set=numbers)
    return pc.index_in(left, value_set=right)


def _refuse(join: Join, rows: pa.Table, positions: pa.Array, gaps: pa.Array, count: JoinCount, place: str) -> None:
    """Raise for what a join does not take."""
    keys = ", ".join(join.keys.column_names)
    if count.null_keys and join.null_keys == "fail":
        raise DataError(
            f"{place}: {count.null_keys} of {count.rows} rows have no value in a key of the join '{join.name}' "
            f'({keys}). A missing key matches nothing; with null_keys = "unmatched" they are rows without a match.'
        )
    if count.unmatched and join.unmatched == "fail":
        first = pc.indices_nonzero(pc.is_null(positions))[0].as_py()
        found = ", ".join(f"{name} = {rows.column(name)[first].as_py()!r:.60}" for name in join.keys.column_names)
        raise DataError(
            f"{place}: {count.unmatched} of {count.rows} rows have no match in the join '{join.name}'; the first is "
            f'{found}. Complete the small table, or say unmatched = "keep".'
        )
