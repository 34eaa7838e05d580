"""JSON lines: from standard input or a file, to standard output or a file."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from daskflow.core.errors import DataError
from daskflow.streams import OpenSink, OpenSource, StreamSink, StreamSource
from daskflow.streams.json_records import record_of
from daskflow.streams.lines_cutting import LineCutter
from daskflow.streams.lines_writing import LinesFile, StandardOutput
from daskflow.streams.paths import check_above
from daskflow.streams.records import Record

LOG = logging.getLogger("daskflow.streams")
STANDARD = "-"
CHUNK_BYTES = 64 * 1024


class LinesSource(StreamSource):
    """JSON lines: one object of values by column name in each; blank lines are passed over.

    It ends where the file ends. A file that has grown since goes on at the next start, where the last one ended; a last
    line that nothing ends, and that is no whole object yet, is still being written, and left for that start. What comes
    over standard input begins anew, and cannot be asked for again.

    Attributes
    ----------
    path : str
        A file, or ``-`` for standard input.
    max_bytes : int
        A longer line is put aside, and never in memory as a whole.
    """

    schemes: ClassVar[tuple[str, ...]] = (STANDARD, "lines")

    kind: Literal["lines"] = "lines"
    path: str = STANDARD
    max_bytes: int = Field(default=1 << 20, gt=0)

    @classmethod
    def of(cls, address: str) -> Self:
        """Make the settings of ``-``, a path, or ``lines://PATH``."""
        return cls(path=address.removeprefix("lines://"))

    def open(self, base: Path, positions: Mapping[str, Any]) -> AbstractAsyncContextManager[OpenSource]:
        """Open it; errors as `StreamSource.open` says."""
        return self._open(base, positions)

    @asynccontextmanager
    async def _open(self, base: Path, positions: Mapping[str, Any]) -> AsyncIterator[OpenSource]:
        if self.path == STANDARD:
            lines = _Lines(self, 0, f"stdin-{os.urandom(6).hex()}", LineCutter(self.max_bytes))
            yield lines
            return
        path = base / os.path.expanduser(self.path)
        try:
            # A pipe without a writer is opened at once, and waited for by the event loop.
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}. Name a file of JSON lines, or -.") from error
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode) and positions.get(path.name):
                positions = {}  # a pipe has no place to go back to
            number, at = positions.get(path.name) or (0, 0)
            at = _gone_on(file, path, at)
            yield _Lines(self, file, path.name, LineCutter(self.max_bytes, number=number, at=at))
        finally:
            os.close(file)


def _gone_on(file: int, path: Path, at: int) -> int:
    """Go behind the last record, and return where that is; DataError when no line ends there any more."""
    if not at:
        return at
    size = os.fstat(file).st_size
    before, after = os.pread(file, 1, at - 1), os.pread(file, 2, at)
    if before != b"\n":  # nothing ended that line then, and something may now
        at += 2 if after == b"\r\n" else after.startswith(b"\n")
    if size < at or (before != b"\n" and after and not after.startswith((b"\n", b"\r\n"))):
        raise DataError(
            f"{path} is another file than the one this stream has read up to byte {at:,}: no line ends there. "
            "Give the new file a name of its own, or the stream another --folder."
        )
    os.lseek(file, at, os.SEEK_SET)
    return at


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Lines:
    """Open lines; a descriptor that is a pipe or a terminal is waited for by the event loop."""

    lag: int | None = None

    def __init__(self, settings: LinesSource, file: int, name: str, cutter: LineCutter) -> None:
        self._settings, self._file, self._name, self._cutter = settings, file, name, cutter
        self._ready: deque[Record] = deque()
        self._is_regular = stat.S_ISREG(os.fstat(file).st_mode)
        self._has_ended = False

    @property
    def is_holding(self) -> bool:
        """Whether lines of a pipe were read that were not given yet."""
        return bool(self._ready) and not self._is_regular

    async def take(self, most: int) -> Sequence[Record]:
        """Return the next lines; as `OpenSource.take`."""
        while not self._ready and not self._has_ended:
            if not self._is_regular:
                await self._wait()
            try:
                chunk = os.read(self._file, CHUNK_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                raise DataError(f"{self._name} cannot be read any more: {error.strerror}.") from error
            self._has_ended = not chunk
            for line in self._cutter.cut(chunk) if chunk else self._cutter.rest():
                record = self._record(line.raw, line.number, line.end, line.n_bytes)
                if not chunk and self._is_regular and record.problem:
                    LOG.warning(
                        "%s: line %d has no end, and is no whole record yet (%s). It is left for the next start; a "
                        "newline behind it makes it a dead letter",
                        self._name, line.number, record.problem,
                    )  # fmt: skip
                    continue
                self._ready.append(record)
        return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]

    def _record(self, raw: bytes, number: int, end: int, n_bytes: int) -> Record:
        offset = [number, end]
        name = f"{self._name}:{number}"
        if n_bytes > self._settings.max_bytes:
            words = f"line {number} of {self._name} has {n_bytes:,} bytes; {self._settings.max_bytes:,} are allowed"
            return Record(name, {}, self._name, offset, raw=raw, problem=words, reason="size")
        return record_of(raw, id=name, partition=self._name, offset=offset, key=self._settings.key)

    async def _wait(self) -> None:
        """Wait until something can be read; nothing has been read when this is cancelled."""
        loop = asyncio.get_running_loop()
        there = loop.create_future()
        try:
            loop.add_reader(self._file, _set, there)
        except PermissionError:  # devices such as /dev/null cannot be waited for, and need not
            return
        try:
            await there
        finally:
            loop.remove_reader(self._file)

    async def commit(self, records: Sequence[Record]) -> None:
        """Do nothing: the stream's own journal knows how far it is."""


class LinesSink(StreamSink):
    """JSON lines: each result with its ``id``, and its answer.

    A file is added to; it is on the disk before the records are committed. Results that a kill has left there without
    their commit come again with the same IDs, and are not written twice. Standard output cannot look back: there a
    restart may write the last batch again.

    Attributes
    ----------
    path : str
        A file, or ``-`` for standard output.
    """

    schemes: ClassVar[tuple[str, ...]] = (STANDARD, "lines")

    kind: Literal["lines"] = "lines"
    path: str = STANDARD

    @property
    def is_keyed(self) -> bool:
        """True for a file."""
        return self.path != STANDARD

    @classmethod
    def of(cls, address: str) -> Self:
        """Make the settings of ``-``, a path, or ``lines://PATH``."""
        return cls(path=address.removeprefix("lines://"))

    def open(self, base: Path) -> AbstractAsyncContextManager[OpenSink]:
        """Open it; errors as `StreamSink.open` says."""
        return self._open(base)

    @asynccontextmanager
    async def _open(self, base: Path) -> AsyncIterator[OpenSink]:
        if self.path == STANDARD:
            yield StandardOutput()
            return
        path = base / os.path.expanduser(self.path)
        check_above(path, "--to")
        file = LinesFile(path)
        try:
            yield file
        finally:
            file.close()
