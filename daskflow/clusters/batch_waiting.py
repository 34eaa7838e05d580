"""Waiting: what a cluster of jobs waits for as long as it has no worker, in words."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from daskflow.clusters.batch_jobs import Job, JobState

SHOWN = 3
"""Of many reasons or nodes so many are told."""


def awaited(jobs: Mapping[str, Job], now: float) -> str:
    """Return what jobs there are and why none of them works yet; empty without any.

    Parameters
    ----------
    jobs : mapping of str to Job
        By ID.
    now : float
        Seconds since 1970.

    Examples
    --------
    >>> awaited({"17": Job("17", JobState.PENDING, "Resources"), "18": Job("18", JobState.PENDING, "Priority")}, 0.0)
    'Waiting for a worker: 2 jobs are pending (Priority, Resources).'
    >>> awaited({"17": Job("17", JobState.RUNNING, node="n1")}, 0.0)
    'Waiting for a worker: job 17 has begun on n1, and its worker starts.'
    """
    pending = [job for job in jobs.values() if job.state is JobState.PENDING]
    running = [job for job in jobs.values() if job.state is JobState.RUNNING]
    parts = []
    if running:
        nodes = _listed({job.node for job in running if job.node})
        where = f" on {nodes}" if nodes else ""
        has, its = ("has", "its worker starts") if len(running) == 1 else ("have", "their workers start")
        parts.append(f"{_called(running)} {has} begun{where}, and {its}")
    if pending:
        why = _listed({job.reason for job in pending if job.reason and job.reason != "None"})
        parts.append(f"{_called(pending)} {'is' if len(pending) == 1 else 'are'} pending{f' ({why})' if why else ''}")
        expected = [job.starts_at for job in pending if job.starts_at]
        if expected and not running:
            parts[-1] += f", and the queue expects to start one {_when(min(expected), now)}"
    return f"Waiting for a worker: {'; '.join(parts)}." if parts else ""


def _called(jobs: list[Job]) -> str:
    return f"job {jobs[0].id}" if len(jobs) == 1 else f"{len(jobs)} jobs"


def _listed(words: set[str]) -> str:
    known = sorted(words)
    return ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" if len(known) > SHOWN else "")


def _when(at: float, now: float) -> str:
    """Say a time of the clock, with the day when that is another one."""
    form = "%H:%M" if time.localtime(at)[:3] == time.localtime(now)[:3] else "%Y-%m-%d %H:%M"
    return f"at {time.strftime(form, time.localtime(at))}"
