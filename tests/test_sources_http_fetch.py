"""Files come whole and right from a server that misbehaves in every way, or not at all with a sentence."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.core.errors import DataError
from daskflow.core.events import Event
from daskflow.data.http_address import Address
from daskflow.data.http_client import Client
from daskflow.data.http_settings import Access, Limits
from daskflow.sources.http_download import download, raise_failures
from daskflow.sources.http_transfer import Outcome, State, Wanted
from tests.conftest import lacking
from tests.misbehaving_server import (
    Handler,
    Reply,
    Request,
    Server,
    answer,
    breaking_off,
    file,
    hanging,
    redirect,
    serving,
    unframed,
)

BODY = b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(20_000))
QUICK = {"backoff_seconds": 0.01, "idle_seconds": 60, "connect_seconds": 30, "retries": 3}
"""Who is not answered is waited for, however busy the machine: tests of servers that hang have limits of their own."""


@pytest.fixture
def server() -> Iterator[Server]:
    threads = threading.active_count()
    with serving() as running:
        yield running
    until = time.monotonic() + 60
    while threading.active_count() > threads and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() <= threads


def fetch(
    folder: Path, *wanted: str | Wanted, access: Access | None = None, hosts: Any = (), told: Any = None, **limits: Any
) -> list[Outcome]:
    """Fetch addresses with shrunken times."""

    async def run() -> list[Outcome]:
        files = [Wanted(Address(one)) if isinstance(one, str) else one for one in wanted]
        async with Client(Limits(**{**QUICK, **limits}), access or Access(), hosts) as client:
            return await download(files, folder, client, listener=told or (lambda event: None))

    return asyncio.run(run())


def failure(outcomes: list[Outcome]) -> str:
    (outcome,) = outcomes
    assert outcome.state is State.FAILED
    return str(outcome.error)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".daskflow"))


def parquet_bytes() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"x": list(range(5_000))}), buffer)
    return buffer.getvalue()


# what passes


def test_a_file_arrives_whole_and_under_its_name(server: Server, tmp_path: Path) -> None:
    # when
    (outcome,) = fetch(tmp_path, server.at("/data/part%201.csv", file(BODY, kind="text/csv")))
    # then
    assert outcome.state is State.FETCHED
    assert outcome.done is not None
    assert (tmp_path / "part 1.csv").read_bytes() == BODY
    assert outcome.done.sha256 == hashlib.sha256(BODY).hexdigest()
    assert files_in(tmp_path) == ["part 1.csv"]


def test_a_503_passes_with_a_retry_that_is_told(server: Server, tmp_path: Path) -> None:
    events: list[Event] = []
    (outcome,) = fetch(tmp_path, server.at("/a.csv", answer(503), file(BODY)), told=events.append)
    assert outcome.state is State.FETCHED
    assert outcome.n_retries == 1
    assert "503 Service Unavailable; try 2 of 4" in next(e.fields["text"] for e in events if e.name == "note")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_statuses_that_may_pass_are_tried_again_as_often_as_said_and_then_named(
    server: Server, tmp_path: Path, status: int
) -> None:
    text = failure(fetch(tmp_path, server.at("/a.csv", answer(status)), retries=2))
    assert f"{server.url('/a.csv')}: the server answered {status} " in text
    assert "tried 3 times" in text
    assert len(server.requests) == 3
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 418])
def test_other_statuses_are_final_and_named(server: Server, tmp_path: Path, status: int) -> None:
    text = failure(fetch(tmp_path, server.at("/a.csv", answer(status))))
    assert f"{server.url('/a.csv')}: the server answered {status} " in text
    assert len(server.requests) == 1


def test_retry_after_is_waited_for_and_one_that_is_too_long_ends_it(server: Server, tmp_path: Path) -> None:
    # given a server that asks for a second, and one that asks for an hour
    soon = server.at("/soon.csv", answer(429, Retry_After="1"), file(BODY))
    late = server.at("/late.csv", answer(429, Retry_After="3600"), file(BODY))
    events: list[Event] = []
    # when
    first, second = fetch(tmp_path, soon, late, told=events.append)
    # then
    assert first.state is State.FETCHED
    waits = [float(e.fields["text"].rpartition(" in ")[2].split()[0]) for e in events if e.name == "note"]
    assert waits
    assert min(waits) >= 1
    assert "429 Too Many Requests, and asks to wait 3600 s, which is longer than" in str(second.error)
    assert len(server.asked("/late.csv")) == 1


def test_a_server_that_hangs_before_its_headers_is_left_after_the_time_said(server: Server, tmp_path: Path) -> None:
    url = server.at("/a.csv", hanging())
    text = failure(fetch(tmp_path, url, retries=0, idle_seconds=0.2))
    assert text.startswith(f"{url}: no answer within 0.2 s (limits.idle_seconds)")


def test_a_body_that_hangs_is_left_and_continued(server: Server, tmp_path: Path) -> None:
    # given
    head = f'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: {len(BODY)}\r\n\r\n'.encode()
    url = server.at("/a.csv", hanging(head + BODY[:70_000]), file(BODY))
    # when
    (outcome,) = fetch(tmp_path, url, idle_seconds=1)
    # then
    assert outcome.state is State.FETCHED
    assert (tmp_path / "a.csv").read_bytes() == BODY
    assert server.requests[1].start == 70_000
    assert outcome.n_bytes == len(BODY)


def test_a_body_that_drips_is_left(server: Server, tmp_path: Path) -> None:
    # given a slow loris
    async def drip(request: Request, reply: Reply) -> None:
        await reply.head(200, {"Content-Length": "1000000"})
        while True:
            await reply.raw(b"1")
            await asyncio.sleep(0.02)

    # when
    text = failure(fetch(tmp_path, server.at("/a.csv", drip), retries=0, slowest=1000, idle_seconds=0.2))
    # then
    assert "bytes per second after" in text
    assert "limits.slowest" in text


def test_headers_that_drip_are_left(server: Server, tmp_path: Path) -> None:
    async def drip(request: Request, reply: Reply) -> None:
        await reply.raw(b"HTTP/1.1 200 OK\r\n")
        while True:
            await reply.raw(b"X-A: 1\r\n")
            await asyncio.sleep(0.02)

    text = failure(fetch(tmp_path, server.at("/a.csv", drip), retries=0, connect_seconds=1, idle_seconds=0.2))
    assert "no answer within" in text


def test_all_tries_together_end_at_the_time_said(server: Server, tmp_path: Path) -> None:
    url = server.at("/a.csv", hanging())
    text = failure(fetch(tmp_path, url, total_seconds=0.3, retries=100, idle_seconds=0.1))
    assert "not done within limits.total_seconds = 0.3" in text


# short, long and changed bodies


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_body_cut_short_is_continued_where_it_broke_off(server: Server, tmp_path: Path, reset: bool) -> None:
    url = server.at("/a.csv", breaking_off(BODY, 100_000, reset=reset), file(BODY))
    (outcome,) = fetch(tmp_path, url)
    assert (tmp_path / "a.csv").read_bytes() == BODY
    assert server.requests[1].headers["range"] == "bytes=100000-"
    assert server.requests[1].headers["if-range"] == '"1"'
    assert outcome.n_retries == 1


def test_a_body_that_is_always_short_is_an_error_with_both_lengths(server: Server, tmp_path: Path) -> None:
    """Silent errors, section 5: a short answer says how many bytes of how many."""
    url = server.at("/a.csv", breaking_off(BODY, 1000, etag=""))
    text = failure(fetch(tmp_path, url))
    assert f"the answer broke off after 1000 of {len(BODY)} bytes" in text
    assert files_in(tmp_path) == [".a.csv.part"]


def test_a_server_that_ignores_range_sends_all_again(server: Server, tmp_path: Path) -> None:
    url = server.at("/a.csv", breaking_off(BODY, 100_000), file(BODY, ranges=False))
    fetch(tmp_path, url)
    assert (tmp_path / "a.csv").read_bytes() == BODY


def test_a_file_that_changed_while_it_was_fetched_is_begun_again(server: Server, tmp_path: Path) -> None:
    # given another state of another length, with the same first bytes
    changed = BODY[:50_000] + b"9,9\n" * 9
    url = server.at("/a.csv", breaking_off(BODY, 100_000), file(changed, etag='"2"'))
    # when
    fetch(tmp_path, url)
    # then nothing of the old state is in it
    assert (tmp_path / "a.csv").read_bytes() == changed


def test_a_part_of_another_state_is_not_mixed_in_though_the_server_ignores_the_guard(
    server: Server, tmp_path: Path
) -> None:
    # given a server that sends parts whatever If-Range says
    async def careless(request: Request, reply: Reply) -> None:
        start = request.start or 0
        span = {"Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"} if start else {}
        await reply.send(206 if start else 200, BODY[start:], {"ETag": '"2"', **span})

    url = server.at("/a.csv", breaking_off(b"x" * len(BODY), 100_000), careless)
    # when
    fetch(tmp_path, url)
    # then
    assert (tmp_path / "a.csv").read_bytes() == BODY


def test_a_part_that_begins_elsewhere_is_refused(server: Server, tmp_path: Path) -> None:
    async def wrong(request: Request, reply: Reply) -> None:
        await reply.send(206, BODY[5:], {"ETag": '"1"', "Content-Range": f"bytes 5-{len(BODY) - 1}/{len(BODY)}"})

    url = server.at("/a.csv", breaking_off(BODY, 100_000), wrong, file(BODY))
    fetch(tmp_path, url)
    assert (tmp_path / "a.csv").read_bytes() == BODY


def test_without_a_strong_etag_or_an_old_date_nothing_is_continued(server: Server, tmp_path: Path) -> None:
    url = server.at("/a.csv", breaking_off(BODY, 100_000, etag='W/"1"'), file(BODY, etag='W/"1"'))
    fetch(tmp_path, url)
    assert "range" not in server.requests[1].headers
    assert (tmp_path / "a.csv").read_bytes() == BODY


def test_silent_error_18_a_body_without_length_is_read_twice_and_compared(server: Server, tmp_path: Path) -> None:
    # given a body cut short at the first read
    url = server.at("/a.csv", unframed(BODY[:1000]), unframed(BODY))
    # when
    fetch(tmp_path, url)
    # then two equal ones were needed
    assert (tmp_path / "a.csv").read_bytes() == BODY
    assert len(server.requests) == 4
    # when no two are equal
    bodies = [unframed(BODY[: 1000 + n]) for n in range(10)]
    text = failure(fetch(tmp_path, server.at("/b.csv", *bodies), retries=2))
    # then
    assert "neither length nor digest, and two reads differ" in text
    assert "1004 and 1005 bytes" in text


@pytest.mark.parametrize("case", ["chunks", "digest", "parquet", "gzip"])
def test_a_body_without_length_is_read_once_where_something_else_says_that_it_is_whole(
    server: Server, tmp_path: Path, case: str
) -> None:
    # given
    async def chunked(request: Request, reply: Reply) -> None:
        await reply.head(200, {"Transfer-Encoding": "chunked"})
        await reply.raw(b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))

    name, body, handler = {
        "chunks": ("a.csv", BODY, chunked),
        "digest": ("a.csv", BODY, unframed(BODY, Content_MD5=b64encode(hashlib.md5(BODY).digest()).decode())),
        "parquet": ("a.parquet", parquet_bytes(), unframed(parquet_bytes())),
        "gzip": ("a.csv.gz", gzip.compress(BODY, mtime=0), unframed(gzip.compress(BODY, mtime=0))),
    }[case]
    # when
    fetch(tmp_path, server.at(f"/{name}", handler))
    # then
    assert (tmp_path / name).read_bytes() == body
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["a.parquet", "a.csv.gz", "a.arrow"])
def test_a_marked_file_cut_short_without_length_is_refused(server: Server, tmp_path: Path, name: str) -> None:
    arrow = io.BytesIO()
    with pa.ipc.new_file(arrow, pa.schema([("x", pa.int64())])) as writer:
        writer.write_table(pa.table({"x": list(range(5_000))}))
    body = {"a.parquet": parquet_bytes(), "a.csv.gz": gzip.compress(BODY), "a.arrow": arrow.getvalue()}[name]
    text = failure(fetch(tmp_path, server.at(f"/{name}", unframed(body[:2000]))))
    assert "short answer" in text
    assert files_in(tmp_path) == []


def test_a_file_that_the_server_itself_has_in_part_is_found_by_its_end(server: Server, tmp_path: Path) -> None:
    text = failure(fetch(tmp_path, server.at("/a.parquet", file(parquet_bytes()[:1000]))))
    assert "it does not end as a parquet file does, after 1000 bytes; it was fetched 2 times" in text


def test_a_body_that_is_longer_than_its_length_is_no_file(server: Server, tmp_path: Path) -> None:
    async def lying(request: Request, reply: Reply) -> None:
        await reply.head(200, {"Content-Length": "1000"})
        await reply.raw(parquet_bytes())

    failure(fetch(tmp_path, server.at("/a.parquet", lying)))
    assert files_in(tmp_path) == []


def test_chunks_without_the_last_one_are_a_short_body(server: Server, tmp_path: Path) -> None:
    async def cut(request: Request, reply: Reply) -> None:
        await reply.head(200, {"Transfer-Encoding": "chunked"})
        await reply.raw(b"%x\r\n%s\r\n" % (1000, BODY[:1000]))

    text = failure(fetch(tmp_path, server.at("/a.csv", cut)))
    assert "the answer broke off after 1000 bytes" in text


# what is not the data


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "export", "a.json", "a.csv.gz"])
@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"], ids=["said", "not said"])
def test_silent_error_16_a_login_page_is_not_data(server: Server, tmp_path: Path, name: str, kind: str) -> None:
    page = b"\n <!DOCTYPE html><html><body>Log in: <form>" + b" " * 2000
    text = failure(fetch(tmp_path, server.at(f"/{name}", file(page, kind=kind))))
    assert server.url(f"/{name}") in text
    assert "web page" in text or "it does not begin as" in text
    assert files_in(tmp_path) == [".".join(["", name, "part"])] or files_in(tmp_path) == []


def test_a_web_page_that_was_asked_for_is_fetched(server: Server, tmp_path: Path) -> None:
    (outcome,) = fetch(tmp_path, server.at("/index.html", file(b"<html></html>", kind="text/html")))
    assert outcome.state is State.FETCHED


@pytest.mark.parametrize("kind", ["image/png", "application/json", "application/pdf"])
def test_a_content_type_that_cannot_be_is_refused(server: Server, tmp_path: Path, kind: str) -> None:
    text = failure(fetch(tmp_path, server.at("/a.csv", file(b'{"error": "no"}', kind=kind))))
    assert f"the server says it is {kind}, not csv" in text


def test_an_empty_answer_is_no_data(server: Server, tmp_path: Path) -> None:
    assert "empty (0 bytes)" in failure(fetch(tmp_path, server.at("/a.csv", file(b""))))


def test_a_checksum_that_is_wrong_is_an_error_with_both(server: Server, tmp_path: Path) -> None:
    # given
    url = server.at("/a.csv", file(BODY))
    right, wrong = hashlib.sha256(BODY).hexdigest(), "0" * 64
    # when
    text = failure(fetch(tmp_path, Wanted(Address(url), {"sha256": wrong})))
    # then it was fetched once more, and nothing is left
    assert f"its sha256 is {right}, and {wrong} was stated; it was fetched 2 times" in text
    assert len(server.requests) == 2
    assert files_in(tmp_path) == []
    # when it is right
    (outcome,) = fetch(tmp_path, Wanted(Address(url), {"sha256": right, "md5": hashlib.md5(BODY).hexdigest()}))
    # then
    assert outcome.state is State.FETCHED


@pytest.mark.parametrize(
    "header",
    [
        {"Content_MD5": b64encode(hashlib.md5(b"other").digest()).decode()},
        {"Digest": "sha-256=" + b64encode(hashlib.sha256(b"other").digest()).decode()},
        {"Repr_Digest": "sha-256=:" + b64encode(hashlib.sha256(b"other").digest()).decode() + ":"},
    ],
    ids=lambda header: next(iter(header)),
)
def test_digests_in_headers_are_checked(server: Server, tmp_path: Path, header: dict[str, str]) -> None:
    assert "was stated" in failure(fetch(tmp_path, server.at("/a.csv", answer(200, BODY, **header))))


def test_a_size_that_is_not_the_stated_one_is_refused_before_the_body(server: Server, tmp_path: Path) -> None:
    text = failure(fetch(tmp_path, Wanted(Address(server.at("/a.csv", file(BODY))), size_bytes=10)))
    assert f"it has {len(BODY)} bytes; 10 should come" in text


def test_a_body_compressed_on_the_way_is_decompressed_and_checked_to_its_end(server: Server, tmp_path: Path) -> None:
    packed = gzip.compress(BODY)
    coded = {"Content_Encoding": "gzip"}
    # when it is whole
    fetch(tmp_path, server.at("/a.csv", answer(200, packed, **coded)))
    # then
    assert (tmp_path / "a.csv").read_bytes() == BODY
    # when it is not, though its length says so
    text = failure(fetch(tmp_path, server.at("/b.csv", answer(200, packed[:-20], **coded))))
    assert "does not come to its end" in text
    # when the file is a compressed one, as many servers say of those
    fetch(tmp_path, server.at("/c.csv.gz", answer(200, packed, **coded)))
    assert (tmp_path / "c.csv.gz").read_bytes() == packed
    # when it is a coding that was not asked for
    assert "compressed it (br)" in failure(
        fetch(tmp_path, server.at("/d.csv", answer(200, b"x", Content_Encoding="br")))
    )


def test_archives_are_capped_a_bomb_is_refused_while_it_is_decompressed(server: Server, tmp_path: Path) -> None:
    """Guarantee 24: archives capped."""
    bomb = gzip.compress(b"0" * 50_000_000)
    url = server.at("/a.csv", answer(200, bomb, Content_Encoding="gzip"))
    text = failure(fetch(tmp_path, url, max_file_bytes="1 MB"))
    assert "larger than limits.max_file_bytes" in text
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1_300_000


def test_headers_that_are_too_large_are_an_error(server: Server, tmp_path: Path) -> None:
    text = failure(fetch(tmp_path, server.at("/a.csv", answer(200, BODY, X_Large="x" * 100_000))))
    assert "headers are too large" in text


def test_what_is_no_http_is_an_error(server: Server, tmp_path: Path) -> None:
    assert "no HTTP" in failure(
        fetch(tmp_path, server.at("/a.csv", hanging(b"SSH-2.0-OpenSSH_9.6\r\n")), idle_seconds=1)
    )


# where redirects lead


def test_a_redirect_on_the_same_host_is_followed(server: Server, tmp_path: Path) -> None:
    server.at("/there.csv", file(BODY))
    (outcome,) = fetch(tmp_path, server.at("/here.csv", redirect("/there.csv")))
    assert outcome.state is State.FETCHED
    assert (tmp_path / "here.csv").read_bytes() == BODY


def test_silent_error_17_a_redirect_to_another_host_or_port_is_refused_unless_allowed(
    server: Server, tmp_path: Path
) -> None:
    """Guarantee 21: allowed hosts on each hop."""
    with serving() as other:
        # given two hops, of which the second leaves the host
        target = other.at("/secret.csv", file(BODY))
        server.at("/2", redirect(target + "?token=canary"))
        url = server.at("/a.csv", redirect("/2"))
        # when
        text = failure(fetch(tmp_path, url))
        # then it says what to say, and the other one was never asked
        assert f"redirects to another host, {target}?token=***" in text
        assert f"allow_hosts = ['127.0.0.1:{other.port}']" in text
        assert other.requests == []
        # when it is allowed
        (outcome,) = fetch(tmp_path, url, hosts=[f"127.0.0.1:{other.port}"])
        assert outcome.state is State.FETCHED


def test_credentials_do_not_follow_a_redirect_to_another_host(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guarantee 24: secrets go to the host they are for."""
    monkeypatch.setenv("CANARY", "canary")
    access = Access(bearer="env:CANARY", headers={"X-Api-Key": "env:CANARY"}, params={"token": "env:CANARY"})
    with serving() as other:
        url = server.at("/a.csv", redirect(other.at("/b.csv", file(BODY))))
        fetch(tmp_path, url, access=access, hosts=[f"127.0.0.1:{other.port}"])
    (first,), (second,) = server.requests, other.requests
    assert (first.headers["authorization"], first.headers["x-api-key"]) == ("Bearer canary", "canary")
    assert first.query == "token=canary"
    assert not any("canary" in value for value in [*second.headers.values(), second.query])


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("file:///etc/passwd", "redirects to what cannot be followed. 'file://...' is no address"),
        ("ftp://127.0.0.1/a", "'ftp://...' is no address"),
        ("/a.csv", "redirects more than 10 times"),
        ("http://[::1", "an"),
        ("http://169.254.169.254/latest/meta-data", "redirects to another host"),
    ],
)
def test_redirects_that_lead_nowhere_good_are_refused(
    server: Server, tmp_path: Path, location: str, words: str
) -> None:
    text = failure(fetch(tmp_path, server.at("/a.csv", redirect(location))))
    assert text.startswith(server.url("/a.csv"))
    assert words in text
    assert len(server.requests) <= 11


@pytest.mark.parametrize("host", ["127.0.0.2", "inner.example"], ids=["number", "name"])
def test_a_redirect_from_the_open_internet_into_a_private_network_is_refused_though_its_host_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    # given a server that counts as public, and one whose address does not
    from daskflow.data import http_client

    monkeypatch.setattr(http_client, "is_public", lambda number: number != "127.0.0.2")
    _resolving(monkeypatch, {"inner.example": "127.0.0.2"})
    with serving() as public, serving("127.0.0.2") as private:
        private.at("/b.csv", file(BODY))
        url = public.at("/a.csv", redirect(f"http://{host}:{private.port}/b.csv"))
        hosts = [f"{host}:{private.port}"] if host != "127.0.0.2" else [f"*.0.0.2:{private.port}"]
        # when
        text = failure(fetch(tmp_path, url, hosts=hosts))
        # then
        assert "an address of a private network" in text
        assert private.requests == []
        # when the number itself is allowed
        (outcome,) = fetch(tmp_path, url, hosts=[*hosts, f"127.0.0.2:{private.port}", "127.0.0.2"])
        assert outcome.state is State.FETCHED


def _resolving(monkeypatch: pytest.MonkeyPatch, names: dict[str, str]) -> None:
    """Make names of hosts mean addresses of this machine."""
    import aiohttp.resolver

    class Fixed(aiohttp.abc.AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
            return [{"hostname": host, "host": names[host], "port": port, "family": 2, "proto": 0, "flags": 0}]

        async def close(self) -> None:
            pass

    monkeypatch.setattr(aiohttp.resolver, "DefaultResolver", Fixed)


# certificates and proxies


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody signed, and its key beside it."""
    if shutil.which("openssl") is None:
        lacking("openssl")
    path = tmp_path_factory.mktemp("tls") / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(path), "-keyout", str(path.with_name("key.pem"))]
    subprocess.run(made, check=True, capture_output=True)
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[Server]:
    """A server with that certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with serving(tls=context) as running:
        yield running


def test_a_certificate_that_nobody_signed_is_refused_with_what_to_do(secure: Server, tmp_path: Path) -> None:
    text = failure(fetch(tmp_path, secure.at("/a.csv", file(BODY))))
    assert "its certificate is not one this machine trusts (self-signed certificate)" in text
    assert "SSL_CERT_FILE" in text
    assert secure.requests == []


@pytest.mark.slow
def test_an_own_authority_is_named_in_the_environment_and_no_redirect_leaves_https(
    secure: Server, certificate: Path, tmp_path: Path
) -> None:
    with serving() as plain:
        urls = [secure.at("/a.csv", file(BODY)), secure.at("/b.csv", redirect(plain.at("/b.csv", file(BODY))))]
        command = [sys.executable, "-m", "daskflow", "fetch", *urls, "--to", str(tmp_path)]
        command += ["--allow-host", f"127.0.0.1:{plain.port}"]
        environment = {**os.environ, "SSL_CERT_FILE": str(certificate)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert files_in(tmp_path) == ["a.csv"]
    assert "redirects from https to http" in done.stderr
    assert plain.requests == []


def test_proxies_of_the_environment_are_used_but_not_for_this_machine(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a proxy whose address has a password
    with serving() as proxy:
        proxy.at("/data.csv", file(BODY))
        monkeypatch.setenv("http_proxy", proxy.url("").replace("//", "//canary:canary@"))
        monkeypatch.setenv("no_proxy", "direct.example")
        _resolving(monkeypatch, {"direct.example": "127.0.0.1"})
        # when
        through, here, around = fetch(
            tmp_path,
            "http://far.example/data.csv",
            server.at("/here.csv", file(BODY)),
            server.at("/around.csv", file(BODY)).replace("127.0.0.1", "direct.example"),
        )
    # then
    assert [outcome.state for outcome in (through, here, around)] == [State.FETCHED] * 3
    assert [request.headers["host"] for request in proxy.requests] == ["far.example"]
    assert len(server.requests) == 2
    # when the proxy is gone
    text = failure(fetch(tmp_path, "http://far.example/other.csv", retries=0))
    # then
    assert "the proxy that the environment names cannot be reached" in text
    assert "canary" not in text


# names, folders and second runs


@pytest.mark.parametrize(
    ("path", "disposition", "name"),
    [
        ("/..%2f..%2fetc%2fpasswd.csv", None, "passwd.csv"),
        ("/.hidden.csv", None, "hidden.csv"),
        ("/download", 'attachment; filename="../../evil.csv"', "evil.csv"),
        ("/download", "attachment; filename*=UTF-8''%2e%2e%2fGr%C3%B6%C3%9Fe.csv", "Größe.csv"),
        ("/download", 'attachment; filename="/etc/passwd"', "passwd"),
        ("/", None, "file"),
        ("/a.csv", 'attachment; filename="other.csv"', "a.csv"),
    ],
)
def test_names_stay_in_the_folder_and_visible(
    server: Server, tmp_path: Path, path: str, disposition: str | None, name: str
) -> None:
    """Guarantee 24: hostile names."""
    headers = {"Content_Disposition": disposition} if disposition else {}
    fetch(tmp_path / "to", server.at(path, answer(200, BODY, **headers)))
    assert files_in(tmp_path / "to") == [name]
    assert files_in(tmp_path) == ["to"]


def test_two_files_of_one_name_get_numbers_and_keep_them(server: Server, tmp_path: Path) -> None:
    urls = [server.at(f"/{year}/a.csv", file(b"y\n%d\n" % year)) for year in (2020, 2021)]
    for order in (urls, urls[::-1]):
        fetch(tmp_path, *order)
        assert (tmp_path / "a.csv").read_bytes() == b"y\n2020\n"
        assert (tmp_path / "a-2.csv").read_bytes() == b"y\n2021\n"


def test_a_file_that_was_not_fetched_is_never_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("mine")
    assert "was not fetched from this address" in failure(fetch(tmp_path, server.at("/a.csv", file(BODY))))
    assert (tmp_path / "a.csv").read_text() == "mine"


def test_a_second_run_fetches_only_what_is_missing_or_changed(server: Server, tmp_path: Path) -> None:
    # given three files
    same = server.at("/same.csv", file(BODY))
    gone = server.at("/gone.csv", file(BODY))
    other = server.at("/other.csv", file(BODY), file(BODY + b"1,2\n", etag='"2"'))
    fetch(tmp_path, same, gone, other)
    # when one is deleted and one changes
    (tmp_path / "gone.csv").unlink()
    outcomes = fetch(tmp_path, same, gone, other)
    # then
    assert [outcome.state for outcome in outcomes] == [State.UNCHANGED, State.FETCHED, State.FETCHED]
    assert server.asked("/same.csv")[1].headers["if-none-match"] == '"1"'
    assert outcomes[0].n_bytes == 0
    assert (tmp_path / "other.csv").read_bytes() == BODY + b"1,2\n"


def test_a_file_with_a_known_checksum_is_not_even_asked_for_again(server: Server, tmp_path: Path) -> None:
    wanted = Wanted(Address(server.at("/a.csv", file(BODY))), {"sha256": hashlib.sha256(BODY).hexdigest()})
    fetch(tmp_path, wanted)
    (outcome,) = fetch(tmp_path, wanted)
    assert outcome.state is State.UNCHANGED
    assert len(server.requests) == 1


def test_a_file_that_was_whole_and_not_named_yet_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    # given what a kill between the last byte and the name leaves
    url = server.at("/a.csv", breaking_off(BODY, 100_000), file(BODY))
    fetch(tmp_path, url, retries=0)
    (tmp_path / ".a.csv.part").write_bytes(BODY)
    # when
    (outcome,) = fetch(tmp_path, url)
    # then
    assert outcome.n_bytes == 0
    assert (tmp_path / "a.csv").read_bytes() == BODY


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, len(BODY)), min_size=1, max_size=4))
def test_any_cuts_give_the_same_file(cuts: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    # given a server that breaks off wherever it likes, and continues
    def cut(length: int) -> Handler:
        async def handle(request: Request, reply: Reply) -> None:
            start = request.start or 0
            span = {"Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"} if start else {}
            await reply.head(206 if start else 200, {"Content-Length": str(len(BODY) - start), "ETag": '"1"', **span})
            await reply.raw(BODY[start : max(start, length)])

        return handle

    folder = tmp_path_factory.mktemp("cuts")
    with serving() as server:
        fetch(folder, server.at("/a.csv", *(cut(length) for length in cuts), file(BODY)), retries=9)
    assert (folder / "a.csv").read_bytes() == BODY


# secrets


def test_guarantee_24_planted_secrets_appear_in_no_message_no_file_and_no_event(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Silent errors, section 5: an address with credentials is never printed with them."""
    # given every way to fail, with secrets in the address
    caplog.set_level("DEBUG")
    handlers = {
        "ok": file(BODY),
        "403": answer(403),
        "503": answer(503),
        "page": file(b"<html>", kind="text/html"),
        "elsewhere": redirect("http://user:canary@example.org/x?token=canary"),
        "loop": redirect("?token=canary&again=1"),
        "scheme": redirect("file:///x?token=canary"),
        "short": breaking_off(BODY, 10, etag=""),
        "noise": hanging(b"noise\r\n\r\n"),
        "large": answer(200, BODY, X_Large="canary" * 20_000),
        "slow": hanging(),
    }
    urls = [server.at(f"/{name}.csv", handler) for name, handler in handlers.items()]
    urls = [url.replace("//127.0.0.1", "//user:canary@127.0.0.1") + "?token=canary" for url in urls]
    urls += ["http://user:canary@127.0.0.1:1/refused.csv?token=canary"]
    events: list[Event] = []
    # when
    outcomes = fetch(tmp_path, urls[0], told=events.append)
    outcomes += fetch(tmp_path, *urls[1:], retries=1, told=events.append, idle_seconds=0.2)
    # then the secrets were sent, and stand nowhere
    assert server.asked("/ok.csv")[0].headers["authorization"].startswith("Basic ")
    assert server.asked("/ok.csv")[0].query == "token=canary"
    assert [outcome.state for outcome in outcomes] == [State.FETCHED, *[State.FAILED] * (len(urls) - 1)]
    with pytest.raises(DataError) as caught:
        raise_failures(outcomes, shown=100)
    written = [path.read_bytes().decode(errors="replace") for path in tmp_path.iterdir() if path.is_file()]
    names = [path.name for path in tmp_path.iterdir()]
    said = [str(caught.value), repr(outcomes), repr(events), caplog.text, *capfd.readouterr(), *written, *names]
    assert not any("canary" in text for text in said)
    chains = [outcome.error for outcome in outcomes if outcome.error is not None]
    assert all(error.__suppress_context__ or error.__context__ is None for error in chains)


# how much at once


def test_as_many_at_once_as_said_over_all_and_per_host(server: Server, tmp_path: Path) -> None:
    # given a server that answers when it has seen as many requests at once as it waits for, or a moment later
    now, most, expected = 0, 0, 0

    async def counting(request: Request, reply: Reply) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        until = time.monotonic() + 60
        while most < expected and time.monotonic() < until:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.03)
        now -= 1
        await reply.send(200, BODY)

    urls = [server.at(f"/{n}.csv", counting) for n in range(12)]
    # when, then
    for expected, limits in (
        (3, {"concurrency": 3, "per_host": 9}),
        (2, {"per_host": 2}),
        (1, {"bytes_in_flight": 400_000}),
    ):
        most = 0
        fetch(tmp_path / str(expected), *urls, **limits)
        assert most == expected


def test_memory_stays_flat_and_the_server_waits_when_it_is_faster_than_the_disk(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given 80 MB that the server pushes as fast as it can, and a disk that takes nothing until it is told to
    import tracemalloc

    from daskflow.sources.http_part import Part

    size, pushed, waiting, free = 80_000_000, [0], threading.Event(), threading.Event()
    chunk = b"1,2,3,4\n" * 8192
    before: list[int] = []

    async def push(request: Request, reply: Reply) -> None:
        await reply.head(200, {"Content-Length": str(size)})
        while pushed[0] < size:
            data = chunk[: size - pushed[0]]
            await reply.raw(data)
            pushed[0] += len(data)

    store = Part.write

    def slow(self: Part, data: bytes) -> None:
        if not free.is_set():
            for _ in range(100):  # until the server can push no more
                seen = pushed[0]
                if threading.Event().wait(0.02) or seen == pushed[0]:
                    break
            before.append(pushed[0])
            waiting.set()
            free.set()
        store(self, data)

    monkeypatch.setattr(Part, "write", slow)
    fetch(tmp_path, server.at("/first.csv", file(BODY)))  # what is imported is no part of it
    free.clear()
    before.clear()
    # when
    tracemalloc.start()
    fetch(tmp_path, server.at("/a.bin", push), idle_seconds=30)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # then what was pushed before the disk took anything are the system's buffers, and memory is a few chunks
    assert before[0] < 20_000_000
    assert peak < 4_000_000
    assert (tmp_path / "a.bin").stat().st_size == size


def test_the_rate_is_kept(server: Server, tmp_path: Path) -> None:
    url = server.at("/a.csv", file(BODY))
    began = time.monotonic()
    fetch(tmp_path, url, rate=len(BODY) * 2)
    assert time.monotonic() - began > 0.2


def test_requests_per_second_are_kept(server: Server, tmp_path: Path) -> None:
    urls = [server.at(f"/{n}.csv", file(BODY)) for n in range(5)]
    began = time.monotonic()
    fetch(tmp_path, *urls, requests_per_second=20)
    assert time.monotonic() - began >= 4 / 20
