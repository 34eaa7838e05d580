"""Bytes cut into lines, with memory for one line at most, however long it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MOST_HEAD = 64 * 1024
"""Bytes that are kept of a line that is too long."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank.

    Attributes
    ----------
    raw : bytes
        Without its end; of one that is too long the beginning.
    number : int
        From 1 on; blank lines count.
    end : int
        Byte behind it in what was cut.
    n_bytes : int
        Its length.
    """

    raw: bytes
    number: int
    end: int
    n_bytes: int


class LineCutter:
    """Cuts pieces of a text into lines.

    Parameters
    ----------
    most_bytes : int
        A longer line is not kept as a whole.
    number, at : int
        Lines and bytes that lie before the first piece.

    Examples
    --------
    >>> cutter = LineCutter(8)
    >>> [line.raw for line in cutter.cut(b"one\\n\\ntw")]
    [b'one']
    >>> [(line.raw, line.number, line.end) for line in cutter.cut(b"o\\r\\nrest")]
    [(b'two', 3, 10)]
    >>> [(line.raw, line.end) for line in cutter.rest()]
    [(b'rest', 14)]
    """

    def __init__(self, most_bytes: int, *, number: int = 0, at: int = 0) -> None:
        """Begin with nothing cut."""
        self._most_bytes, self._number, self._at = most_bytes, number, at
        self._begun = bytearray()
        self._n_bytes = 0

    def cut(self, piece: bytes) -> Iterator[Line]:
        """Yield the lines that end in a piece."""
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            self._add(piece[start:end])
            self._at += 1
            line = self._line()
            if line is not None:
                yield line
            start = end + 1
        self._add(piece[start:])

    def rest(self) -> Iterator[Line]:
        """Yield the last line when nothing ends it."""
        line = self._line() if self._n_bytes else None
        if line is not None:
            yield line

    def _add(self, part: bytes) -> None:
        self._n_bytes += len(part)
        self._at += len(part)
        if self._n_bytes <= self._most_bytes:
            self._begun += part
        else:
            self._begun += part[: max(0, MOST_HEAD - len(self._begun))]
            del self._begun[MOST_HEAD:]

    def _line(self) -> Line | None:
        raw, n_bytes = bytes(self._begun), self._n_bytes
        self._begun.clear()
        self._n_bytes = 0
        self._number += 1
        if self._number == 1:
            raw = raw.removeprefix(BYTE_ORDER_MARK)
        raw = raw.removesuffix(b"\r")
        return Line(raw, self._number, self._at, n_bytes) if raw.strip() else None
