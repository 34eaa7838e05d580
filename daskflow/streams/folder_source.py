"""A watched folder: files of records, each read once, as they appear and are complete."""

from __future__ import annotations

import asyncio
import glob
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from daskflow.core.errors import DataError
from daskflow.streams import OpenSource, ReadTables, StreamSource
from daskflow.streams.folder_looking import Complete, Look
from daskflow.streams.folder_reading import read_records
from daskflow.streams.records import Record

POLL_SECONDS, POLL_RATIO = 0.25, 10
"""Between two looks at the folder; at least so many times what a look takes, where it holds very many files."""


class FolderSource(StreamSource):
    """Files that appear in a folder: JSON lines, CSV, Parquet, Arrow.

    A file is read when it is complete: when its length and its time of change have stayed the same for
    `settle_seconds`. Who writes for longer gives it a name that begins with a dot or ends in ``.tmp`` or ``.part``, and
    renames it. A file is read once; should it change afterwards, that is said by a dead letter, and a new name is what
    new records need. Files that are there together come in natural order of their names.

    Attributes
    ----------
    path : str
        The folder.
    pattern : str
        Names that count, such as ``*.csv``; ``**/*`` for those below, too.
    settle_seconds : float
        As above.
    max_bytes : int
        A longer line of JSON is put aside.
    """

    schemes: ClassVar[tuple[str, ...]] = ("", "folder")

    kind: Literal["folder"] = "folder"
    path: str
    pattern: str = "*"
    settle_seconds: float = Field(default=1.0, ge=0)
    max_bytes: int = Field(default=1 << 20, gt=0)
    _read: ReadTables | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, address: str) -> Self:
        """Make the settings of a folder, a file in one, or a glob such as ``new/*.csv``."""
        path = address.removeprefix("folder://")
        if glob.has_magic(path):
            parts = Path(path).parts
            first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
            return cls(path=str(Path(*parts[:first])), pattern=str(Path(*parts[first:])))
        if os.path.isfile(os.path.expanduser(path)):
            return cls(path=str(Path(path).parent), pattern=glob.escape(Path(path).name))
        return cls(path=path)

    def with_tables(self, read: ReadTables) -> Self:
        """Return the source with what reads CSV, Parquet and Arrow; without it has JSON lines alone."""
        source = self.model_copy()
        source._read = read
        return source

    def open(self, base: Path, positions: Mapping[str, Any]) -> AbstractAsyncContextManager[OpenSource]:
        """Open it; errors as `StreamSource.open` says."""
        return self._open(base, positions)

    @asynccontextmanager
    async def _open(self, base: Path, positions: Mapping[str, Any]) -> AsyncIterator[OpenSource]:
        folder = Path(os.path.abspath(base / os.path.expanduser(self.path)))
        if not folder.is_dir():
            way = f"lines://{folder} reads JSON lines from what has any name" if folder.exists() else "Make it"
            raise DataError(f"{folder} is no folder. {way}, or name another with --from.")
        look = Look(folder, self.pattern, self.settle_seconds, positions)
        opened = _Folder(self, look, self._read)
        try:
            yield opened
        finally:
            await opened.close()


class _Folder:
    """An open folder; files are listed and read in threads, and what one gives is lost by no cancellation."""

    lag: int | None = None

    def __init__(self, settings: FolderSource, look: Look, read: ReadTables | None) -> None:
        self._settings, self._look, self._read = settings, look, read
        self._ready: deque[Record] = deque()
        self._files: deque[Complete] = deque()
        self._chunks: Iterator[Sequence[Record]] | None = None
        self._step: asyncio.Task[Any] | None = None

    async def take(self, most: int) -> Sequence[Record]:
        """Return the next records; as `OpenSource.take`."""
        while not self._ready:
            if self._chunks is not None:
                chunk = await self._lasting(next, self._chunks, None)
                if chunk is None:
                    self._chunks = None
                else:
                    self._ready.extend(chunk)
            elif self._files:
                self._chunks = read_records(
                    self._files.popleft(), self._read, key=self._settings.key, max_bytes=self._settings.max_bytes
                )
            else:
                since = time.monotonic()
                found, waits = await self._lasting(self._look.files)
                self._files.extend(found)
                if not found and self._settings.once and not waits:
                    return []
                if not found:
                    await asyncio.sleep(max(POLL_SECONDS, POLL_RATIO * (time.monotonic() - since)))
        return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]

    async def _lasting(self, function: Any, *arguments: Any) -> Any:
        """Call in a thread; when this is cancelled, the next call waits for what that one gives."""
        if self._step is None:
            self._step = asyncio.create_task(asyncio.to_thread(function, *arguments))
        try:
            found = await asyncio.shield(self._step)
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._step = None
            raise
        self._step = None
        return found

    async def commit(self, records: Sequence[Record]) -> None:
        """Do nothing: the stream's own journal knows how far it is."""

    async def close(self) -> None:
        """Wait for the thread."""
        if self._step is not None:
            with suppress(Exception):
                await self._step
