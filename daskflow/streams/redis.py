"""Redis Streams: a consumer group to read from; a stream, or a hash that holds each result once, to write to."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.streams import OpenSink, OpenSource, StreamSink, StreamSource
from daskflow.streams.addresses import with_options
from daskflow.streams.json_records import text_of
from daskflow.streams.patience import Seconds
from daskflow.streams.payloads import MOST_BYTES
from daskflow.streams.records import Result
from daskflow.streams.redis_connection import RedisServer, passing
from daskflow.streams.redis_group import Group, GroupReader

WRITTEN_AT_ONCE = 1000
"""Results of one answer that is waited for."""


class RedisSource(StreamSource, RedisServer):
    """Entries of a Redis Stream, read as one consumer of a group.

    What is read stays with the group as pending until its result is in the sink. A consumer that is started again
    begins with what it had pending; what a dead consumer left goes to the others after `idle`. Of several
    consumers on one host each takes a name of its own.

    Attributes
    ----------
    stream : str
        Key of the stream; made when it is not there.
    group : str
        Name of the consumer group; made when it is not there.
    field : str
        Field of an entry that holds the record as a JSON object; ``*`` where each field is a column, whose value is
        read as JSON where it is such, else as text.
    consumer : str or None
        Name within the group; None for the host's, with a number that no living consumer has.
    start : str
        Where a new group begins: ``0`` with the oldest entry, ``$`` with what comes from now on.
    idle : float
        Seconds, or a text such as ``"60s"``, after which what a consumer has pending goes to another one.
    patience : float
        Seconds, or a text, for which the server may be away.
    max_bytes : int
        Of one record; a larger one is put aside.

    Examples
    --------
    >>> source = RedisSource.of("redis://ann:secret@localhost/0?stream=orders&group=scores")
    >>> source.stream, source.group, source.dump()["url"]
    ('orders', 'scores', 'redis://***@localhost/0')
    """

    schemes: ClassVar[tuple[str, ...]] = ("redis", "rediss")

    kind: Literal["redis"] = "redis"
    stream: str = Field(min_length=1)
    group: str = Field(default="daskflow", min_length=1)
    field: str = Field(default="record", min_length=1)
    consumer: str | None = None
    start: Literal["0", "$"] = "0"
    idle: Seconds = Field(default=60.0, ge=1)
    patience: Seconds = 600.0
    max_bytes: int = Field(default=MOST_BYTES, ge=1)

    @classmethod
    def of(cls, address: str) -> Self:
        """Read ``redis://host:port/db?stream=orders&group=daskflow``."""
        url, _, options = address.partition("?")
        return with_options(cls, "redis", options, url=url)

    def open(self, base: Path, positions: Mapping[str, Any]) -> AbstractAsyncContextManager[OpenSource]:
        """Join the group, which remembers by itself how far it is."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[OpenSource]:
        group = Group(
            stream=self.stream,
            group=self.group,
            consumer=self.consumer or socket.gethostname(),
            has_own_name=self.consumer is not None,
            start=self.start,
            idle_milliseconds=int(self.idle * 1000),
        )
        reader = GroupReader(self, group, field=self.field, key=self.key, once=self.once, max_bytes=self.max_bytes)
        async with reader.reading(self.patience):
            yield reader


class RedisSink(StreamSink, RedisServer):
    """Results as entries of a Redis Stream, or as fields of a hash, where each is once.

    Attributes
    ----------
    stream : str or None
        Key of the stream to which results are added as entries with the fields ``id`` and ``result`` (a JSON object).
    hash : str or None
        Key of the hash that holds them: field ``id``, value the JSON object. A result that is written twice is there
        once.
    max_length : int or None
        Of the stream: older entries are removed, about as many as it is longer. None keeps all.

    Examples
    --------
    >>> RedisSink.of("redis://localhost/0?hash=answers").is_keyed
    True
    """

    schemes: ClassVar[tuple[str, ...]] = ("redis", "rediss")

    kind: Literal["redis"] = "redis"
    stream: str | None = Field(default=None, min_length=1)
    hash: str | None = Field(default=None, min_length=1)
    max_length: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.stream is None) == (self.hash is None):
            raise SettingsError([Problem("stream", "or hash: say one of them")])
        if self.max_length is not None and self.stream is None:
            raise SettingsError([Problem("max_length", "is of a stream; a hash keeps every result")])
        return self

    @property
    def is_keyed(self) -> bool:
        """Whether it is a hash."""
        return self.hash is not None

    @classmethod
    def of(cls, address: str) -> Self:
        """Read ``redis://host:port/db?hash=answers``, or ``?stream=answers``."""
        url, _, options = address.partition("?")
        return with_options(cls, "redis", options, url=url)

    def open(self, base: Path) -> AbstractAsyncContextManager[OpenSink]:
        """Connect."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[OpenSink]:
        client = self.client()
        try:
            yield RedisWriter(self, client)
        finally:
            await client.aclose()


class RedisWriter:
    """Writes results; all of one call are there when the server has answered for each."""

    def __init__(self, settings: RedisSink, client: Any) -> None:
        """Take a client over."""
        self._settings, self._client = settings, client

    async def write(self, results: Sequence[Result]) -> None:
        """Write them in order; DataError when the server cannot be reached or takes one of them not."""
        settings = self._settings
        for first in range(0, len(results), WRITTEN_AT_ONCE):
            some = results[first : first + WRITTEN_AT_ONCE]
            try:
                await (
                    self._put(settings.hash, some) if settings.hash is not None else self._add(settings.stream, some)
                )
            except Exception as error:
                where = settings.where
                raise DataError(f"{where}: {passing(error, where)}.") from None

    async def _put(self, name: str, results: Sequence[Result]) -> None:
        await self._client.hset(name, mapping={result.id: text_of(result.flat) for result in results})

    async def _add(self, name: str | None, results: Sequence[Result]) -> None:
        pipe = self._client.pipeline(transaction=False)
        for result in results:
            fields = {"id": result.id, "result": text_of(result.flat)}
            pipe.xadd(name, fields, maxlen=self._settings.max_length, approximate=True)
        await pipe.execute()
