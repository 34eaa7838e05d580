"""Bytes that are wanted soon are asked for while others are worked on: of the kernel, or of a store by threads."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daskflow.sources.reading import FoundFile

MOST_BYTES = 128 << 20
"""Of stores, bytes that a process fetches or holds before they are asked for."""

THREADS = 4
"""Fetches at a time."""

ASKED_BYTES = 128 << 10
"""The kernel reads no more than its own window for one request (128 KiB by default), whatever is asked."""

Range = tuple[int, int]


class Ahead:
    """What a process fetches from stores before it is asked for.

    Parameters
    ----------
    most_bytes : int
        What is asked for beyond that is left to whoever reads it; what nobody came for goes first.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Begin with nothing on its way."""
        self.most_bytes = most_bytes
        self._coming: OrderedDict[tuple[str, int, tuple[Range, ...]], tuple[Future[list[bytes]], int]] = OrderedDict()
        self._lock = threading.Lock()

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(THREADS, thread_name_prefix="ahead")

    def soon(self, look: Callable[[], None]) -> None:
        """Let a thread find out what to expect; what that raises is met again by whoever reads."""
        self._pool.submit(look)

    def expect(self, file: FoundFile, ranges: Sequence[Range]) -> None:
        """Begin to fetch parts of a store's file, unless there is no room for them; returns at once."""
        if file.storage is None:
            return
        key, n_bytes = (file.path, file.modified_ns, tuple(ranges)), sum(length for _, length in ranges)
        with self._lock:
            if key in self._coming or n_bytes > self.most_bytes:
                return
            for old, (future, _) in list(self._coming.items()):
                if self.held_bytes + n_bytes <= self.most_bytes:
                    break
                if future.done() or future.cancel():
                    del self._coming[old]
            if self.held_bytes + n_bytes <= self.most_bytes:
                self._coming[key] = self._pool.submit(file.storage.read, file.path, list(ranges)), n_bytes

    def taken(self, file: FoundFile, ranges: Sequence[Range]) -> list[bytes] | None:
        """Return parts that were expected, and forget them; None for others, and where fetching them failed."""
        with self._lock:
            found = self._coming.pop((file.path, file.modified_ns, tuple(ranges)), None)
        if found is None or found[0].cancel():
            return None
        with suppress(Exception):  # whoever reads it now meets the same, and says what it was
            return found[0].result()
        return None

    @property
    def held_bytes(self) -> int:
        """Bytes on their way, or here and not asked for."""
        return sum(n_bytes for _, n_bytes in self._coming.values())


AHEAD = Ahead()
"""That of this process."""


def soon(look: Callable[[], None]) -> None:
    """Let a thread of this process find out what to expect; returns at once."""
    AHEAD.soon(look)


def expect(file: FoundFile, ranges: Sequence[Range]) -> None:
    """Ask for parts of a file, given by offset and length, that will be read soon; returns at once, and never raises.

    Parts of this machine's files go into the kernel's cache, those of a store into this process's memory.
    """
    if file.storage is not None:
        AHEAD.expect(file, ranges)
    elif hasattr(os, "posix_fadvise"):
        with suppress(OSError), open(file.path, "rb") as opened:
            for start, length in ranges:
                for place in range(start, start + length, ASKED_BYTES):
                    os.posix_fadvise(opened.fileno(), place, ASKED_BYTES, os.POSIX_FADV_WILLNEED)
