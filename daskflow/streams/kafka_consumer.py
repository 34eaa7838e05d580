"""One consumer of a Kafka group: records by partition in their order, offsets committed once they are handed on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from daskflow.core.errors import DataError
from daskflow.streams.inbox import Inbox
from daskflow.streams.kafka_connection import KafkaCluster, passing
from daskflow.streams.patience import Patience
from daskflow.streams.payloads import bounded_record
from daskflow.streams.records import Record

LOG = logging.getLogger("daskflow.streams")

READ_AT_ONCE = 512
WAITS_MILLISECONDS = 500
FETCH_BYTES, PARTITION_BYTES = 16 << 20, 1 << 20
"""Of one answer of a broker, and of a partition in it; a single record may be larger."""

SLOWEST_MILLISECONDS = 3_600_000
"""A consumer that is held up by a slow sink for so long is taken for dead."""

REBALANCE_MILLISECONDS = 60_000
COMMITTED_WITHIN_SECONDS = 30.0
"""A commit that a rebalance gets in the way of is tried for so long."""


class GroupConsumer:
    """An open source; see `daskflow.streams.kafka.KafkaSource`.

    Parameters
    ----------
    cluster : KafkaCluster
        Where.
    group : str
        The consumer group.
    start : str
        ``earliest`` or ``latest``, where the group has no offset yet.
    key : str or None
        Column that orders records.
    once : bool
        Whether it ends when nothing is left.
    max_bytes : int
        Of one record.
    """

    def __init__(
        self, cluster: KafkaCluster, group: str, *, start: str, key: str | None, once: bool, max_bytes: int
    ) -> None:
        """Connect to nothing."""
        self._cluster, self._group, self._start, self._key = cluster, group, start, key
        self._once, self._max_bytes = once, max_bytes
        self._inbox = Inbox()
        self._consumer: Any = None
        self._next: dict[Any, int] = {}
        self._patience_seconds = 0.0

    @property
    def lag(self) -> int | None:
        """Records of this consumer's partitions that it has not given yet, as far as the brokers have told."""
        if self._consumer is None:
            return None
        highest = {place: self._consumer.highwater(place) for place in self._next}
        told = [mark - self._next[place] for place, mark in highest.items() if mark is not None]
        return sum(told) + len(self._inbox) if told else None

    @asynccontextmanager
    async def consuming(self, patience_seconds: float) -> AsyncIterator[None]:
        """Consume in the background for as long as the block lasts."""
        self._patience_seconds = patience_seconds
        try:
            await self._begin()
            async with self._inbox.filled_by(self._fetch):
                yield
        finally:
            if self._consumer is not None:
                await self._consumer.stop()

    async def _begin(self) -> None:
        """Connect, and join the group."""
        connection = self._cluster.connection()  # says what is wrong with the settings, or not installed
        from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener

        outer = self

        class Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # it has no types
            async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
                """Nothing is known before they are assigned anew."""

            async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
                await outer._assigned(assigned)

        patience = Patience(self._cluster.where, self._patience_seconds)
        while True:
            self._consumer = AIOKafkaConsumer(
                **connection,
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="none",  # else what a broker has removed is passed over in silence
                fetch_max_bytes=FETCH_BYTES,
                max_partition_fetch_bytes=PARTITION_BYTES,
                max_poll_interval_ms=SLOWEST_MILLISECONDS,
                rebalance_timeout_ms=REBALANCE_MILLISECONDS,
                isolation_level="read_committed",
            )
            try:
                self._consumer.subscribe([self._cluster.topic], listener=Listener())
                await self._consumer.start()
                return
            except Exception as error:
                await self._consumer.stop()
                await patience.wait(passing(error, self._cluster.where))

    async def _assigned(self, assigned: Collection[Any]) -> None:
        """Go on where this consumer is in what it keeps; forget what has gone to others."""
        gone = set(self._next) - set(assigned)
        self._next = {place: offset for place, offset in self._next.items() if place in assigned}
        for place, offset in self._next.items():
            self._consumer.seek(place, offset)
        await self._inbox.drop(frozenset(_name(place) for place in gone))

    async def _fetch(self) -> None:
        from aiokafka import errors

        patience = Patience(self._cluster.where, self._patience_seconds)
        while True:
            most = min(READ_AT_ONCE, await self._inbox.room())
            try:
                found = await self._consumer.getmany(timeout_ms=WAITS_MILLISECONDS, max_records=most)
                patience.good()
                if not found and self._once and await self._is_at_the_end():
                    return
            except errors.NoOffsetForPartitionError:
                await self._begin_anew()
                continue
            except errors.OffsetOutOfRangeError as error:
                raise self._removed(error) from None
            except errors.KafkaError as error:
                await patience.wait(passing(error, self._cluster.where))
                continue
            await self._inbox.put(list(self._records(found)))

    async def _begin_anew(self) -> None:
        """Begin where the group has no offset yet."""
        new = [place for place in self._consumer.assignment() if await self._consumer.committed(place) is None]
        new = [place for place in new if place not in self._next]
        if new and self._start == "earliest":
            await self._consumer.seek_to_beginning(*new)
        elif new:
            await self._consumer.seek_to_end(*new)

    async def _is_at_the_end(self) -> bool:
        assigned = self._consumer.assignment()
        if not assigned:
            return False
        ends: Mapping[Any, int] = await self._consumer.end_offsets(list(assigned))
        return all([await self._consumer.position(place) >= end for place, end in ends.items()])

    def _removed(self, error: Exception) -> DataError:
        return DataError(
            f"{self._cluster.where}: the offset at which group '{self._group}' goes on is no longer in the topic: what "
            f"came after it was removed before it was read ({error}). Set the group's offset, or take a new group."
        )

    def _records(self, found: Mapping[Any, Sequence[Any]]) -> Iterable[Record]:
        for place, messages in found.items():
            for message in messages:
                self._next[place] = message.offset + 1
                yield self._record(_name(place), message)

    def _record(self, partition: str, message: Any) -> Record:
        name = f"{partition}/{message.offset}"
        if message.value is None:
            return Record(
                name, {}, partition, message.offset, problem="it has no value: such a message marks a removed key"
            )
        return bounded_record(
            message.value,
            id=name,
            partition=partition,
            offset=message.offset,
            most_bytes=self._max_bytes,
            key=self._key,
        )

    async def take(self, most: int) -> Sequence[Record]:
        """Return records that are there; see `OpenSource`."""
        return await self._inbox.take(most)

    async def commit(self, records: Sequence[Record]) -> None:
        """Commit their offsets to the group; those of partitions that others have by now come again there."""
        from aiokafka import TopicPartition, errors

        newest: dict[str, int] = {}
        for record in records:
            newest[record.partition] = max(int(record.offset) + 1, newest.get(record.partition, 0))
        offsets = {
            TopicPartition(self._cluster.topic, int(name.rpartition("/")[2])): offset for name, offset in newest.items()
        }
        patience = Patience(self._cluster.where, self._patience_seconds)
        until = time.monotonic() + COMMITTED_WITHIN_SECONDS
        while offsets := {place: offset for place, offset in offsets.items() if place in self._consumer.assignment()}:
            try:
                await self._consumer.commit(offsets)
                return
            except (errors.CommitFailedError, errors.IllegalStateError):
                if time.monotonic() > until:
                    break
                await asyncio.sleep(0.1)
            except errors.KafkaError as error:
                await patience.wait(passing(error, self._cluster.where))
        LOG.warning("%s: %d partitions went to other consumers before a commit", self._cluster.where, len(newest))


def _name(place: Any) -> str:
    """A partition's name."""
    return f"{place.topic}/{place.partition}"
