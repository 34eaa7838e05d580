"""Arrow tables as bodies of requests and answers; what claims to be more than its bytes can hold is refused."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daskflow.streams.scoring import Answers
from daskflow.streams.serve_limits import MALFORMED, SIZE, TYPE, Limits, Refusal

ARROW = "application/vnd.apache.arrow.stream"

SCHEMA, DICTIONARY, BATCH = 1, 2, 3
"""Kinds of messages, as in Arrow's ``Message.fbs``."""

HEADER_TYPE, HEADER, BODY_LENGTH = 1, 2, 3
LENGTH, COMPRESSION, DATA = 0, 3, 1
"""Fields of a message, of a record batch in it, and of a dictionary's."""

CLOSER = frozenset(
    kind.id
    for kind in (
        pa.run_end_encoded(pa.int32(), pa.int32()),
        pa.string_view(),
        pa.binary_view(),
        pa.dictionary(pa.int32(), pa.string()),
    )
)
"""Types of Arrow whose values may stand for more bytes than they have."""


def table_of(body: bytes, columns: Collection[str], limits: Limits) -> pa.Table:
    """Read the table that is a request's body.

    Parameters
    ----------
    body : bytes
        An Arrow IPC stream, uncompressed.
    columns : collection of str
        Those that are looked at; others are passed over, unread.
    limits : Limits
        Of rows and bytes.

    Raises
    ------
    Refusal
        400 for what is no such stream or damaged, 413 for too many rows, 415 for a form that could swell.
    """
    wanted = frozenset(columns)
    try:
        _check_messages(body, limits)
        with pa.ipc.open_stream(body) as reader:
            schema = reader.schema
            names, kinds = schema.names, schema.types
            is_clear = len(set(names)) == len(names)
            for name, kind in zip(names, kinds, strict=True):
                if kind.id in CLOSER and name in wanted and (is_clear or names.count(name) == 1):
                    _check_type(name, kind)
            table = reader.read_all()
    except Refusal:
        raise
    except (pa.ArrowException, struct.error, IndexError, OSError, ValueError, OverflowError) as error:
        raise Refusal(400, MALFORMED, f"the body is no whole Arrow stream: {error}") from error
    if is_clear and not wanted.issuperset(names):
        table = table.select([name for name in names if name in wanted])
    try:
        table.validate(full=True)  # offsets and lengths are the client's word
    except (pa.ArrowException, ValueError) as error:
        raise Refusal(400, MALFORMED, f"the body's Arrow columns are damaged: {error}") from error
    if any(kind.id in CLOSER for kind in kinds):
        _check_dictionaries(table, limits)
    return table


def bytes_of(answers: Answers) -> bytes:
    """Return answers as an Arrow IPC stream: a row for each that was asked.

    Its columns are those that `daskflow predict` writes. Where rows have no answer theirs are null, and a column
    ``error`` says why.
    """
    table = answers.arrow()
    if answers.problems:
        at = np.full(answers.n_rows, -1, dtype=np.int64)
        at[answers.places] = np.arange(len(answers.places))
        table = table.take(pa.array(at, mask=at < 0))
        words = [None] * answers.n_rows
        for place, (_, sentence) in answers.problems.items():
            words[place] = sentence  # type: ignore[call-overload]  # a list of texts and gaps
        table = table.append_column("error", pa.array(words, pa.string()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _check_messages(body: bytes, limits: Limits) -> None:
    """Add up the rows of all record batches by their headers; refuse compressed ones, which could swell."""
    n_rows = 0
    for header in _headers(body):
        table = struct.unpack_from("<I", header)[0]
        kind = _number(header, table, HEADER_TYPE, "<B")
        if kind not in (DICTIONARY, BATCH):
            continue
        batch = _inner(header, table, HEADER)
        if kind == DICTIONARY:
            batch = _inner(header, batch, DATA)
        if _field(header, batch, COMPRESSION):
            raise Refusal(415, TYPE, "Arrow bodies are not compressed: leave compression out of the writer's options")
        if kind == BATCH:
            length = _number(header, batch, LENGTH, "<q")
            if length < 0:  # it would hide the rows of another
                raise ValueError("a header is damaged")
            n_rows += length
    if n_rows > limits.most_rows:
        raise Refusal(
            413, SIZE, f"a body may have {limits.most_rows:,} rows (it has {n_rows:,}): send them in several requests"
        )


def _headers(body: bytes) -> Iterator[bytes]:
    """Yield the header of each message of a stream, up to its end mark."""
    place = 0
    while place + 4 <= len(body):
        (length,) = struct.unpack_from("<I", body, place)
        place += 4
        if length == 0xFFFFFFFF:
            (length,) = struct.unpack_from("<I", body, place)
            place += 4
        if length == 0:
            return
        header = body[place : place + length]
        if len(header) < length:
            raise ValueError("a header goes beyond the end")
        yield header
        rest = _number(header, struct.unpack_from("<I", header)[0], BODY_LENGTH, "<q")
        if rest < 0:
            raise ValueError("a header is damaged")
        place += length + rest


def _field(header: bytes, table: int, field: int) -> int:
    """Place of a FlatBuffers table's field; 0 when it has its default."""
    names = table - struct.unpack_from("<i", header, table)[0]
    offset = 4 + 2 * field
    if names < 0 or offset + 2 > struct.unpack_from("<H", header, names)[0]:
        return 0
    distance = struct.unpack_from("<H", header, names + offset)[0]
    return table + int(distance) if distance else 0


def _number(header: bytes, table: int, field: int, form: str) -> int:
    at = _field(header, table, field)
    return int(struct.unpack_from(form, header, at)[0]) if at else 0


def _inner(header: bytes, table: int, field: int) -> int:
    """Place of the table that a field points to."""
    at = _field(header, table, field)
    if not at:
        raise ValueError("a header is damaged")
    return at + int(struct.unpack_from("<I", header, at)[0])


def _check_type(name: str, kind: Any) -> None:
    """Refuse types whose values may stand for many more bytes than they have."""
    swells = any(test(kind) for test in (pa.types.is_run_end_encoded, pa.types.is_string_view, pa.types.is_binary_view))
    if swells or (pa.types.is_dictionary(kind) and pa.types.is_nested(kind.value_type)):
        raise Refusal(415, TYPE, f"column '{name}' is {kind}: send it as plain values, text as string")


def _check_dictionaries(table: pa.Table, limits: Limits) -> None:
    """Refuse dictionaries that would be too large written out."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not pa.types.is_dictionary(column.type) or not _has_length(column.type.value_type):
            continue
        size = sum(
            pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0 for chunk in column.chunks
        )
        if size > 8 * limits.max_bytes:
            raise Refusal(
                413, SIZE, f"column '{name}' has {size:,} bytes written out; send the rows in several requests"
            )


def _has_length(kind: Any) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests)
