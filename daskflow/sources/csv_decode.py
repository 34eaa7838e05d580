"""Rows of one CSV file: by Arrow's parser when all fits, else record by record to say what does not and where."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from daskflow.core.errors import BadRowsError
from daskflow.data.table import Decoded, Fingerprint, Reject
from daskflow.sources.csv_text import (
    HEAD_BYTES,
    SHOWN_TEXT,
    Dialect,
    Record,
    as_utf8,
    has_undecoded,
    head_of,
    readable,
    records,
    text_of,
    unpacked,
)
from daskflow.sources.csv_types import FALSE_WORDS, TRUE_WORDS, Cells
from daskflow.sources.parquet_schema import key
from daskflow.sources.reading import FoundFile, check_unchanged, hash_bytes, read_bytes

BATCH_ROWS = 50_000
"""Records turned into columns at a time on the careful path, where each cell is a Python object."""

BLOCK_BYTES = 1 << 24
"""What Arrow parses at a time; a longer row goes to the careful path."""

ZERO_BYTES = 1 << 18
"""Bytes searched for leading zeros at a time, so that the work stays in the processor's cache."""

OVERLAP_BYTES = 8

SHOWN_ROWS = 3
"""Bad rows told in full; the rest is counted."""

COUNTED_ROWS = 1_000
"""Bad rows after which a file that must not have any is given up."""


@dataclass(frozen=True, slots=True)
class CsvPiece:
    """One CSV file.

    Attributes
    ----------
    file : FoundFile
        As it was when it was planned.
    dialect : Dialect
        How cells are written.
    cells : Cells
        How they become values; its types are the table's columns in order.
    names : tuple of str or None
        Names that replace the header's, or stand for it.
    on_bad_rows : str
        fail or reject.
    n_bytes : int
        Estimated size of the rows in memory.
    """

    file: FoundFile
    dialect: Dialect
    cells: Cells
    names: tuple[str, ...] | None
    on_bad_rows: str
    n_bytes: int

    @property
    def fingerprint(self) -> Fingerprint:
        """The file's."""
        return self.file.fingerprint

    @property
    def graph(self) -> None:
        """None: files have no graph."""
        return None

    def read(self, frame: Any = None) -> Decoded:
        """Decode the file.

        Raises
        ------
        ChangedDataError
            When its size or time is not as planned, before or after reading.
        BadRowsError
            For rows that do not fit, unless they are rejected.
        DataError
            For a file that cannot be decompressed or decoded.
        """
        check_unchanged(self.file)
        data = read_bytes(self.file)
        check_unchanged(self.file)
        utf8 = as_utf8(unpacked(self.file, data), self.dialect, self.file.name)
        rows, rejects = self.rows_of(utf8)
        return Decoded(rows, rejects, hash_bytes(data))

    def rows_of(self, utf8: bytes) -> tuple[pa.Table, tuple[Reject, ...]]:
        """Return the rows of a file's content, and those refused."""
        beginning = utf8[:HEAD_BYTES]
        head = head_of(beginning, self.dialect, self.file.name, is_whole=len(beginning) == len(utf8))
        names = self.names or head.names
        rows = by_arrow(utf8, head.skip, names, self.dialect, self.cells)
        return (rows, ()) if rows is not None else self._by_record(text_of(utf8), names)

    def _by_record(self, text: str, names: Sequence[str]) -> tuple[pa.Table, tuple[Reject, ...]]:
        """Read record by record, and refuse or reject the bad ones."""
        whole = records(text, self.dialect, self.file.name)
        found = itertools.islice(whole, 1 if self.dialect.header else 0, None)
        tables: list[pa.Table] = []
        bad: list[BadRow] = []
        while batch := list(itertools.islice(found, BATCH_ROWS)):
            rows, refused = by_record(batch, names, self.cells)
            tables.append(rows)
            bad += refused
            if self.on_bad_rows == "fail" and len(bad) > COUNTED_ROWS:
                break
        if bad and self.on_bad_rows == "fail":
            raise BadRowsError(complaint(self.file.name, bad, self.dialect))
        empty = pa.schema([(name, self.cells.types[name]) for name in self.cells.types]).empty_table()
        rejects = tuple(Reject(self.file.name, row.line, row.reason, row.text) for row in bad)
        return pa.concat_tables(tables) if tables else empty, rejects


def by_arrow(utf8: bytes, skip: int, names: Sequence[str], dialect: Dialect, cells: Cells) -> pa.Table | None:
    """Parse rows with Arrow; None when anything does not fit, or might be read otherwise than record by record.

    Parameters
    ----------
    utf8 : bytes
        A file's content.
    skip : int
        Bytes before the rows.
    names : sequence of str
        Columns in the order of the file.
    dialect : Dialect
        How cells are written.
    cells : Cells
        How they become values.
    """
    if not _is_plain(utf8, dialect):
        return None
    direct = {name for name in names if cells.is_direct(name)}
    if has_leading_zeros(utf8, dialect):
        direct -= {name for name in direct if pa.types.is_integer(cells.types[name])}
    body = pa.py_buffer(utf8).slice(skip)
    has_quotes = dialect.quote is not None and dialect.quote.encode() in utf8
    for chosen in (direct, set[str]()) if direct else (direct,):
        try:
            rows = pacsv.read_csv(pa.BufferReader(body), **_options(names, dialect, cells, chosen, has_quotes))
        except pa.ArrowInvalid:
            continue
        columns = _converted(rows, cells, chosen)
        if columns is not None:
            return pa.table(columns, names=list(cells.types))
    return None


def _converted(rows: pa.Table, cells: Cells, direct: Collection[str]) -> list[Any] | None:
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


def _options(
    names: Sequence[str], dialect: Dialect, cells: Cells, direct: Collection[str], has_quotes: bool
) -> dict[str, Any]:
    """Arrow's words for a dialect; columns that are not direct are read as text."""
    blank = [f" {word}" for word in cells.missing] if dialect.skip_initial_space else []
    return {
        "read_options": pacsv.ReadOptions(column_names=list(names), use_threads=False, block_size=BLOCK_BYTES),
        "parse_options": pacsv.ParseOptions(
            delimiter=dialect.separator,
            quote_char=dialect.quote or False,
            escape_char=dialect.escape or False,
            newlines_in_values=has_quotes or dialect.escape is not None,  # slower where it may be so
        ),
        "convert_options": pacsv.ConvertOptions(
            column_types={name: cells.types[name] if name in direct else pa.string() for name in names},
            null_values=[*cells.missing, *blank],
            true_values=list(TRUE_WORDS),
            false_values=list(FALSE_WORDS),
            strings_can_be_null=False,
        ),
    }


def _is_plain(utf8: bytes, dialect: Dialect) -> bool:
    """Whether Arrow's parser reads what the careful one does."""
    if b"\0" in utf8 or (dialect.comment is not None and dialect.comment.encode() in utf8):
        return False
    if dialect.quote is None:
        return True
    quote = dialect.quote.encode()
    if dialect.skip_initial_space and re.search(re.escape(dialect.separator).encode() + b" +" + quote, utf8):
        return False
    return utf8.count(quote) % 2 == 0  # an open quote swallows the rest of the file, and Arrow does not say so


def has_leading_zeros(utf8: bytes, dialect: Dialect) -> bool:
    """Whether some cell begins with 0 and another digit, or 0x: Arrow would make 7 of 007, and 31 of 0x1F.

    Examples
    --------
    >>> has_leading_zeros(b"1,007", Dialect()), has_leading_zeros(b"10,0,0.5,2020-01-02", Dialect())
    (True, False)
    """
    edges = f"{dialect.separator}{dialect.quote or ''}\r\n".encode()
    if _has_leading_zero(np.frombuffer(b"\n" + utf8[:8], dtype=np.uint8), edges):
        return True
    letters = np.frombuffer(utf8, dtype=np.uint8)
    return any(
        _has_leading_zero(letters[start : start + ZERO_BYTES + OVERLAP_BYTES], edges)
        for start in range(0, len(letters), ZERO_BYTES)
    )


def _has_leading_zero(letters: NDArray[np.uint8], edges: bytes) -> bool:
    """Whether an edge, blanks or a sign after it, then 0 and a digit or x stand somewhere."""
    edge, blank, sign = _among(letters, edges), letters == ord(" "), _among(letters, b"+-")
    begins = edge.copy()
    begins[1:] |= blank[1:] & (edge | blank)[:-1]
    begins[1:] |= sign[1:] & begins[:-1]
    places = np.flatnonzero(begins[:-2] & (letters[1:-1] == ord("0"))) + 2
    return bool(np.any(_among(letters[places], b"0123456789xX")))


def _among(letters: NDArray[np.uint8], words: bytes) -> NDArray[np.bool_]:
    """Which bytes are among some few; one comparison each is quicker than a table."""
    found: NDArray[np.bool_] = letters == words[0]
    for word in words[1:]:
        found |= letters == word
    return found


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that does not fit: its line, why, which column it was (if it was one), and its text."""

    line: int
    reason: str
    column: str | None
    text: str


def by_record(batch: Sequence[Record], names: Sequence[str], cells: Cells) -> tuple[pa.Table, list[BadRow]]:
    """Turn records into rows in the schema's order; what does not fit is left out and told.

    Parameters
    ----------
    batch : sequence of Record
        As cut from the text.
    names : sequence of str
        Columns in the order of the file.
    cells : Cells
        How cells become values.
    """
    bad: list[BadRow] = []
    good: list[Record] = []
    for record in batch:
        reason = _malformed(record, names)
        if reason is None:
            good.append(record)
        else:
            bad.append(BadRow(record.line, reason, None, readable(record.text[:SHOWN_TEXT])))
    columns: dict[str, Any] = {}
    first_misfit: dict[int, str] = {}
    by_column = zip(*(record.cells for record in good), strict=True) if good else [[] for _ in names]
    for name, text in zip(names, by_column, strict=True):
        columns[name], misfits = cells.convert(name, pa.array(text, pa.string()))
        for row in misfits:
            first_misfit.setdefault(int(row), name)
    for row, name in first_misfit.items():
        found, record = good[row].cells[names.index(name)], good[row]
        reason = f"column '{name}' is {found!r:.60}, not {cells.described(name)}"
        bad.append(BadRow(record.line, reason, name, record.text[:SHOWN_TEXT]))
    rows = pa.table([columns[name] for name in cells.types], names=list(cells.types))
    if first_misfit:
        keep = np.ones(len(good), dtype=bool)
        keep[list(first_misfit)] = False
        rows = rows.filter(pa.array(keep))
    return rows, sorted(bad, key=lambda row: row.line)


def _malformed(record: Record, names: Sequence[str]) -> str | None:
    """Why a record is no row at all; None when it is one."""
    if len(record.cells) != len(names):
        return f"{len(record.cells)} cells where there are {len(names)} columns"
    if record.cells == list(names):
        return "the header once more"
    if "\0" in record.text:
        return "a NUL byte"
    if has_undecoded(record.text):
        return "bytes that are not utf-8"
    return None


def complaint(name: str, bad: Sequence[BadRow], dialect: Dialect) -> str:
    """Say which rows are bad, and what can be done."""
    rows = [f"{name}, line {row.line}: {row.reason} ({row.text.strip()[:80]!r})." for row in bad[:SHOWN_ROWS]]
    if len(bad) > SHOWN_ROWS:
        more = f"{len(bad) - SHOWN_ROWS}{' or more' if len(bad) > COUNTED_ROWS else ''}"
        rows.append(f"{name} has {more} other bad rows, the next in line {bad[SHOWN_ROWS].line}.")
    columns = list(dict.fromkeys(row.column for row in bad if row.column is not None))
    reasons = {row.reason for row in bad if row.column is None}
    remedies = ["correct the file"]
    if columns:
        types = ", ".join(f"{key(column)} = 'string'" for column in columns[:SHOWN_ROWS])
        remedies.append(f"set dtypes = {{{types}}} to keep such values as text")
        remedies.append("name the word in na_values if it stands for a missing value")
    if any("cells" in reason for reason in reasons):
        remedies.append(f"check separator ({dialect.separator!r}), quote and skip_rows")
    if any("NUL" in reason or "utf-8" in reason for reason in reasons):
        remedies.append("set encoding to what the file is written in ('latin-1', 'cp1252', 'utf-16-le')")
    remedies.append("set on_bad_rows = 'reject' to leave such rows out and have them listed")
    return "\n".join([*rows, f"What to do: {'; or '.join(remedies)}."])
