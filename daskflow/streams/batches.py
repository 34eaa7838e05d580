"""Batches of a stream: records put together until there are enough of them, or the first has waited long enough."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from daskflow.streams import OpenSource
from daskflow.streams.records import Record


@runtime_checkable
class Holding(Protocol):
    """A source that cannot be asked again for what it has read, such as a pipe: at a stop that is answered first."""

    @property
    def is_holding(self) -> bool:
        """Whether it has read records that it has not given yet."""


class Batches:
    """Cuts what a source gives into batches, in its order.

    Parameters
    ----------
    source : OpenSource
        What is there is taken, at most a batch ahead.
    most : int
        Records of a batch.
    delay_seconds : float
        How long the first record of a batch waits for others.
    stopping : asyncio.Event
        When it is set no more is taken; what was taken still comes, as a last batch.
    """

    def __init__(self, source: OpenSource, *, most: int, delay_seconds: float, stopping: asyncio.Event) -> None:
        """Begin with nothing taken."""
        self._source, self._most, self._delay_seconds, self._stopping = source, most, delay_seconds, stopping
        self._take: asyncio.Task[Sequence[Record]] | None = None
        self._stop: asyncio.Task[bool] | None = None
        self._has_ended = False

    async def next(self) -> list[Record]:
        """Wait for a batch; empty when the source has ended, or is to be stopped.

        Raises
        ------
        DataError
            When the source cannot be read any more; what was taken before comes first.
        """
        batch: list[Record] = []
        until = None
        clock = asyncio.get_running_loop().time
        while len(batch) < self._most and not self._has_ended:
            taken = await self._taken(self._most - len(batch), None if until is None else until - clock())
            if taken is None:
                break
            if isinstance(taken, BaseException):
                if batch:  # it raises again when there is nothing before it
                    break
                self._take = None
                raise taken
            self._take = None
            self._has_ended = not taken
            batch.extend(taken)
            until = clock() + self._delay_seconds if until is None else until
        return batch

    async def _taken(self, most: int, seconds: float | None) -> Sequence[Record] | BaseException | None:
        """Return what the source gives, or what it raised; None when the time is over or the stream is to stop."""
        if self._stopping.is_set():
            return await self._left(most)
        if self._take is None:
            self._take = asyncio.create_task(self._source.take(most))
        if self._stop is None:
            self._stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({self._take, self._stop}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._take.done():
            return self._take.exception() or self._take.result()
        return await self._left(most) if self._stopping.is_set() else None

    async def _left(self, most: int) -> Sequence[Record] | BaseException | None:
        """Return what the source has read and cannot give again, once it is to stop; None when there is no more."""
        task, self._take = self._take, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():  # it was quicker
                self._take = task
                return task.exception() or task.result()
        if isinstance(self._source, Holding) and self._source.is_holding:
            return await self._source.take(most)
        self._has_ended = True
        return None

    async def close(self) -> None:
        """Give up what was asked for."""
        tasks = {task for task in (self._take, self._stop) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
