"""A batch queue without a batch system: jobs are what a test says they are."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from daskflow.clusters.batch_jobs import Ending, Job, JobState, Place, QueueError, Request


class FakeQueue:
    """Keeps jobs, and whose they are; cancelled ones go at once, but for those that are said to stay."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.marks: dict[str, str] = {}
        self.scripts: list[str] = []
        self.refused: list[str] = []
        self.failing = ""
        self.cancelled: list[str] = []
        self.commands = 0

    def add(self, id: str, mark: str, state: JobState = JobState.RUNNING, **fields: object) -> None:
        """Let there be a job."""
        self.jobs[id] = replace(Job(id, state), **fields)
        self.marks[id] = mark

    async def submit(self, script: str, count: int = 1) -> list[str]:
        self._ask()
        self.scripts.append(script)
        found = re.search(r"--comment=daskflow:(\S+)", script)
        ids = [str(100 + len(self.marks) + place) for place in range(count)]
        for id in ids:
            self.add(id, found[1] if found else "", JobState.PENDING, reason="Priority")
        return ids

    async def look(self, ids: Collection[str]) -> dict[str, Job]:
        self._ask()
        return {id: job for id, job in self.jobs.items() if id in ids}

    async def of_run(self, mark: str) -> dict[str, Job]:
        self._ask()
        return {id: job for id, job in self.jobs.items() if self.marks[id] == mark}

    async def ending(self, id: str) -> Ending:
        return Ending("unknown", f"Job {id} is gone.")

    async def cancel(self, ids: Collection[str]) -> None:
        self._ask()
        for id in ids:
            self.cancelled.append(id)
            self.jobs.pop(id, None)

    async def places(self) -> list[Place]:
        return [Place("normal", is_default=True)]

    async def refusals(self, script: str, request: Request) -> list[str]:
        self._ask()
        return self.refused

    def _ask(self) -> None:
        self.commands += 1
        if self.failing:
            raise QueueError(self.failing)
