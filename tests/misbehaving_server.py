"""A server on the loopback that does to its clients whatever a test asks for."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Request:
    """What a client asked."""

    path: str
    query: str
    headers: Mapping[str, str]

    @property
    def start(self) -> int | None:
        """First byte that was asked for, if a part was."""
        text = self.headers.get("range", "")
        return int(text.removeprefix("bytes=").partition("-")[0] or 0) if text else None


class Reply:
    """The way back to the client."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int, headers: Mapping[str, str], *, keep: bool = False) -> None:
        """Send status and headers."""
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
        lines += [] if keep else ["Connection: close"]
        await self.raw(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def send(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer with its length."""
        await self.head(status, {"Content-Length": str(len(body)), **(headers or {})})
        await self.raw(body)

    def reset(self) -> None:
        """Break the connection off hard."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def hang(self) -> None:
        """Say nothing more until the client leaves or the server stops."""
        await asyncio.Event().wait()


Handler = Callable[[Request, Reply], Awaitable[None]]


@dataclass
class Server:
    """Answers each path as its handlers say: the first request by the first, the last one for all that follow."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    handlers: dict[str, list[Handler]] = field(default_factory=dict)
    host: str = "127.0.0.1"
    scheme: str = "http"

    def at(self, path: str, *handlers: Handler) -> str:
        """Set what happens at a path; return its address."""
        self.handlers[path] = list(handlers)
        return self.url(path)

    def url(self, path: str) -> str:
        """Address of a path."""
        return f"{self.scheme}://{self.host}:{self.port}{path}"

    def asked(self, path: str) -> list[Request]:
        """Requests for a path so far."""
        return [request for request in self.requests if request.path == path]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = text.strip().split("\r\n")
            parts = urlsplit(first.split(" ")[1])
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            request = Request(parts.path, parts.query, headers)
            self.requests.append(request)
            handlers = self.handlers.get(parts.path, [answer(404)])
            await handlers[min(len(self.asked(parts.path)), len(handlers)) - 1](request, Reply(writer))
        with suppress(ConnectionError, asyncio.CancelledError):
            writer.close()
            await writer.wait_closed()


@contextmanager
def serving(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server in a thread of its own; connections that are open at the end are cut."""
    server = Server(host=host, scheme="http" if tls is None else "https")
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        listening = await asyncio.start_server(server._connected, host, 0, limit=1 << 20, ssl=tls)
        server.port = listening.sockets[0].getsockname()[1]
        ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            listening.close()

    def run() -> None:
        asyncio.set_event_loop(loop)
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(main)
        for task in asyncio.all_tasks(loop):
            task.cancel()
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        loop.close()

    main = loop.create_task(serve())
    thread = threading.Thread(target=run, name="misbehaving-server")
    thread.start()
    try:
        assert ready.wait(10)
        yield server
    finally:
        loop.call_soon_threadsafe(main.cancel)
        thread.join(10)
        assert not thread.is_alive()


def answer(status: int, body: bytes = b"", **headers: str) -> Handler:
    """Always the same whole answer; underlines in header names stand for dashes."""

    async def handle(request: Request, reply: Reply) -> None:
        await reply.send(status, body, {name.replace("_", "-"): value for name, value in headers.items()})

    return handle


def redirect(location: str, status: int = 302) -> Handler:
    """Elsewhere."""
    return answer(status, Location=location)


def file(
    body: bytes, *, etag: str | None = '"1"', ranges: bool = True, kind: str = "application/octet-stream"
) -> Handler:
    """A well-behaved file: parts, guarded parts, and nothing when nothing changed."""

    async def handle(request: Request, reply: Reply) -> None:
        headers = {"Content-Type": kind} | ({"ETag": etag} if etag else {})
        if etag and request.headers.get("if-none-match") == etag:
            await reply.head(304, headers)
            return
        asked = request.headers.get("range", "") if ranges else ""
        if asked and request.headers.get("if-range", etag) == etag:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start = int(first) if first else max(0, len(body) - int(last))
            end = min(int(last) + 1 if first and last else len(body), len(body))
            if start >= len(body):
                await reply.send(416, b"", {**headers, "Content-Range": f"bytes */{len(body)}"})
                return
            span = {"Content-Range": f"bytes {start}-{end - 1}/{len(body)}"}
            await reply.send(206, body[start:end], headers | span)
            return
        await reply.send(200, body, headers)

    return handle


def breaking_off(body: bytes, after: int, *, etag: str = '"1"', reset: bool = False) -> Handler:
    """The beginning of a file whose length is said, and then nothing."""

    async def handle(request: Request, reply: Reply) -> None:
        await reply.head(200, {"Content-Length": str(len(body)), "ETag": etag})
        await reply.raw(body[:after])
        if reset:
            await asyncio.sleep(0.05)  # else the reset overtakes the bytes in the client's buffers
            reply.reset()

    return handle


def unframed(body: bytes, **headers: str) -> Handler:
    """A body without a length: it ends where the connection does."""

    async def handle(request: Request, reply: Reply) -> None:
        await reply.head(200, {name.replace("_", "-"): value for name, value in headers.items()})
        await reply.raw(body)

    return handle


def hanging(before: bytes = b"") -> Handler:
    """Some bytes, and then nothing for ever."""

    async def handle(request: Request, reply: Reply) -> None:
        await reply.raw(before)
        await reply.hang()

    return handle
