"""A partition of a CSV source: a file, or the records that begin between two places of a large one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.data.table import Decoded, Fingerprint
from daskflow.sources.ahead import expect
from daskflow.sources.csv_bounds import LOOK_BACK, Boundary, boundary, has_marks, machine
from daskflow.sources.csv_coding import as_text
from daskflow.sources.csv_decode import decode
from daskflow.sources.csv_dialect import Dialect
from daskflow.sources.csv_text import Head
from daskflow.sources.csv_texts import PlainText, StreamText, line_ends, opened_text
from daskflow.sources.csv_types import Cells
from daskflow.sources.csv_unpacking import MAX_TEXT_BYTES, Packing, too_much, unpacked
from daskflow.sources.csv_walks import RECORD, last_record, walk
from daskflow.sources.path_columns import with_constants
from daskflow.sources.reading import FoundFile, check_unchanged, hash_bytes, read_bytes

FOOTER_BYTES = 1 << 20
"""Text in which the lines of ``skip_footer`` must stand."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the text of all files of a source becomes rows.

    Attributes
    ----------
    dialect : Dialect
        How cells are written.
    cells : Cells
        How they become values; its types are the table's columns in order.
    on_bad_rows : str
        fail or reject.
    beside : mapping of str to pyarrow.DataType
        Types of the columns that stand in the names of files and folders.
    """

    dialect: Dialect
    cells: Cells
    on_bad_rows: Literal["fail", "reject"]
    beside: Mapping[str, pa.DataType] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Learned:
    """What files that come later have in common with those that were looked at.

    Attributes
    ----------
    names : tuple of str
        Columns of the files, in any order.
    cells : Cells
        How text becomes values; its types are the table's columns in order.
    """

    names: tuple[str, ...]
    cells: Cells


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a file's text.

    Attributes
    ----------
    number : int
        Its place among the parts, from 0.
    start, stop : int
        The records that begin at `start` or behind it, and before `stop`, belong to it; the last part has no stop but
        `MAX_TEXT_BYTES` beyond its start.
    is_last : bool
        Whether no part follows.
    """

    number: int
    start: int
    stop: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class CsvPiece:
    """One CSV file, or a part of it.

    Attributes
    ----------
    file : FoundFile
        As it was when it was planned.
    packing : str
        How it is compressed.
    head : Head
        Its columns, and where its rows begin.
    recipe : Recipe
        How text becomes rows.
    n_bytes : int
        Estimated size of the rows in memory.
    constants : tuple of (str, object)
        Names and values of the columns that stand in its name.
    span : Span or None
        The part; None for all of the file.
    """

    file: FoundFile
    packing: Packing
    head: Head
    recipe: Recipe
    n_bytes: int
    constants: tuple[tuple[str, Any], ...] = ()
    span: Span | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        """The file's; its name ends in ``#2`` for the third part of a file with several."""
        whole = self.file.fingerprint
        if self.span is None:
            return whole
        return Fingerprint(f"{whole.name}#{self.span.number}", whole.size_bytes, whole.modified_ns, whole.place)

    @property
    def graph(self) -> None:
        """None: files have no graph."""
        return None

    @property
    def is_far(self) -> bool:
        """Whether it is in a store."""
        return self.file.storage is not None

    def expect(self) -> None:
        """Ask for the bytes of a whole file, or of a part of a plain one of this machine."""
        if self.span is None:
            expect(self.file, [(0, self.file.size_bytes)])
        elif self.packing == "none" and not self.is_far:
            expect(self.file, [(self.span.start, min(self.span.stop, self.file.size_bytes) - self.span.start)])

    def read(self, frame: Any = None) -> Decoded:
        """Decode the file, or the part.

        Raises
        ------
        ChangedDataError
            When its size or time is not as planned, before or after reading.
        BadRowsError
            For rows that do not fit, unless they are rejected.
        DataError
            For a file that cannot be decompressed or decoded, and for a quoted cell that never ends.
        """
        check_unchanged(self.file)
        return self._whole() if self.span is None else self._part(self.span)

    def _whole(self) -> Decoded:
        """Decode all of the file."""
        data = read_bytes(self.file)
        check_unchanged(self.file)
        text = as_text(unpacked(self.file, data, self.packing), self.head.coding, self.file.name)
        begin = self.head.skip
        end = len(text) - footer_bytes(text, self.recipe.dialect, self.file.name)
        return self._decoded(text[begin:end], hash_bytes(data), lambda: 1 + line_ends(text[:begin]))

    def _part(self, span: Span) -> Decoded:
        """Decode a part of the file."""
        stop = span.stop if not span.is_last else span.start + MAX_TEXT_BYTES
        coding = self.head.coding
        with opened_text(self.file, coding, self.packing, span.start, stop, is_last=span.is_last) as text:
            first = self._boundary(text, span.start)
            last = self._last(text, span)
            end = max(first.place, last.place)
            body = text.read(first.place, end)
            if not last.is_sure:
                self._check_state(text, body, first.place, span.stop, last)
            body = body[: max(0, self._end_of_rows(text, end) - first.place)]
            line = 1 + text.lines_before(first.place) if isinstance(text, StreamText) else 0
        check_unchanged(self.file)
        return self._decoded(body, hash_bytes(body), lambda: line or self._line(first.place))

    def _decoded(self, body: bytes, content_hash: str, line: Any) -> Decoded:
        recipe = self.recipe
        is_lenient = recipe.on_bad_rows == "reject"
        rows = decode(body, self.head, recipe.dialect, recipe.cells, name=self.file.name, rejects=is_lenient, line=line)
        return Decoded(with_constants(rows.table, self.constants, recipe.beside), rows.rejects, content_hash)

    def _boundary(self, text: PlainText | StreamText, place: int) -> Boundary:
        found = boundary(text, place, self.head.skip, self.recipe.dialect)
        return replace(found, place=min(found.place, text.end(found.place)))  # a planned part may lie behind the end

    def _last(self, text: PlainText | StreamText, span: Span) -> Boundary:
        """Where the part ends."""
        if not span.is_last:
            return self._boundary(text, span.stop)
        limit = span.start + MAX_TEXT_BYTES
        end = text.end(limit + 1)
        if end > limit:
            raise too_much(self.file)
        return Boundary(end, RECORD, True)

    def _check_state(self, text: PlainText | StreamText, body: bytes, begin: int, stop: int, last: Boundary) -> None:
        """Refuse a quoted cell that is longer than what is looked back to find out of it."""
        dialect, walked = self.recipe.dialect, body[: max(0, stop - begin)]
        if begin > stop:  # the record before is longer than the part, and ends where the next part begins
            if begin == last.place:
                return
            where = f"a quoted cell before line {1 + text.lines_before(begin)}"
        else:
            if not has_marks(body, dialect) or walk(walked, machine(dialect), RECORD) == last.state:
                return
            place = begin + last_record(walked, machine(dialect))
            where = f"a quoted cell that begins in line {1 + text.lines_before(place)}"
        raise DataError(
            f"{self.file.name}: {where} is longer than {LOOK_BACK >> 20} MiB, so it has swallowed rows. Correct it; or "
            f"set quote = '' under [data] when {dialect.quote} is an ordinary character here; or raise partition_bytes "
            "above the size of the file when such a cell is right."
        )

    def _end_of_rows(self, text: PlainText | StreamText, end: int) -> int:
        """Where the rows end: at the part's end, or at a footer before it."""
        if not self.recipe.dialect.skip_footer:
            return end
        behind = len(text.read(end, end + FOOTER_BYTES))
        if behind == FOOTER_BYTES:
            return end
        begin = max(0, end + behind - 2 * FOOTER_BYTES)
        tail = text.read(begin, end + behind)
        return min(end, end + behind - footer_bytes(tail, self.recipe.dialect, self.file.name))

    def _line(self, place: int) -> int:
        """The line at which a place of a plain file stands."""
        with opened_text(self.file, self.head.coding, self.packing, 0, 0, is_last=True) as text:
            return 1 + text.lines_before(place)


def footer_bytes(text: bytes, dialect: Dialect, name: str) -> int:
    """Return how many bytes the footer of a text has: its last lines, and blank lines behind them.

    Raises
    ------
    DataError
        When they are longer than can be.

    Examples
    --------
    >>> footer_bytes(b"a,b\\n1,2\\nTotal: 1\\n\\n", Dialect(skip_footer=1), "a.csv")
    10
    """
    if not dialect.skip_footer:
        return 0
    tail = text[-FOOTER_BYTES:]
    lines = tail.rstrip(b"\r\n \t").splitlines(keepends=True)
    if len(lines) <= dialect.skip_footer and len(tail) < len(text):
        raise DataError(f"{name}: its last {dialect.skip_footer} lines, which skip_footer leaves out, exceed 1 MiB.")
    return len(tail) - sum(len(line) for line in lines[: -dialect.skip_footer])
