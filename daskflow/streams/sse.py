"""Server-sent events: each event's data is a record; after a break the server is told the last one that came."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator

from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.data.http_client import Client
from daskflow.data.http_policy import ADVICE, TryAgainError, is_retried, retry_after, status_words
from daskflow.streams import OpenSource
from daskflow.streams.addresses import with_options
from daskflow.streams.patience import Patience, Seconds
from daskflow.streams.spool import Spool
from daskflow.streams.spooled import SpooledPlace, spooled

LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")
"""A return at the very end may be half of a line's end."""


BOM = b"\xef\xbb\xbf"
NAME_BYTES = 100
"""Of a line, for the name of its field."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes
    ----------
    data : bytes
        Its lines, with newlines between them.
    type : str
        ``message`` unless the server says otherwise.
    id : str
        That the server gave this event; empty when it gave none.
    is_too_large : bool
        Whether the data was longer than may be, and is cut off.
    """

    data: bytes
    type: str
    id: str
    is_too_large: bool = False


class EventReader:
    """Cuts bytes into events, as the HTML standard says (9.2.6), and holds no more of one than may be.

    Parameters
    ----------
    most_bytes : int
        Of one event's data.
    last_id : str
        That the server gave before.

    Attributes
    ----------
    last_id : str
        The newest that the server has given, by which it knows where to go on.
    retry_seconds : float
        What it asks to wait before the next connection; 0 when it asks nothing.

    Examples
    --------
    >>> reader = EventReader(100)
    >>> [(event.data, event.id) for event in reader.feed(b"id: 7\\ndata: {}\\n\\n: still here\\nda")]
    [(b'{}', '7')]
    """

    def __init__(self, most_bytes: int, last_id: str = "") -> None:
        """Begin between two events."""
        self._most_bytes, self.last_id = most_bytes, last_id
        self._parts: list[bytes] = []
        self._n_waiting = 0
        self._is_first = True
        self._is_skipping = False
        self.retry_seconds = 0.0
        self._begin()

    def _begin(self) -> None:
        self._data: list[bytes] = []
        self._n_bytes, self._is_too_large, self._type = 0, False, ""
        self._id: str | None = None

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take bytes in, and yield the events that they complete."""
        self._parts.append(data)
        self._n_waiting += len(data)
        if self._is_first and self._n_waiting < len(BOM):
            return
        has_line_end = b"\n" in data or b"\r" in data or (len(self._parts) > 1 and self._parts[-2].endswith(b"\r"))
        if not has_line_end and self._n_waiting <= self._most_bytes + NAME_BYTES:
            return  # a long line is not looked through again with each piece of it
        whole = b"".join(self._parts)
        if self._is_first:
            whole, self._is_first = whole.removeprefix(BOM), False
        *lines, rest = LINE_END.split(whole)
        for line in lines:
            if self._is_skipping:  # the end of a line that was too long
                self._is_skipping = False
                continue
            if (event := self._line(line)) is not None:
                yield event
        if len(rest) > self._most_bytes + NAME_BYTES:
            if not self._is_skipping:
                self._line(rest)
            rest, self._is_skipping = rest[-1:] if rest.endswith(b"\r") else b"", True
        self._parts, self._n_waiting = [rest], len(rest)

    def _line(self, line: bytes) -> Event | None:
        """Take one line in; return the event that it ends."""
        if not line:
            return self._end()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._n_bytes += len(value) + 1
            self._is_too_large = self._is_too_large or self._n_bytes > self._most_bytes + 1
            if not self._is_too_large or not self._data:
                self._data.append(value[: self._most_bytes])
        elif name == b"event":
            self._type = value[:200].decode(errors="replace")
        elif name == b"id" and b"\0" not in value and len(value) <= 1000:
            self._id = value.decode(errors="replace")
        elif name == b"retry" and value.isdigit() and len(value) < 8:
            self.retry_seconds = int(value) / 1000
        return None

    def _end(self) -> Event | None:
        if self._id is not None:  # of an event that breaks off it does not count
            self.last_id = self._id
        found = Event(b"\n".join(self._data), self._type or "message", self._id or "", self._is_too_large)
        has_data = bool(self._data)
        self._begin()
        return found if has_data else None


class SseSource(SpooledPlace):
    """Server-sent events, each with a JSON object as its data.

    After a break, and after a restart, the server is told the ID of the last event that came (``Last-Event-ID``); one
    that keeps its events sends those after it. Each event is written to the spool before the next one is read, so
    what came is lost by no kill, whether the server keeps events or not.

    Attributes
    ----------
    url : str
        ``sse+https://`` or ``sse+http://``; its query is the server's, options stand behind ``#``.
    event : str or None
        Type of the events that are records; None for all types.
    idle : float
        Seconds, or a text, without a byte after which the connection counts as lost.

    Examples
    --------
    >>> source = SseSource.of("sse+https://example.org/events?token=secret#event=order")
    >>> source.event, source.dump()["url"]
    ('order', 'sse+https://example.org/events?token=***')
    """

    schemes: ClassVar[tuple[str, ...]] = ("sse+http", "sse+https")

    kind: Literal["sse"] = "sse"
    event: str | None = None
    idle: Seconds = Field(default=300.0, gt=0)

    @field_validator("url", mode="before")
    @classmethod
    def _is_one_of_events(cls, value: Any) -> Any:
        if not (isinstance(value, str) and value.startswith(("sse+http://", "sse+https://"))):
            raise SettingsError([Problem("", "should begin with sse+https:// or sse+http://")])
        return value

    @classmethod
    def of(cls, address: str) -> Self:
        """Read ``sse+https://host/path?query#event=order``."""
        url, _, options = address.partition("#")
        return with_options(cls, "sse", options, url=url)

    def open(self, base: Path, positions: Mapping[str, Any]) -> AbstractAsyncContextManager[OpenSource]:
        """Open the spool, and connect in the background."""
        return spooled(self, base, positions, self._receiver)

    def _receiver(self, spool: Spool) -> Callable[[Patience], Awaitable[bool]]:
        async def receive(patience: Patience) -> bool:
            async with self.client(idle_seconds=self.idle) as client:
                return await self._connected(client, spool, patience)

        return receive

    async def _connected(self, client: Client, spool: Spool, patience: Patience) -> bool:
        """Receive until the connection ends; whether the server has said that there is no more."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if spool.last_id:
            headers["Last-Event-ID"] = spool.last_id
        async with client.get(self.address, headers) as answer:
            if answer.status == 204:
                return True
            if answer.status != 200:
                words = f"the server answered {status_words(answer.status)}"
                if is_retried(answer.status):
                    raise TryAgainError(words, retry_after(answer.headers))
                raise DataError(f"{self.address}: {words}. {ADVICE.get(answer.status, 'Another try would not help.')}")
            told = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if told != "text/event-stream":
                raise DataError(f"{self.address}: it is '{told:.60}', and no text/event-stream.")
            coding = answer.headers.get("Content-Encoding", "identity").strip().lower()
            if coding not in ("", "identity"):
                raise DataError(f"{self.address}: the server compressed it ({coding:.20}), though it was asked not to.")
            reader = EventReader(self.max_bytes, spool.last_id)
            async for data in answer.chunks():
                for event in reader.feed(data):
                    await spool.room()
                    self._note(event, spool)
                    patience.good()
                spool.last_id = reader.last_id
            if reader.retry_seconds:
                raise TryAgainError("the server closed the connection", min(reader.retry_seconds, 60.0))
        return False

    def _note(self, event: Event, spool: Spool) -> None:
        """Write an event down."""
        if self.event is not None and event.type != self.event:
            return
        if event.is_too_large:
            problem = f"it is an event of more than {self.max_bytes:,} bytes (max_bytes)"
            spool.append(event.data[:1000], id=event.id, problem=problem, reason="size")
            return
        spool.append(event.data, id=event.id)
