"""A bare scheduler in this process whose workers are jobs of a test Slurm, held by a fleet."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from distributed import Client, Scheduler

from daskflow.clusters.batch_jobs import Job
from daskflow.clusters.fleet_loop import FleetLoop
from daskflow.clusters.fleet_values import FleetPlan
from daskflow.clusters.slurm_commands import SlurmQueue
from daskflow.core.events import Event

ID = "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"


@dataclass
class Held:
    """What a test looks at."""

    fleet: FleetLoop
    client: Client
    scheduler: Scheduler
    events: list[Event] = field(default_factory=list)

    def texts(self) -> list[str]:
        """Everything that was said."""
        return [str(event.fields["text"]) for event in self.events if event.name in ("note", "warning")]

    async def until(self, condition: Any, seconds: float) -> None:
        """Wait for something, and say what there was when it does not come."""
        for _ in range(round(seconds / 0.1)):
            if condition():
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"not within {seconds} s: {self.fleet.jobs()} {self.texts()} {self.fleet.failure}")

    def workers(self) -> list[str]:
        """Names of the workers."""
        return [str(worker.name) for worker in self.scheduler.workers.values()]


ROOT = Path(__file__).resolve().parents[1]
"""Functions of tests are found on workers, too."""

WORKER = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from distributed import Worker

async def work():
    options = dict(nthreads=1, host="127.0.0.1", memory_limit=0, dashboard=False, local_directory=sys.argv[3])
    async with Worker(sys.argv[1], name=sys.argv[2], **options) as worker:
        await worker.finished()

asyncio.run(work())
"""
"""A worker without Dask's command line, which makes a number of a name that looks like one."""


def worker_script(
    folder: Path,
    address: str,
    partition: str,
    python: str = sys.executable,
    cores: int = 1,
    memory: str = "700M",
    minutes: int = 1,
) -> str:
    """Return a job that is one worker with its own ID for its name."""
    folder.mkdir(exist_ok=True)
    folder.joinpath("worker.py").write_text(WORKER)
    return f"""#!/bin/bash
#SBATCH -J fleet -p {partition} -N 1 -n 1 -c {cores} --mem={memory} -t {minutes} -o {folder}/%j.log --no-requeue
exec {python} {folder}/worker.py {address} "{ID}" {folder}
"""


class ShortLived(SlurmQueue):
    """A Slurm whose jobs end after some seconds; its own shortest walltime is a minute.

    As on a real one there are some seconds more than are told: on a busy machine a worker needs them to leave.
    """

    def __init__(self, seconds: float, more: float = 8.0) -> None:
        """Let them live so long."""
        super().__init__()
        self.seconds, self.more = seconds, more

    async def submit(self, script: str, count: int = 1) -> list[str]:
        """Let the job itself end in time."""
        return await super().submit(script.replace("exec ", f"exec timeout -s KILL {self.seconds + self.more} "), count)

    async def look(self, ids: Collection[str]) -> dict[str, Job]:
        """Tell the true end."""
        jobs = await super().look(ids)
        return {
            id: replace(job, ends_at=job.began_at + self.seconds) if job.began_at is not None else job
            for id, job in jobs.items()
        }


@asynccontextmanager
async def held(
    folder: Path, plan: FleetPlan, partition: str = "normal", queue: SlurmQueue | None = None, **script: Any
) -> AsyncIterator[Held]:
    """Start a scheduler and a fleet, and stop both."""
    events: list[Event] = []
    async with (
        Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler,
        Client(scheduler.address, asynchronous=True, set_as_default=False) as client,
    ):
        text = worker_script(folder, scheduler.address, partition, **script)
        fleet = FleetLoop(scheduler, queue or SlurmQueue(), plan, text, on_event=events.append)
        await fleet.start()
        try:
            yield Held(fleet, client, scheduler, events)
        finally:
            await fleet.stop()
