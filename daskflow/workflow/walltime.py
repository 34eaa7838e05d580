"""Walltime: the end of a job's time, foreseen, so that another job goes on without a gap."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType
from typing import Any

logger = logging.getLogger(__name__)

MARGIN_SECONDS, MARGIN_SHARE = 90.0, 0.25
"""So long before the walltime ends the work is interrupted; of a short walltime this share at most."""

LEAD_SHARE = 0.5
"""The successor is handed in when this share of the walltime is left, at the earliest."""

AGAIN_SECONDS = 30.0
"""How often it is tried to hand in the successor while there is time."""

LOOK_SECONDS = 2.0
"""How often it is looked whether something was finished for which a successor is worth it."""

GLANCE_SECONDS = 0.5
"""How often it is looked whether the successor has begun."""

LAST_SECONDS = 30.0
"""A job that is being handed in while the run ends is waited for so long."""


class Walltime:
    """The end of a job's time, foreseen: a successor is handed in, and the main thread interrupted when it has begun.

    Parameters
    ----------
    end : float
        When the time is over, in seconds since 1970.
    seconds : float
        How long it is in all.
    hand_in : callable
        Hands in the successor, in a thread of its own, and returns whether it did; tried again until the last moment.
    is_worth_it : callable, optional
        Whether a successor shall be handed in before the last moment.
    has_begun : callable, optional
        Whether the successor has begun.
    lead_seconds : float, optional
        So long before the last moment the successor is handed in: what it takes a job to wait in the queue and to
        start.

    Attributes
    ----------
    is_over : bool
        Whether it has ended, or a successor is there.

    Notes
    -----
    A queue may say that the last moment has come, too, by the signal USR1. A job that is cancelled gets TERM, which
    interrupts the main thread and does nothing before.
    """

    def __init__(
        self,
        end: float,
        seconds: float,
        hand_in: Callable[[], bool],
        *,
        is_worth_it: Callable[[], bool] = lambda: True,
        has_begun: Callable[[], bool] = lambda: False,
        lead_seconds: float = 0.0,
    ) -> None:
        """Begin nothing."""
        self.is_over = False
        self._last = end - min(MARGIN_SECONDS, MARGIN_SHARE * seconds)
        self._first = max(self._last - lead_seconds, end - LEAD_SHARE * seconds)
        self._hand_in, self._is_worth_it, self._has_begun = hand_in, is_worth_it, has_begun
        self._near, self._left = threading.Event(), False
        self._thread = threading.Thread(target=self._watch, name="daskflow-walltime", daemon=True)
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> Walltime:
        """Watch from now on; in the main thread."""
        handlers = {
            signal.SIGINT: signal.default_int_handler,  # a shell may have told its children to ignore it
            signal.SIGTERM: self._interrupt,
            signal.SIGUSR1: lambda *_: self._near.set(),
        }
        self._earlier = {each: signal.signal(each, handler) for each, handler in handlers.items()}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no more."""
        self.end()
        for each, handler in self._earlier.items():
            signal.signal(each, handler)

    def end(self) -> None:
        """Foresee nothing any more; a successor that is being handed in is known afterwards."""
        self._left = True
        self._near.set()
        self._thread.join(LAST_SECONDS)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the main thread once: what is being put away then shall not be interrupted again."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    def _watch(self) -> None:
        """Hand in the successor in good time, and interrupt when it has begun, or at the last moment."""
        is_handed_in = False
        self._wait_until(self._first)
        while not self._left and not is_handed_in and not self._is_near():
            is_worth_it = True
            try:
                is_worth_it = self._is_worth_it()
                is_handed_in = is_worth_it and self._hand_in()
            except Exception:  # as of a file server that does not answer now: without this thread nobody would go on
                logger.exception("The job that goes on could not be handed in; it is tried again")
            if not is_handed_in:
                pause = AGAIN_SECONDS if is_worth_it else LOOK_SECONDS
                self._wait_until(min(self._last, time.time() + pause))
        while not self._left and not self._is_near() and not self._has_begun():
            self._near.wait(GLANCE_SECONDS)
        if self._left:
            return
        self.is_over = True
        try:
            if not is_handed_in:
                self._hand_in()
        finally:
            if not self._left:
                os.kill(os.getpid(), signal.SIGTERM)

    def _is_near(self) -> bool:
        return self._near.is_set() or time.time() >= self._last

    def _wait_until(self, moment: float) -> None:
        """Wait until a moment, or the last one by a signal; clocks may be set meanwhile."""
        while (left := moment - time.time()) > 0 and not self._near.wait(min(left, 3600.0)):
            pass


def ends_at(environment: Mapping[str, str], otherwise: float) -> float:
    """Return when this job's time is over, as its queue says, in seconds since 1970.

    Examples
    --------
    >>> ends_at({"SLURM_JOB_END_TIME": "1700000060"}, 5.0), ends_at({}, 5.0)
    (1700000060.0, 5.0)
    """
    said = environment.get("SLURM_JOB_END_TIME", "")
    return float(said) if said.isdigit() else otherwise
