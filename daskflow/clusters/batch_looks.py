"""What a queue said last: asked for again only when it is a second old, or when more jobs are asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection

from daskflow.clusters.batch_jobs import Ending, Job, JobState
from daskflow.clusters.batch_places import in_words

DELETED = "it is being deleted"
"""Reason of a job that still runs."""

LOOK_SECONDS = 1.0
"""An answer is that old at most; who asks again meanwhile gets the same."""


class Looks:
    """The last answer of a queue, and how the jobs in it were when they were seen last.

    Parameters
    ----------
    ask : callable
        Asks the queue for jobs by their IDs; it may tell of more.
    """

    def __init__(self, ask: Callable[[set[str]], Awaitable[dict[str, Job]]]) -> None:
        """Ask nothing yet."""
        self._ask = ask
        self._asking = asyncio.Lock()
        self._asked_at = -LOOK_SECONDS
        self._asked_for: set[str] = set()
        self._jobs: dict[str, Job] = {}
        self._last: dict[str, Job] = {}

    async def at(self, ids: Collection[str]) -> dict[str, Job]:
        """Return the jobs of these that the queue knows."""
        wanted = set(ids)
        async with self._asking:
            if not wanted <= self._asked_for or time.monotonic() - self._asked_at >= LOOK_SECONDS:
                self._jobs = await self._ask(wanted) if wanted else {}
                self._asked_for, self._asked_at = wanted, time.monotonic()
                self._last |= {id: job for id, job in self._jobs.items() if id in wanted}
            return {id: job for id, job in self._jobs.items() if id in wanted}

    def last(self, id: str) -> Job | None:
        """Return a job as it was seen last, though it may be gone."""
        return self._last.get(id)

    def forget(self) -> None:
        """Ask anew next time: jobs were cancelled."""
        self._asked_for = set()


def ending_unseen(id: str, last: Job | None, log: str, system: str) -> Ending:
    """Say how a job ended of which its queue tells nothing: by its walltime, or by how it was seen last.

    Parameters
    ----------
    id : str
        The job's ID.
    last : Job or None
        As it was seen last.
    log : str
        The end of the job's log.
    system : str
        What the batch system is called.
    """
    if last is not None and last.reason == DELETED:
        return Ending("cancelled", f"Job {id}: it was deleted from the queue.", None, log)
    if last is not None and last.ends_at is not None and time.time() >= last.ends_at - 1:
        lasted = f" of {in_words(last.ends_at - last.began_at)}" if last.began_at is not None else ""
        return Ending("walltime", f"Job {id}: its walltime{lasted} was over.", None, log)
    if last is not None and last.state is JobState.PENDING and not log:
        return Ending("cancelled", f"Job {id}: it was deleted from the queue.", None, log)
    return Ending("unknown", f"{system} does not say how job {id} ended.", None, log)
