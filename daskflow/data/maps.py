"""Files mapped into memory: what was read is given back, so that a worker's size is that of its own values."""

from __future__ import annotations

import mmap
import os
import sys
import threading
import weakref
from pathlib import Path

MOST_BYTES = 256 * 2**20
"""Mapped pages that stay between two units; libraries themselves take about half of it."""

_open: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
_lock = threading.Lock()


def map_file(path: str | Path) -> mmap.mmap:
    """Map a file for reading; it stays mapped as long as an array or table looks into it.

    Raises
    ------
    OSError, ValueError
        When it is not there, or empty.
    """
    with open(path, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    watch(content)
    return content


def watch(content: mmap.mmap) -> None:
    """Let the pages of a map be given back, too, that was made elsewhere; it must be of a file."""
    with _lock:
        _open.add(content)


def rest(most: int | None = None) -> None:
    """Give the pages of mapped files back when this process holds more of them than `most` bytes (MOST_BYTES).

    They count as a process's memory, so that Dask would pause a worker that has read much of a table, though the
    kernel could take them at any time. What is read again comes from the kernel's cache of the file.
    """
    if sys.platform != "linux" or _mapped_bytes() <= (MOST_BYTES if most is None else most):
        return
    with _lock:
        for content in list(_open):
            content.madvise(mmap.MADV_DONTNEED)


def _mapped_bytes() -> int:
    """Resident pages of files and of shared memory."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[2]) * os.sysconf("SC_PAGE_SIZE")
