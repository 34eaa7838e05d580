"""Clients of a served model for tests: in process by ASGI, and over a socket."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """Of a refusal."""
        return str(self.json["error"]["reason"])

    @property
    def words(self) -> str:
        """Of a refusal."""
        return str(self.json["error"]["message"])


async def ask(
    app: Any,
    method: str = "POST",
    path: str = "/predict",
    body: bytes | Sequence[bytes] = b"",
    headers: dict[str, str] | None = None,
    receive: Callable[[], Awaitable[Any]] | None = None,
    query: bytes = b"",
) -> Reply:
    """Ask an application in this process; a body of several parts comes in turns, without its length."""
    parts = [body] if isinstance(body, bytes) else list(body)
    given = dict(headers or {})
    if isinstance(body, bytes):
        given.setdefault("content-length", str(len(body)))
    coming = iter([{"type": "http.request", "body": p, "more_body": n + 1 < len(parts)} for n, p in enumerate(parts)])

    async def take() -> Any:
        message = next(coming, None)
        if message is None:
            await asyncio.sleep(3600)
        await asyncio.sleep(0)
        return message

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "http",
        "http_version": "1.1",
    }
    await app(scope, receive or take, send)
    if not sent:
        return Reply(0, {}, b"")
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:]))


def rows_body(rows: Sequence[Any]) -> bytes:
    """Rows as a request's body."""
    return json.dumps({"rows": list(rows)}).encode()


@contextmanager
def listening_to(app: Any, timeout_seconds: float = 10.0) -> Iterator[int]:
    """Serve an application on a port of loopback, in a thread with daskflow's own protocol."""
    from daskflow.streams.serve_protocol import listening, look_after

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = listening(app, timeout_seconds, 5.0, None)

        async def run() -> None:
            looking = asyncio.create_task(look_after(server.server_state.connections, timeout_seconds))
            await server._serve([listener.dup()])
            looking.cancel()

        thread = threading.Thread(target=lambda: asyncio.run(run()))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(60)


def over_wire(port: int, request: bytes, seconds: float = 60.0) -> bytes:
    """Send bytes and return all that comes until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(request)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found
