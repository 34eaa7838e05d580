"""Leases: files that a living process holds locked, so that others know what is in use and what was left behind.

A lock of ``flock`` ends with the process that holds it, however that ends, so a lease that can be locked is void. Where
the file system has no such locks, a lease counts for a day after it was written.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from daskflow.core.errors import StorageError
from daskflow.core.mounts import WITHOUT_LOCKS

DAY_SECONDS = 86_400
LOCK_SECONDS = 60
"""How long to wait for a folder's lock, which is held for moments."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's own lock, so that one process at a time looks for what is in use and acts on it.

    Raises
    ------
    StorageError
        When another process does not give the lock back within a minute.
    """
    with open(folder / ".lock", "ab") as file:
        until = time.monotonic() + LOCK_SECONDS
        while not _lock(file):
            if time.monotonic() > until:
                raise StorageError(
                    f"{folder} has been locked for {LOCK_SECONDS} s by another process, which may be stopped. "
                    "End it, or choose another folder with cache.folder."
                )
            time.sleep(0.02)
        yield


class Lease:
    """A locked file that lists what its process uses; void from the moment the process ends.

    Parameters
    ----------
    path : Path
        The file to make; its folder is there. Call while holding that folder's lock.
    """

    def __init__(self, path: Path) -> None:
        """Make the file and lock it."""
        self.path = path
        self._file: IO[bytes] = open(path, "w+b")  # noqa: SIM115 - open as long as the lease lasts
        _lock(self._file)

    def write(self, names: Iterable[str]) -> None:
        """List these names, in place of those before."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write("\n".join(names).encode())
        self._file.flush()

    def close(self) -> None:
        """Give the lease up and remove its file."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        self._file.close()


def new_lease(folder: Path) -> Lease:
    """Make a lease in a folder, which is made when it is not there; call while holding the lock."""
    folder.mkdir(exist_ok=True)
    return Lease(folder / f"{os.getpid()}-{uuid.uuid4().hex}")


def is_held(path: Path) -> bool:
    """Whether a living process holds this file locked; False when there is no such file."""
    try:
        with open(path, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in WITHOUT_LOCKS:
                    return time.time() - os.fstat(file.fileno()).st_mtime < DAY_SECONDS
                return True
    except FileNotFoundError:
        return False
    return False


def names_in_use(folder: Path) -> set[str]:
    """Return what all living leases of a folder list, and remove the void ones; call while holding the lock."""
    found: set[str] = set()
    for path in folder.iterdir() if folder.is_dir() else ():
        if is_held(path):
            found.update(path.read_text().split())
        else:
            path.unlink(missing_ok=True)
    return found


def _lock(file: IO[Any]) -> bool:
    """Try to lock a file; True also where locks are not to be had."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in WITHOUT_LOCKS
    return True
