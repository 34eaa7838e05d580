"""The journal: an append-only file of checksummed lines that survives a kill at any moment.

A line is the CRC-32 of its text in eight hexadecimal digits, a blank, one JSON object and a newline. A torn last
line is cut off when the journal is opened; a bad line before a good one is damage, and refused by its number. One
process holds the journal at a time, by ``flock``, which dies with the process, so no stale lock is left behind. On some
network file systems such a lock holds on its own machine only, or there is none: then the journal says so, and a
second writer is found by the length of the file before the next record is written.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import secrets
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from daskflow.core.errors import JournalError, StorageError
from daskflow.core.mounts import WITHOUT_LOCKS, about_locks

Record = dict[str, Any]


def encode(record: Mapping[str, Any]) -> bytes:
    """Return a record as its line; not-a-number is written as null."""
    text = json.dumps(plain(record), separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
    return b"%08x " % zlib.crc32(text) + text + b"\n"


def decode(line: bytes) -> Record | None:
    """Return a line's record, or None when its checksum or form is wrong."""
    if len(line) < 11 or line[8:9] != b" " or not line.endswith(b"\n"):
        return None
    text = line[9:-1]
    try:
        if int(line[:8], 16) != zlib.crc32(text):
            return None
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def recover(content: bytes, name: str = "journal") -> tuple[list[Record], int]:
    """Return the records of a journal's bytes, and how many bytes of it are good.

    Raises
    ------
    JournalError
        When a bad line stands before a good one: that is damage, not a torn end.
    """
    records: list[Record] = []
    good = position = 0
    bad_line = 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        position += len(line)
        record = decode(line)
        if record is None:
            bad_line = bad_line or number
            continue
        if bad_line:
            raise JournalError(
                f"{name}, line {bad_line}: the line is damaged though later ones are whole. "
                f"Restore the file from a copy, or start anew with --fresh."
            )
        records.append(record)
        good = position
    return records, good


def read(path: Path) -> list[Record]:
    """Return the records of a journal that another process may be writing."""
    return recover(path.read_bytes(), str(path))[0] if path.exists() else []


class Journal:
    """A journal held for writing.

    Parameters
    ----------
    path : Path
        Made when it does not exist.

    Attributes
    ----------
    records : list of dict
        What it holds.
    caution : str
        Why its lock may not keep off a process on another machine, as a sentence; mostly empty.

    Raises
    ------
    JournalError
        When another process holds it, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        """Open, lock, recover."""
        self.path = path
        why = about_locks(path.absolute())
        while True:
            self._file = _opened(path)
            try:
                _lock(self._file)
            except OSError as error:
                if error.errno not in WITHOUT_LOCKS:
                    self._file.close()
                    raise JournalError(
                        f"{path} is in use by another run, or by this one in another process or job: "
                        f"`daskflow status {path.parent}` says more. Wait for it, or give this one another name."
                    ) from error
                why = why or f"{path.parent} is on a file system without locks"
            if _is_at(self._file, path):
                break
            self._file.close()  # it was replaced while this process waited for it
        self.caution = ""
        if why:
            self.caution = f"Do not start this run on two machines at once: a lock does not keep them apart ({why})."
        try:
            self._file.seek(0)
            self.records, self._size = recover(self._file.readall(), str(path))
            self._file.truncate(self._size)
            self._sync()
        except BaseException:
            self._file.close()
            raise

    def append(self, record: Mapping[str, Any], *, durable: bool = True) -> None:
        """Write one record; when `durable` it is on the disk on return.

        Raises
        ------
        StorageError
            When the disk is full or gone; nothing of the record is left in the file.
        """
        self._write(encode(record), durable)
        self.records.append(dict(record))

    def _write(self, lines: bytes, durable: bool) -> None:
        if (size := os.fstat(self._file.fileno()).st_size) != self._size:
            raise JournalError(
                f"{self.path} has {size:,} bytes where this process left {self._size:,}: another one writes to it. End "
                "the other, and run the same command again; if lines were mixed up, start anew with --fresh."
            )
        try:
            written = 0
            while written < len(lines):
                written += self._file.write(lines[written:])
            if durable:
                self._sync()
            self._size += len(lines)
        except BaseException as error:
            # An interrupt may come while the disk is waited for, and more is written afterwards.
            with suppress(OSError):
                self._file.truncate(self._size)
            if not isinstance(error, OSError):
                raise
            raise StorageError(
                f"{self.path} cannot be written: {error.strerror}. Make room, and run the same command again."
            ) from error

    def extend(self, records: Sequence[Mapping[str, Any]], *, durable: bool = True) -> None:
        """Write several records by one call, and by one wait for the disk when `durable`; as `append`."""
        self._write(b"".join(map(encode, records)), durable)
        self.records.extend(dict(record) for record in records)

    def replace(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Put these records in place of all; a kill leaves the one or the other. The lock is held throughout.

        Raises
        ------
        StorageError
            When the disk is full or gone; the records are as they were.
        """
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(6)}")
        file = _opened(temporary)
        try:
            with suppress(OSError):  # where there are no locks the old file had none
                _lock(file)
            lines, written = b"".join(map(encode, records)), 0
            while written < len(lines):
                written += file.write(lines[written:])
            os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:
            file.close()
            temporary.unlink(missing_ok=True)
            raise StorageError(
                f"{self.path} cannot be written: {error.strerror}. Make room, and run the same command again."
            ) from error
        self._file.close()
        self._file, self._size = file, len(lines)
        self.records[:] = [dict(record) for record in records]
        _sync_folder(self.path.parent)

    @property
    def n_bytes(self) -> int:
        """Length of the file."""
        return self._size

    def clear(self) -> None:
        """Forget every record."""
        self._file.truncate(0)
        self._size = 0
        self._sync()
        self.records.clear()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Give the lock back."""
        self._file.close()

    def __enter__(self) -> Journal:
        """Hold it for the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def _opened(path: Path) -> Any:
    """Open a file to add to. Unbuffered: what a full disk refused must not stay in a buffer and be written later."""
    try:
        return open(path, "a+b", buffering=0)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}. Choose another folder with --runs.") from error


def _is_at(file: Any, path: Path) -> bool:
    """Whether the open file still stands at the path."""
    try:
        there, held = path.stat(), os.fstat(file.fileno())
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)


def _lock(file: Any) -> None:
    """Take the lock; whoever only asks for a run's status holds it for a moment, so a few tries are made."""
    for _ in range(9):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            time.sleep(0.02)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader or a crash sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")  # two nodes may write the same file
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _rename(temporary, path, content)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from error


PLAIN = frozenset({str, int, bool, type(None)})
"""Types of which JSON has every value."""


def _rename(temporary: Path, path: Path, content: bytes) -> None:
    """Rename; over NFS the answer may get lost, and the rename that is asked for again finds nothing to rename."""
    try:
        os.replace(temporary, path)
    except FileNotFoundError:
        if not path.exists() or path.read_bytes() != content:
            raise


def _sync_folder(path: Path) -> None:
    """Make a rename outlast a power cut, where folders can be synced; some network file systems refuse it."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(folder)


def plain(value: Any) -> Any:
    """Replace not-a-number and infinities by None, and mappings, sequences and scalars of libraries by plain ones."""
    if type(value) in PLAIN:  # most are: what follows takes long to say so, for every value of every fit
        return value
    if type(value) is dict:
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | bool) else str(value)
