"""Results as JSON lines, on standard output or at the end of a file that holds none twice."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from daskflow.core.errors import StorageError
from daskflow.streams.json_records import text_of
from daskflow.streams.records import Result

PIECE_BYTES = 1 << 20

MOST_WAITS = 1_000
"""What a kill has left comes first; it is waited for over so many batches."""


def line_of(result: Result) -> bytes:
    """Return a result as one line of JSON."""
    return text_of(result.flat) + b"\n"


class StandardOutput:
    """Standard output; whoever reads it slowly slows the stream down."""

    async def write(self, results: Sequence[Result]) -> None:
        """Write; as `OpenSink.write`."""
        sys.stdout.flush()
        await asyncio.to_thread(_write_all, sys.stdout.fileno(), b"".join(map(line_of, results)))


class LinesFile:
    """A file that results are added to; one process at a time.

    Parameters
    ----------
    path : Path
        Made when it does not exist, with the folders above it. A last line that a kill has torn is removed.

    Raises
    ------
    StorageError
        When it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        """Open it, and find the IDs of its last lines."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise self._refused(error) from error
        self._there: set[str] = set()
        self._marked, self._n_waits = 0, 0
        try:
            self._size = _mended(self._file)
        except OSError as error:
            os.close(self._file)
            raise self._refused(error) from error

    @property
    def mark(self) -> dict[str, Any]:
        """The file and its length: without what a kill has left, as long as not all of that has come again."""
        return {"lines": str(self.path.absolute()), "bytes": self._marked if self._there else self._size}

    async def go_back(self, mark: Any) -> None:
        """Find the IDs that stand behind a mark; they are not written again."""
        if isinstance(mark, dict) and mark.get("lines") == self.mark["lines"]:
            self._marked = int(mark["bytes"])
            self._there = await asyncio.to_thread(_ids, self._file, self._marked, self._size)

    async def write(self, results: Sequence[Result]) -> None:
        """Add results that are not there yet; they are on the disk on return."""
        fresh = [result for result in results if result.id not in self._there] if self._there else results
        await asyncio.to_thread(self._add, b"".join(map(line_of, fresh)))
        if self._there:
            self._there.difference_update([result.id for result in results])
            self._n_waits += 1
            if self._n_waits > MOST_WAITS:
                self._there.clear()

    def _add(self, lines: bytes) -> None:
        try:
            _write_all(self._file, lines)
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):  # a device has no length
                os.ftruncate(self._file, self._size)
            raise self._refused(error) from error
        self._size += len(lines)

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(f"{self.path} cannot be written: {error.strerror}. Make room, or name another with --to.")

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _mended(file: int) -> int:
    """Remove a last line that was torn, or end one that is whole; return the length."""
    size = os.fstat(file).st_size
    start, end = size, b""
    while start and b"\n" not in end:
        before = min(start, PIECE_BYTES)
        start -= before
        end = os.pread(file, before, start) + end
    torn = end.rpartition(b"\n")[2]
    if not torn:
        return size
    if _id_of(torn) is None:
        os.ftruncate(file, size - len(torn))
        return size - len(torn)
    os.write(file, b"\n")
    return size + 1


def _ids(file: int, start: int, end: int) -> set[str]:
    """Return the IDs of the lines between two bytes."""
    lines = os.pread(file, max(0, end - start), start).split(b"\n")
    return {name for line in lines if (name := _id_of(line)) is not None}


def _id_of(line: bytes) -> str | None:
    try:
        found: Any = json.loads(line)
    except ValueError:
        return None
    return found["id"] if isinstance(found, dict) and isinstance(found.get("id"), str) else None
