"""The text of a CSV file: unpacked, decoded, and cut into records that know their lines."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import itertools
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.sources.reading import FoundFile, open_file, reason

csv.field_size_limit(sys.maxsize)  # the default of 128 kB is a limit of the parser, not of the data; Arrow has none

BOM = "\ufeff"

HEAD_BYTES = 1 << 20
"""What is read to find the header; a header longer than that is none."""

SHOWN_TEXT = 500
"""Characters of a refused row that are kept."""

OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open}

PACKED_SUFFIXES = (*OPENERS, ".zst")

BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How cells are written, by the words of the ``csv`` source; see ``Csv``."""

    separator: str = ","
    encoding: str = "utf-8"
    header: bool = True
    quote: str | None = '"'
    escape: str | None = None
    decimal: str = "."
    thousands: str | None = None
    comment: str | None = None
    skip_rows: int = 0
    skip_initial_space: bool = False

    @property
    def is_utf8(self) -> bool:
        """Whether the file's bytes are what Arrow reads."""
        return codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig", "ascii")


class Record(NamedTuple):
    """One row as written; a plain tuple, for there are many.

    Attributes
    ----------
    cells : list of str
        As many as stand there.
    line : int
        Its first line; the file's first is 1.
    text : str
        Its lines as they are.
    """

    cells: list[str]
    line: int
    text: str


def unpacked(file: FoundFile, data: bytes) -> bytes:
    """Return a file's content, decompressed by its suffix.

    Raises
    ------
    DataError
        For data that is cut short or not of that kind.
    """
    name = file.name.lower()
    try:
        if name.endswith(".gz"):
            return gzip.decompress(data)
        if name.endswith(".bz2"):
            return bz2.decompress(data)
        if name.endswith(".zst"):
            return bytes(pa.input_stream(pa.BufferReader(data), compression="zstd").read())
    except (EOFError, OSError, ValueError, zlib.error, pa.ArrowException) as error:
        raise _damaged(file, error) from error
    return data


def beginning(file: FoundFile, n_bytes: int = HEAD_BYTES) -> bytes:
    """Return the first bytes of a file's decompressed content; less than asked when there is no more."""
    name = file.name.lower()
    with open_file(file) as opened:
        try:
            for suffix, opener in OPENERS.items():
                if name.endswith(suffix):
                    with opener(opened, "rb") as stream:
                        return bytes(stream.read(n_bytes))
            if name.endswith(".zst"):
                with pa.input_stream(opened, compression="zstd") as stream:
                    return bytes(stream.read(n_bytes))
            return bytes(opened.read(n_bytes))
        except PermissionError as error:
            raise DataError(f"{file.name}: {reason(error)}") from error
        except (EOFError, OSError, ValueError, zlib.error, pa.ArrowException) as error:
            raise _damaged(file, error) from error


def _damaged(file: FoundFile, error: Exception) -> DataError:
    return DataError(
        f"{file.name} ({file.size_bytes} bytes) cannot be decompressed: {error}. It is cut short, or not what its "
        "suffix says. Copy it again, or rename it."
    )


def as_utf8(data: bytes, dialect: Dialect, name: str, *, is_whole: bool = True) -> bytes:
    """Return a file's content as UTF-8 without byte order mark.

    Content that is said to be UTF-8 is not checked here, so that its bad rows can be named one by one.

    Raises
    ------
    DataError
        With the place of the first byte that another encoding does not have.
    """
    marked = next((word for mark, word in BYTE_ORDER_MARKS.items() if data.startswith(mark)), None)
    if dialect.is_utf8:
        if marked:
            raise DataError(f"{name} begins with the mark of {marked}, not of utf-8: set encoding = '{marked}'.")
        return data.removeprefix(codecs.BOM_UTF8)
    decoder = codecs.getincrementaldecoder(dialect.encoding)("strict")
    try:
        return decoder.decode(data, final=is_whole).removeprefix(BOM).encode()
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = data.count(b"\n", 0, start) + 1
        raise DataError(
            f"{name}, line {line}: byte {start} ({data[start : start + 1]!r}) is not {dialect.encoding} "
            f"({getattr(error, 'reason', error)}). Set encoding to what the file is written in, such as 'utf-8', "
            "'latin-1' or 'cp1252'."
        ) from error


def text_of(utf8: bytes) -> str:
    """Decode UTF-8; bytes that are none become surrogates, one each."""
    return utf8.decode("utf-8", "surrogateescape")


def has_undecoded(text: str) -> bool:
    """Whether a text of `text_of` has bytes that are no UTF-8.

    Examples
    --------
    >>> has_undecoded("é"), has_undecoded("a\\udce9")
    (False, True)
    """
    return not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text)


def readable(text: str) -> str:
    """Return a text with undecoded bytes written as ``\\xe9``, so that it can be stored and shown.

    Examples
    --------
    >>> print(readable("caf\\udce9"))
    caf\\xe9
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _Lines:
    """Lines of a text, counted, with those of the record being read kept; comment lines are passed over."""

    def __init__(self, text: str, dialect: Dialect) -> None:
        self._lines = io.StringIO(text, newline="")
        self._comment = dialect.comment
        self.count = sum(1 for _ in itertools.islice(self._lines, dialect.skip_rows))
        self.taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.count += 1
        while self._comment is not None and not self.taken and line.startswith(self._comment):
            line = next(self._lines)
            self.count += 1
        self.taken.append(line)
        return line


def records(text: str, dialect: Dialect, name: str, *, is_whole: bool = True) -> Iterator[Record]:
    """Cut a text into records; blank lines, comments and the first ``skip_rows`` lines are passed over.

    Parameters
    ----------
    text : str
        From the beginning of the file.
    dialect : Dialect
        How cells are written.
    name : str
        The file's, for messages.
    is_whole : bool
        Whether the text is the whole file; otherwise the last record, which may be cut, is left out.

    Raises
    ------
    DataError
        For a quoted cell that never ends.
    """
    lines = _Lines(text, dialect)
    quoting: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if dialect.quote is None else {"quotechar": dialect.quote}
    options = {
        "delimiter": dialect.separator,
        "escapechar": dialect.escape,
        "skipinitialspace": dialect.skip_initial_space,
        **quoting,
    }
    last: Record | None = None
    for cells in csv.reader(lines, **options):
        if last is not None:
            yield last
        # a line of nothing but its end is no row, as in pandas and Arrow
        last = Record(cells, lines.count - len(lines.taken) + 1, "".join(lines.taken)) if cells else None
        lines.taken.clear()
    if last is not None and is_whole:
        _check_quote_ends(last, options, name)
        yield last


def _check_quote_ends(record: Record, options: dict[str, Any], name: str) -> None:
    """Refuse a last record whose quote is still open: it has swallowed rows."""
    try:
        for _ in csv.reader(io.StringIO(record.text, newline=""), strict=True, **options):
            pass
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise DataError(
                f"{name}, line {record.line}: a quoted cell begins here and never ends ({record.text[:60]!r}). Correct "
                f"it; or set quote = '' under [data] when {options.get('quotechar')} is an ordinary character here."
            ) from error


@dataclass(frozen=True, slots=True)
class Head:
    """How a file begins.

    Attributes
    ----------
    names : tuple of str
        Of the header, as written; without one, of as many columns as the first row has.
    line : int
        Line of the header, or of the first row.
    skip : int
        Bytes of UTF-8 before the rows.
    """

    names: tuple[str, ...]
    line: int
    skip: int


def head_of(utf8: bytes, dialect: Dialect, name: str, *, is_whole: bool) -> Head:
    """Find a file's columns and where its rows begin.

    Parameters
    ----------
    utf8 : bytes
        Its content, or the beginning of it.
    dialect : Dialect
        How cells are written.
    name : str
        The file's, for messages.
    is_whole : bool
        Whether `utf8` is all of it.

    Raises
    ------
    DataError
        For a file without a line, and for a header in another encoding.
    """
    text = text_of(utf8)
    first = next(records(text, dialect, name, is_whole=is_whole), None)
    if first is None:
        raise DataError(
            f"{name} has no {'header' if dialect.header else 'row'}: it is empty, but for blank lines"
            + (f", comments and the {dialect.skip_rows} lines that skip_rows leaves out" if dialect.skip_rows else "")
            + ". Write it again, or take it out of the path."
        )
    if has_undecoded(first.text) or "\0" in first.text:
        found = "is not utf-8" if has_undecoded(first.text) else "holds NUL bytes"
        raise DataError(
            f"{name}, line {first.line}: the first row {found} ({readable(first.text[:60])!r}). "
            "Set encoding to what the file is written in, such as 'latin-1', 'cp1252' or 'utf-16-le'."
        )
    if not dialect.header:
        return Head(tuple(f"column_{place}" for place in range(len(first.cells))), first.line, _skip(text, first.line))
    names = tuple(cell.lstrip(" ") if dialect.skip_initial_space else cell for cell in first.cells)
    end = first.line + len(io.StringIO(first.text, newline="").readlines())
    return Head(tuple(word or f"Unnamed: {place}" for place, word in enumerate(names)), first.line, _skip(text, end))


def _skip(text: str, line: int) -> int:
    """How many bytes stand before a line."""
    before = itertools.islice(io.StringIO(text, newline=""), line - 1)
    return sum(len(one.encode("utf-8", "surrogateescape")) for one in before)
