"""Results as JSON lines, on standard output or at the end of a file that holds none twice."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daskflow.streams.json_records import text_of
from daskflow.streams.kept_lines import KeptLines, write_all
from daskflow.streams.records import Result

PIPE_BYTES = 4096
"""A pipe that can be written to takes so many bytes at once (POSIX: PIPE_BUF)."""


def line_of(result: Result) -> bytes:
    """Return a result as one line of JSON."""
    return text_of(result.flat) + b"\n"


class StandardOutput:
    """Standard output; whoever reads it slowly slows the stream down, and keeps it from nothing else."""

    async def write(self, results: Sequence[Result]) -> None:
        """Write; as `OpenSink.write`. BrokenPipeError when nobody reads any more."""
        sys.stdout.flush()
        file, content = sys.stdout.fileno(), b"".join(map(line_of, results))
        if not stat.S_ISFIFO(os.fstat(file).st_mode):
            await asyncio.to_thread(write_all, file, content)
            return
        for at in range(0, len(content), PIPE_BYTES):
            await _writable(file)
            write_all(file, content[at : at + PIPE_BYTES])


async def _writable(file: int) -> None:
    """Wait until a pipe takes something: no thread is left behind that waits for whoever reads."""
    loop = asyncio.get_running_loop()
    there: asyncio.Future[None] = loop.create_future()
    loop.add_writer(file, _set, there)
    try:
        await there
    finally:
        loop.remove_writer(file)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class LinesFile:
    """A file that results are added to; one process at a time. StorageError when it cannot be written."""

    def __init__(self, path: Path) -> None:
        """Open it."""
        self._lines = KeptLines(path, "Make room, or name another with --to.")
        self._path = str(path.absolute())

    @property
    def mark(self) -> dict[str, Any]:
        """The file and its length."""
        return {"lines": self._path, "bytes": self._lines.n_bytes}

    async def go_back(self, mark: Any) -> None:
        """Recognise what stands behind a mark of this file."""
        if isinstance(mark, dict) and mark.get("lines") == self._path:
            await asyncio.to_thread(self._lines.go_back, int(mark["bytes"]))

    async def write(self, results: Sequence[Result]) -> None:
        """Add results that are not there yet; as `OpenSink.write`."""
        lines = [line_of(result) for result in results]
        await asyncio.to_thread(self._lines.add, [result.id for result in results], lines)

    def close(self) -> None:
        """Give the file back."""
        self._lines.close()
