"""Tables from memory, for tests: partitions that count how often they are read."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from daskflow.core.seeds import digest
from daskflow.data.blocks import Blocks
from daskflow.data.derive import extend
from daskflow.data.execution import InlineExecutor
from daskflow.data.ranges import RangeReader
from daskflow.data.scan import scan, target_of
from daskflow.data.schema import Roles, Schema, Target
from daskflow.data.splits import Split, SplitPlan, plan_split
from daskflow.data.table import Decoded, Fingerprint, Reject, Table

READS: list[str] = []
"""Names of partitions in the order they were read in this process."""


@dataclass(frozen=True)
class Piece:
    """A partition that has its rows in memory."""

    name: str
    rows: pa.Table
    modified_ns: int = 1
    size_bytes: int = 100
    rejects: tuple[Reject, ...] = ()
    graph: Any = None
    n_bytes: int = 0
    content_hash: str = field(default="")

    @property
    def fingerprint(self) -> Fingerprint:
        """As a file's."""
        return Fingerprint(self.name, self.size_bytes, self.modified_ns)

    def read(self, frame: Any = None) -> Decoded:
        """Count, and give the rows."""
        READS.append(self.name)
        rows = self.rows if frame is None else pa.Table.from_pandas(frame, preserve_index=False)
        return Decoded(rows, self.rejects, self.content_hash or digest(str(rows.to_pydict()), 24))


def cut(rows: pa.Table, n_parts: int) -> list[pa.Table]:
    """Cut rows into so many pieces of about equal length."""
    edges = [i * rows.num_rows // n_parts for i in range(n_parts + 1)]
    return [rows.slice(begin, end - begin) for begin, end in itertools.pairwise(edges)]


def table_of(
    pieces: Sequence[pa.Table], *, derive: Mapping[str, str] | None = None, source: Schema | None = None, **roles: Any
) -> Table:
    """A table of in-memory partitions ``part.0``, ``part.1``..."""
    source = source or Schema.of(pieces[0].schema)
    settings = {name: roles.pop(name) for name in ("task", "positive", "settings") if name in roles}
    return Table(
        partitions=tuple(Piece(f"part.{i}", rows) for i, rows in enumerate(pieces)),
        source_schema=source,
        schema=extend(source, derive or {}),
        roles=Roles(**roles),
        derive=derive or {},
        **settings,
    )


@dataclass(frozen=True)
class Prepared:
    """A table that was scanned and split."""

    blocks: Blocks
    target: Target
    plan: SplitPlan
    reader: RangeReader


def prepared(table: Table, store: Path, split: Split, block_rows: int | None = None) -> Prepared:
    """Scan and split in this process."""
    executor = InlineExecutor()
    blocks = scan(table, store, executor)
    target = target_of(blocks, table.task, table.positive)
    plan = plan_split(split, blocks, target, executor)
    return Prepared(blocks, target, plan, RangeReader(blocks, plan, target, block_rows))


def ranges_of(ready: Prepared) -> pa.Table:
    """All rows in training order, with their segment."""
    read = [ready.reader.read(i) for i in range(ready.reader.n_ranges)]
    tables = [rows.table.append_column("segment", pa.array(rows.segments)) for rows in read]
    plain = [pa.table({name: _plain(table[name]) for name in table.column_names}) for table in tables]
    return pa.concat_tables(plain).combine_chunks()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def people(n_rows: int = 400, seed: int = 0) -> pa.Table:
    """Rows of every kind, with gaps."""
    import numpy as np

    draw = np.random.default_rng(seed)
    gaps = draw.random(n_rows) < 0.1
    frame = pd.DataFrame(
        {
            "age": pd.array(draw.integers(17, 90, n_rows), dtype="Int64"),
            "pay": draw.lognormal(3, 1, n_rows),
            "city": draw.choice(["Ulm", "Bonn", "Köln", "Jena"], n_rows),
            "seen": pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 10**6, n_rows), unit="s"),
            "member": pd.array(draw.random(n_rows) < 0.5, dtype="boolean"),
            "house": draw.integers(0, 40, n_rows),
            "late": draw.random(n_rows) < 0.3,
        }
    )
    for name in ("age", "pay", "city", "member"):
        frame.loc[gaps & (draw.random(n_rows) < 0.5), name] = pd.NA if name in ("age", "member") else None
    schema = pa.schema(
        [
            ("age", pa.int64()),
            ("pay", pa.float64()),
            ("city", pa.string()),
            ("seen", pa.timestamp("us")),
            ("member", pa.bool_()),
            ("house", pa.int64()),
            ("late", pa.bool_()),
        ]
    )
    return pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
