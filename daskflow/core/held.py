"""Held: a change of the whole process that lasts as long as anybody needs it, whoever came first or leaves last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType


class Held:
    """A context manager that many threads may be in at once: the first one enters what it holds, the last one leaves.

    What puts back the values it found, such as ``dask.config.set``, must not be entered by each of them: where two
    overlap, the one that leaves last puts back what the other had set.

    Parameters
    ----------
    make : callable
        Returns the context manager to hold.

    Examples
    --------
    >>> from contextlib import contextmanager
    >>> @contextmanager
    ... def told():
    ...     print("in")
    ...     yield
    ...     print("out")
    >>> held = Held(told)
    >>> with held, held:
    ...     print("both")
    in
    both
    out
    """

    def __init__(self, make: Callable[[], AbstractContextManager[object]]) -> None:
        """Hold nothing yet."""
        self._make, self._lock, self._holders = make, threading.Lock(), 0
        self._inner: AbstractContextManager[object] | None = None

    def __enter__(self) -> None:
        """Enter what is held, unless somebody is in already."""
        with self._lock:
            if not self._holders:
                inner = self._make()
                inner.__enter__()
                self._inner = inner
            self._holders += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave what is held, unless somebody else is in still."""
        with self._lock:
            self._holders -= 1
            if not self._holders and self._inner is not None:
                inner, self._inner = self._inner, None
                inner.__exit__(None, None, None)
