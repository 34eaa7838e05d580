"""Endpoints, server-sent events and WebSockets as sources, and endpoints as sinks, with servers on the loopback."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from daskflow.core.errors import DataError, JournalError, SettingsError
from daskflow.streams import OpenSource, sink_of, source_of
from daskflow.streams.records import Record, Result

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A server whose one address does what the test says; it can be stopped and started again."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[web.Request] = []
        self.handler: Handler = lambda request: answered([])
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        return await self.handler(request)

    def url(self, scheme: str = "http", path: str = "feed") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/{path}"


async def answered(value: Any, status: int = 200, **headers: str) -> web.StreamResponse:
    """A JSON answer, or one of bytes as they are."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return web.Response(body=body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})


def rows(*numbers: int) -> list[dict[str, int]]:
    return [{"n": number} for number in numbers]


def run(what: Callable[[Site], Awaitable[Any]]) -> Any:
    """Run a test against a site of its own, for at most 20 seconds."""

    async def limited() -> Any:
        site = Site()
        await site.start()
        try:
            async with asyncio.timeout(20):
                return await what(site)
        finally:
            await site.stop()

    return asyncio.run(limited())


@asynccontextmanager
async def opened(
    address: str, base: Path = Path(), positions: Mapping[str, Any] | None = None
) -> AsyncIterator[OpenSource]:
    async with source_of(address).open(base, positions or {}) as source:
        yield source


async def taken(source: OpenSource, n_records: int, most: int = 10) -> list[Record]:
    found: list[Record] = []
    while len(found) < n_records:
        some = await source.take(most)
        assert 0 < len(some) <= most
        found.extend(some)
        await source.commit(some)
    return found


async def everything(address: str, **options: Any) -> list[Record]:
    """What a source gives before it ends."""
    found: list[Record] = []
    async with opened(address, **options) as source:
        while some := await source.take(7):
            found.extend(some)
            await source.commit(some)
    return found


def numbers(records: Sequence[Record]) -> list[int]:
    return [record.values["n"] for record in records]


# polling


@pytest.mark.parametrize(
    ("body", "options", "content_type"),
    [
        (b'[{"n": 1}, {"n": 2}]', "", "application/json"),
        (b'{"n": 1}\n{"n": 2}\n', "", "application/x-ndjson"),
        (b'{"n": 1}\n\n{"n": 2}', "", "text/plain"),
        (b'{"data": {"items": [{"n": 1}, {"n": 2}]}}', "&items=data.items", "application/json"),
        (gzip.compress(b'[{"n": 1}, {"n": 2}]'), "", "gzip"),
    ],
)
def test_an_answer_is_read_as_what_it_is(body: bytes, options: str, content_type: str) -> None:
    # given
    async def through(site: Site) -> list[Record]:
        told = {"Content_Encoding": "gzip"} if content_type == "gzip" else {"Content_Type": content_type}
        site.handler = lambda request: answered(body, **told)
        return await everything(f"{site.url()}#once=true{options}")

    # when
    found = run(through)
    # then
    assert numbers(found) == [1, 2]
    assert len({record.id for record in found}) == 2
    assert found[0].offset < found[1].offset


def test_a_cursor_goes_on_at_once_and_after_a_restart_where_it_was() -> None:
    # given pages of three, by the number of the last record
    async def page(request: web.Request) -> web.StreamResponse:
        first = int(request.query.get("after", "0")) + 1
        return await answered(rows(*range(first, min(first + 3, 12))))

    async def through(site: Site) -> tuple[list[Record], list[Record], list[str]]:
        site.handler = page
        address = f"{site.url()}?kind=new#cursor=after&next=record.n&every=100ms"
        async with opened(address) as source:
            before = await taken(source, 5, most=1)
        site.asked.clear()
        after = await everything(f"{address}&once=true", positions={"": before[-1].offset})
        return before, after, [request.query_string for request in site.asked]

    # when
    before, after, asked = run(through)
    # then
    assert numbers(before + after) == list(range(1, 12))
    assert asked == ["kind=new&after=3", "kind=new&after=6", "kind=new&after=9", "kind=new&after=11"]
    again = run(through)[1]
    assert [record.id for record in again] == [record.id for record in after]


def test_a_cursor_may_be_in_the_answer() -> None:
    # given
    pages = {None: (rows(1, 2), "b"), "b": (rows(3), "c"), "c": ([], None)}

    async def page(request: web.Request) -> web.StreamResponse:
        found, after = pages[request.query.get("page")]
        return await answered({"items": found, "paging": {"next": after}})

    async def through(site: Site) -> list[Record]:
        site.handler = page
        return await everything(f"{site.url()}#cursor=page&next=answer.paging.next&items=items&once=true")

    # when, then
    assert numbers(run(through)) == [1, 2, 3]


def test_an_answer_that_grows_gives_what_is_new_in_it_and_an_equal_record_twice_is_two() -> None:
    # given an endpoint without a cursor and without validators
    async def through(site: Site) -> list[Record]:
        states = [rows(1, 1), rows(1, 1), rows(1, 1, 2), rows(1, 2, 3)]
        site.handler = lambda request: answered(states[min(len(site.asked), len(states)) - 1])
        async with opened(f"{site.url()}#every=10ms") as source:
            return await taken(source, 4)

    # when
    found = run(through)
    # then
    assert numbers(found) == [1, 1, 2, 3]
    assert len({record.id for record in found}) == 4


def test_an_answer_that_has_not_changed_is_not_sent_again_and_not_read_again() -> None:
    # given
    async def through(site: Site) -> tuple[list[Record], int, list[str | None]]:
        async def page(request: web.Request) -> web.StreamResponse:
            if request.headers.get("If-None-Match") == '"1"':
                return web.Response(status=304)
            return await answered(rows(1, 2), ETag='"1"')

        site.handler = page
        async with opened(f"{site.url()}#every=10ms") as source:
            found = await taken(source, 2)
            await asyncio.sleep(0.1)
        n_asked = len(site.asked)
        rest = await everything(f"{site.url()}#once=true", positions={"": found[-1].offset})
        return [*found, *rest], n_asked, [request.headers.get("If-None-Match") for request in site.asked[1:]]

    # when
    found, n_asked, conditions = run(through)
    # then
    assert numbers(found) == [1, 2]
    assert n_asked > 1
    assert set(conditions) == {'"1"'}


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        (b"{nonsense", "malformed", "not JSON"),
        (b"<html>moved</html>", "malformed", "not JSON"),
        (b'{"data": 5}', "malformed", "without an array at 'data'"),
        (b"[" + b" " * 5000 + b"]", "size", "more than 2,000 bytes"),
        (b'{"data": [5]}', "malformed", "no object"),
        (b'{"data": [{"n": Infinity}]}', "malformed", "not JSON"),
    ],
)
def test_an_answer_that_cannot_be_read_is_one_record_with_a_problem_and_not_the_end(
    body: bytes, reason: str, words: str
) -> None:
    # given
    async def through(site: Site) -> list[Record]:
        states = [body, body, b'{"data": [{"n": 1}]}']
        site.handler = lambda request: answered(states[min(len(site.asked), 3) - 1])
        async with opened(f"{site.url()}#every=10ms&items=data&max_bytes=2000") as source:
            return await taken(source, 2)

    # when
    bad, good = run(through)
    # then
    assert words in bad.problem
    assert bad.reason == reason
    assert good.values == {"n": 1}


def test_a_server_that_is_busy_or_away_is_asked_again_when_it_says() -> None:
    # given
    async def through(site: Site) -> tuple[list[Record], float]:
        states: list[Handler] = [
            lambda request: answered(b"", 503, Retry_After="1"),
            lambda request: answered(b"", 429),
            lambda request: answered(rows(1)),
        ]
        site.handler = lambda request: states[min(len(site.asked), 3) - 1](request)
        clock = asyncio.get_running_loop().time
        async with opened(f"{site.url()}#every=10ms") as source:
            began = clock()
            found = await taken(source, 1)
            waited = clock() - began
            await site.stop()
            await asyncio.sleep(0.1)
            site.handler = lambda request: answered(rows(1, 2))
            await site.start()
            return found + await taken(source, 1), waited

    # when
    found, waited = run(through)
    # then
    assert numbers(found) == [1, 2]
    assert waited >= 1


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (401, {}, "Give credentials"),
        (404, {}, "Check the address"),
        (302, {"Location": "http://elsewhere.example/"}, "another host"),
        (302, {"Location": "feed"}, "redirects loop"),
        (503, {"Retry_After": "3600"}, "patience = 600"),
    ],
)
def test_an_answer_that_will_not_change_ends_the_source(status: int, headers: dict[str, str], words: str) -> None:
    async def through(site: Site) -> list[Record]:
        site.handler = lambda request: answered(b"", status, **headers)
        return await everything(f"{site.url().replace('//', '//ann:hush@')}?token=hush#once=true")

    with pytest.raises(DataError, match=words) as refused:
        run(through)
    assert "hush" not in str(refused.value)


def test_an_endpoint_is_not_read_ahead_without_bound() -> None:
    # given pages of a thousand without an end
    async def page(request: web.Request) -> web.StreamResponse:
        first = int(request.query.get("after", "0")) + 1
        return await answered(rows(*range(first, first + 1000)))

    async def through(site: Site) -> int:
        site.handler = page
        async with opened(f"{site.url()}#cursor=after&next=record.n") as source:
            await source.take(1)
            await asyncio.sleep(0.3)
            return len(site.asked)

    # when, then
    assert run(through) <= 3


def test_credentials_go_to_the_server_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEED_TOKEN", "hush")

    async def through(site: Site) -> str:
        await everything(f"{site.url()}#once=true&access.bearer=env:FEED_TOKEN")
        return site.asked[0].headers["Authorization"]

    assert run(through) == "Bearer hush"


# sending


def results(n_results: int) -> list[Result]:
    return [Result(f"r{n}", Record(f"r{n}", {}), {"prediction": n}) for n in range(n_results)]


async def sent(address: str, n_results: int) -> None:
    async with sink_of(address).open(Path()) as sink:
        await sink.write(results(n_results))


def test_results_are_sent_in_batches_with_a_key_that_stays_the_same() -> None:
    # given
    async def through(site: Site) -> list[tuple[str, list[Any]]]:
        heard: list[tuple[str, list[Any]]] = []

        async def page(request: web.Request) -> web.StreamResponse:
            heard.append((request.headers["Idempotency-Key"], await request.json()))
            return await answered([])

        site.handler = page
        await sent(f"{site.url()}#batch=4", 10)
        await sent(f"{site.url()}#batch=4", 10)
        await sent(f"{site.url()}#batch=1", 2)
        return heard

    # when
    heard = run(through)
    # then
    assert [len(body) for _, body in heard[:3]] == [4, 4, 2]
    assert heard[:3] == heard[3:6]
    assert [body[0]["id"] for _, body in heard[:3]] == ["r0", "r4", "r8"]
    assert [key for key, _ in heard[6:]] == ["r0", "r1"]


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [(500, {}, "500.*no room"), (307, {"Location": "http://127.0.0.1:1/"}, "redirects"), (422, {}, "422")],
)
def test_results_that_are_not_taken_are_an_error(status: int, headers: dict[str, str], words: str) -> None:
    async def through(site: Site) -> None:
        site.handler = lambda request: answered(b"no room", status, **headers)
        await sent(site.url(), 1)

    with pytest.raises(DataError, match=words):
        run(through)


# server-sent events


def events(text: bytes, *, hold: bool = False) -> Handler:
    """An answer of events; it stays open when held."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(text)
        if hold:
            await asyncio.Event().wait()
        return response

    return handle


def test_events_go_on_after_the_last_id_when_the_server_breaks_off_and_after_a_restart(tmp_path: Path) -> None:
    # given a server that keeps its events, and breaks off after two
    async def page(request: web.Request) -> web.StreamResponse:
        first = int(request.headers.get("Last-Event-ID", "0")) + 1
        text = "".join(f'id: {n}\r\ndata: {{"n":\r\ndata: {n}}}\r\n\r\n' for n in range(first, first + 2))
        return await events(text.encode() + b'id: 99\ndata: {"n": 99')(request)

    async def through(site: Site) -> list[Record]:
        site.handler = page
        async with opened(site.url("sse+http"), tmp_path) as source:
            found = await taken(source, 5, most=1)
        position = {"spool": found[-1].offset}
        async with opened(site.url("sse+http"), tmp_path, position) as source:
            return found + await taken(source, 5)

    # when
    found = run(through)
    # then
    assert numbers(found) == list(range(1, 11))
    assert [record.id for record in found] == [str(n) for n in range(1, 11)]
    assert [record.offset for record in found] == list(range(1, 11))


def test_events_without_ids_have_ids_of_their_own_and_other_types_are_passed_over(tmp_path: Path) -> None:
    # given
    text = b'\xef\xbb\xbf: hello\nid: 7\ndata: {"n": 1}\n\ndata: {"n": 2}\n\nevent: other\ndata: {"n": 3}\n\n'

    async def through(site: Site) -> list[Record]:
        site.handler = events(text)
        return await everything(f"{site.url('sse+http')}#once=true&event=message", base=tmp_path)

    # when
    one, two = run(through)
    # then
    assert (one.id, one.values, two.values) == ("7", {"n": 1}, {"n": 2})
    assert two.id not in ("", "7")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"data: " + b"x" * 10_000 + b"\n\n", "size"),
        (b"data: xxxxx\n" * 2000 + b"\n", "size"),
        (b"data: [1]\n\n", "malformed"),
        (b"data: \xff\n\n", "malformed"),
        (b"data\n\n", "malformed"),
    ],
)
def test_an_event_that_is_no_record_has_a_problem_and_disturbs_no_other(
    text: bytes, reason: str, tmp_path: Path
) -> None:
    async def through(site: Site) -> list[Record]:
        site.handler = events(b'data: {"n": 1}\n\n' + text + b'data: {"n": 2}\n\n')
        return await everything(f"{site.url('sse+http')}#once=true&max_bytes=5000", base=tmp_path)

    before, bad, after = run(through)
    assert bad.problem
    assert bad.reason == reason
    assert len(bad.raw) <= 5000
    assert (before.values, after.values) == ({"n": 1}, {"n": 2})


def test_what_is_no_stream_of_events_is_an_error(tmp_path: Path) -> None:
    async def through(site: Site) -> list[Record]:
        site.handler = lambda request: answered(rows(1), Content_Type="application/json")
        return await everything(site.url("sse+http"), base=tmp_path)

    with pytest.raises(DataError, match="'application/json', and no text/event-stream"):
        run(through)


# WebSocket


def telling(*messages: Any, hold: bool = False) -> Handler:
    """A WebSocket that sends messages after it has heard one, and then closes or stays."""

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for message in messages:
            await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_str(message))
        if hold:
            await socket.receive()
        return socket

    return handle


def test_messages_that_were_received_come_again_until_they_are_committed(tmp_path: Path) -> None:
    # given a server that sends each message once, and one of ours that went before it had committed all
    async def through(site: Site) -> tuple[list[Record], list[Record]]:
        site.handler = telling(*[json.dumps({"n": n}) for n in range(50)], hold=True)
        async with opened(site.url("ws"), tmp_path) as source:
            first = [*await source.take(10)]
            await source.commit(first)
            await source.take(10)
            while source.lag != 30:
                await asyncio.sleep(0.01)
        site.handler = telling(json.dumps({"n": 50}), hold=True)
        async with opened(site.url("ws"), tmp_path, {"spool": first[-1].offset}) as source:
            return first, await taken(source, 41)

    # when
    first, again = run(through)
    # then
    assert numbers(first + again) == list(range(51))
    assert len({record.id for record in first + again}) == 51


def test_a_subscription_is_sent_after_each_connect_and_a_server_that_comes_back_is_found(tmp_path: Path) -> None:
    # given
    async def through(site: Site) -> tuple[list[Record], list[str]]:
        heard: list[str] = []

        async def page(request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            heard.append(await socket.receive_str())
            await socket.send_json({"n": len(heard)})
            await socket.receive()
            return socket

        site.handler = page
        async with opened(f"{site.url('ws')}#send=orders", tmp_path) as source:
            found = await taken(source, 1)
            await site.stop()
            await asyncio.sleep(0.2)
            await site.start()
            return found + await taken(source, 1), heard

    # when
    found, heard = run(through)
    # then
    assert numbers(found) == [1, 2]
    assert heard == ["orders", "orders"]


def test_a_message_that_is_no_record_has_a_problem_and_disturbs_no_other(tmp_path: Path) -> None:
    # given
    async def through(site: Site) -> list[Record]:
        first = telling('{"n": 1}', "nonsense", b"\xff\xfe", b'{"n": 2}', "x" * 5000)
        site.handler = lambda request: (first if len(site.asked) == 1 else telling('{"n": 3}'))(request)
        async with opened(f"{site.url('ws')}#max_bytes=1000", tmp_path) as source:
            return await taken(source, 6)

    # when
    found = run(through)
    # then
    assert [record.values.get("n") for record in found] == [1, None, None, 2, None, 3]
    assert [record.reason for record in found if record.problem] == ["malformed", "malformed", "size"]


def test_a_full_spool_lets_the_server_wait(tmp_path: Path) -> None:
    # given a server that sends more than the spool may hold
    body = json.dumps({"n": 1, "x": "y" * 100_000})

    async def through(site: Site) -> tuple[int, int]:
        site.handler = telling(*[body] * 300, hold=True)
        async with opened(f"{site.url('ws')}#spool_bytes=2MB", tmp_path) as source:
            await asyncio.sleep(0.5)
            held = sum(path.stat().st_size for path in tmp_path.rglob("*.spool"))
            return held, len(await taken(source, 300))

    # when
    held, n_taken = run(through)
    # then
    assert 2_000_000 <= held <= 2_200_000
    assert n_taken == 300
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.spool")) < 5_000_000


def test_a_torn_end_of_a_spool_is_cut_off_and_damage_is_refused(tmp_path: Path) -> None:
    # given
    async def through(site: Site) -> list[Record]:
        site.handler = telling('{"n": 1}', '{"n": 2}', hold=True)
        async with opened(site.url("ws"), tmp_path) as source:
            while source.lag != 2:
                await asyncio.sleep(0.01)
        (path,) = tmp_path.rglob("*.spool")
        path.write_bytes(path.read_bytes()[:-5])
        site.handler = telling('{"n": 3}', hold=True)
        async with opened(site.url("ws"), tmp_path) as source:
            found = await taken(source, 2)
        path.write_bytes(b"0" + path.read_bytes()[1:])
        with pytest.raises(JournalError, match="damaged"):
            await everything(site.url("ws"), base=tmp_path)
        return found

    # when, then
    assert numbers(run(through)) == [1, 3]


def test_a_spool_has_one_process_at_a_time(tmp_path: Path) -> None:
    async def through(site: Site) -> None:
        site.handler = telling(hold=True)
        async with opened(site.url("ws"), tmp_path), opened(site.url("ws"), tmp_path):
            pass

    with pytest.raises(JournalError, match="in use by another process"):
        run(through)


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [(403, {}, "403"), (302, {"Location": "http://127.0.0.1:1/"}, "redirects"), (200, {}, "opens no WebSocket")],
)
def test_an_address_that_opens_no_websocket_is_an_error(
    status: int, headers: dict[str, str], words: str, tmp_path: Path
) -> None:
    async def through(site: Site) -> list[Record]:
        site.handler = lambda request: answered(b"", status, **headers)
        return await everything(f"{site.url('ws')}?token=hush", base=tmp_path)

    with pytest.raises(DataError, match=words) as refused:
        run(through)
    assert "hush" not in str(refused.value)


# any of them


@pytest.mark.parametrize("scheme", ["http", "sse+http", "ws"])
def test_a_take_that_is_cancelled_loses_nothing(scheme: str, tmp_path: Path) -> None:
    # given
    pages: Mapping[str, Handler] = {
        "http": lambda request: answered(rows(*range(100))),
        "sse+http": events(b"".join(b'data: {"n": %d}\n\n' % n for n in range(100)), hold=True),
        "ws": telling(*[json.dumps({"n": n}) for n in range(100)], hold=True),
    }

    async def impatient(site: Site) -> list[Record]:
        site.handler = pages[scheme]
        found: list[Record] = []
        async with opened(site.url(scheme), tmp_path) as source:
            for number in range(60):
                taking = asyncio.create_task(source.take(1))
                await asyncio.sleep(0.0005 * (number % 5))
                taking.cancel()
                await asyncio.wait({taking})
                if not taking.cancelled():
                    found.extend(taking.result())
            while len(found) < 100:
                found.extend(await source.take(10))
        return found

    # when, then
    assert numbers(run(impatient)) == list(range(100))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://ann:hush@#every=1s", "names no host"),
        ("https://host/?token=hush#evry=1s", "did you mean 'every'"),
        ("https://host/?token=hush#every=-1s", "every"),
        ("https://host/#access.bearer=hush", "env:TOKEN"),
        ("https://host/#next=hush", "next"),
        ("wss://host/#max_bytes=hush", "max_bytes"),
        ("https://host/#every=1s&every=2s", "said twice"),
    ],
)
def test_an_address_that_cannot_be_is_refused(address: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        source_of(address)
    assert words in str(refused.value)
    assert "token=hush" not in str(refused.value)
    assert "ann:hush" not in str(refused.value)
