"""JSON texts as the values of records: what JSON does not know is refused, and nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from daskflow.core.journal import plain
from daskflow.streams.records import Record

SHOWN = 60


def values_of(raw: bytes) -> tuple[dict[str, Any], str]:
    """Return the values of one JSON object, and what is wrong with the text; one of both is empty.

    Examples
    --------
    >>> values_of(b'{"year": 2015}')
    ({'year': 2015}, '')
    >>> values_of(b'{"year": NaN}')
    ({}, 'is not JSON: NaN is no value of it; null says that a value is missing')
    >>> values_of(b'[1]')
    ({}, 'is no object of values by column name: [1]')
    """
    try:
        found = DECODER.decode(raw.decode())
    except UnicodeDecodeError as error:
        return {}, f"is not UTF-8 text: {error.reason} at byte {error.start}"
    except (ValueError, RecursionError) as error:
        return {}, f"is not JSON: {error}"
    if not isinstance(found, dict):
        return (
            {},
            f"is no object of values by column name: {json.dumps(found)[:SHOWN]}{'...' if len(raw) > SHOWN else ''}",
        )
    return found, ""


def record_of(raw: bytes, *, id: str, partition: str, offset: Any, key: str | None = None) -> Record:
    """Return the record of one JSON object; of a text that is none, one with a problem.

    Parameters
    ----------
    raw : bytes
        The text.
    id, partition, offset
        As `Record` says.
    key : str or None
        Column whose value is the record's key; a record without that column has an empty one.
    """
    values, problem = values_of(raw)
    if problem:
        return Record(id, {}, partition, offset, raw=raw, problem=f"it {problem}")
    return Record(id, values, partition, offset, key=key_of(values, key), raw=raw)


def key_of(values: Mapping[str, Any], key: str | None) -> str:
    """Return the text of a column's value; empty where there is no such column, or no value.

    Examples
    --------
    >>> key_of({"a": 7}, "a"), key_of({"a": "x\\ud800"}, "a")
    ('7', 'x\\\\ud800')
    """
    value = None if key is None else values.get(key)
    return "" if value is None else whole_text(value) if isinstance(value, str) else json.dumps(value, default=str)


def whole_text(text: str) -> str:
    """Return a text with each half of a character pair, which JSON may hold and UTF-8 may not, written out."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def text_of(values: Mapping[str, Any]) -> bytes:
    """Return values as one JSON object in one line; not-a-number is null, a time ISO 8601 text.

    Examples
    --------
    >>> text_of({"id": "7", "x": float("nan"), "city": "Köln"}).decode()
    '{"id":"7","x":null,"city":"Köln"}'
    """
    try:
        return ENCODER.encode(values).encode()
    except ValueError:  # mostly there is nothing of the kind, and looking for it takes as long as writing
        return ENCODER.encode(plain(values)).encode(errors="replace")  # half of a character pair is no text


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else plain(value)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no value of it; null says that a value is missing")


DECODER = json.JSONDecoder(parse_constant=_refuse)
ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False, default=_plain)
