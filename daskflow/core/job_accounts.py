"""Job accounts: what the jobs of a run on a batch queue have had, by the run's records."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from daskflow.core.journal import Record

CATEGORIES = ("requested", "used", "busy", "idle", "wasted")
"""Of a job's core-hours."""

ENDINGS = {
    "done": "ended",
    "walltime": "walltime over",
    "cancelled": "cancelled",
    "node": "lost with its node",
    "memory": "killed: over its memory",
    "failed": "failed",
    "interrupted": "interrupted",
    "unknown": "ended, nobody saw how",
    "": "",
}
"""How jobs ended, in words: one that was killed for its memory did not fail by itself."""

UNSEEN = "Its controller ended first: it is counted until that was last heard of."


@dataclass(frozen=True, slots=True)
class JobAccount:
    """What one job asked for, and what became of it.

    Attributes
    ----------
    id : str
        Its number, as the queue has it; of a worker that runs inside another job, that job's with ``.N``.
    role : str
        ``controller`` or ``worker``.
    state : str
        ``running`` or ``ended``; jobs that have not begun have cost nothing, and are not here.
    why : str
        How it ended: ``done``, ``walltime``, ``cancelled``, ``node`` (failed under it), ``memory`` (killed for using
        more than it asked for), ``failed`` (by itself) or ``unknown``; a controller's job as its run did: ``done``,
        ``failed``, ``interrupted``; empty while it runs.
    words : str
        The same in a sentence, with the queue's own words.
    node : str
        Where it ran; empty where that is not known.
    cores : int
        That it asked for.
    asked_seconds : float
        Of walltime; nan where it is not known.
    began_at, ended_at : float
        Seconds since 1970; of a job that runs, the moment it was last heard of.
    busy_seconds, wasted_seconds : float
        Of its cores, together: of units that were computed, and of those that were lost with it, given up or
        computed before, and of jobs whose worker never came; nan where nobody counted: the controller's own, and
        workers whose controller was killed.
    """

    id: str
    role: str
    state: str
    cores: int
    asked_seconds: float
    began_at: float
    ended_at: float
    why: str = ""
    words: str = ""
    node: str = ""
    busy_seconds: float = math.nan
    wasted_seconds: float = math.nan

    def dump(self) -> dict[str, Any]:
        """Return plain values: what it holds, and its core-hours; None for what is not known."""
        told = {name: getattr(self, name) for name in (*self.__slots__, *CATEGORIES)}
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in told.items()
        }

    @property
    def is_within(self) -> bool:
        """Whether it ran inside another job of the run, which has the cores."""
        return "." in self.id

    @property
    def holder(self) -> str:
        """Number of the job that it ran inside; its own where it did not."""
        return self.id.partition(".")[0]

    @property
    def used_seconds(self) -> float:
        """Of its cores, together."""
        return self.cores * max(0.0, self.ended_at - self.began_at)

    @property
    def requested(self) -> float:
        """Core-hours it asked for: cores times walltime."""
        return self.cores * self.asked_seconds / 3600

    @property
    def used(self) -> float:
        """Core-hours: cores times the time it ran."""
        return self.used_seconds / 3600

    @property
    def busy(self) -> float:
        """Core-hours of units that were computed for the first time."""
        return self.busy_seconds / 3600

    @property
    def wasted(self) -> float:
        """Core-hours of units that were lost or repeated, and of a job whose worker never came."""
        return self.wasted_seconds / 3600

    @property
    def idle(self) -> float:
        """Core-hours of the rest: starting, waiting for units, ending."""
        return max(0.0, self.used - self.busy - self.wasted) if math.isfinite(self.busy + self.wasted) else math.nan


@dataclass(frozen=True, slots=True)
class CoreHours:
    """Core-hours of all jobs of a run.

    Attributes
    ----------
    requested, used : float
        Cores times walltime asked for, and times the time that jobs ran; of jobs that have begun.
    busy, idle, wasted : float
        Of the workers: units that were computed; starting and waiting; units that were lost or repeated, and jobs
        whose worker never came.
    controller : float
        Of the controller's own jobs.
    unseen : float
        Of workers that still run, or whose controller was killed: not told apart.
    """

    requested: float = 0.0
    used: float = 0.0
    busy: float = 0.0
    idle: float = 0.0
    wasted: float = 0.0
    controller: float = 0.0
    unseen: float = 0.0

    def __str__(self) -> str:
        """One line.

        Examples
        --------
        >>> print(CoreHours(requested=8.0, used=5.25, busy=4.0, idle=1.0, wasted=0.05, controller=0.2))
        5.25 core-hours used of 8 requested: 4 busy, 1 idle, 0.05 wasted, 0.2 the controller's
        >>> print(CoreHours(requested=2.0, used=0.5, unseen=0.5))
        0.5 core-hours used of 2 requested: 0.5 of workers that run, or whose end nobody saw
        """
        parts = [("busy", self.busy), ("idle", self.idle), ("wasted", self.wasted)]
        parts = parts if any(value for _, value in parts) else []
        more = [("the controller's", self.controller), ("of workers that run, or whose end nobody saw", self.unseen)]
        parts += [each for each in more if each[1] >= 0.0005 * self.used and each[1]]
        told = ", ".join(f"{hours(value)} {name}" for name, value in parts)
        return f"{hours(self.used)} core-hours used of {hours(self.requested)} requested: {told}"

    def dump(self) -> dict[str, float]:
        """Return plain values."""
        return {name: round(getattr(self, name), 6) for name in self.__slots__}

    @classmethod
    def of(cls, jobs: Iterable[JobAccount]) -> CoreHours:
        """Add jobs up; cores of a job that holds others count once.

        Examples
        --------
        >>> whole = JobAccount("7", "controller", "ended", 3, 3600.0, 0.0, 1800.0)
        >>> inside = JobAccount("7.0", "worker", "ended", 2, 3600.0, 0.0, 1800.0, busy_seconds=1800, wasted_seconds=0)
        >>> CoreHours.of([whole, inside])
        CoreHours(requested=3.0, used=1.5, busy=0.5, idle=0.5, wasted=0.0, controller=0.5, unseen=0.0)
        """
        known = list(jobs)
        ids = {job.id for job in known}
        sums = _Sums()
        for job in known:
            sums.add(job, job.ended_at, is_own=not (job.is_within and job.holder in ids))
        return sums.core_hours()


@dataclass
class _Sums:
    """Core-seconds that jobs are added to, and taken from again."""

    requested: float = 0.0
    used: float = 0.0
    workers: float = 0.0
    busy: float = 0.0
    idle: float = 0.0
    wasted: float = 0.0
    unseen: float = 0.0

    def add(self, job: JobAccount, until: float, *, is_own: bool, sign: int = 1) -> None:
        """Count a job to a moment; the cores of one that is not its own are those of the job around it."""
        used = sign * job.cores * max(0.0, until - job.began_at)
        if is_own:
            self.used += used
            self.requested += sign * job.cores * job.asked_seconds if job.asked_seconds == job.asked_seconds else 0.0
        if job.role != "worker":
            return
        self.workers += used
        known = job.busy_seconds + job.wasted_seconds
        if known == known:
            self.busy += sign * job.busy_seconds
            self.wasted += sign * job.wasted_seconds
            self.idle += sign * max(0.0, sign * used - known)
        else:
            self.unseen += used

    def core_hours(self) -> CoreHours:
        """Return them as hours."""
        names = ("requested", "used", "busy", "idle", "wasted")
        found = {name: max(0.0, getattr(self, name)) / 3600 for name in names}
        controller = max(0.0, self.used - self.workers) / 3600
        return CoreHours(**found, controller=controller, unseen=max(0.0, self.unseen) / 3600)


@dataclass
class JobAccounts:
    """The jobs of a run, as its records tell of them one after the other.

    Attributes
    ----------
    stopped_because : str
        Why ``max_core_hours`` ended the search; empty when it did not.
    ends : Counter of str
        How many jobs ended how.
    """

    stopped_because: str = ""
    ends: Counter[str] = field(default_factory=Counter)
    _running: dict[tuple[str, float], JobAccount] = field(default_factory=dict)
    _ended: dict[tuple[str, float], JobAccount] = field(default_factory=dict)
    _ids: set[str] = field(default_factory=set)
    _sums: _Sums = field(default_factory=_Sums)
    _heard_at: float = -math.inf

    def hear(self, record: Record, at: float) -> None:
        """Take a record in."""
        kind = record.get("record")
        if kind in ("invocation", "submitted", "end"):
            self._ended_unheard(kind, record, at)
        if kind != "submitted":  # of the run nothing goes on then
            self._heard_at = max(self._heard_at, at)
        if kind in ("job_began", "job") and isinstance(record.get("began_at"), int | float):
            self._put(_account(record, at))
        elif kind == "control" and record.get("by") == "max_core_hours":
            self.stopped_because = str(record.get("why") or "")

    def __bool__(self) -> bool:
        """Whether any job has begun."""
        return bool(self._running or self._ended)

    def jobs(self, now: float | None = None) -> tuple[JobAccount, ...]:
        """Return every job that has begun, in that order.

        Parameters
        ----------
        now : float, optional
            Until when jobs that run are counted; default: until the run was last heard of.
        """
        found = [*self.running(now), *self._ended.values()]
        return tuple(sorted(found, key=lambda job: (job.began_at, job.role, _natural(job.id))))

    def running(self, now: float | None = None) -> list[JobAccount]:
        """Return those that run, counted as in `jobs`."""
        until = self._heard_at if now is None else now
        return [replace(job, ended_at=max(until, job.began_at)) for job in self._running.values()]

    def newest(self, count: int) -> list[JobAccount]:
        """Return so many of those that ended, the last first."""
        return list(islice(reversed(self._ended.values()), count))

    def core_hours(self, now: float) -> CoreHours:
        """Return what all have had; takes as long as there are jobs that run, however many have ended."""
        sums = replace(self._sums)
        for job in self._running.values():
            sums.add(job, now, is_own=self._is_own(job))
        return sums.core_hours()

    def close(self, heard_at: float) -> None:
        """Count jobs that run as ended when the run was last heard of: it was killed."""
        self._ended_unheard("", {}, max(heard_at, self._heard_at))

    def _put(self, job: JobAccount) -> None:
        key = job.id, job.began_at
        self._ids.add(job.id)
        self._running.pop(key, None)
        before = self._ended.pop(key, None)
        if before is not None:
            self._sums.add(before, before.ended_at, is_own=self._is_own(before), sign=-1)
            self.ends[before.why] -= 1
        if job.state == "running":
            self._running[key] = job
            return
        self._ended[key] = job
        self._sums.add(job, job.ended_at, is_own=self._is_own(job))
        self.ends[job.why] += 1

    def _is_own(self, job: JobAccount) -> bool:
        return not (job.is_within and job.holder in self._ids)

    def _ended_unheard(self, kind: str, record: Mapping[str, Any], at: float) -> None:
        """Jobs that run when a run ends or begins again have no end on record: the controller's, and orphans."""
        until = at if kind in ("end", "") else self._heard_at
        for job in list(self._running.values()):
            is_own = job.role == "controller" and kind == "end"
            why = str(record.get("status")) if is_own else "unknown"
            words = "" if is_own else UNSEEN
            self._put(replace(job, state="ended", ended_at=max(until, job.began_at), why=why, words=words))


def hours(value: float) -> str:
    """Return core-hours with the digits that count.

    Examples
    --------
    >>> hours(12.3456), hours(0.01234), hours(4.0), hours(1234.5), hours(0.0000001), hours(math.nan)
    ('12.3', '0.0123', '4', '1,234', '0', '-')
    """
    if not math.isfinite(value):
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{float(f'{value:.3g}'):.6f}".rstrip("0").rstrip(".")


def accounts_of(records: Sequence[Record]) -> JobAccounts:
    """Return what a journal's records tell of jobs."""
    found = JobAccounts()
    for record in records:
        found.hear(record, float(record.get("at") or 0.0))
    return found


def _account(record: Record, at: float) -> JobAccount:
    """Return a job by its record."""
    has_ended = record["record"] == "job"
    return JobAccount(
        id=str(record["id"]),
        role=str(record.get("role") or "worker"),
        state="ended" if has_ended else "running",
        cores=int(record.get("cores") or 1),
        asked_seconds=_number(record.get("seconds")),
        began_at=float(record["began_at"]),
        ended_at=float(record.get("ended_at") or at),
        why=str(record.get("why") or ""),
        words=str(record.get("words") or ""),
        node=str(record.get("node") or ""),
        busy_seconds=_number(record.get("busy_seconds")),
        wasted_seconds=_number(record.get("wasted_seconds")),
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _natural(id: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in id.replace(".", "_").split("_")]
