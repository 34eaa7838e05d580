"""Wire between a server and its worker processes: questions and answers as lines of JSON over a pair of sockets."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

logger = logging.getLogger(__name__)

MOST_LINE = 64 * 2**20
"""Bytes of a line."""

Answer = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class Wire:
    """One end; of one event loop.

    Parameters
    ----------
    answer : callable
        Given the word and the fields of a question, returns the fields of its answer.

    Attributes
    ----------
    closed : asyncio.Event
        Set when the other end is gone.
    """

    def __init__(self, answer: Answer) -> None:
        """Not open yet."""
        self._answer = answer
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self.closed = asyncio.Event()

    async def open(self, end: socket.socket) -> None:
        """Take one end of a pair."""
        self._reader, self._writer = await asyncio.open_connection(sock=end, limit=MOST_LINE)
        self._reading = asyncio.create_task(self._read())

    def tell(self, word: str, **fields: Any) -> None:
        """Say something that wants no answer."""
        self._write({"word": word, "fields": fields})

    async def ask(self, word: str, **fields: Any) -> Mapping[str, Any]:
        """Say something and return the answer's fields.

        Raises
        ------
        ConnectionError
            When the other end is gone.
        """
        if self.closed.is_set():
            raise ConnectionResetError("the other process is gone")
        number = next(self._numbers)
        future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        try:
            self._write({"word": word, "fields": fields, "number": number})
            return await future
        finally:
            self._asked.pop(number, None)

    async def close(self) -> None:
        """Hang up."""
        self._reading.cancel()
        self._writer.close()
        self._gone()

    def _write(self, message: Mapping[str, Any]) -> None:
        if not self.closed.is_set():
            self._writer.write(orjson.dumps(message) + b"\n")

    def _gone(self) -> None:
        self.closed.set()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(ConnectionResetError("the other process is gone"))

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                message = orjson.loads(line)
                if "to" in message:
                    future = self._asked.get(message["to"])
                    if future is not None and not future.done():
                        future.set_result(message["fields"])
                    continue
                task = asyncio.create_task(self._reply(message))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
        except (OSError, ValueError) as error:
            logger.debug("The wire between processes broke: %s", error)
        finally:
            self._gone()

    async def _reply(self, message: Mapping[str, Any]) -> None:
        fields = await self._answer(message["word"], message["fields"])
        if "number" in message:
            self._write({"to": message["number"], "fields": dict(fields)})
