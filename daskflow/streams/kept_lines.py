"""A file of JSON lines that is only added to, and has no line twice: what a kill has left is recognised by its ID."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from daskflow.core.errors import StorageError

PIECE_BYTES = 1 << 20

MOST_WAITS = 1_000
"""What a kill has left comes first; it is waited for over so many additions."""


class KeptLines:
    """A file of lines that each have an ``id``; one process at a time adds to it.

    Parameters
    ----------
    path : Path
        Made when it does not exist, in a folder that does. A last line that a kill has torn is removed.
    advice : str
        What to do when it cannot be written, as the end of a sentence.

    Raises
    ------
    StorageError
        When it cannot be written.
    """

    def __init__(self, path: Path, advice: str) -> None:
        """Open it."""
        self.path, self._advice = path, advice
        self._there: set[str] = set()
        self._marked = self._n_waits = 0
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise self._refused(error) from error
        try:
            _hold(self._file)
            self._size = _mended(self._file)
        except BlockingIOError as error:
            os.close(self._file)
            raise StorageError(f"Another process adds lines to {path} now. End it, or name another file.") from error
        except OSError as error:
            os.close(self._file)
            raise self._refused(error) from error

    @property
    def n_bytes(self) -> int:
        """Its length: without what a kill has left, as long as not all of that has come again."""
        return self._marked if self._there else self._size

    def go_back(self, n_bytes: int) -> None:
        """Find the IDs behind a length that `n_bytes` had; they are not written again."""
        self._marked = n_bytes
        self._there = _ids(self._file, n_bytes, self._size)

    def add(self, ids: Sequence[str], lines: Sequence[bytes]) -> None:
        """Add lines that are not there yet; they are on the disk on return.

        Raises
        ------
        StorageError
            When the disk is full or gone; nothing of them is left in the file then.
        """
        fresh = [line for name, line in zip(ids, lines, strict=True) if name not in self._there]
        content = b"".join(fresh)
        try:
            write_all(self._file, content)
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):  # a device has no length
                os.ftruncate(self._file, self._size)
            raise self._refused(error) from error
        self._size += len(content)
        if self._there:
            self._there.difference_update(ids)
            self._n_waits += 1
            if self._n_waits > MOST_WAITS:
                self._there.clear()

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(f"{self.path} cannot be written: {error.strerror}. {self._advice}")

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


def _hold(file: int) -> None:
    """Let no other process add lines as long as this one does; BlockingIOError when another does already."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a place that knows no locks, see `core.mounts`
        return


def write_all(file: int, content: bytes) -> None:
    """Write all of a content, however little is taken at once."""
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
