"""Replay: a run that is over, told again at a chosen speed."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

from daskflow.core.journal import Record
from daskflow.core.live import time_of

SILENCE_SECONDS = 60.0
"""Of longer silences, as between two invocations, only the last second is waited for."""

MOST_SPEED = 1e6


class Replay:
    """The records of a run on a clock of their own.

    Parameters
    ----------
    records : sequence of dict
        In the order of `core.live.merged`. One that says no time, or an earlier one than those before it, is told
        with its neighbour.
    speed : float
        Seconds of the run per second.
    clock : callable
        Returns seconds.

    Attributes
    ----------
    first, last : float
        When the run began and ended, in seconds since 1970.
    paused : bool
        Whether its clock stands still.
    restarted : bool
        Whether it went back, so that what was heard must be forgotten; `new` clears it.

    Examples
    --------
    >>> now = [0.0]
    >>> replay = Replay([{"at": 5.0}, {"at": 9.0}], speed=2.0, clock=lambda: now[0])
    >>> len(replay.new()), len(replay.new())
    (1, 0)
    >>> now[0] = 1.5
    >>> replay.at, replay.new()
    (8.0, [])
    """

    def __init__(
        self, records: Sequence[Record], speed: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with the first record."""
        self._records, self._times = list(records), _times(records)
        self._clock = clock
        self.first = self._times[0] if records else 0.0
        self.last = self._times[-1] if records else 0.0
        self.speed, self.paused, self.restarted = _speed(speed), False, False
        self._heard = 0
        self._from, self._since = self.first, clock()

    @property
    def at(self) -> float:
        """The moment that is shown, in seconds since 1970."""
        gone = 0.0 if self.paused else (self._clock() - self._since) * self.speed
        return min(self.last, self._from + gone)

    @property
    def is_over(self) -> bool:
        """Whether all has been told."""
        return self._heard == len(self._records)

    def new(self) -> list[Record]:
        """Return what happened since the last call; all from the beginning when it went back."""
        self.restarted = False
        at = self.at
        until = bisect_right(self._times, at, lo=self._heard)
        found = self._records[self._heard : until]
        self._heard = until
        if until < len(self._records) and not self.paused:
            following = self._times[until]
            before = self._times[until - 1] if until else self.first
            if following - before > SILENCE_SECONDS and following - at > 1.0:
                self._from, self._since = following - 1.0, self._clock()
        return found

    def set(self, *, speed: float | None = None, paused: bool | None = None, at: float | None = None) -> None:
        """Change its speed, let it stand or go on, or jump to a moment.

        Raises
        ------
        ValueError
            When a number is none, or no speed.
        """
        if at is not None and not math.isfinite(at):
            raise ValueError(f"{at} is no moment; give seconds since 1970.")
        now = self.at if at is None else min(max(float(at), self.first), self.last)
        if at is not None and self._heard and now < self._times[self._heard - 1]:
            self._heard, self.restarted = 0, True
        self.speed = self.speed if speed is None else _speed(speed)
        self.paused = self.paused if paused is None else bool(paused)
        self._from, self._since = now, self._clock()


def _times(records: Sequence[Record]) -> list[float]:
    """Return when each record is told: never before the one in front of it.

    Examples
    --------
    >>> _times([{}, {"at": 5.0}, {"at": "soon"}, {"at": 4.0}, {"at": 6}])
    [5.0, 5.0, 5.0, 5.0, 6.0]
    """
    said = [time_of(record, -math.inf) for record in records]
    first = next((at for at in said if at > -math.inf), 0.0)
    return list(accumulate(said, max, initial=first))[1:]


def _speed(speed: float) -> float:
    if not (math.isfinite(speed) and 0 < speed <= MOST_SPEED):
        raise ValueError(f"{speed} is no speed; give seconds of the run per second, more than 0.")
    return float(speed)
