"""Core-hours: what a run's jobs have used, put together when an invocation begins and whenever somebody asks."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from daskflow.clusters.batch_jobs import JOB
from daskflow.clusters.fleet_accounts import Spent
from daskflow.core.folder import RunFolder
from daskflow.core.job_accounts import CoreHours, JobAccount, JobAccounts, accounts_of
from daskflow.core.journal import Record
from daskflow.workflow.acting import status_of
from daskflow.workflow.job_logs import Following, logs_of
from daskflow.workflow.submission import Submission, read_submission

if TYPE_CHECKING:
    from daskflow.clusters.batch import Batch
    from daskflow.workflow.recording import Recorder


def opened_accounts(
    cluster: Batch, folder: RunFolder, recorder: Recorder, environment: Mapping[str, str] = os.environ
) -> Batch:
    """Write down what jobs an invocation meets, and return the cluster that knows what the run has used.

    To be called behind the record ``invocation``. Workers of a controller that was killed are counted until the run was
    last heard of; the controller's own job, where there is one, begins to count.

    Parameters
    ----------
    cluster : Batch
        Within the run.
    folder : RunFolder
        Of the run.
    recorder : Recorder
        Its journal.
    environment : mapping
        Of this process.
    """
    records = recorder.journal.records
    (last,) = [place for place, record in enumerate(records) if record["record"] == "invocation"][-1:]
    submission = read_submission(folder)
    before = accounts_of(records[:last])
    orphans = [job for job in before.jobs() if job.state == "running"]
    if orphans:
        before.close(_heard(folder.events, cluster.lease))
        closed = {(job.id, job.began_at): job for job in before.jobs()}
        recorder.extend(
            [
                {
                    "record": "job",
                    **{name: getattr(job, name) for name in ("id", "role", "cores", "node", "why", "words")},
                    "seconds": job.asked_seconds,
                    "began_at": job.began_at,
                    "ended_at": job.ended_at,
                    "core_hours": round(job.used, 6),
                }
                for job in (closed[each.id, each.began_at] for each in orphans)
            ]
        )
    spent = 3600 * CoreHours.of(_to_their_ends(before.jobs(), submission)).used
    own = environment.get(JOB, "")
    if not own or submission is None or own not in submission.ids:
        return cluster.having_used(Spent(spent))
    began = _began_at(environment)
    about = {"id": own, "role": "controller", "cores": cluster.controller_cores, "seconds": cluster.seconds}
    recorder.append(
        {
            "record": "job_began",
            **about,
            "node": environment.get("SLURMD_NODENAME") or socket.gethostname(),
            "began_at": began,
        },
        durable=False,
    )
    holds = cluster.controller_cores > cluster.cores
    return cluster.having_used(Spent(spent, cluster.controller_cores, began, holds))


class Accounted:
    """What the jobs of a batch queue have had that work on a run, and what they have written."""

    _folder: RunFolder
    _records: Sequence[Record]

    @cached_property
    def accounts(self) -> JobAccounts:
        """What the journal tells of jobs; see `accounts_in`."""
        return accounts_in(self._folder, self._records)

    @cached_property
    def jobs(self) -> tuple[JobAccount, ...]:
        """Every job of a batch queue that has worked on the run, in the order in which they began; empty elsewhere.

        Each has ``id``, ``role`` (controller or worker), ``why`` and ``words`` of its end, ``node``, ``cores``,
        ``began_at``, ``ended_at``, and core-hours ``requested``, ``used``, ``busy``, ``idle``, ``wasted``; see
        `daskflow.core.job_accounts.JobAccount`. ``pandas.DataFrame([job.dump() for job in run.jobs])`` is a table of
        them.
        """
        found = self.accounts.jobs(time.time() if _goes_on(self._folder, self._records) else None)
        return _to_their_ends(found, read_submission(self._folder) if found else None)

    @property
    def core_hours(self) -> CoreHours:
        """Core-hours of all jobs: ``requested``, ``used``; of it busy, idle, wasted, controller and unseen."""
        return CoreHours.of(self.jobs)

    def logs(self, job: str | None = None) -> dict[str, str]:
        """Return what the jobs of the run have written, those that are long gone too, by the jobs' numbers.

        Parameters
        ----------
        job : str, optional
            Only that of this job, such as ``run.jobs[0].id``.

        Raises
        ------
        ControlError
            When the run is on no batch queue, has no logs yet, or none of this job.
        """
        return {log.job: Following().new(log.path, is_over=True) for log in logs_of(self._folder, job)}


def accounts_in(folder: RunFolder, records: Sequence[Record]) -> JobAccounts:
    """Return what a run's journal tells of jobs; of a run that was killed they count until it was last heard of."""
    found = accounts_of(records)
    if records and not _goes_on(folder, records):
        found.close(_heard(folder.events, folder.path / "lease"))
    return found


def _goes_on(folder: RunFolder, records: Sequence[Record]) -> bool:
    return status_of(records, folder.journal) == "running"


def _to_their_ends(jobs: Sequence[JobAccount], submission: Submission | None) -> tuple[JobAccount, ...]:
    """Count a controller's job, which the journal knows to its own last word, until its process was done."""
    ends = {job.id: job.ended_at or 0.0 for job in submission.jobs} if submission is not None else {}
    last = {job.id: place for place, job in enumerate(jobs)}  # one that the queue started again has several
    return tuple(
        replace(job, ended_at=ends[job.id])
        if job.state == "ended" and last[job.id] == place and ends.get(job.id, 0.0) > job.ended_at
        else job
        for place, job in enumerate(jobs)
    )


def _heard(*files: Path) -> float:
    """When a run last wrote something."""
    return max(_times(files), default=0.0)


def _times(files: Sequence[Path]) -> Iterator[float]:
    for file in files:
        with suppress(OSError):
            yield file.stat().st_mtime


def _began_at(environment: Mapping[str, str]) -> float:
    """When this process's job began, as its queue says, else when the process did."""
    said = environment.get("SLURM_JOB_START_TIME", "")
    if said.isdigit():
        return min(float(said), time.time())
    return float(psutil.Process().create_time())
