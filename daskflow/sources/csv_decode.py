"""Rows of a CSV text: by Arrow's parser where all fits, and record by record where something does not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from daskflow.core.errors import BadRowsError
from daskflow.data import CompiledLoops
from daskflow.data.table import Reject
from daskflow.sources.csv_bounds import cut, is_open, letters_of, machine, without_comments
from daskflow.sources.csv_coding import as_utf8
from daskflow.sources.csv_dialect import Dialect
from daskflow.sources.csv_records import COUNTED_ROWS, BadRow, by_record, complaint
from daskflow.sources.csv_text import Head, records, text_of
from daskflow.sources.csv_texts import line_ends
from daskflow.sources.csv_types import Cells

zeros = CompiledLoops("daskflow.sources.csv_zeros")

SMALL_BLOCK_BYTES, BLOCK_BYTES, LARGE_BLOCK_BYTES = 1 << 16, 1 << 20, 1 << 24
"""What Arrow parses at a time: at first so little that it stays near the processor (and for small texts less, for it
takes as much memory). A row longer than the last goes to the careful way."""

CAREFUL_BYTES = 1 << 18
"""What is read record by record around a bad row; the rest of a partition is Arrow's."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in the schema's columns, and the rows that were refused."""

    table: pa.Table
    rejects: tuple[Reject, ...] = ()


def decode(text: bytes, head: Head, dialect: Dialect, cells: Cells, *, name: str, rejects: bool, line: Any) -> Rows:
    """Turn whole records into rows.

    Parameters
    ----------
    text : bytes
        Records in the charset of the file's coding; no header.
    head : Head
        Columns in the order of the file.
    dialect : Dialect
        How cells are written.
    cells : Cells
        How they become values.
    name : str
        The file's, for messages.
    rejects : bool
        Whether bad rows are left out and returned.
    line : callable
        Gives the line at which the text begins; called only when something is bad.

    Raises
    ------
    BadRowsError
        For rows that do not fit, unless they are rejected.
    DataError
        For a quoted cell that never ends.
    """
    utf8 = as_utf8(text, head.coding.charset)
    rows = by_arrow(utf8, head, dialect, cells)
    if rows is not None:
        return Rows(rows)
    tables, bad, first_line = [], list[BadRow](), int(line())
    inner = replace(dialect, skip_rows=0)
    for part in cut(utf8, dialect, CAREFUL_BYTES):
        rows = by_arrow(part, head, dialect, cells)
        if rows is None:
            found = list(records(text_of(part), inner, name, first_line=first_line))
            rows, refused = by_record(found, head, cells)
            bad += refused
            if not rejects and len(bad) > COUNTED_ROWS:
                break
        tables.append(rows)
        first_line += line_ends(part)
    if bad and not rejects:
        raise BadRowsError(complaint(name, bad, dialect))
    refused_rows = tuple(Reject(name, row.line, row.reason, row.text) for row in bad)
    return Rows(pa.concat_tables(tables) if tables else empty(cells), refused_rows)


def empty(cells: Cells) -> pa.Table:
    """Return a table without rows."""
    return pa.schema(list(cells.types.items())).empty_table()


def by_arrow(utf8: bytes, head: Head, dialect: Dialect, cells: Cells) -> pa.Table | None:
    """Parse rows with Arrow; None when anything does not fit, or might be read otherwise than record by record.

    Parameters
    ----------
    utf8 : bytes
        Whole records.
    head : Head
        Columns in the order of the file.
    dialect : Dialect
        How cells are written.
    cells : Cells
        How they become values.
    """
    has_comments = dialect.comment is not None and dialect.comment.encode() in utf8
    if has_comments:
        utf8 = without_comments(utf8, dialect)
    if not utf8:
        return empty(cells)
    if not _is_plain(utf8, dialect):
        return None
    direct, whole = _direct(cells)
    hides_zeros = dialect.escape is not None and dialect.escape.encode() in utf8  # 0\0 is the cell 00
    if whole and (hides_zeros or has_leading_zeros(utf8, dialect, [name in whole for name in head.names])):
        direct -= whole
    has_quotes = dialect.quote is not None and dialect.quote.encode() in utf8
    first = SMALL_BLOCK_BYTES if len(utf8) < SMALL_BLOCK_BYTES else BLOCK_BYTES
    for chosen, block_bytes in ((direct, first), (frozenset[str](), LARGE_BLOCK_BYTES)):
        options = _options(head.names, dialect, cells, chosen, has_quotes, block_bytes)
        try:
            rows = pacsv.read_csv(pa.BufferReader(utf8), **options)
        except pa.ArrowInvalid:
            continue
        columns = _converted(rows, cells, chosen)
        if columns is not None:
            found = pa.table(columns, names=list(cells.types))
            return None if _may_repeat_header(found, head, cells) else found
    return None


@lru_cache(maxsize=16)
def _direct(cells: Cells) -> tuple[frozenset[str], frozenset[str]]:
    """Columns that Arrow converts itself, and the whole numbers among them."""
    direct = frozenset(name for name in cells.types if cells.is_direct(name))
    return direct, frozenset(name for name in direct if pa.types.is_integer(cells.types[name]))


def _converted(rows: pa.Table, cells: Cells, direct: frozenset[str]) -> list[Any] | None:
    """Columns in the schema's order, those that are text still turned into values; None when one does not fit."""
    columns = []
    for name in cells.types:
        values = rows.column(name)
        if name not in direct:
            values, misfits = cells.convert(name, values)
            if len(misfits):
                return None
        columns.append(values)
    return columns


def _may_repeat_header(rows: pa.Table, head: Head, cells: Cells) -> bool:
    """Whether some row may be the header once more: every column has its name among its values."""
    words = _header_values(head.names, head.header, cells)
    return words is not None and all(pc.any(pc.equal(rows.column(name), word)).as_py() for name, word in words.items())


@lru_cache(maxsize=16)
def _header_values(names: tuple[str, ...], header: tuple[str, ...], cells: Cells) -> dict[str, Any] | None:
    """What the header's words would be as values of their columns; None where they cannot be."""
    if len(header) < 2 or len(header) != len(names):
        return None
    written = dict(zip(names, header, strict=True))
    found = {}
    for name in cells.types:
        values, misfits = cells.convert(name, pa.array([written[name]], pa.string()))
        if len(misfits):
            return None
        if values[0].is_valid:
            found[name] = values[0]
    return found


@lru_cache(maxsize=16)
def _options(
    names: tuple[str, ...],
    dialect: Dialect,
    cells: Cells,
    direct: frozenset[str],
    has_quotes: bool,
    block_bytes: int,
) -> dict[str, Any]:
    """Arrow's words for a dialect; columns that are not direct are read as text."""
    blank = [f" {word}" for word in cells.missing] if dialect.skip_initial_space else []
    return {
        "read_options": pacsv.ReadOptions(column_names=list(names), use_threads=False, block_size=block_bytes),
        "parse_options": pacsv.ParseOptions(
            delimiter=dialect.separator,
            quote_char=dialect.quote or False,
            double_quote=dialect.double_quote,
            escape_char=dialect.escape or False,
            newlines_in_values=has_quotes or dialect.escape is not None,  # slower where it may be so
        ),
        "convert_options": pacsv.ConvertOptions(
            column_types={name: kind if name in direct else pa.string() for name, kind in cells.types.items()},
            include_columns=list(cells.types),
            null_values=[*cells.missing, *blank],
            true_values=list(cells.trues),
            false_values=list(cells.falses),
            strings_can_be_null=False,
            decimal_point=dialect.decimal,
        ),
    }


def _is_plain(utf8: bytes, dialect: Dialect) -> bool:
    """Whether Arrow's parser reads what the careful way does."""
    if b"\0" in utf8:
        return False
    if dialect.escape is not None and dialect.quote is not None and (dialect.quote + dialect.escape).encode() in utf8:
        return False  # behind a closing quote Arrow takes it for an escape, Python's reader for a letter
    if dialect.skip_initial_space and dialect.quote is not None:
        edge, quote = re.escape(dialect.separator), re.escape(dialect.quote)
        if f" {dialect.quote}".encode() in utf8 and re.search(rf"(?:\A|[{edge}\r\n]) +{quote}".encode(), utf8):
            return False
    return not is_open(utf8, dialect)  # an open quote swallows what follows, and Arrow does not say so


def has_leading_zeros(utf8: bytes, dialect: Dialect, is_whole: Sequence[bool]) -> bool:
    """Whether a cell of some columns begins with 0 and another digit, or 0x: Arrow would make 7 of 007, 31 of 0x1F.

    Parameters
    ----------
    utf8 : bytes
        Whole records.
    dialect : Dialect
        How cells are written.
    is_whole : sequence of bool
        By column in the order of the file, whether it counts.

    Examples
    --------
    >>> has_leading_zeros(b"1,007", Dialect(), [True, True]), has_leading_zeros(b"1,007", Dialect(), [True, False])
    (True, False)
    """
    letters = letters_of(utf8)
    separator, quote = np.uint8(ord(dialect.separator)), np.uint8(ord(dialect.quote or dialect.separator))
    far, before, here, behind = (letters[place : len(letters) - 3 + place] for place in range(4))
    if (
        len(letters) > 3
        and b"0" not in utf8[:3]
        and not zeros.may_be_zeros(far, before, here, behind, separator, quote)
    ):
        return False
    return bool(zeros.zero_in_column(letters, machine(dialect), np.array(is_whole), separator, quote))
