"""Slurm's steps: workers that are started inside one job, where a site lets jobs submit no jobs."""

from __future__ import annotations

import asyncio
import math
import os
import re
import signal
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from daskflow.clusters.batch_commands import tail
from daskflow.clusters.batch_jobs import JOB, Ending, Job, JobState, Place, QueueError, Request
from daskflow.core.errors import ClusterError

LEAVING_SECONDS = 5.0
"""A step that was told to end and has not by then is killed."""

OF_THE_WHOLE = frozenset(
    [
        "SLURM_MEM_PER_NODE",
        "SLURM_MEM_PER_CPU",
        "SLURM_CPUS_PER_TASK",
        "SLURM_TRES_PER_TASK",
        "SLURM_NTASKS",
        "SLURM_NPROCS",
    ]
)
"""What the job asked for: srun would take them for what the step asks for."""


class StepQueue:
    """The steps of the job in which this process runs, asked as a `batch_jobs.Queue`.

    Parameters
    ----------
    cores : int
        Of each step.
    memory_bytes : int
        Likewise.
    logs : Path
        Folder of the steps' logs, ``ID.log`` each.
    environment : mapping
        Of the job.

    Raises
    ------
    ClusterError
        Outside of a job.
    """

    def __init__(
        self, *, cores: int, memory_bytes: int, logs: Path, environment: Mapping[str, str] = os.environ
    ) -> None:
        """Start nothing."""
        self._job = environment.get("SLURM_JOB_ID", "")
        if not self._job:
            raise ClusterError(
                "cluster.allocation = 'single' starts workers inside a job, and there is none: use `daskflow submit`."
            )
        self._end = environment.get("SLURM_JOB_END_TIME", "")
        self._environment = {name: value for name, value in environment.items() if name not in OF_THE_WHOLE}
        self._options = [f"--cpus-per-task={cores}", f"--mem-per-cpu={megabytes_of(memory_bytes, cores)}M"]
        self._logs = logs
        self._steps: dict[str, asyncio.subprocess.Process] = {}
        self._began: dict[str, float] = {}

    async def submit(self, script: str, count: int = 1) -> list[str]:
        """Start a worker's script in so many steps; their IDs are the job's with a number."""
        ids = [f"{self._job}.{len(self._steps) + place}" for place in range(count)]
        for id in ids:
            text = re.sub(rf"^export {JOB}=.*$", f"export {JOB}={id}", script, flags=re.MULTILINE)
            command = ["srun", "--ntasks=1", "--nodes=1", "--exact", "--quiet", *self._options]
            command += [f"--output={str(self._logs / id).replace('%', '%%')}.log", "bash", "-c", text]
            try:
                self._steps[id] = await asyncio.create_subprocess_exec(
                    *command,
                    env=self._environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                )
            except OSError as error:
                raise QueueError(f"srun cannot be started: {error.strerror}. Is Slurm's bin folder in PATH?") from error
            self._began[id] = time.time()
        return ids

    async def look(self, ids: Collection[str]) -> dict[str, Job]:
        """Say which steps run; nothing is asked."""
        ends_at = float(self._end) if self._end.isdigit() else None
        states = {
            id: JobState.RUNNING if step.returncode is None else JobState.ENDED for id, step in self._steps.items()
        }
        return {id: Job(id, states[id], began_at=self._began[id], ends_at=ends_at) for id in ids if id in states}

    async def of_run(self, mark: str) -> dict[str, Job]:
        """Say how all steps of this job are: they are of one run."""
        return await self.look(list(self._steps))

    async def ending(self, id: str) -> Ending:
        """Say how a step ended, by its exit code and its log."""
        step = self._steps.get(id)
        log = await tail(str(self._logs / f"{id}.log"))
        if step is None or step.returncode is None:
            return Ending("unknown", f"Step {id} has not ended.", None, log)
        why = "done" if step.returncode == 0 else "failed"
        return Ending(why, f"Step {id} ended with exit code {step.returncode}.", step.returncode, log)

    async def cancel(self, ids: Collection[str]) -> None:
        """End steps."""
        steps = [step for id in ids if (step := self._steps.get(id)) is not None and step.returncode is None]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for step in steps:
                with suppress(ProcessLookupError):
                    step.send_signal(number)
            if steps:
                await asyncio.wait([asyncio.ensure_future(step.wait()) for step in steps], timeout=LEAVING_SECONDS)
            steps = [step for step in steps if step.returncode is None]

    async def places(self) -> list[Place]:
        """There is one place: the job."""
        return []

    async def refusals(self, script: str, request: Request) -> list[str]:
        """Nothing is refused: the job has what it asked for."""
        return []


def megabytes_of(memory_bytes: int, cores: int) -> int:
    """Return the memory of each core, in MiB, so that a worker gets all of its own.

    Examples
    --------
    >>> megabytes_of(2**30, 1), megabytes_of(2**30, 3)
    (1024, 342)
    """
    return math.ceil(memory_bytes / 2**20 / cores)
