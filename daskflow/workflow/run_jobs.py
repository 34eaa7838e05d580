"""Run jobs: the jobs that work on a run, found by the run's folder from any machine that sees it, and ended there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daskflow.core.errors import ControlError, JournalError
from daskflow.core.folder import RunFolder
from daskflow.core.journal import Journal, read
from daskflow.workflow.acting import is_held, status_of
from daskflow.workflow.submission import batch_of, mark_of, read_submission
from daskflow.workflow.submitting import queue_of

if TYPE_CHECKING:
    from daskflow.clusters.batch import Batch
    from daskflow.clusters.batch_jobs import Job, Queue

LEAVING_SECONDS, AGAIN_SECONDS = 60.0, 5.0
"""How long jobs that were cancelled may take to go, and how often they are cancelled meanwhile."""

PUTTING_AWAY_SECONDS = 40.0
"""How long a controller whose job the queue calls ended may still put away: Slurm kills it after 30 s by default."""

GLANCE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class RunJobs:
    """The jobs of a run as its queue sees them now.

    Attributes
    ----------
    controllers, workers : tuple of Job
        Those that the queue knows. A run that was started with ``daskflow run`` has no controller's job.
    handed_in : tuple of str
        Numbers of all jobs that the controller has had, those that are long gone too, in the order of time.
    """

    controllers: tuple[Job, ...] = ()
    workers: tuple[Job, ...] = ()
    handed_in: tuple[str, ...] = ()

    @property
    def newest(self) -> str:
        """Number of the controller's last job; empty where there was none."""
        return self.handed_in[-1] if self.handed_in else ""

    @property
    def lives(self) -> tuple[str, ...]:
        """Numbers of the controller's jobs that have begun."""
        waiting = {job.id for job in self.controllers if job.state == "pending"}
        return tuple(id for id in self.handed_in if id not in waiting)

    @property
    def living(self) -> tuple[Job, ...]:
        """Those that wait or run."""
        return tuple(job for job in (*self.controllers, *self.workers) if job.state != "ended")

    def dump(self) -> dict[str, Any]:
        """Return plain values, as ``daskflow status --json`` prints them."""
        return {
            "controllers": [_values(job) for job in self.controllers],
            "workers": [_values(job) for job in self.workers],
        }


def jobs_of(folder: RunFolder, queue_of: Callable[[Batch], Queue] = queue_of) -> RunJobs | None:
    """Return a run's jobs, asked for by one command; None for a run that is on no queue.

    Raises
    ------
    ClusterError
        When the queue cannot be asked.
    """
    cluster = batch_of(folder)
    if cluster is None:
        return None
    submission = read_submission(folder)
    ids = submission.ids if submission is not None else ()
    found = asyncio.run(queue_of(cluster).of_run(mark_of(folder)))
    return RunJobs(
        tuple(job for job in found.values() if job.id in ids),
        tuple(job for job in found.values() if job.id not in ids),
        ids,
    )


def cancel_run(folder: RunFolder, queue_of: Callable[[Batch], Queue] = queue_of) -> str:
    """End a run's jobs now, the controller's and the workers'; return in a sentence what came of it.

    Raises
    ------
    ControlError
        When the run is on no queue, has no job there, or its jobs do not go.
    ClusterError
        When the queue cannot be asked.
    """
    cluster = batch_of(folder)
    name = f"{folder.name}/{folder.id}"
    if cluster is None:
        raise ControlError(
            f"Run {name} is on no batch queue. Where it was started Ctrl-C ends it, and from here "
            f"`daskflow control {folder.path} stop` ends its search."
        )
    jobs = jobs_of(folder, queue_of)
    living = jobs.living if jobs is not None else ()
    has_controller = jobs is not None and any(job in jobs.controllers for job in living)
    if not living:
        status = status_of(read(folder.journal), folder.journal)
        if status == "waiting":
            mark_ended(folder, "Its job is gone from the queue.")
        raise ControlError(f"Run {name} has no jobs in the queue (its status: {status}): there is nothing to cancel.")
    count = len(living)
    until = time.monotonic() + LEAVING_SECONDS
    # Cancelled and looked at again: a controller may have handed in another job at its last moment.
    while living and time.monotonic() < until:
        asyncio.run(queue_of(cluster).cancel([job.id for job in living]))
        left = time.monotonic() + AGAIN_SECONDS
        while living and time.monotonic() < left:
            time.sleep(GLANCE_SECONDS)
            living = _living(folder, queue_of)
    if living:
        words = ", ".join(job.id for job in living)
        raise ControlError(f"Jobs that do not go within {LEAVING_SECONDS:g} s of being cancelled: {words}.")
    until = time.monotonic() + PUTTING_AWAY_SECONDS
    while has_controller and is_held(folder.journal) and time.monotonic() < until:
        time.sleep(GLANCE_SECONDS)  # killed before it is done, it leaves the rest to us
    if not is_held(folder.journal):
        put_away(cluster, folder)  # some queues kill at once, so that a controller puts nothing away
    mark_ended(folder, "It was cancelled.")
    words = f"{count} job{'s' if count > 1 else ''}"
    return f"Cancelled {words} of run {name}. What is finished is kept: submit it again to go on."


def put_away(cluster: Batch, folder: RunFolder) -> list[str]:
    """Remove keys, lease, links and environment of a run that nobody works on; return what there was, in words."""
    left = {
        "keys": cluster.keys,
        "a lease": cluster.lease,
        "the link of its pages": folder.live,
        "its packed environment": cluster.environment_link,
    }
    found = [what for what, path in left.items() if path.exists()]
    folder.discard(*left.values())
    return found


def mark_ended(folder: RunFolder, why: str) -> None:
    """Write into a run's journal that nobody works on it any more, unless somebody does, or it says so."""
    if is_held(folder.journal):
        return
    with suppress(JournalError), Journal(folder.journal) as journal:
        last = journal.records[-1]["record"] if journal.records else ""
        if last not in ("end", ""):
            journal.append({"record": "end", "status": "interrupted", "error": why, "at": time.time()})


def _living(folder: RunFolder, queue_of: Callable[[Batch], Queue]) -> tuple[Job, ...]:
    jobs = jobs_of(folder, queue_of)
    return jobs.living if jobs is not None else ()


def _values(job: Job) -> dict[str, Any]:
    """A job as plain values."""
    names = ("id", "state", "reason", "node", "starts_at", "began_at", "ends_at")
    return {name: getattr(job, name) if name != "state" else str(job.state) for name in names}
