"""An endpoint is a source that is polled, and a sink that gets batches; servers on the loopback."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from daskflow.core.errors import DataError, SettingsError
from daskflow.streams import sink_of, source_of
from daskflow.streams.records import Record, Result
from daskflow.workflow.streaming_settings import StreamSettings
from tests.streaming_site import Handler, Site, answered, everything, numbers, opened, rows, run, taken

# polling


@pytest.mark.parametrize(
    ("body", "options", "content_type"),
    [
        (b'\xef\xbb\xbf[{"n": 1}, {"n": 2}]', "", "application/json"),
        (b'{"n": 1}\n{"n": 2}\n', "", "application/x-ndjson"),
        (b'{"n": 1}\n\n{"n": 2}', "", "text/plain"),
        (b'{"data": {"items": [{"n": 1}, {"n": 2}]}}', "&items=data.items", "application/json"),
        (gzip.compress(b'[{"n": 1}, {"n": 2}]', mtime=0), "", "gzip"),
        (b"".join(gzip.compress(part, mtime=0) for part in (b'[{"n": 1},', b' {"n": 2}]')) + bytes(20), "", "gzip"),
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


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (gzip.compress(b'{"n": 1}\n{"n": 2}\n')[:-9], "broke off"),
        (gzip.compress(b'{"n": 1}\n') + b"more", "it says gzip and is none"),
    ],
    ids=["without an end", "with something else behind it"],
)
def test_a_compressed_answer_that_is_not_whole_gives_no_records(body: bytes, words: str) -> None:
    # given
    async def through(site: Site) -> list[Record]:
        site.handler = lambda request: answered(body, Content_Encoding="gzip", Content_Type="application/x-ndjson")
        return await everything(f"{site.url()}#once=true&patience=100ms")

    # when, then
    with pytest.raises(DataError, match=words):
        run(through)


def test_a_compressed_answer_of_nothing_without_end_is_too_large() -> None:
    # given members that hold nothing, one after the other
    async def through(site: Site) -> list[Record]:
        site.handler = lambda request: answered(gzip.compress(b"") * 1000, Content_Encoding="gzip")
        return await everything(f"{site.url()}#once=true&max_bytes=1000")

    # when, then
    assert [record.reason for record in run(through)] == ["size"]


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
        after = await everything(f"{address}&once=true", positions={before[-1].partition: before[-1].offset})
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
            while len(site.asked) < 3:
                await asyncio.sleep(0.01)
        n_asked = len(site.asked)
        rest = await everything(f"{site.url()}#once=true", positions={found[-1].partition: found[-1].offset})
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


@pytest.mark.slow  # it asks to be left alone for a second
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


def test_what_is_shown_alike_is_not_taken_for_the_same() -> None:
    # given two addresses that differ in what is hidden
    one, two = (source_of(f"https://example.org/feed?kind={kind}#every=1s") for kind in ("a", "b"))
    # then their streams have folders of their own, and one's offset means nothing to the other
    assert one.dump() == two.dump()
    assert one.identity() != two.identity()
    names = {StreamSettings.of({"from": each, "to": "answers/"}).name(Path()) for each in (one, two)}
    assert len(names) == 2


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
