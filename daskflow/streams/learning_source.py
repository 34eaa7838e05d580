"""Two sources as one: records, and true values that come by themselves, each with its own offsets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from daskflow.streams import OpenSource, StreamSource
from daskflow.streams.batches import Holding
from daskflow.streams.learning_rows import LABELS
from daskflow.streams.records import Record


class LabelledSource:
    """Records of one source and true values of another, as each has some.

    Partitions of true values begin with `LABELS`.

    Parameters
    ----------
    records, labels : StreamSource
        Each is opened.
    """

    def __init__(self, records: StreamSource, labels: StreamSource) -> None:
        """Open nothing yet."""
        self._records, self._labels = records, labels

    def open(self, base: Path, positions: Mapping[str, Any]) -> AbstractAsyncContextManager[OpenSource]:
        """Open both; errors as `StreamSource.open` says."""
        return self._open(base, positions)

    @asynccontextmanager
    async def _open(self, base: Path, positions: Mapping[str, Any]) -> AsyncIterator[OpenSource]:
        own = {name: offset for name, offset in positions.items() if not name.startswith(LABELS)}
        others = {name[len(LABELS) :]: offset for name, offset in positions.items() if name.startswith(LABELS)}
        async with self._records.open(base, own) as records, self._labels.open(base, others) as labels:
            both = _Both(records, labels)
            try:
                yield both
            finally:
                await both.close()


class _Both:
    """Both sources, open; it gives what one of them has, in turn where both have some."""

    def __init__(self, records: OpenSource, labels: OpenSource) -> None:
        self._sources = (records, labels)
        self._takes: dict[int, asyncio.Task[Sequence[Record]]] = {}
        self._ended: set[int] = set()
        self._first = 0

    async def take(self, most: int) -> Sequence[Record]:
        """Wait until one of them has records; none when both have ended."""
        while len(self._ended) < len(self._sources):
            for number, source in enumerate(self._sources):
                if number not in self._ended and number not in self._takes:
                    self._takes[number] = asyncio.create_task(_taken(source, most))
            await asyncio.wait(self._takes.values(), return_when=asyncio.FIRST_COMPLETED)
            ready = [number for number in (self._first, 1 - self._first) if self._is_ready(number)]
            number = ready[0]
            records = self._takes[number].result()
            del self._takes[number]
            self._first = 1 - number
            if records:
                return records if number == 0 else [_as_label(record) for record in records]
            self._ended.add(number)
        return ()

    def _is_ready(self, number: int) -> bool:
        return number in self._takes and self._takes[number].done()

    async def commit(self, records: Sequence[Record]) -> None:
        """Tell each of its own."""
        own = [record for record in records if not record.partition.startswith(LABELS)]
        others = [_as_it_came(record) for record in records if record.partition.startswith(LABELS)]
        for source, its in zip(self._sources, (own, others), strict=True):
            if its:
                await source.commit(its)

    @property
    def lag(self) -> int | None:
        """Of the records; None where that is not known."""
        return self._sources[0].lag

    @property
    def is_holding(self) -> bool:
        """Whether one of them has read what it cannot be asked for again."""
        return any(isinstance(source, Holding) and source.is_holding for source in self._sources) or any(
            self._is_ready(number) for number in self._takes
        )

    async def close(self) -> None:
        """Give up what was asked for."""
        for task in self._takes.values():
            task.cancel()
        await asyncio.gather(*self._takes.values(), return_exceptions=True)


async def _taken(source: OpenSource, most: int) -> Sequence[Record]:
    return await source.take(most)


def _as_label(record: Record) -> Record:
    return replace(record, partition=f"{LABELS}{record.partition}")


def _as_it_came(record: Record) -> Record:
    return replace(record, partition=record.partition[len(LABELS) :])
