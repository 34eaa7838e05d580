"""Clients that are slow, send too much, vanish or speak no HTTP: each has its end, and others are answered."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from daskflow.streams import serve_refusing
from daskflow.streams.serve_app import App, app
from daskflow.streams.serve_limits import Limits
from tests.serving_client import listening_to, over_wire, rows_body
from tests.test_streams_scoring import FRAME, MODELS, ROWS, bits

MODEL = MODELS["binary"]
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SECONDS = 0.4


@pytest.fixture(scope="module")
def hasty() -> Iterator[int]:
    """The port of an application for which whoever is slower than `SECONDS` is too slow."""
    with listening_to(app(MODEL, limits=Limits(timeout_seconds=SECONDS, max_bytes=50_000)), SECONDS) as port:
        yield port


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[App, int]]:
    """An application that waits for everybody, and the port it listens on."""
    made = app(MODEL, limits=Limits(timeout_seconds=100.0, max_bytes=50_000))
    with listening_to(made, 100.0) as port:
        yield made, port


def request_of(body: bytes, *more: bytes) -> bytes:
    """A whole request."""
    return HEAD + b"".join(line + b"\r\n" for line in more) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def is_answered(port: int) -> bool:
    """Whether somebody else gets an answer now; who asks may be slow, too, on a busy machine."""
    for _ in range(100):
        got = over_wire(port, request_of(rows_body(ROWS[:1]), b"Connection: close"))
        if got.split(b" ")[1] not in (b"408", b"504"):
            break
    return bool(json.loads(got.partition(b"\r\n\r\n")[2])["predictions"] == bits(MODEL, FRAME[:1]))


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"", b"408", id="nothing"),
        pytest.param(HEAD, b"408", id="half of the headers"),
        pytest.param(HEAD + b"Content-Length: 500\r\n\r\n{", b"408", id="half of the body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n{", b"408", id="half of a chunk"),
    ],
)
def test_a_request_that_never_becomes_whole_has_its_end(hasty: int, sent: bytes, status: bytes) -> None:
    assert_ended(hasty, sent, status)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(HEAD + b"X: " + b"y" * 100_000 + b"\r\n\r\n", b"431", id="headers without end"),
        pytest.param(b"hello\r\n\r\n", b"400", id="no HTTP"),
        pytest.param(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}", b"400", id="two lengths"),
        pytest.param(
            HEAD
            + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"2710\r\n" + b"x" * 10_000 + b"\r\n") * 6,
            b"413",
            id="chunks without end",
        ),
    ],
)
def test_a_request_that_cannot_be_is_refused_before_it_is_whole(
    served: tuple[App, int], sent: bytes, status: bytes
) -> None:
    assert_ended(served[1], sent, status)


def assert_ended(port: int, sent: bytes, status: bytes) -> None:
    """A request is told why it gets no answer, and others are answered."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(sent)
        assert is_answered(port)
        got = connection.recv(65536)  # within the minute of the connection
    assert got.split(b" ")[1] == status


def test_clients_that_vanish_leave_nothing_behind(served: tuple[App, int]) -> None:
    made, port = served
    before = made.counts.problems["gone"]
    for number in range(20):
        connection = socket.create_connection(("127.0.0.1", port), 10)
        # given some that leave before their body is there, and some before their answer
        connection.sendall(HEAD + b"Content-Length: 500\r\n\r\n{" if number % 2 else request_of(rows_body(ROWS[:1])))
        if number % 4 < 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # as a reset
        connection.close()
    deadline = time.monotonic() + 60
    while made.counts.problems["gone"] < before + 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made.counts.problems["gone"] == before + 10
    assert is_answered(port)
    while made._held and time.monotonic() < deadline:  # let go of after the answer
        time.sleep(0.01)
    assert made._held == 0


def test_requests_behind_each_other_on_one_connection_are_answered_in_order(served: tuple[App, int]) -> None:
    _, port = served
    together = b"".join(request_of(rows_body(ROWS[at : at + 1])) for at in range(5))
    got = over_wire(port, together + request_of(rows_body(ROWS[5:6]), b"Connection: close"))
    bodies = [part.partition(b"HTTP/1.1")[0] for part in got.split(b"\r\n\r\n")[1:]]
    assert [json.loads(body)["predictions"][0] for body in bodies] == bits(MODEL, FRAME[:6])


def test_what_follows_a_chunked_body_is_no_header_and_is_not_kept(served: tuple[App, int]) -> None:
    _, port = served
    # given a body that the headers call JSON, and lines behind it that call it something else
    body = rows_body(ROWS[:1])
    trailers = b"Content-Type: text/plain\r\nContent-Encoding: gzip\r\n" + b"X: y\r\n" * 1000
    chunk = b"%x\r\n" % len(body) + body + b"\r\n0\r\n" + trailers + b"\r\n"
    sent = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk
    # then the headers count
    got = over_wire(port, sent)
    assert json.loads(got.partition(b"\r\n\r\n")[2])["predictions"] == bits(MODEL, FRAME[:1])


def test_a_client_that_waits_for_leave_to_send_is_told_before_it_sends(served: tuple[App, int]) -> None:
    _, port = served
    sent = HEAD + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 999999\r\n\r\n"
    assert over_wire(port, sent).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("head", "n_bytes", "status"),
    [
        pytest.param(b"Content-Type: application/json\r\nContent-Length: %d\r\n", 30_000_000, b"413", id="too large"),
        pytest.param(b"Content-Type: text/plain\r\nContent-Length: %d\r\n", 30_000_000, b"415", id="another type"),
    ],
)
def test_a_client_that_sends_its_whole_body_first_is_told_why_it_was_refused(
    head: bytes, n_bytes: int, status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a server with time enough, also for a client that gets no processor, and a body that no socket holds
    monkeypatch.setattr(serve_refusing, "IDLE_SECONDS", 60.0)
    with listening_to(app(MODEL, limits=Limits(timeout_seconds=60, max_bytes=50_000)), 60) as port:
        sent = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + head % n_bytes + b"\r\n"
        # when the client looks for its answer only when all is sent, then it is there, and nothing was reset
        got = over_wire(port, sent + b"x" * n_bytes, 60)
    assert got.split(b" ")[1] == status
    assert b'"error"' in got


@pytest.fixture
def bounded() -> Iterator[int]:
    """The port of an application that waits for seconds, not for ever."""
    with listening_to(app(MODEL, limits=Limits(timeout_seconds=2.0, max_bytes=50_000)), 2.0) as port:
        yield port


def test_a_refused_client_that_never_ends_has_its_end(bounded: int) -> None:
    port = bounded
    sent = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"2710\r\n" + b"x" * 10_000 + b"\r\n"
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(sent + chunk * 6)
        # when it sends on for ever, though it has its answer, then the connection is closed at the time-out
        got = connection.recv(65536)
        is_endless = False
        with suppress(ConnectionError):
            while time.monotonic() < began + 60:
                connection.sendall(chunk)
            is_endless = True
    assert got.split(b" ")[1] == b"413"
    assert not is_endless
    assert is_answered(port)


def test_a_connection_that_is_kept_is_used_again_after_a_refusal(served: tuple[App, int]) -> None:
    _, port = served
    sent = HEAD + b"Content-Length: 99999\r\n\r\n" + b"x" * 99_999
    # when a good request follows the refused one
    got = over_wire(port, sent + request_of(rows_body(ROWS[:1]), b"Connection: close"))
    # then both have their answers
    assert [part[:3] for part in got.split(b"HTTP/1.1 ")[1:]] == [b"413", b"200"]
