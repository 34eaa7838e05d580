"""Lines of one JSON file, from one byte to another: those that begin there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from daskflow.core.errors import BadRowsError
from daskflow.data.schema import Schema
from daskflow.data.table import Decoded, Fingerprint, Reject
from daskflow.sources.ahead import expect
from daskflow.sources.csv_unpacking import packing_of, unpacked
from daskflow.sources.json_rows import BadRow, Reader
from daskflow.sources.path_columns import with_constants
from daskflow.sources.reading import FoundFile, check_unchanged, hash_bytes, read_bytes, read_ranges

READ_BYTES = 1 << 20
SHOWN_ROWS = 3


@dataclass(frozen=True, slots=True)
class JsonPiece:
    """Lines of one file.

    Attributes
    ----------
    file : FoundFile
        As it was when it was planned.
    start, stop : int
        The lines that begin here and before there; all of a compressed file.
    place : int or None
        Which piece of the file; None when it is in one.
    reader : Reader
        How lines become rows.
    schema : Schema
        The columns, those that stand in the path included.
    constants : tuple of (str, object)
        Columns that stand in the path, and their values.
    on_bad_rows : str
        fail or reject.
    n_bytes : int
        Estimated size of the rows in memory.
    """

    file: FoundFile
    start: int
    stop: int
    place: int | None
    reader: Reader
    schema: Schema
    constants: tuple[tuple[str, Any], ...]
    on_bad_rows: str
    n_bytes: int

    @property
    def fingerprint(self) -> Fingerprint:
        """The file's; its name ends in ``#2`` for the third piece of a file with several."""
        name = self.file.name if self.place is None else f"{self.file.name}#{self.place}"
        return Fingerprint(name, self.file.size_bytes, self.file.modified_ns, self.file.place)

    @property
    def graph(self) -> None:
        """None: files have no graph."""
        return None

    @property
    def is_far(self) -> bool:
        """Whether it is in a store."""
        return self.file.storage is not None

    def expect(self) -> None:
        """Ask for the bytes of the file, or of the piece."""
        first, stop = (0, self.file.size_bytes) if self.place is None else (max(0, self.start - 1), self.stop)
        expect(self.file, [(first, stop - first)])

    def read(self, frame: Any = None) -> Decoded:
        """Decode the lines.

        Raises
        ------
        ChangedDataError
            When the file's size or time is not as planned, before or after reading.
        BadRowsError
            For lines that do not fit, unless they are rejected.
        DataError
            For a file that cannot be decompressed.
        """
        check_unchanged(self.file)
        data = read_bytes(self.file) if self.place is None else _own_lines(self.file, self.start, self.stop)
        rows, bad = self.reader.rows_of(unpacked(self.file, data, packing_of(self.file, "infer")))
        before = _lines_before(self.file, self.start) if bad and self.start else 0
        check_unchanged(self.file)
        if bad and self.on_bad_rows == "fail":
            raise BadRowsError(_complaint(self.file.name, bad, before))
        rejects = tuple(Reject(self.file.name, row.line + before, row.reason, row.text) for row in bad)
        types = {column.name: column.arrow_type for column in self.schema.columns}
        whole: pa.Table = with_constants(rows, self.constants, types)
        return Decoded(whole, rejects, hash_bytes(data))


def _own_lines(file: FoundFile, start: int, stop: int) -> bytes:
    """The lines that begin from start to before stop; the byte before says whether one begins at start."""
    first = max(0, start - 1)
    (part,) = read_ranges(file, [(first, stop - first)])
    data = bytes(part)
    if start:
        end = data.find(b"\n")
        if end < 0:
            return b""  # one line, which began before and goes on
        data = data[end + 1 :]
    if not data or data.endswith(b"\n"):
        return data
    pieces = [data]
    while stop < file.size_bytes:
        (part,) = read_ranges(file, [(stop, min(READ_BYTES, file.size_bytes - stop))])
        more = bytes(part)
        end = more.find(b"\n")
        pieces.append(more if end < 0 else more[: end + 1])
        if end >= 0:
            break
        stop += len(more)
    return b"".join(pieces)


def _lines_before(file: FoundFile, start: int) -> int:
    """The number of lines that begin before a place; asked only when a bad line is to be named."""
    count = 0
    for place in range(0, start, READ_BYTES):
        (part,) = read_ranges(file, [(place, min(READ_BYTES, start - place))])
        data = bytes(part)
        count += data.count(b"\n")
    is_within = not data.endswith(b"\n")
    return count + is_within


def _complaint(name: str, bad: Sequence[BadRow], before: int) -> str:
    """Name the first bad lines, and say what to do."""
    lines = [f"{name}, line {row.line + before}: {row.reason}. Line: {row.text!r:.200}" for row in bad[:SHOWN_ROWS]]
    more = [f"{len(bad) - SHOWN_ROWS} more lines of this partition do not fit."] if len(bad) > SHOWN_ROWS else []
    remedy = (
        "Correct them; say another type with dtypes; or leave such rows out, listed with file, line and reason: "
        "on_bad_rows = 'reject'."
    )
    return "\n".join([*lines, *more, remedy])
