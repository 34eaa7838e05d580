"""Where the messages of an Arrow IPC file or stream stand: found from their headers, without reading their bodies."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from daskflow.core.errors import ChangedDataError, DataError
from daskflow.sources.reading import FoundFile, read_ranges

MAGIC = b"ARROW1"
FIRST_VERSION = b"FEA1"
FILE_START = 8
TAIL_BYTES = 10
"""A file ends in the length of its footer and the magic letters."""

CONTINUATION = 0xFFFFFFFF
END = struct.pack("<II", CONTINUATION, 0)

SCHEMA, DICTIONARY, BATCH = 1, 2, 3
"""Kinds of messages, as in Arrow's ``Message.fbs``."""

HEADER_TYPE, HEADER, BODY_LENGTH = 1, 2, 3
LENGTH, COMPRESSION = 0, 3
"""Fields of a message, and of a record batch in it."""

LOOK_BYTES = 1 << 14
"""Read at a time: most headers fit."""


class Message(NamedTuple):
    """A message's place in its file, its length with header and body, and for record batches rows and compression."""

    start: int
    length: int
    kind: int
    n_rows: int = 0
    is_compressed: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The messages of a file.

    Attributes
    ----------
    file : FoundFile
        The file.
    schema : pyarrow.Schema
        Its columns.
    messages : tuple of Message
        In order; the first is the schema.
    is_stream : bool
        Whether dictionaries count from where they stand, as in a stream, and not from the beginning.
    """

    file: FoundFile
    schema: pa.Schema
    messages: tuple[Message, ...]
    is_stream: bool


def layout_of(file: FoundFile) -> Layout:
    """Find the messages of an Arrow file or stream.

    Raises
    ------
    DataError
        For files that are neither, are cut short, or whose headers are damaged.
    """
    where = f"{file.name} ({file.size_bytes} bytes)"
    reach = min(FILE_START, file.size_bytes)
    tail = min(TAIL_BYTES, file.size_bytes)
    start, last = read_ranges(file, [(0, reach), (file.size_bytes - tail, tail)])
    head, end = bytes(start), bytes(last)
    if head.startswith(FIRST_VERSION):
        raise DataError(f"{where} is Feather of version 1. Write it again with version 2.")
    is_stream = not head.startswith(MAGIC)
    stop = file.size_bytes
    if not is_stream:
        if not end.endswith(MAGIC) or file.size_bytes < FILE_START + len(end):
            raise DataError(
                f"{where} is cut short: it begins as an Arrow file and does not end as one. Write or copy it again."
            )
        stop -= len(end) + struct.unpack("<i", end[:4])[0]
    try:
        messages, is_ended = _walk(file, 0 if is_stream else FILE_START, stop)
        schema = _schema(file, messages)
    except (struct.error, IndexError, pa.ArrowException, OSError, ChangedDataError, ValueError) as error:
        if isinstance(error, DataError) and not isinstance(error, ChangedDataError):
            raise
        kind = "stream or file" if is_stream else "file"
        raise DataError(
            f"{where} is no whole Arrow {kind}: {error}. Write or copy it again, or use the kind it is."
        ) from error
    if is_stream and not is_ended:
        raise DataError(
            f"{where} is cut short, or its writer was not closed: an Arrow stream ends in a mark, and this one does "
            "not. Write or copy it again."
        )
    return Layout(file, schema, messages, is_stream)


def _walk(file: FoundFile, place: int, stop: int) -> tuple[tuple[Message, ...], bool]:
    """Go from header to header; say whether the end mark was met."""
    found: list[Message] = []
    look = _Look(file)
    while place + 4 <= stop:
        (first,) = struct.unpack("<I", look.at(place, 4))
        prefix = 4
        if first == CONTINUATION:
            (first,) = struct.unpack("<I", look.at(place + 4, 4))
            prefix = 8
        if first == 0:
            return tuple(found), True
        if place + prefix + first > stop:
            raise ValueError(f"a header at byte {place} goes beyond the end")
        message = _message(place, prefix, look.at(place + prefix, first))
        if place + message.length > stop:
            raise ValueError(f"a message at byte {place} goes beyond the end")
        found.append(message)
        place += message.length
    return tuple(found), False


class _Look:
    """A file's bytes here and there, read in pieces larger than asked."""

    def __init__(self, file: FoundFile) -> None:
        """Begin with nothing."""
        self.file = file
        self.start, self.data = 0, b""

    def at(self, place: int, length: int) -> bytes:
        """Return bytes from a place on."""
        if not self.start <= place <= place + length <= self.start + len(self.data):
            reach = min(max(length, LOOK_BYTES), self.file.size_bytes - place)
            (part,) = read_ranges(self.file, [(place, reach)])
            self.start, self.data = place, bytes(part)
        return self.data[place - self.start : place - self.start + length]


def _message(place: int, prefix: int, header: bytes) -> Message:
    """Read a message's header, a FlatBuffers table."""
    table = struct.unpack_from("<I", header)[0]
    kind = _number(header, table, HEADER_TYPE, "<B")
    body = _number(header, table, BODY_LENGTH, "<q")
    if body < 0 or kind not in (SCHEMA, DICTIONARY, BATCH):
        raise ValueError(f"the header at byte {place} is damaged")
    length = prefix + len(header) + body
    if kind != BATCH:
        return Message(place, length, kind)
    at = _field(header, table, HEADER)
    batch = at + struct.unpack_from("<I", header, at)[0]
    return Message(place, length, kind, _number(header, batch, LENGTH, "<q"), bool(_field(header, batch, COMPRESSION)))


def _field(header: bytes, table: int, field: int) -> int:
    """Place of a table's field; 0 when it has its default."""
    names = table - struct.unpack_from("<i", header, table)[0]
    size = struct.unpack_from("<H", header, names)[0]
    offset = 4 + 2 * field
    if offset + 2 > size:
        return 0
    distance = struct.unpack_from("<H", header, names + offset)[0]
    return table + distance if distance else 0


def _number(header: bytes, table: int, field: int, form: str) -> int:
    at = _field(header, table, field)
    return int(struct.unpack_from(form, header, at)[0]) if at else 0


def _schema(file: FoundFile, messages: tuple[Message, ...]) -> pa.Schema:
    """The columns, from the first message."""
    if not messages or messages[0].kind != SCHEMA:
        raise ValueError("it does not begin with a schema")
    (part,) = read_ranges(file, [(messages[0].start, messages[0].length)])
    return pa.ipc.open_stream(pa.BufferReader(bytes(part) + END)).schema.remove_metadata()


def needed(layout: Layout, batches: tuple[int, ...]) -> Iterator[Message]:
    """Yield the messages that decode some record batches: the schema, the dictionaries they see, and themselves.

    In a stream a dictionary counts from where it stands, and may be replaced or added to; in a file all count.
    """
    last = batches[-1] if batches else 0
    numbered = -1
    first: list[Message] = []
    then: list[Message] = []
    for message in layout.messages:
        numbered += message.kind == BATCH
        if message.kind == SCHEMA:
            yield message
        elif message.kind == DICTIONARY:
            if not layout.is_stream:
                first.append(message)
            elif numbered < last:
                then.append(message)
        elif numbered in batches:
            then.append(message)
    yield from first
    yield from then
