"""Answers of a polled endpoint: their bytes as records, each within the answer by its place."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from daskflow.core.errors import DataError
from daskflow.data.http_client import Answer
from daskflow.data.http_policy import TryAgainError
from daskflow.streams.addresses import at_path
from daskflow.streams.json_records import DECODER

KEPT_BYTES = 1000
"""Bytes that are kept of an answer that cannot be read."""

BOM = b"\xef\xbb\xbf"

LINES = ("ndjson", "jsonl", "json-lines", "jsonlines", "json-seq")
"""In a content type: one JSON object to a line."""


@dataclass(frozen=True, slots=True)
class Item:
    """One record of an answer.

    Attributes
    ----------
    raw : bytes
        Its text.
    problem, reason : str
        Why it cannot be read, as in `records.Record`; empty when that is to be seen.
    """

    raw: bytes
    problem: str = ""
    reason: str = "malformed"


@dataclass(frozen=True, slots=True)
class Items:
    """What an answer holds.

    Attributes
    ----------
    items : list of Item
        In the answer's order.
    whole : object
        The answer as JSON; None where it is none, or is lines.
    """

    items: list[Item]
    whole: Any = None


async def body_of(answer: Answer, most_bytes: int) -> bytes | None:
    """Return the bytes of an answer, at most so many; None when there are more.

    Raises
    ------
    DataError
        When it is compressed in a way that was not asked for.
    TryAgainError
        When it breaks off.
    """
    coding = answer.headers.get("Content-Encoding", "identity").strip().lower().removeprefix("x-")
    if coding not in ("", "identity", "gzip"):
        raise DataError(f"{answer.address}: the server compressed it ({coding:.20}), though it was asked not to.")
    gzip = _Gzip(most_bytes) if coding == "gzip" else None
    parts: list[bytes] = []
    n_bytes = 0
    async for data in answer.chunks():
        try:
            plain = data if gzip is None else gzip.unpacked(data)
        except zlib.error:
            raise DataError(f"{answer.address}: it is damaged: it says gzip and is none.") from None
        parts.append(plain)
        n_bytes += len(plain)
        if n_bytes > most_bytes or (gzip is not None and gzip.is_too_large):
            return None
    if gzip is not None and not gzip.is_whole:
        raise TryAgainError("the answer broke off: its gzip has no end")
    return b"".join(parts)


class _Gzip:
    """Unpacks an answer member by member (RFC 1952, 2.2), and no more of it than may be.

    Attributes
    ----------
    is_too_large : bool
        Whether it was cut off.
    is_whole : bool
        Whether it may end here.
    """

    def __init__(self, most_bytes: int) -> None:
        """Begin before the first member."""
        self._most_bytes, self._n_packed = most_bytes, 0
        self._member = zlib.decompressobj(31)
        self.is_too_large, self.is_whole = False, True

    def unpacked(self, data: bytes) -> bytes:
        """Return what bytes of it hold; zlib.error when it is no gzip."""
        self._n_packed += len(data)
        parts: list[bytes] = []
        n_bytes = 0
        while data and not self.is_too_large:
            if self._member.eof:
                data = data.lstrip(b"\0")  # some pad the end
                if not data:
                    break
                self._member = zlib.decompressobj(31)
            parts.append(self._member.decompress(data, self._most_bytes + 1))
            n_bytes += len(parts[-1])
            is_long = n_bytes > self._most_bytes or bool(self._member.unconsumed_tail)
            self.is_too_large = is_long or self._n_packed > 2 * self._most_bytes + KEPT_BYTES  # members may be empty
            self.is_whole, data = self._member.eof, self._member.unused_data
        return b"".join(parts)


def items_of(body: bytes, content_type: str, path: str) -> Items:
    """Return the records of an answer.

    Parameters
    ----------
    body : bytes
        Whole.
    content_type : str
        As the server says; it may say that these are lines.
    path : str
        Where they stand in it, such as ``data.items``; empty for the answer itself.

    Examples
    --------
    >>> [item.raw for item in items_of(b'{"data": [{"a": 1}, {"a": 2}]}', "application/json", "data").items]
    [b'{"a": 1}', b'{"a": 2}']
    >>> [item.raw for item in items_of(b'{"a": 1}\\n{"a": 2}\\n', "application/x-ndjson", "").items]
    [b'{"a": 1}', b'{"a": 2}']
    """
    body = body.removeprefix(BOM)
    if not body.strip():
        return Items([])
    if any(word in content_type.lower() for word in LINES):
        return Items(list(_lines(body)))
    try:
        whole = DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        if not path and body.strip().count(b"\n"):
            lines = list(_lines(body))
            if _is_object(lines[0].raw):
                return Items(lines)
        return Items([Item(body[:KEPT_BYTES], f"it is an answer that is not JSON: {error}")])
    found = at_path(whole, path)
    if isinstance(found, Mapping):
        found = [found]
    if found is None and not path:
        return Items([], whole)
    if not isinstance(found, list):
        where = f"at '{path}'" if path else "in it"
        return Items([Item(body[:KEPT_BYTES], f"it is an answer without an array {where} (items)")], whole)
    return Items([Item(json.dumps(one, ensure_ascii=False).encode(errors="surrogatepass")) for one in found], whole)


def _lines(body: bytes) -> Iterator[Item]:
    for line in body.split(b"\n"):
        text = line.strip(b"\r\x1e \t")
        if text:
            yield Item(text)


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(DECODER.decode(text.decode()), dict)
    except (ValueError, RecursionError):
        return False
