"""The text of a CSV file, cut into records that know their lines; and how a file begins."""

from __future__ import annotations

import csv
import io
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from daskflow.core.errors import DataError
from daskflow.sources.csv_bounds import is_open
from daskflow.sources.csv_coding import USUAL, Coding, as_utf8
from daskflow.sources.csv_dialect import Dialect

csv.field_size_limit(sys.maxsize)  # the default of 128 kB is a limit of the parser, not of the data; Arrow has none

HEAD_BYTES = 1 << 20
"""What is read to find the header; a header longer than that is none."""

SHOWN_TEXT = 500
"""Characters of a refused row that are kept."""


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

    def __init__(self, text: str, dialect: Dialect, first_line: int) -> None:
        self._lines = io.StringIO(text, newline="")
        self._comment = dialect.comment
        self.count = first_line - 1
        if first_line == 1:
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


def records(text: str, dialect: Dialect, name: str, *, is_whole: bool = True, first_line: int = 1) -> Iterator[Record]:
    """Cut a text into records; blank lines, comments and the first ``skip_rows`` lines are passed over.

    Parameters
    ----------
    text : str
        From the beginning of the file; or from another record on.
    dialect : Dialect
        How cells are written.
    name : str
        The file's, for messages.
    is_whole : bool
        Whether the text goes to the end of the file; otherwise the last record, which may be cut, is left out.
    first_line : int
        Line at which the text begins; ``skip_rows`` lines are passed over when it is the first.

    Raises
    ------
    DataError
        For a quoted cell that never ends.
    """
    lines = _Lines(text, dialect, first_line)
    quoting: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if dialect.quote is None else {"quotechar": dialect.quote}
    options = {
        "delimiter": dialect.separator,
        "escapechar": dialect.escape,
        "doublequote": dialect.double_quote,
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
        _check_end(last, dialect, name)
        yield last


def _check_end(record: Record, dialect: Dialect, name: str) -> None:
    """Refuse a last record that goes on: a quote that is still open has swallowed rows."""
    if not is_open(record.text.encode("utf-8", "surrogateescape"), dialect):
        return
    if dialect.escape is not None and record.text.endswith(dialect.escape):
        raise DataError(
            f"{name}, line {record.line}: the text ends with {dialect.escape!r}, which is to escape what follows "
            f"({record.text[-60:]!r}). The file is cut short, or escape is another character."
        )
    raise DataError(
        f"{name}, line {record.line}: a quoted cell begins here and never ends ({record.text[:60]!r}). Correct "
        f"it; or set quote = '' under [data] when {dialect.quote} is an ordinary character here."
    )


@dataclass(frozen=True, slots=True)
class Head:
    """How a file begins.

    Attributes
    ----------
    names : tuple of str
        Of the columns, in the order of the file; without a header, of as many as the first row has.
    header : tuple of str
        The header as written; empty without one.
    line : int
        Line of the header, or of the first row.
    skip : int
        Bytes of text before the rows.
    coding : Coding
        Its encoding.
    """

    names: tuple[str, ...]
    header: tuple[str, ...] = ()
    line: int = 1
    skip: int = 0
    coding: Coding = Coding()  # noqa: RUF009  a frozen value

    def is_repeated(self, cells: Sequence[str]) -> bool:
        """Whether a row is the header once more; with a single column it may as well be a value."""
        return len(cells) > 1 and tuple(cells) == self.header


def head_of(text: bytes, coding: Coding, dialect: Dialect, name: str, *, is_whole: bool) -> Head:
    """Find a file's columns and where its rows begin.

    Parameters
    ----------
    text : bytes
        Its text, or the beginning of it.
    coding : Coding
        Its encoding.
    dialect : Dialect
        How cells are written.
    name : str
        The file's, for messages.
    is_whole : bool
        Whether `text` is all of it.

    Raises
    ------
    DataError
        For a file without a line, and for a header in another encoding.
    """
    letters = text_of(as_utf8(text, coding.charset))
    first = next(records(letters, dialect, name, is_whole=is_whole), None)
    if first is None:
        raise DataError(
            f"{name} has no {'header' if dialect.header else 'row'}: it is empty, but for blank lines"
            + (f", comments and the {dialect.skip_rows} lines that skip_rows leaves out" if dialect.skip_rows else "")
            + ". Write it again, or take it out of the path."
        )
    if has_undecoded(first.text) or "\0" in first.text:
        found = f"is not {coding.encoding}" if has_undecoded(first.text) else "holds NUL bytes"
        raise DataError(
            f"{name}, line {first.line}: the first row {found} ({readable(first.text[:60])!r}). "
            f"Set encoding to what the file is written in, such as {USUAL}."
        )
    end = first.line
    names = tuple(f"column_{place}" for place in range(len(first.cells)))
    if dialect.header:
        end += len(io.StringIO(first.text, newline="").readlines())
        names = tuple(word or f"Unnamed: {place}" for place, word in enumerate(first.cells))
    header = tuple(first.cells) if dialect.header else ()
    return Head(names, header, first.line, _bytes_before(letters, end, coding.charset), coding)


def _bytes_before(letters: str, line: int, charset: str) -> int:
    """How many bytes of text stand before a line."""
    before = itertools.islice(io.StringIO(letters, newline=""), line - 1)
    return sum(len(one.encode(charset, "surrogateescape")) for one in before)
