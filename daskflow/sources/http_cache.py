"""Files of a table on their way to the disk: each is there when it is read, and those after it come meanwhile.

Every file has a folder of its own in the cache, named by its address, with the journal of the fetching. A process
that needs a file looks into that journal; when the file is not there it takes the journal's lock and fetches it, or
waits for the process that does. So nothing has to be agreed on between the processes of a cluster: those that
share the cache fetch each file once, those that do not fetch their own.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from daskflow.core.errors import JournalError, StorageError
from daskflow.data.blocks import storing_in
from daskflow.data.http_client import Client
from daskflow.sources.http_download import download, raise_failures
from daskflow.sources.http_engine import ENGINE, Reach
from daskflow.sources.http_journal import NAME, Known
from daskflow.sources.http_part import OPTION
from daskflow.sources.http_transfer import Wanted, is_certain, there

USE = ".in-use"
"""Locked by those that read or fetch a file, so that nobody removes it meanwhile; its time is that of the last use."""

WAIT_SECONDS = 0.05


class Fetch(NamedTuple):
    """What became of fetching a file."""

    path: Path
    n_bytes: int
    """That came; 0 when the server said that the one that is there has not changed."""
    began: float
    """In seconds since 1970."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Held:
    """A file of the cache that nobody removes before it is given back.

    Attributes
    ----------
    lock : int
        Open file whose lock says so.
    n_bytes : int
        What was fetched of it now; 0 when it was there.
    began, seconds : float
        When its fetching began, in seconds since 1970, and how long it lasted; 0 when it was there.
    """

    lock: int
    n_bytes: int
    began: float = 0.0
    seconds: float = 0.0

    def close(self) -> None:
        """Give it back."""
        os.close(self.lock)


@dataclass(frozen=True)
class Cache:
    """Where fetched files are kept, and how servers are reached.

    Attributes
    ----------
    folder : str
        Of all files; absolute.
    most_bytes : int
        Above this, files that were used longest ago are removed.
    reach : Reach
        Limits and credentials.
    """

    folder: str
    most_bytes: int
    reach: Reach

    def folder_of(self, wanted: Wanted) -> Path:
        """Return the folder of one file."""
        return Path(self.folder) / wanted.address.identity

    def start(self, wanted: Wanted, *, is_patient: bool) -> Future[Fetch]:
        """Begin to fetch a file in the background; the future gets its path and times, or the error."""

        async def job(client: Client) -> Fetch:
            folder = self.folder_of(wanted)
            with storing_in(folder, option=OPTION):
                folder.mkdir(parents=True, exist_ok=True)
            lock = _open(folder)
            try:
                while not _locks(lock, fcntl.LOCK_SH):
                    await asyncio.sleep(WAIT_SECONDS)
                began, begun = time.time(), time.perf_counter()
                (outcome,) = await download([wanted], folder, client, is_patient=is_patient)
                raise_failures([outcome])
                assert outcome.done is not None
                seconds = time.perf_counter() - begun
            finally:
                os.close(lock)
            await asyncio.to_thread(_size_of(self.folder).make_room, self.most_bytes, folder)
            return Fetch(folder / outcome.done.name, outcome.n_bytes, began, seconds)

        return ENGINE.start(str(self.folder_of(wanted)), self.reach, job)

    def path_of(self, wanted: Wanted) -> Path | None:
        """Return where a file is when it is there and is the one that was planned, without any request."""
        folder = self.folder_of(wanted)
        known = Known.read(folder)
        done = there(known, wanted)
        return folder / done.name if done is not None and is_certain(done, wanted) else None

    def bring(self, wanted: Wanted) -> Future[Held]:
        """Begin to fetch a file, unless it is there, and hold it; the future gets the error if it cannot be had."""
        folder = self.folder_of(wanted)
        with storing_in(folder, option=OPTION):
            folder.mkdir(parents=True, exist_ok=True)
        lock = _open(folder)
        fcntl.flock(lock, fcntl.LOCK_SH)
        os.utime(lock)
        found: Future[Held] = Future()
        if self.path_of(wanted) is not None:
            found.set_result(Held(lock, 0))
            return found

        def ended(fetched: Future[Fetch], *, is_last: bool) -> None:
            error = fetched.exception()
            if (
                isinstance(error, JournalError) and not is_last
            ):  # it was being fetched ahead, and another process does it
                again = self.start(wanted, is_patient=True)
                again.add_done_callback(partial(ended, is_last=True))
            elif error is not None:
                os.close(lock)
                found.set_exception(error)
            else:
                fetch = fetched.result()
                found.set_result(Held(lock, fetch.n_bytes, fetch.began, fetch.seconds))

        self.start(wanted, is_patient=True).add_done_callback(partial(ended, is_last=False))
        return found

    @contextmanager
    def using(self, wanted: Wanted, following: Sequence[Wanted] = ()) -> Iterator[Path]:
        """Yield the path of a file, which stays until the block ends; it is fetched first if need be.

        Parameters
        ----------
        wanted : Wanted
            The file.
        following : sequence of Wanted
            Files that will be wanted next: their fetching begins, and is not waited for.

        Raises
        ------
        DataError
            When it cannot be had.
        ChangedDataError
            When it is not what was planned.
        """
        folder = self.folder_of(wanted)
        with storing_in(folder, option=OPTION):
            folder.mkdir(parents=True, exist_ok=True)
        lock = _open(folder)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            os.utime(lock)
            path = self.path_of(wanted)
            first = self.start(wanted, is_patient=True) if path is None else None
            for one in following:
                if self.path_of(one) is None:
                    self.start(one, is_patient=False)
            if first is not None:
                try:
                    path = first.result().path
                except JournalError:  # it was being fetched ahead, and another process does it: wait for that one
                    path = self.start(wanted, is_patient=True).result().path
            assert path is not None
            yield path
        finally:
            os.close(lock)


class _Size:
    """How much a cache holds, as far as this process knows; counted again before anything is removed."""

    def __init__(self, folder: str) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._total = sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[float, int, Path]]:
        """Time of last use, size and folder of every file."""
        found = []
        for entry in os.scandir(self._folder):
            with suppress(OSError):
                used = os.stat(os.path.join(entry.path, USE)).st_mtime
                found.append((used, sum(file.stat().st_size for file in os.scandir(entry.path)), Path(entry.path)))
        return found

    def make_room(self, most_bytes: int, new: Path) -> None:
        """Count a new file; when there are too many bytes, remove files that were used longest ago, but not this."""
        with self._lock:
            self._total += sum(file.stat().st_size for file in os.scandir(new))
            if self._total <= most_bytes:
                return
            files = self._files()
            self._total = sum(size for _, size, _ in files)
            for _, size, folder in sorted(files):
                if self._total <= most_bytes:
                    return
                if folder != new and _remove(folder):
                    self._total -= size


@cache
def _size_of(folder: str) -> _Size:
    """The count of a cache."""
    return _Size(folder)


def _remove(folder: Path) -> bool:
    """Remove a file and its journal, unless somebody uses it; the lock stays, for somebody may wait for it."""
    lock = _open(folder)
    try:
        if not _locks(lock, fcntl.LOCK_EX):
            return False
        (folder / NAME).unlink(missing_ok=True)
        for path in folder.iterdir():
            if path.name != USE:
                path.unlink(missing_ok=True)
        return True
    finally:
        os.close(lock)


def _open(folder: Path) -> int:
    """Open the file that is locked while a folder is in use."""
    try:
        return os.open(folder / USE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror}. Choose another with {OPTION}.") from error


def _locks(lock: int, kind: int) -> bool:
    """Take a lock without waiting; return whether it was to be had."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
