"""Cleaning: removes what runs on batch queues have left behind when they were killed: jobs, keys and leases."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daskflow.clusters.batch_lease import read_lease
from daskflow.core.errors import DaskflowError
from daskflow.core.folder import RunFolder
from daskflow.core.journal import read
from daskflow.workflow.acting import is_held, status_of
from daskflow.workflow.run_jobs import jobs_of, mark_ended, put_away
from daskflow.workflow.submission import batch_of
from daskflow.workflow.submitting import queue_of

if TYPE_CHECKING:
    from daskflow.clusters.batch import Batch
    from daskflow.clusters.batch_jobs import Queue


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was found of one run.

    Attributes
    ----------
    folder : RunFolder
        Of the run.
    removed : tuple of str
        What is no more, in words.
    left : str
        Why nothing was touched, as a sentence; empty when that is no question.
    """

    folder: RunFolder
    removed: tuple[str, ...] = ()
    left: str = ""


def clean(runs: Path, queue_of: Callable[[Batch], Queue] = queue_of) -> list[Cleaned]:
    """Remove what runs that are over, or were killed, have left of jobs, keys and leases; return what was found.

    Parameters
    ----------
    runs : Path
        Folder of runs, ``runs/NAME``, or a run's own.
    queue_of : callable, optional
        Gives the queue of a cluster.

    Notes
    -----
    A run that goes on, or whose controller waits in the queue, is not touched. Only jobs that carry the run's own mark
    are ended, and only this user's.
    """
    return [found for folder in _folders(runs) if (found := _cleaned(folder, queue_of)) is not None]


def _folders(runs: Path) -> Iterator[RunFolder]:
    """Every run's folder below."""
    runs = runs.resolve()
    for pattern in (".", "*", "*/*"):
        for path in sorted(runs.glob(pattern)) if pattern != "." else [runs]:
            if (path / "journal.jsonl").is_file():
                yield RunFolder(path)


def _cleaned(folder: RunFolder, queue_of: Callable[[Batch], Queue]) -> Cleaned | None:
    """Clean one run; None where there is nothing to say."""
    try:
        cluster = batch_of(folder)
        if cluster is None or is_held(folder.journal):
            return None
        jobs = jobs_of(folder, queue_of)
        if jobs is None or any(job in jobs.living for job in jobs.controllers) or goes_on_elsewhere(cluster.lease):
            return None
        removed = []
        if jobs.living:
            ids = [job.id for job in jobs.living]
            asyncio.run(queue_of(cluster).cancel(ids))
            removed.append(
                f"{len(ids)} job{'s' if len(ids) > 1 else ''} ({', '.join(ids[:8])}{', ...' if ids[8:] else ''})"
            )
        removed += put_away(cluster, folder)
        status = status_of(read(folder.journal), folder.journal)
        mark_ended(folder, "Its controller is gone.")
    except (DaskflowError, OSError) as error:
        return Cleaned(folder, left=str(error))
    if status == "waiting":
        removed.append("its place in the queue, where it had none any more")
    return Cleaned(folder, tuple(removed)) if removed else None


def goes_on_elsewhere(lease: Path) -> bool:
    """Return whether a run's scheduler lives on another machine, whose lock on the journal is not seen here."""
    said = read_lease(lease)
    return said is not None and bool(said["is_live"]) and said.get("host") != socket.gethostname()
