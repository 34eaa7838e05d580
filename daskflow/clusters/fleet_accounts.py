"""Counts the core-hours of a run's jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daskflow.clusters.fleet_values import Member, WorkerSeen


class Accounts:
    """What jobs have had: their cores for as long as they ran, whether or not anything was executed.

    Parameters
    ----------
    cores : int
        Of each job.
    most : float or None
        Core-hours that the run may use; None for no limit.

    Examples
    --------
    >>> accounts = Accounts(cores=2, most=1.0)
    >>> running = Member("7", submitted_at=0.0, began_at=0.0)
    >>> accounts.is_used_up([running], now=1700.0, next_seconds=10.0)
    False
    >>> accounts.is_used_up([running], now=1795.0, next_seconds=10.0)
    True
    >>> accounts.is_used_up([running], now=1799.0, next_seconds=10.0)  # said once
    False
    >>> accounts.close(running, 1800.0)["core_hours"]
    1.0
    """

    def __init__(self, cores: int, most: float | None = None) -> None:
        """Begin with nothing used."""
        self.most = most
        self._cores = cores
        self._past = 0.0
        self._busy: dict[str, float] = {}
        self._at: float | None = None
        self._was_said = False

    def add_busy(self, workers: Mapping[str, WorkerSeen], now: float) -> None:
        """Count the time since the last call as busy for each core that executes something now."""
        passed, self._at = max(0.0, now - self._at) if self._at is not None else 0.0, now
        for id, worker in workers.items():
            self._busy[id] = self._busy.get(id, 0.0) + passed * min(worker.executing, self._cores)

    def core_seconds(self, members: Sequence[Member], now: float) -> float:
        """Return what has been used, running jobs included."""
        return self._past + sum(self._used(each, now) for each in members)

    def is_used_up(self, members: Sequence[Member], now: float, next_seconds: float) -> bool:
        """Whether the limit will have been passed so many seconds later; true once."""
        if self.most is None or self._was_said:
            return False
        self._was_said = self.core_seconds(members, now + next_seconds) >= 3600 * self.most
        return self._was_said

    def close(self, member: Member, now: float) -> dict[str, Any]:
        """Count a job that has ended; return the fields of its record."""
        used = self._used(member, now)
        self._past += used
        return {
            "cores": self._cores,
            "began_at": member.began_at,
            "ended_at": now,
            "busy_seconds": round(self._busy.pop(member.id, 0.0), 3),
            "core_hours": round(used / 3600, 6),
        }

    def _used(self, member: Member, now: float) -> float:
        if member.began_at is None:
            return 0.0
        until = member.ended_at if member.ended_at is not None else now
        return self._cores * max(0.0, until - member.began_at)
