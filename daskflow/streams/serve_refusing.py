"""Answers to requests whose body has not come yet: what still comes of it is passed over, so that they are read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

IDLE_SECONDS = 1.0
"""A client that sends nothing for so long has read its answer, or waits for the end of the connection."""

Message = MutableMapping[str, Any]


async def send_before_the_body(
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
    payload: bytes,
    timeout_seconds: float,
) -> None:
    """Send the body of an answer, and end it when the client has nothing more to send.

    Parameters
    ----------
    receive, send : callable
        Of ASGI; the answer's start is sent, with its length.
    payload : bytes
        The answer's whole body; it is sent at once.
    timeout_seconds : float
        What comes is passed over for so long, at most.

    Notes
    -----
    A connection that is closed while its client sends is reset, and many a client then shows "connection reset" in the
    place of the answer that lies there (RFC 9112, 9.6). Nothing of what is passed over is kept.
    """
    await send({"type": "http.response.body", "body": payload, "more_body": True})
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_seconds
    has_more = True
    while has_more and loop.time() < end:
        try:
            async with asyncio.timeout_at(min(end, loop.time() + IDLE_SECONDS)):
                message = await receive()
        except TimeoutError:
            break
        has_more = message["type"] == "http.request" and message.get("more_body", False)
    await send({"type": "http.response.body", "body": b""})
