"""HTTP: an endpoint that is asked again and again for records, or one to which results are sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from daskflow.core.errors import DataError
from daskflow.core.seeds import digest
from daskflow.data.http_client import Client
from daskflow.data.http_policy import TryAgainError, retry_after, status_words
from daskflow.streams import OpenSink, OpenSource, StreamSink, StreamSource
from daskflow.streams.addresses import with_options
from daskflow.streams.http_place import HttpPlace
from daskflow.streams.http_polling import Cursor, Poller
from daskflow.streams.json_records import text_of
from daskflow.streams.patience import Seconds
from daskflow.streams.records import Result

MOST_ANSWER_BYTES = 64 << 20
LONGEST_ASKED_SECONDS = 120.0
"""The longest wait that a server's ``Retry-After`` gets from a sink."""


class HttpSource(StreamSource, HttpPlace):
    """An endpoint that is polled: a JSON array of records, one record, or JSON lines.

    With a cursor each request asks for what comes after the one before, and is repeated at once while there is more.
    Without one the whole answer is read again when it has changed (``ETag``, ``Last-Modified``, else its bytes), and of
    it the records that were not in the answer before.

    Attributes
    ----------
    url : str
        ``http://`` or ``https://``; its query is the server's, options stand behind ``#``.
    every : float
        Seconds, or a text such as ``"5s"``, between two requests when nothing new came.
    items : str
        Where in the answer the records stand, such as ``data.items``; empty for the answer itself.
    cursor : str or None
        Parameter of the query that says after what to go on.
    next : str
        Where its value comes from: ``answer.PATH`` or ``record.COLUMN`` of the last record.
    id : str or None
        Column that identifies a record; None for its place with a cursor, else its content.
    max_bytes : int
        Of one answer; a larger one is put aside.
    patience : float
        Seconds, or a text, for which the server may be away.

    Examples
    --------
    >>> source = HttpSource.of("https://ann:secret@example.org/events?kind=new#every=2s&cursor=since&next=record.id")
    >>> source.every, source.cursor, source.dump()["url"]
    (2.0, 'since', 'https://***@example.org/events?kind=***')
    """

    schemes: ClassVar[tuple[str, ...]] = ("http", "https")

    kind: Literal["http"] = "http"
    every: Seconds = Field(default=5.0, ge=0.01)
    items: str = ""
    cursor: str | None = Field(default=None, min_length=1)
    next: str = Field(default="answer.next", pattern=r"^(answer|record)\.[^.]+(\.[^.]+)*$")
    id: str | None = None
    max_bytes: int = Field(default=MOST_ANSWER_BYTES, ge=1)
    patience: Seconds = 600.0

    @classmethod
    def of(cls, address: str) -> Self:
        """Read ``https://host/path?query#every=5s&cursor=since``."""
        url, _, options = address.partition("#")
        return with_options(cls, "http", options, url=url)

    def open(self, base: Path, positions: Mapping[str, Any]) -> AbstractAsyncContextManager[OpenSource]:
        """Begin to ask; after the newest record of `positions`."""
        return self._open(positions)

    @asynccontextmanager
    async def _open(self, positions: Mapping[str, Any]) -> AsyncIterator[OpenSource]:
        cursor = None if self.cursor is None else Cursor(self.cursor, self.next)
        async with self.client() as client:
            poller = Poller(
                client,
                self.address,
                cursor,
                every_seconds=self.every,
                items=self.items,
                id_column=self.id,
                key=self.key,
                once=self.once,
                most_bytes=self.max_bytes,
                patience_seconds=self.patience,
                positions=positions,
            )
            async with poller.polling():
                yield poller


class HttpSink(StreamSink, HttpPlace):
    """An endpoint to which results are sent, as a JSON array for each request.

    Each request has an ``Idempotency-Key``, the same when the same results are sent again. With ``batch = 1`` it is
    the record's own ID, and a server that keeps to it has each result once.

    Attributes
    ----------
    url : str
        ``http://`` or ``https://``; options stand behind ``#``.
    method : str
        ``POST`` or ``PUT``.
    batch : int
        Results of one request, at most.
    timeout : float
        Seconds, or a text, in which a request is answered.

    Examples
    --------
    >>> HttpSink.of("https://example.org/answers#batch=1").is_keyed
    True
    """

    schemes: ClassVar[tuple[str, ...]] = ("http", "https")

    kind: Literal["http"] = "http"
    method: Literal["POST", "PUT"] = "POST"
    batch: int = Field(default=500, ge=1, le=100_000)
    timeout: Seconds = Field(default=30.0, gt=0)

    @property
    def is_keyed(self) -> bool:
        """Whether each result is a request with its own ID for a key."""
        return self.batch == 1

    @classmethod
    def of(cls, address: str) -> Self:
        """Read ``https://host/path?query#batch=100``."""
        url, _, options = address.partition("#")
        return with_options(cls, "http", options, url=url)

    def open(self, base: Path) -> AbstractAsyncContextManager[OpenSink]:
        """Make a client; nothing is sent yet."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[OpenSink]:
        async with self.client(idle_seconds=self.timeout) as client:
            yield HttpWriter(self, client)


class HttpWriter:
    """Sends results in requests, one after the other."""

    def __init__(self, settings: HttpSink, client: Client) -> None:
        """Take a client over."""
        self._settings, self._client = settings, client

    async def write(self, results: Sequence[Result]) -> None:
        """Send them in order; DataError for an answer that is no success, or none."""
        for first in range(0, len(results), self._settings.batch):
            await self._send(results[first : first + self._settings.batch])

    async def _send(self, results: Sequence[Result]) -> None:
        settings, address = self._settings, self._settings.address
        ids = [result.id for result in results]
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": ids[0] if settings.batch == 1 else digest(ids, 32),
        }
        body = b"[" + b",".join(text_of(result.flat) for result in results) + b"]"
        try:
            async with self._client.send(settings.method, address, headers, body) as answer:
                if 200 <= answer.status < 300:
                    return
                asked = retry_after(answer.headers)
                words = (await answer.first(200)).decode(errors="replace").strip()
        except TryAgainError as error:
            raise DataError(f"{address}: {error}.") from None
        if 0 < asked <= LONGEST_ASKED_SECONDS:
            await asyncio.sleep(asked)
        told = f" ({words})" if words else ""
        raise DataError(f"{address}: the server answered {status_words(answer.status)}{told}.")
