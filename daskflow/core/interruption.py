"""Interruption: how a thread that works for somebody is told to stop, as Ctrl-C tells the main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar


class Interruption:
    """A wish that the work of one context ends; the work looks for it at its own places.

    Examples
    --------
    >>> interruption = Interruption()
    >>> interruption.check()
    >>> interruption.ask()
    >>> try:
    ...     interruption.check()
    ... except KeyboardInterrupt as error:
    ...     print(error)
    Interrupted: whoever awaited this was cancelled.
    >>> interruption.check()
    """

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], None]] = []

    def ask(self) -> None:
        """Ask for an end, from any thread; whoever waits is woken."""
        self._asked.set()
        with self._lock:
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Have this called, in the thread that asks, whenever an end is asked for."""
        with self._lock:
            self._wakers.append(wake)

    def check(self) -> None:
        """Raise KeyboardInterrupt when an end was asked for; once, so that what cleans up afterwards can."""
        if self._asked.is_set():
            self._asked.clear()
            raise KeyboardInterrupt("Interrupted: whoever awaited this was cancelled.")

    def wait(self, seconds: float) -> None:
        """Sleep so long; KeyboardInterrupt as soon as an end is asked for."""
        self._asked.wait(seconds)
        self.check()


CURRENT: ContextVar[Interruption | None] = ContextVar("CURRENT", default=None)
"""That of the work which this context belongs to; None where nobody but a signal interrupts."""


def check() -> None:
    """Raise KeyboardInterrupt when the work that this belongs to was asked to end."""
    found = CURRENT.get()
    if found is not None:
        found.check()
