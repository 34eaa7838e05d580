"""Occupancy: what became of a cluster's slots, from when units were handed in and when their answers came."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Account:
    """Slot-seconds of a stretch of time by what became of them; the four parts sum to ``slot_seconds``.

    Attributes
    ----------
    slots : int
        The most that were asked for or seen so far.
    seconds : float
        How long the stretch was.
    slot_seconds : float
        Slots times seconds.
    busy : float
        Units ran and used a processor, or waited for one.
    no_task : float
        No unit was there for the slot: the driver worked, or little was left to do.
    waiting_for_data : float
        A unit waited for bytes; `Occupancy.answer` is told how long.
    waiting_for_workers : float
        A unit was handed in and did not run: a worker was missing or lost it, it was in the cluster's queue, or it or
        its answer was on the way.
    """

    slots: int
    seconds: float
    slot_seconds: float
    busy: float
    no_task: float
    waiting_for_data: float
    waiting_for_workers: float

    def awaiting(self, slot_seconds: float) -> Account:
        """Return the account with so many slot-seconds that waited for data where no unit could be handed in."""
        moved = min(max(0.0, slot_seconds), self.no_task)
        return replace(self, no_task=self.no_task - moved, waiting_for_data=self.waiting_for_data + moved)

    def dump(self) -> dict[str, float]:
        """Return what the journal records of it."""
        words = ("slot_seconds", "busy", "no_task", "waiting_for_data", "waiting_for_workers")
        return {"slots": self.slots, **{word: round(getattr(self, word), 6) for word in words}}


class Occupancy:
    """Times of units and counts of slots, from which any stretch of time is accounted for.

    It keeps four numbers per unit of the stretches that are open; a unit costs it about a microsecond.

    Parameters
    ----------
    asked : int
        Slots that were asked for; 0 where that is not known.

    Examples
    --------
    Two slots for ten seconds. One unit is handed in at 0 and another at 4, both are answered at 9, and each ran for 5:

    >>> occupancy = Occupancy(asked=2)
    >>> start = occupancy.open(0.0)
    >>> occupancy.hand_in("a", 0.0)
    >>> occupancy.hand_in("b", 4.0)
    >>> occupancy.answer("a", 9.0, seconds=5.0)
    >>> occupancy.answer("b", 9.0, seconds=5.0)
    >>> occupancy.close(start, 10.0)
    Account(slots=2, seconds=10.0, slot_seconds=20.0, busy=10.0, no_task=6.0, waiting_for_data=0.0,
            waiting_for_workers=4.0)
    """

    def __init__(self, asked: int = 0) -> None:
        """Begin with nothing handed in."""
        self._pending: dict[str, float] = {}
        self._begin, self._end = array("d"), array("d")
        self._seconds, self._waited = array("d"), array("d")
        self._slot_times: list[float] = []
        self._slot_counts: list[int] = []
        self._most = asked
        self._open: list[float] = []
        self._fed_at = -1.0

    def see(self, slots: int, at: float) -> None:
        """Take note of how many slots there are."""
        if not self._slot_counts or slots != self._slot_counts[-1]:
            self._slot_times.append(at)
            self._slot_counts.append(slots)
            self._most = max(self._most, slots)

    def hand_in(self, key: str, at: float, *, is_fed: bool = False) -> None:
        """A unit is given to the cluster; one that `is_fed` waits there for values that other tasks make for it."""
        self._pending[key] = at
        if is_fed:
            self._fed_at = at

    def answer(self, key: str, at: float, *, seconds: float, waited: float = 0.0) -> None:
        """A unit's answer came: it ran for so many seconds, and waited for bytes in `waited` of them."""
        begin = self._pending.pop(key, at - seconds)
        self._begin.append(begin)
        self._end.append(max(begin, at))
        self._seconds.append(seconds)
        self._waited.append(min(waited, seconds))

    def give_up(self, keys: Iterable[str], at: float) -> None:
        """Units are wanted no more; how long they ran is not known."""
        for key in keys:
            if key in self._pending:
                self.answer(key, at, seconds=0.0)

    def give_up_all(self, at: float) -> None:
        """Every unit on its way is wanted no more."""
        self.give_up(list(self._pending), at)

    def open(self, at: float) -> float:
        """Begin a stretch of time; stretches may lie in one another."""
        self._open.append(at)
        return at

    def close(self, start: float, at: float) -> Account:
        """End the stretch that began at `start`, and account for its slots."""
        account = self._account(start, at)
        self._open.remove(start)
        self._forget(min(self._open, default=at))
        return account

    def _account(self, start: float, stop: float) -> Account:
        pending = np.fromiter(self._pending.values(), float)
        ended = np.array(self._end, dtype=float)
        begin = np.clip(np.concatenate([np.array(self._begin, dtype=float), pending]), start, stop)
        end = np.clip(np.concatenate([ended, np.full(len(pending), stop)]), start, stop)
        most = max(1, self._most)
        times, handed_in, slots = self._steps(begin, end, start, stop)
        lengths = np.diff(times)
        taken = np.minimum(handed_in, most)
        held = float(lengths @ taken)
        missing = float(lengths @ np.maximum(taken - slots, 0))
        seconds = np.array(self._seconds, dtype=float)
        ran = np.minimum(np.clip(ended, start, stop) - np.clip(ended - seconds, start, stop), end[: len(ended)] - start)
        share = np.divide(ran, seconds, out=np.zeros_like(ran), where=seconds > 0)
        work, waited = float(ran.sum()), float(share @ np.array(self._waited, dtype=float))
        if work > held:  # clocks of workers are not the driver's
            work, waited = held, waited * held / work
        excess = held - work
        if self._fed_at >= start and excess > missing:
            waited, work, excess = waited + excess - missing, work + excess - missing, missing
        length = stop - start
        return Account(most, length, most * length, work - waited, most * length - held, waited, excess)

    def _steps(self, begin: Floats, end: Floats, start: float, stop: float) -> tuple[Floats, Floats, Floats]:
        """Times at which something changes, and between each and the next the units handed in and the slots there."""
        changes = [at for at in self._slot_times if start < at < stop]
        times = np.unique(np.concatenate([begin, end, [start, stop], changes]))
        handed_in = np.searchsorted(np.sort(begin), times[:-1], "right") - np.searchsorted(
            np.sort(end), times[:-1], "right"
        )
        counts = np.array([self._most, *self._slot_counts], dtype=float)
        place = np.searchsorted(np.array(self._slot_times, dtype=float), times[:-1], "right")
        if len(self._slot_counts):
            counts[0] = counts[1]  # before the first look there were as many as at it
        return times, handed_in.astype(float), counts[place]

    def _forget(self, before: float) -> None:
        """Keep only what a later stretch can ask for."""
        kept = [place for place, at in enumerate(self._end) if at > before]
        for name in ("_begin", "_end", "_seconds", "_waited"):
            numbers = getattr(self, name)
            setattr(self, name, array("d", [numbers[place] for place in kept]))
        last = bisect_right(self._slot_times, before) - 1
        if last > 0:
            del self._slot_times[:last], self._slot_counts[:last]
