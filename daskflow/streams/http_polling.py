"""Polling of an endpoint: what is asked next, what of an answer is new, and how far a restart goes back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from daskflow.core.errors import DataError
from daskflow.core.seeds import digest
from daskflow.data.http_address import Address, address_of
from daskflow.data.http_client import Client
from daskflow.data.http_policy import (
    ADVICE,
    TryAgainError,
    Validators,
    is_retried,
    retry_after,
    status_words,
)
from daskflow.streams.addresses import at_path
from daskflow.streams.http_answers import Item, Items, body_of, items_of
from daskflow.streams.inbox import Inbox
from daskflow.streams.json_records import key_of, values_of
from daskflow.streams.patience import Patience
from daskflow.streams.payloads import bounded_record, id_of
from daskflow.streams.records import Record

HANDED_ON_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Cursor:
    """The parameter that says after what to go on, and where its value comes from.

    Attributes
    ----------
    name : str
        Of the parameter.
    next : str
        ``answer.PATH``, or ``record.COLUMN`` of the last record.
    """

    name: str
    next: str

    def after(self, items: Items) -> Any:
        """Return its next value; None when the answer says none."""
        source, _, path = self.next.partition(".")
        if source == "answer":
            return at_path(items.whole, path)
        for item in reversed(items.items):
            values, _ = values_of(item.raw)
            if (found := at_path(values, path)) is not None:
                return found
        return None


@dataclass(frozen=True, slots=True)
class Position:
    """How far an endpoint has been read.

    Attributes
    ----------
    answer : int
        Number of the answer, from 0 on.
    place : int
        Of the newest record in it.
    count : int
        Records in it.
    cursor, next : object
        With which it was asked for, and the one after it; None for none.
    body : str
        Digest of it.
    etag, modified : str or None
        As the server said.
    """

    answer: int = -1
    place: int = -1
    count: int = 0
    cursor: Any = None
    next: Any = None
    body: str = ""
    etag: str | None = None
    modified: str | None = None

    def dump(self) -> list[Any]:
        """As plain JSON; later ones are greater."""
        return [
            self.answer,
            self.place,
            self.count,
            self.cursor,
            self.next,
            self.body,
            self.etag,
            self.modified,
        ]

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the answer is left."""
        return self.place + 1 >= self.count

    @property
    def goes_on(self) -> bool:
        """Whether the answer says where to go on, and that this is elsewhere."""
        return self.next is not None and self.next != self.cursor

    @property
    def validators(self) -> Validators:
        """By which to ask whether it has changed."""
        return Validators(self.etag, self.modified)


class Poller:
    """An open source; see `daskflow.streams.http.HttpSource`.

    Parameters
    ----------
    client : Client
        Entered by the caller.
    address : Address
        That is asked.
    cursor : Cursor or None
        With it each answer goes on after the one before.
    every_seconds : float
        Between requests when nothing new came.
    items, id_column, key : str
        Where the records stand, what identifies one, and what orders them; the last two may be None.
    once : bool
        Whether it ends when nothing new came.
    most_bytes : int
        Of one answer.
    patience_seconds : float
        How long the server may be away.
    positions : mapping
        As `StreamSource.open` has them.
    """

    def __init__(
        self,
        client: Client,
        address: Address,
        cursor: Cursor | None,
        *,
        every_seconds: float,
        items: str,
        id_column: str | None,
        key: str | None,
        once: bool,
        most_bytes: int,
        patience_seconds: float,
        positions: Mapping[str, Any],
    ) -> None:
        """Ask nothing yet."""
        self._client, self._address, self._cursor = client, address, cursor
        self._every, self._items, self._id, self._key = every_seconds, items, id_column, key
        self._once, self._most_bytes = once, most_bytes
        self._patience = Patience(str(address), patience_seconds)
        self._inbox = Inbox()
        self._partition = f"{address.host}{address.parts.path} {address.identity[:8]}"
        self._at = Position(*positions.get(self._partition, ()))
        self._seen: frozenset[str] = frozenset()

    @property
    def lag(self) -> None:
        """Not known: an endpoint does not say what waits."""
        return

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """Ask in the background for as long as the block lasts."""
        async with self._inbox.filled_by(self._poll):
            yield

    async def take(self, most: int) -> Sequence[Record]:
        """Return records that are there; see `OpenSource`."""
        return await self._inbox.take(most)

    async def commit(self, records: Sequence[Record]) -> None:
        """Nothing is told to the server: the next start asks after the newest offset."""

    async def _poll(self) -> None:
        """Ask until the end; the next request is made when this answer's records have been taken in."""
        while True:
            await self._inbox.room()
            at_once = await self._asked_once()
            if not at_once and self._once:
                return
            if not at_once:
                await asyncio.sleep(self._every)

    async def _asked_once(self) -> bool:
        """Ask, hand on what is new, and return whether to ask on at once."""
        goes_on = self._at.is_whole and self._at.goes_on
        cursor = self._at.next if goes_on else self._at.cursor
        while True:
            try:
                found = await self._ask(cursor, is_again=not goes_on and self._at.is_whole)
                break
            except TryAgainError as failure:
                await self._patience.wait(str(failure), failure.after_seconds)
        self._patience.good()
        if found is None:
            return False
        items, at = found
        n_new = await self._hand_on(items, at, is_same_place=not goes_on)
        return self._cursor is not None and n_new > 0 and self._at.goes_on

    async def _ask(self, cursor: Any, *, is_again: bool) -> tuple[Items, Position] | None:
        """Make a request; None when nothing has changed since."""
        conditions = self._at.validators.conditions() if is_again and self._at.body else {}
        async with self._client.get(
            self._with(cursor), {"Accept": "application/json, */*;q=0.5", **conditions}
        ) as answer:
            if answer.status in (204, 304):
                return None
            if answer.status != 200:
                words = f"the server answered {status_words(answer.status)}"
                if is_retried(answer.status):
                    raise TryAgainError(words, retry_after(answer.headers))
                raise DataError(f"{self._address}: {words}. {ADVICE.get(answer.status, 'Another try would not help.')}")
            body = await body_of(answer, self._most_bytes)
            told = Validators.of(answer.headers)
            content_type = answer.headers.get("Content-Type", "")
        if body is None:
            problem = f"it is an answer of more than {self._most_bytes:,} bytes (max_bytes)"
            items, name = Items([Item(b"", problem, "size")]), "too large"
        else:
            items, name = items_of(body, content_type, self._items), digest(body.decode(errors="replace"), 24)
        if self._cursor is None and is_again and name == self._at.body:
            return None
        after = None if self._cursor is None else self._cursor.after(items)
        at = Position(self._at.answer + 1, -1, len(items.items), cursor, after, name, told.etag, told.modified)
        return items, at

    def _with(self, cursor: Any) -> Address:
        """The address with the cursor in its query."""
        if self._cursor is None or cursor is None:
            return self._address
        parts = urlsplit(self._address.full)
        kept = [
            (name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != self._cursor.name
        ]
        value = key_of({"": cursor}, "")
        return address_of(parts._replace(query=urlencode([*kept, (self._cursor.name, value)])).geturl())

    async def _hand_on(self, items: Items, at: Position, *, is_same_place: bool) -> int:
        """Hand on the records that are new; return how many."""
        before, seen = self._at, self._seen
        is_known = is_same_place and (self._cursor is not None or at.body == before.body)
        n_skipped = before.place + 1 if is_known and not seen else 0
        self._at, self._seen = replace(at, place=at.count - 1), frozenset()
        names: set[str] = set()
        new: list[Record] = []
        n_new = 0
        for place, record in enumerate(self._records(items, at)):
            names.add(record.id)
            if place < n_skipped or record.id in seen:
                continue
            n_new += 1
            new.append(record)
            if len(new) >= HANDED_ON_AT_ONCE:
                await self._put(new)
                new = []
        await self._put(new)
        self._seen = frozenset(names)
        return n_new

    async def _put(self, records: Sequence[Record]) -> None:
        await self._inbox.room()
        await self._inbox.put(records)

    def _records(self, items: Items, at: Position) -> Iterator[Record]:
        """The records of an answer."""
        occurrences: Counter[str] = Counter()
        for place, item in enumerate(items.items):
            offset = replace(at, place=place).dump()
            name = self._name(item, place, at, occurrences)
            if item.problem:
                yield Record(name, {}, self._partition, offset, raw=item.raw, problem=item.problem, reason=item.reason)
                continue
            record = bounded_record(item.raw, id=name, partition=self._partition, offset=offset, key=self._key)
            yield record if self._id is None else replace(record, id=id_of(record.values, self._id, name))

    def _name(self, item: Item, place: int, at: Position, occurrences: Counter[str]) -> str:
        """The ID of a record: its place after a cursor, or its content and how often that came before in the answer."""
        if self._cursor is not None and not item.problem:
            return f"{key_of({'': at.cursor}, '')}/{place}"
        name = digest(item.raw.decode(errors="replace") or item.problem, 24)
        occurrences[name] += 1
        return name if occurrences[name] == 1 else f"{name}-{occurrences[name]}"
