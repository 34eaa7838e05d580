"""Footers of parquet files: read many at a time, before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from daskflow.core.errors import DataError
from daskflow.sources.filters import Filters, Predicate
from daskflow.sources.parquet_schema import plain_type
from daskflow.sources.reading import FoundFile, for_each, read_ranges

MAGIC = b"PAR1"
ENCRYPTED = b"PARE"

TAIL_BYTES = 1 << 16
"""What is read of a file's end at first: most footers fit."""

LENGTH_BYTES = 8
"""A file ends in the length of its footer and four letters."""

STRING_BYTES = 16
"""What a string is at least taken to need in memory: dictionary pages hide how often each is repeated."""

REWRITE = "The file is damaged: write or copy it again."

ORDERED = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_timestamp,
    pa.types.is_date32,
)
"""Types whose statistics are in the order of their values."""


class RowGroup(NamedTuple):
    """Rows, their estimated size in memory, and whether a filter may keep some of them."""

    n_rows: int
    n_bytes: int
    may_match: bool


@dataclass(frozen=True, slots=True)
class Footer:
    """What a file's footer says.

    Attributes
    ----------
    file : FoundFile
        The file.
    schema : pyarrow.Schema
        Its columns.
    start : int
        Where the footer begins.
    row_groups : tuple of RowGroup
        In order.
    """

    file: FoundFile
    schema: pa.Schema
    start: int
    row_groups: tuple[RowGroup, ...]


def footers(
    files: Sequence[FoundFile], columns: Collection[str] | None, filters: Filters, casts: Collection[str]
) -> list[Footer]:
    """Read every file's footer, several at a time; DataError listing all files that have none.

    Parameters
    ----------
    files : sequence of FoundFile
        Any number.
    columns : collection of str or None
        Those that count for the size in memory; None for all.
    filters : Filters
        Rule out row groups by their statistics.
    casts : collection of str
        Columns whose values are cast before they are compared, so that statistics say nothing of them.
    """

    describe = _Describer(columns, filters, casts)

    def one(file: FoundFile) -> Footer | DataError:
        try:
            return describe(file, *read_footer(file))
        except DataError as error:
            return error

    found = for_each(one, files)
    problems = [str(answer) for answer in found if isinstance(answer, DataError)]
    if problems:
        raise DataError("\n".join(problems))
    return [answer for answer in found if isinstance(answer, Footer)]


def read_footer(file: FoundFile) -> tuple[Any, int]:
    """Return a file's metadata and where they begin; a sentence when there are none."""
    size = f"({file.size_bytes} bytes)"
    reach = min(TAIL_BYTES, file.size_bytes)
    start, tail = read_ranges(file, [(0, min(len(MAGIC), reach)), (file.size_bytes - reach, reach)])
    head, last = bytes(start), bytes(tail.slice(max(0, reach - LENGTH_BYTES)))
    length = int.from_bytes(last[:4], "little") + LENGTH_BYTES
    if head != MAGIC or last[4:] != MAGIC or length + len(MAGIC) > file.size_bytes:
        raise DataError(_no_parquet(file, head, last[4:], size))
    if length > reach:
        (tail,) = read_ranges(file, [(file.size_bytes - length, length)])
    try:
        return parsed(tail), file.size_bytes - length
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.name} {size}: its footer cannot be read: {error}. {REWRITE}") from error


def parsed(tail: pa.Buffer) -> Any:
    """Return the metadata that a file's end holds."""
    metadata = pq.read_metadata(pa.BufferReader(tail))
    metadata.schema.to_arrow_schema()  # may be damaged by itself
    return metadata


def _no_parquet(file: FoundFile, head: bytes, end: bytes, size: str) -> str:
    """Say why a file with such a beginning and end is no parquet file."""
    if ENCRYPTED in (head, end):
        return f"{file.name} {size} is encrypted. Write it again without encryption."
    if head == MAGIC:
        return (
            f"{file.name} {size} is cut short: it begins as a parquet file and does not end as one. "
            "Write or copy it again."
        )
    hint = " It begins like a compressed file." if head[:2] == b"\x1f\x8b" else ""
    return (
        f"{file.name} {size} is no parquet file: it does not begin with PAR1.{hint} "
        "Take it out of the path, or use the kind it is."
    )


class _Describer:
    """Takes from metadata what planning needs, and lets go of the rest: many files have long ones."""

    def __init__(self, columns: Collection[str] | None, filters: Filters, casts: Collection[str]) -> None:
        """Take what counts."""
        self.columns, self.filters, self.casts = columns, filters, casts
        self.last: _Shape | None = None

    def __call__(self, file: FoundFile, metadata: Any, start: int) -> Footer:
        """Describe one file; most have the columns of the one before."""
        schema = metadata.schema.to_arrow_schema().remove_metadata()
        shape = self.last
        if shape is None or not shape.schema.equals(schema):
            self.last = shape = _Shape.of(schema, metadata.schema, self.columns)
        groups = []
        for place in range(metadata.num_row_groups):
            group = metadata.row_group(place)
            least = STRING_BYTES * group.num_rows
            size = shape.width * group.num_rows // 8
            size += sum(max(group.column(leaf).total_uncompressed_size, least) for leaf in shape.texts)
            may = not self.filters or _may_match(group, shape, self.filters, self.casts)
            groups.append(RowGroup(group.num_rows, int(size), may))
        return Footer(file, shape.schema, start, tuple(groups))


class _Shape(NamedTuple):
    """Columns: their places in the file, the bits of a row's values of fixed width, and the places of texts."""

    schema: pa.Schema
    leaves: Mapping[str, int]
    width: int
    texts: list[int]

    @classmethod
    def of(cls, schema: pa.Schema, parquet: Any, columns: Collection[str] | None) -> _Shape:
        """Look at the columns that count."""
        leaves = {parquet.column(place).path: place for place in range(len(parquet))}
        width, texts = 0, []
        for field in schema:
            kind = plain_type(field.type)
            if columns is not None and field.name not in columns:
                continue
            if pa.types.is_string(kind):
                texts += [leaves[field.name]] if field.name in leaves else []
            elif not pa.types.is_null(kind) and not pa.types.is_nested(kind) and not pa.types.is_binary(kind):
                width += kind.bit_width
        return cls(schema, leaves, width, texts)


def _may_match(group: Any, shape: _Shape, filters: Filters, casts: Collection[str]) -> bool:
    """Whether the statistics leave it open that some row is kept."""
    schema, leaves = shape.schema, shape.leaves

    def may(predicate: Predicate) -> bool:
        name = predicate.column
        if name not in leaves or name in casts or name not in schema.names:
            return True
        kind = plain_type(schema.field(name).type)
        seen = group.column(leaves[name]).statistics
        if seen is None or not any(test(kind) for test in ORDERED):
            return True
        if predicate.operator == "is":  # not a number is missing, and is not counted as such
            return not seen.has_null_count or seen.null_count > 0 or pa.types.is_floating(kind)
        if seen.has_null_count and seen.null_count == group.num_rows:
            return False
        return not seen.has_min_max or predicate.may_keep(seen.min, seen.max, kind)

    return any(all(may(predicate) for predicate in conjunction) for conjunction in filters)
