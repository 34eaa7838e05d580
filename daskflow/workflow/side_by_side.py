"""Side by side: whether other runs of this process went on during a stage, so that its processor time is its own."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class SideBySide:
    """Counts the runs of a process, and remembers when there was last more than one.

    Examples
    --------
    >>> runs = SideBySide()
    >>> with runs.one():
    ...     begun = time.perf_counter()
    ...     alone = runs.were_several_since(begun)
    ...     with runs.one():
    ...         beside = runs.were_several_since(begun)
    ...     alone, beside, runs.were_several_since(begun), runs.were_several_since(time.perf_counter())
    (False, True, True, False)
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._lock, self._running, self._last = threading.Lock(), 0, -math.inf

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count a run for the time of the block."""
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                if self._running > 1:
                    self._last = time.perf_counter()
                self._running -= 1

    def were_several_since(self, begun: float) -> bool:
        """Whether two runs went on at once at some time since then, by `time.perf_counter`."""
        with self._lock:
            return self._running > 1 or self._last >= begun


RUNS = SideBySide()
"""This process's."""
