"""Jobs: what a batch system is asked and what it answers, whichever it is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from daskflow.core.errors import ClusterError

JOB = "DASKFLOW_JOB"
"""An environment variable of a job: its number, as its queue calls it, which is its worker's name."""


class QueueError(ClusterError):
    """A batch system refused, or could not be asked: its own words, and what to do."""


class JobState(StrEnum):
    """How far a job is, as its queue knows; whether its worker has come, the queue does not know."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the queue sees it now.

    Attributes
    ----------
    id : str
        Its number, as the job itself and the worker's name have it; of an element of an array with its index.
    state : JobState
        How far it is.
    reason : str
        Why it is pending, in the queue's own word; empty where there is none.
    starts_at : float or None
        When the queue expects to start it, in seconds since 1970.
    began_at, ends_at : float or None
        When it began, and when its walltime will be over.
    node : str
        Where it runs.
    is_hopeless : bool
        Whether the queue says that it will never start; Slurm's own words for that are in `fleet_words`.
    """

    id: str
    state: JobState
    reason: str = ""
    starts_at: float | None = None
    began_at: float | None = None
    ends_at: float | None = None
    node: str = ""
    is_hopeless: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended.

    Attributes
    ----------
    why : str
        ``done``, ``walltime``, ``cancelled``, ``node`` (failed under it), ``memory``, ``failed`` or ``unknown``.
    words : str
        One sentence, with the queue's own words.
    exit_code : int or None
        Where it is known.
    tail : str
        The end of the job's own log.
    """

    why: str
    words: str
    exit_code: int | None = None
    tail: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A partition or queue, and its limits; None for none, or where they are not known.

    Attributes
    ----------
    name : str
        As the user writes it.
    is_open : bool
        Whether it starts jobs.
    max_seconds : float or None
        Longest walltime.
    max_cores, max_memory : int or None
        Of one node; bytes.
    is_default : bool
        Whether jobs without a queue go there.
    """

    name: str
    is_open: bool = True
    max_seconds: float | None = None
    max_cores: int | None = None
    max_memory: int | None = None
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What one worker's job asks for.

    Attributes
    ----------
    cores : int
        Processors.
    memory_bytes : int
        Memory.
    seconds : float
        Walltime.
    place : str
        Partition or queue; empty for the default.
    workers : int
        How many such jobs.
    """

    cores: int
    memory_bytes: int
    seconds: float
    place: str = ""
    workers: int = 1


class Queue(Protocol):
    """A batch system. Each call runs one command of its own, with a time-out, and blocks nothing else.

    IDs are those that a job finds in ``DASKFLOW_JOB`` and that its log is named by (``ID.log`` in the folder of logs),
    whatever longer forms the system's commands print.
    """

    async def submit(self, script: str, count: int = 1) -> list[str]:
        """Hand in a script, several equal ones as an array where there are arrays, and return the jobs' IDs.

        Raises
        ------
        QueueError
            When it is refused: the queue's own words, and a hint.
        """

    async def look(self, ids: Collection[str]) -> dict[str, Job]:
        """Ask for all these jobs by one command; those that the queue knows no more are absent."""

    async def of_run(self, mark: str) -> dict[str, Job]:
        """Return this user's jobs that carry a run's mark; those that ended may be absent.

        One command, or two where the first must say which of all jobs are this user's, however many there are.
        """

    async def ending(self, id: str) -> Ending:
        """Say how a job ended."""

    async def cancel(self, ids: Collection[str]) -> None:
        """End jobs by one command; those that are gone are no error."""

    async def places(self) -> list[Place]:
        """Return the partitions or queues."""

    async def refusals(self, script: str, request: Request) -> list[str]:
        """Say, in sentences, what would be refused or would wait for ever; empty when nothing would."""
