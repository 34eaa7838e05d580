"""What one message carries: a JSON object that is a record, within a bound of size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daskflow.streams.json_records import key_of, record_of
from daskflow.streams.records import Record

MOST_BYTES = 8 << 20
"""Bytes of one record, by default; a larger one is put aside."""

KEPT_BYTES = 1000
"""Bytes that are kept of a record that is too large."""


def bounded_record(
    raw: bytes, *, id: str, partition: str, offset: Any, most_bytes: int = MOST_BYTES, key: str | None = None
) -> Record:
    """Return a record of one JSON object; with a problem where it is none, or has too many bytes.

    Parameters
    ----------
    raw : bytes
        As it came.
    id, partition, offset
        The record's.
    most_bytes : int
        It may have.
    key : str, optional
        Column that orders records.

    Examples
    --------
    >>> bounded_record(b'{"a": 1}', id="7", partition="", offset=1, most_bytes=5).problem
    'it has 8 bytes; at most 5 are taken (max_bytes)'
    """
    if len(raw) > most_bytes:
        problem = f"it has {len(raw):,} bytes; at most {most_bytes:,} are taken (max_bytes)"
        return Record(id, {}, partition, offset, raw=raw[:KEPT_BYTES], problem=problem, reason="size")
    return record_of(raw, id=id, partition=partition, offset=offset, key=key)


def id_of(values: Mapping[str, Any], column: str | None, otherwise: str) -> str:
    """Return the ID that a record names by itself in a column, else the one of its place."""
    return key_of(values, column) or otherwise
