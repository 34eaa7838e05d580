"""Redis Streams as a source and a sink, with a real server."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from daskflow.core.errors import DataError, SettingsError
from daskflow.streams import OpenSource, sink_of, source_of
from daskflow.streams.records import Record, Result
from tests.open_ports import open_port
from tests.redis_server import RedisServer, redis_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    """A client of an empty server."""
    with redis.Redis(port=server.port, decode_responses=True) as connected:
        connected.flushall()
        yield connected


def fill(client: Any, n_records: int, stream: str = "orders") -> None:
    """Add so many records."""
    pipe = client.pipeline(transaction=False)
    for number in range(n_records):
        pipe.xadd(stream, {"record": json.dumps({"n": number})})
    pipe.execute()


def run(what: Callable[[], Awaitable[Any]]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(100):
            return await what()

    return asyncio.run(limited())


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[OpenSource]:
    async with source_of(address).open(Path(), {}) as source:
        yield source


async def take_all(source: OpenSource, n_records: int, *, most: int = 100, commit: bool = True) -> list[Record]:
    """Take so many, and commit them."""
    found: list[Record] = []
    while len(found) < n_records:
        some = await source.take(most)
        assert 0 < len(some) <= most
        found.extend(some)
        if commit:
            await source.commit(some)
    return found


def numbers(records: Sequence[Record]) -> list[int]:
    return [record.values["n"] for record in records]


def results(n_results: int) -> list[Result]:
    return [
        Result(f"orders/{n}-0", Record(f"orders/{n}-0", {"n": n}), {"prediction": "late"}) for n in range(n_results)
    ]


# source


def test_entries_come_once_in_their_order_with_ids_offsets_and_keys(server: RedisServer, client: Any) -> None:
    # given
    fill(client, 1500)

    # when everything is taken by one who takes all that is there, and again
    async def once() -> tuple[list[Record], Sequence[Record]]:
        async with opened(f"{server.url}?stream=orders&group=g&once=true&key=n") as source:
            found = await take_all(source, 1500)
            return found, await source.take(10)

    found, rest = run(once)
    again, _ = run(lambda: first_of(f"{server.url}?stream=orders&group=g&once=true"))
    # then
    assert numbers(found) == list(range(1500))
    assert not rest
    assert not again
    assert [record.key for record in found[:3]] == ["0", "1", "2"]
    assert found[0].id == "orders/{}-{}".format(*found[0].offset)
    offsets = [record.offset for record in found]
    assert offsets == sorted(offsets)
    assert len({record.id for record in found}) == 1500
    assert client.xpending("orders", "g")["pending"] == 0


async def first_of(address: str, most: int = 100) -> tuple[Sequence[Record], int | None]:
    async with opened(address) as source:
        return await source.take(most), source.lag


def test_what_was_not_committed_comes_again_first(server: RedisServer, client: Any) -> None:
    # given a consumer that took 30, committed 10, and went
    fill(client, 50)

    async def broken() -> None:
        async with opened(f"{server.url}?stream=orders") as source:
            taken = await take_all(source, 30, most=30, commit=False)
            await source.commit(taken[:10])

    run(broken)
    # when it is started again
    found = run(lambda: collected(f"{server.url}?stream=orders", 40))
    # then
    assert numbers(found) == list(range(10, 50))


async def collected(address: str, n_records: int, **options: Any) -> list[Record]:
    async with opened(address) as source:
        return await take_all(source, n_records, **options)


def test_a_take_that_is_cancelled_loses_nothing(server: RedisServer, client: Any) -> None:
    # given
    async def impatient() -> list[Record]:
        found: list[Record] = []
        async with opened(f"{server.url}?stream=orders") as source:
            for number in range(200):
                if number % 4 == 0:
                    fill(client, 3)
                taking = asyncio.create_task(source.take(2))
                await asyncio.sleep(0.0005 * (number % 5))
                taking.cancel()
                await asyncio.wait({taking})
                if not taking.cancelled():
                    found.extend(taking.result())
            while len(found) < 150:
                found.extend(await source.take(10))
        return found

    # when
    found = run(impatient)
    # then
    assert numbers(found) == [0, 1, 2] * 50


def test_it_reads_no_more_ahead_than_it_may(server: RedisServer, client: Any) -> None:
    # given
    fill(client, 5000)

    # when one record is taken of a source that had time for all
    async def slow() -> tuple[int, int | None]:
        async with opened(f"{server.url}?stream=orders&group=g") as source:
            await source.take(1)
            await asyncio.sleep(0.5)
            while source.lag is None:
                await asyncio.sleep(0.01)
            return client.xpending("orders", "g")["pending"], source.lag

    pending, lag = run(slow)
    # then
    assert 1 <= pending <= 1025
    assert lag is not None


@pytest.mark.slow  # a consumer counts as dead after some seconds
def test_what_a_dead_consumer_had_is_taken_over_and_what_a_living_one_has_is_not(
    server: RedisServer, client: Any
) -> None:
    # given one that died with ten pending, and one that holds what it takes
    fill(client, 20)
    client.xgroup_create("orders", "g", id="0")
    client.xreadgroup("g", "gone", {"orders": ">"}, count=10)
    address = f"{server.url}?stream=orders&group=g&idle=4s"

    # when another one comes, for longer than a consumer counts as living by what it does
    async def together() -> list[Record]:
        async with opened(address) as holding, opened(address) as other:
            found: list[Record] = []
            until = asyncio.get_running_loop().time() + 5.5
            while len(found) < 20 or asyncio.get_running_loop().time() < until:
                for source in (holding, other):
                    found += await source.take(100) if len(source._inbox) else []  # type: ignore[attr-defined]
                await asyncio.sleep(0.01)
            return found

    found = run(together)
    # then the dead one's have come to one of them, and none of what they hold to the other
    assert sorted(numbers(found)) == list(range(20))


def test_consumers_on_one_host_take_names_and_records_of_their_own(server: RedisServer, client: Any) -> None:
    # given
    fill(client, 2000)
    address = f"{server.url}?stream=orders&group=g"

    # when
    async def both() -> tuple[list[Record], list[str]]:
        async with opened(address) as one, opened(address) as two:
            found: list[Record] = []
            while len(found) < 2000:
                for source in (one, two):
                    some = await asyncio.wait_for(source.take(50), 60) if len(source._inbox) else []  # type: ignore[attr-defined]
                    await source.commit(some)
                    found.extend(some)
                await asyncio.sleep(0)
            return found, sorted(one["name"] for one in client.xinfo_consumers("orders", "g"))

    found, names = run(both)
    # then
    assert sorted(numbers(found)) == list(range(2000))
    assert len(names) == 2


def test_a_name_that_a_living_consumer_has_is_refused(server: RedisServer, client: Any) -> None:
    # given
    address = f"{server.url}?stream=orders&group=g&consumer=ann"

    async def twice() -> None:
        async with opened(address), opened(address):
            pass

    # when, then
    with pytest.raises(DataError, match="another living consumer of group 'g' is called 'ann'"):
        run(twice)


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"record": "{nonsense"}, "malformed", "is not JSON"),
        ({"record": '{"n": NaN}'}, "malformed", "NaN"),
        ({"record": "[1]"}, "malformed", "no object"),
        ({"record": b"\xff\xfe"}, "malformed", "UTF-8"),
        ({"record": "[" * 100_000}, "malformed", "is not JSON"),
        ({"other": "1"}, "malformed", "no field 'record', but 'other'"),
        ({"record": json.dumps({"n": "x" * 2_000_000})}, "size", "at most 1,000,000"),
    ],
)
def test_an_entry_that_is_no_record_has_a_problem_and_disturbs_no_other(
    fields: dict[str, Any], reason: str, words: str, server: RedisServer, client: Any
) -> None:
    # given
    fill(client, 1)
    client.xadd("orders", fields)
    fill(client, 1)
    # when
    before, bad, after = run(lambda: collected(f"{server.url}?stream=orders&max_bytes=1000000", 3))
    # then
    assert words in bad.problem
    assert bad.reason == reason
    assert not bad.values
    assert 0 < len(bad.raw) <= 1_000_000
    assert (before.values, after.values) == ({"n": 0}, {"n": 0})


def test_each_field_may_be_a_column(server: RedisServer, client: Any) -> None:
    # given
    client.xadd("orders", {"price": "1.5", "town": "Ulm", "gift": "null", "odd": "NaN"})
    client.xadd("orders", {"price": "1.5", "town": b"K\xf6ln"})
    # when
    record, bad = run(lambda: collected(f"{server.url}?stream=orders&field=*", 2))
    # then
    assert record.values == {"price": 1.5, "town": "Ulm", "gift": None, "odd": "NaN"}
    assert bad.problem == "it has a field that is not UTF-8 text"


def test_entries_that_were_deleted_before_they_were_read_again_are_let_go(server: RedisServer, client: Any) -> None:
    # given
    fill(client, 4)
    pending = run(lambda: collected(f"{server.url}?stream=orders&group=g", 4, commit=False))
    client.xdel("orders", pending[1].id.removeprefix("orders/"))
    # when
    found = run(lambda: collected(f"{server.url}?stream=orders&group=g", 3))
    # then
    assert numbers(found) == [0, 2, 3]
    assert client.xpending("orders", "g")["pending"] == 0


def test_a_server_that_goes_away_and_comes_back_is_waited_for(tmp_path: Path) -> None:
    # given
    with redis_server(tmp_path) as server:
        with redis.Redis(port=server.port) as client:
            fill(client, 600)

        async def through() -> list[Record]:
            async with opened(f"{server.url}?stream=orders&group=g&once=false") as source:
                found = list(await source.take(100))
                await asyncio.to_thread(server.kill)  # with what is taken, and what is held
                committing = asyncio.create_task(source.commit(found))
                await asyncio.sleep(0.3)
                await asyncio.to_thread(server.start)
                await committing
                return found + await take_all(source, 600 - len(found))

        # when
        found = run(through)
        # then none is lost, and none comes twice to one who has it
        assert numbers(found) == list(range(600))


def test_a_server_that_stays_away_is_an_error_after_the_patience(tmp_path: Path) -> None:
    # given
    with redis_server(tmp_path) as server:

        async def gone() -> None:
            async with opened(f"{server.url}?stream=orders&patience=300ms") as source:
                await asyncio.to_thread(server.kill)
                await source.take(1)

        # when, then
        with pytest.raises(DataError, match=r"cannot be reached.*patience = 0.3 s"):
            run(gone)


def test_a_key_that_is_no_stream_is_an_error(server: RedisServer, client: Any) -> None:
    client.set("orders", "text")
    with pytest.raises(DataError, match="holds something else than a stream"):
        run(lambda: first_of(f"{server.url}?stream=orders"))


def test_a_group_that_vanishes_is_made_anew_and_loses_nothing(server: RedisServer, client: Any) -> None:
    # given
    async def through() -> list[Record]:
        async with opened(f"{server.url}?stream=orders&group=g") as source:
            client.xgroup_destroy("orders", "g")
            fill(client, 5)
            return await take_all(source, 5)

    # when, then
    assert numbers(run(through)) == list(range(5))


# sink


async def written(address: str, *batches: Sequence[Result]) -> None:
    async with sink_of(address).open(Path()) as sink:
        for batch in batches:
            await sink.write(batch)


def test_a_hash_holds_a_result_once(server: RedisServer, client: Any) -> None:
    # given
    address = f"{server.url}?hash=answers"
    # when the end of one batch comes again
    run(lambda: written(address, results(2500), results(2500)[2000:]))
    # then
    assert sink_of(address).is_keyed
    found = client.hgetall("answers")
    assert len(found) == 2500
    assert json.loads(found["orders/7-0"]) == {"id": "orders/7-0", "prediction": "late"}


def test_a_stream_gets_results_in_their_order(server: RedisServer, client: Any) -> None:
    # given
    address = f"{server.url}?stream=answers"
    # when
    run(lambda: written(address, results(1200)))
    # then
    assert not sink_of(address).is_keyed
    found = [fields for _, fields in client.xrange("answers")]
    assert [fields["id"] for fields in found] == [result.id for result in results(1200)]
    assert json.loads(found[0]["result"])["prediction"] == "late"


def test_a_sink_that_refuses_is_an_error(server: RedisServer, client: Any) -> None:
    client.set("answers", "text")
    with pytest.raises(DataError, match="WRONGTYPE"):
        run(lambda: written(f"{server.url}?hash=answers", results(1)))


# secrets


def test_a_password_opens_the_server_and_is_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("REDIS_PASSWORD", "hush-hush")
    with redis_server(tmp_path, "--requirepass", "hush-hush") as server:
        inside = server.url.replace("//", "//:hush-hush@")
        named = f"{server.url}?stream=orders&password=env:REDIS_PASSWORD"
        with redis.Redis(port=server.port, password="hush-hush") as client:
            fill(client, 2)
        # when
        found = run(lambda: collected(f"{inside}?stream=orders&once=true", 2))
        again = run(lambda: collected(f"{named}&group=other", 2))
        with pytest.raises(DataError, match="refuses user or password") as refused:
            run(lambda: first_of(f"{server.url.replace('//', '//:hush-wrong@')}?stream=orders"))
        server.kill()
        with pytest.raises(DataError) as away:
            run(lambda: first_of(f"{inside}?stream=orders&patience=0"))
    # then
    assert numbers(found) == numbers(again) == [0, 1]
    source = source_of(f"{inside}?stream=orders")
    shown = [repr(source), str(source.dump()), str(refused.value), str(away.value), caplog.text, repr(found)]
    assert not [text for text in shown if "hush" in text]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("redis://ann:hush@host/x?stream=orders", "number of a database"),
        ("redis://ann:hush@host:x/0?stream=orders", "redis://host:6379/0"),
        ("redis://ann:hush@/0?stream=orders", "redis://host:6379/0"),
        ("redis://host/0?stream=orders&password=hush", "'env:NAME'"),
        ("redis://host/0", "stream: is required"),
        ("redis://host/0?stream=orders&grup=hush", "did you mean 'group'"),
        ("redis://host/0?stream=orders&idle=soon", "a time such as"),
        ("redis://host/0?stream=orders&stream=hush", "said twice"),
    ],
)
def test_an_address_that_cannot_be_is_refused_without_being_shown(address: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        source_of(address)
    assert words in str(refused.value)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("address", ["redis://host/0", "redis://host/0?stream=a&hash=b"])
def test_a_sink_is_one_place(address: str) -> None:
    with pytest.raises(SettingsError, match="say one of them"):
        sink_of(address)


@pytest.mark.slow
def test_rediss_is_encrypted_and_trusts_only_the_authority_it_is_told(tmp_path: Path) -> None:
    # given a server that listens with a certificate of its own
    own = tmp_path / "own.pem"
    certify(own)
    options = ["--tls-cert-file", str(own), "--tls-key-file", str(own), "--tls-ca-cert-file", str(own)]
    port = open_port()
    with redis_server(tmp_path / "r", *options, "--tls-auth-clients", "no", "--tls-port", str(port)) as server:
        with redis.Redis(port=server.port) as client:
            fill(client, 3)
        address = f"rediss://localhost:{port}/0?stream=orders&connect_seconds=5s"
        # when
        found = run(lambda: collected(f"{address}&ca={own}", 3))
        # then
        assert numbers(found) == [0, 1, 2]
        with pytest.raises(DataError, match="not one this machine trusts"):
            run(lambda: collected(address, 3))


def certify(path: Path) -> None:
    """Write a key and a certificate for ``localhost``, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
