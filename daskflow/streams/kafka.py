"""Kafka: a topic read as one consumer of a group, or written to by an idempotent producer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from daskflow.core.errors import DataError
from daskflow.streams import OpenSink, OpenSource, StreamSink, StreamSource
from daskflow.streams.addresses import with_options
from daskflow.streams.json_records import text_of
from daskflow.streams.kafka_connection import KafkaCluster, options_of, passing
from daskflow.streams.kafka_consumer import GroupConsumer
from daskflow.streams.patience import Seconds
from daskflow.streams.payloads import MOST_BYTES
from daskflow.streams.records import Result

ANSWERED_MILLISECONDS = 20_000
"""In which brokers have taken a result; then the write has failed."""


class KafkaSource(StreamSource, KafkaCluster):
    """Messages of a Kafka topic, each a JSON object, read as one consumer of a group.

    Offsets are committed to the group once the results are at the sink. Partitions that a rebalance gives to another
    consumer are given up; those that stay go on where they were.

    Attributes
    ----------
    group : str
        The consumer group.
    start : str
        Where a group begins that has no offset yet: ``earliest`` or ``latest``.
    patience : float
        Seconds, or a text, for which the cluster may be away at the start and at a commit; in between it is waited
        for without end.
    max_bytes : int
        Of one record; a larger one is put aside.

    Examples
    --------
    >>> source = KafkaSource.of("kafka://one,two:9093/orders?group=scores&user=ann&password=env:KAFKA")
    >>> source.brokers, source.topic, source.group
    (('one:9092', 'two:9093'), 'orders', 'scores')
    """

    schemes: ClassVar[tuple[str, ...]] = ("kafka", "kafka+tls")

    kind: Literal["kafka"] = "kafka"
    group: str = Field(default="daskflow", min_length=1)
    start: Literal["earliest", "latest"] = "earliest"
    patience: Seconds = 600.0
    max_bytes: int = Field(default=MOST_BYTES, ge=1)

    @classmethod
    def of(cls, address: str) -> Self:
        """Read ``kafka://host:9092,host:9092/topic?group=daskflow``."""
        own, options = options_of(address)
        return with_options(cls, "kafka", options, **own)

    def open(self, base: Path, positions: Mapping[str, Any]) -> AbstractAsyncContextManager[OpenSource]:
        """Join the group, which remembers by itself how far it is."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[OpenSource]:
        consumer = GroupConsumer(
            self, self.group, start=self.start, key=self.key, once=self.once, max_bytes=self.max_bytes
        )
        async with consumer.consuming(self.patience):
            yield consumer


class KafkaSink(StreamSink, KafkaCluster):
    """Results as messages of a Kafka topic, written when all replicas that are in step have them.

    A message's key is the record's key, else its ID; its value the result as a JSON object, with its ``id``. The
    producer is idempotent: what it sends again by itself is there once. What comes again after a kill is there twice,
    with one ID; a compacted topic keeps the newest of one key.

    Examples
    --------
    >>> KafkaSink.of("kafka://localhost:9092/answers").topic
    'answers'
    """

    schemes: ClassVar[tuple[str, ...]] = ("kafka", "kafka+tls")

    kind: Literal["kafka"] = "kafka"

    @classmethod
    def of(cls, address: str) -> Self:
        """Read ``kafka://host:9092/topic``."""
        own, options = options_of(address)
        return with_options(cls, "kafka", options, **own)

    def open(self, base: Path) -> AbstractAsyncContextManager[OpenSink]:
        """Open it; the first write connects."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[OpenSink]:
        self.connection()  # raises now what is wrong with the settings
        producer = Producer(self)
        try:
            yield producer
        finally:
            await producer.stop()


class Producer:
    """Sends results; a new producer is made after a failure, for one that failed may never go on."""

    def __init__(self, settings: KafkaSink) -> None:
        """Connect to nothing."""
        self._settings = settings
        self._producer: Any = None

    async def write(self, results: Sequence[Result]) -> None:
        """Send them in order, and wait until all are taken; DataError when one is not."""
        from aiokafka.errors import KafkaError

        try:
            producer = await self._started()
            sent = [
                await producer.send(
                    self._settings.topic,
                    text_of(result.flat),
                    key=(result.record.key or result.id).encode(errors="backslashreplace"),
                )
                for result in results
            ]
            await asyncio.gather(*sent)
        except (KafkaError, OSError) as error:
            await self.stop()
            where = self._settings.where
            raise DataError(f"{where}: {passing(error, where)}.") from None

    async def _started(self) -> Any:
        from aiokafka import AIOKafkaProducer

        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._settings.connection(),
                enable_idempotence=True,
                acks="all",
                linger_ms=5,
                request_timeout_ms=ANSWERED_MILLISECONDS,
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def stop(self) -> None:
        """Close it."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()
