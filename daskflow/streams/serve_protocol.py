"""HTTP as uvicorn speaks it, with an end to requests that never become whole and to answers that nobody takes."""

from __future__ import annotations

import asyncio
import gc
import math
import ssl
from collections import deque
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES = 65_536
"""Of the first line and the headers of a request."""

KEPT_SECONDS = 75
"""A connection without a request is kept so long, longer than proxies keep theirs."""

NOWHERE: deque[Any] = deque(maxlen=0)
"""A list of headers that stays empty."""

YOUNG_OBJECTS = 20_000
"""Of so many new ones those that are no longer used are looked for.

By Python's own 700 each batch of requests that wait is looked through, though all of it is used and goes by itself.
"""

BACKLOG = 2048
"""Connections that wait to be taken."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    timeout_seconds = 10.0
    """For the headers of a request to arrive, and for a client to take its answer."""

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self.began: float | None = self.loop.time()
        self.n_header_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Take bytes; refuse headers that are too long."""
        if self.began is not None:
            self.n_header_bytes += len(data)
            if self.n_header_bytes > MOST_HEADER_BYTES and b"\r\n\r\n" not in data[:MOST_HEADER_BYTES]:
                self._end(b"431 Request Header Fields Too Large")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin to wait for its headers."""
        super().on_message_begin()
        if self.began is None:
            self.began = self.loop.time()
            self.n_header_bytes = 0

    def on_headers_complete(self) -> None:
        """Its headers are there; what comes behind a chunked body (RFC 9110, 6.5) is none, and is not kept."""
        self.began = None
        super().on_headers_complete()
        self.headers = NOWHERE  # type: ignore[assignment]  # it is only added to

    def look(self, now: float) -> None:
        """End it where its headers do not come, or its answer is not taken; asked now and then."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self.began is not None and now - self.began > self.timeout_seconds:
            self._end(b"408 Request Timeout")
            return
        if not self.flow.write_paused:
            self.paused: float | None = None
        elif getattr(self, "paused", None) is None:
            self.paused = now
        elif now - self.paused > self.timeout_seconds:  # type: ignore[operator]  # it is a number here
            transport.abort()

    def _end(self, status: bytes) -> None:
        self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


async def look_after(connections: Any, timeout_seconds: float) -> None:
    """Look after all connections of a server, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(min(1.0, timeout_seconds / 4))
        for connection in list(connections):
            connection.look(loop.time())


def settle() -> None:
    """Let Python look for unused objects less often, and not among those that there are, such as a model's."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)


def options(timeout_seconds: float = 10.0) -> dict[str, Any]:
    """Return how daskflow's own server sets up uvicorn."""
    protocol = type("Protocol", (Protocol,), {"timeout_seconds": timeout_seconds})
    return {
        "http": protocol,
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "log_level": "critical",
        "server_header": False,
        "proxy_headers": False,
        "backlog": BACKLOG,
        "timeout_keep_alive": KEPT_SECONDS,
    }


def listening(app: Any, timeout_seconds: float, drain_seconds: float, tls: Any) -> Any:
    """Return a uvicorn server of an application, not started.

    Parameters
    ----------
    app : App
        The application.
    timeout_seconds : float
        For the headers of a request to arrive, and for a client to take its answer.
    drain_seconds : float
        What is in flight may take so long when the server is to end.
    tls : pair of str, or None
        Paths of certificate and key.

    Raises
    ------
    OSError
        For a certificate or key that cannot be read; `ssl.SSLError` is one.
    """
    import uvicorn

    pair = {} if tls is None else {"ssl_certfile": tls[0], "ssl_keyfile": tls[1]}
    whole = max(1, math.ceil(drain_seconds))
    config = uvicorn.Config(app, **options(timeout_seconds), timeout_graceful_shutdown=whole, **pair)
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return uvicorn.Server(config)
