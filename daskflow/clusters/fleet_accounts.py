"""Counts the core-hours of a run's jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daskflow.clusters.fleet_values import Member, WorkerSeen

RESERVE_SECONDS, RESERVE_UNITS, RESERVE_SHARE = 30.0, 3.0, 0.25
"""Kept for what follows the search: so many seconds, or so many times the longest fit, of every core that runs; never
more than this share of all, for else a small limit would be used up before the first fit."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has used when its cluster opens, and what it uses beside its workers.

    Attributes
    ----------
    core_seconds : float
        Of jobs that are over.
    cores : int
        Of the controller's own job, which goes on; 0 where it is none.
    since : float
        When that began, in seconds since 1970.
    holds_workers : bool
        Whether the workers run inside that job, and so use nothing more.
    """

    core_seconds: float = 0.0
    cores: int = 0
    since: float = 0.0
    holds_workers: bool = False


NOTHING = Spent()


class Accounts:
    """What jobs have had: their cores for as long as they ran, whether or not anything was executed.

    Parameters
    ----------
    cores : int
        Of each job.
    most : float or None
        Core-hours that the run may use; None for no limit.
    spent : Spent, optional
        What counts beside the jobs that are closed here.

    Examples
    --------
    >>> accounts = Accounts(cores=2, most=1.0)
    >>> running = Member("7", submitted_at=0.0, began_at=0.0, worker_at=9.0)
    >>> accounts.is_used_up([running], now=1345.0, next_seconds=10.0)
    False
    >>> accounts.is_used_up([running], now=1345.0, next_seconds=10.0, longest_unit=200.0)  # its refit takes as long
    True
    >>> accounts.is_used_up([running], now=1799.0, next_seconds=10.0)  # said once
    False
    >>> accounts.finished("7", "fit-1", 30.0)
    >>> accounts.finished("7", "fit-1", 30.0)  # once more: its result was lost
    >>> record = accounts.close(running, 1800.0)
    >>> record["core_hours"], record["busy_seconds"], record["wasted_seconds"]
    (1.0, 30.0, 30.0)
    """

    def __init__(self, cores: int, most: float | None = None, spent: Spent = NOTHING) -> None:
        """Begin with what was used before."""
        self.most = most
        self._cores, self._spent = cores, spent
        self._past = 0.0
        self._busy: dict[str, float] = {}
        self._wasted: dict[str, float] = {}
        self._running: dict[str, tuple[int, float, float]] = {}
        self._known: set[object] = set()
        self._was_said = False

    def finished(self, id: str, key: object, seconds: float) -> None:
        """Count a unit that has ended on a job's worker: as busy, or as wasted where it had ended somewhere before."""
        kind = self._wasted if key in self._known else self._busy
        kind[id] = kind.get(id, 0.0) + seconds
        self._known.add(key)
        number, lasted, at = self._running.get(id, (0, 0.0, 0.0))
        if number:
            self._running[id] = (number - 1, max(0.0, lasted - seconds) if number > 1 else 0.0, at)

    def forget(self, key: object) -> None:
        """Forget a unit that will not be asked for again."""
        self._known.discard(key)

    def see(self, workers: Mapping[str, WorkerSeen], now: float) -> None:
        """Take note of what is being executed: it is lost when its job ends."""
        for id, worker in workers.items():
            self._running[id] = (min(worker.executing, self._cores), worker.spent, now)

    def core_seconds(self, members: Sequence[Member], now: float) -> float:
        """Return what has been used, jobs that run included."""
        beside = self._spent.core_seconds + self._spent.cores * max(0.0, now - self._spent.since)
        return beside + (0.0 if self._spent.holds_workers else self._past + sum(self._used(m, now) for m in members))

    def is_used_up(self, members: Sequence[Member], now: float, next_seconds: float, longest_unit: float = 0.0) -> bool:
        """Whether the limit, less what is kept for the refit and the test, will have been passed so soon; true once."""
        if self.most is None or self._was_said:
            return False
        running = sum(self._cores for each in members if each.counts_from is not None and each.ended_at is None)
        running = self._spent.cores + (0 if self._spent.holds_workers else running)
        reserve = running * (RESERVE_SECONDS + RESERVE_UNITS * longest_unit)
        most = 3600 * self.most
        soon = self.core_seconds(members, now + next_seconds)
        self._was_said = soon >= most - min(reserve, RESERVE_SHARE * most)
        return self._was_said

    def close(self, member: Member, now: float) -> dict[str, Any]:
        """Count a job that has ended; return the fields of its record."""
        used, id = self._used(member, now), member.id
        self._past += used
        number, lasted, at = self._running.pop(id, (0, 0.0, now))
        ended = member.ended_at if member.ended_at is not None else now
        busy = min(used, self._busy.pop(id, 0.0))
        lost = lasted + number * max(0.0, ended - at)
        wasted = used if member.worker_at is None else min(used - busy, self._wasted.pop(id, 0.0) + lost)
        return {
            "cores": self._cores,
            "began_at": member.counts_from,
            "ended_at": now,
            "busy_seconds": round(busy, 3),
            "wasted_seconds": round(wasted, 3),
            "core_hours": round(used / 3600, 6),
        }

    def _used(self, member: Member, now: float) -> float:
        began = member.counts_from
        if began is None:
            return 0.0
        until = member.ended_at if member.ended_at is not None else now
        return self._cores * max(0.0, until - began)
