"""What a queue said last: asked for again only when it is a second old, or when more jobs are asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection

from daskflow.clusters.batch_jobs import Job

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
