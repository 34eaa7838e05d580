"""WebSocket: each message is a record; it is on the disk before it is handed on, for no server would send it again."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator

from daskflow.core.errors import Problem, SettingsError
from daskflow.data.http_client import Client
from daskflow.data.http_policy import TryAgainError
from daskflow.streams import OpenSource
from daskflow.streams.addresses import with_options
from daskflow.streams.patience import Patience, Seconds
from daskflow.streams.spool import Spool
from daskflow.streams.spooled import SpooledPlace, spooled


class WebSocketSource(SpooledPlace):
    """Messages of a WebSocket, each a JSON object.

    A message is written to the spool before the next one is received: a kill of this process loses none that was
    received. What the server sends while nobody is connected is lost, unless it keeps that itself.

    Attributes
    ----------
    url : str
        ``ws://`` or ``wss://``; its query is the server's, options stand behind ``#``.
    send : list of str
        Texts that are sent after each connect, such as a subscription; in an address one text. ``env:NAME`` is what
        that environment variable holds.
    heartbeat : float
        Seconds, or a text, without a message after which the server is asked whether it is there.

    Examples
    --------
    >>> source = WebSocketSource.of('wss://example.org/feed?token=secret#send={"subscribe":"orders"}&key=shop')
    >>> source.send, source.key, source.dump()["url"]
    (('{"subscribe":"orders"}',), 'shop', 'wss://example.org/feed?token=***')
    """

    schemes: ClassVar[tuple[str, ...]] = ("ws", "wss")

    kind: Literal["websocket"] = "websocket"
    send: tuple[str, ...] = Field(default=(), repr=False, exclude=True)
    heartbeat: Seconds = Field(default=30.0, gt=0)

    @field_validator("url", mode="before")
    @classmethod
    def _is_a_websocket(cls, value: Any) -> Any:
        if not (isinstance(value, str) and value.startswith(("ws://", "wss://"))):
            raise SettingsError([Problem("", "should begin with ws:// or wss://")])
        return value

    @field_validator("send", mode="before")
    @classmethod
    def _may_be_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @classmethod
    def of(cls, address: str) -> Self:
        """Read ``wss://host/path?query#heartbeat=10s``."""
        url, _, options = address.partition("#")
        return with_options(cls, "websocket", options, url=url)

    def open(self, base: Path, positions: Mapping[str, Any]) -> AbstractAsyncContextManager[OpenSource]:
        """Open the spool, and connect in the background."""
        return spooled(self, base, positions, self._receiver)

    def _receiver(self, spool: Spool) -> Callable[[Patience], Awaitable[bool]]:
        async def receive(patience: Patience) -> bool:
            async with self.client() as client:
                return await self._connected(client, spool, patience)

        return receive

    async def _connected(self, client: Client, spool: Spool, patience: Patience) -> bool:
        """Receive until the connection ends."""
        from aiohttp import WSMsgType

        opening = client.websocket(self.address, most_bytes=self.max_bytes, heartbeat_seconds=self.heartbeat)
        async with opening as socket:
            for text in self.send:
                await socket.send_str(_meant(text))
            while True:
                await spool.room()
                message = await socket.receive()
                if message.type is WSMsgType.TEXT:
                    spool.append(message.data.encode(errors="surrogatepass"))
                elif message.type is WSMsgType.BINARY:
                    spool.append(bytes(message.data))
                elif message.type is WSMsgType.ERROR:
                    self._note(message.data, spool)
                    raise TryAgainError("the connection was lost")
                else:  # the server has closed it
                    return False
                patience.good()

    def _note(self, error: Any, spool: Spool) -> None:
        """Put a message aside that was too large to be received."""
        if getattr(error, "code", None) == 1009:
            problem = f"it is a message of more than {self.max_bytes:,} bytes (max_bytes)"
            spool.append(b"", problem=problem, reason="size")


def _meant(text: str) -> str:
    """A text, or what the environment variable holds that it names."""
    if not text.startswith("env:"):
        return text
    name = text.removeprefix("env:")
    if name not in os.environ:
        raise SettingsError([Problem("send", f"the environment variable {name} is not set")])
    return os.environ[name]
