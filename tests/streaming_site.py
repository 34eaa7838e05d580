"""A server on the loopback whose one address does what a test says, and what streams take from it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from daskflow.streams import OpenSource, source_of
from daskflow.streams.records import Record
from tests.open_ports import open_port

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A server whose one address does what the test says; it can be stopped and started again."""

    def __init__(self) -> None:
        self.port = open_port()  # it may be stopped, and started again there
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


def run(what: Callable[[Site], Awaitable[Any]], *, seconds: float = 100) -> Any:
    """Run a test against a site of its own, for at most so many seconds."""

    async def limited() -> Any:
        site = Site()
        await site.start()
        try:
            async with asyncio.timeout(seconds):
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
