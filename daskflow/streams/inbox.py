"""A bounded shelf between a task that fetches records and one that takes them; a take that is cancelled loses none."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from daskflow.streams.records import Record

MOST_RECORDS = 1024
MOST_BYTES = 16 << 20
CANCELLED_AGAIN_SECONDS = 0.2


class Inbox:
    """Holds records that came and were not taken; who fetches waits while it is full.

    Parameters
    ----------
    most_records, most_bytes : int
        It takes no more in when it holds as many of either. Bytes are those of the records as they came.
    """

    def __init__(self, most_records: int = MOST_RECORDS, most_bytes: int = MOST_BYTES) -> None:
        """Begin empty."""
        self._most_records, self._most_bytes = most_records, most_bytes
        self._held: deque[Record] = deque()
        self._bytes = 0
        self._changed = asyncio.Condition()
        self._end: BaseException | None = None
        self._is_ended = False

    def __len__(self) -> int:
        """How many records it holds."""
        return len(self._held)

    async def room(self) -> int:
        """Wait until it is not full, and return how many records it has room for."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.free > 0)
            return self.free

    @property
    def free(self) -> int:
        """How many records it has room for."""
        return self._most_records - len(self._held) if self._bytes < self._most_bytes else 0

    async def put(self, records: Sequence[Record]) -> None:
        """Take records in; all of them, so who fetches asks for `room` first."""
        if records:
            async with self._changed:
                self._held.extend(records)
                self._bytes += sum(len(record.raw) for record in records)
                self._changed.notify_all()

    async def take(self, most: int) -> Sequence[Record]:
        """Wait for records and return at most so many; none when there will be no more.

        Raises
        ------
        Exception
            What ended the fetching, once everything before it was taken.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._held or self._is_ended)
            taken = [self._held.popleft() for _ in range(min(most, len(self._held)))]  # nothing is awaited after this
            self._bytes -= sum(len(record.raw) for record in taken)
            self._changed.notify_all()
        if not taken and self._end is not None:
            raise self._end
        return taken

    async def drop(self, partitions: frozenset[str]) -> None:
        """Forget what it holds of some partitions."""
        async with self._changed:
            self._held = deque(record for record in self._held if record.partition not in partitions)
            self._bytes = sum(len(record.raw) for record in self._held)
            self._changed.notify_all()

    @contextlib.asynccontextmanager
    async def filled_by(self, *fetch: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Run tasks that fill it for as long as the block lasts; the inbox ends when one of them does."""
        tasks = [asyncio.create_task(self._run(one)) for one in fetch]
        try:
            yield
        finally:
            await ended(tasks)

    async def _run(self, fetch: Callable[[], Awaitable[None]]) -> None:
        error: BaseException | None = None
        try:
            await fetch()
        except Exception as caught:  # raised again where the records are taken
            error = caught
        async with self._changed:
            self._end, self._is_ended = self._end or error, True
            self._changed.notify_all()


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended; a client that is about to answer may swallow the first time."""
    left = set(tasks)
    while left := {task for task in left if not task.done()}:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=CANCELLED_AGAIN_SECONDS)
