"""What a fleet of workers is asked to be, what is seen of it, and what shall be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from daskflow.clusters.batch_jobs import Ending, Job


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """How many workers are wanted, and what each is given.

    Attributes
    ----------
    workers : int
        How many are held; with bounds, how many there are at first.
    minimum, maximum : int or None
        Bounds between which the number follows the work; None, the default, holds `workers`.
    seconds : float
        Walltime of a job.
    cores, memory_bytes : int
        Of one worker; 0 bytes where it is not known.
    retries : int
        Jobs that may be lost for each worker wanted. Those whose worker served ten minutes, and those that came to the
        end of their walltime, do not count.
    start_seconds : float
        How long a running job may take until its worker comes; a slow shared disk takes minutes at most.
    """

    workers: int = 2
    minimum: int | None = None
    maximum: int | None = None
    seconds: float = 3600.0
    cores: int = 1
    memory_bytes: int = 0
    retries: int = 3
    start_seconds: float = 300.0

    @property
    def is_adaptive(self) -> bool:
        """Whether the number follows the work."""
        return self.minimum is not None or self.maximum is not None

    @property
    def lowest(self) -> int:
        """Fewest workers."""
        return self.minimum if self.minimum is not None else min(self.workers, self.highest)

    @property
    def highest(self) -> int:
        """Most workers."""
        return self.maximum if self.maximum is not None else max(self.workers, self.minimum or 0)

    @property
    def first(self) -> int:
        """How many workers there are at first."""
        return min(max(self.workers, self.lowest), self.highest)


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker as the scheduler knows it.

    Attributes
    ----------
    executing, waiting : int
        Units that it executes now, and those it was given and has not begun.
    is_paused : bool
        Whether it begins no others.
    holds : bool
        Whether results are in its memory that must be handed to another worker.
    longest, spent : float
        Seconds for which the longest of its units has been running, and all of them together.
    """

    executing: int = 0
    waiting: int = 0
    is_paused: bool = False
    holds: bool = False
    longest: float = 0.0
    spent: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is seen at one time.

    Attributes
    ----------
    now : float
        Seconds since 1970.
    jobs : mapping
        ID to job, of those the queue knows.
    workers : mapping
        ID of its job to worker.
    pending_tasks : int
        Units that no worker has been given.
    longest_unit : float
        Seconds of the longest unit so far, running ones included.
    is_stale : bool
        Whether the queue could not be asked, and `jobs` are those of an earlier look.
    longest_waiting : float
        Seconds that the longest unit is expected to take of those that no worker has the time for.
    """

    now: float
    jobs: Mapping[str, Job]
    workers: Mapping[str, WorkerSeen] = field(default_factory=dict)
    pending_tasks: int = 0
    longest_unit: float = 0.0
    is_stale: bool = False
    longest_waiting: float = 0.0


@dataclass(slots=True)
class Actions:
    """What shall be done.

    Attributes
    ----------
    submit : int
        So many jobs.
    ask : list of str
        IDs of jobs that have ended: how, shall be asked and told to `Fleet.ended` before the next decision.
    cancel : list of str
        IDs of jobs to end.
    drop : list of str
        Workers of jobs that have ended, which the scheduler shall not wait for.
    pause, resume, retire : list of str
        Workers that shall begin no more units, that shall go on, and that shall hand over what they hold and leave.
    look_again, think_again : float
        Seconds until the queue shall be asked again, and until the next decision.
    say, warn : list of str
        Sentences for whoever watches.
    fail : str
        Why the run cannot go on; empty as long as it can.
    """

    submit: int = 0
    ask: list[str] = field(default_factory=list)
    cancel: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    pause: list[str] = field(default_factory=list)
    resume: list[str] = field(default_factory=list)
    retire: list[str] = field(default_factory=list)
    look_again: float = 10.0
    think_again: float = 10.0
    say: list[str] = field(default_factory=list)
    warn: list[str] = field(default_factory=list)
    fail: str = ""


class Phase(StrEnum):
    """How far a job and its worker are."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    RETIRING = "retiring"
    ENDED = "ended"


@dataclass(slots=True)
class Member:
    """A job of the fleet, and what is remembered of it.

    Attributes
    ----------
    id : str
        Of the job; also its worker's name.
    submitted_at : float
        When it was handed in.
    early_seconds : float
        So much before the others of its generation it retires.
    phase : Phase
        How far it is.
    job : Job or None
        As the queue last knew it; None while it has not shown it.
    began_at, worker_at : float or None
        When it began to run, and when its worker came.
    gone_at : float or None
        Since when the queue, or the scheduler, has lacked what should be there.
    ended_at : float or None
        Since when it is known to have ended.
    leaves : str
        Why it is to leave: ``end`` of its walltime, ``surplus``, or ``lost``; empty when it is not.
    left_at : float or None
        When its worker was told to leave, or the job was cancelled.
    hopeless_since : float or None
        Since when the queue has said that it will never start.
    known : Ending or None
        How it ended, where the fleet knows better than the queue.
    idle_since : float or None
        Since when its worker has had nothing to do.
    longest : float
        For how long the longest of its units had been running when it was last seen.
    taken_at : float or None
        Since when it counts here, of one that ran for a former scheduler; what it had before is written down.
    """

    id: str
    submitted_at: float
    early_seconds: float = 0.0
    phase: Phase = Phase.PENDING
    job: Job | None = None
    began_at: float | None = None
    worker_at: float | None = None
    gone_at: float | None = None
    ended_at: float | None = None
    leaves: str = ""
    left_at: float | None = None
    hopeless_since: float | None = None
    known: Ending | None = None
    idle_since: float | None = None
    longest: float = 0.0
    taken_at: float | None = None

    @property
    def counts_from(self) -> float | None:
        """From when on its cores count; its worker may come before the queue is asked."""
        began = self.began_at if self.began_at is not None else self.worker_at
        return began if began is None or self.taken_at is None else max(began, self.taken_at)
