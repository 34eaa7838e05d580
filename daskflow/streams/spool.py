"""A spool: messages that no server would send again, on the disk as soon as they came, until they are handed on.

A folder of segments, named by the number of their first message. A line is one message with a checksum, as in a
journal; what a kill has torn is cut off when the spool is opened, and that is the last line at most. A message is
written before the next one is received, so it outlives the process, and is synced to the disk before it is handed on,
so it outlives the machine. One process holds a spool at a time.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import itertools
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskflow.core.errors import JournalError, StorageError
from daskflow.core.journal import decode, encode

SEGMENT_BYTES = 4 << 20
SUFFIX = ".spool"


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came.

    Attributes
    ----------
    number : int
        From 1 on, over all segments.
    at : float
        When it came, in seconds since 1970.
    raw : bytes
        Its text.
    id : str
        That the server gave it; empty when it gave none.
    problem, reason : str
        Why it is no record, as in `records.Record`; mostly empty.
    """

    number: int
    at: float
    raw: bytes
    id: str = ""
    problem: str = ""
    reason: str = "malformed"


class Spool:
    """Messages in a folder; who receives writes, who takes reads, and both may be far apart.

    Parameters
    ----------
    folder : Path
        Made when it does not exist.
    positions : mapping
        Numbers of the newest messages that were handed on for good, by `partition`.
    most_bytes : int
        On the disk; at that length no more is received before something is handed on.

    Attributes
    ----------
    name : str
        Of the spool; with the number of a message it is an ID that no other message has.
    last_id : str
        The newest that the server gave.

    Raises
    ------
    JournalError
        When another process holds it, or it is damaged.
    StorageError
        When it cannot be written.
    """

    def __init__(self, folder: Path, positions: Mapping[str, Any], *, most_bytes: int) -> None:
        """Open, lock, and find where it was left."""
        self.folder, self._most_bytes = folder, most_bytes
        self.last_id = ""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(folder / "name", "a+")  # noqa: SIM115  held open for the life of the spool
        except OSError as error:
            raise StorageError(f"The spool {folder} cannot be written: {error.strerror}.") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise JournalError(
                f"The spool {folder} is in use by another process. Give this one another: spool=FOLDER."
            ) from error
        self.name = self._named()
        after = int(positions.get(self.partition, 0))
        self._file: Any = None
        self._size = 0
        self._sizes: dict[int, int] = {}
        self._written = self._recover()
        self._written = max(self._written, after)  # should segments be gone, numbers go on: none is used twice
        self._synced, self._read, self._committed = self._written, after, after
        self._arrived, self._has_room = asyncio.Event(), asyncio.Event()
        self._reader: Any = None
        self._place = 0
        self._forget()

    @property
    def partition(self) -> str:
        """What records that come through it have for a partition."""
        return f"spool {self.name}"

    def _named(self) -> str:
        self._lock.seek(0)
        name = self._lock.read().strip()
        if not name:
            name = secrets.token_hex(6)
            self._lock.write(name)
            self._lock.flush()
            os.fsync(self._lock.fileno())
        return name

    def _segments(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.glob(f"*{SUFFIX}"))

    def _path(self, first: int) -> Path:
        return self.folder / f"{first:020d}{SUFFIX}"

    def _recover(self) -> int:
        """Cut off a torn end, and return the number of the last message."""
        last = 0
        for first in (segments := self._segments()):
            path = self._path(first)
            content = path.read_bytes()
            good = 0
            for line in content.splitlines(keepends=True):
                found = decode(line)
                if found is None:
                    break
                good += len(line)
                last = int(found["n"])
                self.last_id = str(found.get("id", "")) or self.last_id
            if good < len(content):
                if first != segments[-1] or b"\n" in content[good:-1]:
                    raise JournalError(
                        f"{path}: it is damaged though what follows is whole. Move it away to go on without it."
                    )
                os.truncate(path, good)
            self._sizes[first] = good
        return last

    @property
    def waiting(self) -> int:
        """Messages that were received and not taken."""
        return self._written - self._read

    async def room(self) -> None:
        """Wait until there is room for a message."""
        while self._committed < self._written and sum(self._sizes.values()) >= self._most_bytes:
            self._has_room.clear()
            await self._has_room.wait()

    def append(self, raw: bytes, *, id: str = "", problem: str = "", reason: str = "") -> None:
        """Write a message; it outlives this process on return. StorageError when the disk is full or gone."""
        number = self._written + 1
        try:
            text = {"t": raw.decode()}
        except UnicodeDecodeError:
            text = {"b": base64.b64encode(raw).decode()}
        told = {"id": id, "problem": problem, "reason": reason}
        line = encode(
            {"n": number, "at": time.time(), **text, **{word: value for word, value in told.items() if value}}
        )
        try:
            if self._file is None or self._size >= SEGMENT_BYTES:
                self._next_segment(number)
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError as error:
            if self._file is not None:
                self._file.truncate(self._size)
            raise StorageError(f"The spool {self.folder} cannot be written: {error.strerror}. Make room.") from error
        self._size += len(line)
        self._sizes[max(self._sizes)] = self._size
        self._written = number
        self.last_id = id or self.last_id
        self._arrived.set()

    def _next_segment(self, first: int) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
        last = max(self._sizes, default=None)
        if self._file is None and last is not None and self._sizes[last] < SEGMENT_BYTES:
            first, self._size = last, self._sizes[last]
        else:
            self._size = 0
        self._file = open(self._path(first), "ab", buffering=0)  # noqa: SIM115  held open until it is full
        self._sizes.setdefault(first, 0)

    async def arrived(self) -> None:
        """Wait until a message is there that was not taken."""
        while not self.waiting:
            self._arrived.clear()
            await self._arrived.wait()

    async def take(self, most: int) -> list[Message]:
        """Return at most so many of those that were not taken; they are on the disk. A cancel loses none."""
        if self._synced < self._written:
            await self._sync()
        taken: list[Message] = []
        while len(taken) < most and self._read < self._synced:  # nothing is awaited from here on
            if (message := self._next()) is not None and message.number > self._read:
                taken.append(message)
                self._read = message.number
        return taken

    async def _sync(self) -> None:
        """Put what is written on the disk; a segment that is full was synced before it was closed."""
        until, descriptor = self._written, os.dup(self._file.fileno())
        try:
            await asyncio.to_thread(os.fsync, descriptor)
        except OSError as error:
            raise StorageError(f"The spool {self.folder} cannot be written: {error.strerror}.") from error
        finally:
            os.close(descriptor)
        self._synced = max(self._synced, until)

    def _next(self) -> Message | None:
        """Read a message; None at the end of a segment."""
        if self._reader is None:
            self._place = self._segment_after(self._place)
            self._reader = open(self._path(self._place), "rb")  # noqa: SIM115  held open until its end
        line = self._reader.readline()
        if not line:
            self._reader.close()
            self._reader = None
            return None
        found = decode(line)
        if found is None:
            raise JournalError(f"{self._path(self._place)} is damaged. Move it away to go on without it.")
        return _message(found)

    def _segment_after(self, place: int) -> int:
        """The segment to read after one; the first time that of the message which is next."""
        later = [first for first in self._sizes if first > place]
        if not later:
            raise JournalError(f"The spool {self.folder} has lost messages that it had.")
        started = [first for first in later if first <= self._read + 1]
        return max(started) if started else min(later)

    def commit(self, number: int) -> None:
        """Take note that everything up to here has been handed on: segments without more are removed."""
        self._committed = max(self._committed, number)
        self._forget()

    def _forget(self) -> None:
        firsts = sorted(self._sizes)
        for first, after in itertools.pairwise(firsts):
            if after > self._committed + 1:
                break
            self._path(first).unlink(missing_ok=True)
            del self._sizes[first]
        self._has_room.set()

    def close(self) -> None:
        """Let others have it."""
        for file in (self._file, self._reader):
            if file is not None:
                file.close()
        self._lock.close()


def _message(found: Mapping[str, Any]) -> Message:
    raw = found["t"].encode() if "t" in found else base64.b64decode(found["b"])
    told = {word: found[word] for word in ("id", "problem", "reason") if word in found}
    return Message(int(found["n"]), float(found["at"]), raw, **told)
