"""Binned rows that candidates share: cutting columns into bins is most of a short fit, and the same for all of them."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

MOST_BYTES = 256 * 2**20
"""Binned rows that a process keeps: about as much as it may hold of mapped files."""

COPIES = 3
"""Bytes that a library keeps of a value, about: its bin by row, its bin by column, and what stands beside them."""


class Shelf:
    """The last binned rows of this process; one fit at a time uses each of them."""

    def __init__(self) -> None:
        """Begin empty."""
        self._kept: OrderedDict[Hashable, tuple[Any, threading.Lock, int]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def rows(self, key: Hashable | None, n_values: int, make: Callable[[], Any]) -> Iterator[Any]:
        """Give the rows of a key, made now when they are not there, or when another thread works with them.

        Parameters
        ----------
        key : hashable or None
            What decides the bins; None for rows that cannot be told from others: they are made, and not kept.
        n_values : int
            Cells of the matrix.
        make : callable
            Bins the rows.
        """
        n_bytes = COPIES * n_values
        if key is None or n_bytes > MOST_BYTES:
            yield make()
            return
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
        if found is None:
            found = make(), threading.Lock(), n_bytes
            with self._lock:
                self._kept[key] = found
                while sum(size for _, _, size in self._kept.values()) > MOST_BYTES:
                    self._kept.popitem(last=False)
        content, lock, _ = found
        if not lock.acquire(blocking=False):
            yield make()
            return
        try:
            yield content
        finally:
            lock.release()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()

    def __len__(self) -> int:
        """How many tables are kept."""
        return len(self._kept)


SHELF = Shelf()


def identity(*arrays: Any) -> Hashable | None:
    """Say which part of which files arrays are; None when one is not a file that is mapped into memory.

    Examples
    --------
    >>> identity(np.zeros(3)) is None
    True
    """
    found: list[Hashable] = []
    for array in arrays:
        if array is None:
            found.append(None)
            continue
        owner = array
        while owner is not None and not isinstance(owner, np.memmap):
            owner = getattr(owner, "base", None)
        if owner is None or owner.filename is None or not isinstance(array, np.ndarray):
            return None
        while isinstance(owner.base, np.memmap):
            owner = owner.base
        path = str(owner.filename)
        state = os.stat(path)
        place = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0] + owner.offset
        file = path, state.st_ino, state.st_mtime_ns, state.st_size
        found.append((file, place, array.shape, array.strides, array.dtype.str))
    return tuple(found)
