"""A spread sample of CSV files: rows of some files, the types of their columns, and what the first lines look like."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from daskflow.sources.csv_text import (
    HEAD_BYTES,
    PACKED_SUFFIXES,
    Dialect,
    Head,
    Record,
    as_utf8,
    beginning,
    has_undecoded,
    head_of,
    records,
    text_of,
)
from daskflow.sources.csv_types import Cells, type_of_sample
from daskflow.sources.reading import FoundFile, open_file

SAMPLED_FILES = 16

SAMPLED_BYTES = 2 << 20
"""Text that is looked at to find the types, over all files; a fraction of a second's work."""

FIRST_BYTES = 1 << 16
"""What is read of every file to see its header; more only where that is not enough."""


@dataclass(frozen=True, slots=True)
class SampledFile:
    """Some records of one file, without its header."""

    file: FoundFile
    head: Head
    rows: tuple[Record, ...]

    def named(self, names: Sequence[str]) -> SampledFile:
        """Return the same rows under other names."""
        return replace(self, head=replace(self.head, names=tuple(names)))

    def columns(self) -> dict[str, Sequence[str]]:
        """Cells by column, of the rows that have all columns and are not the header once more."""
        names = self.head.names
        whole = [row.cells for row in self.rows if len(row.cells) == len(names) and row.cells != list(names)]
        return dict(zip(names, zip(*whole, strict=True), strict=True)) if whole else dict.fromkeys(names, ())


def head_from(file: FoundFile, dialect: Dialect) -> Head:
    """Read a file's header; DataError when there is none."""
    for n_bytes in (FIRST_BYTES, HEAD_BYTES):
        data = beginning(file, n_bytes)
        is_whole = len(data) < n_bytes
        utf8 = as_utf8(data, dialect, file.name, is_whole=is_whole)
        if is_whole or next(records(text_of(utf8), dialect, file.name, is_whole=False), None) is not None:
            break
    return head_of(utf8, dialect, file.name, is_whole=is_whole)


def sample_of(heads: Sequence[tuple[FoundFile, Head]], dialect: Dialect) -> list[SampledFile]:
    """Read rows of the first, the last and some files between: of each the beginning, and all of it when small.

    Of large files that are not compressed the middle and the end are looked at too.
    """
    chosen = spread(heads, SAMPLED_FILES)
    share = SAMPLED_BYTES // len(chosen)
    return [SampledFile(file, head, tuple(_rows(file, dialect, share))) for file, head in chosen]


def _rows(file: FoundFile, dialect: Dialect, n_bytes: int) -> list[Record]:
    """Records of one file, from about so many bytes of it."""
    is_packed = file.name.lower().endswith(PACKED_SUFFIXES)
    in_parts = not is_packed and dialect.is_utf8 and file.size_bytes > n_bytes
    data = beginning(file, n_bytes // 3 if in_parts else n_bytes)
    utf8 = as_utf8(data, dialect, file.name, is_whole=False)
    is_whole = not in_parts and len(data) < n_bytes
    found = list(records(text_of(utf8), dialect, file.name, is_whole=is_whole))[1 if dialect.header else 0 :]
    if in_parts and not any(_has_line_end(row) for row in found):  # else a part might begin within a quoted cell
        for start in ((file.size_bytes - n_bytes // 3) // 2, file.size_bytes - n_bytes // 3):
            found += _part(file, dialect, start, n_bytes // 3)
    return [row for row in found if "\0" not in row.text and not has_undecoded(row.text)]


def _has_line_end(row: Record) -> bool:
    return any("\n" in cell or "\r" in cell for cell in row.cells)


def _part(file: FoundFile, dialect: Dialect, start: int, n_bytes: int) -> list[Record]:
    """Records from somewhere within a file; their lines are not known."""
    with open_file(file) as opened:
        opened.seek(start)
        data = opened.read(n_bytes)
    whole_rows = data[data.find(b"\n") + 1 : data.rfind(b"\n") + 1]
    inner = replace(dialect, header=False, skip_rows=0)
    is_closed = dialect.quote is None or whole_rows.count(dialect.quote.encode()) % 2 == 0
    return list(records(text_of(whole_rows), inner, file.name, is_whole=is_closed))


def spread(items: Sequence[Any], n: int) -> list[Any]:
    """Return at most n items: the first, the last, and others evenly between.

    Examples
    --------
    >>> spread(range(100), 4)
    [0, 33, 66, 99]
    """
    if len(items) <= n:
        return list(items)
    return [items[place * (len(items) - 1) // (n - 1)] for place in range(n)]


def types_of(sample: Sequence[SampledFile], names: Sequence[str], cells: Cells, date_format: str | None) -> Any:
    """Return the Arrow type of each column over all sampled files.

    Parameters
    ----------
    sample : sequence of SampledFile
        Their headers may have the columns in different orders.
    names : sequence of str
        Columns of the table.
    cells : Cells
        How numbers and missing values are written.
    date_format : str or None
        A format that columns of times may have.
    """
    by_file = [one.columns() for one in sample]
    return {
        name: type_of_sample(
            pa.array(itertools.chain.from_iterable(columns[name] for columns in by_file), pa.string()),
            cells,
            date_format,
        )
        for name in names
    }


def evidence(first: Sequence[str], below: Sequence[pa.DataType], cells: Cells) -> tuple[int, int]:
    """Count the columns whose first cell is of the type of the cells below, and those where it is a word above values.

    Columns of text say nothing.

    Examples
    --------
    >>> cells = Cells(Dialect(), {})
    >>> evidence(["39", "Private"], [pa.int64(), pa.string()], cells)
    (1, 0)
    >>> evidence(["age", "work"], [pa.int64(), pa.string()], cells)
    (0, 1)
    """
    like_data = like_names = 0
    for cell, kind in zip(first, below, strict=False):
        word = cell.strip()
        if pa.types.is_string(kind) or not word:
            continue
        if word not in cells.missing and pa.types.is_string(type_of_sample(pa.array([cell]), cells)):
            like_names += 1
        else:
            like_data += 1
    return like_data, like_names


def first_rows(sample: Sequence[SampledFile], n_columns: int, limit: int) -> list[Record]:
    """Return some complete records of the first file."""
    return list(itertools.islice((row for row in sample[0].rows if len(row.cells) == n_columns), limit))
