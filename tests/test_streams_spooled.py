"""Server-sent events and WebSockets are sources whose messages are on the disk before they are handed on."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.core.errors import DataError, JournalError
from daskflow.streams.records import Record
from daskflow.streams.sse import EventReader
from tests.streaming_site import Handler, Site, answered, events, everything, numbers, opened, rows, run, taken, telling

# server-sent events


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
        position = {found[-1].partition: found[-1].offset}
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


@settings(max_examples=50)
@given(st.data())
def test_events_are_the_same_however_the_bytes_are_cut(data: st.DataObject) -> None:
    # given events with all line ends, among them one that is too large and one that has no end
    text = (
        b"\xef\xbb\xbf: x\ndata: a\r\ndata: b\r\n\r\nid: 1\rdata: c\r\rdata: "
        + b"x" * 200
        + b"\n\nevent: t\ndata:d\n\nid: 9\ndata: never ends"
    )
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=30)))
    # when
    reader = EventReader(50)
    pieces = [text[first:end] for first, end in itertools.pairwise([0, *places, len(text)])]
    found = [event for piece in pieces for event in reader.feed(piece)]
    # then
    told = [(event.data, event.type, event.id, event.is_too_large) for event in found]
    assert told[:2] == [(b"a\nb", "message", "", False), (b"c", "message", "1", False)]
    assert (told[2][3], told[3]) == (True, (b"d", "t", "", False))
    assert len(told) == 4
    assert len(told[2][0]) <= 50
    assert reader.last_id == "1"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Content_Type": "application/json"}, "'application/json', and no text/event-stream"),
        ({"Content_Type": "text/event-stream", "Content_Encoding": "gzip"}, r"the server compressed it \(gzip\)"),
    ],
)
def test_what_is_no_stream_of_events_is_an_error(headers: dict[str, str], words: str, tmp_path: Path) -> None:
    async def through(site: Site) -> list[Record]:
        site.handler = lambda request: answered(b"data: {}", **headers)
        return await everything(site.url("sse+http"), base=tmp_path)

    with pytest.raises(DataError, match=words):
        run(through)


# WebSocket


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
        async with opened(site.url("ws"), tmp_path, {first[-1].partition: first[-1].offset}) as source:
            return first, await taken(source, 41)

    # when
    first, again = run(through)
    # then
    assert numbers(first + again) == list(range(51))
    assert len({record.id for record in first + again}) == 51


def test_a_subscription_is_sent_after_each_connect_and_a_server_that_comes_back_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setenv("SUBSCRIPTION", "orders")

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
        async with opened(f"{site.url('ws')}#send=env:SUBSCRIPTION", tmp_path) as source:
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


@pytest.mark.slow
def test_a_full_spool_lets_the_server_wait(tmp_path: Path) -> None:
    # given a server that sends more than the spool may hold
    body = json.dumps({"n": 1, "x": "y" * 100_000})

    async def through(site: Site) -> tuple[int, int]:
        site.handler = telling(*[body] * 300, hold=True)
        async with opened(f"{site.url('ws')}#spool_bytes=2MB", tmp_path) as source:
            while sum(path.stat().st_size for path in tmp_path.rglob("*.spool")) < 2_000_000:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
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
        content = path.read_bytes()
        path.write_bytes((b"1" if content[:1] == b"0" else b"0") + content[1:])
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
