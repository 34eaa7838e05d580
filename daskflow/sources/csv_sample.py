"""A spread sample of CSV files: rows of some files, the types of their columns, and what the first lines look like."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from daskflow.sources.csv_bounds import boundary
from daskflow.sources.csv_coding import as_text, as_utf8
from daskflow.sources.csv_dialect import Dialect
from daskflow.sources.csv_heads import FoundText
from daskflow.sources.csv_piece import FOOTER_BYTES, footer_bytes
from daskflow.sources.csv_text import Head, Record, has_undecoded, records, text_of
from daskflow.sources.csv_texts import PlainText
from daskflow.sources.csv_types import Cells, type_of_sample
from daskflow.sources.csv_unpacking import beginning
from daskflow.sources.reading import FoundFile, open_file

SAMPLED_FILES = 128

SAMPLED_BYTES = 2 << 20
"""Text that is looked at to find the types, over all files; a fraction of a second's work."""

PLACES, PLACE_BYTES = 32, 1 << 15
"""Places of one large file that are looked at, at most, and the least that is read at each."""

REACH_BYTES = 1 << 18
"""What is read before a place to find the first record there; a sample may be wrong about it."""


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
        names, head = self.head.names, self.head
        whole = [row.cells for row in self.rows if len(row.cells) == len(names) and not head.is_repeated(row.cells)]
        return dict(zip(names, zip(*whole, strict=True), strict=True)) if whole else dict.fromkeys(names, ())


def sample_of(found: Sequence[FoundText], dialect: Dialect, n_bytes: int = SAMPLED_BYTES) -> list[SampledFile]:
    """Read rows of the first, the last and some files between: of each the beginning, and all of it when small.

    Large files that are not compressed are looked at in many places, evenly spread.
    """
    chosen = spread(found, SAMPLED_FILES)
    share = n_bytes // len(chosen)
    return [SampledFile(one.file, one.head, tuple(_rows(one, dialect, share))) for one in chosen]


def _rows(one: FoundText, dialect: Dialect, n_bytes: int) -> list[Record]:
    """Records of one file, from about so many bytes of it."""
    file, head = one.file, one.head
    in_parts = one.packing == "none" and head.coding.keeps_ascii and file.size_bytes > n_bytes
    if in_parts:
        found = _parts(one, dialect, n_bytes)
    else:
        asked = head.coding.mark_bytes + 4 * head.skip + n_bytes
        data = beginning(file, asked, one.packing)
        is_whole = len(data) < asked
        text = as_text(data, head.coding, file.name, is_whole=is_whole)[head.skip :]
        if is_whole:
            text = text[: len(text) - footer_bytes(text, dialect, file.name)]
        inner, line = replace(dialect, skip_rows=0), head.line + (len(head.header) > 0)
        utf8 = as_utf8(text, head.coding.charset)
        found = list(records(text_of(utf8), inner, file.name, is_whole=is_whole, first_line=line))
    return [row for row in found if "\0" not in row.text and not has_undecoded(row.text)]


def _parts(one: FoundText, dialect: Dialect, n_bytes: int) -> list[Record]:
    """Records from some places within a large file; but for those at its beginning their lines are not known."""
    low, coding = one.head.skip, one.head.coding
    n_places = max(1, min(PLACES, n_bytes // PLACE_BYTES))
    share, inner = n_bytes // n_places, replace(dialect, skip_rows=0)
    found: list[Record] = []
    with open_file(one.file) as opened:
        text = PlainText(one.file, opened, coding)
        end = text.end(0)
        end -= footer_bytes(text.read(end - 2 * FOOTER_BYTES, end), dialect, one.file.name)
        for place in range(n_places):
            wanted = low + (end - share - low) * place // max(1, n_places - 1)
            begin = boundary(text, wanted, low, dialect, REACH_BYTES).place
            letters = text_of(as_utf8(text.read(begin, min(begin + share, end)), coding.charset))
            is_whole, line = begin + share >= end, one.head.line + 1
            found += records(letters, inner, one.file.name, is_whole=is_whole, first_line=line)
    return found


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
    columns = text_columns(sample, names)
    return {name: type_of_sample(column, cells, date_format, name) for name, column in columns.items()}


def text_columns(sample: Sequence[SampledFile], names: Sequence[str]) -> dict[str, pa.Array]:
    """Return the cells of some columns over all sampled files, as written."""
    by_file = [one.columns() for one in sample]
    return {
        name: pa.array(itertools.chain.from_iterable(columns[name] for columns in by_file), pa.string())
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
