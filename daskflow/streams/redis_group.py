"""One consumer of a Redis consumer group: what was pending first, what dead ones left, then what is new."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from daskflow.core.errors import DataError
from daskflow.streams.inbox import Inbox
from daskflow.streams.json_records import DECODER, key_of
from daskflow.streams.patience import Patience
from daskflow.streams.payloads import bounded_record
from daskflow.streams.records import Record
from daskflow.streams.redis_connection import RedisServer, decoded, passing

READ_AT_ONCE = 256
BLOCK_MILLISECONDS = 1000
"""How long the server holds a read for which there is nothing; a close waits no longer."""

BYTES_AT_ONCE = 16 << 20
"""Fewer entries are read at once while they are large."""

FIRST_ENTRY_BYTES = 1 << 20
"""As large entries are taken to be before one has been seen."""

ACKNOWLEDGED_AT_ONCE = 1000

SEEN_TIMES, SEEN_TWICE_SECONDS = 8, 0.05
"""A consumer that has died may be seen for a moment after; one that is seen so often lives."""

Entry = tuple[bytes, dict[bytes, bytes] | None]


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer of a group.

    Attributes
    ----------
    stream, group, consumer : str
        Names.
    has_own_name : bool
        Whether the user gave the name; else it gets a number that no living consumer has.
    start : str
        Where a group begins that is not there.
    idle_milliseconds : int
        After which what one has pending goes to another.
    """

    stream: str
    group: str
    consumer: str
    has_own_name: bool
    start: str
    idle_milliseconds: int


class GroupReader:
    """An open source; see `daskflow.streams.redis.RedisSource`.

    Parameters
    ----------
    server : RedisServer
        Where.
    group : Group
        Which.
    field : str
        That holds a record, or ``*``.
    key : str or None
        Column that orders records.
    once : bool
        Whether it ends when nothing is left.
    max_bytes : int
        Of one record.
    """

    def __init__(
        self, server: RedisServer, group: Group, *, field: str, key: str | None, once: bool, max_bytes: int
    ) -> None:
        """Connect to nothing."""
        self._server, self._group, self._field, self._key = server, group, field.encode(), key
        self._once, self._max_bytes = once, max_bytes
        self._where = f"{server.where}, stream '{group.stream}'"
        self._inbox = Inbox()
        self._held: set[bytes] = set()
        self._largest = float(FIRST_ENTRY_BYTES)
        self._lag: int | None = None
        self._consumer = group.consumer

    @property
    def lag(self) -> int | None:
        """Entries that no consumer of the group has read, and those that wait here; as of a few seconds ago."""
        return None if self._lag is None else self._lag + len(self._inbox)

    @asynccontextmanager
    async def reading(self, patience_seconds: float) -> AsyncIterator[None]:
        """Read in the background for as long as the block lasts."""
        self._patience_seconds = patience_seconds
        self._client: Any = self._server.client()
        self._reader: Any = None
        try:
            await self._persist(self._join)
            async with self._inbox.filled_by(self._read, self._tend):
                yield
        finally:
            for client in (self._reader, self._client):
                if client is not None:
                    await client.aclose()

    async def take(self, most: int) -> Sequence[Record]:
        """Return records that are there; see `OpenSource`."""
        return await self._inbox.take(most)

    async def commit(self, records: Sequence[Record]) -> None:
        """Acknowledge them to the group."""
        group = self._group
        ids = ["{}-{}".format(*record.offset).encode() for record in records]
        for first in range(0, len(ids), ACKNOWLEDGED_AT_ONCE):
            some = ids[first : first + ACKNOWLEDGED_AT_ONCE]
            await self._persist(lambda some=some: self._client.xack(group.stream, group.group, *some))
        self._held.difference_update(ids)

    async def _persist(self, attempt: Any) -> Any:
        """Make attempts until one succeeds, or the patience is at its end."""
        patience = Patience(self._where, self._patience_seconds)
        while True:
            try:
                return await attempt()
            except DataError:
                raise
            except Exception as error:
                if not await self._is_made_again(error):
                    await patience.wait(passing(error, self._where))

    async def _is_made_again(self, error: Exception) -> bool:
        """Make a group that has gone, as of a server that has lost its data; whether there was none."""
        from redis.exceptions import ResponseError

        if not (isinstance(error, ResponseError) and "NOGROUP" in str(error)):
            return False
        await self._persist(self._make_group)
        return True

    async def _make_group(self) -> None:
        from redis.exceptions import ResponseError

        group = self._group
        try:
            await self._client.xgroup_create(group.stream, group.group, id=group.start, mkstream=True)
        except ResponseError as error:
            if "WRONGTYPE" in str(error):
                raise DataError(f"{self._where}: that key holds something else than a stream.") from None
            if "BUSYGROUP" not in str(error):  # it is there
                raise

    async def _join(self) -> None:
        """Make the group, and connect with a name that no living consumer has."""
        await self._make_group()
        group = self._group
        number = 1
        while True:
            if self._reader is not None:
                await self._reader.aclose()
            self._consumer = group.consumer if group.has_own_name else f"{group.consumer}-{number}"
            self._reader = self._server.client(name=self._seat(self._consumer))
            if await self._is_alone(self._consumer):
                return
            if group.has_own_name:
                raise DataError(
                    f"{self._where}: another living consumer of group '{group.group}' is called '{group.consumer}'. "
                    "Give this one another name, or none: each takes one of its own then."
                )
            number += 1

    def _seat(self, consumer: str) -> str:
        """Name of a connection by which consumers see each other; it has no blanks."""
        return "daskflow:" + json.dumps([self._group.stream, self._group.group, consumer]).replace(" ", "")

    async def _is_alone(self, consumer: str) -> bool:
        """Whether no connection that is older has the same name; the server forgets one when its process dies."""
        from redis.exceptions import ResponseError

        own, seat = await self._reader.client_id(), self._seat(consumer)
        for _ in range(SEEN_TIMES):
            try:
                found = await self._reader.client_list()
            except ResponseError:  # a server may forbid to look
                return True
            if not any(one.get("name") == seat and int(one["id"]) < own for one in found):
                return True
            await asyncio.sleep(SEEN_TWICE_SECONDS)
        return False

    async def _read(self) -> None:
        """Hand pending and then new entries to the inbox, and begin again when the connection was lost."""
        patience = Patience(self._where, self._patience_seconds)
        while True:
            try:
                await self._read_on(patience)
                return
            except DataError:
                raise
            except Exception as error:
                if not await self._is_made_again(error):
                    await patience.wait(passing(error, self._where))

    async def _read_on(self, patience: Patience) -> None:
        await self._put_pending(patience)
        while True:
            entries = await self._asked(b">", block=None if self._once else BLOCK_MILLISECONDS)
            patience.good()
            await self._put(entries)
            if self._once and not entries:
                return

    async def _put_pending(self, patience: Patience) -> None:
        """What this consumer has read and not acknowledged: of an earlier process, or of a lost answer."""
        after = b"0"
        while entries := await self._asked(after):
            patience.good()
            after = entries[-1][0]
            await self._put(entries)

    async def _asked(self, after: bytes, *, block: int | None = None) -> list[Entry]:
        """Ask for entries, as many as there is room for."""
        group = self._group
        most = max(1, min(READ_AT_ONCE, await self._inbox.room(), int(BYTES_AT_ONCE / self._largest)))
        answer = await self._reader.xreadgroup(
            group.group, self._consumer, {group.stream: after}, count=most, block=block
        )
        found: list[Entry] = answer[0][1] if answer else []
        return found

    async def _put(self, entries: Sequence[Entry]) -> None:
        """Hand entries on, but those that are held already; what was deleted before it was read is acknowledged."""
        gone = [entry for entry, fields in entries if not fields]
        if gone:
            await self._client.xack(self._group.stream, self._group.group, *gone)
        new = [(entry, fields) for entry, fields in entries if fields and entry not in self._held]
        self._held.update(entry for entry, _ in new)
        records = [self._record(entry, fields) for entry, fields in new]
        if records:
            largest = float(max(sum(map(len, fields.values())) for _, fields in new))
            self._largest = max(largest, 0.9 * self._largest)
        await self._inbox.put(records)

    def _record(self, entry: bytes, fields: dict[bytes, bytes]) -> Record:
        """One entry as a record."""
        name = decoded(entry)
        place: dict[str, Any] = {"id": f"{self._group.stream}/{name}", "partition": self._group.stream}
        place["offset"] = [int(number) for number in name.split("-")]  # as text they have another order
        if self._field != b"*" and self._field in fields:
            return bounded_record(fields[self._field], most_bytes=self._max_bytes, key=self._key, **place)
        raw = json.dumps({decoded(field): decoded(value) for field, value in fields.items()}).encode()
        if len(raw) > self._max_bytes:
            return bounded_record(raw, most_bytes=self._max_bytes, **place)
        if self._field != b"*":
            found = ", ".join(f"'{decoded(field):.40}'" for field in list(fields)[:5])
            problem = f"it has no field '{decoded(self._field)}', but {found}; field=* reads each as a column"
            return Record(values={}, raw=raw, problem=problem, **place)
        try:
            values = {field.decode(): _value(value.decode()) for field, value in fields.items()}
        except UnicodeDecodeError:
            return Record(values={}, raw=raw, problem="it has a field that is not UTF-8 text", **place)
        return Record(values=values, raw=raw, key=key_of(values, self._key), **place)

    async def _tend(self) -> None:
        """Keep what is held from being given to others, take over what dead consumers left, and ask for the lag."""
        patience = Patience(self._where, self._patience_seconds)
        while True:
            try:
                await self._keep()
                await self._take_over()
                await self._ask_lag()
                patience.good()
            except DataError:
                raise
            except Exception as error:
                if not await self._is_made_again(error):
                    await patience.wait(passing(error, self._where))
            await asyncio.sleep(min(5.0, self._group.idle_milliseconds / 3000))

    async def _keep(self) -> None:
        group, held = self._group, list(self._held)
        for first in range(0, len(held), ACKNOWLEDGED_AT_ONCE):
            some = [entry for entry in held[first : first + ACKNOWLEDGED_AT_ONCE] if entry in self._held]
            if some:
                await self._client.xclaim(group.stream, group.group, self._consumer, 0, some, justid=True)

    async def _take_over(self) -> None:
        """Hand on what nobody has touched for long."""
        group, after = self._group, b"0-0"
        while (most := min(READ_AT_ONCE, self._inbox.free)) > 0:
            after, entries, *_ = await self._client.xautoclaim(
                group.stream, group.group, self._consumer, group.idle_milliseconds, start_id=after, count=most
            )
            await self._put(entries)
            if after == b"0-0":
                return

    async def _ask_lag(self) -> None:
        groups = await self._client.xinfo_groups(self._group.stream)
        own = [one for one in groups if decoded(one["name"]) == self._group.group]
        lag = own[0].get("lag") if own else None
        self._lag = lag if isinstance(lag, int) else None


def _value(text: str) -> Any:
    """A column's value: JSON where it is such, else text."""
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError):
        return text
