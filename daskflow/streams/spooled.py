"""Places that tell without being asked: connected again and again, and what they tell is spooled as it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator

from daskflow.core.seeds import digest
from daskflow.data.http_policy import TryAgainError
from daskflow.data.http_settings import size_of
from daskflow.streams import StreamSource
from daskflow.streams.http_place import HttpPlace
from daskflow.streams.inbox import ended
from daskflow.streams.patience import Patience, Seconds
from daskflow.streams.payloads import MOST_BYTES, bounded_record, id_of
from daskflow.streams.records import Record
from daskflow.streams.spool import Message, Spool

LASTED_SECONDS = 5.0
"""A connection that lasted so long was a good one, though nothing may have come."""


class SpooledPlace(HttpPlace, StreamSource):
    """What sources have in common whose messages go through a spool.

    Attributes
    ----------
    spool : str or None
        Folder of messages that came and are not handed on yet; None for ``spool`` in the stream's folder.
    spool_bytes : int or str
        On the disk; at that length no more is received, and the server is left to wait.
    id : str or None
        Column that identifies a record; None for the server's own ID of the message, else its number in the spool.
    max_bytes : int
        Of one message; a larger one is put aside.
    patience : float
        Seconds, or a text, for which the server may be away.
    """

    spool: str | None = None
    spool_bytes: int = Field(default=1 << 30, ge=1)
    id: str | None = None
    max_bytes: int = Field(default=MOST_BYTES, ge=1)
    patience: Seconds = 600.0

    @field_validator("spool_bytes", mode="before")
    @classmethod
    def _size_may_be_words(cls, value: Any) -> Any:
        return size_of(value)

    def with_folder(self, folder: Path) -> Self:
        """Return the source with its spool in the stream's folder, unless it was given another."""
        return self if self.spool else self.model_copy(update={"spool": str(folder.absolute() / "spool")})

    def spool_folder(self, base: Path) -> Path:
        """Return the folder of the spool."""
        return base / (self.spool or f"spool-{digest([self.url.rpartition('@')[2]])}")


class Spooled:
    """An open source: receives in the background, and gives what the spool has.

    Parameters
    ----------
    settings : SpooledPlace
        Of the kind.
    spool : Spool
        Open; closed by the caller.
    receive : callable
        Connects, and appends what comes to the spool until the server closes; returns whether the server has said
        that there will be no more. Raises TryAgainError for what may pass.
    """

    def __init__(self, settings: SpooledPlace, spool: Spool, receive: Callable[[Patience], Awaitable[bool]]) -> None:
        """Connect to nothing."""
        self._settings, self._spool, self._receive = settings, spool, receive
        self._name = str(settings.address)

    @property
    def lag(self) -> int:
        """Messages that came and were not taken."""
        return self._spool.waiting

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[None]:
        """Receive for as long as the block lasts."""
        self._task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            await ended([self._task])

    async def _run(self) -> None:
        patience = Patience(self._name, self._settings.patience)
        while True:
            began = time.monotonic()
            try:
                if await self._receive(patience) or self._settings.once:
                    return
                what, asked = "the server closed the connection", 0.0
            except TryAgainError as failure:
                what, asked = str(failure), failure.after_seconds
            if time.monotonic() - began > LASTED_SECONDS:
                patience.good()
            await patience.wait(what, asked)

    async def take(self, most: int) -> Sequence[Record]:
        """Return records that are there; see `OpenSource`."""
        if not self._spool.waiting:
            taking = asyncio.create_task(self._spool.arrived())
            try:
                await asyncio.wait({taking, self._task}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                taking.cancel()
        if not self._spool.waiting:
            self._task.result()  # raises what ended the receiving
            return []
        return [self._record(message) for message in await self._spool.take(most)]

    async def commit(self, records: Sequence[Record]) -> None:
        """Take note that these need not be kept any longer."""
        self._spool.commit(max((int(record.offset) for record in records), default=0))

    def _record(self, message: Message) -> Record:
        settings = self._settings
        name = message.id or f"{self._spool.name}-{message.number}"
        if message.problem:
            return Record(
                name,
                {},
                self._spool.partition,
                message.number,
                at=message.at,
                raw=message.raw,
                problem=message.problem,
                reason=message.reason,
            )
        record = bounded_record(
            message.raw,
            id=name,
            partition=self._spool.partition,
            offset=message.number,
            most_bytes=settings.max_bytes,
            key=settings.key,
        )
        return replace(record, id=id_of(record.values, settings.id, name), at=message.at)


@asynccontextmanager
async def spooled(
    settings: SpooledPlace,
    base: Path,
    positions: Mapping[str, Any],
    receiver: Callable[[Spool], Callable[[Patience], Awaitable[bool]]],
) -> AsyncIterator[Spooled]:
    """Open the spool of a source, and receive into it.

    Parameters
    ----------
    settings : SpooledPlace
        Of the kind.
    base : Path
        Folder that relative paths start from.
    positions : mapping
        As `StreamSource.open` has them.
    receiver : callable
        Returns, for a spool, what receives into it.
    """
    spool = Spool(settings.spool_folder(base), positions, most_bytes=settings.spool_bytes)
    try:
        source = Spooled(settings, spool, receiver(spool))
        async with source.receiving():
            yield source
    finally:
        with suppress(OSError):
            spool.close()
