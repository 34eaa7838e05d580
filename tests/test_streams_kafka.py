"""Kafka as a source and a sink, against the brokers that librdkafka simulates: sockets and protocol are real."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from daskflow.core.errors import DataError, SettingsError
from daskflow.streams import OpenSource, sink_of, source_of
from daskflow.streams.kafka_consumer import GroupConsumer
from daskflow.streams.records import Record, Result
from tests.conftest import lacking


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    """Address of a cluster that lives in this process."""
    try:
        from confluent_kafka.admin import AdminClient
    except ImportError:
        lacking("confluent-kafka")
    cluster = AdminClient({"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 0})
    (broker,) = cluster.list_topics(timeout=10).brokers.values()
    yield f"{broker.host}:{broker.port}"
    del cluster


@pytest.fixture
def topic(brokers: str, request: pytest.FixtureRequest) -> str:
    """A topic of its own, of four partitions."""
    return "".join(sign if sign.isalnum() else "-" for sign in request.node.name)[:100]


def produce(brokers: str, topic: str, values: Sequence[Any], partition: int | None = None) -> None:
    """Add messages, by turns to the four partitions."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": brokers, "log_level": 0})
    for number, value in enumerate(values):
        body = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
        producer.produce(topic, body, partition=number % 4 if partition is None else partition)
    assert producer.flush(60) == 0


def run(what: Callable[[], Awaitable[Any]]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(150):
            return await what()

    return asyncio.run(limited())


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[OpenSource]:
    async with source_of(address).open(Path(), {}) as source:
        yield source


async def taken(source: OpenSource, n_records: int, *, commit: bool = True) -> list[Record]:
    found: list[Record] = []
    while len(found) < n_records:
        some = await source.take(100)
        assert some
        found.extend(some)
        if commit:
            await source.commit(some)
    return found


def numbers(records: Sequence[Record]) -> list[int]:
    return [record.values["n"] for record in records]


@pytest.mark.slow
def test_messages_come_in_the_order_of_their_partition_and_after_a_restart_from_the_commit_on(
    brokers: str, topic: str
) -> None:
    # given
    produce(brokers, topic, [{"n": number} for number in range(400)])
    address = f"kafka://{brokers}/{topic}?group={topic}&key=n"

    # when a consumer commits some, takes more, and goes
    async def through() -> tuple[list[Record], list[Record], Sequence[Record]]:
        async with opened(address) as source:
            first = [*await source.take(50)]
            await source.commit(first)
            await source.take(50)
        async with opened(f"{address}&once=true") as source:
            rest = await taken(source, 350)
            return first, rest, await source.take(1)

    first, rest, end = run(through)
    # then
    assert not end
    assert sorted(numbers(first + rest)) == list(range(400))
    assert len({record.id for record in first + rest}) == 400
    for partition in {record.partition for record in first + rest}:
        here = [record for record in first + rest if record.partition == partition]
        assert [record.offset for record in here] == list(range(100))
        assert [int(record.key) for record in here] == numbers(here)


@pytest.mark.slow  # the simulated brokers take three seconds to let a group begin
def test_a_message_that_is_no_record_has_a_problem_and_disturbs_no_other(brokers: str, topic: str) -> None:
    # given
    bad = [b"{nonsense", None, [1], {"n": "x" * 3000}]
    produce(brokers, topic, [{"n": 1}, *bad, {"n": 2}], partition=0)

    async def through() -> list[Record]:
        async with opened(f"kafka://{brokers}/{topic}?group={topic}&max_bytes=2000") as source:
            return await taken(source, 6)

    # when
    before, *found, after = run(through)
    # then
    words = ["not JSON", "has no value", "no object", "at most 2,000"]
    assert [word in record.problem for word, record in zip(words, found, strict=True)] == [True] * 4
    assert [record.reason for record in found] == ["malformed"] * 3 + ["size"]
    assert (before.values, after.values) == ({"n": 1}, {"n": 2})


@pytest.mark.slow
def test_a_consumer_that_waits_is_not_read_ahead_and_a_cancelled_take_loses_nothing(brokers: str, topic: str) -> None:
    # given
    produce(brokers, topic, [{"n": number} for number in range(3000)], partition=1)

    async def through() -> tuple[list[Record], int, int | None]:
        async with opened(f"kafka://{brokers}/{topic}?group={topic}") as source:
            found: list[Record] = []
            for number in range(100):
                taking = asyncio.create_task(source.take(3))
                await asyncio.sleep(0.001 * (number % 3))
                taking.cancel()
                await asyncio.wait({taking})
                found += [] if taking.cancelled() else taking.result()
            found += await source.take(1)
            await asyncio.sleep(0.5)
            while source.lag is None:
                await asyncio.sleep(0.01)
            held, lag = len(source._inbox), source.lag  # type: ignore[attr-defined]
            return found + await taken(source, 3000 - len(found)), held, lag

    # when
    found, held, lag = run(through)
    # then
    assert numbers(found) == list(range(3000))
    assert held <= 1024
    assert lag is not None
    assert lag > held


def test_partitions_that_go_to_another_consumer_are_given_up_and_those_that_stay_go_on() -> None:
    # given a stand-in for a consumer that has fetched ten of each of two partitions
    class Fetched:
        """What `GroupConsumer` asks of an `aiokafka.AIOKafkaConsumer` in a rebalance."""

        def __init__(self) -> None:
            self.sought: list[tuple[int, int]] = []

        def seek(self, place: Any, offset: int) -> None:
            self.sought.append((place.partition, offset))

        def assignment(self) -> set[Any]:
            return {one}

        async def commit(self, offsets: dict[Any, int]) -> None:
            self.committed = offsets

    one, two = TopicPartition("orders", 0), TopicPartition("orders", 1)

    async def through() -> tuple[Fetched, Sequence[Record]]:
        source: Any = source_of("kafka://host/orders")
        consumer = GroupConsumer(source, "g", start="earliest", key=None, once=False, max_bytes=1000)
        fetched = consumer._consumer = Fetched()
        messages = {place: [SimpleNamespace(offset=n, value=b"{}") for n in range(10)] for place in (one, two)}
        await consumer._inbox.put(list(consumer._records(messages)))
        # when the second one goes, with its records neither taken nor committed
        await consumer._assigned([one])
        found = await consumer.take(100)
        gone = [replace(found[0], partition="orders/1", offset=7)]
        await consumer.commit([*found, *gone])
        return fetched, found

    fetched, found = run(through)
    # then
    assert [(record.partition, record.offset) for record in found] == [("orders/0", n) for n in range(10)]
    assert fetched.sought == [(0, 10)]
    assert fetched.committed == {one: 10}
    assert all(hasattr(AIOKafkaConsumer, name) for name in ("seek", "assignment", "commit"))


@pytest.mark.slow
def test_results_are_messages_with_the_key_of_their_record(brokers: str, topic: str) -> None:
    # given
    results = [Result(f"r{n}", Record(f"r{n}", {}, key=f"k{n % 3}"), {"prediction": n}) for n in range(300)]

    async def through() -> list[Record]:
        async with sink_of(f"kafka://{brokers}/{topic}").open(Path()) as sink:
            await sink.write(results)
            await sink.write([])
        async with opened(f"kafka://{brokers}/{topic}?group={topic}&key=id") as source:
            return await taken(source, 300)

    # when
    found = run(through)
    # then those of one key are in one partition, in their order
    assert {record.key for record in found} == {f"r{n}" for n in range(300)}
    for key in range(3):
        of_key = [record for record in found if record.values["prediction"] % 3 == key]
        assert len({record.partition for record in of_key}) == 1
        assert [record.values["prediction"] for record in of_key] == list(range(key, 300, 3))


def test_a_client_that_is_not_installed_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    for name in ("aiokafka", "aiokafka.helpers"):
        monkeypatch.setitem(sys.modules, name, None)

    async def reading() -> None:
        async with source_of("kafka://127.0.0.1:1/orders?patience=300ms").open(Path(), {}):
            pass

    async def writing() -> None:
        async with sink_of("kafka://127.0.0.1:1/orders").open(Path()):
            pass

    # then
    for doing in (reading, writing):
        with pytest.raises(SettingsError, match=r"pip install 'daskflow\[kafka\]'"):
            run(doing)


def test_a_cluster_that_is_not_there_is_an_error_after_the_patience() -> None:
    async def reading() -> None:
        async with opened("kafka://127.0.0.1:1/orders?patience=300ms"):
            pass

    async def writing() -> None:
        async with sink_of("kafka://127.0.0.1:1/orders").open(Path()) as sink:
            await sink.write([Result("1", Record("1", {}), {"prediction": 1})])

    with pytest.raises(DataError, match="no broker can be reached"):
        run(reading)
    with pytest.raises(DataError, match="no broker can be reached"):
        run(writing)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("kafka:///orders", "kafka://host:9092/topic"),
        ("kafka://ann:hush@host:9092/orders", "kafka://host:9092/topic"),
        ("kafka://host:9092/", "topic"),
        ("kafka://host:9092/orders?password=hush", "env:NAME"),
        ("kafka://host:9092/orders?user=ann", "go together"),
        ("kafka://host:9092/orders?grup=hush", "did you mean 'group'"),
    ],
)
def test_an_address_that_cannot_be_is_refused_without_its_secrets(address: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        source_of(address)
    assert words in str(refused.value)
    assert "hush" not in str(refused.value)


def test_a_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    source: Any = source_of("kafka+tls://host:9092/orders?user=ann&password=env:KAFKA_PASSWORD")
    with pytest.raises(SettingsError, match="KAFKA_PASSWORD is not set"):
        source.connection()
    monkeypatch.setenv("KAFKA_PASSWORD", "hush")
    # when
    told = source.connection()
    # then
    assert (told["security_protocol"], told["sasl_plain_password"]) == ("SASL_SSL", "hush")
    assert "hush" not in f"{source!r}{source.dump()}"
