"""What one message carries: a JSON object that is a record, within a bound of size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from daskflow.streams.json_records import text_of, values_of
from daskflow.streams.records import Record, Result

MOST_BYTES = 8 << 20
"""Bytes of one record, by default; a larger one is put aside."""

ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)

KEPT_BYTES = 1000
"""Bytes that are kept of a record that is too large."""


def record_of(
    raw: bytes, *, id: str, partition: str, offset: Any, most_bytes: int = MOST_BYTES, key: str | None = None
) -> Record:
    """Return a record of one JSON object; with a problem where it is none.

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
    >>> place = {"partition": "", "offset": 1}
    >>> record_of(b'{"a": 1}', id="7", key="a", **place).key, record_of(b"[1]", id="8", **place).problem
    ('1', "is no object of values by column name: b'[1]'")
    """
    if len(raw) > most_bytes:
        problem = f"has {len(raw):,} bytes; at most {most_bytes:,} are taken (max_bytes)"
        return Record(id, {}, partition, offset, raw=raw[:KEPT_BYTES], problem=problem, reason="size")
    values, problem = values_of(raw)
    return Record(id, values, partition, offset, key=key_of(values, key), raw=raw, problem=problem)


def key_of(values: Mapping[str, Any], column: str | None) -> str:
    """Return the key of a record: text as it is, other values as JSON; empty where there is none."""
    found = None if column is None else values.get(column)
    if found is None:
        return ""
    return found if isinstance(found, str) else json.dumps(found, sort_keys=True)


def id_of(values: Mapping[str, Any], column: str | None, otherwise: str) -> str:
    """Return the ID that a record names by itself in a column, else the one of its place."""
    return key_of(values, column) or otherwise


def answer_of(result: Result) -> bytes:
    """Return what a sink is told: ID and answer as one JSON object."""
    return ENCODER.encode(result.flat).encode()
