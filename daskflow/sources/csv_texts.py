"""Texts of large CSV files, read by place: plain files by seeking, compressed and wide-coded ones as streams."""

from __future__ import annotations

import codecs
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from daskflow.core.errors import DataError
from daskflow.sources.csv_bounds import LOOK_BACK
from daskflow.sources.csv_coding import Coding, undecodable
from daskflow.sources.csv_unpacking import READ_BYTES, Packing, unpacked_stream, unpacking
from daskflow.sources.reading import FoundFile, open_file, reason

KEPT_STREAMS = 4
"""Streams that a process keeps open between partitions, so that the next one of a file need not begin anew."""

KEPT_COUNTS = 1024


def line_ends(data: bytes) -> int:
    """Count the line ends in a text: line feeds, carriage returns, and both together as one.

    Examples
    --------
    >>> line_ends(b"a\\nb\\r\\nc\\rd")
    3
    """
    returns = data.count(b"\r") if b"\r" in data else 0
    return data.count(b"\n") + (returns - data.count(b"\r\n") if returns else 0)


class PlainText:
    """The text of a file that is not compressed, in a charset that keeps ASCII."""

    def __init__(self, file: FoundFile, opened: Any, coding: Coding) -> None:
        """Take an open file."""
        self._file, self._opened, self._mark = file, opened, coding.mark_bytes

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from start to stop; fewer at the end."""
        try:
            self._opened.seek(max(0, start) + self._mark)
            return bytes(self._opened.read(max(0, stop - max(0, start))))
        except OSError as error:
            raise DataError(f"{self._file.name}: {reason(error)}") from error

    def end(self, limit: int) -> int:
        """Return where the text ends."""
        return self._file.size_bytes - self._mark

    def lines_before(self, place: int) -> int:
        """Count the line ends before a place, from the nearest place where that is known."""
        known = _counts.nearest(self._file, place)
        at, lines = known
        while at < place:
            data = self.read(at, min(place, at + READ_BYTES))
            if not data:
                break
            lines += line_ends(data)
            if data.endswith(b"\r") and self.read(at + len(data), at + len(data) + 1) == b"\n":
                lines -= 1  # it is counted with the next bytes
            at += len(data)
        _counts.note(self._file, place, lines)
        return lines


class StreamText:
    """The text of a compressed or wide-coded file: read onwards, with what was read last kept.

    Parameters
    ----------
    file : FoundFile
        The file.
    coding : Coding
        Its encoding.
    packing : str
        How it is compressed.
    """

    def __init__(self, file: FoundFile, coding: Coding, packing: Packing) -> None:
        """Open it."""
        self._file, self._coding, self._packing = file, coding, packing
        self._opened = open_file(file)
        try:
            with unpacking(file):
                self._stream = unpacked_stream(file, self._opened, packing)
        except BaseException:
            self._opened.close()
            raise
        decoder = codecs.getincrementaldecoder(coding.encoding)("strict")
        self._decoder = None if coding.keeps_ascii else decoder
        self._to_skip = coding.mark_bytes
        self._n_read = 0
        self._is_over = False
        self._kept = bytearray()
        self.start = 0
        self._lines = 0

    def read(self, start: int, stop: int) -> bytes:
        """Return the text from start to stop; fewer at the end. What was let go cannot be read again."""
        self.end(stop)
        if start < self.start:
            raise IndexError(f"text from {start} is asked for, from {self.start} on is there")
        return bytes(memoryview(self._kept)[start - self.start : max(0, stop - self.start)])

    def end(self, limit: int) -> int:
        """Return where the text that was read ends, which is a limit or behind it unless the text is over."""
        while not self._is_over and self.start + len(self._kept) < limit:
            self._kept += self._more()
        return self.start + len(self._kept)

    def _more(self) -> bytes:
        """Unpack and decode some more."""
        with unpacking(self._file):
            data = bytes(self._stream.read(READ_BYTES))
        self._is_over = not data
        at = self._n_read
        self._n_read += len(data)
        data, self._to_skip = data[self._to_skip :], max(0, self._to_skip - len(data))
        if self._decoder is None:
            return data
        try:
            return self._decoder.decode(data, final=self._is_over).encode()
        except UnicodeError as error:
            raise undecodable(self._file.name, self._coding, at + getattr(error, "start", 0), error) from error

    def skip_to(self, place: int) -> None:
        """Read on to a place, and forget the text before it."""
        while not self._is_over and self.start + len(self._kept) < place:
            self._kept += self._more()
            self.let_go(place)

    def let_go(self, place: int) -> None:
        """Forget the text before a place."""
        n_bytes = min(place - self.start, len(self._kept) - 1)  # a line feed after the last byte would count twice
        if n_bytes <= 0:
            return
        gone = bytes(self._kept[: n_bytes + 1])
        self._lines += line_ends(gone[:n_bytes]) - gone[n_bytes - 1 :].startswith(b"\r\n")
        del self._kept[:n_bytes]
        self.start += n_bytes

    def lines_before(self, place: int) -> int:
        """Count the line ends before a place that is still there."""
        part = bytes(self._kept[: place - self.start + 1])
        n_bytes = place - self.start
        return self._lines + line_ends(part[:n_bytes]) - part[n_bytes - 1 :].startswith(b"\r\n") * (n_bytes > 0)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._opened.close()


@dataclass(slots=True)
class _Counts:
    """How many line ends stand before some places of some files, in this process."""

    known: OrderedDict[Any, tuple[int, int]] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def nearest(self, file: FoundFile, place: int) -> tuple[int, int]:
        """The last place before another one that was counted up to, and its count."""
        with self.lock:
            found = self.known.get(file)
        return found if found is not None and found[0] <= place else (0, 0)

    def note(self, file: FoundFile, place: int, lines: int) -> None:
        """Remember a count; the last one of each file."""
        with self.lock:
            self.known[file] = (place, lines)
            if len(self.known) > KEPT_COUNTS:
                self.known.popitem(last=False)


@dataclass(slots=True)
class _Streams:
    """Streams that wait for the next partition of their file, in this process."""

    waiting: OrderedDict[Any, StreamText] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: Any, start: int) -> StreamText | None:
        """Take a stream out that has not gone past a place."""
        with self.lock:
            found = self.waiting.get(key)
            return self.waiting.pop(key) if found is not None and found.start <= start else None

    def keep(self, key: Any, stream: StreamText) -> None:
        """Keep a stream for the next partition, and close what waits longest."""
        with self.lock:
            closing = [self.waiting.pop(key)] if key in self.waiting else []
            self.waiting[key] = stream
            if len(self.waiting) > KEPT_STREAMS:
                closing.append(self.waiting.popitem(last=False)[1])
        for one in closing:
            one.close()


_counts, _streams = _Counts(), _Streams()


@contextmanager
def opened_text(
    file: FoundFile, coding: Coding, packing: Packing, start: int, stop: int, *, is_last: bool
) -> Iterator[PlainText | StreamText]:
    """Open a file's text for one partition.

    Parameters
    ----------
    file : FoundFile
        The file.
    coding : Coding
        Its encoding.
    packing : str
        How it is compressed.
    start, stop : int
        Places between which the partition's rows begin.
    is_last : bool
        Whether no partition follows, so that a stream need not be kept.
    """
    if packing == "none" and coding.keeps_ascii:
        with open_file(file) as opened:
            yield PlainText(file, opened, coding)
        return
    key = (file, coding, packing)
    stream = _streams.take(key, max(0, start - LOOK_BACK)) or StreamText(file, coding, packing)
    try:
        stream.skip_to(start - LOOK_BACK)
        yield stream
    except BaseException:
        stream.close()
        raise
    if is_last:
        stream.close()
        return
    stream.let_go(stop - LOOK_BACK)
    _streams.keep(key, stream)
